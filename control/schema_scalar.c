/* SPDX-License-Identifier: Apache-2.0 */
#include "control/schema_scalar.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const struct schema_field schema_string_item = {.type = SCHEMA_STRING, .min = 1};
const struct schema_field schema_pair_key = {.type = SCHEMA_STRING,
					     SCHEMA_AT(struct schema_pair, key)};
const struct schema_field schema_pair_value = {.type = SCHEMA_STRING,
					       SCHEMA_AT(struct schema_pair, value)};

/* --- durations ------------------------------------------------------------------------------ */

static const struct {
	const char *name;
	int64_t nanoseconds;
} units[] = {
	{"ns", 1},
	{"us", 1000},
	{"\xc2\xb5s", 1000}, /* U+00B5 s */
	{"ms", 1000000},
	{"s", 1000000000},
	{"m", INT64_C(60) * 1000000000},
	{"h", INT64_C(3600) * 1000000000},
};

/* The unit at `text`: letters up to the next digit or the end. */
static bool
take_unit(const char **text, int64_t *nanoseconds)
{
	size_t len = strcspn(*text, "0123456789.");

	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		if (strlen(units[i].name) == len && memcmp(units[i].name, *text, len) == 0) {
			*nanoseconds = units[i].nanoseconds;
			*text += len;
			return true;
		}
	}
	return false;
}

/* One number with its unit, as "1.5h", added to *total. */
static bool
take_part(const char **text, int64_t *total)
{
	int64_t whole = 0, fraction = 0, scale = 1, unit, part;
	bool any = false;

	for (; **text >= '0' && **text <= '9'; (*text)++, any = true) {
		if (__builtin_mul_overflow(whole, INT64_C(10), &whole) ||
		    __builtin_add_overflow(whole, **text - '0', &whole))
			return false;
	}
	if (**text == '.') {
		for ((*text)++; **text >= '0' && **text <= '9'; (*text)++, any = true) {
			if (scale == 1000000) /* digits beyond this one are nothing */
				continue;
			fraction = fraction * 10 + (**text - '0');
			scale *= 10;
		}
	}
	if (!any || !take_unit(text, &unit))
		return false;
	if (__builtin_mul_overflow(whole, unit, &part) ||
	    __builtin_add_overflow(
		    part, fraction * (unit / scale) + fraction * (unit % scale) / scale, &part))
		return false;
	return !__builtin_add_overflow(*total, part, total);
}

bool
schema_duration(const char *text, int64_t *milliseconds)
{
	int64_t total = 0;

	if (strcmp(text, "0") == 0) {
		*milliseconds = 0;
		return true;
	}
	do {
		if (!take_part(&text, &total))
			return false;
	} while (*text != '\0');
	*milliseconds = total / 1000000;
	return true;
}

const char *
schema_duration_format(int64_t milliseconds, char text[32])
{
	if (milliseconds == 0)
		snprintf(text, 32, "0s");
	else if (milliseconds % 3600000 == 0)
		snprintf(text, 32, "%" PRId64 "h", milliseconds / 3600000);
	else if (milliseconds % 60000 == 0)
		snprintf(text, 32, "%" PRId64 "m", milliseconds / 60000);
	else if (milliseconds % 1000 == 0)
		snprintf(text, 32, "%" PRId64 "s", milliseconds / 1000);
	else
		snprintf(text, 32, "%" PRId64 "ms", milliseconds);
	return text;
}

/* --- storing -------------------------------------------------------------------------------- */

static void
store_int(const struct schema_field *field, int64_t value, void *out)
{
	switch (field->size) {
	case 1:
		*(uint8_t *)out = (uint8_t)value;
		break;
	case 2:
		*(uint16_t *)out = (uint16_t)value;
		break;
	case 4:
		*(uint32_t *)out = (uint32_t)value;
		break;
	case 8:
		*(uint64_t *)out = (uint64_t)value;
		break;
	default:
		abort(); /* a schema without SCHEMA_AT */
	}
}

static bool
scalar_string(const struct schema_field *field, const struct yaml_node *node, void *out)
{
	if (node->kind != YAML_STRING || (int64_t)node->len < field->min ||
	    (field->max > 0 && (int64_t)node->len > field->max))
		return false;
	*(const char **)out = node->text;
	return true;
}

static bool
scalar_bool(const struct yaml_node *node, void *out)
{
	return node->kind == YAML_BOOL && yaml_to_bool(node->text, out);
}

static bool
scalar_int(const struct schema_field *field, const struct yaml_node *node, unsigned int flags,
	   void *out)
{
	bool quoted = node->kind == YAML_STRING && (flags & SCHEMA_PROTOJSON);
	int64_t value;

	if ((node->kind != YAML_INT && !quoted) || !yaml_to_int(node->text, &value) ||
	    value < field->min || value > field->max)
		return false;
	store_int(field, value, out);
	return true;
}

