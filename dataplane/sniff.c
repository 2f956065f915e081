/* SPDX-License-Identifier: Apache-2.0 */
#include "dataplane/sniff.h"

#include <string.h>

#include <rte_common.h>

/* --- TLS: RFC 8446 section 4.1.2 ----------------------------------------------------------- */

#define RECORD_HEADER 5
#define HANDSHAKE_HEADER 4
#define RECORD_HANDSHAKE 22
#define CLIENT_HELLO 1
#define EXT_SERVER_NAME 0
#define EXT_ALPN 16

/* Bytes still to be read. A read past the end marks it bad and yields zeros. */
struct reader {
	const uint8_t *at;
	size_t left;
	bool bad;
};

static uint32_t
take_uint(struct reader *reader, unsigned int octets)
{
	uint32_t value = 0;

	if (reader->bad || reader->left < octets) {
		reader->bad = true;
		return 0;
	}
	while (octets-- > 0) {
		value = value << 8 | *reader->at++;
		reader->left--;
	}
	return value;
}

/* A vector whose length is written in `octets` bytes before it. */
static struct reader
take_vector(struct reader *reader, unsigned int octets)
{
	uint32_t length = take_uint(reader, octets);
	struct reader inner = {0};

	if (reader->bad || reader->left < length) {
		reader->bad = true;
		inner.bad = true;
		return inner;
	}
	inner.at = reader->at;
	inner.left = length;
	reader->at += length;
	reader->left -= length;
	return inner;
}

static bool
equals(const struct reader *name, const char *text)
{
	return name->left == strlen(text) && memcmp(name->at, text, name->left) == 0;
}

static void
read_alpn(struct reader extension, struct sniff *result)
{
	struct reader list = take_vector(&extension, 2);

	while (!list.bad && list.left > 0) {
		struct reader name = take_vector(&list, 1);

		if (name.bad)
			return;
		if (equals(&name, "istio-http/1.0") || equals(&name, "istio-http/1.1") ||
		    equals(&name, "istio-h2"))
			result->mesh_alpn = result->mesh_http = true;
		else if (equals(&name, "istio") || equals(&name, "istio-peer-exchange"))
			result->mesh_alpn = true;
	}
}

/* RFC 6066 section 3. A name with a NUL in it is nobody's. */
static void
read_server_name(struct reader extension, struct sniff *result)
{
	struct reader list = take_vector(&extension, 2);

	while (!list.bad && list.left > 0) {
		uint32_t type = take_uint(&list, 1);
		struct reader name = take_vector(&list, 2);

		if (name.bad)
			return;
		if (type == 0 && name.left < sizeof(result->sni) &&
		    memchr(name.at, 0, name.left) == NULL) {
			memcpy(result->sni, name.at, name.left);
			result->sni[name.left] = '\0';
			return;
		}
	}
}

/* The body of a whole ClientHello. False: it does not parse. */
static bool
read_client_hello(struct reader hello, struct sniff *result)
{
	struct reader extensions;

	take_uint(&hello, 2); /* legacy_version */
	for (unsigned int i = 0; i < 8; i++)
		take_uint(&hello, 4); /* random */
	take_vector(&hello, 1);       /* legacy_session_id */
	take_vector(&hello, 2);       /* cipher_suites */
	take_vector(&hello, 1);       /* legacy_compression_methods */
	if (hello.bad)
		return false;
	if (hello.left == 0)
		return true; /* TLS 1.2 allows a hello without extensions */
	extensions = take_vector(&hello, 2);
	while (!extensions.bad && extensions.left > 0) {
		uint32_t type = take_uint(&extensions, 2);
		struct reader extension = take_vector(&extensions, 2);

		if (extensions.bad)
			return false;
		if (type == EXT_ALPN)
			read_alpn(extension, result);
		else if (type == EXT_SERVER_NAME)
			read_server_name(extension, result);
	}
	return !extensions.bad && !hello.bad;
}

/* Where the records of the first flight end as far as they are there, and how much of the
 * handshake message they carry. */
struct hello_records {
	uint8_t message[SNIFF_MAX];
	size_t gathered; /* bytes in `message` */
	size_t need;     /* of the connection, to have the next record whole */
	bool broken;
};

