/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "control/resolve.h"

/* PeerAuthentication: mesh, namespace and workload policies, and what they come to. */

enum scope { SCOPE_MESH, SCOPE_NAMESPACE, SCOPE_WORKLOAD, SCOPES };

static bool
selects(const struct peer_authentication *peer)
{
	return peer->selector != NULL && peer->selector->labels.n > 0;
}

/* Which scope a policy has for a workload; false: none. */
static bool
find_scope(const struct mesh *mesh, const struct peer_authentication *peer, const char *namespace,
	   const struct labels *labels, enum scope *scope)
{
	bool in_root = strcmp(peer->meta.namespace, mesh->settings.root_namespace) == 0;

	if (!in_root && strcmp(peer->meta.namespace, namespace) != 0)
		return false;
	if (!selects(peer)) {
		*scope = in_root ? SCOPE_MESH : SCOPE_NAMESPACE;
		return true;
	}
	/* In the root namespace a selector makes the policy void, even for the workloads that
	 * live there. */
	if (in_root || !labels_match(&peer->selector->labels, labels))
		return false;
	*scope = SCOPE_WORKLOAD;
	return true;
}

static void
apply(const struct peer_authentication *by, const struct peer_mtls *mtls,
      struct peer_answer *answer)
{
	static const enum policy_mode modes[] = {
		[PEER_DISABLE] = POLICY_DISABLE,
		[PEER_PERMISSIVE] = POLICY_PERMISSIVE,
		[PEER_STRICT] = POLICY_STRICT,
	};

	if (mtls->mode == PEER_UNSET)
		return;
	answer->mode = modes[mtls->mode];
	answer->by = by;
	answer->place = resource_place(mtls->node, "mode");
}

void
resolve_peer(const struct mesh *mesh, const char *namespace, const struct labels *labels,
	     uint16_t port, struct peer_answer *answer)
{
	const struct peer_authentication *winner[SCOPES] = {NULL};
	const struct resources *resources = mesh->resources;

	/* They are sorted: the oldest of a scope wins, and the others count for nothing. */
	for (unsigned int i = 0; i < resources->n_peers; i++) {
		enum scope scope;

		if (find_scope(mesh, resources->peers[i], namespace, labels, &scope) &&
		    winner[scope] == NULL)
			winner[scope] = resources->peers[i];
	}
	memset(answer, 0, sizeof(*answer));
	answer->mode = POLICY_PERMISSIVE;
	for (unsigned int i = 0; i < SCOPES; i++)
		if (winner[i] != NULL)
			apply(winner[i], &winner[i]->mtls, answer);
	if (winner[SCOPE_WORKLOAD] == NULL)
		return;
	for (unsigned int i = 0; i < winner[SCOPE_WORKLOAD]->n_ports; i++)
		if (winner[SCOPE_WORKLOAD]->ports[i].port == port)
			apply(winner[SCOPE_WORKLOAD], &winner[SCOPE_WORKLOAD]->ports[i].mtls,
			      answer);
}

/* The oldest policy of a namespace that has no selector. */
static const struct peer_authentication *
namespace_policy(const struct mesh *mesh, const char *namespace)
{
	for (unsigned int i = 0; i < mesh->resources->n_peers; i++) {
		const struct peer_authentication *peer = mesh->resources->peers[i];

		if (!selects(peer) && strcmp(peer->meta.namespace, namespace) == 0)
			return peer;
	}
	return NULL;
}

bool
resolve_peer_namespace(const struct mesh *mesh, const char *namespace, struct peer_answer *answer)
{
	const struct peer_authentication *whole, *own;

	whole = namespace_policy(mesh, mesh->settings.root_namespace);
	own = namespace_policy(mesh, namespace);
	memset(answer, 0, sizeof(*answer));
	answer->mode = POLICY_PERMISSIVE;
	if (whole != NULL)
		apply(whole, &whole->mtls, answer);
	if (own != NULL)
		apply(own, &own->mtls, answer);
	return whole != NULL || own != NULL;
}
