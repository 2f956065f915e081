/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTROL_RESOURCES_H
#define CONTROL_RESOURCES_H

/*
 * Istio's resources as they are written: PeerAuthentication, DestinationRule, ServiceEntry
 * and WorkloadEntry, bound and checked, each by itself. What they mean together is the
 * business of control/resolve.h.
 *
 * Everything belongs to the arena that it was read into, and every struct keeps the node
 * that it came from, for the place of diagnostics.
 *
 * A kind that is known to Istio and not acted on here is a warning that names it, with the
 * exception of those that only ever refuse traffic (AuthorizationPolicy,
 * RequestAuthentication): to leave these out would let in what they keep out, so they are
 * errors.
 */

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

#include "control/arena.h"
#include "control/diagnostics.h"
#include "control/policy.h"
#include "control/schema.h"
#include "control/yaml.h"

struct labels {
	const struct schema_pair *pairs;
	unsigned int n;
};

/* The metadata of every kind. */
struct resource {
	const struct yaml_node *node; /* the whole document */
	const char *kind;
	const char *namespace; /* "default" when left out */
	const char *name;
	const char *id; /* "namespace/name" */
	/* creationTimestamp, seconds since the epoch; INT64_MIN when it is left out, which
	 * makes it the oldest, as in Istio. */
	int64_t created;
	struct labels labels;
};

/* --- PeerAuthentication --------------------------------------------------------------------- */

enum peer_mode { PEER_UNSET, PEER_DISABLE, PEER_PERMISSIVE, PEER_STRICT };

struct peer_mtls {
	const struct yaml_node *node; /* NULL: left out */
	enum peer_mode mode;
};

struct peer_port {
	uint32_t port; /* of the workload */
	struct peer_mtls mtls;
};

struct selector {
	const struct yaml_node *node;
	struct labels labels;
};

struct peer_authentication {
	struct resource meta;
	const struct selector *selector; /* NULL: none */
	struct peer_mtls mtls;
	const struct peer_port *ports;
	unsigned int n_ports;
};

/* --- DestinationRule -------------------------------------------------------------------------- */

/* Istio's ClientTLSSettings.TLSmode; the order of enum policy_tls. */
enum client_tls_mode {
	CLIENT_TLS_DISABLE,
	CLIENT_TLS_SIMPLE,
	CLIENT_TLS_MUTUAL,
	CLIENT_TLS_ISTIO_MUTUAL,
};

struct client_tls {
	const struct yaml_node *node;
	enum client_tls_mode mode;
	const char *client_certificate, *private_key, *ca_certificates, *ca_crl;
	const char *credential_name;
	const char **subject_alt_names;
	unsigned int n_subject_alt_names;
	const char *sni;
	bool insecure_skip_verify;
};

enum load_balancer { LOAD_BALANCER_UNSPECIFIED, LOAD_BALANCER_PASSTHROUGH };

struct load_balancing {
	const struct yaml_node *node;
	const char *simple; /* NULL: none */
};

struct port_number {
	const struct yaml_node *node;
	uint32_t number;
	bool present;
};

struct port_policy {
	const struct yaml_node *node;
	struct port_number port; /* of the service */
	const struct client_tls *tls;
	const struct load_balancing *load_balancer;
};

struct traffic_policy {
	const struct yaml_node *node;
	const struct client_tls *tls; /* NULL: left out */
	const struct load_balancing *load_balancer;
	const struct port_policy *ports;
	unsigned int n_ports;
};

struct subset {
	const struct yaml_node *node;
	const char *name;
	struct labels labels;
	const struct traffic_policy *policy;
};

struct destination_rule {
	struct resource meta;
	const char *host; /* as written */
	const char *fqdn; /* a short name completed in the rule's namespace */
	const struct traffic_policy *policy;
	const struct subset *subsets;
	unsigned int n_subsets;
	const char **export_to;
	unsigned int n_export_to;
	const struct selector *selector;
};

/* --- ServiceEntry and WorkloadEntry ------------------------------------------------------------
 */

struct named_port {
	const char *name;
	uint32_t port;
};

