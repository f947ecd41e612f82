/* SPDX-License-Identifier: Apache-2.0 */

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>

#include "core/ledger_table.h"

_Static_assert(sizeof(struct entry) + INDEX_COUNT * sizeof(uint32_t) <= 256,
	"an entry, its places in the indexes included, has 256 bytes at most");

/* ---- Memory ---- */

static void *mapping_new(size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

/* Doubles a mapping until it has room for needed bytes; it may move. Returns NULL without room. */
static void *mapping_fit(void *p, size_t *size, size_t needed)
{
	size_t larger = *size;
	void *moved;

	if (needed <= larger)
		return p;
	while (larger < needed)
		if (__builtin_mul_overflow(larger, 2, &larger))
			return NULL;
	moved = mremap(p, *size, larger, MREMAP_MAYMOVE);
	if (moved == MAP_FAILED)
		return NULL;
	*size = larger;
	return moved;
}

static int index_init(struct index *index)
{
	*index = (struct index){.size = TABLE_MAPPING_MIN, .count = 1, .low = 1};
	index->buckets = mapping_new(index->size);
	return index->buckets == NULL ? -ENOMEM : 0;
}

static int random_fill(void *buf, size_t size)
{
	/* getrandom(2) gives up to 256 bytes at once, and a signal cannot come in between. */
	return getrandom(buf, size, 0) == (ssize_t)size ? 0 : -EIO;
}

int table_init(struct table *table)
{
	*table = (struct table){.size = TABLE_MAPPING_MIN, .used = 1};
	table->entries = mapping_new(table->size);
	if (!table->entries)
		return -ENOMEM;
	for (int i = 0; i < INDEX_COUNT; i++)
		if (index_init(&table->indexes[i]) < 0)
			return -ENOMEM;
	return random_fill(table->keys, sizeof(table->keys));
}

void table_done(struct table *table)
{
	for (int i = 0; i < INDEX_COUNT; i++)
		if (table->indexes[i].buckets)
			munmap(table->indexes[i].buckets, table->indexes[i].size);
	if (table->entries)
		munmap(table->entries, table->size);
	*table = (struct table){0};
}

/* Makes sure that one more entry, and a bucket for it in each index, has room. */
static int table_reserve(struct table *table)
{
	struct entry *entries;

	if (table->used == UINT32_MAX / 2)
		return -ENOMEM;
	entries = mapping_fit(
		table->entries, &table->size, (table->used + (size_t)1) * sizeof(*entries));
	if (!entries)
		return -ENOMEM;
	table->entries = entries;
	for (int i = 0; i < INDEX_COUNT; i++) {
		struct index *index = &table->indexes[i];
		uint32_t *buckets = mapping_fit(index->buckets, &index->size,
			(index->count + (size_t)1) * sizeof(*buckets));

		if (!buckets)
			return -ENOMEM;
		index->buckets = buckets;
	}
	return 0;
}

/* ---- Hashes ---- */

/* Multiply-shift with random factors (Dietzfelbinger 1996): universal, so nobody can aim. */
static uint32_t hash_words(const struct table *table, const uint32_t *words, size_t count)
{
	uint64_t sum = table->keys[0];

	for (size_t i = 0; i < count; i++)
		sum += table->keys[i + 1] * words[i];
	return (uint32_t)(sum >> 32);
}

static uint32_t hash_inode(const struct table *table, uint64_t dev, uint64_t ino)
{
	const uint32_t words[] = {
		(uint32_t)dev, (uint32_t)(dev >> 32), (uint32_t)ino, (uint32_t)(ino >> 32)};

	return hash_words(table, words, 4);
}

static uint32_t hash_wd(const struct table *table, uint32_t wd)
{
	return hash_words(table, &wd, 1);
}

static uint32_t hash_id(const struct table *table, uint64_t fsid, const struct fileid *id)
{
	uint32_t words[2 + FILEID_MAX / 4] = {(uint32_t)fsid, (uint32_t)(fsid >> 32)};

	_Static_assert(FILEID_MAX % 4 == 0 && TABLE_KEYS > 2 + FILEID_MAX / 4, "words and keys");
	memcpy(&words[2], id->bytes, FILEID_MAX);
	return hash_words(table, words, 2 + FILEID_MAX / 4);
}

static uint32_t hash_entry(
	const struct table *table, enum entry_index which, const struct entry *entry)
{
	switch (which) {
	case INDEX_INODE:
		return hash_inode(table, entry->dev, entry->ino);
	case INDEX_WATCH:
		break;
	}
	return entry->watch == ENTRY_WATCHED ? hash_wd(table, entry->wd)
					     : hash_id(table, entry->fsid, &entry->id);
}

/* ---- Indexes ---- */

static uint32_t *index_bucket(const struct index *index, uint32_t hash)
{
	uint32_t bucket = hash & (2 * index->low - 1);

	if (bucket >= index->count)
		bucket &= index->low - 1;
	return &index->buckets[bucket];
}

/* One bucket more, to which about half of another one's entries go. There is room. */
static void index_split(struct table *table, enum entry_index which)
{
	struct index *index = &table->indexes[which];
	const uint32_t from = index->count - index->low;
	uint32_t next = index->buckets[from];

	index->buckets[from] = 0;
	index->buckets[index->count++] = 0;
	while (next) {
		struct entry *entry = table_at(table, next);
		uint32_t *bucket = index_bucket(index, hash_entry(table, which, entry));
		uint32_t moved = next;

		next = entry->next[which];
		entry->next[which] = *bucket;
		*bucket = moved;
	}
	if (index->count == 2 * index->low)
		index->low = index->count;
}

static void index_add(struct table *table, enum entry_index which, uint32_t i)
{
	struct index *index = &table->indexes[which];
	struct entry *entry = table_at(table, i);
	uint32_t *bucket;

	if (table->count > index->count)
		index_split(table, which);
	bucket = index_bucket(index, hash_entry(table, which, entry));
	entry->next[which] = *bucket;
	*bucket = i;
}

static void index_remove(struct table *table, enum entry_index which, uint32_t i)
{
	const struct entry *entry = table_at(table, i);
	uint32_t *link = index_bucket(&table->indexes[which], hash_entry(table, which, entry));

	while (*link != i)
		link = &table_at(table, *link)->next[which];
	*link = entry->next[which];
}

static bool entry_is_reported(const struct entry *entry)
{
	return entry->watch == ENTRY_MARKED || entry->watch == ENTRY_WATCHED;
}

uint32_t table_find_inode(const struct table *table, uint64_t dev, uint64_t ino)
{
	uint32_t i = *index_bucket(&table->indexes[INDEX_INODE], hash_inode(table, dev, ino));

	while (i && !(table_at(table, i)->ino == ino && table_at(table, i)->dev == dev))
		i = table_at(table, i)->next[INDEX_INODE];
	return i;
}

uint32_t table_find_wd(const struct table *table, uint32_t wd)
{
	uint32_t i = *index_bucket(&table->indexes[INDEX_WATCH], hash_wd(table, wd));

	while (i && table_at(table, i)->wd != wd)
		i = table_at(table, i)->next[INDEX_WATCH];
	return i;
}

uint32_t table_find_id(const struct table *table, uint64_t fsid, const struct fileid *id)
{
	uint32_t i = *index_bucket(&table->indexes[INDEX_WATCH], hash_id(table, fsid, id));

	for (; i; i = table_at(table, i)->next[INDEX_WATCH]) {
		const struct entry *entry = table_at(table, i);

		if (entry->watch == ENTRY_MARKED && entry->fsid == fsid &&
			memcmp(&entry->id, id, sizeof(*id)) == 0)
			break;
	}
	return i;
}

/* ---- Rings ---- */

/* Before the first, which is where the last is. */
static void ring_link(struct table *table, struct entry_ring *ring, uint32_t i)
{
	struct entry *entry = table_at(table, i);
	struct entry *first;

	if (ring->count++ == 0) {
		entry->ring_next = entry->ring_prev = ring->first = i;
		return;
	}
	first = table_at(table, ring->first);
	entry->ring_next = ring->first;
	entry->ring_prev = first->ring_prev;
	table_at(table, first->ring_prev)->ring_next = i;
	first->ring_prev = i;
}

static void ring_unlink(struct table *table, struct entry_ring *ring, uint32_t i)
{
	const struct entry *entry = table_at(table, i);

	table_at(table, entry->ring_prev)->ring_next = entry->ring_next;
	table_at(table, entry->ring_next)->ring_prev = entry->ring_prev;
	if (ring->first == i)
		ring->first = entry->ring_next;
	if (--ring->count == 0)
		ring->first = 0;
}

uint32_t entry_ring_take(struct table *table, struct entry_ring *ring)
{
	uint32_t taken = ring->first;

	if (taken)
		ring->first = table_at(table, taken)->ring_next;
	return taken;
}

void entry_ring_put_first(struct table *table, struct entry_ring *ring, uint32_t index)
{
	if (ring->first == index)
		return;
	ring_unlink(table, ring, index);
	ring_link(table, ring, index);
	ring->first = index;
}

/* ---- Entries ---- */

uint32_t table_add(struct table *table, const struct entry *draft, struct entry_ring *ring)
{
	struct entry *entry;
	uint32_t i;

	if (table_reserve(table) < 0)
		return 0;
	i = table->free ? table->free : table->used++;
	entry = table_at(table, i);
	if (table->free)
		table->free = entry->next[INDEX_INODE];
	memcpy(entry, draft, sizeof(*entry));
	table->count++;
	index_add(table, INDEX_INODE, i);
	if (entry_is_reported(entry))
		index_add(table, INDEX_WATCH, i);
	ring_link(table, ring, i);
	atomic_store_explicit(&entry->state, ENTRY_LIVE, memory_order_release);
	return i;
}

void table_remove(struct table *table, uint32_t index, struct entry_ring *ring)
{
	struct entry *entry = table_at(table, index);

	atomic_store_explicit(&entry->state, ENTRY_FREE, memory_order_release);
	ring_unlink(table, ring, index);
	index_remove(table, INDEX_INODE, index);
	if (entry_is_reported(entry))
		index_remove(table, INDEX_WATCH, index);
	entry->next[INDEX_INODE] = table->free;
	table->free = index;
	table->count--;
}
