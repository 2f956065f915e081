/* SPDX-License-Identifier: Apache-2.0 */
#include "control/policy.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <rte_rcu_qsbr.h>

#include "control/config.h"
#include "control/diagnostics.h"
#include "control/resolve.h"
#include "control/resources.h"
#include "control/snapshot.h"
#include "control/watch.h"

/*
 * The life of a configuration: everything is read off to the side, judged whole, and then
 * either becomes the snapshot in force or changes nothing.
 *
 * A snapshot that was replaced is freed when two things are true: every worker has passed a
 * quiescent state since (so nobody can still have it from policy_current(), or take a first
 * hold of it), and no worker's hold counter says that a session keeps it.
 */

#define WATCH_INTERVAL_MS 250 /* how often files are looked at; two looks make a change */

struct retired {
	struct retired *next;
	struct policy_snapshot *snapshot;
	uint64_t token;   /* of rte_rcu_qsbr_start() */
	bool unreachable; /* every worker has been quiescent since */
};

struct policy {
	char *file;
	policy_report report;
	void *report_ctx;
	struct arena *arena; /* of `config`, which stays that of the start */
	const struct config *config;
	struct watch *watch;
	struct rte_rcu_qsbr *rcu;
	struct policy_snapshot *current; /* read by workers */
	struct retired *retired;
	uint8_t digest[SNAPSHOT_DIGEST]; /* of `current` */
	struct policy_stats stats;
};

/* One reading of everything. */
struct load {
	struct watch *watch;
	struct arena *arena;
	struct diagnostics *diagnostics;
	const struct config *config;
	struct tls_identity **identities;
	unsigned int n_identities;
	struct policy_snapshot *snapshot;
	/* Everything that was read or should have been, for the watch. */
	const char **paths;
	unsigned int n_paths, paths_room;
};

static uint64_t
now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* --- reading ---------------------------------------------------------------------------------- */

static void
add_path(struct load *load, const char *path)
{
	if (path == NULL)
		return;
	if (load->n_paths == load->paths_room) {
		unsigned int room = load->paths_room * 2 + 16;
		const char **paths = arena_array(load->arena, room, sizeof(*paths));

		if (load->n_paths > 0)
			memcpy(paths, load->paths, load->n_paths * sizeof(*paths));
		load->paths = paths;
		load->paths_room = room;
	}
	load->paths[load->n_paths++] = path;
}

/* To be called before what the paths lead to is read, so that a change while it is being
 * read is noticed as well. What turns out to be wrong stays watched, to be seen when it has
 * been put right. */
static void
watch_paths(struct load *load)
{
	watch_set_paths(load->watch, load->paths, load->n_paths);
}

static void
report_identity(struct load *load, const struct config_identity *from,
		const struct tls_identity_error *error)
{
	const char *field = NULL;

	if (error->file != NULL && error->file == from->certificate_chain)
		field = "certificateChain";
	else if (error->file != NULL && error->file == from->private_key)
		field = "privateKey";
	else if (error->file != NULL && error->file == from->trust_bundle)
		field = "trustBundle";
	diagnostics_error(load->diagnostics, resource_place(from->node, field), "%s%s%s",
			  error->file != NULL ? error->file : "", error->file != NULL ? ": " : "",
			  error->text);
}

static void
load_identities(struct load *load)
{
	unsigned int n = load->config->n_identities;

	load->identities = arena_array(load->arena, n + 1, sizeof(struct tls_identity *));
	for (unsigned int i = 0; i < n; i++) {
		const struct config_identity *from = &load->config->identities[i];
		struct tls_identity_files files = {.certificate_chain = from->certificate_chain,
						   .private_key = from->private_key,
						   .trust_bundle = from->trust_bundle,
						   .require_spiffe = true};
		struct tls_identity_error error = {.file = NULL};
		struct tls_identity *identity;

		if (from->unusable)
			continue; /* reported by the check of portcullis.yaml */
		identity = tls_identity_load(&files, &error);
		if (identity == NULL)
			report_identity(load, from, &error);
		else
			load->identities[load->n_identities++] = identity;
	}
}

static void
add_config_paths(struct load *load)
{
	add_path(load, load->config->mesh);
	for (unsigned int i = 0; i < load->config->n_identities; i++) {
		add_path(load, load->config->identities[i].certificate_chain);
		add_path(load, load->config->identities[i].private_key);
		add_path(load, load->config->identities[i].trust_bundle);
	}
	watch_paths(load);
}

