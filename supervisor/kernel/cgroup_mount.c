/* SPDX-License-Identifier: Apache-2.0 */

#include <errno.h>
#include <fcntl.h>
#include <libcgroup.h>
#include <linux/magic.h>
#include <mntent.h>
#include <pthread.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "base/fd.h"
#include "base/file.h"
#include "kernel/cgroup_mount.h"

/* More mounts of one controller than this are not looked at. */
#define CGROUP_MOUNTS_MAX 16

/* How many folders the search for the namespace's root opens at most. */
#define CGROUP_SEARCH_MAX 4096

/* Room for a /proc/self/cgroup of every controller, each path as long as the kernel prints it. */
#define CGROUP_TEXT_MAX ((size_t)16 * PATH_MAX)

void cgroup_mount_done(struct cgroup_mount *mount)
{
	mount->dir_fd = fd_close(mount->dir_fd);
	free(take_ptr(mount->root));
	free(take_ptr(mount->inside));
}

/* Whether word stands in a list of len bytes, with separators between the words. */
static bool list_has(const char *list, size_t len, char separator, const char *word)
{
	size_t word_len = strlen(word);
	const char *end = list + len;

	for (const char *p = list; p < end;) {
		const char *next = memchr(p, separator, (size_t)(end - p));
		size_t n = (size_t)((next ? next : end) - p);

		if (n == word_len && memcmp(p, word, n) == 0)
			return true;
		p += n + 1;
	}
	return false;
}

const char *cgroup_text_path(const char *controller, const char *text, size_t *ret_len)
{
	bool v2 = strcmp(controller, CGROUP_V2) == 0;

	/* A group's name may hold anything but a newline, so only the first two colons count. */
	for (const char *line = text; *line != '\0';) {
		size_t line_len = strcspn(line, "\n");
		const char *list = memchr(line, ':', line_len);
		const char *path = NULL;

		if (list) {
			list++;
			path = memchr(list, ':', line_len - (size_t)(list - line));
		}
		if (path) {
			size_t list_len = (size_t)(path - list);

			path++;
			if (v2 ? list_len == 0 : list_has(list, list_len, ',', controller)) {
				*ret_len = line_len - (size_t)(path - line);
				return path;
			}
		}
		line += line_len;
		if (*line == '\n')
			line++;
	}
	return NULL;
}

const char *cgroup_mount_text_path(
	const struct cgroup_mount *mount, const char *text, size_t *ret_len)
{
	return cgroup_text_path(mount->v2 ? CGROUP_V2 : mount->controller, text, ret_len);
}

int cgroup_mount_path_of(
	const struct cgroup_mount *mount, int proc_fd, char ret_path[static PATH_MAX])
{
	const char *name = proc_fd == AT_FDCWD ? "/proc/self/cgroup" : "cgroup";
	_cleanup_free_ char *text = malloc(CGROUP_TEXT_MAX);

	if (!text)
		return -ENOMEM;

	ssize_t n = fd_read_file_at(proc_fd, name, text, CGROUP_TEXT_MAX);

	if (n < 0)
		return n == -ENOENT ? -ESRCH : (int)n;

	size_t len;
	const char *path = cgroup_mount_text_path(mount, text, &len);

	if (!path)
		return -ENODEV;
	if (len >= PATH_MAX)
		return -ENAMETOOLONG;
	memcpy(ret_path, path, len);
	ret_path[len] = '\0';
	return 0;
}

/* Counts the leading "/.." of a path and steps over them. */
static unsigned path_skip_up(const char **path, size_t *len)
{
	unsigned up = 0;

	while (*len >= 3 && memcmp(*path, "/..", 3) == 0 && (*len == 3 || (*path)[3] == '/')) {
		*path += 3;
		*len -= 3;
		up++;
	}
	return up;
}

/* The length of the first count components of a path such as "/a/b/c". */
static size_t path_prefix(const char *path, unsigned count)
{
	const char *p = path;

	while (count-- > 0 && *p == '/')
		p += 1 + strcspn(p + 1, "/");
	return (size_t)(p - path);
}

