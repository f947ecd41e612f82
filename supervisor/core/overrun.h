/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What happens to tenants that are found to hold more than budget.tenant.resident. An episode lasts
 * from when a tenant is first found above its limit until it is found below.
 */

#include "core/ledger.h"
#include "core/warden.h"

/* The episodes of all tenants. Belongs to one thread. */
struct overrun;

/* config: borrowed, outlives it. Returns 0 or -ENOMEM. */
int overrun_new(const struct warden_config *config, struct overrun **ret_overrun);

/* A round begins. To be called before tenants are measured: who is dead by now has let go. */
void overrun_begin(struct overrun *overrun);

/*
 * Compares what a tenant holds, as measured in this round, with the limit, and acts:
 *
 * - OVERRUN_DENY: the ledger refuses by itself.
 *
 * - OVERRUN_FREEZE: the cgroup of its largest holder is frozen, and further ones while the tenant
 *   goes on growing; all are thawed when it is below. A group that somebody else thaws meanwhile
 *   stays so. Where no group can be frozen, the tenant is denied, and a notice says so once.
 *
 * - OVERRUN_KILL: its largest holder gets SIGKILL, and no other before that one is dead and the
 *   tenant was measured again. If it is still above then, what was held is shared by others: twice
 *   as many are killed each time, of those that hold at least half of what the largest does.
 *
 * An event says that an episode has begun, and one for each process that is killed.
 */
void overrun_look(
	struct overrun *overrun, struct tenant *tenant, const struct policy_quotas *quotas);

/* The round is over: episodes of tenants that have not been looked at have ended. */
void overrun_end(struct overrun *overrun);

/* Whether there is an episode. */
bool overrun_is_active(const struct overrun *overrun);

/* Thaws all groups. Takes NULL, returns NULL. */
struct overrun *overrun_free(struct overrun *overrun);
