/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What each tenant of a ledger uses of what it may, as a table for people. */

#include <stdbool.h>
#include <stdio.h>

#include "core/ledger.h"

/*
 * A row for each tenant and quota that is set: limit, use, peak, and how many calls were refused.
 * Names are escaped for terminals; colour only when asked.
 */
void usage_print(struct ledger *ledger, const struct policy_quotas *quotas, FILE *out, bool colour);
