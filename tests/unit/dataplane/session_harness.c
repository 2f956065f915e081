/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/dataplane/session_harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_ip.h>
#include <rte_random.h>
#include <rte_tcp.h>

#include "tests/sim/checked_pool.h"
#include "tests/unit/tls/pki.h"

#define BUFFERS 4096
#define SVID "spiffe://cluster.local/ns/shop/sa/web"

static struct world world;
static struct rte_mbuf *taken[BUFFERS];
static unsigned int n_taken;
static struct tls_identity *svid;
static struct rte_mempool *pool_data, *pool_header, *pool_indirect;

static const struct in6_addr addresses[HOSTS] = {
	[CLIENT] = {.s6_addr = {[10] = 0xff, [11] = 0xff, 10, 0, 0, 1}},
	[OUTBOUND] = {.s6_addr = {[10] = 0xff, [11] = 0xff, 10, 0, 0, 2}},
	[INBOUND] = {.s6_addr = {[10] = 0xff, [11] = 0xff, 10, 0, 0, 3}},
	[SERVER] = {.s6_addr = {[10] = 0xff, [11] = 0xff, 10, 0, 0, 4}},
};

/* --- what stands in for control and net --------------------------------------------------- */

struct policy_snapshot {
	int held;
};
static struct policy_snapshot snapshot;

void
policy_hold(const struct policy_snapshot *held, unsigned int worker)
{
	((struct policy_snapshot *)(uintptr_t)held)->held++;
}

void
policy_drop(const struct policy_snapshot *held, unsigned int worker)
{
	((struct policy_snapshot *)(uintptr_t)held)->held--;
}

const struct policy_workload *
policy_workload(const struct policy_snapshot *from, const struct in6_addr *address)
{
	return NULL; /* never the loop */
}

const char *const *
policy_trust_domains(const struct policy_snapshot *from, unsigned int *n)
{
	static const char *const domains[] = {"cluster.local"};

	*n = 1;
	return domains;
}

const char *
policy_mode_name(enum policy_mode mode)
{
	return "MODE";
}

const char *
policy_protocol_name(enum policy_protocol protocol)
{
	return "PROTOCOL";
}

const char *
policy_tls_name(enum policy_tls tls)
{
	return "TLS";
}

/* `net` is the host that asks. */
bool
net_source_for(const struct net *net, const struct in6_addr *remote, struct in6_addr *source,
	       uint16_t *mtu)
{
	const struct host *host = (const struct host *)net;

	*source = addresses[host - world.hosts];
	*mtu = 1500;
	return !world.no_route;
}

/* --- hosts --------------------------------------------------------------------------------- */

static void
random_bytes(void *ctx, void *buf, size_t len)
{
	for (size_t i = 0; i < len; i++)
		((uint8_t *)buf)[i] = (uint8_t)rte_rand();
}

static void
make_host(struct host *host)
{
	struct tcp_stack_config config = {
		.max_connections = 64,
		.max_time_wait = 64,
		.max_ooo_bytes = 65536,
		.time_wait_ms = 100,
		.header_pool = world.header,
		.indirect_pool = world.indirect,
		.random = random_bytes,
		.socket_id = SOCKET_ID_ANY,
	};
	int error;

	*host = (struct host){.tcp = tcp_stack_create(&config, &error)};
	assert_non_null(host->tcp);
}

static void
make_gateway(struct host *host, const char *log)
{
	char error[128];
	struct session_engine_config config;

	make_host(host);
	host->crypto = crypto_device_open("ipsec-mb", 0, error, sizeof(error));
	host->log = conn_log_create(log, 64);
	assert_non_null(host->crypto);
	assert_non_null(host->log);
	config = (struct session_engine_config){
		.tcp = host->tcp,
		.net = (struct net *)host,
		.crypto = host->crypto,
		.pools = {.data = world.data, .indirect = world.indirect},
		.node = &world.node,
		.log = host->log,
		.max_sessions = 32,
		.cycles_per_second = 1,
	};
	host->engine = session_engine_create(&config);
	assert_non_null(host->engine);
}

/* --- the wire ------------------------------------------------------------------------------- */

static bool
is_to(const struct tcp_tuple *tuple, enum host_name name)
{
	return memcmp(&tuple->local, &addresses[name], 16) == 0;
}

static enum host_name
next_hop(enum host_name from, const struct tcp_tuple *tuple)
{
	enum host_name first = world.originate ? OUTBOUND : INBOUND;

	switch (from) {
	case CLIENT:
		return first;
	case SERVER:
		return INBOUND;
	case OUTBOUND:
		return is_to(tuple, CLIENT) ? CLIENT : INBOUND;
	default:
		if (is_to(tuple, CLIENT))
			return CLIENT;
		return is_to(tuple, OUTBOUND) ? OUTBOUND : SERVER;
	}
}

