/* SPDX-License-Identifier: Apache-2.0 */
/* Connections that die of silence, and those that are kept awake. */
#include "tests/unit/tcpstack/segment_harness.h"

static void
connect_gives_up_after_its_timeout(void **state)
{
	struct harness *h = *state;

	h->config.connect_timeout_ms = 5000;
	harness_open(h);
	harness_advance(h, 4900 * MS);
	EXPECT_EVENTS(h, 0);
	harness_advance(h, 200 * MS);
	EXPECT_EVENTS(h, TCP_EV_FAILED);
	assert_int_equal(tcp_conn_error(h->conn), TCP_E_TIMEOUT);
	harness_discard(h);
	harness_release(h);
	harness_advance(h, 60 * SECOND);
	EXPECT_NOTHING(h);
	assert_int_equal(tcp_stack_connections(h->stack), 0);
	assert_true(tcp_next_timer(h->stack) == UINT64_MAX);
}

static void
connect_timeout_defaults_to_ten_seconds(void **state)
{
	struct harness *h = *state;

	harness_open(h);
	harness_advance(h, 9900 * MS);
	EXPECT_EVENTS(h, 0);
	harness_advance(h, 200 * MS);
	EXPECT_EVENTS(h, TCP_EV_FAILED);
}

static void
half_open_connection_is_given_up(void **state)
{
	struct harness *h = *state;

	h->config.connect_timeout_ms = 5000;
	harness_send_syn(h);
	assert_int_equal(harness_take_syn(h), TCP_OK);
	harness_advance(h, 5100 * MS);
	EXPECT_EVENTS(h, TCP_EV_FAILED);
	assert_int_equal(tcp_conn_error(h->conn), TCP_E_TIMEOUT);
}

/* RFC 9293 section 3.8.3 */
static void
unacknowledged_data_ends_in_the_user_timeout(void **state)
{
	struct harness *h = *state;

	h->config.user_timeout_ms = 15000;
	harness_accept(h);
	harness_write(h, 100);
	harness_advance(h, 14 * SECOND);
	EXPECT_EVENTS(h, 0);
	harness_advance(h, 2 * SECOND);
	EXPECT_EVENTS(h, TCP_EV_FAILED);
	assert_int_equal(tcp_conn_error(h->conn), TCP_E_TIMEOUT);
	harness_discard(h);
	harness_advance(h, 60 * SECOND);
	EXPECT_NOTHING(h);
}

static void
progress_restarts_the_user_timeout(void **state)
{
	struct harness *h = *state;

	h->config.user_timeout_ms = 15000;
	harness_accept(h);
	harness_write(h, 5000);
	for (uint32_t i = 1; i <= 10; i++) {
		harness_advance(h, 8 * SECOND);
		harness_ack(h, 1 + i * 100);
		harness_discard(h);
	}
	assert_int_equal(h->events & TCP_EV_FAILED, 0);
	harness_advance(h, 20 * SECOND);
	assert_int_equal(h->events & TCP_EV_FAILED, TCP_EV_FAILED);
}

static void
idle_connection_lives_for_ever_without_keepalive(void **state)
{
	struct harness *h = *state;

	harness_accept(h);
	harness_advance(h, 30ull * 24 * 3600 * SECOND);
	EXPECT_NOTHING(h);
	EXPECT_EVENTS(h, 0);
	assert_int_equal(harness_state(h), TCP_ESTABLISHED);
}

static void
set_keepalive(struct harness *h)
{
	h->config.keepalive_idle_ms = 10000;
	h->config.keepalive_interval_ms = 2000;
	h->config.keepalive_probes = 3;
}

/* RFC 1122 section 4.2.3.6 */
static void
unanswered_keepalives_end_the_connection(void **state)
{
	struct harness *h = *state;

	set_keepalive(h);
	harness_accept(h);
	uint64_t begin = h->now;

	harness_advance(h, 15 * SECOND);
	for (unsigned int i = 0; i < 3; i++) {
		struct sent *s = EXPECT(h, ACK, 0, 1, 0);

		assert_in_range(s->at - begin, (10 + 2 * i) * SECOND,
				(10 + 2 * i) * SECOND + 20 * MS);
	}
	EXPECT_EVENTS(h, 0);
	harness_advance(h, 2 * SECOND);
	EXPECT_EVENTS(h, TCP_EV_FAILED);
	assert_int_equal(tcp_conn_error(h->conn), TCP_E_TIMEOUT);
	assert_int_equal(COUNTER(h, keepalives), 3);
}

static void
answered_keepalives_keep_the_connection(void **state)
{
	struct harness *h = *state;

	set_keepalive(h);
	harness_accept(h);
	for (unsigned int i = 0; i < 20; i++) {
		harness_advance(h, 10 * SECOND + 100 * MS);
		EXPECT(h, ACK, 0, 1, 0);
		harness_ack(h, 1);
		EXPECT_NOTHING(h);
	}
	EXPECT_EVENTS(h, 0);
	assert_int_equal(harness_state(h), TCP_ESTABLISHED);
}

static void
data_postpones_keepalives(void **state)
{
	struct harness *h = *state;

	set_keepalive(h);
	harness_accept(h);
	for (uint32_t i = 0; i < 5; i++) {
		harness_advance(h, 9 * SECOND);
		harness_send_pattern(h, 1 + i * 10, 1, 10);
	}
	struct sent *s;

	while ((s = harness_take(h)) != NULL)
		assert_int_equal(s->seq, 1);
	assert_int_equal(COUNTER(h, keepalives), 0);
}

static void
peers_keepalive_is_answered(void **state)
{
	struct harness *h = *state;

	harness_accept(h);
	harness_send(h, ACK, 0, 1, NULL, 0);
	EXPECT(h, ACK, 1, 1, 0);
	uint8_t garbage = 0;

	/* The old form with a byte. */
	harness_send(h, ACK, 0, 1, &garbage, 1);
	EXPECT(h, ACK, 1, 1, 0);
	EXPECT_EVENTS(h, 0);
}

static void
lost_last_ack_ends_too(void **state)
{
	struct harness *h = *state;

	h->config.user_timeout_ms = 20000;
	harness_accept(h);
	harness_send(h, FIN | ACK, 1, 1, NULL, 0);
	harness_release(h);
	harness_advance(h, 60 * SECOND);
	assert_int_equal(tcp_stack_connections(h->stack), 0);
	assert_true(tcp_next_timer(h->stack) == UINT64_MAX);
}

static const struct CMUnitTest tests[] = {
	TEST(connect_gives_up_after_its_timeout),
	TEST(connect_timeout_defaults_to_ten_seconds),
	TEST(half_open_connection_is_given_up),
	TEST_BOTH(unacknowledged_data_ends_in_the_user_timeout),
	TEST(progress_restarts_the_user_timeout),
	TEST(idle_connection_lives_for_ever_without_keepalive),
	TEST_BOTH(unanswered_keepalives_end_the_connection),
	TEST(answered_keepalives_keep_the_connection),
	TEST(data_postpones_keepalives),
	TEST(peers_keepalive_is_answered),
	TEST(lost_last_ack_ends_too),
};

int
main(void)
{
	harness_init("test_timeouts");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
