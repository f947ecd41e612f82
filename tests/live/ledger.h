/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What tests of the ledger share: a ledger with one tenant, and files in it. After live.h. */

#include <sys/mman.h>
#include <sys/stat.h>

#include "base/memfd.h"
#include "core/ledger.h"
#include "policy/policy.h"

#define KIB UINT64_C(1024)
#ifndef MIB /* also in live_cgroup.h */
#define MIB (1024 * KIB)
#endif

struct ledger_fixture {
	struct policy_quotas quotas;
	struct ledger *ledger;
	struct tenant *tenant;
	unsigned notices;
	const char *last_notice;
};

static inline void fixture_notice(const char *text, void *userdata)
{
	struct ledger_fixture *fixture = userdata;

	fixture->notices++;
	fixture->last_notice = text;
}

static inline struct policy_quotas ledger_quotas(void)
{
	struct policy_quotas quotas = quotas_none;

	quotas.ledger = true;
	return quotas;
}

/* Limits are set in fixture->quotas before. */
static inline void fixture_start(struct ledger_fixture *fixture)
{
	const struct ledger_config config = {
		.quotas = &fixture->quotas,
		.on_notice = fixture_notice,
		.userdata = fixture,
	};

	assert_int_equal(ledger_new(&config, &fixture->ledger), 0);
	assert_int_equal(tenant_get(fixture->ledger, "tenant", &fixture->tenant), 0);
}

static inline void fixture_done(struct ledger_fixture *fixture)
{
	fixture->tenant = tenant_unref(fixture->tenant);
	fixture->ledger = ledger_free(fixture->ledger);
}

/* Enters the file behind fd, which is new. */
static inline void ledger_enter(struct tenant *tenant, enum store store, int fd)
{
	const struct ledger_maker maker = {.pid = getpid(), .name = "file", .name_len = 4};
	struct charge charge;

	assert_int_equal(charge_begin(&charge, tenant, store, false), QUOTA_NONE);
	assert_int_equal(charge_commit(&charge, fd, &maker), 0);
	charge_done(&charge);
}

static inline int ledger_memfd(struct tenant *tenant)
{
	int fd = memfd_create("file", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	assert_return_code(fd, errno);
	ledger_enter(tenant, STORE_MEMFD, fd);
	return fd;
}

static inline struct tenant_use ledger_used(struct tenant *tenant)
{
	struct tenant_use use;

	tenant_use(tenant, &use);
	return use;
}

/* As session does it for ftruncate(2). */
static inline enum quota ledger_truncate(struct tenant *tenant, int fd, uint64_t size)
{
	struct growth growth;
	struct stat st;
	enum quota quota;

	assert_return_code(fstat(fd, &st), errno);
	quota = growth_begin(&growth, tenant, fd, &st, size, 0, false);
	if (quota != QUOTA_NONE)
		return quota;
	if (ftruncate(fd, (off_t)size) == 0) {
		assert_return_code(fstat(fd, &st), errno);
		growth_commit(&growth, &st);
	}
	growth_done(&growth);
	return QUOTA_NONE;
}

#define LIVE_NOBODY 65534

/* From here on a system call fails. For a child. */
#define ledger_refuse(call, error) \
	do { \
		scmp_filter_ctx filter_ = seccomp_init(SCMP_ACT_ALLOW); \
\
		live_check(filter_ != NULL); \
		live_check(seccomp_rule_add(filter_, SCMP_ACT_ERRNO(error), (call), 0) == 0); \
		live_check(seccomp_load(filter_) == 0); \
		seccomp_release(filter_); \
	} while (0)

/* Runs run() in a process of its own. Returns its status. */
static inline int ledger_run_in_child(int (*run)(void))
{
	int status = 0;
	pid_t pid;

	fflush(NULL);
	pid = fork();
	if (pid == 0)
		exit(run());
	if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
		return EXIT_FAILURE;
	return WEXITSTATUS(status);
}
