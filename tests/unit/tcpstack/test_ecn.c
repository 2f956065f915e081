/* SPDX-License-Identifier: Apache-2.0 */
/* Explicit congestion notification: RFC 3168. */
#include "tests/unit/tcpstack/segment_harness.h"

#define ECT 2
#define CE 3

static struct tcp_info
info_of(struct harness *h)
{
	struct tcp_info info;

	tcp_conn_info(h->conn, &info);
	return info;
}

static void
mode(struct harness *h, enum tcp_ecn ecn)
{
	h->stack_config.ecn = ecn;
	harness_new_stack(h);
}

/* The peer's SYN with `flags` added and the IP field `ecn`; returns the SYN-ACK. */
static struct sent *
syn_with(struct harness *h, uint8_t flags, uint8_t ecn)
{
	struct packet p = harness_packet(h, SYN | flags, 0, 0);

	p.ecn = ecn;
	harness_syn_options(h, &p);
	harness_inject(h, &p, NULL, 0);
	assert_int_equal(harness_take_syn(h), TCP_OK);
	struct sent *s = harness_take(h);

	assert_non_null(s);
	harness_learn(h, s);
	return s;
}

static void
accept_ecn(struct harness *h)
{
	assert_int_equal(syn_with(h, ECE | CWR, 0)->p.flags, SYN | ACK | ECE);
	harness_send(h, ACK, 1, 1, NULL, 0);
	assert_true(info_of(h).ecn);
	h->events = 0;
}

static void
send_marked(struct harness *h, uint8_t flags, uint8_t ecn, uint32_t seq, uint16_t len)
{
	uint8_t data[2000];
	struct packet p = harness_packet(h, flags, seq, 1);

	for (uint16_t i = 0; i < len; i++)
		data[i] = harness_pattern(seq - 1 + i);
	p.ecn = ecn;
	harness_inject(h, &p, data, len);
	harness_turn(h);
}

/* --- negotiation ---------------------------------------------------------------------------- */

/* RFC 3168 section 6.1.1: a SYN with ECE and CWR is answered with ECE, unless switched off */
static void
ecn_setup_syn_is_answered_with_ece(void **state)
{
	struct harness *h = *state;
	static const enum tcp_ecn modes[] = {TCP_ECN_PASSIVE, TCP_ECN_OFF, TCP_ECN_ON};

	for (unsigned int i = 0; i < RTE_DIM(modes); i++) {
		mode(h, modes[i]);
		h->timestamps = false;
		struct sent *s = syn_with(h, ECE | CWR, 0);

		assert_int_equal(s->p.flags, modes[i] == TCP_ECN_OFF ? SYN | ACK : SYN | ACK | ECE);
		assert_int_equal(s->p.ecn, 0);
		harness_send(h, ACK, 1, 1, NULL, 0);
		assert_int_equal(info_of(h).ecn, modes[i] != TCP_ECN_OFF);
		tcp_abort(h->conn, h->now);
		harness_release(h);
		harness_discard(h);
	}
}

/* RFC 3168 section 6.1.1: one flag alone is no ECN-setup SYN */
static void
half_an_ecn_setup_is_none(void **state)
{
	struct harness *h = *state;
	static const uint8_t flags[] = {0, ECE, CWR};

	for (unsigned int i = 0; i < RTE_DIM(flags); i++) {
		h->tuple.remote_port++;
		h->timestamps = false;
		assert_int_equal(syn_with(h, flags[i], 0)->p.flags, SYN | ACK);
		assert_false(info_of(h).ecn);
	}
}

/* RFC 8311 section 4.3: a SYN that is itself ECN-capable is not RFC 3168's; no ECN then */
static void
marked_syn_negotiates_nothing(void **state)
{
	struct harness *h = *state;

	for (uint8_t ecn = 1; ecn <= 3; ecn++) {
		h->tuple.remote_port++;
		h->timestamps = false;
		assert_int_equal(syn_with(h, ECE | CWR, ecn)->p.flags, SYN | ACK);
		assert_false(info_of(h).ecn);
	}
}

