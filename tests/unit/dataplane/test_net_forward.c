/* SPDX-License-Identifier: Apache-2.0 */

#include <string.h>

#include "tests/unit/dataplane/net_harness.h"

#define IP 14

/* --- echo ---------------------------------------------------------------------------------- */

static void
echo_is_answered(void **state)
{
	struct harness *h = *state;
	struct frame question, answer;

	resolve(h, 0, "10.0.0.9");
	for (size_t len = 0; len < 1400; len += 199) {
		make_echo(h, &question, "10.0.0.9", "10.0.0.1", len);
		inject_cut(h, 0, &question, 100);
		assert_true(sent(h, 0, &answer));
		assert_int_equal(answer.len, question.len);
		assert_int_equal(answer.data[IP + 20], 0);
		assert_memory_equal(answer.data + IP + 12, question.data + IP + 16, 4);
		assert_memory_equal(answer.data + IP + 16, question.data + IP + 12, 4);
		assert_memory_equal(answer.data + IP + 24, question.data + IP + 24, 4 + len);
		assert_true(checksums_right(&answer));
	}
	assert_int_equal(COUNTER(h, echo_in), 8);
}

static void
echo6_is_answered(void **state)
{
	struct harness *h = *state;
	struct frame question, answer;

	resolve(h, 0, "fd00::9");
	make_echo(h, &question, "fd00::9", "fd00::1", 57);
	inject(h, 0, &question);
	assert_true(sent(h, 0, &answer));
	assert_int_equal(answer.data[IP + 40], 129);
	assert_memory_equal(answer.data + IP + 8, question.data + IP + 24, 16);
	assert_memory_equal(answer.data + IP + 24, question.data + IP + 8, 16);
	assert_memory_equal(answer.data + IP + 44, question.data + IP + 44, 61);
	assert_true(checksums_right(&answer));
}

static void
echo_to_any_address_of_ours_is_answered(void **state)
{
	struct harness *h = *state;
	struct frame frame;

	resolve(h, 0, "10.0.0.9");
	make_echo(h, &frame, "10.0.0.9", "10.1.0.1", 8);
	inject(h, 0, &frame);
	assert_true(sent(h, 0, &frame));
	assert_int_equal(frame.data[IP + 20], 0);
}

static void
echo_with_a_wrong_checksum_is_not(void **state)
{
	struct harness *h = *state;
	struct frame frame;

	make_echo(h, &frame, "10.0.0.9", "10.0.0.1", 9);
	frame.data[frame.len - 1] ^= 1;
	inject(h, 0, &frame);
	make_echo(h, &frame, "fd00::9", "fd00::1", 9);
	frame.data[frame.len - 1] ^= 1;
	inject(h, 0, &frame);
	assert_int_equal(COUNTER(h, bad_l4_checksum), 2);
	assert_nothing_sent(h);
}

/* --- forwarding ------------------------------------------------------------------------------ */

static void
packets_of_others_are_routed_on(void **state)
{
	struct harness *h = *state;
	const char *cases[][3] = {
		{"10.0.0.9", "10.2.0.9", "10.1.0.254"}, /* behind a router */
		{"10.0.0.9", "10.1.0.9", "10.1.0.9"},   /* on the link */
		{"fd00::9", "fd02::9", "fd01::fe"},
		{"fd00::9", "fd01::9", "fd01::9"},
	};
	struct frame in, out;

	for (size_t i = 0; i < RTE_DIM(cases); i++) {
		bool ip6 = i >= 2;
		size_t hop_limit = IP + (ip6 ? 7 : 8);

		resolve(h, 1, cases[i][2]);
		for (size_t len = 1; len < 40; len += 7) {
			make_udp(h, &in, cases[i][0], cases[i][1], len);
			inject_cut(h, 0, &in, 50);
			assert_true(sent(h, 1, &out));
			assert_int_equal(out.len, in.len);
			assert_memory_equal(out.data, &host_mac, 6);
			assert_memory_equal(out.data + 6, &h->mac[1], 6);
			assert_int_equal(out.data[hop_limit], 63);
			assert_true(checksums_right(&out));
			out.data[hop_limit] = 64;
			fix_checksums(&out);
			assert_memory_equal(out.data + IP, in.data + IP, in.len - IP);
		}
	}
	assert_int_equal(COUNTER(h, forwarded), 4 * 6);
}

