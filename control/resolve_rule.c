/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "control/resolve.h"

/*
 * DestinationRules: which one is for a client and a host, after rules for the same host have
 * been merged. Istio keeps three indexes and so do we, because what is merged with what (and
 * what hides what) follows from which index a rule is in:
 *
 *   LOCAL     by namespace, what clients of the namespace itself may use
 *   EXPORTED  by namespace, what it shows to others (and to itself, if it is the root)
 *   ROOT      what the root namespace keeps to itself
 */

enum index_kind { LOCAL, EXPORTED, ROOT, INDEXES };

/* The rules of one namespace for one host. */
struct group {
	const char *namespace, *host;
	struct rule **rules;
	unsigned int n;
};

struct rule_index {
	const char *root_namespace;
	struct {
		struct group *groups; /* sorted by namespace and host; wildcards of a namespace
					 are its first, since '*' is the smallest */
		unsigned int n;
	} of[INDEXES];
};

/* --- exportTo as a set --------------------------------------------------------------------- */

/* A rule with a selector never leaves its namespace. */
static unsigned int
export_size(const struct destination_rule *rule)
{
	return rule->selector != NULL ? 1 : rule->n_export_to;
}

static bool
exports_to(const struct destination_rule *rule, const char *to)
{
	if (rule->selector != NULL)
		return strcmp(to, ".") == 0;
	for (unsigned int i = 0; i < rule->n_export_to; i++)
		if (strcmp(rule->export_to[i], to) == 0)
			return true;
	return false;
}

/* As written: "." and the name of the own namespace are different here, as are nothing and
 * "*". Validation has seen to it that nothing is there twice. */
static bool
same_exports(const struct destination_rule *a, const struct destination_rule *b)
{
	if (export_size(a) != export_size(b))
		return false;
	if (a->selector != NULL)
		return exports_to(b, ".");
	for (unsigned int i = 0; i < a->n_export_to; i++)
		if (!exports_to(b, a->export_to[i]))
			return false;
	return true;
}

static bool
is_local(const struct destination_rule *rule)
{
	return export_size(rule) == 0 || exports_to(rule, "*") || exports_to(rule, ".") ||
	       exports_to(rule, rule->meta.namespace);
}

static bool
is_private(const struct destination_rule *rule)
{
	return export_size(rule) == 1 &&
	       (exports_to(rule, ".") || exports_to(rule, rule->meta.namespace));
}

static bool
is_visible(const struct destination_rule *rule, const char *client_namespace)
{
	return export_size(rule) == 0 || exports_to(rule, "*") ||
	       exports_to(rule, client_namespace);
}

/* --- merging --------------------------------------------------------------------------------- */

static bool
same_labels(const struct labels *a, const struct labels *b)
{
	return a->n == b->n && labels_match(a, b);
}

static const struct subset *
find_subset(const struct rule *rule, const char *name, const struct destination_rule **of)
{
	for (unsigned int i = 0; i < rule->n_subsets; i++) {
		if (strcmp(rule->subsets[i]->name, name) != 0)
			continue;
		*of = rule->subset_of[i];
		return rule->subsets[i];
	}
	return NULL;
}

static void
add_subset(struct arena *arena, struct rule *rule, const struct subset *subset,
	   const struct destination_rule *of)
{
	if (rule->n_subsets == rule->room) {
		unsigned int room = rule->room * 2 + 4;
		const struct subset **subsets = arena_array(arena, room, sizeof(*subsets));
		const struct destination_rule **owners = arena_array(arena, room, sizeof(*owners));

		for (unsigned int i = 0; i < rule->n_subsets; i++) {
			subsets[i] = rule->subsets[i];
			owners[i] = rule->subset_of[i];
		}
		rule->subsets = subsets;
		rule->subset_of = owners;
		rule->room = room;
	}
	rule->subsets[rule->n_subsets] = subset;
	rule->subset_of[rule->n_subsets++] = of;
}

