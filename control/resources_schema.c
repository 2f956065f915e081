/* SPDX-License-Identifier: Apache-2.0 */
#include "control/resources.h"

/* What may be written in the spec of each kind. Fields that Istio has and that have no
 * effect here are SCHEMA_IGNORED: each gives a warning that names it. */

#define END                                                                                        \
	{                                                                                          \
		.name = NULL                                                                       \
	}
#define IGNORED(field)                                                                             \
	{                                                                                          \
		.name = field, .type = SCHEMA_IGNORED                                              \
	}

static const struct schema_field match_labels[] = {
	{.name = "matchLabels",
	 SCHEMA_STRING_MAP(struct selector, labels.pairs, labels.n),
	 .doc = "Labels that a workload must have, all of them."},
	END,
};
static const struct schema match_labels_schema = {
	.name = "selector",
	.fields = match_labels,
	SCHEMA_STRUCT(struct selector),
	SCHEMA_NODE_AT(struct selector, node),
};

/* A ServiceEntry says `labels` where the others say `matchLabels`. */
static const struct schema_field plain_labels[] = {
	{.name = "labels",
	 SCHEMA_STRING_MAP(struct selector, labels.pairs, labels.n),
	 .doc = "Labels that a WorkloadEntry must have, all of them."},
	END,
};
static const struct schema plain_labels_schema = {
	.name = "workloadSelector",
	.fields = plain_labels,
	SCHEMA_STRUCT(struct selector),
	SCHEMA_NODE_AT(struct selector, node),
};

/* --- PeerAuthentication ------------------------------------------------------------------ */

static const struct schema_value peer_modes[] = {
	{"UNSET", PEER_UNSET, "As the namespace or the mesh says, else PERMISSIVE."},
	{"DISABLE", PEER_DISABLE, "Bytes are passed on as they are."},
	{"PERMISSIVE", PEER_PERMISSIVE, "Mutual TLS and plaintext are both taken."},
	{"STRICT", PEER_STRICT, "Mutual TLS only."},
	{.name = NULL},
};

static const struct schema_field mtls_fields[] = {
	{.name = "mode",
	 .type = SCHEMA_ENUM,
	 SCHEMA_AT(struct peer_mtls, mode),
	 .values = peer_modes,
	 .fallback = "UNSET",
	 .doc = "What is asked of clients."},
	END,
};
static const struct schema mtls_schema = {
	.name = "mtls",
	.fields = mtls_fields,
	SCHEMA_STRUCT(struct peer_mtls),
	SCHEMA_NODE_AT(struct peer_mtls, node),
};

static const struct schema_field port_key = {
	.type = SCHEMA_INT,
	SCHEMA_AT(struct peer_port, port),
	.min = 1,
	.max = 65535,
};
static const struct schema_field port_value = {
	.type = SCHEMA_OBJECT,
	SCHEMA_AT(struct peer_port, mtls),
	.object = &mtls_schema,
};

static const struct schema_field peer_fields[] = {
	{.name = "selector",
	 .type = SCHEMA_POINTER,
	 SCHEMA_AT(struct peer_authentication, selector),
	 .object = &match_labels_schema,
	 .doc = "The workloads that it is for; left out: all of the namespace, or of the mesh in "
		"the root namespace."},
	{.name = "mtls",
	 .type = SCHEMA_OBJECT,
	 SCHEMA_AT(struct peer_authentication, mtls),
	 .object = &mtls_schema,
	 .doc = "For every port that has no setting of its own."},
	{.name = "portLevelMtls",
	 .type = SCHEMA_MAP,
	 SCHEMA_ARRAY_AT(struct peer_authentication, ports, n_ports),
	 .key = &port_key,
	 .item = &port_value,
	 .min = 1,
	 .doc = "By port of the workload (not of the service)."},
	END,
};
const struct schema peer_authentication_schema = {
	.name = "PeerAuthentication",
	.fields = peer_fields,
	SCHEMA_STRUCT(struct peer_authentication),
	.doc = "What a workload behind the gateway asks of its clients.",
};

/* --- DestinationRule --------------------------------------------------------------------- */

static const struct schema_value tls_modes[] = {
	{"DISABLE", CLIENT_TLS_DISABLE, "Plaintext."},
	{"SIMPLE", CLIENT_TLS_SIMPLE, "TLS without a client certificate."},
	{"MUTUAL", CLIENT_TLS_MUTUAL, "TLS with the client certificate that is named."},
	{"ISTIO_MUTUAL", CLIENT_TLS_ISTIO_MUTUAL, "TLS with the workload's own identity."},
	{.name = NULL},
};

