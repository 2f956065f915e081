/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/tcpstack/segment_harness.h"

#include <string.h>

static struct tcp_info
info_of(struct harness *h)
{
	struct tcp_info info;

	tcp_conn_info(h->conn, &info);
	return info;
}

static void
connect_sends_a_syn_with_all_options(void **state)
{
	struct harness *h = *state;

	harness_open(h);
	struct sent *syn = harness_take(h);

	assert_non_null(syn);
	assert_int_equal(syn->p.flags & ~(ECE | CWR), SYN);
	assert_int_equal(syn->p.payload_len, 0);
	assert_int_equal(syn->p.mss, h->v6 ? 1440 : 1460);
	assert_true(syn->p.wscale >= 0 && syn->p.wscale <= 14);
	assert_true(syn->p.sack_permitted);
	assert_true(syn->p.has_ts);
	assert_int_equal(syn->p.tsecr, 0);
	assert_int_equal(syn->path, HARNESS_PATH);
	assert_memory_equal(&syn->p.src, &h->tuple.local, 16);
	assert_memory_equal(&syn->p.dst, &h->tuple.remote, 16);
	assert_int_equal(harness_state(h), TCP_SYN_SENT);
	EXPECT_NOTHING(h);
}

static void
connect_completes_with_an_ack(void **state)
{
	struct harness *h = *state;

	harness_connect(h);
	assert_int_equal(COUNTER(h, connected), 1);
	struct tcp_info info = info_of(h);

	assert_true(info.timestamps && info.sack);
	assert_int_equal(info.snd_wscale, 7);
	assert_int_equal(info.unacked, 0);
	assert_int_equal(tcp_unacked(h->conn), 0);
}

static void
accept_completes_with_the_third_segment(void **state)
{
	struct harness *h = *state;

	harness_send_syn(h);
	assert_int_equal(harness_take_syn(h), TCP_OK);
	struct sent *syn = harness_take(h);

	assert_non_null(syn);
	harness_learn(h, syn);
	assert_int_equal(syn->p.flags & ~ECE, SYN | ACK);
	assert_int_equal(syn->p.ack, h->peer_isn + 1);
	assert_int_equal(syn->p.mss, h->v6 ? 1440 : 1460);
	assert_int_equal(syn->path, HARNESS_PATH);
	assert_int_equal(harness_state(h), TCP_SYN_RECEIVED);
	EXPECT_EVENTS(h, 0);
	harness_send(h, ACK, 1, 1, NULL, 0);
	EXPECT_EVENTS(h, TCP_EV_CONNECTED);
	assert_int_equal(harness_state(h), TCP_ESTABLISHED);
	assert_int_equal(COUNTER(h, accepted), 1);
	EXPECT_NOTHING(h);
}

/* RFC 7323 sections 1.3 and 2.2, RFC 2018 section 2: only what the SYN offered. */
static void
syn_ack_answers_only_the_options_of_the_syn(void **state)
{
	struct harness *h = *state;

	for (unsigned int mask = 0; mask < 8; mask++) {
		h->peer_ts = mask & 1;
		h->peer_sack = mask & 2;
		h->peer_wscale = mask & 4 ? 3 : -1;
		h->tuple.remote_port++;
		h->timestamps = false;
		harness_send_syn(h);
		assert_int_equal(harness_take_syn(h), TCP_OK);
		struct sent *syn = harness_take(h);

		assert_non_null(syn);
		assert_int_equal(syn->p.has_ts, h->peer_ts);
		assert_int_equal(syn->p.sack_permitted, h->peer_sack);
		assert_int_equal(syn->p.wscale >= 0, h->peer_wscale >= 0);
		harness_learn(h, syn);
		harness_send(h, ACK, 1, 1, NULL, 0);
		struct tcp_info info = info_of(h);

		assert_int_equal(info.timestamps, h->peer_ts);
		assert_int_equal(info.sack, h->peer_sack);
		assert_int_equal(info.snd_wscale, h->peer_wscale >= 0 ? 3 : 0);
		assert_int_equal(info.rcv_wscale == 0 || h->peer_wscale >= 0, 1);
	}
}

static void
options_missing_from_the_syn_ack_are_not_used(void **state)
{
	struct harness *h = *state;

	h->peer_ts = h->peer_sack = false;
	h->peer_wscale = -1;
	h->peer_wnd = 4000;
	harness_connect(h);
	harness_write(h, 100);
	struct sent *s = EXPECT(h, ACK, 1, 1, 100);

	assert_false(s->p.has_ts);
	struct tcp_info info = info_of(h);

	assert_false(info.timestamps || info.sack);
	assert_int_equal(info.snd_wnd, 4000);
}

