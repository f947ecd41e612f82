/* SPDX-License-Identifier: Apache-2.0 */

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <inttypes.h>
#include <libcgroup.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>

#include "base/clock.h"
#include "base/fd.h"
#include "kernel/cgroup.h"
#include "kernel/cgroup_mount.h"

#define GROUP_NAME_MAX 64

/* How long the kernel is given to take the last task out of a group. */
#define REMOVE_WAIT_NS (NSEC_PER_SEC)

/* Descriptors that the walk through a group's own groups may hold at once (nftw(3)). */
#define REMOVE_WALK_FDS 16

struct cgroup_group {
	int parent_fd; /* the folder that it was made in, O_PATH */
	int procs_fd;  /* its cgroup.procs, for writing */
	char name[GROUP_NAME_MAX];
	/* Where we moved ourselves to, in parent_fd; "" for nowhere. */
	char aside[GROUP_NAME_MAX + sizeof("-self")];
};

/* What differs between the versions of the controller. */
static const struct group_files {
	const char *limit;
	const char *swap;
	bool swap_counts_memory; /* the limit of swap is one of memory and swap together */
} group_files[] = {
	[false] = {"memory.limit_in_bytes", "memory.memsw.limit_in_bytes", true},
	[true] = {"memory.max", "memory.swap.max", false},
};

static const char *hint_for(int error, bool v2)
{
	switch (error) {
	case -ENODEV:
		return "no memory controller is usable here; run in a group to which it was "
		       "delegated (systemd-run --scope -p Delegate=yes fdwarden run ...), or "
		       "without --memory";
	case -EROFS:
		return "the cgroup file system is read-only here, as in most containers; set the "
		       "memory limit of the container instead";
	case -EBUSY:
		return "other processes share this cgroup, which therefore cannot be divided; "
		       "start fdwarden in a group of its own: systemd-run --scope -p Delegate=yes "
		       "fdwarden run ...";
	case -EACCES:
	case -EPERM:
		return v2 ? "this user may not divide this cgroup; start fdwarden in one that was "
			    "delegated: systemd-run --user --scope -p Delegate=yes fdwarden run ..."
			  : "this user may not make memory groups here; as root, make one for it "
			    "(cgcreate -t USER -a USER -g memory:NAME) and start fdwarden in that "
			    "(cgexec -g memory:NAME fdwarden run ...)";
	default:
		return "the kernel refused to make a memory cgroup";
	}
}

