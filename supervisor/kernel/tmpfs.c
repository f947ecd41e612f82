/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/tmpfs.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include "base/fd.h"
#include "kernel/tmpfs_mount.h"

/* mm/memfd.c: MFD_FILE_NAME_PREFIX, MFD_NAME_MAX_LEN. Together they are NAME_MAX. */
#define NAME_PREFIX  "memfd:"
#define NAME_MAX_LEN 249

/* The mode of a memfd. */
#define FILE_MODE 0777

struct tmpfs {
	struct tmpfs_mount mount;
	dev_t dev;
	/* Held from the making of a name to its end, so that equal names can't meet. */
	pthread_mutex_t names;
};

int tmpfs_new(uint64_t size_bytes, struct tmpfs **ret_tmpfs)
{
	struct tmpfs *tmpfs = calloc(1, sizeof(*tmpfs));
	struct stat st;
	int r;

	if (!tmpfs)
		return -ENOMEM;
	pthread_mutex_init(&tmpfs->names, NULL);
	tmpfs->mount = (struct tmpfs_mount){-1, -1, -1};
	r = tmpfs_mount_make(size_bytes, &tmpfs->mount);
	if (r == 0 && fstat(tmpfs->mount.dir_fd, &st) < 0)
		r = -errno;
	if (r < 0) {
		tmpfs_free(tmpfs);
		return r;
	}
	tmpfs->dev = st.st_dev;
	*ret_tmpfs = tmpfs;
	return 0;
}

struct tmpfs *tmpfs_free(struct tmpfs *tmpfs)
{
	if (tmpfs) {
		tmpfs_mount_done(&tmpfs->mount);
		pthread_mutex_destroy(&tmpfs->names);
		free(tmpfs);
	}
	return NULL;
}

/* How often the limit is tried above what is in use while a tenant is using more. Each time leaves
 * it twice the room, so the last is far ahead of any writer. */
#define RESIZE_TRIES 16

int tmpfs_resize(struct tmpfs *tmpfs, uint64_t size_bytes)
{
	const uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
	uint64_t limit = size_bytes;
	int r = tmpfs_mount_resize(&tmpfs->mount, limit);

	for (unsigned i = 0; r == -EINVAL && i < RESIZE_TRIES; i++) {
		uint64_t used = 0;

		r = tmpfs_used(tmpfs, &used);
		if (r < 0)
			return r;
		used += ((UINT64_C(1) << i) - 1) * page;
		limit = used > size_bytes ? used : size_bytes;
		r = tmpfs_mount_resize(&tmpfs->mount, limit);
	}
	if (r < 0)
		return r;
	return limit > size_bytes ? TMPFS_STILL_LARGER : 0;
}

int tmpfs_used(struct tmpfs *tmpfs, uint64_t *ret_bytes)
{
	struct statfs fs;

	if (fstatfs(tmpfs->mount.dir_fd, &fs) < 0)
		return -errno;
	*ret_bytes = (uint64_t)(fs.f_blocks - fs.f_bfree) * (uint64_t)fs.f_bsize;
	return 0;
}

/* "memfd:NAME" is a path below the root of the tmpfs. Its first component is never special. */
bool tmpfs_has_name(const char *name)
{
	const char *component = name;

	if (strlen(name) > NAME_MAX_LEN)
		return false;
	while ((component = strchr(component, '/'))) {
		const size_t len = strcspn(++component, "/");

		if (len == 0 || (len <= 2 && memcmp(component, "..", len) == 0))
			return false;
	}
	return true;
}

/* Removes the directories on the way to what stands behind end, deepest first. */
static void parents_remove(int dir_fd, char *path, char *end)
{
	char *slash = end;

	while ((slash = memrchr(path, '/', (size_t)(slash - path)))) {
		*slash = '\0';
		unlinkat(dir_fd, path, AT_REMOVEDIR);
		*slash = '/';
	}
}

/* Makes a directory that is ours to use, whatever the umask. */
static int directory_make(int dir_fd, const char *path)
{
	if (mkdirat(dir_fd, path, 0700) < 0)
		return -errno;
	if (fchmodat(dir_fd, path, 0700, 0) < 0) {
		int r = -errno;

		unlinkat(dir_fd, path, AT_REMOVEDIR);
		return r;
	}
	return 0;
}

static int parents_make(int dir_fd, char *path)
{
	for (char *slash = strchr(path, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';

		int r = directory_make(dir_fd, path);

		*slash = '/';
		if (r < 0) {
			parents_remove(dir_fd, path, slash);
			return r;
		}
	}
	return 0;
}

/* Returns the descriptor of a new file that has no name any more, or -errno. */
static int file_make(int dir_fd, const char *path)
{
	_cleanup_close_ int fd =
		openat(dir_fd, path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, FILE_MODE);

	if (fd < 0 || unlinkat(dir_fd, path, 0) < 0)
		return -errno;
	return take_fd(&fd);
}

static int path_make(int dir_fd, char *path)
{
	int r = parents_make(dir_fd, path);

	if (r < 0)
		return r;
	r = file_make(dir_fd, path);
	parents_remove(dir_fd, path, path + strlen(path));
	return r;
}

int tmpfs_create(struct tmpfs *tmpfs, const char *name, bool noexec)
{
	char path[sizeof(NAME_PREFIX) + NAME_MAX_LEN] = NAME_PREFIX;
	const int dir_fd = noexec ? tmpfs->mount.noexec_dir_fd : tmpfs->mount.dir_fd;
	struct stat st;

	if (!tmpfs_has_name(name))
		return -EINVAL;
	memcpy(path + strlen(NAME_PREFIX), name, strlen(name) + 1);

	pthread_mutex_lock(&tmpfs->names);

	_cleanup_close_ int fd = path_make(dir_fd, path);

	pthread_mutex_unlock(&tmpfs->names);
	if (fd < 0)
		return fd;
	/* The umask belongs to the whole process, so it can't be changed for this. */
	if (fstat(fd, &st) < 0)
		return -errno;
	if ((st.st_mode & ALLPERMS) != FILE_MODE && fchmod(fd, FILE_MODE) < 0)
		return -errno;
	return take_fd(&fd);
}

int tmpfs_fd(const struct tmpfs *tmpfs)
{
	return tmpfs->mount.dir_fd;
}

dev_t tmpfs_dev(const struct tmpfs *tmpfs)
{
	return tmpfs->dev;
}
