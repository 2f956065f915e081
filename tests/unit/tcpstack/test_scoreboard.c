/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/tcpstack/inside.h"

#define BASE (UINT32_MAX - 5000)
#define SPACE 20000u
#define MSS 1000

static int
setup(void **state)
{
	struct inside *in;
	struct tcp_conn *conn;

	inside_setup(state);
	in = *state;
	conn = in->conn;
	conn->snd_una = BASE;
	conn->snd_nxt = BASE + SPACE;
	conn->snd_end = BASE + SPACE;
	conn->mss = MSS;
	tcp_cold(conn)->snd_fack = BASE;
	return 0;
}

static bool
sack(struct tcp_conn *conn, uint32_t start, uint32_t end)
{
	struct tcp_options opt = {.n_sack = 1, .sack = {{BASE + start, BASE + end}}};

	return tcp_sack_update(conn, &opt);
}

/* The scoreboard says of every byte what the model says. */
static void
compare(struct inside *in, const bool *sacked)
{
	struct tcp_conn *conn = in->conn;
	const struct tcp_cold *cold = tcp_cold(conn);
	uint32_t node = conn->hole_head, count = 0;

	for (uint32_t i = conn->snd_una - BASE; i < SPACE; i++) {
		uint32_t seq = BASE + i;
		bool hole;

		while (node != TCP_NONE && seq_le(in->stack->nodes.node[node].hole.end, seq))
			node = in->stack->nodes.node[node].next;
		hole = node != TCP_NONE && seq_le(in->stack->nodes.node[node].hole.start, seq);
		assert_int_equal(sacked[i], seq_lt(seq, cold->snd_fack) && !hole);
		count += sacked[i];
	}
	assert_int_equal(cold->sacked, count);
}

static void
scoreboard_knows_every_byte(void **state)
{
	struct inside *in = *state;
	struct tcp_conn *conn = in->conn;
	static bool sacked[SPACE];

	for (uint32_t round = 0; round < 60; round++) {
		conn->snd_una = BASE;
		tcp_sack_clear(conn);
		memset(sacked, 0, sizeof(sacked));
		for (uint32_t step = 0; step < 60; step++) {
			uint32_t una = conn->snd_una - BASE;
			uint32_t a = (uint32_t)rng_between(&in->rng, una + 1, SPACE - 1);
			uint32_t b = RTE_MIN(a + (uint32_t)rng_between(&in->rng, 1, 1500), SPACE);

			sack(conn, a, b);
			memset(sacked + a, true, b - a);
			if (rng_chance(&in->rng, 50000)) {
				conn->snd_una += (uint32_t)rng_between(&in->rng, 1, 300);
				tcp_sack_advance(conn);
			}
			compare(in, sacked);
		}
	}
	tcp_sack_clear(conn);
	assert_int_equal(tcp_cold(conn)->n_holes, 0);
}

static void
three_segments_above_make_a_loss(void **state)
{
	struct inside *in = *state;
	struct tcp_conn *conn = in->conn;

	assert_true(sack(conn, 1000, 2000));
	assert_false(tcp_sack_detect(conn));
	assert_true(sack(conn, 2000, 3000));
	assert_false(tcp_sack_detect(conn));
	assert_true(sack(conn, 3000, 4000));
	assert_true(tcp_sack_detect(conn));
	assert_int_equal(tcp_sack_next(conn, false)->start, BASE);
	/* RFC 6675's pipe: 20000 less three SACKed and one lost segment. */
	assert_int_equal(tcp_sack_pipe(conn), SPACE - 4000);
}

static void
three_small_ranges_above_make_a_loss(void **state)
{
	struct inside *in = *state;
	struct tcp_conn *conn = in->conn;

	sack(conn, 1000, 1010);
	sack(conn, 1020, 1030);
	assert_false(tcp_sack_detect(conn));
	sack(conn, 1040, 1050);
	assert_true(tcp_sack_detect(conn));
	assert_false(tcp_sack_next(conn, false) == NULL);
	assert_int_equal(tcp_sack_next(conn, false)->end, BASE + 1000);
}

