/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/sim.h"

#include <stdlib.h>
#include <string.h>

#define FIRST_PORT 100 /* below every port that a stack chooses by itself */

/* --- drawing ------------------------------------------------------------------------------- */

static uint32_t
draw(struct sim *sim, uint64_t low, uint64_t high)
{
	return (uint32_t)rng_between(&sim->rng, low, high);
}

static bool
coin(struct sim *sim)
{
	return rng_chance(&sim->rng, 500000);
}

/* Small numbers as often as large ones. */
static uint32_t
draw_scale(struct sim *sim, uint32_t low, uint32_t high)
{
	uint32_t top = low;

	while (top < high && rng_chance(&sim->rng, 900000))
		top = top * 2 + 1;
	return draw(sim, low, top < high ? top : high);
}

static struct tcp_stack_config
stack_config(struct sim *sim)
{
	return (struct tcp_stack_config){
		.max_connections = 1024,
		.max_time_wait = 1024,
		.max_ooo_bytes = coin(sim) ? 1 << 20 : draw_scale(sim, 3000, 1 << 19),
		.header_pool = sim->pools->header,
		.indirect_pool = sim->pools->indirect,
	};
}

static void
add_hosts(struct sim *sim, unsigned int n, const struct tcp_stack_config *config)
{
	for (unsigned int i = 0; i < n; i++) {
		struct host *host = host_create(sim, config);

		host->poll_us = coin(sim) ? 0 : draw_scale(sim, 1, 3000);
		if (rng_chance(&sim->rng, 200000)) {
			host->stall = draw(sim, 100, 5000);
			host->stall_us = draw_scale(sim, 100, 200000);
		}
		host->rx_piece = coin(sim) ? 0 : (uint16_t)draw(sim, 16, 1024);
	}
}

/* A link that does no harm: from a switch to a satellite. */
static struct link_config
clean_link(struct sim *sim)
{
	static const struct {
		uint64_t rate;
		uint32_t delay_us;
	} kinds[] = {{10000000000, 20},  {1000000000, 50},  {1000000000, 5000}, {100000000, 500},
		     {100000000, 40000}, {20000000, 15000}, {2000000, 60000},   {10000000, 300000}};
	unsigned int kind = draw(sim, 0, sizeof(kinds) / sizeof(kinds[0]) - 1);

	return (struct link_config){
		.bits_per_second = kinds[kind].rate, .delay_us = kinds[kind].delay_us, .mtu = 1500};
}

static struct link_config
bad_link(struct sim *sim)
{
	struct link_config c = clean_link(sim);
	uint64_t bdp = c.bits_per_second / 8 * 2 * c.delay_us / 1000000;

	if (coin(sim))
		c.queue_bytes = draw_scale(sim, 5000, (uint32_t)RTE_MIN(bdp * 2 + 6000, 8000000u));
	if (coin(sim))
		c.jitter_us = draw_scale(sim, 1, c.delay_us);
	if (coin(sim))
		c.loss = draw_scale(sim, 500, 80000);
	if (rng_chance(&sim->rng, 400000)) {
		c.reorder = draw_scale(sim, 500, 200000);
		c.reorder_us = draw_scale(sim, 10, 20000 + c.delay_us);
	}
	if (rng_chance(&sim->rng, 300000))
		c.duplicate = draw_scale(sim, 500, 100000);
	if (rng_chance(&sim->rng, 300000))
		c.corrupt = draw_scale(sim, 500, 20000);
	if (rng_chance(&sim->rng, 200000))
		c.overlap = draw_scale(sim, 500, 300000);
	c.marks_ecn = c.queue_bytes != 0 && coin(sim);
	return c;
}

static void
set_links(struct sim *sim, struct link_config (*kind)(struct sim *sim))
{
	for (unsigned int a = 0; a < sim->n_hosts; a++) {
		for (unsigned int b = 0; b < a; b++) {
			struct link_config there = kind(sim), back = there;

			/* The way back fails in its own way now and then. */
			if (coin(sim)) {
				struct link_config other = kind(sim);

				back.loss = other.loss;
				back.corrupt = other.corrupt;
				back.overlap = other.overlap;
				back.reorder = other.reorder;
				back.reorder_us = other.reorder_us;
			}
			sim->links[a][b].config = there;
			sim->links[b][a].config = back;
		}
	}
}

