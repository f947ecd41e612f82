/* SPDX-License-Identifier: Apache-2.0 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sys/mman.h>

#include "live.h"
#include "base/memfd.h"
#include "kernel/fileid.h"
#include "kernel/filewatch.h"
#include "kernel/memdev.h"

/* What was reported or listed. */
struct names {
	struct filewatch_name list[8];
	unsigned count;
};

static void take_name(const struct filewatch_name *name, void *userdata)
{
	struct names *names = userdata;

	assert_in_range(names->count, 0, 7);
	names->list[names->count++] = *name;
}

static int file_new(void)
{
	int fd = memfd_create("file", MFD_CLOEXEC);

	assert_return_code(fd, errno);
	return fd;
}

static void start(struct filewatch *watch, enum filewatch_kind kind)
{
	int r = filewatch_init(watch, kind);

	if (r == -ENOSYS || r == -EPERM)
		live_skip("no fanotify");
	assert_int_equal(r, 0);
}

/* ---- Weak references ---- */

static void reference_lasts_as_long_as_the_file(void **state)
{
	int mount = file_new(), fd = file_new();
	struct fileid id, again, other;
	struct stat st;
	int r;

	(void)state;
	assert_int_equal(fileid_get(fd, &id), 0);
	assert_int_equal(fileid_get(fd, &again), 0);
	assert_int_equal(fileid_get(mount, &other), 0);
	assert_memory_equal(&id, &again, sizeof(id));
	assert_memory_not_equal(&id, &other, sizeof(id));
	assert_return_code(ftruncate(fd, 12345), errno);
	r = fileid_stat(mount, &id, &st);
	if (r == -EPERM)
		live_skip("open_by_handle_at(2) is not permitted");
	assert_int_equal(r, 0);
	assert_int_equal(st.st_size, 12345);
	close(fd);
	assert_int_equal(fileid_stat(mount, &id, &st), -ESTALE);
	close(mount);
	assert_int_equal(fileid_get(mount, &id), -EBADF);
}

static void reference_to_huge_pages_there_is_none(void **state)
{
	int fd = memfd_create("huge", MFD_CLOEXEC | MFD_HUGETLB);
	struct fileid id;

	(void)state;
	if (fd < 0)
		live_skip("no huge pages");
	assert_int_equal(fileid_get(fd, &id), -EOPNOTSUPP);
	close(fd);
}

/* ---- Watches ---- */

static void fanotify_names_the_file(void **state)
{
	int kept = file_new(), fd = file_new();
	struct names names = {0};
	struct filewatch watch;
	struct fileid id;
	uint64_t fsid;
	struct stat st;
	uint32_t wd;

	(void)state;
	start(&watch, FILEWATCH_FANOTIFY);
	assert_int_equal(filewatch_add(&watch, kept, &wd), 0);
	assert_int_equal(filewatch_add(&watch, fd, &wd), 0);
	assert_int_equal(filewatch_add(&watch, fd, &wd), 0);
	assert_int_equal(wd, 0);
	assert_int_equal(fileid_get(fd, &id), 0);
	assert_int_equal(filewatch_fsid(fd, &fsid), 0);
	assert_int_equal(filewatch_read(&watch, take_name, &names), 0);
	close(fd);
	assert_int_equal(filewatch_read(&watch, take_name, &names), 1);
	assert_int_equal(names.count, 1);
	assert_int_equal(names.list[0].wd, 0);
	assert_int_equal(names.list[0].fsid, fsid);
	assert_memory_equal(&names.list[0].id, &id, sizeof(id));
	assert_int_equal(filewatch_read(&watch, take_name, &names), 0);
	/* The list has what is left. */
	names.count = 0;
	assert_int_equal(filewatch_list(&watch, take_name, &names), 0);
	assert_int_equal(names.count, 1);
	assert_return_code(fstat(kept, &st), errno);
	assert_int_equal(names.list[0].dev, st.st_dev);
	assert_int_equal(names.list[0].ino, st.st_ino);
	filewatch_remove(&watch, kept, 0);
	close(kept);
	assert_int_equal(filewatch_read(&watch, take_name, &names), 0);
	filewatch_done(&watch);
	assert_int_equal(filewatch_add(&watch, kept, &wd), -EBADF);
}

static void inotify_numbers_the_watch(void **state)
{
	int kept = file_new(), fd = file_new();
	struct names names = {0};
	struct filewatch watch;
	uint32_t wd, kept_wd;

	(void)state;
	start(&watch, FILEWATCH_INOTIFY);
	assert_int_equal(filewatch_add(&watch, kept, &kept_wd), 0);
	assert_int_equal(filewatch_add(&watch, fd, &wd), 0);
	assert_int_not_equal(wd, kept_wd);
	close(fd);
	assert_int_equal(filewatch_read(&watch, take_name, &names), 1);
	assert_in_range(names.count, 1, 2);
	assert_int_equal(names.list[0].wd, wd);
	names.count = 0;
	assert_int_equal(filewatch_list(&watch, take_name, &names), 0);
	assert_int_equal(names.count, 1);
	assert_int_equal(names.list[0].wd, kept_wd);
	filewatch_remove(&watch, kept, kept_wd);
	names.count = 0;
	assert_int_equal(filewatch_list(&watch, take_name, &names), 0);
	assert_int_equal(names.count, 0);
	close(kept);
	filewatch_done(&watch);
}

/* ---- Devices ---- */

static void devices_of_memory(void **state)
{
	int memfd = file_new(), huge = memfd_create("huge", MFD_CLOEXEC | MFD_HUGETLB);
	int secret = (int)syscall(SYS_memfd_secret, (unsigned)O_CLOEXEC);
	struct memdevs devs;
	struct stat st;

	(void)state;
	assert_int_equal(memdev_find(&devs), 0);
	assert_return_code(fstat(memfd, &st), errno);
	assert_int_equal(memdev_kind(&devs, st.st_dev), MEMDEV_MEMFD);
	if (fstat(huge, &st) == 0)
		assert_int_equal(memdev_kind(&devs, st.st_dev), MEMDEV_HUGETLB);
	if (fstat(secret, &st) == 0)
		assert_int_equal(memdev_kind(&devs, st.st_dev), MEMDEV_SECRET);
	assert_return_code(stat("/proc", &st), errno);
	assert_int_equal(memdev_kind(&devs, st.st_dev), MEMDEV_OTHER);
	close(memfd);
	fd_close(huge);
	fd_close(secret);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reference_lasts_as_long_as_the_file),
		cmocka_unit_test(reference_to_huge_pages_there_is_none),
		cmocka_unit_test(fanotify_names_the_file),
		cmocka_unit_test(inotify_numbers_the_watch),
		cmocka_unit_test(devices_of_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
