/* SPDX-License-Identifier: Apache-2.0 */

/* kernel/tracee: a task's descriptors and limit of file sizes, also when its id was somebody else's
 * before. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <linux/kcmp.h>
#include <pthread.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "kernel/notify.h"
#include "kernel/tracee.h"
#include "live.h"
#include "older.h"

/* A number that is free in every test. */
#define FD_NUMBER 200

/* Threads have no pidfds: kernels before 6.9, played by older_run(). */
static bool threads_lack_pidfds;

static struct tracee_cache *cache_new(void)
{
	struct tracee_cache *cache = NULL;

	assert_int_equal(tracee_cache_new(&cache), 0);
	return cache;
}

static bool same_stat(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_mode == b->st_mode &&
	       a->st_size == b->st_size && a->st_blocks == b->st_blocks &&
	       a->st_blksize == b->st_blksize && a->st_nlink == b->st_nlink;
}

static bool same_open_file(int a, int b)
{
	return syscall(SYS_kcmp, getpid(), getpid(), KCMP_FILE, (long)a, (long)b) == 0;
}

/* The task's descriptor is what we have as the expected one. */
static void assert_has(struct tracee_cache *cache, pid_t tid, int fd, int expected)
{
	struct stat st, seen;

	assert_return_code(fstat(expected, &st), errno);
	assert_int_equal(tracee_stat_fd(cache, tid, fd, &seen), 0);
	assert_true(same_stat(&st, &seen));

	int copy = tracee_get_fd(cache, tid, fd);

	assert_return_code(copy, -copy);
	assert_int_equal(fcntl(copy, F_GETFD), FD_CLOEXEC);
	assert_true(same_open_file(copy, expected));
	assert_int_equal(tracee_stat_copy(copy, &seen), 0);
	assert_true(same_stat(&st, &seen));
	close(copy);
}

static void assert_has_not(struct tracee_cache *cache, pid_t tid, int fd)
{
	struct stat st;

	assert_int_equal(tracee_stat_fd(cache, tid, fd, &st), -EBADF);
	assert_int_equal(tracee_get_fd(cache, tid, fd), -EBADF);
}

/* A child that has the files that we have now, until we close the pipe. */
static pid_t child_start(int ret_pipe[2])
{
	assert_return_code(pipe2(ret_pipe, O_CLOEXEC), errno);

	pid_t pid = fork();

	assert_return_code(pid, errno);
	if (pid == 0) {
		char byte;

		close(ret_pipe[1]);
		_exit(read(ret_pipe[0], &byte, 1) != 0);
	}
	close(ret_pipe[0]);
	return pid;
}

static void test_every_kind_of_file(void **state)
{
	struct tracee_cache *cache = cache_new();
	int sock[2], end[2];
	const int files[] = {
		memfd_create("a", MFD_CLOEXEC),
		open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC),
		open("/proc/self/exe", O_PATH | O_CLOEXEC),
		open("/dev/null", O_WRONLY | O_CLOEXEC),
	};

	(void)state;
	assert_return_code(ftruncate(files[0], 12345), errno);
	assert_int_equal(write(files[0], "x", 1), 1);
	assert_return_code(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sock), errno);

	pid_t pid = child_start(end);

	for (int round = 0; round < 3; round++) {
		/* One that is told of each new call, as a session does it, and one that is not. */
		if (round)
			tracee_cache_begin(cache);
		for (size_t i = 0; i < ARRAY_SIZE(files); i++)
			assert_has(cache, pid, files[i], files[i]);
		assert_has(cache, pid, sock[0], sock[0]);
		assert_has(cache, getpid(), sock[1], sock[1]);
		assert_has_not(cache, pid, FD_NUMBER);
		assert_has_not(cache, pid, -1);
		assert_has_not(cache, pid, INT32_MIN);
		assert_has_not(cache, pid, INT32_MAX);
	}
	close(end[1]);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	for (int i = 0; i < 2; i++) {
		struct stat st;

		assert_int_equal(tracee_stat_fd(cache, pid, sock[0], &st), -ESRCH);
		assert_int_equal(tracee_get_fd(cache, pid, sock[0]), -ESRCH);
		/* A task that we cannot see. */
		assert_int_equal(tracee_stat_fd(cache, 0, sock[0], &st), -ESRCH);
		assert_int_equal(tracee_get_fd(cache, 0, sock[0]), -ESRCH);
	}
	for (size_t i = 0; i < ARRAY_SIZE(files); i++)
		close(files[i]);
	close(sock[0]);
	close(sock[1]);
	tracee_cache_free(cache);
}