static void
add_flows(struct sim *sim, unsigned int n)
{
	sim->flows = calloc(n, sizeof(*sim->flows));
	if (sim->flows == NULL)
		abort();
	sim->n_flows = n;
	for (unsigned int i = 0; i < n; i++) {
		unsigned int a = draw(sim, 0, sim->n_hosts - 1);
		unsigned int b = (a + draw(sim, 1, sim->n_hosts - 1)) % sim->n_hosts;

		flow_init(sim, &sim->flows[i], i, sim->hosts[a], sim->hosts[b], coin(sim));
	}
}

static void
draw_endpoint(struct sim *sim, struct endpoint *ep)
{
	ep->config.connect_timeout_ms = 200000;
	ep->config.user_timeout_ms = 900000;
	ep->config.room = coin(sim) ? 0 : draw_scale(sim, 2000, 1 << 20);
	ep->config.mss = coin(sim) ? 0 : (uint16_t)draw(sim, 200, 1440);
	ep->send_buffer = draw_scale(sim, 1, 1 << 20);
	ep->write_max = draw_scale(sim, 1, 100000);
	if (ep->to_send / 20 > ep->write_max)
		ep->write_max = (uint32_t)(ep->to_send / 20);
	if (ep->to_send / 50 > ep->send_buffer)
		ep->send_buffer = (uint32_t)(ep->to_send / 50);
	ep->early_send = coin(sim);
	ep->release_early = coin(sim);
}

static void
draw_flow(struct sim *sim, struct flow *flow, uint64_t up, uint64_t down)
{
	flow->client.to_send = flow->server.expects = up;
	flow->server.to_send = flow->client.expects = down;
	draw_endpoint(sim, &flow->client);
	draw_endpoint(sim, &flow->server);
}

static void
keep_alive(struct flow *flow)
{
	struct tcp_conn_config *configs[] = {&flow->client.config, &flow->server.config};

	for (unsigned int i = 0; i < 2; i++) {
		configs[i]->keepalive_idle_ms = 20000;
		configs[i]->keepalive_interval_ms = 5000;
		configs[i]->keepalive_probes = 6;
	}
}

static struct tcp_stack_config
setup(struct sim *sim, unsigned int hosts, unsigned int flows,
      struct link_config (*kind)(struct sim *sim))
{
	struct tcp_stack_config config = stack_config(sim);

	add_hosts(sim, hosts, &config);
	set_links(sim, kind);
	add_flows(sim, flows);
	return config;
}

/* --- scenarios ------------------------------------------------------------------------------ */

static void
bulk(struct sim *sim)
{
	setup(sim, 2, draw(sim, 1, 3), bad_link);
	for (unsigned int i = 0; i < sim->n_flows; i++)
		draw_flow(sim, &sim->flows[i], draw_scale(sim, 20000, 3000000), 0);
}

/* How long a transfer may take at most where nothing is in its way: three times what the
 * narrowest of link, receive buffer and send buffer needs, and the round trips of handshake
 * and slow start. A stack that waits for a timer by mistake is later. */
static uint64_t
fair_time(const struct link_config *link, const struct endpoint *from, const struct endpoint *to)
{
	uint64_t rtt = 2 * link->delay_us + 2000;
	uint64_t window = RTE_MIN(to->config.room, from->send_buffer);
	uint64_t segment = from->config.mss < to->config.mss ? from->config.mss : to->config.mss;
	uint64_t bits = from->to_send * 8 * (segment + 100) / segment;

	return 3 * (bits * 1000000 / link->bits_per_second + from->to_send / window * rtt) +
	       30 * rtt + 200000;
}

static void
unhindered(struct sim *sim)
{
	setup(sim, 2, 1, clean_link);
	struct flow *flow = &sim->flows[0];
	struct endpoint *ends[] = {&flow->client, &flow->server};

	draw_flow(sim, flow, draw_scale(sim, 1, 2000000),
		  coin(sim) ? 0 : draw_scale(sim, 1, 2000000));
	for (unsigned int i = 0; i < 2; i++) {
		sim->hosts[i]->poll_us = RTE_MIN(sim->hosts[i]->poll_us, 100u);
		sim->hosts[i]->stall = 0;
		ends[i]->config.mss = (uint16_t)draw(sim, 500, 1440);
		ends[i]->config.room = draw_scale(sim, 3000, 1 << 20);
		ends[i]->send_buffer = RTE_MAX(ends[i]->send_buffer, 3000u);
	}
	const struct link_config *link =
		&sim->links[flow->client.host->index][flow->server.host->index].config;

	flow->finish_by = sim->start + fair_time(link, &flow->client, &flow->server) +
			  fair_time(link, &flow->server, &flow->client);
	sim->lossless = true;
}

