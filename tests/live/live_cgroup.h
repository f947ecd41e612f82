/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What tests of kernel/cgroup share: groups on the machine's own tree, v1 or v2, below one that the
 * test makes and removes. Include it after <cmocka.h>.
 */

#include <dirent.h>
#include <fcntl.h>
#include <stdint.h>
#include <sys/stat.h>

#include "kernel/cgroup.h"
#include "kernel/cgroup_mount.h"
#include "live.h"

#define MIB UINT64_C(1048576)

/* What an empty group may use: the kernel charges a group for the groups made in it. */
#define SLACK                        (8 * MIB)
#define assert_room(headroom, limit) assert_in_range(headroom, (limit)-SLACK, limit)

static inline bool is_room(uint64_t headroom, uint64_t limit)
{
	return headroom <= limit && headroom >= limit - SLACK;
}

static struct cgroup_mount mount_found = {.dir_fd = -1};
static char base[2048]; /* our own group, below the mount's folder */

static inline const char *limit_file(void)
{
	return mount_found.v2 ? "memory.max" : "memory.limit_in_bytes";
}

/* "BASE/NAME/FILE"; NAME and FILE may be NULL. Good until the fourth call after. */
static inline const char *at(const char *name, const char *file)
{
	static char paths[4][2 * PATH_MAX + 64];
	static unsigned next;
	char *path = paths[next++ % 4];

	snprintf(path, sizeof(paths[0]), "%s%s%s%s%s", base, name ? "/" : "", name ? name : "",
		file ? "/" : "", file ? file : "");
	return path;
}

static inline int write_at(const char *path, const char *value)
{
	int fd = openat(mount_found.dir_fd, path, O_WRONLY | O_CLOEXEC);
	int r = fd < 0 || write(fd, value, strlen(value)) < 0 ? -errno : 0;

	fd_close(fd);
	return r;
}

static inline int limit_set(const char *name, uint64_t bytes)
{
	char text[32];

	snprintf(text, sizeof(text), "%llu", (unsigned long long)bytes);
	if (bytes == CGROUP_UNLIMITED)
		strcpy(text, mount_found.v2 ? "max" : "-1");
	return write_at(at(name, limit_file()), text);
}

/* Makes BASE/NAME, whose parent hands the controller down on v2. */
static inline int group_add(const char *name, uint64_t limit)
{
	char parent[256];
	const char *slash = strrchr(name, '/');

	snprintf(parent, sizeof(parent), "%.*s", slash ? (int)(slash - name) : 0, name);
	if (mount_found.v2) {
		int r = write_at(at(slash ? parent : NULL, "cgroup.subtree_control"), "+memory");

		if (r < 0)
			return r;
	}
	if (mkdirat(mount_found.dir_fd, at(name, NULL), 0755) < 0)
		return -errno;
	return limit_set(name, limit);
}

static inline int group_drop(const char *name)
{
	/* A task is reaped a moment before it has left its group. */
	for (int i = 0; i < 200; i++) {
		if (unlinkat(mount_found.dir_fd, at(name, NULL), AT_REMOVEDIR) == 0)
			return 0;
		if (errno != EBUSY)
			break;
		usleep(5000);
	}
	return -errno;
}

static inline int group_join(const char *name)
{
	return write_at(at(name, "cgroup.procs"), "0");
}

/* The path of BASE/NAME as /proc/PID/cgroup gives it. */
static inline size_t text_path(const char *name, char *buf, size_t size)
{
	return (size_t)snprintf(buf, size, "%s/%s", mount_found.root, at(name, NULL));
}

static inline struct cgroup_memory measure(struct cgroup_view *view, const char *name)
{
	struct cgroup_memory memory = {0};
	char path[PATH_MAX * 2];
	size_t len = text_path(name, path, sizeof(path));

	assert_int_equal(cgroup_view_measure(view, path, len, &memory), 0);
	return memory;
}

static inline unsigned count_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned count = 0;

	assert_non_null(dir);
	while (readdir(dir))
		count++;
	closedir(dir);
	return count;
}

/* Runs a function in a child, which must end well. */
static inline void in_child(int (*run)(void *), void *argument)
{
	int status;

	fflush(NULL);

	pid_t pid = fork();

	assert_return_code(pid, errno);
	if (pid == 0)
		_exit(run(argument));
	while (waitpid(pid, &status, 0) < 0)
		assert_int_equal(errno, EINTR);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

static inline int cgroup_setup(void **state)
{
	(void)state;
	if (geteuid() != 0)
		live_skip_all("needs root to make memory cgroups");
	if (cgroup_mount_find(CGROUP_MEMORY, &mount_found) < 0)
		live_skip_all("no memory controller here");

	char own[PATH_MAX] = "";
	char path[PATH_MAX];

	/* On v2 a group that holds the test itself cannot have groups with controllers below. */
	if (!mount_found.v2) {
		assert_int_equal(cgroup_mount_path_of(&mount_found, AT_FDCWD, path), 0);
		if (cgroup_mount_relative(&mount_found, path, strlen(path), own) < 0)
			live_skip_all("our own memory cgroup is not visible here");
	}
	snprintf(base, sizeof(base), "%.*s%sfdwarden-test-%d", 2000, own, own[0] ? "/" : "",
		getpid());
	if (mount_found.v2 && write_at("cgroup.subtree_control", "+memory") < 0)
		live_skip_all("the memory controller cannot be handed down here");
	if (mkdirat(mount_found.dir_fd, base, 0755) < 0)
		live_skip_all("the cgroup file system is not writable here");
	return 0;
}

static inline int cgroup_teardown(void **state)
{
	(void)state;

	int r = group_drop(NULL);

	cgroup_mount_done(&mount_found);
	return r;
}
