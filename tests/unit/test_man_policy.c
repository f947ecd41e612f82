/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Every policy that fdwarden-policy(5) shows must load. The argument is its scdoc source; policies
 * are the literal blocks, besides those that begin with "$ ", which show a shell.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/macro.h"
#include "policy/policy.h"

#define EXAMPLES_MAX 64

struct example {
	char *text;
	size_t size;
	char name[32]; /* "line N" of the source */
};

static const char *source;

static void print_diagnostic(const struct policy_diagnostic *diagnostic, void *userdata)
{
	const struct example *example = userdata;

	print_error("%s: %s: %u:%u: %s\n", source, example->name, diagnostic->line,
		diagnostic->column, diagnostic->message);
}

static void test_example(void **state)
{
	struct example *example = *state;
	struct policy *policy = NULL;

	assert_int_equal(policy_load(example->text, example->size, source, print_diagnostic,
				 example, &policy),
		0);
	policy_unref(policy);
}

/* In scdoc(5), a backslash takes the next character for what it is, in literal blocks too. */
static void write_shown(const char *line, FILE *out)
{
	for (; *line; line++) {
		if (*line == '\\' && line[1])
			line++;
		putc(*line, out);
	}
}

/* Reads the block behind its opening line; counts its lines. Returns whether it has an end. */
static bool example_read(FILE *file, struct example *example, unsigned *number)
{
	_cleanup_free_ char *line = NULL;
	FILE *out = open_memstream(&example->text, &example->size);
	size_t size = 0;
	bool ended = false;

	if (!out)
		return false;
	snprintf(example->name, sizeof(example->name), "line %u", *number + 1);
	while (!ended && getline(&line, &size, file) >= 0) {
		*number += 1;
		ended = strcmp(line, "```\n") == 0;
		if (!ended)
			write_shown(line, out);
	}
	return fclose(out) == 0 && ended;
}

/* Returns the count of examples. */
static size_t page_read(FILE *file, struct example *examples)
{
	_cleanup_free_ char *line = NULL;
	size_t size = 0, count = 0;
	unsigned number = 0;

	while (count < EXAMPLES_MAX && getline(&line, &size, file) >= 0) {
		struct example *example = &examples[count];

		number++;
		if (strcmp(line, "```\n") != 0)
			continue;
		if (!example_read(file, example, &number))
			break;
		if (strncmp(example->text, "$ ", 2) == 0)
			free(example->text);
		else
			count++;
	}
	return count;
}

int main(int argc, char *argv[])
{
	struct example examples[EXAMPLES_MAX] = {0};
	struct CMUnitTest tests[EXAMPLES_MAX] = {0};
	size_t count;
	FILE *file;
	int failures;

	source = argc == 2 ? argv[1] : "";
	file = fopen(source, "re");
	if (!file) {
		fprintf(stderr, "usage: %s FILE.scd\n", argv[0]);
		return 2;
	}
	count = page_read(file, examples);
	fclose(file);
	for (size_t i = 0; i < count; i++)
		tests[i] = (struct CMUnitTest){
			examples[i].name, test_example, NULL, NULL, &examples[i]};
	failures = _cmocka_run_group_tests("fdwarden-policy(5)", tests, count, NULL, NULL);
	for (size_t i = 0; i < count; i++)
		free(examples[i].text);
	return failures || count == 0;
}
