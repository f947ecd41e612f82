/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Runs the verdict table (verdict_table.h) of every ready policy in the folder that is the only
 * argument. One test a line, named FILE:LINE, so that a failure says where to look. A policy
 * without a table fails, and so does one with a rule that no line of the table reaches.
 */

#include <glob.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/macro.h"

#include "verdict_table.h"

/* Gives facts only when they are asked for, as a session does. Returns a fact that is missing, or
 * 0. */
static unsigned line_decide(const struct verdict_line *line, struct decision *ret_decision)
{
	const struct verdict_table *table = line->table;
	struct policy_call call = line->call;
	unsigned asked;

	call.known = 0;
	policy_scratch_reset(table->scratch);
	while ((asked = policy_decide(table->policy, table->scratch, &call, ret_decision))) {
		if (!(asked & line->call.known & ~call.known))
			return asked;
		call.known |= asked;
	}
	return 0;
}

static const char *or_none(const char *text)
{
	return text ? text : "(none)";
}

static bool decision_equal(const struct decision *a, const struct decision *b)
{
	return a->verdict == b->verdict && a->error == b->error && a->flags_add == b->flags_add &&
	       a->flags_clear == b->flags_clear && a->backing == b->backing &&
	       a->noexec == b->noexec && strcmp(a->rule, b->rule) == 0 &&
	       strcmp(or_none(a->rename), or_none(b->rename)) == 0;
}

/* The name of the tenant that a cgroup belongs to. */
static void test_tenant(void **state)
{
	const struct verdict_line *line = *state;
	char name[POLICY_TENANT_MAX] = "";

	policy_tenant_name(line->table->policy, line->cgroup, name);
	assert_string_equal(name, line->name);
}

static void test_quotas(void **state)
{
	const struct verdict_table *table = *state;
	char got[VERDICT_STRING_MAX];

	quotas_format(table->policy, got);
	assert_string_equal(got, table->quotas + (*table->quotas ? strlen("quotas") : 0));
}

static void test_line(void **state)
{
	const struct verdict_line *line = *state;
	struct decision got = {0};
	unsigned missing = line_decide(line, &got);

	if (missing) {
		print_error("asks for fact 0x%x, which the line does not have\n", missing);
		_fail(line->table->path, (int)line->number);
	}
	if (decision_equal(&got, &line->expected))
		return;
	print_error("expected %s, errno %d, +0x%x -0x%x, rename %s, by rule %s\n",
		verdict_to_string(line->expected.verdict), line->expected.error,
		line->expected.flags_add, line->expected.flags_clear,
		or_none(line->expected.rename), line->expected.rule);
	print_error("     got %s, errno %d, +0x%x -0x%x, rename %s, by rule %s (%s)\n",
		verdict_to_string(got.verdict), got.error, got.flags_add, got.flags_clear,
		or_none(got.rename), got.rule, got.reason);
	_fail(line->table->path, (int)line->number);
}

static bool table_reaches(const struct verdict_table *table, const char *rule)
{
	for (size_t i = 0; i < table->line_count; i++) {
		if (strcmp(table->lines[i].rule, rule) == 0)
			return true;
	}
	return false;
}

/* Ready policies are written with "- name: RULE" on a line of its own; the count proves it. */
static void test_every_rule_is_reached(void **state)
{
	const struct verdict_table *table = *state;
	_cleanup_free_ char *text = NULL;
	size_t size = 0, rules = 0, missing = 0;
	FILE *file = fopen(table->policy_path, "re");
	char rule[POLICY_RULE_NAME_MAX];

	assert_non_null(file);
	while (getline(&text, &size, file) >= 0) {
		if (sscanf(text, "- name: %63s", rule) != 1)
			continue;
		rules++;
		if (table_reaches(table, rule))
			continue;
		print_error("%s: no line reaches rule %s\n", table->path, rule);
		missing++;
	}
	fclose(file);
	assert_int_equal(rules, policy_rule_count(table->policy));
	assert_int_equal(missing, 0);
}

static void test_mode(void **state)
{
	const struct verdict_table *table = *state;

	assert_int_equal(policy_mode(table->policy), table->mode);
}

static void test_loads(void **state)
{
	const struct verdict_table *table = *state;

	assert_true(table->good);
}

static void test_has_policy(void **state)
{
	const char *table_path = *state;
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%.*s.yaml", (int)(strlen(table_path) - strlen(".verdicts")),
		table_path);
	if (access(path, R_OK) < 0)
		fail_msg("%s: there is no %s", table_path, path);
}

/* --- All tests of a folder --- */

struct test_list {
	struct CMUnitTest *tests;
	size_t count, room;
};

static void list_add(
	struct test_list *list, const char *name, void (*function)(void **), const void *state)
{
	if (list->count == list->room) {
		list->room = list->room * 2 + 64;
		list->tests = reallocarray(list->tests, list->room, sizeof(*list->tests));
		if (!list->tests)
			abort();
	}
	list->tests[list->count++] =
		(struct CMUnitTest){name, function, NULL, NULL, (void *)(uintptr_t)state};
}

static void list_add_table(struct test_list *list, const struct verdict_table *table)
{
	list_add(list, table->policy_path, test_loads, table);
	if (!table->good)
		return;
	list_add(list, "its mode", test_mode, table);
	list_add(list, "its quotas", test_quotas, table);
	list_add(list, "every rule is reached", test_every_rule_is_reached, table);
	for (size_t i = 0; i < table->line_count; i++)
		list_add(list, table->lines[i].label,
			table->lines[i].tenant ? test_tenant : test_line, &table->lines[i]);
}

static bool find(const char *folder, const char *name, glob_t *ret_found)
{
	char pattern[PATH_MAX];

	snprintf(pattern, sizeof(pattern), "%s/%s", folder, name);
	if (glob(pattern, 0, NULL, ret_found) == 0)
		return true;
	fprintf(stderr, "%s: not found\n", pattern);
	return false;
}

static int run(const glob_t *policies, const glob_t *verdicts, const char *default_path)
{
	size_t count = policies->gl_pathc + 1;
	struct verdict_table *tables = calloc(count, sizeof(*tables));
	struct test_list list = {0};
	int failures;

	if (!tables)
		return 1;
	for (size_t i = 0; i < policies->gl_pathc; i++)
		verdict_table_load(&tables[i], policies->gl_pathv[i], false);
	verdict_table_load(&tables[count - 1], default_path, true);
	for (size_t i = 0; i < count; i++)
		list_add_table(&list, &tables[i]);
	for (size_t i = 0; i < verdicts->gl_pathc; i++)
		list_add(&list, verdicts->gl_pathv[i], test_has_policy, verdicts->gl_pathv[i]);
	failures = _cmocka_run_group_tests("verdicts", list.tests, list.count, NULL, NULL);
	for (size_t i = 0; i < count; i++)
		verdict_table_done(&tables[i]);
	free(tables);
	free(list.tests);
	return failures;
}

int main(int argc, char *argv[])
{
	char default_path[PATH_MAX];
	glob_t policies, verdicts;
	int failures;

	if (argc != 2) {
		fprintf(stderr, "usage: %s FOLDER\n", argv[0]);
		return 2;
	}
	if (!find(argv[1], "*.yaml", &policies) || !find(argv[1], "*.verdicts", &verdicts))
		return 1;
	snprintf(default_path, sizeof(default_path), "%s/default.yaml", argv[1]);
	failures = run(&policies, &verdicts, default_path);
	globfree(&policies);
	globfree(&verdicts);
	return failures != 0;
}
