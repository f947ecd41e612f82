/* SPDX-License-Identifier: Apache-2.0 */

#include <errno.h>
#include <linux/capability.h>
#include <poll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "cli/cli.h"
#include "cli/run.h"

struct front {
	pid_t supervisor; /* 0 once it is gone */
	pid_t command;    /* 0: not known yet */
	int control;      /* to the supervisor; borrowed */
	int stop;         /* number of its last stop */
	int status;       /* the command's; -1: not known */
	bool left;        /* the supervisor lives on, and other processes with it */
	bool done;        /* nothing is left to wait for */
};

/*
 * A signal from the terminal goes to the whole foreground group, and so has reached the command
 * already, save those for its hang-up, which only the session's leader gets: us, where the command
 * would have been it. What else the kernel sends is for one process, such as the signal of an
 * alarm(2) that outlived the execve(2) which made us.
 */
static bool is_for_group(const struct signalfd_siginfo *info)
{
	if (info->ssi_code != SI_KERNEL)
		return false;
	switch (info->ssi_signo) {
	case SIGHUP:
	case SIGCONT:
		return getsid(0) != getpid();
	case SIGINT:
	case SIGQUIT:
	case SIGTSTP:
	case SIGTTIN:
	case SIGTTOU:
	case SIGWINCH:
		return true;
	default:
		return false;
	}
}

/*
 * A SIGCONT from the supervisor only wakes us. All others were meant for the command, and those for
 * the group have reached it, unless it did not exist yet.
 */
static bool is_for_command(const struct front *front, const struct signalfd_siginfo *info)
{
	if (info->ssi_signo == SIGCHLD || (is_for_group(info) && front->command != 0))
		return false;
	return info->ssi_signo != SIGCONT || (pid_t)info->ssi_pid != front->supervisor;
}

static void front_read_notices(struct front *front)
{
	struct run_notice notice;
	ssize_t n;

	while ((n = recv(front->control, &notice, sizeof(notice), MSG_DONTWAIT)) > 0 ||
		(n < 0 && errno == ECONNRESET)) {
		/* A supervisor that died with our signals unread: said once, ahead of its words. */
		if (n != sizeof(notice))
			continue;
		switch (notice.kind) {
		case RUN_STARTED:
			front->command = notice.value;
			break;
		case RUN_STOPPED:
			front->stop = notice.value;
			break;
		case RUN_EXITED:
			front->status = notice.value;
			break;
		case RUN_LEFT:
		case RUN_ENDED:
			front->left = notice.kind == RUN_LEFT;
			front->done = true;
			break;
		}
	}
}

static void front_forward(struct front *front, const struct signalfd_siginfo *info)
{
	/* Which stop a SIGCONT is about: told after we were stopped ourselves. */
	front_read_notices(front);

	struct run_signal signal = {
		.signo = (int)info->ssi_signo,
		.stop = front->stop,
		.queued = info->ssi_code == SI_QUEUE,
		.value.sival_ptr = (void *)(uintptr_t)info->ssi_ptr,
	};

	/* The supervisor reaps the command, so only it can be sure whose pid that is. */
	if (front->supervisor)
		(void)send(front->control, &signal, sizeof(signal), MSG_NOSIGNAL);
	else if (front->command)
		run_forward(front->command, &signal);
}

/*
 * The supervisor is our only child, until somebody kills it: then all that it had come to us (we
 * are a subreaper), their memfd_create(2) says ENOSYS, and we are the command's parent.
 */
static void front_reap(struct front *front)
{
	siginfo_t info = {0};
	int r;

	while ((r = waitid(P_ALL, 0, &info, WEXITED | WSTOPPED | WNOHANG)) == 0 &&
		info.si_pid != 0) {
		bool ended = info.si_code != CLD_STOPPED;

		if (info.si_pid == front->supervisor && ended) {
			front_read_notices(front);
			front->supervisor = 0;
		} else if (info.si_pid == front->command && ended) {
			front->status = run_exit_status(&info);
		} else if (info.si_pid == front->command) {
			kill(getpid(), SIGSTOP);
		}
		info.si_pid = 0;
	}
	if (front->supervisor)
		return;
	/*
	 * With no command told, or with no child left and no status told, the supervisor failed
	 * before the command began. Children that we were started with do not count.
	 */
	if (front->status < 0 && (front->command == 0 || (r < 0 && errno == ECHILD)))
		front->status = EXIT_FDWARDEN_FAILED;
	front->done = front->status >= 0;
}

static void front_handle_signal(struct front *front, int signal_fd)
{
	struct signalfd_siginfo info;

	if (read(signal_fd, &info, sizeof(info)) != sizeof(info))
		return;
	if (info.ssi_signo == SIGCHLD)
		front_reap(front);
	else if (is_for_command(front, &info))
		front_forward(front, &info);
}

static int front_loop(struct front *front, int signal_fd)
{
	while (!front->done) {
		struct pollfd fds[] = {
			{.fd = signal_fd, .events = POLLIN},
			{.fd = front->supervisor ? front->control : -1, .events = POLLIN},
		};

		if (poll(fds, ARRAY_SIZE(fds), -1) < 0 && errno != EINTR)
			return EXIT_FDWARDEN_FAILED;
		if (fds[1].revents)
			front_read_notices(front);
		if (!front->done && fds[0].revents)
			front_handle_signal(front, signal_fd);
	}
	return front->status;
}

/* For signals to a command that has changed its ids; for the cgroup that we may have to remove. */
static const int kept[] = {CAP_KILL, CAP_DAC_OVERRIDE, -1};

int run_front(pid_t supervisor, int control, struct cgroup_group *group)
{
	struct front front = {.supervisor = supervisor, .control = control, .status = -1};
	_cleanup_close_ int signal_fd = -1;
	sigset_t all;
	int status;

	sigfillset(&all);
	signal_fd = signalfd(-1, &all, SFD_CLOEXEC | SFD_NONBLOCK);
	if (signal_fd < 0 || run_keep_capabilities(kept) < 0 || run_release_descriptors() < 0 ||
		run_release_stderr() < 0) {
		cli_error("cannot wait for the command");
		return EXIT_FDWARDEN_FAILED;
	}
	status = front_loop(&front, signal_fd);
	/* Whoever inherits our children may be an init that never reaps. */
	if (!front.left && front.supervisor)
		(void)waitid(P_PID, (id_t)front.supervisor, &(siginfo_t){0}, WEXITED);
	if (!front.left)
		cgroup_group_remove(group);
	return status;
}
