/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SIM_SIM_H
#define SIM_SIM_H

/*
 * A network of tcp_stacks in virtual time. One 64-bit seed decides everything: the
 * topology, what links do to packets, what applications do to connections and what the
 * stacks believe to be random. Nothing sleeps and nothing reads a clock.
 *
 *   sim.c       the event queue, failures, the trace
 *   link.c      what happens to a packet between two hosts
 *   host.c      a stack with its loop
 *   flow.c      one connection and the applications at its two ends
 *   monitor.c   rules that every packet on the wire must keep
 *   scenario.c  what is drawn from the seed
 */

#include <stdbool.h>
#include <stdint.h>

#include <rte_mempool.h>

#include "tcpstack/tcp.h"
#include "tests/sim/packet.h"
#include "tests/sim/rng.h"

#define SIM_MAX_HOSTS 8
#define SIM_RX_RING 512
#define SIM_MAX_PACKET 9216

struct sim;
struct host;
struct flow;

/* --- buffers, shared by all hosts and kept from one seed to the next ------------------- */

struct sim_pools {
	struct rte_mempool *rx, *payload, *header, *indirect;
	struct rte_mempool *few_headers, *few_indirects; /* for scenarios of scarcity */
};
void sim_pools_create(struct sim_pools *pools);
void sim_pools_free(struct sim_pools *pools);

/* --- links ------------------------------------------------------------------------------ */

/* One direction. Probabilities are per million packets, times in microseconds. */
struct link_config {
	uint64_t bits_per_second;
	uint32_t delay_us;
	uint32_t jitter_us;   /* added at random; keeps the order */
	uint32_t queue_bytes; /* what finds more than this waiting is dropped */
	uint32_t loss, reorder, duplicate, corrupt;
	uint32_t overlap;    /* a middlebox cuts it in two that share bytes */
	uint32_t reorder_us; /* a reordered packet is late by up to this */
	uint16_t mtu;
	bool tells_mtu;              /* ICMP too big comes back; else a black hole */
	bool marks_ecn;              /* CE instead of dropping when the queue is half full */
	uint64_t down_from, down_to; /* loses everything in this time */
};

struct link {
	struct link_config config;
	uint64_t free_ns;      /* the transmitter is busy until then, in nanoseconds */
	uint64_t last_arrival; /* of packets that keep their order */
	uint64_t packets, dropped;
};

/* Takes a segment from tcp_output() of `from`. */
void link_send(struct sim *sim, struct host *from, struct rte_mbuf *m);

/* A packet as bytes, on its way. `sent` is the transmitter's mbuf until it has left. */
struct wire {
	struct host *from, *to;
	struct rte_mbuf *sent;
	uint16_t icmp_mtu; /* not 0: this is the ICMP error about the packet */
	uint32_t len;
	uint8_t bytes[];
};
void link_departed(struct sim *sim, struct wire *wire);

/* --- hosts ------------------------------------------------------------------------------ */

struct host {
	struct sim *sim;
	unsigned int index;
	struct tcp_stack *stack;
	struct in6_addr v4, v6;
	struct rng random; /* the stack's */
	struct rte_mbuf *rx[SIM_RX_RING];
	unsigned int n_rx;
	uint64_t wake_at;    /* earliest wake that is scheduled; UINT64_MAX: none */
	uint64_t no_buffers; /* the counter's last value */
	uint32_t poll_us;    /* a wake comes late by up to this, so that bursts form */
	uint32_t stall;      /* per million turns: the loop stands still for a while */
	uint32_t stall_us;
	uint16_t rx_piece; /* 0, or the size of the buffers that the NIC scatters to */
	uint32_t idle_turns;
};

struct host *host_create(struct sim *sim, const struct tcp_stack_config *config);
void host_destroy(struct host *host);
void host_wake(struct host *host, uint64_t at);
void host_turn(struct host *host);
void host_receive(struct host *host, struct wire *wire);
struct host *host_by_address(struct sim *sim, const struct in6_addr *address);

/* --- flows ------------------------------------------------------------------------------ */

enum close_mode {
	CLOSE_WHEN_SENT, /* shut down as soon as all is queued */
	CLOSE_AFTER_EOF, /* only when the peer's EOF has come */
};

enum abort_mode {
	ABORT_NEVER,
	ABORT_CALL,    /* tcp_abort() */
	ABORT_UNREAD,  /* released with bytes that were never taken */
	ABORT_RELEASE, /* released while the peer still sends */
	ABORT_MODES,
};

/* One end of a connection and its application. */
struct endpoint {
	struct flow *flow;
	struct host *host;
	struct tcp_conn *conn;
	struct tcp_conn_config config;
	bool opens; /* calls tcp_connect() */

