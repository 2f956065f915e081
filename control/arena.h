/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTROL_ARENA_H
#define CONTROL_ARENA_H

/*
 * Memory that lives and dies together: one arena holds a set of documents, what was bound
 * from them, and the strings of both. For the control thread only.
 *
 * What comes from an arena is zeroed, aligned for any type, never freed by itself and never
 * moved. Running out of memory ends the process: the sizes of everything that is read are
 * limited (control/yaml.h), so no input leads there.
 */

#include <stdarg.h>
#include <stddef.h>

struct arena;

struct arena *arena_create(void);
void arena_destroy(struct arena *arena); /* NULL is fine */

void *arena_alloc(struct arena *arena, size_t size);
void *arena_array(struct arena *arena, size_t n, size_t size); /* n * size, checked */
char *arena_copy(struct arena *arena, const char *text, size_t len); /* and a NUL */
char *arena_string(struct arena *arena, const char *text);
char *arena_printf(struct arena *arena, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* Bytes handed out, for statistics and tests. */
size_t arena_bytes(const struct arena *arena);

#endif
