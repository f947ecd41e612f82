/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/policy.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "base/fd.h"
#include "policy/buffer.h"
#include "policy/compile.h"
#include "policy/draft.h"

static int draft_load(
	const char *text, size_t size, struct diagnostics *diagnostics, struct draft *draft)
{
	struct tree tree = {0};
	struct parser parser = {.tree = &tree, .diagnostics = diagnostics, .draft = draft};
	int r = tree_load(&tree, text, size, diagnostics);

	if (r == 0)
		r = policy_parse(&parser);
	buffer_done(&parser.names);
	tree_done(&tree);
	return r;
}

static int policy_make(
	struct draft *draft, struct diagnostics *diagnostics, struct policy **ret_policy)
{
	struct policy *policy;
	int r = policy_compile(draft, &policy);

	if (r < 0)
		return r;
	r = policy_analyse(policy, draft, diagnostics);
	if (r < 0 || diagnostics_count(diagnostics) > 0) {
		policy_unref(policy);
		return r;
	}
	*ret_policy = policy;
	return 0;
}

int policy_load(const char *text, size_t size, const char *file, policy_diagnostic_fn *report,
	void *userdata, struct policy **ret_policy)
{
	struct diagnostics diagnostics = {0};
	struct draft draft = {.fallback = VERDICT_EMULATE,
		.mode = POLICY_ENFORCE,
		.quotas = quotas_none,
		.spill_directory = NONE};
	struct policy *policy = NULL;
	int r = 0;

	if (size > POLICY_TEXT_MAX)
		diagnostic_add(&diagnostics, (struct mark){1, 1}, "more than 8 MiB of text");
	else
		r = draft_load(text, size, &diagnostics, &draft);
	if (r == 0 && !diagnostics_full(&diagnostics))
		r = policy_make(&draft, &diagnostics, &policy);
	if (r == 0 || r == -EINVAL)
		r = diagnostics_report(&diagnostics, file, report, userdata);
	draft_done(&draft);
	diagnostics_done(&diagnostics);
	if (r == 0)
		*ret_policy = policy;
	return r;
}

int policy_load_fd(int fd, const char *file, policy_diagnostic_fn *report, void *userdata,
	struct policy **ret_policy)
{
	struct buffer text = {0};
	ssize_t got = 1;
	int r = 0;

	while (r == 0 && got > 0) {
		size_t before = text.size;
		char *room = buffer_grow(&text, 64 * 1024);

		if (!room) {
			r = -ENOMEM;
			break;
		}
		got = read(fd, room, 64 * 1024);
		if (got < 0 && errno == EINTR)
			got = 1, text.size = before;
		else if (got < 0)
			r = -errno;
		else
			text.size = before + (size_t)got;
		if (text.size > POLICY_TEXT_MAX)
			r = -EFBIG;
	}
	if (r == 0)
		r = policy_load(text.data, text.size, file, report, userdata, ret_policy);
	buffer_done(&text);
	return r;
}

int policy_load_file(
	const char *path, policy_diagnostic_fn *report, void *userdata, struct policy **ret_policy)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	int r;

	if (fd < 0)
		return -errno;
	r = policy_load_fd(fd, path, report, userdata, ret_policy);
	fd_close(fd);
	return r;
}

int policy_load_default(struct policy **ret_policy)
{
	return policy_load(policy_default_text, strlen(policy_default_text), "default.yaml", NULL,
		NULL, ret_policy);
}

struct policy *policy_ref(struct policy *policy)
{
	atomic_fetch_add_explicit(&policy->references, 1, memory_order_relaxed);
	return policy;
}

struct policy *policy_unref(struct policy *policy)
{
	/* Whoever frees it must have seen all that the others did with it. */
	if (!policy || atomic_fetch_sub_explicit(&policy->references, 1, memory_order_acq_rel) > 1)
		return NULL;
	for (uint32_t i = 0; i < policy->regex_count; i++)
		pcre2_code_free(policy->regexes[i]);
	free(policy);
	return NULL;
}

enum policy_mode policy_mode(const struct policy *policy)
{
	return policy->mode;
}

const struct policy_budget *policy_budget(const struct policy *policy)
{
	return &policy->budget;
}

bool policy_wants_cgroup(const struct policy *policy)
{
	return policy->facts & FACT_CGROUP || policy->budget.reserve_bytes > 0 ||
	       policy->budget.max_usage_ppm > 0 || policy->quotas.tenant_by == TENANT_BY_CGROUP;
}

const struct policy_quotas *policy_quotas(const struct policy *policy)
{
	return &policy->quotas;
}

unsigned policy_calls(const struct policy *policy)
{
	static const enum quota growing[] = {
		QUOTA_SIZE, QUOTA_RESIDENT, QUOTA_HUGETLB, QUOTA_MEMFD_SIZE, QUOTA_SPILL};
	const struct policy_quotas *quotas = &policy->quotas;
	unsigned calls = CALL_MEMFD_CREATE;

	for (unsigned i = 0; i < ARRAY_SIZE(growing); i++)
		if (quotas->limits[growing[i]] != QUOTA_UNLIMITED)
			calls |= CALL_FTRUNCATE | CALL_FALLOCATE;
	if (quotas->memfd_secret != SECRET_ALLOW)
		calls |= CALL_MEMFD_SECRET;
	if (quotas->io_uring_denied)
		calls |= CALL_IO_URING_SETUP;
	return calls;
}

bool policy_wants_noexec(const struct policy *policy)
{
	return policy->noexec;
}

size_t policy_rule_count(const struct policy *policy)
{
	return policy->rule_count;
}

const char *verdict_to_string(enum verdict verdict)
{
	static const char *const names[] = {[VERDICT_ALLOW] = "allow",
		[VERDICT_DENY] = "deny",
		[VERDICT_KILL] = "kill",
		[VERDICT_EMULATE] = "emulate"};

	return names[verdict];
}
