/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "control/schema.h"
#include "tests/unit/control/report.h"

/* --- a schema with one of everything -------------------------------------------------------- */

enum color { RED, GREEN = 7 };

struct inner {
	const struct yaml_node *node;
	uint32_t key;
	const char *label;
	enum color color;
};

struct thing {
	uint8_t first;
	const struct yaml_node *node;
	const char *name, *note;
	bool flag, flag_present;
	int8_t tiny;
	uint16_t port;
	int64_t big;
	uint32_t wait;
	enum color color;
	struct inner here;
	struct inner *there;
	const char **hosts;
	unsigned int n_hosts;
	struct inner *items;
	unsigned int n_items;
	struct inner *by_port;
	unsigned int n_by_port;
	struct schema_pair *labels;
	unsigned int n_labels;
	char letter;
	const struct yaml_node *any;
};

static const char *
parse_letter(struct arena *memory, const char *text, void *out)
{
	if (text[0] == '\0' || text[1] != '\0')
		return "a single letter";
	*(char *)out = text[0];
	return NULL;
}

static const struct schema_value colors[] = {{"RED", RED, NULL}, {"GREEN", GREEN, NULL}, {.name = NULL}};
static const struct schema_field inner_fields[] = {
	{.name = "label", .type = SCHEMA_STRING, SCHEMA_AT(struct inner, label), .required = true},
	{.name = "color", .type = SCHEMA_ENUM, SCHEMA_AT(struct inner, color), .values = colors,
	 .fallback = "GREEN"},
	{.name = NULL},
};
static const struct schema inner_schema = {.name = "inner", .fields = inner_fields,
					   SCHEMA_STRUCT(struct inner),
					   SCHEMA_NODE_AT(struct inner, node)};
static const struct schema_field inner_item = {.type = SCHEMA_OBJECT, .object = &inner_schema};
static const struct schema_field port_key = {.type = SCHEMA_INT, SCHEMA_AT(struct inner, key),
					     .min = 1, .max = 65535};
#define THING(member) SCHEMA_AT(struct thing, member)
static const struct schema_field fields[] = {
	{.name = "name", .type = SCHEMA_STRING, THING(name), .required = true, .min = 1, .max = 8},
	{.name = "note", .type = SCHEMA_STRING, THING(note), .fallback = "17"},
	{.name = "flag", .type = SCHEMA_BOOL, THING(flag), .fallback = "true",
	 SCHEMA_PRESENT_AT(struct thing, flag_present)},
	{.name = "tiny", .type = SCHEMA_INT, THING(tiny), .min = -5, .max = 5},
	{.name = "targetPort", .type = SCHEMA_INT, THING(port), .min = 1, .max = 65535,
	 .fallback = "80", .unit = "TCP port"},
	{.name = "big", .type = SCHEMA_INT, THING(big), .min = INT64_MIN, .max = INT64_MAX},
	{.name = "wait", .type = SCHEMA_DURATION, THING(wait), .min = 1, .max = 3600000,
	 .fallback = "1m"},
	{.name = "color", .type = SCHEMA_ENUM, THING(color), .values = colors},
	{.name = "here", .type = SCHEMA_OBJECT, THING(here), .object = &inner_schema},
	{.name = "there", .type = SCHEMA_POINTER, THING(there), .object = &inner_schema},
	{.name = "hosts", SCHEMA_STRING_LIST(struct thing, hosts, n_hosts), .min = 1, .max = 3},
	{.name = "items", .type = SCHEMA_LIST, .item = &inner_item,
	 SCHEMA_ARRAY_AT(struct thing, items, n_items)},
	{.name = "portLevelMtls", .type = SCHEMA_MAP, .item = &inner_item, .key = &port_key,
	 SCHEMA_ARRAY_AT(struct thing, by_port, n_by_port)},
	{.name = "labels", SCHEMA_STRING_MAP(struct thing, labels, n_labels)},
	{.name = "letter", .type = SCHEMA_CUSTOM, THING(letter), .kind = "letter",
	 .parse = parse_letter},
	{.name = "any", .type = SCHEMA_ANY, THING(any)},
	{.name = "silent", .type = SCHEMA_ANY},
	{.name = "retries", .type = SCHEMA_IGNORED, .doc = "try again yourself"},
	{.name = NULL},
};
static const struct schema thing_schema = {.name = "thing", .fields = fields,
					   SCHEMA_STRUCT(struct thing),
					   SCHEMA_NODE_AT(struct thing, node)};
