/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TLS_TEXT_H
#define TLS_TEXT_H

/*
 * Sentences for people, in a buffer of fixed size. What does not fit is cut, and the cut is
 * marked with "...". What a peer sent is escaped, so that a log line stays one line.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

struct tls_text {
	char *buffer;
	size_t size;
	size_t used;
	bool cut;
};

static inline struct tls_text
tls_text_begin(char *buffer, size_t size)
{
	buffer[0] = '\0';
	return (struct tls_text){.buffer = buffer, .size = size};
}

static inline void
tls_text_add_bytes(struct tls_text *text, const char *bytes, size_t len)
{
	if (text->cut)
		return;
	if (len < text->size - text->used) {
		memcpy(text->buffer + text->used, bytes, len);
		text->used += len;
		text->buffer[text->used] = '\0';
		return;
	}
	text->cut = true;
	if (text->size >= 4) {
		size_t mark = text->used < text->size - 4 ? text->used : text->size - 4;
		size_t room = text->size - 4 - mark;

		memcpy(text->buffer + mark, bytes, room);
		memcpy(text->buffer + text->size - 4, "...", 4);
		text->used = text->size - 1;
	}
}

static inline void
tls_text_add(struct tls_text *text, const char *string)
{
	tls_text_add_bytes(text, string, strlen(string));
}

/* Printable ASCII as it is; a comma, a quote, a backslash and the rest as \xNN. */
static inline void
tls_text_add_escaped(struct tls_text *text, const void *bytes, size_t len)
{
	const uint8_t *p = bytes;

	for (size_t i = 0; i < len && !text->cut; i++) {
		char quad[5];

		if (p[i] > 0x20 && p[i] < 0x7f && p[i] != ',' && p[i] != '\\' && p[i] != '"') {
			quad[0] = (char)p[i];
			tls_text_add_bytes(text, quad, 1);
		} else if (p[i] == ' ') {
			tls_text_add_bytes(text, " ", 1);
		} else {
			snprintf(quad, sizeof(quad), "\\x%02x", p[i]);
			tls_text_add_bytes(text, quad, 4);
		}
	}
}

#endif
