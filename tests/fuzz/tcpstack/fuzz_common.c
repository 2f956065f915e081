/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/fuzz/tcpstack/fuzz_common.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/checked_pool.h"

static struct fuzz fuzz;

uint8_t
fuzz_u8(struct fuzz_input *in)
{
	if (in->left == 0)
		return 0;
	in->left--;
	return *in->at++;
}

uint16_t
fuzz_u16(struct fuzz_input *in)
{
	uint16_t high = fuzz_u8(in);

	return (uint16_t)(high << 8 | fuzz_u8(in));
}

uint32_t
fuzz_u32(struct fuzz_input *in)
{
	uint32_t high = fuzz_u16(in);

	return high << 16 | fuzz_u16(in);
}

void
fuzz_boot(const char *name)
{
	checked_eal_init(name, 64);
	fuzz.rx = checked_pool_create("rx", 1023, 2048);
	fuzz.payload = checked_pool_create("payload", 511, 2048);
	fuzz.header = checked_pool_create("header", 255, 128);
	fuzz.indirect = checked_pool_create("indirect", 511, 0);
}

struct fuzz *
fuzz_begin(void)
{
	struct tcp_stack_config config = {
		.max_connections = FUZZ_CONNECTIONS,
		.max_time_wait = 16,
		.max_ooo_bytes = 16384,
		.time_wait_ms = 2000,
		.header_pool = fuzz.header,
		.indirect_pool = fuzz.indirect,
		.random = rng_fill,
		.random_ctx = &fuzz.random,
		.socket_id = SOCKET_ID_ANY,
	};
	int error;

	fuzz.random.state = 1;
	fuzz.now = 5000000;
	memset(fuzz.conns, 0, sizeof(fuzz.conns));
	memset(fuzz.peers, 0, sizeof(fuzz.peers));
	fuzz.stack = tcp_stack_create(&config, &error);
	if (fuzz.stack == NULL)
		abort();
	return &fuzz;
}

static void
check_pool(const struct rte_mempool *pool)
{
	if (rte_mempool_avail_count(pool) == pool->size)
		return;
	fprintf(stderr, "pool %s: %u of %u buffers are back\n", pool->name,
		rte_mempool_avail_count(pool), pool->size);
	abort();
}

void
fuzz_end(struct fuzz *f)
{
	tcp_stack_destroy(f->stack);
	check_pool(f->rx);
	check_pool(f->payload);
	check_pool(f->header);
	check_pool(f->indirect);
}

struct tcp_tuple
fuzz_tuple(unsigned int i)
{
	bool v6 = i / 2 % 2;
	struct tcp_tuple tuple = {
		.local = v6 ? packet_v6(1) : packet_v4(10, 0, 0, 1),
		.remote = v6 ? packet_v6(2) : packet_v4(10, 0, 0, 2),
		.local_port = FUZZ_LOCAL_PORT,
		.remote_port = (uint16_t)(FUZZ_PEER_PORT + i),
	};

	return tuple;
}

struct packet
fuzz_packet(struct fuzz *f, unsigned int i, uint8_t flags)
{
	struct tcp_tuple tuple = fuzz_tuple(i);
	struct packet p = {.src = tuple.remote,
			   .dst = tuple.local,
			   .sport = tuple.remote_port,
			   .dport = tuple.local_port,
			   .flags = flags,
			   .wnd = 8192,
			   .seq = f->peers[i].rcv_nxt,
			   .ack = f->peers[i].snd_nxt};

	return p;
}

static void
take_stranger(struct fuzz *f, unsigned int i, struct rte_mbuf *m)
{
	struct tcp_conn_config config = {.keepalive_idle_ms = i % 3 ? 0 : 4000,
					 .keepalive_interval_ms = 1000,
					 .keepalive_probes = 2,
					 .user_timeout_ms = 9000,
					 .room = 20000};
	struct tcp_tuple tuple;
	uint8_t flags;

	if (!tcp_peek(m, &tuple, &flags)) {
		rte_pktmbuf_free(m);
		return;
	}
	if (f->conns[i] == NULL &&
	    tcp_accept(f->stack, m, f->now, &config, &f->conns[i]) == TCP_OK) {
		tcp_set_user(f->conns[i], &f->conns[i]);
		return;
	}
	tcp_refuse(f->stack, m, f->now);
}

void
fuzz_deliver(struct fuzz *f, unsigned int i, const uint8_t *bytes, size_t len, uint16_t piece)
{
	struct rte_mbuf *m = packet_to_mbuf(f->rx, bytes, len, piece);
	struct rte_mbuf *stranger;

	if (m != NULL && tcp_input(f->stack, &m, 1, f->now, &stranger) == 1)
		take_stranger(f, i, stranger);
}

