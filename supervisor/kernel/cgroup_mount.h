/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Where a controller is mounted, and how a path of /proc/PID/cgroup leads there. Private to
 * kernel/ and its tests.
 *
 * Paths in /proc/PID/cgroup, and the root of a mount in /proc/self/mountinfo, are both written as
 * seen from the reader's cgroup namespace (cgroup_namespaces(7)): a place outside of it begins with
 * one "/.." for each level that it lies above the namespace's root.
 */

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/macro.h"

/*
 * A v1 group without a limit shows PAGE_COUNTER_MAX, 2^63 less one page. Nothing has that much
 * memory, so all that comes near is no limit.
 */
#define CGROUP_LIMIT_NONE_V1 (UINT64_C(1) << 62)

/* Names of controllers; the last stands for the tree of cgroup v2 itself, whatever it controls. */
#define CGROUP_MEMORY  "memory"
#define CGROUP_HUGETLB "hugetlb"
#define CGROUP_FREEZER "freezer" /* v1 only: on v2 every group can be frozen */
#define CGROUP_V2      ""

struct cgroup_mount {
	int dir_fd;             /* the mounted folder, O_PATH; owned */
	const char *controller; /* as it was looked for */
	bool v2;                /* cgroup v2, else v1 */
	bool is_root;   /* the folder is the root of the whole hierarchy, which nothing limits */
	bool preferred; /* the mount that libcgroup itself would use */
	char *root;     /* the group that the folder shows; "" for the namespace's own root */
	char *inside;   /* where root is above the namespace: the way from the folder to the
			   namespace's root, such as "/a/b"; NULL when unknown */
};

#define CGROUP_MOUNT_NONE ((struct cgroup_mount){.dir_fd = -1})

/*
 * Finds the controller's mount. Returns 0, or -errno: -ENODEV when none is visible. The result is
 * to be released with cgroup_mount_done(), which takes an empty one too.
 */
int cgroup_mount_find(const char *controller, struct cgroup_mount *ret_mount);
void cgroup_mount_done(struct cgroup_mount *mount);
#define _cleanup_cgroup_mount_ cleanup(cgroup_mount_done)

/*
 * The path of a group in the text of a /proc/PID/cgroup (cgroups(7)): from the line that lists the
 * controller on v1, from the line "0::" for CGROUP_V2. Returns a pointer into text and stores its
 * length, or NULL.
 */
const char *cgroup_text_path(const char *controller, const char *text, size_t *ret_len);

/* The same for the controller of a mount. */
const char *cgroup_mount_text_path(
	const struct cgroup_mount *mount, const char *text, size_t *ret_len);

/*
 * The path of a process's group in the mount's hierarchy, as cgroup_text_path() would give it,
 * NUL-ended; proc_fd is of its folder in /proc, or AT_FDCWD for the calling process. Returns 0 or
 * -errno: -ESRCH when it is gone.
 */
int cgroup_mount_path_of(
	const struct cgroup_mount *mount, int proc_fd, char ret_path[static PATH_MAX]);

/*
 * Translates the path of a group into one below the mount's folder: "" for the folder itself, else
 * "a/b". Where the way to it is not known, the nearest ancestor that is. Returns the length, or
 * -ENOENT when neither the group nor an ancestor of it is below the folder, or -ENAMETOOLONG.
 */
int cgroup_mount_relative(
	const struct cgroup_mount *mount, const char *path, size_t len, char ret_path[PATH_MAX]);
