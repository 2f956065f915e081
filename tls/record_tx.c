/* SPDX-License-Identifier: Apache-2.0 */
/* Sending: application data is cut into records; alerts and KeyUpdates go in between. */

#include <string.h>

#include <rte_byteorder.h>

#include "tls/record_internal.h"

/* About a segment's worth, so that the peer can open the first records of a flow as their
 * segments arrive, whatever the congestion window. */
#define SMALL_RECORD 1350
/* A buffer up to this size is left whole all the same. */
#define SMALL_RECORD_STRETCH 2048
/* So much at once is bulk, for which large records are best even at the start. */
#define BULK TLS_RECORD_MAX_PLAINTEXT
#define SMALL_RECORDS_AFTER_IDLE 10
#define IDLE_US 1000000

enum made {
	MADE,
	NOTHING_TO_MAKE,
	NO_ROOM,
};

static uint32_t
prefix_len(const struct tls_records *records)
{
	return TLS_RECORD_HEADER + record_explicit_len(records);
}

static uint32_t
suffix_len(const struct tls_records *records)
{
	return CRYPTO_TAG_LEN + (records->version == TLS_1_3 ? 1 : 0);
}

/* --- the parts of a record --- */

/* The header, before the text and for the additional data (RFC 8446 section 5.2, RFC 5246
 * section 6.2.3.3). Takes the sequence number, and the explicit nonce where there is one. */
static void
write_prefix(struct record_op *op, uint8_t *at, uint8_t type)
{
	struct tls_records *records = op->records;
	struct record_direction *tx = &records->tx;
	struct crypto_op *c = &op->op;
	uint32_t length = op->content + suffix_len(records) + record_explicit_len(records);
	uint64_t number = rte_cpu_to_be_64(tx->seq);

	at[0] = records->version == TLS_1_3 ? RECORD_DATA : type;
	at[1] = TLS_1_2 >> 8;
	at[2] = TLS_1_2 & 0xff;
	at[3] = (uint8_t)(length >> 8);
	at[4] = (uint8_t)length;
	record_nonce(tx, c->nonce);
	if (records->version == TLS_1_3) {
		memcpy(c->aad, at, TLS_RECORD_HEADER);
		c->aad_len = TLS_RECORD_HEADER;
	} else {
		memcpy(c->aad, &number, sizeof(number));
		memcpy(c->aad + 8, at, 3);
		c->aad[11] = (uint8_t)(op->content >> 8);
		c->aad[12] = (uint8_t)op->content;
		c->aad_len = 13;
	}
	if (record_has_explicit_nonce(records)) {
		uint64_t nonce = rte_cpu_to_be_64(records->explicit_nonce++);

		memcpy(at + TLS_RECORD_HEADER, &nonce, sizeof(nonce));
		memcpy(c->nonce, tx->iv, 4);
		memcpy(c->nonce + 4, &nonce, sizeof(nonce));
	}
	tx->seq++;
}

/* Queues a record whose chain is complete, prefix and suffix included. */
static void
queue_record(struct record_op *op, uint8_t *prefix, uint8_t type)
{
	struct tls_records *records = op->records;
	struct crypto_op *c = &op->op;

	c->key = records->tx.key;
	c->seal = true;
	c->first = op->chain.head;
	c->offset = prefix_len(records);
	c->length = op->content + suffix_len(records) - CRYPTO_TAG_LEN;
	op->type = type;
	write_prefix(op, prefix, type);
	record_op_queue(op, &records->tx.queue);
}

static struct record_op *
new_op(struct tls_records *records, uint16_t content)
{
	struct record_op *op = record_op_get(records->batch);

	if (op == NULL)
		return NULL;
	op->records = records;
	op->chain = (struct tls_chain){0};
	op->content = content;
	return op;
}

/* A record in one new buffer, with its content copied from `from`. */
static enum made
make_copied(struct tls_records *records, uint8_t type, const struct tls_chain *from,
	    const uint8_t *bytes, uint16_t length)
{
	uint32_t size = prefix_len(records) + length + suffix_len(records);
	struct record_op *op = new_op(records, length);
	struct rte_mbuf *m;
	uint8_t *at;

	if (op == NULL)
		return NO_ROOM;
	m = rte_pktmbuf_alloc(records->pools->data);
	if (m == NULL) {
		record_op_put(records->batch, op);
		return NO_ROOM;
	}
	at = rte_pktmbuf_mtod(m, uint8_t *);
	m->data_len = size;
	m->pkt_len = size;
	if (bytes != NULL)
		memcpy(at + prefix_len(records), bytes, length);
	else
		tls_chain_peek(from, at + prefix_len(records), length);
	at[prefix_len(records) + length] = type; /* in TLS 1.2 the tag's first byte */
	tls_chain_append(&op->chain, m);
	queue_record(op, at, type);
	return MADE;
}

