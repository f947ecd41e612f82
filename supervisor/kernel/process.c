/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/process.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/file.h"
#include "base/text.h"
#include "kernel/lookout.h"

/* A line of /proc/PID/stat: 52 numbers and a name of at most 64 bytes. */
#define STAT_MAX 2048

/* How often the way up to root is begun anew when parents die on it. */
#define CLIMBS_MAX 100

int process_open_dir(pid_t pid)
{
	char path[32];

	snprintf(path, sizeof(path), "/proc/%d", pid);

	int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return errno == ENOENT ? -ESRCH : -errno;
	return fd;
}

/* Fields of proc_pid_stat(5), by their numbers there: 1, 3, 4, 20, 22. */
static int stat_parse(const char *text, struct process *ret_process)
{
	/* A name may hold anything, also ")": the last one ends it. */
	const char *end = strrchr(text, ')');
	struct process process;
	char state;

	if (!end || sscanf(text, "%d", &process.pid) != 1 ||
		sscanf(end + 1,
			" %c %d %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s"
			" %u %*s %" SCNu64,
			&state, &process.parent, &process.threads, &process.start_ticks) != 4)
		return -EBADMSG;
	process.leader_gone = state == 'Z' || state == 'X';
	*ret_process = process;
	return 0;
}

/* A read of "stat" on its way. */
struct stat_question {
	int fd; /* owned */
	ssize_t n;
	char text[STAT_MAX];
};

static void stat_ask(void *argument)
{
	struct stat_question *question = argument;

	question->n = read(question->fd, question->text, sizeof(question->text) - 1);
	if (question->n < 0)
		question->n = -errno;
}

static void stat_drop(void *argument)
{
	struct stat_question *question = argument;

	fd_close(question->fd);
	free(question);
}

/* Takes fd. */
static int stat_read(pid_t pid, int fd, struct process *ret_process)
{
	struct stat_question *question = malloc(sizeof(*question));
	int r;

	if (!question) {
		fd_close(fd);
		return -ENOMEM;
	}
	question->fd = fd;
	r = lookout_ask(pid, LOOKOUT_SOON_MS, stat_ask, stat_drop, question);
	if (r < 0)
		return r;
	r = (int)question->n;
	if (r >= 0) {
		question->text[r] = '\0';
		r = stat_parse(question->text, ret_process);
	}
	stat_drop(question);
	return r;
}

/* What "status" says, which waits for nobody: all but the time of the start. */
static int status_read(pid_t pid, int dir_fd, struct process *ret_process)
{
	char text[8192];
	ssize_t n = fd_read_file_at(dir_fd, "status", text, sizeof(text));
	const char *parent = n < 0 ? NULL : text_after(text, "\nPPid:\t");
	const char *threads = n < 0 ? NULL : text_after(text, "\nThreads:\t");

	if (n < 0)
		return n == -ENOENT ? -ESRCH : (int)n;
	if (!parent || !threads)
		return -EBADMSG;
	*ret_process = (struct process){
		.pid = pid,
		.parent = (pid_t)strtol(parent, NULL, 10),
		.threads = (unsigned)strtoul(threads, NULL, 10),
		.start_ticks = PROCESS_START_UNKNOWN,
	};
	return 0;
}

int process_read(pid_t pid, int dir_fd, struct process *ret_process)
{
	int fd = openat(dir_fd, "stat", O_RDONLY | O_CLOEXEC);
	int r = fd < 0 ? -errno : stat_read(pid, fd, ret_process);

	if (r == -EBUSY)
		return status_read(pid, dir_fd, ret_process);
	return r == -ENOENT ? -ESRCH : r;
}

int process_open_same(pid_t pid, uint64_t start_ticks)
{
	_cleanup_close_ int fd = process_open_dir(pid);
	struct process process;

	if (fd < 0)
		return fd;

	int r = process_read(pid, fd, &process);

	if (r < 0)
		return r;
	if (process.start_ticks == PROCESS_START_UNKNOWN)
		return -EBUSY;
	return process.start_ticks == start_ticks ? take_fd(&fd) : -ESRCH;
}

/* ---- The list ---- */

struct list {
	struct process *items; /* owned */
	size_t count, size;
};

static void list_done(struct list *list)
{
	free(list->items);
}

static int list_add(struct list *list, const struct process *process)
{
	if (list->count == list->size) {
		size_t size = list->size ? list->size * 2 : 256;
		struct process *items = reallocarray(list->items, size, sizeof(*items));

		if (!items)
			return -ENOMEM;
		list->items = items;
		list->size = size;
	}
	list->items[list->count++] = *process;
	return 0;
}

/* Reads all of /proc, which lists pids in ascending order (fs/proc/base.c, proc_pid_readdir()). */
static int list_read(struct list *list)
{
	_cleanup_closedir_ DIR *dir = opendir("/proc");
	const struct dirent *entry;

	if (!dir)
		return -errno;
	while ((entry = readdir(dir))) {
		struct process process;

		if (entry->d_name[0] < '1' || entry->d_name[0] > '9')
			continue;

		pid_t pid = (pid_t)strtol(entry->d_name, NULL, 10);
		_cleanup_close_ int fd =
			openat(dirfd(dir), entry->d_name, O_PATH | O_DIRECTORY | O_CLOEXEC);
		int r = fd < 0 ? -errno : process_read(pid, fd, &process);

		if (r == -ENOENT)
			r = -ESRCH;
		if (r == -ESRCH || r == -EACCES || r == -EPERM)
			continue; /* gone, or hidden by hidepid= */
		if (r < 0)
			return r;
		r = list_add(list, &process);
		if (r < 0)
			return r;
	}
	return 0;
}

