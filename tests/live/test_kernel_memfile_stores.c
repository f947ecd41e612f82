/* SPDX-License-Identifier: Apache-2.0 */

/* kernel/memfile: files on a tmpfs or a disk, and those that must never be executable. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <sched.h>
#include <seccomp.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statfs.h>

#include <linux/magic.h>

#include "base/file.h"
#include "base/macro.h"
#include "kernel/compat.h"
#include "kernel/memfile.h"
#include "live.h"
#include "live_tmpfs.h"

#define ALL_FLAGS (MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_HUGETLB | MFD_NOEXEC_SEAL | MFD_EXEC)

#ifndef F_SEAL_EXEC
#define F_SEAL_EXEC 0x0020
#endif

static struct memfile_request request_for(const char *name, uint32_t flags)
{
	return (struct memfile_request){
		.name = name,
		.flags = flags,
		/* What there is on this kernel. */
		.noexec_scope = memfile_has_noexec_seal() ? MEMFD_NOEXEC_SCOPE_EXEC : -1,
		.owner = (uid_t)-1,
		.group = (gid_t)-1,
		.spill_dir_fd = -1,
	};
}

static mode_t mode_of(int fd)
{
	struct stat st;

	live_check(fstat(fd, &st) == 0);
	return st.st_mode & ALLPERMS;
}

static bool is_on(int fd, dev_t dev)
{
	struct stat st;

	live_check(fstat(fd, &st) == 0);
	return st.st_dev == dev;
}

/* 0, or the errno. */
static int map_executable(int fd)
{
	void *map = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0);

	if (map == MAP_FAILED)
		return errno;
	munmap(map, 4096);
	return 0;
}

static int spill_directory(void)
{
	int fd = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	assert_return_code(fd, errno);
	return fd;
}

/* What can be had on a tmpfs and looks like a memfd; anything else stays the kernel's. */
static void test_fits(void **state)
{
	static const int scopes[] = {0, 1, 2};
	static const char *const names[] = {"x", "a/b", "a//b", "a/", NULL};

	(void)state;
	for (uint32_t flags = 0; flags <= ALL_FLAGS; flags++) {
		for (size_t i = 0; i < ARRAY_SIZE(scopes) * ARRAY_SIZE(names) * 2; i++) {
			const size_t name = i / 2 % ARRAY_SIZE(names);
			struct memfile_request request = request_for(names[name], flags);

			request.noexec = i % 2;
			request.noexec_scope = scopes[i / 2 / ARRAY_SIZE(names)];
			assert_int_equal(memfile_fits_tmpfs(&request),
				(flags & ~MFD_CLOEXEC) == 0 && name < 2 &&
					(request.noexec || request.noexec_scope == 0));
		}
	}
}

/* A caller in our own PID namespace has our own vm.memfd_noexec. */
static int own_scope_main(void)
{
	struct memfile_request request = request_for("x", 0);
	struct tmpfs *tmpfs = NULL;

	request.noexec_scope = -1;
	live_check(tmpfs_new(SIZE, &tmpfs) == 0);
	live_check(memfile_fits_tmpfs(&request));
	live_write_file("/proc/sys/vm/memfd_noexec", "1");
	usleep(200 * 1000);
	live_check(!memfile_fits_tmpfs(&request));
	request.tmpfs = tmpfs;

	int fd = memfile_create(&request);

	live_check(fd >= 0 && mode_of(fd) == 0666 && is_on(fd, tmpfs_dev(tmpfs)));
	request.flags = MFD_EXEC;
	fd = memfile_create(&request);
	live_check(fd >= 0 && mode_of(fd) == 0777 && is_on(fd, tmpfs_dev(tmpfs)));
	live_write_file("/proc/sys/vm/memfd_noexec", "2");
	usleep(200 * 1000);
	live_check(memfile_create(&request) == -EACCES);
	tmpfs_free(tmpfs);
	return 0;
}

static void test_own_scope(void **state)
{
	(void)state;
	live_require_root();
	if (!live_noexec_is_free())
		live_skip("no vm.memfd_noexec, or not 0");
	assert_int_equal(live_run_in(CLONE_NEWPID, own_scope_main), 0);
}

/*
 * Every errno is that of the kernel's own memory, whatever the store: an unreadable or long name,
 * flags that it doesn't know, and both of those that exclude each other.
 */
