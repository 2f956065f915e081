/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DATAPLANE_WORKER_H
#define DATAPLANE_WORKER_H

/*
 * A poll-mode worker: one core, its own queue of every port, its own TCP stack, neighbours
 * and sessions. Workers share nothing but rings: a packet whose connection lives on another
 * worker is redirected (where the NIC's hash did not do it already), and what one learns of
 * a neighbour is told to the rest.
 */

#include <stdbool.h>
#include <stdint.h>

#include <rte_mempool.h>

#include "control/policy.h"
#include "dataplane/conn_log.h"
#include "dataplane/net.h"
#include "dataplane/port.h"
#include "dataplane/session.h"
#include "tcpstack/tcp.h"
#include "tls/handshake.h"

struct worker;

/* What all workers have in common; outlives them. */
struct worker_shared {
	struct policy *policy;
	const struct policy_node *node;
	struct port *ports[POLICY_MAX_PORTS];
	unsigned int n_ports;
	struct tls_pools pools;
	struct rte_mempool *header_pool;
	uint32_t flow_key[4];     /* random: decides which worker has a connection */
	bool adaptive;            /* sleep when there is nothing to do */
	struct worker *workers[POLICY_MAX_WORKERS];
	unsigned int n_workers;
	bool stop;                /* atomic: take no new connection, end when the rest has */
	uint64_t stop_deadline_us; /* of worker_clock(): end at the latest */
};

/* Microseconds since the process started, monotonic, the same on every core. */
uint64_t worker_clock(void);

/* Makes worker `index` of shared->n_workers, from the main thread and before any of them
 * runs. NULL with a sentence in `error`. */
struct worker *worker_create(struct worker_shared *shared, unsigned int index, char *error,
			     size_t error_len);
/* After worker_run() has returned. */
void worker_destroy(struct worker *worker);

/* The loop, for rte_eal_remote_launch(); `worker` is a struct worker. Returns 0 after
 * shared->stop. */
int worker_run(void *worker);

struct conn_log *worker_log(struct worker *worker);

/* What a worker says of itself; read by other threads, values may lag. */
struct worker_stats {
	uint64_t turns, busy_cycles, idle_cycles;
	uint64_t redirected;     /* packets handed to another worker */
	uint64_t redirect_lost;  /* its ring was full */
	uint64_t looped;         /* segments between two workloads behind us */
	uint64_t unknown_reset;  /* segments of no connection, answered with a reset */
	uint64_t low_memory;     /* connections refused to keep buffers for the others */
	uint32_t sessions, connections, time_waits;
	const struct tcp_counters *tcp;
	const struct net_counters *net;
	const struct session_counters *session;
	const struct tls_record_counters *records;
	const char *crypto;
	uint64_t log_lost;
};
void worker_stats(const struct worker *worker, struct worker_stats *stats);

#endif
