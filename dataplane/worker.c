/* SPDX-License-Identifier: Apache-2.0 */
#include "dataplane/worker.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <time.h>

#include <rte_cycles.h>
#include <rte_errno.h>
#include <rte_ip.h>
#include <rte_malloc.h>
#include <rte_pause.h>
#include <rte_ring_elem.h>
#include <rte_tcp.h>

#include "dataplane/passthrough.h"

#define TURN_SEGMENTS 256        /* segments that one turn takes in */
#define REDIRECT_RING 2048
#define NEIGHBOUR_RING 256
#define ICMP_RING 256
#define PASSTHROUGH_FLOWS 65536
#define ICMP_ERRORS 16
#define OUTPUT_BURST 64
#define OUTPUT_BURSTS 16         /* a turn's share of sending, so that it also receives */
#define LOOP_SEGMENTS (OUTPUT_BURSTS * OUTPUT_BURST) /* all that one turn can send */
#define LOG_ENTRIES 1024
#define OOO_BYTES (256 * 1024)

/* Handshake work of one turn: a scalar step takes 50 to 250 us, and established
 * connections wait for it. */
#define HANDSHAKE_BUDGET_US 500

#define FINISH_TURNS 1024        /* for the resets of what is left at the end */

#define IDLE_SPINS 200           /* empty turns before the first sleep */
#define IDLE_SLEEP_MIN_US 20
#define IDLE_SLEEP_MAX_US 500

struct worker {
	struct worker_shared *shared;
	unsigned int index;
	struct tcp_stack *tcp;
	struct net *net;
	struct crypto_device *crypto;
	struct session_engine *sessions;
	struct conn_log *log;
	struct passthrough *passthrough;
	struct rte_ring *redirected;  /* packets from other workers */
	struct rte_ring *neighbours;  /* what they learned */
	struct rte_ring *icmp;        /* errors that they were told of our connections */
	const struct policy_snapshot *snapshot; /* of this turn */
	struct rte_mbuf *segments[TURN_SEGMENTS];
	uint16_t n_segments;
	struct rte_mbuf *loop[LOOP_SEGMENTS], *looping[LOOP_SEGMENTS]; /* of this turn and the last */
	unsigned int n_loop;
	uint64_t handshake_budget;
	unsigned int idle_turns;
	struct worker_stats stats;
};

static uint64_t clock_start, clock_cycles_per_us;

uint64_t
worker_clock(void)
{
	if (clock_cycles_per_us == 0) {
		clock_cycles_per_us = RTE_MAX(rte_get_tsc_hz() / 1000000, UINT64_C(1));
		clock_start = rte_rdtsc() - clock_cycles_per_us; /* never 0 */
	}
	return (rte_rdtsc() - clock_start) / clock_cycles_per_us;
}

/* --- which worker has a connection ------------------------------------------------------------ */

static unsigned int
owner_of(const struct worker_shared *shared, const struct tcp_tuple *tuple)
{
	return (passthrough_hash(tuple, shared->flow_key) >> 33) % shared->n_workers;
}

/* tcp_stack_config.port_ok: the answers must come back to this worker. */
static bool
port_is_ours(void *ctx, const struct tcp_tuple *tuple)
{
	const struct worker *worker = ctx;

	return worker->shared->n_workers == 1 || owner_of(worker->shared, tuple) == worker->index;
}

static void
random_bytes(void *ctx, void *buf, size_t len)
{
	uint8_t *at = buf;

	(void)ctx;
	/* Only at start and when a stack refills its key: never while traffic waits. */
	while (len > 0) {
		ssize_t got = getrandom(at, len, 0);

		if (got <= 0)
			continue;
		at += got;
		len -= got;
	}
}

/* --- birth and death --------------------------------------------------------------------------- */

