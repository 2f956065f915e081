/* SPDX-License-Identifier: Apache-2.0 */
/* Records both ways: every cipher and version, every way to cut the bytes. */

#include "record_pair.h"

static const uint32_t sizes[] = {0, 1, 255, 256, 1400, 16384};
static uint8_t text[300000];
static uint8_t wire[300000];

static void
what_is_sealed_is_opened_whatever_the_buffers(void **state)
{
	for (size_t s = 0; s < RTE_DIM(suites); s++) {
		struct pair p = pair_new(&suites[s]);

		for (size_t c = 0; c < RTE_DIM(cuts); c++)
			for (size_t i = 0; i < RTE_DIM(sizes); i++) {
				say(p.client, text, sizes[i], &cuts[c]);
				say(p.server, text + 7, sizes[i], &cuts[c]);
				pump(&p);
				assert_hears(p.server, text, sizes[i]);
				assert_hears(p.client, text + 7, sizes[i]);
			}
		pair_free(&p);
	}
}

static void
both_devices_understand_each_other(void **state)
{
	for (size_t s = 0; s < RTE_DIM(suites); s++) {
		struct pair a = pair_new_at(&suites[s], "ipsec-mb", 16, 1);
		struct pair b = pair_new_at(&suites[s], "openssl", 16, 1);

		say(a.client, text, 40000, &cuts[3]);
		tls_batch_run(a.batch);
		tls_records_input(b.server, tls_records_output(a.client));
		tls_records_open(b.server);
		tls_batch_run(b.batch);
		assert_hears(b.server, text, 40000);
		/* The pools are shared, so the second one counts. */
		tls_records_destroy(a.client);
		tls_records_destroy(a.server);
		tls_batch_destroy(a.batch);
		crypto_device_close(a.device);
		pair_free(&b);
	}
}

/* An implementation that shares no code reads what we write ... */
static void
sealed_records_are_those_of_the_rfcs(void **state)
{
	for (size_t s = 0; s < RTE_DIM(suites); s++)
		for (size_t c = 0; c < RTE_DIM(cuts); c++) {
			struct pair p = pair_new(&suites[s]);
			uint32_t n, at = 0, seen = 0;

			say(p.client, text, 50000, &cuts[c]);
			tls_batch_run(p.batch);
			n = take_bytes(tls_records_output(p.client), wire, sizeof(wire));
			while (at < n) {
				uint8_t *content, type;
				uint32_t length;

				at += outsider_open(&p.to_server, wire + at, n - at, &type,
						    &content, &length);
				assert_int_equal(type, 23);
				assert_true(length > 0 && length <= TLS_RECORD_MAX_PLAINTEXT);
				assert_memory_equal(content, text + seen, length);
				seen += length;
			}
			assert_int_equal(seen, 50000);
			pair_free(&p);
		}
}

/* ... and is read by us. */
static void
records_of_the_rfcs_are_opened(void **state)
{
	for (size_t s = 0; s < RTE_DIM(suites); s++)
		for (size_t c = 0; c < RTE_DIM(cuts); c++) {
			struct pair p = pair_new(&suites[s]);
			uint32_t n = 0, total = 0;

			for (size_t i = 0; i < RTE_DIM(sizes); i++) {
				uint32_t padding = (i * 37) % 200;

				if (sizes[i] + padding > TLS_RECORD_MAX_PLAINTEXT)
					padding = 0;
				n += outsider_seal(&p.to_server, 23, text + total, sizes[i],
						   padding, wire + n);
				total += sizes[i];
			}
			assert_int_equal(feed(&p, p.server, wire, n, &cuts[c]), 0);
			assert_hears(p.server, text, total);
			assert_int_equal(tls_batch_counters(p.batch)->records_in, RTE_DIM(sizes));
			assert_int_equal(tls_batch_counters(p.batch)->bytes_in, total);
			pair_free(&p);
		}
}

