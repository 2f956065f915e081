/* SPDX-License-Identifier: Apache-2.0 */
/* SYN cookies: RFC 4987. */
#include "tests/unit/tcpstack/segment_harness.h"

#define PERIOD (64 * SECOND)

static struct tcp_info
info_of(struct harness *h)
{
	struct tcp_info info;

	tcp_conn_info(h->conn, &info);
	return info;
}

/* Every SYN is one too many. */
static void
only_cookies(struct harness *h)
{
	h->stack_config.max_half_open = 1;
	harness_new_stack(h);
	h->tuple.remote_port = 1;
	harness_send_syn(h);
	assert_int_equal(harness_take_syn(h), TCP_OK);
	tcp_release(h->conn, h->now); /* half-open until its time is over */
	h->conn = NULL;
	harness_turn(h);
	harness_discard(h);
	h->events = 0;
	h->tuple.remote_port = HARNESS_PEER_PORT;
}

/* SYN, and the SYN-ACK with the cookie. */
static struct sent *
get_cookie(struct harness *h)
{
	harness_send_syn(h);
	assert_int_equal(harness_take_syn(h), TCP_E_COOKIE);
	h->n_strangers--;
	struct sent *s = harness_take(h);

	assert_non_null(s);
	assert_int_equal(s->p.flags & ~ECE, SYN | ACK);
	harness_learn(h, s);
	return s;
}

/* The answer to it; what tcp_accept() says. */
static int
answer(struct harness *h, struct packet *p, const void *data, uint16_t len)
{
	unsigned int before = h->n_strangers;

	harness_inject(h, p, data, len);
	assert_int_equal(h->n_strangers, before + 1);
	struct rte_mbuf *m = h->strangers[before];
	bool known = tcp_is_cookie(h->stack, m, h->now);
	int rc = tcp_accept(h->stack, m, h->now, &h->config, &h->conn);

	assert_int_equal(known, rc == TCP_OK);
	h->n_strangers--;
	if (rc != TCP_OK) {
		h->conn = NULL;
		tcp_refuse(h->stack, m, h->now);
	}
	harness_turn(h);
	return rc;
}

static int
answer_ack(struct harness *h)
{
	struct packet p = harness_packet(h, ACK, 1, 1);

	return answer(h, &p, NULL, 0);
}

/* RFC 4987 section 3.6: no state is kept for a SYN that is answered with a cookie */
static void
syn_past_the_threshold_costs_no_memory(void **state)
{
	struct harness *h = *state;

	h->stack_config.max_half_open = 4;
	harness_new_stack(h);
	for (uint16_t i = 0; i < 2000; i++) {
		h->tuple.remote_port = (uint16_t)(1000 + i);
		harness_send_syn(h);
		int rc = harness_take_syn(h);

		assert_int_equal(rc, i < 4 ? TCP_OK : TCP_E_COOKIE);
		if (rc == TCP_E_COOKIE)
			h->n_strangers--;
		assert_int_equal(harness_waiting(h), 1);
		harness_discard(h);
		assert_int_equal(tcp_stack_connections(h->stack), i < 4 ? i + 1 : 4);
	}
	assert_int_equal(COUNTER(h, cookies_sent), 1996);
	assert_int_equal(COUNTER(h, table_full), 0);
}

/* RFC 4987 section 3.6: the ACK that brings the cookie back makes the connection */
static void
ack_of_a_cookie_is_an_established_connection(void **state)
{
	struct harness *h = *state;

	only_cookies(h);
	get_cookie(h);
	assert_int_equal(tcp_stack_connections(h->stack), 1);
	assert_int_equal(answer_ack(h), TCP_OK);
	EXPECT_EVENTS(h, TCP_EV_CONNECTED);
	EXPECT_NOTHING(h);
	assert_int_equal(harness_state(h), TCP_ESTABLISHED);
	assert_int_equal(COUNTER(h, cookies_accepted), 1);
	harness_send_pattern(h, 1, 1, 1000);
	EXPECT(h, ACK, 1, 1001, 0);
	assert_int_equal(harness_read(h, 0), 1000);
	harness_write(h, 100);
	EXPECT_PATTERN(EXPECT(h, ACK, 1, 1001, 100));
	harness_ack(h, 101);
	assert_int_equal(tcp_unacked(h->conn), 0);
}

