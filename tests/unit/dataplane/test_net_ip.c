/* SPDX-License-Identifier: Apache-2.0 */

#include <string.h>

#include <sanitizer/asan_interface.h>

#include "tests/unit/dataplane/net_harness.h"

#define IP4 14 /* where the IP header is in a frame */
#define IP6 14

/* --- Ethernet ----------------------------------------------------------------------------------
 */

static void
tcp_comes_out_as_tcp_wants_it(void **state)
{
	struct harness *h = *state;
	struct frame frame;

	for (size_t len = 0; len < 5; len++) {
		make_tcp(h, &frame, "10.0.0.9", "10.0.0.1", len);
		frame.len = RTE_MAX(frame.len, 60u); /* as Ethernet pads */
		inject(h, 0, &frame);
		assert_int_equal(h->n_tcp, 1);
		assert_int_equal(h->tcp[0]->pkt_len, 40 + len);
		assert_int_equal(h->tcp[0]->data_len, 40 + len);
		assert_int_equal(h->tcp[0]->l3_len, 20);
		assert_int_equal(h->tcp[0]->packet_type, RTE_PTYPE_L3_IPV4);
		assert_memory_equal(rte_pktmbuf_mtod(h->tcp[0], void *), frame.data + IP4,
				    40 + len);
	}
	make_tcp(h, &frame, "fd00::9", "fd00::1", 3);
	inject(h, 0, &frame);
	assert_int_equal(h->n_tcp, 1);
	assert_int_equal(h->tcp[0]->pkt_len, 63);
	assert_int_equal(h->tcp[0]->l3_len, 40);
	assert_int_equal(h->tcp[0]->packet_type, RTE_PTYPE_L3_IPV6);
	assert_int_equal(COUNTER(h, tcp_in), 6);
	assert_nothing_sent(h);
}

static void
tcp_for_others_is_handed_up_too(void **state)
{
	struct harness *h = *state;
	struct frame frame;

	make_tcp(h, &frame, "10.0.0.9", "10.2.0.9", 3);
	inject(h, 0, &frame);
	assert_int_equal(h->n_tcp, 1);
	make_tcp(h, &frame, "fd00::9", "fd02::9", 3);
	inject(h, 0, &frame);
	assert_int_equal(h->n_tcp, 1);
}

static void
headers_are_made_contiguous_wherever_the_frame_is_cut(void **state)
{
	struct harness *h = *state;
	const char *pairs[][2] = {{"10.0.0.9", "10.0.0.1"}, {"fd00::9", "fd00::1"}};
	struct frame frame;
	uint8_t flat[FRAME_MAX];

	for (size_t p = 0; p < RTE_DIM(pairs); p++) {
		make_tcp(h, &frame, pairs[p][0], pairs[p][1], 101);
		for (size_t cut = 1; cut < frame.len; cut++) {
			const struct rte_mbuf *m;

			inject_cut(h, 0, &frame, cut);
			assert_int_equal(h->n_tcp, 1);
			m = h->tcp[0];
			rte_mbuf_sanity_check(m, 1);
			assert_int_equal(m->pkt_len, frame.len - 14);
			assert_true(m->data_len >= m->l3_len + 20);
			assert_memory_equal(rte_pktmbuf_read(m, 0, m->pkt_len, flat),
					    frame.data + 14, m->pkt_len);
		}
	}
	assert_int_equal(COUNTER(h, bad_l4_checksum), 0);
}

