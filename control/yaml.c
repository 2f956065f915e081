/* SPDX-License-Identifier: Apache-2.0 */
#include "control/yaml.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <yaml.h>

struct reader {
	struct arena *arena;
	struct diagnostics *diagnostics;
	const char *file; /* in the arena */
	const unsigned char *text;
	size_t len;
	yaml_parser_t parser;
	unsigned int depth, nodes;
	bool broken;
	bool anchored; /* an anchor of this document was reported */
	/* Children of the collections that are still open. */
	struct yaml_node **open;
	size_t n_open, room;
};

static struct diagnostics_place
place_of(const struct reader *reader, yaml_mark_t mark)
{
	return (struct diagnostics_place){
		.file = reader->file,
		.line = (unsigned int)mark.line + 1,
		.column = (unsigned int)mark.column + 1,
	};
}

/* --- syntax errors -------------------------------------------------------------------------- */

static bool
is_break(unsigned char c)
{
	return c == '\n' || c == '\r';
}

/* Where line `line` (from 0) begins. */
static size_t
line_start(const struct reader *reader, size_t line)
{
	size_t at = 0;

	for (; line > 0 && at < reader->len; line--) {
		while (at < reader->len && !is_break(reader->text[at]))
			at++;
		if (at + 1 < reader->len && reader->text[at] == '\r' &&
		    reader->text[at + 1] == '\n')
			at++;
		at += at < reader->len;
	}
	return at;
}

/* libyaml describes a tab in the indentation by what it makes of it, which nobody can see. */
static bool
report_tab(struct reader *reader, size_t line)
{
	size_t start = line_start(reader, line), at = start;

	while (at < reader->len && reader->text[at] == ' ')
		at++;
	if (at >= reader->len || reader->text[at] != '\t')
		return false;
	diagnostics_error(reader->diagnostics,
			  (struct diagnostics_place){reader->file, (unsigned int)line + 1,
						     (unsigned int)(at - start) + 1},
			  "tab in the indentation, expected spaces");
	return true;
}

/* The line and column of a byte. */
static struct diagnostics_place
place_at(const struct reader *reader, size_t offset)
{
	struct diagnostics_place place = {.file = reader->file, .line = 1, .column = 1};

	for (size_t at = 0; at < offset && at < reader->len; at++) {
		unsigned char c = reader->text[at];

		if (c == '\n' ||
		    (c == '\r' && (at + 1 == reader->len || reader->text[at + 1] != '\n'))) {
			place.line++;
			place.column = 1;
		} else if ((c & 0xc0) != 0x80) {
			place.column++;
		}
	}
	return place;
}

static void
report_bytes(struct reader *reader)
{
	struct diagnostics_place place = place_at(reader, reader->parser.problem_offset);
	const char *problem = reader->parser.problem;

	if (problem != NULL && strncmp(problem, "control", 7) == 0)
		diagnostics_error(reader->diagnostics, place,
				  "control character 0x%02x, expected text",
				  (unsigned int)reader->parser.problem_value);
	else
		diagnostics_error(reader->diagnostics, place,
				  "not UTF-8 (%s), expected text in UTF-8",
				  problem ? problem : "bad byte");
}

static void
report_syntax(struct reader *reader)
{
	const yaml_parser_t *parser = &reader->parser;

	reader->broken = true;
	if (parser->error == YAML_READER_ERROR) {
		report_bytes(reader);
		return;
	}
	if (parser->error == YAML_MEMORY_ERROR) {
		diagnostics_error(reader->diagnostics,
				  (struct diagnostics_place){reader->file, 0, 0},
				  "no memory to read it");
		return;
	}
	if (report_tab(reader, parser->problem_mark.line))
		return;
	diagnostics_error(reader->diagnostics, place_of(reader, parser->problem_mark),
			  "%s%s%s, expected YAML", parser->problem ? parser->problem : "bad syntax",
			  parser->context ? " " : "", parser->context ? parser->context : "");
}

static bool
next_event(struct reader *reader, yaml_event_t *event)
{
	if (yaml_parser_parse(&reader->parser, event))
		return true;
	report_syntax(reader);
	return false;
}

/* --- nodes ---------------------------------------------------------------------------------- */

static struct yaml_node *read_node(struct reader *reader, yaml_event_t *event);

