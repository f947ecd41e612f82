/* SPDX-License-Identifier: Apache-2.0 */

/* Who holds a file, among processes that do not want to be found. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <limits.h>
#include <linux/fuse.h>
#include <linux/sched.h>
#include <pthread.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/resource.h>

#include "kernel/holders.h"
#include "kernel/lookout.h"
#include "kernel/process.h"
#include "live.h"
#include "live_fuse.h"
#include "live_tree.h"

#define MIB UINT64_C(1048576)

/* A file that children get from us by fork(). */
static int shared_fd = -1;
static struct holder_file shared_file;

/* An argument for a child that only asks whether it has one. */
static bool yes = true;

static int make_shared(void **state)
{
	struct stat st;

	(void)state;
	shared_fd = tree_memfd(2 * MIB);
	assert_return_code(fstat(shared_fd, &st), errno);
	shared_file = (struct holder_file){.dev = st.st_dev, .ino = st.st_ino, .bytes = 2 * MIB};
	/* Orphans come back to us, as to a supervisor. */
	return prctl(PR_SET_CHILD_SUBREAPER, 1);
}

static int close_shared(void **state)
{
	(void)state;
	shared_fd = fd_close(shared_fd);
	return 0;
}

static ssize_t find(pid_t root, struct holder **ret_holders)
{
	ssize_t n = holders_find(root, &shared_file, 1, ret_holders);

	assert_true(n >= 0);
	return n;
}

/* What a process holds of the shared file, below us. */
static struct holder found_of(pid_t pid)
{
	struct holder *holders, found = {0};
	ssize_t n = find(getpid(), &holders);

	for (ssize_t i = 0; i < n; i++)
		if (holders[i].pid == pid)
			found = holders[i];
	free(holders);
	return found;
}

static void keep_it_open(int ready, void *argument)
{
	(void)argument;
	tree_stay(ready, "r", 1);
}

static void have_nothing(int ready, void *argument)
{
	(void)argument;
	close(shared_fd);
	tree_stay(ready, "r", 1);
}

/* Mapped, and touched unless argument says otherwise; the descriptor is closed. */
static void keep_it_mapped(int ready, void *argument)
{
	bool touch = argument == NULL;
	char *p = mmap(NULL, 2 * MIB, PROT_READ | PROT_WRITE, MAP_SHARED, shared_fd, 0);

	live_check(p != MAP_FAILED);
	for (size_t i = 0; touch && i < 2 * MIB; i += 4096)
		p[i] = 'y';
	close(shared_fd);
	tree_stay(ready, "r", 1);
}

static void descriptors_and_mappings_hold(void **state)
{
	struct tree_child children[] = {
		tree_start(keep_it_open, NULL),
		tree_start(have_nothing, NULL),
		tree_start(keep_it_mapped, NULL),
		tree_start(keep_it_mapped, &yes),
	};
	char byte;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(children); i++)
		tree_hear(&children[i], &byte, 1);

	struct holder open = found_of(children[0].pid), mapped = found_of(children[2].pid),
		      untouched = found_of(children[3].pid);

	assert_int_equal(open.held_bytes, 2 * MIB);
	assert_int_equal(open.unmapped_bytes, 2 * MIB);
	assert_false(open.partial);
	assert_int_equal(found_of(children[1].pid).pid, 0);
	assert_int_equal(mapped.held_bytes, 2 * MIB);
	/* The kernel's counters may lag by some dozens of pages. */
	assert_in_range(mapped.unmapped_bytes, 0, MIB);
	assert_int_equal(untouched.held_bytes, 2 * MIB);
	assert_int_equal(untouched.unmapped_bytes, 2 * MIB);
	/* Measured through a descriptor, if there is one. */
	shared_file.bytes = HOLDER_UNKNOWN;
	assert_int_equal(found_of(children[0].pid).held_bytes, 2 * MIB);
	shared_file.bytes = 2 * MIB;
	/* We have it too, but are never in question. */
	assert_int_equal(found_of(getpid()).pid, 0);
	for (size_t i = 0; i < ARRAY_SIZE(children); i++)
		tree_end(&children[i]);
}

/* ---- Threads ---- */

struct own_table {
	int ready;
	bool leader_ends;
};

static void *have_own_table(void *argument)
{
	struct own_table *own = argument;
	struct stat st;

	/* From here on what we open is ours alone. */
	live_check(unshare(CLONE_FILES) == 0);

	int fd = tree_memfd(MIB);

	live_check(fstat(fd, &st) == 0);
	tree_stay(own->ready, &st, sizeof(st));
}

