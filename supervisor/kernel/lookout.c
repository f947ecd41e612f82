/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/lookout.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <time.h>

#include "base/clock.h"

/* Threads that may wait for good; with all of them waiting, nothing is asked any more. */
#define LEFT_MAX 512

/* Enough for what a question calls, and for what sanitizers add to it. */
#define WORKER_STACK ((size_t)256 * 1024)

enum worker_state {
	WORKER_IDLE,
	WORKER_ASKS,
	WORKER_ENDS, /* nobody waits for it any more */
};

struct worker {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	enum worker_state state;
	unsigned references; /* of the thread and the lookout */
	pid_t pid;           /* whom the question is about */
	lookout_fn *ask, *drop;
	void *question;
};

struct lookout {
	struct worker *worker; /* NULL: none yet */
	struct worker *left[LEFT_MAX];
	size_t left_count;
};

/* Of the thread that called lookout_start(). */
static _Thread_local struct lookout *own_lookout;

/* ---- Workers ---- */

/* With the lock held, which ends with it. */
static void worker_unref(struct worker *worker)
{
	bool last = --worker->references == 0;

	pthread_mutex_unlock(&worker->lock);
	if (!last)
		return;
	pthread_cond_destroy(&worker->changed);
	pthread_mutex_destroy(&worker->lock);
	free(worker);
}

static void *worker_main(void *argument)
{
	struct worker *worker = argument;

	pthread_mutex_lock(&worker->lock);
	while (worker->state != WORKER_ENDS) {
		if (worker->state == WORKER_IDLE) {
			pthread_cond_wait(&worker->changed, &worker->lock);
			continue;
		}
		pthread_mutex_unlock(&worker->lock);
		worker->ask(worker->question);
		pthread_mutex_lock(&worker->lock);
		if (worker->state == WORKER_ENDS)
			worker->drop(worker->question);
		else
			worker->state = WORKER_IDLE;
		pthread_cond_signal(&worker->changed);
	}
	worker_unref(worker);
	return NULL;
}

static int worker_start(struct worker *worker)
{
	pthread_attr_t attributes;
	pthread_t thread;
	int r = -pthread_attr_init(&attributes);

	if (r < 0)
		return r;
	(void)pthread_attr_setstacksize(&attributes, WORKER_STACK);
	(void)pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
	r = -pthread_create(&thread, &attributes, worker_main, worker);
	pthread_attr_destroy(&attributes);
	return r;
}

static struct worker *worker_new(void)
{
	struct worker *worker = calloc(1, sizeof(*worker));
	pthread_condattr_t monotonic;

	if (!worker)
		return NULL;
	pthread_mutex_init(&worker->lock, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&worker->changed, &monotonic);
	pthread_condattr_destroy(&monotonic);
	worker->references = 2;
	if (worker_start(worker) == 0)
		return worker;
	worker->references = 1;
	pthread_mutex_lock(&worker->lock);
	worker_unref(worker);
	return NULL;
}

/* Lets go of it: it ends as soon as it can. */
static void worker_leave(struct worker *worker)
{
	pthread_mutex_lock(&worker->lock);
	worker->state = WORKER_ENDS;
	pthread_cond_signal(&worker->changed);
	worker_unref(worker);
}

/* Waits for the answer. Returns false when none comes: the question is the worker's from then on.
 */
static bool worker_await(struct worker *worker, unsigned patience_ms)
{
	struct timespec until;
	bool answered;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_nsec += (long)(patience_ms % 1000 * NSEC_PER_MSEC);
	until.tv_sec += patience_ms / 1000 + until.tv_nsec / (long)NSEC_PER_SEC;
	until.tv_nsec %= (long)NSEC_PER_SEC;
	while (worker->state == WORKER_ASKS)
		if (pthread_cond_timedwait(&worker->changed, &worker->lock, &until) == ETIMEDOUT)
			break;
	answered = worker->state == WORKER_IDLE;
	if (!answered)
		worker->state = WORKER_ENDS;
	return answered;
}

/* ---- The lookout ---- */

int lookout_start(void)
{
	own_lookout = calloc(1, sizeof(*own_lookout));
	return own_lookout ? 0 : -ENOMEM;
}

void lookout_end(void)
{
	struct lookout *lookout = own_lookout;

	own_lookout = NULL;
	if (!lookout)
		return;
	if (lookout->worker)
		worker_leave(lookout->worker);
	for (size_t i = 0; i < lookout->left_count; i++)
		worker_leave(lookout->left[i]);
	free(lookout);
}

/* Whether one that was left behind still waits for that process; forgets those that have ended. */
static bool is_waiting_for(struct lookout *lookout, pid_t pid)
{
	bool waits = false;
	size_t kept = 0;

	for (size_t i = 0; i < lookout->left_count; i++) {
		struct worker *worker = lookout->left[i];

		pthread_mutex_lock(&worker->lock);
		if (worker->references == 1) {
			worker_unref(worker);
			continue;
		}
		pthread_mutex_unlock(&worker->lock);
		waits |= worker->pid == pid;
		lookout->left[kept++] = worker;
	}
	lookout->left_count = kept;
	return waits;
}

/* Hands the question over. Returns whether it was answered. */
static bool worker_ask(struct worker *worker, unsigned patience_ms)
{
	bool answered;

	pthread_mutex_lock(&worker->lock);
	worker->state = WORKER_ASKS;
	pthread_cond_signal(&worker->changed);
	answered = worker_await(worker, patience_ms);
	pthread_mutex_unlock(&worker->lock);
	return answered;
}

int lookout_ask(pid_t pid, unsigned patience_ms, lookout_fn *ask, lookout_fn *drop, void *question)
{
	struct lookout *lookout = own_lookout;
	struct worker *worker;

	if (!lookout) {
		ask(question);
		return 0;
	}
	if (!lookout->worker)
		lookout->worker = worker_new();
	worker = lookout->worker;
	if (is_waiting_for(lookout, pid) || lookout->left_count == LEFT_MAX || !worker) {
		drop(question);
		return -EBUSY;
	}
	worker->pid = pid;
	worker->ask = ask;
	worker->drop = drop;
	worker->question = question;
	if (worker_ask(worker, patience_ms))
		return 0;
	lookout->left[lookout->left_count++] = worker;
	lookout->worker = NULL;
	return -EBUSY;
}
