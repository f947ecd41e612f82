/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What live tests share: skipping where the machine lacks something, and children that run under a
 * real filter whose listener the test holds. Include it after <cmocka.h>.
 */

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/message.h"
#include "kernel/filter.h"

/* What meson takes as "skipped". */
#define LIVE_EXIT_SKIP 77

/* Whether a machine that lacks what a test needs is a failure: `FDWARDEN_MUST_RUN=1`, as in CI. */
static inline bool live_must_run(void)
{
	const char *value = getenv("FDWARDEN_MUST_RUN");

	return value && strcmp(value, "1") == 0;
}

/* Leaves the whole test program: for what every test in it needs. */
_Noreturn static inline void live_skip_all(const char *why)
{
	fprintf(stderr, "%s: %s\n", live_must_run() ? "cannot run" : "skipped", why);
	exit(live_must_run() ? EXIT_FAILURE : LIVE_EXIT_SKIP);
}

/* Leaves one cmocka test. */
#define live_skip(why) \
	do { \
		if (live_must_run()) \
			fail_msg("cannot run: %s", (why)); \
		print_message("skipped: %s\n", (why)); \
		skip(); \
	} while (0)

#define live_require_root() \
	do { \
		if (geteuid() != 0) \
			live_skip("needs root"); \
	} while (0)

/* In a child, where cmocka's assertions must not be used: says what was wrong, and ends it. */
#define live_check(condition) \
	do { \
		if (!(condition)) { \
			fprintf(stderr, "%s:%d: not so: %s (errno %d)\n", __FILE__, __LINE__, \
				#condition, errno); \
			_exit(99); \
		} \
	} while (0)

/* A child under the filter. */
struct live_child {
	pid_t pid;
	int listener; /* owned; -1 once it was given away */
	struct filter_features features;
};

typedef int live_main_fn(void *argument);

_Noreturn static inline void live_child_main(
	int sock, unsigned calls, live_main_fn *run, void *argument)
{
	struct sock_fprog program = {0};
	struct filter_features features;

	/* A test that fails leaves no children behind. */
	live_check(prctl(PR_SET_PDEATHSIG, SIGKILL) == 0);
	live_check(filter_build(calls, &program) == 0);

	int listener = filter_install(&program, &features);

	filter_free(&program);
	live_check(listener >= 0);
	live_check(message_send_fd(sock, 'L', listener) == 0);
	live_check(write(sock, &features, sizeof(features)) == sizeof(features));
	close(listener);
	close(sock);
	_exit(run(argument));
}

/*
 * Starts a child that installs the filter, hands its listener over and then runs run(argument),
 * whose result is its exit status. What the child calls of these (a set of enum call) from then on
 * waits for the test to answer.
 */
static inline void live_spawn_calls(
	struct live_child *ret_child, unsigned calls, live_main_fn *run, void *argument)
{
	int sock[2];
	char kind = 0;

	assert_return_code(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sock), errno);
	fflush(NULL);
	ret_child->pid = fork();
	assert_return_code(ret_child->pid, errno);
	if (ret_child->pid == 0) {
		close(sock[0]);
		live_child_main(sock[1], calls, run, argument);
	}
	close(sock[1]);
	assert_int_equal(message_receive_fd(sock[0], &kind, &ret_child->listener), 0);
	assert_int_equal(kind, 'L');
	assert_int_equal(read(sock[0], &ret_child->features, sizeof(ret_child->features)),
		sizeof(ret_child->features));
	close(sock[0]);
}

/* The same for memfd_create(2) alone. */
static inline void live_spawn(struct live_child *ret_child, live_main_fn *run, void *argument)
{
	live_spawn_calls(ret_child, CALL_MEMFD_CREATE, run, argument);
}

/* Waits for the child's end and forgets it. Returns its exit status, or 128 + signal. */
static inline int live_wait(struct live_child *child)
{
	int status;

	while (waitpid(child->pid, &status, 0) < 0)
		assert_int_equal(errno, EINTR);
	child->listener = fd_close(child->listener);
	child->pid = -1;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* In a child: writes text to a file that is there already. */
static inline void live_write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	live_check(fd >= 0);
	live_check(fd_write_all(fd, text, strlen(text)) == 0);
	close(fd);
}

/* fork(), into new namespaces (CLONE_NEW...). */
static inline pid_t live_fork_into(unsigned long namespaces)
{
	fflush(NULL);
	return (pid_t)syscall(SYS_clone, namespaces | SIGCHLD, 0L, 0L, 0L, 0L);
}

/* Runs run() in new namespaces. Returns its exit status, or 128 + signal. */
static inline int live_run_in(unsigned long namespaces, int (*run)(void))
{
	struct live_child child = {.listener = -1};

	child.pid = live_fork_into(namespaces);
	assert_return_code(child.pid, errno);
	if (child.pid == 0)
		_exit(run());
	return live_wait(&child);
}

/* Whether tests may play with vm.memfd_noexec in namespaces below: it is there, and at its lowest.
 */
static inline bool live_noexec_is_free(void)
{
	char text[8];

	return access("/proc/sys/vm/memfd_noexec", W_OK) == 0 &&
	       fd_read_file_at(AT_FDCWD, "/proc/sys/vm/memfd_noexec", text, sizeof(text)) > 0 &&
	       text[0] == '0';
}
