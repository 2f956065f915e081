/* SPDX-License-Identifier: Apache-2.0 */
#include "dataplane/session.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <rte_cycles.h>
#include <rte_malloc.h>

#include "dataplane/http_reply.h"
#include "dataplane/session_internal.h"

#define EVENTS_PER_TURN 1024
#define BATCH_OPS 1024
#define LOG_PATIENCE_MS 2000
#define LINGER_ROOM 65536 /* bytes that a closing downstream may still send, to be dropped */

/* --- the engine ------------------------------------------------------------------------------ */

struct session_engine *
session_engine_create(const struct session_engine_config *config)
{
	struct session_engine *engine = rte_zmalloc("session_engine", sizeof(*engine), 64);
	uint32_t n = config->max_sessions;

	if (engine == NULL)
		return NULL;
	engine->config = *config;
	engine->batch = tls_batch_create(config->crypto, BATCH_OPS);
	engine->sessions = rte_zmalloc("sessions", n * sizeof(struct session), 64);
	engine->free_sessions = rte_malloc("session_free", n * sizeof(struct session *), 64);
	if (engine->batch == NULL || engine->sessions == NULL || engine->free_sessions == NULL) {
		session_engine_destroy(engine);
		return NULL;
	}
	for (uint32_t i = n; i-- > 0;)
		engine->free_sessions[engine->n_free++] = &engine->sessions[i];
	TAILQ_INIT(&engine->dirty);
	TAILQ_INIT(&engine->handshakes);
	for (unsigned int i = 0; i < SESSION_WHEEL_SLOTS; i++)
		TAILQ_INIT(&engine->wheel[i]);
	return engine;
}

void
session_engine_destroy(struct session_engine *engine)
{
	if (engine == NULL)
		return;
	if (engine->batch != NULL)
		tls_batch_destroy(engine->batch);
	rte_free(engine->sessions);
	rte_free(engine->free_sessions);
	rte_free(engine);
}

/* At the end there is no traffic to keep waiting; the log is emptied every few ms. */
static void
wait_for_log(const struct session_engine *engine, unsigned int *patience_ms)
{
	const struct timespec ms = {.tv_nsec = 1000000};

	while (*patience_ms > 0 && conn_log_is_full(engine->config.log)) {
		(*patience_ms)--;
		nanosleep(&ms, NULL);
	}
}

void
session_engine_shutdown(struct session_engine *engine, uint64_t now)
{
	unsigned int patience_ms = LOG_PATIENCE_MS;

	for (uint32_t i = 0; i < engine->config.max_sessions; i++) {
		struct session *session = &engine->sessions[i];

		if (session->state == SESSION_FREE)
			continue;
		if (session->state == SESSION_ACCEPTING)
			session->logged = true; /* it had not begun */
		wait_for_log(engine, &patience_ms);
		session_log_failure(session, SESSION_FAILED, SESSION_SHUTDOWN, false, NULL);
		leg_drop_tcp(&session->downstream, true, now);
		leg_drop_tcp(&session->upstream, true, now);
		session_free(session, now);
	}
}

uint32_t
session_count(const struct session_engine *engine)
{
	return engine->n_sessions;
}

const struct session_counters *
session_counters(const struct session_engine *engine)
{
	return &engine->counters;
}

const struct tls_record_counters *
session_record_counters(const struct session_engine *engine)
{
	return tls_batch_counters(engine->batch);
}

/* --- marks and deadlines ------------------------------------------------------------------------ */

void
session_mark(struct session *session)
{
	if (session->dirty || session->state == SESSION_FREE)
		return;
	session->dirty = true;
	TAILQ_INSERT_TAIL(&session->engine->dirty, session, dirty_link);
}

static void
wheel_remove(struct session *session)
{
	if (!session->on_wheel)
		return;
	TAILQ_REMOVE(&session->engine->wheel[session->wheel_slot], session, wheel_link);
	session->on_wheel = false;
}

/* A slot is visited when the clock passes it; what lies beyond the wheel's horizon is put
 * into the last slot and moved on when that comes. */
