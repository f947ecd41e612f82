/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/memfile.h"

#include <errno.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/memfd.h"

/* Not through glibc, whose wrapper may one day check arguments itself. */
static int memfd_create_raw(const char *name, uint32_t flags)
{
	long fd = syscall(SYS_memfd_create, name, flags);

	return fd < 0 ? -errno : (int)fd;
}

/*
 * What check_sysctl_memfd_noexec() in mm/memfd.c does in the caller's PID namespace. Bits that the
 * kernel knows are only ever added, so flags it refuses stay refused.
 */
static uint32_t noexec_apply(uint32_t flags, int scope)
{
	if (scope < MEMFD_NOEXEC_SCOPE_EXEC || flags & (MFD_EXEC | MFD_NOEXEC_SEAL))
		return flags;
	return flags | (scope >= MEMFD_NOEXEC_SCOPE_NOEXEC_SEAL ? MFD_NOEXEC_SEAL : MFD_EXEC);
}

/*
 * The kernel judges the flags, then the sysctl, then the name. So the flags are shown to it with no
 * name: whatever it says before it misses the name (EFAULT) comes ahead of the sysctl's EACCES.
 */
static int noexec_refuse(uint32_t flags)
{
	int r = memfd_create_raw(NULL, flags);

	return r == -EFAULT ? -EACCES : r;
}

int memfile_create(const struct memfile_request *request)
{
	const uint32_t flags = noexec_apply(request->flags, request->noexec_scope);

	if (request->noexec_scope >= MEMFD_NOEXEC_SCOPE_NOEXEC_ENFORCED &&
		!(flags & MFD_NOEXEC_SEAL))
		return noexec_refuse(flags);

	_cleanup_close_ int fd = memfd_create_raw(request->name, flags | MFD_CLOEXEC);

	if (fd < 0)
		return fd;

	if ((request->owner != (uid_t)-1 || request->group != (gid_t)-1) &&
		fchown(fd, request->owner, request->group) < 0)
		return -errno;
	return take_fd(&fd);
}
