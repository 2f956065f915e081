/* SPDX-License-Identifier: Apache-2.0 */

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_dev.h>
#include <rte_eal.h>
#include <rte_ethdev.h>
#include <rte_mbuf_pool_ops.h>
#include <rte_pci.h>
#include <rte_random.h>

#include "dataplane/port_internal.h"

#define DEFAULT_DESCRIPTORS 512
#define DEVARGS_MAX 512
#define XDP_HEADROOM 256 /* XDP_PACKET_HEADROOM of linux/bpf.h */

/* Opening and closing is the control thread's, so this needs no lock. */
static bool in_use[RTE_MAX_ETHPORTS];

struct opening {
	const struct port_config *config;
	char *error;
	size_t error_len;
};

__attribute__((format(printf, 2, 3))) static int
fail(const struct opening *o, const char *format, ...)
{
	va_list args;
	int n = snprintf(o->error, o->error_len, "port %s: ", o->config->name);

	if (n >= 0 && (size_t)n < o->error_len) {
		va_start(args, format);
		vsnprintf(o->error + n, o->error_len - (size_t)n, format, args);
		va_end(args);
	}
	return -1;
}

/* --- the device ---------------------------------------------------------------------- */

/* Drivers whose number of queues is an argument of the device, and the argument. */
static const struct {
	const char *driver, *argument;
} queue_arguments[] = {
	{"net_af_packet", "qpairs"},
	{"net_af_xdp", "queue_count"},
};

static bool
has_argument(const char *devargs, const char *key)
{
	size_t len = strlen(key);

	for (const char *p = strchr(devargs, ','); p != NULL; p = strchr(p + 1, ','))
		if (strncmp(p + 1, key, len) == 0 && p[1 + len] == '=')
			return true;
	return false;
}

/* "net_af_packet0" is of the driver "net_af_packet". */
static bool
is_driver(const char *devargs, const char *driver)
{
	size_t len = strlen(driver);

	return strncmp(devargs, driver, len) == 0 &&
	       (devargs[len] == '\0' || strchr("0123456789,_", devargs[len]) != NULL);
}

static int
complete_devargs(const struct opening *o, char *devargs)
{
	const char *device = o->config->device;
	int n = snprintf(devargs, DEVARGS_MAX, "%s", device);

	for (size_t i = 0; i < RTE_DIM(queue_arguments); i++) {
		if (is_driver(device, queue_arguments[i].driver) &&
		    !has_argument(device, queue_arguments[i].argument))
			n = snprintf(devargs, DEVARGS_MAX, "%s,%s=%u", device,
				     queue_arguments[i].argument, o->config->queues);
	}
	if (n >= DEVARGS_MAX)
		return fail(o, "the device is longer than %d characters", DEVARGS_MAX - 1);
	return 0;
}

/* The name that the ethdev will have: up to the first comma, a PCI address in full. */
static int
device_name(const struct opening *o, char *name)
{
	size_t len = strcspn(o->config->device, ",");
	struct rte_pci_addr pci;

	if (len == 0 || len >= RTE_ETH_NAME_MAX_LEN)
		return fail(o, "\"%s\" does not begin with the name of a device",
			    o->config->device);
	memcpy(name, o->config->device, len);
	name[len] = '\0';
	if (rte_pci_addr_parse(name, &pci) == 0)
		rte_pci_device_name(&pci, name, RTE_ETH_NAME_MAX_LEN);
	return 0;
}

/* Finds the device, or makes EAL probe it. */
static int
find_device(const struct opening *o, struct port *port)
{
	char name[RTE_ETH_NAME_MAX_LEN], devargs[DEVARGS_MAX];
	int rc;

	if (device_name(o, name) != 0 || complete_devargs(o, devargs) != 0)
		return -1;
	if (rte_eth_dev_get_port_by_name(name, &port->id) != 0) {
		rc = rte_dev_probe(devargs);
		if (rc < 0)
			return fail(o, "there is no device \"%s\" (%s)", devargs, strerror(-rc));
		if (rte_eth_dev_get_port_by_name(name, &port->id) != 0)
			return fail(o, "\"%s\" is not an Ethernet device", devargs);
		port->remove = true;
	}
	if (in_use[port->id])
		return fail(o, "device %s is another port's already", name);
	return 0;
}

/* --- what a driver is -------------------------------------------------------------------- */

