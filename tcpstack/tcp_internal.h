/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TCPSTACK_TCP_INTERNAL_H
#define TCPSTACK_TCP_INTERNAL_H

/*
 * What the files of this room share. One mechanism, one file:
 *
 *     tcp.c             a connection's life, the calls of tcp.h on it
 *     tcp_stack.c       the stack's life, its clock, its lists
 *     tcp_segment.c     TCP/IP headers read
 *     tcp_input.c       RFC 9293 section 3.10.7: what a segment does to a connection
 *     tcp_ack.c         what its acknowledgement does
 *     tcp_output.c      which segment is next
 *     tcp_build.c       TCP/IP headers written, payload attached
 *     tcp_options.c     the option block, both ways
 *     tcp_sack.c        the sender's scoreboard (RFC 6675)
 *     tcp_recovery.c    when a loss is seen and how it is repaired (RFC 6675, 6582, 6937)
 *     tcp_cubic.c       the congestion window (RFC 9438)
 *     tcp_rto.c         round-trip times and the retransmission timer (RFC 6298)
 *     tcp_reassembly.c  the out-of-order queue and the SACK blocks that it gives
 *     tcp_timer.c       the wheel, and what each timer of a connection does
 *     tcp_table.c       tuple to connection
 *     tcp_time_wait.c   TIME-WAIT
 *     tcp_isn.c         initial sequence numbers, ports (RFC 6528, 6056)
 *     tcp_icmp.c        ICMP errors (RFC 5927), path MTU
 *     tcp_challenge.c   how many challenge ACKs (RFC 5961)
 *     tcp_ecn.c         congestion notification (RFC 3168)
 *     tcp_cookie.c      SYN cookies (RFC 4987)
 *     tcp_chain.c       chains of mbufs
 */

#include <stddef.h>
#include <string.h>

#include <rte_common.h>
#include <rte_mbuf.h>

#include "tcpstack/tcp.h"

/* --- constants ------------------------------------------------------------------------- */

#define TCP_NONE UINT32_MAX

#define TCP_HEADER_LEN 20
#define TCP_OPTIONS_MAX 40
#define TCP_TS_OPTION_LEN 12   /* two NOPs in front */
#define TCP_MSS_MIN 64         /* below this a peer's MSS is not believed */
#define TCP_MSS_DEFAULT_V4 536 /* RFC 9293 section 3.7.1: no MSS option */
#define TCP_MSS_DEFAULT_V6 1220
#define TCP_WSCALE_MAX 14       /* RFC 7323 section 2.3 */
#define TCP_ROOM_MAX (1u << 30) /* the largest window that can be announced */
#define TCP_SACK_BLOCKS 4

#define TCP_RTO_INITIAL_US 1000000u   /* RFC 6298 section 2.1 */
#define TCP_RTO_VAR_MIN_US 200000u    /* floor of the variance term: outlives delayed ACKs */
#define TCP_RTO_MAX_US 60000000u      /* RFC 6298 section 2.5 */
#define TCP_RTO_AFTER_SYN_US 3000000u /* RFC 6298 section 5.7 */

#define TCP_DELAYED_ACK_MS 40
#define TCP_QUICK_ACKS 16 /* segments acknowledged at once when a flow (re)starts */
#define TCP_QUICK_IDLE_MS 1000
#define TCP_CHALLENGES_PER_SECOND 10 /* per connection: a shared count is a side channel */
#define TCP_PAWS_IDLE_MS (24u * 24 * 3600 * 1000) /* RFC 7323 section 5.5 */
#define TCP_MS_MAX (24u * 24 * 3600 * 1000)       /* longest timer: half the tick space */

#define TCP_DUP_THRESH 3       /* RFC 5681 section 3.2 */
#define TCP_HOLES_MAX 256      /* scoreboard entries of one connection */
#define TCP_OUTPUT_BURST 16    /* segments of one connection before the next one's turn */
#define TCP_SEGMENT_BUFFERS 16 /* payload buffers behind one header */
#define TCP_REPLIES 256        /* resets and TIME-WAIT ACKs waiting for tcp_output() */
#define TCP_INPUT_CHUNK 32     /* segments whose buckets are prefetched together */

#define TCP_PORT_FIRST 32768 /* ephemeral ports, RFC 6056 section 3.2 */
#define TCP_PORT_COUNT 32768

/* Header flags as they stand on the wire. */
#define TCP_FIN 0x01
#define TCP_SYN 0x02
#define TCP_RST 0x04
#define TCP_PSH 0x08
#define TCP_ACK 0x10
#define TCP_ECE 0x40
#define TCP_CWR 0x80

#define TCP_ECT_0 2 /* the field in the IP header, RFC 3168 section 5 */

/* --- sequence numbers (RFC 9293 section 3.4) ------------------------------------------- */

