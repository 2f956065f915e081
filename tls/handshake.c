/* SPDX-License-Identifier: Apache-2.0 */
#include "tls/handshake.h"

#include <stdlib.h>
#include <string.h>

#include <openssl/err.h>

#include "tls/handshake_internal.h"
#include "tls/identity_internal.h"

/* --- the end --------------------------------------------------------------------------- */

static void
drop_ssl(struct tls_handshake *hs)
{
	SSL_free(hs->ssl);
	hs->ssl = NULL;
	ERR_clear_error();
}

static enum tls_step
fail(struct tls_handshake *hs, enum tls_cause cause, const char *detail)
{
	tls_hs_set_cause(hs, cause, detail);
	hs->state = TLS_STEP_FAILED;
	hs->peer.verified = false;
	tls_hs_keys_put(hs->keys);
	hs->keys = NULL;
	drop_ssl(hs);
	return TLS_STEP_FAILED;
}

/* An alert from us instead of OpenSSL. Under keys only OpenSSL could seal it: then the peer
 * sees the connection end without one. */
static void
send_alert(struct tls_handshake *hs, uint8_t alert)
{
	const uint8_t record[] = {RECORD_ALERT, 3, 3, 0, 2, 2 /* fatal */, alert};

	if (!hs->watch.protected && alert != ALERT_NONE)
		tls_hs_write(hs, record, sizeof(record));
}

static void
learn_session(struct tls_handshake *hs)
{
	const SSL_CIPHER *cipher = SSL_get_current_cipher(hs->ssl);
	const uint8_t *alpn;
	unsigned int len;

	hs->peer.version = (uint16_t)SSL_version(hs->ssl);
	if (cipher != NULL)
		snprintf(hs->peer.cipher, sizeof(hs->peer.cipher), "%s",
			 SSL_CIPHER_standard_name(cipher));
	SSL_get0_alpn_selected(hs->ssl, &alpn, &len);
	if (len > 0 && len < sizeof(hs->peer.alpn)) {
		memcpy(hs->peer.alpn, alpn, len);
		hs->peer.alpn[len] = '\0';
	}
}

static enum tls_step
complete(struct tls_handshake *hs)
{
	learn_session(hs);
	/* What shares a record with Finished was not encrypted for the application. */
	if (hs->in_limit > 0 || SSL_has_pending(hs->ssl))
		return fail(hs, TLS_CAUSE_PROTOCOL, "bytes after Finished in its record");
	/* RFC 7627 section 5.3; a server of ours has refused it already. */
	if (hs->peer.version == TLS_1_2_WIRE && SSL_get_extms_support(hs->ssl) != 1)
		return fail(hs, TLS_CAUSE_PROTOCOL,
			    "the peer does TLS 1.2 without extended master secret (RFC 7627)");
	if (!tls_hs_keys_complete(hs))
		return fail(hs, TLS_CAUSE_INTERNAL, "the traffic keys cannot be taken over");
	hs->state = TLS_STEP_DONE;
	drop_ssl(hs);
	return TLS_STEP_DONE;
}

/* --- stepping -------------------------------------------------------------------------- */

static enum tls_step
advance(struct tls_handshake *hs)
{
	int ret, error;

	ERR_clear_error();
	ret = SSL_do_handshake(hs->ssl);
	if (ret == 1)
		return complete(hs);
	error = SSL_get_error(hs->ssl, ret);
	if (error == SSL_ERROR_WANT_READ && !hs->out_of_buffers)
		return TLS_STEP_MORE;
	learn_session(hs);
	tls_hs_explain(hs);
	return fail(hs, TLS_CAUSE_PROTOCOL, NULL);
}

/* A header that cannot be right. Under keys it is OpenSSL that must say so. */
static enum tls_step
refuse_header(struct tls_handshake *hs, uint32_t have, uint8_t alert)
{
	if (hs->watch.protected) {
		hs->in_limit = have;
		ERR_clear_error();
		SSL_do_handshake(hs->ssl);
		ERR_clear_error();
	} else {
		send_alert(hs, alert);
	}
	return fail(hs, TLS_CAUSE_PROTOCOL, NULL);
}

static enum tls_step
need_more(struct tls_handshake *hs)
{
	if (!hs->eof)
		return TLS_STEP_MORE;
	return fail(hs, TLS_CAUSE_TRUNCATED, NULL);
}