enum driver_kind {
	KIND_SOFTWARE = 1 << 0,
	KIND_KERNEL = 1 << 1,      /* its frames come from this machine's kernel */
	KIND_SHARES = 1 << 2,      /* hands over our own buffers, not a copy */
	KIND_MAC_OF_PEER = 1 << 3, /* shows the address of the kernel's end */
	KIND_XDP = 1 << 4,         /* keeps XDP_PACKET_HEADROOM in front of a frame */
};

static const struct {
	const char *name;
	unsigned int kind;
} drivers[] = {
	{"net_af_packet", KIND_SOFTWARE | KIND_KERNEL},
	/* It computes a buffer's place from its mbuf, which an indirect one belies. */
	{"net_af_xdp", KIND_SOFTWARE | KIND_KERNEL | KIND_SHARES | KIND_XDP},
	{"net_tap", KIND_SOFTWARE | KIND_KERNEL | KIND_MAC_OF_PEER},
	{"net_virtio_user", KIND_SOFTWARE | KIND_KERNEL},
	{"net_memif", KIND_SOFTWARE},
	{"net_ring", KIND_SOFTWARE | KIND_SHARES},
	{"net_null", KIND_SOFTWARE},
	{"net_pcap", KIND_SOFTWARE},
	{"net_vhost", KIND_SOFTWARE},
};

static unsigned int
driver_kind(const char *driver)
{
	for (size_t i = 0; i < RTE_DIM(drivers); i++)
		if (strcmp(driver, drivers[i].name) == 0)
			return drivers[i].kind;
	return 0;
}

/* --- configuration ------------------------------------------------------------------- */

/* Checksums and chains where the device does them. A software driver would compute
 * checksums on the same core that we run on, and net_tap copies headers to do it. */
static void
choose_offloads(struct port *port, const struct rte_eth_dev_info *info, struct rte_eth_conf *conf)
{
	uint64_t checksums = RTE_ETH_TX_OFFLOAD_IPV4_CKSUM | RTE_ETH_TX_OFFLOAD_TCP_CKSUM |
			     RTE_ETH_TX_OFFLOAD_UDP_CKSUM;

	if (!port->software) {
		port->tx_offloads = checksums & info->tx_offload_capa;
		conf->rxmode.offloads = RTE_ETH_RX_OFFLOAD_CHECKSUM & info->rx_offload_capa;
	}
	port->takes_chains = (info->tx_offload_capa & RTE_ETH_TX_OFFLOAD_MULTI_SEGS) != 0;
	conf->txmode.offloads = port->tx_offloads;
	if (port->takes_chains)
		conf->txmode.offloads |= RTE_ETH_TX_OFFLOAD_MULTI_SEGS;
}

static void
choose_rss(const struct port *port, const struct rte_eth_dev_info *info, struct rte_eth_conf *conf)
{
	uint64_t fields = (RTE_ETH_RSS_IP | RTE_ETH_RSS_TCP) & info->flow_type_rss_offloads;

	if (port->n_queues < 2 || port->software || fields == 0)
		return;
	conf->rxmode.mq_mode = RTE_ETH_MQ_RX_RSS;
	conf->rx_adv_conf.rss_conf.rss_hf = fields;
}

/* Frames longer than a buffer need a driver that spreads them. */
static int
choose_scatter(const struct opening *o, const struct rte_eth_dev_info *info,
	       struct rte_eth_conf *conf)
{
	uint32_t frame = o->config->mtu + RTE_ETHER_HDR_LEN + RTE_VLAN_HLEN;
	uint32_t room = rte_pktmbuf_data_room_size(o->config->pool);

	if (driver_kind(info->driver_name) & KIND_XDP)
		frame += XDP_HEADROOM;
	if (frame + RTE_PKTMBUF_HEADROOM <= room)
		return 0;
	if ((info->rx_offload_capa & RTE_ETH_RX_OFFLOAD_SCATTER) == 0)
		return fail(o, "%s cannot receive an MTU of %u into buffers of %u bytes",
			    info->driver_name, o->config->mtu, room);
	conf->rxmode.offloads |= RTE_ETH_RX_OFFLOAD_SCATTER;
	return 0;
}

