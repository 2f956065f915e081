/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TCPSTACK_TCP_H
#define TCPSTACK_TCP_H

/*
 * TCP as a library: segments in, segments out, no clock of its own.
 *
 * A `struct tcp_stack` belongs to one worker and is touched by that worker only.
 * It has no globals, takes no locks, makes no system calls and allocates nothing
 * after tcp_stack_create(): connections come from a table sized at creation and
 * buffers from the mempools that the caller lends.
 *
 * Time is an argument: `now` is a monotonic clock in microseconds that never goes
 * back. Randomness is an argument too (`tcp_stack_config.random`). The same code
 * therefore runs on a NIC, under a packet script and in a simulator with a virtual
 * clock.
 *
 * A turn of the caller's loop is:
 *
 *     tcp_input()   segments that arrived; those of no connection come back
 *     tcp_accept()  for the returned SYNs that the caller wants
 *     tcp_timers()  what is due
 *     tcp_events()  which connections have news
 *     tcp_receive(), tcp_send(), tcp_set_room(), ... on those connections
 *     tcp_output()  the segments that windows allow
 *
 * Nothing calls back.
 *
 * Segments, in and out, are mbufs whose data starts at the IP header. Addresses are
 * 16 bytes; an IPv4 address is written IPv4-mapped (::ffff:a.b.c.d, RFC 4291
 * section 2.5.5.2), and a connection whose two addresses are mapped speaks IPv4.
 * Ports are in host byte order.
 */

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

#include <rte_mbuf.h>
#include <rte_mempool.h>

struct tcp_stack;
struct tcp_conn;

/* The connection seen from here: `local` is the address that we answer for, which in
 * transparent operation is the address of somebody else. */
struct tcp_tuple {
	struct in6_addr local;
	struct in6_addr remote;
	uint16_t local_port;
	uint16_t remote_port;
};

/* RFC 3168 */
enum tcp_ecn {
	TCP_ECN_PASSIVE, /* for those who ask */
	TCP_ECN_OFF,
	TCP_ECN_ON, /* asked for by tcp_connect() */
};

struct tcp_stack_config {
	uint32_t max_connections; /* rounded up to a power of two; at least 16 */
	uint32_t max_time_wait;   /* entries of 64 bytes; the oldest makes room */
	uint32_t max_ooo_bytes;   /* out-of-order buffer bytes kept per connection */
	uint32_t time_wait_ms;    /* 2 MSL, RFC 9293 section 3.4.2; 0 means 60,000 */
	/* With this many handshakes of strangers unfinished, further SYNs are answered with
	 * cookies (RFC 4987) and cost no memory. 0: a quarter of max_connections, but 16 at
	 * least; UINT32_MAX: never. */
	uint32_t max_half_open;
	enum tcp_ecn ecn;
	uint32_t max_challenges; /* challenge ACKs a second on average; 0: 1,000 */
	/* Buffers that the stack sends in. `header_pool`: direct mbufs with at least
	 * RTE_PKTMBUF_HEADROOM + 128 bytes of room for the headers of a segment.
	 * `indirect_pool`: mbufs without data room, attached to the payload. Borrowed;
	 * both must outlive the stack. An empty pool delays a segment, it loses nothing. */
	struct rte_mempool *header_pool;
	struct rte_mempool *indirect_pool;
	/* Fills `len` bytes with unpredictable ones (ISNs, ports, hash keys). */
	void (*random)(void *ctx, void *buf, size_t len);
	void *random_ctx;
	/* Says whether the caller may use this local port for a new outgoing connection,
	 * so that the answers reach the same worker. NULL: every port will do. */
	bool (*port_ok)(void *ctx, const struct tcp_tuple *tuple);
	void *port_ok_ctx;
	int socket_id; /* NUMA node of the tables, or SOCKET_ID_ANY */
};

/* What one connection is given at birth. 0 stands for the default that is named. */
struct tcp_conn_config {
	uint16_t mss;              /* payload bytes that our path's MTU allows, options not
				      counted (RFC 6691); 0: 1460 for IPv4, 1440 for IPv6 */
	uint32_t room;             /* bytes we are ready to receive; 0: 65,535 */
	uint32_t connect_timeout_ms; /* SYN sent or received until established; 0: 10,000 */
	uint32_t user_timeout_ms;  /* unacknowledged data until reset; 0: 120,000
				      (RFC 9293 section 3.8.3) */
	uint32_t keepalive_idle_ms;     /* idle time before the first probe; 0: none */
	uint32_t keepalive_interval_ms; /* 0: 75,000 (RFC 1122 section 4.2.3.6) */
	uint32_t keepalive_probes;      /* 0: 9 */
	uint32_t fin_wait2_ms;     /* a closed handle waits this long for the peer's FIN;
				      0: 60,000 */
	uint32_t path;             /* opaque; stands in the dynamic field of every segment
				      sent, see tcp_segment_path() */
	void *user;                /* see tcp_user() */
};

