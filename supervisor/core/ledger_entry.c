/* SPDX-License-Identifier: Apache-2.0 */

#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "core/ledger_private.h"
#include "kernel/tmpfs.h"

/* st_blocks is in these, whatever the file system's own blocks are. */
#define STAT_BLOCK 512

static struct tenant *entry_tenant(const struct ledger *ledger, const struct entry *entry)
{
	return ledger->tenants[entry->tenant];
}

/* ---- What it takes ---- */

struct amounts entry_amounts(const struct entry *entry)
{
	const uint64_t size = max_u64(entry->size, entry->left_size);
	const uint64_t resident = max_u64(entry->resident, entry->left_resident);
	struct amounts amounts = {.of[USE_MEMFDS] = 1};

	switch ((enum store)entry->store) {
	case STORE_MEMFD:
		amounts.of[USE_SIZE] = size;
		/* Not to be measured: every page within its size may be there. */
		amounts.of[USE_RESIDENT] =
			entry->mount == MOUNT_NONE ? max_u64(size, resident) : resident;
		break;
	case STORE_TMPFS: /* the file system knows what its files hold */
		amounts.of[USE_SIZE] = size;
		break;
	case STORE_DISK:
		amounts.of[USE_DISK] = max_u64(size, resident);
		break;
	case STORE_HUGETLB: /* fallocate(2) can keep pages beyond the size */
		amounts.of[USE_HUGETLB] = max_u64(size, resident);
		break;
	case STORE_SECRET:
		break;
	}
	return amounts;
}

static void sums_change(struct ledger *ledger, const struct entry *entry,
	const struct amounts *before, const struct amounts *after)
{
	struct tenant *tenant = entry_tenant(ledger, entry);

	sums_add(&tenant->sums, after);
	sums_add(&ledger->sums, after);
	sums_subtract(&tenant->sums, before);
	sums_subtract(&ledger->sums, before);
}

void entry_set(struct ledger *ledger, uint32_t index, const struct entry_extent *extent)
{
	struct entry *entry = table_at(&ledger->table, index);
	const struct amounts before = entry_amounts(entry);

	entry->size = extent->size;
	entry->resident = extent->resident;
	entry->left_size = extent->left_size;
	entry->left_resident = extent->left_resident;

	const struct amounts after = entry_amounts(entry);

	sums_change(ledger, entry, &before, &after);
}

struct entry_extent entry_extent(const struct entry *entry)
{
	return (struct entry_extent){
		.size = entry->size,
		.resident = entry->resident,
		.left_size = entry->left_size,
		.left_resident = entry->left_resident,
	};
}

uint64_t stat_resident(const struct stat *st)
{
	return (uint64_t)st->st_blocks * STAT_BLOCK;
}

/* ---- Into the table and out of it ---- */

/* Says what cannot be done for a file like this. */
static void entry_note(struct ledger *ledger, const struct entry *entry)
{
	const bool needs_measuring = entry->store == STORE_MEMFD || entry->store == STORE_DISK;

	if (entry->watch == ENTRY_MEASURED)
		ledger_note(ledger, NOTICE_WATCHES);
	if (entry->watch == ENTRY_BLIND)
		ledger_note(ledger, NOTICE_SECRET);
	if (needs_measuring && entry->mount == MOUNT_NONE)
		ledger_note(ledger, ledger->can_measure ? NOTICE_SPILL : NOTICE_HANDLES);
}

uint32_t entry_enter(struct tenant *tenant, const struct entry *draft)
{
	struct ledger *ledger = tenant->ledger;
	static const struct amounts none;
	struct amounts amounts;
	struct entry *entry;
	uint32_t i = table_add(&ledger->table, draft, &tenant->ring);

	if (i == 0)
		return 0;
	entry = table_at(&ledger->table, i);
	amounts = entry_amounts(entry);
	sums_change(ledger, entry, &none, &amounts);
	if (entry->watch >= ENTRY_MEASURED)
		tenant->unwatched++;
	entry_note(ledger, entry);
	return i;
}

void entry_remove(struct ledger *ledger, uint32_t index)
{
	struct entry *entry = table_at(&ledger->table, index);
	struct tenant *tenant = entry_tenant(ledger, entry);
	const struct amounts amounts = entry_amounts(entry);
	static const struct amounts none;

	sums_change(ledger, entry, &amounts, &none);
	if (entry->watch >= ENTRY_MEASURED)
		tenant->unwatched--;
	table_remove(&ledger->table, index, &tenant->ring);
	if (tenant->ring.count == 0)
		tenant_reap(tenant);
}

/*
 * On a disk a number may be another file's by now, if the end of the one that had it is still in
 * the queue. In memory they count up, and come again long after that was read, if ever.
 */
uint32_t entry_find(struct ledger *ledger, uint64_t dev, uint64_t ino)
{
	const uint32_t index = table_find_inode(&ledger->table, dev, ino);

	if (index == 0 || table_at(&ledger->table, index)->store != STORE_DISK)
		return index;
	deaths_read(ledger);
	return table_find_inode(&ledger->table, dev, ino);
}

