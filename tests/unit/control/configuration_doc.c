/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Compares docs/configuration.md with what it documents: its field tables with the schema, its
 * example with the file in examples/. With --write, brings it up to date instead.
 *
 *     configuration_doc [--write] docs/configuration.md examples/portcullis.yaml
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/config.h"

struct text {
	char *bytes;
	size_t len;
};

static void
add(void *ctx, const char *piece)
{
	struct text *text = ctx;
	size_t len = strlen(piece);

	text->bytes = realloc(text->bytes, text->len + len + 1);
	if (text->bytes == NULL)
		abort();
	memcpy(text->bytes + text->len, piece, len + 1);
	text->len += len;
}

static bool
read_whole(const char *path, struct text *text)
{
	FILE *file = fopen(path, "r");
	char piece[4096];
	size_t got;

	if (file == NULL) {
		perror(path);
		return false;
	}
	add(text, "");
	while ((got = fread(piece, 1, sizeof(piece) - 1, file)) > 0) {
		piece[got] = '\0';
		add(text, piece);
	}
	fclose(file);
	return true;
}

/* Every field tells what it means, and every value what it looks like. */
static unsigned int
count_undocumented(const struct schema *schema, const char *where)
{
	unsigned int missing = 0;

	for (const struct schema_field *field = schema->fields; field->name != NULL; field++) {
		const struct schema_field *value = field->item ? field->item : field;
		bool number = field->type == SCHEMA_INT;
		char inner[256];

		snprintf(inner, sizeof(inner), "%.120s.%.120s", where, field->name);
		if (value->object != NULL)
			missing += count_undocumented(value->object, inner);
		if (field->doc == NULL || (value->object == NULL && field->example == NULL) ||
		    (number && field->unit == NULL)) {
			fprintf(stderr, "%s: no description, example or unit\n", inner);
			missing++;
		}
	}
	return missing;
}

/* Between the lines <!-- NAME: begin --> and <!-- NAME: end -->. */
static bool
section(const struct text *text, const char *name, size_t *from, size_t *to)
{
	char begin[64], end[64];
	const char *first, *last;

	snprintf(begin, sizeof(begin), "<!-- %s: begin -->\n", name);
	snprintf(end, sizeof(end), "<!-- %s: end -->\n", name);
	first = strstr(text->bytes, begin);
	last = first ? strstr(first, end) : NULL;
	if (last == NULL) {
		fprintf(stderr, "no section between %.*s and %.*s\n", (int)strlen(begin) - 1, begin,
			(int)strlen(end) - 1, end);
		return false;
	}
	*from = (size_t)(first - text->bytes) + strlen(begin);
	*to = (size_t)(last - text->bytes);
	return true;
}

static unsigned int
line_of(const char *text, size_t at)
{
	unsigned int line = 1;

	for (size_t i = 0; i < at; i++)
		line += text[i] == '\n';
	return line;
}

/* False: the section differs, which was reported. */
static bool
compare(const char *path, const struct text *doc, const char *name, const struct text *wanted)
{
	size_t from, to, same = 0;

	if (!section(doc, name, &from, &to))
		return false;
	while (from + same < to && same < wanted->len &&
	       doc->bytes[from + same] == wanted->bytes[same])
		same++;
	if (from + same == to && same == wanted->len)
		return true;
	fprintf(stderr,
		"%s:%u: section \"%s\" is not up to date (run configuration_doc --write); "
		"expected from here:\n%.*s\n",
		path, line_of(doc->bytes, from + same), name,
		(int)strcspn(wanted->bytes + same, "\n"), wanted->bytes + same);
	return false;
}

static bool
replace(struct text *doc, const char *name, const struct text *wanted)
{
	struct text result = {0};
	size_t from, to;
	char saved;

	if (!section(doc, name, &from, &to))
		return false;
	saved = doc->bytes[from];
	doc->bytes[from] = '\0';
	add(&result, doc->bytes);
	doc->bytes[from] = saved;
	add(&result, wanted->bytes);
	add(&result, doc->bytes + to);
	free(doc->bytes);
	*doc = result;
	return true;
}

static bool
write_whole(const char *path, const struct text *text)
{
	FILE *file = fopen(path, "w");
	bool good = file != NULL && fwrite(text->bytes, 1, text->len, file) == text->len;

	if (file != NULL)
		good = fclose(file) == 0 && good;
	if (!good)
		perror(path);
	return good;
}

int
main(int argc, char **argv)
{
	bool write = argc == 4 && strcmp(argv[1], "--write") == 0;
	struct text doc = {0}, example_file = {0}, fields = {0}, example = {0};
	const char *path;
	bool good;

	if (argc != 3 + write) {
		fprintf(stderr, "usage: %s [--write] DOCUMENT EXAMPLE\n", argv[0]);
		return 2;
	}
	path = argv[1 + write];
	good = read_whole(path, &doc) && read_whole(argv[2 + write], &example_file);
	if (good) {
		add(&fields, "\n");
		schema_document(&config_schema, add, &fields);
		add(&example, "```yaml\n");
		add(&example, example_file.bytes);
		add(&example, "```\n");
		if (write) {
			good = replace(&doc, "fields", &fields) &&
			       replace(&doc, "example", &example) && write_whole(path, &doc);
		} else {
			good = compare(path, &doc, "fields", &fields);
			good = compare(path, &doc, "example", &example) && good;
		}
		good = count_undocumented(&config_schema, "") == 0 && good;
	}
	free(doc.bytes);
	free(example_file.bytes);
	free(fields.bytes);
	free(example.bytes);
	return good ? 0 : 1;
}