static void
hop_limit_of_every_value_keeps_the_checksum_right(void **state)
{
	struct harness *h = *state;
	struct frame frame;

	resolve(h, 1, "10.1.0.9");
	for (unsigned int ttl = 2; ttl < 256; ttl++) {
		make_udp(h, &frame, "10.0.0.9", "10.1.0.9", ttl % 5);
		frame.data[IP + 8] = (uint8_t)ttl;
		frame.data[IP + 5] = (uint8_t)(ttl * 3);
		fix_checksums(&frame);
		inject(h, 0, &frame);
		assert_true(sent(h, 1, &frame));
		assert_int_equal(frame.data[IP + 8], ttl - 1);
		assert_true(checksums_right(&frame));
	}
}

static void
handed_back_tcp_is_routed_on(void **state)
{
	struct harness *h = *state;
	struct frame in, out;

	resolve(h, 1, "10.1.0.9");
	make_tcp(h, &in, "10.0.0.9", "10.1.0.9", 33);
	inject_cut(h, 0, &in, 60);
	assert_int_equal(h->n_tcp, 1);
	net_forward(h->net, h->tcp[0], h->now);
	h->n_tcp = 0;
	assert_true(sent(h, 1, &out));
	assert_int_equal(out.len, in.len);
	assert_true(checksums_right(&out));
	assert_int_equal(COUNTER(h, forwarded), 1);
}

/* Asserts an ICMP error from interface 0's address to 10.0.0.9 or fd00::9 that quotes the
 * frame's packet, in whole or what fits. */
static void
assert_error(struct harness *h, const struct frame *about, uint8_t type, uint8_t code, uint16_t mtu)
{
	bool ip6 = about->data[IP] >> 4 == 6;
	size_t at = IP + (ip6 ? 40 : 20), quoted;
	struct in6_addr own = ip(ip6 ? "fd00::1" : "10.0.0.1");
	struct frame error;

	assert_true(sent(h, 0, &error));
	assert_memory_equal(error.data, &host_mac, 6);
	assert_int_equal(error.data[at], type);
	assert_int_equal(error.data[at + 1], code);
	assert_int_equal(error.data[at + 6] << 8 | error.data[at + 7], mtu);
	assert_memory_equal(error.data + IP + (ip6 ? 8 : 12), ip6 ? own.s6_addr : own.s6_addr + 12,
			    ip6 ? 16 : 4);
	assert_memory_equal(error.data + IP + (ip6 ? 24 : 16), about->data + IP + (ip6 ? 8 : 12),
			    ip6 ? 16 : 4);
	assert_true(checksums_right(&error));
	assert_true(error.len - IP <= (ip6 ? 1280 : 576));
	quoted = error.len - at - 8;
	assert_true(quoted == about->len - IP || error.len - IP == (ip6 ? 1280u : 576u));
	assert_memory_equal(error.data + at + 8, about->data + IP, quoted);
	assert_nothing_sent(h);
}

static void
last_hop_is_told(void **state)
{
	struct harness *h = *state;
	struct frame frame;

	resolve(h, 0, "10.0.0.9");
	resolve(h, 0, "fd00::9");
	for (uint8_t limit = 0; limit < 2; limit++) {
		make_udp(h, &frame, "10.0.0.9", "10.2.0.9", 30);
		frame.data[IP + 8] = limit;
		fix_checksums(&frame);
		inject(h, 0, &frame);
		assert_error(h, &frame, 11, 0, 0);
		make_udp(h, &frame, "fd00::9", "fd02::9", 30);
		frame.data[IP + 7] = limit;
		inject(h, 0, &frame);
		assert_error(h, &frame, 3, 0, 0);
	}
	assert_int_equal(COUNTER(h, ttl_exceeded), 4);
	assert_int_equal(COUNTER(h, icmp_errors_out), 4);
}