static void
frames_for_other_stations_are_dropped(void **state)
{
	struct harness *h = *state;
	struct frame frame;
	uint8_t multicast[] = {1, 0, 0x5e, 0, 0, 1};

	make_tcp(h, &frame, "10.0.0.9", "10.0.0.1", 0);
	memcpy(frame.data, &other_mac, 6);
	inject(h, 0, &frame);
	memcpy(frame.data, &broadcast_mac, 6);
	inject(h, 0, &frame);
	memcpy(frame.data, multicast, 6);
	inject(h, 0, &frame);
	memcpy(frame.data, &h->mac[0], 6);
	memcpy(frame.data + 6, &h->mac[0], 6); /* our own, come back */
	inject(h, 0, &frame);
	/* A unicast packet in a frame for a group. */
	make_tcp(h, &frame, "fd00::9", "fd00::1", 0);
	frame.data[0] = frame.data[1] = 0x33;
	inject(h, 0, &frame);
	assert_int_equal(COUNTER(h, not_for_us), 5);
	assert_int_equal(COUNTER(h, tcp_in), 0);
	assert_int_equal(COUNTER(h, frames_in), 5);
}

static void
unknown_and_short_frames_are_counted(void **state)
{
	struct harness *h = *state;
	struct frame frame;

	make_tcp(h, &frame, "10.0.0.9", "10.0.0.1", 0);
	frame.data[12] = 0x88; /* LLDP */
	frame.data[13] = 0xcc;
	inject(h, 0, &frame);
	frame.len = 13;
	inject(h, 0, &frame);
	make_tcp(h, &frame, "10.0.0.9", "10.0.0.1", 0);
	frame.data[6] |= 1; /* from a group */
	inject(h, 0, &frame);
	assert_int_equal(COUNTER(h, bad_frame), 3);
}

static void
vlan_of_the_interface_is_taken_and_sent(void **state)
{
	struct harness *h = *state;
	struct frame frame;
	struct rte_mbuf *m;

	h->vlan = 42;
	harness_renew(h);
	make_tcp(h, &frame, "10.0.0.9", "10.0.0.1", 0);
	inject(h, 0, &frame);
	assert_int_equal(COUNTER(h, wrong_vlan), 1);
	tag(&frame, 43);
	inject(h, 0, &frame);
	assert_int_equal(COUNTER(h, wrong_vlan), 2);
	frame.data[14] = 0xe0; /* priority 7 */
	frame.data[15] = 42;
	inject(h, 0, &frame);
	assert_int_equal(h->n_tcp, 1);
	assert_int_equal(h->tcp[0]->pkt_len, 40);

	/* Stripped by the driver. */
	make_tcp(h, &frame, "10.0.0.9", "10.0.0.1", 0);
	m = harness_mbuf(h, frame.data, frame.len, FRAME_MAX);
	m->ol_flags |= RTE_MBUF_F_RX_VLAN | RTE_MBUF_F_RX_VLAN_STRIPPED;
	m->vlan_tci = 42;
	inject_mbuf(h, 0, m);
	assert_int_equal(h->n_tcp, 1);

	make_arp(h, &frame, RTE_ARP_OP_REQUEST, "10.0.0.9", "10.0.0.1", &broadcast_mac);
	tag(&frame, 42);
	inject(h, 0, &frame);
	assert_true(sent(h, 0, &frame));
	assert_int_equal(frame.data[12] << 8 | frame.data[13], RTE_ETHER_TYPE_VLAN);
	assert_int_equal(frame.data[14] << 8 | frame.data[15], 42);
	assert_int_equal(frame.data[16] << 8 | frame.data[17], RTE_ETHER_TYPE_ARP);
}

static void
priority_tag_is_no_vlan(void **state)
{
	struct harness *h = *state;
	struct frame frame;

	make_tcp(h, &frame, "10.0.0.9", "10.0.0.1", 0);
	tag(&frame, 0xe000);
	inject(h, 0, &frame);
	assert_int_equal(h->n_tcp, 1);
	make_tcp(h, &frame, "10.0.0.9", "10.0.0.1", 0);
	tag(&frame, 0);
	frame.len = 16;
	inject(h, 0, &frame);
	assert_int_equal(COUNTER(h, bad_frame), 1);
}

