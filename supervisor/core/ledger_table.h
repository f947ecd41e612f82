/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The entries of the ledger: plain data in one mapping that grows, addressed by index, found by the
 * file's number and by what its watch calls it, and chained in a ring for each tenant.
 *
 * What is not in an entry (both indexes, rings, free entries, sums) can be made again from the
 * entries: an entry is valid once its state says so, which is stored last, and is no more from the
 * moment when that is taken back, which is stored first.
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "kernel/fileid.h"

#define ENTRY_NAME_MAX 63

/* Bytes of a mapping at first; a page that was never written takes no memory. */
#define TABLE_MAPPING_MIN (64 * 1024)

enum entry_state {
	ENTRY_FREE,
	ENTRY_LIVE,
};

/* How the end of a file is learned. */
enum entry_watch {
	ENTRY_MARKED,   /* a report with fsid and id */
	ENTRY_WATCHED,  /* a report with wd */
	ENTRY_MEASURED, /* -ESTALE from fileid_stat() */
	ENTRY_BLIND,    /* not at all; it goes with its tenant */
};

enum entry_index {
	INDEX_INODE, /* dev and ino */
	INDEX_WATCH, /* fsid and id, or wd */
};
#define INDEX_COUNT 2

struct entry {
	uint64_t dev, ino;
	uint64_t size, resident; /* bytes, as last seen */
	/* What the file may have come to unseen, by a growth that was left to the kernel; or 0. */
	uint64_t left_size, left_resident;
	uint64_t created_ns; /* CLOCK_REALTIME */
	uint64_t fsid;       /* of ENTRY_MARKED */
	uint32_t tenant;
	uint32_t next[INDEX_COUNT]; /* with the same hash; the first also chains free entries */
	uint32_t ring_next, ring_prev;
	uint32_t wd; /* of ENTRY_WATCHED; else 0 */
	pid_t pid;
	uid_t uid;
	struct fileid id;
	uint16_t turn;         /* counts what growths did to the entry */
	_Atomic uint8_t state; /* enum entry_state */
	uint8_t store;         /* enum store */
	uint8_t watch;         /* enum entry_watch */
	uint8_t mount;         /* index into ledger.mounts */
	uint8_t seen;          /* scratch: is in the list of live files */
	uint8_t name_len;
	char name[ENTRY_NAME_MAX];
};

/* A tenant's entries. The first is the one to be measured next. */
struct entry_ring {
	uint32_t first; /* 0: none */
	uint32_t count;
};

/* Linear hashing (Litwin 1980): one bucket more with each entry, never all of them at once. */
struct index {
	uint32_t *buckets; /* the first entry of each; 0: none */
	size_t size;       /* of the mapping, bytes */
	uint32_t count;    /* buckets in use */
	uint32_t low;      /* the power of two that is at most count */
};

#define TABLE_KEYS 12

struct table {
	struct entry *entries; /* [0] is not used: 0 stands for none */
	size_t size;           /* of the mapping, bytes */
	uint32_t used;         /* entries that ever were in use */
	uint32_t free;         /* a chain */
	uint32_t count;        /* live ones */
	struct index indexes[INDEX_COUNT];
	/* Nobody outside can tell which numbers collide, and fill one bucket with them. */
	uint64_t keys[TABLE_KEYS];
};

/* Returns 0 or -errno. table_done() afterwards in either case. */
int table_init(struct table *table);
void table_done(struct table *table);

static inline struct entry *table_at(const struct table *table, uint32_t index)
{
	return &table->entries[index];
}

/* Copies the draft in, and its ring. Returns its index, 0 without memory. */
uint32_t table_add(struct table *table, const struct entry *draft, struct entry_ring *ring);
void table_remove(struct table *table, uint32_t index, struct entry_ring *ring);

/* 0: there is none. */
uint32_t table_find_inode(const struct table *table, uint64_t dev, uint64_t ino);
uint32_t table_find_wd(const struct table *table, uint32_t wd);
uint32_t table_find_id(const struct table *table, uint64_t fsid, const struct fileid *id);

/* Takes the first of a ring, which becomes the last. */
uint32_t entry_ring_take(struct table *table, struct entry_ring *ring);
/* Puts an entry first. */
void entry_ring_put_first(struct table *table, struct entry_ring *ring, uint32_t index);
