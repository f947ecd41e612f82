/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Random sequences of all that processes do with files, and after each step the ledger against the
 * truth: what /proc/PID/fd and /proc/PID/map_files of all of them say, and what is in sockets.
 *
 *	FDWARDEN_RANDOM_SEED     repeats a run (default: printed, and new each time)
 *	FDWARDEN_RANDOM_SECONDS  how long (default: 5)
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <inttypes.h>
#include <poll.h>

#include "live.h"
#include "ledger.h"
#include "ledger_worker.h"
#include "base/clock.h"
#include "base/file.h"
#include "kernel/fileid.h"
#include "kernel/tmpfs.h"

#define STEPS   60 /* of one sequence */
#define WORKERS 4
#define HOLDERS 8 /* processes that only hold what they inherited */
#define TENANTS 2
#define KNOWN   256

struct file_id {
	uint64_t dev, ino;
};

struct world {
	struct ledger_fixture fixture;
	struct tenant *tenants[TENANTS];
	struct worker workers[WORKERS];
	struct stat examples[STORE_SECRET]; /* by store */
	pid_t holders[HOLDERS];
	int sockets[WORKER_SOCKETS][2];
	bool in_flight[WORKER_SOCKETS];
	int lifeline[2]; /* a pipe */
	int spill_dir;
	bool has_spill; /* the file system it is on gives handles, so that files can be measured */
	struct file_id known[KNOWN]; /* what the ledger should know of, if it lives */
	unsigned known_count;
	uint64_t random;
	unsigned sequences, steps;
};

/* xorshift64* (Vigna 2016): the same sequence everywhere. */
static uint32_t pick(struct world *world, uint32_t below)
{
	world->random ^= world->random >> 12;
	world->random ^= world->random << 25;
	world->random ^= world->random >> 27;
	return (uint32_t)((world->random * UINT64_C(0x2545F4914F6CDD1D)) >> 32) % below;
}

/* ---- The truth ---- */

struct truth {
	struct file_id seen[KNOWN];
	unsigned count;
	uint64_t size, resident, hugetlb, on_disk;
};

static bool find_id(const struct file_id *list, unsigned count, const struct stat *st)
{
	for (unsigned i = 0; i < count; i++)
		if (list[i].dev == st->st_dev && list[i].ino == st->st_ino)
			return true;
	return false;
}

static void know(struct world *world, int fd)
{
	struct stat st;

	assert_return_code(fstat(fd, &st), errno);
	if (find_id(world->known, world->known_count, &st))
		return;
	assert_in_range(world->known_count, 0, KNOWN - 1);
	world->known[world->known_count++] = (struct file_id){st.st_dev, st.st_ino};
}

static bool is_on(const struct world *world, const struct stat *st, enum store store)
{
	const struct stat *example = &world->examples[store];

	return example->st_dev == st->st_dev;
}

static void truth_add(const struct world *world, const struct stat *st, struct truth *truth)
{
	const uint64_t size = (uint64_t)st->st_size, blocks = (uint64_t)st->st_blocks * 512;

	if (!S_ISREG(st->st_mode) || !find_id(world->known, world->known_count, st) ||
		find_id(truth->seen, truth->count, st))
		return;
	assert_in_range(truth->count, 0, KNOWN - 1);
	truth->seen[truth->count++] = (struct file_id){st->st_dev, st->st_ino};
	if (is_on(world, st, STORE_HUGETLB)) {
		truth->hugetlb += size;
	} else if (is_on(world, st, STORE_DISK)) {
		truth->on_disk += size;
	} else {
		truth->size += size;
		truth->resident += blocks;
	}
}

static void truth_add_folder(
	const struct world *world, pid_t pid, const char *folder, struct truth *truth)
{
	_cleanup_closedir_ DIR *dir = NULL;
	const struct dirent *entry;
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, folder);
	dir = opendir(path);
	assert_non_null(dir);
	while ((entry = readdir(dir))) {
		struct stat st;

		if (entry->d_name[0] != '.' && fstatat(dirfd(dir), entry->d_name, &st, 0) == 0)
			truth_add(world, &st, truth);
	}
}