static void
gather_records(const uint8_t *bytes, size_t length, struct hello_records *records)
{
	size_t at = 0;

	while (length - at >= RECORD_HEADER) {
		size_t body = (size_t)bytes[at + 3] << 8 | bytes[at + 4];

		if (bytes[at] != RECORD_HANDSHAKE || bytes[at + 1] != 3 || body == 0) {
			records->broken = true;
			return;
		}
		if (length - at - RECORD_HEADER < body) {
			records->need = at + RECORD_HEADER + body;
			return;
		}
		if (body > sizeof(records->message) - records->gathered)
			body = sizeof(records->message) - records->gathered;
		memcpy(records->message + records->gathered, bytes + at + RECORD_HEADER, body);
		records->gathered += body;
		at += RECORD_HEADER + ((size_t)bytes[at + 3] << 8 | bytes[at + 4]);
		if (records->gathered >= HANDSHAKE_HEADER) {
			size_t whole = HANDSHAKE_HEADER + ((size_t)records->message[1] << 16 |
							   (size_t)records->message[2] << 8 |
							   records->message[3]);
			if (records->gathered >= whole || whole > SNIFF_MAX)
				return;
		}
	}
	records->need = at + RECORD_HEADER;
}

/* What can be said of a TLS ClientHello; SNIFF_OTHER when it is none. */
static void
sniff_tls(const uint8_t *bytes, size_t length, struct sniff *result)
{
	struct hello_records records = {.gathered = 0};
	struct reader hello;
	size_t body;

	result->kind = SNIFF_OTHER;
	if (length >= 2 && bytes[1] != 3)
		return;
	/* The type of the message is looked at before any length is believed, so that the
	 * answer does not depend on how the bytes were cut into segments. */
	if (length < RECORD_HEADER + 1) {
		result->kind = SNIFF_MORE;
		result->need = RECORD_HEADER + 1;
		return;
	}
	if (bytes[RECORD_HEADER] != CLIENT_HELLO)
		return;
	gather_records(bytes, length, &records);
	if (records.broken)
		return;
	if (records.gathered >= HANDSHAKE_HEADER) {
		body = (size_t)records.message[1] << 16 | (size_t)records.message[2] << 8 |
		       records.message[3];
		if (records.message[0] != CLIENT_HELLO)
			return;
		if (body + HANDSHAKE_HEADER + RECORD_HEADER > SNIFF_MAX) {
			result->kind = SNIFF_TOO_LARGE;
			return;
		}
		if (records.gathered >= HANDSHAKE_HEADER + body) {
			hello = (struct reader){records.message + HANDSHAKE_HEADER, body, false};
			if (read_client_hello(hello, result))
				result->kind = SNIFF_TLS;
			return;
		}
	}
	result->need = records.need;
	if (length >= SNIFF_MAX || records.need > SNIFF_MAX)
		result->kind = SNIFF_TOO_LARGE;
	else
		result->kind = SNIFF_MORE;
}

/* --- HTTP ------------------------------------------------------------------------------------ */

#define HTTP2_PREFACE "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

static const char *const http_methods[] = {
	"GET",      "HEAD",     "POST",      "PUT",        "DELETE",     "CONNECT",
	"OPTIONS",  "TRACE",    "PATCH",     "PROPFIND",   "PROPPATCH",  "MKCOL",
	"COPY",     "MOVE",     "LOCK",      "UNLOCK",     "SEARCH",     "PURGE",
	"REPORT",   "MKACTIVITY", "CHECKOUT", "MERGE",     "M-SEARCH",   "NOTIFY",
	"SUBSCRIBE", "UNSUBSCRIBE", "LINK",  "UNLINK",     "BIND",       "REBIND",
	"UNBIND",   "ACL",      "MKCALENDAR", "SOURCE",    "QUERY",
};

/* The method with the space behind it; a shorter input may be the beginning of one. */
static enum sniff_kind
match_method(const uint8_t *bytes, size_t length, const char *method)
{
	size_t whole = strlen(method);

	if (length <= whole)
		return memcmp(bytes, method, length) == 0 ? SNIFF_MORE : SNIFF_OTHER;
	return memcmp(bytes, method, whole) == 0 && bytes[whole] == ' ' ? SNIFF_HTTP : SNIFF_OTHER;
}

static enum sniff_kind
sniff_http(const uint8_t *bytes, size_t length)
{
	enum sniff_kind found = SNIFF_OTHER;
	size_t preface = strlen(HTTP2_PREFACE);

	if (memcmp(bytes, HTTP2_PREFACE, RTE_MIN(length, preface)) == 0) {
		if (length >= preface)
			return SNIFF_HTTP2;
		found = SNIFF_MORE;
	}
	for (unsigned int i = 0; i < RTE_DIM(http_methods); i++) {
		enum sniff_kind kind = match_method(bytes, length, http_methods[i]);

		if (kind == SNIFF_HTTP)
			return kind;
		if (kind == SNIFF_MORE)
			found = kind;
	}
	return found;
}

void
sniff(const uint8_t *bytes, size_t length, struct sniff *result)
{
	*result = (struct sniff){.kind = SNIFF_MORE, .need = 1};
	if (length == 0)
		return;
	if (bytes[0] == RECORD_HANDSHAKE) {
		sniff_tls(bytes, length, result);
		return;
	}
	result->kind = sniff_http(bytes, length);
	result->need = length + 1;
}
