/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Each call that the ledger makes to the kernel or for memory fails once, in a run of its own: then
 * nothing is left over, no charge, no token, no descriptor. The linker puts the __wrap functions in
 * place of those.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <sys/fanotify.h>
#include <sys/inotify.h>
#include <sys/random.h>
#include <sys/statfs.h>

#include "live.h"
#include "ledger.h"
#include "core/ledger_table.h"
#include "kernel/tmpfs.h"

static bool armed;         /* only what the ledger calls counts */
static unsigned calls;     /* so far in this run */
static unsigned failing;   /* which one fails; 0: none */
static const char *failed; /* its name */

static bool fails(const char *name)
{
	if (!armed || ++calls != failing)
		return false;
	failed = name;
	return true;
}

#define WRAP(type, name, params, args, bad, error) \
	type __real_##name params; \
	type __wrap_##name params; \
	type __wrap_##name params \
	{ \
		if (!fails(#name)) \
			return __real_##name args; \
		errno = (error); \
		return (bad); \
	}

WRAP(int, memfd_create, (const char *name, unsigned flags), (name, flags), -1, EMFILE)
WRAP(int, fanotify_init, (unsigned flags, unsigned event_flags), (flags, event_flags), -1, EMFILE)
WRAP(int, fanotify_mark, (int fd, unsigned flags, uint64_t mask, int at, const char *path),
	(fd, flags, mask, at, path), -1, ENOSPC)
WRAP(int, inotify_init1, (int flags), (flags), -1, EMFILE)
WRAP(int, inotify_add_watch, (int fd, const char *path, uint32_t mask), (fd, path, mask), -1,
	ENOSPC)
WRAP(int, name_to_handle_at,
	(int dir, const char *path, struct file_handle *handle, int *mount, int flags),
	(dir, path, handle, mount, flags), -1, EOPNOTSUPP)
WRAP(int, open_by_handle_at, (int mount, struct file_handle *handle, int flags),
	(mount, handle, flags), -1, EMFILE)
WRAP(int, fstat, (int fd, struct stat *st), (fd, st), -1, EIO)
WRAP(int, fstatfs, (int fd, struct statfs *st), (fd, st), -1, EIO)
WRAP(ssize_t, read, (int fd, void *buf, size_t size), (fd, buf, size), -1, EIO)
WRAP(ssize_t, getrandom, (void *buf, size_t size, unsigned flags), (buf, size, flags), -1, ENOSYS)
WRAP(void *, calloc, (size_t count, size_t size), (count, size), NULL, ENOMEM)
WRAP(void *, reallocarray, (void *p, size_t count, size_t size), (p, count, size), NULL, ENOMEM)
WRAP(void *, mmap, (void *p, size_t size, int prot, int flags, int fd, off_t offset),
	(p, size, prot, flags, fd, offset), MAP_FAILED, ENOMEM)
/* With all the arguments that are used of those that there can be. */
WRAP(void *, mremap, (void *p, size_t size, size_t new_size, int flags), (p, size, new_size, flags),
	MAP_FAILED, ENOMEM)
WRAP(int, tmpfs_new, (uint64_t size, struct tmpfs **ret), (size, ret), -EPERM, 0)
WRAP(int, tmpfs_resize, (struct tmpfs * tmpfs, uint64_t size), (tmpfs, size), -EIO, 0)
WRAP(int, tmpfs_used, (struct tmpfs * tmpfs, uint64_t *ret), (tmpfs, ret), -EIO, 0)

/* Something that the ledger does. */
#define under_fault(call) \
	({ \
		armed = true; \
		__typeof__(call) result_ = (call); \
		armed = false; \
		result_; \
	})
#define under_fault_void(call) (armed = true, (call), (void)(armed = false))

/* ---- One run ---- */

#define FILES 16
#define BURST 1000
/* As many as the first mapping takes, but a few. */
#define FILES_BEFORE (TABLE_MAPPING_MIN / sizeof(struct entry) - 6)

struct run {
	struct ledger *ledger;
	struct tenant *tenant;
	int fds[FILES];
	int *before;
	unsigned count, entered;
	unsigned secrets; /* they stay until the tenant goes */
};

static int open_store(struct run *run, enum store store)
{
	struct tmpfs *tmpfs;

	switch (store) {
	case STORE_MEMFD:
		break;
	case STORE_TMPFS:
		if (under_fault(tenant_tmpfs(run->tenant, &tmpfs)) < 0)
			return -1;
		return tmpfs_create(tmpfs, "memfd:x", false);
	case STORE_DISK:
		return open("/tmp", O_TMPFILE | O_EXCL | O_RDWR | O_CLOEXEC, 0600);
	case STORE_HUGETLB:
		return memfd_create("x", MFD_CLOEXEC | MFD_HUGETLB);
	case STORE_SECRET:
		return (int)syscall(SYS_memfd_secret, (unsigned)O_CLOEXEC);
	}
	return memfd_create("x", MFD_CLOEXEC);
}

static void make_file(struct run *run, enum store store)
{
	const struct ledger_maker maker = {.name = "x", .name_len = 1};
	struct charge charge;
	int fd;

	assert_int_equal(under_fault(charge_begin(&charge, run->tenant, store, false)), QUOTA_NONE);
	fd = open_store(run, store);
	if (fd >= 0 && under_fault(charge_commit(&charge, fd, &maker)) == 0) {
		run->secrets += store == STORE_SECRET;
		run->entered++;
		run->fds[run->count++] = fd;
	} else {
		fd_close(fd);
	}
	under_fault_void(charge_done(&charge));
}

/* ftruncate(2) of a file, as far as the ledger lets it; how 0, 1, 2: commit, leave, done. */
static void grow_file(struct run *run, int fd, unsigned how)
{
	struct growth growth;
	struct stat st;
	enum quota quota;

	assert_return_code(fstat(fd, &st), errno);
	quota = under_fault(growth_begin(
		&growth, run->tenant, fd, &st, (uint64_t)st.st_size + 2 * MIB, 0, false));
	if (quota == QUOTA_NONE && how == 0 && ftruncate(fd, st.st_size + 2 * (off_t)MIB) == 0) {
		assert_return_code(fstat(fd, &st), errno);
		under_fault_void(growth_commit(&growth, &st));
	} else if (how == 1) {
		under_fault_void(growth_leave(&growth));
	}
	under_fault_void(growth_done(&growth));
}

static void use_ledger(struct run *run, const struct policy_quotas *quotas)
{
	struct ledger_file files[4];
	struct tenant_use use;
	int native;

	for (enum store store = STORE_MEMFD; store <= STORE_SECRET; store++) {
		make_file(run, store);
		make_file(run, store);
	}
	native = memfd_create("native", MFD_CLOEXEC);
	assert_return_code(native, errno);
	run->fds[run->count++] = native;
	for (unsigned i = 0; i < run->count; i++)
		grow_file(run, run->fds[i], i % 3);
	under_fault_void(ledger_sample(run->ledger, NULL));
	close(run->fds[0]);
	run->fds[0] = -1;
	under_fault_void(tenant_use(run->tenant, &use));
	under_fault(tenant_files(run->tenant, files, 4));
	under_fault_void(ledger_set_quotas(run->ledger, quotas));
}

/* The tokens that are left, none of which is used up by this. */
static unsigned count_tokens(struct run *run)
{
	static struct charge charges[BURST + 1];
	unsigned count = 0;

	while (charge_begin(&charges[count], run->tenant, STORE_MEMFD, false) == QUOTA_NONE)
		count++;
	for (unsigned i = 0; i < count; i++)
		charge_done(&charges[i]);
	return count;
}

static void fill_ledger(struct run *run)
{
	run->before = calloc(FILES_BEFORE, sizeof(*run->before));
	assert_non_null(run->before);
	for (unsigned i = 0; i < FILES_BEFORE; i++, run->entered++)
		run->before[i] = ledger_memfd(run->tenant);
}

static void empty_ledger(struct run *run)
{
	for (unsigned i = 0; i < FILES_BEFORE; i++)
		close(run->before[i]);
	free(run->before);
	for (unsigned i = 0; i < run->count; i++)
		fd_close(run->fds[i]);
}

static void nothing_is_left(struct run *run)
{
	struct tenant_use use;
	unsigned tokens;

	tenant_use(run->tenant, &use);
	tokens = count_tokens(run);
	if (use.memfds > run->secrets || use.size > 0 || use.resident > 0 || use.hugetlb > 0 ||
		use.on_disk > 0 || tokens != BURST - run->entered)
		fail_msg("%d files, %d bytes, %d tokens left when call %u fails, %s",
			(int)use.memfds, (int)use.size, (int)(tokens - (BURST - run->entered)),
			failing, failed);
}

static void run_once(void)
{
	struct policy_quotas quotas = ledger_quotas();
	const struct ledger_config config = {.quotas = &quotas};
	struct run run = {0};

	quotas.limits[QUOTA_RATE] = 1;
	quotas.rate_period_s = 3600;
	quotas.burst = BURST;
	quotas.spill_directory = "/tmp";
	if (under_fault(ledger_new(&config, &run.ledger)) < 0)
		return;
	if (under_fault(tenant_get(run.ledger, "x", &run.tenant)) == 0) {
		fill_ledger(&run);
		use_ledger(&run, &quotas);
		empty_ledger(&run);
		nothing_is_left(&run);
		tenant_unref(run.tenant);
	}
	ledger_free(run.ledger);
}

static unsigned count_descriptors(void)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned count = 0;

	assert_non_null(dir);
	while (readdir(dir))
		count++;
	closedir(dir);
	return count;
}

static void nothing_is_left_by_any_failure(void **state)
{
	unsigned before;

	(void)state;
	run_once();
	before = count_descriptors();
	for (failing = 1;; failing++) {
		calls = 0;
		failed = NULL;
		run_once();
		if (!failed)
			break;
		if (count_descriptors() != before)
			fail_msg("descriptors left when call %u fails, %s", failing, failed);
	}
	print_message("%u calls failed\n", failing - 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_is_left_by_any_failure),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
