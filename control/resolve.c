/* SPDX-License-Identifier: Apache-2.0 */
#include "control/resolve.h"

#include <string.h>

#include "control/address.h"

/* Fills a snapshot: the workloads behind us, what may come to them, what they may call, and
 * the listeners on our own addresses. */

struct filling {
	const struct resolve_input *input;
	struct resolver resolver;
	struct mesh *mesh;
	struct policy_snapshot *snapshot;
	const struct workload_entry **entries; /* of snapshot->workloads, by index */
	bool full;
};

static void
insert(struct filling *filling, const struct snapshot_key *key, const void *value, int endpoint,
       const struct snapshot_entry **there)
{
	const struct snapshot_entry *found =
		snapshot_insert(filling->snapshot, key, value, endpoint, &filling->full);

	if (there != NULL)
		*there = found;
}

/* --- workloads ------------------------------------------------------------------------------- */

static const struct workload_entry *
find_entry(const struct resources *resources, const char *id)
{
	for (unsigned int i = 0; i < resources->n_workloads; i++)
		if (strcmp(resources->workloads[i]->meta.id, id) == 0)
			return resources->workloads[i];
	return NULL;
}

/* The configured identity that has the workload's SPIFFE ID; what there is instead is told. */
static struct tls_identity *
find_identity(struct filling *filling, const struct config_workload *config,
	      const struct workload_entry *entry)
{
	const struct resolve_input *input = filling->input;
	const char *id, *have = "";

	if (entry->spec.service_account == NULL || entry->spec.service_account[0] == '\0') {
		diagnostics_warning(filling->mesh->diagnostics, config->node->place,
				    "%s has no serviceAccount: it has no identity, and mutual TLS "
				    "for it is refused", entry->meta.id);
		return NULL;
	}
	id = mesh_identity(filling->mesh, entry->meta.namespace, entry->spec.service_account);
	for (unsigned int i = 0; i < input->n_identities; i++) {
		const char *spiffe = tls_identity_spiffe_id(input->identities[i]);

		if (strcmp(spiffe, id) == 0)
			return input->identities[i];
		have = arena_printf(filling->mesh->arena, "%s%s%s", have,
				    have[0] != '\0' ? ", " : "", spiffe);
	}
	diagnostics_warning(filling->mesh->diagnostics, config->node->place,
			    "no identity for %s, have %s: mutual TLS for %s is refused", id,
			    have[0] != '\0' ? have : "none", entry->meta.id);
	return NULL;
}

static void
fill_source(struct filling *filling, const struct peer_answer *answer,
	    struct policy_source *source)
{
	struct arena *out = filling->resolver.out;

	source->kind = answer->by != NULL ? "PeerAuthentication" : "default";
	source->name = answer->by != NULL ? arena_string(out, answer->by->meta.id) : "";
	source->file = answer->by != NULL ? arena_string(out, answer->place.file) : "";
	source->line = (int)answer->place.line;
}

static void
fill_inbound(struct filling *filling, unsigned int index, uint16_t port,
	     enum policy_protocol protocol, struct policy_inbound *inbound)
{
	const struct workload_entry *entry = filling->entries[index];
	struct peer_answer answer;

	resolve_peer(filling->mesh, entry->meta.namespace, &entry->labels, port, &answer);
	inbound->workload = &filling->snapshot->workloads[index].workload;
	inbound->port = port;
	inbound->mode = answer.mode;
	inbound->protocol = protocol;
	fill_source(filling, &answer, &inbound->source);
}