static void
packet_larger_than_the_way_out_is_told(void **state)
{
	struct harness *h = *state;
	struct frame frame;

	resolve(h, 0, "10.0.0.9");
	resolve(h, 0, "fd00::9");
	make_udp(h, &frame, "10.0.0.9", "10.2.0.9", 1600 - 28);
	inject_cut(h, 0, &frame, 1000);
	assert_error(h, &frame, 3, 4, 1500);
	make_udp(h, &frame, "fd00::9", "fd02::9", 1501 - 48);
	inject(h, 0, &frame);
	assert_error(h, &frame, 2, 0, 1500);
	assert_int_equal(COUNTER(h, too_big), 2);
}

static void
packet_without_a_route_is_told(void **state)
{
	struct harness *h = *state;
	struct frame frame;
	struct rte_mbuf *m = own_packet(h, "10.0.0.1", "192.0.2.1", 0);

	resolve(h, 0, "10.0.0.9");
	resolve(h, 0, "fd00::9");
	make_udp(h, &frame, "10.0.0.9", "192.0.2.1", 3);
	inject(h, 0, &frame);
	assert_error(h, &frame, 3, 0, 0);
	make_udp(h, &frame, "fd00::9", "2001:db8::1", 3);
	inject(h, 0, &frame);
	assert_error(h, &frame, 1, 0, 0);
	assert_int_equal(COUNTER(h, no_route), 2);
	net_output(h->net, &m, 1, h->now); /* our own packet: nobody to tell */
	assert_int_equal(COUNTER(h, no_route), 3);
	assert_nothing_sent(h);
}

static void
udp_to_us_is_told_that_nobody_listens(void **state)
{
	struct harness *h = *state;
	struct frame frame;

	resolve(h, 0, "10.0.0.9");
	resolve(h, 0, "fd00::9");
	make_udp(h, &frame, "10.0.0.9", "10.0.0.1", 30);
	inject(h, 0, &frame);
	assert_error(h, &frame, 3, 3, 0);
	make_udp(h, &frame, "fd00::9", "fd00::1", 30);
	inject(h, 0, &frame);
	assert_error(h, &frame, 1, 4, 0);
	make_packet(h, &frame, "10.0.0.9", "10.0.0.1", 47, "GRE packet", 10);
	inject(h, 0, &frame);
	assert_int_equal(COUNTER(h, other_protocol), 3);
	assert_nothing_sent(h);
}

static void
unreachable_neighbour_of_others_packets_is_told(void **state)
{
	struct harness *h = *state;
	struct rte_mbuf *m = own_packet(h, "10.1.0.1", "10.1.0.9", 0);
	struct frame frame;

	resolve(h, 0, "10.0.0.9");
	make_udp(h, &frame, "10.0.0.9", "10.1.0.9", 3);
	inject(h, 0, &frame);
	net_output(h->net, &m, 1, h->now); /* ours waits with it, and is not told */
	for (int i = 0; i < 3; i++) {
		assert_int_equal(drain(h), 1); /* the question */
		pass(h, SECOND);
	}
	frame.data[IP + 8]--; /* it had been on its way */
	fix_checksums(&frame);
	assert_error(h, &frame, 3, 1, 0);
	assert_int_equal(COUNTER(h, neighbour_failed), 2);
}

static void
no_error_about_errors_or_groups(void **state)
{
	struct harness *h = *state;
	uint8_t unreachable[36] = {3, 1, 0, 0, 0, 0, 0, 0, 0x45};
	uint8_t too_big[60] = {2, 0, 0, 0, 0, 0, 5, 0, 0x60};
	struct frame frame;

	resolve(h, 0, "10.0.0.9");
	resolve(h, 0, "fd00::9");
	make_packet(h, &frame, "10.0.0.9", "10.2.0.9", IPPROTO_ICMP, unreachable, 36);
	frame.data[IP + 8] = 1;
	fix_checksums(&frame);
	inject(h, 0, &frame);
	make_packet(h, &frame, "fd00::9", "fd02::9", IPPROTO_ICMPV6, too_big, 60);
	frame.data[IP + 7] = 1;
	inject(h, 0, &frame);
	assert_int_equal(COUNTER(h, ttl_exceeded), 2);
	make_udp(h, &frame, "fd00::9", "ff0e::9", 8);
	frame.data[0] = frame.data[1] = 0x33;
	inject(h, 0, &frame);
	assert_nothing_sent(h);
	/* About an echo request, which is no error, one is. */
	make_echo(h, &frame, "10.0.0.9", "10.2.0.9", 8);
	frame.data[IP + 8] = 1;
	fix_checksums(&frame);
	inject(h, 0, &frame);
	assert_error(h, &frame, 11, 0, 0);
}

