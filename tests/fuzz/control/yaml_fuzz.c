/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as YAML, as portcullis.yaml and as a file of Istio resources: no crash, no leak, no
 * endless loop, and what comes out keeps the promises of the headers.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "control/address.h"
#include "control/config.h"
#include "control/resources.h"
#include "control/schema.h"
#include "control/yaml.h"

static void
must(bool condition)
{
	if (!condition)
		abort();
}

static void
check_scalar(const struct yaml_node *node)
{
	char text[ADDRESS_TEXT];
	struct policy_prefix prefix, again;
	int64_t value;
	bool flag;

	must(node->text[node->len] == '\0' && strlen(node->text) == node->len);
	must(node->quoted || node->kind == yaml_scalar_kind(node->text, node->len));
	must(node->kind != YAML_BOOL || yaml_to_bool(node->text, &flag));
	if (schema_duration(node->text, &value))
		must(value >= 0);
	if (address_parse_prefix(node->text, &prefix)) {
		must(address_parse_prefix(address_format_prefix(&prefix, text), &again));
		must(prefix.length == again.length);
		must(address_equal(&prefix.address, &again.address));
	}
}

static unsigned int
check_tree(const struct yaml_node *node, unsigned int depth)
{
	unsigned int nodes = 1;

	must(depth <= YAML_MAX_DEPTH);
	must(node->place.file != NULL && node->place.line > 0 && node->place.column > 0);
	if (node->kind != YAML_LIST && node->kind != YAML_MAP) {
		must(node->n == 0);
		if (node->kind != YAML_REFUSED)
			check_scalar(node);
	}
	for (unsigned int i = 0; i < node->n; i++) {
		nodes += check_tree(node->values[i], depth + 1);
		if (node->kind != YAML_MAP)
			continue;
		check_scalar(node->keys[i]);
		must(yaml_get(node, node->keys[i]->text) == node->values[i]); /* no key twice */
	}
	return nodes;
}

static void
check_line(void *ctx, const char *line)
{
	must(strncmp(line, "fuzz", 4) == 0 || strncmp(line, "... and ", 8) == 0);
	for (; *line != '\0'; line++)
		must((unsigned char)*line >= 0x20 && *line != 0x7f);
}

static void
check_config(const struct config *config)
{
	for (unsigned int i = 0; i < config->node.n_ports; i++)
		must(config->node.ports[i].name != NULL && config->node.ports[i].device != NULL);
	for (unsigned int i = 0; i < config->node.n_routes; i++)
		must(config->node.routes[i].port == 0 ||
		     config->node.routes[i].port < config->node.n_ports);
	for (unsigned int i = 0; i < config->n_workloads; i++)
		must(config->workloads[i].name != NULL);
	must(config->trust_domain != NULL && config->root_namespace != NULL);
	must(config->node.n_ports <= POLICY_MAX_PORTS);
}

static void
check_good_config(const struct config *config)
{
	must(config != NULL && config->mesh != NULL);
	must(config->node.workers >= 1 && config->node.workers <= POLICY_MAX_WORKERS);
	must(config->node.n_ports >= 1);
	for (unsigned int i = 0; i < config->n_listeners; i++)
		must((config->listeners[i].inbound == NULL) !=
		     (config->listeners[i].outbound == NULL));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct diagnostics *diagnostics = diagnostics_create();
	struct arena *arena = arena_create();
	const struct config *config;
	struct yaml_documents documents;

	yaml_parse_text(arena, diagnostics, "fuzz.yaml", data, size, &documents);
	must(documents.broken == (diagnostics_errors(diagnostics) > 0));
	for (unsigned int i = 0; i < documents.n; i++)
		must(check_tree(documents.roots[i], 0) <= size + 1);
	diagnostics_report(diagnostics, check_line, NULL);
	diagnostics_destroy(diagnostics);

	diagnostics = diagnostics_create();
	config = config_parse(arena, diagnostics, "fuzz/fuzz.yaml", data, size);
	if (config != NULL)
		check_config(config);
	if (diagnostics_errors(diagnostics) == 0)
		check_good_config(config);
	diagnostics_report(diagnostics, check_line, NULL);
	diagnostics_destroy(diagnostics);

	diagnostics = diagnostics_create();
	must(resources_parse(arena, diagnostics, "fuzz.yaml", data, size, "istio-system") != NULL);
	diagnostics_report(diagnostics, check_line, NULL);
	diagnostics_destroy(diagnostics);
	arena_destroy(arena);
	return 0;
}
