/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "pki.h"
#include "tls/text.h"
#include "tls/verify.h"

static struct pki_cert ca;

static enum tls_cause
svid_of(const struct pki_options *options, char *id, char *detail, size_t len)
{
	struct pki_cert leaf = pki_issue(&ca, options);
	enum tls_cause cause = tls_verify_svid(leaf.cert, id, detail, len);

	pki_free(&leaf);
	return cause;
}

static void
assert_svid(const struct pki_options *options, enum tls_cause wanted, const char *in_detail)
{
	char id[TLS_PEER_ID_LEN], detail[TLS_DETAIL_LEN] = "";

	assert_string_equal(tls_cause_name(svid_of(options, id, detail, sizeof(detail))),
			    tls_cause_name(wanted));
	if (wanted != TLS_CAUSE_OK)
		assert_string_equal(id, "");
	if (in_detail != NULL && strstr(detail, in_detail) == NULL)
		fail_msg("\"%s\" is not in \"%s\"", in_detail, detail);
}

/* --- SPIFFE IDs ------------------------------------------------------------------------ */

static void
spiffe_ids_that_are_valid(void **state)
{
	static const char *const ids[] = {
		"spiffe://cluster.local/ns/shop/sa/web",
		"spiffe://a/b",
		"spiffe://td-1.example_2.org/x.y/-_Z/..a/...",
	};

	for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++)
		if (tls_spiffe_fault(ids[i], strlen(ids[i])) != NULL)
			fail_msg("%s: %s", ids[i], tls_spiffe_fault(ids[i], strlen(ids[i])));
}

static void
spiffe_ids_that_are_not(void **state)
{
	static const struct {
		const char *id;
		const char *fault;
	} table[] = {
		{"", "its scheme is not spiffe"},
		{"spiffe:/", "its scheme is not spiffe"},
		{"https://cluster.local/ns/a/sa/b", "its scheme is not spiffe"},
		{"SPIFFE://cluster.local/a", "its scheme is not spiffe"},
		{"spiffe://", "its trust domain is empty"},
		{"spiffe:///ns/a", "its trust domain is empty"},
		{"spiffe://cluster.local", "it has no path"},
		{"spiffe://cluster.local/", "it has no path"},
		{"spiffe://Cluster.local/a", "its trust domain has a character that is not allowed"},
		{"spiffe://user@td/a", "its trust domain has a character that is not allowed"},
		{"spiffe://td:443/a", "its trust domain has a character that is not allowed"},
		{"spiffe://td?q", "its trust domain has a character that is not allowed"},
		{"spiffe://td/a/", "its path has an empty segment"},
		{"spiffe://td//a", "its path has an empty segment"},
		{"spiffe://td/a//b", "its path has an empty segment"},
		{"spiffe://td/.", "its path has a relative segment"},
		{"spiffe://td/a/../b", "its path has a relative segment"},
		{"spiffe://td/a?b", "its path has a character that is not allowed"},
		{"spiffe://td/a#b", "its path has a character that is not allowed"},
		{"spiffe://td/a%20b", "its path has a character that is not allowed"},
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		const char *fault = tls_spiffe_fault(table[i].id, strlen(table[i].id));

		if (fault == NULL)
			fail_msg("%s passed", table[i].id);
		assert_string_equal(fault, table[i].fault);
	}
}

static void
spiffe_id_with_nul_inside_is_not_valid(void **state)
{
	static const char id[] = "spiffe://td/a\0b";

	assert_non_null(tls_spiffe_fault(id, sizeof(id) - 1));
}

static void
spiffe_id_that_would_be_cut_is_not_valid(void **state)
{
	char id[TLS_PEER_ID_LEN + 1];

	memset(id, 'a', sizeof(id));
	memcpy(id, "spiffe://td/", 12);
	assert_null(tls_spiffe_fault(id, TLS_PEER_ID_LEN - 1));
	assert_string_equal(tls_spiffe_fault(id, TLS_PEER_ID_LEN), "it is longer than 255 bytes");
}