static int compare_pids(const void *a, const void *b)
{
	const struct process *left = a, *right = b;

	return (left->pid > right->pid) - (left->pid < right->pid);
}

static const struct process *list_find(const struct list *list, pid_t pid)
{
	const struct process key = {.pid = pid};

	if (list->count == 0)
		return NULL;
	return bsearch(&key, list->items, list->count, sizeof(key), compare_pids);
}

enum place {
	PLACE_UNKNOWN,
	PLACE_ON_THE_WAY, /* its parents are being gone through */
	PLACE_BELOW,
	PLACE_BESIDE,
};

/* Finds the place of one process, and of all its parents on the way. */
static void list_climb(const struct list *list, size_t start, pid_t root, uint8_t *places)
{
	const struct process *p = &list->items[start];
	enum place found = PLACE_BESIDE;

	/* Pids may be reused while we read, so the way up may even lead round in a circle. */
	while (p && places[p - list->items] == PLACE_UNKNOWN) {
		places[p - list->items] = PLACE_ON_THE_WAY;
		if (p->parent == root)
			found = PLACE_BELOW;
		p = p->parent == root ? NULL : list_find(list, p->parent);
	}
	if (p && places[p - list->items] == PLACE_BELOW)
		found = PLACE_BELOW;
	p = &list->items[start];
	while (p && places[p - list->items] == PLACE_ON_THE_WAY) {
		places[p - list->items] = (uint8_t)found;
		p = list_find(list, p->parent);
	}
}

static int list_keep_below(struct list *list, pid_t root)
{
	_cleanup_free_ uint8_t *places = calloc(list->count + 1, sizeof(*places));
	size_t kept = 0;

	if (!places)
		return -ENOMEM;
	for (size_t i = 0; i < list->count; i++)
		list_climb(list, i, root, places);
	for (size_t i = 0; i < list->count; i++)
		if (places[i] == PLACE_BELOW)
			list->items[kept++] = list->items[i];
	list->count = kept;
	return 0;
}

static void list_drop_self(struct list *list)
{
	struct process *self = (struct process *)list_find(list, getpid());

	if (!self)
		return;
	list->count--;
	memmove(self, self + 1, (size_t)(list->items + list->count - self) * sizeof(*self));
}

ssize_t process_list(pid_t root, struct process **ret_list)
{
	cleanup(list_done) struct list list = {0};
	int r = list_read(&list);

	if (r == 0 && root != 0)
		r = list_keep_below(&list, root);
	if (r < 0)
		return r;
	list_drop_self(&list);
	*ret_list = take_ptr(list.items);
	return (ssize_t)list.count;
}

/* ---- One process ---- */

/*
 * Reads who the parent is, and opens it. Nobody else can get the parent's pid as long as it is the
 * parent, so one that is still the parent after it was opened is the one that was opened.
 */
static int parent_open(pid_t pid, int dir_fd, pid_t *ret_parent)
{
	for (;;) {
		struct process before, after;
		int r = process_read(pid, dir_fd, &before);

		if (r < 0)
			return r;

		_cleanup_close_ int fd = process_open_dir(before.parent);

		r = process_read(pid, dir_fd, &after);
		if (r < 0)
			return r;
		if (before.parent != after.parent)
			continue; /* it died, and another has taken the child over */
		*ret_parent = before.parent;
		return take_fd(&fd);
	}
}

/* Goes up from the process, whose folder in /proc dir_fd is. -EAGAIN: a parent went on the way. */
static int climb_to(pid_t pid, int dir_fd, pid_t root)
{
	_cleanup_close_ int fd = -1;

	for (;;) {
		pid_t parent = 0;
		int parent_fd = parent_open(pid, fd < 0 ? dir_fd : fd, &parent);

		if (parent_fd == -ESRCH && parent == 0 && fd >= 0)
			return -EAGAIN;
		if (parent != root && parent_fd < 0)
			return parent == 0 ? parent_fd : -EPERM;
		fd_close(fd);
		fd = parent_fd;
		pid = parent;
		if (parent == root)
			return 0;
		if (parent <= 1)
			return -EPERM;
	}
}

/*
 * Orphans go to the next subreaper above them, and root is one: who is below it once always is. So
 * each step up may be checked by itself, and what a tenant changes of the chain behind us gains it
 * nothing.
 */
static int check_below(pid_t pid, int dir_fd, pid_t root)
{
	int r = -EAGAIN;

	for (int attempt = 0; r == -EAGAIN && attempt < CLIMBS_MAX; attempt++)
		r = climb_to(pid, dir_fd, root);
	return r;
}

int process_open_below(pid_t pid, uint64_t start_ticks, pid_t root)
{
	if (pid <= 1 || pid == getpid() || pid == root)
		return -EPERM;

	_cleanup_close_ int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);

	if (pidfd < 0)
		return -errno;

	_cleanup_close_ int dir_fd = process_open_same(pid, start_ticks);
	int r = dir_fd < 0 || root == 0 ? dir_fd : check_below(pid, dir_fd, root);

	if (r < 0)
		return r;
	/* It had the pid all the time, so the folder was its own. */
	return process_has_ended(pidfd) ? -ESRCH : take_fd(&pidfd);
}

bool process_has_ended(int pidfd)
{
	struct pollfd pollfd = {.fd = pidfd, .events = POLLIN};

	return poll(&pollfd, 1, 0) != 0;
}

uint64_t process_now_ticks(void)
{
	uint64_t per_second = (uint64_t)sysconf(_SC_CLK_TCK);
	uint64_t now_ns = clock_now_ns(CLOCK_BOOTTIME);

	return now_ns / NSEC_PER_SEC * per_second +
	       now_ns % NSEC_PER_SEC * per_second / NSEC_PER_SEC;
}
