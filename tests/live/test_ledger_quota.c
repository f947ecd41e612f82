/* SPDX-License-Identifier: Apache-2.0 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <linux/falloc.h>
#include <seccomp.h>

#include "live.h"
#include "ledger.h"
#include "kernel/tmpfs.h"

static bool is_pretending; /* that handles are not permitted */

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
	struct ledger_fixture *fixture = *state;

	assert_true(ledger_is_empty(fixture->ledger));
	assert_int_equal(ledger_used(fixture->tenant).memfds, 0);
	assert_int_equal(ledger_used(fixture->tenant).size, 0);
	assert_int_equal(ledger_used(fixture->tenant).hugetlb, 0);
	fixture_done(fixture);
	return 0;
}

static void set_limit(struct ledger_fixture *fixture, enum quota quota, uint64_t limit)
{
	fixture->quotas.limits[quota] = limit;
	ledger_set_quotas(fixture->ledger, &fixture->quotas);
}

static void write_pages(int fd, unsigned count)
{
	char page[4096] = {1};

	for (unsigned i = 0; i < count; i++)
		assert_int_equal(pwrite(fd, page, sizeof(page), i * sizeof(page)), sizeof(page));
}

static enum quota try_charge(struct tenant *tenant, enum store store)
{
	struct charge charge;
	enum quota quota = charge_begin(&charge, tenant, store, false);

	charge_done(&charge);
	return quota;
}

/* Without the privilege nothing can be, and there is no more to see. */
static bool can_measure(const struct ledger_fixture *fixture)
{
	if (ledger_can_measure(fixture->ledger))
		return true;
	assert_true(!live_must_run() || geteuid() != 0 || is_pretending);
	return false;
}

/* ---- Files ---- */

static void count_is_limited(void **state)
{
	struct ledger_fixture *fixture = *state;
	int one, two;

	set_limit(fixture, QUOTA_MEMFDS, 2);
	one = ledger_memfd(fixture->tenant);
	two = ledger_memfd(fixture->tenant);
	assert_int_equal(try_charge(fixture->tenant, STORE_MEMFD), QUOTA_MEMFDS);
	assert_int_equal(try_charge(fixture->tenant, STORE_HUGETLB), QUOTA_MEMFDS);
	assert_int_equal(ledger_used(fixture->tenant).refused[QUOTA_MEMFDS], 2);
	for (int i = 0; i < 1000; i++) {
		close(one);
		one = ledger_memfd(fixture->tenant);
	}
	close(one);
	close(two);
	assert_int_equal(ledger_used(fixture->tenant).peak_memfds, 2);
}

static void forced_charges_are_told_of(void **state)
{
	struct ledger_fixture *fixture = *state;
	struct charge charge;

	set_limit(fixture, QUOTA_MEMFDS, 0);
	assert_int_equal(charge_begin(&charge, fixture->tenant, STORE_MEMFD, true), QUOTA_MEMFDS);
	assert_int_equal(ledger_used(fixture->tenant).memfds, 1);
	charge_done(&charge);
	assert_int_equal(charge_begin(&charge, fixture->tenant, STORE_MEMFD, false), QUOTA_MEMFDS);
	assert_null(charge.tenant);
}

static void rate_is_limited(void **state)
{
	struct ledger_fixture *fixture = *state;
	struct charge charge;

	fixture->quotas.burst = 3;
	fixture->quotas.rate_period_s = 3600;
	set_limit(fixture, QUOTA_RATE, 1);
	assert_int_equal(try_charge(fixture->tenant, STORE_MEMFD), QUOTA_NONE);
	for (int i = 0; i < 3; i++)
		close(ledger_memfd(fixture->tenant));
	assert_int_equal(try_charge(fixture->tenant, STORE_MEMFD), QUOTA_RATE);
	/* Who comes back under the same name has not gained any. */
	tenant_unref(fixture->tenant);
	assert_int_equal(tenant_get(fixture->ledger, "tenant", &fixture->tenant), 0);
	assert_int_equal(try_charge(fixture->tenant, STORE_MEMFD), QUOTA_RATE);
	/* One that was forced took none, and so has none to give back. */
	assert_int_equal(charge_begin(&charge, fixture->tenant, STORE_MEMFD, true), QUOTA_RATE);
	charge_done(&charge);
	assert_int_equal(try_charge(fixture->tenant, STORE_MEMFD), QUOTA_RATE);
	set_limit(fixture, QUOTA_RATE, UINT64_C(1) << 62);
	usleep(1);
	assert_int_equal(try_charge(fixture->tenant, STORE_MEMFD), QUOTA_NONE);
	set_limit(fixture, QUOTA_RATE, QUOTA_UNLIMITED);
}

