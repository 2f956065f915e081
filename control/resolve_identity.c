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

void
resolver_add_file(struct resolver *resolver, const char *path)
{
	struct arena *arena = resolver->mesh->arena;

	if (path == NULL)
		return;
	if (resolver->n_files == resolver->files_room) {
		unsigned int room = resolver->files_room * 2 + 8;
		const char **files = arena_array(arena, room, sizeof(*files));

		if (resolver->n_files > 0)
			memcpy(files, resolver->files, resolver->n_files * sizeof(*files));
		resolver->files = files;
		resolver->files_room = room;
	}
	resolver->files[resolver->n_files++] = path;
}

static const char *
path_of(const struct resolver *resolver, const char *path)
{
	if (path == NULL || path[0] == '\0')
		return NULL;
	return config_path(resolver->mesh->arena, resolver->folder, path);
}

static void
files_of(const struct resolver *resolver, const struct client_tls *tls,
	 struct tls_identity_files *files)
{
	memset(files, 0, sizeof(*files));
	if (tls->mode == CLIENT_TLS_MUTUAL) {
		files->certificate_chain = path_of(resolver, tls->client_certificate);
		files->private_key = path_of(resolver, tls->private_key);
	}
	/* "system" is Istio's name for the bundle of the operating system. */
	if (tls->ca_certificates != NULL && strcmp(tls->ca_certificates, "system") != 0)
		files->trust_bundle = path_of(resolver, tls->ca_certificates);
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
	diagnostics_error(resolver->mesh->diagnostics, resource_place(tls->node, field),
			  "%s%s%s", error->file != NULL ? error->file : "",
			  error->file != NULL ? ": " : "", error->text);
}

struct tls_identity *
resolve_identity(struct resolver *resolver, const struct client_tls *tls)
{
	struct resolve_file_identity *loaded;
	struct tls_identity_error error = {.file = NULL};
	struct tls_identity_files files;

	files_of(resolver, tls, &files);
	for (loaded = resolver->identities; loaded != NULL; loaded = loaded->next)
		if (same_files(&loaded->files, &files))
			return loaded->identity;
	resolver_add_file(resolver, files.certificate_chain);
	resolver_add_file(resolver, files.private_key);
	resolver_add_file(resolver, files.trust_bundle);
	loaded = arena_alloc(resolver->mesh->arena, sizeof(*loaded));
	loaded->files = files;
	loaded->identity = tls_identity_load(&files, &error);
	loaded->next = resolver->identities;
	resolver->identities = loaded;
	if (loaded->identity == NULL)
		report(resolver, tls, &files, &error);
	else
		snapshot_keep_identity(resolver->snapshot, loaded->identity);
	return loaded->identity;
}
