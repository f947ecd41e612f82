/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/quota.h"

#include <errno.h>

#include "base/macro.h"

const struct policy_quotas quotas_none = {
	.tenant_by = TENANT_BY_LISTENER,
	.limits = {QUOTA_UNLIMITED, QUOTA_UNLIMITED, QUOTA_UNLIMITED, QUOTA_UNLIMITED,
		QUOTA_UNLIMITED, QUOTA_UNLIMITED, QUOTA_UNLIMITED, QUOTA_UNLIMITED,
		QUOTA_UNLIMITED},
	.errors = {[QUOTA_MEMFDS] = ENFILE,
		[QUOTA_SIZE] = ENOSPC,
		[QUOTA_RESIDENT] = ENOSPC,
		[QUOTA_HUGETLB] = ENOMEM,
		[QUOTA_RATE] = EAGAIN,
		[QUOTA_MEMFD_SIZE] = EFBIG,
		[QUOTA_CGROUP] = ENOMEM,
		[QUOTA_SPILL] = ENOSPC},
	.rate_period_s = 1,
	.burst = 1,
	.on_overrun = OVERRUN_DENY,
	.sample_ms = 250,
	.memfd_secret = SECRET_ALLOW,
};

const char *quota_name(enum quota quota)
{
	static const char *const names[QUOTA_COUNT] = {[QUOTA_NONE] = "none",
		[QUOTA_MEMFDS] = "memfds",
		[QUOTA_SIZE] = "size",
		[QUOTA_RESIDENT] = "resident",
		[QUOTA_HUGETLB] = "hugetlb",
		[QUOTA_RATE] = "rate",
		[QUOTA_MEMFD_SIZE] = "memfd_size",
		[QUOTA_CGROUP] = "cgroup",
		[QUOTA_SPILL] = "spill"};

	return names[quota];
}

const char *backing_name(enum backing backing)
{
	static const char *const names[] = {[BACKING_AUTO] = "auto",
		[BACKING_MEMFD] = "memfd",
		[BACKING_TMPFS] = "tmpfs",
		[BACKING_DISK] = "disk"};

	return names[backing];
}