static void hide_in_a_thread(int ready, void *argument)
{
	static struct own_table own;
	pthread_t thread;

	own = (struct own_table){.ready = ready, .leader_ends = argument != NULL};
	live_check(pthread_create(&thread, NULL, have_own_table, &own) == 0);
	if (own.leader_ends)
		syscall(SYS_exit, 0);
	for (;;)
		pause();
}

static void assert_thread_is_found(void *leader_ends)
{
	struct tree_child child = tree_start(hide_in_a_thread, leader_ends);
	struct holder *holders;
	struct stat st;

	tree_hear(&child, &st, sizeof(st));

	const struct holder_file file = {.dev = st.st_dev, .ino = st.st_ino, .bytes = MIB};

	assert_int_equal(holders_find(getpid(), &file, 1, &holders), 1);
	assert_int_equal(holders[0].pid, child.pid);
	assert_int_equal(holders[0].held_bytes, MIB);
	free(holders);
	tree_end(&child);
}

static void a_thread_with_its_own_table_is_seen(void **state)
{
	(void)state;
	if (syscall(SYS_kcmp, getpid(), getpid(), 2 /* KCMP_FILES */, 0, 0) < 0)
		live_skip("the kernel has no kcmp(2)");
	assert_thread_is_found(NULL);
}

static void a_process_whose_leader_has_gone_is_seen(void **state)
{
	(void)state;
	assert_thread_is_found(&yes);
}

/* ---- Files that a tenant serves itself ---- */

/* Answers what it takes to mount and to open the root of a FUSE file system, and nothing more. */
static void serve_until_opened(int fuse)
{
	char request[65536];
	struct fuse_in_header in;

	for (bool opened = false; !opened;) {
		struct {
			struct fuse_out_header header;
			union {
				struct fuse_init_out init;
				struct fuse_open_out open;
				struct fuse_attr_out attr; /* valid for no time at all */
			};
		} out = {0};

		live_check(read(fuse, request, sizeof(request)) > 0);
		memcpy(&in, request, sizeof(in));
		out.header.unique = in.unique;
		out.header.len = sizeof(out.header);
		if (in.opcode == FUSE_INIT) {
			out.init.major = FUSE_KERNEL_VERSION;
			out.init.minor = 31;
			out.init.max_write = 4096;
			out.header.len += sizeof(out.init);
		} else if (in.opcode == FUSE_GETATTR) {
			out.attr.attr =
				(struct fuse_attr){.ino = 1, .mode = S_IFDIR | 0755, .nlink = 1};
			out.header.len += sizeof(out.attr);
		} else {
			opened = in.opcode == FUSE_OPENDIR;
			out.header.len += opened ? sizeof(out.open) : 0;
			out.header.error = opened ? 0 : -ENOSYS;
		}
		live_check(write(fuse, &out, out.header.len) == (ssize_t)out.header.len);
	}
}

static void serve_and_hold(int ready, void *argument)
{
	char options[128];
	int fuse = open("/dev/fuse", O_RDWR | O_CLOEXEC);

	(void)argument;
	snprintf(options, sizeof(options), "fd=%d,rootmode=40000,user_id=0,group_id=0", fuse);
	if (fuse < 0 || unshare(CLONE_NEWNS) < 0 ||
		mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
		mount("fuse", "/tmp", "fuse", 0, options) < 0)
		tree_stay(ready, "s", 1);

	pid_t pid = fork();

	live_check(pid >= 0);
	if (pid == 0) {
		live_check(prctl(PR_SET_PDEATHSIG, SIGKILL) == 0);
		serve_until_opened(fuse);
		for (;;)
			pause();
	}
	live_check(open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC) >= 0);
	tree_stay(ready, "r", 1);
}

static void a_file_system_that_never_answers_is_not_asked(void **state)
{
	struct tree_child child = tree_start(serve_and_hold, NULL);
	char byte;

	(void)state;
	tree_hear(&child, &byte, 1);
	if (byte != 'r') {
		tree_end(&child);
		live_skip("cannot mount FUSE here");
	}
	/* If it were asked, we would wait for ever. */
	assert_int_equal(found_of(child.pid).held_bytes, 2 * MIB);
	tree_end(&child);
	while (waitpid(-1, NULL, 0) > 0)
		continue;
}

/* ---- Where it stands in the tree ---- */

static void have_a_child(int ready, void *argument)
{
	pid_t pid = fork();

	(void)argument;
	live_check(pid >= 0);
	if (pid == 0)
		for (;;)
			pause();
	tree_stay(ready, &pid, sizeof(pid));
}

static void leave_an_orphan(int ready, void *argument)
{
	pid_t pid = fork();

	(void)argument;
	live_check(pid >= 0);
	if (pid == 0)
		for (;;)
			pause();
	live_check(write(ready, &pid, sizeof(pid)) == sizeof(pid));
	_exit(0);
}

