/* SPDX-License-Identifier: Apache-2.0 */
/* SSL_CTXs, one for each side of an identity, and the calls that OpenSSL makes back. */

#include <string.h>

#include <openssl/err.h>
#include <openssl/tls1.h>
#include <openssl/x509v3.h>

#include "tls/handshake_internal.h"
#include "tls/identity_internal.h"
#include "tls/text.h"

/* What the record layer does and nothing else, best first. */
#define SUITES_1_3 "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"
#define SUITES_1_2                                                                                 \
	"ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:"                               \
	"ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:"                               \
	"ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"
/* In TLS 1.2 the curve of an ECDSA certificate must be among them too. */
#define GROUPS "X25519:P-256:P-384"

struct tls_handshake *
tls_hs_of(const SSL *ssl)
{
	return SSL_get_app_data(ssl);
}

static int
verify_callback(X509_STORE_CTX *ctx, void *unused)
{
	SSL *ssl = X509_STORE_CTX_get_ex_data(ctx, SSL_get_ex_data_X509_STORE_CTX_idx());
	struct tls_handshake *hs = tls_hs_of(ssl);
	enum tls_cause cause = tls_verify_chain(ctx, &hs->rules, &hs->peer);

	if (cause == TLS_CAUSE_OK)
		return 1;
	tls_hs_set_cause(hs, cause, NULL);
	return 0;
}

/* Notes the alert that ends a handshake: in TLS 1.2 that is a fatal one or close_notify, in
 * TLS 1.3 any, whatever level it has (RFC 8446 section 6). */
static void
info_callback(const SSL *ssl, int where, int value)
{
	struct tls_handshake *hs = tls_hs_of(ssl);
	uint8_t alert = value & 0xff;

	if ((where & SSL_CB_READ_ALERT) != SSL_CB_READ_ALERT)
		return;
	if (value >> 8 != SSL3_AL_FATAL && alert != SSL_AD_CLOSE_NOTIFY &&
	    SSL_version(ssl) != TLS_1_3_WIRE)
		return;
	hs->alert_seen = true;
	hs->peer.alert = alert;
}

/* SNI is learned here, before anything can fail; which identity serves it is not decided by
 * name, so the extension is not acknowledged. */
static int
server_name_callback(SSL *ssl, int *alert, void *unused)
{
	struct tls_handshake *hs = tls_hs_of(ssl);
	const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);

	if (name != NULL) {
		struct tls_text text = tls_text_begin(hs->peer.sni, sizeof(hs->peer.sni));

		tls_text_add_escaped(&text, name, strlen(name));
	}
	return SSL_TLSEXT_ERR_NOACK;
}

/* Whether a list in the wire form of RFC 7301 section 3.1 has a protocol. */
static bool
alpn_has(const uint8_t *list, unsigned int list_len, const uint8_t *protocol, uint8_t len)
{
	unsigned int i = 0;

	while (i < list_len && list_len - i - 1 >= list[i]) {
		if (list[i] == len && memcmp(list + i + 1, protocol, len) == 0)
			return true;
		i += 1u + list[i];
	}
	return false;
}

/* RFC 7301 section 3.2, but without a common protocol the handshake goes on. */
static int
alpn_callback(SSL *ssl, const uint8_t **out, uint8_t *out_len, const uint8_t *offered,
	      unsigned int offered_len, void *unused)
{
	struct tls_handshake *hs = tls_hs_of(ssl);
	unsigned int i = 0;

	while (i < hs->alpn_len && hs->alpn_len - i - 1 >= hs->alpn[i]) {
		*out = hs->alpn + i + 1;
		*out_len = hs->alpn[i];
		if (alpn_has(offered, offered_len, *out, *out_len))
			return SSL_TLSEXT_ERR_OK;
		i += 1u + hs->alpn[i];
	}
	return SSL_TLSEXT_ERR_NOACK;
}

static bool
offers_tls_1_3(SSL *ssl)
{
	const uint8_t *ext;
	size_t len;

	if (SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_supported_versions, &ext, &len) != 1 ||
	    len < 1)
		return false;
	for (size_t i = 1; i + 1 < len; i += 2)
		if ((ext[i] << 8 | ext[i + 1]) == TLS_1_3_WIRE)
			return true;
	return false;
}

