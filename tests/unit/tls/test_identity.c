/* SPDX-License-Identifier: Apache-2.0 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "pki.h"
#include "tls/identity.h"

#define WEB "spiffe://cluster.local/ns/shop/sa/web"

static struct pki_dir dir;
static struct pki_cert ca;
static char *bundle;

/* --- helpers --------------------------------------------------------------------------- */

/* Files of one leaf under the CA of the tests. */
struct own {
	struct pki_cert leaf;
	struct tls_identity_files files;
	char *chain, *key;
};

static struct own
own_create(const struct pki_options *options)
{
	struct own own = {.leaf = pki_issue(&ca, options)};

	own.chain = pki_write_certs(&dir, "chain.pem", own.leaf.cert, NULL);
	own.key = pki_write_key(&dir, "key.pem", own.leaf.key, NULL);
	own.files = (struct tls_identity_files){
		.certificate_chain = own.chain,
		.private_key = own.key,
		.trust_bundle = bundle,
		.require_spiffe = true,
	};
	return own;
}

static void
own_free(struct own *own)
{
	pki_free(&own->leaf);
	free(own->chain);
	free(own->key);
}

static void
assert_loads(const struct tls_identity_files *files)
{
	struct tls_identity_error error;
	struct tls_identity *identity = tls_identity_load(files, &error);

	if (identity == NULL)
		fail_msg("%s: %s", error.file != NULL ? error.file : "-", error.text);
	tls_identity_free(identity);
}

static void
assert_fails(const struct tls_identity_files *files, const char *file, const char *text)
{
	struct tls_identity_error error;
	struct tls_identity *identity = tls_identity_load(files, &error);

	if (identity != NULL) {
		tls_identity_free(identity);
		fail_msg("loaded, but should have failed with \"%s\"", text);
	}
	assert_ptr_equal(error.file, file);
	if (strstr(error.text, text) == NULL)
		fail_msg("\"%s\" is not in \"%s\"", text, error.text);
}

/* The chain file is what is wrong with a leaf of these options. */
static void
assert_leaf_fails(const struct pki_options *options, const char *text)
{
	struct own own = own_create(options);

	assert_fails(&own.files, own.chain, text);
	own_free(&own);
}

/* --- what loads ------------------------------------------------------------------------ */

static void
mesh_identity_loads_with_its_facts(void **state)
{
	struct own own = own_create(&(struct pki_options){.uris = {WEB}});
	struct tls_identity_error error;
	struct tls_identity *identity = tls_identity_load(&own.files, &error);
	int64_t now = time(NULL);
	BIGNUM *number = ASN1_INTEGER_to_BN(X509_get0_serialNumber(own.leaf.cert), NULL);
	char *serial = BN_bn2hex(number);

	assert_non_null(identity);
	assert_string_equal(tls_identity_spiffe_id(identity), WEB);
	assert_string_equal(tls_identity_serial(identity), serial);
	assert_in_range(tls_identity_not_before(identity), now - 3700, now - 3500);
	assert_in_range(tls_identity_not_after(identity), now + 86000, now + 86500);
	assert_int_equal(strlen(tls_identity_fingerprint(identity)), 64);
	assert_int_equal(strspn(tls_identity_fingerprint(identity), "0123456789abcdef"), 64);
	tls_identity_free(identity);
	OPENSSL_free(serial);
	BN_free(number);
	own_free(&own);
}

static void
every_kind_of_key_that_is_served_loads(void **state)
{
	static const enum pki_key_kind kinds[] = {PKI_P256, PKI_P384, PKI_RSA_2048, PKI_ED25519};

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		struct own own = own_create(&(struct pki_options){.key = kinds[i], .uris = {WEB}});

		assert_loads(&own.files);
		own_free(&own);
	}
}

static void
leaf_without_usages_loads(void **state)
{
	struct own own = own_create(
		&(struct pki_options){.uris = {WEB}, .key_usage = "", .ext_key_usage = ""});

	assert_loads(&own.files);
	own_free(&own);
}

