/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "control/address.h"
#include "control/resolve.h"

/* Services, their endpoints and their identities. */

#define TLS_MODE_LABEL "security.istio.io/tlsMode"

const char *
mesh_identity(const struct mesh *mesh, const char *namespace, const char *account)
{
	return arena_printf(mesh->arena, "spiffe://%s/ns/%s/sa/%s", mesh->settings.trust_domain,
			    namespace, account);
}

static bool
is_set(const char *text)
{
	return text != NULL && text[0] != '\0';
}

/* --- endpoints ------------------------------------------------------------------------------- */

/* Istio's getTLSModeFromWorkloadEntry. */
static void
set_tls_mode(struct mesh_endpoint *endpoint)
{
	const char *label = labels_get(&endpoint->labels, TLS_MODE_LABEL);

	endpoint->tls_mode_from_label = label != NULL;
	if (label != NULL)
		endpoint->tls_mode = label;
	else
		endpoint->tls_mode = is_set(endpoint->spec->service_account) ? "istio" : "disabled";
}

static void
set_address(const struct mesh *mesh, const struct mesh_service *service,
	    struct mesh_endpoint *endpoint)
{
	const char *address = endpoint->spec->address;

	endpoint->usable = is_set(address) && address_parse(address, &endpoint->address);
	if (!endpoint->usable)
		diagnostics_warning(mesh->diagnostics,
				    resource_place(endpoint->spec->node, "address"),
				    "address \"%s\" is not an IP address: not resolved by this "
				    "version, the endpoint is left out of %s",
				    is_set(address) ? address : "", service->host);
}

static struct mesh_endpoint
inline_endpoint(const struct workload_spec *spec)
{
	struct mesh_endpoint endpoint = {
		.spec = spec, .namespace = "", .name = "", .labels = spec->labels};

	return endpoint;
}

static struct mesh_endpoint
selected_endpoint(const struct workload_entry *entry)
{
	struct mesh_endpoint endpoint = {.spec = &entry->spec,
					 .entry = entry,
					 .namespace = entry->meta.namespace,
					 .name = entry->meta.id,
					 .labels = entry->labels};

	return endpoint;
}

/* A workloadSelector takes WorkloadEntries of its own namespace, and none if it is empty. */
static bool
service_selects(const struct service_entry *service, const struct workload_entry *entry)
{
	return service->selector != NULL && service->selector->labels.n > 0 &&
	       strcmp(service->meta.namespace, entry->meta.namespace) == 0 &&
	       labels_match(&service->selector->labels, &entry->labels);
}

static void
fill_endpoints(const struct mesh *mesh, struct mesh_service *service)
{
	const struct service_entry *entry = service->entry;
	unsigned int n = 0;
	struct mesh_endpoint *endpoints;

	for (unsigned int i = 0; i < mesh->resources->n_workloads; i++)
		n += service_selects(entry, mesh->resources->workloads[i]);
	n += entry->n_endpoints;
	endpoints = arena_array(mesh->arena, n + 1, sizeof(*endpoints));
	n = 0;
	for (unsigned int i = 0; i < entry->n_endpoints; i++)
		endpoints[n++] = inline_endpoint(&entry->endpoints[i]);
	for (unsigned int i = 0; i < mesh->resources->n_workloads; i++)
		if (service_selects(entry, mesh->resources->workloads[i]))
			endpoints[n++] = selected_endpoint(mesh->resources->workloads[i]);
	for (unsigned int i = 0; i < n; i++) {
		set_tls_mode(&endpoints[i]);
		set_address(mesh, service, &endpoints[i]);
	}
	service->endpoints = endpoints;
	service->n_endpoints = n;
}

/* --- secure naming ------------------------------------------------------------------------------
 */

struct names {
	const char **names;
	unsigned int n;
};

static void
add_name(struct names *names, const char *name)
{
	for (unsigned int i = 0; i < names->n; i++)
		if (strcmp(names->names[i], name) == 0)
			return;
	names->names[names->n++] = name;
}

/* The part of spiffe://DOMAIN/ns/NS/sa/SA that follows the domain; NULL: of another form. */
static const char *
identity_path(const char *name)
{
	const char *path;
	unsigned int slashes = 0;

	if (strncmp(name, "spiffe://", 9) != 0)
		return NULL;
	path = strchr(name + 9, '/');
	for (const char *at = path; at != NULL && *at != '\0'; at++)
		slashes += *at == '/';
	if (path == NULL || slashes != 4 || strncmp(path, "/ns/", 4) != 0 ||
	    strstr(path + 4, "/sa/") == NULL)
		return NULL;
	return path;
}

/* Each identity is good in every alias of the trust domain, too. */
static void
add_aliases(const struct mesh *mesh, struct names *names)
{
	unsigned int n = names->n;

	for (unsigned int i = 0; i < n; i++) {
		const char *path = identity_path(names->names[i]);

		for (unsigned int j = 0; path != NULL && j < mesh->settings.n_trust_domain_aliases;
		     j++)
			add_name(names, arena_printf(mesh->arena, "spiffe://%s%s",
						     mesh->settings.trust_domain_aliases[j], path));
	}
}

