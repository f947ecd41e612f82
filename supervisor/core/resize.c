/* SPDX-License-Identifier: Apache-2.0 */
#include "core/resize.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/memfd.h"
#include "core/budget.h"
#include "core/resize_errand.h"
#include "kernel/notify.h"

/* linux/magic.h, Linux 5.14 */
#ifndef SECRETMEM_MAGIC
#define SECRETMEM_MAGIC 0x5345434d
#endif

/*
 * Descriptors that were a memory file's when last seen, by task and number, direct-mapped. To look
 * at the copy right away costs less than to look at the descriptor first. One that is another
 * file's by now costs an errand.
 */
#define GUESSES 64

struct guess {
	pid_t tid; /* 0: none */
	int fd;
};

struct resizer {
	struct resizer_config config;
	struct errands *errands;
	struct guess guesses[GUESSES];
};

/* One call on its way. */
struct job {
	struct resizer *resizer;
	const struct resize *resize;
	struct resize_outcome *outcome;
};

int resizer_new(const struct resizer_config *config, struct resizer **ret_resizer)
{
	struct resizer *resizer = calloc(1, sizeof(*resizer));
	int r;

	if (!resizer)
		return -ENOMEM;
	resizer->config = *config;
	r = errands_new(&resizer->errands);
	if (r < 0)
		return free(resizer), r;
	*ret_resizer = resizer;
	return 0;
}

struct resizer *resizer_free(struct resizer *resizer)
{
	if (!resizer)
		return NULL;
	errands_free(resizer->errands);
	free(resizer);
	return NULL;
}

static struct guess *guess_slot(struct resizer *resizer, pid_t tid, int fd)
{
	return &resizer->guesses[((unsigned)tid * 31 + (unsigned)fd) % GUESSES];
}

void resizer_expect(struct resizer *resizer, pid_t tid, int fd)
{
	*guess_slot(resizer, tid, fd) = (struct guess){.tid = tid, .fd = fd};
}

static bool is_expected(struct resizer *resizer, pid_t tid, int fd)
{
	const struct guess *guess = guess_slot(resizer, tid, fd);

	return tid > 0 && guess->tid == tid && guess->fd == fd;
}

static void guess_forget(struct resizer *resizer, pid_t tid, int fd)
{
	*guess_slot(resizer, tid, fd) = (struct guess){.tid = 0};
}

/* ---- Answers ---- */

static int job_continue(const struct job *job)
{
	return notify_continue(job->resizer->config.listener, job->resize->id);
}

/* With the errno that the kernel itself would have given. */
static int job_fail(const struct job *job, int error)
{
	job->outcome->error = error;
	return notify_fail(job->resizer->config.listener, job->resize->id, error);
}

static int job_fail_by_limit(const struct job *job)
{
	const struct resizer_config *config = &job->resizer->config;

	job->outcome->error = EFBIG;
	return tracee_fail_file_size(
		job->resize->tid, config->listener, job->resize->id, config->wait_killable);
}

/* What we refuse and the kernel would not have: in audit mode it is only said. */
static void job_object(const struct job *job, int error, const char *reason)
{
	job->outcome->error = error;
	job->outcome->reason = reason;
	job->outcome->worth_event = true;
	if (job->resize->on_refusal)
		job->resize->on_refusal(job->resize->userdata);
}

static void job_object_by_quota(const struct job *job, enum quota quota)
{
	job->outcome->quota = quota;
	job_object(job, job->resize->quotas->errors[quota], quota_reason(quota));
}

/* A call of whose descriptor nothing can be found out, and which makes a file that large at most.
 */
static int job_answer_unseen(const struct job *job, uint64_t bytes)
{
	if (!tenant_may_grow_unseen(job->resize->tenant, bytes)) {
		job_object(job, EPERM, "the caller cannot be inspected");
		if (!job->resize->audit)
			return job_fail(job, EPERM);
	}
	return job_continue(job);
}

static int job_fail_by_errands(const struct job *job)
{
	job_object(job, EAGAIN, "too many resizes of other files at once");
	return job->resize->audit ? job_continue(job) : job_fail(job, EAGAIN);
}

