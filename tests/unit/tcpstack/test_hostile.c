/* SPDX-License-Identifier: Apache-2.0 */
/* Headers that lie, options of every length, clocks that go back, and ICMP. */
#include "tests/unit/tcpstack/segment_harness.h"

#include <string.h>

/* A connection that still works: ten bytes arrive. */
static void
assert_alive(struct harness *h, uint32_t seq)
{
	harness_discard(h);
	harness_read(h, seq - 1);
	harness_send_pattern(h, seq, 1, 10);
	assert_int_equal(harness_read(h, seq - 1), 10);
}

static void
bad_data_offset_is_counted_and_dropped(void **state)
{
	struct harness *h = *state;
	uint8_t data[8] = {0};

	harness_accept(h);
	for (uint8_t offset = 1; offset < 16; offset++) {
		struct packet p = harness_packet(h, ACK | PSH, 1, 1);

		p.opts_len = 0;
		if (offset >= 5 && offset * 4 <= 20 + 8)
			continue;
		p.data_offset = offset;
		harness_inject(h, &p, data, sizeof(data));
		harness_turn(h);
	}
	EXPECT_EVENTS(h, 0);
	assert_int_equal(h->n_strangers, 0);
	assert_int_equal(COUNTER(h, bad_header), 4 + 8);
	assert_alive(h, 1);
}

static void
truncated_header_is_counted_and_dropped(void **state)
{
	struct harness *h = *state;

	harness_accept(h);
	/* From no TCP header at all to one that lacks a byte. */
	for (uint16_t cut = 1; cut <= 20; cut++) {
		struct packet p = harness_packet(h, ACK, 1, 1);

		p.opts_len = 0;
		p.cut = cut;
		harness_inject(h, &p, NULL, 0);
		harness_turn(h);
	}
	assert_int_equal(h->n_strangers, 0);
	assert_int_equal(COUNTER(h, bad_header), 20);
	EXPECT_EVENTS(h, 0);
	EXPECT_NOTHING(h);
	assert_alive(h, 1);
}

static void
peek_refuses_what_has_no_header(void **state)
{
	struct harness *h = *state;
	struct tcp_tuple tuple;
	uint8_t flags;

	for (uint16_t cut = 1; cut <= 20; cut++) {
		struct packet p = harness_packet(h, SYN, 0, 0);

		p.cut = cut;
		struct rte_mbuf *m = packet_build(h->rx, &p, NULL, 0);

		assert_false(tcp_peek(m, &tuple, &flags));
		assert_true(tcp_accept(h->stack, m, h->now, &h->config, &h->conn) < 0);
		rte_pktmbuf_free(m);
	}
	h->conn = NULL;
}

/* Every kind with every length, in a block of every length: what can be read is used, the
 * rest is ignored, and the segment's data is taken. */
static void
option_block_of_every_length_is_survived(void **state)
{
	struct harness *h = *state;
	static const uint8_t kinds[] = {0, 1, 2, 3, 4, 5, 8, 19, 28, 29, 30, 34, 253, 255};
	uint32_t seq = 1;

	h->peer_ts = false;
	harness_accept(h);
	for (unsigned int k = 0; k < sizeof(kinds); k++) {
		for (unsigned int len = 0; len < 48; len++) {
			for (uint8_t block = 4; block <= 40; block = (uint8_t)(block + 4)) {
				struct packet p = harness_packet(h, ACK, seq, 1);
				uint8_t byte = harness_pattern(seq - 1);

				memset(p.opts, 0xa5, sizeof(p.opts));
				p.opts_len = block;
				p.opts[0] = kinds[k];
				p.opts[1] = (uint8_t)len;
				harness_inject(h, &p, &byte, 1);
				harness_turn(h);
				harness_discard(h);
				assert_int_equal(harness_read(h, seq - 1), 1);
				seq++;
			}
		}
	}
	assert_true(COUNTER(h, bad_options) > 100);
	assert_int_equal(harness_state(h), TCP_ESTABLISHED);
}

