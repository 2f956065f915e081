/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs the cases of tests/conformance/policy/FILE.yaml. Each document of such a file is one
 * case: resources, and what is expected of them. tests/conformance/policy/README.md says what
 * may be written.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "control/address.h"
#include "control/resolve.h"
#include "tests/unit/control/fake_identity.h"

#define MAX_LINES 64

/* --- a case, as it is written -------------------------------------------------------------- */

struct message {
	const struct yaml_node *node;
	const char *at, *text;
	bool key; /* of a mapping: the place is that of the key */
};

struct expect_inbound {
	const struct yaml_node *node;
	const char *to, *mode, *protocol, *source, *at;
	uint16_t port;
};

struct expect_outbound {
	const struct yaml_node *node;
	const char *client, *to, *subset;
	uint16_t port;
	bool routed_on;
	const char *host, *protocol, *sni, *san_check, *source, *at, *ca, *certificate;
	bool has_sni, has_alpn, has_sans, has_endpoints, has_endpoint;
	int32_t endpoint;
	const char **alpn, **sans, **endpoints;
	unsigned int n_alpn, n_sans, n_endpoints;
};

struct expect {
	const struct yaml_node *node;
	const struct expect_inbound *inbound;
	const struct expect_outbound *outbound;
	const struct message *errors, *warnings;
	unsigned int n_inbound, n_outbound, n_errors, n_warnings;
	bool has_warnings;
};

struct test_case {
	const struct yaml_node *node;
	const char *name, *why;
	const char *trust_domain, *root_namespace;
	const char **aliases, **behind;
	unsigned int n_aliases, n_behind;
	bool auto_mtls;
	const struct yaml_node *resources;
	struct expect expect;
};

#define STRING(owner, field, member)                                                               \
	{                                                                                          \
		.name = field, .type = SCHEMA_STRING, SCHEMA_AT(owner, member)                     \
	}
#define STRINGS(owner, field, array, count, has)                                                   \
	{                                                                                          \
		.name = field, SCHEMA_STRING_LIST(owner, array, count), SCHEMA_PRESENT_AT(owner, has) \
	}
#define OBJECTS(owner, field, array, count, of)                                                    \
	{                                                                                          \
		.name = field, .type = SCHEMA_LIST, SCHEMA_ARRAY_AT(owner, array, count),          \
		.item = &(of)                                                                      \
	}
#define OBJECT_SCHEMA(owner, table)                                                                \
	static const struct schema table##_schema = {.name = #table,                               \
						     .fields = table##_fields,                     \
						     SCHEMA_STRUCT(struct owner),                  \
						     SCHEMA_NODE_AT(struct owner, node)};          \
	static const struct schema_field table##_item = {                                          \
		.type = SCHEMA_OBJECT, .size = sizeof(struct owner), .object = &table##_schema}
#define END                                                                                        \
	{                                                                                          \
		.name = NULL                                                                       \
	}

static const struct schema_field message_fields[] = {
	STRING(struct message, "at", at),
	STRING(struct message, "text", text),
	{.name = "key", .type = SCHEMA_BOOL, SCHEMA_AT(struct message, key)},
	END,
};
OBJECT_SCHEMA(message, message);

static const struct schema_field inbound_fields[] = {
	STRING(struct expect_inbound, "to", to),
	{.name = "port", .type = SCHEMA_INT, SCHEMA_AT(struct expect_inbound, port), .min = 1,
	 .max = 65535, .required = true},
	STRING(struct expect_inbound, "mode", mode),
	STRING(struct expect_inbound, "protocol", protocol),
	STRING(struct expect_inbound, "source", source),
	STRING(struct expect_inbound, "at", at),
	END,
};
OBJECT_SCHEMA(expect_inbound, inbound);