static struct yaml_node *
new_node(struct reader *reader, enum yaml_kind kind, yaml_mark_t mark)
{
	struct yaml_node *node;

	if (++reader->nodes > YAML_MAX_NODES) {
		diagnostics_error(reader->diagnostics, place_of(reader, mark),
				  "too many values, expected at most %u in a file", YAML_MAX_NODES);
		reader->broken = true;
		return NULL;
	}
	node = arena_alloc(reader->arena, sizeof(*node));
	node->kind = kind;
	node->place = place_of(reader, mark);
	return node;
}

/* Errors that concern one value: it is refused, and reading goes on behind it. */
static void
refuse(struct reader *reader, struct yaml_node *node)
{
	node->kind = YAML_REFUSED;
	node->text = "";
	node->len = 0;
	node->n = 0;
	reader->broken = true;
}

static void
check_anchor(struct reader *reader, const yaml_char_t *anchor, yaml_mark_t mark)
{
	if (anchor == NULL)
		return;
	diagnostics_error(
		reader->diagnostics, place_of(reader, mark),
		"anchor \"&%.64s\", expected values written out (anchors and aliases are not "
		"supported)",
		(const char *)anchor);
	reader->anchored = true;
	reader->broken = true;
}

/* False: an unknown tag was reported. *is_text: a tag says that it is a string. */
static bool
check_tag(struct reader *reader, const yaml_char_t *tag, yaml_mark_t mark, bool *is_text)
{
	static const char core[] = "tag:yaml.org,2002:";
	static const char *const known[] = {"str", "int", "bool", "float", "null", "map", "seq"};
	const char *text = (const char *)tag;

	*is_text = false;
	if (text == NULL)
		return true;
	if (strcmp(text, "!") == 0)
		return *is_text = true;
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		if (strncmp(text, core, sizeof(core) - 1) == 0 &&
		    strcmp(text + sizeof(core) - 1, known[i]) == 0) {
			*is_text = i == 0;
			return true;
		}
	}
	diagnostics_error(reader->diagnostics, place_of(reader, mark),
			  "tag \"%.64s\", expected none, or one of YAML's own such as !!str", text);
	return false;
}

static struct yaml_node *
read_scalar(struct reader *reader, const yaml_event_t *event)
{
	const char *text = (const char *)event->data.scalar.value;
	size_t len = event->data.scalar.length;
	struct yaml_node *node = new_node(reader, YAML_STRING, event->start_mark);
	bool is_text;

	if (node == NULL)
		return NULL;
	check_anchor(reader, event->data.scalar.anchor, event->start_mark);
	if (!check_tag(reader, event->data.scalar.tag, event->start_mark, &is_text)) {
		refuse(reader, node);
	} else if (len > YAML_MAX_SCALAR) {
		diagnostics_error(reader->diagnostics, node->place,
				  "value of %zu bytes, expected at most %u", len, YAML_MAX_SCALAR);
		refuse(reader, node);
	} else if (memchr(text, '\0', len) != NULL) {
		diagnostics_error(reader->diagnostics, node->place,
				  "NUL within a string, expected text");
		refuse(reader, node);
	} else {
		node->quoted = is_text || event->data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
		node->text = arena_copy(reader->arena, text, len);
		node->len = len;
		if (!node->quoted)
			node->kind = yaml_scalar_kind(text, len);
	}
	return node;
}

static struct yaml_node *
read_alias(struct reader *reader, const yaml_event_t *event)
{
	struct yaml_node *node = new_node(reader, YAML_REFUSED, event->start_mark);

	if (node == NULL)
		return NULL;
	refuse(reader, node);
	/* One error for the anchor is enough for all that refer to it. */
	if (!reader->anchored)
		diagnostics_error(
			reader->diagnostics, node->place,
			"alias \"*%.64s\", expected the value itself (anchors and aliases are "
			"not supported)",
			(const char *)event->data.alias.anchor);
	return node;
}

static void
push(struct reader *reader, struct yaml_node *node)
{
	if (reader->n_open == reader->room) {
		size_t room = reader->room ? reader->room * 2 : 64;

		reader->open = realloc(reader->open, room * sizeof(*reader->open));
		if (reader->open == NULL)
			abort(); /* bounded by YAML_MAX_NODES, as the arena is */
		reader->room = room;
	}
	reader->open[reader->n_open++] = node;
}

/* Moves what was pushed since `base` to arrays of the node's own: every `step`th from
 * `first`. */
