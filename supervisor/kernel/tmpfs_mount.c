/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/tmpfs_mount.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/message.h"
#include "kernel/child.h"

#define SHMEM_ENABLED "/sys/kernel/mm/transparent_hugepage/shmem_enabled"

/* A child takes a few milliseconds; on a machine that swaps, longer. */
#define CHILD_TIMEOUT_S 5

/* What a child says: a descriptor, that it is done, or an errno, which is less than these. */
enum {
	SAYS_DIR = 'D' | 0x80,
	SAYS_NOEXEC_DIR = 'N' | 0x80,
	SAYS_DONE = '.' | 0x80,
};

/* Texts for fsconfig(2), made before the fork. */
struct options {
	char size[24];
	const char *huge;
};

/*
 * The kernel's own memfds are on a mount of its own, whose huge pages are ruled by a file in /sys;
 * other mounts bring an option with the same words. "deny" and "force" rule all mounts anyway.
 */
static const char *huge_find(void)
{
	static const char *const words[] = {"always", "within_size", "advise"};
	char text[128];
	ssize_t n = fd_read_file_at(AT_FDCWD, SHMEM_ENABLED, text, sizeof(text));
	const char *chosen = n > 0 ? strchr(text, '[') : NULL;

	for (size_t i = 0; chosen && i < ARRAY_SIZE(words); i++) {
		const size_t len = strlen(words[i]);

		if (strncmp(chosen + 1, words[i], len) == 0 && chosen[1 + len] == ']')
			return words[i];
	}
	return "never";
}

/* "0" would be no limit at all, and so would be what the kernel's rounding up makes 0. */
static void options_set_size(struct options *options, uint64_t size_bytes)
{
	if (size_bytes < 1)
		size_bytes = 1;
	if (size_bytes > INT64_MAX)
		size_bytes = INT64_MAX;
	snprintf(options->size, sizeof(options->size), "%" PRIu64, size_bytes);
}

static int set_string(int context_fd, const char *key, const char *value)
{
	return fsconfig(context_fd, FSCONFIG_SET_STRING, key, value, 0) < 0 ? -errno : 0;
}

/*
 * Returns a mount that hangs nowhere yet. The count of files is the ledger's to limit. The times of
 * access are kept as the kernel's own mount keeps them.
 */
