/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Where the memory controller is mounted, and how a path of /proc/PID/cgroup leads there. Private
 * to kernel/cgroup_*.c and their tests.
 *
 * Paths in /proc/PID/cgroup, and the root of a mount in /proc/self/mountinfo, are both written as
 * seen from the reader's cgroup namespace (cgroup_namespaces(7)): a place outside of it begins with
 * one "/.." for each level that it lies above the namespace's root.
 */

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/macro.h"

struct cgroup_mount {
	int dir_fd;     /* the mounted folder, O_PATH; owned */
	bool v2;        /* cgroup v2, else v1 */
	bool is_root;   /* the folder is the root of the whole hierarchy, which nothing limits */
	bool preferred; /* the mount that libcgroup itself would use */
	char *root;     /* the group that the folder shows; "" for the namespace's own root */
	char *inside;   /* where root is above the namespace: the way from the folder to the
			   namespace's root, such as "/a/b"; NULL when unknown */
};

#define CGROUP_MOUNT_NONE ((struct cgroup_mount){.dir_fd = -1})

/*
 * Finds the memory controller's mount. Returns 0, or -errno: -ENODEV when none is visible. The
 * result is to be released with cgroup_mount_done(), which takes an empty one too.
 */
int cgroup_mount_find(struct cgroup_mount *ret_mount);
void cgroup_mount_done(struct cgroup_mount *mount);
#define _cleanup_cgroup_mount_ cleanup(cgroup_mount_done)

/*
 * The path of the memory group in the text of a /proc/PID/cgroup (cgroups(7)): from the line that
 * lists "memory" on v1, from the line "0::" on v2. Returns a pointer into text and stores its
 * length, or NULL.
 */
const char *cgroup_text_path(bool v2, const char *text, size_t *ret_len);

/*
 * The path of the calling process's own memory group, as cgroup_text_path() would give it,
 * NUL-ended. Returns 0 or -errno.
 */
int cgroup_text_own_path(bool v2, char ret_path[static PATH_MAX]);

/*
 * Translates the path of a group into one below the mount's folder: "" for the folder itself, else
 * "a/b". Where the way to it is not known, the nearest ancestor that is. Returns the length, or
 * -ENOENT when neither the group nor an ancestor of it is below the folder, or -ENAMETOOLONG.
 */
int cgroup_mount_relative(
	const struct cgroup_mount *mount, const char *path, size_t len, char ret_path[PATH_MAX]);
