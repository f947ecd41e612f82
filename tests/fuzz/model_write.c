/* SPDX-License-Identifier: Apache-2.0 */

#include "model.h"

#include <inttypes.h>
#include <string.h>

#include "base/macro.h"

/* In double quotes, for YAML. The bytes are UTF-8. */
static void quoted_write(const char *text, FILE *out)
{
	putc('"', out);
	for (; *text; text++) {
		if (*text == '"' || *text == '\\')
			fprintf(out, "\\%c", *text);
		else if (*text == '\n')
			fputs("\\n", out);
		else
			putc(*text, out);
	}
	putc('"', out);
}

/* Escapes a byte that means something to a regex or glob. Returns where the text goes on. */
static char *byte_write(enum pattern_kind kind, char byte, char *at)
{
	const char *special = kind == PATTERN_REGEX ? "\\^$.[]|()?*+{}" : "\\*?[";

	if (kind != PATTERN_EXACT && strchr(special, byte))
		*at++ = '\\';
	*at++ = byte;
	return at;
}

static char *set_write(enum pattern_kind kind, const struct atom *atom, char *at)
{
	*at++ = '[';
	if (atom->negated)
		*at++ = kind == PATTERN_REGEX ? '^' : '!';
	*at++ = atom->low;
	if (atom->high != atom->low) {
		*at++ = '-';
		*at++ = atom->high;
	}
	*at++ = ']';
	return at;
}

static char *atom_write(enum pattern_kind kind, const struct atom *atom, char *at)
{
	switch (atom->kind) {
	case ATOM_BYTE:
		at = byte_write(kind, atom->byte, at);
		break;
	case ATOM_ANY:
		*at++ = kind == PATTERN_REGEX ? '.' : (atom->repeat ? '*' : '?');
		break;
	case ATOM_SET:
		at = set_write(kind, atom, at);
		break;
	}
	if (kind == PATTERN_REGEX && atom->repeat)
		*at++ = '*';
	return at;
}

static void pattern_write(const struct pattern *pattern, FILE *out)
{
	static const char *const keys[] = {
		[PATTERN_GLOB] = "glob", [PATTERN_EXACT] = "exact", [PATTERN_REGEX] = "regex"};
	char text[MODEL_ATOMS_MAX * 8 + 3], *at = text;

	if (pattern->kind == PATTERN_REGEX && pattern->at_start)
		*at++ = '^';
	for (size_t i = 0; i < pattern->atom_count; i++)
		at = atom_write(pattern->kind, &pattern->atoms[i], at);
	if (pattern->kind == PATTERN_REGEX && pattern->at_end)
		*at++ = '$';
	*at = '\0';
	if (pattern->kind != PATTERN_PLAIN)
		fprintf(out, "{%s: ", keys[pattern->kind]);
	quoted_write(text, out);
	if (pattern->kind != PATTERN_PLAIN)
		putc('}', out);
}

static void patterns_write(const char *key, const struct pattern_list *list, FILE *out)
{
	if (!list->present)
		return;
	fprintf(out, "%s: [", key);
	for (size_t i = 0; i < list->count; i++) {
		fputs(i ? ", " : "", out);
		pattern_write(&list->patterns[i], out);
	}
	fputs("], ", out);
}

static void flags_write(const char *key, const struct flag_list *list, FILE *out)
{
	if (!list->count)
		return;
	fprintf(out, "%s: [", key);
	for (size_t i = 0; i < list->count; i++)
		fprintf(out, "%s%s", i ? ", " : "", list->items[i].text);
	fputs("], ", out);
}

static void ids_write(const char *key, const struct id_list *list, FILE *out)
{
	if (!list->count)
		return;
	fprintf(out, "%s: [", key);
	for (size_t i = 0; i < list->count; i++) {
		const struct id_range *range = &list->ranges[i];

		fprintf(out, "%s%" PRIu32, i ? ", " : "", range->low);
		if (range->high != range->low)
			fprintf(out, "-%" PRIu32, range->high);
	}
	fputs("], ", out);
}

static void match_write(const struct model_rule *rule, FILE *out)
{
	bool flags = rule->any.count || rule->all.count || rule->none.count;

	if (!flags && !rule->name_patterns.present && !rule->comm.present && !rule->exe.present &&
		!rule->cgroup.present && !rule->uid.count && !rule->gid.count)
		return;
	fputs("match: {", out);
	patterns_write("name", &rule->name_patterns, out);
	patterns_write("comm", &rule->comm, out);
	patterns_write("exe", &rule->exe, out);
	patterns_write("cgroup", &rule->cgroup, out);
	ids_write("uid", &rule->uid, out);
	ids_write("gid", &rule->gid, out);
	if (flags) {
		fputs("flags: {", out);
		flags_write("any", &rule->any, out);
		flags_write("all", &rule->all, out);
		flags_write("none", &rule->none, out);
		fputs("}", out);
	}
	fputs("}, ", out);
}

static const char *error_name(const struct decision *decision)
{
	return decision->verdict == VERDICT_DENY ? strerrorname_np(decision->error) : NULL;
}

static void bits_write(const char *key, uint32_t bits, FILE *out)
{
	if (bits)
		fprintf(out, ", %s: [0x%" PRIx32 "]", key, bits);
}

static void rule_write(const struct model *model, size_t number, FILE *out)
{
	const struct model_rule *rule = &model->rules[number];
	const struct decision *decision = &rule->decision;

	fprintf(out, "- {name: %s, ", rule->name);
	match_write(rule, out);
	fprintf(out, "action: %s", verdict_to_string(decision->verdict));
	if (error_name(decision))
		fprintf(out, ", errno: %s", error_name(decision));
	bits_write("add_flags", decision->flags_add, out);
	bits_write("clear_flags", decision->flags_clear, out);
	if (decision->rename) {
		fputs(", rename: ", out);
		quoted_write(decision->rename, out);
	}
	if (decision->backing != BACKING_AUTO)
		fprintf(out, ", backing: %s", backing_name(decision->backing));
	if (decision->noexec)
		fputs(", noexec: true", out);
	if (rule->advisory || (!rule->careless && model_may_race(model, number)))
		fputs(", advisory: true", out);
	fputs("}\n", out);
}

static bool has_rules(const struct model *model)
{
	for (size_t i = 0; i < model->rule_count; i++) {
		if (!model->rules[i].dropped)
			return true;
	}
	return false;
}

void model_write(const struct model *model, FILE *out)
{
	const struct decision *fallback = &model->fallback;

	fprintf(out, "version: 1\n");
	if (error_name(fallback))
		fprintf(out, "default: {action: deny, errno: %s}\n", error_name(fallback));
	else
		fprintf(out, "default: %s\n", verdict_to_string(fallback->verdict));
	fputs("budget: {cgroup: {reserve: 1}, exceeded: spill, spill: {directory: /, size: 1}}\n",
		out);
	fputs(has_rules(model) ? "rules:\n" : "rules: []\n", out);
	for (size_t i = 0; i < model->rule_count; i++) {
		if (model->rules[i].dropped)
			fputs("# dropped\n", out);
		else
			rule_write(model, i, out);
	}
}