static void
bytes_may_come_one_turn_at_a_time(void **state)
{
	struct pair p = pair_new(&suites[0]);
	uint32_t n = outsider_seal(&p.to_server, 23, text, 300, 5, wire);

	n += outsider_seal(&p.to_server, 23, text + 300, 20, 0, wire + n);
	for (uint32_t i = 0; i < n; i++)
		assert_int_equal(feed(&p, p.server, wire + i, 1, &cuts[2]), 0);
	assert_hears(p.server, text, 320);
	pair_free(&p);
}

static void
padding_is_taken_off(void **state)
{
	static const uint32_t paddings[] = {0, 1, 15, 1447, 1448, 1449, 5000, 16383};

	for (size_t c = 0; c < RTE_DIM(cuts); c++)
		for (size_t i = 0; i < RTE_DIM(paddings); i++) {
			struct pair p = pair_new(&suites[0]);
			uint32_t n = outsider_seal(&p.to_server, 23, text, 1, paddings[i], wire);

			/* A content that ends in zeros keeps them. */
			n += outsider_seal(&p.to_server, 23, (const uint8_t[8]){1}, 8, 300,
					   wire + n);
			assert_int_equal(feed(&p, p.server, wire, n, &cuts[c]), 0);
			memcpy(wire, text, 1);
			memcpy(wire + 1, (const uint8_t[8]){1}, 8);
			assert_hears(p.server, wire, 9);
			pair_free(&p);
		}
}

static void
padding_without_type_is_unexpected(void **state)
{
	static const uint32_t zeros[] = {0, 1, 1448, 16384};

	for (size_t c = 0; c < RTE_DIM(cuts); c++)
		for (size_t i = 0; i < RTE_DIM(zeros); i++) {
			struct pair p = pair_new(&suites[0]);
			uint32_t n = outsider_seal(&p.to_server, 0, text, 0, zeros[i], wire);

			assert_int_equal(feed(&p, p.server, wire, n, &cuts[c]),
					 TLS_RECORD_UNEXPECTED);
			assert_sends_alert(&p, p.server, 2, 10);
			pair_free(&p);
		}
}

static void
record_without_even_a_type_byte_is_unexpected(void **state)
{
	struct pair p = pair_new(&suites[0]);
	uint8_t header[5 + 16] = {23, 3, 3, 0, 16};
	uint8_t nonce[12];

	outsider_nonce(&p.to_server, NULL, nonce);
	outsider_cipher(&p.to_server, nonce, header, 5, header + 5, 0, true);
	assert_int_equal(feed(&p, p.server, header, sizeof(header), &cuts[2]),
			 TLS_RECORD_UNEXPECTED);
	pair_free(&p);
}

static void
tampered_record_is_a_bad_mac_and_what_came_before_is_kept(void **state)
{
	for (size_t s = 0; s < RTE_DIM(suites); s++)
		for (uint32_t bit = 0; bit < 8 * 16; bit += 3) {
			struct pair p = pair_new(&suites[s]);
			uint32_t first = outsider_seal(&p.to_server, 23, text, 500, 0, wire);
			uint32_t n = first;

			n += outsider_seal(&p.to_server, 23, text + 500, 40, 0, wire + n);
			n += outsider_seal(&p.to_server, 23, text + 540, 40, 0, wire + n);
			/* Anywhere behind the second header. */
			wire[first + 5 + bit / 3] ^= 1u << bit % 8;
			assert_int_equal(feed(&p, p.server, wire, n, &cuts[3]), TLS_RECORD_BAD_MAC);
			assert_hears(p.server, text, 500);
			assert_sends_alert(&p, p.server, 2, 20);
			assert_int_equal(tls_batch_counters(p.batch)->bad_mac, 1);
			assert_int_equal(tls_records_held_in(p.server), 0);
			/* And it stays so. */
			assert_int_equal(feed(&p, p.server, wire, n, &cuts[3]), TLS_RECORD_BAD_MAC);
			assert_int_equal(tls_records_seal(p.server, new_buffer(text, 10)),
					 TLS_RECORD_BAD_MAC);
			assert_null(tls_records_plaintext(p.server));
			pair_free(&p);
		}
}

