/* SPDX-License-Identifier: Apache-2.0 */
#include "core/overrun.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "core/held.h"
#include "kernel/freezer.h"
#include "kernel/process.h"

/* Groups of one tenant that are frozen, and processes that are waited for to die. */
#define FREEZERS_MAX 16
#define VICTIMS_MAX  64

/* After this a process that does not die of SIGKILL is not waited for any more. */
#define PATIENCE_NS (10 * NSEC_PER_SEC)

#define REASON "the tenant holds more than budget.tenant.resident"

struct episode {
	struct episode *next;
	char tenant[POLICY_TENANT_MAX];
	bool looked;       /* in this round */
	bool stuck;        /* nothing could be done, and an event has said so */
	uint64_t resident; /* when a group was frozen last */
	struct freezer *freezers[FREEZERS_MAX];
	size_t freezer_count;
	int victims[VICTIMS_MAX]; /* pidfds of those that are not dead yet; owned */
	size_t victim_count;
	size_t at_once;     /* how many are killed next */
	uint64_t killed_ns; /* when victims were, CLOCK_MONOTONIC */
};

struct overrun {
	const struct warden_config *config;
	struct episode *episodes; /* owned */
	bool said_unfrozen;
};

int overrun_new(const struct warden_config *config, struct overrun **ret_overrun)
{
	struct overrun *overrun = calloc(1, sizeof(*overrun));

	if (!overrun)
		return -ENOMEM;
	overrun->config = config;
	*ret_overrun = overrun;
	return 0;
}

/* ---- Episodes ---- */

static void episode_thaw(struct episode *episode)
{
	while (episode->freezer_count > 0)
		freezer_thaw(episode->freezers[--episode->freezer_count]);
}

static void episode_free(struct episode *episode)
{
	episode_thaw(episode);
	while (episode->victim_count > 0)
		fd_close(episode->victims[--episode->victim_count]);
	free(episode);
}

static struct episode **episode_find(struct overrun *overrun, const char *tenant)
{
	struct episode **link = &overrun->episodes;

	while (*link && strcmp((*link)->tenant, tenant) != 0)
		link = &(*link)->next;
	return link;
}

static void episode_remove(struct episode **link)
{
	struct episode *episode = *link;

	*link = episode->next;
	episode_free(episode);
}

static struct episode *episode_new(struct overrun *overrun, const char *tenant)
{
	struct episode *episode = calloc(1, sizeof(*episode));

	if (!episode)
		return NULL;
	snprintf(episode->tenant, sizeof(episode->tenant), "%s", tenant);
	episode->at_once = 1;
	episode->next = overrun->episodes;
	overrun->episodes = episode;
	return episode;
}

bool overrun_is_active(const struct overrun *overrun)
{
	return overrun->episodes != NULL;
}

void overrun_begin(struct overrun *overrun)
{
	for (struct episode *episode = overrun->episodes; episode; episode = episode->next) {
		size_t alive = 0;

		episode->looked = false;
		for (size_t i = 0; i < episode->victim_count; i++)
			if (process_has_ended(episode->victims[i]))
				fd_close(episode->victims[i]);
			else
				episode->victims[alive++] = episode->victims[i];
		episode->victim_count = alive;
	}
}

void overrun_end(struct overrun *overrun)
{
	for (struct episode **link = &overrun->episodes; *link;)
		if ((*link)->looked)
			link = &(*link)->next;
		else
			episode_remove(link);
}

struct overrun *overrun_free(struct overrun *overrun)
{
	if (!overrun)
		return NULL;
	while (overrun->episodes)
		episode_remove(&overrun->episodes);
	free(overrun);
	return NULL;
}

/* ---- What is said of it ---- */

/* One look at a tenant that is above its limit. */
struct look {
	struct overrun *overrun;
	struct tenant *tenant;
	struct episode *episode;
	uint64_t resident, limit;
	bool first; /* of this episode */
};

static void say(const struct look *look, const struct event *event)
{
	const struct warden_config *config = look->overrun->config;

	if (config->on_event)
		config->on_event(event, config->userdata);
}

static void say_overrun(const struct look *look, pid_t pid, const char *comm, const char *reason)
{
	struct event event = {
		.kind = EVENT_OVERRUN,
		.time_ns = clock_now_ns(CLOCK_REALTIME),
		.pid = pid,
		.tid = pid,
		.uid = (uid_t)-1,
		.fd = -1,
		.size = look->resident,
		.limit = look->limit,
		.reason = reason,
	};

	snprintf(event.comm, sizeof(event.comm), "%s", comm);
	snprintf(event.tenant, sizeof(event.tenant), "%.*s", EVENT_TENANT_MAX - 1,
		look->episode->tenant);
	say(look, &event);
}

static void say_unfrozen(const struct look *look)
{
	if (look->overrun->said_unfrozen)
		return;
	look->overrun->said_unfrozen = true;
	say(look,
		&(struct event){
			.kind = EVENT_NOTICE,
			.time_ns = clock_now_ns(CLOCK_REALTIME),
			.uid = (uid_t)-1,
			.fd = -1,
			.reason = "a tenant above budget.tenant.resident cannot be frozen: it has "
				  "no cgroup of its own, or we may not; it is denied more",
		});
}

/* ---- Actions ---- */

