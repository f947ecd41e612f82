/* SPDX-License-Identifier: Apache-2.0 */

/* What `fdwarden coverage` says of policies on machines that are made up. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "core/coverage.h"
#include "policy_fixture.h"

/* A recent kernel and root; an ordinary user on it; an old kernel with nothing. */
static const struct coverage_machine host = {
	.handles = true,
	.tmpfs = true,
	.noexec_seal = true,
	.memfd_secret = true,
	.hugetlb = true,
	.io_uring = true,
	.cgroup = true,
	.freezer = true,
	.root = true,
	.raises_limits = true,
	.locks_memory = true,
};
static const struct coverage_machine user = {
	.tmpfs = true,
	.noexec_seal = true,
	.memfd_secret = true,
	.hugetlb = true,
	.io_uring = true,
	.cgroup = true,
	.cgroup_limit = true,
};
static const struct coverage_machine bare = {.root = true};

static const struct coverage_row *row_of(
	const struct coverage_row *rows, size_t count, const char *id)
{
	for (size_t i = 0; i < count; i++)
		if (strcmp(rows[i].id, id) == 0)
			return &rows[i];
	fail_msg("no row %s", id);
	return NULL;
}

/* Each line of the expectation is "STATE ID...": those rows are in that state. */
struct judgement {
	const char *policy;
	const struct coverage_machine *machine;
	const char *expected;
};

#define BUDGET(text) "{version: 1, budget: {" text "}}"

static const struct judgement judgements[] = {
	/* No limit at all. */
	{"version: 1", &host,
		"closed name allow memfd-noexec second-listener abi not-inspectable kill\n"
		"open count rate cgroup ftruncate fallocate truncate write page-fault keep-size "
		"io-uring\n"
		"open memfd-secret hugetlb hugetlb-mmap exec exec-map ptrace kill-growth\n"
		"open xattr o-tmpfile dev-shm sysv-shm shared-mapping fd-received fd-before\n"},
	{"version: 1", &user,
		"closed name allow not-inspectable ptrace kill\n"
		"open write page-fault hugetlb exec kill-growth\n"
		"bounded memfd-secret xattr o-tmpfile dev-shm sysv-shm shared-mapping\n"},
	{"version: 1", &bare, "closed io-uring memfd-secret hugetlb hugetlb-mmap\n"},
	/* Only their number: growth is open. */
	{BUDGET("tenant: {memfds: 5}"), &host,
		"closed count memfd-secret\n"
		"open rate ftruncate ftruncate-swap fallocate write truncate page-fault hugetlb\n"},
	{BUDGET("tenant: {rate: 5/s}"), &host, "closed rate\nopen count write\n"},
	{BUDGET("cgroup: {reserve: 1MiB}"), &host, "closed cgroup\nopen count write\n"},
	/* Sizes. */
	{BUDGET("tenant: {size: 1MiB}"), &host,
		"closed ftruncate ftruncate-swap fallocate io-uring\n"
		"sampled truncate write write-tmpfs fallocate-swap\n"
		"bounded page-fault page-fault-tmpfs punch-hole\n"
		"open keep-size kill-growth\n"},
	{BUDGET("tenant: {size: 1MiB}"), &user,
		"closed ftruncate fallocate\nbounded page-fault\nopen truncate write keep-size\n"},
	{BUDGET("memfd: {size: 1MiB}"), &host,
		"closed ftruncate fallocate keep-size\nbounded page-fault hugetlb\n"
		"open truncate write fallocate-swap\n"},
	{BUDGET("memfd: {size: 1MiB, rlimit_fsize: true}"), &host, "open truncate write\n"},
	{BUDGET("memfd: {size: 1MiB, rlimit_fsize: true}"), &user,
		"closed ftruncate truncate write keep-size fallocate-swap\n"
		"bounded page-fault kill-growth\n"},
	/* Memory. */
	{BUDGET("tenant: {resident: 1MiB}"), &host,
		"closed fallocate keep-size write-tmpfs page-fault-tmpfs io-uring\n"
		"sampled write page-fault punch-hole fallocate-swap\n"
		"open ftruncate truncate kill-growth\n"},
	{BUDGET("tenant: {resident: 1MiB}"), &user,
		"closed write-tmpfs page-fault-tmpfs\nbounded page-fault\nopen write\n"},
	{BUDGET("tenant: {resident: 1MiB}"), &bare,
		"bounded page-fault page-fault-tmpfs\nopen write write-tmpfs\n"},
	{BUDGET("tenant: {resident: 1MiB, memfds: 9}, memfd: {size: 1MiB, rlimit_fsize: true}"),
		&user, "bounded write\nclosed write-tmpfs\n"},
	{BUDGET("tenant: {resident: 1MiB}, memfd: {size: 1MiB}"), &host, "bounded write-tmpfs\n"},
	{"{version: 1, budget: {tenant: {resident: 1MiB}}, "
	 "rules: [{name: a, action: emulate, backing: memfd}]}",
		&host, "sampled page-fault page-fault-tmpfs write-tmpfs\n"},
	{"{version: 1, budget: {tenant: {resident: 1MiB}}, syscalls: {io_uring: allow}}", &host,
		"sampled io-uring\n"},
	/* Nothing is made at all. */
	{"{version: 1, default: deny}", &host,
		"closed name allow ftruncate truncate write page-fault hugetlb exec exec-map\n"
		"closed kill-growth count rate\nopen fd-before\n"},
	/* What the kernel makes is not counted; and by a name it can be another. */
	{"{version: 1, budget: {tenant: {memfds: 5}}, default: allow}", &host,
		"closed name\nopen allow count\n"},
	{"{version: 1, rules: [{name: a, match: {name: x}, action: allow, advisory: true}]}", &host,
		"open name allow\n"},
	{"{version: 1, rules: [{name: a, match: {flags: {any: [HUGETLB]}}, action: deny}]}", &host,
		"closed hugetlb hugetlb-mmap\n"},
	{"{version: 1, rules: [{name: a, match: {flags: {any: [HUGETLB], none: [HUGE_1GB]}}, "
	 "action: deny}]}",
		&host, "open hugetlb hugetlb-mmap\n"},
	{BUDGET("tenant: {hugetlb: 1GiB}"), &host, "closed hugetlb\nopen hugetlb-mmap\n"},
	/* Execution. */
	{"{version: 1, rules: [{name: a, action: emulate, noexec: true}]}", &host,
		"closed exec\nopen exec-map\n"},
	{"{version: 1, rules: [{name: a, action: emulate, add_flags: [NOEXEC_SEAL]}]}", &host,
		"closed exec\nopen exec-map\n"},
	{"{version: 1, rules: [{name: a, match: {name: x}, action: emulate, noexec: true}]}", &host,
		"open exec exec-map\n"},
	{"{version: 1, default: deny, rules: [{name: a, match: {flags: {none: [HUGETLB]}}, "
	 "action: emulate, noexec: true, backing: tmpfs}]}",
		&host,
		"closed exec exec-map page-fault write\nopen write-tmpfs page-fault-tmpfs\n"},
	/* Refuses nothing; what the kernel does it does all the same. */
	{"{version: 1, mode: audit, budget: {tenant: {memfds: 5, size: 1MiB, resident: 1MiB}}}",
		&host,
		"open name count ftruncate write page-fault page-fault-tmpfs io-uring abi\n"
		"closed second-listener memfd-noexec kill\n"},
};

