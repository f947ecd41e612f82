/* SPDX-License-Identifier: Apache-2.0 */

/* Limits as a tenant meets them. */

#include "live_quota.h"

#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/vfs.h>

/* In the tenant: until a new file is refused, as what is held is measured now and then. */
static bool is_refused_soon(unsigned flags)
{
	for (int i = 0; i < 500; i++) {
		int fd = memfd_create("another", flags);

		if (fd < 0)
			return errno == ENOSPC;
		close(fd);
		usleep(10000);
	}
	return false;
}

static int make_three(void *unused)
{
	int fds[3];

	(void)unused;
	for (int round = 0; round < 100; round++) {
		for (int i = 0; i < 3; i++)
			fds[i] = memfd_create("x", i % 2 ? MFD_ALLOW_SEALING : 0);
		live_check(fds[0] >= 0 && fds[1] >= 0);
		live_check(fds[2] == -1 && errno == ENFILE);
		/* The very next call finds the room that this close made. */
		close(fds[0]);
		live_check((fds[0] = memfd_create("y", 0)) >= 0);
		close(fds[0]);
		close(fds[1]);
	}
	return 0;
}

static void test_count(void **state)
{
	(void)state;
	assert_int_equal(play("version: 1\nbudget: {tenant: {memfds: 2}}\n", make_three), 0);
	assert_string_equal(event_with(ENFILE)->rule, "budget");
	assert_non_null(strstr(event_with(ENFILE)->reason, "budget.tenant.memfds"));
}

static int make_at_a_rate(void *unused)
{
	int made = 0, refused = 0;

	(void)unused;
	for (int i = 0; i < 40; i++) {
		int fd = memfd_create("x", 0);

		if (fd >= 0)
			made++;
		else if (errno == EAGAIN)
			refused++;
		close(fd);
	}
	return made >= 5 && refused >= 30 ? 0 : 1;
}

static void test_rate(void **state)
{
	(void)state;
	assert_int_equal(
		play("version: 1\nbudget: {tenant: {rate: 1/min, burst: 5}}\n", make_at_a_rate), 0);
	assert_non_null(strstr(event_with(EAGAIN)->reason, "rate"));
}

static int grow_too_far(void *unused)
{
	(void)unused;
	for (int sealing = 0; sealing < 2; sealing++) {
		int fd = memfd_create("x", sealing ? MFD_ALLOW_SEALING : 0);
		struct stat st;

		live_check(fd >= 0);
		live_check(ftruncate(fd, 4 << 20) == 0);
		live_check(ftruncate(fd, (4 << 20) + 1) == -1 && errno == EFBIG);
		live_check(fallocate(fd, 0, 4 << 20, 4096) == -1 && errno == EFBIG);
		live_check(fallocate(fd, 0, 0, 4096) == 0);
		live_check(fstat(fd, &st) == 0 && st.st_size == 4 << 20);
		live_check(ftruncate(fd, 0) == 0);
		close(fd);
	}
	return 0;
}

static void test_size_of_one_file(void **state)
{
	const struct event *event;

	(void)state;
	assert_int_equal(play("version: 1\nbudget: {memfd: {size: 4MiB}}\n", grow_too_far), 0);
	event = event_with(EFBIG);
	assert_int_equal(event->call, CALL_FALLOCATE);
	assert_int_equal(event->size, (4 << 20) + 4096);
}

static int grow_together(void *unused)
{
	int a = memfd_create("a", 0), b = memfd_create("b", MFD_ALLOW_SEALING);

	(void)unused;
	live_check(ftruncate(a, 6 << 20) == 0);
	live_check(ftruncate(b, 6 << 20) == -1 && errno == ENOSPC);
	live_check(ftruncate(b, 2 << 20) == 0);
	close(a);
	live_check(ftruncate(b, 8 << 20) == 0);
	return 0;
}