static void
timestamps_echo_the_peers(void **state)
{
	struct harness *h = *state;

	harness_accept(h);
	harness_send_pattern(h, 1, 1, 10);
	harness_advance(h, 500 * MS);
	struct sent *s = EXPECT(h, ACK, 1, 11, 0);

	assert_true(s->p.has_ts);
	assert_int_equal(s->p.tsecr, (uint32_t)(1000000 + h->peer_ts_offset));
}

/* RFC 7323 section 2.3 */
static void
window_scale_beyond_14_is_taken_as_14(void **state)
{
	struct harness *h = *state;

	h->peer_wscale = 200;
	harness_accept(h);
	assert_int_equal(info_of(h).snd_wscale, 14);
}

static void
window_of_a_syn_is_not_scaled(void **state)
{
	struct harness *h = *state;

	h->peer_wnd = 500;
	harness_open(h);
	harness_learn(h, harness_take(h));
	struct packet p = harness_packet(h, SYN | ACK, 0, 1);

	harness_syn_options(h, &p);
	harness_inject(h, &p, NULL, 0);
	harness_turn(h);
	assert_int_equal(info_of(h).snd_wnd, 500);
	harness_ack(h, 1);
	assert_int_equal(info_of(h).snd_wnd, 500 << 7);
}

/* RFC 6691: the options of a segment come off the MSS. */
static void
segments_obey_the_peers_mss(void **state)
{
	struct harness *h = *state;

	h->peer_mss = 700;
	harness_accept(h);
	harness_write(h, 3000);
	struct sent *s = EXPECT(h, ACK, 1, 1, 700 - 12);

	assert_int_equal(s->p.opts_len, 12);
	EXPECT_PATTERN(s);
}

/* RFC 9293 section 3.7.1 */
static void
without_an_mss_option_the_default_is_assumed(void **state)
{
	struct harness *h = *state;

	h->peer_mss = 0;
	h->peer_ts = false;
	harness_accept(h);
	harness_write(h, 3000);
	EXPECT(h, ACK, 1, 1, h->v6 ? 1220 : 536);
}

static void
absurdly_small_mss_does_not_stop_the_connection(void **state)
{
	struct harness *h = *state;

	h->peer_mss = 1;
	harness_accept(h);
	harness_write(h, 100);
	struct sent *s = harness_take(h);

	assert_non_null(s);
	assert_true(s->p.payload_len >= 1);
}

static void
third_segment_may_carry_data(void **state)
{
	struct harness *h = *state;
	uint8_t data[10];

	for (uint32_t i = 0; i < sizeof(data); i++)
		data[i] = harness_pattern(i);
	harness_send_syn(h);
	assert_int_equal(harness_take_syn(h), TCP_OK);
	harness_learn(h, harness_take(h));
	harness_send(h, ACK | PSH, 1, 1, data, sizeof(data));
	EXPECT_EVENTS(h, TCP_EV_CONNECTED | TCP_EV_READABLE);
	assert_int_equal(harness_read(h, 0), sizeof(data));
}

static void
third_segment_may_carry_a_fin(void **state)
{
	struct harness *h = *state;

	harness_send_syn(h);
	assert_int_equal(harness_take_syn(h), TCP_OK);
	harness_learn(h, harness_take(h));
	harness_send(h, ACK | FIN, 1, 1, NULL, 0);
	EXPECT_EVENTS(h, TCP_EV_CONNECTED | TCP_EV_EOF);
	assert_int_equal(harness_state(h), TCP_CLOSE_WAIT);
}

static void
data_queued_before_the_handshake_follows_it(void **state)
{
	struct harness *h = *state;

	harness_open(h);
	harness_learn(h, harness_take(h));
	harness_write(h, 50);
	EXPECT_NOTHING(h);
	struct packet p = harness_packet(h, SYN | ACK, 0, 1);

	harness_syn_options(h, &p);
	harness_inject(h, &p, NULL, 0);
	harness_turn(h);
	struct sent *s = harness_take_data(h);

	assert_non_null(s);
	assert_int_equal(s->seq, 1);
	assert_int_equal(s->ack, 1);
	assert_int_equal(s->p.payload_len, 50);
	EXPECT_PATTERN(s);
}