static void check_states(
	const struct judgement *judgement, const struct coverage_row *rows, size_t count)
{
	char *text = strdup(judgement->expected), *rest = text, *line;

	assert_non_null(text);
	while ((line = strsep(&rest, "\n")) && *line != '\0') {
		const char *state = strsep(&line, " ");
		const char *id;

		while ((id = strsep(&line, " "))) {
			const struct coverage_row *row = row_of(rows, count, id);

			if (strcmp(coverage_state_name(row->state), state) != 0)
				fail_msg("%s: %s is %s (%s), not %s", judgement->policy, id,
					coverage_state_name(row->state), row->by, state);
		}
	}
	free(text);
}

static void policies_are_judged(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(judgements); i++) {
		cleanup(policy_unref_ptr) struct policy *policy = load_good(judgements[i].policy);
		struct coverage_row rows[COVERAGE_ROWS];
		size_t count = coverage_judge(policy, judgements[i].machine, rows);

		check_states(&judgements[i], rows, count);
	}
}

static void rows_are_the_same_for_every_policy(void **state)
{
	struct coverage_row rows[COVERAGE_ROWS], others[COVERAGE_ROWS];
	cleanup(policy_unref_ptr) struct policy *policy = load_good("version: 1");
	cleanup(policy_unref_ptr) struct policy *other = load_good("{version: 1, default: deny}");
	size_t count = coverage_judge(policy, &host, rows);

	(void)state;
	assert_int_equal(coverage_judge(other, &bare, others), count);
	for (size_t i = 0; i < count; i++) {
		assert_string_equal(rows[i].id, others[i].id);
		assert_true(strlen(rows[i].id) <= 18);
		/* From the column in which it is printed to the hundredth. */
		assert_true(strlen(rows[i].path) <= 100 - 27);
		for (size_t j = 0; j < i; j++)
			assert_string_not_equal(rows[i].id, rows[j].id);
	}
}

/* ---- What is printed ---- */

static struct coverage_report report_sample(void)
{
	return (struct coverage_report){
		.policy = "web\x1b.yaml",
		.release = "6.18.0",
		.sample_ms = 250,
		.machine = {.handles = true, .tmpfs = true, .root = true},
		.rows = {{"ftruncate", "ftruncate(2)", COVERAGE_CLOSED, "by the supervisor"},
			{"page-fault", "page faults", COVERAGE_SAMPLED,
				"a reason that is so long that it has to be broken into two lines, "
				"at a blank"},
			{"write", "write(2)", COVERAGE_BOUNDED, "RLIMIT_FSIZE"},
			{"ptrace", "tracing the supervisor", COVERAGE_OPEN, "by \"root\""}},
		.row_count = 4,
	};
}

