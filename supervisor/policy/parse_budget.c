/* SPDX-License-Identifier: Apache-2.0 */

/* Parsing of the budget: limits, and what becomes of a call that would break one. */

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "policy/draft.h"

/* Of files, and of files in a time: more than any machine has, and far from overflowing a sum. */
#define FILES_MAX 1000000000

enum budget_key {
	BUDGET_CGROUP,
	BUDGET_TENANT,
	BUDGET_MEMFD,
	BUDGET_EXCEEDED,
	BUDGET_SPILL,
	BUDGET_ON_OVERRUN,
	BUDGET_SAMPLE,
	BUDGET_KEYS,
};

enum tenant_key {
	TENANT_MEMFDS, /* the limits first, in the order of enum quota */
	TENANT_SIZE,
	TENANT_RESIDENT,
	TENANT_HUGETLB,
	TENANT_RATE,
	TENANT_BURST,
	TENANT_KEYS,
};

/* A kind of number: how it is read, and what is said of one that will not do. */
struct measure {
	int (*parse)(const char *text, uint64_t *ret_number); /* as text_parse_size() */
	uint64_t min, max;
	const char *what, *too_small, *too_large, *hint;
};

#define NO_LIMIT "not a limit but a ban"

static const struct measure reserve_measure = {text_parse_size, 1, UINT64_MAX, "a size",
	"no reserve at all", "too large", "such as 64MiB or 1GiB"};
static const struct measure size_measure = {
	text_parse_size, 1, INT64_MAX, "a size", NO_LIMIT, "too large", "such as 64MiB or 1GiB"};
static const struct measure files_measure = {text_parse_number, 1, FILES_MAX, "a number of files",
	NO_LIMIT, "too large", "such as 4096, and at most 1000000000"};
static const struct measure sample_measure = {text_parse_duration, 10, 60 * 60 * 1000, "a duration",
	"too short", "too long", "from 10ms to 60min, such as 250ms or 2s"};

static void report_number(struct parser *parser, uint32_t node, const char *text,
	const char *problem, const char *hint)
{
	struct quote quote = quote_text(text, strlen(text));

	diagnostic_add(parser->diagnostics, tree_node(parser->tree, node)->mark, "\"%s\" is %s",
		quote.text, problem);
	diagnostic_hint(parser->diagnostics, "%s", hint);
}

static bool measure_parse(
	struct parser *parser, uint32_t node, const struct measure *measure, uint64_t *ret_number)
{
	const char *text = scalar_parse(parser, node, measure->what);
	uint64_t number;
	char none[32];
	int r;

	if (!text)
		return false;
	r = measure->parse(text, &number);
	if (r == 0 && number >= measure->min && number <= measure->max) {
		*ret_number = number;
		return true;
	}
	snprintf(none, sizeof(none), "not %s", measure->what);
	report_number(parser, node, text,
		r == -EINVAL                      ? none
		: r == 0 && number < measure->min ? measure->too_small
						  : measure->too_large,
		measure->hint);
	return false;
}

/* A limit that is a single number, if its key is there. */
static void limit_parse(struct parser *parser, const struct key *key, enum quota quota,
	const struct measure *measure)
{
	if (!key->value)
		return;
	parser->budget.given |= 1U << quota;
	measure_parse(parser, key->value, measure, &parser->draft->quotas.limits[quota]);
}

/* Digits, up to four decimals, a percent sign. Returns millionths, or 0 if not 0 < x <= 100 %. */
static unsigned percent_to_ppm(const char *text)
{
	unsigned long value = 0, scale = 10000;
	const char *at = text;

	for (; *at >= '0' && *at <= '9' && value <= 100; at++)
		value = value * 10 + (unsigned long)(*at - '0');
	if (at == text)
		return 0;
	value *= scale;
	if (*at == '.') {
		const char *point = at++;

		for (; *at >= '0' && *at <= '9' && scale > 1; at++) {
			scale /= 10;
			value += (unsigned long)(*at - '0') * scale;
		}
		if (at == point + 1)
			return 0;
	}
	return strcmp(at, "%") == 0 && value <= 1000000 ? (unsigned)value : 0;
}

