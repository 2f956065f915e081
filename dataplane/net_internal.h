/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DATAPLANE_NET_INTERNAL_H
#define DATAPLANE_NET_INTERNAL_H

/*
 * What the files of net share. Packets are passed on as mbufs whose data begins at the IP
 * header and which have exactly one owner: a function that takes one and does not say
 * otherwise owns it.
 */

#include <string.h>
#include <sys/queue.h>

#include <rte_branch_prediction.h>
#include <rte_byteorder.h>
#include <rte_ether.h>
#include <rte_icmp.h>
#include <rte_ip.h>
#include <rte_mbuf.h>

#include "dataplane/net.h"

#define NET_SECOND 1000000ull /* in the unit of time */

#define NET_DEFAULT_NEIGHBOURS 1024
#define NET_NEIGHBOUR_QUEUE 16    /* packets that wait for one address */
#define NET_NEIGHBOUR_QUEUED 1024 /* packets that wait for all of them */
#define NET_NEWS 128              /* unread news; the oldest make room */
#define NET_UNREACHABLE 32        /* segments of ours that found no neighbour, untold */
#define NET_HOP_LIMIT 64          /* of what we send */

#define NET_IP4_GROUPS 0xe0000000u /* the first address that is not a host's */
#define NET_IP4_HEADER sizeof(struct rte_ipv4_hdr)
#define NET_IP6_HEADER sizeof(struct rte_ipv6_hdr)
/* A TCP header with all its options. */
#define NET_TCP_HEADER_MAX 60
#define NET_TCP_HEADER 20
#define NET_TCP_CHECKSUM 16 /* offset in the header */
#define NET_UDP_HEADER 8
#define NET_UDP_CHECKSUM 6
#define NET_ICMP_HEADER 8
/* rte_mbuf.l3_len has nine bits. */
#define NET_L3_MAX 511

/* --- time ---------------------------------------------------------------------------- */

/* A token bucket: `interval` microseconds for each, at most `burst` at once. */
struct net_bucket {
	uint64_t interval, burst;
	uint64_t credit; /* microseconds */
	uint64_t last;
};

static inline void
net_bucket_init(struct net_bucket *bucket, uint64_t per_second, uint64_t burst)
{
	bucket->interval = NET_SECOND / per_second;
	bucket->burst = burst;
	bucket->credit = bucket->interval * burst;
	bucket->last = 0;
}

static inline bool
net_bucket_take(struct net_bucket *bucket, uint64_t now)
{
	uint64_t gained = now > bucket->last ? now - bucket->last : 0;

	bucket->credit = RTE_MIN(bucket->interval * bucket->burst, bucket->credit + gained);
	bucket->last = now;
	if (bucket->credit < bucket->interval)
		return false;
	bucket->credit -= bucket->interval;
	return true;
}

/* --- the tables ------------------------------------------------------------------------- */

struct net_if {
	struct port *port;
	struct rte_ether_addr mac;
	uint16_t index, vlan, mtu;
	bool partial_checksums; /* of packets that this machine's kernel sent */
	bool ip6;               /* it has an IPv6 address of its own besides the link-local */
	struct in6_addr link_local;
	struct net_prefix *addresses;
	unsigned int n_addresses;
	uint64_t defended; /* when an address of ours was last claimed back */
	struct rte_mbuf *tx[PORT_BURST];
	uint16_t n_tx;
};

/* A prefix as two words in host order, to be compared under a mask. */
struct net_fib_entry {
	uint64_t prefix[2], mask[2];
	struct in6_addr via;
	uint16_t interface;
	uint8_t length;
	bool on_link;
};

/* Where a packet goes next. */
struct net_hop {
	struct net_if *out;
	struct in6_addr address; /* of the neighbour that takes it */
};

enum neighbour_state {
	NEIGHBOUR_FREE,
	NEIGHBOUR_INCOMPLETE, /* asked, no answer yet: packets wait */
	NEIGHBOUR_REACHABLE,  /* answered not long ago */
	NEIGHBOUR_STALE,      /* the answer is old: to be asked again when it is used */
	NEIGHBOUR_PROBE,      /* asked again; meanwhile the old answer serves */
};

struct neighbour {
	TAILQ_ENTRY(neighbour) age; /* in the list of its kind, least recently used first */
	LIST_ENTRY(neighbour) chain;
	struct in6_addr address;
	struct rte_ether_addr mac;
	uint16_t interface;
	uint8_t state, tries, n_queued;
	bool broadcast_probe; /* somebody else claims the address: ask everybody */
	uint64_t deadline;
	struct rte_mbuf *queue[NET_NEIGHBOUR_QUEUE];
};

