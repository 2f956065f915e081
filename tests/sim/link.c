/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/sim.h"

#include <stdlib.h>
#include <string.h>

#include <rte_ip.h>

static struct wire *
wire_new(struct host *from, struct host *to, const uint8_t *bytes, size_t len)
{
	struct wire *wire = malloc(sizeof(*wire) + len);

	if (wire == NULL)
		abort();
	*wire = (struct wire){.from = from, .to = to, .len = (uint32_t)len};
	memcpy(wire->bytes, bytes, len);
	return wire;
}

static uint64_t
digest(uint64_t state, const uint8_t *bytes, size_t len)
{
	for (size_t i = 0; i < len; i++)
		state = (state ^ bytes[i]) * 0x100000001b3ull;
	return state;
}

/* The router's ICMP error, as the gateway's net_input would hand it on. It comes back after
 * the link's delay. */
static void
send_too_big(struct sim *sim, struct host *from, struct host *to, const uint8_t *bytes, size_t len)
{
	const struct link *link = &sim->links[from->index][to->index];
	struct wire *wire = wire_new(to, from, bytes, len);

	wire->icmp_mtu = link->config.mtu;
	sim_trace_packet(sim, from, to, bytes, wire->len, "too big");
	sim_schedule(sim, sim->now + link->config.delay_us + 1, EVENT_ARRIVE, wire);
}

static void
mark_congestion(uint8_t *bytes)
{
	if (bytes[0] >> 4 == 6) {
		bytes[1] |= 0x30;
		return;
	}
	bytes[1] |= 3;
	bytes[10] = bytes[11] = 0;
	uint16_t sum = (uint16_t)~rte_raw_cksum(bytes, 20);

	memcpy(bytes + 10, &sum, 2);
}

static bool
ecn_capable(const uint8_t *bytes)
{
	return ((bytes[0] >> 4 == 6 ? bytes[1] >> 4 : bytes[1]) & 3) != 0;
}

/* When a packet that leaves at `departs` arrives. Jitter keeps the order; only the packets
 * chosen for it overtake or fall behind. */
static uint64_t
arrival(struct sim *sim, struct link *link, uint64_t departs)
{
	const struct link_config *c = &link->config;
	uint64_t at = departs + c->delay_us;

	if (c->jitter_us != 0)
		at += rng_between(&sim->rng, 0, c->jitter_us);
	if (rng_chance(&sim->rng, c->reorder))
		return at + rng_between(&sim->rng, 1, c->reorder_us);
	if (at < link->last_arrival)
		at = link->last_arrival;
	link->last_arrival = at;
	return at;
}

