/* SPDX-License-Identifier: Apache-2.0 */

/* What tells a file on one mount from a file on another, for those who look closely. */

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/macro.h"
#include "probe.h"

#define PAGE 4096

/* The line in /proc/self/maps, without the address, the device and the inode. */
void probe_facet_maps(const struct probe_call *call, int fd)
{
	char line[1024];
	char permissions[8] = "", path[768] = "";
	uintptr_t start;

	if (ftruncate(fd, PAGE) < 0)
		return;

	void *map = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 0);

	if (map == MAP_FAILED)
		return;

	FILE *file = fopen("/proc/self/maps", "re");

	while (file && fgets(line, sizeof(line), file)) {
		if (sscanf(line, "%" SCNxPTR "-%*x %7s %*x %*x:%*x %*u %767[^\n]", &start,
			    permissions, path) >= 2 &&
			start == (uintptr_t)map)
			break;
	}
	if (file)
		fclose(file);
	munmap(map, PAGE);
	probe_report(call, "maps", "%s %s", permissions, path);
}

void probe_facet_statx(const struct probe_call *call, int fd)
{
	struct statx st;

	if (statx(fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS | STATX_BTIME, &st) < 0)
		abort();
	probe_report(call, "statx", "mask=%#x attributes=%#jx of %#jx born=%d", st.stx_mask,
		(uintmax_t)st.stx_attributes, (uintmax_t)st.stx_attributes_mask,
		st.stx_btime.tv_sec != 0);
}

static bool times_equal(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

static void stat_get(int fd, struct stat *ret)
{
	/* more than a tick of the clock that files are stamped with */
	usleep(12000);
	if (fstat(fd, ret) < 0)
		abort();
}

/* Which times move with what. Each is waited for, so only for the plainest call. */
void probe_facet_times(const struct probe_call *call, int fd)
{
	struct stat before, after;
	char byte = 'x';

	if (call->flags != MFD_CLOEXEC || strcmp(call->label, "plain") != 0)
		return;
	for (int i = 0; i < 5; i++) {
		long result = 0;

		stat_get(fd, &before);
		switch (i) {
		case 0:
			result = probe_result(pwrite(fd, &byte, 1, 0));
			break;
		case 1:
		case 2:
			result = probe_result(pread(fd, &byte, 1, 0));
			break;
		case 3:
			result = probe_result(ftruncate(fd, PAGE));
			break;
		case 4:
			result = probe_result(fchmod(fd, 0700));
			break;
		}
		stat_get(fd, &after);
		probe_report(call, "times", "%d: %ld keeps a=%d m=%d c=%d", i, result,
			times_equal(&before.st_atim, &after.st_atim),
			times_equal(&before.st_mtim, &after.st_mtim),
			times_equal(&before.st_ctim, &after.st_ctim));
	}
}

/* Each kind of fallocate(2), and where data and holes are after it. */
void probe_facet_ranges(const struct probe_call *call, int fd)
{
	static const int modes[] = {FALLOC_FL_KEEP_SIZE, 0,
		FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE,
		FALLOC_FL_ZERO_RANGE, FALLOC_FL_COLLAPSE_RANGE, FALLOC_FL_INSERT_RANGE,
		FALLOC_FL_UNSHARE_RANGE, 0x400};
	struct stat st;

	for (size_t i = 0; i < ARRAY_SIZE(modes); i++) {
		long written = probe_result(pwrite(fd, "x", 1, 2L * PAGE));
		long result = probe_result(fallocate(fd, modes[i], PAGE, 4L * PAGE));

		if (fstat(fd, &st) < 0)
			abort();
		probe_report(call, "range",
			"%#x: write=%ld fallocate=%ld size=%jd blocks=%jd data=%ld hole=%ld",
			(unsigned)modes[i], written, result, (intmax_t)st.st_size,
			(intmax_t)st.st_blocks, probe_result(lseek(fd, 0, SEEK_DATA)),
			probe_result(lseek(fd, 2L * PAGE, SEEK_HOLE)));
	}
	probe_report(call, "range", "advise=%d beyond=%ld far=%ld",
		posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED), probe_result(lseek(fd, -1, SEEK_SET)),
		probe_result(lseek(fd, 1L << 30, SEEK_DATA)));
}

