/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DATAPLANE_PORT_INTERNAL_H
#define DATAPLANE_PORT_INTERNAL_H

/* What opening a port (port.c) and moving frames through it (port_burst.c) share. */

#include <rte_common.h>
#include <rte_ethdev.h>

#include "dataplane/port.h"

/* Of one worker; other threads only read the counters. */
struct port_queue {
	uint64_t rx_frames, rx_bytes, tx_frames, tx_bytes;
	uint64_t tx_dropped, tx_too_long, tx_copied_bytes;
	unsigned int backlog_head, backlog_count;
	struct rte_mbuf *backlog[PORT_BACKLOG];
} __rte_cache_aligned;

struct port {
	uint16_t id; /* of the ethdev */
	uint16_t mtu;
	unsigned int n_queues;
	struct rte_mempool *pool;
	uint64_t tx_offloads;   /* RTE_ETH_TX_OFFLOAD_* that the device does for us */
	bool takes_chains;      /* several buffers to a frame */
	bool wants_own_buffers; /* what is sent must not be shared with anybody */
	bool software;
	bool kernel_peer;
	bool remove; /* unplug the device when it is closed */
	struct rte_ether_addr mac;
	char driver[RTE_ETH_NAME_MAX_LEN];
	struct port_queue *queues;
};

/* Frees what waits in the backlog. */
void port_drop_backlog(struct port *port);

#endif
