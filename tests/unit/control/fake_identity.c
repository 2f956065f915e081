/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/control/fake_identity.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

struct tls_identity {
	unsigned int references;
	char id[256];
	char fingerprint[65];
	char *chain, *bundle;
	bool skip_verify;
};

static unsigned int living;

static char *
copy(const char *text)
{
	return text != NULL ? strdup(text) : NULL;
}

static bool
add_file(const char *path, char *first_line, size_t len, EVP_MD_CTX *hash,
	 struct tls_identity_error *error)
{
	char text[4096];
	size_t n;
	FILE *file;

	if (path == NULL)
		return true;
	if (strncmp(path, "/fake/", 6) == 0) {
		EVP_DigestUpdate(hash, path, strlen(path));
		return true;
	}
	file = fopen(path, "r");
	error->file = path;
	if (file == NULL) {
		snprintf(error->text, sizeof(error->text), "%s", strerror(errno));
		return false;
	}
	n = fread(text, 1, sizeof(text) - 1, file);
	fclose(file);
	text[n] = '\0';
	EVP_DigestUpdate(hash, text, n);
	text[strcspn(text, "\n")] = '\0';
	if (strncmp(text, "broken", 6) == 0) {
		snprintf(error->text, sizeof(error->text), "not a certificate");
		return false;
	}
	if (first_line != NULL)
		snprintf(first_line, len, "%.200s", text);
	return true;
}

static void
finish(EVP_MD_CTX *hash, struct tls_identity *identity)
{
	unsigned char digest[32];

	EVP_DigestFinal_ex(hash, digest, NULL);
	for (unsigned int i = 0; i < sizeof(digest); i++)
		snprintf(identity->fingerprint + 2 * i, 3, "%02x", digest[i]);
}

struct tls_identity *
tls_identity_load(const struct tls_identity_files *files, struct tls_identity_error *error)
{
	struct tls_identity *identity = calloc(1, sizeof(*identity));
	EVP_MD_CTX *hash = EVP_MD_CTX_new();

	EVP_DigestInit_ex(hash, EVP_sha256(), NULL);
	if (!add_file(files->certificate_chain, identity->id, sizeof(identity->id), hash, error) ||
	    !add_file(files->private_key, NULL, 0, hash, error) ||
	    !add_file(files->trust_bundle, NULL, 0, hash, error)) {
		EVP_MD_CTX_free(hash);
		free(identity);
		return NULL;
	}
	finish(hash, identity);
	EVP_MD_CTX_free(hash);
	identity->chain = copy(files->certificate_chain);
	identity->bundle = copy(files->trust_bundle);
	identity->skip_verify = files->skip_verify;
	identity->references = 1;
	living++;
	return identity;
}

struct tls_identity *
fake_identity(const char *spiffe_id)
{
	struct tls_identity *identity = calloc(1, sizeof(*identity));

	snprintf(identity->id, sizeof(identity->id), "%s", spiffe_id);
	snprintf(identity->fingerprint, sizeof(identity->fingerprint), "%.64s", spiffe_id);
	identity->references = 1;
	living++;
	return identity;
}

struct tls_identity *
tls_identity_ref(struct tls_identity *identity)
{
	identity->references++;
	return identity;
}

void
tls_identity_free(struct tls_identity *identity)
{
	if (identity == NULL || --identity->references > 0)
		return;
	free(identity->chain);
	free(identity->bundle);
	free(identity);
	living--;
}

const char *
tls_identity_spiffe_id(const struct tls_identity *identity)
{
	return identity->id;
}

const char *
tls_identity_fingerprint(const struct tls_identity *identity)
{
	return identity->fingerprint;
}

int64_t
tls_identity_not_before(const struct tls_identity *identity)
{
	return 0;
}

int64_t
tls_identity_not_after(const struct tls_identity *identity)
{
	return 0;
}

const char *
tls_identity_serial(const struct tls_identity *identity)
{
	return "00";
}

unsigned int
fake_identities(void)
{
	return living;
}

const char *
fake_identity_trust_bundle(const struct tls_identity *identity)
{
	return identity->bundle;
}

const char *
fake_identity_chain(const struct tls_identity *identity)
{
	return identity->chain;
}

bool
fake_identity_skip_verify(const struct tls_identity *identity)
{
	return identity->skip_verify;
}