static int mount_new(const struct options *options)
{
	_cleanup_close_ int context_fd = fsopen("tmpfs", FSOPEN_CLOEXEC);
	int r;

	if (context_fd < 0)
		return -errno;
	r = set_string(context_fd, "size", options->size);
	if (r == 0)
		r = set_string(context_fd, "huge", options->huge);
	if (r == 0)
		r = set_string(context_fd, "nr_inodes", "0");
	if (r == 0)
		r = set_string(context_fd, "mode", "0700");
	if (r < 0)
		return r;
	if (fsconfig(context_fd, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		return -errno;

	int mount_fd = fsmount(context_fd, FSMOUNT_CLOEXEC,
		MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_STRICTATIME);

	return mount_fd < 0 ? -errno : mount_fd;
}

/*
 * Leaves all namespaces in which somebody could see what is mounted now. With a user namespace
 * given, has every right in it from then on: it is ours (user_namespaces(7)).
 */
static int namespace_leave(int user_ns_fd)
{
	if (user_ns_fd >= 0 && setns(user_ns_fd, CLONE_NEWUSER) < 0)
		return -errno;
	if (unshare(CLONE_NEWNS) < 0)
		return -errno;

	/* Or the mount on it would come up in the namespace that ours was copied from. */
	if (mount(NULL, "/", NULL, MS_PRIVATE, NULL) == 0)
		return 0;
	if (errno != EINVAL)
		return -errno;

	/* In a chroot "/" is no mount. Joining a mount namespace leads to its root. */
	_cleanup_close_ int self_fd = pidfd_open(getpid(), 0);

	if (self_fd < 0 || setns(self_fd, CLONE_NEWNS) < 0)
		return -errno;
	return mount(NULL, "/", NULL, MS_PRIVATE, NULL) < 0 ? -errno : 0;
}

/* Sends the root directory of a mount: not O_PATH, which open_by_handle_at(2) doesn't take. */
static int dir_send(int sock, int kind, int mount_fd)
{
	_cleanup_close_ int dir_fd = openat(mount_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return dir_fd < 0 ? -errno : message_send_fd(sock, (char)kind, dir_fd);
}

/*
 * Before Linux 6.15 only what is mounted can be mounted once more: so in this namespace it is,
 * until the namespace goes with the child. The open directories live on.
 */
static int mounts_make(int sock, const struct options *options)
{
	_cleanup_close_ int mount_fd = mount_new(options);
	_cleanup_close_ int noexec_fd = -1;
	struct mount_attr noexec = {.attr_set = MOUNT_ATTR_NOEXEC};
	int r;

	if (mount_fd < 0)
		return mount_fd;
	if (move_mount(mount_fd, "", AT_FDCWD, "/", MOVE_MOUNT_F_EMPTY_PATH) < 0)
		return -errno;
	noexec_fd = open_tree(mount_fd, "", AT_EMPTY_PATH | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
	if (noexec_fd < 0 ||
		mount_setattr(noexec_fd, "", AT_EMPTY_PATH, &noexec, sizeof(noexec)) < 0)
		return -errno;
	r = dir_send(sock, SAYS_DIR, mount_fd);
	return r < 0 ? r : dir_send(sock, SAYS_NOEXEC_DIR, noexec_fd);
}

static int size_change(int dir_fd, const struct options *options)
{
	_cleanup_close_ int context_fd = fspick(dir_fd, "", FSPICK_EMPTY_PATH | FSPICK_CLOEXEC);
	int r;

	if (context_fd < 0)
		return -errno;
	r = set_string(context_fd, "size", options->size);
	if (r < 0)
		return r;
	return fsconfig(context_fd, FSCONFIG_CMD_RECONFIGURE, NULL, NULL, 0) < 0 ? -errno : 0;
}

/* What a child is to do, with nothing but these descriptors. */
struct job {
	int sock;
	int user_ns_fd; /* -1: stay in ours */
	int dir_fd;     /* of the tmpfs to change; -1: make one */
	struct options options;
};

/*
 * Runs in a fork of a process that may have threads, so only system calls from here on. It is not
 * dumpable, and its memory belongs to our own user namespace: nobody in the other one, and nobody
 * with our uid, can trace it (ptrace(2), PTRACE_MODE_ATTACH).
 */
_Noreturn static void worker_main(const struct job *job)
{
	int kept[3];
	size_t count = 0;
	int r;

	kept[count++] = job->sock;
	if (job->user_ns_fd >= 0)
		kept[count++] = job->user_ns_fd;
	if (job->dir_fd >= 0)
		kept[count++] = job->dir_fd;
	r = child_keep_fds(kept, count);
	if (r == 0 && prctl(PR_SET_DUMPABLE, 0L, 0L, 0L, 0L) < 0)
		r = -errno;
	if (r == 0)
		r = namespace_leave(job->user_ns_fd);
	if (r == 0)
		r = job->dir_fd < 0 ? mounts_make(job->sock, &job->options)
				    : size_change(job->dir_fd, &job->options);
	_exit(message_send_fd(job->sock, (char)(r < 0 ? -r : SAYS_DONE), -1) < 0);
}

/* Takes what the worker says until it is done. Returns 0 or its -errno. */
static int worker_listen(int sock, struct tmpfs_mount *mount)
{
	for (;;) {
		_cleanup_close_ int fd = -1;
		char kind;
		int r = message_receive_fd(sock, &kind, &fd);

		if (r < 0)
			return r == -EAGAIN ? -ETIMEDOUT : r;
		switch ((unsigned char)kind) {
		case SAYS_DIR:
			fd_close(mount->dir_fd);
			mount->dir_fd = take_fd(&fd);
			break;
		case SAYS_NOEXEC_DIR:
			fd_close(mount->noexec_dir_fd);
			mount->noexec_dir_fd = take_fd(&fd);
			break;
		case SAYS_DONE:
			return 0;
		default:
			return -(int)(unsigned char)kind;
		}
	}
}

/* A pair of sockets, of which ours doesn't wait for ever. */
static int socket_pair(int *ret_ours, int *ret_childs)
{
	const struct timeval timeout = {.tv_sec = CHILD_TIMEOUT_S};
	int sock[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sock) < 0)
		return -errno;
	*ret_ours = sock[0];
	*ret_childs = sock[1];
	if (setsockopt(sock[0], SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout)) < 0)
		return -errno;
	return 0;
}

static int worker_run(struct job *job, struct tmpfs_mount *mount)
{
	_cleanup_close_ int ours = -1;
	_cleanup_close_ int childs = -1;
	int r = socket_pair(&ours, &childs);

	if (r < 0)
		return r;
	job->sock = childs;

	pid_t pid = child_fork();

	if (pid < 0)
		return -errno;
	if (pid == 0)
		worker_main(job);
	childs = fd_close(childs);
	r = worker_listen(ours, mount);

	/* It has ended, or somebody holds it up. */
	int ended = child_end(pid);

	return r < 0 ? r : ended;
}

/* The ids that are known in our user namespace, each as itself, as text for a map of a new one. */
static void id_map_own(const char *path, char *map, size_t size)
{
	char text[4096];
	size_t used = 0;
	unsigned first, count;
	int end = 0;

	*map = '\0';
	if (fd_read_file_at(AT_FDCWD, path, text, sizeof(text)) < 0)
		return;
	for (const char *p = text; sscanf(p, "%u %*u %u%n", &first, &count, &end) == 2; p += end) {
		int n = snprintf(map + used, size - used, "%u %u %u\n", first, first, count);

		if (n < 0 || (size_t)n >= size - used)
			return;
		used += (size_t)n;
	}
}

static int proc_write(pid_t pid, const char *file, const char *text)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/%s", pid, file);

	_cleanup_close_ int fd = open(path, O_WRONLY | O_CLOEXEC);

	return fd < 0 || write(fd, text, strlen(text)) < 0 ? -errno : 0;
}

/* All ids with the privilege for it (CAP_SETUID, CAP_SETGID), so that files can be given to the
 * callers' users; else those of ours that every process may map. */
static int ids_map(pid_t pid, const char *file, unsigned own_id)
{
	char path[32];
	char map[4096];

	snprintf(path, sizeof(path), "/proc/self/%s", file);
	id_map_own(path, map, sizeof(map));
	if (proc_write(pid, file, map) == 0)
		return 0;
	snprintf(map, sizeof(map), "%u %u 1", own_id, own_id);
	return proc_write(pid, file, map);
}

static int user_ns_map(pid_t pid)
{
	int r = ids_map(pid, "uid_map", geteuid());

	if (r == 0)
		r = proc_write(pid, "setgroups", "deny");
	return r < 0 ? r : ids_map(pid, "gid_map", getegid());
}

/*
 * Makes a user namespace and waits for its end. It has to be dumpable, or its files in /proc would
 * be root's. So somebody with our uid may trace it, and gets: a user namespace with our own ids,
 * which he could have made himself. What happens in there is the worker's, that he cannot trace.
 */
_Noreturn static void user_ns_main(int sock)
{
	int r = child_keep_fds(&sock, 1);
	char byte;

	if (r == 0 && (unshare(CLONE_NEWUSER) < 0 || prctl(PR_SET_DUMPABLE, 1L, 0L, 0L, 0L) < 0))
		r = -errno;
	if (message_send_fd(sock, (char)(r < 0 ? -r : SAYS_DONE), -1) == 0)
		while (read(sock, &byte, 1) < 0 && errno == EINTR)
			continue;
	_exit(0);
}

/* Waits for the namespace, maps the ids and returns a descriptor that keeps it, or -errno. */
static int user_ns_take(int sock, pid_t pid)
{
	_cleanup_close_ int stray = -1; /* from who holds the child */
	char path[64];
	char kind;
	int r = message_receive_fd(sock, &kind, &stray);

	if (r == -EAGAIN)
		return -ETIMEDOUT;
	if (r == 0 && (unsigned char)kind != SAYS_DONE)
		r = -(int)(unsigned char)kind;
	if (r == 0)
		r = user_ns_map(pid);
	if (r < 0)
		return r;
	snprintf(path, sizeof(path), "/proc/%d/ns/user", pid);

	int user_ns_fd = open(path, O_RDONLY | O_CLOEXEC);

	return user_ns_fd < 0 ? -errno : user_ns_fd;
}

static int user_ns_new(void)
{
	_cleanup_close_ int ours = -1;
	_cleanup_close_ int childs = -1;
	int r = socket_pair(&ours, &childs);

	if (r < 0)
		return r;

	pid_t pid = child_fork();

	if (pid < 0)
		return -errno;
	if (pid == 0)
		user_ns_main(childs);
	childs = fd_close(childs);
	r = user_ns_take(ours, pid);

	int ended = child_end(pid);

	if (ended == 0)
		return r;
	fd_close(r);
	return ended;
}

/* Whether the reason lies in what we may do here, whatever form it has: a seccomp filter, a limit
 * of 0 user namespaces, a kernel without them, no /proc. */
static bool error_is_privilege(int r)
{
	return r == -EPERM || r == -EACCES || r == -ENOSPC || r == -EUSERS || r == -EINVAL ||
	       r == -ENOENT || r == -ENOSYS;
}

int tmpfs_mount_make(uint64_t size_bytes, struct tmpfs_mount *ret_mount)
{
	cleanup(tmpfs_mount_done) struct tmpfs_mount mount = {-1, -1, -1};
	struct job job = {.user_ns_fd = -1, .dir_fd = -1};
	int r;

	options_set_size(&job.options, size_bytes);
	job.options.huge = huge_find();
	r = worker_run(&job, &mount);
	if (r == -EPERM) {
		mount.user_ns_fd = user_ns_new();
		if (mount.user_ns_fd < 0)
			return error_is_privilege(mount.user_ns_fd) ? -EPERM : mount.user_ns_fd;
		job.user_ns_fd = mount.user_ns_fd;
		r = worker_run(&job, &mount);
	}
	if (r < 0)
		return r;
	if (mount.dir_fd < 0 || mount.noexec_dir_fd < 0)
		return -EPROTO;
	*ret_mount = mount;
	mount = (struct tmpfs_mount){-1, -1, -1};
	return 0;
}

int tmpfs_mount_resize(const struct tmpfs_mount *mount, uint64_t size_bytes)
{
	struct tmpfs_mount none = {-1, -1, -1};
	struct job job = {.user_ns_fd = mount->user_ns_fd, .dir_fd = mount->dir_fd};

	options_set_size(&job.options, size_bytes);
	if (mount->user_ns_fd < 0)
		return size_change(mount->dir_fd, &job.options);
	return worker_run(&job, &none);
}
