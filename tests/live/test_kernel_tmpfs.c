/* SPDX-License-Identifier: Apache-2.0 */

/* kernel/tmpfs: what the kernel enforces on it, and the files it makes. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <elf.h>
#include <link.h>
#include <pthread.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "base/macro.h"
#include "base/file.h"
#include "live.h"
#include "live_tmpfs.h"

/* A copy of this program that was run ends with the status. */
#define EXECUTED      "--executed"
#define EXIT_EXECUTED 42

/* What is written into files of either kind has the one limit. */
static void test_limit_write(void **state)
{
	struct tmpfs *tmpfs = tmpfs_make(SIZE);
	int a = file_make(tmpfs, false), b = file_make(tmpfs, true);

	(void)state;
	assert_int_equal(used(tmpfs), 0);
	assert_int_equal(fill(a, SIZE / 2), SIZE / 2);
	assert_int_equal(used(tmpfs), SIZE / 2);
	assert_int_equal(fill(b, 2 * SIZE), SIZE / 2);
	assert_int_equal(used(tmpfs), SIZE);
	assert_int_equal(fill(a, 4096), 0);
	close(b);
	assert_int_equal(used(tmpfs), SIZE / 2);
	close(a);
	assert_int_equal(used(tmpfs), 0);
	tmpfs_free(tmpfs);
}

/* An apparent size is free. */
static void test_limit_fallocate(void **state)
{
	struct tmpfs *tmpfs = tmpfs_make(SIZE);
	int fd = file_make(tmpfs, false);

	(void)state;
	assert_return_code(ftruncate(fd, 1024 * MIB), errno);
	assert_int_equal(used(tmpfs), 0);
	assert_int_equal(fallocate(fd, 0, 0, SIZE + 65536), -1);
	assert_int_equal(errno, ENOSPC);
	assert_int_equal(used(tmpfs), 0);
	assert_return_code(fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, SIZE), errno);
	assert_int_equal(used(tmpfs), SIZE);
	close(fd);
	tmpfs_free(tmpfs);
}

/* Touches pages of a mapping. Returns the child's exit status, or 128 + signal. */
static int touch(int fd, uint64_t size)
{
	struct live_child child = {.listener = -1};

	fflush(NULL);
	child.pid = fork();
	assert_return_code(child.pid, errno);
	if (child.pid == 0) {
		char *map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

		live_check(map != MAP_FAILED);
		/* A sanitizer has a handler, which would call it a bug. */
		signal(SIGBUS, SIG_DFL);
		for (uint64_t at = 0; at < size; at += 4096)
			map[at] = 1;
		_exit(0);
	}
	return live_wait(&child);
}

static void test_limit_page_fault(void **state)
{
	struct tmpfs *tmpfs = tmpfs_make(SIZE);
	int fd = file_make(tmpfs, false);

	(void)state;
	assert_return_code(ftruncate(fd, 2 * SIZE), errno);
	assert_int_equal(touch(fd, SIZE), 0);
	assert_int_equal(used(tmpfs), SIZE);
	assert_int_equal(touch(fd, 2 * SIZE), 128 + SIGBUS);
	assert_int_equal(used(tmpfs), SIZE);
	close(fd);
	tmpfs_free(tmpfs);
}

static void test_resize(void **state)
{
	struct tmpfs *tmpfs = tmpfs_make(SIZE);

	(void)state;
	resize_walk(tmpfs);
	tmpfs_free(tmpfs);
}

/* No number means "no limit", as 0 does for the kernel. */
static void test_size_extremes(void **state)
{
	static const uint64_t sizes[] = {0, 1, 4097};
	const uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		struct tmpfs *tmpfs = tmpfs_make(sizes[i]);
		int fd = file_make(tmpfs, false);
		const uint64_t pages = sizes[i] > page ? 2 : 1;

		assert_int_equal(fill(fd, SIZE), pages * page);
		assert_int_equal(tmpfs_resize(tmpfs, UINT64_MAX), 0);
		assert_int_equal(fill(fd, SIZE), SIZE);
		assert_return_code(ftruncate(fd, 0), errno);
		assert_int_equal(tmpfs_resize(tmpfs, sizes[i]), 0);
		assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
		assert_int_equal(fill(fd, SIZE), pages * page);
		close(fd);
		tmpfs_free(tmpfs);
	}

	struct tmpfs *tmpfs = tmpfs_make(UINT64_MAX);

	assert_int_equal(tmpfs_resize(tmpfs, SIZE), 0);
	tmpfs_free(tmpfs);
}

/* Copies a program into the file. Takes fd, returns one for reading only: a file that is open for
 * writing is busy. */
