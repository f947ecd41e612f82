/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/glob.h"

#include <errno.h>
#include <string.h>

struct compiler {
	const char *at, *end;
	struct buffer *ops, *sets;
	bool path;
	unsigned captures;
	const char *problem, *hint;
};

static int mistake(struct compiler *compiler, const char *problem, const char *hint)
{
	compiler->problem = problem;
	compiler->hint = hint;
	return -EINVAL;
}

static int op_add(struct compiler *compiler, uint32_t op)
{
	uint16_t *room;

	if (op > UINT16_MAX)
		return mistake(compiler, "too many different [...] sets in this policy",
			"use fewer sets, or a regex");
	room = buffer_grow(compiler->ops, sizeof(*room));
	if (!room)
		return -ENOMEM;
	*room = (uint16_t)op;
	return 0;
}

static void set_put(struct byte_set *set, unsigned char byte)
{
	set->bits[byte / 64] |= UINT64_C(1) << (byte % 64);
}

/* [:class:], with at behind the "[:". */
static int read_class(struct compiler *compiler, struct byte_set *set)
{
	/* The C locale's, whatever the program's own is: pairs of first and last byte. */
	static const struct {
		const char *name, *ranges;
	} classes[] = {{"alpha:]", "AZaz"}, {"digit:]", "09"}, {"alnum:]", "09AZaz"},
		{"upper:]", "AZ"}, {"lower:]", "az"}, {"space:]", "\t\r  "},
		{"punct:]", "!/:@[`{~"}, {"xdigit:]", "09AFaf"}, {"print:]", " ~"},
		{"graph:]", "!~"}, {"cntrl:]", "\x01\x1f\x7f\x7f"}, {"blank:]", "\t\t  "}};

	for (unsigned i = 0; i < ARRAY_SIZE(classes); i++) {
		size_t len = strlen(classes[i].name);

		if ((size_t)(compiler->end - compiler->at) < len ||
			memcmp(compiler->at, classes[i].name, len) != 0)
			continue;
		for (const char *range = classes[i].ranges; *range; range += 2)
			for (int byte = range[0]; byte <= range[1]; byte++)
				set_put(set, (unsigned char)byte);
		compiler->at += len;
		return 0;
	}
	return mistake(compiler, "unknown class in [...]",
		"alpha, digit, alnum, upper, lower, space, punct, xdigit, print, graph, cntrl, "
		"blank");
}

/* One byte in a set, a backslash before it taken off. -EINVAL at the end. */
static int read_member(struct compiler *compiler)
{
	if (compiler->at < compiler->end && *compiler->at == '\\')
		compiler->at++;
	if (compiler->at == compiler->end)
		return mistake(compiler, "[ without ]", "write \\[ for the character itself");
	return (unsigned char)*compiler->at++;
}

static int read_range(struct compiler *compiler, struct byte_set *set)
{
	int low = read_member(compiler), high = low;

	if (low < 0)
		return low;
	if (compiler->end - compiler->at >= 2 && compiler->at[0] == '-' && compiler->at[1] != ']') {
		compiler->at++;
		high = read_member(compiler);
		if (high < 0)
			return high;
	}
	if (high < low)
		return mistake(compiler, "a range in [...] ends before it begins",
			"swap its ends, or write \\- for the character itself");
	for (int byte = low; byte <= high; byte++)
		set_put(set, (unsigned char)byte);
	return 0;
}

/* A set, with at behind the "[". */
static int read_set(struct compiler *compiler)
{
	uint32_t index = (uint32_t)buffer_count(compiler->sets, struct byte_set);
	struct byte_set set = {{0}}, *room;
	bool negated = false;
	int r = 0;

	if (compiler->at < compiler->end && (*compiler->at == '!' || *compiler->at == '^')) {
		negated = true;
		compiler->at++;
	}
	for (bool first = true; r == 0; first = false) {
		if (!first && compiler->at < compiler->end && *compiler->at == ']')
			break;
		if (compiler->end - compiler->at >= 2 && memcmp(compiler->at, "[:", 2) == 0) {
			compiler->at += 2;
			r = read_class(compiler, &set);
		} else {
			r = read_range(compiler, &set);
		}
	}
	if (r < 0)
		return r;
	compiler->at++;
	for (unsigned i = 0; negated && i < ARRAY_SIZE(set.bits); i++)
		set.bits[i] = ~set.bits[i];
	room = buffer_grow(compiler->sets, sizeof(*room));
	if (!room)
		return -ENOMEM;
	*room = set;
	return op_add(compiler, GLOB_SET + index);
}

/* A star and those that follow it, with at behind the first. */
static int read_star(struct compiler *compiler)
{
	bool several = false;

	for (; compiler->at < compiler->end && *compiler->at == '*'; compiler->at++)
		several = true;
	return op_add(compiler, compiler->path && !several ? GLOB_RUN : GLOB_STAR);
}

