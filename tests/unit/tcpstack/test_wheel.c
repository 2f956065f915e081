/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/tcpstack/inside.h"

#define CONNS 64

struct fixture {
	struct tcp_wheel wheel;
	struct tcp_conn conns[CONNS];
	bool in[CONNS];
	uint32_t due[CONNS];
	struct rng rng;
};

static int
setup(void **state)
{
	struct fixture *f = aligned_alloc(RTE_CACHE_LINE_SIZE, RTE_ALIGN(sizeof(*f), 64));

	assert_non_null(f);
	memset(f, 0, sizeof(*f));
	f->rng.state = 11;
	*state = f;
	return 0;
}

static int
teardown(void **state)
{
	free(*state);
	return 0;
}

static void
insert(struct fixture *f, uint32_t i, uint32_t tick)
{
	tcp_wheel_insert(&f->wheel, &f->conns[i], tick);
	f->in[i] = true;
	f->due[i] = tick;
}

/* Delays from one tick to weeks, small ones as often as large ones. */
static uint32_t
some_delay(struct fixture *f)
{
	return (uint32_t)(rng_next(&f->rng) >> rng_between(&f->rng, 34, 63)) + 1;
}

static uint32_t
earliest(const struct fixture *f, bool *found)
{
	uint32_t tick = 0;

	*found = false;
	for (uint32_t i = 0; i < CONNS; i++)
		if (f->in[i] && (!*found || seq_lt(f->due[i], tick))) {
			tick = f->due[i];
			*found = true;
		}
	return tick;
}

/* Moves to `tick`: everything due by then is popped, and nothing else. */
static void
advance_to(struct fixture *f, uint32_t tick)
{
	struct tcp_conn *conn;

	while ((conn = tcp_wheel_pop(&f->wheel, tick)) != NULL) {
		uint32_t i = (uint32_t)(conn - f->conns);

		assert_true(f->in[i]);
		assert_true(seq_le(f->due[i], tick));
		f->in[i] = false;
	}
	for (uint32_t i = 0; i < CONNS; i++)
		assert_false(f->in[i] && seq_le(f->due[i], tick));
}

static void
everything_fires_when_due_and_not_before(void **state)
{
	struct fixture *f = *state;
	/* The tick wraps on the way. */
	uint32_t tick = UINT32_MAX - 200000;

	tcp_wheel_init(&f->wheel, f->conns, tick);
	for (uint32_t step = 0; step < 30000; step++) {
		uint32_t i = (uint32_t)rng_between(&f->rng, 0, CONNS - 1), next;
		bool found, hint;

		if (f->in[i]) {
			tcp_wheel_remove(&f->wheel, &f->conns[i]);
			f->in[i] = false;
		} else {
			insert(f, i, tick + some_delay(f));
		}
		hint = tcp_wheel_next(&f->wheel, &next);
		uint32_t first = earliest(f, &found);
		assert_int_equal(hint, found);
		if (found)
			assert_true(seq_le(next, first)); /* early perhaps, never late */
		tick += step % 50 == 0 ? (uint32_t)rng_between(&f->rng, 0, 1 << 26)
				       : (uint32_t)rng_between(&f->rng, 0, 40);
		advance_to(f, tick);
	}
}

/* A caller that sleeps until tcp_wheel_next() and looks again arrives in a few steps. */
static void
hints_lead_to_the_deadline(void **state)
{
	struct fixture *f = *state;

	for (uint32_t distance = 1; distance < 1u << 30; distance = distance * 3 + 1) {
		uint32_t tick = 12345, steps = 0, next;

		tcp_wheel_init(&f->wheel, f->conns, tick);
		insert(f, 0, tick + distance);
		while (f->in[0]) {
			assert_true(tcp_wheel_next(&f->wheel, &next));
			assert_true(seq_gt(next, tick));
			tick = next;
			advance_to(f, tick);
			assert_true(++steps <= TCP_WHEEL_LEVELS + 1);
		}
		assert_int_equal(tick, 12345 + distance);
		assert_false(tcp_wheel_next(&f->wheel, &next));
	}
}

static void
overdue_entry_fires_at_the_next_tick(void **state)
{
	struct fixture *f = *state;

	tcp_wheel_init(&f->wheel, f->conns, 1000);
	tcp_wheel_insert(&f->wheel, &f->conns[0], 500);
	assert_null(tcp_wheel_pop(&f->wheel, 1000));
	assert_ptr_equal(tcp_wheel_pop(&f->wheel, 1001), &f->conns[0]);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(everything_fires_when_due_and_not_before, setup,
						teardown),
		cmocka_unit_test_setup_teardown(hints_lead_to_the_deadline, setup, teardown),
		cmocka_unit_test_setup_teardown(overdue_entry_fires_at_the_next_tick, setup,
						teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
