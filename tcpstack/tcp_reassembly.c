/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Payload into the receive queue. In-order buffers are linked, what comes too early waits
 * in runs sorted by sequence; bytes that are there already win over a second copy. Runs
 * that touch become one, so a run is what a SACK block tells (RFC 2018).
 */

#include "tcpstack/tcp_internal.h"

uint32_t
tcp_node_alloc(struct tcp_stack *stack)
{
	uint32_t node = stack->nodes.free_head;

	if (node != TCP_NONE)
		stack->nodes.free_head = stack->nodes.node[node].next;
	return node;
}

void
tcp_node_free(struct tcp_stack *stack, uint32_t node)
{
	stack->nodes.node[node].next = stack->nodes.free_head;
	stack->nodes.free_head = node;
}

static struct tcp_node *
node_at(const struct tcp_conn *conn, uint32_t node)
{
	return &conn->stack->nodes.node[node];
}

static void
free_run(struct tcp_conn *conn, uint32_t node)
{
	struct tcp_run *run = &node_at(conn, node)->run;

	tcp_cold(conn)->ooo_bytes -= run->buffers;
	tcp_chain_free(run->head);
	tcp_node_free(conn->stack, node);
}

void
tcp_reassembly_clear(struct tcp_conn *conn)
{
	struct tcp_cold *cold = tcp_cold(conn);

	while (conn->ooo_head != TCP_NONE) {
		uint32_t node = conn->ooo_head;

		conn->ooo_head = node_at(conn, node)->next;
		free_run(conn, node);
	}
	cold->ooo_tail = TCP_NONE;
	cold->n_sack = 0;
	conn->flags &= ~TCP_F_DSACK;
}

/* --- what is told ---------------------------------------------------------------------- */

void
tcp_reassembly_duplicate(struct tcp_conn *conn, uint32_t seq, uint32_t end)
{
	if (!(conn->flags & TCP_F_SACK))
		return;
	tcp_cold(conn)->dsack = (struct tcp_range){seq, end};
	conn->flags |= TCP_F_DSACK;
}

static void
sack_drop(struct tcp_cold *cold, uint8_t i)
{
	cold->n_sack--;
	memmove(&cold->sack[i], &cold->sack[i + 1], (cold->n_sack - i) * sizeof(cold->sack[0]));
}

/* RFC 2018 section 4: the block that the latest segment is in comes first. */
static void
sack_tell(struct tcp_conn *conn, uint32_t start, uint32_t end)
{
	struct tcp_cold *cold = tcp_cold(conn);

	for (uint8_t i = 0; i < cold->n_sack;)
		if (seq_ge(cold->sack[i].start, start) && seq_le(cold->sack[i].end, end))
			sack_drop(cold, i);
		else
			i++;
	if (cold->n_sack == TCP_SACK_BLOCKS)
		cold->n_sack--;
	memmove(&cold->sack[1], &cold->sack[0], cold->n_sack * sizeof(cold->sack[0]));
	cold->sack[0] = (struct tcp_range){start, end};
	cold->n_sack++;
}

static void
sack_forget_below(struct tcp_conn *conn, uint32_t seq)
{
	struct tcp_cold *cold = tcp_cold(conn);

	for (uint8_t i = 0; i < cold->n_sack;)
		if (seq_le(cold->sack[i].start, seq))
			sack_drop(cold, i);
		else
			i++;
}

/* --- in order -------------------------------------------------------------------------- */

static void
link_in_order(struct tcp_conn *conn, struct rte_mbuf *head, struct rte_mbuf *tail, uint32_t len)
{
	if (conn->rcv_head == NULL)
		conn->rcv_head = head;
	else
		conn->rcv_tail->next = head;
	conn->rcv_tail = tail;
	conn->rcv_queued += len;
	conn->rcv_nxt += len;
	tcp_cold(conn)->bytes_received += len;
	conn->stack->counters.bytes_in += len;
}

/* Moves the runs that rcv_nxt has reached over to the receive queue. */
static void
collect(struct tcp_conn *conn)
{
	struct tcp_cold *cold = tcp_cold(conn);

	while (conn->ooo_head != TCP_NONE) {
		uint32_t node = conn->ooo_head;
		struct tcp_run *run = &node_at(conn, node)->run;

		if (seq_gt(run->seq, conn->rcv_nxt))
			break;
		conn->ooo_head = node_at(conn, node)->next;
		if (seq_gt(run->end, conn->rcv_nxt)) {
			uint32_t len = run->end - conn->rcv_nxt;
			struct rte_mbuf *head =
				tcp_chain_trim_front(run->head, conn->rcv_nxt - run->seq);

			run->head = NULL;
			link_in_order(conn, head, run->tail, len);
		}
		free_run(conn, node);
	}
	if (conn->ooo_head == TCP_NONE)
		cold->ooo_tail = TCP_NONE;
	sack_forget_below(conn, conn->rcv_nxt);
}

/* --- out of order ---------------------------------------------------------------------- */

