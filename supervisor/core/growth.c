/* SPDX-License-Identifier: Apache-2.0 */

#include <errno.h>
#include <string.h>

#include "core/ledger_private.h"

_Static_assert(sizeof(((struct growth *)0)->reserved) == sizeof(struct amounts),
	"what a growth reserves is what is counted");

/* ---- Files that the ledger does not know ---- */

static bool adopted_store(struct ledger *ledger, const struct stat *st, enum store *ret_store)
{
	switch (memdev_kind(&ledger->devs, st->st_dev)) {
	case MEMDEV_MEMFD:
		*ret_store = STORE_MEMFD;
		return true;
	case MEMDEV_HUGETLB:
		*ret_store = STORE_HUGETLB;
		return true;
	case MEMDEV_SECRET: /* it would count for ever */
	case MEMDEV_OTHER:
		break;
	}
	return false;
}

/*
 * Enters a file as the tenant's. The lock is let go while it is watched, so another thread may
 * have done the same meanwhile: then that entry is it. Returns the index; 0 when it cannot be.
 */
static uint32_t adopt(struct tenant *tenant, int fd, enum store store)
{
	struct ledger *ledger = tenant->ledger;
	struct entry draft;
	uint32_t i;
	int r;

	deaths_read_at_times(ledger);
	ledger_unlock(ledger);
	r = entry_draft(tenant, store, fd, &draft);
	ledger_lock(ledger);
	if (r < 0)
		return 0;
	i = entry_find(ledger, draft.dev, draft.ino);
	if (i == 0) {
		i = entry_enter(tenant, &draft);
		tenant_note_peaks(tenant);
	}
	if (i == 0)
		entry_drop(ledger, &draft, fd);
	return i;
}

/* ---- Whether it may ---- */

/* What the file takes more once it has grown. */
static struct amounts needed(const struct entry *entry, const struct growth *growth)
{
	const struct entry grown = {
		.store = entry->store,
		.mount = entry->mount,
		.size = max_u64(entry->size, growth->size),
		.resident = max_u64(entry->resident, growth->resident),
		.left_size = entry->left_size,
		.left_resident = entry->left_resident,
	};
	const struct amounts before = entry_amounts(entry);
	struct amounts more = entry_amounts(&grown);

	for (int i = 0; i < USE_COUNT; i++)
		more.of[i] -= before.of[i];
	return more;
}

static bool has_room(const struct tenant *tenant, enum quota quota, uint64_t more)
{
	const uint64_t limit = tenant->ledger->quotas.limits[quota];

	return more == 0 || limit == QUOTA_UNLIMITED ||
	       add_saturated(tenant_total(tenant, quota), more) <= limit;
}

static enum quota check(const struct tenant *tenant, const struct amounts *more)
{
	if (!has_room(tenant, QUOTA_SIZE, more->of[USE_SIZE]))
		return QUOTA_SIZE;
	if (!has_room(tenant, QUOTA_RESIDENT, more->of[USE_RESIDENT]))
		return QUOTA_RESIDENT;
	if (!has_room(tenant, QUOTA_HUGETLB, more->of[USE_HUGETLB]))
		return QUOTA_HUGETLB;
	if (!has_room(tenant, QUOTA_SPILL, more->of[USE_DISK]))
		return QUOTA_SPILL;
	return QUOTA_NONE;
}

/*
 * What the file needs more for this growth, and whether its tenant (owner, held) may have it. Looks
 * again, after each refusal for something new, at what may have changed. The file is alive, but an
 * entry can go before its file when its tenant ends: then nothing is needed.
 */
static enum quota check_thoroughly(
	struct tenant *owner, const struct growth *growth, struct amounts *ret_more)
{
	struct ledger *ledger = owner->ledger;
	unsigned refreshed = 1U << QUOTA_NONE;

	for (;;) {
		uint32_t i = table_find_inode(&ledger->table, growth->dev, growth->ino);
		enum quota quota;

		*ret_more = (struct amounts){0};
		if (i == 0)
			return QUOTA_NONE;
		*ret_more = needed(table_at(&ledger->table, i), growth);
		quota = check(owner, ret_more);
		if (refreshed & 1U << quota)
			return quota;
		refreshed |= 1U << quota;
		tenant_refresh(owner, quota);
	}
}

