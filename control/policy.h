/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTROL_POLICY_H
#define CONTROL_POLICY_H

/*
 * What the data plane may know of control: the node's own configuration, and the policy
 * snapshot with its look-ups. Nothing else of control/ is included from elsewhere.
 *
 * A snapshot is immutable. It holds the answer for every workload x port and for every
 * client x service x port, with the provenance of what decided it; a worker looks up and
 * never interprets policy. Whoever has a snapshot by policy_current() may read it until
 * its next quiescent state; who wants to keep one longer (a session) holds it by
 * policy_hold() and policy_drop().
 *
 * Addresses are 16 bytes, IPv4 written IPv4-mapped (RFC 4291 section 2.5.5.2). Ports are
 * in host byte order.
 */

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "tls/identity.h"

/* --- the node's configuration (portcullis.yaml) ----------------------------------------- */

#define POLICY_MAX_PORTS 16
#define POLICY_MAX_WORKERS 64

struct policy_prefix {
	struct in6_addr address; /* host bits kept */
	uint8_t length;          /* of the 128 bits: an IPv4 /24 is 120 here */
};

struct policy_port {
	const char *name;
	const char *device;  /* DPDK devargs ("net_af_packet0,iface=eth1") or PCI address */
	uint16_t mtu;        /* bytes of IP packet; default 1500 */
	uint16_t vlan;       /* 802.1Q tag of everything on this port; 0: untagged */
	const struct policy_prefix *addresses; /* our own */
	unsigned int n_addresses;
};

struct policy_route {
	struct policy_prefix to;
	struct in6_addr via;  /* next hop; all zero: on-link */
	unsigned int port;    /* index into ports */
};

enum policy_idle { POLICY_IDLE_AUTO, POLICY_IDLE_POLL, POLICY_IDLE_ADAPTIVE };

/* Parsed once at start. Fields marked * may change by reload; the others ask for a
 * restart, which a reload says in its warning. */
struct policy_node {
	const char *name;
	const char *file; /* of portcullis.yaml */

	unsigned int workers;                     /* default 1 */
	int cores[POLICY_MAX_WORKERS];            /* CPU numbers; -1: chosen at start */
	enum policy_idle idle;                    /* default auto: adaptive on kernel interfaces */
	uint32_t max_connections;                 /* per worker; default 65,536 */
	uint32_t memory_mib;                      /* packet memory of the process; default 512 */
	uint32_t buffer_bytes;                    /* one direction of one session; default 262,144 */
	const char *crypto_device;                /* default "ipsec-mb" */
	uint16_t tls_min_version;                 /* 0x0303 or 0x0304; default TLS 1.2 */

	uint32_t connect_timeout_ms;              /* default 10,000 */
	uint32_t handshake_timeout_ms;            /* default 10,000 */
	uint32_t detect_timeout_ms;               /* protocolDetectionTimeout; 0: for ever */
	uint32_t idle_timeout_ms;                 /* session without a byte; default 3,600,000 */
	uint32_t drain_ms;                        /* after SIGTERM; default 5,000 */
	uint32_t keepalive_ms;                    /* idle time before TCP probes; 0: none */

	const struct policy_port *ports;
	unsigned int n_ports;
	const struct policy_route *routes;
	unsigned int n_routes;

	const char *connection_log;               /* "stdout", "stderr" or a file's path */
	const char *admin_socket;                 /* path, or NULL */
};

/* --- verdicts ----------------------------------------------------------------------------- */

/* Which document decided, for the log. Strings live as long as the snapshot. */
struct policy_source {
	const char *kind; /* "PeerAuthentication", "DestinationRule", "default", "auto mTLS" */
	const char *name; /* "namespace/name", or "" */
	const char *file; /* or "" */
	int line;
};

enum policy_mode { POLICY_DISABLE, POLICY_PERMISSIVE, POLICY_STRICT };
enum policy_protocol { POLICY_AUTO, POLICY_TCP, POLICY_HTTP, POLICY_HTTP2, POLICY_TLS };

const char *policy_mode_name(enum policy_mode mode); /* "STRICT" */
const char *policy_protocol_name(enum policy_protocol protocol);

/* A WorkloadEntry behind this gateway. */
struct policy_workload {
	const char *name;            /* "namespace/name" */
	const char *service_account; /* "namespace/account", or "" */
	struct in6_addr address;
	bool preserve_source;        /* upstream connections carry the client's address */
	struct tls_identity *identity; /* its SVID; NULL: none was configured for it */
};

/* A connection to a workload behind us. */
struct policy_inbound {
	const struct policy_workload *workload;
	uint16_t port; /* of the workload; 0: not declared, the one that was connected to */
	enum policy_mode mode;
	enum policy_protocol protocol;
	struct policy_source source; /* of the mode */
};

/* How to reach an endpoint (DestinationRule tls.mode; ISTIO_MUTUAL also by auto mTLS). */
enum policy_tls { POLICY_TLS_DISABLE, POLICY_TLS_SIMPLE, POLICY_TLS_MUTUAL, POLICY_TLS_ISTIO_MUTUAL };
const char *policy_tls_name(enum policy_tls tls);

struct policy_endpoint {
	struct in6_addr address;
	uint16_t port;
	enum policy_tls tls;
	const char *reason; /* "DestinationRule", "label security.istio.io/tlsMode", ... */
	const char *workload; /* "namespace/name", or "" for an inline endpoint */
};

/* NONE: only the CA is checked. EXACT: one of `sans`. HOST: the name sans[0], where Istio would
 * take that of the request's Host header. */
