/* SPDX-License-Identifier: Apache-2.0 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "core/session_private.h"

static int session_prepare_policy(struct session *session)
{
	struct policy_scratch *scratch;
	int r = policy_scratch_new(session->view.policy, &scratch);

	if (r < 0)
		return r;
	policy_scratch_free(session->scratch);
	session->scratch = scratch;
	/* Where no memory controller is visible, calls that need it are denied one by one. */
	if (!session->source.cgroup && policy_wants_cgroup(session->view.policy))
		r = cgroup_view_new(&session->source.cgroup);
	return r == -ENODEV ? 0 : r;
}

/*
 * Takes the policy that is now in force, should it have changed. Returns 0; or -errno with no
 * policy to judge by: the next call tries again.
 */
static int session_update(struct session *session)
{
	int r;

	if (!domain_view_update(session->domain, &session->view))
		return 0;
	r = session_prepare_policy(session);
	/* Never a new policy with the old one's scratch. */
	if (r < 0)
		domain_view_done(&session->view);
	return r;
}

static int session_start_resizer(struct session *session)
{
	const struct resizer_config config = {
		.listener = session->listener,
		.wait_killable = session->wait_killable,
		.cache = session->source.cache,
		.ledger = session->ledger,
	};

	return resizer_new(&config, &session->resizer);
}

/*
 * The tmpfs of the listener's tenant is made before that can make a call. Later it could use up the
 * processes or namespaces that this takes.
 */
static void session_prepare_tmpfs(struct session *session)
{
	const struct policy *policy = session->view.policy;
	struct tmpfs *unused;

	/* What fails here is said, or tried again. */
	if (session->ledger && (policy_quotas(policy)->limits[QUOTA_RESIDENT] != QUOTA_UNLIMITED ||
				       policy_wants_noexec(policy)))
		(void)tenant_tmpfs(session->tenant, &unused);
}

static int session_init(struct session *session)
{
	bool sync_wake_up;
	int r = notify_prepare(session->listener, &sync_wake_up);

	if (r < 0)
		return r;
	session->own_uid = geteuid();
	session->own_gid = getegid();
	session->poll_first = !notify_receive_sees_end();
	session->ledger = domain_ledger(session->domain);
	if (session->ledger)
		r = tenant_get(session->ledger, session->name, &session->tenant);
	if (session->tenant)
		tenant_set_listener(session->tenant);
	if (r == 0)
		r = tracee_cache_new(&session->source.cache);
	if (r == 0 && session->ledger)
		r = session_start_resizer(session);
	if (r == 0)
		r = session_update(session);
	if (r == 0)
		session_prepare_tmpfs(session);
	return r;
}

int session_new(const struct session_config *config, struct session **ret_session)
{
	_cleanup_close_ int listener = config->listener;
	struct session *session = calloc(1, sizeof(*session));
	int r;

	if (!session)
		return -ENOMEM;
	session->listener = take_fd(&listener);
	session->wait_killable = config->wait_killable;
	session->domain = config->domain;
	domain_view_init(&session->view);
	strncpy(session->name, config->tenant, sizeof(session->name) - 1);
	r = session_init(session);
	if (r < 0) {
		session_free(session);
		return r;
	}
	*ret_session = session;
	return 0;
}

struct session *session_free(struct session *session)
{
	if (!session)
		return NULL;
	resizer_free(session->resizer);
	fd_close(session->listener);
	tenant_unref(session->last_tenant);
	tenant_unref(session->tenant);
	cgroup_view_free(session->source.cgroup);
	tracee_cache_free(session->source.cache);
	policy_scratch_free(session->scratch);
	domain_view_done(&session->view);
	free(session);
	return NULL;
}

int session_fd(const struct session *session)
{
	return session->listener;
}

void decide_in_the_dark(int error, struct decision *ret_decision)
{
	*ret_decision = (struct decision){
		.verdict = error == -EFAULT ? VERDICT_EMULATE : VERDICT_DENY,
		.error = EPERM,
		.rule = "default",
		.reason = error == -EFAULT ? "the caller cannot read its own name argument"
					   : "the caller cannot be inspected",
	};
}

/* What names the caller's tenant, in name. Returns 0, 1 for the listener's own, or -errno. */
static int tenant_name_of(struct session *session, char name[static POLICY_TENANT_MAX])
{
	struct facts *facts = &session->facts;
	int r;

	switch (policy_quotas(session->view.policy)->tenant_by) {
	case TENANT_BY_LISTENER:
		return 1;
	case TENANT_BY_UID:
		r = facts_fetch(facts, FACT_IDS);
		if (r == 0)
			snprintf(name, POLICY_TENANT_MAX, "uid-%u", facts->ids.uid);
		return r;
	case TENANT_BY_CGROUP:
		r = facts_fetch(facts, FACT_CGROUP);
		if (r == 0)
			r = !policy_tenant_name(session->view.policy, facts->call.cgroup, name);
		return r;
	}
	return -EINVAL;
}