static void only_descendants_are_looked_at(void **state)
{
	struct tree_child parent = tree_start(have_a_child, NULL);
	struct tree_child gone = tree_start(leave_an_orphan, NULL);
	struct holder *holders;
	pid_t child, orphan;

	(void)state;
	tree_hear(&parent, &child, sizeof(child));
	tree_hear(&gone, &orphan, sizeof(orphan));
	assert_int_equal(tree_wait(&gone), 0);

	assert_int_equal(find(getpid(), &holders), 3);
	free(holders);
	assert_int_equal(found_of(orphan).held_bytes, 2 * MIB);

	assert_int_equal(find(parent.pid, &holders), 1);
	assert_int_equal(holders[0].pid, child);
	free(holders);
	assert_int_equal(find(child, &holders), 0);
	free(holders);
	/* The child with its parent, the orphan; who else may have it is not known here. */
	assert_in_range(find(0, &holders), 3, INT_MAX);
	free(holders);

	kill(child, SIGKILL);
	kill(orphan, SIGKILL);
	tree_end(&parent);
	while (waitpid(-1, NULL, 0) > 0)
		continue;
}

static uint64_t started(pid_t pid)
{
	struct process process;
	_cleanup_close_ int fd = process_open_dir(pid);

	assert_return_code(fd, -fd);
	assert_int_equal(process_read(pid, fd, &process), 0);
	assert_int_equal(process.pid, pid);
	return process.start_ticks;
}

static void only_descendants_are_opened(void **state)
{
	struct tree_child parent = tree_start(have_a_child, NULL);
	struct tree_child other = tree_start(keep_it_open, NULL);
	char byte;
	pid_t child;

	(void)state;
	tree_hear(&parent, &child, sizeof(child));
	tree_hear(&other, &byte, 1);

	uint64_t ticks = started(child);
	_cleanup_close_ int pidfd = process_open_below(child, ticks, getpid());

	assert_return_code(pidfd, -pidfd);
	assert_false(process_has_ended(pidfd));
	assert_in_range(ticks, 1, process_now_ticks());
	assert_return_code(fd_close(process_open_below(child, ticks, parent.pid)) + 1, 0);
	assert_int_equal(process_open_below(child, ticks, other.pid), -EPERM);
	assert_int_equal(process_open_below(child, ticks + 1, getpid()), -ESRCH);
	assert_int_equal(process_open_below(parent.pid, started(parent.pid), parent.pid), -EPERM);
	assert_int_equal(process_open_below(getpid(), started(getpid()), 0), -EPERM);
	assert_int_equal(process_open_below(1, started(1), 0), -EPERM);
	assert_int_equal(process_open_below(getppid(), started(getppid()), getpid()), -EPERM);

	kill(child, SIGKILL);
	tree_end(&parent);
	tree_end(&other);
	while (waitpid(-1, NULL, 0) > 0)
		continue;
	assert_true(process_has_ended(pidfd));
	assert_int_equal(process_open_below(child, ticks, getpid()), -ESRCH);
}

/* ---- The same pid again ---- */

static pid_t fork_as(pid_t pid)
{
	struct clone_args args = {
		.exit_signal = SIGCHLD,
		.set_tid = (uintptr_t)&pid,
		.set_tid_size = 1,
	};

	fflush(NULL);
	return (pid_t)syscall(SYS_clone3, &args, sizeof(args));
}

static void a_pid_that_is_used_again_is_another_process(void **state)
{
	struct tree_child child = tree_start(keep_it_open, NULL);
	struct process process;
	char byte;

	(void)state;
	live_require_root();
	tree_hear(&child, &byte, 1);

	struct holder first = found_of(child.pid);
	_cleanup_close_ int dir_fd = process_open_dir(child.pid);

	assert_int_equal(first.pid, child.pid);
	assert_int_equal(process_read(child.pid, dir_fd, &process), 0);
	tree_end(&child);
	while (process_now_ticks() == first.start_ticks)
		usleep(1000);

	pid_t again = fork_as(first.pid);

	if (again < 0)
		live_skip("no process can be given a pid here");
	if (again == 0)
		for (;;)
			pause();
	assert_int_equal(again, first.pid);
	assert_int_equal(process_read(child.pid, dir_fd, &process), -ESRCH);
	assert_int_equal(process_open_same(first.pid, first.start_ticks), -ESRCH);
	assert_int_equal(process_open_below(first.pid, first.start_ticks, getpid()), -ESRCH);

	/* It holds the file, but as itself. */
	assert_int_equal(found_of(again).held_bytes, 2 * MIB);
	assert_int_not_equal(found_of(again).start_ticks, first.start_ticks);
	assert_return_code(kill(again, SIGKILL), errno);
	assert_int_equal(waitpid(again, NULL, 0), again);
}