static void
vlans_of_one_port_are_told_apart(void **state)
{
	struct harness *h = *state;
	const struct net_prefix a[] = {{ip("10.0.0.1"), 120}}, b[] = {{ip("10.7.0.1"), 120}};
	const struct net_interface interfaces[] = {
		{.port = h->ports[0], .addresses = a, .n_addresses = 1},
		{.port = h->ports[0], .vlan = 7, .addresses = b, .n_addresses = 1},
	};
	const struct net_config config = {
		.interfaces = interfaces, .n_interfaces = 2, .pool = h->pool};
	struct frame frame;

	net_destroy(h->net);
	h->net = net_create(&config);
	make_arp(h, &frame, RTE_ARP_OP_REQUEST, "10.7.0.9", "10.7.0.1", &broadcast_mac);
	inject(h, 0, &frame); /* of the wrong one */
	assert_nothing_sent(h);
	tag(&frame, 7);
	inject(h, 0, &frame);
	assert_true(sent(h, 0, &frame));
	assert_int_equal(frame.data[15], 7);
}

/* --- IPv4 ---------------------------------------------------------------------------------- */

static void
broken_ip4_headers_are_counted(void **state)
{
	struct harness *h = *state;
	const struct {
		size_t at;
		uint8_t value;
	} breaks[] = {
		{0, 0x55},         /* version */
		{0, 0x44},         /* header shorter than a header */
		{0, 0x4f},         /* header longer than the packet */
		{2, 0xff},         /* longer than the frame */
		{3, 19},   {3, 0}, /* shorter than the header */
	};
	struct frame frame;

	for (size_t i = 0; i < RTE_DIM(breaks); i++) {
		make_tcp(h, &frame, "10.0.0.9", "10.0.0.1", 0);
		frame.data[IP4 + breaks[i].at] = breaks[i].value;
		inject(h, 0, &frame);
		assert_int_equal(COUNTER(h, bad_ip_header), i + 1);
	}
	make_tcp(h, &frame, "10.0.0.9", "10.0.0.1", 0);
	frame.data[IP4 + 8]--;
	inject(h, 0, &frame);
	assert_int_equal(COUNTER(h, bad_ip_checksum), 1);
	assert_int_equal(COUNTER(h, tcp_in), 0);
}

static void
flags_of_the_device_decide_on_checksums(void **state)
{
	struct harness *h = *state;
	struct frame frame;
	struct rte_mbuf *m;

	make_tcp(h, &frame, "10.0.0.9", "10.0.0.1", 9);
	frame.data[IP4 + 10] ^= 1;
	frame.data[IP4 + 36] ^= 1;
	m = harness_mbuf(h, frame.data, frame.len, FRAME_MAX);
	m->ol_flags |= RTE_MBUF_F_RX_IP_CKSUM_GOOD | RTE_MBUF_F_RX_L4_CKSUM_GOOD;
	inject_mbuf(h, 0, m);
	assert_int_equal(h->n_tcp, 1);

	make_tcp(h, &frame, "10.0.0.9", "10.0.0.1", 9);
	m = harness_mbuf(h, frame.data, frame.len, FRAME_MAX);
	m->ol_flags |= RTE_MBUF_F_RX_L4_CKSUM_BAD;
	inject_mbuf(h, 0, m);
	assert_int_equal(COUNTER(h, bad_l4_checksum), 1);
	m = harness_mbuf(h, frame.data, frame.len, FRAME_MAX);
	m->ol_flags |= RTE_MBUF_F_RX_IP_CKSUM_BAD;
	inject_mbuf(h, 0, m);
	assert_int_equal(COUNTER(h, bad_ip_checksum), 1);
}

static void
every_flipped_bit_of_a_segment_is_noticed(void **state)
{
	struct harness *h = *state;
	const char *pairs[][2] = {{"10.0.0.9", "10.0.0.1"}, {"fd00::9", "fd00::1"}};
	struct frame good, frame;

	for (size_t p = 0; p < RTE_DIM(pairs); p++) {
		make_tcp(h, &good, pairs[p][0], pairs[p][1], 7);
		for (size_t bit = (p == 0 ? 34 : 54) * 8; bit < good.len * 8; bit++) {
			frame = good;
			frame.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
			inject_cut(h, 0, &frame, 37);
			assert_int_equal(h->n_tcp, 0);
		}
	}
	assert_int_equal(COUNTER(h, bad_l4_checksum), 2 * 27 * 8);
}