TAILQ_HEAD(neighbour_list, neighbour);
LIST_HEAD(neighbour_bucket, neighbour);

struct neighbour_table {
	unsigned int max, n_buckets, n_incomplete, n_queued;
	struct neighbour *entries;
	struct neighbour_bucket *buckets;
	struct neighbour_list resolved, incomplete, free;
	uint64_t next_deadline; /* none is earlier */
	uint64_t hash_key;
	struct net_bucket requests; /* how many questions a second we ask */
	struct net_neighbour news[NET_NEWS];
	unsigned int news_head, news_count;
};

struct net {
	struct net_counters counters;
	struct net_if *interfaces;
	unsigned int n_interfaces;
	unsigned int queue;
	struct rte_mempool *pool;
	struct net_fib_entry *fib; /* longest prefix first */
	unsigned int n_fib;
	struct neighbour_table neighbours;
	struct net_bucket errors;   /* ICMP errors that we send */
	struct net_bucket answers;  /* ARP and neighbour discovery */
	uint64_t announce_at;       /* UINT64_MAX: our addresses are known by now */
	unsigned int announcements; /* made so far */
	uint16_t ip_id;
	/* Of our own segments that were given up; told by the next net_input(). */
	struct net_icmp_error unreachable[NET_UNREACHABLE];
	unsigned int n_unreachable;
};

/* One call of net_input(). */
struct net_turn {
	struct net *net;
	uint64_t now;
	struct rte_mbuf **tcp;
	uint16_t n_tcp;
	struct net_icmp_error *errors;
	unsigned int max_errors, n_errors;
};

/* How the frame that brought a packet was addressed. */
struct net_frame {
	struct net_if *in;
	struct rte_ether_addr from;
	bool to_us; /* to our Ethernet address, not to a group */
};

/* --- addresses ---------------------------------------------------------------------------- */

static inline struct in6_addr
net_mapped(rte_be32_t ip4)
{
	struct in6_addr a = {.s6_addr = {[10] = 0xff, [11] = 0xff}};

	memcpy(&a.s6_addr[12], &ip4, sizeof(ip4));
	return a;
}

static inline rte_be32_t
net_ip4_of(const struct in6_addr *mapped)
{
	return mapped->s6_addr32[3];
}

static inline bool
net_same(const struct in6_addr *a, const struct in6_addr *b)
{
	uint64_t x[2], y[2];

	memcpy(x, a, sizeof(x));
	memcpy(y, b, sizeof(y));
	return ((x[0] ^ y[0]) | (x[1] ^ y[1])) == 0;
}

static inline struct in6_addr
net_in6(const uint8_t *bytes)
{
	struct in6_addr a;

	memcpy(&a, bytes, sizeof(a));
	return a;
}

bool net_in_prefix(const struct in6_addr *address, const struct net_prefix *prefix);

/* --- buffers (net.c) --------------------------------------------------------------------- */

static inline void
net_drop(struct rte_mbuf *m, uint64_t *counter)
{
	++*counter;
	rte_pktmbuf_free(m);
}

/* Makes the first `len` bytes lie in the first buffer. False: there are not so many, or
 * the buffer is too small or not ours to write. */
bool net_pull(struct rte_mbuf *m, uint32_t len);
/* Cuts the packet to `len` bytes, at most what it has. */
void net_trim(struct rte_mbuf *m, uint32_t len);
/* A packet of our own with `len` bytes, zeroed, and room for an Ethernet header in front.
 * NULL, counted, when there is none. */
struct rte_mbuf *net_new_packet(struct net *net, uint16_t len);

/* --- Ethernet (net_ether.c) ---------------------------------------------------------------- */

void net_ether_input(struct net_turn *turn, struct net_if *in, struct rte_mbuf *m);
/* Puts the header in front and the frame in the next burst. */
void net_ether_output(struct net *net, struct net_if *out, struct rte_mbuf *m,
		      const struct rte_ether_addr *to, uint16_t type);
/* Hands the bursts to the ports. */
void net_flush(struct net *net);

/* --- addresses to Ethernet addresses (net_neighbour.c, net_arp.c, net_nd.c) --------------- */

bool net_neighbours_create(struct net *net, unsigned int max);
void net_neighbours_destroy(struct net *net);
/* Sends a packet to `hop`, or lets it wait until the address is resolved. */
void net_neighbour_output(struct net *net, const struct net_hop *hop, struct rte_mbuf *m,
			  uint64_t now);

