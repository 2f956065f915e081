/* SPDX-License-Identifier: Apache-2.0 */
#include "tls/verify.h"

#include <arpa/inet.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include <openssl/err.h>
#include <openssl/x509v3.h>

#include "tls/text.h"

#define SPIFFE_SCHEME "spiffe://"
#define SPIFFE_SCHEME_LEN (sizeof(SPIFFE_SCHEME) - 1)
#define SPIFFE_DOMAIN_MAX 255 /* SPIFFE-ID.md section 2.3 */

void
tls_verify_time_text(const ASN1_TIME *time, char *out, size_t len)
{
	struct tm tm;

	if (time == NULL || ASN1_TIME_to_tm(time, &tm) != 1 ||
	    strftime(out, len, "%Y-%m-%d %H:%M:%S UTC", &tm) == 0)
		snprintf(out, len, "an unreadable time");
	ERR_clear_error();
}

/* --- SPIFFE IDs ------------------------------------------------------------------------ */

static bool
is_domain_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '-' || c == '_';
}

static bool
is_path_char(char c)
{
	return is_domain_char(c) || (c >= 'A' && c <= 'Z');
}

static const char *
path_fault(const char *path, size_t len)
{
	size_t segment = 0; /* where the present segment begins, its slash skipped */

	if (len <= 1)
		return "it has no path";
	for (size_t i = 0; i <= len; i++) {
		if (i < len && path[i] != '/') {
			if (!is_path_char(path[i]))
				return "its path has a character that is not allowed";
			continue;
		}
		if (i > 0) {
			size_t n = i - segment;

			if (n == 0)
				return "its path has an empty segment";
			if (path[segment] == '.' && (n == 1 || (n == 2 && path[segment + 1] == '.')))
				return "its path has a relative segment";
		}
		segment = i + 1;
	}
	return NULL;
}

const char *
tls_spiffe_fault(const char *id, size_t len)
{
	size_t domain = 0;

	/* SPIFFE allows 2,048 bytes; a name that would have to be cut is refused. */
	if (len >= TLS_PEER_ID_LEN)
		return "it is longer than 255 bytes";
	if (len < SPIFFE_SCHEME_LEN || memcmp(id, SPIFFE_SCHEME, SPIFFE_SCHEME_LEN) != 0)
		return "its scheme is not spiffe";
	id += SPIFFE_SCHEME_LEN;
	len -= SPIFFE_SCHEME_LEN;
	while (domain < len && id[domain] != '/') {
		if (!is_domain_char(id[domain]))
			return "its trust domain has a character that is not allowed";
		domain++;
	}
	if (domain == 0)
		return "its trust domain is empty";
	if (domain > SPIFFE_DOMAIN_MAX)
		return "its trust domain is too long";
	return path_fault(id + domain, len - domain);
}

bool
tls_spiffe_in_domain(const char *id, const char *domain)
{
	size_t len = strlen(domain);

	if (strncmp(id, SPIFFE_SCHEME, SPIFFE_SCHEME_LEN) != 0)
		return false;
	id += SPIFFE_SCHEME_LEN;
	return strcspn(id, "/") == len && id[len] == '/' && memcmp(id, domain, len) == 0;
}

/* --- SANs ------------------------------------------------------------------------------ */

struct san_text {
	const char *bytes;
	size_t len;
	char address[INET6_ADDRSTRLEN];
};

/* The text of a SAN of a kind that we compare; false for the others. */
static bool
san_text_of(const GENERAL_NAME *name, struct san_text *out)
{
	const ASN1_STRING *string = NULL;
	int type;
	void *value = GENERAL_NAME_get0_value(name, &type);

	if (type == GEN_URI || type == GEN_DNS || type == GEN_EMAIL || type == GEN_IPADD)
		string = value;
	if (string == NULL)
		return false;
	out->bytes = (const char *)ASN1_STRING_get0_data(string);
	out->len = (size_t)ASN1_STRING_length(string);
	if (type == GEN_IPADD) {
		if (out->len != 4 && out->len != 16)
			return false;
		if (inet_ntop(out->len == 4 ? AF_INET : AF_INET6, out->bytes, out->address,
			      sizeof(out->address)) == NULL)
			return false;
		out->bytes = out->address;
		out->len = strlen(out->address);
	}
	return true;
}

