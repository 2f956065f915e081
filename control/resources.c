/* SPDX-License-Identifier: Apache-2.0 */
#include "control/resources.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define MAX_LIST_DEPTH 4 /* kind: List within kind: List */

/* A document of one of our kinds is bound to a struct that begins with struct resource. */
struct kind {
	const char *group, *name;
	size_t size;
	/* Binds and checks; where to put the result: an index into struct growing. */
	enum { PEERS, RULES, SERVICES, WORKLOADS, KINDS } list;
};

static const struct kind kinds[] = {
	{"security.istio.io", "PeerAuthentication", sizeof(struct peer_authentication), PEERS},
	{"networking.istio.io", "DestinationRule", sizeof(struct destination_rule), RULES},
	{"networking.istio.io", "ServiceEntry", sizeof(struct service_entry), SERVICES},
	{"networking.istio.io", "WorkloadEntry", sizeof(struct workload_entry), WORKLOADS},
};

static const struct {
	const char *group;
	const char *versions; /* space separated */
} groups[] = {
	{"security.istio.io", "v1 v1beta1"}, {"networking.istio.io", "v1 v1beta1 v1alpha3"},
	{"telemetry.istio.io", NULL},        {"extensions.istio.io", NULL},
	{"install.istio.io", NULL},
};

/* Kinds of Istio that have no effect here, and whether leaving them out is safe. */
static const struct {
	const char *group, *name;
	bool refuses; /* it only ever keeps traffic out */
} others[] = {
	{"security.istio.io", "AuthorizationPolicy", true},
	{"security.istio.io", "RequestAuthentication", true},
	{"networking.istio.io", "VirtualService", false},
	{"networking.istio.io", "Gateway", false},
	{"networking.istio.io", "Sidecar", false},
	{"networking.istio.io", "EnvoyFilter", false},
	{"networking.istio.io", "WorkloadGroup", false},
	{"networking.istio.io", "ProxyConfig", false},
	{"telemetry.istio.io", "Telemetry", false},
	{"extensions.istio.io", "WasmPlugin", false},
};

struct reader {
	struct arena *arena;
	struct diagnostics *diagnostics;
	const char *root_namespace;
	struct {
		struct resource **items;
		unsigned int n, room;
	} lists[KINDS];
};

bool
labels_match(const struct labels *selector, const struct labels *labels)
{
	for (unsigned int i = 0; i < selector->n; i++) {
		const char *value = labels_get(labels, selector->pairs[i].key);

		if (value == NULL || selector->pairs[i].value == NULL ||
		    strcmp(value, selector->pairs[i].value) != 0)
			return false;
	}
	return true;
}

const char *
labels_get(const struct labels *labels, const char *key)
{
	for (unsigned int i = 0; i < labels->n; i++)
		if (strcmp(labels->pairs[i].key, key) == 0)
			return labels->pairs[i].value != NULL ? labels->pairs[i].value : "";
	return NULL;
}

struct diagnostics_place
resource_place(const struct yaml_node *node, const char *field)
{
	struct diagnostics_place nowhere = {0};

	if (node == NULL)
		return nowhere;
	return field == NULL ? node->place : yaml_deepest(node, field)->place;
}

/* --- metadata ----------------------------------------------------------------------------- */

bool
resource_time(const char *text, int64_t *seconds)
{
	struct tm tm = {0};
	int hours = 0, minutes = 0;
	const char *rest = strptime(text, "%Y-%m-%dT%H:%M:%S", &tm);

	if (rest == NULL)
		return false;
	if (*rest == '.') {
		size_t digits = strspn(rest + 1, "0123456789");

		if (digits == 0)
			return false;
		rest += 1 + digits;
	}
	*seconds = timegm(&tm);
	if (strcmp(rest, "Z") == 0)
		return true;
	if ((*rest != '+' && *rest != '-') || strlen(rest) != 6 || rest[3] != ':' ||
	    sscanf(rest + 1, "%2d:%2d", &hours, &minutes) != 2)
		return false;
	*seconds -= (*rest == '-' ? -1 : 1) * (hours * 3600 + minutes * 60);
	return true;
}

static const char *
parse_time(struct arena *arena, const char *text, void *out)
{
	return resource_time(text, out) ? NULL : "a time such as 2026-01-31T12:00:00Z";
}

