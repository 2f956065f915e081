/* SPDX-License-Identifier: Apache-2.0 */
#include "tls/identity.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "tls/identity_internal.h"
#include "tls/verify.h"

/* A system's whole bundle of roots is a quarter of this. */
#define IDENTITY_FILE_MAX (1024 * 1024)
#define IDENTITY_CHAIN_MAX 10 /* certificates that we would send */

struct file_bytes {
	uint8_t *data;
	size_t len;
};

/* Everything that lives only while an identity is being loaded. */
struct loader {
	const struct tls_identity_files *files;
	struct tls_identity_error *error;
	EVP_MD_CTX *digest; /* over the files as they are read */
	struct tls_credentials credentials;
	struct tls_identity *identity;
};

static int __attribute__((format(printf, 3, 4)))
fail(struct loader *loader, const char *file, const char *format, ...)
{
	va_list args;

	loader->error->file = file;
	va_start(args, format);
	vsnprintf(loader->error->text, sizeof(loader->error->text), format, args);
	va_end(args);
	ERR_clear_error();
	return -1;
}

/* --- files ----------------------------------------------------------------------------- */

static void
file_wipe(struct file_bytes *file)
{
	if (file->data != NULL)
		OPENSSL_cleanse(file->data, file->len);
	free(file->data);
	*file = (struct file_bytes){0};
}

static int
read_all(int fd, uint8_t *data, size_t len)
{
	size_t done = 0;

	while (done < len) {
		ssize_t n = read(fd, data + done, len - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		if (n == 0) {
			errno = EAGAIN; /* it shrank under us: somebody is writing it */
			return -1;
		}
		done += (size_t)n;
	}
	return 0;
}

static int
read_open_file(struct loader *loader, int fd, const char *path, struct file_bytes *out)
{
	struct stat st;

	if (fstat(fd, &st) != 0)
		return fail(loader, path, "cannot be read: %s", strerror(errno));
	if (!S_ISREG(st.st_mode))
		return fail(loader, path, "is not a regular file");
	if (st.st_size == 0)
		return fail(loader, path, "is empty");
	if (st.st_size > IDENTITY_FILE_MAX)
		return fail(loader, path, "is larger than 1 MiB");
	out->len = (size_t)st.st_size;
	out->data = malloc(out->len);
	if (out->data == NULL)
		return fail(loader, path, "out of memory");
	if (read_all(fd, out->data, out->len) != 0)
		return fail(loader, path, "cannot be read: %s", strerror(errno));
	return 0;
}

static int
read_file(struct loader *loader, const char *path, struct file_bytes *out)
{
	uint64_t len;
	/* O_NONBLOCK: a FIFO is refused below, not waited for. */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	int rc;

	*out = (struct file_bytes){0};
	if (fd < 0)
		return fail(loader, path, "cannot be opened: %s", strerror(errno));
	rc = read_open_file(loader, fd, path, out);
	close(fd);
	if (rc != 0) {
		file_wipe(out);
		return rc;
	}
	/* With the length, so that bytes cannot move between files unseen. */
	len = out->len;
	EVP_DigestUpdate(loader->digest, &len, sizeof(len));
	EVP_DigestUpdate(loader->digest, out->data, out->len);
	return 0;
}

/* --- PEM ------------------------------------------------------------------------------- */

static bool
at_end_of_pem(void)
{
	unsigned long error = ERR_peek_last_error();

	return ERR_GET_LIB(error) == ERR_LIB_PEM && ERR_GET_REASON(error) == PEM_R_NO_START_LINE;
}

static const char *
last_reason(void)
{
	const char *reason = ERR_reason_error_string(ERR_peek_error());

	return reason != NULL ? reason : "no certificate";
}

/* Every certificate of the file, in order. NULL with the error filled. */
static STACK_OF(X509) *
parse_certificates(struct loader *loader, const char *path, const struct file_bytes *file)
{
	BIO *bio = BIO_new_mem_buf(file->data, (int)file->len);
	STACK_OF(X509) *certs = sk_X509_new_null();
	bool whole = bio != NULL && certs != NULL;
	X509 *cert = NULL;

	ERR_clear_error();
	while (whole && (cert = PEM_read_bio_X509(bio, NULL, NULL, NULL)) != NULL)
		whole = sk_X509_push(certs, cert) > 0;
	if (!whole)
		fail(loader, path, "out of memory");
	else if (!at_end_of_pem())
		fail(loader, path, "certificate %d is not readable PEM: %s",
		     sk_X509_num(certs) + 1, last_reason());
	else if (sk_X509_num(certs) == 0)
		fail(loader, path, "holds no PEM certificate");
	else
		goto out;
	if (cert != NULL)
		X509_free(cert);
	sk_X509_pop_free(certs, X509_free);
	certs = NULL;
out:
	BIO_free(bio);
	ERR_clear_error();
	return certs;
}

static STACK_OF(X509) *
load_certificates(struct loader *loader, const char *path)
{
	struct file_bytes file;
	STACK_OF(X509) *certs = NULL;

	if (read_file(loader, path, &file) == 0)
		certs = parse_certificates(loader, path, &file);
	file_wipe(&file);
	return certs;
}

/* There is nobody at the console to ask. */
static int
no_passphrase(char *buffer, int size, int writing, void *asked)
{
	*(bool *)asked = true;
	return -1;
}

static int
load_key(struct loader *loader)
{
	const char *path = loader->files->private_key;
	struct file_bytes file;
	bool encrypted = false;
	int rc = -1;
	BIO *bio;

	if (read_file(loader, path, &file) != 0)
		return -1;
	ERR_clear_error();
	bio = BIO_new_mem_buf(file.data, (int)file.len);
	if (bio != NULL)
		loader->credentials.key =
			PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, &encrypted);
	if (loader->credentials.key != NULL)
		rc = 0;
	else if (encrypted)
		fail(loader, path, "the private key is encrypted with a passphrase");
	else if (memmem(file.data, file.len, "PRIVATE KEY-----", 16) == NULL)
		fail(loader, path, "holds no PEM private key");
	else
		fail(loader, path, "the private key is not readable PEM: %s", last_reason());
	BIO_free(bio);
	file_wipe(&file);
	ERR_clear_error();
	return rc;
}

