/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Whose a process is, where tenants can send files to each other: by uid or cgroup, as session.c
 * tells whose a call is.
 */

#include <stdbool.h>
#include <sys/types.h>

#include "core/ledger.h"
#include "kernel/cgroup.h"
#include "policy/policy.h"

/* Belongs to one thread. */
struct owner {
	struct ledger *ledger;    /* borrowed */
	struct cgroup_view *view; /* owned; made when needed */
};

void owner_done(struct owner *owner);

/*
 * Whether the process is the tenant's under that policy. A process that no pattern names is the
 * listener's. A pid may be another process's by the time of the answer: the caller sees to that.
 */
bool owner_has(struct owner *owner, const struct policy *policy, const char *tenant, pid_t pid);
