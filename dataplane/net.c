/* SPDX-License-Identifier: Apache-2.0 */

#include <stdlib.h>

#include <rte_prefetch.h>

#include "dataplane/net_internal.h"

#define ICMP_ERRORS_PER_SECOND 1000
#define ICMP_ERRORS_BURST 50
#define ANSWERS_PER_SECOND 5000
#define ANSWERS_BURST 256
#define ANNOUNCEMENTS 2 /* of each address of ours, a second apart */

/* --- buffers ------------------------------------------------------------------------------- */

static bool
is_ours_alone(const struct rte_mbuf *m)
{
	return RTE_MBUF_DIRECT(m) && rte_mbuf_refcnt_read(m) == 1;
}

bool
net_pull(struct rte_mbuf *m, uint32_t len)
{
	uint32_t missing;

	if (likely(rte_pktmbuf_data_len(m) >= len))
		return true;
	missing = len - rte_pktmbuf_data_len(m);
	if (len > m->pkt_len || missing > rte_pktmbuf_tailroom(m) || !is_ours_alone(m))
		return false;
	while (missing > 0) {
		struct rte_mbuf *seg = m->next;
		uint16_t n = RTE_MIN(missing, (uint32_t)seg->data_len);

		memcpy(rte_pktmbuf_mtod_offset(m, char *, m->data_len),
		       rte_pktmbuf_mtod(seg, const char *), n);
		m->data_len += n;
		seg->data_off += n;
		seg->data_len -= n;
		missing -= n;
		if (seg->data_len == 0) {
			m->next = seg->next;
			m->nb_segs--;
			rte_pktmbuf_free_seg(seg);
		}
	}
	return true;
}

void
net_trim(struct rte_mbuf *m, uint32_t len)
{
	struct rte_mbuf *seg = m;

	if (len >= m->pkt_len)
		return;
	m->pkt_len = len;
	m->nb_segs = 1;
	for (; len > seg->data_len; seg = seg->next) {
		len -= seg->data_len;
		m->nb_segs++;
	}
	seg->data_len = (uint16_t)len;
	rte_pktmbuf_free(seg->next);
	seg->next = NULL;
}

struct rte_mbuf *
net_new_packet(struct net *net, uint16_t len)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(net->pool);
	char *data = m != NULL ? rte_pktmbuf_append(m, len) : NULL;

	if (data == NULL) {
		net->counters.no_buffers++;
		rte_pktmbuf_free(m);
		return NULL;
	}
	memset(data, 0, len);
	return m;
}

/* --- creation ---------------------------------------------------------------------------- */

static bool
is_ip6(const struct in6_addr *address)
{
	return !IN6_IS_ADDR_V4MAPPED(address);
}

/* RFC 4291 appendix A: the modified EUI-64 of the Ethernet address. */
static struct in6_addr
link_local(const struct rte_ether_addr *mac)
{
	struct in6_addr a = {.s6_addr = {0xfe, 0x80, [11] = 0xff, [12] = 0xfe}};

	memcpy(&a.s6_addr[8], &mac->addr_bytes[0], 3);
	memcpy(&a.s6_addr[13], &mac->addr_bytes[3], 3);
	a.s6_addr[8] ^= 0x02;
	return a;
}

static bool
create_interface(struct net_if *interface, const struct net_interface *from, uint16_t index)
{
	interface->port = from->port;
	interface->mac = *port_mac(from->port);
	interface->mtu = port_mtu(from->port);
	interface->index = index;
	interface->vlan = from->vlan;
	interface->partial_checksums = port_peer_is_kernel(from->port);
	interface->link_local = link_local(&interface->mac);
	interface->n_addresses = from->n_addresses;
	interface->addresses = calloc(from->n_addresses + 1, sizeof(*interface->addresses));
	if (interface->addresses == NULL)
		return false;
	for (unsigned int i = 0; i < from->n_addresses; i++) {
		interface->addresses[i] = from->addresses[i];
		if (from->addresses[i].length > 128)
			return false;
		interface->ip6 |= is_ip6(&from->addresses[i].address);
	}
	return true;
}