static struct yaml_node **
take(struct reader *reader, size_t base, size_t first, size_t step, unsigned int n)
{
	struct yaml_node **array = arena_array(reader->arena, n ? n : 1, sizeof(*array));

	for (unsigned int i = 0; i < n; i++)
		array[i] = reader->open[base + first + i * step];
	return array;
}

/* Reads children up to the end event of the collection. */
static bool
read_children(struct reader *reader, yaml_event_type_t end)
{
	yaml_event_t event;

	for (;;) {
		struct yaml_node *child;

		if (!next_event(reader, &event))
			return false;
		if (event.type == end) {
			yaml_event_delete(&event);
			return true;
		}
		child = read_node(reader, &event);
		yaml_event_delete(&event);
		if (child == NULL)
			return false;
		push(reader, child);
	}
}

static struct yaml_node *
read_list(struct reader *reader, struct yaml_node *node)
{
	size_t base = reader->n_open;

	if (!read_children(reader, YAML_SEQUENCE_END_EVENT))
		return NULL;
	node->n = (unsigned int)(reader->n_open - base);
	node->values = take(reader, base, 0, 1, node->n);
	reader->n_open = base;
	return node;
}

static bool
check_key(struct reader *reader, const struct yaml_node *key)
{
	if (key->kind == YAML_REFUSED)
		return false;
	if (key->kind == YAML_LIST || key->kind == YAML_MAP || key->kind == YAML_NULL)
		diagnostics_error(reader->diagnostics, key->place,
				  "%s as a key, expected a plain name", yaml_kind_name(key->kind));
	else if (!key->quoted && strcmp(key->text, "<<") == 0)
		diagnostics_error(
			reader->diagnostics, key->place,
			"merge key \"<<\", expected fields written out (anchors and aliases "
			"are not supported)");
	else
		return true;
	reader->broken = true;
	return false;
}

/* By text, then by place: of equal keys the first stays. */
static int
by_key(const void *left, const void *right)
{
	const struct yaml_node *a = **(struct yaml_node *const *const *)left;
	const struct yaml_node *b = **(struct yaml_node *const *const *)right;
	int text = strcmp(a->text, b->text);

	if (text != 0)
		return text;
	if (a->place.line != b->place.line)
		return a->place.line < b->place.line ? -1 : 1;
	return a->place.column < b->place.column ? -1 : a->place.column > b->place.column;
}

/* Reports the keys that come again, and sets them to NULL. */
static void
drop_duplicates(struct reader *reader, struct yaml_node *node)
{
	struct yaml_node ***sorted = malloc((node->n ? node->n : 1) * sizeof(*sorted));

	if (sorted == NULL)
		abort();
	for (unsigned int i = 0; i < node->n; i++)
		sorted[i] = &node->keys[i];
	qsort(sorted, node->n, sizeof(*sorted), by_key);
	for (unsigned int i = 1, first = 0; i < node->n; i++) {
		const struct yaml_node *before = *sorted[first];

		if (strcmp((*sorted[i])->text, before->text) != 0) {
			first = i;
			continue;
		}
		diagnostics_error(
			reader->diagnostics, (*sorted[i])->place,
			"duplicate key \"%.64s\", expected it once (it is on line %u already)",
			before->text, before->place.line);
		reader->broken = true;
		*sorted[i] = NULL;
	}
	free(sorted);
}

/* Closes the gaps that keys refused (NULL) have left. */
static void
close_gaps(struct yaml_node *node)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < node->n; i++) {
		if (node->keys[i] == NULL)
			continue;
		node->keys[n] = node->keys[i];
		node->values[n++] = node->values[i];
	}
	node->n = n;
}

static struct yaml_node *
read_map(struct reader *reader, struct yaml_node *node)
{
	size_t base = reader->n_open;

	if (!read_children(reader, YAML_MAPPING_END_EVENT))
		return NULL;
	node->n = (unsigned int)((reader->n_open - base) / 2);
	node->keys = take(reader, base, 0, 2, node->n);
	node->values = take(reader, base, 1, 2, node->n);
	reader->n_open = base;
	for (unsigned int i = 0; i < node->n; i++) {
		if (!check_key(reader, node->keys[i]))
			node->keys[i] = NULL;
	}
	close_gaps(node);
	drop_duplicates(reader, node);
	close_gaps(node);
	return node;
}

