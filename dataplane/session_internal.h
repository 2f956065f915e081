/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DATAPLANE_SESSION_INTERNAL_H
#define DATAPLANE_SESSION_INTERNAL_H

/* Shared by the session_*.c files; nobody else includes it. */

#include <sys/queue.h>

#include "dataplane/session.h"
#include "dataplane/sniff.h"
#include "tls/chain.h"
#include "tls/record.h"

/* Payloads below SESSION_SMALL bytes count as small; after SESSION_SMALL_MAX of them that
 * wait unacknowledged the next ones are packed together before they are passed on. */
#define SESSION_SMALL 1024
#define SESSION_SMALL_MAX 64

/* How long the downstream is listened to after a local reply or an alert, so that a RST
 * for bytes on their way does not overtake it (RFC 9112 section 9.6). */
#define SESSION_LINGER_US (2 * 1000 * 1000)

/* An upstream that failed before the client of an undetected port said a word: how long
 * its first bytes are waited for, to know whether a 503 would be understood. */
#define SESSION_FIRST_BYTES_US (1000 * 1000)

#define SESSION_WHEEL_SLOTS 256
#define SESSION_WHEEL_TICK_US (50 * 1000)

enum session_state {
	SESSION_FREE,
	SESSION_ACCEPTING,   /* the downstream's TCP handshake */
	SESSION_DETECTING,   /* first bytes */
	SESSION_DOWNSTREAM_HANDSHAKE,
	SESSION_CONNECTING,  /* the upstream's TCP handshake */
	SESSION_UPSTREAM_HANDSHAKE,
	SESSION_RELAYING,
	SESSION_AWAITING_FIRST_BYTES, /* the upstream failed; is the client an HTTP one? */
	SESSION_CLOSING,     /* everything is said; the downstream is listened to */
};

struct leg {
	struct session *session;
	struct tcp_conn *tcp;           /* NULL: none, or given back */
	struct tls_handshake *handshake;
	struct tls_records *records;
	struct tls_chain clear;         /* plaintext that waits for the other leg */
	struct conn_log_tls *tls;       /* what a handshake learned; allocated when it ends */
	TAILQ_ENTRY(leg) handshake_link;
	struct tcp_tuple tuple;
	uint32_t small_given;           /* small payloads since nothing was unacknowledged */
	uint64_t bytes_in;              /* payload received */
	uint64_t bytes_out;             /* given to TCP */
	bool upstream;
	bool handshake_queued;
	bool tcp_eof;    /* the peer's FIN: nothing follows what was received */
	bool shut;       /* we have nothing more to send; close_notify or FIN is on its way */
	bool fin_sent;   /* tcp_shutdown() was called */
	bool finished;   /* TCP_EV_CLOSED */
	bool reset_when_flushed;
};

struct session {
	struct leg downstream, upstream;
	struct session_engine *engine;
	const struct policy_snapshot *snapshot; /* held */
	struct policy_verdict verdict;
	const struct policy_endpoint *endpoint; /* outbound: the chosen one */
	TAILQ_ENTRY(session) dirty_link;
	TAILQ_ENTRY(session) wheel_link;
	struct conn_log_entry *entry;   /* from the moment that something went wrong */
	uint64_t number;
	uint64_t started;               /* us of the worker's clock */
	int64_t started_ns;             /* wall clock */
	uint64_t last_byte;
	uint64_t deadline;              /* UINT64_MAX: none */
	size_t sniff_need;
	uint32_t path;
	unsigned int wheel_slot;
	enum session_state state;
	bool outbound;
	bool dirty;
	bool egress_ran;
	bool on_wheel;
	bool protocol_known;
	bool http;                      /* the client speaks HTTP/1 */
	bool answered;                  /* payload has gone to the downstream */
	bool logged;
};

TAILQ_HEAD(session_list, session);
TAILQ_HEAD(leg_list, leg);

