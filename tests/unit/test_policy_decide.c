/* SPDX-License-Identifier: Apache-2.0 */

/* What rules match, which of them decides, and what it asks for on the way. */

#include <errno.h>
#include <linux/memfd.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "kernel/compat.h"
#include "policy_fixture.h"

#define HEAD "version: 1\nrules:\n"

/* A policy of one rule that kills what it matches; the default emulates. */
static bool rule_matches(const char *match, const struct policy_call *call)
{
	cleanup(policy_unref_ptr) struct policy *policy = NULL;
	char text[1024];

	snprintf(text, sizeof(text), HEAD "- name: r\n  match: {%s}\n  action: kill\n", match);
	policy = load_good(text);
	return decide(policy, call).verdict == VERDICT_KILL;
}

static void names_match(void **state)
{
	static const struct {
		const char *match, *yes, *no;
	} cases[] = {
		{"name: abc", "abc", "abcd"},
		{"name: abc", "abc", "ab"},
		{"name: \"\"", "", "a"},
		{"name: {exact: \"a*\"}", "a*", "ab"},
		{"name: \"a*\"", "a", "b"},
		{"name: \"a*\"", "a/b\nc", "ba"},
		{"name: \"*\"", "", NULL},
		{"name: \"*\"", "\xff\x01", NULL},
		{"name: \"?\"", "\xff", ""},
		{"name: \"?\"", "a", "ab"},
		{"name: \"*a\"", "a", "ab"},
		{"name: \"*a\"", "aaaa", "aaab"},
		{"name: \"a*b*c\"", "abbbcbc", "abbbcb"},
		{"name: \"*ab*ab*\"", "xababx", "xabbx"},
		{"name: \"a**?\"", "ab", "a"},
		{"name: \"*aab\"", "aaab", "aab "},
		{"name: \"a*a\"", "aa", "a"},
		{"name: \"[a-c]x\"", "bx", "dx"},
		{"name: \"[!a-c]\"", "d", "a"},
		{"name: \"[^a-c]\"", "\xfe", "c"},
		{"name: \"[]]\"", "]", "["},
		{"name: \"[!]]\"", "a", "]"},
		{"name: \"[a-]\"", "-", "b"},
		{"name: \"[[:digit:]x]*\"", "7a", "a7"},
		{"name: '[\\]\\-]'", "-", "\\"},
		{"name: 'a\\*'", "a*", "ab"},
		{"name: 'a\\?*'", "a?x", "abx"},
		{"name: {glob: \"y?\"}", "yy", "y"},
		{"name: {regex: \"^x[0-9]+$\"}", "x12", "x12a"},
		{"name: {regex: \"^x[0-9]+$\"}", "x1", "x1\n"},
		{"name: {regex: \"b+\"}", "abba", "aca"},
		{"name: {regex: \"^a.c\"}", "a\nc", "ac"},
		{"name: {regex: \"^ab?\"}", "ac", "b"},
		{"name: {regex: \"^abc|x\"}", "zx", "ab"},
		{"name: {regex: '\\xff'}", "a\xff", "a\xfe"},
		{"name: {regex: '(?i)^ABC$'}", "abc", "abcd"},
		{"name: {regex: \"\"}", "", NULL},
		{"name: [a, {regex: \"^b\"}, \"c*\"]", "cc", "dc"},
		{"name: [a, {regex: \"^b\"}, \"c*\"]", "bb", "aa"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct policy_call call = call_make(cases[i].yes, 0);

		print_message("%s\n", cases[i].match);
		assert_true(rule_matches(cases[i].match, &call));
		if (!cases[i].no)
			continue;
		call = call_make(cases[i].no, 0);
		assert_false(rule_matches(cases[i].match, &call));
	}
}

static void flags_match(void **state)
{
	static const struct {
		const char *match;
		uint32_t flags;
		bool matches;
	} cases[] = {
		{"flags: {any: [HUGETLB]}", MFD_HUGETLB, true},
		{"flags: {any: [MFD_HUGETLB, cloexec]}", MFD_CLOEXEC, true},
		{"flags: {any: [HUGETLB, CLOEXEC]}", MFD_ALLOW_SEALING, false},
		{"flags: {all: [CLOEXEC, ALLOW_SEALING]}", MFD_CLOEXEC, false},
		{"flags: {all: [CLOEXEC, ALLOW_SEALING]}", 0xffffffff, true},
		{"flags: {none: [CLOEXEC, ALLOW_SEALING]}", MFD_HUGETLB, true},
		{"flags: {none: [CLOEXEC, ALLOW_SEALING]}", MFD_ALLOW_SEALING, false},
		{"flags: {any: HUGE_2MB}", MFD_HUGETLB | MFD_HUGE_2MB, true},
		/* The sizes are numbers: 30 (1 GB) has all bits that 16 (64 KB) has. */
		{"flags: {any: HUGE_64KB}", MFD_HUGETLB | MFD_HUGE_1GB, false},
		{"flags: {none: HUGE_64KB}", MFD_HUGETLB | MFD_HUGE_1GB, true},
		{"flags: {none: HUGE_1GB}", MFD_HUGETLB | MFD_HUGE_1GB, false},
		{"flags: {all: [HUGETLB, HUGE_1GB]}", MFD_HUGETLB | MFD_HUGE_1GB, true},
		{"flags: {all: [HUGETLB, HUGE_1GB]}", MFD_HUGE_1GB, false},
		{"flags: {any: [0x100, 0x3]}", 0x1, false},
		{"flags: {any: [0x100, 0x3]}", 0x3, true},
		{"flags: {none: [0x3]}", 0x1, true},
		{"flags: {none: [0x3]}", 0x7, false},
		{"flags: {any: [CLOEXEC], all: [HUGETLB], none: [0x8]}", 0x5, true},
		{"flags: {any: [CLOEXEC], all: [HUGETLB], none: [0x8]}", 0xd, false},
		{"flags: {any: [CLOEXEC], all: [HUGETLB], none: [0x8]}", 0x4, false},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct policy_call call = call_make("x", cases[i].flags);

		print_message("%s 0x%x\n", cases[i].match, cases[i].flags);
		assert_int_equal(rule_matches(cases[i].match, &call), cases[i].matches);
	}
}

/* call_make(): uid 1000, gid 100, comm java, exe /usr/bin/python3.11, cgroup /docker/abc. */
static void other_facts_match(void **state)
{
	static const struct {
		const char *match;
		bool matches;
	} cases[] = {
		{"uid: 1000", true},
		{"uid: 0", false},
		{"uid: root", false},
		{"uid: [0, 999-1001]", true},
		{"uid: [0-999, 1001-4294967294]", false},
		{"gid: 100", true},
		{"gid: [99, 101]", false},
		{"uid: 1000, gid: 1000", false},
		{"comm: java", true},
		{"comm: [\"j?v*\", x]", true},
		{"comm: jav", false},
		{"exe: \"/usr/bin/python3*\"", true},
		{"exe: \"/usr/*/python\"", false},
		{"exe: {regex: python}", true},
		{"cgroup: \"/docker/*\"", true},
		{"cgroup: \"/docker\"", false},
		{"cgroup: \"*abc\", exe: \"/*\", comm: \"*\", name: n, uid: 1000, gid: 100", true},
		{"cgroup: \"*abc\", exe: \"/*\", comm: \"*\", name: m, uid: 1000, gid: 100", false},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct policy_call call = call_make("n", 0);

		print_message("%s\n", cases[i].match);
		assert_int_equal(rule_matches(cases[i].match, &call), cases[i].matches);
	}
}

static void actions_are_given(void **state)
{
	cleanup(policy_unref_ptr) struct policy *policy = load_good(
		HEAD "- {name: d, match: {name: d}, action: deny}\n"
		     "- {name: e, match: {name: e}, action: deny, errno: EACCES}\n"
		     "- {name: k, match: {name: k}, action: kill}\n"
		     "- name: m\n  match: {name: m}\n  action: emulate\n"
		     "  add_flags: [CLOEXEC, HUGE_2MB]\n  clear_flags: EXEC\n  rename: \"new\"\n"
		     "- {name: r, match: {name: r}, action: emulate, rename: \"\"}\n"
		     "default: {action: deny, errno: ENOSYS}\n");
	static const struct {
		const char *name;
		struct decision decision;
	} cases[] = {
		{"d", {.verdict = VERDICT_DENY, .error = EPERM, .rule = "d"}},
		{"e", {.verdict = VERDICT_DENY, .error = EACCES, .rule = "e"}},
		{"k", {.verdict = VERDICT_KILL, .rule = "k"}},
		/* A huge page size takes the place of the one that the call has. */
		{"m", {.verdict = VERDICT_EMULATE,
			      .rule = "m",
			      .rename = "new",
			      .flags_add = MFD_CLOEXEC | MFD_HUGE_2MB,
			      .flags_clear = MFD_EXEC | 0x3fu << 26}},
		{"r", {.verdict = VERDICT_EMULATE, .rule = "r", .rename = ""}},
		{"x", {.verdict = VERDICT_DENY, .error = ENOSYS, .rule = "default"}},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct policy_call call = call_make(cases[i].name, 0);
		struct decision decision = decide(policy, &call);
		const struct decision *wanted = &cases[i].decision;

		assert_int_equal(decision.verdict, wanted->verdict);
		assert_int_equal(decision.error, wanted->error);
		assert_int_equal(decision.flags_add, wanted->flags_add);
		assert_int_equal(decision.flags_clear, wanted->flags_clear);
		assert_string_equal(decision.rule, wanted->rule);
		assert_int_equal(!decision.rename, !wanted->rename);
		if (wanted->rename)
			assert_string_equal(decision.rename, wanted->rename);
	}
}

/* An advisory rule may let the kernel read the name again. */
static void advisory_allows(void **state)
{
	cleanup(policy_unref_ptr) struct policy *policy =
		load_good(HEAD "- {name: a, match: {name: a}, action: allow, advisory: true}\n");
	struct policy_call call = call_make("a", 0);

	(void)state;
	assert_int_equal(decide(policy, &call).verdict, VERDICT_ALLOW);
	assert_string_equal(verdict_to_string(VERDICT_ALLOW), "allow");
}

static void audit_and_budget(void **state)
{
	struct policy *policy = load_good("version: 1\nmode: audit\n"
					  "budget: {cgroup: {reserve: 64MiB, max_usage: 99.5%}}\n");

	(void)state;
	assert_int_equal(policy_mode(policy), POLICY_AUDIT);
	assert_int_equal(policy_budget(policy)->reserve_bytes, 64 << 20);
	assert_int_equal(policy_budget(policy)->max_usage_ppm, 995000);
	assert_int_equal(policy_budget(policy)->exceeded, ENOMEM);
	assert_int_equal(policy_rule_count(policy), 0);
	policy_unref(policy);

	policy =
		load_good("version: 1\nbudget: {cgroup: {max_usage: 0.0001%}, exceeded: EDQUOT}\n");
	assert_int_equal(policy_mode(policy), POLICY_ENFORCE);
	assert_int_equal(policy_budget(policy)->reserve_bytes, 0);
	assert_int_equal(policy_budget(policy)->max_usage_ppm, 1);
	assert_int_equal(policy_budget(policy)->exceeded, EDQUOT);
	policy_unref(policy);

	policy = load_good("version: 1\n");
	assert_int_equal(policy_budget(policy)->exceeded, 0);
	policy_unref(policy);
}

static void first_match_wins(void **state)
{
	cleanup(policy_unref_ptr) struct policy *policy =
		load_good(HEAD "- {name: exact, match: {name: wl_shm}, action: emulate}\n"
			       "- {name: flags, match: {flags: {any: [EXEC]}}, action: deny}\n"
			       "- {name: uid, match: {uid: 7}, action: deny}\n"
			       "- {name: glob, match: {name: \"wl_*\"}, action: deny}\n"
			       "- {name: suffix, match: {name: \"*_shm\"}, action: deny}\n"
			       "- {name: last, action: deny}\n");
	static const struct {
		const char *name;
		uint32_t flags;
		uid_t uid;
		const char *rule;
	} cases[] = {
		{"wl_shm", MFD_EXEC, 7, "exact"},
		{"wl_shm2", MFD_EXEC, 7, "flags"},
		{"wl_shm2", 0, 7, "uid"},
		{"wl_a_shm", 0, 0, "glob"},
		{"a_shm", 0, 0, "suffix"},
		{"", 0, 0, "last"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct policy_call call = call_make(cases[i].name, cases[i].flags);

		call.uid = cases[i].uid;
		assert_string_equal(decide(policy, &call).rule, cases[i].rule);
	}
}

/* Answers what is asked for, one fact at a time, and notes the order. */
static const char *asked(
	const char *rules, const struct policy_call *all, uint32_t known, char *ret_asked)
{
	cleanup(policy_unref_ptr) struct policy *policy = NULL;
	struct policy_call call = {.known = known, .flags = all->flags};
	struct policy_scratch *scratch;
	struct decision decision;
	static char rule[POLICY_RULE_NAME_MAX];
	char text[2048];
	unsigned fact;

	snprintf(text, sizeof(text), HEAD "%s", rules);
	policy = load_good(text);
	call = *all;
	call.known = known;
	assert_int_equal(policy_scratch_new(policy, &scratch), 0);
	policy_scratch_reset(scratch);
	while ((fact = policy_decide(policy, scratch, &call, &decision)) != 0) {
		assert_int_equal(fact & (fact - 1), 0);
		assert_int_equal(fact & call.known, 0);
		*ret_asked++ = "nicxg"[__builtin_ctz(fact)];
		call.known |= fact;
	}
	*ret_asked = '\0';
	snprintf(rule, sizeof(rule), "%s", decision.rule);
	policy_scratch_free(scratch);
	return rule;
}

static void facts_are_asked_for_late(void **state)
{
	static const struct {
		const char *rules;
		uint32_t flags, known;
		const char *rule, *asked; /* n: name, i: ids, c: comm, x: exe, g: cgroup */
	} cases[] = {
		{"- {name: a, action: deny}", 0, 0, "a", ""},
		/* Flags decide first. */
		{"- {name: a, match: {flags: {any: [EXEC]}, name: \"n\"}, action: deny}", 0, 0,
			"default", ""},
		{"- {name: a, match: {flags: {any: [EXEC]}, name: \"n\"}, action: deny}", MFD_EXEC,
			0, "a", "n"},
		/* A rule ahead decides without the fact. */
		{"- {name: a, match: {flags: {none: [EXEC]}}, action: deny}\n"
		 "- {name: b, match: {name: n}, action: deny}",
			0, 0, "a", ""},
		/* What is known already rules a rule out. */
		{"- {name: a, match: {uid: 5}, action: deny}\n"
		 "- {name: b, match: {uid: 6, name: n, exe: \"*\"}, action: deny}",
			0, 0, "default", "i"},
		{"- {name: b, match: {name: m, exe: \"*\", comm: \"*\"}, action: deny}", 0,
			FACT_NAME, "default", ""},
		/* One after the other, and no more once a rule fails. */
		{"- {name: a, match: {name: n, exe: /none, cgroup: \"*\"}, action: deny}\n"
		 "- {name: b, match: {comm: \"j*\", exe: \"*python*\"}, action: deny}",
			0, 0, "b", "nxc"},
		{"- {name: a, match: {name: n, uid: 1000, comm: java, exe: \"/usr*\", "
		 "cgroup: \"/d*\"}, action: deny}",
			0, 0, "a", "nicxg"},
		/* A fact that is known is not asked for. */
		{"- {name: a, match: {name: n, uid: 1000, comm: java}, action: deny}", 0, FACT_IDS,
			"a", "nc"},
		/* A name that no rule has ends it, though other rules want more. */
		{"- {name: a, match: {name: x, exe: \"*\"}, action: deny}\n"
		 "- {name: b, match: {name: \"y*\", cgroup: \"*\"}, action: deny}",
			0, 0, "default", "n"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct policy_call call = call_make("n", cases[i].flags);
		char facts[16];
		const char *rule = asked(cases[i].rules, &call, cases[i].known, facts);

		print_message("%s\n", cases[i].rules);
		assert_string_equal(rule, cases[i].rule);
		assert_string_equal(facts, cases[i].asked);
	}
}

/* The index, with more rules than one word of its sets holds, against looking at each rule. */
static void many_rules(void **state)
{
	enum { RULES = 700, CALLS = 2000 };
	_cleanup_free_ char *text = malloc(RULES * 128);
	cleanup(policy_unref_ptr) struct policy *policy = NULL;
	size_t len = (size_t)sprintf(text, HEAD);
	unsigned seed = 7;

	(void)state;
	assert_non_null(text);
	for (unsigned i = 0; i < RULES; i++) {
		static const char *const matches[] = {"name: {exact: n%u}", "name: \"n%u-*\"",
			"name: \"*-%u\"", "uid: %u", "gid: %u", "comm: c%u", "exe: \"/e%u/*\""};

		len += (size_t)sprintf(text + len, "- {name: r%u, action: deny, match: {", i);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
		len += (size_t)sprintf(text + len, matches[i % 7], i / 7);
#pragma GCC diagnostic pop
		len += (size_t)sprintf(text + len, "}}\n");
	}
	policy = load_good(text);
	for (unsigned i = 0; i < CALLS; i++) {
		unsigned wanted[7], first = RULES;
		char name[64], comm[16], exe[32], rule[16];
		struct policy_call call;

		/* Twice as many values as rules, so that about half match nothing. */
		for (unsigned j = 0; j < 7; j++) {
			seed = seed * 1103515245 + 12345;
			wanted[j] = (seed >> 16) % (RULES / 7 * 2) + j % 2;
			if (j > 0 && wanted[j] < RULES / 7 && wanted[j] * 7 + j < first)
				first = wanted[j] * 7 + j;
		}
		snprintf(name, sizeof(name), "n%u-x-%u", wanted[1], wanted[2]);
		call = call_make(name, 0);
		call.uid = wanted[3];
		call.gid = wanted[4];
		snprintf(comm, sizeof(comm), "c%u", wanted[5]);
		snprintf(exe, sizeof(exe), "/e%u/x", wanted[6]);
		call.comm = comm;
		call.exe = exe;
		snprintf(rule, sizeof(rule), "r%u", first);
		assert_string_equal(decide(policy, &call).rule, first == RULES ? "default" : rule);
	}
}

/* Ranges of ids that overlap and nest, more of them than the index takes. */
static void many_ranges(void **state)
{
	enum { RULES = 300 };
	_cleanup_free_ char *text = malloc(RULES * 96);
	cleanup(policy_unref_ptr) struct policy *policy = NULL;
	size_t len = (size_t)sprintf(text, HEAD);

	(void)state;
	for (unsigned i = 0; i < RULES; i++)
		len += (size_t)sprintf(text + len,
			"- {name: r%u, match: {uid: %u-%u}, action: deny}\n", i, 1000 - i,
			1000 + 2 * i);
	policy = load_good(text);
	for (unsigned uid = 690; uid < 1610; uid++) {
		struct policy_call call = call_make("x", 0);
		unsigned first = uid <= 1000 ? 1000 - uid : (uid - 1000 + 1) / 2;
		char rule[16];

		call.uid = uid;
		snprintf(rule, sizeof(rule), "r%u", first);
		assert_string_equal(decide(policy, &call).rule, first >= RULES ? "default" : rule);
	}
}

/* "RULE:VERDICT:FACTS " for each decision. */
static void note_decision(const struct decision *decision, uint32_t facts, void *userdata)
{
	char *text = userdata;
	size_t len = strlen(text);

	snprintf(text + len, 256 - len, "%s:%s:%u ", decision->rule,
		verdict_to_string(decision->verdict), facts);
}

static void decisions_are_listed(void **state)
{
	static const struct {
		uint32_t flags;
		const char *decisions;
	} cases[] = {
		{0, "name:deny:1 user:deny:3 default:emulate:3 "},
		{MFD_HUGETLB, "name:deny:1 huge:kill:1 "},
		{MFD_EXEC, "exec:deny:0 "},
		{MFD_EXEC | MFD_HUGETLB, "exec:deny:0 "},
	};
	cleanup(policy_unref_ptr) struct policy *policy =
		load_good("version: 1\n"
			  "default: emulate\n"
			  "rules:\n"
			  "- {name: exec, match: {flags: {any: [EXEC]}}, action: deny}\n"
			  "- {name: name, match: {name: x}, action: deny, advisory: true}\n"
			  "- {name: huge, match: {flags: {any: [HUGETLB]}}, action: kill}\n"
			  "- {name: user, match: {uid: 7}, action: deny}\n");

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char text[256] = "";

		policy_each_decision(policy, cases[i].flags, note_decision, text);
		assert_string_equal(text, cases[i].decisions);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_match),
		cmocka_unit_test(flags_match),
		cmocka_unit_test(other_facts_match),
		cmocka_unit_test(actions_are_given),
		cmocka_unit_test(advisory_allows),
		cmocka_unit_test(audit_and_budget),
		cmocka_unit_test(first_match_wins),
		cmocka_unit_test(facts_are_asked_for_late),
		cmocka_unit_test(many_rules),
		cmocka_unit_test(many_ranges),
		cmocka_unit_test(decisions_are_listed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
