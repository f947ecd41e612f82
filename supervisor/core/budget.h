/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The memory budget of the caller's cgroup, and how a call is refused over any quota. */

#include "core/facts.h"
#include "policy/policy.h"

/*
 * Measures the caller's cgroup. Returns NULL, or why the call must not have more: the policy's
 * budget is used up, or cannot be measured. NULL also where the policy sets no budget.
 */
const char *budget_exceeded(const struct policy *policy, struct facts *facts);

/*
 * Whether a file with these memfd_create(2) flags, or one of such pages, may grow by so many bytes
 * of huge pages as far as the controller of the caller's cgroup goes. True also where the policy
 * sets no budget.tenant.hugetlb, and where nothing can be found out: the quota holds all the same.
 * Whether the machine's pool has pages is mmap(2)'s to say, as natively.
 */
bool hugetlb_has_room(
	const struct policy_quotas *quotas, pid_t tid, uint32_t memfd_flags, uint64_t bytes);

/* What is used up, for people; a literal. */
const char *quota_reason(enum quota quota);

/* The decision to refuse a call over this quota, with the errno that the policy has for it. */
void quota_refuse(const struct policy *policy, enum quota quota, const char *reason,
	struct decision *ret_decision);
