/* SPDX-License-Identifier: Apache-2.0 */
#include "control/schema.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/schema_scalar.h"

#define MAX_PATH 256
#define MAX_FIELDS 64 /* of one schema: the bits of `seen` */

struct binder {
	unsigned int flags;
	struct arena *arena;
	struct diagnostics *diagnostics;
	bool failed;
	char path[MAX_PATH]; /* of the value at hand, for messages; cut when too long */
	size_t path_len;
};

static bool bind_value(struct binder *binder, const struct schema_field *field,
		       const struct yaml_node *node, void *base);

/* --- messages ------------------------------------------------------------------------------- */

static size_t
enter(struct binder *binder, const char *format, const char *name, unsigned int index)
{
	size_t before = binder->path_len, room = MAX_PATH - before;
	int len = name ? snprintf(binder->path + before, room, format, name)
		       : snprintf(binder->path + before, room, "[%u]", index);

	binder->path_len += (size_t)len < room ? (size_t)len : room - 1;
	return before;
}

static size_t
enter_field(struct binder *binder, const char *name)
{
	return enter(binder, binder->path_len ? ".%.200s" : "%.200s", name, 0);
}

static void
leave(struct binder *binder, size_t before)
{
	binder->path_len = before;
	binder->path[before] = '\0';
}

static const char *
path_or(const struct binder *binder, const char *otherwise)
{
	return binder->path_len ? binder->path : otherwise;
}

/* What was found, for people: a scalar's text, or the kind of a collection. */
static void
found(const struct yaml_node *node, char text[128])
{
	if (node->text == NULL || node->kind == YAML_NULL)
		snprintf(text, 128, "%s", yaml_kind_name(node->kind));
	else
		snprintf(text, 128, "\"%.64s\"%s", node->text, node->len > 64 ? "..." : "");
}

static bool
refuse(struct binder *binder, const struct schema_field *field, const struct yaml_node *node,
       const char *wanted)
{
	char expected[SCHEMA_EXPECTED], was[128];
	/* A plain 1 or yes where a string belongs is no string to Kubernetes either. */
	bool unquoted = field->type == SCHEMA_STRING && node->text != NULL &&
			node->kind != YAML_STRING && node->kind != YAML_NULL;

	binder->failed = true;
	found(node, was);
	diagnostics_error(binder->diagnostics, node->place, "%s is %s, expected %s%s",
			  path_or(binder, "the document"), was,
			  wanted ? wanted : schema_expected(field, expected),
			  unquoted ? " (in quotes)" : "");
	return false;
}

static size_t
distance(const char *a, const char *b)
{
	size_t row[64], la = strlen(a), lb = strlen(b);

	if (la >= 64 || lb >= 64)
		return 64;
	for (size_t j = 0; j <= lb; j++)
		row[j] = j;
	for (size_t i = 1; i <= la; i++) {
		size_t diagonal = row[0];

		row[0] = i;
		for (size_t j = 1; j <= lb; j++) {
			size_t best = diagonal + (a[i - 1] != b[j - 1]);

			diagonal = row[j];
			if (row[j] + 1 < best)
				best = row[j] + 1;
			if (row[j - 1] + 1 < best)
				best = row[j - 1] + 1;
			row[j] = best;
		}
	}
	return row[lb];
}

static const char *
nearest(const struct schema *schema, const char *name)
{
	size_t best = strlen(name) > 4 ? 3 : 2; /* exclusive */
	const char *found_name = NULL;

	for (const struct schema_field *field = schema->fields; field->name != NULL; field++) {
		size_t steps = distance(name, field->name);

		if (steps < best) {
			best = steps;
			found_name = field->name;
		}
	}
	return found_name;
}

static void
unknown_field(struct binder *binder, const struct schema *schema, const struct yaml_node *key)
{
	const char *meant = nearest(schema, key->text);
	char list[SCHEMA_EXPECTED] = "one of ";
	size_t len = strlen(list);

	binder->failed = true;
	for (const struct schema_field *field = schema->fields; field->name != NULL; field++) {
		if (len < sizeof(list))
			len += (size_t)snprintf(list + len, sizeof(list) - len, "%s%s",
						field == schema->fields ? "" : ", ", field->name);
	}
	if (meant != NULL)
		snprintf(list, sizeof(list), "%s", meant);
	diagnostics_error(binder->diagnostics, key->place,
			  "unknown field \"%.64s\"%s%s, expected %s", key->text,
			  binder->path_len ? " in " : "", binder->path, list);
}

/* --- objects -------------------------------------------------------------------------------- */

/* lowerCamelCase as protobuf names it: portLevelMtls, port_level_mtls. */
static bool
is_snake_case_of(const char *snake, const char *camel)
{
	for (; *camel != '\0'; camel++) {
		if (*camel >= 'A' && *camel <= 'Z') {
			if (*snake++ != '_' || *snake++ != *camel - 'A' + 'a')
				return false;
		} else if (*snake++ != *camel) {
			return false;
		}
	}
	return *snake == '\0';
}

