/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/holders.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/kcmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/file.h"
#include "base/text.h"
#include "kernel/lookout.h"
#include "kernel/process.h"

/* Descriptors, mappings and threads that are looked at: half a second of work, or one. */
#define LOOKS_MAX 262144

/* Several times what all of them take. */
#define LOOK_MS 2000

/* One of the files that are looked for. */
struct wanted {
	uint64_t dev, ino;
	uint64_t bytes;
	uint32_t seen_in; /* the number of the process that it was seen in last */
};

/* A look at one process, which may never end: it owns what it works with (kernel/lookout.h). */
struct search {
	struct wanted *files; /* owned; sorted */
	size_t count;
	uint64_t share;        /* looks left for this process */
	uint32_t number;       /* of the process, from 1 */
	struct process target; /* the process */
	struct holder found;
	uint64_t shared; /* of its memory */
	int error;
};

static void search_drop(void *argument)
{
	struct search *search = argument;

	free(search->files);
	free(search);
}

static int compare_files(const void *a, const void *b)
{
	const struct wanted *left = a, *right = b;

	if (left->ino != right->ino)
		return left->ino < right->ino ? -1 : 1;
	return (left->dev > right->dev) - (left->dev < right->dev);
}

/*
 * Takes note of one file that the process holds, which takes so many bytes; again and again for one
 * is the same.
 */
static void search_see(struct search *search, uint64_t dev, uint64_t ino, uint64_t bytes)
{
	const struct wanted key = {.dev = dev, .ino = ino};
	struct wanted *file =
		bsearch(&key, search->files, search->count, sizeof(key), compare_files);

	if (!file || file->seen_in == search->number)
		return;
	if (file->bytes == HOLDER_UNKNOWN)
		file->bytes = bytes;
	if (file->bytes == HOLDER_UNKNOWN)
		return;
	file->seen_in = search->number;
	search->found.held_bytes += file->bytes;
}

/* False when the share is used up. */
static bool search_may_look(struct search *search)
{
	if (search->share == 0) {
		search->found.partial = true;
		return false;
	}
	search->share--;
	return true;
}

/* ---- Descriptors ---- */

/*
 * Looks at descriptors until there are no more, or the share is down to floor. Stores the last
 * number that was looked at. Returns false when there are more.
 */
static bool look_at_fds(struct search *search, DIR *dir, uint64_t floor, uint64_t *ret_last)
{
	const struct dirent *entry;
	struct statx stx;

	while ((entry = readdir(dir))) {
		if (entry->d_name[0] == '.')
			continue;
		if (search->share <= floor)
			return false;
		search->share--;
		*ret_last = strtoull(entry->d_name, NULL, 10);
		/*
		 * Only what the kernel knows anyway is asked for: the tenant may serve the file
		 * itself (FUSE), and would answer when it likes.
		 */
		if (statx(dirfd(dir), entry->d_name, AT_STATX_DONT_SYNC | AT_NO_AUTOMOUNT,
			    STATX_INO | STATX_BLOCKS, &stx) == 0)
			search_see(search, makedev(stx.stx_dev_major, stx.stx_dev_minor),
				stx.stx_ino, stx.stx_blocks * 512);
	}
	return true;
}

/* How many numbers the table of descriptors has room for; task_fd is of /proc/PID/task/TID. */
static uint64_t fd_table_size(int task_fd)
{
	char text[8192];
	ssize_t n = fd_read_file_at(task_fd, "status", text, sizeof(text));
	const char *count = n > 0 ? text_after(text, "\nFDSize:\t") : NULL;

	return count ? strtoull(count, NULL, 10) : 0;
}

/* The rest of a table that is too large, from somewhere in it on. */
static void look_at_some_fds(struct search *search, int task_fd, int fd, uint64_t last)
{
	uint64_t size = fd_table_size(task_fd), random = 0;

	search->found.partial = true;
	if (size <= last + 1 || getrandom(&random, sizeof(random), GRND_NONBLOCK) < 0)
		return;
	/* Positions in the folder are numbers of descriptors + 2 (fs/proc/fd.c). */
	if (lseek(fd, (off_t)(last + 1 + random % (size - last - 1) + 2), SEEK_SET) < 0)
		return;

	_cleanup_close_ int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0); /* shares the position */
	_cleanup_closedir_ DIR *dir = copy < 0 ? NULL : fdopendir(copy);

	if (!dir)
		return;
	take_fd(&copy);
	(void)look_at_fds(search, dir, 0, &last);
}

