/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Frames of any bytes into net_input(). An input is a sequence of
 *
 *     flags (1)  length (2, big endian)  bytes
 *
 * where the flags choose the interface, how the frame is cut into buffers, whether what
 * comes up is routed on, and how much time passes. The oracles are the sanitizers (what lies
 * behind the end of a frame is poisoned), the contract of what comes up, and the balance of
 * the buffers at the end.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <rte_eal.h>
#include <rte_eth_ring.h>
#include <rte_ethdev.h>
#include <rte_ip.h>
#include <rte_ring.h>
#include <sanitizer/asan_interface.h>

#include "dataplane/net.h"
#include "dataplane/net_checksum.h"

#define PORTS 2
#define RING_SIZE 256
#define BUFFERS 2047
#define MAX_FRAMES 64
#define FRAME_MAX 1600
#define HEADER 3

#define FLAG_INTERFACE 0x01
#define FLAG_FORWARD 0x02
#define FLAG_STRIPPED 0x04
#define FLAG_WAIT 0x08
#define FLAG_CUT 0x70       /* sixteen bytes a buffer for each; 0: one buffer */
#define FLAG_CHECKSUMS 0x80 /* they are right, so that what lies behind them is reached */

static struct rte_mempool *pool;
static struct rte_ring *to[PORTS], *from[PORTS];
static struct port *ports[PORTS];

#define CHECK(condition)                                                                           \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);            \
			abort();                                                                   \
		}                                                                                  \
	} while (0)

static void
open_port(unsigned int i)
{
	char name[32], device[64], error[256];
	struct port_config config = {
		.name = "fuzz", .device = device, .mtu = 1500, .queues = 1, .pool = pool};

	snprintf(name, sizeof(name), "to%u", i);
	to[i] = rte_ring_create(name, RING_SIZE, SOCKET_ID_ANY, 0);
	snprintf(name, sizeof(name), "from%u", i);
	from[i] = rte_ring_create(name, RING_SIZE, SOCKET_ID_ANY, 0);
	snprintf(name, sizeof(name), "f%u", i);
	CHECK(rte_eth_from_rings(name, &to[i], 1, &from[i], 1, 0) >= 0);
	snprintf(device, sizeof(device), "net_ring_f%u", i);
	ports[i] = port_open(&config, error, sizeof(error));
	CHECK(ports[i] != NULL);
}

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
	char prefix[64];
	char *eal[] = {"fuzz", "--no-huge",      "--no-shconf",       "--no-pci",      "-m",
		       "64",   "--no-telemetry", "--log-level=error", "--file-prefix", prefix};

	snprintf(prefix, sizeof(prefix), "packet-fuzz-%d", (int)getpid());
	CHECK(rte_eal_init((int)RTE_DIM(eal), eal) >= 0);
	pool = port_pool_create("fuzz", BUFFERS, 0, SOCKET_ID_ANY);
	CHECK(pool != NULL);
	for (unsigned int i = 0; i < PORTS; i++)
		open_port(i);
	return 0;
}

static struct in6_addr
mapped(uint8_t b, uint8_t c, uint8_t d)
{
	return (struct in6_addr){.s6_addr = {[10] = 0xff, [11] = 0xff, 10, b, c, d}};
}

static struct in6_addr
ip6(uint8_t net, uint8_t host)
{
	return (struct in6_addr){.s6_addr = {0xfd, net, [15] = host}};
}

static struct net *
make_net(void)
{
	const struct net_prefix front[] = {{mapped(0, 0, 1), 120}, {ip6(0, 1), 64}};
	const struct net_prefix back[] = {{mapped(1, 0, 1), 120}, {ip6(1, 1), 64}};
	const struct net_interface interfaces[] = {
		{.port = ports[0], .addresses = front, .n_addresses = 2},
		{.port = ports[1], .vlan = 42, .addresses = back, .n_addresses = 2},
	};
	const struct net_route routes[] = {
		{{mapped(2, 0, 0), 112}, mapped(1, 0, 254), 1},
		{{ip6(2, 0), 64}, ip6(1, 0xfe), 1},
	};
	const struct net_config config = {.interfaces = interfaces,
					  .n_interfaces = 2,
					  .routes = routes,
					  .n_routes = 2,
					  .pool = pool,
					  .max_neighbours = 16};

	return net_create(&config);
}

/* A frame from the input, cut as its flags say, with poison behind each buffer's end. */
static struct rte_mbuf *
make_frame(const uint8_t *data, size_t len, uint8_t flags)
{
	size_t cut = (flags & FLAG_CUT) != 0 ? (size_t)(flags & FLAG_CUT) : FRAME_MAX;
	struct rte_mbuf *head = NULL;

	for (size_t at = 0; at == 0 || at < len; at += cut) {
		struct rte_mbuf *m = rte_pktmbuf_alloc(pool);
		size_t n = RTE_MIN(cut, len - at);

		CHECK(m != NULL);
		if (n > 0)
			memcpy(rte_pktmbuf_append(m, (uint16_t)n), data + at, n);
		if (head == NULL)
			head = m;
		else
			CHECK(rte_pktmbuf_chain(head, m) == 0);
	}
	return head;
}

static uint16_t
word(const uint8_t *at)
{
	return (uint16_t)(at[0] << 8 | at[1]);
}

