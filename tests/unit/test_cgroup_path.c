/* SPDX-License-Identifier: Apache-2.0 */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "kernel/cgroup_mount.h"

static void assert_text_path(const char *controller, const char *text, const char *expected)
{
	size_t len = 0;
	const char *path = cgroup_text_path(controller, text, &len);

	if (!expected) {
		assert_null(path);
		return;
	}
	assert_non_null(path);
	assert_int_equal(len, strlen(expected));
	assert_memory_equal(path, expected, len);
}

static void text_path_finds_the_memory_line(void **state)
{
	const char *hybrid = "5:devices:/d\n4:cpu,memory:/a/b\n1:name=systemd:/s\n0::/u/v\n";

	(void)state;
	assert_text_path(CGROUP_MEMORY, hybrid, "/a/b");
	assert_text_path(CGROUP_V2, hybrid, "/u/v");
	assert_text_path(CGROUP_MEMORY, "4:memory,cpu:/a\n", "/a");
	assert_text_path(CGROUP_MEMORY, "4:cpu,memory,pids:/a", "/a");
	assert_text_path(CGROUP_FREEZER, "2:freezer:/f\n1:cpu:/a", "/f");
	assert_text_path(CGROUP_V2, "0::/\n", "/");
	assert_text_path(CGROUP_V2, "0::/../x y\n", "/../x y");
}

static void text_path_is_not_taken_in_by_names(void **state)
{
	(void)state;
	assert_text_path(CGROUP_MEMORY, "3:name=memory:/no\n0::/4:memory:/no\n", NULL);
	assert_text_path(
		CGROUP_MEMORY, "3:cpu:/:memory:/no\n4:memory:/a:memory:b\n", "/a:memory:b");
	assert_text_path(CGROUP_MEMORY, "3:memory2,xmemory:/no\n", NULL);
	assert_text_path(CGROUP_V2, "3:cpu:/0::/no\n", NULL);
	assert_text_path(CGROUP_V2, "", NULL);
	assert_text_path(CGROUP_V2, "\n\nnonsense\n0:\n", NULL);
}

/* Expected NULL: the group is not to be seen. */
static void assert_relative(
	const char *root, const char *inside, const char *path, const char *expected)
{
	struct cgroup_mount mount = {
		.dir_fd = -1,
		.root = (char *)root,
		.inside = (char *)inside,
	};
	char below[PATH_MAX];
	int len = cgroup_mount_relative(&mount, path, strlen(path), below);

	if (!expected) {
		assert_int_equal(len, -ENOENT);
		return;
	}
	assert_int_equal(len, strlen(expected));
	assert_string_equal(below, expected);
}

static void relative_to_the_whole_tree(void **state)
{
	(void)state;
	assert_relative("", NULL, "/", "");
	assert_relative("", NULL, "/a", "a");
	assert_relative("", NULL, "/a/b/c", "a/b/c");
	assert_relative("", NULL, "/..a", "..a");
	assert_relative("", NULL, "/../beside", NULL);
	assert_relative("", NULL, "/..", NULL);
	assert_relative("", NULL, "", "");
	assert_relative("", NULL, "a", NULL);
}

static void relative_to_a_subtree(void **state)
{
	(void)state;
	assert_relative("/docker/abc", NULL, "/docker/abc", "");
	assert_relative("/docker/abc", NULL, "/docker/abc/d", "d");
	assert_relative("/docker/abc", NULL, "/docker/abcd", NULL);
	assert_relative("/docker/abc", NULL, "/docker", NULL);
	assert_relative("/docker/abc", NULL, "/", NULL);
}

static void relative_from_inside_a_namespace(void **state)
{
	(void)state;
	assert_relative("/../..", "/x/y", "/", "x/y");
	assert_relative("/../..", "/x/y", "/z", "x/y/z");
	assert_relative("/../..", "/x/y", "/../z", "x/z");
	assert_relative("/../..", "/x/y", "/../../z", "z");
	assert_relative("/../..", "/x/y", "/../..", "");
	assert_relative("/../..", "/x/y", "/../../../z", NULL);
	assert_relative("/../..", NULL, "/z", "");
	assert_relative("/../..", NULL, "/../../z", "z");
	assert_relative("/../beside", NULL, "/../beside/z", "z");
	assert_relative("/../beside", NULL, "/z", NULL);
}

static void relative_refuses_what_is_too_long(void **state)
{
	char path[PATH_MAX + 2], below[PATH_MAX];
	struct cgroup_mount mount = {.dir_fd = -1, .root = (char *)""};

	(void)state;
	memset(path, 'a', sizeof(path));
	path[0] = '/';
	assert_int_equal(cgroup_mount_relative(&mount, path, PATH_MAX, below), PATH_MAX - 1);
	assert_int_equal(cgroup_mount_relative(&mount, path, PATH_MAX + 1, below), -ENAMETOOLONG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(text_path_finds_the_memory_line),
		cmocka_unit_test(text_path_is_not_taken_in_by_names),
		cmocka_unit_test(relative_to_the_whole_tree),
		cmocka_unit_test(relative_to_a_subtree),
		cmocka_unit_test(relative_from_inside_a_namespace),
		cmocka_unit_test(relative_refuses_what_is_too_long),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
