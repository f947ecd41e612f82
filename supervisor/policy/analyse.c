/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>

#include "policy/compile.h"
#include "policy/glob.h"
#include "policy/index.h"
#include "policy/pattern.h"

/*
 * Comparisons of patterns, ranges or conditions after which no more is looked for: what a person
 * writes needs far fewer, and a hostile text must not take forever.
 */
#define WORK_MAX (50 * 1000 * 1000)

struct analysis {
	const struct policy *policy;
	const struct rule_source *sources;
	struct diagnostics *diagnostics;
	struct regex_matcher *matcher;
	uint64_t *candidates, *found;
	struct buffer allowances; /* struct allowance: of the rules behind the one looked at */
	uint64_t work;
};

/* Whether all flags that meet the first also meet the second. */
static bool test_implies(struct flag_test test, struct flag_test other)
{
	return (test.mask & other.mask) == other.mask && (test.value & other.mask) == other.value;
}

/* Whether some flags meet `all` and hold none of the condition's none. */
static bool none_permits(
	struct analysis *analysis, const struct flag_condition *condition, struct flag_test all)
{
	for (uint32_t i = 0; i < condition->none.count; i++) {
		analysis->work++;
		if (test_implies(all, analysis->policy->tests[condition->none.first + i]))
			return false;
	}
	return true;
}

/* The n-th alternative of any; the test that always holds when there is no any. */
static struct flag_test any_at(
	const struct policy *policy, const struct flag_condition *condition, uint32_t n)
{
	return condition->any.count ? policy->tests[condition->any.first + n]
				    : (struct flag_test){0, 0};
}

static uint32_t any_count(const struct flag_condition *condition)
{
	return condition->any.count ? condition->any.count : 1;
}

/* Whether some flags meet both conditions. */
static bool conditions_overlap(
	struct analysis *analysis, const struct flag_condition *a, const struct flag_condition *b)
{
	const struct policy *policy = analysis->policy;

	for (uint32_t i = 0; i < any_count(a); i++) {
		for (uint32_t j = 0; j < any_count(b); j++) {
			struct flag_test all = a->all;

			analysis->work++;
			if (flag_test_join(&all, b->all) &&
				flag_test_join(&all, any_at(policy, a, i)) &&
				flag_test_join(&all, any_at(policy, b, j)) &&
				none_permits(analysis, a, all) && none_permits(analysis, b, all))
				return true;
		}
	}
	return false;
}

/* Whether flags that meet `all` cannot meet a test. */
static bool test_excluded(struct flag_test all, struct flag_test test)
{
	return (all.value ^ test.value) & all.mask & test.mask;
}

/* Whether flags that meet all, none of them in `none`, are certain to meet the condition. */
static bool condition_covers_case(struct analysis *analysis, const struct flag_condition *condition,
	struct flag_test all, const struct flag_condition *other)
{
	const struct flag_test *tests = analysis->policy->tests;
	bool any = condition->any.count == 0;

	if (!test_implies(all, condition->all))
		return false;
	for (uint32_t i = 0; !any && i < condition->any.count; i++, analysis->work++)
		any = test_implies(all, tests[condition->any.first + i]);
	for (uint32_t i = 0; any && i < condition->none.count; i++) {
		struct flag_test test = tests[condition->none.first + i];
		bool excluded = test_excluded(all, test);

		for (uint32_t j = 0; !excluded && j < other->none.count; j++, analysis->work++)
			excluded = test_implies(test, tests[other->none.first + j]);
		any = excluded;
	}
	return any;
}

/* Whether all flags that meet other also meet condition. Either is an index, or NONE. */
static bool condition_covers(struct analysis *analysis, uint32_t condition, uint32_t other)
{
	static const struct flag_condition always = {.all = {0, 0}};
	const struct policy *policy = analysis->policy;
	const struct flag_condition *a, *b;

	if (condition == other || condition == NONE)
		return true;
	a = &policy->conditions[condition];
	b = other == NONE ? &always : &policy->conditions[other];
	for (uint32_t i = 0; i < any_count(b); i++) {
		struct flag_test all = b->all;

		analysis->work++;
		if (flag_test_join(&all, any_at(policy, b, i)) &&
			!condition_covers_case(analysis, a, all, b))
			return false;
	}
	return true;
}

