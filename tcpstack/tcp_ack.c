/* SPDX-License-Identifier: Apache-2.0 */

/* The acknowledgement of a segment: RFC 9293 section 3.10.7.4, fifth check. */

#include "tcpstack/tcp_internal.h"

static bool
outstanding(const struct tcp_conn *conn)
{
	return conn->snd_una != conn->snd_end + (conn->flags & TCP_F_FIN_QUEUED ? 1 : 0);
}

void
tcp_user_timer(struct tcp_conn *conn)
{
	if (outstanding(conn))
		tcp_timer_set(conn, TCP_TIMER_USER, tcp_cold(conn)->user_timeout_ms);
	else
		tcp_timer_clear(conn, TCP_TIMER_USER);
}

/* Takes over the peer's window if the segment is newer than the one it was last taken from
 * (SND.WL1, SND.WL2). One that acknowledges more is newer even if it is a retransmission with
 * an old number: the window counts from its acknowledgement. */
void
tcp_ack_window(struct tcp_conn *conn, const struct tcp_segment *segment)
{
	struct tcp_cold *cold = tcp_cold(conn);
	uint32_t window = segment->window;

	if (!seq_gt(segment->ack, conn->snd_una) && !seq_lt(conn->snd_wl1, segment->seq) &&
	    !(conn->snd_wl1 == segment->seq && seq_le(conn->snd_wl2, segment->ack)))
		return;
	if (!(segment->flags & TCP_SYN))
		window <<= conn->snd_wscale;
	if (conn->snd_wnd == 0 && window > 0)
		cold->backoff = 0; /* probing is over */
	conn->snd_wnd = window;
	conn->snd_wl1 = seq_max(conn->snd_wl1, segment->seq);
	conn->snd_wl2 = segment->ack;
	cold->max_snd_wnd = RTE_MAX(cold->max_snd_wnd, window);
}

static void
free_acked(struct tcp_conn *conn, uint32_t bytes)
{
	struct tcp_cold *cold = tcp_cold(conn);
	uint32_t off = conn->snd_head_off + bytes;

	if (cold->rtx_mbuf != NULL && seq_lt(cold->rtx_seq, conn->snd_una))
		cold->rtx_mbuf = NULL;
	while (conn->snd_head != NULL && off >= conn->snd_head->data_len) {
		struct rte_mbuf *m = conn->snd_head;

		off -= m->data_len;
		conn->snd_head = m->next;
		rte_pktmbuf_free_seg(m);
	}
	if (conn->snd_head == NULL)
		conn->snd_tail = NULL;
	conn->snd_head_off = off;
}

static void
measure(struct tcp_conn *conn, const struct tcp_segment *segment)
{
	struct tcp_cold *cold = tcp_cold(conn);

	if (conn->flags & TCP_F_RTT_TIMED) {
		if (seq_lt(segment->ack, cold->rtt_seq))
			return;
		conn->flags &= ~TCP_F_RTT_TIMED;
		tcp_rtt_sample(conn, (uint32_t)conn->stack->now - cold->rtt_start);
	} else if (conn->flags & TCP_F_TIMESTAMPS && segment->opt.has_timestamps) {
		/* RFC 7323 section 4: also what was retransmitted times something. */
		uint32_t ms = tcp_ts_now(conn) - segment->opt.ts_ecr;

		if (ms <= TCP_RTO_MAX_US / 1000)
			tcp_rtt_sample(conn, ms * 1000);
	}
}

static void
advance(struct tcp_conn *conn, const struct tcp_segment *segment)
{
	struct tcp_cold *cold = tcp_cold(conn);
	bool fin = conn->flags & TCP_F_FIN_SENT && segment->ack == conn->snd_end + 1;
	uint32_t bytes = segment->ack - conn->snd_una - (fin ? 1 : 0);

	conn->snd_una = segment->ack;
	free_acked(conn, bytes);
	cold->bytes_acked += bytes;
	cold->retransmits = 0;
	tcp_sack_advance(conn);
	measure(conn, segment);
	if (tcp_in_flight(conn) > 0)
		tcp_rto_start(conn);
	else
		tcp_timer_clear(conn, TCP_TIMER_REXMT);
	tcp_user_timer(conn);
	if (bytes > 0)
		tcp_conn_event(conn, TCP_EV_SENT);
}

/* RFC 5681 section 2: a duplicate ACK. */
static bool
is_duplicate(const struct tcp_conn *conn, const struct tcp_segment *segment)
{
	return segment->ack == conn->snd_una && segment->pure && tcp_in_flight(conn) > 0 &&
	       segment->window << conn->snd_wscale == conn->snd_wnd;
}

/* A peer that answers is alive, however long its window stays shut (RFC 9293 section
 * 3.8.6.1). The user timeout runs again from the next probe. */
static void
window_still_closed(struct tcp_conn *conn)
{
	if (tcp_in_flight(conn) > 0)
		tcp_user_timer(conn);
	else
		tcp_timer_clear(conn, TCP_TIMER_USER);
}

static void
take(struct tcp_conn *conn, const struct tcp_segment *segment)
{
	struct tcp_cold *cold = tcp_cold(conn);
	uint32_t sacked = cold->sacked;
	struct tcp_ack_news news = {
		.acked = segment->ack - conn->snd_una,
		.duplicate = is_duplicate(conn, segment),
	};
	bool echo = tcp_ecn_is_echo(conn, segment);
	int32_t delivered;

	tcp_ack_window(conn, segment);
	if (news.acked > 0)
		advance(conn, segment);
	else if (conn->snd_wnd == 0 && !(conn->flags & TCP_F_RELEASED))
		window_still_closed(conn);
	if (conn->flags & TCP_F_SACK && segment->opt.n_sack > 0)
		tcp_sack_update(conn, &segment->opt);
	delivered = (int32_t)(news.acked + cold->sacked - sacked);
	news.delivered = delivered > 0 ? (uint32_t)delivered : 0;
	if (echo)
		conn->flags &= ~TCP_F_CWND_LIMITED; /* no reason to grow */
	tcp_recovery_ack(conn, &news);
	if (echo)
		tcp_ecn_echoed(conn);
}

bool
tcp_ack_input(struct tcp_conn *conn, const struct tcp_segment *segment)
{
	if (seq_gt(segment->ack, conn->snd_nxt)) {
		conn->stack->counters.bad_ack++;
		tcp_challenge(conn);
		return false;
	}
	if (seq_lt(segment->ack, conn->snd_una)) {
		/* RFC 5961 section 5.2: older than any window that the peer gave. */
		if (conn->snd_una - segment->ack > tcp_cold(conn)->max_snd_wnd) {
			tcp_challenge(conn);
			return false;
		}
		return true;
	}
	take(conn, segment);
	if (conn->snd_nxt != conn->snd_end || conn->hole_head != TCP_NONE ||
	    conn->flags & TCP_F_FIN_QUEUED)
		tcp_conn_want_output(conn);
	return true;
}
