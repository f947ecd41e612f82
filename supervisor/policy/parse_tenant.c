/* SPDX-License-Identifier: Apache-2.0 */

/* Parsing of who is a tenant. */

#include <errno.h>
#include <string.h>

#include "policy/draft.h"
#include "policy/glob.h"
#include "policy/tenant.h"

/* Whether the path has a component of no bytes, which no cgroup's has. */
static bool has_empty_component(const uint16_t *ops, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		if (ops[i] == '/' && (i + 1 == count || ops[i + 1] == '/'))
			return true;
	return false;
}

static void captures_check(struct parser *parser, struct mark mark, unsigned captures)
{
	if (captures == 1)
		return;
	diagnostic_add(parser->diagnostics, mark,
		captures == 0 ? "the pattern does not say what names the tenant"
			      : "only one part of the path names the tenant");
	diagnostic_hint(parser->diagnostics, "one (*), such as \"/docker/(*)\"");
}

static int pattern_compile(struct parser *parser, const char *text, struct mark mark)
{
	struct draft *draft = parser->draft;
	uint32_t first = (uint32_t)buffer_count(&draft->ops, uint16_t), count;
	const char *problem, *hint;
	unsigned captures;
	int r = glob_compile_path(
		text, strlen(text), &draft->ops, &draft->sets, &captures, &problem, &hint);

	if (r == -EINVAL) {
		diagnostic_add(parser->diagnostics, mark, "bad pattern: %s", problem);
		diagnostic_hint(parser->diagnostics, "%s", hint);
	}
	if (r < 0)
		return r == -EINVAL ? 0 : r;
	captures_check(parser, mark, captures);
	count = (uint32_t)buffer_count(&draft->ops, uint16_t) - first;
	if (has_empty_component(buffer_at(&draft->ops, uint16_t, first), count)) {
		diagnostic_add(parser->diagnostics, mark,
			"no path of a cgroup has an empty component or a slash at the end");
		diagnostic_hint(parser->diagnostics,
			"what lies below the pattern's last component belongs to it anyway");
	}
	draft->tenant_ops = (struct span){first, count};
	return 0;
}

static int cgroup_parse(struct parser *parser, uint32_t node)
{
	const char *text = scalar_parse(parser, node, "a pattern");
	struct mark mark = tree_node(parser->tree, node)->mark;

	if (!text)
		return 0;
	if (text[0] != '/') {
		diagnostic_add(parser->diagnostics, mark,
			"the pattern is compared from the beginning of the path, which is a slash");
		diagnostic_hint(parser->diagnostics, "such as \"/docker/(*)\"");
		return 0;
	}
	if (strlen(text) > TENANT_OPS_MAX) {
		diagnostic_add(parser->diagnostics, mark,
			"the pattern of a tenant has at most %d bytes", TENANT_OPS_MAX);
		return 0;
	}
	parser->draft->quotas.tenant_by = TENANT_BY_CGROUP;
	return pattern_compile(parser, text, mark);
}

int tenant_parse(struct parser *parser, uint32_t node)
{
	static const char *const words[] = {"listener", "uid"};
	struct key key = {.name = "cgroup"};
	size_t before = diagnostics_count(parser->diagnostics);
	int word;

	if (tree_node(parser->tree, node)->type == NODE_MAPPING) {
		mapping_parse(parser, node, &key, 1);
		if (key.value)
			return cgroup_parse(parser, key.value);
		if (diagnostics_count(parser->diagnostics) == before) {
			diagnostic_add(parser->diagnostics, tree_node(parser->tree, node)->mark,
				"a tenant needs something to be told by");
			diagnostic_hint(parser->diagnostics, "{cgroup: \"/docker/(*)\"}");
		}
		return 0;
	}
	word = word_parse(parser, node, "listener, uid or {cgroup: PATTERN}", words, 2);
	if (word >= 0)
		parser->draft->quotas.tenant_by = word == 0 ? TENANT_BY_LISTENER : TENANT_BY_UID;
	return 0;
}
