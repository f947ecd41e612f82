/* SPDX-License-Identifier: Apache-2.0 */

/* Parsing of what a rule matches. */

#include <errno.h>
#include <string.h>

#include "policy/draft.h"

enum match_key {
	MATCH_NAME, /* the fields first, in the order of enum field */
	MATCH_COMM,
	MATCH_EXE,
	MATCH_CGROUP,
	MATCH_UID, /* then the ids, in the order of enum id */
	MATCH_GID,
	MATCH_FLAGS,
	MATCH_KEYS,
};

static int pattern_item(struct parser *parser, uint32_t node, void *userdata)
{
	(void)userdata;
	return pattern_parse(parser, node);
}

static int field_parse(struct parser *parser, uint32_t node, struct span *ret_span)
{
	struct buffer *patterns = &parser->draft->patterns;
	uint32_t first = (uint32_t)buffer_count(patterns, struct pattern);
	int r = list_parse(parser, node, pattern_item, NULL);

	*ret_span = (struct span){first, (uint32_t)buffer_count(patterns, struct pattern) - first};
	return r;
}

static int id_item(struct parser *parser, uint32_t node, void *userdata)
{
	return id_parse(parser, node, *(const enum id *)userdata);
}

static int range_compare(const void *a, const void *b)
{
	const struct id_range *x = a, *y = b;

	return x->low < y->low ? -1 : x->low > y->low;
}

/* Sorts ranges and joins those that touch. Returns how many are left. */
static uint32_t ranges_join(struct id_range *ranges, uint32_t count)
{
	uint32_t kept = 0;

	qsort(ranges, count, sizeof(*ranges), range_compare);
	for (uint32_t i = 1; i < count; i++) {
		/* No overflow: ids end below UINT32_MAX. */
		if (ranges[i].low > ranges[kept].high + 1)
			ranges[++kept] = ranges[i];
		else if (ranges[i].high > ranges[kept].high)
			ranges[kept].high = ranges[i].high;
	}
	return kept + 1;
}

static int ids_parse(struct parser *parser, uint32_t node, enum id id, struct span *ret_span)
{
	struct buffer *ranges = &parser->draft->ranges;
	uint32_t first = (uint32_t)buffer_count(ranges, struct id_range), count;
	int r = list_parse(parser, node, id_item, &id);

	if (r < 0)
		return r;
	count = (uint32_t)buffer_count(ranges, struct id_range) - first;
	if (count > 0) {
		count = ranges_join(buffer_at(ranges, struct id_range, first), count);
		ranges->size = (first + count) * sizeof(struct id_range);
	}
	*ret_span = (struct span){first, count};
	return 0;
}

static int test_item(struct parser *parser, uint32_t node, void *userdata)
{
	struct flag_test test, *room;

	(void)userdata;
	if (!flag_parse(parser, node, &test))
		return 0;
	room = buffer_grow(&parser->draft->tests, sizeof(*room));
	if (!room)
		return -ENOMEM;
	*room = test;
	return 0;
}

static int tests_parse(struct parser *parser, uint32_t node, struct span *ret_span)
{
	struct buffer *tests = &parser->draft->tests;
	uint32_t first = (uint32_t)buffer_count(tests, struct flag_test);
	int r = list_parse(parser, node, test_item, NULL);

	*ret_span = (struct span){first, (uint32_t)buffer_count(tests, struct flag_test) - first};
	return r;
}

static int all_parse(struct parser *parser, const struct key *key, struct flag_condition *condition)
{
	struct buffer *tests = &parser->draft->tests;
	size_t size = tests->size;
	struct span span;
	int r = tests_parse(parser, key->value, &span);

	for (uint32_t i = 0; r == 0 && i < span.count; i++) {
		if (flag_test_join(
			    &condition->all, *buffer_at(tests, struct flag_test, span.first + i)))
			continue;
		diagnostic_add(parser->diagnostics, key->mark,
			"no call has all of these flags: they are values of one field");
		break;
	}
	tests->size = size;
	return r;
}

static bool test_is_bit(struct flag_test test)
{
	return test.mask == test.value && (test.mask & (test.mask - 1)) == 0;
}

/* Single bits that must be off become part of the one test that must hold; the rest stays. */
static int none_parse(
	struct parser *parser, const struct key *key, struct flag_condition *condition)
{
	struct buffer *tests = &parser->draft->tests;
	uint32_t kept = 0;
	struct span span;
	int r = tests_parse(parser, key->value, &span);

	for (uint32_t i = 0; i < span.count; i++) {
		struct flag_test test = *buffer_at(tests, struct flag_test, span.first + i);

		if (!test_is_bit(test) ||
			!flag_test_join(&condition->all, (struct flag_test){test.mask, 0}))
			*buffer_at(tests, struct flag_test, span.first + kept++) = test;
	}
	condition->none = (struct span){span.first, kept};
	tests->size = (span.first + kept) * sizeof(struct flag_test);
	return r;
}

static int flags_parse(struct parser *parser, uint32_t node, struct flag_condition *condition)
{
	struct key keys[] = {{.name = "any"}, {.name = "all"}, {.name = "none"}};
	size_t before = diagnostics_count(parser->diagnostics);
	int r = 0;

	if (tree_node(parser->tree, node)->type != NODE_MAPPING) {
		diagnostic_add(parser->diagnostics, tree_node(parser->tree, node)->mark,
			"flags need to say which: any, all or none of them");
		diagnostic_hint(parser->diagnostics, "flags: {any: [...]}");
		return 0;
	}
	mapping_parse(parser, node, keys, ARRAY_SIZE(keys));
	if (keys[0].value)
		r = tests_parse(parser, keys[0].value, &condition->any);
	if (r == 0 && keys[1].value)
		r = all_parse(parser, &keys[1], condition);
	if (r == 0 && keys[2].value)
		r = none_parse(parser, &keys[2], condition);
	if (!keys[0].value && !keys[1].value && !keys[2].value &&
		diagnostics_count(parser->diagnostics) == before)
		diagnostic_add(parser->diagnostics, tree_node(parser->tree, node)->mark,
			"flags without any, all or none");
	return r;
}

int match_parse(
	struct parser *parser, uint32_t node, struct rule *rule, struct flag_condition *condition)
{
	struct key keys[MATCH_KEYS] = {[MATCH_NAME] = {.name = "name"},
		[MATCH_COMM] = {.name = "comm"},
		[MATCH_EXE] = {.name = "exe"},
		[MATCH_CGROUP] = {.name = "cgroup"},
		[MATCH_UID] = {.name = "uid"},
		[MATCH_GID] = {.name = "gid"},
		[MATCH_FLAGS] = {.name = "flags"}};
	int r = 0;

	if (!mapping_parse(parser, node, keys, MATCH_KEYS))
		return 0;
	for (unsigned i = 0; r == 0 && i < FIELD_COUNT; i++) {
		if (!keys[MATCH_NAME + i].value)
			continue;
		rule->facts |= field_fact((enum field)i);
		r = field_parse(parser, keys[MATCH_NAME + i].value, &rule->patterns[i]);
	}
	for (unsigned i = 0; r == 0 && i < ID_COUNT; i++) {
		if (!keys[MATCH_UID + i].value)
			continue;
		rule->facts |= FACT_IDS;
		r = ids_parse(parser, keys[MATCH_UID + i].value, (enum id)i, &rule->ids[i]);
	}
	if (r == 0 && keys[MATCH_FLAGS].value)
		r = flags_parse(parser, keys[MATCH_FLAGS].value, condition);
	return r;
}
