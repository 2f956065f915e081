/* SPDX-License-Identifier: Apache-2.0 */
#include "dataplane/conn_log.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <rte_common.h>
#include <rte_ring.h>

struct conn_log {
	struct rte_ring *free_entries; /* control thread to worker */
	struct rte_ring *full;         /* worker to control thread */
	struct conn_log_entry *entries;
	uint64_t lost;
};

const char *
session_cause_name(enum session_cause cause)
{
	static const char *const names[] = {
#define X(id, name, text) [SESSION_##id] = name,
		SESSION_CAUSES(X)
#undef X
	};
	return cause < SESSION_CAUSE_MAX ? names[cause] : NULL;
}

const char *
session_cause_text(enum session_cause cause)
{
	static const char *const texts[] = {
#define X(id, name, text) [SESSION_##id] = text,
		SESSION_CAUSES(X)
#undef X
	};
	return cause < SESSION_CAUSE_MAX ? texts[cause] : "";
}

/* --- the rings ------------------------------------------------------------------------------- */

static struct rte_ring *
make_ring(const char *name, const char *suffix, unsigned int entries)
{
	char full_name[RTE_RING_NAMESIZE];

	snprintf(full_name, sizeof(full_name), "%s_%s", name, suffix);
	return rte_ring_create(full_name, entries, SOCKET_ID_ANY,
			       RING_F_SP_ENQ | RING_F_SC_DEQ | RING_F_EXACT_SZ);
}

struct conn_log *
conn_log_create(const char *name, unsigned int entries)
{
	struct conn_log *log = calloc(1, sizeof(*log));

	if (log == NULL)
		return NULL;
	log->free_entries = make_ring(name, "free", entries);
	log->full = make_ring(name, "full", entries);
	log->entries = calloc(entries, sizeof(*log->entries));
	if (log->free_entries == NULL || log->full == NULL || log->entries == NULL) {
		conn_log_destroy(log);
		return NULL;
	}
	for (unsigned int i = 0; i < entries; i++)
		rte_ring_enqueue(log->free_entries, &log->entries[i]);
	return log;
}

void
conn_log_destroy(struct conn_log *log)
{
	if (log == NULL)
		return;
	rte_ring_free(log->free_entries);
	rte_ring_free(log->full);
	free(log->entries);
	free(log);
}

struct conn_log_entry *
conn_log_get(struct conn_log *log)
{
	void *entry;

	if (rte_ring_dequeue(log->free_entries, &entry) != 0) {
		log->lost++;
		return NULL;
	}
	memset(entry, 0, sizeof(struct conn_log_entry));
	return entry;
}

void
conn_log_put(struct conn_log *log, struct conn_log_entry *entry)
{
	rte_ring_enqueue(log->full, entry);
}

bool
conn_log_is_full(const struct conn_log *log)
{
	return rte_ring_empty(log->free_entries);
}

uint64_t
conn_log_lost(const struct conn_log *log)
{
	return log->lost;
}

/* --- JSON --------------------------------------------------------------------------------------- */

/* A JSON string (RFC 8259 section 7). Names come from the wire: bytes that are not ASCII
 * are written as \u00XX, so that the line is valid whatever a certificate says. */
static void
print_string(FILE *out, const char *text)
{
	fputc('"', out);
	for (const unsigned char *at = (const unsigned char *)text; *at != '\0'; at++) {
		if (*at == '"' || *at == '\\')
			fprintf(out, "\\%c", *at);
		else if (*at < 0x20 || *at >= 0x7f)
			fprintf(out, "\\u%04x", *at);
		else
			fputc(*at, out);
	}
	fputc('"', out);
}

static void
print_field(FILE *out, const char *name, const char *text)
{
	fprintf(out, ",\"%s\":", name);
	if (text != NULL && *text != '\0')
		print_string(out, text);
	else
		fputs("null", out);
}

static void
print_endpoint(FILE *out, const char *name, const struct in6_addr *address, uint16_t port)
{
	char text[INET6_ADDRSTRLEN] = "";

	if (IN6_IS_ADDR_V4MAPPED(address)) {
		inet_ntop(AF_INET, &address->s6_addr[12], text, sizeof(text));
		fprintf(out, "\"%s\":\"%s:%u\"", name, text, port);
	} else {
		inet_ntop(AF_INET6, address, text, sizeof(text));
		fprintf(out, "\"%s\":\"[%s]:%u\"", name, text, port);
	}
}

