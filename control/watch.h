/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTROL_WATCH_H
#define CONTROL_WATCH_H

/*
 * Notices when files or folders change, by looking at them: device, inode, size and times of
 * what a path leads to. Looking, and not inotify, sees every way in which a file is replaced:
 * written in place, renamed over, or swapped by a symbolic link somewhere up the path (as
 * Kubernetes does with ..data). A folder's signature covers the names in it and the
 * signatures of those of its files that end in .yaml or .yml.
 *
 * A change is reported when it has come to rest, that is when two looks in a row found the
 * same, so that a file is not read while it is being written. For the control thread only.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct watch;

/* `interval_ms`: how long a look is good for; 0: every call looks. NULL: no memory. */
struct watch *watch_create(uint32_t interval_ms);
void watch_destroy(struct watch *watch); /* NULL is fine */

/*
 * From now on these paths, copied; what they are now is taken as known for those that were
 * not watched before: to be called before they are read, so that a change after reading is
 * noticed. A path need not exist: that it appears is a change. False: no memory, and nothing
 * has changed.
 */
bool watch_set_paths(struct watch *watch, const char *const *paths, size_t n);

/* True once for every change that has come to rest. `now_ms` is of a monotonic clock. */
bool watch_changed(struct watch *watch, uint64_t now_ms);

#endif