static void test_errors_are_the_kernels(void **state)
{
	static char too_long[300];
	const char *const names[] = {"x", NULL, memset(too_long, 'x', sizeof(too_long) - 1)};
	struct tmpfs *tmpfs = tmpfs_make(SIZE);
	_cleanup_close_ int directory = spill_directory();

	(void)state;
	for (uint32_t flags = 0; flags <= 4 * ALL_FLAGS; flags++) {
		for (size_t i = 0; i < ARRAY_SIZE(names) * 3 * 2; i++) {
			struct memfile_request request =
				request_for(names[i % ARRAY_SIZE(names)], flags);

			if (request.noexec_scope >= 0)
				request.noexec_scope = (int)(i / ARRAY_SIZE(names) % 3);

			int native = memfile_create(&request);

			if (i % 2)
				request.tmpfs = tmpfs;
			else
				request.spill_dir_fd = directory;

			int ours = memfile_create(&request);

			if (native >= 0 && request.noexec_scope == 2 && !request.tmpfs &&
				!(flags & MFD_HUGETLB))
				assert_int_equal(ours, -EOPNOTSUPP);
			else if (native < 0)
				assert_int_equal(ours, native);
			else
				assert_return_code(ours, -ours);
			fd_close(native);
			fd_close(ours);
		}
	}
	tmpfs_free(tmpfs);
}

/* What a file on the tmpfs is like that was asked for with any flags. */
static void test_on_tmpfs(void **state)
{
	static const uint32_t flags[] = {0, MFD_ALLOW_SEALING, MFD_NOEXEC_SEAL, MFD_EXEC};
	struct tmpfs *tmpfs = tmpfs_make(SIZE);

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(flags) * 2; i++) {
		struct memfile_request request = request_for("x", flags[i / 2]);
		const bool noexec = request.flags & MFD_NOEXEC_SEAL || i % 2;

		if (request.flags & ~MFD_ALLOW_SEALING && !memfile_has_noexec_seal())
			continue;
		request.noexec = i % 2;
		request.tmpfs = tmpfs;

		int fd = memfile_create(&request);

		if (request.noexec && request.flags & MFD_EXEC) {
			assert_int_equal(fd, -EACCES);
			continue;
		}
		assert_return_code(fd, -fd);
		assert_true(is_on(fd, tmpfs_dev(tmpfs)));
		assert_int_equal(mode_of(fd), noexec ? 0666 : 0777);
		assert_int_equal(fcntl(fd, F_GET_SEALS), F_SEAL_SEAL);
		assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
		assert_int_equal(map_executable(fd), noexec ? EPERM : 0);
		close(fd);
	}
	tmpfs_free(tmpfs);
}

/* A rule's noexec in the kernel's own memory. */
static void test_noexec_in_memory(void **state)
{
	static const uint32_t flags[] = {0, MFD_ALLOW_SEALING, MFD_NOEXEC_SEAL};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(flags); i++) {
		struct memfile_request request = request_for("x", flags[i]);

		request.noexec = true;

		int fd = memfile_create(&request);

		if (!memfile_has_noexec_seal()) {
			const bool known = !(flags[i] & MFD_NOEXEC_SEAL);

			assert_int_equal(fd, known ? -EOPNOTSUPP : -EINVAL);
			continue;
		}
		assert_return_code(fd, -fd);
		assert_int_equal(mode_of(fd), 0666);
		assert_int_equal(
			fcntl(fd, F_GET_SEALS), F_SEAL_EXEC | (flags[i] ? 0 : F_SEAL_SEAL));
		assert_int_equal(fchmod(fd, 0777), -1);
		close(fd);
	}

	struct memfile_request request = request_for("x", MFD_EXEC);

	request.noexec = true;
	assert_int_equal(memfile_create(&request), memfile_has_noexec_seal() ? -EACCES : -EINVAL);
	request.flags = 0x100 | MFD_EXEC;
	assert_int_equal(memfile_create(&request), -EINVAL);
}

static int names_in(int dir_fd)
{
	_cleanup_closedir_ DIR *dir = fdopendir(openat(dir_fd, ".", O_RDONLY | O_CLOEXEC));
	int count = 0;

	live_check(dir);
	while (readdir(dir))
		count++;
	return count - 2;
}

