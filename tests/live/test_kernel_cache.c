/* SPDX-License-Identifier: Apache-2.0 */

/* kernel/tracee_cache and kernel/noexec: who a task is, also when its id was somebody else's
 * before. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <sys/fsuid.h>
#include <sys/mount.h>
#include <sys/syscall.h>

#include "kernel/tracee.h"
#include "live.h"
#include "older.h"

static void assert_ids(const struct tracee_ids *a, const struct tracee_ids *b)
{
	assert_int_equal(a->pid, b->pid);
	assert_int_equal(a->uid, b->uid);
	assert_int_equal(a->gid, b->gid);
	assert_int_equal(a->fsuid, b->fsuid);
	assert_int_equal(a->fsgid, b->fsgid);
}

static struct tracee_cache *cache_new(void)
{
	struct tracee_cache *cache = NULL;

	assert_int_equal(tracee_cache_new(&cache), 0);
	return cache;
}

static void test_own_ids(void **state)
{
	struct tracee_cache *cache = cache_new();
	const struct tracee_ids expected = {.pid = getpid(),
		.uid = getuid(),
		.fsuid = geteuid(),
		.gid = getgid(),
		.fsgid = getegid()};
	struct tracee_ids ids;

	(void)state;
	for (int i = 0; i < 3; i++) {
		assert_int_equal(tracee_ids(cache, getpid(), &ids), 0);
		assert_ids(&ids, &expected);
	}
	assert_int_equal(tracee_ids_from_proc(getpid(), &ids), 0);
	assert_ids(&ids, &expected);
	/* A task that we cannot see, and one that follows it. */
	int scope;

	assert_int_equal(tracee_ids(cache, 0, &ids), -ESRCH);
	assert_int_equal(tracee_memfd_noexec(cache, 0, &scope), -ESRCH);
	assert_int_equal(tracee_ids(cache, getpid(), &ids), 0);
	assert_ids(&ids, &expected);
	assert_null(tracee_cache_free(cache));
	assert_null(tracee_cache_free(NULL));
}

/* A thread whose file system ids are not those of its process. */
struct odd_thread {
	pthread_barrier_t ready, done;
	pid_t tid;
};

static void *odd_thread_main(void *argument)
{
	struct odd_thread *odd = argument;

	odd->tid = gettid();
	/* These change one thread only, unlike glibc's setuid(). */
	setfsgid(4321);
	setfsuid(1234);
	pthread_barrier_wait(&odd->ready);
	pthread_barrier_wait(&odd->done);
	return NULL;
}

static void test_ids_of_a_thread(void **state)
{
	struct tracee_cache *cache = cache_new();
	struct tracee_ids ids, from_proc;
	struct odd_thread odd;
	pthread_t thread;

	(void)state;
	live_require_root();
	pthread_barrier_init(&odd.ready, NULL, 2);
	pthread_barrier_init(&odd.done, NULL, 2);
	assert_int_equal(pthread_create(&thread, NULL, odd_thread_main, &odd), 0);
	pthread_barrier_wait(&odd.ready);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(tracee_ids(cache, odd.tid, &ids), 0);
		assert_int_equal(ids.pid, getpid());
		assert_int_equal(ids.uid, 0);
		assert_int_equal(ids.fsuid, 1234);
		assert_int_equal(ids.fsgid, 4321);
	}
	assert_int_equal(tracee_ids_from_proc(odd.tid, &from_proc), 0);
	assert_ids(&ids, &from_proc);
	assert_int_equal(tracee_ids(cache, getpid(), &ids), 0);
	assert_int_equal(ids.fsuid, 0);
	pthread_barrier_wait(&odd.done);
	assert_int_equal(pthread_join(thread, NULL), 0);
	/* Joined is a moment before gone. */
	while (tracee_ids(cache, odd.tid, &ids) != -ESRCH)
		usleep(1000);
	pthread_barrier_destroy(&odd.ready);
	pthread_barrier_destroy(&odd.done);
	tracee_cache_free(cache);
}