static struct net *
make_net(const struct worker_shared *shared, unsigned int queue)
{
	struct net_interface interfaces[POLICY_MAX_PORTS] = {0};
	const struct policy_node *node = shared->node;
	struct net_route *routes = calloc(node->n_routes + 1, sizeof(*routes));
	struct net_config config = {
		.interfaces = interfaces,
		.n_interfaces = shared->n_ports,
		.routes = routes,
		.n_routes = node->n_routes,
		.queue = queue,
		.pool = shared->pools.data,
	};
	struct net *net = NULL;

	if (routes == NULL)
		return NULL;
	/* policy_prefix and net_prefix are the same on purpose: neither room knows the other. */
	_Static_assert(sizeof(struct policy_prefix) == sizeof(struct net_prefix), "prefixes differ");
	for (unsigned int i = 0; i < shared->n_ports; i++) {
		interfaces[i].port = shared->ports[i];
		interfaces[i].vlan = node->ports[i].vlan;
		interfaces[i].addresses = (const struct net_prefix *)node->ports[i].addresses;
		interfaces[i].n_addresses = node->ports[i].n_addresses;
	}
	for (unsigned int i = 0; i < node->n_routes; i++) {
		memcpy(&routes[i].to, &node->routes[i].to, sizeof(routes[i].to));
		routes[i].via = node->routes[i].via;
		routes[i].interface = node->routes[i].port;
	}
	net = net_create(&config);
	free(routes);
	return net;
}

static struct tcp_stack *
make_tcp(struct worker *worker)
{
	const struct worker_shared *shared = worker->shared;
	struct tcp_stack_config config = {
		.max_connections = shared->node->max_connections,
		.max_time_wait = shared->node->max_connections,
		.max_ooo_bytes = OOO_BYTES,
		.header_pool = shared->header_pool,
		.indirect_pool = shared->pools.indirect,
		.random = random_bytes,
		.port_ok = port_is_ours,
		.port_ok_ctx = worker,
		.socket_id = SOCKET_ID_ANY,
	};
	int error;

	return tcp_stack_create(&config, &error);
}

static struct session_engine *
make_sessions(struct worker *worker)
{
	const struct worker_shared *shared = worker->shared;
	struct session_engine_config config = {
		.tcp = worker->tcp,
		.net = worker->net,
		.crypto = worker->crypto,
		.pools = shared->pools,
		.node = shared->node,
		.worker = worker->index,
		.log = worker->log,
		.port_ok = port_is_ours,
		.port_ok_ctx = worker,
		.max_sessions = RTE_MAX(shared->node->max_connections / 2, 1u),
		.cycles_per_second = rte_get_tsc_hz(),
	};

	return session_engine_create(&config);
}

static bool
make_rings(struct worker *worker)
{
	char name[RTE_RING_NAMESIZE];

	snprintf(name, sizeof(name), "redirect%u", worker->index);
	worker->redirected = rte_ring_create(name, REDIRECT_RING, SOCKET_ID_ANY, RING_F_SC_DEQ);
	snprintf(name, sizeof(name), "neighbour%u", worker->index);
	worker->neighbours = rte_ring_create_elem(name, sizeof(struct net_neighbour), NEIGHBOUR_RING,
						  SOCKET_ID_ANY, RING_F_SC_DEQ);
	snprintf(name, sizeof(name), "icmp%u", worker->index);
	worker->icmp = rte_ring_create_elem(name, sizeof(struct net_icmp_error), ICMP_RING,
					    SOCKET_ID_ANY, RING_F_SC_DEQ);
	return worker->redirected != NULL && worker->neighbours != NULL && worker->icmp != NULL;
}

struct worker *
worker_create(struct worker_shared *shared, unsigned int index, char *error, size_t error_len)
{
	struct worker *worker = rte_zmalloc("worker", sizeof(*worker), RTE_CACHE_LINE_SIZE);
	uint32_t key[4];
	char name[32];

	snprintf(error, error_len, "worker %u: out of memory: raise workers.memory", index);
	if (worker == NULL)
		return NULL;
	worker->shared = shared;
	worker->index = index;
	worker->handshake_budget = rte_get_tsc_hz() / 1000000 * HANDSHAKE_BUDGET_US;
	snprintf(name, sizeof(name), "log%u", index);
	random_bytes(NULL, key, sizeof(key));
	worker->crypto = crypto_device_open(shared->node->crypto_device, index, error, error_len);
	if (worker->crypto == NULL) {
		worker_destroy(worker);
		return NULL;
	}
	worker->log = conn_log_create(name, LOG_ENTRIES);
	worker->passthrough = passthrough_create(PASSTHROUGH_FLOWS, key);
	worker->net = make_net(shared, index);
	worker->tcp = make_tcp(worker);
	if (!make_rings(worker) || worker->log == NULL || worker->passthrough == NULL ||
	    worker->net == NULL || worker->tcp == NULL) {
		worker_destroy(worker);
		return NULL;
	}
	worker->sessions = make_sessions(worker);
	if (worker->sessions == NULL) {
		worker_destroy(worker);
		return NULL;
	}
	return worker;
}