static void
errors_are_limited_in_rate(void **state)
{
	struct harness *h = *state;
	struct frame frame;
	unsigned int errors = 0;

	resolve(h, 0, "10.0.0.9");
	for (int i = 0; i < 1000; i++) {
		make_udp(h, &frame, "10.0.0.9", "10.0.0.1", 3);
		inject(h, 0, &frame);
		errors += drain(h);
	}
	assert_in_range(errors, 10, 100);
	h->now += SECOND;
	make_udp(h, &frame, "10.0.0.9", "10.0.0.1", 3);
	inject(h, 0, &frame);
	assert_int_equal(drain(h), 1);
}

static void
link_local_packets_stay_on_their_link(void **state)
{
	struct harness *h = *state;
	struct frame frame;

	make_udp(h, &frame, "fe80::9", "fd02::9", 3);
	inject(h, 0, &frame);
	make_udp(h, &frame, "fd00::9", "fe80::9", 3);
	inject(h, 0, &frame);
	assert_int_equal(COUNTER(h, bad_address), 2);
	assert_nothing_sent(h);
}

/* --- errors that we receive --------------------------------------------------------------------
 */

/* An ICMP error about the TCP segment 10.0.0.1:4096 > 10.2.0.9:80 (or fd00::1 > fd02::9),
 * sequence number 1. */
static void
make_error(struct harness *h, struct frame *frame, bool ip6, uint8_t type, uint8_t code,
	   uint32_t rest, size_t quoted)
{
	uint8_t icmp[256] = {type, code, 0, 0, rest >> 24, rest >> 16, rest >> 8, rest};
	struct frame about;

	make_tcp(h, &about, ip6 ? "fd00::1" : "10.0.0.1", ip6 ? "fd02::9" : "10.2.0.9", 20);
	memcpy(icmp + 8, about.data + IP, quoted);
	make_packet(h, frame, ip6 ? "fd00::9" : "10.0.0.9", ip6 ? "fd00::1" : "10.0.0.1",
		    ip6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP, icmp, 8 + quoted);
}

static void
icmp_errors_are_told_to_tcp(void **state)
{
	struct harness *h = *state;
	const struct {
		bool ip6;
		uint8_t type, code;
		uint32_t rest;
		uint8_t kind;
		uint16_t mtu;
	} cases[] = {
		{false, 3, 0, 0, 0, 0},        {false, 3, 1, 0, 0, 0},
		{false, 3, 2, 0, 1, 0},        {false, 3, 3, 0, 1, 0},
		{false, 3, 4, 1280, 2, 1280},  {false, 3, 4, 0, 2, 68},
		{false, 3, 13, 0, 0, 0},       {false, 11, 0, 0, 0, 0},
		{true, 1, 0, 0, 0, 0},         {true, 1, 3, 0, 0, 0},
		{true, 1, 4, 0, 1, 0},         {true, 2, 0, 1400, 2, 1400},
		{true, 2, 0, 70000, 2, 65535}, {true, 3, 0, 0, 0, 0},
		{true, 4, 1, 0, 1, 0},         {true, 4, 0, 0, 0, 0},
	};
	struct frame frame;

	for (size_t i = 0; i < RTE_DIM(cases); i++) {
		struct in6_addr local = ip(cases[i].ip6 ? "fd00::1" : "10.0.0.1");
		struct in6_addr remote = ip(cases[i].ip6 ? "fd02::9" : "10.2.0.9");

		make_error(h, &frame, cases[i].ip6, cases[i].type, cases[i].code, cases[i].rest,
			   (cases[i].ip6 ? 40 : 20) + 8);
		inject_cut(h, 0, &frame, 61);
		assert_int_equal(h->n_errors, 1);
		assert_memory_equal(&h->errors[0].local, &local, 16);
		assert_memory_equal(&h->errors[0].remote, &remote, 16);
		assert_int_equal(h->errors[0].local_port, 4096);
		assert_int_equal(h->errors[0].remote_port, 80);
		assert_int_equal(h->errors[0].seq, 1);
		assert_int_equal(h->errors[0].kind, cases[i].kind);
		assert_int_equal(h->errors[0].mtu, cases[i].mtu);
	}
	assert_int_equal(COUNTER(h, icmp_errors_in), RTE_DIM(cases));
	assert_nothing_sent(h);
}

