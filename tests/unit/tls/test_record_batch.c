/* SPDX-License-Identifier: Apache-2.0 */
/* Turns: few operations, few buffers, many connections, connections that go in between. */

#include "record_pair.h"

static uint8_t text[200000];
static uint8_t wire[200000];

static void
one_operation_is_enough_for_everything(void **state)
{
	for (size_t s = 0; s < RTE_DIM(suites); s++) {
		struct pair p = pair_new_at(&suites[s], "ipsec-mb", 1, 5);

		for (size_t c = 1; c < RTE_DIM(cuts); c++) {
			say(p.client, text, 60000, &cuts[c]);
			say(p.server, text + 9, 50000, &cuts[c]);
			pump(&p);
			assert_hears(p.server, text, 60000);
			assert_hears(p.client, text + 9, 50000);
		}
		pair_free(&p);
	}
}

/* More records than may be in flight, with no further call than tls_batch_run(). */
static void
what_does_not_fit_in_flight_is_continued_by_run(void **state)
{
	for (size_t s = 0; s < RTE_DIM(suites); s++) {
		struct pair p = pair_new(&suites[s]);
		uint32_t n = 0;

		for (int i = 0; i < 150; i++)
			n += outsider_seal(&p.to_server, 23, text + 100 * i, 100, 0, wire + n);
		assert_int_equal(feed(&p, p.server, wire, n, &cuts[2]), 0);
		assert_hears(p.server, text, 15000);

		for (int i = 0; i < 100; i++)
			tls_records_seal(p.server, new_buffer(text + 1000 * i, 1000));
		p.server->tx_small = 200;
		tls_batch_run(p.batch);
		assert_int_equal(p.server->pending.bytes, 0);
		n = take_bytes(tls_records_output(p.server), wire, sizeof(wire));
		assert_true(n > 100000);
		pair_free(&p);
	}
}

/* A run has a bound; the next one goes on where it stopped. */
static void
long_run_stops_and_is_continued_by_the_next(void **state)
{
	struct pair p = pair_new_at(&suites[0], "ipsec-mb", 4, 0);
	unsigned int total = 0, runs = 0, n;
	struct tls_chain chain;
	uint32_t bytes = 0;

	for (int i = 0; i < 200; i++)
		bytes += outsider_seal(&p.to_server, 23, text + 10 * i, 10, 0, wire + bytes);
	chain = make_chain(wire, bytes, &cuts[2]);
	tls_records_input(p.server, tls_chain_take_all(&chain));
	assert_int_equal(tls_records_open(p.server), 1);
	while ((n = tls_batch_run(p.batch)) > 0) {
		assert_true(n <= 16);
		total += n;
		runs++;
	}
	assert_int_equal(total, 200);
	assert_true(runs >= 200 / 16);
	assert_hears(p.server, text, 2000);
	pair_free(&p);
}

static void
connections_come_out_once_each(void **state)
{
	enum { N = 20 };
	struct pair p = pair_new_at(&suites[0], "ipsec-mb", 8, 0);
	struct tls_records *more[N];
	int users[N], seen[N] = {0};
	void *user;

	for (int i = 0; i < N; i++) {
		more[i] = tls_records_create(&pools, p.batch);
		tls_records_set_user(more[i], &users[i]);
		pair_install(&p, more[i], TLS_SIDE_CLIENT);
		say(more[i], text, 5000, &cuts[2]);
	}
	while (tls_batch_run(p.batch) > 0)
		;
	while ((user = tls_batch_next(p.batch)) != NULL)
		seen[(int *)user - users]++;
	for (int i = 0; i < N; i++) {
		assert_int_equal(seen[i], 1);
		assert_int_equal(more[i]->pending.bytes, 0);
		rte_pktmbuf_free(tls_records_output(more[i]));
		tls_records_destroy(more[i]);
	}
	pair_free(&p);
}