static void
chain_through_an_intermediate_loads(void **state)
{
	struct pki_cert middle =
		pki_issue(&ca, &(struct pki_options){.name = "intermediate", .ca = true});
	struct pki_cert leaf = pki_svid(&middle, WEB);
	char *without = pki_write_certs(&dir, "short.pem", leaf.cert, NULL);
	char *with = pki_write_certs(&dir, "long.pem", leaf.cert, middle.cert, ca.cert, NULL);
	char *middle_bundle = pki_write_certs(&dir, "middle.pem", middle.cert, NULL);
	char *key = pki_write_key(&dir, "key.pem", leaf.key, NULL);
	struct tls_identity_files files = {with, key, bundle, true, false};

	assert_loads(&files);
	files.certificate_chain = without;
	assert_fails(&files, without, "does not lead to the trust bundle");
	files.trust_bundle = middle_bundle; /* an anchor that is not self-signed */
	assert_loads(&files);
	free(without);
	free(with);
	free(middle_bundle);
	free(key);
	pki_free(&leaf);
	pki_free(&middle);
}

static void
bundle_of_several_roots_loads(void **state)
{
	struct own own = own_create(&(struct pki_options){.uris = {WEB}});
	struct pki_cert old = pki_issue(
		NULL, &(struct pki_options){.name = "old", .ca = true, .not_after = -60});
	char *both = pki_write_certs(&dir, "both.pem", old.cert, ca.cert, NULL);

	own.files.trust_bundle = both;
	assert_loads(&own.files);
	free(both);
	pki_free(&old);
	own_free(&own);
}

static void
text_around_pem_is_ignored(void **state)
{
	struct own own = own_create(&(struct pki_options){.uris = {WEB}});
	FILE *file = fopen(own.chain, "a");

	assert_non_null(file);
	fputs("\n# issued by the mesh CA\n", file);
	fclose(file);
	assert_loads(&own.files);
	own_free(&own);
}

static void
identity_without_a_certificate_loads(void **state)
{
	struct tls_identity_files files = {.trust_bundle = bundle};
	struct tls_identity_error error;
	struct tls_identity *identity = tls_identity_load(&files, &error);

	assert_non_null(identity);
	assert_string_equal(tls_identity_spiffe_id(identity), "");
	assert_string_equal(tls_identity_serial(identity), "");
	assert_int_equal(tls_identity_not_after(identity), 0);
	tls_identity_free(identity);
	assert_loads(&(struct tls_identity_files){.skip_verify = true});
}

static void
system_bundle_is_where_the_environment_says(void **state)
{
	struct tls_identity_files files = {0};
	struct tls_identity_error error;

	setenv("SSL_CERT_FILE", bundle, 1);
	assert_loads(&files);
	setenv("SSL_CERT_FILE", "/nonexistent/roots.pem", 1);
	assert_null(tls_identity_load(&files, &error));
	assert_string_equal(error.file, "/nonexistent/roots.pem");
	unsetenv("SSL_CERT_FILE");
}

static void
certificate_that_is_no_svid_loads_where_none_is_needed(void **state)
{
	struct own own = own_create(&(struct pki_options){.dns = {"web.example.com"}});
	struct tls_identity_error error;
	struct tls_identity *identity;

	own.files.require_spiffe = false;
	identity = tls_identity_load(&own.files, &error);
	assert_non_null(identity);
	assert_string_equal(tls_identity_spiffe_id(identity), "");
	assert_true(tls_identity_not_after(identity) > 0);
	tls_identity_free(identity);
	own_free(&own);
}

static void
fingerprint_tells_whether_the_bytes_changed(void **state)
{
	struct own own = own_create(&(struct pki_options){.uris = {WEB}});
	struct own other;
	struct tls_identity_error error;
	struct tls_identity *a = tls_identity_load(&own.files, &error);
	struct tls_identity *b = tls_identity_load(&own.files, &error);
	struct tls_identity *c;

	assert_string_equal(tls_identity_fingerprint(a), tls_identity_fingerprint(b));
	other = own_create(&(struct pki_options){.uris = {WEB}});
	c = tls_identity_load(&other.files, &error);
	assert_string_not_equal(tls_identity_fingerprint(a), tls_identity_fingerprint(c));
	tls_identity_free(a);
	tls_identity_free(b);
	tls_identity_free(c);
	own_free(&own);
	own_free(&other);
}

/* --- what does not --------------------------------------------------------------------- */