/* The SANs, or NULL; *broken when there are some but they cannot be read. */
static GENERAL_NAMES *
leaf_sans(X509 *leaf, bool *broken)
{
	int critical = -1;
	GENERAL_NAMES *names = X509_get_ext_d2i(leaf, NID_subject_alt_name, &critical, NULL);

	/* -1: none; -2: more than one such extension (RFC 5280 section 4.2 forbids it). */
	*broken = names == NULL && critical != -1;
	ERR_clear_error();
	return names;
}

static void
sans_text(GENERAL_NAMES *names, char *out, size_t len)
{
	struct tls_text text = tls_text_begin(out, len);

	for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
		struct san_text san;

		if (!san_text_of(sk_GENERAL_NAME_value(names, i), &san))
			continue;
		if (text.used > 0)
			tls_text_add(&text, ", ");
		tls_text_add_escaped(&text, san.bytes, san.len);
	}
}

static bool
is_host_name(const struct san_text *san)
{
	for (size_t i = 0; i < san->len; i++)
		if (!is_path_char(san->bytes[i]) && san->bytes[i] != '*')
			return false;
	return san->len > 0;
}

/* The first SAN of a type that can stand as the peer's name in a log. */
static bool
first_name(GENERAL_NAMES *names, int type, char id[TLS_PEER_ID_LEN])
{
	for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
		const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
		struct san_text san;

		if (name->type != type || !san_text_of(name, &san))
			continue;
		/* A DNS SAN must not be able to pass for a SPIFFE ID. */
		if (type == GEN_DNS ? !is_host_name(&san)
				    : tls_spiffe_fault(san.bytes, san.len) != NULL)
			continue;
		if (san.len >= TLS_PEER_ID_LEN)
			continue;
		memcpy(id, san.bytes, san.len);
		id[san.len] = '\0';
		return true;
	}
	return false;
}

void
tls_verify_describe(X509 *leaf, struct tls_peer *peer)
{
	bool broken;
	GENERAL_NAMES *names = leaf_sans(leaf, &broken);

	peer->id[0] = '\0';
	sans_text(names, peer->sans, sizeof(peer->sans));
	if (!first_name(names, GEN_URI, peer->id) && !first_name(names, GEN_DNS, peer->id))
		X509_NAME_oneline(X509_get_subject_name(leaf), peer->id, sizeof(peer->id));
	GENERAL_NAMES_free(names);
	ERR_clear_error();
}

/* --- the X.509-SVID -------------------------------------------------------------------- */

static enum tls_cause
svid_usage(X509 *leaf, char *detail, size_t len)
{
	uint32_t flags = X509_get_extension_flags(leaf);
	uint32_t usage = X509_get_key_usage(leaf); /* all ones where there is none */
	bool has_usage = (flags & EXFLAG_KUSAGE) != 0;

	if ((flags & EXFLAG_INVALID) != 0)
		snprintf(detail, len, "the certificate has an extension that cannot be read");
	else if ((flags & EXFLAG_CA) != 0)
		snprintf(detail, len, "the leaf is a CA certificate (basicConstraints CA:TRUE)");
	else if (has_usage && (usage & KU_KEY_CERT_SIGN) != 0)
		snprintf(detail, len, "the leaf may sign certificates (keyUsage keyCertSign)");
	else if (has_usage && (usage & KU_CRL_SIGN) != 0)
		snprintf(detail, len, "the leaf may sign CRLs (keyUsage cRLSign)");
	else
		return TLS_CAUSE_OK;
	return TLS_CAUSE_CERTIFICATE_INVALID;
}

