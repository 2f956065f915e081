/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTROL_CONFIG_H
#define CONTROL_CONFIG_H

/*
 * portcullis.yaml, read, checked and resolved: the node's part, which the data plane sees as
 * struct policy_node, and what control keeps to itself. Does not open the identity files (it
 * checks that they can be read) nor looks at the mesh folder, which config_mesh_files() does.
 *
 * Everything belongs to the arena that it was read into. Paths in here are ready to be opened:
 * what is relative in the file is relative to the folder of portcullis.yaml.
 */

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

#include "control/arena.h"
#include "control/diagnostics.h"
#include "control/policy.h"
#include "control/schema.h"
#include "control/yaml.h"

struct config_identity {
	const struct yaml_node *node; /* for the place of diagnostics */
	const char *certificate_chain, *private_key, *trust_bundle;
	bool unusable; /* one of the files is missing, and an error says so */
};

enum config_source { CONFIG_SOURCE_PRESERVE, CONFIG_SOURCE_GATEWAY };

/* A WorkloadEntry that is behind this gateway. */
struct config_workload {
	const struct yaml_node *node;
	const char *name; /* "namespace/name" */
	enum config_source source;
};

struct config_inbound {
	const struct yaml_node *node;
	const char *workload; /* "namespace/name"; one of config.workloads */
	uint16_t port;
};

struct config_outbound {
	const struct yaml_node *node;
	const char *client; /* "namespace/name"; one of config.workloads */
	const char *host;
	uint16_t port;
};

/* Connections to an address of our own; exactly one of `inbound` and `outbound` is set. */
struct config_listener {
	const struct yaml_node *node;
	struct in6_addr address;
	uint16_t port;
	const struct config_inbound *inbound;
	const struct config_outbound *outbound;
};

struct config {
	const struct yaml_node *yaml; /* the document */
	struct policy_node node;
	const char *folder; /* of portcullis.yaml */
	const char *mesh;   /* folder of Istio resources; NULL after an error only */
	struct diagnostics_place mesh_place;

	const char *trust_domain;
	const char **trust_domain_aliases;
	unsigned int n_trust_domain_aliases;
	const char *root_namespace;
	bool enable_auto_mtls;

	const struct config_identity *identities;
	unsigned int n_identities;
	const struct config_workload *workloads;
	unsigned int n_workloads;
	const struct config_listener *listeners;
	unsigned int n_listeners;
};

/*
 * Reads and checks `file`. NULL only when it cannot be used at all (unreadable, not YAML, not
 * a mapping); otherwise the caller looks at diagnostics_errors(), and may go on to the mesh
 * folder first, so that errors there are reported in the same run.
 */
const struct config *config_read(struct arena *arena, struct diagnostics *diagnostics,
				 const char *file);

/* The same from memory; `file` is for messages and for relative paths. */
const struct config *config_parse(struct arena *arena, struct diagnostics *diagnostics,
				  const char *file, const void *text, size_t len);

/*
 * The files of a mesh folder: *.yaml and *.yml, in order of name, hidden ones left out
 * (Kubernetes' ..data among them), symbolic links followed, folders in it not entered. An
 * unreadable folder is an error at `place`. Returns their number, paths in `*files`.
 */
unsigned int config_mesh_files(struct arena *arena, struct diagnostics *diagnostics,
			       const char *folder, struct diagnostics_place place,
			       const char ***files);

/* `path` as written in a file of `folder`. */
const char *config_path(struct arena *arena, const char *folder, const char *path);

/* What of portcullis.yaml may be changed by a reload. Warns, at the places in `now`, of
 * everything else that differs and waits for a restart. */
void config_compare(const struct config *before, const struct config *now,
		    struct diagnostics *diagnostics);

extern const struct schema config_schema;

#endif
