/* SPDX-License-Identifier: Apache-2.0 */

/* Holders of unmapped memory answer for it to the OOM killer, in memory cgroups that we make. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <grp.h>
#include <linux/sched.h>
#include <sched.h>

#include "core/oom.h"
#include "kernel/oom_score.h"
#include "kernel/process.h"
#include "live_cgroup.h"
#include "live_tree.h"

/* The group that most of this happens in: 32 MiB of it are 250 points. */
#define GROUP_LIMIT (128 * MIB)
#define HELD        (32 * MIB)
#define POINTS      250

static int setup(void **state)
{
	int r = cgroup_setup(state);

	if (r == 0)
		r = group_add("a", GROUP_LIMIT);
	if (r == 0)
		r = prctl(PR_SET_CHILD_SUBREAPER, 1);
	/* As the warden does; else a score that was lowered by us could not be by its owner. */
	return r == 0 ? oom_score_drop_right() : r;
}

static int teardown(void **state)
{
	int r = group_drop("a");

	return r == 0 ? cgroup_teardown(state) : r;
}

static int score_of(pid_t pid)
{
	_cleanup_close_ int fd = process_open_dir(pid);
	int value = -1;

	assert_return_code(fd, -fd);
	assert_int_equal(oom_score_read(fd, &value), 0);
	return value;
}

static void set_score(pid_t pid, int value)
{
	_cleanup_close_ int fd = process_open_dir(pid);

	assert_return_code(fd, -fd);
	assert_int_equal(oom_score_write(fd, value), 0);
}

/* So that what is born before and after has not started at the same time. */
static void pass_ticks(void)
{
	uint64_t ticks = process_now_ticks();

	while (process_now_ticks() < ticks + 2)
		usleep(1000);
}

/* What a child that holds something says of it. */
static struct holder_file hear_file(const struct tree_child *child)
{
	struct holder_file file;

	tree_hear(child, &file, sizeof(file));
	return file;
}

static struct holder_file hold(int *ret_fd)
{
	struct stat st;

	live_check(group_join("a") == 0);
	*ret_fd = tree_memfd(HELD);
	live_check(fstat(*ret_fd, &st) == 0);
	return (struct holder_file){.dev = st.st_dev, .ino = st.st_ino, .bytes = HELD};
}

static void hoard(int ready, void *argument)
{
	int fd;
	struct holder_file file = hold(&fd);

	(void)argument;
	tree_stay(ready, &file, sizeof(file));
}

static void scores_come_and_go(void **state)
{
	struct tree_child child = tree_start(hoard, NULL);
	const struct holder_file file = hear_file(&child);
	struct oom *oom;

	(void)state;
	assert_int_equal(oom_new(getpid(), &oom), 0);
	assert_int_equal(oom_attribute(oom, &file, 1), 0);
	assert_int_equal(score_of(child.pid), POINTS);

	/* The same again; less; nothing. */
	assert_int_equal(oom_attribute(oom, &file, 1), 0);
	assert_int_equal(score_of(child.pid), POINTS);

	struct holder_file less = file;

	less.bytes /= 2;
	assert_int_equal(oom_attribute(oom, &less, 1), 0);
	assert_int_equal(score_of(child.pid), POINTS / 2);
	assert_int_equal(oom_attribute(oom, NULL, 0), 0);
	assert_int_equal(score_of(child.pid), 0);

	/* All is as it was at the end. */
	assert_int_equal(oom_attribute(oom, &file, 1), 0);
	assert_int_equal(score_of(child.pid), POINTS);
	assert_null(oom_free(oom));
	assert_int_equal(score_of(child.pid), 0);
	tree_end(&child);
}

static void what_others_write_is_kept(void **state)
{
	struct tree_child child = tree_start(hoard, NULL);
	const struct holder_file file = hear_file(&child);
	struct oom *oom;

	(void)state;
	set_score(child.pid, 10);
	assert_int_equal(oom_new(getpid(), &oom), 0);
	assert_int_equal(oom_attribute(oom, &file, 1), 0);
	assert_int_equal(score_of(child.pid), 10 + POINTS);
	set_score(child.pid, 300);
	assert_int_equal(oom_attribute(oom, &file, 1), 0);
	assert_int_equal(score_of(child.pid), 300 + POINTS);
	set_score(child.pid, 900);
	assert_int_equal(oom_attribute(oom, &file, 1), 0);
	assert_int_equal(score_of(child.pid), 1000);
	assert_int_equal(oom_attribute(oom, NULL, 0), 0);
	assert_int_equal(score_of(child.pid), 900);

	assert_int_equal(oom_attribute(oom, &file, 1), 0);
	set_score(child.pid, 20);
	assert_null(oom_free(oom));
	assert_int_equal(score_of(child.pid), 20);
	tree_end(&child);
}