/* Those of the tenant's own processes that hold its files, largest first, for free(). */
static ssize_t look_for_holders(const struct look *look, struct holder **ret_holders)
{
	const struct warden_config *config = look->overrun->config;
	cleanup(held_done) struct held held = {0};
	int r = held_add(&held, config->ledger, look->tenant);

	if (r < 0)
		return r;

	struct holder *holders;
	ssize_t n = holders_find(config->root, held.files, held.count, &holders), kept = 0;

	if (n < 0)
		return n;
	/* A tenant may have sent its files to another one, who is not to answer for them. */
	for (ssize_t i = 0; i < n; i++)
		if (!config->owns ||
			config->owns(look->episode->tenant, holders[i].pid, config->userdata))
			holders[kept++] = holders[i];
	*ret_holders = holders;
	return kept;
}

/* Freezes the group of one holder. Returns 0 or -errno. */
static int freeze_holder(const struct look *look, const struct holder *holder)
{
	struct episode *episode = look->episode;
	_cleanup_close_ int pidfd =
		process_open_below(holder->pid, holder->start_ticks, look->overrun->config->root);
	_cleanup_close_ int proc_fd =
		pidfd < 0 ? pidfd : process_open_same(holder->pid, holder->start_ticks);

	if (proc_fd < 0)
		return proc_fd;

	int r = freezer_freeze(proc_fd, &episode->freezers[episode->freezer_count]);

	if (r == 0)
		episode->freezer_count++;
	return r;
}

static void act_freeze(const struct look *look)
{
	struct episode *episode = look->episode;
	_cleanup_free_ struct holder *holders = NULL;

	if (episode->freezer_count == FREEZERS_MAX ||
		(!look->first && look->resident <= episode->resident))
		return;
	episode->resident = look->resident;

	ssize_t n = look_for_holders(look, &holders);
	int r = n < 0 ? (int)n : -ESRCH;

	/* A group that is frozen already, by us or not, does not grow: then the next one. */
	for (ssize_t i = 0; i < n && r < 0; i++)
		r = freeze_holder(look, &holders[i]);
	if (r == 0) {
		say_overrun(look, 0, "", REASON ": its cgroup was frozen");
	} else if (episode->freezer_count == 0) {
		say_unfrozen(look);
		if (!episode->stuck)
			say_overrun(look, 0, "", REASON);
		episode->stuck = true;
	}
}

static int kill_holder(const struct look *look, const struct holder *holder)
{
	struct episode *episode = look->episode;
	_cleanup_close_ int pidfd =
		process_open_below(holder->pid, holder->start_ticks, look->overrun->config->root);
	char comm[TRACEE_COMM_MAX] = "";

	if (pidfd < 0)
		return pidfd;
	/* Whose pid it was all the time, if the signal reaches it after. */
	(void)tracee_comm(holder->pid, comm);
	if (syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0) < 0)
		return -errno;
	say_overrun(look, holder->pid, comm, REASON ": its largest holder was killed");
	episode->victims[episode->victim_count++] = take_fd(&pidfd);
	return 0;
}

static void act_kill(const struct look *look)
{
	const uint64_t now_ns = clock_now_ns(CLOCK_MONOTONIC);
	struct episode *episode = look->episode;
	_cleanup_free_ struct holder *holders = NULL;

	if (episode->victim_count > 0 && now_ns < episode->killed_ns + PATIENCE_NS)
		return;
	/* What does not die is somebody else's business: it may wait in a frozen cgroup of v1. */
	while (episode->victim_count > 0)
		fd_close(episode->victims[--episode->victim_count]);
	episode->killed_ns = now_ns;

	ssize_t n = look_for_holders(look, &holders);

	for (ssize_t i = 0; i < n && episode->victim_count < episode->at_once; i++)
		if (holders[i].held_bytes >= holders[0].held_bytes / 2)
			(void)kill_holder(look, &holders[i]);
	if (episode->victim_count > 0) {
		if (episode->at_once < VICTIMS_MAX)
			episode->at_once *= 2;
	} else if (!episode->stuck) {
		/* In messages on their way, or with somebody that we cannot look into. */
		say_overrun(look, 0, "", REASON ": no holder was found to kill");
		episode->stuck = true;
	}
}

static void act(const struct look *look, enum overrun_action action)
{
	if (action != OVERRUN_FREEZE)
		episode_thaw(look->episode);
	switch (action) {
	case OVERRUN_DENY:
		if (look->first)
			say_overrun(look, 0, "", REASON);
		break;
	case OVERRUN_FREEZE:
		act_freeze(look);
		break;
	case OVERRUN_KILL:
		act_kill(look);
		break;
	}
}

void overrun_look(
	struct overrun *overrun, struct tenant *tenant, const struct policy_quotas *quotas)
{
	const char *name = tenant_name(tenant);
	struct episode **link = episode_find(overrun, name);
	struct look look = {
		.overrun = overrun,
		.tenant = tenant,
		.limit = quotas->limits[QUOTA_RESIDENT],
		.first = !*link,
	};
	struct tenant_use use;

	tenant_use(tenant, &use);
	look.resident = use.resident;
	if (look.resident <= look.limit) {
		if (*link)
			episode_remove(link);
		return;
	}
	look.episode = *link ? *link : episode_new(overrun, name);
	if (!look.episode)
		return; /* out of memory: the next round may have some */
	look.episode->looked = true;
	act(&look, quotas->on_overrun);
}