/* Our SYN and the peer's SYN-ACK with `flags`. */
static void
connect_with(struct harness *h, uint8_t flags)
{
	harness_open(h);
	harness_learn(h, harness_take(h));
	struct packet p = harness_packet(h, SYN | ACK | flags, 0, 1);

	harness_syn_options(h, &p);
	harness_inject(h, &p, NULL, 0);
	harness_turn(h);
	EXPECT(h, ACK, 1, 1, 0);
}

/* RFC 3168 section 6.1.1: ECE without CWR in the SYN-ACK agrees; both mean a peer that gives
 * back the flags it got */
static void
only_ece_in_the_syn_ack_agrees(void **state)
{
	struct harness *h = *state;
	static const uint8_t flags[] = {0, ECE, CWR, ECE | CWR};

	mode(h, TCP_ECN_ON);
	for (unsigned int i = 0; i < RTE_DIM(flags); i++) {
		h->tuple.local_port++;
		h->timestamps = false;
		connect_with(h, flags[i]);
		assert_int_equal(info_of(h).ecn, flags[i] == ECE);
	}
	/* Who did not ask is not told. */
	mode(h, TCP_ECN_PASSIVE);
	h->timestamps = false;
	connect_with(h, ECE);
	assert_false(info_of(h).ecn);
}

/* RFC 3168 section 6.1.1: the SYN asks with both flags and is not ECN-capable itself; section
 * 6.1.1.1: the second one does not ask */
static void
syn_asks_once(void **state)
{
	struct harness *h = *state;

	mode(h, TCP_ECN_ON);
	harness_open(h);
	struct sent *s = harness_take(h);

	assert_int_equal(s->p.flags, SYN | ECE | CWR);
	assert_int_equal(s->p.ecn, 0);
	harness_advance(h, 1100 * MS);
	s = harness_take(h);
	assert_int_equal(s->p.flags, SYN);
	harness_learn(h, s);
	/* An answer to the first: echo what is marked, but send no ECT (section 6.1.1). */
	struct packet p = harness_packet(h, SYN | ACK | ECE, 0, 1);

	harness_syn_options(h, &p);
	harness_inject(h, &p, NULL, 0);
	harness_turn(h);
	harness_discard(h);
	harness_write(h, 100);
	assert_int_equal(EXPECT(h, ACK, 1, 1, 100)->p.ecn, 0);
	send_marked(h, ACK, CE, 1, 100);
	EXPECT(h, ACK | ECE, 101, 101, 0);
}

/* RFC 3168 section 6.1.1.1: a peer that repeats its SYN without ECN gets no ECT */
static void
syn_repeated_without_ecn_takes_it_back(void **state)
{
	struct harness *h = *state;

	syn_with(h, ECE | CWR, 0);
	struct packet p = harness_packet(h, SYN, 0, 0);

	harness_syn_options(h, &p);
	harness_inject(h, &p, NULL, 0);
	harness_turn(h);
	harness_discard(h);
	harness_send(h, ACK, 1, 1, NULL, 0);
	harness_write(h, 100);
	assert_int_equal(EXPECT(h, ACK, 1, 1, 100)->p.ecn, 0);
}

/* RFC 4987 section 3.6, RFC 3168 section 6.1.1: ECN survives a SYN cookie */
static void
ecn_survives_a_cookie(void **state)
{
	struct harness *h = *state;

	h->stack_config.max_half_open = 1;
	harness_new_stack(h);
	h->tuple.remote_port++;
	syn_with(h, 0, 0);
	tcp_release(h->conn, h->now);
	h->tuple.remote_port--;
	struct packet p = harness_packet(h, SYN | ECE | CWR, 0, 0);

	p.opts_len = 0;
	harness_syn_options(h, &p);
	harness_inject(h, &p, NULL, 0);
	assert_int_equal(harness_take_syn(h), TCP_E_COOKIE);
	h->n_strangers = 0;
	struct sent *s = harness_take(h);

	assert_int_equal(s->p.flags, SYN | ACK | ECE);
	harness_learn(h, s);
	p = harness_packet(h, ACK, 1, 1);
	harness_inject(h, &p, NULL, 0);
	assert_int_equal(harness_take_syn(h), TCP_OK);
	harness_write(h, 10);
	assert_int_equal(EXPECT(h, ACK, 1, 1, 10)->p.ecn, ECT);
}

