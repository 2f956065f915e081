/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Chains of payload buffers, linked by `next`. Only data_off and data_len of each buffer
 * count here; nb_segs and pkt_len are set when a chain leaves the stack.
 */

#include "tcpstack/tcp_internal.h"

struct rte_mbuf *
tcp_chain_trim_front(struct rte_mbuf *m, uint32_t n)
{
	while (m != NULL && n >= m->data_len) {
		struct rte_mbuf *next = m->next;

		n -= m->data_len;
		rte_pktmbuf_free_seg(m);
		m = next;
	}
	if (m != NULL) {
		m->data_off += n;
		m->data_len -= n;
	}
	return m;
}

void
tcp_chain_truncate(struct rte_mbuf *m, uint32_t len)
{
	while (len > m->data_len) {
		len -= m->data_len;
		m = m->next;
	}
	m->data_len = len;
	tcp_chain_free(m->next);
	m->next = NULL;
}

struct rte_mbuf *
tcp_chain_tail(struct rte_mbuf *m)
{
	while (m->next != NULL)
		m = m->next;
	return m;
}

void
tcp_chain_free(struct rte_mbuf *m)
{
	while (m != NULL) {
		struct rte_mbuf *next = m->next;

		rte_pktmbuf_free_seg(m);
		m = next;
	}
}

uint32_t
tcp_chain_buffers(const struct rte_mbuf *m)
{
	uint32_t bytes = 0;

	for (; m != NULL; m = m->next)
		bytes += (uint32_t)sizeof(*m) + m->buf_len;
	return bytes;
}