static bool
add_workload(struct filling *filling, const struct config_workload *config)
{
	struct policy_snapshot *snapshot = filling->snapshot;
	struct snapshot_workload *slot = &snapshot->workloads[snapshot->n_workloads];
	const struct workload_entry *entry =
		find_entry(filling->input->resources, config->name);
	const struct snapshot_entry *there;
	struct snapshot_key key;
	const char *account;

	if (entry == NULL) {
		diagnostics_error(filling->mesh->diagnostics,
				  resource_place(config->node, "name"),
				  "there is no WorkloadEntry %s, expected one in the mesh folder",
				  config->name);
		return false;
	}
	if (entry->spec.address == NULL ||
	    !address_parse(entry->spec.address, &slot->workload.address)) {
		diagnostics_error(filling->mesh->diagnostics,
				  resource_place(entry->meta.node, "spec.address"),
				  "address of a workload behind the gateway is \"%s\", expected an "
				  "IPv4 or IPv6 address",
				  entry->spec.address != NULL ? entry->spec.address : "");
		return false;
	}
	account = entry->spec.service_account;
	slot->workload.name = arena_string(filling->resolver.out, entry->meta.id);
	slot->workload.service_account =
		account == NULL || account[0] == '\0' ?
			"" :
			arena_printf(filling->resolver.out, "%s/%s", entry->meta.namespace, account);
	slot->workload.preserve_source = config->source == CONFIG_SOURCE_PRESERVE;
	slot->workload.identity = find_identity(filling, config, entry);
	if (slot->workload.identity != NULL)
		snapshot_keep_identity(snapshot, tls_identity_ref(slot->workload.identity));
	slot->index = snapshot->n_workloads;
	filling->entries[slot->index] = entry;
	key = snapshot_address_key(SNAPSHOT_WORKLOAD, &slot->workload.address, 0);
	insert(filling, &key, slot, -1, &there);
	if (there != NULL) {
		const struct snapshot_workload *other = there->value;

		diagnostics_error(filling->mesh->diagnostics,
				  resource_place(entry->meta.node, "spec.address"),
				  "address of %s is that of %s, expected one workload an address",
				  entry->meta.id, other->workload.name);
		return false;
	}
	snapshot->n_workloads++;
	fill_inbound(filling, slot->index, 0, POLICY_AUTO, &slot->undeclared);
	return true;
}

static void
add_workloads(struct filling *filling)
{
	const struct config *config = filling->input->config;
	struct arena *out = filling->resolver.out;
	unsigned int n = config->n_workloads;

	filling->snapshot->workloads =
		arena_array(out, n + 1, sizeof(*filling->snapshot->workloads));
	filling->entries = arena_array(filling->mesh->arena, n + 1, sizeof(*filling->entries));
	for (unsigned int i = 0; i < n; i++)
		add_workload(filling, &config->workloads[i]);
}

static int
find_workload(const struct filling *filling, const char *id)
{
	for (unsigned int i = 0; i < filling->snapshot->n_workloads; i++)
		if (strcmp(filling->snapshot->workloads[i].workload.name, id) == 0)
			return (int)i;
	return -1;
}

/* --- inbound ------------------------------------------------------------------------------------ */

/* Returns what is said of the port, which is added unless it is there already. */
static const struct policy_inbound *
add_inbound(struct filling *filling, unsigned int index, uint16_t port,
	    enum policy_protocol protocol)
{
	struct snapshot_key key = snapshot_inbound_key(index, port);
	const struct snapshot_entry *there = snapshot_find(filling->snapshot, &key);
	struct policy_inbound *inbound;

	if (there != NULL)
		return there->value;
	inbound = arena_alloc(filling->resolver.out, sizeof(*inbound));
	fill_inbound(filling, index, port, protocol, inbound);
	insert(filling, &key, inbound, -1, NULL);
	return inbound;
}

/* Whether an endpoint is the workload: by selection, or inline with its address. */
static bool
is_workload(const struct filling *filling, const struct mesh_endpoint *endpoint,
	    unsigned int index)
{
	if (endpoint->entry != NULL)
		return endpoint->entry == filling->entries[index];
	return endpoint->usable &&
	       address_equal(&endpoint->address,
			     &filling->snapshot->workloads[index].workload.address);
}