static const struct schema_field *
find_field(const struct binder *binder, const struct schema *schema, const char *name)
{
	for (const struct schema_field *field = schema->fields; field->name != NULL; field++) {
		if (strcmp(field->name, name) == 0 ||
		    ((binder->flags & SCHEMA_PROTOJSON) && is_snake_case_of(name, field->name)))
			return field;
	}
	return NULL;
}

static void bind_object(struct binder *binder, const struct schema *schema,
			const struct yaml_node *node, struct diagnostics_place place, bool quiet,
			void *out);

static void
set_fallbacks(struct binder *binder, const struct schema *schema, void *out)
{
	for (const struct schema_field *field = schema->fields; field->name != NULL; field++)
		schema_fallback(field, binder->arena, (char *)out + field->offset);
}

static bool
is_absent(const struct yaml_node *node)
{
	return node->kind == YAML_NULL || node->kind == YAML_REFUSED;
}

/* What a value leaves behind that was not written, besides its fallback. */
static void
bind_absent(struct binder *binder, const struct schema_field *field, struct diagnostics_place place,
	    bool quiet, void *base)
{
	void *out = (char *)base + field->offset;

	if (field->type == SCHEMA_OBJECT)
		bind_object(binder, field->object, NULL, place, quiet, out);
}

/* Binds what was written; the bits of fields that were. */
static uint64_t
bind_written(struct binder *binder, const struct schema *schema, const struct yaml_node *node,
	     void *out)
{
	uint64_t seen = 0, there = 0;

	for (unsigned int i = 0; i < node->n; i++) {
		const struct yaml_node *key = node->keys[i], *value = node->values[i];
		const struct schema_field *field = find_field(binder, schema, key->text);
		size_t before;
		uint64_t bit;

		if (field == NULL) {
			unknown_field(binder, schema, key);
			continue;
		}
		bit = UINT64_C(1) << (field - schema->fields);
		before = enter_field(binder, field->name);
		if (seen & bit) { /* under its other name */
			binder->failed = true;
			diagnostics_error(binder->diagnostics, key->place,
					  "%s is there twice, expected it once", binder->path);
		} else if (!is_absent(value)) {
			bind_value(binder, field, value, out);
			there |= bit;
			if (field->present_offset != 0)
				*((bool *)((char *)out + field->present_offset)) = true;
		} else if (value->kind == YAML_REFUSED) {
			binder->failed = true;
			bind_absent(binder, field, value->place, true, out);
			there |= bit; /* not to be missed as well */
		}
		seen |= bit;
		leave(binder, before);
	}
	return there;
}

/* What must be there, and objects in place that were left out. */
static void
bind_left_out(struct binder *binder, const struct schema *schema, const struct yaml_node *node,
	      struct diagnostics_place place, uint64_t there, bool quiet, void *out)
{
	for (const struct schema_field *field = schema->fields; field->name != NULL; field++) {
		uint64_t bit = UINT64_C(1) << (field - schema->fields);
		const struct yaml_node *value = yaml_get(node, field->name);
		char expected[SCHEMA_EXPECTED];
		size_t before = enter_field(binder, field->name);

		if (field->required && !(there & bit) && !quiet) {
			binder->failed = true;
			diagnostics_error(binder->diagnostics, value ? value->place : place,
					  "%s is missing, expected %s", binder->path,
					  schema_expected(field, expected));
		}
		if (!(there & bit))
			bind_absent(binder, field, place, quiet || field->required, out);
		leave(binder, before);
	}
}

/*
 * `node` is a mapping or NULL (nothing was written); `place` is for what is missing.
 * `quiet`: nothing is missed, since an error was reported already.
 */
static void
bind_object(struct binder *binder, const struct schema *schema, const struct yaml_node *node,
	    struct diagnostics_place place, bool quiet, void *out)
{
	uint64_t there = 0;

	memset(out, 0, schema->size);
	if (schema->node_offset != 0)
		*(const struct yaml_node **)((char *)out + schema->node_offset - 1) = node;
	set_fallbacks(binder, schema, out);
	if (node != NULL)
		there = bind_written(binder, schema, node, out);
	bind_left_out(binder, schema, node, place, there, quiet, out);
}

static bool
bind_struct(struct binder *binder, const struct schema_field *field, const struct yaml_node *node,
	    void *out)
{
	bool good = node->kind == YAML_MAP;

	if (!good)
		refuse(binder, field, node, NULL);
	if (field->type == SCHEMA_POINTER) {
		void *object = arena_alloc(binder->arena, field->object->size);

		*(void **)out = object;
		out = object;
	}
	bind_object(binder, field->object, good ? node : NULL, node->place, !good, out);
	return good;
}

/* --- collections ---------------------------------------------------------------------------- */