static void max_usage_parse(struct parser *parser, uint32_t node)
{
	const char *text = scalar_parse(parser, node, "a percentage");
	unsigned ppm;

	if (!text)
		return;
	ppm = percent_to_ppm(text);
	if (ppm > 0)
		parser->draft->budget.max_usage_ppm = ppm;
	else
		report_number(parser, node, text, "not a percentage above 0% and up to 100%",
			"such as 90% or 99.5%");
}

static void cgroup_parse(struct parser *parser, uint32_t node)
{
	struct key keys[] = {{.name = "reserve"}, {.name = "max_usage"}};
	size_t before = diagnostics_count(parser->diagnostics);

	parser->budget.given |= 1U << QUOTA_CGROUP;
	if (!mapping_parse(parser, node, keys, ARRAY_SIZE(keys)))
		return;
	if (keys[0].value)
		measure_parse(parser, keys[0].value, &reserve_measure,
			&parser->draft->budget.reserve_bytes);
	if (keys[1].value)
		max_usage_parse(parser, keys[1].value);
	if (!keys[0].value && !keys[1].value && diagnostics_count(parser->diagnostics) == before)
		diagnostic_add(parser->diagnostics, tree_node(parser->tree, node)->mark,
			"budget.cgroup needs reserve, max_usage or both");
}

static void rate_parse(struct parser *parser, uint32_t node)
{
	const char *text = scalar_parse(parser, node, "a rate");
	struct policy_quotas *quotas = &parser->draft->quotas;
	unsigned period_s = 0;
	uint64_t count = 0;
	int r;

	parser->budget.given |= 1U << QUOTA_RATE;
	if (!text)
		return;
	r = text_parse_rate(text, &count, &period_s);
	if (r == -EINVAL && text_parse_number(text, &count) != -EINVAL) {
		report_number(parser, node, text, "not a rate: it lacks /s, /min or /h",
			"such as 5000/s, 100/min or 20/h");
	} else if (r < 0 || count == 0 || count > FILES_MAX) {
		report_number(parser, node, text,
			r == -EINVAL           ? "not a rate"
			: r == 0 && count == 0 ? NO_LIMIT
					       : "too large",
			"such as 5000/s, 100/min or 20/h");
	} else {
		quotas->limits[QUOTA_RATE] = count;
		quotas->rate_period_s = period_s;
		quotas->burst = count < period_s ? 1 : count / period_s;
	}
}

static void burst_parse(struct parser *parser, const struct key *keys)
{
	if (!keys[TENANT_BURST].value)
		return;
	measure_parse(
		parser, keys[TENANT_BURST].value, &files_measure, &parser->draft->quotas.burst);
	if (!keys[TENANT_RATE].value) {
		diagnostic_add(parser->diagnostics, keys[TENANT_BURST].mark,
			"burst has no meaning without rate");
		diagnostic_hint(parser->diagnostics, "memfds limits how many there are at a time");
	}
}

static void tenant_limits_parse(struct parser *parser, uint32_t node)
{
	struct key keys[TENANT_KEYS] = {[TENANT_MEMFDS] = {.name = "memfds"},
		[TENANT_SIZE] = {.name = "size"},
		[TENANT_RESIDENT] = {.name = "resident"},
		[TENANT_HUGETLB] = {.name = "hugetlb"},
		[TENANT_RATE] = {.name = "rate"},
		[TENANT_BURST] = {.name = "burst"}};
	size_t before = diagnostics_count(parser->diagnostics);

	if (!mapping_parse(parser, node, keys, TENANT_KEYS))
		return;
	limit_parse(parser, &keys[TENANT_MEMFDS], QUOTA_MEMFDS, &files_measure);
	limit_parse(parser, &keys[TENANT_SIZE], QUOTA_SIZE, &size_measure);
	limit_parse(parser, &keys[TENANT_RESIDENT], QUOTA_RESIDENT, &size_measure);
	limit_parse(parser, &keys[TENANT_HUGETLB], QUOTA_HUGETLB, &size_measure);
	if (keys[TENANT_RATE].value)
		rate_parse(parser, keys[TENANT_RATE].value);
	burst_parse(parser, keys);
	if (tree_node(parser->tree, node)->len == 0 &&
		diagnostics_count(parser->diagnostics) == before) {
		diagnostic_add(parser->diagnostics, tree_node(parser->tree, node)->mark,
			"budget.tenant limits nothing");
		diagnostic_hint(parser->diagnostics, "memfds, size, resident, hugetlb or rate");
	}
}