/* ---- Growths ---- */

/*
 * Takes note of a file's size that was seen before the growth. It only ever adds: another growth
 * may have ended since, and only its end knows.
 */
static void see(struct ledger *ledger, uint32_t index, const struct stat *st)
{
	struct entry_extent extent = entry_extent(table_at(&ledger->table, index));

	extent.size = max_u64(extent.size, (uint64_t)st->st_size);
	extent.resident = max_u64(extent.resident, stat_resident(st));
	if (extent.left_size <= extent.size)
		extent.left_size = 0;
	if (extent.left_resident <= extent.resident)
		extent.left_resident = 0;
	entry_set(ledger, index, &extent);
}

/* Whether one file may come to this. What does not make it larger always may. */
static bool fits_one_file(const struct ledger *ledger, const struct growth *growth,
	const struct stat *st, uint64_t new_pages)
{
	const uint64_t limit = ledger->quotas.limits[QUOTA_MEMFD_SIZE];

	/* fallocate(2) can keep pages beyond the size. */
	return (growth->size <= (uint64_t)st->st_size || growth->size <= limit) &&
	       (new_pages == 0 || growth->resident <= limit);
}

static void reserve(struct tenant *owner, struct growth *growth, const struct amounts *more)
{
	struct ledger *ledger = owner->ledger;
	uint32_t i = table_find_inode(&ledger->table, growth->dev, growth->ino);

	if (i == 0)
		return;
	tenant_hold(owner, more);
	growth->ledger = ledger;
	growth->tenant = owner;
	memcpy(growth->reserved, more->of, sizeof(growth->reserved));
	growth->turn = ++table_at(&ledger->table, i)->turn;
}

/*
 * What the file may come to hold: on top of what it has now, as since the entry's figure was
 * measured it may have given some back; and on top of what earlier growths that were left to the
 * kernel may still bring, where a sample will tell. Else they are forgotten as soon as they show.
 */
static uint64_t resident_to_be(const struct entry *entry, const struct stat *st, uint64_t new_pages)
{
	const uint64_t now = stat_resident(st);
	const bool is_measured = entry->mount != MOUNT_NONE;

	return add_saturated(is_measured ? max_u64(now, entry->left_resident) : now, new_pages);
}

static const struct amounts nothing;

/* For a file that is entered. */
static enum quota begin(struct growth *growth, struct ledger *ledger, uint32_t index,
	const struct stat *st, uint64_t new_pages, bool force)
{
	struct tenant *owner = ledger->tenants[table_at(&ledger->table, index)->tenant];
	struct amounts more;
	enum quota quota;

	/* Its last entry may go while the lock is let go, and would take it along. */
	tenant_hold(owner, &nothing);
	see(ledger, index, st);
	growth->resident = resident_to_be(table_at(&ledger->table, index), st, new_pages);
	quota = check_thoroughly(owner, growth, &more);
	if (!fits_one_file(ledger, growth, st, new_pages))
		quota = QUOTA_MEMFD_SIZE;
	if (quota != QUOTA_NONE)
		owner->refused[quota]++;
	if (quota == QUOTA_NONE || force)
		reserve(owner, growth, &more);
	tenant_release(owner, &nothing);
	return quota;
}

enum quota growth_begin(struct growth *ret_growth, struct tenant *tenant, int fd,
	const struct stat *st, uint64_t new_size, uint64_t new_pages, bool force)
{
	struct ledger *ledger = tenant->ledger;
	enum store store = STORE_MEMFD;
	enum quota quota = QUOTA_NONE;
	uint32_t i;

	*ret_growth = (struct growth){.dev = st->st_dev, .ino = st->st_ino, .size = new_size};
	ledger_lock(ledger);
	i = entry_find(ledger, st->st_dev, st->st_ino);
	if (i == 0 && adopted_store(ledger, st, &store)) {
		i = adopt(tenant, fd, store);
		/* What cannot be counted must not grow. */
		if (i == 0)
			quota = store == STORE_HUGETLB ? QUOTA_HUGETLB : QUOTA_SIZE;
	}
	if (i > 0)
		quota = begin(ret_growth, ledger, i, st, new_pages, force);
	else if (quota == QUOTA_NONE && !fits_one_file(ledger, ret_growth, st, new_pages))
		quota = QUOTA_MEMFD_SIZE;
	ledger_unlock(ledger);
	return quota;
}

