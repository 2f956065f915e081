/* SPDX-License-Identifier: Apache-2.0 */

/* A segment is a header buffer of its own followed by indirect buffers on the payload:
 * what the driver still holds is never edited by a retransmission. */

#include <rte_byteorder.h>
#include <rte_errno.h>
#include <rte_ip.h>
#include <rte_mbuf_dyn.h>
#include <rte_tcp.h>

#include "tcpstack/tcp_internal.h"

#define TTL 64

/* The offset of a dynamic field is the same for the whole process by DPDK's design; it is
 * written once, by the first stack. */
static int path_offset = -1;

int
tcp_build_init(void)
{
	static const struct rte_mbuf_dynfield field = {
		.name = "tcpstack_path",
		.size = sizeof(uint32_t),
		.align = __alignof__(uint32_t),
	};
	int offset = rte_mbuf_dynfield_register(&field);

	if (offset < 0)
		return TCP_E_NO_MEMORY;
	path_offset = offset;
	return TCP_OK;
}

void
tcp_build_set_path(struct rte_mbuf *m, uint32_t path)
{
	*RTE_MBUF_DYNFIELD(m, path_offset, uint32_t *) = path;
}

uint32_t
tcp_segment_path(const struct rte_mbuf *segment)
{
	return *RTE_MBUF_DYNFIELD(segment, path_offset, const uint32_t *);
}

static uint16_t
write_ipv4(struct rte_mbuf *m, const struct tcp_tuple *tuple, uint32_t len, uint8_t ecn)
{
	struct rte_ipv4_hdr *ip = rte_pktmbuf_mtod(m, struct rte_ipv4_hdr *);

	*ip = (struct rte_ipv4_hdr){
		.version_ihl = RTE_IPV4_VHL_DEF,
		.type_of_service = ecn,
		.total_length = rte_cpu_to_be_16((uint16_t)(sizeof(*ip) + len)),
		/* Atomic datagrams need no identification (RFC 6864 section 4.1). */
		.fragment_offset = RTE_BE16(RTE_IPV4_HDR_DF_FLAG),
		.time_to_live = TTL,
		.next_proto_id = IPPROTO_TCP,
		.src_addr = tuple->local.s6_addr32[3],
		.dst_addr = tuple->remote.s6_addr32[3],
	};
	m->ol_flags |= RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_IP_CKSUM | RTE_MBUF_F_TX_TCP_CKSUM;
	return rte_ipv4_phdr_cksum(ip, m->ol_flags);
}

static uint16_t
write_ipv6(struct rte_mbuf *m, const struct tcp_tuple *tuple, uint32_t len, uint8_t ecn)
{
	struct rte_ipv6_hdr *ip = rte_pktmbuf_mtod(m, struct rte_ipv6_hdr *);

	*ip = (struct rte_ipv6_hdr){
		.vtc_flow = rte_cpu_to_be_32(6u << 28 | (uint32_t)ecn << 20),
		.payload_len = rte_cpu_to_be_16((uint16_t)len),
		.proto = IPPROTO_TCP,
		.hop_limits = TTL,
	};
	memcpy(ip->src_addr, &tuple->local, 16);
	memcpy(ip->dst_addr, &tuple->remote, 16);
	m->ol_flags |= RTE_MBUF_F_TX_IPV6 | RTE_MBUF_F_TX_TCP_CKSUM;
	return rte_ipv6_phdr_cksum(ip, m->ol_flags);
}

static void
write_tcp(struct rte_mbuf *m, const struct tcp_tuple *tuple, const struct tcp_header *header,
	  uint16_t checksum)
{
	struct rte_tcp_hdr *tcp = rte_pktmbuf_mtod_offset(m, struct rte_tcp_hdr *, m->l3_len);

	*tcp = (struct rte_tcp_hdr){
		.src_port = rte_cpu_to_be_16(tuple->local_port),
		.dst_port = rte_cpu_to_be_16(tuple->remote_port),
		.sent_seq = rte_cpu_to_be_32(header->seq),
		.recv_ack = rte_cpu_to_be_32(header->ack),
		.data_off = (uint8_t)(m->l4_len / 4 << 4),
		.tcp_flags = header->flags,
		.rx_win = rte_cpu_to_be_16(header->window),
		.cksum = checksum,
	};
	if (header->options_len > 0)
		memcpy(tcp + 1, header->options, header->options_len);
}

struct rte_mbuf *
tcp_build_header(struct tcp_stack *stack, const struct tcp_tuple *tuple,
		 const struct tcp_header *header)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(stack->config.header_pool);
	bool ipv4 = tcp_is_mapped(&tuple->local) && tcp_is_mapped(&tuple->remote);
	uint16_t checksum;

	if (m == NULL) {
		stack->counters.no_buffers++;
		return NULL;
	}
	m->l2_len = 0;
	m->l3_len = ipv4 ? sizeof(struct rte_ipv4_hdr) : sizeof(struct rte_ipv6_hdr);
	m->l4_len = TCP_HEADER_LEN + header->options_len;
	m->data_len = m->l3_len + m->l4_len;
	m->pkt_len = m->data_len;
	m->packet_type = ipv4 ? RTE_PTYPE_L3_IPV4 : RTE_PTYPE_L3_IPV6;
	checksum = (ipv4 ? write_ipv4 : write_ipv6)(m, tuple, m->l4_len + header->payload,
						    header->ecn);
	write_tcp(m, tuple, header, checksum);
	tcp_build_set_path(m, header->path);
	return m;
}

bool
tcp_build_payload(struct tcp_stack *stack, struct rte_mbuf *head, const struct rte_mbuf *payload,
		  uint32_t off, uint32_t len)
{
	struct rte_mbuf *tail = head;

	for (; len > 0; payload = payload->next, off = 0) {
		uint16_t n = RTE_MIN(len, payload->data_len - off);
		struct rte_mbuf *slice = rte_pktmbuf_alloc(stack->config.indirect_pool);

		if (slice == NULL) {
			stack->counters.no_buffers++;
			rte_pktmbuf_free(head);
			return false;
		}
		/* Counts a reference on the buffer; the bytes stay as they are. */
		rte_pktmbuf_attach(slice, (struct rte_mbuf *)(uintptr_t)payload);
		slice->data_off = payload->data_off + off;
		slice->data_len = n;
		tail->next = slice;
		tail = slice;
		head->nb_segs++;
		head->pkt_len += n;
		len -= n;
	}
	return true;
}

/* A full ring or an empty pool drops the reply: it answers something that will come again. */
void
tcp_reply(struct tcp_stack *stack, const struct tcp_tuple *tuple, const struct tcp_header *header)
{
	struct rte_mbuf *m;

	if (stack->replies_tail - stack->replies_head == TCP_REPLIES) {
		stack->counters.no_buffers++;
		return;
	}
	m = tcp_build_header(stack, tuple, header);
	if (m != NULL)
		stack->replies[stack->replies_tail++ % TCP_REPLIES] = m;
}

void
tcp_reply_reset(struct tcp_stack *stack, const struct tcp_tuple *tuple,
		const struct tcp_segment *segment, uint32_t path)
{
	struct tcp_header header = {.flags = TCP_RST, .path = path};

	if (segment->flags & TCP_RST)
		return;
	if (segment->flags & TCP_ACK) {
		header.seq = segment->ack;
	} else {
		header.flags |= TCP_ACK;
		header.ack = segment->seq + segment->len + !!(segment->flags & TCP_SYN) +
			     !!(segment->flags & TCP_FIN);
	}
	stack->counters.resets_out++;
	tcp_reply(stack, tuple, &header);
}
