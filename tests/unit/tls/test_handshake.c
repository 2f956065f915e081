/* SPDX-License-Identifier: Apache-2.0 */
/* Handshakes that succeed, and what the record layer then does with what they left. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <openssl/err.h>

#include "wire.h"
#include "tls/handshake_memory.h"

#define BIG 40000

static struct wire_mesh mesh;
static struct pki_cert api; /* the peer's, WIRE_API */
static const char *const domains[] = {"cluster.local"};

static const uint8_t alpn_server[] = "\x13istio-peer-exchange\x02h2\x08http/1.1";

static struct tls_handshake *
server_of(struct tls_identity *identity)
{
	struct tls_server_params params = {
		.identity = identity,
		.require_client_certificate = true,
		.trust_domains = domains,
		.n_trust_domains = 1,
		.alpn = alpn_server,
		.alpn_len = sizeof(alpn_server) - 1,
	};

	return tls_handshake_server(&params, &wire_pools);
}

static const char *const api_sans[] = {WIRE_API};

static struct tls_handshake *
client_of(struct tls_identity *identity)
{
	static const uint8_t alpn[] = "\x05istio\x02h2";
	struct tls_client_params params = {
		.identity = identity,
		.sni = "outbound_.80_._.api.shop.svc.cluster.local",
		.alpn = alpn,
		.alpn_len = sizeof(alpn) - 1,
		.check = TLS_SAN_EXACT,
		.require_spiffe = true,
		.sans = api_sans,
		.n_sans = 1,
	};

	return tls_handshake_client(&params, &wire_pools);
}

/* --- after the handshake --------------------------------------------------------------- */

struct layer {
	struct crypto_device *device;
	struct tls_batch *batch;
	struct tls_records *records;
};

static void
layer_create(struct layer *layer, struct tls_handshake *hs)
{
	char error[128];

	layer->device = crypto_device_open("openssl", 0, error, sizeof(error));
	assert_non_null(layer->device);
	layer->batch = tls_batch_create(layer->device, 64);
	assert_non_null(layer->batch);
	layer->records = tls_records_create(&wire_pools, layer->batch);
	assert_non_null(layer->records);
	assert_int_equal(tls_handshake_takeover(hs, layer->device, layer->records), 0);
}

static void
layer_destroy(struct layer *layer)
{
	tls_records_destroy(layer->records);
	tls_batch_destroy(layer->batch);
	crypto_device_close(layer->device);
}

/* Opens what the layer was given; returns the plaintext. */
static size_t
layer_open(struct layer *layer, uint8_t *out, size_t max)
{
	size_t len = 0;

	for (int i = 0; i < 100; i++) {
		assert_true(tls_records_open(layer->records) >= 0);
		tls_batch_run(layer->batch);
		len += wire_bytes(tls_records_plaintext(layer->records), out + len, max - len);
	}
	return len;
}

static size_t
layer_output(struct layer *layer, uint8_t *out, size_t max)
{
	size_t len = 0;

	for (int i = 0; i < 20; i++) {
		tls_batch_run(layer->batch);
		len += wire_bytes(tls_records_output(layer->records), out + len, max - len);
	}
	return len;
}

static void
fill(uint8_t *bytes, size_t len, uint8_t seed)
{
	for (size_t i = 0; i < len; i++)
		bytes[i] = (uint8_t)(i * 31 + (i >> 8) + seed);
}

static void
peer_sends(struct wire_peer *peer, struct layer *layer, size_t len)
{
	static uint8_t sent[BIG], wire[2 * BIG], got[BIG];
	int n;

	fill(sent, len, 7);
	assert_int_equal(SSL_write(peer->ssl, sent, (int)len), len);
	n = BIO_read(peer->out, wire, sizeof(wire));
	assert_true(n > (int)len);
	tls_records_input(layer->records, wire_chain(wire, (size_t)n, 0));
	assert_int_equal(layer_open(layer, got, sizeof(got)), len);
	assert_memory_equal(sent, got, len);
}

