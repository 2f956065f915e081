/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/sim.h"

#include <stdlib.h>
#include <string.h>

#define BURST 32
/* Turns in a row at the same instant that the stack may ask for. */
#define MAX_IDLE_TURNS 1000

struct host *
host_create(struct sim *sim, const struct tcp_stack_config *config)
{
	struct host *host = calloc(1, sizeof(*host));
	int error = 0;

	if (host == NULL || sim->n_hosts == SIM_MAX_HOSTS)
		abort();
	host->sim = sim;
	host->index = sim->n_hosts;
	host->v4 = packet_v4(10, 0, 0, (uint8_t)(host->index + 1));
	host->v6 = packet_v6((uint16_t)(host->index + 1));
	host->wake_at = UINT64_MAX;
	host->random.state = rng_next(&sim->rng);
	struct tcp_stack_config own = *config;

	own.ecn = (enum tcp_ecn)rng_between(&sim->rng, TCP_ECN_PASSIVE, TCP_ECN_ON);
	own.random = rng_fill;
	own.random_ctx = &host->random;
	own.socket_id = SOCKET_ID_ANY;
	host->stack = tcp_stack_create(&own, &error);
	if (host->stack == NULL)
		abort();
	sim->hosts[sim->n_hosts++] = host;
	return host;
}

void
host_destroy(struct host *host)
{
	for (unsigned int i = 0; i < host->n_rx; i++)
		rte_pktmbuf_free(host->rx[i]);
	tcp_stack_destroy(host->stack);
	free(host);
}

struct host *
host_by_address(struct sim *sim, const struct in6_addr *address)
{
	for (unsigned int i = 0; i < sim->n_hosts; i++) {
		struct host *host = sim->hosts[i];

		if (memcmp(&host->v4, address, sizeof(*address)) == 0 ||
		    memcmp(&host->v6, address, sizeof(*address)) == 0)
			return host;
	}
	return NULL;
}

void
host_wake(struct host *host, uint64_t at)
{
	if (at < host->sim->now)
		at = host->sim->now;
	if (at >= host->wake_at)
		return;
	host->wake_at = at;
	sim_schedule(host->sim, at, EVENT_WAKE, host);
}

static void
icmp_too_big(struct host *host, const struct wire *wire, const struct packet *p)
{
	struct tcp_tuple tuple = {
		.local = p->src, .remote = p->dst, .local_port = p->sport, .remote_port = p->dport};

	tcp_icmp_error(host->stack, &tuple, p->seq, TCP_ICMP_TOO_BIG, wire->icmp_mtu,
		       host->sim->now);
}

/* What a NIC and net_input do: verify, drop what is broken, hand on the rest. */
void
host_receive(struct host *host, struct wire *wire)
{
	struct sim *sim = host->sim;
	struct packet p;

	host_wake(host, sim->now + (host->poll_us ? rng_between(&sim->rng, 0, host->poll_us) : 0));
	if (!packet_parse(wire->bytes, wire->len, &p))
		return;
	if (wire->icmp_mtu != 0) {
		icmp_too_big(host, wire, &p);
		return;
	}
	if (host_by_address(sim, &p.dst) != host)
		return;
	if (host->n_rx == SIM_RX_RING) {
		sim_trace_packet(sim, wire->from, host, wire->bytes, wire->len, "ring full");
		return;
	}
	struct rte_mbuf *m = packet_to_mbuf(sim->pools->rx, wire->bytes, wire->len, host->rx_piece);

	if (m == NULL) {
		sim_trace_packet(sim, wire->from, host, wire->bytes, wire->len, "no rx buf");
		return;
	}
	monitor_arrived(sim, &p);
	host->rx[host->n_rx++] = m;
}

/* --- one turn ---------------------------------------------------------------------------- */

static void
take_stranger(struct host *host, struct rte_mbuf *m)
{
	struct sim *sim = host->sim;
	struct tcp_tuple tuple;
	uint8_t flags = 0;
	struct tcp_conn *conn = NULL;

	if (!tcp_peek(m, &tuple, &flags)) {
		sim_fail(sim, "tcp_peek() does not read a stranger with a whole header");
		rte_pktmbuf_free(m);
		return;
	}
	struct endpoint *ep = NULL;

	if ((flags & (SYN | ACK | RST | FIN)) == SYN || tcp_is_cookie(host->stack, m, sim->now))
		ep = flow_listener(host, tuple.local_port);
	if (ep == NULL) {
		tcp_refuse(host->stack, m, sim->now);
		return;
	}
	int rc = tcp_accept(host->stack, m, sim->now, &ep->config, &conn);

	if (rc == TCP_OK) {
		endpoint_accepted(ep, conn);
	} else if (rc == TCP_E_COOKIE) {
		sim_trace(sim, "h%u answers with a cookie", host->index);
	} else if (rc == TCP_E_IN_USE) {
		/* The second copy of a SYN in one burst. */
		tcp_refuse(host->stack, m, sim->now);
	} else if (rc == TCP_E_NO_MEMORY) {
		sim_trace(sim, "h%u is full", host->index);
		rte_pktmbuf_free(m);
	} else {
		sim_fail(sim, "tcp_accept() of a SYN: %s", tcp_strerror(rc));
		rte_pktmbuf_free(m);
	}
}

