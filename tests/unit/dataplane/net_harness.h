/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_NET_HARNESS_H
#define TESTS_NET_HARNESS_H

/*
 * A net with two interfaces on two net_ring ports whose other ends the test holds: frames
 * are written as bytes and read back as bytes. Interface 0 is 10.0.0.1/24 and
 * fd00::1/64, interface 1 is 10.1.0.1/24 and fd01::1/64; 10.2.0.0/16 is behind
 * 10.1.0.254, fd02::/64 behind fd01::fe.
 */

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include <rte_arp.h>
#include <rte_byteorder.h>
#include <rte_ether.h>
#include <rte_icmp.h>
#include <rte_ip.h>
#include <rte_ring.h>
#include <rte_tcp.h>
#include <rte_udp.h>

#include "dataplane/net.h"

#define HARNESS_PORTS 2
#define FRAME_MAX 2048
#define SECOND 1000000ull

struct frame {
	uint8_t data[FRAME_MAX];
	size_t len;
};

struct harness {
	struct rte_mempool *pool;
	struct rte_ring *to[HARNESS_PORTS], *from[HARNESS_PORTS];
	struct port *ports[HARNESS_PORTS];
	struct rte_ether_addr mac[HARNESS_PORTS]; /* of the net's ports */
	struct net *net;
	uint64_t now;
	/* What the last inject() handed up; freed by the next one. */
	struct rte_mbuf *tcp[PORT_BURST];
	uint16_t n_tcp;
	struct net_icmp_error errors[4];
	unsigned int n_errors;
	/* Read at every change. */
	uint16_t vlan;
	unsigned int max_neighbours;
};

/* For main(): EAL, without huge pages. */
void harness_eal(const char *name);
/* cmocka set-up and tear-down: the latter asserts that every buffer came back. */
int harness_setup(void **state);
int harness_teardown(void **state);
/* Makes the net anew with h->vlan and h->max_neighbours. */
void harness_renew(struct harness *h);

/* --- frames in and out ---------------------------------------------------------------- */

struct rte_mbuf *harness_mbuf(struct harness *h, const void *data, size_t len, size_t first);
/* Gives the frame to net_input() in one buffer, or cut into buffers of `segment` bytes. */
void inject(struct harness *h, unsigned int interface, const struct frame *frame);
void inject_cut(struct harness *h, unsigned int interface, const struct frame *frame,
		size_t segment);
void inject_mbuf(struct harness *h, unsigned int interface, struct rte_mbuf *m);
/* The next frame that left by the interface, flat; false: none. */
bool sent(struct harness *h, unsigned int interface, struct frame *frame);
void assert_nothing_sent(struct harness *h);
unsigned int drain(struct harness *h);
/* Lets time pass. */
void pass(struct harness *h, uint64_t microseconds);

/* --- building ---------------------------------------------------------------------------- */

extern const struct rte_ether_addr host_mac, other_mac, broadcast_mac;

struct in6_addr ip(const char *text);
/* Frames to interface 0's MAC from host_mac, checksums right. */
void make_arp(struct harness *h, struct frame *frame, uint16_t opcode, const char *sender,
	      const char *target, const struct rte_ether_addr *to);
void make_packet(struct harness *h, struct frame *frame, const char *from, const char *to,
		 uint8_t protocol, const void *payload, size_t len);
void make_echo(struct harness *h, struct frame *frame, const char *from, const char *to,
	       size_t len);
void make_tcp(struct harness *h, struct frame *frame, const char *from, const char *to,
	      size_t len);
void make_udp(struct harness *h, struct frame *frame, const char *from, const char *to,
	      size_t len);
/* Neighbour solicitation (135) or advertisement (136). */
void make_nd(struct harness *h, struct frame *frame, uint8_t type, const char *from,
	     const char *to, const char *target, uint8_t flags, const struct rte_ether_addr *mac);
/* Writes the IPv4 header's checksum and the transport's anew. */
void fix_checksums(struct frame *frame);
/* Puts a tag into the frame. */
void tag(struct frame *frame, uint16_t vlan);

/* The ones' complement sum of bytes, the plain way. */
uint16_t plain_sum(const uint8_t *data, size_t len, uint32_t start);
/* Whether the checksums of an outgoing frame are right. */
bool checksums_right(const struct frame *frame);

/* Makes a neighbour known by letting net ask for it; host_mac answers. */
void resolve(struct harness *h, unsigned int interface, const char *address);
/* A packet of ours to `to`, ready for net_output(). */
struct rte_mbuf *own_packet(struct harness *h, const char *from, const char *to, size_t len);

#define COUNTER(h, name) (net_counters((h)->net)->name)

#endif
