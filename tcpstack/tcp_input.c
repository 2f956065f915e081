/* SPDX-License-Identifier: Apache-2.0 */

/* SEGMENT ARRIVES: RFC 9293 section 3.10.7, with RFC 5961 (blind attacks) and RFC 7323
 * (PAWS). The acknowledgement is in tcp_ack.c, the payload in tcp_reassembly.c. */

#include <rte_prefetch.h>

#include "tcpstack/tcp_internal.h"

void
tcp_conn_ack_now(struct tcp_conn *conn)
{
	conn->flags |= TCP_F_ACK_NOW;
	tcp_conn_want_output(conn);
}

/* --- the handshake --------------------------------------------------------------------- */

/* RFC 6691: the MSS option does not count options, what is sent does. */
static void
settle_mss(struct tcp_conn *conn, const struct tcp_options *opt)
{
	uint16_t peer = conn->flags & TCP_F_IPV4 ? TCP_MSS_DEFAULT_V4 : TCP_MSS_DEFAULT_V6;

	if (opt->has_mss)
		peer = RTE_MAX(opt->mss, TCP_MSS_MIN);
	conn->mss = RTE_MIN(peer, tcp_cold(conn)->path_mss);
	if (conn->flags & TCP_F_TIMESTAMPS)
		conn->mss -= TCP_TS_OPTION_LEN;
}

void
tcp_conn_negotiate(struct tcp_conn *conn, const struct tcp_segment *segment)
{
	struct tcp_cold *cold = tcp_cold(conn);
	const struct tcp_options *opt = &segment->opt;
	uint32_t first = segment->seq + 1;

	cold->irs = segment->seq;
	conn->rcv_nxt += first; /* the edges were relative to it until now */
	conn->rcv_adv += first;
	conn->rcv_limit += first;
	conn->last_ack_sent = first;
	if (opt->has_wscale) {
		conn->flags |= TCP_F_WSCALE;
		conn->snd_wscale = opt->wscale;
	} else {
		conn->rcv_wscale = 0;
	}
	if (opt->has_timestamps) {
		conn->flags |= TCP_F_TIMESTAMPS;
		conn->ts_recent = opt->ts_val;
		cold->ts_recent_tick = conn->stack->tick;
	}
	if (opt->sack_permitted)
		conn->flags |= TCP_F_SACK;
	settle_mss(conn, opt);
	tcp_ecn_negotiate(conn, segment);
	conn->snd_wnd = segment->window;
	conn->snd_wl1 = segment->seq;
	conn->snd_wl2 = segment->ack;
	cold->max_snd_wnd = segment->window;
	tcp_cubic_init(conn);
}

/* Our SYN is acknowledged. */
static void
establish(struct tcp_conn *conn, const struct tcp_segment *segment)
{
	struct tcp_cold *cold = tcp_cold(conn);

	conn->snd_una = segment->ack;
	cold->snd_fack = segment->ack;
	tcp_timer_clear(conn, TCP_TIMER_REXMT);
	tcp_timer_clear(conn, TCP_TIMER_LIFE);
	conn->flags &= ~TCP_F_SEND_SYN;
	cold->backoff = 0;
	cold->retransmits = 0;
	if (conn->flags & TCP_F_RTT_TIMED) {
		conn->flags &= ~TCP_F_RTT_TIMED;
		tcp_rtt_sample(conn, (uint32_t)conn->stack->now - cold->rtt_start);
	} else if (conn->flags & TCP_F_SYN_RETRANSMITTED) {
		cold->rto_us = TCP_RTO_AFTER_SYN_US;
	}
	if (conn->flags & TCP_F_SYN_RETRANSMITTED)
		conn->cwnd = conn->mss; /* RFC 5681 section 3.1 */
	tcp_conn_not_half_open(conn);
	conn->state = TCP_ESTABLISHED;
	if (conn->flags & TCP_F_ACTIVE)
		conn->stack->counters.connected++;
	if (cold->keep_idle_ms != 0)
		tcp_timer_set(conn, TCP_TIMER_KEEP, cold->keep_idle_ms);
	tcp_conn_event(conn, TCP_EV_CONNECTED);
	if (conn->flags & TCP_F_FIN_QUEUED)
		tcp_conn_fin_state(conn);
	tcp_user_timer(conn);
	tcp_conn_want_output(conn);
}