static void
replayed_or_skipped_record_is_a_bad_mac(void **state)
{
	for (size_t s = 0; s < RTE_DIM(suites); s++) {
		struct pair p = pair_new(&suites[s]);
		uint32_t n = outsider_seal(&p.to_server, 23, text, 50, 0, wire);

		assert_int_equal(feed(&p, p.server, wire, n, &cuts[2]), 0);
		assert_int_equal(feed(&p, p.server, wire, n, &cuts[2]), TLS_RECORD_BAD_MAC);
		pair_free(&p);
		p = pair_new(&suites[s]);
		outsider_seal(&p.to_server, 23, text, 50, 0, wire);
		n = outsider_seal(&p.to_server, 23, text, 50, 0, wire);
		assert_int_equal(feed(&p, p.server, wire, n, &cuts[2]), TLS_RECORD_BAD_MAC);
		pair_free(&p);
	}
}

struct bad_header {
	const char *what;
	uint8_t bytes[5];
	int error_1_3, error_1_2;
	uint8_t alert_1_3, alert_1_2;
};

static const struct bad_header bad_headers[] = {
	{"change_cipher_spec",
	 {20, 3, 3, 0, 1},
	 TLS_RECORD_UNEXPECTED,
	 TLS_RECORD_UNEXPECTED,
	 10,
	 10},
	{"unknown type", {99, 3, 3, 0, 40}, TLS_RECORD_UNEXPECTED, TLS_RECORD_UNEXPECTED, 10, 10},
	{"type zero", {0, 3, 3, 0, 40}, TLS_RECORD_UNEXPECTED, TLS_RECORD_UNEXPECTED, 10, 10},
	{"one byte too long",
	 {23, 3, 3, 0x41, 0x01},
	 TLS_RECORD_OVERFLOW,
	 TLS_RECORD_OVERFLOW,
	 22,
	 22},
	{"as long as can be",
	 {23, 3, 3, 0xff, 0xff},
	 TLS_RECORD_OVERFLOW,
	 TLS_RECORD_OVERFLOW,
	 22,
	 22},
	{"shorter than a tag", {23, 3, 3, 0, 15}, TLS_RECORD_BAD_MAC, TLS_RECORD_BAD_MAC, 20, 20},
	{"empty", {23, 3, 3, 0, 0}, TLS_RECORD_BAD_MAC, TLS_RECORD_BAD_MAC, 20, 20},
};

/* The header alone is enough: nothing is waited for. */
static void
broken_framing_ends_the_connection_with_its_alert(void **state)
{
	for (size_t s = 0; s < RTE_DIM(suites); s++)
		for (size_t i = 0; i < RTE_DIM(bad_headers); i++) {
			const struct bad_header *bad = &bad_headers[i];
			bool is_1_3 = s < SUITES_1_3;
			struct pair p = pair_new(&suites[s]);

			assert_int_equal(feed(&p, p.server, bad->bytes, 5, &cuts[0]),
					 is_1_3 ? bad->error_1_3 : bad->error_1_2);
			assert_sends_alert(&p, p.server, 2,
					   is_1_3 ? bad->alert_1_3 : bad->alert_1_2);
			assert_ptr_equal(tls_batch_next(p.batch), p.server);
			assert_null(tls_batch_next(p.batch));
			pair_free(&p);
		}
}

static void
version_is_ignored_in_1_3_and_checked_in_1_2(void **state)
{
	struct pair p = pair_new(&suites[0]);
	uint8_t header[5] = {23, 3, 1, 0, 40};
	uint8_t record[100] = {23, 3, 1, 0, 17 + 1, 'x', 23};
	uint8_t nonce[12];

	outsider_nonce(&p.to_server, NULL, nonce);
	outsider_cipher(&p.to_server, nonce, record, 5, record + 5, 2, true);
	assert_int_equal(feed(&p, p.server, record, 5 + 18, &cuts[2]), 0);
	assert_hears(p.server, (const uint8_t *)"x", 1);
	pair_free(&p);
	p = pair_new(&suites[SUITES_1_3]);
	assert_int_equal(feed(&p, p.server, header, 5, &cuts[2]), TLS_RECORD_BAD_VERSION);
	assert_sends_alert(&p, p.server, 2, 70);
	pair_free(&p);
}

