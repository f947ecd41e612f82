/* SPDX-License-Identifier: Apache-2.0 */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/hash.h"
#include "core/ledger_private.h"

/* ---- By name and by id ---- */

static struct tenant **tenant_bucket(struct ledger *ledger, const char *name, size_t len)
{
	uint64_t hash = HASH_INIT;

	for (size_t i = 0; i < len; i++)
		hash = hash_byte(hash, (unsigned char)name[i]);
	return &ledger->names[hash % TENANT_BUCKETS];
}

static struct tenant *tenant_find(struct ledger *ledger, const char *name, size_t len)
{
	struct tenant *tenant = *tenant_bucket(ledger, name, len);

	while (tenant && !(strncmp(tenant->name, name, len) == 0 && tenant->name[len] == '\0'))
		tenant = tenant->next;
	return tenant;
}

/* A free id; the table of them grows where there is none. Returns 0 or -ENOMEM. */
static int id_new(struct ledger *ledger, uint32_t *ret_id)
{
	const uint32_t more = ledger->tenant_max > 0 ? ledger->tenant_max : 16;
	struct tenant **tenants;

	for (uint32_t i = 0; i < ledger->tenant_max; i++)
		if (!ledger->tenants[i]) {
			*ret_id = i;
			return 0;
		}
	tenants = reallocarray(
		ledger->tenants, (size_t)ledger->tenant_max + more, sizeof(*ledger->tenants));
	if (!tenants)
		return -ENOMEM;
	memset(&tenants[ledger->tenant_max], 0, more * sizeof(*tenants));
	*ret_id = ledger->tenant_max;
	ledger->tenants = tenants;
	ledger->tenant_max += more;
	return 0;
}

static int tenant_new(
	struct ledger *ledger, const char *name, size_t len, struct tenant **ret_tenant)
{
	struct tenant *tenant = calloc(1, sizeof(*tenant));
	struct tenant **bucket = tenant_bucket(ledger, name, len);

	if (!tenant || id_new(ledger, &tenant->id) < 0) {
		free(tenant);
		return -ENOMEM;
	}
	tenant->ledger = ledger;
	pthread_mutex_init(&tenant->tmpfs_lock, NULL);
	memcpy(tenant->name, name, len);
	tenant->bucket = (struct bucket){
		.level = ledger->quotas.burst,
		.filled_ns = clock_now_ns(CLOCK_MONOTONIC),
	};
	tenant->next = *bucket;
	*bucket = tenant;
	ledger->tenants[tenant->id] = tenant;
	*ret_tenant = tenant;
	return 0;
}

/* ---- Life ---- */

int tenant_get(struct ledger *ledger, const char *name, struct tenant **ret_tenant)
{
	const size_t len = strnlen(name, POLICY_TENANT_MAX - 1);
	struct tenant *tenant;
	int r = 0;

	ledger_lock(ledger);
	tenant = tenant_find(ledger, name, len);
	if (!tenant)
		r = tenant_new(ledger, name, len, &tenant);
	if (r == 0) {
		tenant->refs++;
		*ret_tenant = tenant;
	}
	ledger_unlock(ledger);
	return r;
}

void tenant_set_listener(struct tenant *tenant)
{
	ledger_lock(tenant->ledger);
	tenant->of_listener = true;
	ledger_unlock(tenant->ledger);
}

bool ledger_has_listener(struct ledger *ledger, const char *name)
{
	const struct tenant *tenant;
	bool has;

	ledger_lock(ledger);
	tenant = tenant_find(ledger, name, strlen(name));
	has = tenant && tenant->of_listener;
	ledger_unlock(ledger);
	return has;
}

/* Files whose end nobody can see, when nobody is left whose files they could be. */
static void remove_blind(struct tenant *tenant)
{
	struct ledger *ledger = tenant->ledger;

	for (uint32_t left = tenant->unwatched > 0 ? tenant->ring.count : 0; left > 0; left--) {
		uint32_t i = entry_ring_take(&ledger->table, &tenant->ring);

		if (i && table_at(&ledger->table, i)->watch == ENTRY_BLIND)
			entry_remove(ledger, i);
	}
}

/*
 * Its files keep a tenant, and so do missing tokens: else whoever can come back under the same name
 * (a listener, a user) would start afresh.
 */
void tenant_reap(struct tenant *tenant)
{
	struct ledger *ledger = tenant->ledger;
	struct tenant **link;

	if (tenant->refs > 0 || tenant->pending > 0 || tenant->ring.count > 0)
		return;
	tenant_fill_bucket(tenant);
	if (tenant->bucket.level < ledger->quotas.burst)
		return;
	link = tenant_bucket(ledger, tenant->name, strlen(tenant->name));
	while (*link != tenant)
		link = &(*link)->next;
	*link = tenant->next;
	ledger->tenants[tenant->id] = NULL;
	tenant->next = ledger->dead;
	ledger->dead = tenant;
}

struct tenant *tenant_unref(struct tenant *tenant)
{
	struct ledger *ledger;

	if (!tenant)
		return NULL;
	ledger = tenant->ledger;
	ledger_lock(ledger);
	if (tenant->refs == 1)
		remove_blind(tenant);
	tenant->refs--;
	tenant_reap(tenant);
	ledger_unlock(ledger);
	return NULL;
}

