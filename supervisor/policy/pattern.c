/* SPDX-License-Identifier: Apache-2.0 */

/* Parsing of what a rule compares facts with: patterns and ids. */

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <string.h>

#include "policy/draft.h"
#include "policy/glob.h"
#include "policy/regex.h"

/* Room for an entry of passwd(5) or group(5), and how many may be looked up. */
#define ID_ENTRY_MAX   (1024 * 1024)
#define ID_LOOKUPS_MAX 65536

/* Longest exact text or glob: the longest path that the kernel hands out. */
#define PATTERN_TEXT_MAX 4095

static int exact_parse(struct parser *parser, const char *text, size_t len, struct mark mark,
	struct pattern *pattern)
{
	(void)mark;
	pattern->kind = PATTERN_EXACT;
	return draft_text(parser->draft, text, len, &pattern->key);
}

/* Takes the literal bytes that the operations begin with as the key. */
static int glob_finish(struct draft *draft, struct pattern *pattern)
{
	const uint16_t *ops = pattern->ops.count > 0
				      ? buffer_at(&draft->ops, uint16_t, pattern->ops.first)
				      : NULL;
	uint32_t count = 0;
	char key[PATTERN_TEXT_MAX];

	while (count < pattern->ops.count && ops[count] < GLOB_ANY) {
		key[count] = (char)ops[count];
		count++;
	}
	if (count == pattern->ops.count)
		pattern->kind = PATTERN_EXACT;
	else if (count + 1 == pattern->ops.count && ops[count] == GLOB_STAR)
		pattern->kind = PATTERN_PREFIX;
	else
		pattern->kind = PATTERN_GLOB;
	return draft_text(draft, key, count, &pattern->key);
}

static int glob_parse(struct parser *parser, const char *text, size_t len, struct mark mark,
	struct pattern *pattern)
{
	struct draft *draft = parser->draft;
	uint32_t first = (uint32_t)buffer_count(&draft->ops, uint16_t);
	const char *problem, *hint;
	int r = glob_compile(text, len, &draft->ops, &draft->sets, &problem, &hint);

	if (r == -EINVAL) {
		diagnostic_add(parser->diagnostics, mark, "bad glob: %s", problem);
		diagnostic_hint(parser->diagnostics, "%s", hint);
	}
	if (r < 0)
		return r;
	pattern->ops = (struct span){first, (uint32_t)buffer_count(&draft->ops, uint16_t) - first};
	return glob_finish(draft, pattern);
}

/* Whether another regular expression is within the bounds of a policy. */
static bool regex_fits(struct parser *parser, struct mark mark)
{
	if (buffer_count(&parser->draft->regexes, pcre2_code *) < REGEX_COUNT_MAX &&
		parser->draft->regex_bytes < REGEX_BYTES_MAX)
		return true;
	diagnostic_add(parser->diagnostics, mark, "too many regular expressions in this policy");
	diagnostic_hint(parser->diagnostics, "globs have no such bound");
	return false;
}

static int regex_parse(struct parser *parser, const char *text, size_t len, struct mark mark,
	struct pattern *pattern)
{
	struct draft *draft = parser->draft;
	char message[REGEX_MESSAGE_MAX];
	pcre2_code *code = NULL, **room;
	size_t offset, bytes = 0;
	int r;

	if (!regex_fits(parser, mark))
		return -EINVAL;
	room = buffer_grow(&draft->regexes, sizeof(*room));
	if (!room)
		return -ENOMEM;
	r = regex_compile(text, len, &code, message, &offset);
	*room = code;
	/* What fails may have cost as much as what succeeds. */
	draft->regex_bytes += r < 0 ? 16384 : 1024;
	if (r == -EINVAL)
		diagnostic_add(parser->diagnostics, mark, "bad regex: %s (at offset %zu)", message,
			offset);
	if (r < 0)
		return r;
	pcre2_pattern_info(code, PCRE2_INFO_SIZE, &bytes);
	draft->regex_bytes += bytes;
	pattern->kind = PATTERN_REGEX;
	pattern->code = (uint32_t)buffer_count(&draft->regexes, pcre2_code *) - 1;
	r = draft_text(draft, text, len, &pattern->regex);
	if (r < 0)
		return r;
	pattern->key.count = (uint32_t)regex_prefix_length(text, len);
	pattern->key.first = pattern->regex.first + (pattern->key.count > 0); /* behind the ^ */
	return 0;
}

/* Returns 0, -EINVAL after a diagnostic, or -ENOMEM. */
typedef int pattern_kind_fn(struct parser *parser, const char *text, size_t len, struct mark mark,
	struct pattern *pattern);

/* {exact: "..."}, {glob: "..."} or {regex: "..."}. Returns the text's node, 0 after a mistake. */
static uint32_t pattern_mapping(struct parser *parser, uint32_t index, pattern_kind_fn **ret_parse)
{
	struct key keys[] = {{.name = "exact"}, {.name = "glob"}, {.name = "regex"}};
	static pattern_kind_fn *const kinds[] = {exact_parse, glob_parse, regex_parse};
	const struct node *node = tree_node(parser->tree, index);
	size_t before = diagnostics_count(parser->diagnostics);
	uint32_t found = 0, count = 0;

	if (!mapping_parse(parser, index, keys, ARRAY_SIZE(keys)))
		return 0;
	for (unsigned i = 0; i < ARRAY_SIZE(keys); i++) {
		if (!keys[i].value)
			continue;
		found = keys[i].value;
		*ret_parse = kinds[i];
		count++;
	}
	if (count == 1)
		return found;
	if (diagnostics_count(parser->diagnostics) == before) {
		diagnostic_add(parser->diagnostics, node->mark,
			"a pattern has one of the keys exact, glob and regex");
		diagnostic_hint(parser->diagnostics, "write several patterns as a list");
	}
	return 0;
}

