/* SPDX-License-Identifier: Apache-2.0 */

#include "model.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/macro.h"

unsigned input_take(struct input *input, unsigned bound)
{
	if (!input->left)
		return 0;
	input->left--;
	return *input->bytes++ % bound;
}

/* Few, so that patterns often match; with each byte that means something to a glob, a regex or
 * YAML. */
static const char alphabet[] = "aaabbbc-.*?[]^$\\/!\"'#: \n{|+(";

static char byte_make(struct input *input)
{
	return alphabet[input_take(input, sizeof(alphabet) - 1)];
}

size_t model_make_string(struct input *input, char out[static MODEL_STRING_MAX])
{
	size_t len = input_take(input, 7);

	for (size_t i = 0; i < len; i++) {
		out[i] = byte_make(input);
		if (input_take(input, 16) == 15)
			out[i] = "\xc3\xa9\xff\x01"[input_take(input, 4)];
	}
	out[len] = '\0';
	return len;
}

static void atom_make(struct atom *atom, enum pattern_kind kind, struct input *input)
{
	unsigned choice = kind == PATTERN_EXACT ? 0 : input_take(input, 8);

	if (choice < 4) {
		atom->kind = ATOM_BYTE;
		atom->byte = byte_make(input);
	} else if (choice < 6) {
		atom->kind = ATOM_ANY;
	} else {
		atom->kind = ATOM_SET;
		atom->low = (char)('a' + input_take(input, 3));
		atom->high = (char)(atom->low + (char)input_take(input, 2));
		atom->negated = choice == 7;
	}
	if (kind == PATTERN_REGEX || (kind != PATTERN_EXACT && atom->kind == ATOM_ANY))
		atom->repeat = input_take(input, 2);
}

/* The two bytes of an e with an acute accent: patterns are bytes, so "?" is one of them. */
static bool accent_make(struct pattern *pattern, struct input *input)
{
	if (pattern->atom_count + 2 > MODEL_ATOMS_MAX || input_take(input, 16) != 15)
		return false;
	pattern->atoms[pattern->atom_count++] = (struct atom){.kind = ATOM_BYTE, .byte = '\xc3'};
	pattern->atoms[pattern->atom_count++] = (struct atom){.kind = ATOM_BYTE, .byte = '\xa9'};
	return true;
}

static void patterns_make(struct pattern_list *list, struct input *input)
{
	list->present = true;
	list->count = 1 + input_take(input, MODEL_PATTERNS_MAX);
	for (size_t i = 0; i < list->count; i++) {
		struct pattern *pattern = &list->patterns[i];
		size_t atoms;

		pattern->kind = (enum pattern_kind)input_take(input, 4);
		pattern->at_start = input_take(input, 2);
		pattern->at_end = input_take(input, 2);
		atoms = input_take(input, MODEL_ATOMS_MAX + 1);
		while (pattern->atom_count < atoms) {
			if (!accent_make(pattern, input))
				atom_make(&pattern->atoms[pattern->atom_count++], pattern->kind,
					input);
		}
	}
}

static const struct flag_item flag_items[] = {
	{"CLOEXEC", 1, 1},
	{"MFD_ALLOW_SEALING", 2, 2},
	{"HUGETLB", 4, 4},
	{"NOEXEC_SEAL", 8, 8},
	{"MFD_EXEC", 16, 16},
	{"0x20", 32, 32},
	{"0x80000000", 0x80000000, 0x80000000},
	{"HUGE_2MB", 63U << 26, 21U << 26},
	{"MFD_HUGE_1GB", 63U << 26, 30U << 26},
};

static void flags_make(struct flag_list *list, struct input *input)
{
	list->count = input_take(input, 2) ? 1 + input_take(input, MODEL_FLAGS_MAX) : 0;
	for (size_t i = 0; i < list->count; i++)
		list->items[i] = flag_items[input_take(input, ARRAY_SIZE(flag_items))];
}

uint32_t model_make_flags(struct input *input)
{
	uint32_t flags = input_take(input, 32);

	for (unsigned extra = input_take(input, 4); extra; extra--)
		flags |= flag_items[input_take(input, ARRAY_SIZE(flag_items))].value;
	return input_take(input, 16) == 15 ? ~flags : flags;
}

