/* SPDX-License-Identifier: Apache-2.0 */

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/macro.h"
#include "base/text.h"
#include "core/summary.h"

/*
 * A log-linear histogram: eight equal steps in each power of two, so the middle of a step is less
 * than 1/16 (6.25 %) away from any value in it. Values below eight are exact; 2^40 ns is 18 min.
 */
#define STEP_BITS      3
#define STEPS          (1U << STEP_BITS)
#define LATENCY_BITS   40
#define LATENCY_STEPS  ((LATENCY_BITS - STEP_BITS + 1) * STEPS)
#define LATENCY_CAP_NS ((UINT64_C(1) << LATENCY_BITS) - 1)

struct row {
	uint64_t hash;
	enum call call;
	bool name_known;
	enum verdict verdict;
	uint16_t name_len;
	char name[TRACEE_NAME_MAX + 1];
	uint64_t count;
	uint64_t denied; /* refused with an errno, or killed */
	uint64_t latency[LATENCY_STEPS];
};

#define VERDICTS    (VERDICT_EMULATE + 1)
#define INDEX_SLOTS 512 /* a power of two, twice the rows */

_Static_assert(INDEX_SLOTS >= 2 * SUMMARY_ROWS, "probing ends soon");

struct summary {
	size_t row_count;
	uint16_t index[INDEX_SLOTS]; /* row number + 1, 0: free; open addressing */
	struct row others[VERDICTS];
	/* Last, and never touched before it is used, so that few names cost few pages. */
	struct row rows[SUMMARY_ROWS];
};

int summary_new(struct summary **ret_summary)
{
	struct summary *summary = calloc(1, sizeof(*summary));

	if (summary == NULL)
		return -ENOMEM;
	for (unsigned i = 0; i < VERDICTS; i++)
		summary->others[i].verdict = (enum verdict)i;
	*ret_summary = summary;
	return 0;
}

struct summary *summary_free(struct summary *summary)
{
	free(summary);
	return NULL;
}

static size_t latency_step(uint64_t ns)
{
	unsigned shift;

	if (ns < STEPS)
		return (size_t)ns;
	if (ns > LATENCY_CAP_NS)
		ns = LATENCY_CAP_NS;
	shift = 63 - (unsigned)__builtin_clzll(ns) - STEP_BITS;
	return (shift << STEP_BITS) + (size_t)(ns >> shift);
}

/* The middle of a step. */
static uint64_t latency_of_step(size_t step)
{
	unsigned shift;

	if (step < 2 * STEPS)
		return step;
	shift = (unsigned)(step >> STEP_BITS) - 1;
	return ((uint64_t)(step - (shift << STEP_BITS)) << shift) + (UINT64_C(1) << shift) / 2;
}

/* The latency that per_mille of count calls do not exceed. */
static uint64_t latency_quantile(const uint64_t *steps, uint64_t count, unsigned per_mille)
{
	uint64_t wanted = count - count / 1000 * (1000 - per_mille) -
			  count % 1000 * (1000 - per_mille) / 1000;
	uint64_t seen = 0;

	for (size_t i = 0; i < LATENCY_STEPS; i++) {
		seen += steps[i];
		if (seen >= wanted && seen > 0)
			return latency_of_step(i);
	}
	return 0;
}

/*
 * A tenant can make names collide, which costs at most a walk over the whole table, in the writer's
 * time and not in the call's.
 */
static uint64_t event_hash(const struct event *event)
{
	uint64_t hash = HASH_INIT ^ (uint64_t)event->call << 8 ^ (uint64_t)event->verdict << 1 ^
			(uint64_t)event->name_known;

	for (size_t i = 0; event->name_known && i < event->name.len; i++)
		hash = hash_byte(hash, (unsigned char)event->name.bytes[i]);
	return hash * UINT64_C(0x9e3779b97f4a7c15);
}

static bool row_is_of(const struct row *row, uint64_t hash, const struct event *event)
{
	if (row->hash != hash || row->call != event->call || row->verdict != event->verdict ||
		row->name_known != event->name_known)
		return false;
	return !event->name_known ||
	       (row->name_len == event->name.len &&
		       memcmp(row->name, event->name.bytes, event->name.len) == 0);
}

static struct row *row_new(struct summary *summary, uint64_t hash, const struct event *event)
{
	struct row *row = &summary->rows[summary->row_count++];

	row->hash = hash;
	row->call = event->call;
	row->verdict = event->verdict;
	row->name_known = event->name_known;
	if (event->name_known) {
		row->name_len = (uint16_t)event->name.len;
		memcpy(row->name, event->name.bytes, event->name.len);
	}
	return row;
}

static struct row *row_find(struct summary *summary, const struct event *event)
{
	uint64_t hash = event_hash(event);
	size_t slot = hash >> 32 & (INDEX_SLOTS - 1);

	for (; summary->index[slot] != 0; slot = (slot + 1) & (INDEX_SLOTS - 1)) {
		struct row *row = &summary->rows[summary->index[slot] - 1];

		if (row_is_of(row, hash, event))
			return row;
	}
	if (summary->row_count == SUMMARY_ROWS)
		return &summary->others[event->verdict];
	summary->index[slot] = (uint16_t)(summary->row_count + 1);
	return row_new(summary, hash, event);
}

void summary_add(struct summary *summary, const struct event *event)
{
	struct row *row = row_find(summary, event);

	row->count++;
	row->denied += event->error != 0 || event->verdict == VERDICT_KILL;
	row->latency[latency_step(event->latency_ns)]++;
}