/* Writes one value in a single write(2), which is what the kernel takes for one command. */
static int value_write(int dir_fd, const char *path, const char *value)
{
	_cleanup_close_ int fd = openat(dir_fd, path, O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	return write(fd, value, strlen(value)) < 0 ? -errno : 0;
}

static int value_write_below(int dir_fd, const char *group, const char *file, const char *value)
{
	char path[GROUP_NAME_MAX + 64];

	snprintf(path, sizeof(path), "%s/%s", group, file);
	return value_write(dir_fd, path, value);
}

/* Whether the processes in the folder's group are none but the calling one. */
static int group_is_ours_alone(int dir_fd)
{
	char text[64], own[16];
	ssize_t n = fd_read_file_at(dir_fd, "cgroup.procs", text, sizeof(text));

	if (n == -EFBIG)
		return 0;
	if (n < 0)
		return (int)n;
	snprintf(own, sizeof(own), "%d\n", getpid());
	return strcmp(text, own) == 0;
}

static bool group_has_word(int dir_fd, const char *file, const char *word)
{
	char text[512], *saved;

	if (fd_read_file_at(dir_fd, file, text, sizeof(text)) < 0)
		return false;
	for (char *p = strtok_r(text, " \n", &saved); p; p = strtok_r(NULL, " \n", &saved))
		if (strcmp(p, word) == 0)
			return true;
	return false;
}

/*
 * v2: a group with processes in it cannot hand a controller down to groups below ("no internal
 * processes", cgroups(7)). When all of them are this one, it steps aside into a group of its own.
 */
static int group_step_aside(struct cgroup_group *group)
{
	int r = group_is_ours_alone(group->parent_fd);

	if (r <= 0)
		return r < 0 ? r : -EBUSY;
	snprintf(group->aside, sizeof(group->aside), "%s-self", group->name);
	if (mkdirat(group->parent_fd, group->aside, 0755) < 0) {
		r = -errno;
		group->aside[0] = '\0';
		return r;
	}
	r = value_write_below(group->parent_fd, group->aside, "cgroup.procs", "0");
	if (r == 0)
		r = value_write(group->parent_fd, "cgroup.subtree_control", "+memory");
	return r;
}

/* Moves all processes of the group aside back: the one that stepped aside, and its children. */
static void group_move_back(const struct cgroup_group *group)
{
	char path[GROUP_NAME_MAX + 64], text[1024], *saved;

	snprintf(path, sizeof(path), "%s/cgroup.procs", group->aside);
	if (fd_read_file_at(group->parent_fd, path, text, sizeof(text)) < 0)
		return;
	for (char *pid = strtok_r(text, "\n", &saved); pid; pid = strtok_r(NULL, "\n", &saved))
		(void)value_write(group->parent_fd, "cgroup.procs", pid);
}

/* Takes back what group_step_aside() did. What does not work stays: it harms nobody. */
static void group_step_back(struct cgroup_group *group)
{
	if (group->aside[0] == '\0')
		return;
	if (value_write(group->parent_fd, "cgroup.subtree_control", "-memory") == 0)
		group_move_back(group);
	(void)unlinkat(group->parent_fd, group->aside, AT_REMOVEDIR);
	group->aside[0] = '\0';
}

/* v2: sees to it that groups below our own one, parent_fd, have the memory controller. */
static int group_hand_down(struct cgroup_group *group)
{
	if (group_has_word(group->parent_fd, "cgroup.subtree_control", "memory"))
		return 0;
	if (!group_has_word(group->parent_fd, "cgroup.controllers", "memory"))
		return -ENODEV;

	int r = value_write(group->parent_fd, "cgroup.subtree_control", "+memory");

	return r == -EBUSY ? group_step_aside(group) : r;
}

/* v2: whether the group itself limits its memory. */
static bool group_is_limited(int dir_fd)
{
	char text[32];

	return fd_read_file_at(dir_fd, "memory.max", text, sizeof(text)) < 0 ||
	       strcmp(text, "max\n") != 0;
}

/*
 * v2: a shell's own group (a session's scope, say) is shared with the shell and cannot be divided.
 * The group above it can: a group beside our own one is as good, unless our own one has a limit,
 * which the command would get away from. Changes *path and parent_fd to those of the group above.
 */
static int group_go_up(const struct cgroup_mount *mount, struct cgroup_group *group, char *path)
{
	char *slash = strrchr(path, '/');

	if (path[0] == '\0' || group_is_limited(group->parent_fd))
		return -EBUSY;
	if (slash)
		*slash = '\0';
	else
		path[0] = '\0';

	_cleanup_close_ int fd = openat(
		mount->dir_fd, path[0] != '\0' ? path : ".", O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	if (!group_has_word(fd, "cgroup.subtree_control", "memory"))
		return -EBUSY;
	fd_close(group->parent_fd);
	group->parent_fd = take_fd(&fd);
	return 0;
}

/* Whether the calling process has the right to make groups in parent_fd and to move into them. */
static int group_check_access(const struct cgroup_mount *mount, const struct cgroup_group *group)
{
	if (faccessat(group->parent_fd, ".", W_OK | X_OK, AT_EACCESS) < 0)
		return -errno;
	/* v2 wants the right to write to this file of the nearest group above both places. */
	if (mount->v2 && faccessat(group->parent_fd, "cgroup.procs", W_OK, AT_EACCESS) < 0)
		return -errno;
	return 0;
}

/* Finds the place for the group: parent_fd, and its path below the mount's folder. */
static int group_find_place(
	const struct cgroup_mount *mount, struct cgroup_group *group, char path[PATH_MAX])
{
	char own[PATH_MAX];
	int r = cgroup_mount_path_of(mount, AT_FDCWD, own);

	if (r == 0)
		r = cgroup_mount_relative(mount, own, strlen(own), path);
	if (r < 0)
		return r == -ENOENT ? -ENODEV : r;
	group->parent_fd = openat(
		mount->dir_fd, path[0] != '\0' ? path : ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (group->parent_fd < 0)
		return errno == ENOENT ? -ENODEV : -errno;
	r = group_check_access(mount, group);
	if (r < 0 || !mount->v2)
		return r;
	r = group_hand_down(group);
	if (r != -EBUSY)
		return r;
	r = group_go_up(mount, group, path);
	return r < 0 ? r : group_check_access(mount, group);
}

/* Makes the group by libcgroup, which on v1 leaves nothing to be wished for. */
static int group_make_by_libcgroup(
	const struct cgroup_group *group, const char *path, const char *limit)
{
	_cleanup_free_ char *name = NULL;

	if (asprintf(&name, "%s/%s", path, group->name) < 0)
		return -ENOMEM;

	struct cgroup *made = cgroup_new_cgroup(name);
	struct cgroup_controller *memory = made ? cgroup_add_controller(made, "memory") : NULL;
	int r = ECGOTHER;

	if (memory)
		r = cgroup_add_value_string(memory, group_files[false].limit, limit);
	if (r == 0)
		r = cgroup_create_cgroup(made, 1);
	if (made)
		cgroup_free(&made);
	switch (r) {
	case 0:
		return 0;
	case ECGOTHER:
		return cgroup_get_last_errno() > 0 ? -cgroup_get_last_errno() : -EIO;
	case ECGROUPNOTOWNER:
	case ECGROUPNOTALLOWED:
		return -EACCES;
	default:
		return -EIO;
	}
}

static int group_make_by_hand(const struct cgroup_group *group, const char *file, const char *limit)
{
	if (mkdirat(group->parent_fd, group->name, 0755) < 0)
		return -errno;
	return value_write_below(group->parent_fd, group->name, file, limit);
}

/* Makes the folder with its limits, and opens its cgroup.procs. */
static int group_make(const struct cgroup_mount *mount, struct cgroup_group *group,
	const char *path, uint64_t limit_bytes)
{
	const struct group_files *files = &group_files[mount->v2];
	char limit[24], file[GROUP_NAME_MAX + 64];
	int r;

	snprintf(limit, sizeof(limit), "%" PRIu64, limit_bytes);
	/* libcgroup is broken in places on v2, and knows only the first mount of several. */
	if (!mount->v2 && mount->preferred)
		r = group_make_by_libcgroup(group, path, limit);
	else
		r = group_make_by_hand(group, files->limit, limit);
	if (r < 0)
		return r;
	/* There only if the kernel counts swap. */
	r = value_write_below(group->parent_fd, group->name, files->swap,
		files->swap_counts_memory ? limit : "0");
	if (r < 0 && r != -ENOENT)
		return r;
	snprintf(file, sizeof(file), "%s/cgroup.procs", group->name);
	group->procs_fd = openat(group->parent_fd, file, O_WRONLY | O_CLOEXEC);
	return group->procs_fd < 0 ? -errno : 0;
}

static int group_new(
	const struct cgroup_mount *mount, struct cgroup_group *group, uint64_t limit_bytes)
{
	char path[PATH_MAX];
	uint64_t unique;

	/* Nobody can have made a group of this name before us to get our process into it. */
	if (getrandom(&unique, sizeof(unique), 0) != sizeof(unique))
		return -errno;
	snprintf(group->name, sizeof(group->name), "fdwarden-run-%d-%016" PRIx64, getpid(), unique);

	int r = group_find_place(mount, group, path);

	return r < 0 ? r : group_make(mount, group, path, limit_bytes);
}

int cgroup_group_new(uint64_t limit_bytes, struct cgroup_group **ret_group, const char **ret_hint)
{
	_cleanup_cgroup_mount_ struct cgroup_mount mount = CGROUP_MOUNT_NONE;
	struct cgroup_group *group = calloc(1, sizeof(*group));
	int r = group ? cgroup_mount_find(CGROUP_MEMORY, &mount) : -ENOMEM;

	if (r == 0) {
		group->parent_fd = group->procs_fd = -1;
		r = group_new(&mount, group, limit_bytes);
		if (r < 0)
			cgroup_group_remove(take_ptr(group));
	}
	if (r < 0) {
		free(group);
		*ret_hint = hint_for(r, mount.v2);
		return r;
	}
	*ret_group = group;
	return 0;
}

int cgroup_group_enter(const struct cgroup_group *group)
{
	return write(group->procs_fd, "0", 1) < 0 ? -errno : 0;
}

/* Called by nftw(3) for each entry, those below a folder first. Files of a group go with it. */
static int group_remove_entry(
	const char *path, const struct stat *st, int type, struct FTW *position)
{
	(void)st;
	(void)position;
	if (type == FTW_DP)
		(void)rmdir(path);
	return 0;
}

/* One attempt: removes the group after those that the command made in it, if they are empty. */
static int group_remove_tree(const struct cgroup_group *group)
{
	char path[GROUP_NAME_MAX + 64];

	if (unlinkat(group->parent_fd, group->name, AT_REMOVEDIR) == 0)
		return 0;
	if (errno != EBUSY)
		return -errno;
	snprintf(path, sizeof(path), "/proc/self/fd/%d/%s", group->parent_fd, group->name);
	(void)nftw(path, group_remove_entry, REMOVE_WALK_FDS, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
	return faccessat(group->parent_fd, group->name, F_OK, 0) == 0 ? -EBUSY : 0;
}

struct cgroup_group *cgroup_group_remove(struct cgroup_group *group)
{
	if (!group)
		return NULL;

	uint64_t deadline = clock_now_ns(CLOCK_MONOTONIC) + REMOVE_WAIT_NS;
	struct timespec pause = {.tv_nsec = NSEC_PER_MSEC};

	/* A task is reaped a moment before the kernel takes it, or its memory, out of the group. */
	while (group->parent_fd >= 0 && group_remove_tree(group) == -EBUSY &&
		clock_now_ns(CLOCK_MONOTONIC) < deadline) {
		nanosleep(&pause, NULL);
		if (pause.tv_nsec < 32 * (long)NSEC_PER_MSEC)
			pause.tv_nsec *= 2;
	}
	group_step_back(group);
	fd_close(group->procs_fd);
	fd_close(group->parent_fd);
	free(group);
	return NULL;
}
