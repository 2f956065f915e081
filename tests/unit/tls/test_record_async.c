/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The record layer over a device that takes its time: crypto_submit() takes what it likes and
 * crypto_poll() hands back what it likes, later, as hardware does. (The linker puts the two
 * between the layer and the real ones.)
 */

#include "record_pair.h"

uint16_t __real_crypto_submit(struct crypto_device *device, struct crypto_op **ops, uint16_t n);
uint16_t __wrap_crypto_submit(struct crypto_device *device, struct crypto_op **ops, uint16_t n);
uint16_t __real_crypto_poll(struct crypto_device *device, struct crypto_op **ops, uint16_t max);
uint16_t __wrap_crypto_poll(struct crypto_device *device, struct crypto_op **ops, uint16_t max);

static uint8_t text[300000];
static uint8_t wire[300000];
static bool stalled;     /* nothing comes back */
static int fail_in = -1; /* the so many-th completion fails */

/* The operations of one key stay in order; those of different keys need not. */
static struct crypto_op *held[64];
static uint16_t n_held;

uint16_t
__wrap_crypto_submit(struct crypto_device *device, struct crypto_op **ops, uint16_t n)
{
	if (n > 1)
		n = support_random() % n;
	return __real_crypto_submit(device, ops, n);
}

static bool
first_of_its_key(uint16_t i)
{
	for (uint16_t before = 0; before < i; before++)
		if (held[before]->key == held[i]->key)
			return false;
	return true;
}

uint16_t
__wrap_crypto_poll(struct crypto_device *device, struct crypto_op **ops, uint16_t max)
{
	uint16_t i;

	n_held += __real_crypto_poll(device, held + n_held, RTE_DIM(held) - n_held);
	if (stalled || n_held == 0 || support_random() % 3 == 0)
		return 0;
	i = support_random() % n_held;
	while (!first_of_its_key(i))
		i--;
	ops[0] = held[i];
	n_held--;
	memmove(held + i, held + i + 1, (n_held - i) * sizeof(held[0]));
	if (fail_in >= 0 && fail_in-- == 0)
		ops[0]->status = CRYPTO_FAILED;
	return 1;
}

/* As pump() does, but a turn in which nothing moves is not the end yet. */
static void
pump_slowly(struct pair *p)
{
	for (int quiet = 0; quiet < 40;) {
		struct rte_mbuf *up, *down;
		unsigned int n = tls_batch_run(p->batch);

		up = tls_records_output(p->client);
		down = tls_records_output(p->server);
		quiet = n == 0 && up == NULL && down == NULL ? quiet + 1 : 0;
		if (up != NULL)
			tls_records_input(p->server, up);
		if (down != NULL)
			tls_records_input(p->client, down);
		tls_records_open(p->server);
		tls_records_open(p->client);
	}
}

static void
free_slowly(struct pair *p)
{
	tls_records_destroy(p->client);
	tls_records_destroy(p->server);
	for (int i = 0; i < 2000; i++)
		tls_batch_run(p->batch);
	tls_batch_destroy(p->batch);
	assert_int_equal(p->device->raw_keys.in_use + p->device->gcm_keys.in_use, 0);
	crypto_device_close(p->device);
	assert_nothing_is_out();
}

static void
data_arrives_in_order_over_a_slow_device(void **state)
{
	for (size_t s = 0; s < RTE_DIM(suites); s++)
		for (size_t c = 1; c < RTE_DIM(cuts); c++) {
			struct pair p = pair_new_at(&suites[s], "ipsec-mb", 20, 3);

			say(p.client, text, 100000, &cuts[c]);
			say(p.server, text + 5, 70000, &cuts[c]);
			assert_int_equal(tls_records_close(p.client), 0);
			pump_slowly(&p);
			assert_hears(p.server, text, 100000);
			assert_hears(p.client, text + 5, 70000);
			assert_true(tls_records_eof(p.server));
			free_slowly(&p);
		}
}

static void
keys_change_between_records_in_flight(void **state)
{
	for (size_t s = 0; s < 2; s++) {
		struct pair p = pair_new_at(&suites[s], "ipsec-mb", 40, TLS_RECORD_REKEY_AFTER - 7);

		for (int i = 0; i < 3; i++) {
			say(p.client, text, 90000, &cuts[2]);
			say(p.server, text, 90000, &cuts[2]);
			p.client->tx_small = p.server->tx_small = 255;
			pump_slowly(&p);
			assert_hears(p.server, text, 90000);
			assert_hears(p.client, text, 90000);
		}
		assert_int_equal(tls_batch_counters(p.batch)->key_updates_in, 2);
		free_slowly(&p);
	}
}

