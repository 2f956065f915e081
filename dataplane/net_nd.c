/* SPDX-License-Identifier: Apache-2.0 */

#include "dataplane/net_checksum.h"
#include "dataplane/net_internal.h"

/* Neighbour solicitations and advertisements (RFC 4861). Routers are configured, so router
 * messages and redirects are not listened to. */

#define ND_HOP_LIMIT 255
#define ND_SOLICITATION 135
#define ND_ADVERTISEMENT 136

#define OPTION_SOURCE_LL 1
#define OPTION_TARGET_LL 2
#define OPTION_UNIT 8 /* lengths are in units of eight bytes */

#define FLAG_SOLICITED 0x40
#define FLAG_OVERRIDE 0x20
#define FLAG_ROUTER 0x80

struct nd_message {
	uint8_t type, code;
	rte_be16_t checksum;
	uint8_t flags, reserved[3];
	uint8_t target[16];
};

struct nd_option {
	uint8_t type, length;
	struct rte_ether_addr mac;
};

struct nd_packet {
	struct rte_ipv6_hdr ip;
	struct nd_message message;
	struct nd_option option;
};

_Static_assert(sizeof(struct nd_packet) == NET_IP6_HEADER + 24 + 8, "no padding");

static const struct in6_addr all_nodes = {.s6_addr = {0xff, 0x02, [15] = 1}};

/* RFC 4291 section 2.7.1 */
struct in6_addr
net_nd_solicited_node(const struct in6_addr *address)
{
	struct in6_addr group = {.s6_addr = {0xff, 0x02, [11] = 1, [12] = 0xff}};

	memcpy(&group.s6_addr[13], &address->s6_addr[13], 3);
	return group;
}

/* RFC 2464 section 7 */
static struct rte_ether_addr
group_mac(const struct in6_addr *group)
{
	struct rte_ether_addr mac = {{0x33, 0x33}};

	memcpy(&mac.addr_bytes[2], &group->s6_addr[12], 4);
	return mac;
}

static bool
is_address_of(const struct net_if *in, const struct in6_addr *address)
{
	if (in->ip6 && net_same(&in->link_local, address))
		return true;
	for (unsigned int i = 0; i < in->n_addresses; i++)
		if (net_same(&in->addresses[i].address, address))
			return true;
	return false;
}

/* --- output ------------------------------------------------------------------------------- */

static void
send_nd(struct net *net, struct net_if *out, const struct nd_packet *packet,
	const struct rte_ether_addr *to)
{
	struct rte_mbuf *m = net_new_packet(net, sizeof(*packet));
	struct nd_packet *copy;
	uint16_t len = sizeof(*packet) - NET_IP6_HEADER;

	if (m == NULL)
		return;
	copy = rte_pktmbuf_mtod(m, struct nd_packet *);
	*copy = *packet;
	copy->ip.vtc_flow = rte_cpu_to_be_32(6u << 28);
	copy->ip.payload_len = rte_cpu_to_be_16(len);
	copy->ip.proto = IPPROTO_ICMPV6;
	copy->ip.hop_limits = ND_HOP_LIMIT;
	copy->option.length = sizeof(struct nd_option) / OPTION_UNIT;
	copy->option.mac = out->mac;
	copy->message.checksum = ~net_sum_add(net_sum(m, NET_IP6_HEADER),
					      net_pseudo_sum(&copy->ip, true, IPPROTO_ICMPV6, len));
	net_ether_output(net, out, m, to, RTE_ETHER_TYPE_IPV6);
}

void
net_nd_solicit(struct net *net, struct net_if *out, const struct in6_addr *target,
	       const struct rte_ether_addr *to)
{
	struct nd_packet packet = {.message.type = ND_SOLICITATION,
				   .option.type = OPTION_SOURCE_LL};
	struct in6_addr source = out->link_local, group = net_nd_solicited_node(target);
	struct rte_ether_addr mac = group_mac(&group);
	struct net_hop hop = {.out = out, .address = *target};

	/* A target of a prefix of ours gets an address that it surely can answer. */
	if (!IN6_IS_ADDR_LINKLOCAL(target))
		net_source(net, &hop, &source);
	memcpy(packet.ip.src_addr, &source, sizeof(source));
	memcpy(packet.ip.dst_addr, to != NULL ? target : &group, sizeof(group));
	memcpy(packet.message.target, target, sizeof(*target));
	send_nd(net, out, &packet, to != NULL ? to : &mac);
}

static void
advertise(struct net *net, struct net_if *out, const struct in6_addr *address,
	  const struct in6_addr *to, const struct rte_ether_addr *mac, uint8_t flags)
{
	struct nd_packet packet = {.message.type = ND_ADVERTISEMENT,
				   .message.flags = flags | FLAG_OVERRIDE | FLAG_ROUTER,
				   .option.type = OPTION_TARGET_LL};

	memcpy(packet.ip.src_addr, address, sizeof(*address));
	memcpy(packet.ip.dst_addr, to, sizeof(*to));
	memcpy(packet.message.target, address, sizeof(*address));
	send_nd(net, out, &packet, mac);
}

void
net_nd_announce(struct net *net, struct net_if *out, const struct in6_addr *address)
{
	struct rte_ether_addr mac = group_mac(&all_nodes);

	advertise(net, out, address, &all_nodes, &mac, 0);
}

