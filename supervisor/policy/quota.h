/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What a policy says of tenants and of how much each may use: plain data, read by core. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define QUOTA_UNLIMITED UINT64_MAX

/* What can be used up. Each has a limit, an errno and a name of its own. */
enum quota {
	QUOTA_NONE,       /* nothing is */
	QUOTA_MEMFDS,     /* budget.tenant.memfds: live files; ENFILE */
	QUOTA_SIZE,       /* budget.tenant.size: sum of their sizes, bytes; ENOSPC */
	QUOTA_RESIDENT,   /* budget.tenant.resident: sum of the memory they hold, bytes; ENOSPC */
	QUOTA_HUGETLB,    /* budget.tenant.hugetlb: sum of sizes in huge pages, bytes; ENOMEM */
	QUOTA_RATE,       /* budget.tenant.rate: files made in rate_period_s seconds; EAGAIN */
	QUOTA_MEMFD_SIZE, /* budget.memfd.size: the size of one file, bytes; EFBIG */
	QUOTA_CGROUP,     /* budget.cgroup: policy_budget() has the limits; ENOMEM */
	QUOTA_SPILL,      /* budget.spill.size: bytes in the spill directory; ENOSPC */
};
#define QUOTA_COUNT 9

/* As in `exceeded: {KEY: ERRNO}` and in events: "memfds", "size", ... "memfd_size", "spill". */
const char *quota_name(enum quota quota);

/* Whose use is counted together. */
enum tenant_by {
	TENANT_BY_LISTENER, /* all calls of one listener */
	TENANT_BY_UID,      /* the caller's real uid, in the supervisor's user namespace */
	TENANT_BY_CGROUP,   /* what the pattern captures of the path of the caller's cgroup */
};

/* What happens to a tenant that is found to hold more than budget.tenant.resident. */
enum overrun_action {
	OVERRUN_DENY,   /* it gets no more until it is below */
	OVERRUN_FREEZE, /* its cgroup is frozen until it is below, or somebody thaws it */
	OVERRUN_KILL,   /* the process that holds most is killed */
};

enum secret_action {
	SECRET_ALLOW, /* not looked at */
	SECRET_DENY,  /* ENOSYS, as on a kernel without it */
	SECRET_COUNT, /* counts as one of the tenant's memfds */
};

/* Where a file's pages are. */
enum backing {
	BACKING_AUTO, /* tmpfs where that is possible and a resident quota is set, else memfd */
	BACKING_MEMFD,
	BACKING_TMPFS,
	BACKING_DISK,
};
const char *backing_name(enum backing backing); /* "auto", "memfd", "tmpfs", "disk" */

struct policy_quotas {
	enum tenant_by tenant_by;
	uint64_t limits[QUOTA_COUNT]; /* QUOTA_UNLIMITED: none; QUOTA_CGROUP's is not used */
	int errors[QUOTA_COUNT];      /* errno, positive, that a refused call gets */
	unsigned rate_period_s;       /* of QUOTA_RATE: 1, 60 or 3600 */
	uint64_t burst;               /* of QUOTA_RATE: files at once after a quiet time, >= 1 */
	unsigned spills; /* set of 1 << enum quota: over it, files go to the spill directory */
	const char *spill_directory; /* NULL: none. Lives as long as the policy */
	bool rlimit_fsize;           /* RLIMIT_FSIZE of the command is budget.memfd.size */
	enum overrun_action on_overrun;
	unsigned sample_ms; /* how often resident memory is measured */
	bool oom_attribute; /* oom: attribute */
	enum secret_action memfd_secret;
	bool io_uring_denied; /* io_uring_setup(2) gets EPERM */
	/*
	 * Whether any of this takes a ledger of live files: a limit of a tenant or of one file's
	 * size, a spill directory, oom_attribute, SECRET_COUNT, or a rule that says noexec, or a
	 * backing other than memfd.
	 */
	bool ledger;
};

/* No limit, and what each refusal says where nothing else is said. */
extern const struct policy_quotas quotas_none;
