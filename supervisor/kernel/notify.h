/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The ioctls of a seccomp listener, each with the outcome that a supervisor has to handle. See
 * seccomp_unotify(2) and kernel/seccomp.c.
 */

#include <stdbool.h>
#include <stdint.h>

#include "kernel/compat.h"

/*
 * Room for one notification, larger than the kernel's struct so that a newer kernel's longer one
 * fits (SECCOMP_GET_NOTIF_SIZES; notify_prepare() checks). The kernel wants it zeroed before each
 * receive.
 */
union notification {
	struct seccomp_notif notif;
	char room[128];
};

/*
 * Checks once that this kernel's structures fit, and asks for synchronous wake-ups
 * (SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP, Linux 6.6), which are faster by far and which older kernels
 * refuse. Stores in *ret_sync_wake_up whether they were granted. Returns 0, or -errno: -EOPNOTSUPP
 * when this kernel's notifications do not fit.
 */
int notify_prepare(int listener, bool *ret_sync_wake_up);

/* Outcomes of the functions below that are not errors. */
enum notify_outcome {
	NOTIFY_OK = 0,
	NOTIFY_GONE = 1,  /* the call ended unanswered: its task was killed or interrupted */
	NOTIFY_AGAIN = 2, /* nothing received: a signal came, or the caller died meanwhile */
	NOTIFY_END = 3,   /* the last task under the filter is gone */
};

/*
 * Receives the next call into *slot, blocking until there is one. Returns NOTIFY_OK, NOTIFY_AGAIN
 * or NOTIFY_END, or -errno. Before Linux 6.11 a receiver that blocks does not see the end.
 */
int notify_receive(int listener, union notification *slot);

/* Whether a call is queued (NOTIFY_OK), none is (NOTIFY_AGAIN), or none will be (NOTIFY_END). */
int notify_poll(int listener);

/* The same, but blocks until it is NOTIFY_OK or NOTIFY_END. */
int notify_wait(int listener);

/*
 * Whether notify_receive() returns at the end of the listener by itself (Linux 6.11); where it does
 * not, call notify_wait() first.
 */
bool notify_receive_sees_end(void);

/* NOTIFY_OK while the call waits for its answer, NOTIFY_GONE after. */
int notify_valid(int listener, uint64_t id);

/* Lets the kernel run the call as it is. NOTIFY_OK, NOTIFY_GONE or -errno. */
int notify_continue(int listener, uint64_t id);

/* Ends the call with -error (a positive errno). NOTIFY_OK, NOTIFY_GONE or -errno. */
int notify_fail(int listener, uint64_t id, int error);

/* Ends the call with a result of its own, which is not an error. NOTIFY_OK, NOTIFY_GONE or -errno.
 */
int notify_return(int listener, uint64_t id, int64_t value);

/*
 * Installs *fd as the lowest free descriptor of the caller, and ends the call with its number. On
 * NOTIFY_OK stores the number in *ret_caller_fd and has closed *fd, which is -1 then: in two steps
 * before the caller goes on, so that nothing of its file is ours any more (a file on a file system
 * cannot be executed while somebody has it open for writing). NOTIFY_GONE, or -errno: -EMFILE when
 * the caller has no descriptor left; the call then still waits for its answer, and *fd is left.
 *
 * There are two ways, and each has a flaw of its own:
 *
 * In one step (SECCOMP_ADDFD_FLAG_SEND, Linux 5.14) the kernel marks the call as answered before
 * the caller has picked the file up, and does not take that back when our wait for that is
 * interrupted: the caller then returns 0, a descriptor that it never got (seen on Linux 6.18).
 * Signals can be blocked, and must be by the calling thread; SIGKILL, SIGSTOP and a freezing cgroup
 * cannot.
 *
 * In two steps, when two_steps is set, whatever happens to us the caller gets its file or ENOSYS;
 * but between the steps a caller that leaves the call, or whose supervisor dies, has a descriptor
 * that it does not know of. So two steps are for a filter with WAIT_KILLABLE_RECV, under which a
 * caller leaves only by dying.
 */
int notify_inject(
	int listener, uint64_t id, int *fd, bool close_on_exec, bool two_steps, int *ret_caller_fd);
