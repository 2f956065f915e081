/* SPDX-License-Identifier: Apache-2.0 */
/* What was sent and did not arrive. */
#include "tests/unit/tcpstack/segment_harness.h"

#define FULL 1448

/* Establishes and gives the stack a round-trip time of 50 ms and a window of some segments. */
static uint32_t
warm_up(struct harness *h)
{
	uint32_t seq = 1;

	harness_accept(h);
	for (unsigned int i = 0; i < 10; i++) {
		harness_write(h, 2 * FULL);
		harness_advance(h, 50 * MS);
		seq += 2 * FULL;
		harness_ack(h, seq);
	}
	harness_discard(h);
	h->events = 0;
	return seq;
}

static struct packet
ack_with_sack(struct harness *h, uint32_t ack, uint32_t left, uint32_t right)
{
	struct packet p = harness_packet(h, ACK, 1, ack);

	uint32_t edges[] = {h->stack_isn + left, h->stack_isn + right};

	p.opts_len = packet_opt_sack(p.opts, p.opts_len, 1, edges);
	return p;
}

static void
third_duplicate_ack_retransmits(void **state)
{
	struct harness *h = *state;

	h->peer_sack = false;
	uint32_t seq = warm_up(h);

	harness_write(h, 8 * FULL);
	assert_int_equal(harness_waiting(h), 8);
	harness_discard(h);
	harness_advance(h, 50 * MS);
	harness_ack(h, seq);
	harness_ack(h, seq);
	struct sent *s;

	/* Limited transmit (RFC 3042) may send something new, but nothing again. */
	while ((s = harness_take(h)) != NULL)
		assert_true(s->seq >= seq + 8 * FULL);
	harness_ack(h, seq);
	s = harness_take(h);
	assert_non_null(s);
	assert_int_equal(s->seq, seq);
	assert_int_equal(s->p.payload_len, FULL);
	EXPECT_PATTERN(s);
	assert_int_equal(COUNTER(h, retransmits), 1);
	assert_int_equal(COUNTER(h, timeouts), 0);
	harness_ack(h, seq + 8 * FULL);
	assert_int_equal(tcp_unacked(h->conn), 0);
	assert_int_equal(COUNTER(h, fast_retransmits), 1);
}

static void
sack_blocks_tell_what_to_retransmit(void **state)
{
	struct harness *h = *state;
	uint32_t seq = warm_up(h);

	harness_write(h, 10 * FULL);
	assert_int_equal(harness_waiting(h), 10);
	harness_discard(h);
	harness_advance(h, 50 * MS);
	/* The first and the third are missing. */
	for (uint32_t i = 4; i <= 10; i++) {
		struct packet p = harness_packet(h, ACK, 1, seq);
		uint32_t at = h->stack_isn + seq;
		uint32_t edges[] = {at + 3 * FULL, at + i * FULL, at + FULL, at + 2 * FULL};

		p.opts_len = packet_opt_sack(p.opts, p.opts_len, 2, edges);
		harness_inject(h, &p, NULL, 0);
		harness_turn(h);
	}
	bool first = false, third = false;
	struct sent *s;

	while ((s = harness_take_data(h)) != NULL) {
		EXPECT_PATTERN(s);
		assert_true(s->seq == seq || s->seq == seq + 2 * FULL || s->seq >= seq + 10 * FULL);
		first |= s->seq == seq;
		third |= s->seq == seq + 2 * FULL;
	}
	assert_true(first);
	assert_true(third);
	assert_int_equal(COUNTER(h, retransmits), 2);
	harness_ack(h, seq + 10 * FULL);
	assert_int_equal(tcp_unacked(h->conn), 0);
}

static void
fast_retransmit_halves_nothing_twice(void **state)
{
	struct harness *h = *state;
	uint32_t seq = warm_up(h);
	struct tcp_info before, after;

	harness_write(h, 10 * FULL);
	tcp_conn_info(h->conn, &before);
	harness_advance(h, 50 * MS);
	for (uint32_t i = 2; i <= 10; i++) {
		struct packet p = ack_with_sack(h, seq, seq + FULL, seq + i * FULL);

		harness_inject(h, &p, NULL, 0);
		harness_turn(h);
	}
	harness_ack(h, seq + 10 * FULL);
	tcp_conn_info(h->conn, &after);
	/* RFC 9438 section 4.6: 0.7, RFC 5681: 0.5; once for one loss. */
	assert_true(after.snd_ssthresh >= before.snd_cwnd * 4 / 10 ||
		    after.snd_ssthresh >= 10 * FULL * 4 / 10);
	assert_true(after.snd_cwnd < before.snd_cwnd);
}

