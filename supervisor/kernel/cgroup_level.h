/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A task's group and all that are above it, one after the other: for what is asked so seldom that
 * nothing needs to be kept open (kernel/cgroup.h has the memory controller on the path of a call).
 * Private to kernel/. */

#include <stdint.h>

#include "kernel/cgroup_mount.h"

/* Reads one number of a group; "max" is CGROUP_UNLIMITED. Returns 0 or -errno. */
int cgroup_level_read(int dir_fd, const char *file, uint64_t *ret_value);

/* What a group may use and what it uses: the names of two files. */
struct cgroup_level_files {
	const char *limit, *usage;
};

/* What a group has left, or CGROUP_UNLIMITED; also where its files cannot be read. Stores the limit
 * unless ret_limit is NULL. */
uint64_t cgroup_level_headroom(
	int dir_fd, const struct cgroup_level_files *files, uint64_t *ret_limit);

typedef void cgroup_level_fn(int dir_fd, void *userdata);

/*
 * Calls fn with the folder (borrowed, O_PATH) of the group that the process is in, and of each
 * visible group above it; not of the root of the whole tree, which nothing limits. proc_fd is of
 * the process's folder in /proc. Returns 0, -ESRCH, -ENOENT when nothing of it is visible, or
 * -errno.
 */
int cgroup_level_each(
	const struct cgroup_mount *mount, int proc_fd, cgroup_level_fn *fn, void *userdata);
