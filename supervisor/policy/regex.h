/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* PCRE2 over bytes, within a fixed amount of memory and work. */

#include "policy/rule.h"

/* Bounds that keep loading quick. */
#define REGEX_TEXT_MAX  1024
#define REGEX_COUNT_MAX 4096
#define REGEX_BYTES_MAX (16 * 1024 * 1024) /* of compiled code in one policy */

/*
 * Compiles text. `.` also matches a newline and `$` only the very end: a name is bytes, not lines,
 * and "x\n" must not pass for "x". Returns 0 and the code, -ENOMEM, or -EINVAL with PCRE2's message
 * (REGEX_MESSAGE_MAX bytes) and the offset of the mistake.
 */
#define REGEX_MESSAGE_MAX 160
int regex_compile(
	const char *text, size_t len, pcre2_code **ret_code, char *ret_message, size_t *ret_offset);

/* Bytes of literal text that every match must begin with, at the start of text (behind "^"). */
size_t regex_prefix_length(const char *text, size_t len);

/* The memory of matches, made once; used by one thread. */
struct regex_matcher;
struct regex_matcher *regex_matcher_new(void);
struct regex_matcher *regex_matcher_free(struct regex_matcher *matcher);

static inline void regex_matcher_free_ptr(struct regex_matcher **matcher)
{
	*matcher = regex_matcher_free(*matcher);
}

/* Searches text. Returns 1 for a match, 0 for none, -E2BIG when that took too much work. */
int regex_match(
	struct regex_matcher *matcher, const pcre2_code *code, const char *text, size_t len);