/* Takes *copy, and answers the call by an errand. */
static int job_by_errand(const struct job *job, const struct errand *errand, int *copy)
{
	if (errand_start(job->resizer->errands, errand, copy) == 0)
		return NOTIFY_OK;
	/* No memory for a thread: to wait for the close(2) is all that is left. */
	*copy = fd_close(*copy);
	return job_fail_by_errands(job);
}

/* ---- What the kernel itself would say ---- */

/* For want of a descriptor that can be written to: EBADF for an O_PATH one, else read_only. */
static int error_of_access(int copy, int read_only)
{
	int flags = fcntl(copy, F_GETFL);

	if (flags < 0 || flags & O_PATH)
		return EBADF;
	return (flags & O_ACCMODE) == O_WRONLY || (flags & O_ACCMODE) == O_RDWR ? 0 : read_only;
}

/* inode_newsize_ok() in fs/attr.c */
static bool is_above_limit(const struct job *job, const struct stat *st, uint64_t end)
{
	uint64_t limit;

	return end > (uint64_t)st->st_size &&
	       tracee_file_size_limit(job->resize->tid, &limit) == 0 && end > limit;
}

static bool is_on(int copy, long magic)
{
	struct statfs fs;

	return fstatfs(copy, &fs) == 0 && fs.f_type == magic;
}

/*
 * What comes after the check of RLIMIT_FSIZE: shmem_setattr() and shmem_fallocate() in mm/shmem.c,
 * hugetlbfs_setattr() and hugetlbfs_fallocate() in fs/hugetlbfs/inode.c, secretmem_setattr() in
 * mm/secretmem.c.
 */
static int error_of_growth(
	const struct filter_call *call, int copy, const struct stat *st, uint64_t end)
{
	int seals;

	if (is_on(copy, SECRETMEM_MAGIC) && call->call == CALL_FALLOCATE)
		return EOPNOTSUPP;
	if (is_on(copy, SECRETMEM_MAGIC) && st->st_size)
		return EINVAL;
	if (is_on(copy, HUGETLBFS_MAGIC) && call->call == CALL_FTRUNCATE &&
		end % (uint64_t)st->st_blksize)
		return EINVAL;
	/* Fails for a file in the spill directory. */
	seals = fcntl(copy, F_GET_SEALS);
	return seals > 0 && seals & F_SEAL_GROW && end > (uint64_t)st->st_size ? EPERM : 0;
}

/*
 * Modes that no file of memory has (the same functions), of which the kernel says so in its own
 * order. A file in the spill directory may have them.
 */
static bool has_no_mode(int copy, int mode)
{
	return mode & ~(FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE) &&
	       fcntl(copy, F_GET_SEALS) >= 0;
}

/*
 * What a resize comes to: 0, the errno that the caller gets, or this. It is found out while we have
 * the copy, and answered after that is closed, since an open copy can be noticed: see
 * tracee_get_fd().
 */
enum { ABOVE_FILE_SIZE_LIMIT = -1 };

/* ---- ftruncate(2) ---- */

/* Why the kernel refuses what the quota refuses too, or the quota's errno. */
static int truncate_refuse(const struct job *job, int copy, const struct stat *st, enum quota quota)
{
	const struct filter_call *call = job->resize->call;
	int error = error_of_access(copy, EINVAL);

	if (!error)
		error = error_of_growth(call, copy, st, (uint64_t)call->length);
	if (error)
		return error;
	job_object_by_quota(job, quota);
	return job->outcome->error;
}

/* Whether there are the huge pages for it, should it be a file of such. */
static bool has_huge_pages(const struct job *job, int copy, const struct stat *st, uint64_t bytes)
{
	struct statfs fs;

	/* A file of huge pages names one as its block (fs/stat.c); other files may as well. */
	if (job->resize->quotas->limits[QUOTA_HUGETLB] == QUOTA_UNLIMITED ||
		fstatfs(copy, &fs) < 0 || fs.f_type != HUGETLBFS_MAGIC || st->st_blksize <= 0)
		return true;
	return hugetlb_has_room(job->resize->quotas, job->resize->tid,
		(uint32_t)__builtin_ctzl((unsigned long)st->st_blksize) << MFD_HUGE_SHIFT, bytes);
}