/* ThreadSanitizer keeps its own state in the memory, and cannot share that with a process. */
#ifdef __has_feature
#define HAS_TSAN __has_feature(thread_sanitizer)
#elif defined(__SANITIZE_THREAD__)
#define HAS_TSAN 1
#else
#define HAS_TSAN 0
#endif

/* ---- Children ---- */

/* Holds memory; at each byte on the pipe, forks a child that does not, and says its pid. */
static void hoard_and_fork(int ready, void *argument)
{
	int fd, *orders = argument;
	struct holder_file file = hold(&fd);
	char order;

	live_check(write(ready, &file, sizeof(file)) == sizeof(file));
	while (read(orders[0], &order, 1) == 1 && order == 'f') {
		pid_t pid = fork();

		live_check(pid >= 0);
		if (pid == 0) {
			close(fd);
			pid = getpid();
			live_check(write(ready, &pid, sizeof(pid)) == sizeof(pid));
			for (;;)
				pause();
		}
	}
	_exit(0);
}

static void children_get_what_their_parent_had(void **state)
{
	int orders[2];

	(void)state;
	assert_return_code(pipe(orders), errno);

	struct tree_child parent = tree_start(hoard_and_fork, orders);
	const struct holder_file file = hear_file(&parent);
	struct oom *oom;
	pid_t first, orphan;

	set_score(parent.pid, 7);
	assert_int_equal(oom_new(getpid(), &oom), 0);
	assert_int_equal(oom_attribute(oom, &file, 1), 0);
	assert_int_equal(write(orders[1], "f", 1), 1);
	tree_hear(&parent, &first, sizeof(first));
	assert_int_equal(score_of(first), 7 + POINTS);
	assert_int_equal(oom_attribute(oom, &file, 1), 0);
	assert_int_equal(score_of(first), 7);
	assert_int_equal(score_of(parent.pid), 7 + POINTS);

	/* What the child gives itself later is its own business, whatever it is. */
	for (int i = 0; i < 3; i++) {
		pass_ticks();
		assert_int_equal(oom_attribute(oom, &file, 1), 0);
	}
	set_score(first, 7 + POINTS);
	assert_int_equal(oom_attribute(oom, &file, 1), 0);
	assert_int_equal(score_of(first), 7 + POINTS);

	/* A parent that has gone when its child is found. */
	assert_int_equal(write(orders[1], "fe", 2), 2);
	tree_hear(&parent, &orphan, sizeof(orphan));
	assert_int_equal(tree_wait(&parent), 0);
	assert_int_equal(score_of(orphan), 7 + POINTS);
	assert_null(oom_free(oom));
	assert_int_equal(score_of(orphan), 7);

	kill(first, SIGKILL);
	kill(orphan, SIGKILL);
	while (waitpid(-1, NULL, 0) > 0)
		continue;
	close(orders[0]);
	close(orders[1]);
}

/* Two processes in one memory, each with a table of its own: the kernel writes to both at once. */
static int share_and_hoard(void *argument)
{
	(void)argument;
	for (;;)
		pause();
	return 0;
}

static void hoard_in_two(int ready, void *argument)
{
	static char stack[65536];
	struct {
		struct holder_file file;
		pid_t pid;
	} said;
	int fd;

	(void)argument;
	said.file = hold(&fd);
	said.pid = clone(share_and_hoard, stack + sizeof(stack), CLONE_VM | SIGCHLD, NULL);
	live_check(said.pid > 0);
	tree_stay(ready, &said, sizeof(said));
}

