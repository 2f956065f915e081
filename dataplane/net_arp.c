/* SPDX-License-Identifier: Apache-2.0 */

#include <rte_arp.h>

#include "dataplane/net_internal.h"

/* RFC 826, with the probes and announcements of RFC 5227. */

#define DEFEND_INTERVAL (10 * NET_SECOND) /* RFC 5227 section 1.1 */

static const struct rte_ether_addr broadcast = {{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}};
static const struct rte_ether_addr nobody;

static bool
is_address_of(const struct net_if *in, rte_be32_t address)
{
	struct in6_addr mapped = net_mapped(address);

	for (unsigned int i = 0; i < in->n_addresses; i++)
		if (net_same(&in->addresses[i].address, &mapped))
			return true;
	return false;
}

static void
send_arp(struct net *net, struct net_if *out, uint16_t opcode, const struct rte_ether_addr *to,
	 const struct rte_arp_ipv4 *data)
{
	struct rte_mbuf *m = net_new_packet(net, sizeof(struct rte_arp_hdr));
	struct rte_arp_hdr *arp;

	if (m == NULL)
		return;
	arp = rte_pktmbuf_mtod(m, struct rte_arp_hdr *);
	arp->arp_hardware = rte_cpu_to_be_16(RTE_ARP_HRD_ETHER);
	arp->arp_protocol = rte_cpu_to_be_16(RTE_ETHER_TYPE_IPV4);
	arp->arp_hlen = RTE_ETHER_ADDR_LEN;
	arp->arp_plen = sizeof(rte_be32_t);
	arp->arp_opcode = rte_cpu_to_be_16(opcode);
	arp->arp_data = *data;
	net_ether_output(net, out, m, to, RTE_ETHER_TYPE_ARP);
}

void
net_arp_request(struct net *net, struct net_if *out, rte_be32_t target,
		const struct rte_ether_addr *to)
{
	struct net_hop hop = {.out = out, .address = net_mapped(target)};
	struct rte_arp_ipv4 data = {.arp_sha = out->mac, .arp_tha = nobody, .arp_tip = target};
	struct in6_addr source;

	if (net_source(net, &hop, &source))
		data.arp_sip = net_ip4_of(&source);
	send_arp(net, out, RTE_ARP_OP_REQUEST, to != NULL ? to : &broadcast, &data);
}

void
net_arp_announce(struct net *net, struct net_if *out, rte_be32_t address)
{
	struct rte_arp_ipv4 data = {
		.arp_sha = out->mac, .arp_sip = address, .arp_tha = nobody, .arp_tip = address};

	send_arp(net, out, RTE_ARP_OP_REQUEST, &broadcast, &data);
}

static void
answer(struct net_turn *turn, struct net_if *in, const struct rte_arp_ipv4 *question)
{
	struct rte_arp_ipv4 data = {
		.arp_sha = in->mac,
		.arp_sip = question->arp_tip,
		.arp_tha = question->arp_sha,
		.arp_tip = question->arp_sip,
	};

	if (net_bucket_take(&turn->net->answers, turn->now))
		send_arp(turn->net, in, RTE_ARP_OP_REPLY, &question->arp_sha, &data);
}

static bool
is_valid(const struct rte_arp_hdr *arp)
{
	return arp->arp_hardware == rte_cpu_to_be_16(RTE_ARP_HRD_ETHER) &&
	       arp->arp_protocol == rte_cpu_to_be_16(RTE_ETHER_TYPE_IPV4) &&
	       arp->arp_hlen == RTE_ETHER_ADDR_LEN && arp->arp_plen == sizeof(rte_be32_t) &&
	       (arp->arp_opcode == rte_cpu_to_be_16(RTE_ARP_OP_REQUEST) ||
		arp->arp_opcode == rte_cpu_to_be_16(RTE_ARP_OP_REPLY)) &&
	       rte_is_valid_assigned_ether_addr(&arp->arp_data.arp_sha);
}

/* Somebody uses an address of ours: say whose it is, but not so often that two of us shout
 * at each other for ever (RFC 5227 section 2.4 (b)). */
static void
defend(struct net_turn *turn, struct net_if *in, rte_be32_t address)
{
	turn->net->counters.bad_address++;
	if (in->defended != 0 && turn->now < in->defended + DEFEND_INTERVAL)
		return;
	in->defended = turn->now;
	net_arp_announce(turn->net, in, address);
}

static void
learn(struct net_turn *turn, const struct net_frame *frame, const struct rte_arp_hdr *arp)
{
	bool reply = arp->arp_opcode == rte_cpu_to_be_16(RTE_ARP_OP_REPLY);
	bool to_us = frame->to_us && is_address_of(frame->in, arp->arp_data.arp_tip);
	struct in6_addr sender = net_mapped(arp->arp_data.arp_sip);

	net_neighbour_heard(turn->net, frame->in, &sender, &arp->arp_data.arp_sha,
			    reply && to_us ? NET_HEARD_ANSWER : NET_HEARD_CLAIM, turn->now);
}

static void
input(struct net_turn *turn, const struct net_frame *frame, const struct rte_arp_hdr *arp)
{
	const struct rte_arp_ipv4 *data = &arp->arp_data;

	if (is_address_of(frame->in, data->arp_sip)) {
		defend(turn, frame->in, data->arp_sip);
		return;
	}
	/* Zero: a probe of somebody who wants the address (RFC 5227 section 2.1.1). */
	if (data->arp_sip != 0) {
		if (!net_ip4_usable_source(turn->net, data->arp_sip)) {
			turn->net->counters.bad_address++;
			return;
		}
		learn(turn, frame, arp);
	}
	if (arp->arp_opcode == rte_cpu_to_be_16(RTE_ARP_OP_REQUEST) &&
	    is_address_of(frame->in, data->arp_tip))
		answer(turn, frame->in, data);
}

void
net_arp_input(struct net_turn *turn, const struct net_frame *frame, struct rte_mbuf *m)
{
	const struct rte_arp_hdr *arp;

	if (!net_pull(m, sizeof(*arp)) ||
	    !is_valid(rte_pktmbuf_mtod(m, const struct rte_arp_hdr *))) {
		net_drop(m, &turn->net->counters.bad_frame);
		return;
	}
	turn->net->counters.arp_in++;
	arp = rte_pktmbuf_mtod(m, const struct rte_arp_hdr *);
	input(turn, frame, arp);
	rte_pktmbuf_free(m);
}
