/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/packet.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include <rte_byteorder.h>
#include <rte_ip.h>
#include <rte_mbuf_ptype.h>
#include <rte_tcp.h>

static bool
is_mapped(const struct in6_addr *a)
{
	return IN6_IS_ADDR_V4MAPPED(a);
}

struct in6_addr
packet_v4(uint8_t a, uint8_t b, uint8_t c, uint8_t d)
{
	struct in6_addr addr = {{{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b, c, d}}};

	return addr;
}

struct in6_addr
packet_v6(uint16_t n)
{
	struct in6_addr addr = {{{0xfd, 0}}};

	addr.s6_addr[14] = (uint8_t)(n >> 8);
	addr.s6_addr[15] = (uint8_t)n;
	return addr;
}

/* --- reading ------------------------------------------------------------------------ */

static uint16_t
get16(const uint8_t *at)
{
	return (uint16_t)(at[0] << 8 | at[1]);
}

static uint32_t
get32(const uint8_t *at)
{
	return (uint32_t)get16(at) << 16 | get16(at + 2);
}

static void
parse_one_option(struct packet *p, const uint8_t *opt, uint8_t len)
{
	switch (opt[0]) {
	case 2:
		p->mss = len == 4 ? get16(opt + 2) : 0;
		break;
	case 3:
		p->wscale = len == 3 ? opt[2] : -1;
		break;
	case 4:
		p->sack_permitted = len == 2;
		break;
	case 5:
		for (uint8_t at = 2; at + 8 <= len && p->n_sack < PACKET_MAX_SACK; at += 8) {
			p->sack[p->n_sack].left = get32(opt + at);
			p->sack[p->n_sack++].right = get32(opt + at + 4);
		}
		break;
	case 8:
		p->has_ts = len == 10;
		p->tsval = len == 10 ? get32(opt + 2) : 0;
		p->tsecr = len == 10 ? get32(opt + 6) : 0;
		break;
	default:
		break;
	}
}

static bool
parse_options(struct packet *p)
{
	uint8_t at = 0;

	p->wscale = -1;
	while (at < p->opts_len && p->opts[at] != 0) {
		if (p->opts[at] == 1) {
			at++;
			continue;
		}
		if (at + 2 > p->opts_len || p->opts[at + 1] < 2 ||
		    at + p->opts[at + 1] > p->opts_len)
			return false;
		parse_one_option(p, p->opts + at, p->opts[at + 1]);
		at = (uint8_t)(at + p->opts[at + 1]);
	}
	return true;
}

static bool
parse_tcp(const uint8_t *tcp, size_t len, struct packet *p)
{
	if (len < 20 || (tcp[12] >> 4) < 5 || (size_t)(tcp[12] >> 4) * 4 > len)
		return false;
	p->sport = get16(tcp);
	p->dport = get16(tcp + 2);
	p->seq = get32(tcp + 4);
	p->ack = get32(tcp + 8);
	p->l4_len = (uint16_t)((tcp[12] >> 4) * 4);
	p->flags = tcp[13];
	p->wnd = get16(tcp + 14);
	p->opts_len = (uint8_t)(p->l4_len - 20);
	memcpy(p->opts, tcp + 20, p->opts_len);
	p->payload_len = (uint16_t)(len - p->l4_len);
	return parse_options(p);
}

static bool
parse_ipv4(const uint8_t *bytes, size_t len, struct packet *p)
{
	const struct rte_ipv4_hdr *ip = (const struct rte_ipv4_hdr *)bytes;
	size_t ihl = (size_t)(bytes[0] & 15) * 4;

	if (len < 40 || ihl < 20 || ihl + 20 > len || get16(bytes + 2) != len || bytes[9] != 6)
		return false;
	if ((get16(bytes + 6) & 0x3fff) != 0 || rte_raw_cksum(bytes, ihl) != 0xffff)
		return false;
	if (rte_ipv4_udptcp_cksum_verify(ip, bytes + ihl) != 0)
		return false;
	p->dont_fragment = (bytes[6] & 0x40) != 0;
	p->ecn = bytes[1] & 3;
	p->src = packet_v4(bytes[12], bytes[13], bytes[14], bytes[15]);
	p->dst = packet_v4(bytes[16], bytes[17], bytes[18], bytes[19]);
	p->l3_len = (uint16_t)ihl;
	return parse_tcp(bytes + ihl, len - ihl, p);
}