static void
connection_destroyed_on_the_lists_is_not_handed_out(void **state)
{
	struct pair p = pair_new_at(&suites[0], "ipsec-mb", 2, 0);
	struct tls_records *third = tls_records_create(&pools, p.batch);

	pair_install(&p, third, TLS_SIDE_CLIENT);
	say(p.client, text, 5000, &cuts[2]); /* takes all the operations */
	say(third, text, 5000, &cuts[2]);    /* waits for one */
	tls_records_destroy(third);
	tls_batch_run(p.batch);
	assert_ptr_equal(tls_batch_next(p.batch), p.client);
	assert_null(tls_batch_next(p.batch));
	say(p.client, text, 5, &cuts[2]);
	tls_batch_run(p.batch);
	tls_records_destroy(p.client); /* ready */
	p.client = NULL;
	assert_null(tls_batch_next(p.batch));
	pair_free(&p);
}

static void
connection_with_operations_in_flight_is_reaped_later(void **state)
{
	for (size_t s = 0; s < RTE_DIM(suites); s++) {
		struct pair p = pair_new(&suites[s]);
		uint32_t n = 0;
		struct tls_chain chain;
		struct tls_records *fresh;

		for (int i = 0; i < 40; i++)
			n += outsider_seal(&p.to_server, 23, text, 1000, 0, wire + n);
		chain = make_chain(wire, n, &cuts[2]);
		tls_records_input(p.server, tls_chain_take_all(&chain));
		assert_true(tls_records_open(p.server) > 0);
		say(p.server, text, 100000, &cuts[2]);
		tls_records_destroy(p.server);
		p.server = NULL;
		/* The memory is not given out again before. */
		fresh = tls_records_create(&pools, p.batch);
		tls_batch_run(p.batch);
		assert_null(tls_batch_next(p.batch));
		tls_records_destroy(fresh);
		tls_records_destroy(p.client);
		p.client = NULL;
		assert_int_equal(p.device->raw_keys.in_use + p.device->gcm_keys.in_use, 0);
		pair_free(&p);
	}
}

/* Takes every buffer of a pool; give_back() returns them. */
static struct rte_mbuf *hostages[70000];

static unsigned int
take_all(struct rte_mempool *pool)
{
	unsigned int n = 0;

	while ((hostages[n] = rte_pktmbuf_alloc(pool)) != NULL)
		n++;
	return n;
}

static void
give_back(unsigned int n)
{
	for (unsigned int i = 0; i < n; i++)
		rte_pktmbuf_free(hostages[i]);
}

static void
want_of_indirect_buffers_delays_but_loses_nothing(void **state)
{
	for (size_t s = 0; s < RTE_DIM(suites); s++) {
		struct pair p = pair_new(&suites[s]);
		unsigned int n;

		say(p.client, text, 10000, &cuts[3]);
		tls_batch_run(p.batch);
		n = take_bytes(tls_records_output(p.client), wire, sizeof(wire));
		struct tls_chain chain = make_chain(wire, n, &cuts[2]);

		n = take_all(pools.indirect);
		tls_records_input(p.server, tls_chain_take_all(&chain));
		assert_true(tls_records_open(p.server) >= 0);
		for (int i = 0; i < 3; i++)
			tls_batch_run(p.batch);
		assert_int_equal(tls_records_error(p.server), 0);
		give_back(n);
		tls_batch_run(p.batch);
		assert_hears(p.server, text, 10000);
		pair_free(&p);
	}
}

static void
want_of_data_buffers_delays_but_loses_nothing(void **state)
{
	for (size_t s = 0; s < RTE_DIM(suites); s++)
		for (size_t c = 0; c < RTE_DIM(cuts); c++) {
			struct pair p = pair_new(&suites[s]);
			struct tls_chain chain = make_chain(text, 20000, &cuts[c]);
			unsigned int n = take_all(pools.data);

			assert_int_equal(tls_records_seal(p.client, tls_chain_take_all(&chain)), 0);
			assert_int_equal(tls_records_close(p.client), 0);
			for (int i = 0; i < 3; i++)
				tls_batch_run(p.batch);
			assert_int_equal(tls_records_error(p.client), 0);
			give_back(n);
			pump(&p);
			assert_hears(p.server, text, 20000);
			assert_true(tls_records_eof(p.server));
			pair_free(&p);
		}
}

