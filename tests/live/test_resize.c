/* SPDX-License-Identifier: Apache-2.0 */

/* core/resize: limits of memory files, in 64 and in 32 bits, and callers of every kind. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <linux/falloc.h>
#include <pthread.h>
#include <sched.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "kernel/compat.h"
#include "kernel/tmpfs.h"
#include "live.h"
#include "live_resize.h"

#define MIB  (1 << 20)
#define PAGE 4096

static bool fails(int r, int error)
{
	return r == -1 && errno == error;
}

static int64_t size_of(int fd)
{
	struct stat st;

	live_check(fstat(fd, &st) == 0);
	return st.st_size;
}

/* ---- Limits ---- */

static int child_meets_limits_of_size(void *argument)
{
	int a = memfd_create("a", MFD_CLOEXEC), b = memfd_create("b", MFD_CLOEXEC);

	(void)argument;
	/* One file's. */
	live_check(ftruncate(a, 2 * MIB) == 0);
	live_check(fails(ftruncate(a, 2 * MIB + 1), EDQUOT) && size_of(a) == 2 * MIB);
	live_check(fails(fallocate(a, 0, 2 * MIB, 1), EDQUOT) && size_of(a) == 2 * MIB);
	/* What does not make it larger. */
	live_check(ftruncate(a, 2 * MIB) == 0 && fallocate(a, 0, 0, PAGE) == 0);
	/* The tenant's. */
	live_check(ftruncate(b, MIB) == 0);
	live_check(fails(ftruncate(b, MIB + 1), ENOSPC) && size_of(b) == MIB);
	live_check(fails(fallocate(b, 0, MIB, PAGE), ENOSPC) && size_of(b) == MIB);
	/* What one file gives back another one gets. */
	live_check(ftruncate(a, MIB) == 0 && ftruncate(b, 2 * MIB) == 0);
	live_check(close(a) == 0);
	a = memfd_create("again", MFD_CLOEXEC);
	live_check(ftruncate(a, MIB) == 0 && fails(ftruncate(a, MIB + 1), ENOSPC));
	return 0;
}

static void test_limits_of_size(void **state)
{
	struct scene scene;

	(void)state;
	scene_init(&scene);
	scene.quotas.limits[QUOTA_MEMFD_SIZE] = 2 * MIB;
	scene.quotas.limits[QUOTA_SIZE] = 3 * MIB;
	scene_play(&scene, child_meets_limits_of_size, NULL);
	assert_int_equal(scene.status, 0);
	assert_int_equal(scene.count, 5);
	assert_int_equal(scene.outcomes[0].quota, QUOTA_MEMFD_SIZE);
	assert_int_equal(scene.outcomes[0].size, 2 * MIB + 1);
	assert_int_equal(scene.outcomes[2].quota, QUOTA_SIZE);
	assert_int_equal(scene.outcomes[2].error, ENOSPC);
	assert_int_equal(scene.outcomes[3].size, MIB + PAGE);
	assert_int_equal(scene.use.memfds, 0);
	assert_int_equal(scene.use.size, 0);
	assert_int_equal(scene.use.peak_size, 3 * MIB);
}

static int child_meets_limit_of_memory(void *argument)
{
	int fd = memfd_create("a", MFD_CLOEXEC);

	(void)argument;
	live_check(ftruncate(fd, 64 * MIB) == 0);
	live_check(fallocate(fd, 0, 0, MIB) == 0);
	live_check(fails(fallocate(fd, 0, 8 * MIB, MIB + 1), ENOSPC));
	live_check(fails(fallocate(fd, FALLOC_FL_KEEP_SIZE, 80 * MIB, MIB + 1), ENOSPC));
	live_check(fallocate(fd, FALLOC_FL_KEEP_SIZE, 80 * MIB, MIB) == 0);
	live_check(size_of(fd) == 64 * MIB);
	live_check(fails(fallocate(fd, 0, 8 * MIB, 1), ENOSPC));
	/* To give back is never refused, and is seen at once. */
	live_check(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, MIB) == 0);
	live_check(fallocate(fd, 0, 8 * MIB, MIB) == 0);
	live_check(ftruncate(fd, 0) == 0);
	live_check(fallocate(fd, 0, 0, 2 * MIB) == 0);
	return 0;
}

static void test_limit_of_memory(void **state)
{
	struct scene scene;

	(void)state;
	live_require_root();
	scene_init(&scene);
	scene.quotas.limits[QUOTA_RESIDENT] = 2 * MIB;
	scene_play(&scene, child_meets_limit_of_memory, NULL);
	assert_int_equal(scene.status, 0);
	assert_int_equal(scene.count, 3);
	assert_int_equal(scene.outcomes[0].quota, QUOTA_RESIDENT);
	assert_int_equal(scene.use.resident, 0);
}

