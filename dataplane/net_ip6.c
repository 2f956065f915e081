/* SPDX-License-Identifier: Apache-2.0 */

#include <netinet/ip6.h>

#include "dataplane/net_checksum.h"
#include "dataplane/net_internal.h"

/* Enough for anything honest; each header costs us a look. */
#define MAX_EXTENSIONS 8
#define EXTENSION_UNIT 8

bool
net_ip6_usable_source(const struct net *net, const struct in6_addr *source)
{
	/* An IPv4-mapped address never is on a wire (RFC 4038 section 4.2); here it would pass
	 * for an IPv4 one. */
	return source->s6_addr[0] != 0xff && !IN6_IS_ADDR_UNSPECIFIED(source) &&
	       !IN6_IS_ADDR_LOOPBACK(source) && !IN6_IS_ADDR_V4MAPPED(source) &&
	       !net_is_local(net, source);
}

static bool
is_usable_destination(const struct in6_addr *to)
{
	return !IN6_IS_ADDR_UNSPECIFIED(to) && !IN6_IS_ADDR_LOOPBACK(to) &&
	       !IN6_IS_ADDR_V4MAPPED(to);
}

struct net_ip6_upper
net_ip6_walk(const uint8_t *packet, uint32_t len)
{
	const struct rte_ipv6_hdr *ip = (const struct rte_ipv6_hdr *)packet;
	struct net_ip6_upper upper = {.protocol = ip->proto, .l3_len = NET_IP6_HEADER};

	for (unsigned int i = 0;; i++) {
		const struct ip6_ext *extension = (const struct ip6_ext *)(packet + upper.l3_len);
		uint32_t size;

		switch (upper.protocol) {
		case IPPROTO_FRAGMENT:
			upper.fragment = true;
			return upper;
		case IPPROTO_HOPOPTS:
			/* RFC 8200 section 4.3: only behind the IPv6 header. */
			if (i > 0)
				goto broken;
			break;
		case IPPROTO_ROUTING:
		case IPPROTO_DSTOPTS:
			break;
		default:
			return upper;
		}
		if (i == MAX_EXTENSIONS || upper.l3_len + (uint32_t)EXTENSION_UNIT > len)
			goto broken;
		size = (extension->ip6e_len + 1u) * EXTENSION_UNIT;
		if (upper.l3_len + size > len || upper.l3_len + size > NET_L3_MAX)
			goto broken;
		/* A route that is still to be followed is not ours to follow (RFC 5095), and
		 * the packet's destination is not the one it shows. */
		if (upper.protocol == IPPROTO_ROUTING &&
		    ((const struct ip6_rthdr *)extension)->ip6r_segleft != 0)
			goto broken;
		upper.protocol = extension->ip6e_nxt;
		upper.l3_len += (uint16_t)size;
	}
broken:
	upper.broken = true;
	return upper;
}

/* The packet as long as it says, with all that a walk may look at in the first buffer. */
static bool
check_header(struct rte_mbuf *m)
{
	const struct rte_ipv6_hdr *ip;
	uint32_t total;

	if (!net_pull(m, NET_IP6_HEADER))
		return false;
	ip = rte_pktmbuf_mtod(m, const struct rte_ipv6_hdr *);
	total = NET_IP6_HEADER + rte_be_to_cpu_16(ip->payload_len);
	if (rte_be_to_cpu_32(ip->vtc_flow) >> 28 != 6 || total > m->pkt_len)
		return false;
	net_trim(m, total);
	return true;
}

static struct net_ip6_upper
walk(struct rte_mbuf *m)
{
	struct net_ip6_upper upper = {.broken = true};
	uint8_t protocol = rte_pktmbuf_mtod(m, const struct rte_ipv6_hdr *)->proto;
	bool plain = protocol == IPPROTO_TCP || protocol == IPPROTO_ICMPV6;

	if (!plain && !net_pull(m, RTE_MIN(m->pkt_len, (uint32_t)NET_L3_MAX)))
		return upper;
	return net_ip6_walk(rte_pktmbuf_mtod(m, const uint8_t *), m->data_len);
}

/* Groups that we are in: all nodes, and those that our addresses are solicited at. */
static bool
is_group_of_ours(const struct net_if *in, const struct in6_addr *to)
{
	static const struct in6_addr all_nodes = {.s6_addr = {0xff, 0x02, [15] = 1}};
	struct in6_addr group = net_nd_solicited_node(&in->link_local);

	if (!in->ip6)
		return false;
	if (net_same(to, &all_nodes) || net_same(to, &group))
		return true;
	for (unsigned int i = 0; i < in->n_addresses; i++) {
		group = net_nd_solicited_node(&in->addresses[i].address);
		if (!IN6_IS_ADDR_V4MAPPED(&in->addresses[i].address) && net_same(to, &group))
			return true;
	}
	return false;
}

/* Of a group's packets only neighbour discovery concerns us; see net_icmp6_input(). */
static void
deliver(struct net_turn *turn, const struct net_frame *frame, struct rte_mbuf *m,
	const struct net_ip6_upper *upper, const struct in6_addr *to)
{
	bool group = to->s6_addr[0] == 0xff;
	bool local = !group && net_is_local(turn->net, to);

	if (group && (upper->protocol != IPPROTO_ICMPV6 || !is_group_of_ours(frame->in, to)))
		net_drop(m, &turn->net->counters.not_for_us);
	else if (upper->protocol == IPPROTO_TCP)
		net_tcp_input(turn, frame->in, m, true, upper->l3_len);
	else if (upper->protocol == IPPROTO_ICMPV6)
		net_icmp6_input(turn, frame, m, upper->l3_len, local);
	else if (local)
		net_other_input(turn, m, true, upper->protocol, upper->l3_len);
	else
		net_forward_one(turn->net, m, turn->now);
}

static bool
check_source(const struct net_turn *turn, const struct in6_addr *source, const struct in6_addr *to)
{
	/* Duplicate address detection has no address yet. */
	if (IN6_IS_ADDR_UNSPECIFIED(source) && to->s6_addr[0] == 0xff)
		return true;
	return net_ip6_usable_source(turn->net, source);
}

void
net_ip6_input(struct net_turn *turn, const struct net_frame *frame, struct rte_mbuf *m)
{
	struct net_counters *counters = &turn->net->counters;
	const struct rte_ipv6_hdr *ip;
	struct net_ip6_upper upper;
	struct in6_addr source, to;

	if (!check_header(m)) {
		net_drop(m, &counters->bad_ip_header);
		return;
	}
	ip = rte_pktmbuf_mtod(m, const struct rte_ipv6_hdr *);
	source = net_in6(ip->src_addr);
	to = net_in6(ip->dst_addr);
	if (!check_source(turn, &source, &to) || !is_usable_destination(&to)) {
		net_drop(m, &counters->bad_address);
		return;
	}
	if (to.s6_addr[0] != 0xff && !frame->to_us) {
		net_drop(m, &counters->not_for_us);
		return;
	}
	upper = walk(m);
	if (upper.fragment)
		net_drop(m, &counters->fragments);
	else if (upper.broken)
		net_drop(m, &counters->bad_ip_header);
	else
		deliver(turn, frame, m, &upper, &to);
}