static void
sack_of_unsent_bytes_is_ignored(void **state)
{
	struct harness *h = *state;
	uint32_t seq = warm_up(h);

	harness_write(h, 4 * FULL);
	harness_discard(h);
	for (uint32_t i = 0; i < 6; i++) {
		struct packet p =
			ack_with_sack(h, seq, seq + (100 + i) * FULL, seq + (200 + i) * FULL);

		harness_inject(h, &p, NULL, 0);
		p = ack_with_sack(h, seq, seq + 3 * FULL, seq + 2 * FULL);
		harness_inject(h, &p, NULL, 0);
		p = ack_with_sack(h, seq, seq - 5000, seq - 1000);
		harness_inject(h, &p, NULL, 0);
		harness_turn(h);
	}
	assert_int_equal(tcp_unacked(h->conn), 4 * FULL);
	harness_ack(h, seq + 4 * FULL);
	assert_int_equal(tcp_unacked(h->conn), 0);
}

/* RFC 6298 section 5.5 */
static void
timeout_retransmits_and_doubles(void **state)
{
	struct harness *h = *state;
	uint32_t seq = warm_up(h);
	uint64_t last, gap = 0;

	h->events = 0;
	harness_write(h, 100);
	EXPECT(h, ACK, seq, 1, 100);
	last = h->now;
	harness_advance(h, 40 * SECOND);
	struct sent *s;
	unsigned int n = 0;

	while ((s = harness_take(h)) != NULL) {
		assert_int_equal(s->seq, seq);
		assert_int_equal(s->p.payload_len, 100);
		EXPECT_PATTERN(s);
		uint64_t wait = s->at - last;

		/* A tail loss probe (RFC 8985) may come before the first timeout. */
		if (n >= 2)
			assert_in_range(wait, gap * 19 / 10, gap * 21 / 10);
		assert_true(wait >= 100 * MS);
		gap = wait;
		last = s->at;
		n++;
	}
	assert_in_range(n, 5, 9);
	assert_true(COUNTER(h, timeouts) >= n - 1);
	harness_ack(h, seq + 100);
	EXPECT_EVENTS(h, TCP_EV_SENT);
	harness_advance(h, 100 * SECOND);
	EXPECT_NOTHING(h);
}

static void
first_timeout_without_a_sample_is_a_second(void **state)
{
	struct harness *h = *state;

	harness_open(h);
	uint64_t begin = harness_take(h)->at;

	harness_advance(h, 8 * SECOND);
	uint64_t wanted[] = {SECOND, 3 * SECOND, 7 * SECOND};

	for (unsigned int i = 0; i < 3; i++) {
		struct sent *s = harness_take(h);

		assert_non_null(s);
		assert_int_equal(s->p.flags & (SYN | ACK | RST), SYN);
		assert_in_range(s->at - begin, wanted[i], wanted[i] + 20 * MS);
	}
	EXPECT_NOTHING(h);
}

static void
syn_ack_is_retransmitted(void **state)
{
	struct harness *h = *state;

	harness_send_syn(h);
	assert_int_equal(harness_take_syn(h), TCP_OK);
	struct sent *first = harness_take(h);

	harness_learn(h, first);
	harness_advance(h, 4 * SECOND);
	for (unsigned int i = 0; i < 2; i++) {
		struct sent *s = harness_take(h);

		assert_non_null(s);
		assert_int_equal(s->p.flags & (SYN | ACK), SYN | ACK);
		assert_int_equal(s->p.seq, h->stack_isn);
		assert_int_equal(s->p.mss, first->p.mss);
		assert_int_equal(s->p.wscale, first->p.wscale);
	}
	harness_send(h, ACK, 1, 1, NULL, 0);
	EXPECT_EVENTS(h, TCP_EV_CONNECTED);
}