static void
option_at_the_very_end_may_be_cut_off(void **state)
{
	struct harness *h = *state;
	static const uint8_t kinds[] = {2, 3, 4, 5, 8, 77};
	uint32_t seq = 1;

	h->peer_ts = false;
	harness_accept(h);
	for (unsigned int k = 0; k < sizeof(kinds); k++) {
		for (uint8_t at = 1; at <= 4; at++) {
			struct packet p = harness_packet(h, ACK, seq, 1);
			uint8_t byte = harness_pattern(seq - 1);

			/* NOPs, then an option with as much room as `at` leaves. */
			memset(p.opts, 1, sizeof(p.opts));
			p.opts_len = 40;
			p.opts[40 - at] = kinds[k];
			if (at > 1)
				p.opts[41 - at] = 10;
			harness_inject(h, &p, &byte, 1);
			harness_turn(h);
			assert_int_equal(harness_read(h, seq - 1), 1);
			seq++;
		}
	}
	assert_int_equal(COUNTER(h, bad_options), sizeof(kinds) * 4);
}

static void
syn_with_broken_options_is_malformed_or_accepted_but_never_harmful(void **state)
{
	struct harness *h = *state;

	for (unsigned int i = 0; i < 2000; i++) {
		h->tuple.remote_port = (uint16_t)(10000 + i);
		struct packet p = harness_packet(h, SYN, 0, 0);

		p.opts_len = (uint8_t)(4 * rng_between(&h->random, 0, 10));
		rng_fill(&h->random, p.opts, sizeof(p.opts));
		for (unsigned int k = 0; k < sizeof(p.opts); k += 3)
			p.opts[k] = (uint8_t)rng_between(&h->random, 0, 9);
		harness_inject(h, &p, NULL, 0);
		assert_int_equal(h->n_strangers, 1);
		int rc = harness_take_syn(h);

		if (rc == TCP_OK) {
			struct tcp_info info;

			tcp_conn_info(h->conn, &info);
			assert_true(info.snd_wscale <= 14);
			assert_true(info.snd_mss > 0);
			tcp_abort(h->conn, h->now);
			harness_release(h);
		} else {
			assert_int_equal(rc, TCP_E_MALFORMED);
			rte_pktmbuf_free(h->strangers[--h->n_strangers]);
		}
		harness_discard(h);
	}
	assert_int_equal(tcp_stack_connections(h->stack), 0);
}

static void
sack_and_window_scale_after_the_handshake_change_nothing(void **state)
{
	struct harness *h = *state;
	struct tcp_info before, after;

	harness_accept(h);
	tcp_conn_info(h->conn, &before);
	struct packet p = harness_packet(h, ACK, 1, 1);

	p.opts_len = packet_opt_wscale(p.opts, p.opts_len, 3);
	p.opts_len = packet_opt_mss(p.opts, p.opts_len, 100);
	harness_inject(h, &p, NULL, 0);
	harness_turn(h);
	tcp_conn_info(h->conn, &after);
	assert_int_equal(after.snd_wscale, before.snd_wscale);
	assert_int_equal(after.snd_mss, before.snd_mss);
	assert_int_equal(after.snd_wnd, before.snd_wnd);
}

/* RFC 7323 section 5.3 */
static void
old_timestamp_is_dropped_by_paws(void **state)
{
	struct harness *h = *state;
	uint8_t byte = harness_pattern(0);

	harness_accept(h);
	harness_advance(h, 10 * SECOND);
	harness_send_pattern(h, 1, 1, 10);
	assert_int_equal(harness_read(h, 0), 10);
	harness_discard(h);
	h->events = 0;
	struct packet p = harness_packet(h, ACK, 11, 1);

	p.opts_len = packet_opt_ts(p.opts, 0, (uint32_t)(h->now / 1000) + h->peer_ts_offset - 5000,
				   h->ts_echo);
	harness_inject(h, &p, &byte, 1);
	harness_turn(h);
	EXPECT_EVENTS(h, 0);
	assert_null(tcp_receive(h->conn, UINT32_MAX));
	EXPECT(h, ACK, 1, 11, 0);
	assert_int_equal(COUNTER(h, paws), 1);
	assert_alive(h, 11);
}

