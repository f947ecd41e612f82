/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Processes as /proc shows them, and how to be sure that one is still the one that was meant. A pid
 * together with the time of its process's start is never given out twice.
 *
 * A descriptor of /proc/PID (openat(2) below it) belongs to the process that it was opened of: once
 * that is gone, nothing can be opened there any more, whoever has its pid by then.
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* The process does not let itself be looked into (kernel/lookout.h). */
#define PROCESS_START_UNKNOWN UINT64_MAX

struct process {
	pid_t pid, parent;
	uint64_t start_ticks; /* since boot, in ticks of sysconf(_SC_CLK_TCK), or as below */
	unsigned threads;
	bool leader_gone; /* its first thread has ended: what it has, its other threads have */
};

/*
 * Lists the descendants of root, not root itself; with 0, every process that is visible. The caller
 * is never in it. Stores an array by pid, for free(). Returns the count or -errno. A process that
 * is born or loses its parent while we look may be missing, never one that stays as it is.
 */
ssize_t process_list(pid_t root, struct process **ret_list);

/* Opens /proc/PID. Returns a descriptor (owned by the caller), -ESRCH, or -errno. */
int process_open_dir(pid_t pid);

/* Reads what process_list() reads, below a descriptor of /proc/PID. Returns 0, -ESRCH, or -errno.
 */
int process_read(pid_t pid, int dir_fd, struct process *ret_process);

/*
 * Opens /proc/PID if that process is the one that started then. Returns as process_open_dir(), and
 * -EBUSY when that cannot be seen.
 */
int process_open_same(pid_t pid, uint64_t start_ticks);

/*
 * A pidfd of the process that started then, if it is below root (0: wherever it is) and neither the
 * caller nor process 1. Returns a descriptor (owned by the caller), -ESRCH when it is gone, -EPERM
 * when it is one of those that it must not be, or -errno.
 */
int process_open_below(pid_t pid, uint64_t start_ticks, pid_t root);

/* Whether the process of a pidfd has ended. */
bool process_has_ended(int pidfd);

/* Now, in ticks as in struct process. */
uint64_t process_now_ticks(void);