static bool
parse_ipv6(const uint8_t *bytes, size_t len, struct packet *p)
{
	if (len < 60 || get16(bytes + 4) + 40u != len || bytes[6] != 6)
		return false;
	if (rte_ipv6_udptcp_cksum_verify((const struct rte_ipv6_hdr *)bytes, bytes + 40) != 0)
		return false;
	p->is_v6 = true;
	p->dont_fragment = true;
	p->ecn = bytes[1] >> 4 & 3;
	memcpy(&p->src, bytes + 8, 16);
	memcpy(&p->dst, bytes + 24, 16);
	p->l3_len = 40;
	return parse_tcp(bytes + 40, len - 40, p);
}

bool
packet_parse(const uint8_t *bytes, size_t len, struct packet *p)
{
	memset(p, 0, sizeof(*p));
	p->total_len = (uint16_t)len;
	if (len > 0 && bytes[0] >> 4 == 4)
		return parse_ipv4(bytes, len, p);
	return len > 0 && bytes[0] >> 4 == 6 && parse_ipv6(bytes, len, p);
}

/* --- writing ------------------------------------------------------------------------ */

static void
put16(uint8_t *at, uint16_t value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
}

static void
put32(uint8_t *at, uint32_t value)
{
	put16(at, (uint16_t)(value >> 16));
	put16(at + 2, (uint16_t)value);
}

static size_t
write_ip(uint8_t *out, const struct packet *p, size_t l4)
{
	if (!is_mapped(&p->src)) {
		memset(out, 0, 40);
		out[0] = 0x60;
		out[1] = (uint8_t)(p->ecn << 4);
		put16(out + 4, (uint16_t)l4);
		out[6] = 6;
		out[7] = 64;
		memcpy(out + 8, &p->src, 16);
		memcpy(out + 24, &p->dst, 16);
		return 40;
	}
	memset(out, 0, 20);
	out[0] = 0x45;
	out[1] = p->ecn;
	put16(out + 2, (uint16_t)(20 + l4));
	out[6] = 0x40;
	out[8] = 64;
	out[9] = 6;
	memcpy(out + 12, &p->src.s6_addr[12], 4);
	memcpy(out + 16, &p->dst.s6_addr[12], 4);
	uint16_t sum = (uint16_t)~rte_raw_cksum(out, 20);

	memcpy(out + 10, &sum, 2);
	return 20;
}

static void
write_l4_checksum(uint8_t *ip, uint8_t *tcp)
{
	uint16_t sum;

	tcp[16] = tcp[17] = 0;
	if (ip[0] >> 4 == 4)
		sum = rte_ipv4_udptcp_cksum((const struct rte_ipv4_hdr *)ip, tcp);
	else
		sum = rte_ipv6_udptcp_cksum((const struct rte_ipv6_hdr *)ip, tcp);
	memcpy(tcp + 16, &sum, 2);
}

size_t
packet_write(uint8_t *out, const struct packet *p, const void *payload, uint16_t len)
{
	size_t whole = 20u + p->opts_len + len;
	size_t l4 = whole - (p->cut < whole ? p->cut : whole);
	uint8_t tcp[20 + sizeof(p->opts)] = {0};
	size_t header = 20u + p->opts_len;

	put16(tcp, p->sport);
	put16(tcp + 2, p->dport);
	put32(tcp + 4, p->seq);
	put32(tcp + 8, p->ack);
	tcp[12] = (uint8_t)((p->data_offset != 0 ? p->data_offset : header / 4) << 4);
	tcp[13] = p->flags;
	put16(tcp + 14, p->wnd);
	memcpy(tcp + 20, p->opts, p->opts_len);

	size_t l3 = write_ip(out, p, l4);
	uint8_t *at = out + l3;

	memcpy(at, tcp, header);
	if (len != 0)
		memcpy(at + header, payload, len);
	if (l4 >= 20)
		write_l4_checksum(out, at);
	return l3 + l4;
}

#define FIRST_BUFFER 128

static size_t
fill(struct rte_mbuf *m, const uint8_t *bytes, size_t len, size_t most)
{
	size_t n = rte_pktmbuf_tailroom(m);

	if (n > most)
		n = most;
	if (n > len)
		n = len;
	memcpy(rte_pktmbuf_mtod(m, void *), bytes, n);
	m->data_len = (uint16_t)n;
	return n;
}