int pattern_parse(struct parser *parser, uint32_t index)
{
	pattern_kind_fn *parse = glob_parse;
	struct pattern pattern = {0}, *room;
	struct mark mark;
	const char *text;
	size_t len;
	int r;

	if (tree_node(parser->tree, index)->type == NODE_MAPPING) {
		index = pattern_mapping(parser, index, &parse);
		if (index == 0)
			return 0;
	}
	text = scalar_parse(parser, index, "a pattern");
	if (!text)
		return 0;
	mark = tree_node(parser->tree, index)->mark;
	len = strlen(text);
	if (len > PATTERN_TEXT_MAX) {
		diagnostic_add(parser->diagnostics, mark, "a pattern has at most %d bytes",
			PATTERN_TEXT_MAX);
		return 0;
	}
	r = parse(parser, text, len, mark, &pattern);
	if (r < 0)
		return r == -EINVAL ? 0 : r;
	room = buffer_grow(&parser->draft->patterns, sizeof(*room));
	if (!room)
		return -ENOMEM;
	*room = pattern;
	return 0;
}

/* Looks up a user. Returns 0, or a positive errno: ERANGE when buffer is too small, ENOENT. */
static int user_find(const char *name, struct buffer *buffer, uint32_t *ret_id)
{
	struct passwd entry, *found;
	int error = getpwnam_r(name, &entry, buffer->data, buffer->size, &found);

	if (error == 0 && found)
		*ret_id = found->pw_uid;
	return error == 0 && !found ? ENOENT : error;
}

static int group_find(const char *name, struct buffer *buffer, uint32_t *ret_id)
{
	struct group entry, *found;
	int error = getgrnam_r(name, &entry, buffer->data, buffer->size, &found);

	if (error == 0 && found)
		*ret_id = found->gr_gid;
	return error == 0 && !found ? ENOENT : error;
}

/* Finds the id of a name. Returns 1, 0 when there is none, or -ENOMEM. */
static int id_find(struct parser *parser, const char *name, enum id id, uint32_t *ret_id)
{
	struct buffer *buffer = &parser->names;
	int error = ERANGE;

	while (error == ERANGE && buffer->size < ID_ENTRY_MAX) {
		if (!buffer_grow(buffer, buffer->size ? buffer->size : 1024))
			return -ENOMEM;
		error = id == ID_UID ? user_find(name, buffer, ret_id)
				     : group_find(name, buffer, ret_id);
	}
	buffer->size = 0;
	/* Whatever else went wrong: the name is not known here, and a rule for it would be void. */
	return error == ENOMEM ? -ENOMEM : error == 0;
}

/* Digits and nothing else, below the id that the kernel keeps for "none". */
static const char *id_number(const char *text, uint32_t *ret_id)
{
	uint64_t id = 0;
	const char *at = text;

	for (; *at >= '0' && *at <= '9'; at++) {
		id = id * 10 + (uint64_t)(*at - '0');
		if (id >= UINT32_MAX)
			return NULL;
	}
	*ret_id = (uint32_t)id;
	return at == text ? NULL : at;
}

/* A number or a range. Returns whether text is one. */
static bool id_range_parse(const char *text, struct id_range *range)
{
	const char *rest = id_number(text, &range->low);

	range->high = range->low;
	if (rest && *rest == '-')
		rest = id_number(rest + 1, &range->high);
	return rest && *rest == '\0';
}

static void report_id(struct parser *parser, struct mark mark, const char *text, enum id id)
{
	struct quote quote = quote_text(text, strlen(text));
	const char *what = id == ID_UID ? "user" : "group";

	if (strspn(text, "0123456789-") == strlen(text)) {
		diagnostic_add(parser->diagnostics, mark, "\"%s\" is no %s id or range of them",
			quote.text, what);
		diagnostic_hint(parser->diagnostics, "from 0 to 4294967294, such as 1000-60000");
		return;
	}
	diagnostic_add(parser->diagnostics, mark, "there is no %s \"%s\"", what, quote.text);
	diagnostic_hint(parser->diagnostics, "a number always works");
}

/* A single id, by name. Returns 1, 0 after a diagnostic, or -ENOMEM. */
static int id_name_parse(struct parser *parser, const char *text, struct mark mark, enum id id,
	struct id_range *range)
{
	int r;

	if (++parser->lookups > ID_LOOKUPS_MAX) {
		diagnostic_add(parser->diagnostics, mark, "too many names of users and groups");
		diagnostic_hint(parser->diagnostics, "numbers have no such bound");
		return 0;
	}
	r = id_find(parser, text, id, &range->low);
	range->high = range->low;
	if (r == 0)
		report_id(parser, mark, text, id);
	return r;
}

int id_parse(struct parser *parser, uint32_t index, enum id id)
{
	const char *text = scalar_parse(parser, index, "a number, a range or a name");
	struct mark mark = tree_node(parser->tree, index)->mark;
	struct id_range range = {0}, *room;
	int r;

	if (!text)
		return 0;
	if (!id_range_parse(text, &range)) {
		r = id_name_parse(parser, text, mark, id, &range);
		if (r <= 0)
			return r;
	}
	if (range.high < range.low) {
		diagnostic_add(parser->diagnostics, mark, "this range ends before it begins");
		diagnostic_hint(parser->diagnostics, "%u-%u", range.high, range.low);
		return 0;
	}
	room = buffer_grow(&parser->draft->ranges, sizeof(*room));
	if (!room)
		return -ENOMEM;
	*room = range;
	return 0;
}
