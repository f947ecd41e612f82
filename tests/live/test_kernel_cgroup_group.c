/* SPDX-License-Identifier: Apache-2.0 */

/* Groups made for a command, on the machine's own tree. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <grp.h>
#include <sys/mman.h>

#include "live_cgroup.h"

/* The group that the process is in, by its own account. */
static void own_path(char path[static PATH_MAX])
{
	live_check(cgroup_mount_path_of(&mount_found, AT_FDCWD, path) == 0);
}

/* Enters the group and uses more than it may. */
static int exceed_limit(struct cgroup_group *group)
{
	char path[PATH_MAX];

	live_check(cgroup_group_enter(group) == 0);
	own_path(path);
	live_check(strstr(path, "/fdwarden-run-"));

	char *memory = mmap(NULL, 64 * MIB, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

	live_check(memory != MAP_FAILED);
	memset(memory, 1, 64 * MIB);
	return 0;
}

/* Makes empty groups inside, leaves a process there that ends a little later, and goes. */
static int leave_things_behind(struct cgroup_group *group)
{
	char path[PATH_MAX], name[PATH_MAX + 16];
	const char *below;

	live_check(cgroup_group_enter(group) == 0);
	own_path(path);
	below = path + strlen(mount_found.root);
	snprintf(name, sizeof(name), ".%s/x", below);
	live_check(mkdirat(mount_found.dir_fd, name, 0755) == 0);
	snprintf(name, sizeof(name), ".%s/x/y", below);
	live_check(mkdirat(mount_found.dir_fd, name, 0755) == 0);
	snprintf(name, sizeof(name), ".%s/x/y/cgroup.procs", below);

	pid_t pid = fork();
	char text[16];

	live_check(pid >= 0);
	if (pid == 0) {
		usleep(100000);
		_exit(0);
	}
	snprintf(text, sizeof(text), "%d", pid);
	live_check(write_at(name, text) == 0);
	return 0;
}

static int remove_group(struct cgroup_group *group)
{
	return cgroup_group_remove(group) ? 1 : 0;
}

static int run_in(struct cgroup_group *group, int (*run)(struct cgroup_group *))
{
	int status;
	pid_t pid = fork();

	live_check(pid >= 0);
	if (pid == 0)
		_exit(run(group));
	live_check(waitpid(pid, &status, 0) == pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* The count of groups in BASE/NAME. */
static unsigned count_groups(const char *name)
{
	struct stat st;

	live_check(fstatat(mount_found.dir_fd, at(name, NULL), &st, 0) == 0);
	return (unsigned)st.st_nlink - 2;
}

/* argument: NULL to stay root, else the ordinary user to become. */
static int run_limited(void *argument)
{
	struct cgroup_group *group;
	const char *hint = NULL;
	char before[PATH_MAX], after[PATH_MAX];
	const uid_t *user = argument;

	live_check(group_join("a") == 0);
	if (user)
		live_check(setgroups(0, NULL) == 0 && setgid(*user) == 0 && setuid(*user) == 0);
	own_path(before);
	live_check(cgroup_group_new(32 * MIB, &group, &hint) == 0);
	live_check(count_groups("a") == (mount_found.v2 ? 2 : 1));
	live_check(run_in(group, exceed_limit) == 128 + SIGKILL);
	live_check(run_in(group, leave_things_behind) == 0);
	live_check(cgroup_group_remove(group) == NULL);
	live_check(count_groups("a") == 0);
	own_path(after);
	live_check(strcmp(before, after) == 0);

	/* And again, as nothing may be left in the way; removed by a child this time. */
	live_check(cgroup_group_new(32 * MIB, &group, &hint) == 0);
	live_check(run_in(group, remove_group) == 0);
	live_check(count_groups("a") == 0);
	own_path(after);
	live_check(strcmp(before, after) == 0);
	return 0;
}

static void a_command_runs_under_a_limit(void **state)
{
	(void)state;
	assert_null(cgroup_group_remove(NULL));
	assert_int_equal(group_add("a", CGROUP_UNLIMITED), 0);
	in_child(run_limited, NULL);
	assert_int_equal(group_drop("a"), 0);
}

/* As systemd does for Delegate=yes, and cgcreate -a -t on v1. */
static void an_ordinary_user_needs_delegation(void **state)
{
	static const char *const files[] = {
		NULL, "cgroup.procs", "cgroup.threads", "cgroup.subtree_control"};
	uid_t user = 65534;

	(void)state;
	assert_int_equal(group_add("a", CGROUP_UNLIMITED), 0);
	for (size_t i = 0; i < ARRAY_SIZE(files); i++)
		if (fchownat(mount_found.dir_fd, at("a", files[i]), user, user, 0) < 0)
			assert_true(errno == ENOENT && !mount_found.v2);
	in_child(run_limited, &user);
	assert_int_equal(group_drop("a"), 0);
}

/* In a group with another process: v2 cannot divide it, and takes the place beside it. */
static int run_beside(void *argument)
{
	struct cgroup_group *group;
	const char *hint = NULL;
	int hold[2];
	char byte;

	(void)argument;
	live_check(group_join("a/b") == 0);
	live_check(pipe(hold) == 0);

	pid_t pid = fork();

	live_check(pid >= 0);
	if (pid == 0) {
		close(hold[1]);
		_exit(read(hold[0], &byte, 1) == 0 ? 0 : 1);
	}
	live_check(cgroup_group_new(32 * MIB, &group, &hint) == 0);
	live_check(count_groups("a") == (mount_found.v2 ? 2 : 1));
	live_check(run_in(group, exceed_limit) == 128 + SIGKILL);
	live_check(cgroup_group_remove(group) == NULL);
	live_check(count_groups("a") == 1);

	/* Not to get away from a limit, though. */
	live_check(limit_set("a/b", 64 * MIB) == 0);

	int r = cgroup_group_new(32 * MIB, &group, &hint);

	live_check(r == (mount_found.v2 ? -EBUSY : 0));
	if (r < 0)
		live_check(hint && strstr(hint, "Delegate=yes"));
	else
		cgroup_group_remove(group);
	close(hold[1]);
	live_check(waitpid(pid, NULL, 0) == pid);
	live_check(count_groups("a") == 1 && count_groups("a/b") == 0);
	return 0;
}

static void a_shared_group_is_left_alone(void **state)
{
	(void)state;
	assert_int_equal(group_add("a", CGROUP_UNLIMITED), 0);
	assert_int_equal(group_add("a/b", CGROUP_UNLIMITED), 0);
	in_child(run_beside, NULL);
	assert_int_equal(group_drop("a/b"), 0);
	assert_int_equal(group_drop("a"), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_command_runs_under_a_limit),
		cmocka_unit_test(an_ordinary_user_needs_delegation),
		cmocka_unit_test(a_shared_group_is_left_alone),
	};

	return cmocka_run_group_tests(tests, cgroup_setup, cgroup_teardown);
}