/* Subsets are added, and a policy where there is none; nothing is ever replaced. */
static void
merge_rule(struct arena *arena, struct rule *rule, const struct destination_rule *from)
{
	const struct destination_rule *ignored;

	for (unsigned int i = 0; i < from->n_subsets; i++)
		if (find_subset(rule, from->subsets[i].name, &ignored) == NULL)
			add_subset(arena, rule, &from->subsets[i], from);
	if (rule->policy == NULL && from->policy != NULL) {
		rule->policy = from->policy;
		rule->policy_of = from;
	}
}

static struct rule *
new_rule(struct arena *arena, const struct destination_rule *from)
{
	struct rule *rule = arena_alloc(arena, sizeof(*rule));

	rule->first = from;
	merge_rule(arena, rule, from);
	return rule;
}

/*
 * Istio's mergeDestinationRule. Whether the newcomer also stands by itself is decided by the
 * last rule that it is compared with. A rule without a selector and with exportTo ["."] has
 * the exportTo of the rules with one, is merged into them, and so is lost to everyone else.
 */
static void
group_add(struct arena *arena, struct group *group, const struct destination_rule *from)
{
	bool apart = true;

	for (unsigned int i = 0; i < group->n; i++) {
		const struct destination_rule *there = group->rules[i]->first;

		apart = true;
		if (!same_exports(from, there))
			continue;
		if (from->selector != NULL && there->selector != NULL &&
		    !same_labels(&from->selector->labels, &there->selector->labels))
			continue;
		apart = false;
		merge_rule(arena, group->rules[i], from);
	}
	if (apart)
		group->rules[group->n++] = new_rule(arena, from);
}

/* --- the indexes ---------------------------------------------------------------------------------
 */

/* A rule on its way into an index: those with a selector go first, then by age. */
struct candidate {
	const struct destination_rule *rule;
	unsigned int order;
};

static int
compare_candidates(const void *left, const void *right)
{
	const struct candidate *a = left, *b = right;
	int order = strcmp(a->rule->meta.namespace, b->rule->meta.namespace);

	if (order == 0)
		order = strcmp(a->rule->fqdn, b->rule->fqdn);
	if (order == 0 && (a->rule->selector != NULL) != (b->rule->selector != NULL))
		order = a->rule->selector != NULL ? -1 : 1;
	if (order == 0)
		order = a->order < b->order ? -1 : 1;
	return order;
}

static bool
belongs(const struct destination_rule *rule, enum index_kind kind, const char *root_namespace)
{
	if (kind == LOCAL)
		return is_local(rule);
	if (kind == EXPORTED)
		return !is_private(rule);
	return is_private(rule) && strcmp(rule->meta.namespace, root_namespace) == 0;
}

static void
build_index(struct arena *arena, struct rule_index *index, enum index_kind kind,
	    const struct resources *resources)
{
	struct candidate *candidates =
		arena_array(arena, resources->n_rules + 1, sizeof(*candidates));
	struct group *groups = arena_array(arena, resources->n_rules + 1, sizeof(*groups));
	struct group *group = NULL;
	unsigned int n = 0;

	for (unsigned int i = 0; i < resources->n_rules; i++)
		if (belongs(resources->rules[i], kind, index->root_namespace))
			candidates[n++] = (struct candidate){resources->rules[i], i};
	qsort(candidates, n, sizeof(*candidates), compare_candidates);
	for (unsigned int i = 0; i < n; i++) {
		const struct destination_rule *rule = candidates[i].rule;

		if (group == NULL || strcmp(group->namespace, rule->meta.namespace) != 0 ||
		    strcmp(group->host, rule->fqdn) != 0) {
			unsigned int size = 1;

			while (i + size < n &&
			       strcmp(candidates[i + size].rule->fqdn, rule->fqdn) == 0 &&
			       strcmp(candidates[i + size].rule->meta.namespace,
				      rule->meta.namespace) == 0)
				size++;
			group = &groups[index->of[kind].n++];
			group->namespace = rule->meta.namespace;
			group->host = rule->fqdn;
			group->rules = arena_array(arena, size, sizeof(struct rule *));
		}
		group_add(arena, group, rule);
	}
	index->of[kind].groups = groups;
}

