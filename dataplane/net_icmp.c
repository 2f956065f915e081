/* SPDX-License-Identifier: Apache-2.0 */

#include <netinet/icmp6.h>
#include <netinet/ip_icmp.h>

#include "dataplane/net_checksum.h"
#include "dataplane/net_internal.h"

/* ICMP (RFC 792) and ICMPv6 (RFC 4443): echo, and errors in both directions. */

#define KIND_SOFT 0
#define KIND_HARD 1
#define KIND_TOO_BIG 2

/* What a TCP segment must show of itself to be recognised: ports and sequence number. */
#define QUOTED_TCP 8

/* How long an error that we send may be. */
#define ERROR4_MAX 576  /* RFC 1812 section 4.3.2.3 */
#define ERROR6_MAX 1280 /* RFC 4443 section 2.4 (c) */

struct icmp_header {
	uint8_t type, code;
	rte_be16_t checksum;
	rte_be32_t rest;
} __rte_packed;

/* --- errors that we receive ------------------------------------------------------------------ */

/* RFC 1191 section 5: a router of before 1990 does not say its MTU. */
static uint16_t
plateau_below(uint16_t length)
{
	static const uint16_t plateaus[] = {32000, 17914, 8166, 4352, 2002, 1492, 1006, 508, 296};

	for (size_t i = 0; i < RTE_DIM(plateaus); i++)
		if (plateaus[i] < length)
			return plateaus[i];
	return 68;
}

static void
classify4(const struct icmp_header *icmp, uint16_t quoted_length, struct net_icmp_error *error)
{
	error->kind = KIND_SOFT;
	if (icmp->type != ICMP_DEST_UNREACH)
		return;
	if (icmp->code == ICMP_FRAG_NEEDED) {
		error->kind = KIND_TOO_BIG;
		error->mtu = (uint16_t)rte_be_to_cpu_32(icmp->rest);
		if (error->mtu == 0)
			error->mtu = plateau_below(quoted_length);
	} else if (icmp->code == ICMP_PROT_UNREACH || icmp->code == ICMP_PORT_UNREACH) {
		error->kind = KIND_HARD;
	}
}

static void
classify6(const struct icmp_header *icmp, struct net_icmp_error *error)
{
	error->kind = KIND_SOFT;
	if (icmp->type == ICMP6_PACKET_TOO_BIG) {
		error->kind = KIND_TOO_BIG;
		error->mtu = (uint16_t)RTE_MIN(rte_be_to_cpu_32(icmp->rest), (uint32_t)UINT16_MAX);
	} else if ((icmp->type == ICMP6_DST_UNREACH && icmp->code == ICMP6_DST_UNREACH_NOPORT) ||
		   (icmp->type == ICMP6_PARAM_PROB && icmp->code == ICMP6_PARAMPROB_NEXTHEADER)) {
		error->kind = KIND_HARD;
	}
}

static void
read_tcp(const uint8_t *tcp, struct net_icmp_error *error)
{
	rte_be16_t ports[2];
	rte_be32_t seq;

	memcpy(ports, tcp, sizeof(ports));
	memcpy(&seq, tcp + sizeof(ports), sizeof(seq));
	error->local_port = rte_be_to_cpu_16(ports[0]);
	error->remote_port = rte_be_to_cpu_16(ports[1]);
	error->seq = rte_be_to_cpu_32(seq);
}

/* Reads the packet that an error quotes: our packet, so its source is what is local. */
static bool
parse_quote4(const struct icmp_header *icmp, const uint8_t *quote, uint32_t len,
	     struct net_icmp_error *error)
{
	const struct rte_ipv4_hdr *ip = (const struct rte_ipv4_hdr *)quote;
	uint32_t header;

	if (len < NET_IP4_HEADER || ip->version_ihl >> 4 != 4)
		return false;
	header = rte_ipv4_hdr_len(ip);
	if (header < NET_IP4_HEADER || len < header + QUOTED_TCP ||
	    ip->next_proto_id != IPPROTO_TCP ||
	    (ip->fragment_offset & rte_cpu_to_be_16(RTE_IPV4_HDR_OFFSET_MASK)) != 0)
		return false;
	error->local = net_mapped(ip->src_addr);
	error->remote = net_mapped(ip->dst_addr);
	read_tcp(quote + header, error);
	classify4(icmp, rte_be_to_cpu_16(ip->total_length), error);
	return true;
}

