/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DATAPLANE_NET_CHECKSUM_H
#define DATAPLANE_NET_CHECKSUM_H

/* Internet checksums (RFC 1071) over chains of buffers. Sums are in network byte order. */

#include <stdbool.h>
#include <stdint.h>

#include <rte_mbuf.h>

/* The folded sum of the pseudo-header that belongs to the IPv4 or IPv6 header at `ip`. */
uint16_t net_pseudo_sum(const void *ip, bool ip6, uint8_t protocol, uint32_t length);

/* The folded sum of the bytes of `m` from `offset` to its end. */
uint16_t net_sum(const struct rte_mbuf *m, uint32_t offset);

/* Adds two folded sums. */
static inline uint16_t
net_sum_add(uint16_t a, uint16_t b)
{
	uint32_t sum = (uint32_t)a + b;

	return (uint16_t)((sum & 0xffff) + (sum >> 16));
}

/* The checksum after one word of what it covers changed (RFC 1624, equation 3). */
static inline uint16_t
net_checksum_adjust(uint16_t checksum, uint16_t old_word, uint16_t new_word)
{
	return ~net_sum_add(net_sum_add(~checksum, ~old_word), new_word);
}

/*
 * Does in software what the frame's offload flags ask for and clears them. The frame
 * begins at the Ethernet header, l2_len and l3_len are set, headers lie in the first
 * buffer, and the TCP or UDP checksum field holds the pseudo-header's sum. False: the
 * lengths do not fit the frame.
 */
bool net_checksum_finish(struct rte_mbuf *frame);

/* What the bytes after the IP header of a received packet say. */
enum net_checksum {
	NET_CHECKSUM_GOOD,
	NET_CHECKSUM_BAD,
	NET_CHECKSUM_PARTIAL, /* only the pseudo-header was summed: the sender left the rest
				 to a device that was not there; completed in place */
};

/*
 * Verifies the TCP (or, where there is one, UDP) checksum of a packet that begins at its IP
 * header. `field` is the checksum's offset in the transport header, which lies in the first
 * buffer.
 */
enum net_checksum net_checksum_verify(struct rte_mbuf *packet, bool ip6, uint16_t l3_len,
				      uint8_t protocol, uint16_t field, bool partial_allowed);

#endif