static void tokens_come_in_with_time(void **state)
{
	struct ledger_fixture *fixture = *state;
	unsigned made = 0;

	fixture->quotas.burst = 1;
	fixture->quotas.rate_period_s = 1;
	set_limit(fixture, QUOTA_RATE, 200);
	while (made < 5)
		if (try_charge(fixture->tenant, STORE_MEMFD) == QUOTA_NONE) {
			close(ledger_memfd(fixture->tenant));
			made++;
		}
	assert_int_equal(try_charge(fixture->tenant, STORE_MEMFD), QUOTA_RATE);
	set_limit(fixture, QUOTA_RATE, QUOTA_UNLIMITED);
}

/* ---- Sizes ---- */

static void sum_of_sizes_is_limited(void **state)
{
	struct ledger_fixture *fixture = *state;
	int one = ledger_memfd(fixture->tenant), two = ledger_memfd(fixture->tenant);

	set_limit(fixture, QUOTA_SIZE, 100 * KIB);
	assert_int_equal(ledger_truncate(fixture->tenant, one, 60 * KIB), QUOTA_NONE);
	assert_int_equal(ledger_truncate(fixture->tenant, two, 60 * KIB), QUOTA_SIZE);
	assert_int_equal(ledger_used(fixture->tenant).refused[QUOTA_SIZE], 1);
	assert_int_equal(ledger_truncate(fixture->tenant, two, UINT64_MAX), QUOTA_SIZE);
	assert_int_equal(ledger_truncate(fixture->tenant, two, 40 * KIB), QUOTA_NONE);
	assert_int_equal(try_charge(fixture->tenant, STORE_MEMFD), QUOTA_SIZE);
	assert_int_equal(try_charge(fixture->tenant, STORE_HUGETLB), QUOTA_NONE);
	assert_int_equal(ledger_truncate(fixture->tenant, one, 59 * KIB), QUOTA_NONE);
	assert_int_equal(ledger_used(fixture->tenant).size, 99 * KIB);
	assert_int_equal(try_charge(fixture->tenant, STORE_MEMFD), QUOTA_NONE);
	/* Not through us: seen when it matters. */
	assert_return_code(ftruncate(one, 0), errno);
	if (ledger_can_measure(fixture->ledger))
		assert_int_equal(ledger_truncate(fixture->tenant, two, 90 * KIB), QUOTA_NONE);
	close(one);
	assert_int_equal(ledger_truncate(fixture->tenant, two, 100 * KIB), QUOTA_NONE);
	assert_int_equal(ledger_used(fixture->tenant).peak_size, 100 * KIB);
	close(two);
}

static void one_file_is_limited(void **state)
{
	struct ledger_fixture *fixture = *state;
	struct growth growth;
	struct stat st;
	int fd = ledger_memfd(fixture->tenant);

	assert_int_equal(ledger_truncate(fixture->tenant, fd, 100 * KIB), QUOTA_NONE);
	set_limit(fixture, QUOTA_MEMFD_SIZE, 64 * KIB);
	assert_int_equal(ledger_truncate(fixture->tenant, fd, 101 * KIB), QUOTA_MEMFD_SIZE);
	assert_int_equal(ledger_truncate(fixture->tenant, fd, 99 * KIB), QUOTA_NONE);
	assert_int_equal(ledger_truncate(fixture->tenant, fd, 0), QUOTA_NONE);
	assert_int_equal(ledger_truncate(fixture->tenant, fd, 64 * KIB + 1), QUOTA_MEMFD_SIZE);
	/* Pages beyond its end are its as well. */
	assert_return_code(fstat(fd, &st), errno);
	assert_int_equal(growth_begin(&growth, fixture->tenant, fd, &st, 0, 64 * KIB + 4096, false),
		QUOTA_MEMFD_SIZE);
	growth_done(&growth);
	assert_int_equal(ledger_used(fixture->tenant).refused[QUOTA_MEMFD_SIZE], 3);
	assert_int_equal(ledger_truncate(fixture->tenant, fd, 64 * KIB), QUOTA_NONE);
	close(fd);
}

