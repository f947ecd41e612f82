/* SPDX-License-Identifier: Apache-2.0 */

#include <errno.h>
#include <linux/capability.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/message.h"
#include "cli/cli.h"
#include "cli/run.h"
#include "core/session.h"
#include "core/usage.h"

/*
 * How long the last processes are given to end after the command, before the front returns without
 * them. `a | b &` and the like end together; a daemon stays.
 */
#define GRACE_NS (100 * NSEC_PER_MSEC)

/* How long a reader of events may take at the end. */
#define FLUSH_MS 1000

/* Several times what the deepest path of a call takes; only pages that are used cost memory. */
#define THREAD_STACK_BYTES (1024 * 1024)

struct supervisor {
	const struct run_config *config;
	pid_t front;
	pid_t command;
	int control; /* to the front; borrowed */
	int signal_fd;
	int listener; /* the session's, to see its end */
	struct audit *audit;
	struct domain *domain;
	struct session *session;
	pthread_t thread; /* runs the session */
	bool wait_killable;
	bool stopped; /* the command is */
	int stops;    /* how often it has stopped */
	bool listener_ended;
	bool front_gone;
	int status;           /* of the command; -1: it lives */
	uint64_t deadline_ns; /* end of the grace, 0: none or over */
};

static void supervisor_tell(const struct supervisor *supervisor, struct run_notice notice)
{
	(void)send(supervisor->control, &notice, sizeof(notice), MSG_NOSIGNAL);
}

/*
 * Out of the command's process group, so that neither the terminal nor kill(0) reaches us; in its
 * session still, because a group whose parents are all in other sessions is orphaned and could not
 * be stopped from the keyboard (setpgid(2)). When we are the init of a container that is what
 * should be: nobody is there to continue what ^Z stopped.
 */
static int leave_process_group(bool init)
{
	int r = init ? setsid() : setpgid(0, 0);

	return r < 0 ? -errno : 0;
}

static void raise_limit(__rlimit_resource_t resource)
{
	struct rlimit limit;

	if (getrlimit(resource, &limit) < 0)
		return;
	limit.rlim_cur = limit.rlim_max;
	(void)setrlimit(resource, &limit);
}

/* What the command is to run with is not for us, who do its work. */
static void raise_limits(void)
{
	/* Descriptors are needed for caches. */
	raise_limit(RLIMIT_NOFILE);
	/* Its files grow by our hand: its own limit is looked at then (core/resize.c). */
	raise_limit(RLIMIT_FSIZE);
	umask(0);
}

static void on_event(const struct event *event, void *userdata)
{
	audit_record(userdata, event);
}

static void *session_thread(void *userdata)
{
	/* Nobody would answer any more: end, so that the kernel says ENOSYS instead of waiting. */
	if (session_run(userdata) < 0)
		_exit(EXIT_FDWARDEN_FAILED);
	return NULL;
}

/*
 * Threads get a stack of our own size: the default one is the command's RLIMIT_STACK, which may be
 * too small to live in or too large to be had.
 */
static int set_thread_stack(void)
{
	pthread_attr_t attr;
	int r = pthread_attr_init(&attr);

	if (r != 0)
		return -r;
	r = pthread_attr_setstacksize(&attr, THREAD_STACK_BYTES);
	if (r == 0)
		r = pthread_setattr_default_np(&attr);
	pthread_attr_destroy(&attr);
	return -r;
}

static int start_audit(struct supervisor *supervisor)
{
	const struct run_config *config = supervisor->config;
	struct audit_config audit = {
		.fd = config->events_fd,
		.format = config->format,
		.summary = config->summary,
	};

	if (config->events_fd < 0 && !config->summary)
		return 0;
	return audit_new(&audit, &supervisor->audit);
}

static int start_domain(struct supervisor *supervisor)
{
	const struct domain_config domain = {
		.policy = supervisor->config->policy,
		.mode = (int)supervisor->config->mode,
		.root = getpid(),
		.on_event = supervisor->audit ? on_event : NULL,
		.userdata = supervisor->audit,
	};
	const char *why;
	int r = domain_new(&domain, &supervisor->domain, &why);

	if (r < 0 && why)
		cli_error("%s", why);
	return r;
}

