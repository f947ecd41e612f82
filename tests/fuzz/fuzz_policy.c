/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Any bytes as the text of a policy: loading ends, each diagnostic stands inside the text, in
 * order, and can be printed; what loads can judge.
 */

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "base/macro.h"
#include "policy/policy.h"

#include "fuzz.h"

struct text {
	const char *bytes;
	size_t size;
	bool utf16; /* libyaml converts it: places can't be checked against the bytes */
	unsigned diagnostics, line, column; /* so far, and where the last one stood */
};

/*
 * The length of a line break at the place, 0 where there is none. YAML 1.1 has six: LF, CR, CR LF,
 * NEL (U+0085), LS and PS (U+2028, U+2029).
 */
static size_t break_length(const char *at, size_t left)
{
	if (left >= 2 && memcmp(at, "\r\n", 2) == 0)
		return 2;
	if (left >= 1 && (*at == '\n' || *at == '\r'))
		return 1;
	if (left >= 2 && memcmp(at, "\xc2\x85", 2) == 0)
		return 2;
	if (left >= 3 && (memcmp(at, "\xe2\x80\xa8", 3) == 0 || memcmp(at, "\xe2\x80\xa9", 3) == 0))
		return 3;
	return 0;
}

/* Bytes in the line with that number, or -1 when the text has fewer lines. */
static ssize_t line_length(const struct text *text, unsigned number)
{
	size_t start = 0, at = 0;

	while (at < text->size) {
		size_t len = break_length(text->bytes + at, text->size - at);

		if (!len) {
			at++;
			continue;
		}
		if (--number == 0)
			return (ssize_t)(at - start);
		at += len;
		start = at;
	}
	return number == 1 ? (ssize_t)(at - start) : -1;
}

/* One line that can't move the cursor of whoever reads it. */
static bool is_printable(const char *message)
{
	for (; *message; message++) {
		if ((unsigned char)*message < ' ' || *message == 0x7f)
			return false;
	}
	return true;
}

static void check_diagnostic(const struct policy_diagnostic *diagnostic, void *userdata)
{
	struct text *text = userdata;
	ssize_t length = line_length(text, diagnostic->line);

	if (getenv("FUZZ_SHOW"))
		fprintf(stderr, "%u:%u: %s\n", diagnostic->line, diagnostic->column,
			diagnostic->message);
	text->diagnostics++;
	fuzz_assert(strcmp(diagnostic->file, "fuzz.yaml") == 0);
	fuzz_assert(*diagnostic->message && is_printable(diagnostic->message));
	fuzz_assert(!diagnostic->hint || (*diagnostic->hint && is_printable(diagnostic->hint)));
	fuzz_assert(diagnostic->line >= 1 && diagnostic->column >= 1);
	fuzz_assert(diagnostic->line > text->line ||
		    (diagnostic->line == text->line && diagnostic->column >= text->column));
	text->line = diagnostic->line;
	text->column = diagnostic->column;
	if (text->utf16)
		return;
	fuzz_assert(length >= 0);
	/* columns count characters, which are never more than bytes; one past the end is the end */
	fuzz_assert(diagnostic->column <= (size_t)length + 1);
}

static void judge(const struct policy *policy, const struct policy_call *whole)
{
	struct policy_scratch *scratch;
	struct policy_call call = *whole;
	struct decision decision;
	unsigned asked, given = 0;

	fuzz_assert(policy_scratch_new(policy, &scratch) == 0);
	policy_scratch_reset(scratch);
	call.known = 0;
	while ((asked = policy_decide(policy, scratch, &call, &decision))) {
		fuzz_assert(!(asked & call.known) && __builtin_popcount(asked) == 1);
		call.known |= asked;
		fuzz_assert(++given <= 5);
	}
	fuzz_assert(decision.rule && *decision.rule && decision.reason);
	fuzz_assert(decision.verdict != VERDICT_DENY || decision.error > 0);
	fuzz_assert(decision.backing != BACKING_DISK || policy_quotas(policy)->spill_directory);
	fuzz_assert(!decision.noexec || policy_wants_noexec(policy));
	policy_scratch_free(scratch);
}

