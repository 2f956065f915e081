/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/tcpstack/segment_harness.h"

#include <stdlib.h>
#include <string.h>

#include "tests/sim/checked_pool.h"

static struct rte_mempool *rx_pool, *payload_pool, *header_pool, *indirect_pool;

void
harness_init(const char *name)
{
	checked_eal_init(name, 64);
	rx_pool = checked_pool_create("rx", 1023, 2048);
	payload_pool = checked_pool_create("payload", 1023, 2048);
	header_pool = checked_pool_create("header", 1023, 128);
	indirect_pool = checked_pool_create("indirect", 1023, 0);
}

static void
set_addresses(struct harness *h)
{
	h->tuple.local = h->v6 ? packet_v6(1) : packet_v4(10, 0, 0, 1);
	h->tuple.remote = h->v6 ? packet_v6(2) : packet_v4(10, 0, 0, 2);
	h->tuple.local_port = HARNESS_PORT;
	h->tuple.remote_port = HARNESS_PEER_PORT;
}

static void
set_peer(struct harness *h)
{
	h->peer_isn = 0xfffffc00; /* sequence numbers wrap within the first kilobyte */
	h->peer_mss = h->v6 ? 1440 : 1460;
	h->peer_wscale = 7;
	h->peer_ts = h->peer_sack = true;
	h->peer_wnd = 65535;
	h->peer_ts_offset = 0xffffff00; /* and so do timestamps */
}

void
harness_new_stack(struct harness *h)
{
	int error = 1;

	if (h->stack != NULL)
		tcp_stack_destroy(h->stack);
	h->stack = tcp_stack_create(&h->stack_config, &error);
	assert_non_null(h->stack);
}

static int
setup(void **state, bool v6)
{
	struct harness *h = calloc(1, sizeof(*h));

	assert_non_null(h);
	h->v6 = v6;
	h->now = 1000 * SECOND;
	h->random.state = 42;
	h->rx = rx_pool;
	h->payload = payload_pool;
	h->header = header_pool;
	h->indirect = indirect_pool;
	h->stack_config = (struct tcp_stack_config){
		.max_connections = 64,
		.max_time_wait = 64,
		.max_ooo_bytes = 256 * 1024,
		.header_pool = h->header,
		.indirect_pool = h->indirect,
		.random = rng_fill,
		.random_ctx = &h->random,
		.socket_id = SOCKET_ID_ANY,
	};
	h->config.path = HARNESS_PATH;
	set_addresses(h);
	set_peer(h);
	harness_new_stack(h);
	*state = h;
	return 0;
}

int
harness_setup_v4(void **state)
{
	return setup(state, false);
}

int
harness_setup_v6(void **state)
{
	return setup(state, true);
}

static int
check_pool(const struct rte_mempool *pool)
{
	unsigned int available = rte_mempool_avail_count(pool);

	if (available == pool->size)
		return 0;
	print_error("pool %s: %u of %u buffers are back\n", pool->name, available, pool->size);
	return -1;
}

int
harness_teardown(void **state)
{
	struct harness *h = *state;

	for (unsigned int i = 0; i < h->n_strangers; i++)
		rte_pktmbuf_free(h->strangers[i]);
	tcp_stack_destroy(h->stack);
	free(h);
	return check_pool(rx_pool) | check_pool(payload_pool) | check_pool(header_pool) |
	       check_pool(indirect_pool);
}

/* --- the peer ------------------------------------------------------------------------------- */

uint8_t
harness_pattern(uint32_t offset)
{
	return (uint8_t)(offset * 7 + (offset >> 8) * 13 + 5);
}

static uint32_t
peer_ts(const struct harness *h)
{
	return (uint32_t)(h->now / 1000) + h->peer_ts_offset;
}

struct packet
harness_packet(struct harness *h, uint8_t flags, uint32_t seq, uint32_t ack)
{
	struct packet p = {.src = h->tuple.remote,
			   .dst = h->tuple.local,
			   .sport = h->tuple.remote_port,
			   .dport = h->tuple.local_port,
			   .seq = h->peer_isn + seq,
			   .flags = flags,
			   .wnd = h->peer_wnd};

	if (flags & ACK)
		p.ack = h->stack_isn + ack;
	if (h->timestamps && !(flags & RST))
		p.opts_len = packet_opt_ts(p.opts, 0, peer_ts(h), h->ts_echo);
	return p;
}

void
harness_inject(struct harness *h, const struct packet *p, const void *data, uint16_t len)
{
	struct rte_mbuf *m = packet_build(h->rx, p, data, len);

	assert_non_null(m);
	assert_true(h->n_strangers < RTE_DIM(h->strangers));
	h->n_strangers += tcp_input(h->stack, &m, 1, h->now, h->strangers + h->n_strangers);
}

void
harness_send(struct harness *h, uint8_t flags, uint32_t seq, uint32_t ack, const void *data,
	     uint16_t len)
{
	struct packet p = harness_packet(h, flags, seq, ack);

	harness_inject(h, &p, data, len);
	harness_turn(h);
}