/* Services are sorted by age: where two disagree about a port, the oldest is right. */
static void
add_service_ports(struct filling *filling, unsigned int index, const struct mesh_service *service,
		  const struct mesh_endpoint *endpoint)
{
	for (unsigned int i = 0; i < service->entry->n_ports; i++) {
		const struct service_port *port = &service->entry->ports[i];
		uint16_t number = mesh_endpoint_port(port, endpoint);
		const struct policy_inbound *inbound;
		enum policy_protocol protocol;
		bool udp;

		service_port_protocol(port, &protocol, &udp);
		if (udp)
			continue;
		inbound = add_inbound(filling, index, number, protocol);
		if (inbound->protocol != protocol)
			diagnostics_warning(filling->mesh->diagnostics, port->node->place,
					    "port %u of %s is %s here and %s in an older service, "
					    "which counts", number, inbound->workload->name,
					    policy_protocol_name(protocol),
					    policy_protocol_name(inbound->protocol));
	}
}

static void
add_inbounds(struct filling *filling, unsigned int index)
{
	const struct resources *resources = filling->input->resources;

	for (unsigned int i = 0; i < filling->mesh->n_services; i++) {
		const struct mesh_service *service = &filling->mesh->services[i];

		/* The hosts of one entry say the same. */
		if (i > 0 && service->entry == service[-1].entry)
			continue;
		for (unsigned int j = 0; j < service->n_endpoints; j++)
			if (is_workload(filling, &service->endpoints[j], index))
				add_service_ports(filling, index, service, &service->endpoints[j]);
	}
	/* Ports that only a policy knows. That of another workload resolves to nothing else
	 * than the workload's own mode. */
	for (unsigned int i = 0; i < resources->n_peers; i++) {
		const struct peer_authentication *peer = resources->peers[i];

		if (strcmp(peer->meta.namespace, filling->entries[index]->meta.namespace) != 0)
			continue;
		for (unsigned int j = 0; j < peer->n_ports; j++)
			add_inbound(filling, index, (uint16_t)peer->ports[j].port, POLICY_AUTO);
	}
}

/* --- outbound --------------------------------------------------------------------------------------- */

static void
warn_taken(struct filling *filling, struct mesh_service *service,
	   const struct policy_prefix *prefix, uint16_t port, const struct snapshot_entry *there)
{
	const struct policy_outbound *other = there->value;
	char text[ADDRESS_TEXT];

	if (service->warned)
		return;
	service->warned = true;
	diagnostics_warning(filling->mesh->diagnostics,
			    resource_place(service->entry->meta.node, "spec"),
			    "%s port %u of %s is that of %s already, which counts",
			    prefix->length == 128 ? address_format(&prefix->address, text) :
						    address_format_prefix(prefix, text),
			    port, service->host, other->host);
}

static void
add_outbound_at(struct filling *filling, unsigned int client, struct mesh_service *service,
		const struct policy_prefix *prefix, uint16_t port,
		const struct policy_outbound *outbound, int endpoint)
{
	struct snapshot_key key = snapshot_outbound_key(client, prefix, port);
	const struct snapshot_entry *there;

	insert(filling, &key, outbound, endpoint, &there);
	if (there != NULL && there->value != outbound)
		warn_taken(filling, service, prefix, port, there);
}

/* With resolution NONE there is no endpoint for a prefix: what goes there in plaintext is
 * routed on, which is the same on the wire; TLS cannot be. */
static void
refuse_prefix(struct filling *filling, struct mesh_service *service, const char *address,
	      const struct policy_outbound *outbound)
{
	bool tls = outbound->identity != NULL || outbound->alpn_len > 0;

	if (service->warned)
		return;
	service->warned = true;
	if (tls)
		diagnostics_error(filling->mesh->diagnostics,
				  resource_place(service->entry->meta.node, "spec.addresses"),
				  "TLS to the prefix %s with resolution NONE is not supported yet, "
				  "expected single addresses", address);
	else
		diagnostics_warning(filling->mesh->diagnostics,
				    resource_place(service->entry->meta.node, "spec.addresses"),
				    "connections to the prefix %s are plaintext: they are routed on "
				    "and not logged", address);
}

