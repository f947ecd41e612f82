/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The memory controller, in cgroup v1, v2 and hybrid trees: how much room a task's group has left,
 * and a group of our own for `run --memory`. libcgroup finds mounts and makes groups; it costs
 * hundreds of microseconds a call, so on the path of a system call only cached descriptors are
 * read.
 */

#include <stddef.h>
#include <stdint.h>

/* The memory hierarchy, with cached descriptors of the groups seen last. Belongs to one thread. */
struct cgroup_view;

/* Returns 0, or -errno: -ENODEV when no memory controller is visible here. */
int cgroup_view_new(struct cgroup_view **ret_view);
/* Takes NULL, returns NULL. */
struct cgroup_view *cgroup_view_free(struct cgroup_view *view);

/*
 * Which line of /proc/PID/cgroup names a task's memory group: extracts the path from its text.
 * Returns a pointer into text and stores its length, or NULL where there is no such line.
 */
const char *cgroup_view_path(const struct cgroup_view *view, const char *text, size_t *ret_len);

#define CGROUP_UNLIMITED UINT64_MAX

/*
 * The tightest of a group and its visible ancestors, by what a group may use at most: memory.max
 * and memory.current on v2, memory.limit_in_bytes and memory.usage_in_bytes on v1. (Ancestors
 * without memory.use_hierarchy went with Linux 5.11, before the first kernel that we run on.) Usage
 * counts page cache that the kernel would give back when asked: a group that reads many files sits
 * near its limit for good. Telling how much of it that is takes a read of memory.stat, ten times
 * as dear as all else here, and its answer is a guess; the difference is exact.
 */
struct cgroup_memory {
	uint64_t headroom_bytes; /* smallest limit - usage, CGROUP_UNLIMITED where nothing limits */
	unsigned max_usage_ppm;  /* largest usage / limit, in millionths; 0 where nothing limits */
};

/*
 * Measures the group at path (as cgroup_view_path() gave it, len bytes, not NUL-ended) and every
 * ancestor that is visible: with a namespaced or partly hidden tree that is what can be seen. No
 * allocation once the group is cached. Returns 0 or -errno; -ENOENT when neither the group nor any
 * ancestor is visible. Holds at most 128 descriptors, whatever groups it is asked about.
 */
int cgroup_view_measure(
	struct cgroup_view *view, const char *path, size_t len, struct cgroup_memory *ret_memory);

/* A group that fdwarden made. */
struct cgroup_group;

/*
 * Makes a new group with a memory limit (swap included where the kernel counts it) below the
 * caller's own.
 *
 * On v2 a group with processes in it cannot be divided. If the calling process, which must have one
 * thread, is alone in its group, it moves into a second new group beside the one that it makes, and
 * cgroup_group_remove() moves it and its children back; otherwise the new group is made beside the
 * caller's own, unless that one has a limit which the command would so get away from. Call it
 * before any fork.
 *
 * Returns 0 or -errno: -EACCES or -EPERM without the right to, -EROFS where the cgroup file system
 * is read-only, -EBUSY where v2 leaves no place for it, -ENODEV without a memory controller.
 * *ret_hint is set on failure to a sentence for people that says what to do.
 */
int cgroup_group_new(uint64_t limit_bytes, struct cgroup_group **ret_group, const char **ret_hint);

/* Moves the calling process into it. Async-signal-safe, for use after fork. Returns 0 or -errno. */
int cgroup_group_enter(const struct cgroup_group *group);

/*
 * Removes the group once its last process is gone, with the groups that were made in it if they are
 * empty; waits up to a second for the kernel to let go. To be called by the process that made it,
 * or by one of its children. Where the caller was in the root of the tree, a folder of mode 0555,
 * even root needs CAP_DAC_OVERRIDE for it. Takes NULL, returns NULL.
 */
struct cgroup_group *cgroup_group_remove(struct cgroup_group *group);
