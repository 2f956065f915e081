/* SPDX-License-Identifier: Apache-2.0 */
/* Ends of connections, in order. */
#include "tests/unit/tcpstack/segment_harness.h"

static void
gone(struct harness *h)
{
	assert_int_equal(tcp_stack_connections(h->stack), 0);
	assert_int_equal(tcp_stack_time_waits(h->stack), 0);
	assert_true(tcp_next_timer(h->stack) == UINT64_MAX);
}

static void
we_close_first(void **state)
{
	struct harness *h = *state;

	harness_accept(h);
	tcp_shutdown(h->conn, h->now);
	tcp_shutdown(h->conn, h->now);
	harness_turn(h);
	EXPECT(h, FIN | ACK, 1, 1, 0);
	EXPECT_NOTHING(h);
	assert_int_equal(harness_state(h), TCP_FIN_WAIT_1);
	harness_send(h, ACK, 1, 2, NULL, 0);
	assert_int_equal(harness_state(h), TCP_FIN_WAIT_2);
	EXPECT_EVENTS(h, 0);
	harness_send(h, FIN | ACK, 1, 2, NULL, 0);
	EXPECT(h, ACK, 2, 2, 0);
	EXPECT_EVENTS(h, TCP_EV_EOF | TCP_EV_CLOSED);
	harness_release(h);
	assert_int_equal(tcp_stack_connections(h->stack), 0);
	assert_int_equal(tcp_stack_time_waits(h->stack), 1);
	harness_advance(h, 61 * SECOND);
	EXPECT_NOTHING(h);
	gone(h);
}

static void
the_peer_closes_first(void **state)
{
	struct harness *h = *state;

	harness_accept(h);
	harness_send(h, FIN | ACK, 1, 1, NULL, 0);
	EXPECT_EVENTS(h, TCP_EV_EOF);
	assert_int_equal(harness_state(h), TCP_CLOSE_WAIT);
	harness_advance(h, 600 * MS);
	EXPECT(h, ACK, 1, 2, 0);
	tcp_shutdown(h->conn, h->now);
	harness_turn(h);
	EXPECT(h, FIN | ACK, 1, 2, 0);
	assert_int_equal(harness_state(h), TCP_LAST_ACK);
	harness_send(h, ACK, 2, 2, NULL, 0);
	EXPECT_EVENTS(h, TCP_EV_CLOSED);
	harness_release(h);
	EXPECT_NOTHING(h);
	gone(h);
}

static void
fin_follows_what_is_queued(void **state)
{
	struct harness *h = *state;

	harness_accept(h);
	harness_write(h, 1000);
	tcp_shutdown(h->conn, h->now);
	struct rte_mbuf *m = rte_pktmbuf_alloc(h->payload);

	rte_pktmbuf_append(m, 10);
	assert_int_equal(tcp_send(h->conn, m), TCP_E_STATE);
	rte_pktmbuf_free(m);
	harness_turn(h);
	bool fin = false;
	uint32_t end = 1;
	struct sent *s;

	while ((s = harness_take(h)) != NULL) {
		assert_false(fin);
		assert_int_equal(s->seq, end);
		end = s->seq + s->p.payload_len;
		fin = s->p.flags & FIN;
	}
	assert_true(fin);
	assert_int_equal(end, 1001);
	/* The FIN is not a byte. */
	assert_int_equal(tcp_unacked(h->conn), 1000);
}

static void
fin_before_its_time_waits_for_the_data(void **state)
{
	struct harness *h = *state;

	harness_accept(h);
	harness_send(h, FIN | ACK, 101, 1, NULL, 0);
	EXPECT_EVENTS(h, 0);
	assert_int_equal(harness_state(h), TCP_ESTABLISHED);
	harness_discard(h);
	harness_send_pattern(h, 1, 1, 100);
	EXPECT_EVENTS(h, TCP_EV_READABLE | TCP_EV_EOF);
	assert_int_equal(harness_read(h, 0), 100);
	harness_advance(h, 600 * MS);
	struct sent *s, *last = NULL;

	while ((s = harness_take(h)) != NULL)
		last = s;
	assert_non_null(last);
	assert_int_equal(last->ack, 102);
}

