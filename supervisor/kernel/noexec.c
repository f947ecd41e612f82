/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/noexec.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/nsfs.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "kernel/child.h"
#include "kernel/compat.h"

#define SYSCTL_DIR  "/proc/sys/vm"
#define SYSCTL_PATH SYSCTL_DIR "/memfd_noexec"

/* Two forks and a read take less than a millisecond; on a machine that swaps, longer. */
#define READ_TIMEOUT_MS 2000

void noexec_table_init(struct noexec_table *table)
{
	for (size_t i = 0; i < ARRAY_SIZE(table->slots); i++)
		table->slots[i] = (struct noexec_namespace){.fd = -1};
}

void noexec_table_done(struct noexec_table *table)
{
	for (size_t i = 0; i < ARRAY_SIZE(table->slots); i++)
		table->slots[i].fd = fd_close(table->slots[i].fd);
}

static struct noexec_namespace *noexec_slot(struct noexec_table *table, ino_t ino)
{
	return &table->slots[ino % ARRAY_SIZE(table->slots)];
}

bool noexec_table_find(struct noexec_table *table, ino_t ino, int *ret_scope)
{
	const struct noexec_namespace *slot = noexec_slot(table, ino);

	if (slot->fd < 0 || slot->ino != ino)
		return false;
	if (clock_now_ns(CLOCK_MONOTONIC) - slot->read_ns > NOEXEC_STALE_MS * NSEC_PER_MSEC)
		return false;
	*ret_scope = slot->scope;
	return true;
}

/* The answer of the child: what it read, or -errno. Small enough that a pipe takes it whole. */
struct answer {
	int error;
	int scope;
};

/* What a member of the namespace sees. */
static struct answer sysctl_read(void)
{
	char text[8];
	ssize_t n = fd_read_file_at(AT_FDCWD, SYSCTL_PATH, text, sizeof(text));

	/* An older kernel has no such file; without /proc there is nothing to learn. */
	if (n == -ENOENT && access(SYSCTL_DIR, F_OK) == 0)
		return (struct answer){.scope = -1};
	if (n < 0)
		return (struct answer){.error = (int)n};
	if (n < 1 || text[0] < '0' || text[0] > '2')
		return (struct answer){.error = -EBADMSG};
	return (struct answer){.scope = text[0] - '0'};
}

/*
 * When it was read last, in milliseconds, times 4, and the scope plus 1: one word, so that threads
 * that read it at the same time get both or neither. It is the kernel's state, not ours.
 */
static _Atomic uint64_t own_last;

int noexec_own(int *ret_scope)
{
	const uint64_t now_ms = clock_now_ns(CLOCK_MONOTONIC) / NSEC_PER_MSEC;
	const uint64_t last = own_last;

	if (last != 0 && now_ms - last / 4 <= NOEXEC_STALE_MS) {
		*ret_scope = (int)(last % 4) - 1;
		return 0;
	}

	const struct answer answer = sysctl_read();

	if (answer.error < 0)
		return answer.error;
	own_last = now_ms * 4 + (uint64_t)(answer.scope + 1);
	*ret_scope = answer.scope;
	return 0;
}

/* Makes the children of this process members of the namespace. */
static int namespace_join(int pid_ns_fd)
{
	if (setns(pid_ns_fd, CLONE_NEWPID) == 0)
		return 0;
	if (errno != EPERM)
		return -errno;

	/* Who owns the user namespace has every right in it, once there (user_namespaces(7)). */
	_cleanup_close_ int user_ns_fd = ioctl(pid_ns_fd, NS_GET_USERNS);

	if (user_ns_fd < 0 || setns(user_ns_fd, CLONE_NEWUSER) < 0 ||
		setns(pid_ns_fd, CLONE_NEWPID) < 0)
		return -EPERM;
	return 0;
}