void ledger_each_tenant(struct ledger *ledger, tenant_fn *fn, void *userdata)
{
	struct tenant *tenant;

	for (uint32_t id = 0;; id++) {
		ledger_lock(ledger);
		while (id < ledger->tenant_max && !ledger->tenants[id])
			id++;
		tenant = id < ledger->tenant_max ? ledger->tenants[id] : NULL;
		if (tenant)
			tenant->refs++;
		ledger_unlock(ledger);
		if (!tenant)
			return;
		fn(tenant, userdata);
		tenant_unref(tenant);
	}
}

const char *tenant_name(const struct tenant *tenant)
{
	return tenant->name;
}

/* ---- What it uses ---- */

static enum use use_of(enum quota quota)
{
	switch (quota) {
	case QUOTA_SIZE:
		return USE_SIZE;
	case QUOTA_RESIDENT:
		return USE_RESIDENT;
	case QUOTA_HUGETLB:
		return USE_HUGETLB;
	case QUOTA_SPILL:
		return USE_DISK;
	case QUOTA_NONE:
	case QUOTA_MEMFDS:
	case QUOTA_RATE:
	case QUOTA_MEMFD_SIZE:
	case QUOTA_CGROUP:
		break;
	}
	return USE_MEMFDS;
}

uint64_t tenant_total(const struct tenant *tenant, enum quota quota)
{
	const enum use use = use_of(quota);
	/* There is one spill directory for all. */
	const struct sums *sums = use == USE_DISK ? &tenant->ledger->sums : &tenant->sums;
	const uint64_t sum = sums_get(sums, use);

	return use == USE_RESIDENT ? add_saturated(sum, tenant->tmpfs_used) : sum;
}

void tenant_note_peaks(struct tenant *tenant)
{
	tenant->peak_memfds = max_u64(tenant->peak_memfds, tenant_total(tenant, QUOTA_MEMFDS));
	tenant->peak_size = max_u64(tenant->peak_size, tenant_total(tenant, QUOTA_SIZE));
	tenant->peak_resident =
		max_u64(tenant->peak_resident, tenant_total(tenant, QUOTA_RESIDENT));
}

void tenant_count_refused(struct tenant *tenant, enum quota quota, enum store store)
{
	const bool spills = tenant->ledger->quotas.spills & 1U << quota;

	if (store == STORE_DISK || !spills)
		tenant->refused[quota]++;
}

void tenant_hold(struct tenant *tenant, const struct amounts *amounts)
{
	sums_add(&tenant->sums, amounts);
	sums_add(&tenant->ledger->sums, amounts);
	tenant->pending++;
}

void tenant_release(struct tenant *tenant, const struct amounts *amounts)
{
	sums_subtract(&tenant->sums, amounts);
	sums_subtract(&tenant->ledger->sums, amounts);
	tenant->pending--;
	tenant_reap(tenant);
}

void tenant_use(struct tenant *tenant, struct tenant_use *ret_use)
{
	struct ledger *ledger = tenant->ledger;

	ledger_lock(ledger);
	tenant_measure_tmpfs(tenant);
	tenant_note_peaks(tenant);
	tenant_refresh(tenant, QUOTA_MEMFDS);
	*ret_use = (struct tenant_use){
		.memfds = sums_get(&tenant->sums, USE_MEMFDS),
		.size = sums_get(&tenant->sums, USE_SIZE),
		.resident = tenant_total(tenant, QUOTA_RESIDENT),
		.hugetlb = sums_get(&tenant->sums, USE_HUGETLB),
		.on_disk = sums_get(&tenant->sums, USE_DISK),
		.peak_memfds = tenant->peak_memfds,
		.peak_size = tenant->peak_size,
		.peak_resident = tenant->peak_resident,
		.spilled = tenant->spilled,
	};
	memcpy(ret_use->refused, tenant->refused, sizeof(ret_use->refused));
	ledger_unlock(ledger);
}

/* ---- Its files ---- */

static void file_copy(const struct entry *entry, struct ledger_file *ret_file)
{
	*ret_file = (struct ledger_file){
		.dev = entry->dev,
		.ino = entry->ino,
		.size = entry->size,
		.resident = entry->resident,
		.created_ns = entry->created_ns,
		.store = (enum store)entry->store,
		.pid = entry->pid,
		.uid = entry->uid,
		.name_len = entry->name_len,
	};
	memcpy(ret_file->name, entry->name, sizeof(ret_file->name));
}

/* Entries that are looked at without letting anybody else in. */
#define COPY_BATCH 256

size_t tenant_files(struct tenant *tenant, struct ledger_file *files, size_t max)
{
	struct ledger *ledger = tenant->ledger;
	size_t count = 0;

	ledger_lock(ledger);
	deaths_read(ledger);
	for (uint32_t i = 1; i < ledger->table.used && count < max; i++) {
		const struct entry *entry = table_at(&ledger->table, i);

		if (entry->state == ENTRY_LIVE && entry->tenant == tenant->id)
			file_copy(entry, &files[count++]);
		if (i % COPY_BATCH == 0)
			ledger_breathe(ledger);
	}
	count = max_u64(count, tenant->ring.count);
	ledger_unlock(ledger);
	return count;
}