static void
trust_domain_is_compared_whole(void **state)
{
	const char *id = "spiffe://cluster.local/ns/a/sa/b";

	assert_true(tls_spiffe_in_domain(id, "cluster.local"));
	assert_false(tls_spiffe_in_domain(id, "cluster.loca"));
	assert_false(tls_spiffe_in_domain(id, "cluster.local2"));
	assert_false(tls_spiffe_in_domain(id, "cluster.local/ns"));
	assert_false(tls_spiffe_in_domain(id, ""));
	assert_false(tls_spiffe_in_domain("cluster.local/ns", "cluster.local"));
}

/* --- the X.509-SVID -------------------------------------------------------------------- */

#define WEB "spiffe://cluster.local/ns/shop/sa/web"

static void
svid_with_one_uri_san_passes(void **state)
{
	char id[TLS_PEER_ID_LEN], detail[64];
	struct pki_options with_more = {.uris = {WEB}, .dns = {"web.shop.svc"}, .ips = {"::1"}};

	assert_int_equal(svid_of(&(struct pki_options){.uris = {WEB}}, id, detail, sizeof(detail)),
			 TLS_CAUSE_OK);
	assert_string_equal(id, WEB);
	assert_svid(&with_more, TLS_CAUSE_OK, NULL);
}

static void
svid_without_key_usage_passes(void **state)
{
	assert_svid(&(struct pki_options){.uris = {WEB}, .key_usage = "", .ext_key_usage = ""},
		    TLS_CAUSE_OK, NULL);
}

static void
svid_without_uri_san_fails(void **state)
{
	assert_svid(&(struct pki_options){0}, TLS_CAUSE_NO_SPIFFE_ID, "no URI SAN");
	assert_svid(&(struct pki_options){.dns = {"spiffe://td/a"}}, TLS_CAUSE_NO_SPIFFE_ID,
		    "no URI SAN");
}

static void
svid_with_two_uri_sans_fails(void **state)
{
	assert_svid(&(struct pki_options){.uris = {WEB, "spiffe://td/b"}},
		    TLS_CAUSE_MULTIPLE_URI_SANS, "two URI SANs");
	assert_svid(&(struct pki_options){.uris = {WEB, WEB, "https://c"}},
		    TLS_CAUSE_MULTIPLE_URI_SANS, "3 URI SANs");
}

static void
svid_with_another_scheme_fails(void **state)
{
	assert_svid(&(struct pki_options){.uris = {"https://example.com/a"}},
		    TLS_CAUSE_NO_SPIFFE_ID, "https://example.com/a is not a SPIFFE ID");
}

static void
svid_with_root_path_fails(void **state)
{
	assert_svid(&(struct pki_options){.uris = {"spiffe://cluster.local"}},
		    TLS_CAUSE_NO_SPIFFE_ID, "no path");
	assert_svid(&(struct pki_options){.uris = {"spiffe://cluster.local/"}},
		    TLS_CAUSE_NO_SPIFFE_ID, "no path");
}

static void
svid_that_is_a_ca_fails(void **state)
{
	assert_svid(&(struct pki_options){.uris = {WEB}, .ca = true},
		    TLS_CAUSE_CERTIFICATE_INVALID, "CA certificate");
}

static void
svid_that_may_sign_fails(void **state)
{
	assert_svid(&(struct pki_options){.uris = {WEB},
					  .key_usage = "critical,digitalSignature,keyCertSign"},
		    TLS_CAUSE_CERTIFICATE_INVALID, "keyCertSign");
	assert_svid(&(struct pki_options){.uris = {WEB},
					  .key_usage = "critical,digitalSignature,cRLSign"},
		    TLS_CAUSE_CERTIFICATE_INVALID, "cRLSign");
}

static void
svid_with_two_san_extensions_fails(void **state)
{
	assert_svid(&(struct pki_options){.uris = {WEB}, .twice_san = true},
		    TLS_CAUSE_CERTIFICATE_INVALID, NULL);
}

/* --- description ----------------------------------------------------------------------- */

