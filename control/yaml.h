/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTROL_YAML_H
#define CONTROL_YAML_H

/*
 * YAML as a tree of nodes, each of which knows where it was written.
 *
 * The language is libyaml's YAML 1.1 less what a configuration has no need of: anchors,
 * aliases, merge keys (`<<`) and tags of other than the core schema are refused, which also
 * means that a document is never larger in memory than in its file (no billion laughs).
 * Mapping keys are scalars and must not repeat. Text is UTF-8, with or without BOM, with
 * any line ends. A NUL is refused even where it is written as an escape, so strings are C
 * strings.
 *
 * Plain scalars are resolved as Kubernetes resolves them (YAML 1.1 booleans included), so
 * that a file means the same to both; yaml_scalar_kind() tells.
 *
 * The nodes belong to the arena that they were read into.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "control/arena.h"
#include "control/diagnostics.h"

#define YAML_MAX_FILE (16u << 20)    /* bytes of a file */
#define YAML_MAX_DEPTH 64            /* collections within each other */
#define YAML_MAX_NODES 1000000       /* of a file */
#define YAML_MAX_SCALAR (64u << 10)  /* bytes of one scalar */
#define YAML_MAX_TAGS 16             /* %TAG directives of a file */

enum yaml_kind {
	YAML_NULL,    /* nothing, ~ or null */
	YAML_BOOL,    /* true, false, yes, no, on, off, y, n */
	YAML_INT,     /* plain decimal, 0x, 0o, 0b or 0-octal; may be too large for 64 bits */
	YAML_FLOAT,   /* plain, .inf and .nan included */
	YAML_STRING,  /* any other plain scalar, every quoted or block one */
	YAML_LIST,
	YAML_MAP,
	YAML_REFUSED, /* an error was reported here; to be passed over in silence */
};

struct yaml_node {
	enum yaml_kind kind;
	struct diagnostics_place place;
	const char *text; /* scalars, as written after unquoting; never NULL for them */
	size_t len;
	bool quoted;      /* scalars */
	/* Children in order: LIST has values, MAP has keys beside them. */
	struct yaml_node **values;
	struct yaml_node **keys;
	unsigned int n;
};

/* Top nodes of a file's documents, in order. One that is empty is a YAML_NULL. */
struct yaml_documents {
	struct yaml_node **roots;
	unsigned int n;
	bool broken; /* an error was reported; the documents before it are here */
};

/*
 * Parses `len` bytes as the contents of `file` (a name for messages, copied). Errors go to
 * `diagnostics`. Terminates in time linear in `len` (times log n for the keys of a mapping).
 */
void yaml_parse_text(struct arena *arena, struct diagnostics *diagnostics, const char *file,
		     const void *text, size_t len, struct yaml_documents *documents);

/* The same for a file on the disk, which must be a regular one. One that cannot be read
 * is an error of the place `from` (who names it); a place without a file: its own. */
void yaml_parse_file(struct arena *arena, struct diagnostics *diagnostics, const char *file,
		     struct diagnostics_place from, struct yaml_documents *documents);

/* The value of a key of a mapping; NULL when there is none, or `map` is NULL or no mapping. */
const struct yaml_node *yaml_get(const struct yaml_node *map, const char *key);

/* The same along keys and list indexes: "spec.ports[0].name". The deepest that exists; for
 * the place of a diagnostic about something that may have been left out. Not NULL unless
 * `node` is. */
const struct yaml_node *yaml_deepest(const struct yaml_node *node, const char *path);

/* True for a scalar of the exact text, whatever its kind. */
bool yaml_is(const struct yaml_node *node, const char *text);

/* "a string", "a list", "a mapping", "nothing", for messages. */
const char *yaml_kind_name(enum yaml_kind kind);

/* What a plain scalar of this text is. */
enum yaml_kind yaml_scalar_kind(const char *text, size_t len);

/* The values of scalars; false: not of that kind, or out of range. */
bool yaml_to_int(const char *text, int64_t *value);
bool yaml_to_bool(const char *text, bool *value);

#endif
