/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TLS_IDENTITY_INTERNAL_H
#define TLS_IDENTITY_INTERNAL_H

/* What an identity holds. For tls/identity*.c and tls/handshake*.c only. */

#include <stdatomic.h>

#include <openssl/ssl.h>
#include <openssl/x509.h>

#include "tls/handshake.h"
#include "tls/identity.h"

#define TLS_FINGERPRINT_LEN 65 /* SHA-256 in hexadecimal and a NUL */
#define TLS_SERIAL_LEN 65      /* RFC 5280 section 4.1.2.2: at most 20 octets */

/* Certificates and key as read, before the contexts hold them. */
struct tls_credentials {
	X509 *leaf;           /* NULL: none */
	STACK_OF(X509) *chain; /* what follows the leaf, roots left out */
	EVP_PKEY *key;
	X509_STORE *roots;    /* NULL: nobody is believed */
};

struct tls_identity {
	_Atomic unsigned int references;
	/* Built once and not changed afterwards, which is what makes it safe for all
	 * workers to create SSL objects from them at once. */
	SSL_CTX *client;
	SSL_CTX *server; /* NULL without a certificate */
	bool skip_verify;
	bool has_bundle; /* a trust bundle was given, not the system's */
	char spiffe_id[TLS_PEER_ID_LEN];
	char fingerprint[TLS_FINGERPRINT_LEN];
	char serial[TLS_SERIAL_LEN];
	int64_t not_before;
	int64_t not_after;
};

/* Builds the context of one side. NULL with a sentence in `why`. */
SSL_CTX *tls_context_create(const struct tls_credentials *credentials, bool server, char *why,
			    size_t why_len);

#endif
