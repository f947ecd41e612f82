/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The inside of a session, for the files that handle one kind of call each. */

#include <stdbool.h>
#include <stdint.h>

#include "core/domain.h"
#include "core/facts.h"
#include "core/resize.h"
#include "core/session.h"
#include "kernel/filter.h"
#include "kernel/notify.h"

/* Calls that are received before the first of them is answered. */
#define SESSION_SLOTS 64

struct slot {
	union notification notification;
	uint64_t received_ns; /* CLOCK_MONOTONIC */
};

struct session {
	int listener;
	struct domain *domain;
	struct domain_view view; /* the policy in force */
	struct policy_scratch *scratch;
	struct facts_source source;
	struct ledger *ledger;      /* the domain's; NULL: nothing is counted */
	struct tenant *tenant;      /* the listener's own; NULL without a ledger */
	struct resizer *resizer;    /* NULL without a ledger */
	struct tenant *last_tenant; /* the last one by uid or cgroup, NULL: none yet */
	uid_t own_uid; /* whose files are, when nobody else's: the thread's file system ids */
	gid_t own_gid;
	uint32_t last_tid;
	bool wait_killable;
	bool poll_first; /* this kernel's blocked receiver does not see the end */
	char name[EVENT_TENANT_MAX];
	struct facts facts; /* of the call in hand */
	struct event event;
	struct slot slots[SESSION_SLOTS];
};

/* What became of a call. */
struct outcome {
	struct decision decision;
	struct tenant *tenant; /* whose call it was counted as; borrowed, NULL: the listener's */
	int error;             /* positive errno that the caller got, or 0 */
	int fd;                /* its new descriptor, or -1 */
	enum backing backing;  /* of the new file; BACKING_AUTO: none */
	uint64_t size;         /* that a resize asked for */
	bool quiet;            /* not worth an event */
};

/*
 * Each answers the call with this id, whose facts have been started, and says in *outcome what
 * became of it. NOTIFY_OK, NOTIFY_GONE, or -errno when the kernel did not take the answer.
 */
int session_create(struct session *session, uint64_t id, struct outcome *outcome);
int session_create_secret(struct session *session, uint64_t id, struct outcome *outcome);

/* The verdict on a call about which something cannot be found out: never a yes. */
void decide_in_the_dark(int error, struct decision *ret_decision);

/* The tenant that the call is counted as. Returns 0 or -errno where that cannot be found out. */
int session_find_tenant(struct session *session, struct tenant **ret_tenant);

/*
 * Fetches what an event shows beyond what the decision needed, if anybody wants events; what cannot
 * be had stays unknown. Before the answer: afterwards the caller may be gone.
 */
void session_observe(struct session *session);

/*
 * Lets the call pass as if nobody had looked: the filter notifies of it for the sake of a policy
 * that was in force when it was installed.
 */
int session_allow(struct session *session, uint64_t id, struct outcome *outcome);

/* Ends the call as a decision says that makes no file; in audit mode it continues. */
int session_answer_plain(struct session *session, uint64_t id, struct outcome *outcome);
