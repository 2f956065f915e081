/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FUZZ_COMMON_H
#define FUZZ_COMMON_H

/* What both TCP fuzzers share: pools, a stack for each input, and the promise that all
 * buffers are back at its end. Buffers are watched (tests/sim/checked_pool.h). */

#include <stddef.h>
#include <stdint.h>

#include "tcpstack/tcp.h"
#include "tests/sim/packet.h"
#include "tests/sim/rng.h"

#define FUZZ_CONNECTIONS 16

struct fuzz {
	struct tcp_stack *stack;
	uint64_t now;
	struct rng random;
	struct rte_mempool *rx, *payload, *header, *indirect;
	struct tcp_conn *conns[FUZZ_CONNECTIONS];
	/* The newest numbers seen in what the stack sent to each of our ports. */
	struct fuzz_peer {
		bool known;
		uint32_t snd_nxt, rcv_nxt, tsval;
	} peers[FUZZ_CONNECTIONS];
};

#define FUZZ_LOCAL_PORT 80
#define FUZZ_PEER_PORT 1000 /* connection i: peer's port 1000 + i */

/* Bytes of the input, zeroes after its end. */
struct fuzz_input {
	const uint8_t *at;
	size_t left;
};
uint8_t fuzz_u8(struct fuzz_input *in);
uint16_t fuzz_u16(struct fuzz_input *in);
uint32_t fuzz_u32(struct fuzz_input *in);

/* From LLVMFuzzerInitialize(). */
void fuzz_boot(const char *name);
struct fuzz *fuzz_begin(void);
/* Destroys the stack; aborts when a buffer is missing. */
void fuzz_end(struct fuzz *f);

struct tcp_tuple fuzz_tuple(unsigned int i);
/* A packet of peer `i` with the numbers that the stack expects. */
struct packet fuzz_packet(struct fuzz *f, unsigned int i, uint8_t flags);
/* Gives bytes that begin with an IP header to the stack; a stranger's SYN is accepted as
 * connection `i`, if that is free, everything else of strangers is refused. */
void fuzz_deliver(struct fuzz *f, unsigned int i, const uint8_t *bytes, size_t len, uint16_t piece);
/* Timers, events, reading, output (checked as a port would). */
void fuzz_turn(struct fuzz *f);
void fuzz_write(struct fuzz *f, unsigned int i, uint16_t len);
/* Complete handshakes: odd connections are opened by us, even ones by the peer. */
void fuzz_establish(struct fuzz *f, unsigned int i);

#endif
