/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/regex.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* Work allowed for one search, in steps times bytes (a step may look at all of the text). */
#define WORK_MAX (2 * 1024 * 1024)

/* PCRE2 gets its memory from here: a few blocks that exist before the first match. */
#define SLOT_SMALL  1024
#define SLOT_LARGE  (128 * 1024)
#define SMALL_COUNT 4
#define LARGE_COUNT 2 /* growing the backtracking memory needs the old and the new */

struct regex_matcher {
	pcre2_match_data *data;
	pcre2_match_context *context;
	size_t steps_left;
	bool small_used[SMALL_COUNT], large_used[LARGE_COUNT];
	max_align_t small[SMALL_COUNT][SLOT_SMALL / sizeof(max_align_t)];
	max_align_t large[LARGE_COUNT][SLOT_LARGE / sizeof(max_align_t)];
};

static void *slot_take(PCRE2_SIZE size, void *userdata)
{
	struct regex_matcher *matcher = userdata;

	for (unsigned i = 0; size <= SLOT_SMALL && i < SMALL_COUNT; i++) {
		if (matcher->small_used[i])
			continue;
		matcher->small_used[i] = true;
		return matcher->small[i];
	}
	for (unsigned i = 0; size <= SLOT_LARGE && i < LARGE_COUNT; i++) {
		if (matcher->large_used[i])
			continue;
		matcher->large_used[i] = true;
		return matcher->large[i];
	}
	return NULL;
}

static void slot_give(void *slot, void *userdata)
{
	struct regex_matcher *matcher = userdata;

	for (unsigned i = 0; i < SMALL_COUNT; i++)
		if (slot == matcher->small[i])
			matcher->small_used[i] = false;
	for (unsigned i = 0; i < LARGE_COUNT; i++)
		if (slot == matcher->large[i])
			matcher->large_used[i] = false;
}

/*
 * Called ahead of each item of the pattern. PCRE2's own match limit starts again at each position
 * of the text, so alone it would let a long name cost its length times the limit.
 */
static int step_count(pcre2_callout_block *block, void *userdata)
{
	struct regex_matcher *matcher = userdata;

	(void)block;
	if (matcher->steps_left == 0)
		return PCRE2_ERROR_MATCHLIMIT;
	matcher->steps_left--;
	return 0;
}

static int matcher_init(struct regex_matcher *matcher)
{
	pcre2_general_context *general =
		pcre2_general_context_create(slot_take, slot_give, matcher);

	if (!general)
		return -ENOMEM;
	/* Only whether there is a match matters: one pair of offsets is the least PCRE2 takes. */
	matcher->data = pcre2_match_data_create(1, general);
	matcher->context = pcre2_match_context_create(general);
	pcre2_general_context_free(general);
	if (!matcher->data || !matcher->context)
		return -ENOMEM;
	pcre2_set_callout(matcher->context, step_count, matcher);
	return 0;
}

struct regex_matcher *regex_matcher_new(void)
{
	/* calloc(3) takes so much from mmap(2): what no pattern touches is never paid for. */
	struct regex_matcher *matcher = calloc(1, sizeof(*matcher));

	if (matcher && matcher_init(matcher) < 0)
		return regex_matcher_free(matcher);
	return matcher;
}

struct regex_matcher *regex_matcher_free(struct regex_matcher *matcher)
{
	if (matcher) {
		pcre2_match_data_free(matcher->data);
		pcre2_match_context_free(matcher->context);
	}
	free(matcher);
	return NULL;
}

int regex_match(struct regex_matcher *matcher, const pcre2_code *code, const char *text, size_t len)
{
	int r;

	matcher->steps_left = WORK_MAX / (len + 128);
	r = pcre2_match(code, (PCRE2_SPTR)text, len, 0, 0, matcher->data, matcher->context);
	if (r >= 0)
		return 1;
	return r == PCRE2_ERROR_NOMATCH ? 0 : -E2BIG;
}

static int message_set(char *message, const char *text)
{
	snprintf(message, REGEX_MESSAGE_MAX, "%s", text);
	return -EINVAL;
}

/* A pattern whose one backtracking frame is so large that the first few would not fit. */
static bool code_is_greedy(const pcre2_code *code)
{
	size_t frame = 0;

	pcre2_pattern_info(code, PCRE2_INFO_FRAMESIZE, &frame);
	return frame * 16 > SLOT_LARGE / 2;
}

int regex_compile(
	const char *text, size_t len, pcre2_code **ret_code, char *ret_message, size_t *ret_offset)
{
	uint32_t options = PCRE2_NEVER_UTF | PCRE2_NEVER_UCP | PCRE2_NEVER_BACKSLASH_C |
			   PCRE2_DOTALL | PCRE2_DOLLAR_ENDONLY | PCRE2_AUTO_CALLOUT;
	pcre2_code *code;
	int error;

	*ret_offset = 0;
	if (len > REGEX_TEXT_MAX)
		return message_set(ret_message, "longer than 1024 bytes");
	code = pcre2_compile((PCRE2_SPTR)text, len, options, &error, ret_offset, NULL);
	if (!code) {
		if (error == PCRE2_ERROR_HEAP_FAILED || error == PCRE2_ERROR_NOMEMORY)
			return -ENOMEM;
		pcre2_get_error_message(error, (PCRE2_UCHAR *)ret_message, REGEX_MESSAGE_MAX);
		return -EINVAL;
	}
	if (code_is_greedy(code)) {
		pcre2_code_free(code);
		return message_set(ret_message, "too many groups");
	}
	*ret_code = code;
	return 0;
}

/* A byte that stands for itself in a pattern. */
static bool byte_is_literal(unsigned char byte)
{
	return byte >= 0x80 || (byte > ' ' && !strchr("\\^$.[]|()?*+{}#", byte));
}

size_t regex_prefix_length(const char *text, size_t len)
{
	size_t count = 0;

	/* Another alternative need not begin with the text of the first. */
	if (len == 0 || text[0] != '^' || memchr(text, '|', len))
		return 0;
	while (count + 1 < len && byte_is_literal((unsigned char)text[count + 1]))
		count++;
	/* The last one may be what a quantifier repeats, no times perhaps. */
	if (count > 0 && count + 1 < len && strchr("?*+{", text[count + 1]))
		count--;
	return count;
}
