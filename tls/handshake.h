/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TLS_HANDSHAKE_H
#define TLS_HANDSHAKE_H

/*
 * A TLS handshake as a job: bytes in, bytes out, and at its end the identity that was
 * proven and the keys. OpenSSL 3 does it, over memory. When it is complete the traffic
 * secrets are taken over by tls/record.h and the SSL object is freed.
 *
 * A handshake knows nothing of TCP: it is given chains of received buffers and hands out
 * chains to send. It is fed record by record, so bytes that follow the last handshake
 * record (early application data of the peer) stay in their buffers, uncopied.
 */

#include <stdbool.h>
#include <stdint.h>

#include <rte_mbuf.h>
#include <rte_mempool.h>

#include "tls/crypto.h"
#include "tls/identity.h"
#include "tls/record.h"

struct tls_handshake;

/* Why a handshake failed. The names are those of the log. */
#define TLS_CAUSES(X)                                                                              \
	X(OK, "ok", "no error")                                                                    \
	X(NO_CLIENT_CERTIFICATE, "no_client_certificate", "the client sent no certificate")        \
	X(UNKNOWN_CA, "unknown_ca", "the certificate does not chain to the trust bundle")          \
	X(CERTIFICATE_EXPIRED, "certificate_expired", "the certificate has expired")               \
	X(CERTIFICATE_NOT_YET_VALID, "certificate_not_yet_valid",                                  \
	  "the certificate is not valid yet")                                                      \
	X(CERTIFICATE_INVALID, "certificate_invalid",                                              \
	  "the certificate breaks a rule (signature, CA flag, key usage)")                         \
	X(NO_SPIFFE_ID, "no_spiffe_id", "the certificate has no SPIFFE URI SAN")                   \
	X(MULTIPLE_URI_SANS, "multiple_uri_sans", "the certificate has more than one URI SAN")     \
	X(TRUST_DOMAIN_MISMATCH, "trust_domain_mismatch",                                          \
	  "the certificate is for a trust domain that is not accepted")                            \
	X(SAN_MISMATCH, "san_mismatch", "no SAN of the certificate is one of those wanted")        \
	X(ALERT_RECEIVED, "tls_alert_received", "the peer ended the handshake with an alert")      \
	X(PROTOCOL, "tls_protocol_error", "the peer's bytes are not a TLS handshake we can follow")\
	X(VERSION, "tls_version", "no common TLS version")                                         \
	X(NO_SHARED_CIPHER, "tls_no_shared_cipher", "no common cipher suite, group or signature")  \
	X(TRUNCATED, "tls_truncated", "the peer closed in the middle of the handshake")            \
	X(TOO_LARGE, "tls_handshake_too_large", "more handshake bytes than the limit")             \
	X(INTERNAL, "tls_internal", "internal error")

enum tls_cause {
#define X(id, name, text) TLS_CAUSE_##id,
	TLS_CAUSES(X)
#undef X
	TLS_CAUSE_MAX,
};
const char *tls_cause_name(enum tls_cause cause);
const char *tls_cause_text(enum tls_cause cause);

/* Handshake bytes that one side may send us before it is done (certificate chains and
 * all). More end it with TLS_CAUSE_TOO_LARGE. */
#define TLS_HANDSHAKE_MAX_INPUT (64 * 1024)

/* Lengths that the strings below are cut to, NUL included. */
#define TLS_PEER_ID_LEN 256
#define TLS_DETAIL_LEN 512

struct tls_pools {
	struct rte_mempool *data;     /* direct buffers with data room */
	struct rte_mempool *indirect; /* buffers without data room */
};

struct tls_server_params {
	struct tls_identity *identity; /* a reference is taken */
	bool require_client_certificate;
	/* Trust domains of the client's SPIFFE ID; any of them will do. 0: every trust
	 * domain. Borrowed until the handshake is freed. */
	const char *const *trust_domains;
	unsigned int n_trust_domains;
	/* Protocols that we select, best first, in the wire form of RFC 7301 section 3.1.
	 * A client that offers none of them goes on without ALPN (as Envoy does). */
	const uint8_t *alpn;
	unsigned int alpn_len;
	uint16_t min_version; /* 0x0303 TLS 1.2, 0x0304 TLS 1.3; 0: TLS 1.2 */
};

