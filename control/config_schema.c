/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every field of portcullis.yaml. docs/configuration.md is made from these tables.
 */
#include <string.h>

#include "control/address.h"
#include "control/config_document.h"

#define HOURS (INT64_C(3600) * 1000)
#define MINUTES (INT64_C(60) * 1000)

/* --- values with a form of their own ------------------------------------------------------- */

static bool
all_of(const char *text, size_t len, const char *characters)
{
	return strspn(text, characters) >= len;
}

#define LOWER "abcdefghijklmnopqrstuvwxyz"
#define DIGITS "0123456789"

/* SPIFFE-ID.md section 2.1. */
static const char *
parse_trust_domain(struct arena *arena, const char *text, void *out)
{
	size_t len = strlen(text);

	if (len == 0 || len > 255 || !all_of(text, len, LOWER DIGITS ".-_"))
		return "a SPIFFE trust domain (lower-case letters, digits, '.', '-' and '_') such as "
		       "cluster.local";
	*(const char **)out = text;
	return NULL;
}

/* A DNS label, RFC 1123 section 2.1, in lower case. */
static bool
is_label(const char *text, size_t len)
{
	return len > 0 && len <= 63 && all_of(text, len, LOWER DIGITS "-") && text[0] != '-' &&
	       text[len - 1] != '-';
}

static const char *
parse_namespace(struct arena *arena, const char *text, void *out)
{
	if (!is_label(text, strlen(text)))
		return "a namespace (lower-case letters, digits and '-') such as istio-system";
	*(const char **)out = text;
	return NULL;
}

/* Labels with dots between. */
static bool
is_name(const char *text)
{
	if (strlen(text) > 253)
		return false;
	for (;;) {
		size_t len = strcspn(text, ".");

		if (!is_label(text, len))
			return false;
		if (text[len] == '\0')
			return true;
		text += len + 1;
	}
}

static const char *
parse_workload(struct arena *arena, const char *text, void *out)
{
	const char *slash = strchr(text, '/');

	if (slash == NULL || !is_label(text, (size_t)(slash - text)) || !is_name(slash + 1))
		return "namespace/name of a WorkloadEntry, such as shop/web";
	*(const char **)out = text;
	return NULL;
}

/* Devargs are split at spaces and commas by DPDK's own command line. */
static const char *
parse_device(struct arena *arena, const char *text, void *out)
{
	if (text[0] == '\0' || text[0] == ',' || text[0] == '-' || strpbrk(text, " \t\r\n") != NULL)
		return "DPDK devargs without blanks, such as net_af_packet0,iface=eth1, or a PCI "
		       "address";
	*(const char **)out = text;
	return NULL;
}

static const char *
parse_crypto(struct arena *arena, const char *text, void *out)
{
	if (strcmp(text, "ipsec-mb") != 0 && strcmp(text, "openssl") != 0)
		return "ipsec-mb or openssl";
	*(const char **)out = text;
	return NULL;
}

/* --- the tables ----------------------------------------------------------------------------- */

static const struct schema_field trust_domain_item = {.type = SCHEMA_CUSTOM,
						      .parse = parse_trust_domain,
						      .kind = "trust domain"};
static const struct schema_field core_item = {.type = SCHEMA_INT,
					      .size = sizeof(int32_t),
					      .max = 4095};
static const struct schema_field prefix_item = {.type = SCHEMA_CUSTOM,
						.parse = address_schema_prefix,
						.kind = "address with prefix length"};