/* What an operator would otherwise be surprised by. */
static void
warn_of_oddities(const struct resources *resources, struct diagnostics *diagnostics)
{
	for (unsigned int i = 0; i < resources->n_rules; i++) {
		const struct destination_rule *rule = resources->rules[i];

		for (unsigned int j = 0; rule->selector == NULL && j < resources->n_rules; j++) {
			const struct destination_rule *other = resources->rules[j];

			if (other->selector == NULL || !same_exports(rule, other) ||
			    strcmp(rule->meta.namespace, other->meta.namespace) != 0 ||
			    strcmp(rule->fqdn, other->fqdn) != 0)
				continue;
			diagnostics_warning(
				diagnostics, resource_place(rule->meta.node, "spec.exportTo"),
				"exportTo [\".\"] beside %s, which has a "
				"workloadSelector and the same host: the rule is merged "
				"into that one and lost to other workloads, expected no "
				"exportTo",
				other->meta.id);
			break;
		}
	}
}

struct rule_index *
rule_index_create(struct arena *arena, struct diagnostics *diagnostics,
		  const struct resources *resources, const char *root_namespace)
{
	struct rule_index *index = arena_alloc(arena, sizeof(*index));

	index->root_namespace = root_namespace;
	for (unsigned int i = 0; i < INDEXES; i++)
		build_index(arena, index, i, resources);
	warn_of_oddities(resources, diagnostics);
	return index;
}

/* --- finding
 * -------------------------------------------------------------------------------------- */

