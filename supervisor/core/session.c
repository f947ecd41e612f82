/* SPDX-License-Identifier: Apache-2.0 */

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "core/budget.h"
#include "core/facts.h"
#include "core/session.h"
#include "kernel/filter.h"
#include "kernel/memfile.h"
#include "kernel/notify.h"

/* Calls that are received before the first of them is answered. */
#define SESSION_SLOTS 64

struct slot {
	union notification notification;
	uint64_t received_ns; /* CLOCK_MONOTONIC */
};

struct session {
	int listener;
	struct policy *policy;
	enum policy_mode mode;
	struct policy_scratch *scratch;
	struct facts_source source;
	session_event_fn *on_event;
	void *userdata;
	uid_t own_uid; /* whose files are, when nobody else's: the thread's file system ids */
	gid_t own_gid;
	uint32_t last_tid;
	bool wait_killable;
	bool poll_first;    /* this kernel's blocked receiver does not see the end */
	struct facts facts; /* of the call in hand */
	struct event event;
	struct slot slots[SESSION_SLOTS];
};

/* What the caller got. */
struct answer {
	int error; /* positive errno, or 0 */
	int fd;    /* its new descriptor, or -1 */
};

static int session_init(struct session *session, const struct session_config *config)
{
	bool sync_wake_up;
	int r = notify_prepare(config->listener, &sync_wake_up);

	if (r < 0)
		return r;
	session->own_uid = geteuid();
	session->own_gid = getegid();
	session->poll_first = !notify_receive_sees_end();
	r = policy_scratch_new(config->policy, &session->scratch);
	if (r < 0)
		return r;
	r = tracee_cache_new(&session->source.cache);
	if (r < 0)
		return r;
	/* Where no memory controller is visible, calls that need it are denied one by one. */
	if (policy_wants_cgroup(config->policy))
		r = cgroup_view_new(&session->source.cgroup);
	return r == -ENODEV ? 0 : r;
}

int session_new(const struct session_config *config, struct session **ret_session)
{
	_cleanup_close_ int listener = config->listener;
	struct session *session = calloc(1, sizeof(*session));
	int r;

	if (!session)
		return -ENOMEM;
	session->listener = take_fd(&listener);
	session->policy = policy_ref(config->policy);
	session->mode = config->mode;
	session->wait_killable = config->wait_killable;
	session->on_event = config->on_event;
	session->userdata = config->userdata;
	strncpy(session->event.tenant, config->tenant, sizeof(session->event.tenant) - 1);
	r = session_init(session, config);
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
	fd_close(session->listener);
	cgroup_view_free(session->source.cgroup);
	tracee_cache_free(session->source.cache);
	policy_scratch_free(session->scratch);
	policy_unref(session->policy);
	free(session);
	return NULL;
}

int session_fd(const struct session *session)
{
	return session->listener;
}

/* The verdict on a call about which something cannot be found out: never a yes. */
static void decide_in_the_dark(int error, struct decision *ret_decision)
{
	*ret_decision = (struct decision){
		.verdict = error == -EFAULT ? VERDICT_EMULATE : VERDICT_DENY,
		.error = EPERM,
		.rule = "default",
		.reason = error == -EFAULT ? "the caller cannot read its own name argument"
					   : "the caller cannot be inspected",
	};
}

/*
 * Emulation takes the name, and of some callers it cannot be had: those that are not dumpable, or
 * any under Yama's stricter scopes, when we are an ordinary user. No rule has asked for the name of
 * such a call, or it would have been denied already; so if the call is not to be changed either,
 * the kernel's own run of it does all that was decided, whatever the name is by then.
 */
static void session_want_name(struct session *session, struct decision *decision)
{
	int r = facts_fetch(&session->facts, FACT_NAME);

	if (r == 0 || r == -EFAULT)
		return;
	if ((r != -EPERM && r != -EACCES) || decision->flags_add || decision->flags_clear ||
		decision->rename) {
		decide_in_the_dark(r, decision);
		return;
	}
	decision->verdict = VERDICT_ALLOW;
	decision->reason = "left to the kernel: the caller cannot be inspected";
}

/*
 * Asks the policy, fetching each fact that it asks for. A name that the caller cannot read itself
 * goes to emulation, where the kernel reports it in its own order of checks: to let such a call
 * continue would be to trust a name that another thread can put there in the meantime.
 */
static void session_judge(struct session *session, struct decision *ret_decision)
{
	unsigned missing;

	policy_scratch_reset(session->scratch);
	while ((missing = policy_decide(session->policy, session->scratch, &session->facts.call,
			ret_decision)) != 0) {
		int r = facts_fetch(&session->facts, (enum fact)missing);

		if (r < 0) {
			decide_in_the_dark(r, ret_decision);
			return;
		}
	}
	if (ret_decision->verdict == VERDICT_ALLOW || ret_decision->verdict == VERDICT_EMULATE)
		budget_apply(session->policy, &session->facts, ret_decision);
	if (ret_decision->verdict == VERDICT_EMULATE)
		session_want_name(session, ret_decision);
}

/* The flags that the file is made with. */
static uint32_t emulated_flags(const struct session *session, const struct decision *decision)
{
	return (session->facts.call.flags & ~decision->flags_clear) | decision->flags_add;
}

/*
 * Makes the file that the caller would have got. Returns its descriptor, or -errno as the kernel
 * would have said it.
 */
