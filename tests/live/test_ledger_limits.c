/* SPDX-License-Identifier: Apache-2.0 */

/* The ledger where the kernel gives up: lost reports, no more watches; and by several threads. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <sched.h>
#include <seccomp.h>
#include <stdatomic.h>
#include <sys/resource.h>

#include "live.h"
#include "ledger.h"

static int setup(void **state)
{
	static struct ledger_fixture fixture;

	fixture = (struct ledger_fixture){.quotas = ledger_quotas()};
	fixture_start(&fixture);
	*state = &fixture;
	return 0;
}

static int teardown(void **state)
{
	fixture_done(*state);
	return 0;
}

#define assert_files(fixture, count) \
	assert_int_equal(ledger_used((fixture)->tenant).memfds, (count))

/* ---- Reports that the kernel has lost ---- */

/* A process that has count files. It ends when the lifeline does, or is killed. */
static pid_t start_holder(struct tenant *tenant, enum store store, unsigned count)
{
	int *fds = calloc(count, sizeof(*fds));
	pid_t pid;

	assert_non_null(fds);
	for (unsigned i = 0; i < count; i++) {
		fds[i] = memfd_create(
			"held", MFD_CLOEXEC | (store == STORE_HUGETLB ? MFD_HUGETLB : 0));
		assert_return_code(fds[i], errno);
		ledger_enter(tenant, store, fds[i]);
	}
	pid = fork();
	assert_return_code(pid, errno);
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (;;)
			pause();
	}
	for (unsigned i = 0; i < count; i++)
		close(fds[i]);
	free(fds);
	return pid;
}

static uint64_t read_number(const char *path)
{
	char text[32] = "";

	assert_true(fd_read_file_at(AT_FDCWD, path, text, sizeof(text)) > 0);
	return strtoull(text, NULL, 10);
}

#define HOLDERS_MAX 200

/* Kills those who hold more files than there is room for reports, all but one file. */
static void lose_reports(struct ledger_fixture *fixture, enum store store, uint64_t count)
{
	int fd = memfd_create("kept", MFD_CLOEXEC | (store == STORE_HUGETLB ? MFD_HUGETLB : 0));
	pid_t holders[HOLDERS_MAX];
	unsigned started = 0;
	struct rlimit limit;

	assert_return_code(getrlimit(RLIMIT_NOFILE, &limit), errno);
	ledger_enter(fixture->tenant, store, fd);
	for (uint64_t left = count; left > 0; started++) {
		uint64_t some = left < limit.rlim_cur - 100 ? left : limit.rlim_cur - 100;

		assert_in_range(started, 0, HOLDERS_MAX - 1);
		holders[started] = start_holder(fixture->tenant, store, (unsigned)some);
		left -= some;
	}
	assert_files(fixture, count + 1);
	for (unsigned i = 0; i < started; i++) {
		assert_return_code(kill(holders[i], SIGKILL), errno);
		assert_int_equal(waitpid(holders[i], NULL, 0), holders[i]);
	}
	assert_files(fixture, 1);
	assert_int_equal(tenant_files(fixture->tenant, NULL, 0), 1);
	close(fd);
	assert_files(fixture, 0);
	close(ledger_memfd(fixture->tenant));
	assert_files(fixture, 0);
}

/* More than there is room for. */
static uint64_t count_to_lose(const char *queue, unsigned reports_each)
{
	return read_number(queue) / reports_each + 500;
}

#define INOTIFY_QUEUE  "/proc/sys/fs/inotify/max_queued_events"
#define FANOTIFY_QUEUE "/proc/sys/fs/fanotify/max_queued_events"

/* Two reports for each file. */
static void lost_reports_of_inotify(void **state)
{
	const uint64_t count = count_to_lose(INOTIFY_QUEUE, 2);
	int fd = memfd_create("huge", MFD_CLOEXEC | MFD_HUGETLB);

	if (fd < 0 || read_number("/proc/sys/fs/inotify/max_user_watches") < count + 100)
		live_skip("no huge pages, or too few watches of inotify for each user");
	close(fd);
	lose_reports(*state, STORE_HUGETLB, count);
}