struct metadata {
	const char *name, *namespace;
	struct labels labels;
	bool has_time;
	int64_t created;
};

#define UNUSED_FIELD(field)                                                                        \
	{                                                                                          \
		.name = field, .type = SCHEMA_ANY                                                  \
	}

static const struct schema_field metadata_fields[] = {
	{.name = "name",
	 .type = SCHEMA_STRING,
	 SCHEMA_AT(struct metadata, name),
	 .required = true,
	 .min = 1,
	 .max = 253},
	{.name = "namespace",
	 .type = SCHEMA_STRING,
	 SCHEMA_AT(struct metadata, namespace),
	 .fallback = "default",
	 .min = 1,
	 .max = 63},
	{.name = "labels", SCHEMA_STRING_MAP(struct metadata, labels.pairs, labels.n)},
	{.name = "creationTimestamp",
	 .type = SCHEMA_CUSTOM,
	 SCHEMA_AT(struct metadata, created),
	 SCHEMA_PRESENT_AT(struct metadata, has_time),
	 .parse = parse_time,
	 .kind = "time"},
	/* What a cluster adds when it is asked for a document. */
	UNUSED_FIELD("annotations"),
	UNUSED_FIELD("uid"),
	UNUSED_FIELD("resourceVersion"),
	UNUSED_FIELD("generation"),
	UNUSED_FIELD("generateName"),
	UNUSED_FIELD("managedFields"),
	UNUSED_FIELD("ownerReferences"),
	UNUSED_FIELD("finalizers"),
	UNUSED_FIELD("selfLink"),
	UNUSED_FIELD("deletionTimestamp"),
	UNUSED_FIELD("deletionGracePeriodSeconds"),
	{.name = NULL},
};
static const struct schema metadata_schema = {
	.name = "metadata", .fields = metadata_fields, SCHEMA_STRUCT(struct metadata)};

struct envelope {
	const char *api_version, *kind;
	struct metadata metadata;
	const struct yaml_node *spec;
};

static const struct schema_field envelope_fields[] = {
	{.name = "apiVersion",
	 .type = SCHEMA_STRING,
	 SCHEMA_AT(struct envelope, api_version),
	 .required = true},
	{.name = "kind", .type = SCHEMA_STRING, SCHEMA_AT(struct envelope, kind), .required = true},
	{.name = "metadata",
	 .type = SCHEMA_OBJECT,
	 SCHEMA_AT(struct envelope, metadata),
	 .object = &metadata_schema,
	 .required = true},
	{.name = "spec", .type = SCHEMA_ANY, SCHEMA_AT(struct envelope, spec)},
	UNUSED_FIELD("status"),
	{.name = NULL},
};
static const struct schema envelope_schema = {
	.name = "resource", .fields = envelope_fields, SCHEMA_STRUCT(struct envelope)};

/* --- one document --------------------------------------------------------------------------- */

static void
list_append(struct reader *reader, unsigned int which, struct resource *resource)
{
	if (reader->lists[which].n == reader->lists[which].room) {
		unsigned int room = reader->lists[which].room * 2 + 16;
		struct resource **items = arena_array(reader->arena, room, sizeof(*items));

		if (reader->lists[which].n > 0)
			memcpy(items, reader->lists[which].items,
			       reader->lists[which].n * sizeof(*items));
		reader->lists[which].items = items;
		reader->lists[which].room = room;
	}
	reader->lists[which].items[reader->lists[which].n++] = resource;
}

static struct labels
labels_merge(struct arena *arena, const struct labels *base, const struct labels *over)
{
	struct labels merged = *over;
	struct schema_pair *pairs = arena_array(arena, base->n + over->n + 1, sizeof(*pairs));

	if (over->n > 0)
		memcpy(pairs, over->pairs, over->n * sizeof(*pairs));
	for (unsigned int i = 0; i < base->n; i++)
		if (labels_get(over, base->pairs[i].key) == NULL)
			pairs[merged.n++] = base->pairs[i];
	merged.pairs = pairs;
	return merged;
}

/* Istio's ResolveShortnameToFQDN. */
static const char *
full_host(struct arena *arena, const char *host, const char *namespace)
{
	if (host[0] == '\0' || strcmp(host, "*") == 0 || strpbrk(host, ".:") != NULL)
		return host;
	return arena_printf(arena, "%s.%s.svc.cluster.local", host, namespace);
}