static void
retransmission_is_lost_when_later_data_arrives(void **state)
{
	struct inside *in = *state;
	struct tcp_conn *conn = in->conn;
	struct tcp_hole *hole;

	conn->snd_nxt = BASE + 10000;
	sack(conn, 1000, 4000);
	assert_true(tcp_sack_detect(conn));
	hole = tcp_sack_next(conn, false);
	hole->rtx = hole->end;
	hole->mark = conn->snd_nxt;
	sack(conn, 4000, 10000);
	assert_false(tcp_sack_detect(conn)); /* all of it was sent before */
	conn->snd_nxt = BASE + 14000;
	sack(conn, 10000, 12000);
	assert_false(tcp_sack_detect(conn));
	sack(conn, 12000, 13000);
	assert_true(tcp_sack_detect(conn));
	assert_int_equal(tcp_sack_next(conn, false)->rtx, BASE);
}

static void
blocks_that_lie_are_ignored(void **state)
{
	struct inside *in = *state;
	struct tcp_conn *conn = in->conn;

	conn->snd_nxt = BASE + 10000;
	assert_false(sack(conn, 9000, 10001)); /* never sent */
	assert_false(sack(conn, 5000, 5000));
	assert_false(sack(conn, 6000, 5000));
	assert_false(sack(conn, 0, 1000)); /* would be acknowledged */
	conn->snd_una = BASE + 3000;
	tcp_sack_advance(conn);
	assert_false(sack(conn, 1000, 2000)); /* D-SACK */
	assert_int_equal(conn->hole_head, TCP_NONE);
}

static void
timeout_keeps_what_is_sacked_and_loses_the_rest(void **state)
{
	struct inside *in = *state;
	struct tcp_conn *conn = in->conn;

	sack(conn, 5000, 7000);
	tcp_sack_lose_all(conn);
	assert_int_equal(tcp_sack_pipe(conn), 0);
	assert_int_equal(tcp_cold(conn)->sacked, 2000);
	struct tcp_hole *hole = tcp_sack_next(conn, false);
	assert_int_equal(hole->start, BASE);
	assert_int_equal(hole->end, BASE + 5000);
	hole->rtx = hole->end;
	hole = tcp_sack_next(conn, false);
	assert_int_equal(hole->start, BASE + 7000);
	assert_int_equal(hole->end, BASE + SPACE);
}

/* RFC 2018 section 8: the peer has dropped what it had SACKed. */
static void
timeout_after_reneging_forgets_the_blocks(void **state)
{
	struct inside *in = *state;
	struct tcp_conn *conn = in->conn;

	sack(conn, 1000, 3000);
	conn->snd_una = BASE + 1000; /* and not 3000 */
	tcp_sack_advance(conn);
	tcp_sack_lose_all(conn);
	assert_int_equal(tcp_cold(conn)->sacked, 0);
	assert_int_equal(tcp_sack_next(conn, false)->start, BASE + 1000);
	assert_int_equal(tcp_sack_next(conn, false)->end, BASE + SPACE);
}

/* Nodes are shared: however many holes one connection has, another can lose everything. */
static void
own_node_remains_when_the_shared_ones_are_used_up(void **state)
{
	struct inside *in = *state;
	struct tcp_conn *conn = in->conn;

	while (tcp_node_alloc(in->stack) != TCP_NONE)
		;
	sack(conn, 1000, 2000);
	sack(conn, 3000, 4000); /* no node: forgotten */
	assert_int_equal(tcp_cold(conn)->n_holes, 1);
	tcp_sack_lose_all(conn);
	assert_int_equal(tcp_sack_next(conn, false)->start, BASE);
	assert_int_equal(tcp_sack_next(conn, false)->end, BASE + SPACE);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(scoreboard_knows_every_byte, setup,
						inside_teardown),
		cmocka_unit_test_setup_teardown(three_segments_above_make_a_loss, setup,
						inside_teardown),
		cmocka_unit_test_setup_teardown(three_small_ranges_above_make_a_loss, setup,
						inside_teardown),
		cmocka_unit_test_setup_teardown(retransmission_is_lost_when_later_data_arrives,
						setup, inside_teardown),
		cmocka_unit_test_setup_teardown(blocks_that_lie_are_ignored, setup,
						inside_teardown),
		cmocka_unit_test_setup_teardown(timeout_keeps_what_is_sacked_and_loses_the_rest,
						setup, inside_teardown),
		cmocka_unit_test_setup_teardown(timeout_after_reneging_forgets_the_blocks, setup,
						inside_teardown),
		cmocka_unit_test_setup_teardown(own_node_remains_when_the_shared_ones_are_used_up,
						setup, inside_teardown),
	};

	inside_init("test_scoreboard");
	return inside_run(tests, RTE_DIM(tests));
}
