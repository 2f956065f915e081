/* SPDX-License-Identifier: Apache-2.0 */
#include "control/watch.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

struct watched {
	char *path;
	uint64_t known;  /* signature of what was last reported, or found when it was added */
	uint64_t latest; /* signature of the last look */
};

struct watch {
	struct watched *list;
	size_t n;
	uint32_t interval_ms;
	uint64_t looked_ms;
	bool looked;
};

/* --- signatures ----------------------------------------------------------------------------- */

/* FNV-1a, 64 bits: nobody gains by a collision but who may write the files anyway. */
#define FNV_START UINT64_C(0xcbf29ce484222325)

static uint64_t
mix(uint64_t hash, const void *data, size_t len)
{
	const unsigned char *bytes = data;

	for (size_t i = 0; i < len; i++)
		hash = (hash ^ bytes[i]) * UINT64_C(0x100000001b3);
	return hash;
}

static uint64_t
mix_status(uint64_t hash, const struct stat *status)
{
	const uint64_t values[] = {
		(uint64_t)status->st_dev,          (uint64_t)status->st_ino,
		(uint64_t)status->st_mode,         (uint64_t)status->st_size,
		(uint64_t)status->st_mtim.tv_sec,  (uint64_t)status->st_mtim.tv_nsec,
		(uint64_t)status->st_ctim.tv_sec, /* a change of rights, or of a restored mtime */
		(uint64_t)status->st_ctim.tv_nsec,
	};

	return mix(hash, values, sizeof(values));
}

static bool
is_resource(const char *name)
{
	const char *dot = strrchr(name, '.');

	return name[0] != '.' && dot != NULL &&
	       (strcmp(dot, ".yaml") == 0 || strcmp(dot, ".yml") == 0);
}

/* The sum over the entries does not depend on their order, which a file system may change.
 * The folder's own times are left out: they change with entries that are none of ours. */
static uint64_t
folder_signature(const char *path)
{
	uint64_t sum = mix(FNV_START, "folder", 6);
	DIR *folder = opendir(path);
	struct dirent *entry;

	if (folder == NULL)
		return mix(FNV_START, "closed", 6);
	while ((entry = readdir(folder)) != NULL) {
		uint64_t hash = mix(FNV_START, entry->d_name, strlen(entry->d_name) + 1);
		struct stat status;

		if (!is_resource(entry->d_name))
			continue;
		if (fstatat(dirfd(folder), entry->d_name, &status, 0) == 0)
			hash = mix_status(hash, &status);
		sum += hash * hash + hash;
	}
	closedir(folder);
	return sum;
}

static uint64_t
signature(const char *path)
{
	struct stat status;

	if (stat(path, &status) != 0)
		return mix(FNV_START, "absent", 6);
	if (S_ISDIR(status.st_mode))
		return folder_signature(path);
	return mix_status(FNV_START, &status);
}

/* --- the list of paths ---------------------------------------------------------------------- */

struct watch *
watch_create(uint32_t interval_ms)
{
	struct watch *watch = calloc(1, sizeof(*watch));

	if (watch != NULL)
		watch->interval_ms = interval_ms;
	return watch;
}

static void
free_list(struct watched *list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		free(list[i].path);
	free(list);
}

void
watch_destroy(struct watch *watch)
{
	if (watch == NULL)
		return;
	free_list(watch->list, watch->n);
	free(watch);
}

static int
by_path(const void *left, const void *right)
{
	const struct watched *a = left, *b = right;

	return strcmp(a->path, b->path);
}

static const struct watched *
find(const struct watch *watch, const char *path)
{
	struct watched key = {.path = (char *)(uintptr_t)path};

	if (watch->n == 0)
		return NULL;
	return bsearch(&key, watch->list, watch->n, sizeof(key), by_path);
}

bool
watch_set_paths(struct watch *watch, const char *const *paths, size_t n)
{
	struct watched *list = calloc(n ? n : 1, sizeof(*list));

	if (list == NULL)
		return false;
	for (size_t i = 0; i < n; i++) {
		const struct watched *before = find(watch, paths[i]);

		list[i].path = strdup(paths[i]);
		if (list[i].path == NULL) {
			free_list(list, i);
			return false;
		}
		list[i].known = before ? before->known : signature(paths[i]);
		list[i].latest = before ? before->latest : list[i].known;
	}
	qsort(list, n, sizeof(*list), by_path);
	free_list(watch->list, watch->n);
	watch->list = list;
	watch->n = n;
	return true;
}

/* --- looking -------------------------------------------------------------------------------- */

bool
watch_changed(struct watch *watch, uint64_t now_ms)
{
	bool changed = false, moving = false;

	if (watch->looked && now_ms - watch->looked_ms < watch->interval_ms)
		return false;
	watch->looked = true;
	watch->looked_ms = now_ms;
	for (size_t i = 0; i < watch->n; i++) {
		struct watched *watched = &watch->list[i];
		uint64_t now = signature(watched->path);

		moving |= now != watched->latest;
		changed |= now != watched->known;
		watched->latest = now;
	}
	/* Files that belong together (a certificate and its key) come to rest together. */
	if (moving || !changed)
		return false;
	for (size_t i = 0; i < watch->n; i++)
		watch->list[i].known = watch->list[i].latest;
	return true;
}
