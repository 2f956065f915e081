/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DATAPLANE_SESSION_H
#define DATAPLANE_SESSION_H

/*
 * A session: two legs, downstream (who called) and upstream (who is called), each a TCP
 * connection with or without TLS, and the policy that put them together. This is where
 * tcpstack, tls and control meet; none of them knows of another.
 *
 * A `struct session_engine` belongs to one worker and holds all its sessions. The worker
 * runs it in stages, each over everything that has news:
 *
 *     session_accept()      a SYN that policy says is ours
 *     session_ingress()     TCP's events; received bytes into TLS, sniffing, decisions
 *     session_crypto()      one burst over all whole records
 *     session_handshakes()  OpenSSL, within a budget of cycles
 *     session_egress()      plaintext of one leg to the other, ends, replies, windows
 *     session_crypto()      the records that egress sealed
 *     session_flush()       sealed records to TCP
 *     session_timers()      handshake, idle and linger timeouts
 *
 * Every session ends with one line in the connection log (dataplane/conn_log.h).
 */

#include <stdbool.h>
#include <stdint.h>

#include <rte_mbuf.h>

#include "control/policy.h"
#include "dataplane/conn_log.h"
#include "dataplane/net.h"
#include "tcpstack/tcp.h"
#include "tls/crypto.h"
#include "tls/handshake.h"

/* tcp_segment_path() of segments whose other end is this gateway too: a workload behind us
 * that calls another one behind us. They are handed back to TCP, not to a port. */
#define SESSION_PATH_PORT 0
#define SESSION_PATH_LOOP 1

struct session_engine;

struct session_engine_config {
	struct tcp_stack *tcp;
	struct net *net;
	struct crypto_device *crypto;
	struct tls_pools pools;
	const struct policy_node *node;
	unsigned int worker;        /* for policy_hold() */
	struct conn_log *log;
	/* As in tcp_stack_config; NULL: every port will do. */
	bool (*port_ok)(void *ctx, const struct tcp_tuple *tuple);
	void *port_ok_ctx;
	uint32_t max_sessions;
	uint64_t cycles_per_second; /* of the clock that budgets are measured with */
};

/* Borrows everything in `config`, which must outlive it. NULL: out of memory. */
struct session_engine *session_engine_create(const struct session_engine_config *config);
/* Resets every session; each is logged with the cause shutdown, for which the log is waited
 * a while where it is full. */
void session_engine_shutdown(struct session_engine *engine, uint64_t now);
/* Frees the engine. No session may be left. NULL is ignored. */
void session_engine_destroy(struct session_engine *engine);

/*
 * Answers a SYN by a new session, as `verdict` of `snapshot` says. True: the segment was
 * consumed. False: it was not, no session could be had (counted and logged); the caller
 * refuses it.
 */
bool session_accept(struct session_engine *engine, const struct policy_snapshot *snapshot,
		    const struct policy_verdict *verdict, struct rte_mbuf *syn, uint32_t path,
		    uint64_t now);

/* Each returns how much it did; 0 means idle. */
unsigned int session_ingress(struct session_engine *engine, uint64_t now);
unsigned int session_crypto(struct session_engine *engine, uint64_t now);
unsigned int session_handshakes(struct session_engine *engine, uint64_t now, uint64_t budget_cycles);
unsigned int session_egress(struct session_engine *engine, uint64_t now);
unsigned int session_flush(struct session_engine *engine, uint64_t now);
unsigned int session_timers(struct session_engine *engine, uint64_t now);

uint32_t session_count(const struct session_engine *engine);

#define SESSION_COUNTERS(X)                                                                        \
	X(accepted_inbound, "connections taken for workloads")                                     \
	X(accepted_outbound, "connections taken from workloads")                                   \
	X(refused, "connections refused by policy")                                                \
	X(failed, "connections that failed")                                                       \
	X(finished, "connections that ended in order")                                             \
	X(handshakes_server, "TLS handshakes completed as server")                                 \
	X(handshakes_client, "TLS handshakes completed as client")                                 \
	X(handshakes_failed, "TLS handshakes that failed")                                         \
	X(handshakes_deferred, "times that a turn's handshake budget was used up")                 \
	X(replies_503, "503 answered for an upstream that could not be reached")                   \
	X(replies_400, "400 answered to bytes that are not HTTP")                                  \
	X(packed_bytes, "payload bytes of small segments copied together")                         \
	X(no_session, "connections refused because the session table was full")                    \
	X(log_lost, "lines that the connection log had no room for")

struct session_counters {
#define X(name, text) uint64_t name;
	SESSION_COUNTERS(X)
#undef X
};
const struct session_counters *session_counters(const struct session_engine *engine);
const struct tls_record_counters *session_record_counters(const struct session_engine *engine);

#endif
