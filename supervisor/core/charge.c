/* SPDX-License-Identifier: Apache-2.0 */

#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "core/ledger_private.h"

static const struct amounts one_file = {.of[USE_MEMFDS] = 1};

/* ---- Rate ---- */

static bool has_rate(const struct policy_quotas *quotas)
{
	return quotas->limits[QUOTA_RATE] != QUOTA_UNLIMITED;
}

static void bucket_full(struct bucket *bucket, uint64_t burst)
{
	bucket->level = burst;
	bucket->part = 0;
}

/*
 * In whole tokens, with what is left over kept: rate * time is exact however often this is called.
 * A rate so high that a nanosecond's worth overflows is as good as none.
 */
static void bucket_fill(struct bucket *bucket, const struct policy_quotas *quotas, uint64_t now_ns)
{
	const uint64_t rate = quotas->limits[QUOTA_RATE];
	const uint64_t period_ns = quotas->rate_period_s * NSEC_PER_SEC;
	const uint64_t elapsed_ns = now_ns - bucket->filled_ns;
	uint64_t tokens, part;

	bucket->filled_ns = now_ns;
	if (bucket->level >= quotas->burst ||
		__builtin_mul_overflow(elapsed_ns / period_ns, rate, &tokens) ||
		__builtin_mul_overflow(elapsed_ns % period_ns, rate, &part) ||
		__builtin_add_overflow(part, bucket->part, &part) ||
		tokens >= quotas->burst - bucket->level) {
		bucket_full(bucket, quotas->burst);
		return;
	}
	bucket->level += tokens + part / period_ns;
	bucket->part = part % period_ns;
	if (bucket->level >= quotas->burst)
		bucket_full(bucket, quotas->burst);
}

void tenant_fill_bucket(struct tenant *tenant)
{
	const struct policy_quotas *quotas = &tenant->ledger->quotas;

	if (has_rate(quotas))
		bucket_fill(&tenant->bucket, quotas, clock_now_ns(CLOCK_MONOTONIC));
	else
		bucket_full(&tenant->bucket, quotas->burst);
}

void tenant_change_rate(struct tenant *tenant, const struct policy_quotas *quotas)
{
	struct bucket *bucket = &tenant->bucket;
	const bool had_rate = has_rate(&tenant->ledger->quotas);

	tenant_fill_bucket(tenant);
	bucket->part = 0;
	bucket->filled_ns = clock_now_ns(CLOCK_MONOTONIC);
	if (!had_rate || bucket->level > quotas->burst)
		bucket->level = quotas->burst;
}

/* ---- Charges ---- */

static bool is_reached(const struct tenant *tenant, enum quota quota)
{
	/* A sum that saturates is still no limit's where there is none. */
	const uint64_t limit = tenant->ledger->quotas.limits[quota];

	return limit != QUOTA_UNLIMITED && tenant_total(tenant, quota) >= limit;
}

static enum quota check_store(const struct tenant *tenant, enum store store)
{
	switch (store) {
	case STORE_MEMFD:
	case STORE_TMPFS:
		if (is_reached(tenant, QUOTA_SIZE))
			return QUOTA_SIZE;
		return is_reached(tenant, QUOTA_RESIDENT) ? QUOTA_RESIDENT : QUOTA_NONE;
	case STORE_DISK:
		return is_reached(tenant, QUOTA_SPILL) ? QUOTA_SPILL : QUOTA_NONE;
	case STORE_HUGETLB:
		return is_reached(tenant, QUOTA_HUGETLB) ? QUOTA_HUGETLB : QUOTA_NONE;
	case STORE_SECRET:
		break;
	}
	return QUOTA_NONE;
}

static enum quota check(struct tenant *tenant, enum store store)
{
	if (is_reached(tenant, QUOTA_MEMFDS))
		return QUOTA_MEMFDS;
	if (has_rate(&tenant->ledger->quotas)) {
		tenant_fill_bucket(tenant);
		if (tenant->bucket.level == 0)
			return QUOTA_RATE;
	}
	return check_store(tenant, store);
}

