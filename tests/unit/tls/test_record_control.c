/* SPDX-License-Identifier: Apache-2.0 */
/* What comes between the data: KeyUpdates, tickets, alerts, renegotiation, the end. */

#include "record_pair.h"

static uint8_t text[100000];
static uint8_t wire[100000];

/* The server is told `bytes` in a record of `type`; returns its error. */
static int
tell(struct pair *p, struct tls_records *to, uint8_t type, const uint8_t *bytes, uint32_t n)
{
	struct outsider *o = to == p->server ? &p->to_server : &p->to_client;
	static uint8_t record[TLS_RECORD_MAX_CIPHERTEXT + 5];
	uint32_t length = outsider_seal(o, type, bytes, n, 0, record);

	return feed(p, to, record, length, &cuts[3]);
}

static int
tell_key_update(struct pair *p, struct tls_records *to, uint8_t request)
{
	int error = tell(p, to, 22, (const uint8_t[]){24, 0, 0, 1, request}, 5);

	outsider_rekey(to == p->server ? &p->to_server : &p->to_client);
	return error;
}

static void
assert_data_goes_both_ways(struct pair *p)
{
	assert_int_equal(tell(p, p->server, 23, text, 1000), 0);
	assert_hears(p->server, text, 1000);
	say(p->server, text, 700, &cuts[2]);
	assert_sends(p, p->server, 23, text, 700);
}

/* --- KeyUpdate, RFC 8446 section 4.6.3 --- */

static void
key_update_changes_the_keys_of_what_is_received(void **state)
{
	for (int s = 0; s < SUITES_1_3; s++) {
		struct pair p = pair_new(&suites[s]);

		for (int i = 0; i < 5; i++) {
			assert_int_equal(tell_key_update(&p, p.server, 0), 0);
			assert_data_goes_both_ways(&p);
		}
		assert_int_equal(tls_batch_counters(p.batch)->key_updates_in, 5);
		assert_int_equal(tls_batch_counters(p.batch)->key_updates_out, 0);
		pair_free(&p);
	}
}

static void
data_behind_a_key_update_in_the_same_turn_is_opened(void **state)
{
	for (size_t c = 0; c < RTE_DIM(cuts); c++) {
		struct pair p = pair_new(&suites[1]);
		uint32_t n = 0;

		for (int i = 0; i < 4; i++) {
			n += outsider_seal(&p.to_server, 23, text + 600 * i, 600, 3, wire + n);
			n += outsider_seal(&p.to_server, 22, (const uint8_t[]){24, 0, 0, 1, 0}, 5,
					   0, wire + n);
			outsider_rekey(&p.to_server);
		}
		assert_int_equal(feed(&p, p.server, wire, n, &cuts[c]), 0);
		assert_hears(p.server, text, 4 * 600);
		pair_free(&p);
	}
}

static void
requested_key_update_is_answered_before_the_next_data(void **state)
{
	for (int s = 0; s < SUITES_1_3; s++) {
		struct pair p = pair_new(&suites[s]);

		assert_int_equal(tell_key_update(&p, p.server, 1), 0);
		/* The answer went out of the same turn by itself. */
		assert_ptr_equal(tls_batch_next(p.batch), p.server);
		assert_sends(&p, p.server, 22, (const uint8_t[]){24, 0, 0, 1, 0}, 5);
		outsider_rekey(&p.to_client);
		assert_data_goes_both_ways(&p);
		pair_free(&p);
	}
}

static void
many_requests_are_answered_once_when_nothing_could_leave(void **state)
{
	struct pair p = pair_new(&suites[0]);
	uint32_t n = 0;

	for (int i = 0; i < 20; i++) {
		n += outsider_seal(&p.to_server, 22, (const uint8_t[]){24, 0, 0, 1, 1}, 5, 0,
				   wire + n);
		outsider_rekey(&p.to_server);
	}
	/* No room in flight for an answer until they are all read. */
	p.server->tx.queue.limit = 0;
	assert_int_equal(feed(&p, p.server, wire, n, &cuts[2]), 0);
	p.server->tx.queue.limit = IN_FLIGHT_MAX;
	say(p.server, text, 10, &cuts[2]);
	tls_batch_run(p.batch);
	assert_int_equal(tls_batch_counters(p.batch)->key_updates_out, 1);
	n = take_bytes(tls_records_output(p.server), wire, sizeof(wire));
	assert_int_equal(n, 5 + 5 + 17 + 5 + 10 + 17);
	pair_free(&p);
}