/* RFC 7323 section 2.2, RFC 2018 section 2: what the SYN offered is kept, in the timestamp;
 * without timestamps there is no room for it and nothing is agreed on */
static void
cookie_keeps_scale_and_sack_in_the_timestamp(void **state)
{
	struct harness *h = *state;

	only_cookies(h);
	for (unsigned int mask = 0; mask < 8; mask++) {
		h->peer_ts = mask & 1;
		h->peer_sack = mask & 2;
		h->peer_wscale = mask & 4 ? (int)mask + 5 : -1;
		h->tuple.remote_port++;
		h->timestamps = false;
		h->ts_echo = 0;
		h->config.room = 1 << 20;
		struct sent *s = get_cookie(h);
		bool sack = mask & 2 && h->peer_ts, scale = mask & 4 && h->peer_ts;

		assert_int_equal(s->p.has_ts, h->peer_ts);
		assert_int_equal(s->p.sack_permitted, sack);
		assert_int_equal(s->p.wscale >= 0, scale);
		assert_int_equal(s->p.mss, h->v6 ? 1440 : 1460);
		assert_int_equal(s->p.wnd, 65535);
		assert_int_equal(s->path, HARNESS_PATH);
		assert_int_equal(answer_ack(h), TCP_OK);
		struct tcp_info info = info_of(h);

		assert_int_equal(info.timestamps, h->peer_ts);
		assert_int_equal(info.sack, sack);
		assert_int_equal(info.snd_wscale, scale ? h->peer_wscale : 0);
		assert_int_equal(info.rcv_wscale, scale ? s->p.wscale : 0);
		assert_int_equal(info.snd_wnd, 65535u << info.snd_wscale);
	}
}

/* RFC 9293 section 3.7.1: never more than the peer's MSS, and not much less */
static void
cookie_keeps_the_mss_rounded_down(void **state)
{
	struct harness *h = *state;
	static const uint16_t mss[][2] = {{0, 536},     {1, 64},      {100, 64},    {536, 536},
					  {1219, 536},  {1220, 1220}, {1379, 1360}, {1400, 1400},
					  {1440, 1440}, {1460, 1460}, {9000, 1460}};

	only_cookies(h);
	h->peer_ts = false;
	for (unsigned int i = 0; i < RTE_DIM(mss); i++) {
		h->peer_mss = mss[i][0];
		h->tuple.remote_port++;
		get_cookie(h);
		assert_int_equal(answer_ack(h), TCP_OK);
		assert_int_equal(info_of(h).snd_mss, mss[i][1]);
	}
}

/* RFC 7323 section 4.1: timestamps go on from the one that carried the cookie */
static void
timestamps_never_go_back_after_a_cookie(void **state)
{
	struct harness *h = *state;

	only_cookies(h);
	for (unsigned int i = 0; i < 50; i++) {
		h->tuple.remote_port++;
		h->timestamps = false;
		harness_advance(h, 37 * MS);
		harness_discard(h);
		uint32_t first = get_cookie(h)->p.tsval;

		assert_int_equal(answer_ack(h), TCP_OK);
		harness_write(h, 10);
		struct sent *s = EXPECT(h, ACK, 1, 1, 10);

		assert_in_range(s->p.tsval - first, 0, 1023);
		harness_ack(h, 11);
		tcp_abort(h->conn, h->now);
		harness_release(h);
		harness_discard(h);
	}
}

/* RFC 4987 section 3.6: a cookie is good for the client that it was made for, and only whole */
static void
altered_cookie_is_refused_with_a_reset(void **state)
{
	struct harness *h = *state;

	only_cookies(h);
	get_cookie(h);
	for (unsigned int bit = 0; bit < 32; bit++) {
		struct packet p = harness_packet(h, ACK, 1, 1);

		p.ack ^= 1u << bit;
		assert_int_equal(answer(h, &p, NULL, 0), TCP_E_NOT_SYN);
		assert_int_equal(harness_take(h)->p.flags, RST);
		p = harness_packet(h, ACK, 1, 1);
		p.seq ^= 1u << bit;
		assert_int_equal(answer(h, &p, NULL, 0), TCP_E_NOT_SYN);
		assert_int_equal(harness_take(h)->p.flags, RST);
	}
	/* The bits in the timestamp count as well. */
	for (unsigned int bit = 0; bit < 10; bit++) {
		h->ts_echo ^= 1u << bit;
		assert_int_equal(answer_ack(h), TCP_E_NOT_SYN);
		h->ts_echo ^= 1u << bit;
	}
	struct packet p = harness_packet(h, ACK, 1, 1);

	p.sport++;
	assert_int_equal(answer(h, &p, NULL, 0), TCP_E_NOT_SYN);
	assert_int_equal(tcp_stack_connections(h->stack), 1);
	harness_discard(h);
	assert_int_equal(answer_ack(h), TCP_OK);
}

