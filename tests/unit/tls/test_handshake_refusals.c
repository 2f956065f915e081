/* SPDX-License-Identifier: Apache-2.0 */
/* Handshakes that fail: each cause, what it says, and the alert that the peer sees. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <openssl/err.h>

#include "wire.h"
#include "tls/handshake_memory.h"

static struct wire_mesh mesh;
static struct pki_cert api; /* a good one, WIRE_API */
static const char *const domains[] = {"cluster.local"};
static const char *const api_sans[] = {WIRE_API};

/* --- helpers --------------------------------------------------------------------------- */

static struct tls_server_params
serving(void)
{
	return (struct tls_server_params){
		.identity = mesh.identity,
		.require_client_certificate = true,
		.trust_domains = domains,
		.n_trust_domains = 1,
	};
}

static struct tls_client_params
calling(void)
{
	return (struct tls_client_params){
		.identity = mesh.identity,
		.check = TLS_SAN_EXACT,
		.require_spiffe = true,
		.sans = api_sans,
		.n_sans = 1,
	};
}

static struct wire_peer_options
caller(const struct pki_cert *leaf)
{
	return (struct wire_peer_options){.leaf = leaf, .root = mesh.ca.cert};
}

static struct wire_peer_options
callee(const struct pki_cert *leaf)
{
	return (struct wire_peer_options){
		.server = true, .leaf = leaf, .root = mesh.ca.cert, .ask_certificate = true};
}

static void
assert_detail(struct tls_handshake *hs, enum tls_cause cause, const char *detail)
{
	const struct tls_peer *peer = tls_handshake_peer(hs);

	if (tls_handshake_cause(hs) != cause)
		fail_msg("%s instead of %s: %s", tls_cause_name(tls_handshake_cause(hs)),
			 tls_cause_name(cause), peer->detail);
	if (detail != NULL && strstr(peer->detail, detail) == NULL)
		fail_msg("\"%s\" is not in \"%s\"", detail, peer->detail);
	assert_true(peer->detail[0] != '\0');
	assert_false(peer->verified);
	assert_int_equal(tls_handshake_step(hs), TLS_STEP_FAILED); /* and stays so */
	assert_false(tls_handshake_ready(hs));
}

static void
assert_clean(void)
{
	assert_int_equal(ERR_peek_error(), 0);
	assert_true(wire_balanced());
	assert_int_equal(tls_hs_keys_in_use(), 0);
}

/* Takes `hs`. What the peer sees as an alert is `alert`; 0: none, or none in the handshake. */
static void
assert_refuses(struct tls_handshake *hs, const struct wire_peer_options *options,
	       enum tls_cause cause, const char *detail, unsigned int alert)
{
	struct wire_peer peer;

	assert_non_null(hs);
	wire_peer_create(&peer, options);
	assert_int_equal(wire_shake(hs, &peer, 0), TLS_STEP_FAILED);
	if (peer.done) { /* a TLS 1.3 client: it learns only now */
		uint8_t byte;

		assert_true(SSL_read(peer.ssl, &byte, 1) <= 0);
		ERR_clear_error();
	}
	assert_detail(hs, cause, detail);
	assert_int_equal(peer.alert_received, alert);
	tls_handshake_free(hs);
	wire_peer_destroy(&peer);
	assert_clean();
}

static void
server_refuses_of(const struct pki_cert *leaf, const char *detail, enum tls_cause cause,
		  unsigned int alert)
{
	static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
	struct tls_server_params params = serving();

	for (size_t i = 0; i < 2; i++) {
		struct wire_peer_options options = caller(leaf);

		options.max_version = versions[i];
		assert_refuses(tls_handshake_server(&params, &wire_pools), &options, cause, detail,
			       alert);
	}
}

static void
client_refuses_of(const struct pki_cert *leaf, const char *detail, enum tls_cause cause,
		  unsigned int alert)
{
	static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
	struct tls_client_params params = calling();

	for (size_t i = 0; i < 2; i++) {
		struct wire_peer_options options = callee(leaf);

		options.max_version = versions[i];
		assert_refuses(tls_handshake_client(&params, &wire_pools), &options, cause, detail,
			       alert);
	}
}

/* Both of our sides refuse a peer with a leaf like this. */
static void
both_refuse(const struct pki_cert *issuer, const struct pki_options *options, const char *detail,
	    enum tls_cause cause, unsigned int alert)
{
	struct pki_cert leaf = pki_issue(issuer, options);

