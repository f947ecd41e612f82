/* SPDX-License-Identifier: Apache-2.0 */

#include "core/budget.h"

static void refuse(
	const struct policy_budget *budget, const char *reason, struct decision *decision)
{
	*decision = (struct decision){
		.verdict = VERDICT_DENY,
		.error = budget->exceeded,
		.rule = "budget",
		.reason = reason,
	};
}

void budget_apply(const struct policy *policy, struct facts *facts, struct decision *decision)
{
	const struct policy_budget *budget = policy_budget(policy);
	struct cgroup_memory memory;

	if (budget->reserve_bytes == 0 && budget->max_usage_ppm == 0)
		return;
	if (facts_fetch(facts, FACT_CGROUP) < 0 ||
		cgroup_view_measure(
			facts->source->cgroup, facts->call.cgroup, facts->cgroup_len, &memory) < 0)
		refuse(budget, "the memory use of the caller's cgroup cannot be read", decision);
	else if (memory.headroom_bytes < budget->reserve_bytes)
		refuse(budget, "less than budget.cgroup.reserve is free in the cgroup", decision);
	else if (budget->max_usage_ppm > 0 && memory.max_usage_ppm >= budget->max_usage_ppm)
		refuse(budget, "the cgroup has reached budget.cgroup.max_usage", decision);
}