/* RFC 4987 section 3.6: secrets change; a cookie outlives one change, not two */
static void
cookie_expires_with_its_secret(void **state)
{
	struct harness *h = *state;

	h->now = 10 * PERIOD + 1;
	only_cookies(h);
	h->config.connect_timeout_ms = 1000000;
	get_cookie(h);
	h->now = 12 * PERIOD - 1;
	assert_int_equal(answer_ack(h), TCP_OK);
	tcp_abort(h->conn, h->now);
	harness_release(h);
	/* The connection that held the threshold has timed out by now: another one. */
	h->tuple.remote_port = 2;
	harness_send_syn(h);
	assert_int_equal(harness_take_syn(h), TCP_OK);
	harness_discard(h);
	h->tuple.remote_port = HARNESS_PEER_PORT;
	h->timestamps = false;
	get_cookie(h);
	h->now = 13 * PERIOD;
	assert_int_equal(answer_ack(h), TCP_E_NOT_SYN);
}

/* RFC 4987 section 3.6: without a cookie out, an ACK is not even tried */
static void
ack_without_any_cookie_is_refused(void **state)
{
	struct harness *h = *state;

	assert_int_equal(answer_ack(h), TCP_E_NOT_SYN);
	assert_int_equal(harness_take(h)->p.flags, RST);
}

/* RFC 9293 section 3.10.7.4: the ACK of the handshake may be lost, data brings the same */
static void
first_data_brings_the_cookie_too(void **state)
{
	struct harness *h = *state;
	uint8_t data[3];

	only_cookies(h);
	get_cookie(h);
	for (unsigned int i = 0; i < sizeof(data); i++)
		data[i] = harness_pattern(i);
	struct packet p = harness_packet(h, ACK | PSH, 1, 1);

	assert_int_equal(answer(h, &p, data, sizeof(data)), TCP_OK);
	EXPECT_EVENTS(h, TCP_EV_CONNECTED | TCP_EV_READABLE);
	EXPECT(h, ACK, 1, 4, 0);
	assert_int_equal(harness_read(h, 0), 3);
}

/* The ACK and the first data come in one burst: both are strangers. */
static void
second_segment_of_the_burst_reaches_the_new_connection(void **state)
{
	struct harness *h = *state;
	uint8_t byte = harness_pattern(0);
	struct tcp_conn *none;

	only_cookies(h);
	get_cookie(h);
	struct packet p = harness_packet(h, ACK, 1, 1);

	harness_inject(h, &p, NULL, 0);
	harness_inject(h, &p, &byte, 1);
	assert_int_equal(h->n_strangers, 2);
	assert_int_equal(tcp_accept(h->stack, h->strangers[0], h->now, &h->config, &h->conn),
			 TCP_OK);
	assert_false(tcp_is_cookie(h->stack, h->strangers[1], h->now));
	assert_int_equal(tcp_accept(h->stack, h->strangers[1], h->now, &h->config, &none),
			 TCP_E_IN_USE);
	tcp_refuse(h->stack, h->strangers[1], h->now);
	h->n_strangers = 0;
	harness_turn(h);
	assert_int_equal(harness_read(h, 0), 1);
}

