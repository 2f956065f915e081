/* SPDX-License-Identifier: Apache-2.0 */
#include "control/diagnostics.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct diagnostic {
	char *file, *text;
	unsigned int line, column;
	unsigned int order; /* of arrival */
	bool error;
};

struct diagnostics {
	struct diagnostic *list;
	unsigned int n, room;
	unsigned int errors, warnings, left_out;
};

struct diagnostics *
diagnostics_create(void)
{
	return calloc(1, sizeof(struct diagnostics));
}

void
diagnostics_destroy(struct diagnostics *diagnostics)
{
	if (diagnostics == NULL)
		return;
	for (unsigned int i = 0; i < diagnostics->n; i++) {
		free(diagnostics->list[i].file);
		free(diagnostics->list[i].text);
	}
	free(diagnostics->list);
	free(diagnostics);
}

/* A copy without control characters; what is not ASCII passes (it is checked UTF-8 where it
 * comes from YAML). */
static char *
printable(const char *text)
{
	static const char hex[] = "0123456789abcdef";
	char *copy = malloc(strlen(text) * 4 + 1), *to = copy;

	if (copy == NULL)
		return NULL;
	for (const unsigned char *from = (const unsigned char *)text; *from != '\0'; from++) {
		/* C1 controls are two bytes in UTF-8, 0xc2 0x80 to 0xc2 0x9f. */
		bool c1 = *from == 0xc2 && from[1] >= 0x80 && from[1] < 0xa0;

		if (c1)
			from++;
		if (c1 || *from < 0x20 || *from == 0x7f) {
			*to++ = '\\';
			*to++ = 'x';
			*to++ = hex[*from >> 4];
			*to++ = hex[*from & 15];
		} else {
			*to++ = (char)*from;
		}
	}
	*to = '\0';
	return copy;
}

/* Takes back the bytes of a character that was cut in the middle. */
static void
mend_end(char *text)
{
	size_t len = strlen(text), start = len;

	while (start > 0 && ((unsigned char)text[start - 1] & 0xc0) == 0x80)
		start--;
	if (start > 0 && (unsigned char)text[start - 1] >= 0xc0)
		text[start - 1] = '\0';
}

static bool
make_room(struct diagnostics *diagnostics)
{
	unsigned int room = diagnostics->room ? diagnostics->room * 2 : 16;
	struct diagnostic *list;

	if (diagnostics->n < diagnostics->room)
		return true;
	if (diagnostics->n >= DIAGNOSTICS_MAX)
		return false;
	if (room > DIAGNOSTICS_MAX)
		room = DIAGNOSTICS_MAX;
	list = realloc(diagnostics->list, room * sizeof(*list));
	if (list == NULL)
		return false;
	diagnostics->list = list;
	diagnostics->room = room;
	return true;
}

static void
add(struct diagnostics *diagnostics, bool error, struct diagnostics_place place, const char *format,
    va_list args)
{
	struct diagnostic diagnostic = {.line = place.line, .column = place.column, .error = error};
	char text[DIAGNOSTICS_MAX_TEXT];
	int len;

	if (error)
		diagnostics->errors++;
	else
		diagnostics->warnings++;
	diagnostics->left_out++;
	if (!make_room(diagnostics))
		return;
	len = vsnprintf(text, sizeof(text), format, args);
	if (len >= (int)sizeof(text))
		mend_end(text);
	diagnostic.order = diagnostics->n;
	diagnostic.file = printable(place.file ? place.file : "");
	diagnostic.text = printable(text);
	if (diagnostic.file == NULL || diagnostic.text == NULL) {
		free(diagnostic.file);
		free(diagnostic.text);
		return;
	}
	diagnostics->left_out--;
	diagnostics->list[diagnostics->n++] = diagnostic;
}

void
diagnostics_error(struct diagnostics *diagnostics, struct diagnostics_place place,
		  const char *format, ...)
{
	va_list args;

	va_start(args, format);
	add(diagnostics, true, place, format, args);
	va_end(args);
}

void
diagnostics_warning(struct diagnostics *diagnostics, struct diagnostics_place place,
		    const char *format, ...)
{
	va_list args;

	va_start(args, format);
	add(diagnostics, false, place, format, args);
	va_end(args);
}

unsigned int
diagnostics_errors(const struct diagnostics *diagnostics)
{
	return diagnostics->errors;
}

unsigned int
diagnostics_warnings(const struct diagnostics *diagnostics)
{
	return diagnostics->warnings;
}

static int
by_place(const void *left, const void *right)
{
	const struct diagnostic *a = left, *b = right;
	int files = strcmp(a->file, b->file);

	if (files != 0)
		return files;
	if (a->line != b->line)
		return a->line < b->line ? -1 : 1;
	if (a->column != b->column)
		return a->column < b->column ? -1 : 1;
	return a->order < b->order ? -1 : a->order > b->order;
}

static void
report_one(const struct diagnostic *diagnostic, void (*report)(void *ctx, const char *line),
	   void *ctx)
{
	const char *kind = diagnostic->error ? "error" : "warning";
	size_t len = strlen(diagnostic->file) + strlen(diagnostic->text) + 64;
	char *line = malloc(len);

	if (line == NULL)
		return;
	if (diagnostic->line > 0)
		snprintf(line, len, "%s:%u:%u: %s: %s", diagnostic->file, diagnostic->line,
			 diagnostic->column, kind, diagnostic->text);
	else
		snprintf(line, len, "%s%s%s: %s", diagnostic->file, diagnostic->file[0] ? ": " : "",
			 kind, diagnostic->text);
	report(ctx, line);
	free(line);
}

void
diagnostics_report(struct diagnostics *diagnostics, void (*report)(void *ctx, const char *line),
		   void *ctx)
{
	char line[64];

	if (diagnostics->n > 0)
		qsort(diagnostics->list, diagnostics->n, sizeof(*diagnostics->list), by_place);
	for (unsigned int i = 0; i < diagnostics->n; i++)
		report_one(&diagnostics->list[i], report, ctx);
	if (diagnostics->left_out > 0) {
		snprintf(line, sizeof(line), "... and %u more", diagnostics->left_out);
		report(ctx, line);
	}
}

static int
count(char *text, size_t len, unsigned int n, const char *what)
{
	return n == 0 ? snprintf(text, len, "no %ss", what)
		      : snprintf(text, len, "%u %s%s", n, what, n == 1 ? "" : "s");
}

void
diagnostics_summary(const struct diagnostics *diagnostics, char *text, size_t len)
{
	char errors[32], warnings[32];

	count(errors, sizeof(errors), diagnostics->errors, "error");
	count(warnings, sizeof(warnings), diagnostics->warnings, "warning");
	snprintf(text, len, "%s, %s", errors, warnings);
}