/*
 * Pages that lie behind the end are no reason to take those before it for there: what is allocated
 * counts for itself, and again only where it is.
 */
static int child_keeps_pages_behind(void *argument)
{
	static const char data[MIB] = {1};
	const int keep = FALLOC_FL_KEEP_SIZE;
	int fd = memfd_create("a", MFD_CLOEXEC);

	(void)argument;
	live_check(fallocate(fd, keep, 80 * MIB, MIB) == 0);
	live_check(pwrite(fd, data, sizeof(data), 0) == (ssize_t)sizeof(data));
	live_check(fails(fallocate(fd, 0, MIB, MIB), ENOSPC));
	live_check(fails(fallocate(fd, keep, 40 * MIB, PAGE), ENOSPC));
	live_check(fallocate(fd, 0, 0, MIB) == 0);
	return 0;
}

static void test_pages_behind_the_end(void **state)
{
	struct scene scene;

	(void)state;
	live_require_root();
	scene_init(&scene);
	scene.quotas.limits[QUOTA_RESIDENT] = 2 * MIB;
	scene_play(&scene, child_keeps_pages_behind, NULL);
	assert_int_equal(scene.status, 0);
	assert_int_equal(scene.count, 2);
}

static int own_fd = -1;

static int child_shrinks(void *argument)
{
	(void)argument;
	live_check(ftruncate(own_fd, 10 * MIB) == 0 && size_of(own_fd) == 10 * MIB);
	live_check(fails(ftruncate(own_fd, 10 * MIB + 1), EDQUOT));
	live_check(ftruncate(own_fd, 10) == 0 && size_of(own_fd) == 10);
	live_check(ftruncate(own_fd, MIB) == 0 && fails(ftruncate(own_fd, MIB + 1), EDQUOT));
	return 0;
}

/* A file that is far above every limit already, and that the ledger has not seen before. */
static void test_to_shrink_is_never_refused(void **state)
{
	struct scene scene;

	(void)state;
	scene_init(&scene);
	scene.quotas.limits[QUOTA_MEMFD_SIZE] = MIB;
	scene.quotas.limits[QUOTA_SIZE] = MIB;
	own_fd = memfd_create("large", MFD_CLOEXEC);
	assert_return_code(ftruncate(own_fd, 20 * MIB), errno);
	scene_play(&scene, child_shrinks, NULL);
	own_fd = fd_close(own_fd);
	assert_int_equal(scene.status, 0);
	assert_int_equal(scene.count, 2);
}

/* ---- Files elsewhere ---- */

/* Exit status of a child for which the machine has not what it needs. */
#define NOT_HERE 77

static int child_has_huge_pages(void *argument)
{
	int fd = memfd_create("huge", MFD_CLOEXEC | MFD_HUGETLB);
	struct stat st;

	(void)argument;
	if (fd < 0)
		return NOT_HERE;
	live_check(fstat(fd, &st) == 0);

	const off_t page = st.st_blksize;

	live_check(fails(ftruncate(fd, page + 1), EINVAL));
	live_check(fails(ftruncate(fd, INT64_C(1) << 40), ENOMEM) && size_of(fd) == 0);
	live_check(fails(ftruncate(fd, (INT64_C(1) << 40) + 1), EINVAL));
	live_check(fails(fallocate(fd, 0, INT64_C(1) << 40, page), ENOMEM));
	live_check(ftruncate(fd, page) == 0);
	live_check(ftruncate(fd, 0) == 0);
	return 0;
}

static void test_limit_of_huge_pages(void **state)
{
	struct scene scene;

	(void)state;
	scene_init(&scene);
	scene.quotas.limits[QUOTA_HUGETLB] = UINT64_C(1) << 39;
	/* Counts nowhere else. */
	scene.quotas.limits[QUOTA_SIZE] = 1;
	scene_play(&scene, child_has_huge_pages, NULL);
	if (scene.status == NOT_HERE)
		live_skip("no huge pages");
	assert_int_equal(scene.status, 0);
	assert_in_range(scene.count, 2, 3);
	assert_int_equal(scene.outcomes[0].quota, QUOTA_HUGETLB);
	assert_int_equal(scene.use.hugetlb, 0);
}