	server_refuses_of(&leaf, detail, cause, alert);
	client_refuses_of(&leaf, detail, cause, alert);
	pki_free(&leaf);
}

/* --- certificates ---------------------------------------------------------------------- */

static void
no_client_certificate(void **state)
{
	struct tls_server_params params = serving();
	struct wire_peer_options options = caller(NULL);

	assert_refuses(tls_handshake_server(&params, &wire_pools), &options,
		       TLS_CAUSE_NO_CLIENT_CERTIFICATE, "did not return a certificate",
		       116 /* certificate_required */);
	options.max_version = TLS1_2_VERSION;
	assert_refuses(tls_handshake_server(&params, &wire_pools), &options,
		       TLS_CAUSE_NO_CLIENT_CERTIFICATE, "did not return a certificate",
		       40 /* handshake_failure */);
}

static void
certificate_of_another_ca(void **state)
{
	struct pki_cert other = pki_ca("another CA");

	both_refuse(&other, &(struct pki_options){.uris = {WIRE_API}}, "/CN=another CA",
		    TLS_CAUSE_UNKNOWN_CA, 48);
	pki_free(&other);
}

static void
self_signed_certificate(void **state)
{
	both_refuse(NULL, &(struct pki_options){.uris = {WIRE_API}}, "self-signed",
		    TLS_CAUSE_UNKNOWN_CA, 48);
}

/* A CA that calls itself by the name of ours. */
static void
impostor_of_the_ca(void **state)
{
	struct pki_cert impostor = pki_ca("mesh CA");

	both_refuse(&impostor, &(struct pki_options){.uris = {WIRE_API}}, NULL,
		    TLS_CAUSE_UNKNOWN_CA, 48);
	/* Without key identifiers the signature itself has to tell. */
	both_refuse(&impostor,
		    &(struct pki_options){.uris = {WIRE_API}, .no_authority_key_id = true},
		    "signature", TLS_CAUSE_CERTIFICATE_INVALID, 51 /* decrypt_error */);
	pki_free(&impostor);
}

/* A leaf of the mesh that plays CA. */
static void
certificate_signed_by_a_leaf(void **state)
{
	struct pki_cert leaf = pki_svid(&api, WIRE_API);
	struct tls_server_params params = serving();
	struct wire_peer_options options = caller(&leaf);

	options.intermediate = api.cert;
	assert_refuses(tls_handshake_server(&params, &wire_pools), &options,
		       TLS_CAUSE_CERTIFICATE_INVALID, "invalid CA certificate", 48);
	pki_free(&leaf);
}

static void
certificate_that_has_expired(void **state)
{
	both_refuse(&mesh.ca,
		    &(struct pki_options){.uris = {WIRE_API}, .not_before = -7200, .not_after = -60},
		    "expired (subject /CN=test, issuer /CN=mesh CA, not after 2",
		    TLS_CAUSE_CERTIFICATE_EXPIRED, 45);
}

static void
certificate_that_is_not_valid_yet(void **state)
{
	both_refuse(&mesh.ca, &(struct pki_options){.uris = {WIRE_API}, .not_before = 3600},
		    "not before 2", TLS_CAUSE_CERTIFICATE_NOT_YET_VALID, 42);
}

static void
certificate_with_two_uri_sans(void **state)
{
	both_refuse(&mesh.ca,
		    &(struct pki_options){.uris = {WIRE_API, "spiffe://cluster.local/ns/a/sa/b"}},
		    "two URI SANs", TLS_CAUSE_MULTIPLE_URI_SANS, 42);
}

static void
certificate_without_a_spiffe_id(void **state)
{
	both_refuse(&mesh.ca, &(struct pki_options){.dns = {"api.example.com"}}, "no URI SAN",
		    TLS_CAUSE_NO_SPIFFE_ID, 42);
	both_refuse(&mesh.ca, &(struct pki_options){.uris = {"https://example.com/x"}},
		    "is not a SPIFFE ID", TLS_CAUSE_NO_SPIFFE_ID, 42);
	both_refuse(&mesh.ca, &(struct pki_options){.uris = {"spiffe://cluster.local/"}},
		    "no path", TLS_CAUSE_NO_SPIFFE_ID, 42);
}

