/* SPDX-License-Identifier: Apache-2.0 */

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <rte_bus_vdev.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_eth_ring.h>
#include <rte_ethdev.h>

#include "tests/unit/dataplane/net_harness.h"

#define BUFFERS 4095
#define RING_SIZE 1024
#define IP_AT sizeof(struct rte_ether_hdr)

const struct rte_ether_addr host_mac = {{0x02, 0, 0, 0, 0, 0xaa}};
const struct rte_ether_addr other_mac = {{0x02, 0, 0, 0, 0, 0xbb}};
const struct rte_ether_addr broadcast_mac = {{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}};

void
harness_eal(const char *name)
{
	char prefix[64];
	char *argv[] = {"test", "--no-huge",      "--no-shconf",       "--no-pci",      "-m",
			"64",   "--no-telemetry", "--log-level=error", "--file-prefix", prefix};

	snprintf(prefix, sizeof(prefix), "%s-%d", name, (int)getpid());
	if (rte_eal_init((int)RTE_DIM(argv), argv) < 0) {
		fprintf(stderr, "EAL: %s\n", rte_strerror(rte_errno));
		exit(1);
	}
}

/* --- set-up ---------------------------------------------------------------------------------- */

static void
open_port(struct harness *h, unsigned int i)
{
	char name[32], device[64], error[256];
	struct port_config config = {
		.name = "test", .device = device, .mtu = 1500, .queues = 1, .pool = h->pool};

	snprintf(name, sizeof(name), "to%u", i);
	h->to[i] = rte_ring_create(name, RING_SIZE, SOCKET_ID_ANY, 0);
	snprintf(name, sizeof(name), "from%u", i);
	h->from[i] = rte_ring_create(name, RING_SIZE, SOCKET_ID_ANY, 0);
	assert_non_null(h->to[i]);
	assert_non_null(h->from[i]);
	snprintf(name, sizeof(name), "h%u", i);
	assert_true(rte_eth_from_rings(name, &h->to[i], 1, &h->from[i], 1, 0) >= 0);
	snprintf(device, sizeof(device), "net_ring_h%u", i);
	h->ports[i] = port_open(&config, error, sizeof(error));
	if (h->ports[i] == NULL)
		fail_msg("%s", error);
	h->mac[i] = *port_mac(h->ports[i]);
}

void
harness_renew(struct harness *h)
{
	const struct net_prefix front[] = {{ip("10.0.0.1"), 96 + 24}, {ip("fd00::1"), 64}};
	const struct net_prefix back[] = {{ip("10.1.0.1"), 96 + 24}, {ip("fd01::1"), 64}};
	const struct net_interface interfaces[] = {
		{.port = h->ports[0], .vlan = h->vlan, .addresses = front, .n_addresses = 2},
		{.port = h->ports[1], .addresses = back, .n_addresses = 2},
	};
	const struct net_route routes[] = {
		{{ip("10.2.0.0"), 96 + 16}, ip("10.1.0.254"), 1},
		{{ip("fd02::"), 64}, ip("fd01::fe"), 1},
	};
	const struct net_config config = {
		.interfaces = interfaces,
		.n_interfaces = 2,
		.routes = routes,
		.n_routes = 2,
		.pool = h->pool,
		.max_neighbours = h->max_neighbours,
	};

	net_destroy(h->net);
	h->net = net_create(&config);
	assert_non_null(h->net);
	/* The announcements, which are not what most tests are about. */
	net_timers(h->net, h->now);
	h->now += SECOND;
	net_timers(h->net, h->now);
	drain(h);
}

int
harness_setup(void **state)
{
	struct harness *h = calloc(1, sizeof(*h));

	h->now = SECOND;
	h->pool = port_pool_create("harness", BUFFERS, 0, SOCKET_ID_ANY);
	assert_non_null(h->pool);
	for (unsigned int i = 0; i < HARNESS_PORTS; i++)
		open_port(h, i);
	harness_renew(h);
	*state = h;
	return 0;
}

static void
free_tcp(struct harness *h)
{
	for (uint16_t i = 0; i < h->n_tcp; i++)
		rte_pktmbuf_free(h->tcp[i]);
	h->n_tcp = 0;
}

