/* SPDX-License-Identifier: Apache-2.0 */

/* The warden on a real ledger: tenants that hold too much, and the scores of those who hold. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <grp.h>
#include <pthread.h>

#include "base/clock.h"
#include "core/warden.h"
#include "kernel/oom_score.h"
#include "kernel/process.h"
#include "live_cgroup.h"
#include "live_freezer.h"
#include "live_tree.h"
#include "ledger.h"

#define EVENTS_MAX 256

/* What takes longer has hung. */
#define PATIENCE_NS (20 * NSEC_PER_SEC)

/* A ledger with its warden, and what that one says. */
struct warden_fixture {
	struct ledger_fixture ledger;
	struct tenant *other;
	struct warden *warden;
	pthread_mutex_t lock;
	struct event events[EVENTS_MAX];
	size_t count;
	pid_t disowned; /* a process that is no tenant's; 0: none */
};

static void keep_event(const struct event *event, void *userdata)
{
	struct warden_fixture *fixture = userdata;

	pthread_mutex_lock(&fixture->lock);
	if (fixture->count < EVENTS_MAX)
		fixture->events[fixture->count++] = *event;
	pthread_mutex_unlock(&fixture->lock);
}

static bool is_owned(const char *tenant, pid_t pid, void *userdata)
{
	const struct warden_fixture *fixture = userdata;

	live_check(strcmp(tenant, "tenant") == 0);
	return pid != fixture->disowned;
}

static size_t count_events(struct warden_fixture *fixture, enum event_kind kind)
{
	size_t count = 0;

	pthread_mutex_lock(&fixture->lock);
	for (size_t i = 0; i < fixture->count; i++)
		count += fixture->events[i].kind == kind;
	pthread_mutex_unlock(&fixture->lock);
	return count;
}

/* Waits for the nth event of a kind, from 0. */
static struct event await_event(struct warden_fixture *fixture, enum event_kind kind, size_t nth)
{
	uint64_t end_ns = clock_now_ns(CLOCK_MONOTONIC) + PATIENCE_NS;
	struct event event = {0};

	while (count_events(fixture, kind) <= nth) {
		assert_true(clock_now_ns(CLOCK_MONOTONIC) < end_ns);
		usleep(1000);
	}
	pthread_mutex_lock(&fixture->lock);
	for (size_t i = 0, seen = 0; i < fixture->count; i++)
		if (fixture->events[i].kind == kind && seen++ == nth)
			event = fixture->events[i];
	pthread_mutex_unlock(&fixture->lock);
	return event;
}

static struct warden_fixture *fixture_new(enum overrun_action action)
{
	struct warden_fixture *fixture = calloc(1, sizeof(*fixture));

	assert_non_null(fixture);
	pthread_mutex_init(&fixture->lock, NULL);
	fixture->ledger.quotas = ledger_quotas();
	fixture->ledger.quotas.limits[QUOTA_RESIDENT] = 8 * MIB;
	fixture->ledger.quotas.on_overrun = action;
	fixture->ledger.quotas.sample_ms = 10;
	fixture_start(&fixture->ledger);
	assert_int_equal(tenant_get(fixture->ledger.ledger, "other", &fixture->other), 0);
	if (!ledger_can_measure(fixture->ledger.ledger))
		live_skip_all("memory cannot be measured without CAP_DAC_READ_SEARCH");
	return fixture;
}

static void fixture_watch(struct warden_fixture *fixture, pid_t root)
{
	const struct warden_config config = {
		.ledger = fixture->ledger.ledger,
		.quotas = &fixture->ledger.quotas,
		.root = root,
		.owns = is_owned,
		.on_event = keep_event,
		.userdata = fixture,
	};

	assert_int_equal(warden_new(&config, &fixture->warden), 0);
}

static void fixture_free(struct warden_fixture *fixture)
{
	assert_null(warden_free(fixture->warden));
	fixture->other = tenant_unref(fixture->other);
	fixture_done(&fixture->ledger);
	pthread_mutex_destroy(&fixture->lock);
	free(fixture);
}

/* ---- Tenants' processes ---- */