/* As root the queue has no limit. */
static int lose_reports_of_fanotify(void)
{
	static struct ledger_fixture fixture;

	live_check(setresgid(LIVE_NOBODY, LIVE_NOBODY, LIVE_NOBODY) == 0);
	live_check(setresuid(LIVE_NOBODY, LIVE_NOBODY, LIVE_NOBODY) == 0);
	fixture.quotas = ledger_quotas();
	fixture_start(&fixture);
	lose_reports(&fixture, STORE_MEMFD, count_to_lose(FANOTIFY_QUEUE, 1));
	fixture_done(&fixture);
	return 0;
}

/* ---- Watches that there are no more of ---- */

#define MARKS   3
#define WATCHES 2

static void write_limit(const char *path, unsigned value)
{
	char text[16];

	snprintf(text, sizeof(text), "%u", value);
	live_write_file(path, text);
}

/* In a user namespace. The first are watched by fanotify, the next by inotify, and then there are
 * no more. */
static int reach_limits(void)
{
	static struct ledger_fixture fixture;
	const struct ledger_maker maker = {0};
	int fds[MARKS + WATCHES + 1];
	struct charge charge;

	write_limit("/proc/sys/user/max_fanotify_marks", MARKS);
	write_limit("/proc/sys/user/max_inotify_watches", WATCHES);
	fixture.quotas = ledger_quotas();
	fixture_start(&fixture);
	for (int i = 0; i < MARKS + WATCHES; i++)
		fds[i] = ledger_memfd(fixture.tenant);
	for (int i = 0; i < 100; i++) {
		int fd = memfd_create("x", MFD_CLOEXEC);

		assert_int_equal(
			charge_begin(&charge, fixture.tenant, STORE_MEMFD, false), QUOTA_NONE);
		assert_int_equal(charge_commit(&charge, fd, &maker), -ENOSPC);
		assert_non_null(charge.tenant);
		charge_done(&charge);
		/* Nor may a file grow that cannot be counted. */
		assert_int_equal(ledger_truncate(fixture.tenant, fd, MIB), QUOTA_SIZE);
		close(fd);
	}
	assert_files(&fixture, MARKS + WATCHES);
	close(fds[0]);
	fds[0] = ledger_memfd(fixture.tenant);
	close(fds[MARKS]);
	fds[MARKS] = ledger_memfd(fixture.tenant);
	for (int i = 0; i < MARKS + WATCHES; i++)
		close(fds[i]);
	assert_files(&fixture, 0);
	fixture_done(&fixture);
	return 0;
}

/* What is measured need not be watched: once gone, it cannot be opened. */
static int go_without_watches(void)
{
	static struct ledger_fixture fixture;
	int one, two;

	ledger_refuse(SCMP_SYS(fanotify_mark), ENOSPC);
	ledger_refuse(SCMP_SYS(inotify_add_watch), ENOSPC);
	fixture.quotas = ledger_quotas();
	fixture.quotas.limits[QUOTA_MEMFDS] = 2;
	fixture_start(&fixture);
	if (!ledger_can_measure(fixture.ledger)) {
		assert_false(live_must_run());
		return 0;
	}
	one = ledger_memfd(fixture.tenant);
	two = ledger_memfd(fixture.tenant);
	assert_int_equal(fixture.notices, 1);
	assert_int_equal(ledger_truncate(fixture.tenant, one, MIB), QUOTA_NONE);
	for (int i = 0; i < 1000; i++) {
		close(two);
		two = ledger_memfd(fixture.tenant);
	}
	close(one);
	assert_files(&fixture, 1);
	assert_int_equal(ledger_used(fixture.tenant).size, 0);
	close(two);
	ledger_sample(fixture.ledger, NULL);
	assert_true(ledger_is_empty(fixture.ledger));
	assert_int_equal(fixture.notices, 1);
	fixture_done(&fixture);
	return 0;
}

/* ---- Threads ---- */

static _Atomic bool stop;

static void *sample_all_the_time(void *argument)
{
	struct ledger *ledger = argument;

	while (!stop)
		ledger_sample(ledger, NULL);
	return NULL;
}