/* Sums that would wrap around at 2^64. */
static void sums_have_no_end(void **state)
{
	struct ledger_fixture *fixture = *state;
	int fds[5];

	for (int i = 0; i < 5; i++) {
		fds[i] = ledger_memfd(fixture->tenant);
		assert_int_equal(ledger_truncate(fixture->tenant, fds[i], INT64_MAX), QUOTA_NONE);
	}
	assert_int_equal(ledger_used(fixture->tenant).size, UINT64_MAX);
	set_limit(fixture, QUOTA_SIZE, UINT64_MAX - 1);
	assert_int_equal(try_charge(fixture->tenant, STORE_MEMFD), QUOTA_SIZE);
	for (int i = 0; i < 4; i++)
		close(fds[i]);
	assert_int_equal(ledger_used(fixture->tenant).size, INT64_MAX);
	close(fds[4]);
}

static void huge_pages_are_limited(void **state)
{
	struct ledger_fixture *fixture = *state;
	int fd = memfd_create("huge", MFD_CLOEXEC | MFD_HUGETLB);

	if (fd < 0)
		live_skip("no huge pages");
	set_limit(fixture, QUOTA_HUGETLB, 1024 * MIB);
	set_limit(fixture, QUOTA_SIZE, 0);
	ledger_enter(fixture->tenant, STORE_HUGETLB, fd);
	assert_int_equal(ledger_truncate(fixture->tenant, fd, 2048 * MIB), QUOTA_HUGETLB);
	assert_int_equal(ledger_truncate(fixture->tenant, fd, 1024 * MIB), QUOTA_NONE);
	assert_int_equal(try_charge(fixture->tenant, STORE_HUGETLB), QUOTA_HUGETLB);
	close(fd);
	assert_int_equal(try_charge(fixture->tenant, STORE_HUGETLB), QUOTA_NONE);
}

/* ---- Memory ---- */

static void resident_memory_is_limited(void **state)
{
	struct ledger_fixture *fixture = *state;
	_cleanup_close_ int fd = ledger_memfd(fixture->tenant);

	if (!can_measure(fixture))
		return;
	set_limit(fixture, QUOTA_RESIDENT, 64 * KIB);
	write_pages(fd, 16);
	ledger_sample(fixture->ledger, NULL);
	assert_int_equal(ledger_used(fixture->tenant).resident, 64 * KIB);
	assert_int_equal(try_charge(fixture->tenant, STORE_MEMFD), QUOTA_RESIDENT);
	assert_int_equal(try_charge(fixture->tenant, STORE_TMPFS), QUOTA_RESIDENT);
	assert_int_equal(try_charge(fixture->tenant, STORE_HUGETLB), QUOTA_NONE);
	/* What is given back counts before the next refusal. */
	assert_return_code(
		fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096), errno);
	assert_int_equal(try_charge(fixture->tenant, STORE_MEMFD), QUOTA_NONE);
	assert_int_equal(ledger_used(fixture->tenant).resident, 60 * KIB);
	assert_int_equal(ledger_used(fixture->tenant).peak_resident, 64 * KIB);
}