static void
leaf_that_may_sign(void **state)
{
	both_refuse(&mesh.ca,
		    &(struct pki_options){.uris = {WIRE_API},
					  .key_usage = "digitalSignature,keyCertSign"},
		    "keyCertSign", TLS_CAUSE_CERTIFICATE_INVALID, 42);
	both_refuse(&mesh.ca,
		    &(struct pki_options){.uris = {WIRE_API}, .ca = true,
					  .key_usage = "digitalSignature"},
		    "CA certificate", TLS_CAUSE_CERTIFICATE_INVALID, 42);
}

static void
certificate_for_the_other_purpose(void **state)
{
	struct pki_cert server_only = pki_issue(
		&mesh.ca,
		&(struct pki_options){.uris = {WIRE_API}, .ext_key_usage = "serverAuth"});
	struct pki_cert client_only = pki_issue(
		&mesh.ca,
		&(struct pki_options){.uris = {WIRE_API}, .ext_key_usage = "clientAuth"});

	server_refuses_of(&server_only, "purpose", TLS_CAUSE_CERTIFICATE_INVALID, 43);
	client_refuses_of(&client_only, "purpose", TLS_CAUSE_CERTIFICATE_INVALID, 43);
	pki_free(&server_only);
	pki_free(&client_only);
}

static void
client_of_another_trust_domain(void **state)
{
	struct pki_cert leaf = pki_svid(&mesh.ca, "spiffe://other.example/ns/a/sa/b");

	server_refuses_of(&leaf,
			  "wanted trust domain cluster.local, got spiffe://other.example/ns/a/sa/b",
			  TLS_CAUSE_TRUST_DOMAIN_MISMATCH, 42);
	pki_free(&leaf);
}

static void
server_with_another_identity(void **state)
{
	struct pki_cert leaf = pki_svid(&mesh.ca, "spiffe://cluster.local/ns/shop/sa/evil");

	client_refuses_of(&leaf,
			  "wanted " WIRE_API ", got spiffe://cluster.local/ns/shop/sa/evil",
			  TLS_CAUSE_SAN_MISMATCH, 42);
	pki_free(&leaf);
}

static void
server_with_another_host_name(void **state)
{
	static const char *const host[] = {"a.example.com"};
	struct pki_cert leaf =
		pki_issue(&mesh.ca, &(struct pki_options){.dns = {"b.example.com"}});
	struct tls_client_params params = calling();
	struct wire_peer_options options = callee(&leaf);

	params.require_spiffe = false;
	params.check = TLS_SAN_HOST;
	params.sans = host;
	assert_refuses(tls_handshake_client(&params, &wire_pools), &options,
		       TLS_CAUSE_SAN_MISMATCH, "wanted a.example.com, got b.example.com", 42);
	pki_free(&leaf);
}

/* Refused, but the log can say who it was. */
static void
refused_peer_is_described(void **state)
{
	struct pki_cert leaf = pki_issue(
		&mesh.ca, &(struct pki_options){.uris = {"spiffe://other/a"}, .dns = {"x.y"}});
	struct tls_server_params params = serving();
	struct tls_handshake *hs = tls_handshake_server(&params, &wire_pools);
	struct wire_peer_options options = caller(&leaf);
	const struct tls_peer *learned = tls_handshake_peer(hs);
	struct wire_peer peer;

	options.sni = "web.example";
	wire_peer_create(&peer, &options);
	assert_int_equal(wire_shake(hs, &peer, 0), TLS_STEP_FAILED);
	assert_string_equal(learned->id, "spiffe://other/a");
	assert_string_equal(learned->sans, "x.y, spiffe://other/a");
	assert_string_equal(learned->sni, "web.example");
	assert_int_equal(learned->version, 0x0304);
	assert_false(learned->verified);
	tls_handshake_free(hs);
	wire_peer_destroy(&peer);
	pki_free(&leaf);
	assert_clean();
}

/* --- negotiation ----------------------------------------------------------------------- */

static void
no_common_version(void **state)
{
	struct tls_server_params server = serving();
	struct tls_client_params client = calling();
	struct wire_peer_options calls = caller(&api), answers = callee(&api);

	calls.max_version = TLS1_1_VERSION;
	calls.ciphers = "ALL:@SECLEVEL=0";
	assert_refuses(tls_handshake_server(&server, &wire_pools), &calls, TLS_CAUSE_VERSION,
		       "unsupported protocol", 70);
	calls.max_version = TLS1_2_VERSION;
	server.min_version = 0x0304;
	assert_refuses(tls_handshake_server(&server, &wire_pools), &calls, TLS_CAUSE_VERSION,
		       "unsupported protocol", 70);
	answers.max_version = TLS1_2_VERSION;
	client.min_version = 0x0304;
	assert_refuses(tls_handshake_client(&client, &wire_pools), &answers,
		       TLS_CAUSE_ALERT_RECEIVED, "protocol_version", 0);
}

