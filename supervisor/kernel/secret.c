/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/secret.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/memfd.h"

int secret_create(uint32_t flags, uid_t owner, gid_t group)
{
	_cleanup_close_ int fd = (int)syscall(SYS_memfd_secret, flags | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	if ((owner != geteuid() || group != getegid()) && fchown(fd, owner, group) < 0)
		return -errno;
	return take_fd(&fd);
}
