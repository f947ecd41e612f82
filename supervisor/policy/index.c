/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/index.h"

#include <errno.h>
#include <string.h>

/*
 * A range of ids that covers more of the index's entries than this is left out of it: many of
 * those, one inside the other, would make the index grow with the square of the rules.
 */
#define RANGE_ENTRIES_MAX 64

/* A rule is found by key entry; exact and prefix keys of the same bytes share an entry. */
struct posting {
	struct span key; /* id ranges: first is the lowest id of the entry */
	bool exact;
	uint32_t rule;
};

struct builder {
	struct draft *draft;
	struct index_buffers *buffers;
	struct buffer postings;
	uint32_t rule_count, words;
};

static const char *key_text(const struct builder *builder, struct span key)
{
	const char *text = builder->draft->text.data; /* NULL when no pattern is good */

	return text ? text + key.first : "";
}

static struct rule *rule_at(const struct builder *builder, uint32_t rule)
{
	return buffer_at(&builder->draft->rules, struct rule, rule);
}

static void bit_set(uint64_t *bits, uint32_t bit)
{
	bits[bit / 64] |= UINT64_C(1) << (bit % 64);
}

/* Room for a bit for each rule. Its index goes to *ret_first. */
static uint64_t *bits_add(struct builder *builder, uint32_t *ret_first)
{
	*ret_first = (uint32_t)buffer_count(&builder->buffers->bits, uint64_t);
	return buffer_grow(&builder->buffers->bits, builder->words * sizeof(uint64_t));
}

/* The rules of count postings, sorted by rule. Returns 0 or -ENOMEM. */
static int rule_set_build(struct builder *builder, const struct posting *postings, size_t count,
	struct rule_set *ret_set)
{
	uint32_t *members;
	uint32_t distinct = 0;

	for (size_t i = 0; i < count; i++)
		distinct += i == 0 || postings[i].rule != postings[i - 1].rule;
	ret_set->count = distinct;
	if (distinct > builder->words) {
		uint64_t *bits = bits_add(builder, &ret_set->first);

		for (size_t i = 0; bits && i < count; i++)
			bit_set(bits, postings[i].rule);
		return bits ? 0 : -ENOMEM;
	}
	ret_set->first = (uint32_t)buffer_count(&builder->buffers->members, uint32_t);
	if (distinct == 0)
		return 0;
	members = buffer_grow(&builder->buffers->members, distinct * sizeof(*members));
	if (!members)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++)
		if (i == 0 || postings[i].rule != postings[i - 1].rule)
			*members++ = postings[i].rule;
	return 0;
}

static int posting_add(struct builder *builder, struct span key, bool exact, uint32_t rule)
{
	struct posting *posting = buffer_grow(&builder->postings, sizeof(*posting));

	if (!posting)
		return -ENOMEM;
	*posting = (struct posting){key, exact, rule};
	return 0;
}

static int key_compare(const struct builder *builder, struct span a, struct span b)
{
	uint32_t common = a.count < b.count ? a.count : b.count;
	int order = memcmp(key_text(builder, a), key_text(builder, b), common);

	return order ? order : (a.count > b.count) - (a.count < b.count);
}

static int text_posting_compare(const void *a, const void *b, void *userdata)
{
	const struct posting *x = a, *y = b;
	int order = key_compare(userdata, x->key, y->key);

	if (order)
		return order;
	if (x->exact != y->exact)
		return x->exact ? -1 : 1;
	return (x->rule > y->rule) - (x->rule < y->rule);
}

static bool key_begins_with(const struct builder *builder, struct span key, struct span prefix)
{
	return key.count >= prefix.count &&
	       memcmp(key_text(builder, key), key_text(builder, prefix), prefix.count) == 0;
}

/* One entry from count postings of the same bytes, exact ones first. */
static int key_entry_build(
	struct builder *builder, const struct posting *postings, size_t count, uint32_t first_entry)
{
	struct key_entry entry = {.key = postings[0].key, .parent = NONE}, *room;
	uint32_t before = (uint32_t)buffer_count(&builder->buffers->keys, struct key_entry);
	uint32_t parent = before > first_entry ? before - 1 : NONE;
	size_t exact = 0;
	int r;