static int child_resizes_its_own(void *argument)
{
	(void)argument;
	live_check(ftruncate(own_fd, MIB) == 0 && size_of(own_fd) == MIB);
	live_check(fails(ftruncate(own_fd, 2 * MIB + 1), ENOSPC) && size_of(own_fd) == MIB);
	live_check(fallocate(own_fd, 0, MIB, 4096) == 0 && size_of(own_fd) == MIB + 4096);
	live_check(fails(fallocate(own_fd, 0, 2 * MIB, 1), ENOSPC));
	live_check(ftruncate(own_fd, 0) == 0 && ftruncate(own_fd, 2 * MIB) == 0);
	live_check(close(own_fd) == 0);
	return 0;
}

/* In the scene's ledger, as one that was made for its tenant. */
static void own_fd_enter(struct scene *scene, enum store store)
{
	const struct ledger_maker maker = {.pid = getpid(), .name = "own", .name_len = 3};
	struct charge charge;

	assert_int_equal(charge_begin(&charge, scene->tenant, store, false), QUOTA_NONE);
	assert_int_equal(charge_commit(&charge, own_fd, &maker), 0);
}

static void own_fd_play(struct scene *scene, enum quota quota)
{
	scene_start(scene, child_resizes_its_own, NULL);
	own_fd = fd_close(own_fd);
	scene_run(scene);
	scene_end(scene);
	assert_int_equal(scene->status, 0);
	assert_int_equal(scene->count, 2);
	assert_int_equal(scene->outcomes[0].quota, quota);
	assert_int_equal(scene->outcomes[1].quota, quota);
	assert_int_equal(scene->use.memfds, 0);
}

static void test_file_on_a_tmpfs(void **state)
{
	struct tmpfs *tmpfs = NULL;
	struct scene scene;

	(void)state;
	live_require_root();
	scene_init(&scene);
	scene.quotas.limits[QUOTA_RESIDENT] = 64 * MIB;
	scene.quotas.limits[QUOTA_SIZE] = 2 * MIB;
	scene_open(&scene);
	assert_int_equal(tenant_tmpfs(scene.tenant, &tmpfs), 0);
	own_fd = tmpfs_create(tmpfs, "own", false);
	assert_return_code(own_fd, -own_fd);
	own_fd_enter(&scene, STORE_TMPFS);
	own_fd_play(&scene, QUOTA_SIZE);
}

static void test_file_on_a_disk(void **state)
{
	struct scene scene;

	(void)state;
	scene_init(&scene);
	scene.quotas.limits[QUOTA_SPILL] = 2 * MIB;
	scene_open(&scene);
	own_fd = open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	assert_return_code(own_fd, errno);
	own_fd_enter(&scene, STORE_DISK);
	own_fd_play(&scene, QUOTA_SPILL);
}

/* ---- 32 bits ---- */

#ifdef __x86_64__
static int child_is_i386(void *argument)
{
	char name[] = "resizes", what[] = "resize";
	char *const argv[] = {name, what, NULL};

	(void)argument;
	execv(CALLER_I386, argv);
	return 99;
}

/* A real 32-bit program: where its arguments have an upper half, that is a register of its own. */
static void test_i386(void **state)
{
	struct scene scene;

	(void)state;
	scene_init(&scene);
	scene.quotas.limits[QUOTA_MEMFD_SIZE] = UINT64_C(8) << 30;
	scene.quotas.errors[QUOTA_MEMFD_SIZE] = EFBIG;
	scene_play(&scene, child_is_i386, NULL);
	assert_int_equal(scene.status, 0);
	assert_int_equal(scene.count, 3);
	assert_int_equal(scene.outcomes[0].size, (UINT64_C(8) << 30) + 1);
	assert_int_equal(scene.outcomes[1].size, UINT64_C(0x1000) << 32);
	assert_int_equal(scene.outcomes[2].size, (UINT64_C(8) << 30) + PAGE);
}
#endif

/* ---- Callers ---- */

/* Threads have no pidfds before Linux 6.9, so tables of their own cannot be reached. */
static bool threads_have_pidfds(void)
{
	int fd = (int)syscall(SYS_pidfd_open, getpid(), COMPAT_PIDFD_THREAD);

	fd_close(fd);
	return fd >= 0;
}

static void *thread_resizes_its_own(void *argument)
{
	const int error = threads_have_pidfds() ? EDQUOT : EPERM;
	int fd = *(const int *)argument;
	int other = memfd_create("of the thread", MFD_CLOEXEC);

	live_check(unshare(CLONE_FILES) == 0);
	live_check(dup2(other, fd) == fd);
	live_check(ftruncate(fd, 7777) == 0 && size_of(other) == 7777);
	live_check(fails(ftruncate(fd, MIB + 1), error));
	return NULL;
}

