/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DATAPLANE_PASSTHROUGH_H
#define DATAPLANE_PASSTHROUGH_H

/*
 * The TCP flows of workloads that policy lets pass by, untouched. A segment of a workload
 * that belongs to no connection of ours is routed on only if its flow stands here: so no
 * segment of a protected connection, late or left over from before a restart, ever leaves
 * in plaintext.
 *
 * A set of fixed size per worker: a flow is its keyed 64-bit hash, the same in both
 * directions. Where a bucket is full the flow that was silent longest makes room (its next
 * segment is answered with a reset).
 */

#include <stdbool.h>
#include <stdint.h>

#include "tcpstack/tcp.h"

/* A flow without a segment for this long is forgotten. */
#define PASSTHROUGH_IDLE_US (UINT64_C(7200) * 1000 * 1000)

struct passthrough;

/* `flows` is rounded up to a power of two; `key` seeds the hash. NULL: out of memory. */
struct passthrough *passthrough_create(uint32_t flows, const uint32_t key[4]);
void passthrough_destroy(struct passthrough *table);

/* Admits a flow. */
void passthrough_add(struct passthrough *table, const struct tcp_tuple *tuple, uint64_t now);
/* True for an admitted flow, seen from either side; it stays for another while. */
bool passthrough_has(struct passthrough *table, const struct tcp_tuple *tuple, uint64_t now);

/* A keyed hash of a tuple that is the same in both directions. */
uint64_t passthrough_hash(const struct tcp_tuple *tuple, const uint32_t key[4]);

#endif