/* Columns of the name; what is longer is cut, with "..." at its end. */
#define NAME_COLUMNS 44

/* A name stands in quotes, so that none can pass for one of the rows without a name. */
static void print_name(
	const struct summary *summary, const struct row *row, char out[static NAME_COLUMNS + 1])
{
	char escaped[sizeof(row->name) * 4 + 1];
	size_t len;

	if (row < summary->rows) {
		snprintf(out, NAME_COLUMNS + 1, "(other names)");
		return;
	}
	if (row->call != CALL_MEMFD_CREATE) {
		snprintf(out, NAME_COLUMNS + 1, "(%s)", call_name(row->call));
		return;
	}
	if (!row->name_known) {
		snprintf(out, NAME_COLUMNS + 1, "(unreadable)");
		return;
	}
	len = text_escape_terminal(row->name, row->name_len, escaped);
	if (len > NAME_COLUMNS - 2)
		snprintf(out, NAME_COLUMNS + 1, "\"%.*s...\"", NAME_COLUMNS - 5, escaped);
	else
		snprintf(out, NAME_COLUMNS + 1, "\"%.*s\"", (int)len, escaped);
}

#define LATENCY_TEXT_MAX 16

static const char *format_latency(uint64_t ns, char *buf)
{
	static const struct {
		uint64_t ns;
		const char *name;
	} units[] = {{NSEC_PER_SEC, "s"}, {NSEC_PER_MSEC, "ms"}, {NSEC_PER_USEC, "us"}};

	for (size_t i = 0; i < ARRAY_SIZE(units); i++)
		if (ns >= units[i].ns) {
			double value = (double)ns / (double)units[i].ns;

			snprintf(buf, LATENCY_TEXT_MAX, "%.*f %s", value < 10 ? 1 : 0, value,
				units[i].name);
			return buf;
		}
	snprintf(buf, LATENCY_TEXT_MAX, "%u ns", (unsigned)ns);
	return buf;
}

static int compare_rows(const void *a, const void *b)
{
	const struct row *first = *(const struct row *const *)a;
	const struct row *second = *(const struct row *const *)b;

	if (first->count != second->count)
		return first->count > second->count ? -1 : 1;
	return first < second ? -1 : first > second;
}

/* Used rows, most frequent first. Returns how many. */
static size_t rows_sorted(
	const struct summary *summary, const struct row *sorted[static SUMMARY_ROWS + VERDICTS])
{
	size_t count = 0;

	for (size_t i = 0; i < summary->row_count; i++)
		sorted[count++] = &summary->rows[i];
	for (size_t i = 0; i < VERDICTS; i++)
		if (summary->others[i].count > 0)
			sorted[count++] = &summary->others[i];
	qsort(sorted, count, sizeof(*sorted), compare_rows);
	return count;
}

struct row_text {
	const char *name, *decision;
	const struct row *row;
	const char *colour; /* an escape sequence, or NULL */
};

static void print_row(FILE *out, int name_width, const struct row_text *text)
{
	const struct row *row = text->row;
	char p50[LATENCY_TEXT_MAX] = "-", p99[LATENCY_TEXT_MAX] = "-";

	if (row->count > 0) {
		format_latency(latency_quantile(row->latency, row->count, 500), p50);
		format_latency(latency_quantile(row->latency, row->count, 990), p99);
	}
	fprintf(out, "%s%-*s  %-8s  %10" PRIu64 "  %10" PRIu64 "  %8s  %8s%s\n",
		text->colour != NULL ? text->colour : "", name_width, text->name, text->decision,
		row->count, row->denied, p50, p99, text->colour != NULL ? "\x1b[0m" : "");
}

static int widest_name(
	const struct summary *summary, const struct row *const *rows, size_t row_count)
{
	char name[NAME_COLUMNS + 1];
	int widest = (int)strlen("total");

	for (size_t i = 0; i < row_count; i++) {
		int width;

		print_name(summary, rows[i], name);
		width = (int)strlen(name);
		widest = width > widest ? width : widest;
	}
	return widest;
}

static void row_sum(struct row *sum, const struct row *row)
{
	sum->count += row->count;
	sum->denied += row->denied;
	for (size_t i = 0; i < LATENCY_STEPS; i++)
		sum->latency[i] += row->latency[i];
}

void summary_print(const struct summary *summary, FILE *out, bool colour)
{
	const struct row *rows[SUMMARY_ROWS + VERDICTS];
	size_t row_count = rows_sorted(summary, rows);
	int width = widest_name(summary, rows, row_count);
	struct row total = {.count = 0};

	fprintf(out, "%s%-*s  %-8s  %10s  %10s  %8s  %8s%s\n", colour ? "\x1b[1m" : "", width,
		"name", "decision", "count", "denied", "p50", "p99", colour ? "\x1b[0m" : "");
	for (size_t i = 0; i < row_count; i++) {
		char name[NAME_COLUMNS + 1];
		bool red = colour && rows[i]->denied > 0;

		print_name(summary, rows[i], name);
		print_row(out, width,
			&(struct row_text){name, verdict_to_string(rows[i]->verdict), rows[i],
				red ? "\x1b[31m" : NULL});
		row_sum(&total, rows[i]);
	}
	print_row(out, width, &(struct row_text){"total", "", &total, colour ? "\x1b[1m" : NULL});
}