static bool
bind_spec(struct reader *reader, const struct schema *schema, const struct envelope *envelope,
	  const struct yaml_node *document, void *out)
{
	struct yaml_node *empty;

	if (envelope->spec != NULL && envelope->spec->kind != YAML_NULL)
		return schema_bind(schema, envelope->spec, "spec", SCHEMA_PROTOJSON, reader->arena,
				   reader->diagnostics, out);
	empty = arena_alloc(reader->arena, sizeof(*empty));
	empty->kind = YAML_MAP;
	empty->place = document->place;
	return schema_bind(schema, empty, "spec", SCHEMA_PROTOJSON, reader->arena,
			   reader->diagnostics, out);
}

static void
fill_meta(struct reader *reader, const struct kind *kind, const struct envelope *envelope,
	  const struct yaml_node *document, struct resource *meta)
{
	meta->node = document;
	meta->kind = kind->name;
	meta->namespace = envelope->metadata.namespace;
	meta->name = envelope->metadata.name;
	meta->id = arena_printf(reader->arena, "%s/%s", meta->namespace, meta->name);
	meta->created = envelope->metadata.has_time ? envelope->metadata.created : INT64_MIN;
	meta->labels = envelope->metadata.labels;
}

/* Binds the spec, then writes the metadata, which the struct begins with. */
static struct resource *
read_kind(struct reader *reader, const struct kind *kind, const struct envelope *envelope,
	  const struct yaml_node *document)
{
	void *out = arena_alloc(reader->arena, kind->size);
	struct workload_entry *workload = out;
	struct destination_rule *rule = out;
	bool good;

	switch (kind->list) {
	case PEERS:
		good = bind_spec(reader, &peer_authentication_schema, envelope, document, out);
		fill_meta(reader, kind, envelope, document, out);
		if (good)
			peer_authentication_check(out, reader->root_namespace, reader->diagnostics);
		break;
	case RULES:
		good = bind_spec(reader, &destination_rule_schema, envelope, document, out);
		fill_meta(reader, kind, envelope, document, out);
		if (good) {
			rule->fqdn = full_host(reader->arena, rule->host, rule->meta.namespace);
			destination_rule_check(out, reader->diagnostics);
		}
		break;
	case SERVICES:
		good = bind_spec(reader, &service_entry_schema, envelope, document, out);
		fill_meta(reader, kind, envelope, document, out);
		if (good)
			service_entry_check(out, reader->diagnostics);
		break;
	case WORKLOADS:
		good = bind_spec(reader, &workload_entry_schema, envelope, document,
				 &workload->spec);
		fill_meta(reader, kind, envelope, document, out);
		workload->labels =
			labels_merge(reader->arena, &workload->spec.labels, &workload->meta.labels);
		if (good)
			workload_entry_check(out, reader->diagnostics);
		break;
	default:
		return NULL;
	}
	return good ? out : NULL;
}

static bool
version_is_known(const char *versions, const char *version)
{
	size_t len = strlen(version);

	for (const char *at = versions; at != NULL; at = strchr(at, ' ')) {
		at += *at == ' ';
		if (strcspn(at, " ") == len && strncmp(at, version, len) == 0)
			return true;
	}
	return false;
}

/* NULL: not a group of Istio's. */
static const char *
split_version(struct reader *reader, const char *api_version, const char **version,
	      const char **versions)
{
	const char *slash = strchr(api_version, '/');
	size_t len = slash != NULL ? (size_t)(slash - api_version) : 0;

	for (size_t i = 0; i < sizeof(groups) / sizeof(groups[0]); i++) {
		if (slash == NULL || strlen(groups[i].group) != len ||
		    strncmp(groups[i].group, api_version, len) != 0)
			continue;
		*version = slash + 1;
		*versions = groups[i].versions;
		return groups[i].group;
	}
	return NULL;
}