static void
checksum_left_to_a_device_is_not_taken_from_a_wire(void **state)
{
	struct harness *h = *state;
	struct frame frame;
	uint16_t pseudo;

	make_tcp(h, &frame, "10.0.0.9", "10.0.0.1", 7);
	pseudo = plain_sum(frame.data + IP4 + 12, 8, IPPROTO_TCP + 27);
	frame.data[IP4 + 36] = pseudo >> 8;
	frame.data[IP4 + 37] = (uint8_t)pseudo;
	inject(h, 0, &frame);
	assert_int_equal(COUNTER(h, bad_l4_checksum), 1);
}

static void
impossible_ip4_addresses_are_counted(void **state)
{
	struct harness *h = *state;
	const char *sources[] = {"0.0.0.0",    "0.1.2.3",   "127.0.0.1",
				 "224.0.0.1",  "240.0.0.1", "255.255.255.255",
				 "10.0.0.255", "10.0.0.1",  "10.1.0.1"};
	const char *destinations[] = {"0.0.0.0", "127.0.0.1"};
	const char *groups[] = {"224.0.0.1", "255.255.255.255", "10.0.0.255", "10.1.0.255"};
	struct frame frame;

	for (size_t i = 0; i < RTE_DIM(sources); i++) {
		make_tcp(h, &frame, sources[i], "10.0.0.1", 0);
		inject(h, 0, &frame);
		assert_int_equal(COUNTER(h, bad_address), i + 1);
	}
	for (size_t i = 0; i < RTE_DIM(destinations); i++) {
		make_tcp(h, &frame, "10.0.0.9", destinations[i], 0);
		inject(h, 0, &frame);
		assert_int_equal(COUNTER(h, bad_address), RTE_DIM(sources) + i + 1);
	}
	for (size_t i = 0; i < RTE_DIM(groups); i++) {
		make_echo(h, &frame, "10.0.0.9", groups[i], 8);
		inject(h, 0, &frame);
		assert_int_equal(COUNTER(h, not_for_us), i + 1);
	}
	assert_nothing_sent(h);
}

static void
ip4_fragments_are_dropped(void **state)
{
	struct harness *h = *state;
	const uint16_t fields[] = {0x2000, 0x0001, 0x2010, 0x1fff};
	struct frame frame;

	for (size_t i = 0; i < RTE_DIM(fields); i++) {
		make_tcp(h, &frame, "10.0.0.9", i % 2 ? "10.0.0.1" : "10.2.0.1", 8);
		frame.data[IP4 + 6] = fields[i] >> 8;
		frame.data[IP4 + 7] = (uint8_t)fields[i];
		fix_checksums(&frame);
		inject(h, 0, &frame);
		assert_int_equal(COUNTER(h, fragments), i + 1);
	}
	assert_nothing_sent(h);
}

/* A TCP segment with IPv4 options in front. */
static void
make_options(struct harness *h, struct frame *frame, const uint8_t *options, size_t len)
{
	make_tcp(h, frame, "10.0.0.9", "10.0.0.1", 5);
	memmove(frame->data + IP4 + 20 + len, frame->data + IP4 + 20, 25);
	memcpy(frame->data + IP4 + 20, options, len);
	frame->len += len;
	frame->data[IP4] = (uint8_t)(0x45 + len / 4);
	frame->data[IP4 + 3] += (uint8_t)len;
	fix_checksums(frame);
}

static void
ip4_options_are_skipped(void **state)
{
	struct harness *h = *state;
	uint8_t options[40] = {1, 1, 0x94, 4, 0, 0, 0}; /* router alert */
	struct frame frame;

	for (size_t len = 8; len <= 40; len += 4) {
		make_options(h, &frame, options, len);
		inject(h, 0, &frame);
		assert_int_equal(h->n_tcp, 1);
		assert_int_equal(h->tcp[0]->l3_len, 20 + len);
		assert_int_equal(h->tcp[0]->pkt_len, 45 + len);
	}
}

