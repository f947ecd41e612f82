/* SPDX-License-Identifier: Apache-2.0 */

/* The part of kernel/tracee.h that remembers tasks. */

#include <errno.h>
#include <fcntl.h>
#include <linux/kcmp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/fd.h"
#include "kernel/compat.h"
#include "kernel/noexec.h"
#include "kernel/tracee.h"

/*
 * Direct-mapped: threads of one program have ids next to each other, and a clash costs one lookup.
 * Each entry holds descriptors: an agent has a thousand sessions, and a supervisor with few to
 * spare must never run out because of what it only remembers.
 */
#define CACHE_SIZE_MAX  64
#define CACHE_ENTRY_FDS 2
#define CACHE_FDS_SHARE 8 /* one in so many of RLIMIT_NOFILE */

/*
 * What is known of one task. The pidfd names the task for good: ids get reused, the kernel's struct
 * pid behind a pidfd does not. A number is free again only when its struct pid has no task left, so
 * while the kernel finds a task behind the pidfd, the number is still that task's. (When a thread
 * execs, it takes over the leader's struct pid together with the number; thread group and PID
 * namespace stay the same.)
 */
struct tracee_entry {
	pid_t tid; /* 0: empty */
	int pidfd;
	/*
	 * /proc/TID/fd, or -1: not opened yet. Like a pidfd it stays that task's: once the task is
	 * gone nothing is found in it any more.
	 */
	int fd_dir;
	ino_t pid_ns_ino; /* 0: not looked up yet */
	uint64_t seen;    /* the call in which it was seen to be this task's, 0: none */
};

struct tracee_cache {
	struct tracee_entry entries[CACHE_SIZE_MAX];
	unsigned size; /* of those, how many are used */
	struct noexec_table noexec;
	ino_t own_pid_ns_ino;
	uint64_t call;     /* counts tracee_cache_begin(); 0: the caller doesn't say */
	bool info_missing; /* no PIDFD_GET_INFO here: /proc has to do */
};

static int pid_ns_ino(int pid_ns_fd, ino_t *ret_ino)
{
	struct stat st;

	if (fstat(pid_ns_fd, &st) < 0)
		return -errno;
	*ret_ino = st.st_ino;
	return 0;
}

/* A descriptor of a task's PID namespace. Both ways need the right to trace it (ptrace(2)). */
static int pid_ns_open(int pidfd, pid_t tid)
{
	char path[sizeof("/proc/2147483647/ns/pid")];
	int fd = pidfd < 0 ? -1 : ioctl(pidfd, COMPAT_PIDFD_GET_PID_NS, 0);

	if (fd >= 0)
		return fd;
	snprintf(path, sizeof(path), "/proc/%d/ns/pid", tid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? -ESRCH : -errno;
	return fd;
}

static unsigned cache_size(void)
{
	struct rlimit limit;

	const rlim_t share = CACHE_FDS_SHARE * CACHE_ENTRY_FDS;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur < 2 * share)
		return 1;
	if (limit.rlim_cur > CACHE_SIZE_MAX * share)
		return CACHE_SIZE_MAX;
	return (unsigned)(limit.rlim_cur / share);
}

static int cache_init(struct tracee_cache *cache)
{
	_cleanup_close_ int pidfd = (int)syscall(SYS_pidfd_open, getpid(), 0);
	_cleanup_close_ int fd = pid_ns_open(pidfd, getpid());

	cache->size = cache_size();
	for (size_t i = 0; i < CACHE_SIZE_MAX; i++)
		cache->entries[i] = (struct tracee_entry){.pidfd = -1, .fd_dir = -1};
	noexec_table_init(&cache->noexec);
	return fd < 0 ? fd : pid_ns_ino(fd, &cache->own_pid_ns_ino);
}

int tracee_cache_new(struct tracee_cache **ret_cache)
{
	struct tracee_cache *cache = calloc(1, sizeof(*cache));

	if (!cache)
		return -ENOMEM;

	int r = cache_init(cache);

	if (r < 0) {
		tracee_cache_free(cache);
		return r;
	}
	*ret_cache = cache;
	return 0;
}

static void entry_forget(struct tracee_entry *entry)
{
	fd_close(entry->pidfd);
	fd_close(entry->fd_dir);
	*entry = (struct tracee_entry){.pidfd = -1, .fd_dir = -1};
}

struct tracee_cache *tracee_cache_free(struct tracee_cache *cache)
{
	if (!cache)
		return NULL;
	for (size_t i = 0; i < CACHE_SIZE_MAX; i++)
		entry_forget(&cache->entries[i]);
	noexec_table_done(&cache->noexec);
	free(cache);
	return NULL;
}

