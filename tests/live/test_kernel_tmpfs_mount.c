/* SPDX-License-Identifier: Apache-2.0 */

/* kernel/tmpfs: who can make one, who sees it, and what it leaves behind: nothing. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <glob.h>
#include <linux/capability.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "base/file.h"
#include "base/macro.h"
#include "live.h"
#include "live_tmpfs.h"

/* Whether some process sees a mount of this device. */
static bool is_mounted(dev_t dev)
{
	char device[32];
	glob_t found;
	bool mounted = false;

	snprintf(device, sizeof(device), " %u:%u ", major(dev), minor(dev));
	live_check(glob("/proc/[0-9]*/mountinfo", 0, NULL, &found) == 0);
	for (size_t i = 0; i < found.gl_pathc; i++) {
		_cleanup_fclose_ FILE *file = fopen(found.gl_pathv[i], "re");
		char line[4096];

		while (file && fgets(line, sizeof(line), file))
			mounted |= strstr(line, device) != NULL;
	}
	globfree(&found);
	return mounted;
}

/* Even where what is mounted comes up in other namespaces too, as systemd has it. */
static int shared_main(void)
{
	struct tmpfs *tmpfs = NULL;

	live_check(unshare(CLONE_NEWNS) == 0);
	live_check(mount(NULL, "/", NULL, MS_REC | MS_SHARED, NULL) == 0);
	live_check(tmpfs_new(SIZE, &tmpfs) == 0);
	live_check(!is_mounted(tmpfs_dev(tmpfs)));
	tmpfs_free(tmpfs);
	return 0;
}

static void test_invisible(void **state)
{
	struct tmpfs *tmpfs = tmpfs_make(SIZE);

	(void)state;
	assert_false(is_mounted(tmpfs_dev(tmpfs)));
	tmpfs_free(tmpfs);
	if (geteuid() == 0)
		assert_int_equal(live_run_in(0, shared_main), 0);
}

#define SHMEM_ENABLED "/sys/kernel/mm/transparent_hugepage/shmem_enabled"

/* What st_blksize is when the kernel's own memfds have this setting. */
static blksize_t block_size_with(const char *setting)
{
	struct tmpfs *tmpfs = NULL;
	struct stat st;
	int fd = open("/tmp/setting", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	live_check(fd >= 0 && fd_write_all(fd, setting, strlen(setting)) == 0);
	close(fd);
	live_check(mount("/tmp/setting", SHMEM_ENABLED, NULL, MS_BIND, NULL) == 0);
	live_check(tmpfs_new(SIZE, &tmpfs) == 0);
	live_check(umount2(SHMEM_ENABLED, MNT_DETACH) == 0);
	fd = tmpfs_create(tmpfs, "x", false);
	live_check(fd >= 0 && fstat(fd, &st) == 0);
	close(fd);
	tmpfs_free(tmpfs);
	return st.st_blksize;
}

/* Huge pages where memfds have them. */
static int huge_main(void)
{
	const blksize_t page = (blksize_t)sysconf(_SC_PAGESIZE);

	live_check(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0);
	live_check(mount("none", "/tmp", "tmpfs", 0, NULL) == 0);
	live_check(block_size_with("[always] within_size advise never deny force\n") > page);
	live_check(block_size_with("always [within_size] advise never deny force\n") >= page);
	live_check(block_size_with("always within_size [advise] never deny force\n") == page);
	live_check(block_size_with("always within_size advise [never] deny force\n") == page);
	live_check(block_size_with("always within_size advise never [deny] force\n") == page);
	live_check(block_size_with("always within_size advise never deny [force]\n") == page);
	live_check(block_size_with("[perhaps]\n") == page);
	live_check(block_size_with("[") == page);
	live_check(block_size_with("") == page);
	return 0;
}

static void test_huge_pages(void **state)
{
	char text[128] = "";

	(void)state;
	live_require_root();
	if (fd_read_file_at(AT_FDCWD, SHMEM_ENABLED, text, sizeof(text)) < 0 ||
		!strstr(text, "[never]"))
		live_skip("no huge pages for files in memory, or not switched off");
	assert_int_equal(live_run_in(CLONE_NEWNS, huge_main), 0);
}

static int chroot_main(void)
{
	struct tmpfs *tmpfs = NULL;

	live_check(chroot("/tmp") == 0 && chdir("/") == 0);
	live_check(tmpfs_new(SIZE, &tmpfs) == 0);

	int fd = tmpfs_create(tmpfs, "x", false);

	live_check(fd >= 0);
	tmpfs_free(tmpfs);
	return 0;
}

static void test_in_chroot(void **state)
{
	(void)state;
	live_require_root();
	assert_int_equal(live_run_in(0, chroot_main), 0);
}

/* The lowest free descriptor; and there are no children, seen or unseen. */
static int lowest_free(void)
{
	int fd = dup(0);

	close(fd);
	live_check(waitpid(-1, NULL, WNOHANG | __WALL) == -1 && errno == ECHILD);
	return fd;
}

static void on_child(int signal)
{
	(void)signal;
	_exit(98);
}

/* An ordinary user, not dumpable as the supervisor is, and later with all signals blocked. */
static int user_main(void)
{
	struct tmpfs *tmpfs = NULL;
	struct stat st;
	sigset_t all;

	live_check(setresgid(1234, 1234, 1234) == 0 && setresuid(4321, 4321, 4321) == 0);
	live_check(prctl(PR_SET_DUMPABLE, 0L, 0L, 0L, 0L) == 0);
	live_check(signal(SIGCHLD, on_child) != SIG_ERR);

	const int before = lowest_free();
	int r = tmpfs_new(SIZE, &tmpfs);

	if (r == -EPERM)
		return LIVE_EXIT_SKIP;
	live_check(r == 0);
	live_check(!is_mounted(tmpfs_dev(tmpfs)));

	int fd = tmpfs_create(tmpfs, "a/b", true);

	live_check(fd >= 0 && fstat(fd, &st) == 0);
	live_check(st.st_uid == 4321 && st.st_gid == 1234);
	close(fd);
	sigfillset(&all);
	live_check(sigprocmask(SIG_BLOCK, &all, NULL) == 0);
	resize_walk(tmpfs);
	tmpfs_free(tmpfs);
	live_check(lowest_free() == before);
	return 0;
}

static void require_user_namespaces(int status)
{
	if (status == LIVE_EXIT_SKIP)
		live_skip("no user namespaces for ordinary users");
	assert_int_equal(status, 0);
}

static void test_unprivileged(void **state)
{
	(void)state;
	live_require_root();
	require_user_namespaces(live_run_in(0, user_main));
}

/* Keeps what is both had and in the set. */
static void capabilities_keep(uint64_t set)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2];

	live_check(syscall(SYS_capget, &header, data) == 0);
	for (int i = 0; i < 2; i++) {
		data[i].effective &= (uint32_t)(set >> 32 * i);
		data[i].permitted &= (uint32_t)(set >> 32 * i);
	}
	live_check(syscall(SYS_capset, &header, data) == 0);
}