static void test_sum_of_sizes(void **state)
{
	(void)state;
	assert_int_equal(play("version: 1\nbudget: {tenant: {size: 8MiB}}\n", grow_together), 0);
	assert_int_equal(event_with(ENOSPC)->call, CALL_FTRUNCATE);
}

/* Writes up to this many MiB. Returns how many there was room for. */
static int write_mib(int fd, int count)
{
	static char block[1 << 20];
	int done = 0;

	memset(block, 'x', sizeof(block));
	while (done < count && write(fd, block, sizeof(block)) == (ssize_t)sizeof(block))
		done++;
	return done;
}

static int fill_the_tmpfs(void *unused)
{
	int fd = memfd_create("unsealable", 0);
	struct statfs fs;

	(void)unused;
	live_check(fd >= 0 && fstatfs(fd, &fs) == 0);
	if (fs.f_blocks == 0)
		return LIVE_EXIT_SKIP; /* no tmpfs here: a memfd */
	live_check(fcntl(fd, F_GET_SEALS) == F_SEAL_SEAL);
	live_check(write_mib(fd, 12) == 8 && errno == ENOSPC);
	live_check(is_refused_soon(0) && is_refused_soon(MFD_ALLOW_SEALING));
	live_check(ftruncate(fd, 0) == 0);
	live_check(memfd_create("another", MFD_ALLOW_SEALING) >= 0);
	tenant_wait();
	live_check(write_mib(fd, 12) == 4 && errno == ENOSPC);
	return 0;
}

static void test_resident_by_the_kernel(void **state)
{
	struct policy *policy = policy_from("version: 1\nbudget: {tenant: {resident: 4MiB}}\n");
	const char *why;

	(void)state;
	scene_start("version: 1\nbudget: {tenant: {resident: 8MiB}}\n", fill_the_tmpfs, NULL);
	test_awaits_tenant();
	assert_int_equal(domain_set_policy(scene.domain, policy, &why), 0);
	policy_unref(policy);
	test_lets_tenant_go_on();

	int status = scene_end();

	if (status == LIVE_EXIT_SKIP)
		live_skip("no tmpfs can be made here");
	assert_int_equal(status, 0);
	assert_int_equal(scene.events[0].backing, BACKING_TMPFS);
	assert_non_null(strstr(event_with(ENOSPC)->reason, "budget.tenant.resident"));
}

static int fill_a_memfd(void *unused)
{
	int fd = memfd_create("sealable", MFD_ALLOW_SEALING);

	(void)unused;
	live_check(write_mib(fd, 12) == 12);
	live_check(is_refused_soon(MFD_ALLOW_SEALING));
	live_check(ftruncate(fd, 4096) == 0);
	live_check(memfd_create("another", MFD_ALLOW_SEALING) >= 0);
	return 0;
}

/* Growth by write(2) notifies nobody, so it is measured before a refusal. */
static void test_resident_by_measuring(void **state)
{
	(void)state;
	live_require_root();
	assert_int_equal(play("version: 1\nbudget: {tenant: {resident: 8MiB}}\n", fill_a_memfd), 0);
}

static int spill(void *unused)
{
	int memory = memfd_create("a", 0), disk, refused;
	struct stat a, b;

	(void)unused;
	live_check(memory >= 0 && write_mib(memory, 8) == 8);
	live_check(is_refused_soon(MFD_ALLOW_SEALING));
	live_check((disk = memfd_create("b", MFD_CLOEXEC)) >= 0);
	live_check(fstat(memory, &a) == 0 && fstat(disk, &b) == 0 && a.st_dev != b.st_dev);
	live_check(b.st_nlink == 0 && (b.st_mode & 07777) == 0777 && b.st_uid == geteuid());
	live_check(fcntl(disk, F_GETFD) == FD_CLOEXEC);
	live_check(write_mib(disk, 4) == 4);
	refused = memfd_create("c", MFD_ALLOW_SEALING);
	live_check(refused == -1 && errno == ENOSPC);
	live_check(ftruncate(disk, 17 << 20) == -1 && errno == ENOSPC);
	live_check(ftruncate(disk, 15 << 20) == 0);
	return 0;
}

