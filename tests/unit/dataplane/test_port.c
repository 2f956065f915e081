/* SPDX-License-Identifier: Apache-2.0 */

#include <stdio.h>
#include <string.h>

#include <rte_ethdev.h>

#include "dataplane/net_checksum.h"
#include "tests/unit/dataplane/net_harness.h"

static struct port *
try_open(struct harness *h, const char *device, uint16_t mtu, unsigned int queues, char *error)
{
	const struct port_config config = {
		.name = "front", .device = device, .mtu = mtu, .queues = queues, .pool = h->pool};

	memset(error, 0, 256);
	return port_open(&config, error, 256);
}

static void
assert_refused(struct harness *h, const char *device, uint16_t mtu, unsigned int queues,
	       const char *why)
{
	char error[256];

	assert_null(try_open(h, device, mtu, queues, error));
	assert_memory_equal(error, "port front: ", 12);
	if (strstr(error, why) == NULL)
		fail_msg("\"%s\" does not say \"%s\"", error, why);
}

static struct rte_mbuf *
text_frame(struct harness *h, const char *text, size_t len)
{
	char bytes[FRAME_MAX] = {0};

	snprintf(bytes, sizeof(bytes), "%s", text);
	return harness_mbuf(h, bytes, len, FRAME_MAX);
}

static void
what_cannot_be_opened_is_said(void **state)
{
	struct harness *h = *state;

	assert_refused(h, "net_nonesuch0", 1500, 1, "no device \"net_nonesuch0\"");
	assert_refused(h, "net_af_packet0,iface=no-such-if", 1500, 1, "no device");
	assert_refused(h, "0000:99:00.0", 1500, 1, "no device \"0000:99:00.0\"");
	assert_refused(h, "", 1500, 1, "name of a device");
	assert_refused(h, ",iface=a", 1500, 1, "name of a device");
	assert_refused(h, "net_ring7", 1500, 0, "0 queues");
	assert_refused(h, "net_ring7", 1500, 1000, "workers need");
	assert_refused(h, "net_ring7", 60, 1, "MTU of 60");
	assert_refused(h, "net_null7", 9000, 1, "MTU of 9000 into buffers");
	assert_refused(h, "net_ring_h0", 1500, 1, "another port's already");
}

static void
refused_device_can_be_opened_afterwards(void **state)
{
	struct harness *h = *state;
	struct port *port;
	char error[256];

	assert_refused(h, "net_ring8", 1500, 1000, "workers need");
	for (int i = 0; i < 3; i++) {
		port = try_open(h, "net_ring8", 1500, 2, error);
		if (port == NULL)
			fail_msg("%s", error);
		assert_string_equal(port_driver(port), "net_ring");
		assert_true(port_is_software(port));
		assert_false(port_peer_is_kernel(port));
		assert_true(port_link_up(port));
		assert_int_equal(port_mtu(port), 1500);
		assert_true(rte_is_valid_assigned_ether_addr(port_mac(port)));
		port_close(port);
	}
	port_close(NULL);
}

static void
queues_are_separate(void **state)
{
	struct harness *h = *state;
	char error[256];
	/* Each ring of this device leads back to itself. */
	struct port *port = try_open(h, "net_ring9", 1500, 2, error);
	struct rte_mbuf *frames[4], *m;

	assert_non_null(port);
	m = text_frame(h, "frame of queue one", 60);
	port_tx(port, 1, &m, 1);
	assert_int_equal(port_rx(port, 0, frames, 4), 0);
	assert_int_equal(port_rx(port, 1, frames, 4), 1);
	assert_memory_equal(rte_pktmbuf_mtod(frames[0], char *), "frame of queue one", 18);
	rte_pktmbuf_free(frames[0]);
	port_close(port);
}