/* Writes the two parts, each empty or beginning with a slash, as one path without that slash. */
static int path_join(
	const char *a, size_t a_len, const char *b, size_t b_len, char ret_path[PATH_MAX])
{
	char *p = ret_path;

	if (a_len > 0) {
		a++;
		a_len--;
	} else if (b_len > 0) {
		b++;
		b_len--;
	}
	if (a_len + b_len >= PATH_MAX)
		return -ENAMETOOLONG;
	p = mempcpy(p, a, a_len);
	p = mempcpy(p, b, b_len);
	*p = '\0';
	return (int)(p - ret_path);
}

int cgroup_mount_relative(
	const struct cgroup_mount *mount, const char *path, size_t len, char ret_path[PATH_MAX])
{
	const char *root = mount->root;
	size_t root_len = strlen(root);
	unsigned root_up = path_skip_up(&root, &root_len);
	unsigned path_up = path_skip_up(&path, &len);

	if (len == 1 && path[0] == '/')
		len = 0;
	if (len > 0 && path[0] != '/')
		return -ENOENT;
	if (path_up > root_up || (path_up < root_up && root_len > 0))
		return -ENOENT; /* beside or above what the folder shows */
	if (path_up == root_up) {
		if (len < root_len || memcmp(path, root, root_len) != 0 ||
			(len > root_len && path[root_len] != '/'))
			return -ENOENT;
		return path_join("", 0, path + root_len, len - root_len, ret_path);
	}
	/* The folder shows what is above the namespace: the way down to it comes first. */
	if (!mount->inside)
		return path_join("", 0, "", 0, ret_path);
	return path_join(
		mount->inside, path_prefix(mount->inside, root_up - path_up), path, len, ret_path);
}

/* Whether the process is listed in the cgroup.procs at path below dir_fd. */
static bool procs_has(int dir_fd, const char *path, pid_t pid)
{
	_cleanup_close_ int fd = openat(dir_fd, path, O_RDONLY | O_CLOEXEC);
	_cleanup_fclose_ FILE *file = fd < 0 ? NULL : fdopen(fd, "re");
	int listed;

	if (!file)
		return false;
	take_fd(&fd);
	while (fscanf(file, "%d", &listed) == 1)
		if (listed == pid)
			return true;
	return false;
}

struct search {
	unsigned depth;     /* of the namespace's root below the mount's folder */
	const char *own;    /* the calling process's group, below the namespace's root */
	unsigned budget;    /* of folders to open */
	char way[PATH_MAX]; /* from the mount's folder to the folder looked at */
	size_t len;         /* of way */
};

