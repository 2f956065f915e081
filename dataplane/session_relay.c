/* SPDX-License-Identifier: Apache-2.0 */
/* What one leg received goes to the other: bytes, ends, and the room for more. */
#include <string.h>

#include "dataplane/session_internal.h"

void
session_sniff(struct session *session, struct sniff *result)
{
	uint8_t *scratch = session->engine->scratch;
	size_t length = 0;

	for (struct rte_mbuf *m = session->downstream.clear.head; m != NULL; m = m->next) {
		size_t part = RTE_MIN((size_t)m->data_len, SNIFF_MAX - length);

		memcpy(scratch + length, rte_pktmbuf_mtod(m, const uint8_t *), part);
		length += part;
	}
	sniff(scratch, length, result);
}

void
session_learn_protocol(struct session *session)
{
	struct sniff result;

	if (session->protocol_known || session->downstream.clear.bytes == 0 ||
	    session->downstream.clear.bytes < session->sniff_need)
		return;
	session_sniff(session, &result);
	session->sniff_need = result.need;
	if (result.kind == SNIFF_MORE)
		return;
	session->protocol_known = true;
	session->http = result.kind == SNIFF_HTTP;
}

/* The upstream ended before it answered a request: HTTP clients are told so. */
static bool
ended_without_answer(const struct session *session)
{
	return session->http && !session->answered && session->downstream.bytes_in > 0 &&
	       !session->downstream.tcp_eof;
}

/* `from` has come to its end. */
static bool
relay_end(struct leg *from, uint64_t now)
{
	struct leg *to = other_leg(from);

	if (to->tcp == NULL || to->shut)
		return true;
	if (from->upstream && ended_without_answer(from->session)) {
		session_fail(from->session, SESSION_UPSTREAM_RESET, true,
			     "the upstream closed the connection before it answered the request",
			     now);
		return false;
	}
	leg_shut(to, now);
	return true;
}

bool
session_relay(struct leg *from, uint64_t now)
{
	struct leg *to = other_leg(from);
	struct session *session = from->session;
	struct rte_mbuf *chain;

	if (!from->upstream)
		session_learn_protocol(session);
	while ((chain = leg_take(from)) != NULL) {
		if (from->upstream)
			session->answered = true;
		else /* what has been passed on cannot be looked at again */
			session->protocol_known = true;
		if (leg_give(to, chain) != 0 && to->tcp != NULL && to->shut) {
			session_fail(session, SESSION_INTERNAL, to->upstream, NULL, now);
			return false;
		}
	}
	return !leg_ended(from) || relay_end(from, now);
}

void
session_set_room(struct leg *from, uint64_t now)
{
	struct leg *to = other_leg(from);
	uint32_t budget = from->session->engine->config.node->buffer_bytes;
	uint32_t held = from->clear.bytes + leg_backlog(to);

	if (from->tcp == NULL)
		return;
	if (from->records != NULL)
		held += tls_records_held_in(from->records);
	tcp_set_room(from->tcp, held < budget ? budget - held : 0, now);
}
