/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A random policy and random calls: the engine's decision equals that of the model (model.h), it
 * asks for no fact that it was given, and only for one that the first open rule looks at. Where it
 * lets a rule pass without advisory, no call can be allowed under one name and belong to that rule
 * under another.
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
	unsigned
		claims; /* a bit for each rule of which the engine says that it can never decide, */
	unsigned races; /* or that it needs to be advisory */
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
	fuzz_assert(got->backing == expected->backing);
	fuzz_assert(got->noexec == expected->noexec);
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

/* None of the calls may be decided by a rule of which the engine says that none can. */
static void check_dead(const struct run *run, size_t number)
{
	for (size_t i = 0; i < run->call_count; i++) {
		struct decision decision;

		model_decide(&run->model, &run->calls[i].call, &decision);
		fuzz_assert(strcmp(decision.rule, run->model.rules[number].name) != 0);
	}
}

/*
 * The policies here have two kinds of mistakes: rules that can never decide, and names with allow.
 * The model has no proofs for or against them, but it has calls.
 */
static void note_claim(const struct policy_diagnostic *diagnostic, void *userdata)
{
	struct run *run = userdata;
	size_t number = diagnostic->line - MODEL_HEAD_LINES - 1;
	const struct model_rule *rule = &run->model.rules[number];

	if (getenv("FUZZ_SHOW"))
		fprintf(stderr, "%u:%u: %s\n", diagnostic->line, diagnostic->column,
			diagnostic->message);
	fuzz_assert(diagnostic->line > MODEL_HEAD_LINES && number < run->model.rule_count);
	fuzz_assert(!rule->dropped);
	if (strstr(diagnostic->message, "the name")) {
		fuzz_assert(rule->careless && !rule->advisory);
		fuzz_assert(model_may_race(&run->model, number));
		run->races |= 1U << number;
	} else {
		check_dead(run, number);
		run->claims |= 1U << number;
	}
}

/* The number of the rule that decides; that of the default is behind the last one's. */
static size_t decision_place(const struct model *model, const struct decision *decision)
{
	for (size_t i = 0; i < model->rule_count; i++) {
		if (strcmp(model->rules[i].name, decision->rule) == 0)
			return i;
	}
	return model->rule_count;
}

/* Whether the engine let the rule pass although something allows later. */
static bool is_trusted(const struct model *model, size_t number)
{
	const struct model_rule *rule = &model->rules[number];

	return number < model->rule_count && rule->careless && !rule->advisory &&
	       model_may_race(model, number);
}

/* The caller of call swaps its name for that of other, after it was allowed. */
static void check_swap(
	const struct model *model, const struct full_call *call, const struct full_call *other)
{
	struct policy_call swapped = call->call;
	struct decision before, after;
	size_t allowed;

	swapped.name = other->call.name;
	swapped.name_len = other->call.name_len;
	model_decide(model, &call->call, &before);
	model_decide(model, &swapped, &after);
	allowed = decision_place(model, &before);
	if (before.verdict == VERDICT_ALLOW && decision_place(model, &after) < allowed)
		fuzz_assert(!is_trusted(model, decision_place(model, &after)));
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
	run->claims = run->races = 0;
	r = policy_load(text, size, "fuzz.yaml", note_claim, run, &policy);
	fuzz_assert(r == 0 || (r == -EINVAL && (run->claims | run->races)));
	for (size_t i = 0; i < run->model.rule_count; i++) {
		if (run->claims & 1U << i)
			run->model.rules[i].dropped = true;
		if (run->races & 1U << i)
			run->model.rules[i].advisory = true;
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
	model_make_backings(&run.model, &input);

	policy = load(&run);
	for (size_t tries = 0; !policy; tries++) {
		fuzz_assert(tries < 2 * MODEL_RULES_MAX);
		policy = load(&run);
	}
	fuzz_assert(policy_scratch_new(policy, &scratch) == 0);
	for (size_t i = 0; i < run.call_count; i++)
		check_call(&run, policy, scratch, &run.calls[i]);
	for (size_t i = 0; i < run.call_count * run.call_count; i++)
		check_swap(
			&run.model, &run.calls[i / run.call_count], &run.calls[i % run.call_count]);
	policy_scratch_free(scratch);
	policy_unref(policy);
	return 0;
}