static void
duplex(struct sim *sim)
{
	setup(sim, 2, draw(sim, 1, 2), bad_link);
	for (unsigned int i = 0; i < sim->n_flows; i++)
		draw_flow(sim, &sim->flows[i], draw_scale(sim, 5000, 1500000),
			  draw_scale(sim, 5000, 1500000));
}

static void
half_close(struct sim *sim)
{
	setup(sim, 2, draw(sim, 1, 6), bad_link);
	for (unsigned int i = 0; i < sim->n_flows; i++) {
		struct flow *flow = &sim->flows[i];

		draw_flow(sim, flow, draw_scale(sim, 1, 300000), draw_scale(sim, 1, 300000));
		if (coin(sim))
			flow->client.close = CLOSE_AFTER_EOF;
		else
			flow->server.close = CLOSE_AFTER_EOF;
	}
}

static void
draw_slow_reader(struct sim *sim, struct endpoint *ep)
{
	ep->pauses = draw(sim, 1, 6);
	ep->pause_every = ep->expects / (ep->pauses + 1);
	ep->pause_us = draw_scale(sim, 1000, 90000000);
	if (rng_chance(&sim->rng, 300000))
		ep->trickle_us = draw_scale(sim, 100, 50000);
	ep->config.room = draw_scale(sim, 1500, 200000);
}

static void
slow_reader(struct sim *sim)
{
	setup(sim, 2, draw(sim, 1, 2), bad_link);
	for (unsigned int i = 0; i < sim->n_flows; i++) {
		struct flow *flow = &sim->flows[i];

		draw_flow(sim, flow, draw_scale(sim, 5000, 400000), draw_scale(sim, 1, 100000));
		draw_slow_reader(sim, &flow->server);
		if (coin(sim))
			draw_slow_reader(sim, &flow->client);
	}
}

static void
short_connections(struct sim *sim)
{
	setup(sim, draw(sim, 2, 4), draw(sim, 50, 200), bad_link);
	uint64_t spread = draw_scale(sim, 1000, 20000000);

	for (unsigned int i = 0; i < sim->n_flows; i++) {
		struct flow *flow = &sim->flows[i];

		draw_flow(sim, flow, coin(sim) ? 0 : draw_scale(sim, 1, 4000),
			  coin(sim) ? 0 : draw_scale(sim, 1, 4000));
		flow->start_at = sim->start + rng_between(&sim->rng, 0, spread);
	}
}

static void
draw_abort(struct sim *sim, struct flow *flow)
{
	struct endpoint *ep = coin(sim) ? &flow->client : &flow->server;

	ep->abort = (enum abort_mode)draw(sim, 1, ABORT_MODES - 1);
	ep->abort_at = draw_scale(sim, 0, 200000);
	flow->may_fail = true;
	keep_alive(flow);
}

static void
aborts(struct sim *sim)
{
	setup(sim, 2, draw(sim, 1, 10), bad_link);
	for (unsigned int i = 0; i < sim->n_flows; i++) {
		draw_flow(sim, &sim->flows[i], draw_scale(sim, 1, 200000),
			  draw_scale(sim, 1, 200000));
		draw_abort(sim, &sim->flows[i]);
		sim->flows[i].start_at = sim->start + rng_between(&sim->rng, 0, 100000);
	}
}

static void
make_simultaneous(struct sim *sim, struct flow *flow)
{
	flow->tuple.local_port = (uint16_t)(40000 + flow->index);
	flow->both_open = flow->server.opens = true;
	/* Nobody listens: a side that is late would refuse the other's SYN. */
	flow->client.host->stall = flow->server.host->stall = 0;
	flow->start_at = sim->start + rng_between(&sim->rng, 0, 100000);
}

static void
simultaneous_open(struct sim *sim)
{
	setup(sim, 2, draw(sim, 1, 8), bad_link);
	for (unsigned int i = 0; i < sim->n_flows; i++) {
		draw_flow(sim, &sim->flows[i], draw_scale(sim, 1, 60000),
			  draw_scale(sim, 1, 60000));
		make_simultaneous(sim, &sim->flows[i]);
	}
}

