/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bytes as the text of a mesh file: parsed, bound, checked and, if there was nothing wrong,
 * resolved for the first workloads that it has. Whatever the bytes are, this ends, and a
 * snapshot that comes out of it can be read.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "control/resolve.h"
#include "tests/unit/control/fake_identity.h"

#define LARGEST (64 * 1024)
#define MAX_BEHIND 3

static void
look_up_everything(const struct policy_snapshot *snapshot)
{
	for (uint32_t i = 0; i < snapshot->n_entries; i++) {
		const struct snapshot_key *key = &snapshot->entries[i].key;
		struct policy_verdict verdict;

		for (unsigned int j = 0; j < snapshot->n_workloads; j++) {
			const struct policy_workload *client = &snapshot->workloads[j].workload;

			policy_lookup(snapshot, &client->address, &key->address, key->port,
				      &verdict);
			if (verdict.direction == POLICY_OUTBOUND &&
			    (verdict.outbound == NULL || verdict.outbound->host == NULL ||
			     verdict.endpoint >= (int)verdict.outbound->n_endpoints))
				abort();
			if (verdict.direction == POLICY_INBOUND && verdict.inbound == NULL)
				abort();
		}
	}
}

static void
judge(struct arena *arena, struct diagnostics *diagnostics, const struct resources *resources,
      struct tls_identity *identity)
{
	static const struct yaml_node nowhere = {.kind = YAML_MAP};
	static const char *const aliases[] = {"old.example"};
	struct config_workload workloads[MAX_BEHIND];
	struct config config = {.folder = "/fake", .workloads = workloads};
	struct resolve_input input = {
		.config = &config,
		.settings = {.trust_domain = "cluster.local",
			     .trust_domain_aliases = aliases,
			     .n_trust_domain_aliases = 1,
			     .root_namespace = "istio-system",
			     .enable_auto_mtls = true},
		.resources = resources,
		.identities = &identity,
		.n_identities = 1,
	};
	struct policy_snapshot *snapshot;
	uint8_t digest[SNAPSHOT_DIGEST];

	config.node.file = "portcullis.yaml";
	while (config.n_workloads < resources->n_workloads && config.n_workloads < MAX_BEHIND) {
		unsigned int i = config.n_workloads++;

		workloads[i] = (struct config_workload){.node = &nowhere,
							.name = resources->workloads[i]->meta.id};
	}
	snapshot = resolve(arena, diagnostics, &input);
	if (diagnostics_errors(diagnostics) == 0) {
		look_up_everything(snapshot);
		snapshot_digest(snapshot, digest);
	}
	snapshot_destroy(snapshot);
}

static void
count_line(void *ctx, const char *line)
{
	*(size_t *)ctx += strlen(line);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct diagnostics *diagnostics;
	struct tls_identity *identity;
	struct resources *resources;
	struct arena *arena;
	size_t said = 0;

	if (size > LARGEST)
		return 0;
	arena = arena_create();
	diagnostics = diagnostics_create();
	identity = fake_identity("spiffe://cluster.local/ns/shop/sa/web");
	resources = resources_parse(arena, diagnostics, "fuzz.yaml", data, size, "istio-system");
	/* Also where errors left resources out: resolution has to bear what is left. */
	judge(arena, diagnostics, resources, identity);
	diagnostics_report(diagnostics, count_line, &said);
	if (diagnostics_errors(diagnostics) > 0 && said == 0)
		abort();
	tls_identity_free(identity);
	diagnostics_destroy(diagnostics);
	arena_destroy(arena);
	if (fake_identities() != 0)
		abort();
	return 0;
}