/* --- input ---------------------------------------------------------------------------------- */

/* The link-layer address option of this type; false: the options are broken (RFC 4861
 * section 7.1.1: every length must be greater than zero). *mac NULL: there is none. */
static bool
find_mac(const uint8_t *options, uint32_t len, uint8_t type, const struct rte_ether_addr **mac)
{
	*mac = NULL;
	while (len > 0) {
		const struct nd_option *option = (const struct nd_option *)options;
		uint32_t size;

		if (len < OPTION_UNIT)
			return false;
		size = (uint32_t)option->length * OPTION_UNIT;
		if (size == 0 || size > len)
			return false;
		if (option->type == type)
			*mac = &option->mac;
		options += size;
		len -= size;
	}
	return *mac == NULL || rte_is_valid_assigned_ether_addr(*mac);
}

static void
defend(struct net_turn *turn, struct net_if *in, const struct in6_addr *address)
{
	turn->net->counters.bad_address++;
	if (net_bucket_take(&turn->net->answers, turn->now))
		net_nd_announce(turn->net, in, address);
}

static void
solicitation(struct net_turn *turn, const struct net_frame *frame, const struct rte_ipv6_hdr *ip,
	     const struct in6_addr *target, const struct rte_ether_addr *mac)
{
	struct in6_addr source = net_in6(ip->src_addr);
	struct rte_ether_addr group = group_mac(&all_nodes);

	if (IN6_IS_ADDR_UNSPECIFIED(&source)) {
		/* Somebody wants the address for itself (RFC 4862 section 5.4.3). */
		if (is_address_of(frame->in, target) &&
		    net_bucket_take(&turn->net->answers, turn->now))
			advertise(turn->net, frame->in, target, &all_nodes, &group, 0);
		return;
	}
	if (mac != NULL)
		net_neighbour_heard(turn->net, frame->in, &source, mac, NET_HEARD_CLAIM, turn->now);
	if (is_address_of(frame->in, target) && net_bucket_take(&turn->net->answers, turn->now))
		advertise(turn->net, frame->in, target, &source, mac != NULL ? mac : &frame->from,
			  FLAG_SOLICITED);
}

static void
advertisement(struct net_turn *turn, const struct net_frame *frame, uint8_t flags,
	      const struct in6_addr *target, const struct rte_ether_addr *mac)
{
	bool answer = frame->to_us && (flags & FLAG_SOLICITED) != 0;

	if (is_address_of(frame->in, target)) {
		defend(turn, frame->in, target);
		return;
	}
	/* The answer to a unicast question may leave out the address (section 7.2.4). */
	if (mac == NULL && answer)
		mac = &frame->from;
	if (mac != NULL)
		net_neighbour_heard(turn->net, frame->in, target, mac,
				    answer ? NET_HEARD_ANSWER : NET_HEARD_CLAIM, turn->now);
}

/* The checks of sections 7.1.1 and 7.1.2 that both messages share. */
static bool
is_valid(const struct rte_ipv6_hdr *ip, const struct nd_message *message, uint32_t len)
{
	return ip->hop_limits == ND_HOP_LIMIT && message->code == 0 && len >= sizeof(*message) &&
	       message->target[0] != 0xff;
}

static bool
is_valid_for_type(const struct rte_ipv6_hdr *ip, const struct nd_message *message,
		  const struct rte_ether_addr *mac)
{
	struct in6_addr source = net_in6(ip->src_addr), to = net_in6(ip->dst_addr);
	struct in6_addr target = net_in6(message->target), group = net_nd_solicited_node(&target);

	if (message->type == ND_ADVERTISEMENT)
		return !IN6_IS_ADDR_UNSPECIFIED(&source) &&
		       (to.s6_addr[0] != 0xff || (message->flags & FLAG_SOLICITED) == 0);
	if (IN6_IS_ADDR_UNSPECIFIED(&source))
		return mac == NULL && net_same(&to, &group);
	return true;
}

void
net_nd_input(struct net_turn *turn, const struct net_frame *frame, struct rte_mbuf *m,
	     uint16_t l3_len)
{
	const struct rte_ipv6_hdr *ip;
	const struct nd_message *message;
	const struct rte_ether_addr *mac;
	uint32_t len = m->pkt_len - l3_len;
	struct in6_addr target;

	if (len < sizeof(*message) || !net_pull(m, m->pkt_len))
		goto bad;
	ip = rte_pktmbuf_mtod(m, const struct rte_ipv6_hdr *);
	message = rte_pktmbuf_mtod_offset(m, const struct nd_message *, l3_len);
	if (!is_valid(ip, message, len) ||
	    !find_mac((const uint8_t *)(message + 1), len - sizeof(*message),
		      message->type == ND_SOLICITATION ? OPTION_SOURCE_LL : OPTION_TARGET_LL,
		      &mac) ||
	    !is_valid_for_type(ip, message, mac))
		goto bad;
	turn->net->counters.nd_in++;
	target = net_in6(message->target);
	if (message->type == ND_SOLICITATION)
		solicitation(turn, frame, ip, &target, mac);
	else
		advertisement(turn, frame, message->flags, &target, mac);
	rte_pktmbuf_free(m);
	return;
bad:
	net_drop(m, &turn->net->counters.bad_frame);
}
