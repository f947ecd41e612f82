/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the tests of kernel/tmpfs share. After live.h. */

#include <fcntl.h>

#include "kernel/tmpfs.h"

#define KIB  UINT64_C(1024)
#define MIB  (1024 * KIB)
#define SIZE (16 * 64 * KIB) /* whole pages, whatever they are */

/* Skips where there is no way to one: an ordinary user without user namespaces. */
static inline struct tmpfs *tmpfs_make(uint64_t size)
{
	struct tmpfs *tmpfs = NULL;
	int r = tmpfs_new(size, &tmpfs);

	if (r == -EPERM && geteuid() != 0)
		live_skip("no user namespaces for ordinary users");
	assert_int_equal(r, 0);
	return tmpfs;
}

static inline int file_make(struct tmpfs *tmpfs, bool noexec)
{
	int fd = tmpfs_create(tmpfs, "x", noexec);

	assert_return_code(fd, -fd);
	return fd;
}

static inline uint64_t used(struct tmpfs *tmpfs)
{
	uint64_t bytes = UINT64_MAX;

	assert_int_equal(tmpfs_used(tmpfs, &bytes), 0);
	return bytes;
}

/* Writes until it can't, at most so much. Returns how much it was. */
static inline uint64_t fill(int fd, uint64_t most)
{
	static const char block[4096] = "x";
	uint64_t total = 0;

	while (total < most) {
		ssize_t n = write(fd, block, sizeof(block));

		if (n < 0) {
			assert_int_equal(errno, ENOSPC);
			break;
		}
		total += (uint64_t)n;
	}
	return total;
}

static inline void resize_walk(struct tmpfs *tmpfs)
{
	int fd = file_make(tmpfs, false);

	assert_int_equal(fill(fd, 4 * SIZE), SIZE);
	assert_int_equal(tmpfs_resize(tmpfs, 2 * SIZE), 0);
	assert_int_equal(fill(fd, 4 * SIZE), SIZE);
	/* Less than what is in use: what is in use, until that can be changed. */
	assert_int_equal(tmpfs_resize(tmpfs, 1), TMPFS_STILL_LARGER);
	assert_int_equal(fill(fd, 4096), 0);
	assert_return_code(ftruncate(fd, (off_t)SIZE), errno);
	assert_int_equal(tmpfs_resize(tmpfs, SIZE / 2), TMPFS_STILL_LARGER);
	assert_int_equal(fill(fd, 4096), 0);
	assert_int_equal(tmpfs_resize(tmpfs, 2 * SIZE), 0);
	assert_int_equal(lseek(fd, (off_t)SIZE, SEEK_SET), SIZE);
	assert_int_equal(fill(fd, 4 * SIZE), SIZE);
	assert_int_equal(used(tmpfs), 2 * SIZE);
	assert_return_code(ftruncate(fd, 0), errno);
	assert_int_equal(used(tmpfs), 0);
	assert_int_equal(tmpfs_resize(tmpfs, SIZE / 2), 0);
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	assert_int_equal(fill(fd, 4 * SIZE), SIZE / 2);
	close(fd);
}