static void
free_ring(struct rte_ring *ring)
{
	void *m;

	if (ring == NULL)
		return;
	while (rte_ring_dequeue(ring, &m) == 0)
		rte_pktmbuf_free(m);
	rte_ring_free(ring);
}

void
worker_destroy(struct worker *worker)
{
	if (worker == NULL)
		return;
	session_engine_destroy(worker->sessions);
	if (worker->tcp != NULL)
		tcp_stack_destroy(worker->tcp);
	if (worker->net != NULL)
		net_destroy(worker->net);
	if (worker->crypto != NULL)
		crypto_device_close(worker->crypto);
	passthrough_destroy(worker->passthrough);
	conn_log_destroy(worker->log);
	free_ring(worker->redirected);
	rte_ring_free(worker->neighbours);
	rte_ring_free(worker->icmp);
	rte_free(worker);
}

struct conn_log *
worker_log(struct worker *worker)
{
	return worker->log;
}

void
worker_stats(const struct worker *worker, struct worker_stats *stats)
{
	*stats = worker->stats;
	stats->sessions = session_count(worker->sessions);
	stats->connections = tcp_stack_connections(worker->tcp);
	stats->time_waits = tcp_stack_time_waits(worker->tcp);
	stats->tcp = tcp_stack_counters(worker->tcp);
	stats->net = net_counters(worker->net);
	stats->session = session_counters(worker->sessions);
	stats->records = session_record_counters(worker->sessions);
	stats->crypto = crypto_device_name(worker->crypto);
	stats->log_lost = conn_log_lost(worker->log);
}

/* --- receiving ---------------------------------------------------------------------------------- */

/* A packet of TCP: ours, or another worker's. */
static void
sort_segment(struct worker *worker, struct rte_mbuf *m)
{
	struct worker_shared *shared = worker->shared;
	struct tcp_tuple tuple;
	unsigned int owner;
	uint8_t flags;

	if (shared->n_workers > 1 && tcp_peek(m, &tuple, &flags)) {
		owner = owner_of(shared, &tuple);
		if (owner != worker->index) {
			worker->stats.redirected++;
			if (rte_ring_enqueue(shared->workers[owner]->redirected, m) != 0) {
				worker->stats.redirect_lost++;
				rte_pktmbuf_free(m);
			}
			return;
		}
	}
	worker->segments[worker->n_segments++] = m;
}

static void
tell_tcp(struct worker *worker, const struct net_icmp_error *error, const struct tcp_tuple *tuple,
	 uint64_t now)
{
	static const enum tcp_icmp kinds[] = {TCP_ICMP_SOFT, TCP_ICMP_HARD, TCP_ICMP_TOO_BIG};

	if (error->kind < RTE_DIM(kinds))
		tcp_icmp_error(worker->tcp, tuple, error->seq, kinds[error->kind], error->mtu, now);
}

static struct tcp_tuple
tuple_of(const struct net_icmp_error *error)
{
	return (struct tcp_tuple){
		.local = error->local,
		.remote = error->remote,
		.local_port = error->local_port,
		.remote_port = error->remote_port,
	};
}

/* An error comes to any queue, whoever has the connection that it is about. */
static void
icmp_errors(struct worker *worker, struct net_icmp_error *errors, unsigned int n, uint64_t now)
{
	struct worker_shared *shared = worker->shared;

	for (unsigned int i = 0; i < n; i++) {
		struct tcp_tuple tuple = tuple_of(&errors[i]);
		unsigned int owner = shared->n_workers > 1 ? owner_of(shared, &tuple) : worker->index;

		if (owner == worker->index)
			tell_tcp(worker, &errors[i], &tuple, now);
		else /* a full ring: the sender will be told again */
			rte_ring_enqueue_elem(shared->workers[owner]->icmp, &errors[i],
					      sizeof(errors[i]));
	}
}

static void
icmp_errors_of_others(struct worker *worker, uint64_t now)
{
	struct net_icmp_error error;
	struct tcp_tuple tuple;

	while (rte_ring_dequeue_elem(worker->icmp, &error, sizeof(error)) == 0) {
		tuple = tuple_of(&error);
		tell_tcp(worker, &error, &tuple, now);
	}
}

