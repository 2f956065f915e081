/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "control/resolve.h"

/* The certificates that DestinationRules name. A set of files is loaded once for a snapshot,
 * however many clients and ports use it. */

struct resolve_file_identity {
	struct resolve_file_identity *next;
	struct tls_identity_files files;
	struct tls_identity *identity; /* NULL: could not be loaded */
};

static bool
same_text(const char *a, const char *b)
{
	return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

static bool
same_files(const struct tls_identity_files *a, const struct tls_identity_files *b)
{
	return same_text(a->certificate_chain, b->certificate_chain) &&
	       same_text(a->private_key, b->private_key) &&
	       same_text(a->trust_bundle, b->trust_bundle) && a->skip_verify == b->skip_verify;
}

static const char *
path_of(struct arena *arena, const char *folder, const char *path)
{
	if (path == NULL || path[0] == '\0')
		return NULL;
	return config_path(arena, folder, path);
}

static void
files_of(struct arena *arena, const char *folder, const struct client_tls *tls,
	 struct tls_identity_files *files)
{
	memset(files, 0, sizeof(*files));
	if (tls->mode == CLIENT_TLS_MUTUAL) {
		files->certificate_chain = path_of(arena, folder, tls->client_certificate);
		files->private_key = path_of(arena, folder, tls->private_key);
	}
	/* "system" is Istio's name for the bundle of the operating system. */
	if (tls->ca_certificates != NULL && strcmp(tls->ca_certificates, "system") != 0)
		files->trust_bundle = path_of(arena, folder, tls->ca_certificates);
	files->skip_verify = tls->insecure_skip_verify;
}

static void
report(const struct resolver *resolver, const struct client_tls *tls,
       const struct tls_identity_files *files, const struct tls_identity_error *error)
{
	const char *field = NULL;

	if (error->file == NULL)
		field = "mode";
	else if (same_text(error->file, files->certificate_chain))
		field = "clientCertificate";
	else if (same_text(error->file, files->private_key))
		field = "privateKey";
	else
		field = "caCertificates";
	diagnostics_error(resolver->mesh->diagnostics, resource_place(tls->node, field), "%s%s%s",
			  error->file != NULL ? error->file : "", error->file != NULL ? ": " : "",
			  error->text);
}

struct tls_identity *
resolve_identity(struct resolver *resolver, const struct client_tls *tls)
{
	struct resolve_file_identity *loaded;
	struct tls_identity_error error = {.file = NULL};
	struct tls_identity_files files;

	files_of(resolver->mesh->arena, resolver->folder, tls, &files);
	for (loaded = resolver->identities; loaded != NULL; loaded = loaded->next)
		if (same_files(&loaded->files, &files))
			return loaded->identity;
	loaded = arena_alloc(resolver->mesh->arena, sizeof(*loaded));
	loaded->files = files;
	loaded->identity = tls_identity_load(&files, &error);
	loaded->next = resolver->identities;
	resolver->identities = loaded;
	if (loaded->identity == NULL)
		report(resolver, tls, &files, &error);
	else
		snapshot_keep_identity(resolver->snapshot, loaded->identity,
				       files.skip_verify ? "insecureSkipVerify" : "");
	return loaded->identity;
}

/* --- for the watch ------------------------------------------------------------------------- */

struct collected {
	struct arena *arena;
	const char *folder;
	const char **files; /* NULL: they are only counted */
	unsigned int n;
};

static void
collect(struct collected *collected, const char *path)
{
	if (path == NULL)
		return;
	if (collected->files != NULL)
		collected->files[collected->n] = path;
	collected->n++;
}

static void
collect_tls(struct collected *collected, const struct client_tls *tls)
{
	struct tls_identity_files files;

	if (tls == NULL || (tls->mode != CLIENT_TLS_SIMPLE && tls->mode != CLIENT_TLS_MUTUAL))
		return;
	files_of(collected->arena, collected->folder, tls, &files);
	collect(collected, files.certificate_chain);
	collect(collected, files.private_key);
	collect(collected, files.trust_bundle);
}

static void
collect_policy(struct collected *collected, const struct traffic_policy *policy)
{
	if (policy == NULL)
		return;
	collect_tls(collected, policy->tls);
	for (unsigned int i = 0; i < policy->n_ports; i++)
		collect_tls(collected, policy->ports[i].tls);
}

static void
collect_all(struct collected *collected, const struct resources *resources)
{
	for (unsigned int i = 0; i < resources->n_rules; i++) {
		collect_policy(collected, resources->rules[i]->policy);
		for (unsigned int j = 0; j < resources->rules[i]->n_subsets; j++)
			collect_policy(collected, resources->rules[i]->subsets[j].policy);
	}
}

unsigned int
resolve_files(struct arena *arena, const struct resources *resources, const char *folder,
	      const char ***files)
{
	struct collected collected = {.arena = arena, .folder = folder};

	collect_all(&collected, resources);
	collected.files = arena_array(arena, collected.n + 1, sizeof(*collected.files));
	collected.n = 0;
	collect_all(&collected, resources);
	*files = collected.files;
	return collected.n;
}
