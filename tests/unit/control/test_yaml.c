/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "control/yaml.h"
#include "tests/unit/control/report.h"

static struct arena *arena;
static struct report said;
static struct yaml_documents documents;

static int
setup(void **state)
{
	arena = arena_create();
	memset(&documents, 0, sizeof(documents));
	return 0;
}

static int
teardown(void **state)
{
	arena_destroy(arena);
	return 0;
}

/* The parser gets a copy of exactly that length, so that a byte too far is seen. */
static void
parse_bytes(const void *text, size_t len)
{
	struct diagnostics *diagnostics = diagnostics_create();
	char *exact = malloc(len ? len : 1);

	assert_non_null(exact);
	memcpy(exact, text, len);
	yaml_parse_text(arena, diagnostics, "f.yaml", exact, len, &documents);
	free(exact);
	assert_int_equal(documents.broken, diagnostics_errors(diagnostics) > 0);
	report_take(&said, diagnostics);
}

static void
parse_any(const char *text)
{
	parse_bytes(text, strlen(text));
}

/* What must be good. */
static const struct yaml_node *
parse(const char *text)
{
	parse_any(text);
	assert_string_equal(said.text, "");
	assert_true(documents.n > 0);
	return documents.roots[0];
}

/* "kind:text" of a scalar, for comparison. */
static void
assert_scalar(const struct yaml_node *node, enum yaml_kind kind, const char *text)
{
	assert_non_null(node);
	assert_int_equal(node->kind, kind);
	assert_string_equal(node->text, text);
	assert_int_equal(node->len, strlen(text));
}

static void
assert_place(const struct yaml_node *node, unsigned int line, unsigned int column)
{
	assert_non_null(node);
	assert_string_equal(node->place.file, "f.yaml");
	assert_int_equal(node->place.line, line);
	assert_int_equal(node->place.column, column);
}

static void
every_node_knows_its_place(void **state)
{
	const struct yaml_node *root = parse("# first\nspec:\n  ports:\n  - number: 80\n"
					     "    name: 'http'\n  hosts: [a, b]\n");

	assert_place(root, 2, 1);
	assert_place(yaml_deepest(root, "spec"), 3, 3);
	assert_place(yaml_deepest(root, "spec.ports"), 4, 3);
	assert_place(yaml_deepest(root, "spec.ports[0].number"), 4, 13);
	assert_place(yaml_deepest(root, "spec.ports[0].name"), 5, 11);
	assert_place(yaml_deepest(root, "spec.hosts[1]"), 6, 14);
	assert_place(yaml_get(root, "spec")->keys[1], 6, 3);
}

static void
deepest_stops_at_what_is_there(void **state)
{
	const struct yaml_node *root = parse("a:\n  b: [1, {c: 2}]\n");

	assert_place(yaml_deepest(root, "a.x.y"), 2, 3);
	assert_place(yaml_deepest(root, "a.b[7].c"), 2, 6);
	assert_place(yaml_deepest(root, "a.b[1].d"), 2, 10);
	assert_place(yaml_deepest(root, "a.b[1].c"), 2, 14);
	assert_place(yaml_deepest(root, ""), 1, 1);
	assert_null(yaml_deepest(NULL, "a"));
	assert_null(yaml_get(root, "b"));
	assert_null(yaml_get(yaml_deepest(root, "a.b"), "c"));
}

static void
plain_scalars_are_resolved_as_kubernetes_does(void **state)
{
	static const struct {
		const char *text;
		enum yaml_kind kind;
	} cases[] = {
		{"~", YAML_NULL},
		{"null", YAML_NULL},
		{"NULL", YAML_NULL},
		{"nUll", YAML_STRING},
		{"true", YAML_BOOL},
		{"Yes", YAML_BOOL},
		{"off", YAML_BOOL},
		{"n", YAML_BOOL},
		{"yEs", YAML_STRING},
		{"0", YAML_INT},
		{"-17", YAML_INT},
		{"+8", YAML_INT},
		{"0x1F", YAML_INT},
		{"0b101", YAML_INT},
		{"0o17", YAML_INT},
		{"017", YAML_INT},
		{"1_000", YAML_INT},
		{"018", YAML_FLOAT},
		{"0x", YAML_STRING},
		{"0b2", YAML_STRING},
		{"-", YAML_STRING},
		{"99999999999999999999", YAML_INT},
		{"1.5", YAML_FLOAT},
		{"1e3", YAML_FLOAT},
		{".5", YAML_FLOAT},
		{"5.", YAML_FLOAT},
		{".", YAML_STRING},
		{"1e", YAML_STRING},
		{"-.inf", YAML_FLOAT},
		{".nan", YAML_FLOAT},
		{"10s", YAML_STRING},
		{"10.0.0.1", YAML_STRING},
		{"0000:01:00.0", YAML_STRING},
		{"2024-01-01", YAML_STRING},
		{"_1", YAML_STRING},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		if (yaml_scalar_kind(cases[i].text, strlen(cases[i].text)) != cases[i].kind)
			fail_msg("%s is not %s", cases[i].text, yaml_kind_name(cases[i].kind));
	}
}

