/* SPDX-License-Identifier: Apache-2.0 */

/* A connection's life and the calls of tcp.h that concern it. */

#include "tcpstack/tcp_internal.h"

#define DEFAULT_ROOM 65535u
#define DEFAULT_CONNECT_TIMEOUT_MS 10000u
#define DEFAULT_USER_TIMEOUT_MS 120000u
#define DEFAULT_KEEP_INTERVAL_MS 75000u
#define DEFAULT_KEEP_PROBES 9u
#define DEFAULT_FIN_WAIT2_MS 60000u
#define WSCALE_ROOM (1u << 20) /* the window can grow to this however small it begins */

const char *
tcp_strerror(int error)
{
	switch (error) {
	case TCP_OK:
		return "no error";
	case TCP_E_NO_MEMORY:
		return "connection table full";
	case TCP_E_NO_PORT:
		return "no free local port";
	case TCP_E_IN_USE:
		return "address in use";
	case TCP_E_STATE:
		return "not possible in this state";
	case TCP_E_REFUSED:
		return "connection refused";
	case TCP_E_RESET:
		return "connection reset by peer";
	case TCP_E_TIMEOUT:
		return "connection timed out";
	case TCP_E_UNREACHABLE:
		return "destination unreachable";
	case TCP_E_NOT_SYN:
		return "not a connection request";
	case TCP_E_MALFORMED:
		return "malformed segment";
	case TCP_E_COOKIE:
		return "answered with a SYN cookie";
	default:
		return "unknown error";
	}
}

const char *
tcp_state_name(enum tcp_state state)
{
	static const char *const name[] = {
		[TCP_CLOSED] = "CLOSED",
		[TCP_SYN_SENT] = "SYN-SENT",
		[TCP_SYN_RECEIVED] = "SYN-RECEIVED",
		[TCP_ESTABLISHED] = "ESTABLISHED",
		[TCP_FIN_WAIT_1] = "FIN-WAIT-1",
		[TCP_FIN_WAIT_2] = "FIN-WAIT-2",
		[TCP_CLOSE_WAIT] = "CLOSE-WAIT",
		[TCP_CLOSING] = "CLOSING",
		[TCP_LAST_ACK] = "LAST-ACK",
		[TCP_TIME_WAIT] = "TIME-WAIT",
	};

	return (unsigned int)state < RTE_DIM(name) ? name[state] : "?";
}

/* --- birth ----------------------------------------------------------------------------- */

static uint32_t
or_default(uint32_t value, uint32_t fallback)
{
	return value != 0 ? value : fallback;
}

uint16_t
tcp_config_mss(const struct tcp_conn_config *config, bool ipv4)
{
	uint16_t mss = ipv4 ? 1460 : 1440;

	return RTE_MAX(config->mss != 0 ? config->mss : mss, TCP_MSS_MIN);
}

uint32_t
tcp_config_room(const struct tcp_conn_config *config)
{
	return RTE_MIN(or_default(config->room, DEFAULT_ROOM), TCP_ROOM_MAX);
}

uint8_t
tcp_window_scale(uint32_t room)
{
	uint64_t most =
		RTE_MIN(RTE_MAX(4ull * room, (uint64_t)WSCALE_ROOM), (uint64_t)TCP_ROOM_MAX);
	uint8_t scale = 0;

	while (scale < TCP_WSCALE_MAX && (65535ull << scale) < most)
		scale++;
	return scale;
}

static void
configure(struct tcp_conn *conn, const struct tcp_conn_config *config)
{
	struct tcp_cold *cold = tcp_cold(conn);
	uint32_t room = tcp_config_room(config);

	cold->path_mss = tcp_config_mss(config, conn->flags & TCP_F_IPV4);
	cold->room_max = room;
	cold->user_timeout_ms = or_default(config->user_timeout_ms, DEFAULT_USER_TIMEOUT_MS);
	cold->keep_idle_ms = config->keepalive_idle_ms;
	cold->keep_interval_ms =
		or_default(config->keepalive_interval_ms, DEFAULT_KEEP_INTERVAL_MS);
	cold->keep_probes = or_default(config->keepalive_probes, DEFAULT_KEEP_PROBES);
	cold->fin_wait2_ms = or_default(config->fin_wait2_ms, DEFAULT_FIN_WAIT2_MS);
	cold->path = config->path;
	cold->user = config->user;
	conn->mss = cold->path_mss;
	conn->rcv_limit = room; /* relative to the first byte until that is known */
	conn->rcv_wscale = tcp_window_scale(room);
	tcp_timer_set(conn, TCP_TIMER_LIFE,
		      or_default(config->connect_timeout_ms, DEFAULT_CONNECT_TIMEOUT_MS));
}

