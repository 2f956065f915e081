/* SPDX-License-Identifier: Apache-2.0 */
/* The record layer of one connection: its life, and the calls of tls/record.h. */

#include <string.h>

#include <rte_common.h>

#include "tls/record_internal.h"

/* Records that are small at the start of a flow and after it was idle. */
#define SMALL_RECORDS_AT_START 10

/* Room that a buffer of pools->data must have behind its headroom: a packed record. */
#define DATA_ROOM_MIN (RECORD_PREFIX_MAX + TLS_CHAIN_DENSE + RECORD_SUFFIX_MAX)

struct tls_records *
tls_records_create(const struct tls_pools *pools, struct tls_batch *batch)
{
	struct tls_records *records;

	if (rte_pktmbuf_data_room_size(pools->data) < RTE_PKTMBUF_HEADROOM + DATA_ROOM_MIN)
		return NULL;
	records = records_alloc(batch);
	if (records == NULL)
		return NULL;
	records->pools = pools;
	records->user = records;
	records->alert_owed = ALERT_NONE;
	records->tx_small = SMALL_RECORDS_AT_START;
	record_queue_init(&records->rx.queue, IN_FLIGHT_MAX);
	record_queue_init(&records->tx.queue, IN_FLIGHT_MAX);
	return records;
}

void
tls_records_set_user(struct tls_records *records, void *user)
{
	records->user = user != NULL ? user : records;
}

void
tls_records_destroy(struct tls_records *records)
{
	if (records == NULL)
		return;
	records_leave_lists(records);
	tls_chain_free(&records->input);
	tls_chain_free(&records->plain);
	tls_chain_free(&records->pending);
	tls_chain_free(&records->output);
	if (records->rx.queue.count + records->tx.queue.count > 0) {
		records->dead = true;
		return;
	}
	record_drop_keys(records);
	records_release(records);
}

/* RFC 8446 section 6.2 and, for what it leaves open, what comes nearest. */
static uint8_t
alert_of(enum tls_record_error error)
{
	switch (error) {
	case TLS_RECORD_OVERFLOW:
		return ALERT_RECORD_OVERFLOW;
	case TLS_RECORD_BAD_MAC:
		return ALERT_BAD_RECORD_MAC;
	case TLS_RECORD_UNEXPECTED:
	case TLS_RECORD_LIMIT:
		return ALERT_UNEXPECTED_MESSAGE;
	case TLS_RECORD_BAD_VERSION:
		return ALERT_PROTOCOL_VERSION;
	case TLS_RECORD_DECODE:
		return ALERT_DECODE_ERROR;
	case TLS_RECORD_NO_MEMORY:
		return ALERT_INTERNAL_ERROR;
	default:
		return ALERT_NONE;
	}
}

void
records_fail(struct tls_records *records, enum tls_record_error error)
{
	if (records->error != 0)
		return;
	records->error = error;
	records->alert_owed = alert_of(error);
	records->key_update_owed = false;
	if (records->alert_owed == ALERT_NONE)
		records->tx_closed = true;
	tls_chain_free(&records->input);
	tls_chain_free(&records->pending);
	records_set_ready(records);
}

void
tls_records_input(struct tls_records *records, struct rte_mbuf *chain)
{
	if (records->error != 0 || records->close_received) {
		/* RFC 8446 section 6.1: what follows a closure alert is ignored. */
		struct tls_chain ignored = {0};

		tls_chain_append(&ignored, chain);
		tls_chain_free(&ignored);
		return;
	}
	records->batch->counters.rx_copied_bytes += tls_chain_append_dense(&records->input, chain);
}

int
tls_records_open(struct tls_records *records)
{
	int queued = 0;

	if (record_rx_advance(records, &queued) == PROGRESS_STARVED)
		records_set_waiting(records);
	if (records->error == 0)
		return queued;
	if (record_tx_advance(records) == PROGRESS_STARVED)
		records_set_waiting(records); /* the alert */
	return records->error;
}

struct rte_mbuf *
tls_records_plaintext(struct tls_records *records)
{
	return tls_chain_take_all(&records->plain);
}

int
tls_records_seal(struct tls_records *records, struct rte_mbuf *chain)
{
	struct tls_chain data = {0};

	tls_chain_append(&data, chain);
	if (records->error != 0 || records->close_owed || records->tx_closed) {
		tls_chain_free(&data);
		return records->error != 0 ? records->error : TLS_RECORD_CLOSED;
	}
	tls_chain_move(&records->pending, &data);
	if (record_tx_advance(records) == PROGRESS_STARVED)
		records_set_waiting(records);
	return records->error;
}

int
tls_records_close(struct tls_records *records)
{
	if (records->error != 0)
		return records->error;
	records->close_owed = true;
	if (record_tx_advance(records) == PROGRESS_STARVED)
		records_set_waiting(records);
	return records->error;
}

struct rte_mbuf *
tls_records_output(struct tls_records *records)
{
	return tls_chain_take_all(&records->output);
}

uint32_t
tls_records_held_in(const struct tls_records *records)
{
	return records->input.bytes + records->rx.queue.bytes + records->plain.bytes;
}

uint32_t
tls_records_held_out(const struct tls_records *records)
{
	return records->pending.bytes + records->tx.queue.bytes + records->output.bytes;
}

bool
tls_records_opening(const struct tls_records *records)
{
	uint8_t header[TLS_RECORD_HEADER];

	if (records->error != 0 || records->close_received)
		return false;
	if (records->rx.queue.count > 0)
		return true;
	if (tls_chain_peek(&records->input, header, sizeof(header)) < sizeof(header))
		return false;
	return records->input.bytes >=
	       TLS_RECORD_HEADER + ((uint32_t)header[3] << 8 | header[4]);
}

bool
tls_records_flushed(const struct tls_records *records)
{
	bool owes = records->close_owed || records->alert_owed != ALERT_NONE;

	return tls_records_held_out(records) == 0 && (records->tx_closed || !owes);
}

int
tls_records_error(const struct tls_records *records)
{
	return records->error;
}

bool
tls_records_eof(const struct tls_records *records)
{
	return records->close_received && records->plain.head == NULL;
}

uint8_t
tls_records_alert_received(const struct tls_records *records)
{
	return records->alert_received;
}

uint8_t
tls_records_alert_sent(const struct tls_records *records)
{
	return records->alert_sent;
}

bool
tls_records_confirmed(const struct tls_records *records)
{
	return records->confirmed;
}
