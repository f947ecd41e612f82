/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the files of the ledger share. Nobody else includes it. */

#include <pthread.h>
#include <stdatomic.h>

#include "core/ledger.h"
#include "core/ledger_table.h"
#include "kernel/filewatch.h"
#include "kernel/memdev.h"
#include "policy/policy.h"

/* ---- What is counted ---- */

enum use {
	USE_MEMFDS,
	USE_SIZE,
	USE_RESIDENT,
	USE_HUGETLB,
	USE_DISK,
};
#define USE_COUNT 5

/* What one file, or the growth of one, takes. */
struct amounts {
	uint64_t of[USE_COUNT];
};

/* Files may claim 2^63 bytes each, so sums have more than 64 bits; reading one saturates. */
struct sums {
	uint64_t low[USE_COUNT];
	uint32_t high[USE_COUNT];
};

void sums_add(struct sums *sums, const struct amounts *amounts);
void sums_subtract(struct sums *sums, const struct amounts *amounts);
uint64_t sums_get(const struct sums *sums, enum use use);

static inline uint64_t add_saturated(uint64_t a, uint64_t b)
{
	uint64_t sum;

	return __builtin_add_overflow(a, b, &sum) ? UINT64_MAX : sum;
}

static inline uint64_t max_u64(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

/* ---- Tenants ---- */

/*
 * A token bucket without fractions: level is in tokens, and part is what has come in of the next
 * one, in nanoseconds of the period times the rate.
 */
struct bucket {
	uint64_t level, part;
	uint64_t filled_ns; /* CLOCK_MONOTONIC */
};

struct tenant {
	struct ledger *ledger;
	struct tenant *next;    /* with the same hash; in the list of those to be freed */
	uint32_t id;            /* entries say whose they are by this */
	unsigned refs;          /* callers' */
	bool of_listener;       /* not of a uid or cgroup */
	unsigned pending;       /* charges and growths in flight */
	struct entry_ring ring; /* its entries */
	struct sums sums;       /* of its entries, and of what is in flight */
	uint32_t unwatched;     /* entries whose end nobody reports */
	struct amounts unseen;  /* resizes that nobody looked at, since the last sample */
	struct bucket bucket;   /* files that it may still make now */
	uint64_t measurable_ns; /* CLOCK_MONOTONIC: when it may be measured before a refusal */
	uint64_t peak_memfds, peak_size, peak_resident;
	uint64_t refused[QUOTA_COUNT];
	uint64_t spilled;
	/* Held while the tmpfs is made or resized; taken before the ledger's. */
	pthread_mutex_t tmpfs_lock;
	struct tmpfs *tmpfs; /* NULL: none yet */
	uint64_t tmpfs_dev, tmpfs_fsid;
	uint64_t tmpfs_used;  /* as last measured */
	uint64_t tmpfs_limit; /* as last set */
	char name[POLICY_TENANT_MAX];
};

#define TENANT_BUCKETS 1024

/* ---- The ledger ---- */

/* What it cannot do on this machine: each is said once. */
enum notice {
	NOTICE_HANDLES = 1 << 0,
	NOTICE_WATCHES = 1 << 1,
	NOTICE_TMPFS = 1 << 2,
	NOTICE_SECRET = 1 << 3,
	NOTICE_SPILL = 1 << 4,
};

/* Mounts that files are on, for open_by_handle_at(2). Places are never given back. */
#define MOUNT_NONE  0 /* the file has no weak reference */
#define MOUNT_TMPFS 1 /* the tenant's own tmpfs */
#define MOUNT_MEMFD 2
#define MOUNT_SPILL 3 /* and all that follow */
#define MOUNT_MAX   16

/*
 * One lock for all of it, held for tens of microseconds at most. Opening a file to measure it
 * happens under the lock as well: so whoever holds the lock knows that no file is kept alive by us,
 * and that the queue of deaths tells all.
 */
struct ledger {
	pthread_mutex_t gate; /* held while waiting for the lock: first come, first served */
	pthread_mutex_t lock;
	struct policy_quotas quotas;
	ledger_notice_fn *on_notice;
	void *userdata;
	unsigned said, to_say; /* sets of enum notice */
	bool can_measure;      /* constant */
	struct memdevs devs;   /* constant */
	uint64_t memfd_dev, memfd_fsid;
	int mounts[MOUNT_MAX];       /* owned; -1 */
	struct filewatch watches[2]; /* by enum filewatch_kind; opened when needed */
	unsigned unavailable;        /* set of 1 << kind: cannot be opened */
	uint8_t spill_mount;         /* of the spill directory in use */
	unsigned incomplete;         /* set of 1 << kind: some of its reports were lost */
	unsigned since_read;         /* files that were about to be entered */
	struct table table;
	struct sums sums;        /* of all tenants */
	struct tenant **tenants; /* by id; NULL: free */
	uint32_t tenant_max;     /* ids are below */
	struct tenant *names[TENANT_BUCKETS];
	struct tenant *dead; /* to be freed by who unlocks */
	int tmpfs_error;     /* for good; 0 */
	bool tmpfs_works;    /* one was made: what fails later passes, or is a tenant's doing */
};

void ledger_lock(struct ledger *ledger);
/* Also does what must not be done with the lock held: says notices, frees tenants. */
void ledger_unlock(struct ledger *ledger);
/* Lets others in who wait. */
void ledger_breathe(struct ledger *ledger);

/* All of the following: with the lock held, unless they say otherwise. */

void ledger_note(struct ledger *ledger, enum notice notice);

/* The watch of that kind, opened by the first that asks. Returns NULL where there is none. */
struct filewatch *ledger_watch(struct ledger *ledger, enum filewatch_kind kind);

/* ---- Entries ---- */

/* What an entry takes. */
struct amounts entry_amounts(const struct entry *entry);

/* How large a file is, as in struct entry. */
struct entry_extent {
	uint64_t size, resident;
	uint64_t left_size, left_resident;
};

struct entry_extent entry_extent(const struct entry *entry);
/* Changes it, and the sums with it. */
void entry_set(struct ledger *ledger, uint32_t index, const struct entry_extent *extent);

/* st_blocks in bytes. */
uint64_t stat_resident(const struct stat *st);

/* For fileid_stat(), of an entry that has a mount; borrowed. */
int entry_mount(const struct ledger *ledger, const struct entry *entry);

/*
 * Makes an entry, not in the table yet, of the file behind fd, and watches the file. Called without
 * the lock. Returns 0 or -errno.
 */
int entry_draft(struct tenant *tenant, enum store store, int fd, struct entry *ret_entry);
/* The other way, for an entry that does not get into the table. */
void entry_drop(struct ledger *ledger, const struct entry *draft, int fd);

/* Enters a draft. Returns the index, 0 where there is no memory for it. */
uint32_t entry_enter(struct tenant *tenant, const struct entry *draft);
void entry_remove(struct ledger *ledger, uint32_t index);

/* The live file with that number; 0: none. May let go of the lock and take it again. */
uint32_t entry_find(struct ledger *ledger, uint64_t dev, uint64_t ino);

/* ---- Deaths ---- */

/*
 * For whoever is about to enter a file: takes note of some of the deaths, once in a while, so that
 * their queue stays short. Nobody is woken to do it.
 */
void deaths_read_at_times(struct ledger *ledger);
/* Takes note of all deaths up to now. May let go of the lock and take it again. */
void deaths_read(struct ledger *ledger);

/* ---- Measuring ---- */

/* Whether a tenant of so many files is measured at once, however long ago that was. */
#define MEASURE_ALWAYS 256
/* Otherwise the time that one takes, times this, passes from one to the next. */
#define MEASURE_SPACING 4

/*
 * Before a refusal: takes note of what may have changed in the tenant's favour, as far as time may
 * be spent on that. Lets go of the lock in between.
 */
void tenant_refresh(struct tenant *tenant, enum quota quota);

/* ---- Tenants ---- */

/* What counts for a quota. */
uint64_t tenant_total(const struct tenant *tenant, enum quota quota);
void tenant_note_peaks(struct tenant *tenant);
/* A call was refused for a file in that store; not so if it now goes to the spill directory. */
void tenant_count_refused(struct tenant *tenant, enum quota quota, enum store store);

/* Something is in flight, or in flight no more, that sums hold. */
void tenant_hold(struct tenant *tenant, const struct amounts *amounts);
void tenant_release(struct tenant *tenant, const struct amounts *amounts);

/* To be called when a tenant may have lost the last thing that kept it. */
void tenant_reap(struct tenant *tenant);

/* Adds the tokens that came in since. Without a rate the bucket is full. */
void tenant_fill_bucket(struct tenant *tenant);
/* The quotas are about to be these. */
void tenant_change_rate(struct tenant *tenant, const struct policy_quotas *quotas);

/* Fits the limit of the tenant's file system to what is left. Called without the lock. */
void tenant_fit_tmpfs(struct tenant *tenant);
/* What the tenant's file system holds now. */
void tenant_measure_tmpfs(struct tenant *tenant);
