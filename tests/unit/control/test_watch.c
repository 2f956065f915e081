/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "control/watch.h"

static char folder[64];
static struct watch *watch;
static uint64_t clock_ms;

/* Files are told apart by times too, whose grain is the kernel's tick: two writes within one
 * would look the same if their sizes were. The tests write sizes that differ. */
static void
put(const char *name, const char *text)
{
	char path[256];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	file = fopen(path, "w");
	assert_non_null(file);
	assert_true(fputs(text, file) >= 0);
	assert_int_equal(fclose(file), 0);
}

static const char *
in_folder(const char *name)
{
	static char paths[4][256];
	static unsigned int next;
	char *path = paths[next++ % 4];

	snprintf(path, sizeof(paths[0]), "%s/%s", folder, name);
	return path;
}

static int
setup(void **state)
{
	snprintf(folder, sizeof(folder), "/tmp/portcullis-watch-XXXXXX");
	if (mkdtemp(folder) == NULL)
		return -1;
	watch = watch_create(0);
	clock_ms = 1000;
	return watch ? 0 : -1;
}

static int
teardown(void **state)
{
	char command[128];

	watch_destroy(watch);
	snprintf(command, sizeof(command), "rm -r %s", folder);
	return system(command);
}

static void
set(const char *name)
{
	const char *path = in_folder(name);

	assert_true(watch_set_paths(watch, &path, 1));
}

static bool
look(void)
{
	return watch_changed(watch, clock_ms += 100);
}

/* A change is seen, then found at rest, then known. */
static void
assert_one_change(void)
{
	assert_false(look());
	assert_true(look());
	assert_false(look());
	assert_false(look());
}

static void
nothing_changes_by_itself(void **state)
{
	put("a.yaml", "1");
	set("a.yaml");
	for (int i = 0; i < 5; i++)
		assert_false(look());
}

static void
write_in_place_is_a_change(void **state)
{
	put("a.yaml", "1");
	set("a.yaml");
	put("a.yaml", "22");
	assert_one_change();
}

static void
rename_over_is_a_change_though_sizes_are_equal(void **state)
{
	put("a.yaml", "1");
	put("b", "2");
	set("a.yaml");
	assert_int_equal(rename(in_folder("b"), in_folder("a.yaml")), 0);
	assert_one_change();
}

static void
removal_and_return_are_changes(void **state)
{
	put("a.yaml", "1");
	set("a.yaml");
	unlink(in_folder("a.yaml"));
	assert_one_change();
	put("a.yaml", "1");
	assert_one_change();
}

static void
file_that_appears_is_a_change(void **state)
{
	set("a.yaml");
	assert_false(look());
	put("a.yaml", "1");
	assert_one_change();
}

static void
file_that_is_being_written_is_waited_for(void **state)
{
	put("a.yaml", "1");
	set("a.yaml");
	put("a.yaml", "22");
	assert_false(look());
	put("a.yaml", "333");
	assert_false(look());
	put("a.yaml", "4444");
	assert_false(look());
	assert_true(look());
	assert_false(look());
}

static void
change_of_rights_is_a_change(void **state)
{
	put("key", "1");
	set("key");
	assert_int_equal(chmod(in_folder("key"), 0600), 0);
	assert_one_change();
}

static void
kubernetes_symlink_swap_is_a_change(void **state)
{
	assert_int_equal(mkdir(in_folder("..1"), 0755), 0);
	assert_int_equal(mkdir(in_folder("..2"), 0755), 0);
	put("..1/tls.crt", "x");
	put("..2/tls.crt", "y");
	assert_int_equal(symlink("..1", in_folder("..data")), 0);
	assert_int_equal(symlink("..data/tls.crt", in_folder("tls.crt")), 0);
	set("tls.crt");
	assert_false(look());
	assert_int_equal(symlink("..2", in_folder("..new")), 0);
	assert_int_equal(rename(in_folder("..new"), in_folder("..data")), 0);
	assert_one_change();
}