void
harness_send_pattern(struct harness *h, uint32_t seq, uint32_t ack, uint16_t len)
{
	uint8_t data[2048];

	assert_true(len <= sizeof(data));
	for (uint16_t i = 0; i < len; i++)
		data[i] = harness_pattern(seq - 1 + i);
	harness_send(h, ACK | PSH, seq, ack, data, len);
}

void
harness_ack(struct harness *h, uint32_t ack)
{
	uint32_t seq = 1;
	struct tcp_info info;

	if (h->conn != NULL) {
		tcp_conn_info(h->conn, &info);
		seq += (uint32_t)info.bytes_received;
	}
	harness_send(h, ACK, seq, ack, NULL, 0);
}

/* --- the stack's turn --------------------------------------------------------------------- */

static void
collect_events(struct harness *h)
{
	struct tcp_event events[8];
	uint16_t n;

	do {
		n = tcp_events(h->stack, events, RTE_DIM(events));
		for (uint16_t i = 0; i < n; i++) {
			assert_non_null(events[i].conn);
			assert_int_not_equal(events[i].bits, 0);
			if (events[i].conn == h->conn)
				h->events |= events[i].bits;
		}
	} while (n == RTE_DIM(events));
}

static void
keep(struct harness *h, struct rte_mbuf *m)
{
	uint8_t bytes[9216];
	const char *why = NULL;
	struct sent *s = &h->sent[h->n_sent];
	size_t len = packet_transmit(m, bytes, sizeof(bytes), &why);

	if (len == 0)
		fail_msg("a segment that breaks the contract of tcp_output(): %s", why);
	if (h->n_sent == RTE_DIM(h->sent))
		fail_msg("the stack does not stop sending");
	h->n_sent++;
	s->at = h->now;
	s->path = tcp_segment_path(m);
	assert_true(packet_parse(bytes, len, &s->p));
	memcpy(s->payload, bytes + s->p.l3_len + s->p.l4_len,
	       RTE_MIN(s->p.payload_len, sizeof(s->payload)));
	s->seq = s->p.seq - h->stack_isn;
	s->ack = s->p.flags & ACK ? s->p.ack - h->peer_isn : 0;
	if (s->p.has_ts)
		h->ts_echo = s->p.tsval;
	rte_pktmbuf_free(m);
}

void
harness_turn(struct harness *h)
{
	struct rte_mbuf *out[16];
	uint16_t n;

	tcp_timers(h->stack, h->now);
	collect_events(h);
	do {
		n = tcp_output(h->stack, h->now, out, RTE_DIM(out));
		for (uint16_t i = 0; i < n; i++)
			keep(h, out[i]);
	} while (n == RTE_DIM(out));
	collect_events(h);
}

void
harness_advance(struct harness *h, uint64_t us)
{
	uint64_t end = h->now + us;

	for (unsigned int i = 0; i < 100000; i++) {
		uint64_t next = tcp_next_timer(h->stack);

		if (next > end)
			break;
		if (next > h->now)
			h->now = next;
		harness_turn(h);
		/* A timer that stays due without effect would spin the worker. */
		assert_true(i < 99999);
	}
	h->now = end;
	harness_turn(h);
}

/* --- opening -------------------------------------------------------------------------------- */

void
harness_syn_options(struct harness *h, struct packet *p)
{
	p->opts_len = 0;
	if (h->peer_mss != 0)
		p->opts_len = packet_opt_mss(p->opts, p->opts_len, h->peer_mss);
	if (h->peer_wscale >= 0)
		p->opts_len = packet_opt_wscale(p->opts, p->opts_len, (uint8_t)h->peer_wscale);
	if (h->peer_sack)
		p->opts_len = packet_opt_sack_permitted(p->opts, p->opts_len);
	if (h->peer_ts)
		p->opts_len = packet_opt_ts(p->opts, p->opts_len, peer_ts(h), h->ts_echo);
}

void
harness_learn(struct harness *h, const struct sent *syn)
{
	assert_true(syn->p.flags & SYN);
	h->stack_isn = syn->p.seq;
	h->stack_wscale = syn->p.wscale;
	h->scaled = syn->p.wscale >= 0 && h->peer_wscale >= 0;
	h->timestamps = syn->p.has_ts && h->peer_ts;
}

void
harness_open(struct harness *h)
{
	assert_int_equal(tcp_connect(h->stack, &h->tuple, h->now, &h->config, &h->conn), TCP_OK);
	h->tuple = *tcp_conn_tuple(h->conn);
	harness_turn(h);
}

void
harness_connect(struct harness *h)
{
	harness_open(h);
	struct sent *syn = harness_take(h);

	assert_non_null(syn);
	harness_learn(h, syn);
	struct packet p = harness_packet(h, SYN | ACK, 0, 1);

	harness_syn_options(h, &p);
	harness_inject(h, &p, NULL, 0);
	harness_turn(h);
	EXPECT(h, ACK, 1, 1, 0);
	EXPECT_EVENTS(h, TCP_EV_CONNECTED);
	assert_int_equal(harness_state(h), TCP_ESTABLISHED);
	EXPECT_NOTHING(h);
}

