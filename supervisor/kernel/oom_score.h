/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What the kernel's OOM killer goes by (mm/oom_kill.c, oom_badness()): resident memory, swap and
 * page tables of a process, plus oom_score_adj thousandths of the memory that has run out, which is
 * the limit of a cgroup and the swap that it may use, or all of the machine's. Pages of a memfd
 * that nobody has mapped count for nobody.
 */

#include <linux/oom.h>
#include <stdint.h>

/* /proc/PID/oom_score_adj; proc_fd is of /proc/PID. Returns 0, -ESRCH, or -errno. */
int oom_score_read(int proc_fd, int *ret_adj);

/*
 * The same; -EACCES or -EPERM for a process of somebody else. With CAP_SYS_RESOURCE in effect the
 * kernel also makes the value the lowest that the process may give itself from now on
 * (oom_score_adj_min, fs/proc/base.c): call it without, see oom_score_drop_right().
 */
int oom_score_write(int proc_fd, int adj);

/*
 * Gives up CAP_SYS_RESOURCE in the calling thread's effective set, for the thread's life, so that
 * raising a score and lowering it again leaves no trace. Returns 0 or -errno.
 */
int oom_score_drop_right(void);

/* The machine's memory, and how it is divided. */
struct oom_memory;

/* Returns 0 or -errno. */
int oom_memory_new(struct oom_memory **ret_memory);
/* Takes NULL, returns NULL. */
struct oom_memory *oom_memory_free(struct oom_memory *memory);

/* Reads anew how much of the machine's memory is available. Returns 0 or -errno. */
int oom_memory_update(struct oom_memory *memory);

/*
 * The memory that will run out first for a process: that of the group, of all that are above it and
 * the machine, that has the least left. A point of oom_score_adj is a thousandth of it. Returns
 * bytes, more than 0.
 */
uint64_t oom_memory_for(const struct oom_memory *memory, int proc_fd);

/* The points that stand for so many bytes of total: 0 to 1000. */
int oom_score_points(uint64_t bytes, uint64_t total_bytes);