#define NODE(member) SCHEMA_AT(struct document_node, member)
static const struct schema_field node_fields[] = {
	{.name = "name", .type = SCHEMA_STRING, NODE(name), .required = true, .min = 1,
	 .max = 253, .example = "gateway-1", .doc = "What this gateway is called in logs."},
	{.name = "trustDomain", .type = SCHEMA_CUSTOM, NODE(trust_domain), .kind = "trust domain",
	 .parse = parse_trust_domain, .fallback = "cluster.local", .example = "example.org",
	 .doc = "The mesh's trust domain, the first part of its SPIFFE IDs. Istio's "
		"`meshConfig.trustDomain`."},
	{.name = "trustDomainAliases", .type = SCHEMA_LIST, .item = &trust_domain_item, .max = 64,
	 SCHEMA_ARRAY_AT(struct document_node, trust_domain_aliases, n_trust_domain_aliases),
	 .example = "[old.example.org]",
	 .doc = "Other trust domains whose identities are believed as our own. Istio's "
		"`meshConfig.trustDomainAliases`."},
	{.name = "rootNamespace", .type = SCHEMA_CUSTOM, NODE(root_namespace), .kind = "namespace",
	 .parse = parse_namespace, .fallback = "istio-system", .example = "istio-config",
	 .doc = "The namespace whose policies hold for the whole mesh. Istio's "
		"`meshConfig.rootNamespace`."},
	{.name = "enableAutoMtls", .type = SCHEMA_BOOL, NODE(enable_auto_mtls),
	 .fallback = "true", .example = "false",
	 .doc = "Whether mutual TLS is used, without a DestinationRule, to endpoints that can take "
		"it. Istio's `meshConfig.enableAutoMtls`."},
	{.name = NULL},
};
static const struct schema node_schema = {
	.name = "node", .fields = node_fields, SCHEMA_STRUCT(struct document_node),
	.doc = "Who this gateway is, and in which mesh."};

static const struct schema_value idle_values[] = {
	{"auto", POLICY_IDLE_AUTO, "`adaptive` where a port is a kernel interface, else `poll`"},
	{"poll", POLICY_IDLE_POLL, "never sleeps"},
	{"adaptive", POLICY_IDLE_ADAPTIVE, "sleeps for microseconds when there is no traffic"},
	{.name = NULL},
};
#define WORKERS(member) SCHEMA_AT(struct document_workers, member)
static const struct schema_field workers_fields[] = {
	{.name = "count", .type = SCHEMA_INT, WORKERS(count), .min = 1, .max = POLICY_MAX_WORKERS,
	 .fallback = "1", SCHEMA_PRESENT_AT(struct document_workers, has_count), .unit = "threads",
	 .example = "2",
	 .doc = "Poll-mode workers, each on a core of its own. Left out with `cores` given: as many "
		"as there are cores."},
	{.name = "cores", .type = SCHEMA_LIST, .item = &core_item, .min = 1,
	 .max = POLICY_MAX_WORKERS, SCHEMA_ARRAY_AT(struct document_workers, cores, n_cores),
	 .unit = "CPU numbers", .example = "[2, 3]",
	 .doc = "The CPU of each worker; as many as `count`, no CPU twice. Left out: chosen at "
		"start from those that the process may use."},
	{.name = "idle", .type = SCHEMA_ENUM, WORKERS(idle), .values = idle_values,
	 .fallback = "auto", .example = "adaptive",
	 .doc = "What a worker does when it has no traffic."},
	{.name = "maxConnections", .type = SCHEMA_INT, WORKERS(max_connections), .min = 16,
	 .max = 4194304, .fallback = "65536", .unit = "TCP connections", .example = "4096",
	 .doc = "Of one worker, both legs of a session counted. More are refused."},
	{.name = "memory", .type = SCHEMA_INT, WORKERS(memory_mib), .min = 16, .max = 1048576,
	 .fallback = "512", .unit = "MiB", .example = "256",
	 .doc = "Packet memory of the process."},
	{.name = "buffer", .type = SCHEMA_INT, WORKERS(buffer_bytes), .min = 32768,
	 .max = 16777216, .fallback = "262144", .unit = "bytes", .example = "1048576",
	 .doc = "What one direction of one session may hold, across both of its legs: a slow "
		"receiver stops its sender there."},
	{.name = NULL},
};
static const struct schema workers_schema = {
	.name = "workers", .fields = workers_fields, SCHEMA_STRUCT(struct document_workers),
	.doc = "The threads that move traffic, and their limits."};