static struct yaml_node *
read_collection(struct reader *reader, yaml_event_t *event)
{
	bool list = event->type == YAML_SEQUENCE_START_EVENT, is_text;
	struct yaml_node *node = new_node(reader, list ? YAML_LIST : YAML_MAP, event->start_mark);
	const yaml_char_t *anchor =
		list ? event->data.sequence_start.anchor : event->data.mapping_start.anchor;
	const yaml_char_t *tag =
		list ? event->data.sequence_start.tag : event->data.mapping_start.tag;
	bool good;

	if (node == NULL)
		return NULL;
	if (reader->depth == YAML_MAX_DEPTH) {
		diagnostics_error(
			reader->diagnostics, node->place,
			"lists and mappings too deep in each other, expected at most %u levels",
			YAML_MAX_DEPTH);
		reader->broken = true;
		return NULL;
	}
	check_anchor(reader, anchor, event->start_mark);
	good = check_tag(reader, tag, event->start_mark, &is_text);
	reader->depth++;
	node = list ? read_list(reader, node) : read_map(reader, node);
	reader->depth--;
	if (node != NULL && !good)
		refuse(reader, node);
	return node;
}

/* NULL: reading cannot go on; an error was reported. */
static struct yaml_node *
read_node(struct reader *reader, yaml_event_t *event)
{
	switch (event->type) {
	case YAML_SCALAR_EVENT:
		return read_scalar(reader, event);
	case YAML_ALIAS_EVENT:
		return read_alias(reader, event);
	default:
		return read_collection(reader, event);
	}
}

/* --- documents ------------------------------------------------------------------------------ */

/* The top node of the document that has begun. */
static struct yaml_node *
read_document(struct reader *reader)
{
	struct yaml_node *root;
	yaml_event_t event;

	reader->anchored = false;
	reader->n_open = 0;
	if (!next_event(reader, &event))
		return NULL;
	root = read_node(reader, &event);
	yaml_event_delete(&event);
	if (root == NULL || !next_event(reader, &event))
		return NULL;
	yaml_event_delete(&event); /* document end */
	return root;
}

static void
read_stream(struct reader *reader, struct yaml_documents *documents)
{
	struct yaml_node **roots = NULL;
	size_t n = 0, room = 0;
	yaml_event_t event;

	while (next_event(reader, &event)) {
		yaml_event_type_t type = event.type;
		struct yaml_node *root;

		yaml_event_delete(&event);
		if (type == YAML_STREAM_END_EVENT)
			break;
		if (type != YAML_DOCUMENT_START_EVENT)
			continue;
		root = read_document(reader);
		if (root == NULL)
			break;
		if (n == room) {
			room = room ? room * 2 : 16;
			roots = realloc(roots, room * sizeof(*roots));
			if (roots == NULL)
				abort();
		}
		roots[n++] = root;
	}
	documents->n = (unsigned int)n;
	documents->roots = arena_array(reader->arena, n ? n : 1, sizeof(*roots));
	if (n > 0)
		memcpy(documents->roots, roots, n * sizeof(*roots));
	free(roots);
}

/* Where the directive after the last one allowed is, else `len`. libyaml compares each %TAG
 * with all before it, and nothing that we take needs one. */
static size_t
too_many_tags(const unsigned char *text, size_t len)
{
	const unsigned char *at = text;
	unsigned int n = 0;

	while ((at = memmem(at, len - (size_t)(at - text), "%TAG", 4)) != NULL) {
		/* Last bytes of a line break (NEL, LS and PS are ones in YAML 1.1) or a BOM. */
		if ((at == text || strchr("\n\r\x85\xa8\xa9\xbf", at[-1]) != NULL) &&
		    ++n > YAML_MAX_TAGS)
			return (size_t)(at - text);
		at += 4;
	}
	return len;
}

static bool
check_size(struct reader *reader)
{
	size_t tag;

	if (reader->len > YAML_MAX_FILE) {
		diagnostics_error(
			reader->diagnostics, (struct diagnostics_place){reader->file, 0, 0},
			"file of more than %u bytes, expected at most that", YAML_MAX_FILE);
		return false;
	}
	tag = too_many_tags(reader->text, reader->len);
	if (tag < reader->len) {
		diagnostics_error(reader->diagnostics, place_at(reader, tag),
				  "too many %%TAG directives, expected at most %u in a file",
				  YAML_MAX_TAGS);
		return false;
	}
	return true;
}

