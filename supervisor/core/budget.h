/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The memory budget of the caller's cgroup. */

#include "core/facts.h"
#include "policy/policy.h"

/*
 * Measures the caller's cgroup and turns the decision into a denial when the policy's budget is
 * used up, or cannot be measured. Leaves it alone where the policy sets no budget.
 */
void budget_apply(const struct policy *policy, struct facts *facts, struct decision *decision);
