/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TLS_CHAIN_H
#define TLS_CHAIN_H

/*
 * A queue of bytes that lie in mbufs, linked by `next`. Every buffer in a chain is owned
 * by the chain. nb_segs and pkt_len of the buffers inside are not kept; tls_chain_take_all()
 * sets them on the head that it hands out.
 */

#include <stdint.h>

#include <rte_mbuf.h>

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

#endif
