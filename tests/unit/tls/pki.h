/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_TLS_PKI_H
#define TESTS_TLS_PKI_H

/*
 * Keys and certificates for tests, made at run time: good ones, and every kind of bad one.
 * A failure here is a bug of the test and ends it.
 */

#include <stdbool.h>
#include <stddef.h>

#include <openssl/evp.h>
#include <openssl/x509.h>

#define PKI_NAMES_MAX 8

enum pki_key_kind {
	PKI_P256,
	PKI_P384,
	PKI_P521,
	PKI_RSA_2048,
	PKI_RSA_1024,
	PKI_ED25519,
	PKI_ED448,
};

/* What to put into a certificate. Zero values give an unremarkable leaf. */
struct pki_options {
	enum pki_key_kind key;
	const char *name;                  /* common name; NULL: "test" */
	const char *uris[PKI_NAMES_MAX];   /* SANs, up to the first NULL */
	const char *dns[PKI_NAMES_MAX];
	const char *ips[PKI_NAMES_MAX];
	const char *email;
	int not_before;                    /* seconds from now; 0: an hour ago */
	int not_after;                     /* seconds from now; 0: in a day */
	bool ca;
	bool no_authority_key_id;
	const char *key_usage;             /* OpenSSL's syntax; NULL: what fits; "": none */
	const char *ext_key_usage;         /* NULL: serverAuth,clientAuth for leaves; "": none */
	bool twice_san;                    /* two SAN extensions */
	unsigned int filler;               /* bytes of an extension that nobody knows */
};

struct pki_cert {
	X509 *cert;
	EVP_PKEY *key;
};

/* issuer NULL: self-signed. */
struct pki_cert pki_issue(const struct pki_cert *issuer, const struct pki_options *options);
void pki_free(struct pki_cert *cert);

/* A CA with a P-256 key. */
struct pki_cert pki_ca(const char *name);
/* A leaf with one URI SAN. */
struct pki_cert pki_svid(const struct pki_cert *issuer, const char *spiffe_id);

EVP_PKEY *pki_key(enum pki_key_kind kind);

/* A folder of files, made in the folder for temporary files and removed whole. */
struct pki_dir {
	char path[64];
};
void pki_dir_create(struct pki_dir *dir);
void pki_dir_remove(struct pki_dir *dir);

/* Each writes a PEM file and returns its path, the caller's to free. Lists end with NULL. */
char *pki_write_certs(const struct pki_dir *dir, const char *name, X509 *first, ...)
	__attribute__((sentinel));
char *pki_write_key(const struct pki_dir *dir, const char *name, EVP_PKEY *key,
		    const char *passphrase);
char *pki_write_bytes(const struct pki_dir *dir, const char *name, const void *bytes, size_t len);

#endif
