/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A hierarchical timing wheel (Varghese and Lauck, scheme 7): four levels of 256 slots,
 * 1 ms a tick. A connection stands in it once, at the earliest of its deadlines or before;
 * a deadline that moves back costs a store, and when the wheel comes round too early the
 * connection is put in again.
 */

#include "tcpstack/tcp_internal.h"

#define SLOT_BITS 8
#define SLOT_MASK (TCP_WHEEL_SLOTS - 1)

void
tcp_wheel_init(struct tcp_wheel *wheel, struct tcp_conn *conns, uint32_t tick)
{
	memset(wheel, 0, sizeof(*wheel));
	wheel->conns = conns;
	wheel->tick = tick;
	for (uint32_t i = 0; i < RTE_DIM(wheel->slot); i++)
		wheel->slot[i] = TCP_NONE;
}

static void
slot_push(struct tcp_wheel *wheel, struct tcp_conn *conn, uint32_t slot)
{
	uint32_t index = (uint32_t)(conn - wheel->conns);
	struct tcp_link *link = &conn->links[TCP_LIST_WHEEL];

	link->prev = TCP_NONE;
	link->next = wheel->slot[slot];
	if (link->next != TCP_NONE)
		wheel->conns[link->next].links[TCP_LIST_WHEEL].prev = index;
	wheel->slot[slot] = index;
	conn->wheel_slot = slot;
	wheel->used[slot >> SLOT_BITS][(slot & SLOT_MASK) / 64] |= 1ull << (slot % 64);
}

static void
slot_remove(struct tcp_wheel *wheel, struct tcp_conn *conn)
{
	struct tcp_link *link = &conn->links[TCP_LIST_WHEEL];
	uint32_t slot = conn->wheel_slot;

	if (link->prev != TCP_NONE)
		wheel->conns[link->prev].links[TCP_LIST_WHEEL].next = link->next;
	else
		wheel->slot[slot] = link->next;
	if (link->next != TCP_NONE)
		wheel->conns[link->next].links[TCP_LIST_WHEEL].prev = link->prev;
	if (wheel->slot[slot] == TCP_NONE)
		wheel->used[slot >> SLOT_BITS][(slot & SLOT_MASK) / 64] &= ~(1ull << (slot % 64));
}

/* Puts `conn` where its tick belongs, seen from wheel->tick. */
static void
place(struct tcp_wheel *wheel, struct tcp_conn *conn)
{
	uint32_t tick = conn->wheel_tick;
	uint32_t away = tick - wheel->tick;
	uint32_t level = 0;

	while (level < TCP_WHEEL_LEVELS - 1 && away >= TCP_WHEEL_SLOTS) {
		away >>= SLOT_BITS;
		level++;
	}
	slot_push(wheel, conn,
		  level * TCP_WHEEL_SLOTS + ((tick >> (level * SLOT_BITS)) & SLOT_MASK));
}

void
tcp_wheel_insert(struct tcp_wheel *wheel, struct tcp_conn *conn, uint32_t tick)
{
	if (seq_le(tick, wheel->tick))
		tick = wheel->tick + 1;
	conn->wheel_tick = tick;
	place(wheel, conn);
	wheel->count++;
}

void
tcp_wheel_remove(struct tcp_wheel *wheel, struct tcp_conn *conn)
{
	slot_remove(wheel, conn);
	wheel->count--;
}

/* Deals the connections of a slot of an upper level out to the levels below. */
static void
cascade_slot(struct tcp_wheel *wheel, uint32_t slot)
{
	uint32_t index = wheel->slot[slot];

	wheel->slot[slot] = TCP_NONE;
	wheel->used[slot >> SLOT_BITS][(slot & SLOT_MASK) / 64] &= ~(1ull << (slot % 64));
	while (index != TCP_NONE) {
		struct tcp_conn *conn = &wheel->conns[index];

		index = conn->links[TCP_LIST_WHEEL].next;
		place(wheel, conn);
	}
}

static void
cascade(struct tcp_wheel *wheel)
{
	uint32_t level = 0;

	/* The highest level that turns at this tick goes first. */
	while (level < TCP_WHEEL_LEVELS - 1 &&
	       (wheel->tick & ((1u << ((level + 1) * SLOT_BITS)) - 1)) == 0)
		level++;
	for (; level > 0; level--)
		cascade_slot(wheel, level * TCP_WHEEL_SLOTS +
					    ((wheel->tick >> (level * SLOT_BITS)) & SLOT_MASK));
}

static bool
level_empty(const struct tcp_wheel *wheel, uint32_t level)
{
	const uint64_t *used = wheel->used[level];

	return (used[0] | used[1] | used[2] | used[3]) == 0;
}