static void
count_record(struct tls_handshake *hs, uint8_t type, uint32_t len)
{
	hs->in_fed += len;
	if (type == RECORD_CCS) {
		hs->in_ccs = true;
		hs->in_after_ccs = 0;
	} else if (hs->in_ccs) {
		hs->in_after_ccs++;
	}
}

/* Gives OpenSSL the next record, if it is here as a whole. */
static enum tls_step
step_record(struct tls_handshake *hs, bool *fed)
{
	uint8_t header[TLS_RECORD_HEADER];
	uint32_t have = tls_hs_peek(&hs->in, header, sizeof(header));
	uint32_t len;
	uint8_t alert;

	*fed = false;
	if (!tls_hs_check_header(hs, header, have, &alert))
		return refuse_header(hs, have, alert);
	if (have < sizeof(header))
		return need_more(hs);
	len = TLS_RECORD_HEADER + ((uint32_t)header[3] << 8 | header[4]);
	if (hs->in_fed + len > TLS_HANDSHAKE_MAX_INPUT) {
		send_alert(hs, ALERT_HANDSHAKE_FAILURE);
		return fail(hs, TLS_CAUSE_TOO_LARGE, NULL);
	}
	if (hs->in.bytes < len)
		return need_more(hs);
	*fed = true;
	count_record(hs, header[0], len);
	hs->in_limit = len;
	return advance(hs);
}

enum tls_step
tls_handshake_step(struct tls_handshake *hs)
{
	enum tls_step step = hs->state;
	bool fed = true;

	if (step != TLS_STEP_MORE)
		return step;
	if (!hs->started) {
		hs->started = true;
		if (!hs->server)
			step = advance(hs);
	}
	while (step == TLS_STEP_MORE && fed)
		step = step_record(hs, &fed);
	return step;
}

bool
tls_handshake_ready(const struct tls_handshake *hs)
{
	uint8_t header[TLS_RECORD_HEADER];
	uint32_t have, len;

	if (hs->state != TLS_STEP_MORE)
		return false;
	if (hs->eof || (!hs->server && !hs->started))
		return true;
	have = tls_hs_peek(&hs->in, header, sizeof(header));
	/* What cannot be a record need not be waited for: a step says what is wrong. */
	if (have >= 1 && (header[0] < RECORD_CCS || header[0] > RECORD_APPLICATION))
		return true;
	if (have >= 2 && header[1] != 3)
		return true;
	if (have < sizeof(header))
		return false;
	len = TLS_RECORD_HEADER + ((uint32_t)header[3] << 8 | header[4]);
	return hs->in.bytes >= len || len > TLS_RECORD_HEADER + TLS_RECORD_MAX_CIPHERTEXT ||
	       hs->in_fed + len > TLS_HANDSHAKE_MAX_INPUT;
}

void
tls_handshake_input(struct tls_handshake *hs, struct rte_mbuf *chain)
{
	if (chain != NULL)
		tls_chain_append(&hs->in, chain);
}

void
tls_handshake_eof(struct tls_handshake *hs)
{
	hs->eof = true;
}

struct rte_mbuf *
tls_handshake_output(struct tls_handshake *hs)
{
	return tls_chain_take_all(&hs->out);
}

enum tls_cause
tls_handshake_cause(const struct tls_handshake *hs)
{
	return hs->cause;
}

const struct tls_peer *
tls_handshake_peer(const struct tls_handshake *hs)
{
	return &hs->peer;
}

int
tls_handshake_takeover(struct tls_handshake *hs, struct crypto_device *device,
		       struct tls_records *records)
{
	struct rte_mbuf *rest;
	int rc;

	if (hs->state != TLS_STEP_DONE || hs->keys == NULL)
		return -1;
	rc = tls_records_install(records, device, hs->keys);
	tls_hs_keys_put(hs->keys);
	hs->keys = NULL;
	if (rc != TLS_RECORD_OK)
		return -1;
	rest = tls_chain_take_all(&hs->in);
	if (rest != NULL)
		tls_records_input(records, rest);
	return 0;
}

/* --- creation -------------------------------------------------------------------------- */