/* The same number in two tables. */
static int child_has_two_tables(void *argument)
{
	int fd = memfd_create("of the process", MFD_CLOEXEC);
	pthread_t thread;

	(void)argument;
	live_check(ftruncate(fd, 1111) == 0);
	live_check(pthread_create(&thread, NULL, thread_resizes_its_own, &fd) == 0);
	live_check(pthread_join(thread, NULL) == 0);
	live_check(size_of(fd) == 1111 && ftruncate(fd, 2222) == 0 && size_of(fd) == 2222);
	return 0;
}

static void test_thread_with_a_table_of_its_own(void **state)
{
	struct scene scene;

	(void)state;
	scene_init(&scene);
	scene.quotas.limits[QUOTA_MEMFD_SIZE] = MIB;
	scene_play(&scene, child_has_two_tables, NULL);
	assert_int_equal(scene.status, 0);
}

static int child_locks(void *argument)
{
	(void)argument;
	for (int i = 0; i < 100; i++) {
		int fds[] = {memfd_create("locked", MFD_CLOEXEC),
			open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600)};

		for (size_t k = 0; k < ARRAY_SIZE(fds); k++) {
			char path[32];

			snprintf(path, sizeof(path), "/proc/self/fd/%d", fds[k]);

			int again = open(path, O_RDWR | O_CLOEXEC);

			live_check(again >= 0 && flock(fds[k], LOCK_EX | LOCK_NB) == 0);
			live_check(ftruncate(fds[k], i % 2 ? 100 : 2 * PAGE) == 0);
			live_check(fallocate(fds[k], 0, 0, PAGE) == 0);
			close(fds[k]);
			/* Would be held as long as a copy of the closed one is open. */
			live_check(flock(again, LOCK_EX | LOCK_NB) == 0);
			close(again);
		}
	}
	return 0;
}

static void test_no_copy_outlives_the_call(void **state)
{
	/* Above a size of a page the file on a disk is resized by an errand. */
	const uint64_t limits[] = {QUOTA_UNLIMITED, 2 * PAGE};

	(void)state;
	for (int i = 0; i < 4; i++) {
		struct scene scene;

		scene_init(&scene);
		scene.guess = i % 2;
		scene.quotas.limits[QUOTA_MEMFD_SIZE] = limits[i / 2];
		scene_play(&scene, child_locks, NULL);
		assert_int_equal(scene.status, 0);
		assert_int_equal(scene.count, 0);
	}
}

/* Its supervisor is an ordinary user, as it is itself. */
static int child_is_not_dumpable(void *argument)
{
	int fd = memfd_create("hidden", MFD_CLOEXEC);

	(void)argument;
	live_check(prctl(PR_SET_DUMPABLE, 0L, 0L, 0L, 0L) == 0);
	live_check(ftruncate(fd, 1000) == 0 && size_of(fd) == 1000);
	live_check(fallocate(fd, 0, 0, 2000) == 0 && size_of(fd) == 2000);
	live_check(fails(ftruncate(fd, MIB + 1), EPERM) && size_of(fd) == 2000);
	live_check(fails(fallocate(fd, 0, MIB, 1), EPERM) && size_of(fd) == 2000);
	live_check(fails(ftruncate(fd, -1), EINVAL) && fails(fallocate(fd, 0, -1, 1), EINVAL));
	return 0;
}

static void test_uninspectable(void **state)
{
	(void)state;
	for (int guess = 0; guess < 2; guess++) {
		struct scene scene;

		scene_init(&scene);
		scene.guess = guess;
		scene.quotas.limits[QUOTA_MEMFD_SIZE] = MIB;
		scene_play(&scene, child_is_not_dumpable, NULL);
		assert_int_equal(scene.status, 0);
		assert_int_equal(scene.count, 2);
		assert_int_equal(scene.outcomes[0].error, EPERM);
		assert_int_equal(scene.outcomes[0].quota, QUOTA_NONE);
	}
}

static int as_ordinary_user(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_limits_of_size),
		cmocka_unit_test(test_uninspectable),
	};

	if (geteuid() == 0)
		live_check(
			setresgid(65534, 65534, 65534) == 0 && setresuid(65534, 65534, 65534) == 0);
	/* What changing ids took away: an ordinary program has it. */
	live_check(prctl(PR_SET_DUMPABLE, 1L, 0L, 0L, 0L) == 0);
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* ---- Deaths ---- */

