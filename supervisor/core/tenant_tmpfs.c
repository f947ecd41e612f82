/* SPDX-License-Identifier: Apache-2.0 */

#include <errno.h>
#include <unistd.h>

#include "core/ledger_private.h"
#include "kernel/tmpfs.h"

/* Larger than any memory; the kernel reckons in pages, signed. */
#define TMPFS_MAX (UINT64_C(1) << 60)

/* What the tenant's other files leave of the resident quota. Zero would be no limit at all. */
static uint64_t tmpfs_share(const struct tenant *tenant)
{
	const uint64_t limit = tenant->ledger->quotas.limits[QUOTA_RESIDENT];
	const uint64_t others = sums_get(&tenant->sums, USE_RESIDENT);
	const uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);

	if (limit >= TMPFS_MAX)
		return TMPFS_MAX;
	return limit > others + page ? limit - others : page;
}

/* For good, and not because something is short right now. */
static bool is_lasting(int error)
{
	return error != -ENOMEM && error != -EMFILE && error != -ENFILE && error != -EAGAIN &&
	       error != -ETIMEDOUT && error != -EINTR;
}

/* With tenant->tmpfs_lock held, which keeps it the only one. */
static int tmpfs_make(struct tenant *tenant, uint64_t limit)
{
	struct ledger *ledger = tenant->ledger;
	struct tmpfs *tmpfs;
	uint64_t fsid = 0;
	int r = tmpfs_new(limit, &tmpfs);

	if (r == 0) {
		r = filewatch_fsid(tmpfs_fd(tmpfs), &fsid);
		if (r < 0)
			tmpfs_free(tmpfs);
	}
	ledger_lock(ledger);
	if (r == 0) {
		tenant->tmpfs = tmpfs;
		tenant->tmpfs_dev = tmpfs_dev(tmpfs);
		tenant->tmpfs_fsid = fsid;
		tenant->tmpfs_limit = limit;
		ledger->tmpfs_works = true;
	} else if (ledger->tmpfs_works) {
		r = -EAGAIN;
	} else if (is_lasting(r)) {
		ledger->tmpfs_error = -EOPNOTSUPP;
		r = -EOPNOTSUPP;
	}
	ledger_unlock(ledger);
	return r;
}

/* With no lock held, so that whoever hears of it may do as he likes. */
static void note_if_lasting(struct ledger *ledger, int error)
{
	if (error != -EOPNOTSUPP)
		return;
	ledger_lock(ledger);
	ledger_note(ledger, NOTICE_TMPFS);
	ledger_unlock(ledger);
}

int tenant_tmpfs(struct tenant *tenant, struct tmpfs **ret_tmpfs)
{
	struct ledger *ledger = tenant->ledger;
	struct tmpfs *tmpfs;
	int r;

	ledger_lock(ledger);
	tmpfs = tenant->tmpfs;
	r = ledger->tmpfs_error;
	ledger_unlock(ledger);
	if (!tmpfs && r == 0) {
		pthread_mutex_lock(&tenant->tmpfs_lock);
		ledger_lock(ledger);
		tmpfs = tenant->tmpfs;
		const uint64_t limit = tmpfs_share(tenant);
		ledger_unlock(ledger);
		if (!tmpfs)
			r = tmpfs_make(tenant, limit);
		tmpfs = tenant->tmpfs;
		pthread_mutex_unlock(&tenant->tmpfs_lock);
	}
	if (!tmpfs) {
		note_if_lasting(ledger, r);
		return r;
	}
	*ret_tmpfs = tmpfs;
	return 0;
}

void tenant_fit_tmpfs(struct tenant *tenant)
{
	struct ledger *ledger = tenant->ledger;
	uint64_t limit;
	bool fits;

	/* One at a time, so that the last one to reckon is the last one to resize. */
	pthread_mutex_lock(&tenant->tmpfs_lock);
	ledger_lock(ledger);
	limit = tmpfs_share(tenant);
	fits = !tenant->tmpfs || limit == tenant->tmpfs_limit;
	ledger_unlock(ledger);
	if (!fits && tmpfs_resize(tenant->tmpfs, limit) == 0) {
		ledger_lock(ledger);
		tenant->tmpfs_limit = limit;
		ledger_unlock(ledger);
	}
	pthread_mutex_unlock(&tenant->tmpfs_lock);
}