/* The way to the file system of an entry that has a mount. */
int entry_mount(const struct ledger *ledger, const struct entry *entry)
{
	if (entry->mount == MOUNT_TMPFS)
		return tmpfs_fd(entry_tenant(ledger, entry)->tmpfs);
	return ledger->mounts[entry->mount];
}

/* ---- Drafts ---- */

/* Which of the mounts the file is on. Sets the fsid that reports of its end will have. */
static uint8_t draft_locate(struct tenant *tenant, struct entry *draft)
{
	struct ledger *ledger = tenant->ledger;
	uint8_t mount = MOUNT_NONE;

	if (draft->dev == ledger->memfd_dev) {
		draft->fsid = ledger->memfd_fsid;
		return MOUNT_MEMFD;
	}
	if (draft->store != STORE_TMPFS && draft->store != STORE_DISK)
		return MOUNT_NONE;
	ledger_lock(ledger);
	if (draft->store == STORE_DISK) {
		mount = ledger->spill_mount;
	} else if (tenant->tmpfs && draft->dev == tenant->tmpfs_dev) {
		draft->fsid = tenant->tmpfs_fsid;
		mount = MOUNT_TMPFS;
	}
	ledger_unlock(ledger);
	return mount;
}

/* Whether the file can be reached by its id: not each file system that gives ids takes them. */
static bool draft_is_measurable(struct ledger *ledger, const struct entry *draft, uint8_t mount)
{
	struct stat st;

	if (!ledger->can_measure || mount == MOUNT_NONE || draft->id.len == 0)
		return false;
	return mount < MOUNT_SPILL || fileid_stat(ledger->mounts[mount], &draft->id, &st) == 0;
}

static int draft_watch_by(
	struct ledger *ledger, enum filewatch_kind kind, int fd, struct entry *draft)
{
	struct filewatch *watch;

	ledger_lock(ledger);
	watch = ledger_watch(ledger, kind);
	ledger_unlock(ledger);
	return watch ? filewatch_add(watch, fd, &draft->wd) : -ENOSYS;
}

/* By the cheapest way there is. Reports that name files by id are understood for tmpfs only. */
static int draft_watch(struct ledger *ledger, uint8_t mount, int fd, struct entry *draft)
{
	const bool by_id = (mount == MOUNT_MEMFD || mount == MOUNT_TMPFS) && draft->id.len > 0;
	int r;

	draft->watch = ENTRY_MARKED;
	if (by_id && draft_watch_by(ledger, FILEWATCH_FANOTIFY, fd, draft) == 0)
		return 0;
	draft->watch = ENTRY_WATCHED;
	r = draft_watch_by(ledger, FILEWATCH_INOTIFY, fd, draft);
	if (r == 0 || draft->mount == MOUNT_NONE)
		return r;
	draft->watch = ENTRY_MEASURED;
	return 0;
}

int entry_draft(struct tenant *tenant, enum store store, int fd, struct entry *ret_entry)
{
	struct entry draft = {
		.tenant = tenant->id,
		.store = (uint8_t)store,
		.created_ns = clock_now_ns(CLOCK_REALTIME),
	};
	struct stat st;
	uint8_t mount;
	int r = 0;

	if (fstat(fd, &st) < 0)
		return -errno;
	draft.dev = st.st_dev;
	draft.ino = st.st_ino;
	draft.size = (uint64_t)st.st_size;
	draft.resident = stat_resident(&st);
	mount = draft_locate(tenant, &draft);
	if (mount != MOUNT_NONE && fileid_get(fd, &draft.id) < 0)
		draft.id = (struct fileid){.len = 0};
	draft.mount = draft_is_measurable(tenant->ledger, &draft, mount) ? mount : MOUNT_NONE;
	if (store == STORE_SECRET)
		draft.watch = ENTRY_BLIND; /* kernel/filewatch.h */
	else
		r = draft_watch(tenant->ledger, mount, fd, &draft);
	if (r == 0)
		memcpy(ret_entry, &draft, sizeof(draft));
	return r;
}

/* The watch of the same file, if that is what is in the way, stays. */
void entry_drop(struct ledger *ledger, const struct entry *draft, int fd)
{
	uint32_t other = table_find_inode(&ledger->table, draft->dev, draft->ino);
	const struct entry *entry = table_at(&ledger->table, other);

	if (other && entry->wd == draft->wd &&
		memcmp(&entry->id, &draft->id, sizeof(draft->id)) == 0)
		return;
	switch ((enum entry_watch)draft->watch) {
	case ENTRY_MARKED:
		filewatch_remove(&ledger->watches[FILEWATCH_FANOTIFY], fd, 0);
		break;
	case ENTRY_WATCHED:
		filewatch_remove(&ledger->watches[FILEWATCH_INOTIFY], fd, draft->wd);
		break;
	case ENTRY_MEASURED:
	case ENTRY_BLIND:
		break;
	}
}
