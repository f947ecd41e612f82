/* SPDX-License-Identifier: Apache-2.0 */

/* libfdwarden where something goes wrong. What it does when all goes well: library.bats. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <seccomp.h>

#include "fdwarden/fdwarden.h"
#include "live.h"

/* From here on this process receives no descriptors. */
static void refuse_recvmsg(void)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);

	live_check(filter != NULL);
	live_check(seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(recvmsg), 0) == 0);
	live_check(seccomp_load(filter) == 0);
	seccomp_release(filter);
}

static int spawn_without_listener(void)
{
	char program[] = "sleep", argument[] = "60";
	char *const argv[] = {program, argument, NULL};
	unsigned flags;
	pid_t pid = -1;

	refuse_recvmsg();
	/* Ends this process, should fdwarden_spawn() wait for the program. */
	alarm(30);
	live_check(fdwarden_spawn(argv, NULL, &pid, &flags) == -EPERM);
	live_check(pid == -1);
	live_check(waitpid(-1, NULL, 0) < 0 && errno == ECHILD);
	return 0;
}

static void a_program_without_its_listener_is_killed(void **state)
{
	(void)state;
	assert_int_equal(live_run_in(0, spawn_without_listener), 0);
}

static void unknown_flags_are_refused(void **state)
{
	struct fdwarden *fdwarden = NULL;
	struct fdwarden_policy *policy = NULL;
	int fds[2];

	(void)state;
	assert_int_equal(fdwarden_policy_load_default(&policy), 0);
	assert_int_equal(fdwarden_new(NULL, NULL, &fdwarden), 0);
	assert_return_code(pipe2(fds, O_CLOEXEC), errno);
	assert_int_equal(
		fdwarden_add_listener(fdwarden, fds[0], policy, "test", 1U << 31), -EINVAL);
	/* It was the library's from the call on. */
	assert_int_equal(fcntl(fds[0], F_GETFD), -1);
	assert_int_equal(fdwarden_dispatch(fdwarden), 0);
	fd_close(fds[1]);
	fdwarden_free(fdwarden);
	fdwarden_policy_unref(policy);
}

static void count_mistake(const struct fdwarden_diagnostic *diagnostic, void *userdata)
{
	int *count = userdata;

	assert_string_equal(diagnostic->file, "name");
	assert_int_equal(diagnostic->line, 2);
	++*count;
}

static void mistakes_are_told(void **state)
{
	static const char text[] = "version: 1\nmdoe: audit\n";
	struct fdwarden_policy *policy = NULL;
	int count = 0;

	(void)state;
	assert_int_equal(fdwarden_policy_load(
				 text, sizeof(text) - 1, "name", count_mistake, &count, &policy),
		-EINVAL);
	assert_int_equal(count, 1);
	assert_int_equal(
		fdwarden_policy_load(text, sizeof(text) - 1, "name", NULL, NULL, &policy), -EINVAL);
	assert_null(policy);
}

static void a_policy_outlives_all_but_its_last_reference(void **state)
{
	struct fdwarden_policy *policy = NULL;

	(void)state;
	assert_int_equal(fdwarden_policy_load_default(&policy), 0);
	assert_ptr_equal(fdwarden_policy_ref(policy), policy);
	fdwarden_policy_unref(policy);
	fdwarden_policy_unref(policy);
	fdwarden_policy_unref(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_program_without_its_listener_is_killed),
		cmocka_unit_test(unknown_flags_are_refused),
		cmocka_unit_test(mistakes_are_told),
		cmocka_unit_test(a_policy_outlives_all_but_its_last_reference),
	};

	assert_string_equal(fdwarden_version(), FDWARDEN_VERSION);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