struct tcp_conn *
tcp_conn_new(struct tcp_stack *stack, const struct tcp_tuple *tuple,
	     const struct tcp_conn_config *config)
{
	static const struct tcp_conn_config defaults;
	struct tcp_conn *conn;
	struct tcp_cold *cold;
	uint32_t generation;

	if (stack->free.head == TCP_NONE) {
		stack->counters.table_full++;
		return NULL;
	}
	conn = &stack->conns[stack->free.head];
	tcp_list_remove(stack, &stack->free, conn, TCP_LIST_EVENTS);
	stack->n_conns++;
	generation = tcp_cold(conn)->generation + 1;
	memset(conn, 0, sizeof(*conn));
	conn->stack = stack;
	conn->tuple = *tuple;
	conn->flags = TCP_F_USED | TCP_F_IN_TABLE;
	if (tcp_is_mapped(&tuple->local) && tcp_is_mapped(&tuple->remote))
		conn->flags |= TCP_F_IPV4;
	conn->ooo_head = TCP_NONE;
	conn->hole_head = TCP_NONE;
	conn->quick_acks = TCP_QUICK_ACKS;
	conn->rcv_mss = TCP_MSS_DEFAULT_V4;

	cold = tcp_cold(conn);
	cold->generation = generation;
	cold->ooo_tail = TCP_NONE;
	cold->rto_us = TCP_RTO_INITIAL_US;
	cold->last_recv = stack->tick;
	cold->ts_offset = tcp_ts_offset(stack, tuple);
	configure(conn, config != NULL ? config : &defaults);
	tcp_table_insert(&stack->table, tcp_table_hash(&stack->table, tuple), tcp_conn_index(conn));
	return conn;
}

/* The initial sequence number: beyond those of the TIME-WAIT entry that is replaced
 * (RFC 9293 section 3.6.1). */
static uint32_t
choose_isn(struct tcp_stack *stack, const struct tcp_tuple *tuple, uint32_t time_wait)
{
	uint32_t isn = tcp_isn(stack, tuple), old;

	if (time_wait == TCP_NONE)
		return isn;
	old = stack->time_waits.entry[time_wait & ~TCP_INDEX_TIME_WAIT].snd_nxt;
	return seq_gt(isn, old) ? isn : old + 65536 + (isn & 0xffff);
}

static void
begin(struct tcp_conn *conn, enum tcp_state state, uint32_t isn)
{
	struct tcp_cold *cold = tcp_cold(conn);

	conn->state = state;
	cold->iss = isn;
	cold->recover = isn;
	cold->snd_fack = isn;
	conn->snd_una = isn;
	conn->snd_nxt = isn + 1;
	conn->snd_end = isn + 1;
	if (state == TCP_SYN_RECEIVED)
		conn->stack->half_open++;
}

static void
send_syn(struct tcp_conn *conn, enum tcp_state state, uint32_t isn)
{
	begin(conn, state, isn);
	conn->flags |= TCP_F_SEND_SYN;
	tcp_conn_want_output(conn);
}

int
tcp_connect(struct tcp_stack *stack, const struct tcp_tuple *tuple, uint64_t now,
	    const struct tcp_conn_config *config, struct tcp_conn **conn)
{
	struct tcp_tuple chosen = *tuple;
	uint32_t time_wait, isn;
	int error;

	tcp_clock(stack, now);
	if (stack->free.head == TCP_NONE) {
		stack->counters.table_full++;
		return TCP_E_NO_MEMORY;
	}
	if (chosen.local_port == 0) {
		error = tcp_port_choose(stack, &chosen);
		if (error != TCP_OK)
			return error;
	}
	error = tcp_tuple_free(stack, &chosen, &time_wait);
	if (error != TCP_OK)
		return error;
	isn = choose_isn(stack, &chosen, time_wait);
	if (time_wait != TCP_NONE)
		tcp_time_wait_remove(stack, time_wait);
	*conn = tcp_conn_new(stack, &chosen, config);
	(*conn)->flags |= TCP_F_ACTIVE;
	send_syn(*conn, TCP_SYN_SENT, isn);
	return TCP_OK;
}

/* What the stranger's tuple is at now: free, a TIME-WAIT entry that the SYN may replace, or
 * taken, by an earlier copy of the SYN. */
