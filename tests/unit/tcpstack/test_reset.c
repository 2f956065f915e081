/* SPDX-License-Identifier: Apache-2.0 */
/* Resets, ours and theirs, and the blind attacks of RFC 5961. */
#include "tests/unit/tcpstack/segment_harness.h"

static void
exact_rst_ends_the_connection(void **state)
{
	struct harness *h = *state;

	harness_accept(h);
	harness_write(h, 5000);
	harness_discard(h);
	h->events = 0;
	harness_send(h, RST, 1, 0, NULL, 0);
	EXPECT_EVENTS(h, TCP_EV_FAILED);
	assert_int_equal(tcp_conn_error(h->conn), TCP_E_RESET);
	assert_int_equal(harness_state(h), TCP_CLOSED);
	assert_int_equal(COUNTER(h, resets_in), 1);
	struct rte_mbuf *m = rte_pktmbuf_alloc(h->payload);

	rte_pktmbuf_append(m, 10);
	assert_int_equal(tcp_send(h->conn, m), TCP_E_STATE);
	rte_pktmbuf_free(m);
	harness_advance(h, 10 * SECOND);
	EXPECT_NOTHING(h);
	harness_release(h);
	EXPECT_NOTHING(h);
	assert_int_equal(tcp_stack_connections(h->stack), 0);
	assert_true(tcp_next_timer(h->stack) == UINT64_MAX);
}

/* RFC 5961 section 3.2 */
static void
rst_in_window_but_not_exact_gets_challenge_ack(void **state)
{
	struct harness *h = *state;

	harness_accept(h);
	harness_send(h, RST, 2, 0, NULL, 0);
	EXPECT(h, ACK, 1, 1, 0);
	EXPECT_EVENTS(h, 0);
	assert_int_equal(harness_state(h), TCP_ESTABLISHED);
	assert_int_equal(COUNTER(h, challenge_acks), 1);
}

static void
rst_outside_the_window_is_ignored(void **state)
{
	struct harness *h = *state;

	harness_accept(h);
	harness_send(h, RST, 0, 0, NULL, 0);
	harness_send(h, RST, 100000000, 0, NULL, 0);
	EXPECT_NOTHING(h);
	EXPECT_EVENTS(h, 0);
	assert_int_equal(harness_state(h), TCP_ESTABLISHED);
	assert_int_equal(COUNTER(h, resets_ignored), 2);
}

/* RFC 5961 section 4.2 */
static void
syn_in_established_gets_challenge_ack(void **state)
{
	struct harness *h = *state;
	uint32_t seqs[] = {0, 1, 5, 4000000000u};

	harness_accept(h);
	for (unsigned int i = 0; i < 4; i++) {
		harness_send(h, SYN, seqs[i], 0, NULL, 0);
		EXPECT(h, ACK, 1, 1, 0);
		assert_int_equal(harness_state(h), TCP_ESTABLISHED);
	}
	EXPECT_EVENTS(h, 0);
	assert_int_equal(h->n_strangers, 0);
}

/* RFC 5961 section 5.2 */
static void
ack_far_in_the_past_gets_challenge_ack(void **state)
{
	struct harness *h = *state;

	harness_accept(h);
	harness_send(h, ACK, 1, 1u - 100000000, NULL, 0);
	EXPECT(h, ACK, 1, 1, 0);
	EXPECT_EVENTS(h, 0);
}

/* RFC 5961 section 7 */
static void
challenge_acks_are_limited(void **state)
{
	struct harness *h = *state;

	harness_accept(h);
	for (unsigned int i = 0; i < 200; i++)
		harness_send(h, RST, 2 + i, 0, NULL, 0);
	assert_in_range(harness_waiting(h), 1, 150);
	assert_true(COUNTER(h, challenge_limited) > 0);
	harness_discard(h);
	harness_advance(h, 2 * SECOND);
	harness_send(h, RST, 2, 0, NULL, 0);
	EXPECT(h, ACK, 1, 1, 0);
}

static void
abort_sends_one_reset(void **state)
{
	struct harness *h = *state;

	harness_accept(h);
	harness_write(h, 3000);
	harness_discard(h);
	tcp_abort(h->conn, h->now);
	harness_turn(h);
	struct sent *s = harness_take(h);

	assert_non_null(s);
	assert_true(s->p.flags & RST);
	assert_int_equal(s->seq, 3001);
	assert_int_equal(s->path, HARNESS_PATH);
	EXPECT_NOTHING(h);
	assert_int_equal(rte_mempool_avail_count(h->payload), h->payload->size);
	harness_release(h);
	harness_advance(h, 100 * SECOND);
	EXPECT_NOTHING(h);
	assert_int_equal(tcp_stack_connections(h->stack), 0);
}

static void
abort_and_release_at_once_still_send_the_reset(void **state)
{
	struct harness *h = *state;

	harness_accept(h);
	tcp_abort(h->conn, h->now);
	harness_release(h);
	struct sent *s = harness_take(h);

	assert_non_null(s);
	assert_true(s->p.flags & RST);
	assert_int_equal(tcp_stack_connections(h->stack), 0);
}