static void
reset_is_not_subject_to_paws(void **state)
{
	struct harness *h = *state;

	harness_accept(h);
	struct packet p = harness_packet(h, RST, 1, 0);

	p.opts_len = packet_opt_ts(p.opts, 0, h->peer_ts_offset, 0);
	harness_inject(h, &p, NULL, 0);
	harness_turn(h);
	EXPECT_EVENTS(h, TCP_EV_FAILED);
}

/* RFC 7323 section 5.5: after 24 days a timestamp says nothing. */
static void
old_timestamp_is_taken_after_24_days_of_silence(void **state)
{
	struct harness *h = *state;

	harness_accept(h);
	harness_advance(h, 26ull * 24 * 3600 * SECOND);
	h->peer_ts_offset -= 26u * 24 * 3600 * 1000 + 1000;
	assert_alive(h, 1);
}

/* RFC 7323 section 3.2: a segment without the timestamps that were agreed on SHOULD be
 * dropped. */
static void
missing_timestamp_does_not_end_the_connection(void **state)
{
	struct harness *h = *state;
	uint8_t byte = harness_pattern(0);

	harness_accept(h);
	struct packet p = harness_packet(h, ACK, 1, 1);

	p.opts_len = 0;
	harness_inject(h, &p, &byte, 1);
	harness_turn(h);
	assert_int_equal(harness_state(h), TCP_ESTABLISHED);
}

/* --- ICMP, RFC 5927 ------------------------------------------------------------------------------
 */

static void
icmp(struct harness *h, uint32_t seq, enum tcp_icmp kind, uint16_t mtu)
{
	tcp_icmp_error(h->stack, &h->tuple, h->stack_isn + seq, kind, mtu, h->now);
	harness_turn(h);
}

static void
hard_icmp_while_connecting_fails(void **state)
{
	struct harness *h = *state;

	harness_open(h);
	harness_learn(h, harness_take(h));
	icmp(h, 0, TCP_ICMP_HARD, 0);
	EXPECT_EVENTS(h, TCP_EV_FAILED);
	assert_int_equal(tcp_conn_error(h->conn), TCP_E_UNREACHABLE);
	EXPECT_NOTHING(h);
}

static void
soft_icmp_while_connecting_is_only_remembered(void **state)
{
	struct harness *h = *state;

	h->config.connect_timeout_ms = 5000;
	harness_open(h);
	harness_learn(h, harness_take(h));
	icmp(h, 0, TCP_ICMP_SOFT, 0);
	EXPECT_EVENTS(h, 0);
	assert_int_equal(harness_state(h), TCP_SYN_SENT);
	harness_advance(h, 6 * SECOND);
	EXPECT_EVENTS(h, TCP_EV_FAILED);
	int error = tcp_conn_error(h->conn);

	assert_true(error == TCP_E_UNREACHABLE || error == TCP_E_TIMEOUT);
}

/* RFC 5461, RFC 1122 section 4.2.3.9 */
static void
hard_icmp_does_not_end_an_established_connection(void **state)
{
	struct harness *h = *state;

	harness_accept(h);
	harness_write(h, 100);
	icmp(h, 1, TCP_ICMP_HARD, 0);
	EXPECT_EVENTS(h, 0);
	assert_int_equal(harness_state(h), TCP_ESTABLISHED);
}