static void
refused_frames_wait_and_keep_their_order(void **state)
{
	struct harness *h = *state;
	unsigned int room = rte_ring_free_count(h->from[0]), n = room + PORT_BACKLOG + 7;
	struct port_counters counters;
	uint8_t bytes[60] = {0};
	struct frame frame;

	for (unsigned int i = 0; i < n; i++) {
		struct rte_mbuf *m;

		memcpy(bytes + 20, &i, sizeof(i));
		m = harness_mbuf(h, bytes, sizeof(bytes), FRAME_MAX);
		port_tx(h->ports[0], 0, &m, 1);
	}
	port_counters(h->ports[0], &counters);
	assert_int_equal(counters.tx_dropped, 7);
	for (unsigned int i = 0; i < n - 7; i++) {
		/* One by one, so that what waits goes round its ring. */
		assert_true(sent(h, 0, &frame));
		assert_memory_equal(frame.data + 20, &i, sizeof(i));
		port_tx_flush(h->ports[0], 0);
	}
	assert_false(sent(h, 0, &frame));
}

static void
backlog_is_freed_with_the_port(void **state)
{
	struct harness *h = *state;
	unsigned int n = rte_ring_free_count(h->from[0]) + 100;

	for (unsigned int i = 0; i < n; i++) {
		struct rte_mbuf *m = text_frame(h, "frame", 60);

		port_tx(h->ports[0], 0, &m, 1);
	}
	/* The tear-down drains the ring, closes the port and counts the buffers. */
}

static void
bursts_larger_than_one_go_out_whole(void **state)
{
	struct harness *h = *state;
	struct rte_mbuf *burst[100];
	struct port_counters before, after;

	port_counters(h->ports[0], &before);
	for (size_t i = 0; i < RTE_DIM(burst); i++)
		burst[i] = text_frame(h, "frame", 60 + i);
	port_tx(h->ports[0], 0, burst, RTE_DIM(burst));
	assert_int_equal(rte_ring_count(h->from[0]), 100);
	port_counters(h->ports[0], &after);
	assert_int_equal(after.tx_frames - before.tx_frames, 100);
	assert_int_equal(after.tx_bytes - before.tx_bytes, 100 * 60 + 99 * 100 / 2);
	assert_int_equal(drain(h), 100);
}

static void
received_frames_are_counted(void **state)
{
	struct harness *h = *state;
	struct port_counters counters;
	struct frame frame;

	for (size_t i = 0; i < 3; i++) {
		make_tcp(h, &frame, "10.0.0.9", "10.0.0.1", i);
		inject(h, 0, &frame);
	}
	port_counters(h->ports[0], &counters);
	assert_int_equal(counters.rx_frames, 3);
	assert_int_equal(counters.rx_bytes, 3 * 54 + 3);
	assert_int_equal(counters.rx_errors, 0);
}

static void
frame_longer_than_the_mtu_is_counted(void **state)
{
	struct harness *h = *state;
	struct port_counters counters;
	uint8_t bytes[1519] = {0};
	struct rte_mbuf *m;

	for (unsigned int l2_len = 14; l2_len <= 18; l2_len += 4) {
		m = harness_mbuf(h, bytes, 1500 + l2_len, FRAME_MAX);
		m->l2_len = l2_len;
		port_tx(h->ports[0], 0, &m, 1);
		m = harness_mbuf(h, bytes, 1501 + l2_len, FRAME_MAX);
		m->l2_len = l2_len;
		port_tx(h->ports[0], 0, &m, 1);
	}
	port_counters(h->ports[0], &counters);
	assert_int_equal(counters.tx_too_long, 2);
	assert_int_equal(drain(h), 2);
}

static void
frame_whose_lengths_lie_is_dropped(void **state)
{
	struct harness *h = *state;
	struct port_counters counters;
	struct rte_mbuf *m = text_frame(h, "short", 40);

	m->l2_len = 14;
	m->l3_len = 20;
	m->ol_flags = RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_TCP_CKSUM;
	port_tx(h->ports[0], 0, &m, 1);
	port_counters(h->ports[0], &counters);
	assert_int_equal(counters.tx_dropped, 1);
	assert_nothing_sent(h);
}

/* --- checksums ----------------------------------------------------------------------------------
 */