/* Waits until its pipe is closed. */
_Noreturn static void sleeper_main(int pipe_fd)
{
	char byte;

	_exit(read(pipe_fd, &byte, 1) < 0);
}

/* More tasks at once than there are entries, in both directions, and again after they are gone. */
static void test_many_tasks(void **state)
{
	struct tracee_cache *cache = cache_new();
	struct tracee_ids ids;
	pid_t pids[150];
	int fds[2];

	(void)state;
	assert_return_code(pipe2(fds, O_CLOEXEC), errno);
	for (size_t i = 0; i < ARRAY_SIZE(pids); i++) {
		pids[i] = fork();
		assert_return_code(pids[i], errno);
		if (pids[i] == 0) {
			close(fds[1]);
			sleeper_main(fds[0]);
		}
	}
	for (size_t i = 0; i < 2 * ARRAY_SIZE(pids); i++) {
		pid_t pid = pids[i < ARRAY_SIZE(pids) ? i : 2 * ARRAY_SIZE(pids) - 1 - i];

		assert_int_equal(tracee_ids(cache, pid, &ids), 0);
		assert_int_equal(ids.pid, pid);
	}
	close(fds[1]);
	for (size_t i = 0; i < ARRAY_SIZE(pids); i++)
		assert_int_equal(waitpid(pids[i], NULL, 0), pids[i]);
	for (size_t i = 0; i < ARRAY_SIZE(pids); i++)
		assert_int_equal(tracee_ids(cache, pids[i], &ids), -ESRCH);
	close(fds[0]);
	tracee_cache_free(cache);
}

static int own_proc_mount(void)
{
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return -errno;
	return mount("proc", "/proc", "proc", 0, NULL) < 0 ? -errno : 0;
}

/* Starts a process with this uid that gets exactly this id here, perhaps in a namespace below. */
static pid_t fork_with_id(pid_t wanted, uid_t uid, unsigned long namespaces, int pipe_fds[2])
{
	char text[16];

	snprintf(text, sizeof(text), "%d", wanted - 1);
	live_write_file("/proc/sys/kernel/ns_last_pid", text);

	pid_t pid = live_fork_into(namespaces);

	live_check(pid >= 0);
	if (pid == 0) {
		close(pipe_fds[1]);
		live_check(setresuid(uid, uid, uid) == 0);
		live_check(write(pipe_fds[0], "r", 1) == 1);
		sleeper_main(pipe_fds[0]);
	}
	return pid;
}

