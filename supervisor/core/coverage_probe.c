/* SPDX-License-Identifier: Apache-2.0 */

/* Finds out what this machine can do, by doing it. */

#include <fcntl.h>
#include <linux/capability.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/memfd.h"
#include "core/coverage.h"
#include "kernel/cgroup.h"
#include "kernel/cgroup_mount.h"
#include "kernel/fileid.h"
#include "kernel/memfile.h"
#include "kernel/secret.h"
#include "kernel/tmpfs.h"

static bool probe_handles(void)
{
	_cleanup_close_ int fd = memfd_create("", MFD_CLOEXEC);
	struct fileid id;
	struct stat st;

	return fd >= 0 && fileid_get(fd, &id) == 0 && fileid_stat(fd, &id, &st) == 0;
}

static bool probe_tmpfs(void)
{
	struct tmpfs *tmpfs;

	if (tmpfs_new(1, &tmpfs) < 0)
		return false;
	tmpfs_free(tmpfs);
	return true;
}

static bool probe_hugetlb(void)
{
	_cleanup_close_ int fd = memfd_create("", MFD_CLOEXEC | MFD_HUGETLB);

	return fd >= 0;
}

static bool probe_memfd_secret(void)
{
	_cleanup_close_ int fd = secret_create(0, geteuid(), getegid());

	return fd >= 0;
}

/* The sysctl and the privilege are checked before the arguments: a bad one makes no ring. */
static bool probe_io_uring(void)
{
	return syscall(SYS_io_uring_setup, 1, NULL) < 0 && errno == EFAULT;
}

static void probe_cgroup(bool *ret_visible, bool *ret_limited)
{
	struct cgroup_memory memory = {.headroom_bytes = CGROUP_UNLIMITED};
	struct cgroup_view *view = NULL;
	const char *path = NULL;
	char text[8192];
	size_t len;

	*ret_visible = cgroup_view_new(&view) == 0;
	if (*ret_visible && fd_read_file_at(AT_FDCWD, "/proc/self/cgroup", text, sizeof(text)) > 0)
		path = cgroup_view_path(view, text, &len);
	if (path)
		(void)cgroup_view_measure(view, path, len, &memory);
	*ret_limited = memory.headroom_bytes != CGROUP_UNLIMITED;
	cgroup_view_free(view);
}

/* The group itself is a tenant's, and there is none yet: whether there could be one of ours. */
static bool probe_freezer(void)
{
	static const char *const controllers[] = {CGROUP_FREEZER, CGROUP_V2};

	for (size_t i = 0; i < ARRAY_SIZE(controllers); i++) {
		_cleanup_cgroup_mount_ struct cgroup_mount mount = CGROUP_MOUNT_NONE;

		if (cgroup_mount_find(controllers[i], &mount) == 0 &&
			faccessat(mount.dir_fd, ".", W_OK, AT_EACCESS) == 0)
			return true;
	}
	return false;
}

static bool has_capability(const struct __user_cap_data_struct *data, unsigned capability)
{
	return data[CAP_TO_INDEX(capability)].effective & CAP_TO_MASK(capability);
}

static void probe_capabilities(struct coverage_machine *machine)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {0};

	/* Cannot fail with these arguments; if it did, none would be taken to be there. */
	(void)syscall(SYS_capget, &header, data);
	machine->root = has_capability(data, CAP_SYS_PTRACE);
	machine->raises_limits = has_capability(data, CAP_SYS_RESOURCE);
	machine->locks_memory = has_capability(data, CAP_IPC_LOCK);
}

void coverage_probe(struct coverage_machine *ret_machine)
{
	struct coverage_machine machine = {
		.handles = probe_handles(),
		.tmpfs = probe_tmpfs(),
		.noexec_seal = memfile_has_noexec_seal(),
		.memfd_secret = probe_memfd_secret(),
		.hugetlb = probe_hugetlb(),
		.io_uring = probe_io_uring(),
		.freezer = probe_freezer(),
	};

	probe_cgroup(&machine.cgroup, &machine.cgroup_limit);
	probe_capabilities(&machine);
	*ret_machine = machine;
}