/* Puts a fresh pidfd of the thread into its slot. Returns 0 or -errno, -ESRCH when it is gone. */
static int entry_open(struct tracee_entry *entry, pid_t tid)
{
	entry_forget(entry);

	int fd = (int)syscall(SYS_pidfd_open, tid, COMPAT_PIDFD_THREAD);

	if (fd < 0)
		return -errno;
	entry->tid = tid;
	entry->pidfd = fd;
	return 0;
}

void tracee_cache_begin(struct tracee_cache *cache)
{
	cache->call++;
}

static struct tracee_entry *cache_slot(struct tracee_cache *cache, pid_t tid)
{
	return &cache->entries[(unsigned)tid % cache->size];
}

static int info_read(const struct tracee_entry *entry, struct tracee_ids *ret_ids)
{
	const uint64_t needed = COMPAT_PIDFD_INFO_PID | COMPAT_PIDFD_INFO_CREDS;
	struct compat_pidfd_info info = {.mask = needed};

	if (ioctl(entry->pidfd, COMPAT_PIDFD_GET_INFO, &info) < 0)
		return -errno;
	if ((info.mask & needed) != needed)
		return -ESRCH;
	*ret_ids = (struct tracee_ids){
		.pid = (pid_t)info.tgid,
		.uid = info.ruid,
		.fsuid = info.fsuid,
		.gid = info.rgid,
		.fsgid = info.fsgid,
	};
	return 0;
}

int tracee_ids(struct tracee_cache *cache, pid_t tid, struct tracee_ids *ret_ids)
{
	struct tracee_entry *entry = cache_slot(cache, tid);
	int r = -ESRCH;

	if (tid <= 0)
		return -ESRCH;
	if (cache->info_missing)
		return tracee_ids_from_proc(tid, ret_ids);

	if (entry->tid == tid)
		r = info_read(entry, ret_ids);
	/* ESRCH from what was remembered: the id has passed on to another task, or is free. */
	if (r == -ESRCH) {
		r = entry_open(entry, tid);
		if (r == -ESRCH)
			return r;
		if (r == 0)
			r = info_read(entry, ret_ids);
	}
	if (r == 0) {
		entry->seen = cache->call;
		return 0;
	}
	if (r == -ENOTTY || r == -EINVAL)
		cache->info_missing = true;
	/*
	 * Linux 6.13 and 6.14 say ESRCH of a living task too, when its parent is outside of our PID
	 * namespace: only /proc can tell.
	 */
	return tracee_ids_from_proc(tid, ret_ids);
}

/* Whether the entry is of the task that has this id now: a null signal finds no task otherwise. */
static bool entry_is_of(
	const struct tracee_cache *cache, const struct tracee_entry *entry, pid_t tid)
{
	if (entry->tid != tid)
		return false;
	if (cache->call && entry->seen == cache->call)
		return true;
	return syscall(SYS_pidfd_send_signal, entry->pidfd, 0, NULL, 0) == 0 || errno == EPERM;
}

/*
 * The inode number of the task's PID namespace, and, where it had to be opened to learn that, a
 * descriptor of it (else -1).
 */
static int cache_pid_ns(struct tracee_cache *cache, pid_t tid, ino_t *ret_ino, int *ret_fd)
{
	struct tracee_entry *entry = cache_slot(cache, tid);
	int r = entry_is_of(cache, entry, tid) ? 0 : entry_open(entry, tid);

	if (r == -ESRCH)
		return r;

	_cleanup_close_ int fd = -1;
	ino_t ino = entry->pid_ns_ino;

	if (!ino) {
		fd = pid_ns_open(entry->pidfd, tid);
		if (fd < 0)
			return fd;
		r = pid_ns_ino(fd, &ino);
		if (r < 0)
			return r;
		/* Without a pidfd nothing could prove later that this still holds. */
		if (entry->pidfd >= 0)
			entry->pid_ns_ino = ino;
	}
	*ret_ino = ino;
	*ret_fd = take_fd(&fd);
	return 0;
}

int tracee_memfd_noexec(struct tracee_cache *cache, pid_t tid, int *ret_scope)
{
	_cleanup_close_ int fd = -1;
	ino_t ino;

	if (tid <= 0)
		return -ESRCH;

	int r = cache_pid_ns(cache, tid, &ino, &fd);

	if (r < 0)
		return r;
	if (ino == cache->own_pid_ns_ino) {
		*ret_scope = -1;
		return 0;
	}
	if (noexec_table_find(&cache->noexec, ino, ret_scope))
		return 0;
	if (fd < 0)
		fd = pid_ns_open(cache_slot(cache, tid)->pidfd, tid);
	if (fd < 0)
		return fd;
	return noexec_table_read(&cache->noexec, take_fd(&fd), ino, ret_scope);
}

