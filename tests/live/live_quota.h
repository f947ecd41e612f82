/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A scene of quotas: real calls of a tenant, a session in a thread, a policy in YAML. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/mman.h>

#include "base/memfd.h"
#include "core/session.h"
#include "live.h"

#define MIB        (UINT64_C(1) << 20)
#define EVENTS_MAX 256

/* A tenant under a policy, answered by a thread, with the events of its calls. */
struct scene {
	struct live_child child;
	struct domain *domain;
	struct session *session;
	pthread_t thread;
	struct event events[EVENTS_MAX];
	atomic_size_t count;
	int pipe[2]; /* the test writes a byte when the tenant may go on */
	int talk[2]; /* the tenant writes a byte when it has come somewhere */
};

static struct scene scene;

static inline void on_event(const struct event *event, void *userdata)
{
	size_t at = atomic_load(&scene.count);

	(void)userdata;
	if (at < EVENTS_MAX) {
		scene.events[at] = *event;
		atomic_store(&scene.count, at + 1);
	}
}

static inline struct policy *policy_from(const char *text)
{
	struct policy *policy = NULL;

	assert_int_equal(policy_load(text, strlen(text), "test", NULL, NULL, &policy), 0);
	return policy;
}

static inline void *session_main(void *unused)
{
	(void)unused;
	(void)session_run(scene.session);
	return NULL;
}

static inline void scene_start(const char *text, live_main_fn *run, void *argument)
{
	struct policy *policy = policy_from(text);
	const struct domain_config config = {.policy = policy, .mode = -1, .on_event = on_event};
	struct session_config session = {.tenant = "scene", .wait_killable = true};
	sigset_t all, previous;
	const char *why = NULL;

	memset(&scene, 0, sizeof(scene));
	assert_return_code(pipe(scene.pipe), errno);
	assert_return_code(pipe(scene.talk), errno);
	if (domain_new(&config, &scene.domain, &why) < 0)
		fail_msg("no domain: %s", why ? why : "?");
	live_spawn_calls(&scene.child, policy_calls(policy), run, argument);
	session.listener = take_fd(&scene.child.listener);
	session.domain = scene.domain;
	assert_int_equal(session_new(&session, &scene.session), 0);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &previous);
	assert_int_equal(pthread_create(&scene.thread, NULL, session_main, NULL), 0);
	pthread_sigmask(SIG_SETMASK, &previous, NULL);
	policy_unref(policy);
}

static inline int scene_end(void)
{
	int status = live_wait(&scene.child);

	pthread_join(scene.thread, NULL);
	session_free(scene.session);
	domain_free(scene.domain);
	close(scene.pipe[0]);
	close(scene.pipe[1]);
	close(scene.talk[0]);
	close(scene.talk[1]);
	return status;
}

static inline int play(const char *text, live_main_fn *run)
{
	scene_start(text, run, NULL);
	return scene_end();
}

/* The last event with this errno. */
static inline const struct event *event_with(int error)
{
	const struct event *found = NULL;

	for (size_t i = 0; i < atomic_load(&scene.count); i++)
		if (scene.events[i].error == error)
			found = &scene.events[i];
	assert_non_null(found);
	return found;
}

/* In the tenant: waits for the test. */
static inline void tenant_wait(void)
{
	char byte;

	live_check(write(scene.talk[1], "x", 1) == 1);
	live_check(read(scene.pipe[0], &byte, 1) == 1);
}

static inline void test_lets_tenant_go_on(void)
{
	assert_int_equal(write(scene.pipe[1], "x", 1), 1);
}

static inline void test_awaits_tenant(void)
{
	struct pollfd ready = {.fd = scene.talk[0], .events = POLLIN};
	char byte;

	assert_int_equal(poll(&ready, 1, 20000), 1);
	assert_int_equal(read(scene.talk[0], &byte, 1), 1);
}