static void
icmp_about_bytes_not_in_flight_is_not_believed(void **state)
{
	struct harness *h = *state;
	struct tcp_info before, after;

	harness_open(h);
	harness_learn(h, harness_take(h));
	icmp(h, 1000, TCP_ICMP_HARD, 0);
	icmp(h, (uint32_t)-1, TCP_ICMP_HARD, 0);
	EXPECT_EVENTS(h, 0);
	tcp_abort(h->conn, h->now);
	harness_release(h);
	harness_discard(h);
	h->tuple.remote_port++;
	h->tuple.local_port++;
	h->timestamps = false;
	harness_accept(h);
	tcp_conn_info(h->conn, &before);
	icmp(h, 5000, TCP_ICMP_TOO_BIG, 1300);
	icmp(h, 1, TCP_ICMP_TOO_BIG, 1300);
	tcp_conn_info(h->conn, &after);
	assert_int_equal(before.snd_mss, after.snd_mss);
}

static void
too_big_makes_segments_smaller_and_sends_again(void **state)
{
	struct harness *h = *state;

	harness_accept(h);
	harness_write(h, 4000);
	harness_discard(h);
	icmp(h, 1, TCP_ICMP_TOO_BIG, 1300);
	harness_advance(h, 3 * SECOND);
	struct sent *s = harness_take_data(h);

	assert_non_null(s);
	assert_int_equal(s->seq, 1);
	for (; s != NULL; s = harness_take_data(h)) {
		assert_true(s->p.total_len <= 1300);
		EXPECT_PATTERN(s);
	}
	harness_ack(h, 4001);
	assert_int_equal(tcp_unacked(h->conn), 0);
}

static void
too_big_with_an_absurd_mtu_is_bounded(void **state)
{
	struct harness *h = *state;
	uint16_t mtus[] = {0, 1, 40, 67, 68, 65535, 9000};
	struct tcp_info before, info;

	harness_accept(h);
	tcp_conn_info(h->conn, &before);
	harness_write(h, 4000);
	for (unsigned int i = 0; i < RTE_DIM(mtus); i++) {
		icmp(h, 1, TCP_ICMP_TOO_BIG, mtus[i]);
		tcp_conn_info(h->conn, &info);
		assert_true(info.snd_mss >= 20 && info.snd_mss <= before.snd_mss);
		harness_advance(h, 10 * MS);
		harness_discard(h);
	}
	harness_ack(h, 4001);
	assert_int_equal(tcp_unacked(h->conn), 0);
}

static void
icmp_for_an_unknown_tuple_is_ignored(void **state)
{
	struct harness *h = *state;

	icmp(h, 0, TCP_ICMP_HARD, 0);
	icmp(h, 0, TCP_ICMP_TOO_BIG, 500);
	EXPECT_NOTHING(h);
}

static const struct CMUnitTest tests[] = {
	TEST_BOTH(bad_data_offset_is_counted_and_dropped),
	TEST_BOTH(truncated_header_is_counted_and_dropped),
	TEST_BOTH(peek_refuses_what_has_no_header),
	TEST(option_block_of_every_length_is_survived),
	TEST(option_at_the_very_end_may_be_cut_off),
	TEST_BOTH(syn_with_broken_options_is_malformed_or_accepted_but_never_harmful),
	TEST(sack_and_window_scale_after_the_handshake_change_nothing),
	TEST_BOTH(old_timestamp_is_dropped_by_paws),
	TEST(reset_is_not_subject_to_paws),
	TEST(old_timestamp_is_taken_after_24_days_of_silence),
	TEST(missing_timestamp_does_not_end_the_connection),
	TEST_BOTH(hard_icmp_while_connecting_fails),
	TEST(soft_icmp_while_connecting_is_only_remembered),
	TEST(hard_icmp_does_not_end_an_established_connection),
	TEST(icmp_about_bytes_not_in_flight_is_not_believed),
	TEST_BOTH(too_big_makes_segments_smaller_and_sends_again),
	TEST_BOTH(too_big_with_an_absurd_mtu_is_bounded),
	TEST(icmp_for_an_unknown_tuple_is_ignored),
};

int
main(void)
{
	harness_init("test_hostile");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
