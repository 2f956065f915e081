/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The whole gateway on net_ring ports, whose frames never leave the process by themselves:
 * the main thread carries them between the far ends of the rings and kernel interfaces.
 *
 *     ring_gateway --config FILE
 *
 * FILE is a portcullis.yaml with the ports net_ring_mesh and net_ring_work, behind which the
 * interfaces pc-mesh and pc-work are. Runs until SIGTERM and fails when a buffer is missing then.
 */

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include <rte_eal.h>
#include <rte_eth_ring.h>
#include <rte_ethdev.h>
#include <rte_launch.h>
#include <rte_mempool.h>
#include <rte_ring.h>

#include "control/policy.h"
#include "dataplane/conn_log.h"
#include "dataplane/port.h"
#include "dataplane/worker.h"

#define CABLES 2
#define BUFFERS 16383
#define RING_SIZE 1024
#define BURST 32
#define IDLE_US 100
#define DRAIN_US 500000

/* What one cable joins: a ring each way on the gateway's side, an interface on the kernel's. */
struct cable {
	const char *leg;
	struct rte_ring *to_gateway, *from_gateway;
	struct port *interface;
};

static struct cable cables[CABLES] = {{.leg = "mesh"}, {.leg = "work"}};
static volatile sig_atomic_t stopping;

static void
die(const char *what, const char *why)
{
	fprintf(stderr, "ring_gateway: %s: %s\n", what, why);
	exit(1);
}

static void
on_signal(int number)
{
	(void)number;
	stopping = 1;
}

static void
report(void *ctx, const char *line)
{
	(void)ctx;
	fprintf(stderr, "%s\n", line);
}

static void
start_eal(void)
{
	char prefix[64];
	char *argv[] = {
		"ring_gateway",  "--no-huge", "--no-shconf", "--no-pci",       "-m",
		"256",           "--lcores",  "0,1",         "--no-telemetry", "--log-level=error",
		"--file-prefix", prefix};

	snprintf(prefix, sizeof(prefix), "ring-gateway-%d", (int)getpid());
	if (rte_eal_init((int)RTE_DIM(argv), argv) < 0)
		die("EAL", "cannot be initialised");
}

static struct port *
open_port(const char *name, const char *device, struct rte_mempool *pool)
{
	const struct port_config config = {
		.name = name, .device = device, .mtu = 1500, .queues = 1, .pool = pool};
	char error[256];
	struct port *port = port_open(&config, error, sizeof(error));

	if (port == NULL)
		die(device, error);
	return port;
}

static struct rte_ring *
make_ring(const char *leg, const char *direction)
{
	char name[32];
	struct rte_ring *ring;

	snprintf(name, sizeof(name), "%s_%s", leg, direction);
	ring = rte_ring_create(name, RING_SIZE, SOCKET_ID_ANY, 0);
	if (ring == NULL)
		die(name, "no ring");
	return ring;
}

static void
lay_cable(struct cable *cable, unsigned int number, struct rte_mempool *pool)
{
	char device[64];

	cable->to_gateway = make_ring(cable->leg, "to");
	cable->from_gateway = make_ring(cable->leg, "from");
	if (rte_eth_from_rings(cable->leg, &cable->to_gateway, 1, &cable->from_gateway, 1,
			       SOCKET_ID_ANY) < 0)
		die(cable->leg, "no port of rings");
	snprintf(device, sizeof(device), "net_af_packet%u,iface=pc-%s", number, cable->leg);
	cable->interface = open_port(cable->leg, device, pool);
}

/* --- the cables ------------------------------------------------------------------------------ */

static unsigned int
carry_in(struct cable *cable)
{
	struct rte_mbuf *frames[BURST];
	uint16_t n = port_rx(cable->interface, 0, frames, BURST);
	unsigned int taken = rte_ring_enqueue_burst(cable->to_gateway, (void **)frames, n, NULL);

	for (unsigned int i = taken; i < n; i++)
		rte_pktmbuf_free(frames[i]);
	return n;
}

static unsigned int
carry_out(struct cable *cable)
{
	struct rte_mbuf *frames[BURST];
	unsigned int n = rte_ring_dequeue_burst(cable->from_gateway, (void **)frames, BURST, NULL);

	/* The checksums were made on the other side of the ring. */
	for (unsigned int i = 0; i < n; i++)
		frames[i]->ol_flags &= ~RTE_MBUF_F_TX_OFFLOAD_MASK;
	port_tx(cable->interface, 0, frames, (uint16_t)n);
	port_tx_flush(cable->interface, 0);
	return n;
}

