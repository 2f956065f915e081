/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TLS_HANDSHAKE_INTERNAL_H
#define TLS_HANDSHAKE_INTERNAL_H

/*
 * What the files of a handshake share:
 *
 *   handshake.c          the job: feeding records, stepping, the public calls
 *   handshake_context.c  SSL_CTXs and the callbacks that OpenSSL makes
 *   handshake_bio.c      OpenSSL's bytes from and to mbufs
 *   handshake_keys.c     traffic secrets, and the state that the record layer takes over
 *   handshake_memory.c   locked memory for them
 *   handshake_error.c    causes and their sentences
 */

#include <stdbool.h>
#include <stdint.h>

#include <openssl/bio.h>
#include <openssl/ssl.h>

#include "tls/chain.h"
#include "tls/handshake.h"
#include "tls/handshake_memory.h"
#include "tls/verify.h"

#define TLS_1_2_WIRE 0x0303
#define TLS_1_3_WIRE 0x0304

/* RFC 8446 section 5.1 */
enum {
	RECORD_CCS = 20,
	RECORD_ALERT = 21,
	RECORD_HANDSHAKE = 22,
	RECORD_APPLICATION = 23,
};

/* RFC 8446 section 6 */
enum {
	ALERT_UNEXPECTED_MESSAGE = 10,
	ALERT_RECORD_OVERFLOW = 22,
	ALERT_HANDSHAKE_FAILURE = 40,
	ALERT_DECODE_ERROR = 50,
	ALERT_PROTOCOL_VERSION = 70,
	ALERT_NONE = 255,
};

/* The records that OpenSSL has written, watched as they go by. */
struct out_watch {
	uint8_t head[TLS_RECORD_HEADER + 8]; /* header and explicit nonce */
	uint8_t have;                        /* of head */
	uint32_t left;                       /* of the body */
	uint64_t records;                    /* begun */
	uint64_t at_secret;   /* `records` when our traffic secret came into force */
	uint64_t after_ccs;   /* TLS 1.2: records under the new keys */
	uint64_t explicit_nonce; /* of the last of them */
	bool protected;       /* what is written now is encrypted */
};

struct tls_handshake {
	SSL *ssl; /* NULL once done or failed */
	struct tls_identity *identity;
	struct tls_pools pools;
	struct tls_verify_rules rules;
	struct tls_keys *keys; /* locked memory; traffic secrets as they become known */

	bool server;
	bool started;
	bool eof;
	bool alert_seen;
	int8_t state; /* enum tls_step */
	uint8_t cause; /* enum tls_cause, the first one that was found */

	struct tls_chain in;
	uint32_t in_limit;   /* bytes of `in` that OpenSSL may read now: one record */
	uint32_t in_fed;     /* handshake bytes so far */
	uint64_t in_after_ccs; /* TLS 1.2: records under the peer's new keys */
	bool in_ccs;

	struct tls_chain out;
	struct out_watch watch;
	bool out_of_buffers;

	struct tls_peer peer;

	unsigned int alpn_len;
	uint8_t alpn[]; /* server: what is selected, best first */
};

/* --- handshake_bio.c ------------------------------------------------------------------- */

/* A BIO whose other end is hs->in and hs->out. NULL: out of memory. */
BIO *tls_hs_bio(struct tls_handshake *hs);

/* Copies up to `len` bytes from the front of a chain without taking them. */
uint32_t tls_hs_peek(const struct tls_chain *chain, uint8_t *to, uint32_t len);

/* Appends bytes to hs->out. False: no buffers. */
bool tls_hs_write(struct tls_handshake *hs, const uint8_t *bytes, size_t len);

/* --- handshake_keys.c ------------------------------------------------------------------ */

void tls_hs_keylog(const SSL *ssl, const char *line);

/* After the handshake is complete, before the SSL object is freed: completes hs->keys. False:
 * the suite is none that the record layer does. */
bool tls_hs_keys_complete(struct tls_handshake *hs);

/* --- handshake_context.c --------------------------------------------------------------- */

/* The handshake of an SSL object. */
struct tls_handshake *tls_hs_of(const SSL *ssl);

/* --- handshake_error.c ----------------------------------------------------------------- */

/* Records why the handshake failed, unless a cause is known already. `detail` may be NULL. */
void tls_hs_set_cause(struct tls_handshake *hs, enum tls_cause cause, const char *detail);

/* The cause of an SSL call that failed, from OpenSSL's error queue, which is emptied. */
void tls_hs_explain(struct tls_handshake *hs);

/* Looks at what should be a record header; `have` is up to TLS_RECORD_HEADER. False when it
 * cannot be one: the cause is set and *alert is what to answer. */
bool tls_hs_check_header(struct tls_handshake *hs, const uint8_t *header, uint32_t have,
			 uint8_t *alert);

#endif