/* --- checks ---------------------------------------------------------------------------- */

static int
check_key_kind(struct loader *loader)
{
	EVP_PKEY *key = loader->credentials.key;
	const char *path = loader->files->private_key;
	char group[64] = "an unnamed curve";

	switch (EVP_PKEY_get_base_id(key)) {
	case EVP_PKEY_RSA:
		if (EVP_PKEY_get_bits(key) < 2048)
			return fail(loader, path, "RSA key of %d bits: at least 2048 are needed",
				    EVP_PKEY_get_bits(key));
		return 0;
	case EVP_PKEY_ED25519:
		return 0;
	case EVP_PKEY_EC:
		EVP_PKEY_get_utf8_string_param(key, OSSL_PKEY_PARAM_GROUP_NAME, group,
					       sizeof(group), NULL);
		if (strcmp(group, "prime256v1") == 0 || strcmp(group, "secp384r1") == 0)
			return 0;
		return fail(loader, path, "EC key on %s: P-256 or P-384 is needed", group);
	default:
		return fail(loader, path,
			    "the private key is of a kind (%s) that is not served: ECDSA P-256 or "
			    "P-384, RSA or Ed25519 is needed",
			    OBJ_nid2sn(EVP_PKEY_get_base_id(key)));
	}
}

static int
check_key_matches(struct loader *loader)
{
	struct tls_credentials *c = &loader->credentials;

	if (X509_check_private_key(c->leaf, c->key) == 1)
		return 0;
	for (int i = 0; i < sk_X509_num(c->chain); i++)
		if (X509_check_private_key(sk_X509_value(c->chain, i), c->key) == 1)
			return fail(loader, loader->files->certificate_chain,
				    "the private key belongs to certificate %d of the chain: the "
				    "leaf must come first",
				    i + 2);
	return fail(loader, loader->files->private_key,
		    "the private key does not match the certificate");
}

