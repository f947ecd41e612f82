/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The table of calls and verdicts of a ready policy: FILE.verdicts beside FILE.yaml.
 *
 *     mode audit
 *     quotas WORD...
 *     tenant PATH -> NAME
 *     FLAGS  NAME  [FACT...]  ->  VERDICT [ERRNO] [CHANGE...] RULE
 *
 * FLAGS are names joined by "|", or a number. NAME and TEXT stand in double quotes, with \xNN, \n,
 * \t, \\ and \" for odd bytes; "A"*249 repeats. CHANGE is +FLAG, -FLAG, backing=KIND, noexec=true
 * or rename=TEXT, in this order. FACT is uid=N, gid=N, comm="..", exe=".." or cgroup=".."; a rule
 * that asks for one that the line does not have fails the line, so tables also say what a policy
 * has to look at. The first line that is not empty or a comment ("#") is the mode. The quotas are
 * written as quotas_format() does, and a table without that line says that there are none. A tenant
 * line names the tenant of a cgroup, by which the policy tells tenants; PATH and NAME stand in
 * double quotes, and NAME is - when the path does not match.
 */

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

#include "policy/policy.h"

#define VERDICT_STRING_MAX 300

struct verdict_line {
	const struct verdict_table *table;
	unsigned number;
	bool tenant; /* only cgroup and name, empty for "-", have a meaning */
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
	char quotas[VERDICT_STRING_MAX];
	struct verdict_line *lines;
	size_t line_count;
	bool good; /* loaded, and every line understood */
};

/*
 * Loads "FOLDER/NAME.yaml" and reads "FOLDER/NAME.verdicts"; built_in: judge by the policy in the
 * program instead of that file. What went wrong is printed and leaves table->good false.
 */
void verdict_table_load(struct verdict_table *table, const char *policy_path, bool built_in);

/* What a policy says of quotas, in words; empty when it says nothing. */
void quotas_format(const struct policy *policy, char out[static VERDICT_STRING_MAX]);

void verdict_table_done(struct verdict_table *table);