static void
source_routes_and_broken_options_are_refused(void **state)
{
	struct harness *h = *state;
	const uint8_t bad[][8] = {
		{131, 7, 4, 10, 2, 0, 1}, /* loose source route */
		{137, 7, 4, 10, 2, 0, 1}, /* strict */
		{7, 0},                   /* a length of nothing */
		{7, 1},                   /* shorter than its own header */
		{7, 9},                   /* beyond the header */
		{1, 1, 1, 1, 1, 1, 1, 7}, /* a type without a length */
	};
	struct frame frame;

	for (size_t i = 0; i < RTE_DIM(bad); i++) {
		make_options(h, &frame, bad[i], 8);
		inject(h, 0, &frame);
		assert_int_equal(COUNTER(h, bad_ip_header), i + 1);
	}
}

/* --- IPv6 ---------------------------------------------------------------------------------- */

/* A TCP segment behind the extension headers in `extensions`, the first of type `type`. */
static void
make_extended(struct harness *h, struct frame *frame, uint8_t type, const uint8_t *extensions,
	      size_t len)
{
	make_tcp(h, frame, "fd00::9", "fd00::1", 5);
	memmove(frame->data + IP6 + 40 + len, frame->data + IP6 + 40, 25);
	memcpy(frame->data + IP6 + 40, extensions, len);
	frame->len += len;
	frame->data[IP6 + 4] = (uint8_t)((25 + len) >> 8);
	frame->data[IP6 + 5] = (uint8_t)(25 + len);
	frame->data[IP6 + 6] = type;
}

static void
ip6_extension_headers_are_skipped(void **state)
{
	struct harness *h = *state;
	const uint8_t hop[] = {6, 0, 1, 4, 0, 0, 0, 0};
	const uint8_t chain[] = {60, 0, 1, 4,  0, 0, 0, 0, /* hop by hop, then ... */
				 43, 1, 1, 12, 0, 0, 0, 0, /* destination options */
				 0,  0, 0, 0,  0, 0, 0, 0,
				 6,  0, 0, 0,  0, 0, 0, 0}; /* a route that is done */
	struct frame frame;

	make_extended(h, &frame, 0, hop, sizeof(hop));
	for (size_t cut = 15; cut < frame.len; cut += 3) {
		inject_cut(h, 0, &frame, cut);
		assert_int_equal(h->n_tcp, 1);
		assert_int_equal(h->tcp[0]->l3_len, 48);
		assert_true(h->tcp[0]->data_len >= 48 + 20);
	}
	make_extended(h, &frame, 0, chain, sizeof(chain));
	inject(h, 0, &frame);
	assert_int_equal(h->n_tcp, 1);
	assert_int_equal(h->tcp[0]->l3_len, 40 + sizeof(chain));
	assert_int_equal(COUNTER(h, bad_ip_header), 0);
}

static void
bad_extension_headers_are_counted(void **state)
{
	struct harness *h = *state;
	uint8_t many[80], open_route[8] = {6, 0, 0, 1}, late[16] = {0, 0, 1, 4, 0, 0, 0, 0, 6};
	uint8_t beyond[8] = {6, 200}, large[1024] = {60, 63};
	struct frame frame;

	memset(many, 0, sizeof(many));
	for (size_t i = 0; i < sizeof(many); i += 8)
		many[i] = i + 8 < sizeof(many) ? 60 : 6;
	make_extended(h, &frame, 60, many, sizeof(many));
	inject(h, 0, &frame);
	assert_int_equal(COUNTER(h, bad_ip_header), 1);
	make_extended(h, &frame, 43, open_route, sizeof(open_route));
	inject(h, 0, &frame);
	assert_int_equal(COUNTER(h, bad_ip_header), 2);
	make_extended(h, &frame, 60, late, sizeof(late)); /* hop by hop is not first */
	inject(h, 0, &frame);
	assert_int_equal(COUNTER(h, bad_ip_header), 3);
	make_extended(h, &frame, 60, beyond, sizeof(beyond));
	inject(h, 0, &frame);
	assert_int_equal(COUNTER(h, bad_ip_header), 4);
	make_extended(h, &frame, 60, large, sizeof(large)); /* more than l3_len can say */
	inject(h, 0, &frame);
	assert_int_equal(COUNTER(h, bad_ip_header), 5);
	assert_int_equal(COUNTER(h, tcp_in), 0);
}

