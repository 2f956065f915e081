/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTROL_SCHEMA_H
#define CONTROL_SCHEMA_H

/*
 * One table for each kind of object says what may be written, how it is checked, what it
 * means when it is left out, and where the value goes. Binding, error messages and the field
 * tables of docs/configuration.md all come from it.
 *
 *     struct web { const char *name; uint16_t mtu; char const *const *hosts; unsigned n_hosts;
 *                  const struct yaml_node *node; };
 *     static const struct schema_field host = {.type = SCHEMA_STRING, .min = 1};
 *     static const struct schema_field fields[] = {
 *             {.name = "name", .type = SCHEMA_STRING, SCHEMA_AT(struct web, name),
 *              .required = true, .min = 1, .doc = "What it is called."},
 *             {.name = "mtu", .type = SCHEMA_INT, SCHEMA_AT(struct web, mtu), .min = 1280,
 *              .max = 9000, .fallback = "1500", .unit = "bytes", .doc = "..."},
 *             {.name = "hosts", .type = SCHEMA_LIST, .item = &host,
 *              SCHEMA_ARRAY_AT(struct web, hosts, n_hosts), .doc = "..."},
 *             {.name = NULL},
 *     };
 *     const struct schema web_schema = {.name = "web", .fields = fields,
 *             SCHEMA_STRUCT(struct web), SCHEMA_NODE_AT(struct web, node)};
 *
 * A null value is as good as none (as protobuf JSON has it). Unknown fields, wrong types and
 * values out of range are errors; binding goes on after an error, to find the others.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "control/arena.h"
#include "control/diagnostics.h"
#include "control/yaml.h"

enum schema_type {
	SCHEMA_STRING,   /* const char *; `min` and `max` bound its bytes (max 0: no bound).
			    Left out: fallback or NULL. Plain numbers and booleans are
			    refused, as Kubernetes refuses them */
	SCHEMA_BOOL,     /* bool */
	SCHEMA_INT,      /* integer of 1, 2, 4 or 8 bytes, from `min` to `max` */
	SCHEMA_DURATION, /* the same in milliseconds; written 10s, 250ms, 1h30m, 0.5s.
			    Fractions of a millisecond are cut off */
	SCHEMA_ENUM,     /* integer of 1, 2, 4 or 8 bytes, one of `values` */
	SCHEMA_OBJECT,   /* a struct in place; its fallbacks apply when it is left out */
	SCHEMA_POINTER,  /* a pointer to a struct (`object`); NULL when it is left out */
	SCHEMA_LIST,     /* pointer and unsigned count; elements as `item` says; `min` and `max`
			    bound their number (max 0: no bound) */
	SCHEMA_MAP,      /* the same, with each key as `key` says, which is a scalar */
	SCHEMA_CUSTOM,   /* as `parse` says, from a scalar */
	SCHEMA_ANY,      /* const struct yaml_node *, not looked into; or no place at all */
	SCHEMA_IGNORED,  /* known, without effect here: a warning that names it */
};

struct schema;

struct schema_value { /* of SCHEMA_ENUM; the table ends with a NULL name */
	const char *name;
	int64_t value;
	const char *doc;
};

/*
 * Reads the text of a scalar into `out`. NULL when it is good, else what was expected ("an
 * IPv4 or IPv6 address"), which must outlive the call.
 */
typedef const char *(*schema_parse)(struct arena *arena, const char *text, void *out);

struct schema_field {
	const char *name;     /* NULL ends a table */
	enum schema_type type;
	bool required;        /* must be there and not null */
	size_t offset, size;  /* by SCHEMA_AT or SCHEMA_ARRAY_AT */
	int64_t min, max;
	const char *fallback; /* the default, written as in YAML; NULL: none (zero) */

	const struct schema_value *values;  /* ENUM */
	const struct schema *object;        /* OBJECT, POINTER */
	const struct schema_field *item;    /* LIST, MAP; its offset is within an element */
	const struct schema_field *key;     /* MAP; likewise */
	size_t element_size, count_offset;  /* LIST, MAP; by SCHEMA_ARRAY_AT */
	schema_parse parse;                 /* CUSTOM */

	/* A bool that says whether the field was written (and not null). 0: none. It cannot be
	 * the first member of its struct. */
	size_t present_offset;

	const char *kind;     /* CUSTOM: the type for people, "address" */
	const char *unit;     /* "bytes", "MiB" */
	const char *example;
	const char *doc;      /* a sentence or two of Markdown */
};

struct schema {
	const char *name; /* for people */
	const struct schema_field *fields;
	size_t size;
	/* Where a const struct yaml_node * to the object is kept, plus one; 0: nowhere. */
	size_t node_offset;
	const char *doc;
};

#define SCHEMA_AT(type, member)                                                                    \
	.offset = offsetof(type, member), .size = sizeof(((type *)0)->member)
#define SCHEMA_ARRAY_AT(type, array, count)                                                        \
	.offset = offsetof(type, array), .element_size = sizeof(*((type *)0)->array),              \
	.count_offset = offsetof(type, count)
#define SCHEMA_STRUCT(type) .size = sizeof(type)
#define SCHEMA_NODE_AT(type, member) .node_offset = offsetof(type, member) + 1
#define SCHEMA_PRESENT_AT(type, member) .present_offset = offsetof(type, member)

/* The element of a map of strings, and such a map's key and item. */
struct schema_pair {
	const char *key, *value;
};
extern const struct schema_field schema_pair_key, schema_pair_value;
/* A field initializer: {.name = "labels", SCHEMA_STRING_MAP(struct x, labels, n_labels)} with
 * a `struct schema_pair *labels`. */
#define SCHEMA_STRING_MAP(owner, array, count)                                                     \
	.type = SCHEMA_MAP, SCHEMA_ARRAY_AT(owner, array, count), .key = &schema_pair_key,         \
	.item = &schema_pair_value
/* A list of strings: {.name = "hosts", SCHEMA_STRING_LIST(struct x, hosts, n_hosts)} with a
 * `const char **hosts`. */
extern const struct schema_field schema_string_item; /* not empty */
#define SCHEMA_STRING_LIST(owner, array, count)                                                    \
	.type = SCHEMA_LIST, SCHEMA_ARRAY_AT(owner, array, count), .item = &schema_string_item

enum schema_flags {
	/* What protobuf's JSON reader takes besides: snake_case for lowerCamelCase in field
	 * names, and integers in quotes. For Istio's resources. */
	SCHEMA_PROTOJSON = 1,
};

/*
 * Binds a document (or a part of one) to a struct of schema->size bytes, which is set
 * wholly: zero, fallbacks, then what was written. `path` is what messages put before field
 * names ("spec"; "" at the top of a document). Pointers in the struct lead into the arena and
 * the node. False when an error was reported; the struct is then safe to read but incomplete.
 */
bool schema_bind(const struct schema *schema, const struct yaml_node *node, const char *path,
		 unsigned int flags, struct arena *arena, struct diagnostics *diagnostics,
		 void *out);

/* "10s" to 10,000. False: not a duration, negative, or over INT64_MAX milliseconds. */
bool schema_duration(const char *text, int64_t *milliseconds);

/*
 * The Markdown field table of a schema and of the objects within it, each under a heading
 * with its path. Written to `out` by pieces.
 */
void schema_document(const struct schema *schema, void (*write)(void *ctx, const char *text),
		     void *ctx);

#endif
