/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/sim.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/checked_pool.h"

/* A simulation that has not ended by then never will: user timeouts, backed-off
 * retransmissions and TIME-WAIT are all far shorter. */
#define MAX_VIRTUAL_US (4ull * 3600 * 1000000)
#define MAX_STEPS 20000000ull

void
sim_pools_create(struct sim_pools *pools)
{
	pools->rx = checked_pool_create("rx", 16383, 2048);
	pools->payload = checked_pool_create("payload", 16383, 2048);
	pools->header = checked_pool_create("header", 8191, 128);
	pools->indirect = checked_pool_create("indirect", 16383, 0);
	pools->few_headers = checked_pool_create("few_headers", 40, 128);
	pools->few_indirects = checked_pool_create("few_indirects", 48, 0);
}

void
sim_pools_free(struct sim_pools *pools)
{
	checked_pool_free(pools->rx);
	checked_pool_free(pools->payload);
	checked_pool_free(pools->header);
	checked_pool_free(pools->indirect);
	checked_pool_free(pools->few_headers);
	checked_pool_free(pools->few_indirects);
}

static const char *
missing_buffers(const struct sim_pools *pools)
{
	const struct rte_mempool *const all[] = {pools->rx,          pools->payload,
						 pools->header,      pools->indirect,
						 pools->few_headers, pools->few_indirects};

	for (unsigned int i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		if (rte_mempool_avail_count(all[i]) != all[i]->size)
			return all[i]->name;
	}
	return NULL;
}

/* --- failures and the trace ------------------------------------------------------------- */

void
sim_fail(struct sim *sim, const char *format, ...)
{
	va_list args;

	if (sim->failed)
		return;
	sim->failed = true;
	int n = snprintf(sim->why, sizeof(sim->why),
			 "at %.6f s: ", (double)(sim->now - sim->start) / 1e6);
	va_start(args, format);
	vsnprintf(sim->why + n, sizeof(sim->why) - (size_t)n, format, args);
	va_end(args);
	sim_trace(sim, "FAILED: %s", sim->why);
}

void
sim_trace(struct sim *sim, const char *format, ...)
{
	va_list args;

	if (!sim->trace)
		return;
	printf("%12.6f ", (double)(sim->now - sim->start) / 1e6);
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	putchar('\n');
}

/* Sequence numbers are printed relative to the flow's initial ones, as people read them. */
static void
make_relative(struct sim *sim, struct packet *p)
{
	struct flow *to = flow_by_port(sim, p->dport), *of = flow_by_port(sim, p->sport);
	struct flow *flow = to != NULL ? to : of;
	int side = to != NULL ? 0 : 1;

	if (flow == NULL)
		return;
	p->seq -= flow->wire[side].isn;
	if (p->flags & ACK)
		p->ack -= flow->wire[!side].isn;
	for (unsigned int i = 0; i < p->n_sack; i++) {
		p->sack[i].left -= flow->wire[!side].isn;
		p->sack[i].right -= flow->wire[!side].isn;
	}
}

void
sim_trace_packet(struct sim *sim, const struct host *from, const struct host *to,
		 const uint8_t *bytes, uint32_t len, const char *what)
{
	struct packet p;
	char text[300];

	if (!sim->trace || !packet_parse(bytes, len, &p))
		return;
	make_relative(sim, &p);
	packet_print(&p, text, sizeof(text));
	sim_trace(sim, "h%u>h%u %-9s %s", from->index, to->index, what, text);
}

/* --- the event queue ----------------------------------------------------------------------- */

static bool
sooner(const struct event *a, const struct event *b)
{
	return a->at < b->at || (a->at == b->at && a->order < b->order);
}

static void
swap(struct event *a, struct event *b)
{
	struct event t = *a;

	*a = *b;
	*b = t;
}

void
sim_schedule(struct sim *sim, uint64_t at, enum event_kind kind, void *what)
{
	if (sim->n_events == sim->room_events) {
		sim->room_events = sim->room_events == 0 ? 256 : sim->room_events * 2;
		sim->events = realloc(sim->events, sim->room_events * sizeof(*sim->events));
		if (sim->events == NULL)
			abort();
	}
	unsigned int i = sim->n_events++;

	sim->events[i] = (struct event){at, sim->order++, kind, what};
	while (i > 0 && sooner(&sim->events[i], &sim->events[(i - 1) / 2])) {
		swap(&sim->events[i], &sim->events[(i - 1) / 2]);
		i = (i - 1) / 2;
	}
}

static struct event
next_event(struct sim *sim)
{
	struct event first = sim->events[0];
	unsigned int i = 0;

	sim->events[0] = sim->events[--sim->n_events];
	for (;;) {
		unsigned int child = 2 * i + 1;

		if (child >= sim->n_events)
			break;
		if (child + 1 < sim->n_events &&
		    sooner(&sim->events[child + 1], &sim->events[child]))
			child++;
		if (!sooner(&sim->events[child], &sim->events[i]))
			break;
		swap(&sim->events[child], &sim->events[i]);
		i = child;
	}
	return first;
}

static void
handle(struct sim *sim, const struct event *event)
{
	struct host *host = event->what;

	switch (event->kind) {
	case EVENT_WAKE:
		/* A wake that was superseded by an earlier one has nothing to do. */
		if (host->wake_at == event->at)
			host_turn(host);
		break;
	case EVENT_DEPART:
		link_departed(sim, event->what);
		break;
	case EVENT_ARRIVE:
		host_receive(((struct wire *)event->what)->to, event->what);
		free(event->what);
		break;
	}
}