static void
wheel_insert(struct session *session, uint64_t now_tick)
{
	struct session_engine *engine = session->engine;
	uint64_t tick = session->deadline / SESSION_WHEEL_TICK_US + 1;

	if (tick <= now_tick)
		tick = now_tick + 1;
	if (tick > now_tick + SESSION_WHEEL_SLOTS - 1)
		tick = now_tick + SESSION_WHEEL_SLOTS - 1;
	session->wheel_slot = tick % SESSION_WHEEL_SLOTS;
	TAILQ_INSERT_TAIL(&engine->wheel[session->wheel_slot], session, wheel_link);
	session->on_wheel = true;
}

void
session_set_deadline(struct session *session, uint64_t deadline)
{
	/* A later deadline is a store: the wheel finds out when the earlier one fires. */
	if (session->on_wheel && deadline >= session->deadline) {
		session->deadline = deadline;
		return;
	}
	wheel_remove(session);
	session->deadline = deadline;
	if (deadline != UINT64_MAX)
		wheel_insert(session, session->engine->wheel_tick);
}

/* --- birth and death --------------------------------------------------------------------------- */

static int64_t
wall_clock_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts); /* the vDSO: no system call */
	return ts.tv_sec * INT64_C(1000000000) + ts.tv_nsec;
}

static struct session *
session_alloc(struct session_engine *engine, const struct policy_snapshot *snapshot,
	      const struct policy_verdict *verdict, uint32_t path, uint64_t now)
{
	struct session *session;

	if (engine->n_free == 0)
		return NULL;
	session = engine->free_sessions[--engine->n_free];
	memset(session, 0, sizeof(*session));
	engine->n_sessions++;
	session->engine = engine;
	session->state = SESSION_ACCEPTING;
	session->snapshot = snapshot;
	policy_hold(snapshot, engine->config.worker);
	session->verdict = *verdict;
	session->outbound = verdict->direction == POLICY_OUTBOUND;
	session->path = path;
	session->number = ++engine->next_number << 6 | engine->config.worker;
	session->started = session->last_byte = now;
	session->started_ns = wall_clock_ns();
	session->deadline = UINT64_MAX;
	session->downstream.session = session->upstream.session = session;
	session->upstream.upstream = true;
	return session;
}

void
session_free(struct session *session, uint64_t now)
{
	struct session_engine *engine = session->engine;

	session_log_end(session, now);
	leg_free(&session->downstream, now);
	leg_free(&session->upstream, now);
	wheel_remove(session);
	if (session->dirty)
		TAILQ_REMOVE(&engine->dirty, session, dirty_link);
	session->dirty = false;
	policy_drop(session->snapshot, engine->config.worker);
	session->state = SESSION_FREE;
	engine->n_sessions--;
	engine->free_sessions[engine->n_free++] = session;
}

static void
downstream_config(const struct session *session, const struct tcp_tuple *tuple,
		  struct tcp_conn_config *config)
{
	const struct policy_node *node = session->engine->config.node;
	struct in6_addr source;
	uint16_t mtu = 1500;

	net_source_for(session->engine->config.net, &tuple->remote, &source, &mtu);
	*config = (struct tcp_conn_config){
		.mss = mtu - 20 - (IN6_IS_ADDR_V4MAPPED(&tuple->remote) ? 20 : 40),
		.room = node->buffer_bytes,
		.keepalive_idle_ms = node->keepalive_ms,
		.path = session->path,
	};
}

bool
session_accept(struct session_engine *engine, const struct policy_snapshot *snapshot,
	       const struct policy_verdict *verdict, struct rte_mbuf *syn, uint32_t path,
	       uint64_t now)
{
	struct tcp_conn_config config;
	struct tcp_tuple tuple;
	struct session *session;
	uint8_t flags;
	int error;

	if (!tcp_peek(syn, &tuple, &flags))
		return false;
	session = session_alloc(engine, snapshot, verdict, path, now);
	if (session == NULL) {
		engine->counters.no_session++;
		return false;
	}
	downstream_config(session, &tuple, &config);
	config.user = &session->downstream;
	session->downstream.tuple = tuple;
	error = tcp_accept(engine->config.tcp, syn, now, &config, &session->downstream.tcp);
	if (error != TCP_OK) {
		session->logged = true; /* nothing has begun */
		session_free(session, now);
		return error == TCP_E_COOKIE; /* it is answered, the session comes with the ACK */
	}
	if (session->outbound)
		engine->counters.accepted_outbound++;
	else
		engine->counters.accepted_inbound++;
	return true;
}

