/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Groups that can be frozen, made by the test. After live_cgroup.h. */

/* Runs the test in each tree that can freeze, in a group that is made for it below our own. */
static inline void in_each_tree(void (*run)(void))
{
	static const char *const controllers[] = {CGROUP_FREEZER, CGROUP_V2};
	unsigned trees = 0;

	live_require_root();
	for (size_t i = 0; i < ARRAY_SIZE(controllers); i++) {
		char path[PATH_MAX], own[PATH_MAX];

		if (cgroup_mount_find(controllers[i], &mount_found) < 0)
			continue;
		assert_int_equal(cgroup_mount_path_of(&mount_found, AT_FDCWD, path), 0);
		if (cgroup_mount_relative(&mount_found, path, strlen(path), own) >= 0) {
			snprintf(base, sizeof(base), "%.*s%sfdwarden-test-%d", 2000, own,
				own[0] ? "/" : "", getpid());
			if (mkdirat(mount_found.dir_fd, base, 0755) == 0) {
				trees++;
				run();
				assert_int_equal(group_drop(NULL), 0);
			}
		}
		cgroup_mount_done(&mount_found);
	}
	if (trees == 0)
		live_skip("no group that can be frozen can be made here");
}

/* Whether the kernel has stopped all of the group. */
static inline bool is_stopped(void)
{
	char text[256];
	ssize_t n = fd_read_file_at(mount_found.dir_fd,
		at(NULL, mount_found.v2 ? "cgroup.events" : "freezer.state"), text, sizeof(text));

	assert_true(n > 0);
	return strstr(text, mount_found.v2 ? "frozen 1" : "FROZEN") != NULL;
}