/* X509-SVID.md section 2: exactly one URI SAN, and it is the SPIFFE ID. */
static enum tls_cause
svid_uri(GENERAL_NAMES *names, char id[TLS_PEER_ID_LEN], char *detail, size_t len)
{
	struct tls_text text = tls_text_begin(detail, len);
	const char *fault;
	struct san_text uri = {0};
	unsigned int n_uri = 0;

	for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
		const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);

		if (name->type == GEN_URI && n_uri++ == 0)
			san_text_of(name, &uri);
	}
	if (n_uri == 0) {
		tls_text_add(&text, "no URI SAN in the certificate");
		return TLS_CAUSE_NO_SPIFFE_ID;
	}
	if (n_uri > 1) {
		char count[16];

		snprintf(count, sizeof(count), "%u", n_uri);
		tls_text_add(&text, n_uri == 2 ? "two" : count);
		tls_text_add(&text, " URI SANs in the certificate, an X.509-SVID has exactly one");
		return TLS_CAUSE_MULTIPLE_URI_SANS;
	}
	fault = tls_spiffe_fault(uri.bytes, uri.len);
	if (fault == NULL) {
		memcpy(id, uri.bytes, uri.len);
		id[uri.len] = '\0';
		return TLS_CAUSE_OK;
	}
	tls_text_add(&text, "the URI SAN ");
	tls_text_add_escaped(&text, uri.bytes, uri.len < 200 ? uri.len : 200);
	tls_text_add(&text, " is not a SPIFFE ID: ");
	tls_text_add(&text, fault);
	return TLS_CAUSE_NO_SPIFFE_ID;
}

enum tls_cause
tls_verify_svid(X509 *leaf, char id[TLS_PEER_ID_LEN], char *detail, size_t detail_len)
{
	enum tls_cause cause = svid_usage(leaf, detail, detail_len);
	GENERAL_NAMES *names;
	bool broken;

	id[0] = '\0';
	if (cause != TLS_CAUSE_OK)
		return cause;
	names = leaf_sans(leaf, &broken);
	if (broken) {
		snprintf(detail, detail_len, "the SANs of the certificate cannot be read");
		return TLS_CAUSE_CERTIFICATE_INVALID;
	}
	cause = svid_uri(names, id, detail, detail_len);
	GENERAL_NAMES_free(names);
	return cause;
}

static enum tls_cause
check_domain(const struct tls_verify_rules *rules, struct tls_peer *peer)
{
	struct tls_text text;

	for (unsigned int i = 0; i < rules->n_trust_domains; i++)
		if (tls_spiffe_in_domain(peer->id, rules->trust_domains[i]))
			return TLS_CAUSE_OK;
	if (rules->n_trust_domains == 0)
		return TLS_CAUSE_OK;
	text = tls_text_begin(peer->detail, sizeof(peer->detail));
	tls_text_add(&text, "wanted trust domain ");
	for (unsigned int i = 0; i < rules->n_trust_domains; i++) {
		tls_text_add(&text, i == 0 ? "" : " or ");
		tls_text_add(&text, rules->trust_domains[i]);
	}
	tls_text_add(&text, ", got ");
	tls_text_add(&text, peer->id);
	return TLS_CAUSE_TRUST_DOMAIN_MISMATCH;
}

/* --- secure naming --------------------------------------------------------------------- */

/* A label against one with a "*" in it, without regard to case. */
static bool
label_matches(const char *label, size_t len, const char *pattern, size_t pattern_len)
{
	const char *star = memchr(pattern, '*', pattern_len);
	size_t before, after;

	if (star == NULL)
		return false;
	before = (size_t)(star - pattern);
	after = pattern_len - before - 1;
	return len >= before + after && memchr(star + 1, '*', after) == NULL &&
	       strncasecmp(label, pattern, before) == 0 &&
	       strncasecmp(label + len - after, star + 1, after) == 0;
}

/*
 * DNS names as Envoy's exact matcher compares them: equal without regard to case, or the
 * certificate's name has a wildcard in its first label, which stands for characters of one
 * label and is not in an A-label (RFC 6125 section 6.4.3).
 */
static bool
dns_matches(const char *wanted, const char *name, size_t len)
{
	const char *wanted_dot = strchr(wanted, '.');
	const char *dot = memchr(name, '.', len);
	size_t rest;

	if (memchr(name, '\0', len) != NULL)
		return false;
	if (strlen(wanted) == len && strncasecmp(wanted, name, len) == 0)
		return true;
	if (wanted_dot == NULL || dot == NULL)
		return false;
	rest = len - (size_t)(dot - name);
	if (strlen(wanted_dot) != rest || strncasecmp(wanted_dot, dot, rest) != 0 ||
	    memchr(dot, '*', rest) != NULL)
		return false;
	if (len >= 4 && strncasecmp(name, "xn--", 4) == 0)
		return false;
	return label_matches(wanted, (size_t)(wanted_dot - wanted), name, (size_t)(dot - name));
}