static const struct resources *
load_resources(struct load *load)
{
	const char **files = NULL;
	unsigned int n = 0;

	if (load->config->mesh != NULL)
		n = config_mesh_files(load->arena, load->diagnostics, load->config->mesh,
				      load->config->mesh_place, &files);
	return resources_read(load->arena, load->diagnostics, files, n,
			      load->config->root_namespace);
}

static void
load_snapshot(struct load *load, const struct resources *resources)
{
	const struct config *config = load->config;
	struct resolve_input input = {
		.config = config,
		.settings = {.trust_domain = config->trust_domain,
			     .trust_domain_aliases = config->trust_domain_aliases,
			     .n_trust_domain_aliases = config->n_trust_domain_aliases,
			     .root_namespace = config->root_namespace,
			     .enable_auto_mtls = config->enable_auto_mtls},
		.resources = resources,
		.identities = load->identities,
		.n_identities = load->n_identities,
	};
	const char **files;
	unsigned int n = resolve_files(load->arena, resources, config->folder, &files);

	for (unsigned int i = 0; i < n; i++)
		add_path(load, files[i]);
	watch_paths(load);
	load->snapshot = resolve(load->arena, load->diagnostics, &input);
}

/*
 * Reads everything there is. Each step is taken even if the one before found errors, so that
 * one run tells of all of them, apart from resolution: it would complain of resources that
 * are missing only because they were broken.
 */
static void
load_start(struct load *load, struct policy *policy)
{
	const struct resources *resources;

	memset(load, 0, sizeof(*load));
	load->watch = policy->watch;
	load->arena = arena_create();
	load->diagnostics = diagnostics_create();
	add_path(load, policy->file);
	if (policy->current == NULL)
		watch_paths(load);
	load->config = config_read(load->arena, load->diagnostics, policy->file);
	if (load->config == NULL || load->config->root_namespace == NULL ||
	    load->config->trust_domain == NULL)
		return;
	add_config_paths(load);
	resources = load_resources(load);
	load_identities(load);
	if (diagnostics_errors(load->diagnostics) == 0)
		load_snapshot(load, resources);
}

static void
load_end(struct load *load)
{
	for (unsigned int i = 0; i < load->n_identities; i++)
		tls_identity_free(load->identities[i]); /* the snapshot has its own reference */
	snapshot_destroy(load->snapshot);
	diagnostics_destroy(load->diagnostics);
	arena_destroy(load->arena);
}

/* --- publishing --------------------------------------------------------------------------------
 */

/* Takes the snapshot over. */
static void
publish(struct policy *policy, struct policy_snapshot *snapshot,
	const uint8_t digest[SNAPSHOT_DIGEST])
{
	struct policy_snapshot *old = policy->current;
	struct retired *retired = NULL;

	if (old != NULL) {
		retired = malloc(sizeof(*retired));
		if (retired == NULL)
			abort(); /* control thread, out of memory */
	}
	snapshot->generation = old != NULL ? old->generation + 1 : 1;
	policy->stats.generation = snapshot->generation;
	memcpy(policy->digest, digest, SNAPSHOT_DIGEST);
	__atomic_store_n(&policy->current, snapshot, __ATOMIC_RELEASE);
	policy->stats.snapshots++;
	if (old == NULL)
		return;
	retired->snapshot = old;
	retired->token = rte_rcu_qsbr_start(policy->rcu);
	retired->unreachable = false;
	retired->next = policy->retired;
	policy->retired = retired;
}

static bool
is_unused(struct policy *policy, struct retired *retired)
{
	if (!retired->unreachable)
		retired->unreachable = rte_rcu_qsbr_check(policy->rcu, retired->token, false) == 1;
	return retired->unreachable && snapshot_held(retired->snapshot) == 0;
}

static void
reclaim(struct policy *policy)
{
	struct retired **at = &policy->retired;

	while (*at != NULL) {
		struct retired *retired = *at;

		if (!is_unused(policy, retired)) {
			at = &retired->next;
			continue;
		}
		*at = retired->next;
		snapshot_destroy(retired->snapshot);
		free(retired);
		policy->stats.snapshots--;
	}
}

/* --- life
 * ------------------------------------------------------------------------------------------ */

static void
no_report(void *ctx, const char *line)
{
}

