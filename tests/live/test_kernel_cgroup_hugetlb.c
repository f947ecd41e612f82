/* SPDX-License-Identifier: Apache-2.0 */

/* The room for huge pages, in groups of our own where the controller is there. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/memfd.h"
#include "kernel/cgroup_hugetlb.h"
#include "live_cgroup.h"
#include "live_tree.h"

#define PAGE_2MB (21U << MFD_HUGE_SHIFT)

/* Whether the machine has pages of 2 MiB, as all of x86 and most others do. */
static bool have_2mb(struct hugetlb_room *ret_room)
{
	int r = hugetlb_headroom(getpid(), PAGE_2MB, ret_room);

	assert_true(r == 0 || r == -ENODEV);
	return r == 0;
}

static void the_size_of_pages_comes_from_the_flags(void **state)
{
	struct hugetlb_room room, default_room;

	(void)state;
	if (!have_2mb(&room))
		live_skip("the machine has no pages of 2 MiB");
	assert_int_equal(room.page_bytes, 2 * MIB);
	assert_int_equal(hugetlb_headroom(getpid(), MFD_HUGETLB, &default_room), 0);
	assert_true(default_room.page_bytes >= MIB);
	assert_int_equal(hugetlb_headroom(getpid(), 13U << MFD_HUGE_SHIFT, &room), -ENODEV);
	assert_int_equal(hugetlb_headroom(getpid(), 63U << MFD_HUGE_SHIFT, &room), -ENODEV);
	assert_int_equal(hugetlb_headroom(INT_MAX, PAGE_2MB, &room), -ESRCH);
}

static const char *file(const char *kind)
{
	static char name[64];

	snprintf(name, sizeof(name), "hugetlb.2MB.%s%s", kind,
		mount_found.v2 ? "max" : "limit_in_bytes");
	return name;
}

static void join_and_stay(int ready, void *argument)
{
	live_check(group_join(argument) == 0);
	tree_stay(ready, "r", 1);
}

static uint64_t room_of(pid_t pid)
{
	struct hugetlb_room room = {0};

	assert_int_equal(hugetlb_headroom(pid, PAGE_2MB, &room), 0);
	return room.cgroup_bytes;
}

static void levels(void)
{
	static char below[] = "below";
	char byte;

	if (mount_found.v2)
		assert_int_equal(write_at(at(NULL, "cgroup.subtree_control"), "+hugetlb"), 0);
	assert_return_code(mkdirat(mount_found.dir_fd, at(below, NULL), 0755), errno);

	struct tree_child child = tree_start(join_and_stay, below);

	tree_hear(&child, &byte, 1);

	uint64_t none = room_of(child.pid);

	assert_int_equal(write_at(at(below, file("")), "8388608"), 0);
	assert_int_equal(room_of(child.pid), 8 * MIB);
	assert_int_equal(write_at(at(NULL, file("")), "4194304"), 0);
	assert_int_equal(room_of(child.pid), 4 * MIB);
	assert_int_equal(write_at(at(below, file("rsvd.")), "2097152"), 0);
	assert_int_equal(room_of(child.pid), 2 * MIB);
	assert_int_equal(room_of(getpid()), none);
	tree_end(&child);
	assert_int_equal(group_drop(below), 0);
}

static void the_tightest_of_all_levels_counts(void **state)
{
	char path[PATH_MAX], own[PATH_MAX] = "";
	struct hugetlb_room room;

	(void)state;
	live_require_root();
	if (!have_2mb(&room) || cgroup_mount_find(CGROUP_HUGETLB, &mount_found) < 0)
		live_skip("no hugetlb controller here");
	if (!mount_found.v2) {
		assert_int_equal(cgroup_mount_path_of(&mount_found, AT_FDCWD, path), 0);
		if (cgroup_mount_relative(&mount_found, path, strlen(path), own) < 0)
			live_skip("our own group is not visible here");
	}
	snprintf(base, sizeof(base), "%.*s%sfdwarden-test-%d", 2000, own, own[0] ? "/" : "",
		getpid());

	char before[512] = "";
	ssize_t n = fd_read_file_at(
		mount_found.dir_fd, "cgroup.subtree_control", before, sizeof(before));
	bool enabled = n > 0 && strstr(before, "hugetlb");

	if (mount_found.v2 && write_at("cgroup.subtree_control", "+hugetlb") < 0)
		live_skip("the hugetlb controller cannot be handed down here");
	if (mkdirat(mount_found.dir_fd, base, 0755) < 0)
		live_skip("the cgroup file system is not writable here");
	levels();
	assert_int_equal(group_drop(NULL), 0);
	/* Others may use it by now. */
	if (mount_found.v2 && !enabled)
		(void)write_at("cgroup.subtree_control", "-hugetlb");
	cgroup_mount_done(&mount_found);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_size_of_pages_comes_from_the_flags),
		cmocka_unit_test(the_tightest_of_all_levels_counts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