	while (exact < count && postings[exact].exact)
		exact++;
	r = rule_set_build(builder, postings, exact, &entry.exact);
	if (r == 0)
		r = rule_set_build(builder, postings + exact, count - exact, &entry.prefix);
	if (r < 0)
		return r;
	/* In sorted order, this key begins with the key before it or with an ancestor of that. */
	while (parent != NONE) {
		const struct key_entry *other =
			buffer_at(&builder->buffers->keys, struct key_entry, parent);

		if (key_begins_with(builder, entry.key, other->key))
			break;
		parent = other->parent;
	}
	entry.parent = parent;
	room = buffer_grow(&builder->buffers->keys, sizeof(*room));
	if (!room)
		return -ENOMEM;
	*room = entry;
	return 0;
}

static int key_entries_build(struct builder *builder, struct span *ret_entries)
{
	struct posting *postings = builder->postings.data;
	size_t count = buffer_count(&builder->postings, struct posting), from = 0;
	uint32_t first = (uint32_t)buffer_count(&builder->buffers->keys, struct key_entry);
	int r = 0;

	if (count > 0)
		qsort_r(postings, count, sizeof(*postings), text_posting_compare, builder);
	for (size_t i = 1; r == 0 && i <= count; i++) {
		if (i < count && key_compare(builder, postings[i].key, postings[from].key) == 0)
			continue;
		r = key_entry_build(builder, postings + from, i - from, first);
		from = i;
	}
	*ret_entries = (struct span){
		first, (uint32_t)buffer_count(&builder->buffers->keys, struct key_entry) - first};
	return r;
}

/* Whether each pattern has a key, so that the rule can be found by them. */
static bool patterns_have_keys(const struct builder *builder, struct span patterns)
{
	for (uint32_t i = 0; i < patterns.count; i++) {
		const struct pattern *pattern =
			buffer_at(&builder->draft->patterns, struct pattern, patterns.first + i);

		if (pattern->key.count == 0 && pattern->kind != PATTERN_EXACT)
			return false;
	}
	return patterns.count > 0;
}

static int field_build(struct builder *builder, enum field field, struct dimension *ret_dimension)
{
	uint64_t *base = bits_add(builder, &ret_dimension->base);
	int r = base ? 0 : -ENOMEM;

	builder->postings.size = 0;
	for (uint32_t rule = 0; r == 0 && rule < builder->rule_count; rule++) {
		struct span patterns = rule_at(builder, rule)->patterns[field];

		if (!patterns_have_keys(builder, patterns)) {
			bit_set(base, rule);
			continue;
		}
		for (uint32_t i = 0; r == 0 && i < patterns.count; i++) {
			const struct pattern *pattern = buffer_at(
				&builder->draft->patterns, struct pattern, patterns.first + i);

			r = posting_add(
				builder, pattern->key, pattern->kind == PATTERN_EXACT, rule);
		}
	}
	return r < 0 ? r : key_entries_build(builder, &ret_dimension->entries);
}