static int pidfd_copy(int pidfd, int fd)
{
	int copy = (int)syscall(SYS_pidfd_getfd, pidfd, fd, 0);

	return copy < 0 ? -errno : copy;
}

/*
 * Where only a process has a pidfd, it gives out descriptors of its leader. KCMP_FILES tells
 * whether the thread has the same table.
 */
static int leader_get_fd(pid_t tid, int fd)
{
	struct tracee_ids ids;
	int r = tracee_ids_from_proc(tid, &ids);

	if (r < 0)
		return r;

	_cleanup_close_ int pidfd = (int)syscall(SYS_pidfd_open, ids.pid, 0);

	if (pidfd < 0)
		return -errno;
	if (tid != ids.pid && syscall(SYS_kcmp, tid, ids.pid, KCMP_FILES, 0UL, 0UL) != 0)
		return -EPERM;
	return pidfd_copy(pidfd, fd);
}

int tracee_get_fd(struct tracee_cache *cache, pid_t tid, int fd)
{
	struct tracee_entry *entry = cache_slot(cache, tid);
	int r = -ESRCH;

	if (tid <= 0)
		return -ESRCH;
	/* Of a task that is gone nothing can be copied: success proves that it has the id still. */
	if (entry->tid == tid)
		r = pidfd_copy(entry->pidfd, fd);
	if (r != -ESRCH)
		return r;
	r = entry_open(entry, tid);
	if (r == -EINVAL)
		return leader_get_fd(tid, fd);
	return r < 0 ? r : pidfd_copy(entry->pidfd, fd);
}

/*
 * Without mask and sync a file system answers from what it has in memory; FUSE then says at least
 * which device it is, also to those whom it tells nothing else (fs/fuse/dir.c, fuse_getattr()).
 */
static int stat_unasked(int dir_fd, const char *path, int flags, struct stat *ret_st)
{
	struct statx x;

	if (statx(dir_fd, path, flags | AT_STATX_DONT_SYNC, 0, &x) < 0)
		return -errno;
	*ret_st = (struct stat){
		.st_dev = makedev(x.stx_dev_major, x.stx_dev_minor),
		.st_ino = x.stx_ino,
		.st_mode = x.stx_mode,
		.st_nlink = x.stx_nlink,
		.st_uid = x.stx_uid,
		.st_gid = x.stx_gid,
		.st_size = (off_t)x.stx_size,
		.st_blksize = (blksize_t)x.stx_blksize,
		.st_blocks = (blkcnt_t)x.stx_blocks,
	};
	return 0;
}

int tracee_stat_copy(int copy, struct stat *ret_st)
{
	return stat_unasked(copy, "", AT_EMPTY_PATH, ret_st);
}

/* Opens /proc/TID/fd. Returns it, or -errno. */
static int fd_dir_open(pid_t tid)
{
	char path[sizeof("/proc/2147483647/fd")];
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/fd", tid);
	fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fd >= 0)
		return fd;
	if (errno != ENOENT)
		return -errno;
	/* Gone, or hidden from us (proc(5), hidepid). */
	return kill(tid, 0) < 0 && errno == ESRCH ? -ESRCH : -EPERM;
}

int tracee_stat_fd(struct tracee_cache *cache, pid_t tid, int fd, struct stat *ret_st)
{
	struct tracee_entry *entry = cache_slot(cache, tid);
	char number[sizeof("-2147483648")];
	int r = -ENOENT;

	if (tid <= 0)
		return -ESRCH;
	snprintf(number, sizeof(number), "%d", fd);
	if (entry->tid == tid && entry->fd_dir >= 0)
		r = stat_unasked(entry->fd_dir, number, 0, ret_st);
	if (r != -ENOENT)
		return r;

	/* There is no such descriptor, or no such task any more, or nothing was opened yet. */
	if (!entry_is_of(cache, entry, tid)) {
		r = entry_open(entry, tid);
		if (r < 0 && r != -EINVAL)
			return r;
	}

	/* Without a pidfd nothing could prove later whose it is. */
	const bool kept = entry->pidfd >= 0;
	_cleanup_close_ int opened = -1;
	int dir = entry->fd_dir;

	if (dir < 0) {
		dir = opened = fd_dir_open(tid);
		if (dir < 0)
			return dir;
	}
	if (kept)
		entry->fd_dir = dir;
	r = stat_unasked(dir, number, 0, ret_st);
	if (kept)
		(void)take_fd(&opened);
	return r == -ENOENT ? -EBADF : r;
}