static void
carry(enum host_name from, struct rte_mbuf *m)
{
	struct rte_mbuf *copy = rte_pktmbuf_copy(m, world.data, 0, UINT32_MAX);
	struct tcp_tuple tuple;
	struct host *to;
	uint8_t flags;

	if (copy == NULL || (from == SERVER && world.mute_server)) { /* as if a wire had lost it */
		rte_pktmbuf_free(m);
		rte_pktmbuf_free(copy);
		return;
	}
	copy->ol_flags = 0;
	copy->l3_len = m->l3_len;
	copy->packet_type = RTE_PTYPE_L3_IPV4;
	rte_pktmbuf_free(m);
	assert_true(tcp_peek(copy, &tuple, &flags));
	to = &world.hosts[next_hop(from, &tuple)];
	assert_true(to->n_wire < WIRE_MAX);
	to->wire[to->n_wire++] = copy;
}

static void
stranger(enum host_name name, struct rte_mbuf *m)
{
	struct host *host = &world.hosts[name];
	struct policy_verdict verdict = {
		.direction = name == OUTBOUND ? POLICY_OUTBOUND : POLICY_INBOUND,
		.inbound = name == INBOUND ? &world.inbound : NULL,
		.outbound = name == OUTBOUND ? &world.outbound : NULL,
		.endpoint = -1,
	};
	struct tcp_tuple tuple;
	uint8_t flags;

	assert_true(tcp_peek(m, &tuple, &flags));
	if (host->engine != NULL && flags == RTE_TCP_SYN_FLAG &&
	    session_accept(host->engine, &snapshot, &verdict, m, 0, world.now))
		return;
	if (name == SERVER && world.listens && world.server.conn == NULL &&
	    tcp_accept(host->tcp, m, world.now, NULL, &world.server.conn) == 0)
		return;
	tcp_refuse(host->tcp, m, world.now);
}

static void
receive(enum host_name name)
{
	struct host *host = &world.hosts[name];
	struct rte_mbuf *strangers[WIRE_MAX];
	unsigned int n = host->n_wire;

	host->n_wire = 0;
	n = tcp_input(host->tcp, host->wire, n, world.now, strangers);
	for (unsigned int i = 0; i < n; i++)
		stranger(name, strangers[i]);
}

static void
transmit(enum host_name name)
{
	struct host *host = &world.hosts[name];
	struct rte_mbuf *out[64];
	uint16_t n;

	do {
		n = tcp_output(host->tcp, world.now, out, RTE_DIM(out));
		for (uint16_t i = 0; i < n; i++)
			carry(name, out[i]);
	} while (n == RTE_DIM(out));
}

/* --- turns ------------------------------------------------------------------------------------ */

static void
listen_to(struct end *end)
{
	struct rte_mbuf *chain;

	if (end->deaf || end->conn == NULL)
		return;
	while ((chain = tcp_receive(end->conn, UINT32_MAX)) != NULL) {
		end->bytes = realloc(end->bytes, end->n_bytes + chain->pkt_len + 1);
		assert_non_null(end->bytes);
		for (struct rte_mbuf *m = chain; m != NULL; m = m->next) {
			memcpy(end->bytes + end->n_bytes, rte_pktmbuf_mtod(m, void *), m->data_len);
			end->n_bytes += m->data_len;
		}
		end->bytes[end->n_bytes] = '\0';
		rte_pktmbuf_free(chain);
	}
	tcp_set_room(end->conn, 65535, world.now);
}

static void
turn_of_end(enum host_name name, struct end *end)
{
	struct tcp_event event;

	receive(name);
	while (tcp_events(world.hosts[name].tcp, &event, 1) == 1) {
		if (event.conn != end->conn)
			continue;
		end->events |= event.bits;
		if (event.bits & TCP_EV_FAILED)
			end->error = tcp_conn_error(end->conn);
	}
	listen_to(end);
	tcp_timers(world.hosts[name].tcp, world.now);
	transmit(name);
}

/* As worker.c does it. */
static void
turn_of_gateway(enum host_name name)
{
	struct session_engine *engine = world.hosts[name].engine;
	uint64_t now = world.now;

	receive(name);
	session_ingress(engine, now);
	session_crypto(engine, now);
	session_handshakes(engine, now, world.budget != 0 ? world.budget : UINT64_MAX);
	session_egress(engine, now);
	session_crypto(engine, now);
	session_flush(engine, now);
	session_timers(engine, now);
	tcp_timers(world.hosts[name].tcp, now);
	transmit(name);
}

void
world_turn_of(struct world *w, enum host_name name)
{
	if (name == CLIENT)
		turn_of_end(CLIENT, &w->client);
	else if (name == SERVER)
		turn_of_end(SERVER, &w->server);
	else
		turn_of_gateway(name);
}