/* RFC 8446 section 5.4: content, type and padding are 2^14 + 1 bytes at most. */
static void
inner_text_that_is_too_long_is_an_overflow(void **state)
{
	struct pair p = pair_new(&suites[0]);
	uint32_t n = outsider_seal(&p.to_server, 23, text, 16384, 0, wire);

	assert_int_equal(feed(&p, p.server, wire, n, &cuts[2]), 0);
	n = outsider_seal(&p.to_server, 23, text, 100, 16284, wire);
	assert_int_equal(feed(&p, p.server, wire, n, &cuts[2]), 0);
	n = outsider_seal(&p.to_server, 23, text, 100, 16285, wire);
	assert_int_equal(feed(&p, p.server, wire, n, &cuts[2]), TLS_RECORD_OVERFLOW);
	assert_sends_alert(&p, p.server, 2, 22);
	pair_free(&p);
	p = pair_new(&suites[1]);
	n = outsider_seal(&p.to_server, 23, text, 16385, 0, wire);
	assert_int_equal(feed(&p, p.server, wire, n, &cuts[0]), TLS_RECORD_OVERFLOW);
	pair_free(&p);
}

static void
empty_records_are_put_up_with_for_a_while(void **state)
{
	for (size_t s = 0; s < RTE_DIM(suites); s++) {
		struct pair p = pair_new(&suites[s]);

		for (int round = 0; round < 3; round++) {
			uint32_t n = 0;

			for (int i = 0; i < IDLE_RECORDS_MAX; i++)
				n += outsider_seal(&p.to_server, 23, NULL, 0, 0, wire + n);
			n += outsider_seal(&p.to_server, 23, text, 3, 0, wire + n);
			assert_int_equal(feed(&p, p.server, wire, n, &cuts[1]), 0);
			assert_hears(p.server, text, 3);
		}
		for (int i = 0; i < IDLE_RECORDS_MAX; i++) {
			uint32_t n = outsider_seal(&p.to_server, 23, NULL, 0, 0, wire);

			assert_int_equal(feed(&p, p.server, wire, n, &cuts[2]), 0);
		}
		assert_int_equal(feed(&p, p.server, wire,
				      outsider_seal(&p.to_server, 23, NULL, 0, 0, wire), &cuts[2]),
				 TLS_RECORD_LIMIT);
		pair_free(&p);
	}
}

static void
first_record_of_the_peer_confirms(void **state)
{
	struct pair p = pair_new(&suites[0]);
	uint32_t n = outsider_seal(&p.to_client, 23, text, 3, 0, wire);

	assert_false(tls_records_confirmed(p.client));
	feed(&p, p.client, wire, n - 1, &cuts[2]);
	assert_false(tls_records_confirmed(p.client));
	feed(&p, p.client, wire + n - 1, 1, &cuts[2]);
	assert_true(tls_records_confirmed(p.client));
	pair_free(&p);
}

static void
held_bytes_are_counted(void **state)
{
	struct pair p = pair_new(&suites[0]);
	uint32_t n = outsider_seal(&p.to_server, 23, text, 1000, 0, wire);

	feed(&p, p.server, wire, 700, &cuts[2]);
	assert_int_equal(tls_records_held_in(p.server), 700);
	feed(&p, p.server, wire + 700, n - 700, &cuts[2]);
	assert_int_equal(tls_records_held_in(p.server), 1000);
	rte_pktmbuf_free(tls_records_plaintext(p.server));
	assert_int_equal(tls_records_held_in(p.server), 0);

	say(p.server, text, 1000, &cuts[2]);
	assert_int_equal(tls_records_held_out(p.server), 1000 + 5 + 17);
	tls_batch_run(p.batch);
	assert_int_equal(tls_records_held_out(p.server), 1000 + 5 + 17);
	rte_pktmbuf_free(tls_records_output(p.server));
	assert_int_equal(tls_records_held_out(p.server), 0);
	pair_free(&p);
}

