/* SPDX-License-Identifier: Apache-2.0 */

/* The side of the index that runs for each call. */

#include <string.h>

#include "policy/index.h"

void rule_set_add(const struct policy *policy, struct rule_set set, uint64_t *bits)
{
	if (set.count > policy->words) {
		for (uint32_t i = 0; i < policy->words; i++)
			bits[i] |= policy->bits[set.first + i];
		return;
	}
	for (uint32_t i = 0; i < set.count; i++) {
		uint32_t rule = policy->members[set.first + i];

		bits[rule / 64] |= UINT64_C(1) << (rule % 64);
	}
}

/* Whether a key comes after text, both as sorted bytes. */
static bool key_is_after(const char *key, size_t key_len, const char *text, size_t len)
{
	int order = memcmp(key, text, key_len < len ? key_len : len);

	return order ? order > 0 : key_len > len;
}

static size_t common_length(const char *a, size_t a_len, const char *b, size_t b_len)
{
	size_t len = a_len < b_len ? a_len : b_len, i = 0;

	while (i < len && a[i] == b[i])
		i++;
	return i;
}

/*
 * All keys that text begins with lie on one chain: the last key that does not come after text has
 * the longest beginning in common with it, so it or its ancestors are all of them.
 */
void index_add_text(
	const struct policy *policy, enum field field, const char *text, size_t len, uint64_t *bits)
{
	struct span span = policy->fields[field].entries;
	const struct key_entry *entries = policy->keys;
	uint32_t low = span.first, high = span.first + span.count;
	size_t common;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;
		struct span key = entries[middle].key;

		if (key_is_after(policy->text + key.first, key.count, text, len))
			high = middle;
		else
			low = middle + 1;
	}
	if (low == span.first)
		return;
	low--;
	common = common_length(
		policy->text + entries[low].key.first, entries[low].key.count, text, len);
	for (uint32_t i = low; i != NONE; i = entries[i].parent) {
		const struct key_entry *entry = &entries[i];

		if (entry->key.count > common)
			continue;
		rule_set_add(policy, entry->prefix, bits);
		if (entry->key.count == len)
			rule_set_add(policy, entry->exact, bits);
	}
}

void index_add_id(const struct policy *policy, enum id id, uint32_t value, uint64_t *bits)
{
	struct span span = policy->ids[id].entries;
	uint32_t low = span.first, high = span.first + span.count;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (policy->id_entries[middle].low > value)
			high = middle;
		else
			low = middle + 1;
	}
	if (low > span.first)
		rule_set_add(policy, policy->id_entries[low - 1].rules, bits);
}

static bool test_holds(struct flag_test test, uint32_t flags)
{
	return (flags & test.mask) == test.value;
}

bool condition_holds(
	const struct policy *policy, const struct flag_condition *condition, uint32_t flags)
{
	const struct flag_test *tests = policy->tests;
	bool any = condition->any.count == 0;

	if (!test_holds(condition->all, flags))
		return false;
	for (uint32_t i = 0; !any && i < condition->any.count; i++)
		any = test_holds(tests[condition->any.first + i], flags);
	for (uint32_t i = 0; any && i < condition->none.count; i++)
		any = !test_holds(tests[condition->none.first + i], flags);
	return any;
}