static const struct schema_field outbound_fields[] = {
	STRING(struct expect_outbound, "client", client),
	STRING(struct expect_outbound, "to", to),
	STRING(struct expect_outbound, "subset", subset),
	{.name = "port", .type = SCHEMA_INT, SCHEMA_AT(struct expect_outbound, port), .min = 1,
	 .max = 65535, .required = true},
	{.name = "routedOn", .type = SCHEMA_BOOL, SCHEMA_AT(struct expect_outbound, routed_on)},
	STRING(struct expect_outbound, "host", host),
	STRING(struct expect_outbound, "protocol", protocol),
	{.name = "sni", .type = SCHEMA_STRING, SCHEMA_AT(struct expect_outbound, sni),
	 SCHEMA_PRESENT_AT(struct expect_outbound, has_sni)},
	STRING(struct expect_outbound, "sanCheck", san_check),
	STRING(struct expect_outbound, "source", source),
	STRING(struct expect_outbound, "at", at),
	STRING(struct expect_outbound, "ca", ca),
	STRING(struct expect_outbound, "certificate", certificate),
	STRINGS(struct expect_outbound, "alpn", alpn, n_alpn, has_alpn),
	STRINGS(struct expect_outbound, "sans", sans, n_sans, has_sans),
	STRINGS(struct expect_outbound, "endpoints", endpoints, n_endpoints, has_endpoints),
	{.name = "endpoint", .type = SCHEMA_INT, SCHEMA_AT(struct expect_outbound, endpoint),
	 .min = -1, .max = 1000, SCHEMA_PRESENT_AT(struct expect_outbound, has_endpoint)},
	END,
};
OBJECT_SCHEMA(expect_outbound, outbound);

static const struct schema_field expect_fields[] = {
	OBJECTS(struct expect, "inbound", inbound, n_inbound, inbound_item),
	OBJECTS(struct expect, "outbound", outbound, n_outbound, outbound_item),
	OBJECTS(struct expect, "errors", errors, n_errors, message_item),
	{.name = "warnings", .type = SCHEMA_LIST,
	 SCHEMA_ARRAY_AT(struct expect, warnings, n_warnings), .item = &message_item,
	 SCHEMA_PRESENT_AT(struct expect, has_warnings)},
	END,
};
static const struct schema expect_schema = {.name = "expect", .fields = expect_fields,
					    SCHEMA_STRUCT(struct expect),
					    SCHEMA_NODE_AT(struct expect, node)};

static const struct schema_field case_fields[] = {
	{.name = "case", .type = SCHEMA_STRING, SCHEMA_AT(struct test_case, name),
	 .required = true},
	STRING(struct test_case, "why", why),
	{.name = "trustDomain", .type = SCHEMA_STRING, SCHEMA_AT(struct test_case, trust_domain),
	 .fallback = "cluster.local"},
	{.name = "rootNamespace", .type = SCHEMA_STRING,
	 SCHEMA_AT(struct test_case, root_namespace), .fallback = "istio-system"},
	{.name = "trustDomainAliases",
	 SCHEMA_STRING_LIST(struct test_case, aliases, n_aliases)},
	{.name = "enableAutoMtls", .type = SCHEMA_BOOL, SCHEMA_AT(struct test_case, auto_mtls),
	 .fallback = "true"},
	{.name = "behind", SCHEMA_STRING_LIST(struct test_case, behind, n_behind)},
	{.name = "resources", .type = SCHEMA_ANY, SCHEMA_AT(struct test_case, resources),
	 .required = true},
	{.name = "expect", .type = SCHEMA_OBJECT, SCHEMA_AT(struct test_case, expect),
	 .object = &expect_schema, .required = true},
	END,
};
static const struct schema case_schema = {.name = "case", .fields = case_fields,
					  SCHEMA_STRUCT(struct test_case),
					  SCHEMA_NODE_AT(struct test_case, node)};

/* --- the run of a case --------------------------------------------------------------------------- */

struct run {
	const struct test_case *test;
	struct arena *arena;
	struct diagnostics *diagnostics;
	struct resources *resources;
	struct config config;
	struct mesh_settings settings;
	struct tls_identity *identities[16];
	unsigned int n_identities;
	struct policy_snapshot *snapshot;
	char *lines[MAX_LINES];
	unsigned int n_lines;
};

