/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/cgroup_level.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>

#include "base/fd.h"
#include "kernel/cgroup.h"

int cgroup_level_read(int dir_fd, const char *file, uint64_t *ret_value)
{
	char text[32], *end;
	ssize_t n = fd_read_file_at(dir_fd, file, text, sizeof(text));

	if (n < 0)
		return (int)n;
	if (strcmp(text, "max\n") == 0) {
		*ret_value = CGROUP_UNLIMITED;
		return 0;
	}
	errno = 0;
	*ret_value = strtoumax(text, &end, 10);
	return errno == 0 && end != text && *end == '\n' ? 0 : -EBADMSG;
}

uint64_t cgroup_level_headroom(
	int dir_fd, const struct cgroup_level_files *files, uint64_t *ret_limit)
{
	uint64_t limit = 0, usage = 0; /* gcc at -O3 does not see that they are set */

	if (cgroup_level_read(dir_fd, files->limit, &limit) < 0 || limit >= CGROUP_LIMIT_NONE_V1 ||
		cgroup_level_read(dir_fd, files->usage, &usage) < 0)
		return CGROUP_UNLIMITED;
	if (ret_limit)
		*ret_limit = limit;
	return usage < limit ? limit - usage : 0;
}

/* The folder of the group itself, "" for the mount's own, or of an ancestor: cut where "/" is. */
static void level_call(
	const struct cgroup_mount *mount, const char *path, cgroup_level_fn *fn, void *userdata)
{
	_cleanup_close_ int fd = openat(
		mount->dir_fd, path[0] != '\0' ? path : ".", O_PATH | O_DIRECTORY | O_CLOEXEC);

	/* One that was removed meanwhile limits nothing any more. */
	if (fd >= 0)
		fn(fd, userdata);
}

int cgroup_level_each(
	const struct cgroup_mount *mount, int proc_fd, cgroup_level_fn *fn, void *userdata)
{
	char path[PATH_MAX], below[PATH_MAX];
	int r = cgroup_mount_path_of(mount, proc_fd, path);

	if (r < 0)
		return r;
	r = cgroup_mount_relative(mount, path, strlen(path), below);
	if (r < 0)
		return r;
	while (below[0] != '\0') {
		char *slash = strrchr(below, '/');

		level_call(mount, below, fn, userdata);
		if (!slash)
			break;
		*slash = '\0';
	}
	if (!mount->is_root)
		level_call(mount, "", fn, userdata);
	return 0;
}