static bool
parse_quote6(const struct icmp_header *icmp, const uint8_t *quote, uint32_t len,
	     struct net_icmp_error *error)
{
	const struct rte_ipv6_hdr *ip = (const struct rte_ipv6_hdr *)quote;
	struct net_ip6_upper upper;

	if (len < NET_IP6_HEADER || rte_be_to_cpu_32(ip->vtc_flow) >> 28 != 6)
		return false;
	upper = net_ip6_walk(quote, len);
	if (upper.broken || upper.fragment || upper.protocol != IPPROTO_TCP ||
	    len < (uint32_t)upper.l3_len + QUOTED_TCP)
		return false;
	error->local = net_in6(ip->src_addr);
	error->remote = net_in6(ip->dst_addr);
	if (IN6_IS_ADDR_V4MAPPED(&error->local) || IN6_IS_ADDR_V4MAPPED(&error->remote))
		return false;
	read_tcp(quote + upper.l3_len, error);
	classify6(icmp, error);
	return true;
}

/* Appends what the error at `l3_len` says, if it is about TCP. */
static void
note_error(struct net_turn *turn, const struct rte_mbuf *m, uint16_t l3_len, bool ip6)
{
	uint8_t buffer[sizeof(struct icmp_header) + NET_L3_MAX + QUOTED_TCP];
	uint32_t len = RTE_MIN(m->pkt_len - l3_len, (uint32_t)sizeof(buffer));
	const uint8_t *message = rte_pktmbuf_read(m, l3_len, len, buffer);
	const struct icmp_header *icmp = (const struct icmp_header *)message;
	struct net_icmp_error error = {0};

	turn->net->counters.icmp_errors_in++;
	if (message == NULL || turn->n_errors == turn->max_errors)
		return;
	message += sizeof(*icmp);
	len -= sizeof(*icmp);
	if (ip6 ? parse_quote6(icmp, message, len, &error)
		: parse_quote4(icmp, message, len, &error))
		turn->errors[turn->n_errors++] = error;
}

/* Tells our own TCP, with the next net_input(), what a router would tell it. */
void
net_icmp_note_unreachable(struct net *net, const struct rte_mbuf *m)
{
	const uint8_t *packet = rte_pktmbuf_mtod(m, const uint8_t *);
	const struct icmp_header soft = {.type = UINT8_MAX};
	struct net_icmp_error error = {0};
	bool ip6 = m->data_len > 0 && packet[0] >> 4 == 6;

	if (net->n_unreachable < RTE_DIM(net->unreachable) &&
	    (ip6 ? parse_quote6(&soft, packet, m->data_len, &error)
		 : parse_quote4(&soft, packet, m->data_len, &error)))
		net->unreachable[net->n_unreachable++] = error;
}

/* --- echo ---------------------------------------------------------------------------------------
 */

static void
echo4(struct net_turn *turn, struct rte_mbuf *m, uint16_t l3_len)
{
	struct rte_ipv4_hdr *ip = rte_pktmbuf_mtod(m, struct rte_ipv4_hdr *);
	struct icmp_header *icmp = rte_pktmbuf_mtod_offset(m, struct icmp_header *, l3_len);
	rte_be32_t from = ip->src_addr;

	icmp->type = ICMP_ECHOREPLY;
	icmp->checksum = net_checksum_adjust(icmp->checksum, rte_cpu_to_be_16(ICMP_ECHO << 8),
					     rte_cpu_to_be_16(ICMP_ECHOREPLY << 8));
	ip->src_addr = ip->dst_addr;
	ip->dst_addr = from;
	ip->time_to_live = NET_HOP_LIMIT;
	ip->hdr_checksum = 0;
	ip->hdr_checksum = ~rte_raw_cksum(ip, l3_len);
	turn->net->counters.echo_in++;
	net_output_one(turn->net, m, turn->now);
}

