/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* FNV-1a, one byte at a time: for tables of fixed size, where collisions cost little. */

#include <stdint.h>

#define HASH_INIT UINT64_C(0xcbf29ce484222325)

static inline uint64_t hash_byte(uint64_t hash, unsigned char byte)
{
	return (hash ^ byte) * UINT64_C(0x100000001b3);
}