enum policy_san_check { POLICY_SAN_NONE, POLICY_SAN_EXACT, POLICY_SAN_HOST };

/* A connection of a workload behind us to a service. */
struct policy_outbound {
	const char *host;       /* of the ServiceEntry, FQDN */
	uint16_t port;          /* service port */
	enum policy_protocol protocol;
	struct policy_source source; /* of the TLS settings */
	/* For endpoints whose `tls` is not DISABLE: */
	struct tls_identity *identity; /* what is shown and believed */
	const char *sni;        /* "" none */
	const uint8_t *alpn;    /* wire form, RFC 7301 section 3.1; NULL none */
	unsigned int alpn_len;
	enum policy_san_check san_check;
	const char *const *sans;
	unsigned int n_sans;
	/* Of a ServiceEntry with resolution NONE: its own addresses, of which policy_lookup()
	 * says which was connected to. May be none: nothing can be reached. */
	const struct policy_endpoint *endpoints;
	unsigned int n_endpoints;
};

struct policy_snapshot;

uint64_t policy_generation(const struct policy_snapshot *snapshot); /* 1, 2, 3, ... */

/* The workload that owns an address behind us; NULL: none. */
const struct policy_workload *policy_workload(const struct policy_snapshot *snapshot,
					      const struct in6_addr *address);

enum policy_direction { POLICY_ROUTE_ON, POLICY_INBOUND, POLICY_OUTBOUND };

struct policy_verdict {
	enum policy_direction direction; /* ROUTE_ON: not ours to intercept */
	const struct policy_inbound *inbound;
	const struct policy_outbound *outbound;
	const struct policy_workload *client; /* outbound: who calls */
	/* outbound: index of the endpoint that was addressed itself (no virtual address), or
	 * -1: any. */
	int endpoint;
};

/*
 * What is to be done with a new connection from `client` to `server`:`port`:
 *  - `server` is an address of this node and a listener has it: as the listener says;
 *  - `client` is a workload behind us and `server`:`port` a service: OUTBOUND;
 *  - `server` is a workload behind us: INBOUND, whatever the port (undeclared ports get
 *    the workload's mode);
 *  - else ROUTE_ON.
 * A look-up by hash; no allocation, no lock.
 */
void policy_lookup(const struct policy_snapshot *snapshot, const struct in6_addr *client,
		   const struct in6_addr *server, uint16_t port, struct policy_verdict *verdict);

/* meshConfig.trustDomain and its aliases: the trust domains whose clients are believed. */
const char *const *policy_trust_domains(const struct policy_snapshot *snapshot, unsigned int *n);

/* --- life of a configuration --------------------------------------------------------------- */

struct policy; /* the control side: files, watch, the current snapshot */

/* Where messages for people go: "file:line:column: error: ...", one call a line. */
typedef void (*policy_report)(void *ctx, const char *line);

/*
 * Reads portcullis.yaml and everything that it names, validates all of it and publishes
 * the first snapshot. NULL after errors, each of which was reported. `*warnings` counts.
 */
struct policy *policy_open(const char *file, policy_report report, void *ctx,
			   unsigned int *errors, unsigned int *warnings);
void policy_close(struct policy *policy);

const struct policy_node *policy_node(const struct policy *policy);

/* Workers announce themselves before they look anything up, from any thread, with numbers
 * below POLICY_MAX_WORKERS. */
void policy_worker_online(struct policy *policy, unsigned int worker);
void policy_worker_offline(struct policy *policy, unsigned int worker);
/* Called by a worker once a turn: it holds no snapshot pointer that policy_current() gave
 * it (apart from those held). One store. */
void policy_quiescent(struct policy *policy, unsigned int worker);

/* The snapshot in force: one load. */
const struct policy_snapshot *policy_current(const struct policy *policy);
/* Keeps a snapshot beyond the quiescent state. Plain counters of this worker. */
void policy_hold(const struct policy_snapshot *snapshot, unsigned int worker);
void policy_drop(const struct policy_snapshot *snapshot, unsigned int worker);

/*
 * The control thread's step, to be called every 100 ms or so: sees whether a watched file
 * has changed (or `force`, as after SIGHUP), reloads, publishes, frees snapshots that
 * nobody reads any more. A reload that fails is reported and changes nothing. Returns 1
 * when a new snapshot was published, 0 when nothing changed, -1 when a reload was refused.
 */
int policy_poll(struct policy *policy, bool force);

/* Reloads that were published and refused since the start, and snapshots not yet freed. For
 * any thread: who asks for the generation only needs no snapshot, which may be freed. */
struct policy_stats {
	uint64_t reloads, refused, generation;
	unsigned int snapshots;
};
void policy_stats(const struct policy *policy, struct policy_stats *stats);

/* --- admin --------------------------------------------------------------------------------- */

/*
 * HTTP on a Unix socket, on the kernel's side of the house: who may open the socket may
 * ask. `get` is called on the server's own thread for every GET; it returns a body (from
 * malloc(), freed by the server) with *status and *content_type set, or NULL for 404.
 */
typedef char *(*policy_admin_get)(void *ctx, const char *path, unsigned int *status,
				  const char **content_type);
struct policy_admin;
/* An existing socket at `path` that nobody listens on is replaced. NULL with a sentence in
 * `error`. */
struct policy_admin *policy_admin_start(const char *path, policy_admin_get get, void *ctx,
					char *error, size_t error_len);
/* Removes the socket. NULL is ignored. */
void policy_admin_stop(struct policy_admin *admin);

#endif
