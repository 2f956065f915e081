/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The sender's scoreboard (RFC 6675), kept as its complement: a sorted list of holes
 * between snd_una and snd_fack. What lies there and in no hole is SACKed; what lies above
 * snd_fack is in flight. A hole knows how far it has been retransmitted, and how much had
 * been sent then: when later bytes than those are SACKed, the retransmission was lost too.
 *
 * For a peer without SACK the same list holds the one segment that NewReno retransmits
 * (RFC 6582), and after a timeout all that was in flight.
 */

#include "tcpstack/tcp_internal.h"

static struct tcp_node *
node_at(const struct tcp_conn *conn, uint32_t node)
{
	return &conn->stack->nodes.node[node];
}

static uint32_t
hole_alloc(struct tcp_conn *conn)
{
	struct tcp_cold *cold = tcp_cold(conn);
	uint32_t node;

	if (cold->n_holes >= TCP_HOLES_MAX)
		return TCP_NONE;
	if (!(conn->flags & TCP_F_PRIVATE_NODE)) {
		conn->flags |= TCP_F_PRIVATE_NODE;
		node = tcp_conn_index(conn);
	} else {
		node = tcp_node_alloc(conn->stack);
	}
	if (node != TCP_NONE)
		cold->n_holes++;
	return node;
}

static void
hole_free(struct tcp_conn *conn, uint32_t node)
{
	tcp_cold(conn)->n_holes--;
	if (node == tcp_conn_index(conn))
		conn->flags &= ~TCP_F_PRIVATE_NODE;
	else
		tcp_node_free(conn->stack, node);
}

/* Where the list is continued after `node`; TCP_NONE stands for the head. */
static uint32_t *
link_of(struct tcp_conn *conn, uint32_t node)
{
	return node == TCP_NONE ? &conn->hole_head : &node_at(conn, node)->next;
}

static bool
hole_add(struct tcp_conn *conn, uint32_t before, const struct tcp_hole *hole)
{
	uint32_t node = hole_alloc(conn);

	if (node == TCP_NONE)
		return false;
	node_at(conn, node)->hole = *hole;
	node_at(conn, node)->next = *link_of(conn, before);
	*link_of(conn, before) = node;
	return true;
}

static uint32_t
last_hole(const struct tcp_conn *conn)
{
	uint32_t last = TCP_NONE;

	for (uint32_t node = conn->hole_head; node != TCP_NONE; node = node_at(conn, node)->next)
		last = node;
	return last;
}

static void
count_sacked(struct tcp_conn *conn)
{
	struct tcp_cold *cold = tcp_cold(conn);
	uint32_t bytes = cold->snd_fack - conn->snd_una;

	for (uint32_t node = conn->hole_head; node != TCP_NONE; node = node_at(conn, node)->next)
		bytes -= node_at(conn, node)->hole.end - node_at(conn, node)->hole.start;
	cold->sacked = bytes;
}

void
tcp_sack_clear(struct tcp_conn *conn)
{
	while (conn->hole_head != TCP_NONE) {
		uint32_t node = conn->hole_head;

		conn->hole_head = node_at(conn, node)->next;
		hole_free(conn, node);
	}
	tcp_cold(conn)->snd_fack = conn->snd_una;
	tcp_cold(conn)->sacked = 0;
}

void
tcp_sack_advance(struct tcp_conn *conn)
{
	struct tcp_cold *cold = tcp_cold(conn);

	while (conn->hole_head != TCP_NONE) {
		uint32_t node = conn->hole_head;
		struct tcp_hole *hole = &node_at(conn, node)->hole;

		if (seq_gt(hole->end, conn->snd_una)) {
			hole->start = seq_max(hole->start, conn->snd_una);
			hole->rtx = seq_max(hole->rtx, conn->snd_una);
			break;
		}
		conn->hole_head = node_at(conn, node)->next;
		hole_free(conn, node);
	}
	cold->snd_fack = seq_max(cold->snd_fack, conn->snd_una);
	count_sacked(conn);
}

