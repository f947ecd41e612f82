/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* memfd_secret(2), for somebody else. */

#include <stdint.h>
#include <sys/types.h>

/*
 * Makes the file that memfd_secret(flags) in the caller would have made, with the caller's fsuid
 * and fsgid in our user namespace as its owner. Pages of it are charged to whoever maps them, not
 * to us (mm/secretmem.c). Returns a descriptor (close-on-exec, owned by the caller) or -errno.
 */
int secret_create(uint32_t flags, uid_t owner, gid_t group);
