/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Which processes hold which files: /proc/PID/fd and /proc/PID/maps, for the rare times when
 * somebody has to answer for memory. Slow: milliseconds for each hundred processes. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct holder_file {
	uint64_t dev, ino;
	uint64_t bytes; /* what it holds */
};

struct holder {
	pid_t pid;
	int pidfd; /* owned: opened before the process was looked at, so that it can be no other */
	uint64_t held_bytes;     /* of the files that it has a descriptor or a mapping of */
	uint64_t unmapped_bytes; /* of those that it has a descriptor of and no mapping */
};

/*
 * Looks at every process below root (its descendants, not itself; 0: every process that is visible)
 * for files (borrowed; any order). Stores an array, largest held_bytes first, of those that hold
 * any; holders_free() it. Returns the count or -errno.
 */
ssize_t holders_find(pid_t root, const struct holder_file *files, size_t count,
	struct holder **ret_holders);
void holders_free(struct holder *holders, size_t count);
