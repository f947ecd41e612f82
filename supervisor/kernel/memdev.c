/* SPDX-License-Identifier: Apache-2.0 */

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "base/fd.h"
#include "base/memfd.h"
#include "kernel/memdev.h"

/* Huge pages of 64 KiB to 16 GiB: all that include/uapi/asm-generic/hugetlb_encode.h names. */
#define HUGE_SHIFT_MIN 16
#define HUGE_SHIFT_MAX 34

/* Takes the descriptor. Returns 0 or -errno, also of the call that should have made it. */
static int add(struct memdevs *devs, long made, enum memdev_kind kind)
{
	_cleanup_close_ int fd = (int)made;
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	if (devs->count == MEMDEV_MAX)
		return -E2BIG;
	devs->list[devs->count].dev = st.st_dev;
	devs->list[devs->count++].kind = kind;
	return 0;
}

static long make(uint32_t flags)
{
	return syscall(SYS_memfd_create, "fdwarden", MFD_CLOEXEC | flags);
}

int memdev_find(struct memdevs *ret_devs)
{
	struct memdevs devs = {0};
	int r = add(&devs, make(0), MEMDEV_MEMFD);

	if (r < 0)
		return r;
	/* A size that this machine does not have is ENODEV. */
	for (uint32_t shift = HUGE_SHIFT_MIN; shift <= HUGE_SHIFT_MAX; shift++) {
		r = add(&devs, make(MFD_HUGETLB | shift << MFD_HUGE_SHIFT), MEMDEV_HUGETLB);
		if (r == -EMFILE || r == -ENFILE || r == -ENOMEM)
			return r;
	}
	r = add(&devs, syscall(SYS_memfd_secret, (unsigned)O_CLOEXEC), MEMDEV_SECRET);
	if (r == -EMFILE || r == -ENFILE || r == -ENOMEM)
		return r;
	*ret_devs = devs;
	return 0;
}

enum memdev_kind memdev_kind(const struct memdevs *devs, uint64_t dev)
{
	for (unsigned i = 0; i < devs->count; i++)
		if (devs->list[i].dev == dev)
			return devs->list[i].kind;
	return MEMDEV_OTHER;
}
