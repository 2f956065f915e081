/* SPDX-License-Identifier: Apache-2.0 */
/* The operations of a worker: where they come from, when they run, whom they wake. */

#include <stdlib.h>
#include <string.h>

#include "tls/record_internal.h"

#define SLAB_RECORDS 64
#define POLL_BURST 64

/* A turn does at most this many times `max_ops` operations, so that one worker's loop goes
 * round however much arrived. */
#define RUN_ROUNDS 4

struct records_slab {
	struct records_slab *next;
	struct tls_records records[SLAB_RECORDS] __rte_cache_aligned;
};

static void *
zalloc_aligned(size_t size)
{
	size_t rounded = RTE_ALIGN_CEIL(size, RTE_CACHE_LINE_SIZE);
	void *area = aligned_alloc(RTE_CACHE_LINE_SIZE, rounded);

	if (area != NULL)
		memset(area, 0, rounded);
	return area;
}

struct tls_batch *
tls_batch_create(struct crypto_device *device, unsigned int max_ops)
{
	struct tls_batch *batch = calloc(1, sizeof(*batch));

	if (batch == NULL)
		return NULL;
	batch->device = device;
	batch->max_ops = RTE_MAX(max_ops, 1u);
	batch->ops = zalloc_aligned(batch->max_ops * sizeof(*batch->ops));
	batch->queue = calloc(batch->max_ops, sizeof(*batch->queue));
	TAILQ_INIT(&batch->waiting);
	TAILQ_INIT(&batch->ready);
	if (batch->ops == NULL || batch->queue == NULL) {
		tls_batch_destroy(batch);
		return NULL;
	}
	for (uint32_t i = batch->max_ops; i-- > 0;)
		record_op_put(batch, &batch->ops[i]);
	return batch;
}

/* Lets what is under way end; connections that nobody destroyed make no new operations. */
static void
drain(struct tls_batch *batch)
{
	struct tls_records *records;

	while ((records = TAILQ_FIRST(&batch->waiting)) != NULL)
		records_leave_lists(records);
	while (batch->queue_count + batch->in_flight > 0)
		tls_batch_run(batch);
}

void
tls_batch_destroy(struct tls_batch *batch)
{
	struct records_slab *slab;

	if (batch == NULL)
		return;
	if (batch->queue != NULL)
		drain(batch);
	slab = batch->slabs;
	while (slab != NULL) {
		struct records_slab *next = slab->next;

		free(slab);
		slab = next;
	}
	free(batch->queue);
	free(batch->ops);
	free(batch);
}

const struct tls_record_counters *
tls_batch_counters(const struct tls_batch *batch)
{
	return &batch->counters;
}

void
tls_batch_set_time(struct tls_batch *batch, uint64_t now_us)
{
	batch->now_us = now_us;
}

/* --- operations --- */

struct record_op *
record_op_get(struct tls_batch *batch)
{
	struct record_op *op = batch->free_ops;

	if (op != NULL)
		batch->free_ops = op->next;
	return op;
}

void
record_op_put(struct tls_batch *batch, struct record_op *op)
{
	op->next = batch->free_ops;
	batch->free_ops = op;
}

void
record_queue_init(struct record_queue *queue, uint16_t limit)
{
	*queue = (struct record_queue){.tail = &queue->head, .limit = limit};
}

void
record_op_queue(struct record_op *op, struct record_queue *queue)
{
	struct tls_batch *batch = op->records->batch;

	op->op.owner = op;
	op->op.status = CRYPTO_PENDING;
	op->next = NULL;
	op->done = false;
	*queue->tail = op;
	queue->tail = &op->next;
	queue->count++;
	queue->bytes += op->chain.bytes;
	/* There are as many places as operations. */
	batch->queue[(batch->queue_head + batch->queue_count) % batch->max_ops] = &op->op;
	batch->queue_count++;
}

/* The oldest of the direction when it is complete, else NULL. */
static struct record_op *
queue_pop(struct record_queue *queue)
{
	struct record_op *op = queue->head;

	if (op == NULL || !op->done)
		return NULL;
	queue->head = op->next;
	if (queue->head == NULL)
		queue->tail = &queue->head;
	queue->count--;
	queue->bytes -= op->chain.bytes;
	return op;
}

/* --- connections --- */

static int
add_slab(struct tls_batch *batch)
{
	struct records_slab *slab = zalloc_aligned(sizeof(*slab));

	if (slab == NULL)
		return -1;
	slab->next = batch->slabs;
	batch->slabs = slab;
	for (unsigned int i = SLAB_RECORDS; i-- > 0;) {
		slab->records[i].user = batch->free_records;
		batch->free_records = &slab->records[i];
	}
	return 0;
}

