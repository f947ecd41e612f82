/* SPDX-License-Identifier: Apache-2.0 */

/* The life of one memfd_create(2): judged, made, charged, injected. */

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "base/fd.h"
#include "core/budget.h"
#include "core/session_private.h"
#include "kernel/memfile.h"
#include "kernel/secret.h"

/* What makes a file sealable, or not one of ordinary pages: no disk can stand in for it. */
#define FLAGS_OF_MEMORY (MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL | MFD_HUGETLB)

/* The flags that the file is made with. */
static uint32_t emulated_flags(const struct session *session, const struct decision *decision)
{
	return (session->facts.call.flags & ~decision->flags_clear) | decision->flags_add;
}

/*
 * Emulation takes the name, and of some callers it cannot be had: those that are not dumpable, or
 * any under Yama's stricter scopes, when we are an ordinary user. No rule has asked for the name of
 * such a call, or it would have been denied already; so if the call is neither to be changed nor
 * counted, the kernel's own run of it does all that was decided, whatever the name is by then.
 */
static void session_want_name(struct session *session, struct decision *decision)
{
	int r = facts_fetch(&session->facts, FACT_NAME);

	if (r == 0 || r == -EFAULT)
		return;
	if ((r != -EPERM && r != -EACCES) || session->ledger || decision->flags_add ||
		decision->flags_clear || decision->rename) {
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
	while ((missing = policy_decide(session->view.policy, session->scratch,
			&session->facts.call, ret_decision)) != 0) {
		int r = facts_fetch(&session->facts, (enum fact)missing);

		if (r < 0) {
			decide_in_the_dark(r, ret_decision);
			return;
		}
	}
}

/* Whether what is over this quota may go to the spill directory instead. */
static bool may_spill(
	const struct session *session, const struct decision *decision, enum quota quota)
{
	return policy_quotas(session->view.policy)->spills >> quota & 1 &&
	       session->view.spill_dir_fd >= 0 && decision->verdict == VERDICT_EMULATE &&
	       (decision->backing == BACKING_AUTO || decision->backing == BACKING_DISK) &&
	       !(emulated_flags(session, decision) & FLAGS_OF_MEMORY);
}

/* The budget may only turn a yes into a no, or into a file on a disk. */
static void session_apply_budget(struct session *session, struct decision *decision)
{
	const char *why = budget_exceeded(session->view.policy, &session->facts);

	if (!why || decision->backing == BACKING_DISK)
		return;
	if (may_spill(session, decision, QUOTA_CGROUP)) {
		decision->backing = BACKING_DISK;
		decision->reason = "spilled: the memory budget of the caller's cgroup is used up";
	} else {
		quota_refuse(session->view.policy, QUOTA_CGROUP, why, decision);
	}
}

/* What the file is made from: our own copies of the checked arguments. Returns 0 or -errno. */
static int request_init(struct session *session, const struct decision *decision,
	struct memfile_request *ret_request)
{
	struct facts *facts = &session->facts;
	bool readable = facts->call.known & FACT_NAME;
	struct memfile_request request = {
		.flags = emulated_flags(session, decision),
		.noexec_scope = -1, /* what a file with MFD_NOEXEC_SEAL is under any */
		.spill_dir_fd = -1,
		.noexec = decision->noexec,
	};

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
	*ret_request = request;
	return 0;
}

/* Whether files that can be had on the tenant's own tmpfs are to be there. */
static bool wants_tmpfs(const struct session *session, const struct decision *decision)
{
	const struct policy_quotas *quotas = policy_quotas(session->view.policy);

	return quotas->limits[QUOTA_RESIDENT] != QUOTA_UNLIMITED || decision->noexec;
}

/*
 * Chooses where the file is to be, in *request and *outcome. Returns 0, or -ENOMEM when the tmpfs
 * or the spill directory cannot be had just now: a tenant that uses up what it takes must not get a
 * memfd for that.
 */
static int choose_backing(
	struct session *session, struct memfile_request *request, struct outcome *outcome)
{
	const struct decision *decision = &outcome->decision;
	int r = -EOPNOTSUPP;

	outcome->backing = decision->backing;
	if (decision->backing == BACKING_AUTO)
		outcome->backing = wants_tmpfs(session, decision) && memfile_fits_tmpfs(request)
					   ? BACKING_TMPFS
					   : BACKING_MEMFD;
	if (outcome->backing == BACKING_DISK) {
		request->spill_dir_fd = session->view.spill_dir_fd;
		return request->spill_dir_fd < 0 ? -ENOMEM : 0;
	}
	if (outcome->backing != BACKING_TMPFS)
		return 0;
	if (outcome->tenant)
		r = tenant_tmpfs(outcome->tenant, &request->tmpfs);
	/* Where none can ever be made it is a memfd after all, whose pages are sampled. */
	if (r == -EOPNOTSUPP)
		outcome->backing = BACKING_MEMFD;
	return r == 0 || r == -EOPNOTSUPP ? 0 : -ENOMEM;
}

static enum store store_of(const struct memfile_request *request)
{
	if (request->spill_dir_fd >= 0)
		return STORE_DISK;
	if (request->tmpfs)
		return STORE_TMPFS;
	return request->flags & MFD_HUGETLB ? STORE_HUGETLB : STORE_MEMFD;
}

/* A file of huge pages is no use to anybody without a single one. */
static bool has_huge_pages(const struct session *session, const struct memfile_request *request)
{
	return store_of(request) != STORE_HUGETLB ||
	       hugetlb_has_room(
		       policy_quotas(session->view.policy), session->facts.tid, request->flags, 0);
}

/*
 * Charges a file that was just made and that nobody else has yet: refused, it is closed and was
 * never there. Returns QUOTA_NONE, or what is used up; or -errno when its end cannot be watched.
 */
static int charge_file(struct session *session, const struct memfile_request *request,
	const struct outcome *outcome, int file)
{
	const struct facts *facts = &session->facts;
	const struct ledger_maker maker = {
		.pid = facts->ids.pid,
		.uid = facts->ids.uid,
		.name = request->name,
		.name_len = request->name ? strlen(request->name) : 0,
	};
	const bool force = session->view.mode == POLICY_AUDIT;
	cleanup(charge_done) struct charge charge = {0};
	enum quota quota = charge_begin(&charge, outcome->tenant, store_of(request), force);
	int r = 0;

	if (quota == QUOTA_NONE && !has_huge_pages(session, request))
		quota = QUOTA_HUGETLB;
	if (quota == QUOTA_NONE || force)
		r = charge_commit(&charge, file, &maker);
	return r < 0 ? r : (int)quota;
}

/*
 * Makes the file that the caller would have got, and charges it. What the kernel refuses it refuses
 * before any quota does, in its own order. Over a quota, a file that may spill is made once more,
 * on the disk. Returns a descriptor; or -errno for the caller, with the decision changed when it
 * was a quota.
 */
static int session_make_file(struct session *session, struct outcome *outcome)
{
	struct decision *decision = &outcome->decision;
	struct memfile_request request;
	int r = request_init(session, decision, &request);

	if (r < 0)
		return r;
	r = choose_backing(session, &request, outcome);
	if (r < 0)
		return r;

	_cleanup_close_ int file = memfile_create(&request);

	if (file < 0 || !outcome->tenant)
		return take_fd(&file);
	r = charge_file(session, &request, outcome, file);
	if (r > 0 && outcome->backing != BACKING_DISK &&
		may_spill(session, decision, (enum quota)r)) {
		decision->backing = BACKING_DISK;
		decision->reason = "spilled: the tenant's quota of memory is used up";
		return session_make_file(session, outcome);
	}
	if (r < 0) {
		quota_refuse(session->view.policy, QUOTA_MEMFDS,
			"the end of the file could not be watched", decision);
		return -decision->error;
	}
	if (r > 0) {
		quota_refuse(
			session->view.policy, (enum quota)r, quota_reason((enum quota)r), decision);
		/* In audit mode only the event says so: the file is there and counted. */
		if (session->view.mode != POLICY_AUDIT)
			return -decision->error;
	}
	return take_fd(&file);
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

/* Gives the caller *file, or the errno that stands there instead. */
static int session_inject(struct session *session, uint64_t id, int *file, bool close_on_exec,
	struct outcome *outcome)
{
	int r;

	session_observe(session);
	if (*file >= 0) {
		r = notify_inject(session->listener, id, file, close_on_exec,
			session->wait_killable, &outcome->fd);
		if (r == NOTIFY_OK && session->resizer)
			resizer_expect(session->resizer, session->facts.tid, outcome->fd);
		if (r >= 0)
			return r;
		if (outcome->tenant)
			charge_return_rate(outcome->tenant);
		/* Never fall open: what cannot be injected is refused. */
		outcome->error = r == -EMFILE ? EMFILE : ENOMEM;
	} else {
		outcome->error = errno_in_kernel_order(session->facts.tid, -*file);
	}
	outcome->backing = BACKING_AUTO;
	return notify_fail(session->listener, id, outcome->error);
}

static int session_emulate(struct session *session, uint64_t id, struct outcome *outcome)
{
	const struct decision *decision = &outcome->decision;
	bool close_on_exec = emulated_flags(session, decision) & MFD_CLOEXEC;
	_cleanup_close_ int file = session_make_file(session, outcome);
	int r;

	/* What cannot be ours to count the kernel makes. */
	if (file < 0 && session->view.mode == POLICY_AUDIT)
		return session_answer_plain(session, id, outcome);
	r = session_inject(session, id, &file, close_on_exec, outcome);
	/* In audit mode a file over a quota is made all the same. */
	if (decision->verdict == VERDICT_DENY && outcome->error == 0)
		outcome->error = decision->error;
	return r;
}

/*
 * Audit mode lets every call pass as it is. Where files are counted they have to be ours for that;
 * what a rule would have changed of them it does not.
 */
static int session_audit(struct session *session, uint64_t id, struct outcome *outcome)
{
	struct decision *decision = &outcome->decision;

	if (decision->verdict != VERDICT_EMULATE || !outcome->tenant)
		return session_answer_plain(session, id, outcome);
	decision->flags_add = decision->flags_clear = 0;
	decision->rename = NULL;
	decision->noexec = false;
	decision->backing = BACKING_MEMFD;
	return session_emulate(session, id, outcome);
}

/* Finds out whose file it would be, where files are counted. */
static void session_want_tenant(struct session *session, struct outcome *outcome)
{
	int r = session->ledger ? session_find_tenant(session, &outcome->tenant) : 0;

	if (r < 0)
		decide_in_the_dark(r, &outcome->decision);
}

int session_create(struct session *session, uint64_t id, struct outcome *outcome)
{
	struct decision *decision = &outcome->decision;

	session_judge(session, decision);
	if (decision->verdict == VERDICT_ALLOW || decision->verdict == VERDICT_EMULATE)
		session_apply_budget(session, decision);
	if (decision->verdict == VERDICT_EMULATE)
		session_want_name(session, decision);
	if (decision->verdict == VERDICT_EMULATE)
		session_want_tenant(session, outcome);
	if (session->view.mode == POLICY_AUDIT)
		return session_audit(session, id, outcome);
	if (decision->verdict == VERDICT_EMULATE)
		return session_emulate(session, id, outcome);
	return session_answer_plain(session, id, outcome);
}

/* memfd_secret(2), where it counts as one of the tenant's files. */
static int session_make_secret(struct session *session, struct outcome *outcome)
{
	struct facts *facts = &session->facts;
	struct decision *decision = &outcome->decision;
	const bool force = session->view.mode == POLICY_AUDIT;
	_cleanup_close_ int file = -1;
	enum quota quota;

	if (facts_fetch(facts, FACT_IDS) < 0)
		return -EPERM;
	file = secret_create(facts->call.flags, facts->ids.fsuid, facts->ids.fsgid);
	if (file < 0)
		return file;
	cleanup(charge_done) struct charge charge = {0};

	quota = charge_begin(&charge, outcome->tenant, STORE_SECRET, force);
	if (quota != QUOTA_NONE)
		quota_refuse(session->view.policy, quota, quota_reason(quota), decision);
	if (quota != QUOTA_NONE && !force)
		return -decision->error;
	if (charge_commit(&charge, file,
		    &(struct ledger_maker){.pid = facts->ids.pid, .uid = facts->ids.uid}) < 0)
		return -ENFILE;
	return take_fd(&file);
}

int session_create_secret(struct session *session, uint64_t id, struct outcome *outcome)
{
	const enum secret_action action = policy_quotas(session->view.policy)->memfd_secret;
	struct decision *decision = &outcome->decision;
	_cleanup_close_ int file = -1;

	if (action == SECRET_ALLOW)
		return session_allow(session, id, outcome);
	if (action == SECRET_DENY) {
		*decision = (struct decision){
			.verdict = VERDICT_DENY,
			.error = ENOSYS,
			.rule = "syscalls",
			.reason = "memfd_secret is denied by the policy",
		};
		return session_answer_plain(session, id, outcome);
	}
	*decision = (struct decision){
		.verdict = VERDICT_EMULATE,
		.rule = "syscalls",
		.reason = "memfd_secret counts as a memfd",
	};
	session_want_tenant(session, outcome);
	if (decision->verdict != VERDICT_EMULATE)
		return session_answer_plain(session, id, outcome);
	file = session_make_secret(session, outcome);
	if (file < 0 && session->view.mode == POLICY_AUDIT)
		return session_answer_plain(session, id, outcome);
	return session_inject(session, id, &file, session->facts.call.flags & O_CLOEXEC, outcome);
}