/* --- what goes wrong ----------------------------------------------------------------------------- */

static uint64_t
idle_timeout_us(const struct session *session)
{
	return session->engine->config.node->idle_timeout_ms * UINT64_C(1000);
}

/* Says goodbye to the downstream: what was given to it is still sent, what comes from it is
 * thrown away for a while, then the session is freed. */
static void
start_closing(struct session *session, uint64_t now)
{
	struct leg *downstream = &session->downstream;

	session->state = SESSION_CLOSING;
	tls_chain_free(&downstream->clear);
	leg_drop_tcp(&session->upstream, true, now);
	leg_drop_handshake(&session->upstream);
	leg_flush(downstream, now);
	leg_drop_handshake(downstream);
	leg_shut(downstream, now);
	/* A slow reader is not cut short: its TCP gives up on one that is gone. */
	session_set_deadline(session, now + (downstream->reset_when_flushed ?
						     idle_timeout_us(session) :
						     SESSION_LINGER_US));
	session_mark(session);
}

static bool
reply_is_possible(const struct session *session)
{
	const struct leg *downstream = &session->downstream;

	return session->http && !session->answered && !downstream->shut &&
	       downstream->tcp != NULL && downstream->handshake == NULL;
}

static bool
reply(struct session *session, unsigned int status, enum session_cause cause)
{
	char text[HTTP_REPLY_MAX];
	size_t length = http_reply(text, status, cause, session->started_ns / 1000000000);

	if (leg_give_text(&session->downstream, text, length) != 0)
		return false;
	session->answered = true;
	if (status == 503) {
		session->engine->counters.replies_503++;
		if (session->entry != NULL)
			session->entry->replied_503 = true;
	} else {
		session->engine->counters.replies_400++;
	}
	session_mark(session);
	return true;
}

/* True where the downstream is still to read something, a reply or an alert: then the
 * connection ends in order. In all other cases it is reset: a clean end (close_notify, FIN)
 * would tell the client that what it has is complete. */
static bool
has_last_words(const struct session *session, bool replied)
{
	const struct leg *downstream = &session->downstream;

	if (downstream->tcp == NULL)
		return false;
	return replied || downstream->handshake != NULL ||
	       (downstream->records != NULL && tls_records_error(downstream->records) != 0);
}

static enum session_cause
session_first_cause(const struct session *session, enum session_cause cause)
{
	return session->entry != NULL ? session->entry->cause : cause;
}

void
session_fail(struct session *session, enum session_cause cause, bool upstream, const char *detail,
	     uint64_t now)
{
	bool replied = false;

	if (session->state == SESSION_CLOSING)
		return;
	session_log_failure(session, SESSION_FAILED, cause, upstream, detail);
	session->engine->counters.failed++;
	if (upstream && reply_is_possible(session))
		replied = reply(session, 503, session_first_cause(session, cause));
	else if (cause == SESSION_NOT_HTTP)
		replied = reply(session, 400, cause);
	session_log_end(session, now);
	if (has_last_words(session, replied)) {
		start_closing(session, now);
		return;
	}
	/* What the upstream had sent before it failed is delivered, then the failure. */
	if (upstream && session->downstream.tcp != NULL && leg_backlog(&session->downstream) > 0) {
		session->downstream.reset_when_flushed = true;
		session->downstream.shut = session->downstream.fin_sent = true;
		start_closing(session, now);
		return;
	}
	leg_drop_tcp(&session->downstream, true, now);
	leg_drop_tcp(&session->upstream, true, now);
	session_free(session, now);
}

void
session_refuse(struct session *session, enum session_cause cause, const char *detail, uint64_t now)
{
	session_log_failure(session, SESSION_REFUSED, cause, false, detail);
	session->engine->counters.refused++;
	session_log_end(session, now);
	if (has_last_words(session, false)) {
		start_closing(session, now);
		return;
	}
	leg_drop_tcp(&session->downstream, true, now);
	leg_drop_tcp(&session->upstream, true, now);
	session_free(session, now);
}