static int start_session(struct supervisor *supervisor, int listener)
{
	struct session_config session = {
		.listener = listener,
		.tenant = supervisor->config->tenant,
		.domain = supervisor->domain,
		.wait_killable = supervisor->wait_killable,
	};
	int r = session_new(&session, &supervisor->session);

	if (r < 0)
		return r;
	supervisor->listener = session_fd(supervisor->session);
	return 0;
}

/* What the path of a call uses. An ordinary user has none of it and sees only its own processes. */
#define KEPT \
	CAP_SYS_PTRACE,              /* names, ids and links of callers with other ids */ \
		CAP_DAC_READ_SEARCH, /* /proc/PID/fd of the same */ \
		CAP_CHOWN,           /* a file for a caller belongs to the caller */ \
		CAP_KILL,            /* action: kill; signals handed down */ \
		CAP_SYS_ADMIN        /* vm.memfd_noexec of other PID namespaces: setns(2) */

static const int kept[] = {KEPT, -1};

/*
 * The root of a cgroup tree is a folder that not even root may write to without it, and so is
 * another user's oom_score_adj.
 */
#define KEPT_TO_OVERRIDE KEPT, CAP_DAC_OVERRIDE

/* A file that is resized for its owner is resized in the owner's name. */
#define KEPT_TO_RESIZE CAP_SETUID, CAP_SETGID

static const int kept_with_group[] = {KEPT_TO_OVERRIDE, -1};
static const int kept_with_ledger[] = {KEPT_TO_OVERRIDE, KEPT_TO_RESIZE, -1};

static const int *capabilities_to_keep(const struct run_config *config)
{
	if (policy_quotas(config->policy)->ledger)
		return kept_with_ledger;
	return config->group ? kept_with_group : kept;
}

/* Becomes what it is to be for its whole life, while the command's process installs the filter. */
static int supervisor_settle(struct supervisor *supervisor)
{
	int r = leave_process_group(supervisor->config->init);

	raise_limits();
	/* Capabilities are each thread's own: before there is a second one. */
	if (r == 0)
		r = run_keep_capabilities(capabilities_to_keep(supervisor->config));
	if (r == 0)
		r = run_release_descriptors();
	if (r == 0)
		r = set_thread_stack();
	if (r == 0)
		r = start_audit(supervisor);
	return r;
}

/* Takes the command's listener, starts answering, and lets the command go. */
static int supervisor_start(struct supervisor *supervisor, int handshake)
{
	_cleanup_close_ int listener = -1;
	char word;
	int r = message_receive_fd(handshake, &word, &listener);

	/* The command has said what was wrong, unless it is we who lack a descriptor to take it. */
	if (r < 0)
		return r == -EBADMSG ? -EMFILE : r;
	if (listener < 0)
		return -ECONNRESET;
	supervisor->wait_killable = word == RUN_LISTENER_KILLABLE;
	r = start_domain(supervisor);
	if (r == 0)
		r = start_session(supervisor, take_fd(&listener));
	if (r == 0)
		r = -pthread_create(&supervisor->thread, NULL, session_thread, supervisor->session);
	if (r == 0)
		r = message_send_fd(handshake, RUN_READY, -1);
	/* Last, because after it nobody hears us complain. */
	if (r == 0 && !supervisor->config->summary)
		r = run_release_stderr();
	return r;
}

/*
 * The front does as the command does, so that a shell sees its job stop and continue. The front is
 * our parent until it is gone, and then its pid is nobody's to us.
 */
static void front_follow(const struct supervisor *supervisor, int signo)
{
	if (!supervisor->front_gone && getppid() == supervisor->front)
		kill(supervisor->front, signo);
}

/*
 * The front learns the number of this stop only after it was stopped itself, and so once it goes on
 * again: a SIGCONT that it hands down with an earlier number was meant for an earlier stop.
 */
static void command_stopped(struct supervisor *supervisor)
{
	supervisor->stopped = true;
	supervisor->stops++;
	front_follow(supervisor, SIGSTOP);
	supervisor_tell(
		supervisor, (struct run_notice){.kind = RUN_STOPPED, .value = supervisor->stops});
}