enum tcp_error {
	TCP_OK = 0,
	TCP_E_NO_MEMORY = -1,   /* the connection table is full */
	TCP_E_NO_PORT = -2,     /* no free local port towards this remote */
	TCP_E_IN_USE = -3,      /* the tuple is taken */
	TCP_E_STATE = -4,       /* not in this state (send after shutdown, ...) */
	TCP_E_REFUSED = -5,     /* RST in answer to our SYN */
	TCP_E_RESET = -6,       /* RST from the peer */
	TCP_E_TIMEOUT = -7,     /* connect, user or keepalive timeout */
	TCP_E_UNREACHABLE = -8, /* ICMP said so while connecting */
	TCP_E_NOT_SYN = -9,     /* tcp_accept(): the segment opens nothing */
	TCP_E_MALFORMED = -10,  /* tcp_accept(): lengths or options are broken */
	TCP_E_COOKIE = -11,     /* tcp_accept(): answered with a SYN cookie. No error: the segment
				   is consumed, the connection comes with the peer's ACK */
};

/* A static sentence fragment: "connection refused". */
const char *tcp_strerror(int error);

enum tcp_state {
	TCP_CLOSED,
	TCP_SYN_SENT,
	TCP_SYN_RECEIVED,
	TCP_ESTABLISHED,
	TCP_FIN_WAIT_1,
	TCP_FIN_WAIT_2,
	TCP_CLOSE_WAIT,
	TCP_CLOSING,
	TCP_LAST_ACK,
	TCP_TIME_WAIT,
};

const char *tcp_state_name(enum tcp_state state);

/* --- the stack -------------------------------------------------------------------- */

/* NULL with *error set (TCP_E_NO_MEMORY) when the tables cannot be had. */
struct tcp_stack *tcp_stack_create(const struct tcp_stack_config *config, int *error);

/* Frees every connection and returns every buffer that the stack holds; sends nothing. */
void tcp_stack_destroy(struct tcp_stack *stack);

/*
 * Takes `n` segments. The stack owns them from here, except those that belong to no
 * connection and no TIME-WAIT entry: these are written to `strangers` (room for `n`) and
 * belong to the caller again, unchanged. Returns how many.
 *
 * The caller has verified: data starts at the IP header; packet_type says
 * RTE_PTYPE_L3_IPV4 or RTE_PTYPE_L3_IPV6; l3_len is the length of the IP header with its
 * options or extension headers; pkt_len is the length that the IP header says, padding
 * trimmed; not a fragment; checksums are right; the IP and TCP headers lie in the first
 * buffer as far as they are there. A TCP header that is too short or lies about its length
 * is counted and dropped here.
 */
uint16_t tcp_input(struct tcp_stack *stack, struct rte_mbuf **segments, uint16_t n, uint64_t now,
		   struct rte_mbuf **strangers);

/*
 * Answers a stranger's SYN with a connection in SYN-RECEIVED; *conn is the caller's until
 * tcp_release(). The segment is consumed on success. On error it stays with the caller,
 * who refuses it, routes it on or frees it: TCP_E_NOT_SYN, TCP_E_MALFORMED,
 * TCP_E_NO_MEMORY; TCP_E_IN_USE for the second copy of a SYN in one burst, which
 * tcp_refuse() gives to the connection that the first one opened. TCP_EV_CONNECTED follows
 * when the handshake is complete.
 *
 * With too many handshakes unfinished (max_half_open) the SYN is answered with a cookie:
 * TCP_E_COOKIE, the segment is consumed and there is no connection. The ACK that brings the
 * cookie back is a stranger that tcp_is_cookie() knows; tcp_accept() of it gives a connection
 * that is established. `config` is then asked for again and should say what it said before.
 */
int tcp_accept(struct tcp_stack *stack, struct rte_mbuf *segment, uint64_t now,
	       const struct tcp_conn_config *config, struct tcp_conn **conn);

/* Is this stranger the end of a handshake that was answered with a cookie? */
bool tcp_is_cookie(struct tcp_stack *stack, const struct rte_mbuf *segment, uint64_t now);

/* Reads the tuple and the flags of a stranger. False: no whole TCP header. */
bool tcp_peek(const struct rte_mbuf *segment, struct tcp_tuple *tuple, uint8_t *flags);

/* Answers a stranger with the RST of RFC 9293 section 3.10.7.1 (never a RST with a RST)
 * and consumes it. One whose tuple has been accepted in the meantime goes to its
 * connection instead. */
