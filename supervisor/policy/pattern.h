/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "policy/regex.h"
#include "policy/rule.h"

/*
 * Whether text matches: 1, 0, or -E2BIG when the regular expression took too much work. matcher may
 * be NULL in a policy without regular expressions.
 */
int pattern_match(const struct policy *policy, const struct pattern *pattern, const char *text,
	size_t len, struct regex_matcher *matcher);