/* Whether every id of other is one of ranges (both joined, so each lies in a single one). */
static bool ranges_cover(struct analysis *analysis, struct span ranges, struct span other)
{
	const struct id_range *at = analysis->policy->ranges + ranges.first;
	const struct id_range *end = at + ranges.count;
	const struct id_range *range = analysis->policy->ranges + other.first;

	if (ranges.count == 0)
		return true;
	for (uint32_t i = 0; i < other.count; i++, range++) {
		for (; at < end && at->high < range->high; at++)
			analysis->work++;
		if (at == end || at->low > range->low)
			return false;
	}
	return other.count > 0;
}

static bool pattern_is_everything(const struct pattern *pattern)
{
	return pattern->kind == PATTERN_PREFIX && pattern->key.count == 0;
}

/* The same source, or a literal beginning of it. */
static bool regex_covered(
	const struct policy *policy, const struct pattern *pattern, const struct pattern *regex)
{
	if (pattern->kind == PATTERN_REGEX)
		return pattern->regex.count == regex->regex.count &&
		       memcmp(policy->text + pattern->regex.first,
			       policy->text + regex->regex.first, regex->regex.count) == 0;
	return pattern->kind == PATTERN_PREFIX && pattern->key.count <= regex->key.count &&
	       memcmp(policy->text + pattern->key.first, policy->text + regex->key.first,
		       pattern->key.count) == 0;
}

/* Whether all that matches other also matches pattern; may say no where it is yes. */
static bool pattern_covers(
	struct analysis *analysis, const struct pattern *pattern, const struct pattern *other)
{
	const struct policy *policy = analysis->policy;

	analysis->work +=
		1 + (uint64_t)pattern->ops.count * (other->ops.count + other->key.count) / 64;
	if (pattern_is_everything(pattern))
		return true;
	if (other->kind == PATTERN_REGEX)
		return regex_covered(policy, pattern, other);
	if (other->kind == PATTERN_EXACT) {
		if (pattern->kind == PATTERN_REGEX)
			analysis->work += 1000;
		return pattern_match(policy, pattern, policy->text + other->key.first,
			       other->key.count, analysis->matcher) > 0;
	}
	if (pattern->kind != PATTERN_PREFIX && pattern->kind != PATTERN_GLOB)
		return false;
	return glob_covers(policy->ops + pattern->ops.first, pattern->ops.count,
		policy->ops + other->ops.first, other->ops.count, policy->sets);
}

static bool patterns_cover(struct analysis *analysis, struct span patterns, struct span other)
{
	const struct pattern *all = analysis->policy->patterns;

	if (patterns.count == 0)
		return true;
	for (uint32_t i = 0; i < other.count; i++) {
		bool covered = false;

		for (uint32_t j = 0; !covered && j < patterns.count; j++)
			covered = pattern_covers(
				analysis, &all[patterns.first + j], &all[other.first + i]);
		if (!covered)
			return false;
	}
	return other.count > 0;
}

static bool rule_covers(
	struct analysis *analysis, const struct rule *rule, const struct rule *other)
{
	bool covers = condition_covers(analysis, rule->condition, other->condition);

	for (unsigned i = 0; covers && i < ID_COUNT; i++)
		covers = ranges_cover(analysis, rule->ids[i], other->ids[i]);
	for (unsigned i = 0; covers && i < FIELD_COUNT; i++)
		covers = patterns_cover(analysis, rule->patterns[i], other->patterns[i]);
	return covers;
}

/* Keeps the rules that have no condition on a fact, or one that may cover the other rule's. */
static void narrow(struct analysis *analysis, uint32_t words)
{
	for (uint32_t i = 0; i < words; i++)
		analysis->candidates[i] &= analysis->found[i];
}

/* The rules that may cover a rule, going by the first of its patterns and ranges. */
static void covering_find(struct analysis *analysis, const struct rule *rule, uint32_t words)
{
	const struct policy *policy = analysis->policy;
	size_t bytes = words * sizeof(uint64_t);

	memset(analysis->candidates, 0xff, bytes);
	for (unsigned i = 0; i < FIELD_COUNT; i++) {
		memcpy(analysis->found, policy->bits + policy->fields[i].base, bytes);
		if (rule->patterns[i].count > 0) {
			struct span key = policy->patterns[rule->patterns[i].first].key;

			index_add_text(policy, (enum field)i, policy->text + key.first, key.count,
				analysis->found);
		}
		narrow(analysis, words);
	}
	for (unsigned i = 0; i < ID_COUNT; i++) {
		memcpy(analysis->found, policy->bits + policy->ids[i].base, bytes);
		if (rule->ids[i].count > 0)
			index_add_id(policy, (enum id)i, policy->ranges[rule->ids[i].first].low,
				analysis->found);
		narrow(analysis, words);
	}
}

