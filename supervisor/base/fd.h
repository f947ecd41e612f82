/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Descriptors with one owner. */

#include <errno.h>
#include <unistd.h>

#include "base/macro.h"

/* Closes fd unless negative; keeps errno. Returns -1, so that `fd = fd_close(fd)` forgets it. */
static inline int fd_close(int fd)
{
	if (fd >= 0) {
		int saved = errno;

		close(fd);
		errno = saved;
	}
	return -1;
}

static inline void fd_close_ptr(int *fd)
{
	*fd = fd_close(*fd);
}

/* A descriptor that is closed at the end of its scope; initialise it to -1. */
#define _cleanup_close_ cleanup(fd_close_ptr)

/* Hands the descriptor to the caller and leaves -1 behind. */
static inline int take_fd(int *fd)
{
	int taken = *fd;

	*fd = -1;
	return taken;
}

/*
 * Reads the whole of a small file below dir_fd (AT_FDCWD for a plain path) into buf, and ends it
 * with a NUL. Returns the count of bytes read, or -errno; -EFBIG when it did
 * not fit.
 */
ssize_t fd_read_file_at(int dir_fd, const char *path, char *buf, size_t size);

/* Writes all of buf, however many write(2) calls that takes. Returns 0 or -errno. */
int fd_write_all(int fd, const void *buf, size_t size);
