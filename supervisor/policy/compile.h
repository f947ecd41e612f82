/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "policy/draft.h"

/*
 * Makes a policy of one reference from a draft; the draft's regular expressions move into it.
 * Returns 0 or -ENOMEM.
 */
int policy_compile(struct draft *draft, struct policy **ret_policy);

/*
 * Reports rules of one name, rules that can never decide, and an `allow` that undoes what a rule
 * says about the name. draft is what policy was compiled from. Returns 0 or -ENOMEM.
 */
int policy_analyse(
	const struct policy *policy, const struct draft *draft, struct diagnostics *diagnostics);
