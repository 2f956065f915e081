/* SPDX-License-Identifier: Apache-2.0 */
/* Flow control both ways: zero windows, probes, silly windows. */
#include "tests/unit/tcpstack/segment_harness.h"

static void
sender_stops_at_the_peers_window(void **state)
{
	struct harness *h = *state;

	h->peer_wscale = -1;
	h->peer_wnd = 2000;
	harness_accept(h);
	harness_write(h, 5000);
	uint32_t sent = 0;
	struct sent *s;

	while ((s = harness_take(h)) != NULL)
		sent += s->p.payload_len;
	assert_in_range(sent, 1448, 2000);
	assert_int_equal(tcp_unacked(h->conn), 5000);
}

/* Fills the peer's window of 1000 bytes; 1000 more are waiting. */
static void
close_the_window(struct harness *h)
{
	h->peer_wscale = -1;
	h->peer_wnd = 1000;
	harness_accept(h);
	harness_write(h, 2000);
	while (harness_take(h) != NULL)
		;
	h->peer_wnd = 0;
	harness_ack(h, 1001);
	EXPECT_NOTHING(h);
	h->events = 0;
}

/* RFC 9293 section 3.8.6.1, RFC 1122 section 4.2.2.17 */
static void
zero_window_is_probed_ever_more_rarely(void **state)
{
	struct harness *h = *state;
	uint64_t last, gap = 0;

	close_the_window(h);
	last = h->now;
	harness_advance(h, 100 * SECOND);
	unsigned int probes = 0;
	struct sent *s;

	while ((s = harness_take(h)) != NULL) {
		assert_true(s->p.payload_len <= 1);
		assert_true(s->p.flags & ACK);
		assert_true(s->seq == 1000 || s->seq == 1001);
		uint64_t wait = s->at - last;

		assert_true(wait >= 190 * MS);
		assert_true(wait + 5 * MS >= gap);
		if (gap != 0 && wait < 59 * SECOND)
			assert_in_range(wait, gap * 19 / 10, gap * 21 / 10);
		gap = wait;
		last = s->at;
		probes++;
	}
	assert_in_range(probes, 4, 12);
	assert_true(COUNTER(h, zero_window_probes) == probes);
	EXPECT_EVENTS(h, 0);
}

static void
sending_resumes_when_the_window_opens(void **state)
{
	struct harness *h = *state;

	close_the_window(h);
	harness_advance(h, 10 * SECOND);
	harness_discard(h);
	h->peer_wnd = 4000;
	harness_ack(h, 1001);
	uint32_t end = 1001;
	struct sent *s;

	while ((s = harness_take_data(h)) != NULL) {
		EXPECT_PATTERN(s);
		end = s->seq + s->p.payload_len;
	}
	assert_int_equal(end, 2001);
	harness_ack(h, 2001);
	harness_advance(h, 300 * SECOND);
	EXPECT_NOTHING(h);
	assert_int_equal(tcp_unacked(h->conn), 0);
}

/* A peer that answers probes is alive, however long its window stays shut (RFC 1122 section
 * 4.2.2.17). */
static void
answered_probes_keep_the_connection(void **state)
{
	struct harness *h = *state;

	h->config.user_timeout_ms = 20000;
	close_the_window(h);
	for (unsigned int i = 0; i < 200; i++) {
		harness_advance(h, SECOND);
		if (harness_waiting(h) > 0) {
			harness_discard(h);
			harness_ack(h, 1001);
			harness_discard(h);
		}
	}
	EXPECT_EVENTS(h, 0);
	assert_int_equal(harness_state(h), TCP_ESTABLISHED);
}

static void
small_window_is_not_filled_at_once(void **state)
{
	struct harness *h = *state;

	close_the_window(h);
	/* A silly window: waiting is better than sending ten bytes (RFC 9293 section
	 * 3.8.6.2.1), but not for ever. */
	h->peer_wnd = 10;
	harness_ack(h, 1001);
	EXPECT_NOTHING(h);
	harness_advance(h, 10 * SECOND);
	assert_true(harness_waiting(h) > 0);
}

static void
receive_window_shrinks_by_what_arrives(void **state)
{
	struct harness *h = *state;

	h->config.room = 10000;
	h->peer_wscale = -1;
	harness_accept(h);
	uint32_t edge = 10001;

	for (uint32_t at = 0; at < 10000; at += 1000) {
		harness_send_pattern(h, 1 + at, 1, 1000);
		harness_advance(h, 600 * MS);
		struct sent *s = NULL, *last = NULL;

		while ((s = harness_take(h)) != NULL)
			last = s;
		assert_non_null(last);
		assert_int_equal(last->ack, at + 1001);
		assert_int_equal(last->ack + last->p.wnd, edge);
	}
	/* Now it is shut: a byte more is not taken. */
	harness_send_pattern(h, 10001, 1, 1);
	EXPECT(h, ACK, 1, 10001, 0);
	assert_int_equal(harness_read(h, 0), 10000);
}

static void
promised_window_is_not_taken_back(void **state)
{
	struct harness *h = *state;

	h->config.room = 10000;
	h->peer_wscale = -1;
	harness_accept(h);
	tcp_set_room(h->conn, 0, h->now);
	harness_send_pattern(h, 1, 1, 1000);
	harness_advance(h, 600 * MS);
	struct sent *s = EXPECT(h, ACK, 1, 1001, 0);

	assert_int_equal(s->p.wnd, 9000);
	for (uint32_t at = 1000; at < 10000; at += 1000)
		harness_send_pattern(h, 1 + at, 1, 1000);
	assert_int_equal(harness_read(h, 0), 10000);
}

