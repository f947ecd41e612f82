/* SPDX-License-Identifier: Apache-2.0 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "live.h"
#include <seccomp.h>
#include <sys/resource.h>

#include "ledger.h"
#include "kernel/tmpfs.h"

/* ---- Every way in which a reference ends ---- */

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

static void gone_with_the_last_descriptor(void **state)
{
	struct ledger_fixture *fixture = *state;
	int fd = ledger_memfd(fixture->tenant);
	int copy = dup(fd);

	assert_files(fixture, 1);
	assert_false(ledger_is_empty(fixture->ledger));
	close(fd);
	assert_files(fixture, 1);
	close(copy);
	assert_files(fixture, 0);
	assert_true(ledger_is_empty(fixture->ledger));
}

static void gone_with_the_last_mapping(void **state)
{
	struct ledger_fixture *fixture = *state;
	int fd = ledger_memfd(fixture->tenant);
	char *bytes;

	assert_int_equal(ledger_truncate(fixture->tenant, fd, 64 * KIB), QUOTA_NONE);
	bytes = mmap(NULL, 64 * KIB, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_ptr_not_equal(bytes, MAP_FAILED);
	bytes[5000] = 1;
	close(fd);
	assert_int_equal(ledger_used(fixture->tenant).size, 64 * KIB);
	ledger_sample(fixture->ledger, NULL);
	/* What cannot be measured may be all there. */
	assert_int_equal(ledger_used(fixture->tenant).resident,
		ledger_can_measure(fixture->ledger) ? 4 * KIB : 64 * KIB);
	munmap(bytes, 32 * KIB);
	assert_files(fixture, 1);
	munmap(bytes + 32 * KIB, 32 * KIB);
	assert_files(fixture, 0);
	assert_int_equal(ledger_used(fixture->tenant).size, 0);
	assert_int_equal(ledger_used(fixture->tenant).resident, 0);
}

static void gone_with_a_killed_process(void **state)
{
	struct ledger_fixture *fixture = *state;
	int fd = ledger_memfd(fixture->tenant);
	pid_t pid = fork();

	if (pid == 0)
		for (;;)
			pause();
	assert_return_code(pid, errno);
	close(fd);
	assert_files(fixture, 1);
	assert_return_code(kill(pid, SIGKILL), errno);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_files(fixture, 0);
}

static void gone_when_received_and_closed(void **state)
{
	struct ledger_fixture *fixture = *state;
	int fd = ledger_memfd(fixture->tenant);
	int sock[2], received;
	char kind;

	assert_return_code(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sock), errno);
	assert_int_equal(message_send_fd(sock[0], 'F', fd), 0);
	close(fd);
	assert_files(fixture, 1);
	assert_int_equal(message_receive_fd(sock[1], &kind, &received), 0);
	assert_files(fixture, 1);
	close(received);
	assert_files(fixture, 0);
	close(sock[0]);
	close(sock[1]);
}

static void gone_with_the_socket_it_is_in(void **state)
{
	struct ledger_fixture *fixture = *state;
	int fd = ledger_memfd(fixture->tenant);
	int sock[2];

	assert_return_code(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sock), errno);
	assert_int_equal(message_send_fd(sock[0], 'F', fd), 0);
	close(fd);
	close(sock[0]);
	assert_files(fixture, 1);
	close(sock[1]);
	assert_files(fixture, 0);
}

/* What is in the queue of a socket that is in its own queue is found by the kernel's collector. */
static void gone_with_a_cycle_of_sockets(void **state)
{
	struct ledger_fixture *fixture = *state;
	int fd = ledger_memfd(fixture->tenant);
	int one[2], other[2];

	assert_return_code(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, one), errno);
	assert_return_code(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, other), errno);
	assert_int_equal(message_send_fd(one[0], 'F', fd), 0);
	assert_int_equal(message_send_fd(one[0], 'S', other[0]), 0);
	assert_int_equal(message_send_fd(other[1], 'S', one[1]), 0);
	close(fd);
	for (int i = 0; i < 2; i++) {
		close(one[i]);
		close(other[i]);
	}
	/* It runs when it likes; the end of a socket wakes it. */
	for (int i = 0; i < 1000 && ledger_used(fixture->tenant).memfds > 0; i++) {
		assert_return_code(socketpair(AF_UNIX, SOCK_STREAM, 0, one), errno);
		close(one[0]);
		close(one[1]);
		usleep(10000);
	}
	assert_files(fixture, 0);
}

/* As many as one message takes. */
#define FLIGHT 250

