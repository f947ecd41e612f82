/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * A detached, size-limited tmpfs: files of a tenant whose pages the kernel itself counts and
 * limits, page faults included. It is visible in no mount namespace, and goes with its last file.
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct tmpfs;

/*
 * Makes one (fsopen(2), fsmount(2); Linux 5.2). With CAP_SYS_ADMIN directly, else in a user
 * namespace that a child makes for it. Its files can be executed; those made with noexec cannot be
 * mapped with PROT_EXEC either. Returns 0 or -errno: -EPERM without any way to one.
 */
int tmpfs_new(uint64_t size_bytes, struct tmpfs **ret_tmpfs);
/* Takes NULL, returns NULL. Files that are still open live on. */
struct tmpfs *tmpfs_free(struct tmpfs *tmpfs);

/* Another limit, in force at once. Never below what is in use: it is then what is in use, and no
 * page can be added. At least a page. Returns 0 or -errno. */
int tmpfs_resize(struct tmpfs *tmpfs, uint64_t size_bytes);

/* What its files hold, by statfs(2). Returns 0 or -errno. */
int tmpfs_used(struct tmpfs *tmpfs, uint64_t *ret_bytes);

/*
 * Makes an unlinked file that is to a program what memfd_create(name) would have made without
 * MFD_ALLOW_SEALING: mode 0777, link text "/memfd:NAME (deleted)". Any number of threads, any
 * names. Returns a descriptor (close-on-exec, owned by the caller) or -errno: -EINVAL for a name
 * that no path can have (with an empty, "." or ".." component behind a slash), -ENOSPC.
 */
int tmpfs_create(struct tmpfs *tmpfs, const char *name, bool noexec);

/* A directory of it, for open_by_handle_at(2) and marks; borrowed. */
int tmpfs_fd(const struct tmpfs *tmpfs);
dev_t tmpfs_dev(const struct tmpfs *tmpfs);