static void
fill_accounts(const struct mesh *mesh, struct mesh_service *service)
{
	unsigned int room = service->n_endpoints + service->entry->n_subject_alt_names;
	struct names names = {0};

	room *= 1 + mesh->settings.n_trust_domain_aliases;
	names.names = arena_array(mesh->arena, room + 1, sizeof(*names.names));
	for (unsigned int i = 0; i < service->n_endpoints; i++) {
		const struct mesh_endpoint *endpoint = &service->endpoints[i];

		/* The namespace is the service's, also of an inline endpoint. */
		if (is_set(endpoint->spec->service_account))
			add_name(&names, mesh_identity(mesh, service->entry->meta.namespace,
						       endpoint->spec->service_account));
	}
	for (unsigned int i = 0; i < service->entry->n_subject_alt_names; i++)
		add_name(&names, service->entry->subject_alt_names[i]);
	add_aliases(mesh, &names);
	service->accounts = names.names;
	service->n_accounts = names.n;
}

/* --- services
 * -------------------------------------------------------------------------------------- */

/* The hosts of one entry share endpoints and names. */
static void
add_services(struct mesh *mesh, const struct service_entry *entry)
{
	struct mesh_service *first = &mesh->services[mesh->n_services];

	for (unsigned int i = 0; i < entry->n_hosts; i++) {
		struct mesh_service *service = &mesh->services[mesh->n_services++];

		service->entry = entry;
		service->host = entry->hosts[i];
		if (i == 0) {
			fill_endpoints(mesh, service);
			fill_accounts(mesh, service);
			continue;
		}
		service->endpoints = first->endpoints;
		service->n_endpoints = first->n_endpoints;
		service->accounts = first->accounts;
		service->n_accounts = first->n_accounts;
	}
}

/* Istio would unite their endpoints and names. */
static void
warn_of_shared_hosts(const struct mesh *mesh)
{
	for (unsigned int i = 0; i < mesh->n_services; i++) {
		const struct mesh_service *service = &mesh->services[i];

		for (unsigned int j = 0; j < i; j++) {
			const struct service_entry *other = mesh->services[j].entry;

			if (other == service->entry ||
			    strcmp(mesh->services[j].host, service->host) != 0 ||
			    strcmp(other->meta.namespace, service->entry->meta.namespace) != 0)
				continue;
			diagnostics_warning(mesh->diagnostics,
					    resource_place(service->entry->meta.node, "spec.hosts"),
					    "%s is a host of ServiceEntry %s, too: their endpoints "
					    "and identities are not united by this version",
					    service->host, other->meta.id);
			break;
		}
	}
}

struct mesh *
mesh_create(struct arena *arena, struct diagnostics *diagnostics,
	    const struct mesh_settings *settings, const struct resources *resources)
{
	struct mesh *mesh = arena_alloc(arena, sizeof(*mesh));
	unsigned int n = 0;

	mesh->arena = arena;
	mesh->diagnostics = diagnostics;
	mesh->settings = *settings;
	mesh->resources = resources;
	for (unsigned int i = 0; i < resources->n_services; i++)
		n += resources->services[i]->n_hosts;
	mesh->services = arena_array(arena, n + 1, sizeof(*mesh->services));
	for (unsigned int i = 0; i < resources->n_services; i++)
		add_services(mesh, resources->services[i]);
	warn_of_shared_hosts(mesh);
	mesh->rules = rule_index_create(arena, diagnostics, resources, settings->root_namespace);
	return mesh;
}

bool
mesh_service_visible(const struct mesh_service *service, const char *client_namespace)
{
	const struct service_entry *entry = service->entry;
	bool own = strcmp(entry->meta.namespace, client_namespace) == 0;

	if (entry->n_export_to == 0)
		return true;
	for (unsigned int i = 0; i < entry->n_export_to; i++)
		if (strcmp(entry->export_to[i], "*") == 0 ||
		    strcmp(entry->export_to[i], client_namespace) == 0 ||
		    (own && strcmp(entry->export_to[i], ".") == 0))
			return true;
	return false;
}

uint16_t
mesh_endpoint_port(const struct service_port *port, const struct mesh_endpoint *endpoint)
{
	for (unsigned int i = 0; i < endpoint->spec->n_ports; i++)
		if (strcmp(endpoint->spec->ports[i].name, port->name) == 0)
			return (uint16_t)endpoint->spec->ports[i].port;
	return (uint16_t)(port->target_port != 0 ? port->target_port : port->number);
}

const struct mesh_service *
mesh_find_service(const struct mesh *mesh, const char *host, const char *client_namespace)
{
	const struct mesh_service *found = NULL;

	for (unsigned int i = 0; i < mesh->n_services; i++) {
		const struct mesh_service *service = &mesh->services[i];

		if (strcasecmp(service->host, host) != 0 ||
		    !mesh_service_visible(service, client_namespace))
			continue;
		/* The client's own namespace goes first, then age. */
		if (strcmp(service->entry->meta.namespace, client_namespace) == 0)
			return service;
		if (found == NULL)
			found = service;
	}
	return found;
}