static void
icmp_errors_that_quote_too_little_are_ignored(void **state)
{
	struct harness *h = *state;
	struct frame frame;

	for (size_t quoted = 0; quoted < 28; quoted++) {
		make_error(h, &frame, false, 3, 4, 1280, quoted);
		inject(h, 0, &frame);
		assert_int_equal(h->n_errors, 0);
	}
	for (size_t quoted = 0; quoted < 48; quoted++) {
		make_error(h, &frame, true, 2, 0, 1280, quoted);
		inject(h, 0, &frame);
		assert_int_equal(h->n_errors, 0);
	}
	make_error(h, &frame, false, 3, 4, 1280, 28);
	frame.data[IP + 28 + 9] = IPPROTO_UDP; /* not about TCP */
	fix_checksums(&frame);
	inject(h, 0, &frame);
	assert_int_equal(h->n_errors, 0);
	make_error(h, &frame, false, 3, 4, 1280, 28);
	frame.data[IP + 28 + 7] = 1; /* about a fragment that does not begin with TCP */
	fix_checksums(&frame);
	inject(h, 0, &frame);
	assert_int_equal(h->n_errors, 0);
	make_error(h, &frame, false, 5, 1, 0, 28); /* a redirect */
	inject(h, 0, &frame);
	assert_int_equal(h->n_errors, 0);
	assert_int_equal(COUNTER(h, other_protocol), 1);
}

static void
icmp_error_for_another_is_told_and_routed_on(void **state)
{
	struct harness *h = *state;
	uint8_t icmp[36] = {3, 4, 0, 0, 0, 0, 5, 0};
	struct frame frame, about;

	resolve(h, 1, "10.1.0.254");
	make_tcp(h, &about, "10.2.0.7", "192.0.2.1", 20);
	memcpy(icmp + 8, about.data + IP, 28);
	make_packet(h, &frame, "10.0.0.9", "10.2.0.7", IPPROTO_ICMP, icmp, sizeof(icmp));
	inject(h, 0, &frame);
	assert_int_equal(h->n_errors, 1);
	assert_int_equal(h->errors[0].mtu, 1280);
	assert_true(sent(h, 1, &about));
	assert_int_equal(about.len, frame.len);
	assert_int_equal(COUNTER(h, forwarded), 1);
}

/* --- routes ------------------------------------------------------------------------------------
 */

static void
source_fits_the_way_out(void **state)
{
	struct harness *h = *state;
	const char *cases[][2] = {{"10.0.0.9", "10.0.0.1"},
				  {"10.1.0.9", "10.1.0.1"},
				  {"10.2.3.4", "10.1.0.1"},
				  {"fd00::9", "fd00::1"},
				  {"fd02::9", "fd01::1"}};
	struct in6_addr remote, source, expected;
	uint16_t mtu = 0;

	for (size_t i = 0; i < RTE_DIM(cases); i++) {
		remote = ip(cases[i][0]);
		expected = ip(cases[i][1]);
		assert_true(net_source_for(h->net, &remote, &source, &mtu));
		assert_memory_equal(&source, &expected, 16);
		assert_int_equal(mtu, 1500);
		assert_true(net_is_local(h->net, &source));
		assert_false(net_is_local(h->net, &remote));
	}
	remote = ip("192.0.2.1");
	assert_false(net_source_for(h->net, &remote, &source, &mtu));
}

