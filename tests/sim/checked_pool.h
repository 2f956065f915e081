/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SIM_CHECKED_POOL_H
#define SIM_CHECKED_POOL_H

/*
 * A packet mempool that finds what a plain one hides: a buffer freed twice aborts, a free
 * buffer is filled with rubbish, and under AddressSanitizer it is poisoned, so that a
 * read or write after the free is reported where it happens.
 */

#include <rte_mbuf.h>
#include <rte_mempool.h>

/* `room` 0 makes a pool of indirect mbufs. Aborts when memory cannot be had. */
struct rte_mempool *checked_pool_create(const char *name, uint32_t n, uint16_t room);
void checked_pool_free(struct rte_mempool *pool);

/* Starts the EAL as the tests want it: no huge pages, no devices, `megabytes` of memory.
 * Aborts when it does not start. */
void checked_eal_init(const char *program, unsigned int megabytes);

#endif