static void
no_common_cipher(void **state)
{
	struct tls_server_params params = serving();
	struct wire_peer_options options = caller(&api);

	options.suites = "TLS_AES_128_CCM_SHA256";
	options.min_version = TLS1_3_VERSION;
	assert_refuses(tls_handshake_server(&params, &wire_pools), &options,
		       TLS_CAUSE_NO_SHARED_CIPHER, "no shared cipher", 40);
	options = caller(&api);
	options.max_version = TLS1_2_VERSION;
	options.ciphers = "ECDHE-ECDSA-AES128-SHA256:AES128-GCM-SHA256";
	assert_refuses(tls_handshake_server(&params, &wire_pools), &options,
		       TLS_CAUSE_NO_SHARED_CIPHER, "no shared cipher", 40);
	options = caller(&api);
	options.groups = "P-521";
	assert_refuses(tls_handshake_server(&params, &wire_pools), &options,
		       TLS_CAUSE_NO_SHARED_CIPHER, NULL, 40);
}

static void
tls_1_2_without_extended_master_secret(void **state)
{
	struct tls_server_params server = serving();
	struct tls_client_params client = calling();
	struct wire_peer_options calls = caller(&api), answers = callee(&api);

	calls.max_version = answers.max_version = TLS1_2_VERSION;
	calls.no_extended_master_secret = answers.no_extended_master_secret = true;
	assert_refuses(tls_handshake_server(&server, &wire_pools), &calls, TLS_CAUSE_PROTOCOL,
		       "extended master secret", 40);
	assert_refuses(tls_handshake_client(&client, &wire_pools), &answers, TLS_CAUSE_PROTOCOL,
		       "extended master secret", 0);
}

/* --- alerts ---------------------------------------------------------------------------- */

static void
peer_that_refuses_us(void **state)
{
	struct pki_cert other = pki_ca("another CA");
	struct tls_server_params server = serving();
	struct tls_client_params client = calling();
	struct wire_peer_options calls = caller(&api), answers = callee(&api);

	calls.root = answers.root = other.cert;
	assert_refuses(tls_handshake_server(&server, &wire_pools), &calls,
		       TLS_CAUSE_ALERT_RECEIVED, "alert unknown_ca (48)", 0);
	calls.max_version = answers.max_version = TLS1_2_VERSION;
	assert_refuses(tls_handshake_server(&server, &wire_pools), &calls,
		       TLS_CAUSE_ALERT_RECEIVED, "alert unknown_ca (48)", 0);
	/* In TLS 1.3 it is the record layer that hears of it. */
	assert_refuses(tls_handshake_client(&client, &wire_pools), &answers,
		       TLS_CAUSE_ALERT_RECEIVED, "alert unknown_ca (48)", 0);
	pki_free(&other);
}

static struct tls_handshake *
fed(struct tls_handshake *hs, const void *bytes, size_t len)
{
	if (!tls_handshake_ready(hs))
		assert_int_equal(tls_handshake_step(hs), TLS_STEP_MORE);
	tls_handshake_input(hs, wire_chain(bytes, len, 0));
	return hs;
}

static struct tls_handshake *
server_fed(const void *bytes, size_t len)
{
	struct tls_server_params params = serving();

	return fed(tls_handshake_server(&params, &wire_pools), bytes, len);
}

static struct tls_handshake *
client_fed(const void *bytes, size_t len)
{
	struct tls_client_params params = calling();
	struct tls_handshake *hs = tls_handshake_client(&params, &wire_pools);
	uint8_t hello[2048];

	assert_int_equal(tls_handshake_step(hs), TLS_STEP_MORE);
	assert_true(wire_bytes(tls_handshake_output(hs), hello, sizeof(hello)) > 100);
	return fed(hs, bytes, len);
}