/* Not inline: gcc 12 at -O3 takes the text for the address that the stream was given. */
__attribute__((noinline)) static char *printed(
	const struct coverage_report *report, bool json, bool colour)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	assert_non_null(out);
	if (json)
		assert_int_equal(coverage_print_json(report, out), 0);
	else
		coverage_print_text(report, out, colour);
	assert_int_equal(fclose(out), 0);
	return text;
}

static void the_table_is_golden(void **state)
{
	struct coverage_report report = report_sample();
	_cleanup_free_ char *text = printed(&report, false, false);
	_cleanup_free_ char *colourful = printed(&report, false, true);

	(void)state;
	assert_string_equal(text,
		"Policy: web\\x1b.yaml, mode enforce\n"
		"Linux 6.18.0\n"
		"With: open_by_handle_at(2) on memfds, a tmpfs of a tenant's own, CAP_SYS_PTRACE\n"
		"Without: MFD_NOEXEC_SEAL, memfd_secret(2), memfds in huge pages, io_uring, a "
		"memory controller, a\n"
		"  memory limit, a freezer, CAP_SYS_RESOURCE, CAP_IPC_LOCK\n"
		"\n"
		"STATE    ROW               WAY, AND WHAT STOPS IT OR DOES NOT\n"
		"closed   ftruncate         ftruncate(2)\n"
		"                             by the supervisor\n"
		"sampled  page-fault        page faults\n"
		"                             every 250 ms: a reason that is so long that it has "
		"to "
		"be broken into\n"
		"                             two lines, at a blank\n"
		"bounded  write             write(2)\n"
		"                             RLIMIT_FSIZE\n"
		"open     ptrace            tracing the supervisor\n"
		"                             by \"root\"\n"
		"\n"
		"1 closed, 1 bounded, 1 sampled, 1 open\n");
	assert_null(strchr(text, '\x1b'));
	assert_non_null(strstr(colourful, "\x1b[1;31mopen"));
}

static void the_document_is_golden(void **state)
{
	struct coverage_report report = report_sample();
	_cleanup_free_ char *text = printed(&report, true, false);
	json_t *document = json_loads(text, JSON_REJECT_DUPLICATES, NULL);

	(void)state;
	assert_string_equal(text,
		"{\"version\":1,\"policy\":\"web\\u001b.yaml\",\"mode\":\"enforce\","
		"\"release\":\"6.18.0\",\"machine\":{\"handles\":true,\"tmpfs\":true,"
		"\"noexec_seal\":false,\"memfd_secret\":false,\"hugetlb\":false,"
		"\"io_uring\":false,\"cgroup\":false,\"cgroup_limit\":false,\"freezer\":false,"
		"\"root\":true,\"raises_limits\":false,\"locks_memory\":false},\"rows\":[\n"
		"{\"id\":\"ftruncate\",\"path\":\"ftruncate(2)\",\"state\":\"closed\","
		"\"by\":\"by the supervisor\"},\n"
		"{\"id\":\"page-fault\",\"path\":\"page faults\",\"state\":\"sampled\","
		"\"by\":\"a reason that is so long that it has to be broken into two lines, at a "
		"blank\",\"sample_ms\":250},\n"
		"{\"id\":\"write\",\"path\":\"write(2)\",\"state\":\"bounded\","
		"\"by\":\"RLIMIT_FSIZE\"},\n"
		"{\"id\":\"ptrace\",\"path\":\"tracing the supervisor\",\"state\":\"open\","
		"\"by\":\"by \\\"root\\\"\"}\n"
		"]}\n");
	assert_non_null(document);
	json_decref(document);
}

static void a_line_has_at_most_100_columns(void **state)
{
	struct coverage_report report = {
		.policy = "/a/folder/in/a/folder/in/a/folder/in/a/folder/in/a/folder/with/"
			  "a/policy/in/it/that/has/quite/some/name/policy.yaml",
		.release = "6.18.0",
		.sample_ms = 3600000,
		.machine = host,
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(judgements); i++) {
		cleanup(policy_unref_ptr) struct policy *policy = load_good(judgements[i].policy);

		report.row_count = coverage_judge(policy, judgements[i].machine, report.rows);

		_cleanup_free_ char *text = printed(&report, false, false);

		for (const char *line = text; *line; line += strcspn(line, "\n") + 1)
			assert_true(strcspn(line, "\n") <= 100);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(policies_are_judged),
		cmocka_unit_test(rows_are_the_same_for_every_policy),
		cmocka_unit_test(the_table_is_golden),
		cmocka_unit_test(the_document_is_golden),
		cmocka_unit_test(a_line_has_at_most_100_columns),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
