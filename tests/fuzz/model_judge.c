/* SPDX-License-Identifier: Apache-2.0 */

#include "model.h"

#include <string.h>

#include "base/macro.h"

static bool atom_matches(const struct atom *atom, char byte)
{
	bool inside;

	switch (atom->kind) {
	case ATOM_BYTE:
		return byte == atom->byte;
	case ATOM_ANY:
		return true;
	case ATOM_SET:
		inside = byte >= atom->low && byte <= atom->high;
		return inside != atom->negated;
	}
	return false;
}

/*
 * reached[i]: the atoms so far can match exactly up to the place i of the string. Each atom moves
 * the places on by one byte, or by any number of them.
 */
static void atom_advance(const struct atom *atom, const char *string, size_t len, bool *reached)
{
	bool next[MODEL_STRING_MAX] = {false};

	for (size_t i = 0; i <= len; i++) {
		if (atom->repeat && reached[i])
			next[i] = true;
		if (i == len || !atom_matches(atom, string[i]))
			continue;
		if (reached[i] || (atom->repeat && next[i]))
			next[i + 1] = true;
	}
	memcpy(reached, next, sizeof(next));
}

static bool pattern_matches(const struct pattern *pattern, const char *string)
{
	bool whole = pattern->kind != PATTERN_REGEX;
	bool reached[MODEL_STRING_MAX] = {true};
	size_t len = strlen(string);

	for (size_t i = 1; i <= len; i++)
		reached[i] = !whole && !pattern->at_start;
	for (size_t i = 0; i < pattern->atom_count; i++)
		atom_advance(&pattern->atoms[i], string, len, reached);
	if (whole || pattern->at_end)
		return reached[len];
	for (size_t i = 0; i <= len; i++) {
		if (reached[i])
			return true;
	}
	return false;
}

static bool list_matches(const struct pattern_list *list, const char *string)
{
	for (size_t i = 0; i < list->count; i++) {
		if (pattern_matches(&list->patterns[i], string))
			return true;
	}
	return false;
}

static bool ids_match(const struct id_list *list, uint32_t id)
{
	for (size_t i = 0; i < list->count; i++) {
		if (id >= list->ranges[i].low && id <= list->ranges[i].high)
			return true;
	}
	return !list->count;
}

static size_t flags_held(const struct flag_list *list, uint32_t flags)
{
	size_t held = 0;

	for (size_t i = 0; i < list->count; i++)
		held += (flags & list->items[i].mask) == list->items[i].value;
	return held;
}

static bool flags_match(const struct model_rule *rule, uint32_t flags)
{
	if (rule->any.count && !flags_held(&rule->any, flags))
		return false;
	if (flags_held(&rule->all, flags) != rule->all.count)
		return false;
	return !flags_held(&rule->none, flags);
}

enum answer { ANSWER_NO, ANSWER_YES, ANSWER_OPEN };

/* One condition: NO settles the rule; a fact that is not known is noted as missing. */
static bool string_refutes(const struct pattern_list *list, const struct policy_call *call,
	unsigned fact, const char *string, unsigned *missing)
{
	if (!list->present)
		return false;
	if (call->known & fact)
		return !list_matches(list, string);
	*missing |= fact;
	return false;
}

static bool ids_refute(
	const struct model_rule *rule, const struct policy_call *call, unsigned *missing)
{
	if (!rule->uid.count && !rule->gid.count)
		return false;
	if (call->known & FACT_IDS)
		return !ids_match(&rule->uid, call->uid) || !ids_match(&rule->gid, call->gid);
	*missing |= FACT_IDS;
	return false;
}

static enum answer rule_matches(
	const struct model_rule *rule, const struct policy_call *call, unsigned *ret_missing)
{
	unsigned missing = 0;

	if (!flags_match(rule, call->flags) ||
		string_refutes(&rule->name_patterns, call, FACT_NAME, call->name, &missing) ||
		string_refutes(&rule->comm, call, FACT_COMM, call->comm, &missing) ||
		string_refutes(&rule->exe, call, FACT_EXE, call->exe, &missing) ||
		string_refutes(&rule->cgroup, call, FACT_CGROUP, call->cgroup, &missing) ||
		ids_refute(rule, call, &missing))
		return ANSWER_NO;
	*ret_missing = missing;
	return missing ? ANSWER_OPEN : ANSWER_YES;
}

unsigned model_decide(
	const struct model *model, const struct policy_call *call, struct decision *ret_decision)
{
	unsigned missing;

	for (size_t i = 0; i < model->rule_count; i++) {
		const struct model_rule *rule = &model->rules[i];

		if (rule->dropped)
			continue;
		switch (rule_matches(rule, call, &missing)) {
		case ANSWER_NO:
			break;
		case ANSWER_YES:
			*ret_decision = rule->decision;
			return 0;
		case ANSWER_OPEN:
			return missing;
		}
	}
	*ret_decision = model->fallback;
	return 0;
}

bool model_may_race(const struct model *model, size_t number)
{
	bool allowed = model->fallback.verdict == VERDICT_ALLOW;

	if (!model->rules[number].name_patterns.present)
		return false;
	for (size_t i = number; i < model->rule_count; i++) {
		if (!model->rules[i].dropped && model->rules[i].decision.verdict == VERDICT_ALLOW)
			allowed = true;
	}
	return allowed;
}
