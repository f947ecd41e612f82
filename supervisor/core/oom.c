/* SPDX-License-Identifier: Apache-2.0 */
#include "core/oom.h"

#include <errno.h>
#include <linux/kcmp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "kernel/lookout.h"
#include "kernel/oom_score.h"
#include "kernel/process.h"

/* Nobody is looked for when all files together hold less. */
#define WORTH_LOOKING_BYTES UINT64_C(1048576)

/* A process whose score is raised, or about to be. */
struct raised {
	pid_t pid;
	uint64_t start_ticks;
	int base;   /* what it has of itself */
	int set;    /* what we saw or wrote last */
	int points; /* what it holds */
	bool gone;  /* no process any more, or no business of ours */
};

/*
 * A value that we wrote, and the time in which a child could be born with it. It outlives the
 * process by two rounds: whose children may be found only when it has gone.
 */
struct record {
	pid_t pid;
	uint64_t start_ticks;
	int value, base;
	uint64_t from_ticks, to_ticks; /* to: UINT64_MAX while it stands */
};

struct oom {
	pid_t root;
	struct oom_memory *memory;
	struct raised *raised; /* owned; by pid, but for those that this round has added */
	size_t raised_count, raised_sorted;
	struct record *records; /* owned */
	size_t record_count;
	uint64_t round_ticks[2]; /* when the last round began, and the one before */
	bool refused;            /* in this round */
};

int oom_new(pid_t root, struct oom **ret_oom)
{
	struct oom *oom = calloc(1, sizeof(*oom));

	if (!oom)
		return -ENOMEM;
	oom->root = root;

	int r = oom_memory_new(&oom->memory);

	if (r < 0)
		free(oom);
	else
		*ret_oom = oom;
	return r;
}

/* ---- Records ---- */

static bool record_is_of(const struct record *record, pid_t pid, uint64_t start_ticks)
{
	return record->pid == pid && record->start_ticks == start_ticks;
}

/* Of the first count records, the one that stands for the process ends: its value is no more. */
static void record_end(struct oom *oom, const struct raised *raised, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		struct record *record = &oom->records[i];

		if (record_is_of(record, raised->pid, raised->start_ticks) &&
			record->to_ticks == UINT64_MAX)
			record->to_ticks = process_now_ticks();
	}
}

/* Before a value is written: from now on children may be born with it. */
static int record_begin(struct oom *oom, const struct raised *raised, int value)
{
	struct record *records =
		reallocarray(oom->records, oom->record_count + 1, sizeof(*oom->records));

	if (!records)
		return -ENOMEM;
	oom->records = records;
	records[oom->record_count++] = (struct record){
		.pid = raised->pid,
		.start_ticks = raised->start_ticks,
		.value = value,
		.base = raised->base,
		.from_ticks = process_now_ticks(),
		.to_ticks = UINT64_MAX,
	};
	return 0;
}

static void records_forget(struct oom *oom, uint64_t before_ticks)
{
	size_t kept = 0;

	for (size_t i = 0; i < oom->record_count; i++)
		if (oom->records[i].to_ticks >= before_ticks)
			oom->records[kept++] = oom->records[i];
	oom->record_count = kept;
}

/* A kcmp(2) on its way. */
struct comparison {
	pid_t a, b;
	bool same;
};

static void comparison_ask(void *argument)
{
	struct comparison *comparison = argument;

	comparison->same = syscall(SYS_kcmp, comparison->a, comparison->b, KCMP_VM, 0, 0) == 0;
}

static bool share_memory(pid_t a, pid_t b)
{
	struct comparison *comparison = malloc(sizeof(*comparison));
	bool same;

	if (!comparison)
		return false;
	*comparison = (struct comparison){.a = a, .b = b};
	if (lookout_ask(b, LOOKOUT_SOON_MS, comparison_ask, free, comparison) < 0)
		return false;
	same = comparison->same;
	free(comparison);
	return same;
}

/*
 * Where a process that we did not write to has its value from: by fork(2) from one that we did, or
 * because it shares the memory of such a one, whose value the kernel copies to it (vfork(2),
 * fs/proc/base.c). The parent need not be there any more, so the time of birth tells. NULL: it is
 * its own.
 */