static void
storm_of_key_updates_ends_the_connection(void **state)
{
	struct pair p = pair_new(&suites[0]);

	for (int i = 0; i < IDLE_RECORDS_MAX; i++)
		assert_int_equal(tell_key_update(&p, p.server, 0), 0);
	assert_data_goes_both_ways(&p);
	for (int i = 0; i < IDLE_RECORDS_MAX; i++)
		assert_int_equal(tell_key_update(&p, p.server, 0), 0);
	assert_int_equal(tell_key_update(&p, p.server, 0), TLS_RECORD_LIMIT);
	assert_sends_alert(&p, p.server, 2, 10);
	pair_free(&p);
}

static void
key_update_in_fragments_is_put_together(void **state)
{
	const uint8_t message[] = {24, 0, 0, 1, 0};

	for (uint32_t cut = 1; cut < sizeof(message); cut++) {
		struct pair p = pair_new(&suites[0]);

		assert_int_equal(tell(&p, p.server, 22, message, cut), 0);
		assert_int_equal(tell(&p, p.server, 22, message + cut, sizeof(message) - cut), 0);
		outsider_rekey(&p.to_server);
		assert_data_goes_both_ways(&p);
		pair_free(&p);
	}
}

static void
key_update_behind_a_ticket_in_one_record_is_taken(void **state)
{
	const uint8_t messages[] = {4, 0, 0, 3, 1, 2, 3, 24, 0, 0, 1, 0};
	struct pair p = pair_new(&suites[0]);

	assert_int_equal(tell(&p, p.client, 22, messages, sizeof(messages)), 0);
	outsider_rekey(&p.to_client);
	assert_int_equal(tell(&p, p.client, 23, text, 10), 0);
	assert_hears(p.client, text, 10);
	pair_free(&p);
}

struct told {
	const char *what;
	uint8_t type;
	uint8_t bytes[16];
	uint32_t n;
	int error;
	uint8_t alert; /* that we send; 0 none */
};

static const struct told wrong_in_1_3[] = {
	{"KeyUpdate with more behind it", 22, {24, 0, 0, 1, 0, 24}, 6, TLS_RECORD_UNEXPECTED, 10},
	{"KeyUpdate twice in a record",
	 22,
	 {24, 0, 0, 1, 0, 24, 0, 0, 1, 0},
	 10,
	 TLS_RECORD_UNEXPECTED,
	 10},
	{"KeyUpdate of an unknown kind", 22, {24, 0, 0, 1, 2}, 5, TLS_RECORD_DECODE, 50},
	{"empty KeyUpdate", 22, {24, 0, 0, 0}, 4, TLS_RECORD_DECODE, 50},
	{"long KeyUpdate", 22, {24, 0, 0, 2, 0, 0}, 6, TLS_RECORD_DECODE, 50},
	{"Finished", 22, {20, 0, 0, 1, 0}, 5, TLS_RECORD_UNEXPECTED, 10},
	{"ClientHello", 22, {1, 0, 0, 1, 0}, 5, TLS_RECORD_UNEXPECTED, 10},
	{"HelloRequest", 22, {0, 0, 0, 0}, 4, TLS_RECORD_UNEXPECTED, 10},
	{"CertificateRequest", 22, {13, 0, 0, 1, 0}, 5, TLS_RECORD_UNEXPECTED, 10},
	{"empty handshake record", 22, {0}, 0, TLS_RECORD_UNEXPECTED, 10},
	{"inner change_cipher_spec", 20, {1}, 1, TLS_RECORD_UNEXPECTED, 10},
	{"inner type 24", 24, {1}, 1, TLS_RECORD_UNEXPECTED, 10},
	{"empty alert", 21, {0}, 0, TLS_RECORD_DECODE, 50},
	{"half an alert", 21, {1}, 1, TLS_RECORD_DECODE, 50},
	{"two alerts", 21, {1, 0, 1, 0}, 4, TLS_RECORD_DECODE, 50},
	{"alert of no level", 21, {3, 0}, 2, TLS_RECORD_DECODE, 50},
	{"fatal alert", 21, {2, 48}, 2, TLS_RECORD_ALERT, 0},
	{"error alert that calls itself a warning", 21, {1, 48}, 2, TLS_RECORD_ALERT, 0},
};