/* Whoever looks at a file holds it, for a moment: nobody may be refused because of that. */
static void sampling_keeps_nothing_alive(void **state)
{
	struct ledger_fixture *fixture = *state;
	pthread_t sampler;

	fixture->quotas.limits[QUOTA_MEMFDS] = 1;
	ledger_set_quotas(fixture->ledger, &fixture->quotas);
	stop = false;
	assert_int_equal(pthread_create(&sampler, NULL, sample_all_the_time, fixture->ledger), 0);
	for (int i = 0; i < 20000; i++)
		close(ledger_memfd(fixture->tenant));
	stop = true;
	assert_int_equal(pthread_join(sampler, NULL), 0);
	assert_files(fixture, 0);
}

#define ROUNDS 1500

/* In a thread cmocka's assertions must not be used. */
static void make_and_grow(struct ledger *ledger, unsigned round)
{
	const struct ledger_maker maker = {.name = "thread", .name_len = 6};
	int fd = memfd_create("thread", MFD_CLOEXEC);
	struct tenant *tenant;
	struct charge charge;
	struct growth growth;
	struct stat st;

	live_check(fd >= 0);
	live_check(tenant_get(ledger, round % 3 ? "tenant" : "other", &tenant) == 0);
	live_check(charge_begin(&charge, tenant, STORE_MEMFD, false) == QUOTA_NONE);
	if (round % 5)
		live_check(charge_commit(&charge, fd, &maker) == 0);
	charge_done(&charge);
	live_check(fstat(fd, &st) == 0);
	live_check(ledger_is_memfile(ledger, &st));
	live_check(growth_begin(&growth, tenant, fd, &st, round, 0, false) == QUOTA_NONE);
	live_check(ftruncate(fd, round) == 0);
	live_check(fstat(fd, &st) == 0);
	if (round % 2)
		growth_commit(&growth, &st);
	else
		growth_leave(&growth);
	growth_done(&growth);
	tenant_may_grow_unseen(tenant, round);
	close(fd);
	tenant_unref(tenant);
}

static void *make_many(void *argument)
{
	for (unsigned i = 0; i < ROUNDS; i++)
		make_and_grow(argument, i);
	return NULL;
}

static void look_at_tenant(struct tenant *tenant, void *userdata)
{
	static struct ledger_file files[8];
	struct tenant_use use;

	tenant_use(tenant, &use);
	tenant_files(tenant, files, 8);
	ledger_sample(userdata, tenant);
}

static void threads_agree(void **state)
{
	struct ledger_fixture *fixture = *state;
	pthread_t makers[2], sampler;

	stop = false;
	fixture->quotas.limits[QUOTA_SIZE] = 1024 * MIB;
	fixture->quotas.burst = 1;
	for (int i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&makers[i], NULL, make_many, fixture->ledger), 0);
	assert_int_equal(pthread_create(&sampler, NULL, sample_all_the_time, fixture->ledger), 0);
	for (int i = 0; i < 200; i++) {
		ledger_set_quotas(fixture->ledger, &fixture->quotas);
		ledger_each_tenant(fixture->ledger, look_at_tenant, fixture->ledger);
	}
	for (int i = 0; i < 2; i++)
		assert_int_equal(pthread_join(makers[i], NULL), 0);
	stop = true;
	assert_int_equal(pthread_join(sampler, NULL), 0);
	assert_files(fixture, 0);
	assert_int_equal(ledger_used(fixture->tenant).size, 0);
	assert_true(ledger_is_empty(fixture->ledger));
}

/* ---- In children, as they give up what they may do ---- */

static void lost_reports_of_fanotify(void **state)
{
	(void)state;
	live_require_root();
	if (read_number("/proc/sys/fs/fanotify/max_user_marks") <
		count_to_lose(FANOTIFY_QUEUE, 1) + 100)
		live_skip("too few marks of fanotify for each user");
	assert_int_equal(ledger_run_in_child(lose_reports_of_fanotify), 0);
}

static void limits_of_watches(void **state)
{
	(void)state;
	live_require_root();
	assert_int_equal(live_run_in(CLONE_NEWUSER, reach_limits), 0);
}

static void no_watches_at_all(void **state)
{
	(void)state;
	live_require_root();
	assert_int_equal(ledger_run_in_child(go_without_watches), 0);
}

#define test(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		test(lost_reports_of_inotify),
		cmocka_unit_test(lost_reports_of_fanotify),
		cmocka_unit_test(limits_of_watches),
		cmocka_unit_test(no_watches_at_all),
		test(sampling_keeps_nothing_alive),
		test(threads_agree),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
