/* SPDX-License-Identifier: Apache-2.0 */

/* Groups are frozen and thawed, on each of the machine's trees that can. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "kernel/freezer.h"
#include "kernel/process.h"
#include "live_cgroup.h"
#include "live_freezer.h"
#include "live_tree.h"

/* Counts in shared memory for as long as it may. */
static void count(int ready, void *argument)
{
	volatile unsigned *counter = argument;

	live_check(group_join(NULL) == 0);
	live_check(write(ready, "r", 1) == 1);
	for (;;) {
		++*counter;
		usleep(100);
	}
}

static volatile unsigned *counter_new(void)
{
	void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	assert_true(p != MAP_FAILED);
	return p;
}

static void await_change(volatile unsigned *counter)
{
	unsigned before = *counter;

	while (*counter == before)
		usleep(1000);
}

static void freeze_and_thaw(void)
{
	volatile unsigned *counter = counter_new();
	struct tree_child child = tree_start(count, (void *)counter);
	_cleanup_close_ int proc_fd = process_open_dir(child.pid);
	struct freezer *freezer, *second;
	char byte;

	tree_hear(&child, &byte, 1);
	await_change(counter);
	assert_int_equal(freezer_freeze(proc_fd, &freezer), 0);
	while (!is_stopped())
		usleep(1000);

	unsigned before = *counter;

	usleep(20000);
	assert_int_equal(*counter, before);
	assert_true(freezer_is_frozen(freezer));
	/* Whoever comes second must not thaw what the first has frozen. */
	assert_int_equal(freezer_freeze(proc_fd, &second), -EALREADY);

	assert_null(freezer_thaw(freezer));
	await_change(counter);

	/* Thawed by somebody else. */
	assert_int_equal(freezer_freeze(proc_fd, &freezer), 0);
	assert_int_equal(write_at(at(NULL, mount_found.v2 ? "cgroup.freeze" : "freezer.state"),
				 mount_found.v2 ? "0" : "THAWED"),
		0);
	assert_false(freezer_is_frozen(freezer));
	await_change(counter);
	assert_null(freezer_thaw(freezer));

	/* One that has gone. */
	tree_end(&child);
	assert_int_equal(freezer_freeze(proc_fd, &freezer), -ESRCH);
	munmap((void *)counter, 4096);
}

static void groups_are_frozen_and_thawed(void **state)
{
	(void)state;
	in_each_tree(freeze_and_thaw);
}

static void stay(int ready, void *argument)
{
	(void)argument;
	tree_stay(ready, "r", 1);
}

/* Its own parent's group, and its own, are no tenant's. */
static int freeze_around_ourselves(void *argument)
{
	struct freezer *freezer;
	int ready[2];
	char byte;

	(void)argument;
	live_check(mkdirat(mount_found.dir_fd, at("below", NULL), 0755) == 0);
	live_check(pipe(ready) == 0);
	live_check(group_join(NULL) == 0);

	pid_t pid = fork();

	live_check(pid >= 0);
	if (pid == 0)
		stay(ready[1], NULL);
	live_check(read(ready[0], &byte, 1) == 1);

	_cleanup_close_ int proc_fd = process_open_dir(pid);

	live_check(freezer_freeze(proc_fd, &freezer) == -EBUSY);
	/* We below, it above: freezing it would freeze us. */
	live_check(group_join("below") == 0);
	live_check(freezer_freeze(proc_fd, &freezer) == -EBUSY);
	live_check(kill(pid, SIGKILL) == 0 && waitpid(pid, NULL, 0) == pid);
	return 0;
}

static void ourselves(void)
{
	in_child(freeze_around_ourselves, NULL);
	assert_int_equal(group_drop("below"), 0);
}

static void we_do_not_freeze_ourselves(void **state)
{
	(void)state;
	in_each_tree(ourselves);
}

static void what_is_in_no_group_is_not_frozen(void **state)
{
	struct tree_child child = tree_start(stay, NULL);
	_cleanup_close_ int proc_fd = process_open_dir(child.pid);
	struct freezer *freezer;

	(void)state;
	/* It is where we are: in a root, which cannot be frozen, or in a group with us. */
	assert_true(freezer_freeze(proc_fd, &freezer) < 0);
	tree_end(&child);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(groups_are_frozen_and_thawed),
		cmocka_unit_test(we_do_not_freeze_ourselves),
		cmocka_unit_test(what_is_in_no_group_is_not_frozen),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
