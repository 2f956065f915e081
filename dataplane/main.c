/* SPDX-License-Identifier: Apache-2.0 */
/*
 * portcullis: starts DPDK, the workers and the control loop, which is this thread.
 */
#include <dirent.h>
#include <errno.h>
#include <getopt.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_launch.h>
#include <rte_lcore.h>
#include <rte_mbuf.h>

#include "control/policy.h"
#include "dataplane/conn_log.h"
#include "dataplane/port.h"
#include "dataplane/stats.h"
#include "dataplane/worker.h"

#define CONTROL_TICK_MS 10  /* the log is drained */
#define POLICY_TICKS 10     /* ticks between looks at the watched files */

/* Shares of workers.memory, in percent; the rest is slack for alignment. */
#define SHARE_DATA 62
#define SHARE_HEADERS 14
#define SHARE_INDIRECT 14

#define HEADER_ROOM (RTE_PKTMBUF_HEADROOM + 128)
#define POOL_CACHE 256
#define TABLES_PER_CONNECTION 2048 /* bytes of connection, session and look-up tables */
#define FIXED_MIB 48               /* rings, logs, EAL's own */

static volatile sig_atomic_t got_stop, got_reload;

struct gateway {
	struct worker_shared shared;
	struct policy_admin *admin;
	FILE *log;
	bool eal;
};

static void __attribute__((format(printf, 1, 2)))
say(const char *format, ...)
{
	va_list args;

	flockfile(stderr);
	fputs("portcullis: ", stderr);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	funlockfile(stderr);
}

static void
report(void *ctx, const char *line)
{
	(void)ctx;
	fprintf(stderr, "%s\n", line);
}

/* --- memory and EAL ------------------------------------------------------------------------------- */

static unsigned int
memory_mib(const struct policy_node *node)
{
	uint64_t tables = (uint64_t)node->workers * node->max_connections * TABLES_PER_CONNECTION;

	return node->memory_mib + FIXED_MIB + (tables >> 20);
}

/* Free huge pages of the default size, in MiB. */
static unsigned int
huge_mib(void)
{
	FILE *file = fopen("/proc/meminfo", "r");
	unsigned long free_pages = 0, size_kib = 0;
	char line[128];

	if (file == NULL)
		return 0;
	while (fgets(line, sizeof(line), file) != NULL) {
		sscanf(line, "HugePages_Free: %lu", &free_pages);
		sscanf(line, "Hugepagesize: %lu", &size_kib);
	}
	fclose(file);
	return free_pages * size_kib / 1024;
}

/* The CPUs of the workers: as configured, else those that we may use, the last ones first
 * so that the first, which takes most interrupts, is left to the control thread. */
static bool
choose_cores(const struct policy_node *node, int *cores)
{
	cpu_set_t allowed;
	int cpus[CPU_SETSIZE], n = 0;

	sched_getaffinity(0, sizeof(allowed), &allowed);
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
		if (CPU_ISSET(cpu, &allowed))
			cpus[n++] = cpu;
	for (unsigned int i = 0; i < node->workers; i++) {
		cores[i] = node->cores[i] >= 0 ? node->cores[i] : cpus[n - 1 - (int)(i % n)];
		if (cores[i] >= CPU_SETSIZE || !CPU_ISSET(cores[i], &allowed)) {
			say("error: workers.cores: CPU %d is not one that this process may use", cores[i]);
			return false;
		}
	}
	return true;
}

/* Lcore 0 is the control thread, on all CPUs; lcores 1.. are the workers, each on its own. */
static void
lcore_map(const struct policy_node *node, const int *cores, char *text, size_t size)
{
	cpu_set_t allowed;
	size_t at = 0;
	const char *comma = "";

	sched_getaffinity(0, sizeof(allowed), &allowed);
	at += snprintf(text + at, size - at, "0@(");
	for (int cpu = 0; cpu < CPU_SETSIZE && at < size; cpu++) {
		if (!CPU_ISSET(cpu, &allowed))
			continue;
		at += snprintf(text + at, size - at, "%s%d", comma, cpu);
		comma = ",";
	}
	at += snprintf(text + at, size - at, ")");
	for (unsigned int i = 0; i < node->workers && at < size; i++)
		at += snprintf(text + at, size - at, ",%u@%d", i + 1, cores[i]);
}

/* "0000:3b:00.0" or "3b:00.0": a PCI address, not the arguments of a virtual device. */
static bool
is_pci_address(const char *device)
{
	unsigned int domain, bus, slot, function;
	char rest;

	return sscanf(device, "%x:%x:%x.%x%c", &domain, &bus, &slot, &function, &rest) >= 4 ||
	       sscanf(device, "%x:%x.%x%c", &bus, &slot, &function, &rest) >= 3;
}