static int truncate_grow(const struct job *job, int copy, const struct stat *st)
{
	const struct resize *resize = job->resize;
	const uint64_t size = (uint64_t)resize->call->length;
	cleanup(growth_done) struct growth growth = {0};
	struct stat grown = *st;
	enum quota quota;

	if (is_above_limit(job, st, size)) {
		int error = error_of_access(copy, EINVAL);

		return error ? error : ABOVE_FILE_SIZE_LIMIT;
	}
	quota = growth_begin(&growth, resize->tenant, copy, st, size, 0, resize->audit);
	if (quota == QUOTA_NONE && !has_huge_pages(job, copy, st, size - (uint64_t)st->st_size))
		quota = QUOTA_HUGETLB;
	if (quota != QUOTA_NONE && !resize->audit)
		return truncate_refuse(job, copy, st, quota);
	/* What the kernel says to us it would have said to the caller. */
	if (ftruncate(copy, resize->call->length) < 0)
		return errno;
	if (quota != QUOTA_NONE)
		job_object_by_quota(job, quota);
	/* Not a page came with it. */
	grown.st_size = resize->call->length;
	growth_commit(&growth, &grown);
	return 0;
}

/* Never refused: to shrink a file can only help, whatever is used up. */
static int truncate_shrink(const struct job *job, int copy, const struct stat *st)
{
	const struct resize *resize = job->resize;
	cleanup(growth_done) struct growth growth = {0};
	struct stat shrunk = *st;

	(void)growth_begin(
		&growth, resize->tenant, copy, st, (uint64_t)resize->call->length, 0, true);
	if (ftruncate(copy, resize->call->length) < 0)
		return errno;
	shrunk.st_size = resize->call->length;
	/* What has no page had none to give back. */
	if (st->st_blocks == 0 || fstat(copy, &shrunk) == 0)
		growth_commit(&growth, &shrunk);
	return 0;
}

/* Takes the copy: it keeps the file from being another one than the one that was looked at. */
static int truncate_memfile(const struct job *job, int copy, const struct stat *st)
{
	int error = job->resize->call->length > st->st_size ? truncate_grow(job, copy, st)
							    : truncate_shrink(job, copy, st);

	fd_close(copy);
	if (error == ABOVE_FILE_SIZE_LIMIT)
		return job_fail_by_limit(job);
	if (error)
		return job_fail(job, error);
	return notify_return(job->resizer->config.listener, job->resize->id, 0);
}

/*
 * Takes *copy of a file that is none of ours, or was none when it was looked at. Where the length
 * must not meet one of ours, the errand makes the resize itself: the kernel's own run of the call
 * would take the descriptor anew. Else it only closes the copy, which may take as long as the
 * tenant likes.
 */
static int truncate_by_errand(const struct job *job, int *copy)
{
	const struct resizer_config *config = &job->resizer->config;
	const struct resize *resize = job->resize;
	const uint64_t size = (uint64_t)resize->call->length;
	struct tracee_ids ids = {0};
	struct errand errand = {
		.listener = config->listener,
		.wait_killable = config->wait_killable,
		.leave = resize->audit || tenant_may_grow_unseen(resize->tenant, size),
		.id = resize->id,
		.tid = resize->tid,
		.length = resize->call->length,
	};

	if (!errand.leave && tracee_ids(config->cache, resize->tid, &ids) < 0)
		return job_fail_by_errands(job);
	errand.fsuid = ids.fsuid;
	errand.fsgid = ids.fsgid;
	return job_by_errand(job, &errand, copy);
}

static int truncate_copy(const struct job *job)
{
	const struct resizer_config *config = &job->resizer->config;
	const struct resize *resize = job->resize;
	_cleanup_close_ int copy = tracee_get_fd(config->cache, resize->tid, resize->call->fd);
	struct stat st;
	int r;

	if (copy == -EBADF)
		return job_fail(job, EBADF);
	if (copy < 0 || tracee_stat_copy(copy, &st) < 0)
		return job_answer_unseen(job, (uint64_t)resize->call->length);
	/*
	 * A caller that died may have left its id to another one, whose file this then would be:
	 * also to another thread of its own process, when that executes a program.
	 */
	r = notify_valid(config->listener, resize->id);
	if (r != NOTIFY_OK)
		return r;
	if (ledger_is_memfile(config->ledger, &st)) {
		resizer_expect(job->resizer, resize->tid, resize->call->fd);
		return truncate_memfile(job, take_fd(&copy), &st);
	}
	guess_forget(job->resizer, resize->tid, resize->call->fd);
	return truncate_by_errand(job, &copy);
}