/* Section 3.10.7.3. True: the rest of the segment is to be looked at as well. */
static bool
syn_sent_input(struct tcp_conn *conn, struct tcp_segment *segment)
{
	struct tcp_stack *stack = conn->stack;
	bool ack = segment->flags & TCP_ACK;

	if (ack && segment->ack != conn->snd_nxt) {
		stack->counters.bad_ack++;
		tcp_reply_reset(stack, &conn->tuple, segment, tcp_cold(conn)->path);
		return false;
	}
	if (segment->flags & TCP_RST) {
		if (ack) {
			stack->counters.resets_in++;
			tcp_conn_fail(conn, TCP_E_REFUSED);
		} else {
			stack->counters.resets_ignored++;
		}
		return false;
	}
	if (!(segment->flags & TCP_SYN))
		return false;
	tcp_conn_negotiate(conn, segment);
	if (!ack) {
		/* Simultaneous open. What came with the SYN will come again. */
		conn->state = TCP_SYN_RECEIVED;
		conn->flags |= TCP_F_SEND_SYN;
		tcp_conn_want_output(conn);
		return false;
	}
	establish(conn, segment);
	tcp_conn_ack_now(conn);
	segment->flags &= ~TCP_SYN;
	segment->seq++;
	return true;
}

/* --- checks ---------------------------------------------------------------------------- */

/* RFC 7323 sections 3.2 and 5.3 */
static bool
check_timestamps(struct tcp_conn *conn, const struct tcp_segment *segment)
{
	struct tcp_cold *cold = tcp_cold(conn);

	if (!(conn->flags & TCP_F_TIMESTAMPS) || segment->flags & TCP_RST)
		return true;
	if (!segment->opt.has_timestamps) {
		conn->stack->counters.paws++;
		return false;
	}
	if (!seq_lt(segment->opt.ts_val, conn->ts_recent) ||
	    conn->stack->tick - cold->ts_recent_tick > TCP_PAWS_IDLE_MS)
		return true;
	conn->stack->counters.paws++;
	/* An ACK that was overtaken by a later one needs no answer. */
	if (!segment->pure && tcp_challenge_allowed(conn))
		tcp_conn_ack_now(conn);
	return false;
}

/* RFC 7323 section 4.3 */
static void
take_timestamp(struct tcp_conn *conn, const struct tcp_segment *segment, uint32_t seq)
{
	if (!(conn->flags & TCP_F_TIMESTAMPS) || !segment->opt.has_timestamps ||
	    seq_gt(seq, conn->last_ack_sent))
		return;
	conn->ts_recent = segment->opt.ts_val;
	tcp_cold(conn)->ts_recent_tick = conn->stack->tick;
}

/* RFC 5961 section 3.2 */
static void
reset_input(struct tcp_conn *conn, const struct tcp_segment *segment)
{
	bool done = (conn->state == TCP_CLOSING || conn->state == TCP_LAST_ACK) &&
		    seq_ge(conn->snd_una, conn->snd_end);

	if (segment->seq == conn->rcv_nxt) {
		conn->stack->counters.resets_in++;
		if (done) {
			tcp_conn_detach(conn, TCP_CLOSED);
			tcp_conn_event(conn, TCP_EV_CLOSED);
		} else if (conn->state == TCP_SYN_RECEIVED && conn->flags & TCP_F_ACTIVE) {
			tcp_conn_fail(conn, TCP_E_REFUSED);
		} else {
			tcp_conn_fail(conn, TCP_E_RESET);
		}
	} else if (seq_gt(segment->seq, conn->rcv_nxt) && seq_lt(segment->seq, conn->rcv_adv)) {
		tcp_challenge(conn);
	} else {
		conn->stack->counters.resets_ignored++;
	}
}

/* A SYN on a connection that has had one. True: it was our peer's SYN-ACK of a
 * simultaneous open, and the rest counts. */
