/* SPDX-License-Identifier: Apache-2.0 */
#include "pki.h"

#include <dirent.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <arpa/inet.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>

static void
must(bool ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "pki: %s failed\n", what);
	ERR_print_errors_fp(stderr);
	abort();
}

EVP_PKEY *
pki_key(enum pki_key_kind kind)
{
	EVP_PKEY *key = NULL;

	switch (kind) {
	case PKI_P256:
		key = EVP_EC_gen("P-256");
		break;
	case PKI_P384:
		key = EVP_EC_gen("P-384");
		break;
	case PKI_P521:
		key = EVP_EC_gen("P-521");
		break;
	case PKI_RSA_2048:
		key = EVP_RSA_gen(2048);
		break;
	case PKI_RSA_1024:
		key = EVP_RSA_gen(1024);
		break;
	case PKI_ED25519:
		key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
		break;
	case PKI_ED448:
		key = EVP_PKEY_Q_keygen(NULL, NULL, "ED448");
		break;
	}
	must(key != NULL, "key generation");
	return key;
}

/* --- SANs ------------------------------------------------------------------------------ */

static void
push_name(GENERAL_NAMES *names, int type, const void *bytes, int len)
{
	GENERAL_NAME *name = GENERAL_NAME_new();
	ASN1_STRING *value = type == GEN_IPADD ? ASN1_OCTET_STRING_new() : ASN1_IA5STRING_new();

	must(name != NULL && value != NULL && ASN1_STRING_set(value, bytes, len) == 1, "SAN");
	GENERAL_NAME_set0_value(name, type, value);
	must(sk_GENERAL_NAME_push(names, name) > 0, "SAN");
}

static void
push_ip(GENERAL_NAMES *names, const char *text)
{
	unsigned char address[16];

	if (inet_pton(AF_INET, text, address) == 1)
		push_name(names, GEN_IPADD, address, 4);
	else if (inet_pton(AF_INET6, text, address) == 1)
		push_name(names, GEN_IPADD, address, 16);
	else
		must(false, "IP SAN");
}

static void
add_sans(X509 *cert, const struct pki_options *o)
{
	GENERAL_NAMES *names = sk_GENERAL_NAME_new_null();

	for (int i = 0; i < PKI_NAMES_MAX && o->dns[i] != NULL; i++)
		push_name(names, GEN_DNS, o->dns[i], (int)strlen(o->dns[i]));
	for (int i = 0; i < PKI_NAMES_MAX && o->uris[i] != NULL; i++)
		push_name(names, GEN_URI, o->uris[i], (int)strlen(o->uris[i]));
	for (int i = 0; i < PKI_NAMES_MAX && o->ips[i] != NULL; i++)
		push_ip(names, o->ips[i]);
	if (o->email != NULL)
		push_name(names, GEN_EMAIL, o->email, (int)strlen(o->email));
	if (sk_GENERAL_NAME_num(names) > 0) {
		must(X509_add1_ext_i2d(cert, NID_subject_alt_name, names, 0, 0) == 1, "SAN");
		if (o->twice_san)
			must(X509_add1_ext_i2d(cert, NID_subject_alt_name, names, 0,
					       X509V3_ADD_APPEND) == 1,
			     "SAN");
	}
	GENERAL_NAMES_free(names);
}

/* --- certificates ---------------------------------------------------------------------- */

static void
add_ext(X509 *cert, X509 *issuer, int nid, const char *value)
{
	X509V3_CTX ctx;
	X509_EXTENSION *ext;

	if (value[0] == '\0')
		return;
	X509V3_set_ctx_nodb(&ctx);
	X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
	ext = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
	must(ext != NULL && X509_add_ext(cert, ext, -1) == 1, "extension");
	X509_EXTENSION_free(ext);
}

static void
add_filler(X509 *cert, unsigned int len)
{
	unsigned char *bytes = malloc(len);
	ASN1_OBJECT *oid = OBJ_txt2obj("1.3.6.1.4.1.55555.1", 1);
	ASN1_OCTET_STRING *value = ASN1_OCTET_STRING_new();
	X509_EXTENSION *ext;

	must(bytes != NULL && oid != NULL && value != NULL, "filler");
	memset(bytes, 'x', len);
	ASN1_OCTET_STRING_set(value, bytes, (int)len);
	ext = X509_EXTENSION_create_by_OBJ(NULL, oid, 0, value);
	must(ext != NULL && X509_add_ext(cert, ext, -1) == 1, "filler");
	X509_EXTENSION_free(ext);
	ASN1_OCTET_STRING_free(value);
	ASN1_OBJECT_free(oid);
	free(bytes);
}

static void
add_extensions(X509 *cert, X509 *issuer, const struct pki_options *o)
{
	const char *usage = o->key_usage;
	const char *extended = o->ext_key_usage;

	if (usage == NULL)
		usage = o->ca ? "critical,keyCertSign,cRLSign" : "critical,digitalSignature";
	if (extended == NULL)
		extended = o->ca ? "" : "serverAuth,clientAuth";
	add_ext(cert, issuer, NID_basic_constraints, o->ca ? "critical,CA:TRUE" : "CA:FALSE");
	add_ext(cert, issuer, NID_key_usage, usage);
	add_ext(cert, issuer, NID_ext_key_usage, extended);
	add_ext(cert, issuer, NID_subject_key_identifier, "hash");
	if (!o->no_authority_key_id)
		add_ext(cert, issuer, NID_authority_key_identifier, "keyid");
	add_sans(cert, o);
	if (o->filler > 0)
		add_filler(cert, o->filler);
}