static const struct schema_field crypto_fields[] = {
	{.name = "device", .type = SCHEMA_CUSTOM, SCHEMA_AT(struct document_crypto, device),
	 .kind = "`ipsec-mb`, `openssl`", .parse = parse_crypto, .fallback = "ipsec-mb",
	 .example = "openssl",
	 .doc = "What seals and opens records: the library IPsec-MB, on CPUs that it serves, or "
		"OpenSSL."},
	{.name = NULL},
};
static const struct schema crypto_schema = {
	.name = "crypto", .fields = crypto_fields, SCHEMA_STRUCT(struct document_crypto),
	.doc = "The ciphers."};

static const struct schema_value version_values[] = {
	{"1.2", 0x0303, "TLS 1.2"},
	{"1.3", 0x0304, "TLS 1.3"},
	{.name = NULL},
};
static const struct schema_field tls_fields[] = {
	{.name = "minVersion", .type = SCHEMA_ENUM, SCHEMA_AT(struct document_tls, min_version),
	 .values = version_values, .fallback = "1.2", .example = "1.3",
	 .doc = "The oldest version of TLS that is spoken, on either side."},
	{.name = NULL},
};
static const struct schema tls_schema = {
	.name = "tls", .fields = tls_fields, SCHEMA_STRUCT(struct document_tls),
	.doc = "Handshakes."};

#define PORT(member) SCHEMA_AT(struct document_port, member)
static const struct schema_field port_fields[] = {
	{.name = "name", .type = SCHEMA_STRING, PORT(name), .required = true, .min = 1, .max = 63,
	 .example = "mesh", .doc = "What routes and logs call it. Unique."},
	{.name = "device", .type = SCHEMA_CUSTOM, PORT(device), .kind = "device",
	 .parse = parse_device, .required = true, .example = "net_af_packet0,iface=eth1",
	 .doc = "DPDK devargs of a virtual device, or the PCI address of a NIC (`0000:3b:00.0`). "
		"Unique."},
	{.name = "mtu", .type = SCHEMA_INT, PORT(mtu), .min = 576, .max = 9216, .fallback = "1500",
	 .unit = "bytes", .example = "9000",
	 .doc = "The largest IP packet. At least 1,280 where there is an IPv6 address."},
	{.name = "vlan", .type = SCHEMA_INT, PORT(vlan), .min = 0, .max = 4094, .fallback = "0",
	 .unit = "VLAN ID", .example = "100",
	 .doc = "The 802.1Q tag of everything on this port; 0: untagged."},
	{.name = "addresses", .type = SCHEMA_LIST, .item = &prefix_item, .required = true, .min = 1,
	 .max = 64, SCHEMA_ARRAY_AT(struct document_port, addresses, n_addresses),
	 .example = "[10.10.0.1/24, \"fd00:10::1/64\"]",
	 .doc = "The gateway's own addresses on this port, each with the length of its network's "
		"prefix. An address without a length stands alone (/32, /128)."},
	{.name = NULL},
};
static const struct schema port_schema = {
	.name = "port", .fields = port_fields, SCHEMA_STRUCT(struct document_port),
	SCHEMA_NODE_AT(struct document_port, node),
	.doc = "The network ports that the gateway owns, 1 to 16 of them."};

#define ROUTE(member) SCHEMA_AT(struct document_route, member)
static const struct schema_field route_fields[] = {
	{.name = "to", .type = SCHEMA_CUSTOM, ROUTE(to), .kind = "prefix",
	 .parse = address_schema_prefix, .required = true, .example = "10.30.0.0/16",
	 .doc = "The destinations. `0.0.0.0/0` and `::/0` are the default routes."},
	{.name = "via", .type = SCHEMA_CUSTOM, ROUTE(via), .kind = "address",
	 .parse = address_schema, .example = "10.10.0.254",
	 .doc = "The next hop, which must be in a network of the port's own addresses. Left out: "
		"the destinations are on the link itself."},
	{.name = "port", .type = SCHEMA_STRING, ROUTE(port), .required = true, .min = 1,
	 .example = "mesh", .doc = "The `name` of one of the `ports`."},
	{.name = NULL},
};
static const struct schema route_schema = {
	.name = "route", .fields = route_fields, SCHEMA_STRUCT(struct document_route),
	SCHEMA_NODE_AT(struct document_route, node),
	.doc = "Static routes, besides those of the ports' own networks. The longest prefix wins."};

