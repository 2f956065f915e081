/* SPDX-License-Identifier: Apache-2.0 */
/* Receiving: records are cut out of the received bytes, opened and trimmed. */

#include <string.h>

#include <rte_byteorder.h>

#include "tls/record_internal.h"

struct header {
	uint8_t bytes[TLS_RECORD_HEADER];
	uint8_t type;
	uint16_t version;
	uint16_t length;
};

static void
parse_header(struct header *h)
{
	h->type = h->bytes[0];
	h->version = (uint16_t)(h->bytes[1] << 8 | h->bytes[2]);
	h->length = (uint16_t)(h->bytes[3] << 8 | h->bytes[4]);
}

/* RFC 8446 sections 5.1 and 5.2. The version is to be ignored; alerts and handshake messages
 * come under the cipher, and change_cipher_spec is over with the handshake. */
static enum tls_record_error
check_header_1_3(const struct header *h)
{
	if (h->type != RECORD_DATA)
		return TLS_RECORD_UNEXPECTED;
	if (h->length > TLS_RECORD_MAX_CIPHERTEXT)
		return TLS_RECORD_OVERFLOW;
	if (h->length < CRYPTO_TAG_LEN)
		return TLS_RECORD_BAD_MAC;
	return TLS_RECORD_OK;
}

/* RFC 5246 section 6.2.1. The ciphers are of fixed overhead, so that the length of the text
 * is known before it is opened. */
static enum tls_record_error
check_header_1_2(const struct header *h, uint32_t overhead)
{
	if (h->version != TLS_1_2)
		return TLS_RECORD_BAD_VERSION;
	if (h->type != RECORD_DATA && h->type != RECORD_ALERT && h->type != RECORD_HANDSHAKE)
		return TLS_RECORD_UNEXPECTED;
	if (h->length > TLS_RECORD_MAX_PLAINTEXT + overhead)
		return TLS_RECORD_OVERFLOW;
	if (h->length < overhead)
		return TLS_RECORD_BAD_MAC;
	return TLS_RECORD_OK;
}

/* RFC 8446 section 5.2: the header itself. RFC 5246 section 6.2.3.3: with the sequence
 * number before and the length of the text. */
static void
set_aad(struct record_op *op, const struct header *h, uint64_t seq)
{
	struct crypto_op *c = &op->op;
	uint64_t number = rte_cpu_to_be_64(seq);

	if (op->records->version == TLS_1_3) {
		memcpy(c->aad, h->bytes, TLS_RECORD_HEADER);
		c->aad_len = TLS_RECORD_HEADER;
		return;
	}
	memcpy(c->aad, &number, sizeof(number));
	memcpy(c->aad + 8, h->bytes, 3);
	c->aad[11] = (uint8_t)(c->length >> 8);
	c->aad[12] = (uint8_t)c->length;
	c->aad_len = 13;
}

static void
set_nonce(struct record_op *op)
{
	struct tls_records *records = op->records;

	if (!record_has_explicit_nonce(records)) {
		record_nonce(&records->rx, op->op.nonce);
		return;
	}
	memcpy(op->op.nonce, records->rx.iv, 4);
	tls_chain_peek(&op->chain, op->op.nonce + 4, EXPLICIT_NONCE_LEN);
	tls_chain_drop(&op->chain, EXPLICIT_NONCE_LEN);
}

/* The record, whole at the front of the input, becomes an operation. */
static bool
queue_record(struct tls_records *records, const struct header *h)
{
	struct tls_batch *batch = records->batch;
	struct record_op *op = record_op_get(batch);

	if (op == NULL)
		return false;
	op->chain = (struct tls_chain){0};
	if (tls_chain_split(&records->input, TLS_RECORD_HEADER + h->length,
			    records->pools->indirect, &op->chain) != 0) {
		record_op_put(batch, op);
		return false;
	}
	tls_chain_drop(&op->chain, TLS_RECORD_HEADER);
	op->records = records;
	op->type = h->type;
	op->op.key = records->rx.key;
	op->op.seal = false;
	op->op.length = h->length - CRYPTO_TAG_LEN - record_explicit_len(records);
	set_nonce(op);
	set_aad(op, h, records->rx.seq);
	op->op.first = op->chain.head;
	op->op.offset = 0;
	records->rx.seq++;
	record_op_queue(op, &records->rx.queue);
	return true;
}

static enum tls_record_error
check_header(const struct tls_records *records, const struct header *h)
{
	/* RFC 8446 section 5.3: sequence numbers do not wrap. */
	if (records->rx.seq == UINT64_MAX)
		return TLS_RECORD_LIMIT;
	if (records->version == TLS_1_3)
		return check_header_1_3(h);
	return check_header_1_2(h, CRYPTO_TAG_LEN + record_explicit_len(records));
}

