/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TLS_RECORD_INTERNAL_H
#define TLS_RECORD_INTERNAL_H

/*
 * The parts of the record layer among themselves:
 *
 *     record.c          life of a connection's record layer, the calls of tls/record.h
 *     record_batch.c    operations: pool, submission, completion in order, who goes on
 *     record_rx.c       cuts received bytes into records, opens and trims them
 *     record_control.c  alerts and handshake messages that arrive after the handshake
 *     record_tx.c       cuts application data into records; alerts and KeyUpdates to send
 *     record_keys.c     keys, nonces, HKDF, re-keying
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "tls/chain.h"
#include "tls/crypto.h"
#include "tls/crypto_internal.h"
#include "tls/handshake.h" /* struct tls_pools */
#include "tls/record.h"

/* RFC 8446 section 5.1 and appendix B.1. */
enum record_type {
	RECORD_CCS = 20,
	RECORD_ALERT = 21,
	RECORD_HANDSHAKE = 22,
	RECORD_DATA = 23,
};

/* RFC 8446 section 6, those that are sent or looked at here. */
enum alert {
	ALERT_CLOSE_NOTIFY = 0,
	ALERT_UNEXPECTED_MESSAGE = 10,
	ALERT_BAD_RECORD_MAC = 20,
	ALERT_RECORD_OVERFLOW = 22,
	ALERT_DECODE_ERROR = 50,
	ALERT_PROTOCOL_VERSION = 70,
	ALERT_INTERNAL_ERROR = 80,
	ALERT_USER_CANCELED = 90,
	ALERT_NO_RENEGOTIATION = 100,
	ALERT_NONE = 255, /* not on the wire */
};

#define TLS_1_2 0x0303
#define TLS_1_3 0x0304

/* TLS 1.2 with GCM puts 8 bytes of the nonce before the text, RFC 5288 section 3. */
#define EXPLICIT_NONCE_LEN 8
#define RECORD_PREFIX_MAX (TLS_RECORD_HEADER + EXPLICIT_NONCE_LEN)
#define RECORD_SUFFIX_MAX (1 + CRYPTO_TAG_LEN) /* inner type, tag */

/* Records of one direction that may be in flight. Only one of those that are opened under
 * TLS 1.3: whether the next one takes the next key is known when this one has been read. */
#define IN_FLIGHT_MAX 32
#define IN_FLIGHT_TLS_1_3_RX 1

/* Records in a row that carry no application data (empty ones, alerts, tickets, KeyUpdates)
 * before the peer is told off. */
#define IDLE_RECORDS_MAX 32

/* One record under way. */
struct record_op {
	struct crypto_op op;
	struct record_op *next;      /* in the queue of its direction, or free */
	struct tls_records *records;
	struct tls_chain chain;      /* every buffer of the record */
	uint16_t content;            /* sealing: bytes of content */
	uint8_t type;                /* opening: the outer type; sealing: the inner one */
	bool done;
};

/* Records in the order of their sequence numbers. */
struct record_queue {
	struct record_op *head;
	struct record_op **tail;
	uint32_t bytes;
	uint16_t count;
	uint16_t limit;
};

struct record_direction {
	struct crypto_key *key; /* with the traffic secret of TLS 1.3 */
	uint64_t seq;           /* of the next record */
	uint8_t iv[CRYPTO_NONCE_LEN];
	struct record_queue queue;
};

/* A handshake message after the handshake, as far as it has been read. */
struct message {
	uint8_t header[4];
	uint8_t have;       /* of the header */
	uint8_t body0;      /* the first byte of the body: of KeyUpdate all there is */
	uint32_t left;      /* of the body */
};

struct tls_records {
	struct tls_batch *batch;
	const struct tls_pools *pools;
	void *user;
	TAILQ_ENTRY(tls_records) waiting; /* for operations, or buffers */
	TAILQ_ENTRY(tls_records) ready;