/* EAL may touch the PCI devices that are named as ports, and no other. */
static int
allow_devices(const struct policy_node *node, char **argv, char addresses[][32])
{
	int argc = 0, n = 0;

	for (unsigned int i = 0; i < node->n_ports; i++) {
		if (!is_pci_address(node->ports[i].device))
			continue;
		snprintf(addresses[n], sizeof(addresses[n]), "%.*s",
			 (int)strcspn(node->ports[i].device, ","), node->ports[i].device);
		argv[argc++] = (char *)"-a";
		argv[argc++] = addresses[n++];
	}
	if (n == 0)
		argv[argc++] = (char *)"--no-pci";
	return argc;
}

/* EAL leaves its run-time folder behind. */
static void
remove_runtime_dir(const char *path)
{
	DIR *dir = opendir(path);
	struct dirent *entry;

	if (dir == NULL)
		return;
	while ((entry = readdir(dir)) != NULL)
		unlinkat(dirfd(dir), entry->d_name, 0);
	closedir(dir);
	rmdir(path);
}

static bool
start_eal(const struct policy_node *node)
{
	char lcores[2048], megabytes[16], prefix[64], addresses[POLICY_MAX_PORTS][32];
	unsigned int mib = memory_mib(node), huge = huge_mib();
	int cores[POLICY_MAX_WORKERS];
	char *argv[16 + 2 * POLICY_MAX_PORTS];
	int argc = 0;

	if (!choose_cores(node, cores))
		return false;
	lcore_map(node, cores, lcores, sizeof(lcores));
	snprintf(megabytes, sizeof(megabytes), "%u", mib);
	argv[argc++] = (char *)"portcullis";
	argv[argc++] = (char *)"--no-telemetry";
	argv[argc++] = (char *)"--iova-mode=va";
	argv[argc++] = (char *)"--log-level=lib.eal:error";
	argv[argc++] = (char *)"--lcores";
	argv[argc++] = lcores;
	argv[argc++] = (char *)"-m";
	argv[argc++] = megabytes;
	snprintf(prefix, sizeof(prefix), "--file-prefix=portcullis-%d", (int)getpid());
	argv[argc++] = prefix;
	if (huge < mib) { /* DPDK 22.11 does not take --in-memory beside --no-huge */
		argv[argc++] = (char *)"--no-huge";
		argv[argc++] = (char *)"--no-shconf";
	} else {
		argv[argc++] = (char *)"--in-memory";
		argv[argc++] = (char *)"--single-file-segments";
	}
	argc += allow_devices(node, &argv[argc], addresses);
	argv[argc] = NULL;
	if (rte_eal_init(argc, argv) < 0) {
		say("error: DPDK could not be started with %u MiB of memory on %u workers: %s", mib,
		    node->workers, rte_strerror(rte_errno));
		remove_runtime_dir(rte_eal_get_runtime_dir());
		return false;
	}
	if (huge < mib)
		say("memory: %u MiB of normal pages (%u MiB of huge pages are free, %u are needed)",
		    mib, huge, mib);
	else
		say("memory: %u MiB of huge pages", mib);
	return true;
}

static struct rte_mempool *
make_pool(const char *name, uint64_t bytes, uint16_t room)
{
	uint32_t element = sizeof(struct rte_mbuf) + room + 2 * RTE_CACHE_LINE_SIZE;
	struct rte_mempool *pool = rte_pktmbuf_pool_create(name, bytes / element, POOL_CACHE, 0,
							   room, SOCKET_ID_ANY);

	if (pool == NULL)
		say("error: workers.memory: no room for the pool of %s: %s", name,
		    rte_strerror(rte_errno));
	return pool;
}

static struct rte_mempool *
make_receive_pool(uint64_t bytes)
{
	uint32_t element = sizeof(struct rte_mbuf) + PORT_BUFFER_ROOM + 2 * RTE_CACHE_LINE_SIZE;
	struct rte_mempool *pool =
		port_pool_create("data", bytes / element, POOL_CACHE, SOCKET_ID_ANY);

	if (pool == NULL)
		say("error: workers.memory: no room for the receive buffers: %s",
		    rte_strerror(rte_errno));
	return pool;
}

static bool
make_pools(struct worker_shared *shared)
{
	uint64_t bytes = (uint64_t)shared->node->memory_mib << 20;

	shared->pools.data = make_receive_pool(bytes * SHARE_DATA / 100);
	shared->header_pool = make_pool("headers", bytes * SHARE_HEADERS / 100, HEADER_ROOM);
	shared->pools.indirect = make_pool("indirect", bytes * SHARE_INDIRECT / 100, 0);
	return shared->pools.data != NULL && shared->header_pool != NULL &&
	       shared->pools.indirect != NULL;
}

/* --- start ------------------------------------------------------------------------------------------ */