struct session_engine {
	struct session_engine_config config;
	struct tls_batch *batch;
	struct session *sessions;
	struct session **free_sessions;
	uint32_t n_free;
	uint32_t n_sessions;
	struct session_list dirty;
	struct leg_list handshakes;
	struct session_list wheel[SESSION_WHEEL_SLOTS];
	uint64_t wheel_tick;
	uint64_t next_number;
	uint32_t next_endpoint;
	struct session_counters counters;
	uint8_t scratch[SNIFF_MAX];
};

static inline struct leg *
other_leg(struct leg *leg)
{
	return leg->upstream ? &leg->session->downstream : &leg->session->upstream;
}

/* session.c */
void session_mark(struct session *session);
void session_set_deadline(struct session *session, uint64_t deadline);
void session_free(struct session *session, uint64_t now);
/* Ends a session that went wrong: logs, answers the downstream if it can be answered. */
void session_fail(struct session *session, enum session_cause cause, bool upstream,
		  const char *detail, uint64_t now);
/* The upstream is gone or cannot be had. Where the client's protocol is still unknown and
 * may be HTTP, its first bytes decide between a 503 and a reset. */
void session_upstream_failed(struct session *session, enum session_cause cause,
			     const char *detail, uint64_t now);
/* Refused by policy: like session_fail(), but counted and logged as a verdict. */
void session_refuse(struct session *session, enum session_cause cause, const char *detail,
		    uint64_t now);
/* Reads what is there of the downstream's first bytes; nothing is consumed. */
void session_sniff(struct session *session, struct sniff *result);

/* session_relay.c: from leg to leg */
/* Passes on what `from` has, and its end. False: the session failed over it. */
bool session_relay(struct leg *from, uint64_t now);
/* Says to the peer of `from` how much more it may send. */
void session_set_room(struct leg *from, uint64_t now);
/* An undetected port: remembers whether the client speaks HTTP, for the local replies. */
void session_learn_protocol(struct session *session);

/* session_leg.c: one leg, without regard to the other */
void leg_pull(struct leg *leg);                     /* TCP's received bytes into the leg */
struct rte_mbuf *leg_take(struct leg *leg);         /* plaintext for the other leg; NULL: none */
int leg_give(struct leg *leg, struct rte_mbuf *chain); /* plaintext to send; owns it */
int leg_give_text(struct leg *leg, const char *text, size_t length);
bool leg_ended(const struct leg *leg);              /* no plaintext will come any more */
void leg_shut(struct leg *leg, uint64_t now);       /* no plaintext will be given any more */
void leg_flush(struct leg *leg, uint64_t now);      /* sealed records to TCP */
uint32_t leg_backlog(const struct leg *leg);        /* bytes given and not acknowledged */
/* The peer of a connection that has failed acknowledged everything but close_notify. */
bool leg_delivered(const struct leg *leg);
void leg_drop_tcp(struct leg *leg, bool reset, uint64_t now);
void leg_drop_handshake(struct leg *leg);
void leg_free(struct leg *leg, uint64_t now);

/* session_detect.c */
void session_begin(struct session *session, uint64_t now);  /* the downstream is connected */
void session_detect(struct session *session, uint64_t now); /* bytes came, or their end */
void session_detect_expired(struct session *session, uint64_t now); /* its deadline is over */

/* session_handshake.c */
void session_start_server(struct session *session, bool http, uint64_t now);
void session_start_client(struct session *session, uint64_t now);
void session_queue_handshake(struct leg *leg);
void session_handshake_eof(struct leg *leg);
/* The connection is gone: true when what it had sent before fails the handshake. */
bool session_last_step(struct leg *leg, uint64_t now);
enum session_cause session_cause_of_tls(enum tls_cause cause);

/* session_upstream.c */
void session_connect(struct session *session, uint64_t now);
void session_upstream_connected(struct session *session, uint64_t now);

/* session_log.c */
void session_log_failure(struct session *session, enum session_result result,
			 enum session_cause cause, bool upstream, const char *detail);
void session_log_end(struct session *session, uint64_t now);

#endif