/* --- the sender ------------------------------------------------------------------------------ */

/* RFC 3168 sections 6.1.4 and 6.1.5: new data is ECT(0); ACKs and retransmissions are not */
static void
only_new_data_is_ecn_capable(void **state)
{
	struct harness *h = *state;

	accept_ecn(h);
	harness_write(h, 3000);
	for (unsigned int i = 0; i < 3; i++)
		assert_int_equal(harness_take(h)->p.ecn, ECT);
	EXPECT_NOTHING(h);
	harness_advance(h, 1500 * MS);
	struct sent *s;

	for (unsigned int i = 0; (s = harness_take(h)) != NULL; i++)
		assert_int_equal(s->p.ecn, 0);
	assert_true(COUNTER(h, retransmits) > 0);
	harness_ack(h, 3001);
	send_marked(h, ACK, 0, 1, 100);
	s = EXPECT(h, ACK, 3001, 101, 0);
	assert_int_equal(s->p.ecn, 0);
	tcp_shutdown(h->conn, h->now);
	harness_turn(h);
	assert_int_equal(EXPECT(h, ACK | FIN, 3001, 101, 0)->p.ecn, 0);
}

/* RFC 3168 section 6.1.6: nor are window probes */
static void
window_probe_is_not_ecn_capable(void **state)
{
	struct harness *h = *state;

	h->peer_wnd = 0;
	h->peer_wscale = -1;
	accept_ecn(h);
	harness_write(h, 1000);
	harness_advance(h, 5 * SECOND);
	assert_true(COUNTER(h, zero_window_probes) > 0);
	struct sent *s;

	while ((s = harness_take(h)) != NULL)
		assert_int_equal(s->p.ecn, 0);
}

/* RFC 3168 section 6.1.1: without agreement nothing is marked and an echo means nothing */
static void
without_agreement_nothing_is_marked(void **state)
{
	struct harness *h = *state;

	harness_accept(h);
	harness_write(h, 2000);
	struct sent *s;

	while ((s = harness_take(h)) != NULL) {
		assert_int_equal(s->p.ecn, 0);
		assert_int_equal(s->p.flags & (ECE | CWR), 0);
	}
	uint32_t cwnd = info_of(h).snd_cwnd;

	harness_send(h, ACK | ECE, 1, 1449, NULL, 0);
	assert_true(info_of(h).snd_cwnd >= cwnd);
	assert_int_equal(COUNTER(h, ecn_reductions), 0);
	send_marked(h, ACK, CE, 1, 100);
	EXPECT(h, ACK, 2001, 101, 0);
}

/* RFC 3168 section 6.1.2, RFC 9438 section 4.6: an echo reduces the window as a loss does,
 * once for each window of data; CWR is said with the next new data */
static void
echo_reduces_the_window_once_a_window(void **state)
{
	struct harness *h = *state;

	accept_ecn(h);
	harness_write(h, 14480);
	harness_discard(h);
	uint32_t before = info_of(h).snd_cwnd;

	harness_send(h, ACK | ECE, 1, 1449, NULL, 0);
	struct tcp_info info = info_of(h);

	assert_int_equal(info.snd_ssthresh, before * 7 / 10);
	assert_int_equal(info.snd_cwnd, before * 7 / 10);
	assert_int_equal(info.total_retransmits, 0);
	for (uint32_t ack = 2897; ack < 14481; ack += 1448) {
		harness_send(h, ACK | ECE, 1, ack, NULL, 0);
		assert_int_equal(info_of(h).snd_cwnd, before * 7 / 10);
	}
	assert_int_equal(COUNTER(h, ecn_reductions), 1);
	EXPECT_NOTHING(h);
	harness_write(h, 2896);
	assert_int_equal(EXPECT(h, ACK | CWR, 14481, 1, 1448)->p.ecn, ECT);
	EXPECT(h, ACK, 15929, 1, 1448);
	/* A new window: a new reduction. */
	harness_send(h, ACK | ECE, 1, 14481, NULL, 0);
	harness_send(h, ACK | ECE, 1, 15929, NULL, 0);
	assert_int_equal(COUNTER(h, ecn_reductions), 2);
	harness_write(h, 1000);
	EXPECT(h, ACK | CWR, 17377, 1, 1000);
}