void tcp_refuse(struct tcp_stack *stack, struct rte_mbuf *segment, uint64_t now);

/*
 * Opens a connection. `tuple->local_port` 0 lets the stack choose (RFC 6056 algorithm 3);
 * otherwise that port is used, or TCP_E_IN_USE. The SYN leaves with the next
 * tcp_output(). TCP_EV_CONNECTED or TCP_EV_FAILED follows.
 */
int tcp_connect(struct tcp_stack *stack, const struct tcp_tuple *tuple, uint64_t now,
		const struct tcp_conn_config *config, struct tcp_conn **conn);

/* Runs what is due at `now`. */
void tcp_timers(struct tcp_stack *stack, uint64_t now);

/* When tcp_timers() has to run next, in microseconds of `now`'s clock; UINT64_MAX: never.
 * May be early, is never late. Soon, when segments wait for buffers or for tcp_output().
 * For callers that sleep. */
uint64_t tcp_next_timer(const struct tcp_stack *stack);

/*
 * Writes up to `max` segments to `out` and returns how many; they are the caller's. Each
 * is a header buffer with RTE_PKTMBUF_HEADROOM bytes in front, followed by indirect
 * buffers on the payload, which must not be written. l3_len, l4_len and the offload flags
 * (RTE_MBUF_F_TX_IPV4 with RTE_MBUF_F_TX_IP_CKSUM, or RTE_MBUF_F_TX_IPV6, and
 * RTE_MBUF_F_TX_TCP_CKSUM) are set and the TCP checksum field holds the pseudo-header's
 * sum, as ports with checksum offload want it. Call until it returns less than `max`.
 */
uint16_t tcp_output(struct tcp_stack *stack, uint64_t now, struct rte_mbuf **out, uint16_t max);

/* The `path` of the connection that sent this segment; 0 for resets to strangers. */
uint32_t tcp_segment_path(const struct rte_mbuf *segment);

/* What an ICMP error says about one of our segments (RFC 5927: believed only when `seq`
 * lies in the data that is in flight). */
enum tcp_icmp {
	TCP_ICMP_SOFT,      /* network or host unreachable, time exceeded */
	TCP_ICMP_HARD,      /* port or protocol unreachable */
	TCP_ICMP_TOO_BIG,   /* `mtu` is the next hop's */
};
void tcp_icmp_error(struct tcp_stack *stack, const struct tcp_tuple *tuple, uint32_t seq,
		    enum tcp_icmp kind, uint16_t mtu, uint64_t now);

/* --- events ------------------------------------------------------------------------ */

enum tcp_event_bits {
	TCP_EV_CONNECTED = 1 << 0, /* the handshake is complete */
	TCP_EV_READABLE = 1 << 1,  /* tcp_receive() has bytes */
	TCP_EV_SENT = 1 << 2,      /* bytes were acknowledged: tcp_unacked() fell */
	TCP_EV_EOF = 1 << 3,       /* the peer's FIN is in order: no byte follows those queued */
	TCP_EV_FAILED = 1 << 4,    /* tcp_error() says why; no more events after this */
	TCP_EV_CLOSED = 1 << 5,    /* both directions are closed in order; no more events */
};

struct tcp_event {
	struct tcp_conn *conn;
	uint32_t bits;
};

/* Hands out pending events, one entry per connection, and clears them. */
uint16_t tcp_events(struct tcp_stack *stack, struct tcp_event *events, uint16_t max);

/* --- a connection ------------------------------------------------------------------- */

/*
 * Takes what has arrived in order, at most about `max` bytes (whole buffers; a buffer
 * that crosses `max` is given whole). The chain, linked by `next` with nb_segs and pkt_len
 * of its head set, holds payload only and belongs to the caller. NULL: nothing there.
 */
struct rte_mbuf *tcp_receive(struct tcp_conn *conn, uint32_t max);

/*
 * Says how many bytes beyond those received so far we are ready for: the receive window.
 * What arrives is subtracted; the right edge that was advertised never moves back
 * (RFC 9293 section 3.8.6), and a window update is sent when the gain is worth a segment
 * (section 3.8.6.2.2).
 */
void tcp_set_room(struct tcp_conn *conn, uint32_t room, uint64_t now);

/*
 * Queues a chain of payload buffers for sending; the stack owns it from here and frees
 * each buffer when its last byte is acknowledged. Always taken whole: the caller bounds
 * it by tcp_unacked(). TCP_E_STATE after tcp_shutdown() or on a failed connection; then
 * the chain stays with the caller.
 */
int tcp_send(struct tcp_conn *conn, struct rte_mbuf *chain);