static void processes_with_one_memory_do_not_add_up(void **state)
{
	struct tree_child child = tree_start(HAS_TSAN ? hoard : hoard_in_two, NULL);
	struct {
		struct holder_file file;
		pid_t pid;
	} said;
	struct oom *oom;

	(void)state;
	if (HAS_TSAN) {
		tree_end(&child);
		return;
	}
	tree_hear(&child, &said, sizeof(said));
	assert_int_equal(oom_new(getpid(), &oom), 0);
	for (int i = 0; i < 5; i++) {
		assert_int_equal(oom_attribute(oom, &said.file, 1), 0);
		assert_int_equal(score_of(child.pid), POINTS);
		assert_int_equal(score_of(said.pid), POINTS);
	}
	assert_null(oom_free(oom));
	assert_int_equal(score_of(child.pid), 0);
	assert_int_equal(score_of(said.pid), 0);
	kill(said.pid, SIGKILL);
	tree_end(&child);
	while (waitpid(-1, NULL, 0) > 0)
		continue;
}

static void a_pid_that_is_used_again_is_left_alone(void **state)
{
	struct tree_child child = tree_start(hoard, NULL);
	const struct holder_file file = hear_file(&child);
	struct clone_args args = {
		.exit_signal = SIGCHLD,
		.set_tid = (uintptr_t)&child.pid,
		.set_tid_size = 1,
	};
	struct oom *oom;

	(void)state;
	assert_int_equal(oom_new(getpid(), &oom), 0);
	assert_int_equal(oom_attribute(oom, &file, 1), 0);
	assert_int_equal(score_of(child.pid), POINTS);
	tree_end(&child);
	pass_ticks();
	fflush(NULL);

	pid_t again = (pid_t)syscall(SYS_clone3, &args, sizeof(args));

	if (again < 0)
		live_skip("no process can be given a pid here");
	if (again == 0)
		for (;;)
			pause();
	assert_int_equal(again, child.pid);
	set_score(again, 42);
	assert_null(oom_free(oom));
	assert_int_equal(score_of(again), 42);
	assert_return_code(kill(again, SIGKILL), errno);
	assert_int_equal(waitpid(again, NULL, 0), again);
}

/* ---- As an ordinary user ---- */

/* Below an ordinary user's supervisor: a process of its own, and one that it may not look into. */
static int attribute_as_a_user(void *argument)
{
	struct holder_file file;
	int ready[2], value = -1;
	struct oom *oom;

	(void)argument;
	live_check(pipe(ready) == 0);
	live_check(setgroups(0, NULL) == 0 && setgid(65534) == 0);
	live_check(group_join("a") == 0 && setuid(65534) == 0);
	/* A process that has changed its user is nobody's to look into, until it says so. */
	live_check(prctl(PR_SET_DUMPABLE, 1) == 0);

	pid_t pid = fork();

	live_check(pid >= 0);
	if (pid == 0) {
		struct stat st;
		int fd = tree_memfd(HELD);

		live_check(prctl(PR_SET_PDEATHSIG, SIGKILL) == 0);
		live_check(fstat(fd, &st) == 0);
		file = (struct holder_file){.dev = st.st_dev, .ino = st.st_ino, .bytes = HELD};
		tree_stay(ready[1], &file, sizeof(file));
	}
	live_check(read(ready[0], &file, sizeof(file)) == sizeof(file));
	live_check(oom_new(getpid(), &oom) == 0);
	live_check(oom_attribute(oom, &file, 1) == 0);

	_cleanup_close_ int fd = process_open_dir(pid);

	live_check(oom_score_read(fd, &value) == 0 && value == POINTS);
	oom_free(oom);
	live_check(oom_score_read(fd, &value) == 0 && value == 0);
	live_check(kill(pid, SIGKILL) == 0 && waitpid(pid, NULL, 0) == pid);
	return 0;
}

static void an_ordinary_user_may_do_it(void **state)
{
	(void)state;
	in_child(attribute_as_a_user, NULL);
}

/* ---- The kernel's choice ---- */

/* What a sanitizer takes for itself in each process must not matter. */
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
#define CHOICE_UNIT   (3 * MIB)
#define EXITS_AT_ONCE false
#else
#define CHOICE_UNIT   MIB
#define EXITS_AT_ONCE true
#endif

#define CHOICE_LIMIT    (200 * CHOICE_UNIT)
#define CHOICE_INNOCENT (60 * CHOICE_UNIT)
#define CHOICE_HOARDED  (110 * CHOICE_UNIT)
#define CHOICE_MORE     (55 * CHOICE_UNIT) /* too much while both live, not when either has gone */

