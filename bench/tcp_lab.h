/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BENCH_TCP_LAB_H
#define BENCH_TCP_LAB_H

/*
 * A stack with as many idle connections as a measurement wants, and the peers of these
 * connections: segments made by hand, answers to what the stack sent, a virtual clock. What
 * a lab_ function does is never part of what is measured.
 */

#include <stdbool.h>
#include <stdint.h>

#include <rte_mbuf.h>

#include "tcpstack/tcp.h"

#define LAB_BURST 32
#define LAB_SEGMENT 1448 /* payload of a full segment: 1460 without the timestamps */
#define LAB_ROOM (256u << 10)

enum lab_memory {
	LAB_PAGES,       /* pages of 4 KiB */
	LAB_TRANSPARENT, /* transparent huge pages */
	LAB_HUGE,        /* reserved huge pages */
};

/* The far end of a connection. */
struct peer {
	struct tcp_conn *conn; /* NULL: closed */
	uint32_t id;           /* decides the tuple */
	uint32_t snd_nxt;
	uint32_t rcv_nxt;
	uint32_t ts_ecr;
};

struct lab {
	struct tcp_stack *stack;
	uint64_t now;
	enum lab_memory memory;
	uint32_t n;         /* established connections */
	struct peer *peers; /* `n` of them, then LAB_BURST that come and go */
	uint32_t *order;    /* a random order of the `n` */
	uint32_t at;        /* the next one in it */
	uint32_t next_id;
	uint64_t random;
	struct rte_mbuf *in[LAB_BURST];      /* segments for the stack */
	struct rte_mbuf *out[4 * LAB_BURST]; /* those that it sent */
	struct rte_mbuf *taken[LAB_BURST];   /* payload that was received */
	uint16_t n_in, n_out, n_taken;
};

/* Starts the EAL and makes the pools. Exits when that is not possible. `megabytes` are for
 * the tables. LAB_TRANSPARENT falls back to LAB_PAGES where the kernel has none. */
enum lab_memory lab_init(enum lab_memory memory, unsigned int megabytes);
const char *lab_memory_name(enum lab_memory memory);
/* Are enough huge pages free? */
bool lab_has_huge_pages(unsigned int megabytes);

/* A stack with `n` connections established. */
void lab_open(struct lab *lab, enum lab_memory memory, uint32_t n);
void lab_close(struct lab *lab);

/* The next connection in the random order. */
struct peer *lab_next(struct lab *lab);
/* A tuple that was not used for long. */
struct tcp_tuple lab_new_tuple(struct lab *lab, struct peer *peer);

/* Adds a segment from `peer` to lab->in, with `len` bytes of payload. */
void lab_segment(struct lab *lab, const struct peer *peer, uint8_t flags, uint32_t len);
/* A buffer with `len` bytes for tcp_send(). */
struct rte_mbuf *lab_payload(uint32_t len);
/* Takes over sequence numbers from lab->out: one segment for each of `peers`, in order. */
void lab_learn(struct lab *lab, struct peer *peers, uint16_t n);
/* Frees what is in lab->out and lab->taken. */
void lab_clear(struct lab *lab);
/* Ends the program unless `ok`: a benchmark that does not do what it says is worth nothing. */
void lab_check(bool ok, const char *what);

/* Bytes that the stack's tables take, as rte_malloc counts them, for a stack of `n`
 * connections and `time_waits` TIME-WAIT entries. */
uint64_t lab_table_bytes(enum lab_memory memory, uint32_t n, uint32_t time_waits);

#endif
