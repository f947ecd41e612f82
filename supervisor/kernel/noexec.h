/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * vm.memfd_noexec of PID namespaces other than our own. The kernel shows it to members of the
 * namespace only, so a child of ours joins it for a moment and reads it there.
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* A value that was read is taken as true for this long. */
#define NOEXEC_STALE_MS 100

/* A namespace is known by its inode on nsfs (namespaces(7)). */
struct noexec_namespace {
	ino_t ino;
	int fd; /* keeps the namespace, and so its inode number, alive; -1: the slot is free */
	int scope;
	uint64_t read_ns; /* CLOCK_MONOTONIC */
};

/* The namespaces seen last. Belongs to one thread. */
struct noexec_table {
	struct noexec_namespace slots[8];
};

void noexec_table_init(struct noexec_table *table);
void noexec_table_done(struct noexec_table *table);

/*
 * Stores the value of the namespace with this inode number and returns true, if it was read not
 * long ago. The number must be that of a namespace that is alive.
 */
bool noexec_table_find(struct noexec_table *table, ino_t ino, int *ret_scope);

/*
 * Reads the value of the namespace pid_ns_fd (takes it) with inode number ino, and remembers it.
 * Stores 0, 1 or 2, or -1 when the kernel has no such setting. Returns 0 or -errno: -EPERM without
 * the right to join it, -ETIMEDOUT when the child could not do its work, because somebody in there
 * stopped it.
 */
int noexec_table_read(struct noexec_table *table, int pid_ns_fd, ino_t ino, int *ret_scope);

/*
 * Stores the value of our own namespace, or -1 when the kernel has no such setting. Any thread; at
 * most NOEXEC_STALE_MS old. Returns 0 or -errno, such as -ENOENT without /proc.
 */
int noexec_own(int *ret_scope);