static struct tls_peer
describe(const struct pki_options *options)
{
	struct pki_cert leaf = pki_issue(&ca, options);
	struct tls_peer peer = {0};

	tls_verify_describe(leaf.cert, &peer);
	pki_free(&leaf);
	return peer;
}

static void
description_lists_every_san(void **state)
{
	struct tls_peer peer = describe(&(struct pki_options){
		.uris = {WEB}, .dns = {"a.example", "*.b.example"}, .ips = {"10.0.0.1", "fd00::1"},
		.email = "root@example.com"});

	assert_string_equal(peer.sans, "a.example, *.b.example, " WEB
				       ", 10.0.0.1, fd00::1, root@example.com");
	assert_string_equal(peer.id, WEB);
}

static void
description_falls_back_to_dns_then_subject(void **state)
{
	struct tls_peer peer = describe(&(struct pki_options){.dns = {"a.example"}});

	assert_string_equal(peer.id, "a.example");
	peer = describe(&(struct pki_options){.name = "somebody"});
	assert_string_equal(peer.id, "/CN=somebody");
	assert_string_equal(peer.sans, "");
}

static void
dns_san_cannot_pass_for_a_spiffe_id(void **state)
{
	struct tls_peer peer = describe(&(struct pki_options){.dns = {WEB}, .name = "x"});

	assert_string_equal(peer.id, "/CN=x");
}

static void
description_escapes_and_cuts(void **state)
{
	char long_name[201];
	struct tls_peer peer;

	peer = describe(&(struct pki_options){.dns = {"a,b\n\"c\"\\"}, .name = "x"});
	assert_string_equal(peer.sans, "a\\x2cb\\x0a\\x22c\\x22\\x5c");
	memset(long_name, 'n', 200);
	long_name[200] = '\0';
	peer = describe(&(struct pki_options){.dns = {long_name, long_name, long_name}});
	assert_int_equal(strlen(peer.sans), sizeof(peer.sans) - 1);
	assert_string_equal(peer.sans + sizeof(peer.sans) - 4, "...");
}

/* --- secure naming --------------------------------------------------------------------- */

static enum tls_cause
naming(const struct pki_options *options, enum tls_san_check check, const char *wanted,
       struct tls_peer *peer)
{
	struct pki_cert leaf = pki_issue(&ca, options);
	struct tls_verify_rules rules = {.check = check, .sans = &wanted, .n_sans = 1};
	enum tls_cause cause;

	*peer = (struct tls_peer){0};
	tls_verify_describe(leaf.cert, peer);
	cause = tls_verify_leaf(leaf.cert, &rules, peer);
	pki_free(&leaf);
	return cause;
}

struct naming_row {
	struct pki_options options;
	const char *wanted;
	bool ok;
};

static void
run_naming(const struct naming_row *rows, size_t n, enum tls_san_check check)
{
	for (size_t i = 0; i < n; i++) {
		struct tls_peer peer;
		enum tls_cause cause = naming(&rows[i].options, check, rows[i].wanted, &peer);

		if ((cause == TLS_CAUSE_OK) != rows[i].ok)
			fail_msg("row %zu, wanted %s: %s %s", i, rows[i].wanted,
				 tls_cause_name(cause), peer.detail);
		if (!rows[i].ok) {
			assert_int_equal(cause, TLS_CAUSE_SAN_MISMATCH);
			assert_non_null(strstr(peer.detail, rows[i].wanted));
		}
	}
}