/* `here` needs its label, which most cases are not about. */
#define GOOD "name: x\nhere: {label: h}\n"

static struct arena *arena;
static struct report said;
static struct thing thing;

static int
setup(void **state)
{
	arena = arena_create();
	memset(&thing, 0xa5, sizeof(thing));
	return 0;
}

static int
teardown(void **state)
{
	arena_destroy(arena);
	return 0;
}

static bool
bind_with(const char *text, const char *path, unsigned int flags)
{
	struct diagnostics *diagnostics = diagnostics_create();
	struct yaml_documents documents;
	bool good;

	yaml_parse_text(arena, diagnostics, "f.yaml", text, strlen(text), &documents);
	assert_true(documents.n > 0);
	good = schema_bind(&thing_schema, documents.roots[0], path, flags, arena, diagnostics,
			   &thing);
	assert_int_equal(good, diagnostics_errors(diagnostics) == 0);
	report_take(&said, diagnostics);
	return good;
}

static void
bind_good(const char *text)
{
	bind_with(text, "", 0);
	assert_string_equal(said.text, "");
}

static void
left_out_fields_have_their_fallback_or_zero(void **state)
{
	bind_good(GOOD);
	assert_non_null(thing.node);
	assert_string_equal(thing.name, "x");
	assert_string_equal(thing.note, "17");
	assert_true(thing.flag);
	assert_false(thing.flag_present);
	assert_int_equal(thing.tiny, 0);
	assert_int_equal(thing.port, 80);
	assert_int_equal(thing.wait, 60000);
	assert_int_equal(thing.color, RED);
	assert_int_equal(thing.here.color, GREEN);
	assert_null(thing.there);
	assert_int_equal(thing.n_hosts + thing.n_items + thing.n_by_port + thing.n_labels, 0);
	assert_null(thing.any);
}

static void
values_go_to_their_place(void **state)
{
	bind_good("name: x\nnote: ''\nflag: off\ntiny: -5\ntargetPort: 65535\n"
		  "big: -9223372036854775808\nwait: 1.5s\ncolor: GREEN\n"
		  "here: {label: h, color: RED}\nthere: {label: t}\nhosts: [a, 'b']\n"
		  "items: [{label: i}, {label: j, color: RED}]\n"
		  "portLevelMtls:\n  8080: {label: p}\n  \"9090\": {label: q, color: RED}\n"
		  "labels: {app: web, version: \"1\", 2: two, none: }\nletter: z\nany: [1]\n"
		  "silent: {a: b}\n");
	assert_string_equal(thing.note, "");
	assert_false(thing.flag);
	assert_true(thing.flag_present);
	assert_int_equal(thing.tiny, -5);
	assert_int_equal(thing.port, 65535);
	assert_true(thing.big == INT64_MIN);
	assert_int_equal(thing.wait, 1500);
	assert_int_equal(thing.color, GREEN);
	assert_int_equal(thing.here.color, RED);
	assert_string_equal(thing.there->label, "t");
	assert_int_equal(thing.there->color, GREEN);
	assert_int_equal(thing.n_hosts, 2);
	assert_string_equal(thing.hosts[1], "b");
	assert_int_equal(thing.n_items, 2);
	assert_string_equal(thing.items[1].label, "j");
	assert_int_equal(thing.items[0].node->place.line, 12);
	assert_int_equal(thing.n_by_port, 2);
	assert_int_equal(thing.by_port[0].key, 8080);
	assert_string_equal(thing.by_port[0].label, "p");
	assert_int_equal(thing.by_port[1].key, 9090);
	assert_int_equal(thing.by_port[1].color, RED);
	assert_int_equal(thing.n_labels, 4);
	assert_string_equal(thing.labels[1].value, "1");
	assert_string_equal(thing.labels[2].key, "2");
	assert_string_equal(thing.labels[3].value, "");
	assert_int_equal(thing.letter, 'z');
	assert_int_equal(thing.any->kind, YAML_LIST);
}