#define IDENTITY(member) SCHEMA_AT(struct config_identity, member)
static const struct schema_field identity_fields[] = {
	{.name = "certificateChain", .type = SCHEMA_STRING, IDENTITY(certificate_chain),
	 .required = true, .min = 1, .max = 4095, .example = "certs/web.pem",
	 .doc = "PEM file of the X.509-SVID, the leaf first."},
	{.name = "privateKey", .type = SCHEMA_STRING, IDENTITY(private_key), .required = true,
	 .min = 1, .max = 4095, .example = "certs/web.key", .doc = "PEM file of its key."},
	{.name = "trustBundle", .type = SCHEMA_STRING, IDENTITY(trust_bundle), .required = true,
	 .min = 1, .max = 4095, .example = "certs/ca.pem",
	 .doc = "PEM file of the root certificates that peers must chain to."},
	{.name = NULL},
};
static const struct schema identity_schema = {
	.name = "identity", .fields = identity_fields, SCHEMA_STRUCT(struct config_identity),
	SCHEMA_NODE_AT(struct config_identity, node),
	.doc = "The certificates of the workloads behind this gateway. Which workload shows which "
	       "follows from the SPIFFE ID in the certificate. The files are watched."};

static const struct schema_value source_values[] = {
	{"preserve", CONFIG_SOURCE_PRESERVE, "the workload sees the client's own address"},
	{"gateway", CONFIG_SOURCE_GATEWAY, "the workload sees the gateway's address"},
	{.name = NULL},
};
static const struct schema_field workload_fields[] = {
	{.name = "name", .type = SCHEMA_CUSTOM, SCHEMA_AT(struct config_workload, name),
	 .kind = "namespace/name", .parse = parse_workload, .required = true,
	 .example = "shop/web", .doc = "Of the WorkloadEntry. Unique."},
	{.name = "source", .type = SCHEMA_ENUM, SCHEMA_AT(struct config_workload, source),
	 .values = source_values, .fallback = "preserve", .example = "gateway",
	 .doc = "From which address connections reach the workload."},
	{.name = NULL},
};
static const struct schema workload_schema = {
	.name = "workload", .fields = workload_fields, SCHEMA_STRUCT(struct config_workload),
	SCHEMA_NODE_AT(struct config_workload, node),
	.doc = "The WorkloadEntries that are behind this gateway. The gateway is their next hop and "
	       "takes the connections to them and from them."};

static const struct schema_field inbound_fields[] = {
	{.name = "workload", .type = SCHEMA_CUSTOM, SCHEMA_AT(struct config_inbound, workload),
	 .kind = "namespace/name", .parse = parse_workload, .required = true,
	 .example = "shop/web", .doc = "The `name` of one of the `workloads`."},
	{.name = "port", .type = SCHEMA_INT, SCHEMA_AT(struct config_inbound, port),
	 .required = true, .min = 1, .max = 65535, .unit = "TCP port", .example = "8080",
	 .doc = "The workload's port."},
	{.name = NULL},
};
static const struct schema inbound_schema = {
	.name = "inbound", .fields = inbound_fields, SCHEMA_STRUCT(struct config_inbound),
	SCHEMA_NODE_AT(struct config_inbound, node),
	.doc = "The listener leads to a port of a workload, under the PeerAuthentication of that "
	       "port."};