static void
longest_prefix_wins_whatever_the_order(void **state)
{
	struct harness *h = *state;
	const struct net_prefix address = {ip("10.0.0.1"), 120};
	const struct net_interface interface = {
		.port = h->ports[0], .addresses = &address, .n_addresses = 1};
	const struct net_route routes[] = {
		{{ip("0.0.0.0"), 96}, ip("10.0.0.2"), 0},
		{{ip("10.9.8.0"), 120}, ip("10.0.0.3"), 0},
		{{ip("10.9.0.0"), 112}, ip("10.0.0.4"), 0},
		{{ip("10.9.8.7"), 128}, ip("10.0.0.5"), 0},
	};
	const struct net_config config = {.interfaces = &interface,
					  .n_interfaces = 1,
					  .routes = routes,
					  .n_routes = 4,
					  .pool = h->pool};
	const char *cases[][2] = {{"1.2.3.4", "10.0.0.2"},
				  {"10.9.8.1", "10.0.0.3"},
				  {"10.9.7.1", "10.0.0.4"},
				  {"10.9.8.7", "10.0.0.5"},
				  {"10.0.0.77", "10.0.0.77"}};
	struct frame frame;

	net_destroy(h->net);
	h->net = net_create(&config);
	for (size_t i = 0; i < RTE_DIM(cases); i++) {
		struct rte_mbuf *m = own_packet(h, "10.0.0.1", cases[i][0], 0);

		net_output(h->net, &m, 1, h->now);
		assert_true(sent(h, 0, &frame)); /* asks for the next hop */
		assert_memory_equal(frame.data + IP + 24, &ip(cases[i][1]).s6_addr[12], 4);
	}
}

static void
impossible_configuration_is_refused(void **state)
{
	struct harness *h = *state;
	const struct net_prefix address = {ip("10.0.0.1"), 120}, wide = {ip("10.0.0.1"), 129};
	struct net_interface interface = {
		.port = h->ports[0], .addresses = &address, .n_addresses = 1};
	struct net_route route = {{ip("0.0.0.0"), 96}, ip("10.0.0.2"), 1};
	struct net_config config = {.interfaces = &interface,
				    .n_interfaces = 1,
				    .routes = &route,
				    .n_routes = 1,
				    .pool = h->pool};

	assert_null(net_create(&config)); /* no interface 1 */
	config.n_routes = 0;
	interface.addresses = &wide;
	assert_null(net_create(&config));
	config.n_interfaces = 0;
	assert_null(net_create(&config));
}

/* --- output ----------------------------------------------------------------------------------- */

static void
checksums_are_computed_for_a_port_that_cannot(void **state)
{
	struct harness *h = *state;
	const char *pairs[][2] = {{"10.0.0.1", "10.0.0.9"}, {"fd00::1", "fd00::9"}};
	struct frame whole, out;

	for (size_t p = 0; p < RTE_DIM(pairs); p++) {
		bool ip6 = p == 1;
		size_t header = ip6 ? 40 : 20;

		resolve(h, 0, pairs[p][1]);
		for (size_t cut = header + 20; cut < header + 70; cut++) {
			struct rte_mbuf *m;
			uint16_t pseudo;

			make_tcp(h, &whole, pairs[p][0], pairs[p][1], 97);
			pseudo = plain_sum(whole.data + IP + (ip6 ? 8 : 12), ip6 ? 32 : 8,
					   IPPROTO_TCP + 117);
			whole.data[IP + header + 16] = pseudo >> 8;
			whole.data[IP + header + 17] = (uint8_t)pseudo;
			m = harness_mbuf(h, whole.data + IP, whole.len - IP, cut);
			m->l3_len = header;
			m->l4_len = 20;
			m->ol_flags = RTE_MBUF_F_TX_TCP_CKSUM |
				      (ip6 ? RTE_MBUF_F_TX_IPV6
					   : RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_IP_CKSUM);
			net_output(h->net, &m, 1, h->now);
			assert_true(sent(h, 0, &out));
			assert_true(checksums_right(&out));
			fix_checksums(&whole);
			assert_memory_equal(out.data + IP, whole.data + IP, whole.len - IP);
		}
	}
}

