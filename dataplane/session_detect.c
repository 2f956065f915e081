/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is to be done with a new downstream connection: the inbound decision matrix of
 * Istio (declared protocol x arriving bytes x mode), and the much shorter outbound one.
 */
#include <stdio.h>

#include "dataplane/session_internal.h"

enum action {
	ACTION_WAIT,
	ACTION_FORWARD,      /* bytes as they are */
	ACTION_TERMINATE,    /* TLS ends here */
	ACTION_REFUSE,
	ACTION_BAD_REQUEST,  /* HTTP protocol error: 400 */
};

struct decision {
	enum action action;
	bool http;
	enum session_cause cause;
};

static const struct decision wait_for_more = {.action = ACTION_WAIT};

static struct decision
refuse(enum session_cause cause)
{
	return (struct decision){.action = ACTION_REFUSE, .cause = cause};
}

static struct decision
forward(bool http)
{
	return (struct decision){.action = ACTION_FORWARD, .http = http};
}

static struct decision
terminate(bool http)
{
	return (struct decision){.action = ACTION_TERMINATE, .http = http};
}

static bool
is_http_port(enum policy_protocol protocol)
{
	return protocol == POLICY_HTTP || protocol == POLICY_HTTP2;
}

/* STRICT: any TLS is terminated, and fails there for lack of a valid certificate. */
static struct decision
decide_strict(enum policy_protocol protocol, const struct sniff *sniffed)
{
	if (sniffed->kind != SNIFF_TLS)
		return refuse(SESSION_PLAINTEXT_TO_STRICT);
	return terminate(is_http_port(protocol) ||
			 (protocol == POLICY_AUTO && sniffed->mesh_http));
}

/* Plaintext, or TLS that is not ended here, at a port that takes it. */
static struct decision
decide_plaintext(enum policy_protocol protocol, const struct sniff *sniffed)
{
	bool http = sniffed->kind == SNIFF_HTTP || sniffed->kind == SNIFF_HTTP2;

	if (is_http_port(protocol) && !http)
		return (struct decision){.action = ACTION_BAD_REQUEST};
	return forward(sniffed->kind == SNIFF_HTTP &&
		       (is_http_port(protocol) || protocol == POLICY_AUTO));
}

static struct decision
decide_permissive(enum policy_protocol protocol, const struct sniff *sniffed)
{
	if (sniffed->kind == SNIFF_TLS && sniffed->mesh_alpn)
		return terminate(is_http_port(protocol) ||
				 (protocol == POLICY_AUTO && sniffed->mesh_http));
	if (sniffed->kind == SNIFF_TLS && is_http_port(protocol))
		return refuse(SESSION_TLS_WITHOUT_MESH_ALPN);
	return decide_plaintext(protocol, sniffed);
}

static struct decision
decide_inbound(const struct policy_inbound *inbound, const struct sniff *sniffed)
{
	switch (inbound->mode) {
	case POLICY_STRICT:
		return decide_strict(inbound->protocol, sniffed);
	case POLICY_PERMISSIVE:
		return decide_permissive(inbound->protocol, sniffed);
	default:
		return decide_plaintext(inbound->protocol, sniffed);
	}
}

static enum policy_protocol
declared_protocol(const struct session *session)
{
	return session->outbound ? session->verdict.outbound->protocol :
				   session->verdict.inbound->protocol;
}

/* A connection that ended, or a hello that is too large, cannot be waited for. */
static struct decision
decide(struct session *session)
{
	struct sniff sniffed;
	bool ended = session->downstream.tcp_eof;

	if (session->downstream.clear.bytes < RTE_MAX(session->sniff_need, (size_t)1) && !ended)
		return wait_for_more;
	if (session->downstream.clear.bytes == 0)
		return refuse(SESSION_DOWNSTREAM_CLOSED);
	session_sniff(session, &sniffed);
	session->sniff_need = sniffed.need;
	if (sniffed.kind == SNIFF_TOO_LARGE)
		return refuse(SESSION_CLIENT_HELLO_TOO_LARGE);
	if (sniffed.kind == SNIFF_MORE) {
		if (!ended)
			return wait_for_more;
		sniffed.kind = SNIFF_OTHER;
	}
	return session->outbound ? decide_plaintext(declared_protocol(session), &sniffed) :
				   decide_inbound(session->verdict.inbound, &sniffed);
}

