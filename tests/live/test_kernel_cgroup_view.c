/* SPDX-License-Identifier: Apache-2.0 */

/*
 * How much room a group has, on the machine's own tree. Whatever changes a namespace, a user or a
 * group happens in a child.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <grp.h>
#include <malloc.h>
#include <mntent.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/mount.h>

#include "live_cgroup.h"

static void the_tightest_of_all_levels_counts(void **state)
{
	struct cgroup_view *view;

	(void)state;
	assert_int_equal(cgroup_view_new(&view), 0);
	assert_int_equal(group_add("a", 64 * MIB), 0);
	assert_int_equal(group_add("a/b", CGROUP_UNLIMITED), 0);
	assert_int_equal(group_add("a/b/c", 128 * MIB), 0);

	struct cgroup_memory memory = measure(view, "a/b/c");

	assert_room(memory.headroom_bytes, 64 * MIB);
	assert_room(measure(view, "a/b").headroom_bytes, 64 * MIB);

	/* Limits change while groups live. */
	assert_int_equal(limit_set("a", 256 * MIB), 0);
	assert_room(measure(view, "a/b/c").headroom_bytes, 128 * MIB);
	assert_room(measure(view, "a/b").headroom_bytes, 256 * MIB);
	assert_int_equal(limit_set("a/b/c", CGROUP_UNLIMITED), 0);
	assert_room(measure(view, "a/b/c").headroom_bytes, 256 * MIB);

	assert_int_equal(group_drop("a/b/c"), 0);
	assert_int_equal(group_drop("a/b"), 0);
	assert_int_equal(group_drop("a"), 0);
	assert_null(cgroup_view_free(view));
}

struct holder {
	int ready, done; /* pipes */
};

static int hold_20_mib(void *argument)
{
	struct holder *holder = argument;
	char byte = 0, *chunk = malloc(MIB);

	live_check(chunk);
	memset(chunk, 'x', MIB);
	live_check(group_join("a/b") == 0);

	int fd = memfd_create("held", MFD_CLOEXEC);

	live_check(fd >= 0);
	for (int i = 0; i < 20; i++)
		live_check(write(fd, chunk, MIB) == (ssize_t)MIB);
	live_check(write(holder->ready, &byte, 1) == 1);
	live_check(read(holder->done, &byte, 1) == 0);
	return 0;
}