int
harness_teardown(void **state)
{
	struct harness *h = *state;

	free_tcp(h);
	net_destroy(h->net);
	drain(h);
	for (unsigned int i = 0; i < HARNESS_PORTS; i++) {
		char device[64];

		port_close(h->ports[i]);
		snprintf(device, sizeof(device), "net_ring_h%u", i);
		rte_vdev_uninit(device);
		rte_ring_free(h->to[i]);
		rte_ring_free(h->from[i]);
	}
	assert_int_equal(rte_mempool_in_use_count(h->pool), 0);
	rte_mempool_free(h->pool);
	free(h);
	return 0;
}

/* --- frames in and out ------------------------------------------------------------------------ */

static void
append(struct rte_mbuf *m, const uint8_t *data, size_t len)
{
	char *to = rte_pktmbuf_append(m, (uint16_t)len);

	assert_non_null(to);
	memcpy(to, data, len);
}

struct rte_mbuf *
harness_mbuf(struct harness *h, const void *data, size_t len, size_t segment)
{
	const uint8_t *bytes = data;
	struct rte_mbuf *m = rte_pktmbuf_alloc(h->pool);

	assert_non_null(m);
	append(m, bytes, RTE_MIN(len, segment));
	for (size_t at = segment; at < len; at += segment) {
		struct rte_mbuf *next = rte_pktmbuf_alloc(h->pool);

		assert_non_null(next);
		append(next, bytes + at, RTE_MIN(len - at, segment));
		assert_int_equal(rte_pktmbuf_chain(m, next), 0);
	}
	return m;
}

void
inject_mbuf(struct harness *h, unsigned int interface, struct rte_mbuf *m)
{
	struct rte_mbuf *burst[PORT_BURST];
	uint16_t n;

	free_tcp(h);
	assert_int_equal(rte_ring_enqueue(h->to[interface], m), 0);
	n = port_rx(h->ports[interface], 0, burst, PORT_BURST);
	assert_int_equal(n, 1);
	h->n_tcp = net_input(h->net, interface, burst, n, h->now, h->tcp, h->errors,
			     RTE_DIM(h->errors), &h->n_errors);
}

void
inject_cut(struct harness *h, unsigned int interface, const struct frame *frame, size_t segment)
{
	inject_mbuf(h, interface, harness_mbuf(h, frame->data, frame->len, segment));
}

void
inject(struct harness *h, unsigned int interface, const struct frame *frame)
{
	inject_cut(h, interface, frame, FRAME_MAX);
}

bool
sent(struct harness *h, unsigned int interface, struct frame *frame)
{
	struct rte_mbuf *m;
	const uint8_t *data;

	if (rte_ring_dequeue(h->from[interface], (void **)&m) != 0)
		return false;
	assert_true(m->pkt_len <= FRAME_MAX);
	rte_mbuf_sanity_check(m, 1);
	frame->len = m->pkt_len;
	data = rte_pktmbuf_read(m, 0, m->pkt_len, frame->data);
	assert_non_null(data);
	if (data != frame->data)
		memcpy(frame->data, data, frame->len);
	rte_pktmbuf_free(m);
	return true;
}

unsigned int
drain(struct harness *h)
{
	struct frame frame;
	unsigned int n = 0;

	for (unsigned int i = 0; i < HARNESS_PORTS; i++)
		while (sent(h, i, &frame))
			n++;
	return n;
}

void
assert_nothing_sent(struct harness *h)
{
	assert_int_equal(drain(h), 0);
}

void
pass(struct harness *h, uint64_t microseconds)
{
	h->now += microseconds;
	net_timers(h->net, h->now);
}

/* --- building --------------------------------------------------------------------------------- */

struct in6_addr
ip(const char *text)
{
	struct in6_addr address = {.s6_addr = {[10] = 0xff, [11] = 0xff}};

	if (inet_pton(AF_INET, text, &address.s6_addr[12]) != 1)
		assert_int_equal(inet_pton(AF_INET6, text, &address), 1);
	return address;
}

uint16_t
plain_sum(const uint8_t *data, size_t len, uint32_t start)
{
	uint32_t sum = start;

	for (size_t i = 0; i < len; i++)
		sum += i % 2 == 0 ? (uint32_t)data[i] << 8 : data[i];
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)sum;
}

static void
put16(uint8_t *to, uint16_t value)
{
	to[0] = value >> 8;
	to[1] = (uint8_t)value;
}

/* Where things are in a frame with a plain IPv4 or IPv6 header. */
struct layout {
	uint8_t *ip, *l4;
	size_t l4_len;
	uint8_t protocol;
	bool ip6;
	uint32_t pseudo;
};

