/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_cycles.h>

#include "dataplane/session_internal.h"

/* What a server selects from, RFC 7301 wire form. HTTP/2 is not offered on a port that is
 * declared as HTTP/1: the workload behind it could not read it. */
static const uint8_t alpn_http1[] = "\x08http/1.1";
static const uint8_t alpn_http2[] = "\x02h2\x08http/1.1";
/* Istio's list begins with istio-peer-exchange. Whoever selects that must read and write the
 * block of metadata that Envoy's metadata_exchange filter puts in front of the stream; we do
 * not, so we do not select it. */
static const uint8_t alpn_tcp[] = "\x02h2\x08http/1.1";

enum session_cause
session_cause_of_tls(enum tls_cause cause)
{
	static const enum session_cause causes[] = {
		[TLS_CAUSE_OK] = SESSION_NONE,
		[TLS_CAUSE_NO_CLIENT_CERTIFICATE] = SESSION_NO_CLIENT_CERTIFICATE,
		[TLS_CAUSE_UNKNOWN_CA] = SESSION_UNKNOWN_CA,
		[TLS_CAUSE_CERTIFICATE_EXPIRED] = SESSION_CERTIFICATE_EXPIRED,
		[TLS_CAUSE_CERTIFICATE_NOT_YET_VALID] = SESSION_CERTIFICATE_NOT_YET_VALID,
		[TLS_CAUSE_CERTIFICATE_INVALID] = SESSION_CERTIFICATE_INVALID,
		[TLS_CAUSE_NO_SPIFFE_ID] = SESSION_NO_SPIFFE_ID,
		[TLS_CAUSE_MULTIPLE_URI_SANS] = SESSION_MULTIPLE_URI_SANS,
		[TLS_CAUSE_TRUST_DOMAIN_MISMATCH] = SESSION_TRUST_DOMAIN_MISMATCH,
		[TLS_CAUSE_SAN_MISMATCH] = SESSION_SAN_MISMATCH,
		[TLS_CAUSE_ALERT_RECEIVED] = SESSION_TLS_ALERT_RECEIVED,
		[TLS_CAUSE_PROTOCOL] = SESSION_TLS_PROTOCOL_ERROR,
		[TLS_CAUSE_VERSION] = SESSION_TLS_VERSION,
		[TLS_CAUSE_NO_SHARED_CIPHER] = SESSION_TLS_NO_SHARED_CIPHER,
		[TLS_CAUSE_TRUNCATED] = SESSION_TLS_TRUNCATED,
		[TLS_CAUSE_TOO_LARGE] = SESSION_TLS_HANDSHAKE_TOO_LARGE,
		[TLS_CAUSE_INTERNAL] = SESSION_INTERNAL,
	};

	return cause < TLS_CAUSE_MAX ? causes[cause] : SESSION_INTERNAL;
}

static void
enqueue(struct leg *leg)
{
	if (leg->handshake_queued)
		return;
	leg->handshake_queued = true;
	TAILQ_INSERT_TAIL(&leg->session->engine->handshakes, leg, handshake_link);
}

void
session_queue_handshake(struct leg *leg)
{
	if (tls_handshake_ready(leg->handshake))
		enqueue(leg);
}

static void
handshake_deadline(struct session *session, uint64_t now)
{
	session_set_deadline(session, now + session->engine->config.node->handshake_timeout_ms *
						    UINT64_C(1000));
}

void
session_start_server(struct session *session, bool http, uint64_t now)
{
	struct session_engine *engine = session->engine;
	const struct policy_inbound *inbound = session->verdict.inbound;
	struct leg *leg = &session->downstream;
	struct tls_server_params params = {
		.identity = inbound->workload->identity,
		.require_client_certificate = true,
		.min_version = engine->config.node->tls_min_version,
	};

	if (params.identity == NULL) {
		session_fail(session, SESSION_NO_IDENTITY, false, NULL, now);
		return;
	}
	params.trust_domains = policy_trust_domains(session->snapshot, &params.n_trust_domains);
	if (!http) {
		params.alpn = alpn_tcp;
		params.alpn_len = sizeof(alpn_tcp) - 1;
	} else if (inbound->protocol == POLICY_HTTP2) {
		params.alpn = alpn_http2;
		params.alpn_len = sizeof(alpn_http2) - 1;
	} else {
		params.alpn = alpn_http1;
		params.alpn_len = sizeof(alpn_http1) - 1;
	}
	leg->handshake = tls_handshake_server(&params, &engine->config.pools);
	if (leg->handshake == NULL) {
		session_fail(session, SESSION_OUT_OF_MEMORY, false, NULL, now);
		return;
	}
	session->state = SESSION_DOWNSTREAM_HANDSHAKE;
	handshake_deadline(session, now);
	if (leg->clear.head != NULL)
		tls_handshake_input(leg->handshake, tls_chain_take_all(&leg->clear));
	leg->bytes_in = 0; /* what was sniffed was no payload */
	session_queue_handshake(leg);
}