/* Takes `hs`, which has just been fed. alert 0: nothing is sent. */
static void
assert_fails(struct tls_handshake *hs, enum tls_cause cause, const char *detail,
	     unsigned int alert)
{
	uint8_t out[64];
	size_t n;

	assert_true(tls_handshake_ready(hs));
	assert_int_equal(tls_handshake_step(hs), TLS_STEP_FAILED);
	assert_detail(hs, cause, detail);
	n = wire_bytes(tls_handshake_output(hs), out, sizeof(out));
	assert_int_equal(n, alert != 0 ? 7 : 0);
	if (alert != 0) {
		const uint8_t wanted[] = {21, 3, out[2], 0, 2, 2, (uint8_t)alert};

		assert_memory_equal(out, wanted, sizeof(wanted));
	}
	tls_handshake_free(hs);
	assert_clean();
}

static void
alert_as_first_record(void **state)
{
	static const uint8_t alert[] = {21, 3, 1, 0, 2, 2, 40};
	static const uint8_t close[] = {21, 3, 3, 0, 2, 1, 0};
	struct tls_handshake *hs = client_fed(alert, sizeof(alert));

	assert_int_equal(tls_handshake_step(hs), TLS_STEP_FAILED);
	assert_int_equal(tls_handshake_peer(hs)->alert, 40);
	assert_detail(hs, TLS_CAUSE_ALERT_RECEIVED, "alert handshake_failure (40)");
	tls_handshake_free(hs);
	assert_clean();
	hs = client_fed(close, sizeof(close));
	assert_int_equal(tls_handshake_step(hs), TLS_STEP_FAILED);
	assert_detail(hs, TLS_CAUSE_ALERT_RECEIVED, "alert close_notify (0)");
	tls_handshake_free(hs);
	assert_clean();
}

/* --- bytes that are no handshake ------------------------------------------------------- */