static struct layout
lay_out(const struct frame *frame)
{
	uint8_t *packet = (uint8_t *)(uintptr_t)frame->data + IP_AT;
	struct layout l = {.ip = packet};

	if (frame->data[12] == 0x81)
		l.ip = packet += RTE_VLAN_HLEN;
	l.ip6 = packet[0] >> 4 == 6;
	l.l4 = packet + (l.ip6 ? 40 : (packet[0] & 15) * 4);
	l.protocol = l.ip6 ? packet[6] : packet[9];
	l.l4_len = l.ip6 ? (size_t)(packet[4] << 8 | packet[5])
			 : (size_t)(packet[2] << 8 | packet[3]) - (size_t)(l.l4 - packet);
	if (l.protocol != IPPROTO_ICMP)
		l.pseudo = plain_sum(packet + (l.ip6 ? 8 : 12), l.ip6 ? 32 : 8,
				     l.protocol + (uint32_t)l.l4_len);
	return l;
}

static int
checksum_field(uint8_t protocol)
{
	switch (protocol) {
	case IPPROTO_TCP:
		return 16;
	case IPPROTO_UDP:
		return 6;
	case IPPROTO_ICMP:
	case IPPROTO_ICMPV6:
		return 2;
	default:
		return -1;
	}
}

void
fix_checksums(struct frame *frame)
{
	struct layout l = lay_out(frame);
	int field = checksum_field(l.protocol);

	if (!l.ip6) {
		put16(l.ip + 10, 0);
		put16(l.ip + 10, (uint16_t)~plain_sum(l.ip, (size_t)(l.l4 - l.ip), 0));
	}
	if (field < 0 || l.l4_len < (size_t)field + 2)
		return;
	put16(l.l4 + field, 0);
	put16(l.l4 + field, (uint16_t)~plain_sum(l.l4, l.l4_len, l.pseudo));
}

bool
checksums_right(const struct frame *frame)
{
	struct layout l = lay_out(frame);

	return (l.ip6 || plain_sum(l.ip, (size_t)(l.l4 - l.ip), 0) == 0xffff) &&
	       plain_sum(l.l4, l.l4_len, l.pseudo) == 0xffff;
}

static void
make_ether(struct harness *h, struct frame *frame, uint16_t type)
{
	memcpy(frame->data, &h->mac[0], 6);
	memcpy(frame->data + 6, &host_mac, 6);
	put16(frame->data + 12, type);
}

void
tag(struct frame *frame, uint16_t vlan)
{
	memmove(frame->data + 16, frame->data + 12, frame->len - 12);
	put16(frame->data + 12, RTE_ETHER_TYPE_VLAN);
	put16(frame->data + 14, vlan);
	frame->len += 4;
}

void
make_arp(struct harness *h, struct frame *frame, uint16_t opcode, const char *sender,
	 const char *target, const struct rte_ether_addr *to)
{
	struct rte_arp_hdr *arp = (struct rte_arp_hdr *)(frame->data + IP_AT);
	struct in6_addr sip = ip(sender), tip = ip(target);

	memset(frame, 0, sizeof(*frame));
	make_ether(h, frame, RTE_ETHER_TYPE_ARP);
	memcpy(frame->data, to, 6);
	arp->arp_hardware = rte_cpu_to_be_16(1);
	arp->arp_protocol = rte_cpu_to_be_16(RTE_ETHER_TYPE_IPV4);
	arp->arp_hlen = 6;
	arp->arp_plen = 4;
	arp->arp_opcode = rte_cpu_to_be_16(opcode);
	arp->arp_data.arp_sha = host_mac;
	arp->arp_data.arp_sip = sip.s6_addr32[3];
	arp->arp_data.arp_tip = tip.s6_addr32[3];
	frame->len = 60; /* the least that Ethernet carries */
}

