/* SPDX-License-Identifier: Apache-2.0 */

/* Parsing of a policy: what is said once, but for the budget. */

#include <errno.h>
#include <string.h>

#include "policy/draft.h"

enum policy_key {
	POLICY_VERSION,
	POLICY_MODE,
	POLICY_DEFAULT,
	POLICY_TENANT,
	POLICY_BUDGET,
	POLICY_OOM,
	POLICY_SYSCALLS,
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

static void oom_parse(struct parser *parser, uint32_t node)
{
	static const char *const words[] = {"leave", "attribute"};

	parser->draft->quotas.oom_attribute =
		word_parse(parser, node, "attribute or leave", words, 2) == 1;
}

/* What nobody said depends on the limits, which these calls would get around. */
static void syscalls_default(struct policy_quotas *quotas)
{
	static const enum quota tenant[] = {
		QUOTA_MEMFDS, QUOTA_RESIDENT, QUOTA_SIZE, QUOTA_HUGETLB, QUOTA_RATE};
	const uint64_t *limits = quotas->limits;

	if (limits[QUOTA_MEMFD_SIZE] != QUOTA_UNLIMITED)
		quotas->memfd_secret = SECRET_DENY;
	for (unsigned i = 0; i < ARRAY_SIZE(tenant); i++)
		if (limits[tenant[i]] != QUOTA_UNLIMITED)
			quotas->memfd_secret = SECRET_DENY;
	quotas->io_uring_denied = limits[QUOTA_SIZE] != QUOTA_UNLIMITED ||
				  limits[QUOTA_RESIDENT] != QUOTA_UNLIMITED ||
				  limits[QUOTA_MEMFD_SIZE] != QUOTA_UNLIMITED;
}

static void syscalls_parse(struct parser *parser, uint32_t node)
{
	static const char *const words[] = {"allow", "deny", "count"};
	static const enum secret_action actions[] = {SECRET_ALLOW, SECRET_DENY, SECRET_COUNT};
	struct key keys[] = {{.name = "memfd_secret"}, {.name = "io_uring"}};
	struct policy_quotas *quotas = &parser->draft->quotas;
	int word;

	if (!mapping_parse(parser, node, keys, ARRAY_SIZE(keys)))
		return;
	if (keys[0].value) {
		word = word_parse(parser, keys[0].value, "allow, deny or count", words, 3);
		if (word >= 0)
			quotas->memfd_secret = actions[word];
	}
	if (keys[1].value) {
		word = word_parse(parser, keys[1].value, "allow or deny", words, 2);
		if (word >= 0)
			quotas->io_uring_denied = word == 1;
	}
}

/* The keys that say what each call may take. */
static int limits_parse(struct parser *parser, const struct key *keys)
{
	int r = 0;

	if (keys[POLICY_TENANT].value)
		r = tenant_parse(parser, keys[POLICY_TENANT].value);
	if (r == 0 && keys[POLICY_BUDGET].value)
		r = budget_parse(parser, keys[POLICY_BUDGET].value);
	syscalls_default(&parser->draft->quotas);
	if (keys[POLICY_SYSCALLS].value)
		syscalls_parse(parser, keys[POLICY_SYSCALLS].value);
	if (keys[POLICY_OOM].value)
		oom_parse(parser, keys[POLICY_OOM].value);
	return r;
}

int policy_parse(struct parser *parser)
{
	struct key keys[POLICY_KEYS] = {[POLICY_VERSION] = {.name = "version"},
		[POLICY_MODE] = {.name = "mode"},
		[POLICY_DEFAULT] = {.name = "default"},
		[POLICY_TENANT] = {.name = "tenant"},
		[POLICY_BUDGET] = {.name = "budget"},
		[POLICY_OOM] = {.name = "oom"},
		[POLICY_SYSCALLS] = {.name = "syscalls"},
		[POLICY_RULES] = {.name = "rules"}};
	struct mark mark = {1, 1};
	int r;

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
	r = limits_parse(parser, keys);
	if (r == 0 && keys[POLICY_RULES].value)
		r = rules_parse(parser, keys[POLICY_RULES].value);
	budget_check(parser);
	return r;
}
