/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DATAPLANE_HTTP_REPLY_H
#define DATAPLANE_HTTP_REPLY_H

/*
 * The answers that the gateway gives itself to an HTTP/1.1 client (RFC 9112), in Envoy's
 * words, so that clients and dashboards that know those keep working. The connection is
 * closed after each.
 */

#include <stddef.h>
#include <time.h>

#include "dataplane/conn_log.h"

#define HTTP_REPLY_MAX 512

/* Writes a whole response of status 503 or 400 to `text` and returns its length. The body
 * says how the upstream failed, never why TLS did: that is for the log. */
size_t http_reply(char text[HTTP_REPLY_MAX], unsigned int status, enum session_cause cause,
		  time_t now);

#endif
