/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The ledger: one entry for each live file that was made for a tenant, and what each tenant uses.
 *
 * A file is charged before it exists (struct charge) and the charge sticks to the file: it is given
 * back when the kernel says that the last reference to the file is gone, whether that was a
 * descriptor, a mapping, or a message in a socket, and whoever held it. The ledger keeps no file
 * alive: it knows a file by a weak reference (name_to_handle_at(2)) and learns of its end from a
 * watch on its inode (fanotify(7), inotify(7)).
 *
 * All functions may be called by any thread. None blocks on a tenant.
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "policy/quota.h"

struct ledger;
struct tenant;
struct tmpfs;

/* Where the pages of a file in the ledger are. */
enum store {
	STORE_MEMFD,
	STORE_TMPFS,
	STORE_DISK,
	STORE_HUGETLB,
	STORE_SECRET,
};

/* Says something once, about what the ledger cannot do on this machine; text is a literal. */
typedef void ledger_notice_fn(const char *text, void *userdata);

struct ledger_config {
	const struct policy_quotas *quotas; /* copied */
	ledger_notice_fn *on_notice;        /* may be NULL; called with no lock held */
	void *userdata;
};

/* Returns 0 or -errno. */
int ledger_new(const struct ledger_config *config, struct ledger **ret_ledger);
/* Takes NULL, returns NULL. Every tenant must have been given back. */
struct ledger *ledger_free(struct ledger *ledger);

/*
 * Other limits, at once: also for tenants that are above them already, who then get no more.
 * Resizes the file systems of all tenants.
 */
void ledger_set_quotas(struct ledger *ledger, const struct policy_quotas *quotas);

/* ---- Tenants ---- */

/*
 * The tenant of that name (cut to POLICY_TENANT_MAX - 1 bytes), which is made when there is none.
 * Stores a reference that the caller owns. A tenant without references goes when its last file and
 * its last missing rate token have. Returns 0 or -ENOMEM.
 */
int tenant_get(struct ledger *ledger, const char *name, struct tenant **ret_tenant);
/* Takes NULL, returns NULL. */
struct tenant *tenant_unref(struct tenant *tenant);
const char *tenant_name(const struct tenant *tenant);

/* Remembers the tenant as a listener's own, and asks for one of that name. */
void tenant_set_listener(struct tenant *tenant);
bool ledger_has_listener(struct ledger *ledger, const char *name);

/*
 * The tenant's file system, for files that cannot be sealed; made by the first that asks. Its limit
 * is the resident quota less what the tenant's other files hold, kept so by ledger_sample().
 * Borrowed, lives as long as the tenant. Returns 0; -EOPNOTSUPP, from then on always, when no tmpfs
 * can be had on this machine (a notice says so once); or another -errno when something is short
 * right now. A tenant can bring that about (no process, no namespace left), so it is no reason to
 * do without. To ask once before a tenant runs makes sure that it cannot bring about the other.
 */
int tenant_tmpfs(struct tenant *tenant, struct tmpfs **ret_tmpfs);

/* What a tenant uses. Sizes in bytes. */
struct tenant_use {
	uint64_t memfds;
	uint64_t size;     /* sum over STORE_MEMFD and STORE_TMPFS */
	uint64_t resident; /* the same; as last sampled */
	uint64_t hugetlb;  /* sum of sizes of STORE_HUGETLB */
	uint64_t on_disk;  /* STORE_DISK: the larger of size and blocks, summed */
	uint64_t peak_memfds, peak_size, peak_resident;
	uint64_t refused[QUOTA_COUNT]; /* calls */
	uint64_t spilled;              /* files */
};

/* Takes note of all deaths so far first, so that count and sizes are right as of now. */
void tenant_use(struct tenant *tenant, struct tenant_use *ret_use);

/* Calls fn for each tenant, with no lock held and the tenant referenced. */
typedef void tenant_fn(struct tenant *tenant, void *userdata);
void ledger_each_tenant(struct ledger *ledger, tenant_fn *fn, void *userdata);

/* ---- Making a file ---- */

/* What one new file takes, until it is made or given up. */
struct charge {
	struct tenant *tenant; /* borrowed; NULL: nothing is charged */
	enum store store;
	bool token; /* of QUOTA_RATE: one was taken */
};

