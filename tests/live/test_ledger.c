/* SPDX-License-Identifier: Apache-2.0 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "live.h"
#include "ledger.h"

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
	assert_int_equal(ledger_used(fixture->tenant).resident, 4 * KIB);
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

static void never_given_out(void **state)
{
	struct ledger_fixture *fixture = *state;
	struct charge charge = {0};
	struct growth growth = {0};

	charge_done(&charge);
	growth_done(&growth);
	assert_int_equal(charge_begin(&charge, fixture->tenant, STORE_MEMFD, false), QUOTA_NONE);
	assert_files(fixture, 1);
	charge_done(&charge);
	charge_done(&charge);
	assert_files(fixture, 0);
	close(ledger_memfd(fixture->tenant));
	assert_files(fixture, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(gone_with_the_last_descriptor, setup, teardown),
		cmocka_unit_test_setup_teardown(gone_with_the_last_mapping, setup, teardown),
		cmocka_unit_test_setup_teardown(gone_with_a_killed_process, setup, teardown),
		cmocka_unit_test_setup_teardown(gone_when_received_and_closed, setup, teardown),
		cmocka_unit_test_setup_teardown(gone_with_the_socket_it_is_in, setup, teardown),
		cmocka_unit_test_setup_teardown(never_given_out, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
