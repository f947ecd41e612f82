/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>

#include "policy/glob.h"
#include "policy/index.h"
#include "policy/pattern.h"
#include "policy/policy.h"

struct policy_scratch {
	struct regex_matcher *matcher; /* NULL in a policy without regular expressions */
	uint32_t applied;              /* of enum fact: candidates have been narrowed by them */
	uint32_t passed;               /* of enum fact: the rule at the cursor agrees with them */
	uint32_t word;                 /* the cursor: words before it hold no candidate */
	bool started;
	uint64_t *found; /* rules that one fact may match, while candidates are narrowed */
	uint64_t candidates[];
};

int policy_scratch_new(const struct policy *policy, struct policy_scratch **ret_scratch)
{
	struct policy_scratch *scratch =
		calloc(1, sizeof(*scratch) + 2 * policy->words * sizeof(uint64_t));

	if (!scratch)
		return -ENOMEM;
	scratch->found = scratch->candidates + policy->words;
	if (policy->regex_count > 0) {
		scratch->matcher = regex_matcher_new();
		if (!scratch->matcher) {
			free(scratch);
			return -ENOMEM;
		}
	}
	*ret_scratch = scratch;
	return 0;
}

struct policy_scratch *policy_scratch_free(struct policy_scratch *scratch)
{
	if (scratch)
		regex_matcher_free(scratch->matcher);
	free(scratch);
	return NULL;
}

void policy_scratch_reset(struct policy_scratch *scratch)
{
	scratch->started = false;
}

int pattern_match(const struct policy *policy, const struct pattern *pattern, const char *text,
	size_t len, struct regex_matcher *matcher)
{
	size_t key_len = pattern->key.count;

	if (len < key_len || memcmp(policy->text + pattern->key.first, text, key_len) != 0)
		return 0;
	switch (pattern->kind) {
	case PATTERN_EXACT:
		return len == key_len;
	case PATTERN_PREFIX:
		return 1;
	case PATTERN_GLOB:
		return glob_match(policy->ops + pattern->ops.first + key_len,
			(uint32_t)(pattern->ops.count - key_len), policy->sets, text + key_len,
			len - key_len);
	case PATTERN_REGEX:
		return regex_match(matcher, policy->regexes[pattern->code], text, len);
	}
	return 0;
}

/* The answer of the first pattern that matches or gives up. */
static int patterns_match(const struct policy *policy, struct span patterns, const char *text,
	size_t len, struct regex_matcher *matcher)
{
	int r = 0;

	for (uint32_t i = 0; r == 0 && i < patterns.count; i++)
		r = pattern_match(
			policy, &policy->patterns[patterns.first + i], text, len, matcher);
	return r;
}

static const char *call_text(const struct policy_call *call, enum field field, size_t *ret_len)
{
	const char *text = NULL;

	switch (field) {
	case FIELD_NAME:
		*ret_len = call->name_len;
		return call->name;
	case FIELD_COMM:
		text = call->comm;
		break;
	case FIELD_EXE:
		text = call->exe;
		break;
	case FIELD_CGROUP:
		text = call->cgroup;
		break;
	}
	*ret_len = strlen(text);
	return text;
}

static void candidates_begin(
	const struct policy *policy, struct policy_scratch *scratch, uint32_t flags)
{
	memcpy(scratch->candidates, policy->bits + policy->condition_base,
		policy->words * sizeof(uint64_t));
	for (uint32_t i = 0; i < policy->condition_count; i++) {
		const struct flag_condition *condition = &policy->conditions[i];

		/* The first half of condition_holds(), here because it is what mostly fails. */
		if ((flags & condition->all.mask) == condition->all.value &&
			condition_holds(policy, condition, flags))
			rule_set_add(policy, policy->condition_rules[i], scratch->candidates);
	}
	scratch->applied = 0;
	scratch->passed = 0;
	scratch->word = 0;
	scratch->started = true;
}

static void found_begin(const struct policy *policy, struct policy_scratch *scratch, uint32_t base)
{
	memcpy(scratch->found, policy->bits + base, policy->words * sizeof(uint64_t));
}

static void candidates_narrow(const struct policy *policy, struct policy_scratch *scratch)
{
	for (uint32_t i = scratch->word; i < policy->words; i++)
		scratch->candidates[i] &= scratch->found[i];
}

/* Drops the candidates that a fact, new since the last time, rules out. */
static void candidates_apply(const struct policy *policy, struct policy_scratch *scratch,
	const struct policy_call *call, uint32_t facts)
{
	for (unsigned i = 0; i < FIELD_COUNT; i++) {
		enum field field = (enum field)i;
		const char *text;
		size_t len;

		if (!(facts & field_fact(field)))
			continue;
		text = call_text(call, field, &len);
		found_begin(policy, scratch, policy->fields[field].base);
		index_add_text(policy, field, text, len, scratch->found);
		candidates_narrow(policy, scratch);
	}
	for (unsigned i = 0; (facts & FACT_IDS) && i < ID_COUNT; i++) {
		if (policy->ids[i].entries.count == 0)
			continue;
		found_begin(policy, scratch, policy->ids[i].base);
		index_add_id(
			policy, (enum id)i, i == ID_UID ? call->uid : call->gid, scratch->found);
		candidates_narrow(policy, scratch);
	}
	scratch->applied |= facts;
}