/* Looks at a message without taking it. */
static void truth_add_in_flight(const struct world *world, int sock, struct truth *truth)
{
	char room[CMSG_SPACE(sizeof(int))], byte;
	struct iovec iov = {.iov_base = &byte, .iov_len = 1};
	struct msghdr message = {.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = room,
		.msg_controllen = sizeof(room)};
	struct stat st;
	int fd;

	assert_int_equal(recvmsg(sock, &message, MSG_PEEK | MSG_CMSG_CLOEXEC | MSG_DONTWAIT), 1);
	assert_non_null(CMSG_FIRSTHDR(&message));
	memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof(fd));
	assert_return_code(fstat(fd, &st), errno);
	close(fd);
	truth_add(world, &st, truth);
}

static void find_truth(const struct world *world, struct truth *truth)
{
	*truth = (struct truth){0};
	for (int i = 0; i < WORKERS; i++) {
		truth_add_folder(world, world->workers[i].pid, "fd", truth);
		truth_add_folder(world, world->workers[i].pid, "map_files", truth);
	}
	for (int i = 0; i < HOLDERS; i++)
		if (world->holders[i] > 0) {
			truth_add_folder(world, world->holders[i], "fd", truth);
			truth_add_folder(world, world->holders[i], "map_files", truth);
		}
	for (int i = 0; i < WORKER_SOCKETS; i++)
		if (world->in_flight[i])
			truth_add_in_flight(world, world->sockets[i][1], truth);
}

/* ---- The comparison ---- */

static struct tenant_use use_of_all(struct world *world)
{
	struct tenant_use all = {0};

	for (int i = 0; i < TENANTS; i++) {
		struct tenant_use use = ledger_used(world->tenants[i]);

		all.memfds += use.memfds;
		all.size += use.size;
		all.resident += use.resident;
		all.hugetlb += use.hugetlb;
		all.on_disk += use.on_disk;
	}
	return all;
}

static void compare_files(struct world *world, const struct truth *truth)
{
	static struct ledger_file files[KNOWN];

	for (int i = 0; i < TENANTS; i++) {
		size_t count = tenant_files(world->tenants[i], files, KNOWN);

		for (size_t k = 0; k < count; k++) {
			const struct stat st = {.st_dev = files[k].dev, .st_ino = files[k].ino};

			assert_true(find_id(truth->seen, truth->count, &st));
		}
	}
}

static void compare(struct world *world)
{
	struct tenant_use use = use_of_all(world);
	struct truth truth;

	find_truth(world, &truth);
	assert_int_equal(use.memfds, truth.count);
	assert_int_equal(use.hugetlb, truth.hugetlb);
	if (pick(world, 2) == 0)
		ledger_sample(world->fixture.ledger, NULL);
	else
		for (int i = 0; i < TENANTS; i++)
			ledger_sample(world->fixture.ledger, world->tenants[i]);
	use = use_of_all(world);
	assert_int_equal(use.memfds, truth.count);
	assert_int_equal(use.size, truth.size);
	assert_int_equal(use.resident, truth.resident);
	assert_int_equal(use.hugetlb, truth.hugetlb);
	assert_int_equal(use.on_disk, truth.on_disk);
	compare_files(world, &truth);
}

/* ---- The steps ---- */

static int file_new(struct world *world, struct tenant *tenant, enum store store)
{
	struct tmpfs *tmpfs;

	switch (store) {
	case STORE_MEMFD:
		break;
	case STORE_TMPFS:
		assert_int_equal(tenant_tmpfs(tenant, &tmpfs), 0);
		return tmpfs_create(tmpfs, "memfd:random", false);
	case STORE_HUGETLB:
		return memfd_create("random", MFD_CLOEXEC | MFD_HUGETLB);
	case STORE_DISK:
		return openat(world->spill_dir, ".", O_TMPFILE | O_RDWR | O_EXCL | O_CLOEXEC, 0600);
	case STORE_SECRET:
		fail();
	}
	return memfd_create("random", MFD_CLOEXEC | MFD_ALLOW_SEALING);
}

/* Sometimes it comes to nothing, in one of the ways in which that happens. */
static void step_create(struct world *world, struct worker *worker)
{
	struct tenant *tenant = world->tenants[pick(world, TENANTS)];
	enum store store = pick(world, STORE_SECRET);
	const struct ledger_maker maker = {.pid = worker->pid, .name = "random", .name_len = 6};
	_cleanup_close_ int fd = -1;
	struct charge charge;

	assert_int_equal(charge_begin(&charge, tenant, store, false), QUOTA_NONE);
	if (store != STORE_DISK || world->has_spill)
		fd = file_new(world, tenant, store);
	if (fd < 0 || pick(world, 16) == 0) {
		charge_done(&charge);
		return;
	}
	assert_int_equal(charge_commit(&charge, fd, &maker), 0);
	charge_done(&charge);
	if (pick(world, 16) == 0)
		return;
	know(world, fd);
	worker_give(worker, fd, pick(world, WORKER_SLOTS));
}

