/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/tracee.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/fd.h"

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

int tracee_read_name(pid_t tid, uint64_t address, struct tracee_name *ret_name)
{
	/* One byte more than a name may have, for its NUL or for the proof that it is too long. */
	const size_t wanted = TRACEE_NAME_MAX + 1;
	struct tracee_name name;

	_Static_assert(sizeof(name.bytes) == TRACEE_NAME_MAX + 2, "room for the final NUL");
	/* A 32-bit supervisor cannot name memory above its own reach. */
	if (address > UINTPTR_MAX)
		return -EOPNOTSUPP;

	ssize_t n = memory_read(tid, address, name.bytes, wanted);

	if (n < 0)
		return (int)n;

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
