/* SPDX-License-Identifier: Apache-2.0 */

/* Which segment goes next: RFC 9293 section 3.8.6.2.1 (silly windows), RFC 6675's NextSeg().
 * There is no Nagle: a gateway has the whole of what its other leg gave it. */

#include "tcpstack/tcp_internal.h"

enum plan_kind {
	PLAN_NOTHING,
	PLAN_RESET,
	PLAN_SYN,
	PLAN_RETRANSMIT,
	PLAN_NEW,
	PLAN_PROBE,
	PLAN_ACK,
};

struct plan {
	enum plan_kind kind;
	uint32_t seq;
	uint32_t len;
	uint8_t flags;
	struct rte_mbuf *payload; /* with payload_off: the byte `seq` */
	uint32_t payload_off;
	struct tcp_hole *hole;
};

/* One connection's turn. */
struct turn {
	struct tcp_stack *stack;
	struct tcp_conn *conn;
	uint32_t pipe; /* RFC 6675 section 2 */
};

/* --- the window that we give ----------------------------------------------------------- */

/* RFC 9293 section 3.8.6.2.2: the edge moves when that gains a segment, as the peer sends
 * them, or half the buffer. */
static bool
edge_moves(const struct tcp_conn *conn)
{
	uint32_t worth = RTE_MIN((uint32_t)conn->rcv_mss, tcp_cold(conn)->room_max / 2);

	return seq_ge(conn->rcv_limit, conn->rcv_adv + RTE_MAX(worth, 1u));
}

/* An update of its own waits for two segments' worth, unless the peer cannot send one. */
bool
tcp_window_update_due(const struct tcp_conn *conn)
{
	uint32_t half = tcp_cold(conn)->room_max / 2;
	uint32_t left = conn->rcv_adv - conn->rcv_nxt;

	if (left < conn->mss)
		return edge_moves(conn);
	return seq_ge(conn->rcv_limit, conn->rcv_adv + RTE_MAX(RTE_MIN(2u * conn->mss, half), 1u));
}

/* The window field. Where the edge stays, what is left of the window is rounded up to the
 * scale's unit so that the edge does not go back; a peer that sends single bytes would
 * creep forward on that, so beyond the caller's room it is rounded down (RFC 7323
 * section 2.4 allows for that, and what lies within rcv_adv is taken all the same). */
static uint16_t
window_field(struct tcp_conn *conn, uint8_t scale)
{
	uint32_t unit = 1u << scale, left, field;

	if (seq_lt(conn->rcv_adv, conn->rcv_nxt))
		conn->rcv_adv = conn->rcv_nxt;
	left = conn->rcv_adv - conn->rcv_nxt;
	field = (left + unit - 1) >> scale;
	if (field > 0 && seq_gt(conn->rcv_nxt + (field << scale),
				seq_max(conn->rcv_limit, conn->rcv_nxt) + 2 * unit))
		field = left >> scale;
	if (edge_moves(conn))
		field = RTE_MAX(field, (conn->rcv_limit - conn->rcv_nxt) >> scale);
	field = RTE_MIN(field, (uint32_t)UINT16_MAX);
	conn->rcv_adv = seq_max(conn->rcv_adv, conn->rcv_nxt + (field << scale));
	return (uint16_t)field;
}

/* --- where a byte is ------------------------------------------------------------------- */

/* Finds `seq` in the send queue, from the hint if that helps. */
static void
locate(struct tcp_conn *conn, uint32_t seq, struct plan *plan)
{
	struct tcp_cold *cold = tcp_cold(conn);
	struct rte_mbuf *m = conn->snd_head;
	uint32_t off = conn->snd_head_off, at = conn->snd_una;

	if (cold->rtx_mbuf != NULL && seq_ge(seq, cold->rtx_seq)) {
		m = cold->rtx_mbuf;
		off = cold->rtx_off;
		at = cold->rtx_seq;
	}
	off += seq - at;
	while (m != NULL && off >= m->data_len) {
		off -= m->data_len;
		m = m->next;
	}
	cold->rtx_mbuf = m;
	cold->rtx_off = off;
	cold->rtx_seq = seq;
	plan->payload = m;
	plan->payload_off = off;
}

/* Cuts the plan to what TCP_SEGMENT_BUFFERS buffers hold. */
static void
limit_buffers(struct plan *plan)
{
	const struct rte_mbuf *m = plan->payload;
	uint32_t off = plan->payload_off, have = 0;

	for (int i = 0; i < TCP_SEGMENT_BUFFERS && have < plan->len; i++) {
		have += m->data_len - off;
		m = m->next;
		off = 0;
	}
	plan->len = RTE_MIN(plan->len, have);
}

/* --- what is next ---------------------------------------------------------------------- */