static bool
open_ports(struct worker_shared *shared)
{
	const struct policy_node *node = shared->node;
	char error[256];

	shared->adaptive = node->idle == POLICY_IDLE_ADAPTIVE;
	for (unsigned int i = 0; i < node->n_ports; i++) {
		struct port_config config = {
			.name = node->ports[i].name,
			.device = node->ports[i].device,
			.mtu = node->ports[i].mtu,
			.queues = node->workers,
			.pool = shared->pools.data,
		};

		shared->ports[i] = port_open(&config, error, sizeof(error));
		if (shared->ports[i] == NULL) {
			say("error: port %s: %s", config.name, error);
			return false;
		}
		shared->n_ports++;
		if (node->idle == POLICY_IDLE_AUTO && port_is_software(shared->ports[i]))
			shared->adaptive = true;
	}
	return true;
}

static bool
start_workers(struct worker_shared *shared)
{
	char error[256];

	for (unsigned int i = 0; i < shared->node->workers; i++) {
		shared->workers[i] = worker_create(shared, i, error, sizeof(error));
		if (shared->workers[i] == NULL) {
			say("error: %s", error);
			return false;
		}
	}
	for (unsigned int i = 0; i < shared->node->workers; i++)
		rte_eal_remote_launch(worker_run, shared->workers[i], i + 1);
	return true;
}

static FILE *
open_log(const char *where)
{
	FILE *file;

	if (where == NULL || strcmp(where, "stdout") == 0)
		return stdout;
	if (strcmp(where, "stderr") == 0)
		return stderr;
	file = fopen(where, "ae");
	if (file == NULL)
		say("error: log.connections: %s: %s", where, strerror(errno));
	return file;
}

static void
close_log(FILE *file)
{
	if (file == NULL)
		return;
	fflush(file);
	if (file != stdout && file != stderr)
		fclose(file);
}

static char *
admin_get(void *ctx, const char *path, unsigned int *status, const char **content_type)
{
	const struct gateway *gateway = ctx;

	(void)status;
	if (strcmp(path, "/stats") == 0)
		return stats_json(&gateway->shared);
	if (strcmp(path, "/ready") == 0) {
		bool stop = __atomic_load_n(&gateway->shared.stop, __ATOMIC_RELAXED);

		*content_type = "text/plain";
		*status = stop ? 503 : 200;
		return strdup(stop ? "draining\n" : "ready\n");
	}
	return NULL;
}

static bool
start_admin(struct gateway *gateway)
{
	const char *path = gateway->shared.node->admin_socket;
	char error[256];

	if (path == NULL)
		return true;
	gateway->admin = policy_admin_start(path, admin_get, gateway, error, sizeof(error));
	if (gateway->admin == NULL)
		say("error: %s", error);
	return gateway->admin != NULL;
}

static bool
start(struct gateway *gateway)
{
	struct worker_shared *shared = &gateway->shared;

	gateway->eal = start_eal(shared->node);
	if (!gateway->eal)
		return false;
	worker_clock();
	shared->n_workers = shared->node->workers;
	if (getrandom(shared->flow_key, sizeof(shared->flow_key), 0) < 0) {
		say("error: no random numbers: %s", strerror(errno));
		return false;
	}
	if (!make_pools(shared) || !open_ports(shared))
		return false;
	gateway->log = open_log(shared->node->connection_log);
	return gateway->log != NULL && start_workers(shared) && start_admin(gateway);
}

/* --- the control loop -------------------------------------------------------------------------------- */

static void
on_signal(int number)
{
	if (number == SIGHUP)
		got_reload = 1;
	else
		got_stop = 1;
}

static void
catch_signals(void)
{
	/* The handler leaves a note for the control loop; no call need fail for it. */
	struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};

	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGHUP, &action, NULL);
	signal(SIGPIPE, SIG_IGN);
}

static void
drain_logs(struct gateway *gateway)
{
	unsigned int printed = 0;

	for (unsigned int i = 0; i < gateway->shared.n_workers; i++)
		if (gateway->shared.workers[i] != NULL)
			printed += conn_log_drain(worker_log(gateway->shared.workers[i]), gateway->log);
	if (printed > 0)
		fflush(gateway->log);
}

/* A log file that was moved away is opened anew at SIGHUP. */
static void
reopen_log(struct gateway *gateway)
{
	FILE *file = open_log(gateway->shared.node->connection_log);

	if (file == NULL)
		return;
	close_log(gateway->log == file ? NULL : gateway->log);
	gateway->log = file;
}

static void
look_at_policy(struct gateway *gateway)
{
	bool force = got_reload;
	int result;

	got_reload = 0;
	if (force)
		reopen_log(gateway);
	result = policy_poll(gateway->shared.policy, force);
	if (result > 0)
		say("configuration reloaded, generation %lu",
		    policy_generation(policy_current(gateway->shared.policy)));
	else if (result < 0)
		say("reload refused: the configuration in force stays");
}

