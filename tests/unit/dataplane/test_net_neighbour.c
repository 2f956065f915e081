/* SPDX-License-Identifier: Apache-2.0 */

#include <stdio.h>
#include <string.h>

#include "tests/unit/dataplane/net_harness.h"

#define ARP_AT 14

static void
output(struct harness *h, const char *to)
{
	bool ip6 = strchr(to, ':') != NULL;
	struct rte_mbuf *m = own_packet(h, ip6 ? "fd00::1" : "10.0.0.1", to, 10);

	net_output(h->net, &m, 1, h->now);
}

static void
answer_arp(struct harness *h, const char *address, const struct rte_ether_addr *mac)
{
	struct frame frame;

	make_arp(h, &frame, RTE_ARP_OP_REPLY, address, "10.0.0.1", &h->mac[0]);
	memcpy(frame.data + ARP_AT + 8, mac, 6);
	inject(h, 0, &frame);
}

static void
answer_nd(struct harness *h, const char *address, const struct rte_ether_addr *mac)
{
	struct frame frame;

	make_nd(h, &frame, 136, address, "fd00::1", address, 0x60, mac);
	inject(h, 0, &frame);
}

static void
assert_arp_request(const struct frame *frame, const char *target, const struct rte_ether_addr *to)
{
	const struct rte_arp_hdr *arp = (const struct rte_arp_hdr *)(frame->data + ARP_AT);
	struct in6_addr address = ip(target), own = ip("10.0.0.1");

	assert_memory_equal(frame->data, to, 6);
	assert_int_equal(frame->data[12] << 8 | frame->data[13], RTE_ETHER_TYPE_ARP);
	assert_int_equal(arp->arp_opcode, rte_cpu_to_be_16(RTE_ARP_OP_REQUEST));
	assert_int_equal(arp->arp_data.arp_tip, address.s6_addr32[3]);
	assert_int_equal(arp->arp_data.arp_sip, own.s6_addr32[3]);
	assert_memory_equal(&arp->arp_data.arp_sha, frame->data + 6, 6);
}

static bool
is_arp(const struct frame *frame)
{
	return frame->data[12] == 0x08 && frame->data[13] == 0x06;
}

static void
arp_request_for_us_is_answered(void **state)
{
	struct harness *h = *state;
	const struct rte_arp_hdr *arp;
	struct frame frame;

	make_arp(h, &frame, RTE_ARP_OP_REQUEST, "10.0.0.9", "10.0.0.1", &broadcast_mac);
	inject(h, 0, &frame);
	assert_true(sent(h, 0, &frame));
	arp = (const struct rte_arp_hdr *)(frame.data + ARP_AT);
	assert_memory_equal(frame.data, &host_mac, 6);
	assert_memory_equal(frame.data + 6, &h->mac[0], 6);
	assert_int_equal(arp->arp_opcode, rte_cpu_to_be_16(RTE_ARP_OP_REPLY));
	assert_memory_equal(&arp->arp_data.arp_sha, &h->mac[0], 6);
	assert_memory_equal(&arp->arp_data.arp_tha, &host_mac, 6);
	assert_int_equal(arp->arp_data.arp_sip, ip("10.0.0.1").s6_addr32[3]);
	assert_int_equal(arp->arp_data.arp_tip, ip("10.0.0.9").s6_addr32[3]);
	assert_int_equal(COUNTER(h, arp_in), 1);
	assert_nothing_sent(h);
}

static void
arp_for_others_gets_no_answer(void **state)
{
	struct harness *h = *state;
	struct frame frame;

	make_arp(h, &frame, RTE_ARP_OP_REQUEST, "10.0.0.9", "10.0.0.2", &broadcast_mac);
	inject(h, 0, &frame);
	/* An address of ours, but of another link. */
	make_arp(h, &frame, RTE_ARP_OP_REQUEST, "10.0.0.9", "10.1.0.1", &broadcast_mac);
	inject(h, 0, &frame);
	assert_nothing_sent(h);
}

