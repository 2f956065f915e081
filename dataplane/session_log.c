/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>

#include <rte_string_fns.h>

#include "dataplane/session_internal.h"

static void
copy_text(char *to, size_t size, const char *from)
{
	snprintf(to, size, "%s", from != NULL ? from : "");
}

static void
fill_leg(struct conn_log_leg *out, const struct leg *leg, bool used)
{
	out->used = used;
	out->local = leg->tuple.local;
	out->remote = leg->tuple.remote;
	out->local_port = leg->tuple.local_port;
	out->remote_port = leg->tuple.remote_port;
	if (leg->tls != NULL)
		out->tls = *leg->tls;
}

static void
fill_policy(struct conn_log_entry *entry, const struct policy_source *source)
{
	copy_text(entry->policy_kind, sizeof(entry->policy_kind), source->kind);
	copy_text(entry->policy_name, sizeof(entry->policy_name), source->name);
	copy_text(entry->policy_file, sizeof(entry->policy_file), source->file);
	entry->policy_line = source->line;
}

static void
fill_inbound(struct conn_log_entry *entry, const struct policy_inbound *inbound)
{
	copy_text(entry->workload, sizeof(entry->workload), inbound->workload->name);
	entry->mode = policy_mode_name(inbound->mode);
	entry->protocol = policy_protocol_name(inbound->protocol);
	fill_policy(entry, &inbound->source);
}

static void
fill_outbound(struct conn_log_entry *entry, const struct session *session)
{
	const struct policy_outbound *outbound = session->verdict.outbound;

	if (session->verdict.client != NULL)
		copy_text(entry->workload, sizeof(entry->workload), session->verdict.client->name);
	snprintf(entry->service, sizeof(entry->service), "%s:%u", outbound->host, outbound->port);
	entry->mode = session->endpoint != NULL ? policy_tls_name(session->endpoint->tls) : NULL;
	entry->protocol = policy_protocol_name(outbound->protocol);
	fill_policy(entry, &outbound->source);
}

static void
fill(struct session *session, struct conn_log_entry *entry, uint64_t now)
{
	entry->connection = session->number;
	entry->started_ns = session->started_ns;
	entry->duration_us = now - session->started;
	entry->outbound = session->outbound;
	entry->bytes_received = session->downstream.bytes_in;
	entry->bytes_sent = session->upstream.bytes_in;
	fill_leg(&entry->downstream, &session->downstream, true);
	fill_leg(&entry->upstream, &session->upstream, session->upstream.tuple.remote_port != 0);
	if (session->outbound)
		fill_outbound(entry, session);
	else
		fill_inbound(entry, session->verdict.inbound);
}

void
session_log_failure(struct session *session, enum session_result result, enum session_cause cause,
		    bool upstream, const char *detail)
{
	struct conn_log_entry *entry;

	/* The first cause is the cause; what follows from it is not. */
	if (session->entry != NULL || session->logged)
		return;
	entry = conn_log_get(session->engine->config.log);
	if (entry == NULL) {
		session->engine->counters.log_lost++;
		session->logged = true;
		return;
	}
	entry->result = result;
	entry->cause = cause;
	entry->cause_upstream = upstream;
	copy_text(entry->detail, sizeof(entry->detail), detail);
	session->entry = entry;
}

void
session_log_end(struct session *session, uint64_t now)
{
	if (session->logged)
		return;
	if (session->entry == NULL)
		session->entry = conn_log_get(session->engine->config.log);
	session->logged = true;
	if (session->entry == NULL) {
		session->engine->counters.log_lost++;
		return;
	}
	fill(session, session->entry, now);
	conn_log_put(session->engine->config.log, session->entry);
	session->entry = NULL;
}