struct rte_mbuf *
packet_to_mbuf(struct rte_mempool *pool, const uint8_t *bytes, size_t len, uint16_t piece)
{
	struct rte_mbuf *head = rte_pktmbuf_alloc(pool), *last = head;

	if (head == NULL)
		return NULL;
	size_t done = fill(head, bytes, len, piece == 0 ? SIZE_MAX : FIRST_BUFFER);

	while (done < len) {
		struct rte_mbuf *m = rte_pktmbuf_alloc(pool);

		if (m == NULL) {
			rte_pktmbuf_free(head);
			return NULL;
		}
		done += fill(m, bytes + done, len - done, piece == 0 ? SIZE_MAX : piece);
		last->next = m;
		last = m;
		head->nb_segs++;
	}
	head->pkt_len = (uint32_t)len;
	bool v4 = bytes[0] >> 4 == 4;

	head->packet_type = (v4 ? RTE_PTYPE_L3_IPV4 : RTE_PTYPE_L3_IPV6) | RTE_PTYPE_L4_TCP;
	head->l3_len = v4 ? (bytes[0] & 15u) * 4 : 40;
	return head;
}

struct rte_mbuf *
packet_build(struct rte_mempool *pool, const struct packet *p, const void *payload, uint16_t len)
{
	static uint8_t bytes[65536 + 128];

	return packet_to_mbuf(pool, bytes, packet_write(bytes, p, payload, len), 0);
}

/* --- what a port does ----------------------------------------------------------------- */

/* Checks the descriptor of a segment that tcp_output() gave; NULL: it is as promised. */
static const char *
check_descriptor(const struct rte_mbuf *m)
{
	bool v4 = (m->ol_flags & RTE_MBUF_F_TX_IPV4) != 0;

	if (v4 == ((m->ol_flags & RTE_MBUF_F_TX_IPV6) != 0))
		return "not exactly one of TX_IPV4 and TX_IPV6";
	if (v4 && (m->ol_flags & RTE_MBUF_F_TX_IP_CKSUM) == 0)
		return "TX_IP_CKSUM is missing";
	if ((m->ol_flags & RTE_MBUF_F_TX_L4_MASK) != RTE_MBUF_F_TX_TCP_CKSUM)
		return "TX_TCP_CKSUM is missing";
	if (rte_pktmbuf_headroom(m) < RTE_PKTMBUF_HEADROOM)
		return "too little headroom";
	if (m->l3_len != (v4 ? 20 : 40))
		return "l3_len";
	if (m->l4_len < 20 || m->data_len < m->l3_len + m->l4_len)
		return "l4_len";
	if (RTE_MBUF_HAS_EXTBUF(m) || RTE_MBUF_CLONED(m) || rte_mbuf_refcnt_read(m) != 1)
		return "the header buffer is shared";
	return NULL;
}

static const char *
check_chain(const struct rte_mbuf *m)
{
	const char *why = NULL;
	uint32_t len = 0;
	uint16_t segs = 0;

	if (rte_mbuf_check(m, 1, &why) != 0)
		return why;
	for (const struct rte_mbuf *s = m; s != NULL; s = s->next) {
		len += s->data_len;
		segs++;
		if (s != m && s->data_len == 0)
			return "an empty buffer in the chain";
	}
	if (len != m->pkt_len)
		return "pkt_len";
	return segs == m->nb_segs ? NULL : "nb_segs";
}

static const char *
finish_checksums(const struct rte_mbuf *m, uint8_t *bytes, size_t len)
{
	uint8_t *tcp = bytes + m->l3_len;
	uint16_t pseudo, field;

	memcpy(&field, tcp + 16, 2);
	if (bytes[0] == 0x45) {
		pseudo = rte_ipv4_phdr_cksum((const struct rte_ipv4_hdr *)bytes, m->ol_flags);
		bytes[10] = bytes[11] = 0;
		uint16_t sum = (uint16_t)~rte_raw_cksum(bytes, 20);

		memcpy(bytes + 10, &sum, 2);
	} else {
		pseudo = rte_ipv6_phdr_cksum((const struct rte_ipv6_hdr *)bytes, m->ol_flags);
	}
	if (field != pseudo)
		return "the checksum field does not hold the sum of the pseudo-header";
	uint16_t sum = (uint16_t)~rte_raw_cksum(tcp, len - m->l3_len);

	memcpy(tcp + 16, &sum, 2);
	return NULL;
}