struct hoard {
	int fd; /* entered in the ledger; the child's only */
	size_t bytes;
	bool in_group; /* joins the group of the test */
	unsigned forks;
};

static void fill(int fd, size_t bytes)
{
	static char chunk[65536];

	memset(chunk, 'x', sizeof(chunk));
	for (size_t done = 0; done < bytes; done += sizeof(chunk))
		live_check(write(fd, chunk, sizeof(chunk)) == (ssize_t)sizeof(chunk));
}

static void hoard(int ready, void *argument)
{
	const struct hoard *hoard = argument;

	if (hoard->in_group)
		live_check(group_join(NULL) == 0);
	fill(hoard->fd, hoard->bytes);
	for (unsigned i = 0; i < hoard->forks; i++) {
		pid_t pid = fork();

		live_check(pid >= 0);
		if (pid == 0)
			for (;;)
				pause();
	}
	tree_stay(ready, "r", 1);
}

/* A process with so much in a memfd of the tenant, and no mapping of it. */
static struct tree_child hoarder_start(struct tenant *tenant, struct hoard hoarded)
{
	char byte;

	hoarded.fd = ledger_memfd(tenant);

	struct tree_child child = tree_start(hoard, &hoarded);

	close(hoarded.fd);
	tree_hear(&child, &byte, 1);
	return child;
}

static void assert_alive(const struct tree_child *child)
{
	int status;

	assert_int_equal(waitpid(child->pid, &status, WNOHANG), 0);
}

/* ---- Deny ---- */

static void an_episode_is_said_once(void **state)
{
	struct warden_fixture *fixture = fixture_new(OVERRUN_DENY);
	const struct hoard hoarded = {.bytes = 9 * MIB};
	struct tree_child child = hoarder_start(fixture->ledger.tenant, hoarded);

	(void)state;
	fixture_watch(fixture, getpid());

	struct event event = await_event(fixture, EVENT_OVERRUN, 0);

	assert_in_range(event.size, 8 * MIB + 1, 9 * MIB);
	assert_int_equal(event.limit, 8 * MIB);
	assert_string_equal(event.tenant, "tenant");
	assert_non_null(event.reason);
	assert_int_equal(event.pid, 0);
	usleep(100000); /* for some rounds more */
	assert_int_equal(count_events(fixture, EVENT_OVERRUN), 1);

	/* Once a round has seen it below, the next is another one. */
	for (int i = 0; i < 100 && count_events(fixture, EVENT_OVERRUN) == 1; i++) {
		tree_end(&child);
		usleep(50000);
		child = hoarder_start(fixture->ledger.tenant, hoarded);
		usleep(50000);
	}
	/* Late rounds may tell of the last two at once. */
	assert_true(count_events(fixture, EVENT_OVERRUN) >= 2);
	tree_end(&child);
	fixture_free(fixture);
}

/* ---- Kill ---- */

static void the_hoarder_is_killed_and_not_its_neighbours(void **state)
{
	struct warden_fixture *fixture = fixture_new(OVERRUN_KILL);
	struct tree_child small =
		hoarder_start(fixture->ledger.tenant, (struct hoard){.bytes = 2 * MIB});
	struct tree_child other = hoarder_start(fixture->other, (struct hoard){.bytes = 7 * MIB});

	(void)state;
	/* Before it is watched: else it might be killed before it is ready. */
	struct tree_child large =
		hoarder_start(fixture->ledger.tenant, (struct hoard){.bytes = 7 * MIB});

	fixture_watch(fixture, getpid());

	struct event event = await_event(fixture, EVENT_OVERRUN, 0);

	assert_int_equal(tree_wait(&large), 128 + SIGKILL);
	assert_int_equal(event.pid, large.pid);
	assert_int_equal(event.limit, 8 * MIB);
	assert_string_not_equal(event.comm, "");
	usleep(100000);
	assert_int_equal(count_events(fixture, EVENT_OVERRUN), 1);
	assert_alive(&small);
	assert_alive(&other);
	tree_end(&small);
	tree_end(&other);
	fixture_free(fixture);
}