static void
symlink_swap_of_a_watched_folder_is_a_change(void **state)
{
	assert_int_equal(mkdir(in_folder("..1"), 0755), 0);
	assert_int_equal(mkdir(in_folder("..2"), 0755), 0);
	put("..1/mesh.yaml", "x");
	put("..2/mesh.yaml", "y");
	assert_int_equal(symlink("..1", in_folder("..data")), 0);
	assert_int_equal(symlink("..data/mesh.yaml", in_folder("mesh.yaml")), 0);
	set(".");
	assert_int_equal(symlink("..2", in_folder("..new")), 0);
	assert_int_equal(rename(in_folder("..new"), in_folder("..data")), 0);
	assert_one_change();
}

static void
folder_sees_its_resources_and_nothing_else(void **state)
{
	put("a.yaml", "1");
	set(".");
	put("notes.txt", "1");
	put(".a.yaml.swp", "1");
	put(".hidden.yaml", "1");
	assert_int_equal(mkdir(in_folder("sub"), 0755), 0);
	for (int i = 0; i < 3; i++)
		assert_false(look());
	put("b.yml", "1");
	assert_one_change();
	put("b.yml", "22");
	assert_one_change();
	assert_int_equal(rename(in_folder("b.yml"), in_folder("c.yml")), 0);
	assert_one_change();
	unlink(in_folder("c.yml"));
	assert_one_change();
}

static void
folder_that_disappears_is_a_change(void **state)
{
	assert_int_equal(mkdir(in_folder("mesh"), 0755), 0);
	set("mesh");
	assert_false(look());
	assert_int_equal(rmdir(in_folder("mesh")), 0);
	assert_one_change();
}

static void
certificate_and_key_come_to_rest_together(void **state)
{
	const char *paths[2] = {in_folder("crt"), in_folder("key")};

	put("crt", "1");
	put("key", "1");
	assert_true(watch_set_paths(watch, paths, 2));
	put("crt", "22");
	assert_false(look());
	put("key", "22");
	assert_false(look()); /* the certificate rests, the key does not */
	assert_true(look());
	assert_false(look());
}

static void
interval_is_kept(void **state)
{
	watch_destroy(watch);
	watch = watch_create(1000);
	put("a.yaml", "1");
	set("a.yaml");
	assert_false(watch_changed(watch, 5000));
	put("a.yaml", "22");
	assert_false(watch_changed(watch, 6000)); /* sees it */
	assert_false(watch_changed(watch, 6999)); /* does not look */
	assert_true(watch_changed(watch, 7000));
	assert_false(watch_changed(watch, 8000));
}

static void
change_survives_a_new_list_of_paths(void **state)
{
	const char *paths[2] = {in_folder("b"), in_folder("a")};

	put("a", "1");
	put("b", "1");
	set("a");
	put("a", "22");
	assert_false(look());
	assert_true(watch_set_paths(watch, paths, 2));
	assert_true(look());
	assert_false(look());
	assert_true(watch_set_paths(watch, NULL, 0));
	put("a", "333");
	assert_false(look());
	assert_false(look());
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(nothing_changes_by_itself),
		TEST(write_in_place_is_a_change),
		TEST(rename_over_is_a_change_though_sizes_are_equal),
		TEST(removal_and_return_are_changes),
		TEST(file_that_appears_is_a_change),
		TEST(file_that_is_being_written_is_waited_for),
		TEST(change_of_rights_is_a_change),
		TEST(kubernetes_symlink_swap_is_a_change),
		TEST(symlink_swap_of_a_watched_folder_is_a_change),
		TEST(folder_sees_its_resources_and_nothing_else),
		TEST(folder_that_disappears_is_a_change),
		TEST(certificate_and_key_come_to_rest_together),
		TEST(interval_is_kept),
		TEST(change_survives_a_new_list_of_paths),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