/* The member: reads, answers, and is gone. Root in there may stop it, but not read its memory. */
_Noreturn static void member_main(int pipe_fd)
{
	struct answer answer = {0};

	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
		answer.error = -errno;
	else
		answer = sysctl_read();
	_exit(fd_write_all(pipe_fd, &answer, sizeof(answer)) < 0);
}

/*
 * Runs in a fork of a process that may have threads, so only system calls from here on. It is not
 * dumpable, and its memory belongs to our own user namespace: root of the tenant's cannot trace the
 * copy of the supervisor that walks in there (ptrace(2), PTRACE_MODE_ATTACH).
 */
_Noreturn static void reader_main(int pid_ns_fd, int pipe_fd)
{
	int kept[] = {pid_ns_fd, pipe_fd};
	struct answer answer = {.error = child_keep_fds(kept, ARRAY_SIZE(kept))};

	if (answer.error == 0 && prctl(PR_SET_DUMPABLE, 0L, 0L, 0L, 0L) < 0)
		answer.error = -errno;
	if (answer.error == 0)
		answer.error = namespace_join(pid_ns_fd);
	if (answer.error == 0) {
		/* Only children become members. We reap it, not the tenant's init. */
		pid_t pid = child_fork();

		if (pid == 0)
			member_main(pipe_fd);
		if (pid > 0)
			_exit(child_wait(pid) < 0);
		answer.error = -errno;
	}
	_exit(fd_write_all(pipe_fd, &answer, sizeof(answer)) < 0);
}

/* Reads the answer, and on until both processes have closed the pipe by ending. */
static struct answer answer_wait(int pipe_fd)
{
	const uint64_t end_ns = clock_now_ns(CLOCK_MONOTONIC) + READ_TIMEOUT_MS * NSEC_PER_MSEC;
	struct answer answer = {.error = -ETIMEDOUT};

	for (;;) {
		const uint64_t now_ns = clock_now_ns(CLOCK_MONOTONIC);
		struct pollfd p = {.fd = pipe_fd, .events = POLLIN};

		if (now_ns >= end_ns)
			return answer;
		if (poll(&p, 1, (int)((end_ns - now_ns) / NSEC_PER_MSEC) + 1) < 0) {
			if (errno == EINTR)
				continue;
			return (struct answer){.error = -errno};
		}
		if (!p.revents)
			continue;

		struct answer read_now;
		ssize_t n = read(pipe_fd, &read_now, sizeof(read_now));

		if (n != sizeof(read_now))
			return answer;
		answer = read_now;
	}
}

static struct answer namespace_read(int pid_ns_fd)
{
	_cleanup_close_ int read_fd = -1;
	_cleanup_close_ int write_fd = -1;
	int fds[2];

	if (pipe2(fds, O_CLOEXEC) < 0)
		return (struct answer){.error = -errno};
	read_fd = fds[0];
	write_fd = fds[1];

	pid_t pid = child_fork();

	if (pid < 0)
		return (struct answer){.error = -errno};
	if (pid == 0)
		reader_main(pid_ns_fd, write_fd);
	write_fd = fd_close(write_fd);

	struct answer answer = answer_wait(read_fd);

	/* It has ended, or somebody holds it up. */
	int r = child_end(pid);

	if (r < 0)
		return (struct answer){.error = r};
	return answer;
}

int noexec_table_read(struct noexec_table *table, int pid_ns_fd, ino_t ino, int *ret_scope)
{
	_cleanup_close_ int fd = pid_ns_fd;
	const struct answer answer = namespace_read(fd);

	if (answer.error < 0)
		return answer.error;

	struct noexec_namespace *slot = noexec_slot(table, ino);

	fd_close(slot->fd);
	*slot = (struct noexec_namespace){
		.ino = ino,
		.fd = take_fd(&fd),
		.scope = answer.scope,
		.read_ns = clock_now_ns(CLOCK_MONOTONIC),
	};
	*ret_scope = answer.scope;
	return 0;
}