/* The last run that begins at or before `seq`, or TCP_NONE. */
static uint32_t
run_before(const struct tcp_conn *conn, uint32_t seq)
{
	uint32_t tail = tcp_cold(conn)->ooo_tail, found = TCP_NONE;

	if (tail != TCP_NONE && seq_le(node_at(conn, tail)->run.seq, seq))
		return tail;
	for (uint32_t node = conn->ooo_head; node != TCP_NONE; node = node_at(conn, node)->next) {
		if (seq_gt(node_at(conn, node)->run.seq, seq))
			break;
		found = node;
	}
	return found;
}

/* Removes the run that follows `before` (TCP_NONE: the first). */
static void
unlink_after(struct tcp_conn *conn, uint32_t before)
{
	uint32_t *link = before == TCP_NONE ? &conn->ooo_head : &node_at(conn, before)->next;
	uint32_t node = *link;

	*link = node_at(conn, node)->next;
	if (tcp_cold(conn)->ooo_tail == node)
		tcp_cold(conn)->ooo_tail = before;
}

static void
insert_after(struct tcp_conn *conn, uint32_t before, uint32_t node)
{
	uint32_t *link = before == TCP_NONE ? &conn->ooo_head : &node_at(conn, before)->next;

	node_at(conn, node)->next = *link;
	*link = node;
	if (tcp_cold(conn)->ooo_tail == before)
		tcp_cold(conn)->ooo_tail = node;
}

/* Frees the runs behind `before` that `end` covers; returns where the new bytes must stop
 * because a run has them already. */
static uint32_t
cover(struct tcp_conn *conn, uint32_t before, uint32_t end)
{
	for (;;) {
		uint32_t node = before == TCP_NONE ? conn->ooo_head : node_at(conn, before)->next;

		if (node == TCP_NONE || seq_ge(node_at(conn, node)->run.seq, end))
			return end;
		if (seq_gt(node_at(conn, node)->run.end, end))
			return node_at(conn, node)->run.seq;
		unlink_after(conn, before);
		free_run(conn, node);
	}
}

/* Appends the run behind `node` to it if they touch. */
static void
join_next(struct tcp_conn *conn, uint32_t node)
{
	uint32_t next = node_at(conn, node)->next;
	struct tcp_run *run = &node_at(conn, node)->run, *other;

	if (next == TCP_NONE)
		return;
	other = &node_at(conn, next)->run;
	if (other->seq != run->end)
		return;
	run->tail->next = other->head;
	run->tail = other->tail;
	run->end = other->end;
	run->buffers += other->buffers;
	unlink_after(conn, node);
	tcp_node_free(conn->stack, next);
}

static uint32_t
new_run(struct tcp_conn *conn, uint32_t before, uint32_t seq)
{
	uint32_t node = tcp_node_alloc(conn->stack);

	if (node == TCP_NONE)
		return TCP_NONE;
	node_at(conn, node)->run = (struct tcp_run){.seq = seq, .end = seq};
	insert_after(conn, before, node);
	return node;
}

/* Drops a segment that there is no room for. */
static bool
refuse(struct tcp_conn *conn, struct rte_mbuf *m)
{
	conn->stack->counters.ooo_dropped++;
	tcp_chain_free(m);
	return false;
}

static bool
keep_out_of_order(struct tcp_conn *conn, struct rte_mbuf *m, uint32_t seq, uint32_t len)
{
	struct tcp_cold *cold = tcp_cold(conn);
	uint32_t before = run_before(conn, seq), end = seq + len, node = TCP_NONE, buffers;
	struct tcp_run *run;

	if (before != TCP_NONE && seq_gt(node_at(conn, before)->run.end, seq)) {
		uint32_t have = node_at(conn, before)->run.end;

		tcp_reassembly_duplicate(conn, seq, seq_min(have, end));
		if (seq_ge(have, end)) {
			conn->stack->counters.duplicates++;
			tcp_chain_free(m);
			return false;
		}
		m = tcp_chain_trim_front(m, have - seq);
		seq = have;
	}
	buffers = tcp_chain_buffers(m);
	if (cold->ooo_bytes + buffers > conn->stack->config.max_ooo_bytes)
		return refuse(conn, m);
	if (before != TCP_NONE && node_at(conn, before)->run.end == seq)
		node = before;
	else
		node = new_run(conn, before, seq);
	if (node == TCP_NONE)
		return refuse(conn, m);

	end = cover(conn, node, end);
	tcp_chain_truncate(m, end - seq);
	buffers = tcp_chain_buffers(m);
	run = &node_at(conn, node)->run;
	if (run->head == NULL)
		run->head = m;
	else
		run->tail->next = m;
	run->tail = tcp_chain_tail(m);
	run->end = end;
	run->buffers += buffers;
	cold->ooo_bytes += buffers;
	join_next(conn, node);
	conn->stack->counters.out_of_order++;
	sack_tell(conn, run->seq, run->end);
	return true;
}

bool
tcp_reassembly_input(struct tcp_conn *conn, struct rte_mbuf *m, uint32_t seq, uint32_t len)
{
	if (seq != conn->rcv_nxt)
		return keep_out_of_order(conn, m, seq, len);
	link_in_order(conn, m, tcp_chain_tail(m), len);
	if (conn->ooo_head != TCP_NONE)
		collect(conn);
	return true;
}
