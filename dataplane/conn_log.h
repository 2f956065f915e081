/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DATAPLANE_CONN_LOG_H
#define DATAPLANE_CONN_LOG_H

/*
 * One line for every connection, written at its end: who, how, how much, and if it did not
 * go well, why and by whose decision.
 *
 * A worker fills an entry from a pool made at start and puts it into a ring; the control
 * thread takes it out, prints it as one JSON object and gives it back. The worker never
 * waits: when no entry is free the line is lost and counted.
 */

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/* Why a connection was refused or failed. The names stand in the log and in docs/operations.md. */
#define SESSION_CAUSES(X)                                                                          \
	X(NONE, NULL, "no error")                                                                  \
	X(PLAINTEXT_TO_STRICT, "plaintext_to_strict",                                              \
	  "plaintext arrived where the policy takes mutual TLS only")                              \
	X(TLS_WITHOUT_MESH_ALPN, "tls_without_mesh_alpn",                                          \
	  "TLS that is not the mesh's arrived at a PERMISSIVE port that speaks HTTP")              \
	X(NOT_HTTP, "not_http", "the port is declared as HTTP and the bytes are not")              \
	X(CLIENT_HELLO_TOO_LARGE, "client_hello_too_large", "a ClientHello over the limit")        \
	X(NO_IDENTITY, "no_identity", "no certificate is configured for this workload")            \
	X(NO_ENDPOINT, "no_healthy_upstream", "the service has no endpoint")                       \
	X(UPSTREAM_REFUSED, "upstream_refused", "the upstream refused the connection")             \
	X(UPSTREAM_TIMEOUT, "upstream_timeout", "the upstream did not answer")                     \
	X(UPSTREAM_UNREACHABLE, "upstream_unreachable", "there is no way to the upstream")         \
	X(UPSTREAM_RESET, "upstream_reset", "the upstream reset the connection")                   \
	X(DOWNSTREAM_RESET, "downstream_reset", "the downstream reset the connection")             \
	X(DOWNSTREAM_TIMEOUT, "downstream_timeout", "the downstream stopped answering")            \
	X(DOWNSTREAM_CLOSED, "downstream_closed",                                                  \
	  "the downstream closed before it said what it wanted")                                   \
	X(HANDSHAKE_TIMEOUT, "handshake_timeout", "the TLS handshake took too long")               \
	X(DETECT_TIMEOUT, "detect_timeout", "the first bytes did not come in time")                \
	X(IDLE_TIMEOUT, "idle_timeout", "no byte for the idle timeout")                            \
	X(NO_CLIENT_CERTIFICATE, "no_client_certificate", "the client sent no certificate")        \
	X(UNKNOWN_CA, "unknown_ca", "the certificate does not chain to the trust bundle")          \
	X(CERTIFICATE_EXPIRED, "certificate_expired", "the certificate has expired")               \
	X(CERTIFICATE_NOT_YET_VALID, "certificate_not_yet_valid",                                  \
	  "the certificate is not valid yet")                                                      \
	X(CERTIFICATE_INVALID, "certificate_invalid", "the certificate breaks a rule")             \
	X(NO_SPIFFE_ID, "no_spiffe_id", "the certificate has no SPIFFE URI SAN")                   \
	X(MULTIPLE_URI_SANS, "multiple_uri_sans", "the certificate has more than one URI SAN")     \
	X(TRUST_DOMAIN_MISMATCH, "trust_domain_mismatch",                                          \
	  "the certificate is for a trust domain that is not accepted")                            \
	X(SAN_MISMATCH, "san_mismatch", "no SAN of the certificate is one of those wanted")        \
	X(TLS_ALERT_RECEIVED, "tls_alert_received", "the peer sent a fatal TLS alert")             \
	X(TLS_ALERT_SENT, "tls_alert_sent", "the peer's records are broken")                       \
	X(TLS_PROTOCOL_ERROR, "tls_protocol_error", "the peer's bytes are not TLS we can follow")  \
	X(TLS_VERSION, "tls_version", "no common TLS version")                                     \
	X(TLS_NO_SHARED_CIPHER, "tls_no_shared_cipher", "no common cipher suite")                  \
	X(TLS_TRUNCATED, "tls_truncated", "the peer closed in the middle of the TLS handshake")    \
	X(TLS_HANDSHAKE_TOO_LARGE, "tls_handshake_too_large", "more handshake bytes than allowed") \
	X(OUT_OF_MEMORY, "out_of_memory", "no buffer, connection or key memory was left")          \
	X(SHUTDOWN, "shutdown", "the gateway was stopped")                                         \
	X(INTERNAL, "internal", "internal error")

enum session_cause {
#define X(id, name, text) SESSION_##id,
	SESSION_CAUSES(X)
#undef X
	SESSION_CAUSE_MAX,
};
const char *session_cause_name(enum session_cause cause); /* NULL for SESSION_NONE */
const char *session_cause_text(enum session_cause cause);

enum session_result { SESSION_OK, SESSION_REFUSED, SESSION_FAILED };

struct conn_log_tls {
	bool used;
	bool verified;
	uint16_t version;
	char cipher[48];
	char alpn[32];
	char sni[256];
	char peer[256];
};

struct conn_log_leg {
	bool used;
	struct in6_addr local, remote;
	uint16_t local_port, remote_port;
	struct conn_log_tls tls;
};

struct conn_log_entry {
	uint64_t connection;     /* number, unique in this process */
	int64_t started_ns;      /* wall clock */
	uint64_t duration_us;
	bool outbound;
	struct conn_log_leg downstream, upstream;
	char workload[160];
	char service[256];
	const char *protocol;    /* static */
	const char *mode;        /* static */
	uint64_t bytes_received; /* payload from the downstream peer */
	uint64_t bytes_sent;     /* payload to the downstream peer */
	char policy_kind[32];
	char policy_name[160];
	char policy_file[256];
	int policy_line;
	enum session_result result;
	enum session_cause cause;
	bool cause_upstream;     /* the leg on which it happened */
	bool replied_503;
	char detail[1024];
};

struct conn_log;

/* `entries` is rounded up to a power of two. NULL: out of memory. */
struct conn_log *conn_log_create(const char *name, unsigned int entries);
void conn_log_destroy(struct conn_log *log);

/* The worker's side. NULL: none is free (counted). The entry is zeroed. */
struct conn_log_entry *conn_log_get(struct conn_log *log);
void conn_log_put(struct conn_log *log, struct conn_log_entry *entry);   /* to be printed */
uint64_t conn_log_lost(const struct conn_log *log);
bool conn_log_is_full(const struct conn_log *log); /* no entry is free */

/* The control thread's side: prints what is there, one line an entry; returns how many. */
unsigned int conn_log_drain(struct conn_log *log, FILE *out);

/* For tests: one entry as its line. */
void conn_log_print(const struct conn_log_entry *entry, FILE *out);

#endif
