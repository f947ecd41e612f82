/* SPDX-License-Identifier: Apache-2.0 */

/* kernel/noexec by way of kernel/tracee: vm.memfd_noexec of other PID namespaces. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <sched.h>
#include <sys/syscall.h>

#include "kernel/noexec.h"
#include "kernel/tracee.h"
#include "live.h"
#include "older.h"

static struct tracee_cache *cache_new(void)
{
	struct tracee_cache *cache = NULL;

	assert_int_equal(tracee_cache_new(&cache), 0);
	return cache;
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
			live_write_file("/proc/sys/vm/memfd_noexec", command);
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
	inmate->pid = live_fork_into(namespaces);
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
	if (!live_noexec_is_free())
		live_skip("no vm.memfd_noexec, or not 0");
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

/* More namespaces than are remembered at once. */
static void test_noexec_many(void **state)
{
	struct tracee_cache *cache = cache_new();
	struct inmate inmates[12];

	(void)state;
	require_sysctl();
	for (size_t i = 0; i < ARRAY_SIZE(inmates); i++) {
		inmate_start(&inmates[i], CLONE_NEWPID);
		inmate_tell(&inmates[i], (char)('0' + i % 3));
	}
	for (size_t i = 0; i < 2 * ARRAY_SIZE(inmates); i++) {
		const size_t k = i % ARRAY_SIZE(inmates);

		assert_noexec(cache, inmates[k].pid, (int)(k % 3));
	}
	for (size_t i = 0; i < ARRAY_SIZE(inmates); i++)
		inmate_end(&inmates[i]);
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

	pid_t pid = live_fork_into(CLONE_NEWUSER | CLONE_NEWPID);

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

	int status = live_run_in(0, user_main);

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
	assert_int_equal(live_run_in(0, stranger_main), 0);
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
	assert_int_equal(waitpid(-1, NULL, WNOHANG | __WALL), -1);
	assert_int_equal(errno, ECHILD);

	const int after = dup(0);

	close(after);
	assert_int_equal(after, before);
}

static int run_all(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_noexec_own),
		cmocka_unit_test(test_noexec_nested),
		cmocka_unit_test(test_noexec_user_namespace),
		cmocka_unit_test(test_noexec_apart),
		cmocka_unit_test(test_noexec_many),
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
