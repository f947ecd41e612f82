/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What is known of one call: each fact is fetched at most once, and only when somebody asks. */

#include <limits.h>

#include "kernel/cgroup.h"
#include "kernel/filter.h"
#include "kernel/tracee.h"
#include "policy/policy.h"

/* Longest text of /proc/PID/cgroup that is read: a dozen hierarchies, each with a long path. */
#define FACTS_CGROUP_MAX 8192

/* Where facts come from; borrowed, shared by all calls of one session. */
struct facts_source {
	struct tracee_cache *cache;
	struct cgroup_view *cgroup; /* NULL where no memory controller is visible */
};

struct facts {
	struct policy_call call; /* what the policy sees; call.known says what is there */
	const struct facts_source *source;
	struct filter_call syscall; /* its arguments */
	pid_t tid;
	struct tracee_name name;
	int name_error; /* why the name could not be read, 0 or -errno: see facts_fetch() */
	struct tracee_ids ids;
	size_t cgroup_len;
	char comm[TRACEE_COMM_MAX];
	char exe[PATH_MAX];
	char cgroup_text[FACTS_CGROUP_MAX]; /* call.cgroup points into it */
};

/* Starts afresh with what the notification itself says: the calling thread, and its call. */
void facts_start(struct facts *facts, const struct facts_source *source, pid_t tid,
	const struct filter_call *call);

/*
 * Fetches one fact unless it is known. What it stores is true of the caller only if the call still
 * waits afterwards. A name that could not be read is not tried again: another thread may have put
 * it there meanwhile, and what was judged to have no name must not get a file under a name that
 * nobody judged. Returns 0, -EFAULT when the name cannot be read by the caller itself, -ESRCH
 * when the caller is gone, or another -errno when it cannot be found out.
 */
int facts_fetch(struct facts *facts, enum fact fact);
