/* SPDX-License-Identifier: Apache-2.0 */

/* What a policy with quotas says besides limits: of other calls, noexec, audit, another policy. */

#include "live_quota.h"

static int call_others(void *unused)
{
	char params[256] = {0};

	(void)unused;
	live_check(syscall(SYS_io_uring_setup, 4, params) == -1 && errno == EPERM);
	live_check(syscall(SYS_memfd_secret, 0) == -1 && errno == ENOSYS);
	return 0;
}

static void test_other_calls_are_refused(void **state)
{
	(void)state;
	assert_int_equal(play("version: 1\nbudget: {tenant: {size: 1GiB}}\n", call_others), 0);
	assert_int_equal(event_with(EPERM)->call, CALL_IO_URING_SETUP);
	assert_int_equal(event_with(ENOSYS)->call, CALL_MEMFD_SECRET);
	assert_string_equal(event_with(ENOSYS)->rule, "syscalls");
}

static int count_secrets(void *unused)
{
	int first = (int)syscall(SYS_memfd_secret, O_CLOEXEC);

	(void)unused;
	if (first < 0 && errno == ENOSYS)
		return LIVE_EXIT_SKIP;
	live_check(first >= 0 && fcntl(first, F_GETFD) == FD_CLOEXEC);
	live_check(ftruncate(first, 4096) == 0);

	live_check(syscall(SYS_memfd_secret, 0) == -1 && errno == ENFILE);
	live_check(memfd_create("x", 0) == -1 && errno == ENFILE);
	close(first);
	/* Nobody sees its end. */
	live_check(memfd_create("x", 0) == -1 && errno == ENFILE);
	return 0;
}

static void test_secrets_count(void **state)
{
	int status;

	(void)state;
	live_require_root();
	status = play("version: 1\n"
		      "budget: {tenant: {memfds: 1, size: 1MiB}}\n"
		      "syscalls: {memfd_secret: count}\n",
		count_secrets);
	if (status == LIVE_EXIT_SKIP)
		live_skip("no memfd_secret(2) here");
	assert_int_equal(status, 0);
}

static int never_execute(void *unused)
{
	(void)unused;
	for (int sealing = 0; sealing < 2; sealing++) {
		int fd = memfd_create("x", sealing ? MFD_ALLOW_SEALING : 0);

		live_check(fd >= 0 && write(fd, "#!/bin/sh\n", 10) == 10);
		fexecve(dup(fd), (char *[]){(char *)"x", NULL}, environ);
		live_check(errno == EACCES);
		/* The seal of a memfd stops no mapping; a tmpfs does. */
		if (!sealing)
			live_check(mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_SHARED, fd, 0) ==
					   MAP_FAILED &&
				   errno == EPERM);
	}
	live_check(memfd_create("x", MFD_EXEC) == -1 && errno == EACCES);
	return 0;
}

static void test_noexec(void **state)
{
	(void)state;
	live_require_root();
	assert_int_equal(play("version: 1\nrules:\n- {name: data, action: emulate, noexec: true}\n",
				 never_execute),
		0);
}

/* What the kernel itself says to calls that ask for nothing that it could give. */
struct answers {
	int ring, secret;
};

static struct answers answers_get(void)
{
	char params[256] = {0};
	struct answers answers;

	answers.ring = syscall(SYS_io_uring_setup, 0, params) == -1 ? errno : 0;
	answers.secret = syscall(SYS_memfd_secret, -1) == -1 ? errno : 0;
	return answers;
}

static int call_others_again(void *userdata)
{
	const struct answers *native = userdata;
	struct answers answers;

	live_check(call_others(NULL) == 0);
	tenant_wait();
	answers = answers_get();
	live_check(answers.ring == native->ring && answers.secret == native->secret);
	return 0;
}

/* The filter goes on notifying of calls that the new policy has nothing to say of. */
static void test_other_calls_are_allowed_later(void **state)
{
	struct policy *policy = policy_from("version: 1\n");
	struct answers native = answers_get();
	const char *why;

	(void)state;
	scene_start("version: 1\nsyscalls: {memfd_secret: deny, io_uring: deny}\n",
		call_others_again, &native);
	test_awaits_tenant();
	assert_int_equal(domain_set_policy(scene.domain, policy, &why), 0);
	policy_unref(policy);
	test_lets_tenant_go_on();
	assert_int_equal(scene_end(), 0);
	assert_int_equal(atomic_load(&scene.count), 2);
}

static int break_every_quota(void *unused)
{
	int fds[4];

	(void)unused;
	for (int i = 0; i < 4; i++)
		live_check((fds[i] = memfd_create("x", 0)) >= 0);
	live_check(ftruncate(fds[0], 1 << 30) == 0);
	return 0;
}

static void test_audit_refuses_nothing(void **state)
{
	(void)state;
	assert_int_equal(play("version: 1\nmode: audit\n"
			      "budget: {tenant: {memfds: 2}, memfd: {size: 1MiB}}\n",
				 break_every_quota),
		0);
	assert_int_equal(event_with(ENFILE)->mode, POLICY_AUDIT);
	assert_int_equal(event_with(EFBIG)->call, CALL_FTRUNCATE);
}

static void test_policies_that_cannot_follow(void **state)
{
	struct policy *first = policy_from("version: 1\n");
	struct policy *second = policy_from("version: 1\nbudget: {memfd: {size: 1MiB}}\n");
	const struct domain_config config = {.policy = first, .mode = -1};
	struct domain *domain;
	const char *why;

	(void)state;
	assert_int_equal(domain_new(&config, &domain, &why), 0);
	assert_int_equal(domain_set_policy(domain, second, &why), -EOPNOTSUPP);
	assert_non_null(why);
	assert_int_equal(domain_set_policy(domain, first, &why), 0);
	domain_free(domain);
	policy_unref(first);
	policy_unref(second);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_other_calls_are_refused),
		cmocka_unit_test(test_other_calls_are_allowed_later),
		cmocka_unit_test(test_secrets_count),
		cmocka_unit_test(test_noexec),
		cmocka_unit_test(test_audit_refuses_nothing),
		cmocka_unit_test(test_policies_that_cannot_follow),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
