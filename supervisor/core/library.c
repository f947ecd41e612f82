/* SPDX-License-Identifier: Apache-2.0 */

/* libfdwarden: include/fdwarden/fdwarden.h in terms of sessions. Adds no behaviour of its own. */

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>

#include "base/fd.h"
#include "core/library_domain.h"
#include "core/session.h"
#include "fdwarden/fdwarden.h"

/* Listeners that are looked at in one dispatch; the others come first in the next. */
#define DISPATCH_MAX 64

struct member {
	struct session *session;
	struct domain_node *domain;
	struct fdwarden *fdwarden;
	struct member *next, **link; /* link: what points to this one */
};

struct fdwarden {
	int epoll_fd;
	int count;
	struct member *members;
	struct domain_list domains;
	fdwarden_event_fn *on_event;
	void *userdata;
};

/* The public policy is the internal one under another name. */
static struct policy *policy_of(struct fdwarden_policy *policy)
{
	return (struct policy *)policy;
}

struct reporter {
	fdwarden_diagnostic_fn *report;
	void *userdata;
};

static void report_diagnostic(const struct policy_diagnostic *diagnostic, void *userdata)
{
	const struct reporter *reporter = userdata;

	if (!reporter->report)
		return;
	reporter->report(
		&(struct fdwarden_diagnostic){
			.file = diagnostic->file,
			.line = diagnostic->line,
			.column = diagnostic->column,
			.message = diagnostic->message,
			.hint = diagnostic->hint,
		},
		reporter->userdata);
}

EXPORT int fdwarden_policy_load(const char *text, size_t size, const char *name,
	fdwarden_diagnostic_fn *report, void *userdata, struct fdwarden_policy **ret_policy)
{
	struct reporter reporter = {report, userdata};

	return policy_load(
		text, size, name, report_diagnostic, &reporter, (struct policy **)ret_policy);
}

EXPORT int fdwarden_policy_load_file(const char *path, fdwarden_diagnostic_fn *report,
	void *userdata, struct fdwarden_policy **ret_policy)
{
	struct reporter reporter = {report, userdata};

	return policy_load_file(path, report_diagnostic, &reporter, (struct policy **)ret_policy);
}

EXPORT int fdwarden_policy_load_default(struct fdwarden_policy **ret_policy)
{
	return policy_load_default((struct policy **)ret_policy);
}

EXPORT struct fdwarden_policy *fdwarden_policy_ref(struct fdwarden_policy *policy)
{
	policy_ref(policy_of(policy));
	return policy;
}

EXPORT void fdwarden_policy_unref(struct fdwarden_policy *policy)
{
	policy_unref(policy_of(policy));
}

static enum fdwarden_verdict public_verdict(enum verdict verdict)
{
	switch (verdict) {
	case VERDICT_ALLOW:
		return FDWARDEN_ALLOW;
	case VERDICT_DENY:
		return FDWARDEN_DENY;
	case VERDICT_KILL:
		return FDWARDEN_KILL;
	case VERDICT_EMULATE:
		return FDWARDEN_EMULATE;
	}
	return FDWARDEN_DENY;
}

static void on_domain_event(const struct event *event, void *userdata)
{
	const struct fdwarden *fdwarden = userdata;

	fdwarden->on_event(
		&(struct fdwarden_event){
			.tenant = event->tenant,
			.time_ns = event->time_ns,
			.latency_ns = event->latency_ns,
			.pid = event->pid,
			.tid = event->tid,
			.uid = event->uid,
			.flags = event->flags,
			.verdict = public_verdict(event->verdict),
			.audit = event->mode == POLICY_AUDIT,
			.error = event->error,
			.fd = event->fd,
			.name = event->name_known ? event->name.bytes : NULL,
			.name_len = event->name.len,
			.comm = event->kind == EVENT_CALL ? event->comm : "",
			.rule = event->rule,
			.reason = event->reason,
			.syscall = event->kind == EVENT_CALL ? call_name(event->call) : NULL,
			.size = event->size,
		},
		fdwarden->userdata);
}