static const struct record *record_of_origin(
	const struct oom *oom, pid_t pid, uint64_t start_ticks, int value)
{
	for (size_t i = 0; i < oom->record_count; i++) {
		const struct record *record = &oom->records[i];

		if (record->value != value || record_is_of(record, pid, start_ticks))
			continue;
		if (start_ticks >= record->from_ticks && start_ticks <= record->to_ticks)
			return record;
		if (share_memory(record->pid, pid))
			return record;
	}
	return NULL;
}

/* ---- Raised processes ---- */

static int compare_raised(const void *a, const void *b)
{
	const struct raised *left = a, *right = b;

	return (left->pid > right->pid) - (left->pid < right->pid);
}

static void raised_sort(struct oom *oom)
{
	if (oom->raised_count > 0)
		qsort(oom->raised, oom->raised_count, sizeof(*oom->raised), compare_raised);
	oom->raised_sorted = oom->raised_count;
}

static struct raised *raised_find(const struct oom *oom, pid_t pid, uint64_t start_ticks)
{
	const struct raised key = {.pid = pid};
	struct raised *raised = oom->raised_sorted == 0
					? NULL
					: bsearch(&key, oom->raised, oom->raised_sorted,
						  sizeof(key), compare_raised);

	return raised && raised->start_ticks == start_ticks ? raised : NULL;
}

/* Learns what has become of a process since the last round. */
static void raised_update(struct oom *oom, struct raised *raised)
{
	_cleanup_close_ int fd = process_open_same(raised->pid, raised->start_ticks);
	int value = raised->set;
	int r = fd < 0 ? fd : oom_score_read(fd, &value);

	raised->points = 0;
	if (r == -ESRCH)
		raised->gone = true;
	if (value == raised->set)
		return;
	if (!record_of_origin(oom, raised->pid, raised->start_ticks, value))
		raised->base = value;
	raised->set = value;
	record_end(oom, raised, oom->record_count);
	if (value == OOM_SCORE_ADJ_MIN)
		raised->gone = true;
}

static int raised_add(struct oom *oom, const struct raised *raised)
{
	struct raised *all = reallocarray(oom->raised, oom->raised_count + 1, sizeof(*oom->raised));

	if (!all)
		return -ENOMEM;
	oom->raised = all;
	all[oom->raised_count++] = *raised;
	return 0;
}

/* Takes note of what a process holds. Nothing is written yet: see record_of_origin(). */
static int raised_see(struct oom *oom, const struct holder *holder)
{
	_cleanup_close_ int fd = process_open_same(holder->pid, holder->start_ticks);
	struct raised *known = raised_find(oom, holder->pid, holder->start_ticks);
	struct raised raised = {.pid = holder->pid, .start_ticks = holder->start_ticks};

	if (fd < 0 || holder->pid == 1)
		return 0;
	raised.points = oom_score_points(holder->unmapped_bytes, oom_memory_for(oom->memory, fd));
	if (known) {
		known->points = raised.points;
		return 0;
	}
	if (raised.points == 0 || oom_score_read(fd, &raised.set) < 0 ||
		raised.set == OOM_SCORE_ADJ_MIN)
		return 0;

	const struct record *origin =
		record_of_origin(oom, raised.pid, raised.start_ticks, raised.set);

	raised.base = origin ? origin->base : raised.set;
	return raised_add(oom, &raised);
}

static int raised_write(struct oom *oom, struct raised *raised, int value)
{
	_cleanup_close_ int fd = process_open_same(raised->pid, raised->start_ticks);
	size_t count = oom->record_count;
	int r = fd < 0 ? fd : record_begin(oom, raised, value);

	if (r == 0)
		r = oom_score_write(fd, value);
	if (r < 0 || value == raised->base)
		oom->record_count = count; /* nothing that a child would have to give back */
	if (r == 0) {
		record_end(oom, raised, count);
		raised->set = value;
	}
	return r;
}