static void
missing_file_is_named(void **state)
{
	struct own own = own_create(&(struct pki_options){.uris = {WEB}});
	struct tls_identity_files files = own.files;

	files.certificate_chain = "/nonexistent/chain.pem";
	assert_fails(&files, files.certificate_chain, "No such file");
	files = own.files;
	files.private_key = "/nonexistent/key.pem";
	assert_fails(&files, files.private_key, "No such file");
	files = own.files;
	files.trust_bundle = "/nonexistent/bundle.pem";
	assert_fails(&files, files.trust_bundle, "No such file");
	own_free(&own);
}

static void
half_an_identity_fails(void **state)
{
	struct own own = own_create(&(struct pki_options){.uris = {WEB}});
	struct tls_identity_files files = own.files;

	files.private_key = NULL;
	assert_fails(&files, files.certificate_chain, "no private key");
	files = own.files;
	files.certificate_chain = NULL;
	assert_fails(&files, files.private_key, "no certificate chain");
	files.private_key = NULL;
	assert_fails(&files, NULL, "mesh identity needs a certificate");
	own_free(&own);
}

static void
files_that_are_no_pem_fail(void **state)
{
	static const char broken[] = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
	static const char cut[] = "-----BEGIN CERTIFICATE-----\nMIIBszCCAVmgAwIBAgIUQ";
	struct own own = own_create(&(struct pki_options){.uris = {WEB}});
	struct tls_identity_files files = own.files;
	char *empty = pki_write_bytes(&dir, "empty.pem", "", 0);
	char *garbage = pki_write_bytes(&dir, "garbage.pem", "hello", 5);
	char *bad = pki_write_bytes(&dir, "bad.pem", broken, sizeof(broken) - 1);
	char *half = pki_write_bytes(&dir, "half.pem", cut, sizeof(cut) - 1);

	files.certificate_chain = empty;
	assert_fails(&files, empty, "is empty");
	files.certificate_chain = garbage;
	assert_fails(&files, garbage, "no PEM certificate");
	files.certificate_chain = bad;
	assert_fails(&files, bad, "certificate 1 is not readable PEM");
	files.certificate_chain = half;
	assert_fails(&files, half, "certificate 1 is not readable PEM");
	files.certificate_chain = dir.path;
	assert_fails(&files, dir.path, "not a regular file");
	files = own.files;
	files.private_key = garbage;
	assert_fails(&files, garbage, "no PEM private key");
	files.private_key = own.chain;
	assert_fails(&files, own.chain, "no PEM private key");
	files = own.files;
	files.trust_bundle = garbage;
	assert_fails(&files, garbage, "no PEM certificate");
	free(empty);
	free(garbage);
	free(bad);
	free(half);
	own_free(&own);
}

static void
second_certificate_that_is_broken_is_counted(void **state)
{
	struct own own = own_create(&(struct pki_options){.uris = {WEB}});
	FILE *file = fopen(own.chain, "a");

	fputs("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", file);
	fclose(file);
	assert_fails(&own.files, own.chain, "certificate 2 is not readable PEM");
	own_free(&own);
}

static void
fifo_is_refused_and_not_waited_for(void **state)
{
	char path[96];
	struct own own = own_create(&(struct pki_options){.uris = {WEB}});

	snprintf(path, sizeof(path), "%s/fifo", dir.path);
	assert_int_equal(mkfifo(path, 0600), 0);
	own.files.private_key = path;
	assert_fails(&own.files, path, "not a regular file");
	own_free(&own);
}

static void
huge_file_fails(void **state)
{
	struct own own = own_create(&(struct pki_options){.uris = {WEB}});
	char *huge = pki_write_bytes(&dir, "huge.pem", "x", 1);

	assert_int_equal(truncate(huge, 1024 * 1024 + 1), 0);
	own.files.trust_bundle = huge;
	assert_fails(&own.files, huge, "larger than 1 MiB");
	free(huge);
	own_free(&own);
}

static void
encrypted_key_fails(void **state)
{
	struct own own = own_create(&(struct pki_options){.uris = {WEB}});
	char *locked = pki_write_key(&dir, "locked.pem", own.leaf.key, "secret");

	own.files.private_key = locked;
	assert_fails(&own.files, locked, "encrypted with a passphrase");
	free(locked);
	own_free(&own);
}