static int
configure(const struct opening *o, struct port *port, const struct rte_eth_dev_info *info)
{
	struct rte_eth_conf conf = {0};
	uint16_t queues = (uint16_t)port->n_queues;
	int rc;

	if (port->n_queues > info->max_rx_queues || port->n_queues > info->max_tx_queues)
		return fail(o, "%s has %u receive and %u transmit queues, %u workers need %u each",
			    info->driver_name, info->max_rx_queues, info->max_tx_queues,
			    port->n_queues, port->n_queues);
	choose_offloads(port, info, &conf);
	choose_rss(port, info, &conf);
	if (choose_scatter(o, info, &conf) != 0)
		return -1;
	conf.rxmode.mtu = RTE_MIN(port->mtu, RTE_ETHER_MTU);
	rc = rte_eth_dev_configure(port->id, queues, queues, &conf);
	if (rc < 0)
		return fail(o, "%s cannot be configured: %s", info->driver_name, strerror(-rc));
	return 0;
}

static int
set_mtu(const struct opening *o, struct port *port)
{
	int rc = rte_eth_dev_set_mtu(port->id, port->mtu);

	/* Rings and memif have no MTU of their own: the frame's length is all there is. */
	if (rc == 0 || rc == -ENOTSUP)
		return 0;
	return fail(o, "%s refuses an MTU of %u: %s", port->driver, port->mtu, strerror(-rc));
}

static int
set_up_queues(const struct opening *o, struct port *port, const struct rte_eth_dev_info *info)
{
	uint16_t rx = (uint16_t)o->config->rx_descriptors, tx = (uint16_t)o->config->tx_descriptors;
	struct rte_eth_txconf tx_conf = info->default_txconf;
	int socket = rte_eth_dev_socket_id(port->id);
	int rc;

	rx = rx != 0 ? rx : DEFAULT_DESCRIPTORS;
	tx = tx != 0 ? tx : DEFAULT_DESCRIPTORS;
	rte_eth_dev_adjust_nb_rx_tx_desc(port->id, &rx, &tx);
	tx_conf.offloads = port->tx_offloads;
	if (port->takes_chains)
		tx_conf.offloads |= RTE_ETH_TX_OFFLOAD_MULTI_SEGS;
	for (uint16_t q = 0; q < port->n_queues; q++) {
		rc = rte_eth_rx_queue_setup(port->id, q, rx, (unsigned int)socket, NULL,
					    o->config->pool);
		if (rc < 0)
			return fail(o, "%s: receive queue %u: %s", port->driver, q, strerror(-rc));
		rc = rte_eth_tx_queue_setup(port->id, q, tx, (unsigned int)socket, &tx_conf);
		if (rc < 0)
			return fail(o, "%s: transmit queue %u: %s", port->driver, q, strerror(-rc));
	}
	return 0;
}

/* Neighbour discovery comes by multicast; a driver that cannot take all of it shows
 * everything instead, and net_input() drops what is for others. */
static int
start(const struct opening *o, struct port *port)
{
	int rc = rte_eth_dev_start(port->id);

	if (rc < 0)
		return fail(o, "%s cannot be started: %s", port->driver, strerror(-rc));
	if (rte_eth_allmulticast_enable(port->id) != 0)
		rte_eth_promiscuous_enable(port->id);
	return 0;
}

static void
choose_mac(struct port *port)
{
	if (rte_eth_macaddr_get(port->id, &port->mac) != 0 || rte_is_zero_ether_addr(&port->mac)) {
		rte_eth_random_addr(port->mac.addr_bytes);
	} else if (driver_kind(port->driver) & KIND_MAC_OF_PEER) {
		/* The kernel's interface keeps the address; ours is its neighbour. */
		port->mac.addr_bytes[0] = (port->mac.addr_bytes[0] | RTE_ETHER_LOCAL_ADMIN_ADDR) &
					  (uint8_t)~RTE_ETHER_GROUP_ADDR;
		port->mac.addr_bytes[5] ^= 1;
	}
}

static int
bring_up(const struct opening *o, struct port *port)
{
	struct rte_eth_dev_info info;
	unsigned int kind;
	int rc = rte_eth_dev_info_get(port->id, &info);

	if (rc != 0)
		return fail(o, "no information about the device: %s", strerror(-rc));
	snprintf(port->driver, sizeof(port->driver), "%s", info.driver_name);
	kind = driver_kind(port->driver);
	port->software = (kind & KIND_SOFTWARE) != 0;
	port->kernel_peer = (kind & KIND_KERNEL) != 0;
	port->wants_own_buffers = (kind & KIND_SHARES) != 0;
	if (configure(o, port, &info) != 0 || set_mtu(o, port) != 0 ||
	    set_up_queues(o, port, &info) != 0 || start(o, port) != 0)
		return -1;
	choose_mac(port);
	return 0;
}