/* RFC 7627 section 5.2: without an extended master secret TLS 1.2 is open to the triple
 * handshake. The version is not chosen yet, but 1.3 is what we choose where it is offered. */
static int
client_hello_callback(SSL *ssl, int *alert, void *unused)
{
	const uint8_t *ext;
	size_t len;

	if (offers_tls_1_3(ssl) || SSL_client_hello_get0_legacy_version(ssl) < TLS_1_2_WIRE ||
	    SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_extended_master_secret, &ext, &len) == 1)
		return SSL_CLIENT_HELLO_SUCCESS;
	tls_hs_set_cause(tls_hs_of(ssl), TLS_CAUSE_PROTOCOL,
			 "the client offers TLS 1.2 without extended master secret (RFC 7627)");
	*alert = ALERT_HANDSHAKE_FAILURE;
	return SSL_CLIENT_HELLO_ERROR;
}

static bool
set_own_certificate(SSL_CTX *ctx, const struct tls_credentials *c)
{
	return SSL_CTX_use_certificate(ctx, c->leaf) == 1 &&
	       SSL_CTX_use_PrivateKey(ctx, c->key) == 1 &&
	       SSL_CTX_check_private_key(ctx) == 1 && SSL_CTX_set1_chain(ctx, c->chain) == 1;
}

static bool
set_algorithms(SSL_CTX *ctx)
{
	/* Whatever the system's openssl.cnf says: RSA of 2,048 bits, no SHA-1. */
	SSL_CTX_set_security_level(ctx, 2);
	return SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) == 1 &&
	       SSL_CTX_set_max_proto_version(ctx, TLS1_3_VERSION) == 1 &&
	       SSL_CTX_set_ciphersuites(ctx, SUITES_1_3) == 1 &&
	       SSL_CTX_set_cipher_list(ctx, SUITES_1_2) == 1 &&
	       SSL_CTX_set1_groups_list(ctx, GROUPS) == 1;
}

static void
set_behaviour(SSL_CTX *ctx)
{
	/* A chain that OpenSSL builds and verifies by itself costs 40 % of a handshake. */
	SSL_CTX_set_mode(ctx, SSL_MODE_NO_AUTO_CHAIN | SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
					 SSL_OP_NO_TICKET | SSL_OP_CIPHER_SERVER_PREFERENCE |
					 SSL_OP_PRIORITIZE_CHACHA);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_max_early_data(ctx, 0);
	SSL_CTX_set_max_cert_list(ctx, TLS_HANDSHAKE_MAX_INPUT);
	/* With read-ahead OpenSSL would swallow what follows the handshake. */
	SSL_CTX_set_read_ahead(ctx, 0);
	SSL_CTX_set_cert_verify_callback(ctx, verify_callback, NULL);
	SSL_CTX_set_keylog_callback(ctx, tls_hs_keylog);
	SSL_CTX_set_info_callback(ctx, info_callback);
}

static bool
set_server(SSL_CTX *ctx)
{
	SSL_CTX_set_client_hello_cb(ctx, client_hello_callback, NULL);
	SSL_CTX_set_tlsext_servername_callback(ctx, server_name_callback);
	SSL_CTX_set_alpn_select_cb(ctx, alpn_callback, NULL);
	return SSL_CTX_set_num_tickets(ctx, 0) == 1;
}

SSL_CTX *
tls_context_create(const struct tls_credentials *c, bool server, char *why, size_t why_len)
{
	SSL_CTX *ctx = SSL_CTX_new(server ? TLS_server_method() : TLS_client_method());
	const char *reason;

	if (ctx != NULL) {
		set_behaviour(ctx);
		SSL_CTX_set1_cert_store(ctx, c->roots);
		if (set_algorithms(ctx) && (!server || set_server(ctx)) &&
		    (c->leaf == NULL || set_own_certificate(ctx, c)))
			return ctx;
	}
	reason = ERR_reason_error_string(ERR_peek_error());
	snprintf(why, why_len, "OpenSSL refuses it: %s", reason != NULL ? reason : "out of memory");
	SSL_CTX_free(ctx);
	ERR_clear_error();
	return NULL;
}