static void
integers_are_read_up_to_64_bits(void **state)
{
	int64_t value;

	assert_true(yaml_to_int("9223372036854775807", &value) && value == INT64_MAX);
	assert_true(yaml_to_int("-9223372036854775808", &value) && value == INT64_MIN);
	assert_true(yaml_to_int("0x7fff", &value) && value == 0x7fff);
	assert_true(yaml_to_int("-010", &value) && value == -8);
	assert_true(yaml_to_int("1_0", &value) && value == 10);
	assert_false(yaml_to_int("9223372036854775808", &value));
	assert_false(yaml_to_int("", &value));
	assert_false(yaml_to_int("+", &value));
	assert_false(yaml_to_int("12x", &value));
	assert_false(yaml_to_int("1.0", &value));
}

static void
quotes_make_strings(void **state)
{
	const struct yaml_node *root = parse(
		"a: \"80\"\nb: 'true'\nc: |\n  1\nd: !!str 80\ne: ! 80\nf: !!int 80\ng: 80\n");

	assert_scalar(yaml_get(root, "a"), YAML_STRING, "80");
	assert_scalar(yaml_get(root, "b"), YAML_STRING, "true");
	assert_scalar(yaml_get(root, "c"), YAML_STRING, "1\n");
	assert_scalar(yaml_get(root, "d"), YAML_STRING, "80");
	assert_scalar(yaml_get(root, "e"), YAML_STRING, "80");
	assert_scalar(yaml_get(root, "f"), YAML_INT, "80");
	assert_scalar(yaml_get(root, "g"), YAML_INT, "80");
	assert_true(yaml_is(yaml_get(root, "a"), "80"));
	assert_false(yaml_is(yaml_get(root, "a"), "8"));
	assert_false(yaml_is(root, "80"));
	assert_false(yaml_is(NULL, "80"));
}

static void
documents_come_in_order(void **state)
{
	parse("---\na: 1\n---\n---\n# nothing\n...\n---\n- 2\n");
	assert_int_equal(documents.n, 4);
	assert_int_equal(documents.roots[0]->kind, YAML_MAP);
	assert_int_equal(documents.roots[1]->kind, YAML_NULL);
	assert_int_equal(documents.roots[2]->kind, YAML_NULL);
	assert_int_equal(documents.roots[3]->kind, YAML_LIST);
	assert_place(documents.roots[3], 8, 1);
}

static void
nothing_and_comments_are_no_documents(void **state)
{
	static const char *const empty[] = {"", "\n\n", "# only\n# comments\n", "\xef\xbb\xbf",
					    "   "};

	for (size_t i = 0; i < sizeof(empty) / sizeof(empty[0]); i++) {
		parse_any(empty[i]);
		assert_string_equal(said.text, "");
		assert_int_equal(documents.n, 0);
	}
}

static void
byte_order_mark_and_crlf_do_not_move_places(void **state)
{
	const struct yaml_node *root = parse("\xef\xbb\xbf"
					     "a: 1\r\nb:\r\n  c: x\r\n");

	assert_place(root, 1, 1);
	assert_scalar(yaml_deepest(root, "b.c"), YAML_STRING, "x");
	assert_place(yaml_deepest(root, "b.c"), 3, 6);
}

static void
columns_count_characters(void **state)
{
	const struct yaml_node *root = parse("{\"\xc3\xa4\xe2\x82\xac\": 1, b: 2}");

	assert_place(yaml_get(root, "b"), 1, 14);
}

/* --- what is refused, with its exact message ------------------------------------------------ */

struct refusal {
	const char *text, *said;
};