void
make_packet(struct harness *h, struct frame *frame, const char *from, const char *to,
	    uint8_t protocol, const void *payload, size_t len)
{
	struct in6_addr source = ip(from), destination = ip(to);
	bool ip6 = strchr(from, ':') != NULL;
	uint8_t *packet = frame->data + IP_AT;
	size_t header = ip6 ? 40 : 20;

	memset(frame, 0, sizeof(*frame));
	make_ether(h, frame, ip6 ? RTE_ETHER_TYPE_IPV6 : RTE_ETHER_TYPE_IPV4);
	if (ip6) {
		packet[0] = 0x60;
		put16(packet + 4, (uint16_t)len);
		packet[6] = protocol;
		packet[7] = 64;
		memcpy(packet + 8, &source, 16);
		memcpy(packet + 24, &destination, 16);
	} else {
		packet[0] = 0x45;
		put16(packet + 2, (uint16_t)(header + len));
		put16(packet + 6, 0x4000); /* do not fragment */
		packet[8] = 64;
		packet[9] = protocol;
		memcpy(packet + 12, &source.s6_addr[12], 4);
		memcpy(packet + 16, &destination.s6_addr[12], 4);
	}
	memcpy(packet + header, payload, len);
	frame->len = IP_AT + header + len;
	fix_checksums(frame);
}

static void
fill(uint8_t *data, size_t len)
{
	for (size_t i = 0; i < len; i++)
		data[i] = (uint8_t)(i * 7 + 1);
}

void
make_echo(struct harness *h, struct frame *frame, const char *from, const char *to, size_t len)
{
	uint8_t icmp[FRAME_MAX] = {strchr(from, ':') != NULL ? 128 : 8, 0, 0, 0, 0x12, 0x34, 0, 1};

	fill(icmp + 8, len);
	make_packet(h, frame, from, to, strchr(from, ':') != NULL ? IPPROTO_ICMPV6 : IPPROTO_ICMP,
		    icmp, 8 + len);
}

void
make_tcp(struct harness *h, struct frame *frame, const char *from, const char *to, size_t len)
{
	uint8_t tcp[FRAME_MAX] = {0x10, 0x00, 0x00, 0x50, 0, 0, 0, 1, 0, 0, 0, 0, 0x50, 0x02};

	fill(tcp + 20, len);
	make_packet(h, frame, from, to, IPPROTO_TCP, tcp, 20 + len);
}

void
make_udp(struct harness *h, struct frame *frame, const char *from, const char *to, size_t len)
{
	uint8_t udp[FRAME_MAX] = {0x10, 0x00, 0x00, 0x35};

	put16(udp + 4, (uint16_t)(8 + len));
	fill(udp + 8, len);
	make_packet(h, frame, from, to, IPPROTO_UDP, udp, 8 + len);
}

void
make_nd(struct harness *h, struct frame *frame, uint8_t type, const char *from, const char *to,
	const char *target, uint8_t flags, const struct rte_ether_addr *mac)
{
	uint8_t nd[32] = {type, 0, 0, 0, flags};
	struct in6_addr address = ip(target), destination = ip(to);

	memcpy(nd + 8, &address, 16);
	nd[24] = type == 135 ? 1 : 2;
	nd[25] = 1;
	if (mac != NULL)
		memcpy(nd + 26, mac, 6);
	make_packet(h, frame, from, to, IPPROTO_ICMPV6, nd, mac != NULL ? 32 : 24);
	frame->data[IP_AT + 7] = 255;
	if (destination.s6_addr[0] == 0xff) {
		frame->data[0] = frame->data[1] = 0x33;
		memcpy(frame->data + 2, &destination.s6_addr[12], 4);
	}
}

struct rte_mbuf *
own_packet(struct harness *h, const char *from, const char *to, size_t len)
{
	struct frame frame;

	make_tcp(h, &frame, from, to, len);
	return harness_mbuf(h, frame.data + IP_AT, frame.len - IP_AT, FRAME_MAX);
}

void
resolve(struct harness *h, unsigned int interface, const char *address)
{
	bool ip6 = strchr(address, ':') != NULL;
	const char *own = ip6 ? (interface == 0 ? "fd00::1" : "fd01::1")
			      : (interface == 0 ? "10.0.0.1" : "10.1.0.1");
	struct rte_mbuf *m = own_packet(h, own, address, 0);
	struct frame frame;

	net_output(h->net, &m, 1, h->now);
	assert_true(sent(h, interface, &frame));
	if (ip6)
		make_nd(h, &frame, 136, address, own, address, 0x60, &host_mac);
	else
		make_arp(h, &frame, RTE_ARP_OP_REPLY, address, own, &h->mac[interface]);
	memcpy(frame.data, &h->mac[interface], 6);
	inject(h, interface, &frame);
	assert_true(sent(h, interface, &frame)); /* the packet that waited */
	assert_memory_equal(frame.data, &host_mac, 6);
	assert_nothing_sent(h);
}
