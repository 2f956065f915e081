/* SPDX-License-Identifier: Apache-2.0 */
/* A peer's certificate, DER, against the rules for leaves. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/x509.h>

#include "tls/verify.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const domains[] = {"cluster.local", "a"};
static const char *const sans[] = {"spiffe://cluster.local/ns/shop/sa/web", "a.example.com",
				   "10.0.0.1", "fd00::1"};

static void
check(bool holds)
{
	if (!holds)
		abort();
}

static void
check_peer(const struct tls_peer *peer)
{
	check(memchr(peer->id, '\0', sizeof(peer->id)) != NULL);
	check(memchr(peer->sans, '\0', sizeof(peer->sans)) != NULL);
	check(memchr(peer->detail, '\0', sizeof(peer->detail)) != NULL);
	for (const char *p = peer->sans; *p != '\0'; p++)
		check(*p >= ' ' && *p < 0x7f); /* one line of a log stays one line */
}

static void
check_rules(X509 *leaf, enum tls_san_check kind, bool spiffe)
{
	struct tls_verify_rules rules = {
		.require_spiffe = spiffe,
		.trust_domains = domains,
		.n_trust_domains = 2,
		.check = kind,
		.sans = sans,
		.n_sans = 4,
	};
	struct tls_peer peer = {0};
	enum tls_cause cause;

	tls_verify_describe(leaf, &peer);
	cause = tls_verify_leaf(leaf, &rules, &peer);
	check_peer(&peer);
	check((cause == TLS_CAUSE_OK) == (peer.detail[0] == '\0'));
	/* What passes as an SVID is known by its SPIFFE ID and by nothing else. */
	if (spiffe && cause == TLS_CAUSE_OK)
		check(tls_spiffe_fault(peer.id, strlen(peer.id)) == NULL &&
		      (tls_spiffe_in_domain(peer.id, "cluster.local") ||
		       tls_spiffe_in_domain(peer.id, "a")));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *p = data;
	X509 *leaf = d2i_X509(NULL, &p, (long)size);

	/* The same bytes as a SPIFFE ID of a URI SAN. */
	tls_spiffe_fault((const char *)data, size);
	if (leaf != NULL) {
		for (int kind = TLS_SAN_NONE; kind <= TLS_SAN_HOST; kind++) {
			check_rules(leaf, (enum tls_san_check)kind, false);
			check_rules(leaf, (enum tls_san_check)kind, true);
		}
		X509_free(leaf);
	}
	ERR_clear_error();
	return 0;
}