static int
accept_tuple(struct tcp_stack *stack, const struct tcp_tuple *tuple,
	     const struct tcp_segment *segment, uint32_t *time_wait)
{
	uint32_t index = tcp_table_find(&stack->table, tuple, tcp_table_hash(&stack->table, tuple));

	*time_wait = index;
	if (index == TCP_NONE)
		return TCP_OK;
	if (!(index & TCP_INDEX_TIME_WAIT) || !tcp_time_wait_input(stack, index, segment))
		return TCP_E_IN_USE;
	return TCP_OK;
}

/* The peer's ACK to a cookie: the connection as it would have been, and then the segment. */
static int
accept_cookie(struct tcp_stack *stack, struct rte_mbuf *m, const struct tcp_tuple *tuple,
	      struct tcp_segment *segment, const struct tcp_conn_config *config,
	      struct tcp_conn **conn)
{
	struct tcp_cookie cookie;
	uint32_t time_wait;

	if (!tcp_cookie_check(stack, tuple, segment, &cookie))
		return TCP_E_NOT_SYN;
	if (tcp_tuple_free(stack, tuple, &time_wait) != TCP_OK || time_wait != TCP_NONE)
		return TCP_E_IN_USE;
	*conn = tcp_conn_new(stack, tuple, config);
	if (*conn == NULL)
		return TCP_E_NO_MEMORY;
	tcp_conn_negotiate(*conn, &cookie.syn);
	if (cookie.syn.opt.has_wscale)
		(*conn)->rcv_wscale = cookie.scale;
	(*conn)->rcv_adv += RTE_MIN(tcp_config_room(config), (uint32_t)UINT16_MAX);
	begin(*conn, TCP_SYN_RECEIVED, cookie.isn);
	stack->counters.accepted++;
	stack->counters.cookies_accepted++;
	tcp_conn_input(*conn, m, segment);
	return TCP_OK;
}

static int
accept_syn(struct tcp_stack *stack, struct rte_mbuf *m, const struct tcp_tuple *tuple,
	   struct tcp_segment *segment, const struct tcp_conn_config *config,
	   struct tcp_conn **conn)
{
	uint32_t time_wait, isn;

	if (segment->opt.broken)
		return TCP_E_MALFORMED;
	if (stack->free.head == TCP_NONE) {
		stack->counters.table_full++;
		return TCP_E_NO_MEMORY;
	}
	if (accept_tuple(stack, tuple, segment, &time_wait) != TCP_OK)
		return TCP_E_IN_USE;
	/* Not in the place of a TIME-WAIT entry: that would take the peer's ACK for its own. */
	if (time_wait == TCP_NONE && tcp_cookie_wanted(stack)) {
		tcp_cookie_answer(stack, tuple, segment, config);
		stack->counters.segments_in++;
		tcp_chain_free(m);
		return TCP_E_COOKIE;
	}
	isn = choose_isn(stack, tuple, time_wait);
	if (time_wait != TCP_NONE)
		tcp_time_wait_remove(stack, time_wait);
	*conn = tcp_conn_new(stack, tuple, config);
	tcp_conn_negotiate(*conn, segment);
	send_syn(*conn, TCP_SYN_RECEIVED, isn);
	stack->counters.accepted++;
	stack->counters.segments_in++;
	tcp_chain_free(m);
	return TCP_OK;
}

int
tcp_accept(struct tcp_stack *stack, struct rte_mbuf *m, uint64_t now,
	   const struct tcp_conn_config *config, struct tcp_conn **conn)
{
	static const struct tcp_conn_config defaults;
	struct tcp_segment segment;
	struct tcp_tuple tuple;

	tcp_clock(stack, now);
	if (!tcp_segment_parse(m, &tuple, &segment))
		return TCP_E_MALFORMED;
	if (config == NULL)
		config = &defaults;
	tcp_segment_options(m, &segment);
	if ((segment.flags & (TCP_SYN | TCP_ACK | TCP_RST | TCP_FIN)) == TCP_SYN)
		return accept_syn(stack, m, &tuple, &segment, config, conn);
	return accept_cookie(stack, m, &tuple, &segment, config, conn);
}

