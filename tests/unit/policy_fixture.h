/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the tests of policies share. Include after cmocka.h. */

#include <stdio.h>
#include <string.h>

#include "base/macro.h"
#include "policy/policy.h"

/* What policy_load() said: a line "LINE:COLUMN: MESSAGE" for each mistake, " (HINT)" behind it. */
struct findings {
	char text[16384];
	size_t size;
	size_t count;
};

static inline void findings_add(const struct policy_diagnostic *diagnostic, void *userdata)
{
	struct findings *findings = userdata;
	size_t room = sizeof(findings->text) - findings->size;
	int len;

	assert_string_equal(diagnostic->file, "test.yaml");
	len = snprintf(findings->text + findings->size, room, "%u:%u: %s%s%s%s\n", diagnostic->line,
		diagnostic->column, diagnostic->message, diagnostic->hint ? " (" : "",
		diagnostic->hint ? diagnostic->hint : "", diagnostic->hint ? ")" : "");
	findings->count++;
	if ((size_t)len < room)
		findings->size += (size_t)len;
	else
		findings->text[findings->size] = '\0';
}

/* Loads a policy that has no mistake. */
static inline struct policy *load_good(const char *text)
{
	struct findings findings = {.size = 0};
	struct policy *policy = NULL;
	int r = policy_load(text, strlen(text), "test.yaml", findings_add, &findings, &policy);

	if (r != 0)
		fail_msg("%s%s", text, findings.text);
	return policy;
}

/* A call of which everything is known. */
static inline struct policy_call call_make(const char *name, uint32_t flags)
{
	return (struct policy_call){
		.known = FACT_NAME | FACT_IDS | FACT_COMM | FACT_EXE | FACT_CGROUP,
		.flags = flags,
		.name = name,
		.name_len = strlen(name),
		.uid = 1000,
		.gid = 100,
		.comm = "java",
		.exe = "/usr/bin/python3.11",
		.cgroup = "/docker/abc",
	};
}

/* Decides a call of which everything is known. */
static inline struct decision decide(const struct policy *policy, const struct policy_call *call)
{
	struct policy_scratch *scratch;
	struct decision decision;

	assert_int_equal(policy_scratch_new(policy, &scratch), 0);
	policy_scratch_reset(scratch);
	assert_int_equal(policy_decide(policy, scratch, call, &decision), 0);
	policy_scratch_free(scratch);
	assert_non_null(decision.rule);
	assert_non_null(decision.reason);
	return decision;
}