static void
arp_probe_is_answered_and_teaches_nothing(void **state)
{
	struct harness *h = *state;
	struct net_neighbour news;
	struct frame frame;

	make_arp(h, &frame, RTE_ARP_OP_REQUEST, "0.0.0.0", "10.0.0.1", &broadcast_mac);
	inject(h, 0, &frame);
	assert_true(sent(h, 0, &frame));
	assert_int_equal(net_news(h->net, &news, 1), 0);
}

static void
arp_claim_of_our_address_is_contested_once(void **state)
{
	struct harness *h = *state;
	struct frame frame;

	for (int i = 0; i < 3; i++) {
		make_arp(h, &frame, RTE_ARP_OP_REQUEST, "10.0.0.1", "10.0.0.1", &broadcast_mac);
		inject(h, 0, &frame);
	}
	assert_int_equal(COUNTER(h, bad_address), 3);
	assert_true(sent(h, 0, &frame));
	assert_arp_request(&frame, "10.0.0.1", &broadcast_mac);
	assert_nothing_sent(h);
}

static void
broken_arp_is_counted(void **state)
{
	struct harness *h = *state;
	struct frame frame;
	const struct {
		size_t at;
		uint8_t value;
	} breaks[] = {{1, 6}, {2, 9}, {4, 8}, {5, 16}, {7, 3}, {8, 0x01} /* a group's address */};

	for (size_t i = 0; i < RTE_DIM(breaks); i++) {
		make_arp(h, &frame, RTE_ARP_OP_REQUEST, "10.0.0.9", "10.0.0.1", &broadcast_mac);
		frame.data[ARP_AT + breaks[i].at] = breaks[i].value;
		inject(h, 0, &frame);
		assert_int_equal(COUNTER(h, bad_frame), i + 1);
	}
	make_arp(h, &frame, RTE_ARP_OP_REQUEST, "224.0.0.9", "10.0.0.1", &broadcast_mac);
	inject(h, 0, &frame);
	assert_int_equal(COUNTER(h, bad_address), 1);
	assert_nothing_sent(h);
}

static void
packets_wait_for_the_answer_and_keep_their_order(void **state)
{
	struct harness *h = *state;
	uint64_t before = COUNTER(h, packets_out);
	struct frame frame;
	struct rte_mbuf *m;

	for (size_t i = 0; i < 3; i++) {
		m = own_packet(h, "10.0.0.1", "10.0.0.9", i);
		net_output(h->net, &m, 1, h->now);
	}
	assert_true(sent(h, 0, &frame));
	assert_arp_request(&frame, "10.0.0.9", &broadcast_mac);
	assert_nothing_sent(h); /* one question for all three */
	answer_arp(h, "10.0.0.9", &host_mac);
	for (size_t i = 0; i < 3; i++) {
		assert_true(sent(h, 0, &frame));
		assert_int_equal(frame.len, 14 + 20 + 20 + i);
		assert_memory_equal(frame.data, &host_mac, 6);
		assert_memory_equal(frame.data + 6, &h->mac[0], 6);
	}
	assert_int_equal(COUNTER(h, packets_out) - before, 1 + 3);
}

static void
solicitation_resolves_ip6(void **state)
{
	struct harness *h = *state;
	const uint8_t group[] = {0x33, 0x33, 0xff, 0x34, 0x56, 0x78};
	struct in6_addr target = ip("fd00::1234:5678"), own = ip("fd00::1");
	struct frame frame;

	output(h, "fd00::1234:5678");
	assert_true(sent(h, 0, &frame));
	assert_memory_equal(frame.data, group, 6);
	assert_int_equal(frame.len, 14 + 40 + 32);
	assert_int_equal(frame.data[14 + 7], 255);
	assert_memory_equal(frame.data + 14 + 8, &own, 16);
	assert_int_equal(frame.data[54], 135);
	assert_memory_equal(frame.data + 62, &target, 16);
	assert_int_equal(frame.data[78], 1);
	assert_memory_equal(frame.data + 80, &h->mac[0], 6);
	assert_true(checksums_right(&frame));
	answer_nd(h, "fd00::1234:5678", &host_mac);
	assert_true(sent(h, 0, &frame));
	assert_memory_equal(frame.data, &host_mac, 6);
	assert_int_equal(COUNTER(h, nd_in), 1);
}