static void
reset_in_answer_to_the_syn_refuses(void **state)
{
	struct harness *h = *state;

	harness_open(h);
	harness_learn(h, harness_take(h));
	harness_send(h, RST | ACK, 0, 1, NULL, 0);
	EXPECT_EVENTS(h, TCP_EV_FAILED);
	assert_int_equal(tcp_conn_error(h->conn), TCP_E_REFUSED);
	assert_int_equal(harness_state(h), TCP_CLOSED);
	EXPECT_NOTHING(h);
	harness_release(h);
	assert_int_equal(tcp_stack_connections(h->stack), 0);
	EXPECT_NOTHING(h);
}

/* RFC 9293 section 3.10.7.3: without an acceptable ACK a reset means nothing. */
static void
reset_without_our_acknowledgement_does_not_refuse(void **state)
{
	struct harness *h = *state;

	harness_open(h);
	harness_learn(h, harness_take(h));
	harness_send(h, RST, 0, 0, NULL, 0);
	harness_send(h, RST | ACK, 0, 0, NULL, 0);
	harness_send(h, RST | ACK, 0, 2, NULL, 0);
	EXPECT_EVENTS(h, 0);
	assert_int_equal(harness_state(h), TCP_SYN_SENT);
	EXPECT_NOTHING(h);
}

static void
syn_ack_of_another_connection_is_answered_with_a_reset(void **state)
{
	struct harness *h = *state;

	harness_open(h);
	harness_learn(h, harness_take(h));
	struct packet p = harness_packet(h, SYN | ACK, 0, 5000);

	harness_syn_options(h, &p);
	harness_inject(h, &p, NULL, 0);
	harness_turn(h);
	struct sent *s = harness_take(h);

	assert_non_null(s);
	assert_int_equal(s->p.flags & ~ACK, RST);
	assert_int_equal(s->seq, 5000);
	assert_int_equal(harness_state(h), TCP_SYN_SENT);
}

static void
lone_ack_in_syn_sent_opens_nothing(void **state)
{
	struct harness *h = *state;

	harness_open(h);
	harness_learn(h, harness_take(h));
	harness_send(h, ACK, 0, 1, NULL, 0);
	assert_int_equal(harness_state(h), TCP_SYN_SENT);
	EXPECT_EVENTS(h, 0);
}

/* RFC 9293 section 3.5, figure 7 */
static void
both_sides_may_open_at_once(void **state)
{
	struct harness *h = *state;

	harness_open(h);
	harness_learn(h, harness_take(h));
	struct packet p = harness_packet(h, SYN, 0, 0);

	harness_syn_options(h, &p);
	harness_inject(h, &p, NULL, 0);
	harness_turn(h);
	assert_int_equal(h->n_strangers, 0);
	assert_int_equal(harness_state(h), TCP_SYN_RECEIVED);
	EXPECT(h, SYN | ACK, 0, 1, 0);
	p = harness_packet(h, SYN | ACK, 0, 1);
	harness_syn_options(h, &p);
	harness_inject(h, &p, NULL, 0);
	harness_turn(h);
	EXPECT_EVENTS(h, TCP_EV_CONNECTED);
	assert_int_equal(harness_state(h), TCP_ESTABLISHED);
	harness_discard(h);
	harness_write(h, 10);
	struct sent *s = harness_take_data(h);

	assert_non_null(s);
	assert_int_equal(s->seq, 1);
}

static void
simultaneous_open_completes_with_a_plain_ack_too(void **state)
{
	struct harness *h = *state;

	harness_open(h);
	harness_learn(h, harness_take(h));
	struct packet p = harness_packet(h, SYN, 0, 0);

	harness_syn_options(h, &p);
	harness_inject(h, &p, NULL, 0);
	harness_turn(h);
	EXPECT(h, SYN | ACK, 0, 1, 0);
	harness_send(h, ACK, 1, 1, NULL, 0);
	EXPECT_EVENTS(h, TCP_EV_CONNECTED);
}

static void
syn_that_comes_twice_leaves_one_connection(void **state)
{
	struct harness *h = *state;

	harness_send_syn(h);
	assert_int_equal(harness_take_syn(h), TCP_OK);
	harness_learn(h, harness_take(h));
	struct packet p = harness_packet(h, SYN, 0, 0);

	harness_syn_options(h, &p);
	harness_inject(h, &p, NULL, 0);
	harness_turn(h);
	assert_int_equal(h->n_strangers, 0);
	harness_discard(h);
	harness_send(h, ACK, 1, 1, NULL, 0);
	EXPECT_EVENTS(h, TCP_EV_CONNECTED);
	assert_int_equal(tcp_stack_connections(h->stack), 1);
}