/* One tick on, or to the next turn of level 1 when level 0 holds nothing. */
static void
advance(struct tcp_wheel *wheel, uint32_t target)
{
	uint32_t next = wheel->tick + 1;

	if (level_empty(wheel, 0))
		next = (wheel->tick | SLOT_MASK) + 1;
	if (seq_gt(next, target))
		next = target;
	wheel->tick = next;
	if ((next & SLOT_MASK) == 0)
		cascade(wheel);
}

struct tcp_conn *
tcp_wheel_pop(struct tcp_wheel *wheel, uint32_t tick)
{
	for (;;) {
		uint32_t index = wheel->slot[wheel->tick & SLOT_MASK];

		if (index != TCP_NONE) {
			tcp_wheel_remove(wheel, &wheel->conns[index]);
			return &wheel->conns[index];
		}
		if (seq_ge(wheel->tick, tick))
			return NULL;
		if (wheel->count == 0)
			wheel->tick = tick;
		else
			advance(wheel, tick);
	}
}

/* How many slots after `from` the first used one of a level lies: 1..256, or 0. */
static uint32_t
slots_ahead(const uint64_t *used, uint32_t from)
{
	for (uint32_t i = 1; i <= TCP_WHEEL_SLOTS;) {
		uint32_t slot = (from + i) & SLOT_MASK;
		uint64_t word = used[slot / 64] >> (slot % 64);

		if (word != 0) {
			i += (uint32_t)__builtin_ctzll(word);
			return i <= TCP_WHEEL_SLOTS ? i : 0;
		}
		i += 64 - slot % 64;
	}
	return 0;
}

bool
tcp_wheel_next(const struct tcp_wheel *wheel, uint32_t *tick)
{
	bool found = false;

	if (wheel->slot[wheel->tick & SLOT_MASK] != TCP_NONE) {
		*tick = wheel->tick;
		return true;
	}
	for (uint32_t level = 0; level < TCP_WHEEL_LEVELS; level++) {
		uint32_t shift = level * SLOT_BITS;
		uint32_t at = wheel->tick >> shift;
		uint32_t ahead = slots_ahead(wheel->used[level], at & SLOT_MASK);
		uint32_t due = (at + ahead) << shift;

		if (ahead != 0 && (!found || seq_lt(due, *tick))) {
			*tick = due;
			found = true;
		}
	}
	return found;
}

/* --- the timers of a connection -------------------------------------------------------- */

static void
set_tick(struct tcp_conn *conn, enum tcp_timer timer, uint32_t tick)
{
	struct tcp_wheel *wheel = &conn->stack->wheel;

	if (tick == 0)
		tick = 1; /* 0 means that it does not run */
	tcp_cold(conn)->deadline[timer] = tick;
	if (conn->flags & TCP_F_ON_WHEEL) {
		if (seq_le(conn->wheel_tick, tick))
			return;
		tcp_wheel_remove(wheel, conn);
	}
	conn->flags |= TCP_F_ON_WHEEL;
	tcp_wheel_insert(wheel, conn, tick);
}

void
tcp_timer_set(struct tcp_conn *conn, enum tcp_timer timer, uint32_t ms)
{
	set_tick(conn, timer, conn->stack->tick + RTE_MIN(ms, TCP_MS_MAX) + 1);
}

void
tcp_timer_set_us(struct tcp_conn *conn, enum tcp_timer timer, uint64_t us)
{
	set_tick(conn, timer, (uint32_t)((conn->stack->now + us + 999) / 1000));
}

void
tcp_timer_clear(struct tcp_conn *conn, enum tcp_timer timer)
{
	tcp_cold(conn)->deadline[timer] = 0;
}

bool
tcp_timer_running(const struct tcp_conn *conn, enum tcp_timer timer)
{
	return tcp_cold(conn)->deadline[timer] != 0;
}

void
tcp_timer_clear_all(struct tcp_conn *conn)
{
	memset(tcp_cold(conn)->deadline, 0, sizeof(tcp_cold(conn)->deadline));
	if (conn->flags & TCP_F_ON_WHEEL)
		tcp_wheel_remove(&conn->stack->wheel, conn);
	conn->flags &= ~TCP_F_ON_WHEEL;
}

static void
life_expired(struct tcp_conn *conn)
{
	if (conn->state == TCP_FIN_WAIT_2) {
		/* Nobody holds the handle and the peer does not finish. */
		tcp_conn_detach(conn, TCP_CLOSED);
		return;
	}
	tcp_conn_fail(conn, conn->flags & TCP_F_SOFT_ERROR ? TCP_E_UNREACHABLE : TCP_E_TIMEOUT);
}

