/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SIM_PACKET_H
#define SIM_PACKET_H

/* TCP segments for tests: written by hand, read back, checksums finished and verified.
 * Independent of tcpstack's own parser on purpose. */

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <rte_mbuf.h>

#include "tcpstack/tcp.h"

#define FIN 0x01
#define SYN 0x02
#define RST 0x04
#define PSH 0x08
#define ACK 0x10
#define URG 0x20
#define ECE 0x40
#define CWR 0x80

#define PACKET_MAX_SACK 4

struct packet {
	struct in6_addr src, dst; /* IPv4-mapped for IPv4 */
	uint16_t sport, dport;
	uint32_t seq, ack;
	uint8_t flags;
	uint16_t wnd; /* as in the header, unscaled */
	uint8_t ecn;  /* the two bits of the IP header */

	uint8_t opts[40]; /* raw option block, a multiple of 4 bytes */
	uint8_t opts_len;
	/* packet_build(): the data offset field where it shall lie; 0: the truth. */
	uint8_t data_offset;
	/* packet_build(): bytes cut off the end of the finished packet. */
	uint16_t cut;

	/* Filled by packet_parse() only. */
	bool is_v6;
	bool dont_fragment;
	uint16_t l3_len, l4_len, payload_len, total_len;
	uint16_t mss; /* 0: not there */
	int wscale;   /* -1: not there */
	bool sack_permitted, has_ts;
	uint32_t tsval, tsecr;
	unsigned int n_sack;
	struct {
		uint32_t left, right;
	} sack[PACKET_MAX_SACK];
};

/* An IPv4-mapped address a.b.c.d. */
struct in6_addr packet_v4(uint8_t a, uint8_t b, uint8_t c, uint8_t d);
/* fd00::n */
struct in6_addr packet_v6(uint16_t n);

/* Bytes that are not a whole and honest TCP/IP packet with a right checksum: false.
 * `bytes` is contiguous and starts at the IP header. */
bool packet_parse(const uint8_t *bytes, size_t len, struct packet *p);

/* Lays a packet with its checksums into `out` (room for 60 + 60 + payload_len) and returns
 * its length. */
size_t packet_write(uint8_t *out, const struct packet *p, const void *payload, uint16_t len);

/* An mbuf (chain) with `bytes`, described as tcp_input() asks for; the first buffer holds at
 * least 128 bytes, the later ones at most `piece` (0: as many as they have room for). NULL:
 * the pool is empty. The bytes must have passed packet_parse(), or be an IP header that is
 * right with a TCP part that need not be. */
struct rte_mbuf *packet_to_mbuf(struct rte_mempool *pool, const uint8_t *bytes, size_t len,
				uint16_t piece);

/* packet_write() and packet_to_mbuf() in one. */
struct rte_mbuf *packet_build(struct rte_mempool *pool, const struct packet *p, const void *payload,
			      uint16_t len);

/* Copies what tcp_output() gave to `out` and does the work of a port with checksum offload.
 * Returns the length, or 0 with *why set when the mbuf breaks the contract of tcp_output(). */
size_t packet_transmit(const struct rte_mbuf *m, uint8_t *out, size_t room, const char **why);

/* "10.0.0.1:80 > 10.0.0.2:9 S. seq 1 ack 2 win 3 len 4 <mss 1460,...>" */
void packet_print(const struct packet *p, char *out, size_t room);

/* Options are put together with these; each returns the new length of the block. */
uint8_t packet_opt_mss(uint8_t *opts, uint8_t len, uint16_t mss);
uint8_t packet_opt_wscale(uint8_t *opts, uint8_t len, uint8_t shift);
uint8_t packet_opt_sack_permitted(uint8_t *opts, uint8_t len);
uint8_t packet_opt_ts(uint8_t *opts, uint8_t len, uint32_t val, uint32_t ecr);
/* `edges`: left and right of each of the `n` blocks. */
uint8_t packet_opt_sack(uint8_t *opts, uint8_t len, unsigned int n, const uint32_t *edges);

#endif