static inline bool
seq_lt(uint32_t a, uint32_t b)
{
	return (int32_t)(a - b) < 0;
}

static inline bool
seq_le(uint32_t a, uint32_t b)
{
	return (int32_t)(a - b) <= 0;
}

static inline bool
seq_gt(uint32_t a, uint32_t b)
{
	return (int32_t)(a - b) > 0;
}

static inline bool
seq_ge(uint32_t a, uint32_t b)
{
	return (int32_t)(a - b) >= 0;
}

static inline uint32_t
seq_max(uint32_t a, uint32_t b)
{
	return seq_gt(a, b) ? a : b;
}

static inline uint32_t
seq_min(uint32_t a, uint32_t b)
{
	return seq_lt(a, b) ? a : b;
}

/* --- a received segment ---------------------------------------------------------------- */

struct tcp_range {
	uint32_t start, end;
};

struct tcp_options {
	bool has_mss, has_wscale, has_timestamps, sack_permitted;
	bool broken;    /* a length that lies; what came before it is believed */
	uint8_t wscale; /* at most TCP_WSCALE_MAX */
	uint8_t n_sack;
	uint16_t mss;
	uint32_t ts_val, ts_ecr;
	struct tcp_range sack[TCP_SACK_BLOCKS];
};

struct tcp_segment {
	uint32_t seq, ack;
	uint32_t len;    /* payload bytes */
	uint32_t window; /* the field, not scaled */
	uint32_t header; /* bytes before the payload: IP and TCP headers */
	uint8_t flags;
	uint8_t ecn; /* the field in the IP header */
	bool pure;   /* it came without payload, SYN and FIN */
	struct tcp_options opt;
};

/* --- lists through the connection array ------------------------------------------------ */

enum tcp_list_kind {
	TCP_LIST_EVENTS, /* also the free list: a free connection has no events */
	TCP_LIST_OUTPUT,
	TCP_LIST_WHEEL,
	TCP_LISTS,
};

struct tcp_link {
	uint32_t next, prev;
};

struct tcp_list {
	uint32_t head, tail;
};

/* --- the connection -------------------------------------------------------------------- */

enum tcp_conn_flag {
	TCP_F_RELEASED = 1 << 0, /* the caller has given the handle back */
	TCP_F_IN_TABLE = 1 << 1,
	TCP_F_ON_EVENTS = 1 << 2,
	TCP_F_ON_OUTPUT = 1 << 3,
	TCP_F_ON_WHEEL = 1 << 4,
	TCP_F_ACTIVE = 1 << 5, /* opened by tcp_connect() */
	TCP_F_IPV4 = 1 << 6,
	TCP_F_TIMESTAMPS = 1 << 7, /* agreed on */
	TCP_F_SACK = 1 << 8,       /* agreed on */
	TCP_F_WSCALE = 1 << 9,     /* agreed on */
	TCP_F_ACK_NOW = 1 << 10,
	TCP_F_ACK_DELAYED = 1 << 11,
	TCP_F_SEND_SYN = 1 << 12, /* SYN or SYN-ACK is to be sent (again) */
	TCP_F_SEND_RST = 1 << 13,
	TCP_F_SEND_PROBE = 1 << 14, /* keepalive or zero-window probe */
	TCP_F_FIN_QUEUED = 1 << 15, /* a FIN follows what is queued */
	TCP_F_FIN_SENT = 1 << 16,
	TCP_F_FIN_SEEN = 1 << 17,     /* the peer's FIN was seen, at fin_seq */
	TCP_F_FIN_RECEIVED = 1 << 18, /* and is in order */
	TCP_F_RTT_TIMED = 1 << 19,    /* the segment that ends at rtt_seq is being timed */
	TCP_F_FORCE_RTX = 1 << 20,    /* one retransmission regardless of cwnd */
	TCP_F_CWND_LIMITED = 1 << 21, /* the last try to send stopped at cwnd */
	TCP_F_SWS_OVERRIDE = 1 << 22, /* send what the small window takes */
	TCP_F_SOFT_ERROR = 1 << 23,   /* ICMP said unreachable while connecting */
	TCP_F_DSACK = 1 << 24,        /* dsack is to be told */
	TCP_F_SYN_RETRANSMITTED = 1 << 25,
	TCP_F_USED = 1 << 27,         /* not on the free list */
	TCP_F_PRIVATE_NODE = 1 << 26, /* this connection's own node is in its scoreboard */
};

enum tcp_timer {
	TCP_TIMER_REXMT, /* retransmission; with nothing in flight, the zero-window probe */
	TCP_TIMER_ACK,   /* delayed ACK */
	TCP_TIMER_LIFE,  /* connect timeout; after the release, FIN-WAIT-2 */
	TCP_TIMER_USER,  /* RFC 9293 section 3.8.3 */
	TCP_TIMER_KEEP,
	TCP_TIMERS,
};

