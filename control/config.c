/* SPDX-License-Identifier: Apache-2.0 */
#include "control/config.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "control/address.h"
#include "control/config_document.h"

/* --- paths ---------------------------------------------------------------------------------- */

const char *
config_path(struct arena *arena, const char *folder, const char *path)
{
	if (path[0] == '/' || strcmp(folder, ".") == 0)
		return arena_string(arena, path);
	return arena_printf(arena, "%s%s%s", folder,
			    folder[0] && folder[strlen(folder) - 1] == '/' ? "" : "/", path);
}

static const char *
folder_of(struct arena *arena, const char *file)
{
	const char *slash = strrchr(file, '/');

	if (slash == NULL)
		return ".";
	return arena_copy(arena, file, slash == file ? 1 : (size_t)(slash - file));
}

/* --- from the document to what the others see ----------------------------------------------- */

static const char *
or_empty(const char *text)
{
	return text ? text : ""; /* after an error only */
}

static const struct policy_port *
resolve_ports(struct arena *arena, const struct document *document)
{
	struct policy_port *ports = arena_array(arena, document->n_ports, sizeof(*ports));

	for (unsigned int i = 0; i < document->n_ports; i++) {
		const struct document_port *from = &document->ports[i];

		ports[i] = (struct policy_port){
			.name = or_empty(from->name),
			.device = or_empty(from->device),
			.mtu = from->mtu,
			.vlan = from->vlan,
			.addresses = from->addresses,
			.n_addresses = from->n_addresses,
		};
	}
	return ports;
}

static const struct policy_route *
resolve_routes(struct arena *arena, const struct document *document)
{
	struct policy_route *routes = arena_array(arena, document->n_routes, sizeof(*routes));

	for (unsigned int i = 0; i < document->n_routes; i++) {
		const struct document_route *from = &document->routes[i];

		routes[i].to = from->to;
		routes[i].via = from->via; /* zero when it was left out: on-link */
		for (unsigned int port = 0; port < document->n_ports; port++) {
			if (from->port != NULL && document->ports[port].name != NULL &&
			    strcmp(document->ports[port].name, from->port) == 0)
				routes[i].port = port;
		}
	}
	return routes;
}

static void
resolve_workers(struct policy_node *node, const struct document_workers *workers)
{
	unsigned int max = POLICY_MAX_WORKERS;

	node->workers = workers->count;
	if (!workers->has_count && workers->n_cores > 0)
		node->workers = workers->n_cores < max ? workers->n_cores : max;
	for (unsigned int i = 0; i < max; i++)
		node->cores[i] = i < workers->n_cores ? workers->cores[i] : -1;
	node->idle = (enum policy_idle)workers->idle;
	node->max_connections = workers->max_connections;
	node->memory_mib = workers->memory_mib;
	node->buffer_bytes = workers->buffer_bytes;
}

static void
resolve_node(struct arena *arena, const struct document *document, const char *file,
	     const char *folder, struct policy_node *node)
{
	const char *log = document->log.connections;
	bool stream = strcmp(log, "stdout") == 0 || strcmp(log, "stderr") == 0;

	node->name = or_empty(document->node.name);
	node->file = arena_string(arena, file);
	resolve_workers(node, &document->workers);
	node->crypto_device = document->crypto.device;
	node->tls_min_version = document->tls.min_version;
	node->connect_timeout_ms = document->timeouts.connect;
	node->handshake_timeout_ms = document->timeouts.handshake;
	node->detect_timeout_ms = document->timeouts.detect;
	node->idle_timeout_ms = document->timeouts.idle;
	node->drain_ms = document->timeouts.drain;
	node->keepalive_ms = document->timeouts.keepalive;
	node->ports = resolve_ports(arena, document);
	node->n_ports = document->n_ports;
	node->routes = resolve_routes(arena, document);
	node->n_routes = document->n_routes;
	node->connection_log = stream ? log : config_path(arena, folder, log);
	if (document->admin.socket != NULL)
		node->admin_socket = config_path(arena, folder, document->admin.socket);
}

static void
resolve_names(struct arena *arena, struct document *document, const char *folder)
{
	for (unsigned int i = 0; i < document->n_identities; i++) {
		struct config_identity *identity = &document->identities[i];

		identity->certificate_chain =
			config_path(arena, folder, or_empty(identity->certificate_chain));
		identity->private_key = config_path(arena, folder, or_empty(identity->private_key));
		identity->trust_bundle =
			config_path(arena, folder, or_empty(identity->trust_bundle));
	}
	for (unsigned int i = 0; i < document->n_workloads; i++)
		document->workloads[i].name = or_empty(document->workloads[i].name);
	for (unsigned int i = 0; i < document->n_listeners; i++) {
		/* Bound by us into this arena, const only to those who read it. */
		struct config_inbound *in = (void *)(uintptr_t)document->listeners[i].inbound;
		struct config_outbound *out = (void *)(uintptr_t)document->listeners[i].outbound;

		if (in != NULL)
			in->workload = or_empty(in->workload);
		if (out != NULL) {
			out->client = or_empty(out->client);
			out->host = or_empty(out->host);
		}
	}
}

/* --- what the paths lead to ----------------------------------------------------------------- */

/* Looked at, not opened: a fifo would wait for its writer. */
static bool
check_file(struct diagnostics *diagnostics, const struct yaml_node *root, const char *field,
	   const char *path)
{
	struct diagnostics_place place = yaml_deepest(root, field)->place;
	struct stat status;
	bool there = stat(path, &status) == 0;

	if (there && S_ISREG(status.st_mode) && access(path, R_OK) == 0)
		return true;
	if (there && !S_ISREG(status.st_mode))
		diagnostics_error(diagnostics, place, "%s: \"%s\" is not a file, expected one",
				  field, path);
	else
		diagnostics_error(diagnostics, place,
				  "%s: cannot read \"%s\" (%s), expected a file", field, path,
				  strerror(errno));
	return false;
}