static void
connection_destroyed_while_the_device_works_is_reaped_at_the_end(void **state)
{
	for (size_t s = 0; s < RTE_DIM(suites); s++)
		for (int round = 0; round < 20; round++) {
			struct pair p = pair_new_at(&suites[s], "ipsec-mb", 30, 0);
			struct tls_records *fresh;
			uint32_t n = 0;

			for (int i = 0; i < 20; i++)
				n += outsider_seal(&p.to_server, 23, text, 1000, 0, wire + n);
			stalled = round % 2 == 0;
			feed(&p, p.server, wire, n, &cuts[2]);
			say(p.server, text, 50000, &cuts[2]);
			for (int i = 0; i < round; i++)
				tls_batch_run(p.batch);
			tls_records_destroy(p.server);
			p.server = NULL;
			/* Its place is not taken while somebody may still write there. */
			fresh = tls_records_create(&pools, p.batch);
			pair_install(&p, fresh, TLS_SIDE_CLIENT);
			stalled = false;
			for (int i = 0; i < 500; i++)
				tls_batch_run(p.batch);
			assert_null(tls_batch_next(p.batch));
			assert_int_equal(fresh->rx.queue.count + fresh->tx.queue.count, 0);
			tls_records_destroy(fresh);
			free_slowly(&p);
		}
}

static void
nothing_comes_out_before_its_predecessors(void **state)
{
	struct pair p = pair_new_at(&suites[3], "ipsec-mb", 40, 0);
	uint32_t n = 0, heard = 0;

	for (int i = 0; i < 30; i++)
		n += outsider_seal(&p.to_server, 23, text + 500 * i, 500, 0, wire + n);
	feed(&p, p.server, wire, n, &cuts[2]);
	for (int i = 0; i < 1000; i++) {
		static uint8_t got[20000];

		tls_batch_run(p.batch);
		n = take_bytes(tls_records_plaintext(p.server), got, sizeof(got));
		assert_memory_equal(got, text + heard, n);
		heard += n;
	}
	assert_int_equal(heard, 15000);
	free_slowly(&p);
}

static void
failure_to_open_ends_the_connection(void **state)
{
	struct pair p = pair_new_at(&suites[3], "ipsec-mb", 40, 0);
	uint32_t n = 0;

	for (int i = 0; i < 10; i++)
		n += outsider_seal(&p.to_server, 23, text + 500 * i, 500, 0, wire + n);
	fail_in = 4;
	feed(&p, p.server, wire, n, &cuts[2]);
	for (int i = 0; i < 200; i++)
		tls_batch_run(p.batch);
	assert_int_equal(tls_records_error(p.server), TLS_RECORD_NO_MEMORY);
	assert_hears(p.server, text, 2000);
	assert_sends_alert(&p, p.server, 2, 80);
	free_slowly(&p);
}

/* Behind a record that could not be sealed nothing may follow: not even the alert. */
static void
failure_to_seal_ends_what_is_sent(void **state)
{
	struct pair p = pair_new_at(&suites[0], "ipsec-mb", 40, 0);
	uint32_t n;

	fail_in = 2;
	say(p.server, text, 10 * 1448, &cuts[2]);
	for (int i = 0; i < 200; i++)
		tls_batch_run(p.batch);
	assert_int_equal(tls_records_error(p.server), TLS_RECORD_NO_MEMORY);
	n = take_bytes(tls_records_output(p.server), wire, sizeof(wire));
	assert_int_equal(n, 2 * (5 + 1448 + 17));
	assert_int_equal(tls_records_held_out(p.server), 0);
	free_slowly(&p);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(data_arrives_in_order_over_a_slow_device),
		cmocka_unit_test(keys_change_between_records_in_flight),
		cmocka_unit_test(connection_destroyed_while_the_device_works_is_reaped_at_the_end),
		cmocka_unit_test(nothing_comes_out_before_its_predecessors),
		cmocka_unit_test(failure_to_open_ends_the_connection),
		cmocka_unit_test(failure_to_seal_ends_what_is_sent),
	};

	support_start("async");
	support_seed = 4711;
	fill(text, sizeof(text), 0);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