/* Whether the folder at search->way is the namespace's root, or one at search->depth below is. */
static bool search_below(int dir_fd, struct search *search, unsigned depth)
{
	if (depth == search->depth) {
		char procs[PATH_MAX];
		int n = snprintf(procs, sizeof(procs), ".%s/cgroup.procs", search->own);

		return n < PATH_MAX && procs_has(dir_fd, procs, getpid());
	}

	int list_fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	_cleanup_closedir_ DIR *dir = list_fd < 0 ? NULL : fdopendir(list_fd);

	if (!dir) {
		fd_close(list_fd);
		return false;
	}
	for (struct dirent *entry; (entry = readdir(dir));) {
		size_t len = search->len, name_len = strlen(entry->d_name);

		if (entry->d_type != DT_DIR || entry->d_name[0] == '.' ||
			len + 1 + name_len >= PATH_MAX || search->budget == 0)
			continue;
		search->budget--;

		_cleanup_close_ int fd = openat(
			dir_fd, entry->d_name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

		if (fd < 0)
			continue;
		search->way[len] = '/';
		memcpy(search->way + len + 1, entry->d_name, name_len + 1);
		search->len = len + 1 + name_len;
		if (search_below(fd, search, depth + 1))
			return true;
		search->len = len;
		search->way[len] = '\0';
	}
	return false;
}

/*
 * The folder shows what is above our cgroup namespace, as with a host's /sys/fs/cgroup bound into a
 * container. The kernel says by how many levels, never by what names: so we look for ourselves.
 */
static int mount_find_inside(struct cgroup_mount *mount)
{
	const char *root = mount->root;
	size_t root_len = strlen(root);
	struct search search = {
		.depth = path_skip_up(&root, &root_len),
		.budget = CGROUP_SEARCH_MAX,
	};
	char own[PATH_MAX];

	if (search.depth == 0 || root_len > 0)
		return 0;

	int r = cgroup_mount_path_of(mount, AT_FDCWD, own);

	if (r < 0)
		return r;
	if (strncmp(own, "/..", 3) == 0)
		return 0; /* moved out of its namespace: nothing there to look for */
	search.own = strcmp(own, "/") == 0 ? "" : own;
	if (!search_below(mount->dir_fd, &search, 0))
		return 0;
	mount->inside = strdup(search.way);
	return mount->inside ? 0 : -ENOMEM;
}

/* Undoes the octal escapes of mountinfo (proc(5)) in place. */
static void text_unescape(char *text)
{
	char *out = text;

	for (const char *p = text; *p != '\0';) {
		if (p[0] == '\\' && p[1] >= '0' && p[1] <= '3' && p[2] >= '0' && p[2] <= '7' &&
			p[3] >= '0' && p[3] <= '7') {
			*out++ = (char)((p[1] - '0') * 64 + (p[2] - '0') * 8 + (p[3] - '0'));
			p += 4;
		} else {
			*out++ = *p++;
		}
	}
	*out = '\0';
}

/*
 * The root and the options of the mount that folder fd is on, both for free(). It is looked up by
 * the mount's id, not its path, as several may stand over each other. Returns false when it is not
 * to be found.
 */
static bool mount_read_info(int fd, char **ret_root, char **ret_options)
{
	_cleanup_free_ char *line = NULL;
	size_t size = 0;
	struct statx stx;

	if (statx(fd, "", AT_EMPTY_PATH, STATX_MNT_ID, &stx) < 0 || !(stx.stx_mask & STATX_MNT_ID))
		return false;

	_cleanup_fclose_ FILE *file = fopen("/proc/self/mountinfo", "re");

	if (!file)
		return false;
	while (getline(&line, &size, file) > 0) {
		_cleanup_free_ char *root = NULL;
		unsigned long long id;

		if (sscanf(line, "%llu %*s %*s %ms", &id, &root) != 2 || id != stx.stx_mnt_id)
			continue;

		/* "... - FSTYPE SOURCE OPTIONS": the last field, which has no blanks (proc(5)). */
		const char *options = strrchr(line, ' ');

		*ret_options = strdup(options ? options + 1 : "");
		if (!*ret_options)
			return false;
		text_unescape(root);
		if (strcmp(root, "/") == 0)
			root[0] = '\0';
		*ret_root = take_ptr(root);
		return true;
	}
	return false;
}

/* Whether the folder has the controller. The options of a mount of v1 name those that it has. */
static bool mount_has_controller(const struct cgroup_mount *mount, const char *options)
{
	const char *controller = mount->controller;
	char list[512];

	if (!mount->v2)
		return strcmp(controller, CGROUP_V2) != 0 &&
		       list_has(options, strcspn(options, "\n"), ',', controller);
	if (strcmp(controller, CGROUP_V2) == 0)
		return true;

	ssize_t n = fd_read_file_at(mount->dir_fd, "cgroup.controllers", list, sizeof(list));

	return n > 0 && list_has(list, strcspn(list, "\n"), ' ', controller);
}

/* Takes the folder at path if it is a mount of the controller. Returns 0 or -errno. */
static int mount_open(const char *controller, const char *path, struct cgroup_mount *ret_mount)
{
	_cleanup_cgroup_mount_ struct cgroup_mount mount = {
		.dir_fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC),
		.controller = controller,
	};
	_cleanup_free_ char *options = NULL;
	struct statfs fs;

	if (mount.dir_fd < 0 || fstatfs(mount.dir_fd, &fs) < 0)
		return -errno;
	if (fs.f_type != CGROUP_SUPER_MAGIC && fs.f_type != CGROUP2_SUPER_MAGIC)
		return -ENODEV; /* something else is mounted over it */
	mount.v2 = fs.f_type == CGROUP2_SUPER_MAGIC;
	if (!mount_read_info(mount.dir_fd, &mount.root, &options))
		return -ENODEV;
	if (!mount_has_controller(&mount, options))
		return -ENODEV;
	/* Files that exist only at, or only below, the root of a hierarchy (kernel/cgroup). */
	mount.is_root = mount.v2 ? faccessat(mount.dir_fd, "cgroup.type", F_OK, 0) < 0
				 : faccessat(mount.dir_fd, "release_agent", F_OK, 0) == 0;

	int r = mount_find_inside(&mount);

	if (r < 0)
		return r;
	*ret_mount = mount;
	mount = CGROUP_MOUNT_NONE;
	return 0;
}