static void
plaintext_http_is_told_from_garbage(void **state)
{
	static const char get[] = "GET / HTTP/1.1\r\nHost: web\r\n\r\n";
	static const char h2[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
	static const char answer[] = "HTTP/1.1 400 Bad Request\r\n\r\n";
	static const char ssh[] = "SSH-2.0-OpenSSH_9.2\r\n";
	static const uint8_t binary[] = {0, 1, 2, 3, 0xff, 0xfe};

	assert_fails(server_fed(get, sizeof(get)), TLS_CAUSE_PROTOCOL,
		     "plaintext HTTP, not TLS: \"GET /\"", 0);
	assert_fails(server_fed(h2, sizeof(h2)), TLS_CAUSE_PROTOCOL, "plaintext HTTP", 0);
	assert_fails(client_fed(answer, sizeof(answer)), TLS_CAUSE_PROTOCOL,
		     "plaintext HTTP, not TLS: \"HTTP/\"", 0);
	assert_fails(server_fed(ssh, sizeof(ssh)), TLS_CAUSE_PROTOCOL,
		     "does not speak TLS: \"SSH-2\"", 0);
	assert_fails(server_fed(binary, sizeof(binary)), TLS_CAUSE_PROTOCOL,
		     "does not speak TLS: \"\\x00\\x01", 0);
	assert_fails(server_fed("x", 1), TLS_CAUSE_PROTOCOL, "does not speak TLS: \"x\"", 0);
}

static void
record_headers_that_cannot_be(void **state)
{
	static const uint8_t version[] = {22, 2, 0, 0, 5};
	static const uint8_t length[] = {22, 3, 1, 0x41, 0x01};
	static const uint8_t longest[] = {22, 3, 1, 0x41, 0x00};
	static const uint8_t half_version[] = {22, 9};
	struct tls_handshake *hs;

	assert_fails(server_fed(version, 5), TLS_CAUSE_PROTOCOL, "unknown version", 70);
	assert_fails(server_fed(half_version, 2), TLS_CAUSE_PROTOCOL, "unknown version", 70);
	assert_fails(server_fed(length, 5), TLS_CAUSE_PROTOCOL, "longer than TLS allows", 22);
	assert_fails(client_fed(length, 5), TLS_CAUSE_PROTOCOL, "longer than TLS allows", 22);
	hs = server_fed(longest, 5);
	assert_false(tls_handshake_ready(hs));
	assert_int_equal(tls_handshake_step(hs), TLS_STEP_MORE);
	tls_handshake_free(hs);
	assert_clean();
}

static void
handshake_messages_that_cannot_be(void **state)
{
	static const uint8_t data[] = {23, 3, 3, 0, 3, 1, 2, 3};
	static const uint8_t finished[] = {22, 3, 3, 0, 4, 20, 0, 0, 0};
	static const uint8_t bad_hello[] = {22, 3, 1, 0, 6, 1, 0, 0, 2, 3, 3};

	assert_fails(server_fed(data, sizeof(data)), TLS_CAUSE_PROTOCOL, NULL, 10);
	assert_fails(server_fed(finished, sizeof(finished)), TLS_CAUSE_PROTOCOL, NULL, 10);
	assert_fails(server_fed(bad_hello, sizeof(bad_hello)), TLS_CAUSE_PROTOCOL, NULL, 50);
	assert_fails(client_fed(data, sizeof(data)), TLS_CAUSE_PROTOCOL, NULL, 10);
}

/* A record of a type that does not exist, after a good ClientHello and under keys: the alert
 * is OpenSSL's and sealed. */
static void
garbage_in_the_middle(void **state)
{
	static const uint8_t garbage[] = {99, 3, 3, 0, 3, 1, 2, 3};
	static const uint8_t too_long[] = {23, 3, 3, 0x41, 0x01};
	struct tls_server_params params = serving();
	struct wire_peer_options options = caller(&api);
	uint8_t flight[16384];

	for (int with = 0; with < 2; with++) {
		struct tls_handshake *hs = tls_handshake_server(&params, &wire_pools);
		struct wire_peer peer;
		size_t n;

		wire_peer_create(&peer, &options);
		n = wire_peer_run(&peer, flight, sizeof(flight));
		tls_handshake_input(hs, wire_chain(flight, n, 0));
		assert_int_equal(tls_handshake_step(hs), TLS_STEP_MORE);
		n = wire_bytes(tls_handshake_output(hs), flight, sizeof(flight));
		wire_peer_give(&peer, flight, n);
		tls_handshake_input(hs, with == 0 ? wire_chain(garbage, sizeof(garbage), 0)
						  : wire_chain(too_long, sizeof(too_long), 0));
		assert_int_equal(tls_handshake_step(hs), TLS_STEP_FAILED);
		assert_detail(hs, TLS_CAUSE_PROTOCOL,
			      with == 0 ? "unknown type" : "longer than TLS allows");
		n = wire_bytes(tls_handshake_output(hs), flight, sizeof(flight));
		wire_peer_give(&peer, flight, n);
		wire_peer_run(&peer, flight, sizeof(flight));
		SSL_read(peer.ssl, flight, 1);
		assert_int_equal(peer.alert_received, with == 0 ? 10 : 22);
		tls_handshake_free(hs);
		wire_peer_destroy(&peer);
		assert_clean();
	}
}

/* Bytes all over the client's second flight flipped in turn: none may be believed. */
static void
tampered_flights_fail(void **state)
{
	struct tls_server_params params = serving();
	struct wire_peer_options options = caller(&api);
	size_t len = 1;

	for (size_t at = 0; at < len; at += at < 16 ? 1 : 37) {
		struct tls_handshake *hs = tls_handshake_server(&params, &wire_pools);
		struct wire_peer peer;
		uint8_t flight[16384];
		enum tls_step step;

		wire_peer_create(&peer, &options);
		len = wire_peer_run(&peer, flight, sizeof(flight));
		tls_handshake_input(hs, wire_chain(flight, len, 0));
		assert_int_equal(tls_handshake_step(hs), TLS_STEP_MORE);
		len = wire_bytes(tls_handshake_output(hs), flight, sizeof(flight));
		wire_peer_give(&peer, flight, len);
		len = wire_peer_run(&peer, flight, sizeof(flight));
		flight[at] ^= 0x01;
		tls_handshake_input(hs, wire_chain(flight, len, 0));
		step = tls_handshake_step(hs);
		/* A length that grew waits for more. */
		if (step == TLS_STEP_MORE) {
			tls_handshake_eof(hs);
			step = tls_handshake_step(hs);
		}
		if (step != TLS_STEP_FAILED)
			fail_msg("byte %zu of %zu", at, len);
		tls_handshake_free(hs);
		wire_peer_destroy(&peer);
	}
	assert_clean();
}

static void
peer_that_closes_in_the_middle(void **state)
{
	struct tls_server_params params = serving();
	struct wire_peer_options options = caller(&api);
	struct wire_peer peer;
	struct tls_handshake *hs;
	uint8_t flight[16384];
	size_t n;

	hs = tls_handshake_server(&params, &wire_pools);
	assert_false(tls_handshake_ready(hs));
	tls_handshake_eof(hs);
	assert_fails(hs, TLS_CAUSE_TRUNCATED, "closed in the middle", 0);

	wire_peer_create(&peer, &options);
	n = wire_peer_run(&peer, flight, sizeof(flight));
	hs = server_fed(flight, n - 1);
	tls_handshake_eof(hs);
	assert_fails(hs, TLS_CAUSE_TRUNCATED, "closed in the middle", 0);

	hs = server_fed(flight, n);
	tls_handshake_eof(hs); /* the hello is answered all the same */
	assert_int_equal(tls_handshake_step(hs), TLS_STEP_FAILED);
	assert_detail(hs, TLS_CAUSE_TRUNCATED, NULL);
	assert_true(wire_bytes(tls_handshake_output(hs), flight, sizeof(flight)) > 500);
	tls_handshake_free(hs);
	wire_peer_destroy(&peer);
	assert_clean();
}

/* --- limits ---------------------------------------------------------------------------- */

/* A ClientHello of 64 KiB, in records of 16 KiB each. */
static void
hello_of_64_kib(void **state)
{
	struct tls_server_params params = serving();
	struct tls_handshake *hs = tls_handshake_server(&params, &wire_pools);
	static uint8_t record[5 + 16384];
	enum tls_step step = TLS_STEP_MORE;
	uint8_t out[16];
	int records = 0;

	memset(record, 0, sizeof(record));
	memcpy(record, (uint8_t[]){22, 3, 1, 0x40, 0x00, 1, 1, 0, 0, 3, 3}, 11);
	while (step == TLS_STEP_MORE && records < 10) {
		tls_handshake_input(hs, wire_chain(record, sizeof(record), 0));
		assert_true(tls_handshake_ready(hs));
		step = tls_handshake_step(hs);
		records++;
	}
	assert_int_equal(records, 4);
	assert_detail(hs, TLS_CAUSE_TOO_LARGE, NULL);
	assert_int_equal(wire_bytes(tls_handshake_output(hs), out, sizeof(out)), 7);
	assert_int_equal(out[6], 40);
	tls_handshake_free(hs);
	assert_clean();
}

static void
hello_that_announces_too_much(void **state)
{
	static const uint8_t hello[] = {22, 3, 1, 0, 4, 1, 0xff, 0xff, 0xff};

	assert_fails(server_fed(hello, sizeof(hello)), TLS_CAUSE_TOO_LARGE, NULL, 47);
}

static void
certificate_larger_than_the_limit(void **state)
{
	struct pki_cert huge = pki_issue(
		&mesh.ca, &(struct pki_options){.uris = {WIRE_API}, .filler = 64 * 1024});
	struct pki_cert large = pki_issue(
		&mesh.ca, &(struct pki_options){.uris = {WIRE_API}, .filler = 20 * 1024});
	struct tls_server_params params = serving();
	struct wire_peer_options options = caller(&huge);
	struct tls_handshake *hs = tls_handshake_server(&params, &wire_pools);
	struct wire_peer peer;

	wire_peer_create(&peer, &options);
	assert_int_equal(wire_shake(hs, &peer, 0), TLS_STEP_FAILED);
	assert_detail(hs, TLS_CAUSE_TOO_LARGE, NULL);
	tls_handshake_free(hs);
	wire_peer_destroy(&peer);
	assert_clean();

	options = caller(&large);
	hs = tls_handshake_server(&params, &wire_pools);
	wire_peer_create(&peer, &options);
	assert_int_equal(wire_shake(hs, &peer, 0), TLS_STEP_DONE);
	tls_handshake_free(hs);
	wire_peer_destroy(&peer);
	pki_free(&huge);
	pki_free(&large);
	assert_clean();
}

static void
flood_of_empty_records_ends(void **state)
{
	static const uint8_t empty[] = {22, 3, 1, 0, 0};
	struct tls_server_params params = serving();
	struct tls_handshake *hs = tls_handshake_server(&params, &wire_pools);
	enum tls_step step = TLS_STEP_MORE;
	int records = 0;

	while (step == TLS_STEP_MORE && records < 20000) {
		tls_handshake_input(hs, wire_chain(empty, sizeof(empty), 0));
		step = tls_handshake_step(hs);
		records++;
	}
	assert_int_equal(step, TLS_STEP_FAILED);
	assert_true(records < 14000);
	tls_handshake_free(hs);
	assert_clean();
}

static void
exhausted_pool_is_an_internal_error(void **state)
{
	struct wire_peer_options options = caller(&api);
	struct wire_peer peer;
	struct tls_handshake *hs;
	uint8_t flight[4096];
	struct tls_server_params params = serving();
	struct tls_chain hoard = {0};
	struct rte_mbuf *m, *hello;
	size_t n;

	wire_peer_create(&peer, &options);
	n = wire_peer_run(&peer, flight, sizeof(flight));
	hs = tls_handshake_server(&params, &wire_pools);
	hello = wire_chain(flight, n, 0);
	rte_mbuf_refcnt_update(hello, 1); /* else it came free while it is read */
	tls_handshake_input(hs, hello);
	while ((m = rte_pktmbuf_alloc(wire_pools.data)) != NULL)
		tls_chain_append(&hoard, m);
	assert_int_equal(tls_handshake_step(hs), TLS_STEP_FAILED);
	rte_pktmbuf_free(hello);
	assert_detail(hs, TLS_CAUSE_INTERNAL, "no buffers");
	tls_chain_free(&hoard);
	tls_handshake_free(hs);
	wire_peer_destroy(&peer);
	assert_clean();
}

static void
identity_without_certificate_cannot_serve(void **state)
{
	struct tls_identity_files files = {.trust_bundle = mesh.bundle};
	struct tls_identity_error error;
	struct tls_identity *anonymous = tls_identity_load(&files, &error);
	struct tls_server_params params = {.identity = anonymous};

	assert_null(tls_handshake_server(&params, &wire_pools));
	tls_identity_free(anonymous);
	assert_clean();
}

static void
causes_have_names(void **state)
{
	for (int i = 0; i < TLS_CAUSE_MAX; i++) {
		assert_true(strlen(tls_cause_name(i)) > 1);
		assert_true(strlen(tls_cause_text(i)) > 1);
	}
	assert_string_equal(tls_cause_name(TLS_CAUSE_SAN_MISMATCH), "san_mismatch");
	assert_string_equal(tls_cause_name(TLS_CAUSE_MAX), "unknown");
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
		cmocka_unit_test(no_client_certificate),
		cmocka_unit_test(certificate_of_another_ca),
		cmocka_unit_test(self_signed_certificate),
		cmocka_unit_test(impostor_of_the_ca),
		cmocka_unit_test(certificate_signed_by_a_leaf),
		cmocka_unit_test(certificate_that_has_expired),
		cmocka_unit_test(certificate_that_is_not_valid_yet),
		cmocka_unit_test(certificate_with_two_uri_sans),
		cmocka_unit_test(certificate_without_a_spiffe_id),
		cmocka_unit_test(leaf_that_may_sign),
		cmocka_unit_test(certificate_for_the_other_purpose),
		cmocka_unit_test(client_of_another_trust_domain),
		cmocka_unit_test(server_with_another_identity),
		cmocka_unit_test(server_with_another_host_name),
		cmocka_unit_test(refused_peer_is_described),
		cmocka_unit_test(no_common_version),
		cmocka_unit_test(no_common_cipher),
		cmocka_unit_test(tls_1_2_without_extended_master_secret),
		cmocka_unit_test(peer_that_refuses_us),
		cmocka_unit_test(alert_as_first_record),
		cmocka_unit_test(plaintext_http_is_told_from_garbage),
		cmocka_unit_test(record_headers_that_cannot_be),
		cmocka_unit_test(handshake_messages_that_cannot_be),
		cmocka_unit_test(garbage_in_the_middle),
		cmocka_unit_test(tampered_flights_fail),
		cmocka_unit_test(peer_that_closes_in_the_middle),
		cmocka_unit_test(hello_of_64_kib),
		cmocka_unit_test(hello_that_announces_too_much),
		cmocka_unit_test(certificate_larger_than_the_limit),
		cmocka_unit_test(flood_of_empty_records_ends),
		cmocka_unit_test(exhausted_pool_is_an_internal_error),
		cmocka_unit_test(identity_without_certificate_cannot_serve),
		cmocka_unit_test(causes_have_names),
	};

	wire_init(argv[0]);
	return cmocka_run_group_tests(tests, create_fixture, destroy_fixture);
}