static void
wrong_ack_in_syn_received_is_answered_with_a_reset(void **state)
{
	struct harness *h = *state;

	harness_send_syn(h);
	assert_int_equal(harness_take_syn(h), TCP_OK);
	harness_learn(h, harness_take(h));
	harness_send(h, ACK, 1, 7000, NULL, 0);
	struct sent *s = harness_take(h);

	assert_non_null(s);
	assert_int_equal(s->p.flags & ~ACK, RST);
	assert_int_equal(s->seq, 7000);
	assert_int_equal(harness_state(h), TCP_SYN_RECEIVED);
	harness_send(h, ACK, 1, 1, NULL, 0);
	EXPECT_EVENTS(h, TCP_EV_CONNECTED);
}

static void
reset_in_syn_received_fails_the_connection(void **state)
{
	struct harness *h = *state;

	harness_send_syn(h);
	assert_int_equal(harness_take_syn(h), TCP_OK);
	harness_learn(h, harness_take(h));
	harness_send(h, RST, 1, 0, NULL, 0);
	EXPECT_EVENTS(h, TCP_EV_FAILED);
	assert_int_equal(tcp_conn_error(h->conn), TCP_E_RESET);
	EXPECT_NOTHING(h);
}

static void
only_a_syn_can_be_accepted(void **state)
{
	static const uint8_t flags[] = {ACK, FIN, RST, SYN | ACK, SYN | RST, FIN | ACK, 0};
	struct harness *h = *state;

	for (unsigned int i = 0; i < sizeof(flags); i++) {
		struct packet p = harness_packet(h, flags[i], 0, 1);

		harness_inject(h, &p, NULL, 0);
		assert_int_equal(h->n_strangers, i + 1);
		assert_int_equal(harness_take_syn(h), TCP_E_NOT_SYN);
	}
	assert_int_equal(tcp_stack_connections(h->stack), 0);
	EXPECT_NOTHING(h);
}

static void
strangers_come_back_unchanged(void **state)
{
	struct harness *h = *state;
	struct packet p = harness_packet(h, ACK | PSH, 17, 4);
	uint8_t before[200], payload[100];

	memset(payload, 0x5a, sizeof(payload));
	size_t len = packet_write(before, &p, payload, sizeof(payload));

	harness_inject(h, &p, payload, sizeof(payload));
	assert_int_equal(h->n_strangers, 1);
	struct rte_mbuf *m = h->strangers[0];

	assert_int_equal(m->pkt_len, len);
	assert_int_equal(m->data_len, len);
	assert_memory_equal(rte_pktmbuf_mtod(m, void *), before, len);
	struct tcp_tuple tuple;
	uint8_t flags;

	assert_true(tcp_peek(m, &tuple, &flags));
	assert_int_equal(flags, ACK | PSH);
	assert_int_equal(tuple.local_port, HARNESS_PORT);
	assert_int_equal(tuple.remote_port, HARNESS_PEER_PORT);
	assert_memory_equal(&tuple.local, &h->tuple.local, 16);
	assert_memory_equal(&tuple.remote, &h->tuple.remote, 16);
	harness_turn(h);
	EXPECT_NOTHING(h);
}

static void
same_tuple_cannot_be_opened_twice(void **state)
{
	struct harness *h = *state;
	struct tcp_conn *second = NULL;

	harness_connect(h);
	assert_int_equal(tcp_connect(h->stack, &h->tuple, h->now, &h->config, &second),
			 TCP_E_IN_USE);
}

static bool
port_is_wanted(void *ctx, const struct tcp_tuple *tuple)
{
	unsigned int *calls = ctx;

	(*calls)++;
	return tuple->local_port % 64 == 5;
}

static bool
port_is_never_wanted(void *ctx, const struct tcp_tuple *tuple)
{
	return false;
}

static void
stack_chooses_ports_that_the_caller_can_use(void **state)
{
	struct harness *h = *state;
	unsigned int calls = 0;
	bool seen[65536] = {false};

	h->stack_config.port_ok = port_is_wanted;
	h->stack_config.port_ok_ctx = &calls;
	harness_new_stack(h);
	for (unsigned int i = 0; i < 40; i++) {
		struct tcp_tuple tuple = h->tuple;
		struct tcp_conn *conn = NULL;

		tuple.local_port = 0;
		assert_int_equal(tcp_connect(h->stack, &tuple, h->now, &h->config, &conn), TCP_OK);
		uint16_t port = tcp_conn_tuple(conn)->local_port;

		assert_int_equal(port % 64, 5);
		assert_false(seen[port]);
		seen[port] = true;
	}
	assert_true(calls >= 40);
}

