/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "dataplane/session_internal.h"

/* A close_notify alert on the wire: header, explicit nonce, alert, inner type and tag. */
#define CLOSE_NOTIFY_MAX 64

static void
discard(struct rte_mbuf *chain)
{
	if (chain != NULL)
		rte_pktmbuf_free(chain);
}

void
leg_pull(struct leg *leg)
{
	struct rte_mbuf *chain;

	if (leg->tcp == NULL)
		return;
	while ((chain = tcp_receive(leg->tcp, UINT32_MAX)) != NULL) {
		if (leg->session->state == SESSION_CLOSING) {
			discard(chain);
		} else if (leg->handshake != NULL) {
			tls_handshake_input(leg->handshake, chain);
		} else if (leg->records != NULL) {
			tls_records_input(leg->records, chain);
		} else {
			leg->bytes_in += chain->pkt_len;
			leg->session->engine->counters.packed_bytes +=
				tls_chain_append_dense(&leg->clear, chain);
		}
	}
	if (leg->records != NULL)
		tls_records_open(leg->records); /* its error is sticky, egress asks for it */
	if (leg->handshake != NULL)
		session_queue_handshake(leg);
}

/* Opened records join what is in plain already. */
static void
collect_plaintext(struct leg *leg)
{
	struct rte_mbuf *chain;

	if (leg->records == NULL)
		return;
	while ((chain = tls_records_plaintext(leg->records)) != NULL) {
		leg->bytes_in += chain->pkt_len;
		leg->session->engine->counters.packed_bytes +=
			tls_chain_append_dense(&leg->clear, chain);
	}
}

/* A peer that sends ten bytes at a time to one that does not read would pin a buffer for
 * each ten: after the first few they are held until they are worth one. */
static bool
hold_back(struct leg *from, struct leg *to)
{
	if (from->clear.bytes >= SESSION_SMALL || from->tcp_eof ||
	    (from->records != NULL && tls_records_eof(from->records)))
		return false;
	if (leg_backlog(to) == 0)
		to->small_given = 0;
	return to->small_given >= SESSION_SMALL_MAX;
}

struct rte_mbuf *
leg_take(struct leg *leg)
{
	struct leg *to = other_leg(leg);

	collect_plaintext(leg);
	if (leg->clear.bytes == 0 || hold_back(leg, to))
		return NULL;
	if (leg->clear.bytes < SESSION_SMALL)
		to->small_given++;
	return tls_chain_take_all(&leg->clear);
}

static int
send_chain(struct leg *leg, struct rte_mbuf *chain)
{
	uint32_t bytes = chain->pkt_len;
	int error = leg->tcp != NULL ? tcp_send(leg->tcp, chain) : TCP_E_STATE;

	if (error != 0)
		discard(chain);
	else
		leg->bytes_out += bytes;
	return error;
}

int
leg_give(struct leg *leg, struct rte_mbuf *chain)
{
	return leg->records != NULL ? tls_records_seal(leg->records, chain) :
				      send_chain(leg, chain);
}

bool
leg_delivered(const struct leg *leg)
{
	struct tcp_info info;

	tcp_conn_info(leg->tcp, &info);
	return leg->bytes_out <=
	       info.bytes_acked + (leg->records != NULL ? CLOSE_NOTIFY_MAX : 0);
}

int
leg_give_text(struct leg *leg, const char *text, size_t length)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(leg->session->engine->config.pools.data);
	char *room = m != NULL ? rte_pktmbuf_append(m, length) : NULL;

	if (room == NULL) {
		rte_pktmbuf_free(m);
		return TCP_E_NO_MEMORY;
	}
	memcpy(room, text, length);
	return leg_give(leg, m);
}

bool
leg_ended(const struct leg *leg)
{
	if (leg->clear.bytes > 0)
		return false;
	if (leg->records == NULL)
		return leg->tcp_eof;
	/* A FIN without close_notify ends the bytes too; a record that was cut off is lost
	 * with its sender, but those before it are still opened. */
	return tls_records_eof(leg->records) ||
	       (leg->tcp_eof && !tls_records_opening(leg->records));
}

void
leg_shut(struct leg *leg, uint64_t now)
{
	if (leg->shut)
		return;
	leg->shut = true;
	if (leg->records != NULL)
		tls_records_close(leg->records);
	else
		leg_flush(leg, now);
}

void
leg_flush(struct leg *leg, uint64_t now)
{
	struct rte_mbuf *chain;

	if (leg->tcp == NULL)
		return;
	if (leg->handshake != NULL)
		while ((chain = tls_handshake_output(leg->handshake)) != NULL)
			send_chain(leg, chain);
	if (leg->records != NULL)
		while ((chain = tls_records_output(leg->records)) != NULL)
			send_chain(leg, chain);
	/* close_notify goes before the FIN, also where it has to wait for a buffer. */
	if (leg->shut && !leg->fin_sent &&
	    (leg->records == NULL || tls_records_flushed(leg->records))) {
		leg->fin_sent = true;
		tcp_shutdown(leg->tcp, now);
	}
	if (leg->reset_when_flushed && leg_backlog(leg) == 0) {
		tcp_abort(leg->tcp, now);
		leg->finished = true;
	}
}

uint32_t
leg_backlog(const struct leg *leg)
{
	uint32_t bytes = leg->tcp != NULL ? tcp_unacked(leg->tcp) : 0;

	if (leg->records != NULL)
		bytes += tls_records_held_out(leg->records);
	return bytes;
}

void
leg_drop_tcp(struct leg *leg, bool reset, uint64_t now)
{
	if (leg->tcp == NULL)
		return;
	if (reset)
		tcp_abort(leg->tcp, now);
	tcp_release(leg->tcp, now);
	leg->tcp = NULL;
}

void
leg_drop_handshake(struct leg *leg)
{
	if (leg->handshake_queued)
		TAILQ_REMOVE(&leg->session->engine->handshakes, leg, handshake_link);
	leg->handshake_queued = false;
	tls_handshake_free(leg->handshake);
	leg->handshake = NULL;
}

void
leg_free(struct leg *leg, uint64_t now)
{
	leg_drop_tcp(leg, false, now);
	leg_drop_handshake(leg);
	tls_records_destroy(leg->records);
	leg->records = NULL;
	tls_chain_free(&leg->clear);
	free(leg->tls);
	leg->tls = NULL;
}
