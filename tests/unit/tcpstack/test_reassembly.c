/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/tcpstack/inside.h"

#define SPACE 6000u
#define BASE (UINT32_MAX - 2000) /* sequence numbers wrap inside */

static uint8_t
pattern(uint32_t at)
{
	return (uint8_t)(at * 31 + at / 256);
}

/* A chain of small buffers that holds bytes `at`.. of the stream. */
static struct rte_mbuf *
chain(struct rng *rng, uint32_t at, uint32_t len, uint32_t piece)
{
	struct rte_mbuf *head = NULL, **link = &head;

	while (len > 0) {
		uint32_t n = (uint32_t)rng_between(rng, 1, piece);
		struct rte_mbuf *m = rte_pktmbuf_alloc(inside_pool);
		uint8_t *p;

		assert_non_null(m);
		n = RTE_MIN(n, len);
		p = (uint8_t *)rte_pktmbuf_append(m, (uint16_t)n);
		for (uint32_t i = 0; i < n; i++)
			p[i] = pattern(at + i);
		*link = m;
		link = &m->next;
		at += n;
		len -= n;
	}
	return head;
}

/* Hands bytes from..to to the connection, as tcp_input() would: clipped at rcv_nxt. */
static void
arrive(struct inside *in, uint32_t from, uint32_t to)
{
	uint32_t have = in->conn->rcv_nxt - BASE;

	from = RTE_MAX(from, have);
	if (from < to)
		tcp_reassembly_input(in->conn, chain(&in->rng, from, to - from, 700), BASE + from,
				     to - from);
}

/* Takes all that is readable and checks it to be bytes at.. of the stream. */
static uint32_t
read_all(struct inside *in, uint32_t at)
{
	struct rte_mbuf *m = tcp_receive(in->conn, UINT32_MAX), *head = m;
	uint32_t len = 0, buffers = 0;

	for (; m != NULL; m = m->next, buffers++)
		for (uint32_t i = 0; i < m->data_len; i++, len++)
			assert_int_equal(rte_pktmbuf_mtod(m, uint8_t *)[i], pattern(at + len));
	if (head != NULL) {
		assert_int_equal(head->pkt_len, len);
		assert_int_equal(head->nb_segs, buffers);
		rte_pktmbuf_free(head);
	}
	return at + len;
}

static int
setup(void **state)
{
	struct inside *in;

	inside_setup(state);
	in = *state;
	in->conn->rcv_nxt = BASE;
	return 0;
}

static void
check_sack(struct inside *in, const bool *have)
{
	const struct tcp_cold *cold = tcp_cold(in->conn);

	for (uint8_t b = 0; b < cold->n_sack; b++) {
		uint32_t start = cold->sack[b].start - BASE, end = cold->sack[b].end - BASE;

		assert_true(start < end && end <= SPACE);
		assert_true(start > in->conn->rcv_nxt - BASE);
		for (uint32_t i = start; i < end; i++)
			assert_true(have[i]);
		/* Whole runs: a byte more on either side would be a lie. */
		assert_false(have[start - 1]);
		assert_false(end < SPACE && have[end]);
	}
}

static void
play(struct inside *in, uint32_t longest)
{
	static bool have[SPACE];
	uint32_t read = 0;

	memset(have, 0, sizeof(have));
	while (in->conn->rcv_nxt - BASE < SPACE) {
		uint32_t from = (uint32_t)rng_between(&in->rng, 0, SPACE - 1);
		uint32_t to = RTE_MIN(from + (uint32_t)rng_between(&in->rng, 1, longest), SPACE);
		uint32_t nxt = 0;

		if (rng_chance(&in->rng, 300000)) { /* the next in order, else it takes too long */
			to = in->conn->rcv_nxt - BASE + (to - from);
			to = RTE_MIN(to, SPACE);
			from = in->conn->rcv_nxt - BASE;
		}
		arrive(in, from, to);
		for (uint32_t i = from; i < to; i++)
			have[i] = true;
		while (nxt < SPACE && have[nxt])
			nxt++;
		assert_int_equal(in->conn->rcv_nxt - BASE, nxt);
		check_sack(in, have);
		read = read_all(in, read);
		assert_int_equal(read, nxt);
	}
	assert_int_equal(in->conn->ooo_head, TCP_NONE);
	assert_int_equal(tcp_cold(in->conn)->ooo_bytes, 0);
	assert_int_equal(tcp_cold(in->conn)->n_sack, 0);
	assert_int_equal(rte_mempool_in_use_count(inside_pool), 0);
}

