/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The thread that looks after the ledger between calls: measures what tenants hold, acts on those
 * above their resident quota, and makes holders of unmapped memory answer to the OOM killer. Sleeps
 * while there is no file.
 */

#include <sys/types.h>

#include "core/event.h"
#include "core/ledger.h"

struct warden_config {
	struct ledger *ledger; /* borrowed, outlives it */
	const struct policy_quotas *quotas; /* copied */
	/* The tenants' processes are the descendants of this one; 0: any that holds a file. */
	pid_t root;
	/* EVENT_OVERRUN and EVENT_NOTICE, from the warden's thread; may be NULL. */
	void (*on_event)(const struct event *event, void *userdata);
	void *userdata;
};

struct warden;

/* Starts the thread, with all signals blocked and the caller's privileges. Returns 0 or -errno. */
int warden_new(const struct warden_config *config, struct warden **ret_warden);

/* Other settings, at once. */
void warden_set_quotas(struct warden *warden, const struct policy_quotas *quotas);

/* Stops the thread and takes back what it did to processes and cgroups. Takes NULL, returns NULL. */
struct warden *warden_free(struct warden *warden);