/* Looks again, after each refusal for something new, at what may have changed. */
static enum quota check_thoroughly(struct tenant *tenant, enum store store)
{
	enum quota quota = check(tenant, store);
	unsigned refreshed = 1U << QUOTA_NONE | 1U << QUOTA_RATE;

	while (!(refreshed & 1U << quota)) {
		refreshed |= 1U << quota;
		tenant_refresh(tenant, quota);
		quota = check(tenant, store);
	}
	return quota;
}

/* False where there is none, which only who may not be refused comes to see. */
static bool token_take(struct tenant *tenant)
{
	if (tenant->bucket.level == 0)
		return false;
	tenant->bucket.level--;
	return true;
}

static void token_give_back(struct tenant *tenant)
{
	if (tenant->bucket.level < tenant->ledger->quotas.burst)
		tenant->bucket.level++;
}

enum quota charge_begin(
	struct charge *ret_charge, struct tenant *tenant, enum store store, bool force)
{
	struct ledger *ledger = tenant->ledger;
	enum quota quota;

	*ret_charge = (struct charge){0};
	ledger_lock(ledger);
	deaths_read_at_times(ledger);
	quota = check_thoroughly(tenant, store);
	if (quota != QUOTA_NONE)
		tenant_count_refused(tenant, quota, store);
	if (quota == QUOTA_NONE || force) {
		tenant_hold(tenant, &one_file);
		*ret_charge = (struct charge){
			.tenant = tenant,
			.store = store,
			.token = token_take(tenant),
		};
	}
	ledger_unlock(ledger);
	return quota;
}

void charge_done(struct charge *charge)
{
	struct tenant *tenant = charge->tenant;
	struct ledger *ledger;

	if (!tenant)
		return;
	ledger = tenant->ledger;
	ledger_lock(ledger);
	if (charge->token)
		token_give_back(tenant);
	tenant_release(tenant, &one_file);
	ledger_unlock(ledger);
	*charge = (struct charge){0};
}

static void note_maker(struct entry *draft, const struct ledger_maker *maker)
{
	draft->pid = maker->pid;
	draft->uid = maker->uid;
	draft->name_len =
		(uint8_t)(maker->name_len < ENTRY_NAME_MAX ? maker->name_len : ENTRY_NAME_MAX);
	if (draft->name_len > 0)
		memcpy(draft->name, maker->name, draft->name_len);
}

/*
 * A new file cannot have the number of a live one: what stands there is a file whose end nobody
 * reports, or, on hugetlbfs, one that is older by 2^32 files. Of that we want no second.
 */
static int commit(struct tenant *tenant, const struct entry *draft)
{
	struct ledger *ledger = tenant->ledger;
	uint32_t other = entry_find(ledger, draft->dev, draft->ino);

	if (other && table_at(&ledger->table, other)->watch == ENTRY_BLIND) {
		entry_remove(ledger, other);
		other = 0;
	}
	if (other)
		return -EEXIST;
	return entry_enter(tenant, draft) == 0 ? -ENOMEM : 0;
}

int charge_commit(struct charge *charge, int fd, const struct ledger_maker *maker)
{
	struct tenant *tenant = charge->tenant;
	struct ledger *ledger;
	struct entry draft;
	int r;

	if (!tenant)
		return 0;
	ledger = tenant->ledger;
	r = entry_draft(tenant, charge->store, fd, &draft);
	if (r < 0)
		return r;
	note_maker(&draft, maker);
	ledger_lock(ledger);
	r = commit(tenant, &draft);
	if (r == 0) {
		/* The entry counts from here on, instead of the charge. */
		tenant_release(tenant, &one_file);
		tenant_note_peaks(tenant);
		tenant->spilled += charge->store == STORE_DISK;
		*charge = (struct charge){0};
	} else {
		entry_drop(ledger, &draft, fd);
	}
	ledger_unlock(ledger);
	return r;
}

void charge_return_rate(struct tenant *tenant)
{
	ledger_lock(tenant->ledger);
	token_give_back(tenant);
	ledger_unlock(tenant->ledger);
}
