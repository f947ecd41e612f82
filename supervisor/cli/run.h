/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * `fdwarden run` is three processes:
 *
 * - The front has the pid that the caller of fdwarden sees, and stands for the command: hands
 *   signals down, stops when the command stops, ends with its exit status.
 *
 * - The supervisor answers the calls and reaps orphans, in a process group of its own. It lives
 *   until the last supervised process is gone, so that a daemon left behind goes on working after
 *   the front has returned.
 *
 * - The command is what was asked for, in the front's process group and session.
 *
 * The supervisor is an ancestor of all that it reads from, because that is what Yama's ptrace_scope
 * 1 asks of an ordinary user (Documentation/admin-guide/LSM/Yama.rst). The front is a process of
 * its own, because a shell has to see it stop while the supervisor must go on answering.
 */

#include <linux/filter.h>
#include <signal.h>
#include <stdbool.h>

#include "core/audit.h"
#include "kernel/cgroup.h"
#include "policy/policy.h"

struct run_config {
	char **command; /* NULL-ended */
	const char *tenant;
	struct policy *policy;
	enum policy_mode mode;
	struct sock_fprog program;
	struct cgroup_group *group; /* NULL: none */
	int events_fd;              /* -1: none */
	enum audit_format format;
	bool summary;
	pid_t front;            /* its pid */
	bool init;              /* the front is process 1: when it ends, all end */
	sigset_t original_mask; /* for the command */
	bool sigchld_ignored;   /* by whoever started us, which the command must see again */
};

/* From the front to the supervisor: a signal for the command. */
struct run_signal {
	int signo;
	int stop;    /* SIGCONT: the number of the last stop that the front knew of */
	bool queued; /* sent by sigqueue(3), with a value */
	union sigval value;
};

/* From the supervisor to the front. */
struct run_notice {
	enum {
		RUN_STARTED, /* value: the command's pid */
		RUN_STOPPED, /* value: how many times the command has stopped */
		RUN_EXITED,  /* value: the exit status to end with */
		RUN_LEFT,    /* the front may end; other processes live on, and the supervisor with
				them */
		RUN_ENDED,   /* the front may end, and the supervisor does */
	} kind;
	int value;
};

/*
 * In the front. control (borrowed) leads to the supervisor. group (taken, may be NULL) is removed
 * at the end, unless processes live on in it. Returns the exit status.
 */
int run_front(pid_t supervisor, int control, struct cgroup_group *group);

/* In the supervisor. control (borrowed) leads to the front. Returns its own exit status. */
int run_supervise(const struct run_config *config, int control);

/*
 * In the command's process: installs the filter, hands its listener over through handshake
 * (borrowed), waits for the supervisor's word that it is ready, and becomes the command. Exits
 * where that fails.
 */
_Noreturn void run_command(const struct run_config *config, int handshake);

/* The words of the handshake (base/message.h). */
#define RUN_LISTENER          'l'
#define RUN_LISTENER_KILLABLE 'k' /* of a filter with WAIT_KILLABLE_RECV */
#define RUN_READY             'r'

/* Sends the command a signal as the front got it. pid must be our own child, not reaped yet. */
void run_forward(pid_t pid, const struct run_signal *signal);

/* The exit status that a shell gives for what waitid(2) said. */
int run_exit_status(const siginfo_t *info);

/*
 * Gives up every capability but those listed (CAP_..., ended by -1), of which it keeps what it has,
 * and the right to gain any by execve(2). Before there is a second thread: each has its own.
 * Returns 0 or -errno.
 */
int run_keep_capabilities(const int *kept);

/*
 * In a process that only stands by: lets go of the command's standard input and output and of every
 * descriptor that is not close-on-exec, which are the command's alone, so that their other ends see
 * the command close them. Standard error goes last, when there is nothing left to complain about. 0
 * or -errno.
 */
int run_release_descriptors(void);
int run_release_stderr(void);