struct tls_records *
records_alloc(struct tls_batch *batch)
{
	struct tls_records *records;

	if (batch->free_records == NULL && add_slab(batch) != 0)
		return NULL;
	records = batch->free_records;
	batch->free_records = records->user;
	memset(records, 0, sizeof(*records));
	records->batch = batch;
	return records;
}

void
records_release(struct tls_records *records)
{
	struct tls_batch *batch = records->batch;

	memset(records, 0, sizeof(*records));
	records->user = batch->free_records;
	batch->free_records = records;
}

void
records_set_waiting(struct tls_records *records)
{
	if (records->on_waiting)
		return;
	records->on_waiting = true;
	TAILQ_INSERT_TAIL(&records->batch->waiting, records, waiting);
}

void
records_set_ready(struct tls_records *records)
{
	if (records->on_ready)
		return;
	records->on_ready = true;
	TAILQ_INSERT_TAIL(&records->batch->ready, records, ready);
}

void
records_leave_lists(struct tls_records *records)
{
	if (records->on_waiting)
		TAILQ_REMOVE(&records->batch->waiting, records, waiting);
	if (records->on_ready)
		TAILQ_REMOVE(&records->batch->ready, records, ready);
	records->on_waiting = false;
	records->on_ready = false;
}

void *
tls_batch_next(struct tls_batch *batch)
{
	struct tls_records *records = TAILQ_FIRST(&batch->ready);

	if (records == NULL)
		return NULL;
	TAILQ_REMOVE(&batch->ready, records, ready);
	records->on_ready = false;
	return records->user;
}

/* --- a turn --- */

static unsigned int
submit(struct tls_batch *batch)
{
	unsigned int total = 0;

	while (batch->queue_count > 0) {
		uint32_t run = RTE_MIN(batch->queue_count, batch->max_ops - batch->queue_head);
		uint16_t n = crypto_submit(batch->device, batch->queue + batch->queue_head,
					   RTE_MIN(run, (uint32_t)UINT16_MAX));

		if (n == 0)
			break;
		batch->queue_head = (batch->queue_head + n) % batch->max_ops;
		batch->queue_count -= n;
		batch->in_flight += n;
		total += n;
	}
	return total;
}

/* Operations of a connection that was destroyed meanwhile. */
static void
reap(struct tls_records *records, struct record_queue *queue)
{
	struct tls_batch *batch = records->batch;
	struct record_op *op;

	while ((op = queue_pop(queue)) != NULL) {
		tls_chain_free(&op->chain);
		record_op_put(batch, op);
	}
	if (records->rx.queue.count + records->tx.queue.count == 0) {
		record_drop_keys(records);
		records_release(records);
	}
}

static void
advance(struct tls_records *records)
{
	int queued = 0;

	if (record_rx_advance(records, &queued) == PROGRESS_STARVED)
		records_set_waiting(records);
	/* After receiving, which may have left something to answer. */
	if (record_tx_advance(records) == PROGRESS_STARVED)
		records_set_waiting(records);
}

static void
complete(struct record_op *done)
{
	struct tls_records *records = done->records;
	struct record_queue *queue = done->op.seal ? &records->tx.queue : &records->rx.queue;
	struct record_op *op;

	done->done = true;
	if (records->dead) {
		reap(records, queue);
		return;
	}
	while ((op = queue_pop(queue)) != NULL) {
		if (op->op.seal)
			record_tx_deliver(op);
		else
			record_rx_deliver(op);
		record_op_put(records->batch, op);
	}
	records_set_ready(records);
	advance(records);
}

static unsigned int
collect(struct tls_batch *batch)
{
	struct crypto_op *ops[POLL_BURST];
	unsigned int total = 0;
	uint16_t n;

	while ((n = crypto_poll(batch->device, ops, POLL_BURST)) > 0) {
		batch->in_flight -= n;
		total += n;
		for (uint16_t i = 0; i < n; i++)
			complete(ops[i]->owner);
	}
	return total;
}

/* Those that went without an operation or a buffer try again, each once. */
static void
resume_waiting(struct tls_batch *batch)
{
	struct tls_records *last = TAILQ_LAST(&batch->waiting, records_list);
	struct tls_records *records;

	while ((records = TAILQ_FIRST(&batch->waiting)) != NULL) {
		TAILQ_REMOVE(&batch->waiting, records, waiting);
		records->on_waiting = false;
		advance(records);
		if (records == last || batch->free_ops == NULL)
			break;
	}
}

unsigned int
tls_batch_run(struct tls_batch *batch)
{
	unsigned int budget = RUN_ROUNDS * batch->max_ops;
	unsigned int total = 0;
	unsigned int n;

	do {
		resume_waiting(batch);
		submit(batch);
		n = collect(batch);
		total += n;
	} while (n > 0 && total < budget &&
		 (batch->queue_count > 0 || !TAILQ_EMPTY(&batch->waiting)));
	return total;
}