static void
key_of_another_certificate_fails(void **state)
{
	struct own own = own_create(&(struct pki_options){.uris = {WEB}});
	EVP_PKEY *key = pki_key(PKI_P256);
	char *path = pki_write_key(&dir, "other.pem", key, NULL);

	own.files.private_key = path;
	assert_fails(&own.files, path, "does not match the certificate");
	EVP_PKEY_free(key);
	key = pki_key(PKI_ED25519);
	free(path);
	path = pki_write_key(&dir, "other.pem", key, NULL);
	own.files.private_key = path;
	assert_fails(&own.files, path, "does not match the certificate");
	EVP_PKEY_free(key);
	free(path);
	own_free(&own);
}

static void
chain_in_the_wrong_order_says_so(void **state)
{
	struct own own = own_create(&(struct pki_options){.uris = {WEB}});
	char *reversed = pki_write_certs(&dir, "reversed.pem", ca.cert, own.leaf.cert, NULL);

	own.files.certificate_chain = reversed;
	assert_fails(&own.files, reversed, "belongs to certificate 2");
	free(reversed);
	own_free(&own);
}

static void
key_of_the_wrong_kind_fails(void **state)
{
	static const struct {
		enum pki_key_kind kind;
		const char *text;
	} rows[] = {
		{PKI_RSA_1024, "RSA key of 1024 bits"},
		{PKI_P521, "EC key on secp521r1"},
		{PKI_ED448, "of a kind (ED448) that is not served"},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct own own =
			own_create(&(struct pki_options){.key = rows[i].kind, .uris = {WEB}});

		assert_fails(&own.files, own.key, rows[i].text);
		own_free(&own);
	}
}

static void
leaf_out_of_its_time_fails_with_the_date(void **state)
{
	char date[32];
	time_t then = time(NULL) - 600;

	strftime(date, sizeof(date), "expired on %Y-%m-%d", gmtime(&then));
	assert_leaf_fails(&(struct pki_options){.uris = {WEB}, .not_before = -7200,
						.not_after = -600},
			  date);
	assert_leaf_fails(&(struct pki_options){.uris = {WEB}, .not_before = 3600},
			  "is not valid before ");
}

static void
leaf_that_is_no_svid_fails(void **state)
{
	static const char sign[] = "critical,digitalSignature,keyCertSign";
	static const char crl[] = "critical,digitalSignature,cRLSign";

	assert_leaf_fails(&(struct pki_options){.dns = {"a"}}, "no URI SAN");
	assert_leaf_fails(&(struct pki_options){.uris = {WEB, "spiffe://td/x"}}, "two URI SANs");
	assert_leaf_fails(&(struct pki_options){.uris = {"https://a/b"}}, "is not a SPIFFE ID");
	assert_leaf_fails(&(struct pki_options){.uris = {"spiffe://td"}}, "it has no path");
	assert_leaf_fails(&(struct pki_options){.uris = {WEB}, .ca = true}, "is a CA certificate");
	assert_leaf_fails(&(struct pki_options){.uris = {WEB}, .key_usage = sign}, "keyCertSign");
	assert_leaf_fails(&(struct pki_options){.uris = {WEB}, .key_usage = crl}, "cRLSign");
	assert_leaf_fails(&(struct pki_options){.uris = {WEB}, .key_usage = "keyAgreement"},
			  "lacks digitalSignature");
	assert_leaf_fails(&(struct pki_options){.uris = {WEB}, .ext_key_usage = "clientAuth"},
			  "lacks serverAuth");
	assert_leaf_fails(&(struct pki_options){.uris = {WEB}, .ext_key_usage = "serverAuth"},
			  "lacks clientAuth");
}

static void
chain_to_another_root_fails(void **state)
{
	struct own own = own_create(&(struct pki_options){.uris = {WEB}});
	struct pki_cert other = pki_ca("another CA");
	char *path = pki_write_certs(&dir, "other.pem", other.cert, NULL);

	own.files.trust_bundle = path;
	assert_fails(&own.files, own.chain, "does not lead to the trust bundle");
	own.files.require_spiffe = false; /* then it may be for others to believe */
	assert_loads(&own.files);
	free(path);
	pki_free(&other);
	own_free(&own);
}

