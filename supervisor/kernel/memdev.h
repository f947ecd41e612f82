/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Which devices (st_dev) anonymous memory files are on: the kernel's own mounts of tmpfs, of
 * hugetlbfs, one for each size of page, and of secretmem. They never change.
 */

#include <stdint.h>

enum memdev_kind {
	MEMDEV_OTHER, /* none of them */
	MEMDEV_MEMFD,
	MEMDEV_HUGETLB,
	MEMDEV_SECRET,
};

#define MEMDEV_MAX 16

struct memdevs {
	unsigned count;
	struct {
		uint64_t dev;
		enum memdev_kind kind;
	} list[MEMDEV_MAX];
};

/* Finds them by making one file of each kind. Returns 0 or -errno. */
int memdev_find(struct memdevs *ret_devs);

enum memdev_kind memdev_kind(const struct memdevs *devs, uint64_t dev);
