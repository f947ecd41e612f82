/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/memfile.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/memfd.h"
#include "kernel/noexec.h"

/* mm/memfd.c: MFD_NAME_MAX_LEN */
#define MEMFD_NAME_MAX 249

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

/*
 * The vm.memfd_noexec to make the file by, or a negative number for none. A file that must never be
 * executable is one made under the strictest.
 */
static int request_scope(const struct memfile_request *request)
{
	return request->noexec ? MEMFD_NOEXEC_SCOPE_NOEXEC_ENFORCED : request->noexec_scope;
}

bool memfile_has_noexec_seal(void)
{
	return memfd_create_raw(NULL, MFD_NOEXEC_SEAL) == -EFAULT;
}

bool memfile_fits_tmpfs(const struct memfile_request *request)
{
	int scope = request_scope(request);

	if (request->flags & ~MFD_CLOEXEC || !request->name || !tmpfs_has_name(request->name))
		return false;
	if (request->noexec)
		return true;
	if (scope < 0 && noexec_own(&scope) < 0)
		return false;
	return scope < MEMFD_NOEXEC_SCOPE_NOEXEC_SEAL;
}

/* The kernel's errno for what the caller asked, or the one that says that this kernel can't. */
static int unsupported(const struct memfile_request *request)
{
	_cleanup_close_ int fd = memfd_create_raw(request->name, request->flags | MFD_CLOEXEC);

	return fd < 0 ? fd : -EOPNOTSUPP;
}

/* In the kernel's own memory. flags: with what the scope adds to them. */
static int kernel_create(const struct memfile_request *request, uint32_t flags)
{
	if (request->noexec && !memfile_has_noexec_seal())
		return unsupported(request);

	_cleanup_close_ int fd = memfd_create_raw(request->name, flags | MFD_CLOEXEC);

	if (fd < 0)
		return fd;
	/* MFD_NOEXEC_SEAL makes a file sealable. */
	if (request->noexec && !(request->flags & (MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL)) &&
		fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL) < 0)
		return -errno;
	return take_fd(&fd);
}

/* What the kernel has to say to these arguments: 0 or -errno. */
static int arguments_check(const struct memfile_request *request)
{
	/* What every kernel takes needs no asking. */
	if (request->name && strlen(request->name) <= MEMFD_NAME_MAX &&
		!(request->flags & ~(MFD_CLOEXEC | MFD_ALLOW_SEALING)))
		return 0;

	_cleanup_close_ int fd = memfd_create_raw(request->name, request->flags | MFD_CLOEXEC);

	return fd < 0 ? fd : 0;
}

/* For a file system without O_TMPFILE: a name that nobody else has, for a moment. */
static int named_create(int dir_fd)
{
	char name[sizeof(".fdwarden-") + 16];
	uint64_t random;
	int fd;

	do {
		if (getrandom(&random, sizeof(random), 0) != sizeof(random))
			return -EIO;
		snprintf(name, sizeof(name), ".fdwarden-%016" PRIx64, random);
		fd = openat(dir_fd, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	} while (fd < 0 && errno == EEXIST);
	if (fd < 0)
		return -errno;
	if (unlinkat(dir_fd, name, 0) < 0) {
		int r = -errno;

		close(fd);
		return r;
	}
	return fd;
}

/* O_EXCL: it can never be given a name (open(2)). */
static int disk_create(int dir_fd)
{
	int fd = openat(dir_fd, ".", O_TMPFILE | O_EXCL | O_RDWR | O_CLOEXEC, 0600);

	if (fd >= 0)
		return fd;
	return errno == EOPNOTSUPP || errno == EISDIR ? named_create(dir_fd) : -errno;
}

static bool disk_is_noexec(int dir_fd)
{
	struct statvfs fs;

	return fstatvfs(dir_fd, &fs) == 0 && fs.f_flag & ST_NOEXEC;
}

/*
 * On a tmpfs or a disk. A caller that asks for MFD_NOEXEC_SEAL itself gets a file without the
 * permission to execute it, and on a tmpfs no way to. What vm.memfd_noexec=2 or a policy forbids
 * must not be had by chmod(2) either.
 */
static int store_create(const struct memfile_request *request, uint32_t flags, bool strict)
{
	const bool noexec = flags & MFD_NOEXEC_SEAL;
	_cleanup_close_ int fd = -1;
	int r = arguments_check(request);

	if (r < 0)
		return r;
	if (request->tmpfs)
		fd = tmpfs_create(request->tmpfs, request->name, noexec);
	else if (strict && !disk_is_noexec(request->spill_dir_fd))
		fd = -EOPNOTSUPP;
	else
		fd = disk_create(request->spill_dir_fd);
	if (fd < 0)
		return fd;
	if ((noexec || !request->tmpfs) && fchmod(fd, noexec ? 0666 : 0777) < 0)
		return -errno;
	return take_fd(&fd);
}

int memfile_create(const struct memfile_request *request)
{
	const bool in_store =
		(request->tmpfs || request->spill_dir_fd >= 0) && !(request->flags & MFD_HUGETLB);
	int scope = request_scope(request);
	int r = 0;

	/* Ours is applied by the kernel, but only where it makes the file. */
	if (in_store && scope < 0)
		r = noexec_own(&scope);
	if (r < 0)
		return r;

	const uint32_t flags = noexec_apply(request->flags, scope);
	const bool strict = scope >= MEMFD_NOEXEC_SCOPE_NOEXEC_ENFORCED;

	if (strict && !(flags & MFD_NOEXEC_SEAL))
		return noexec_refuse(flags);

	_cleanup_close_ int fd =
		in_store ? store_create(request, flags, strict) : kernel_create(request, flags);

	if (fd < 0)
		return fd;
	if ((request->owner != (uid_t)-1 || request->group != (gid_t)-1) &&
		fchown(fd, request->owner, request->group) < 0)
		return -errno;
	return take_fd(&fd);
}
