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
 * Makes one (fsopen(2), fsmount(2), mount_setattr(2); Linux 5.12), in a child: with CAP_SYS_ADMIN
 * in a mount namespace that lasts as long as the child, else in a user namespace too, which the
 * tmpfs keeps. Returns 0 or -errno: -EPERM without any way to one, -ETIMEDOUT when somebody holds
 * the child up.
 */
int tmpfs_new(uint64_t size_bytes, struct tmpfs **ret_tmpfs);
/* Takes NULL, returns NULL. Files that are still open live on. */
struct tmpfs *tmpfs_free(struct tmpfs *tmpfs);

/* What tmpfs_resize() says when more is in use. */
#define TMPFS_STILL_LARGER 1

/*
 * Another limit, in force at once, at least a page. It is never below what is in use: then it is
 * what is in use, no page can be added, and TMPFS_STILL_LARGER is returned. The caller tries again
 * later, or what is freed could be used once more. Returns 0 otherwise, or -errno.
 */
int tmpfs_resize(struct tmpfs *tmpfs, uint64_t size_bytes);

/* What its files hold, by statfs(2). Returns 0 or -errno. */
int tmpfs_used(struct tmpfs *tmpfs, uint64_t *ret_bytes);

/* Whether a file can have this name: at most 249 bytes, and behind a slash no empty, "." or ".."
 * component, which a path would lose. */
bool tmpfs_has_name(const char *name);

/*
 * Makes an unlinked file that is to a program what memfd_create(name) would have made without
 * MFD_ALLOW_SEALING: mode 0777, link text "/memfd:NAME (deleted)". Any number of threads, any
 * names. With noexec it can neither be executed nor mapped with PROT_EXEC, whatever its mode.
 * Returns a descriptor (close-on-exec, owned by the caller) or -errno: -EINVAL without
 * tmpfs_has_name().
 *
 * What shows nevertheless: the device, the inode's small number, the mount's id, flags and limit
 * (fstatfs(2)); and that the file came from open(2). It is busy while anybody has it open for
 * writing, so that it can't be executed by the descriptor that wrote it (execve(2), ETXTBSY), nor
 * leased for reading; O_DIRECT can be set on it (Linux 6.6); and inotify(7) tells of reads and
 * writes, of which newer kernels tell nothing on a memfd.
 */
int tmpfs_create(struct tmpfs *tmpfs, const char *name, bool noexec);

/* A directory of it, for open_by_handle_at(2) and marks; borrowed. */
int tmpfs_fd(const struct tmpfs *tmpfs);
dev_t tmpfs_dev(const struct tmpfs *tmpfs);