static void memory_that_is_shared_takes_all_who_share_it(void **state)
{
	struct warden_fixture *fixture = fixture_new(OVERRUN_KILL);
	struct tree_child small =
		hoarder_start(fixture->ledger.tenant, (struct hoard){.bytes = 2 * MIB});
	struct tree_child large = hoarder_start(
		fixture->ledger.tenant, (struct hoard){.bytes = 9 * MIB, .forks = 12});
	int status, dead = 0;

	(void)state;
	fixture_watch(fixture, getpid());
	/* Orphans come back to us, all 13. */
	while (dead < 13) {
		pid_t pid = waitpid(-1, &status, 0);

		assert_return_code(pid, errno);
		assert_int_not_equal(pid, small.pid);
		assert_true(WIFSIGNALED(status));
		dead++;
	}
	fd_close(large.ready);
	usleep(100000);
	/* One event each, in four or five rounds. */
	assert_int_equal(count_events(fixture, EVENT_OVERRUN), 13);
	assert_alive(&small);
	tree_end(&small);
	fixture_free(fixture);
}

static void assert_nobody_is_killed(struct warden_fixture *fixture, struct tree_child *child)
{
	struct event event = await_event(fixture, EVENT_OVERRUN, 0);

	assert_int_equal(event.pid, 0);
	usleep(100000);
	assert_int_equal(count_events(fixture, EVENT_OVERRUN), 1);
	assert_alive(child);
	tree_end(child);
}

static void who_was_sent_a_file_is_not_killed_for_it(void **state)
{
	struct warden_fixture *fixture = fixture_new(OVERRUN_KILL);
	struct tree_child child =
		hoarder_start(fixture->ledger.tenant, (struct hoard){.bytes = 9 * MIB});

	(void)state;
	fixture->disowned = child.pid;
	fixture_watch(fixture, getpid());
	assert_nobody_is_killed(fixture, &child);
	fixture_free(fixture);
}

static void nobody_outside_the_tree_is_killed(void **state)
{
	struct warden_fixture *fixture = fixture_new(OVERRUN_KILL);
	struct tree_child child =
		hoarder_start(fixture->ledger.tenant, (struct hoard){.bytes = 9 * MIB});
	struct tree_child root = hoarder_start(fixture->other, (struct hoard){.bytes = MIB});

	(void)state;
	fixture_watch(fixture, root.pid);
	assert_nobody_is_killed(fixture, &child);
	tree_end(&root);
	fixture_free(fixture);
}

/* ---- Freeze ---- */

static bool await_stopped(bool stopped)
{
	uint64_t end_ns = clock_now_ns(CLOCK_MONOTONIC) + PATIENCE_NS;

	while (is_stopped() != stopped && clock_now_ns(CLOCK_MONOTONIC) < end_ns)
		usleep(1000);
	return is_stopped() == stopped;
}

/* Begins another episode: whether a round has seen the end of the last cannot be told. */
static void freeze_again(struct warden_fixture *fixture)
{
	struct policy_quotas *quotas = &fixture->ledger.quotas;

	for (int i = 0; i < 100 && !is_stopped(); i++) {
		quotas->limits[QUOTA_RESIDENT] = 16 * MIB;
		warden_set_quotas(fixture->warden, quotas);
		usleep(50000);
		quotas->on_overrun = OVERRUN_FREEZE;
		quotas->limits[QUOTA_RESIDENT] = 8 * MIB;
		warden_set_quotas(fixture->warden, quotas);
		usleep(50000);
	}
	assert_true(await_stopped(true));
}

