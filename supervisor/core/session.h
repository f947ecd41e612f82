/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* One listener: receives its calls, judges them by a policy, answers them. Used by one thread. */

#include <stdbool.h>

#include "core/event.h"
#include "core/ledger.h"
#include "policy/policy.h"

typedef void session_event_fn(const struct event *event, void *userdata);

struct session_config {
	int listener;       /* owned by the session from session_new() on, whatever that returns */
	bool wait_killable; /* its filter has WAIT_KILLABLE_RECV: see notify_inject() */
	const char *tenant; /* copied; cut to EVENT_TENANT_MAX - 1 bytes */
	struct policy *policy; /* the session takes a reference of its own */
	enum policy_mode mode; /* policy_mode(policy), or what somebody above it says */
	/*
	 * Where files are charged; borrowed, shared with other sessions, and outlives them. NULL
	 * where policy_quotas(policy)->ledger is false.
	 */
	struct ledger *ledger;
	int spill_dir_fd; /* policy_quotas(policy)->spill_directory, opened; borrowed; -1: none */
	/* Called after each answered call. NULL: facts for events are not read. */
	session_event_fn *on_event;
	void *userdata;
};

struct session;

/* Returns 0 or -errno. */
int session_new(const struct session_config *config, struct session **ret_session);

/*
 * Answers calls until the last task under the filter is gone. The calling thread must have every
 * signal blocked: notify_inject() says why. Returns 0 or -errno.
 */
int session_run(struct session *session);

/*
 * Answers the calls that are queued now, without waiting for more; signals as above. Returns 0, 1
 * at the end of the listener (the last task is gone), or -errno.
 */
int session_dispatch(struct session *session);

/* The listener, to be polled for POLLIN and POLLHUP; borrowed. */
int session_fd(const struct session *session);

/* Takes NULL, returns NULL. Calls that wait get ENOSYS from the kernel. */
struct session *session_free(struct session *session);
