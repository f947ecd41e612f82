/* SPDX-License-Identifier: Apache-2.0 */

/* Parsing of rules. */

#include <errno.h>
#include <string.h>

#include "base/memfd.h"
#include "policy/draft.h"

#define RULES_MAX  65536
#define RENAME_MAX 249 /* memfd_create(2) */

enum rule_key {
	RULE_NAME,
	RULE_MATCH,
	RULE_ACTION,
	RULE_ERRNO,
	RULE_ADD_FLAGS,
	RULE_CLEAR_FLAGS,
	RULE_RENAME,
	RULE_ADVISORY,
	RULE_BACKING,
	RULE_NOEXEC,
	RULE_KEYS,
};

static int name_parse(struct parser *parser, uint32_t node, struct rule *rule)
{
	static const char allowed[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
	const char *text = scalar_parse(parser, node, "the name of the rule");
	struct mark mark = tree_node(parser->tree, node)->mark;
	struct span span;
	int r;

	if (!text)
		return 0;
	if (*text == '\0' || strlen(text) >= POLICY_RULE_NAME_MAX ||
		text[strspn(text, allowed)] != '\0') {
		diagnostic_add(parser->diagnostics, mark,
			"the name of a rule has 1 to %d of the characters A-Z a-z 0-9 . _ -",
			POLICY_RULE_NAME_MAX - 1);
		return 0;
	}
	if (strcmp(text, "default") == 0 || strcmp(text, "budget") == 0 ||
		strcmp(text, "syscalls") == 0)
		diagnostic_add(parser->diagnostics, mark,
			"the name \"%s\" is reserved: events use it for what no rule decides",
			text);
	r = draft_text(parser->draft, text, strlen(text), &span);
	rule->name = span.first;
	return r;
}

/* A key that has a meaning with one action only. */
static void key_belongs(
	struct parser *parser, const struct key *key, enum verdict action, enum verdict belongs_to)
{
	if (!key->value || action == belongs_to)
		return;
	diagnostic_add(parser->diagnostics, key->mark, "the key \"%s\" does not go with action: %s",
		key->name, verdict_to_string(action));
	diagnostic_hint(
		parser->diagnostics, "it goes with action: %s", verdict_to_string(belongs_to));
}

static void action_parse(struct parser *parser, const struct key *keys, struct rule *rule)
{
	static const char *const words[] = {"allow", "deny", "kill", "emulate"};
	int action = word_parse(
		parser, keys[RULE_ACTION].value, "allow, deny, kill or emulate", words, 4);

	if (action < 0)
		return;
	rule->verdict = (enum verdict)action;
	key_belongs(parser, &keys[RULE_ERRNO], rule->verdict, VERDICT_DENY);
	key_belongs(parser, &keys[RULE_ADD_FLAGS], rule->verdict, VERDICT_EMULATE);
	key_belongs(parser, &keys[RULE_CLEAR_FLAGS], rule->verdict, VERDICT_EMULATE);
	key_belongs(parser, &keys[RULE_RENAME], rule->verdict, VERDICT_EMULATE);
	key_belongs(parser, &keys[RULE_BACKING], rule->verdict, VERDICT_EMULATE);
	key_belongs(parser, &keys[RULE_NOEXEC], rule->verdict, VERDICT_EMULATE);
}

/* Whether a flag and those added before it want different values of one field. */
static bool add_conflicts(const struct rule *rule, struct flag_test test)
{
	uint32_t present = rule->flags_add & test.mask;

	if (test.mask != test.value)
		return present != 0 && present != test.value;
	return (test.value & rule->flags_clear & ~rule->flags_add) != 0;
}

static int add_item(struct parser *parser, uint32_t node, void *userdata)
{
	struct rule *rule = userdata;
	struct flag_test test;

	if (!flag_parse(parser, node, &test))
		return 0;
	if (add_conflicts(rule, test)) {
		diagnostic_add(parser->diagnostics, tree_node(parser->tree, node)->mark,
			"this flag excludes another of the list: they are values of one field");
		return 0;
	}
	rule->flags_add |= test.value;
	/* A value of a field takes the place of what the field holds. */
	if (test.mask != test.value)
		rule->flags_clear |= test.mask;
	return 0;
}

static int clear_item(struct parser *parser, uint32_t node, void *userdata)
{
	struct rule *rule = userdata;
	struct flag_test test;

	if (!flag_parse(parser, node, &test))
		return 0;
	if (rule->flags_add & test.mask) {
		diagnostic_add(parser->diagnostics, tree_node(parser->tree, node)->mark,
			"this flag is also added");
		return 0;
	}
	rule->flags_clear |= test.mask;
	return 0;
}

static int rename_parse(struct parser *parser, uint32_t node, struct rule *rule)
{
	const char *text = scalar_parse(parser, node, "a text");
	struct span span;
	int r;

	if (!text)
		return 0;
	if (strlen(text) > RENAME_MAX) {
		diagnostic_add(parser->diagnostics, tree_node(parser->tree, node)->mark,
			"a name has at most %d bytes (memfd_create(2)), this one has %zu",
			RENAME_MAX, strlen(text));
		return 0;
	}
	r = draft_text(parser->draft, text, strlen(text), &span);
	rule->rename = span.first;
	return r;
}

static void backing_parse(struct parser *parser, const struct key *key, struct rule *rule)
{
	static const char *const words[] = {"memfd", "tmpfs", "disk"};
	int word = word_parse(parser, key->value, "memfd, tmpfs or disk", words, 3);

	if (word < 0)
		return;
	rule->backing = (enum backing)(BACKING_MEMFD + word);
	if (rule->backing == BACKING_DISK)
		spill_use(parser, tree_node(parser->tree, key->value)->mark);
}

/* Where the file is and how it is made cannot contradict what is asked for. */
static void backing_check(struct parser *parser, const struct key *keys, const struct rule *rule)
{
	bool elsewhere = rule->backing == BACKING_TMPFS || rule->backing == BACKING_DISK;

	if (rule->noexec && rule->flags_add & MFD_EXEC) {
		diagnostic_add(parser->diagnostics, keys[RULE_NOEXEC].mark,
			"noexec, and add_flags asks for EXEC");
		diagnostic_hint(parser->diagnostics, "a file is the one or the other");
	}
	if (elsewhere && rule->flags_add & (MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL)) {
		diagnostic_add(parser->diagnostics, keys[RULE_BACKING].mark,
			"a file with backing: %s cannot be sealed, and add_flags asks for it",
			backing_name(rule->backing));
		diagnostic_hint(parser->diagnostics,
			"noexec: true keeps it from being executed without a seal");
	}
	if (elsewhere && rule->flags_add & MFD_HUGETLB)
		diagnostic_add(parser->diagnostics, keys[RULE_BACKING].mark,
			"a file with backing: %s has no huge pages, and add_flags asks for them",
			backing_name(rule->backing));
}

static int values_parse(struct parser *parser, const struct key *keys, struct rule *rule,
	struct flag_condition *condition)
{
	int r = 0;

	if (keys[RULE_NAME].value)
		r = name_parse(parser, keys[RULE_NAME].value, rule);
	if (r == 0 && keys[RULE_MATCH].value)
		r = match_parse(parser, keys[RULE_MATCH].value, rule, condition);
	if (r == 0 && keys[RULE_ACTION].value)
		action_parse(parser, keys, rule);
	if (r == 0 && keys[RULE_ERRNO].value)
		errno_parse(parser, keys[RULE_ERRNO].value, &rule->error);
	if (r == 0 && keys[RULE_ADD_FLAGS].value)
		r = list_parse(parser, keys[RULE_ADD_FLAGS].value, add_item, rule);
	if (r == 0 && keys[RULE_CLEAR_FLAGS].value)
		r = list_parse(parser, keys[RULE_CLEAR_FLAGS].value, clear_item, rule);
	if (r == 0 && keys[RULE_RENAME].value)
		r = rename_parse(parser, keys[RULE_RENAME].value, rule);
	if (r == 0 && keys[RULE_ADVISORY].value)
		rule->advisory = bool_parse(parser, keys[RULE_ADVISORY].value);
	if (r == 0 && keys[RULE_NOEXEC].value)
		rule->noexec = bool_parse(parser, keys[RULE_NOEXEC].value);
	if (r == 0 && keys[RULE_BACKING].value)
		backing_parse(parser, &keys[RULE_BACKING], rule);
	return r;
}

static int rule_add(struct draft *draft, const struct rule *rule, const struct rule_source *source,
	const struct flag_condition *condition)
{
	struct rule *room = buffer_grow(&draft->rules, sizeof(*room));
	struct rule_source *source_room = buffer_grow(&draft->sources, sizeof(*source_room));
	struct flag_condition *condition_room =
		buffer_grow(&draft->conditions, sizeof(*condition_room));

	if (!room || !source_room || !condition_room)
		return -ENOMEM;
	*room = *rule;
	*source_room = *source;
	*condition_room = *condition;
	return 0;
}

/* What a rule must have; and advisory says something about the name only. */
static void keys_check(
	struct parser *parser, const struct key *keys, struct mark mark, const struct rule *rule)
{
	if (!keys[RULE_NAME].value)
		diagnostic_add(parser->diagnostics, mark, "this rule has no name");
	if (!keys[RULE_ACTION].value) {
		diagnostic_add(parser->diagnostics, mark, "this rule has no action");
		diagnostic_hint(parser->diagnostics, "action: allow, deny, kill or emulate");
	}
	if (rule->advisory && !(rule->facts & FACT_NAME)) {
		diagnostic_add(parser->diagnostics, keys[RULE_ADVISORY].mark,
			"advisory has no meaning on a rule that does not look at the name");
	}
}

static int rule_parse(struct parser *parser, uint32_t node)
{
	struct key keys[RULE_KEYS] = {[RULE_NAME] = {.name = "name"},
		[RULE_MATCH] = {.name = "match"},
		[RULE_ACTION] = {.name = "action"},
		[RULE_ERRNO] = {.name = "errno"},
		[RULE_ADD_FLAGS] = {.name = "add_flags"},
		[RULE_CLEAR_FLAGS] = {.name = "clear_flags"},
		[RULE_RENAME] = {.name = "rename"},
		[RULE_ADVISORY] = {.name = "advisory"},
		[RULE_BACKING] = {.name = "backing"},
		[RULE_NOEXEC] = {.name = "noexec"}};
	struct rule rule = {.name = NONE, .rename = NONE, .error = EPERM};
	struct rule_source source = {.mark = tree_node(parser->tree, node)->mark};
	struct flag_condition condition = {.all = {0, 0}};
	size_t before = diagnostics_count(parser->diagnostics);
	int r;

	if (!mapping_parse(parser, node, keys, RULE_KEYS))
		return 0;
	r = values_parse(parser, keys, &rule, &condition);
	if (r < 0)
		return r;
	keys_check(parser, keys, source.mark, &rule);
	backing_check(parser, keys, &rule);
	if (keys[RULE_NAME].value)
		source.name_mark = tree_node(parser->tree, keys[RULE_NAME].value)->mark;
	if (keys[RULE_ACTION].value)
		source.action_mark = tree_node(parser->tree, keys[RULE_ACTION].value)->mark;
	source.match_mark = keys[RULE_MATCH].mark;
	source.broken = diagnostics_count(parser->diagnostics) > before;
	return rule_add(parser->draft, &rule, &source, &condition);
}

int rules_parse(struct parser *parser, uint32_t list)
{
	const struct node *node = tree_node(parser->tree, list);
	int r = 0;

	if (node->type != NODE_SEQUENCE) {
		if (node->type != NODE_NONE) {
			diagnostic_add(parser->diagnostics, node->mark, "expected a list of rules");
			diagnostic_hint(
				parser->diagnostics, "begin each rule with \"- name: ...\"");
		}
		return 0;
	}
	if (node->len > RULES_MAX) {
		diagnostic_add(parser->diagnostics, node->mark, "more than %d rules", RULES_MAX);
		return 0;
	}
	for (uint32_t i = node->first; i && r == 0 && !diagnostics_full(parser->diagnostics);
		i = tree_next(parser->tree, i))
		r = rule_parse(parser, i);
	return r;
}