static const struct schema_field outbound_fields[] = {
	{.name = "client", .type = SCHEMA_CUSTOM, SCHEMA_AT(struct config_outbound, client),
	 .kind = "namespace/name", .parse = parse_workload, .required = true,
	 .example = "shop/web",
	 .doc = "The `name` of one of the `workloads`, whose identity is shown."},
	{.name = "host", .type = SCHEMA_STRING, SCHEMA_AT(struct config_outbound, host),
	 .required = true, .min = 1, .max = 253, .example = "reviews.shop.svc.cluster.local",
	 .doc = "A host of a ServiceEntry."},
	{.name = "port", .type = SCHEMA_INT, SCHEMA_AT(struct config_outbound, port),
	 .required = true, .min = 1, .max = 65535, .unit = "TCP port", .example = "80",
	 .doc = "The service's port."},
	{.name = NULL},
};
static const struct schema outbound_schema = {
	.name = "outbound", .fields = outbound_fields, SCHEMA_STRUCT(struct config_outbound),
	SCHEMA_NODE_AT(struct config_outbound, node),
	.doc = "The listener leads to a service, under its DestinationRule."};

#define LISTENER(member) SCHEMA_AT(struct config_listener, member)
static const struct schema_field listener_fields[] = {
	{.name = "address", .type = SCHEMA_CUSTOM, LISTENER(address), .kind = "address",
	 .parse = address_schema, .required = true, .example = "10.10.0.1",
	 .doc = "One of the addresses of the `ports`."},
	{.name = "port", .type = SCHEMA_INT, LISTENER(port), .required = true, .min = 1,
	 .max = 65535, .unit = "TCP port", .example = "15443",
	 .doc = "Unique among the listeners of the address."},
	{.name = "inbound", .type = SCHEMA_POINTER, LISTENER(inbound), .object = &inbound_schema,
	 .example = "{workload: shop/web, port: 8080}",
	 .doc = "Leads to a workload. Either this or `outbound`."},
	{.name = "outbound", .type = SCHEMA_POINTER, LISTENER(outbound),
	 .object = &outbound_schema,
	 .example = "{client: shop/web, host: reviews.example.org, port: 80}",
	 .doc = "Leads to a service. Either this or `inbound`."},
	{.name = NULL},
};
static const struct schema listener_schema = {
	.name = "listener", .fields = listener_fields, SCHEMA_STRUCT(struct config_listener),
	SCHEMA_NODE_AT(struct config_listener, node),
	.doc = "Connections to the gateway's own addresses, for peers that are not routed through "
	       "it."};

#define TIMEOUTS(member)                                                                           \
	.type = SCHEMA_DURATION, SCHEMA_AT(struct document_timeouts, member), .unit = "ms, s, m, h"
static const struct schema_field timeouts_fields[] = {
	{.name = "connect", TIMEOUTS(connect), .min = 1, .max = 10 * MINUTES, .fallback = "10s",
	 .example = "3s", .doc = "How long the upstream may take to accept a connection."},
	{.name = "handshake", TIMEOUTS(handshake), .min = 1, .max = 10 * MINUTES,
	 .fallback = "10s", .example = "5s", .doc = "How long a TLS handshake may take."},
	{.name = "detect", TIMEOUTS(detect), .min = 0, .max = 10 * MINUTES, .fallback = "0s",
	 .example = "250ms",
	 .doc = "How long a client that says nothing is waited for on a PERMISSIVE port, where its "
		"first bytes tell TLS from plaintext; then it is plaintext TCP. 0, and where a "
		"request must come first: as long as `idle`. Istio's "
		"`meshConfig.protocolDetectionTimeout`."},
	{.name = "idle", TIMEOUTS(idle), .min = 1, .max = 720 * HOURS, .fallback = "1h",
	 .example = "15m", .doc = "How long a session may go without a byte either way."},
	{.name = "drain", TIMEOUTS(drain), .min = 0, .max = 1 * HOURS, .fallback = "5s",
	 .example = "45s",
	 .doc = "How long sessions may go on after SIGTERM; then they are closed."},
	{.name = "keepalive", TIMEOUTS(keepalive), .min = 0, .max = 24 * HOURS, .fallback = "0s",
	 .example = "5m",
	 .doc = "Silence after which TCP asks whether the peer is still there. 0: never."},
	{.name = NULL},
};
static const struct schema timeouts_schema = {
	.name = "timeouts", .fields = timeouts_fields, SCHEMA_STRUCT(struct document_timeouts),
	.doc = "Durations are numbers with `ms`, `s`, `m` or `h`: `250ms`, `10s`, `1h30m`."};

