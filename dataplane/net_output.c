/* SPDX-License-Identifier: Apache-2.0 */

#include "dataplane/net_checksum.h"
#include "dataplane/net_internal.h"

/* --- transport ------------------------------------------------------------------------------ */

void
net_tcp_input(struct net_turn *turn, const struct net_if *in, struct rte_mbuf *m, bool ip6,
	      uint16_t l3_len)
{
	struct net_counters *counters = &turn->net->counters;
	uint64_t flags = m->ol_flags & RTE_MBUF_F_RX_L4_CKSUM_MASK;
	enum net_checksum checksum = NET_CHECKSUM_GOOD;

	/* What is shorter than a header cannot carry a checksum. */
	if (m->pkt_len < (uint32_t)l3_len + NET_TCP_HEADER ||
	    !net_pull(m, RTE_MIN(m->pkt_len, (uint32_t)l3_len + NET_TCP_HEADER_MAX))) {
		net_drop(m, &counters->bad_ip_header);
		return;
	}
	/* NONE: not written yet, but the device vouches for the bytes. */
	if (flags == RTE_MBUF_F_RX_L4_CKSUM_BAD)
		checksum = NET_CHECKSUM_BAD;
	else if (flags != RTE_MBUF_F_RX_L4_CKSUM_GOOD)
		checksum = net_checksum_verify(m, ip6, l3_len, IPPROTO_TCP, NET_TCP_CHECKSUM,
					       in->partial_checksums ||
						       flags == RTE_MBUF_F_RX_L4_CKSUM_NONE);
	if (checksum == NET_CHECKSUM_BAD) {
		net_drop(m, &counters->bad_l4_checksum);
		return;
	}
	m->packet_type = ip6 ? RTE_PTYPE_L3_IPV6 : RTE_PTYPE_L3_IPV4;
	m->l3_len = l3_len;
	counters->tcp_in++;
	turn->tcp[turn->n_tcp++] = m;
}

void
net_other_input(struct net_turn *turn, struct rte_mbuf *m, bool ip6, uint8_t protocol,
		uint16_t l3_len)
{
	if (protocol == IPPROTO_UDP)
		net_icmp_complain(turn->net, m, NET_PORT_UNREACHABLE, 0, turn->now);
	net_drop(m, &turn->net->counters.other_protocol);
}

/* --- routing -------------------------------------------------------------------------------- */

/* The destination of a packet whose header is whole; false: neither IPv4 nor IPv6. */
static bool
destination(const struct rte_mbuf *m, struct in6_addr *to)
{
	const uint8_t *packet = rte_pktmbuf_mtod(m, const uint8_t *);

	if (m->data_len >= NET_IP4_HEADER && packet[0] >> 4 == 4) {
		*to = net_mapped(((const struct rte_ipv4_hdr *)packet)->dst_addr);
		return true;
	}
	if (m->data_len >= NET_IP6_HEADER && packet[0] >> 4 == 6) {
		*to = net_in6(((const struct rte_ipv6_hdr *)packet)->dst_addr);
		return true;
	}
	return false;
}

bool
net_route_back(struct net *net, const struct rte_mbuf *m, const struct in6_addr *to,
	       struct net_hop *hop)
{
	if (!IN6_IS_ADDR_LINKLOCAL(to))
		return net_route(net, to, hop);
	if (m->port >= net->n_interfaces)
		return false;
	hop->out = &net->interfaces[m->port];
	hop->address = *to;
	return hop->out->ip6;
}

void
net_output_one(struct net *net, struct rte_mbuf *m, uint64_t now)
{
	struct in6_addr to;
	struct net_hop hop;

	if (!destination(m, &to)) {
		net_drop(m, &net->counters.bad_ip_header);
		return;
	}
	if (!net_route_back(net, m, &to, &hop) || net_is_local(net, &to)) {
		net_drop(m, &net->counters.no_route);
		return;
	}
	if (m->pkt_len > hop.out->mtu) {
		net_drop(m, &net->counters.too_big);
		return;
	}
	m->port = RTE_MBUF_PORT_INVALID;
	net_neighbour_output(net, &hop, m, now);
}

void
net_output(struct net *net, struct rte_mbuf **packets, uint16_t n, uint64_t now)
{
	for (uint16_t i = 0; i < n; i++)
		net_output_one(net, packets[i], now);
	net_flush(net);
}