enum tcp_recovery_state {
	TCP_OPEN,     /* nothing is known to be lost */
	TCP_RECOVERY, /* repairing without a timeout */
	TCP_LOSS,     /* repairing after a timeout */
};

enum tcp_ecn_flag {
	TCP_ECN_F_OK = 1 << 0,      /* agreed on: the peer may send ECT */
	TCP_ECN_F_ECT = 1 << 1,     /* and so may we */
	TCP_ECN_F_ECHO = 1 << 2,    /* ACKs carry ECE until CWR comes */
	TCP_ECN_F_CWR = 1 << 3,     /* to be said with the next new data */
	TCP_ECN_F_REDUCED = 1 << 4, /* the window was reduced for what ends at ecn_recover */
};

/* RFC 9438. Windows in segments, as the RFC has them, times in seconds. */
struct tcp_cubic {
	uint64_t epoch; /* microseconds; 0: congestion avoidance has not begun */
	float w_max;
	float k;
	float origin;
	float w_est;
	float cwnd_prior;
};

struct tcp_cold {
	uint32_t deadline[TCP_TIMERS]; /* ticks; 0: not running */
	uint32_t srtt_us;              /* 0: no sample yet */
	uint32_t rttvar_us;
	uint32_t rto_us; /* before backoff */
	uint32_t rtt_seq;
	uint32_t rtt_start; /* low 32 bits of the clock, microseconds */
	uint32_t last_recv; /* tick */
	uint32_t ts_offset;
	uint32_t path;
	uint8_t backoff;   /* exponent, retransmissions and probes */
	uint8_t keep_sent; /* unanswered keepalive probes */
	uint8_t recovery;  /* enum tcp_recovery_state */
	uint8_t n_sack;
	uint16_t n_holes;
	uint8_t challenges; /* sent in the second that began at challenge_tick */
	uint8_t ecn;        /* enum tcp_ecn_flag */
	uint32_t ecn_recover;

	/* The scoreboard (tcp_sack.c) and recovery (tcp_recovery.c). */
	uint32_t snd_fack; /* end of the highest range that is SACKed or marked lost */
	uint32_t sacked;   /* bytes above snd_una that are SACKed */
	uint32_t recover;  /* recovery ends when this is acknowledged */
	uint32_t ssthresh;
	uint32_t prr_delivered, prr_out, prr_flight;
	uint32_t rtx_seq; /* hint: rtx_mbuf + rtx_off holds this byte */
	struct rte_mbuf *rtx_mbuf;
	uint32_t rtx_off;
	uint32_t max_snd_wnd;
	uint32_t last_sent; /* tick of the last data sent */
	struct tcp_cubic cubic;

	/* Receiving: the latest SACK blocks first (RFC 2018 section 4). */
	struct tcp_range sack[TCP_SACK_BLOCKS];
	struct tcp_range dsack;
	uint32_t ooo_tail;
	uint32_t ooo_bytes;
	uint32_t fin_seq;
	uint32_t ts_recent_tick;
	uint32_t challenge_tick;

	/* Birth and configuration. */
	uint32_t iss, irs;
	uint32_t generation; /* counts the lives of this slot, for those who read a dump */
	uint32_t room_max;   /* the largest room ever given */
	uint16_t path_mss;   /* what our path allows, options not counted */
	int16_t error;       /* enum tcp_error */
	uint32_t user_timeout_ms;
	uint32_t keep_idle_ms, keep_interval_ms, keep_probes;
	uint32_t fin_wait2_ms;
	void *user;

	/* Statistics. */
	uint32_t retransmits; /* since the last progress */
	uint32_t total_retransmits;
	uint64_t bytes_sent, bytes_acked, bytes_received;
	uint64_t segments_sent, segments_received;
} __rte_cache_aligned;

/*
 * The hot part is three cache lines, one for finding it and the sequence numbers, one for
 * receiving and the windows, one for sending and the lists. Times, statistics and the
 * machinery of loss follow in struct tcp_cold: in the same page, and at an offset that the
 * compiler knows.
 */
struct tcp_conn {
	struct tcp_tuple tuple;
	uint32_t flags;
	uint32_t rcv_nxt;
	uint32_t rcv_adv; /* right edge of the window that was promised */
	uint32_t snd_una;
	uint32_t snd_nxt; /* the highest ever sent; it is never pulled back */
	struct tcp_stack *stack;

