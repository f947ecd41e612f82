/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * A weak reference to a file: names it for as long as somebody else keeps it alive, and can never
 * name another one (name_to_handle_at(2)).
 */

#include <stdint.h>
#include <sys/stat.h>

/* Enough for tmpfs (12 bytes), ext4, XFS and Btrfs; what needs more has no fileid. */
#define FILEID_MAX 28

/* Plain data, to be compared by all of its bytes: those past len are zero. */
struct fileid {
	unsigned char bytes[FILEID_MAX];
	uint8_t len;
	uint8_t type;
};

/*
 * Makes a reference to the file behind fd (borrowed). Returns 0 or -errno: -EOPNOTSUPP where the
 * file system has none (hugetlbfs, memfd_secret(2)), -EOVERFLOW where they are too long.
 */
int fileid_get(int fd, struct fileid *ret_id);

/*
 * What fstat(2) says of the file. mount_fd is a descriptor of anything on the same mount, not
 * O_PATH. The file is kept alive for the duration of this call: should its last other reference go
 * meanwhile, its end comes as this returns. Returns 0, -ESTALE once the file is gone, or another
 * -errno; -EPERM without CAP_DAC_READ_SEARCH in the initial user namespace.
 */
int fileid_stat(int mount_fd, const struct fileid *id, struct stat *ret_st);
