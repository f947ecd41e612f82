/* SPDX-License-Identifier: Apache-2.0 */
#include "core/resize_errand.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/fsuid.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "core/resize.h"
#include "kernel/notify.h"
#include "kernel/tracee.h"

/* Enough for what an errand calls, and for what sanitizers add to it. */
#define ERRAND_STACK ((size_t)128 * 1024)

struct errands {
	atomic_uint references; /* of the session, and of each errand */
	atomic_uint under_way;
};

/* What one thread owns. */
struct errand_job {
	struct errands *errands;
	struct errand errand;
	int file;
};

int errands_new(struct errands **ret_errands)
{
	struct errands *errands = calloc(1, sizeof(*errands));

	if (!errands)
		return -ENOMEM;
	atomic_init(&errands->references, 1);
	*ret_errands = errands;
	return 0;
}

struct errands *errands_free(struct errands *errands)
{
	if (errands && atomic_fetch_sub(&errands->references, 1) == 1)
		free(errands);
	return NULL;
}

/* Only the session's thread adds: what is free stays so until it has started one. */
unsigned errands_room(const struct errands *errands)
{
	return RESIZE_ERRANDS + ERRANDS_SPARE - atomic_load(&errands->under_way);
}

/* The thread's own file system ids alone (setfsuid(2)); what they are is asked by a bad one. */
static bool act_as(uid_t fsuid, gid_t fsgid)
{
	(void)setfsgid(fsgid);
	(void)setfsuid(fsuid);
	return (gid_t)setfsgid((gid_t)-1) == fsgid && (uid_t)setfsuid((uid_t)-1) == fsuid;
}

/* Whether the kernel would have measured the new size by the caller's RLIMIT_FSIZE, not by ours. */
static bool is_above_limit(const struct errand_job *job)
{
	struct stat st;
	uint64_t limit;
	int flags = fcntl(job->file, F_GETFL);

	/* Only of a regular file that is open for writing, and only when it grows. */
	if (flags < 0 || flags & O_PATH || (flags & O_ACCMODE) == O_RDONLY ||
		fstat(job->file, &st) < 0 || !S_ISREG(st.st_mode) ||
		job->errand.length <= st.st_size)
		return false;
	return tracee_file_size_limit(job->errand.tid, &limit) < 0 ||
	       (uint64_t)job->errand.length > limit;
}

/* Any of these may wait for the file system's server. Returns 0 or a positive errno. */
static int job_resize(const struct errand_job *job, bool *ret_above_limit)
{
	const struct errand *errand = &job->errand;

	if (!act_as(errand->fsuid, errand->fsgid))
		return EPERM;
	*ret_above_limit = is_above_limit(job);
	if (!*ret_above_limit && ftruncate(job->file, errand->length) < 0)
		return errno;
	return 0;
}

static void job_free(struct errand_job *job)
{
	fd_close(job->file);
	fd_close(job->errand.listener);
	errands_free(job->errands);
	free(job);
}

static int job_answer(const struct errand *errand, int error, bool above_limit)
{
	if (errand->leave)
		return notify_continue(errand->listener, errand->id);
	if (above_limit)
		return tracee_fail_file_size(
			errand->tid, errand->listener, errand->id, errand->wait_killable);
	if (error)
		return notify_fail(errand->listener, errand->id, error);
	return notify_return(errand->listener, errand->id, 0);
}

static void *job_main(void *argument)
{
	struct errand_job *job = argument;
	bool above_limit = false;
	int error = job->errand.leave ? 0 : job_resize(job, &above_limit);

	/* Before the caller goes on: it may notice that its file is still open (ETXTBSY, locks). */
	job->file = fd_close(job->file);
	atomic_fetch_sub(&job->errands->under_way, 1);
	/* Whatever the kernel says to that, there is nobody left to tell. */
	(void)job_answer(&job->errand, error, above_limit);
	job_free(job);
	return NULL;
}

static int job_start(struct errand_job *job)
{
	pthread_attr_t attributes;
	pthread_t thread;
	int r = -pthread_attr_init(&attributes);

	if (r < 0)
		return r;
	(void)pthread_attr_setstacksize(&attributes, ERRAND_STACK);
	(void)pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
	r = -pthread_create(&thread, &attributes, job_main, job);
	pthread_attr_destroy(&attributes);
	return r;
}

static struct errand_job *job_new(struct errands *errands, const struct errand *errand)
{
	struct errand_job *job = calloc(1, sizeof(*job));

	if (!job)
		return NULL;
	*job = (struct errand_job){.errands = errands, .errand = *errand, .file = -1};
	job->errand.listener = fcntl(errand->listener, F_DUPFD_CLOEXEC, 0);
	if (job->errand.listener < 0) {
		free(job);
		return NULL;
	}
	atomic_fetch_add(&errands->references, 1);
	return job;
}

int errand_start(struct errands *errands, const struct errand *errand, int *file)
{
	struct errand_job *job;

	if (errands_room(errands) == 0)
		return -EAGAIN;
	job = job_new(errands, errand);
	if (!job)
		return -ENOMEM;
	job->file = take_fd(file);
	atomic_fetch_add(&errands->under_way, 1);

	int r = job_start(job);

	if (r < 0) {
		*file = take_fd(&job->file);
		atomic_fetch_sub(&errands->under_way, 1);
		job_free(job);
	}
	return r;
}