static void
null_is_left_out(void **state)
{
	bind_good(GOOD "note: ~\nflag: null\nwait:\nthere:\nhosts: \nlabels: ~\n");
	assert_string_equal(thing.note, "17");
	assert_false(thing.flag_present);
	assert_null(thing.there);
	assert_int_equal(thing.n_hosts, 0);
}

struct complaint {
	const char *text, *said;
};

static const struct complaint complaints[] = {
	{"here: {label: h}\n",
	 "f.yaml:1:1: error: name is missing, expected a string of 1 to 8 bytes\n"},
	{"name:\nhere: {label: h}\n",
	 "f.yaml:1:6: error: name is missing, expected a string of 1 to 8 bytes\n"},
	{"name: x\n", "f.yaml:1:1: error: here.label is missing, expected a string\n"},
	{"name: x\nhere: {}\n",
	 "f.yaml:2:7: error: here.label is missing, expected a string\n"},
	{"name: ''\nhere: {label: h}\n",
	 "f.yaml:1:7: error: name is \"\", expected a string of 1 to 8 bytes\n"},
	{"name: 123456789x\nhere: {label: h}\n",
	 "f.yaml:1:7: error: name is \"123456789x\", expected a string of 1 to 8 bytes\n"},
	{"name: 1\nhere: {label: yes}\n",
	 "f.yaml:1:7: error: name is \"1\", expected a string of 1 to 8 bytes (in quotes)\n"
	 "f.yaml:2:15: error: here.label is \"yes\", expected a string (in quotes)\n"},
	{GOOD "note: [x]\n", "f.yaml:3:7: error: note is a list, expected a string\n"},
	{GOOD "flag: \"true\"\n", "f.yaml:3:7: error: flag is \"true\", expected true or false\n"},
	{GOOD "flag: 1\n", "f.yaml:3:7: error: flag is \"1\", expected true or false\n"},
	{GOOD "tiny: 6\n", "f.yaml:3:7: error: tiny is \"6\", expected an integer from -5 to 5\n"},
	{GOOD "tiny: 1.0\n", "f.yaml:3:7: error: tiny is \"1.0\", expected an integer from -5 to 5\n"},
	{GOOD "targetPort: '80'\n", "f.yaml:3:13: error: targetPort is \"80\", expected an integer "
				    "from 1 to 65535 TCP port\n"},
	{GOOD "targetPort: 65536\n", "f.yaml:3:13: error: targetPort is \"65536\", expected an integer "
				     "from 1 to 65535 TCP port\n"},
	{GOOD "big: 9223372036854775808\n",
	 "f.yaml:3:6: error: big is \"9223372036854775808\", expected an integer from "
	 "-9223372036854775808\n"},
	{GOOD "wait: 10\n", "f.yaml:3:7: error: wait is \"10\", expected a duration from 1ms to 1h, "
			    "such as 10s or 250ms\n"},
	{GOOD "wait: 2h\n", "f.yaml:3:7: error: wait is \"2h\", expected a duration from 1ms to 1h, "
			    "such as 10s or 250ms\n"},
	{GOOD "wait: [1s]\n", "f.yaml:3:7: error: wait is a list, expected a duration from 1ms to "
			      "1h, such as 10s or 250ms\n"},
	{GOOD "color: BLUE\n", "f.yaml:3:8: error: color is \"BLUE\", expected one of RED, GREEN\n"},
	{GOOD "there: 1\n", "f.yaml:3:8: error: there is \"1\", expected a mapping\n"},
	{GOOD "there: [1]\n", "f.yaml:3:8: error: there is a list, expected a mapping\n"},
	{GOOD "there: {label: t, colour: RED}\n",
	 "f.yaml:3:19: error: unknown field \"colour\" in there, expected color\n"},
	{GOOD "there: {label: t, weight: 1}\n",
	 "f.yaml:3:19: error: unknown field \"weight\" in there, expected one of label, color\n"},
	{GOOD "hosts: x\n", "f.yaml:3:8: error: hosts is \"x\", expected a list\n"},
	{GOOD "hosts: []\n", "f.yaml:3:8: error: hosts has 0 elements, expected at least 1\n"},
	{GOOD "hosts: [a, b, c, d]\n",
	 "f.yaml:3:8: error: hosts has 4 elements, expected at most 3\n"},
	{GOOD "hosts: [a, ~, 2]\n",
	 "f.yaml:3:12: error: hosts[1] is nothing, expected a string that is not empty\n"
	 "f.yaml:3:15: error: hosts[2] is \"2\", expected a string that is not empty (in quotes)\n"},
	{GOOD "items: [{label: i}, {color: RED}, x]\n",
	 "f.yaml:3:21: error: items[1].label is missing, expected a string\n"
	 "f.yaml:3:35: error: items[2] is \"x\", expected a mapping\n"},
	{GOOD "portLevelMtls: {0: {label: p}}\n",
	 "f.yaml:3:17: error: portLevelMtls.0 is \"0\", expected an integer from 1 to 65535\n"},
	{GOOD "portLevelMtls: {http: {label: p}}\n",
	 "f.yaml:3:17: error: portLevelMtls.http is \"http\", expected an integer from 1 to 65535\n"},
	/* The same port written in two ways would be two entries for one port. */
	{GOOD "portLevelMtls: {80: {label: p}, 0x50: {label: q}}\n",
	 "f.yaml:3:33: error: portLevelMtls.0x50 is \"0x50\", expected an integer from 1 to 65535\n"},
	{GOOD "labels: {a: {b: c}}\n",
	 "f.yaml:3:13: error: labels.a is a mapping, expected a string\n"},
	{GOOD "labels: {a: 1}\n",
	 "f.yaml:3:13: error: labels.a is \"1\", expected a string (in quotes)\n"},
	{GOOD "labels: [a]\n", "f.yaml:3:9: error: labels is a list, expected a mapping\n"},
	{GOOD "letter: zz\n", "f.yaml:3:9: error: letter is \"zz\", expected a single letter\n"},
	{GOOD "letter: {}\n", "f.yaml:3:9: error: letter is a mapping, expected a letter\n"},
	{GOOD "retries: {attempts: 3}\n", "f.yaml:3:10: warning: retries is not acted on by this "
					  "version: try again yourself\n"},
	{GOOD "target_port: 80\n",
	 "f.yaml:3:1: error: unknown field \"target_port\", expected targetPort\n"},
	{"- 1\n", "f.yaml:1:1: error: the document is a list, expected a mapping\n"},
	{"x\n", "f.yaml:1:1: error: the document is \"x\", expected a mapping\n"},
	{"---\n", "f.yaml:2:1: error: the document is nothing, expected a mapping\n"},
	/* One error, and not a second for what it took away. */
	{"name: &a x\nhere: !tag {}\n",
	 "f.yaml:1:7: error: anchor \"&a\", expected values written out (anchors and aliases are not "
	 "supported)\n"
	 "f.yaml:2:7: error: tag \"!tag\", expected none, or one of YAML's own such as !!str\n"},
};