static void freeze_and_thaw(void)
{
	struct warden_fixture *fixture = fixture_new(OVERRUN_FREEZE);
	struct tree_child child = hoarder_start(
		fixture->ledger.tenant, (struct hoard){.bytes = 9 * MIB, .in_group = true});
	struct policy_quotas *quotas = &fixture->ledger.quotas;

	fixture_watch(fixture, getpid());
	assert_int_equal(await_event(fixture, EVENT_OVERRUN, 0).limit, 8 * MIB);
	assert_true(await_stopped(true));

	/* Below, with a larger limit; above again. */
	quotas->limits[QUOTA_RESIDENT] = 16 * MIB;
	warden_set_quotas(fixture->warden, quotas);
	assert_true(await_stopped(false));
	quotas->limits[QUOTA_RESIDENT] = 4 * MIB;
	warden_set_quotas(fixture->warden, quotas);
	assert_true(await_stopped(true));
	assert_int_equal(await_event(fixture, EVENT_OVERRUN, 1).limit, 4 * MIB);

	/* Somebody knows better. */
	assert_int_equal(write_at(at(NULL, mount_found.v2 ? "cgroup.freeze" : "freezer.state"),
				 mount_found.v2 ? "0" : "THAWED"),
		0);
	assert_true(await_stopped(false));
	usleep(100000);
	assert_false(is_stopped());
	freeze_again(fixture);

	/* Another action, and back; and the end. */
	quotas->on_overrun = OVERRUN_DENY;
	warden_set_quotas(fixture->warden, quotas);
	assert_true(await_stopped(false));
	freeze_again(fixture);
	assert_int_equal(count_events(fixture, EVENT_NOTICE), 0);
	fixture_free(fixture);
	assert_true(await_stopped(false));
	tree_end(&child);
}

static void a_tenant_is_frozen_until_it_is_below(void **state)
{
	(void)state;
	in_each_tree(freeze_and_thaw);
}

static void who_shares_our_group_is_denied_instead(void **state)
{
	struct warden_fixture *fixture = fixture_new(OVERRUN_FREEZE);
	struct tree_child child =
		hoarder_start(fixture->ledger.tenant, (struct hoard){.bytes = 9 * MIB});

	(void)state;
	fixture_watch(fixture, getpid());
	assert_nobody_is_killed(fixture, &child);
	assert_int_equal(count_events(fixture, EVENT_NOTICE), 1);
	fixture_free(fixture);
}

/* ---- The OOM killer ---- */

static int score_of(pid_t pid)
{
	_cleanup_close_ int fd = process_open_dir(pid);
	int value = -1;

	assert_return_code(fd, -fd);
	assert_int_equal(oom_score_read(fd, &value), 0);
	return value;
}

static void await_score(pid_t pid, int value)
{
	uint64_t end_ns = clock_now_ns(CLOCK_MONOTONIC) + PATIENCE_NS;

	while (score_of(pid) != value) {
		assert_true(clock_now_ns(CLOCK_MONOTONIC) < end_ns);
		usleep(1000);
	}
}

static void in_a_memory_group(void)
{
	struct warden_fixture *fixture = fixture_new(OVERRUN_DENY);
	struct policy_quotas *quotas = &fixture->ledger.quotas;
	struct tree_child large = hoarder_start(
		fixture->ledger.tenant, (struct hoard){.bytes = 16 * MIB, .in_group = true});
	struct tree_child small =
		hoarder_start(fixture->other, (struct hoard){.bytes = 4 * MIB, .in_group = true});

	quotas->limits[QUOTA_RESIDENT] = QUOTA_UNLIMITED;
	quotas->oom_attribute = true;
	fixture_watch(fixture, getpid());
	await_score(large.pid, 250);
	await_score(small.pid, 63);

	/* Switched off, and on again. */
	quotas->oom_attribute = false;
	warden_set_quotas(fixture->warden, quotas);
	await_score(large.pid, 0);
	await_score(small.pid, 0);
	quotas->oom_attribute = true;
	warden_set_quotas(fixture->warden, quotas);
	await_score(large.pid, 250);
	tree_end(&large);
	await_score(small.pid, 63);
	assert_int_equal(count_events(fixture, EVENT_NOTICE), 0);
	fixture_free(fixture);
	assert_int_equal(score_of(small.pid), 0);
	tree_end(&small);
}

static void holders_answer_to_the_oom_killer(void **state)
{
	assert_int_equal(cgroup_setup(state), 0);
	assert_int_equal(limit_set(NULL, 64 * MIB), 0);
	in_a_memory_group();
	assert_int_equal(cgroup_teardown(state), 0);
}

