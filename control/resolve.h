/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTROL_RESOLVE_H
#define CONTROL_RESOLVE_H

/*
 * From resources to verdicts: what Istio's resources mean together, for the workloads that
 * are behind this gateway. Every rule here is one of Istio's own resolution code; where a
 * step looks odd, Istio is odd there, and the comment says so.
 *
 * resolve.c puts it together and fills the snapshot; the other files hold one mechanism
 * each and are called by it and by tests.
 */

#include <stdbool.h>
#include <stdint.h>

#include "control/arena.h"
#include "control/config.h"
#include "control/diagnostics.h"
#include "control/policy.h"
#include "control/resources.h"
#include "control/snapshot.h"

#define RESOLVE_MAX_ENDPOINTS (4u << 20) /* endpoints of all verdicts of a snapshot */

struct mesh_settings {
	const char *trust_domain;
	const char *const *trust_domain_aliases;
	unsigned int n_trust_domain_aliases;
	const char *root_namespace;
	bool enable_auto_mtls; /* meshConfig.enableAutoMtls */
};

/* An endpoint of a service: a WorkloadEntry that it selects, or an inline one. */
struct mesh_endpoint {
	const struct workload_spec *spec;
	const struct workload_entry *entry; /* NULL: inline */
	/* Of an inline endpoint "", as Istio has it: no PeerAuthentication but that of the mesh
	 * is ever found for it. */
	const char *namespace;
	const char *name; /* "namespace/name", or "" */
	struct labels labels;
	const char *tls_mode; /* label security.istio.io/tlsMode, or what stands for it */
	bool tls_mode_from_label;
	bool usable; /* has an address that we can connect to */
	struct in6_addr address;
};

/* A ServiceEntry has one service for each of its hosts. */
struct mesh_service {
	const struct service_entry *entry;
	const char *host;
	const struct mesh_endpoint *endpoints;
	unsigned int n_endpoints;
	const char *const *accounts; /* secure naming: the identities of the service */
	unsigned int n_accounts;
	bool warned; /* that its address is taken */
};

struct rule_index;

struct mesh {
	struct arena *arena; /* of the resources; gone when resolution is done */
	struct diagnostics *diagnostics;
	struct mesh_settings settings;
	const struct resources *resources;
	struct mesh_service *services; /* in the order of the resources */
	unsigned int n_services;
	struct rule_index *rules;
};

/* Builds services and the index of rules. */
struct mesh *mesh_create(struct arena *arena, struct diagnostics *diagnostics,
			 const struct mesh_settings *settings, const struct resources *resources);

/* exportTo, of a ServiceEntry: may a client of the namespace see it? */
bool mesh_service_visible(const struct mesh_service *service, const char *client_namespace);
/* The port of an endpoint that serves a port of the service. */
uint16_t mesh_endpoint_port(const struct service_port *port, const struct mesh_endpoint *endpoint);
/* "spiffe://trust-domain/ns/namespace/sa/account" */
const char *mesh_identity(const struct mesh *mesh, const char *namespace, const char *account);
const struct mesh_service *mesh_find_service(const struct mesh *mesh, const char *host,
					     const char *client_namespace);

/* --- resolve_peer.c: PeerAuthentication ----------------------------------------------------- */

struct peer_answer {
	enum policy_mode mode;
	const struct peer_authentication *by; /* NULL: the default, PERMISSIVE */
	struct diagnostics_place place;       /* of what decided */
};

/* What a workload asks of clients of a port of its own; port 0: of one that has no entry in
 * portLevelMtls. */
void resolve_peer(const struct mesh *mesh, const char *namespace, const struct labels *labels,
		  uint16_t port, struct peer_answer *answer);

/* What clients take a namespace's mode to be, which knows nothing of selectors. False: no
 * policy says anything (Istio's MTLSUnknown). */
bool resolve_peer_namespace(const struct mesh *mesh, const char *namespace,
			    struct peer_answer *answer);

/* --- resolve_rule.c: which DestinationRule, and what of it ----------------------------------- */

/* A rule after rules for the same host have been merged into it. */
struct rule {
	const struct destination_rule *first; /* whose selector and exportTo count */
	const struct traffic_policy *policy;
	const struct destination_rule *policy_of; /* whose policy that is */
	const struct subset **subsets;
	const struct destination_rule **subset_of;
	unsigned int n_subsets, room;
};

struct rule_index *rule_index_create(struct arena *arena, struct diagnostics *diagnostics,
				     const struct resources *resources, const char *root_namespace);
const struct rule *rule_find(const struct rule_index *index, const char *client_namespace,
			     const struct labels *client_labels, const char *service_namespace,
			     const char *host);

struct rule_tls {
	const struct destination_rule *of; /* NULL: no rule has settings for the port */
	const struct yaml_node *node;      /* what decided: tls, or a port's entry without one */
	const struct client_tls *tls;      /* NULL: auto mTLS */
	/* The mode by which single endpoints are judged where the cluster is left to auto mTLS
	 * (a port's entry without tls); meaningless unless `endpoint_mode_known`. */
	bool endpoint_mode_known;
	enum client_tls_mode endpoint_mode;
	bool passthrough; /* loadBalancer.simple: PASSTHROUGH */
};

/* `subset` may be "". `rule` may be NULL. */
void rule_tls(const struct rule *rule, const char *subset, uint16_t port, struct rule_tls *tls);

/* --- resolve_outbound.c: TLS of a client to a port of a service ------------------------------ */

struct resolve_client {
	const char *namespace;
	const struct labels *labels;
	struct tls_identity *identity;
};

struct resolver {
	struct mesh *mesh;
	struct policy_snapshot *snapshot;
	struct arena *out;  /* the snapshot's */
	const char *folder; /* that relative paths of certificates start from */
	struct resolve_file_identity *identities; /* SIMPLE and MUTUAL, loaded once each */
	struct resolve_warned {                   /* settings that were warned of */
		struct resolve_warned *next;
		const struct client_tls *tls;
	} * warned;
	unsigned int n_endpoints; /* of all verdicts so far */
};

/*
 * Fills `out` with what is said of connections of `client` to `port` of `service`, and of
 * `subset` of it ("": the whole). False: a certificate could not be loaded, which has been
 * reported.
 */
bool resolve_outbound(struct resolver *resolver, const struct resolve_client *client,
		      const struct mesh_service *service, const struct service_port *port,
		      const char *subset, struct policy_outbound *out);

/* resolve_identity.c: the files of SIMPLE and MUTUAL. NULL: reported. */
struct tls_identity *resolve_identity(struct resolver *resolver, const struct client_tls *tls);

/* Every file that a DestinationRule names, for the watch. Returns their number. */
unsigned int resolve_files(struct arena *arena, const struct resources *resources,
			   const char *folder, const char ***files);

/* --- resolve.c ---------------------------------------------------------------------------------
 */

/* The identities of portcullis.yaml, as loaded; resolve() takes its own references. */
struct resolve_input {
	const struct config *config;
	struct mesh_settings settings;
	const struct resources *resources;
	struct tls_identity *const *identities;
	unsigned int n_identities;
};

/* Never NULL, but of use only when no error was added to `diagnostics`. `arena` is for what
 * is needed only meanwhile. */
struct policy_snapshot *resolve(struct arena *arena, struct diagnostics *diagnostics,
				const struct resolve_input *input);

#endif