static bool
ip_matches(const char *wanted, const GENERAL_NAME *name)
{
	const ASN1_OCTET_STRING *ip = name->d.iPAddress;
	int len = ASN1_STRING_length(ip);
	uint8_t address[16];

	if (len != 4 && len != 16)
		return false;
	return inet_pton(len == 4 ? AF_INET : AF_INET6, wanted, address) == 1 &&
	       memcmp(address, ASN1_STRING_get0_data(ip), (size_t)len) == 0;
}

static bool
san_matches(const char *wanted, const GENERAL_NAME *name)
{
	struct san_text san;

	switch (name->type) {
	case GEN_URI:
		return san_text_of(name, &san) && strlen(wanted) == san.len &&
		       memcmp(wanted, san.bytes, san.len) == 0;
	case GEN_DNS:
		return san_text_of(name, &san) && dns_matches(wanted, san.bytes, san.len);
	case GEN_IPADD:
		return ip_matches(wanted, name);
	default:
		return false;
	}
}

static bool
any_san_matches(X509 *leaf, const struct tls_verify_rules *rules)
{
	bool broken, found = false;
	GENERAL_NAMES *names = leaf_sans(leaf, &broken);

	for (int i = 0; i < sk_GENERAL_NAME_num(names) && !found; i++)
		for (unsigned int k = 0; k < rules->n_sans && !found; k++)
			found = san_matches(rules->sans[k], sk_GENERAL_NAME_value(names, i));
	GENERAL_NAMES_free(names);
	return found;
}

/* RFC 6125: SANs only, the subject's common name is not looked at. */
static bool
host_matches(X509 *leaf, const char *host)
{
	uint8_t address[16];
	int ok;

	if (inet_pton(AF_INET, host, address) == 1 || inet_pton(AF_INET6, host, address) == 1)
		ok = X509_check_ip_asc(leaf, host, 0);
	else
		ok = X509_check_host(leaf, host, 0, X509_CHECK_FLAG_NEVER_CHECK_SUBJECT, NULL);
	ERR_clear_error();
	return ok == 1;
}

static enum tls_cause
check_names(X509 *leaf, const struct tls_verify_rules *rules, struct tls_peer *peer)
{
	struct tls_text text;
	char wanted[TLS_DETAIL_LEN / 2];

	if (rules->check == TLS_SAN_NONE)
		return TLS_CAUSE_OK;
	if (rules->check == TLS_SAN_EXACT && any_san_matches(leaf, rules))
		return TLS_CAUSE_OK;
	if (rules->check == TLS_SAN_HOST && rules->n_sans > 0 && host_matches(leaf, rules->sans[0]))
		return TLS_CAUSE_OK;
	/* Half of the room at most for what was wanted: what came must be seen too. */
	text = tls_text_begin(wanted, sizeof(wanted));
	for (unsigned int i = 0; i < rules->n_sans; i++) {
		tls_text_add(&text, i == 0 ? "" : " or ");
		tls_text_add(&text, rules->sans[i]);
	}
	text = tls_text_begin(peer->detail, sizeof(peer->detail));
	tls_text_add(&text, "wanted ");
	tls_text_add(&text, rules->n_sans > 0 ? wanted : "(no name is accepted)");
	tls_text_add(&text, ", got ");
	tls_text_add(&text, peer->sans[0] != '\0' ? peer->sans : "a certificate without SANs");
	return TLS_CAUSE_SAN_MISMATCH;
}

enum tls_cause
tls_verify_leaf(X509 *leaf, const struct tls_verify_rules *rules, struct tls_peer *peer)
{
	if (rules->require_spiffe) {
		char id[TLS_PEER_ID_LEN];
		enum tls_cause cause =
			tls_verify_svid(leaf, id, peer->detail, sizeof(peer->detail));

		if (cause == TLS_CAUSE_OK)
			cause = check_domain(rules, peer);
		if (cause != TLS_CAUSE_OK)
			return cause;
	}
	return check_names(leaf, rules, peer);
}

