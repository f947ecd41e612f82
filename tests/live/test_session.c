/* SPDX-License-Identifier: Apache-2.0 */

/* One session, real calls: what each decision of a policy does to the caller, and what is reported.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <poll.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "core/session.h"
#include "kernel/cgroup.h"
#include "kernel/compat.h"
#include "live.h"

#define EVENTS_MAX 64

/* A child under the filter, a session that answers it, and what the session reported. */
struct scene {
	struct live_child child;
	struct domain *domain;
	struct session *session;
	struct event events[EVENTS_MAX];
	size_t count;
	int status; /* the child's, as live_wait() gives it */
};

static void on_event(const struct event *event, void *userdata)
{
	struct scene *scene = userdata;

	assert_in_range(scene->count, 0, EVENTS_MAX - 1);
	scene->events[scene->count++] = *event;
}

static struct policy *policy_from(const char *text)
{
	struct policy *policy = NULL;

	assert_int_equal(policy_load(text, strlen(text), "test", NULL, NULL, &policy), 0);
	return policy;
}

static bool has_ended(pid_t pid)
{
	siginfo_t info = {0};

	assert_int_equal(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT), 0);
	return info.si_pid == pid;
}

/* Runs the child to its end under the policy. */
static void play(struct scene *scene, const char *text, live_main_fn *run)
{
	struct policy *policy = policy_from(text);
	const struct domain_config domain = {
		.policy = policy,
		.mode = -1,
		.on_event = on_event,
		.userdata = scene,
	};
	struct session_config config = {.tenant = "scene", .wait_killable = true};
	sigset_t all, previous;
	const char *why;

	*scene = (struct scene){.count = 0};
	live_spawn_calls(&scene->child, policy_calls(policy), run, NULL);
	assert_int_equal(domain_new(&domain, &scene->domain, &why), 0);
	config.listener = take_fd(&scene->child.listener);
	config.domain = scene->domain;
	assert_int_equal(session_new(&config, &scene->session), 0);
	policy_unref(policy);

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &previous);
	/* Before Linux 6.11 a zombie keeps its listener: look for the child's end as well. */
	do
		poll(&(struct pollfd){.fd = session_fd(scene->session), .events = POLLIN}, 1, 50);
	while (session_dispatch(scene->session) == 0 && !has_ended(scene->child.pid));
	pthread_sigmask(SIG_SETMASK, &previous, NULL);
	scene->status = live_wait(&scene->child);
	scene->session = session_free(scene->session);
	scene->domain = domain_free(scene->domain);
}

static int call_two_names(void *unused)
{
	(void)unused;
	int bad = memfd_create("bad", 0);

	live_check(bad == -1 && errno == EACCES);
	int good = memfd_create("good", MFD_CLOEXEC);

	live_check(good >= 0 && fcntl(good, F_GETFD) == FD_CLOEXEC);
	return good;
}

static void test_deny_by_name_and_emulate(void **state)
{
	struct scene scene;

	(void)state;
	play(&scene,
		"version: 1\nrules:\n- {name: no-bad, match: {name: bad}, action: deny, errno: "
		"EACCES}\n",
		call_two_names);
	assert_int_equal(scene.count, 2);
	assert_int_equal(scene.events[0].verdict, VERDICT_DENY);
	assert_int_equal(scene.events[0].error, EACCES);
	assert_string_equal(scene.events[0].rule, "no-bad");
	assert_string_equal(scene.events[0].name.bytes, "bad");
	assert_int_equal(scene.events[0].fd, -1);
	assert_int_equal(scene.events[1].verdict, VERDICT_EMULATE);
	assert_int_equal(scene.events[1].error, 0);
	assert_string_equal(scene.events[1].rule, "default");
	assert_int_equal(scene.events[1].fd, scene.status);
	assert_int_equal(scene.events[1].uid, getuid());
	assert_string_equal(scene.events[1].tenant, "scene");
}

static int call_once(void *unused)
{
	(void)unused;
	return memfd_create("x", MFD_CLOEXEC | MFD_ALLOW_SEALING) >= 0 ? 0 : errno;
}