static void
keep_line(void *ctx, const char *line)
{
	struct run *run = ctx;

	assert_true(run->n_lines < MAX_LINES);
	run->lines[run->n_lines++] = strdup(line);
}

static void
fail_at(const struct yaml_node *node, const char *what, const char *wanted, const char *got)
{
	fail_msg("%s:%u: %s: wanted %s, got %s", node->place.file, node->place.line, what, wanted,
		 got);
}

static void
same_text(const struct yaml_node *node, const char *what, const char *wanted, const char *got)
{
	if (wanted != NULL && strcmp(wanted, got) != 0)
		fail_at(node, what, wanted, got);
}

static void
same_source(const struct run *run, const struct yaml_node *node, const char *wanted,
	    const char *at, const struct policy_source *source)
{
	char got[512];

	snprintf(got, sizeof(got), "%s%s%s", source->kind, source->name[0] != '\0' ? " " : "",
		 source->name);
	same_text(node, "source", wanted, got);
	if (at == NULL)
		return;
	if ((unsigned int)source->line != yaml_deepest(run->test->node, at)->place.line) {
		snprintf(got, sizeof(got), "%d", source->line);
		fail_at(node, "line of the source", at, got);
	}
	assert_string_equal(source->file, node->place.file);
}

static const struct workload_entry *
entry_of(const struct run *run, const struct yaml_node *node, const char *id)
{
	for (unsigned int i = 0; i < run->resources->n_workloads; i++)
		if (strcmp(run->resources->workloads[i]->meta.id, id) == 0)
			return run->resources->workloads[i];
	fail_at(node, "workload", id, "none");
	return NULL;
}

/* "ns/name" of a WorkloadEntry, or an address. */
static struct in6_addr
address_of(const struct run *run, const struct yaml_node *node, const char *text)
{
	struct in6_addr address;

	if (!address_parse(text, &address) &&
	    !address_parse(entry_of(run, node, text)->spec.address, &address))
		fail_at(node, "address", "an address", text);
	return address;
}

static void
check_inbound(struct run *run, const struct expect_inbound *expect)
{
	const char *to = expect->to != NULL ? expect->to : run->test->behind[0];
	struct in6_addr server = address_of(run, expect->node, to), client;
	struct policy_verdict verdict;

	assert_true(address_parse("192.0.2.99", &client));
	policy_lookup(run->snapshot, &client, &server, expect->port, &verdict);
	if (verdict.direction != POLICY_INBOUND)
		fail_at(expect->node, "direction", "inbound", "another");
	assert_non_null(verdict.inbound);
	same_text(expect->node, "mode", expect->mode, policy_mode_name(verdict.inbound->mode));
	same_text(expect->node, "protocol", expect->protocol,
		  policy_protocol_name(verdict.inbound->protocol));
	same_source(run, expect->node, expect->source, expect->at, &verdict.inbound->source);
}

static void
check_list(const struct yaml_node *node, const char *what, const char **wanted, unsigned int n,
	   const char *const *got, unsigned int n_got)
{
	for (unsigned int i = 0; i < n && i < n_got; i++)
		same_text(node, what, wanted[i], got[i]);
	if (n != n_got)
		fail_at(node, what, n > n_got ? wanted[n_got] : "no more",
			n > n_got ? "no more" : got[n]);
}

static void
check_alpn(struct run *run, const struct expect_outbound *expect,
	   const struct policy_outbound *outbound)
{
	const char *got[8];
	unsigned int n = 0;

	for (unsigned int i = 0; i < outbound->alpn_len; i += outbound->alpn[i] + 1u) {
		assert_true(i + outbound->alpn[i] < outbound->alpn_len);
		got[n++] = arena_copy(run->arena, (const char *)&outbound->alpn[i + 1],
				      outbound->alpn[i]);
	}
	check_list(expect->node, "alpn", expect->alpn, expect->n_alpn, got, n);
}