static bool
check_count(struct binder *binder, const struct schema_field *field, const struct yaml_node *node)
{
	const char *what = field->type == SCHEMA_LIST ? "element" : "entr";
	const char *one = field->type == SCHEMA_LIST ? "" : "y";
	const char *many = field->type == SCHEMA_LIST ? "s" : "ies";

	if ((int64_t)node->n < field->min)
		diagnostics_error(binder->diagnostics, node->place,
				  "%s has %u %s%s, expected at least %" PRId64, binder->path,
				  node->n, what, node->n == 1 ? one : many, field->min);
	else if (field->max > 0 && (int64_t)node->n > field->max)
		diagnostics_error(binder->diagnostics, node->place,
				  "%s has %u %s%s, expected at most %" PRId64, binder->path,
				  node->n, what, node->n == 1 ? one : many, field->max);
	else
		return true;
	binder->failed = true;
	return false;
}

/* A key is a string in JSON, whatever it looks like; one that is a number has one form only,
 * or two of them could be equal. */
static bool
bind_key(struct binder *binder, const struct schema_field *field, const struct yaml_node *key,
	 void *element)
{
	struct yaml_node copy = *key;
	const char *wanted;
	char decimal[24];
	int64_t value;
	bool good;

	copy.kind = YAML_STRING;
	if (field->type == SCHEMA_INT && yaml_to_int(key->text, &value)) {
		snprintf(decimal, sizeof(decimal), "%" PRId64, value);
		if (strcmp(decimal, key->text) == 0)
			copy.kind = YAML_INT;
	}
	good = schema_scalar(field, &copy, field->type == SCHEMA_INT ? 0 : binder->flags,
			     binder->arena, (char *)element + field->offset, &wanted);
	return good || refuse(binder, field, key, wanted);
}

static bool
bind_element(struct binder *binder, const struct schema_field *field, const struct yaml_node *node,
	     unsigned int i, char *element)
{
	const struct yaml_node *value = node->values[i];
	size_t before = field->key ? enter_field(binder, node->keys[i]->text)
				   : enter(binder, NULL, NULL, i);
	bool good = true;

	/* The element first: binding an object sets all of it, the key within included. */
	if (value->kind == YAML_REFUSED) {
		binder->failed = true;
		bind_absent(binder, field->item, value->place, true, element);
	} else if (value->kind != YAML_NULL || field->item->type == SCHEMA_ANY) {
		good = bind_value(binder, field->item, value, element);
	} else if (field->key == NULL) {
		good = refuse(binder, field->item, value, NULL);
		bind_absent(binder, field->item, value->place, true, element);
	} else if (field->item->type == SCHEMA_STRING) {
		*(const char **)(element + field->item->offset) = "";
	} else {
		bind_absent(binder, field->item, value->place, false, element);
	}
	if (field->key != NULL)
		good = bind_key(binder, field->key, node->keys[i], element) && good;
	leave(binder, before);
	return good;
}

static bool
bind_collection(struct binder *binder, const struct schema_field *field,
		const struct yaml_node *node, void *base)
{
	enum yaml_kind kind = field->type == SCHEMA_LIST ? YAML_LIST : YAML_MAP;
	unsigned int n = node->n;
	char *elements;
	bool good;

	if (node->kind != kind)
		return refuse(binder, field, node, NULL);
	good = check_count(binder, field, node);
	if (field->max > 0 && n > field->max)
		n = (unsigned int)field->max; /* so that the bound can be relied on */
	elements = arena_array(binder->arena, n ? n : 1, field->element_size);
	for (unsigned int i = 0; i < n; i++)
		good = bind_element(binder, field, node, i, elements + i * field->element_size) &&
		       good;
	*(void **)((char *)base + field->offset) = elements;
	*(unsigned int *)((char *)base + field->count_offset) = n;
	return good;
}

/* --- values --------------------------------------------------------------------------------- */

static bool
bind_value(struct binder *binder, const struct schema_field *field, const struct yaml_node *node,
	   void *base)
{
	void *out = (char *)base + field->offset;
	const char *wanted;

	switch (field->type) {
	case SCHEMA_OBJECT:
	case SCHEMA_POINTER:
		return bind_struct(binder, field, node, out);
	case SCHEMA_LIST:
	case SCHEMA_MAP:
		return bind_collection(binder, field, node, base);
	case SCHEMA_ANY:
		if (field->size != 0)
			*(const struct yaml_node **)out = node;
		return true;
	case SCHEMA_IGNORED:
		diagnostics_warning(binder->diagnostics, node->place,
				    "%s is not acted on by this version%s%s", binder->path,
				    field->doc ? ": " : "", field->doc ? field->doc : "");
		return true;
	default:
		return schema_scalar(field, node, binder->flags, binder->arena, out, &wanted) ||
		       refuse(binder, field, node, wanted);
	}
}

bool
schema_bind(const struct schema *schema, const struct yaml_node *node, const char *path,
	    unsigned int flags, struct arena *arena, struct diagnostics *diagnostics, void *out)
{
	static const struct schema_field whole = {.type = SCHEMA_OBJECT};
	struct binder binder = {.flags = flags, .arena = arena, .diagnostics = diagnostics};
	bool good = node->kind == YAML_MAP;

	enter(&binder, "%.200s", path, 0);
	if (!good && node->kind != YAML_REFUSED)
		refuse(&binder, &whole, node, NULL);
	bind_object(&binder, schema, good ? node : NULL, node->place, !good, out);
	return good && !binder.failed;
}