static void
what_is_wrong_is_said_with_its_place(void **state)
{
	for (size_t i = 0; i < sizeof(complaints) / sizeof(complaints[0]); i++) {
		bind_with(complaints[i].text, "", 0);
		assert_string_equal(said.text, complaints[i].said);
	}
}

static void
messages_name_the_path(void **state)
{
	bind_with(GOOD "items: [{label: a, color: X}]\nwhat: 1\nthere: 3\n", "spec", 0);
	assert_string_equal(said.text,
			    "f.yaml:3:27: error: spec.items[0].color is \"X\", expected one of RED, "
			    "GREEN\n"
			    "f.yaml:4:1: error: unknown field \"what\" in spec, expected one of name, "
			    "note, flag, tiny, targetPort, big, wait, color, here, there, hosts, items, "
			    "portLevelMtls, labels, letter, any, silent, retries\n"
			    "f.yaml:5:8: error: spec.there is \"3\", expected a mapping\n");
}

static void
after_an_error_the_rest_is_bound(void **state)
{
	assert_false(bind_with("name: x\nhere: 1\nhosts: [a, b, c, d, e]\nwait: 10s\n", "", 0));
	assert_string_equal(thing.name, "x");
	assert_int_equal(thing.wait, 10000);
	assert_int_equal(thing.here.color, GREEN); /* fallbacks hold */
	assert_int_equal(thing.n_hosts, 3);        /* bounds hold */
}