/* One file on a disk mounted so, under a umask that leaves nothing. */
static void disk_walk(int directory, bool mounted_noexec)
{
	struct memfile_request request = request_for("x", 0);
	mode_t mask = umask(0777);
	char path[64];

	request.spill_dir_fd = directory;

	int fd = memfile_create(&request);

	umask(mask);
	live_check(fd >= 0 && mode_of(fd) == 0777);
	live_check(fcntl(fd, F_GETFD) == FD_CLOEXEC);
	live_check((fcntl(fd, F_GETFL) & O_ACCMODE) == O_RDWR);
	live_check(write(fd, "abc", 3) == 3);
	/* It has no name and gets none. */
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	live_check(linkat(AT_FDCWD, path, directory, "name", AT_SYMLINK_FOLLOW) == -1);
	live_check(names_in(directory) == 0);
	close(fd);

	request.flags = MFD_ALLOW_SEALING;
	request.noexec_scope = MEMFD_NOEXEC_SCOPE_NOEXEC_SEAL;
	fd = memfile_create(&request);
	live_check(fd >= 0 && mode_of(fd) == 0666);
	close(fd);
	for (int scope = 0; scope <= 2; scope += 2) {
		request.noexec_scope = scope;
		request.noexec = scope == 0;
		fd = memfile_create(&request);
		live_check(mounted_noexec ? fd >= 0 : fd == -EOPNOTSUPP);
		if (fd >= 0)
			live_check(map_executable(fd) == EPERM);
		fd_close(fd);
	}
	live_check(names_in(directory) == 0);
}

static int disk_mount(const char *type, unsigned long flags)
{
	live_check(mount("none", "/tmp", type, flags, NULL) == 0);

	int fd = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	live_check(fd >= 0);
	return fd;
}

/* As on a file system that has no O_TMPFILE, such as NFS. */
static void tmpfile_forbid(void)
{
	const struct scmp_arg_cmp flags = {
		.arg = 2, .op = SCMP_CMP_MASKED_EQ, .datum_a = O_TMPFILE, .datum_b = O_TMPFILE};
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);

	live_check(filter != NULL);
	live_check(seccomp_rule_add_array(
			   filter, SCMP_ACT_ERRNO(EOPNOTSUPP), SCMP_SYS(openat), 1, &flags) == 0);
	live_check(seccomp_load(filter) == 0);
	seccomp_release(filter);
}

static int disk_main(void)
{
	int fd;

	live_check(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0);
	fd = disk_mount("tmpfs", 0);
	disk_walk(fd, false);
	close(fd);
	fd = disk_mount("tmpfs", MS_NOEXEC);
	disk_walk(fd, true);
	close(fd);
	fd = disk_mount("tmpfs", MS_NOEXEC);
	tmpfile_forbid();
	live_check(openat(fd, ".", O_TMPFILE | O_RDWR, 0600) == -1 && errno == EOPNOTSUPP);
	disk_walk(fd, true);
	close(fd);
	return 0;
}

static void test_on_disk(void **state)
{
	(void)state;
	live_require_root();
	assert_int_equal(live_run_in(CLONE_NEWNS, disk_main), 0);
}

/* Files of huge pages are the kernel's, or an error of its own. */
static void test_huge_pages(void **state)
{
	struct memfile_request request = request_for("x", MFD_HUGETLB);
	struct statfs fs;

	(void)state;

	int native = memfile_create(&request);

	request.tmpfs = tmpfs_make(SIZE);

	int fd = memfile_create(&request);

	if (native < 0)
		assert_int_equal(fd, native);
	else
		assert_true(fstatfs(fd, &fs) == 0 && fs.f_type == HUGETLBFS_MAGIC);
	fd_close(native);
	fd_close(fd);
	tmpfs_free(request.tmpfs);
}

/* Files in either store can be another user's. */
static void test_owners(void **state)
{
	(void)state;
	live_require_root();

	_cleanup_close_ int directory = spill_directory();
	struct memfile_request request = request_for("x", 0);
	struct stat st;

	for (int i = 0; i < 2; i++) {
		request.owner = 1234;
		request.group = 4321;
		request.tmpfs = i ? tmpfs_make(SIZE) : NULL;
		request.spill_dir_fd = i ? -1 : directory;

		int fd = memfile_create(&request);

		assert_return_code(fd, -fd);
		assert_int_equal(fstat(fd, &st), 0);
		assert_int_equal(st.st_uid, 1234);
		assert_int_equal(st.st_gid, 4321);
		assert_int_equal(st.st_mode, S_IFREG | 0777);
		close(fd);
		tmpfs_free(request.tmpfs);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fits),
		cmocka_unit_test(test_own_scope),
		cmocka_unit_test(test_errors_are_the_kernels),
		cmocka_unit_test(test_on_tmpfs),
		cmocka_unit_test(test_noexec_in_memory),
		cmocka_unit_test(test_on_disk),
		cmocka_unit_test(test_huge_pages),
		cmocka_unit_test(test_owners),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
