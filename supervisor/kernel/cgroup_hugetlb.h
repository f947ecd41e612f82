/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* How many huge pages a task may still get, of the size that its memfd asks for. */

#include <stdint.h>
#include <sys/types.h>

struct hugetlb_room {
	uint64_t page_bytes;
	/*
	 * The smallest limit less usage, and the same for what is reserved by mappings, over its
	 * group and all above (hugetlb controller); CGROUP_UNLIMITED where there is no limit or the
	 * controller is not visible.
	 */
	uint64_t cgroup_bytes;
	/* Free pages of the machine's pool that nobody has reserved, and those that it may grow by;
	 * CGROUP_UNLIMITED where that is not visible. */
	uint64_t pool_bytes;
};

/*
 * Measures for a task, given the flags of memfd_create(2), of which those that name the size of the
 * pages count (MFD_HUGE_SHIFT; without, the machine's default). Takes about a millisecond. Returns
 * 0, -ENODEV when the machine has no pages of that size, -ESRCH when the task is gone, or -errno.
 */
int hugetlb_headroom(pid_t tid, uint32_t flags, struct hugetlb_room *ret_room);
