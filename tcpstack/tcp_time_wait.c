/* SPDX-License-Identifier: Apache-2.0 */

/* TIME-WAIT (RFC 9293 section 3.4.2), RFC 1337 (a RST does not end it) and RFC 6191 (a new
 * SYN with a later timestamp does). */

#include "tcpstack/tcp_internal.h"

#define REUSE_AFTER_MS 1000 /* our timestamp has certainly moved on */

static uint32_t
table_index(const struct tcp_time_waits *tw, const struct tcp_time_wait *entry)
{
	return (uint32_t)(entry - tw->entry) | TCP_INDEX_TIME_WAIT;
}

static void
append(struct tcp_stack *stack, uint32_t i)
{
	struct tcp_time_waits *tw = &stack->time_waits;
	struct tcp_time_wait *entry = &tw->entry[i];

	entry->expires = stack->tick + stack->config.time_wait_ms + 1;
	entry->next = TCP_TIME_WAIT_NONE;
	entry->prev = tw->tail;
	if (tw->tail != TCP_TIME_WAIT_NONE)
		tw->entry[tw->tail].next = i;
	else
		tw->head = i;
	tw->tail = i;
}

static void
unlink_entry(struct tcp_time_waits *tw, uint32_t i)
{
	struct tcp_time_wait *entry = &tw->entry[i];

	if (entry->prev != TCP_TIME_WAIT_NONE)
		tw->entry[entry->prev].next = entry->next;
	else
		tw->head = entry->next;
	if (entry->next != TCP_TIME_WAIT_NONE)
		tw->entry[entry->next].prev = entry->prev;
	else
		tw->tail = entry->prev;
}

void
tcp_time_wait_remove(struct tcp_stack *stack, uint32_t index)
{
	struct tcp_time_waits *tw = &stack->time_waits;
	uint32_t i = index & ~TCP_INDEX_TIME_WAIT;
	struct tcp_time_wait *entry = &tw->entry[i];

	tcp_table_remove(&stack->table, tcp_table_hash(&stack->table, &entry->tuple), index);
	unlink_entry(tw, i);
	entry->next = tw->free_head;
	tw->free_head = i;
	tw->count--;
}

static uint32_t
take_free(struct tcp_stack *stack)
{
	struct tcp_time_waits *tw = &stack->time_waits;
	uint32_t i;

	if (tw->free_head == TCP_TIME_WAIT_NONE) {
		stack->counters.time_wait_evicted++;
		tcp_time_wait_remove(stack, tw->head | TCP_INDEX_TIME_WAIT);
	}
	i = tw->free_head;
	tw->free_head = tw->entry[i].next;
	tw->count++;
	return i;
}

void
tcp_time_wait_enter(struct tcp_conn *conn)
{
	struct tcp_stack *stack = conn->stack;
	struct tcp_time_waits *tw = &stack->time_waits;

	if (tw->max != 0) {
		uint32_t i = take_free(stack);

		tw->entry[i] = (struct tcp_time_wait){
			.tuple = conn->tuple,
			.snd_nxt = conn->snd_nxt,
			.rcv_nxt = conn->rcv_nxt,
			.ts_recent = conn->ts_recent,
			.timestamps = !!(conn->flags & TCP_F_TIMESTAMPS),
			.path = tcp_cold(conn)->path,
		};
		append(stack, i);
		tcp_table_replace(&stack->table, tcp_table_hash(&stack->table, &conn->tuple),
				  tcp_conn_index(conn), table_index(tw, &tw->entry[i]));
		conn->flags &= ~TCP_F_IN_TABLE;
		stack->counters.time_wait++;
	}
	tcp_conn_detach(conn, TCP_TIME_WAIT);
}

static void
acknowledge(struct tcp_stack *stack, const struct tcp_time_wait *entry)
{
	uint8_t options[TCP_OPTIONS_MAX];
	struct tcp_header header = {
		.seq = entry->snd_nxt,
		.ack = entry->rcv_nxt,
		.flags = TCP_ACK,
		.window = UINT16_MAX,
		.options = options,
		.path = entry->path,
	};

	if (entry->timestamps)
		header.options_len = tcp_options_timestamps(
			options, stack->tick + tcp_ts_offset(stack, &entry->tuple),
			entry->ts_recent);
	tcp_reply(stack, &entry->tuple, &header);
}

/* RFC 6191 section 2, the rules for a SYN with and without timestamps. */
static bool
may_open(const struct tcp_time_wait *entry, const struct tcp_segment *segment)
{
	if ((segment->flags & (TCP_SYN | TCP_ACK | TCP_RST | TCP_FIN)) != TCP_SYN)
		return false;
	if (entry->timestamps && segment->opt.has_timestamps &&
	    segment->opt.ts_val != entry->ts_recent)
		return seq_gt(segment->opt.ts_val, entry->ts_recent);
	return seq_gt(segment->seq, entry->rcv_nxt);
}

bool
tcp_time_wait_input(struct tcp_stack *stack, uint32_t index, const struct tcp_segment *segment)
{
	uint32_t i = index & ~TCP_INDEX_TIME_WAIT;
	struct tcp_time_wait *entry = &stack->time_waits.entry[i];

	if (may_open(entry, segment))
		return true;
	stack->counters.segments_in++;
	if (segment->flags & TCP_RST) {
		stack->counters.resets_ignored++; /* RFC 1337 */
		return false;
	}
	if (segment->pure)
		return false;
	stack->counters.duplicates++;
	if (segment->flags & TCP_FIN) {
		unlink_entry(&stack->time_waits, i);
		append(stack, i);
	}
	acknowledge(stack, entry);
	return false;
}

bool
tcp_time_wait_reusable(const struct tcp_stack *stack, uint32_t index)
{
	const struct tcp_time_wait *entry = &stack->time_waits.entry[index & ~TCP_INDEX_TIME_WAIT];
	uint32_t since = entry->expires - stack->config.time_wait_ms;

	return entry->timestamps && seq_ge(stack->tick, since + REUSE_AFTER_MS);
}

void
tcp_time_wait_expire(struct tcp_stack *stack)
{
	struct tcp_time_waits *tw = &stack->time_waits;

	while (tw->head != TCP_TIME_WAIT_NONE && seq_le(tw->entry[tw->head].expires, stack->tick))
		tcp_time_wait_remove(stack, tw->head | TCP_INDEX_TIME_WAIT);
}