static void
receiving_goes_on_after_our_fin(void **state)
{
	struct harness *h = *state;

	harness_accept(h);
	tcp_shutdown(h->conn, h->now);
	harness_turn(h);
	EXPECT(h, FIN | ACK, 1, 1, 0);
	harness_send(h, ACK, 1, 2, NULL, 0);
	for (uint32_t at = 0; at < 20000; at += 1000) {
		harness_send_pattern(h, 1 + at, 2, 1000);
		assert_int_equal(harness_read(h, at), 1000);
	}
	harness_send(h, FIN | ACK, 20001, 2, NULL, 0);
	assert_true(h->events & TCP_EV_EOF);
	assert_true(h->events & TCP_EV_CLOSED);
}

static void
sending_goes_on_after_the_peers_fin(void **state)
{
	struct harness *h = *state;

	harness_accept(h);
	harness_send(h, FIN | ACK, 1, 1, NULL, 0);
	harness_discard(h);
	harness_write(h, 10000);
	uint32_t end = 1;
	struct sent *s;

	while ((s = harness_take(h)) != NULL) {
		EXPECT_PATTERN(s);
		end = s->seq + s->p.payload_len;
	}
	assert_int_equal(end, 10001);
	harness_send(h, ACK, 2, 10001, NULL, 0);
	assert_int_equal(tcp_unacked(h->conn), 0);
	assert_int_equal(harness_state(h), TCP_CLOSE_WAIT);
}

/* RFC 9293 section 3.6, case 3 */
static void
both_sides_may_close_at_once(void **state)
{
	struct harness *h = *state;

	harness_accept(h);
	tcp_shutdown(h->conn, h->now);
	harness_turn(h);
	EXPECT(h, FIN | ACK, 1, 1, 0);
	harness_send(h, FIN | ACK, 1, 1, NULL, 0);
	EXPECT(h, ACK, 2, 2, 0);
	EXPECT_EVENTS(h, TCP_EV_EOF);
	assert_int_equal(harness_state(h), TCP_CLOSING);
	harness_send(h, ACK, 2, 2, NULL, 0);
	EXPECT_EVENTS(h, TCP_EV_CLOSED);
	assert_int_equal(tcp_stack_time_waits(h->stack), 1);
	harness_release(h);
	assert_int_equal(tcp_stack_connections(h->stack), 0);
}

static void
reach_time_wait(struct harness *h)
{
	harness_accept(h);
	tcp_shutdown(h->conn, h->now);
	harness_turn(h);
	harness_send(h, FIN | ACK, 1, 2, NULL, 0);
	EXPECT_EVENTS(h, TCP_EV_EOF | TCP_EV_CLOSED);
	harness_release(h);
	harness_discard(h);
	assert_int_equal(tcp_stack_time_waits(h->stack), 1);
}

static void
time_wait_acknowledges_a_retransmitted_fin(void **state)
{
	struct harness *h = *state;

	reach_time_wait(h);
	for (unsigned int i = 0; i < 3; i++) {
		harness_advance(h, SECOND);
		harness_send(h, FIN | ACK, 1, 2, NULL, 0);
		struct sent *s = EXPECT(h, ACK, 2, 2, 0);

		assert_int_equal(s->path, HARNESS_PATH);
		assert_true(s->p.has_ts);
	}
	assert_int_equal(h->n_strangers, 0);
}

/* RFC 1337: a reset does not kill it. */
static void
time_wait_is_not_assassinated(void **state)
{
	struct harness *h = *state;

	reach_time_wait(h);
	harness_send(h, RST, 2, 0, NULL, 0);
	assert_int_equal(tcp_stack_time_waits(h->stack), 1);
	EXPECT_NOTHING(h);
	harness_send_pattern(h, 1, 2, 100);
	assert_int_equal(h->n_strangers, 0);
	assert_int_equal(tcp_stack_time_waits(h->stack), 1);
}

static void
time_wait_ends_after_its_time(void **state)
{
	struct harness *h = *state;

	h->stack_config.time_wait_ms = 5000;
	harness_new_stack(h);
	reach_time_wait(h);
	harness_advance(h, 4900 * MS);
	assert_int_equal(tcp_stack_time_waits(h->stack), 1);
	harness_advance(h, 200 * MS);
	gone(h);
	harness_send(h, FIN | ACK, 1, 2, NULL, 0);
	assert_int_equal(h->n_strangers, 1);
}