static const struct refusal refusals[] = {
	{"a: 1\nb: 2\na: 3\n",
	 "f.yaml:3:1: error: duplicate key \"a\", expected it once (it is on line 1 already)\n"},
	{"a: 1\n\"a\": 2\nb: {c: 1, c: 2, c: 3}\n",
	 "f.yaml:2:1: error: duplicate key \"a\", expected it once (it is on line 1 already)\n"
	 "f.yaml:3:11: error: duplicate key \"c\", expected it once (it is on line 3 already)\n"
	 "f.yaml:3:17: error: duplicate key \"c\", expected it once (it is on line 3 already)\n"},
	{"a:\n\tb: 1\n", "f.yaml:2:1: error: tab in the indentation, expected spaces\n"},
	{"a:\n  b: 1\n  \tc: 2\n", "f.yaml:3:3: error: tab in the indentation, expected spaces\n"},
	{"a: &x 1\nb: *x\n", "f.yaml:1:4: error: anchor \"&x\", expected values written out "
			     "(anchors and aliases are not "
			     "supported)\n"},
	{"a: &x {b: 1}\nc: &y [1]\n", "f.yaml:1:4: error: anchor \"&x\", expected values written "
				      "out (anchors and aliases are not "
				      "supported)\n"
				      "f.yaml:2:4: error: anchor \"&y\", expected values written "
				      "out (anchors and aliases are not "
				      "supported)\n"},
	{"a: *x\n",
	 "f.yaml:1:4: error: alias \"*x\", expected the value itself (anchors and aliases are not "
	 "supported)\n"},
	{"a:\n  <<: {b: 1}\n", "f.yaml:2:3: error: merge key \"<<\", expected fields written out "
			       "(anchors and aliases are "
			       "not supported)\n"},
	{"a: !secret 1\n",
	 "f.yaml:1:4: error: tag \"!secret\", expected none, or one of YAML's own such as !!str\n"},
	{"a: !!python/object [1]\nb: 1\n",
	 "f.yaml:1:4: error: tag \"tag:yaml.org,2002:python/object\", expected none, or one of "
	 "YAML's "
	 "own such as !!str\n"},
	{"[a]: 1\n", "f.yaml:1:1: error: a list as a key, expected a plain name\n"},
	{"? {a: b}\n: 1\n", "f.yaml:1:3: error: a mapping as a key, expected a plain name\n"},
	{"~: 1\n", "f.yaml:1:1: error: nothing as a key, expected a plain name\n"},
	{"a: \"x\\0y\"\n", "f.yaml:1:4: error: NUL within a string, expected text\n"},
	{"a: b: c\n",
	 "f.yaml:1:5: error: mapping values are not allowed in this context, expected YAML\n"},
	{"a: [1, 2\n", "f.yaml:2:1: error: did not find expected ',' or ']' while parsing a flow "
		       "sequence, expected "
		       "YAML\n"},
	{"a: 'x\n", "f.yaml:2:1: error: found unexpected end of stream while scanning a quoted "
		    "scalar, expected "
		    "YAML\n"},
	{"a: 1\n b: 2\n",
	 "f.yaml:2:3: error: mapping values are not allowed in this context, expected YAML\n"},
	{"a: 1\n- b\n", "f.yaml:2:1: error: did not find expected key while parsing a block "
			"mapping, expected YAML\n"},
	{"a: \xff\n",
	 "f.yaml:1:4: error: not UTF-8 (invalid leading UTF-8 octet), expected text in "
	 "UTF-8\n"},
	{"\xc3\xa4: 1\r\nb: \xc0\x80\n",
	 "f.yaml:2:4: error: not UTF-8 (invalid length of a UTF-8 sequence), expected text in "
	 "UTF-8\n"},
	{"\xff\xfe"
	 "a",
	 "f.yaml:1:1: error: not UTF-8 (invalid leading UTF-8 octet), expected text in "
	 "UTF-8\n"},
	{"a: \x1b[31m\n", "f.yaml:1:4: error: control character 0x1b, expected text\n"},
	{"\x7f"
	 "ELF\x02",
	 "f.yaml:1:1: error: control character 0x7f, expected text\n"},
	{"\x1f\x8b\x08\n", "f.yaml:1:1: error: control character 0x1f, expected text\n"},
	{"%YAML 3.0\n---\na: 1\n",
	 "f.yaml:1:1: error: found incompatible YAML document, expected YAML\n"},
};

static void
bad_yaml_is_refused_with_place_and_cause(void **state)
{
	for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {
		parse_any(refusals[i].text);
		assert_string_equal(said.text, refusals[i].said);
		assert_true(documents.broken);
	}
}

static void
nul_byte_is_refused(void **state)
{
	parse_bytes("a: 1\nb: \0\n", 10);
	assert_string_equal(said.text,
			    "f.yaml:2:4: error: control character 0x00, expected text\n");
	parse_bytes("\0", 1);
	assert_string_equal(said.text,
			    "f.yaml:1:1: error: control character 0x00, expected text\n");
}

