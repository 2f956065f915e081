/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TLS_CHAIN_H
#define TLS_CHAIN_H

/*
 * A queue of bytes that lie in mbufs, linked by `next`. Every buffer in a chain is owned
 * by the chain. nb_segs and pkt_len of the buffers inside are not kept; tls_chain_take_all()
 * sets them on the head that it hands out.
 */

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include <rte_mbuf.h>

/* Pieces below this size may be copied into the room behind their predecessor, so that ten
 * bytes do not pin two kilobytes. */
#define TLS_CHAIN_DENSE 256

struct tls_chain {
	struct rte_mbuf *head;
	struct rte_mbuf *tail;
	uint32_t bytes;
};

/* Appends a chain of mbufs (any number linked by `next`) and owns it. */
static inline void
tls_chain_append(struct tls_chain *chain, struct rte_mbuf *m)
{
	if (chain->tail != NULL)
		chain->tail->next = m;
	else
		chain->head = m;
	for (; m != NULL; m = m->next) {
		chain->bytes += m->data_len;
		chain->tail = m;
	}
}

/* Moves everything in `from` to the end of `chain`. */
static inline void
tls_chain_move(struct tls_chain *chain, struct tls_chain *from)
{
	if (from->head == NULL)
		return;
	if (chain->tail != NULL)
		chain->tail->next = from->head;
	else
		chain->head = from->head;
	chain->tail = from->tail;
	chain->bytes += from->bytes;
	*from = (struct tls_chain){0};
}

/* Moves everything in `from` to the beginning of `chain`. */
static inline void
tls_chain_prepend(struct tls_chain *chain, struct tls_chain *from)
{
	tls_chain_move(from, chain);
	*chain = *from;
	*from = (struct tls_chain){0};
}

/* Empties the queue into one mbuf chain with nb_segs and pkt_len set; NULL when empty. */
static inline struct rte_mbuf *
tls_chain_take_all(struct tls_chain *chain)
{
	struct rte_mbuf *head = chain->head;

	if (head != NULL) {
		uint16_t segs = 0;

		for (struct rte_mbuf *m = head; m != NULL; m = m->next)
			segs++;
		head->nb_segs = segs;
		head->pkt_len = chain->bytes;
	}
	*chain = (struct tls_chain){0};
	return head;
}

/* Frees what is queued. */
static inline void
tls_chain_free(struct tls_chain *chain)
{
	struct rte_mbuf *m = chain->head;

	while (m != NULL) {
		struct rte_mbuf *next = m->next;

		rte_pktmbuf_free_seg(m);
		m = next;
	}
	*chain = (struct tls_chain){0};
}

/* True when nobody else looks at the buffer, its head- and tailroom included. */
static inline bool
tls_chain_exclusive(const struct rte_mbuf *m)
{
	return RTE_MBUF_DIRECT(m) && rte_mbuf_refcnt_read(m) == 1;
}

/* Copies up to `n` bytes at the front to `out` and leaves them; returns how many. */
uint32_t tls_chain_peek(const struct tls_chain *chain, void *out, uint32_t n);

/* Frees the first `n` bytes, with the buffers that this empties. */
void tls_chain_drop(struct tls_chain *chain, uint32_t n);

/* Keeps the first `n` bytes, frees the rest. */
void tls_chain_truncate(struct tls_chain *chain, uint32_t n);

/*
 * Moves the first `n` bytes to the end of `out`. A buffer that is cut through is shared: an
 * indirect mbuf from `indirect` takes the front part. 0; -1 when there is none to be had or
 * the chain is shorter, and nothing has changed.
 */
int tls_chain_split(struct tls_chain *chain, uint32_t n, struct rte_mempool *indirect,
		    struct tls_chain *out);

/*
 * Appends as tls_chain_append() does, but copies pieces shorter than TLS_CHAIN_DENSE into the
 * tailroom of the last buffer where that is exclusively ours, and drops empty buffers.
 * Returns the bytes copied.
 */
uint32_t tls_chain_append_dense(struct tls_chain *chain, struct rte_mbuf *m);

#endif