static void
shared_payload_is_not_handed_to_a_ring(void **state)
{
	struct harness *h = *state;
	struct port_counters counters;
	struct rte_mbuf *payload, *clone, *m;
	struct frame out;

	resolve(h, 0, "10.0.0.9");
	payload = harness_mbuf(h, "twenty bytes of text", 20, FRAME_MAX);
	clone = rte_pktmbuf_clone(payload, h->pool);
	m = own_packet(h, "10.0.0.1", "10.0.0.9", 0);
	rte_pktmbuf_mtod(m, uint8_t *)[3] = 60;
	assert_int_equal(rte_pktmbuf_chain(m, clone), 0);
	net_output(h->net, &m, 1, h->now);
	assert_true(sent(h, 0, &out));
	assert_memory_equal(out.data + 54, "twenty bytes of text", 20);
	port_counters(h->ports[0], &counters);
	assert_int_equal(counters.tx_copied_bytes, 74);
	assert_int_equal(rte_mbuf_refcnt_read(payload), 1);
	rte_pktmbuf_free(payload);
}

static void
packet_without_headroom_is_copied(void **state)
{
	struct harness *h = *state;
	struct rte_mbuf *m = own_packet(h, "10.0.0.1", "10.0.0.9", 0);
	struct frame out;

	resolve(h, 0, "10.0.0.9");
	memmove(m->buf_addr, rte_pktmbuf_mtod(m, void *), 40);
	m->data_off = 0;
	net_output(h->net, &m, 1, h->now);
	assert_true(sent(h, 0, &out));
	assert_true(checksums_right(&out));
}

static void
own_packet_that_is_too_big_or_nonsense_is_counted(void **state)
{
	struct harness *h = *state;
	struct rte_mbuf *m = own_packet(h, "10.0.0.1", "10.0.0.9", 1461);

	net_output(h->net, &m, 1, h->now);
	assert_int_equal(COUNTER(h, too_big), 1);
	m = harness_mbuf(h, "nonsense", 8, FRAME_MAX);
	net_output(h->net, &m, 1, h->now);
	assert_int_equal(COUNTER(h, bad_ip_header), 1);
	assert_nothing_sent(h);
}

static void
nothing_is_sent_without_buffers(void **state)
{
	struct harness *h = *state;
	struct rte_mbuf *all[4096];
	struct rte_mbuf *m;
	struct frame frame;
	unsigned int n = 0;

	make_arp(h, &frame, RTE_ARP_OP_REQUEST, "10.0.0.9", "10.0.0.1", &broadcast_mac);
	m = harness_mbuf(h, frame.data, frame.len, FRAME_MAX);
	while (n < RTE_DIM(all) && (all[n] = rte_pktmbuf_alloc(h->pool)) != NULL)
		n++;
	inject_mbuf(h, 0, m);
	assert_int_equal(COUNTER(h, no_buffers), 1);
	assert_nothing_sent(h);
	while (n > 0)
		rte_pktmbuf_free(all[--n]);
}

int
main(void)
{
#define T(test) cmocka_unit_test_setup_teardown(test, harness_setup, harness_teardown)
	const struct CMUnitTest tests[] = {
		T(echo_is_answered),
		T(echo6_is_answered),
		T(echo_to_any_address_of_ours_is_answered),
		T(echo_with_a_wrong_checksum_is_not),
		T(packets_of_others_are_routed_on),
		T(hop_limit_of_every_value_keeps_the_checksum_right),
		T(handed_back_tcp_is_routed_on),
		T(last_hop_is_told),
		T(packet_larger_than_the_way_out_is_told),
		T(packet_without_a_route_is_told),
		T(udp_to_us_is_told_that_nobody_listens),
		T(unreachable_neighbour_of_others_packets_is_told),
		T(no_error_about_errors_or_groups),
		T(errors_are_limited_in_rate),
		T(link_local_packets_stay_on_their_link),
		T(icmp_errors_are_told_to_tcp),
		T(icmp_errors_that_quote_too_little_are_ignored),
		T(icmp_error_for_another_is_told_and_routed_on),
		T(source_fits_the_way_out),
		T(longest_prefix_wins_whatever_the_order),
		T(impossible_configuration_is_refused),
		T(checksums_are_computed_for_a_port_that_cannot),
		T(shared_payload_is_not_handed_to_a_ring),
		T(packet_without_headroom_is_copied),
		T(own_packet_that_is_too_big_or_nonsense_is_counted),
		T(nothing_is_sent_without_buffers),
	};

	harness_eal("net-forward");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