static void
documents_before_a_syntax_error_are_kept(void **state)
{
	parse_any("a: 1\n---\nb: [\n");
	assert_true(documents.broken);
	assert_int_equal(documents.n, 1);
	assert_scalar(yaml_get(documents.roots[0], "a"), YAML_INT, "1");
}

static void
of_duplicate_keys_the_first_stays(void **state)
{
	parse_any("a: 1\nb: 2\na: 3\n");
	assert_int_equal(documents.roots[0]->n, 2);
	assert_scalar(yaml_get(documents.roots[0], "a"), YAML_INT, "1");
	assert_scalar(yaml_get(documents.roots[0], "b"), YAML_INT, "2");
}

static void
billion_laughs_costs_nothing(void **state)
{
	char text[4096];
	size_t len = (size_t)snprintf(text, sizeof(text), "a0: &a0 lol\n");

	for (int i = 1; i < 10; i++) {
		len += (size_t)snprintf(text + len, sizeof(text) - len, "a%d: &a%d [", i, i);
		for (int j = 0; j < 9; j++)
			len += (size_t)snprintf(text + len, sizeof(text) - len, "%s*a%d",
						j ? "," : "", i - 1);
		len += (size_t)snprintf(text + len, sizeof(text) - len, "]\n");
	}
	parse_bytes(text, len);
	assert_true(documents.broken);
	assert_true(arena_bytes(arena) < 64 * 1024);
	assert_non_null(strstr(said.text, "f.yaml:10:5: error: anchor \"&a9\""));
	assert_null(strstr(said.text, "alias \"")); /* one error for each anchor is enough */
}

static void
nesting_has_a_limit(void **state)
{
	char text[2 * YAML_MAX_DEPTH + 4];

	memset(text, '[', YAML_MAX_DEPTH);
	memset(text + YAML_MAX_DEPTH, ']', YAML_MAX_DEPTH);
	parse_bytes(text, 2 * YAML_MAX_DEPTH);
	assert_string_equal(said.text, "");
	memset(text, '[', YAML_MAX_DEPTH + 1);
	memset(text + YAML_MAX_DEPTH + 1, ']', YAML_MAX_DEPTH + 1);
	parse_bytes(text, 2 * YAML_MAX_DEPTH + 2);
	assert_string_equal(
		said.text,
		"f.yaml:1:65: error: lists and mappings too deep in each other, expected at "
		"most 64 levels\n");
}

static void
endless_brackets_are_refused_at_once(void **state)
{
	static char text[1 << 20];

	memset(text, '[', sizeof(text));
	parse_bytes(text, sizeof(text));
	assert_true(documents.broken);
	memset(text, '{', sizeof(text));
	parse_bytes(text, sizeof(text));
	assert_true(documents.broken);
}

static void
scalars_have_a_limit(void **state)
{
	static char text[YAML_MAX_SCALAR + 16];

	memset(text, 'x', sizeof(text));
	memcpy(text, "a: ", 3);
	parse_bytes(text, 3 + YAML_MAX_SCALAR);
	assert_string_equal(said.text, "");
	parse_bytes(text, 4 + YAML_MAX_SCALAR);
	assert_string_equal(said.text,
			    "f.yaml:1:4: error: value of 65537 bytes, expected at most 65536\n");
	assert_int_equal(yaml_get(documents.roots[0], "a")->kind, YAML_REFUSED);
}

static void
files_have_a_limit(void **state)
{
	char *text = malloc(YAML_MAX_FILE + 1);

	assert_non_null(text);
	memset(text, '\n', YAML_MAX_FILE + 1);
	parse_bytes(text, YAML_MAX_FILE + 1);
	assert_string_equal(said.text,
			    "f.yaml: error: file of more than 16777216 bytes, expected at "
			    "most that\n");
	free(text);
}

static void
many_keys_are_compared_in_reasonable_time(void **state)
{
	size_t room = 2u << 20, len = 0;
	char *text = malloc(room);

	assert_non_null(text);
	for (int i = 0; i < 50000; i++)
		len += (size_t)snprintf(text + len, room - len, "key%d: 1\n", i);
	len += (size_t)snprintf(text + len, room - len, "key77: 1\n");
	parse_bytes(text, len);
	free(text);
	assert_string_equal(said.text,
			    "f.yaml:50001:1: error: duplicate key \"key77\", expected it "
			    "once (it is on line 78 already)\n");
	assert_int_equal(documents.roots[0]->n, 50000);
}

