/* SPDX-License-Identifier: Apache-2.0 */

#include <errno.h>

#include "base/clock.h"
#include "core/ledger_private.h"
#include "kernel/tmpfs.h"

/* Files that are measured without letting anybody else in: some 20 to 60 us. */
#define BATCH 16

/*
 * The kernel keeps the file alive while we look at it. Its last other reference may go meanwhile,
 * and then its end is reported when we are done: before anybody else has the lock.
 */
static void entry_measure(struct ledger *ledger, uint32_t index)
{
	const struct entry *entry = table_at(&ledger->table, index);
	struct stat st;
	int r;

	if (entry->mount == MOUNT_NONE)
		return;
	r = fileid_stat(entry_mount(ledger, entry), &entry->id, &st);
	if (r == 0) {
		const struct entry_extent extent = {
			.size = (uint64_t)st.st_size,
			.resident = stat_resident(&st),
		};

		entry_set(ledger, index, &extent);
	} else if (r == -ESTALE && entry->watch == ENTRY_MEASURED) {
		entry_remove(ledger, index);
	}
}

/*
 * Each file taken from the ring goes to its end, so any run of as many as there are has seen them
 * all, whatever others enter, remove or measure meanwhile.
 */
static void measure_files(struct tenant *tenant)
{
	struct ledger *ledger = tenant->ledger;
	uint32_t left = tenant->ring.count;

	while (left > 0) {
		for (int i = 0; i < BATCH && left > 0; i++, left--) {
			uint32_t index = entry_ring_take(&ledger->table, &tenant->ring);

			if (index)
				entry_measure(ledger, index);
		}
		if (left > 0)
			ledger_breathe(ledger);
	}
}

void tenant_measure_tmpfs(struct tenant *tenant)
{
	uint64_t used;

	if (tenant->tmpfs && tmpfs_used(tenant->tmpfs, &used) == 0)
		tenant->tmpfs_used = used;
}

/* All of the tenant (referenced). Lets go of the lock in between. */
static void measure(struct tenant *tenant)
{
	if (tenant->ledger->can_measure)
		measure_files(tenant);
	tenant_measure_tmpfs(tenant);
	tenant_note_peaks(tenant);
}

static void measure_if_due(struct tenant *tenant)
{
	uint64_t start_ns = clock_now_ns(CLOCK_MONOTONIC);

	if (tenant->ring.count > MEASURE_ALWAYS && start_ns < tenant->measurable_ns)
		return;
	/* Others that want to refuse meanwhile go by what is known. */
	tenant->measurable_ns = UINT64_MAX;
	measure(tenant);
	tenant->measurable_ns =
		start_ns + MEASURE_SPACING * (clock_now_ns(CLOCK_MONOTONIC) - start_ns);
}

void tenant_refresh(struct tenant *tenant, enum quota quota)
{
	/* First, so that the dead are not measured. */
	deaths_read(tenant->ledger);
	/* To count files it is enough to hear of deaths, where those are reported. */
	if (quota != QUOTA_MEMFDS || tenant->unwatched > 0)
		measure_if_due(tenant);
	/* And last, because then the lock is held until the refusal. */
	deaths_read(tenant->ledger);
}

/*
 * What resizes that nobody looked at can have come to is now measured, where it can be. Huge pages
 * cannot: such resizes count for good.
 */
static void forget_unseen(struct tenant *tenant, const struct amounts *unseen)
{
	const bool known[USE_COUNT] = {
		[USE_SIZE] = tenant->ledger->can_measure,
		[USE_DISK] = tenant->ledger->spill_mount != MOUNT_NONE,
	};

	/* Another sampler may have forgotten the same. */
	for (int i = 0; i < USE_COUNT; i++)
		if (known[i] && tenant->unseen.of[i] > unseen->of[i])
			tenant->unseen.of[i] -= unseen->of[i];
		else if (known[i])
			tenant->unseen.of[i] = 0;
}

static void sample_tenant(struct tenant *tenant)
{
	struct ledger *ledger = tenant->ledger;
	struct amounts unseen;

	ledger_lock(ledger);
	deaths_read(ledger);
	unseen = tenant->unseen;
	measure(tenant);
	forget_unseen(tenant, &unseen);
	ledger_unlock(ledger);
	tenant_fit_tmpfs(tenant);
}

static void sample_one(struct tenant *tenant, void *userdata)
{
	(void)userdata;
	sample_tenant(tenant);
}

void ledger_sample(struct ledger *ledger, struct tenant *tenant)
{
	if (tenant)
		sample_tenant(tenant);
	else
		ledger_each_tenant(ledger, sample_one, NULL);
}