static void
exact_names_match_uri_dns_and_ip(void **state)
{
	static const struct naming_row rows[] = {
		{{.uris = {WEB}}, WEB, true},
		{{.uris = {"spiffe://td/a", WEB}}, WEB, true},
		{{.uris = {WEB}}, "spiffe://cluster.local/ns/shop/sa/we", false},
		{{.uris = {WEB}}, "spiffe://cluster.local/ns/shop/sa/webx", false},
		{{.uris = {WEB}}, "spiffe://cluster.local/ns/shop/sa/Web", false},
		{{.dns = {"a.example.com"}}, "a.example.com", true},
		{{.dns = {"A.example.COM"}}, "a.Example.com", true},
		{{.dns = {"a.example.com"}}, "b.example.com", false},
		{{.dns = {"a.example.com"}}, "a.example.com.", false},
		{{.dns = {"*.example.com"}}, "a.example.com", true},
		{{.dns = {"*.example.com"}}, "example.com", false},
		{{.dns = {"*.example.com"}}, "a.b.example.com", false},
		{{.dns = {"a*.example.com"}}, "abc.example.com", true},
		{{.dns = {"a*z.example.com"}}, "az.example.com", true},
		{{.dns = {"a*z.example.com"}}, "a.example.com", false},
		{{.dns = {"*.*.com"}}, "a.b.com", false},
		{{.dns = {"a.*.com"}}, "a.b.com", false},
		{{.dns = {"xn--*.example.com"}}, "xn--abc.example.com", false},
		{{.dns = {"*"}}, "localhost", false},
		{{.dns = {WEB}}, "a.example.com", false},
		{{.ips = {"10.1.2.3"}}, "10.1.2.3", true},
		{{.ips = {"10.1.2.3"}}, "10.1.2.4", false},
		{{.ips = {"fd00::1"}}, "fd00:0::0001", true},
		{{.dns = {"10.1.2.3"}}, "10.1.2.3", true},
		{{.email = "a@b.c"}, "a@b.c", false},
		{{.name = "a.example.com"}, "a.example.com", false},
	};

	run_naming(rows, sizeof(rows) / sizeof(rows[0]), TLS_SAN_EXACT);
}

static void
host_names_follow_rfc_6125(void **state)
{
	static const struct naming_row rows[] = {
		{{.dns = {"a.example.com"}}, "a.example.com", true},
		{{.dns = {"*.example.com"}}, "a.example.com", true},
		{{.dns = {"*.example.com"}}, "a.b.example.com", false},
		{{.dns = {"b.example.com"}}, "a.example.com", false},
		{{.name = "a.example.com"}, "a.example.com", false},
		{{.ips = {"10.1.2.3"}}, "10.1.2.3", true},
		{{.ips = {"fd00::1"}}, "fd00::1", true},
		{{.dns = {"10.1.2.3"}}, "10.1.2.3", false},
		{{.uris = {WEB}}, "a.example.com", false},
	};

	run_naming(rows, sizeof(rows) / sizeof(rows[0]), TLS_SAN_HOST);
}

static void
mismatch_says_wanted_and_got(void **state)
{
	struct tls_peer peer;

	naming(&(struct pki_options){.uris = {WEB}}, TLS_SAN_EXACT,
	       "spiffe://cluster.local/ns/shop/sa/api", &peer);
	assert_string_equal(peer.detail, "wanted spiffe://cluster.local/ns/shop/sa/api, got " WEB);
	naming(&(struct pki_options){0}, TLS_SAN_EXACT, "a", &peer);
	assert_string_equal(peer.detail, "wanted a, got a certificate without SANs");
}

static void
mismatch_of_many_names_still_shows_what_came(void **state)
{
	struct pki_cert leaf = pki_svid(&ca, WEB);
	const char *wanted[40];
	struct tls_verify_rules rules = {.check = TLS_SAN_EXACT, .sans = wanted, .n_sans = 40};
	struct tls_peer peer = {0};

	for (int i = 0; i < 40; i++)
		wanted[i] = "spiffe://cluster.local/ns/shop/sa/another";
	tls_verify_describe(leaf.cert, &peer);
	assert_int_equal(tls_verify_leaf(leaf.cert, &rules, &peer), TLS_CAUSE_SAN_MISMATCH);
	assert_non_null(strstr(peer.detail, "got " WEB));
	pki_free(&leaf);
}