static const struct schema_field tls_fields[] = {
	{.name = "mode",
	 .type = SCHEMA_ENUM,
	 SCHEMA_AT(struct client_tls, mode),
	 .values = tls_modes,
	 .fallback = "DISABLE",
	 .doc = "How connections to the host are made."},
	{.name = "clientCertificate",
	 .type = SCHEMA_STRING,
	 SCHEMA_AT(struct client_tls, client_certificate),
	 .doc = "PEM file, for MUTUAL."},
	{.name = "privateKey",
	 .type = SCHEMA_STRING,
	 SCHEMA_AT(struct client_tls, private_key),
	 .doc = "PEM file, for MUTUAL."},
	{.name = "caCertificates",
	 .type = SCHEMA_STRING,
	 SCHEMA_AT(struct client_tls, ca_certificates),
	 .doc = "PEM file of the roots; left out: those of the operating system."},
	{.name = "caCrl",
	 .type = SCHEMA_STRING,
	 SCHEMA_AT(struct client_tls, ca_crl),
	 .doc = "Not supported: an error."},
	{.name = "credentialName",
	 .type = SCHEMA_STRING,
	 SCHEMA_AT(struct client_tls, credential_name),
	 .doc = "Not supported: an error."},
	{.name = "subjectAltNames",
	 SCHEMA_STRING_LIST(struct client_tls, subject_alt_names, n_subject_alt_names),
	 .doc = "One of these must be in the server's certificate."},
	{.name = "sni",
	 .type = SCHEMA_STRING,
	 SCHEMA_AT(struct client_tls, sni),
	 .doc = "Server name that is sent."},
	{.name = "insecureSkipVerify",
	 .type = SCHEMA_BOOL,
	 SCHEMA_AT(struct client_tls, insecure_skip_verify),
	 .doc = "Believes any certificate, whatever its CA and its names."},
	END,
};
static const struct schema tls_schema = {
	.name = "tls",
	.fields = tls_fields,
	SCHEMA_STRUCT(struct client_tls),
	SCHEMA_NODE_AT(struct client_tls, node),
};

/* Of the balancer only PASSTHROUGH matters, to the gate of auto mTLS. */
static const struct schema_field balancer_fields[] = {
	{.name = "simple", .type = SCHEMA_STRING, SCHEMA_AT(struct load_balancing, simple)},
	IGNORED("consistentHash"),
	IGNORED("localityLbSetting"),
	IGNORED("warmup"),
	IGNORED("warmupDurationSecs"),
	END,
};
static const struct schema balancer_schema = {
	.name = "loadBalancer",
	.fields = balancer_fields,
	SCHEMA_STRUCT(struct load_balancing),
	SCHEMA_NODE_AT(struct load_balancing, node),
};

static const struct schema_field port_number_fields[] = {
	{.name = "number",
	 .type = SCHEMA_INT,
	 SCHEMA_AT(struct port_number, number),
	 SCHEMA_PRESENT_AT(struct port_number, present),
	 .min = 1,
	 .max = UINT32_MAX, /* Istio takes what is above 65,535 */
	 .doc = "Port of the service."},
	END,
};
static const struct schema port_number_schema = {
	.name = "port",
	.fields = port_number_fields,
	SCHEMA_STRUCT(struct port_number),
	SCHEMA_NODE_AT(struct port_number, node),
};

static const struct schema_field port_policy_fields[] = {
	{.name = "port",
	 .type = SCHEMA_OBJECT,
	 SCHEMA_AT(struct port_policy, port),
	 .object = &port_number_schema,
	 .required = true,
	 .doc = "The port that this is for."},
	{.name = "tls",
	 .type = SCHEMA_POINTER,
	 SCHEMA_AT(struct port_policy, tls),
	 .object = &tls_schema,
	 .doc = "TLS for this port. Left out, it is unset, and not that of the policy above."},
	{.name = "loadBalancer",
	 .type = SCHEMA_POINTER,
	 SCHEMA_AT(struct port_policy, load_balancer),
	 .object = &balancer_schema},
	IGNORED("connectionPool"),
	IGNORED("outlierDetection"),
	END,
};
static const struct schema port_policy_schema = {
	.name = "portLevelSettings",
	.fields = port_policy_fields,
	SCHEMA_STRUCT(struct port_policy),
	SCHEMA_NODE_AT(struct port_policy, node),
};
static const struct schema_field port_policy_item = {
	.type = SCHEMA_OBJECT,
	.size = sizeof(struct port_policy),
	.object = &port_policy_schema,
};