static uint64_t pick_size(struct world *world, const struct stat *st)
{
	if (is_on(world, st, STORE_HUGETLB))
		return pick(world, 5) * 2 * MIB;
	return pick(world, 8) == 0 ? 0 : pick(world, 256 * KIB);
}

/* What a session does for ftruncate(2) and fallocate(2). */
static void step_grow(struct world *world, struct worker *worker)
{
	unsigned slot = pick(world, WORKER_SLOTS);
	_cleanup_close_ int fd = worker_copy(worker, slot);
	struct growth growth;
	struct stat st;
	uint64_t size;

	if (fd < 0)
		return;
	assert_return_code(fstat(fd, &st), errno);
	size = pick_size(world, &st);
	assert_true(ledger_is_memfile(world->fixture.ledger, &st));
	assert_int_equal(growth_begin(&growth, world->tenants[pick(world, TENANTS)], fd, &st, size,
				 0, false),
		QUOTA_NONE);
	know(world, fd);
	switch (pick(world, 4)) {
	case 0: /* it fails */
		break;
	case 1: /* left to the kernel; huge pages cannot be measured, so what is left stands */
		if (is_on(world, &st, STORE_HUGETLB) || size == 0)
			break;
		fd = fd_close(fd);
		worker_do(worker, WORKER_FALLOCATE, slot, (uint32_t)size);
		growth_leave(&growth);
		break;
	default:
		if (ftruncate(fd, (off_t)size) < 0)
			break;
		assert_return_code(fstat(fd, &st), errno);
		growth_commit(&growth, &st);
	}
	growth_done(&growth);
}

static void step_send(struct world *world, struct worker *worker)
{
	uint32_t sock = pick(world, WORKER_SOCKETS);

	if (world->in_flight[sock]) {
		worker_do(worker, WORKER_RECEIVE, pick(world, WORKER_SLOTS), sock);
		world->in_flight[sock] = false;
	} else {
		world->in_flight[sock] =
			worker_do(worker, WORKER_SEND, pick(world, WORKER_SLOTS), sock) == 0;
	}
}

static void worker_restart(struct world *world, struct worker *worker)
{
	worker_stop(worker);
	worker_start(worker, world->lifeline[0], world->sockets);
}

static void holder_stop(pid_t *holder)
{
	struct pollfd gone = {.fd = (int)syscall(SYS_pidfd_open, *holder, 0), .events = POLLIN};

	/* It may be no child of ours any more, so it is waited for by its pidfd. */
	assert_return_code(gone.fd, errno);
	assert_return_code(kill(*holder, SIGKILL), errno);
	assert_int_equal(poll(&gone, 1, -1), 1);
	close(gone.fd);
	waitpid(*holder, NULL, 0);
	*holder = 0;
}

/* A copy of the whole worker, or the end of one. */
static void step_fork(struct world *world, struct worker *worker)
{
	pid_t *holder = &world->holders[pick(world, HOLDERS)];

	if (*holder > 0)
		holder_stop(holder);
	else
		*holder = worker_do(worker, WORKER_FORK, 0, 0);
}

static void step(struct world *world)
{
	struct worker *worker = &world->workers[pick(world, WORKERS)];
	uint32_t what = pick(world, 100);

	if (what < 22)
		step_create(world, worker);
	else if (what < 40)
		step_grow(world, worker);
	else if (what < 52)
		step_send(world, worker);
	else if (what < 56)
		step_fork(world, worker);
	else if (what < 58)
		worker_restart(world, worker);
	else
		worker_do(worker, WORKER_FIRST_PLAIN + pick(world, WORKER_PLAIN_COUNT),
			pick(world, WORKER_SLOTS), pick(world, 256 * KIB));
}

/* ---- The runs ---- */

