/* SPDX-License-Identifier: Apache-2.0 */

/* kernel/memfile: the same file, or the same errno, as the kernel gives the caller itself. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <linux/memfd.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "kernel/compat.h"
#include "kernel/memfile.h"
#include "live.h"

/* All that a program can see of a new file. */
struct outcome {
	int error;
	int seals, status_flags;
	mode_t mode;
	uid_t uid;
	gid_t gid;
	nlink_t nlink;
	off_t size;
	blksize_t blksize;
	char link[512];
};

/* Takes fd, or -errno. Async-signal-safe, so that it can run in a child. */
static void outcome_take(int fd, struct outcome *ret)
{
	char path[64];
	struct stat st;

	memset(ret, 0, sizeof(*ret));
	if (fd < 0) {
		ret->error = -fd;
		return;
	}
	if (fstat(fd, &st) < 0)
		abort();
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (readlink(path, ret->link, sizeof(ret->link) - 1) < 0)
		abort();
	ret->seals = fcntl(fd, F_GET_SEALS);
	ret->status_flags = fcntl(fd, F_GETFL);
	ret->mode = st.st_mode;
	ret->uid = st.st_uid;
	ret->gid = st.st_gid;
	ret->nlink = st.st_nlink;
	ret->size = st.st_size;
	ret->blksize = st.st_blksize;
	close(fd);
}

static int native_create(const char *name, uint32_t flags)
{
	long fd = syscall(SYS_memfd_create, name, flags);

	return fd < 0 ? -errno : (int)fd;
}

#define LONGEST \
	"1234567890123456789012345678901234567890123456789012345678901234567890123456789012345678" \
	"90" \
	"1234567890123456789012345678901234567890123456789012345678901234567890123456789012345678" \
	"90" \
	"123456789012345678901234567890123456789012345678901234567890123456789"

static const char *const names[] = {"plain", "", "a/b\n\xff\x1b", LONGEST, LONGEST "0", NULL};

/* Every flag that is or may come, alone and in pairs, with sizes of huge pages. */
static const uint32_t bits[] = {0, MFD_CLOEXEC, MFD_ALLOW_SEALING, MFD_HUGETLB, MFD_NOEXEC_SEAL,
	MFD_EXEC, 0x20, 0x80000000, 21U << MFD_HUGE_SHIFT, MFD_HUGETLB | 21U << MFD_HUGE_SHIFT,
	MFD_HUGETLB | 30U << MFD_HUGE_SHIFT, MFD_HUGETLB | 1U << MFD_HUGE_SHIFT, 0xffffffff};

#define CASES (ARRAY_SIZE(names) * ARRAY_SIZE(bits) * ARRAY_SIZE(bits))

struct test_case {
	const char *name;
	uint32_t flags;
};

static struct test_case test_case(size_t i)
{
	const size_t n = ARRAY_SIZE(bits);

	return (struct test_case){names[i / n / n], bits[i % n] | bits[i / n % n]};
}

static void assert_same(const struct outcome *native, const struct outcome *ours, size_t i)
{
	const struct test_case c = test_case(i);

	if (memcmp(native, ours, sizeof(*native)) == 0)
		return;
	fail_msg("flags %#x name %s: natively error %d mode %o seals %#x fl %#x uid %u %s, "
		 "ours error %d mode %o seals %#x fl %#x uid %u %s",
		c.flags, c.name ? c.name : "(unreadable)", native->error, native->mode,
		native->seals, native->status_flags, native->uid, native->link, ours->error,
		ours->mode, ours->seals, ours->status_flags, ours->uid, ours->link);
}

static void compare(const struct outcome *native, int scope, uid_t owner, gid_t group)
{
	for (size_t i = 0; i < CASES; i++) {
		const struct test_case c = test_case(i);
		struct outcome ours;

		outcome_take(memfile_create(&(struct memfile_request){.name = c.name,
				     .flags = c.flags,
				     .noexec_scope = scope,
				     .spill_dir_fd = -1,
				     .owner = owner,
				     .group = group}),
			&ours);
		assert_same(&native[i], &ours, i);
	}
}