/* The same four numbers again and again. The server closes first and keeps the TIME-WAIT,
 * which the next SYN must get past (RFC 6191). */
static void
reuse(struct sim *sim)
{
	setup(sim, 2, draw(sim, 3, 12), clean_link);
	for (unsigned int i = 0; i < sim->n_flows; i++) {
		struct flow *flow = &sim->flows[i], *first = &sim->flows[0];

		if (i != 0) {
			flow->client.host = first->client.host;
			flow->server.host = first->server.host;
			flow->tuple = first->tuple;
			flow->after = &sim->flows[i - 1];
		}
		draw_flow(sim, flow, draw_scale(sim, 1, 20000), draw_scale(sim, 1, 20000));
		flow->tuple.local_port = 50000;
		flow->client.close = CLOSE_AFTER_EOF;
		flow->client.release_early = false;
		flow->server.release_early = false;
		flow->reuses = true;
	}
}

static void
scarce_buffers(struct sim *sim)
{
	struct tcp_stack_config config = stack_config(sim);

	if (coin(sim))
		config.header_pool = sim->pools->few_headers;
	else
		config.indirect_pool = sim->pools->few_indirects;
	add_hosts(sim, 2, &config);
	set_links(sim, bad_link);
	add_flows(sim, draw(sim, 1, 5));
	for (unsigned int i = 0; i < sim->n_flows; i++)
		draw_flow(sim, &sim->flows[i], draw_scale(sim, 1, 300000),
			  draw_scale(sim, 1, 300000));
}

static struct link_config
narrow_link(struct sim *sim)
{
	struct link_config c = coin(sim) ? clean_link(sim) : bad_link(sim);

	c.mtu = (uint16_t)draw(sim, 1280, 1499);
	c.tells_mtu = true;
	return c;
}

static void
path_mtu(struct sim *sim)
{
	setup(sim, 2, draw(sim, 1, 3), narrow_link);
	for (unsigned int i = 0; i < sim->n_flows; i++) {
		struct flow *flow = &sim->flows[i];

		draw_flow(sim, flow, draw_scale(sim, 1, 300000), draw_scale(sim, 1, 300000));
		flow->client.config.mss = flow->server.config.mss = 0;
	}
}

static void
full_table(struct sim *sim)
{
	struct tcp_stack_config config = stack_config(sim);

	config.max_connections = 16;
	config.max_time_wait = 16;
	add_hosts(sim, 2, &config);
	set_links(sim, bad_link);
	add_flows(sim, draw(sim, 20, 60));
	for (unsigned int i = 0; i < sim->n_flows; i++) {
		struct flow *flow = &sim->flows[i];

		draw_flow(sim, flow, draw_scale(sim, 1, 20000), draw_scale(sim, 1, 20000));
		flow->client.config.connect_timeout_ms = 30000;
		flow->may_fail = true;
		keep_alive(flow);
		flow->start_at = sim->start + rng_between(&sim->rng, 0, 60000000);
	}
}

static void
evicted_time_wait(struct sim *sim)
{
	struct tcp_stack_config config = stack_config(sim);

	config.max_time_wait = 16;
	add_hosts(sim, 2, &config);
	set_links(sim, bad_link);
	add_flows(sim, draw(sim, 40, 120));
	for (unsigned int i = 0; i < sim->n_flows; i++) {
		struct flow *flow = &sim->flows[i];

		draw_flow(sim, flow, draw_scale(sim, 1, 5000), draw_scale(sim, 1, 5000));
		flow->late_reset_ok = true;
		flow->start_at = sim->start + rng_between(&sim->rng, 0, 3000000);
	}
}

static struct link_config
failing_link(struct sim *sim)
{
	struct link_config c = bad_link(sim);

	c.down_from = rng_between(&sim->rng, 1, 5000000);
	c.down_to = c.down_from + draw_scale(sim, 10000, 60000000);
	return c;
}

static void
blackout(struct sim *sim)
{
	setup(sim, 2, draw(sim, 1, 4), failing_link);
	for (unsigned int i = 0; i < sim->n_flows; i++) {
		draw_flow(sim, &sim->flows[i], draw_scale(sim, 1, 1000000),
			  draw_scale(sim, 1, 1000000));
		sim->flows[i].start_at = sim->start + rng_between(&sim->rng, 0, 4000000);
		/* The peer's TIME-WAIT may be over before the last FIN gets through. */
		sim->flows[i].late_reset_ok = true;
	}
}