static void
many_tag_directives_are_refused_at_once(void **state)
{
	size_t room = 8u << 20, len = 0;
	char *text = malloc(room);

	assert_non_null(text);
	for (int i = 0; i < 300000; i++)
		len += (size_t)snprintf(text + len, room - len, "%%TAG !a%d! tag:x:\n", i);
	len += (size_t)snprintf(text + len, room - len, "---\na: 1\n");
	parse_bytes(text, len);
	free(text);
	assert_string_equal(said.text,
			    "f.yaml:17:1: error: too many %TAG directives, expected at most "
			    "16 in a file\n");
}

static void
errors_beyond_the_limit_are_counted(void **state)
{
	char text[8192] = "";
	size_t len = 0;

	for (int i = 0; i < DIAGNOSTICS_MAX + 11; i++)
		len += (size_t)snprintf(text + len, sizeof(text) - len, "a: 1\n");
	parse_bytes(text, len);
	assert_non_null(strstr(said.text, "\n... and 10 more\n"));
}

static void
messages_carry_no_control_characters(void **state)
{
	parse_any("a: 1\n\"x\\e[2J\\x9b\": 1\n\"x\\e[2J\\x9b\": 1\n");
	assert_string_equal(said.text,
			    "f.yaml:3:1: error: duplicate key \"x\\x1b[2J\\x9b\", expected "
			    "it once (it is on line 2 already)\n");
}

/* --- files ---------------------------------------------------------------------------------- */

static void
parse_path(const char *path, struct diagnostics_place from)
{
	struct diagnostics *diagnostics = diagnostics_create();

	yaml_parse_file(arena, diagnostics, path, from, &documents);
	report_take(&said, diagnostics);
}

static void
files_that_cannot_be_read_are_errors(void **state)
{
	char folder[] = "/tmp/portcullis-yaml-XXXXXX", path[64], expected[256];
	struct diagnostics_place from = {"p.yaml", 7, 3}, none = {0};

	assert_non_null(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/none.yaml", folder);
	parse_path(path, from);
	snprintf(expected, sizeof(expected),
		 "p.yaml:7:3: error: cannot read \"%s\": No such file or directory\n", path);
	assert_string_equal(said.text, expected);
	assert_true(documents.broken);

	parse_path(folder, none);
	snprintf(expected, sizeof(expected), "%s: error: cannot be read: Is a directory\n", folder);
	assert_string_equal(said.text, expected);

	assert_int_equal(mkfifo(path, 0600), 0);
	parse_path(path, none);
	snprintf(expected, sizeof(expected), "%s: error: cannot be read: Not a regular file\n",
		 path);
	assert_string_equal(said.text, expected);
	unlink(path);
	rmdir(folder);
}

static void
files_are_read_whole(void **state)
{
	char path[] = "/tmp/portcullis-yaml-XXXXXX";
	int fd = mkstemp(path);
	struct diagnostics_place none = {0};

	assert_true(fd >= 0);
	assert_int_equal(write(fd, "a: [1, 2]\n", 10), 10);
	close(fd);
	parse_path(path, none);
	unlink(path);
	assert_string_equal(said.text, "");
	assert_int_equal(yaml_get(documents.roots[0], "a")->n, 2);
	assert_string_equal(documents.roots[0]->place.file, path);
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(every_node_knows_its_place),
		TEST(deepest_stops_at_what_is_there),
		TEST(plain_scalars_are_resolved_as_kubernetes_does),
		TEST(integers_are_read_up_to_64_bits),
		TEST(quotes_make_strings),
		TEST(documents_come_in_order),
		TEST(nothing_and_comments_are_no_documents),
		TEST(byte_order_mark_and_crlf_do_not_move_places),
		TEST(columns_count_characters),
		TEST(bad_yaml_is_refused_with_place_and_cause),
		TEST(nul_byte_is_refused),
		TEST(documents_before_a_syntax_error_are_kept),
		TEST(of_duplicate_keys_the_first_stays),
		TEST(billion_laughs_costs_nothing),
		TEST(nesting_has_a_limit),
		TEST(endless_brackets_are_refused_at_once),
		TEST(scalars_have_a_limit),
		TEST(files_have_a_limit),
		TEST(many_keys_are_compared_in_reasonable_time),
		TEST(many_tag_directives_are_refused_at_once),
		TEST(errors_beyond_the_limit_are_counted),
		TEST(messages_carry_no_control_characters),
		TEST(files_that_cannot_be_read_are_errors),
		TEST(files_are_read_whole),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