static void
echo6(struct net_turn *turn, struct rte_mbuf *m, uint16_t l3_len)
{
	struct rte_ipv6_hdr *ip = rte_pktmbuf_mtod(m, struct rte_ipv6_hdr *);
	struct icmp_header *icmp = rte_pktmbuf_mtod_offset(m, struct icmp_header *, l3_len);
	struct in6_addr from = net_in6(ip->src_addr);

	icmp->type = ICMP6_ECHO_REPLY;
	icmp->checksum =
		net_checksum_adjust(icmp->checksum, rte_cpu_to_be_16(ICMP6_ECHO_REQUEST << 8),
				    rte_cpu_to_be_16(ICMP6_ECHO_REPLY << 8));
	memcpy(ip->src_addr, ip->dst_addr, sizeof(from));
	memcpy(ip->dst_addr, &from, sizeof(from));
	ip->hop_limits = NET_HOP_LIMIT;
	turn->net->counters.echo_in++;
	net_output_one(turn->net, m, turn->now);
}

/* --- input
 * ---------------------------------------------------------------------------------------- */

static bool
is_error4(uint8_t type)
{
	return type == ICMP_DEST_UNREACH || type == ICMP_SOURCE_QUENCH || type == ICMP_REDIRECT ||
	       type == ICMP_TIME_EXCEEDED || type == ICMP_PARAMETERPROB;
}

/* Of the errors, those that TCP heeds (RFC 5927, RFC 6633: not source quench). */
static bool
is_heeded4(uint8_t type)
{
	return type == ICMP_DEST_UNREACH || type == ICMP_TIME_EXCEEDED ||
	       type == ICMP_PARAMETERPROB;
}

/* The message's header; NULL: counted and dropped. */
static const struct icmp_header *
check(struct net_turn *turn, struct rte_mbuf *m, uint16_t l3_len, bool ip6)
{
	uint32_t len = m->pkt_len - l3_len;
	uint16_t sum;

	if (len < sizeof(struct icmp_header) || !net_pull(m, l3_len + NET_ICMP_HEADER)) {
		net_drop(m, &turn->net->counters.bad_ip_header);
		return NULL;
	}
	sum = net_sum(m, l3_len);
	if (ip6)
		sum = net_sum_add(sum, net_pseudo_sum(rte_pktmbuf_mtod(m, const void *), true,
						      IPPROTO_ICMPV6, len));
	if (sum != 0xffff) {
		net_drop(m, &turn->net->counters.bad_l4_checksum);
		return NULL;
	}
	return rte_pktmbuf_mtod_offset(m, const struct icmp_header *, l3_len);
}

void
net_icmp4_input(struct net_turn *turn, const struct net_frame *frame, struct rte_mbuf *m,
		uint16_t l3_len, bool local)
{
	const struct icmp_header *icmp = check(turn, m, l3_len, false);

	if (icmp == NULL)
		return;
	if (is_heeded4(icmp->type))
		note_error(turn, m, l3_len, false);
	if (!local)
		net_forward_one(turn->net, m, turn->now);
	else if (icmp->type == ICMP_ECHO)
		echo4(turn, m, l3_len);
	else if (is_heeded4(icmp->type))
		rte_pktmbuf_free(m);
	else
		net_drop(m, &turn->net->counters.other_protocol);
}

static bool
is_error6(uint8_t type)
{
	return (type & ICMP6_INFOMSG_MASK) == 0;
}

void
net_icmp6_input(struct net_turn *turn, const struct net_frame *frame, struct rte_mbuf *m,
		uint16_t l3_len, bool local)
{
	const struct icmp_header *icmp = check(turn, m, l3_len, true);
	bool group;

	if (icmp == NULL)
		return;
	group = rte_pktmbuf_mtod(m, const struct rte_ipv6_hdr *)->dst_addr[0] == 0xff;
	if (is_error6(icmp->type) && !group)
		note_error(turn, m, l3_len, true);
	if ((local || group) &&
	    (icmp->type == ND_NEIGHBOR_SOLICIT || icmp->type == ND_NEIGHBOR_ADVERT))
		net_nd_input(turn, frame, m, l3_len);
	else if (!local && !group)
		net_forward_one(turn->net, m, turn->now);
	else if (icmp->type == ICMP6_ECHO_REQUEST && local)
		echo6(turn, m, l3_len);
	else if (is_error6(icmp->type) && local)
		rte_pktmbuf_free(m);
	else
		net_drop(m, &turn->net->counters.other_protocol);
}

