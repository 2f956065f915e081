/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <openssl/ssl.h>

#include "dataplane/sniff.h"

/* The first flight of an OpenSSL client; returns its length. */
static size_t
client_hello(uint8_t *bytes, size_t size, const char *sni, const char *alpn, size_t alpn_len,
	     int max_version)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());
	SSL *ssl;
	int length;

	assert_non_null(ctx);
	SSL_CTX_set_max_proto_version(ctx, max_version);
	ssl = SSL_new(ctx);
	SSL_set_bio(ssl, in, out);
	if (sni != NULL)
		SSL_set_tlsext_host_name(ssl, sni);
	if (alpn != NULL)
		SSL_set_alpn_protos(ssl, (const uint8_t *)alpn, alpn_len);
	assert_int_equal(SSL_connect(ssl), -1);
	length = BIO_read(out, bytes, size);
	assert_true(length > 0);
	SSL_free(ssl);
	SSL_CTX_free(ctx);
	return length;
}

/* sniff() on a copy of exactly this length, so that a sanitizer sees a read beyond. */
static struct sniff
look(const uint8_t *bytes, size_t length)
{
	uint8_t *copy = malloc(length + 1);
	struct sniff result;

	memcpy(copy, bytes, length);
	copy = realloc(copy, length > 0 ? length : 1);
	sniff(copy, length, &result);
	free(copy);
	return result;
}

static struct sniff
look_text(const char *text)
{
	return look((const uint8_t *)text, strlen(text));
}

static void
mesh_alpn_is_told_from_other_alpn(void **state)
{
	static const struct {
		const char *alpn;
		size_t length;
		bool mesh, http;
	} cases[] = {
		{"\x05istio", 6, true, false},
		{"\x13istio-peer-exchange\x05istio", 26, true, false},
		{"\x0eistio-http/1.0", 15, true, true},
		{"\x0eistio-http/1.1\x05istio\x08http/1.1", 30, true, true},
		{"\x08istio-h2\x05istio\x02h2", 18, true, true},
		{"\x02h2\x08http/1.1", 12, false, false},
		{"\x06istio2", 7, false, false},
		{"\x04isti", 5, false, false},
	};
	uint8_t bytes[4096];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		size_t n = client_hello(bytes, sizeof(bytes), "web.shop", cases[i].alpn,
					cases[i].length, TLS1_3_VERSION);
		struct sniff result = look(bytes, n);

		assert_int_equal(result.kind, SNIFF_TLS);
		assert_int_equal(result.mesh_alpn, cases[i].mesh);
		assert_int_equal(result.mesh_http, cases[i].http);
		assert_string_equal(result.sni, "web.shop");
	}
}

static void
hello_without_alpn_or_sni_is_tls(void **state)
{
	uint8_t bytes[4096];
	struct sniff result;

	for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
		result = look(bytes, client_hello(bytes, sizeof(bytes), NULL, NULL, 0, version));
		assert_int_equal(result.kind, SNIFF_TLS);
		assert_false(result.mesh_alpn);
		assert_string_equal(result.sni, "");
	}
}

static void
every_prefix_of_a_hello_asks_for_more(void **state)
{
	uint8_t bytes[4096];
	size_t n = client_hello(bytes, sizeof(bytes), "a.b", "\x05istio", 6, TLS1_3_VERSION);

	for (size_t length = 0; length < n; length++) {
		struct sniff result = look(bytes, length);

		assert_int_equal(result.kind, SNIFF_MORE);
		assert_true(result.need > length);
		assert_true(result.need <= n);
	}
}

/* The same message cut into records of `size` bytes. */
static size_t
fragment(const uint8_t *bytes, size_t length, size_t size, uint8_t *out)
{
	size_t at = 5, written = 0;

	while (at < length) {
		size_t part = length - at < size ? length - at : size;

		memcpy(out + written, bytes, 3);
		out[written + 3] = part >> 8;
		out[written + 4] = part;
		memcpy(out + written + 5, bytes + at, part);
		written += 5 + part;
		at += part;
	}
	return written;
}

static void
hello_over_many_records_is_read(void **state)
{
	uint8_t bytes[4096], cut[32768];
	size_t n = client_hello(bytes, sizeof(bytes), "a.b", "\x05istio", 6, TLS1_3_VERSION);

	for (size_t size = 1; size < n; size = size * 2 + 1) {
		size_t length = fragment(bytes, n, size, cut);
		struct sniff result = look(cut, length);

		assert_int_equal(result.kind, SNIFF_TLS);
		assert_true(result.mesh_alpn);
		assert_int_equal(look(cut, length - 1).kind, SNIFF_MORE);
	}
}