/* RFC 6191: a SYN with a later timestamp opens a new connection. */
static void
new_syn_gets_past_time_wait(void **state)
{
	struct harness *h = *state;

	reach_time_wait(h);
	harness_advance(h, 2 * SECOND);
	h->peer_isn += 100000;
	h->ts_echo = 0;
	struct packet p = harness_packet(h, SYN, 0, 0);

	harness_syn_options(h, &p);
	harness_inject(h, &p, NULL, 0);
	assert_int_equal(h->n_strangers, 1);
	h->timestamps = false;
	assert_int_equal(harness_take_syn(h), TCP_OK);
	struct sent *s = harness_take(h);

	assert_non_null(s);
	harness_learn(h, s);
	harness_send(h, ACK, 1, 1, NULL, 0);
	EXPECT_EVENTS(h, TCP_EV_CONNECTED);
	assert_int_equal(tcp_stack_time_waits(h->stack), 0);
}

static void
old_syn_does_not_get_past_time_wait(void **state)
{
	struct harness *h = *state;

	reach_time_wait(h);
	struct packet p = harness_packet(h, SYN, 0, 0);

	/* The SYN that opened it, once more, from long ago. */
	p.seq -= 5;
	p.opts_len =
		packet_opt_ts(p.opts, 0, (uint32_t)(h->now / 1000) + h->peer_ts_offset - 5000, 0);
	harness_inject(h, &p, NULL, 0);
	harness_turn(h);
	assert_int_equal(h->n_strangers, 0);
	assert_int_equal(tcp_stack_time_waits(h->stack), 1);
}

static void
oldest_time_wait_makes_room(void **state)
{
	struct harness *h = *state;

	h->stack_config.max_time_wait = 16;
	harness_new_stack(h);
	for (unsigned int i = 0; i < 20; i++) {
		h->tuple.remote_port++;
		h->timestamps = false;
		harness_accept(h);
		tcp_shutdown(h->conn, h->now);
		harness_turn(h);
		harness_send(h, FIN | ACK, 1, 2, NULL, 0);
		harness_release(h);
		harness_discard(h);
		h->events = 0;
	}
	assert_int_equal(tcp_stack_time_waits(h->stack), 16);
	assert_int_equal(COUNTER(h, time_wait), 20);
	assert_int_equal(COUNTER(h, time_wait_evicted), 4);
}

static void
release_sends_what_is_queued_and_a_fin(void **state)
{
	struct harness *h = *state;

	harness_accept(h);
	harness_write(h, 3000);
	struct tcp_conn *conn = h->conn;

	tcp_release(conn, h->now);
	h->conn = NULL;
	harness_turn(h);
	struct sent *s;
	uint32_t end = 1;
	bool fin = false;

	while ((s = harness_take(h)) != NULL) {
		EXPECT_PATTERN(s);
		end = s->seq + s->p.payload_len;
		fin = s->p.flags & FIN;
	}
	assert_int_equal(end, 3001);
	assert_true(fin);
	assert_int_equal(tcp_stack_connections(h->stack), 1);
	harness_send(h, ACK, 1, 3002, NULL, 0);
	harness_send(h, FIN | ACK, 1, 3002, NULL, 0);
	EXPECT(h, ACK, 3002, 2, 0);
	assert_int_equal(tcp_stack_connections(h->stack), 0);
	assert_int_equal(tcp_stack_time_waits(h->stack), 1);
}

/* RFC 2525 section 2.17 */
static void
release_with_unread_bytes_resets(void **state)
{
	struct harness *h = *state;

	harness_accept(h);
	harness_send_pattern(h, 1, 1, 100);
	harness_discard(h);
	harness_release(h);
	struct sent *s = harness_take(h);

	assert_non_null(s);
	assert_true(s->p.flags & RST);
	assert_int_equal(s->seq, 1);
	assert_int_equal(s->path, HARNESS_PATH);
	EXPECT_NOTHING(h);
	gone(h);
}

/* RFC 9293 section 3.6.1 */
static void
data_after_the_release_is_answered_with_a_reset(void **state)
{
	struct harness *h = *state;

	harness_accept(h);
	harness_release(h);
	EXPECT(h, FIN | ACK, 1, 1, 0);
	harness_send(h, ACK, 1, 2, NULL, 0);
	harness_send_pattern(h, 1, 2, 100);
	struct sent *s = harness_take(h);

	assert_non_null(s);
	assert_true(s->p.flags & RST);
	assert_int_equal(COUNTER(h, data_after_close), 100);
	gone(h);
}