static uint32_t
payload_limit(const struct tcp_conn *conn)
{
	return conn->mss - RTE_MIN((uint32_t)tcp_options_sack_len(conn), conn->mss - 1u);
}

static bool
fin_waiting(const struct tcp_conn *conn)
{
	return (conn->flags & (TCP_F_FIN_QUEUED | TCP_F_FIN_SENT)) == TCP_F_FIN_QUEUED;
}

/* NextSeg() rules 1 and 3. */
static bool
plan_retransmission(struct turn *turn, struct plan *plan)
{
	struct tcp_conn *conn = turn->conn;
	bool more = conn->snd_nxt != conn->snd_end && !(conn->flags & TCP_F_FIN_SENT);
	bool any = tcp_cold(conn)->recovery == TCP_RECOVERY && !more;
	struct tcp_hole *hole;
	uint32_t end;

	if (conn->hole_head == TCP_NONE)
		return false;
	hole = tcp_sack_next(conn, false);
	if (hole == NULL && any)
		hole = tcp_sack_next(conn, true);
	if (hole == NULL)
		return false;
	end = seq_min(hole->end, conn->snd_end);
	plan->kind = PLAN_RETRANSMIT;
	plan->hole = hole;
	plan->seq = hole->rtx;
	plan->flags = TCP_ACK;
	plan->len = 0;
	if (seq_lt(hole->rtx, end)) {
		plan->len = RTE_MIN(end - hole->rtx, payload_limit(conn));
		locate(conn, hole->rtx, plan);
		limit_buffers(plan);
	}
	if (plan->seq + plan->len == conn->snd_end && seq_gt(hole->end, conn->snd_end))
		plan->flags |= TCP_FIN;
	return conn->flags & TCP_F_FORCE_RTX || turn->pipe == 0 ||
	       turn->pipe + plan->len <= conn->cwnd;
}

/* A window that takes less than is worth sending: wait for the peer, or for the timer. */
static bool
wait_for_window(struct tcp_conn *conn)
{
	conn->flags &= ~TCP_F_CWND_LIMITED;
	if (tcp_in_flight(conn) == 0 && !tcp_timer_running(conn, TCP_TIMER_REXMT))
		tcp_rto_start(conn);
	return false;
}

static bool
plan_fin(struct tcp_conn *conn, struct plan *plan, int32_t window)
{
	conn->flags &= ~TCP_F_CWND_LIMITED;
	if (!fin_waiting(conn))
		return false;
	/* It may stand just beyond the window that the data filled; every stack takes it
	 * there, and one that does not will have it again. */
	if (window < 0)
		return wait_for_window(conn);
	plan->kind = PLAN_NEW;
	plan->seq = conn->snd_nxt;
	plan->len = 0;
	plan->flags = TCP_ACK | TCP_FIN;
	return true;
}

/* NextSeg() rule 2. */
static bool
plan_new(struct turn *turn, struct plan *plan)
{
	struct tcp_conn *conn = turn->conn;
	uint32_t limit = payload_limit(conn);
	uint32_t unsent = conn->flags & TCP_F_FIN_SENT ? 0 : conn->snd_end - conn->snd_nxt;
	int32_t window = (int32_t)(conn->snd_una + conn->snd_wnd - conn->snd_nxt);

	if (unsent == 0)
		return plan_fin(conn, plan, window);
	if (window <= 0)
		return wait_for_window(conn);
	plan->len = RTE_MIN(RTE_MIN(unsent, limit), (uint32_t)window);
	if (plan->len < limit && plan->len < unsent && !(conn->flags & TCP_F_SWS_OVERRIDE) &&
	    plan->len < tcp_cold(conn)->max_snd_wnd / 2)
		return wait_for_window(conn);
	if (turn->pipe + plan->len > conn->cwnd && turn->pipe > 0) {
		conn->flags |= TCP_F_CWND_LIMITED;
		return false;
	}
	plan->kind = PLAN_NEW;
	plan->seq = conn->snd_nxt;
	plan->payload = conn->snd_cursor;
	plan->payload_off = conn->snd_cursor_off;
	limit_buffers(plan);
	plan->flags = TCP_ACK;
	if (plan->len == unsent) {
		plan->flags |= TCP_PSH;
		if (fin_waiting(conn) && (uint32_t)window >= plan->len)
			plan->flags |= TCP_FIN;
	}
	return true;
}

static bool
plan_handshake(struct tcp_conn *conn, struct plan *plan)
{
	if (!(conn->flags & TCP_F_SEND_SYN))
		return false;
	plan->kind = PLAN_SYN;
	plan->seq = tcp_cold(conn)->iss;
	plan->flags = conn->state == TCP_SYN_SENT ? TCP_SYN : TCP_SYN | TCP_ACK;
	plan->flags |= tcp_ecn_syn_flags(conn);
	return true;
}