static void memfd_parse(struct parser *parser, uint32_t node)
{
	struct key keys[] = {{.name = "size"}, {.name = "rlimit_fsize"}};
	size_t before = diagnostics_count(parser->diagnostics);

	if (!mapping_parse(parser, node, keys, ARRAY_SIZE(keys)))
		return;
	limit_parse(parser, &keys[0], QUOTA_MEMFD_SIZE, &size_measure);
	if (keys[0].value)
		parser->budget.memfd_size_mark = tree_node(parser->tree, keys[0].value)->mark;
	if (keys[1].value)
		parser->draft->quotas.rlimit_fsize = bool_parse(parser, keys[1].value);
	if (keys[0].value || diagnostics_count(parser->diagnostics) > before)
		return;
	diagnostic_add(parser->diagnostics,
		keys[1].value ? keys[1].mark : tree_node(parser->tree, node)->mark,
		keys[1].value ? "rlimit_fsize has no meaning without size"
			      : "budget.memfd limits nothing");
	diagnostic_hint(parser->diagnostics, "size: 2GiB, for example");
}

static int directory_parse(struct parser *parser, uint32_t node)
{
	const char *text = scalar_parse(parser, node, "a path");
	struct mark mark = tree_node(parser->tree, node)->mark;
	struct span span;
	int r;

	if (!text)
		return 0;
	if (text[0] != '/') {
		diagnostic_add(parser->diagnostics, mark,
			"the directory needs an absolute path: this one depends on where the "
			"program is started");
		diagnostic_hint(parser->diagnostics, "/var/tmp, for example");
		return 0;
	}
	if (strlen(text) >= PATH_MAX) {
		diagnostic_add(
			parser->diagnostics, mark, "a path has at most %d bytes", PATH_MAX - 1);
		return 0;
	}
	r = draft_text(parser->draft, text, strlen(text), &span);
	if (r == 0)
		parser->draft->spill_directory = span.first;
	return r;
}

static int spill_parse(struct parser *parser, const struct key *key)
{
	struct key keys[] = {{.name = "directory"}, {.name = "size"}};
	size_t before = diagnostics_count(parser->diagnostics);
	int r = 0;

	parser->budget.given |= 1U << QUOTA_SPILL;
	parser->budget.spill_mark = key->mark;
	if (!mapping_parse(parser, key->value, keys, ARRAY_SIZE(keys)))
		return 0;
	if (keys[0].value)
		r = directory_parse(parser, keys[0].value);
	limit_parse(parser, &keys[1], QUOTA_SPILL, &size_measure);
	if ((!keys[0].value || !keys[1].value) &&
		diagnostics_count(parser->diagnostics) == before) {
		diagnostic_add(parser->diagnostics, tree_node(parser->tree, key->value)->mark,
			"budget.spill needs a directory and a size");
		diagnostic_hint(parser->diagnostics, "{directory: /var/tmp, size: 10GiB}");
	}
	return r;
}

void spill_use(struct parser *parser, struct mark mark)
{
	parser->budget.spill_used = true;
	if (parser->budget.given & 1U << QUOTA_SPILL)
		return;
	diagnostic_add(parser->diagnostics, mark, "there is no directory for files to go to");
	diagnostic_hint(parser->diagnostics, "budget: {spill: {directory: /var/tmp, size: 10GiB}}");
}

/* Limits over which files may go to the disk. The others would be the same there. */
#define SPILLING (1U << QUOTA_SIZE | 1U << QUOTA_RESIDENT | 1U << QUOTA_CGROUP)

static bool is_spill(struct parser *parser, uint32_t node)
{
	const struct node *scalar = tree_node(parser->tree, node);

	return scalar->type == NODE_SCALAR && strcmp(tree_text(parser->tree, scalar), "spill") == 0;
}