/* --- the chain ------------------------------------------------------------------------- */

enum tls_cause
tls_verify_cause_of(int x509_error)
{
	switch (x509_error) {
	case X509_V_OK:
		return TLS_CAUSE_OK;
	case X509_V_ERR_CERT_HAS_EXPIRED:
		return TLS_CAUSE_CERTIFICATE_EXPIRED;
	case X509_V_ERR_CERT_NOT_YET_VALID:
		return TLS_CAUSE_CERTIFICATE_NOT_YET_VALID;
	case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
	case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
	case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
	case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
	case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
	case X509_V_ERR_CERT_UNTRUSTED:
		return TLS_CAUSE_UNKNOWN_CA;
	case X509_V_ERR_OUT_OF_MEM:
	case X509_V_ERR_UNSPECIFIED:
	case X509_V_ERR_INVALID_CALL:
	case X509_V_ERR_STORE_LOOKUP:
		return TLS_CAUSE_INTERNAL;
	default:
		return TLS_CAUSE_CERTIFICATE_INVALID;
	}
}

/* "certificate has expired (/CN=web, issued by /CN=mesh CA, not after 2026-...)" */
static void
chain_failure_text(X509_STORE_CTX *ctx, int error, struct tls_peer *peer)
{
	X509 *cert = X509_STORE_CTX_get_current_cert(ctx);
	struct tls_text text = tls_text_begin(peer->detail, sizeof(peer->detail));
	char name[160], when[40];

	tls_text_add(&text, X509_verify_cert_error_string(error));
	if (cert == NULL)
		cert = X509_STORE_CTX_get0_cert(ctx);
	if (cert == NULL)
		return;
	tls_text_add(&text, " (subject ");
	tls_text_add(&text, X509_NAME_oneline(X509_get_subject_name(cert), name, sizeof(name)));
	tls_text_add(&text, ", issuer ");
	tls_text_add(&text, X509_NAME_oneline(X509_get_issuer_name(cert), name, sizeof(name)));
	if (error == X509_V_ERR_CERT_HAS_EXPIRED) {
		tls_verify_time_text(X509_get0_notAfter(cert), when, sizeof(when));
		tls_text_add(&text, ", not after ");
		tls_text_add(&text, when);
	} else if (error == X509_V_ERR_CERT_NOT_YET_VALID) {
		tls_verify_time_text(X509_get0_notBefore(cert), when, sizeof(when));
		tls_text_add(&text, ", not before ");
		tls_text_add(&text, when);
	}
	tls_text_add(&text, ")");
}

static enum tls_cause
chain_failure(X509_STORE_CTX *ctx, struct tls_peer *peer)
{
	int error = X509_STORE_CTX_get_error(ctx);

	if (error == X509_V_OK) /* never let a failure look like success */
		error = X509_V_ERR_UNSPECIFIED;
	X509_STORE_CTX_set_error(ctx, error);
	chain_failure_text(ctx, error, peer);
	ERR_clear_error();
	return tls_verify_cause_of(error);
}

enum tls_cause
tls_verify_chain(X509_STORE_CTX *ctx, const struct tls_verify_rules *rules, struct tls_peer *peer)
{
	X509 *leaf = X509_STORE_CTX_get0_cert(ctx);
	enum tls_cause cause;

	if (leaf == NULL)
		return TLS_CAUSE_INTERNAL;
	tls_verify_describe(leaf, peer);
	if (rules->skip) {
		X509_STORE_CTX_set_error(ctx, X509_V_OK);
		return TLS_CAUSE_OK;
	}
	if (X509_verify_cert(ctx) <= 0)
		return chain_failure(ctx, peer);
	cause = tls_verify_leaf(leaf, rules, peer);
	if (cause == TLS_CAUSE_OK)
		peer->verified = true;
	else /* becomes the alert bad_certificate */
		X509_STORE_CTX_set_error(ctx, X509_V_ERR_CERT_REJECTED);
	return cause;
}
