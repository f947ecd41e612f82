/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "policy/draft.h"

/*
 * Makes a policy of one reference from a draft; the draft's regular expressions move into it.
 * Returns 0 or -ENOMEM.
 */
int policy_compile(struct draft *draft, struct policy **ret_policy);

/*
 * Reports rules that can never decide, and an `allow` that undoes what a rule says about the name.
 * sources are those of the rules, in their order. Returns 0 or -ENOMEM.
 */
int policy_analyse(
	const struct policy *policy, const struct draft *draft, struct diagnostics *diagnostics);