static void
alert_that_found_no_buffer_leaves_later(void **state)
{
	struct pair p = pair_new(&suites[0]);
	struct rte_mbuf *m = new_buffer((const uint8_t[]){99, 3, 3, 0, 9}, 5);
	unsigned int n = take_all(pools.data);

	rte_mbuf_refcnt_update(m, 1); /* what carried it does not come free either */
	tls_records_input(p.server, m);
	assert_int_equal(tls_records_open(p.server), TLS_RECORD_UNEXPECTED);
	tls_batch_run(p.batch);
	assert_ptr_equal(tls_batch_next(p.batch), p.server);
	assert_null(tls_records_output(p.server));
	give_back(n);
	rte_pktmbuf_free(m);
	tls_batch_run(p.batch);
	assert_ptr_equal(tls_batch_next(p.batch), p.server);
	assert_sends_alert(&p, p.server, 2, 10);
	pair_free(&p);
}

static void
bytes_from_before_the_keys_are_taken_up(void **state)
{
	struct pair p = pair_new(&suites[0]);
	struct tls_records *late = tls_records_create(&pools, p.batch);
	uint32_t n = outsider_seal(&p.to_server, 23, text, 400, 0, wire);
	struct tls_chain chain = make_chain(wire, n, &cuts[2]);

	tls_records_input(late, tls_chain_take_all(&chain));
	assert_int_equal(tls_records_open(late), 0);
	assert_int_equal(tls_records_seal(late, new_buffer(text, 300)), 0);
	assert_int_equal(tls_batch_run(p.batch), 0);
	p.to_server.seq = 0;
	pair_install(&p, late, TLS_SIDE_SERVER);
	assert_int_equal(tls_batch_run(p.batch), 2);
	assert_hears(late, text, 400);
	assert_sends(&p, late, 23, text, 300);
	tls_records_destroy(late);
	pair_free(&p);
}

/* Many connections, random sizes, random moments to listen: every byte, in order, once. */
static void
random_traffic_arrives_whole(void **state)
{
	enum { N = 8, ROUNDS = 300 };
	struct pair pairs[N];
	uint32_t said[N] = {0}, heard[N] = {0};
	static uint8_t got[200000];

	support_seed = 20240229;
	for (int i = 0; i < N; i++) {
		pairs[i] = pair_new_at(&suites[i % RTE_DIM(suites)], i % 3 ? "ipsec-mb" : "openssl",
				       1 + support_random() % 20, 3);
	}
	for (int round = 0; round < ROUNDS; round++) {
		int i = support_random() % N;
		uint32_t n = support_random() % 6000;
		struct pair *p = &pairs[i];
		struct rte_mbuf *m;

		if (said[i] + n > sizeof(text))
			continue;
		say(p->client, text + said[i], n, &cuts[1 + support_random() % 4]);
		said[i] += n;
		tls_batch_run(p->batch);
		m = tls_records_output(p->client);
		if (m != NULL)
			tls_records_input(p->server, m);
		tls_records_open(p->server);
		if (support_random() % 3 == 0)
			continue;
		tls_batch_run(p->batch);
		n = take_bytes(tls_records_plaintext(p->server), got, sizeof(got));
		assert_memory_equal(got, text + heard[i], n);
		heard[i] += n;
	}
	for (int i = 0; i < N; i++) {
		uint32_t n;

		pump(&pairs[i]);
		n = take_bytes(tls_records_plaintext(pairs[i].server), got, sizeof(got));
		assert_int_equal(heard[i] + n, said[i]);
		assert_memory_equal(got, text + heard[i], n);
		tls_records_destroy(pairs[i].client);
		tls_records_destroy(pairs[i].server);
		tls_batch_destroy(pairs[i].batch);
		crypto_device_close(pairs[i].device);
	}
	assert_nothing_is_out();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_operation_is_enough_for_everything),
		cmocka_unit_test(what_does_not_fit_in_flight_is_continued_by_run),
		cmocka_unit_test(long_run_stops_and_is_continued_by_the_next),
		cmocka_unit_test(connections_come_out_once_each),
		cmocka_unit_test(connection_destroyed_on_the_lists_is_not_handed_out),
		cmocka_unit_test(connection_with_operations_in_flight_is_reaped_later),
		cmocka_unit_test(want_of_indirect_buffers_delays_but_loses_nothing),
		cmocka_unit_test(want_of_data_buffers_delays_but_loses_nothing),
		cmocka_unit_test(alert_that_found_no_buffer_leaves_later),
		cmocka_unit_test(bytes_from_before_the_keys_are_taken_up),
		cmocka_unit_test(random_traffic_arrives_whole),
	};

	support_start("batch");
	fill(text, sizeof(text), 0);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
