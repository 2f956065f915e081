/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Opens ports by their devargs and answers what dataplane/net answers by itself (ARP,
 * neighbour discovery, echo), or pings: the smallest thing that proves a driver.
 *
 *     net_echo [--mtu N] [--queues N] [--vlan N] [--ping ADDRESS --count N]
 *              (--port DEVARGS ADDRESS/LENGTH[,ADDRESS/LENGTH...])...
 *
 * Prints "ready" when the ports are open and runs until its input ends (or, pinging, until
 * the answers are there), then prints the counters.
 */

#include <arpa/inet.h>
#include <netinet/icmp6.h>
#include <netinet/ip_icmp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <rte_byteorder.h>
#include <rte_eal.h>
#include <rte_icmp.h>
#include <rte_ip.h>

#include "dataplane/net.h"

#define MAX_PORTS 4
#define MAX_QUEUES 4
#define MAX_ADDRESSES 8
#define BUFFERS 8191
#define PING_ID 0x7063
#define PING_PAYLOAD 57
#define PING_INTERVAL 20000 /* microseconds */
#define PING_PATIENCE 10000000

struct options {
	unsigned int n_ports, queues, count;
	uint16_t mtu, vlan;
	const char *devices[MAX_PORTS];
	struct net_prefix addresses[MAX_PORTS][MAX_ADDRESSES];
	unsigned int n_addresses[MAX_PORTS];
	bool ping;
	struct in6_addr ping_to;
};

struct state {
	struct options options;
	struct port *ports[MAX_PORTS];
	struct net *nets[MAX_QUEUES];
	struct rte_mempool *pool;
	unsigned int sent, answered;
	uint64_t next_ping;
};

static void
die(const char *what, const char *why)
{
	fprintf(stderr, "net_echo: %s: %s\n", what, why);
	exit(1);
}

