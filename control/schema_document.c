/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Schemas as Markdown: one table for each object, in the order of the fields.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "control/schema_scalar.h"

#define MAX_LINE 2048
#define MAX_PATH 256

struct writer {
	void (*write)(void *ctx, const char *text);
	void *ctx;
};

static void append(char *text, size_t size, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

static void
append(char *text, size_t size, const char *format, ...)
{
	size_t len = strlen(text);
	va_list args;

	va_start(args, format);
	vsnprintf(text + len, size - len, format, args);
	va_end(args);
}

static const struct schema *
object_of(const struct schema_field *field)
{
	if (field->type == SCHEMA_LIST || field->type == SCHEMA_MAP)
		return object_of(field->item);
	return field->type == SCHEMA_OBJECT || field->type == SCHEMA_POINTER ? field->object : NULL;
}

static void
append_range(char *text, const struct schema_field *field, const char *unit)
{
	if (field->max > 0 && field->min > 0)
		append(text, MAX_LINE, ", %" PRId64 " to %" PRId64 "%s", field->min, field->max,
		       unit);
	else if (field->max > 0)
		append(text, MAX_LINE, ", at most %" PRId64 "%s", field->max, unit);
	else if (field->min > 0)
		append(text, MAX_LINE, ", at least %" PRId64 "%s", field->min, unit);
}

static void
append_enum(char *text, const struct schema_field *field)
{
	for (const struct schema_value *value = field->values; value->name != NULL; value++)
		append(text, MAX_LINE, "%s`%s`", value == field->values ? "" : ", ", value->name);
}

static void
append_type(char *text, const struct schema_field *field)
{
	char min[32], max[32];

	switch (field->type) {
	case SCHEMA_STRING:
		append(text, MAX_LINE, "string");
		if (field->min == 1 && field->max == 0)
			append(text, MAX_LINE, ", not empty");
		else
			append_range(text, field, " bytes");
		break;
	case SCHEMA_BOOL:
		append(text, MAX_LINE, "boolean");
		break;
	case SCHEMA_INT:
		append(text, MAX_LINE, "integer, %" PRId64 " to %" PRId64, field->min, field->max);
		break;
	case SCHEMA_DURATION:
		append(text, MAX_LINE, "duration, %s to %s",
		       schema_duration_format(field->min, min),
		       schema_duration_format(field->max, max));
		break;
	case SCHEMA_ENUM:
		append_enum(text, field);
		break;
	case SCHEMA_OBJECT:
	case SCHEMA_POINTER:
		append(text, MAX_LINE, "object");
		break;
	case SCHEMA_LIST:
		append(text, MAX_LINE, "list (%s", field->item->kind ? field->item->kind : "");
		if (field->item->kind == NULL)
			append_type(text, field->item);
		append(text, MAX_LINE, ")");
		append_range(text, field, " elements");
		break;
	case SCHEMA_MAP:
		append(text, MAX_LINE, "mapping (");
		append_type(text, field->key);
		append(text, MAX_LINE, " to ");
		append_type(text, field->item);
		append(text, MAX_LINE, ")");
		break;
	case SCHEMA_CUSTOM:
		append(text, MAX_LINE, "%s", field->kind);
		break;
	case SCHEMA_ANY:
	case SCHEMA_IGNORED:
		append(text, MAX_LINE, "any");
		break;
	}
}

static void
append_code(char *text, const char *code)
{
	append(text, MAX_LINE, code ? " `%s` |" : "%s |", code ? code : "");
}

static void
append_default(char *text, const struct schema_field *field)
{
	if (field->required)
		append(text, MAX_LINE, " required |");
	else
		append_code(text, field->fallback);
}

static void
append_meaning(char *text, const struct schema_field *field)
{
	append(text, MAX_LINE, " %s", field->doc ? field->doc : "");
	if (field->type == SCHEMA_IGNORED)
		append(text, MAX_LINE, " (Accepted with a warning, and not acted on.)");
	for (const struct schema_value *value = field->values; value != NULL && value->name != NULL;
	     value++) {
		if (value->doc != NULL)
			append(text, MAX_LINE, " `%s`: %s%s", value->name, value->doc,
			       value[1].name ? ";" : ".");
	}
	append(text, MAX_LINE, " |\n");
}

static void
write_row(const struct writer *writer, const struct schema_field *field)
{
	char text[MAX_LINE];

	snprintf(text, sizeof(text), "| `%s` | ", field->name);
	append_type(text, field);
	append(text, sizeof(text), " |");
	append_default(text, field);
	append(text, sizeof(text), "%s%s |", field->unit ? " " : "",
	       field->unit ? field->unit : "");
	append_code(text, field->example);
	append_meaning(text, field);
	writer->write(writer->ctx, text);
}

static void
write_object(const struct writer *writer, const struct schema *schema, const char *path)
{
	char text[MAX_LINE];

	snprintf(text, sizeof(text), "### %s%s%s\n\n%s\n\n", path[0] ? "`" : "",
		 path[0] ? path : schema->name, path[0] ? "`" : "", schema->doc ? schema->doc : "");
	writer->write(writer->ctx, text);
	writer->write(writer->ctx, "| Field | Type | Default | Unit | Example | Meaning |\n"
				   "|---|---|---|---|---|---|\n");
	for (const struct schema_field *field = schema->fields; field->name != NULL; field++)
		write_row(writer, field);
	writer->write(writer->ctx, "\n");
	for (const struct schema_field *field = schema->fields; field->name != NULL; field++) {
		const struct schema *object = object_of(field);
		const char *end = field->type == SCHEMA_LIST  ? "[]"
				  : field->type == SCHEMA_MAP ? "{}"
							      : "";
		char inner[MAX_PATH];

		if (object == NULL)
			continue;
		snprintf(inner, sizeof(inner), "%.150s%s%.80s%s", path, path[0] ? "." : "",
			 field->name, end);
		write_object(writer, object, inner);
	}
}

void
schema_document(const struct schema *schema, void (*write)(void *ctx, const char *text), void *ctx)
{
	struct writer writer = {write, ctx};

	write_object(&writer, schema, "");
}