static void
ip6_fragments_are_dropped(void **state)
{
	struct harness *h = *state;
	const uint8_t fragment[] = {6, 0, 0, 1, 0, 0, 0, 1};
	const uint8_t behind[] = {44, 0, 1, 4, 0, 0, 0, 0, 6, 0, 0, 0, 0, 0, 0, 1};
	struct frame frame;

	make_extended(h, &frame, 44, fragment, sizeof(fragment));
	inject(h, 0, &frame);
	make_extended(h, &frame, 60, behind, sizeof(behind));
	inject(h, 0, &frame);
	assert_int_equal(COUNTER(h, fragments), 2);
	assert_nothing_sent(h);
}

static void
broken_ip6_headers_are_counted(void **state)
{
	struct harness *h = *state;
	struct frame frame;

	make_tcp(h, &frame, "fd00::9", "fd00::1", 0);
	frame.data[IP6] = 0x50;
	inject(h, 0, &frame);
	make_tcp(h, &frame, "fd00::9", "fd00::1", 0);
	frame.data[IP6 + 5]++; /* longer than the frame */
	inject(h, 0, &frame);
	make_tcp(h, &frame, "fd00::9", "fd00::1", 0);
	frame.data[IP6 + 5] = 10; /* too short for TCP */
	inject(h, 0, &frame);
	assert_int_equal(COUNTER(h, bad_ip_header), 3);
}

static void
impossible_ip6_addresses_are_counted(void **state)
{
	struct harness *h = *state;
	const char *sources[] = {"::", "::1", "ff02::1", "fd00::1", "fd01::1"};
	const char *destinations[] = {"::", "::1"};
	struct frame frame;

	for (size_t i = 0; i < RTE_DIM(sources); i++) {
		make_tcp(h, &frame, sources[i], "fd00::1", 0);
		inject(h, 0, &frame);
		assert_int_equal(COUNTER(h, bad_address), i + 1);
	}
	for (size_t i = 0; i < RTE_DIM(destinations); i++) {
		make_tcp(h, &frame, "fd00::9", destinations[i], 0);
		inject(h, 0, &frame);
		assert_int_equal(COUNTER(h, bad_address), RTE_DIM(sources) + i + 1);
	}
	make_tcp(h, &frame, "fd00::9", "ff02::1", 0);
	inject(h, 0, &frame);
	make_tcp(h, &frame, "fd00::9", "ff02::fb", 0);
	inject(h, 0, &frame);
	assert_int_equal(COUNTER(h, not_for_us), 2);
}

static void
ip4_mapped_addresses_never_come_from_a_wire(void **state)
{
	struct harness *h = *state;
	struct in6_addr mapped = ip("10.0.0.9");
	struct frame frame;

	make_tcp(h, &frame, "fd00::9", "fd00::1", 0);
	memcpy(frame.data + IP6 + 8, &mapped, 16);
	fix_checksums(&frame);
	inject(h, 0, &frame);
	make_tcp(h, &frame, "fd00::9", "fd00::1", 0);
	memcpy(frame.data + IP6 + 24, &mapped, 16);
	fix_checksums(&frame);
	inject(h, 0, &frame);
	assert_int_equal(COUNTER(h, bad_address), 2);
	assert_int_equal(COUNTER(h, tcp_in), 0);
}

/* --- every length ---------------------------------------------------------------------------- */

/* The frame cut off at each byte: each is counted once and none is taken for whole. Under
 * AddressSanitizer this also proves that nothing behind the end is read. */
