/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/sim.h"

#include <string.h>

/* Which of the flow's directions a packet belongs to; NULL: none (a stranger's). */
static struct monitor_side *
side_of(struct sim *sim, const struct packet *p, struct flow **flow, struct monitor_side **back)
{
	struct flow *f = flow_by_port(sim, p->dport);
	int side = 0;

	if (f == NULL || memcmp(&f->tuple.local, &p->src, 16) != 0) {
		f = flow_by_port(sim, p->sport);
		side = 1;
	}
	if (f == NULL)
		return NULL;
	*flow = f;
	*back = &f->wire[!side];
	return &f->wire[side];
}

static uint32_t
seq_len(const struct packet *p)
{
	return p->payload_len + ((p->flags & SYN) != 0) + ((p->flags & FIN) != 0);
}

static bool
after(uint32_t a, uint32_t b)
{
	return (int32_t)(a - b) > 0;
}

/* The window field counts in units of 2^wscale, except in a SYN. Scaling holds only when both
 * SYNs carried the option (RFC 7323 section 2.2). */
static uint32_t
right_edge(const struct packet *p, const struct monitor_side *self, const struct monitor_side *peer)
{
	bool scaled = self->scaled_known && peer->scaled_known && (p->flags & SYN) == 0;

	return p->ack + ((uint32_t)p->wnd << (scaled ? self->wscale : 0));
}

static void
note_syn(struct monitor_side *self, const struct packet *p)
{
	if (self->seen && self->isn == p->seq)
		return;
	memset(self, 0, sizeof(*self));
	self->seen = true;
	self->isn = self->snd_max = p->seq;
	self->scaled_known = p->wscale >= 0;
	self->wscale = p->wscale >= 0 ? (uint8_t)p->wscale : 0;
	self->mss = p->mss != 0 ? p->mss : p->is_v6 ? 1220 : 536;
}

/* Old incarnations and half-open twins make the numbers of one flow meaningless. */
static bool
numbers_hold(const struct flow *flow)
{
	return !flow->reuses && flow->extra_accepts == 0;
}

static void
check_size(struct sim *sim, const struct flow *flow, const struct packet *p,
	   const struct monitor_side *peer)
{
	if ((p->flags & SYN) || p->payload_len == 0)
		return;
	if (peer->seen && p->payload_len + p->opts_len > peer->mss)
		sim_fail(sim,
			 "flow %u: %u bytes of payload and %u of options, but the peer's MSS "
			 "is %u",
			 flow->index, p->payload_len, p->opts_len, peer->mss);
}

/* RFC 9293 section 3.8.6: what was promised is not taken back; RFC 7323 section 2.4: but for
 * what scaling rounds off. */
static void
check_own_edge(struct sim *sim, const struct flow *flow, const struct packet *p,
	       struct monitor_side *self, const struct monitor_side *peer)
{
	uint32_t edge = right_edge(p, self, peer);
	const struct endpoint *ep = self == &flow->wire[0] ? &flow->client : &flow->server;

	/* After the peer's FIN nothing more can come, after a release nothing is taken. */
	if (ep->eof || ep->done || peer->fin)
		return;
	if (self->edge_seen && after(self->edge_sent, edge + (1u << self->wscale) - 1))
		sim_fail(sim, "flow %u: the %s's window moved back by %u", flow->index,
			 ep == &flow->client ? "client" : "server", self->edge_sent - edge);
	if (!self->edge_seen || after(edge, self->edge_sent))
		self->edge_sent = edge;
	self->edge_seen = true;
}

static void
check_acknowledges(struct sim *sim, const struct flow *flow, const struct packet *p,
		   struct monitor_side *self, const struct monitor_side *peer)
{
	if (peer->seen && after(p->ack, peer->snd_max))
		sim_fail(sim, "flow %u: acknowledges %u bytes that were never sent", flow->index,
			 p->ack - peer->snd_max);
	if (self->ack_seen && after(self->ack_max, p->ack))
		sim_fail(sim, "flow %u: the acknowledgement moved back by %u", flow->index,
			 self->ack_max - p->ack);
	self->ack_max = p->ack;
	self->ack_seen = true;
}

/* One byte or a FIN may go beyond the window, to probe it. */
static void
check_peer_window(struct sim *sim, const struct flow *flow, const struct packet *p,
		  const struct monitor_side *self)
{
	uint32_t end = p->seq + seq_len(p);

	if (self->edge_known_seen && (p->flags & SYN) == 0 && after(end, self->edge_known + 1))
		sim_fail(sim, "flow %u: sends %u bytes beyond the peer's window", flow->index,
			 end - self->edge_known);
}

static void
check_path(struct sim *sim, const struct flow *flow, const struct packet *p,
	   const struct rte_mbuf *m, bool client)
{
	uint32_t path = tcp_segment_path(m);
	uint32_t wanted = client ? flow->client.config.path : flow->server.config.path;

	if (path == wanted || (path == 0 && (p->flags & RST)))
		return;
	sim_fail(sim, "flow %u: a segment's path is %u instead of %u", flow->index, path, wanted);
}

void
monitor_sent(struct sim *sim, struct host *from, const struct rte_mbuf *m, const struct packet *p,
	     uint16_t mtu)
{
	struct monitor_side *peer = NULL;
	struct flow *flow = NULL;
	struct monitor_side *self = side_of(sim, p, &flow, &peer);

	(void)mtu;
	if (self == NULL) {
		sim_fail(sim, "h%u emitted a segment of no flow", from->index);
		return;
	}
	if (!p->dont_fragment)
		sim_fail(sim, "flow %u: a segment without DF", flow->index);
	if (!flow->reuses)
		check_path(sim, flow, p, m, self == &flow->wire[0]);
	if (p->flags & SYN)
		note_syn(self, p);
	if ((p->flags & RST) || !numbers_hold(flow))
		return;
	check_size(sim, flow, p, peer);
	if (p->flags & ACK) {
		check_acknowledges(sim, flow, p, self, peer);
		check_own_edge(sim, flow, p, self, peer);
	}
	check_peer_window(sim, flow, p, self);
	if (!self->seen || after(p->seq + seq_len(p), self->snd_max))
		self->snd_max = p->seq + seq_len(p);
	self->fin |= (p->flags & FIN) != 0;
}

/* From here on the receiver of `p` may know its window. */
void
monitor_arrived(struct sim *sim, const struct packet *p)
{
	struct monitor_side *receiver = NULL;
	struct flow *flow = NULL;
	struct monitor_side *sender = side_of(sim, p, &flow, &receiver);

	if (sender == NULL || (p->flags & (ACK | SYN)) == 0 || (p->flags & RST) ||
	    !numbers_hold(flow))
		return;
	uint32_t edge = right_edge(p, sender, receiver);

	/* The first SYN gives a window, too, for what follows the receiver's own SYN. */
	if ((p->flags & ACK) == 0)
		edge = receiver->isn + 1 + p->wnd;

	if (!receiver->edge_known_seen || after(edge, receiver->edge_known))
		receiver->edge_known = edge;
	receiver->edge_known_seen = true;
}