static struct tls_handshake *
create(SSL_CTX *ctx, struct tls_identity *identity, const struct tls_pools *pools,
       const uint8_t *alpn, unsigned int alpn_len)
{
	struct tls_handshake *hs = calloc(1, sizeof(*hs) + alpn_len);
	BIO *bio;

	if (hs == NULL)
		return NULL;
	hs->identity = tls_identity_ref(identity);
	hs->pools = *pools;
	hs->rules.skip = identity->skip_verify;
	hs->alpn_len = alpn_len;
	if (alpn_len > 0)
		memcpy(hs->alpn, alpn, alpn_len);
	hs->keys = tls_hs_keys_get();
	hs->ssl = ctx != NULL ? SSL_new(ctx) : NULL;
	bio = tls_hs_bio(hs);
	if (hs->keys == NULL || hs->ssl == NULL || bio == NULL) {
		BIO_free(bio);
		tls_handshake_free(hs);
		return NULL;
	}
	SSL_set_app_data(hs->ssl, hs);
	SSL_set_bio(hs->ssl, bio, bio);
	return hs;
}

static bool
set_min_version(struct tls_handshake *hs, uint16_t version)
{
	return version == 0 || SSL_set_min_proto_version(hs->ssl, version) == 1;
}

struct tls_handshake *
tls_handshake_server(const struct tls_server_params *params, const struct tls_pools *pools)
{
	struct tls_handshake *hs = create(params->identity->server, params->identity, pools,
					  params->alpn, params->alpn_len);
	int mode = SSL_VERIFY_NONE;

	if (hs == NULL)
		return NULL;
	hs->server = true;
	hs->rules.require_spiffe = true;
	hs->rules.trust_domains = params->trust_domains;
	hs->rules.n_trust_domains = params->n_trust_domains;
	if (params->require_client_certificate)
		mode = SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT;
	else if (params->identity->has_bundle)
		mode = SSL_VERIFY_PEER; /* asked for, and verified where it comes */
	SSL_set_verify(hs->ssl, mode, NULL);
	SSL_set_accept_state(hs->ssl);
	if (!set_min_version(hs, params->min_version)) {
		tls_handshake_free(hs);
		return NULL;
	}
	return hs;
}

struct tls_handshake *
tls_handshake_client(const struct tls_client_params *params, const struct tls_pools *pools)
{
	struct tls_handshake *hs = create(params->identity->client, params->identity, pools, NULL, 0);
	bool ok;

	if (hs == NULL)
		return NULL;
	hs->rules.require_spiffe = params->require_spiffe;
	hs->rules.check = params->check;
	hs->rules.sans = params->sans;
	hs->rules.n_sans = params->n_sans;
	SSL_set_verify(hs->ssl, SSL_VERIFY_PEER, NULL);
	SSL_set_connect_state(hs->ssl);
	ok = set_min_version(hs, params->min_version);
	if (ok && params->sni != NULL && params->sni[0] != '\0')
		ok = SSL_set_tlsext_host_name(hs->ssl, params->sni) == 1;
	/* It returns 0 for success. */
	if (ok && params->alpn != NULL && params->alpn_len > 0)
		ok = SSL_set_alpn_protos(hs->ssl, params->alpn, params->alpn_len) == 0;
	if (!ok) {
		tls_handshake_free(hs);
		return NULL;
	}
	return hs;
}

void
tls_handshake_free(struct tls_handshake *hs)
{
	if (hs == NULL)
		return;
	drop_ssl(hs);
	tls_hs_keys_put(hs->keys);
	tls_chain_free(&hs->in);
	tls_chain_free(&hs->out);
	tls_identity_free(hs->identity);
	free(hs);
}

int
tls_init(char *error, size_t error_len)
{
	/* Shared objects of one major version are compatible: the one that was built
	 * against must not be newer than what is loaded. */
	if (OPENSSL_version_major() != OPENSSL_VERSION_MAJOR ||
	    OpenSSL_version_num() < 0x30000000UL) {
		snprintf(error, error_len, "OpenSSL %u is needed, %s was found",
			 OPENSSL_VERSION_MAJOR, OpenSSL_version(OPENSSL_VERSION));
		return -1;
	}
	if (OPENSSL_init_ssl(OPENSSL_INIT_LOAD_SSL_STRINGS, NULL) != 1) {
		snprintf(error, error_len, "OpenSSL cannot be initialised");
		return -1;
	}
	return 0;
}