static void pages_asked_for_are_reserved(void **state)
{
	struct ledger_fixture *fixture = *state;
	_cleanup_close_ int fd = ledger_memfd(fixture->tenant);
	struct growth growth;
	struct stat st;

	if (!can_measure(fixture))
		return;
	set_limit(fixture, QUOTA_RESIDENT, 64 * KIB);
	assert_return_code(fstat(fd, &st), errno);
	assert_int_equal(growth_begin(&growth, fixture->tenant, fd, &st, 0, 65 * KIB, false),
		QUOTA_RESIDENT);
	assert_null(growth.ledger);
	assert_int_equal(
		growth_begin(&growth, fixture->tenant, fd, &st, 0, 65 * KIB, true), QUOTA_RESIDENT);
	assert_int_equal(ledger_used(fixture->tenant).resident, 65 * KIB);
	growth_done(&growth);
	assert_int_equal(growth_begin(&growth, fixture->tenant, fd, &st, 32 * KIB, 32 * KIB, false),
		QUOTA_NONE);
	growth_leave(&growth);
	growth_done(&growth);
	assert_int_equal(ledger_used(fixture->tenant).resident, 32 * KIB);
	assert_int_equal(ledger_used(fixture->tenant).size, 32 * KIB);
	/* The next one may be faster, or both slow. */
	assert_int_equal(growth_begin(&growth, fixture->tenant, fd, &st, 32 * KIB, 16 * KIB, false),
		QUOTA_NONE);
	growth_leave(&growth);
	assert_int_equal(ledger_used(fixture->tenant).resident, 48 * KIB);
	/* It never happened. */
	ledger_sample(fixture->ledger, fixture->tenant);
	assert_int_equal(ledger_used(fixture->tenant).resident, 0);
	assert_int_equal(ledger_used(fixture->tenant).size, 0);
}

static void tmpfs_gets_what_is_left(void **state)
{
	struct ledger_fixture *fixture = *state;
	char page[4096] = {1};
	struct tmpfs *tmpfs;
	int fd, other;

	set_limit(fixture, QUOTA_RESIDENT, 64 * KIB);
	if (!can_measure(fixture))
		return;
	if (tenant_tmpfs(fixture->tenant, &tmpfs) < 0)
		live_skip("no tmpfs can be mounted");
	other = ledger_memfd(fixture->tenant);
	write_pages(other, 8);
	ledger_sample(fixture->ledger, NULL);
	fd = tmpfs_create(tmpfs, "memfd:x", false);
	assert_return_code(fd, errno);
	ledger_enter(fixture->tenant, STORE_TMPFS, fd);
	write_pages(fd, 8);
	assert_int_equal(pwrite(fd, page, sizeof(page), 8 * 4096), -1);
	assert_int_equal(errno, ENOSPC);
	assert_int_equal(ledger_used(fixture->tenant).resident, 64 * KIB);
	assert_int_equal(try_charge(fixture->tenant, STORE_MEMFD), QUOTA_RESIDENT);
	/* It has what others give back, and what a new policy gives. */
	assert_return_code(ftruncate(other, 4 * 4096), errno);
	ledger_sample(fixture->ledger, fixture->tenant);
	write_pages(fd, 12);
	assert_int_equal(pwrite(fd, page, sizeof(page), 12 * 4096), -1);
	set_limit(fixture, QUOTA_RESIDENT, 68 * KIB);
	write_pages(fd, 13);
	set_limit(fixture, QUOTA_RESIDENT, QUOTA_UNLIMITED);
	write_pages(fd, 100);
	close(fd);
	close(other);
	assert_int_equal(ledger_used(fixture->tenant).resident, 0);
}

/* ---- The spill directory ---- */

static void spill_directory_is_one_for_all(void **state)
{
	struct ledger_fixture *fixture = *state;
	struct tenant *other;
	int fd = open("/tmp", O_TMPFILE | O_EXCL | O_RDWR | O_CLOEXEC, 0600);

	if (fd < 0)
		live_skip("no files without a name in /tmp");
	fixture->quotas.spill_directory = "/tmp";
	fixture->quotas.spills = 1U << QUOTA_SIZE;
	set_limit(fixture, QUOTA_SPILL, MIB);
	set_limit(fixture, QUOTA_SIZE, 0);
	assert_int_equal(try_charge(fixture->tenant, STORE_MEMFD), QUOTA_SIZE);
	assert_int_equal(ledger_used(fixture->tenant).refused[QUOTA_SIZE], 0);
	ledger_enter(fixture->tenant, STORE_DISK, fd);
	assert_int_equal(ledger_used(fixture->tenant).spilled, 1);
	assert_int_equal(ledger_truncate(fixture->tenant, fd, 2 * MIB), QUOTA_SPILL);
	assert_int_equal(ledger_truncate(fixture->tenant, fd, MIB), QUOTA_NONE);
	assert_int_equal(tenant_get(fixture->ledger, "other", &other), 0);
	assert_int_equal(try_charge(other, STORE_DISK), QUOTA_SPILL);
	assert_int_equal(ledger_used(other).refused[QUOTA_SPILL], 1);
	close(fd);
	assert_int_equal(try_charge(other, STORE_DISK), QUOTA_NONE);
	tenant_unref(other);
}