static bool
syn_input(struct tcp_conn *conn, struct tcp_segment *segment)
{
	bool again = segment->seq == tcp_cold(conn)->irs;

	if (again && conn->state == TCP_SYN_RECEIVED) {
		if (segment->flags & TCP_ACK) {
			/* The flag stays: the window of a SYN is not scaled. */
			segment->seq++;
			return true;
		}
		conn->stack->counters.duplicates++;
		tcp_ecn_syn_again(conn, segment);
		conn->flags |= TCP_F_SEND_SYN | TCP_F_SYN_RETRANSMITTED;
		conn->flags &= ~TCP_F_RTT_TIMED;
		tcp_conn_want_output(conn);
		return false;
	}
	if (again && segment->flags & TCP_ACK) {
		conn->stack->counters.duplicates++;
		tcp_conn_ack_now(conn); /* the ACK of the handshake was lost */
		return false;
	}
	tcp_challenge(conn); /* RFC 5961 section 4.2 */
	return false;
}

static bool
check_empty(struct tcp_conn *conn, const struct tcp_segment *segment)
{
	/* One at the right edge is let through: a peer that has filled the window sends its
	 * ACKs from there. */
	if (seq_ge(segment->seq, conn->rcv_nxt) && seq_le(segment->seq, conn->rcv_adv))
		return true;
	if (seq_gt(segment->seq, conn->rcv_adv))
		conn->stack->counters.outside_window++;
	else
		conn->stack->counters.duplicates++;
	/* Limited, or two ends that disagree would answer each other for ever. */
	if (tcp_challenge_allowed(conn))
		tcp_conn_ack_now(conn);
	return false;
}

static void
strip(struct tcp_segment *segment)
{
	segment->len = 0;
	segment->flags &= ~TCP_FIN;
}

/* Section 3.10.7.4, first check; leaves of the segment what is new and in the window. */
static bool
check_sequence(struct tcp_conn *conn, struct tcp_segment *segment)
{
	uint32_t end = segment->seq + segment->len + !!(segment->flags & TCP_FIN);

	if (end == segment->seq)
		return check_empty(conn, segment);
	if (seq_le(end, conn->rcv_nxt)) {
		conn->stack->counters.duplicates++;
		if (segment->len > 0)
			tcp_reassembly_duplicate(conn, segment->seq, segment->seq + segment->len);
		tcp_conn_ack_now(conn);
		strip(segment); /* its acknowledgement may still be news */
		return true;
	}
	if (seq_lt(segment->seq, conn->rcv_nxt)) {
		uint32_t old = conn->rcv_nxt - segment->seq;

		tcp_reassembly_duplicate(conn, segment->seq, conn->rcv_nxt);
		segment->seq += old;
		segment->header += old;
		segment->len -= old;
	}
	if (seq_gt(segment->seq, conn->rcv_adv) ||
	    (segment->seq == conn->rcv_adv && segment->len > 0)) {
		conn->stack->counters.outside_window++;
		tcp_conn_ack_now(conn);
		/* With the window closed, valid ACKs are still taken. */
		strip(segment);
		return segment->seq == conn->rcv_nxt;
	}
	if (segment->len > conn->rcv_adv - segment->seq) {
		segment->len = conn->rcv_adv - segment->seq;
		segment->flags &= ~TCP_FIN;
	}
	return true;
}

static bool
syn_received_ack(struct tcp_conn *conn, const struct tcp_segment *segment)
{
	if (segment->ack != conn->snd_nxt) {
		conn->stack->counters.bad_ack++;
		tcp_reply_reset(conn->stack, &conn->tuple, segment, tcp_cold(conn)->path);
		return false;
	}
	establish(conn, segment);
	return true;
}

/* --- payload and FIN ------------------------------------------------------------------- */

static void
schedule_ack(struct tcp_conn *conn)
{
	if (conn->quick_acks > 0) {
		conn->quick_acks--;
		tcp_conn_ack_now(conn);
	} else if (conn->rcv_nxt - conn->last_ack_sent >= 2u * conn->rcv_mss) {
		tcp_conn_ack_now(conn);
	} else if (!(conn->flags & (TCP_F_ACK_NOW | TCP_F_ACK_DELAYED))) {
		conn->flags |= TCP_F_ACK_DELAYED;
		tcp_timer_set(conn, TCP_TIMER_ACK, TCP_DELAYED_ACK_MS);
	}
}

static bool
receiving(const struct tcp_conn *conn)
{
	return conn->state == TCP_ESTABLISHED || conn->state == TCP_FIN_WAIT_1 ||
	       conn->state == TCP_FIN_WAIT_2;
}