EXPORT int fdwarden_new(fdwarden_event_fn *on_event, void *userdata, struct fdwarden **ret_fdwarden)
{
	_cleanup_close_ int epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	struct fdwarden *fdwarden;

	if (epoll_fd < 0)
		return -errno;
	fdwarden = calloc(1, sizeof(*fdwarden));
	if (!fdwarden)
		return -ENOMEM;
	fdwarden->epoll_fd = take_fd(&epoll_fd);
	fdwarden->on_event = on_event;
	fdwarden->userdata = userdata;
	fdwarden->domains.on_event = on_event ? on_domain_event : NULL;
	fdwarden->domains.userdata = fdwarden;
	*ret_fdwarden = fdwarden;
	return 0;
}

static void member_remove(struct member *member)
{
	*member->link = member->next;
	if (member->next)
		member->next->link = member->link;
	member->fdwarden->count--;
	/* Closing the listener takes it out of the epoll set: it has no copies. */
	session_free(member->session);
	domain_list_put(&member->fdwarden->domains, member->domain);
	free(member);
}

EXPORT void fdwarden_free(struct fdwarden *fdwarden)
{
	if (!fdwarden)
		return;
	while (fdwarden->members)
		member_remove(fdwarden->members);
	fd_close(fdwarden->epoll_fd);
	free(fdwarden);
}

static void member_link(struct member *member, struct fdwarden *fdwarden)
{
	member->fdwarden = fdwarden;
	member->link = &fdwarden->members;
	member->next = fdwarden->members;
	if (member->next)
		member->next->link = &member->next;
	fdwarden->members = member;
	fdwarden->count++;
}

/* The listener (taken) gets its session, under the domain of its policy. */
static int member_open(struct member *member, struct fdwarden *fdwarden, int listener,
	struct fdwarden_policy *policy, struct session_config *config)
{
	int r = domain_list_get(&fdwarden->domains, policy_of(policy), &member->domain);

	if (r < 0) {
		fd_close(listener);
		return r;
	}
	config->listener = listener;
	config->domain = member->domain->domain;
	r = session_new(config, &member->session);
	if (r < 0)
		domain_list_put(&fdwarden->domains, member->domain);
	return r;
}

EXPORT int fdwarden_add_listener(struct fdwarden *fdwarden, int listener,
	struct fdwarden_policy *policy, const char *tenant, unsigned flags)
{
	struct session_config config = {
		.tenant = tenant,
		.wait_killable = flags & FDWARDEN_WAIT_KILLABLE,
	};
	struct member *member = calloc(1, sizeof(*member));
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = member};
	int r;

	if (!member || flags & ~(unsigned)FDWARDEN_WAIT_KILLABLE) {
		r = member ? -EINVAL : -ENOMEM;
		fd_close(listener);
		free(member);
		return r;
	}
	r = member_open(member, fdwarden, listener, policy, &config);
	if (r < 0) {
		free(member);
		return r;
	}
	member_link(member, fdwarden);
	if (epoll_ctl(fdwarden->epoll_fd, EPOLL_CTL_ADD, session_fd(member->session), &event) < 0) {
		r = -errno;
		member_remove(member);
	}
	return r;
}

EXPORT int fdwarden_replace_policy(
	struct fdwarden *fdwarden, struct fdwarden_policy *from, struct fdwarden_policy *to)
{
	return domain_list_replace(&fdwarden->domains, policy_of(from), policy_of(to));
}

EXPORT int fdwarden_get_fd(const struct fdwarden *fdwarden)
{
	return fdwarden->epoll_fd;
}

/* One listener that fails is given up, so that its callers get ENOSYS; the others go on. */
static int dispatch_ready(struct fdwarden *fdwarden)
{
	struct epoll_event events[DISPATCH_MAX];
	int count = epoll_wait(fdwarden->epoll_fd, events, DISPATCH_MAX, 0);
	int result = count < 0 ? -errno : 0;

	for (int i = 0; i < count; i++) {
		struct member *member = events[i].data.ptr;
		int r = session_dispatch(member->session);

		if (r != 0)
			member_remove(member);
		if (r < 0)
			result = r;
	}
	return result;
}

EXPORT int fdwarden_dispatch(struct fdwarden *fdwarden)
{
	sigset_t all, previous;
	int r;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &previous);
	r = dispatch_ready(fdwarden);
	pthread_sigmask(SIG_SETMASK, &previous, NULL);
	return r < 0 ? r : fdwarden->count;
}

EXPORT const char *fdwarden_version(void)
{
	return FDWARDEN_VERSION;
}
