/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DATAPLANE_PORT_H
#define DATAPLANE_PORT_H

/*
 * Ethernet ports: any DPDK driver behind one face. A port is opened once, at start, with
 * one queue pair for each worker, and hides what a driver cannot do: checksums that the
 * port does not compute are computed here, frames that it cannot take in several buffers
 * are made one (and counted as copied), what its queue refuses stays in a short backlog.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <rte_ether.h>
#include <rte_mbuf.h>
#include <rte_mempool.h>

#define PORT_BURST 32
#define PORT_BACKLOG 512 /* frames of one queue that wait for the driver */

struct port;

struct port_config {
	const char *name;
	const char *device;      /* devargs of a vdev, or a PCI address */
	uint16_t mtu;            /* bytes of IP packet */
	unsigned int queues;     /* one a worker */
	struct rte_mempool *pool; /* receive buffers; borrowed */
	unsigned int rx_descriptors, tx_descriptors; /* 0: 512 */
};

/*
 * A pool of receive buffers that every driver accepts (net_af_xdp wants them back to back):
 * `n` buffers of PORT_BUFFER_ROOM bytes, headroom included. NULL with rte_errno set.
 */
#define PORT_BUFFER_ROOM RTE_MBUF_DEFAULT_BUF_SIZE
struct rte_mempool *port_pool_create(const char *name, unsigned int n, unsigned int cache,
				     int socket);

/* NULL with a sentence in `error`: no such device, MTU refused, too few queues. EAL must
 * be initialised. */
struct port *port_open(const struct port_config *config, char *error, size_t error_len);
/* Stops the device and frees what it held. */
void port_close(struct port *port);

const struct rte_ether_addr *port_mac(const struct port *port);
uint16_t port_mtu(const struct port *port);
const char *port_driver(const struct port *port); /* "net_af_packet" */
/* A kernel interface or a ring: a busy poll would take the core from the peer. */
bool port_is_software(const struct port *port);
/* Frames come from this machine's kernel, which leaves checksums to be completed by the
 * device that never comes (unless `ethtool -K INTERFACE tx off`). */
bool port_peer_is_kernel(const struct port *port);
bool port_link_up(const struct port *port);

/* A burst of received frames; the caller owns them. */
uint16_t port_rx(struct port *port, unsigned int queue, struct rte_mbuf **frames, uint16_t max);

/*
 * Sends frames that begin at the Ethernet header; l2_len, l3_len, l4_len and offload flags
 * set as the caller wants them done. Owns all of them: what neither the driver nor the
 * backlog takes is freed and counted.
 */
void port_tx(struct port *port, unsigned int queue, struct rte_mbuf **frames, uint16_t n);

/* Tries the backlog again. Once a turn. */
void port_tx_flush(struct port *port, unsigned int queue);

struct port_counters {
	uint64_t rx_frames, rx_bytes, tx_frames, tx_bytes;
	uint64_t tx_dropped;       /* backlog full */
	uint64_t tx_too_long;      /* frame over the MTU */
	uint64_t tx_copied_bytes;  /* made one buffer for a driver that wants one */
	uint64_t rx_no_buffers, rx_errors; /* as the driver counts them */
};
/* Sums the queues; callable from any thread, values may lag. */
void port_counters(const struct port *port, struct port_counters *counters);

#endif