/* One id, many owners: what is remembered of one must never be said of the next. */
static int reuse_main(void)
{
	struct tracee_cache *caches[2];
	struct tracee_ids ids;

	live_check(own_proc_mount() == 0);
	live_check(tracee_cache_new(&caches[0]) == 0);
	live_check(tracee_cache_new(&caches[1]) == 0);
	for (uid_t uid = 1000; uid < 1240; uid++) {
		/* One is told of each new call, as a session does it, the other one is not. */
		const bool told = uid / 12 % 2;
		struct tracee_cache *cache = caches[told];
		/* A value of its own means another PID namespace than ours. */
		const bool nested = uid / 2 % 2 && live_noexec_is_free();
		const int expected = nested ? 0 : -1;
		int sock[2], scope = 7;
		char byte;

		live_check(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sock) == 0);

		pid_t pid = fork_with_id(300, uid, nested ? CLONE_NEWPID : 0, sock);

		live_check(pid == 300);
		if (told)
			tracee_cache_begin(cache);
		live_check(read(sock[1], &byte, 1) == 1);
		if (uid % 4)
			live_check(
				tracee_memfd_noexec(cache, pid, &scope) == 0 && scope == expected);
		for (int i = 0; i < 2; i++) {
			live_check(tracee_ids(cache, pid, &ids) == 0);
			live_check(ids.pid == pid && ids.uid == uid && ids.fsuid == uid);
		}
		live_check(tracee_memfd_noexec(cache, pid, &scope) == 0 && scope == expected);
		live_check(kill(pid, SIGKILL) == 0);
		live_check(waitpid(pid, NULL, 0) == pid);
		if (told)
			tracee_cache_begin(cache);
		/* Every other time the death is seen first, or the next owner is. */
		if (uid % 2)
			live_check(tracee_ids(cache, pid, &ids) == -ESRCH);
		if (uid % 3 == 0)
			live_check(tracee_memfd_noexec(cache, pid, &scope) == -ESRCH);
		close(sock[0]);
		close(sock[1]);
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

/*
 * A task whose parent is outside of our PID namespace, as `docker exec` makes them: Linux 6.13 and
 * 6.14 deny that it exists (PIDFD_GET_INFO says ESRCH).
 */
static int guest_socket = -1;

static int guest_host_main(void)
{
	struct tracee_cache *cache = NULL;
	struct tracee_ids ids;
	pid_t pid;
	char path[32], line[8];

	live_check(own_proc_mount() == 0);
	live_check(tracee_cache_new(&cache) == 0);
	live_check(write(guest_socket, "r", 1) == 1);
	/* The guest is the only other process here. */
	live_check(read(guest_socket, &line, 1) == 1);
	for (pid = 2; snprintf(path, sizeof(path), "/proc/%d", pid), access(path, F_OK) < 0; pid++)
		;
	live_check(tracee_ids(cache, pid, &ids) == 0);
	live_check(ids.pid == pid && ids.uid == 0);
	tracee_cache_free(cache);
	return 0;
}

static void guest_start(pid_t host, int pipe_fds[2])
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/ns/pid", host);

	int fd = open(path, O_RDONLY | O_CLOEXEC);

	live_check(fd >= 0);
	live_check(setns(fd, CLONE_NEWPID) == 0);

	pid_t pid = fork();

	live_check(pid >= 0);
	if (pid == 0) {
		close(pipe_fds[1]);
		sleeper_main(pipe_fds[0]);
	}
	live_check(write(guest_socket, "g", 1) == 1);
	_exit(waitpid(pid, NULL, 0) != pid);
}

static void test_parent_outside(void **state)
{
	struct live_child host = {.listener = -1}, starter = {.listener = -1};
	int sock[2], fds[2];
	char byte;

	(void)state;
	live_require_root();
	assert_return_code(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sock), errno);
	assert_return_code(pipe2(fds, O_CLOEXEC), errno);
	host.pid = live_fork_into(CLONE_NEWPID | CLONE_NEWNS);
	if (host.pid == 0) {
		guest_socket = sock[1];
		_exit(guest_host_main());
	}
	assert_return_code(host.pid, errno);
	assert_int_equal(read(sock[0], &byte, 1), 1);
	starter.pid = fork();
	if (starter.pid == 0) {
		guest_socket = sock[0];
		guest_start(host.pid, fds);
	}
	assert_return_code(starter.pid, errno);
	assert_int_equal(live_wait(&host), 0);
	close(fds[1]);
	assert_int_equal(live_wait(&starter), 0);
	close(fds[0]);
	close(sock[0]);
	close(sock[1]);
}

static int run_all(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_own_ids),
		cmocka_unit_test(test_ids_of_a_thread),
		cmocka_unit_test(test_many_tasks),
		cmocka_unit_test(test_id_reuse),
		cmocka_unit_test(test_parent_outside),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Then once more for each way around what older kernels lack. */
int main(void)
{
	int failed = run_all();

	if (geteuid() != 0)
		return failed;
	for (enum older_kernel kernel = OLDER_6_12; kernel <= OLDER_6_8; kernel++)
		failed |= older_run(kernel, run_all);
	return failed;
}