/* --- stage: ingress ------------------------------------------------------------------------------ */

static enum session_cause
cause_of_tcp(int error, bool upstream)
{
	switch (error) {
	case TCP_E_REFUSED:
		return SESSION_UPSTREAM_REFUSED;
	case TCP_E_RESET:
		return upstream ? SESSION_UPSTREAM_RESET : SESSION_DOWNSTREAM_RESET;
	case TCP_E_UNREACHABLE:
		return SESSION_UPSTREAM_UNREACHABLE;
	case TCP_E_NO_MEMORY:
		return SESSION_OUT_OF_MEMORY;
	default:
		return upstream ? SESSION_UPSTREAM_TIMEOUT : SESSION_DOWNSTREAM_TIMEOUT;
	}
}

void
session_upstream_failed(struct session *session, enum session_cause cause, const char *detail,
			uint64_t now)
{
	bool wait;

	/* What it had sent before is delivered. */
	if (session->state == SESSION_RELAYING && !session_relay(&session->upstream, now))
		return;
	session_learn_protocol(session);
	wait = !session->protocol_known && !session->answered && !session->downstream.tcp_eof;
	if (!wait) {
		session_fail(session, cause, true, detail, now);
		return;
	}
	session_log_failure(session, SESSION_FAILED, cause, true, detail);
	leg_drop_tcp(&session->upstream, true, now);
	leg_drop_handshake(&session->upstream);
	tls_records_destroy(session->upstream.records);
	session->upstream.records = NULL;
	session->state = SESSION_AWAITING_FIRST_BYTES;
	session_set_deadline(session, now + SESSION_FIRST_BYTES_US);
}

/* A peer that has closed its socket answers our close_notify, or what else comes late, with
 * a RST. When both directions had come to their end that is no failure. */
static bool
had_ended(const struct session *session, const struct leg *leg, int error)
{
	return session->state == SESSION_RELAYING && error == TCP_E_RESET &&
	       leg_ended(&session->downstream) && leg_ended(&session->upstream) &&
	       (leg->upstream || leg_delivered(leg));
}

static void
leg_broken(struct leg *leg, enum session_cause cause, const char *detail, uint64_t now)
{
	if (leg->upstream)
		session_upstream_failed(leg->session, cause, detail, now);
	else
		session_fail(leg->session, cause, false, detail, now);
}

/* Broken records or an alert of the peer. */
static bool
records_failed(struct leg *leg, uint64_t now)
{
	char detail[160];
	uint8_t alert;
	int error;

	if (leg->records == NULL || (error = tls_records_error(leg->records)) == 0)
		return false;
	if (error == TLS_RECORD_ALERT) {
		alert = tls_records_alert_received(leg->records);
		snprintf(detail, sizeof(detail), "the %s sent the TLS alert %s (%u)%s",
			 leg->upstream ? "upstream" : "downstream", tls_alert_name(alert), alert,
			 tls_records_confirmed(leg->records) ? "" :
			 ", before it accepted our side of the handshake");
		leg_broken(leg, SESSION_TLS_ALERT_RECEIVED, detail, now);
		return true;
	}
	if (!tls_records_flushed(leg->records) && tls_records_alert_sent(leg->records) == 0)
		session_crypto(leg->session->engine, now); /* the alert */
	alert = tls_records_alert_sent(leg->records);
	snprintf(detail, sizeof(detail), "%s; answered with the TLS alert %s (%u)",
		 tls_record_strerror(error), tls_alert_name(alert), alert);
	leg_flush(leg, now);
	if (leg->upstream) /* released, not reset: the alert is still delivered */
		leg_drop_tcp(leg, false, now);
	leg_broken(leg, SESSION_TLS_ALERT_SENT, detail, now);
	return true;
}

/* What a peer sent before its RST is read first: an alert says more than the RST does. True:
 * it ended the session. */
static bool
heard_alert(struct leg *leg, uint64_t now)
{
	struct session *session = leg->session;

	if (session->state == SESSION_CLOSING)
		return false;
	if (leg->handshake != NULL)
		return session_last_step(leg, now);
	if (leg->records == NULL)
		return false;
	session_crypto(session->engine, now);
	return records_failed(leg, now);
}

