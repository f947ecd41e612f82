/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * A policy: rules that judge a call. Immutable once loaded, reference-counted, one allocation, so
 * that it can be shared between threads and swapped by a pointer. Loading parses text; judging does
 * neither I/O nor allocation.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/call.h"
#include "base/macro.h"
#include "policy/quota.h"

struct policy;

/* Longest name of a rule, NUL included; longer ones are a mistake. */
#define POLICY_RULE_NAME_MAX 64

/* One mistake in a policy's text, for the person who wrote it. */
struct policy_diagnostic {
	const char *file;
	unsigned line, column; /* from 1 */
	const char *message;
	const char *hint; /* what to write instead, or NULL */
};

/* Called for each mistake, in the order of the text. The strings are borrowed for the call. */
typedef void policy_diagnostic_fn(const struct policy_diagnostic *diagnostic, void *userdata);

/*
 * Loads a policy from size bytes of text; file is the name for diagnostics. Reports every mistake
 * it finds, not only the first. Returns 0 and the policy (one reference, the caller's), -EINVAL
 * after at least one diagnostic, or -ENOMEM.
 */
int policy_load(const char *text, size_t size, const char *file, policy_diagnostic_fn *report,
	void *userdata, struct policy **ret_policy);

/* A longer text is refused. */
#define POLICY_TEXT_MAX (8 * 1024 * 1024)

/* The same from a file; also any errno of open(2) and read(2), and -EFBIG. */
int policy_load_file(
	const char *path, policy_diagnostic_fn *report, void *userdata, struct policy **ret_policy);

/* The same from a descriptor (borrowed), read to its end; file is the name for diagnostics. */
int policy_load_fd(int fd, const char *file, policy_diagnostic_fn *report, void *userdata,
	struct policy **ret_policy);

/* The policy built into the program: policies/default.yaml. Returns 0 or -ENOMEM. */
int policy_load_default(struct policy **ret_policy);

/* Takes one more reference; thread-safe. */
struct policy *policy_ref(struct policy *policy);
/* Gives one back; thread-safe. Takes NULL, returns NULL. */
struct policy *policy_unref(struct policy *policy);

static inline void policy_unref_ptr(struct policy **policy)
{
	*policy = policy_unref(*policy);
}

/* What rules can ask about a call. Flags are always known. */
enum fact {
	FACT_NAME = 1 << 0,
	FACT_IDS = 1 << 1, /* uid and gid */
	FACT_COMM = 1 << 2,
	FACT_EXE = 1 << 3,
	FACT_CGROUP = 1 << 4,
};

/* A call as the policy sees it. Only members whose bit is in known are read. */
struct policy_call {
	uint32_t known;   /* of enum fact */
	uint32_t flags;   /* 32 bits: the kernel ignores the register's upper half */
	const char *name; /* NUL-ended */
	size_t name_len;
	uid_t uid; /* real ids, in the supervisor's user namespace */
	gid_t gid;
	const char *comm;   /* NUL-ended */
	const char *exe;    /* NUL-ended path */
	const char *cgroup; /* NUL-ended path within its hierarchy */
};

enum verdict {
	VERDICT_ALLOW,   /* let the kernel run the call as it is */
	VERDICT_DENY,    /* answer with an errno */
	VERDICT_KILL,    /* kill the process */
	VERDICT_EMULATE, /* make the file here and inject it */
};

struct decision {
	enum verdict verdict;
	int error;          /* VERDICT_DENY: the errno, positive */
	uint32_t flags_add; /* VERDICT_EMULATE: applied as (flags & ~clear) | add */
	uint32_t flags_clear;
	const char *rename;   /* VERDICT_EMULATE: the name to use instead, or NULL */
	enum backing backing; /* VERDICT_EMULATE: as the rule says, else BACKING_AUTO */
	bool noexec;          /* VERDICT_EMULATE: the file must never be executable */
	const char *rule;   /* name of the deciding rule, "default" when none matched; never NULL */
	const char *reason; /* why, for people; a string literal, never NULL */
};