/* net verifies the checksums of ICMP itself, whatever a device says. */
static void
fix_icmp(uint8_t *data, size_t len)
{
	bool v6 = len >= 54 && word(data + 12) == RTE_ETHER_TYPE_IPV6 && data[20] == IPPROTO_ICMPV6;
	bool v4 = len >= 34 && word(data + 12) == RTE_ETHER_TYPE_IPV4 && data[23] == IPPROTO_ICMP;
	size_t l4 = v6 ? 54 : 14 + (size_t)(data[14] & 15) * 4;
	size_t end = 14 + (v6 ? 40u + word(data + 18) : word(data + 16));
	uint16_t sum;

	if (!(v4 || v6) || end > len || l4 + 4 > end)
		return;
	memset(data + l4 + 2, 0, 2);
	sum = rte_raw_cksum(data + l4, end - l4);
	if (v6)
		sum = net_sum_add(
			sum, net_pseudo_sum(data + 14, true, IPPROTO_ICMPV6, (uint32_t)(end - l4)));
	sum = ~sum;
	memcpy(data + l4 + 2, &sum, 2);
}

/* Only single buffers: in a chain the first one's room may be written. */
static void
poison(struct rte_mbuf *m, void **end, size_t *len)
{
	*end = NULL;
	*len = 0;
	if (m->nb_segs > 1)
		return;
	*end = rte_pktmbuf_mtod_offset(m, char *, m->data_len);
	*len = rte_pktmbuf_tailroom(m);
	ASAN_POISON_MEMORY_REGION(*end, *len);
}

static void
check_tcp(const struct rte_mbuf *m)
{
	const uint8_t *packet = rte_pktmbuf_mtod(m, const uint8_t *);
	bool v6 = m->packet_type == RTE_PTYPE_L3_IPV6;

	rte_mbuf_sanity_check(m, 1);
	CHECK(v6 || m->packet_type == RTE_PTYPE_L3_IPV4);
	CHECK(packet[0] >> 4 == (v6 ? 6 : 4));
	CHECK(m->pkt_len == (v6 ? 40u + (packet[4] << 8 | packet[5])
				: (unsigned int)(packet[2] << 8 | packet[3])));
	CHECK(m->l3_len >= (v6 ? 40 : 20));
	CHECK(m->data_len >= RTE_MIN(m->pkt_len, m->l3_len + 60u));
}

static void
drain(void)
{
	struct rte_mbuf *m;

	for (unsigned int i = 0; i < PORTS; i++) {
		while (rte_ring_dequeue(from[i], (void **)&m) == 0) {
			CHECK(m->pkt_len <= 1500 + 18);
			rte_mbuf_sanity_check(m, 1);
			rte_pktmbuf_free(m);
		}
	}
}

static void
one_frame(struct net *net, const uint8_t *data, size_t len, uint8_t flags, uint64_t now)
{
	unsigned int interface = flags & FLAG_INTERFACE, n_errors = 0;
	struct net_icmp_error errors[1];
	struct rte_mbuf *m, *tcp[1];
	uint8_t bytes[FRAME_MAX];
	size_t poisoned;
	void *end;
	uint16_t n;

	/* The ports' addresses are random: the corpus writes them as 02:... */
	memcpy(bytes, data, len);
	if (len >= 6 && data[0] == 0x02)
		memcpy(bytes, port_mac(ports[interface]), 6);
	if (flags & FLAG_CHECKSUMS)
		fix_icmp(bytes, len);
	m = make_frame(bytes, len, flags);
	if (flags & FLAG_CHECKSUMS)
		m->ol_flags |= RTE_MBUF_F_RX_IP_CKSUM_GOOD | RTE_MBUF_F_RX_L4_CKSUM_GOOD;
	if (flags & FLAG_STRIPPED) {
		m->ol_flags |= RTE_MBUF_F_RX_VLAN | RTE_MBUF_F_RX_VLAN_STRIPPED;
		m->vlan_tci = interface != 0 ? 42 : 0;
	}
	poison(m, &end, &poisoned);
	n = net_input(net, interface, &m, 1, now, tcp, errors, 1, &n_errors);
	CHECK(n <= 1 && n_errors <= 1);
	if (n == 1) {
		check_tcp(tcp[0]);
		if (flags & FLAG_FORWARD)
			net_forward(net, tcp[0], now);
		else
			rte_pktmbuf_free(tcp[0]);
	}
	ASAN_UNPOISON_MEMORY_REGION(end, poisoned);
	drain();
}

static void
own_packet(struct net *net, const struct in6_addr *to, uint64_t now)
{
	uint8_t packet[40] = {0x45, 0, 0, 40, 0, 0, 0, 0, 64, 6, 0, 0, 10, 0, 0, 1};
	struct rte_mbuf *m = make_frame(packet, sizeof(packet), 0);

	memcpy(rte_pktmbuf_mtod_offset(m, void *, 16), &to->s6_addr[12], 4);
	net_output(net, &m, 1, now);
	drain();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct net *net = make_net();
	const struct in6_addr host = mapped(0, 0, 9);
	struct net_neighbour news[8];
	uint64_t now = 1000000;

	CHECK(net != NULL);
	net_timers(net, now);
	/* Somebody whose answer is awaited. */
	own_packet(net, &host, now);
	for (unsigned int i = 0; i < MAX_FRAMES && size >= HEADER; i++) {
		size_t len = (size_t)(data[1] << 8 | data[2]);
		uint8_t flags = data[0];

		data += HEADER;
		size -= HEADER;
		len = RTE_MIN(RTE_MIN(len, size), (size_t)FRAME_MAX);
		one_frame(net, data, len, flags, now);
		data += len;
		size -= len;
		if (flags & FLAG_WAIT) {
			now += 1000000;
			net_timers(net, now);
		}
		for (unsigned int n = net_news(net, news, RTE_DIM(news)); n > 0; n--)
			net_learn(net, &news[n - 1], now);
		drain();
	}
	net_destroy(net);
	drain();
	CHECK(rte_mempool_in_use_count(pool) == 0);
	return 0;
}