static void
carry(struct worker *worker, FILE *log)
{
	unsigned int moved = 0;

	for (unsigned int i = 0; i < CABLES; i++)
		moved += carry_in(&cables[i]) + carry_out(&cables[i]);
	if (moved > 0)
		return;
	if (conn_log_drain(worker_log(worker), log) > 0)
		fflush(log);
	usleep(IDLE_US);
}

static void
take_up_cable(struct cable *cable)
{
	struct rte_mbuf *m = NULL;

	while (rte_ring_dequeue(cable->from_gateway, (void **)&m) == 0)
		rte_pktmbuf_free(m);
	while (rte_ring_dequeue(cable->to_gateway, (void **)&m) == 0)
		rte_pktmbuf_free(m);
	port_close(cable->interface);
}

/* --- the gateway --------------------------------------------------------------------------------
 */

static void
make_pools(struct worker_shared *shared)
{
	shared->pools.data = port_pool_create("data", BUFFERS, 256, SOCKET_ID_ANY);
	shared->pools.indirect =
		rte_pktmbuf_pool_create("indirect", BUFFERS, 256, 0, 0, SOCKET_ID_ANY);
	shared->header_pool =
		rte_pktmbuf_pool_create("headers", BUFFERS, 256, 0, 256, SOCKET_ID_ANY);
	if (shared->pools.data == NULL || shared->pools.indirect == NULL ||
	    shared->header_pool == NULL)
		die("buffers", "out of memory");
}

static struct worker *
make_worker(struct worker_shared *shared)
{
	char error[256];
	struct worker *worker;

	for (unsigned int i = 0; i < shared->node->n_ports; i++)
		shared->ports[shared->n_ports++] =
			open_port(shared->node->ports[i].name, shared->node->ports[i].device,
				  shared->pools.data);
	if (getrandom(shared->flow_key, sizeof(shared->flow_key), 0) < 0)
		die("getrandom", "failed");
	shared->n_workers = 1;
	shared->adaptive = true;
	worker = shared->workers[0] = worker_create(shared, 0, error, sizeof(error));
	if (worker == NULL)
		die("worker", error);
	return worker;
}

static unsigned int
missing_buffers(const struct worker_shared *shared)
{
	return rte_mempool_in_use_count(shared->pools.data) +
	       rte_mempool_in_use_count(shared->pools.indirect) +
	       rte_mempool_in_use_count(shared->header_pool);
}

static void
run(struct worker_shared *shared, struct worker *worker, FILE *log)
{
	rte_eal_remote_launch(worker_run, worker, 1);
	fprintf(stderr, "portcullis: ready: on rings\n");
	while (!stopping)
		carry(worker, log);
	shared->stop_deadline_us = worker_clock() + DRAIN_US;
	__atomic_store_n(&shared->stop, true, __ATOMIC_RELEASE);
	while (rte_eal_get_lcore_state(1) == RUNNING)
		carry(worker, log);
	conn_log_drain(worker_log(worker), log);
}

int
main(int argc, char **argv)
{
	struct worker_shared shared = {0};
	unsigned int errors, warnings, missing;
	struct worker *worker;
	char error[256];
	FILE *log;

	if (argc != 3 || strcmp(argv[1], "--config") != 0)
		die("usage", "ring_gateway --config FILE");
	if (tls_init(error, sizeof(error)) != 0)
		die("TLS", error);
	shared.policy = policy_open(argv[2], report, NULL, &errors, &warnings);
	if (shared.policy == NULL)
		die(argv[2], "not started");
	shared.node = policy_node(shared.policy);
	log = fopen(shared.node->connection_log, "ae");
	if (log == NULL)
		die(shared.node->connection_log, "cannot be written");
	signal(SIGTERM, on_signal);
	start_eal();
	worker_clock();
	make_pools(&shared);
	for (unsigned int i = 0; i < CABLES; i++)
		lay_cable(&cables[i], i, shared.pools.data);
	worker = make_worker(&shared);
	run(&shared, worker, log);
	worker_destroy(worker);
	for (unsigned int i = 0; i < CABLES; i++)
		take_up_cable(&cables[i]);
	for (unsigned int i = 0; i < shared.n_ports; i++)
		port_close(shared.ports[i]);
	missing = missing_buffers(&shared);
	if (missing != 0)
		fprintf(stderr, "ring_gateway: %u buffers are missing\n", missing);
	fclose(log);
	policy_close(shared.policy);
	rte_eal_cleanup();
	return missing != 0;
}