	struct rte_mbuf *rcv_head, *rcv_tail; /* in order, not taken yet */
	uint8_t state;                        /* enum tcp_state */
	uint8_t events;                       /* pending, enum tcp_event_bits */
	uint8_t snd_wscale, rcv_wscale;
	uint32_t snd_wnd;
	uint32_t snd_wl1, snd_wl2;
	uint32_t ts_recent;
	uint32_t last_ack_sent;
	uint32_t rcv_limit; /* right edge that the caller's room allows */
	uint32_t rcv_queued;
	uint32_t cwnd;
	uint32_t ooo_head;  /* node, sorted by sequence */
	uint32_t hole_head; /* node, sorted by sequence */
	uint16_t mss;       /* payload per segment, timestamps already taken off */
	uint16_t rcv_mss;   /* largest payload seen */

	struct rte_mbuf *snd_head, *snd_tail;
	struct rte_mbuf *snd_cursor; /* holds the byte snd_nxt; NULL: all is sent */
	uint32_t snd_end;            /* sequence number after the last byte queued */
	uint16_t snd_head_off;       /* bytes of snd_head that are acknowledged */
	uint16_t snd_cursor_off;
	struct tcp_link links[TCP_LISTS];
	uint32_t wheel_tick; /* when the wheel looks at this connection */
	uint16_t wheel_slot;
	uint8_t dup_acks;
	uint8_t quick_acks; /* ACKs still to be sent without delay */

	struct tcp_cold cold;
} __rte_cache_aligned;

static_assert(offsetof(struct tcp_conn, cold) == 3 * RTE_CACHE_LINE_MIN_SIZE,
	      "the hot part of a connection is three cache lines");
static_assert(offsetof(struct tcp_conn, rcv_head) == RTE_CACHE_LINE_MIN_SIZE, "line 1");
static_assert(offsetof(struct tcp_conn, snd_head) == 2 * RTE_CACHE_LINE_MIN_SIZE, "line 2");

/* --- nodes: out-of-order runs and scoreboard holes ------------------------------------- */

/* Bytes received beyond a gap; contiguous runs are one node. */
struct tcp_run {
	uint32_t seq, end;
	uint32_t buffers; /* bytes of buffer memory that it pins */
	struct rte_mbuf *head, *tail;
};

/* Bytes sent that the peer has not, though it has later ones (or a timeout says so). */
struct tcp_hole {
	uint32_t start, end;
	uint32_t rtx;  /* start..rtx has been retransmitted */
	uint32_t mark; /* snd_nxt at the latest retransmission */
	bool lost;
};

struct tcp_node {
	union {
		struct tcp_run run;
		struct tcp_hole hole;
	};
	uint32_t next;
};

/* Node i below max_connections is private to connection i, so that its scoreboard always
 * has one; the others are shared. */
struct tcp_nodes {
	struct tcp_node *node;
	uint32_t free_head;
	uint32_t private_count;
};

/* --- lookup table (tcp_table.c) -------------------------------------------------------- */

#define TCP_BUCKET_SLOTS 8
#define TCP_INDEX_TIME_WAIT (1u << 31) /* the index is that of a TIME-WAIT entry */

struct tcp_bucket {
	uint16_t tag[TCP_BUCKET_SLOTS]; /* 0: empty; the filled ones come first */
	uint32_t index[TCP_BUCKET_SLOTS];
	uint32_t next; /* overflow bucket or TCP_NONE */
	uint32_t spare[3];
} __rte_cache_aligned;

static_assert(sizeof(struct tcp_bucket) == RTE_CACHE_LINE_MIN_SIZE, "one cache line");

struct tcp_table {
	struct tcp_bucket *bucket; /* mask + 1 of them, then the overflow buckets */
	uint32_t mask;
	uint32_t free_head; /* overflow buckets */
	uint64_t key[2];
	/* Where the tuple of an index stands, for comparing. */
	const void *conns;
	size_t conn_size;
	const void *time_waits;
	size_t time_wait_size;
};

int tcp_table_create(struct tcp_table *table, uint32_t entries, int socket_id);
void tcp_table_destroy(struct tcp_table *table);
uint64_t tcp_table_hash(const struct tcp_table *table, const struct tcp_tuple *tuple);
/* For a burst, in two stages: the buckets, then what their tags lead to. */
void tcp_table_prefetch(const struct tcp_table *table, uint64_t hash);
void tcp_table_prefetch_entry(const struct tcp_table *table, uint64_t hash);
uint32_t tcp_table_find(const struct tcp_table *table, const struct tcp_tuple *tuple,
			uint64_t hash);
/* The caller never holds more entries than the table was made for. */
void tcp_table_insert(struct tcp_table *table, uint64_t hash, uint32_t index);
void tcp_table_remove(struct tcp_table *table, uint64_t hash, uint32_t index);
void tcp_table_replace(struct tcp_table *table, uint64_t hash, uint32_t from, uint32_t to);

/* --- timer wheel (tcp_timer.c) --------------------------------------------------------- */

