/* SPDX-License-Identifier: Apache-2.0 */

#include <netinet/ip.h>

#include "dataplane/net_checksum.h"
#include "dataplane/net_internal.h"

#define FRAGMENT (RTE_IPV4_HDR_MF_FLAG | RTE_IPV4_HDR_OFFSET_MASK)

/* RFC 1122 section 3.2.1.3, and RFC 6890: what never is the address of a sender. */
bool
net_ip4_usable_source(const struct net *net, rte_be32_t source)
{
	uint32_t host = rte_be_to_cpu_32(source);
	uint8_t first = host >> 24;

	return first != 0 && first != 127 && host < NET_IP4_GROUPS &&
	       !net_is_broadcast(net, source);
}

static bool
is_usable_destination(rte_be32_t destination)
{
	uint8_t first = rte_be_to_cpu_32(destination) >> 24;

	return first != 0 && first != 127;
}

/* Options may be anything but broken or a source route (RFC 7126 section 4). */
static bool
options_are_fine(const uint8_t *options, unsigned int len)
{
	unsigned int i = 0;

	while (i < len && options[i] != IPOPT_EOL) {
		if (options[i] == IPOPT_NOP) {
			i++;
			continue;
		}
		if (options[i] == IPOPT_LSRR || options[i] == IPOPT_SSRR)
			return false;
		if (i + 1 >= len || options[i + 1] < 2 || options[i + 1] > len - i)
			return false;
		i += options[i + 1];
	}
	return true;
}

/* The length of the header; 0: not one. Trims what Ethernet padded. */
static uint16_t
check_header(struct rte_mbuf *m)
{
	const struct rte_ipv4_hdr *ip;
	uint16_t header, total;

	if (!net_pull(m, NET_IP4_HEADER))
		return 0;
	ip = rte_pktmbuf_mtod(m, const struct rte_ipv4_hdr *);
	header = rte_ipv4_hdr_len(ip);
	total = rte_be_to_cpu_16(ip->total_length);
	if (ip->version_ihl >> 4 != 4 || header < NET_IP4_HEADER || total < header ||
	    total > m->pkt_len || !net_pull(m, header))
		return 0;
	net_trim(m, total);
	ip = rte_pktmbuf_mtod(m, const struct rte_ipv4_hdr *);
	if (header > NET_IP4_HEADER &&
	    !options_are_fine((const uint8_t *)(ip + 1), header - NET_IP4_HEADER))
		return 0;
	return header;
}

static bool
checksum_is_right(const struct rte_mbuf *m, uint16_t header)
{
	uint64_t flags = m->ol_flags & RTE_MBUF_F_RX_IP_CKSUM_MASK;

	if (flags == RTE_MBUF_F_RX_IP_CKSUM_GOOD)
		return true;
	return flags != RTE_MBUF_F_RX_IP_CKSUM_BAD &&
	       rte_raw_cksum(rte_pktmbuf_mtod(m, const void *), header) == 0xffff;
}

static bool
check_addresses(struct net_turn *turn, const struct rte_ipv4_hdr *ip)
{
	struct in6_addr source = net_mapped(ip->src_addr);

	return net_ip4_usable_source(turn->net, ip->src_addr) &&
	       is_usable_destination(ip->dst_addr) && !net_is_local(turn->net, &source);
}

static void
deliver(struct net_turn *turn, const struct net_frame *frame, struct rte_mbuf *m, uint16_t header)
{
	const struct rte_ipv4_hdr *ip = rte_pktmbuf_mtod(m, const struct rte_ipv4_hdr *);
	struct in6_addr to = net_mapped(ip->dst_addr);
	uint8_t protocol = ip->next_proto_id;
	bool local;

	if (protocol == IPPROTO_TCP) {
		net_tcp_input(turn, frame->in, m, false, header);
		return;
	}
	local = net_is_local(turn->net, &to);
	if (protocol == IPPROTO_ICMP)
		net_icmp4_input(turn, frame, m, header, local);
	else if (local)
		net_other_input(turn, m, false, protocol, header);
	else
		net_forward_one(turn->net, m, turn->now);
}

void
net_ip4_input(struct net_turn *turn, const struct net_frame *frame, struct rte_mbuf *m)
{
	struct net_counters *counters = &turn->net->counters;
	uint16_t header = check_header(m);
	const struct rte_ipv4_hdr *ip;

	if (header == 0) {
		net_drop(m, &counters->bad_ip_header);
		return;
	}
	if (!checksum_is_right(m, header)) {
		net_drop(m, &counters->bad_ip_checksum);
		return;
	}
	ip = rte_pktmbuf_mtod(m, const struct rte_ipv4_hdr *);
	if (!check_addresses(turn, ip)) {
		net_drop(m, &counters->bad_address);
		return;
	}
	/* RFC 1122 section 3.3.6, and groups that we are in none of. */
	if (rte_be_to_cpu_32(ip->dst_addr) >= NET_IP4_GROUPS ||
	    net_is_broadcast(turn->net, ip->dst_addr)) {
		net_drop(m, &counters->not_for_us);
		return;
	}
	if (ip->fragment_offset & rte_cpu_to_be_16(FRAGMENT)) {
		net_drop(m, &counters->fragments);
		return;
	}
	deliver(turn, frame, m, header);
}