/* --- forwarding ----------------------------------------------------------------------------- */

/* False: it was the packet's last hop, and it stays as it is. */
static bool
decrement_hop_limit(struct rte_mbuf *m, bool ip6)
{
	struct rte_ipv6_hdr *ip6_header = rte_pktmbuf_mtod(m, struct rte_ipv6_hdr *);
	struct rte_ipv4_hdr *ip4_header = rte_pktmbuf_mtod(m, struct rte_ipv4_hdr *);
	uint8_t *limit = ip6 ? &ip6_header->hop_limits : &ip4_header->time_to_live;
	uint8_t old = *limit;

	if (old <= 1)
		return false;
	*limit = old - 1;
	if (!ip6)
		ip4_header->hdr_checksum = net_checksum_adjust(
			ip4_header->hdr_checksum, rte_cpu_to_be_16((uint16_t)(old << 8)),
			rte_cpu_to_be_16((uint16_t)((old - 1) << 8)));
	return true;
}

/* RFC 4291 section 2.5.6: link-local addresses mean nothing on the other side. */
static bool
is_link_local(const struct rte_mbuf *m, const struct in6_addr *to)
{
	struct in6_addr from = net_in6(rte_pktmbuf_mtod(m, const struct rte_ipv6_hdr *)->src_addr);

	return IN6_IS_ADDR_LINKLOCAL(to) || IN6_IS_ADDR_LINKLOCAL(&from);
}

/* The kernel of this machine leaves the checksum of what it sends to a device; the packet
 * that goes on has to have one. */
static void
complete_udp(const struct net *net, struct rte_mbuf *m, bool ip6)
{
	const struct rte_ipv4_hdr *ip4 = rte_pktmbuf_mtod(m, const struct rte_ipv4_hdr *);
	uint16_t l3_len = ip6 ? NET_IP6_HEADER : rte_ipv4_hdr_len(ip4);
	uint8_t protocol =
		ip6 ? rte_pktmbuf_mtod(m, const struct rte_ipv6_hdr *)->proto : ip4->next_proto_id;

	if (m->port < net->n_interfaces && net->interfaces[m->port].partial_checksums &&
	    protocol == IPPROTO_UDP && m->pkt_len >= (uint32_t)l3_len + NET_UDP_HEADER &&
	    net_pull(m, l3_len + NET_UDP_HEADER))
		net_checksum_verify(m, ip6, l3_len, IPPROTO_UDP, NET_UDP_CHECKSUM, true);
}

static void
refuse(struct net *net, struct rte_mbuf *m, enum net_complaint what, uint16_t mtu,
       uint64_t *counter, uint64_t now)
{
	net_icmp_complain(net, m, what, mtu, now);
	net_drop(m, counter);
}

void
net_forward_one(struct net *net, struct rte_mbuf *m, uint64_t now)
{
	struct net_counters *counters = &net->counters;
	struct net_hop hop;
	struct in6_addr to;
	bool ip6;

	if (!destination(m, &to)) {
		net_drop(m, &counters->bad_ip_header);
		return;
	}
	ip6 = !IN6_IS_ADDR_V4MAPPED(&to);
	if (ip6 && is_link_local(m, &to)) {
		net_drop(m, &counters->bad_address);
		return;
	}
	if (net_is_local(net, &to)) {
		net_drop(m, &counters->other_protocol);
		return;
	}
	if (!net_route(net, &to, &hop)) {
		refuse(net, m, NET_NO_ROUTE, 0, &counters->no_route, now);
		return;
	}
	if (m->pkt_len > hop.out->mtu) {
		refuse(net, m, NET_TOO_BIG, hop.out->mtu, &counters->too_big, now);
		return;
	}
	complete_udp(net, m, ip6);
	/* The packet is quoted as it came (RFC 1812 section 4.3.2.3). */
	if (!decrement_hop_limit(m, ip6)) {
		refuse(net, m, NET_TIME_EXCEEDED, 0, &counters->ttl_exceeded, now);
		return;
	}
	m->ol_flags &= RTE_MBUF_F_INDIRECT | RTE_MBUF_F_EXTERNAL;
	counters->forwarded++;
	net_neighbour_output(net, &hop, m, now);
}

void
net_forward(struct net *net, struct rte_mbuf *packet, uint64_t now)
{
	net_forward_one(net, packet, now);
	net_flush(net);
}