/* ---- Files from elsewhere ---- */

static void unknown_files_are_adopted(void **state)
{
	struct ledger_fixture *fixture = *state;
	int fd = memfd_create("native", MFD_CLOEXEC);
	struct tenant *other;

	fixture->quotas.burst = 1;
	fixture->quotas.rate_period_s = 3600;
	set_limit(fixture, QUOTA_RATE, 1);
	set_limit(fixture, QUOTA_SIZE, 100 * KIB);
	assert_int_equal(tenant_get(fixture->ledger, "other", &other), 0);
	assert_return_code(ftruncate(fd, 50 * KIB), errno);
	assert_int_equal(ledger_truncate(fixture->tenant, fd, 60 * KIB), QUOTA_NONE);
	assert_int_equal(ledger_used(fixture->tenant).memfds, 1);
	assert_int_equal(ledger_used(fixture->tenant).size, 60 * KIB);
	/* Whoever makes it larger, it is its tenant's. */
	assert_int_equal(ledger_truncate(other, fd, 101 * KIB), QUOTA_SIZE);
	assert_int_equal(ledger_truncate(other, fd, 70 * KIB), QUOTA_NONE);
	assert_int_equal(ledger_used(other).memfds, 0);
	assert_int_equal(ledger_used(fixture->tenant).size, 70 * KIB);
	assert_int_equal(ledger_used(fixture->tenant).refused[QUOTA_SIZE], 1);
	assert_int_equal(try_charge(fixture->tenant, STORE_MEMFD), QUOTA_NONE);
	close(fd);
	tenant_unref(other);
	set_limit(fixture, QUOTA_RATE, QUOTA_UNLIMITED);
}

static void other_files_are_nobodys(void **state)
{
	struct ledger_fixture *fixture = *state;
	int fd = open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	struct stat st;

	if (fd < 0)
		live_skip("no files without a name in /tmp");
	assert_return_code(fstat(fd, &st), errno);
	assert_false(ledger_is_memfile(fixture->ledger, &st));
	set_limit(fixture, QUOTA_SIZE, 0);
	assert_int_equal(ledger_truncate(fixture->tenant, fd, MIB), QUOTA_NONE);
	assert_int_equal(ledger_used(fixture->tenant).memfds, 0);
	close(fd);
}

/* Sizes stand for memory then, and one notice says so. */
static void sizes_stand_for_memory(void **state)
{
	struct ledger_fixture *fixture = *state;
	int one = ledger_memfd(fixture->tenant), two = ledger_memfd(fixture->tenant);

	if (ledger_can_measure(fixture->ledger)) {
		assert_int_equal(fixture->notices, 0);
	} else {
		assert_int_equal(fixture->notices, 1);
		set_limit(fixture, QUOTA_RESIDENT, 64 * KIB);
		assert_int_equal(ledger_truncate(fixture->tenant, one, 60 * KIB), QUOTA_NONE);
		assert_int_equal(ledger_truncate(fixture->tenant, two, 8 * KIB), QUOTA_RESIDENT);
		assert_int_equal(ledger_used(fixture->tenant).resident, 60 * KIB);
	}
	close(one);
	close(two);
}

