/* SPDX-License-Identifier: Apache-2.0 */

#include "core/budget.h"
#include "kernel/cgroup_hugetlb.h"

const char *budget_exceeded(const struct policy *policy, struct facts *facts)
{
	const struct policy_budget *budget = policy_budget(policy);
	struct cgroup_memory memory;

	if (budget->reserve_bytes == 0 && budget->max_usage_ppm == 0)
		return NULL;
	if (facts_fetch(facts, FACT_CGROUP) < 0 ||
		cgroup_view_measure(
			facts->source->cgroup, facts->call.cgroup, facts->cgroup_len, &memory) < 0)
		return "the memory use of the caller's cgroup cannot be read";
	if (memory.headroom_bytes < budget->reserve_bytes)
		return "less than budget.cgroup.reserve is free in the cgroup";
	if (budget->max_usage_ppm > 0 && memory.max_usage_ppm >= budget->max_usage_ppm)
		return "the cgroup has reached budget.cgroup.max_usage";
	return NULL;
}

bool hugetlb_has_room(
	const struct policy_quotas *quotas, pid_t tid, uint32_t memfd_flags, uint64_t bytes)
{
	struct hugetlb_room room;

	if (quotas->limits[QUOTA_HUGETLB] == QUOTA_UNLIMITED ||
		hugetlb_headroom(tid, memfd_flags, &room) < 0)
		return true;
	if (bytes < room.page_bytes)
		bytes = room.page_bytes;
	return bytes <= room.cgroup_bytes;
}

const char *quota_reason(enum quota quota)
{
	switch (quota) {
	case QUOTA_NONE:
		return "no quota is used up";
	case QUOTA_MEMFDS:
		return "the tenant has as many files as budget.tenant.memfds allows";
	case QUOTA_SIZE:
		return "the sizes of the tenant's files reach budget.tenant.size";
	case QUOTA_RESIDENT:
		return "the tenant's files hold as much memory as budget.tenant.resident allows";
	case QUOTA_HUGETLB:
		return "the huge pages of budget.tenant.hugetlb or of the cgroup are used up";
	case QUOTA_RATE:
		return "the tenant makes files faster than budget.tenant.rate";
	case QUOTA_MEMFD_SIZE:
		return "the file would be larger than budget.memfd.size";
	case QUOTA_CGROUP:
		return "the memory budget of the caller's cgroup is used up";
	case QUOTA_SPILL:
		return "the spilled files reach budget.spill.size";
	}
	return "?";
}

void quota_refuse(const struct policy *policy, enum quota quota, const char *reason,
	struct decision *ret_decision)
{
	*ret_decision = (struct decision){
		.verdict = VERDICT_DENY,
		.error = policy_quotas(policy)->errors[quota],
		.rule = "budget",
		.reason = reason,
	};
}