/* The first group that is not before (namespace, host). */
static unsigned int
lower_bound(const struct rule_index *index, enum index_kind kind, const char *namespace,
	    const char *host)
{
	unsigned int low = 0, high = index->of[kind].n;

	while (low < high) {
		unsigned int middle = low + (high - low) / 2;
		const struct group *group = &index->of[kind].groups[middle];
		int order = strcmp(group->namespace, namespace);

		if (order == 0)
			order = strcmp(group->host, host);
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static bool
has_suffix(const char *text, const char *suffix)
{
	size_t len = strlen(text), end = strlen(suffix);

	return len >= end && strcmp(text + len - end, suffix) == 0;
}

/*
 * Istio's MostSpecificHostMatch: the host itself, else the longest wildcard, the first in
 * order of the alphabet among equally long ones. A wildcard host of a service is matched
 * without its star.
 */
static const struct group *
find_group(const struct rule_index *index, enum index_kind kind, const char *namespace,
	   const char *host)
{
	unsigned int at = lower_bound(index, kind, namespace, host);
	const struct group *groups = index->of[kind].groups, *best = NULL;

	if (at < index->of[kind].n && strcmp(groups[at].namespace, namespace) == 0 &&
	    strcmp(groups[at].host, host) == 0)
		return &groups[at];
	if (host[0] == '*')
		host++;
	for (at = lower_bound(index, kind, namespace, "*");
	     at < index->of[kind].n && strcmp(groups[at].namespace, namespace) == 0 &&
	     groups[at].host[0] == '*';
	     at++)
		if (has_suffix(host, groups[at].host + 1) &&
		    (best == NULL || strlen(groups[at].host) > strlen(best->host)))
			best = &groups[at];
	return best;
}

/* Of a group, what is for the client: a rule that selects it, else the youngest of those
 * without a selector. `exported`: only what its exportTo lets the client see. */
static const struct rule *
choose(const struct group *group, const char *client_namespace, const struct labels *client_labels,
       bool exported, bool *any)
{
	const struct rule *chosen = NULL;

	*any = false;
	for (unsigned int i = 0; i < group->n; i++) {
		const struct destination_rule *rule = group->rules[i]->first;

		if (exported && !is_visible(rule, client_namespace))
			continue;
		*any = true;
		if (rule->selector == NULL)
			chosen = group->rules[i];
		else if (strcmp(rule->meta.namespace, client_namespace) == 0 &&
			 labels_match(&rule->selector->labels, client_labels))
			return group->rules[i];
	}
	return chosen;
}

const struct rule *
rule_find(const struct rule_index *index, const char *client_namespace,
	  const struct labels *client_labels, const char *service_namespace, const char *host)
{
	const char *exporting[] = {service_namespace, index->root_namespace};
	bool in_root = strcmp(client_namespace, index->root_namespace) == 0, any;
	const struct group *group;
	const struct rule *rule;

	/* The first namespace with any rule for the host ends the search, even if the rule is
	 * only a wildcard, or selects other clients. */
	group = find_group(index, in_root ? ROOT : LOCAL, client_namespace, host);
	if (group != NULL)
		return choose(group, client_namespace, client_labels, false, &any);
	for (unsigned int i = 0; i < 2; i++) {
		group = find_group(index, EXPORTED, exporting[i], host);
		if (group == NULL)
			continue;
		rule = choose(group, client_namespace, client_labels, true, &any);
		if (any)
			return rule;
	}
	return NULL;
}

/* --- what a rule says of TLS
 * --------------------------------------------------------------------------- */

static bool
is_passthrough(const struct load_balancing *balancer)
{
	return balancer != NULL && balancer->simple != NULL &&
	       strcmp(balancer->simple, "PASSTHROUGH") == 0;
}

/*
 * Istio's MergeTrafficPolicy, for the fields that matter: a policy's own fields go before
 * what came from above, and an entry for the port replaces all of them, what it leaves out
 * included. Of two entries for one port the last counts.
 */
static void
apply_policy(const struct traffic_policy *policy, const struct destination_rule *of, uint16_t port,
	     struct rule_tls *tls)
{
	if (policy == NULL)
		return;
	if (policy->tls != NULL) {
		tls->of = of;
		tls->node = policy->tls->node;
		tls->tls = policy->tls;
	}
	if (policy->load_balancer != NULL)
		tls->passthrough = is_passthrough(policy->load_balancer);
	for (unsigned int i = 0; i < policy->n_ports; i++) {
		const struct port_policy *entry = &policy->ports[i];

		if (entry->port.number != port)
			continue;
		tls->of = of;
		tls->tls = entry->tls;
		tls->node = entry->tls != NULL ? entry->tls->node : entry->node;
		tls->passthrough = is_passthrough(entry->load_balancer);
	}
}

/* Istio's trafficPolicyTLSModeForPort, which unlike the above takes the first entry for the
 * port that has tls, and the policy's own mode if none has. */
static void
endpoint_mode(const struct traffic_policy *policy, uint16_t port, struct rule_tls *tls)
{
	const struct client_tls *found = policy != NULL ? policy->tls : NULL;

	for (unsigned int i = 0; policy != NULL && i < policy->n_ports; i++)
		if (policy->ports[i].port.number == port && policy->ports[i].tls != NULL) {
			found = policy->ports[i].tls;
			break;
		}
	tls->endpoint_mode_known = found != NULL;
	if (found != NULL)
		tls->endpoint_mode = found->mode;
}

void
rule_tls(const struct rule *rule, const char *subset, uint16_t port, struct rule_tls *tls)
{
	const struct destination_rule *of;
	const struct subset *found;

	memset(tls, 0, sizeof(*tls));
	if (rule == NULL)
		return;
	apply_policy(rule->policy, rule->policy_of, port, tls);
	if (subset[0] == '\0') {
		endpoint_mode(rule->policy, port, tls);
		return;
	}
	found = find_subset(rule, subset, &of);
	if (found == NULL)
		return;
	apply_policy(found->policy, of, port, tls);
	endpoint_mode(found->policy, port, tls);
}