static void
add_addresses(struct filling *filling, unsigned int client, struct mesh_service *service,
	      const struct policy_outbound *outbound)
{
	const struct service_entry *entry = service->entry;
	bool direct = entry->resolution == SERVICE_NONE;
	int own = 0;

	for (unsigned int i = 0; i < entry->n_addresses; i++) {
		struct policy_prefix prefix;

		if (!address_parse_prefix(entry->addresses[i], &prefix))
			continue;
		if (direct && prefix.length != 128)
			refuse_prefix(filling, service, entry->addresses[i], outbound);
		else
			add_outbound_at(filling, client, service, &prefix, outbound->port, outbound,
					direct ? own++ : -1);
	}
}

/* Without addresses of its own a service is known by those of its endpoints. */
static void
add_endpoint_addresses(struct filling *filling, unsigned int client, struct mesh_service *service,
		       const struct policy_outbound *outbound)
{
	for (unsigned int i = 0; i < outbound->n_endpoints; i++) {
		struct policy_prefix prefix = {.address = outbound->endpoints[i].address,
					       .length = 128};

		add_outbound_at(filling, client, service, &prefix, outbound->endpoints[i].port,
				outbound, (int)i);
	}
}

static struct resolve_client
client_of(const struct filling *filling, unsigned int index)
{
	struct resolve_client client = {
		.namespace = filling->entries[index]->meta.namespace,
		.labels = &filling->entries[index]->labels,
		.identity = filling->snapshot->workloads[index].workload.identity,
	};

	return client;
}

static void
add_outbounds(struct filling *filling, unsigned int index, struct mesh_service *service)
{
	struct resolve_client client = client_of(filling, index);

	for (unsigned int i = 0; i < service->entry->n_ports; i++) {
		struct policy_outbound *outbound;
		enum policy_protocol protocol;
		bool udp;

		service_port_protocol(&service->entry->ports[i], &protocol, &udp);
		if (udp || filling->full)
			continue;
		outbound = arena_alloc(filling->resolver.out, sizeof(*outbound));
		resolve_outbound(&filling->resolver, &client, service, &service->entry->ports[i],
				 "", outbound);
		if (service->entry->n_addresses > 0)
			add_addresses(filling, index, service, outbound);
		else
			add_endpoint_addresses(filling, index, service, outbound);
		filling->full |= filling->resolver.n_endpoints > RESOLVE_MAX_ENDPOINTS;
	}
}

/* --- listeners ------------------------------------------------------------------------------------------ */

static const struct policy_outbound *
listener_outbound(struct filling *filling, const struct config_outbound *config, int client_index)
{
	struct resolve_client client = client_of(filling, (unsigned int)client_index);
	const struct mesh_service *service =
		mesh_find_service(filling->mesh, config->host, client.namespace);
	struct policy_outbound *outbound;

	if (service == NULL) {
		diagnostics_error(filling->mesh->diagnostics, resource_place(config->node, "host"),
				  "there is no service %s that %s can see, expected a host of a "
				  "ServiceEntry", config->host, config->client);
		return NULL;
	}
	for (unsigned int i = 0; i < service->entry->n_ports; i++) {
		if (service->entry->ports[i].number != config->port)
			continue;
		outbound = arena_alloc(filling->resolver.out, sizeof(*outbound));
		resolve_outbound(&filling->resolver, &client, service, &service->entry->ports[i],
				 "", outbound);
		return outbound;
	}
	diagnostics_error(filling->mesh->diagnostics, resource_place(config->node, "port"),
			  "%s has no port %u, expected a port of ServiceEntry %s", config->host,
			  config->port, service->entry->meta.id);
	return NULL;
}

