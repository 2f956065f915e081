/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TLS_RECORD_H
#define TLS_RECORD_H

/*
 * The TLS record layer after the handshake, both directions, for TLS 1.3 (RFC 8446
 * section 5) and TLS 1.2 with AEAD suites (RFC 5246 section 6.2, RFC 5288, RFC 7905).
 *
 * Payload stays where it lies. Received buffers are cut into records and opened in place;
 * buffers to send are sealed in place, with the header in the headroom and the tag in the
 * tailroom where the buffer is ours alone, else in small buffers beside it. A buffer that
 * holds the end of one record and the beginning of the next is shared through an indirect
 * mbuf. Bytes that had to be copied are counted.
 *
 * A turn, for all connections of a worker:
 *
 *     tls_records_input()      ciphertext that TCP delivered
 *     tls_records_open()       whole records become operations of the batch
 *     crypto_submit/poll       (tls_batch_run() does both)
 *     tls_records_plaintext()  application data, in order
 *     tls_records_seal()       application data becomes operations of the batch
 *     crypto_submit/poll
 *     tls_records_output()     records to send, in order
 *
 * Nothing is forgotten: bytes that found no operation, no buffer or no room in flight stay
 * with the layer, and tls_batch_run() goes on with them, in the same call as long as it makes
 * progress, else in the next one. So the caller calls tls_records_open() once after
 * tls_records_input(), tls_records_seal() once for every chain that it has to send, and
 * tls_batch_run() every turn, whether or not there is anything new. Whoever got something
 * comes out of tls_batch_next(): plaintext, records to send (also answers that the layer made
 * by itself), an error, or the end.
 *
 * Bytes that are given to tls_records_seal() are enciphered where they lie, so they must be
 * the layer's alone. The head- and tailroom of a buffer is written to only when the buffer is
 * direct and not shared.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <rte_mbuf.h>
#include <rte_mempool.h>

#include "tls/chain.h"
#include "tls/crypto.h"

#define TLS_RECORD_MAX_PLAINTEXT 16384 /* RFC 8446 section 5.1 */
#define TLS_RECORD_MAX_CIPHERTEXT (16384 + 256)
#define TLS_RECORD_HEADER 5
/* Records under one AES-GCM key of TLS 1.3 before it is changed. RFC 8446 section 5.5 allows
 * 2^24.5 full ones. */
#define TLS_RECORD_REKEY_AFTER (1u << 23)
/* ... and before a peer that has not changed its own is asked to. */
#define TLS_RECORD_ASK_AFTER (TLS_RECORD_REKEY_AFTER + TLS_RECORD_REKEY_AFTER / 2)

struct tls_pools;

/*
 * The operations of this turn. One per worker. `max_ops` is how many there are; those under
 * way in one direction of one connection are limited besides (32; under TLS 1.3 received
 * records are opened one after the other, since any of them may change the key).
 */
struct tls_batch;
/* NULL: out of memory. */
struct tls_batch *tls_batch_create(struct crypto_device *device, unsigned int max_ops);
/* The connections have to be destroyed before. NULL is ignored. */
void tls_batch_destroy(struct tls_batch *batch);
/* The worker's clock in microseconds, for the size of records after a pause. Once a turn;
 * without it no flow ever counts as idle. */
void tls_batch_set_time(struct tls_batch *batch, uint64_t now_us);
/* Submits what is collected and polls; completed operations are handed to their
 * connections (the `ready` list, see tls_batch_next()), which may make new ones: those run
 * too, up to a few times `max_ops` in all. Returns operations completed. */
unsigned int tls_batch_run(struct tls_batch *batch);
/* Connections for which something completed since the last call, each once; NULL: no
 * more. What comes back is the `user` given to tls_records_set_user(). */
void *tls_batch_next(struct tls_batch *batch);

struct tls_records; /* opaque, from a pool of the worker's making */

/* NULL: out of memory, or the buffers of pools->data are too small (they want 512 bytes
 * behind the headroom). `pools` must outlive it. */
struct tls_records *tls_records_create(const struct tls_pools *pools, struct tls_batch *batch);
/* What tls_batch_next() returns for it; at first, and for NULL, `records` itself. */
void tls_records_set_user(struct tls_records *records, void *user);

/* Wipes the keys and frees. With operations in flight it is reaped when the last one
 * completes. NULL is ignored. */
void tls_records_destroy(struct tls_records *records);

/* Ciphertext, as TCP delivered it; owns the chain. */
void tls_records_input(struct tls_records *records, struct rte_mbuf *chain);

/*
 * Queues an operation for every whole record received, up to the limit in flight or the
 * room in the batch; what does not fit stays for the next turn. Returns how many, or a
 * negative enum tls_record_error, sticky, when the framing is broken.
 */
int tls_records_open(struct tls_records *records);