enum progress
record_rx_advance(struct tls_records *records, int *queued)
{
	struct record_queue *queue = &records->rx.queue;

	while (records->rx.key != NULL && records->error == 0 && queue->count < queue->limit) {
		enum tls_record_error error;
		struct header h;

		if (tls_chain_peek(&records->input, h.bytes, sizeof(h.bytes)) < sizeof(h.bytes))
			break;
		parse_header(&h);
		error = check_header(records, &h);
		if (error != TLS_RECORD_OK) {
			/* Not before what came before it has been read: a close_notify or
			 * another error may be in there. */
			if (queue->count == 0)
				records_fail(records, error);
			break;
		}
		if (records->input.bytes < TLS_RECORD_HEADER + (uint32_t)h.length)
			break;
		if (!queue_record(records, &h))
			return PROGRESS_STARVED;
		(*queued)++;
	}
	return PROGRESS_IDLE;
}

/* --- after the cipher --- */

/* Where in `p` the last byte that is not zero lies, plus one; 0: there is none. */
static uint32_t
last_nonzero(const uint8_t *p, uint32_t n)
{
	while (n > 0 && p[n - 1] == 0)
		n--;
	return n;
}

/* Padding that fills whole buffers: one pass from the front, since there is no way back. */
static uint32_t
last_nonzero_of_chain(const struct tls_chain *chain, uint32_t length)
{
	struct crypto_cursor c = crypto_cursor_at(chain->head, 0);
	uint32_t want = length;
	uint32_t found = 0;
	uint8_t *piece;
	uint32_t n;

	while ((n = crypto_cursor_next(&c, &want, &piece)) > 0) {
		uint32_t at = last_nonzero(piece, n);

		if (at > 0)
			found = length - want - n + at;
	}
	return found;
}

/* RFC 8446 section 5.4: behind the content is its type, then any number of zeros. Returns the
 * bytes of content and type, 0 when there is no type. */
static uint32_t
strip_padding(const struct tls_chain *chain, uint32_t length, uint8_t *type)
{
	const struct rte_mbuf *m = chain->head;
	uint32_t before = 0;
	uint32_t at;

	while (length - before > m->data_len) {
		before += m->data_len;
		m = m->next;
	}
	at = last_nonzero(rte_pktmbuf_mtod(m, const uint8_t *), length - before);
	if (likely(at > 0)) {
		*type = *rte_pktmbuf_mtod_offset(m, const uint8_t *, at - 1);
		return before + at;
	}
	at = last_nonzero_of_chain(chain, before);
	if (at > 0) {
		struct crypto_cursor c = crypto_cursor_at(chain->head, at - 1);

		*type = *rte_pktmbuf_mtod_offset(c.m, const uint8_t *, c.offset);
	}
	return at;
}

static enum tls_record_error
take_data(struct tls_records *records, struct record_op *op, uint32_t length)
{
	struct tls_record_counters *counters = &records->batch->counters;

	/* RFC 8446 section 5.1: handshake messages are not interleaved with other types. */
	if (records->version == TLS_1_3 && record_message_begun(records))
		return TLS_RECORD_UNEXPECTED;
	if (length == 0)
		return ++records->idle_records > IDLE_RECORDS_MAX ? TLS_RECORD_LIMIT
								  : TLS_RECORD_OK;
	records->idle_records = 0;
	counters->bytes_in += length;
	tls_chain_truncate(&op->chain, length);
	if (length >= TLS_CHAIN_DENSE) {
		tls_chain_move(&records->plain, &op->chain);
	} else {
		counters->rx_copied_bytes +=
			tls_chain_append_dense(&records->plain, op->chain.head);
		op->chain = (struct tls_chain){0};
	}
	return TLS_RECORD_OK;
}

static enum tls_record_error
take_record(struct tls_records *records, struct record_op *op)
{
	uint32_t length = op->op.length;
	uint8_t type = op->type;

	if (op->op.status == CRYPTO_BAD_TAG) {
		records->batch->counters.bad_mac++;
		return TLS_RECORD_BAD_MAC;
	}
	if (op->op.status != CRYPTO_DONE)
		return TLS_RECORD_NO_MEMORY;
	records->confirmed = true;
	records->batch->counters.records_in++;
	if (records->version == TLS_1_3) {
		if (length > TLS_RECORD_MAX_PLAINTEXT + 1)
			return TLS_RECORD_OVERFLOW;
		length = strip_padding(&op->chain, length, &type);
		if (length == 0)
			return TLS_RECORD_UNEXPECTED;
		length--;
	}
	if (type == RECORD_DATA)
		return take_data(records, op, length);
	if (++records->idle_records > IDLE_RECORDS_MAX)
		return TLS_RECORD_LIMIT;
	return record_control(records, type, &op->chain, length);
}

void
record_rx_deliver(struct record_op *op)
{
	struct tls_records *records = op->records;

	if (records->error == 0 && !records->close_received) {
		enum tls_record_error error = take_record(records, op);

		if (error != TLS_RECORD_OK)
			records_fail(records, error);
		else if (records->close_received)
			tls_chain_free(&records->input);
	}
	tls_chain_free(&op->chain);
}
