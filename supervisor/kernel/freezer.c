/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/freezer.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "base/fd.h"
#include "kernel/cgroup_mount.h"
#include "kernel/process.h"

/* What differs between the versions. */
static const struct freezer_words {
	const char *file;
	const char *freeze, *thaw;
	const char *thawed; /* what the file says when nobody wants it frozen */
} freezer_words[] = {
	[false] = {"freezer.state", "FROZEN", "THAWED", "THAWED\n"},
	[true] = {"cgroup.freeze", "1", "0", "0\n"},
};

struct freezer {
	const struct freezer_words *words;
	int fd; /* of the file; owned */
};

/* The path of a process's group, below the mount's folder. */
static int group_of(const struct cgroup_mount *mount, int proc_fd, char ret_path[PATH_MAX])
{
	char path[PATH_MAX];
	int r = cgroup_mount_path_of(mount, proc_fd, path);

	return r < 0 ? r : cgroup_mount_relative(mount, path, strlen(path), ret_path);
}

/* Whether a process is in the group at path or below it. One that is not visible is not. */
static bool group_has(const struct cgroup_mount *mount, const char *path, pid_t pid)
{
	_cleanup_close_ int proc_fd = process_open_dir(pid);
	size_t len = strlen(path);
	char its[PATH_MAX];

	if (proc_fd < 0 || group_of(mount, proc_fd, its) < 0)
		return false;
	return strncmp(its, path, len) == 0 && (its[len] == '\0' || its[len] == '/');
}

static int freeze_in(const struct cgroup_mount *mount, int proc_fd, struct freezer **ret_freezer)
{
	const struct freezer_words *words = &freezer_words[mount->v2];
	char path[PATH_MAX + sizeof("/freezer.state")];
	int len = group_of(mount, proc_fd, path);

	if (len < 0)
		return len == -ENOENT ? -ENODEV : len;
	/* Nothing can be frozen from the root of a tree; and the folder of our own view is no
	 * tenant's either. */
	if (len == 0)
		return -ENODEV;
	if (group_has(mount, path, getpid()) || group_has(mount, path, getppid()) ||
		group_has(mount, path, 1))
		return -EBUSY;
	path[len] = '/';
	memcpy(path + len + 1, words->file, strlen(words->file) + 1);

	_cleanup_close_ int fd = openat(mount->dir_fd, path, O_RDWR | O_CLOEXEC);
	struct freezer probe = {.words = words, .fd = fd};

	if (fd < 0)
		return errno == ENOENT ? -ENODEV : -errno;
	if (freezer_is_frozen(&probe))
		return -EALREADY; /* and is not ours to thaw */

	struct freezer *freezer = malloc(sizeof(*freezer));

	if (!freezer)
		return -ENOMEM;

	int r = fd_write_all(fd, words->freeze, strlen(words->freeze));

	if (r < 0) {
		free(freezer);
		return r;
	}
	*freezer = (struct freezer){.words = words, .fd = take_fd(&fd)};
	*ret_freezer = freezer;
	return 0;
}

int freezer_freeze(int proc_fd, struct freezer **ret_freezer)
{
	static const char *const controllers[] = {CGROUP_FREEZER, CGROUP_V2};
	int result = -ENODEV;

	for (size_t i = 0; i < ARRAY_SIZE(controllers); i++) {
		_cleanup_cgroup_mount_ struct cgroup_mount mount = CGROUP_MOUNT_NONE;
		int r = cgroup_mount_find(controllers[i], &mount);

		if (r == 0)
			r = freeze_in(&mount, proc_fd, ret_freezer);
		if (r == 0 || r == -ESRCH || r == -EALREADY)
			return r;
		/* Of two reasons, the one that says more: it is there, but must not be frozen. */
		if (r != -ENODEV)
			result = r;
	}
	return result;
}

bool freezer_is_frozen(const struct freezer *freezer)
{
	char text[32];
	ssize_t n = pread(freezer->fd, text, sizeof(text) - 1, 0);

	if (n <= 0)
		return false;
	text[n] = '\0';
	return strcmp(text, freezer->words->thawed) != 0;
}

struct freezer *freezer_thaw(struct freezer *freezer)
{
	if (!freezer)
		return NULL;
	/* It can fail only when the group is gone. */
	(void)fd_write_all(freezer->fd, freezer->words->thaw, strlen(freezer->words->thaw));
	fd_close(freezer->fd);
	free(freezer);
	return NULL;
}
