/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What plain scalars are, as Kubernetes' reader (go-yaml version 2) resolves them.
 */
#include "control/yaml.h"

#include <string.h>

static bool
one_of(const char *text, size_t len, const char *const *words)
{
	for (; *words != NULL; words++) {
		if (strlen(*words) == len && memcmp(text, *words, len) == 0)
			return true;
	}
	return false;
}

static const char *const nulls[] = {"", "~", "null", "Null", "NULL", NULL};
static const char *const trues[] = {"true", "True", "TRUE", "yes", "Yes", "YES",
				    "on",   "On",   "ON",   "y",   "Y",   NULL};
static const char *const falses[] = {"false", "False", "FALSE", "no", "No", "NO",
				     "off",   "Off",   "OFF",   "n",  "N",  NULL};
static const char *const floats[] = {".inf",  ".Inf",  ".INF", "+.inf", "+.Inf", "+.INF", "-.inf",
				     "-.Inf", "-.INF", ".nan", ".NaN",  ".NAN",  NULL};

static unsigned int
digit(char c)
{
	if (c >= '0' && c <= '9')
		return (unsigned int)(c - '0');
	if (c >= 'a' && c <= 'f')
		return (unsigned int)(c - 'a') + 10;
	if (c >= 'A' && c <= 'F')
		return (unsigned int)(c - 'A') + 10;
	return 99;
}

/* Takes sign and base off; the number of characters that they are. */
static size_t
prefix(const char *text, size_t len, bool *negative, unsigned int *base)
{
	size_t at = len > 0 && (text[0] == '-' || text[0] == '+');
	char mark;

	*negative = at == 1 && text[0] == '-';
	*base = 10;
	if (len < at + 2 || text[at] != '0')
		return at;
	mark = text[at + 1];
	*base = mark == 'x' || mark == 'X' ? 16 : mark == 'b' || mark == 'B' ? 2 : 8;
	return at + (*base != 8 || mark == 'o' || mark == 'O' ? 2 : 1);
}

/* The digits behind the prefix. False: no integer. *fits: the value is in 64 bits. */
static bool
scan_int(const char *text, size_t len, int64_t *value, bool *fits)
{
	unsigned int base;
	bool negative, any = false;
	size_t at = prefix(text, len, &negative, &base);

	*value = 0;
	*fits = true;
	for (; at < len; at++) {
		int64_t d = digit(text[at]);

		if (text[at] == '_' && any)
			continue;
		if (d >= base)
			return false;
		any = true;
		*fits = *fits && !__builtin_mul_overflow(*value, (int64_t)base, value) &&
			!__builtin_add_overflow(*value, negative ? -d : d, value);
	}
	return any;
}

static size_t
skip_digits(const char *text, size_t len, size_t at)
{
	while (at < len && text[at] >= '0' && text[at] <= '9')
		at++;
	return at;
}

/* [-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)? */
static bool
is_float(const char *text, size_t len)
{
	size_t at = len > 0 && (text[0] == '-' || text[0] == '+');
	size_t whole = skip_digits(text, len, at), end = whole;

	if (whole < len && text[whole] == '.')
		end = skip_digits(text, len, whole + 1);
	if (whole == at && end <= whole + 1)
		return false;
	at = end;
	if (at < len && (text[at] == 'e' || text[at] == 'E')) {
		at++;
		at += at < len && (text[at] == '-' || text[at] == '+');
		end = skip_digits(text, len, at);
		if (end == at)
			return false;
	}
	return end == len;
}

enum yaml_kind
yaml_scalar_kind(const char *text, size_t len)
{
	int64_t value;
	bool fits;

	if (one_of(text, len, nulls))
		return YAML_NULL;
	if (one_of(text, len, trues) || one_of(text, len, falses))
		return YAML_BOOL;
	if (scan_int(text, len, &value, &fits))
		return YAML_INT;
	if (one_of(text, len, floats) || is_float(text, len))
		return YAML_FLOAT;
	return YAML_STRING;
}

bool
yaml_to_int(const char *text, int64_t *value)
{
	int64_t scanned;
	bool fits;

	if (!scan_int(text, strlen(text), &scanned, &fits) || !fits)
		return false;
	*value = scanned;
	return true;
}

bool
yaml_to_bool(const char *text, bool *value)
{
	size_t len = strlen(text);

	if (one_of(text, len, trues))
		*value = true;
	else if (one_of(text, len, falses))
		*value = false;
	else
		return false;
	return true;
}

const char *
yaml_kind_name(enum yaml_kind kind)
{
	switch (kind) {
	case YAML_NULL:
		return "nothing";
	case YAML_BOOL:
		return "a boolean";
	case YAML_INT:
		return "an integer";
	case YAML_FLOAT:
		return "a number";
	case YAML_STRING:
		return "a string";
	case YAML_LIST:
		return "a list";
	case YAML_MAP:
		return "a mapping";
	case YAML_REFUSED:
		break;
	}
	return "a bad value";
}