static int
check_validity(struct loader *loader)
{
	const char *path = loader->files->certificate_chain;
	X509 *leaf = loader->credentials.leaf;
	char when[40];

	if (X509_cmp_current_time(X509_get0_notAfter(leaf)) <= 0) {
		tls_verify_time_text(X509_get0_notAfter(leaf), when, sizeof(when));
		return fail(loader, path, "certificate expired on %s", when);
	}
	if (X509_cmp_current_time(X509_get0_notBefore(leaf)) >= 0) {
		tls_verify_time_text(X509_get0_notBefore(leaf), when, sizeof(when));
		return fail(loader, path, "certificate is not valid before %s", when);
	}
	return 0;
}

/* Peers verify us as a server and as a client (X509-SVID.md section 4.4). */
static int
check_svid(struct loader *loader)
{
	const char *path = loader->files->certificate_chain;
	X509 *leaf = loader->credentials.leaf;
	char detail[200];

	if (tls_verify_svid(leaf, loader->identity->spiffe_id, detail, sizeof(detail)) !=
	    TLS_CAUSE_OK)
		return fail(loader, path, "%s", detail);
	if ((X509_get_extension_flags(leaf) & EXFLAG_KUSAGE) != 0 &&
	    (X509_get_key_usage(leaf) & KU_DIGITAL_SIGNATURE) == 0)
		return fail(loader, path, "keyUsage of the leaf lacks digitalSignature");
	if (X509_check_purpose(leaf, X509_PURPOSE_SSL_SERVER, 0) != 1)
		return fail(loader, path, "extendedKeyUsage of the leaf lacks serverAuth");
	if (X509_check_purpose(leaf, X509_PURPOSE_SSL_CLIENT, 0) != 1)
		return fail(loader, path, "extendedKeyUsage of the leaf lacks clientAuth");
	return 0;
}

/* Peers trust the same bundle: a chain that does not lead there is of no use to anybody. */
static int
check_chain(struct loader *loader)
{
	struct tls_credentials *c = &loader->credentials;
	X509_STORE_CTX *ctx = X509_STORE_CTX_new();
	int ok = ctx != NULL && X509_STORE_CTX_init(ctx, c->roots, c->leaf, c->chain) == 1 &&
		 X509_verify_cert(ctx) == 1;

	if (!ok) {
		int error = ctx != NULL ? X509_STORE_CTX_get_error(ctx) : X509_V_ERR_OUT_OF_MEM;
		X509 *at = ctx != NULL ? X509_STORE_CTX_get_current_cert(ctx) : NULL;
		char subject[96] = "";

		if (at != NULL)
			X509_NAME_oneline(X509_get_subject_name(at), subject, sizeof(subject));
		fail(loader, loader->files->certificate_chain,
		     "the chain does not lead to the trust bundle: %s%s%s",
		     X509_verify_cert_error_string(error), subject[0] != '\0' ? " at " : "",
		     subject);
	}
	X509_STORE_CTX_free(ctx);
	ERR_clear_error();
	return ok ? 0 : -1;
}

/* --- loading --------------------------------------------------------------------------- */

static int
load_chain(struct loader *loader)
{
	const char *path = loader->files->certificate_chain;
	struct tls_credentials *c = &loader->credentials;

	c->chain = load_certificates(loader, path);
	if (c->chain == NULL)
		return -1;
	if (sk_X509_num(c->chain) > IDENTITY_CHAIN_MAX)
		return fail(loader, path, "holds %d certificates, at most %d are sent",
			    sk_X509_num(c->chain), IDENTITY_CHAIN_MAX);
	c->leaf = sk_X509_shift(c->chain);
	return 0;
}

/* A peer has its own roots; to send ours would only cost bytes. */
static void
drop_roots(STACK_OF(X509) *chain)
{
	for (int i = sk_X509_num(chain) - 1; i >= 0; i--)
		if ((X509_get_extension_flags(sk_X509_value(chain, i)) & EXFLAG_SS) != 0)
			X509_free(sk_X509_delete(chain, i));
}