static bool
plan_plain(struct tcp_conn *conn, struct plan *plan, enum plan_kind kind, uint32_t seq)
{
	plan->kind = kind;
	plan->seq = seq;
	plan->len = 0;
	plan->flags = kind == PLAN_RESET ? TCP_RST | TCP_ACK : TCP_ACK;
	return true;
}

static bool
plan_next(struct turn *turn, struct plan *plan)
{
	struct tcp_conn *conn = turn->conn;

	*plan = (struct plan){0};
	if (conn->flags & TCP_F_SEND_RST)
		return plan_plain(conn, plan, PLAN_RESET, conn->snd_nxt);
	if (conn->state == TCP_CLOSED)
		return false;
	if (plan_handshake(conn, plan))
		return true;
	if (conn->state == TCP_SYN_SENT)
		return false;
	if (tcp_synchronized(conn)) {
		if (plan_retransmission(turn, plan))
			return true;
		if (plan_new(turn, plan))
			return true;
		conn->flags &= ~TCP_F_FORCE_RTX;
		/* RFC 1122 section 4.2.3.6: a byte that the peer has, to be acknowledged. */
		if (conn->flags & TCP_F_SEND_PROBE)
			return plan_plain(conn, plan, PLAN_PROBE, conn->snd_una - 1);
	}
	if (conn->flags & TCP_F_ACK_NOW)
		return plan_plain(conn, plan, PLAN_ACK, conn->snd_nxt);
	return false;
}

/* --- it is sent ------------------------------------------------------------------------ */

static void
advance_cursor(struct tcp_conn *conn, uint32_t len)
{
	struct rte_mbuf *m = conn->snd_cursor;
	uint32_t off = conn->snd_cursor_off + len;

	while (m != NULL && off >= m->data_len) {
		off -= m->data_len;
		m = m->next;
	}
	conn->snd_cursor = m;
	conn->snd_cursor_off = off;
}

static void
sent_new(struct turn *turn, const struct plan *plan)
{
	struct tcp_conn *conn = turn->conn;
	struct tcp_cold *cold = tcp_cold(conn);
	bool first = tcp_in_flight(conn) == 0;

	advance_cursor(conn, plan->len);
	if (plan->len > 0)
		cold->ecn &= ~TCP_ECN_F_CWR; /* it is said */
	conn->snd_nxt += plan->len;
	if (plan->flags & TCP_FIN) {
		conn->snd_nxt++;
		conn->flags |= TCP_F_FIN_SENT;
	}
	conn->flags &= ~TCP_F_SWS_OVERRIDE;
	cold->bytes_sent += plan->len;
	turn->stack->counters.bytes_out += plan->len;
	cold->last_sent = turn->stack->tick;
	if (!(conn->flags & TCP_F_RTT_TIMED)) {
		conn->flags |= TCP_F_RTT_TIMED;
		cold->rtt_seq = conn->snd_nxt;
		cold->rtt_start = (uint32_t)turn->stack->now;
	}
	if (first || !tcp_timer_running(conn, TCP_TIMER_REXMT))
		tcp_rto_start(conn);
	if (!tcp_timer_running(conn, TCP_TIMER_USER))
		tcp_user_timer(conn);
	turn->pipe += plan->len;
	cold->prr_out += plan->len;
}

static void
sent_retransmission(struct turn *turn, const struct plan *plan)
{
	struct tcp_conn *conn = turn->conn;
	struct tcp_cold *cold = tcp_cold(conn);
	uint32_t len = plan->len + (plan->flags & TCP_FIN ? 1 : 0);

	plan->hole->rtx += len;
	plan->hole->mark = conn->snd_nxt;
	conn->flags &= ~TCP_F_FORCE_RTX;
	cold->retransmits++;
	cold->total_retransmits++;
	turn->stack->counters.retransmits++;
	tcp_rtt_cancel(conn, plan->seq);
	if (plan->seq == conn->snd_una || !tcp_timer_running(conn, TCP_TIMER_REXMT))
		tcp_rto_start(conn);
	turn->pipe += plan->len;
	cold->prr_out += plan->len;
}

static void
sent_syn(struct tcp_conn *conn)
{
	struct tcp_cold *cold = tcp_cold(conn);

	conn->flags &= ~TCP_F_SEND_SYN;
	if (!tcp_timer_running(conn, TCP_TIMER_REXMT))
		tcp_rto_start(conn);
	if (conn->flags & TCP_F_SYN_RETRANSMITTED)
		return;
	conn->flags |= TCP_F_RTT_TIMED;
	cold->rtt_seq = cold->iss + 1;
	cold->rtt_start = (uint32_t)conn->stack->now;
}

