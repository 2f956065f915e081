/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include <strings.h>

#include "control/address.h"
#include "control/resources.h"

/* What a schema table cannot say: the rules of Istio's admission webhook between the fields of
 * one document, and what this version refuses because it could only do it wrongly. */

/* Every place is that of the field, or of the nearest thing around it that was written. */
#define FAIL(node, field, ...) diagnostics_error(diagnostics, resource_place(node, field), __VA_ARGS__)
#define WARN(node, field, ...)                                                                     \
	diagnostics_warning(diagnostics, resource_place(node, field), __VA_ARGS__)

static bool
is_set(const char *text)
{
	return text != NULL && text[0] != '\0';
}

/* Istio's ValidateWorkloadSelector: exact labels only. */
static void
check_selector(const struct selector *selector, const char *field, struct diagnostics *diagnostics)
{
	for (unsigned int i = 0; selector != NULL && i < selector->labels.n; i++) {
		const struct schema_pair *pair = &selector->labels.pairs[i];
		const struct yaml_node *map = yaml_get(selector->node, field);
		bool there = map != NULL && map->kind == YAML_MAP && i < map->n;
		const struct yaml_node *key = there ? map->keys[i] : selector->node;
		const struct yaml_node *value = there ? map->values[i] : selector->node;

		if (pair->key[0] == '\0')
			diagnostics_error(diagnostics, key->place,
					  "a label of the selector has no name, expected one");
		if (strchr(pair->key, '*') != NULL ||
		    (pair->value != NULL && strchr(pair->value, '*') != NULL))
			diagnostics_error(diagnostics, value->place,
					  "the selector has the wildcard \"%s: %s\", expected a "
					  "label as it is", pair->key, pair->value);
	}
}

/* Istio's ValidateExportTo. */
static void
check_export_to(const struct resource *meta, const char **export_to, unsigned int n, bool service,
		struct diagnostics *diagnostics)
{
	const struct yaml_node *list = yaml_deepest(meta->node, "spec.exportTo");

	for (unsigned int i = 0; i < n; i++) {
		const char *own = strcmp(export_to[i], ".") == 0 ? meta->namespace : export_to[i];
		const struct yaml_node *at = list->kind == YAML_LIST && i < list->n ?
						     list->values[i] : list;

		for (unsigned int j = 0; j < i; j++) {
			const char *before = strcmp(export_to[j], ".") == 0 ? meta->namespace :
									       export_to[j];

			if (strcmp(own, before) == 0)
				diagnostics_error(diagnostics, at->place,
						  "exportTo has \"%s\" twice, expected each "
						  "namespace once", export_to[i]);
		}
		if (strcmp(export_to[i], "*") == 0 && n > 1)
			diagnostics_error(diagnostics, at->place,
					  "exportTo has \"*\" beside others, expected it alone");
		if (strcmp(export_to[i], "~") == 0 && (!service || n > 1))
			diagnostics_error(diagnostics, at->place,
					  "exportTo has \"~\", expected %s",
					  service ? "it alone" : "\"*\", \".\" or a namespace");
		else if (strpbrk(export_to[i], "*~.") != NULL && strlen(export_to[i]) > 1)
			diagnostics_error(diagnostics, at->place,
					  "exportTo has \"%s\", expected \"*\", \".\" or a "
					  "namespace", export_to[i]);
	}
}