/* What a full segment brings is opened where it lies, and sealed where it lies. */
static void
full_buffers_are_not_copied(void **state)
{
	struct pair p = pair_new(&suites[0]);
	const struct tls_record_counters *counters = tls_batch_counters(p.batch);

	say(p.client, text, 100 * 1448, &cuts[2]);
	pump(&p);
	assert_hears(p.server, text, 100 * 1448);
	assert_int_equal(counters->tx_copied_bytes, 0);
	assert_true(counters->rx_copied_bytes < 2 * 256);
	pair_free(&p);
}

static void
exclusive_buffer_becomes_a_record_without_others_beside_it(void **state)
{
	for (size_t s = 0; s < RTE_DIM(suites); s++) {
		struct pair p = pair_new(&suites[s]);
		struct rte_mbuf *m = new_buffer(text, 1000), *out;

		assert_int_equal(tls_records_seal(p.client, m), 0);
		tls_batch_run(p.batch);
		out = tls_records_output(p.client);
		assert_ptr_equal(out, m);
		assert_null(out->next);
		assert_int_equal(out->nb_segs, 1);
		assert_int_equal(out->pkt_len, out->data_len);
		tls_records_input(p.server, out);
		tls_records_open(p.server);
		tls_batch_run(p.batch);
		out = tls_records_plaintext(p.server);
		assert_ptr_equal(out, m);
		assert_int_equal(out->nb_segs, 1);
		assert_int_equal(out->pkt_len, 1000);
		assert_memory_equal(rte_pktmbuf_mtod(out, uint8_t *), text, 1000);
		rte_pktmbuf_free(out);
		pair_free(&p);
	}
}

/* Nobody but the owner of all of a buffer may write around a slice of it. */
static void
bytes_around_a_slice_are_not_written(void **state)
{
	struct pair p = pair_new(&suites[0]);
	struct rte_mbuf *whole = new_buffer(text, 1800);
	struct rte_mbuf *slice = rte_pktmbuf_alloc(pools.indirect);

	rte_pktmbuf_attach(slice, whole);
	slice->data_off += 400;
	slice->data_len = 1000;
	assert_int_equal(tls_records_seal(p.client, slice), 0);
	pump(&p);
	assert_hears(p.server, text + 400, 1000);
	assert_memory_equal(rte_pktmbuf_mtod(whole, uint8_t *), text, 400);
	assert_memory_equal(rte_pktmbuf_mtod_offset(whole, uint8_t *, 1400), text + 1400, 400);
	rte_pktmbuf_free(whole);
	pair_free(&p);
}

/* The same, where the buffer itself is in the chain while somebody holds a slice of it. */
static void
shared_direct_buffer_keeps_its_surroundings(void **state)
{
	struct pair p = pair_new(&suites[0]);
	struct rte_mbuf *whole = new_buffer(text, 1800);
	struct rte_mbuf *front = rte_pktmbuf_alloc(pools.indirect);

	rte_pktmbuf_attach(front, whole);
	front->data_len = 900;
	rte_pktmbuf_adj(whole, 900);
	assert_int_equal(tls_records_seal(p.client, whole), 0);
	pump(&p);
	assert_hears(p.server, text + 900, 900);
	assert_memory_equal(rte_pktmbuf_mtod(front, uint8_t *), text, 900);
	rte_pktmbuf_free(front);
	pair_free(&p);
}