static bool is_for_this_stop(const struct supervisor *supervisor, const struct run_signal *signal)
{
	return supervisor->stopped && signal->stop == supervisor->stops;
}

static void command_changed(struct supervisor *supervisor, const siginfo_t *info)
{
	if (info->si_code == CLD_STOPPED) {
		command_stopped(supervisor);
		return;
	}
	if (info->si_code == CLD_CONTINUED) {
		supervisor->stopped = false;
		front_follow(supervisor, SIGCONT);
		return;
	}
	if (info->si_code == CLD_TRAPPED)
		return;
	supervisor->status = run_exit_status(info);
	/* Killed while it was stopped: the front stopped with it, and has an end to tell of. */
	if (supervisor->stopped)
		front_follow(supervisor, SIGCONT);
	supervisor_tell(
		supervisor, (struct run_notice){.kind = RUN_EXITED, .value = supervisor->status});
	supervisor->deadline_ns = clock_now_ns(CLOCK_MONOTONIC) + GRACE_NS;
}

static void supervisor_reap(struct supervisor *supervisor)
{
	const int what = WEXITED | WSTOPPED | WCONTINUED | WNOHANG;
	siginfo_t info = {0};

	/*
	 * The command's end is told before it is reaped: should we be killed in between, the front
	 * inherits what there is to reap.
	 */
	if (supervisor->status < 0 &&
		waitid(P_PID, (id_t)supervisor->command, &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
		info.si_pid != 0)
		command_changed(supervisor, &info);
	info.si_pid = 0;
	while (waitid(P_ALL, 0, &info, what) == 0 && info.si_pid != 0) {
		if (info.si_pid == supervisor->command && supervisor->status < 0)
			command_changed(supervisor, &info);
		info.si_pid = 0;
	}
}

static void supervisor_handle_control(struct supervisor *supervisor)
{
	struct run_signal signal;
	ssize_t n = recv(supervisor->control, &signal, sizeof(signal), MSG_DONTWAIT);

	if (n == sizeof(signal)) {
		/* A job that is continued got its SIGCONT with the whole group. */
		if (supervisor->status < 0 &&
			(signal.signo != SIGCONT || is_for_this_stop(supervisor, &signal)))
			run_forward(supervisor->command, &signal);
	} else if (n == 0) {
		/* Killing the pid that the caller knows has to end the command. */
		supervisor->front_gone = true;
		if (supervisor->status < 0)
			kill(supervisor->command, SIGKILL);
	}
}

static void supervisor_poll(struct supervisor *supervisor)
{
	int timeout_ms = -1;
	struct signalfd_siginfo unused;
	struct pollfd fds[] = {
		{.fd = supervisor->signal_fd, .events = POLLIN},
		{.fd = supervisor->front_gone ? -1 : supervisor->control, .events = POLLIN},
		{.fd = supervisor->listener_ended ? -1 : supervisor->listener, .events = 0},
	};

	if (supervisor->deadline_ns) {
		uint64_t now = clock_now_ns(CLOCK_MONOTONIC);
		uint64_t left = supervisor->deadline_ns - now;

		timeout_ms = supervisor->deadline_ns <= now ? 0 : (int)(left / NSEC_PER_MSEC) + 1;
	}
	if (poll(fds, ARRAY_SIZE(fds), timeout_ms) < 0)
		return;
	if (fds[0].revents && read(supervisor->signal_fd, &unused, sizeof(unused)) > 0)
		supervisor_reap(supervisor);
	if (fds[1].revents)
		supervisor_handle_control(supervisor);
	if (fds[2].revents & POLLHUP)
		supervisor->listener_ended = true;
}

static bool grace_is_over(const struct supervisor *supervisor)
{
	return supervisor->deadline_ns && clock_now_ns(CLOCK_MONOTONIC) >= supervisor->deadline_ns;
}

/* Until the command has ended and, with it or later, the last process under the filter. */
static void supervisor_loop(struct supervisor *supervisor)
{
	while (supervisor->status < 0 || !supervisor->listener_ended) {
		supervisor_poll(supervisor);
		if (!grace_is_over(supervisor))
			continue;
		/* What is left of a container ends with its init. */
		if (supervisor->config->init)
			return;
		supervisor->deadline_ns = 0;
		supervisor_tell(supervisor, (struct run_notice){.kind = RUN_LEFT});
		supervisor->front_gone = true;
	}
}

/*
 * Not where calls may still come (the init of a container leaves): there the thread ends with us.
 * And not for ever: before Linux 6.11 a caller that dies at the wrong moment leaves it in its
 * receive.
 */
static bool join_session(const struct supervisor *supervisor)
{
	struct timespec until;

	if (!supervisor->listener_ended)
		return false;
	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec++;
	return pthread_clockjoin_np(supervisor->thread, NULL, CLOCK_MONOTONIC, &until) == 0;
}

static void print_summary(const struct supervisor *supervisor)
{
	const bool colour = cli_colour(stderr);
	struct ledger *ledger = domain_ledger(supervisor->domain);

	audit_print_summary(supervisor->audit, stderr, colour);
	if (!ledger)
		return;
	fputc('\n', stderr);
	usage_print(ledger, policy_quotas(supervisor->config->policy), stderr, colour);
}

/* The last answers are given; says the last words. */
static void supervisor_finish(struct supervisor *supervisor)
{
	if (join_session(supervisor))
		supervisor->session = session_free(supervisor->session);
	domain_stop(supervisor->domain);
	if (supervisor->audit)
		audit_finish(supervisor->audit, FLUSH_MS);
	if (supervisor->config->summary)
		print_summary(supervisor);
	/* Else its thread may still be in the middle of a call. */
	if (!supervisor->session) {
		supervisor->domain = domain_free(supervisor->domain);
		supervisor->audit = audit_free(supervisor->audit);
	}
	/* The front does it, if it still waits for us. */
	if (supervisor->front_gone)
		cgroup_group_remove(supervisor->config->group);
	supervisor_tell(supervisor, (struct run_notice){.kind = RUN_ENDED});
}

static int supervisor_init(struct supervisor *supervisor)
{
	sigset_t sigchld;

	sigemptyset(&sigchld);
	sigaddset(&sigchld, SIGCHLD);
	supervisor->signal_fd = signalfd(-1, &sigchld, SFD_CLOEXEC | SFD_NONBLOCK);
	if (supervisor->signal_fd < 0)
		return -errno;
	/* Orphans come to us: the kernel counts a zombie as a user of the filter (before 6.11). */
	return prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) < 0 ? -errno : 0;
}

