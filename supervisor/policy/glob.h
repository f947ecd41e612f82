/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Globs over bytes. fnmatch(3) will not do: it follows the locale of the program that embeds the
 * library, refuses names that are no valid text there, and may allocate and recurse.
 */

#include "policy/buffer.h"
#include "policy/rule.h"

static inline bool set_has(const struct byte_set *set, unsigned char byte)
{
	return set->bits[byte / 64] >> (byte % 64) & 1;
}

/* Whether an operation that takes one byte takes this one. */
static inline bool op_has(uint16_t op, const struct byte_set *sets, unsigned char byte)
{
	if (op < GLOB_ANY)
		return op == byte;
	return op == GLOB_ANY || set_has(&sets[op - GLOB_SET], byte);
}

/*
 * Compiles text into operations, appended to ops, and sets (struct byte_set), appended to sets.
 * Returns 0, -ENOMEM, or -EINVAL with the mistake in *ret_problem and what to do in *ret_hint
 * (string literals).
 */
int glob_compile(const char *text, size_t len, struct buffer *ops, struct buffer *sets,
	const char **ret_problem, const char **ret_hint);

/*
 * The same for a glob of a path, of which one component or part of it, written as (*), is captured:
 * "*", "?" and sets take no "/", "**" is any run of bytes, and "(*)" one byte or more.
 * *ret_captures says how many of them there are.
 */
int glob_compile_path(const char *text, size_t len, struct buffer *ops, struct buffer *sets,
	unsigned *ret_captures, const char **ret_problem, const char **ret_hint);

/* Whether the whole of text matches. In time O(count * len), without memory. */
bool glob_match(const uint16_t *ops, uint32_t count, const struct byte_set *sets, const char *text,
	size_t len);

/*
 * Whether every text that matches the second glob is certain to match the first. May say no where
 * the answer is yes.
 */
bool glob_covers(const uint16_t *ops, uint32_t count, const uint16_t *other_ops,
	uint32_t other_count, const struct byte_set *sets);