static void check_quotas(const struct policy *policy)
{
	const struct policy_quotas *quotas = policy_quotas(policy);
	char name[POLICY_TENANT_MAX];

	for (unsigned i = QUOTA_MEMFDS; i < QUOTA_COUNT; i++) {
		fuzz_assert(quotas->limits[i] > 0 && quotas->errors[i] > 0);
		fuzz_assert(quotas->limits[i] == QUOTA_UNLIMITED || quotas->ledger);
	}
	fuzz_assert(quotas->burst >= 1);
	fuzz_assert(quotas->rate_period_s == 1 || quotas->rate_period_s == 60 ||
		    quotas->rate_period_s == 3600);
	fuzz_assert(quotas->sample_ms >= 10 && quotas->sample_ms <= 3600 * 1000);
	fuzz_assert(!quotas->spills || quotas->spill_directory);
	fuzz_assert(!quotas->spill_directory || *quotas->spill_directory == '/');
	fuzz_assert((quotas->limits[QUOTA_SPILL] == QUOTA_UNLIMITED) == !quotas->spill_directory);
	fuzz_assert(!quotas->rlimit_fsize || quotas->limits[QUOTA_MEMFD_SIZE] != QUOTA_UNLIMITED);
	fuzz_assert((policy_calls(policy) & ~CALL_ALL) == 0);
	fuzz_assert(policy_calls(policy) & CALL_MEMFD_CREATE);
	fuzz_assert(quotas->tenant_by != TENANT_BY_CGROUP || policy_wants_cgroup(policy));
	if (policy_tenant_name(policy, "/docker/0123456789abcdef/init.scope", name))
		fuzz_assert(*name && !strchr(name, '/') && quotas->tenant_by == TENANT_BY_CGROUP);
}

static void use(struct policy *policy)
{
	static const char longest[] =
		"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
	static const struct policy_call calls[] = {
		{.flags = 0, .name = "", .comm = "", .exe = "", .cgroup = "/"},
		{.flags = 0xffffffff,
			.name = longest,
			.name_len = sizeof(longest) - 1,
			.uid = (uid_t)-1,
			.gid = (gid_t)-1,
			.comm = "python3",
			.exe = "/usr/bin/python3",
			.cgroup = "/docker/0123456789abcdef"},
		{.flags = 3,
			.name = "\x01\xff\n",
			.name_len = 3,
			.comm = "\xff",
			.exe = "/",
			.cgroup = ""},
	};

	for (size_t i = 0; i < ARRAY_SIZE(calls); i++)
		judge(policy, &calls[i]);
	check_quotas(policy);
	fuzz_assert(policy_mode(policy) == POLICY_ENFORCE || policy_mode(policy) == POLICY_AUDIT);
	fuzz_assert(policy_budget(policy)->max_usage_ppm <= 1000000);
	fuzz_assert(policy_rule_count(policy) <= 65536);
}

static bool is_utf16(const uint8_t *data, size_t size)
{
	return size >= 2 &&
	       ((data[0] == 0xff && data[1] == 0xfe) || (data[0] == 0xfe && data[1] == 0xff));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct text text = {
		.bytes = (const char *)data, .size = size, .utf16 = is_utf16(data, size)};
	struct policy *policy = NULL;
	int r = policy_load(text.bytes, size, "fuzz.yaml", check_diagnostic, &text, &policy);

	fuzz_assert(r == 0 || r == -EINVAL);
	fuzz_assert((r == 0) == (policy != NULL));
	fuzz_assert((r == 0) == (text.diagnostics == 0));
	if (policy)
		use(policy);
	policy_unref(policy);
	return 0;
}
