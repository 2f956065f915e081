/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Tuple to index, in buckets of one cache line. A full bucket is continued in an overflow
 * bucket. A removal moves the last entry of the chain into the hole, so that only the last
 * bucket of a chain is ever partly filled: n entries need at most n / 8 overflow buckets
 * however they fall, and so many there are. An insertion cannot fail.
 */

#include <rte_malloc.h>
#include <rte_prefetch.h>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "tcpstack/tcp_internal.h"

int
tcp_table_create(struct tcp_table *table, uint32_t entries, int socket_id)
{
	/* Half full on average: four entries to a bucket of eight. */
	uint32_t buckets = rte_align32pow2(RTE_MAX(entries / 4, 1u));
	uint32_t overflow = entries / TCP_BUCKET_SLOTS + 1;
	uint32_t i;

	table->bucket = rte_zmalloc_socket("tcp_table",
					   (size_t)(buckets + overflow) * sizeof(*table->bucket),
					   RTE_CACHE_LINE_SIZE, socket_id);
	if (table->bucket == NULL)
		return TCP_E_NO_MEMORY;
	table->mask = buckets - 1;
	for (i = 0; i < buckets; i++)
		table->bucket[i].next = TCP_NONE;
	for (; i < buckets + overflow; i++)
		table->bucket[i].next = i + 1 < buckets + overflow ? i + 1 : TCP_NONE;
	table->free_head = buckets;
	return TCP_OK;
}

void
tcp_table_destroy(struct tcp_table *table)
{
	rte_free(table->bucket);
	table->bucket = NULL;
}

uint64_t
tcp_table_hash(const struct tcp_table *table, const struct tcp_tuple *tuple)
{
	return tcp_tuple_hash(table->key, tuple);
}

static uint16_t
hash_tag(uint64_t hash)
{
	uint16_t tag = hash >> 48;

	return tag != 0 ? tag : 1;
}

/* One bit for each slot whose tag is the same. */
static uint32_t
match_tags(const struct tcp_bucket *bucket, uint16_t tag)
{
#ifdef __SSE2__
	__m128i tags = _mm_load_si128((const __m128i *)bucket->tag);
	__m128i equal = _mm_cmpeq_epi16(tags, _mm_set1_epi16((short)tag));

	return (uint32_t)_mm_movemask_epi8(_mm_packs_epi16(equal, _mm_setzero_si128()));
#else
	uint32_t hits = 0;

	for (uint32_t i = 0; i < TCP_BUCKET_SLOTS; i++)
		hits |= (uint32_t)(bucket->tag[i] == tag) << i;
	return hits;
#endif
}

static const struct tcp_tuple *
index_tuple(const struct tcp_table *table, uint32_t index)
{
	const uint8_t *base = table->conns;
	size_t size = table->conn_size;

	if (index & TCP_INDEX_TIME_WAIT) {
		base = table->time_waits;
		size = table->time_wait_size;
		index &= ~TCP_INDEX_TIME_WAIT;
	}
	return (const struct tcp_tuple *)(base + (size_t)index * size);
}

void
tcp_table_prefetch(const struct tcp_table *table, uint64_t hash)
{
	rte_prefetch0(&table->bucket[hash & table->mask]);
}

uint32_t
tcp_table_find(const struct tcp_table *table, const struct tcp_tuple *tuple, uint64_t hash)
{
	uint32_t at = hash & table->mask;

	while (at != TCP_NONE) {
		const struct tcp_bucket *bucket = &table->bucket[at];
		uint32_t hits = match_tags(bucket, hash_tag(hash));

		for (; hits != 0; hits &= hits - 1) {
			uint32_t index = bucket->index[__builtin_ctz(hits)];

			if (memcmp(index_tuple(table, index), tuple, sizeof(*tuple)) == 0)
				return index;
		}
		at = bucket->next;
	}
	return TCP_NONE;
}

static uint32_t
bucket_fill(const struct tcp_bucket *bucket)
{
	uint32_t n = 0;

	while (n < TCP_BUCKET_SLOTS && bucket->tag[n] != 0)
		n++;
	return n;
}

void
tcp_table_insert(struct tcp_table *table, uint64_t hash, uint32_t index)
{
	struct tcp_bucket *bucket = &table->bucket[hash & table->mask];
	uint32_t slot;

	while (bucket->next != TCP_NONE)
		bucket = &table->bucket[bucket->next];
	slot = bucket_fill(bucket);
	if (slot == TCP_BUCKET_SLOTS) {
		uint32_t more = table->free_head;

		RTE_VERIFY(more != TCP_NONE);
		bucket->next = more;
		bucket = &table->bucket[more];
		table->free_head = bucket->next;
		bucket->next = TCP_NONE;
		slot = 0;
	}
	bucket->tag[slot] = hash_tag(hash);
	bucket->index[slot] = index;
}

/* The bucket and slot that hold `index`; it is there. */
static struct tcp_bucket *
locate(struct tcp_table *table, uint64_t hash, uint32_t index, uint32_t *slot)
{
	uint32_t at = hash & table->mask;

	while (at != TCP_NONE) {
		struct tcp_bucket *bucket = &table->bucket[at];

		for (uint32_t i = 0; i < TCP_BUCKET_SLOTS && bucket->tag[i] != 0; i++)
			if (bucket->index[i] == index) {
				*slot = i;
				return bucket;
			}
		at = bucket->next;
	}
	return NULL;
}

void
tcp_table_remove(struct tcp_table *table, uint64_t hash, uint32_t index)
{
	uint32_t slot = 0;
	struct tcp_bucket *bucket = locate(table, hash, index, &slot);
	struct tcp_bucket *last = &table->bucket[hash & table->mask], *before = NULL;
	uint32_t last_slot;

	RTE_VERIFY(bucket != NULL);
	while (last->next != TCP_NONE) {
		before = last;
		last = &table->bucket[last->next];
	}
	last_slot = bucket_fill(last) - 1;
	bucket->tag[slot] = last->tag[last_slot];
	bucket->index[slot] = last->index[last_slot];
	last->tag[last_slot] = 0;
	if (last_slot == 0 && before != NULL) {
		uint32_t at = before->next;

		before->next = TCP_NONE;
		last->next = table->free_head;
		table->free_head = at;
	}
}

void
tcp_table_replace(struct tcp_table *table, uint64_t hash, uint32_t from, uint32_t to)
{
	uint32_t slot = 0;
	struct tcp_bucket *bucket = locate(table, hash, from, &slot);

	RTE_VERIFY(bucket != NULL);
	bucket->index[slot] = to;
}