static int session_make_file(struct session *session, const struct decision *decision)
{
	struct facts *facts = &session->facts;
	struct memfile_request request = {
		.flags = emulated_flags(session, decision),
		.spill_dir_fd = -1,
		.noexec_scope = -1, /* what a file with MFD_NOEXEC_SEAL is under any */
	};
	bool readable = facts->call.known & FACT_NAME;

	if (readable)
		request.name = facts->name.bytes;
	/* A name that is too long stays itself, for the kernel's EINVAL. */
	if (readable && decision->rename && facts->name.len <= TRACEE_NAME_MAX)
		request.name = decision->rename;

	if (facts_fetch(facts, FACT_IDS) < 0)
		return -EPERM;
	/* Where the caller's setting cannot be known, the strictest permits nothing too much. */
	if (!(request.flags & MFD_NOEXEC_SEAL) &&
		tracee_memfd_noexec(session->source.cache, facts->tid, &request.noexec_scope) < 0)
		request.noexec_scope = MEMFD_NOEXEC_SCOPE_NOEXEC_ENFORCED;
	request.owner = facts->ids.fsuid == session->own_uid ? (uid_t)-1 : facts->ids.fsuid;
	request.group = facts->ids.fsgid == session->own_gid ? (gid_t)-1 : facts->ids.fsgid;
	return memfile_create(&request);
}

/*
 * The kernel takes the caller's descriptor before it makes the file (mm/memfd.c), so of two reasons
 * to fail EMFILE comes first, save for those that it checks earlier still.
 */
static int errno_in_kernel_order(pid_t tid, int error)
{
	if (error == EINVAL || error == EACCES || error == EFAULT)
		return error;
	return tracee_fd_table_is_full(tid) == 1 ? EMFILE : error;
}

static int session_emulate(struct session *session, uint64_t id, const struct decision *decision,
	struct answer *ret_answer)
{
	_cleanup_close_ int file = session_make_file(session, decision);
	bool close_on_exec = emulated_flags(session, decision) & MFD_CLOEXEC;
	int r;

	if (file >= 0) {
		r = notify_inject(session->listener, id, file, close_on_exec,
			session->wait_killable, &ret_answer->fd);
		if (r >= 0)
			return r;
		/* Never fall open: what cannot be injected is refused. */
		ret_answer->error = r == -EMFILE ? EMFILE : ENOMEM;
	} else {
		ret_answer->error = errno_in_kernel_order(session->facts.tid, -file);
	}
	return notify_fail(session->listener, id, ret_answer->error);
}

static int session_kill(struct session *session, uint64_t id, struct answer *ret_answer)
{
	bool killed = tracee_kill(session->facts.tid, session->listener, id) == 0;
	/* Should the signal not have reached it, then at least the call fails. */
	int r = notify_fail(session->listener, id, EPERM);

	ret_answer->error = killed ? 0 : EPERM;
	/* A caller that is gone because we killed it has got its answer, and is worth an event. */
	return killed && r == NOTIFY_GONE ? NOTIFY_OK : r;
}

static int session_answer(struct session *session, uint64_t id, const struct decision *decision,
	struct answer *ret_answer)
{
	if (session->mode == POLICY_AUDIT) {
		ret_answer->error = decision->verdict == VERDICT_DENY ? decision->error : 0;
		return notify_continue(session->listener, id);
	}
	switch (decision->verdict) {
	case VERDICT_ALLOW:
		return notify_continue(session->listener, id);
	case VERDICT_DENY:
		ret_answer->error = decision->error;
		return notify_fail(session->listener, id, decision->error);
	case VERDICT_KILL:
		return session_kill(session, id, ret_answer);
	case VERDICT_EMULATE:
		return session_emulate(session, id, decision, ret_answer);
	}
	return -EINVAL;
}

/* What an event shows beyond what the decision needed; what cannot be had stays unknown. */
static void session_observe(struct session *session)
{
	(void)facts_fetch(&session->facts, FACT_NAME);
	(void)facts_fetch(&session->facts, FACT_IDS);
	(void)facts_fetch(&session->facts, FACT_COMM);
}

static void session_report(struct session *session, const struct slot *slot,
	const struct decision *decision, const struct answer *answer)
{
	const struct facts *facts = &session->facts;
	struct event *event = &session->event;
	uint64_t latency_ns = clock_now_ns(CLOCK_MONOTONIC) - slot->received_ns;

	event->time_ns = clock_now_ns(CLOCK_REALTIME) - latency_ns;
	event->latency_ns = latency_ns;
	event->pid = facts->ids.pid;
	event->call = CALL_MEMFD_CREATE;
	event->tid = facts->tid;
	event->uid = facts->ids.uid;
	event->flags = facts->call.flags;
	event->verdict = decision->verdict;
	event->mode = session->mode;
	event->error = answer->error;
	event->fd = answer->fd;
	event->reason = decision->reason;
	event->name_known = facts->call.known & FACT_NAME;
	event->name.len = event->name_known ? facts->name.len : 0;
	memcpy(event->name.bytes, facts->name.bytes, event->name.len);
	event->name.bytes[event->name.len] = '\0';
	memcpy(event->comm, facts->comm, sizeof(event->comm));
	strncpy(event->rule, decision->rule, sizeof(event->rule) - 1);
	session->on_event(event, session->userdata);
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
	struct answer answer = {.fd = -1};
	struct decision decision;
	int r;

	if (filter_abi_is_absent(&notif->data))
		return notify_continue(session->listener, notif->id);

	facts_start(&session->facts, &session->source, notif);
	session_judge(session, &decision);
	if (session->on_event)
		session_observe(session);
	r = session_answer(session, notif->id, &decision, &answer);
	if (r == NOTIFY_OK && session->on_event)
		session_report(session, slot, &decision, &answer);
	return r;
}

static int session_receive(struct session *session, struct slot *slot)
{
	int r = notify_receive(session->listener, &slot->notification);

	if (r == NOTIFY_OK && session->on_event)
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