static void
turn(uint64_t us)
{
	world.now += us;
	for (enum host_name name = CLIENT; name < HOSTS; name++)
		world_turn_of(&world, name);
}

void
world_run(struct world *w, unsigned int n)
{
	while (n-- > 0)
		turn(MS);
}

void
world_wait(struct world *w, uint64_t us)
{
	for (uint64_t until = w->now + us; w->now < until;)
		turn(10 * MS);
}

/* --- the ends ----------------------------------------------------------------------------------
 */

void
world_connect(struct world *w)
{
	struct tcp_tuple tuple = {
		.local = addresses[CLIENT],
		.remote = addresses[SERVER],
		.remote_port = 80,
	};

	assert_int_equal(tcp_connect(w->hosts[CLIENT].tcp, &tuple, w->now, NULL, &w->client.conn),
			 0);
}

static void
send_bytes(struct end *end, const void *bytes, size_t length)
{
	const uint8_t *at = bytes;

	while (length > 0) {
		struct rte_mbuf *m = rte_pktmbuf_alloc(world.data);
		uint16_t part;

		assert_non_null(m);
		part = RTE_MIN(length, (size_t)rte_pktmbuf_tailroom(m));
		memcpy(rte_pktmbuf_append(m, part), at, part);
		assert_int_equal(tcp_send(end->conn, m), 0);
		at += part;
		length -= part;
	}
}

void
end_send(struct world *w, struct end *end, const char *text)
{
	send_bytes(end, text, strlen(text));
}

void
end_send_bytes(struct world *w, struct end *end, size_t length)
{
	uint8_t *bytes = malloc(length);

	assert_non_null(bytes);
	for (size_t i = 0; i < length; i++)
		bytes[i] = (uint8_t)(i * 7 + (i >> 8) + 128);
	send_bytes(end, bytes, length);
	free(bytes);
}

void
end_shutdown(struct world *w, struct end *end)
{
	tcp_shutdown(end->conn, w->now);
}

void
end_reset(struct world *w, struct end *end)
{
	tcp_abort(end->conn, w->now);
}

void
assert_heard(const struct end *end, const char *text)
{
	assert_string_equal(end->bytes != NULL ? (const char *)end->bytes : "", text);
}

bool
heard(const struct end *end, const char *part)
{
	return end->bytes != NULL && strstr((const char *)end->bytes, part) != NULL;
}

static void
hang_up(struct end *end)
{
	if (end->conn != NULL) {
		tcp_abort(end->conn, world.now);
		tcp_release(end->conn, world.now);
	}
	free(end->bytes);
	*end = (struct end){0};
}

void
world_hang_up(struct world *w)
{
	hang_up(&w->client);
	hang_up(&w->server);
}

/* --- what is known of the gateways
 * ---------------------------------------------------------------- */

struct session *
world_session(struct world *w, enum host_name gateway)
{
	struct session_engine *engine = w->hosts[gateway].engine;

	for (uint32_t i = 0; i < engine->config.max_sessions; i++)
		if (engine->sessions[i].state != SESSION_FREE)
			return &engine->sessions[i];
	return NULL;
}

unsigned int
world_sessions(struct world *w, enum host_name gateway)
{
	return session_count(w->hosts[gateway].engine);
}

const char *
world_log(struct world *w, enum host_name gateway)
{
	size_t size;
	FILE *out;

	free(w->lines);
	w->lines = NULL;
	out = open_memstream(&w->lines, &size);
	assert_non_null(out);
	conn_log_drain(w->hosts[gateway].log, out);
	fclose(out);
	return w->lines;
}

void
assert_logged(struct world *w, enum host_name gateway, const char *part)
{
	const char *log = world_log(w, gateway);

	if (strstr(log, part) == NULL)
		fail_msg("no %s in the log: %s", part, log);
}

void
world_one_operation(struct world *w, enum host_name gateway)
{
	struct session_engine *engine = w->hosts[gateway].engine;

	tls_batch_destroy(engine->batch);
	engine->batch = tls_batch_create(w->hosts[gateway].crypto, 1);
	assert_non_null(engine->batch);
}

void
world_take_buffers(struct world *w)
{
	while (n_taken < BUFFERS && (taken[n_taken] = rte_pktmbuf_alloc(w->data)) != NULL)
		n_taken++;
}

void
world_give_buffers(struct world *w)
{
	while (n_taken > 0)
		rte_pktmbuf_free(taken[--n_taken]);
}

/* --- setup and teardown
 * ----------------------------------------------------------------------------- */

