/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/cgroup_hugetlb.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/memfd.h"
#include "base/text.h"
#include "kernel/cgroup.h"
#include "kernel/cgroup_level.h"
#include "kernel/process.h"

#define POOLS "/sys/kernel/mm/hugepages"

#define KIB UINT64_C(1024)

/* The size of the pages that are had without asking for a size. */
static int default_page_read(uint64_t *ret_bytes)
{
	char text[8192];
	ssize_t n = fd_read_file_at(AT_FDCWD, "/proc/meminfo", text, sizeof(text));
	const char *kib = n > 0 ? text_after(text, "\nHugepagesize:") : NULL;

	if (n < 0)
		return (int)n;
	if (!kib)
		return -ENODEV; /* a kernel without huge pages */
	*ret_bytes = strtoull(kib, NULL, 10) * KIB;
	return 0;
}

static int pool_read(uint64_t page_bytes, uint64_t *ret_bytes)
{
	static const char *const names[] = {
		"free_hugepages", "resv_hugepages", "nr_overcommit_hugepages", "surplus_hugepages"};
	uint64_t counts[ARRAY_SIZE(names)];
	char path[sizeof(POOLS) + 64];

	*ret_bytes = CGROUP_UNLIMITED;
	if (access(POOLS, F_OK) < 0)
		return 0;
	snprintf(path, sizeof(path), POOLS "/hugepages-%" PRIu64 "kB", page_bytes / KIB);

	_cleanup_close_ int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return errno == ENOENT ? -ENODEV : -errno;
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		int r = cgroup_level_read(fd, names[i], &counts[i]);

		if (r < 0)
			return r;
	}
	/* Each is read by itself, so a difference may come out negative. */
	*ret_bytes = ((counts[0] > counts[1] ? counts[0] - counts[1] : 0) +
			     (counts[2] > counts[3] ? counts[2] - counts[3] : 0)) *
		     page_bytes;
	return 0;
}

/* "2MB", as in the names of the controller's files (mm/hugetlb_cgroup.c, mem_fmt()). */
static void page_name(uint64_t page_bytes, char *buf, size_t size)
{
	if (page_bytes >= KIB * KIB * KIB)
		snprintf(buf, size, "%" PRIu64 "GB", page_bytes / (KIB * KIB * KIB));
	else if (page_bytes >= KIB * KIB)
		snprintf(buf, size, "%" PRIu64 "MB", page_bytes / (KIB * KIB));
	else
		snprintf(buf, size, "%" PRIu64 "KB", page_bytes / KIB);
}

struct measure {
	bool v2;
	char page[24];
	uint64_t bytes; /* the smallest so far */
};

/* kind: "" for what is used, "rsvd." for what is reserved. */
static uint64_t level_read(const struct measure *measure, int dir_fd, const char *kind)
{
	char limit[64], usage[64];
	const struct cgroup_level_files files = {.limit = limit, .usage = usage};

	snprintf(limit, sizeof(limit), "hugetlb.%s.%s%s", measure->page, kind,
		measure->v2 ? "max" : "limit_in_bytes");
	snprintf(usage, sizeof(usage), "hugetlb.%s.%s%s", measure->page, kind,
		measure->v2 ? "current" : "usage_in_bytes");
	return cgroup_level_headroom(dir_fd, &files, NULL);
}

static void level_measure(int dir_fd, void *userdata)
{
	struct measure *measure = userdata;
	uint64_t used = level_read(measure, dir_fd, "");
	uint64_t reserved = level_read(measure, dir_fd, "rsvd.");

	if (used < measure->bytes)
		measure->bytes = used;
	if (reserved < measure->bytes)
		measure->bytes = reserved;
}

static int cgroup_read(int proc_fd, uint64_t page_bytes, uint64_t *ret_bytes)
{
	_cleanup_cgroup_mount_ struct cgroup_mount mount = CGROUP_MOUNT_NONE;
	struct measure measure = {.bytes = CGROUP_UNLIMITED};
	int r = cgroup_mount_find(CGROUP_HUGETLB, &mount);

	*ret_bytes = CGROUP_UNLIMITED;
	if (r < 0)
		return r == -ENODEV ? 0 : r;
	measure.v2 = mount.v2;
	page_name(page_bytes, measure.page, sizeof(measure.page));
	r = cgroup_level_each(&mount, proc_fd, level_measure, &measure);
	if (r < 0)
		return r == -ENOENT ? 0 : r;
	*ret_bytes = measure.bytes;
	return 0;
}

int hugetlb_headroom(pid_t tid, uint32_t flags, struct hugetlb_room *ret_room)
{
	unsigned shift = flags >> MFD_HUGE_SHIFT & MFD_HUGE_MASK;
	struct hugetlb_room room = {.page_bytes = UINT64_C(1) << shift};
	_cleanup_close_ int proc_fd = process_open_dir(tid);
	int r = proc_fd < 0 ? proc_fd : 0;

	if (r == 0 && shift == 0)
		r = default_page_read(&room.page_bytes);
	if (r == 0)
		r = pool_read(room.page_bytes, &room.pool_bytes);
	if (r == 0)
		r = cgroup_read(proc_fd, room.page_bytes, &room.cgroup_bytes);
	if (r == 0)
		*ret_room = room;
	return r;
}