static int program_load(int fd, const char *program)
{
	int from = open(program, O_RDONLY | O_CLOEXEC);
	char path[64], block[65536];
	ssize_t n;

	assert_return_code(from, errno);
	while ((n = read(from, block, sizeof(block))) > 0)
		assert_int_equal(fd_write_all(fd, block, (size_t)n), 0);
	assert_int_equal(n, 0);
	close(from);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	from = open(path, O_RDONLY); /* not close-on-exec, for ld.so to find it */
	assert_return_code(from, errno);
	close(fd);
	return from;
}

/* Where an exec fails, the child ends with its errno. */
static int execute(const char *file, char *const argv[])
{
	struct live_child child = {.listener = -1};

	fflush(NULL);
	child.pid = fork();
	assert_return_code(child.pid, errno);
	if (child.pid == 0) {
		execve(file, argv, (char *[]){NULL});
		_exit(errno);
	}
	return live_wait(&child);
}

/* The dynamic linker of this program, which is a program too; NULL when it was linked statically.
 */
static const char *linker_path(void)
{
	const ElfW(Phdr) *headers = (const void *)getauxval(AT_PHDR);
	const size_t count = getauxval(AT_PHNUM);
	uintptr_t base = 0;

	for (size_t i = 0; i < count; i++)
		if (headers[i].p_type == PT_PHDR)
			base = (uintptr_t)headers - headers[i].p_vaddr;
	for (size_t i = 0; i < count; i++)
		if (headers[i].p_type == PT_INTERP)
			return (const char *)(base + headers[i].p_vaddr);
	return NULL;
}

static int map_executable(int fd)
{
	void *map = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0);

	if (map == MAP_FAILED)
		return errno;
	munmap(map, 4096);
	return 0;
}

static int protect_executable(int fd)
{
	void *map = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, fd, 0);
	int error;

	assert_ptr_not_equal(map, MAP_FAILED);
	error = mprotect(map, 4096, PROT_READ | PROT_EXEC) < 0 ? errno : 0;
	munmap(map, 4096);
	return error;
}

/* By itself, by the dynamic linker, and by a mapping, as dlopen(3) does. */
static void test_noexec(void **state)
{
	char *linker = (char *)linker_path();
	struct tmpfs *tmpfs = tmpfs_make(64 * MIB);

	(void)state;
	for (int noexec = 0; noexec <= 1; noexec++) {
		int fd = program_load(file_make(tmpfs, noexec), "/proc/self/exe");
		char path[64];

		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
		assert_int_equal(map_executable(fd), noexec ? EPERM : 0);
		assert_int_equal(protect_executable(fd), noexec ? EACCES : 0);
		assert_int_equal(execute(path, (char *[]){path, (char *)EXECUTED, NULL}),
			noexec ? EACCES : EXIT_EXECUTED);
		if (linker)
			assert_int_equal(
				execute(linker, (char *[]){linker, path, (char *)EXECUTED, NULL}),
				noexec ? 127 : EXIT_EXECUTED);
		/* Nor by what a chmod(2) gives. */
		assert_return_code(fchmod(fd, 0777), errno);
		assert_int_equal(map_executable(fd), noexec ? EPERM : 0);
		close(fd);
	}
	tmpfs_free(tmpfs);
}

#define BYTES_100 \
	"\x01\x02\n\x1b\xff\xfe" \
	"6789012345678901234567890123456789012345678901234567890123456789012345678901234567890123" \
	"456789"
#define LONGEST BYTES_100 BYTES_100 "1234567890123456789012345678901234567890123456789"

/* NULL name: no file. The link is that of a memfd of this name. */
static const char *const good_names[] = {"plain", "", ".", "..", "a (deleted)", "a/b", "/a",
	"a/b/c/d", "a/...", "a/.b", "a/..b", "../x", "memfd:memfd:", "\xff\xfe\n\x1b[0m", LONGEST,
	"a/b/" BYTES_100, "plain"};
static const char *const bad_names[] = {
	"/", "a/", "a//b", "a/.", "a/..", "a/./b", "a/../b", "//", "a/b/", "../..", LONGEST "0"};

static void assert_link(int fd, const char *name)
{
	char path[64], link[512] = "", expected[512];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	snprintf(expected, sizeof(expected), "/memfd:%s (deleted)", name);
	assert_true(readlink(path, link, sizeof(link) - 1) > 0);
	assert_string_equal(link, expected);
}

static bool directory_is_empty(int dir_fd)
{
	_cleanup_closedir_ DIR *dir = fdopendir(openat(dir_fd, ".", O_RDONLY | O_CLOEXEC));
	int count = 0;

	assert_non_null(dir);
	while (readdir(dir))
		count++;
	return count == 2;
}