static int
add_roots(struct loader *loader, const char *path, STACK_OF(X509) *certs)
{
	for (int i = 0; i < sk_X509_num(certs); i++) {
		X509 *cert = sk_X509_value(certs, i);

		/* A leaf in the bundle would be believed as it stands. */
		if (loader->files->require_spiffe && X509_check_ca(cert) == 0)
			return fail(loader, path, "certificate %d is not a CA certificate", i + 1);
		if (X509_STORE_add_cert(loader->credentials.roots, cert) != 1)
			return fail(loader, path, "certificate %d: %s", i + 1, last_reason());
	}
	return 0;
}

/* Where distributions keep the system's roots in one file. The folder of hashed names that
 * OpenSSL knows besides would be looked up by the workers, during handshakes. */
static const char *
system_bundle(void)
{
	static const char *const places[] = {
		"/etc/ssl/certs/ca-certificates.crt", /* Debian, Ubuntu, Alpine, Arch */
		"/etc/pki/tls/certs/ca-bundle.crt",   /* Fedora, RHEL */
		"/etc/ssl/ca-bundle.pem",             /* SUSE */
		"/etc/ssl/cert.pem",
	};
	const char *path = getenv(X509_get_default_cert_file_env());

	if (path != NULL && path[0] != '\0')
		return path;
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++)
		if (access(places[i], R_OK) == 0)
			return places[i];
	return NULL;
}

static int
load_bundle(struct loader *loader)
{
	const char *path = loader->files->trust_bundle;
	struct tls_credentials *c = &loader->credentials;
	STACK_OF(X509) *certs;
	int rc;

	c->roots = X509_STORE_new();
	if (c->roots == NULL)
		return fail(loader, path, "out of memory");
	/* A bundle may hold an intermediate as its anchor, as Envoy allows. */
	X509_STORE_set_flags(c->roots, X509_V_FLAG_PARTIAL_CHAIN);
	if (path == NULL && loader->files->skip_verify)
		return 0;
	if (path == NULL)
		path = system_bundle();
	if (path == NULL)
		return fail(loader, NULL, "the system has no trust bundle (ca-certificates)");
	certs = load_certificates(loader, path);
	if (certs == NULL)
		return -1;
	rc = add_roots(loader, path, certs);
	sk_X509_pop_free(certs, X509_free);
	loader->identity->has_bundle = rc == 0 && loader->files->trust_bundle != NULL;
	return rc;
}

static int64_t
seconds_of(const ASN1_TIME *time)
{
	struct tm tm;

	return ASN1_TIME_to_tm(time, &tm) == 1 ? (int64_t)timegm(&tm) : 0;
}

static void
describe_leaf(struct tls_identity *identity, X509 *leaf)
{
	char detail[8];
	BIGNUM *serial = ASN1_INTEGER_to_BN(X509_get0_serialNumber(leaf), NULL);
	char *hex = serial != NULL ? BN_bn2hex(serial) : NULL;

	if (hex != NULL)
		snprintf(identity->serial, sizeof(identity->serial), "%s", hex);
	OPENSSL_free(hex);
	BN_free(serial);
	identity->not_before = seconds_of(X509_get0_notBefore(leaf));
	identity->not_after = seconds_of(X509_get0_notAfter(leaf));
	/* Of a leaf that need not be an SVID: empty where it is none. */
	tls_verify_svid(leaf, identity->spiffe_id, detail, sizeof(detail));
}

static int
load_own(struct loader *loader)
{
	if (load_chain(loader) != 0 || load_key(loader) != 0 || check_key_kind(loader) != 0 ||
	    check_key_matches(loader) != 0 || check_validity(loader) != 0)
		return -1;
	describe_leaf(loader->identity, loader->credentials.leaf);
	return loader->files->require_spiffe ? check_svid(loader) : 0;
}

static int
check_files(struct loader *loader)
{
	const struct tls_identity_files *files = loader->files;

	if (files->certificate_chain != NULL && files->private_key == NULL)
		return fail(loader, files->certificate_chain, "there is no private key for it");
	if (files->certificate_chain == NULL && files->private_key != NULL)
		return fail(loader, files->private_key, "there is no certificate chain for it");
	if (files->certificate_chain == NULL && files->require_spiffe)
		return fail(loader, NULL, "a mesh identity needs a certificate chain and its key");
	return 0;
}

