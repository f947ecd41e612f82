/* SPDX-License-Identifier: Apache-2.0 */

/* kernel/filter and kernel/notify, with a real filter and real calls. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/time.h>

#include "kernel/notify.h"
#include "kernel/tracee.h"
#include "live.h"

/* notify_inject() of a copy. */
static int inject(int listener, uint64_t id, int fd, bool close_on_exec, int *ret_caller_fd)
{
	_cleanup_close_ int copy = dup(fd);

	return notify_inject(listener, id, &copy, close_on_exec, false, ret_caller_fd);
}

static int child_create(void *argument)
{
	int fd = memfd_create("x", MFD_CLOEXEC);

	(void)argument;
	return fd < 0 ? errno : 100 + fd;
}

static void receive(int listener, union notification *slot)
{
	int r;

	do
		r = notify_receive(listener, slot);
	while (r == NOTIFY_AGAIN);
	assert_int_equal(r, NOTIFY_OK);
	assert_int_equal(slot->notif.data.nr, SYS_memfd_create);
}

static void test_prepare(void **state)
{
	struct live_child child;
	union notification slot;
	bool sync;

	(void)state;
	live_spawn(&child, child_create, NULL);
	assert_int_equal(notify_prepare(child.listener, &sync), 0);
	receive(child.listener, &slot);
	assert_int_equal(slot.notif.pid, child.pid);
	assert_int_equal(slot.notif.data.args[1], MFD_CLOEXEC);
	assert_int_equal(notify_valid(child.listener, slot.notif.id), NOTIFY_OK);
	assert_int_equal(notify_fail(child.listener, slot.notif.id, EACCES), NOTIFY_OK);
	assert_int_equal(live_wait(&child), EACCES);
}

static void test_continue(void **state)
{
	struct live_child child;
	union notification slot;

	(void)state;
	live_spawn(&child, child_create, NULL);
	receive(child.listener, &slot);
	assert_int_equal(notify_continue(child.listener, slot.notif.id), NOTIFY_OK);
	assert_in_range(live_wait(&child), 100, 200);
}

static int child_create_flags(void *argument)
{
	int fd = memfd_create("x", 0);

	live_check(fd >= 0);
	live_check(fcntl(fd, F_GETFD) == *(int *)argument);
	live_check(lseek(fd, 0, SEEK_END) == 4321);
	return fd;
}

static void test_inject(void **state)
{
	(void)state;
	for (int cloexec = 0; cloexec < 2; cloexec++) {
		int expected = cloexec ? FD_CLOEXEC : 0, fd, caller_fd = -1;
		struct live_child child;
		union notification slot;

		live_spawn(&child, child_create_flags, &expected);
		receive(child.listener, &slot);
		fd = memfd_create("y", MFD_CLOEXEC);
		assert_return_code(fd, errno);
		assert_return_code(ftruncate(fd, 4321), errno);
		assert_int_equal(
			inject(child.listener, slot.notif.id, fd, cloexec, &caller_fd), NOTIFY_OK);
		close(fd);
		assert_int_equal(notify_valid(child.listener, slot.notif.id), NOTIFY_GONE);
		assert_int_equal(live_wait(&child), caller_fd);
	}
}

static void test_gone(void **state)
{
	struct live_child child;
	union notification slot;
	int caller_fd;

	(void)state;
	live_spawn(&child, child_create, NULL);
	receive(child.listener, &slot);
	kill(child.pid, SIGKILL);
	while (notify_valid(child.listener, slot.notif.id) == NOTIFY_OK)
		usleep(1000);
	assert_int_equal(notify_continue(child.listener, slot.notif.id), NOTIFY_GONE);
	assert_int_equal(notify_fail(child.listener, slot.notif.id, EPERM), NOTIFY_GONE);
	assert_int_equal(inject(child.listener, slot.notif.id, 0, true, &caller_fd), NOTIFY_GONE);
	assert_int_equal(live_wait(&child), 128 + SIGKILL);
}

/* A child whose table is full up to its standard descriptors. */
static int child_full_table(void *argument)
{
	const struct rlimit limit = {.rlim_cur = 3, .rlim_max = 3};

	(void)argument;
	for (int fd = 0; fd < 3; fd++)
		live_check(fcntl(fd, F_GETFD) >= 0 || open("/dev/null", O_RDWR) == fd);
	live_check(close_range(3, ~0U, 0) == 0);
	live_check(setrlimit(RLIMIT_NOFILE, &limit) == 0);
	live_check(memfd_create("x", 0) == -1);
	return errno;
}

/* The call still waits after EMFILE, and is then told so. */
static void test_inject_full(void **state)
{
	struct live_child child;
	union notification slot;
	int caller_fd = -7;

	(void)state;
	live_spawn(&child, child_full_table, NULL);
	receive(child.listener, &slot);
	assert_int_equal(inject(child.listener, slot.notif.id, 0, true, &caller_fd), -EMFILE);
	assert_int_equal(caller_fd, -7);
	assert_int_equal(notify_valid(child.listener, slot.notif.id), NOTIFY_OK);
	assert_int_equal(tracee_fd_table_is_full(child.pid), 1);
	assert_int_equal(notify_fail(child.listener, slot.notif.id, EMFILE), NOTIFY_OK);
	assert_int_equal(live_wait(&child), EMFILE);
}