/* Takes off what lies behind the peer's FIN. */
static void
clip_to_fin(struct tcp_conn *conn, struct tcp_segment *segment)
{
	uint32_t fin = tcp_cold(conn)->fin_seq;

	if (!(conn->flags & TCP_F_FIN_SEEN))
		return;
	if (seq_ge(segment->seq, fin))
		segment->len = 0;
	else
		segment->len = RTE_MIN(segment->len, fin - segment->seq);
}

/* Section 3.10.7.4, seventh check. Consumes `m`. */
static void
payload_input(struct tcp_conn *conn, struct rte_mbuf *m, struct tcp_segment *segment)
{
	uint32_t before = conn->rcv_nxt;
	bool gap = conn->ooo_head != TCP_NONE;

	clip_to_fin(conn, segment);
	if (segment->len == 0) {
		tcp_chain_free(m);
		return;
	}
	m = tcp_chain_trim_front(m, segment->header);
	tcp_chain_truncate(m, segment->len);
	conn->rcv_mss =
		RTE_MAX(conn->rcv_mss, (uint16_t)RTE_MIN(segment->len, (uint32_t)UINT16_MAX));
	tcp_reassembly_input(conn, m, segment->seq, segment->len);
	if (conn->rcv_nxt == before || gap)
		tcp_conn_ack_now(conn); /* RFC 5681 section 4.2 */
	else
		schedule_ack(conn);
	if (conn->rcv_nxt != before)
		tcp_conn_event(conn, TCP_EV_READABLE);
}

/* Eighth check. */
static void
fin_received(struct tcp_conn *conn)
{
	conn->flags |= TCP_F_FIN_RECEIVED;
	conn->rcv_nxt++;
	tcp_reassembly_clear(conn);
	tcp_conn_event(conn, TCP_EV_EOF);
	tcp_conn_ack_now(conn);
	switch (conn->state) {
	case TCP_ESTABLISHED:
		conn->state = TCP_CLOSE_WAIT;
		break;
	case TCP_FIN_WAIT_1:
		conn->state = TCP_CLOSING;
		break;
	case TCP_FIN_WAIT_2:
		tcp_time_wait_enter(conn);
		tcp_conn_event(conn, TCP_EV_CLOSED);
		break;
	default:
		break;
	}
}

/* Fifth check, what an acknowledged FIN changes. */
static void
fin_acknowledged(struct tcp_conn *conn)
{
	if (!(conn->flags & TCP_F_FIN_SENT) || conn->snd_una != conn->snd_end + 1)
		return;
	switch (conn->state) {
	case TCP_FIN_WAIT_1:
		conn->state = TCP_FIN_WAIT_2;
		if (conn->flags & TCP_F_RELEASED)
			tcp_timer_set(conn, TCP_TIMER_LIFE, tcp_cold(conn)->fin_wait2_ms);
		break;
	case TCP_CLOSING:
		tcp_time_wait_enter(conn);
		tcp_conn_event(conn, TCP_EV_CLOSED);
		break;
	case TCP_LAST_ACK:
		tcp_conn_detach(conn, TCP_CLOSED);
		tcp_conn_event(conn, TCP_EV_CLOSED);
		break;
	default:
		break;
	}
}

/* Payload and FIN. Consumes `m`. */
static void
text_input(struct tcp_conn *conn, struct rte_mbuf *m, struct tcp_segment *segment)
{
	struct tcp_cold *cold = tcp_cold(conn);

	if (!receiving(conn) || (segment->len == 0 && !(segment->flags & TCP_FIN))) {
		tcp_chain_free(m);
		return;
	}
	if (conn->flags & TCP_F_RELEASED && segment->len > 0) {
		conn->stack->counters.data_after_close += segment->len;
		tcp_chain_free(m);
		tcp_conn_reset(conn);
		tcp_conn_detach(conn, TCP_CLOSED);
		return;
	}
	if (segment->flags & TCP_FIN && !(conn->flags & TCP_F_FIN_SEEN)) {
		conn->flags |= TCP_F_FIN_SEEN;
		cold->fin_seq = segment->seq + segment->len;
	}
	payload_input(conn, m, segment);
	if (conn->flags & TCP_F_FIN_SEEN && conn->rcv_nxt == cold->fin_seq)
		fin_received(conn);
	else if (segment->flags & TCP_FIN)
		tcp_conn_ack_now(conn); /* it came too early */
}