static bool
workers_running(const struct worker_shared *shared)
{
	for (unsigned int i = 0; i < shared->n_workers; i++)
		if (rte_eal_get_lcore_state(i + 1) == RUNNING)
			return true;
	return false;
}

static void
control_loop(struct gateway *gateway)
{
	struct worker_shared *shared = &gateway->shared;
	const struct timespec tick = {.tv_nsec = CONTROL_TICK_MS * 1000000};

	for (unsigned int n = 0; workers_running(shared); n++) {
		if (got_stop && !shared->stop) {
			say("stopping: draining for up to %u ms", shared->node->drain_ms);
			shared->stop_deadline_us =
				worker_clock() + shared->node->drain_ms * UINT64_C(1000);
			__atomic_store_n(&shared->stop, true, __ATOMIC_RELEASE);
		}
		drain_logs(gateway);
		if (got_reload || n % POLICY_TICKS == 0)
			look_at_policy(gateway);
		nanosleep(&tick, NULL);
	}
	drain_logs(gateway);
}

/* --- the end ------------------------------------------------------------------------------------------ */

static void
stop(struct gateway *gateway)
{
	struct worker_shared *shared = &gateway->shared;
	char runtime_dir[256];

	policy_admin_stop(gateway->admin);
	if (gateway->eal) {
		__atomic_store_n(&shared->stop, true, __ATOMIC_RELEASE);
		rte_eal_mp_wait_lcore();
		for (unsigned int i = 0; i < shared->n_workers; i++)
			worker_destroy(shared->workers[i]);
		for (unsigned int i = 0; i < shared->n_ports; i++)
			port_close(shared->ports[i]);
		rte_mempool_free(shared->pools.data);
		rte_mempool_free(shared->header_pool);
		rte_mempool_free(shared->pools.indirect);
		snprintf(runtime_dir, sizeof(runtime_dir), "%s", rte_eal_get_runtime_dir());
		rte_eal_cleanup();
		remove_runtime_dir(runtime_dir);
	}
	close_log(gateway->log);
	policy_close(shared->policy);
}

static int
run(const char *file)
{
	struct gateway gateway = {0};
	unsigned int errors = 0, warnings = 0;
	bool started;

	gateway.shared.policy = policy_open(file, report, NULL, &errors, &warnings);
	if (gateway.shared.policy == NULL) {
		say("%u error%s in the configuration: not started", errors, errors == 1 ? "" : "s");
		return 1;
	}
	gateway.shared.node = policy_node(gateway.shared.policy);
	catch_signals();
	started = start(&gateway);
	if (started) {
		struct worker_stats stats;

		worker_stats(gateway.shared.workers[0], &stats);
		say("ready: %u worker%s, %s idling, crypto by %s, %u port%s", gateway.shared.n_workers,
		    gateway.shared.n_workers == 1 ? "" : "s",
		    gateway.shared.adaptive ? "adaptive" : "polling without", stats.crypto,
		    gateway.shared.n_ports, gateway.shared.n_ports == 1 ? "" : "s");
		control_loop(&gateway);
	}
	stop(&gateway);
	if (started)
		say("stopped");
	return started ? 0 : 1;
}

static int
check(const char *file)
{
	unsigned int errors = 0, warnings = 0;
	struct policy *policy = policy_open(file, report, NULL, &errors, &warnings);

	policy_close(policy);
	printf("%s: %u error%s, %u warning%s\n", file, errors, errors == 1 ? "" : "s", warnings,
	       warnings == 1 ? "" : "s");
	return policy == NULL;
}

static int
usage(FILE *out, int status)
{
	fputs("usage: portcullis --config FILE         run the gateway\n"
	      "       portcullis check --config FILE   validate the configuration and all that it names\n"
	      "       portcullis --version\n",
	      out);
	return status;
}

int
main(int argc, char **argv)
{
	static const struct option options[] = {
		{"config", required_argument, NULL, 'c'},
		{"help", no_argument, NULL, 'h'},
		{"version", no_argument, NULL, 'v'},
		{0},
	};
	const char *file = NULL;
	char error[256];
	int option;

	while ((option = getopt_long(argc, argv, "c:hv", options, NULL)) != -1) {
		switch (option) {
		case 'c':
			file = optarg;
			break;
		case 'h':
			return usage(stdout, 0);
		case 'v':
			puts("portcullis " PORTCULLIS_VERSION);
			return 0;
		default:
			return usage(stderr, 2);
		}
	}
	if (file == NULL || argc - optind > 1 ||
	    (argc - optind == 1 && strcmp(argv[optind], "check") != 0))
		return usage(stderr, 2);
	if (tls_init(error, sizeof(error)) != 0) {
		say("error: %s", error);
		return 1;
	}
	return argc - optind == 1 ? check(file) : run(file);
}
