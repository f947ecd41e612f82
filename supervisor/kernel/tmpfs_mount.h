/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The mounts of a detached tmpfs: made and changed by children, since it takes a mount namespace of
 * its own to make the second one, and without CAP_SYS_ADMIN a user namespace too.
 */

#include <stdint.h>

#include "base/fd.h"

/* One superblock, and so one limit, seen through two mounts that are in no mount namespace. */
struct tmpfs_mount {
	int dir_fd;        /* the root directory; owned */
	int noexec_dir_fd; /* the same, where nothing can be executed; owned */
	int user_ns_fd;    /* what the tmpfs belongs to; owned; -1: our own user namespace */
};

static inline void tmpfs_mount_done(struct tmpfs_mount *mount)
{
	mount->dir_fd = fd_close(mount->dir_fd);
	mount->noexec_dir_fd = fd_close(mount->noexec_dir_fd);
	mount->user_ns_fd = fd_close(mount->user_ns_fd);
}

/* size_bytes is at least 1. Returns 0 or -errno: -EPERM without any way to one. */
int tmpfs_mount_make(uint64_t size_bytes, struct tmpfs_mount *ret_mount);

/* Returns 0 or -errno: -EINVAL for less than what is in use. */
int tmpfs_mount_resize(const struct tmpfs_mount *mount, uint64_t size_bytes);
