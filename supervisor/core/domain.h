/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What all sessions under one policy share: the policy itself, which can be replaced while they
 * run, the ledger of their tenants' files with the thread that looks after it, and where events go.
 */

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#include "core/event.h"
#include "core/ledger.h"
#include "policy/policy.h"

typedef void domain_event_fn(const struct event *event, void *userdata);

struct domain_config {
	struct policy *policy; /* the domain takes a reference of its own */
	/* enum policy_mode, whatever the policy says; -1: as the policy says. */
	int mode;
	pid_t root; /* the tenants' processes are its descendants; 0: any (core/warden.h) */
	/*
	 * Called after each call that is worth an event, by the session's thread, and for what the
	 * ledger finds out between calls, by a thread of its own: one at a time. NULL: facts for
	 * events are not read.
	 */
	domain_event_fn *on_event;
	void *userdata;
};

struct domain;

/*
 * Returns 0 or -errno. Where this machine cannot do what the policy says, *ret_why is set to a
 * sentence for people, and otherwise to NULL.
 */
int domain_new(
	const struct domain_config *config, struct domain **ret_domain, const char **ret_why);
/* Takes NULL, returns NULL. After its sessions. */
struct domain *domain_free(struct domain *domain);

/*
 * Another policy for all sessions, from their next call on; limits change at once, also for files
 * that are there. Returns 0, or -errno with *ret_why, and then the old one holds: a filter cannot
 * be changed, so a policy that has to see other system calls needs a new one, and a ledger cannot
 * know of files that were made before it.
 */
int domain_set_policy(struct domain *domain, struct policy *policy, const char **ret_why);

/*
 * Stops the thread that looks after the ledger, and takes back what it did to processes and
 * cgroups: for who ends without domain_free().
 */
void domain_stop(struct domain *domain);

/* What a session works with until the next change of policy. */
struct domain_view {
	struct policy *policy; /* owned by who took the view */
	enum policy_mode mode;
	int spill_dir_fd; /* owned; -1: none */
	unsigned generation;
};

void domain_view_init(struct domain_view *view);
void domain_view_done(struct domain_view *view);

/* Brings the view up to date, whose old contents it gives back. Returns whether it has changed. */
bool domain_view_update(struct domain *domain, struct domain_view *view);

/* Borrowed; NULL where the policy needs none. */
struct ledger *domain_ledger(const struct domain *domain);

/* Whether anybody listens. */
bool domain_has_events(const struct domain *domain);
void domain_event(struct domain *domain, const struct event *event);