/* Bytes that were queued and are not acknowledged yet. */
uint32_t tcp_unacked(const struct tcp_conn *conn);

/* Sends a FIN after what is queued. Receiving goes on. Idempotent. */
void tcp_shutdown(struct tcp_conn *conn, uint64_t now);

/* Sends a RST, drops everything queued. The handle stays until tcp_release(). */
void tcp_abort(struct tcp_conn *conn, uint64_t now);

/*
 * Gives the handle back: no event comes any more and `conn` is not to be used. What was
 * queued is still sent, then a FIN (as after tcp_shutdown()); bytes that arrive after that
 * are answered with a RST (RFC 9293 section 3.6.1). Bytes received and never taken make
 * it a RST at once (RFC 2525 section 2.17).
 */
void tcp_release(struct tcp_conn *conn, uint64_t now);

const struct tcp_tuple *tcp_conn_tuple(const struct tcp_conn *conn);
enum tcp_state tcp_conn_state(const struct tcp_conn *conn);
int tcp_conn_error(const struct tcp_conn *conn);
void *tcp_user(const struct tcp_conn *conn);
void tcp_set_user(struct tcp_conn *conn, void *user);

/* A subset of Linux's TCP_INFO; times in microseconds. */
struct tcp_info {
	enum tcp_state state;
	uint32_t srtt_us, rttvar_us, rto_us;
	uint32_t snd_mss, snd_cwnd, snd_ssthresh; /* bytes */
	uint32_t snd_wnd, rcv_wnd;                /* bytes */
	uint32_t unacked, retransmits, total_retransmits;
	uint64_t bytes_sent, bytes_acked, bytes_received;
	uint64_t segments_sent, segments_received;
	uint8_t snd_wscale, rcv_wscale;
	bool timestamps, sack, ecn;
};
void tcp_conn_info(const struct tcp_conn *conn, struct tcp_info *info);

/* --- counters ------------------------------------------------------------------------ */

/* One name for every drop and every anomaly. */
#define TCP_COUNTERS(X)                                                                            \
	X(segments_in, "segments received for a connection")                                       \
	X(segments_out, "segments sent")                                                           \
	X(bytes_in, "payload bytes received in order")                                             \
	X(bytes_out, "payload bytes sent for the first time")                                      \
	X(accepted, "connections accepted")                                                        \
	X(cookies_sent, "SYNs answered with a cookie (RFC 4987)")                                  \
	X(cookies_accepted, "connections made from a cookie")                                      \
	X(connected, "outgoing connections established")                                           \
	X(failed, "connections that ended in an error")                                            \
	X(retransmits, "segments retransmitted")                                                   \
	X(fast_retransmits, "losses repaired without a timeout")                                   \
	X(timeouts, "retransmission timeouts")                                                     \
	X(out_of_order, "segments kept out of order")                                              \
	X(ooo_dropped, "out-of-order segments over the limit")                                     \
	X(duplicates, "segments with nothing new")                                                 \
	X(outside_window, "segments outside the window")                                           \
	X(paws, "segments dropped by PAWS (RFC 7323 section 5)")                                   \
	X(bad_header, "TCP header too short or longer than the segment")                           \
	X(bad_options, "option block that does not parse; the rest of it ignored")                 \
	X(bad_ack, "acknowledgements of bytes never sent")                                         \
	X(challenge_acks, "challenge ACKs sent (RFC 5961)")                                        \
	X(challenge_limited, "challenge ACKs withheld by the rate limit")                          \
	X(ecn_marked, "segments that arrived with congestion experienced (RFC 3168)")              \
	X(ecn_reductions, "windows reduced because the peer echoed congestion")                    \
	X(resets_in, "resets accepted")                                                            \
	X(resets_out, "resets sent")                                                               \
	X(resets_ignored, "resets outside the window")                                             \
	X(zero_window_probes, "zero-window probes sent")                                           \
	X(keepalives, "keepalive probes sent")                                                     \
	X(time_wait, "TIME-WAIT entries made")                                                     \
	X(time_wait_evicted, "TIME-WAIT entries that made room for newer ones")                    \
	X(table_full, "connections refused because the table was full")                            \
	X(no_buffers, "segments delayed for lack of buffers")                                      \
	X(data_after_close, "bytes that arrived after the handle was released")

struct tcp_counters {
#define X(name, text) uint64_t name;
	TCP_COUNTERS(X)
#undef X
};

const struct tcp_counters *tcp_stack_counters(const struct tcp_stack *stack);

/* Connections that take a place in the table: all that live or whose handle was not
 * released. TIME-WAIT is not counted. */
uint32_t tcp_stack_connections(const struct tcp_stack *stack);
uint32_t tcp_stack_time_waits(const struct tcp_stack *stack);

#endif