static const struct schema_field policy_fields[] = {
	{.name = "tls",
	 .type = SCHEMA_POINTER,
	 SCHEMA_AT(struct traffic_policy, tls),
	 .object = &tls_schema,
	 .doc = "TLS of connections to the host."},
	{.name = "portLevelSettings",
	 .type = SCHEMA_LIST,
	 SCHEMA_ARRAY_AT(struct traffic_policy, ports, n_ports),
	 .item = &port_policy_item,
	 .doc = "By port of the service; replaces the policy above as a whole."},
	{.name = "loadBalancer",
	 .type = SCHEMA_POINTER,
	 SCHEMA_AT(struct traffic_policy, load_balancer),
	 .object = &balancer_schema},
	IGNORED("connectionPool"),
	IGNORED("outlierDetection"),
	IGNORED("tunnel"),
	IGNORED("proxyProtocol"),
	IGNORED("retryBudget"),
	END,
};
static const struct schema policy_schema = {
	.name = "trafficPolicy",
	.fields = policy_fields,
	SCHEMA_STRUCT(struct traffic_policy),
	SCHEMA_NODE_AT(struct traffic_policy, node),
};

static const struct schema_field subset_fields[] = {
	{.name = "name",
	 .type = SCHEMA_STRING,
	 SCHEMA_AT(struct subset, name),
	 .required = true,
	 .min = 1,
	 .max = 253,
	 .doc = "What routes call it."},
	{.name = "labels",
	 SCHEMA_STRING_MAP(struct subset, labels.pairs, labels.n),
	 .doc = "Labels of the endpoints that belong to it."},
	{.name = "trafficPolicy",
	 .type = SCHEMA_POINTER,
	 SCHEMA_AT(struct subset, policy),
	 .object = &policy_schema,
	 .doc = "Goes before that of the rule, field by field."},
	END,
};
static const struct schema subset_schema = {
	.name = "subset",
	.fields = subset_fields,
	SCHEMA_STRUCT(struct subset),
	SCHEMA_NODE_AT(struct subset, node),
};
static const struct schema_field subset_item = {
	.type = SCHEMA_OBJECT,
	.size = sizeof(struct subset),
	.object = &subset_schema,
};

static const struct schema_field rule_fields[] = {
	{.name = "host",
	 .type = SCHEMA_STRING,
	 SCHEMA_AT(struct destination_rule, host),
	 .required = true,
	 .min = 1,
	 .max = 253,
	 .doc = "The service: a full name, a short one of the rule's namespace, or a wildcard."},
	{.name = "trafficPolicy",
	 .type = SCHEMA_POINTER,
	 SCHEMA_AT(struct destination_rule, policy),
	 .object = &policy_schema},
	{.name = "subsets",
	 .type = SCHEMA_LIST,
	 SCHEMA_ARRAY_AT(struct destination_rule, subsets, n_subsets),
	 .item = &subset_item},
	{.name = "exportTo",
	 SCHEMA_STRING_LIST(struct destination_rule, export_to, n_export_to),
	 .doc = "Namespaces whose clients it is for; `*` all, `.` its own."},
	{.name = "workloadSelector",
	 .type = SCHEMA_POINTER,
	 SCHEMA_AT(struct destination_rule, selector),
	 .object = &match_labels_schema,
	 .doc = "The clients of its own namespace that it is for."},
	END,
};
const struct schema destination_rule_schema = {
	.name = "DestinationRule",
	.fields = rule_fields,
	SCHEMA_STRUCT(struct destination_rule),
	.doc = "How workloads behind the gateway connect to a service.",
};

/* --- WorkloadEntry and ServiceEntry -------------------------------------------------------- */

static const struct schema_field named_port_key = {
	.type = SCHEMA_STRING,
	SCHEMA_AT(struct named_port, name),
};
static const struct schema_field named_port_value = {
	.type = SCHEMA_INT,
	SCHEMA_AT(struct named_port, port),
	.min = 1,
	.max = 65535,
};

static const struct schema_field workload_fields[] = {
	{.name = "address",
	 .type = SCHEMA_STRING,
	 SCHEMA_AT(struct workload_spec, address),
	 .doc = "IPv4 or IPv6 address."},
	{.name = "ports",
	 .type = SCHEMA_MAP,
	 SCHEMA_ARRAY_AT(struct workload_spec, ports, n_ports),
	 .key = &named_port_key,
	 .item = &named_port_value,
	 .doc = "The workload's own ports, by the name of the service's port."},
	{.name = "labels", SCHEMA_STRING_MAP(struct workload_spec, labels.pairs, labels.n)},
	{.name = "serviceAccount",
	 .type = SCHEMA_STRING,
	 SCHEMA_AT(struct workload_spec, service_account),
	 .doc = "Its identity is spiffe://TRUST-DOMAIN/ns/NAMESPACE/sa/this."},
	IGNORED("network"),
	IGNORED("locality"),
	IGNORED("weight"),
	END,
};
const struct schema workload_entry_schema = {
	.name = "WorkloadEntry",
	.fields = workload_fields,
	SCHEMA_STRUCT(struct workload_spec),
	SCHEMA_NODE_AT(struct workload_spec, node),
	.doc = "A workload: behind the gateway where portcullis.yaml says so, else a peer.",
};
static const struct schema_field endpoint_item = {
	.type = SCHEMA_OBJECT,
	.size = sizeof(struct workload_spec),
	.object = &workload_entry_schema,
};

