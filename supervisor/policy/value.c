/* SPDX-License-Identifier: Apache-2.0 */

/* The values that keys of every kind are made of. */

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/text.h"
#include "policy/draft.h"

/* More keys, and longer ones, than any mapping of the grammar has. */
#define KEYS_MAX 16

/* A plain scalar that YAML reads as "no value". */
static bool node_is_null(const struct tree *tree, const struct node *node)
{
	const char *text;

	if (node->type != NODE_SCALAR || !node->plain)
		return false;
	text = tree_text(tree, node);
	return node->len == 0 || strcmp(text, "~") == 0 || strcasecmp(text, "null") == 0;
}

static const char *node_kind(const struct tree *tree, const struct node *node)
{
	if (node_is_null(tree, node))
		return "nothing";
	if (node->type == NODE_SEQUENCE)
		return "a list";
	return node->type == NODE_MAPPING ? "a mapping" : "a text";
}

static void report_type(struct parser *parser, const struct node *node, const char *expected)
{
	if (node->type == NODE_NONE)
		return;
	diagnostic_add(parser->diagnostics, node->mark, "expected %s, found %s", expected,
		node_kind(parser->tree, node));
}

const char *scalar_parse(struct parser *parser, uint32_t index, const char *expected)
{
	const struct node *node = tree_node(parser->tree, index);
	const char *text;

	if (node->type != NODE_SCALAR || node_is_null(parser->tree, node)) {
		report_type(parser, node, expected);
		return NULL;
	}
	text = tree_text(parser->tree, node);
	if (strlen(text) != node->len) {
		diagnostic_add(
			parser->diagnostics, node->mark, "a NUL byte can stand in no text here");
		return NULL;
	}
	return text;
}

int word_parse(struct parser *parser, uint32_t node, const char *what, const char *const *words,
	size_t count)
{
	const char *text = scalar_parse(parser, node, what), *near;
	struct quote quote;

	if (!text)
		return -1;
	for (size_t i = 0; i < count; i++)
		if (strcmp(text, words[i]) == 0)
			return (int)i;
	quote = quote_text(text, strlen(text));
	diagnostic_add(parser->diagnostics, tree_node(parser->tree, node)->mark, "\"%s\" is not %s",
		quote.text, what);
	near = text_nearest(text, words, count);
	if (near)
		diagnostic_hint(parser->diagnostics, "did you mean \"%s\"?", near);
	return -1;
}

bool bool_parse(struct parser *parser, uint32_t node)
{
	static const char *const words[] = {"false", "true"};

	return word_parse(parser, node, "true or false", words, 2) == 1;
}

static void report_unknown_key(struct parser *parser, const struct node *node, const char *text,
	const struct key *keys, size_t count)
{
	const char *names[KEYS_MAX], *near;
	char list[KEYS_MAX * 16];
	struct quote quote = quote_text(text, strlen(text));

	for (size_t i = 0; i < count; i++)
		names[i] = keys[i].name;
	diagnostic_add(parser->diagnostics, node->mark, "unknown key \"%s\"", quote.text);
	near = text_nearest(text, names, count);
	if (near) {
		diagnostic_hint(parser->diagnostics, "did you mean \"%s\"?", near);
		return;
	}
	for (size_t i = 0, at = 0; i < count && at < sizeof(list); i++)
		at += (size_t)snprintf(
			list + at, sizeof(list) - at, "%s%s", i > 0 ? ", " : "", names[i]);
	diagnostic_hint(parser->diagnostics, "the keys here are %s", list);
}

static void key_parse(
	struct parser *parser, uint32_t index, uint32_t value, struct key *keys, size_t count)
{
	const struct node *node = tree_node(parser->tree, index);
	const char *text = scalar_parse(parser, index, "a key");

	if (!text)
		return;
	for (size_t i = 0; i < count; i++) {
		if (strcmp(keys[i].name, text) != 0)
			continue;
		if (keys[i].value) {
			diagnostic_add(parser->diagnostics, node->mark,
				"the key \"%s\" is already on line %u", text, keys[i].mark.line);
			return;
		}
		keys[i].value = value;
		keys[i].mark = node->mark;
		return;
	}
	report_unknown_key(parser, node, text, keys, count);
}