static void
no_answer_after_three_questions_drops_what_waits(void **state)
{
	struct harness *h = *state;
	const char *addresses[] = {"10.0.0.9", "fd00::9"};

	for (size_t i = 0; i < RTE_DIM(addresses); i++) {
		output(h, addresses[i]);
		output(h, addresses[i]);
		assert_int_equal(drain(h), 1);
		assert_true(net_next_timer(h->net) <= h->now + SECOND);
		pass(h, SECOND);
		assert_int_equal(drain(h), 1);
		pass(h, SECOND);
		assert_int_equal(drain(h), 1);
		assert_int_equal(COUNTER(h, neighbour_failed), 2 * i);
		pass(h, SECOND);
		assert_nothing_sent(h);
		assert_int_equal(COUNTER(h, neighbour_failed), 2 * (i + 1));
		assert_true(net_next_timer(h->net) == UINT64_MAX);
	}
	/* It starts anew with the next packet. */
	output(h, "10.0.0.9");
	assert_int_equal(drain(h), 1);
}

static void
tcp_is_told_of_a_next_hop_that_does_not_answer(void **state)
{
	struct harness *h = *state;
	const char *pairs[][2] = {{"10.0.0.1", "10.0.0.9"}, {"fd00::1", "fd00::9"}};

	for (size_t i = 0; i < RTE_DIM(pairs); i++) {
		struct in6_addr local = ip(pairs[i][0]), remote = ip(pairs[i][1]);

		output(h, pairs[i][1]);
		for (int second = 0; second < 3; second++)
			pass(h, SECOND);
		drain(h);
		net_input(h->net, 0, NULL, 0, h->now, h->tcp, h->errors, 4, &h->n_errors);
		assert_int_equal(h->n_errors, 1);
		assert_memory_equal(&h->errors[0].local, &local, 16);
		assert_memory_equal(&h->errors[0].remote, &remote, 16);
		assert_int_equal(h->errors[0].local_port, 4096);
		assert_int_equal(h->errors[0].remote_port, 80);
		assert_int_equal(h->errors[0].seq, 1);
		assert_int_equal(h->errors[0].kind, 0);
		net_input(h->net, 0, NULL, 0, h->now, h->tcp, h->errors, 4, &h->n_errors);
		assert_int_equal(h->n_errors, 0);
	}
}

static void
queue_of_a_neighbour_keeps_the_latest(void **state)
{
	struct harness *h = *state;
	struct frame frame;
	struct rte_mbuf *m;

	for (size_t i = 0; i < 20; i++) {
		m = own_packet(h, "10.0.0.1", "10.0.0.9", i);
		net_output(h->net, &m, 1, h->now);
	}
	assert_int_equal(COUNTER(h, neighbour_queue_full), 4);
	assert_int_equal(drain(h), 1);
	answer_arp(h, "10.0.0.9", &host_mac);
	for (size_t i = 4; i < 20; i++) {
		assert_true(sent(h, 0, &frame));
		assert_int_equal(frame.len, 54 + i);
	}
	assert_nothing_sent(h);
}

static void
unasked_answers_make_no_entry(void **state)
{
	struct harness *h = *state;
	struct frame frame;

	answer_arp(h, "10.0.0.9", &other_mac);
	answer_nd(h, "fd00::9", &other_mac);
	make_arp(h, &frame, RTE_ARP_OP_REQUEST, "10.0.0.9", "10.0.0.9", &broadcast_mac);
	inject(h, 0, &frame);
	output(h, "10.0.0.9");
	assert_true(sent(h, 0, &frame));
	assert_arp_request(&frame, "10.0.0.9", &broadcast_mac);
	output(h, "fd00::9");
	assert_true(sent(h, 0, &frame));
	assert_int_equal(frame.data[54], 135);
	assert_nothing_sent(h);
}