static void
set_serial(X509 *cert)
{
	unsigned char bytes[8];
	BIGNUM *number;

	must(RAND_bytes(bytes, sizeof(bytes)) == 1, "serial number");
	bytes[0] = (bytes[0] & 0x7f) | 0x01;
	number = BN_bin2bn(bytes, sizeof(bytes), NULL);
	must(BN_to_ASN1_INTEGER(number, X509_get_serialNumber(cert)) != NULL, "serial number");
	BN_free(number);
}

static const EVP_MD *
digest_for(EVP_PKEY *key)
{
	int id = EVP_PKEY_get_base_id(key);

	return id == EVP_PKEY_ED25519 || id == EVP_PKEY_ED448 ? NULL : EVP_sha256();
}

struct pki_cert
pki_issue(const struct pki_cert *issuer, const struct pki_options *o)
{
	struct pki_cert out = {X509_new(), pki_key(o->key)};
	const struct pki_cert *by = issuer != NULL ? issuer : &out;
	const char *name = o->name != NULL ? o->name : "test";

	must(out.cert != NULL, "certificate");
	X509_set_version(out.cert, X509_VERSION_3);
	set_serial(out.cert);
	X509_gmtime_adj(X509_getm_notBefore(out.cert), o->not_before != 0 ? o->not_before : -3600);
	X509_gmtime_adj(X509_getm_notAfter(out.cert), o->not_after != 0 ? o->not_after : 86400);
	X509_NAME_add_entry_by_txt(X509_get_subject_name(out.cert), "CN", MBSTRING_ASC,
				   (const unsigned char *)name, -1, -1, 0);
	X509_set_issuer_name(out.cert, X509_get_subject_name(by->cert));
	X509_set_pubkey(out.cert, out.key);
	add_extensions(out.cert, by->cert, o);
	must(X509_sign(out.cert, by->key, digest_for(by->key)) > 0, "signature");
	return out;
}

void
pki_free(struct pki_cert *cert)
{
	X509_free(cert->cert);
	EVP_PKEY_free(cert->key);
	*cert = (struct pki_cert){0};
}

struct pki_cert
pki_ca(const char *name)
{
	return pki_issue(NULL, &(struct pki_options){.name = name, .ca = true});
}

struct pki_cert
pki_svid(const struct pki_cert *issuer, const char *spiffe_id)
{
	return pki_issue(issuer, &(struct pki_options){.uris = {spiffe_id}});
}

/* --- files ----------------------------------------------------------------------------- */

void
pki_dir_create(struct pki_dir *dir)
{
	snprintf(dir->path, sizeof(dir->path), "%s/portcullis-pki-XXXXXX", P_tmpdir);
	must(mkdtemp(dir->path) != NULL, "mkdtemp");
}

void
pki_dir_remove(struct pki_dir *dir)
{
	DIR *d = opendir(dir->path);
	struct dirent *entry;

	while (d != NULL && (entry = readdir(d)) != NULL)
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			unlinkat(dirfd(d), entry->d_name, 0);
	if (d != NULL)
		closedir(d);
	rmdir(dir->path);
}

static FILE *
create_file(const struct pki_dir *dir, const char *name, char **path)
{
	FILE *file;

	must(asprintf(path, "%s/%s", dir->path, name) > 0, "asprintf");
	file = fopen(*path, "w");
	must(file != NULL, "fopen");
	return file;
}

char *
pki_write_certs(const struct pki_dir *dir, const char *name, X509 *first, ...)
{
	char *path;
	FILE *file = create_file(dir, name, &path);
	va_list args;

	va_start(args, first);
	for (X509 *cert = first; cert != NULL; cert = va_arg(args, X509 *))
		must(PEM_write_X509(file, cert) == 1, "PEM");
	va_end(args);
	must(fclose(file) == 0, "fclose");
	return path;
}

char *
pki_write_key(const struct pki_dir *dir, const char *name, EVP_PKEY *key, const char *passphrase)
{
	char *path;
	FILE *file = create_file(dir, name, &path);
	const EVP_CIPHER *cipher = passphrase != NULL ? EVP_aes_128_cbc() : NULL;

	must(PEM_write_PKCS8PrivateKey(file, key, cipher, passphrase,
				       passphrase != NULL ? (int)strlen(passphrase) : 0, NULL,
				       NULL) == 1,
	     "PEM");
	must(fclose(file) == 0, "fclose");
	return path;
}

char *
pki_write_bytes(const struct pki_dir *dir, const char *name, const void *bytes, size_t len)
{
	char *path;
	FILE *file = create_file(dir, name, &path);

	must(fwrite(bytes, 1, len, file) == len, "fwrite");
	must(fclose(file) == 0, "fclose");
	return path;
}
