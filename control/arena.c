/* SPDX-License-Identifier: Apache-2.0 */
#include "control/arena.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Under AddressSanitizer each object is a chunk of its own, so that its bounds are seen. */
#if defined(__SANITIZE_ADDRESS__)
#define CHUNK 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define CHUNK 0
#endif
#endif
#ifndef CHUNK
#define CHUNK (64u << 10)
#endif

struct chunk {
	struct chunk *next;
	size_t used, size; /* of the bytes behind this header */
	_Alignas(max_align_t) unsigned char bytes[];
};

struct arena {
	struct chunk *chunks; /* the first is the one that is being filled */
	size_t bytes;
};

static void *
must(void *memory)
{
	if (memory == NULL) {
		fputs("portcullis: out of memory\n", stderr);
		abort();
	}
	return memory;
}

struct arena *
arena_create(void)
{
	return must(calloc(1, sizeof(struct arena)));
}

void
arena_destroy(struct arena *arena)
{
	if (arena == NULL)
		return;
	for (struct chunk *chunk = arena->chunks, *next; chunk != NULL; chunk = next) {
		next = chunk->next;
		free(chunk);
	}
	free(arena);
}

static struct chunk *
add_chunk(struct arena *arena, size_t size)
{
	struct chunk *chunk = must(calloc(1, sizeof(*chunk) + size));

	chunk->size = size;
	/* A chunk for one large object goes behind the one that still has room. */
	if (arena->chunks != NULL && size > CHUNK) {
		chunk->next = arena->chunks->next;
		arena->chunks->next = chunk;
	} else {
		chunk->next = arena->chunks;
		arena->chunks = chunk;
	}
	return chunk;
}

void *
arena_alloc(struct arena *arena, size_t size)
{
	const size_t align = _Alignof(max_align_t);
	struct chunk *chunk = arena->chunks;
	size_t rounded;
	void *memory;

	if (size > SIZE_MAX / 2)
		must(NULL);
	rounded = CHUNK == 0 ? size : (size + align - 1) / align * align;
	if (chunk == NULL || chunk->size - chunk->used < rounded)
		chunk = add_chunk(arena, rounded > CHUNK / 4 ? rounded : CHUNK);
	memory = chunk->bytes + chunk->used;
	chunk->used += rounded;
	arena->bytes += size;
	return memory;
}

void *
arena_array(struct arena *arena, size_t n, size_t size)
{
	size_t bytes;

	if (__builtin_mul_overflow(n, size, &bytes))
		must(NULL);
	return arena_alloc(arena, bytes);
}

char *
arena_copy(struct arena *arena, const char *text, size_t len)
{
	char *copy = arena_alloc(arena, len + 1);

	if (len > 0)
		memcpy(copy, text, len);
	return copy;
}

char *
arena_string(struct arena *arena, const char *text)
{
	return arena_copy(arena, text, strlen(text));
}

char *
arena_printf(struct arena *arena, const char *format, ...)
{
	va_list args;
	char *text;
	int len;

	va_start(args, format);
	len = vsnprintf(NULL, 0, format, args);
	va_end(args);
	text = arena_alloc(arena, len < 0 ? 1 : (size_t)len + 1);
	va_start(args, format);
	if (len >= 0)
		vsnprintf(text, (size_t)len + 1, format, args);
	va_end(args);
	return text;
}

size_t
arena_bytes(const struct arena *arena)
{
	return arena->bytes;
}