int session_find_tenant(struct session *session, struct tenant **ret_tenant)
{
	char name[POLICY_TENANT_MAX];
	struct tenant *tenant;
	int r = tenant_name_of(session, name);

	if (r < 0)
		return r;
	if (r > 0) {
		*ret_tenant = session->tenant;
		return 0;
	}
	if (!session->last_tenant || strcmp(tenant_name(session->last_tenant), name) != 0) {
		r = tenant_get(session->ledger, name, &tenant);
		if (r < 0)
			return r;
		tenant_unref(session->last_tenant);
		session->last_tenant = tenant;
	}
	*ret_tenant = session->last_tenant;
	return 0;
}

void session_observe(struct session *session)
{
	if (!domain_has_events(session->domain))
		return;
	if (session->facts.syscall.call == CALL_MEMFD_CREATE)
		(void)facts_fetch(&session->facts, FACT_NAME);
	(void)facts_fetch(&session->facts, FACT_IDS);
	(void)facts_fetch(&session->facts, FACT_COMM);
}

static int session_kill(struct session *session, uint64_t id, struct outcome *outcome)
{
	bool killed = tracee_kill(session->facts.tid, session->listener, id) == 0;
	/* Should the signal not have reached it, then at least the call fails. */
	int r = notify_fail(session->listener, id, EPERM);

	outcome->error = killed ? 0 : EPERM;
	/* A caller that is gone because we killed it has got its answer, and is worth an event. */
	return killed && r == NOTIFY_GONE ? NOTIFY_OK : r;
}

int session_answer_plain(struct session *session, uint64_t id, struct outcome *outcome)
{
	const struct decision *decision = &outcome->decision;

	session_observe(session);
	if (session->view.mode == POLICY_AUDIT) {
		outcome->error = decision->verdict == VERDICT_DENY ? decision->error : 0;
		return notify_continue(session->listener, id);
	}
	switch (decision->verdict) {
	case VERDICT_ALLOW:
		return notify_continue(session->listener, id);
	case VERDICT_DENY:
		outcome->error = decision->error;
		return notify_fail(session->listener, id, decision->error);
	case VERDICT_KILL:
		return session_kill(session, id, outcome);
	case VERDICT_EMULATE: /* makes a file or does the call: not plain */
		break;
	}
	return -EINVAL;
}

int session_allow(struct session *session, uint64_t id, struct outcome *outcome)
{
	outcome->quiet = true;
	return notify_continue(session->listener, id);
}

static int session_answer_io_uring(struct session *session, uint64_t id, struct outcome *outcome)
{
	if (!policy_quotas(session->view.policy)->io_uring_denied)
		return session_allow(session, id, outcome);
	outcome->decision = (struct decision){
		.verdict = VERDICT_DENY,
		.error = EPERM, /* as kernel.io_uring_disabled says it */
		.rule = "syscalls",
		.reason = "io_uring is denied by the policy: it grows files unseen",
	};
	return session_answer_plain(session, id, outcome);
}

static void on_refusal(void *userdata)
{
	session_observe(userdata);
}

/* ftruncate(2) and fallocate(2): core/resize.h */
static int session_resize(struct session *session, uint64_t id, struct outcome *outcome)
{
	struct resize resize = {
		.id = id,
		.tid = session->facts.tid,
		.call = &session->facts.syscall,
		.quotas = policy_quotas(session->view.policy),
		.audit = session->view.mode == POLICY_AUDIT,
		.on_refusal = on_refusal,
		.userdata = session,
	};
	struct resize_outcome resized;
	int r = session->ledger ? session_find_tenant(session, &outcome->tenant) : -ENOENT;

	if (r < 0) {
		decide_in_the_dark(r, &outcome->decision);
		return session_answer_plain(session, id, outcome);
	}
	resize.tenant = outcome->tenant;
	r = resize_answer(session->resizer, &resize, &resized);
	outcome->decision = (struct decision){
		.verdict = VERDICT_DENY,
		.rule = "budget",
		.reason = resized.reason,
	};
	outcome->error = resized.error;
	outcome->size = resized.size;
	outcome->quiet = !resized.worth_event;
	return r;
}

static void copy_name(char *to, size_t size, const char *from)
{
	size_t len = strnlen(from, size - 1);

	memcpy(to, from, len);
	to[len] = '\0';
}

static void session_report(
	struct session *session, const struct slot *slot, const struct outcome *outcome)
{
	const struct facts *facts = &session->facts;
	const char *tenant = outcome->tenant ? tenant_name(outcome->tenant) : session->name;
	struct event *event = &session->event;
	uint64_t latency_ns = clock_now_ns(CLOCK_MONOTONIC) - slot->received_ns;