/* The sentence that a refusal by policy leaves in the log. */
static void
refuse_by_policy(struct session *session, enum session_cause cause, uint64_t now)
{
	const struct policy_inbound *inbound = session->verdict.inbound;
	const struct policy_source *source = &inbound->source;
	char place[288] = "", detail[768];

	if (session->outbound || cause == SESSION_CLIENT_HELLO_TOO_LARGE) {
		session_refuse(session, cause, NULL, now);
		return;
	}
	if (*source->file != '\0')
		snprintf(place, sizeof(place), " %s (%s:%d)", source->name, source->file,
			 source->line);
	snprintf(detail, sizeof(detail), "%s: port %u of workload %s is %s by %s%s",
		 session_cause_text(cause),
		 inbound->port != 0 ? inbound->port : session->downstream.tuple.local_port,
		 inbound->workload->name, policy_mode_name(inbound->mode), source->kind, place);
	session_refuse(session, cause, detail, now);
}

static void
act(struct session *session, const struct decision *decision, uint64_t now)
{
	session->protocol_known = true;
	session->http = decision->http;
	switch (decision->action) {
	case ACTION_TERMINATE:
		session_start_server(session, decision->http, now);
		break;
	case ACTION_REFUSE:
		refuse_by_policy(session, decision->cause, now);
		break;
	case ACTION_BAD_REQUEST:
		session_fail(session, SESSION_NOT_HTTP, false, NULL, now);
		break;
	default:
		session_connect(session, now);
		break;
	}
}

void
session_detect(struct session *session, uint64_t now)
{
	struct decision decision = decide(session);

	if (decision.action == ACTION_WAIT)
		return;
	if (session->state == SESSION_AWAITING_FIRST_BYTES) {
		session->protocol_known = true;
		session->http = decision.http;
		/* The cause was noted when it happened and is not overwritten. */
		session_fail(session, SESSION_UPSTREAM_RESET, true, NULL, now);
		return;
	}
	if (decision.action == ACTION_REFUSE && decision.cause == SESSION_DOWNSTREAM_CLOSED) {
		/* A probe that connects and closes is no failure of anybody's. */
		session->state = SESSION_CLOSING;
		leg_shut(&session->downstream, now);
		session_set_deadline(session, now + SESSION_LINGER_US);
		return;
	}
	act(session, &decision, now);
}

/* Ports on which nothing has to be known before the upstream is called, so that a server
 * may speak first. */
static bool
connects_at_once(const struct session *session)
{
	if (is_http_port(declared_protocol(session)))
		return false;
	return session->outbound || session->verdict.inbound->mode == POLICY_DISABLE;
}

/* Where any bytes will do, as soon as it is clear that they are not TLS; a request has to come
 * before HTTP can be served or refused, and STRICT takes TLS only. */
static bool
may_give_up_detection(const struct session *session)
{
	return !session->outbound && session->verdict.inbound->mode == POLICY_PERMISSIVE &&
	       !is_http_port(declared_protocol(session));
}

static uint64_t
patience_us(const struct session *session)
{
	const struct policy_node *node = session->engine->config.node;

	if (!session->outbound && session->verdict.inbound->mode == POLICY_STRICT)
		return node->handshake_timeout_ms * UINT64_C(1000);
	if (may_give_up_detection(session) && node->detect_timeout_ms != 0)
		return node->detect_timeout_ms * UINT64_C(1000);
	return node->idle_timeout_ms * UINT64_C(1000);
}

void
session_begin(struct session *session, uint64_t now)
{
	if (connects_at_once(session)) {
		session->protocol_known = declared_protocol(session) != POLICY_AUTO;
		session_connect(session, now);
		return;
	}
	session->state = SESSION_DETECTING;
	session_set_deadline(session, now + patience_us(session));
}

/* As Envoy's continue_on_listener_filters_timeout, which Istio sets: what has not shown itself
 * to be TLS in time is plaintext TCP. */
void
session_detect_expired(struct session *session, uint64_t now)
{
	const struct decision plaintext = forward(false);

	if (!session->outbound && session->verdict.inbound->mode == POLICY_STRICT)
		session_fail(session, SESSION_HANDSHAKE_TIMEOUT, false, NULL, now);
	else if (may_give_up_detection(session) &&
		 session->engine->config.node->detect_timeout_ms != 0)
		act(session, &plaintext, now);
	else
		session_fail(session, SESSION_DETECT_TIMEOUT, false, NULL, now);
}