/* --- errors that we send ------------------------------------------------------------------------
 */

static const struct {
	uint8_t type4, code4, type6, code6;
} complaints[] = {
	[NET_TIME_EXCEEDED] = {ICMP_TIME_EXCEEDED, ICMP_EXC_TTL, ICMP6_TIME_EXCEEDED,
			       ICMP6_TIME_EXCEED_TRANSIT},
	[NET_TOO_BIG] = {ICMP_DEST_UNREACH, ICMP_FRAG_NEEDED, ICMP6_PACKET_TOO_BIG, 0},
	[NET_NO_ROUTE] = {ICMP_DEST_UNREACH, ICMP_NET_UNREACH, ICMP6_DST_UNREACH,
			  ICMP6_DST_UNREACH_NOROUTE},
	[NET_HOST_UNREACHABLE] = {ICMP_DEST_UNREACH, ICMP_HOST_UNREACH, ICMP6_DST_UNREACH,
				  ICMP6_DST_UNREACH_ADDR},
	[NET_PORT_UNREACHABLE] = {ICMP_DEST_UNREACH, ICMP_PORT_UNREACH, ICMP6_DST_UNREACH,
				  ICMP6_DST_UNREACH_NOPORT},
};

/* RFC 1122 section 3.2.2: about what no error is sent. */
static bool
may_complain4(const struct net *net, const struct rte_mbuf *about)
{
	const struct rte_ipv4_hdr *ip = rte_pktmbuf_mtod(about, const struct rte_ipv4_hdr *);
	uint16_t header = rte_ipv4_hdr_len(ip);
	uint8_t buffer, *type;

	if (!net_ip4_usable_source(net, ip->src_addr) || net_is_broadcast(net, ip->dst_addr) ||
	    rte_be_to_cpu_32(ip->dst_addr) >= NET_IP4_GROUPS ||
	    (ip->fragment_offset & rte_cpu_to_be_16(RTE_IPV4_HDR_OFFSET_MASK)) != 0)
		return false;
	if (ip->next_proto_id != IPPROTO_ICMP)
		return true;
	type = (uint8_t *)(uintptr_t)rte_pktmbuf_read(about, header, 1, &buffer);
	return type != NULL && !is_error4(*type);
}

/* RFC 4443 section 2.4 (e). */
static bool
may_complain6(const struct net *net, const struct rte_mbuf *about)
{
	const struct rte_ipv6_hdr *ip = rte_pktmbuf_mtod(about, const struct rte_ipv6_hdr *);
	struct in6_addr source = net_in6(ip->src_addr);
	struct net_ip6_upper upper;
	uint8_t buffer, *type;

	if (!net_ip6_usable_source(net, &source) || ip->dst_addr[0] == 0xff)
		return false;
	upper = net_ip6_walk((const uint8_t *)ip, about->data_len);
	if (upper.broken || upper.fragment)
		return false;
	if (upper.protocol != IPPROTO_ICMPV6)
		return true;
	type = (uint8_t *)(uintptr_t)rte_pktmbuf_read(about, upper.l3_len, 1, &buffer);
	return type != NULL && !is_error6(*type) && *type != ND_REDIRECT;
}

/* Appends as much of `about` as `max` bytes allow. */
static bool
quote(struct rte_mbuf *m, const struct rte_mbuf *about, uint32_t max)
{
	uint32_t len = RTE_MIN(about->pkt_len, max - m->pkt_len);
	char *to;
	const void *from;

	len = RTE_MIN(len, (uint32_t)rte_pktmbuf_tailroom(m));
	to = rte_pktmbuf_append(m, (uint16_t)len);
	if (to == NULL)
		return false;
	from = rte_pktmbuf_read(about, 0, len, to);
	if (from != to)
		memcpy(to, from, len);
	return true;
}

