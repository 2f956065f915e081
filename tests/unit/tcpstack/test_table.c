/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/tcpstack/inside.h"

#define ENTRIES 1000

struct fixture {
	struct tcp_table table;
	struct tcp_tuple tuples[ENTRIES];
	bool in[ENTRIES];
	struct rng rng;
};

static int
setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	f->rng.state = 7;
	rng_fill(&f->rng, f->table.key, sizeof(f->table.key));
	assert_int_equal(tcp_table_create(&f->table, ENTRIES, SOCKET_ID_ANY), TCP_OK);
	f->table.conns = f->tuples;
	f->table.conn_size = sizeof(f->tuples[0]);
	for (uint32_t i = 0; i < ENTRIES; i++)
		f->tuples[i] = inside_tuple((uint16_t)i, 80);
	*state = f;
	return 0;
}

static int
teardown(void **state)
{
	struct fixture *f = *state;

	tcp_table_destroy(&f->table);
	free(f);
	return 0;
}

static uint32_t
free_overflow(const struct tcp_table *table)
{
	uint32_t n = 0;

	for (uint32_t at = table->free_head; at != TCP_NONE; at = table->bucket[at].next)
		n++;
	return n;
}

/* Inserts and removes at random; `mask` decides how many buckets the hashes reach. */
static void
shuffle(struct fixture *f, uint64_t mask)
{
	uint32_t spare = free_overflow(&f->table);

	for (uint32_t step = 0; step < 20000; step++) {
		/* Filling up first, then emptying. */
		bool fill = step / 4000 % 2 == 0;
		uint32_t i = (uint32_t)rng_between(&f->rng, 0, ENTRIES - 1);
		uint64_t hash = tcp_table_hash(&f->table, &f->tuples[i]) & mask;

		assert_int_equal(tcp_table_find(&f->table, &f->tuples[i], hash),
				 f->in[i] ? i : TCP_NONE);
		if (!f->in[i] && fill)
			tcp_table_insert(&f->table, hash, i);
		else if (f->in[i] && !fill)
			tcp_table_remove(&f->table, hash, i);
		else
			continue;
		f->in[i] = fill;
	}
	for (uint32_t i = 0; i < ENTRIES; i++) {
		uint64_t hash = tcp_table_hash(&f->table, &f->tuples[i]) & mask;

		assert_int_equal(tcp_table_find(&f->table, &f->tuples[i], hash),
				 f->in[i] ? i : TCP_NONE);
		if (f->in[i])
			tcp_table_remove(&f->table, hash, i);
	}
	assert_int_equal(free_overflow(&f->table), spare);
}

static void
finds_what_is_in_it_and_nothing_else(void **state)
{
	shuffle(*state, UINT64_MAX);
}

static void
takes_all_entries_in_one_bucket_with_one_tag(void **state)
{
	struct fixture *f = *state;

	for (uint32_t i = 0; i < ENTRIES; i++)
		tcp_table_insert(&f->table, 0, i);
	for (uint32_t i = 0; i < ENTRIES; i++)
		assert_int_equal(tcp_table_find(&f->table, &f->tuples[i], 0), i);
	for (uint32_t i = 0; i < ENTRIES; i++)
		tcp_table_remove(&f->table, 0, i);
	shuffle(f, 0);
}

/* The worst that hashes can do: overflow buckets hold one entry each. */
static void
takes_all_entries_nine_to_a_bucket(void **state)
{
	struct fixture *f = *state;

	for (uint32_t i = 0; i < ENTRIES; i++)
		tcp_table_insert(&f->table, i / 9, i);
	for (uint32_t i = 0; i < ENTRIES; i++)
		assert_int_equal(tcp_table_find(&f->table, &f->tuples[i], i / 9), i);
}

static void
replaced_index_is_found_in_place_of_the_old_one(void **state)
{
	struct fixture *f = *state;
	struct tcp_time_wait waits[4] = {0};
	uint64_t hash = tcp_table_hash(&f->table, &f->tuples[5]);

	f->table.time_waits = waits;
	f->table.time_wait_size = sizeof(waits[0]);
	waits[3].tuple = f->tuples[5];
	tcp_table_insert(&f->table, hash, 5);
	tcp_table_replace(&f->table, hash, 5, 3 | TCP_INDEX_TIME_WAIT);
	assert_int_equal(tcp_table_find(&f->table, &waits[3].tuple, hash), 3 | TCP_INDEX_TIME_WAIT);
	tcp_table_remove(&f->table, hash, 3 | TCP_INDEX_TIME_WAIT);
	assert_int_equal(tcp_table_find(&f->table, &waits[3].tuple, hash), TCP_NONE);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(finds_what_is_in_it_and_nothing_else, setup,
						teardown),
		cmocka_unit_test_setup_teardown(takes_all_entries_in_one_bucket_with_one_tag, setup,
						teardown),
		cmocka_unit_test_setup_teardown(takes_all_entries_nine_to_a_bucket, setup,
						teardown),
		cmocka_unit_test_setup_teardown(replaced_index_is_found_in_place_of_the_old_one,
						setup, teardown),
	};

	inside_init("test_table");
	return inside_run(tests, RTE_DIM(tests));
}