#define TCP_WHEEL_LEVELS 4
#define TCP_WHEEL_SLOTS 256

struct tcp_wheel {
	struct tcp_conn *conns;
	uint32_t tick; /* the last one that was worked off */
	uint32_t count;
	uint64_t used[TCP_WHEEL_LEVELS][TCP_WHEEL_SLOTS / 64];
	uint32_t slot[TCP_WHEEL_LEVELS * TCP_WHEEL_SLOTS];
};

void tcp_wheel_init(struct tcp_wheel *wheel, struct tcp_conn *conns, uint32_t tick);
void tcp_wheel_insert(struct tcp_wheel *wheel, struct tcp_conn *conn, uint32_t tick);
void tcp_wheel_remove(struct tcp_wheel *wheel, struct tcp_conn *conn);
/* The next connection whose tick is not after `tick`, taken off the wheel, or NULL. */
struct tcp_conn *tcp_wheel_pop(struct tcp_wheel *wheel, uint32_t tick);
/* A lower bound of the next tick at which tcp_wheel_pop() has work; false: none. */
bool tcp_wheel_next(const struct tcp_wheel *wheel, uint32_t *tick);

/* --- TIME-WAIT (tcp_time_wait.c) ------------------------------------------------------- */

/* One cache line. All live equally long, so the list in order of birth is the timer. The
 * timestamp offset is a function of the tuple and not kept. */
struct tcp_time_wait {
	struct tcp_tuple tuple;
	uint32_t snd_nxt, rcv_nxt;
	uint32_t ts_recent;
	uint32_t expires; /* tick */
	uint32_t path;
	uint32_t next;
	uint32_t prev : 31;
	uint32_t timestamps : 1;
};

static_assert(sizeof(struct tcp_time_wait) == 64, "a TIME-WAIT entry is 64 bytes");

#define TCP_TIME_WAIT_NONE 0x7fffffffu

struct tcp_time_waits {
	struct tcp_time_wait *entry;
	uint32_t max, count;
	uint32_t head, tail; /* oldest, youngest */
	uint32_t free_head;
};

/* --- SYN cookies (tcp_cookie.c) -------------------------------------------------------- */

struct tcp_cookies {
	uint64_t secret[2][2]; /* of even and of odd periods */
	uint32_t period;       /* the youngest secret's; 0: there are none yet */
	uint32_t last_tick;    /* when the last cookie was sent */
	bool sent;             /* one is out that may still be good */
};

/* What a cookie gives back. */
struct tcp_cookie {
	struct tcp_segment syn; /* sequence number and options of the peer's SYN */
	uint32_t isn;
	uint8_t scale; /* our window scale, where the SYN had one */
};

/* --- the stack ------------------------------------------------------------------------- */

struct tcp_stack {
	struct tcp_conn *conns;
	uint64_t now;  /* microseconds, the latest told */
	uint32_t tick; /* milliseconds of it */
	bool started;  /* the clock has been told once */
	uint32_t n_conns;
	uint32_t half_open; /* SYN-RECEIVED and not opened by tcp_connect() */
	struct tcp_list free;
	struct tcp_list events;
	struct tcp_list output;
	struct tcp_nodes nodes;
	struct tcp_table table;
	struct tcp_wheel wheel;
	struct tcp_time_waits time_waits;
	struct rte_mbuf *replies[TCP_REPLIES]; /* a ring */
	uint32_t replies_head, replies_tail;
	uint64_t isn_key[2], port_key[2], ts_key[2];
	uint32_t port_next; /* RFC 6056 algorithm 3: next_ephemeral */
	struct tcp_cookies cookies;
	uint32_t challenge_left; /* of the second that began at challenge_tick */
	uint32_t challenge_tick;
	bool challenge_drawn;
	struct tcp_stack_config config;
	struct tcp_counters counters;
};

static inline uint32_t
tcp_conn_index(const struct tcp_conn *conn)
{
	return (uint32_t)(conn - conn->stack->conns);
}

static inline struct tcp_cold *
tcp_cold(const struct tcp_conn *conn)
{
	return (struct tcp_cold *)(uintptr_t)&conn->cold;
}

static inline bool
tcp_synchronized(const struct tcp_conn *conn)
{
	return conn->state >= TCP_ESTABLISHED && conn->state <= TCP_LAST_ACK;
}

/* Still in the lookup table: not CLOSED and not handed over to TIME-WAIT. */
static inline bool
tcp_alive(const struct tcp_conn *conn)
{
	return conn->state != TCP_CLOSED && conn->state != TCP_TIME_WAIT;
}

static inline uint32_t
tcp_in_flight(const struct tcp_conn *conn)
{
	return conn->snd_nxt - conn->snd_una;
}

