/* SPDX-License-Identifier: Apache-2.0 */
#include "dataplane/stats.h"

#include <inttypes.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>

#include <rte_cycles.h>
#include <rte_mempool.h>

/* There under AddressSanitizer, whose allocator mallinfo2() knows nothing of. */
extern size_t __sanitizer_get_current_allocated_bytes(void) __attribute__((weak));

static size_t
heap_bytes(void)
{
	if (__sanitizer_get_current_allocated_bytes != NULL)
		return __sanitizer_get_current_allocated_bytes();
	return mallinfo2().uordblks;
}

static void
print_pool(FILE *out, const struct rte_mempool *pool, bool last)
{
	fprintf(out, "{\"name\":\"%s\",\"size\":%u,\"in_use\":%u}%s", pool->name, pool->size,
		rte_mempool_in_use_count(pool), last ? "" : ",");
}

static void
print_port(FILE *out, const struct policy_port *config, const struct port *port)
{
	struct port_counters c;

	port_counters(port, &c);
	fprintf(out,
		"{\"name\":\"%s\",\"driver\":\"%s\",\"link_up\":%s,\"rx_frames\":%" PRIu64
		",\"rx_bytes\":%" PRIu64 ",\"tx_frames\":%" PRIu64 ",\"tx_bytes\":%" PRIu64
		",\"tx_dropped\":%" PRIu64 ",\"tx_too_long\":%" PRIu64
		",\"tx_copied_bytes\":%" PRIu64 ",\"rx_no_buffers\":%" PRIu64
		",\"rx_errors\":%" PRIu64 "}",
		config->name, port_driver(port), port_link_up(port) ? "true" : "false",
		c.rx_frames, c.rx_bytes, c.tx_frames, c.tx_bytes, c.tx_dropped, c.tx_too_long,
		c.tx_copied_bytes, c.rx_no_buffers, c.rx_errors);
}

static void
print_records(FILE *out, const struct tls_record_counters *c)
{
	fprintf(out,
		",\"records\":{\"records_in\":%" PRIu64 ",\"records_out\":%" PRIu64
		",\"bytes_in\":%" PRIu64 ",\"bytes_out\":%" PRIu64 ",\"rx_copied_bytes\":%" PRIu64
		",\"tx_copied_bytes\":%" PRIu64 ",\"bad_mac\":%" PRIu64 ",\"alerts_in\":%" PRIu64
		",\"alerts_out\":%" PRIu64 ",\"key_updates_in\":%" PRIu64
		",\"key_updates_out\":%" PRIu64 "}",
		c->records_in, c->records_out, c->bytes_in, c->bytes_out, c->rx_copied_bytes,
		c->tx_copied_bytes, c->bad_mac, c->alerts_in, c->alerts_out, c->key_updates_in,
		c->key_updates_out);
}

/* A group of counters that stands in one of the X-macro lists. */
#define PRINT_ONE(name, text) fprintf(out, "%s\"" #name "\":%" PRIu64, comma, c->name), comma = ",";

static void
print_tcp(FILE *out, const struct tcp_counters *c)
{
	const char *comma = "";

	fputs(",\"tcp\":{", out);
	TCP_COUNTERS(PRINT_ONE)
	fputc('}', out);
}

static void
print_net(FILE *out, const struct net_counters *c)
{
	const char *comma = "";

	fputs(",\"net\":{", out);
	NET_COUNTERS(PRINT_ONE)
	fputc('}', out);
}

static void
print_sessions(FILE *out, const struct session_counters *c)
{
	const char *comma = "";

	fputs(",\"session\":{", out);
	SESSION_COUNTERS(PRINT_ONE)
	fputc('}', out);
}

static void
print_worker(FILE *out, const struct worker *worker, unsigned int index)
{
	struct worker_stats s;

	worker_stats(worker, &s);
	fprintf(out,
		"{\"worker\":%u,\"crypto\":\"%s\",\"turns\":%" PRIu64 ",\"busy_cycles\":%" PRIu64
		",\"idle_cycles\":%" PRIu64 ",\"sessions\":%u,\"connections\":%u,\"time_waits\":%u"
		",\"redirected\":%" PRIu64 ",\"redirect_lost\":%" PRIu64 ",\"looped\":%" PRIu64
		",\"unknown_reset\":%" PRIu64 ",\"low_memory\":%" PRIu64 ",\"log_lost\":%" PRIu64,
		index, s.crypto, s.turns, s.busy_cycles, s.idle_cycles, s.sessions, s.connections,
		s.time_waits, s.redirected, s.redirect_lost, s.looped, s.unknown_reset, s.low_memory, s.log_lost);
	print_tcp(out, s.tcp);
	print_net(out, s.net);
	print_sessions(out, s.session);
	print_records(out, s.records);
	fputc('}', out);
}

static void
print_all(FILE *out, const struct worker_shared *shared)
{
	struct policy_stats policy;
	unsigned int sessions = 0;
	struct worker_stats s;

	for (unsigned int i = 0; i < shared->n_workers; i++) {
		worker_stats(shared->workers[i], &s);
		sessions += s.sessions;
	}
	policy_stats(shared->policy, &policy);
	fprintf(out,
		"{\"version\":\"%s\",\"tsc_hz\":%" PRIu64 ",\"sessions\":%u,\"heap_bytes\":%zu"
		",\"policy\":{\"generation\":%" PRIu64 ",\"reloads\":%" PRIu64
		",\"refused\":%" PRIu64 ",\"snapshots\":%u},\"mempools\":[",
		PORTCULLIS_VERSION, rte_get_tsc_hz(), sessions, heap_bytes(), policy.generation,
		policy.reloads, policy.refused, policy.snapshots);
	print_pool(out, shared->pools.data, false);
	print_pool(out, shared->header_pool, false);
	print_pool(out, shared->pools.indirect, true);
	fputs("],\"ports\":[", out);
	for (unsigned int i = 0; i < shared->n_ports; i++) {
		fputs(i > 0 ? "," : "", out);
		print_port(out, &shared->node->ports[i], shared->ports[i]);
	}
	fputs("],\"workers\":[", out);
	for (unsigned int i = 0; i < shared->n_workers; i++) {
		fputs(i > 0 ? "," : "", out);
		print_worker(out, shared->workers[i], i);
	}
	fputs("]}\n", out);
}

char *
stats_json(const struct worker_shared *shared)
{
	char *text = NULL;
	size_t length = 0;
	FILE *out = open_memstream(&text, &length);

	if (out == NULL)
		return NULL;
	print_all(out, shared);
	if (fclose(out) != 0) {
		free(text);
		return NULL;
	}
	return text;
}