/* The answer when one of some limits, a set as in spills, is exceeded. */
static void answer_parse(struct parser *parser, uint32_t node, unsigned limits)
{
	struct policy_quotas *quotas = &parser->draft->quotas;
	struct mark mark = tree_node(parser->tree, node)->mark;
	int error;

	if (is_spill(parser, node)) {
		quotas->spills |= limits & SPILLING;
		spill_use(parser, mark);
		if (limits & parser->budget.given & SPILLING)
			return;
		diagnostic_add(parser->diagnostics, mark, "%s",
			limits & (limits - 1) ? "no limit here can spill"
					      : "this limit cannot spill");
		diagnostic_hint(parser->diagnostics, "size, resident and cgroup can");
	} else if (errno_parse(parser, node, &error)) {
		for (unsigned i = 0; i < QUOTA_COUNT; i++)
			if (limits & 1U << i)
				quotas->errors[i] = error;
	}
}

static void answers_parse(struct parser *parser, uint32_t node)
{
	struct key keys[QUOTA_COUNT - 1];

	for (unsigned i = 1; i < QUOTA_COUNT; i++)
		keys[i - 1] = (struct key){.name = quota_name((enum quota)i)};
	mapping_parse(parser, node, keys, ARRAY_SIZE(keys));
	for (unsigned i = 1; i < QUOTA_COUNT; i++) {
		const struct key *key = &keys[i - 1];

		if (!key->value)
			continue;
		if (parser->budget.given & 1U << i)
			answer_parse(parser, key->value, 1U << i);
		else
			diagnostic_add(parser->diagnostics, key->mark,
				"there is no limit \"%s\" that could be exceeded", key->name);
	}
}

static void exceeded_parse(struct parser *parser, uint32_t node)
{
	if (tree_node(parser->tree, node)->type == NODE_MAPPING)
		answers_parse(parser, node);
	else
		answer_parse(parser, node, ~(1U << QUOTA_NONE));
}

static void on_overrun_parse(struct parser *parser, const struct key *key)
{
	static const char *const words[] = {"deny", "freeze", "kill"};
	static const enum overrun_action actions[] = {OVERRUN_DENY, OVERRUN_FREEZE, OVERRUN_KILL};
	int word = word_parse(parser, key->value, "deny, freeze or kill", words, 3);

	if (word >= 0)
		parser->draft->quotas.on_overrun = actions[word];
	if (parser->budget.given & 1U << QUOTA_RESIDENT)
		return;
	diagnostic_add(parser->diagnostics, key->mark,
		"on_overrun has no meaning without a limit on resident memory");
	diagnostic_hint(parser->diagnostics, "tenant: {resident: 1GiB}, for example");
}

static void sample_parse(struct parser *parser, const struct key *key)
{
	uint64_t ms;

	parser->budget.sample_mark = key->mark;
	if (measure_parse(parser, key->value, &sample_measure, &ms))
		parser->draft->quotas.sample_ms = (unsigned)ms;
}

/* Where what one file may have is more than all may: a file on the disk, or of huge pages, counts
 * elsewhere. */
static void sizes_check(struct parser *parser)
{
	const struct policy_quotas *quotas = &parser->draft->quotas;
	uint64_t size = quotas->limits[QUOTA_MEMFD_SIZE];

	if (size == QUOTA_UNLIMITED || size <= quotas->limits[QUOTA_SIZE] ||
		quotas->spills & 1U << QUOTA_SIZE)
		return;
	if (parser->budget.given & 1U << QUOTA_HUGETLB && size <= quotas->limits[QUOTA_HUGETLB])
		return;
	diagnostic_add(parser->diagnostics, parser->budget.memfd_size_mark,
		"no file can get so large: it is more than budget.tenant.size");
	diagnostic_hint(parser->diagnostics, "tenant.size is the limit of all files together");
}