static void
no_usable_port_is_an_error(void **state)
{
	struct harness *h = *state;
	struct tcp_conn *conn = NULL;

	h->stack_config.port_ok = port_is_never_wanted;
	harness_new_stack(h);
	h->tuple.local_port = 0;
	assert_int_equal(tcp_connect(h->stack, &h->tuple, h->now, &h->config, &conn),
			 TCP_E_NO_PORT);
	assert_int_equal(tcp_stack_connections(h->stack), 0);
}

static void
full_table_refuses_and_leaves_the_segment(void **state)
{
	struct harness *h = *state;
	struct tcp_conn *conn = NULL;
	unsigned int n = 0;

	h->stack_config.max_connections = 16;
	harness_new_stack(h);
	h->tuple.local_port = 0;
	while (n < 100 && tcp_connect(h->stack, &h->tuple, h->now, &h->config, &conn) == TCP_OK)
		n++;
	assert_int_equal(n, 16);
	assert_int_equal(tcp_connect(h->stack, &h->tuple, h->now, &h->config, &conn),
			 TCP_E_NO_MEMORY);
	h->tuple.local_port = HARNESS_PORT;
	harness_send_syn(h);
	assert_int_equal(harness_take_syn(h), TCP_E_NO_MEMORY);
	assert_int_equal(h->n_strangers, 1);
	assert_true(COUNTER(h, table_full) >= 1);
}

/* RFC 6528: different for every tuple, and for one tuple it grows with the clock. */
static void
initial_sequence_numbers_follow_the_clock(void **state)
{
	struct harness *h = *state;

	harness_open(h);
	uint32_t first = harness_take(h)->p.seq;

	tcp_abort(h->conn, h->now);
	harness_release(h);
	harness_discard(h);
	h->now += SECOND;
	harness_open(h);
	uint32_t second = harness_take(h)->p.seq;

	/* One tick every four microseconds. */
	assert_in_range(second - first, 200000, 300000);
	h->tuple.remote_port++;
	harness_open(h);
	assert_int_not_equal(harness_take(h)->p.seq, second);
}

static void
handle_remembers_its_user(void **state)
{
	struct harness *h = *state;
	int a, b;

	h->config.user = &a;
	harness_connect(h);
	assert_ptr_equal(tcp_user(h->conn), &a);
	tcp_set_user(h->conn, &b);
	assert_ptr_equal(tcp_user(h->conn), &b);
}

static const struct CMUnitTest tests[] = {
	TEST_BOTH(connect_sends_a_syn_with_all_options),
	TEST_BOTH(connect_completes_with_an_ack),
	TEST_BOTH(accept_completes_with_the_third_segment),
	TEST_BOTH(syn_ack_answers_only_the_options_of_the_syn),
	TEST(options_missing_from_the_syn_ack_are_not_used),
	TEST(timestamps_echo_the_peers),
	TEST(window_scale_beyond_14_is_taken_as_14),
	TEST(window_of_a_syn_is_not_scaled),
	TEST_BOTH(segments_obey_the_peers_mss),
	TEST_BOTH(without_an_mss_option_the_default_is_assumed),
	TEST_BOTH(absurdly_small_mss_does_not_stop_the_connection),
	TEST(third_segment_may_carry_data),
	TEST(third_segment_may_carry_a_fin),
	TEST(data_queued_before_the_handshake_follows_it),
	TEST_BOTH(reset_in_answer_to_the_syn_refuses),
	TEST(reset_without_our_acknowledgement_does_not_refuse),
	TEST_BOTH(syn_ack_of_another_connection_is_answered_with_a_reset),
	TEST(lone_ack_in_syn_sent_opens_nothing),
	TEST_BOTH(both_sides_may_open_at_once),
	TEST(simultaneous_open_completes_with_a_plain_ack_too),
	TEST(syn_that_comes_twice_leaves_one_connection),
	TEST(wrong_ack_in_syn_received_is_answered_with_a_reset),
	TEST(reset_in_syn_received_fails_the_connection),
	TEST(only_a_syn_can_be_accepted),
	TEST_BOTH(strangers_come_back_unchanged),
	TEST(same_tuple_cannot_be_opened_twice),
	TEST(stack_chooses_ports_that_the_caller_can_use),
	TEST(no_usable_port_is_an_error),
	TEST(full_table_refuses_and_leaves_the_segment),
	TEST(initial_sequence_numbers_follow_the_clock),
	TEST(handle_remembers_its_user),
};

int
main(void)
{
	harness_init("test_handshake");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