static unsigned int
receive_port(struct worker *worker, unsigned int port, uint64_t now)
{
	struct rte_mbuf *frames[PORT_BURST], *tcp[PORT_BURST];
	struct net_icmp_error errors[ICMP_ERRORS];
	unsigned int n_errors = 0;
	uint16_t n, n_tcp;

	n = port_rx(worker->shared->ports[port], worker->index, frames, PORT_BURST);
	if (n == 0 && port != 0) /* the first is asked in any case: next hops that are silent */
		return 0;
	n_tcp = net_input(worker->net, port, frames, n, now, tcp, errors, ICMP_ERRORS, &n_errors);
	for (uint16_t i = 0; i < n_tcp; i++)
		sort_segment(worker, tcp[i]);
	icmp_errors(worker, errors, n_errors, now);
	return n;
}

/* Tells the other workers what this one learned, and learns what they did. */
static void
share_neighbours(struct worker *worker, uint64_t now)
{
	struct worker_shared *shared = worker->shared;
	struct net_neighbour news[8];
	unsigned int n = net_news(worker->net, news, RTE_DIM(news));

	for (unsigned int i = 0; i < n; i++)
		for (unsigned int w = 0; w < shared->n_workers; w++)
			if (w != worker->index) /* a full ring: they will ask themselves */
				rte_ring_enqueue_elem(shared->workers[w]->neighbours, &news[i],
						      sizeof(news[i]));
	while (rte_ring_dequeue_elem(worker->neighbours, &news[0], sizeof(news[0])) == 0)
		net_learn(worker->net, &news[0], now);
}

static unsigned int
receive(struct worker *worker, uint64_t now)
{
	unsigned int n = 0;

	worker->n_segments = 0;
	for (unsigned int port = 0; port < worker->shared->n_ports; port++)
		if (worker->n_segments + PORT_BURST <= TURN_SEGMENTS)
			n += receive_port(worker, port, now);
	if (worker->shared->n_workers > 1) {
		unsigned int room = TURN_SEGMENTS - worker->n_segments;
		unsigned int got = rte_ring_dequeue_burst(
			worker->redirected, (void **)&worker->segments[worker->n_segments], room,
			NULL);

		worker->n_segments += got;
		n += got;
		share_neighbours(worker, now);
		icmp_errors_of_others(worker, now);
	}
	return n;
}

/* --- segments of no connection -------------------------------------------------------------------- */

static void
refuse(struct worker *worker, struct rte_mbuf *m, uint64_t now)
{
	worker->stats.unknown_reset++;
	tcp_refuse(worker->tcp, m, now);
}

/* The last eighth of the buffers is for connections that there are already. Asked once a
 * SYN, not once a packet. */
static bool
memory_is_low(struct worker *worker)
{
	const struct rte_mempool *pool = worker->shared->pools.data;

	if (rte_mempool_avail_count(pool) >= pool->size / 8)
		return false;
	worker->stats.low_memory++;
	return true;
}

static bool
takes_connections(struct worker *worker)
{
	return !__atomic_load_n(&worker->shared->stop, __ATOMIC_RELAXED) && !memory_is_low(worker);
}

/* A connection begins. */
static void
stranger_syn(struct worker *worker, struct rte_mbuf *m, const struct tcp_tuple *tuple,
	     uint32_t path, uint64_t now)
{
	struct policy_verdict verdict;
	struct in6_addr client = tuple->remote;

	if (path == SESSION_PATH_LOOP) /* from our own outbound side: the server's side is asked */
		client = in6addr_any;
	policy_lookup(worker->snapshot, &client, &tuple->local, tuple->local_port, &verdict);
	if (verdict.direction != POLICY_ROUTE_ON) {
		if (!takes_connections(worker) ||
		    !session_accept(worker->sessions, worker->snapshot, &verdict, m, path, now))
			refuse(worker, m, now);
	} else if (net_is_local(worker->net, &tuple->local)) {
		refuse(worker, m, now);
	} else {
		passthrough_add(worker->passthrough, tuple, now);
		net_forward(worker->net, m, now);
	}
}

/* Something goes on of which we know nothing. If it touches a workload it may be the rest
 * of a protected connection: it does not pass. */
static void
stranger_segment(struct worker *worker, struct rte_mbuf *m, const struct tcp_tuple *tuple,
		 uint64_t now)
{
	bool protected = policy_workload(worker->snapshot, &tuple->remote) != NULL ||
			 policy_workload(worker->snapshot, &tuple->local) != NULL;

	if (net_is_local(worker->net, &tuple->local) ||
	    (protected && !passthrough_has(worker->passthrough, tuple, now)))
		refuse(worker, m, now);
	else
		net_forward(worker->net, m, now);
}