/* Ends the growth. Returns its file's entry, 0 when that is gone. */
static uint32_t end(struct growth *growth, bool *ret_alone)
{
	struct ledger *ledger = growth->ledger;
	uint32_t i = table_find_inode(&ledger->table, growth->dev, growth->ino);
	struct amounts more;

	memcpy(more.of, growth->reserved, sizeof(more.of));
	tenant_release(growth->tenant, &more);
	if (i)
		*ret_alone = table_at(&ledger->table, i)->turn++ == growth->turn;
	return i;
}

/*
 * Of several growths of one file at the same time nobody knows which the kernel did last. The
 * larger size stands then, until a growth that is alone, or a sample, knows better.
 */
static void settle(struct ledger *ledger, uint32_t index, const struct stat *st, bool alone)
{
	struct tenant *owner = ledger->tenants[table_at(&ledger->table, index)->tenant];
	struct entry_extent extent = entry_extent(table_at(&ledger->table, index));

	if (alone) {
		extent.size = (uint64_t)st->st_size;
		extent.resident = stat_resident(st);
		entry_set(ledger, index, &extent);
	} else {
		see(ledger, index, st);
		entry_ring_put_first(&ledger->table, &owner->ring, index);
	}
	tenant_note_peaks(owner);
}

void growth_commit(struct growth *growth, const struct stat *st)
{
	struct ledger *ledger = growth->ledger;
	bool alone = false;
	uint32_t i;

	if (!ledger)
		return;
	ledger_lock(ledger);
	i = end(growth, &alone);
	if (i)
		settle(ledger, i, st, alone);
	ledger_unlock(ledger);
	*growth = (struct growth){0};
}

void growth_leave(struct growth *growth)
{
	struct ledger *ledger = growth->ledger;
	bool alone = false;
	uint32_t i;

	if (!ledger)
		return;
	ledger_lock(ledger);
	i = end(growth, &alone);
	if (i) {
		const struct entry *entry = table_at(&ledger->table, i);
		struct tenant *owner = ledger->tenants[entry->tenant];
		struct entry_extent extent = entry_extent(entry);

		extent.left_size = max_u64(extent.left_size, growth->size);
		extent.left_resident = max_u64(extent.left_resident, growth->resident);
		entry_set(ledger, i, &extent);
		entry_ring_put_first(&ledger->table, &owner->ring, i);
	}
	ledger_unlock(ledger);
	*growth = (struct growth){0};
}

void growth_done(struct growth *growth)
{
	struct ledger *ledger = growth->ledger;
	bool alone;

	if (!ledger)
		return;
	ledger_lock(ledger);
	end(growth, &alone);
	ledger_unlock(ledger);
	*growth = (struct growth){0};
}

/* ---- Resizes that nobody looks at ---- */

bool tenant_may_grow_unseen(struct tenant *tenant, uint64_t bytes)
{
	struct ledger *ledger = tenant->ledger;
	struct amounts all;
	bool may;

	ledger_lock(ledger);
	/* Pages come when they are touched. Where they are not measured, sizes stand for them. */
	all.of[USE_MEMFDS] = 0;
	all.of[USE_SIZE] = add_saturated(tenant->unseen.of[USE_SIZE], bytes);
	all.of[USE_RESIDENT] = ledger->can_measure ? 0 : all.of[USE_SIZE];
	all.of[USE_HUGETLB] = add_saturated(tenant->unseen.of[USE_HUGETLB], bytes);
	all.of[USE_DISK] =
		tenant->spilled > 0 ? add_saturated(tenant->unseen.of[USE_DISK], bytes) : 0;
	may = bytes <= ledger->quotas.limits[QUOTA_MEMFD_SIZE] && check(tenant, &all) == QUOTA_NONE;
	if (may)
		tenant->unseen = all;
	ledger_unlock(ledger);
	return may;
}