static void
input(struct host *host)
{
	struct rte_mbuf *strangers[SIM_RX_RING];
	unsigned int done = 0;

	while (done < host->n_rx) {
		uint16_t n = (uint16_t)RTE_MIN(host->n_rx - done, (unsigned int)BURST);
		uint16_t back =
			tcp_input(host->stack, host->rx + done, n, host->sim->now, strangers);

		done += n;
		for (uint16_t i = 0; i < back; i++)
			take_stranger(host, strangers[i]);
	}
	host->n_rx = 0;
}

static void
deliver_events(struct host *host)
{
	struct tcp_event events[16];
	uint16_t n;

	do {
		n = tcp_events(host->stack, events, RTE_DIM(events));
		for (uint16_t i = 0; i < n; i++) {
			struct endpoint *ep = tcp_user(events[i].conn);

			if (ep != NULL && events[i].conn == ep->conn)
				endpoint_event(ep, events[i].bits);
			else if (ep != NULL)
				sim_fail(host->sim, "an event for a released connection");
		}
	} while (n == RTE_DIM(events) && !host->sim->failed);
}

static void
output(struct host *host)
{
	struct rte_mbuf *out[BURST];
	uint16_t n, max;

	do {
		max = (uint16_t)rng_between(&host->sim->rng, 1, BURST);
		n = tcp_output(host->stack, host->sim->now, out, max);
		for (uint16_t i = 0; i < n; i++)
			link_send(host->sim, host, out[i]);
	} while (n == max && !host->sim->failed);
}

/* Runs the applications; returns when the next of them wants to be called. */
static uint64_t
run_applications(struct host *host)
{
	struct sim *sim = host->sim;
	uint64_t next = UINT64_MAX;

	for (unsigned int i = 0; i < sim->n_flows && !sim->failed; i++) {
		struct flow *flow = &sim->flows[i];
		struct endpoint *ends[] = {&flow->client, &flow->server};

		if (flow->client.host != host && flow->server.host != host)
			continue;
		for (unsigned int e = 0; e < 2; e++) {
			struct endpoint *ep = ends[e];

			if (ep->host != host || ep->done)
				continue;
			if (ep->opens && !ep->started) {
				if (flow->after != NULL && !flow_over(flow->after))
					continue;
				if (flow->start_at <= sim->now)
					endpoint_open(ep);
				else
					next = RTE_MIN(next, flow->start_at);
			} else if (ep->resume_at != 0 && ep->resume_at <= sim->now) {
				endpoint_run(ep);
			}
			if (ep->resume_at > sim->now)
				next = RTE_MIN(next, ep->resume_at);
		}
	}
	return next;
}

/* A stack whose timer is always due but does nothing would spin its worker. */
static void
check_progress(struct host *host, uint64_t next)
{
	if (next > host->sim->now) {
		host->idle_turns = 0;
	} else if (++host->idle_turns > MAX_IDLE_TURNS) {
		sim_fail(host->sim, "h%u: tcp_next_timer() stays in the past", host->index);
	}
}

static void
schedule_next_turn(struct host *host, uint64_t apps)
{
	struct sim *sim = host->sim;
	uint64_t timer = tcp_next_timer(host->stack);
	const struct tcp_counters *counters = tcp_stack_counters(host->stack);

	check_progress(host, timer);
	if (timer != UINT64_MAX)
		host_wake(host, timer);
	if (apps != UINT64_MAX)
		host_wake(host, apps);
	if (counters->no_buffers != host->no_buffers) {
		host->no_buffers = counters->no_buffers;
		host_wake(host, sim->now + 300);
	}
}

void
host_turn(struct host *host)
{
	struct sim *sim = host->sim;

	host->wake_at = UINT64_MAX;
	if (rng_chance(&sim->rng, host->stall)) {
		host_wake(host, sim->now + rng_between(&sim->rng, 1, host->stall_us));
		return;
	}
	input(host);
	tcp_timers(host->stack, sim->now);
	deliver_events(host);
	uint64_t apps = run_applications(host);

	output(host);
	/* Applications may have been given news by what the turn itself did. */
	deliver_events(host);
	output(host);
	schedule_next_turn(host, apps);
}