static void
we_send(struct wire_peer *peer, struct layer *layer, size_t len)
{
	static uint8_t sent[BIG], wire[2 * BIG], got[BIG];
	size_t n, done = 0;
	int part;

	fill(sent, len, 99);
	assert_int_equal(tls_records_seal(layer->records, wire_chain(sent, len, 0)), 0);
	n = layer_output(layer, wire, sizeof(wire));
	assert_true(n > len);
	wire_peer_give(peer, wire, n);
	while (done < len && (part = SSL_read(peer->ssl, got + done, sizeof(got) - done)) > 0)
		done += (size_t)part;
	assert_int_equal(done, len);
	assert_memory_equal(sent, got, len);
}

/* Data both ways, close_notify both ways. */
static void
converse(struct tls_handshake *hs, struct wire_peer *peer)
{
	struct layer layer;
	uint8_t wire[256], byte;
	size_t n;
	int ret;

	layer_create(&layer, hs);
	peer_sends(peer, &layer, 5);
	we_send(peer, &layer, 11);
	we_send(peer, &layer, BIG);
	peer_sends(peer, &layer, BIG);
	assert_int_equal(tls_records_close(layer.records), 0);
	n = layer_output(&layer, wire, sizeof(wire));
	assert_true(n > 0);
	wire_peer_give(peer, wire, n);
	ret = SSL_read(peer->ssl, &byte, 1);
	assert_int_equal(SSL_get_error(peer->ssl, ret), SSL_ERROR_ZERO_RETURN);
	SSL_shutdown(peer->ssl);
	n = (size_t)BIO_read(peer->out, wire, sizeof(wire));
	tls_records_input(layer.records, wire_chain(wire, n, 0));
	assert_int_equal(layer_open(&layer, wire, sizeof(wire)), 0);
	assert_true(tls_records_eof(layer.records));
	layer_destroy(&layer);
}

/* --- one run --------------------------------------------------------------------------- */

static void
assert_done(enum tls_step step, struct tls_handshake *hs)
{
	if (step != TLS_STEP_DONE)
		fail_msg("step %d: %s: %s", step, tls_cause_name(tls_handshake_cause(hs)),
			 tls_handshake_peer(hs)->detail);
	assert_int_equal(tls_handshake_cause(hs), TLS_CAUSE_OK);
	assert_string_equal(tls_handshake_peer(hs)->detail, "");
}

static void
assert_clean(void)
{
	assert_int_equal(ERR_peek_error(), 0);
	assert_true(wire_balanced());
	assert_int_equal(tls_hs_keys_in_use(), 0);
}

/* We serve, the peer of `options` calls; then they talk. */
static void
serve(struct tls_identity *identity, const struct wire_peer_options *options, size_t segment,
      struct tls_peer *learned)
{
	struct tls_handshake *hs = server_of(identity);
	struct wire_peer peer;

	wire_peer_create(&peer, options);
	assert_done(wire_shake(hs, &peer, segment), hs);
	assert_true(peer.done);
	*learned = *tls_handshake_peer(hs);
	converse(hs, &peer);
	tls_handshake_free(hs);
	wire_peer_destroy(&peer);
	assert_clean();
}

static void
call(struct tls_identity *identity, const struct wire_peer_options *options, size_t segment,
     struct tls_peer *learned)
{
	struct tls_handshake *hs = client_of(identity);
	struct wire_peer peer;

	wire_peer_create(&peer, options);
	assert_done(wire_shake(hs, &peer, segment), hs);
	assert_true(peer.done);
	*learned = *tls_handshake_peer(hs);
	converse(hs, &peer);
	tls_handshake_free(hs);
	wire_peer_destroy(&peer);
	assert_clean();
}

static struct wire_peer_options
caller(void)
{
	static const uint8_t alpn[] = "\x08http/1.1\x02h2";

	return (struct wire_peer_options){
		.leaf = &api,
		.root = mesh.ca.cert,
		.alpn = alpn,
		.alpn_len = sizeof(alpn) - 1,
		.sni = "web.shop.svc.cluster.local",
	};
}

