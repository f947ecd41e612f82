/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* One listener: receives its calls, judges them by its domain's policy, answers them. Used by one
 * thread. */

#include <stdbool.h>

#include "core/domain.h"

struct session_config {
	int listener;       /* owned by the session from session_new() on, whatever that returns */
	bool wait_killable; /* its filter has WAIT_KILLABLE_RECV: see notify_inject() */
	const char *tenant; /* copied; cut to EVENT_TENANT_MAX - 1 bytes */
	struct domain *domain; /* borrowed, shared with other sessions, and outlives them */
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