	uint16_t version;
	uint8_t aead;
	uint8_t secret_len;
	int8_t error;
	uint8_t alert_received, alert_sent; /* 0 none, which is close_notify too */
	uint8_t alert_owed;        /* ALERT_NONE: none; a fatal one, or no_renegotiation */
	uint8_t idle_records;
	uint8_t side;              /* enum tls_side */
	uint8_t tx_small;          /* small records that the flow has still to make */
	bool on_waiting : 1;
	bool on_ready : 1;
	bool dead : 1;             /* destroyed, waits for its operations */
	bool confirmed : 1;
	bool close_received : 1;
	bool close_owed : 1;
	bool tx_closed : 1;        /* an alert that ends our side was queued */
	bool key_update_owed : 1;
	bool key_update_ask : 1;   /* ... with update_requested */
	bool key_update_asked : 1; /* and no answer seen yet */
	bool tx_rekey : 1;         /* KeyUpdate is queued: the next record takes a new key */
	bool tx_broken : 1;        /* a record was lost: nothing after it may go out */
	bool declined : 1;         /* no_renegotiation was sent */

	struct record_direction rx;
	struct tls_chain input;    /* ciphertext */
	struct tls_chain plain;    /* opened */
	struct message message;

	struct record_direction tx;
	uint64_t explicit_nonce;
	struct tls_chain pending;  /* application data without a record yet */
	struct tls_chain output;   /* sealed */
	uint64_t tx_last_us;       /* when a record was made last, by the batch's clock */
};

TAILQ_HEAD(records_list, tls_records);

struct tls_batch {
	struct crypto_device *device;
	struct record_op *ops;     /* `max_ops` of them */
	struct record_op *free_ops;
	struct crypto_op **queue;  /* made, not submitted: a ring of `max_ops` */
	uint32_t queue_head, queue_count;
	uint32_t max_ops;
	uint32_t in_flight;        /* submitted */
	struct records_list waiting;
	struct records_list ready;
	uint64_t now_us;
	struct tls_record_counters counters;

	struct tls_records *free_records; /* linked through `user` */
	struct records_slab *slabs;       /* of connections */
};

/* What trying to make progress came to. */
enum progress {
	PROGRESS_IDLE,    /* nothing more to do until the caller or a completion comes */
	PROGRESS_STARVED, /* for want of an operation or a buffer: on the waiting list */
};

/* --- record_batch.c --- */
struct record_op *record_op_get(struct tls_batch *batch);
void record_op_put(struct tls_batch *batch, struct record_op *op);
/* Puts it at the end of `queue` and of the batch. */
void record_op_queue(struct record_op *op, struct record_queue *queue);
void record_queue_init(struct record_queue *queue, uint16_t limit);
void records_set_waiting(struct tls_records *records);
void records_set_ready(struct tls_records *records);
void records_leave_lists(struct tls_records *records);
struct tls_records *records_alloc(struct tls_batch *batch);
void records_release(struct tls_records *records);

/* --- record.c --- */
/* Ends the connection: sticky error, alert owed, what is not opened or sealed yet dropped. */
void records_fail(struct tls_records *records, enum tls_record_error error);

/* --- record_rx.c --- */
enum progress record_rx_advance(struct tls_records *records, int *queued);
void record_rx_deliver(struct record_op *op);

/* --- record_control.c --- */
/* The content of a record that is not application data: the first `length` bytes of `chain`. */
enum tls_record_error record_control(struct tls_records *records, uint8_t type,
				     const struct tls_chain *chain, uint32_t length);
/* True between the fragments of a handshake message. */
bool record_message_begun(const struct tls_records *records);

/* --- record_tx.c --- */
enum progress record_tx_advance(struct tls_records *records);
void record_tx_deliver(struct record_op *op);

/* --- record_keys.c --- */
int record_rekey(struct tls_records *records, struct record_direction *direction);
void record_drop_keys(struct tls_records *records);
void record_nonce(const struct record_direction *direction, uint8_t nonce[CRYPTO_NONCE_LEN]);

static inline bool
record_has_explicit_nonce(const struct tls_records *records)
{
	return records->version == TLS_1_2 && records->aead != CRYPTO_CHACHA20_POLY1305;
}

/* Bytes between the header and the text. */
static inline uint32_t
record_explicit_len(const struct tls_records *records)
{
	return record_has_explicit_nonce(records) ? EXPLICIT_NONCE_LEN : 0;
}

#endif