	/* What it does, drawn from the seed. */
	uint64_t to_send, expects;
	uint64_t key_out, key_in; /* of the payload */
	uint32_t send_buffer;     /* keeps tcp_unacked() below */
	uint32_t write_max;       /* bytes of one tcp_send() */
	bool early_send;          /* queues before the handshake is complete */
	bool release_early;       /* does not wait for TCP_EV_CLOSED */
	enum close_mode close;
	enum abort_mode abort;
	uint64_t abort_at;    /* bytes sent and received */
	uint32_t pauses;      /* how often the reader stops */
	uint64_t pause_every; /* bytes between */
	uint32_t pause_us;
	uint32_t trickle_us; /* not 0: reads a little, this often */

	/* How far it is. */
	uint64_t queued, received, paused_at;
	uint64_t resume_at; /* the reader sleeps until then; 0: it is awake */
	uint64_t room_edge; /* bytes that the peer may have sent at most */
	bool started, connected, eof, shut, closed, failed, done;
	int error;
};

struct flow {
	struct sim *sim;
	unsigned int index;
	uint64_t start_at;
	struct tcp_tuple tuple; /* the client's view; local_port 0: the stack's choice */
	struct endpoint client, server;
	struct flow *after; /* starts when this one is over (reuse of a tuple) */
	bool both_open;     /* simultaneous open */
	bool may_fail;      /* an abort or a full table is part of the plan */
	bool late_reset_ok; /* TIME-WAIT may be evicted: the last FIN may meet a RST */
	bool reuses;        /* the same tuple lives several times */
	uint64_t finish_by; /* both ends have all bytes then; 0: no hurry */
	unsigned int extra_accepts;
	struct monitor_side {
		bool seen, fin, scaled_known;
		uint32_t isn, snd_max, ack_max, edge_sent, edge_known;
		bool ack_seen, edge_seen, edge_known_seen;
		uint8_t wscale;
		uint16_t mss;
	} wire[2]; /* [0] what the client sends */
};

void flow_init(struct sim *sim, struct flow *flow, unsigned int index, struct host *client,
	       struct host *server, bool v6);
bool flow_over(const struct flow *flow);
struct flow *flow_by_port(struct sim *sim, uint16_t server_port);
/* What a SYN to `port` of this host shall get: NULL: refuse. */
struct endpoint *flow_listener(struct host *host, uint16_t port);

void endpoint_open(struct endpoint *ep);
void endpoint_accepted(struct endpoint *ep, struct tcp_conn *conn);
void endpoint_event(struct endpoint *ep, uint32_t bits);
void endpoint_run(struct endpoint *ep);
void endpoint_check(struct endpoint *ep);

/* --- the wire's rules --------------------------------------------------------------------- */

/* Called for what leaves a stack, and for what reaches one. */
void monitor_sent(struct sim *sim, struct host *from, const struct rte_mbuf *m,
		  const struct packet *p, uint16_t mtu);
void monitor_arrived(struct sim *sim, const struct packet *p);

/* --- the whole ------------------------------------------------------------------------------ */

enum event_kind {
	EVENT_WAKE,
	EVENT_DEPART,
	EVENT_ARRIVE,
};

struct event {
	uint64_t at, order;
	enum event_kind kind;
	void *what;
};

struct sim {
	uint64_t seed;
	uint64_t now, start;
	struct rng rng;
	struct sim_pools *pools;
	const char *scenario;
	bool trace;
	bool lossless; /* nothing may be retransmitted */

	struct event *events; /* a heap */
	unsigned int n_events, room_events;
	uint64_t order;

	struct host *hosts[SIM_MAX_HOSTS];
	unsigned int n_hosts;
	struct link links[SIM_MAX_HOSTS][SIM_MAX_HOSTS]; /* [from][to] */
	struct flow *flows;
	unsigned int n_flows;
	uint16_t first_port; /* flow i is served on first_port + i */

	bool failed;
	char why[400];
	uint64_t steps, packets, bytes; /* bytes: verified by a sink */
	uint64_t digest;                /* of all packets: the same for the same seed */
};

/* The first failure is kept and ends the run. */
void sim_fail(struct sim *sim, const char *format, ...) __attribute__((format(printf, 2, 3)));
void sim_schedule(struct sim *sim, uint64_t at, enum event_kind kind, void *what);
void sim_trace(struct sim *sim, const char *format, ...) __attribute__((format(printf, 2, 3)));
void sim_trace_packet(struct sim *sim, const struct host *from, const struct host *to,
		      const uint8_t *bytes, uint32_t len, const char *what);

struct sim_result {
	bool ok;
	char why[400];
	const char *scenario;
	uint64_t virtual_us, steps, packets, bytes, digest;
};

/* Plays one seed. `scenario` NULL: the seed chooses. Returns false when the name is unknown. */
bool sim_play(struct sim_pools *pools, uint64_t seed, const char *scenario, bool trace,
	      struct sim_result *result);

/* Fills hosts, links and flows. False: no such scenario. */
bool scenario_build(struct sim *sim, const char *name);
/* The i-th scenario's name and description; NULL: there are no more. */
const char *scenario_name(unsigned int i, const char **text);

#endif