/*
 * Charges one more file in this store: QUOTA_MEMFDS and QUOTA_RATE; and looks whether the tenant is
 * at or above QUOTA_SIZE, QUOTA_RESIDENT, QUOTA_HUGETLB or, for STORE_DISK, QUOTA_SPILL, after
 * having measured again what may have changed. Returns QUOTA_NONE with *ret_charge to be ended by
 * charge_commit() or charge_done(); or what is used up: then nothing is charged, and the refusal is
 * counted, unless the policy has such files spill. With force (audit mode) the charge is made all
 * the same, and the return value and the counter say what would have been refused. QUOTA_SPILL is
 * about the files of all tenants together, as there is one spill directory.
 */
enum quota charge_begin(
	struct charge *ret_charge, struct tenant *tenant, enum store store, bool force);

/* What the ledger remembers of a file's maker, for people. */
struct ledger_maker {
	pid_t pid;
	uid_t uid;
	const char *name; /* borrowed; not NUL-ended */
	size_t name_len;
};

/*
 * Enters the file behind fd (borrowed): from here on its own end gives the charge back, also when
 * it is never injected and just closed. Returns 0, or -errno when its end cannot be watched, or
 * there is no memory; then the charge is still the caller's, and the file must not be given to
 * anybody.
 */
int charge_commit(struct charge *charge, int fd, const struct ledger_maker *maker);

/* Gives the charge back unless it was committed; a zeroed charge is allowed. For cleanup(). */
void charge_done(struct charge *charge);

/*
 * The tenant got nothing after all: a file that was committed could not be injected. Its own end
 * gives back all but the rate, which this does.
 */
void charge_return_rate(struct tenant *tenant);

/* ---- Growing a file ---- */

/* The growth of one file, until it has happened or failed. */
struct growth {
	struct ledger *ledger; /* NULL: nothing is reserved */
	struct tenant *tenant; /* the file's; it stays until the growth has ended */
	uint64_t dev, ino;
	uint64_t size, resident; /* what the file may come to, bytes */
	uint64_t reserved[5];    /* the ledger's own */
	uint16_t turn;
};

/* Whether fstat(2) says that this is an anonymous memory file: a memfd of any kind, or any file of
 * any tenant that the ledger knows. */
bool ledger_is_memfile(struct ledger *ledger, const struct stat *st);

/*
 * Reserves what the file (st: as it is now) needs to have new_size bytes, of which new_pages bytes
 * are to be resident memory that it does not have yet (fallocate(2); 0 for ftruncate(2)). A file
 * that the ledger does not know (made before, received from outside, allowed) is entered first, by
 * fd, as tenant's. Charges the tenant that the file is entered under, which may be another one than
 * the caller's. Returns QUOTA_NONE or what is used up: QUOTA_MEMFD_SIZE, QUOTA_SIZE,
 * QUOTA_RESIDENT, QUOTA_HUGETLB, QUOTA_SPILL. A file that cannot be entered must not grow:
 * QUOTA_SIZE, or QUOTA_HUGETLB. force as above. Any other file needs nothing.
 */
enum quota growth_begin(struct growth *ret_growth, struct tenant *tenant, int fd,
	const struct stat *st, uint64_t new_size, uint64_t new_pages, bool force);

/* It has happened: the file now is as st says. */
void growth_commit(struct growth *growth, const struct stat *st);

/* Nobody will see the end of it (the kernel does it): the reservation stands until sampled. */
void growth_leave(struct growth *growth);

/* Gives the reservation back unless one of the above was called. For cleanup(). */
void growth_done(struct growth *growth);

/*
 * Whether a resize to this many bytes, done by the kernel on a file that nobody has looked at,
 * could break a limit if it hit one of the tenant's memfds. When not, it is remembered until the
 * next sample, so that many such calls together cannot break one either.
 */
bool tenant_may_grow_unseen(struct tenant *tenant, uint64_t bytes);

/* ---- Measuring ---- */

/* True where open_by_handle_at(2) is permitted; else sizes are those seen at resize. */
bool ledger_can_measure(const struct ledger *ledger);

/* True while no tenant has a file. */
bool ledger_is_empty(struct ledger *ledger);

/*
 * Measures every live file of the tenant, or of all when NULL, brings the sums up to date, and fits
 * the limit of the tenant's file system to what is left. Does not hold up charges for longer than a
 * few files take.
 */
void ledger_sample(struct ledger *ledger, struct tenant *tenant);

/* One live file, as last measured. */
struct ledger_file {
	uint64_t dev, ino;
	uint64_t size, resident; /* bytes */
	uint64_t created_ns;     /* CLOCK_REALTIME */
	enum store store;
	pid_t pid; /* maker's, may be gone */
	uid_t uid;
	uint8_t name_len;
	char name[63]; /* cut */
};

/* Copies up to max of the tenant's files. Returns how many there are. */
size_t tenant_files(struct tenant *tenant, struct ledger_file *files, size_t max);