void
yaml_parse_text(struct arena *arena, struct diagnostics *diagnostics, const char *file,
		const void *text, size_t len, struct yaml_documents *documents)
{
	static const unsigned char bom[3] = {0xef, 0xbb, 0xbf};
	struct reader reader = {.arena = arena,
				.diagnostics = diagnostics,
				.file = arena_string(arena, file),
				.text = len ? text : "",
				.len = len};

	memset(documents, 0, sizeof(*documents));
	/* libyaml would count it as a column of the first line's indentation. */
	if (len >= sizeof(bom) && memcmp(text, bom, sizeof(bom)) == 0) {
		reader.text += sizeof(bom);
		reader.len -= sizeof(bom);
	}
	if (!check_size(&reader)) {
		documents->broken = true;
		return;
	}
	if (!yaml_parser_initialize(&reader.parser))
		abort();
	yaml_parser_set_encoding(&reader.parser, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&reader.parser, reader.text, reader.len);
	read_stream(&reader, documents);
	documents->broken = reader.broken;
	yaml_parser_delete(&reader.parser);
	free(reader.open);
}

/* Reads a regular file whole. NULL with the cause in `*error`; the caller frees. */
static unsigned char *
read_whole(const char *file, size_t *len, const char **error)
{
	int fd = open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a fifo is not waited for */
	unsigned char *text = NULL;
	struct stat status;
	ssize_t got = 0;

	*len = 0;
	*error = NULL;
	if (fd < 0 || fstat(fd, &status) < 0)
		*error = strerror(errno);
	else if (!S_ISREG(status.st_mode))
		*error = S_ISDIR(status.st_mode) ? "Is a directory" : "Not a regular file";
	else if (status.st_size > (off_t)YAML_MAX_FILE)
		*error = "File too large (more than 16 MiB)";
	/* One byte more: a file that grows meanwhile is noticed as too large by the parser. */
	if (*error == NULL && (text = malloc(YAML_MAX_FILE + 1)) == NULL)
		*error = strerror(errno);
	while (*error == NULL && *len <= YAML_MAX_FILE) {
		got = read(fd, text + *len, YAML_MAX_FILE + 1 - *len);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			*error = strerror(errno);
		if (got <= 0)
			break;
		*len += (size_t)got;
	}
	if (fd >= 0)
		close(fd);
	if (*error != NULL) {
		free(text);
		text = NULL;
	}
	return text;
}

void
yaml_parse_file(struct arena *arena, struct diagnostics *diagnostics, const char *file,
		struct diagnostics_place from, struct yaml_documents *documents)
{
	const char *error;
	size_t len;
	unsigned char *text = read_whole(file, &len, &error);

	memset(documents, 0, sizeof(*documents));
	if (text == NULL) {
		documents->broken = true;
		if (from.file != NULL)
			diagnostics_error(diagnostics, from, "cannot read \"%s\": %s", file, error);
		else
			diagnostics_error(diagnostics, (struct diagnostics_place){file, 0, 0},
					  "cannot be read: %s", error);
		return;
	}
	yaml_parse_text(arena, diagnostics, file, text, len, documents);
	free(text);
}

/* --- looking into trees --------------------------------------------------------------------- */

static const struct yaml_node *
get(const struct yaml_node *map, const char *key, size_t len)
{
	if (map == NULL || map->kind != YAML_MAP)
		return NULL;
	for (unsigned int i = 0; i < map->n; i++) {
		if (map->keys[i]->len == len && memcmp(map->keys[i]->text, key, len) == 0)
			return map->values[i];
	}
	return NULL;
}

const struct yaml_node *
yaml_get(const struct yaml_node *map, const char *key)
{
	return get(map, key, strlen(key));
}

const struct yaml_node *
yaml_deepest(const struct yaml_node *node, const char *path)
{
	while (node != NULL && *path != '\0') {
		const struct yaml_node *child = NULL;
		size_t len = strcspn(path, ".[");

		if (len > 0) {
			child = get(node, path, len);
			path += len;
		} else if (*path == '[') {
			unsigned long index = strtoul(path + 1, NULL, 10);

			if (node->kind == YAML_LIST && index < node->n)
				child = node->values[index];
			path += strcspn(path, "]");
			path += *path == ']';
		} else {
			path++;
			continue;
		}
		if (child == NULL)
			break;
		node = child;
	}
	return node;
}

bool
yaml_is(const struct yaml_node *node, const char *text)
{
	return node != NULL && node->text != NULL && node->kind != YAML_REFUSED &&
	       strcmp(node->text, text) == 0;
}