static const struct schema_field service_port_fields[] = {
	{.name = "number",
	 .type = SCHEMA_INT,
	 SCHEMA_AT(struct service_port, number),
	 .required = true,
	 .min = 1,
	 .max = 65535},
	{.name = "name",
	 .type = SCHEMA_STRING,
	 SCHEMA_AT(struct service_port, name),
	 .required = true,
	 .min = 1,
	 .max = 63},
	{.name = "protocol",
	 .type = SCHEMA_STRING,
	 SCHEMA_AT(struct service_port, protocol),
	 .doc = "HTTP, HTTP2, GRPC, GRPC-WEB, HTTPS, TLS, TCP, MONGO, REDIS, MYSQL; left out: as "
		"the name of the port begins, else found out from the first bytes."},
	{.name = "targetPort",
	 .type = SCHEMA_INT,
	 SCHEMA_AT(struct service_port, target_port),
	 .min = 1,
	 .max = 65535,
	 .doc = "Port of the workloads; left out: `number`."},
	END,
};
static const struct schema service_port_schema = {
	.name = "port",
	.fields = service_port_fields,
	SCHEMA_STRUCT(struct service_port),
	SCHEMA_NODE_AT(struct service_port, node),
};
static const struct schema_field service_port_item = {
	.type = SCHEMA_OBJECT,
	.size = sizeof(struct service_port),
	.object = &service_port_schema,
};

static const struct schema_value locations[] = {
	{"MESH_EXTERNAL", SERVICE_MESH_EXTERNAL, "Outside of the mesh: no auto mTLS."},
	{"MESH_INTERNAL", SERVICE_MESH_INTERNAL, "Part of the mesh."},
	{.name = NULL},
};
static const struct schema_value resolutions[] = {
	{"NONE", SERVICE_NONE, "Connections go to the address that the client chose."},
	{"STATIC", SERVICE_STATIC, "Connections go to one of the endpoints."},
	{"DNS", SERVICE_DNS, "Not resolved yet: endpoints that are names are left out."},
	{"DNS_ROUND_ROBIN", SERVICE_DNS_ROUND_ROBIN, "Likewise."},
	{"DYNAMIC_DNS", SERVICE_DYNAMIC_DNS, "Likewise."},
	{.name = NULL},
};

static const struct schema_field service_fields[] = {
	{.name = "hosts",
	 SCHEMA_STRING_LIST(struct service_entry, hosts, n_hosts),
	 .required = true,
	 .min = 1},
	{.name = "addresses",
	 SCHEMA_STRING_LIST(struct service_entry, addresses, n_addresses),
	 .doc = "Virtual addresses, or prefixes of them."},
	{.name = "ports",
	 .type = SCHEMA_LIST,
	 SCHEMA_ARRAY_AT(struct service_entry, ports, n_ports),
	 .item = &service_port_item},
	{.name = "location",
	 .type = SCHEMA_ENUM,
	 SCHEMA_AT(struct service_entry, location),
	 .values = locations,
	 .fallback = "MESH_EXTERNAL"},
	{.name = "resolution",
	 .type = SCHEMA_ENUM,
	 SCHEMA_AT(struct service_entry, resolution),
	 .values = resolutions,
	 .fallback = "NONE"},
	{.name = "endpoints",
	 .type = SCHEMA_LIST,
	 SCHEMA_ARRAY_AT(struct service_entry, endpoints, n_endpoints),
	 .item = &endpoint_item},
	{.name = "workloadSelector",
	 .type = SCHEMA_POINTER,
	 SCHEMA_AT(struct service_entry, selector),
	 .object = &plain_labels_schema,
	 .doc = "Takes WorkloadEntries of its own namespace as endpoints."},
	{.name = "subjectAltNames",
	 SCHEMA_STRING_LIST(struct service_entry, subject_alt_names, n_subject_alt_names),
	 .doc = "Identities of the service, besides those of its endpoints."},
	{.name = "exportTo", SCHEMA_STRING_LIST(struct service_entry, export_to, n_export_to)},
	END,
};
const struct schema service_entry_schema = {
	.name = "ServiceEntry",
	.fields = service_fields,
	SCHEMA_STRUCT(struct service_entry),
	.doc = "A service that workloads behind the gateway call, or that they are part of.",
};
