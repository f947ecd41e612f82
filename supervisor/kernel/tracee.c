/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/tracee.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/text.h"
#include "base/file.h"
#include "kernel/compat.h"
#include "kernel/notify.h"

/* The smallest page of any Linux machine: where pages are larger, splitting here does no harm. */
#define PAGE_BORDER UINT64_C(4096)

/* "/proc/" + pid + "/" + the longest file name used here. */
#define PROC_PATH_MAX 48

static void proc_path(char buf[static PROC_PATH_MAX], pid_t tid, const char *file)
{
	snprintf(buf, PROC_PATH_MAX, "/proc/%d/%s", tid, file);
}

/* What /proc says of a task that has gone, in the words of the other interfaces. */
static int proc_error(int error)
{
	return error == -ENOENT ? -ESRCH : error;
}

/*
 * Copies at most size bytes of the task's memory, as far as it can be read. A remote vector that
 * faults ends the copy there and what came before it counts (process_vm_readv(2)), so one vector
 * for each page lets a name end just before memory that is not mapped. One system call.
 */
static ssize_t memory_read(pid_t tid, uint64_t address, void *buf, size_t size)
{
	const uint64_t border = (address | (PAGE_BORDER - 1)) + 1;
	const size_t head = border - address < size ? (size_t)(border - address) : size;
	const struct iovec local = {.iov_base = buf, .iov_len = size};
	const struct iovec remote[] = {
		{.iov_base = (void *)(uintptr_t)address, .iov_len = head},
		{.iov_base = (void *)(uintptr_t)border, .iov_len = size - head},
	};
	ssize_t n = process_vm_readv(tid, &local, 1, remote, head < size ? 2 : 1, 0);

	return n < 0 ? -errno : n;
}

/*
 * Whether memory that is mapped for execution only can be read on this machine, which the kernel's
 * copy from a caller asks nobody but the hardware (protection keys on x86, PAN on arm64).
 */