static void
count_records(struct pair *p, uint32_t *records, uint32_t *largest, uint32_t *first)
{
	uint32_t n = take_bytes(tls_records_output(p->client), wire, sizeof(wire));

	*records = *largest = *first = 0;
	for (uint32_t at = 0; at < n;) {
		uint32_t length = wire[at + 3] << 8 | wire[at + 4];

		if (*records == 0)
			*first = length;
		*largest = RTE_MAX(*largest, length);
		++*records;
		at += 5 + length;
	}
}

static void
records_are_small_at_first_then_large(void **state)
{
	struct pair p = pair_new(&suites[0]);
	uint32_t records, largest, first;

	say(p.client, text, 10000, &cuts[2]);
	tls_batch_run(p.batch);
	count_records(&p, &records, &largest, &first);
	assert_int_equal(records, 7); /* one to a buffer */
	assert_true(largest <= 1448 + 17);

	say(p.client, text, 14480, &cuts[2]);
	tls_batch_run(p.batch);
	count_records(&p, &records, &largest, &first);
	assert_int_equal(records, 4);
	assert_int_equal(largest, 7 * 1448 + 17);
	pair_free(&p);
}

static void
records_are_large_at_once_in_bulk_and_end_with_buffers(void **state)
{
	struct pair p = pair_new(&suites[0]);
	uint32_t records, largest, first;

	say(p.client, text, 44 * 1448, &cuts[2]);
	tls_batch_run(p.batch);
	count_records(&p, &records, &largest, &first);
	assert_int_equal(records, 4);
	assert_int_equal(largest, 11 * 1448 + 17);
	assert_int_equal(first, largest);
	pair_free(&p);
}

static void
records_are_small_again_after_a_pause(void **state)
{
	struct pair p = pair_new(&suites[0]);
	uint32_t records, largest, first;

	tls_batch_set_time(p.batch, 1000000);
	say(p.client, text, 44 * 1448, &cuts[2]);
	tls_batch_run(p.batch);
	count_records(&p, &records, &largest, &first);
	tls_batch_set_time(p.batch, 1500000);
	say(p.client, text, 5 * 1448, &cuts[2]);
	tls_batch_run(p.batch);
	count_records(&p, &records, &largest, &first);
	assert_int_equal(records, 1);
	tls_batch_set_time(p.batch, 9000000);
	say(p.client, text, 5 * 1448, &cuts[2]);
	tls_batch_run(p.batch);
	count_records(&p, &records, &largest, &first);
	assert_int_equal(records, 5);
	pair_free(&p);
}

static void
small_payloads_share_a_buffer(void **state)
{
	struct pair p = pair_new(&suites[0]);
	uint32_t n = 0;
	struct rte_mbuf *m;

	for (int i = 0; i < 30; i++) {
		n = outsider_seal(&p.to_server, 23, text + 10 * i, 10, 0, wire);
		assert_int_equal(feed(&p, p.server, wire, n, &cuts[2]), 0);
	}
	m = tls_records_plaintext(p.server);
	assert_int_equal(m->nb_segs, 1);
	assert_int_equal(m->pkt_len, 300);
	assert_memory_equal(rte_pktmbuf_mtod(m, uint8_t *), text, 300);
	assert_int_equal(tls_batch_counters(p.batch)->rx_copied_bytes, 290);
	rte_pktmbuf_free(m);
	pair_free(&p);
}

/* RFC 8448 section 3: the application traffic secrets of a real connection, what was sealed
 * under them, and what it said. */