static void
unasked_answer_with_another_mac_is_verified_first(void **state)
{
	struct harness *h = *state;
	struct frame frame;

	resolve(h, 0, "10.0.0.9");
	answer_arp(h, "10.0.0.9", &other_mac);
	assert_true(sent(h, 0, &frame));
	assert_arp_request(&frame, "10.0.0.9", &broadcast_mac);
	output(h, "10.0.0.9");
	assert_true(sent(h, 0, &frame));
	assert_memory_equal(frame.data, &host_mac, 6); /* the known one, until then */
	answer_arp(h, "10.0.0.9", &host_mac);
	output(h, "10.0.0.9");
	assert_true(sent(h, 0, &frame));
	assert_memory_equal(frame.data, &host_mac, 6);
	assert_nothing_sent(h);
}

static void
gratuitous_arp_of_a_moved_neighbour_leads_to_it(void **state)
{
	struct harness *h = *state;
	struct frame frame;

	resolve(h, 0, "10.0.0.9");
	make_arp(h, &frame, RTE_ARP_OP_REQUEST, "10.0.0.9", "10.0.0.9", &broadcast_mac);
	memcpy(frame.data + ARP_AT + 8, &other_mac, 6);
	inject(h, 0, &frame);
	assert_true(sent(h, 0, &frame));
	assert_arp_request(&frame, "10.0.0.9", &broadcast_mac);
	answer_arp(h, "10.0.0.9", &other_mac);
	output(h, "10.0.0.9");
	assert_true(sent(h, 0, &frame));
	assert_memory_equal(frame.data, &other_mac, 6);
}

static void
question_of_a_neighbour_that_we_ask_for_serves_as_its_answer(void **state)
{
	struct harness *h = *state;
	struct frame frame;

	output(h, "10.0.0.9");
	assert_int_equal(drain(h), 1);
	make_arp(h, &frame, RTE_ARP_OP_REQUEST, "10.0.0.9", "10.0.0.1", &broadcast_mac);
	inject(h, 0, &frame);
	assert_true(sent(h, 0, &frame));
	assert_false(is_arp(&frame)); /* the packet that waited */
	assert_true(sent(h, 0, &frame));
	assert_true(is_arp(&frame)); /* our answer */
}

static void
stale_neighbour_is_asked_again_and_still_used(void **state)
{
	struct harness *h = *state;
	struct frame frame;

	resolve(h, 0, "10.0.0.9");
	pass(h, 29 * SECOND);
	output(h, "10.0.0.9");
	assert_true(sent(h, 0, &frame));
	assert_false(is_arp(&frame));
	assert_nothing_sent(h);
	pass(h, 2 * SECOND);
	output(h, "10.0.0.9");
	assert_true(sent(h, 0, &frame));
	assert_arp_request(&frame, "10.0.0.9", &host_mac); /* to it alone */
	assert_true(sent(h, 0, &frame));
	assert_false(is_arp(&frame));
	answer_arp(h, "10.0.0.9", &host_mac);
	pass(h, 20 * SECOND);
	output(h, "10.0.0.9");
	assert_true(sent(h, 0, &frame));
	assert_false(is_arp(&frame));
	assert_nothing_sent(h);
}

static void
stale_neighbour_that_does_not_answer_is_forgotten(void **state)
{
	struct harness *h = *state;
	struct frame frame;

	resolve(h, 0, "fd00::9");
	pass(h, 31 * SECOND);
	output(h, "fd00::9");
	for (int i = 0; i < 3; i++)
		pass(h, SECOND);
	assert_int_equal(drain(h), 3 + 1);
	output(h, "fd00::9");
	assert_true(sent(h, 0, &frame));
	assert_int_equal(frame.data[0], 0x33); /* asks everybody */
	assert_nothing_sent(h);
}