static void test_kill(void **state)
{
	struct scene scene;

	(void)state;
	play(&scene, "version: 1\nrules:\n- {name: die, action: kill}\n", call_once);
	assert_int_equal(scene.status, 128 + SIGKILL);
	assert_int_equal(scene.count, 1);
	assert_int_equal(scene.events[0].verdict, VERDICT_KILL);
	assert_string_equal(scene.events[0].rule, "die");
}

static void test_audit_lets_pass_and_tells(void **state)
{
	struct scene scene;

	(void)state;
	play(&scene, "version: 1\nmode: audit\nrules:\n- {name: no, action: deny, errno: EMFILE}\n",
		call_once);
	assert_int_equal(scene.status, 0);
	assert_int_equal(scene.count, 1);
	assert_int_equal(scene.events[0].mode, POLICY_AUDIT);
	assert_int_equal(scene.events[0].verdict, VERDICT_DENY);
	assert_int_equal(scene.events[0].error, EMFILE);
}

static void test_allow_leaves_it_to_the_kernel(void **state)
{
	struct scene scene;

	(void)state;
	play(&scene, "version: 1\ndefault: allow\n", call_once);
	assert_int_equal(scene.status, 0);
	assert_int_equal(scene.count, 1);
	assert_int_equal(scene.events[0].verdict, VERDICT_ALLOW);
}

static int call_and_look(void *unused)
{
	char link[64], path[64];

	(void)unused;
	int fd = memfd_create("plain", MFD_CLOEXEC);

	live_check(fd >= 0);
	live_check(fcntl(fd, F_GETFD) == 0);                     /* cleared */
	live_check((fcntl(fd, F_GET_SEALS) & F_SEAL_SEAL) == 0); /* added */
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	ssize_t n = readlink(path, link, sizeof(link) - 1);

	live_check(n > 0);
	link[n] = '\0';
	live_check(strcmp(link, "/memfd:other (deleted)") == 0); /* renamed */
	return 0;
}

static void test_emulate_changes_flags_and_name(void **state)
{
	struct scene scene;

	(void)state;
	play(&scene,
		"version: 1\nrules:\n- {name: change, action: emulate, add_flags: "
		"[ALLOW_SEALING], clear_flags: [CLOEXEC], rename: other}\n",
		call_and_look);
	assert_int_equal(scene.status, 0);
	assert_int_equal(scene.events[0].flags, MFD_CLOEXEC);
	assert_string_equal(scene.events[0].name.bytes, "plain");
}

static int call_with_bad_names(void *unused)
{
	char *page = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char long_name[300];

	(void)unused;
	live_check(page != MAP_FAILED);
	live_check(memfd_create(page, 0) == -1 && errno == EFAULT);
	/* The kernel judges flags ahead of the name. */
	live_check(memfd_create(page, 0x4000) == -1 && errno == EINVAL);
	memset(long_name, 'a', sizeof(long_name));
	long_name[299] = '\0';
	live_check(memfd_create(long_name, 0) == -1 && errno == EINVAL);
	return 0;
}

/*
 * Another thread could make the name readable after the check, so a call whose name cannot be
 * judged is never left to the kernel, not by an allow either; and a rename does not make a bad name
 * good.
 */
static void test_names_that_cannot_be_read_never_pass(void **state)
{
	static const char by_name[] =
		"version: 1\ndefault: allow\nrules:\n"
		"- {name: by-name, match: {name: x}, action: deny, advisory: true}\n";
	static const char rename[] =
		"version: 1\nrules:\n- {name: rename, action: emulate, rename: fine}\n";
	const char *const policies[] = {"version: 1\n", by_name, rename};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(policies); i++) {
		struct scene scene;

		play(&scene, policies[i], call_with_bad_names);
		assert_int_equal(scene.status, 0);
		assert_int_equal(scene.count, 3);
		assert_false(scene.events[0].name_known);
		assert_int_equal(scene.events[0].error, EFAULT);
	}
}

