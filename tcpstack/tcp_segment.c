/* SPDX-License-Identifier: Apache-2.0 */

#include <rte_byteorder.h>
#include <rte_ether.h>
#include <rte_ip.h>
#include <rte_mbuf_ptype.h>
#include <rte_tcp.h>

#include "tcpstack/tcp_internal.h"

static void
map_v4(struct in6_addr *out, rte_be32_t addr)
{
	out->s6_addr32[0] = 0;
	out->s6_addr32[1] = 0;
	out->s6_addr32[2] = RTE_BE32(0xffff);
	out->s6_addr32[3] = addr;
}

/* What arrives was sent by the remote to the local end. */
static bool
parse_addresses(const struct rte_mbuf *m, struct tcp_tuple *tuple, uint8_t *ecn)
{
	if (RTE_ETH_IS_IPV4_HDR(m->packet_type) && m->l3_len >= sizeof(struct rte_ipv4_hdr)) {
		const struct rte_ipv4_hdr *ip = rte_pktmbuf_mtod(m, const struct rte_ipv4_hdr *);

		map_v4(&tuple->remote, ip->src_addr);
		map_v4(&tuple->local, ip->dst_addr);
		*ecn = ip->type_of_service & 3;
		return true;
	}
	if (RTE_ETH_IS_IPV6_HDR(m->packet_type) && m->l3_len >= sizeof(struct rte_ipv6_hdr)) {
		const struct rte_ipv6_hdr *ip = rte_pktmbuf_mtod(m, const struct rte_ipv6_hdr *);

		memcpy(&tuple->remote, ip->src_addr, 16);
		memcpy(&tuple->local, ip->dst_addr, 16);
		*ecn = rte_be_to_cpu_32(ip->vtc_flow) >> 20 & 3;
		return true;
	}
	return false;
}

bool
tcp_segment_parse(const struct rte_mbuf *m, struct tcp_tuple *tuple, struct tcp_segment *segment)
{
	const struct rte_tcp_hdr *tcp;
	uint32_t header;

	if (m->data_len < m->l3_len + sizeof(*tcp) || !parse_addresses(m, tuple, &segment->ecn))
		return false;
	tcp = rte_pktmbuf_mtod_offset(m, const struct rte_tcp_hdr *, m->l3_len);
	header = (uint32_t)(tcp->data_off >> 4) * 4;
	if (header < sizeof(*tcp) || m->l3_len + header > m->data_len)
		return false;
	tuple->remote_port = rte_be_to_cpu_16(tcp->src_port);
	tuple->local_port = rte_be_to_cpu_16(tcp->dst_port);
	segment->seq = rte_be_to_cpu_32(tcp->sent_seq);
	segment->ack = rte_be_to_cpu_32(tcp->recv_ack);
	segment->window = rte_be_to_cpu_16(tcp->rx_win);
	segment->flags = tcp->tcp_flags;
	segment->header = m->l3_len + header;
	segment->len = m->pkt_len - segment->header;
	segment->pure = segment->len == 0 && !(segment->flags & (TCP_SYN | TCP_FIN));
	return true;
}

void
tcp_segment_options(const struct rte_mbuf *m, struct tcp_segment *segment)
{
	uint32_t at = m->l3_len + TCP_HEADER_LEN;

	tcp_options_parse(rte_pktmbuf_mtod_offset(m, const uint8_t *, at), segment->header - at,
			  segment->flags & TCP_SYN, &segment->opt);
}

bool
tcp_peek(const struct rte_mbuf *segment, struct tcp_tuple *tuple, uint8_t *flags)
{
	struct tcp_segment parsed;

	if (!tcp_segment_parse(segment, tuple, &parsed))
		return false;
	*flags = parsed.flags;
	return true;
}