static void
released_connection_does_not_wait_for_ever_for_a_fin(void **state)
{
	struct harness *h = *state;

	h->config.fin_wait2_ms = 5000;
	harness_accept(h);
	harness_release(h);
	harness_send(h, ACK, 1, 2, NULL, 0);
	harness_discard(h);
	harness_advance(h, 4 * SECOND);
	assert_int_equal(tcp_stack_connections(h->stack) + tcp_stack_time_waits(h->stack), 1);
	harness_advance(h, 70 * SECOND);
	gone(h);
}

/* A half-closed connection whose handle is held waits as long as its owner wants. */
static void
held_handle_waits_in_fin_wait_2(void **state)
{
	struct harness *h = *state;

	h->config.fin_wait2_ms = 5000;
	harness_accept(h);
	tcp_shutdown(h->conn, h->now);
	harness_turn(h);
	harness_send(h, ACK, 1, 2, NULL, 0);
	harness_advance(h, 600 * SECOND);
	assert_int_equal(harness_state(h), TCP_FIN_WAIT_2);
	EXPECT_EVENTS(h, 0);
}

static void
bytes_can_be_read_after_everything_is_closed(void **state)
{
	struct harness *h = *state;

	harness_accept(h);
	tcp_shutdown(h->conn, h->now);
	harness_turn(h);
	harness_send_pattern(h, 1, 2, 500);
	harness_send(h, FIN | ACK, 501, 2, NULL, 0);
	assert_true(h->events & TCP_EV_CLOSED);
	assert_int_equal(harness_read(h, 0), 500);
	harness_discard(h);
	harness_release(h);
	EXPECT_NOTHING(h);
	assert_int_equal(tcp_stack_connections(h->stack), 0);
}

static void
release_before_the_handshake_is_complete(void **state)
{
	struct harness *h = *state;

	harness_open(h);
	harness_learn(h, harness_take(h));
	harness_release(h);
	harness_advance(h, 200 * SECOND);
	gone(h);
}

static void
shutdown_before_the_handshake_is_complete(void **state)
{
	struct harness *h = *state;

	harness_open(h);
	harness_learn(h, harness_take(h));
	tcp_shutdown(h->conn, h->now);
	harness_turn(h);
	EXPECT_NOTHING(h);
	struct packet p = harness_packet(h, SYN | ACK, 0, 1);

	harness_syn_options(h, &p);
	harness_inject(h, &p, NULL, 0);
	harness_turn(h);
	bool fin = false;
	struct sent *s;

	while ((s = harness_take(h)) != NULL)
		fin |= (s->p.flags & FIN) != 0 && s->seq == 1 && s->ack == 1;
	assert_true(fin);
}

static void
data_beyond_the_fin_is_not_taken(void **state)
{
	struct harness *h = *state;

	harness_accept(h);
	harness_send(h, FIN | ACK, 1, 1, NULL, 0);
	h->events = 0;
	harness_send_pattern(h, 2, 1, 100);
	EXPECT_EVENTS(h, 0);
	assert_null(tcp_receive(h->conn, UINT32_MAX));
	assert_int_equal(harness_state(h), TCP_CLOSE_WAIT);
}

static const struct CMUnitTest tests[] = {
	TEST_BOTH(we_close_first),
	TEST_BOTH(the_peer_closes_first),
	TEST(fin_follows_what_is_queued),
	TEST(fin_before_its_time_waits_for_the_data),
	TEST_BOTH(receiving_goes_on_after_our_fin),
	TEST_BOTH(sending_goes_on_after_the_peers_fin),
	TEST_BOTH(both_sides_may_close_at_once),
	TEST_BOTH(time_wait_acknowledges_a_retransmitted_fin),
	TEST(time_wait_is_not_assassinated),
	TEST(time_wait_ends_after_its_time),
	TEST_BOTH(new_syn_gets_past_time_wait),
	TEST(old_syn_does_not_get_past_time_wait),
	TEST(oldest_time_wait_makes_room),
	TEST(release_sends_what_is_queued_and_a_fin),
	TEST_BOTH(release_with_unread_bytes_resets),
	TEST_BOTH(data_after_the_release_is_answered_with_a_reset),
	TEST(released_connection_does_not_wait_for_ever_for_a_fin),
	TEST(held_handle_waits_in_fin_wait_2),
	TEST(bytes_can_be_read_after_everything_is_closed),
	TEST(release_before_the_handshake_is_complete),
	TEST(shutdown_before_the_handshake_is_complete),
	TEST(data_beyond_the_fin_is_not_taken),
};

int
main(void)
{
	harness_init("test_close");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