/* The spec of a WorkloadEntry, and an inline endpoint of a ServiceEntry. */
struct workload_spec {
	const struct yaml_node *node;
	const char *address; /* NULL or "": left out */
	const struct named_port *ports;
	unsigned int n_ports;
	struct labels labels;
	const char *service_account; /* NULL: left out */
};

struct workload_entry {
	struct resource meta;
	struct workload_spec spec;
	/* Those of the spec and of the metadata, the latter going first (Istio's MergeCopy). */
	struct labels labels;
};

struct service_port {
	const struct yaml_node *node;
	const char *name;
	const char *protocol; /* NULL: left out */
	uint32_t number;
	uint32_t target_port; /* 0: left out */
};

enum service_location { SERVICE_MESH_EXTERNAL, SERVICE_MESH_INTERNAL };
enum service_resolution {
	SERVICE_NONE,
	SERVICE_STATIC,
	SERVICE_DNS,
	SERVICE_DNS_ROUND_ROBIN,
	SERVICE_DYNAMIC_DNS,
};

struct service_entry {
	struct resource meta;
	const char **hosts;
	unsigned int n_hosts;
	const char **addresses;
	unsigned int n_addresses;
	const struct service_port *ports;
	unsigned int n_ports;
	enum service_location location;
	enum service_resolution resolution;
	const struct workload_spec *endpoints;
	unsigned int n_endpoints;
	const struct selector *selector;
	const char **subject_alt_names;
	unsigned int n_subject_alt_names;
	const char **export_to;
	unsigned int n_export_to;
};

/* --- all of them
 * ---------------------------------------------------------------------------------- */

/* Each sorted by age, then name, then namespace: the order in which Istio looks at them. */
struct resources {
	struct peer_authentication **peers;
	unsigned int n_peers;
	struct destination_rule **rules;
	unsigned int n_rules;
	struct service_entry **services;
	unsigned int n_services;
	struct workload_entry **workloads;
	unsigned int n_workloads;
};

/* Reads files in the order given, then sorts. Errors and warnings go to `diagnostics`; what
 * is broken is left out, so that the rest can still be judged in the same run. */
struct resources *resources_read(struct arena *arena, struct diagnostics *diagnostics,
				 const char *const *files, unsigned int n_files,
				 const char *root_namespace);

/* The same from one text in memory. */
struct resources *resources_parse(struct arena *arena, struct diagnostics *diagnostics,
				  const char *file, const void *text, size_t len,
				  const char *root_namespace);

/* The same from documents that are read already. */
struct resources *resources_bind(struct arena *arena, struct diagnostics *diagnostics,
				 struct yaml_node *const *documents, unsigned int n,
				 const char *root_namespace);

/* True when every pair of `selector` is in `labels`. */
bool labels_match(const struct labels *selector, const struct labels *labels);
/* The value; NULL: no such label. */
const char *labels_get(const struct labels *labels, const char *key);

/* Where a field of a node is, else the node itself; {0} for no node. */
struct diagnostics_place resource_place(const struct yaml_node *node, const char *field);

/* RFC 3339, whole seconds. False: not a time. */
bool resource_time(const char *text, int64_t *seconds);

/* The protocol that a port declares, as Istio reads it: `protocol` (also appProtocol's names)
 * where it is given, else what the name begins with ("http-web"), else POLICY_AUTO. False: an
 * unknown `protocol`. `*udp` says that the port is not of TCP. */
bool service_port_protocol(const struct service_port *port, enum policy_protocol *protocol,
			   bool *udp);

/* --- between resources.c and resources_check.c -------------------------------------------------
 */

void peer_authentication_check(const struct peer_authentication *peer, const char *root_namespace,
			       struct diagnostics *diagnostics);
void destination_rule_check(const struct destination_rule *rule, struct diagnostics *diagnostics);
void service_entry_check(const struct service_entry *service, struct diagnostics *diagnostics);
void workload_entry_check(const struct workload_entry *workload, struct diagnostics *diagnostics);

extern const struct schema peer_authentication_schema, destination_rule_schema,
	service_entry_schema, workload_entry_schema;

#endif
