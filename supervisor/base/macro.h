/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The few macros that every layer uses. */

#include <stddef.h>
#include <stdlib.h>

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

/* `cleanup(f)`: when the variable goes out of scope, f(&variable) runs. */
#define cleanup(f) __attribute__((cleanup(f)))

#define printf_like(fmt, first) __attribute__((format(printf, fmt, first)))

/* A symbol of libfdwarden; all others are hidden. */
#define EXPORT __attribute__((visibility("default")))

static inline void free_ptr(void *p)
{
	free(*(void **)p);
}

/* A pointer from malloc that is freed at the end of its scope. */
#define _cleanup_free_ cleanup(free_ptr)

/* Hands the pointer to the caller and leaves NULL behind, so that the cleanup does nothing. */
#define take_ptr(p) \
	({ \
		__typeof__(p) taken_ = (p); \
		(p) = NULL; \
		taken_; \
	})