static void usage_counts_in_every_ancestor(void **state)
{
	struct cgroup_view *view;
	int ready[2], done[2], status;
	char byte;

	(void)state;
	assert_int_equal(cgroup_view_new(&view), 0);
	assert_int_equal(group_add("a", 64 * MIB), 0);
	assert_int_equal(group_add("a/b", 128 * MIB), 0);
	assert_in_range(measure(view, "a/b").max_usage_ppm, 0, 100000);
	assert_return_code(pipe2(ready, O_CLOEXEC), errno);
	assert_return_code(pipe2(done, O_CLOEXEC), errno);

	struct holder holder = {.ready = ready[1], .done = done[0]};
	pid_t pid = fork();

	assert_return_code(pid, errno);
	if (pid == 0) {
		close(done[1]);
		_exit(hold_20_mib(&holder));
	}
	close(ready[1]);
	close(done[0]);
	assert_int_equal(read(ready[0], &byte, 1), 1);

	struct cgroup_memory memory = measure(view, "a/b");

	assert_in_range(memory.headroom_bytes, 32 * MIB, 44 * MIB);
	assert_in_range(memory.max_usage_ppm, 312500, 500000);
	close(done[1]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	close(ready[0]);
	assert_int_equal(group_drop("a/b"), 0);
	assert_int_equal(group_drop("a"), 0);
	cgroup_view_free(view);
}

static void a_group_made_anew_is_noticed(void **state)
{
	struct cgroup_view *view;

	(void)state;
	assert_int_equal(cgroup_view_new(&view), 0);
	assert_int_equal(group_add("a", 64 * MIB), 0);
	assert_int_equal(group_add("a/b", 16 * MIB), 0);
	assert_room(measure(view, "a/b").headroom_bytes, 16 * MIB);

	assert_int_equal(group_drop("a/b"), 0);
	assert_room(measure(view, "a/b").headroom_bytes, 64 * MIB);
	assert_int_equal(group_add("a/b", 32 * MIB), 0);
	assert_room(measure(view, "a/b").headroom_bytes, 32 * MIB);

	/* Without a look in between, so that only the dead files tell. */
	assert_int_equal(group_drop("a/b"), 0);
	assert_int_equal(group_add("a/b", 48 * MIB), 0);
	assert_room(measure(view, "a/b").headroom_bytes, 48 * MIB);

	assert_int_equal(group_drop("a/b"), 0);
	assert_int_equal(group_drop("a"), 0);
	cgroup_view_free(view);
}

static void many_groups_cost_a_bounded_count_of_descriptors(void **state)
{
	enum { GROUPS = 100 };
	unsigned before = count_fds(), most = 0;
	struct cgroup_view *view;
	char name[32];

	(void)state;
	assert_int_equal(cgroup_view_new(&view), 0);
	for (unsigned i = 0; i < GROUPS; i++) {
		snprintf(name, sizeof(name), "g%u", i);
		assert_int_equal(group_add(name, (i + 9) * MIB), 0);
	}
	for (unsigned i = 0; i < 3 * GROUPS; i++) {
		unsigned n = i * 7 % GROUPS, fds;

		snprintf(name, sizeof(name), "g%u", n);
		assert_int_equal(measure(view, name).headroom_bytes, (n + 9) * MIB);
		fds = count_fds();
		most = fds > most ? fds : most;
	}
	assert_in_range(most - before, 20, 129);
	for (unsigned i = 0; i < GROUPS; i++) {
		snprintf(name, sizeof(name), "g%u", i);
		assert_int_equal(group_drop(name), 0);
	}
	cgroup_view_free(view);
	assert_int_equal(count_fds(), before);
}

static void nothing_is_allocated_or_opened_when_cached(void **state)
{
	struct cgroup_view *view;

	(void)state;
	assert_int_equal(cgroup_view_new(&view), 0);
	assert_int_equal(group_add("a", 64 * MIB), 0);
	measure(view, "a");

	unsigned fds = count_fds();
	size_t used = mallinfo2().uordblks;

	for (int i = 0; i < 100; i++)
		measure(view, "a");
	assert_int_equal(mallinfo2().uordblks, used);
	assert_int_equal(count_fds(), fds);
	assert_int_equal(group_drop("a"), 0);
	cgroup_view_free(view);
}

static void a_deep_group_is_measured(void **state)
{
	enum { DEPTH = 70 };
	char name[DEPTH * 2 + 2];
	struct cgroup_view *view;

	(void)state;
	assert_int_equal(cgroup_view_new(&view), 0);
	for (size_t i = 0; i < DEPTH; i++) {
		memcpy(name + i * 2, "/d", 3);
		assert_int_equal(group_add(name + 1, (400 + DEPTH - i) * MIB), 0);
	}
	assert_int_equal(limit_set("d", 200 * MIB), 0);
	for (int i = 0; i < 3; i++)
		assert_in_range(measure(view, name + 1).headroom_bytes, 100 * MIB, 200 * MIB);
	for (size_t i = DEPTH; i-- > 0;) {
		name[i * 2 + 2] = '\0';
		assert_int_equal(group_drop(name + 1), 0);
	}
	cgroup_view_free(view);
}

/* Children from here on: what is visible of a tree of which a namespace shows a part. */

static uint64_t headroom_of(struct cgroup_view *view, const char *path)
{
	struct cgroup_memory memory;

	return cgroup_view_measure(view, path, strlen(path), &memory) < 0 ? 1
									  : memory.headroom_bytes;
}

static int mount_point(char *buf, size_t size)
{
	char link[64];

	snprintf(link, sizeof(link), "/proc/self/fd/%d", mount_found.dir_fd);

	ssize_t n = readlink(link, buf, size - 1);

	if (n < 0)
		return -errno;
	buf[n] = '\0';
	return 0;
}

/* A mount namespace of our own. */
static void private_mounts(int flags)
{
	live_check(unshare(CLONE_NEWNS | flags) == 0);
	live_check(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0);
}

/* Shows the group BASE/NAME, and nothing else, where the controller was mounted. */
static void show_only(const char *name, bool read_only)
{
	char point[PATH_MAX], source[PATH_MAX * 3];

	live_check(mount_point(point, sizeof(point)) == 0);
	snprintf(source, sizeof(source), "%s/%s", point, at(name, NULL));
	live_check(mount(source, point, NULL, MS_BIND, NULL) == 0);
	if (read_only)
		live_check(mount(NULL, point, NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL) == 0);
}

static int see_a_subtree(void *read_only)
{
	struct cgroup_view *view;
	char path[PATH_MAX * 2];

	private_mounts(0);
	show_only("a/b", read_only != NULL);
	live_check(cgroup_view_new(&view) == 0);
	text_path("a/b/c", path, sizeof(path));
	live_check(is_room(headroom_of(view, path), 32 * MIB));
	text_path("a/b", path, sizeof(path));
	live_check(is_room(headroom_of(view, path), 64 * MIB));
	text_path("a", path, sizeof(path));

	struct cgroup_memory memory;

	live_check(cgroup_view_measure(view, path, strlen(path), &memory) == -ENOENT);
	live_check(cgroup_view_measure(view, "/", 1, &memory) == -ENOENT);
	cgroup_view_free(view);

	/* Where the tree is read-only, no group can be made. */
	struct cgroup_group *group;
	const char *hint = NULL;

	if (read_only) {
		live_check(group_join("a/b/c") == 0);
		live_check(cgroup_group_new(MIB, &group, &hint) == -EROFS);
		live_check(hint && strstr(hint, "read-only"));
	}
	return 0;
}

/*
 * A cgroup namespace with BASE/a/b as its root, and a group /c in it. v2 has no processes beside
 * groups with controllers, so we move on to /inner before /c is made.
 */
static void enter_namespace(void)
{
	live_check(group_join("a/b") == 0);
	private_mounts(CLONE_NEWCGROUP);
	live_check(mkdirat(mount_found.dir_fd, at("a/b/inner", NULL), 0755) == 0);
	live_check(group_join("a/b/inner") == 0);
	live_check(group_add("a/b/c", 32 * MIB) == 0);
}

static void drop_namespace(void)
{
	assert_int_equal(group_drop("a/b/inner"), 0);
	assert_int_equal(group_drop("a/b/c"), 0);
	if (mount_found.v2)
		assert_int_equal(write_at(at("a/b", "cgroup.subtree_control"), "-memory"), 0);
}

/* The host's whole tree, as when its /sys/fs/cgroup is bound into a container. */
static int see_from_a_namespace(void *argument)
{
	struct cgroup_view *view;

	(void)argument;
	enter_namespace();
	live_check(cgroup_view_new(&view) == 0);
	live_check(is_room(headroom_of(view, "/"), 48 * MIB));
	live_check(is_room(headroom_of(view, "/c"), 32 * MIB));
	live_check(is_room(headroom_of(view, "/../beside"), 16 * MIB));
	cgroup_view_free(view);
	return 0;
}

/* A container's usual view: its own namespace, and a mount made in that, the host's hidden. */
static int see_a_namespaced_mount(void *argument)
{
	struct cgroup_view *view;
	char point[PATH_MAX];

	(void)argument;
	live_check(mount_point(point, sizeof(point)) == 0);
	enter_namespace();
	/* What lies below is now hidden but still in /proc/mounts, which libcgroup cannot take. */
	live_check(mount("none", "/sys/fs/cgroup", "tmpfs", 0, NULL) == 0);
	live_check(mkdir(point, 0755) == 0 || errno == EEXIST);
	if (mount_found.v2)
		live_check(mount("none", point, "cgroup2", 0, NULL) == 0);
	else
		live_check(mount("none", point, "cgroup", 0, "memory") == 0);
	live_check(cgroup_view_new(&view) == 0);
	live_check(is_room(headroom_of(view, "/c"), 32 * MIB));
	/* The limit of 48 MiB lies above what the namespace shows. */
	live_check(is_room(headroom_of(view, "/"), 64 * MIB));
	live_check(headroom_of(view, "/../beside") == 1);
	cgroup_view_free(view);
	return 0;
}

static int see_nothing(void *argument)
{
	struct cgroup_view *view;
	struct cgroup_group *group;
	const char *hint = NULL;
	char text[4 * PATH_MAX];
	struct mntent entry;
	FILE *file;

	(void)argument;
	private_mounts(0);
	file = setmntent("/proc/self/mounts", "r");
	live_check(file);
	while (getmntent_r(file, &entry, text, sizeof(text)))
		if (strncmp(entry.mnt_type, "cgroup", 6) == 0)
			live_check(umount2(entry.mnt_dir, MNT_DETACH) == 0);
	endmntent(file);
	live_check(cgroup_view_new(&view) == -ENODEV);
	live_check(cgroup_group_new(MIB, &group, &hint) == -ENODEV);
	live_check(hint);
	return 0;
}

static int see_as_an_ordinary_user(void *argument)
{
	struct cgroup_view *view;
	struct cgroup_group *group;
	const char *hint = NULL;
	char path[PATH_MAX * 2];

	(void)argument;
	live_check(group_join("a/b/c") == 0);
	live_check(setgroups(0, NULL) == 0 && setgid(65534) == 0 && setuid(65534) == 0);
	live_check(cgroup_view_new(&view) == 0);
	text_path("a/beside", path, sizeof(path));
	live_check(is_room(headroom_of(view, path), 16 * MIB));
	cgroup_view_free(view);
	live_check(cgroup_group_new(MIB, &group, &hint) == -EACCES);
	live_check(hint && strstr(hint, "start fdwarden in"));
	return 0;
}

static void what_is_visible_is_used(void **state)
{
	bool read_only = true;

	(void)state;
	assert_int_equal(group_add("a", 48 * MIB), 0);
	assert_int_equal(group_add("a/b", 64 * MIB), 0);
	assert_int_equal(group_add("a/beside", 16 * MIB), 0);
	in_child(see_from_a_namespace, NULL);
	drop_namespace();
	in_child(see_a_namespaced_mount, NULL);
	drop_namespace();
	assert_int_equal(group_add("a/b/c", 32 * MIB), 0);
	in_child(see_a_subtree, NULL);
	in_child(see_a_subtree, &read_only);
	in_child(see_as_an_ordinary_user, NULL);
	in_child(see_nothing, NULL);
	assert_int_equal(group_drop("a/b/c"), 0);
	assert_int_equal(group_drop("a/b"), 0);
	assert_int_equal(group_drop("a/beside"), 0);
	assert_int_equal(group_drop("a"), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_tightest_of_all_levels_counts),
		cmocka_unit_test(usage_counts_in_every_ancestor),
		cmocka_unit_test(a_group_made_anew_is_noticed),
		cmocka_unit_test(many_groups_cost_a_bounded_count_of_descriptors),
		cmocka_unit_test(nothing_is_allocated_or_opened_when_cached),
		cmocka_unit_test(a_deep_group_is_measured),
		cmocka_unit_test(what_is_visible_is_used),
	};

	return cmocka_run_group_tests(tests, cgroup_setup, cgroup_teardown);
}