static void
sum_over_a_chain_is_that_of_its_bytes(void **state)
{
	struct harness *h = *state;
	uint8_t bytes[300];

	/* Large bytes, so that there are carries to lose. */
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(255 - i % 7);
	for (size_t segment = 1; segment < 80; segment++) {
		struct rte_mbuf *m = harness_mbuf(h, bytes, sizeof(bytes), segment);

		for (uint32_t offset = 0; offset < sizeof(bytes); offset += 13)
			assert_int_equal(net_sum(m, offset),
					 rte_cpu_to_be_16(plain_sum(bytes + offset,
								    sizeof(bytes) - offset, 0)));
		assert_int_equal(net_sum(m, sizeof(bytes)), 0);
		rte_pktmbuf_free(m);
	}
}

static void
partial_checksum_is_completed_where_it_is_allowed(void **state)
{
	struct harness *h = *state;
	const char *pairs[][2] = {{"10.0.0.9", "10.0.0.1"}, {"fd00::9", "fd00::1"}};

	for (size_t i = 0; i < 4; i++) {
		bool ip6 = i % 2, udp = i / 2;
		uint8_t protocol = udp ? IPPROTO_UDP : IPPROTO_TCP;
		uint16_t l3_len = ip6 ? 40 : 20, field = udp ? 6 : 16, pseudo;
		struct frame frame;
		struct rte_mbuf *m;

		(udp ? make_udp : make_tcp)(h, &frame, pairs[ip6][0], pairs[ip6][1], 31);
		m = harness_mbuf(h, frame.data + 14, frame.len - 14, 90);
		assert_int_equal(net_checksum_verify(m, ip6, l3_len, protocol, field, true),
				 NET_CHECKSUM_GOOD);
		pseudo = net_pseudo_sum(rte_pktmbuf_mtod(m, void *), ip6, protocol,
					m->pkt_len - l3_len);
		*rte_pktmbuf_mtod_offset(m, uint16_t *, l3_len + field) = pseudo;
		assert_int_equal(net_checksum_verify(m, ip6, l3_len, protocol, field, false),
				 NET_CHECKSUM_BAD);
		assert_int_equal(net_checksum_verify(m, ip6, l3_len, protocol, field, true),
				 NET_CHECKSUM_PARTIAL);
		assert_int_equal(net_checksum_verify(m, ip6, l3_len, protocol, field, false),
				 NET_CHECKSUM_GOOD);
		*rte_pktmbuf_mtod_offset(m, uint16_t *, l3_len + field) ^= 0x0100;
		assert_int_equal(net_checksum_verify(m, ip6, l3_len, protocol, field, true),
				 NET_CHECKSUM_BAD);
		rte_pktmbuf_free(m);
	}
}

static void
adjusted_checksum_is_that_of_the_new_words(void **state)
{
	uint8_t words[4] = {0};

	for (uint32_t i = 0; i < 0x10000; i += 0x101) {
		for (uint32_t j = 0; j < 0x10000; j += 0x1111) {
			uint16_t before, after;

			memcpy(words + 2, "\x12\x34", 2);
			words[0] = (uint8_t)(i >> 8);
			words[1] = (uint8_t)i;
			before = ~plain_sum(words, 4, 0);
			words[0] = (uint8_t)(j >> 8);
			words[1] = (uint8_t)j;
			after = ~plain_sum(words, 4, 0);
			assert_int_equal(net_checksum_adjust(before, (uint16_t)i, (uint16_t)j),
					 after);
		}
	}
}

int
main(void)
{
#define T(test) cmocka_unit_test_setup_teardown(test, harness_setup, harness_teardown)
	const struct CMUnitTest tests[] = {
		T(what_cannot_be_opened_is_said),
		T(refused_device_can_be_opened_afterwards),
		T(queues_are_separate),
		T(refused_frames_wait_and_keep_their_order),
		T(backlog_is_freed_with_the_port),
		T(bursts_larger_than_one_go_out_whole),
		T(received_frames_are_counted),
		T(frame_longer_than_the_mtu_is_counted),
		T(frame_whose_lengths_lie_is_dropped),
		T(sum_over_a_chain_is_that_of_its_bytes),
		T(partial_checksum_is_completed_where_it_is_allowed),
		T(adjusted_checksum_is_that_of_the_new_words),
	};

	harness_eal("port");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
