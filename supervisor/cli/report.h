/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Mistakes in policies, as the person at the terminal reads them. */

#include "policy/policy.h"

/* policy_load_file(), with "-" for stdin. */
int report_load(
	const char *path, policy_diagnostic_fn *report, void *userdata, struct policy **ret_policy);

/*
 * Loads a policy from a file, "-" for stdin, and prints every mistake on stderr as
 * FILE:LINE:COLUMN: error: MESSAGE with a hint below. Returns 0 or -errno, which has been
 * explained.
 */
int report_load_policy(const char *path, struct policy **ret_policy);
