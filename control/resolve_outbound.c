/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "control/address.h"
#include "control/resolve.h"

/*
 * TLS towards a service. There are two levels, as in Istio: the cluster (the settings that a
 * rule gives, or the gate of auto mTLS), and, where auto mTLS is let through the gate, each
 * endpoint by itself.
 */

enum level {
	CLUSTER_SETTINGS, /* a rule's, for every endpoint */
	CLUSTER_PLAIN,    /* plaintext to every endpoint */
	CLUSTER_AUTO,     /* mutual TLS to those endpoints that can take it */
	CLUSTER_ALL,      /* mutual TLS to every endpoint: a PASSTHROUGH cluster */
};

struct cluster {
	enum level level;
	struct rule_tls rule;
	const char *reason;      /* of CLUSTER_PLAIN and CLUSTER_SETTINGS */
	struct peer_answer gate; /* the namespace's mode, where it was asked for */
};

/* --- ALPN (RFC 7301 section 3.1) ---------------------------------------------------------------
 */

/*
 * What a sidecar offers, as its HTTP filter rewrites it. Not "istio-peer-exchange", which a
 * sidecar adds for raw TCP: it promises a block of metadata at the start of the stream, in
 * both directions, which we neither send nor take out, so that the workload would be given
 * the peer's.
 */
static const uint8_t alpn_tcp[] = "\x05istio";
static const uint8_t alpn_http[] = "\x0eistio-http/1.1\x05istio\x08http/1.1";
static const uint8_t alpn_http2[] = "\x08istio-h2\x05istio\x02h2";
static const uint8_t alpn_h2[] = "\x02h2";

static void
set_alpn(struct policy_outbound *out, const uint8_t *alpn, size_t size)
{
	out->alpn = alpn;
	out->alpn_len = (unsigned int)size - 1; /* the literal's NUL */
}

static void
set_istio_alpn(struct policy_outbound *out)
{
	if (out->protocol == POLICY_HTTP)
		set_alpn(out, alpn_http, sizeof(alpn_http));
	else if (out->protocol == POLICY_HTTP2)
		set_alpn(out, alpn_http2, sizeof(alpn_http2));
	else
		set_alpn(out, alpn_tcp, sizeof(alpn_tcp));
}

/* --- settings of the cluster ---------------------------------------------------------------------
 */

static void
set_sans(struct resolver *resolver, struct policy_outbound *out, const char *const *sans,
	 unsigned int n)
{
	const char **copy = arena_array(resolver->out, n + 1, sizeof(*copy));

	for (unsigned int i = 0; i < n; i++)
		copy[i] = arena_string(resolver->out, sans[i]);
	out->sans = copy;
	out->n_sans = n;
	out->san_check = n > 0 ? POLICY_SAN_EXACT : POLICY_SAN_NONE;
}

/* `tls`: a rule's; NULL for auto mTLS. */
static void
istio_mutual(struct resolver *resolver, const struct resolve_client *client,
	     const struct mesh_service *service, const struct client_tls *tls, const char *subset,
	     struct policy_outbound *out)
{
	out->identity = client->identity;
	if (tls != NULL && tls->sni != NULL && tls->sni[0] != '\0')
		out->sni = arena_string(resolver->out, tls->sni);
	else
		out->sni = arena_printf(resolver->out, "outbound_.%u_.%s_.%s", out->port, subset,
					service->host);
	if (tls != NULL && tls->n_subject_alt_names > 0)
		set_sans(resolver, out, tls->subject_alt_names, tls->n_subject_alt_names);
	else
		set_sans(resolver, out, service->accounts, service->n_accounts);
	set_istio_alpn(out);
}

/* Where the Host header would be the server's name. It is not read yet: the service's own
 * name stands for it. On AUTO ports too, which is stricter than Istio if TCP comes. */
static bool
has_host(const struct policy_outbound *out)
{
	return out->protocol == POLICY_HTTP || out->protocol == POLICY_HTTP2 ||
	       out->protocol == POLICY_AUTO;
}

/* As in Istio. Once for each setting, not for each client and port. */
static void
warn_unnamed(struct resolver *resolver, const struct client_tls *tls, const char *host)
{
	struct arena *arena = resolver->mesh->arena;
	struct resolve_warned *warned;

	for (warned = resolver->warned; warned != NULL; warned = warned->next)
		if (warned->tls == tls)
			return;
	warned = arena_alloc(arena, sizeof(*warned));
	warned->tls = tls;
	warned->next = resolver->warned;
	resolver->warned = warned;
	diagnostics_warning(resolver->mesh->diagnostics, resource_place(tls->node, NULL),
			    "any certificate of the CA is believed to be that of %s, expected "
			    "subjectAltNames",
			    host);
}

