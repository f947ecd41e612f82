/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The thread that looks after the ledger between calls: measures what tenants hold, acts on those
 * above their resident quota (core/overrun.h), and makes holders of unmapped memory answer to the
 * OOM killer (core/oom.h).
 *
 * While there is no file it only looks whether there is one, as often as it would measure and at
 * least once a second, so that those who make files pay nothing for its sleep. Rests at least three
 * times as long as a round took, and looks for holders on behalf of the OOM killer at most every
 * second and for at most a twentieth of its time: a tenant that makes looking dear makes it rare.
 *
 * If the supervisor is killed, scores stay raised and cgroups frozen: nobody else knows of them.
 *
 * Rights, in the initial user namespace, over processes of other users: CAP_SYS_PTRACE to find out
 * what they hold, CAP_KILL, CAP_DAC_OVERRIDE to raise their scores and to freeze cgroups.
 */

#include <stdbool.h>
#include <sys/types.h>

#include "core/event.h"
#include "core/ledger.h"

struct warden_config {
	struct ledger *ledger;              /* borrowed, outlives it */
	const struct policy_quotas *quotas; /* copied */
	/*
	 * The tenants' processes are the descendants of this one, which is to be a subreaper; 0:
	 * any that holds a file. Nobody else is killed or frozen, nor ever ourselves or process 1.
	 */
	pid_t root;
	/*
	 * Whether a process is one of the tenant's own, as only those are killed and frozen; called
	 * by the warden's thread. NULL: all below root are. For tenants by uid or cgroup, who can
	 * send files to each other.
	 */
	bool (*owns)(const char *tenant, pid_t pid, void *userdata);
	/* EVENT_OVERRUN and EVENT_NOTICE, from the warden's thread; may be NULL. */
	void (*on_event)(const struct event *event, void *userdata);
	void *userdata;
};

struct warden;

/*
 * Starts the thread, with all signals blocked and the caller's privileges except CAP_SYS_RESOURCE
 * (kernel/oom_score.h). Returns 0 or -errno.
 */
int warden_new(const struct warden_config *config, struct warden **ret_warden);

/* Other settings, at once. */
void warden_set_quotas(struct warden *warden, const struct policy_quotas *quotas);

/*
 * Stops the thread and takes back what it did to processes and cgroups. To be called before waiting
 * for the tenants' processes to end, which they cannot in a frozen cgroup of v1. Takes NULL,
 * returns NULL.
 */
struct warden *warden_free(struct warden *warden);