static const struct schema_field log_fields[] = {
	{.name = "connections", .type = SCHEMA_STRING, SCHEMA_AT(struct document_log, connections),
	 .min = 1, .max = 4095, .fallback = "stdout", .example = "/var/log/portcullis.json",
	 .doc = "Where the line of JSON goes that every connection ends with: `stdout`, `stderr` or "
		"a file."},
	{.name = NULL},
};
static const struct schema log_schema = {
	.name = "log", .fields = log_fields, SCHEMA_STRUCT(struct document_log),
	.doc = "Logs."};

static const struct schema_field admin_fields[] = {
	{.name = "socket", .type = SCHEMA_STRING, SCHEMA_AT(struct document_admin, socket),
	 .min = 1, .max = 107, .example = "/run/portcullis/admin.sock",
	 .doc = "Path of the Unix socket of the admin endpoint. Left out: there is none."},
	{.name = NULL},
};
static const struct schema admin_schema = {
	.name = "admin", .fields = admin_fields, SCHEMA_STRUCT(struct document_admin),
	.doc = "Looking into the running gateway."};

static const struct schema_field port_item = {.type = SCHEMA_OBJECT, .object = &port_schema};
static const struct schema_field route_item = {.type = SCHEMA_OBJECT, .object = &route_schema};
static const struct schema_field identity_item = {.type = SCHEMA_OBJECT,
						  .object = &identity_schema};
static const struct schema_field workload_item = {.type = SCHEMA_OBJECT,
						  .object = &workload_schema};
static const struct schema_field listener_item = {.type = SCHEMA_OBJECT,
						  .object = &listener_schema};

#define SECTION(member) .type = SCHEMA_OBJECT, SCHEMA_AT(struct document, member)
#define OBJECTS(member)                                                                            \
	.type = SCHEMA_LIST, SCHEMA_ARRAY_AT(struct document, member, n_##member)
static const struct schema_field document_fields[] = {
	{.name = "node", SECTION(node), .object = &node_schema, .required = true,
	 .doc = "Who this gateway is."},
	{.name = "workers", SECTION(workers), .object = &workers_schema,
	 .doc = "Threads and limits."},
	{.name = "crypto", SECTION(crypto), .object = &crypto_schema, .doc = "Ciphers."},
	{.name = "tls", SECTION(tls), .object = &tls_schema, .doc = "Handshakes."},
	{.name = "ports", OBJECTS(ports), .item = &port_item, .required = true, .min = 1,
	 .max = POLICY_MAX_PORTS, .doc = "Network ports."},
	{.name = "routes", OBJECTS(routes), .item = &route_item, .max = 1024,
	 .doc = "Static routes."},
	{.name = "identities", OBJECTS(identities), .item = &identity_item, .max = 1024,
	 .doc = "Certificates and keys. Without any, only plaintext can be served."},
	{.name = "mesh", .type = SCHEMA_STRING, SCHEMA_AT(struct document, mesh), .required = true,
	 .min = 1, .max = 4095, .example = "mesh",
	 .doc = "The folder of Istio resources: every `*.yaml` and `*.yml` in it, in order of "
		"name. Watched."},
	{.name = "workloads", OBJECTS(workloads), .item = &workload_item, .max = 4096,
	 .doc = "What is behind this gateway."},
	{.name = "listeners", OBJECTS(listeners), .item = &listener_item, .max = 4096,
	 .doc = "Ports on the gateway's own addresses."},
	{.name = "timeouts", SECTION(timeouts), .object = &timeouts_schema, .doc = "Patience."},
	{.name = "log", SECTION(log), .object = &log_schema, .doc = "Logs."},
	{.name = "admin", SECTION(admin), .object = &admin_schema, .doc = "The admin endpoint."},
	{.name = NULL},
};

const struct schema config_schema = {
	.name = "portcullis.yaml", .fields = document_fields, SCHEMA_STRUCT(struct document),
	SCHEMA_NODE_AT(struct document, yaml),
	.doc = "The sections of the file. Relative paths are relative to its folder."};