static void
add_listener(struct filling *filling, const struct config_listener *config)
{
	struct snapshot_key key =
		snapshot_address_key(SNAPSHOT_LISTENER, &config->address, config->port);
	struct snapshot_listener *listener =
		arena_alloc(filling->resolver.out, sizeof(*listener));
	const char *name = config->inbound != NULL ? config->inbound->workload :
						     config->outbound->client;
	int index = find_workload(filling, name);
	const struct snapshot_entry *there;

	if (index < 0)
		return; /* reported: of workloads, or by the check of portcullis.yaml */
	if (config->inbound != NULL) {
		listener->inbound = add_inbound(filling, (unsigned int)index, config->inbound->port,
						POLICY_AUTO);
	} else {
		listener->client = (uint32_t)index;
		listener->outbound = listener_outbound(filling, config->outbound, index);
		if (listener->outbound == NULL)
			return;
	}
	insert(filling, &key, listener, -1, &there);
	if (there != NULL)
		diagnostics_error(filling->mesh->diagnostics, config->node->place,
				  "the listener's address and port are taken by another one");
}

/* --- all of it --------------------------------------------------------------------------------------------- */

static void
fill_trust_domains(struct filling *filling)
{
	const struct mesh_settings *settings = &filling->input->settings;
	struct arena *out = filling->resolver.out;
	unsigned int n = settings->n_trust_domain_aliases;
	const char **domains = arena_array(out, n + 1, sizeof(*domains));

	domains[0] = arena_string(out, settings->trust_domain);
	for (unsigned int i = 0; i < n; i++)
		domains[i + 1] = arena_string(out, settings->trust_domain_aliases[i]);
	filling->snapshot->trust_domains = domains;
	filling->snapshot->n_trust_domains = n + 1;
}

static void
warn_unreachable(const struct filling *filling)
{
	for (unsigned int i = 0; i < filling->mesh->n_services; i++) {
		const struct mesh_service *service = &filling->mesh->services[i];

		if (service->entry->n_addresses == 0 && service->n_endpoints == 0)
			diagnostics_warning(filling->mesh->diagnostics,
					    resource_place(service->entry->meta.node, "spec"),
					    "%s has no address and no endpoint: no connection is "
					    "taken for it", service->host);
	}
}

struct policy_snapshot *
resolve(struct arena *arena, struct diagnostics *diagnostics, const struct resolve_input *input)
{
	struct filling filling = {.input = input};
	struct diagnostics_place nowhere = {.file = input->config->node.file};

	filling.snapshot = snapshot_create();
	filling.mesh = mesh_create(arena, diagnostics, &input->settings, input->resources);
	filling.resolver.mesh = filling.mesh;
	filling.resolver.snapshot = filling.snapshot;
	filling.resolver.out = filling.snapshot->arena;
	filling.resolver.folder = input->config->folder;
	fill_trust_domains(&filling);
	add_workloads(&filling);
	for (unsigned int i = 0; i < filling.snapshot->n_workloads; i++) {
		add_inbounds(&filling, i);
		for (unsigned int j = 0; j < filling.mesh->n_services && !filling.full; j++)
			if (mesh_service_visible(&filling.mesh->services[j],
						 filling.entries[i]->meta.namespace))
				add_outbounds(&filling, i, &filling.mesh->services[j]);
	}
	for (unsigned int i = 0; i < input->config->n_listeners; i++)
		add_listener(&filling, &input->config->listeners[i]);
	warn_unreachable(&filling);
	if (filling.full)
		diagnostics_error(diagnostics, nowhere,
				  "too many workloads and services: more than %u verdicts or %u "
				  "endpoints of verdicts", SNAPSHOT_MAX_ENTRIES,
				  RESOLVE_MAX_ENDPOINTS);
	return filling.snapshot;
}