/* RFC 3168 section 6.1.2: not below what a single segment needs, however often it is echoed */
static void
echoes_do_not_stop_the_sender(void **state)
{
	struct harness *h = *state;
	uint32_t end = 1;

	accept_ecn(h);
	for (unsigned int i = 0; i < 40; i++) {
		harness_write(h, 1448);
		EXPECT(h, ACK | (i > 0 ? CWR : 0), end, 1, 1448);
		end += 1448;
		harness_send(h, ACK | ECE, 1, end, NULL, 0);
		assert_true(info_of(h).snd_cwnd >= 1448);
	}
}

/* --- the receiver ----------------------------------------------------------------------------- */

/* RFC 3168 section 6.1.3: every ACK says ECE from CE on until CWR */
static void
congestion_is_echoed_until_cwr(void **state)
{
	struct harness *h = *state;

	accept_ecn(h);
	send_marked(h, ACK, ECT, 1, 100);
	EXPECT(h, ACK, 1, 101, 0);
	send_marked(h, ACK, CE, 101, 100);
	EXPECT(h, ACK | ECE, 1, 201, 0);
	send_marked(h, ACK, ECT, 201, 100);
	EXPECT(h, ACK | ECE, 1, 301, 0);
	harness_write(h, 50);
	EXPECT(h, ACK | ECE, 1, 301, 50);
	send_marked(h, ACK | CWR, ECT, 301, 100);
	EXPECT(h, ACK, 51, 401, 0);
	/* CWR on a segment that is marked itself: that is the next congestion. */
	send_marked(h, ACK, CE, 401, 100);
	EXPECT(h, ACK | ECE, 51, 501, 0);
	send_marked(h, ACK | CWR, CE, 501, 100);
	EXPECT(h, ACK | ECE, 51, 601, 0);
	assert_int_equal(COUNTER(h, ecn_marked), 3);
	/* CWR may come on data that is not ECN-capable. */
	send_marked(h, ACK | CWR, 0, 601, 100);
	EXPECT(h, ACK, 51, 701, 0);
}

/* RFC 3168 section 6.1.5: what lies outside the window says nothing about the path */
static void
mark_outside_the_window_is_not_echoed(void **state)
{
	struct harness *h = *state;

	accept_ecn(h);
	send_marked(h, ACK, ECT, 1, 100);
	harness_discard(h);
	send_marked(h, ACK, CE, 1, 100);
	EXPECT(h, ACK, 1, 101, 0);
	send_marked(h, ACK, CE, 5000000, 100);
	EXPECT(h, ACK, 1, 101, 0);
	assert_int_equal(COUNTER(h, ecn_marked), 0);
}

/* RFC 3168 section 6.1.5: a marked ACK without data is not echoed */
static void
marked_pure_ack_is_not_echoed(void **state)
{
	struct harness *h = *state;

	accept_ecn(h);
	harness_write(h, 100);
	harness_discard(h);
	struct packet p = harness_packet(h, ACK, 1, 101);

	p.ecn = CE;
	harness_inject(h, &p, NULL, 0);
	harness_turn(h);
	EXPECT_NOTHING(h);
	assert_int_equal(COUNTER(h, ecn_marked), 0);
}

static const struct CMUnitTest tests[] = {
	TEST_BOTH(ecn_setup_syn_is_answered_with_ece),
	TEST(half_an_ecn_setup_is_none),
	TEST_BOTH(marked_syn_negotiates_nothing),
	TEST(only_ece_in_the_syn_ack_agrees),
	TEST(syn_asks_once),
	TEST(syn_repeated_without_ecn_takes_it_back),
	TEST(ecn_survives_a_cookie),
	TEST_BOTH(only_new_data_is_ecn_capable),
	TEST(window_probe_is_not_ecn_capable),
	TEST(without_agreement_nothing_is_marked),
	TEST(echo_reduces_the_window_once_a_window),
	TEST(echoes_do_not_stop_the_sender),
	TEST_BOTH(congestion_is_echoed_until_cwr),
	TEST(mark_outside_the_window_is_not_echoed),
	TEST(marked_pure_ack_is_not_echoed),
};

int
main(void)
{
	harness_init("test_ecn");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