/* "(*)", with at behind the parenthesis. */
static int read_capture(struct compiler *compiler)
{
	int r;

	if (compiler->end - compiler->at < 2 || memcmp(compiler->at, "*)", 2) != 0)
		return mistake(compiler, "a capture is (*), within one component",
			"put the pattern around it, such as \"docker-(*).scope\"; write \\( for "
			"the "
			"character itself");
	compiler->at += 2;
	compiler->captures++;
	r = op_add(compiler, GLOB_NAME);
	return r < 0 ? r : op_add(compiler, GLOB_NAME_REST);
}

static int read_one(struct compiler *compiler)
{
	unsigned char byte = (unsigned char)*compiler->at++;

	if (compiler->path && byte == '(')
		return read_capture(compiler);
	if (compiler->path && byte == ')')
		return mistake(compiler, ") without (", "write \\) for the character itself");
	switch (byte) {
	case '*':
		return read_star(compiler);
	case '?':
		return op_add(compiler, GLOB_ANY);
	case '[':
		return read_set(compiler);
	case '\\':
		if (compiler->at == compiler->end)
			return mistake(compiler, "a backslash at the end quotes nothing",
				"write \\\\ for the character itself");
		return op_add(compiler, (unsigned char)*compiler->at++);
	default:
		return op_add(compiler, byte);
	}
}

static int read_all(struct compiler *compiler, const char **ret_problem, const char **ret_hint)
{
	int r = 0;

	while (r == 0 && compiler->at < compiler->end)
		r = read_one(compiler);
	if (r == -EINVAL) {
		*ret_problem = compiler->problem;
		*ret_hint = compiler->hint;
	}
	return r;
}

int glob_compile(const char *text, size_t len, struct buffer *ops, struct buffer *sets,
	const char **ret_problem, const char **ret_hint)
{
	struct compiler compiler = {.at = text, .end = text + len, .ops = ops, .sets = sets};

	return read_all(&compiler, ret_problem, ret_hint);
}

int glob_compile_path(const char *text, size_t len, struct buffer *ops, struct buffer *sets,
	unsigned *ret_captures, const char **ret_problem, const char **ret_hint)
{
	struct compiler compiler = {
		.at = text, .end = text + len, .ops = ops, .sets = sets, .path = true};
	int r = read_all(&compiler, ret_problem, ret_hint);

	*ret_captures = compiler.captures;
	return r;
}

/*
 * Only the last star ever needs to give up a byte: whatever the stars before it took, the part
 * between them has matched at its earliest place, and a later one leaves less for what follows.
 */
bool glob_match(const uint16_t *ops, uint32_t count, const struct byte_set *sets, const char *text,
	size_t len)
{
	size_t at = 0, retry_at = 0;
	uint32_t op = 0, retry_op = NONE;

	/* The bytes at the end have one place only: most texts that do not match fail here. */
	for (; count > 0 && ops[count - 1] < GLOB_ANY; count--, len--)
		if (len == 0 || (unsigned char)text[len - 1] != ops[count - 1])
			return false;
	while (at < len) {
		if (op < count && ops[op] == GLOB_STAR) {
			retry_op = ++op;
			retry_at = at;
		} else if (op < count && op_has(ops[op], sets, (unsigned char)text[at])) {
			op++;
			at++;
		} else if (retry_op != NONE) {
			op = retry_op;
			at = ++retry_at;
		} else {
			return false;
		}
		/* A star at the end takes all that is left. */
		if (op == count && retry_op == count)
			return true;
	}
	while (op < count && ops[op] == GLOB_STAR)
		op++;
	return op == count;
}

/* Whether op, no star, takes every byte that other takes. */
static bool op_covers(uint16_t op, uint16_t other, const struct byte_set *sets)
{
	if (other == GLOB_STAR)
		return false;
	if (op == GLOB_ANY || op == other)
		return true;
	if (other < GLOB_ANY)
		return op >= GLOB_SET && set_has(&sets[op - GLOB_SET], (unsigned char)other);
	for (unsigned byte = 0; byte < 256; byte++)
		if ((other == GLOB_ANY || set_has(&sets[other - GLOB_SET], (unsigned char)byte)) &&
			!op_has(op, sets, (unsigned char)byte))
			return false;
	return true;
}

/* The walk of glob_match(), over operations in place of bytes. */
bool glob_covers(const uint16_t *ops, uint32_t count, const uint16_t *other_ops,
	uint32_t other_count, const struct byte_set *sets)
{
	uint32_t at = 0, retry_at = 0, op = 0, retry_op = NONE;

	while (at < other_count) {
		if (op < count && ops[op] == GLOB_STAR) {
			retry_op = ++op;
			retry_at = at;
		} else if (op < count && op_covers(ops[op], other_ops[at], sets)) {
			op++;
			at++;
		} else if (retry_op != NONE) {
			op = retry_op;
			at = ++retry_at;
		} else {
			return false;
		}
	}
	while (op < count && ops[op] == GLOB_STAR)
		op++;
	return op == count;
}