static inline uint32_t
tcp_ts_now(const struct tcp_conn *conn)
{
	return conn->stack->tick + tcp_cold(conn)->ts_offset;
}

static inline bool
tcp_is_mapped(const struct in6_addr *addr)
{
	return IN6_IS_ADDR_V4MAPPED(addr);
}

/* --- tcp.c, tcp_stack.c ---------------------------------------------------------------- */

void tcp_clock(struct tcp_stack *stack, uint64_t now);
void tcp_conn_drop_buffers(struct tcp_conn *conn);
struct tcp_conn *tcp_conn_new(struct tcp_stack *stack, const struct tcp_tuple *tuple,
			      const struct tcp_conn_config *config);
void tcp_conn_event(struct tcp_conn *conn, uint32_t bits);
/* Puts the connection on the list that tcp_output() walks. */
void tcp_conn_want_output(struct tcp_conn *conn);
/* Out of the table, no timer, nothing queued for sending; what was received stays. */
void tcp_conn_detach(struct tcp_conn *conn, enum tcp_state state);
void tcp_conn_fail(struct tcp_conn *conn, enum tcp_error error);
/* Frees the slot of a finished connection whose handle was released. */
void tcp_conn_reap(struct tcp_conn *conn);
void tcp_conn_reset(struct tcp_conn *conn);
/* The state that a queued FIN leads to. */
void tcp_conn_fin_state(struct tcp_conn *conn);
/* To be called when SYN-RECEIVED ends. */
void tcp_conn_not_half_open(struct tcp_conn *conn);
/* What a configuration says, with the defaults. */
uint16_t tcp_config_mss(const struct tcp_conn_config *config, bool ipv4);
uint32_t tcp_config_room(const struct tcp_conn_config *config);
uint8_t tcp_window_scale(uint32_t room);

void tcp_list_init(struct tcp_list *list);
void tcp_list_push(struct tcp_stack *stack, struct tcp_list *list, struct tcp_conn *conn,
		   enum tcp_list_kind kind);
void tcp_list_push_front(struct tcp_stack *stack, struct tcp_list *list, struct tcp_conn *conn,
			 enum tcp_list_kind kind);
void tcp_list_remove(struct tcp_stack *stack, struct tcp_list *list, struct tcp_conn *conn,
		     enum tcp_list_kind kind);

/* --- tcp_segment.c --------------------------------------------------------------------- */

/* Reads tuple and header, not the options. False: no whole TCP header. */
bool tcp_segment_parse(const struct rte_mbuf *m, struct tcp_tuple *tuple,
		       struct tcp_segment *segment);
/* Reads the option block of a segment that was parsed. */
void tcp_segment_options(const struct rte_mbuf *m, struct tcp_segment *segment);

/* --- tcp_options.c --------------------------------------------------------------------- */

void tcp_options_parse(const uint8_t *data, size_t len, bool syn, struct tcp_options *opt);
struct tcp_syn_options {
	uint16_t mss;
	bool sack, timestamps, wscale;
	uint8_t scale;
	uint32_t ts_val, ts_ecr;
};

/* Each writes at most TCP_OPTIONS_MAX bytes, a multiple of four, and returns how many. */
uint8_t tcp_options_syn(const struct tcp_conn *conn, uint8_t *out);
uint8_t tcp_options_write_syn(const struct tcp_syn_options *syn, uint8_t *out);
uint8_t tcp_options_plain(struct tcp_conn *conn, uint8_t *out);
uint8_t tcp_options_timestamps(uint8_t *out, uint32_t val, uint32_t ecr);
/* What tcp_options_plain() would take beside the timestamps. */
uint8_t tcp_options_sack_len(const struct tcp_conn *conn);

/* --- tcp_input.c ----------------------------------------------------------------------- */

/* Consumes `m`. */
void tcp_conn_input(struct tcp_conn *conn, struct rte_mbuf *m, struct tcp_segment *segment);
/* What the options of a SYN settle for the life of the connection. */
void tcp_conn_negotiate(struct tcp_conn *conn, const struct tcp_segment *segment);
void tcp_conn_ack_now(struct tcp_conn *conn);

/* --- tcp_ack.c ------------------------------------------------------------------------- */

/* False: the segment is to be dropped. */
bool tcp_ack_input(struct tcp_conn *conn, const struct tcp_segment *segment);
void tcp_ack_window(struct tcp_conn *conn, const struct tcp_segment *segment);
/* (Re)starts the user timeout, or stops it when nothing is outstanding. */
void tcp_user_timer(struct tcp_conn *conn);

/* --- tcp_output.c, tcp_build.c --------------------------------------------------------- */