bool mapping_parse(struct parser *parser, uint32_t index, struct key *keys, size_t count)
{
	const struct node *node = tree_node(parser->tree, index);

	if (node->type != NODE_MAPPING) {
		report_type(parser, node, "a mapping");
		return false;
	}
	for (uint32_t key = node->first; key && !diagnostics_full(parser->diagnostics);) {
		uint32_t value = tree_next(parser->tree, key);

		key_parse(parser, key, value, keys, count);
		key = tree_next(parser->tree, value);
	}
	return true;
}

int list_parse(struct parser *parser, uint32_t index, item_fn *item, void *userdata)
{
	const struct node *node = tree_node(parser->tree, index);
	int r = 0;

	if (node->type != NODE_SEQUENCE)
		return item(parser, index, userdata);
	if (node->len == 0)
		diagnostic_add(parser->diagnostics, node->mark, "an empty list matches nothing");
	if (node->len > LIST_MAX) {
		diagnostic_add(
			parser->diagnostics, node->mark, "more than %d items in a list", LIST_MAX);
		return 0;
	}
	for (uint32_t i = node->first; i && r == 0 && !diagnostics_full(parser->diagnostics);
		i = tree_next(parser->tree, i))
		r = item(parser, i, userdata);
	return r;
}

bool flag_parse(struct parser *parser, uint32_t index, struct flag_test *ret_test)
{
	const char *text = scalar_parse(parser, index, "a flag"), *names[64], *near;
	const struct memfd_flag *flag;
	struct quote quote;
	size_t count = 0;

	if (!text)
		return false;
	flag = memfd_flag_find(text);
	if (flag) {
		*ret_test = (struct flag_test){flag->mask, flag->value};
		return true;
	}
	if (strncasecmp(text, "0x", 2) == 0) {
		char *end;
		unsigned long bits;

		errno = 0;
		bits = strtoul(text, &end, 16);
		if (errno == 0 && *end == '\0' && end > text + 2 && bits > 0 &&
			bits <= UINT32_MAX) {
			*ret_test = (struct flag_test){(uint32_t)bits, (uint32_t)bits};
			return true;
		}
	}
	quote = quote_text(text, strlen(text));
	diagnostic_add(parser->diagnostics, tree_node(parser->tree, index)->mark,
		"\"%s\" is not a flag of memfd_create(2)", quote.text);
	for (flag = memfd_flags; flag->name && count < ARRAY_SIZE(names); flag++)
		names[count++] = flag->name;
	near = text_nearest(strncasecmp(text, "MFD_", 4) == 0 ? text + 4 : text, names, count);
	if (near)
		diagnostic_hint(parser->diagnostics, "did you mean %s?", near);
	else
		diagnostic_hint(parser->diagnostics, "bits without a name are written as 0x...");
	return false;
}

bool errno_parse(struct parser *parser, uint32_t index, int *ret_error)
{
	/* For hints: those that a policy is likely to want. */
	static const char *const likely[] = {"EPERM", "EACCES", "ENOMEM", "ENOSPC", "EINVAL",
		"EMFILE", "ENFILE", "ENOSYS", "EDQUOT", "EFBIG", "ENODEV", "EAGAIN", "EFAULT",
		"EBUSY", "EOPNOTSUPP", "EROFS", "ENOTSUP", "EIO"};
	const char *text = scalar_parse(parser, index, "the name of an errno"), *near;
	struct quote quote;
	int error;

	if (!text)
		return false;
	error = text_parse_errno(text);
	if (error > 0) {
		*ret_error = error;
		return true;
	}
	quote = quote_text(text, strlen(text));
	diagnostic_add(parser->diagnostics, tree_node(parser->tree, index)->mark,
		"\"%s\" is not the name of an errno", quote.text);
	near = text_nearest(text, likely, ARRAY_SIZE(likely));
	diagnostic_hint(parser->diagnostics, near ? "did you mean %s?" : "%s, for example",
		near ? near : "EPERM");
	return false;
}
