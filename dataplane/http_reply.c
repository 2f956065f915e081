/* SPDX-License-Identifier: Apache-2.0 */
#include "dataplane/http_reply.h"

#include <stdio.h>
#include <string.h>

/* Envoy's StreamResetReason texts. */
static const char *
reset_reason(enum session_cause cause)
{
	switch (cause) {
	case SESSION_UPSTREAM_TIMEOUT:
	case SESSION_HANDSHAKE_TIMEOUT:
		return "connection timeout";
	case SESSION_UPSTREAM_RESET:
		return "connection termination";
	default:
		return "remote connection failure";
	}
}

size_t
http_reply(char text[HTTP_REPLY_MAX], unsigned int status, enum session_cause cause, time_t now)
{
	char body[160], date[64];
	struct tm tm;
	int length;

	if (status == 400)
		snprintf(body, sizeof(body), "Bad Request");
	else if (cause == SESSION_NO_ENDPOINT)
		snprintf(body, sizeof(body), "no healthy upstream");
	else
		snprintf(body, sizeof(body),
			 "upstream connect error or disconnect/reset before headers. reset reason: %s",
			 reset_reason(cause));
	gmtime_r(&now, &tm);
	strftime(date, sizeof(date), "%a, %d %b %Y %H:%M:%S GMT", &tm);
	length = snprintf(text, HTTP_REPLY_MAX,
			  "HTTP/1.1 %u %s\r\n"
			  "content-length: %zu\r\n"
			  "content-type: text/plain\r\n"
			  "date: %s\r\n"
			  "server: portcullis\r\n"
			  "connection: close\r\n"
			  "\r\n"
			  "%s",
			  status, status == 400 ? "Bad Request" : "Service Unavailable",
			  strlen(body), date, body);
	return length;
}