/*
 * The sign of an argument is in a register, which nobody can change any more: what the kernel
 * refuses for that it refuses whatever the descriptor is.
 */
static int answer_ftruncate(const struct job *job)
{
	const struct resizer_config *config = &job->resizer->config;
	const struct resize *resize = job->resize;
	const unsigned room = errands_room(job->resizer->errands);
	const bool may_copy = room > ERRANDS_SPARE;
	struct stat st;
	int r;

	if (resize->call->length < 0)
		return job_fail(job, EINVAL);
	job->outcome->size = (uint64_t)resize->call->length;
	if (may_copy && is_expected(job->resizer, resize->tid, resize->call->fd))
		return truncate_copy(job);
	r = tracee_stat_fd(config->cache, resize->tid, resize->call->fd, &st);
	if (r == -EBADF)
		return job_fail(job, EBADF);
	if (r == 0 && ledger_is_memfile(config->ledger, &st))
		return room > 0 ? truncate_copy(job) : job_fail_by_errands(job);
	/* The descriptor may be another file's by the time that the kernel looks at it. */
	if (resize->audit || tenant_may_grow_unseen(resize->tenant, (uint64_t)resize->call->length))
		return job_continue(job);
	/* To close a copy may take as long as the tenant likes: none without a thread for it. */
	return may_copy ? truncate_copy(job) : job_fail_by_errands(job);
}

/* ---- fallocate(2) ---- */

/* Runs of data that are looked for; what lies behind them counts as new. */
#define PRESENT_RUNS 64

/*
 * How many bytes from start to end the file has pages for: never more than there are, as the rest
 * is reserved. The count of the whole file's pages says nothing of it, because they can lie
 * anywhere, behind the end too. To shmem a page that was allocated and never written is a hole.
 */
static uint64_t bytes_present(int copy, uint64_t start, uint64_t end)
{
	char path[32];
	struct statfs fs;
	uint64_t present = 0;
	off_t at = (off_t)start;

	/* Others take all of a file for data when they do not know. */
	if (fstatfs(copy, &fs) < 0 || fs.f_type != TMPFS_MAGIC)
		return 0;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", copy);

	/* The copy's position is the caller's. Without O_NONBLOCK the caller's lease (fcntl(2))
	 * would hold us up. */
	_cleanup_close_ int own = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);

	for (int i = 0; own >= 0 && i < PRESENT_RUNS && at < (off_t)end; i++) {
		off_t data = lseek(own, at, SEEK_DATA);

		if (data < 0 || data >= (off_t)end)
			break;
		at = lseek(own, data, SEEK_HOLE);
		if (at < 0)
			break;
		present += (at < (off_t)end ? (uint64_t)at : end) - (uint64_t)data;
	}
	return present;
}

/* What the file has afterwards, at most. */
static void allocation_estimate(const struct filter_call *call, int copy, const struct stat *st,
	uint64_t *ret_size, uint64_t *ret_new_pages)
{
	const uint64_t size = (uint64_t)st->st_size;
	const uint64_t page = st->st_blksize > 0 ? (uint64_t)st->st_blksize : 1;
	const uint64_t start = (uint64_t)call->offset / page * page;
	const uint64_t end = (uint64_t)call->offset + (uint64_t)call->length;
	const uint64_t end_page = (end + page - 1) / page * page;

	*ret_new_pages = end_page - start;
	if (st->st_blocks > 0)
		*ret_new_pages -= bytes_present(copy, start, end_page);
	if (call->mode & FALLOC_FL_INSERT_RANGE)
		*ret_size = size + (uint64_t)call->length;
	else if (call->mode & FALLOC_FL_KEEP_SIZE || size > end)
		*ret_size = size;
	else
		*ret_size = end;
}