static struct wire_peer_options
callee(void)
{
	static const uint8_t alpn[] = "\x02h2";

	return (struct wire_peer_options){
		.server = true,
		.leaf = &api,
		.root = mesh.ca.cert,
		.ask_certificate = true,
		.alpn = alpn,
		.alpn_len = sizeof(alpn) - 1,
	};
}

/* --- tests ----------------------------------------------------------------------------- */

static void
server_learns_who_calls(void **state)
{
	struct wire_peer_options options = caller();
	struct tls_peer learned;

	serve(mesh.identity, &options, 0, &learned);
	assert_true(learned.verified);
	assert_string_equal(learned.id, WIRE_API);
	assert_string_equal(learned.sans, WIRE_API);
	assert_string_equal(learned.sni, "web.shop.svc.cluster.local");
	assert_string_equal(learned.alpn, "h2"); /* ours is the order */
	assert_int_equal(learned.version, 0x0304);
	assert_string_equal(learned.cipher, "TLS_AES_128_GCM_SHA256");
}

static void
client_learns_who_answers(void **state)
{
	struct wire_peer_options options = callee();
	struct tls_peer learned;

	call(mesh.identity, &options, 0, &learned);
	assert_true(learned.verified);
	assert_string_equal(learned.id, WIRE_API);
	assert_string_equal(learned.alpn, "h2");
	assert_int_equal(learned.version, 0x0304);
}

static void
server_without_common_alpn_goes_on(void **state)
{
	static const uint8_t strange[] = "\x07strange";
	struct wire_peer_options options = caller();
	struct tls_peer learned;

	options.alpn = strange;
	options.alpn_len = sizeof(strange) - 1;
	serve(mesh.identity, &options, 0, &learned);
	assert_string_equal(learned.alpn, "");
	options.alpn = NULL;
	options.sni = NULL;
	serve(mesh.identity, &options, 0, &learned);
	assert_string_equal(learned.alpn, "");
	assert_string_equal(learned.sni, "");
}

static const struct {
	int version;
	const char *cipher; /* OpenSSL's name */
	const char *name;
} every_suite[] = {
	{TLS1_3_VERSION, "TLS_AES_128_GCM_SHA256", "TLS_AES_128_GCM_SHA256"},
	{TLS1_3_VERSION, "TLS_AES_256_GCM_SHA384", "TLS_AES_256_GCM_SHA384"},
	{TLS1_3_VERSION, "TLS_CHACHA20_POLY1305_SHA256", "TLS_CHACHA20_POLY1305_SHA256"},
	{TLS1_2_VERSION, "ECDHE-ECDSA-AES128-GCM-SHA256",
	 "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"},
	{TLS1_2_VERSION, "ECDHE-ECDSA-AES256-GCM-SHA384",
	 "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"},
	{TLS1_2_VERSION, "ECDHE-ECDSA-CHACHA20-POLY1305",
	 "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256"},
};

static void
limit_to_suite(struct wire_peer_options *options, size_t i)
{
	options->max_version = every_suite[i].version;
	if (every_suite[i].version == TLS1_3_VERSION)
		options->suites = every_suite[i].cipher;
	else
		options->ciphers = every_suite[i].cipher;
}

static void
every_suite_works_on_both_sides(void **state)
{
	for (size_t i = 0; i < sizeof(every_suite) / sizeof(every_suite[0]); i++) {
		struct wire_peer_options calls = caller(), answers = callee();
		struct tls_peer learned;

		limit_to_suite(&calls, i);
		limit_to_suite(&answers, i);
		serve(mesh.identity, &calls, 0, &learned);
		assert_string_equal(learned.cipher, every_suite[i].name);
		assert_int_equal(learned.version, every_suite[i].version);
		call(mesh.identity, &answers, 0, &learned);
		assert_string_equal(learned.cipher, every_suite[i].name);
	}
}