static bool
scalar_duration(const struct schema_field *field, const struct yaml_node *node, void *out)
{
	int64_t value;

	if (node->text == NULL || !schema_duration(node->text, &value) || value < field->min ||
	    value > field->max)
		return false;
	store_int(field, value, out);
	return true;
}

static bool
scalar_enum(const struct schema_field *field, const struct yaml_node *node, void *out)
{
	for (const struct schema_value *value = field->values; value->name != NULL; value++) {
		if (yaml_is(node, value->name)) {
			store_int(field, value->value, out);
			return true;
		}
	}
	return false;
}

bool
schema_scalar(const struct schema_field *field, const struct yaml_node *node, unsigned int flags,
	      struct arena *arena, void *out, const char **wanted)
{
	*wanted = NULL;
	if (node->text == NULL) /* a list or a mapping */
		return false;
	switch (field->type) {
	case SCHEMA_STRING:
		return scalar_string(field, node, out);
	case SCHEMA_BOOL:
		return scalar_bool(node, out);
	case SCHEMA_INT:
		return scalar_int(field, node, flags, out);
	case SCHEMA_DURATION:
		return scalar_duration(field, node, out);
	case SCHEMA_ENUM:
		return scalar_enum(field, node, out);
	case SCHEMA_CUSTOM:
		*wanted = field->parse(arena, node->text, out);
		return *wanted == NULL;
	default:
		return false;
	}
}

void
schema_fallback(const struct schema_field *field, struct arena *arena, void *out)
{
	bool resolved = field->type == SCHEMA_INT || field->type == SCHEMA_BOOL;
	struct yaml_node node = {.kind = YAML_STRING, .text = field->fallback};
	const char *wanted;

	if (field->fallback == NULL)
		return;
	node.len = strlen(field->fallback);
	if (resolved)
		node.kind = yaml_scalar_kind(node.text, node.len);
	if (!schema_scalar(field, &node, 0, arena, out, &wanted))
		abort();
}

/* --- descriptions --------------------------------------------------------------------------- */

static void
expected_range(const struct schema_field *field, char *text)
{
	const char *space = field->unit ? " " : "", *unit = field->unit ? field->unit : "";

	if (field->max == INT64_MAX || (field->max == UINT32_MAX && field->min == 0))
		snprintf(text, SCHEMA_EXPECTED, "an integer from %" PRId64 "%s%s", field->min,
			 space, unit);
	else
		snprintf(text, SCHEMA_EXPECTED, "an integer from %" PRId64 " to %" PRId64 "%s%s",
			 field->min, field->max, space, unit);
}

static void
expected_duration(const struct schema_field *field, char *text)
{
	char min[32], max[32];

	snprintf(text, SCHEMA_EXPECTED, "a duration from %s to %s, such as %s",
		 schema_duration_format(field->min, min), schema_duration_format(field->max, max),
		 field->example ? field->example : "10s or 250ms");
}

static void
expected_string(const struct schema_field *field, char *text)
{
	if (field->max > 0)
		snprintf(text, SCHEMA_EXPECTED, "a string of %" PRId64 " to %" PRId64 " bytes",
			 field->min, field->max);
	else
		snprintf(text, SCHEMA_EXPECTED, "%s",
			 field->min > 0 ? "a string that is not empty" : "a string");
}

static void
expected_enum(const struct schema_field *field, char *text)
{
	size_t len = (size_t)snprintf(text, SCHEMA_EXPECTED, "one of ");

	for (const struct schema_value *value = field->values; value->name != NULL; value++) {
		if (len < SCHEMA_EXPECTED)
			len += (size_t)snprintf(text + len, SCHEMA_EXPECTED - len, "%s%s",
						value == field->values ? "" : ", ", value->name);
	}
}

const char *
schema_expected(const struct schema_field *field, char text[SCHEMA_EXPECTED])
{
	switch (field->type) {
	case SCHEMA_STRING:
		expected_string(field, text);
		break;
	case SCHEMA_BOOL:
		snprintf(text, SCHEMA_EXPECTED, "true or false");
		break;
	case SCHEMA_INT:
		expected_range(field, text);
		break;
	case SCHEMA_DURATION:
		expected_duration(field, text);
		break;
	case SCHEMA_ENUM:
		expected_enum(field, text);
		break;
	case SCHEMA_LIST:
		snprintf(text, SCHEMA_EXPECTED, "a list");
		break;
	case SCHEMA_OBJECT:
	case SCHEMA_POINTER:
	case SCHEMA_MAP:
		snprintf(text, SCHEMA_EXPECTED, "a mapping");
		break;
	case SCHEMA_CUSTOM:
		snprintf(text, SCHEMA_EXPECTED, "%s %s",
			 strchr("aeiouAEI", field->kind[0]) ? "an" : "a", field->kind);
		break;
	case SCHEMA_ANY:
	case SCHEMA_IGNORED:
		snprintf(text, SCHEMA_EXPECTED, "any value");
		break;
	}
	return text;
}