static void
leg_failed(struct leg *leg, bool connected, uint64_t now)
{
	struct session *session = leg->session;
	int error = tcp_conn_error(leg->tcp);
	enum session_cause cause = cause_of_tcp(error, leg->upstream);
	bool ended;

	if (heard_alert(leg, now))
		return;
	ended = had_ended(session, leg, error);
	leg_drop_tcp(leg, false, now);
	if (ended) {
		leg->finished = true;
		return;
	}
	if (session->state == SESSION_CLOSING) {
		session_free(session, now);
	} else if (session->state == SESSION_ACCEPTING && !connected) {
		session->logged = true; /* a SYN that nobody followed up; counted by TCP */
		session_free(session, now);
	} else if (leg->upstream) {
		session_upstream_failed(session, cause, NULL, now);
	} else {
		session_fail(session, cause, false, NULL, now);
	}
}

static void
leg_event(struct leg *leg, uint32_t bits, uint64_t now)
{
	struct session *session = leg->session;

	session->last_byte = now;
	session_mark(session);
	if (bits & TCP_EV_READABLE)
		leg_pull(leg);
	if (bits & TCP_EV_EOF)
		leg->tcp_eof = true;
	if (bits & TCP_EV_CLOSED)
		leg->finished = true;
	if (bits & TCP_EV_FAILED) {
		leg_failed(leg, bits & TCP_EV_CONNECTED, now);
		return;
	}
	if (bits & TCP_EV_CONNECTED) {
		if (leg->upstream)
			session_upstream_connected(session, now);
		else
			session_begin(session, now);
	}
}

unsigned int
session_ingress(struct session_engine *engine, uint64_t now)
{
	struct tcp_event event;
	unsigned int total = 0;

	/* One at a time: what an event does may release the connection of the next one. */
	while (total < EVENTS_PER_TURN && tcp_events(engine->config.tcp, &event, 1) == 1) {
		leg_event(tcp_user(event.conn), event.bits, now);
		total++;
	}
	return total;
}

/* --- stage: crypto --------------------------------------------------------------------------------- */

static bool
has_received(const struct leg *leg)
{
	return tls_records_held_in(leg->records) > 0 || tls_records_eof(leg->records) ||
	       tls_records_error(leg->records) != 0;
}

unsigned int
session_crypto(struct session_engine *engine, uint64_t now)
{
	unsigned int done;
	struct leg *leg;

	tls_batch_set_time(engine->batch, now);
	done = tls_batch_run(engine->batch);
	while ((leg = tls_batch_next(engine->batch)) != NULL) {
		session_mark(leg->session);
		/* What was opened after egress looked is looked at in the next turn. */
		if (has_received(leg))
			leg->session->egress_ran = false;
	}
	return done;
}

/* --- stage: egress ---------------------------------------------------------------------------------- */

static void
run_relaying(struct session *session, uint64_t now)
{
	if (!session_relay(&session->downstream, now))
		return;
	if (!session_relay(&session->upstream, now))
		return;
	session_set_room(&session->downstream, now);
	session_set_room(&session->upstream, now);
	session_set_deadline(session, session->last_byte + idle_timeout_us(session));
}

/* What a handshake has taken makes room for more of it: it has a limit of its own. */
static void
run_handshake(struct leg *leg, uint64_t now)
{
	if (leg->handshake_queued)
		return;
	if (leg->tcp_eof)
		session_handshake_eof(leg);
	else
		tcp_set_room(leg->tcp, leg->session->engine->config.node->buffer_bytes, now);
}

static void
run_session(struct session *session, uint64_t now)
{
	if (session->state != SESSION_CLOSING &&
	    (records_failed(&session->downstream, now) || records_failed(&session->upstream, now)))
		return;
	switch (session->state) {
	case SESSION_DETECTING:
		session_detect(session, now);
		break;
	case SESSION_DOWNSTREAM_HANDSHAKE:
		run_handshake(&session->downstream, now);
		break;
	case SESSION_UPSTREAM_HANDSHAKE:
		run_handshake(&session->upstream, now);
		session_set_room(&session->downstream, now);
		break;
	case SESSION_CONNECTING:
		session_set_room(&session->downstream, now);
		break;
	case SESSION_RELAYING:
		run_relaying(session, now);
		break;
	case SESSION_AWAITING_FIRST_BYTES:
		session_detect(session, now);
		break;
	case SESSION_CLOSING:
		if (session->downstream.tcp != NULL)
			tcp_set_room(session->downstream.tcp, LINGER_ROOM, now);
		break;
	default:
		break;
	}
}

