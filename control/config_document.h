/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTROL_CONFIG_DOCUMENT_H
#define CONTROL_CONFIG_DOCUMENT_H

/*
 * portcullis.yaml as it is written: what config_schema binds, before names and paths are
 * resolved. Between config_schema.c, config.c and config_check.c only.
 */

#include "control/config.h"

struct document_port {
	const struct yaml_node *node;
	const char *name, *device;
	uint16_t mtu, vlan;
	const struct policy_prefix *addresses;
	unsigned int n_addresses;
};

struct document_route {
	const struct yaml_node *node;
	struct policy_prefix to;
	struct in6_addr via;
	const char *port;
};

struct document_node {
	const char *name;
	const char *trust_domain;
	const char **trust_domain_aliases;
	unsigned int n_trust_domain_aliases;
	const char *root_namespace;
	bool enable_auto_mtls;
};

struct document_workers {
	uint32_t count;
	bool has_count;
	const int32_t *cores;
	unsigned int n_cores;
	uint32_t idle; /* enum policy_idle */
	uint32_t max_connections, memory_mib, buffer_bytes;
};

struct document_timeouts { /* milliseconds */
	uint32_t connect, handshake, detect, idle, drain, keepalive;
};

struct document_crypto {
	const char *device;
};

struct document_tls {
	uint16_t min_version;
};

struct document_log {
	const char *connections;
};

struct document_admin {
	const char *socket;
};

struct document {
	const struct yaml_node *yaml;
	struct document_node node;
	struct document_workers workers;
	struct document_crypto crypto;
	struct document_tls tls;
	struct document_port *ports;
	unsigned int n_ports;
	struct document_route *routes;
	unsigned int n_routes;
	struct config_identity *identities;
	unsigned int n_identities;
	const char *mesh;
	struct config_workload *workloads;
	unsigned int n_workloads;
	struct config_listener *listeners;
	unsigned int n_listeners;
	struct document_timeouts timeouts;
	struct document_log log;
	struct document_admin admin;
};

/* What no table can say: names that must be unique or must exist, addresses that must fit.
 * Fields whose own value was wrong are NULL or zero here and are passed over. */
void config_check(const struct document *document, struct diagnostics *diagnostics);

#endif
