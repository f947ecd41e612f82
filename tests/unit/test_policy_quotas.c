/* SPDX-License-Identifier: Apache-2.0 */

/* What a policy says of tenants and their quotas: what is written, and what goes without saying. */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "policy_fixture.h"

#define HEAD "version: 1\n"

#define GROWTH (CALL_FTRUNCATE | CALL_FALLOCATE)

static void nothing_said(void **state)
{
	cleanup(policy_unref_ptr) struct policy *policy = load_good(HEAD);
	const struct policy_quotas *quotas = policy_quotas(policy);

	(void)state;
	assert_int_equal(quotas->tenant_by, TENANT_BY_LISTENER);
	for (unsigned i = 0; i < QUOTA_COUNT; i++)
		assert_true(quotas->limits[i] == QUOTA_UNLIMITED);
	assert_int_equal(quotas->spills, 0);
	assert_null(quotas->spill_directory);
	assert_false(quotas->rlimit_fsize);
	assert_int_equal(quotas->on_overrun, OVERRUN_DENY);
	assert_int_equal(quotas->sample_ms, 250);
	assert_false(quotas->oom_attribute);
	assert_int_equal(quotas->memfd_secret, SECRET_ALLOW);
	assert_false(quotas->io_uring_denied);
	assert_false(quotas->ledger);
	assert_int_equal(policy_calls(policy), CALL_MEMFD_CREATE);
	assert_false(policy_wants_noexec(policy));
	assert_false(policy_wants_cgroup(policy));
}

static void everything_said(void **state)
{
	struct policy *policy = load_good(HEAD
		"tenant: uid\n"
		"budget:\n"
		"  cgroup: {reserve: 64MiB}\n"
		"  tenant: {memfds: 4096, size: 8GiB, resident: 1GiB, hugetlb: 512M, rate: "
		"5000/s,\n"
		"           burst: 10000}\n"
		"  memfd: {size: 2GiB, rlimit_fsize: true}\n"
		"  exceeded: {memfds: EMFILE, size: spill, rate: EBUSY, cgroup: spill,\n"
		"             memfd_size: ENOSPC, spill: EDQUOT, hugetlb: ENOSPC}\n"
		"  spill: {directory: /var/tmp, size: 10GiB}\n"
		"  on_overrun: kill\n"
		"  sample: 2s\n"
		"oom: attribute\n"
		"syscalls: {memfd_secret: count, io_uring: allow}\n"
		"rules:\n"
		"- {name: a, match: {name: a}, action: emulate, backing: disk}\n"
		"- {name: b, match: {name: b}, action: emulate, backing: tmpfs, noexec: true}\n"
		"- {name: c, match: {name: c}, action: emulate, backing: memfd, noexec: false}\n");
	const struct policy_quotas *quotas = policy_quotas(policy);
	static const uint64_t limits[QUOTA_COUNT] = {QUOTA_UNLIMITED, 4096, UINT64_C(8) << 30,
		1 << 30, 512 << 20, 5000, UINT64_C(2) << 30, QUOTA_UNLIMITED, UINT64_C(10) << 30};
	static const int errors[QUOTA_COUNT] = {
		0, EMFILE, ENOSPC, ENOSPC, ENOSPC, EBUSY, ENOSPC, ENOMEM, EDQUOT};
	struct policy_call call = call_make("a", 0);

	(void)state;
	assert_int_equal(quotas->tenant_by, TENANT_BY_UID);
	for (unsigned i = 0; i < QUOTA_COUNT; i++) {
		print_message("%s\n", quota_name((enum quota)i));
		assert_true(quotas->limits[i] == limits[i]);
		assert_int_equal(quotas->errors[i], errors[i]);
	}
	assert_int_equal(quotas->rate_period_s, 1);
	assert_true(quotas->burst == 10000);
	assert_int_equal(quotas->spills, 1U << QUOTA_SIZE | 1U << QUOTA_CGROUP);
	assert_string_equal(quotas->spill_directory, "/var/tmp");
	assert_true(quotas->rlimit_fsize);
	assert_int_equal(quotas->on_overrun, OVERRUN_KILL);
	assert_int_equal(quotas->sample_ms, 2000);
	assert_true(quotas->oom_attribute);
	assert_int_equal(quotas->memfd_secret, SECRET_COUNT);
	assert_false(quotas->io_uring_denied);
	assert_true(quotas->ledger);
	assert_int_equal(policy_calls(policy), CALL_MEMFD_CREATE | GROWTH | CALL_MEMFD_SECRET);
	assert_true(policy_wants_noexec(policy));
	assert_int_equal(policy_budget(policy)->exceeded, ENOMEM);

	assert_int_equal(decide(policy, &call).backing, BACKING_DISK);
	assert_false(decide(policy, &call).noexec);
	call = call_make("b", 0);
	assert_int_equal(decide(policy, &call).backing, BACKING_TMPFS);
	assert_true(decide(policy, &call).noexec);
	call = call_make("c", 0);
	assert_int_equal(decide(policy, &call).backing, BACKING_MEMFD);
	assert_false(decide(policy, &call).noexec);
	call = call_make("d", 0);
	assert_int_equal(decide(policy, &call).backing, BACKING_AUTO);
	policy_unref(policy);
}