static struct policy *
policy_create(const char *file, policy_report report, void *ctx)
{
	struct policy *policy = calloc(1, sizeof(*policy));
	size_t size = rte_rcu_qsbr_get_memsize(POLICY_MAX_WORKERS);

	if (policy == NULL)
		return NULL;
	policy->file = strdup(file);
	policy->report = report != NULL ? report : no_report;
	policy->report_ctx = ctx;
	policy->watch = watch_create(WATCH_INTERVAL_MS);
	policy->rcu = aligned_alloc(RTE_CACHE_LINE_SIZE, RTE_ALIGN_CEIL(size, RTE_CACHE_LINE_SIZE));
	if (policy->file == NULL || policy->watch == NULL || policy->rcu == NULL ||
	    rte_rcu_qsbr_init(policy->rcu, POLICY_MAX_WORKERS) != 0) {
		policy_close(policy);
		return NULL;
	}
	return policy;
}

struct policy *
policy_open(const char *file, policy_report report, void *ctx, unsigned int *errors,
	    unsigned int *warnings)
{
	struct policy *policy = policy_create(file, report, ctx);
	uint8_t digest[SNAPSHOT_DIGEST];
	struct load load;

	*errors = *warnings = 0;
	if (policy == NULL) {
		if (report != NULL)
			report(ctx, "error: out of memory");
		*errors = 1;
		return NULL;
	}
	load_start(&load, policy);
	*errors = diagnostics_errors(load.diagnostics);
	*warnings = diagnostics_warnings(load.diagnostics);
	diagnostics_report(load.diagnostics, policy->report, policy->report_ctx);
	if (*errors > 0 || load.snapshot == NULL) {
		load_end(&load);
		policy_close(policy);
		return NULL;
	}
	snapshot_digest(load.snapshot, digest);
	publish(policy, load.snapshot, digest);
	load.snapshot = NULL;
	policy->arena = load.arena;
	policy->config = load.config;
	load.arena = NULL;
	load_end(&load);
	return policy;
}

void
policy_close(struct policy *policy)
{
	if (policy == NULL)
		return;
	while (policy->retired != NULL) {
		struct retired *retired = policy->retired;

		policy->retired = retired->next;
		snapshot_destroy(retired->snapshot);
		free(retired);
	}
	snapshot_destroy(policy->current);
	watch_destroy(policy->watch);
	arena_destroy(policy->arena);
	free(policy->rcu);
	free(policy->file);
	free(policy);
}

const struct policy_node *
policy_node(const struct policy *policy)
{
	return &policy->config->node;
}

void
policy_stats(const struct policy *policy, struct policy_stats *stats)
{
	*stats = policy->stats;
}

static int
reload(struct policy *policy)
{
	uint8_t digest[SNAPSHOT_DIGEST];
	struct load load;
	int result = 0;

	load_start(&load, policy);
	if (load.snapshot != NULL && diagnostics_errors(load.diagnostics) == 0)
		config_compare(policy->config, load.config, load.diagnostics);
	diagnostics_report(load.diagnostics, policy->report, policy->report_ctx);
	if (load.snapshot == NULL || diagnostics_errors(load.diagnostics) > 0) {
		policy->stats.refused++;
		result = -1;
	} else {
		snapshot_digest(load.snapshot, digest);
		if (memcmp(digest, policy->digest, SNAPSHOT_DIGEST) != 0) {
			publish(policy, load.snapshot, digest);
			load.snapshot = NULL;
			policy->stats.reloads++;
			result = 1;
		}
	}
	load_end(&load);
	return result;
}

int
policy_poll(struct policy *policy, bool force)
{
	bool changed = watch_changed(policy->watch, now_ms());
	int result = changed || force ? reload(policy) : 0;

	reclaim(policy);
	return result;
}

/* --- workers
 * ----------------------------------------------------------------------------------------- */

void
policy_worker_online(struct policy *policy, unsigned int worker)
{
	rte_rcu_qsbr_thread_register(policy->rcu, worker);
	rte_rcu_qsbr_thread_online(policy->rcu, worker);
}

void
policy_worker_offline(struct policy *policy, unsigned int worker)
{
	rte_rcu_qsbr_thread_offline(policy->rcu, worker);
	rte_rcu_qsbr_thread_unregister(policy->rcu, worker);
}

void
policy_quiescent(struct policy *policy, unsigned int worker)
{
	rte_rcu_qsbr_quiescent(policy->rcu, worker);
}

const struct policy_snapshot *
policy_current(const struct policy *policy)
{
	return __atomic_load_n(&policy->current, __ATOMIC_ACQUIRE);
}
