/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "dataplane/session_internal.h"

/* Round robin over the endpoints of this worker's connections. */
static const struct policy_endpoint *
choose_endpoint(struct session *session)
{
	const struct policy_outbound *outbound = session->verdict.outbound;

	if (outbound->n_endpoints == 0)
		return NULL;
	if (session->verdict.endpoint >= 0)
		return &outbound->endpoints[session->verdict.endpoint];
	return &outbound->endpoints[session->engine->next_endpoint++ % outbound->n_endpoints];
}

/* The workload sees who called, where that is configured; else the gateway. */
static bool
preserves_source(const struct session *session)
{
	return !session->outbound && session->verdict.inbound->workload->preserve_source;
}

/* With the client's own port the answers may have the hash of another worker, where the
 * connection came in at another address or port than it goes out to. */
static bool
answers_reach_us(const struct session_engine *engine, const struct tcp_tuple *tuple)
{
	return engine->config.port_ok == NULL ||
	       engine->config.port_ok(engine->config.port_ok_ctx, tuple);
}

static bool
fill_tuple(struct session *session, struct tcp_tuple *tuple, uint16_t *mtu)
{
	struct net *net = session->engine->config.net;

	memset(tuple, 0, sizeof(*tuple));
	if (session->outbound) {
		tuple->remote = session->endpoint->address;
		tuple->remote_port = session->endpoint->port;
	} else {
		tuple->remote = session->verdict.inbound->workload->address;
		/* Port 0: the workload's answer for ports that nobody declared. */
		tuple->remote_port = session->verdict.inbound->port != 0 ?
					     session->verdict.inbound->port :
					     session->downstream.tuple.local_port;
	}
	if (!net_source_for(net, &tuple->remote, &tuple->local, mtu))
		return false;
	/* An IPv4 client of an IPv6 workload cannot be impersonated. */
	if (preserves_source(session) &&
	    IN6_IS_ADDR_V4MAPPED(&session->downstream.tuple.remote) ==
		    IN6_IS_ADDR_V4MAPPED(&tuple->remote)) {
		tuple->local = session->downstream.tuple.remote;
		tuple->local_port = session->downstream.tuple.remote_port;
		if (!answers_reach_us(session->engine, tuple))
			tuple->local_port = 0;
	}
	return true;
}

/* An endpoint that is a workload behind us is reached through ourselves, so that its own
 * policy is applied. */
static uint32_t
path_to(const struct session *session, const struct in6_addr *remote)
{
	return session->outbound && policy_workload(session->snapshot, remote) != NULL ?
		       SESSION_PATH_LOOP :
		       SESSION_PATH_PORT;
}

static int
open_upstream(struct session *session, struct tcp_tuple *tuple, uint16_t mtu, uint64_t now)
{
	const struct session_engine_config *engine = &session->engine->config;
	struct tcp_conn_config config = {
		.mss = mtu - 20 - (IN6_IS_ADDR_V4MAPPED(&tuple->remote) ? 20 : 40),
		.room = engine->node->buffer_bytes,
		.connect_timeout_ms = engine->node->connect_timeout_ms,
		.keepalive_idle_ms = engine->node->keepalive_ms,
		.path = path_to(session, &tuple->remote),
		.user = &session->upstream,
	};
	int error = tcp_connect(engine->tcp, tuple, now, &config, &session->upstream.tcp);

	/* The client's own port is nice to have, not a must. */
	if (error == TCP_E_IN_USE && tuple->local_port != 0) {
		tuple->local_port = 0;
		error = tcp_connect(engine->tcp, tuple, now, &config, &session->upstream.tcp);
	}
	return error;
}

void
session_connect(struct session *session, uint64_t now)
{
	struct tcp_tuple tuple;
	uint16_t mtu = 0;
	int error;

	if (session->outbound) {
		session->endpoint = choose_endpoint(session);
		if (session->endpoint == NULL) {
			session_upstream_failed(session, SESSION_NO_ENDPOINT, NULL, now);
			return;
		}
	}
	if (!fill_tuple(session, &tuple, &mtu)) {
		session_upstream_failed(session, SESSION_UPSTREAM_UNREACHABLE,
					"no route leads to the upstream", now);
		return;
	}
	error = open_upstream(session, &tuple, mtu, now);
	if (error != 0) {
		session->upstream.tcp = NULL;
		session_upstream_failed(session, SESSION_OUT_OF_MEMORY, tcp_strerror(error), now);
		return;
	}
	session->upstream.tuple = *tcp_conn_tuple(session->upstream.tcp);
	session->state = SESSION_CONNECTING;
	session_set_deadline(session, UINT64_MAX); /* TCP's connect timeout serves */
	session_mark(session);
}

void
session_upstream_connected(struct session *session, uint64_t now)
{
	if (session->outbound && session->endpoint->tls != POLICY_TLS_DISABLE) {
		session_start_client(session, now);
		return;
	}
	session->state = SESSION_RELAYING;
	session_mark(session);
}