static void
stranger(struct worker *worker, struct rte_mbuf *m, uint32_t path, uint64_t now)
{
	struct tcp_tuple tuple;
	uint8_t flags;

	if (!tcp_peek(m, &tuple, &flags))
		rte_pktmbuf_free(m);
	else if ((flags & (RTE_TCP_SYN_FLAG | RTE_TCP_ACK_FLAG | RTE_TCP_RST_FLAG)) ==
			 RTE_TCP_SYN_FLAG ||
		 tcp_is_cookie(worker->tcp, m, now))
		stranger_syn(worker, m, &tuple, path, now);
	else if (path == SESSION_PATH_LOOP)
		refuse(worker, m, now);
	else
		stranger_segment(worker, m, &tuple, now);
}

static void
feed_tcp(struct worker *worker, struct rte_mbuf **segments, uint16_t n, uint32_t path, uint64_t now)
{
	struct rte_mbuf *strangers[TURN_SEGMENTS];
	uint16_t n_strangers = tcp_input(worker->tcp, segments, n, now, strangers);

	for (uint16_t i = 0; i < n_strangers; i++)
		stranger(worker, strangers[i], path, now);
}

/* What the last turn sent to ourselves. */
static unsigned int
feed_loop(struct worker *worker, uint64_t now)
{
	unsigned int n = worker->n_loop;

	memcpy(worker->looping, worker->loop, n * sizeof(worker->loop[0]));
	worker->n_loop = 0;
	for (unsigned int i = 0; i < n; i += TURN_SEGMENTS)
		feed_tcp(worker, &worker->looping[i], RTE_MIN(n - i, (unsigned int)TURN_SEGMENTS),
			 SESSION_PATH_LOOP, now);
	return n;
}

/* --- sending --------------------------------------------------------------------------------------- */

/* A segment between two workloads behind us comes back to TCP. It is copied: the receiver
 * decrypts in place, and the sender may still have to send it again. */
static void
loop_back(struct worker *worker, struct rte_mbuf *m)
{
	struct rte_mbuf *copy = NULL;
	bool v6 = m->ol_flags & RTE_MBUF_F_TX_IPV6;
	uint16_t l3_len = m->l3_len;

	if (worker->n_loop < LOOP_SEGMENTS)
		copy = rte_pktmbuf_copy(m, worker->shared->pools.data, 0, UINT32_MAX);
	rte_pktmbuf_free(m);
	if (copy == NULL)
		return; /* as if a wire had lost it */
	copy->ol_flags = 0;
	copy->l3_len = l3_len;
	copy->packet_type = v6 ? RTE_PTYPE_L3_IPV6 : RTE_PTYPE_L3_IPV4;
	worker->stats.looped++;
	worker->loop[worker->n_loop++] = copy;
}

/* A RST to a stranger has no connection whose path it could take. One of those that refuse
 * what came over the loop goes to an address of our own. */
static bool
is_reset_to_us(const struct worker *worker, const struct rte_mbuf *m)
{
	const struct rte_tcp_hdr *tcp = rte_pktmbuf_mtod_offset(m, const struct rte_tcp_hdr *,
								 m->l3_len);
	struct in6_addr to = {0};

	if (likely(!(tcp->tcp_flags & RTE_TCP_RST_FLAG)))
		return false;
	if (m->ol_flags & RTE_MBUF_F_TX_IPV6) {
		memcpy(&to, rte_pktmbuf_mtod(m, const struct rte_ipv6_hdr *)->dst_addr, 16);
	} else {
		memset(&to.s6_addr[10], 0xff, 2);
		memcpy(&to.s6_addr[12], &rte_pktmbuf_mtod(m, const struct rte_ipv4_hdr *)->dst_addr,
		       4);
	}
	return net_is_local(worker->net, &to);
}

static uint16_t
send_burst(struct worker *worker, uint64_t now)
{
	struct rte_mbuf *out[OUTPUT_BURST];
	uint16_t n = tcp_output(worker->tcp, now, out, OUTPUT_BURST), kept = 0;

	for (uint16_t i = 0; i < n; i++) {
		if (tcp_segment_path(out[i]) == SESSION_PATH_LOOP || is_reset_to_us(worker, out[i]))
			loop_back(worker, out[i]);
		else
			out[kept++] = out[i];
	}
	if (kept > 0)
		net_output(worker->net, out, kept, now);
	return n;
}