/* ---- More than we look at ---- */

#define MANY   15000 /* descriptors of one process */
#define OTHERS 60    /* processes, so that the share of that one is smaller */

static enum fuse_manner keep_closing(uint32_t opcode, void *userdata)
{
	const int *ready = userdata;
	pid_t self = getpid();

	if (opcode != FUSE_FLUSH)
		return FUSE_ANSWER;
	live_check(write(*ready, &self, sizeof(self)) == sizeof(self));
	return FUSE_SAY_NOTHING;
}

/* Hangs in execve(2), with a file to be closed by it that its own server keeps open. */
static void execute_for_ever(int ready, void *argument)
{
	const pid_t none = 0;
	int fuse = -ENOSYS;

	(void)argument;
	if (unshare(CLONE_NEWNS) == 0 && mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0)
		fuse = fuse_mount("/tmp");
	if (fuse < 0)
		tree_stay(ready, &none, sizeof(none));

	pid_t server = fork();

	live_check(server >= 0);
	if (server == 0) {
		fuse_serve(fuse, keep_closing, &ready);
		_exit(0);
	}
	close(fuse);
	live_check(open("/tmp/" FUSE_FILE, O_RDWR | O_CLOEXEC) >= 0);
	execl("/bin/true", "true", NULL);
}

static void who_never_ends_its_exec_holds_up_nobody(void **state)
{
	struct tree_child stuck = tree_start(execute_for_ever, NULL);
	struct tree_child holds = tree_start(keep_it_open, NULL);
	pid_t server;
	char byte;

	(void)state;
	tree_hear(&holds, &byte, 1);
	tree_hear(&stuck, &server, sizeof(server));
	assert_int_equal(lookout_start(), 0);
	/* The second time it is not asked any more. */
	for (int i = 0; server > 0 && i < 2; i++) {
		assert_int_equal(found_of(holds.pid).held_bytes, 2 * MIB);
		assert_int_equal(found_of(stuck.pid).pid, 0);
	}
	lookout_end();
	tree_end(&holds);
	kill(server > 0 ? server : stuck.pid, SIGKILL);
	tree_wait(&stuck);
	while (waitpid(-1, NULL, 0) > 0)
		continue;
	if (server == 0)
		live_skip("cannot mount FUSE here");
}

/* The file is the last but one of so many; all the others are something else. */
static void hide_behind_many(int ready, void *argument)
{
	const struct rlimit limit = {MANY + 1, MANY + 1};
	bool ok = setrlimit(RLIMIT_NOFILE, &limit) == 0 && dup3(ready, MANY, O_CLOEXEC) == MANY &&
		  dup3(shared_fd, MANY - 1, O_CLOEXEC) == MANY - 1;
	int null = open("/dev/null", O_RDONLY | O_CLOEXEC);

	(void)argument;
	for (int fd = 3; ok && fd < MANY - 1; fd++)
		ok = fd == null || dup3(null, fd, O_CLOEXEC) == fd;
	tree_stay(ok ? MANY : ready, ok ? "r" : "s", 1);
}

static void a_large_table_is_looked_at_in_parts(void **state)
{
	struct tree_child child = tree_start(hide_behind_many, NULL), others[OTHERS];
	struct holder found = {0};
	char byte;

	(void)state;
	tree_hear(&child, &byte, 1);
	if (byte != 'r') {
		tree_end(&child);
		live_skip("cannot have 15,000 descriptors here");
	}
	for (size_t i = 0; i < OTHERS; i++)
		others[i] = tree_start(have_nothing, NULL);
	/* One try of twenty finds it: 500 that do not are one in 10^11. */
	for (int i = 0; found.pid == 0 && i < 500; i++)
		found = found_of(child.pid);
	assert_int_equal(found.held_bytes, 2 * MIB);
	assert_true(found.partial);
	tree_end(&child);
	for (size_t i = 0; i < OTHERS; i++)
		tree_end(&others[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(descriptors_and_mappings_hold),
		cmocka_unit_test(a_thread_with_its_own_table_is_seen),
		cmocka_unit_test(a_process_whose_leader_has_gone_is_seen),
		cmocka_unit_test(a_file_system_that_never_answers_is_not_asked),
		cmocka_unit_test(who_never_ends_its_exec_holds_up_nobody),
		cmocka_unit_test(only_descendants_are_looked_at),
		cmocka_unit_test(only_descendants_are_opened),
		cmocka_unit_test(a_pid_that_is_used_again_is_another_process),
		cmocka_unit_test(a_large_table_is_looked_at_in_parts),
	};

	return cmocka_run_group_tests(tests, make_shared, close_shared);
}