static bool
file_settings(struct resolver *resolver, const struct mesh_service *service,
	      const struct client_tls *tls, struct policy_outbound *out)
{
	bool has_sni = tls->sni != NULL && tls->sni[0] != '\0';
	bool has_name = service->host[0] != '*';

	out->identity = resolve_identity(resolver, tls);
	if (has_sni)
		out->sni = arena_string(resolver->out, tls->sni);
	else if (has_host(out) && has_name)
		out->sni = arena_string(resolver->out, service->host);
	if (tls->insecure_skip_verify)
		set_sans(resolver, out, NULL, 0);
	else if (tls->n_subject_alt_names > 0)
		set_sans(resolver, out, tls->subject_alt_names, tls->n_subject_alt_names);
	else if (service->n_accounts > 0)
		set_sans(resolver, out, service->accounts, service->n_accounts);
	else if (!has_sni && has_host(out) && has_name) {
		set_sans(resolver, out, &service->host, 1);
		out->san_check = POLICY_SAN_HOST;
	}
	if (out->san_check == POLICY_SAN_NONE && !tls->insecure_skip_verify)
		warn_unnamed(resolver, tls, service->host);
	if (out->protocol == POLICY_HTTP2)
		set_alpn(out, alpn_h2, sizeof(alpn_h2));
	return out->identity != NULL;
}

static void
set_source(struct resolver *resolver, struct policy_source *source, const char *kind,
	   const struct resource *resource, struct diagnostics_place place)
{
	source->kind = kind;
	source->name = resource != NULL ? arena_string(resolver->out, resource->id) : "";
	source->file = place.file != NULL ? arena_string(resolver->out, place.file) : "";
	source->line = (int)place.line;
}

/* --- the gate of auto mTLS
 * --------------------------------------------------------------------------- */

/* Istio's BestEffortInferServiceMTLSMode, and what goes before it. */
static void
judge_cluster(const struct resolver *resolver, const struct mesh_service *service,
	      struct cluster *cluster)
{
	const struct mesh *mesh = resolver->mesh;
	bool passthrough = service->entry->resolution == SERVICE_NONE || cluster->rule.passthrough;

	cluster->level = CLUSTER_PLAIN;
	if (cluster->rule.tls != NULL) {
		cluster->level = CLUSTER_SETTINGS;
		cluster->reason = "DestinationRule";
		return;
	}
	if (service->entry->location == SERVICE_MESH_EXTERNAL) {
		cluster->reason = "location MESH_EXTERNAL";
		return;
	}
	if (!mesh->settings.enable_auto_mtls) {
		cluster->reason = "enableAutoMtls is off";
		return;
	}
	if (passthrough && service->n_endpoints == 0) {
		cluster->reason = "no endpoint is known";
		return;
	}
	for (unsigned int i = 0; passthrough && i < service->n_endpoints; i++)
		if (strcmp(service->endpoints[i].tls_mode, "disabled") == 0) {
			cluster->reason =
				"an endpoint of a PASSTHROUGH service takes no mutual TLS";
			return;
		}
	resolve_peer_namespace(mesh, service->entry->meta.namespace, &cluster->gate);
	if (cluster->gate.mode == POLICY_DISABLE)
		cluster->reason = "PeerAuthentication of the namespace or the mesh";
	else
		cluster->level = passthrough ? CLUSTER_ALL : CLUSTER_AUTO;
}

/* --- one endpoint
 * ---------------------------------------------------------------------------------------- */

static enum policy_tls
judge_endpoint(const struct mesh *mesh, const struct mesh_endpoint *endpoint, uint16_t port,
	       const struct cluster *cluster, const char **reason)
{
	struct peer_answer answer;

	*reason = cluster->reason;
	if (cluster->level == CLUSTER_SETTINGS)
		return (enum policy_tls)cluster->rule.tls->mode;
	if (cluster->level == CLUSTER_PLAIN)
		return POLICY_TLS_DISABLE;
	*reason = "auto mTLS of a PASSTHROUGH service";
	if (cluster->level == CLUSTER_ALL)
		return POLICY_TLS_ISTIO_MUTUAL;
	/* A port's entry without tls: the mode of the policy above judges the endpoint, and of
	 * its modes ISTIO_MUTUAL alone is one of auto mTLS. */
	*reason = "DestinationRule without tls for the port";
	if (cluster->rule.endpoint_mode_known &&
	    cluster->rule.endpoint_mode != CLIENT_TLS_ISTIO_MUTUAL)
		return POLICY_TLS_DISABLE;
	*reason = endpoint->tls_mode_from_label ? "label security.istio.io/tlsMode"
						: "serviceAccount";
	if (strcmp(endpoint->tls_mode, "istio") != 0) {
		if (!endpoint->tls_mode_from_label)
			*reason = "no serviceAccount";
		return POLICY_TLS_DISABLE;
	}
	if (cluster->rule.endpoint_mode_known)
		return POLICY_TLS_ISTIO_MUTUAL;
	resolve_peer(mesh, endpoint->namespace, &endpoint->labels, port, &answer);
	if (answer.mode != POLICY_DISABLE)
		return POLICY_TLS_ISTIO_MUTUAL;
	*reason = "PeerAuthentication of the endpoint";
	return POLICY_TLS_DISABLE;
}