static void
no_wanted_names_accepts_nobody(void **state)
{
	struct pki_cert leaf = pki_svid(&ca, WEB);
	struct tls_verify_rules rules = {.check = TLS_SAN_EXACT};
	struct tls_peer peer = {0};

	assert_int_equal(tls_verify_leaf(leaf.cert, &rules, &peer), TLS_CAUSE_SAN_MISMATCH);
	rules.check = TLS_SAN_HOST;
	assert_int_equal(tls_verify_leaf(leaf.cert, &rules, &peer), TLS_CAUSE_SAN_MISMATCH);
	rules.check = TLS_SAN_NONE;
	assert_int_equal(tls_verify_leaf(leaf.cert, &rules, &peer), TLS_CAUSE_OK);
	pki_free(&leaf);
}

static void
trust_domains_any_of_several(void **state)
{
	struct pki_cert leaf = pki_svid(&ca, "spiffe://two.example/ns/a/sa/b");
	const char *domains[] = {"one.example", "two.example"};
	struct tls_verify_rules rules = {.require_spiffe = true, .trust_domains = domains};
	struct tls_peer peer = {0};

	assert_int_equal(tls_verify_leaf(leaf.cert, &rules, &peer), TLS_CAUSE_OK);
	rules.n_trust_domains = 2;
	tls_verify_describe(leaf.cert, &peer);
	assert_int_equal(tls_verify_leaf(leaf.cert, &rules, &peer), TLS_CAUSE_OK);
	rules.n_trust_domains = 1;
	assert_int_equal(tls_verify_leaf(leaf.cert, &rules, &peer),
			 TLS_CAUSE_TRUST_DOMAIN_MISMATCH);
	assert_string_equal(peer.detail,
			    "wanted trust domain one.example, got spiffe://two.example/ns/a/sa/b");
	pki_free(&leaf);
}

static void
text_is_cut_with_a_mark(void **state)
{
	char buffer[10];
	struct tls_text text = tls_text_begin(buffer, sizeof(buffer));

	tls_text_add(&text, "123456789");
	assert_string_equal(buffer, "123456789");
	tls_text_add(&text, "x");
	assert_string_equal(buffer, "123456...");
	tls_text_add(&text, "y");
	assert_string_equal(buffer, "123456...");
	text = tls_text_begin(buffer, sizeof(buffer));
	tls_text_add(&text, "a much longer sentence");
	assert_string_equal(buffer, "a much...");
}

static int
make_ca(void **state)
{
	ca = pki_ca("mesh CA");
	return 0;
}

static int
free_ca(void **state)
{
	pki_free(&ca);
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(spiffe_ids_that_are_valid),
		cmocka_unit_test(spiffe_ids_that_are_not),
		cmocka_unit_test(spiffe_id_with_nul_inside_is_not_valid),
		cmocka_unit_test(spiffe_id_that_would_be_cut_is_not_valid),
		cmocka_unit_test(trust_domain_is_compared_whole),
		cmocka_unit_test(svid_with_one_uri_san_passes),
		cmocka_unit_test(svid_without_key_usage_passes),
		cmocka_unit_test(svid_without_uri_san_fails),
		cmocka_unit_test(svid_with_two_uri_sans_fails),
		cmocka_unit_test(svid_with_another_scheme_fails),
		cmocka_unit_test(svid_with_root_path_fails),
		cmocka_unit_test(svid_that_is_a_ca_fails),
		cmocka_unit_test(svid_that_may_sign_fails),
		cmocka_unit_test(svid_with_two_san_extensions_fails),
		cmocka_unit_test(description_lists_every_san),
		cmocka_unit_test(description_falls_back_to_dns_then_subject),
		cmocka_unit_test(dns_san_cannot_pass_for_a_spiffe_id),
		cmocka_unit_test(description_escapes_and_cuts),
		cmocka_unit_test(exact_names_match_uri_dns_and_ip),
		cmocka_unit_test(host_names_follow_rfc_6125),
		cmocka_unit_test(mismatch_says_wanted_and_got),
		cmocka_unit_test(mismatch_of_many_names_still_shows_what_came),
		cmocka_unit_test(no_wanted_names_accepts_nobody),
		cmocka_unit_test(trust_domains_any_of_several),
		cmocka_unit_test(text_is_cut_with_a_mark),
	};

	return cmocka_run_group_tests(tests, make_ca, free_ca);
}