static const struct told wrong_in_1_2[] = {
	{"KeyUpdate", 22, {24, 0, 0, 1, 0}, 5, TLS_RECORD_UNEXPECTED, 10},
	{"Finished", 22, {20, 0, 0, 1, 0}, 5, TLS_RECORD_UNEXPECTED, 10},
	{"HelloRequest to the server", 22, {0, 0, 0, 0}, 4, TLS_RECORD_UNEXPECTED, 10},
	{"ClientHello without end", 22, {1, 1, 0, 1}, 4, TLS_RECORD_DECODE, 50},
	{"empty handshake record", 22, {0}, 0, TLS_RECORD_UNEXPECTED, 10},
	{"half an alert", 21, {1}, 1, TLS_RECORD_DECODE, 50},
	{"fatal alert", 21, {2, 48}, 2, TLS_RECORD_ALERT, 0},
};

static void
check_wrong(const struct suite *suite, const struct told *told, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct pair p = pair_new(suite);

		assert_int_equal(tell(&p, p.server, 23, text, 100), 0);
		assert_int_equal(tell(&p, p.server, told[i].type, told[i].bytes, told[i].n),
				 told[i].error);
		assert_hears(p.server, text, 100);
		if (told[i].alert != 0)
			assert_sends_alert(&p, p.server, 2, told[i].alert);
		else
			assert_null(tls_records_output(p.server));
		if (told[i].error == TLS_RECORD_ALERT)
			assert_int_equal(tls_records_alert_received(p.server), told[i].bytes[1]);
		assert_int_equal(tls_records_close(p.server), told[i].error);
		pair_free(&p);
	}
}

static void
what_may_not_come_after_the_handshake_ends_the_connection(void **state)
{
	for (size_t s = 0; s < SUITES_1_3; s++)
		check_wrong(&suites[s], wrong_in_1_3, RTE_DIM(wrong_in_1_3));
	for (size_t s = SUITES_1_3; s < RTE_DIM(suites); s++)
		check_wrong(&suites[s], wrong_in_1_2, RTE_DIM(wrong_in_1_2));
}

static void
nothing_comes_between_the_fragments_of_a_message(void **state)
{
	static const uint8_t types[] = {23, 21};

	for (size_t i = 0; i < RTE_DIM(types); i++) {
		struct pair p = pair_new(&suites[0]);

		assert_int_equal(tell(&p, p.server, 22, (const uint8_t[]){24, 0}, 2), 0);
		assert_int_equal(tell(&p, p.server, types[i], (const uint8_t[]){1, 0}, 2),
				 TLS_RECORD_UNEXPECTED);
		pair_free(&p);
	}
}

/* --- tickets --- */

static void
tickets_are_passed_over_by_a_client(void **state)
{
	struct pair p = pair_new(&suites[0]);
	static uint8_t ticket[4 + 40000] = {4, 0, 40000 >> 8, 40000 & 0xff};

	memset(ticket + 4, 24, 40000); /* like messages, if one lost the thread */
	assert_int_equal(tell(&p, p.client, 22, ticket, 16000), 0);
	assert_int_equal(tell(&p, p.client, 22, ticket + 16000, 16000), 0);
	assert_int_equal(tell(&p, p.client, 22, ticket + 32000, sizeof(ticket) - 32000), 0);
	assert_int_equal(tell(&p, p.client, 22, ticket, 4), 0);
	assert_int_equal(tell(&p, p.client, 22, ticket + 4, 16000), 0);
	assert_int_equal(tell(&p, p.client, 22, ticket + 4, 16000), 0);
	assert_int_equal(tell(&p, p.client, 22, ticket + 4, 8000), 0);
	assert_int_equal(tell(&p, p.client, 23, text, 10), 0);
	assert_hears(p.client, text, 10);
	assert_null(tls_records_output(p.client));
	pair_free(&p);
}

static void
tickets_are_unexpected_at_a_server(void **state)
{
	struct pair p = pair_new(&suites[0]);

	assert_int_equal(tell(&p, p.server, 22, (const uint8_t[]){4, 0, 0, 1, 0}, 5),
			 TLS_RECORD_UNEXPECTED);
	pair_free(&p);
}