static bool
create_tables(struct net *net, const struct net_config *config)
{
	net->interfaces = calloc(config->n_interfaces, sizeof(*net->interfaces));
	if (net->interfaces == NULL)
		return false;
	net->n_interfaces = config->n_interfaces;
	for (unsigned int i = 0; i < config->n_interfaces; i++)
		if (!create_interface(&net->interfaces[i], &config->interfaces[i], (uint16_t)i))
			return false;
	return net_routes_create(net, config) &&
	       net_neighbours_create(net, config->max_neighbours != 0 ? config->max_neighbours
								      : NET_DEFAULT_NEIGHBOURS);
}

struct net *
net_create(const struct net_config *config)
{
	struct net *net;

	if (config->n_interfaces == 0 || config->n_interfaces > UINT16_MAX || config->pool == NULL)
		return NULL;
	net = calloc(1, sizeof(*net));
	if (net == NULL)
		return NULL;
	net->queue = config->queue;
	net->pool = config->pool;
	/* One worker is enough to say where our addresses are. */
	net->announce_at = config->queue == 0 ? 0 : UINT64_MAX;
	net_bucket_init(&net->errors, ICMP_ERRORS_PER_SECOND, ICMP_ERRORS_BURST);
	net_bucket_init(&net->answers, ANSWERS_PER_SECOND, ANSWERS_BURST);
	if (!create_tables(net, config)) {
		net_destroy(net);
		return NULL;
	}
	return net;
}

void
net_destroy(struct net *net)
{
	if (net == NULL)
		return;
	net_neighbours_destroy(net);
	for (unsigned int i = 0; i < net->n_interfaces; i++)
		free(net->interfaces[i].addresses);
	free(net->interfaces);
	free(net->fib);
	free(net);
}

/* --- input -------------------------------------------------------------------------------- */

uint16_t
net_input(struct net *net, unsigned int interface, struct rte_mbuf **frames, uint16_t n,
	  uint64_t now, struct rte_mbuf **tcp, struct net_icmp_error *errors,
	  unsigned int max_errors, unsigned int *n_errors)
{
	struct net_turn turn = {
		.net = net, .now = now, .tcp = tcp, .errors = errors, .max_errors = max_errors};

	turn.n_errors = RTE_MIN(net->n_unreachable, max_errors);
	if (turn.n_errors > 0)
		memcpy(errors, net->unreachable, turn.n_errors * sizeof(*errors));
	net->n_unreachable = 0;
	for (uint16_t i = 0; i < n; i++) {
		if (i + 1 < n)
			rte_prefetch0(rte_pktmbuf_mtod(frames[i + 1], void *));
		net_ether_input(&turn, &net->interfaces[interface], frames[i]);
	}
	net_flush(net);
	if (n_errors != NULL)
		*n_errors = turn.n_errors;
	return turn.n_tcp;
}

/* --- time ----------------------------------------------------------------------------------- */

static void
announce(struct net *net, uint64_t now)
{
	for (unsigned int i = 0; i < net->n_interfaces; i++) {
		struct net_if *out = &net->interfaces[i];

		for (unsigned int a = 0; a < out->n_addresses; a++) {
			const struct in6_addr *address = &out->addresses[a].address;

			if (is_ip6(address))
				net_nd_announce(net, out, address);
			else
				net_arp_announce(net, out, net_ip4_of(address));
		}
	}
	net->announcements++;
	net->announce_at = net->announcements < ANNOUNCEMENTS ? now + NET_SECOND : UINT64_MAX;
}

void
net_timers(struct net *net, uint64_t now)
{
	if (now >= net->announce_at)
		announce(net, now);
	net_neighbour_timers(net, now);
	net_flush(net);
}

uint64_t
net_next_timer(const struct net *net)
{
	return RTE_MIN(net->announce_at, net->neighbours.next_deadline);
}

/* --- what is ours ---------------------------------------------------------------------------- */

bool
net_is_local(const struct net *net, const struct in6_addr *address)
{
	for (unsigned int i = 0; i < net->n_interfaces; i++) {
		const struct net_if *interface = &net->interfaces[i];

		for (unsigned int a = 0; a < interface->n_addresses; a++)
			if (net_same(&interface->addresses[a].address, address))
				return true;
		if (interface->ip6 && net_same(&interface->link_local, address))
			return true;
	}
	return false;
}

const struct net_counters *
net_counters(const struct net *net)
{
	return &net->counters;
}