static void
unused_neighbour_is_forgotten_in_time(void **state)
{
	struct harness *h = *state;

	resolve(h, 0, "10.0.0.9");
	pass(h, 31 * SECOND);
	assert_true(net_next_timer(h->net) != UINT64_MAX);
	pass(h, 601 * SECOND);
	assert_true(net_next_timer(h->net) == UINT64_MAX);
	assert_nothing_sent(h);
}

static void
scan_does_not_push_out_known_neighbours(void **state)
{
	struct harness *h = *state;
	struct frame frame;
	char address[32];

	h->max_neighbours = 8;
	harness_renew(h);
	resolve(h, 0, "10.0.0.9");
	for (int i = 0; i < 100; i++) {
		snprintf(address, sizeof(address), "10.0.0.%d", 100 + i);
		output(h, address);
	}
	assert_true(COUNTER(h, neighbour_table_full) > 0);
	drain(h);
	output(h, "10.0.0.9");
	assert_true(sent(h, 0, &frame));
	assert_false(is_arp(&frame));
}

static void
full_table_forgets_the_least_recently_used(void **state)
{
	struct harness *h = *state;
	struct frame frame;
	char address[32];

	h->max_neighbours = 4;
	harness_renew(h);
	for (int i = 0; i < 4; i++) {
		snprintf(address, sizeof(address), "10.0.0.%d", 100 + i);
		resolve(h, 0, address);
	}
	output(h, "10.0.0.100");
	drain(h);
	resolve(h, 0, "10.0.0.9");
	assert_int_equal(COUNTER(h, neighbour_table_full), 1);
	output(h, "10.0.0.100");
	assert_true(sent(h, 0, &frame));
	assert_false(is_arp(&frame));
	output(h, "10.0.0.101");
	assert_true(sent(h, 0, &frame));
	assert_true(is_arp(&frame));
}

static void
storm_of_arp_requests_is_answered_in_bounds(void **state)
{
	struct harness *h = *state;
	struct frame frame;
	unsigned int answers = 0;

	for (int i = 0; i < 2000; i++) {
		make_arp(h, &frame, RTE_ARP_OP_REQUEST, "10.0.0.9", "10.0.0.1", &broadcast_mac);
		inject(h, 0, &frame);
		answers += drain(h);
	}
	assert_in_range(answers, 100, 300);
}

static void
news_releases_what_waits_at_another_worker(void **state)
{
	struct harness *h = *state;
	const struct net_neighbour unknown = {
		.interface = 0, .address = ip("10.0.0.77"), .mac = host_mac, .unasked = true};
	struct net_neighbour news[4];
	struct frame frame;

	/* The answer to a question that another worker asked is passed on as such ... */
	answer_arp(h, "10.0.0.8", &host_mac);
	assert_int_equal(net_news(h->net, news, 4), 1);
	assert_true(news[0].unasked);
	assert_memory_equal(&news[0].mac, &host_mac, 6);
	/* ... and one to ours as something learned. */
	output(h, "10.0.0.9");
	drain(h);
	answer_arp(h, "10.0.0.9", &host_mac);
	drain(h);
	assert_int_equal(net_news(h->net, news, 4), 1);
	assert_false(news[0].unasked);
	assert_int_equal(net_news(h->net, news, 4), 0);

	/* The other side of both. */
	harness_renew(h);
	net_learn(h->net, &news[0], h->now);
	output(h, "10.0.0.9");
	assert_true(sent(h, 0, &frame));
	assert_false(is_arp(&frame));
	net_learn(h->net, &unknown, h->now);
	output(h, "10.0.0.77");
	assert_true(sent(h, 0, &frame));
	assert_true(is_arp(&frame));
	net_learn(h->net, &unknown, h->now);
	assert_true(sent(h, 0, &frame));
	assert_false(is_arp(&frame));
}

static void
unread_news_make_room_for_newer(void **state)
{
	struct harness *h = *state;
	struct net_neighbour news[200];
	char address[32];
	unsigned int n;

	for (int i = 1; i <= 200; i++) {
		snprintf(address, sizeof(address), "10.0.0.%d", 20 + i);
		answer_arp(h, address, &host_mac);
	}
	n = net_news(h->net, news, 200);
	assert_in_range(n, 64, 199);
	assert_int_equal(news[n - 1].address.s6_addr[15], 220);
}

