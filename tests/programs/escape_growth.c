/* SPDX-License-Identifier: Apache-2.0 */

/* Attempts to make files larger than the policy's limits. */

#include <errno.h>
#include <fcntl.h>
#include <linux/io_uring.h>
#include <linux/magic.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/macro.h"
#include "base/memfd.h"
#include "escape.h"

#define FILES_MAX 64

/* A way for a file to have, or to hold, so many bytes more than nothing. */
struct way {
	void (*prepare)(int fd, uint64_t bytes); /* of all files before the first grows; or NULL */
	void (*grow)(int fd, uint64_t bytes);
	bool sizes;       /* it is about sizes, not memory */
	bool outlives_us; /* kills the supervisor in between */
};

static void touch(int fd, uint64_t bytes);

static uint64_t measure(const struct way *way, int fd)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return 0;
	return way->sizes ? (uint64_t)st.st_size : (uint64_t)st.st_blocks * 512;
}

static uint64_t smaller(uint64_t a, uint64_t b)
{
	if (a == 0 || b == 0)
		return a + b;
	return a < b ? a : b;
}

/* Makes count files, grows each to bytes. Whether that came to more than limit, all together. */
static enum outcome grow_files(
	const struct way *way, unsigned flags, size_t count, uint64_t bytes, uint64_t limit)
{
	int fds[FILES_MAX];
	size_t made = 0;
	uint64_t total = 0;
	enum outcome outcome = STOPPED;

	while (made < count && made < FILES_MAX &&
		(fds[made] = make(NAME_OTHER, MFD_CLOEXEC | flags)) >= 0)
		made++;
	for (size_t i = 0; way->prepare && i < made; i++)
		way->prepare(fds[i], bytes);
	if (way->outlives_us && !kill_supervisor())
		return LACKING;
	for (size_t i = 0; i < made; i++) {
		way->grow(fds[i], bytes);
		total += measure(way, fds[i]);
	}
	if (total > limit)
		outcome = way->outlives_us ? GOT_PAST : await_answer();
	for (size_t i = 0; i < made; i++)
		close(fds[i]);
	return outcome;
}

/* One file beyond its limit; many beyond their sum; one file where there is neither. */
static enum outcome try_flags(const struct way *way, unsigned flags)
{
	uint64_t sum = way->sizes ? limits.size : smaller(limits.size, limits.resident);
	enum outcome outcome = LACKING;

	if (limits.file && !(sum && way->outlives_us))
		outcome = grow_files(way, flags, 1, limits.file + MIB, limits.file);
	if (sum)
		outcome = worst(outcome, grow_files(way, flags, sum / MIB + 2, MIB, sum));
	if (!limits.file && !sum)
		outcome = grow_files(way, flags, 1, 4 * MIB, 3 * MIB);
	return outcome;
}

static enum outcome try_both(const struct way *way)
{
	return worst(try_flags(way, MFD_ALLOW_SEALING), try_flags(way, 0));
}

/* ---- Ways ---- */

static void by_ftruncate(int fd, uint64_t bytes)
{
	(void)!ftruncate(fd, (off_t)bytes);
}

static void by_truncate(int fd, uint64_t bytes)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	(void)!truncate(path, (off_t)bytes);
}

static void by_fallocate(int fd, uint64_t bytes)
{
	(void)!fallocate(fd, 0, 0, (off_t)bytes);
}

static void by_keep_size(int fd, uint64_t bytes)
{
	(void)!fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, (off_t)bytes);
}

/* With a page far behind the end, of which no count of the pages before the end may make use. */
static void by_fallocate_behind(int fd, uint64_t bytes)
{
	const off_t step = 65536;

	(void)!fallocate(fd, FALLOC_FL_KEEP_SIZE, (off_t)(16 * bytes), step);
	for (off_t at = 0; at < (off_t)bytes; at += step)
		if (fallocate(fd, 0, at, step) < 0)
			return;
}

static void by_write(int fd, uint64_t bytes)
{
	static char block[65536];

	memset(block, 'x', sizeof(block));
	for (uint64_t at = 0; at < bytes; at += sizeof(block))
		if (pwrite(fd, block, sizeof(block), (off_t)at) <= 0)
			return;
}

static sigjmp_buf bus;

static void on_bus(int signo)
{
	(void)signo;
	siglongjmp(bus, 1);
}