static int raised_apply(struct oom *oom, struct raised *raised)
{
	int value = raised->base + raised->points;

	if (value > OOM_SCORE_ADJ_MAX)
		value = OOM_SCORE_ADJ_MAX;

	int r = raised->gone || value == raised->set ? 0 : raised_write(oom, raised, value);

	if (r == -EACCES || r == -EPERM)
		oom->refused = true; /* of another user by now: a set-user-ID program */
	if (r == -ESRCH || r == -EACCES || r == -EPERM)
		raised->gone = true;
	else if (r < 0)
		return r; /* not for ever: the next round tries again */
	if (raised->points == 0)
		raised->gone = true; /* it has what is its own again */
	if (raised->gone)
		record_end(oom, raised, oom->record_count);
	return 0;
}

static void raised_forget(struct oom *oom)
{
	size_t kept = 0;

	for (size_t i = 0; i < oom->raised_count; i++)
		if (!oom->raised[i].gone)
			oom->raised[kept++] = oom->raised[i];
	oom->raised_count = kept;
	raised_sort(oom);
}

/* ---- Children ---- */

static void child_restore(struct oom *oom, const struct process *child)
{
	_cleanup_close_ int fd = process_open_same(child->pid, child->start_ticks);
	int value;

	if (fd < 0 || oom_score_read(fd, &value) < 0)
		return;

	const struct record *origin = record_of_origin(oom, child->pid, child->start_ticks, value);

	if (origin && origin->base != value)
		(void)oom_score_write(fd, origin->base);
}

/*
 * Those born since the round before the last began, so that each is looked at twice: a birth while
 * the list is read may be missed once.
 */
static int children_restore(struct oom *oom)
{
	_cleanup_free_ struct process *processes = NULL;
	ssize_t n = oom->record_count > 0 ? process_list(oom->root, &processes) : 0;

	for (ssize_t i = 0; i < n; i++) {
		const struct process *process = &processes[i];

		if (process->start_ticks + 1 >= oom->round_ticks[1] &&
			!raised_find(oom, process->pid, process->start_ticks))
			child_restore(oom, process);
	}
	return n < 0 ? (int)n : 0;
}

/* ---- A round ---- */

/* Stores the holders for free(), none where it is not worth the work. Returns the count or -errno.
 */
static ssize_t holders_worth(
	struct oom *oom, const struct holder_file *files, size_t count, struct holder **ret_holders)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < count; i++)
		sum += files[i].bytes == HOLDER_UNKNOWN ? WORTH_LOOKING_BYTES : files[i].bytes;
	if (sum < WORTH_LOOKING_BYTES)
		return 0;
	return holders_find(oom->root, files, count, ret_holders);
}

int oom_attribute(struct oom *oom, const struct holder_file *files, size_t count)
{
	_cleanup_free_ struct holder *holders = NULL;
	uint64_t now = process_now_ticks();
	ssize_t n = holders_worth(oom, files, count, &holders);

	if (n == 0 && oom->raised_count == 0 && oom->record_count == 0)
		return 0;

	int r = n < 0 ? (int)n : oom_memory_update(oom->memory);

	if (r < 0)
		return r;
	oom->refused = false;
	for (size_t i = 0; i < oom->raised_count; i++)
		raised_update(oom, &oom->raised[i]);
	for (ssize_t i = 0; i < n && r == 0; i++)
		r = raised_see(oom, &holders[i]);
	for (size_t i = 0; i < oom->raised_count; i++) {
		int applied = raised_apply(oom, &oom->raised[i]);

		r = r < 0 ? r : applied;
	}
	raised_forget(oom);
	if (r == 0)
		r = children_restore(oom);
	records_forget(oom, oom->round_ticks[1]);
	oom->round_ticks[1] = oom->round_ticks[0];
	oom->round_ticks[0] = now;
	return r < 0 ? r : oom->refused;
}

struct oom *oom_free(struct oom *oom)
{
	if (!oom)
		return NULL;
	/* The second time for children that were born during the first. */
	(void)oom_attribute(oom, NULL, 0);
	(void)oom_attribute(oom, NULL, 0);
	oom_memory_free(oom->memory);
	free(oom->raised);
	free(oom->records);
	free(oom);
	return NULL;
}