	event->kind = EVENT_CALL;
	event->call = facts->syscall.call;
	event->time_ns = clock_now_ns(CLOCK_REALTIME) - latency_ns;
	event->latency_ns = latency_ns;
	event->pid = facts->ids.pid;
	event->tid = facts->tid;
	event->uid = facts->ids.uid;
	event->flags = facts->call.flags;
	event->verdict = outcome->decision.verdict;
	event->mode = session->view.mode;
	event->error = outcome->error;
	event->fd = outcome->fd;
	event->backing = outcome->backing;
	event->size = outcome->size;
	event->reason = outcome->decision.reason;
	event->name_known = facts->call.known & FACT_NAME;
	event->name.len = event->name_known ? facts->name.len : 0;
	memcpy(event->name.bytes, facts->name.bytes, event->name.len);
	event->name.bytes[event->name.len] = '\0';
	memcpy(event->comm, facts->comm, sizeof(event->comm));
	copy_name(event->rule, sizeof(event->rule), outcome->decision.rule);
	copy_name(event->tenant, sizeof(event->tenant), tenant);
	domain_event(session->domain, event);
}

static int session_answer(struct session *session, uint64_t id, struct outcome *outcome)
{
	switch (session->facts.syscall.call) {
	case CALL_MEMFD_CREATE:
		return session_create(session, id, outcome);
	case CALL_MEMFD_SECRET:
		return session_create_secret(session, id, outcome);
	case CALL_FTRUNCATE:
	case CALL_FALLOCATE:
		return session_resize(session, id, outcome);
	case CALL_IO_URING_SETUP:
		return session_answer_io_uring(session, id, outcome);
	}
	return -EINVAL;
}

/*
 * The life of one call. Everything read from the caller is valid once its answer is accepted: until
 * then the caller can neither exec nor exit nor give its id away, and when it is killed the answer
 * says GONE and nothing is reported. Threads of the caller that change its memory change nothing
 * here: what was judged is the copy, and the copy is what the file is made from.
 */
static int session_handle(struct session *session, const struct slot *slot)
{
	const struct seccomp_notif *notif = &slot->notification.notif;
	const bool reports = domain_has_events(session->domain);
	struct outcome outcome = {.fd = -1};
	struct filter_call call;
	int r;

	if (filter_abi_is_absent(&notif->data))
		return notify_continue(session->listener, notif->id);
	/* Whoever built a filter that notifies of more has to answer that elsewhere. */
	if (!filter_decode(&notif->data, &call))
		return notify_fail(session->listener, notif->id, ENOSYS);

	facts_start(&session->facts, &session->source, (pid_t)notif->pid, &call);
	r = session_answer(session, notif->id, &outcome);
	if (r == NOTIFY_OK && reports && !outcome.quiet)
		session_report(session, slot, &outcome);
	return r;
}

static int session_receive(struct session *session, struct slot *slot)
{
	int r = notify_receive(session->listener, &slot->notification);

	if (r == NOTIFY_OK && domain_has_events(session->domain))
		slot->received_ns = clock_now_ns(CLOCK_MONOTONIC);
	return r;
}

/*
 * Takes the other calls that are queued into slots 1 and up, because a signal can still interrupt a
 * queued call, which it never does to a native memfd_create(2), but not one that was received. A
 * task has one call at a time, so while the same task calls again and again there is nothing else
 * to look for; and a second task's first call is noticed when it is received itself. Returns how
 * many slots are full.
 */
static size_t session_receive_queued(struct session *session)
{
	size_t count = 1;
	uint32_t tid = session->slots[0].notification.notif.pid;

	if (tid == session->last_tid)
		return count;
	session->last_tid = tid;
	while (count < SESSION_SLOTS && notify_poll(session->listener) == NOTIFY_OK &&
		session_receive(session, &session->slots[count]) == NOTIFY_OK)
		count++;
	return count;
}

/* Receives one call, blocking, and whatever is queued behind it; answers them in order. */
static int session_step(struct session *session)
{
	int r = session_receive(session, &session->slots[0]);
	size_t count;

	if (r != NOTIFY_OK)
		return r;
	/* Short of memory or descriptors right now: that costs the call, not the session. */
	if (session_update(session) < 0) {
		(void)notify_fail(
			session->listener, session->slots[0].notification.notif.id, EPERM);
		return NOTIFY_OK;
	}
	count = session_receive_queued(session);
	for (size_t i = 0; i < count; i++) {
		r = session_handle(session, &session->slots[i]);
		/* For whatever reason the kernel did not take the answer: never open. */
		if (r < 0)
			(void)notify_fail(
				session->listener, session->slots[i].notification.notif.id, EPERM);
	}
	return NOTIFY_OK;
}

int session_run(struct session *session)
{
	int r = NOTIFY_OK;

	while (r >= 0 && r != NOTIFY_END) {
		if (session->poll_first)
			r = notify_wait(session->listener);
		if (r != NOTIFY_END && r >= 0)
			r = session_step(session);
	}
	return r == NOTIFY_END ? 0 : r;
}

int session_dispatch(struct session *session)
{
	int r;

	while ((r = notify_poll(session->listener)) == NOTIFY_OK) {
		r = session_step(session);
		if (r < 0 || r == NOTIFY_END)
			break;
	}
	if (r == NOTIFY_END)
		return 1;
	return r < 0 ? r : 0;
}