static void
addresses_are_announced_at_the_start(void **state)
{
	struct harness *h = *state;
	const struct net_prefix address[] = {{ip("10.0.0.1"), 120}, {ip("fd00::1"), 64}};
	const struct net_interface interface = {
		.port = h->ports[0], .addresses = address, .n_addresses = 2};
	const struct net_config config = {
		.interfaces = &interface, .n_interfaces = 1, .pool = h->pool};
	struct net *net = net_create(&config);
	struct frame frame;

	net_timers(net, h->now);
	assert_true(sent(h, 0, &frame));
	assert_arp_request(&frame, "10.0.0.1", &broadcast_mac);
	assert_true(sent(h, 0, &frame));
	assert_int_equal(frame.data[54], 136);
	assert_int_equal(frame.data[14 + 7], 255);
	assert_true(checksums_right(&frame));
	assert_nothing_sent(h);
	net_timers(net, h->now + SECOND);
	assert_int_equal(drain(h), 2);
	assert_true(net_next_timer(net) == UINT64_MAX);
	net_destroy(net);
}

/* --- neighbour discovery -----------------------------------------------------------------------
 */

static void
solicitation_for_us_is_answered(void **state)
{
	struct harness *h = *state;
	struct in6_addr own = ip("fd00::1"), asker = ip("fd00::9");
	const char *destinations[] = {"ff02::1:ff00:1", "fd00::1"};
	struct frame frame;

	for (size_t i = 0; i < RTE_DIM(destinations); i++) {
		make_nd(h, &frame, 135, "fd00::9", destinations[i], "fd00::1", 0, &host_mac);
		inject(h, 0, &frame);
		assert_true(sent(h, 0, &frame));
		assert_memory_equal(frame.data, &host_mac, 6);
		assert_memory_equal(frame.data + 22, &own, 16);
		assert_memory_equal(frame.data + 38, &asker, 16);
		assert_int_equal(frame.data[54], 136);
		assert_int_equal(frame.data[58] & 0x60, 0x60);
		assert_memory_equal(frame.data + 62, &own, 16);
		assert_memory_equal(frame.data + 80, &h->mac[0], 6);
		assert_true(checksums_right(&frame));
	}
	assert_int_equal(COUNTER(h, nd_in), 2);
	/* The unicast probe of a neighbour that knows us carries no option. */
	make_nd(h, &frame, 135, "fd00::9", "fd00::1", "fd00::1", 0, NULL);
	inject(h, 0, &frame);
	assert_true(sent(h, 0, &frame));
	assert_memory_equal(frame.data, &host_mac, 6);
	assert_nothing_sent(h);
}

static void
duplicate_address_detection_is_told_all(void **state)
{
	struct harness *h = *state;
	const uint8_t all_nodes[] = {0x33, 0x33, 0, 0, 0, 1};
	struct frame frame;

	make_nd(h, &frame, 135, "::", "ff02::1:ff00:1", "fd00::1", 0, NULL);
	inject(h, 0, &frame);
	assert_true(sent(h, 0, &frame));
	assert_memory_equal(frame.data, all_nodes, 6);
	assert_int_equal(frame.data[58] & 0x40, 0); /* not solicited */
	assert_nothing_sent(h);
}