struct tcp_header {
	uint32_t seq, ack;
	uint16_t window;
	uint8_t flags;
	uint8_t ecn; /* for the IP header */
	uint8_t options_len;
	const uint8_t *options;
	uint32_t payload;
	uint32_t path;
};

int tcp_build_init(void); /* the dynamic field of tcp_segment_path() */
void tcp_build_set_path(struct rte_mbuf *m, uint32_t path);
/* A header buffer for `header->payload` bytes that the caller chains behind, or NULL. */
struct rte_mbuf *tcp_build_header(struct tcp_stack *stack, const struct tcp_tuple *tuple,
				  const struct tcp_header *header);
/* Chains indirect buffers on the `len` bytes from `payload` + `off` behind `head`. False:
 * there are none left, and `head` is freed. */
bool tcp_build_payload(struct tcp_stack *stack, struct rte_mbuf *head,
		       const struct rte_mbuf *payload, uint32_t off, uint32_t len);
/* Queues a segment that belongs to no connection. */
void tcp_reply(struct tcp_stack *stack, const struct tcp_tuple *tuple,
	       const struct tcp_header *header);
/* The RST of RFC 9293 section 3.10.7.1 in answer to `segment`. */
void tcp_reply_reset(struct tcp_stack *stack, const struct tcp_tuple *tuple,
		     const struct tcp_segment *segment, uint32_t path);
/* Is a window update worth a segment of its own? */
bool tcp_window_update_due(const struct tcp_conn *conn);

/* --- tcp_sack.c ------------------------------------------------------------------------ */

void tcp_sack_clear(struct tcp_conn *conn);
/* Takes note that snd_una has moved. */
void tcp_sack_advance(struct tcp_conn *conn);
/* Takes in the SACK blocks of a segment; true if they say anything new. */
bool tcp_sack_update(struct tcp_conn *conn, const struct tcp_options *opt);
/* Marks what RFC 6675's IsLost() says; true if something is waiting for retransmission. */
bool tcp_sack_detect(struct tcp_conn *conn);
/* Everything in flight that is not SACKed is lost. */
void tcp_sack_lose_all(struct tcp_conn *conn);
/* The segment at snd_una is lost (peer without SACK). */
void tcp_sack_lose_first(struct tcp_conn *conn);
/* RFC 6675's pipe: bytes that are thought to be in the network. */
uint32_t tcp_sack_pipe(const struct tcp_conn *conn);
/* The hole to retransmit from next, or NULL; `any`: also ones not deemed lost. */
struct tcp_hole *tcp_sack_next(struct tcp_conn *conn, bool any);

/* --- tcp_recovery.c -------------------------------------------------------------------- */

struct tcp_ack_news {
	uint32_t acked;     /* bytes by which snd_una moved */
	uint32_t delivered; /* bytes that the peer has now and had not before */
	bool duplicate;     /* RFC 5681 section 2 */
};

void tcp_recovery_ack(struct tcp_conn *conn, const struct tcp_ack_news *news);
void tcp_recovery_timeout(struct tcp_conn *conn);

/* --- tcp_cubic.c ----------------------------------------------------------------------- */

void tcp_cubic_init(struct tcp_conn *conn);
void tcp_cubic_ack(struct tcp_conn *conn, uint32_t acked);
/* A loss: sets ssthresh; the caller sets cwnd. */
void tcp_cubic_loss(struct tcp_conn *conn);
/* RFC 5681 section 4.1: data is to be sent after `idle_ms` without. */
void tcp_cubic_restart(struct tcp_conn *conn, uint32_t idle_ms);
uint32_t tcp_initial_window(uint32_t mss);

/* --- tcp_rto.c ------------------------------------------------------------------------- */

void tcp_rtt_sample(struct tcp_conn *conn, uint32_t rtt_us);
uint32_t tcp_rto(const struct tcp_conn *conn); /* microseconds, backoff included */
void tcp_rto_start(struct tcp_conn *conn);
void tcp_rto_expired(struct tcp_conn *conn);
void tcp_rtt_cancel(struct tcp_conn *conn, uint32_t seq);

/* --- tcp_reassembly.c ------------------------------------------------------------------ */

/* Takes payload `m` that begins at `seq`, not before rcv_nxt; moves rcv_nxt over all that
 * is in order now. Returns false when there was nothing new in it or no room. */
bool tcp_reassembly_input(struct tcp_conn *conn, struct rte_mbuf *m, uint32_t seq, uint32_t len);
void tcp_reassembly_clear(struct tcp_conn *conn);
/* Remembers a range that came twice (RFC 2883). */
void tcp_reassembly_duplicate(struct tcp_conn *conn, uint32_t seq, uint32_t end);

/* --- nodes (tcp_reassembly.c) ---------------------------------------------------------- */
uint32_t tcp_node_alloc(struct tcp_stack *stack);
void tcp_node_free(struct tcp_stack *stack, uint32_t node);