static void
any_order_and_overlap_gives_the_stream(void **state)
{
	struct inside *in = *state;

	for (uint32_t round = 0; round < 200; round++) {
		in->conn->rcv_nxt = BASE;
		play(in, round % 4 == 0 ? 20 : 1500);
	}
}

static void
latest_block_is_told_first(void **state)
{
	struct inside *in = *state;
	const struct tcp_cold *cold = tcp_cold(in->conn);

	arrive(in, 100, 200);
	arrive(in, 300, 400);
	assert_int_equal(cold->sack[0].start, BASE + 300);
	assert_int_equal(cold->sack[1].start, BASE + 100);
	arrive(in, 200, 250); /* joins the older block */
	assert_int_equal(cold->n_sack, 2);
	assert_int_equal(cold->sack[0].start, BASE + 100);
	assert_int_equal(cold->sack[0].end, BASE + 250);
	arrive(in, 250, 300); /* joins both */
	assert_int_equal(cold->n_sack, 1);
	assert_int_equal(cold->sack[0].end, BASE + 400);
	arrive(in, 0, 100);
	assert_int_equal(cold->n_sack, 0);
	read_all(in, 0);
}

static void
second_copy_is_told_as_duplicate(void **state)
{
	struct inside *in = *state;

	arrive(in, 100, 200);
	assert_false(in->conn->flags & TCP_F_DSACK);
	arrive(in, 150, 180);
	assert_true(in->conn->flags & TCP_F_DSACK);
	assert_int_equal(tcp_cold(in->conn)->dsack.start, BASE + 150);
	assert_int_equal(tcp_cold(in->conn)->dsack.end, BASE + 180);
}

/* What is kept out of order is bounded by the memory of its buffers, not by its bytes. */
static void
tiny_segments_cannot_pin_more_than_the_limit(void **state)
{
	struct inside *in = *state;
	uint32_t limit = in->stack->config.max_ooo_bytes;

	for (uint32_t i = 0; i < 2000; i++) {
		arrive(in, 10 + 2 * i, 11 + 2 * i);
		assert_true(tcp_cold(in->conn)->ooo_bytes <= limit);
		assert_true(rte_mempool_in_use_count(inside_pool) <= limit / 2048);
	}
	assert_true(in->stack->counters.ooo_dropped > 0);
	/* What comes in order is never refused. */
	arrive(in, 0, 10);
	assert_int_equal(in->conn->rcv_nxt, BASE + 11);
	read_all(in, 0);
}

static void
receive_gives_whole_buffers_around_the_limit(void **state)
{
	struct inside *in = *state;
	struct rte_mbuf *m;

	for (uint32_t i = 0; i < 5; i++)
		tcp_reassembly_input(in->conn, chain(&in->rng, 0, 1, 1), in->conn->rcv_nxt, 1);
	assert_null(tcp_receive(in->conn, 0));
	m = tcp_receive(in->conn, 2);
	assert_int_equal(m->pkt_len, 2);
	assert_int_equal(m->nb_segs, 2);
	rte_pktmbuf_free(m);
	m = tcp_receive(in->conn, 100);
	assert_int_equal(m->pkt_len, 3);
	rte_pktmbuf_free(m);
	assert_null(tcp_receive(in->conn, 100));
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(any_order_and_overlap_gives_the_stream, setup,
						inside_teardown),
		cmocka_unit_test_setup_teardown(latest_block_is_told_first, setup, inside_teardown),
		cmocka_unit_test_setup_teardown(second_copy_is_told_as_duplicate, setup,
						inside_teardown),
		cmocka_unit_test_setup_teardown(tiny_segments_cannot_pin_more_than_the_limit, setup,
						inside_teardown),
		cmocka_unit_test_setup_teardown(receive_gives_whole_buffers_around_the_limit, setup,
						inside_teardown),
	};

	inside_init("test_reassembly");
	return inside_run(tests, RTE_DIM(tests));
}