static void
ticket_longer_than_its_fields_allow_is_refused(void **state)
{
	struct pair p = pair_new(&suites[0]);

	assert_int_equal(tell(&p, p.client, 22, (const uint8_t[]){4, 0xff, 0xff, 0xff}, 4),
			 TLS_RECORD_DECODE);
	pair_free(&p);
}

/* --- renegotiation, RFC 5246 sections 7.4.1.1 and 7.2.2 --- */

static void
renegotiation_is_declined_once(void **state)
{
	static uint8_t hello[4 + 20000] = {1, 0, 20000 >> 8, 20000 & 0xff};

	for (size_t s = SUITES_1_3; s < RTE_DIM(suites); s++) {
		struct pair p = pair_new(&suites[s]);

		assert_int_equal(tell(&p, p.client, 22, (const uint8_t[]){0, 0, 0, 0}, 4), 0);
		assert_sends_alert(&p, p.client, 1, 100);
		assert_int_equal(tell(&p, p.client, 22, (const uint8_t[]){0, 0, 0, 0}, 4), 0);
		assert_null(tls_records_output(p.client));
		assert_int_equal(tell(&p, p.client, 23, text, 10), 0);
		assert_hears(p.client, text, 10);
		pair_free(&p);

		p = pair_new(&suites[s]);
		assert_int_equal(tell(&p, p.server, 22, hello, 16000), 0);
		assert_int_equal(tell(&p, p.server, 22, hello + 16000, sizeof(hello) - 16000), 0);
		assert_sends_alert(&p, p.server, 1, 100);
		assert_data_goes_both_ways(&p);
		pair_free(&p);
	}
}

/* --- the end --- */

static void
close_notify_is_the_end_once_the_data_is_handed_out(void **state)
{
	for (size_t s = 0; s < RTE_DIM(suites); s++) {
		struct pair p = pair_new(&suites[s]);

		say(p.client, text, 5000, &cuts[2]);
		assert_int_equal(tls_records_close(p.client), 0);
		assert_int_equal(tls_records_close(p.client), 0);
		assert_int_equal(tls_records_seal(p.client, new_buffer(text, 1)),
				 TLS_RECORD_CLOSED);
		pump(&p);
		assert_false(tls_records_eof(p.server));
		assert_hears(p.server, text, 5000);
		assert_true(tls_records_eof(p.server));
		assert_int_equal(tls_records_error(p.server), 0);
		assert_int_equal(tls_batch_counters(p.batch)->alerts_out, 1);
		/* The other direction stays open. */
		say(p.server, text, 3000, &cuts[2]);
		assert_int_equal(tls_records_close(p.server), 0);
		pump(&p);
		assert_hears(p.client, text, 3000);
		assert_true(tls_records_eof(p.client));
		pair_free(&p);
	}
}

static void
what_follows_a_close_notify_is_ignored(void **state)
{
	for (size_t s = 0; s < RTE_DIM(suites); s++) {
		struct pair p = pair_new(&suites[s]);
		uint32_t n = outsider_seal(&p.to_server, 23, text, 10, 0, wire);

		n += outsider_seal(&p.to_server, 21, (const uint8_t[]){1, 0}, 2, 0, wire + n);
		n += outsider_seal(&p.to_server, 23, text + 10, 10, 0, wire + n);
		memset(wire + n, 0xee, 50);
		assert_int_equal(feed(&p, p.server, wire, n + 50, &cuts[2]), 0);
		assert_int_equal(feed(&p, p.server, wire, n, &cuts[2]), 0);
		assert_hears(p.server, text, 10);
		assert_true(tls_records_eof(p.server));
		assert_int_equal(tls_records_held_in(p.server), 0);
		pair_free(&p);
	}
}

static void
user_canceled_is_put_up_with(void **state)
{
	struct pair p = pair_new(&suites[0]);

	assert_int_equal(tell(&p, p.server, 21, (const uint8_t[]){1, 90}, 2), 0);
	assert_int_equal(tls_records_alert_received(p.server), 90);
	assert_data_goes_both_ways(&p);
	for (int i = 0; i < IDLE_RECORDS_MAX; i++)
		assert_int_equal(tell(&p, p.server, 21, (const uint8_t[]){1, 90}, 2), 0);
	assert_int_equal(tell(&p, p.server, 21, (const uint8_t[]){1, 90}, 2), TLS_RECORD_LIMIT);
	pair_free(&p);
}