/* Writes to each page; the kernel says SIGBUS where it has none to give. */
static void touch(int fd, uint64_t bytes)
{
	volatile char *map = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (map == MAP_FAILED)
		return;
	signal(SIGBUS, on_bus);
	if (sigsetjmp(bus, 1) == 0)
		for (uint64_t at = 0; at < bytes; at += 4096)
			map[at] = 'x';
	signal(SIGBUS, SIG_DFL);
	munmap((void *)map, bytes);
}

static void by_hole(int fd, uint64_t bytes)
{
	touch(fd, bytes);
	(void)!fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, (off_t)bytes);
	touch(fd, bytes);
}

static void by_write_and_touch(int fd, uint64_t bytes)
{
	by_write(fd, bytes);
	touch(fd, bytes);
}

static enum outcome try_ftruncate(void)
{
	return try_both(&(struct way){.grow = by_ftruncate, .sizes = true});
}

static enum outcome try_fallocate(void)
{
	enum outcome outcome = try_both(&(struct way){.grow = by_fallocate});

	/* The page behind the end is memory; no size shows it (keep-size). */
	if (limits.resident)
		outcome = worst(outcome, try_both(&(struct way){.grow = by_fallocate_behind}));
	return outcome;
}

static enum outcome try_keep_size(void)
{
	return try_both(&(struct way){.grow = by_keep_size});
}

static enum outcome try_punch_hole(void)
{
	return try_both(&(struct way){.prepare = by_ftruncate, .grow = by_hole});
}

static enum outcome try_truncate(void)
{
	return try_both(&(struct way){.grow = by_truncate, .sizes = true});
}

static enum outcome try_write(void)
{
	return try_flags(&(struct way){.grow = by_write}, MFD_ALLOW_SEALING);
}

static enum outcome try_write_tmpfs(void)
{
	return try_flags(&(struct way){.grow = by_write}, 0);
}

static enum outcome try_page_fault(void)
{
	return try_flags(&(struct way){.prepare = by_ftruncate, .grow = touch}, MFD_ALLOW_SEALING);
}

static enum outcome try_page_fault_tmpfs(void)
{
	return try_flags(&(struct way){.prepare = by_ftruncate, .grow = touch}, 0);
}

/* There is one supervisor to kill, so one kind of file only: the one that is limited least. */
static enum outcome try_kill_growth(void)
{
	const struct way way = {
		.prepare = by_ftruncate, .grow = by_write_and_touch, .outlives_us = true};
	int fd = make(NAME_OTHER, MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0)
		return try_flags(&way, 0);
	close(fd);
	return try_flags(&way, MFD_ALLOW_SEALING);
}

/* On a disk, where the policy has such a file. */
static enum outcome try_write_disk(void)
{
	int fd = make(NAME_DISK, MFD_CLOEXEC);
	struct statfs fs;
	struct stat st;

	if (fd < 0 || fstatfs(fd, &fs) < 0 || fs.f_type == TMPFS_MAGIC)
		return STOPPED;
	by_write(fd, limits.spill + MIB);
	if (fstat(fd, &st) < 0 || (uint64_t)st.st_size <= limits.spill)
		return STOPPED;
	return await_answer_to(NAME_DISK);
}

static enum outcome try_open_trunc(void)
{
	int fd = make(NAME_OTHER, MFD_CLOEXEC);
	struct stat st;
	char path[64];
	int again;

	if (fd < 0)
		return STOPPED;
	by_write(fd, 65536);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	again = open(path, O_RDWR | O_TRUNC | O_CLOEXEC);
	if (again < 0 || fstat(again, &st) < 0)
		return STOPPED;
	return st.st_size > 65536 ? GOT_PAST : STOPPED;
}

/* ---- Two threads ---- */

/* The second thread lets a number stand for a memfd and for an ordinary file in turn. */
struct swap {
	int memfd, file, number;
	atomic_bool stop;
};

static void *swap_thread(void *argument)
{
	struct swap *swap = argument;

	while (!atomic_load(&swap->stop)) {
		dup2(swap->memfd, swap->number);
		dup2(swap->file, swap->number);
	}
	return NULL;
}

#define SWAP_TRIES 3000