/* A thread with, or without, a table of its own. */
struct odd_thread {
	pthread_barrier_t ready, done;
	bool alone;
	int file; /* that it puts at FD_NUMBER */
	pid_t tid;
};

static void *odd_thread_main(void *argument)
{
	struct odd_thread *odd = argument;

	odd->tid = gettid();
	live_check(!odd->alone || unshare(CLONE_FILES) == 0);
	live_check(dup2(odd->file, FD_NUMBER) == FD_NUMBER);
	pthread_barrier_wait(&odd->ready);
	pthread_barrier_wait(&odd->done);
	close(FD_NUMBER);
	return NULL;
}

static void test_threads(void **state)
{
	struct tracee_cache *cache = cache_new();

	(void)state;
	for (int alone = 0; alone < 2; alone++) {
		struct odd_thread odd = {
			.alone = alone, .file = memfd_create("thread's", MFD_CLOEXEC)};
		struct stat st;
		pthread_t thread;

		pthread_barrier_init(&odd.ready, NULL, 2);
		pthread_barrier_init(&odd.done, NULL, 2);
		assert_int_equal(pthread_create(&thread, NULL, odd_thread_main, &odd), 0);
		pthread_barrier_wait(&odd.ready);
		if (alone && threads_lack_pidfds) {
			assert_int_equal(tracee_get_fd(cache, odd.tid, FD_NUMBER), -EPERM);
			assert_int_equal(tracee_stat_fd(cache, odd.tid, FD_NUMBER, &st), 0);
		} else {
			assert_has(cache, odd.tid, FD_NUMBER, odd.file);
		}
		if (alone)
			assert_has_not(cache, getpid(), FD_NUMBER);
		else
			assert_has(cache, getpid(), FD_NUMBER, odd.file);
		pthread_barrier_wait(&odd.done);
		assert_int_equal(pthread_join(thread, NULL), 0);
		pthread_barrier_destroy(&odd.ready);
		pthread_barrier_destroy(&odd.done);
		close(odd.file);
	}
	tracee_cache_free(cache);
}

/* Every owner of one id has a file of another size at the same number; every third has none. */
static int reuse_main(void)
{
	struct tracee_cache *caches[2];
	struct stat st;

	live_check(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0);
	live_check(mount("proc", "/proc", "proc", 0, NULL) == 0);
	live_check(tracee_cache_new(&caches[0]) == 0 && tracee_cache_new(&caches[1]) == 0);
	for (int i = 1; i <= 120; i++) {
		struct tracee_cache *cache = caches[i / 12 % 2];
		const bool has = i % 3;
		int file = memfd_create("owner's", MFD_CLOEXEC), end[2], copy;

		live_check(ftruncate(file, i) == 0);
		live_check(dup2(file, FD_NUMBER) == FD_NUMBER);
		if (!has)
			close(FD_NUMBER);
		live_write_file("/proc/sys/kernel/ns_last_pid", "299");

		pid_t pid = child_start(end);

		close(FD_NUMBER);
		live_check(pid == 300);
		if (i / 12 % 2)
			tracee_cache_begin(cache);
		if (i % 2) /* either of the two comes first */
			live_check(
				tracee_stat_fd(cache, pid, FD_NUMBER, &st) == (has ? 0 : -EBADF) &&
				(!has || st.st_size == i));
		copy = tracee_get_fd(cache, pid, FD_NUMBER);
		live_check(has ? copy >= 0 && same_open_file(copy, file) : copy == -EBADF);
		fd_close(copy);
		live_check(tracee_stat_fd(cache, pid, FD_NUMBER, &st) == (has ? 0 : -EBADF));
		live_check(!has || st.st_size == i);
		close(end[1]);
		live_check(waitpid(pid, NULL, 0) == pid);
		if (i % 5 == 0)
			live_check(tracee_stat_fd(cache, pid, FD_NUMBER, &st) == -ESRCH);
		close(file);
	}
	tracee_cache_free(caches[0]);
	tracee_cache_free(caches[1]);
	return 0;
}