static void
trace_of_rfc_8448(void **state)
{
	static const char client_secret[] =
		"9e40646ce79a7f9dc05af8889bce6552875afa0b06df0087f792ebb7c17504a5";
	static const char server_secret[] =
		"a11af9f05531f856ad47116b45a950328204b4f44bfb6b3a4b4f1f3fcb631643";
	static const char client_data[] =
		"1703030043a23f7054b62c94d0affafe8228ba55cbefacea42f914aa66bcab3f2b9819a8a5b46b39"
		"5bd54a9a20441e2b62974e1f5a6292a2977014bd1e3deae63aeebb21694915e4";
	static const char client_alert[] = "1703030013c9872760655666b74d7ff1153efd6db6d0b0e3";
	static const char server_data[] =
		"17030300432e937e11ef4ac740e538ad36005fc4a46932fc3225d05f82aa1b36e30efaf97d90e6df"
		"fc602dcb501a59a8fcc49c4bf2e5f0a21c0047c2abf332540dd032e167c2955d";
	static const char server_alert[] = "1703030013b58fd67166ebf599d24720cfbe7efa7a8864a9";
	struct pair p = pair_new(&suites[0]);
	struct tls_keys keys = {
		.version = TLS_1_3, .side = TLS_SIDE_SERVER, .aead = CRYPTO_AES_128_GCM};
	struct tls_records *server = tls_records_create(&pools, p.batch);
	uint8_t expected[128];
	uint32_t n;

	unhex(client_secret, keys.rx.secret);
	unhex(server_secret, keys.tx.secret);
	keys.rx.secret_len = keys.tx.secret_len = 32;
	keys.tx.seq = 1; /* behind the ticket */
	assert_int_equal(tls_records_install(server, p.device, &keys), 0);
	for (int i = 0; i < 50; i++)
		expected[i] = i;

	n = unhex(client_data, wire);
	assert_int_equal(feed(&p, server, wire, n, &cuts[1]), 0);
	assert_hears(server, expected, 50);
	say(server, expected, 50, &cuts[2]);
	tls_batch_run(p.batch);
	n = take_bytes(tls_records_output(server), wire, sizeof(wire));
	assert_int_equal(unhex(server_data, expected), n);
	assert_memory_equal(wire, expected, n);

	n = unhex(client_alert, wire);
	assert_int_equal(feed(&p, server, wire, n, &cuts[2]), 0);
	assert_true(tls_records_eof(server));
	assert_int_equal(tls_records_close(server), 0);
	tls_batch_run(p.batch);
	n = take_bytes(tls_records_output(server), wire, sizeof(wire));
	assert_int_equal(unhex(server_alert, expected), n);
	assert_memory_equal(wire, expected, n);
	tls_records_destroy(server);
	pair_free(&p);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_sealed_is_opened_whatever_the_buffers),
		cmocka_unit_test(both_devices_understand_each_other),
		cmocka_unit_test(sealed_records_are_those_of_the_rfcs),
		cmocka_unit_test(records_of_the_rfcs_are_opened),
		cmocka_unit_test(bytes_may_come_one_turn_at_a_time),
		cmocka_unit_test(padding_is_taken_off),
		cmocka_unit_test(padding_without_type_is_unexpected),
		cmocka_unit_test(record_without_even_a_type_byte_is_unexpected),
		cmocka_unit_test(tampered_record_is_a_bad_mac_and_what_came_before_is_kept),
		cmocka_unit_test(replayed_or_skipped_record_is_a_bad_mac),
		cmocka_unit_test(broken_framing_ends_the_connection_with_its_alert),
		cmocka_unit_test(version_is_ignored_in_1_3_and_checked_in_1_2),
		cmocka_unit_test(inner_text_that_is_too_long_is_an_overflow),
		cmocka_unit_test(empty_records_are_put_up_with_for_a_while),
		cmocka_unit_test(first_record_of_the_peer_confirms),
		cmocka_unit_test(held_bytes_are_counted),
		cmocka_unit_test(full_buffers_are_not_copied),
		cmocka_unit_test(exclusive_buffer_becomes_a_record_without_others_beside_it),
		cmocka_unit_test(bytes_around_a_slice_are_not_written),
		cmocka_unit_test(shared_direct_buffer_keeps_its_surroundings),
		cmocka_unit_test(records_are_small_at_first_then_large),
		cmocka_unit_test(records_are_large_at_once_in_bulk_and_end_with_buffers),
		cmocka_unit_test(records_are_small_again_after_a_pause),
		cmocka_unit_test(small_payloads_share_a_buffer),
		cmocka_unit_test(trace_of_rfc_8448),
	};

	support_start("record");
	fill(text, sizeof(text), 0);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