void
session_start_client(struct session *session, uint64_t now)
{
	struct session_engine *engine = session->engine;
	const struct policy_outbound *outbound = session->verdict.outbound;
	struct leg *leg = &session->upstream;
	struct tls_client_params params = {
		.identity = outbound->identity,
		.sni = outbound->sni,
		.alpn = outbound->alpn,
		.alpn_len = outbound->alpn_len,
		.check = outbound->san_check == POLICY_SAN_EXACT ? TLS_SAN_EXACT :
			 outbound->san_check == POLICY_SAN_HOST	 ? TLS_SAN_HOST :
								   TLS_SAN_NONE,
		.require_spiffe = session->endpoint->tls == POLICY_TLS_ISTIO_MUTUAL,
		.sans = outbound->sans,
		.n_sans = outbound->n_sans,
		.min_version = engine->config.node->tls_min_version,
	};

	if (params.identity == NULL) {
		session_upstream_failed(session, SESSION_NO_IDENTITY, NULL, now);
		return;
	}
	leg->handshake = tls_handshake_client(&params, &engine->config.pools);
	if (leg->handshake == NULL) {
		session_fail(session, SESSION_OUT_OF_MEMORY, true, NULL, now);
		return;
	}
	session->state = SESSION_UPSTREAM_HANDSHAKE;
	handshake_deadline(session, now);
	if (leg->clear.head != NULL) /* a server that spoke first: not TLS, the handshake says so */
		tls_handshake_input(leg->handshake, tls_chain_take_all(&leg->clear));
	leg->bytes_in = 0;
	session_queue_handshake(leg);
}

/* --- outcomes ------------------------------------------------------------------------------------ */

/* Copied out once a handshake, which allocates thousands of times inside OpenSSL anyway. */
static void
remember_peer(struct leg *leg)
{
	const struct tls_peer *peer = tls_handshake_peer(leg->handshake);

	leg->tls = calloc(1, sizeof(*leg->tls));
	if (leg->tls == NULL)
		return;
	leg->tls->used = true;
	leg->tls->verified = peer->verified;
	leg->tls->version = peer->version;
	snprintf(leg->tls->cipher, sizeof(leg->tls->cipher), "%s", peer->cipher);
	snprintf(leg->tls->alpn, sizeof(leg->tls->alpn), "%s", peer->alpn);
	snprintf(leg->tls->peer, sizeof(leg->tls->peer), "%s", peer->id);
	snprintf(leg->tls->sni, sizeof(leg->tls->sni), "%s",
		 leg->upstream ? leg->session->verdict.outbound->sni : peer->sni);
}

static void
handshake_failed(struct leg *leg, uint64_t now)
{
	struct session *session = leg->session;
	enum session_cause cause = session_cause_of_tls(tls_handshake_cause(leg->handshake));
	char detail[TLS_DETAIL_LEN];

	session->engine->counters.handshakes_failed++;
	snprintf(detail, sizeof(detail), "%s", tls_handshake_peer(leg->handshake)->detail);
	if (leg->tls == NULL)
		remember_peer(leg);
	leg_flush(leg, now); /* the alert */
	if (leg->upstream) {
		/* The alert is still delivered: released, not reset. */
		leg_shut(leg, now);
		leg_drop_tcp(leg, false, now);
		session_upstream_failed(session, cause, detail, now);
	} else {
		session_refuse(session, cause, detail, now);
	}
}

static void
handshake_done(struct leg *leg, uint64_t now)
{
	struct session *session = leg->session;
	struct session_engine *engine = session->engine;

	remember_peer(leg);
	leg_flush(leg, now);
	leg->records = tls_records_create(&engine->config.pools, engine->batch);
	if (leg->records != NULL &&
	    tls_handshake_takeover(leg->handshake, engine->config.crypto, leg->records) != 0) {
		tls_records_destroy(leg->records);
		leg->records = NULL;
	}
	if (leg->records == NULL) {
		session_fail(session, SESSION_OUT_OF_MEMORY, leg->upstream, NULL, now);
		return;
	}
	tls_records_set_user(leg->records, leg);
	tls_handshake_free(leg->handshake);
	leg->handshake = NULL;
	tls_records_open(leg->records);
	session_mark(session);
	if (leg->upstream) {
		engine->counters.handshakes_client++;
		session->state = SESSION_RELAYING;
	} else {
		engine->counters.handshakes_server++;
		if (leg->tls != NULL && strcmp(leg->tls->alpn, "h2") == 0)
			session->http = false; /* a client that could not read our replies */
		session_connect(session, now);
	}
}

void
session_handshake_eof(struct leg *leg)
{
	tls_handshake_eof(leg->handshake);
	enqueue(leg); /* the next step fails, unless what is there completes the handshake */
}

bool
session_last_step(struct leg *leg, uint64_t now)
{
	if (!tls_handshake_ready(leg->handshake) ||
	    tls_handshake_step(leg->handshake) != TLS_STEP_FAILED)
		return false;
	handshake_failed(leg, now);
	return true;
}

static void
step(struct leg *leg, uint64_t now)
{
	switch (tls_handshake_step(leg->handshake)) {
	case TLS_STEP_DONE:
		handshake_done(leg, now);
		break;
	case TLS_STEP_FAILED:
		handshake_failed(leg, now);
		break;
	default:
		leg_flush(leg, now);
		session_mark(leg->session);
		break;
	}
}

unsigned int
session_handshakes(struct session_engine *engine, uint64_t now, uint64_t budget_cycles)
{
	uint64_t start = rte_rdtsc();
	unsigned int n = 0;
	struct leg *leg;

	while ((leg = TAILQ_FIRST(&engine->handshakes)) != NULL) {
		if (n > 0 && rte_rdtsc() - start > budget_cycles) {
			engine->counters.handshakes_deferred++;
			break;
		}
		TAILQ_REMOVE(&engine->handshakes, leg, handshake_link);
		leg->handshake_queued = false;
		step(leg, now);
		n++;
	}
	return n;
}
