/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The system calls that the filter may notify of. Which of them it does is the policy's to say. */

enum call {
	CALL_MEMFD_CREATE = 1 << 0, /* always */
	CALL_MEMFD_SECRET = 1 << 1,
	CALL_FTRUNCATE = 1 << 2, /* ftruncate64(2) of 32-bit callers included */
	CALL_FALLOCATE = 1 << 3,
	CALL_IO_URING_SETUP = 1 << 4,
};
#define CALL_ALL 0x1fU

static inline const char *call_name(enum call call)
{
	switch (call) {
	case CALL_MEMFD_CREATE:
		return "memfd_create";
	case CALL_MEMFD_SECRET:
		return "memfd_secret";
	case CALL_FTRUNCATE:
		return "ftruncate";
	case CALL_FALLOCATE:
		return "fallocate";
	case CALL_IO_URING_SETUP:
		return "io_uring_setup";
	}
	return "?";
}
