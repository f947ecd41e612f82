/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Reads the task that waits in a system call: its memory and what /proc and a pidfd tell of it.
 *
 * Every function takes the thread id as the notification gave it; 0, for a task that is not visible
 * in our PID namespace, is -ESRCH everywhere. What it returns is true of that task only if the call
 * still waits afterwards (notify_valid(), or the answer itself succeeds): until then the task
 * cannot exec, exit or give its id away. Other threads of the same process can still change memory,
 * credentials stay the task's own.
 *
 * Rights: a task with other ids, or with capabilities that we lack, can be read with CAP_SYS_PTRACE
 * only (ptrace(2)); its PID namespace joined with CAP_SYS_ADMIN, its process killed with CAP_KILL,
 * its descriptors counted with CAP_DAC_READ_SEARCH.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

/* memfd_create(2): at most 249 bytes of name (mm/memfd.c, MFD_NAME_MAX_LEN). */
#define TRACEE_NAME_MAX 249

/* The name as the kernel would see it. */
struct tracee_name {
	size_t len;                      /* TRACEE_NAME_MAX + 1: too long, the kernel says EINVAL */
	char bytes[TRACEE_NAME_MAX + 2]; /* always ended by a NUL */
};

/*
 * Reads the NUL-ended string at address like strndup_user() in the kernel: at most TRACEE_NAME_MAX
 * + 1 bytes, stops at the NUL, so that what lies behind it need not be mapped. May block for as
 * long as the tenant likes when FUSE or userfaultfd serves the page: call it only in the tenant's
 * own thread. Returns 0, -EFAULT where the kernel would say EFAULT (and for memory that nobody but
 * its owner can read: memfd_secret(2), mappings of devices, or without PROT_READ), -ESRCH when the
 * task is gone, -EPERM without the right to trace it (ptrace(2), Yama included), or another -errno.
 */
int tracee_read_name(pid_t tid, uint64_t address, struct tracee_name *ret_name);

/* Who a task is, in the ids of the supervisor's user namespace. */
struct tracee_ids {
	pid_t pid; /* thread group id */
	uid_t uid, fsuid;
	gid_t gid, fsgid; /* real and file system ids; pid, uid and gid are what events show */
};

/*
 * Remembers pidfds of the tasks seen last, so that asking again about the same task costs one ioctl
 * (PIDFD_GET_INFO, Linux 6.13) instead of opening files in /proc, and what never changes in a
 * task's life (its PID namespace) is looked up once. A dead task's entry is noticed by that same
 * ioctl, whoever has its id now. Without pidfds of threads (Linux 6.9) nothing is remembered. Holds
 * at most 128 descriptors, and at most an eighth of RLIMIT_NOFILE. Belongs to one thread.
 */
struct tracee_cache;

/* Returns 0 or -errno. */
int tracee_cache_new(struct tracee_cache **ret_cache);
/* Takes NULL; returns NULL. */
struct tracee_cache *tracee_cache_free(struct tracee_cache *cache);

/*
 * Says that a new call has been received. What was seen of a task since then needs no second proof
 * that the task still has its id: the call's answer proves it for all of them. Optional; without it
 * each function proves it for itself.
 */
void tracee_cache_begin(struct tracee_cache *cache);

/* Returns 0, -ESRCH when the task is gone, or -errno. */
int tracee_ids(struct tracee_cache *cache, pid_t tid, struct tracee_ids *ret_ids);

/* The same from /proc/TID/status: on every kernel, without a cache, at ten times the price. */
int tracee_ids_from_proc(pid_t tid, struct tracee_ids *ret_ids);

/*
 * The vm.memfd_noexec that holds for the task: the strictest of its PID namespace and those above
 * (kernel/pid_sysctl.h). Stores -1 when the task is in the supervisor's own PID namespace, where
 * the kernel applies the same value to the supervisor's own call, or when the kernel has no such
 * setting (before Linux 6.3); else 0, 1 or 2, which may be NOEXEC_STALE_MS old (kernel/noexec.h).
 * Files with MFD_NOEXEC_SEAL are the same under every value, so nobody needs to ask for them.
 *
 * Returns 0, -ESRCH when the task is gone, or -errno where the value cannot be known (no right to
 * enter the namespace): 2, the strictest, is then the one answer that permits nothing too much.
 */
int tracee_memfd_noexec(struct tracee_cache *cache, pid_t tid, int *ret_scope);

/* TASK_COMM_LEN in the kernel. */
#define TRACEE_COMM_MAX 16

/* comm, ended by a NUL; any bytes. Returns 0 or -errno. */
int tracee_comm(pid_t tid, char ret_comm[static TRACEE_COMM_MAX]);

/* The path of /proc/TID/exe as we see it, NUL-ended. Returns 0, -ENAMETOOLONG, or -errno. */
int tracee_exe(pid_t tid, char *buf, size_t size);

/* The text of /proc/TID/cgroup, for kernel/cgroup to parse. Returns its length or -errno. */
ssize_t tracee_cgroup_text(pid_t tid, char *buf, size_t size);

/* 1 when the task has no free descriptor below its RLIMIT_NOFILE, else 0, or -errno. Slow. */
int tracee_fd_table_is_full(pid_t tid);

/*
 * Kills the task's whole process. id and listener name the waiting call: the signal goes through a
 * pidfd that was opened before the call was seen to wait still, so it can hit no other process that
 * got the same id since. Returns 0, -ESRCH when it was gone already, or -errno.
 */
int tracee_kill(pid_t tid, int listener, uint64_t id);

/*
 * A copy of one of the task's descriptors: the same open file (pidfd_getfd(2), Linux 5.6). Of the
 * task's own table, should it not share that of its process. Returns the copy (close-on-exec, owned
 * by the caller), -EBADF when the task has no such descriptor, -EPERM without the right to trace
 * it, -ESRCH when it is gone, or another -errno. Before Linux 6.9 it is -EPERM too for a thread
 * with a table of its own, as only that of the leader can be reached.
 *
 * A copy can be noticed: while it is open, an executable that was open for writing stays so, and
 * locks are held. Its close(2) may wait for a file system's server (FUSE, NFS).
 */
int tracee_get_fd(struct tracee_cache *cache, pid_t tid, int fd);

/*
 * Which file is behind one of the task's descriptors, without a copy of it and without asking its
 * file system's server: what only that knows is as last seen, or 0. Needs less than the right to
 * trace the task (PTRACE_MODE_READ), and /proc. Returns 0, -EBADF when the task has no such
 * descriptor, -ESRCH when it is gone, or another -errno when it cannot be found out.
 */
int tracee_stat_fd(struct tracee_cache *cache, pid_t tid, int fd, struct stat *ret_st);

/* The same of a descriptor of our own. Returns 0 or -errno. */
int tracee_stat_copy(int copy, struct stat *ret_st);

/*
 * The soft RLIMIT_FSIZE of the task's process in bytes, RLIM_INFINITY where there is none. Returns
 * 0 or -errno.
 */
int tracee_file_size_limit(pid_t tid, uint64_t *ret_bytes);

/*
 * Ends a call as the kernel ends one that would make a file larger than its caller's RLIMIT_FSIZE
 * (inode_newsize_ok() in fs/attr.c): with EFBIG, and SIGXFSZ for the calling thread. id and
 * listener name the call; wait_killable: its filter has WAIT_KILLABLE_RECV. Returns NOTIFY_OK,
 * NOTIFY_GONE or -errno (kernel/notify.h).
 */
int tracee_fail_file_size(pid_t tid, int listener, uint64_t id, bool wait_killable);