static unsigned int
send_segments(struct worker *worker, uint64_t now)
{
	unsigned int total = 0;

	for (unsigned int i = 0; i < OUTPUT_BURSTS; i++) {
		uint16_t n = send_burst(worker, now);

		total += n;
		if (n < OUTPUT_BURST)
			break;
	}
	for (unsigned int port = 0; port < worker->shared->n_ports; port++)
		port_tx_flush(worker->shared->ports[port], worker->index);
	return total;
}

/* --- the loop ---------------------------------------------------------------------------------------- */

/* One turn. Returns how much was done; 0: nothing. */
static unsigned int
turn(struct worker *worker, uint64_t now)
{
	unsigned int work;

	worker->snapshot = policy_current(worker->shared->policy);
	work = receive(worker, now);
	feed_tcp(worker, worker->segments, worker->n_segments, SESSION_PATH_PORT, now);
	work += feed_loop(worker, now);

	work += session_ingress(worker->sessions, now);
	work += session_crypto(worker->sessions, now);
	work += session_handshakes(worker->sessions, now, worker->handshake_budget);
	work += session_egress(worker->sessions, now);
	work += session_crypto(worker->sessions, now);
	work += session_flush(worker->sessions, now);

	work += session_timers(worker->sessions, now);
	tcp_timers(worker->tcp, now);
	net_timers(worker->net, now);
	work += send_segments(worker, now);
	policy_quiescent(worker->shared->policy, worker->index);
	return work;
}

/* Nothing to do: first wait a little, then sleep, longer each time, never past a timer. */
static void
rest(struct worker *worker, uint64_t now)
{
	uint64_t next = RTE_MIN(tcp_next_timer(worker->tcp), net_next_timer(worker->net));
	uint64_t sleep_us = IDLE_SLEEP_MIN_US;
	struct timespec ts;

	if (!worker->shared->adaptive || ++worker->idle_turns < IDLE_SPINS) {
		rte_pause();
		return;
	}
	sleep_us += (worker->idle_turns - IDLE_SPINS) * IDLE_SLEEP_MIN_US;
	sleep_us = RTE_MIN(sleep_us, (uint64_t)IDLE_SLEEP_MAX_US);
	if (next <= now)
		return;
	sleep_us = RTE_MIN(sleep_us, next - now);
	ts = (struct timespec){.tv_nsec = sleep_us * 1000};
	nanosleep(&ts, NULL); /* there is no traffic: the one place for a system call */
}

static uint64_t
stop_deadline(const struct worker *worker)
{
	return __atomic_load_n(&worker->shared->stop, __ATOMIC_ACQUIRE) ?
		       worker->shared->stop_deadline_us :
		       UINT64_MAX;
}

static bool
may_end(const struct worker *worker, uint64_t now)
{
	if (!__atomic_load_n(&worker->shared->stop, __ATOMIC_ACQUIRE))
		return false;
	return now >= worker->shared->stop_deadline_us ||
	       (session_count(worker->sessions) == 0 && tcp_stack_connections(worker->tcp) == 0);
}

/* Resets what is left, and sees that the resets leave. */
static void
finish(struct worker *worker)
{
	uint64_t now = worker_clock();

	session_engine_shutdown(worker->sessions, now);
	for (unsigned int i = 0; i < FINISH_TURNS && send_segments(worker, now) > 0; i++)
		now = worker_clock();
	while (worker->n_loop > 0)
		rte_pktmbuf_free(worker->loop[--worker->n_loop]);
}

int
worker_run(void *arg)
{
	struct worker *worker = arg;
	uint64_t before, after;

	prctl(PR_SET_TIMERSLACK, 1000); /* ns: short sleeps are short */
	policy_worker_online(worker->shared->policy, worker->index);
	before = rte_rdtsc();
	for (;;) {
		uint64_t now = worker_clock();
		unsigned int work = turn(worker, now);

		after = rte_rdtsc();
		worker->stats.turns++;
		if (work > 0 && now < stop_deadline(worker)) {
			worker->idle_turns = 0;
			worker->stats.busy_cycles += after - before;
			before = after;
			continue;
		}
		if (may_end(worker, now))
			break;
		rest(worker, now);
		after = rte_rdtsc();
		worker->stats.idle_cycles += after - before;
		before = after;
	}
	finish(worker);
	policy_worker_offline(worker->shared->policy, worker->index);
	return 0;
}
