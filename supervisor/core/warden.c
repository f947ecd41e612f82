/* SPDX-License-Identifier: Apache-2.0 */
#include "core/warden.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>

#include "base/clock.h"
#include "core/held.h"
#include "core/oom.h"
#include "core/overrun.h"
#include "kernel/lookout.h"
#include "kernel/oom_score.h"

/* While there is no file, at most: the first one is not to wait longer for its first sample. */
#define IDLE_MS 1000

/* Rest for each unit of work, of a round and of looking for holders for the OOM killer. */
#define REST_PER_ROUND 3
#define REST_PER_OOM   20

/* The least time between two looks on behalf of the OOM killer. */
#define OOM_MS 1000

struct warden {
	struct warden_config config;
	pthread_t thread;
	pthread_mutex_t lock; /* of all below, down to the next heading */
	pthread_cond_t changed;
	struct policy_quotas quotas;
	bool stop;
	bool fresh; /* quotas have been set: a round is due */

	/* The thread's own. */
	struct overrun *overrun;
	struct oom *oom;     /* NULL: nothing is attributed */
	uint64_t oom_due_ns; /* CLOCK_MONOTONIC */
	bool said_oom_failed, said_oom_refused;
};

static void say_notice(struct warden *warden, bool *said, const char *reason)
{
	const struct event event = {
		.kind = EVENT_NOTICE,
		.time_ns = clock_now_ns(CLOCK_REALTIME),
		.uid = (uid_t)-1,
		.fd = -1,
		.reason = reason,
	};

	if (*said)
		return;
	*said = true;
	if (warden->config.on_event)
		warden->config.on_event(&event, warden->config.userdata);
}

/* ---- The OOM killer ---- */

struct gathering {
	struct ledger *ledger;
	struct held held;
	int error;
};

static void gather(struct tenant *tenant, void *userdata)
{
	struct gathering *gathering = userdata;

	if (gathering->error == 0)
		gathering->error = held_add(&gathering->held, gathering->ledger, tenant);
}

/* Looks once for the files of all tenants together: a holder answers for all that it holds. */
static int attribute(struct warden *warden)
{
	struct gathering gathering = {.ledger = warden->config.ledger};
	int r = warden->oom ? 0 : oom_new(warden->config.root, &warden->oom);

	if (r == 0) {
		ledger_each_tenant(warden->config.ledger, gather, &gathering);
		r = gathering.error;
	}
	if (r == 0)
		r = oom_attribute(warden->oom, gathering.held.files, gathering.held.count);
	held_done(&gathering.held);
	return r;
}

static void attribute_if_due(struct warden *warden, const struct policy_quotas *quotas)
{
	uint64_t start_ns = clock_now_ns(CLOCK_MONOTONIC);

	if (!quotas->oom_attribute) {
		warden->oom = oom_free(warden->oom);
		warden->oom_due_ns = 0;
		return;
	}
	if (start_ns < warden->oom_due_ns)
		return;

	int r = attribute(warden);
	uint64_t rest_ns = (clock_now_ns(CLOCK_MONOTONIC) - start_ns) * REST_PER_OOM;

	if (rest_ns < OOM_MS * NSEC_PER_MSEC)
		rest_ns = OOM_MS * NSEC_PER_MSEC;
	warden->oom_due_ns = start_ns + rest_ns;
	if (r < 0)
		say_notice(warden, &warden->said_oom_failed,
			"oom: attribute failed, and is tried again: no memory or descriptors, or "
			"no /proc");
	if (r > 0)
		say_notice(warden, &warden->said_oom_refused,
			"oom: attribute may not change the score of a process of another user (it "
			"takes CAP_DAC_OVERRIDE)");
}

/* ---- Rounds ---- */

struct round {
	struct warden *warden;
	const struct policy_quotas *quotas;
};

static void look_at_tenant(struct tenant *tenant, void *userdata)
{
	const struct round *round = userdata;

	overrun_look(round->warden->overrun, tenant, round->quotas);
}

static void run_round(struct warden *warden, const struct policy_quotas *quotas)
{
	struct round round = {.warden = warden, .quotas = quotas};

	overrun_begin(warden->overrun);
	ledger_sample(warden->config.ledger, NULL);
	ledger_each_tenant(warden->config.ledger, look_at_tenant, &round);
	overrun_end(warden->overrun);
	attribute_if_due(warden, quotas);
}

/* Whether anything is to be done or to be taken back. */
static bool has_work(struct warden *warden)
{
	return warden->oom || overrun_is_active(warden->overrun) ||
	       !ledger_is_empty(warden->config.ledger);
}