static void
warnings_are_put_up_with_in_1_2(void **state)
{
	struct pair p = pair_new(&suites[SUITES_1_3]);

	assert_int_equal(tell(&p, p.server, 21, (const uint8_t[]){1, 100}, 2), 0);
	assert_data_goes_both_ways(&p);
	pair_free(&p);
}

/* --- limits of keys --- */

static void
old_gcm_key_is_changed_by_itself(void **state)
{
	for (size_t s = 0; s < 2; s++) {
		struct pair p = pair_new_at(&suites[s], "ipsec-mb", 64, TLS_RECORD_REKEY_AFTER - 2);

		/* Both sides come to it, each for what it sends. */
		for (int i = 0; i < 10; i++) {
			say(p.client, text, 3000, &cuts[2]);
			say(p.server, text, 2000, &cuts[2]);
			pump(&p);
			assert_hears(p.server, text, 3000);
			assert_hears(p.client, text, 2000);
		}
		assert_int_equal(tls_batch_counters(p.batch)->key_updates_out, 2);
		assert_int_equal(tls_batch_counters(p.batch)->key_updates_in,
				 tls_batch_counters(p.batch)->key_updates_out);
		assert_true(p.client->tx.seq < 100 && p.client->rx.seq < 100);
		assert_true(p.server->tx.seq < 100 && p.server->rx.seq < 100);
		pair_free(&p);
	}
}

static void
peer_that_keeps_an_old_key_is_asked_to_change_it(void **state)
{
	struct pair p = pair_new_at(&suites[0], "ipsec-mb", 64, 0);
	struct pair q;

	p.to_server.seq = TLS_RECORD_ASK_AFTER - 1;
	pair_install(&p, p.server, TLS_SIDE_SERVER);
	assert_int_equal(tell(&p, p.server, 23, text, 10), 0);
	assert_sends(&p, p.server, 22, (const uint8_t[]){24, 0, 0, 1, 1}, 5);
	outsider_rekey(&p.to_client);
	/* Once is enough. */
	assert_int_equal(tell(&p, p.server, 23, text, 10), 0);
	assert_null(tls_records_output(p.server));
	assert_int_equal(tell_key_update(&p, p.server, 0), 0);
	rte_pktmbuf_free(tls_records_plaintext(p.server));
	assert_data_goes_both_ways(&p);
	pair_free(&p);

	/* ChaCha20-Poly1305 has no such limit. */
	q = pair_new_at(&suites[2], "ipsec-mb", 64, 1ull << 40);
	assert_data_goes_both_ways(&q);
	assert_int_equal(tls_batch_counters(q.batch)->key_updates_out, 0);
	pair_free(&q);
}

static void
sequence_numbers_do_not_wrap(void **state)
{
	for (size_t s = 2; s < RTE_DIM(suites); s++) {
		struct pair p = pair_new_at(&suites[s], "ipsec-mb", 64, UINT64_MAX - 1);

		say(p.client, text, 10, &cuts[2]);
		pump(&p);
		assert_hears(p.server, text, 10);
		assert_int_equal(tls_records_seal(p.client, new_buffer(text, 10)),
				 TLS_RECORD_LIMIT);
		assert_int_equal(
			feed(&p, p.server, (const uint8_t[]){23, 3, 3, 0, 40}, 5, &cuts[2]),
			TLS_RECORD_LIMIT);
		tls_batch_run(p.batch);
		assert_null(tls_records_output(p.client));
		pair_free(&p);
	}
}

static void
keys_that_make_no_sense_are_refused_and_wiped(void **state)
{
	struct pair p = pair_new(&suites[0]);
	struct tls_records *records = tls_records_create(&pools, p.batch);
	struct tls_keys keys = {.version = 0x0302};

	memset(keys.rx.key, 7, sizeof(keys.rx.key));
	assert_int_equal(tls_records_install(records, p.device, &keys), TLS_RECORD_NO_MEMORY);
	assert_int_equal(keys.rx.key[0], 0);
	keys = (struct tls_keys){.version = TLS_1_3, .rx.secret_len = 20, .tx.secret_len = 20};
	assert_int_equal(tls_records_install(records, p.device, &keys), TLS_RECORD_NO_MEMORY);
	tls_records_destroy(records);
	pair_free(&p);
}

