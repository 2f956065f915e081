/* SPDX-License-Identifier: Apache-2.0 */

#include <string.h>

#include "dataplane/net_checksum.h"
#include "dataplane/port_internal.h"

/* Counters have one writer, the queue's worker, and readers that may be any thread. */
static inline void
count(uint64_t *counter, uint64_t n)
{
	__atomic_store_n(counter, *counter + n, __ATOMIC_RELAXED);
}

uint16_t
port_rx(struct port *port, unsigned int queue, struct rte_mbuf **frames, uint16_t max)
{
	struct port_queue *q = &port->queues[queue];
	uint16_t n = rte_eth_rx_burst(port->id, (uint16_t)queue, frames, max);
	uint64_t bytes = 0;

	if (n == 0)
		return 0;
	for (uint16_t i = 0; i < n; i++)
		bytes += frames[i]->pkt_len;
	count(&q->rx_frames, n);
	count(&q->rx_bytes, bytes);
	return n;
}

static bool
is_shared(const struct rte_mbuf *frame)
{
	for (; frame != NULL; frame = frame->next)
		if (!RTE_MBUF_DIRECT(frame) || rte_mbuf_refcnt_read(frame) > 1)
			return true;
	return false;
}

/* One buffer of ours with the frame's bytes; NULL: no buffer, or too small. */
static struct rte_mbuf *
copy_frame(struct port *port, const struct rte_mbuf *frame)
{
	struct rte_mbuf *copy = rte_pktmbuf_alloc(port->pool);
	char *to;

	if (copy == NULL)
		return NULL;
	to = rte_pktmbuf_append(copy, (uint16_t)frame->pkt_len);
	if (to == NULL) {
		rte_pktmbuf_free(copy);
		return NULL;
	}
	for (const struct rte_mbuf *seg = frame; seg != NULL; seg = seg->next) {
		memcpy(to, rte_pktmbuf_mtod(seg, const char *), seg->data_len);
		to += seg->data_len;
	}
	copy->ol_flags = frame->ol_flags & RTE_MBUF_F_TX_OFFLOAD_MASK;
	copy->tx_offload = frame->tx_offload;
	return copy;
}

static uint64_t
missing_offloads(const struct port *port, const struct rte_mbuf *frame)
{
	uint64_t wanted = 0;
	uint64_t l4 = frame->ol_flags & RTE_MBUF_F_TX_L4_MASK;

	if (frame->ol_flags & RTE_MBUF_F_TX_IP_CKSUM)
		wanted |= RTE_ETH_TX_OFFLOAD_IPV4_CKSUM;
	if (l4 == RTE_MBUF_F_TX_TCP_CKSUM)
		wanted |= RTE_ETH_TX_OFFLOAD_TCP_CKSUM;
	else if (l4 == RTE_MBUF_F_TX_UDP_CKSUM)
		wanted |= RTE_ETH_TX_OFFLOAD_UDP_CKSUM;
	return wanted & ~port->tx_offloads;
}

/* Makes a frame one that the driver can take. NULL: dropped and counted. */
static struct rte_mbuf *
prepare(struct port *port, struct port_queue *q, struct rte_mbuf *frame)
{
	unsigned int l2_len =
		frame->l2_len != 0 ? frame->l2_len : RTE_ETHER_HDR_LEN + RTE_VLAN_HLEN;
	struct rte_mbuf *copy;

	if (unlikely(frame->pkt_len > port->mtu + l2_len)) {
		count(&q->tx_too_long, 1);
		goto drop;
	}
	if (missing_offloads(port, frame) != 0 && unlikely(!net_checksum_finish(frame))) {
		count(&q->tx_dropped, 1);
		goto drop;
	}
	if ((frame->nb_segs == 1 || port->takes_chains) &&
	    (!port->wants_own_buffers || !is_shared(frame)))
		return frame;

	copy = copy_frame(port, frame);
	if (copy == NULL) {
		count(&q->tx_dropped, 1);
		goto drop;
	}
	count(&q->tx_copied_bytes, frame->pkt_len);
	rte_pktmbuf_free(frame);
	return copy;
drop:
	rte_pktmbuf_free(frame);
	return NULL;
}

/* Gives the driver prepared frames; returns how many it took. */
static uint16_t
transmit(struct port *port, unsigned int queue, struct rte_mbuf **frames, uint16_t n)
{
	struct port_queue *q = &port->queues[queue];
	uint32_t lengths[PORT_BURST];
	uint16_t done = 0;

	while (done < n) {
		uint16_t chunk = RTE_MIN(n - done, PORT_BURST), sent;
		uint64_t bytes = 0;

		/* The driver may free a frame before it returns. */
		for (uint16_t i = 0; i < chunk; i++)
			lengths[i] = frames[done + i]->pkt_len;
		sent = rte_eth_tx_burst(port->id, (uint16_t)queue, frames + done, chunk);
		for (uint16_t i = 0; i < sent; i++)
			bytes += lengths[i];
		count(&q->tx_frames, sent);
		count(&q->tx_bytes, bytes);
		done += sent;
		if (sent < chunk)
			break;
	}
	return done;
}