static void
protojson_takes_snake_case_and_quoted_integers(void **state)
{
	assert_true(bind_with(GOOD "target_port: \"8080\"\nport_level_mtls: {1: {label: p}}\n", "",
			      SCHEMA_PROTOJSON));
	assert_int_equal(thing.port, 8080);
	assert_int_equal(thing.n_by_port, 1);
	assert_false(bind_with(GOOD "target_port: 1\ntargetPort: 2\n", "", SCHEMA_PROTOJSON));
	assert_string_equal(said.text,
			    "f.yaml:4:1: error: targetPort is there twice, expected it once\n");
	assert_false(bind_with(GOOD "flag: \"true\"\n", "", SCHEMA_PROTOJSON));
	assert_false(bind_with(GOOD "target_Port: 1\n", "", SCHEMA_PROTOJSON));
	assert_false(bind_with(GOOD "target_: 1\n", "", SCHEMA_PROTOJSON));
}

static void
durations(void **state)
{
	static const struct {
		const char *text;
		int64_t milliseconds; /* -1: refused */
	} cases[] = {
		{"10s", 10000},	     {"1h", 3600000},	  {"250ms", 250},     {"1h30m", 5400000},
		{"0", 0},	     {"0s", 0},		  {"1.5s", 1500},     {".5s", 500},
		{"2.s", 2000},	     {"999us", 0},	  {"1500us", 1},      {"1\xc2\xb5s", 0},
		{"1000000ns", 1},    {"0.000001h", 3},	  {"1m0.5s", 60500},  {"1.00000000001s", 1000},
		{"", -1},	     {"10", -1},	  {"s", -1},	      {"-1s", -1},
		{"1 s", -1},	     {"10S", -1},	  {"1d", -1},	      {".s", -1},
		{"1h30", -1},	     {"9999999999999999999s", -1},	      {"3000000h", -1},
		{"1s1", -1},	     {"1e3s", -1},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int64_t value = -1;
		bool good = schema_duration(cases[i].text, &value);

		if (good != (cases[i].milliseconds >= 0) || (good && value != cases[i].milliseconds))
			fail_msg("%s: %d, %ld", cases[i].text, good, (long)value);
	}
}

static void
long_paths_are_cut_and_not_overrun(void **state)
{
	char text[2048] = GOOD "labels: {";
	size_t len = strlen(text);

	memset(text + len, 'k', 1000);
	strcpy(text + len + 1000, ": [1]}\n");
	bind_with(text, "spec", 0);
	assert_non_null(strstr(said.text, "f.yaml:3:1012: error: spec.labels.kkkk"));
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(left_out_fields_have_their_fallback_or_zero),
		TEST(values_go_to_their_place),
		TEST(null_is_left_out),
		TEST(what_is_wrong_is_said_with_its_place),
		TEST(messages_name_the_path),
		TEST(after_an_error_the_rest_is_bound),
		TEST(protojson_takes_snake_case_and_quoted_integers),
		TEST(durations),
		TEST(long_paths_are_cut_and_not_overrun),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