/* Section 3.10.7.4. True: payload and FIN are to be looked at. */
static bool
synchronized_input(struct tcp_conn *conn, struct tcp_segment *segment)
{
	uint32_t seq = segment->seq;

	if (!check_timestamps(conn, segment))
		return false;
	if (segment->flags & TCP_RST) {
		reset_input(conn, segment);
		return false;
	}
	if (segment->flags & TCP_SYN && !syn_input(conn, segment))
		return false;
	if (!check_sequence(conn, segment))
		return false;
	take_timestamp(conn, segment, seq);
	if (!(segment->flags & TCP_ACK))
		return false;
	if (conn->state == TCP_SYN_RECEIVED && !syn_received_ack(conn, segment))
		return false;
	if (!tcp_ack_input(conn, segment))
		return false;
	if (segment->ecn != 0 || segment->flags & TCP_CWR)
		tcp_ecn_data(conn, segment);
	fin_acknowledged(conn);
	return tcp_alive(conn);
}

void
tcp_conn_input(struct tcp_conn *conn, struct rte_mbuf *m, struct tcp_segment *segment)
{
	struct tcp_cold *cold = tcp_cold(conn);
	bool text;

	conn->stack->counters.segments_in++;
	if (segment->opt.broken)
		conn->stack->counters.bad_options++;
	cold->segments_received++;
	if (conn->stack->tick - cold->last_recv > TCP_QUICK_IDLE_MS)
		conn->quick_acks = TCP_QUICK_ACKS;
	cold->last_recv = conn->stack->tick;
	cold->keep_sent = 0;
	if (conn->state == TCP_SYN_SENT)
		text = syn_sent_input(conn, segment);
	else
		text = synchronized_input(conn, segment);
	if (text)
		text_input(conn, m, segment);
	else
		tcp_chain_free(m);
	tcp_conn_reap(conn);
}

/* --- the burst ------------------------------------------------------------------------- */

struct arrival {
	struct tcp_tuple tuple;
	struct tcp_segment segment;
	uint64_t hash;
	struct rte_mbuf *m; /* NULL: the header was bad */
};

static void
arrive(struct tcp_stack *stack, struct arrival *a, struct rte_mbuf *m)
{
	if (!tcp_segment_parse(m, &a->tuple, &a->segment)) {
		stack->counters.bad_header++;
		tcp_chain_free(m);
		a->m = NULL;
		return;
	}
	a->m = m;
	a->hash = tcp_table_hash(&stack->table, &a->tuple);
	tcp_table_prefetch(&stack->table, a->hash);
}

/* True: a stranger, untouched. */
static bool
dispatch(struct tcp_stack *stack, struct arrival *a)
{
	uint32_t index = tcp_table_find(&stack->table, &a->tuple, a->hash);

	if (index == TCP_NONE)
		return true;
	tcp_segment_options(a->m, &a->segment);
	if (index & TCP_INDEX_TIME_WAIT) {
		if (tcp_time_wait_input(stack, index, &a->segment))
			return true;
		tcp_chain_free(a->m);
		return false;
	}
	tcp_conn_input(&stack->conns[index], a->m, &a->segment);
	return false;
}

uint16_t
tcp_input(struct tcp_stack *stack, struct rte_mbuf **segments, uint16_t n, uint64_t now,
	  struct rte_mbuf **strangers)
{
	struct arrival arrivals[TCP_INPUT_CHUNK];
	uint16_t strange = 0;

	tcp_clock(stack, now);
	for (uint32_t at = 0; at < n; at += TCP_INPUT_CHUNK) {
		uint32_t chunk = RTE_MIN((uint32_t)n - at, (uint32_t)TCP_INPUT_CHUNK);

		for (uint32_t i = 0; i < chunk; i++)
			arrive(stack, &arrivals[i], segments[at + i]);
		for (uint32_t i = 0; i < chunk; i++)
			if (arrivals[i].m != NULL)
				tcp_table_prefetch_entry(&stack->table, arrivals[i].hash);
		for (uint32_t i = 0; i < chunk; i++)
			if (arrivals[i].m != NULL && dispatch(stack, &arrivals[i]))
				strangers[strange++] = arrivals[i].m;
	}
	return strange;
}