/* As an ordinary user, who can neither open files by handle nor give away what is not his. */
static int watch_as_a_user(void *argument)
{
	struct warden_config config = {.root = getpid()};
	struct policy_quotas quotas = ledger_quotas();
	struct ledger_config ledger_config = {.quotas = &quotas};
	struct tenant *tenant;
	struct charge charge;
	struct warden *warden;
	int ready[2], score = 0;
	char byte;

	(void)argument;
	live_check(pipe(ready) == 0 && group_join(NULL) == 0);
	live_check(setgroups(0, NULL) == 0 && setgid(65534) == 0 && setuid(65534) == 0);
	/* Who has changed its user is nobody's to look into, until it says so. */
	live_check(prctl(PR_SET_DUMPABLE, 1) == 0);
	quotas.oom_attribute = true;
	quotas.sample_ms = 10;
	live_check(ledger_new(&ledger_config, &config.ledger) == 0);
	live_check(tenant_get(config.ledger, "tenant", &tenant) == 0);
	live_check(!ledger_can_measure(config.ledger));
	live_check(charge_begin(&charge, tenant, STORE_MEMFD, false) == QUOTA_NONE);

	int fd = memfd_create("held", MFD_CLOEXEC);

	live_check(charge_commit(&charge, fd, &(struct ledger_maker){.name = ""}) == 0);

	pid_t pid = fork();

	live_check(pid >= 0);
	if (pid == 0) {
		live_check(prctl(PR_SET_PDEATHSIG, SIGKILL) == 0);
		fill(fd, 16 * MIB);
		tree_stay(ready[1], "r", 1);
	}
	close(fd);
	live_check(read(ready[0], &byte, 1) == 1);

	_cleanup_close_ int proc_fd = process_open_dir(pid);

	config.quotas = &quotas;
	live_check(warden_new(&config, &warden) == 0);
	for (int i = 0; i < 20000 && score != 250; i++) {
		usleep(1000);
		live_check(oom_score_read(proc_fd, &score) == 0);
	}
	live_check(score == 250);
	warden_free(warden);
	live_check(oom_score_read(proc_fd, &score) == 0 && score == 0);
	live_check(kill(pid, SIGKILL) == 0 && waitpid(pid, NULL, 0) == pid);
	tenant_unref(tenant);
	ledger_free(config.ledger);
	return 0;
}

static void an_ordinary_user_may_have_a_warden(void **state)
{
	assert_int_equal(cgroup_setup(state), 0);
	assert_int_equal(limit_set(NULL, 64 * MIB), 0);
	in_child(watch_as_a_user, NULL);
	assert_int_equal(cgroup_teardown(state), 0);
}

/* ---- Rest ---- */

static void a_warden_without_files_comes_and_goes(void **state)
{
	struct warden_fixture *fixture = fixture_new(OVERRUN_KILL);

	(void)state;
	fixture->ledger.quotas.oom_attribute = true;
	fixture_watch(fixture, getpid());
	warden_set_quotas(fixture->warden, &fixture->ledger.quotas);
	fixture_free(fixture);
	assert_null(warden_free(NULL));
}

static int become_subreaper(void **state)
{
	(void)state;
	return prctl(PR_SET_CHILD_SUBREAPER, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_warden_without_files_comes_and_goes),
		cmocka_unit_test(an_episode_is_said_once),
		cmocka_unit_test(the_hoarder_is_killed_and_not_its_neighbours),
		cmocka_unit_test(memory_that_is_shared_takes_all_who_share_it),
		cmocka_unit_test(who_was_sent_a_file_is_not_killed_for_it),
		cmocka_unit_test(nobody_outside_the_tree_is_killed),
		cmocka_unit_test(a_tenant_is_frozen_until_it_is_below),
		cmocka_unit_test(who_shares_our_group_is_denied_instead),
		cmocka_unit_test(holders_answer_to_the_oom_killer),
		cmocka_unit_test(an_ordinary_user_may_have_a_warden),
	};

	return cmocka_run_group_tests(tests, become_subreaper, NULL);
}