static int child_truncates(void *argument)
{
	(void)argument;
	return ftruncate(own_fd, MIB);
}

static int child_allocates(void *argument)
{
	(void)argument;
	return fallocate(own_fd, 0, 0, MIB);
}

static void kill_and_reap(struct live_child *child)
{
	assert_return_code(kill(child->pid, SIGKILL), errno);
	assert_int_equal(waitpid(child->pid, NULL, 0), child->pid);
	child->pid = fork();
	assert_return_code(child->pid, errno);
	if (child->pid == 0)
		_exit(0);
}

/* Whatever it asked for does not happen any more, and nothing stays charged for it. */
static void test_killed_before_the_answer(void **state)
{
	live_main_fn *const calls[] = {child_truncates, child_allocates};

	(void)state;
	own_fd = memfd_create("survives", MFD_CLOEXEC);
	for (int i = 0; i < 4; i++) {
		struct scene scene;
		union notification slot;

		scene_init(&scene);
		scene.guess = i % 2;
		scene_start(&scene, calls[i / 2], NULL);
		assert_int_equal(notify_receive(scene.child.listener, &slot), NOTIFY_OK);
		kill_and_reap(&scene.child);
		assert_int_equal(scene_answer(&scene, &slot), NOTIFY_GONE);
		assert_int_equal(size_of(own_fd), 0);
		scene_end(&scene);
		assert_int_equal(scene.use.size, 0);
	}
	own_fd = fd_close(own_fd);
}

/* The next owner of a caller's id has another file under the same number. */
static void test_id_passes_on(void **state)
{
	int other = memfd_create("innocent", MFD_CLOEXEC);

	(void)state;
	own_fd = memfd_create("survives", MFD_CLOEXEC);
	for (int guess = 0; guess < 2; guess++) {
		struct scene scene;
		union notification slot;
		char text[16];
		pid_t pid;

		scene_init(&scene);
		scene.guess = guess;
		scene_start(&scene, child_truncates, NULL);
		assert_int_equal(notify_receive(scene.child.listener, &slot), NOTIFY_OK);
		pid = scene.child.pid;
		assert_return_code(kill(pid, SIGKILL), errno);
		assert_int_equal(waitpid(pid, NULL, 0), pid);
		snprintf(text, sizeof(text), "%d", pid - 1);
		live_write_file("/proc/sys/kernel/ns_last_pid", text);
		scene.child.pid = fork();
		if (scene.child.pid == 0) {
			live_check(dup2(other, own_fd) == own_fd);
			pause();
		}
		assert_int_equal(scene.child.pid, pid);
		while (tracee_get_fd(scene.cache, pid, own_fd) < 0)
			usleep(1000);
		assert_int_equal(scene_answer(&scene, &slot), NOTIFY_GONE);
		assert_int_equal(size_of(other), 0);
		assert_return_code(kill(pid, SIGKILL), errno);
		scene_end(&scene);
		assert_int_equal(scene.use.size, 0);
	}
	own_fd = fd_close(own_fd);
	close(other);
}

static int in_own_pid_namespace(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_id_passes_on)};

	live_check(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0);
	live_check(mount("proc", "/proc", "proc", 0, NULL) == 0);
	return cmocka_run_group_tests(tests, NULL, NULL);
}

static int run_all(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_limits_of_size),
		cmocka_unit_test(test_limit_of_memory),
		cmocka_unit_test(test_pages_behind_the_end),
		cmocka_unit_test(test_to_shrink_is_never_refused),
		cmocka_unit_test(test_limit_of_huge_pages),
		cmocka_unit_test(test_file_on_a_tmpfs),
		cmocka_unit_test(test_file_on_a_disk),
#ifdef __x86_64__
		cmocka_unit_test(test_i386),
#endif
		cmocka_unit_test(test_thread_with_a_table_of_its_own),
		cmocka_unit_test(test_no_copy_outlives_the_call),
		cmocka_unit_test(test_killed_before_the_answer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

static int run_in(unsigned long namespaces, int (*run)(void))
{
	int status;
	pid_t pid = live_fork_into(namespaces);

	if (pid == 0)
		exit(run());
	return pid < 0 || waitpid(pid, &status, 0) != pid || status != 0;
}

int main(void)
{
	int failed = run_all();

	failed |= run_in(0, as_ordinary_user);
	if (geteuid() == 0 && access("/proc/sys/kernel/ns_last_pid", W_OK) == 0)
		failed |= run_in(CLONE_NEWPID | CLONE_NEWNS, in_own_pid_namespace);
	return failed;
}