bool
tcp_is_cookie(struct tcp_stack *stack, const struct rte_mbuf *m, uint64_t now)
{
	struct tcp_segment segment;
	struct tcp_cookie cookie;
	struct tcp_tuple tuple;
	uint32_t time_wait;

	tcp_clock(stack, now);
	if (!stack->cookies.sent || !tcp_segment_parse(m, &tuple, &segment))
		return false;
	tcp_segment_options(m, &segment);
	/* One of two in a burst may have opened it already. */
	return tcp_cookie_check(stack, &tuple, &segment, &cookie) &&
	       tcp_tuple_free(stack, &tuple, &time_wait) == TCP_OK && time_wait == TCP_NONE;
}

void
tcp_refuse(struct tcp_stack *stack, struct rte_mbuf *m, uint64_t now)
{
	struct tcp_segment segment;
	struct tcp_tuple tuple;
	uint32_t index;

	tcp_clock(stack, now);
	if (!tcp_segment_parse(m, &tuple, &segment)) {
		stack->counters.bad_header++;
		tcp_chain_free(m);
		return;
	}
	/* The second copy of a SYN in one burst: the first may have been accepted since. */
	index = tcp_table_find(&stack->table, &tuple, tcp_table_hash(&stack->table, &tuple));
	if (index != TCP_NONE && !(index & TCP_INDEX_TIME_WAIT)) {
		tcp_segment_options(m, &segment);
		tcp_conn_input(&stack->conns[index], m, &segment);
		return;
	}
	tcp_reply_reset(stack, &tuple, &segment, 0);
	tcp_chain_free(m);
}

/* --- news ------------------------------------------------------------------------------ */

void
tcp_conn_event(struct tcp_conn *conn, uint32_t bits)
{
	if (conn->flags & TCP_F_RELEASED)
		return;
	conn->events |= bits;
	if (conn->flags & TCP_F_ON_EVENTS)
		return;
	conn->flags |= TCP_F_ON_EVENTS;
	tcp_list_push(conn->stack, &conn->stack->events, conn, TCP_LIST_EVENTS);
}

static void
forget_events(struct tcp_conn *conn)
{
	if (conn->flags & TCP_F_ON_EVENTS)
		tcp_list_remove(conn->stack, &conn->stack->events, conn, TCP_LIST_EVENTS);
	conn->flags &= ~TCP_F_ON_EVENTS;
	conn->events = 0;
}

uint16_t
tcp_events(struct tcp_stack *stack, struct tcp_event *events, uint16_t max)
{
	uint16_t n = 0;

	while (n < max && stack->events.head != TCP_NONE) {
		struct tcp_conn *conn = &stack->conns[stack->events.head];

		events[n++] = (struct tcp_event){.conn = conn, .bits = conn->events};
		forget_events(conn);
	}
	return n;
}

void
tcp_conn_want_output(struct tcp_conn *conn)
{
	if (conn->flags & TCP_F_ON_OUTPUT)
		return;
	conn->flags |= TCP_F_ON_OUTPUT;
	tcp_list_push(conn->stack, &conn->stack->output, conn, TCP_LIST_OUTPUT);
}

/* --- death ----------------------------------------------------------------------------- */

static void
drop_send_queue(struct tcp_conn *conn)
{
	tcp_chain_free(conn->snd_head);
	conn->snd_head = NULL;
	conn->snd_tail = NULL;
	conn->snd_cursor = NULL;
	tcp_cold(conn)->rtx_mbuf = NULL;
}

void
tcp_conn_drop_buffers(struct tcp_conn *conn)
{
	drop_send_queue(conn);
	tcp_chain_free(conn->rcv_head);
	conn->rcv_head = NULL;
	conn->rcv_tail = NULL;
	conn->rcv_queued = 0;
}

void
tcp_conn_not_half_open(struct tcp_conn *conn)
{
	if (conn->state == TCP_SYN_RECEIVED && !(conn->flags & TCP_F_ACTIVE))
		conn->stack->half_open--;
}

void
tcp_conn_detach(struct tcp_conn *conn, enum tcp_state state)
{
	struct tcp_stack *stack = conn->stack;

	tcp_conn_not_half_open(conn);
	tcp_timer_clear_all(conn);
	if (conn->flags & TCP_F_IN_TABLE)
		tcp_table_remove(&stack->table, tcp_table_hash(&stack->table, &conn->tuple),
				 tcp_conn_index(conn));
	conn->flags &= ~(TCP_F_IN_TABLE | TCP_F_ACK_DELAYED | TCP_F_SEND_SYN | TCP_F_SEND_PROBE |
			 TCP_F_FORCE_RTX);
	if (state == TCP_CLOSED)
		conn->flags &= ~TCP_F_ACK_NOW;
	drop_send_queue(conn);
	tcp_sack_clear(conn);
	tcp_reassembly_clear(conn);
	conn->state = state;
}

