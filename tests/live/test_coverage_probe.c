/* SPDX-License-Identifier: Apache-2.0 */

/* The probe of `fdwarden coverage` on the machine as it is. */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/io_uring.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"
#include "base/file.h"
#include "base/memfd.h"
#include "core/coverage.h"

static size_t count_descriptors(void)
{
	_cleanup_closedir_ DIR *dir = opendir("/proc/self/fd");
	size_t count = 0;

	assert_non_null(dir);
	while (readdir(dir))
		count++;
	return count;
}

static ssize_t read_mounts(char *buf, size_t size)
{
	return fd_read_file_at(AT_FDCWD, "/proc/self/mountinfo", buf, size);
}

static void nothing_is_left_behind(void **state)
{
	static char before[65536], after[65536];
	struct coverage_machine machine;
	size_t descriptors;

	(void)state;
	/* What libraries open once and keep. */
	coverage_probe(&machine);
	descriptors = count_descriptors();
	assert_true(read_mounts(before, sizeof(before)) > 0);
	coverage_probe(&machine);
	assert_int_equal(count_descriptors(), descriptors);
	assert_true(read_mounts(after, sizeof(after)) > 0);
	assert_string_equal(after, before);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
	assert_int_equal(errno, ECHILD);
}

static void it_says_the_same_twice(void **state)
{
	struct coverage_machine first, second;

	(void)state;
	memset(&first, 0, sizeof(first));
	memset(&second, 0, sizeof(second));
	coverage_probe(&first);
	coverage_probe(&second);
	assert_memory_equal(&first, &second, sizeof(first));
}

static void it_agrees_with_the_real_thing(void **state)
{
	struct coverage_machine machine;
	struct io_uring_params params = {.flags = 0};
	_cleanup_close_ int ring = (int)syscall(SYS_io_uring_setup, 1, &params);
	_cleanup_close_ int sealed = memfd_create("", MFD_CLOEXEC | MFD_NOEXEC_SEAL);
	_cleanup_close_ int huge = memfd_create("", MFD_CLOEXEC | MFD_HUGETLB);

	(void)state;
	coverage_probe(&machine);
	assert_int_equal(machine.io_uring, ring >= 0);
	assert_int_equal(machine.noexec_seal, sealed >= 0);
	assert_int_equal(machine.hugetlb, huge >= 0);
	assert_true(!machine.cgroup_limit || machine.cgroup);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_is_left_behind),
		cmocka_unit_test(it_says_the_same_twice),
		cmocka_unit_test(it_agrees_with_the_real_thing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
