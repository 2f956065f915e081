/* SPDX-License-Identifier: Apache-2.0 */
#include "dataplane/passthrough.h"

#include <string.h>

#include <rte_common.h>
#include <rte_jhash.h>
#include <rte_malloc.h>

#define WAYS 4

struct flow {
	uint64_t hash; /* 0: free */
	uint64_t seen; /* us */
};

struct passthrough {
	uint32_t mask; /* of buckets */
	uint32_t key[4];
	struct flow flows[];
};

static uint64_t
hash_end(const struct in6_addr *address, uint16_t port, const uint32_t key[4])
{
	struct {
		struct in6_addr address;
		uint32_t port;
	} end = {*address, port};
	uint32_t high = key[0], low = key[1];

	rte_jhash_32b_2hashes((const uint32_t *)&end, sizeof(end) / 4, &high, &low);
	return (uint64_t)high << 32 | low;
}

uint64_t
passthrough_hash(const struct tcp_tuple *tuple, const uint32_t key[4])
{
	uint64_t both = hash_end(&tuple->local, tuple->local_port, key) +
			hash_end(&tuple->remote, tuple->remote_port, key);
	uint32_t words[2] = {both, both >> 32};
	uint32_t high = key[2], low = key[3];

	rte_jhash_32b_2hashes(words, 2, &high, &low);
	return ((uint64_t)high << 32 | low) | 1; /* never 0 */
}

struct passthrough *
passthrough_create(uint32_t flows, const uint32_t key[4])
{
	uint32_t buckets = rte_align32pow2(RTE_MAX(flows / WAYS, 1u));
	struct passthrough *table =
		rte_zmalloc("passthrough",
			    sizeof(*table) + (size_t)buckets * WAYS * sizeof(struct flow),
			    RTE_CACHE_LINE_SIZE);

	if (table == NULL)
		return NULL;
	table->mask = buckets - 1;
	memcpy(table->key, key, sizeof(table->key));
	return table;
}

void
passthrough_destroy(struct passthrough *table)
{
	rte_free(table);
}

static struct flow *
bucket_of(struct passthrough *table, uint64_t hash)
{
	return &table->flows[(hash >> 32 & table->mask) * WAYS];
}

static struct flow *
find(struct passthrough *table, uint64_t hash, uint64_t now)
{
	struct flow *bucket = bucket_of(table, hash);

	for (unsigned int i = 0; i < WAYS; i++)
		if (bucket[i].hash == hash && now - bucket[i].seen <= PASSTHROUGH_IDLE_US)
			return &bucket[i];
	return NULL;
}

void
passthrough_add(struct passthrough *table, const struct tcp_tuple *tuple, uint64_t now)
{
	uint64_t hash = passthrough_hash(tuple, table->key);
	struct flow *flow = find(table, hash, now);

	if (flow == NULL) {
		flow = bucket_of(table, hash);
		for (unsigned int i = 1; i < WAYS; i++)
			if (bucket_of(table, hash)[i].seen < flow->seen)
				flow = &bucket_of(table, hash)[i];
	}
	*flow = (struct flow){hash, now};
}

bool
passthrough_has(struct passthrough *table, const struct tcp_tuple *tuple, uint64_t now)
{
	struct flow *flow = find(table, passthrough_hash(tuple, table->key), now);

	if (flow != NULL)
		flow->seen = now;
	return flow != NULL;
}