static void
mesh_bundle_with_a_leaf_in_it_fails(void **state)
{
	struct own own = own_create(&(struct pki_options){.uris = {WEB}});
	char *path = pki_write_certs(&dir, "leafy.pem", ca.cert, own.leaf.cert, NULL);

	own.files.trust_bundle = path;
	assert_fails(&own.files, path, "certificate 2 is not a CA certificate");
	free(path);
	own_free(&own);
}

static void
chain_of_too_many_certificates_fails(void **state)
{
	struct own own = own_create(&(struct pki_options){.uris = {WEB}});
	X509 *c = ca.cert;
	char *path = pki_write_certs(&dir, "many.pem", own.leaf.cert, c, c, c, c, c, c, c, c, c, c,
				     NULL);

	own.files.certificate_chain = path;
	assert_fails(&own.files, path, "holds 11 certificates, at most 10");
	free(path);
	own_free(&own);
}

/* --- references ------------------------------------------------------------------------ */

static void *
take_and_drop(void *identity)
{
	for (int i = 0; i < 20000; i++)
		tls_identity_free(tls_identity_ref(identity));
	tls_identity_free(identity); /* the thread's own */
	return NULL;
}

static void
references_are_counted_across_threads(void **state)
{
	struct own own = own_create(&(struct pki_options){.uris = {WEB}});
	struct tls_identity_error error;
	struct tls_identity *identity = tls_identity_load(&own.files, &error);
	pthread_t threads[4];

	for (int i = 0; i < 4; i++) {
		tls_identity_ref(identity);
		assert_int_equal(pthread_create(&threads[i], NULL, take_and_drop, identity), 0);
	}
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	assert_string_equal(tls_identity_spiffe_id(identity), WEB); /* ours is still good */
	tls_identity_free(identity);
	tls_identity_free(NULL);
	own_free(&own);
}

static int
create_fixture(void **state)
{
	pki_dir_create(&dir);
	ca = pki_ca("mesh CA");
	bundle = pki_write_certs(&dir, "bundle.pem", ca.cert, NULL);
	return 0;
}

static int
remove_fixture(void **state)
{
	pki_dir_remove(&dir);
	pki_free(&ca);
	free(bundle);
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(mesh_identity_loads_with_its_facts),
		cmocka_unit_test(every_kind_of_key_that_is_served_loads),
		cmocka_unit_test(leaf_without_usages_loads),
		cmocka_unit_test(chain_through_an_intermediate_loads),
		cmocka_unit_test(bundle_of_several_roots_loads),
		cmocka_unit_test(text_around_pem_is_ignored),
		cmocka_unit_test(identity_without_a_certificate_loads),
		cmocka_unit_test(system_bundle_is_where_the_environment_says),
		cmocka_unit_test(certificate_that_is_no_svid_loads_where_none_is_needed),
		cmocka_unit_test(fingerprint_tells_whether_the_bytes_changed),
		cmocka_unit_test(missing_file_is_named),
		cmocka_unit_test(half_an_identity_fails),
		cmocka_unit_test(files_that_are_no_pem_fail),
		cmocka_unit_test(second_certificate_that_is_broken_is_counted),
		cmocka_unit_test(fifo_is_refused_and_not_waited_for),
		cmocka_unit_test(huge_file_fails),
		cmocka_unit_test(encrypted_key_fails),
		cmocka_unit_test(key_of_another_certificate_fails),
		cmocka_unit_test(chain_in_the_wrong_order_says_so),
		cmocka_unit_test(key_of_the_wrong_kind_fails),
		cmocka_unit_test(leaf_out_of_its_time_fails_with_the_date),
		cmocka_unit_test(leaf_that_is_no_svid_fails),
		cmocka_unit_test(chain_to_another_root_fails),
		cmocka_unit_test(mesh_bundle_with_a_leaf_in_it_fails),
		cmocka_unit_test(chain_of_too_many_certificates_fails),
		cmocka_unit_test(references_are_counted_across_threads),
	};

	return cmocka_run_group_tests(tests, create_fixture, remove_fixture);
}