/*
 * The working memory of one evaluator: cursor, candidate set, regex state. Allocated once for a
 * policy, used by one thread.
 */
struct policy_scratch;
int policy_scratch_new(const struct policy *policy, struct policy_scratch **ret_scratch);
struct policy_scratch *policy_scratch_free(struct policy_scratch *scratch);

/* Forgets the last call. Call it before the first policy_decide() of each call. */
void policy_scratch_reset(struct policy_scratch *scratch);

/*
 * Judges the call: the first rule that matches decides, else the default. Returns 0 with
 * *ret_decision filled in (its strings live as long as the policy), or the one enum fact it must
 * know to go on: fetch it, add it to call->known, call again, and it goes on where it stopped. A
 * fact is asked for only when no earlier rule decides without it. Pure: no I/O, no allocation, no
 * clock; bounded for every input (a regex that gives up decides VERDICT_DENY, EACCES, with the
 * reason "regex gave up").
 */
unsigned policy_decide(const struct policy *policy, struct policy_scratch *scratch,
	const struct policy_call *call, struct decision *ret_decision);

/* facts: what the rule that decides and all rules before it look at, of enum fact. */
typedef void policy_decision_fn(const struct decision *decision, uint32_t facts, void *userdata);

/*
 * Calls fn with each decision that a call with these flags may get, whatever its name and its
 * caller are: in the order of the rules, up to the first that asks for nothing more, else up to the
 * default. For those who want to know what a policy permits at all.
 */
void policy_each_decision(
	const struct policy *policy, uint32_t flags, policy_decision_fn *fn, void *userdata);

enum policy_mode {
	POLICY_ENFORCE,
	POLICY_AUDIT, /* report what would happen, let everything pass */
};
enum policy_mode policy_mode(const struct policy *policy);

/* Limits of the caller's memory cgroup; all zero when the policy sets none. */
struct policy_budget {
	uint64_t reserve_bytes; /* refuse when less than this is free; 0: not set */
	unsigned max_usage_ppm; /* refuse from these millionths of the limit on; 0: not set */
	int exceeded;           /* the errno, positive */
};
const struct policy_budget *policy_budget(const struct policy *policy);

/* Tenants and their quotas; never NULL, lives as long as the policy. */
const struct policy_quotas *policy_quotas(const struct policy *policy);

/*
 * Which system calls have to be notified of for this policy: a set of enum call, in which
 * CALL_MEMFD_CREATE always is. CALL_FTRUNCATE and CALL_FALLOCATE where a size, resident, hugetlb,
 * memfd.size or spill limit is set, CALL_MEMFD_SECRET unless it is allowed, CALL_IO_URING_SETUP
 * where it is denied.
 */
unsigned policy_calls(const struct policy *policy);

/* Whether any rule says `noexec: true`: see kernel/memfile.h for what that takes. */
bool policy_wants_noexec(const struct policy *policy);

/*
 * Longest name of a tenant, with its NUL: that of any cgroup (NAME_MAX), as a name cut short could
 * be made to equal another tenant's.
 */
#define POLICY_TENANT_MAX 256

/*
 * TENANT_BY_CGROUP: what the pattern captures of a cgroup's path (NUL-ended). The pattern matches
 * whole components from the beginning, as few as it can, and what lies below them belongs to the
 * same tenant: whatever groups a container makes of its own, and whatever it calls them, it stays
 * the tenant it is. Returns true with the name, which is never empty, "." or "..", holds no "/" and
 * otherwise any bytes; or false when the path does not match. In time O(pattern * path), without
 * memory.
 */
bool policy_tenant_name(
	const struct policy *policy, const char *path, char ret_name[static POLICY_TENANT_MAX]);

/* Whether a call may take its cgroup: for the budget, the tenant, or a rule that matches it. */
bool policy_wants_cgroup(const struct policy *policy);

/* Count of rules, for reports. */
size_t policy_rule_count(const struct policy *policy);

const char *verdict_to_string(enum verdict verdict);
