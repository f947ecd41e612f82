/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/child.h"

#include <errno.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* All arguments are 0, so that their order on this machine doesn't matter. */
pid_t child_fork(void)
{
	return (pid_t)syscall(SYS_clone, 0L, 0L, 0L, 0L, 0L);
}

int child_wait(pid_t pid)
{
	while (waitpid(pid, NULL, __WCLONE) < 0)
		if (errno != EINTR)
			return -errno;
	return 0;
}

int child_end(pid_t pid)
{
	kill(pid, SIGKILL);
	return child_wait(pid);
}

static void fds_sort(int *fds, size_t count)
{
	for (size_t i = 1; i < count; i++) {
		const int fd = fds[i];
		size_t k = i;

		for (; k > 0 && fds[k - 1] > fd; k--)
			fds[k] = fds[k - 1];
		fds[k] = fd;
	}
}

int child_keep_fds(int *fds, size_t count)
{
	unsigned next = 0;

	fds_sort(fds, count);
	for (size_t i = 0; i < count; i++) {
		const unsigned fd = (unsigned)fds[i];

		if (fd > next && close_range(next, fd - 1, 0) < 0)
			return -errno;
		next = fd + 1;
	}
	return close_range(next, ~0U, 0) < 0 ? -errno : 0;
}