static void
hello_over_the_limit_is_too_large(void **state)
{
	uint8_t bytes[64] = {0x16, 3, 1, 0x3f, 0xff, 1, 0, 0x7f, 0xff};
	uint8_t record[16384] = {0x16, 3, 1, 0x3f, 0xf0, 1, 0, 0x7f, 0xff};

	/* Announced by its length, as soon as the first record is whole. */
	assert_int_equal(look(bytes, 9).kind, SNIFF_TOO_LARGE);
	assert_int_equal(look(record, sizeof(record)).kind, SNIFF_TOO_LARGE);
}

static void
bytes_that_only_begin_like_tls_are_plaintext(void **state)
{
	static const uint8_t not_version[] = {0x16, 2, 0};
	static const uint8_t not_hello[] = {0x16, 3, 1, 0, 4, 2, 0, 0, 0};
	static const uint8_t empty_record[] = {0x16, 3, 1, 0, 0, 1};
	static const uint8_t short_hello[] = {0x16, 3, 1, 0, 6, 1, 0, 0, 2, 3, 3};
	static const uint8_t alert[] = {0x15, 3, 1, 0, 2, 1, 0};

	assert_int_equal(look(not_version, sizeof(not_version)).kind, SNIFF_OTHER);
	assert_int_equal(look(not_hello, sizeof(not_hello)).kind, SNIFF_OTHER);
	assert_int_equal(look(empty_record, sizeof(empty_record)).kind, SNIFF_OTHER);
	assert_int_equal(look(short_hello, sizeof(short_hello)).kind, SNIFF_OTHER);
	assert_int_equal(look(alert, sizeof(alert)).kind, SNIFF_OTHER);
}

static void
answer_does_not_depend_on_where_the_bytes_are_cut(void **state)
{
	static const uint8_t bytes[] = {0x16, 3, 0x19, 0x41, 0x43, 0x4c};

	for (size_t length = 1; length < sizeof(bytes); length++)
		assert_int_equal(look(bytes, length).kind, SNIFF_MORE);
	assert_int_equal(look(bytes, sizeof(bytes)).kind, SNIFF_OTHER);
}

/* Each byte of a good hello set to each of a few values: whatever comes out, no byte beyond
 * the end is read (the sanitizer's part) and MORE always asks for more than there is. */
static void
damaged_hello_never_reads_beyond_its_end(void **state)
{
	static const uint8_t values[] = {0, 1, 0x7f, 0x80, 0xff};
	uint8_t bytes[4096];
	size_t n = client_hello(bytes, sizeof(bytes), "a.b", "\x05istio", 6, TLS1_3_VERSION);

	for (size_t at = 0; at < n; at++) {
		uint8_t good = bytes[at];

		for (size_t v = 0; v < sizeof(values); v++) {
			struct sniff result;

			bytes[at] = values[v];
			result = look(bytes, n);
			assert_true(result.kind != SNIFF_MORE || result.need > n);
		}
		bytes[at] = good;
	}
}

static void
http_is_known_by_its_method(void **state)
{
	assert_int_equal(look_text("GET / HTTP/1.1\r\n").kind, SNIFF_HTTP);
	assert_int_equal(look_text("DELETE /x").kind, SNIFF_HTTP);
	assert_int_equal(look_text("M-SEARCH * HTTP/1.1\r\n").kind, SNIFF_HTTP);
	assert_int_equal(look_text("G").kind, SNIFF_MORE);
	assert_int_equal(look_text("POST").kind, SNIFF_MORE);
	assert_int_equal(look_text("GETX / HTTP/1.1\r\n").kind, SNIFF_OTHER);
	assert_int_equal(look_text("get / HTTP/1.1\r\n").kind, SNIFF_OTHER);
	assert_int_equal(look_text("EHLO mail\r\n").kind, SNIFF_OTHER);
	assert_int_equal(look_text("\r\nGET /").kind, SNIFF_OTHER);
}

static void
http2_is_known_by_its_preface(void **state)
{
	const char *preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

	for (size_t length = 1; length < strlen(preface); length++)
		assert_int_equal(look((const uint8_t *)preface, length).kind, SNIFF_MORE);
	assert_int_equal(look_text(preface).kind, SNIFF_HTTP2);
	assert_int_equal(look_text("PRI * HTTP/1.0\r\n").kind, SNIFF_OTHER);
	assert_int_equal(look_text("PROPFIND / HTTP/1.1\r\n").kind, SNIFF_HTTP);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(mesh_alpn_is_told_from_other_alpn),
		cmocka_unit_test(hello_without_alpn_or_sni_is_tls),
		cmocka_unit_test(every_prefix_of_a_hello_asks_for_more),
		cmocka_unit_test(hello_over_many_records_is_read),
		cmocka_unit_test(hello_over_the_limit_is_too_large),
		cmocka_unit_test(bytes_that_only_begin_like_tls_are_plaintext),
		cmocka_unit_test(answer_does_not_depend_on_where_the_bytes_are_cut),
		cmocka_unit_test(damaged_hello_never_reads_beyond_its_end),
		cmocka_unit_test(http_is_known_by_its_method),
		cmocka_unit_test(http2_is_known_by_its_preface),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