static void
check_endpoints(struct run *run, const struct expect_outbound *expect,
		const struct policy_outbound *outbound)
{
	const char **got = arena_array(run->arena, outbound->n_endpoints + 1, sizeof(*got));

	for (unsigned int i = 0; i < outbound->n_endpoints; i++) {
		const struct policy_endpoint *endpoint = &outbound->endpoints[i];
		char text[ADDRESS_TEXT];

		assert_non_null(endpoint->reason);
		assert_true(endpoint->reason[0] != '\0');
		got[i] = arena_printf(run->arena, "%s:%u %s",
				      address_format(&endpoint->address, text), endpoint->port,
				      policy_tls_name(endpoint->tls));
	}
	check_list(expect->node, "endpoint", expect->endpoints, expect->n_endpoints, got,
		   outbound->n_endpoints);
}

static void
check_files(const struct expect_outbound *expect, const struct policy_outbound *outbound)
{
	const char *bundle, *chain;

	if (expect->ca == NULL && expect->certificate == NULL)
		return;
	if (outbound->identity == NULL)
		fail_at(expect->node, "identity", "one", "none");
	bundle = fake_identity_trust_bundle(outbound->identity);
	chain = fake_identity_chain(outbound->identity);
	same_text(expect->node, "ca", expect->ca, bundle != NULL ? bundle : "system");
	same_text(expect->node, "certificate", expect->certificate, chain != NULL ? chain : "none");
}

static void
check_outbound_fields(struct run *run, const struct expect_outbound *expect,
		      const struct policy_outbound *outbound)
{
	static const char *const checks[] = {"NONE", "EXACT", "HOST"};

	same_text(expect->node, "host", expect->host, outbound->host);
	same_text(expect->node, "protocol", expect->protocol,
		  policy_protocol_name(outbound->protocol));
	if (expect->has_sni)
		same_text(expect->node, "sni", expect->sni, outbound->sni);
	same_text(expect->node, "sanCheck", expect->san_check, checks[outbound->san_check]);
	same_source(run, expect->node, expect->source, expect->at, &outbound->source);
	if (expect->has_alpn)
		check_alpn(run, expect, outbound);
	if (expect->has_sans)
		check_list(expect->node, "san", expect->sans, expect->n_sans, outbound->sans,
			   outbound->n_sans);
	if (expect->has_endpoints)
		check_endpoints(run, expect, outbound);
	check_files(expect, outbound);
}

/* Subsets have no address: nothing looks them up before there are routes. */
static void
check_subset(struct run *run, const struct expect_outbound *expect)
{
	const char *name = expect->client != NULL ? expect->client : run->test->behind[0];
	const struct workload_entry *entry = entry_of(run, expect->node, name);
	struct mesh *mesh =
		mesh_create(run->arena, run->diagnostics, &run->settings, run->resources);
	const struct mesh_service *service =
		mesh_find_service(mesh, expect->host, entry->meta.namespace);
	struct resolver resolver = {.mesh = mesh, .snapshot = run->snapshot,
				    .out = run->snapshot->arena, .folder = "/fake"};
	struct resolve_client client = {.namespace = entry->meta.namespace,
					.labels = &entry->labels};
	struct policy_outbound outbound;

	if (service == NULL)
		fail_at(expect->node, "service", expect->host, "none");
	for (unsigned int i = 0; i < service->entry->n_ports; i++) {
		if (service->entry->ports[i].number != expect->port)
			continue;
		assert_true(resolve_outbound(&resolver, &client, service,
					     &service->entry->ports[i], expect->subset, &outbound));
		check_outbound_fields(run, expect, &outbound);
		return;
	}
	fail_at(expect->node, "port", "one of the service", "none");
}

