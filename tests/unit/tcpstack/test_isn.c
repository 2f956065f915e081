/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/tcpstack/inside.h"

/* The vectors of SipHash's authors: key and message count up from 0. */
static void
siphash_gives_the_reference_values(void **state)
{
	const uint64_t key[2] = {0x0706050403020100ull, 0x0f0e0d0c0b0a0908ull};
	const uint64_t message[2] = {0x0706050403020100ull, 0x0f0e0d0c0b0a0908ull};

	assert_true(tcp_siphash(key, message, 0) == 0x726fdb47dd0e0e31ull);
	assert_true(tcp_siphash(key, message, 1) == 0x93f5f5799a932462ull);
	assert_true(tcp_siphash(key, message, 2) == 0x3f2acc7f57c29bdbull);
}

static void
isn_grows_with_time_and_differs_between_tuples(void **state)
{
	struct inside *in = *state;
	struct tcp_tuple a = inside_tuple(80, 5000), b = inside_tuple(80, 5001);
	uint32_t first = tcp_isn(in->stack, &a);

	assert_int_not_equal(first, tcp_isn(in->stack, &b));
	assert_int_equal(tcp_isn(in->stack, &a), first);
	tcp_clock(in->stack, INSIDE_NOW + 4000000);
	assert_int_equal(tcp_isn(in->stack, &a), first + 1000000);
}

static bool
only_multiples_of_seven(void *ctx, const struct tcp_tuple *tuple)
{
	(*(uint32_t *)ctx)++;
	return tuple->local_port % 7 == 0;
}

static bool
only_one(void *ctx, const struct tcp_tuple *tuple)
{
	return tuple->local_port == 40000;
}

static void
port_is_one_that_the_caller_may_use(void **state)
{
	struct inside *in = *state;
	struct tcp_tuple tuple = inside_tuple(0, 443);
	uint32_t asked = 0, last = 0;

	in->stack->config.port_ok = only_multiples_of_seven;
	in->stack->config.port_ok_ctx = &asked;
	for (uint32_t i = 0; i < 100; i++) {
		assert_int_equal(tcp_port_choose(in->stack, &tuple), TCP_OK);
		assert_int_equal(tuple.local_port % 7, 0);
		assert_true(tuple.local_port >= TCP_PORT_FIRST);
		assert_int_not_equal(tuple.local_port, last);
		last = tuple.local_port;
	}
	assert_true(asked >= 100);
}

static void
port_in_use_towards_a_remote_is_free_towards_another(void **state)
{
	struct inside *in = *state;
	struct tcp_tuple tuple = inside_tuple(0, 443);
	struct tcp_conn *conn;

	in->stack->config.port_ok = only_one;
	assert_int_equal(tcp_connect(in->stack, &tuple, INSIDE_NOW, NULL, &conn), TCP_OK);
	assert_int_equal(tcp_conn_tuple(conn)->local_port, 40000);
	assert_int_equal(tcp_connect(in->stack, &tuple, INSIDE_NOW, NULL, &conn), TCP_E_NO_PORT);
	tuple.local_port = 40000;
	assert_int_equal(tcp_connect(in->stack, &tuple, INSIDE_NOW, NULL, &conn), TCP_E_IN_USE);
	tuple.local_port = 0;
	tuple.remote_port = 444;
	assert_int_equal(tcp_connect(in->stack, &tuple, INSIDE_NOW, NULL, &conn), TCP_OK);
	assert_int_equal(tcp_conn_tuple(conn)->local_port, 40000);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(siphash_gives_the_reference_values),
		cmocka_unit_test_setup_teardown(isn_grows_with_time_and_differs_between_tuples,
						inside_setup, inside_teardown),
		cmocka_unit_test_setup_teardown(port_is_one_that_the_caller_may_use, inside_setup,
						inside_teardown),
		cmocka_unit_test_setup_teardown(
			port_in_use_towards_a_remote_is_free_towards_another, inside_setup,
			inside_teardown),
	};

	inside_init("test_isn");
	return inside_run(tests, RTE_DIM(tests));
}