/* Takes start..end out of `hole`, which it overlaps. False: it would have to be split and
 * there is no node; the block is then forgotten, which costs a retransmission at most. */
static bool
punch(struct tcp_conn *conn, uint32_t before, uint32_t node, uint32_t start, uint32_t end)
{
	struct tcp_hole *hole = &node_at(conn, node)->hole;

	if (seq_le(start, hole->start) && seq_ge(end, hole->end)) {
		*link_of(conn, before) = node_at(conn, node)->next;
		hole_free(conn, node);
		return true;
	}
	if (seq_gt(start, hole->start) && seq_lt(end, hole->end)) {
		struct tcp_hole right = *hole;

		right.start = end;
		right.rtx = seq_max(right.rtx, end);
		if (!hole_add(conn, node, &right))
			return false;
		hole = &node_at(conn, node)->hole;
	}
	if (seq_le(start, hole->start)) {
		hole->start = end;
		hole->rtx = seq_max(hole->rtx, end);
	} else {
		hole->end = start;
		hole->rtx = seq_min(hole->rtx, start);
	}
	return true;
}

static void
punch_all(struct tcp_conn *conn, uint32_t start, uint32_t end)
{
	uint32_t before = TCP_NONE, node = conn->hole_head;

	while (node != TCP_NONE && seq_lt(node_at(conn, node)->hole.start, end)) {
		uint32_t next = node_at(conn, node)->next;
		bool gone;

		if (seq_le(node_at(conn, node)->hole.end, start)) {
			before = node;
			node = next;
			continue;
		}
		gone = seq_le(start, node_at(conn, node)->hole.start) &&
		       seq_ge(end, node_at(conn, node)->hole.end);
		if (!punch(conn, before, node, start, end))
			return;
		if (!gone)
			before = node;
		node = next;
	}
}

static void
take_block(struct tcp_conn *conn, uint32_t start, uint32_t end)
{
	struct tcp_cold *cold = tcp_cold(conn);

	if (seq_gt(end, cold->snd_fack)) {
		struct tcp_hole gap = {.start = cold->snd_fack,
				       .end = start,
				       .rtx = cold->snd_fack,
				       .mark = conn->snd_nxt};

		if (seq_gt(start, cold->snd_fack) && !hole_add(conn, last_hole(conn), &gap))
			return;
		punch_all(conn, start, cold->snd_fack);
		cold->snd_fack = end;
		return;
	}
	punch_all(conn, start, end);
}

bool
tcp_sack_update(struct tcp_conn *conn, const struct tcp_options *opt)
{
	struct tcp_cold *cold = tcp_cold(conn);
	uint32_t before = cold->sacked;

	for (uint8_t i = 0; i < opt->n_sack; i++) {
		uint32_t start = opt->sack[i].start, end = opt->sack[i].end;

		/* Below snd_una it is a D-SACK (RFC 2883) or late; beyond snd_nxt, a lie. */
		if (seq_lt(start, end) && seq_gt(start, conn->snd_una) &&
		    seq_le(end, conn->snd_nxt))
			take_block(conn, start, end);
	}
	count_sacked(conn);
	return cold->sacked != before;
}

/* RFC 6675 section 4, IsLost(): DupThresh discontiguous ranges, or more than
 * (DupThresh - 1) * SMSS bytes, are SACKed above the hole. */
static bool
is_lost(const struct tcp_conn *conn, uint32_t ranges_above, uint32_t bytes_above)
{
	return ranges_above >= TCP_DUP_THRESH ||
	       bytes_above > (TCP_DUP_THRESH - 1) * (uint32_t)conn->mss;
}

/* More was SACKed beyond what had been sent when the hole was last retransmitted than
 * reordering explains. */
static bool
is_lost_again(const struct tcp_conn *conn, const struct tcp_hole *hole)
{
	return hole->rtx != hole->start &&
	       seq_gt(tcp_cold(conn)->snd_fack,
		      hole->mark + (TCP_DUP_THRESH - 1) * (uint32_t)conn->mss);
}

