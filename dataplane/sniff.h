/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DATAPLANE_SNIFF_H
#define DATAPLANE_SNIFF_H

/*
 * What the first bytes of a connection are, so that a port in PERMISSIVE mode can take
 * mutual TLS and plaintext side by side. TLS is told from the rest by its ClientHello,
 * and mesh traffic from other TLS by the ALPN protocols that the client offers, as Envoy's
 * TLS inspector and Istio's filter chains do; HTTP by its request line or the HTTP/2
 * preface. Nothing is consumed, nothing is kept.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A ClientHello longer than this, record headers included, is refused (Envoy's limit). */
#define SNIFF_MAX 16384

enum sniff_kind {
	SNIFF_MORE,      /* cannot tell yet: `need` bytes from the start are wanted */
	SNIFF_TLS,
	SNIFF_HTTP,      /* HTTP/1.x request line */
	SNIFF_HTTP2,     /* the connection preface of RFC 9113 section 3.4 */
	SNIFF_OTHER,
	SNIFF_TOO_LARGE, /* a ClientHello over SNIFF_MAX */
};

struct sniff {
	enum sniff_kind kind;
	size_t need;        /* SNIFF_MORE: how many bytes there must be before it is worth
			       asking again; always more than were given */
	bool mesh_alpn;     /* TLS: istio, istio-peer-exchange, istio-http/1.0,
			       istio-http/1.1 or istio-h2 is offered */
	bool mesh_http;     /* TLS: one of the istio-http and istio-h2 ones */
	char sni[256];      /* TLS: server_name, or "" */
};

/* Looks at the first `length` bytes of a connection. Reads no byte beyond. */
void sniff(const uint8_t *bytes, size_t length, struct sniff *result);

#endif