/* Starts the command. Returns our end of the handshake, or -errno. */
static int start_command(struct supervisor *supervisor)
{
	int ends[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
		return -errno;
	supervisor->command = fork();
	if (supervisor->command == 0) {
		/* Or the command would wait for the word of a supervisor that has died. */
		fd_close(ends[0]);
		run_command(supervisor->config, ends[1]);
	}
	fd_close(ends[1]);
	if (supervisor->command < 0) {
		fd_close(ends[0]);
		return -errno;
	}
	supervisor_tell(
		supervisor, (struct run_notice){.kind = RUN_STARTED, .value = supervisor->command});
	return ends[0];
}

int run_supervise(const struct run_config *config, int control)
{
	struct supervisor supervisor = {
		.config = config,
		.front = config->front,
		.control = control,
		.listener = -1,
		.status = -1,
	};
	_cleanup_close_ int handshake = -1;
	int r = supervisor_init(&supervisor);

	if (r == 0) {
		handshake = start_command(&supervisor);
		r = handshake < 0 ? handshake : supervisor_settle(&supervisor);
		if (r == 0)
			r = supervisor_start(&supervisor, handshake);
	}
	if (r < 0) {
		/* The command says for itself why it could not hand over a listener. */
		if (r != -ECONNRESET)
			cli_error("cannot supervise: %s", strerror(-r));
		return EXIT_FDWARDEN_FAILED;
	}
	handshake = fd_close(handshake);
	supervisor_loop(&supervisor);
	supervisor_finish(&supervisor);
	return 0;
}