static void
check_outbound(struct run *run, const struct expect_outbound *expect)
{
	const char *name = expect->client != NULL ? expect->client : run->test->behind[0];
	struct in6_addr client, server;
	struct policy_verdict verdict;
	char got[16];

	if (expect->subset != NULL) {
		check_subset(run, expect);
		return;
	}
	client = address_of(run, expect->node, name);
	server = address_of(run, expect->node, expect->to);
	policy_lookup(run->snapshot, &client, &server, expect->port, &verdict);
	if (expect->routed_on) {
		if (verdict.direction != POLICY_ROUTE_ON)
			fail_at(expect->node, "direction", "routed on", "another");
		return;
	}
	if (verdict.direction != POLICY_OUTBOUND)
		fail_at(expect->node, "direction", "outbound", "another");
	assert_non_null(verdict.client);
	assert_string_equal(verdict.client->name, name);
	if (expect->has_endpoint && expect->endpoint != verdict.endpoint) {
		snprintf(got, sizeof(got), "%d", verdict.endpoint);
		fail_at(expect->node, "endpoint", "another", got);
	}
	check_outbound_fields(run, expect, verdict.outbound);
}

/* --- messages ---------------------------------------------------------------------------------------- */

static struct diagnostics_place
place_of(const struct run *run, const struct message *message)
{
	const char *last = strrchr(message->at, '.');
	const struct yaml_node *map;

	if (!message->key || last == NULL)
		return yaml_deepest(run->test->node, message->at)->place;
	map = yaml_deepest(run->test->node,
			   arena_copy(run->arena, message->at, (size_t)(last - message->at)));
	for (unsigned int i = 0; i < map->n; i++)
		if (yaml_is(map->keys[i], last + 1))
			return map->keys[i]->place;
	fail_at(message->node, "key", message->at, "none");
	return map->place;
}

static bool
line_is(const struct run *run, const struct message *message, const char *kind, const char *line)
{
	struct diagnostics_place place;
	char start[512];

	if (strstr(line, kind) == NULL ||
	    (message->text != NULL && strstr(line, message->text) == NULL))
		return false;
	if (message->at == NULL)
		return true;
	place = place_of(run, message);
	snprintf(start, sizeof(start), "%s:%u:%u: %s", place.file, place.line, place.column, kind);
	return strncmp(line, start, strlen(start)) == 0;
}

static void
print_lines(const struct run *run)
{
	for (unsigned int i = 0; i < run->n_lines; i++)
		print_message("  %s\n", run->lines[i]);
}

static void
check_messages(struct run *run, const char *kind, const struct message *messages, unsigned int n,
	       unsigned int n_got)
{
	for (unsigned int i = 0; i < n; i++) {
		bool found = false;

		for (unsigned int j = 0; j < run->n_lines; j++)
			found |= line_is(run, &messages[i], kind, run->lines[j]);
		if (found)
			continue;
		print_lines(run);
		fail_at(messages[i].node, kind, messages[i].text != NULL ? messages[i].text :
									      messages[i].at,
			"what is above");
	}
	if (n != n_got) {
		print_lines(run);
		fail_msg("%s:%u: %s%u wanted, %u got", run->test->node->place.file,
			 run->test->node->place.line, kind, n, n_got);
	}
}

/* --- set up ------------------------------------------------------------------------------------------------ */

static void
add_identity(struct run *run, const struct workload_entry *entry)
{
	if (entry->spec.service_account == NULL || run->n_identities == RTE_DIM(run->identities))
		return;
	run->identities[run->n_identities++] = fake_identity(
		arena_printf(run->arena, "spiffe://%s/ns/%s/sa/%s", run->settings.trust_domain,
			     entry->meta.namespace, entry->spec.service_account));
}

static void
make_config(struct run *run)
{
	const struct test_case *test = run->test;
	struct config_workload *workloads =
		arena_array(run->arena, test->n_behind + 1, sizeof(*workloads));

	for (unsigned int i = 0; i < test->n_behind; i++) {
		workloads[i].node = yaml_deepest(test->node, "behind");
		workloads[i].name = test->behind[i];
		for (unsigned int j = 0; j < run->resources->n_workloads; j++)
			if (strcmp(run->resources->workloads[j]->meta.id, test->behind[i]) == 0)
				add_identity(run, run->resources->workloads[j]);
	}
	run->config.node.file = test->node->place.file;
	run->config.folder = "/fake";
	run->config.workloads = workloads;
	run->config.n_workloads = test->n_behind;
}