static const char *
version_name(uint16_t version)
{
	switch (version) {
	case 0x0304:
		return "TLSv1.3";
	case 0x0303:
		return "TLSv1.2";
	default:
		return "";
	}
}

static void
print_tls(FILE *out, const struct conn_log_tls *tls)
{
	if (!tls->used) {
		fputs(",\"tls\":null", out);
		return;
	}
	fprintf(out, ",\"tls\":{\"verified\":%s", tls->verified ? "true" : "false");
	print_field(out, "version", version_name(tls->version));
	print_field(out, "cipher", tls->cipher);
	print_field(out, "alpn", tls->alpn);
	print_field(out, "sni", tls->sni);
	print_field(out, "peer", tls->peer);
	fputc('}', out);
}

static void
print_leg(FILE *out, const char *name, const struct conn_log_leg *leg)
{
	if (!leg->used) {
		fprintf(out, ",\"%s\":null", name);
		return;
	}
	fprintf(out, ",\"%s\":{", name);
	print_endpoint(out, "remote", &leg->remote, leg->remote_port);
	fputc(',', out);
	print_endpoint(out, "local", &leg->local, leg->local_port);
	print_tls(out, &leg->tls);
	fputc('}', out);
}

static void
print_time(FILE *out, int64_t ns)
{
	time_t seconds = ns / 1000000000;
	struct tm tm;
	char text[32];

	gmtime_r(&seconds, &tm);
	strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm);
	fprintf(out, "\"time\":\"%s.%03dZ\"", text, (int)(ns / 1000000 % 1000));
}

static void
print_outcome(FILE *out, const struct conn_log_entry *entry)
{
	static const char *const results[] = {
		[SESSION_OK] = "ok",
		[SESSION_REFUSED] = "refused",
		[SESSION_FAILED] = "failed",
	};

	fprintf(out, ",\"policy\":{\"line\":%d", entry->policy_line);
	print_field(out, "kind", entry->policy_kind);
	print_field(out, "name", entry->policy_name);
	print_field(out, "file", entry->policy_file);
	fprintf(out, "},\"result\":\"%s\"", results[entry->result]);
	print_field(out, "cause", session_cause_name(entry->cause));
	if (entry->cause == SESSION_NONE) {
		fputs(",\"leg\":null,\"detail\":null", out);
	} else {
		print_field(out, "leg", entry->cause_upstream ? "upstream" : "downstream");
		print_field(out, "detail", entry->detail[0] != '\0' ? entry->detail :
					  session_cause_text(entry->cause));
	}
	if (entry->replied_503)
		fputs(",\"local_reply\":503", out);
}

void
conn_log_print(const struct conn_log_entry *entry, FILE *out)
{
	fputc('{', out);
	print_time(out, entry->started_ns);
	fprintf(out, ",\"connection\":%" PRIu64 ",\"direction\":\"%s\"", entry->connection,
		entry->outbound ? "outbound" : "inbound");
	print_leg(out, "downstream", &entry->downstream);
	print_leg(out, "upstream", &entry->upstream);
	print_field(out, "workload", entry->workload);
	print_field(out, "service", entry->service);
	print_field(out, "protocol", entry->protocol);
	print_field(out, "mode", entry->mode);
	fprintf(out, ",\"bytes_received\":%" PRIu64 ",\"bytes_sent\":%" PRIu64
		     ",\"duration_ms\":%" PRIu64 ".%03u",
		entry->bytes_received, entry->bytes_sent, entry->duration_us / 1000,
		(unsigned int)(entry->duration_us % 1000));
	print_outcome(out, entry);
	fputs("}\n", out);
}

unsigned int
conn_log_drain(struct conn_log *log, FILE *out)
{
	unsigned int printed = 0;
	void *entry;

	while (rte_ring_dequeue(log->full, &entry) == 0) {
		conn_log_print(entry, out);
		rte_ring_enqueue(log->free_entries, entry);
		printed++;
	}
	return printed;
}