static void
retransmission_goes_on_after_a_partial_ack(void **state)
{
	struct harness *h = *state;

	h->peer_sack = false;
	uint32_t seq = warm_up(h);

	harness_write(h, 6 * FULL);
	harness_discard(h);
	harness_advance(h, 3 * SECOND);
	harness_discard(h);
	harness_ack(h, seq + FULL);
	struct sent *s = harness_take_data(h);

	/* RFC 5681 section 3.1: slow start from what the ACK says is missing next. */
	assert_non_null(s);
	assert_int_equal(s->seq, seq + FULL);
	EXPECT_PATTERN(s);
	harness_ack(h, seq + 6 * FULL);
	assert_int_equal(tcp_unacked(h->conn), 0);
	harness_discard(h);
	harness_advance(h, 60 * SECOND);
	EXPECT_NOTHING(h);
}

static void
timeout_shrinks_the_window_to_one_segment(void **state)
{
	struct harness *h = *state;

	warm_up(h);
	harness_write(h, 6 * FULL);
	harness_advance(h, 10 * SECOND);
	struct tcp_info info;

	tcp_conn_info(h->conn, &info);
	assert_true(info.snd_cwnd <= 2 * FULL);
	assert_true(info.snd_ssthresh >= 2 * FULL);
	assert_true(info.retransmits > 0);
}

static void
lost_fin_is_retransmitted(void **state)
{
	struct harness *h = *state;
	uint32_t seq = warm_up(h);

	tcp_shutdown(h->conn, h->now);
	harness_turn(h);
	EXPECT(h, FIN | ACK, seq, 1, 0);
	harness_advance(h, 3 * SECOND);
	EXPECT(h, FIN | ACK, seq, 1, 0);
	harness_ack(h, seq + 1);
	harness_discard(h);
	assert_int_equal(harness_state(h), TCP_FIN_WAIT_2);
	harness_advance(h, 30 * SECOND);
	EXPECT_NOTHING(h);
}

/* Karn: a retransmitted segment gives no sample without timestamps. */
static void
retransmitted_segment_gives_no_round_trip_time(void **state)
{
	struct harness *h = *state;
	struct tcp_info before, after;

	h->peer_ts = false;
	harness_accept(h);
	harness_write(h, 100);
	harness_advance(h, 50 * MS);
	harness_ack(h, 101);
	tcp_conn_info(h->conn, &before);
	assert_in_range(before.srtt_us, 1, 60 * MS);
	harness_write(h, 100);
	harness_advance(h, 2 * SECOND);
	assert_true(COUNTER(h, retransmits) > 0);
	harness_ack(h, 201);
	tcp_conn_info(h->conn, &after);
	assert_int_equal(after.srtt_us, before.srtt_us);
}

static void
round_trip_time_is_measured_with_timestamps(void **state)
{
	struct harness *h = *state;
	struct tcp_info info;

	warm_up(h);
	tcp_conn_info(h->conn, &info);
	assert_in_range(info.srtt_us, 25 * MS, 60 * MS);
	assert_in_range(info.rto_us, info.srtt_us, SECOND);
}

static void
window_starts_at_ten_segments(void **state)
{
	struct harness *h = *state;

	harness_accept(h);
	harness_write(h, 60000);
	/* RFC 6928 */
	assert_int_equal(harness_waiting(h), 10);
}

static void
slow_start_doubles_every_round_trip(void **state)
{
	struct harness *h = *state;

	harness_accept(h);
	harness_write(h, 200000);
	harness_discard(h);
	harness_advance(h, 50 * MS);
	for (uint32_t i = 1; i <= 5; i++)
		harness_ack(h, 1 + 2 * i * FULL);
	assert_in_range(harness_waiting(h), 18, 20);
}

static const struct CMUnitTest tests[] = {
	TEST(third_duplicate_ack_retransmits),
	TEST(sack_blocks_tell_what_to_retransmit),
	TEST(fast_retransmit_halves_nothing_twice),
	TEST(sack_of_unsent_bytes_is_ignored),
	TEST(timeout_retransmits_and_doubles),
	TEST(first_timeout_without_a_sample_is_a_second),
	TEST_BOTH(syn_ack_is_retransmitted),
	TEST(retransmission_goes_on_after_a_partial_ack),
	TEST(timeout_shrinks_the_window_to_one_segment),
	TEST_BOTH(lost_fin_is_retransmitted),
	TEST(retransmitted_segment_gives_no_round_trip_time),
	TEST(round_trip_time_is_measured_with_timestamps),
	TEST(window_starts_at_ten_segments),
	TEST(slow_start_doubles_every_round_trip),
};

int
main(void)
{
	harness_init("test_loss");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