static int u32_compare(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

/* All ids at which some range begins, or the one behind its end; sorted, each once. */
static int bounds_build(struct builder *builder, enum id id, struct buffer *bounds)
{
	uint32_t *at;
	size_t kept = 0, count;

	for (uint32_t rule = 0; rule < builder->rule_count; rule++) {
		struct span ranges = rule_at(builder, rule)->ids[id];

		for (uint32_t i = 0; i < ranges.count; i++) {
			const struct id_range *range = buffer_at(
				&builder->draft->ranges, struct id_range, ranges.first + i);

			at = buffer_grow(bounds, 2 * sizeof(*at));
			if (!at)
				return -ENOMEM;
			at[0] = range->low;
			at[1] = range->high + 1; /* ids end below UINT32_MAX */
		}
	}
	count = buffer_count(bounds, uint32_t);
	at = bounds->data;
	if (count > 0)
		qsort(at, count, sizeof(*at), u32_compare);
	for (size_t i = 0; i < count; i++)
		if (i == 0 || at[i] != at[kept - 1])
			at[kept++] = at[i];
	bounds->size = kept * sizeof(*at);
	return 0;
}

static uint32_t bound_find(const struct buffer *bounds, uint32_t value)
{
	const uint32_t *at = bounds->data;
	uint32_t low = 0, high = (uint32_t)buffer_count(bounds, uint32_t);

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (at[middle] < value)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* Posts a rule at each entry of its ranges. Returns 1, 0 when they cover too many, or -ENOMEM. */
static int ranges_post(
	struct builder *builder, const struct buffer *bounds, struct span ranges, uint32_t rule)
{
	size_t before = builder->postings.size;

	for (uint32_t i = 0; i < ranges.count; i++) {
		struct id_range range =
			*buffer_at(&builder->draft->ranges, struct id_range, ranges.first + i);
		uint32_t first = bound_find(bounds, range.low);
		uint32_t end = bound_find(bounds, range.high + 1);

		if (end - first > RANGE_ENTRIES_MAX) {
			builder->postings.size = before;
			return 0;
		}
		for (uint32_t entry = first; entry < end; entry++)
			if (posting_add(builder, (struct span){entry, 0}, false, rule) < 0)
				return -ENOMEM;
	}
	return 1;
}

static int id_posting_compare(const void *a, const void *b)
{
	const struct posting *x = a, *y = b;

	if (x->key.first != y->key.first)
		return x->key.first < y->key.first ? -1 : 1;
	return (x->rule > y->rule) - (x->rule < y->rule);
}

/* One entry for each bound, with the rules posted at it. */
static int id_entries_build(
	struct builder *builder, const struct buffer *bounds, struct span *ret_entries)
{
	struct posting *postings = builder->postings.data;
	size_t count = buffer_count(&builder->postings, struct posting), from = 0;
	uint32_t bound_count = (uint32_t)buffer_count(bounds, uint32_t);
	struct buffer *entries = &builder->buffers->id_entries;

	*ret_entries = (struct span){(uint32_t)buffer_count(entries, struct id_entry), bound_count};
	if (count > 0)
		qsort(postings, count, sizeof(*postings), id_posting_compare);
	for (uint32_t i = 0; i < bound_count; i++) {
		struct id_entry *entry = buffer_grow(entries, sizeof(*entry));
		size_t to = from;

		if (!entry)
			return -ENOMEM;
		while (to < count && postings[to].key.first == i)
			to++;
		entry->low = *buffer_at(bounds, uint32_t, i);
		if (rule_set_build(builder, postings ? postings + from : NULL, to - from,
			    &entry->rules) < 0)
			return -ENOMEM;
		from = to;
	}
	return 0;
}

static int id_build(struct builder *builder, enum id id, struct dimension *ret_dimension)
{
	uint64_t *base = bits_add(builder, &ret_dimension->base);
	struct buffer bounds = {0};
	int r = base ? bounds_build(builder, id, &bounds) : -ENOMEM;

	builder->postings.size = 0;
	for (uint32_t rule = 0; r == 0 && rule < builder->rule_count; rule++) {
		struct span ranges = rule_at(builder, rule)->ids[id];

		if (ranges.count > 0)
			r = ranges_post(builder, &bounds, ranges, rule);
		if (r == 0)
			bit_set(base, rule);
		else if (r > 0)
			r = 0;
	}
	if (r == 0)
		r = id_entries_build(builder, &bounds, &ret_dimension->entries);
	buffer_done(&bounds);
	return r;
}

static int tests_compare(const struct draft *draft, struct span a, struct span b)
{
	if (a.count != b.count)
		return a.count < b.count ? -1 : 1;
	if (a.count == 0)
		return 0;
	return memcmp(buffer_at(&draft->tests, struct flag_test, a.first),
		buffer_at(&draft->tests, struct flag_test, b.first),
		a.count * sizeof(struct flag_test));
}

static int condition_compare(
	const struct draft *draft, const struct flag_condition *a, const struct flag_condition *b)
{
	int order = memcmp(&a->all, &b->all, sizeof(a->all));

	if (order == 0)
		order = tests_compare(draft, a->any, b->any);
	return order ? order : tests_compare(draft, a->none, b->none);
}

static int condition_posting_compare(const void *a, const void *b, void *userdata)
{
	const struct builder *builder = userdata;
	const struct posting *x = a, *y = b;
	const struct buffer *conditions = &builder->draft->conditions;
	int order = condition_compare(builder->draft,
		buffer_at(conditions, struct flag_condition, x->rule),
		buffer_at(conditions, struct flag_condition, y->rule));

	return order ? order : (x->rule > y->rule) - (x->rule < y->rule);
}

static bool condition_is_empty(const struct flag_condition *condition)
{
	return condition->all.mask == 0 && condition->any.count == 0 && condition->none.count == 0;
}

/* Takes the conditions that differ, and sets the rules' references to them. */
static int conditions_group(struct builder *builder, struct buffer *distinct)
{
	const struct buffer *conditions = &builder->draft->conditions;
	struct posting *postings = builder->postings.data;
	size_t count = buffer_count(&builder->postings, struct posting), from = 0;
	int r = 0;

	for (size_t i = 1; r == 0 && i <= count; i++) {
		const struct flag_condition *first =
			buffer_at(conditions, struct flag_condition, postings[from].rule);
		uint32_t index = (uint32_t)buffer_count(distinct, struct flag_condition);
		struct flag_condition *room;
		struct rule_set *set;

		if (i < count && condition_compare(builder->draft, first,
					 buffer_at(conditions, struct flag_condition,
						 postings[i].rule)) == 0)
			continue;
		room = buffer_grow(distinct, sizeof(*room));
		set = buffer_grow(&builder->buffers->condition_rules, sizeof(*set));
		if (!room || !set)
			return -ENOMEM;
		*room = *first;
		for (size_t j = from; j < i; j++)
			rule_at(builder, postings[j].rule)->condition = index;
		r = rule_set_build(builder, postings + from, i - from, set);
		from = i;
	}
	return r;
}

static int conditions_build(struct builder *builder, uint32_t *ret_base, uint32_t *ret_count)
{
	uint64_t *base = bits_add(builder, ret_base);
	struct buffer distinct = {0};
	int r = base ? 0 : -ENOMEM;

	builder->postings.size = 0;
	for (uint32_t rule = 0; r == 0 && rule < builder->rule_count; rule++) {
		rule_at(builder, rule)->condition = NONE;
		if (condition_is_empty(
			    buffer_at(&builder->draft->conditions, struct flag_condition, rule)))
			bit_set(base, rule);
		else
			r = posting_add(builder, (struct span){0, 0}, false, rule);
	}
	if (r == 0 && builder->postings.size > 0) {
		qsort_r(builder->postings.data, buffer_count(&builder->postings, struct posting),
			sizeof(struct posting), condition_posting_compare, builder);
		r = conditions_group(builder, &distinct);
	}
	*ret_count = (uint32_t)buffer_count(&distinct, struct flag_condition);
	buffer_done(&builder->draft->conditions);
	builder->draft->conditions = distinct;
	return r;
}

int index_build(struct draft *draft, struct index_buffers *buffers, struct policy *policy)
{
	struct builder builder = {.draft = draft,
		.buffers = buffers,
		.rule_count = policy->rule_count,
		.words = policy->words};
	int r = conditions_build(&builder, &policy->condition_base, &policy->condition_count);

	for (unsigned i = 0; r == 0 && i < FIELD_COUNT; i++)
		r = field_build(&builder, (enum field)i, &policy->fields[i]);
	for (unsigned i = 0; r == 0 && i < ID_COUNT; i++)
		r = id_build(&builder, (enum id)i, &policy->ids[i]);
	buffer_done(&builder.postings);
	return r;
}
