/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TLS_IDENTITY_H
#define TLS_IDENTITY_H

/*
 * Who we are and whom we believe: a certificate chain with its key, and a trust bundle.
 *
 * An identity is immutable once loaded and may be used by every worker at once. It is
 * reference counted: the control thread loads it, a policy snapshot holds it, handshakes
 * in progress hold it; rotation is a new identity in a new snapshot.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct tls_identity;

struct tls_identity_files {
	const char *certificate_chain; /* PEM, leaf first; NULL: none (SIMPLE) */
	const char *private_key;       /* PEM; NULL exactly when there is no chain */
	const char *trust_bundle;      /* PEM of the roots; NULL: the system's bundle
					  (ca-certificates, or $SSL_CERT_FILE) */
	bool require_spiffe;           /* the leaf must be an X.509-SVID (X509-SVID.md
					  sections 2 and 5.2): for mesh identities */
	bool skip_verify;              /* insecureSkipVerify: believe anybody */
};

/* What is wrong, for people: names the file and the cause ("certificate expired on ...",
 * "private key does not match the certificate", "two URI SANs"). */
struct tls_identity_error {
	const char *file; /* one of the three above, the system's bundle, or NULL */
	char text[256];
};

/*
 * Reads, parses and checks the files: chain and key match, the leaf is valid now, the
 * chain leads to the bundle where there is one and the identity is SPIFFE, the key is of
 * a kind we serve (ECDSA P-256/P-384, RSA of 2,048 bits and up, Ed25519). NULL with
 * *error filled. Blocks on the disk: for the control thread only.
 */
struct tls_identity *tls_identity_load(const struct tls_identity_files *files,
				       struct tls_identity_error *error);
struct tls_identity *tls_identity_ref(struct tls_identity *identity); /* atomic */
void tls_identity_free(struct tls_identity *identity);                /* drops a reference */

/* "spiffe://cluster.local/ns/shop/sa/web", or "" where the leaf has none. */
const char *tls_identity_spiffe_id(const struct tls_identity *identity);
/* SHA-256 over the loaded files, hexadecimal, 64 characters and a NUL. Two loads of the
 * same bytes have the same; it says whether a rotation changed anything. */
const char *tls_identity_fingerprint(const struct tls_identity *identity);
/* Seconds since the epoch; 0 without a chain. */
int64_t tls_identity_not_before(const struct tls_identity *identity);
int64_t tls_identity_not_after(const struct tls_identity *identity);
/* Serial number of the leaf, hexadecimal. */
const char *tls_identity_serial(const struct tls_identity *identity);

#endif
