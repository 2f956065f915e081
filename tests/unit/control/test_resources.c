/* SPDX-License-Identifier: Apache-2.0 */
/* Reading Istio's resources: what the policy cases cannot say. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "control/resources.h"

struct fixture {
	struct arena *arena;
	struct diagnostics *diagnostics;
	char said[4096];
};

static int
set_up(void **state)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));

	fixture->arena = arena_create();
	fixture->diagnostics = diagnostics_create();
	*state = fixture;
	return 0;
}

static int
tear_down(void **state)
{
	struct fixture *fixture = *state;

	diagnostics_destroy(fixture->diagnostics);
	arena_destroy(fixture->arena);
	free(fixture);
	return 0;
}

static void
keep(void *ctx, const char *line)
{
	struct fixture *fixture = ctx;
	size_t len = strlen(fixture->said);

	snprintf(fixture->said + len, sizeof(fixture->said) - len, "%s\n", line);
}

static struct resources *
parse(struct fixture *fixture, const char *text)
{
	struct resources *resources = resources_parse(fixture->arena, fixture->diagnostics,
						      "f.yaml", text, strlen(text),
						      "istio-system");

	diagnostics_report(fixture->diagnostics, keep, fixture);
	return resources;
}

#define HEAD "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\n"

static void
many_documents_and_empty_ones(void **state)
{
	struct fixture *fixture = *state;
	const struct resources *resources =
		parse(fixture, "---\n---\n" HEAD "metadata: {name: a}\n---\n# nothing\n---\n" HEAD
			       "metadata: {name: b, namespace: x}\n...\n");

	assert_string_equal(fixture->said, "");
	assert_int_equal(resources->n_peers, 2);
	assert_string_equal(resources->peers[0]->meta.id, "default/a");
	assert_string_equal(resources->peers[1]->meta.id, "x/b");
	assert_int_equal(resources->peers[1]->meta.node->place.line, 8);
}

static void
sorted_by_age_then_name_then_namespace(void **state)
{
	struct fixture *fixture = *state;
	const struct resources *resources = parse(
		fixture,
		HEAD "metadata: {name: b, namespace: n1}\n---\n"
		HEAD "metadata: {name: z, namespace: n1, creationTimestamp: '2020-01-01T00:00:00Z'}\n"
		"---\n"
		HEAD "metadata: {name: a, namespace: n2}\n---\n"
		HEAD "metadata: {name: a, namespace: n1}\n---\n"
		HEAD "metadata: {name: a, namespace: n0, creationTimestamp: '2021-01-01T00:00:00Z'}\n");
	static const char *const wanted[] = {"n1/a", "n2/a", "n1/b", "n1/z", "n0/a"};

	assert_int_equal(resources->n_peers, 5);
	for (unsigned int i = 0; i < 5; i++)
		assert_string_equal(resources->peers[i]->meta.id, wanted[i]);
}

static void
broken_documents_leave_the_others(void **state)
{
	struct fixture *fixture = *state;
	const struct resources *resources =
		parse(fixture, HEAD "metadata: {name: a}\nspec: {mtls: {mode: X}}\n---\n" HEAD
				    "metadata: {name: b}\n");

	assert_int_equal(diagnostics_errors(fixture->diagnostics), 1);
	assert_int_equal(resources->n_peers, 1);
	assert_string_equal(resources->peers[0]->meta.name, "b");
}

static void
errors_have_file_line_and_column(void **state)
{
	struct fixture *fixture = *state;

	parse(fixture, HEAD "metadata:\n  name: a\nspec:\n  mtls:\n    mode: STRIKT\n");
	assert_int_equal(strncmp(fixture->said, "f.yaml:7:11: error: spec.mtls.mode is \"STRIKT\"",
				 46),
			 0);
	assert_non_null(strstr(fixture->said, "PERMISSIVE"));
}

static void
lists_within_lists_have_a_limit(void **state)
{
	struct fixture *fixture = *state;
	char text[4096] = "";

	for (unsigned int i = 0; i < 20; i++)
		strcat(text, "{apiVersion: v1, kind: List, items: [");
	for (unsigned int i = 0; i < 20; i++)
		strcat(text, "]}");
	parse(fixture, text);
	assert_int_equal(diagnostics_errors(fixture->diagnostics), 1);
	assert_non_null(strstr(fixture->said, "too deep"));
}

static void
times(void **state)
{
	static const struct {
		const char *text;
		bool good;
		int64_t seconds;
	} rows[] = {
		{"1970-01-01T00:00:00Z", true, 0},
		{"2026-01-31T12:00:00Z", true, 1769860800},
		{"2026-01-31T12:00:00.999999Z", true, 1769860800},
		{"2026-01-31T13:30:00+01:30", true, 1769860800},
		{"2026-01-31T11:00:00-01:00", true, 1769860800},
		{"2026-01-31T12:00:00", false, 0},
		{"2026-01-31T12:00:00.Z", false, 0},
		{"2026-01-31T12:00:00Zx", false, 0},
		{"2026-01-31", false, 0},
		{"2026-13-31T12:00:00Z", false, 0},
		{"2026-01-31T12:00:00+1:30", false, 0},
		{"2026-01-31T12:00:00+aa:bb", false, 0},
		{"", false, 0},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		int64_t seconds = 0;

		assert_int_equal(resource_time(rows[i].text, &seconds), rows[i].good);
		if (rows[i].good)
			assert_int_equal(seconds, rows[i].seconds);
	}
}

static void
labels_match_as_a_subset(void **state)
{
	struct schema_pair pairs[] = {{"a", "1"}, {"b", "2"}, {"a", "2"}};
	struct labels none = {NULL, 0}, a = {pairs, 1}, ab = {pairs, 2}, other = {pairs + 2, 1};

	assert_true(labels_match(&none, &ab));
	assert_true(labels_match(&none, &none));
	assert_true(labels_match(&a, &ab));
	assert_false(labels_match(&ab, &a));
	assert_false(labels_match(&other, &ab));
	assert_string_equal(labels_get(&ab, "b"), "2");
	assert_null(labels_get(&ab, "c"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(many_documents_and_empty_ones),
		TEST(sorted_by_age_then_name_then_namespace),
		TEST(broken_documents_leave_the_others),
		TEST(errors_have_file_line_and_column),
		TEST(lists_within_lists_have_a_limit),
		cmocka_unit_test(times),
		cmocka_unit_test(labels_match_as_a_subset),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