static void
default_policy(void)
{
	static const char *const sans[] = {SVID};

	world.node = (struct policy_node){
		.buffer_bytes = 65536,
		.tls_min_version = 0x0303,
		.connect_timeout_ms = 3000,
		.handshake_timeout_ms = 3000,
		.idle_timeout_ms = 600000,
	};
	world.workload = (struct policy_workload){
		.name = "shop/web", .address = addresses[SERVER], .identity = svid};
	world.inbound = (struct policy_inbound){
		.workload = &world.workload,
		.mode = POLICY_DISABLE,
		.protocol = POLICY_AUTO,
		.source = {.kind = "default", .name = "", .file = ""},
	};
	world.endpoint = (struct policy_endpoint){
		.address = addresses[SERVER], .port = 80, .tls = POLICY_TLS_ISTIO_MUTUAL};
	world.outbound = (struct policy_outbound){
		.host = "web.shop",
		.port = 80,
		.protocol = POLICY_AUTO,
		.source = {.kind = "default", .name = "", .file = ""},
		.identity = svid,
		.sni = "outbound_.80_._.web.shop",
		.alpn = (const uint8_t *)"\x05istio",
		.alpn_len = 6,
		.san_check = POLICY_SAN_EXACT,
		.sans = sans,
		.n_sans = 1,
		.endpoints = &world.endpoint,
		.n_endpoints = 1,
	};
}

int
world_setup(void **state)
{
	world = (struct world){.now = SECOND, .listens = true};
	snapshot.held = 0;
	world.data = pool_data;
	world.header = pool_header;
	world.indirect = pool_indirect;
	default_policy();
	make_host(&world.hosts[CLIENT]);
	make_gateway(&world.hosts[OUTBOUND], "outbound");
	make_gateway(&world.hosts[INBOUND], "inbound");
	make_host(&world.hosts[SERVER]);
	*state = &world;
	return 0;
}

static void
free_end(enum host_name name, struct end *end)
{
	if (end->conn != NULL)
		tcp_release(end->conn, world.now);
	free(end->bytes);
	tcp_stack_destroy(world.hosts[name].tcp);
}

static void
free_gateway(struct host *host)
{
	session_engine_shutdown(host->engine, world.now);
	assert_int_equal(session_count(host->engine), 0);
	session_engine_destroy(host->engine);
	tcp_stack_destroy(host->tcp);
	crypto_device_close(host->crypto);
	conn_log_destroy(host->log);
}

int
world_teardown(void **state)
{
	world_give_buffers(&world);
	free_end(CLIENT, &world.client);
	free_end(SERVER, &world.server);
	free_gateway(&world.hosts[OUTBOUND]);
	free_gateway(&world.hosts[INBOUND]);
	for (unsigned int i = 0; i < HOSTS; i++)
		while (world.hosts[i].n_wire > 0)
			rte_pktmbuf_free(world.hosts[i].wire[--world.hosts[i].n_wire]);
	free(world.lines);
	assert_int_equal(snapshot.held, 0);
	assert_int_equal(rte_mempool_in_use_count(world.data), 0);
	assert_int_equal(rte_mempool_in_use_count(world.header), 0);
	assert_int_equal(rte_mempool_in_use_count(world.indirect), 0);
	return 0;
}

static void
free_all(void)
{
	tls_identity_free(svid);
	checked_pool_free(pool_data);
	checked_pool_free(pool_header);
	checked_pool_free(pool_indirect);
}

/* Both gateways have the same SVID. */
static void
make_identity(void)
{
	struct pki_cert ca = pki_ca("Mesh CA"), leaf = pki_svid(&ca, SVID);
	struct tls_identity_error error;
	struct pki_dir dir;
	struct tls_identity_files files = {.require_spiffe = true};

	pki_dir_create(&dir);
	files.certificate_chain = pki_write_certs(&dir, "leaf", leaf.cert, NULL);
	files.private_key = pki_write_key(&dir, "key", leaf.key, NULL);
	files.trust_bundle = pki_write_certs(&dir, "ca", ca.cert, NULL);
	svid = tls_identity_load(&files, &error);
	if (svid == NULL) {
		fprintf(stderr, "identity: %s\n", error.text);
		exit(1);
	}
	free((char *)(uintptr_t)files.certificate_chain);
	free((char *)(uintptr_t)files.private_key);
	free((char *)(uintptr_t)files.trust_bundle);
	pki_dir_remove(&dir);
	pki_free(&leaf);
	pki_free(&ca);
}

void
world_init(void)
{
	char error[128];

	if (tls_init(error, sizeof(error)) != 0)
		exit(1);
	checked_eal_init("test_session", 128);
	make_identity();
	pool_data = checked_pool_create("data", BUFFERS, RTE_MBUF_DEFAULT_BUF_SIZE);
	pool_header = checked_pool_create("header", BUFFERS, RTE_PKTMBUF_HEADROOM + 128);
	pool_indirect = checked_pool_create("indirect", BUFFERS, 0);
	atexit(free_all);
}