size_t
packet_transmit(const struct rte_mbuf *m, uint8_t *out, size_t room, const char **why)
{
	size_t len = 0;

	*why = check_descriptor(m);
	if (*why == NULL)
		*why = check_chain(m);
	if (*why == NULL && m->pkt_len > room)
		*why = "longer than any MTU";
	if (*why != NULL)
		return 0;
	for (const struct rte_mbuf *s = m; s != NULL; s = s->next) {
		memcpy(out + len, rte_pktmbuf_mtod(s, const void *), s->data_len);
		len += s->data_len;
	}
	*why = finish_checksums(m, out, len);
	if (*why != NULL)
		return 0;
	struct packet p;

	if (!packet_parse(out, len, &p) || p.l4_len != m->l4_len) {
		*why = "not a TCP segment with honest lengths and right checksums";
		return 0;
	}
	return len;
}

/* --- for people ----------------------------------------------------------------------- */

static void
print_addr(const struct in6_addr *a, char *out, size_t room)
{
	if (is_mapped(a))
		inet_ntop(AF_INET, &a->s6_addr[12], out, (socklen_t)room);
	else
		inet_ntop(AF_INET6, a, out, (socklen_t)room);
}

void
packet_print(const struct packet *p, char *out, size_t room)
{
	char src[INET6_ADDRSTRLEN], dst[INET6_ADDRSTRLEN], flags[10];
	static const char letters[] = "FSRP.UEC";
	size_t n = 0;

	print_addr(&p->src, src, sizeof(src));
	print_addr(&p->dst, dst, sizeof(dst));
	for (size_t i = 0; i < 8; i++) {
		if (p->flags & 1 << i)
			flags[n++] = letters[i];
	}
	flags[n] = '\0';
	n = (size_t)snprintf(out, room, "%s:%u > %s:%u %s seq %u ack %u win %u len %u", src,
			     p->sport, dst, p->dport, flags, p->seq, p->ack, p->wnd,
			     p->payload_len);
	if (n < room && p->mss != 0)
		n += (size_t)snprintf(out + n, room - n, " mss %u", p->mss);
	if (n < room && p->wscale >= 0)
		n += (size_t)snprintf(out + n, room - n, " wscale %d", p->wscale);
	if (n < room && p->sack_permitted)
		n += (size_t)snprintf(out + n, room - n, " sackOK");
	if (n < room && p->has_ts)
		n += (size_t)snprintf(out + n, room - n, " ts %u/%u", p->tsval, p->tsecr);
	for (unsigned int i = 0; i < p->n_sack && n < room; i++)
		n += (size_t)snprintf(out + n, room - n, " sack %u-%u", p->sack[i].left,
				      p->sack[i].right);
}

/* --- options -------------------------------------------------------------------------- */

uint8_t
packet_opt_mss(uint8_t *opts, uint8_t len, uint16_t mss)
{
	opts[len] = 2;
	opts[len + 1] = 4;
	put16(opts + len + 2, mss);
	return (uint8_t)(len + 4);
}

uint8_t
packet_opt_wscale(uint8_t *opts, uint8_t len, uint8_t shift)
{
	opts[len] = 1;
	opts[len + 1] = 3;
	opts[len + 2] = 3;
	opts[len + 3] = shift;
	return (uint8_t)(len + 4);
}

uint8_t
packet_opt_sack_permitted(uint8_t *opts, uint8_t len)
{
	opts[len] = opts[len + 1] = 1;
	opts[len + 2] = 4;
	opts[len + 3] = 2;
	return (uint8_t)(len + 4);
}

uint8_t
packet_opt_ts(uint8_t *opts, uint8_t len, uint32_t val, uint32_t ecr)
{
	opts[len] = opts[len + 1] = 1;
	opts[len + 2] = 8;
	opts[len + 3] = 10;
	put32(opts + len + 4, val);
	put32(opts + len + 8, ecr);
	return (uint8_t)(len + 12);
}

uint8_t
packet_opt_sack(uint8_t *opts, uint8_t len, unsigned int n, const uint32_t *edges)
{
	opts[len] = opts[len + 1] = 1;
	opts[len + 2] = 5;
	opts[len + 3] = (uint8_t)(2 + n * 8);
	for (unsigned int i = 0; i < 2 * n; i++)
		put32(opts + len + 4 + i * 4, edges[i]);
	return (uint8_t)(len + 4 + n * 8);
}
