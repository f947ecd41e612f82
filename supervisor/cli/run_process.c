/* SPDX-License-Identifier: Apache-2.0 */

/* What the processes of `fdwarden run` have in common. */

#include <cap-ng.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/file.h"
#include "cli/cli.h"
#include "cli/run.h"

void run_forward(pid_t pid, const struct run_signal *signal)
{
	if (signal->queued)
		(void)sigqueue(pid, signal->signo, signal->value);
	else
		(void)kill(pid, signal->signo);
}

int run_exit_status(const siginfo_t *info)
{
	return info->si_code == CLD_EXITED ? info->si_status : EXIT_SIGNALLED + info->si_status;
}

int run_keep_capabilities(const int *kept)
{
	uint64_t had = 0;

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return -errno;
	if (capng_get_caps_process() < 0)
		return -EPERM;
	for (size_t i = 0; kept[i] >= 0; i++)
		had |= (uint64_t)capng_have_capability(CAPNG_EFFECTIVE, (unsigned)kept[i])
		       << kept[i];
	capng_clear(CAPNG_SELECT_CAPS);
	for (size_t i = 0; kept[i] >= 0; i++)
		if (had >> kept[i] & 1)
			capng_update(
				CAPNG_ADD, CAPNG_EFFECTIVE | CAPNG_PERMITTED, (unsigned)kept[i]);
	return capng_apply(CAPNG_SELECT_CAPS) < 0 ? -EPERM : 0;
}

/* An image may have nothing in it, not even /dev/null; an empty memfd reads the same. */
static int open_null(void)
{
	int fd = open("/dev/null", O_RDWR | O_CLOEXEC);

	return fd >= 0 ? fd : memfd_create("null", MFD_CLOEXEC);
}

/* All of our own are close-on-exec from birth, so what is not came from whoever started us. */
static int close_inherited(void)
{
	_cleanup_closedir_ DIR *dir = opendir("/proc/self/fd");
	const struct dirent *entry;

	if (!dir)
		return -errno;
	while ((entry = readdir(dir))) {
		int fd = atoi(entry->d_name);
		int flags = fd > STDERR_FILENO ? fcntl(fd, F_GETFD) : -1;

		if (flags >= 0 && !(flags & FD_CLOEXEC))
			fd_close(fd);
	}
	return 0;
}

static int replace_with_null(int first, int last)
{
	_cleanup_close_ int null = open_null();

	if (null < 0)
		return -errno;
	for (int fd = first; fd <= last; fd++)
		if (dup2(null, fd) < 0)
			return -errno;
	return 0;
}

int run_release_descriptors(void)
{
	int r = replace_with_null(STDIN_FILENO, STDOUT_FILENO);

	return r < 0 ? r : close_inherited();
}

int run_release_stderr(void)
{
	return replace_with_null(STDERR_FILENO, STDERR_FILENO);
}