static void
every_kind_of_key_works_on_both_sides(void **state)
{
	static const enum pki_key_kind kinds[] = {PKI_P384, PKI_RSA_2048, PKI_ED25519};
	static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		struct pki_cert ours = pki_issue(
			&mesh.ca, &(struct pki_options){.key = kinds[i], .uris = {WIRE_WEB}});
		struct pki_cert theirs = pki_issue(
			&mesh.ca, &(struct pki_options){.key = kinds[i], .uris = {WIRE_API}});
		struct tls_identity *identity = wire_identity(&mesh, &ours, NULL, true);

		for (size_t k = 0; k < 2; k++) {
			struct wire_peer_options calls = caller(), answers = callee();
			struct tls_peer learned;

			calls.leaf = answers.leaf = &theirs;
			calls.max_version = answers.max_version = versions[k];
			serve(identity, &calls, 0, &learned);
			assert_string_equal(learned.id, WIRE_API);
			call(identity, &answers, 0, &learned);
			assert_string_equal(learned.id, WIRE_API);
		}
		tls_identity_free(identity);
		pki_free(&ours);
		pki_free(&theirs);
	}
}

static void
intermediates_are_sent_and_taken(void **state)
{
	struct pki_cert middle =
		pki_issue(&mesh.ca, &(struct pki_options){.name = "intermediate", .ca = true});
	struct pki_cert ours = pki_svid(&middle, WIRE_WEB);
	struct pki_cert theirs = pki_svid(&middle, WIRE_API);
	struct tls_identity *identity = wire_identity(&mesh, &ours, middle.cert, true);
	struct wire_peer_options calls = caller(), answers = callee();
	struct tls_peer learned;

	calls.leaf = answers.leaf = &theirs;
	calls.intermediate = answers.intermediate = middle.cert;
	serve(identity, &calls, 0, &learned);
	assert_true(learned.verified);
	call(identity, &answers, 0, &learned);
	assert_true(learned.verified);
	tls_identity_free(identity);
	pki_free(&middle);
	pki_free(&ours);
	pki_free(&theirs);
}

static void
bytes_may_come_one_by_one(void **state)
{
	static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};

	for (size_t k = 0; k < 2; k++) {
		struct wire_peer_options calls = caller(), answers = callee();
		struct tls_peer learned;

		calls.max_version = answers.max_version = versions[k];
		serve(mesh.identity, &calls, 1, &learned);
		call(mesh.identity, &answers, 1, &learned);
	}
}

/* Fed and stepped after every single byte. */
static void
steps_between_single_bytes_change_nothing(void **state)
{
	struct wire_peer_options options = caller();
	struct tls_handshake *hs = server_of(mesh.identity);
	struct wire_peer peer;
	uint8_t flight[16384];
	enum tls_step step = TLS_STEP_MORE;

	wire_peer_create(&peer, &options);
	for (int round = 0; round < 4 && step == TLS_STEP_MORE; round++) {
		size_t n = wire_peer_run(&peer, flight, sizeof(flight));

		for (size_t i = 0; i < n; i++) {
			assert_int_equal(step, TLS_STEP_MORE);
			tls_handshake_input(hs, wire_chain(flight + i, 1, 0));
			step = tls_handshake_step(hs);
		}
		n = wire_bytes(tls_handshake_output(hs), flight, sizeof(flight));
		wire_peer_give(&peer, flight, n);
	}
	assert_done(step, hs);
	converse(hs, &peer);
	tls_handshake_free(hs);
	wire_peer_destroy(&peer);
	assert_clean();
}

static void
ready_says_when_a_step_has_something_to_do(void **state)
{
	struct wire_peer_options options = caller();
	struct tls_handshake *hs = server_of(mesh.identity);
	struct tls_handshake *calls = client_of(mesh.identity);
	struct wire_peer peer;
	uint8_t flight[16384];
	size_t n;

	assert_true(tls_handshake_ready(calls)); /* its first flight */
	assert_int_equal(tls_handshake_step(calls), TLS_STEP_MORE);
	assert_false(tls_handshake_ready(calls));
	tls_handshake_free(calls);

	assert_false(tls_handshake_ready(hs));
	wire_peer_create(&peer, &options);
	n = wire_peer_run(&peer, flight, sizeof(flight));
	tls_handshake_input(hs, wire_chain(flight, n - 1, 100));
	assert_false(tls_handshake_ready(hs));
	assert_int_equal(tls_handshake_step(hs), TLS_STEP_MORE);
	assert_null(tls_handshake_output(hs));
	tls_handshake_input(hs, wire_chain(flight + n - 1, 1, 0));
	assert_true(tls_handshake_ready(hs));
	assert_int_equal(tls_handshake_step(hs), TLS_STEP_MORE);
	assert_false(tls_handshake_ready(hs));
	tls_handshake_free(hs);
	wire_peer_destroy(&peer);
	assert_clean();
}

