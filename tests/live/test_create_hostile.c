/* SPDX-License-Identifier: Apache-2.0 */

/* Whatever happens to a call that makes a file, in the end nothing of it is charged to anybody. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <linux/userfaultfd.h>
#include <pthread.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <time.h>

#include "base/clock.h"
#include "base/memfd.h"
#include "core/session.h"
#include "live.h"

static const char policy_text[] =
	"version: 1\n"
	"budget:\n"
	"  tenant: {memfds: 1000, size: 1GiB, resident: 64MiB, rate: 1000/h, burst: 1000000}\n";

static struct domain *domain;

static void *session_main(void *userdata)
{
	struct session *session = userdata;

	(void)session_run(session);
	session_free(session);
	return NULL;
}

static void domain_start(void)
{
	struct domain_config config = {.mode = -1};
	const char *why;

	assert_int_equal(
		policy_load(policy_text, strlen(policy_text), "test", NULL, NULL, &config.policy),
		0);
	assert_int_equal(domain_new(&config, &domain, &why), 0);
	policy_unref(config.policy);
}

/* A child whose calls a thread of its own answers. */
static pthread_t tenant_start(struct live_child *child, live_main_fn *run)
{
	struct session_config config = {.tenant = "hostile", .domain = domain};
	struct session *session;
	sigset_t all, previous;
	pthread_t thread;

	live_spawn_calls(child, CALL_MEMFD_CREATE | CALL_FTRUNCATE | CALL_FALLOCATE, run, NULL);
	config.listener = take_fd(&child->listener);
	config.wait_killable = child->features.wait_killable;
	assert_int_equal(session_new(&config, &session), 0);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &previous);
	assert_int_equal(pthread_create(&thread, NULL, session_main, session), 0);
	pthread_sigmask(SIG_SETMASK, &previous, NULL);
	return thread;
}

/* All is given back, and a moment later at most: a dying process closes its files by and by. */
static void assert_nothing_is_charged(void)
{
	struct tenant_use use;
	struct tenant *tenant;

	assert_int_equal(tenant_get(domain_ledger(domain), "hostile", &tenant), 0);
	for (int i = 0; i < 500; i++) {
		tenant_use(tenant, &use);
		if (use.memfds == 0)
			break;
		usleep(10000);
	}
	assert_int_equal(use.memfds, 0);
	assert_int_equal(use.size, 0);
	ledger_sample(domain_ledger(domain), tenant);
	tenant_use(tenant, &use);
	assert_int_equal(use.resident, 0);
	tenant_unref(tenant);
}

static int make_and_grow(void *unused)
{
	(void)unused;
	for (;;) {
		int sealable = memfd_create("s", MFD_ALLOW_SEALING), other = memfd_create("o", 0);

		live_check(sealable >= 0 && other >= 0);
		live_check(ftruncate(sealable, 1 << 20) == 0 && ftruncate(other, 1 << 20) == 0);
		live_check(write(sealable, "x", 1) == 1 && fallocate(other, 0, 0, 4096) == 0);
		close(sealable);
		close(other);
	}
}

static void test_callers_killed_anywhere(void **state)
{
	(void)state;
	domain_start();
	for (int i = 0; i < 100; i++) {
		struct live_child child;
		pthread_t thread = tenant_start(&child, make_and_grow);

		usleep(500 + (unsigned)(i * 7919 % 3000));
		assert_return_code(kill(child.pid, SIGKILL), errno);
		assert_int_equal(live_wait(&child), 128 + SIGKILL);
		pthread_join(thread, NULL);
	}
	assert_nothing_is_charged();
	domain = domain_free(domain);
}

static int make_many(void *unused)
{
	int made = 0;

	(void)unused;
	for (int i = 0; i < 500; i++) {
		int fd = memfd_create("x", i % 2 ? MFD_ALLOW_SEALING : 0);

		/* EPERM: of whom nothing can be found out, nothing is let pass. */
		live_check(fd >= 0 || errno == EMFILE || errno == ENFILE || errno == ENOMEM ||
			   errno == EPERM);
		made += fd >= 0;
		close(fd);
	}
	return made > 0 ? 1 : 0;
}

/* The supervisor itself is out of descriptors: refused, and nothing is left of it. */
static void test_no_descriptor_left(void **state)
{
	struct rlimit before, none;
	struct live_child child;
	pthread_t thread;

	(void)state;
	domain_start();
	thread = tenant_start(&child, make_many);
	/* Limits are looked at for new numbers only: what is open stays so. */
	assert_return_code(getrlimit(RLIMIT_NOFILE, &before), errno);
	none = (struct rlimit){.rlim_cur = 3, .rlim_max = before.rlim_max};
	assert_return_code(setrlimit(RLIMIT_NOFILE, &none), errno);
	int status = live_wait(&child);

	assert_return_code(setrlimit(RLIMIT_NOFILE, &before), errno);
	pthread_join(thread, NULL);
	assert_in_range(status, 0, 1);
	assert_nothing_is_charged();
	domain = domain_free(domain);
}

/* A name on a page that nobody ever serves. */
static int show_a_stuck_name(void *unused)
{
	struct uffdio_api api = {.api = UFFD_API};
	struct uffdio_register range = {.mode = UFFDIO_REGISTER_MODE_MISSING};
	char *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC);

	(void)unused;
	if (fd < 0)
		return LIVE_EXIT_SKIP;
	live_check(page != MAP_FAILED && ioctl(fd, UFFDIO_API, &api) == 0);
	range.range.start = (uintptr_t)page;
	range.range.len = 4096;
	live_check(ioctl(fd, UFFDIO_REGISTER, &range) == 0);
	(void)memfd_create(page, 0);
	return 1; /* nobody has answered */
}

static int make_a_hundred(void *unused)
{
	(void)unused;
	for (int i = 0; i < 100; i++) {
		int fd = memfd_create("x", i % 2 ? MFD_ALLOW_SEALING : 0);

		live_check(fd >= 0 && ftruncate(fd, 4096) == 0);
		close(fd);
	}
	return 0;
}

/* They share a domain, a ledger, and even a tenant's name: only who blocks waits. */
static void test_a_stuck_name_holds_up_nobody_else(void **state)
{
	struct live_child stuck, other;
	pthread_t stuck_thread, other_thread;
	int status;

	(void)state;
	live_require_root(); /* a user's own faults alone are served to an ordinary user */
	domain_start();
	stuck_thread = tenant_start(&stuck, show_a_stuck_name);
	for (int i = 0; i < 20; i++) {
		other_thread = tenant_start(&other, make_a_hundred);
		assert_int_equal(live_wait(&other), 0);
		pthread_join(other_thread, NULL);
	}
	kill(stuck.pid, SIGKILL);
	status = live_wait(&stuck);
	pthread_join(stuck_thread, NULL);
	assert_nothing_is_charged();
	domain = domain_free(domain);
	if (status == LIVE_EXIT_SKIP)
		live_skip("no userfaultfd(2) here");
	assert_int_equal(status, 128 + SIGKILL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_callers_killed_anywhere),
		cmocka_unit_test(test_no_descriptor_left),
		cmocka_unit_test(test_a_stuck_name_holds_up_nobody_else),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