/* The first rule ahead of index that matches all that it matches, or NONE. */
static uint32_t covering_rule(struct analysis *analysis, uint32_t index)
{
	const struct policy *policy = analysis->policy;

	covering_find(analysis, &policy->rules[index], index / 64 + 1);
	for (uint32_t word = 0; word <= index / 64; word++) {
		uint64_t bits = analysis->candidates[word];

		for (; bits; bits &= bits - 1) {
			uint32_t other = word * 64 + (uint32_t)__builtin_ctzll(bits);

			if (other >= index || analysis->work > WORK_MAX)
				return NONE;
			analysis->work++;
			if (!analysis->sources[other].broken &&
				rule_covers(analysis, &policy->rules[other], &policy->rules[index]))
				return other;
		}
	}
	return NONE;
}

static void rule_check_reachable(struct analysis *analysis, uint32_t index)
{
	const struct policy *policy = analysis->policy;
	const struct rule *rule = &policy->rules[index];
	const struct flag_condition *condition =
		rule->condition == NONE ? NULL : &policy->conditions[rule->condition];
	const struct rule_source *source = &analysis->sources[index];
	uint32_t other;

	if (condition && !conditions_overlap(analysis, condition, condition)) {
		diagnostic_add(analysis->diagnostics, source->match_mark,
			"this rule can never match: its flags contradict each other");
		return;
	}
	other = covering_rule(analysis, index);
	if (other == NONE)
		return;
	diagnostic_add(analysis->diagnostics, source->mark,
		"this rule is never reached: rule \"%s\" on line %u matches all that it would",
		policy->text + policy->rules[other].name, analysis->sources[other].mark.line);
	diagnostic_hint(analysis->diagnostics, "move it ahead of that rule, or remove it");
}

/* What lets a call pass with the name that it has by then. */
struct allowance {
	uint32_t rule;      /* NONE: the default */
	uint32_t condition; /* on flags, which stay what they were checked as */
};

/* A later allowance that takes calls with the same flags as the rule, or NULL. */
static const struct allowance *allowance_find(struct analysis *analysis, const struct rule *rule)
{
	const struct flag_condition *conditions = analysis->policy->conditions;
	const struct allowance *allowances = analysis->allowances.data;
	size_t count = buffer_count(&analysis->allowances, struct allowance);

	for (size_t i = 0; i < count; i++) {
		const struct allowance *allowance = &allowances[i];

		/* Out of work, they are taken to meet: better a false alarm than a race unseen. */
		if (allowance->condition == NONE || rule->condition == NONE ||
			analysis->work > WORK_MAX ||
			conditions_overlap(analysis, &conditions[rule->condition],
				&conditions[allowance->condition]))
			return allowance;
	}
	return NULL;
}

/* One without a condition takes all calls, so those that come after it no longer matter. */
static int allowance_add(struct analysis *analysis, uint32_t rule, uint32_t condition)
{
	struct allowance *room;

	if (condition == NONE)
		analysis->allowances.size = 0;
	room = buffer_grow(&analysis->allowances, sizeof(*room));
	if (!room)
		return -ENOMEM;
	*room = (struct allowance){rule, condition};
	return 0;
}

static void report_race(
	struct analysis *analysis, struct mark mark, const struct allowance *allowance)
{
	if (allowance->rule == NONE) {
		diagnostic_add(analysis->diagnostics, mark,
			"this rule looks at the name, but \"default: allow\" lets the kernel read "
			"it again: a caller can show one name and use another");
		diagnostic_hint(analysis->diagnostics,
			"default: emulate has no such race; or accept it with advisory: true");
		return;
	}
	diagnostic_add(analysis->diagnostics, mark,
		"this rule looks at the name, but the later rule \"%s\" allows, and the kernel "
		"reads it again: a caller can show one name and use another",
		analysis->policy->text + analysis->policy->rules[allowance->rule].name);
	diagnostic_hint(analysis->diagnostics,
		"action: emulate in that rule has no such race; or accept it with advisory: true");
}