/* The client's data comes in the same buffer as its Finished, and is not lost. */
static void
early_data_of(int version)
{
	static const char hello[] = "GET / HTTP/1.1\r\n\r\n";
	struct wire_peer_options options = caller();
	struct tls_handshake *hs = server_of(mesh.identity);
	struct wire_peer peer;
	struct layer layer;
	uint8_t flight[16384], got[64];
	size_t n;

	options.max_version = version;
	wire_peer_create(&peer, &options);
	n = wire_peer_run(&peer, flight, sizeof(flight));
	tls_handshake_input(hs, wire_chain(flight, n, 0));
	assert_int_equal(tls_handshake_step(hs), TLS_STEP_MORE);
	n = wire_bytes(tls_handshake_output(hs), flight, sizeof(flight));
	wire_peer_give(&peer, flight, n);
	if (version == TLS1_2_VERSION) { /* the server's Finished comes last */
		n = wire_peer_run(&peer, flight, sizeof(flight));
		tls_handshake_input(hs, wire_chain(flight, n, 0));
		assert_int_equal(tls_handshake_step(hs), TLS_STEP_DONE);
		n = wire_bytes(tls_handshake_output(hs), flight, sizeof(flight));
		wire_peer_give(&peer, flight, n);
		assert_int_equal(SSL_do_handshake(peer.ssl), 1);
		assert_int_equal(SSL_write(peer.ssl, hello, sizeof(hello)), sizeof(hello));
		n = (size_t)BIO_read(peer.out, flight, sizeof(flight));
		tls_handshake_input(hs, wire_chain(flight, n, 0)); /* done, not yet taken over */
	} else {
		assert_int_equal(SSL_do_handshake(peer.ssl), 1);
		assert_int_equal(SSL_write(peer.ssl, hello, sizeof(hello)), sizeof(hello));
		n = (size_t)BIO_read(peer.out, flight, sizeof(flight));
		tls_handshake_input(hs, wire_chain(flight, n, 0));
		assert_int_equal(tls_handshake_step(hs), TLS_STEP_DONE);
	}
	layer_create(&layer, hs);
	assert_int_equal(layer_open(&layer, got, sizeof(got)), sizeof(hello));
	assert_memory_equal(got, hello, sizeof(hello));
	layer_destroy(&layer);
	tls_handshake_free(hs);
	wire_peer_destroy(&peer);
	assert_clean();
}

static void
data_in_the_flight_of_finished_is_kept(void **state)
{
	early_data_of(TLS1_3_VERSION);
}

static void
data_before_takeover_is_kept(void **state)
{
	early_data_of(TLS1_2_VERSION);
}

static void
tickets_of_a_server_do_no_harm(void **state)
{
	static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};

	for (size_t k = 0; k < 2; k++) {
		struct wire_peer_options options = callee();
		struct tls_peer learned;

		options.tickets = 2;
		options.max_version = versions[k];
		call(mesh.identity, &options, 0, &learned);
	}
}

/* A session that a client has from somebody else. */
static SSL_SESSION *
strange_session(int version)
{
	struct wire_peer_options calls = caller(), answers = callee();
	struct wire_peer client, server;
	SSL_SESSION *session;
	uint8_t flight[16384];

	calls.max_version = answers.max_version = version;
	answers.tickets = 1;
	wire_peer_create(&client, &calls);
	wire_peer_create(&server, &answers);
	SSL_CTX_set_session_id_context(server.ctx, (const unsigned char *)"x", 1);
	SSL_set_session_id_context(server.ssl, (const unsigned char *)"x", 1);
	for (int i = 0; i < 4; i++) {
		wire_peer_give(&server, flight, wire_peer_run(&client, flight, sizeof(flight)));
		wire_peer_give(&client, flight, wire_peer_run(&server, flight, sizeof(flight)));
	}
	SSL_read(client.ssl, flight, 1); /* takes the ticket */
	session = SSL_get1_session(client.ssl);
	assert_true(SSL_SESSION_is_resumable(session));
	wire_peer_destroy(&client);
	wire_peer_destroy(&server);
	return session;
}

