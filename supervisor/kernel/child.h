/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * A child for what a process can only do by giving something up, such as joining a namespace. The
 * process that forks may have threads, be a library's, and block signals: so the child makes
 * nothing but system calls, and the program around us neither sees nor reaps it.
 */

#include <stddef.h>
#include <sys/types.h>

/*
 * fork() for a library: without handlers that could wait for a lock another thread holds, without
 * SIGCHLD, and not reaped by the program around us when it waits for any child (clone(2),
 * __WCLONE).
 */
pid_t child_fork(void);

/* Waits for the end of such a child. Returns 0 or -errno. */
int child_wait(pid_t pid);

/* Ends it, unless it has ended. Its id is its own until it is waited for. Returns 0 or -errno. */
int child_end(pid_t pid);

/*
 * For the child: closes all descriptors but these, which it sorts. Who gets hold of the child must
 * not get the listener with it. Returns 0 or -errno.
 */
int child_keep_fds(int *fds, size_t count);