static void send_many(struct tenant *tenant, int sock)
{
	union {
		struct cmsghdr header;
		char room[CMSG_SPACE(FLIGHT * sizeof(int))];
	} control = {.header = {.cmsg_level = SOL_SOCKET,
			     .cmsg_type = SCM_RIGHTS,
			     .cmsg_len = CMSG_LEN(FLIGHT * sizeof(int))}};
	struct iovec iov = {.iov_base = &(char){'F'}, .iov_len = 1};
	const struct msghdr message = {.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control)};
	int fds[FLIGHT];

	for (int i = 0; i < FLIGHT; i++)
		fds[i] = ledger_memfd(tenant);
	memcpy(CMSG_DATA(&control.header), fds, sizeof(fds));
	assert_int_equal(sendmsg(sock, &message, 0), 1);
	for (int i = 0; i < FLIGHT; i++)
		close(fds[i]);
}

static void thousands_in_flight(void **state)
{
	struct ledger_fixture *fixture = *state;
	uint64_t messages = 10000 / FLIGHT;
	struct rlimit limit;
	int sock[2];

	/* Nobody may have more in flight than open, unless privileged. */
	assert_return_code(getrlimit(RLIMIT_NOFILE, &limit), errno);
	limit.rlim_cur = limit.rlim_max;
	assert_return_code(setrlimit(RLIMIT_NOFILE, &limit), errno);
	if (limit.rlim_cur < 10000 + 2 * FLIGHT)
		messages = limit.rlim_cur / FLIGHT - 2;
	assert_return_code(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sock), errno);
	for (uint64_t i = 0; i < messages; i++)
		send_many(fixture->tenant, sock[0]);
	assert_files(fixture, messages * FLIGHT);
	close(sock[0]);
	ledger_sample(fixture->ledger, NULL);
	assert_files(fixture, messages * FLIGHT);
	close(sock[1]);
	assert_files(fixture, 0);
	assert_int_equal(ledger_used(fixture->tenant).peak_memfds, messages * FLIGHT);
}

static void never_given_out(void **state)
{
	struct ledger_fixture *fixture = *state;
	struct charge charge = {0};
	struct growth growth = {0};

	charge_done(&charge);
	growth_done(&growth);
	growth_leave(&growth);
	growth_commit(&growth, NULL);
	assert_int_equal(charge_commit(&charge, -1, NULL), 0);
	assert_int_equal(charge_begin(&charge, fixture->tenant, STORE_MEMFD, false), QUOTA_NONE);
	assert_files(fixture, 1);
	charge_done(&charge);
	charge_done(&charge);
	assert_files(fixture, 0);
	close(ledger_memfd(fixture->tenant));
	assert_files(fixture, 0);
}

/* ---- Every store ---- */

static void files_of_huge_pages(void **state)
{
	struct ledger_fixture *fixture = *state;
	int fd = memfd_create("huge", MFD_CLOEXEC | MFD_HUGETLB);
	struct stat st;

	if (fd < 0)
		live_skip("no huge pages");
	assert_return_code(fstat(fd, &st), errno);
	assert_true(ledger_is_memfile(fixture->ledger, &st));
	ledger_enter(fixture->tenant, STORE_HUGETLB, fd);
	assert_int_equal(ledger_truncate(fixture->tenant, fd, 1024 * MIB), QUOTA_NONE);
	ledger_sample(fixture->ledger, fixture->tenant);
	assert_int_equal(ledger_used(fixture->tenant).hugetlb, 1024 * MIB);
	assert_int_equal(ledger_used(fixture->tenant).size, 0);
	assert_int_equal(ledger_used(fixture->tenant).resident, 0);
	assert_files(fixture, 1);
	close(fd);
	assert_files(fixture, 0);
	assert_int_equal(ledger_used(fixture->tenant).hugetlb, 0);
}

static void files_on_the_tenants_tmpfs(void **state)
{
	struct ledger_fixture *fixture = *state;
	struct tmpfs *tmpfs, *again;
	char page[4096] = {1};
	struct stat st;
	int fd;

	if (tenant_tmpfs(fixture->tenant, &tmpfs) < 0) {
		assert_int_equal(fixture->notices, 1);
		if (geteuid() == 0)
			live_skip("no tmpfs can be mounted");
		return;
	}
	assert_int_equal(tenant_tmpfs(fixture->tenant, &again), 0);
	assert_ptr_equal(again, tmpfs);
	fd = tmpfs_create(tmpfs, "memfd:a/b", false);
	assert_return_code(fd, errno);
	ledger_enter(fixture->tenant, STORE_TMPFS, fd);
	assert_return_code(fstat(fd, &st), errno);
	assert_true(ledger_is_memfile(fixture->ledger, &st));
	assert_int_equal(ledger_truncate(fixture->tenant, fd, MIB), QUOTA_NONE);
	for (int i = 0; i < 3; i++)
		assert_int_equal(pwrite(fd, page, sizeof(page), i * 8192), sizeof(page));
	assert_int_equal(ledger_used(fixture->tenant).size, MIB);
	assert_int_equal(ledger_used(fixture->tenant).resident, 12 * KIB);
	close(fd);
	assert_files(fixture, 0);
	assert_int_equal(ledger_used(fixture->tenant).resident, 0);
}