static void
strange_ticket_gets_a_full_handshake(void **state)
{
	static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};

	for (size_t k = 0; k < 2; k++) {
		SSL_SESSION *session = strange_session(versions[k]);
		struct tls_handshake *hs = server_of(mesh.identity);
		struct wire_peer_options options = caller();
		struct wire_peer peer;

		options.max_version = versions[k];
		wire_peer_create(&peer, &options);
		assert_int_equal(SSL_set_session(peer.ssl, session), 1);
		assert_done(wire_shake(hs, &peer, 0), hs);
		assert_false(SSL_session_reused(peer.ssl));
		assert_true(tls_handshake_peer(hs)->verified);
		converse(hs, &peer);
		tls_handshake_free(hs);
		wire_peer_destroy(&peer);
		SSL_SESSION_free(session);
		assert_clean();
	}
}

static void
hello_retry_works_on_both_sides(void **state)
{
	struct wire_peer_options calls = caller(), answers = callee();
	struct tls_peer learned;

	calls.groups = "P-521:P-384"; /* its key share is none of ours */
	serve(mesh.identity, &calls, 0, &learned);
	answers.groups = "P-384";
	call(mesh.identity, &answers, 0, &learned);
}

static void
peers_without_middlebox_records_work(void **state)
{
	struct wire_peer_options calls = caller(), answers = callee();
	struct tls_peer learned;

	calls.no_middlebox_compat = answers.no_middlebox_compat = true;
	serve(mesh.identity, &calls, 0, &learned);
	call(mesh.identity, &answers, 0, &learned);
}

static void
server_that_asks_for_no_certificate_gets_none(void **state)
{
	struct wire_peer_options options = callee();
	struct tls_identity_files files = {.trust_bundle = mesh.bundle};
	struct tls_identity_error error;
	struct tls_identity *anonymous = tls_identity_load(&files, &error);
	struct tls_peer learned;

	options.ask_certificate = false;
	call(mesh.identity, &options, 0, &learned);
	options.root = NULL;
	call(anonymous, &options, 0, &learned);
	assert_true(learned.verified);
	tls_identity_free(anonymous);
}

static void
client_certificate_is_optional_where_it_is_not_required(void **state)
{
	struct tls_server_params params = {.identity = mesh.identity};
	struct wire_peer_options options = caller();
	struct wire_peer peer;

	for (int with = 0; with < 2; with++) {
		struct tls_handshake *hs = tls_handshake_server(&params, &wire_pools);

		options.leaf = with ? &api : NULL;
		wire_peer_create(&peer, &options);
		assert_done(wire_shake(hs, &peer, 0), hs);
		assert_int_equal(tls_handshake_peer(hs)->verified, with);
		assert_string_equal(tls_handshake_peer(hs)->id, with ? WIRE_API : "");
		tls_handshake_free(hs);
		wire_peer_destroy(&peer);
		assert_clean();
	}
}

static void
skip_verify_believes_anybody_and_says_so(void **state)
{
	struct tls_identity_files files = {.skip_verify = true};
	struct tls_identity_error error;
	struct tls_identity *naive = tls_identity_load(&files, &error);
	struct pki_cert rogue = pki_issue(NULL, &(struct pki_options){.dns = {"rogue"}});
	struct wire_peer_options options = callee();
	struct tls_peer learned;

	options.leaf = &rogue;
	options.ask_certificate = false;
	options.root = NULL;
	call(naive, &options, 0, &learned);
	assert_false(learned.verified);
	assert_string_equal(learned.id, "rogue");
	tls_identity_free(naive);
	pki_free(&rogue);
}

