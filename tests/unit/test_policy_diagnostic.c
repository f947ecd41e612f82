/* SPDX-License-Identifier: Apache-2.0 */

/* Every mistake that a policy can have: where it is placed, and what is said about it. */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "policy_fixture.h"
#include "policy_mistakes.h"
#include "policy_mistakes_quotas.h"

static void mistakes_check(const struct mistake *mistake, size_t count)
{
	for (; count-- > 0; mistake++) {
		struct findings findings = {.size = 0};
		struct policy *policy = NULL;

		print_message("%s\n", mistake->what);
		assert_int_equal(policy_load(mistake->text, strlen(mistake->text), "test.yaml",
					 findings_add, &findings, &policy),
			-EINVAL);
		assert_string_equal(findings.text, mistake->findings);
		assert_null(policy);
	}
}

static void mistakes_are_found(void **state)
{
	(void)state;
	mistakes_check(mistakes, ARRAY_SIZE(mistakes));
}

static void mistakes_of_quotas_are_found(void **state)
{
	(void)state;
	mistakes_check(quota_mistakes, ARRAY_SIZE(quota_mistakes));
}

/* The same mistakes in one text are all found in one run, and in the order of the text. */
static void all_in_one_run(void **state)
{
	static const char text[] = "version: 3\nrules:\n"
				   "- name: one\n  match: {name: a}\n  action: allow\n"
				   "- name: two\n  match: {uid: 5-1}\n  acton: deny\n"
				   "- name: one\n  match: {name: b}\n  action: kill\n  errno: E\n"
				   "moed: x\n";
	static const unsigned lines[] = {1, 5, 6, 7, 8, 9, 12, 13};
	struct findings findings = {.size = 0};
	struct policy *policy;
	const char *at = findings.text;
	unsigned last = 0;

	(void)state;
	assert_int_equal(
		policy_load(text, strlen(text), "test.yaml", findings_add, &findings, &policy),
		-EINVAL);
	print_message("%s", findings.text);
	for (size_t i = 0; i < findings.count; i++, at = strchr(at, '\n') + 1) {
		unsigned line = (unsigned)strtoul(at, NULL, 10);

		assert_true(line >= last);
		last = line;
	}
	for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
		char start[16];

		snprintf(start, sizeof(start), "%s%u:", i ? "\n" : "", lines[i]);
		assert_non_null(strstr(findings.text, start));
	}
}

/* What looks like the mistakes above and is none. */
static void near_misses_are_fine(void **state)
{
	static const char *const texts[] = {
		"version: 1\n",
		"%YAML 1.1\n---\nversion: 1\n...\n",
		"\xef\xbb\xbfversion: 1\n",
		"version: 1\nrules: []\n",
		"{version: 1, default: {action: deny, errno: ENOSYS}, mode: audit}",
		"version: 1\nbudget: {cgroup: {max_usage: 99.5%}, exceeded: enospc}\n",
		"version: 1\nbudget: {tenant: {resident: 1K}, sample: 60min, on_overrun: deny}\n",
		"version: 1\noom: attribute\nbudget: {sample: 10ms, memfd: {size: 8388607T}}\n",
		/* Over the tenant's size, but on a disk, or of huge pages. */
		"version: 1\nbudget: {tenant: {size: 1}, memfd: {size: 2}, exceeded: spill,\n"
		"  spill: {directory: /, size: 1}}\n",
		"version: 1\nbudget: {tenant: {size: 1, hugetlb: 2}, memfd: {size: 2}}\n",
		"version: 1\ntenant: {cgroup: '/[(]*\\)/(*)'}\n",
		"version: 1\nrules:\n- {name: a, action: emulate, backing: tmpfs, noexec: true,\n"
		"  add_flags: CLOEXEC, clear_flags: [EXEC, NOEXEC_SEAL]}\n",
		/* An allow ahead of what looks at the name takes the same calls whatever they show.
		 */
		"version: 1\nrules:\n- {name: a, match: {uid: 0}, action: allow}\n"
		"- {name: b, match: {name: x}, action: deny}\n",
		/* Flags can't change after the check, so the two never meet. */
		"version: 1\nrules:\n"
		"- {name: a, match: {name: x, flags: {any: [EXEC]}}, action: deny}\n"
		"- {name: b, match: {flags: {none: [EXEC]}}, action: allow}\n",
		/* Not covered: by no single rule, or not wholly. */
		"version: 1\nrules:\n- {name: a, match: {uid: 1-5}, action: deny}\n"
		"- {name: b, match: {uid: 7-9}, action: deny}\n"
		"- {name: c, match: {uid: 1-9}, action: deny}\n"
		"- {name: d, action: deny}\n",
		"version: 1\nrules:\n- {name: a, match: {name: \"a?c*\"}, action: deny}\n"
		"- {name: b, match: {name: [\"abc\", \"a*c\"]}, action: deny}\n"
		"- {name: c, match: {name: {regex: abc}}, action: deny}\n"
		"- {name: d, match: {name: {regex: \"^a+\"}}, action: deny}\n",
		"version: 1\nrules:\n- {name: a, match: {flags: {all: [EXEC, CLOEXEC]}}, action: "
		"deny}\n"
		"- {name: b, match: {flags: {any: [EXEC, CLOEXEC]}}, action: deny}\n"
		"- {name: c, match: {flags: {all: [HUGE_2MB], none: [HUGE_1GB]}}, action: deny}\n"
		"- {name: d, match: {flags: {none: [0x3]}}, action: deny}\n",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		policy_unref(load_good(texts[i]));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(mistakes_are_found),
		cmocka_unit_test(mistakes_of_quotas_are_found),
		cmocka_unit_test(all_in_one_run),
		cmocka_unit_test(near_misses_are_fine),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