static struct outcome *outcomes_new(void)
{
	struct outcome *p = mmap(NULL, CASES * sizeof(*p), PROT_READ | PROT_WRITE,
		MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	assert_ptr_not_equal(p, MAP_FAILED);
	return p;
}

static void outcomes_record(struct outcome *outcomes)
{
	for (size_t i = 0; i < CASES; i++)
		outcome_take(native_create(test_case(i).name, test_case(i).flags), &outcomes[i]);
}

static void test_as_ourselves(void **state)
{
	struct outcome *native = outcomes_new();

	(void)state;
	outcomes_record(native);
	compare(native, -1, geteuid(), getegid());
	/* Ids that are not known are left as they come. */
	compare(native, -1, (uid_t)-1, (gid_t)-1);
	munmap(native, CASES * sizeof(*native));
}

static void child_wait(pid_t pid)
{
	int status;

	assert_return_code(pid, errno);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

/* Files for another user are that user's, and nothing else about them changes. */
static void test_as_another_user(void **state)
{
	struct outcome *native = outcomes_new();

	(void)state;
	live_require_root();

	pid_t pid = fork();

	if (pid == 0) {
		live_check(setresgid(4321, 4321, 4321) == 0);
		live_check(setresuid(1234, 1234, 1234) == 0);
		/* Back to where /proc/self/fd can be read. */
		live_check(prctl(PR_SET_DUMPABLE, 1L, 0L, 0L, 0L) == 0);
		outcomes_record(native);
		_exit(0);
	}
	child_wait(pid);
	compare(native, -1, 1234, 4321);
	munmap(native, CASES * sizeof(*native));
}

static void namespace_record(struct outcome *outcomes, int scope)
{
	char text[] = {(char)('0' + scope), '\0'};

	live_check(unshare(CLONE_NEWPID) == 0);

	pid_t pid = fork();

	live_check(pid >= 0);
	if (pid == 0) {
		int fd = open("/proc/sys/vm/memfd_noexec", O_WRONLY | O_CLOEXEC);

		live_check(fd >= 0);
		live_check(write(fd, text, 1) == 1);
		close(fd);
		outcomes_record(outcomes);
		_exit(0);
	}

	int status;

	live_check(waitpid(pid, &status, 0) == pid && status == 0);
}

/* Each vm.memfd_noexec, set in a PID namespace where the native calls are made. */
static void test_noexec_scopes(void **state)
{
	struct outcome *native = outcomes_new();

	(void)state;
	live_require_root();
	if (!live_noexec_is_free())
		live_skip("no vm.memfd_noexec, or not 0");
	for (int scope = 0; scope <= 2; scope++) {
		pid_t pid = fork();

		if (pid == 0) {
			namespace_record(native, scope);
			_exit(0);
		}
		child_wait(pid);
		compare(native, scope, geteuid(), getegid());
	}
	munmap(native, CASES * sizeof(*native));
}

static void write_file(pid_t pid, const char *file, const char *text)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/%s", pid, file);

	int fd = open(path, O_WRONLY | O_CLOEXEC);

	assert_return_code(fd, errno);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
}

/* Root of a user namespace, as in a rootless container, can give files to the others in it. */
_Noreturn static void namespace_root_main(int sock)
{
	struct stat st;
	char byte;

	live_check(write(sock, "u", 1) == 1);
	live_check(read(sock, &byte, 1) == 1);
	live_check(setresgid(0, 0, 0) == 0 && setresuid(0, 0, 0) == 0);

	int fd = memfile_create(&(struct memfile_request){
		.name = "x", .spill_dir_fd = -1, .noexec_scope = -1, .owner = 33, .group = 44});

	live_check(fd >= 0);
	live_check(fstat(fd, &st) == 0);
	live_check(st.st_uid == 33 && st.st_gid == 44);
	_exit(0);
}

static void test_in_user_namespace(void **state)
{
	int sock[2];
	char byte;

	(void)state;
	live_require_root();
	assert_return_code(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sock), errno);

	/* Not unshare(2), which wants a process of one thread: TSan has one of its own. */
	pid_t pid = (pid_t)syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, NULL, NULL, NULL, NULL);

	if (pid == 0)
		namespace_root_main(sock[1]);
	close(sock[1]);
	if (pid < 0 || read(sock[0], &byte, 1) != 1) {
		close(sock[0]);
		waitpid(pid, NULL, 0);
		live_skip("no user namespaces");
	}
	write_file(pid, "uid_map", "0 100000 65536");
	write_file(pid, "gid_map", "0 100000 65536");
	assert_int_equal(write(sock[0], "m", 1), 1);
	child_wait(pid);
	close(sock[0]);
}

static void test_close_on_exec(void **state)
{
	int fd = memfile_create(&(struct memfile_request){.name = "x",
		.spill_dir_fd = -1,
		.noexec_scope = -1,
		.owner = geteuid(),
		.group = getegid()});

	(void)state;
	assert_return_code(fd, -fd);
	assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_as_ourselves),
		cmocka_unit_test(test_as_another_user),
		cmocka_unit_test(test_noexec_scopes),
		cmocka_unit_test(test_in_user_namespace),
		cmocka_unit_test(test_close_on_exec),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
