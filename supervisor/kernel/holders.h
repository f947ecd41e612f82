/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Which processes hold which files: /proc/PID/fd and /proc/PID/maps, for the rare times when
 * somebody has to answer for memory. Slow: 10 to 20 ms for each hundred processes. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* To be measured on the way: of files that somebody has a descriptor of. */
#define HOLDER_UNKNOWN UINT64_MAX

struct holder_file {
	uint64_t dev, ino;
	uint64_t bytes; /* of memory that it takes, or HOLDER_UNKNOWN */
};

struct holder {
	pid_t pid;
	uint64_t start_ticks; /* with the pid, names the process for good (kernel/process.h) */
	uint64_t held_bytes;  /* of the files that it has a descriptor or a mapping of */
	/*
	 * What of these the OOM killer does not see: held_bytes less the shared memory that is in
	 * its page tables, of whatever file (RssShmem). So that and its resident memory together
	 * never are less than what it holds, but for the dozens of pages by which the kernel's
	 * counters lag; a mapping that it has not touched hides nothing.
	 */
	uint64_t unmapped_bytes;
	bool partial; /* it has more than was looked at */
};

/*
 * Looks at every process below root (its descendants, not itself; 0: every process that is visible)
 * for files (borrowed; any order). Never looks at the caller. Stores an array, largest held_bytes
 * first, of those that hold any, for free(). Returns the count or -errno. Those that we may not
 * look into (ptrace(2), PTRACE_MODE_READ) are left out.
 *
 * Threads that have a table of descriptors of their own (unshare(2)) are looked at where the kernel
 * has kcmp(2). Memory that is only in messages in sockets, or in fixed buffers of io_uring, is held
 * by nobody here.
 *
 * In a thread with a lookout (kernel/lookout.h) a process that does not let itself be looked into,
 * which a tenant can bring about, is left out; in another, it is waited for.
 *
 * All processes together have 262,144 descriptors, mappings and threads looked at, of which each
 * gets its even share, and what others leave of theirs. Of a table that is larger, half a share is
 * looked at from the beginning and half from a place that differs each time: so who hides a file
 * behind a million others is found after some tries.
 */
ssize_t holders_find(
	pid_t root, const struct holder_file *files, size_t count, struct holder **ret_holders);
