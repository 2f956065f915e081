/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTROL_SNAPSHOT_H
#define CONTROL_SNAPSHOT_H

/*
 * The inside of a policy snapshot: how resolve fills one, and how policy.c publishes and
 * frees it. What readers do with it is in control/policy.h.
 *
 * While it is being filled a snapshot belongs to the control thread. Once published it does
 * not change but for its hold counters, each of which one worker writes.
 *
 * There is one table for all look-ups. A key is an address, a port, and a scope that says
 * what is looked for and on whose behalf:
 *
 *     WORKLOAD   address                     struct policy_workload
 *     LISTENER   address, port               struct snapshot_listener
 *     INBOUND    workload, port              struct policy_inbound
 *     OUTBOUND   client, prefix, port        struct policy_outbound, and an endpoint
 */

#include <stdbool.h>
#include <stdint.h>

#include <rte_common.h>

#include "control/arena.h"
#include "control/policy.h"

/* The most entries that a snapshot may have; a configuration that needs more is refused. */
#define SNAPSHOT_MAX_ENTRIES (16u << 20)
#define SNAPSHOT_DIGEST 32

enum snapshot_scope {
	SNAPSHOT_WORKLOAD,
	SNAPSHOT_LISTENER,
	SNAPSHOT_INBOUND,
	SNAPSHOT_OUTBOUND,
};

struct snapshot_key {
	struct in6_addr address; /* host bits zero; zero for INBOUND */
	uint32_t index;          /* of the workload, for INBOUND and OUTBOUND */
	uint16_t port;
	uint8_t scope;
	uint8_t length; /* of the prefix, OUTBOUND only; of 128 */
};

struct snapshot_entry {
	struct snapshot_key key;
	const void *value;
	int32_t endpoint; /* OUTBOUND: the endpoint that has this address, or -1 */
	uint32_t hash;
};

struct snapshot_listener { /* exactly one of the two */
	const struct policy_inbound *inbound;
	const struct policy_outbound *outbound;
	uint32_t client; /* index of the workload that calls */
};

/* A workload, with what is said of ports that no one declared. */
struct snapshot_workload {
	struct policy_workload workload; /* first: a pointer to one is a pointer to both */
	uint32_t index;
	struct policy_inbound undeclared; /* its port is 0 */
};

struct snapshot_hold {
	uint64_t taken; /* written by one worker, read by the control thread */
} __rte_cache_aligned;

struct snapshot_identity {
	struct tls_identity *identity; /* one reference */
	const char *terms;
};

struct policy_snapshot {
	struct arena *arena;
	uint64_t generation;
	uint32_t *slots; /* indexes into entries plus one; 0: free */
	uint32_t mask;
	struct snapshot_entry *entries; /* in the order in which they came */
	uint32_t n_entries, room;
	uint8_t lengths[129]; /* prefix lengths in OUTBOUND, longest first */
	unsigned int n_lengths;

	struct snapshot_workload *workloads;
	unsigned int n_workloads;
	const char *const *trust_domains;
	unsigned int n_trust_domains;
	struct snapshot_identity *identities;
	unsigned int n_identities, identities_room;

	struct snapshot_hold holds[POLICY_MAX_WORKERS];
};

struct policy_snapshot *snapshot_create(void);
/* Nobody may read it any more. Drops the identities. NULL is fine. */
void snapshot_destroy(struct policy_snapshot *snapshot);

/*
 * Adds an entry unless its key is there already, in which case the one that is there is
 * returned and nothing changes; NULL when it was added. `*full` is set, and nothing added,
 * beyond SNAPSHOT_MAX_ENTRIES.
 */
const struct snapshot_entry *snapshot_insert(struct policy_snapshot *snapshot,
					     const struct snapshot_key *key, const void *value,
					     int endpoint, bool *full);
const struct snapshot_entry *snapshot_find(const struct policy_snapshot *snapshot,
					   const struct snapshot_key *key);

/* Keys; host bits of the prefix are cleared. */
struct snapshot_key snapshot_address_key(enum snapshot_scope scope, const struct in6_addr *address,
					 uint16_t port);
struct snapshot_key snapshot_inbound_key(uint32_t workload, uint16_t port);
struct snapshot_key snapshot_outbound_key(uint32_t client, const struct policy_prefix *prefix,
					  uint16_t port);

/* Takes over the caller's reference. `terms`, copied, says on what terms it was loaded, where
 * these are not in the files (insecureSkipVerify): they are part of the digest. */
void snapshot_keep_identity(struct policy_snapshot *snapshot, struct tls_identity *identity,
			    const char *terms);

/*
 * SHA-256 over everything that a reader can see, provenance and the fingerprints of
 * identities included, and the generation not: two snapshots with the same digest are the
 * same in effect.
 */
void snapshot_digest(const struct policy_snapshot *snapshot, uint8_t digest[SNAPSHOT_DIGEST]);

/* How many sessions hold it. */
uint64_t snapshot_held(const struct policy_snapshot *snapshot);

#endif