static uint64_t
microseconds(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

/* --- arguments -------------------------------------------------------------------------- */

static unsigned int
parse_address(const char *text, struct in6_addr *address)
{
	struct in_addr ip4;

	if (inet_pton(AF_INET, text, &ip4) == 1) {
		memset(address, 0, sizeof(*address));
		address->s6_addr[10] = address->s6_addr[11] = 0xff;
		memcpy(&address->s6_addr[12], &ip4, sizeof(ip4));
		return 96;
	}
	if (inet_pton(AF_INET6, text, address) != 1)
		die(text, "not an address");
	return 0;
}

static void
parse_port(struct options *options, const char *device, char *addresses)
{
	unsigned int p = options->n_ports++;
	char *save = NULL;

	if (p == MAX_PORTS)
		die(device, "too many ports");
	options->devices[p] = device;
	for (char *a = strtok_r(addresses, ",", &save); a != NULL; a = strtok_r(NULL, ",", &save)) {
		char *slash = strchr(a, '/');
		struct net_prefix *prefix = &options->addresses[p][options->n_addresses[p]++];

		if (slash == NULL || options->n_addresses[p] > MAX_ADDRESSES)
			die(a, "not an address with a prefix length, or one too many");
		*slash = '\0';
		prefix->length = (uint8_t)(parse_address(a, &prefix->address) +
					   (unsigned int)atoi(slash + 1));
	}
}

static void
parse(struct options *options, int argc, char **argv)
{
	options->mtu = 1500;
	options->queues = 1;
	options->count = 10;
	for (int i = 1; i < argc; i++) {
		const char *option = argv[i];

		if (i + 1 >= argc)
			die(option, "a value is missing");
		if (strcmp(option, "--port") == 0 && i + 2 < argc) {
			parse_port(options, argv[i + 1], argv[i + 2]);
			i += 2;
		} else if (strcmp(option, "--mtu") == 0) {
			options->mtu = (uint16_t)atoi(argv[++i]);
		} else if (strcmp(option, "--vlan") == 0) {
			options->vlan = (uint16_t)atoi(argv[++i]);
		} else if (strcmp(option, "--queues") == 0) {
			options->queues = (unsigned int)atoi(argv[++i]);
		} else if (strcmp(option, "--count") == 0) {
			options->count = (unsigned int)atoi(argv[++i]);
		} else if (strcmp(option, "--ping") == 0) {
			parse_address(argv[++i], &options->ping_to);
			options->ping = true;
		} else {
			die(option, "unknown");
		}
	}
	if (options->n_ports == 0 || options->queues == 0 || options->queues > MAX_QUEUES)
		die("arguments", "ports or queues");
}

/* --- setting up ------------------------------------------------------------------------ */

static void
start_eal(void)
{
	char prefix[64];
	char *argv[] = {"net_echo", "--no-huge", "--no-shconf",    "--no-pci",
			"-m",       "128",       "--no-telemetry", "--log-level=error",
			"-l",       "0",         "--file-prefix",  prefix};

	snprintf(prefix, sizeof(prefix), "net-echo-%d", (int)getpid());
	if (rte_eal_init((int)RTE_DIM(argv), argv) < 0)
		die("EAL", "cannot be initialised");
}

static void
open_ports(struct state *s)
{
	struct net_interface interfaces[MAX_PORTS];
	char error[256];

	s->pool = port_pool_create("net_echo", BUFFERS, 0, SOCKET_ID_ANY);
	if (s->pool == NULL)
		die("buffers", "out of memory");
	for (unsigned int p = 0; p < s->options.n_ports; p++) {
		struct port_config config = {.name = "test",
					     .device = s->options.devices[p],
					     .mtu = s->options.mtu,
					     .queues = s->options.queues,
					     .pool = s->pool};

		s->ports[p] = port_open(&config, error, sizeof(error));
		if (s->ports[p] == NULL)
			die("port_open", error);
		interfaces[p] = (struct net_interface){.port = s->ports[p],
						       .vlan = s->options.vlan,
						       .addresses = s->options.addresses[p],
						       .n_addresses = s->options.n_addresses[p]};
	}
	for (unsigned int q = 0; q < s->options.queues; q++) {
		struct net_config config = {.interfaces = interfaces,
					    .n_interfaces = s->options.n_ports,
					    .queue = q,
					    .pool = s->pool};

		s->nets[q] = net_create(&config);
		if (s->nets[q] == NULL)
			die("net_create", "failed");
	}
}

/* --- pinging ------------------------------------------------------------------------------ */

static void
fill_ip4(struct rte_ipv4_hdr *ip, const struct in6_addr *from, const struct in6_addr *to,
	 uint16_t len)
{
	ip->version_ihl = RTE_IPV4_VHL_DEF;
	ip->total_length = rte_cpu_to_be_16(len);
	ip->time_to_live = 64;
	ip->next_proto_id = IPPROTO_ICMP;
	memcpy(&ip->src_addr, &from->s6_addr[12], 4);
	memcpy(&ip->dst_addr, &to->s6_addr[12], 4);
	ip->hdr_checksum = rte_ipv4_cksum(ip);
}

static void
fill_ip6(struct rte_ipv6_hdr *ip, const struct in6_addr *from, const struct in6_addr *to,
	 uint16_t len)
{
	ip->vtc_flow = rte_cpu_to_be_32(6u << 28);
	ip->payload_len = rte_cpu_to_be_16(len);
	ip->proto = IPPROTO_ICMPV6;
	ip->hop_limits = 64;
	memcpy(ip->src_addr, from, sizeof(*from));
	memcpy(ip->dst_addr, to, sizeof(*to));
}

/* A packet in two buffers, as TCP sends them: headers, and payload. */
static struct rte_mbuf *
in_two(struct state *s, const char *data, uint16_t header, uint16_t payload)
{
	struct rte_mbuf *head = rte_pktmbuf_alloc(s->pool), *tail = rte_pktmbuf_alloc(s->pool);

	if (head == NULL || tail == NULL)
		die("ping", "no buffers");
	memcpy(rte_pktmbuf_append(head, header), data, header);
	memcpy(rte_pktmbuf_append(tail, payload), data + header, payload);
	if (rte_pktmbuf_chain(head, tail) != 0)
		die("ping", "cannot chain");
	return head;
}

static void
send_ping(struct state *s, uint64_t now)
{
	const struct in6_addr *to = &s->options.ping_to;
	bool ip6 = !IN6_IS_ADDR_V4MAPPED(to);
	uint16_t header = ip6 ? sizeof(struct rte_ipv6_hdr) : sizeof(struct rte_ipv4_hdr);
	uint16_t len = sizeof(struct rte_icmp_hdr) + PING_PAYLOAD, mtu;
	char data[sizeof(struct rte_ipv6_hdr) + sizeof(struct rte_icmp_hdr) + PING_PAYLOAD];
	struct rte_icmp_hdr *icmp = (struct rte_icmp_hdr *)(data + header);
	struct in6_addr from;
	struct rte_mbuf *m;

	if (!net_source_for(s->nets[0], to, &from, &mtu))
		die("ping", "no route");
	memset(data, 0x5a, sizeof(data));
	memset(data, 0, header + sizeof(*icmp));
	icmp->icmp_type = ip6 ? ICMP6_ECHO_REQUEST : ICMP_ECHO;
	icmp->icmp_ident = rte_cpu_to_be_16(PING_ID);
	icmp->icmp_seq_nb = rte_cpu_to_be_16((uint16_t)s->sent++);
	if (ip6) {
		fill_ip6((struct rte_ipv6_hdr *)data, &from, to, len);
		icmp->icmp_cksum = rte_ipv6_udptcp_cksum((struct rte_ipv6_hdr *)data, icmp);
	} else {
		fill_ip4((struct rte_ipv4_hdr *)data, &from, to, header + len);
		icmp->icmp_cksum = ~rte_raw_cksum(icmp, len);
	}
	m = in_two(s, data, header + (uint16_t)sizeof(*icmp), PING_PAYLOAD);
	net_output(s->nets[0], &m, 1, now);
}

/* Our echo replies, before net_input() counts and frees them. */
static void
look_for_answers(struct state *s, struct rte_mbuf **frames, uint16_t n)
{
	for (uint16_t i = 0; i < n; i++) {
		const struct rte_ether_hdr *ether =
			rte_pktmbuf_mtod(frames[i], const struct rte_ether_hdr *);
		bool ip6 = ether->ether_type == rte_cpu_to_be_16(RTE_ETHER_TYPE_IPV6);
		size_t header = sizeof(*ether) +
				(ip6 ? sizeof(struct rte_ipv6_hdr) : sizeof(struct rte_ipv4_hdr));
		const struct rte_icmp_hdr *icmp =
			rte_pktmbuf_mtod_offset(frames[i], const struct rte_icmp_hdr *, header);

		if (frames[i]->data_len >= header + sizeof(*icmp) &&
		    icmp->icmp_type == (ip6 ? ICMP6_ECHO_REPLY : ICMP_ECHOREPLY) &&
		    icmp->icmp_ident == rte_cpu_to_be_16(PING_ID))
			s->answered++;
	}
}

/* False: all answers are there, or it took too long. */
static bool
ping(struct state *s, uint64_t now, uint64_t started)
{
	if (!s->options.ping)
		return true;
	if (s->answered >= s->options.count || now > started + PING_PATIENCE)
		return false;
	for (unsigned int p = 0; p < s->options.n_ports; p++)
		if (!port_link_up(s->ports[p]))
			return true;
	if (s->sent < s->options.count && now >= s->next_ping) {
		send_ping(s, now);
		s->next_ping = now + PING_INTERVAL;
	}
	return true;
}

/* --- the loop ------------------------------------------------------------------------------- */

/* What one queue hears the others need, since each has a table of its own. */
static void
exchange_news(struct state *s, uint64_t now)
{
	struct net_neighbour news[16];

	for (unsigned int q = 0; q < s->options.queues; q++) {
		unsigned int n = net_news(s->nets[q], news, RTE_DIM(news));

		for (unsigned int other = 0; other < s->options.queues; other++)
			for (unsigned int i = 0; other != q && i < n; i++)
				net_learn(s->nets[other], &news[i], now);
	}
}

static unsigned int
turn(struct state *s, unsigned int q, uint64_t now)
{
	struct rte_mbuf *frames[PORT_BURST], *tcp[PORT_BURST];
	unsigned int received = 0;

	for (unsigned int p = 0; p < s->options.n_ports; p++) {
		uint16_t n = port_rx(s->ports[p], q, frames, PORT_BURST);

		look_for_answers(s, frames, n);
		received += n;
		n = net_input(s->nets[q], p, frames, n, now, tcp, NULL, 0, NULL);
		for (uint16_t i = 0; i < n; i++)
			net_forward(s->nets[q], tcp[i], now);
		port_tx_flush(s->ports[p], q);
	}
	net_timers(s->nets[q], now);
	return received;
}

static bool
input_ended(void)
{
	struct pollfd fd = {.fd = STDIN_FILENO, .events = POLLIN};
	char buffer[16];

	return poll(&fd, 1, 1) > 0 && read(fd.fd, buffer, sizeof(buffer)) <= 0;
}

static void
run(struct state *s)
{
	uint64_t started = microseconds(), now = started;
	unsigned int received;

	do {
		now = microseconds();
		received = 0;
		for (unsigned int q = 0; q < s->options.queues; q++)
			received += turn(s, q, now);
		exchange_news(s, now);
	} while (ping(s, now, started) && (received > 0 || s->options.ping || !input_ended()));
}

static void
report(struct state *s)
{
	for (unsigned int p = 0; p < s->options.n_ports; p++) {
		struct port_counters c;

		port_counters(s->ports[p], &c);
		printf("port %u %s rx_frames %lu tx_frames %lu tx_dropped %lu tx_copied_bytes "
		       "%lu\n",
		       p, port_driver(s->ports[p]), c.rx_frames, c.tx_frames, c.tx_dropped,
		       c.tx_copied_bytes);
	}
	for (unsigned int q = 0; q < s->options.queues; q++) {
		const struct net_counters *c = net_counters(s->nets[q]);

		printf("queue %u", q);
#define X(name, text) printf(" " #name " %lu", c->name);
		NET_COUNTERS(X)
#undef X
		printf("\n");
	}
	if (s->options.ping)
		printf("pings %u answers %u\n", s->sent, s->answered);
}

int
main(int argc, char **argv)
{
	static struct state s;

	parse(&s.options, argc, argv);
	start_eal();
	open_ports(&s);
	printf("ready\n");
	fflush(stdout);
	run(&s);
	report(&s);
	for (unsigned int q = 0; q < s.options.queues; q++)
		net_destroy(s.nets[q]);
	for (unsigned int p = 0; p < s.options.n_ports; p++)
		port_close(s.ports[p]);
	printf("buffers in use %u\n", rte_mempool_in_use_count(s.pool));
	rte_mempool_free(s.pool);
	rte_eal_cleanup();
	return s.options.ping && s.answered < s.options.count;
}