static void
fill4(struct net *net, struct rte_mbuf *m, const struct in6_addr *from, const struct in6_addr *to)
{
	struct rte_ipv4_hdr *ip = rte_pktmbuf_mtod(m, struct rte_ipv4_hdr *);
	struct icmp_header *icmp = (struct icmp_header *)(ip + 1);

	ip->version_ihl = RTE_IPV4_VHL_DEF;
	ip->total_length = rte_cpu_to_be_16((uint16_t)m->pkt_len);
	ip->packet_id = rte_cpu_to_be_16(net->ip_id++);
	ip->time_to_live = NET_HOP_LIMIT;
	ip->next_proto_id = IPPROTO_ICMP;
	ip->src_addr = net_ip4_of(from);
	ip->dst_addr = net_ip4_of(to);
	ip->hdr_checksum = ~rte_raw_cksum(ip, sizeof(*ip));
	icmp->checksum = ~net_sum(m, sizeof(*ip));
}

static void
fill6(struct rte_mbuf *m, const struct in6_addr *from, const struct in6_addr *to)
{
	struct rte_ipv6_hdr *ip = rte_pktmbuf_mtod(m, struct rte_ipv6_hdr *);
	struct icmp_header *icmp = (struct icmp_header *)(ip + 1);
	uint16_t len = (uint16_t)(m->pkt_len - sizeof(*ip));

	ip->vtc_flow = rte_cpu_to_be_32(6u << 28);
	ip->payload_len = rte_cpu_to_be_16(len);
	ip->proto = IPPROTO_ICMPV6;
	ip->hop_limits = NET_HOP_LIMIT;
	memcpy(ip->src_addr, from, sizeof(*from));
	memcpy(ip->dst_addr, to, sizeof(*to));
	icmp->checksum = ~net_sum_add(net_sum(m, sizeof(*ip)),
				      net_pseudo_sum(ip, true, IPPROTO_ICMPV6, len));
}

static struct rte_mbuf *
make_complaint(struct net *net, const struct rte_mbuf *about, enum net_complaint what, bool ip6,
	       uint16_t mtu)
{
	uint16_t l3_len = ip6 ? NET_IP6_HEADER : NET_IP4_HEADER;
	struct rte_mbuf *m = net_new_packet(net, l3_len + sizeof(struct icmp_header));
	struct icmp_header *icmp;

	if (m == NULL)
		return NULL;
	icmp = rte_pktmbuf_mtod_offset(m, struct icmp_header *, l3_len);
	icmp->type = ip6 ? complaints[what].type6 : complaints[what].type4;
	icmp->code = ip6 ? complaints[what].code6 : complaints[what].code4;
	icmp->rest = what == NET_TOO_BIG ? rte_cpu_to_be_32(mtu) : 0;
	if (!quote(m, about, ip6 ? ERROR6_MAX : ERROR4_MAX)) {
		net_drop(m, &net->counters.no_buffers);
		return NULL;
	}
	return m;
}

void
net_icmp_complain(struct net *net, const struct rte_mbuf *about, enum net_complaint what,
		  uint16_t mtu, uint64_t now)
{
	const uint8_t *packet = rte_pktmbuf_mtod(about, const uint8_t *);
	bool ip6 = packet[0] >> 4 == 6;
	struct in6_addr from, to;
	struct rte_mbuf *m;
	struct net_hop hop;

	to = ip6 ? net_in6(((const struct rte_ipv6_hdr *)packet)->src_addr)
		 : net_mapped(((const struct rte_ipv4_hdr *)packet)->src_addr);
	if (!(ip6 ? may_complain6(net, about) : may_complain4(net, about)) ||
	    !net_route_back(net, about, &to, &hop) || !net_source(net, &hop, &from) ||
	    !net_bucket_take(&net->errors, now))
		return;
	if (IN6_IS_ADDR_LINKLOCAL(&to))
		from = hop.out->link_local;
	m = make_complaint(net, about, what, ip6, mtu);
	if (m == NULL)
		return;
	if (ip6)
		fill6(m, &from, &to);
	else
		fill4(net, m, &from, &to);
	net->counters.icmp_errors_out++;
	m->port = about->port;
	net_output_one(net, m, now);
}