static int child_gap(void *argument)
{
	(void)argument;
	live_check(dup2(1, 9) == 9);
	close(0);
	return memfd_create("x", 0) == 0 ? 0 : 1;
}

static void test_inject_lowest(void **state)
{
	struct live_child child;
	union notification slot;
	int caller_fd = -7;

	(void)state;
	live_spawn(&child, child_gap, NULL);
	receive(child.listener, &slot);
	assert_int_equal(inject(child.listener, slot.notif.id, 1, true, &caller_fd), NOTIFY_OK);
	assert_int_equal(caller_fd, 0);
	assert_int_equal(live_wait(&child), 0);
}

#define STORM_CALLS 2000

static int child_storm(void *argument)
{
	(void)argument;
	for (int i = 0; i < STORM_CALLS; i++) {
		int fd = memfd_create("x", 0);

		/* Standard input is open: 0 would be the kernel's answer to a lost injection. */
		live_check(fd > 0);
		close(fd);
	}
	return 0;
}

static void on_alarm(int signal)
{
	(void)signal;
}

static void alarm_start(unsigned interval_us)
{
	const struct sigaction action = {.sa_handler = on_alarm};
	const struct itimerval timer = {
		.it_interval.tv_usec = interval_us, .it_value.tv_usec = interval_us};

	assert_return_code(sigaction(SIGALRM, &action, NULL), errno);
	assert_return_code(setitimer(ITIMER_REAL, &timer, NULL), errno);
}

static void alarm_stop(void)
{
	const struct itimerval timer = {0};

	assert_return_code(setitimer(ITIMER_REAL, &timer, NULL), errno);
}

/* With signals blocked, as notify_inject() asks, none of them costs a caller its file. */
static void test_inject_storm(void **state)
{
	struct live_child child;
	sigset_t all, saved;
	bool sync;

	(void)state;
	live_spawn(&child, child_storm, NULL);
	assert_int_equal(notify_prepare(child.listener, &sync), 0);
	sigfillset(&all);
	assert_int_equal(pthread_sigmask(SIG_SETMASK, &all, &saved), 0);
	alarm_start(100);
	for (int i = 0; i < STORM_CALLS; i++) {
		union notification slot;
		int caller_fd;

		receive(child.listener, &slot);
		assert_int_equal(
			inject(child.listener, slot.notif.id, 0, false, &caller_fd), NOTIFY_OK);
	}
	alarm_stop();
	assert_int_equal(pthread_sigmask(SIG_SETMASK, &saved, NULL), 0);
	assert_int_equal(live_wait(&child), 0);
}

static int child_pause(void *argument)
{
	(void)argument;
	pause();
	return 0;
}

static void test_receive_interrupted(void **state)
{
	struct live_child child;
	union notification slot;

	(void)state;
	live_spawn(&child, child_pause, NULL);
	assert_int_equal(notify_poll(child.listener), NOTIFY_AGAIN);
	alarm_start(5000);
	assert_int_equal(notify_receive(child.listener, &slot), NOTIFY_AGAIN);
	alarm_stop();
	kill(child.pid, SIGKILL);
	assert_int_equal(live_wait(&child), 128 + SIGKILL);
}

/* A receiver that is blocked when the last task goes; Linux before 6.11 needs the signal. */
static void test_end_while_blocked(void **state)
{
	struct live_child child;
	union notification slot;
	int r;

	(void)state;
	live_spawn(&child, child_pause, NULL);
	alarm_start(50000);
	kill(child.pid, SIGKILL);
	/* The filter goes with the task, and the task when it is reaped. */
	assert_int_equal(waitpid(child.pid, NULL, 0), child.pid);
	do
		r = notify_receive(child.listener, &slot);
	while (r == NOTIFY_AGAIN && notify_poll(child.listener) != NOTIFY_END);
	alarm_stop();
	assert_true(r == NOTIFY_END || notify_poll(child.listener) == NOTIFY_END);
	close(child.listener);
}

static void test_not_a_listener(void **state)
{
	union notification slot;

	(void)state;
	assert_true(notify_receive(-1, &slot) < 0);
	assert_true(notify_valid(-1, 1) < 0);
	assert_true(notify_continue(-1, 1) < 0);
}

static int child_nothing(void *argument)
{
	(void)argument;
	return 0;
}

static void test_end(void **state)
{
	struct live_child child;
	int listener;

	(void)state;
	live_spawn(&child, child_nothing, NULL);
	listener = child.listener;
	child.listener = -1;
	assert_int_equal(live_wait(&child), 0);

	/* The kernel lets go of the filter when the task is reaped, a moment later at most. */
	while (notify_poll(listener) == NOTIFY_AGAIN)
		usleep(1000);
	assert_int_equal(notify_poll(listener), NOTIFY_END);
	close(listener);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_prepare),
		cmocka_unit_test(test_continue),
		cmocka_unit_test(test_inject),
		cmocka_unit_test(test_gone),
		cmocka_unit_test(test_inject_full),
		cmocka_unit_test(test_inject_lowest),
		cmocka_unit_test(test_inject_storm),
		cmocka_unit_test(test_receive_interrupted),
		cmocka_unit_test(test_end_while_blocked),
		cmocka_unit_test(test_not_a_listener),
		cmocka_unit_test(test_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