static void test_id_reuse(void **state)
{
	(void)state;
	live_require_root();
	if (access("/proc/sys/kernel/ns_last_pid", W_OK) < 0)
		live_skip("no ns_last_pid");
	assert_int_equal(live_run_in(CLONE_NEWPID | CLONE_NEWNS, reuse_main), 0);
}

/* Another user's process, seen by an ordinary one. */
static pid_t stranger;
static int stranger_fd;

static int ordinary_user_main(void)
{
	struct tracee_cache *cache = NULL;
	struct stat st;
	uint64_t limit = 0;

	live_check(setresgid(65534, 65534, 65534) == 0 && setresuid(65534, 65534, 65534) == 0);
	live_check(tracee_cache_new(&cache) == 0);
	live_check(tracee_get_fd(cache, stranger, stranger_fd) == -EPERM);

	int r = tracee_stat_fd(cache, stranger, stranger_fd, &st);

	live_check(r == -EACCES || r == -EPERM);
	/* prlimit(2) refuses as well, but /proc tells everybody. */
	live_check(tracee_file_size_limit(stranger, &limit) == 0 && limit == 1 << 20);
	tracee_cache_free(cache);
	return 0;
}

static void test_no_right_to_trace(void **state)
{
	const struct rlimit low = {.rlim_cur = 1 << 20, .rlim_max = RLIM_INFINITY};
	int end[2];

	(void)state;
	live_require_root();
	stranger_fd = memfd_create("stranger's", MFD_CLOEXEC);
	stranger = child_start(end);
	assert_return_code(prlimit(stranger, RLIMIT_FSIZE, &low, NULL), errno);
	assert_int_equal(live_run_in(0, ordinary_user_main), 0);
	close(end[1]);
	assert_int_equal(waitpid(stranger, NULL, 0), stranger);
	close(stranger_fd);
}

static void test_file_size_limit(void **state)
{
	const rlim_t limits[] = {0, 4096, UINT64_C(1) << 40, RLIM_INFINITY};
	uint64_t limit;
	int end[2];

	(void)state;
	live_require_root();
	pid_t pid = child_start(end);

	for (size_t i = 0; i < ARRAY_SIZE(limits); i++) {
		const struct rlimit set = {.rlim_cur = limits[i], .rlim_max = RLIM_INFINITY};

		assert_return_code(prlimit(pid, RLIMIT_FSIZE, &set, NULL), errno);
		assert_int_equal(tracee_file_size_limit(pid, &limit), 0);
		assert_int_equal(limit, limits[i]);
	}
	close(end[1]);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_int_equal(tracee_file_size_limit(pid, &limit), -ESRCH);
	assert_int_equal(tracee_file_size_limit(0, &limit), -ESRCH);
}

/* Calls from a second thread, which alone must get the signal. */
static void *caller_thread_main(void *argument)
{
	/* At once where the kernel lets us. */
	const bool at_once = argument;
	const struct timespec patience = {.tv_sec = at_once ? 0 : 20};
	sigset_t xfsz;

	sigemptyset(&xfsz);
	sigaddset(&xfsz, SIGXFSZ);
	live_check(memfd_create("too large", 0) == -1 && errno == EFBIG);
	live_check(sigtimedwait(&xfsz, NULL, &patience) == SIGXFSZ);
	return NULL;
}