static bool
in_subset(const struct mesh_endpoint *endpoint, const struct rule *rule, const char *subset)
{
	if (subset[0] == '\0' || rule == NULL)
		return true;
	for (unsigned int i = 0; i < rule->n_subsets; i++)
		if (strcmp(rule->subsets[i]->name, subset) == 0)
			return labels_match(&rule->subsets[i]->labels, &endpoint->labels);
	return false;
}

static void
fill_endpoints(struct resolver *resolver, const struct mesh_service *service,
	       const struct service_port *port, const struct cluster *cluster,
	       const struct rule *rule, const char *subset, struct policy_outbound *out)
{
	struct policy_endpoint *endpoints =
		arena_array(resolver->out, service->n_endpoints + 1, sizeof(*endpoints));

	for (unsigned int i = 0; i < service->n_endpoints; i++) {
		const struct mesh_endpoint *from = &service->endpoints[i];
		struct policy_endpoint *to = &endpoints[out->n_endpoints];

		if (!from->usable || !in_subset(from, rule, subset))
			continue;
		to->address = from->address;
		to->port = mesh_endpoint_port(port, from);
		to->tls = judge_endpoint(resolver->mesh, from, to->port, cluster, &to->reason);
		to->workload = from->name[0] != '\0' ? arena_string(resolver->out, from->name) : "";
		out->n_endpoints++;
	}
	out->endpoints = endpoints;
}

/* With resolution NONE a connection goes on to the address that it was made to, which is thus
 * its own endpoint. Prefixes cannot be listed; resolve.c sees to them. */
static void
fill_own_addresses(struct resolver *resolver, const struct mesh_service *service,
		   const struct service_port *port, const struct cluster *cluster,
		   struct policy_outbound *out)
{
	const struct service_entry *entry = service->entry;
	struct policy_endpoint *endpoints =
		arena_array(resolver->out, entry->n_addresses + 1, sizeof(*endpoints));

	for (unsigned int i = 0; i < entry->n_addresses; i++) {
		struct policy_endpoint *to = &endpoints[out->n_endpoints];
		struct policy_prefix prefix;

		if (!address_parse_prefix(entry->addresses[i], &prefix) || prefix.length != 128)
			continue;
		to->address = prefix.address;
		to->port = (uint16_t)(port->target_port != 0 ? port->target_port : port->number);
		to->tls = cluster->level == CLUSTER_SETTINGS
				  ? (enum policy_tls)cluster->rule.tls->mode
				  : POLICY_TLS_DISABLE;
		to->reason = cluster->reason;
		to->workload = "";
		out->n_endpoints++;
	}
	out->endpoints = endpoints;
}

static bool
apply_settings(struct resolver *resolver, const struct resolve_client *client,
	       const struct mesh_service *service, const struct cluster *cluster,
	       const char *subset, struct policy_outbound *out)
{
	const struct rule_tls *rule = &cluster->rule;
	struct diagnostics_place nowhere = {0};
	bool auto_mtls = cluster->level == CLUSTER_AUTO || cluster->level == CLUSTER_ALL;

	if (rule->node != NULL && (rule->tls != NULL || cluster->level != CLUSTER_PLAIN))
		set_source(resolver, &out->source, "DestinationRule", &rule->of->meta,
			   resource_place(rule->node, rule->tls != NULL ? "mode" : NULL));
	else if (cluster->gate.by != NULL)
		set_source(resolver, &out->source, "PeerAuthentication", &cluster->gate.by->meta,
			   cluster->gate.place);
	else
		set_source(resolver, &out->source, auto_mtls ? "auto mTLS" : "default", NULL,
			   nowhere);
	if (auto_mtls && rule->node == NULL)
		out->source.kind = "auto mTLS";
	if (cluster->level == CLUSTER_PLAIN)
		return true;
	if (auto_mtls || rule->tls->mode == CLIENT_TLS_ISTIO_MUTUAL)
		istio_mutual(resolver, client, service, rule->tls, subset, out);
	else if (rule->tls->mode != CLIENT_TLS_DISABLE)
		return file_settings(resolver, service, rule->tls, out);
	return true;
}

bool
resolve_outbound(struct resolver *resolver, const struct resolve_client *client,
		 const struct mesh_service *service, const struct service_port *port,
		 const char *subset, struct policy_outbound *out)
{
	const struct rule *rule =
		rule_find(resolver->mesh->rules, client->namespace, client->labels,
			  service->entry->meta.namespace, service->host);
	struct cluster cluster = {.reason = ""};
	bool udp;

	memset(out, 0, sizeof(*out));
	out->host = arena_string(resolver->out, service->host);
	out->port = (uint16_t)port->number;
	out->sni = "";
	service_port_protocol(port, &out->protocol, &udp);
	rule_tls(rule, subset, out->port, &cluster.rule);
	judge_cluster(resolver, service, &cluster);
	if (service->entry->resolution == SERVICE_NONE)
		fill_own_addresses(resolver, service, port, &cluster, out);
	else
		fill_endpoints(resolver, service, port, &cluster, rule, subset, out);
	resolver->n_endpoints += out->n_endpoints;
	return apply_settings(resolver, client, service, &cluster, subset, out);
}