static void
set_up(struct run *run)
{
	const struct test_case *test = run->test;
	struct resolve_input input;

	run->arena = arena_create();
	run->diagnostics = diagnostics_create();
	run->settings = (struct mesh_settings){.trust_domain = test->trust_domain,
					       .trust_domain_aliases = test->aliases,
					       .n_trust_domain_aliases = test->n_aliases,
					       .root_namespace = test->root_namespace,
					       .enable_auto_mtls = test->auto_mtls};
	run->resources = resources_bind(run->arena, run->diagnostics, test->resources->values,
					test->resources->n, test->root_namespace);
	make_config(run);
	input = (struct resolve_input){.config = &run->config,
				       .settings = run->settings,
				       .resources = run->resources,
				       .identities = run->identities,
				       .n_identities = run->n_identities};
	if (diagnostics_errors(run->diagnostics) == 0)
		run->snapshot = resolve(run->arena, run->diagnostics, &input);
	diagnostics_report(run->diagnostics, keep_line, run);
}

static int
tear_down(void **state)
{
	struct run *run = *state;

	for (unsigned int i = 0; i < run->n_lines; i++)
		free(run->lines[i]);
	for (unsigned int i = 0; i < run->n_identities; i++)
		tls_identity_free(run->identities[i]);
	snapshot_destroy(run->snapshot);
	diagnostics_destroy(run->diagnostics);
	arena_destroy(run->arena);
	assert_int_equal(fake_identities(), 0);
	return 0;
}

static void
run_case(void **state)
{
	struct run *run = *state;
	const struct expect *expect = &run->test->expect;

	set_up(run);
	check_messages(run, "error: ", expect->errors, expect->n_errors,
		       diagnostics_errors(run->diagnostics));
	if (expect->has_warnings)
		check_messages(run, "warning: ", expect->warnings, expect->n_warnings,
			       diagnostics_warnings(run->diagnostics));
	if (expect->n_inbound + expect->n_outbound > 0)
		assert_non_null(run->snapshot);
	for (unsigned int i = 0; i < expect->n_inbound; i++)
		check_inbound(run, &expect->inbound[i]);
	for (unsigned int i = 0; i < expect->n_outbound; i++)
		check_outbound(run, &expect->outbound[i]);
	/* A case that expects nothing would pass whatever happens. */
	assert_true(expect->n_errors + expect->n_inbound + expect->n_outbound > 0 ||
		    expect->has_warnings);
}

/* --- a file of cases ------------------------------------------------------------------------------------------ */

static void
print_line(void *ctx, const char *line)
{
	fprintf(stderr, "%s\n", line);
}

int
main(int argc, char **argv)
{
	struct arena *arena = arena_create();
	struct diagnostics *diagnostics = diagnostics_create();
	struct diagnostics_place from = {0};
	struct yaml_documents documents;
	struct test_case *cases;
	struct CMUnitTest *tests;
	struct run *runs;
	int result = 1;

	if (argc != 2) {
		fprintf(stderr, "usage: test_policy_cases FILE.yaml\n");
		return 2;
	}
	yaml_parse_file(arena, diagnostics, argv[1], from, &documents);
	cases = arena_array(arena, documents.n + 1, sizeof(*cases));
	tests = arena_array(arena, documents.n + 1, sizeof(*tests));
	runs = arena_array(arena, documents.n + 1, sizeof(*runs));
	for (unsigned int i = 0; i < documents.n; i++) {
		schema_bind(&case_schema, documents.roots[i], "", 0, arena, diagnostics,
			    &cases[i]);
		runs[i].test = &cases[i];
		tests[i].name = cases[i].name;
		tests[i].test_func = run_case;
		tests[i].teardown_func = tear_down;
		tests[i].initial_state = &runs[i];
	}
	diagnostics_report(diagnostics, print_line, NULL);
	if (diagnostics_errors(diagnostics) == 0 && documents.n > 0)
		result = _cmocka_run_group_tests(argv[1], tests, documents.n, NULL, NULL);
	diagnostics_destroy(diagnostics);
	arena_destroy(arena);
	return result;
}