static int call_flags_in_upper_half(void *unused)
{
	(void)unused;
	long fd = syscall(SYS_memfd_create, "x", 0xffffffff00000001UL);

	live_check(fd >= 0 && fcntl((int)fd, F_GETFD) == FD_CLOEXEC);
	return 0;
}

static void test_flags_are_32_bits(void **state)
{
	struct scene scene;

	(void)state;
	play(&scene,
		"version: 1\nrules:\n- {name: odd, match: {flags: {any: [0x80000000]}}, action: "
		"deny}\n",
		call_flags_in_upper_half);
	assert_int_equal(scene.status, 0);
	assert_int_equal(scene.events[0].flags, 1);
}

/* Every fact that rules can ask for, all of this very process, whose executable is known. */
static void test_facts(void **state)
{
	char exe[256], text[1024];
	struct scene scene;

	(void)state;
	ssize_t n = readlink("/proc/self/exe", exe, sizeof(exe) - 1);

	assert_in_range(n, 1, sizeof(exe) - 1);
	exe[n] = '\0';
	snprintf(text, sizeof(text),
		"version: 1\ndefault: emulate\nrules:\n- name: all\n  match:\n    exe: {exact: "
		"\"%s\"}\n    comm: test_session\n    uid: %u\n    gid: %u\n    flags: {all: "
		"[CLOEXEC], none: [HUGETLB]}\n    name: {regex: \"^x$\"}\n  action: deny\n  "
		"errno: EXDEV\n",
		exe, getuid(), getgid());
	play(&scene, text, call_once);
	assert_int_equal(scene.status, EXDEV);
	assert_string_equal(scene.events[0].rule, "all");
	assert_string_equal(scene.events[0].comm, "test_session");
}

static struct cgroup_group *group;

static int enter_group_and_call(void *unused)
{
	live_check(cgroup_group_enter(group) == 0);
	return call_once(unused);
}

static int enter_group_fill_and_call(void *unused)
{
	const size_t size = 56 << 20;
	const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE;

	live_check(cgroup_group_enter(group) == 0);
	/* The kernel fills it: a sanitizer would add its own memory to what we touch. */
	live_check(mmap(NULL, size, PROT_READ | PROT_WRITE, flags, -1, 0) != MAP_FAILED);
	return call_once(unused);
}

/* A group of 64 MiB: room for one reserve and not for another, below and above 80 % of its limit.
 */
static void test_budget_of_the_cgroup(void **state)
{
	static const char roomy[] = "version: 1\nbudget: {cgroup: {reserve: 16MiB}}\n";
	static const char tight[] =
		"version: 1\nbudget: {cgroup: {reserve: 65MiB}, exceeded: ENOSPC}\n";
	static const char share[] = "version: 1\nbudget: {cgroup: {max_usage: 80%}}\n";
	const char *hint;
	struct scene scene;

	(void)state;
	live_require_root();
	if (cgroup_group_new(64 << 20, &group, &hint) < 0)
		live_skip(hint);
	play(&scene, roomy, enter_group_and_call);
	assert_int_equal(scene.status, 0);
	play(&scene, share, enter_group_and_call);
	assert_int_equal(scene.status, 0);
	play(&scene, tight, enter_group_and_call);
	assert_int_equal(scene.status, ENOSPC);
	assert_string_equal(scene.events[0].rule, "budget");
	play(&scene, share, enter_group_fill_and_call);
	assert_int_equal(scene.status, ENOMEM);
	assert_string_equal(scene.events[0].rule, "budget");
	group = cgroup_group_remove(group);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_deny_by_name_and_emulate),
		cmocka_unit_test(test_kill),
		cmocka_unit_test(test_audit_lets_pass_and_tells),
		cmocka_unit_test(test_allow_leaves_it_to_the_kernel),
		cmocka_unit_test(test_emulate_changes_flags_and_name),
		cmocka_unit_test(test_names_that_cannot_be_read_never_pass),
		cmocka_unit_test(test_flags_are_32_bits),
		cmocka_unit_test(test_facts),
		cmocka_unit_test(test_budget_of_the_cgroup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