enum tls_san_check {
	TLS_SAN_NONE,   /* only the CA is checked */
	TLS_SAN_EXACT,  /* a SAN (URI, DNS or IP) equals one of `sans`, byte by byte;
			   for DNS names without regard to case, and a wildcard in the first
			   label of the certificate's name counts, as in Envoy's exact match */
	TLS_SAN_HOST,   /* RFC 6125 host name check against sans[0] */
};

struct tls_client_params {
	struct tls_identity *identity; /* a reference is taken */
	const char *sni;       /* NULL or "": none */
	const uint8_t *alpn;   /* what is offered, wire form; may be NULL */
	unsigned int alpn_len;
	enum tls_san_check check;
	bool require_spiffe;   /* the server's leaf must be an X.509-SVID (ISTIO_MUTUAL) */
	const char *const *sans; /* borrowed until the handshake is freed */
	unsigned int n_sans;
	uint16_t min_version;
};

enum tls_step {
	TLS_STEP_MORE = 0,  /* needs bytes of the peer */
	TLS_STEP_DONE = 1,
	TLS_STEP_FAILED = -1, /* tls_handshake_cause(); an alert may wait in the output */
};

/* What a complete or failed handshake has learned. Strings are "" where unknown. */
struct tls_peer {
	char id[TLS_PEER_ID_LEN];  /* the SPIFFE ID, else the first DNS SAN or subject */
	char sans[TLS_DETAIL_LEN]; /* every SAN that the certificate has, comma separated */
	char sni[256];             /* server side: what the client asked for */
	char alpn[32];             /* what was selected */
	uint16_t version;          /* 0x0303, 0x0304; 0 unknown */
	char cipher[48];           /* "TLS_AES_128_GCM_SHA256" */
	bool verified;
	uint8_t alert;             /* of ALERT_RECEIVED: RFC 8446 section 6 */
	char detail[TLS_DETAIL_LEN]; /* one sentence on a failure: wanted and got */
};

/* NULL: out of memory. */
struct tls_handshake *tls_handshake_server(const struct tls_server_params *params,
					   const struct tls_pools *pools);
struct tls_handshake *tls_handshake_client(const struct tls_client_params *params,
					   const struct tls_pools *pools);

/* Hands received bytes over; owns the chain. Cheap: no cryptography happens here. */
void tls_handshake_input(struct tls_handshake *hs, struct rte_mbuf *chain);

/* The peer has closed its side: nothing follows what was handed over. A step that needs
 * more then fails with TLS_CAUSE_TRUNCATED. */
void tls_handshake_eof(struct tls_handshake *hs);

/* True when a whole record waits, or the client's first flight: tls_handshake_step() has
 * something to do. */
bool tls_handshake_ready(const struct tls_handshake *hs);

/* Runs the handshake as far as the received records go: up to a few hundred microseconds
 * of public-key work. */
enum tls_step tls_handshake_step(struct tls_handshake *hs);

/* What is to be sent (also after a failure: the alert); the chain is the caller's. */
struct rte_mbuf *tls_handshake_output(struct tls_handshake *hs);

enum tls_cause tls_handshake_cause(const struct tls_handshake *hs);
const struct tls_peer *tls_handshake_peer(const struct tls_handshake *hs);

/*
 * After TLS_STEP_DONE: sets up `records` with the traffic keys of both directions and the
 * sequence numbers as they stand, moves bytes that were received after the handshake into
 * it, and wipes the secrets here. 0, or -1 when key memory is exhausted or the suite is
 * not one that the record layer does (cannot happen with what we offer).
 */
int tls_handshake_takeover(struct tls_handshake *hs, struct crypto_device *device,
			   struct tls_records *records);

/* Frees everything, secrets wiped. NULL is ignored. */
void tls_handshake_free(struct tls_handshake *hs);

/* Once per process, before any other call here: checks OpenSSL's version and initialises it.
 * 0, or -1 with a sentence in `error`. */
int tls_init(char *error, size_t error_len);

#endif