enum net_heard {
	NET_HEARD_ANSWER, /* sent to us in answer to a question, perhaps another worker's */
	NET_HEARD_CLAIM,  /* sent to all, or a question's sender: a hint, no proof */
};
void net_neighbour_heard(struct net *net, struct net_if *in, const struct in6_addr *address,
			 const struct rte_ether_addr *mac, enum net_heard heard, uint64_t now);
void net_neighbour_timers(struct net *net, uint64_t now);

void net_arp_input(struct net_turn *turn, const struct net_frame *frame, struct rte_mbuf *m);
/* `to` NULL: broadcast. */
void net_arp_request(struct net *net, struct net_if *out, rte_be32_t target,
		     const struct rte_ether_addr *to);
void net_arp_announce(struct net *net, struct net_if *out, rte_be32_t address);

/* Takes an ICMPv6 message whose checksum is right. */
void net_nd_input(struct net_turn *turn, const struct net_frame *frame, struct rte_mbuf *m,
		  uint16_t l3_len);
/* `to` NULL: the solicited-node group. */
void net_nd_solicit(struct net *net, struct net_if *out, const struct in6_addr *target,
		    const struct rte_ether_addr *to);
void net_nd_announce(struct net *net, struct net_if *out, const struct in6_addr *address);
struct in6_addr net_nd_solicited_node(const struct in6_addr *address);

/* --- IP (net_ip4.c, net_ip6.c, net_icmp.c, net_route.c, net_output.c) --------------------- */

void net_ip4_input(struct net_turn *turn, const struct net_frame *frame, struct rte_mbuf *m);
void net_ip6_input(struct net_turn *turn, const struct net_frame *frame, struct rte_mbuf *m);
/* A TCP segment whose header lengths are verified: checks the checksum and hands it up. */
void net_tcp_input(struct net_turn *turn, const struct net_if *in, struct rte_mbuf *m, bool ip6,
		   uint16_t l3_len);
/* A packet for us that is neither TCP nor ICMP. */
void net_other_input(struct net_turn *turn, struct rte_mbuf *m, bool ip6, uint8_t protocol,
		     uint16_t l3_len);

bool net_ip4_usable_source(const struct net *net, rte_be32_t source);
bool net_ip6_usable_source(const struct net *net, const struct in6_addr *source);
/* The transport protocol of an IPv6 packet and where it begins. */
struct net_ip6_upper {
	uint8_t protocol;
	uint16_t l3_len;
	bool fragment, broken;
};
struct net_ip6_upper net_ip6_walk(const uint8_t *packet, uint32_t len);

void net_icmp4_input(struct net_turn *turn, const struct net_frame *frame, struct rte_mbuf *m,
		     uint16_t l3_len, bool local);
void net_icmp6_input(struct net_turn *turn, const struct net_frame *frame, struct rte_mbuf *m,
		     uint16_t l3_len, bool local);

/* Notes for TCP that the next hop of this segment of ours does not answer. */
void net_icmp_note_unreachable(struct net *net, const struct rte_mbuf *m);

enum net_complaint {
	NET_TIME_EXCEEDED,
	NET_TOO_BIG,
	NET_NO_ROUTE,
	NET_HOST_UNREACHABLE,
	NET_PORT_UNREACHABLE,
};
/* Tells the sender of `about`, a packet that begins at its IP header, what is wrong with
 * it, where the rules and the rate allow. Does not take `about`. */
void net_icmp_complain(struct net *net, const struct rte_mbuf *about, enum net_complaint what,
		       uint16_t mtu, uint64_t now);

bool net_routes_create(struct net *net, const struct net_config *config);
bool net_route(const struct net *net, const struct in6_addr *to, struct net_hop *hop);
/* The same for an answer to `m`: a link-local address is one of the link that it came by. */
bool net_route_back(struct net *net, const struct rte_mbuf *m, const struct in6_addr *to,
		    struct net_hop *hop);
/* The address of ours that fits a packet towards `hop`; false: none of the family. */
bool net_source(const struct net *net, const struct net_hop *hop, struct in6_addr *source);
/* The broadcast address of a prefix of ours. */
bool net_is_broadcast(const struct net *net, rte_be32_t address);

/* Routes one packet of ours and puts it in the next burst. */
void net_output_one(struct net *net, struct rte_mbuf *m, uint64_t now);
void net_forward_one(struct net *net, struct rte_mbuf *m, uint64_t now);

#endif