/* A handshake message or an alert. */
static enum made
make_control(struct tls_records *records, uint8_t type, const uint8_t *bytes, uint16_t length)
{
	return make_copied(records, type, NULL, bytes, length);
}

/* --- application data --- */

static void
note_idle(struct tls_records *records)
{
	uint64_t now = records->batch->now_us;

	if (now - records->tx_last_us > IDLE_US && records->tx_last_us != 0)
		records->tx_small = SMALL_RECORDS_AFTER_IDLE;
	records->tx_last_us = now;
}

/* How many of the pending bytes the next record takes: up to the end of a buffer where that
 * is possible. */
static uint32_t
choose_size(struct tls_records *records)
{
	bool small = records->tx_small > 0 && records->pending.bytes < BULK;
	uint32_t target = small ? SMALL_RECORD : TLS_RECORD_MAX_PLAINTEXT;
	const struct rte_mbuf *m = records->pending.head;
	uint32_t first = m->data_len;
	uint32_t n = 0;

	for (; m != NULL && n + m->data_len <= target; m = m->next)
		n += m->data_len;
	if (n > 0)
		return n;
	return small && first <= SMALL_RECORD_STRETCH ? first : RTE_MIN(target, first);
}

/* True when the content lies in one buffer that has room for the rest of the record. */
static bool
fits_in_place(const struct tls_records *records, const struct rte_mbuf *m, uint32_t n)
{
	return m->data_len == n && tls_chain_exclusive(m) &&
	       rte_pktmbuf_headroom(m) >= prefix_len(records) &&
	       rte_pktmbuf_tailroom(m) >= suffix_len(records);
}

/* Short content that would need buffers beside it goes into one new buffer. */
static enum made
make_packed(struct tls_records *records, uint32_t n)
{
	enum made made = make_copied(records, RECORD_DATA, &records->pending, NULL, n);

	if (made == MADE) {
		tls_chain_drop(&records->pending, n);
		records->batch->counters.tx_copied_bytes += n;
	}
	return made;
}

/* The header goes into the headroom of the first buffer where that is exclusively ours: two
 * slices of one buffer may be under way at once, and neither knows what is around it. */
static uint8_t *
add_prefix(struct tls_records *records, struct tls_chain *chain)
{
	uint32_t n = prefix_len(records);
	struct rte_mbuf *m = chain->head;
	struct tls_chain beside = {0};

	if (tls_chain_exclusive(m) && rte_pktmbuf_headroom(m) >= n) {
		m->data_off -= n;
		m->data_len += n;
		chain->bytes += n;
		return rte_pktmbuf_mtod(m, uint8_t *);
	}
	m = rte_pktmbuf_alloc(records->pools->data);
	if (m == NULL)
		return NULL;
	m->data_len = n;
	tls_chain_append(&beside, m);
	tls_chain_prepend(chain, &beside);
	return rte_pktmbuf_mtod(m, uint8_t *);
}

/* Room for inner type and tag; likewise. */
static bool
add_suffix(struct tls_records *records, struct tls_chain *chain)
{
	uint32_t n = suffix_len(records);
	struct rte_mbuf *m = chain->tail;

	if (tls_chain_exclusive(m) && rte_pktmbuf_tailroom(m) >= n) {
		chain->bytes += n;
	} else {
		m = rte_pktmbuf_alloc(records->pools->data);
		if (m == NULL)
			return false;
		tls_chain_append(chain, m);
		chain->bytes += n;
	}
	*rte_pktmbuf_mtod_offset(m, uint8_t *, m->data_len) = RECORD_DATA;
	m->data_len += n;
	return true;
}

/* A record around the buffers as they lie. */
static enum made
make_in_place(struct tls_records *records, uint32_t n)
{
	struct record_op *op = new_op(records, n);
	uint8_t *prefix;

	if (op == NULL)
		return NO_ROOM;
	if (tls_chain_split(&records->pending, n, records->pools->indirect, &op->chain) != 0)
		goto put;
	if (!add_suffix(records, &op->chain))
		goto back;
	prefix = add_prefix(records, &op->chain);
	if (prefix == NULL) {
		tls_chain_truncate(&op->chain, n);
		goto back;
	}
	queue_record(op, prefix, RECORD_DATA);
	return MADE;
back:
	tls_chain_prepend(&records->pending, &op->chain);
put:
	record_op_put(records->batch, op);
	return NO_ROOM;
}

static enum made
make_data(struct tls_records *records)
{
	enum made made;
	uint32_t n;

	tls_chain_drop(&records->pending, 0); /* empty buffers in front */
	if (records->pending.bytes == 0)
		return NOTHING_TO_MAKE;
	note_idle(records);
	n = choose_size(records);
	if (n < TLS_CHAIN_DENSE && !fits_in_place(records, records->pending.head, n))
		made = make_packed(records, n);
	else
		made = make_in_place(records, n);
	if (made != MADE)
		return made;
	if (n > SMALL_RECORD_STRETCH)
		records->tx_small = 0;
	else if (records->tx_small > 0)
		records->tx_small--;
	return MADE;
}