unsigned int
session_egress(struct session_engine *engine, uint64_t now)
{
	struct session *session, *next;
	unsigned int n = 0;

	for (session = TAILQ_FIRST(&engine->dirty); session != NULL; session = next) {
		next = TAILQ_NEXT(session, dirty_link);
		session->egress_ran = true;
		run_session(session, now);
		n++;
	}
	return n;
}

/* --- stage: flush ------------------------------------------------------------------------------------ */

static bool
is_over(const struct session *session)
{
	const struct leg *downstream = &session->downstream;
	const struct leg *upstream = &session->upstream;

	if (session->state == SESSION_CLOSING)
		return downstream->tcp == NULL || downstream->finished;
	return session->state == SESSION_RELAYING && downstream->finished && upstream->finished;
}

unsigned int
session_flush(struct session_engine *engine, uint64_t now)
{
	struct session *session, *next;
	unsigned int n = 0;

	for (session = TAILQ_FIRST(&engine->dirty); session != NULL; session = next) {
		next = TAILQ_NEXT(session, dirty_link);
		leg_flush(&session->downstream, now);
		leg_flush(&session->upstream, now);
		n++;
		if (is_over(session)) {
			if (session->state == SESSION_RELAYING)
				engine->counters.finished++;
			session_free(session, now);
		} else if (session->egress_ran) {
			TAILQ_REMOVE(&engine->dirty, session, dirty_link);
			session->dirty = session->egress_ran = false;
		}
	}
	return n;
}

/* --- stage: timers ------------------------------------------------------------------------------------ */

static void
expire(struct session *session, uint64_t now)
{
	switch (session->state) {
	case SESSION_DETECTING:
		session_detect_expired(session, now);
		break;
	case SESSION_DOWNSTREAM_HANDSHAKE:
		session_fail(session, SESSION_HANDSHAKE_TIMEOUT, false, NULL, now);
		break;
	case SESSION_UPSTREAM_HANDSHAKE:
		session_upstream_failed(session, SESSION_HANDSHAKE_TIMEOUT, NULL, now);
		break;
	case SESSION_RELAYING:
		session_fail(session, SESSION_IDLE_TIMEOUT, false, NULL, now);
		break;
	case SESSION_AWAITING_FIRST_BYTES:
		session_fail(session, SESSION_UPSTREAM_RESET, true, NULL, now);
		break;
	case SESSION_CLOSING:
		leg_drop_tcp(&session->downstream, session->downstream.reset_when_flushed, now);
		session_free(session, now);
		break;
	default:
		break;
	}
}

unsigned int
session_timers(struct session_engine *engine, uint64_t now)
{
	uint64_t tick = now / SESSION_WHEEL_TICK_US;
	struct session_list due;
	struct session *session;
	unsigned int n = 0;

	if (engine->wheel_tick == 0)
		engine->wheel_tick = tick;
	for (unsigned int slots = 0; engine->wheel_tick < tick && slots < SESSION_WHEEL_SLOTS;
	     slots++) {
		struct session_list *slot = &engine->wheel[++engine->wheel_tick % SESSION_WHEEL_SLOTS];

		TAILQ_INIT(&due);
		TAILQ_CONCAT(&due, slot, wheel_link);
		while ((session = TAILQ_FIRST(&due)) != NULL) {
			TAILQ_REMOVE(&due, session, wheel_link);
			session->on_wheel = false;
			if (session->deadline == UINT64_MAX)
				continue;
			if (session->deadline > now) {
				wheel_insert(session, engine->wheel_tick);
				continue;
			}
			n++;
			expire(session, now);
		}
	}
	engine->wheel_tick = tick;
	return n;
}
