/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A random policy and random calls: the engine's decision equals that of the model (model.h), it
 * asks for no fact that it was given, and only for one that the first open rule looks at.
 */

#include <errno.h>
#include <string.h>

#include "base/macro.h"

#include "fuzz.h"
#include "model.h"

#define CALLS_MAX 8

/* A call with all its facts, and those that the engine gets before it asks. */
struct full_call {
	struct policy_call call;
	unsigned given;
	bool abandoned; /* the caller dies after the first question */
	char name[MODEL_STRING_MAX], comm[MODEL_STRING_MAX], exe[MODEL_STRING_MAX],
		cgroup[MODEL_STRING_MAX];
};

struct run {
	struct model model;
	struct full_call calls[CALLS_MAX];
	size_t call_count;
	unsigned claims; /* a bit for each rule of which the engine says that it can never decide */
};

#define FACTS_ALL (FACT_NAME | FACT_IDS | FACT_COMM | FACT_EXE | FACT_CGROUP)

static void call_make(struct full_call *full, struct input *input)
{
	struct policy_call *call = &full->call;

	call->known = FACTS_ALL;
	call->flags = model_make_flags(input);
	call->name = full->name;
	call->name_len = model_make_string(input, full->name);
	model_make_string(input, full->comm);
	model_make_string(input, full->exe);
	model_make_string(input, full->cgroup);
	call->comm = full->comm;
	call->exe = full->exe;
	call->cgroup = full->cgroup;
	call->uid = input_take(input, 8);
	call->gid = input_take(input, 8);
	full->given = input_take(input, 4) ? 0 : input_take(input, FACTS_ALL + 1);
	full->abandoned = input_take(input, 8) == 7;
}

/* What the engine sees: pointers to facts that it does not know lead nowhere. */
static struct policy_call call_cut(const struct full_call *full, unsigned known)
{
	struct policy_call call = full->call;

	call.known = known;
	if (!(known & FACT_NAME)) {
		call.name = NULL;
		call.name_len = SIZE_MAX;
	}
	if (!(known & FACT_COMM))
		call.comm = NULL;
	if (!(known & FACT_EXE))
		call.exe = NULL;
	if (!(known & FACT_CGROUP))
		call.cgroup = NULL;
	if (!(known & FACT_IDS))
		call.uid = call.gid = (uid_t)-1;
	return call;
}

static bool text_equal(const char *a, const char *b)
{
	return a && b ? strcmp(a, b) == 0 : a == b;
}

static void check_equal(const struct decision *got, const struct decision *expected)
{
	fuzz_assert(text_equal(got->rule, expected->rule));
	fuzz_assert(got->verdict == expected->verdict);
	fuzz_assert(got->error == expected->error);
	fuzz_assert(got->flags_add == expected->flags_add);
	fuzz_assert(got->flags_clear == expected->flags_clear);
	fuzz_assert(text_equal(got->rename, expected->rename));
	fuzz_assert(got->reason && *got->reason);
}

static void check_call(const struct run *run, const struct policy *policy,
	struct policy_scratch *scratch, const struct full_call *full)
{
	struct policy_call call = call_cut(full, full->given);
	struct decision got, expected;
	unsigned asked;

	policy_scratch_reset(scratch);
	while ((asked = policy_decide(policy, scratch, &call, &got))) {
		unsigned open = model_decide(&run->model, &call, &expected);

		fuzz_assert(__builtin_popcount(asked) == 1);
		fuzz_assert(!(asked & call.known));
		fuzz_assert(asked & open);
		if (full->abandoned)
			return;
		call = call_cut(full, call.known | asked);
	}
	fuzz_assert(model_decide(&run->model, &full->call, &expected) == 0);
	check_equal(&got, &expected);
}

/*
 * The engine refuses rules that can never decide. The model has no proofs, but it has calls: none
 * of them may be decided by a rule of which the engine says so.
 */
static void note_claim(const struct policy_diagnostic *diagnostic, void *userdata)
{
	struct run *run = userdata;
	size_t number = diagnostic->line - MODEL_HEAD_LINES - 1;

	if (diagnostic->line <= MODEL_HEAD_LINES || number >= run->model.rule_count ||
		run->model.rules[number].dropped) {
		fprintf(stderr, "%u:%u: %s\n", diagnostic->line, diagnostic->column,
			diagnostic->message);
		fuzz_assert(!"a claim about a rule");
	}
	for (size_t i = 0; i < run->call_count; i++) {
		struct decision decision;

		model_decide(&run->model, &run->calls[i].call, &decision);
		if (strcmp(decision.rule, run->model.rules[number].name) != 0)
			continue;
		fprintf(stderr, "%u:%u: %s\n", diagnostic->line, diagnostic->column,
			diagnostic->message);
		fuzz_assert(!"a true claim");
	}
	run->claims |= 1U << number;
}

static struct policy *load(struct run *run)
{
	_cleanup_free_ char *text = NULL;
	struct policy *policy = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);
	int r;

	fuzz_assert(out);
	model_write(&run->model, out);
	fclose(out);
	if (getenv("FUZZ_SHOW"))
		fwrite(text, 1, size, stderr);
	run->claims = 0;
	r = policy_load(text, size, "fuzz.yaml", note_claim, run, &policy);
	fuzz_assert(r == 0 || (r == -EINVAL && run->claims));
	for (size_t i = 0; i < run->model.rule_count; i++) {
		if (run->claims & 1U << i)
			run->model.rules[i].dropped = true;
	}
	return policy;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = {.bytes = data, .left = size};
	struct run run = {0};
	struct policy_scratch *scratch;
	struct policy *policy;

	model_make(&run.model, &input);
	run.call_count = 1 + input_take(&input, CALLS_MAX);
	for (size_t i = 0; i < run.call_count; i++)
		call_make(&run.calls[i], &input);

	policy = load(&run);
	for (size_t tries = 0; !policy; tries++) {
		fuzz_assert(tries < MODEL_RULES_MAX);
		policy = load(&run);
	}
	fuzz_assert(policy_scratch_new(policy, &scratch) == 0);
	for (size_t i = 0; i < run.call_count; i++)
		check_call(&run, policy, scratch, &run.calls[i]);
	policy_scratch_free(scratch);
	policy_unref(policy);
	return 0;
}