static void
check_identity(struct document *document, unsigned int i, struct diagnostics *diagnostics)
{
	struct config_identity *identity = &document->identities[i];
	const struct {
		const char *field, *path;
	} files[] = {{"certificateChain", identity->certificate_chain},
		     {"privateKey", identity->private_key},
		     {"trustBundle", identity->trust_bundle}};

	for (unsigned int f = 0; f < 3; f++) {
		const struct yaml_node *written = yaml_get(identity->node, files[f].field);
		bool bound = written != NULL && written->kind == YAML_STRING && written->len > 0;
		char field[64];

		snprintf(field, sizeof(field), "identities[%u].%s", i, files[f].field);
		if (!bound || !check_file(diagnostics, document->yaml, field, files[f].path))
			identity->unusable = true;
	}
}

static void
check_identities(struct document *document, struct diagnostics *diagnostics)
{
	for (unsigned int i = 0; i < document->n_identities; i++)
		check_identity(document, i, diagnostics);
	if (document->n_identities == 0)
		diagnostics_warning(diagnostics, yaml_deepest(document->yaml, "identities")->place,
				    "identities is empty, expected at least one for mutual TLS");
}

/* --- reading -------------------------------------------------------------------------------- */

static const struct config *
read_documents(struct arena *arena, struct diagnostics *diagnostics, const char *file,
	       const struct yaml_documents *documents)
{
	struct document *document = arena_alloc(arena, sizeof(*document));
	struct config *config = arena_alloc(arena, sizeof(*config));
	const struct yaml_node *root;

	if (documents->n == 0 || documents->roots[0]->kind != YAML_MAP) {
		struct diagnostics_place place = {
			.file = arena_string(arena, file), .line = 1, .column = 1};

		if (documents->n > 0)
			place = documents->roots[0]->place;
		if (!documents->broken)
			diagnostics_error(
				diagnostics, place,
				"the document is %s, expected a mapping with node, ports, "
				"mesh and others",
				documents->n == 0 ? "empty"
						  : yaml_kind_name(documents->roots[0]->kind));
		return NULL;
	}
	root = documents->roots[0];
	if (documents->n > 1)
		diagnostics_error(diagnostics, documents->roots[1]->place,
				  "a second document, expected one in this file");
	schema_bind(&config_schema, root, "", 0, arena, diagnostics, document);
	config_check(document, diagnostics);

	config->yaml = root;
	config->folder = folder_of(arena, file);
	resolve_names(arena, document, config->folder);
	resolve_node(arena, document, file, config->folder, &config->node);
	if (document->mesh != NULL)
		config->mesh = config_path(arena, config->folder, document->mesh);
	config->mesh_place = yaml_deepest(root, "mesh")->place;
	config->trust_domain = document->node.trust_domain;
	config->trust_domain_aliases = document->node.trust_domain_aliases;
	config->n_trust_domain_aliases = document->node.n_trust_domain_aliases;
	config->root_namespace = document->node.root_namespace;
	config->enable_auto_mtls = document->node.enable_auto_mtls;
	config->identities = document->identities;
	config->n_identities = document->n_identities;
	config->workloads = document->workloads;
	config->n_workloads = document->n_workloads;
	config->listeners = document->listeners;
	config->n_listeners = document->n_listeners;
	check_identities(document, diagnostics);
	return config;
}

const struct config *
config_read(struct arena *arena, struct diagnostics *diagnostics, const char *file)
{
	struct yaml_documents documents;

	yaml_parse_file(arena, diagnostics, file, (struct diagnostics_place){0}, &documents);
	return read_documents(arena, diagnostics, file, &documents);
}

const struct config *
config_parse(struct arena *arena, struct diagnostics *diagnostics, const char *file,
	     const void *text, size_t len)
{
	struct yaml_documents documents;

	yaml_parse_text(arena, diagnostics, file, text, len, &documents);
	return read_documents(arena, diagnostics, file, &documents);
}

/* --- the mesh folder ------------------------------------------------------------------------ */

static int
is_resource(const struct dirent *entry)
{
	const char *dot = strrchr(entry->d_name, '.');

	return entry->d_name[0] != '.' && dot != NULL &&
	       (strcmp(dot, ".yaml") == 0 || strcmp(dot, ".yml") == 0);
}

static int
by_name(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name); /* of bytes, whatever the locale */
}

unsigned int
config_mesh_files(struct arena *arena, struct diagnostics *diagnostics, const char *folder,
		  struct diagnostics_place place, const char ***files)
{
	struct dirent **entries = NULL;
	int found = scandir(folder, &entries, is_resource, by_name);
	unsigned int n = 0;

	if (found < 0)
		diagnostics_error(diagnostics, place,
				  "mesh: cannot read \"%s\" (%s), expected a folder", folder,
				  strerror(errno));
	*files = arena_array(arena, found > 0 ? (size_t)found : 1, sizeof(**files));
	if (found < 0)
		return 0;
	for (int i = 0; i < found; i++) {
		const char *path = config_path(arena, folder, entries[i]->d_name);
		struct stat status;

		/* A dangling link stays: opening it says what is wrong. */
		if (stat(path, &status) != 0 || !S_ISDIR(status.st_mode))
			(*files)[n++] = path;
		free(entries[i]);
	}
	free(entries);
	if (n == 0)
		diagnostics_warning(diagnostics, place,
				    "no *.yaml or *.yml in \"%s\", expected Istio resources",
				    folder);
	return n;
}