/* With whatever umask the process has, and nothing stays in the directory. */
static void test_names(void **state)
{
	static const mode_t masks[] = {0, 022, 0777};
	struct tmpfs *tmpfs = tmpfs_make(SIZE);
	struct stat st;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(good_names) * ARRAY_SIZE(masks) * 2; i++) {
		const char *name = good_names[i / 2 % ARRAY_SIZE(good_names)];
		mode_t mask = umask(masks[i / 2 / ARRAY_SIZE(good_names)]);
		int fd = tmpfs_create(tmpfs, name, i % 2);

		umask(mask);
		assert_return_code(fd, -fd);
		assert_true(tmpfs_has_name(name));
		assert_link(fd, name);
		assert_int_equal(fstat(fd, &st), 0);
		assert_int_equal(st.st_mode, S_IFREG | 0777);
		assert_int_equal(st.st_nlink, 0);
		assert_int_equal(st.st_dev, tmpfs_dev(tmpfs));
		assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
		assert_int_equal(fcntl(fd, F_GET_SEALS), F_SEAL_SEAL);
		close(fd);
	}
	for (size_t i = 0; i < ARRAY_SIZE(bad_names); i++) {
		assert_false(tmpfs_has_name(bad_names[i]));
		assert_int_equal(tmpfs_create(tmpfs, bad_names[i], i % 2), -EINVAL);
	}
	assert_true(directory_is_empty(tmpfs_fd(tmpfs)));
	tmpfs_free(tmpfs);
}

static void *create_often(void *argument)
{
	/* Some are a directory for the others. */
	static const char *const names[] = {"same", "same/same", "same/same/same", "same"};

	for (size_t i = 0; i < 400; i++) {
		int fd = tmpfs_create(argument, names[i % ARRAY_SIZE(names)], i % 3 == 0);

		if (fd < 0)
			return (void *)(intptr_t)fd;
		close(fd);
	}
	return NULL;
}

static void test_equal_names(void **state)
{
	struct tmpfs *tmpfs = tmpfs_make(SIZE);
	pthread_t threads[8];
	void *result;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(threads); i++)
		assert_int_equal(pthread_create(&threads[i], NULL, create_often, tmpfs), 0);
	for (size_t i = 0; i < ARRAY_SIZE(threads); i++) {
		assert_int_equal(pthread_join(threads[i], &result), 0);
		assert_null(result);
	}
	assert_true(directory_is_empty(tmpfs_fd(tmpfs)));
	tmpfs_free(tmpfs);
}

static void test_files_outlive_it(void **state)
{
	struct tmpfs *tmpfs = tmpfs_make(SIZE);
	int fd = file_make(tmpfs, false);

	(void)state;
	assert_null(tmpfs_free(tmpfs));
	assert_null(tmpfs_free(NULL));
	assert_int_equal(fill(fd, 2 * SIZE), SIZE);
	assert_link(fd, "x");
	close(fd);
}

/* The ledger's weak reference, which takes CAP_DAC_READ_SEARCH. */
static void test_handles(void **state)
{
	(void)state;
	live_require_root();

	struct tmpfs *tmpfs = tmpfs_make(SIZE);

	for (int noexec = 0; noexec <= 1; noexec++) {
		int fd = file_make(tmpfs, noexec), mount_id, again;
		struct stat a, b;
		union {
			struct file_handle handle;
			char room[sizeof(struct file_handle) + MAX_HANDLE_SZ];
		} h = {.handle.handle_bytes = MAX_HANDLE_SZ};

		assert_return_code(
			name_to_handle_at(fd, "", &h.handle, &mount_id, AT_EMPTY_PATH), errno);
		again = open_by_handle_at(tmpfs_fd(tmpfs), &h.handle, O_RDONLY | O_CLOEXEC);
		assert_return_code(again, errno);
		assert_int_equal(fstat(fd, &a), 0);
		assert_int_equal(fstat(again, &b), 0);
		assert_true(a.st_ino == b.st_ino && a.st_dev == b.st_dev);
		close(again);
		close(fd);
		assert_int_equal(open_by_handle_at(tmpfs_fd(tmpfs), &h.handle, O_RDONLY), -1);
		assert_int_equal(errno, ESTALE);
	}
	tmpfs_free(tmpfs);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_limit_write),
		cmocka_unit_test(test_limit_fallocate),
		cmocka_unit_test(test_limit_page_fault),
		cmocka_unit_test(test_resize),
		cmocka_unit_test(test_size_extremes),
		cmocka_unit_test(test_noexec),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_equal_names),
		cmocka_unit_test(test_files_outlive_it),
		cmocka_unit_test(test_handles),
	};

	if (argc == 2 && strcmp(argv[1], EXECUTED) == 0)
		return EXIT_EXECUTED;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