/* What each key alone brings with it. */
static void defaults_depend(void **state)
{
	static const struct {
		const char *text;
		bool ledger;
		unsigned calls; /* without CALL_MEMFD_CREATE */
	} cases[] = {
		{"budget: {cgroup: {reserve: 1M}}", false, 0},
		{"budget: {tenant: {memfds: 1}}", true, CALL_MEMFD_SECRET},
		{"budget: {tenant: {size: 1}}", true,
			GROWTH | CALL_MEMFD_SECRET | CALL_IO_URING_SETUP},
		{"budget: {tenant: {resident: 1K}}", true,
			GROWTH | CALL_MEMFD_SECRET | CALL_IO_URING_SETUP},
		{"budget: {tenant: {hugetlb: 1K}}", true, GROWTH | CALL_MEMFD_SECRET},
		{"budget: {tenant: {rate: 1/s}}", true, CALL_MEMFD_SECRET},
		{"budget: {memfd: {size: 1K}}", true,
			GROWTH | CALL_MEMFD_SECRET | CALL_IO_URING_SETUP},
		{"budget: {memfd: {size: 1K}}\nsyscalls: {memfd_secret: allow, io_uring: allow}",
			true, GROWTH},
		{"budget: {memfd: {size: 1K}}\nsyscalls: {memfd_secret: count}", true,
			GROWTH | CALL_MEMFD_SECRET | CALL_IO_URING_SETUP},
		{"syscalls: {memfd_secret: count}", true, CALL_MEMFD_SECRET},
		{"syscalls: {memfd_secret: deny, io_uring: deny}", false,
			CALL_MEMFD_SECRET | CALL_IO_URING_SETUP},
		{"syscalls: {}", false, 0},
		{"oom: attribute", true, 0},
		{"oom: leave", false, 0},
		{"tenant: uid", false, 0},
		{"tenant: listener", false, 0},
		{"budget: {spill: {directory: /a, size: 1G}}\n"
		 "rules: [{name: a, action: emulate, backing: disk}]",
			true, GROWTH},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char text[512];
		struct policy *policy;

		print_message("%s\n", cases[i].text);
		snprintf(text, sizeof(text), HEAD "%s\n", cases[i].text);
		policy = load_good(text);
		assert_int_equal(policy_quotas(policy)->ledger, cases[i].ledger);
		assert_int_equal(policy_calls(policy), CALL_MEMFD_CREATE | cases[i].calls);
		policy_unref(policy);
	}
}

static void rates_are_read(void **state)
{
	static const struct {
		const char *text;
		uint64_t count, burst;
		unsigned period_s;
	} cases[] = {
		{"rate: 1/s", 1, 1, 1},
		{"rate: 5000/s", 5000, 5000, 1},
		{"rate: 20/h", 20, 1, 3600},
		{"rate: 7200/h", 7200, 2, 3600},
		{"rate: 119/min", 119, 1, 60},
		{"rate: 600/min", 600, 10, 60},
		{"rate: 1000000000/s", 1000000000, 1000000000, 1},
		{"rate: 1/h, burst: 7", 1, 7, 3600},
		{"burst: 7, rate: 1/h", 1, 7, 3600},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct policy_quotas *quotas;
		struct policy *policy;
		char text[128];

		snprintf(text, sizeof(text), HEAD "budget: {tenant: {%s}}\n", cases[i].text);
		policy = load_good(text);
		quotas = policy_quotas(policy);
		assert_true(quotas->limits[QUOTA_RATE] == cases[i].count);
		assert_true(quotas->burst == cases[i].burst);
		assert_int_equal(quotas->rate_period_s, cases[i].period_s);
		policy_unref(policy);
	}
}

static void answers_are_read(void **state)
{
	static const struct {
		const char *exceeded;
		unsigned spills;
		int size, rate, cgroup, spill;
	} cases[] = {
		{"{}", 0, ENOSPC, EAGAIN, ENOMEM, ENOSPC},
		{"EDQUOT", 0, EDQUOT, EDQUOT, EDQUOT, EDQUOT},
		{"spill", 1U << QUOTA_SIZE | 1U << QUOTA_RESIDENT | 1U << QUOTA_CGROUP, ENOSPC,
			EAGAIN, ENOMEM, ENOSPC},
		{"{size: spill, rate: EPERM}", 1U << QUOTA_SIZE, ENOSPC, EPERM, ENOMEM, ENOSPC},
		{"{cgroup: EIO, spill: EROFS}", 0, ENOSPC, EAGAIN, EIO, EROFS},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct policy_quotas *quotas;
		struct policy *policy;
		char text[512];

		print_message("%s\n", cases[i].exceeded);
		snprintf(text, sizeof(text),
			HEAD "budget:\n  cgroup: {max_usage: 90%%}\n"
			     "  tenant: {size: 1G, resident: 1G, rate: 1/s}\n"
			     "  spill: {directory: /a, size: 1G}\n  exceeded: %s\n"
			     "rules: [{name: a, action: emulate, backing: disk}]\n",
			cases[i].exceeded);
		policy = load_good(text);
		quotas = policy_quotas(policy);
		assert_int_equal(quotas->spills, cases[i].spills);
		assert_int_equal(quotas->errors[QUOTA_SIZE], cases[i].size);
		assert_int_equal(quotas->errors[QUOTA_RATE], cases[i].rate);
		assert_int_equal(quotas->errors[QUOTA_CGROUP], cases[i].cgroup);
		assert_int_equal(quotas->errors[QUOTA_SPILL], cases[i].spill);
		assert_int_equal(policy_budget(policy)->exceeded, cases[i].cgroup);
		policy_unref(policy);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_said),
		cmocka_unit_test(everything_said),
		cmocka_unit_test(defaults_depend),
		cmocka_unit_test(rates_are_read),
		cmocka_unit_test(answers_are_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