static void
read_other(struct reader *reader, const char *group, const char *kind,
	   const struct yaml_node *document)
{
	struct diagnostics_place place = resource_place(document, "kind");

	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		if (strcmp(others[i].group, group) != 0 || strcmp(others[i].name, kind) != 0)
			continue;
		if (others[i].refuses)
			diagnostics_error(reader->diagnostics, place,
					  "%s is not supported yet: refusing to ignore a policy "
					  "that keeps traffic out",
					  kind);
		else
			diagnostics_warning(reader->diagnostics, place,
					    "%s is not acted on by this version", kind);
		return;
	}
	diagnostics_error(reader->diagnostics, place,
			  "kind is \"%s\", expected PeerAuthentication, DestinationRule, "
			  "ServiceEntry or WorkloadEntry",
			  kind);
}

static void read_document(struct reader *reader, const struct yaml_node *document,
			  unsigned int depth);

static void
read_list(struct reader *reader, const struct yaml_node *document, unsigned int depth)
{
	const struct yaml_node *items = yaml_get(document, "items");

	if (items == NULL || items->kind == YAML_NULL)
		return;
	if (items->kind != YAML_LIST || depth >= MAX_LIST_DEPTH) {
		diagnostics_error(reader->diagnostics, items->place,
				  "items is %s, expected a list of resources",
				  items->kind == YAML_LIST ? "too deep"
							   : yaml_kind_name(items->kind));
		return;
	}
	for (unsigned int i = 0; i < items->n; i++)
		read_document(reader, items->values[i], depth + 1);
}

/* A mapping with an apiVersion and a kind that are strings; else reported. */
static bool
read_type(struct reader *reader, const struct yaml_node *document, const char **api_version,
	  const char **kind)
{
	const struct yaml_node *version_node, *kind_node;

	if (document->kind != YAML_MAP) {
		diagnostics_error(reader->diagnostics, document->place,
				  "the document is %s, expected a resource with apiVersion, kind, "
				  "metadata and spec",
				  yaml_kind_name(document->kind));
		return false;
	}
	version_node = yaml_get(document, "apiVersion");
	kind_node = yaml_get(document, "kind");
	if (version_node == NULL || version_node->kind != YAML_STRING || kind_node == NULL ||
	    kind_node->kind != YAML_STRING) {
		diagnostics_error(reader->diagnostics, document->place,
				  "the document has no apiVersion and kind, expected for example "
				  "security.istio.io/v1 and PeerAuthentication");
		return false;
	}
	*api_version = version_node->text;
	*kind = kind_node->text;
	return true;
}

static const struct kind *
find_kind(const char *group, const char *name)
{
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (strcmp(kinds[i].name, name) == 0 &&
		    (group == NULL || strcmp(kinds[i].group, group) == 0))
			return &kinds[i];
	return NULL;
}

static void
read_resource(struct reader *reader, const struct kind *kind, const struct yaml_node *document)
{
	struct envelope envelope;
	struct resource *resource;

	if (!schema_bind(&envelope_schema, document, "", 0, reader->arena, reader->diagnostics,
			 &envelope)) {
		/* The spec is bound for its errors, unless nothing can be said of it. */
		if (envelope.metadata.namespace == NULL || envelope.metadata.name == NULL)
			envelope.metadata.namespace = envelope.metadata.name = "";
		read_kind(reader, kind, &envelope, document);
		return;
	}
	resource = read_kind(reader, kind, &envelope, document);
	if (resource != NULL)
		list_append(reader, kind->list, resource);
}

static void
read_document(struct reader *reader, const struct yaml_node *document, unsigned int depth)
{
	const char *api_version, *kind_name, *version = NULL, *versions = NULL, *group;
	const struct kind *kind;

	if (document->kind == YAML_NULL || !read_type(reader, document, &api_version, &kind_name))
		return;
	if (strcmp(kind_name, "List") == 0 && strcmp(api_version, "v1") == 0) {
		read_list(reader, document, depth);
		return;
	}
	group = split_version(reader, api_version, &version, &versions);
	kind = find_kind(group, kind_name);
	if (kind != NULL && (group == NULL || !version_is_known(versions, version))) {
		diagnostics_error(reader->diagnostics, resource_place(document, "apiVersion"),
				  "apiVersion is \"%s\", expected %s/v1%s", api_version,
				  kind->group,
				  kind->list == PEERS ? " or v1beta1" : ", v1beta1 or v1alpha3");
	} else if (kind != NULL) {
		read_resource(reader, kind, document);
	} else if (group != NULL) {
		read_other(reader, group, kind_name, document);
	} else {
		diagnostics_warning(reader->diagnostics, resource_place(document, "kind"),
				    "%s of %s is not a resource of Istio's: not acted on",
				    kind_name, api_version);
	}
}