static void unseen_resizes_add_up(void **state)
{
	struct ledger_fixture *fixture = *state;

	/* What can be found out is forgotten by the next sample. */
	if (ledger_can_measure(fixture->ledger))
		assert_true(tenant_may_grow_unseen(fixture->tenant, UINT64_MAX));
	ledger_sample(fixture->ledger, NULL);
	set_limit(fixture, QUOTA_SIZE, 100 * KIB);
	assert_true(tenant_may_grow_unseen(fixture->tenant, 60 * KIB));
	assert_false(tenant_may_grow_unseen(fixture->tenant, 60 * KIB));
	assert_true(tenant_may_grow_unseen(fixture->tenant, 40 * KIB));
	assert_false(tenant_may_grow_unseen(fixture->tenant, 1));
	ledger_sample(fixture->ledger, NULL);
	assert_int_equal(tenant_may_grow_unseen(fixture->tenant, 100 * KIB),
		ledger_can_measure(fixture->ledger));
	set_limit(fixture, QUOTA_MEMFD_SIZE, KIB);
	assert_false(tenant_may_grow_unseen(fixture->tenant, KIB + 1));
}

/* ---- Tenants ---- */

static void count_tenant(struct tenant *tenant, void *userdata)
{
	assert_non_null(tenant_name(tenant));
	++*(unsigned *)userdata;
}

static void tenants_come_and_go(void **state)
{
	struct ledger_fixture *fixture = *state;
	struct tenant *tenants[40];
	unsigned count = 0;
	char name[2 * POLICY_TENANT_MAX];
	int fd;

	for (int i = 0; i < 40; i++) {
		snprintf(name, sizeof(name), "tenant %d", i);
		assert_int_equal(tenant_get(fixture->ledger, name, &tenants[i]), 0);
		assert_string_equal(tenant_name(tenants[i]), name);
	}
	ledger_each_tenant(fixture->ledger, count_tenant, &count);
	assert_int_equal(count, 41);
	fd = ledger_memfd(tenants[39]);
	for (int i = 0; i < 40; i++)
		tenant_unref(tenants[i]);
	/* One has a file. */
	count = 0;
	ledger_each_tenant(fixture->ledger, count_tenant, &count);
	assert_int_equal(count, 2);
	assert_int_equal(tenant_get(fixture->ledger, "tenant 39", &tenants[0]), 0);
	assert_int_equal(ledger_used(tenants[0]).memfds, 1);
	tenant_unref(tenants[0]);
	close(fd);
	assert_true(ledger_is_empty(fixture->ledger));
	count = 0;
	ledger_each_tenant(fixture->ledger, count_tenant, &count);
	assert_int_equal(count, 1);
	memset(name, 'x', sizeof(name));
	name[sizeof(name) - 1] = '\0';
	assert_int_equal(tenant_get(fixture->ledger, name, &tenants[0]), 0);
	name[POLICY_TENANT_MAX] = 'y';
	assert_int_equal(tenant_get(fixture->ledger, name, &tenants[1]), 0);
	assert_ptr_equal(tenants[0], tenants[1]);
	assert_int_equal(strlen(tenant_name(tenants[0])), POLICY_TENANT_MAX - 1);
	tenant_unref(tenants[0]);
	tenant_unref(tenants[1]);
}

#define test(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

static int run_all(void)
{
	const struct CMUnitTest tests[] = {
		test(count_is_limited),
		test(forced_charges_are_told_of),
		test(rate_is_limited),
		test(tokens_come_in_with_time),
		test(sum_of_sizes_is_limited),
		test(one_file_is_limited),
		test(sums_have_no_end),
		test(huge_pages_are_limited),
		test(resident_memory_is_limited),
		test(pages_asked_for_are_reserved),
		test(tmpfs_gets_what_is_left),
		test(spill_directory_is_one_for_all),
		test(unknown_files_are_adopted),
		test(other_files_are_nobodys),
		test(sizes_stand_for_memory),
		test(unseen_resizes_add_up),
		test(tenants_come_and_go),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

static int run_without_handles(void)
{
	ledger_refuse(SCMP_SYS(open_by_handle_at), EPERM);
	is_pretending = true;
	print_message("Without open_by_handle_at(2):\n");
	return run_all();
}

int main(void)
{
	int failed = run_all();

	return geteuid() == 0 ? failed | ledger_run_in_child(run_without_handles) : failed;
}