static void ids_make(struct id_list *list, struct input *input)
{
	list->count = 1 + input_take(input, MODEL_RANGES_MAX);
	for (size_t i = 0; i < list->count; i++) {
		list->ranges[i].low = input_take(input, 6);
		list->ranges[i].high = list->ranges[i].low + input_take(input, 3);
	}
}

/* Bits to add and bits to clear, never the same ones. */
static void changes_make(struct decision *decision, struct input *input)
{
	unsigned bits = input_take(input, 32), added = input_take(input, 32);

	decision->flags_add = bits & added;
	decision->flags_clear = bits & ~added;
}

static void rename_make(struct model_rule *rule, struct input *input)
{
	if (!input_take(input, 2))
		return;
	for (size_t i = 0; i < 3; i++)
		rule->rename[i] = byte_make(input);
	rule->decision.rename = rule->rename;
}

static void decision_make(struct decision *decision, bool may_kill, struct input *input)
{
	static const int errors[] = {EPERM, EACCES, ENOSYS, ENOMEM};
	static const enum verdict verdicts[] = {
		VERDICT_EMULATE, VERDICT_DENY, VERDICT_ALLOW, VERDICT_KILL};

	decision->verdict = verdicts[input_take(input, may_kill ? 4 : 3)];
	if (decision->verdict == VERDICT_DENY)
		decision->error = errors[input_take(input, ARRAY_SIZE(errors))];
}

static void conditions_make(struct model_rule *rule, struct input *input)
{
	unsigned asks = input_take(input, 64);

	if (asks & 1)
		patterns_make(&rule->name_patterns, input);
	if ((asks & 6) == 6)
		patterns_make(&rule->comm, input);
	if ((asks & 12) == 12)
		patterns_make(&rule->exe, input);
	if ((asks & 20) == 20)
		patterns_make(&rule->cgroup, input);
	if (asks & 32)
		ids_make(input_take(input, 2) ? &rule->uid : &rule->gid, input);
	flags_make(&rule->any, input);
	flags_make(&rule->all, input);
	flags_make(&rule->none, input);
}

/* The conditions of an earlier rule with other names: near to what makes one of them unreachable.
 */
static void conditions_vary(
	struct model_rule *rule, const struct model_rule *earlier, struct input *input)
{
	*rule = *earlier;
	rule->decision = (struct decision){0};
	rule->name_patterns = (struct pattern_list){0};
	patterns_make(&rule->name_patterns, input);
}

static void rule_make(struct model *model, size_t number, struct input *input)
{
	struct model_rule *rule = &model->rules[number];

	if (number > 0 && input_take(input, 4) == 3)
		conditions_vary(rule, &model->rules[input_take(input, (unsigned)number)], input);
	else
		conditions_make(rule, input);
	snprintf(rule->name, sizeof(rule->name), "r%hu", (unsigned short)number);
	decision_make(&rule->decision, true, input);
	rule->decision.rule = rule->name;
	if (rule->decision.verdict == VERDICT_EMULATE) {
		changes_make(&rule->decision, input);
		rename_make(rule, input);
	}
}

/* What the grammar refuses as a contradiction is left out. */
void model_make_backings(struct model *model, struct input *input)
{
	for (size_t i = 0; i < model->rule_count; i++) {
		struct decision *decision = &model->rules[i].decision;
		unsigned backing = input_take(input, 4), noexec = input_take(input, 2);

		if (decision->verdict != VERDICT_EMULATE)
			continue;
		if (backing < BACKING_TMPFS || !(decision->flags_add & 0xe))
			decision->backing = (enum backing)backing;
		decision->noexec = noexec && !(decision->flags_add & 0x10);
	}
}

void model_make(struct model *model, struct input *input)
{
	unsigned careless;

	*model = (struct model){.rule_count = input_take(input, MODEL_RULES_MAX + 1)};
	decision_make(&model->fallback, false, input);
	model->fallback.rule = "default";
	for (size_t i = 0; i < model->rule_count; i++)
		rule_make(model, i, input);
	careless = input_take(input, 1 << MODEL_RULES_MAX);
	for (size_t i = 0; i < model->rule_count; i++)
		model->rules[i].careless = careless >> i & 1;
}
