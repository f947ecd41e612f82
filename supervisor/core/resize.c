/* SPDX-License-Identifier: Apache-2.0 */
#include "core/resize.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/fd.h"
#include "core/resize_errand.h"
#include "kernel/notify.h"

/* linux/magic.h, Linux 5.14 */
#ifndef SECRETMEM_MAGIC
#define SECRETMEM_MAGIC 0x5345434d
#endif

struct resizer {
	struct resizer_config config;
	struct errands *errands;
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
}

static void job_object_by_quota(const struct job *job, enum quota quota)
{
	job->outcome->quota = quota;
	job_object(job, job->resize->quotas->errors[quota], "a limit of the tenant is used up");
}

static int job_fail_uninspectable(const struct job *job)
{
	job_object(job, EPERM, "the caller cannot be inspected");
	return job->resize->audit ? job_continue(job) : job_fail(job, EPERM);
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

/*
 * What comes after the check of RLIMIT_FSIZE: shmem_setattr() and shmem_fallocate() in mm/shmem.c,
 * hugetlbfs_setattr() and hugetlbfs_fallocate() in fs/hugetlbfs/inode.c, secretmem_setattr() in
 * mm/secretmem.c.
 */
static int error_of_growth(
	const struct filter_call *call, int copy, const struct stat *st, uint64_t end)
{
	struct statfs fs;
	int seals;

	if (call->call == CALL_FTRUNCATE && fstatfs(copy, &fs) == 0) {
		if (fs.f_type == HUGETLBFS_MAGIC && end % (uint64_t)fs.f_bsize)
			return EINVAL;
		if (fs.f_type == SECRETMEM_MAGIC && st->st_size)
			return EINVAL;
	}
	/* EINVAL: no memory file but one of the spill directory. */
	seals = fcntl(copy, F_GET_SEALS);
	return seals > 0 && seals & F_SEAL_GROW && end > (uint64_t)st->st_size ? EPERM : 0;
}

/* Anonymous memory only knows these (the same functions). */
static int error_of_mode(int copy, int mode)
{
	const bool is_memory = fcntl(copy, F_GET_SEALS) >= 0;

	return is_memory && mode & ~(FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE) ? EOPNOTSUPP : 0;
}

/* ---- ftruncate(2) ---- */

/* Reserves what the new size takes. Returns false when that is refused. */
static bool truncate_reserve(
	const struct job *job, int copy, const struct stat *st, struct growth *growth)
{
	const struct resize *resize = job->resize;
	const uint64_t size = (uint64_t)resize->call->length;
	/* To shrink a file can only help, whatever is used up. */
	const bool grows = size > (uint64_t)st->st_size;
	enum quota quota =
		growth_begin(growth, resize->tenant, copy, st, size, 0, resize->audit || !grows);

	if (quota == QUOTA_NONE || !grows)
		return true;
	job_object_by_quota(job, quota);
	return resize->audit;
}

/*
 * Does it. The copy keeps the file from being another one, and its size from having been checked
 * for another one. What the kernel says to us it would have said to the caller. Returns 0 or a
 * positive errno.
 */
static int truncate_do(const struct job *job, int copy, struct growth *growth)
{
	struct stat st;

	if (ftruncate(copy, job->resize->call->length) < 0)
		return errno;
	if (fstat(copy, &st) == 0)
		growth_commit(growth, &st);
	return 0;
}

/* Takes the copy, which must be closed before the answer: see tracee_get_fd(). */
static int truncate_memfile(const struct job *job, int copy_fd, const struct stat *st)
{
	const struct resizer_config *config = &job->resizer->config;
	const struct filter_call *call = job->resize->call;
	const uint64_t size = (uint64_t)call->length;
	_cleanup_close_ int copy = copy_fd;
	cleanup(growth_done) struct growth growth = {0};
	int error = 0;
	int r;

	/* A caller that died may have left its id to another one, whose file this then would be. */
	r = notify_valid(config->listener, job->resize->id);
	if (r != NOTIFY_OK)
		return r;
	if (size > (uint64_t)st->st_size) {
		error = error_of_access(copy, EINVAL);
		if (error)
			return job_fail(job, error);
		if (is_above_limit(job, st, size))
			return job_fail_by_limit(job);
	}
	if (truncate_reserve(job, copy, st, &growth)) {
		error = truncate_do(job, copy, &growth);
		copy = fd_close(copy);
		return error ? job_fail(job, error)
			     : notify_return(config->listener, job->resize->id, 0);
	}
	error = error_of_growth(call, copy, st, size);
	if (error)
		*job->outcome = (struct resize_outcome){.size = size};
	copy = fd_close(copy);
	return job_fail(job, error ? error : job->outcome->error);
}

/*
 * A file that is none of ours, or that was none when it was looked at, with a length that must not
 * meet one of ours: the kernel's own run of the call would take the descriptor anew.
 */
static int truncate_by_errand(const struct job *job, int *copy)
{
	const struct resizer_config *config = &job->resizer->config;
	struct errand errand = {
		.listener = config->listener,
		.wait_killable = config->wait_killable,
		.id = job->resize->id,
		.tid = job->resize->tid,
		.length = job->resize->call->length,
	};
	struct tracee_ids ids;
	int r = tracee_ids(config->cache, job->resize->tid, &ids);

	if (r < 0)
		return job_fail_uninspectable(job);
	errand.fsuid = ids.fsuid;
	errand.fsgid = ids.fsgid;
	/* All that was read so far is the caller's; from here on the errand has it. */
	r = notify_valid(config->listener, job->resize->id);
	if (r != NOTIFY_OK)
		return r;
	if (errand_start(job->resizer->errands, &errand, copy) == 0)
		return NOTIFY_OK;
	job_object(job, EAGAIN, "too many resizes of slow files");
	return job_fail(job, EAGAIN);
}

static int truncate_copy(const struct job *job, bool is_memfile)
{
	const struct resizer_config *config = &job->resizer->config;
	_cleanup_close_ int copy = -1;
	struct stat st;

	/* To close the copy may take as long as the tenant likes, so no copy without a thread. */
	if (!is_memfile && errands_are_full(job->resizer->errands)) {
		job_object(job, EAGAIN, "too many resizes of slow files");
		return job_fail(job, EAGAIN);
	}
	copy = tracee_get_fd(config->cache, job->resize->tid, job->resize->call->fd);
	if (copy == -EBADF)
		return job_fail(job, EBADF);
	if (copy < 0 || tracee_stat_copy(copy, &st) < 0)
		return job_fail_uninspectable(job);
	if (ledger_is_memfile(config->ledger, &st))
		return truncate_memfile(job, take_fd(&copy), &st);
	return truncate_by_errand(job, &copy);
}

/*
 * The signs of the arguments are in registers, which nobody can change any more: a call that the
 * kernel refuses for them it refuses whatever the descriptor is.
 */
static int answer_ftruncate(const struct job *job)
{
	const struct resizer_config *config = &job->resizer->config;
	const struct resize *resize = job->resize;
	struct stat st;
	int r;

	if (resize->call->length < 0)
		return job_fail(job, EINVAL);
	job->outcome->size = (uint64_t)resize->call->length;
	r = tracee_stat_fd(config->cache, resize->tid, resize->call->fd, &st);
	if (r == -EBADF)
		return job_fail(job, EBADF);

	const bool is_memfile = r == 0 && ledger_is_memfile(config->ledger, &st);

	/* The descriptor may be another file's by the time that the kernel looks at it. */
	if (!is_memfile && (resize->audit || tenant_may_grow_unseen(resize->tenant,
						     (uint64_t)resize->call->length)))
		return job_continue(job);
	return truncate_copy(job, is_memfile);
}

/* ---- fallocate(2) ---- */

/* What the file has afterwards, at most. */
static void allocation_estimate(const struct filter_call *call, const struct stat *st,
	uint64_t *ret_size, uint64_t *ret_new_pages)
{
	const uint64_t size = (uint64_t)st->st_size;
	const uint64_t resident = (uint64_t)st->st_blocks * 512;
	const uint64_t page = st->st_blksize > 0 ? (uint64_t)st->st_blksize : 1;
	const uint64_t start = (uint64_t)call->offset / page * page;
	const uint64_t end = (uint64_t)call->offset + (uint64_t)call->length;
	const uint64_t end_page = (end + page - 1) / page * page;
	uint64_t room = (size > end ? size + page - 1 : end + page - 1) / page * page;

	/* Of the whole file only what it does not have yet can be new. */
	room = room > resident ? room - resident : 0;
	*ret_new_pages = end_page - start < room ? end_page - start : room;
	if (call->mode & FALLOC_FL_INSERT_RANGE)
		*ret_size = size + (uint64_t)call->length;
	else if (call->mode & FALLOC_FL_KEEP_SIZE || size > end)
		*ret_size = size;
	else
		*ret_size = end;
}

/* Refuses what the quota does not allow, unless the kernel has a reason of its own before that. */
static int allocation_refuse(const struct job *job, int copy_fd, const struct stat *st)
{
	const struct filter_call *call = job->resize->call;
	const uint64_t end = (uint64_t)call->offset + (uint64_t)call->length;
	const struct resize_outcome refusal = *job->outcome;
	_cleanup_close_ int copy = copy_fd;
	int error = error_of_access(copy, EBADF);

	*job->outcome = (struct resize_outcome){.size = refusal.size};
	if (!error)
		error = error_of_mode(copy, call->mode);
	if (!error && is_above_limit(job, st, end))
		return job_fail_by_limit(job);
	if (!error)
		error = error_of_growth(call, copy, st, end);
	if (!error)
		*job->outcome = refusal;
	copy = fd_close(copy);
	return job_fail(job, error ? error : refusal.error);
}

static int allocate_memfile(const struct job *job, int copy_fd, const struct stat *st)
{
	const struct resize *resize = job->resize;
	_cleanup_close_ int copy = copy_fd;
	cleanup(growth_done) struct growth growth = {0};
	uint64_t new_pages;
	enum quota quota;
	int r;

	allocation_estimate(resize->call, st, &job->outcome->size, &new_pages);
	quota = growth_begin(
		&growth, resize->tenant, copy, st, job->outcome->size, new_pages, resize->audit);
	if (quota != QUOTA_NONE) {
		job_object_by_quota(job, quota);
		if (!resize->audit)
			return allocation_refuse(job, take_fd(&copy), st);
	}
	copy = fd_close(copy);
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

	_cleanup_close_ int copy =
		r < 0 ? r : tracee_get_fd(config->cache, job->resize->tid, call->fd);

	if (copy == -EBADF)
		return job_fail(job, EBADF);
	if (copy < 0 || tracee_stat_copy(copy, &st) < 0)
		return tenant_may_grow_unseen(job->resize->tenant, (uint64_t)end)
			       ? job_continue(job)
			       : job_fail_uninspectable(job);
	/* Exchanged since: by the race above, so that nobody but its tenant waits for the close. */
	if (!ledger_is_memfile(config->ledger, &st)) {
		copy = fd_close(copy);
		return job_continue(job);
	}
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