static void
host_name_check_accepts_the_host(void **state)
{
	static const char *const host[] = {"api.example.com"};
	struct pki_cert leaf =
		pki_issue(&mesh.ca, &(struct pki_options){.dns = {"*.example.com"}});
	struct tls_client_params params = {
		.identity = mesh.identity, .sni = host[0], .check = TLS_SAN_HOST, .sans = host,
		.n_sans = 1};
	struct tls_handshake *hs = tls_handshake_client(&params, &wire_pools);
	struct wire_peer_options options = callee();
	struct wire_peer peer;

	options.leaf = &leaf;
	wire_peer_create(&peer, &options);
	assert_done(wire_shake(hs, &peer, 0), hs);
	assert_string_equal(SSL_get_servername(peer.ssl, TLSEXT_NAMETYPE_host_name), host[0]);
	tls_handshake_free(hs);
	wire_peer_destroy(&peer);
	pki_free(&leaf);
	assert_clean();
}

/* Both ends are ours. Returns the step at which both have arrived, else TLS_STEP_MORE. */
static enum tls_step
shake_ours(struct tls_handshake *a, struct tls_handshake *b)
{
	enum tls_step x = TLS_STEP_MORE, y = TLS_STEP_MORE;

	for (int i = 0; i < 10 && (x == TLS_STEP_MORE || y == TLS_STEP_MORE); i++) {
		x = tls_handshake_step(a);
		tls_handshake_input(b, tls_handshake_output(a));
		y = tls_handshake_step(b);
		tls_handshake_input(a, tls_handshake_output(b));
	}
	return x == y ? x : TLS_STEP_MORE;
}

static struct tls_handshake *
client_to_ourselves(void)
{
	static const char *const web[] = {WIRE_WEB};
	struct tls_client_params params = {.identity = mesh.identity, .check = TLS_SAN_EXACT,
					   .require_spiffe = true, .sans = web, .n_sans = 1};

	return tls_handshake_client(&params, &wire_pools);
}

static void
our_client_talks_to_our_server(void **state)
{
	struct tls_handshake *client = client_to_ourselves();
	struct tls_handshake *server = server_of(mesh.identity);
	struct layer c, s;
	uint8_t got[64];

	assert_int_equal(shake_ours(client, server), TLS_STEP_DONE);
	layer_create(&c, client);
	layer_create(&s, server);
	tls_handshake_free(client);
	tls_handshake_free(server);
	tls_records_seal(c.records, wire_chain("question", 8, 0));
	tls_batch_run(c.batch);
	tls_records_input(s.records, tls_records_output(c.records));
	assert_int_equal(layer_open(&s, got, sizeof(got)), 8);
	assert_memory_equal(got, "question", 8);
	tls_records_seal(s.records, wire_chain("answer", 6, 0));
	tls_batch_run(s.batch);
	tls_records_input(c.records, tls_records_output(s.records));
	assert_int_equal(layer_open(&c, got, sizeof(got)), 6);
	assert_memory_equal(got, "answer", 6);
	assert_true(tls_records_confirmed(c.records));
	layer_destroy(&c);
	layer_destroy(&s);
	assert_clean();
}

static void *
many_handshakes(void *n_done)
{
	for (int i = 0; i < 25; i++) {
		struct tls_handshake *client = client_to_ourselves();
		struct tls_handshake *server = server_of(mesh.identity);

		if (shake_ours(client, server) == TLS_STEP_DONE &&
		    strcmp(tls_handshake_peer(server)->id, WIRE_WEB) == 0)
			++*(int *)n_done;
		tls_handshake_free(client);
		tls_handshake_free(server);
	}
	return NULL;
}

static void
workers_share_an_identity(void **state)
{
	pthread_t threads[4];
	int done[4] = {0};

	for (int i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, many_handshakes, &done[i]), 0);
	for (int i = 0; i < 4; i++) {
		pthread_join(threads[i], NULL);
		assert_int_equal(done[i], 25);
	}
	assert_clean();
}