static void
learn(struct fuzz *f, const struct packet *p)
{
	unsigned int i = (unsigned int)p->dport - FUZZ_PEER_PORT;

	if (i >= FUZZ_CONNECTIONS)
		return;
	f->peers[i].known = true;
	f->peers[i].snd_nxt = p->seq + p->payload_len + !!(p->flags & SYN) + !!(p->flags & FIN);
	if (p->flags & ACK)
		f->peers[i].rcv_nxt = p->ack;
	f->peers[i].tsval = p->tsval;
}

static void
transmit(struct fuzz *f, struct rte_mbuf *m)
{
	uint8_t bytes[9216];
	const char *why;
	struct packet p;
	size_t len = packet_transmit(m, bytes, sizeof(bytes), &why);

	if (len == 0) {
		fprintf(stderr, "tcp_output() breaks its contract: %s\n", why);
		abort();
	}
	packet_parse(bytes, len, &p);
	learn(f, &p);
	rte_pktmbuf_free(m);
}

static void
take_event(struct fuzz *f, const struct tcp_event *event)
{
	struct tcp_conn **slot = tcp_user(event->conn);
	struct tcp_info info;

	if (slot == NULL || *slot != event->conn)
		abort();
	tcp_conn_info(event->conn, &info);
	rte_pktmbuf_free(tcp_receive(event->conn, 3000));
	if (event->bits & (TCP_EV_FAILED | TCP_EV_CLOSED)) {
		tcp_release(event->conn, f->now);
		*slot = NULL;
	}
}

void
fuzz_turn(struct fuzz *f)
{
	struct tcp_event events[8];
	struct rte_mbuf *out[16];
	uint16_t n, total = 0;

	tcp_timers(f->stack, f->now);
	do {
		n = tcp_events(f->stack, events, RTE_DIM(events));
		for (uint16_t i = 0; i < n; i++)
			take_event(f, &events[i]);
	} while (n == RTE_DIM(events));
	do {
		n = tcp_output(f->stack, f->now, out, RTE_DIM(out));
		for (uint16_t i = 0; i < n; i++)
			transmit(f, out[i]);
		total = (uint16_t)(total + n);
		if (total > 5000)
			abort(); /* it never stops */
	} while (n == RTE_DIM(out));
}

void
fuzz_write(struct fuzz *f, unsigned int i, uint16_t len)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(f->payload);

	if (m == NULL)
		return;
	m->data_len = (uint16_t)(len % 2048 + 1);
	m->pkt_len = m->data_len;
	memset(rte_pktmbuf_mtod(m, void *), 'x', m->data_len);
	if (f->conns[i] == NULL || tcp_unacked(f->conns[i]) > 100000 ||
	    tcp_send(f->conns[i], m) != TCP_OK)
		rte_pktmbuf_free(m);
}

static void
send_packet(struct fuzz *f, unsigned int i, struct packet *p)
{
	uint8_t bytes[200];

	fuzz_deliver(f, i, bytes, packet_write(bytes, p, NULL, 0), 0);
	fuzz_turn(f);
}

void
fuzz_establish(struct fuzz *f, unsigned int i)
{
	struct tcp_conn_config config = {.user_timeout_ms = 9000};
	struct tcp_tuple tuple = fuzz_tuple(i);
	struct packet p;

	f->peers[i].rcv_nxt = 0xffffff00; /* wraps soon */
	if (i % 2) {
		if (tcp_connect(f->stack, &tuple, f->now, &config, &f->conns[i]) != TCP_OK) {
			f->conns[i] = NULL;
			return;
		}
		tcp_set_user(f->conns[i], &f->conns[i]);
		fuzz_turn(f);
		f->peers[i].rcv_nxt = 0xffffff00;
		p = fuzz_packet(f, i, SYN | ACK);
	} else {
		p = fuzz_packet(f, i, SYN);
	}
	p.opts_len = packet_opt_mss(p.opts, 0, 1400);
	p.opts_len = packet_opt_wscale(p.opts, p.opts_len, 2);
	p.opts_len = packet_opt_sack_permitted(p.opts, p.opts_len);
	if (i % 4 < 2)
		p.opts_len = packet_opt_ts(p.opts, p.opts_len, 1000, f->peers[i].tsval);
	send_packet(f, i, &p);
	p = fuzz_packet(f, i, ACK);
	if (i % 4 < 2)
		p.opts_len = packet_opt_ts(p.opts, 0, 1001, f->peers[i].tsval);
	send_packet(f, i, &p);
}
