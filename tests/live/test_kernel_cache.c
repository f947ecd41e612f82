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

#include "kernel/noexec.h"
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
	assert_int_equal(tracee_ids(cache, odd.tid, &ids), -ESRCH);
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

static void write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	live_check(fd >= 0);
	live_check(write(fd, text, strlen(text)) == (ssize_t)strlen(text));
	close(fd);
}

/* fork(), into new namespaces. */
static pid_t fork_into(unsigned long namespaces)
{
	fflush(NULL);
	return (pid_t)syscall(SYS_clone, namespaces | SIGCHLD, 0L, 0L, 0L, 0L);
}

static int own_proc_mount(void)
{
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return -errno;
	return mount("proc", "/proc", "proc", 0, NULL) < 0 ? -errno : 0;
}

/* Starts a process with this uid that gets exactly this id. */
static pid_t fork_with_id(pid_t wanted, uid_t uid, int pipe_fds[2])
{
	char text[16];

	snprintf(text, sizeof(text), "%d", wanted - 1);
	write_file("/proc/sys/kernel/ns_last_pid", text);

	pid_t pid = fork();

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
		int sock[2], scope = 7;
		char byte;

		live_check(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sock) == 0);

		pid_t pid = fork_with_id(300, uid, sock);

		live_check(pid == 300);
		if (told)
			tracee_cache_begin(cache);
		live_check(read(sock[1], &byte, 1) == 1);
		if (uid % 4)
			live_check(tracee_memfd_noexec(cache, pid, &scope) == 0 && scope == -1);
		for (int i = 0; i < 2; i++) {
			live_check(tracee_ids(cache, pid, &ids) == 0);
			live_check(ids.pid == pid && ids.uid == uid && ids.fsuid == uid);
		}
		live_check(tracee_memfd_noexec(cache, pid, &scope) == 0 && scope == -1);
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

static int run_in(unsigned long namespaces, int (*run)(void))
{
	struct live_child child = {.listener = -1};

	child.pid = fork_into(namespaces);
	assert_return_code(child.pid, errno);
	if (child.pid == 0)
		_exit(run());
	return live_wait(&child);
}

static void test_id_reuse(void **state)
{
	(void)state;
	live_require_root();
	if (access("/proc/sys/kernel/ns_last_pid", W_OK) < 0)
		live_skip("no ns_last_pid");
	assert_int_equal(run_in(CLONE_NEWPID | CLONE_NEWNS, reuse_main), 0);
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
	host.pid = fork_into(CLONE_NEWPID | CLONE_NEWNS);
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

/* A process in a namespace of its own, that sets sysctls there when told to. */
struct inmate {
	pid_t pid;
	int sock;
};

_Noreturn static void inmate_main(int sock)
{
	char command[2] = {0};

	live_check(prctl(PR_SET_PDEATHSIG, SIGKILL) == 0);
	while (read(sock, command, 1) == 1) {
		if (command[0] != '?')
			write_file("/proc/sys/vm/memfd_noexec", command);
		live_check(write(sock, "k", 1) == 1);
	}
	_exit(0);
}

static void inmate_tell(const struct inmate *inmate, char command)
{
	char reply;

	assert_int_equal(write(inmate->sock, &command, 1), 1);
	assert_int_equal(read(inmate->sock, &reply, 1), 1);
}

static void inmate_start(struct inmate *inmate, unsigned long namespaces)
{
	int sock[2];

	assert_return_code(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sock), errno);
	inmate->pid = fork_into(namespaces);
	assert_return_code(inmate->pid, errno);
	if (inmate->pid == 0) {
		close(sock[0]);
		inmate_main(sock[1]);
	}
	close(sock[1]);
	inmate->sock = sock[0];
	inmate_tell(inmate, '?');
}

static void inmate_end(struct inmate *inmate)
{
	close(inmate->sock);
	kill(inmate->pid, SIGKILL);
	assert_int_equal(waitpid(inmate->pid, NULL, 0), inmate->pid);
}

static void assert_noexec(struct tracee_cache *cache, pid_t pid, int expected)
{
	int scope = 7;

	assert_int_equal(tracee_memfd_noexec(cache, pid, &scope), 0);
	assert_int_equal(scope, expected);
}

static void stale_wait(void)
{
	usleep((NOEXEC_STALE_MS + 5) * 1000);
}

static void require_sysctl(void)
{
	live_require_root();
	if (access("/proc/sys/vm/memfd_noexec", W_OK) < 0)
		live_skip("no vm.memfd_noexec");
}

static void test_noexec_own(void **state)
{
	struct tracee_cache *cache = cache_new();
	struct inmate inmate;

	(void)state;
	inmate_start(&inmate, 0);
	assert_noexec(cache, inmate.pid, -1);
	assert_noexec(cache, inmate.pid, -1);
	inmate_end(&inmate);

	int scope;

	assert_int_equal(tracee_memfd_noexec(cache, inmate.pid, &scope), -ESRCH);
	tracee_cache_free(cache);
}