static void look_at_table(struct search *search, int task_fd)
{
	_cleanup_close_ int fd = openat(task_fd, "fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	_cleanup_close_ int copy = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 0);
	_cleanup_closedir_ DIR *dir = copy < 0 ? NULL : fdopendir(copy);
	uint64_t last = 0;

	if (!dir)
		return;
	take_fd(&copy);
	if (!look_at_fds(search, dir, search->share / 2, &last))
		look_at_some_fds(search, task_fd, fd, last);
}

/* ---- Mappings ---- */

/* "START-END PERMISSIONS OFFSET MAJOR:MINOR INODE  PATH" (proc_pid_maps(5)) */
static void look_at_mapping(struct search *search, const char *line)
{
	unsigned major, minor;
	uint64_t ino;

	if (sscanf(line, "%*s %*s %*s %x:%x %" SCNu64, &major, &minor, &ino) == 3 && ino != 0)
		search_see(search, makedev(major, minor), ino, HOLDER_UNKNOWN);
}

static void look_at_mappings(struct search *search, int task_fd)
{
	_cleanup_close_ int fd = openat(task_fd, "maps", O_RDONLY | O_CLOEXEC);
	_cleanup_fclose_ FILE *maps = fd < 0 ? NULL : fdopen(fd, "re");
	_cleanup_free_ char *line = NULL;
	size_t size = 0;

	if (!maps)
		return;
	take_fd(&fd);
	while (getline(&line, &size, maps) > 0 && search_may_look(search))
		look_at_mapping(search, line);
}

/* ---- One process ---- */

/*
 * Looks at each thread that does not share its table with the one looked at before. All threads
 * share their mappings; those of a process whose leader has gone are seen only by another one.
 */
static void look_at_threads(struct search *search, int dir_fd, const struct process *process)
{
	int list_fd = openat(dir_fd, "task", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	_cleanup_closedir_ DIR *dir = list_fd < 0 ? NULL : fdopendir(list_fd);
	pid_t known = process->leader_gone ? 0 : process->pid;
	const struct dirent *entry;

	if (!dir) {
		fd_close(list_fd);
		return;
	}
	while ((entry = readdir(dir))) {
		pid_t tid = (pid_t)strtol(entry->d_name, NULL, 10);

		if (tid <= 0 || tid == process->pid)
			continue;
		if (!search_may_look(search))
			break;
		/* 0: the same; anything else but an error: another one. */
		if (known != 0 && syscall(SYS_kcmp, known, tid, KCMP_FILES, 0, 0) <= 0)
			continue;

		_cleanup_close_ int fd =
			openat(dirfd(dir), entry->d_name, O_PATH | O_DIRECTORY | O_CLOEXEC);

		if (fd < 0)
			continue;
		look_at_table(search, fd);
		if (known == 0)
			look_at_mappings(search, fd);
		known = tid;
	}
}

/* Shared memory in the page tables of a process: memfds, tmpfs, and what is anonymous. */
static uint64_t read_shared_resident(int dir_fd)
{
	char text[8192];
	ssize_t n = fd_read_file_at(dir_fd, "status", text, sizeof(text));
	const char *kib = n > 0 ? text_after(text, "\nRssShmem:") : NULL;

	return kib ? strtoull(kib, NULL, 10) * 1024 : 0;
}

static void search_run(void *argument)
{
	struct search *search = argument;
	const struct process *process = &search->target;
	_cleanup_close_ int fd = process_open_same(process->pid, process->start_ticks);

	search->number++;
	search->found = (struct holder){
		.pid = process->pid,
		.start_ticks = process->start_ticks,
	};
	search->error = fd == -EMFILE || fd == -ENFILE ? fd : 0;
	if (fd < 0)
		return; /* gone, or not to be seen */
	if (!process->leader_gone) {
		look_at_table(search, fd);
		look_at_mappings(search, fd);
	}
	if (process->threads > 1)
		look_at_threads(search, fd, process);
	search->shared = read_shared_resident(fd);
}

static int search_new(const struct holder_file *files, size_t count, struct search **ret_search)
{
	struct search *search = calloc(1, sizeof(*search));

	if (search)
		search->files = calloc(count + 1, sizeof(*search->files));
	if (!search || !search->files) {
		free(search);
		return -ENOMEM;
	}
	search->count = count;
	for (size_t i = 0; i < count; i++) {
		search->files[i].dev = files[i].dev;
		search->files[i].ino = files[i].ino;
		search->files[i].bytes = files[i].bytes;
	}
	qsort(search->files, count, sizeof(*search->files), compare_files);
	*ret_search = search;
	return 0;
}

/* ---- All ---- */

struct holders {
	pid_t root;
	const struct holder_file *files;
	size_t file_count;
	struct search *search; /* owned; NULL: to be made */
	uint64_t looks;        /* left for all */
	struct holder *items;  /* owned */
	size_t count;
};

static void holders_done(struct holders *holders)
{
	if (holders->search)
		search_drop(holders->search);
	free(holders->items);
}

static int holders_keep(struct holders *holders)
{
	struct holder *found = &holders->search->found;
	const uint64_t shared = holders->search->shared;

	/* The list of processes was not taken at one instant; this is certain. */
	_cleanup_close_ int pidfd =
		process_open_below(found->pid, found->start_ticks, holders->root);

	/* With no root, we and process 1 are no exception, so only its end is of interest. */
	if (pidfd < 0 && !(holders->root == 0 && pidfd == -EPERM))
		return pidfd == -EMFILE || pidfd == -ENFILE ? pidfd : 0;

	struct holder *items = reallocarray(holders->items, holders->count + 1, sizeof(*items));

	if (!items)
		return -ENOMEM;
	holders->items = items;
	found->unmapped_bytes = found->held_bytes > shared ? found->held_bytes - shared : 0;
	items[holders->count++] = *found;
	return 0;
}

/* Looks at one process, if it lets itself be looked at, with so many looks. */
static int holders_look(struct holders *holders, const struct process *process, uint64_t share)
{
	int r = 0;

	if (process->start_ticks == PROCESS_START_UNKNOWN)
		return 0;
	if (!holders->search)
		r = search_new(holders->files, holders->file_count, &holders->search);
	if (r < 0)
		return r;
	holders->search->share = share;
	holders->search->target = *process;
	if (lookout_ask(process->pid, LOOK_MS, search_run, search_drop, holders->search) < 0) {
		holders->search = NULL;
		return 0;
	}
	holders->looks -= share - holders->search->share;
	r = holders->search->error;
	return r == 0 && holders->search->found.held_bytes > 0 ? holders_keep(holders) : r;
}

static int compare_holders(const void *a, const void *b)
{
	const struct holder *left = a, *right = b;

	if (left->held_bytes != right->held_bytes)
		return left->held_bytes > right->held_bytes ? -1 : 1;
	return (left->unmapped_bytes < right->unmapped_bytes) -
	       (left->unmapped_bytes > right->unmapped_bytes);
}

ssize_t holders_find(
	pid_t root, const struct holder_file *files, size_t count, struct holder **ret_holders)
{
	cleanup(holders_done) struct holders holders = {
		.root = root,
		.files = files,
		.file_count = count,
		.looks = LOOKS_MAX,
	};
	_cleanup_free_ struct process *processes = NULL;
	ssize_t n = process_list(root, &processes);

	for (ssize_t i = 0; i < n; i++) {
		int r = holders_look(&holders, &processes[i], holders.looks / (uint64_t)(n - i));

		if (r < 0)
			return r;
	}
	if (n < 0)
		return n;
	if (holders.count > 0)
		qsort(holders.items, holders.count, sizeof(*holders.items), compare_holders);
	*ret_holders = take_ptr(holders.items);
	return (ssize_t)holders.count;
}
