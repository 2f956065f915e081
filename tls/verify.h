/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TLS_VERIFY_H
#define TLS_VERIFY_H

/*
 * Whether a peer's certificate is believed: the chain to the trust bundle (OpenSSL), then
 * the rules for the leaf: SPIFFE's (X509-SVID.md sections 2 and 5.2, SPIFFE-ID.md section
 * 2), the trust domains, and secure naming. Internal to tls/.
 */

#include <stdbool.h>
#include <stddef.h>

#include <openssl/x509.h>
#include <openssl/x509_vfy.h>

#include "tls/handshake.h"

struct tls_verify_rules {
	bool skip;           /* believe anybody: nothing below is looked at */
	bool require_spiffe; /* the leaf must be an X.509-SVID */
	const char *const *trust_domains; /* of the SPIFFE ID; 0: every one */
	unsigned int n_trust_domains;
	enum tls_san_check check;
	const char *const *sans;
	unsigned int n_sans;
};

/* NULL when the `len` bytes are a SPIFFE ID with a path (SPIFFE-ID.md section 2), else what
 * is wrong with them: a static clause such as "its trust domain is empty". */
const char *tls_spiffe_fault(const char *id, size_t len);

/* Whether a valid SPIFFE ID is of the trust domain. */
bool tls_spiffe_in_domain(const char *id, const char *domain);

/* The rules for the leaf of an X.509-SVID. On success its SPIFFE ID is in `id`. On failure
 * `id` is "" and `detail` has a sentence. */
enum tls_cause tls_verify_svid(X509 *leaf, char id[TLS_PEER_ID_LEN], char *detail,
			       size_t detail_len);

/* Fills what is known of a peer without believing it: peer->sans and peer->id. */
void tls_verify_describe(X509 *leaf, struct tls_peer *peer);

/* Applies every rule for the leaf; the chain is the caller's. Fills peer->detail. */
enum tls_cause tls_verify_leaf(X509 *leaf, const struct tls_verify_rules *rules,
			       struct tls_peer *peer);

/*
 * Verifies the certificates in `ctx` (chain, then leaf) and describes the leaf in `peer`:
 * the whole job of an SSL_CTX's certificate verification callback. On failure the error of
 * `ctx` is set so that OpenSSL sends the alert that fits.
 */
enum tls_cause tls_verify_chain(X509_STORE_CTX *ctx, const struct tls_verify_rules *rules,
				struct tls_peer *peer);

/* What an X509_V_ERR_ code is to us. */
enum tls_cause tls_verify_cause_of(int x509_error);

/* "2026-08-01 12:00:00 UTC" into `out`, "an unreadable time" where it is that. */
void tls_verify_time_text(const ASN1_TIME *time, char *out, size_t len);

#endif
