/* SPDX-License-Identifier: Apache-2.0 */

/*
 * `fdwarden run` from outside, with this program as the command, in a form that needs nothing else
 * around it: it also runs in the guest (tests/guest), on kernels where the end of a listener is
 * seen in other ways. What needs a shell or a terminal is in run_*.bats.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <poll.h>
#include <sys/mman.h>
#include <time.h>

#include "live.h"

static const char *self;

/* What the command does, chosen by its first argument. */
static int command_call(void)
{
	return memfd_create("from-run", MFD_CLOEXEC) >= 0 ? 7 : errno;
}

/* Leaves a process behind that calls when the pipe on descriptor 9 is closed, and tells on 8. */
static int command_daemon(void)
{
	char word = 0;

	if (fork() != 0)
		return 3;
	close(0);
	close(1);
	close(2);
	if (read(9, &word, 1) != 0)
		_exit(1);
	word = memfd_create("left", 0) >= 0 ? 'y' : 'n';
	(void)!write(8, &word, 1);
	_exit(0);
}

static int command_main(const char *role)
{
	if (strcmp(role, "call") == 0)
		return command_call();
	if (strcmp(role, "daemon") == 0)
		return command_daemon();
	if (strcmp(role, "abort") == 0)
		return raise(SIGABRT);
	for (;;) /* "wait": tells that it lives, and waits to be killed */
		if (write(8, "w", 1) != 1 || pause() < 0)
			return 1;
}

/* Starts fdwarden run with the options (up to four, NULL-ended) and this program in the role. */
static pid_t start(const char *const *options, const char *role, int out, int in)
{
	const char *argv[12] = {FDWARDEN, "run"};
	size_t argc = 2;
	pid_t pid;

	while (*options)
		argv[argc++] = *options++;
	argv[argc++] = "--";
	argv[argc++] = self;
	argv[argc++] = role;
	fflush(NULL);
	pid = fork();
	assert_return_code(pid, errno);
	if (pid == 0) {
		live_check(dup2(out, 8) == 8);
		live_check(in < 0 || dup2(in, 9) == 9);
		execv(FDWARDEN, (char **)(uintptr_t)argv);
		_exit(99);
	}
	return pid;
}

static int wait_for(pid_t pid)
{
	struct live_child child = {.pid = pid, .listener = -1};

	return live_wait(&child);
}

/* Reads until the other ends are closed, or the buffer is full. Returns the count. */
static size_t read_all(int fd, char *buf, size_t size)
{
	size_t len = 0;
	ssize_t n;

	while (len < size - 1 && (n = read(fd, buf + len, size - 1 - len)) > 0)
		len += (size_t)n;
	buf[len] = '\0';
	return len;
}

static void test_events_and_status(void **state)
{
	const char *options[] = {"--events", "fd:8", NULL};
	char text[4096];
	int out[2];

	(void)state;
	assert_int_equal(pipe2(out, O_CLOEXEC), 0);
	assert_int_equal(wait_for(start(options, "call", out[1], -1)), 7);
	close(out[1]);
	read_all(out[0], text, sizeof(text));
	close(out[0]);
	assert_non_null(strstr(text, "\"name\":\"from-run\""));
	assert_non_null(strstr(text, "\"decision\":\"emulate\""));
	assert_ptr_equal(strchr(text, '\n'), text + strlen(text) - 1);
}

static void test_a_signal_is_128_and_its_number(void **state)
{
	const char *options[] = {NULL};

	(void)state;
	assert_int_equal(wait_for(start(options, "abort", 1, -1)), 128 + SIGABRT);
}

/* The group is gone when run returns: nothing of its name is left anywhere in the tree. */
static void test_memory_group_is_removed(void **state)
{
	const char *options[] = {"--memory", "64MiB", NULL};
	pid_t pid;
	char find[160];

	(void)state;
	live_require_root();
	pid = start(options, "call", 1, -1);
	assert_int_equal(wait_for(pid), 7);
	snprintf(find, sizeof(find),
		"/bin/busybox find /sys/fs/cgroup -name 'fdwarden-run-%d-*' | "
		"/bin/busybox grep .",
		pid);
	if (access("/bin/busybox", X_OK) == 0)
		assert_int_not_equal(system(find), 0);
}

static void test_a_daemon_left_behind_is_served(void **state)
{
	const char *options[] = {NULL};
	int out[2], in[2];
	char text[8];

	(void)state;
	assert_int_equal(pipe2(out, O_CLOEXEC), 0);
	assert_int_equal(pipe2(in, O_CLOEXEC), 0);
	assert_int_equal(wait_for(start(options, "daemon", out[1], in[0])), 3);
	close(in[0]);
	close(out[1]);
	close(in[1]); /* run has returned: now the daemon may call */
	assert_int_equal(read_all(out[0], text, sizeof(text)), 1);
	assert_string_equal(text, "y");
	close(out[0]);
}

/* Kills run itself by the signal while its command waits; it ends by it as the command would have.
 */
static void kill_while_it_waits(int signo)
{
	const char *options[] = {NULL};
	int out[2];
	char word;
	pid_t pid;

	assert_int_equal(pipe2(out, O_CLOEXEC), 0);
	pid = start(options, "wait", out[1], -1);
	close(out[1]);
	assert_int_equal(read(out[0], &word, 1), 1);
	assert_int_equal(kill(pid, signo), 0);
	assert_int_equal(wait_for(pid), 128 + signo);
	/* The end of the pipe: nobody is left who has the other end. */
	assert_int_equal(read(out[0], &word, 1), 0);
	close(out[0]);
}

/* Whoever kills the pid that they know must not leave the command behind. */
static void test_killing_the_front_kills_the_command(void **state)
{
	(void)state;
	kill_while_it_waits(SIGKILL);
}

static void test_a_signal_reaches_the_command(void **state)
{
	(void)state;
	kill_while_it_waits(SIGUSR1);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_events_and_status),
		cmocka_unit_test(test_a_signal_is_128_and_its_number),
		cmocka_unit_test(test_memory_group_is_removed),
		cmocka_unit_test(test_a_daemon_left_behind_is_served),
		cmocka_unit_test(test_killing_the_front_kills_the_command),
		cmocka_unit_test(test_a_signal_reaches_the_command),
	};

	if (argc > 1)
		return command_main(argv[1]);
	self = argv[0];
	return cmocka_run_group_tests(tests, NULL, NULL);
}