/* The limit that one file's size meets first. */
static uint64_t size_limit(void)
{
	uint64_t limit = smaller(limits.file, limits.size);

	return limit ? limit : 3 * MIB;
}

static enum outcome try_swap(void (*grow)(int fd, uint64_t bytes))
{
	struct swap swap = {.memfd = make(NAME_OTHER, MFD_CLOEXEC | MFD_ALLOW_SEALING)};
	struct way sizes = {.sizes = true};
	enum outcome outcome = STOPPED;
	char path[] = "/tmp/escape-swap.XXXXXX";
	pthread_t thread;

	if (swap.memfd < 0)
		return STOPPED;
	swap.file = mkstemp(path);
	if (swap.file < 0 || unlink(path) < 0)
		return LACKING;
	swap.number = dup(swap.file);
	if (pthread_create(&thread, NULL, swap_thread, &swap) != 0)
		return LACKING;
	for (int i = 0; i < SWAP_TRIES && outcome == STOPPED; i++) {
		grow(swap.number, size_limit() + MIB);
		if (measure(&sizes, swap.memfd) > size_limit())
			outcome = await_answer();
	}
	atomic_store(&swap.stop, true);
	pthread_join(thread, NULL);
	return outcome;
}

static enum outcome try_ftruncate_swap(void)
{
	return try_swap(by_ftruncate);
}

static enum outcome try_fallocate_swap(void)
{
	return try_swap(by_fallocate);
}

/* ---- io_uring, without a library ---- */

struct ring {
	int fd;
	char *queue;
	struct io_uring_sqe *entries;
	struct io_uring_params params;
};
static struct ring ring;

static bool ring_open(void)
{
	size_t size;

	ring.fd = (int)syscall(SYS_io_uring_setup, 1, &ring.params);
	if (ring.fd < 0)
		return false;
	size = ring.params.sq_off.array + ring.params.sq_entries * sizeof(uint32_t);
	ring.queue = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, ring.fd,
		IORING_OFF_SQ_RING);
	ring.entries = mmap(NULL, ring.params.sq_entries * sizeof(struct io_uring_sqe),
		PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, ring.fd, IORING_OFF_SQES);
	return ring.queue != MAP_FAILED && ring.entries != MAP_FAILED;
}

/* One write for each block, each waited for. */
static void by_ring(int fd, uint64_t bytes)
{
	static char block[65536];
	uint32_t *tail = (uint32_t *)(void *)(ring.queue + ring.params.sq_off.tail);
	uint32_t *array = (uint32_t *)(void *)(ring.queue + ring.params.sq_off.array);

	for (uint64_t at = 0; at < bytes; at += sizeof(block)) {
		ring.entries[0] = (struct io_uring_sqe){
			.opcode = IORING_OP_WRITE,
			.fd = fd,
			.off = at,
			.addr = (uintptr_t)block,
			.len = sizeof(block),
		};
		array[0] = 0;
		__atomic_store_n(tail, *tail + 1, __ATOMIC_RELEASE);
		if (syscall(SYS_io_uring_enter, ring.fd, 1, 1, IORING_ENTER_GETEVENTS, NULL, 0) < 0)
			return;
		/* The completions are as many as the queue has room for, and nobody reads them. */
		uint32_t *head = (uint32_t *)(void *)(ring.queue + ring.params.cq_off.head);

		__atomic_store_n(head, *head + 1, __ATOMIC_RELEASE);
	}
}

static enum outcome try_io_uring(void)
{
	if (!ring_open())
		return errno == ENOSYS ? LACKING : STOPPED;
	return try_both(&(struct way){.grow = by_ring});
}

const struct attempt growth_attempts[] = {
	{"ftruncate", try_ftruncate},
	{"ftruncate-swap", try_ftruncate_swap},
	{"fallocate", try_fallocate},
	{"fallocate-swap", try_fallocate_swap},
	{"keep-size", try_keep_size},
	{"punch-hole", try_punch_hole},
	{"truncate", try_truncate},
	{"open-trunc", try_open_trunc},
	{"write", try_write},
	{"write-tmpfs", try_write_tmpfs},
	{"write-disk", try_write_disk},
	{"page-fault", try_page_fault},
	{"page-fault-tmpfs", try_page_fault_tmpfs},
	{"io-uring", try_io_uring},
	{"kill-growth", try_kill_growth},
	{NULL, NULL},
};