void probe_facet_transfers(const struct probe_call *call, int fd)
{
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	int pipe_fds[2];
	loff_t in = 0, out = PAGE;

	if (pipe2(pipe_fds, O_CLOEXEC) < 0)
		abort();

	long written = probe_result(pwrite(fd, "abcdef", 6, 0));
	long from = probe_result(splice(fd, &in, pipe_fds[1], NULL, 6, SPLICE_F_NONBLOCK));
	long to = probe_result(splice(pipe_fds[0], NULL, fd, &out, 6, SPLICE_F_NONBLOCK));

	in = 0;
	out = 2L * PAGE;
	probe_report(call, "transfer", "write=%ld splice=%ld back=%ld copy=%ld lock=%ld", written,
		from, to, probe_result(copy_file_range(fd, &in, fd, &out, 6, 0)),
		probe_result(fcntl(fd, F_SETLK, &lock)));
	close(pipe_fds[0]);
	close(pipe_fds[1]);
}

/* What is open(2)'s doing, which the kernel's own memfds have not seen. */
void probe_facet_direct(const struct probe_call *call, int fd)
{
	char byte;
	struct iovec vec = {.iov_base = &byte, .iov_len = 1};

	probe_report(call, "nowait", "read=%ld write=%ld",
		probe_result(preadv2(fd, &vec, 1, 0, RWF_NOWAIT)),
		probe_result(pwritev2(fd, &vec, 1, 0, RWF_NOWAIT)));
	probe_report(call, "direct", "%ld", probe_result(fcntl(fd, F_SETFL, O_DIRECT)));
}

/* What inotify(7) has told since it was asked last. */
static uint32_t events_read(int watch_fd)
{
	union {
		struct inotify_event event;
		char room[4096];
	} buf;
	uint32_t seen = 0;
	ssize_t len;

	while ((len = read(watch_fd, &buf, sizeof(buf))) > 0)
		for (ssize_t at = 0; at < len;) {
			const struct inotify_event *event = (const void *)(buf.room + at);

			seen |= event->mask;
			at += (ssize_t)(sizeof(*event) + event->len);
		}
	return seen;
}

/*
 * One for all calls, because the kernel takes 10 ms to close one; out of the way of the descriptors
 * that are looked at. Returns -1 when there is none.
 */
static int watch_open(void)
{
	static int watch_fd = -1;
	int low;

	if (watch_fd >= 0)
		return watch_fd;
	low = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	watch_fd = fcntl(low, F_DUPFD_CLOEXEC, 512);
	close(low);
	return watch_fd;
}

void probe_facet_watch(const struct probe_call *call, int fd)
{
	int watch_fd = watch_open();
	char path[64], byte;
	int watch;

	if (watch_fd < 0)
		return;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	watch = inotify_add_watch(watch_fd, path, IN_ALL_EVENTS);
	probe_report(call, "watch", "add=%d", watch >= 0);

	long result = probe_result(write(fd, "x", 1));

	probe_report(call, "watch", "write=%ld events=%#" PRIx32, result, events_read(watch_fd));
	result = probe_result(pread(fd, &byte, 1, 0));
	probe_report(call, "watch", "read=%ld events=%#" PRIx32, result, events_read(watch_fd));
	result = probe_result(ftruncate(fd, PAGE));
	probe_report(call, "watch", "size=%ld events=%#" PRIx32, result, events_read(watch_fd));
	result = probe_result(fchmod(fd, 0700));
	probe_report(call, "watch", "mode=%ld events=%#" PRIx32, result, events_read(watch_fd));
	inotify_rm_watch(watch_fd, watch);
	(void)events_read(watch_fd);
}
