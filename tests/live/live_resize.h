/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A child whose resizes core/resize answers, with a ledger of its own. After live.h. */

#include <poll.h>
#include <sys/mman.h>

#include "core/resize.h"
#include "kernel/notify.h"

#define SCENE_OUTCOMES 64

struct scene {
	struct policy_quotas quotas;
	bool audit;
	bool guess; /* expect every descriptor to be a memory file's */
	struct live_child child;
	struct ledger *ledger;
	struct tenant *tenant;
	struct tracee_cache *cache;
	struct resizer *resizer;
	struct resize_outcome outcomes[SCENE_OUTCOMES]; /* those that are worth an event */
	size_t count;
	struct tenant_use use; /* after the child's end */
	int status;
};

/* No limits, and the errno of each limit as policies have them, but EDQUOT for a file's size. */
static inline void scene_init(struct scene *scene)
{
	static const int errors[QUOTA_COUNT] = {
		[QUOTA_MEMFDS] = ENFILE,
		[QUOTA_SIZE] = ENOSPC,
		[QUOTA_RESIDENT] = ENOSPC,
		[QUOTA_HUGETLB] = ENOMEM,
		[QUOTA_RATE] = EAGAIN,
		[QUOTA_MEMFD_SIZE] = EDQUOT,
		[QUOTA_CGROUP] = ENOMEM,
		[QUOTA_SPILL] = ENOSPC,
	};

	*scene = (struct scene){.quotas = {.burst = 1, .sample_ms = 250, .ledger = true}};
	memcpy(scene->quotas.errors, errors, sizeof(errors));
	for (size_t i = 0; i < QUOTA_COUNT; i++)
		scene->quotas.limits[i] = QUOTA_UNLIMITED;
}

/* Makes the tenant, for what is to be made ahead of the child. */
static inline void scene_open(struct scene *scene)
{
	const struct ledger_config config = {.quotas = &scene->quotas};

	assert_int_equal(ledger_new(&config, &scene->ledger), 0);
	assert_int_equal(tenant_get(scene->ledger, "scene", &scene->tenant), 0);
}

/* Starts the child: what it calls from then on waits for scene_answer(). */
static inline void scene_start(struct scene *scene, live_main_fn *run, void *argument)
{
	if (!scene->ledger)
		scene_open(scene);
	live_spawn_calls(&scene->child, CALL_FTRUNCATE | CALL_FALLOCATE, run, argument);
	assert_int_equal(tracee_cache_new(&scene->cache), 0);

	const struct resizer_config resizer = {
		.listener = scene->child.listener,
		.wait_killable = scene->child.features.wait_killable,
		.cache = scene->cache,
		.ledger = scene->ledger,
	};

	assert_int_equal(resizer_new(&resizer, &scene->resizer), 0);
}

/* Answers one call that was received. */
static inline int scene_answer(struct scene *scene, const union notification *slot)
{
	struct resize_outcome outcome;
	struct filter_call call;
	const struct resize resize = {
		.id = slot->notif.id,
		.tid = (pid_t)slot->notif.pid,
		.call = &call,
		.tenant = scene->tenant,
		.quotas = &scene->quotas,
		.audit = scene->audit,
	};

	assert_true(filter_decode(&slot->notif.data, &call));
	tracee_cache_begin(scene->cache);
	if (scene->guess)
		resizer_expect(scene->resizer, resize.tid, call.fd);

	int r = resize_answer(scene->resizer, &resize, &outcome);

	if (r == NOTIFY_OK && outcome.worth_event) {
		assert_non_null(outcome.reason);
		assert_int_not_equal(outcome.error, 0);
		scene->outcomes[scene->count++ % SCENE_OUTCOMES] = outcome;
	}
	return r;
}

static inline bool scene_child_has_ended(const struct scene *scene)
{
	siginfo_t info = {0};

	assert_int_equal(
		waitid(P_PID, (id_t)scene->child.pid, &info, WEXITED | WNOHANG | WNOWAIT), 0);
	return info.si_pid == scene->child.pid;
}

/* Answers calls until the child's end. */
static inline void scene_run(struct scene *scene)
{
	struct pollfd poller = {.fd = scene->child.listener, .events = POLLIN};
	union notification slot;
	sigset_t all, previous;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &previous);
	/* Before Linux 6.11 a zombie keeps its listener: look for the child's end as well. */
	do {
		poll(&poller, 1, 50);
		if (!(poller.revents & POLLIN))
			continue;
		if (notify_receive(scene->child.listener, &slot) == NOTIFY_OK)
			assert_in_range(scene_answer(scene, &slot), NOTIFY_OK, NOTIFY_GONE);
	} while (!(poller.revents & POLLHUP) && !scene_child_has_ended(scene));
	pthread_sigmask(SIG_SETMASK, &previous, NULL);
}

/* After the child's end. */
static inline void scene_end(struct scene *scene)
{
	scene->status = live_wait(&scene->child);
	tenant_use(scene->tenant, &scene->use);
	scene->resizer = resizer_free(scene->resizer);
	scene->cache = tracee_cache_free(scene->cache);
	scene->tenant = tenant_unref(scene->tenant);
	scene->ledger = ledger_free(scene->ledger);
}

static inline void scene_play(struct scene *scene, live_main_fn *run, void *argument)
{
	scene->count = 0;
	scene_start(scene, run, argument);
	scene_run(scene);
	scene_end(scene);
}

/* Memory that a child shares with its test. */
static inline void *shared_new(size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	assert_ptr_not_equal(p, MAP_FAILED);
	return p;
}