/* Nothing of a connection's secrets is left where its keys were. */
static void
keys_are_wiped_with_the_connection(void **state)
{
	struct pair p = pair_new(&suites[0]);
	struct crypto_key *rx = p.server->rx.key, *tx = p.server->tx.key;
	struct tls_records *records = p.server;
	const uint8_t *secrets[] = {rx->secret, tx->secret, rx->gcm.expanded_keys,
				    tx->gcm.expanded_keys};

	assert_memory_equal(rx->secret, p.to_server.secret, 32);
	tls_records_destroy(p.server);
	p.server = NULL;
	for (size_t i = 0; i < RTE_DIM(secrets); i++)
		for (int at = 0; at < 32; at++)
			assert_int_equal(secrets[i][at], 0);
	for (int at = 0; at < 12; at++)
		assert_int_equal(records->rx.iv[at] | records->tx.iv[at], 0);
	pair_free(&p);
}

static void
old_key_is_wiped_at_a_key_update(void **state)
{
	struct pair p = pair_new(&suites[2]);
	struct crypto_key *rx = p.server->rx.key;

	assert_int_equal(tell_key_update(&p, p.server, 0), 0);
	assert_ptr_not_equal(p.server->rx.key, rx);
	for (int at = 0; at < 32; at++)
		assert_int_equal(rx->secret[at] | rx->raw[at], 0);
	assert_data_goes_both_ways(&p);
	pair_free(&p);
}

static void
errors_and_alerts_have_names(void **state)
{
	for (int e = TLS_RECORD_CLOSED; e <= 0; e++)
		assert_string_not_equal(tls_record_strerror(e), "unknown error");
	assert_string_equal(tls_record_strerror(-100), "unknown error");
	assert_string_equal(tls_alert_name(48), "unknown_ca");
	assert_string_equal(tls_alert_name(116), "certificate_required");
	assert_string_equal(tls_alert_name(0), "close_notify");
	assert_string_equal(tls_alert_name(200), "unknown_alert");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(key_update_changes_the_keys_of_what_is_received),
		cmocka_unit_test(data_behind_a_key_update_in_the_same_turn_is_opened),
		cmocka_unit_test(requested_key_update_is_answered_before_the_next_data),
		cmocka_unit_test(many_requests_are_answered_once_when_nothing_could_leave),
		cmocka_unit_test(storm_of_key_updates_ends_the_connection),
		cmocka_unit_test(key_update_in_fragments_is_put_together),
		cmocka_unit_test(key_update_behind_a_ticket_in_one_record_is_taken),
		cmocka_unit_test(what_may_not_come_after_the_handshake_ends_the_connection),
		cmocka_unit_test(nothing_comes_between_the_fragments_of_a_message),
		cmocka_unit_test(tickets_are_passed_over_by_a_client),
		cmocka_unit_test(tickets_are_unexpected_at_a_server),
		cmocka_unit_test(ticket_longer_than_its_fields_allow_is_refused),
		cmocka_unit_test(renegotiation_is_declined_once),
		cmocka_unit_test(close_notify_is_the_end_once_the_data_is_handed_out),
		cmocka_unit_test(what_follows_a_close_notify_is_ignored),
		cmocka_unit_test(user_canceled_is_put_up_with),
		cmocka_unit_test(warnings_are_put_up_with_in_1_2),
		cmocka_unit_test(old_gcm_key_is_changed_by_itself),
		cmocka_unit_test(peer_that_keeps_an_old_key_is_asked_to_change_it),
		cmocka_unit_test(sequence_numbers_do_not_wrap),
		cmocka_unit_test(keys_that_make_no_sense_are_refused_and_wiped),
		cmocka_unit_test(keys_are_wiped_with_the_connection),
		cmocka_unit_test(old_key_is_wiped_at_a_key_update),
		cmocka_unit_test(errors_and_alerts_have_names),
	};

	support_start("control");
	fill(text, sizeof(text), 0);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