/* RFC 4987 section 3.6: cookies end with the flood */
static void
state_is_kept_again_when_the_half_open_are_gone(void **state)
{
	struct harness *h = *state;

	h->stack_config.max_half_open = 2;
	harness_new_stack(h);
	/* One is completed, one is reset, one times out. */
	for (unsigned int i = 0; i < 3; i++) {
		h->tuple.remote_port = (uint16_t)(100 + 10 * i);
		harness_send_syn(h);
		assert_int_equal(harness_take_syn(h), TCP_OK);
		harness_learn(h, harness_take(h));
		h->tuple.remote_port++;
		harness_send_syn(h);
		assert_int_equal(harness_take_syn(h), TCP_OK);
		harness_discard(h);
		h->tuple.remote_port++;
		h->timestamps = false;
		harness_send_syn(h);
		assert_int_equal(harness_take_syn(h), TCP_E_COOKIE);
		h->n_strangers--;
		harness_discard(h);
		for (unsigned int back = 1; back <= 2; back++) {
			h->tuple.remote_port--;
			if (i == 0) {
				struct packet p = harness_packet(h, RST, 1, 0);

				p.opts_len = 0;
				harness_inject(h, &p, NULL, 0);
			}
		}
		if (i > 0)
			harness_advance(h, 11 * SECOND);
		harness_turn(h);
		harness_discard(h);
	}
	h->conn = NULL;
}

/* RFC 6191: the place of a TIME-WAIT entry is taken with state, or the peer's ACK would be
 * taken for one of the old connection */
static void
syn_that_replaces_a_time_wait_gets_no_cookie(void **state)
{
	struct harness *h = *state;

	h->stack_config.max_half_open = 1;
	harness_new_stack(h);
	harness_accept(h);
	tcp_shutdown(h->conn, h->now);
	harness_turn(h);
	EXPECT(h, ACK | FIN, 1, 1, 0);
	harness_send(h, ACK | FIN, 1, 2, NULL, 0);
	harness_release(h);
	harness_discard(h);
	assert_int_equal(tcp_stack_time_waits(h->stack), 1);
	h->tuple.remote_port++;
	h->timestamps = false;
	harness_send_syn(h);
	assert_int_equal(harness_take_syn(h), TCP_OK);
	tcp_release(h->conn, h->now);
	h->tuple.remote_port--;
	harness_advance(h, 2 * SECOND);
	harness_discard(h);
	h->peer_isn += 100000;
	harness_send_syn(h);
	assert_int_equal(harness_take_syn(h), TCP_OK);
	assert_int_equal(tcp_stack_time_waits(h->stack), 0);
}

/* RFC 9293 section 3.10.7.1: with the table full even a good cookie has no place */
static void
cookie_for_a_full_table_is_refused(void **state)
{
	struct harness *h = *state;

	h->stack_config.max_connections = 16;
	h->stack_config.max_half_open = 15;
	harness_new_stack(h);
	for (unsigned int i = 0; i < 15; i++) {
		h->tuple.remote_port = (uint16_t)(100 + i);
		harness_send_syn(h);
		assert_int_equal(harness_take_syn(h), TCP_OK);
		harness_discard(h);
	}
	h->tuple.remote_port = HARNESS_PEER_PORT;
	get_cookie(h);
	struct sent cookie = h->sent[0];
	struct tcp_tuple mine = h->tuple;

	h->tuple.local_port = 0;
	h->tuple.remote_port = 99;
	harness_open(h);
	harness_discard(h);
	h->tuple = mine;
	harness_learn(h, &cookie);
	h->ts_echo = cookie.p.tsval;
	struct packet p = harness_packet(h, ACK, 1, 1);

	harness_inject(h, &p, NULL, 0);
	struct tcp_conn *none;

	assert_int_equal(tcp_accept(h->stack, h->strangers[0], h->now, &h->config, &none),
			 TCP_E_NO_MEMORY);
	assert_int_equal(COUNTER(h, table_full), 1);
}

static const struct CMUnitTest tests[] = {
	TEST_BOTH(syn_past_the_threshold_costs_no_memory),
	TEST_BOTH(ack_of_a_cookie_is_an_established_connection),
	TEST_BOTH(cookie_keeps_scale_and_sack_in_the_timestamp),
	TEST(cookie_keeps_the_mss_rounded_down),
	TEST(timestamps_never_go_back_after_a_cookie),
	TEST_BOTH(altered_cookie_is_refused_with_a_reset),
	TEST(cookie_expires_with_its_secret),
	TEST(ack_without_any_cookie_is_refused),
	TEST(first_data_brings_the_cookie_too),
	TEST(second_segment_of_the_burst_reaches_the_new_connection),
	TEST(state_is_kept_again_when_the_half_open_are_gone),
	TEST(syn_that_replaces_a_time_wait_gets_no_cookie),
	TEST(cookie_for_a_full_table_is_refused),
};

int
main(void)
{
	harness_init("test_cookie");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
