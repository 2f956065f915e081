/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_TLS_WIRE_H
#define TESTS_TLS_WIRE_H

/*
 * What handshake tests have in common: pools of buffers, bytes from and to chains, a peer
 * that is plain OpenSSL, and the identities of a small mesh.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <openssl/ssl.h>

#include "pki.h"
#include "tls/handshake.h"

#define WIRE_WEB "spiffe://cluster.local/ns/shop/sa/web"
#define WIRE_API "spiffe://cluster.local/ns/shop/sa/api"

extern struct tls_pools wire_pools;

/* EAL and pools; once, from main(). */
void wire_init(const char *program);
/* True when every buffer is back in its pool. */
bool wire_balanced(void);

/* Bytes in buffers of `segment` bytes each (0: as large as they are). */
struct rte_mbuf *wire_chain(const void *bytes, size_t len, size_t segment);
/* Copies a chain out and frees it; returns its length. NULL is 0. */
size_t wire_bytes(struct rte_mbuf *chain, uint8_t *out, size_t max);

/* --- a mesh ---------------------------------------------------------------------------- */

struct wire_mesh {
	struct pki_dir dir;
	struct pki_cert ca;
	char *bundle;
	struct pki_cert web; /* P-256, WIRE_WEB */
	struct tls_identity *identity; /* of web */
};
void wire_mesh_create(struct wire_mesh *mesh);
void wire_mesh_destroy(struct wire_mesh *mesh);

/* An identity of a certificate under the mesh's CA. Fails the test when it does not load. */
struct tls_identity *wire_identity(struct wire_mesh *mesh, const struct pki_cert *leaf,
				   X509 *intermediate, bool require_spiffe);

/* --- the peer -------------------------------------------------------------------------- */

struct wire_peer_options {
	bool server;
	const struct pki_cert *leaf; /* NULL: none */
	X509 *intermediate;
	X509 *root;                  /* NULL: believes anybody */
	bool ask_certificate;        /* server */
	int max_version, min_version; /* 0: any */
	const char *suites;          /* TLS 1.3, OpenSSL's syntax; NULL: all */
	const char *ciphers;         /* TLS 1.2 */
	const char *groups;
	const uint8_t *alpn;         /* client: offered; server: selected, if offered */
	unsigned int alpn_len;
	const char *sni;
	unsigned int tickets;        /* server */
	bool no_extended_master_secret;
	bool no_middlebox_compat;
};
struct wire_peer {
	SSL_CTX *ctx;
	SSL *ssl;
	BIO *in, *out; /* owned by ssl */
	bool done;
	int error;     /* SSL_get_error() of the last call that failed */
	unsigned int alert_received; /* description, 0: none */
	struct wire_peer_options options;
};
void wire_peer_create(struct wire_peer *peer, const struct wire_peer_options *options);
void wire_peer_destroy(struct wire_peer *peer);

/* Lets the peer go as far as it can; returns what it has to send, `max` at most. */
size_t wire_peer_run(struct wire_peer *peer, uint8_t *out, size_t max);
void wire_peer_give(struct wire_peer *peer, const uint8_t *bytes, size_t len);

/* Carries flights to and fro until both are done or one has failed; what goes to the
 * handshake comes in buffers of `segment` bytes. Returns the handshake's last step. */
enum tls_step wire_shake(struct tls_handshake *hs, struct wire_peer *peer, size_t segment);

#endif
