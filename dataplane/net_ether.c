/* SPDX-License-Identifier: Apache-2.0 */

#include "dataplane/net_internal.h"

#define VLAN_ID(tci) ((tci)&0x0fff)
#define VLAN_TAG sizeof(struct rte_vlan_hdr)

/* Several interfaces may share a port, each with its own VLAN. */
static struct net_if *
interface_of_vlan(struct net *net, struct net_if *in, uint16_t vlan)
{
	if (likely(in->vlan == vlan))
		return in;
	for (unsigned int i = 0; i < net->n_interfaces; i++)
		if (net->interfaces[i].port == in->port && net->interfaces[i].vlan == vlan)
			return &net->interfaces[i];
	return NULL;
}

/* What a frame says of itself before its payload. */
struct ether_header {
	uint16_t type, vlan, len;
	struct rte_ether_addr to, from;
};

static bool
parse(struct rte_mbuf *m, struct ether_header *header)
{
	const struct rte_ether_hdr *ether;
	const struct rte_vlan_hdr *tag;

	if (!net_pull(m, sizeof(*ether)))
		return false;
	ether = rte_pktmbuf_mtod(m, const struct rte_ether_hdr *);
	header->to = ether->dst_addr;
	header->from = ether->src_addr;
	header->type = rte_be_to_cpu_16(ether->ether_type);
	header->len = sizeof(*ether);
	header->vlan = 0;
	if (m->ol_flags & RTE_MBUF_F_RX_VLAN_STRIPPED) {
		header->vlan = VLAN_ID(m->vlan_tci);
	} else if (header->type == RTE_ETHER_TYPE_VLAN) {
		if (!net_pull(m, sizeof(*ether) + VLAN_TAG))
			return false;
		tag = rte_pktmbuf_mtod_offset(m, const struct rte_vlan_hdr *, sizeof(*ether));
		header->vlan = VLAN_ID(rte_be_to_cpu_16(tag->vlan_tci));
		header->type = rte_be_to_cpu_16(tag->eth_proto);
		header->len += VLAN_TAG;
	}
	return true;
}

/* Our own address, or a group that carries something for us (all of IPv6's: neighbour
 * discovery chooses below; broadcast: ARP). */
static bool
is_wanted(const struct ether_header *header, const struct net_frame *frame)
{
	if (rte_is_same_ether_addr(&header->from, &frame->in->mac))
		return false; /* a frame of ours that a loop brought back */
	if (frame->to_us)
		return true;
	if (header->type == RTE_ETHER_TYPE_IPV6)
		return header->to.addr_bytes[0] == 0x33 && header->to.addr_bytes[1] == 0x33;
	return header->type == RTE_ETHER_TYPE_ARP && rte_is_broadcast_ether_addr(&header->to);
}

static void
dispatch(struct net_turn *turn, const struct ether_header *header, const struct net_frame *frame,
	 struct rte_mbuf *m)
{
	switch (header->type) {
	case RTE_ETHER_TYPE_IPV4:
		net_ip4_input(turn, frame, m);
		break;
	case RTE_ETHER_TYPE_IPV6:
		net_ip6_input(turn, frame, m);
		break;
	case RTE_ETHER_TYPE_ARP:
		net_arp_input(turn, frame, m);
		break;
	default:
		net_drop(m, &turn->net->counters.bad_frame);
	}
}

void
net_ether_input(struct net_turn *turn, struct net_if *in, struct rte_mbuf *m)
{
	struct net_counters *counters = &turn->net->counters;
	struct ether_header header;
	struct net_frame frame;

	counters->frames_in++;
	if (unlikely(!parse(m, &header) || rte_is_multicast_ether_addr(&header.from))) {
		net_drop(m, &counters->bad_frame);
		return;
	}
	frame.in = interface_of_vlan(turn->net, in, header.vlan);
	if (unlikely(frame.in == NULL)) {
		net_drop(m, &counters->wrong_vlan);
		return;
	}
	frame.from = header.from;
	frame.to_us = rte_is_same_ether_addr(&header.to, &frame.in->mac);
	if (unlikely(!is_wanted(&header, &frame))) {
		net_drop(m, &counters->not_for_us);
		return;
	}
	rte_pktmbuf_adj(m, header.len);
	m->l2_len = 0;
	m->packet_type = 0;
	m->port = frame.in->index; /* somebody else's packet, whatever the driver is */
	dispatch(turn, &header, &frame, m);
}

static bool
is_writable(const struct rte_mbuf *m, uint16_t room)
{
	return likely(RTE_MBUF_DIRECT(m) && rte_mbuf_refcnt_read(m) == 1 &&
		      rte_pktmbuf_headroom(m) >= room);
}

/* Somebody else's buffer, or one that a driver filled to the brim: neither is usual. */
static struct rte_mbuf *
replace_by_copy(struct net *net, struct rte_mbuf *m)
{
	struct rte_mbuf *copy = rte_pktmbuf_copy(m, net->pool, 0, UINT32_MAX);

	if (copy == NULL)
		net->counters.no_buffers++;
	rte_pktmbuf_free(m);
	return copy;
}

void
net_ether_output(struct net *net, struct net_if *out, struct rte_mbuf *m,
		 const struct rte_ether_addr *to, uint16_t type)
{
	uint16_t len = sizeof(struct rte_ether_hdr) + (out->vlan != 0 ? VLAN_TAG : 0);
	struct rte_ether_hdr *ether;
	struct rte_vlan_hdr *tag;

	if (!is_writable(m, len)) {
		m = replace_by_copy(net, m);
		if (m == NULL)
			return;
	}
	ether = (struct rte_ether_hdr *)rte_pktmbuf_prepend(m, len);
	ether->dst_addr = *to;
	ether->src_addr = out->mac;
	ether->ether_type = rte_cpu_to_be_16(type);
	if (out->vlan != 0) {
		tag = (struct rte_vlan_hdr *)(ether + 1);
		tag->vlan_tci = rte_cpu_to_be_16(out->vlan);
		tag->eth_proto = ether->ether_type;
		ether->ether_type = rte_cpu_to_be_16(RTE_ETHER_TYPE_VLAN);
	}
	m->l2_len = len;
	/* What the receiving driver said of it is no news to the sending one. */
	m->ol_flags &= RTE_MBUF_F_TX_OFFLOAD_MASK | RTE_MBUF_F_INDIRECT | RTE_MBUF_F_EXTERNAL;
	net->counters.packets_out++;
	out->tx[out->n_tx++] = m;
	if (out->n_tx == PORT_BURST) {
		port_tx(out->port, net->queue, out->tx, out->n_tx);
		out->n_tx = 0;
	}
}

void
net_flush(struct net *net)
{
	for (unsigned int i = 0; i < net->n_interfaces; i++) {
		struct net_if *out = &net->interfaces[i];

		if (out->n_tx == 0)
			continue;
		port_tx(out->port, net->queue, out->tx, out->n_tx);
		out->n_tx = 0;
	}
}
