/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The life of one ftruncate(2) or fallocate(2) of a tenant whose files are in a ledger.
 *
 * An anonymous memory file is resized by us, on our own copy of the caller's descriptor, so that no
 * thread of the caller can put another file there after the check; fallocate(2) must charge its
 * pages to the caller and so is checked and left to the kernel. Any other file is left to the
 * kernel. The caller gets the kernel's own errno, in the kernel's order; a limit comes last.
 *
 * Of the process itself this needs: RLIMIT_FSIZE of at least what any file may have (soft limit up
 * to the hard one; below, callers get EFBIG), and every signal blocked in the calling thread, for
 * SIGXFSZ of our own limit must not end us.
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "core/ledger.h"
#include "kernel/filter.h"
#include "kernel/tracee.h"
#include "policy/quota.h"

/* What the resizes of one session share. Used by the session's thread. */
struct resizer;

struct resizer_config {
	int listener;               /* borrowed */
	bool wait_killable;         /* its filter has WAIT_KILLABLE_RECV */
	struct tracee_cache *cache; /* borrowed */
	struct ledger *ledger;      /* borrowed */
};

/* Returns 0 or -errno. */
int resizer_new(const struct resizer_config *config, struct resizer **ret_resizer);

/* Takes NULL, returns NULL. Does not wait for errands that are still under way (resize_answer()).
 */
struct resizer *resizer_free(struct resizer *resizer);

/*
 * Says that the task was just given a memory file under this number, which makes its first
 * ftruncate(2) faster. To be wrong does no harm.
 */
void resizer_expect(struct resizer *resizer, pid_t tid, int fd);

/* One call, as it was received. All borrowed. */
struct resize {
	uint64_t id; /* of the notification */
	pid_t tid;
	const struct filter_call *call;     /* CALL_FTRUNCATE or CALL_FALLOCATE */
	struct tenant *tenant;              /* the caller's */
	const struct policy_quotas *quotas; /* for the errno of each limit */
	bool audit; /* refuse nothing, say what would have been refused, count all the same */
	/* Called before an answer that is worth an event, while the caller is still there. */
	void (*on_refusal)(void *userdata);
	void *userdata;
};

struct resize_outcome {
	int error; /* positive errno that we gave the caller (audit: that it would have got), 0:
		    * none
		    */
	enum quota quota;   /* what is used up; QUOTA_NONE */
	uint64_t size;      /* bytes: the size that the call makes or would have made */
	const char *reason; /* a string literal; NULL: nothing to say */
	bool worth_event;   /* we refused it, or would have; kernel's own errors are not */
};

/*
 * Answers the call. tracee_cache_begin() must have been said for it. Returns NOTIFY_OK, NOTIFY_GONE
 * (then *ret_outcome tells nothing to anybody), or -errno when the kernel did not take the answer.
 *
 * Never blocks on the tenant: a file whose file system the tenant itself may serve (FUSE) is looked
 * at without asking that, and where it has to be resized by us, because its new size on a memfd put
 * there meanwhile would break a limit, a thread of its own does it and answers: an errand, of which
 * the outcome tells nothing. At most RESIZE_ERRANDS of a session are under way at a time; above
 * that the caller gets EAGAIN. So it does for memory files only once as many again have been
 * started by exchanging descriptors while they were looked at.
 */
int resize_answer(
	struct resizer *resizer, const struct resize *resize, struct resize_outcome *ret_outcome);

#define RESIZE_ERRANDS 16