void
tcp_conn_fail(struct tcp_conn *conn, enum tcp_error error)
{
	tcp_conn_detach(conn, TCP_CLOSED);
	tcp_cold(conn)->error = error;
	conn->stack->counters.failed++;
	tcp_conn_event(conn, TCP_EV_FAILED);
}

void
tcp_conn_reset(struct tcp_conn *conn)
{
	if (!tcp_alive(conn) || conn->state == TCP_SYN_SENT)
		return;
	conn->flags |= TCP_F_SEND_RST;
	tcp_conn_want_output(conn);
}

void
tcp_conn_reap(struct tcp_conn *conn)
{
	struct tcp_stack *stack = conn->stack;

	if (!(conn->flags & TCP_F_RELEASED) || tcp_alive(conn) ||
	    conn->flags & (TCP_F_SEND_RST | TCP_F_ACK_NOW))
		return;
	if (conn->flags & TCP_F_ON_OUTPUT)
		tcp_list_remove(stack, &stack->output, conn, TCP_LIST_OUTPUT);
	tcp_conn_drop_buffers(conn);
	conn->flags = 0;
	tcp_list_push(stack, &stack->free, conn, TCP_LIST_EVENTS);
	stack->n_conns--;
}

void
tcp_conn_fin_state(struct tcp_conn *conn)
{
	if (conn->state == TCP_ESTABLISHED)
		conn->state = TCP_FIN_WAIT_1;
	else if (conn->state == TCP_CLOSE_WAIT)
		conn->state = TCP_LAST_ACK;
}

void
tcp_shutdown(struct tcp_conn *conn, uint64_t now)
{
	tcp_clock(conn->stack, now);
	if (!tcp_alive(conn) || conn->flags & TCP_F_FIN_QUEUED)
		return;
	conn->flags |= TCP_F_FIN_QUEUED;
	if (!tcp_synchronized(conn))
		return;
	tcp_conn_fin_state(conn);
	if (!tcp_timer_running(conn, TCP_TIMER_USER))
		tcp_user_timer(conn);
	tcp_conn_want_output(conn);
}

static void
abort_now(struct tcp_conn *conn)
{
	if (tcp_alive(conn)) {
		tcp_conn_reset(conn);
		tcp_conn_detach(conn, TCP_CLOSED);
	}
	tcp_conn_drop_buffers(conn);
	forget_events(conn);
}

void
tcp_abort(struct tcp_conn *conn, uint64_t now)
{
	tcp_clock(conn->stack, now);
	abort_now(conn);
}

void
tcp_release(struct tcp_conn *conn, uint64_t now)
{
	bool unread = conn->rcv_head != NULL || conn->ooo_head != TCP_NONE;
	bool unsent = tcp_unacked(conn) > 0;

	forget_events(conn);
	conn->flags |= TCP_F_RELEASED;
	if (tcp_alive(conn) && (unread || (conn->state == TCP_SYN_SENT && !unsent)))
		tcp_abort(conn, now);
	else
		tcp_shutdown(conn, now);
	if (conn->state == TCP_FIN_WAIT_2)
		tcp_timer_set(conn, TCP_TIMER_LIFE, tcp_cold(conn)->fin_wait2_ms);
	tcp_conn_reap(conn);
}

/* --- bytes ----------------------------------------------------------------------------- */

struct rte_mbuf *
tcp_receive(struct tcp_conn *conn, uint32_t max)
{
	struct rte_mbuf *head = conn->rcv_head, *last = NULL, *m;
	uint32_t bytes = 0, buffers = 0;

	for (m = head; m != NULL && bytes < max && buffers < UINT16_MAX; m = m->next) {
		bytes += m->data_len;
		buffers++;
		last = m;
	}
	if (last == NULL)
		return NULL;
	conn->rcv_head = m;
	if (m == NULL)
		conn->rcv_tail = NULL;
	conn->rcv_queued -= bytes;
	last->next = NULL;
	head->nb_segs = buffers;
	head->pkt_len = bytes;
	return head;
}