static void
deliver(struct sim *sim, struct link *link, struct host *from, struct host *to,
	const uint8_t *bytes, size_t len, uint64_t departs)
{
	struct wire *wire = wire_new(from, to, bytes, len);
	const char *what = "";

	if (rng_chance(&sim->rng, link->config.corrupt)) {
		size_t bit = rng_between(&sim->rng, 0, len * 8 - 1);

		what = "corrupted";
		sim_trace_packet(sim, from, to, bytes, (uint32_t)len, what);
		wire->bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	sim_schedule(sim, arrival(sim, link, departs), EVENT_ARRIVE, wire);
	if (*what == '\0')
		sim_trace_packet(sim, from, to, bytes, (uint32_t)len, what);
}

/* Two packets for one, the second beginning before the end of the first. */
static void
deliver_overlapping(struct sim *sim, struct link *link, struct host *from, struct host *to,
		    const uint8_t *bytes, uint64_t departs)
{
	uint8_t piece[SIM_MAX_PACKET];
	const uint8_t *payload;
	struct packet p;
	uint32_t len = (uint32_t)(bytes[0] >> 4 == 6 ? 40 + (bytes[4] << 8 | bytes[5])
						     : bytes[2] << 8 | bytes[3]);

	if (!packet_parse(bytes, len, &p) || p.payload_len < 2) {
		deliver(sim, link, from, to, bytes, len, departs);
		return;
	}
	payload = bytes + p.l3_len + p.l4_len;
	uint16_t end = (uint16_t)rng_between(&sim->rng, 1, p.payload_len);
	uint16_t begin = (uint16_t)rng_between(&sim->rng, 0, end);
	uint8_t flags = p.flags;

	p.flags = flags & ~(FIN | PSH);
	if (end == p.payload_len)
		p.flags = flags;
	deliver(sim, link, from, to, piece, packet_write(piece, &p, payload, end), departs);
	p.flags = flags;
	p.seq += begin;
	deliver(sim, link, from, to, piece,
		packet_write(piece, &p, payload + begin, (uint16_t)(p.payload_len - begin)),
		departs);
}

/* Queue, marking and loss. NULL: the packet goes on. */
static const char *
fate(struct sim *sim, struct link *link, uint8_t *bytes)
{
	const struct link_config *c = &link->config;
	uint64_t now_ns = sim->now * 1000;
	uint64_t backlog_us = link->free_ns > now_ns ? (link->free_ns - now_ns) / 1000 : 0;
	uint64_t backlog = backlog_us * c->bits_per_second / 8000000;

	if (sim->now - sim->start >= c->down_from && sim->now - sim->start < c->down_to)
		return "link down";
	if (c->queue_bytes != 0 && backlog > c->queue_bytes)
		return "queue full";
	if (c->marks_ecn && backlog > c->queue_bytes / 2 && ecn_capable(bytes))
		mark_congestion(bytes);
	return rng_chance(&sim->rng, c->loss) ? "lost" : NULL;
}

static void
transmit(struct sim *sim, struct host *from, struct host *to, struct rte_mbuf *m, uint8_t *bytes,
	 size_t len)
{
	struct link *link = &sim->links[from->index][to->index];
	const char *dropped = fate(sim, link, bytes);
	uint64_t begins = RTE_MAX(link->free_ns, sim->now * 1000);
	uint64_t ends = begins + (len + 18) * 8 * 1000000000 / link->config.bits_per_second;
	uint64_t departs = ends / 1000;
	struct wire *held = wire_new(from, to, bytes, len);

	link->packets++;
	if (dropped != NULL) {
		link->dropped++;
		departs = sim->now;
		sim_trace_packet(sim, from, to, bytes, (uint32_t)len, dropped);
	} else {
		link->free_ns = ends;
		if (rng_chance(&sim->rng, link->config.overlap))
			deliver_overlapping(sim, link, from, to, bytes, departs);
		else
			deliver(sim, link, from, to, bytes, len, departs);
		if (rng_chance(&sim->rng, link->config.duplicate))
			deliver(sim, link, from, to, bytes, len, departs);
	}
	held->sent = m;
	sim_schedule(sim, departs, EVENT_DEPART, held);
}

void
link_send(struct sim *sim, struct host *from, struct rte_mbuf *m)
{
	uint8_t bytes[SIM_MAX_PACKET];
	const char *why = NULL;
	struct packet p;
	size_t len = packet_transmit(m, bytes, sizeof(bytes), &why);

	if (len == 0 || !packet_parse(bytes, len, &p)) {
		sim_fail(sim, "h%u emitted a segment that breaks the contract: %s", from->index,
			 why);
		rte_pktmbuf_free(m);
		return;
	}
	struct host *to = host_by_address(sim, &p.dst);

	if (to == NULL || to == from || host_by_address(sim, &p.src) != from) {
		sim_fail(sim, "h%u emitted a segment with a wrong address", from->index);
		rte_pktmbuf_free(m);
		return;
	}
	uint16_t mtu = sim->links[from->index][to->index].config.mtu;

	sim->packets++;
	sim->digest = digest(sim->digest ^ sim->now, bytes, len);
	monitor_sent(sim, from, m, &p, mtu);
	if (len > mtu) {
		if (sim->links[from->index][to->index].config.tells_mtu)
			send_too_big(sim, from, to, bytes, len);
		else
			sim_trace_packet(sim, from, to, bytes, (uint32_t)len, "swallowed");
		rte_pktmbuf_free(m);
		return;
	}
	transmit(sim, from, to, m, bytes, len);
}

/* The device is done with the buffer; until then nobody may have changed it. */
void
link_departed(struct sim *sim, struct wire *wire)
{
	uint8_t bytes[SIM_MAX_PACKET];
	const char *why = NULL;
	size_t len = packet_transmit(wire->sent, bytes, sizeof(bytes), &why);
	uint8_t tos = wire->bytes[1];
	bool v4 = wire->bytes[0] >> 4 == 4;

	/* The network may have marked its copy. */
	bytes[1] = tos;
	if (v4)
		memcpy(bytes + 10, wire->bytes + 10, 2);
	if (len != wire->len || memcmp(bytes, wire->bytes, len) != 0)
		sim_fail(sim, "h%u changed a segment that its driver still holds",
			 wire->from->index);
	rte_pktmbuf_free(wire->sent);
	free(wire);
}
