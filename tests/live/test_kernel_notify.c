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
#include <sys/syscall.h>

#include "kernel/notify.h"
#include "live.h"

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
			notify_inject(child.listener, slot.notif.id, fd, cloexec, &caller_fd),
			NOTIFY_OK);
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
	assert_int_equal(
		notify_inject(child.listener, slot.notif.id, 0, true, &caller_fd), NOTIFY_GONE);
	assert_int_equal(live_wait(&child), 128 + SIGKILL);
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
		cmocka_unit_test(test_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