/* Up and down, as the kernel lets root of the namespace do it. */
static void namespace_follow(unsigned long namespaces)
{
	struct tracee_cache *cache = cache_new();
	struct inmate inmate;

	inmate_start(&inmate, namespaces);
	inmate_tell(&inmate, '2');
	assert_noexec(cache, inmate.pid, 2);
	inmate_tell(&inmate, '1');
	stale_wait();
	assert_noexec(cache, inmate.pid, 1);
	inmate_tell(&inmate, '0');
	stale_wait();
	assert_noexec(cache, inmate.pid, 0);
	inmate_end(&inmate);
	tracee_cache_free(cache);
}

static void test_noexec_nested(void **state)
{
	(void)state;
	require_sysctl();
	namespace_follow(CLONE_NEWPID);
}

/* Without a mapping the child may not write there, but reading it is the same work. */
static void test_noexec_user_namespace(void **state)
{
	struct tracee_cache *cache = cache_new();
	struct inmate inmate;

	(void)state;
	require_sysctl();
	inmate_start(&inmate, CLONE_NEWUSER | CLONE_NEWPID);
	assert_noexec(cache, inmate.pid, 0);
	inmate_end(&inmate);
	tracee_cache_free(cache);
}

/* Two namespaces at once, and one that comes where another was. */
static void test_noexec_apart(void **state)
{
	struct tracee_cache *cache = cache_new();
	struct inmate a, b, own;

	(void)state;
	require_sysctl();
	for (int i = 0; i < 3; i++) {
		inmate_start(&a, CLONE_NEWPID);
		inmate_start(&b, CLONE_NEWPID);
		inmate_start(&own, 0);
		inmate_tell(&a, '1');
		inmate_tell(&b, '2');
		for (int k = 0; k < 3; k++) {
			assert_noexec(cache, a.pid, 1);
			assert_noexec(cache, b.pid, 2);
			assert_noexec(cache, own.pid, -1);
		}
		inmate_end(&a);
		inmate_end(&b);
		inmate_end(&own);
	}
	tracee_cache_free(cache);
}

/* Owner of the other user namespace, and nothing more: an ordinary user under `unshare -Urp`. */
static int user_main(void)
{
	struct tracee_cache *cache = NULL;
	int scope = 7, sock[2];
	char byte;

	live_check(setresuid(65534, 65534, 65534) == 0);
	live_check(prctl(PR_SET_DUMPABLE, 1L, 0L, 0L, 0L) == 0);
	live_check(tracee_cache_new(&cache) == 0);
	live_check(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sock) == 0);

	pid_t pid = fork_into(CLONE_NEWUSER | CLONE_NEWPID);

	if (pid < 0)
		return errno == EPERM || errno == ENOSPC ? LIVE_EXIT_SKIP : 1;
	if (pid == 0) {
		close(sock[0]);
		inmate_main(sock[1]);
	}
	live_check(write(sock[0], "?", 1) == 1 && read(sock[0], &byte, 1) == 1);
	live_check(tracee_memfd_noexec(cache, pid, &scope) == 0);
	live_check(scope == 0);
	live_check(kill(pid, SIGKILL) == 0 && waitpid(pid, NULL, 0) == pid);
	tracee_cache_free(cache);
	return 0;
}

static void test_noexec_unprivileged(void **state)
{
	(void)state;
	require_sysctl();

	int status = run_in(0, user_main);

	if (status == LIVE_EXIT_SKIP)
		live_skip("no user namespaces for ordinary users");
	assert_int_equal(status, 0);
}

/* No right to go in there: an error, not a guess. */
static int stranger_main(void)
{
	struct tracee_cache *cache = NULL;
	int scope = 7;

	struct inmate inmate;

	inmate_start(&inmate, CLONE_NEWPID);
	live_check(setresuid(65534, 65534, 65534) == 0);
	live_check(prctl(PR_SET_DUMPABLE, 1L, 0L, 0L, 0L) == 0);
	live_check(tracee_cache_new(&cache) == 0);
	live_check(tracee_memfd_noexec(cache, inmate.pid, &scope) < 0);
	live_check(scope == 7);
	tracee_cache_free(cache);
	return 0;
}

static void test_noexec_no_right(void **state)
{
	(void)state;
	require_sysctl();
	assert_int_equal(run_in(0, stranger_main), 0);
}

/* Leaves neither children nor descriptors behind. */
static void test_noexec_clean(void **state)
{
	struct tracee_cache *cache;
	struct inmate inmate;

	(void)state;
	require_sysctl();

	const int before = dup(0);

	close(before);
	cache = cache_new();
	inmate_start(&inmate, CLONE_NEWPID);
	for (int i = 0; i < 3; i++) {
		assert_noexec(cache, inmate.pid, 0);
		stale_wait();
	}
	inmate_end(&inmate);
	tracee_cache_free(cache);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
	assert_int_equal(errno, ECHILD);

	const int after = dup(0);

	close(after);
	assert_int_equal(after, before);
}

static int run_all(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_own_ids),
		cmocka_unit_test(test_ids_of_a_thread),
		cmocka_unit_test(test_many_tasks),
		cmocka_unit_test(test_id_reuse),
		cmocka_unit_test(test_parent_outside),
		cmocka_unit_test(test_noexec_own),
		cmocka_unit_test(test_noexec_nested),
		cmocka_unit_test(test_noexec_user_namespace),
		cmocka_unit_test(test_noexec_apart),
		cmocka_unit_test(test_noexec_unprivileged),
		cmocka_unit_test(test_noexec_no_right),
		cmocka_unit_test(test_noexec_clean),
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