/* The keys that are limits. before: the count of mistakes ahead of the budget. */
static int limits_parse(struct parser *parser, const struct key *keys, size_t before)
{
	if (keys[BUDGET_CGROUP].value)
		cgroup_parse(parser, keys[BUDGET_CGROUP].value);
	if (keys[BUDGET_TENANT].value)
		tenant_limits_parse(parser, keys[BUDGET_TENANT].value);
	if (keys[BUDGET_MEMFD].value)
		memfd_parse(parser, keys[BUDGET_MEMFD].value);
	/* What was not understood may be any limit: nothing shall seem to be missing for it. */
	if (diagnostics_count(parser->diagnostics) > before)
		parser->budget.given |= ~(1U << QUOTA_SPILL);
	return keys[BUDGET_SPILL].value ? spill_parse(parser, &keys[BUDGET_SPILL]) : 0;
}

/* The keys that say what becomes of who reaches a limit: they are judged by which ones there are.
 */
static void consequences_parse(struct parser *parser, const struct key *keys)
{
	if (keys[BUDGET_EXCEEDED].value)
		exceeded_parse(parser, keys[BUDGET_EXCEEDED].value);
	if (keys[BUDGET_ON_OVERRUN].value)
		on_overrun_parse(parser, &keys[BUDGET_ON_OVERRUN]);
	if (keys[BUDGET_SAMPLE].value)
		sample_parse(parser, &keys[BUDGET_SAMPLE]);
}

int budget_parse(struct parser *parser, uint32_t node)
{
	struct key keys[BUDGET_KEYS] = {[BUDGET_CGROUP] = {.name = "cgroup"},
		[BUDGET_TENANT] = {.name = "tenant"},
		[BUDGET_MEMFD] = {.name = "memfd"},
		[BUDGET_EXCEEDED] = {.name = "exceeded"},
		[BUDGET_SPILL] = {.name = "spill"},
		[BUDGET_ON_OVERRUN] = {.name = "on_overrun"},
		[BUDGET_SAMPLE] = {.name = "sample"}};
	size_t before = diagnostics_count(parser->diagnostics);
	int r;

	if (!mapping_parse(parser, node, keys, BUDGET_KEYS))
		return 0;
	if (!keys[BUDGET_CGROUP].value && !keys[BUDGET_TENANT].value && !keys[BUDGET_MEMFD].value &&
		!keys[BUDGET_SPILL].value) {
		if (diagnostics_count(parser->diagnostics) > before)
			return 0;
		diagnostic_add(parser->diagnostics, tree_node(parser->tree, node)->mark,
			"this budget has no limit");
		diagnostic_hint(parser->diagnostics, "tenant: {size: 1GiB}, for example");
		return 0;
	}
	r = limits_parse(parser, keys, before);
	consequences_parse(parser, keys);
	parser->draft->budget.exceeded = parser->draft->quotas.errors[QUOTA_CGROUP];
	sizes_check(parser);
	return r;
}

/* Whether anything takes a ledger of live files. */
static bool quotas_need_ledger(const struct policy_quotas *quotas)
{
	for (unsigned i = 0; i < QUOTA_COUNT; i++)
		if (quotas->limits[i] != QUOTA_UNLIMITED)
			return true;
	return quotas->oom_attribute || quotas->memfd_secret == SECRET_COUNT;
}

void budget_check(struct parser *parser)
{
	struct policy_quotas *quotas = &parser->draft->quotas;
	const struct budget_notes *notes = &parser->budget;

	quotas->ledger = quotas_need_ledger(quotas);
	/* After another mistake, what is missing here may just not have been understood. */
	if (diagnostics_count(parser->diagnostics) > 0)
		return;
	if (notes->given & 1U << QUOTA_SPILL && !notes->spill_used) {
		diagnostic_add(parser->diagnostics, notes->spill_mark,
			"nothing ever goes to this directory");
		diagnostic_hint(parser->diagnostics,
			"exceeded: spill, or backing: disk in a rule, sends files there");
	}
	if (notes->sample_mark.line > 0 && !quotas->ledger) {
		diagnostic_add(parser->diagnostics, notes->sample_mark,
			"there is nothing to measure at this interval");
		diagnostic_hint(
			parser->diagnostics, "it goes with limits of tenants, and oom: attribute");
	}
}
