/* SPDX-License-Identifier: Apache-2.0 */

#include <inttypes.h>
#include <string.h>

#include "base/macro.h"
#include "base/text.h"
#include "core/usage.h"
#include "policy/policy.h"

struct table {
	const struct policy_quotas *quotas;
	FILE *out;
	bool colour;
	bool headed;
};

/* One row, as numbers; QUOTA_UNLIMITED stands for what is not counted. */
struct row {
	enum quota quota;
	uint64_t now, peak;
};

static void format_count(enum quota quota, uint64_t count, char buf[static TEXT_SIZE_MAX])
{
	if (count == QUOTA_UNLIMITED)
		snprintf(buf, TEXT_SIZE_MAX, "-");
	else if (quota == QUOTA_MEMFDS)
		snprintf(buf, TEXT_SIZE_MAX, "%" PRIu64, count);
	else if (quota == QUOTA_RATE)
		snprintf(buf, TEXT_SIZE_MAX, "%" PRIu64 "/s", count);
	else
		text_format_size(count, buf);
}

static void print_row(
	struct table *table, const char *tenant, const struct row *row, uint64_t refused)
{
	const bool red = table->colour && refused > 0;
	char limit[TEXT_SIZE_MAX], now[TEXT_SIZE_MAX], peak[TEXT_SIZE_MAX];

	if (!table->headed)
		fprintf(table->out, "%s%-24s  %-10s  %10s  %10s  %10s  %8s%s\n",
			table->colour ? "\x1b[1m" : "", "tenant", "quota", "limit", "now", "peak",
			"refused", table->colour ? "\x1b[0m" : "");
	table->headed = true;
	format_count(row->quota, table->quotas->limits[row->quota], limit);
	format_count(row->quota, row->now, now);
	format_count(row->quota, row->peak, peak);
	fprintf(table->out, "%s%-24s  %-10s  %10s  %10s  %10s  %8" PRIu64 "%s\n",
		red ? "\x1b[31m" : "", tenant, quota_name(row->quota), limit, now, peak, refused,
		red ? "\x1b[0m" : "");
}

static void print_tenant(struct tenant *tenant, void *userdata)
{
	struct table *table = userdata;
	const char *name = tenant_name(tenant);
	char escaped[POLICY_TENANT_MAX * 4 + 1];
	struct tenant_use use;

	tenant_use(tenant, &use);
	text_escape_terminal(name, strlen(name), escaped);

	const struct row rows[] = {
		{QUOTA_MEMFDS, use.memfds, use.peak_memfds},
		{QUOTA_SIZE, use.size, use.peak_size},
		{QUOTA_RESIDENT, use.resident, use.peak_resident},
		{QUOTA_HUGETLB, use.hugetlb, QUOTA_UNLIMITED},
		{QUOTA_RATE, QUOTA_UNLIMITED, QUOTA_UNLIMITED},
		{QUOTA_MEMFD_SIZE, QUOTA_UNLIMITED, QUOTA_UNLIMITED},
		{QUOTA_SPILL, use.on_disk, QUOTA_UNLIMITED},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		if (rows[i].quota == QUOTA_MEMFDS ||
			table->quotas->limits[rows[i].quota] != QUOTA_UNLIMITED)
			print_row(table, escaped, &rows[i], use.refused[rows[i].quota]);
	if (use.spilled > 0)
		fprintf(table->out, "%s: %" PRIu64 " files went to the spill directory\n", escaped,
			use.spilled);
}

void usage_print(struct ledger *ledger, const struct policy_quotas *quotas, FILE *out, bool colour)
{
	struct table table = {.quotas = quotas, .out = out, .colour = colour};

	ledger_each_tenant(ledger, print_tenant, &table);
}