static void
bad_neighbour_discovery_is_dropped(void **state)
{
	struct harness *h = *state;
	struct frame frame, good;

	make_nd(h, &good, 135, "fd00::9", "fd00::1", "fd00::1", 0, &host_mac);
	frame = good; /* it passed a router */
	frame.data[14 + 7] = 254;
	inject(h, 0, &frame);
	frame = good;
	frame.data[55] = 1; /* code */
	fix_checksums(&frame);
	inject(h, 0, &frame);
	frame = good;
	frame.data[79] = 0; /* an option of no length */
	fix_checksums(&frame);
	inject(h, 0, &frame);
	frame = good;
	frame.data[79] = 2; /* beyond the end */
	fix_checksums(&frame);
	inject(h, 0, &frame);
	frame = good;
	frame.data[62] = 0xff; /* asks for a group */
	fix_checksums(&frame);
	inject(h, 0, &frame);
	make_nd(h, &frame, 135, "::", "ff02::1:ff00:1", "fd00::1", 0, &host_mac);
	inject(h, 0, &frame);
	make_nd(h, &frame, 135, "::", "ff02::1", "fd00::1", 0, NULL);
	inject(h, 0, &frame);
	make_nd(h, &frame, 136, "fd00::9", "ff02::1", "fd00::9", 0x60, &host_mac);
	inject(h, 0, &frame);
	assert_int_equal(COUNTER(h, bad_frame), 8);
	assert_int_equal(COUNTER(h, nd_in), 0);
	frame = good;
	frame.data[70] ^= 1;
	inject(h, 0, &frame);
	assert_int_equal(COUNTER(h, bad_l4_checksum), 1);
	assert_nothing_sent(h);
}

static void
link_local_address_of_the_mac_answers(void **state)
{
	struct harness *h = *state;
	const uint8_t *mac = h->mac[0].addr_bytes;
	struct frame frame;
	char own[64];

	snprintf(own, sizeof(own), "fe80::%02x%02x:%02xff:fe%02x:%02x%02x", mac[0] ^ 2, mac[1],
		 mac[2], mac[3], mac[4], mac[5]);
	make_nd(h, &frame, 135, "fe80::9", own, own, 0, &host_mac);
	inject(h, 0, &frame);
	assert_true(sent(h, 0, &frame));
	assert_int_equal(frame.data[54], 136);
	make_echo(h, &frame, "fe80::9", own, 8);
	inject(h, 0, &frame);
	assert_true(sent(h, 0, &frame)); /* asks on the link that the echo came by */
	assert_int_equal(frame.data[54], 135);
	make_nd(h, &frame, 136, "fe80::9", own, "fe80::9", 0x60, &host_mac);
	inject(h, 0, &frame);
	assert_true(sent(h, 0, &frame));
	assert_int_equal(frame.data[54], 129);
	assert_true(checksums_right(&frame));
}

int
main(void)
{
#define T(test) cmocka_unit_test_setup_teardown(test, harness_setup, harness_teardown)
	const struct CMUnitTest tests[] = {
		T(arp_request_for_us_is_answered),
		T(arp_for_others_gets_no_answer),
		T(arp_probe_is_answered_and_teaches_nothing),
		T(arp_claim_of_our_address_is_contested_once),
		T(broken_arp_is_counted),
		T(packets_wait_for_the_answer_and_keep_their_order),
		T(solicitation_resolves_ip6),
		T(no_answer_after_three_questions_drops_what_waits),
		T(tcp_is_told_of_a_next_hop_that_does_not_answer),
		T(queue_of_a_neighbour_keeps_the_latest),
		T(unasked_answers_make_no_entry),
		T(unasked_answer_with_another_mac_is_verified_first),
		T(gratuitous_arp_of_a_moved_neighbour_leads_to_it),
		T(question_of_a_neighbour_that_we_ask_for_serves_as_its_answer),
		T(stale_neighbour_is_asked_again_and_still_used),
		T(stale_neighbour_that_does_not_answer_is_forgotten),
		T(unused_neighbour_is_forgotten_in_time),
		T(scan_does_not_push_out_known_neighbours),
		T(full_table_forgets_the_least_recently_used),
		T(storm_of_arp_requests_is_answered_in_bounds),
		T(news_releases_what_waits_at_another_worker),
		T(unread_news_make_room_for_newer),
		T(addresses_are_announced_at_the_start),
		T(solicitation_for_us_is_answered),
		T(duplicate_address_detection_is_told_all),
		T(bad_neighbour_discovery_is_dropped),
		T(link_local_address_of_the_mac_answers),
	};

	harness_eal("net-neighbour");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
