/* SPDX-License-Identifier: Apache-2.0 */

/* Parsing of a policy: everything but its rules. */

#include <errno.h>
#include <string.h>

#include "base/text.h"
#include "policy/draft.h"

enum policy_key {
	POLICY_VERSION,
	POLICY_MODE,
	POLICY_DEFAULT,
	POLICY_BUDGET,
	POLICY_RULES,
	POLICY_KEYS,
};

static void version_parse(struct parser *parser, uint32_t node)
{
	const char *text = scalar_parse(parser, node, "the number 1");

	if (!text || strcmp(text, "1") == 0)
		return;
	diagnostic_add(parser->diagnostics, tree_node(parser->tree, node)->mark,
		"this program reads version 1 of the grammar");
	diagnostic_hint(parser->diagnostics, "version: 1");
}

static void mode_parse(struct parser *parser, uint32_t node)
{
	static const char *const words[] = {"enforce", "audit"};
	int mode = word_parse(parser, node, "enforce or audit", words, 2);

	if (mode >= 0)
		parser->draft->mode = mode == 0 ? POLICY_ENFORCE : POLICY_AUDIT;
}

/* A rule may kill; a default that does would kill whatever nobody thought of. */
static bool fallback_action(struct parser *parser, uint32_t node)
{
	static const char *const words[] = {"allow", "deny", "emulate"};
	static const enum verdict verdicts[] = {VERDICT_ALLOW, VERDICT_DENY, VERDICT_EMULATE};
	int word = word_parse(parser, node, "allow, deny or emulate", words, 3);

	if (word < 0)
		return false;
	parser->draft->fallback = verdicts[word];
	return true;
}

static void fallback_parse(struct parser *parser, uint32_t node)
{
	struct key keys[] = {{.name = "action"}, {.name = "errno"}};
	struct draft *draft = parser->draft;

	draft->fallback_error = EPERM;
	if (tree_node(parser->tree, node)->type != NODE_MAPPING) {
		fallback_action(parser, node);
		return;
	}
	mapping_parse(parser, node, keys, ARRAY_SIZE(keys));
	if (keys[1].value)
		errno_parse(parser, keys[1].value, &draft->fallback_error);
	if (!keys[0].value) {
		diagnostic_add(parser->diagnostics, tree_node(parser->tree, node)->mark,
			"the default has no action");
		return;
	}
	if (fallback_action(parser, keys[0].value) && keys[1].value &&
		draft->fallback != VERDICT_DENY) {
		diagnostic_add(parser->diagnostics, keys[1].mark,
			"the key \"errno\" does not go with action: %s",
			verdict_to_string(draft->fallback));
		diagnostic_hint(parser->diagnostics, "it goes with action: deny");
	}
}

static void reserve_parse(struct parser *parser, uint32_t node)
{
	const char *text = scalar_parse(parser, node, "a size");
	struct mark mark = tree_node(parser->tree, node)->mark;
	struct quote quote;
	uint64_t bytes;
	int r;

	if (!text)
		return;
	r = text_parse_size(text, &bytes);
	if (r == 0 && bytes > 0) {
		parser->draft->budget.reserve_bytes = bytes;
		return;
	}
	quote = quote_text(text, strlen(text));
	diagnostic_add(parser->diagnostics, mark, "\"%s\" is %s", quote.text,
		r == -ERANGE ? "too large"
		: r == 0     ? "no reserve at all"
			     : "not a size");
	diagnostic_hint(parser->diagnostics, "such as 64MiB or 1GiB");
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
	struct quote quote;
	unsigned ppm;

	if (!text)
		return;
	ppm = percent_to_ppm(text);
	if (ppm > 0) {
		parser->draft->budget.max_usage_ppm = ppm;
		return;
	}
	quote = quote_text(text, strlen(text));
	diagnostic_add(parser->diagnostics, tree_node(parser->tree, node)->mark,
		"\"%s\" is not a percentage above 0%% and up to 100%%", quote.text);
	diagnostic_hint(parser->diagnostics, "such as 90%% or 99.5%%");
}

static void cgroup_parse(struct parser *parser, uint32_t node)
{
	struct key keys[] = {{.name = "reserve"}, {.name = "max_usage"}};
	size_t before = diagnostics_count(parser->diagnostics);

	if (!mapping_parse(parser, node, keys, ARRAY_SIZE(keys)))
		return;
	if (keys[0].value)
		reserve_parse(parser, keys[0].value);
	if (keys[1].value)
		max_usage_parse(parser, keys[1].value);
	if (!keys[0].value && !keys[1].value && diagnostics_count(parser->diagnostics) == before)
		diagnostic_add(parser->diagnostics, tree_node(parser->tree, node)->mark,
			"budget.cgroup needs reserve, max_usage or both");
}

static void budget_parse(struct parser *parser, uint32_t node)
{
	struct key keys[] = {{.name = "cgroup"}, {.name = "exceeded"}};
	size_t before = diagnostics_count(parser->diagnostics);

	if (!mapping_parse(parser, node, keys, ARRAY_SIZE(keys)))
		return;
	parser->draft->budget.exceeded = ENOMEM;
	if (keys[1].value)
		errno_parse(parser, keys[1].value, &parser->draft->budget.exceeded);
	if (keys[0].value) {
		cgroup_parse(parser, keys[0].value);
	} else if (diagnostics_count(parser->diagnostics) == before) {
		diagnostic_add(parser->diagnostics, tree_node(parser->tree, node)->mark,
			"this budget has no limit");
		diagnostic_hint(parser->diagnostics, "cgroup: {reserve: 64MiB}");
	}
}

int policy_parse(struct parser *parser)
{
	struct key keys[POLICY_KEYS] = {[POLICY_VERSION] = {.name = "version"},
		[POLICY_MODE] = {.name = "mode"},
		[POLICY_DEFAULT] = {.name = "default"},
		[POLICY_BUDGET] = {.name = "budget"},
		[POLICY_RULES] = {.name = "rules"}};
	struct mark mark = {1, 1};

	if (parser->tree->root && tree_node(parser->tree, parser->tree->root)->len > 0) {
		mark = tree_node(parser->tree, parser->tree->root)->mark;
	} else {
		diagnostic_add(parser->diagnostics, mark, "the policy is empty");
		diagnostic_hint(parser->diagnostics, "the shortest one is \"version: 1\"");
		return 0;
	}
	if (!mapping_parse(parser, parser->tree->root, keys, POLICY_KEYS))
		return 0;
	if (keys[POLICY_VERSION].value) {
		version_parse(parser, keys[POLICY_VERSION].value);
	} else {
		diagnostic_add(parser->diagnostics, mark, "the key \"version\" is missing");
		diagnostic_hint(parser->diagnostics, "version: 1");
	}
	if (keys[POLICY_MODE].value)
		mode_parse(parser, keys[POLICY_MODE].value);
	if (keys[POLICY_DEFAULT].value)
		fallback_parse(parser, keys[POLICY_DEFAULT].value);
	if (keys[POLICY_BUDGET].value)
		budget_parse(parser, keys[POLICY_BUDGET].value);
	return keys[POLICY_RULES].value ? rules_parse(parser, keys[POLICY_RULES].value) : 0;
}