static struct link_config
any_link(struct sim *sim)
{
	switch (draw(sim, 0, 3)) {
	case 0:
		return clean_link(sim);
	case 1:
		return narrow_link(sim);
	default:
		return bad_link(sim);
	}
}

static void
mixed(struct sim *sim)
{
	setup(sim, draw(sim, 2, SIM_MAX_HOSTS), draw(sim, 3, 30), any_link);
	for (unsigned int i = 0; i < sim->n_flows; i++) {
		struct flow *flow = &sim->flows[i];

		draw_flow(sim, flow, draw_scale(sim, 1, 200000), draw_scale(sim, 1, 200000));
		flow->start_at = sim->start + rng_between(&sim->rng, 0, 5000000);
		switch (draw(sim, 0, 5)) {
		case 0:
			draw_abort(sim, flow);
			break;
		case 1:
			make_simultaneous(sim, flow);
			break;
		case 2:
			draw_slow_reader(sim, &flow->server);
			break;
		case 3:
			flow->server.close = CLOSE_AFTER_EOF;
			break;
		default:
			break;
		}
	}
}

/* 100 MB each way over a link that loses one packet in a hundred. */
static void
long_transfer(struct sim *sim)
{
	setup(sim, 2, 1, clean_link);
	draw_flow(sim, &sim->flows[0], 100000000, 100000000);
	for (unsigned int i = 0; i < 2; i++) {
		struct endpoint *ep = i == 0 ? &sim->flows[0].client : &sim->flows[0].server;

		sim->hosts[i]->stall = 0;
		ep->config.room = 1 << 20;
		ep->config.mss = 0;
		sim->links[i][!i].config = (struct link_config){.bits_per_second = 1000000000,
								.delay_us = 500,
								.jitter_us = 50,
								.loss = 10000,
								.mtu = 1500};
	}
}

static const struct scenario {
	const char *name;
	const char *text;
	void (*build)(struct sim *sim);
} scenarios[] = {
	{"bulk", "one direction, up to 3 MB", bulk},
	{"unhindered", "no losses: in fair time and without a retransmission", unhindered},
	{"duplex", "both directions at once", duplex},
	{"half-close", "one side goes on sending after the other's FIN", half_close},
	{"slow-reader", "the reader pauses, its window closes and opens", slow_reader},
	{"short", "many short connections, some without a byte", short_connections},
	{"abort", "aborts, releases with unread data and in mid-transfer", aborts},
	{"simultaneous-open", "both ends call tcp_connect()", simultaneous_open},
	{"reuse", "one tuple again and again, past TIME-WAIT", reuse},
	{"scarce-buffers", "pools of forty buffers", scarce_buffers},
	{"path-mtu", "a narrow link that says so by ICMP", path_mtu},
	{"full-table", "more connections than fit", full_table},
	{"evicted-time-wait", "more TIME-WAITs than fit", evicted_time_wait},
	{"blackout", "the link is down for up to a minute", blackout},
	{"mixed", "several hosts, everything at once", mixed},
	{"long", "100 MB each way, 1 % lost (only by name)", long_transfer},
};
#define N_SCENARIOS (sizeof(scenarios) / sizeof(scenarios[0]))
#define N_BY_SEED (N_SCENARIOS - 1)

const char *
scenario_name(unsigned int i, const char **text)
{
	if (i >= N_SCENARIOS)
		return NULL;
	*text = scenarios[i].text;
	return scenarios[i].name;
}

bool
scenario_build(struct sim *sim, const char *name)
{
	unsigned int i = (unsigned int)(sim->seed % N_BY_SEED);

	if (name != NULL) {
		for (i = 0; i < N_SCENARIOS && strcmp(scenarios[i].name, name) != 0; i++)
			;
		if (i == N_SCENARIOS)
			return false;
	}
	sim->scenario = scenarios[i].name;
	sim->first_port = FIRST_PORT;
	scenarios[i].build(sim);
	for (unsigned int h = 0; h < sim->n_hosts; h++)
		host_wake(sim->hosts[h], sim->now);
	return true;
}