/* Why the kernel refuses what the quota refuses too, or the quota's errno. */
static int allocation_refuse(
	const struct job *job, int copy, const struct stat *st, enum quota quota)
{
	const struct filter_call *call = job->resize->call;
	const uint64_t end = (uint64_t)call->offset + (uint64_t)call->length;
	int error = error_of_access(copy, EBADF);

	/* Of secret memory RLIMIT_FSIZE is not asked: it cannot be allocated at all. */
	if (!error && !is_on(copy, SECRETMEM_MAGIC) && is_above_limit(job, st, end))
		return ABOVE_FILE_SIZE_LIMIT;
	if (!error)
		error = error_of_growth(call, copy, st, end);
	if (error)
		return error;
	job_object_by_quota(job, quota);
	return job->outcome->error;
}

/* Takes the copy. */
static int allocate_memfile(const struct job *job, int copy, const struct stat *st)
{
	const struct resize *resize = job->resize;
	cleanup(growth_done) struct growth growth = {0};
	uint64_t new_pages;
	int error = 0;
	int r;

	if (has_no_mode(copy, resize->call->mode)) {
		fd_close(copy);
		return job_continue(job);
	}
	allocation_estimate(resize->call, copy, st, &job->outcome->size, &new_pages);

	enum quota quota = growth_begin(
		&growth, resize->tenant, copy, st, job->outcome->size, new_pages, resize->audit);

	if (quota != QUOTA_NONE && resize->audit)
		job_object_by_quota(job, quota);
	else if (quota != QUOTA_NONE)
		error = allocation_refuse(job, copy, st, quota);
	fd_close(copy);
	if (error == ABOVE_FILE_SIZE_LIMIT)
		return job_fail_by_limit(job);
	if (error)
		return job_fail(job, error);
	r = job_continue(job);
	/* Should the caller be gone, it allocates nothing any more. */
	if (r == NOTIFY_OK)
		growth_leave(&growth);
	return r;
}

/*
 * Pages must be charged to the caller's cgroup, so the kernel has to run the call, and takes the
 * descriptor anew. A thread that puts another file there right then gets what was reserved for the
 * file that was looked at: it cannot be kept from that, only counted at the next sample. So there
 * is nothing to win either by doing other files' calls for them.
 */
static int answer_fallocate(const struct job *job)
{
	const struct resizer_config *config = &job->resizer->config;
	const struct filter_call *call = job->resize->call;
	int64_t end;
	struct stat st;
	int r;

	/* The kernel refuses these, or they only give memory back. */
	if (call->offset < 0 || call->length <= 0 ||
		__builtin_add_overflow(call->offset, call->length, &end) ||
		call->mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_COLLAPSE_RANGE))
		return job_continue(job);
	job->outcome->size = (uint64_t)end;
	r = tracee_stat_fd(config->cache, job->resize->tid, call->fd, &st);
	if (r == -EBADF)
		return job_fail(job, EBADF);
	if (r == 0 && !ledger_is_memfile(config->ledger, &st))
		return job_continue(job);
	if (errands_room(job->resizer->errands) == 0)
		return job_fail_by_errands(job);

	_cleanup_close_ int copy =
		r < 0 ? r : tracee_get_fd(config->cache, job->resize->tid, call->fd);

	if (copy == -EBADF)
		return job_fail(job, EBADF);
	if (copy < 0 || tracee_stat_copy(copy, &st) < 0)
		return job_answer_unseen(job, (uint64_t)end);
	/* Exchanged since, by the race above: perhaps for one whose close(2) never ends. */
	if (!ledger_is_memfile(config->ledger, &st))
		return job_by_errand(job,
			&(struct errand){
				.listener = config->listener,
				.leave = true,
				.id = job->resize->id,
			},
			&copy);
	return allocate_memfile(job, take_fd(&copy), &st);
}

int resize_answer(
	struct resizer *resizer, const struct resize *resize, struct resize_outcome *ret_outcome)
{
	const struct job job = {.resizer = resizer, .resize = resize, .outcome = ret_outcome};

	*ret_outcome = (struct resize_outcome){.quota = QUOTA_NONE};
	if (resize->call->call == CALL_FTRUNCATE)
		return answer_ftruncate(&job);
	if (resize->call->call == CALL_FALLOCATE)
		return answer_fallocate(&job);
	return -EINVAL;
}
