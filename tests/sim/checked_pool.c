/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/checked_pool.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <rte_eal.h>
#include <rte_errno.h>

#ifdef __SANITIZE_ADDRESS__
#define CHECKED_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define CHECKED_ASAN 1
#endif
#endif

#ifdef CHECKED_ASAN
#include <sanitizer/asan_interface.h>
#define POISON(at, len) ASAN_POISON_MEMORY_REGION(at, len)
#define UNPOISON(at, len) ASAN_UNPOISON_MEMORY_REGION(at, len)
#else
#define POISON(at, len) ((void)(at), (void)(len))
#define UNPOISON(at, len) ((void)(at), (void)(len))
#endif

/* A stack of free objects. It stands behind the mempool's operations; with a cache of 0
 * every get and put comes here. */
struct checked {
	struct checked *next;
	uint32_t count;
	bool armed; /* the objects are initialised; from here on they are watched */
	void *free[];
};

/* The EAL's memory is not searched by LeakSanitizer; from here it sees them. */
static struct checked *all;

static int
checked_alloc(struct rte_mempool *mp)
{
	struct checked *c = calloc(1, sizeof(*c) + mp->size * sizeof(void *));

	if (c == NULL)
		return -ENOMEM;
	c->next = all;
	all = c;
	mp->pool_data = c;
	return 0;
}

static void
checked_release(struct rte_mempool *mp)
{
	struct checked **link = &all;

	while (*link != NULL && *link != mp->pool_data)
		link = &(*link)->next;
	if (*link != NULL)
		*link = (*link)->next;
	free(mp->pool_data);
	mp->pool_data = NULL;
}

/* A free mbuf has no business with its data: what is found there later must not be mistaken
 * for payload. The reference count of 1 is what rte_mbuf_raw_alloc() asks for. */
static void
retire(const struct rte_mempool *mp, void *obj)
{
	struct rte_mbuf *m = obj;

	if (m->buf_len != 0)
		memset(m->buf_addr, 0xdb, m->buf_len);
	POISON(obj, mp->elt_size);
}

static int
checked_enqueue(struct rte_mempool *mp, void *const *objs, unsigned int n)
{
	struct checked *c = mp->pool_data;

	for (unsigned int i = 0; i < n; i++) {
		if (c->armed) {
#ifdef CHECKED_ASAN
			if (__asan_address_is_poisoned(objs[i])) {
				fprintf(stderr, "%s: buffer freed twice\n", mp->name);
				abort();
			}
#else
			for (uint32_t j = c->count > 64 ? c->count - 64 : 0; j < c->count; j++) {
				if (c->free[j] == objs[i]) {
					fprintf(stderr, "%s: buffer freed twice\n", mp->name);
					abort();
				}
			}
#endif
			retire(mp, objs[i]);
		}
		if (c->count >= mp->size) {
			fprintf(stderr, "%s: more buffers than it was born with\n", mp->name);
			abort();
		}
		c->free[c->count++] = objs[i];
	}
	return 0;
}

static int
checked_dequeue(struct rte_mempool *mp, void **objs, unsigned int n)
{
	struct checked *c = mp->pool_data;

	if (c->count < n)
		return -ENOBUFS;
	for (unsigned int i = 0; i < n; i++) {
		objs[i] = c->free[--c->count];
		UNPOISON(objs[i], mp->elt_size);
	}
	return 0;
}

static unsigned int
checked_count(const struct rte_mempool *mp)
{
	return ((const struct checked *)mp->pool_data)->count;
}

static const struct rte_mempool_ops checked_ops = {
	.name = "checked",
	.alloc = checked_alloc,
	.free = checked_release,
	.enqueue = checked_enqueue,
	.dequeue = checked_dequeue,
	.get_count = checked_count,
};
RTE_MEMPOOL_REGISTER_OPS(checked_ops);

struct rte_mempool *
checked_pool_create(const char *name, uint32_t n, uint16_t room)
{
	uint16_t data = room == 0 ? 0 : (uint16_t)(room + RTE_PKTMBUF_HEADROOM);
	struct rte_mempool *mp =
		rte_pktmbuf_pool_create_by_ops(name, n, 0, 0, data, SOCKET_ID_ANY, "checked");

	if (mp == NULL) {
		fprintf(stderr, "mempool %s: %s\n", name, rte_strerror(rte_errno));
		abort();
	}
	struct checked *c = mp->pool_data;

	c->armed = true;
	for (uint32_t i = 0; i < c->count; i++)
		retire(mp, c->free[i]);
	return mp;
}

void
checked_pool_free(struct rte_mempool *pool)
{
	struct checked *c = pool->pool_data;

	for (uint32_t i = 0; i < c->count; i++)
		UNPOISON(c->free[i], pool->elt_size);
	rte_mempool_free(pool);
}

void
checked_eal_init(const char *program, unsigned int megabytes)
{
	char memory[16], prefix[64], core[16];
	char *argv[] = {(char *)(uintptr_t)program,
			"--no-huge",
			"--no-shconf",
			"--no-pci",
			"--no-telemetry",
			"--log-level=error",
			"-l",
			core,
			"-m",
			memory,
			prefix,
			NULL};
	cpu_set_t cpus;
	int first = 0;

	/* The EAL pins us to its core; tests that run beside each other must not all sit on
	 * the same one. */
	CPU_ZERO(&cpus);
	sched_getaffinity(0, sizeof(cpus), &cpus);
	while (first < CPU_SETSIZE - 1 && !CPU_ISSET(first, &cpus))
		first++;
	snprintf(core, sizeof(core), "%d", first);
	snprintf(memory, sizeof(memory), "%u", megabytes);
	snprintf(prefix, sizeof(prefix), "--file-prefix=%.20s_%d", program, (int)getpid());
	if (rte_eal_init((int)(sizeof(argv) / sizeof(argv[0])) - 1, argv) < 0) {
		fprintf(stderr, "EAL: %s\n", rte_strerror(rte_errno));
		abort();
	}
	sched_setaffinity(0, sizeof(cpus), &cpus);
}