static int
build_contexts(struct loader *loader)
{
	struct tls_identity *identity = loader->identity;
	const struct tls_credentials *c = &loader->credentials;
	char why[160];

	identity->client = tls_context_create(c, false, why, sizeof(why));
	if (identity->client != NULL && c->leaf != NULL)
		identity->server = tls_context_create(c, true, why, sizeof(why));
	if (identity->client == NULL || (c->leaf != NULL && identity->server == NULL))
		return fail(loader, loader->files->certificate_chain, "%s", why);
	return 0;
}

static void
finish_fingerprint(struct loader *loader)
{
	uint8_t hash[EVP_MAX_MD_SIZE];
	unsigned int len = 0;

	EVP_DigestFinal_ex(loader->digest, hash, &len);
	for (unsigned int i = 0; i < len; i++)
		snprintf(loader->identity->fingerprint + 2 * i, 3, "%02x", hash[i]);
}

static int
load(struct loader *loader)
{
	const struct tls_identity_files *files = loader->files;

	if (loader->identity == NULL || loader->digest == NULL ||
	    EVP_DigestInit_ex(loader->digest, EVP_sha256(), NULL) != 1)
		return fail(loader, NULL, "out of memory");
	loader->identity->references = 1;
	loader->identity->skip_verify = files->skip_verify;
	if (check_files(loader) != 0)
		return -1;
	if (files->certificate_chain != NULL && load_own(loader) != 0)
		return -1;
	if (load_bundle(loader) != 0)
		return -1;
	if (files->certificate_chain != NULL && files->require_spiffe &&
	    loader->identity->has_bundle && check_chain(loader) != 0)
		return -1;
	if (loader->credentials.chain != NULL)
		drop_roots(loader->credentials.chain);
	if (build_contexts(loader) != 0)
		return -1;
	finish_fingerprint(loader);
	return 0;
}

struct tls_identity *
tls_identity_load(const struct tls_identity_files *files, struct tls_identity_error *error)
{
	struct loader loader = {
		.files = files,
		.error = error,
		.digest = EVP_MD_CTX_new(),
		.identity = calloc(1, sizeof(struct tls_identity)),
	};

	*error = (struct tls_identity_error){0};
	ERR_clear_error();
	if (load(&loader) != 0) {
		tls_identity_free(loader.identity);
		loader.identity = NULL;
	}
	X509_free(loader.credentials.leaf);
	sk_X509_pop_free(loader.credentials.chain, X509_free);
	EVP_PKEY_free(loader.credentials.key);
	X509_STORE_free(loader.credentials.roots);
	EVP_MD_CTX_free(loader.digest);
	ERR_clear_error();
	return loader.identity;
}

struct tls_identity *
tls_identity_ref(struct tls_identity *identity)
{
	atomic_fetch_add_explicit(&identity->references, 1, memory_order_relaxed);
	return identity;
}

void
tls_identity_free(struct tls_identity *identity)
{
	/* A load that failed at once has not taken its first reference. */
	if (identity == NULL)
		return;
	if (identity->references > 0 &&
	    atomic_fetch_sub_explicit(&identity->references, 1, memory_order_acq_rel) != 1)
		return;
	SSL_CTX_free(identity->client);
	SSL_CTX_free(identity->server);
	free(identity);
}

const char *
tls_identity_spiffe_id(const struct tls_identity *identity)
{
	return identity->spiffe_id;
}

const char *
tls_identity_fingerprint(const struct tls_identity *identity)
{
	return identity->fingerprint;
}

int64_t
tls_identity_not_before(const struct tls_identity *identity)
{
	return identity->not_before;
}

int64_t
tls_identity_not_after(const struct tls_identity *identity)
{
	return identity->not_after;
}

const char *
tls_identity_serial(const struct tls_identity *identity)
{
	return identity->serial;
}