/* Runs a round where there is work. Returns when the next one is due, CLOCK_MONOTONIC. */
static uint64_t work(struct warden *warden, const struct policy_quotas *quotas)
{
	uint64_t start_ns = clock_now_ns(CLOCK_MONOTONIC);
	uint64_t rest_ns = quotas->sample_ms * NSEC_PER_MSEC;

	if (!has_work(warden)) {
		if (rest_ns > IDLE_MS * NSEC_PER_MSEC)
			rest_ns = IDLE_MS * NSEC_PER_MSEC;
		return start_ns + rest_ns;
	}
	run_round(warden, quotas);
	/* Nothing was raised that is not back where it was: nobody is left to hold anything. */
	if (ledger_is_empty(warden->config.ledger))
		warden->oom = oom_free(warden->oom);

	uint64_t end_ns = clock_now_ns(CLOCK_MONOTONIC);

	if (rest_ns < (end_ns - start_ns) * REST_PER_ROUND)
		rest_ns = (end_ns - start_ns) * REST_PER_ROUND;
	return end_ns + rest_ns;
}

/* Sleeps until then, or until there is something new. Returns false when the thread is to end. */
static bool sleep_until(struct warden *warden, uint64_t due_ns, struct policy_quotas *ret_quotas)
{
	const struct timespec due = {
		.tv_sec = (time_t)(due_ns / NSEC_PER_SEC),
		.tv_nsec = (long)(due_ns % NSEC_PER_SEC),
	};
	bool stop;

	pthread_mutex_lock(&warden->lock);
	while (!warden->stop && !warden->fresh &&
		pthread_cond_timedwait(&warden->changed, &warden->lock, &due) != ETIMEDOUT)
		continue;
	warden->fresh = false;
	stop = warden->stop;
	*ret_quotas = warden->quotas;
	pthread_mutex_unlock(&warden->lock);
	return !stop;
}

static void *warden_main(void *argument)
{
	struct warden *warden = argument;
	struct policy_quotas quotas;
	uint64_t due_ns = 0;

	/* Where it fails we have no such right, or may not even give one up: nothing is lost. */
	(void)oom_score_drop_right();
	/* Without one, a tenant may hold us up: not for want of memory at the very start. */
	(void)lookout_start();
	while (sleep_until(warden, due_ns, &quotas))
		due_ns = work(warden, &quotas);
	warden->overrun = overrun_free(warden->overrun);
	warden->oom = oom_free(warden->oom);
	lookout_end();
	return NULL;
}

/* ---- Life ---- */

static struct warden *warden_destroy(struct warden *warden)
{
	overrun_free(warden->overrun);
	pthread_cond_destroy(&warden->changed);
	pthread_mutex_destroy(&warden->lock);
	free(warden);
	return NULL;
}

static int thread_start(struct warden *warden)
{
	sigset_t all, before;
	int r;

	sigfillset(&all);
	r = pthread_sigmask(SIG_SETMASK, &all, &before);
	if (r == 0) {
		r = pthread_create(&warden->thread, NULL, warden_main, warden);
		pthread_sigmask(SIG_SETMASK, &before, NULL);
	}
	return -r;
}

int warden_new(const struct warden_config *config, struct warden **ret_warden)
{
	struct warden *warden = calloc(1, sizeof(*warden));
	pthread_condattr_t monotonic;

	if (!warden)
		return -ENOMEM;
	warden->config = *config;
	warden->quotas = *config->quotas;
	warden->config.quotas = NULL; /* was copied, and need not live */
	pthread_mutex_init(&warden->lock, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&warden->changed, &monotonic);
	pthread_condattr_destroy(&monotonic);

	int r = overrun_new(&warden->config, &warden->overrun);

	if (r == 0)
		r = thread_start(warden);
	if (r < 0) {
		warden_destroy(warden);
		return r;
	}
	*ret_warden = warden;
	return 0;
}

void warden_set_quotas(struct warden *warden, const struct policy_quotas *quotas)
{
	pthread_mutex_lock(&warden->lock);
	warden->quotas = *quotas;
	warden->fresh = true;
	pthread_cond_signal(&warden->changed);
	pthread_mutex_unlock(&warden->lock);
}

struct warden *warden_free(struct warden *warden)
{
	if (!warden)
		return NULL;
	pthread_mutex_lock(&warden->lock);
	warden->stop = true;
	pthread_cond_signal(&warden->changed);
	pthread_mutex_unlock(&warden->lock);
	pthread_join(warden->thread, NULL);
	return warden_destroy(warden);
}