/* libcgroup would print its errors on standard output. */
static void logger_drop(void *userdata, int level, const char *fmt, va_list ap)
{
	(void)userdata;
	(void)level;
	(void)fmt;
	(void)ap;
}

/* Collects where libcgroup sees the controller, at most CGROUP_MOUNTS_MAX. Returns their count. */
static unsigned libcgroup_mounts(const char *controller, char *paths[static CGROUP_MOUNTS_MAX])
{
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	char path[FILENAME_MAX];
	unsigned count = 0;
	void *handle = NULL;

	/* cgroup_init() frees the table that other threads' iterators still point into. */
	pthread_mutex_lock(&lock);
	cgroup_set_logger(logger_drop, CGROUP_LOG_ERROR, NULL);
	if (cgroup_init() == 0) {
		int r = cgroup_get_subsys_mount_point_begin(controller, &handle, path);

		while (r == 0 && count < CGROUP_MOUNTS_MAX && (paths[count] = strdup(path))) {
			count++;
			r = cgroup_get_subsys_mount_point_next(&handle, path);
		}
		cgroup_get_subsys_mount_point_end(&handle);
	}
	pthread_mutex_unlock(&lock);
	return count;
}

/*
 * libcgroup gives up as a whole when one cgroup mount of /proc/mounts cannot be opened, say because
 * a container's runtime mounted something over it: then we go through them ourselves.
 */
static int mount_find_any(const char *controller, struct cgroup_mount *ret_mount)
{
	_cleanup_fclose_ FILE *file = setmntent("/proc/self/mounts", "re");
	char text[4 * PATH_MAX];
	struct mntent entry;

	if (!file)
		return errno == ENOENT ? -ENODEV : -errno; /* no /proc, nothing to be seen */
	while (getmntent_r(file, &entry, text, sizeof(text))) {
		if (strcmp(entry.mnt_type, "cgroup") != 0 && strcmp(entry.mnt_type, "cgroup2") != 0)
			continue;
		if (mount_open(controller, entry.mnt_dir, ret_mount) == 0)
			return 0;
	}
	return -ENODEV;
}

int cgroup_mount_find(const char *controller, struct cgroup_mount *ret_mount)
{
	char *paths[CGROUP_MOUNTS_MAX];
	unsigned count = libcgroup_mounts(controller, paths);
	int r = -ENODEV;

	for (unsigned i = 0; i < count; i++) {
		if (r < 0) {
			r = mount_open(controller, paths[i], ret_mount);
			if (r == 0)
				ret_mount->preferred = i == 0;
		}
		free(paths[i]);
	}
	return r < 0 ? mount_find_any(controller, ret_mount) : r;
}
