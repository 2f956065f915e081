/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "tls/chain.h"

uint32_t
tls_chain_peek(const struct tls_chain *chain, void *out, uint32_t n)
{
	uint8_t *to = out;
	uint32_t left = n;

	for (const struct rte_mbuf *m = chain->head; m != NULL && left > 0; m = m->next) {
		uint32_t piece = RTE_MIN(left, m->data_len);

		memcpy(to, rte_pktmbuf_mtod(m, const uint8_t *), piece);
		to += piece;
		left -= piece;
	}
	return n - left;
}

static void
pop_head(struct tls_chain *chain)
{
	struct rte_mbuf *m = chain->head;

	chain->head = m->next;
	if (chain->head == NULL)
		chain->tail = NULL;
	chain->bytes -= m->data_len;
	rte_pktmbuf_free_seg(m);
}

void
tls_chain_drop(struct tls_chain *chain, uint32_t n)
{
	while (chain->head != NULL && n >= chain->head->data_len) {
		n -= chain->head->data_len;
		pop_head(chain);
	}
	if (chain->head == NULL || n == 0)
		return;
	chain->head->data_off += n;
	chain->head->data_len -= n;
	chain->bytes -= n;
}

void
tls_chain_truncate(struct tls_chain *chain, uint32_t n)
{
	struct tls_chain rest = {0};
	struct rte_mbuf *m = chain->head;
	uint32_t left = n;

	if (n >= chain->bytes)
		return;
	if (n == 0) {
		tls_chain_free(chain);
		return;
	}
	while (left > m->data_len) {
		left -= m->data_len;
		m = m->next;
	}
	m->data_len = left;
	rest.head = m->next;
	m->next = NULL;
	chain->tail = m;
	chain->bytes = n;
	tls_chain_free(&rest);
}

/* An indirect mbuf over the first `n` bytes of `m`; `m` keeps the rest. */
static struct rte_mbuf *
share_front(struct rte_mbuf *m, uint16_t n, struct rte_mempool *indirect)
{
	struct rte_mbuf *front = rte_pktmbuf_alloc(indirect);

	if (front == NULL)
		return NULL;
	rte_pktmbuf_attach(front, m);
	front->next = NULL;
	front->nb_segs = 1;
	front->data_len = n;
	front->pkt_len = n;
	m->data_off += n;
	m->data_len -= n;
	return front;
}

int
tls_chain_split(struct tls_chain *chain, uint32_t n, struct rte_mempool *indirect,
		struct tls_chain *out)
{
	struct tls_chain taken = {0};
	struct rte_mbuf *front = NULL;
	struct rte_mbuf *m = chain->head;
	uint32_t left = n;

	if (n > chain->bytes)
		return -1;
	if (n == 0)
		return 0;
	for (; left > 0 && left >= m->data_len; m = m->next) {
		left -= m->data_len;
		taken.tail = m;
	}
	if (left > 0) {
		front = share_front(m, left, indirect);
		if (front == NULL)
			return -1;
	}
	if (taken.tail != NULL) {
		taken.head = chain->head;
		taken.tail->next = NULL;
		taken.bytes = n - left;
	}
	chain->head = m;
	if (m == NULL)
		chain->tail = NULL;
	chain->bytes -= n;
	tls_chain_move(out, &taken);
	if (front != NULL)
		tls_chain_append(out, front);
	return 0;
}

static bool
copy_behind(struct tls_chain *chain, const struct rte_mbuf *m)
{
	struct rte_mbuf *tail = chain->tail;

	if (m->data_len >= TLS_CHAIN_DENSE || tail == NULL || !tls_chain_exclusive(tail) ||
	    m->data_len > rte_pktmbuf_tailroom(tail))
		return false;
	memcpy(rte_pktmbuf_mtod_offset(tail, uint8_t *, tail->data_len),
	       rte_pktmbuf_mtod(m, const uint8_t *), m->data_len);
	tail->data_len += m->data_len;
	chain->bytes += m->data_len;
	return true;
}

uint32_t
tls_chain_append_dense(struct tls_chain *chain, struct rte_mbuf *m)
{
	uint32_t copied = 0;

	while (m != NULL) {
		struct rte_mbuf *next = m->next;
		uint16_t len = m->data_len;

		m->next = NULL;
		if (len == 0) {
			rte_pktmbuf_free_seg(m);
		} else if (copy_behind(chain, m)) {
			copied += len;
			rte_pktmbuf_free_seg(m);
		} else {
			tls_chain_append(chain, m);
		}
		m = next;
	}
	return copied;
}