static void
truncate_everywhere(struct harness *h, const struct frame *whole, size_t needed)
{
	for (size_t len = 0; len < needed; len++) {
		struct rte_mbuf *m = harness_mbuf(h, whole->data, len, FRAME_MAX);
		const char *end = rte_pktmbuf_mtod_offset(m, const char *, len);
		size_t rest = rte_pktmbuf_tailroom(m);
		uint64_t frames = COUNTER(h, frames_in);

		ASAN_POISON_MEMORY_REGION(end, rest);
		inject_mbuf(h, 0, m);
		ASAN_UNPOISON_MEMORY_REGION(end, rest);
		assert_int_equal(h->n_tcp, 0);
		assert_int_equal(h->n_errors, 0);
		assert_int_equal(COUNTER(h, frames_in), frames + 1);
	}
}

static void
truncated_frames_of_every_kind_are_dropped(void **state)
{
	struct harness *h = *state;
	const uint8_t extensions[] = {60, 0, 1, 4, 0, 0, 0, 0, 6, 0, 1, 4, 0, 0, 0, 0};
	const uint8_t options[8] = {1, 1, 0x94, 4};
	struct frame frame;

	make_tcp(h, &frame, "10.0.0.9", "10.0.0.1", 10);
	truncate_everywhere(h, &frame, frame.len);
	make_tcp(h, &frame, "fd00::9", "fd00::1", 10);
	truncate_everywhere(h, &frame, frame.len);
	make_options(h, &frame, options, sizeof(options));
	truncate_everywhere(h, &frame, frame.len);
	make_extended(h, &frame, 0, extensions, sizeof(extensions));
	truncate_everywhere(h, &frame, frame.len);
	make_echo(h, &frame, "10.0.0.9", "10.0.0.1", 10);
	truncate_everywhere(h, &frame, frame.len);
	make_echo(h, &frame, "fd00::9", "fd00::1", 10);
	truncate_everywhere(h, &frame, frame.len);
	make_arp(h, &frame, RTE_ARP_OP_REQUEST, "10.0.0.9", "10.0.0.1", &broadcast_mac);
	truncate_everywhere(h, &frame, 14 + 28);
	make_nd(h, &frame, 135, "fd00::9", "fd00::1", "fd00::1", 0, &host_mac);
	truncate_everywhere(h, &frame, frame.len);
	make_udp(h, &frame, "10.0.0.9", "10.2.0.1", 10);
	truncate_everywhere(h, &frame, frame.len);
	tag(&frame, 0);
	truncate_everywhere(h, &frame, frame.len);
	assert_nothing_sent(h);
}

int
main(void)
{
#define T(test) cmocka_unit_test_setup_teardown(test, harness_setup, harness_teardown)
	const struct CMUnitTest tests[] = {
		T(tcp_comes_out_as_tcp_wants_it),
		T(tcp_for_others_is_handed_up_too),
		T(headers_are_made_contiguous_wherever_the_frame_is_cut),
		T(frames_for_other_stations_are_dropped),
		T(unknown_and_short_frames_are_counted),
		T(vlan_of_the_interface_is_taken_and_sent),
		T(priority_tag_is_no_vlan),
		T(vlans_of_one_port_are_told_apart),
		T(broken_ip4_headers_are_counted),
		T(flags_of_the_device_decide_on_checksums),
		T(every_flipped_bit_of_a_segment_is_noticed),
		T(checksum_left_to_a_device_is_not_taken_from_a_wire),
		T(impossible_ip4_addresses_are_counted),
		T(ip4_fragments_are_dropped),
		T(ip4_options_are_skipped),
		T(source_routes_and_broken_options_are_refused),
		T(ip6_extension_headers_are_skipped),
		T(bad_extension_headers_are_counted),
		T(ip6_fragments_are_dropped),
		T(broken_ip6_headers_are_counted),
		T(impossible_ip6_addresses_are_counted),
		T(ip4_mapped_addresses_never_come_from_a_wire),
		T(truncated_frames_of_every_kind_are_dropped),
	};

	harness_eal("net-ip");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