/* --- a run ----------------------------------------------------------------------------------- */

static bool
all_over(const struct sim *sim)
{
	for (unsigned int i = 0; i < sim->n_flows; i++) {
		if (!flow_over(&sim->flows[i]))
			return false;
	}
	for (unsigned int i = 0; i < sim->n_hosts; i++) {
		if (tcp_stack_connections(sim->hosts[i]->stack) != 0 ||
		    tcp_stack_time_waits(sim->hosts[i]->stack) != 0)
			return false;
	}
	return true;
}

static void
fail_unfinished(struct sim *sim, const char *what)
{
	char text[300] = "";
	size_t n = 0;

	for (unsigned int i = 0; i < sim->n_flows && n < sizeof(text); i++) {
		const struct flow *f = &sim->flows[i];
		const struct endpoint *c = &f->client, *s = &f->server;

		if (flow_over(f))
			continue;
		n += (size_t)snprintf(text + n, sizeof(text) - n,
				      "; flow %u: client %s got %lu/%lu, server %s "
				      "got %lu/%lu",
				      i,
				      c->done           ? "done"
				      : c->conn == NULL ? "not open"
							: tcp_state_name(tcp_conn_state(c->conn)),
				      c->received, c->expects,
				      s->done           ? "done"
				      : s->conn == NULL ? "not open"
							: tcp_state_name(tcp_conn_state(s->conn)),
				      s->received, s->expects);
	}
	for (unsigned int i = 0; i < sim->n_hosts && n < sizeof(text); i++)
		n += (size_t)snprintf(text + n, sizeof(text) - n,
				      "; h%u: %u connections, %u time-waits", i,
				      tcp_stack_connections(sim->hosts[i]->stack),
				      tcp_stack_time_waits(sim->hosts[i]->stack));
	sim_fail(sim, "%s%s", what, text);
}

static void
run(struct sim *sim)
{
	while (!sim->failed) {
		if (sim->n_events == 0) {
			if (!all_over(sim))
				fail_unfinished(sim, "nothing is due any more");
			return;
		}
		struct event event = next_event(sim);

		sim->now = event.at;
		if (sim->now - sim->start > MAX_VIRTUAL_US)
			fail_unfinished(sim, "no end in sight");
		if (++sim->steps > MAX_STEPS)
			fail_unfinished(sim, "too many steps");
		handle(sim, &event);
	}
}

/* What is on the way when a run ends in failure. */
static void
drop_events(struct sim *sim)
{
	while (sim->n_events > 0) {
		struct event event = next_event(sim);

		if (event.kind == EVENT_WAKE)
			continue;
		if (event.kind == EVENT_DEPART)
			rte_pktmbuf_free(((struct wire *)event.what)->sent);
		free(event.what);
	}
	free(sim->events);
}

static void
judge(struct sim *sim)
{
	for (unsigned int i = 0; i < sim->n_flows && !sim->failed; i++) {
		endpoint_check(&sim->flows[i].client);
		endpoint_check(&sim->flows[i].server);
	}
	for (unsigned int i = 0; i < sim->n_hosts && sim->lossless; i++) {
		uint64_t n = tcp_stack_counters(sim->hosts[i]->stack)->retransmits;

		if (n != 0)
			sim_fail(sim, "h%u retransmitted %lu segments, but nothing was lost", i, n);
	}
	for (unsigned int i = 0; i < sim->n_hosts && !sim->failed; i++) {
		if (tcp_next_timer(sim->hosts[i]->stack) != UINT64_MAX)
			sim_fail(sim, "h%u has no connection and still wants a timer", i);
	}
	const char *pool = sim->failed ? NULL : missing_buffers(sim->pools);

	if (pool != NULL)
		sim_fail(sim, "buffers of pool %s are missing while all connections are gone",
			 pool);
}

/* Time starts near the places where 32-bit clocks of micro- and milliseconds wrap, too. */
static uint64_t
starting_time(struct rng *rng)
{
	switch (rng_between(rng, 0, 3)) {
	case 0:
		return (1ull << 32) - rng_between(rng, 0, 3000000);
	case 1:
		return (1ull << 32) * 1000 - rng_between(rng, 0, 3000000);
	case 2:
		return (1ull << 31) * 1000 - rng_between(rng, 0, 3000000);
	default:
		return rng_between(rng, 1, 1000000000);
	}
}

bool
sim_play(struct sim_pools *pools, uint64_t seed, const char *scenario, bool trace,
	 struct sim_result *result)
{
	struct sim sim = {.seed = seed, .trace = trace, .pools = pools};

	sim.rng.state = rng_mix(seed ^ 0x706f727463756c6cull);
	sim.now = sim.start = starting_time(&sim.rng);
	if (!scenario_build(&sim, scenario))
		return false;
	run(&sim);
	if (!sim.failed)
		judge(&sim);
	drop_events(&sim);
	for (unsigned int i = 0; i < sim.n_hosts; i++)
		host_destroy(sim.hosts[i]);
	const char *pool = missing_buffers(pools);

	if (pool != NULL) {
		sim_fail(&sim, "buffers of pool %s are missing after tcp_stack_destroy()", pool);
		sim_pools_free(pools);
		sim_pools_create(pools);
	}
	free(sim.flows);
	*result = (struct sim_result){.ok = !sim.failed,
				      .scenario = sim.scenario,
				      .virtual_us = sim.now - sim.start,
				      .steps = sim.steps,
				      .packets = sim.packets,
				      .bytes = sim.bytes,
				      .digest = sim.digest};
	memcpy(result->why, sim.why, sizeof(result->why));
	return true;
}