void
tcp_set_room(struct tcp_conn *conn, uint32_t room, uint64_t now)
{
	struct tcp_cold *cold = tcp_cold(conn);

	tcp_clock(conn->stack, now);
	room = RTE_MIN(room, TCP_ROOM_MAX);
	cold->room_max = RTE_MAX(cold->room_max, room);
	conn->rcv_limit = conn->rcv_nxt + room;
	if (tcp_synchronized(conn) && !(conn->flags & TCP_F_FIN_RECEIVED) &&
	    tcp_window_update_due(conn))
		tcp_conn_ack_now(conn);
}

/* Frees the buffers of a chain that hold nothing; returns what is left and its length. */
static struct rte_mbuf *
without_empty(struct rte_mbuf *chain, struct rte_mbuf **tail, uint32_t *len)
{
	struct rte_mbuf *head = NULL, **link = &head;

	*tail = NULL;
	*len = 0;
	while (chain != NULL) {
		struct rte_mbuf *next = chain->next;

		if (chain->data_len == 0) {
			rte_pktmbuf_free_seg(chain);
		} else {
			*link = chain;
			*tail = chain;
			*len += chain->data_len;
			link = &chain->next;
		}
		chain = next;
	}
	*link = NULL;
	return head;
}

int
tcp_send(struct tcp_conn *conn, struct rte_mbuf *chain)
{
	struct rte_mbuf *tail;
	uint32_t len;

	if (!tcp_alive(conn) || conn->flags & TCP_F_FIN_QUEUED)
		return TCP_E_STATE;
	chain = without_empty(chain, &tail, &len);
	if (chain == NULL)
		return TCP_OK;
	if (conn->snd_head == NULL)
		conn->snd_head = chain;
	else
		conn->snd_tail->next = chain;
	conn->snd_tail = tail;
	if (conn->snd_cursor == NULL) {
		conn->snd_cursor = chain;
		conn->snd_cursor_off = 0;
	}
	conn->snd_end += len;
	if (tcp_synchronized(conn) && !tcp_timer_running(conn, TCP_TIMER_USER))
		tcp_user_timer(conn);
	tcp_conn_want_output(conn);
	return TCP_OK;
}

uint32_t
tcp_unacked(const struct tcp_conn *conn)
{
	uint32_t first = conn->snd_una;

	if (!tcp_alive(conn))
		return 0;
	/* The SYN is not a byte. (Nothing is compared with the ISN: 2 GiB later that is ahead.) */
	if (conn->state == TCP_SYN_SENT || conn->state == TCP_SYN_RECEIVED)
		first++;
	return seq_gt(conn->snd_end, first) ? conn->snd_end - first : 0;
}

/* --- what it is ------------------------------------------------------------------------ */

const struct tcp_tuple *
tcp_conn_tuple(const struct tcp_conn *conn)
{
	return &conn->tuple;
}

enum tcp_state
tcp_conn_state(const struct tcp_conn *conn)
{
	return conn->state;
}

int
tcp_conn_error(const struct tcp_conn *conn)
{
	return tcp_cold(conn)->error;
}

void *
tcp_user(const struct tcp_conn *conn)
{
	return tcp_cold(conn)->user;
}

void
tcp_set_user(struct tcp_conn *conn, void *user)
{
	tcp_cold(conn)->user = user;
}

void
tcp_conn_info(const struct tcp_conn *conn, struct tcp_info *info)
{
	const struct tcp_cold *cold = tcp_cold(conn);

	*info = (struct tcp_info){
		.state = conn->state,
		.srtt_us = cold->srtt_us,
		.rttvar_us = cold->rttvar_us,
		.rto_us = tcp_rto(conn),
		.snd_mss = conn->mss,
		.snd_cwnd = conn->cwnd,
		.snd_ssthresh = cold->ssthresh,
		.snd_wnd = conn->snd_wnd,
		.rcv_wnd = seq_gt(conn->rcv_adv, conn->rcv_nxt) ? conn->rcv_adv - conn->rcv_nxt : 0,
		.unacked = tcp_unacked(conn),
		.retransmits = cold->retransmits,
		.total_retransmits = cold->total_retransmits,
		.bytes_sent = cold->bytes_sent,
		.bytes_acked = cold->bytes_acked,
		.bytes_received = cold->bytes_received,
		.segments_sent = cold->segments_sent,
		.segments_received = cold->segments_received,
		.snd_wscale = conn->snd_wscale,
		.rcv_wscale = conn->rcv_wscale,
		.timestamps = conn->flags & TCP_F_TIMESTAMPS,
		.sack = conn->flags & TCP_F_SACK,
		.ecn = cold->ecn & TCP_ECN_F_OK,
	};
}
