/* SPDX-License-Identifier: Apache-2.0 */

/* How the ledger learns that a file is gone. All of it with the lock held. */

#include <errno.h>

#include "core/ledger_private.h"

/* A report. It may be of a file that never got into the table, or of one that just left it. */
static void on_death(const struct filewatch_name *name, void *userdata)
{
	struct ledger *ledger = userdata;
	uint32_t i = name->wd ? table_find_wd(&ledger->table, name->wd)
			      : table_find_id(&ledger->table, name->fsid, &name->id);

	if (i)
		entry_remove(ledger, i);
}

/*
 * True when there may be more. Each of them is read at most once: the lock is not held for as long
 * as a flood takes.
 */
static bool read_some(struct ledger *ledger)
{
	bool more = false;

	for (int kind = FILEWATCH_FANOTIFY; kind <= FILEWATCH_INOTIFY; kind++) {
		int r = filewatch_read(&ledger->watches[kind], on_death, ledger);

		if (r == -EOVERFLOW)
			ledger->incomplete |= 1U << kind;
		more |= r == 1 || r == -EOVERFLOW;
	}
	return more;
}

/* One read takes more than twice as many. */
#define READ_EVERY 32

void deaths_read_at_times(struct ledger *ledger)
{
	if (++ledger->since_read < READ_EVERY)
		return;
	ledger->since_read = 0;
	read_some(ledger);
}

static void on_alive(const struct filewatch_name *name, void *userdata)
{
	struct ledger *ledger = userdata;
	uint32_t i = name->wd ? table_find_wd(&ledger->table, name->wd)
			      : table_find_inode(&ledger->table, name->dev, name->ino);

	if (i)
		table_at(&ledger->table, i)->seen = 1;
}

/*
 * Goes through all files that are watched this way and removes those that are not in the kernel's
 * list. A file is watched before it is entered, so whatever is in the table and alive is listed.
 */
static int sweep(struct ledger *ledger, enum filewatch_kind kind)
{
	const enum entry_watch watch = kind == FILEWATCH_INOTIFY ? ENTRY_WATCHED : ENTRY_MARKED;
	struct table *table = &ledger->table;
	int r;

	for (uint32_t i = 1; i < table->used; i++)
		table_at(table, i)->seen = 0;
	r = filewatch_list(&ledger->watches[kind], on_alive, ledger);
	if (r < 0)
		return r;
	for (uint32_t i = 1; i < table->used; i++) {
		const struct entry *entry = table_at(table, i);

		if (entry->state == ENTRY_LIVE && entry->watch == watch && !entry->seen)
			entry_remove(ledger, i);
	}
	return 0;
}

/* Where the list cannot be read (no memory, no descriptor), the next one to ask tries again. */
static void recover(struct ledger *ledger)
{
	for (int kind = FILEWATCH_FANOTIFY; kind <= FILEWATCH_INOTIFY; kind++)
		if (ledger->incomplete & 1U << kind && sweep(ledger, kind) == 0)
			ledger->incomplete &= ~(1U << kind);
}

void deaths_read(struct ledger *ledger)
{
	/* The last look, which finds nothing, is under the same lock as what the caller does. */
	while (read_some(ledger))
		ledger_breathe(ledger);
	if (ledger->incomplete)
		recover(ledger);
}
