/* SPDX-License-Identifier: Apache-2.0 */

#include <netinet/in.h>
#include <string.h>

#include <rte_byteorder.h>
#include <rte_ip.h>

#include "dataplane/net_checksum.h"

#define IP4_ADDRESSES 12 /* offset of source and destination in the header */
#define IP6_ADDRESSES 8

#define TCP_CHECKSUM_FIELD 16
#define UDP_CHECKSUM_FIELD 6

uint16_t
net_pseudo_sum(const void *ip, bool ip6, uint8_t protocol, uint32_t length)
{
	const uint8_t *header = ip;
	uint16_t sum;

	sum = ip6 ? rte_raw_cksum(header + IP6_ADDRESSES, 2 * sizeof(struct in6_addr))
		  : rte_raw_cksum(header + IP4_ADDRESSES, 2 * sizeof(struct in_addr));
	sum = net_sum_add(sum, rte_cpu_to_be_16(protocol));
	sum = net_sum_add(sum, rte_cpu_to_be_16((uint16_t)(length >> 16)));
	return net_sum_add(sum, rte_cpu_to_be_16((uint16_t)length));
}

/* DPDK 22.11's rte_raw_cksum_mbuf() loses carries of a buffer that begins at an odd offset. */
uint16_t
net_sum(const struct rte_mbuf *m, uint32_t offset)
{
	uint16_t sum = 0, part;
	bool odd = false;

	for (; m != NULL; m = m->next) {
		uint32_t len = m->data_len;

		if (offset >= len) {
			offset -= len;
			continue;
		}
		len -= offset;
		part = rte_raw_cksum(rte_pktmbuf_mtod_offset(m, const void *, offset), len);
		sum = net_sum_add(sum, odd ? rte_bswap16(part) : part);
		odd ^= len & 1;
		offset = 0;
	}
	return sum;
}

static void
finish_ip4(struct rte_mbuf *frame)
{
	struct rte_ipv4_hdr *ip =
		rte_pktmbuf_mtod_offset(frame, struct rte_ipv4_hdr *, frame->l2_len);

	ip->hdr_checksum = 0;
	ip->hdr_checksum = ~rte_raw_cksum(ip, frame->l3_len);
}

static void
finish_l4(struct rte_mbuf *frame, uint32_t l4, uint16_t field)
{
	uint16_t *checksum = rte_pktmbuf_mtod_offset(frame, uint16_t *, l4 + field);
	uint16_t sum = ~net_sum(frame, l4);

	/* RFC 768: an UDP checksum of zero means none. */
	if (field == UDP_CHECKSUM_FIELD && sum == 0)
		sum = 0xffff;
	*checksum = sum;
}

bool
net_checksum_finish(struct rte_mbuf *frame)
{
	uint32_t l4 = (uint32_t)frame->l2_len + frame->l3_len;
	uint64_t l4_flags = frame->ol_flags & RTE_MBUF_F_TX_L4_MASK;
	uint16_t field =
		l4_flags == RTE_MBUF_F_TX_UDP_CKSUM ? UDP_CHECKSUM_FIELD : TCP_CHECKSUM_FIELD;

	if (l4 > rte_pktmbuf_data_len(frame))
		return false;
	if (l4_flags == RTE_MBUF_F_TX_TCP_CKSUM || l4_flags == RTE_MBUF_F_TX_UDP_CKSUM) {
		if (l4 + field + sizeof(uint16_t) > rte_pktmbuf_data_len(frame))
			return false;
		finish_l4(frame, l4, field);
	}
	if (frame->ol_flags & RTE_MBUF_F_TX_IP_CKSUM) {
		if (frame->l3_len < sizeof(struct rte_ipv4_hdr))
			return false;
		finish_ip4(frame);
	}
	frame->ol_flags &= ~(RTE_MBUF_F_TX_IP_CKSUM | RTE_MBUF_F_TX_L4_MASK);
	return true;
}

enum net_checksum
net_checksum_verify(struct rte_mbuf *packet, bool ip6, uint16_t l3_len, uint8_t protocol,
		    uint16_t field, bool partial_allowed)
{
	const void *ip = rte_pktmbuf_mtod(packet, const void *);
	uint16_t pseudo = net_pseudo_sum(ip, ip6, protocol, packet->pkt_len - l3_len);
	uint16_t sum = net_sum(packet, l3_len);
	uint16_t *checksum;

	if (net_sum_add(sum, pseudo) == 0xffff)
		return NET_CHECKSUM_GOOD;
	checksum = rte_pktmbuf_mtod_offset(packet, uint16_t *, l3_len + field);
	if (!partial_allowed || *checksum != pseudo)
		return NET_CHECKSUM_BAD;
	*checksum = ~sum;
	if (protocol == IPPROTO_UDP && *checksum == 0)
		*checksum = 0xffff;
	return NET_CHECKSUM_PARTIAL;
}