/* No more than it takes: a supervisor gives up the rest. */
static int few_capabilities_main(void)
{
	struct tmpfs *tmpfs = NULL;

	capabilities_keep(UINT64_C(1) << CAP_SYS_ADMIN);
	live_check(prctl(PR_SET_DUMPABLE, 0L, 0L, 0L, 0L) == 0);
	live_check(tmpfs_new(SIZE, &tmpfs) == 0);
	resize_walk(tmpfs);
	tmpfs_free(tmpfs);
	return 0;
}

static void test_few_capabilities(void **state)
{
	(void)state;
	live_require_root();
	assert_int_equal(live_run_in(0, few_capabilities_main), 0);
}

/* Root of a container, which may give files to others but mount nothing. */
static int container_root_main(void)
{
	struct tmpfs *tmpfs = NULL;
	struct stat st;

	capabilities_keep(~(UINT64_C(1) << CAP_SYS_ADMIN));

	int r = tmpfs_new(SIZE, &tmpfs);

	if (r == -EPERM)
		return LIVE_EXIT_SKIP;
	live_check(r == 0);

	int fd = tmpfs_create(tmpfs, "x", false);

	live_check(fd >= 0);
	live_check(fchown(fd, 4321, 1234) == 0);
	live_check(fstat(fd, &st) == 0 && st.st_uid == 4321 && st.st_gid == 1234);
	live_check(tmpfs_resize(tmpfs, 2 * SIZE) == 0);
	tmpfs_free(tmpfs);
	return 0;
}

static void test_container_root(void **state)
{
	(void)state;
	live_require_root();
	require_user_namespaces(live_run_in(0, container_root_main));
}

/* What a container's seccomp filter makes of it, call by call. */
static int forbidden_main(void)
{
	static const int calls[] = {SCMP_SYS(unshare), SCMP_SYS(setns), SCMP_SYS(fsopen),
		SCMP_SYS(move_mount), SCMP_SYS(open_tree), SCMP_SYS(mount_setattr)};
	const int before = lowest_free();

	for (size_t i = ARRAY_SIZE(calls); i-- > 0;) {
		scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
		struct tmpfs *tmpfs = NULL;

		live_check(filter != NULL);
		live_check(seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), calls[i], 0) == 0);
		live_check(seccomp_load(filter) == 0);
		seccomp_release(filter);
		live_check(tmpfs_new(SIZE, &tmpfs) == -EPERM);
		live_check(tmpfs == NULL);
		live_check(lowest_free() == before);
	}
	return 0;
}

static void test_forbidden(void **state)
{
	(void)state;
	assert_int_equal(live_run_in(0, forbidden_main), 0);
}

/* As root, nobody is told of the children, and no descriptor stays. */
static int clean_main(void)
{
	const int before = lowest_free();

	live_check(signal(SIGCHLD, on_child) != SIG_ERR);
	for (int i = 0; i < 20; i++) {
		struct tmpfs *tmpfs = NULL;

		live_check(tmpfs_new(SIZE, &tmpfs) == 0);
		live_check(tmpfs_resize(tmpfs, 2 * SIZE) == 0);
		close(tmpfs_create(tmpfs, "a/b", false));
		live_check(tmpfs_create(tmpfs, "a//b", false) == -EINVAL);
		tmpfs_free(tmpfs);
		live_check(lowest_free() == before);
	}
	return 0;
}

static void test_clean(void **state)
{
	(void)state;
	live_require_root();
	assert_int_equal(live_run_in(0, clean_main), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_invisible),
		cmocka_unit_test(test_huge_pages),
		cmocka_unit_test(test_in_chroot),
		cmocka_unit_test(test_unprivileged),
		cmocka_unit_test(test_few_capabilities),
		cmocka_unit_test(test_container_root),
		cmocka_unit_test(test_forbidden),
		cmocka_unit_test(test_clean),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