/* RFC 1122 section 4.2.3.6 */
static void
keep_expired(struct tcp_conn *conn)
{
	struct tcp_cold *cold = tcp_cold(conn);
	uint32_t idle = conn->stack->tick - cold->last_recv;

	if (idle < cold->keep_idle_ms || tcp_in_flight(conn) > 0) {
		/* What is in flight has a timer of its own. */
		cold->keep_sent = 0;
		tcp_timer_set(conn, TCP_TIMER_KEEP,
			      idle < cold->keep_idle_ms ? cold->keep_idle_ms - idle
							: cold->keep_idle_ms);
		return;
	}
	if (cold->keep_sent >= cold->keep_probes) {
		tcp_conn_reset(conn);
		tcp_conn_fail(conn, TCP_E_TIMEOUT);
		return;
	}
	cold->keep_sent++;
	conn->stack->counters.keepalives++;
	conn->flags |= TCP_F_SEND_PROBE;
	tcp_conn_want_output(conn);
	tcp_timer_set(conn, TCP_TIMER_KEEP, cold->keep_interval_ms);
}

static void
user_expired(struct tcp_conn *conn)
{
	tcp_conn_reset(conn);
	tcp_conn_fail(conn, TCP_E_TIMEOUT);
}

static void
ack_expired(struct tcp_conn *conn)
{
	if (conn->flags & TCP_F_ACK_DELAYED)
		tcp_conn_ack_now(conn);
}

static void
run_timer(struct tcp_conn *conn, enum tcp_timer timer)
{
	static void (*const handler[TCP_TIMERS])(struct tcp_conn *) = {
		[TCP_TIMER_REXMT] = tcp_rto_expired, [TCP_TIMER_ACK] = ack_expired,
		[TCP_TIMER_LIFE] = life_expired,     [TCP_TIMER_USER] = user_expired,
		[TCP_TIMER_KEEP] = keep_expired,
	};

	tcp_timer_clear(conn, timer);
	handler[timer](conn);
}

/* Runs what is due and puts the connection back at the earliest of the rest. */
static void
conn_due(struct tcp_conn *conn)
{
	struct tcp_cold *cold = tcp_cold(conn);
	uint32_t tick = conn->stack->tick;
	uint32_t earliest = 0;

	for (uint32_t i = 0; i < TCP_TIMERS && tcp_alive(conn); i++)
		if (cold->deadline[i] != 0 && seq_le(cold->deadline[i], tick))
			run_timer(conn, i);
	for (uint32_t i = 0; i < TCP_TIMERS; i++)
		if (cold->deadline[i] != 0 &&
		    (earliest == 0 || seq_lt(cold->deadline[i], earliest)))
			earliest = cold->deadline[i];
	/* A handler may have put it in already, for its own deadline. */
	if (earliest != 0 &&
	    (!(conn->flags & TCP_F_ON_WHEEL) || seq_lt(earliest, conn->wheel_tick))) {
		if (conn->flags & TCP_F_ON_WHEEL)
			tcp_wheel_remove(&conn->stack->wheel, conn);
		conn->flags |= TCP_F_ON_WHEEL;
		tcp_wheel_insert(&conn->stack->wheel, conn, earliest);
	}
	tcp_conn_reap(conn);
}

void
tcp_timers(struct tcp_stack *stack, uint64_t now)
{
	struct tcp_conn *conn;

	tcp_clock(stack, now);
	while ((conn = tcp_wheel_pop(&stack->wheel, stack->tick)) != NULL) {
		conn->flags &= ~TCP_F_ON_WHEEL;
		conn_due(conn);
	}
	tcp_time_wait_expire(stack);
}

uint64_t
tcp_next_timer(const struct tcp_stack *stack)
{
	const struct tcp_time_waits *tw = &stack->time_waits;
	uint32_t tick;
	bool found = tcp_wheel_next(&stack->wheel, &tick);
	int32_t ahead;

	if (tw->head != TCP_TIME_WAIT_NONE &&
	    (!found || seq_lt(tw->entry[tw->head].expires, tick))) {
		tick = tw->entry[tw->head].expires;
		found = true;
	}
	/* Segments that wait for buffers are to be tried again. */
	if (stack->output.head != TCP_NONE && (!found || seq_gt(tick, stack->tick + 1))) {
		tick = stack->tick + 1;
		found = true;
	}
	if (!found)
		return UINT64_MAX;
	ahead = (int32_t)(tick - stack->tick);
	return ahead <= 0 ? stack->now : (stack->now / 1000 + (uint32_t)ahead) * 1000;
}
