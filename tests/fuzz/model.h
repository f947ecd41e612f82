/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * A second, slow and obvious policy, made from the bytes of a fuzzer. It is written out as YAML for
 * the engine and judged by itself here, from this structure and never from the engine's data.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "policy/policy.h"

#define MODEL_RULES_MAX    8
#define MODEL_PATTERNS_MAX 3
#define MODEL_ATOMS_MAX    5
#define MODEL_FLAGS_MAX    3
#define MODEL_RANGES_MAX   2
#define MODEL_STRING_MAX   16

enum atom_kind {
	ATOM_BYTE, /* itself */
	ATOM_ANY,  /* glob "?", regex "." */
	ATOM_SET,  /* "[ac-]", from low to high */
};

struct atom {
	enum atom_kind kind;
	bool repeat;  /* any number of them: in a glob only of ATOM_ANY, which is "*" there */
	bool negated; /* ATOM_SET */
	char byte, low, high;
};

enum pattern_kind { PATTERN_PLAIN, PATTERN_GLOB, PATTERN_EXACT, PATTERN_REGEX };

struct pattern {
	enum pattern_kind kind;
	bool at_start, at_end; /* regex: anchored by ^ and $ */
	size_t atom_count;
	struct atom atoms[MODEL_ATOMS_MAX];
};

struct pattern_list {
	bool present;
	size_t count;
	struct pattern patterns[MODEL_PATTERNS_MAX];
};

struct flag_item {
	const char *text; /* as it is written */
	uint32_t mask, value;
};

struct flag_list {
	size_t count; /* 0: the key is left out */
	struct flag_item items[MODEL_FLAGS_MAX];
};

struct id_range {
	uint32_t low, high;
};

struct id_list {
	size_t count; /* 0: the key is left out */
	struct id_range ranges[MODEL_RANGES_MAX];
};

struct model_rule {
	bool dropped;  /* the engine says that it can never decide */
	bool careless; /* leaves advisory out, needed or not */
	bool advisory; /* the engine asked for it */
	char name[8];
	struct pattern_list name_patterns, comm, exe, cgroup;
	struct flag_list any, all, none;
	struct id_list uid, gid;
	struct decision decision;
	char rename[MODEL_STRING_MAX];
};

struct model {
	size_t rule_count;
	struct model_rule rules[MODEL_RULES_MAX];
	struct decision fallback;
};

/* Bytes from the fuzzer; zeros once they are used up. */
struct input {
	const uint8_t *bytes;
	size_t left;
};

/* A number below bound. */
unsigned input_take(struct input *input, unsigned bound);

/* Makes a model. */
void model_make(struct model *model, struct input *input);

/* Says where the files of its rules are to be. Apart, so that older inputs mean what they meant. */
void model_make_backings(struct model *model, struct input *input);

/* A string for a call, of the few characters of which patterns are made. Returns its length. */
size_t model_make_string(struct input *input, char out[static MODEL_STRING_MAX]);

/* The flags of a call. */
uint32_t model_make_flags(struct input *input);

/*
 * Whether the rule looks at the name and something allows, there or further on: the kernel may then
 * read another name. The engine may know better, when no call can come to both.
 */
bool model_may_race(const struct model *model, size_t number);

/* Lines of text ahead of the first rule; each rule takes one. */
#define MODEL_HEAD_LINES 4

/* Writes the policy without the dropped rules. */
void model_write(const struct model *model, FILE *out);

/*
 * Judges the call by what is in call->known. Returns 0 and the decision, or the facts of which the
 * first rule that is still open may ask for one.
 */
unsigned model_decide(
	const struct model *model, const struct policy_call *call, struct decision *ret_decision);