void
port_tx_flush(struct port *port, unsigned int queue)
{
	struct port_queue *q = &port->queues[queue];

	while (q->backlog_count > 0) {
		uint16_t chunk = RTE_MIN(q->backlog_count, PORT_BACKLOG - q->backlog_head);
		uint16_t sent = transmit(port, queue, &q->backlog[q->backlog_head], chunk);

		q->backlog_head = (q->backlog_head + sent) % PORT_BACKLOG;
		q->backlog_count -= sent;
		if (sent < chunk)
			return;
	}
}

static void
backlog_add(struct port_queue *q, struct rte_mbuf *frame)
{
	if (q->backlog_count == PORT_BACKLOG) {
		count(&q->tx_dropped, 1);
		rte_pktmbuf_free(frame);
		return;
	}
	q->backlog[(q->backlog_head + q->backlog_count++) % PORT_BACKLOG] = frame;
}

/* Some drivers need more in the headers than the flags (pseudo-header sums); the ethdev
 * call for it stops at a frame that the driver cannot do. */
static uint16_t
prepare_offloads(struct port *port, unsigned int queue, struct rte_mbuf **frames, uint16_t n)
{
	uint16_t good = 0;

	while (good < n) {
		good += rte_eth_tx_prepare(port->id, (uint16_t)queue, frames + good, n - good);
		if (good == n)
			break;
		count(&port->queues[queue].tx_dropped, 1);
		rte_pktmbuf_free(frames[good]);
		n--;
		memmove(&frames[good], &frames[good + 1], (n - good) * sizeof(frames[0]));
	}
	return n;
}

static void
send_burst(struct port *port, unsigned int queue, struct rte_mbuf **frames, uint16_t n)
{
	struct port_queue *q = &port->queues[queue];
	struct rte_mbuf *ready[PORT_BURST];
	uint16_t n_ready = 0, sent = 0;

	for (uint16_t i = 0; i < n; i++) {
		struct rte_mbuf *frame = prepare(port, q, frames[i]);

		if (frame != NULL)
			ready[n_ready++] = frame;
	}
	if (port->tx_offloads != 0)
		n_ready = prepare_offloads(port, queue, ready, n_ready);
	if (q->backlog_count == 0)
		sent = transmit(port, queue, ready, n_ready);
	for (; sent < n_ready; sent++)
		backlog_add(q, ready[sent]);
}

void
port_tx(struct port *port, unsigned int queue, struct rte_mbuf **frames, uint16_t n)
{
	port_tx_flush(port, queue);
	for (uint16_t done = 0; done < n; done += PORT_BURST)
		send_burst(port, queue, frames + done, RTE_MIN(n - done, PORT_BURST));
}

void
port_drop_backlog(struct port *port)
{
	for (unsigned int i = 0; i < port->n_queues; i++) {
		struct port_queue *q = &port->queues[i];

		for (; q->backlog_count > 0; q->backlog_count--) {
			rte_pktmbuf_free(q->backlog[q->backlog_head]);
			q->backlog_head = (q->backlog_head + 1) % PORT_BACKLOG;
		}
	}
}

static uint64_t
read_counter(const uint64_t *counter)
{
	return __atomic_load_n(counter, __ATOMIC_RELAXED);
}

void
port_counters(const struct port *port, struct port_counters *counters)
{
	struct rte_eth_stats stats;

	memset(counters, 0, sizeof(*counters));
	for (unsigned int i = 0; i < port->n_queues; i++) {
		const struct port_queue *q = &port->queues[i];

		counters->rx_frames += read_counter(&q->rx_frames);
		counters->rx_bytes += read_counter(&q->rx_bytes);
		counters->tx_frames += read_counter(&q->tx_frames);
		counters->tx_bytes += read_counter(&q->tx_bytes);
		counters->tx_dropped += read_counter(&q->tx_dropped);
		counters->tx_too_long += read_counter(&q->tx_too_long);
		counters->tx_copied_bytes += read_counter(&q->tx_copied_bytes);
	}
	if (rte_eth_stats_get(port->id, &stats) == 0) {
		counters->rx_no_buffers = stats.rx_nombuf;
		counters->rx_errors = stats.ierrors + stats.imissed;
	}
}