static void test_spill(void **state)
{
	size_t spilled = 0;

	(void)state;
	assert_int_equal(play("version: 1\n"
			      "budget:\n"
			      "  tenant: {resident: 8MiB}\n"
			      "  exceeded: spill\n"
			      "  spill: {directory: /var/tmp, size: 16MiB}\n",
				 spill),
		0);
	for (size_t i = 0; i < atomic_load(&scene.count); i++)
		if (scene.events[i].backing == BACKING_DISK) {
			assert_memory_equal(scene.events[i].reason, "spilled", 7);
			spilled++;
		}
	assert_int_equal(spilled, 1);
}

static int make_as_two_users(void *unused)
{
	int fd = memfd_create("x", 0);

	(void)unused;
	live_check(fd >= 0);
	live_check(memfd_create("x", 0) == -1 && errno == ENFILE);
	live_check(setresuid(12345, 12345, 12345) == 0);
	live_check(memfd_create("x", 0) >= 0);
	return 0;
}

static void test_tenant_by_uid(void **state)
{
	(void)state;
	live_require_root();
	assert_int_equal(
		play("version: 1\ntenant: uid\nbudget: {tenant: {memfds: 1}}\n", make_as_two_users),
		0);
	assert_string_equal(scene.events[0].tenant, "uid-0");
	assert_string_equal(scene.events[atomic_load(&scene.count) - 1].tenant, "uid-12345");
}

static int ask_for_huge_pages(void *unused)
{
	int fd;

	(void)unused;
	fd = memfd_create("huge", MFD_HUGETLB | MFD_HUGE_2MB);
	if (fd < 0)
		return errno == ENODEV ? LIVE_EXIT_SKIP : errno;
	live_check(ftruncate(fd, 2 << 20) == 0);
	live_check(ftruncate(fd, 4 << 20) == -1 && errno == ENOMEM);
	return 0;
}

static void test_huge_pages(void **state)
{
	int status;

	(void)state;
	status = play("version: 1\nbudget: {tenant: {hugetlb: 3MiB}}\n", ask_for_huge_pages);
	if (status == LIVE_EXIT_SKIP)
		live_skip("no huge pages of 2 MiB here");
	assert_int_equal(status, 0);
	assert_non_null(strstr(event_with(ENOMEM)->reason, "huge"));
}

static int run_out_of_descriptors(void *unused)
{
	const struct rlimit limit = {.rlim_cur = 64, .rlim_max = 64};

	(void)unused;
	live_check(setrlimit(RLIMIT_NOFILE, &limit) == 0);
	while (dup(0) >= 0)
		continue;
	for (int i = 0; i < 200; i++)
		live_check(
			memfd_create("x", i % 2 ? MFD_ALLOW_SEALING : 0) == -1 && errno == EMFILE);
	close(63);
	live_check(memfd_create("x", 0) == 63);
	close(63);
	live_check(memfd_create("x", MFD_ALLOW_SEALING) == 63);
	return 0;
}

/* What could not be injected was never there. */
static void test_failed_injections_are_given_back(void **state)
{
	(void)state;
	assert_int_equal(
		play("version: 1\nbudget: {tenant: {memfds: 1, size: 1MiB, resident: 1MiB, "
		     "rate: 300/h, burst: 2}}\n",
			run_out_of_descriptors),
		0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_count),
		cmocka_unit_test(test_rate),
		cmocka_unit_test(test_size_of_one_file),
		cmocka_unit_test(test_sum_of_sizes),
		cmocka_unit_test(test_resident_by_the_kernel),
		cmocka_unit_test(test_resident_by_measuring),
		cmocka_unit_test(test_spill),
		cmocka_unit_test(test_tenant_by_uid),
		cmocka_unit_test(test_huge_pages),
		cmocka_unit_test(test_failed_injections_are_given_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
