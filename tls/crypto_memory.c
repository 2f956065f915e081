/* SPDX-License-Identifier: Apache-2.0 */
/* Slots for keys, in memory that is locked and that core dumps leave out. */

#include <errno.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>

#include <rte_branch_prediction.h>
#include <rte_common.h>
#include <rte_log.h>

#include "tls/crypto_internal.h"

#define HUGE_PAGE (2u << 20)

RTE_LOG_REGISTER(crypto_log, portcullis.crypto, NOTICE);

/* Chunks begin with the link to the next one and its cache line. */
#define CHUNK_HEADER RTE_CACHE_LINE_SIZE

void
crypto_slab_init(struct crypto_slab *slab, uint32_t slot, uint32_t chunk)
{
	*slab = (struct crypto_slab){
		.slot = RTE_ALIGN_CEIL(slot, RTE_CACHE_LINE_SIZE),
		.chunk = chunk,
	};
}

/* mmap with the alignment of huge pages where the chunk is that large: 100,000 keys of a
 * kilobyte want few TLB entries. */
static void *
map_chunk(size_t size)
{
	size_t slack = size >= HUGE_PAGE ? HUGE_PAGE : 0;
	uint8_t *area = mmap(NULL, size + slack, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint8_t *chunk;

	if (area == MAP_FAILED)
		return NULL;
	if (slack == 0)
		return area;
	chunk = RTE_PTR_ALIGN_CEIL(area, HUGE_PAGE);
	if (chunk > area)
		munmap(area, chunk - area);
	if (chunk + size < area + size + slack)
		munmap(chunk + size, (area + size + slack) - (chunk + size));
	(void)madvise(chunk, size, MADV_HUGEPAGE);
	return chunk;
}

static void
protect_chunk(void *chunk, size_t size)
{
	static atomic_flag warned = ATOMIC_FLAG_INIT;

	(void)madvise(chunk, size, MADV_DONTDUMP);
	/* A child that is forked has no business with the keys. */
	(void)madvise(chunk, size, MADV_WIPEONFORK);
	if (mlock(chunk, size) != 0 && !atomic_flag_test_and_set(&warned))
		rte_log(RTE_LOG_WARNING, crypto_log,
			"cannot lock the memory of keys (%s): it may be swapped out; "
			"raise RLIMIT_MEMLOCK\n",
			strerror(errno));
}

static int
slab_grow(struct crypto_slab *slab)
{
	uint8_t *chunk = map_chunk(slab->chunk);

	if (chunk == NULL)
		return -1;
	protect_chunk(chunk, slab->chunk);
	*(void **)chunk = slab->chunks;
	slab->chunks = chunk;
	for (size_t at = CHUNK_HEADER; at + slab->slot <= slab->chunk; at += slab->slot) {
		*(void **)(chunk + at) = slab->free;
		slab->free = chunk + at;
	}
	return 0;
}

void *
crypto_slab_get(struct crypto_slab *slab)
{
	void *slot;

	if (slab->free == NULL && slab_grow(slab) != 0)
		return NULL;
	slot = slab->free;
	slab->free = *(void **)slot;
	*(void **)slot = NULL;
	slab->in_use++;
	return slot;
}

void
crypto_slab_put(struct crypto_slab *slab, void *slot)
{
	explicit_bzero(slot, slab->slot);
	*(void **)slot = slab->free;
	slab->free = slot;
	slab->in_use--;
}

void
crypto_slab_close(struct crypto_slab *slab)
{
	void *chunk = slab->chunks;

	while (chunk != NULL) {
		void *next = *(void **)chunk;

		explicit_bzero(chunk, slab->chunk);
		munmap(chunk, slab->chunk);
		chunk = next;
	}
	slab->chunks = NULL;
	slab->free = NULL;
}