static void rule_check_allow(struct analysis *analysis, uint32_t index)
{
	const struct rule *rule = &analysis->policy->rules[index];
	const struct rule_source *source = &analysis->sources[index];
	const struct allowance *allowance;

	if (!(rule->facts & FACT_NAME) || rule->advisory)
		return;
	if (rule->verdict == VERDICT_ALLOW) {
		diagnostic_add(analysis->diagnostics, source->action_mark,
			"allow on a rule that looks at the name: the kernel reads the name again, "
			"so a caller can show one name and use another");
		diagnostic_hint(analysis->diagnostics,
			"action: emulate has no such race; or accept it with advisory: true");
		return;
	}
	allowance = allowance_find(analysis, rule);
	if (allowance)
		report_race(analysis, source->mark, allowance);
}

/* Goes from the last rule to the first, so that what comes later is known. */
static int check_allows(struct analysis *analysis)
{
	const struct policy *policy = analysis->policy;
	bool *seen = calloc(policy->condition_count + 1, sizeof(*seen));
	int r = seen ? 0 : -ENOMEM;

	analysis->work = 0;
	if (r == 0 && policy->fallback == VERDICT_ALLOW)
		r = allowance_add(analysis, NONE, NONE);
	for (uint32_t i = policy->rule_count; r == 0 && i-- > 0;) {
		const struct rule *rule = &policy->rules[i];
		uint32_t slot = rule->condition == NONE ? policy->condition_count : rule->condition;

		if (analysis->sources[i].broken)
			continue;
		rule_check_allow(analysis, i);
		if (rule->verdict != VERDICT_ALLOW || seen[slot])
			continue;
		seen[slot] = true;
		r = allowance_add(analysis, i, rule->condition);
	}
	free(seen);
	buffer_done(&analysis->allowances);
	return r;
}

static int name_compare(const void *a, const void *b, void *userdata)
{
	const struct policy *policy = userdata;
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
	int order =
		strcmp(policy->text + policy->rules[x].name, policy->text + policy->rules[y].name);

	return order ? order : (x > y) - (x < y);
}

static int check_names(struct analysis *analysis)
{
	const struct policy *policy = analysis->policy;
	uint32_t *order = calloc((size_t)policy->rule_count + 1, sizeof(*order)), count = 0;

	if (!order)
		return -ENOMEM;
	for (uint32_t i = 0; i < policy->rule_count; i++)
		if (policy->rules[i].name != NONE)
			order[count++] = i;
	qsort_r(order, count, sizeof(*order), name_compare, (void *)policy);
	for (uint32_t i = 1; i < count; i++) {
		const char *name = policy->text + policy->rules[order[i]].name;

		if (strcmp(name, policy->text + policy->rules[order[i - 1]].name) != 0)
			continue;
		diagnostic_add(analysis->diagnostics, analysis->sources[order[i]].name_mark,
			"the rule on line %u is already named \"%s\"",
			analysis->sources[order[i - 1]].mark.line, name);
	}
	free(order);
	return 0;
}

static int analysis_run(struct analysis *analysis)
{
	int r = check_names(analysis);

	for (uint32_t i = 0; r == 0 && i < analysis->policy->rule_count; i++)
		if (!analysis->sources[i].broken)
			rule_check_reachable(analysis, i);
	return r < 0 ? r : check_allows(analysis);
}

int policy_analyse(
	const struct policy *policy, const struct draft *draft, struct diagnostics *diagnostics)
{
	struct analysis analysis = {.policy = policy,
		.sources = draft->sources.data,
		.diagnostics = diagnostics,
		.candidates = calloc(2 * (size_t)policy->words + 1, sizeof(uint64_t))};
	int r = analysis.candidates ? 0 : -ENOMEM;

	if (r == 0) {
		analysis.found = analysis.candidates + policy->words;
		if (policy->regex_count > 0)
			analysis.matcher = regex_matcher_new();
		r = policy->regex_count > 0 && !analysis.matcher ? -ENOMEM
								 : analysis_run(&analysis);
	}
	regex_matcher_free(analysis.matcher);
	free(analysis.candidates);
	return r;
}