static int child_blocks_signal(void *argument)
{
	sigset_t xfsz, pending;
	pthread_t thread;

	sigemptyset(&xfsz);
	sigaddset(&xfsz, SIGXFSZ);
	live_check(sigprocmask(SIG_BLOCK, &xfsz, NULL) == 0);
	live_check(pthread_create(&thread, NULL, caller_thread_main, argument) == 0);
	live_check(pthread_join(thread, NULL) == 0);
	live_check(sigpending(&pending) == 0 && !sigismember(&pending, SIGXFSZ));
	return 0;
}

static int child_dies_of_signal(void *argument)
{
	struct rlimit no_core = {0};

	(void)argument;
	live_check(setrlimit(RLIMIT_CORE, &no_core) == 0);
	(void)memfd_create("too large", 0);
	sleep(20);
	return 0;
}

static volatile sig_atomic_t caught;

static void on_signal(int signo)
{
	(void)signo;
	caught++;
}

static int child_handles_signal(void *argument)
{
	struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};

	(void)argument;
	live_check(sigaction(SIGXFSZ, &action, NULL) == 0);
	live_check(memfd_create("too large", 0) == -1 && errno == EFBIG);
	while (!caught)
		usleep(1000);
	live_check(caught == 1);
	return 0;
}

static int fail_file_size(live_main_fn *run, bool wait_killable)
{
	struct live_child child;
	union notification slot;

	live_spawn(&child, run, wait_killable ? &child : NULL);
	wait_killable = wait_killable && child.features.wait_killable;
	assert_int_equal(notify_receive(child.listener, &slot), NOTIFY_OK);
	assert_int_equal(tracee_fail_file_size((pid_t)slot.notif.pid, child.listener, slot.notif.id,
				 wait_killable),
		NOTIFY_OK);
	return live_wait(&child);
}

static void test_fail_file_size(void **state)
{
	(void)state;
	for (int wait_killable = 0; wait_killable < 2; wait_killable++) {
		assert_int_equal(fail_file_size(child_blocks_signal, wait_killable), 0);
		assert_int_equal(
			fail_file_size(child_dies_of_signal, wait_killable), 128 + SIGXFSZ);
		assert_int_equal(fail_file_size(child_handles_signal, wait_killable), 0);
	}
}

/* Nobody is signalled for a caller that is gone. */
static void test_fail_file_size_gone(void **state)
{
	struct live_child child;
	union notification slot;

	(void)state;
	live_spawn(&child, child_dies_of_signal, NULL);
	assert_int_equal(notify_receive(child.listener, &slot), NOTIFY_OK);
	assert_return_code(kill(child.pid, SIGKILL), errno);
	assert_int_equal(waitid(P_PID, (id_t)child.pid, &(siginfo_t){0}, WEXITED | WNOWAIT), 0);
	assert_int_equal(
		tracee_fail_file_size(child.pid, child.listener, slot.notif.id, true), NOTIFY_GONE);
	assert_int_equal(live_wait(&child), 128 + SIGKILL);
}

static int run_all(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_kind_of_file),
		cmocka_unit_test(test_threads),
		cmocka_unit_test(test_id_reuse),
		cmocka_unit_test(test_no_right_to_trace),
		cmocka_unit_test(test_file_size_limit),
		cmocka_unit_test(test_fail_file_size),
		cmocka_unit_test(test_fail_file_size_gone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

static int run_older(void)
{
	threads_lack_pidfds = true;
	return run_all();
}

int main(void)
{
	int fd = (int)syscall(SYS_pidfd_open, getpid(), COMPAT_PIDFD_THREAD);
	int failed;

	threads_lack_pidfds = fd < 0;
	fd_close(fd);
	failed = run_all();
	return failed || geteuid() != 0 ? failed : older_run(OLDER_6_8, run_older);
}