static bool exec_only_is_readable(void)
{
	char *page = mmap(NULL, PAGE_BORDER, PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	bool readable;

	if (page == MAP_FAILED)
		return false;
	/* The empty path: ENOENT where the kernel can read it. */
	readable = access(page, F_OK) == 0 || errno != EFAULT;
	munmap(page, PAGE_BORDER);
	return readable;
}

/* Whether the task itself could read the byte at address, by its mapping's protection. */
static bool mapping_is_readable(pid_t tid, uint64_t address)
{
	char path[PROC_PATH_MAX];
	char protection[5] = "";
	uint64_t start, end = 0;

	proc_path(path, tid, "maps");

	_cleanup_fclose_ FILE *maps = fopen(path, "re");

	while (maps && address >= end)
		if (fscanf(maps, "%" SCNx64 "-%" SCNx64 " %4s%*[^\n]", &start, &end, protection) !=
			3)
			break;
	if (address >= end || address < start)
		return false;
	return protection[0] == 'r' || protection[1] == 'w' ||
	       (protection[2] == 'x' && exec_only_is_readable());
}

/*
 * Goes on where process_vm_readv(2) stopped for want of PROT_READ: a mapping that is only writable
 * is readable all the same to the hardware, and so to the kernel's copy of the name. /proc/TID/mem
 * reads whatever is mapped, so the protection is looked at first. The mapping may change in
 * between: then we judge other bytes than we might have, but the bytes that we judge are the bytes
 * that we use.
 */
static size_t memory_read_on(pid_t tid, uint64_t address, char *buf, size_t got, size_t size)
{
	char path[PROC_PATH_MAX];
	_cleanup_close_ int mem = -1;

	proc_path(path, tid, "mem");
	mem = open(path, O_RDONLY | O_CLOEXEC);
	while (mem >= 0 && got < size && !memchr(buf, '\0', got)) {
		uint64_t at = address + got;
		size_t in_page = (size_t)(PAGE_BORDER - at % PAGE_BORDER);
		ssize_t n;

		if (!mapping_is_readable(tid, at))
			break;
		n = pread(mem, buf + got, in_page < size - got ? in_page : size - got, (off_t)at);
		if (n <= 0)
			break;
		got += (size_t)n;
	}
	return got;
}

int tracee_read_name(pid_t tid, uint64_t address, struct tracee_name *ret_name)
{
	/* One byte more than a name may have, for its NUL or for the proof that it is too long. */
	const size_t wanted = TRACEE_NAME_MAX + 1;
	struct tracee_name name;

	_Static_assert(sizeof(name.bytes) == TRACEE_NAME_MAX + 2, "room for the final NUL");
	if (tid <= 0)
		return -ESRCH;
	/* A 32-bit supervisor cannot name memory above its own reach. */
	if (address > UINTPTR_MAX)
		return -EOPNOTSUPP;

	ssize_t n = memory_read(tid, address, name.bytes, wanted);

	if (n < 0 && n != -EFAULT)
		return (int)n;
	if (n < 0)
		n = 0;
	if ((size_t)n < wanted && !memchr(name.bytes, '\0', (size_t)n))
		n = (ssize_t)memory_read_on(tid, address, name.bytes, (size_t)n, wanted);

	name.len = strnlen(name.bytes, (size_t)n);
	/* No NUL, and not enough bytes to call it too long: the kernel would have faulted here. */
	if (name.len == (size_t)n && (size_t)n < wanted)
		return -EFAULT;
	name.bytes[name.len] = '\0';
	ret_name->len = name.len;
	memcpy(ret_name->bytes, name.bytes, name.len + 1);
	return 0;
}

int tracee_comm(pid_t tid, char ret_comm[static TRACEE_COMM_MAX])
{
	char path[PROC_PATH_MAX];
	char text[TRACEE_COMM_MAX + 2]; /* the file adds a newline */

	proc_path(path, tid, "comm");

	ssize_t n = fd_read_file_at(AT_FDCWD, path, text, sizeof(text));

	if (n < 0)
		return proc_error((int)n);
	/* comm may hold newlines of its own: only the last one was added. */
	if (n > 0 && text[n - 1] == '\n')
		n--;
	if (n >= TRACEE_COMM_MAX)
		n = TRACEE_COMM_MAX - 1;
	memcpy(ret_comm, text, (size_t)n);
	ret_comm[n] = '\0';
	return 0;
}

int tracee_exe(pid_t tid, char *buf, size_t size)
{
	char path[PROC_PATH_MAX];

	proc_path(path, tid, "exe");

	ssize_t n = readlink(path, buf, size);

	if (n < 0)
		return proc_error(-errno);
	if ((size_t)n >= size)
		return -ENAMETOOLONG;
	buf[n] = '\0';
	return 0;
}

ssize_t tracee_cgroup_text(pid_t tid, char *buf, size_t size)
{
	char path[PROC_PATH_MAX];

	proc_path(path, tid, "cgroup");

	ssize_t n = fd_read_file_at(AT_FDCWD, path, buf, size);

	return n < 0 ? proc_error((int)n) : n;
}

/* The text of /proc/TID/status; a name in it is escaped, so lines are lines. */
static int status_parse(const char *text, struct tracee_ids *ret_ids)
{
	const char *tgid = text_after(text, "\nTgid:\t");
	const char *uids = text_after(text, "\nUid:\t");
	const char *gids = text_after(text, "\nGid:\t");
	struct tracee_ids ids;

	if (!tgid || !uids || !gids)
		return -EBADMSG;
	if (sscanf(tgid, "%d", &ids.pid) != 1 ||
		sscanf(uids, "%u %*u %*u %u", &ids.uid, &ids.fsuid) != 2 ||
		sscanf(gids, "%u %*u %*u %u", &ids.gid, &ids.fsgid) != 2)
		return -EBADMSG;
	*ret_ids = ids;
	return 0;
}

int tracee_ids_from_proc(pid_t tid, struct tracee_ids *ret_ids)
{
	char path[PROC_PATH_MAX];
	/* The ids stand in the first few hundred bytes; the rest may be long (groups). */
	char text[1024];

	proc_path(path, tid, "status");

	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return proc_error(-errno);

	ssize_t n = read(fd, text, sizeof(text) - 1);

	if (n < 0)
		return -errno;
	text[n] = '\0';
	return status_parse(text, ret_ids);
}

/* One of the soft limits in /proc/TID/limits, which everybody may read. */
static int limit_from_proc(pid_t tid, const char *key, uint64_t *ret_limit)
{
	char path[PROC_PATH_MAX];
	char text[4096];

	proc_path(path, tid, "limits");

	ssize_t n = fd_read_file_at(AT_FDCWD, path, text, sizeof(text));

	if (n < 0)
		return proc_error((int)n);

	const char *value = text_after(text, key);

	if (!value)
		return -EBADMSG;
	value += strspn(value, " ");
	if (strncmp(value, "unlimited", strlen("unlimited")) == 0)
		*ret_limit = RLIM_INFINITY;
	else if (sscanf(value, "%" SCNu64, ret_limit) != 1)
		return -EBADMSG;
	return 0;
}

/*
 * The kernel gives out the lowest free number, and fails when that is not below the limit. The
 * directory lists the numbers in order, so the first gap ends the search.
 */
int tracee_fd_table_is_full(pid_t tid)
{
	char path[PROC_PATH_MAX];
	uint64_t limit, next = 0;
	int r = limit_from_proc(tid, "\nMax open files", &limit);

	if (r < 0)
		return r;
	proc_path(path, tid, "fd");

	_cleanup_closedir_ DIR *dir = opendir(path);

	if (!dir)
		return proc_error(-errno);
	while (next < limit) {
		errno = 0;

		const struct dirent *entry = readdir(dir);

		if (!entry)
			return errno ? -errno : 0;
		if (entry->d_name[0] == '.')
			continue;
		if (strtoul(entry->d_name, NULL, 10) != next)
			return 0;
		next++;
	}
	return 1;
}

int tracee_file_size_limit(pid_t tid, uint64_t *ret_bytes)
{
	struct rlimit limit;

	if (tid <= 0)
		return -ESRCH;
	/* Needs the same uids or CAP_SYS_RESOURCE. */
	if (prlimit(tid, RLIMIT_FSIZE, NULL, &limit) < 0)
		return limit_from_proc(tid, "\nMax file size", ret_bytes);
	*ret_bytes = limit.rlim_cur;
	return 0;
}

/* A pidfd by which the whole process can be killed. */
static int process_open(pid_t tid)
{
	int fd = (int)syscall(SYS_pidfd_open, tid, COMPAT_PIDFD_THREAD);
	struct tracee_ids ids;

	if (fd >= 0)
		return fd;
	if (errno != EINVAL)
		return -errno;

	/*
	 * Before Linux 6.9 only the leader can be opened. Its id is not reused while a thread of
	 * the group lives, and that the waiting thread did so is what the caller checks next.
	 */
	int r = tracee_ids_from_proc(tid, &ids);

	if (r < 0)
		return r;
	fd = (int)syscall(SYS_pidfd_open, ids.pid, 0);
	return fd < 0 ? -errno : fd;
}

int tracee_kill(pid_t tid, int listener, uint64_t id)
{
	_cleanup_close_ int fd = process_open(tid);

	if (fd < 0)
		return fd;

	int r = notify_valid(listener, id);

	if (r != NOTIFY_OK)
		return r == NOTIFY_GONE ? -ESRCH : r;
	/* SIGKILL ends the whole thread group, whichever thread it is sent to (signal(7)). */
	return syscall(SYS_pidfd_send_signal, fd, SIGKILL, NULL, 0) < 0 ? -errno : 0;
}

/* One thread, by its pidfd where it can have one (Linux 6.9), else by its numbers. */
static void thread_signal(int pidfd, pid_t pid, pid_t tid, int signo)
{
	if (pidfd >= 0)
		(void)syscall(SYS_pidfd_send_signal, pidfd, signo, NULL, 0);
	else
		(void)syscall(SYS_tgkill, pid, tid, signo);
}

/*
 * Natively the signal is there when the call returns. Where the caller waits for our answer with
 * only a kill to disturb it, the signal goes first and so is there as well. Elsewhere it would
 * break the call off, which would be made again, and again: there it comes a moment after. Numbers
 * instead of a pidfd can then hit another thread of the same process at worst, as long as its ids
 * do not pass on to another process in that moment.
 */
int tracee_fail_file_size(pid_t tid, int listener, uint64_t id, bool wait_killable)
{
	_cleanup_close_ int pidfd = (int)syscall(SYS_pidfd_open, tid, COMPAT_PIDFD_THREAD);
	struct tracee_ids ids = {0};
	int r;

	if (pidfd < 0)
		(void)tracee_ids_from_proc(tid, &ids);
	/* What was opened or read before is the caller's. */
	r = notify_valid(listener, id);
	if (r != NOTIFY_OK)
		return r;
	if (wait_killable)
		thread_signal(pidfd, ids.pid, tid, SIGXFSZ);
	r = notify_fail(listener, id, EFBIG);
	if (!wait_killable && r == NOTIFY_OK)
		thread_signal(pidfd, ids.pid, tid, SIGXFSZ);
	return r;
}