/* Opened application data, in order; NULL: none. The caller owns the chain. Control
 * records (alerts, KeyUpdate, tickets) are handled inside. */
struct rte_mbuf *tls_records_plaintext(struct tls_records *records);

/* Takes application data and queues its records; owns the chain. Answers that the layer
 * owes (KeyUpdate, alerts) leave before it. 0, or a negative enum tls_record_error. */
int tls_records_seal(struct tls_records *records, struct rte_mbuf *chain);

/* Queues close_notify: we send no more application data. Idempotent. */
int tls_records_close(struct tls_records *records);

/* Sealed records, in order; NULL: none ready. The caller owns the chain. */
struct rte_mbuf *tls_records_output(struct tls_records *records);

/* Bytes held, ciphertext and plaintext, not yet handed out. */
uint32_t tls_records_held_in(const struct tls_records *records);
uint32_t tls_records_held_out(const struct tls_records *records);
/* Whole records wait or are under way: plaintext may come without another byte of the peer. */
bool tls_records_opening(const struct tls_records *records);
/* Everything that was given, and every alert that is owed, has been handed out. */
bool tls_records_flushed(const struct tls_records *records);

enum tls_record_error {
	TLS_RECORD_OK = 0,
	TLS_RECORD_OVERFLOW = -1,     /* record_overflow(22): longer than allowed */
	TLS_RECORD_BAD_MAC = -2,      /* bad_record_mac(20) */
	TLS_RECORD_UNEXPECTED = -3,   /* unexpected_message(10): wrong type, CCS, zero type */
	TLS_RECORD_BAD_VERSION = -4,  /* protocol_version(70) */
	TLS_RECORD_DECODE = -5,       /* decode_error(50): broken alert or handshake message */
	TLS_RECORD_ALERT = -6,        /* the peer sent a fatal alert:
					 tls_records_alert_received() */
	TLS_RECORD_LIMIT = -7,        /* sequence number or key limit, KeyUpdate storm */
	TLS_RECORD_NO_MEMORY = -8,    /* internal_error(80): keys exhausted, device failed;
					 for buffers the layer waits */
	TLS_RECORD_CLOSED = -9,       /* seal after close */
};
const char *tls_record_strerror(int error);

/* 0, or the error that ended the connection; the matching alert is queued in the output. */
int tls_records_error(const struct tls_records *records);
/* close_notify was received and every byte before it handed out. */
bool tls_records_eof(const struct tls_records *records);
/* Last alert received or sent: 0 none, or close_notify. RFC 8446 section 6. */
uint8_t tls_records_alert_received(const struct tls_records *records);
uint8_t tls_records_alert_sent(const struct tls_records *records);
const char *tls_alert_name(uint8_t alert);
/* True from the first record that the peer sealed with application keys: on the client
 * side the server has then accepted our certificate (tls-handshake is provisional before). */
bool tls_records_confirmed(const struct tls_records *records);

/* Payload bytes that were copied, by this layer, per worker. */
struct tls_record_counters {
	uint64_t records_in, records_out;
	uint64_t bytes_in, bytes_out;             /* plaintext */
	uint64_t rx_copied_bytes, tx_copied_bytes;
	uint64_t bad_mac, alerts_in, alerts_out, key_updates_in, key_updates_out;
};
const struct tls_record_counters *tls_batch_counters(const struct tls_batch *batch);

/* --- for tls/handshake.c and tests ---------------------------------------------------- */

/* One direction as the handshake leaves it. Wiped by the callee after use. */
struct tls_traffic {
	uint8_t secret[48]; /* TLS 1.3: application traffic secret; unused in 1.2 */
	uint8_t secret_len; /* 32, or 48 for SHA-384 suites */
	uint8_t key[CRYPTO_KEY_MAX]; /* TLS 1.2: from the key block; TLS 1.3: derived */
	uint8_t iv[CRYPTO_NONCE_LEN]; /* TLS 1.2 GCM: the 4-byte salt */
	uint64_t seq;       /* of the next record */
	uint64_t explicit_nonce; /* TLS 1.2 GCM, sending: never repeats */
};
/* Which side we are: a server gets no tickets, a client no ClientHello. Where it is not
 * said, both are put up with. */
enum tls_side {
	TLS_SIDE_UNKNOWN,
	TLS_SIDE_CLIENT,
	TLS_SIDE_SERVER,
};
struct tls_keys {
	uint16_t version; /* 0x0303 or 0x0304 */
	enum tls_side side;
	enum crypto_aead aead;
	struct tls_traffic rx, tx;
};
/* Installs the keys. 0 or TLS_RECORD_NO_MEMORY. `keys` is wiped. Bytes that were given to
 * tls_records_input() or tls_records_seal() before are taken up by the next tls_batch_run(). */
int tls_records_install(struct tls_records *records, struct crypto_device *device,
			struct tls_keys *keys);

#endif
