/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DATAPLANE_NET_H
#define DATAPLANE_NET_H

/*
 * What a packet meets between the port and TCP: Ethernet, VLAN, ARP and neighbour
 * discovery, IPv4 and IPv6, ICMP and ICMPv6, routes.
 *
 * A `struct net` belongs to one worker; workers share nothing, so each keeps its own
 * neighbour table (and answers on its own queue).
 *
 * In: frames become packets for TCP (data at the IP header, as tcp_input() wants them), or
 * are answered here (ARP, NDP, echo), or are counted and dropped. Whether a TCP segment
 * that belongs to no connection is ours is not decided here: the caller hands it back to
 * net_forward().
 * Out: packets that begin at the IP header are routed, given an Ethernet header and sent;
 * while the next hop is being resolved they wait in its queue.
 *
 * Time is microseconds of a monotonic clock, an argument throughout.
 */

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

#include <rte_mbuf.h>
#include <rte_mempool.h>

#include "dataplane/port.h"

struct net;

struct net_prefix {
	struct in6_addr address; /* IPv4 mapped */
	uint8_t length;          /* of 128 bits */
};

struct net_interface {
	struct port *port;
	uint16_t vlan; /* 0: untagged */
	const struct net_prefix *addresses; /* copied */
	unsigned int n_addresses;
};

struct net_route {
	struct net_prefix to;
	struct in6_addr via; /* zero: on-link */
	unsigned int interface;
};

struct net_config {
	const struct net_interface *interfaces;
	unsigned int n_interfaces;
	const struct net_route *routes; /* besides those of the interfaces' own prefixes */
	unsigned int n_routes;
	unsigned int queue;              /* of every port */
	struct rte_mempool *pool;        /* for what net itself sends */
	unsigned int max_neighbours;     /* 0: 1,024 */
};

struct net *net_create(const struct net_config *config);
void net_destroy(struct net *net);

/* An ICMP error about a packet that we (or one whose address we use) sent, or our own finding
 * that the next hop of one does not answer; for tcp_icmp_error(). */
struct net_icmp_error {
	struct in6_addr local, remote; /* of the packet that is complained about */
	uint16_t local_port, remote_port;
	uint32_t seq;
	uint8_t kind; /* 0 soft, 1 hard, 2 too big */
	uint16_t mtu;
};

/*
 * Takes frames received on `interface`. TCP packets, whoever they are addressed to, are
 * written to `tcp` (room for `n`), verified as tcp_input() asks; their number is returned.
 * Everything else is consumed. Packets for others that are not TCP are routed on. ICMP
 * errors about TCP are appended to `errors` (room for `max_errors`), *n_errors counts; an
 * error whose destination is not one of our addresses is also routed on.
 */
uint16_t net_input(struct net *net, unsigned int interface, struct rte_mbuf **frames, uint16_t n,
		   uint64_t now, struct rte_mbuf **tcp, struct net_icmp_error *errors,
		   unsigned int max_errors, unsigned int *n_errors);

/* Routes IP packets and sends them; owns them. Fills in the Ethernet header and, where
 * the port has no offload, the checksums that their flags ask for. */
void net_output(struct net *net, struct rte_mbuf **packets, uint16_t n, uint64_t now);

/* Routes on a packet that somebody else sent and that is not ours to intercept: the hop
 * limit falls by one, time exceeded and packet too big are answered. Owns it. */
void net_forward(struct net *net, struct rte_mbuf *packet, uint64_t now);

/* Ageing, retries and unreachability: to be called every turn, cheap when nothing is due. */
void net_timers(struct net *net, uint64_t now);
uint64_t net_next_timer(const struct net *net); /* UINT64_MAX: nothing */

/*
 * What one worker learns about neighbours the others need too, since an answer reaches one
 * queue only. net_news() hands out what was learned since the last call, net_learn() takes
 * what another worker learned (and releases what waited for it).
 */
struct net_neighbour {
	unsigned int interface;
	struct in6_addr address;
	struct rte_ether_addr mac;
	bool unasked; /* an answer to a question that its worker did not ask: it helps the one
			 that did, and makes no new entry elsewhere */
};
unsigned int net_news(struct net *net, struct net_neighbour *neighbours, unsigned int max);
void net_learn(struct net *net, const struct net_neighbour *neighbour, uint64_t now);

/* Addresses of ours. */
bool net_is_local(const struct net *net, const struct in6_addr *address);
/* The address of ours that a packet to `remote` should carry, and the MTU on its way.
 * False: no route. */
bool net_source_for(const struct net *net, const struct in6_addr *remote, struct in6_addr *source,
		    uint16_t *mtu);

/* One name for every drop and every anomaly. */
#define NET_COUNTERS(X)                                                                            \
	X(frames_in, "frames received")                                                            \
	X(tcp_in, "TCP packets handed up")                                                         \
	X(packets_out, "packets sent")                                                             \
	X(forwarded, "packets of others routed on")                                                \
	X(arp_in, "ARP requests and replies")                                                      \
	X(nd_in, "neighbour solicitations and advertisements")                                     \
	X(echo_in, "echo requests answered")                                                       \
	X(icmp_errors_in, "ICMP errors received")                                                  \
	X(icmp_errors_out, "ICMP errors sent")                                                     \
	X(bad_frame, "frames too short or of an unknown type")                                     \
	X(wrong_vlan, "frames of another VLAN")                                                    \
	X(not_for_us, "frames for another Ethernet address")                                       \
	X(bad_ip_header, "IP headers that are broken or lie about their length")                   \
	X(bad_ip_checksum, "IPv4 header checksums that do not match")                              \
	X(bad_l4_checksum, "TCP or ICMP checksums that do not match")                              \
	X(fragments, "fragments dropped")                                                          \
	X(bad_address, "packets from an impossible source address")                                \
	X(ttl_exceeded, "packets whose hop limit ran out")                                         \
	X(too_big, "packets larger than the way out allows")                                       \
	X(no_route, "packets without a route")                                                     \
	X(neighbour_failed, "packets whose next hop did not answer")                               \
	X(neighbour_queue_full, "packets that did not fit the queue of a next hop")                \
	X(neighbour_table_full, "neighbours evicted for new ones")                                 \
	X(no_buffers, "answers not sent for lack of buffers")                                      \
	X(other_protocol, "packets for us of a protocol that we do not speak")

struct net_counters {
#define X(name, text) uint64_t name;
	NET_COUNTERS(X)
#undef X
};
const struct net_counters *net_counters(const struct net *net);

#endif