static void
abort_in_syn_sent_is_silent(void **state)
{
	struct harness *h = *state;

	harness_open(h);
	harness_discard(h);
	tcp_abort(h->conn, h->now);
	harness_release(h);
	harness_advance(h, 30 * SECOND);
	EXPECT_NOTHING(h);
	assert_int_equal(tcp_stack_connections(h->stack), 0);
}

/* --- strangers, RFC 9293 section 3.10.7.1 ---------------------------------------------------- */

static struct sent *
refuse(struct harness *h, uint8_t flags, uint32_t seq, uint32_t ack, uint16_t len)
{
	uint8_t data[100] = {0};
	struct packet p = harness_packet(h, flags, seq, ack);

	harness_inject(h, &p, data, len);
	assert_int_equal(h->n_strangers, 1);
	tcp_refuse(h->stack, h->strangers[--h->n_strangers], h->now);
	harness_turn(h);
	return harness_take(h);
}

static void
refused_syn_is_acknowledged_by_the_reset(void **state)
{
	struct harness *h = *state;
	struct sent *s = refuse(h, SYN, 0, 0, 0);

	assert_non_null(s);
	assert_int_equal(s->p.flags, RST | ACK);
	assert_int_equal(s->p.seq, 0);
	assert_int_equal(s->ack, 1);
	assert_int_equal(s->path, 0);
	assert_memory_equal(&s->p.src, &h->tuple.local, 16);
	assert_int_equal(s->p.sport, HARNESS_PORT);
	assert_int_equal(s->p.dport, HARNESS_PEER_PORT);
}

static void
refused_data_is_counted_by_the_reset(void **state)
{
	struct harness *h = *state;
	struct sent *s = refuse(h, PSH, 10, 0, 100);

	assert_non_null(s);
	assert_int_equal(s->p.flags, RST | ACK);
	assert_int_equal(s->p.seq, 0);
	assert_int_equal(s->ack, 110);
	s = refuse(h, FIN | SYN, 10, 0, 100);
	assert_non_null(s);
	assert_int_equal(s->ack, 112);
}

static void
refused_ack_gives_the_reset_its_number(void **state)
{
	struct harness *h = *state;
	struct sent *s = refuse(h, ACK, 10, 4711, 100);

	assert_non_null(s);
	assert_int_equal(s->p.flags & ~ACK, RST);
	assert_int_equal(s->seq, 4711);
	s = refuse(h, SYN | ACK, 10, 815, 0);
	assert_non_null(s);
	assert_int_equal(s->p.flags & ~ACK, RST);
	assert_int_equal(s->seq, 815);
}

static void
reset_is_never_answered(void **state)
{
	struct harness *h = *state;

	assert_null(refuse(h, RST, 10, 0, 0));
	assert_null(refuse(h, RST | ACK, 10, 4, 0));
	assert_null(refuse(h, RST | SYN, 10, 4, 0));
}

static void
reset_with_data_is_still_a_reset(void **state)
{
	struct harness *h = *state;
	uint8_t text[] = "reset cause";

	harness_accept(h);
	harness_send(h, RST, 1, 0, text, sizeof(text));
	EXPECT_EVENTS(h, TCP_EV_FAILED);
	assert_int_equal(tcp_conn_error(h->conn), TCP_E_RESET);
}

static void
bytes_before_the_reset_can_still_be_read_or_are_dropped(void **state)
{
	struct harness *h = *state;

	harness_accept(h);
	harness_send_pattern(h, 1, 1, 100);
	h->events = 0;
	harness_send(h, RST, 101, 0, NULL, 0);
	EXPECT_EVENTS(h, TCP_EV_FAILED);
	uint32_t n = harness_read(h, 0);

	assert_true(n == 0 || n == 100);
}

static void
reset_in_fin_wait_fails(void **state)
{
	struct harness *h = *state;

	harness_accept(h);
	tcp_shutdown(h->conn, h->now);
	harness_turn(h);
	harness_send(h, RST, 1, 0, NULL, 0);
	EXPECT_EVENTS(h, TCP_EV_FAILED);
	harness_release(h);
	assert_int_equal(tcp_stack_time_waits(h->stack), 0);
}

static const struct CMUnitTest tests[] = {
	TEST_BOTH(exact_rst_ends_the_connection),
	TEST_BOTH(rst_in_window_but_not_exact_gets_challenge_ack),
	TEST(rst_outside_the_window_is_ignored),
	TEST_BOTH(syn_in_established_gets_challenge_ack),
	TEST(ack_far_in_the_past_gets_challenge_ack),
	TEST(challenge_acks_are_limited),
	TEST_BOTH(abort_sends_one_reset),
	TEST(abort_and_release_at_once_still_send_the_reset),
	TEST(abort_in_syn_sent_is_silent),
	TEST_BOTH(refused_syn_is_acknowledged_by_the_reset),
	TEST_BOTH(refused_data_is_counted_by_the_reset),
	TEST_BOTH(refused_ack_gives_the_reset_its_number),
	TEST(reset_is_never_answered),
	TEST(reset_with_data_is_still_a_reset),
	TEST(bytes_before_the_reset_can_still_be_read_or_are_dropped),
	TEST(reset_in_fin_wait_fails),
};

int
main(void)
{
	harness_init("test_reset");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