static void
sent(struct turn *turn, const struct plan *plan)
{
	struct tcp_conn *conn = turn->conn;

	turn->stack->counters.segments_out++;
	tcp_cold(conn)->segments_sent++;
	if (plan->flags & TCP_ACK) {
		conn->last_ack_sent = conn->rcv_nxt;
		conn->flags &= ~(TCP_F_ACK_NOW | TCP_F_ACK_DELAYED | TCP_F_DSACK);
		tcp_timer_clear(conn, TCP_TIMER_ACK);
	}
	switch (plan->kind) {
	case PLAN_RESET:
		conn->flags &= ~TCP_F_SEND_RST;
		turn->stack->counters.resets_out++;
		break;
	case PLAN_SYN:
		sent_syn(conn);
		break;
	case PLAN_RETRANSMIT:
		sent_retransmission(turn, plan);
		break;
	case PLAN_NEW:
		sent_new(turn, plan);
		break;
	case PLAN_PROBE:
		conn->flags &= ~TCP_F_SEND_PROBE;
		if (!tcp_timer_running(conn, TCP_TIMER_USER))
			tcp_user_timer(conn);
		break;
	default:
		break;
	}
}

static struct rte_mbuf *
build(struct turn *turn, const struct plan *plan)
{
	struct tcp_conn *conn = turn->conn;
	uint8_t options[TCP_OPTIONS_MAX];
	struct tcp_header header = {
		.seq = plan->seq,
		.flags = plan->flags,
		.options = options,
		.payload = plan->len,
		.path = tcp_cold(conn)->path,
	};
	struct rte_mbuf *m;

	if (plan->flags & TCP_ACK)
		header.ack = conn->rcv_nxt;
	if (plan->kind == PLAN_SYN)
		header.options_len = tcp_options_syn(conn, options);
	else
		header.options_len = tcp_options_plain(conn, options);
	if (plan->kind != PLAN_RESET)
		header.window = window_field(conn, plan->kind == PLAN_SYN ? 0 : conn->rcv_wscale);
	tcp_ecn_mark(conn, plan->kind == PLAN_NEW && plan->len > 0, &header);
	m = tcp_build_header(turn->stack, &conn->tuple, &header);
	if (m != NULL && plan->len > 0 &&
	    !tcp_build_payload(turn->stack, m, plan->payload, plan->payload_off, plan->len))
		return NULL;
	return m;
}

/* --- the walk -------------------------------------------------------------------------- */

/* RFC 5681 section 4.1 */
static void
restart_after_idle(struct tcp_conn *conn)
{
	struct tcp_cold *cold = tcp_cold(conn);

	if (tcp_in_flight(conn) == 0 && conn->snd_nxt != conn->snd_end && cold->bytes_sent > 0)
		tcp_cubic_restart(conn, conn->stack->tick - cold->last_sent);
}

/* Returns how many segments were written; *starved: buffers ran out. */
static uint16_t
conn_output(struct tcp_conn *conn, struct rte_mbuf **out, uint16_t max, bool *starved)
{
	struct turn turn = {.stack = conn->stack, .conn = conn};
	uint16_t n = 0;

	if (tcp_synchronized(conn)) {
		turn.pipe = tcp_sack_pipe(conn);
		restart_after_idle(conn);
	}
	while (n < max) {
		struct plan plan;
		struct rte_mbuf *m;

		if (!plan_next(&turn, &plan))
			break;
		m = build(&turn, &plan);
		if (m == NULL) {
			*starved = true;
			break;
		}
		sent(&turn, &plan);
		out[n++] = m;
	}
	return n;
}

static uint16_t
replies_output(struct tcp_stack *stack, struct rte_mbuf **out, uint16_t max)
{
	uint16_t n = 0;

	while (n < max && stack->replies_head != stack->replies_tail)
		out[n++] = stack->replies[stack->replies_head++ % TCP_REPLIES];
	stack->counters.segments_out += n;
	return n;
}

uint16_t
tcp_output(struct tcp_stack *stack, uint64_t now, struct rte_mbuf **out, uint16_t max)
{
	uint16_t n;
	bool starved = false;

	tcp_clock(stack, now);
	n = replies_output(stack, out, max);
	while (n < max && stack->output.head != TCP_NONE && !starved) {
		struct tcp_conn *conn = &stack->conns[stack->output.head];
		uint16_t budget = RTE_MIN(max - n, TCP_OUTPUT_BURST), got;

		tcp_list_remove(stack, &stack->output, conn, TCP_LIST_OUTPUT);
		conn->flags &= ~TCP_F_ON_OUTPUT;
		got = conn_output(conn, out + n, budget, &starved);
		n += got;
		if (starved) {
			conn->flags |= TCP_F_ON_OUTPUT;
			tcp_list_push_front(stack, &stack->output, conn, TCP_LIST_OUTPUT);
		} else if (got == budget) {
			tcp_conn_want_output(conn); /* there may be more: behind the others */
		} else {
			tcp_conn_reap(conn);
		}
	}
	return n;
}