/* A name, or a wildcard, which can only be its beginning. */
static bool
host_is_valid(const char *host)
{
	const char *rest = host[0] == '*' ? host + 1 : host;
	struct in6_addr address;

	if (strcmp(host, "*") == 0 || address_parse(host, &address))
		return true;
	if (rest[0] == '\0' || (rest == host && rest[0] == '.') || strstr(rest, "..") != NULL)
		return false;
	return strspn(rest, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_") ==
	       strlen(rest);
}

/* --- PeerAuthentication ------------------------------------------------------------------ */

void
peer_authentication_check(const struct peer_authentication *peer, const char *root_namespace,
			  struct diagnostics *diagnostics)
{
	const struct yaml_node *node = peer->meta.node;
	bool in_root = strcmp(peer->meta.namespace, root_namespace) == 0;
	bool selects = peer->selector != NULL && peer->selector->labels.n > 0;

	check_selector(peer->selector, "matchLabels", diagnostics);
	if (peer->selector != NULL && !selects)
		WARN(node, "spec.selector", "an empty selector is as good as none");
	if (selects && in_root)
		WARN(node, "spec.selector",
		     "a selector in the root namespace %s makes Istio ignore the whole policy, "
		     "expected it in the namespace of the workloads", root_namespace);
	if (!selects && peer->n_ports > 0)
		FAIL(node, "spec.portLevelMtls",
		     "%s peer authentication cannot have port level mTLS, expected a selector with "
		     "it", in_root ? "mesh" : "namespace");
}

/* --- DestinationRule --------------------------------------------------------------------- */

static void
check_skip_verify(const struct client_tls *tls, struct diagnostics *diagnostics)
{
	if (!tls->insecure_skip_verify)
		return;
	if (tls->mode == CLIENT_TLS_SIMPLE &&
	    (is_set(tls->ca_certificates) || is_set(tls->credential_name) ||
	     tls->n_subject_alt_names > 0))
		FAIL(tls->node, "insecureSkipVerify",
		     "insecureSkipVerify is set beside caCertificates, credentialName or "
		     "subjectAltNames, expected it without them");
	else if (tls->mode == CLIENT_TLS_MUTUAL &&
		 (is_set(tls->ca_certificates) || tls->n_subject_alt_names > 0))
		FAIL(tls->node, "insecureSkipVerify",
		     "insecureSkipVerify is set beside caCertificates or subjectAltNames, expected "
		     "it without them");
	else if (tls->mode == CLIENT_TLS_SIMPLE || tls->mode == CLIENT_TLS_MUTUAL)
		WARN(tls->node, "insecureSkipVerify",
		     "insecureSkipVerify believes any certificate, whoever made it");
	else
		WARN(tls->node, "insecureSkipVerify",
		     "insecureSkipVerify has no effect with this mode");
}

/*
 * Secrets of a cluster cannot be had here. Without a workloadSelector, Istio would give a
 * sidecar no TLS at all for it, silently, and send plaintext: that much is worth a message of
 * its own.
 */
static void
check_credential(const struct client_tls *tls, bool has_selector, struct diagnostics *diagnostics)
{
	if (is_set(tls->client_certificate) || is_set(tls->private_key) ||
	    is_set(tls->ca_certificates) || is_set(tls->ca_crl)) {
		FAIL(tls->node, "credentialName",
		     "credentialName is set beside clientCertificate, privateKey, caCertificates or "
		     "caCrl, expected one or the other");
		return;
	}
	if (!has_selector && strncmp(tls->credential_name, "configmap://", 12) != 0)
		FAIL(tls->node, "credentialName",
		     "credentialName without a workloadSelector makes Istio send plaintext: refused, "
		     "expected clientCertificate, privateKey and caCertificates");
	else
		FAIL(tls->node, "credentialName",
		     "credentialName is not supported yet, expected clientCertificate, privateKey "
		     "and caCertificates");
}

static void
check_tls(const struct client_tls *tls, bool has_selector, struct diagnostics *diagnostics)
{
	bool uses_files;

	if (tls == NULL)
		return;
	uses_files = tls->mode == CLIENT_TLS_SIMPLE || tls->mode == CLIENT_TLS_MUTUAL;
	check_skip_verify(tls, diagnostics);
	if (uses_files && is_set(tls->credential_name)) {
		check_credential(tls, has_selector, diagnostics);
		return;
	}
	if (uses_files && is_set(tls->ca_crl))
		FAIL(tls->node, "caCrl",
		     "caCrl is not supported yet: refusing to ignore a revocation list");
	if (tls->mode == CLIENT_TLS_MUTUAL && !is_set(tls->client_certificate))
		FAIL(tls->node, "mode", "mode MUTUAL has no clientCertificate, expected one");
	if (tls->mode == CLIENT_TLS_MUTUAL && !is_set(tls->private_key))
		FAIL(tls->node, "mode", "mode MUTUAL has no privateKey, expected one");
}

/* Fields that are there and not null. */
static unsigned int
count_fields(const struct yaml_node *map)
{
	unsigned int n = 0;

	for (unsigned int i = 0; map != NULL && map->kind == YAML_MAP && i < map->n; i++)
		n += map->values[i]->kind != YAML_NULL;
	return n;
}

static void
check_pool(const struct yaml_node *node, struct diagnostics *diagnostics)
{
	const struct yaml_node *pool = yaml_get(node, "connectionPool");

	if (pool != NULL && pool->kind == YAML_MAP && count_fields(pool) == 0)
		FAIL(pool, NULL, "connectionPool is empty, expected tcp or http");
}

static void
check_port_policy(const struct port_policy *policy, const struct client_tls *above,
		  bool has_selector, struct diagnostics *diagnostics)
{
	if (!policy->port.present)
		FAIL(policy->node, "port", "port has no number, expected a port of the service");
	if (count_fields(policy->node) <= (yaml_get(policy->node, "port") != NULL))
		FAIL(policy->node, NULL,
		     "the port has no settings, expected tls, loadBalancer, connectionPool or "
		     "outlierDetection");
	else if (policy->tls == NULL && above != NULL)
		WARN(policy->node, NULL,
		     "the port's settings have no tls: it does not come from the policy above, the "
		     "port goes back to auto mTLS");
	check_pool(policy->node, diagnostics);
	check_tls(policy->tls, has_selector, diagnostics);
}

static void
check_policy(const struct traffic_policy *policy, bool has_selector,
	     struct diagnostics *diagnostics)
{
	if (policy == NULL)
		return;
	if (count_fields(policy->node) == 0)
		FAIL(policy->node, NULL, "trafficPolicy is empty, expected at least one field");
	check_pool(policy->node, diagnostics);
	check_tls(policy->tls, has_selector, diagnostics);
	for (unsigned int i = 0; i < policy->n_ports; i++)
		check_port_policy(&policy->ports[i], policy->tls, has_selector, diagnostics);
}

static void
check_subsets(const struct destination_rule *rule, struct diagnostics *diagnostics)
{
	for (unsigned int i = 0; i < rule->n_subsets; i++) {
		const struct subset *subset = &rule->subsets[i];

		for (unsigned int j = 0; j < i; j++)
			if (strcmp(subset->name, rule->subsets[j].name) == 0) {
				FAIL(subset->node, "name",
				     "subset \"%s\" is here for the second time, expected each "
				     "once", subset->name);
				break;
			}
		check_policy(subset->policy, rule->selector != NULL, diagnostics);
	}
}

void
destination_rule_check(const struct destination_rule *rule, struct diagnostics *diagnostics)
{
	const struct yaml_node *node = rule->meta.node;

	if (!host_is_valid(rule->host))
		FAIL(node, "spec.host", "host is \"%s\", expected a name, or a wildcard such as "
		     "*.example.com", rule->host);
	check_export_to(&rule->meta, rule->export_to, rule->n_export_to, false, diagnostics);
	check_selector(rule->selector, "matchLabels", diagnostics);
	if (rule->selector != NULL &&
	    (rule->n_export_to > 1 ||
	     (rule->n_export_to == 1 && strcmp(rule->export_to[0], ".") != 0 &&
	      strcmp(rule->export_to[0], rule->meta.namespace) != 0)))
		FAIL(node, "spec.exportTo",
		     "exportTo goes beyond the rule's own namespace, which a rule with a "
		     "workloadSelector cannot, expected \".\"");
	check_policy(rule->policy, rule->selector != NULL, diagnostics);
	check_subsets(rule, diagnostics);
}

/* --- ServiceEntry and WorkloadEntry -------------------------------------------------------- */

static const struct {
	const char *name;
	enum policy_protocol protocol;
	bool udp;
} protocols[] = {
	{"tcp", POLICY_TCP, false},       {"udp", POLICY_TCP, true},
	{"http", POLICY_HTTP, false},     {"http2", POLICY_HTTP2, false},
	{"grpc", POLICY_HTTP2, false},    {"grpc-web", POLICY_HTTP2, false},
	{"https", POLICY_TLS, false},     {"tls", POLICY_TLS, false},
	{"mongo", POLICY_TCP, false},     {"redis", POLICY_TCP, false},
	{"mysql", POLICY_TCP, false},     {"http_proxy", POLICY_HTTP, false},
	/* appProtocol of Kubernetes, KEP-3726 */
	{"kubernetes.io/h2c", POLICY_HTTP2, false},
	{"kubernetes.io/ws", POLICY_HTTP, false},
	{"kubernetes.io/wss", POLICY_TLS, false},
};

static bool
find_protocol(const char *text, size_t len, enum policy_protocol *protocol, bool *udp)
{
	for (size_t i = 0; i < sizeof(protocols) / sizeof(protocols[0]); i++) {
		if (strlen(protocols[i].name) != len ||
		    strncasecmp(protocols[i].name, text, len) != 0)
			continue;
		*protocol = protocols[i].protocol;
		*udp = protocols[i].udp;
		return true;
	}
	return false;
}

bool
service_port_protocol(const struct service_port *port, enum policy_protocol *protocol, bool *udp)
{
	size_t prefix = strcspn(port->name, "-");

	*protocol = POLICY_AUTO;
	*udp = false;
	if (is_set(port->protocol))
		return find_protocol(port->protocol, strlen(port->protocol), protocol, udp);
	/* The one name with a hyphen of its own. */
	if (strncasecmp(port->name, "grpc-web", 8) == 0 &&
	    (port->name[8] == '\0' || port->name[8] == '-'))
		prefix = 8;
	find_protocol(port->name, prefix, protocol, udp);
	return true;
}

static void
check_service_ports(const struct service_entry *service, struct diagnostics *diagnostics)
{
	for (unsigned int i = 0; i < service->n_ports; i++) {
		const struct service_port *port = &service->ports[i];
		enum policy_protocol protocol;
		bool udp;

		if (!service_port_protocol(port, &protocol, &udp))
			FAIL(port->node, "protocol",
			     "protocol is \"%s\", expected HTTP, HTTP2, GRPC, GRPC-WEB, HTTPS, TLS, "
			     "TCP, MONGO, REDIS or MYSQL", port->protocol);
		else if (udp)
			WARN(port->node, NULL, "port %s is of UDP: not acted on", port->name);
		for (unsigned int j = 0; j < i; j++) {
			if (service->ports[j].number == port->number)
				FAIL(port->node, "number", "port %u is here for the second time, "
				     "expected each number once", port->number);
			if (strcmp(service->ports[j].name, port->name) == 0)
				FAIL(port->node, "name", "port \"%s\" is here for the second time, "
				     "expected each name once", port->name);
		}
	}
	if (service->n_ports == 0)
		WARN(service->meta.node, "spec", "the service has no ports");
}

/* The place of element `i` of a list of the spec. */
static const struct yaml_node *
element(const struct resource *meta, const char *path, unsigned int i)
{
	const struct yaml_node *list = yaml_deepest(meta->node, path);

	return list->kind == YAML_LIST && i < list->n ? list->values[i] : list;
}

static void
check_service_names(const struct service_entry *service, struct diagnostics *diagnostics)
{
	bool by_name = service->resolution != SERVICE_NONE && service->resolution != SERVICE_STATIC;

	for (unsigned int i = 0; i < service->n_hosts; i++) {
		if (!host_is_valid(service->hosts[i]) || strcmp(service->hosts[i], "*") == 0)
			FAIL(element(&service->meta, "spec.hosts", i), NULL,
			     "host is \"%s\", expected a name, or a wildcard such as *.example.com",
			     service->hosts[i]);
		for (unsigned int j = 0; j < i; j++)
			if (strcasecmp(service->hosts[i], service->hosts[j]) == 0)
				FAIL(element(&service->meta, "spec.hosts", i), NULL,
				     "host \"%s\" is here for the second time, expected each once",
				     service->hosts[i]);
	}
	for (unsigned int i = 0; i < service->n_addresses; i++) {
		const struct yaml_node *at = element(&service->meta, "spec.addresses", i);
		struct policy_prefix prefix;

		if (!address_parse_prefix(service->addresses[i], &prefix))
			FAIL(at, NULL, "address is \"%s\", expected an IPv4 or IPv6 address or "
			     "prefix", service->addresses[i]);
		else if (prefix.length != 128 && by_name)
			FAIL(at, NULL, "address is a prefix, expected that only with resolution "
			     "NONE or STATIC");
	}
}

static void
check_endpoint(const struct service_entry *service, const struct workload_spec *endpoint,
	       struct diagnostics *diagnostics)
{
	struct in6_addr address;

	if (!is_set(endpoint->address))
		FAIL(endpoint->node, NULL, "the endpoint has no address, expected one");
	else if (service->resolution == SERVICE_STATIC &&
		 strncmp(endpoint->address, "unix://", 7) != 0 &&
		 !address_parse(endpoint->address, &address))
		FAIL(endpoint->node, "address",
		     "address is \"%s\", expected an IPv4 or IPv6 address with resolution STATIC",
		     endpoint->address);
	for (unsigned int i = 0; i < endpoint->n_ports; i++) {
		bool found = false;

		for (unsigned int j = 0; j < service->n_ports; j++)
			if (strcmp(endpoint->ports[i].name, service->ports[j].name) == 0)
				found = true;
		if (!found)
			FAIL(endpoint->node, "ports",
			     "port \"%s\" of the endpoint is not one of the service's, expected one "
			     "of their names", endpoint->ports[i].name);
	}
}

void
service_entry_check(const struct service_entry *service, struct diagnostics *diagnostics)
{
	const struct yaml_node *node = service->meta.node;

	check_service_names(service, diagnostics);
	check_service_ports(service, diagnostics);
	check_export_to(&service->meta, service->export_to, service->n_export_to, true,
			diagnostics);
	check_selector(service->selector, "labels", diagnostics);
	if (service->selector != NULL && service->n_endpoints > 0)
		FAIL(node, "spec.endpoints",
		     "endpoints and workloadSelector are both set, expected one of them");
	if (service->resolution == SERVICE_NONE &&
	    (service->n_endpoints > 0 || service->selector != NULL))
		FAIL(node, "spec.resolution",
		     "resolution NONE has endpoints, expected none, or resolution STATIC");
	if (service->resolution == SERVICE_STATIC && service->n_endpoints == 0 &&
	    service->selector == NULL)
		FAIL(node, "spec.resolution",
		     "resolution STATIC has no endpoints, expected endpoints or a "
		     "workloadSelector");
	for (unsigned int i = 0; i < service->n_endpoints; i++)
		check_endpoint(service, &service->endpoints[i], diagnostics);
}

void
workload_entry_check(const struct workload_entry *workload, struct diagnostics *diagnostics)
{
	const struct yaml_node *network = yaml_get(workload->spec.node, "network");

	if (!is_set(workload->spec.address) && (network == NULL || network->kind == YAML_NULL))
		FAIL(workload->meta.node, "spec", "the workload has no address, expected one");
}