void
harness_send_syn(struct harness *h)
{
	struct packet p = harness_packet(h, SYN, 0, 0);

	harness_syn_options(h, &p);
	harness_inject(h, &p, NULL, 0);
	assert_int_equal(h->n_strangers, 1);
}

int
harness_take_syn(struct harness *h)
{
	assert_true(h->n_strangers > 0);
	int rc = tcp_accept(h->stack, h->strangers[h->n_strangers - 1], h->now, &h->config,
			    &h->conn);

	if (rc == TCP_OK)
		h->n_strangers--;
	else
		h->conn = NULL;
	harness_turn(h);
	return rc;
}

void
harness_accept(struct harness *h)
{
	harness_send_syn(h);
	assert_int_equal(harness_take_syn(h), TCP_OK);
	struct sent *syn = harness_take(h);

	assert_non_null(syn);
	assert_int_equal(syn->p.flags & (SYN | ACK), SYN | ACK);
	harness_learn(h, syn);
	harness_send(h, ACK, 1, 1, NULL, 0);
	EXPECT_EVENTS(h, TCP_EV_CONNECTED);
	assert_int_equal(harness_state(h), TCP_ESTABLISHED);
	EXPECT_NOTHING(h);
}

/* --- the application ------------------------------------------------------------------------ */

void
harness_write(struct harness *h, uint32_t len)
{
	while (len > 0) {
		struct rte_mbuf *m = rte_pktmbuf_alloc(h->payload);
		uint16_t n = (uint16_t)RTE_MIN(len, 1000u);

		assert_non_null(m);
		uint8_t *at = rte_pktmbuf_mtod(m, uint8_t *);

		for (uint16_t i = 0; i < n; i++)
			at[i] = harness_pattern(h->queued + i);
		m->data_len = n;
		m->pkt_len = n;
		assert_int_equal(tcp_send(h->conn, m), TCP_OK);
		h->queued += n;
		len -= n;
	}
	harness_turn(h);
}

uint32_t
harness_read(struct harness *h, uint32_t from)
{
	struct rte_mbuf *chain = tcp_receive(h->conn, UINT32_MAX);
	uint32_t len = 0;

	for (struct rte_mbuf *m = chain; m != NULL; m = m->next) {
		const uint8_t *at = rte_pktmbuf_mtod(m, const uint8_t *);

		for (uint16_t i = 0; i < m->data_len; i++) {
			if (at[i] != harness_pattern(from + len + i))
				fail_msg("byte %u of the stream is wrong", from + len + i);
		}
		len += m->data_len;
	}
	if (chain != NULL)
		assert_int_equal(chain->pkt_len, len);
	rte_pktmbuf_free(chain);
	return len;
}

enum tcp_state
harness_state(struct harness *h)
{
	return tcp_conn_state(h->conn);
}

void
harness_release(struct harness *h)
{
	tcp_release(h->conn, h->now);
	h->conn = NULL;
	harness_turn(h);
}

/* --- expectations --------------------------------------------------------------------------- */

struct sent *
harness_take(struct harness *h)
{
	return h->n_taken == h->n_sent ? NULL : &h->sent[h->n_taken++];
}

struct sent *
harness_take_data(struct harness *h)
{
	struct sent *s;

	while ((s = harness_take(h)) != NULL && s->p.payload_len == 0)
		;
	return s;
}

unsigned int
harness_waiting(struct harness *h)
{
	return h->n_sent - h->n_taken;
}

void
harness_discard(struct harness *h)
{
	h->n_sent = h->n_taken = 0;
}

struct sent *
harness_expect(struct harness *h, uint8_t flags, uint32_t seq, uint32_t ack, uint32_t len,
	       const char *file, int line)
{
	struct sent *s = harness_take(h);
	char text[300];

	if (s == NULL) {
		print_error("%s:%d: nothing was sent\n", file, line);
		fail();
		return NULL;
	}
	if ((s->p.flags & ~PSH) != (flags & ~PSH) || s->seq != seq || s->ack != ack ||
	    s->p.payload_len != len) {
		packet_print(&s->p, text, sizeof(text));
		print_error("%s:%d: wanted flags 0x%x seq %u ack %u len %u, got flags 0x%x seq %u "
			    "ack %u (%s)\n",
			    file, line, flags, seq, ack, len, s->p.flags, s->seq, s->ack, text);
		fail();
	}
	return s;
}

void
harness_expect_nothing(struct harness *h, const char *file, int line)
{
	struct sent *s = harness_take(h);
	char text[300];

	if (s == NULL)
		return;
	packet_print(&s->p, text, sizeof(text));
	print_error("%s:%d: something was sent: seq %u ack %u (%s)\n", file, line, s->seq, s->ack,
		    text);
	fail();
}

void
harness_expect_pattern(const struct sent *s, const char *file, int line)
{
	for (uint32_t i = 0; i < s->p.payload_len; i++) {
		if (s->payload[i] == harness_pattern(s->seq - 1 + i))
			continue;
		print_error("%s:%d: byte %u of the payload is wrong\n", file, line, i);
		fail();
	}
}