/* --- tcp_timer.c ----------------------------------------------------------------------- */

void tcp_timer_set(struct tcp_conn *conn, enum tcp_timer timer, uint32_t ms);
void tcp_timer_set_us(struct tcp_conn *conn, enum tcp_timer timer, uint64_t us);
void tcp_timer_clear(struct tcp_conn *conn, enum tcp_timer timer);
bool tcp_timer_running(const struct tcp_conn *conn, enum tcp_timer timer);
void tcp_timer_clear_all(struct tcp_conn *conn);

/* --- tcp_time_wait.c ------------------------------------------------------------------- */

/* Hands the connection's place in the table over to a TIME-WAIT entry. */
void tcp_time_wait_enter(struct tcp_conn *conn);
/* True: the segment may open a new connection and is a stranger. Does not consume. */
bool tcp_time_wait_input(struct tcp_stack *stack, uint32_t index,
			 const struct tcp_segment *segment);
/* RFC 6191: may a new connection of ours take the place of this entry? */
bool tcp_time_wait_reusable(const struct tcp_stack *stack, uint32_t index);
void tcp_time_wait_remove(struct tcp_stack *stack, uint32_t index);
void tcp_time_wait_expire(struct tcp_stack *stack);

/* --- tcp_isn.c ------------------------------------------------------------------------- */

uint64_t tcp_siphash(const uint64_t key[2], const uint64_t *words, unsigned int n);
/* SipHash-2-4 of addresses and ports; `ports` false leaves the local port out. */
uint64_t tcp_tuple_hash(const uint64_t key[2], const struct tcp_tuple *tuple);
uint32_t tcp_isn(const struct tcp_stack *stack, const struct tcp_tuple *tuple);
uint32_t tcp_ts_offset(const struct tcp_stack *stack, const struct tcp_tuple *tuple);
/* Fills in tuple->local_port. */
int tcp_port_choose(struct tcp_stack *stack, struct tcp_tuple *tuple);
/* TCP_OK when a connection may be opened there; *time_wait is an entry that it replaces. */
int tcp_tuple_free(const struct tcp_stack *stack, const struct tcp_tuple *tuple,
		   uint32_t *time_wait);

/* --- tcp_challenge.c ------------------------------------------------------------------- */

void tcp_challenge(struct tcp_conn *conn);
/* Spends one of the connection's unprovoked ACKs of this second. */
bool tcp_challenge_allowed(struct tcp_conn *conn);

/* --- tcp_ecn.c ------------------------------------------------------------------------- */

/* For our SYN or SYN-ACK. */
uint8_t tcp_ecn_syn_flags(const struct tcp_conn *conn);
/* Is this SYN one that is answered with ECE? */
bool tcp_ecn_asked(const struct tcp_stack *stack, const struct tcp_segment *syn);
void tcp_ecn_negotiate(struct tcp_conn *conn, const struct tcp_segment *segment);
/* The SYN came once more; perhaps without ECN now. */
void tcp_ecn_syn_again(struct tcp_conn *conn, const struct tcp_segment *segment);
void tcp_ecn_data(struct tcp_conn *conn, const struct tcp_segment *segment);
bool tcp_ecn_is_echo(const struct tcp_conn *conn, const struct tcp_segment *segment);
void tcp_ecn_echoed(struct tcp_conn *conn);
/* What ECN adds to a header. */
void tcp_ecn_mark(const struct tcp_conn *conn, bool new_data, struct tcp_header *header);

/* --- tcp_cookie.c ---------------------------------------------------------------------- */

/* Are there so many half-open connections that a SYN is to be answered with a cookie? */
bool tcp_cookie_wanted(const struct tcp_stack *stack);
void tcp_cookie_answer(struct tcp_stack *stack, const struct tcp_tuple *tuple,
		       const struct tcp_segment *segment, const struct tcp_conn_config *config);
/* Does this stranger's ACK bring a cookie of ours back? */
bool tcp_cookie_check(struct tcp_stack *stack, const struct tcp_tuple *tuple,
		      const struct tcp_segment *segment, struct tcp_cookie *out);

/* --- tcp_chain.c ----------------------------------------------------------------------- */

/* Takes `n` bytes off the front and frees what is empty then; NULL if nothing is left. */
struct rte_mbuf *tcp_chain_trim_front(struct rte_mbuf *m, uint32_t n);
/* Cuts a chain of payload down to its first `len` bytes, len > 0. */
void tcp_chain_truncate(struct rte_mbuf *m, uint32_t len);
struct rte_mbuf *tcp_chain_tail(struct rte_mbuf *m);
void tcp_chain_free(struct rte_mbuf *m);
uint32_t tcp_chain_buffers(const struct rte_mbuf *m);

#endif