/* --- the contract ---------------------------------------------------------------------- */

static void
release_device(struct port *port)
{
	struct rte_eth_dev_info info = {0};
	bool known = rte_eth_dev_info_get(port->id, &info) == 0;

	rte_eth_dev_stop(port->id);
	rte_eth_dev_close(port->id);
	if (port->remove && known && info.device != NULL)
		rte_dev_remove(info.device);
	in_use[port->id] = false;
}

static void
free_port(struct port *port)
{
	if (port != NULL)
		free(port->queues);
	free(port);
}

static struct port *
new_port(const struct port_config *config)
{
	struct port *port = calloc(1, sizeof(*port));

	if (port == NULL)
		return NULL;
	port->id = RTE_MAX_ETHPORTS;
	port->mtu = config->mtu;
	port->pool = config->pool;
	port->n_queues = config->queues;
	port->queues = aligned_alloc(RTE_CACHE_LINE_SIZE, config->queues * sizeof(*port->queues));
	if (port->queues == NULL) {
		free(port);
		return NULL;
	}
	memset(port->queues, 0, config->queues * sizeof(*port->queues));
	return port;
}

struct port *
port_open(const struct port_config *config, char *error, size_t error_len)
{
	const struct opening o = {config, error, error_len};
	struct port *port;

	if (config->queues == 0 || config->queues > RTE_MAX_QUEUES_PER_PORT) {
		fail(&o, "%u queues", config->queues);
		return NULL;
	}
	if (config->mtu < RTE_ETHER_MIN_MTU) {
		fail(&o, "an MTU of %u is less than %u", config->mtu, RTE_ETHER_MIN_MTU);
		return NULL;
	}
	port = new_port(config);
	if (port == NULL) {
		fail(&o, "out of memory");
		return NULL;
	}
	if (find_device(&o, port) != 0) {
		free_port(port);
		return NULL;
	}
	in_use[port->id] = true;
	if (bring_up(&o, port) != 0) {
		release_device(port);
		free_port(port);
		return NULL;
	}
	return port;
}

void
port_close(struct port *port)
{
	if (port == NULL)
		return;
	port_drop_backlog(port);
	release_device(port);
	free_port(port);
}

const struct rte_ether_addr *
port_mac(const struct port *port)
{
	return &port->mac;
}

uint16_t
port_mtu(const struct port *port)
{
	return port->mtu;
}

const char *
port_driver(const struct port *port)
{
	return port->driver;
}

bool
port_is_software(const struct port *port)
{
	return port->software;
}

bool
port_peer_is_kernel(const struct port *port)
{
	return port->kernel_peer;
}

bool
port_link_up(const struct port *port)
{
	struct rte_eth_link link = {0};

	return rte_eth_link_get_nowait(port->id, &link) == 0 && link.link_status;
}

struct rte_mempool *
port_pool_create(const char *name, unsigned int n, unsigned int cache, int socket)
{
	unsigned int flags = 0;
	struct rte_mempool *pool;

	/* net_af_xdp lays its frames over the whole pool and computes where each buffer is,
	 * so they must lie one after the other; by default none crosses a page. Where the
	 * addresses that devices see are the virtual ones there is nothing to avoid. */
	if (!rte_eal_has_hugepages() || rte_eal_iova_mode() == RTE_IOVA_VA)
		flags |= RTE_MEMPOOL_F_NO_IOVA_CONTIG;
	pool = rte_mempool_create_empty(name, n, sizeof(struct rte_mbuf) + PORT_BUFFER_ROOM, cache,
					sizeof(struct rte_pktmbuf_pool_private), socket, flags);
	if (pool == NULL)
		return NULL;
	if (rte_mempool_set_ops_byname(pool, rte_mbuf_best_mempool_ops(), NULL) != 0)
		goto fail;
	rte_pktmbuf_pool_init(pool, NULL);
	if (rte_mempool_populate_default(pool) < 0)
		goto fail;
	rte_mempool_obj_iter(pool, rte_pktmbuf_init, NULL);
	return pool;
fail:
	rte_mempool_free(pool);
	return NULL;
}