static void live_in_peace(int ready, void *argument)
{
	(void)argument;
	live_check(group_join("choice") == 0);

	char *own = mmap(
		NULL, CHOICE_INNOCENT, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	live_check(own != MAP_FAILED);
	/* By the kernel: a sanitizer would take as much again for its notes of what we do. */
	live_check(madvise(own, CHOICE_INNOCENT, MADV_POPULATE_WRITE) == 0);
	tree_stay(ready, "r", 1);
}

/* Hoards, and when told to hoards more. */
static void hoard_more(int ready, void *argument)
{
	int *orders = argument;
	char chunk[65536], order;
	struct stat st;

	memset(chunk, 'x', sizeof(chunk));
	live_check(group_join("choice") == 0);

	int fd = tree_memfd(CHOICE_HOARDED);

	live_check(fstat(fd, &st) == 0);

	const struct holder_file file = {
		.dev = st.st_dev, .ino = st.st_ino, .bytes = CHOICE_HOARDED};

	live_check(write(ready, &file, sizeof(file)) == sizeof(file));
	live_check(read(orders[0], &order, 1) == 1);
	for (size_t done = 0; done < CHOICE_MORE; done += sizeof(chunk))
		live_check(write(fd, chunk, sizeof(chunk)) == (ssize_t)sizeof(chunk));
	tree_stay(ready, "r", 1);
}

/* Drives a group to its limit, and asserts whom the kernel kills for it. */
static void assert_choice(bool attribute)
{
	int orders[2], status;
	char byte;
	struct oom *oom;

	assert_return_code(pipe(orders), errno);
	assert_int_equal(group_add("choice", CHOICE_LIMIT), 0);

	struct tree_child innocent = tree_start(live_in_peace, NULL);
	struct tree_child hoarder = tree_start(hoard_more, orders);
	struct tree_child *victim = attribute ? &hoarder : &innocent;
	struct tree_child *survivor = attribute ? &innocent : &hoarder;

	tree_hear(&innocent, &byte, 1);

	const struct holder_file file = hear_file(&hoarder);

	assert_int_equal(oom_new(getpid(), &oom), 0);
	if (attribute)
		assert_int_equal(oom_attribute(oom, &file, 1), 0);
	assert_int_equal(score_of(innocent.pid), 0);
	assert_int_equal(score_of(hoarder.pid), attribute ? 550 : 0);

	assert_int_equal(write(orders[1], "m", 1), 1);
	assert_int_equal(tree_wait(victim), 128 + SIGKILL);
	/*
	 * The memory of a dying process that has a sanitizer's address space comes back so late
	 * that the kernel may find nobody but the hoarder to kill next.
	 */
	if (!attribute && EXITS_AT_ONCE)
		tree_hear(&hoarder, &byte, 1); /* it got what it wanted */
	if (attribute || EXITS_AT_ONCE)
		assert_int_equal(waitpid(survivor->pid, &status, WNOHANG), 0);

	assert_null(oom_free(oom));
	tree_end(survivor);
	assert_int_equal(group_drop("choice"), 0);
	close(orders[0]);
	close(orders[1]);
}

static void without_it_the_neighbour_dies(void **state)
{
	(void)state;
	assert_choice(false);
}

static void with_it_the_hoarder_dies(void **state)
{
	(void)state;
	assert_choice(true);
}

/* ---- Points ---- */

static void points_are_thousandths(void **state)
{
	(void)state;
	assert_int_equal(oom_score_points(0, 1000 * MIB), 0);
	assert_int_equal(oom_score_points(MIB / 2 - 1, 1000 * MIB), 0);
	assert_int_equal(oom_score_points(MIB / 2, 1000 * MIB), 1);
	assert_int_equal(oom_score_points(500 * MIB, 1000 * MIB), 500);
	assert_int_equal(oom_score_points(1000 * MIB, 1000 * MIB), 1000);
	assert_int_equal(oom_score_points(UINT64_MAX, 1000 * MIB), 1000);
	assert_int_equal(oom_score_points(UINT64_MAX, UINT64_MAX), 1000);
	assert_int_equal(oom_score_points(1, 1), 1000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(points_are_thousandths),
		cmocka_unit_test(scores_come_and_go),
		cmocka_unit_test(what_others_write_is_kept),
		cmocka_unit_test(children_get_what_their_parent_had),
		cmocka_unit_test(processes_with_one_memory_do_not_add_up),
		cmocka_unit_test(a_pid_that_is_used_again_is_left_alone),
		cmocka_unit_test(an_ordinary_user_may_do_it),
		cmocka_unit_test(without_it_the_neighbour_dies),
		cmocka_unit_test(with_it_the_hoarder_dies),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
