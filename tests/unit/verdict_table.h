/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The table of calls and verdicts of a ready policy: FILE.verdicts beside FILE.yaml.
 *
 *     mode audit
 *     FLAGS  NAME  [FACT...]  ->  VERDICT [ERRNO] [+FLAG...] [-FLAG...] [rename=TEXT] RULE
 *
 * FLAGS are names joined by "|", or a number. NAME and TEXT stand in double quotes, with \xNN, \n,
 * \t, \\ and \" for odd bytes; "A"*249 repeats. FACT is uid=N, gid=N, comm="..", exe=".." or
 * cgroup=".."; a rule that asks for one that the line does not have fails the line, so tables also
 * say what a policy has to look at. The first line that is not empty or a comment ("#") is the
 * mode.
 */

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

#include "policy/policy.h"

#define VERDICT_STRING_MAX 300

struct verdict_line {
	const struct verdict_table *table;
	unsigned number;
	char name[VERDICT_STRING_MAX], comm[VERDICT_STRING_MAX], exe[VERDICT_STRING_MAX],
		cgroup[VERDICT_STRING_MAX];
	struct policy_call call; /* known: the facts that the line has */
	struct decision expected;
	char rename[VERDICT_STRING_MAX], rule[POLICY_RULE_NAME_MAX];
	char label[NAME_MAX + 16];
};

struct verdict_table {
	char policy_path[PATH_MAX], path[PATH_MAX];
	struct policy *policy;
	struct policy_scratch *scratch;
	enum policy_mode mode;
	struct verdict_line *lines;
	size_t line_count;
	bool good; /* loaded, and every line understood */
};

/*
 * Loads "FOLDER/NAME.yaml" and reads "FOLDER/NAME.verdicts"; built_in: judge by the policy in the
 * program instead of that file. What went wrong is printed and leaves table->good false.
 */
void verdict_table_load(struct verdict_table *table, const char *policy_path, bool built_in);

void verdict_table_done(struct verdict_table *table);