static void forget_all(struct world *world)
{
	for (int i = 0; i < WORKERS; i++)
		worker_restart(world, &world->workers[i]);
	for (int i = 0; i < HOLDERS; i++)
		if (world->holders[i] > 0)
			holder_stop(&world->holders[i]);
	for (int i = 0; i < WORKER_SOCKETS; i++)
		if (world->in_flight[i]) {
			char kind;
			int fd;

			assert_int_equal(message_receive_fd(world->sockets[i][1], &kind, &fd), 0);
			close(fd);
			world->in_flight[i] = false;
		}
	assert_true(ledger_is_empty(world->fixture.ledger));
	compare(world);
	world->known_count = 0;
}

static uint64_t number_from(const char *variable, uint64_t otherwise)
{
	const char *text = getenv(variable);

	return text ? strtoull(text, NULL, 10) : otherwise;
}

/* What a file in each store looks like. */
static void find_examples(struct world *world)
{
	struct fileid id;

	for (enum store store = STORE_MEMFD; store < STORE_SECRET; store++) {
		_cleanup_close_ int fd = file_new(world, world->tenants[0], store);

		if (store == STORE_DISK)
			world->has_spill = fd >= 0 && fileid_get(fd, &id) == 0;
		if (fd >= 0)
			assert_return_code(fstat(fd, &world->examples[store]), errno);
	}
}

static void world_start(struct world *world)
{
	const uint64_t seed =
		number_from("FDWARDEN_RANDOM_SEED", clock_now_ns(CLOCK_REALTIME) & UINT32_MAX);

	print_message("FDWARDEN_RANDOM_SEED=%" PRIu64 "\n", seed);
	*world = (struct world){.random = seed * 2 + 1};
	world->fixture.quotas = ledger_quotas();
	world->fixture.quotas.spill_directory = WORKER_DISK;
	fixture_start(&world->fixture);
	world->tenants[0] = world->fixture.tenant;
	assert_int_equal(tenant_get(world->fixture.ledger, "other", &world->tenants[1]), 0);
	world->spill_dir = open(WORKER_DISK, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_return_code(world->spill_dir, errno);
	for (int i = 0; i < WORKER_SOCKETS; i++)
		assert_return_code(
			socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, world->sockets[i]),
			errno);
	assert_return_code(pipe2(world->lifeline, O_CLOEXEC), errno);
	for (int i = 0; i < WORKERS; i++)
		worker_start(&world->workers[i], world->lifeline[0], world->sockets);
	find_examples(world);
}

static void world_end(struct world *world)
{
	for (int i = 0; i < WORKERS; i++)
		worker_stop(&world->workers[i]);
	for (int i = 0; i < WORKER_SOCKETS; i++) {
		close(world->sockets[i][0]);
		close(world->sockets[i][1]);
	}
	close(world->lifeline[0]);
	close(world->lifeline[1]);
	close(world->spill_dir);
	tenant_unref(world->tenants[1]);
	fixture_done(&world->fixture);
}

/* To follow the links in map_files takes CAP_SYS_ADMIN, or CAP_CHECKPOINT_RESTORE. */
static bool can_see_mappings(void)
{
	_cleanup_closedir_ DIR *dir = opendir("/proc/self/map_files");
	const struct dirent *entry;
	struct stat st;

	while (dir && (entry = readdir(dir)))
		if (entry->d_name[0] != '.')
			return fstatat(dirfd(dir), entry->d_name, &st, 0) == 0;
	return false;
}

static void the_ledger_knows_what_proc_knows(void **state)
{
	static struct world world;
	uint64_t end_ns = clock_now_ns(CLOCK_MONOTONIC) +
			  number_from("FDWARDEN_RANDOM_SECONDS", 5) * NSEC_PER_SEC;

	(void)state;
	if (!can_see_mappings())
		live_skip("no right to see the mappings of processes");
	world_start(&world);
	if (!ledger_can_measure(world.fixture.ledger))
		live_skip("open_by_handle_at(2) is not permitted");
	while (clock_now_ns(CLOCK_MONOTONIC) < end_ns) {
		for (int i = 0; i < STEPS; i++, world.steps++) {
			step(&world);
			compare(&world);
		}
		forget_all(&world);
		world.sequences++;
	}
	print_message("%u sequences, %u steps\n", world.sequences, world.steps);
	world_end(&world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_ledger_knows_what_proc_knows),
	};

	/* Holders whose worker ended are ours to wait for. */
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