static void
takeover_before_done_or_twice_fails(void **state)
{
	struct wire_peer_options options = caller();
	struct tls_handshake *hs = server_of(mesh.identity);
	struct wire_peer peer;
	struct layer layer;

	assert_int_equal(tls_handshake_takeover(hs, NULL, NULL), -1);
	wire_peer_create(&peer, &options);
	assert_done(wire_shake(hs, &peer, 0), hs);
	layer_create(&layer, hs);
	assert_int_equal(tls_handshake_takeover(hs, layer.device, layer.records), -1);
	assert_int_equal(tls_handshake_step(hs), TLS_STEP_DONE);
	layer_destroy(&layer);
	tls_handshake_free(hs);
	wire_peer_destroy(&peer);
	assert_clean();
}

/* Rotation: the old identity lives as long as a handshake needs it. */
static void
identity_may_be_dropped_during_a_handshake(void **state)
{
	struct tls_identity *identity = wire_identity(&mesh, &mesh.web, NULL, true);
	struct tls_handshake *hs = server_of(identity);
	struct wire_peer_options options = caller();
	struct wire_peer peer;

	tls_identity_free(identity);
	wire_peer_create(&peer, &options);
	assert_done(wire_shake(hs, &peer, 0), hs);
	tls_handshake_free(hs);
	wire_peer_destroy(&peer);
	assert_clean();
}

static void
handshakes_may_be_freed_at_any_time(void **state)
{
	struct wire_peer_options options = caller();

	for (int rounds = 0; rounds < 4; rounds++) {
		struct tls_handshake *hs = server_of(mesh.identity);
		struct wire_peer peer;
		uint8_t flight[16384];

		wire_peer_create(&peer, &options);
		for (int i = 0; i < rounds; i++) {
			size_t n = wire_peer_run(&peer, flight, sizeof(flight));

			if (n > 0)
				tls_handshake_input(hs, wire_chain(flight, n, 0));
			if (i + 1 < rounds)
				tls_handshake_step(hs);
		}
		tls_handshake_free(hs);
		wire_peer_destroy(&peer);
	}
	tls_handshake_free(NULL);
	assert_clean();
}

static int
create_fixture(void **state)
{
	wire_mesh_create(&mesh);
	api = pki_svid(&mesh.ca, WIRE_API);
	return 0;
}

static int
destroy_fixture(void **state)
{
	pki_free(&api);
	wire_mesh_destroy(&mesh);
	return 0;
}

int
main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(server_learns_who_calls),
		cmocka_unit_test(client_learns_who_answers),
		cmocka_unit_test(server_without_common_alpn_goes_on),
		cmocka_unit_test(every_suite_works_on_both_sides),
		cmocka_unit_test(every_kind_of_key_works_on_both_sides),
		cmocka_unit_test(intermediates_are_sent_and_taken),
		cmocka_unit_test(bytes_may_come_one_by_one),
		cmocka_unit_test(steps_between_single_bytes_change_nothing),
		cmocka_unit_test(ready_says_when_a_step_has_something_to_do),
		cmocka_unit_test(data_in_the_flight_of_finished_is_kept),
		cmocka_unit_test(data_before_takeover_is_kept),
		cmocka_unit_test(tickets_of_a_server_do_no_harm),
		cmocka_unit_test(strange_ticket_gets_a_full_handshake),
		cmocka_unit_test(hello_retry_works_on_both_sides),
		cmocka_unit_test(peers_without_middlebox_records_work),
		cmocka_unit_test(server_that_asks_for_no_certificate_gets_none),
		cmocka_unit_test(client_certificate_is_optional_where_it_is_not_required),
		cmocka_unit_test(skip_verify_believes_anybody_and_says_so),
		cmocka_unit_test(host_name_check_accepts_the_host),
		cmocka_unit_test(our_client_talks_to_our_server),
		cmocka_unit_test(workers_share_an_identity),
		cmocka_unit_test(takeover_before_done_or_twice_fails),
		cmocka_unit_test(identity_may_be_dropped_during_a_handshake),
		cmocka_unit_test(handshakes_may_be_freed_at_any_time),
	};

	wire_init(argv[0]);
	return cmocka_run_group_tests(tests, create_fixture, destroy_fixture);
}