static void
shut_receive_window(struct harness *h)
{
	h->config.room = 10000;
	h->peer_wscale = -1;
	harness_accept(h);
	for (uint32_t at = 0; at < 10000; at += 1000)
		harness_send_pattern(h, 1 + at, 1, 1000);
	harness_advance(h, 600 * MS);
	harness_discard(h);
	assert_int_equal(harness_read(h, 0), 10000);
	EXPECT_NOTHING(h);
}

static void
room_that_opens_is_told_at_once(void **state)
{
	struct harness *h = *state;

	shut_receive_window(h);
	tcp_set_room(h->conn, 10000, h->now);
	harness_turn(h);
	struct sent *s = EXPECT(h, ACK, 1, 10001, 0);

	assert_int_equal(s->p.wnd, 10000);
	EXPECT_NOTHING(h);
}

/* RFC 9293 section 3.8.6.2.2: not before min(buffer / 2, MSS). */
static void
silly_window_is_not_told(void **state)
{
	struct harness *h = *state;

	shut_receive_window(h);
	tcp_set_room(h->conn, 100, h->now);
	harness_turn(h);
	EXPECT_NOTHING(h);
	tcp_set_room(h->conn, 500, h->now);
	harness_turn(h);
	EXPECT_NOTHING(h);
	tcp_set_room(h->conn, 6000, h->now);
	harness_turn(h);
	assert_int_equal(EXPECT(h, ACK, 1, 10001, 0)->p.wnd, 6000);
}

static void
zero_window_answers_probes(void **state)
{
	struct harness *h = *state;

	shut_receive_window(h);
	for (unsigned int i = 0; i < 3; i++) {
		harness_advance(h, 2 * SECOND);
		harness_send_pattern(h, 10001, 1, 1);
		struct sent *s = EXPECT(h, ACK, 1, 10001, 0);

		assert_int_equal(s->p.wnd, 0);
		/* The form that Linux sends: an old byte. */
		harness_send(h, ACK, 10000, 1, NULL, 0);
		EXPECT(h, ACK, 1, 10001, 0);
	}
	tcp_set_room(h->conn, 10000, h->now);
	harness_turn(h);
	EXPECT(h, ACK, 1, 10001, 0);
	harness_send_pattern(h, 10001, 1, 1000);
	assert_int_equal(harness_read(h, 10000), 1000);
}

static void
acknowledgements_are_believed_with_the_window_shut(void **state)
{
	struct harness *h = *state;

	shut_receive_window(h);
	harness_write(h, 100);
	EXPECT(h, ACK, 1, 10001, 100);
	harness_send(h, ACK, 10001, 101, NULL, 0);
	assert_int_equal(tcp_unacked(h->conn), 0);
}

static void
window_is_scaled_when_agreed(void **state)
{
	struct harness *h = *state;

	h->config.room = 1 << 20;
	harness_accept(h);
	harness_send_pattern(h, 1, 1, 1000);
	harness_advance(h, 600 * MS);
	struct sent *s = harness_take(h);

	assert_non_null(s);
	uint32_t edge = s->ack + ((uint32_t)s->p.wnd << h->stack_wscale);

	assert_in_range(edge, (1 << 20) - (1 << h->stack_wscale), (1 << 20) + 2);
}

/* RFC 9293 section 3.10.7.4: SND.WL1 and SND.WL2 keep old segments from changing it. */
static void
old_segment_does_not_change_the_window(void **state)
{
	struct harness *h = *state;

	h->peer_wscale = -1;
	h->peer_ts = false;
	harness_accept(h);
	harness_send_pattern(h, 1, 1, 100);
	harness_discard(h);
	struct packet p = harness_packet(h, ACK, 1, 1);

	p.wnd = 1;
	harness_inject(h, &p, NULL, 0);
	harness_turn(h);
	struct tcp_info info;

	tcp_conn_info(h->conn, &info);
	assert_int_equal(info.snd_wnd, 65535);
}

/* A peer may take its window back; what lies beyond is not sent again until it opens. */
static void
window_that_shrinks_is_survived(void **state)
{
	struct harness *h = *state;

	h->peer_wscale = -1;
	h->peer_wnd = 20000;
	harness_accept(h);
	harness_write(h, 8000);
	harness_discard(h);
	h->peer_wnd = 100;
	harness_ack(h, 1449);
	harness_advance(h, 20 * SECOND);
	harness_discard(h);
	h->peer_wnd = 20000;
	harness_ack(h, 1449);
	harness_advance(h, 60 * SECOND);
	bool got[8001] = {false};
	struct sent *s;

	while ((s = harness_take_data(h)) != NULL) {
		EXPECT_PATTERN(s);
		for (uint32_t i = 0; i < s->p.payload_len; i++)
			got[s->seq + i] = true;
	}
	assert_true(got[1449]);
	harness_ack(h, 8001);
	assert_int_equal(tcp_unacked(h->conn), 0);
}

static const struct CMUnitTest tests[] = {
	TEST(sender_stops_at_the_peers_window),
	TEST_BOTH(zero_window_is_probed_ever_more_rarely),
	TEST_BOTH(sending_resumes_when_the_window_opens),
	TEST(answered_probes_keep_the_connection),
	TEST(small_window_is_not_filled_at_once),
	TEST(receive_window_shrinks_by_what_arrives),
	TEST(promised_window_is_not_taken_back),
	TEST_BOTH(room_that_opens_is_told_at_once),
	TEST(silly_window_is_not_told),
	TEST(zero_window_answers_probes),
	TEST(acknowledgements_are_believed_with_the_window_shut),
	TEST(window_is_scaled_when_agreed),
	TEST(old_segment_does_not_change_the_window),
	TEST(window_that_shrinks_is_survived),
};

int
main(void)
{
	harness_init("test_window");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