/* --- what goes in between --- */

static enum made
make_alert(struct tls_records *records, uint8_t level, uint8_t description)
{
	const uint8_t alert[2] = {level, description};
	enum made made = make_control(records, RECORD_ALERT, alert, sizeof(alert));

	if (made != MADE)
		return made;
	records->batch->counters.alerts_out++;
	records->alert_sent = description;
	return MADE;
}

static enum made
make_owed_alert(struct tls_records *records)
{
	bool warning = records->alert_owed == ALERT_NO_RENEGOTIATION;
	enum made made = make_alert(records, warning ? 1 : 2, records->alert_owed);

	if (made != MADE)
		return made;
	records->alert_owed = ALERT_NONE;
	if (!warning)
		records->tx_closed = true;
	return MADE;
}

static enum made
make_close(struct tls_records *records)
{
	enum made made = make_alert(records, 1, ALERT_CLOSE_NOTIFY);

	if (made == MADE)
		records->tx_closed = true;
	return made;
}

static enum made
make_key_update(struct tls_records *records)
{
	const uint8_t message[5] = {24, 0, 0, 1, records->key_update_ask};
	enum made made = make_control(records, RECORD_HANDSHAKE, message, sizeof(message));

	if (made != MADE)
		return made;
	records->batch->counters.key_updates_out++;
	records->key_update_asked |= records->key_update_ask;
	records->key_update_owed = false;
	records->key_update_ask = false;
	records->tx_rekey = true;
	return MADE;
}

/* RFC 8446 section 5.5: AES-GCM keys are good for so many records. Of ours we know when to
 * change them; the peer is asked when it has let its own grow old. */
static void
note_key_age(struct tls_records *records)
{
	if (records->version != TLS_1_3 || records->aead == CRYPTO_CHACHA20_POLY1305)
		return;
	if (records->tx.seq >= TLS_RECORD_REKEY_AFTER)
		records->key_update_owed = true;
	if (records->rx.seq >= TLS_RECORD_ASK_AFTER && !records->key_update_asked) {
		records->key_update_owed = true;
		records->key_update_ask = true;
	}
}

/* The next record, by precedence. */
static enum made
make_next(struct tls_records *records)
{
	if (records->alert_owed != ALERT_NONE)
		return make_owed_alert(records);
	note_key_age(records);
	if (records->key_update_owed)
		return make_key_update(records);
	if (records->pending.head != NULL)
		return make_data(records);
	if (records->close_owed)
		return make_close(records);
	return NOTHING_TO_MAKE;
}

static bool
wants_to_send(const struct tls_records *records)
{
	return records->alert_owed != ALERT_NONE || records->key_update_owed ||
	       records->pending.bytes > 0 || records->close_owed;
}

static bool
may_make(const struct tls_records *records)
{
	return records->tx.key != NULL && !records->tx_closed &&
	       records->tx.queue.count < records->tx.queue.limit;
}

/* Sequence numbers do not wrap, and a key that could not be made cannot be done without. */
static void
stop_sending(struct tls_records *records, enum tls_record_error error)
{
	records_fail(records, error);
	records->tx_closed = true;
	tls_chain_free(&records->pending);
}

enum progress
record_tx_advance(struct tls_records *records)
{
	while (may_make(records)) {
		enum made made;

		if (records->tx_rekey) {
			/* What is under way needs the old key; its end leads here again. */
			if (records->tx.queue.count > 0)
				return PROGRESS_IDLE;
			records->tx_rekey = false;
			if (record_rekey(records, &records->tx) != 0) {
				stop_sending(records, TLS_RECORD_NO_MEMORY);
				break;
			}
		}
		if (records->tx.seq == UINT64_MAX && wants_to_send(records)) {
			stop_sending(records, TLS_RECORD_LIMIT);
			break;
		}
		made = make_next(records);
		if (made == NO_ROOM)
			return PROGRESS_STARVED;
		if (made == NOTHING_TO_MAKE && !wants_to_send(records))
			break;
	}
	return PROGRESS_IDLE;
}

void
record_tx_deliver(struct record_op *op)
{
	struct tls_records *records = op->records;

	if (op->op.status != CRYPTO_DONE) {
		/* A hole in the sequence: the peer could open nothing behind it. */
		records->tx_broken = true;
		stop_sending(records, TLS_RECORD_NO_MEMORY);
	}
	if (records->tx_broken) {
		tls_chain_free(&op->chain);
		return;
	}
	records->batch->counters.records_out++;
	if (op->type == RECORD_DATA)
		records->batch->counters.bytes_out += op->content;
	tls_chain_move(&records->output, &op->chain);
}