static void files_on_a_disk(void **state)
{
	struct ledger_fixture *fixture = *state;
	int fd = open("/tmp", O_TMPFILE | O_EXCL | O_RDWR | O_CLOEXEC, 0600);
	struct stat st;

	if (fd < 0)
		live_skip("no files without a name in /tmp");
	assert_return_code(fstat(fd, &st), errno);
	assert_false(ledger_is_memfile(fixture->ledger, &st));
	ledger_enter(fixture->tenant, STORE_DISK, fd);
	assert_true(ledger_is_memfile(fixture->ledger, &st));
	assert_int_equal(ledger_truncate(fixture->tenant, fd, MIB), QUOTA_NONE);
	assert_int_equal(ledger_used(fixture->tenant).on_disk, MIB);
	assert_int_equal(ledger_used(fixture->tenant).size, 0);
	assert_int_equal(ledger_used(fixture->tenant).spilled, 1);
	close(fd);
	assert_files(fixture, 0);
	assert_int_equal(ledger_used(fixture->tenant).on_disk, 0);
	assert_false(ledger_is_memfile(fixture->ledger, &st));
}

/* Their end is not reported: they count until the tenant ends. */
static void files_of_memfd_secret(void **state)
{
	struct ledger_fixture *fixture = *state;
	int fd = (int)syscall(SYS_memfd_secret, (unsigned)O_CLOEXEC);

	if (fd < 0)
		live_skip("no memfd_secret(2)");
	ledger_enter(fixture->tenant, STORE_SECRET, fd);
	assert_int_equal(fixture->notices, 1);
	close(fd);
	assert_files(fixture, 1);
}

/* ---- What is remembered ---- */

static void lists_files(void **state)
{
	struct ledger_fixture *fixture = *state;
	char name[100];
	struct ledger_maker maker = {.pid = 7, .uid = 8, .name = name, .name_len = sizeof(name)};
	struct ledger_file files[2];
	int one = ledger_memfd(fixture->tenant), two = memfd_create("two", MFD_CLOEXEC);
	struct charge charge;
	struct stat st;

	memset(name, 'n', sizeof(name));
	assert_int_equal(charge_begin(&charge, fixture->tenant, STORE_MEMFD, false), QUOTA_NONE);
	assert_int_equal(charge_commit(&charge, two, &maker), 0);
	assert_int_equal(ledger_truncate(fixture->tenant, two, 12345), QUOTA_NONE);
	assert_int_equal(tenant_files(fixture->tenant, NULL, 0), 2);
	assert_int_equal(tenant_files(fixture->tenant, files, 1), 2);
	close(one);
	assert_int_equal(tenant_files(fixture->tenant, files, 2), 1);
	assert_return_code(fstat(two, &st), errno);
	assert_int_equal(files[0].dev, st.st_dev);
	assert_int_equal(files[0].ino, st.st_ino);
	assert_int_equal(files[0].size, 12345);
	assert_int_equal(files[0].pid, 7);
	assert_int_equal(files[0].uid, 8);
	assert_int_equal(files[0].store, STORE_MEMFD);
	assert_int_equal(files[0].name_len, sizeof(files[0].name));
	assert_memory_equal(files[0].name, name, sizeof(files[0].name));
	close(two);
}

/* ---- Who runs it ---- */

#define test(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

static int run_all(void)
{
	const struct CMUnitTest tests[] = {
		test(gone_with_the_last_descriptor),
		test(gone_with_the_last_mapping),
		test(gone_with_a_killed_process),
		test(gone_when_received_and_closed),
		test(gone_with_the_socket_it_is_in),
		test(gone_with_a_cycle_of_sockets),
		test(thousands_in_flight),
		test(never_given_out),
		test(files_of_huge_pages),
		test(files_on_the_tenants_tmpfs),
		test(files_on_a_disk),
		test(files_of_memfd_secret),
		test(lists_files),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

static int run_as_nobody(void)
{
	live_check(setresgid(LIVE_NOBODY, LIVE_NOBODY, LIVE_NOBODY) == 0);
	live_check(setresuid(LIVE_NOBODY, LIVE_NOBODY, LIVE_NOBODY) == 0);
	print_message("As an ordinary user:\n");
	return run_all();
}

static int run_without_fanotify(void)
{
	ledger_refuse(SCMP_SYS(fanotify_init), ENOSYS);
	print_message("Without fanotify:\n");
	return run_all();
}

int main(void)
{
	int failed = run_all();

	if (geteuid() != 0)
		return failed;
	failed |= ledger_run_in_child(run_as_nobody);
	return failed | ledger_run_in_child(run_without_fanotify);
}