static bool ids_match(const struct policy *policy, struct span ranges, uint32_t id)
{
	for (uint32_t i = 0; i < ranges.count; i++) {
		const struct id_range *range = &policy->ranges[ranges.first + i];

		if (id >= range->low && id <= range->high)
			return true;
	}
	return ranges.count == 0;
}

/* Whether a rule agrees with facts that are known: 1, 0, or -E2BIG. */
static int rule_match(const struct policy *policy, const struct rule *rule, uint32_t facts,
	const struct policy_call *call, struct regex_matcher *matcher)
{
	int r = 1;

	if ((facts & FACT_IDS) && (!ids_match(policy, rule->ids[ID_UID], call->uid) ||
					  !ids_match(policy, rule->ids[ID_GID], call->gid)))
		return 0;
	for (unsigned i = 0; r > 0 && i < FIELD_COUNT; i++) {
		const char *text;
		size_t len;

		if (!(facts & field_fact((enum field)i)))
			continue;
		text = call_text(call, (enum field)i, &len);
		r = patterns_match(policy, rule->patterns[i], text, len, matcher);
	}
	return r;
}

static void decide_rule(
	const struct policy *policy, const struct rule *rule, struct decision *ret_decision)
{
	*ret_decision = (struct decision){.verdict = rule->verdict,
		.error = rule->verdict == VERDICT_DENY ? rule->error : 0,
		.flags_add = rule->flags_add,
		.flags_clear = rule->flags_clear,
		.rename = rule->rename == NONE ? NULL : policy->text + rule->rename,
		.backing = rule->backing,
		.noexec = rule->noexec,
		.rule = policy->text + rule->name,
		.reason = "rule matched"};
}

static void decide_gave_up(
	const struct policy *policy, const struct rule *rule, struct decision *ret_decision)
{
	*ret_decision = (struct decision){.verdict = VERDICT_DENY,
		.error = EACCES,
		.rule = policy->text + rule->name,
		.reason = "regex gave up"};
}

static void decide_fallback(const struct policy *policy, struct decision *ret_decision)
{
	*ret_decision = (struct decision){.verdict = policy->fallback,
		.error = policy->fallback == VERDICT_DENY ? policy->fallback_error : 0,
		.rule = "default",
		.reason = "no rule matched"};
}

/* The first candidate's rule, or NONE. */
static uint32_t candidate_first(const struct policy *policy, struct policy_scratch *scratch)
{
	for (; scratch->word < policy->words; scratch->word++) {
		uint64_t bits = scratch->candidates[scratch->word];

		if (bits)
			return scratch->word * 64 + (uint32_t)__builtin_ctzll(bits);
	}
	return NONE;
}

static void candidate_drop(struct policy_scratch *scratch, uint32_t rule)
{
	scratch->candidates[rule / 64] &= ~(UINT64_C(1) << (rule % 64));
	scratch->passed = 0;
}

unsigned policy_decide(const struct policy *policy, struct policy_scratch *scratch,
	const struct policy_call *call, struct decision *ret_decision)
{
	uint32_t fresh, index;

	if (!scratch->started)
		candidates_begin(policy, scratch, call->flags);
	fresh = call->known & policy->facts & ~scratch->applied;
	if (fresh) {
		uint32_t first = scratch->passed ? candidate_first(policy, scratch) : NONE;

		candidates_apply(policy, scratch, call, fresh);
		/* What passed was said of a rule that may just have been dropped. */
		if (first != candidate_first(policy, scratch))
			scratch->passed = 0;
	}
	while ((index = candidate_first(policy, scratch)) != NONE) {
		const struct rule *rule = &policy->rules[index];
		uint32_t missing = rule->facts & ~call->known;
		uint32_t facts = rule->facts & call->known & ~scratch->passed;
		int r = rule_match(policy, rule, facts, call, scratch->matcher);

		if (r == 0) {
			candidate_drop(scratch, index);
			continue;
		}
		if (r < 0) {
			decide_gave_up(policy, rule, ret_decision);
			return 0;
		}
		scratch->passed |= facts;
		if (missing)
			return missing & -missing;
		decide_rule(policy, rule, ret_decision);
		return 0;
	}
	decide_fallback(policy, ret_decision);
	return 0;
}

void policy_each_decision(
	const struct policy *policy, uint32_t flags, policy_decision_fn *fn, void *userdata)
{
	struct decision decision;
	uint32_t facts = 0;

	for (uint32_t i = 0; i < policy->rule_count; i++) {
		const struct rule *rule = &policy->rules[i];

		if (rule->condition != NONE &&
			!condition_holds(policy, &policy->conditions[rule->condition], flags))
			continue;
		facts |= rule->facts;
		decide_rule(policy, rule, &decision);
		fn(&decision, facts, userdata);
		if (rule->facts == 0)
			return;
	}
	decide_fallback(policy, &decision);
	fn(&decision, facts, userdata);
}