/* --- all of them ----------------------------------------------------------------------------- */

static int
compare_names(const struct resource *a, const struct resource *b)
{
	int order = strcmp(a->name, b->name);

	return order != 0 ? order : strcmp(a->namespace, b->namespace);
}

static int
compare_age(const void *left, const void *right)
{
	const struct resource *a = *(const struct resource *const *)left;
	const struct resource *b = *(const struct resource *const *)right;

	if (a->created != b->created)
		return a->created < b->created ? -1 : 1;
	return compare_names(a, b);
}

/* By name, and where that is equal as they were written. */
static int
compare_written(const void *left, const void *right)
{
	const struct resource *a = *(const struct resource *const *)left;
	const struct resource *b = *(const struct resource *const *)right;
	int order = compare_names(a, b);

	if (order == 0)
		order = strcmp(a->node->place.file, b->node->place.file);
	if (order == 0 && a->node->place.line != b->node->place.line)
		order = a->node->place.line < b->node->place.line ? -1 : 1;
	return order;
}

static void
report_duplicates(struct reader *reader, struct resource **items, unsigned int n)
{
	for (unsigned int i = 1; i < n; i++)
		if (compare_names(items[i - 1], items[i]) == 0)
			diagnostics_error(reader->diagnostics,
					  resource_place(items[i]->node, "metadata.name"),
					  "%s %s is here for the second time, the first is at "
					  "%s:%u",
					  items[i]->kind, items[i]->id,
					  items[i - 1]->node->place.file,
					  items[i - 1]->node->place.line);
}

static struct resources *
finish(struct reader *reader)
{
	struct resources *resources = arena_alloc(reader->arena, sizeof(*resources));

	for (unsigned int i = 0; i < KINDS; i++) {
		struct resource **items = reader->lists[i].items;
		unsigned int n = reader->lists[i].n;

		if (n == 0)
			continue;
		qsort(items, n, sizeof(struct resource *), compare_written);
		report_duplicates(reader, items, n);
		qsort(items, n, sizeof(struct resource *), compare_age);
	}
	/* Each struct begins with its struct resource. */
	resources->peers = (struct peer_authentication **)reader->lists[PEERS].items;
	resources->n_peers = reader->lists[PEERS].n;
	resources->rules = (struct destination_rule **)reader->lists[RULES].items;
	resources->n_rules = reader->lists[RULES].n;
	resources->services = (struct service_entry **)reader->lists[SERVICES].items;
	resources->n_services = reader->lists[SERVICES].n;
	resources->workloads = (struct workload_entry **)reader->lists[WORKLOADS].items;
	resources->n_workloads = reader->lists[WORKLOADS].n;
	return resources;
}

struct resources *
resources_read(struct arena *arena, struct diagnostics *diagnostics, const char *const *files,
	       unsigned int n_files, const char *root_namespace)
{
	struct reader reader = {
		.arena = arena, .diagnostics = diagnostics, .root_namespace = root_namespace};
	struct diagnostics_place from = {0};

	for (unsigned int i = 0; i < n_files; i++) {
		struct yaml_documents documents;

		yaml_parse_file(arena, diagnostics, files[i], from, &documents);
		for (unsigned int j = 0; j < documents.n; j++)
			read_document(&reader, documents.roots[j], 0);
	}
	return finish(&reader);
}

struct resources *
resources_parse(struct arena *arena, struct diagnostics *diagnostics, const char *file,
		const void *text, size_t len, const char *root_namespace)
{
	struct yaml_documents documents;

	yaml_parse_text(arena, diagnostics, file, text, len, &documents);
	return resources_bind(arena, diagnostics, documents.roots, documents.n, root_namespace);
}

struct resources *
resources_bind(struct arena *arena, struct diagnostics *diagnostics,
	       struct yaml_node *const *documents, unsigned int n, const char *root_namespace)
{
	struct reader reader = {
		.arena = arena, .diagnostics = diagnostics, .root_namespace = root_namespace};

	for (unsigned int i = 0; i < n; i++)
		read_document(&reader, documents[i], 0);
	return finish(&reader);
}