bool
tcp_sack_detect(struct tcp_conn *conn)
{
	struct tcp_cold *cold = tcp_cold(conn);
	uint32_t above = cold->sacked, ranges = cold->n_holes, end = conn->snd_una;
	bool waiting = false;

	for (uint32_t node = conn->hole_head; node != TCP_NONE; node = node_at(conn, node)->next) {
		struct tcp_hole *hole = &node_at(conn, node)->hole;

		above -= hole->start - end;
		end = hole->end;
		if (!hole->lost)
			hole->lost = is_lost(conn, ranges, above);
		else if (is_lost_again(conn, hole))
			hole->rtx = hole->start;
		waiting |= hole->lost && hole->rtx != hole->end;
		ranges--;
	}
	return waiting;
}

static void
lose_holes(struct tcp_conn *conn)
{
	for (uint32_t node = conn->hole_head; node != TCP_NONE; node = node_at(conn, node)->next) {
		struct tcp_hole *hole = &node_at(conn, node)->hole;

		hole->lost = true;
		hole->rtx = hole->start;
		hole->mark = conn->snd_nxt;
	}
}

/* Appends a lost hole from snd_fack to `end`. */
static bool
lose_up_to(struct tcp_conn *conn, uint32_t end)
{
	struct tcp_cold *cold = tcp_cold(conn);
	struct tcp_hole hole = {.start = cold->snd_fack,
				.end = end,
				.rtx = cold->snd_fack,
				.mark = conn->snd_nxt,
				.lost = true};

	if (seq_ge(cold->snd_fack, end))
		return true;
	if (!hole_add(conn, last_hole(conn), &hole))
		return false;
	cold->snd_fack = end;
	return true;
}

void
tcp_sack_lose_all(struct tcp_conn *conn)
{
	bool reneged = tcp_cold(conn)->sacked != 0 &&
		       (conn->hole_head == TCP_NONE ||
			node_at(conn, conn->hole_head)->hole.start != conn->snd_una);

	/* RFC 2018 section 8: the peer may drop what it has SACKed. Then snd_una stands at
	 * bytes that count as received. */
	if (reneged)
		tcp_sack_clear(conn);
	lose_holes(conn);
	if (!lose_up_to(conn, conn->snd_nxt)) {
		tcp_sack_clear(conn);
		lose_up_to(conn, conn->snd_nxt);
	}
	count_sacked(conn);
}

void
tcp_sack_lose_first(struct tcp_conn *conn)
{
	tcp_sack_clear(conn);
	lose_up_to(conn, seq_min(conn->snd_una + conn->mss, conn->snd_nxt));
}

uint32_t
tcp_sack_pipe(const struct tcp_conn *conn)
{
	const struct tcp_cold *cold = tcp_cold(conn);
	uint32_t pipe, inferred;

	if (conn->hole_head == TCP_NONE && cold->sacked == 0) {
		pipe = tcp_in_flight(conn);
	} else {
		pipe = conn->snd_nxt - cold->snd_fack;
		for (uint32_t node = conn->hole_head; node != TCP_NONE;
		     node = node_at(conn, node)->next) {
			const struct tcp_hole *hole = &node_at(conn, node)->hole;

			pipe += hole->rtx - hole->start;
			if (!hole->lost)
				pipe += hole->end - hole->start;
		}
	}
	if (conn->flags & TCP_F_SACK)
		return pipe;
	/* Each duplicate ACK is a segment that has left the network (RFC 6582). */
	inferred = (uint32_t)conn->dup_acks * conn->mss;
	return pipe > inferred ? pipe - inferred : 0;
}

struct tcp_hole *
tcp_sack_next(struct tcp_conn *conn, bool any)
{
	for (uint32_t node = conn->hole_head; node != TCP_NONE; node = node_at(conn, node)->next) {
		struct tcp_hole *hole = &node_at(conn, node)->hole;

		if ((hole->lost || any) && hole->rtx != hole->end)
			return hole;
	}
	return NULL;
}
