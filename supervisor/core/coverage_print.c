/* SPDX-License-Identifier: Apache-2.0 */

/* What `fdwarden coverage` prints: a table for people, a document for machines. */

#include <errno.h>
#include <string.h>

#include "base/macro.h"
#include "base/text.h"
#include "core/audit_line.h"
#include "core/coverage.h"

#define COLUMNS   100
#define BY_COLUMN 29 /* below the way, a little to the right */

static const struct {
	const char *name, *meaning;
	size_t offset;
} capabilities[] = {
#define CAPABILITY(member, meaning) \
	{ \
#member, meaning, offsetof(struct coverage_machine, member) \
	}
	CAPABILITY(handles, "open_by_handle_at(2) on memfds"),
	CAPABILITY(tmpfs, "a tmpfs of a tenant's own"),
	CAPABILITY(noexec_seal, "MFD_NOEXEC_SEAL"),
	CAPABILITY(memfd_secret, "memfd_secret(2)"),
	CAPABILITY(hugetlb, "memfds in huge pages"),
	CAPABILITY(io_uring, "io_uring"),
	CAPABILITY(cgroup, "a memory controller"),
	CAPABILITY(cgroup_limit, "a memory limit"),
	CAPABILITY(freezer, "a freezer"),
	CAPABILITY(root, "CAP_SYS_PTRACE"),
	CAPABILITY(raises_limits, "CAP_SYS_RESOURCE"),
	CAPABILITY(locks_memory, "CAP_IPC_LOCK"),
#undef CAPABILITY
};

static bool capability_is_there(const struct coverage_machine *machine, size_t index)
{
	return *(const bool *)((const char *)machine + capabilities[index].offset);
}

/* ---- Text ---- */

static size_t word_length(const char *text)
{
	return strcspn(text, " ");
}

/* Prints words, broken into lines that begin at indent; column is where the cursor is. Returns
 * where it is then. */
static size_t print_words(FILE *out, const char *text, size_t indent, size_t column)
{
	while (*text != '\0') {
		size_t len = word_length(text);

		/* With room for a comma behind it. */
		if (column + len + 1 >= COLUMNS && column > indent) {
			fprintf(out, "\n%*s", (int)indent, "");
			column = indent;
		} else if (column > indent) {
			fputc(' ', out);
			column++;
		}
		fwrite(text, 1, len, out);
		column += len;
		text += len;
		text += strspn(text, " ");
	}
	return column;
}

static const char *state_colour(enum coverage_state state)
{
	switch (state) {
	case COVERAGE_CLOSED:
		return "\x1b[32m";
	case COVERAGE_BOUNDED:
		return "\x1b[36m";
	case COVERAGE_SAMPLED:
		return "\x1b[33m";
	case COVERAGE_OPEN:
		return "\x1b[1;31m";
	}
	return "";
}

static void print_row(const struct coverage_report *report, const struct coverage_row *row,
	FILE *out, bool colour)
{
	char interval[64];
	size_t column = BY_COLUMN;

	fprintf(out, "%s%-8s%s %-18s%s\n%*s", colour ? state_colour(row->state) : "",
		coverage_state_name(row->state), colour ? "\x1b[0m" : "", row->id, row->path,
		BY_COLUMN, "");
	if (row->state == COVERAGE_SAMPLED) {
		snprintf(interval, sizeof(interval), "every %u ms:", report->sample_ms);
		column = print_words(out, interval, BY_COLUMN, column);
	}
	print_words(out, row->by, BY_COLUMN, column);
	fputc('\n', out);
}

/* "With: ..." or "Without: ...", when there is any. */
static void print_capabilities(const struct coverage_machine *machine, bool there, FILE *out)
{
	const char *label = there ? "With:" : "Without:";
	size_t column = strlen(label), count = 0;
	char item[64];

	for (size_t i = 0; i < ARRAY_SIZE(capabilities); i++) {
		if (capability_is_there(machine, i) != there)
			continue;
		if (count++ == 0)
			fputs(label, out);
		else
			column += (size_t)fprintf(out, ",");
		snprintf(item, sizeof(item), "%s", capabilities[i].meaning);
		column = print_words(out, item, 2, column);
	}
	if (count > 0)
		fputc('\n', out);
}

static void print_counts(const struct coverage_report *report, FILE *out)
{
	unsigned counts[COVERAGE_STATES] = {0};

	for (size_t i = 0; i < report->row_count; i++)
		counts[report->rows[i].state]++;
	for (unsigned i = 0; i < COVERAGE_STATES; i++)
		fprintf(out, "%s%u %s", i > 0 ? ", " : "", counts[i],
			coverage_state_name((enum coverage_state)i));
	fputc('\n', out);
}

static void print_policy_name(const char *policy, FILE *out)
{
	char escaped[COLUMNS * 4 + 1];
	size_t len = policy ? strlen(policy) : 0;

	if (!policy) {
		fputs("the built-in one", out);
		return;
	}
	/* The end of a long path says more than its beginning. */
	if (len > COLUMNS / 2)
		policy += len - COLUMNS / 2;
	text_escape_terminal(policy, strlen(policy), escaped);
	fprintf(out, "%s%s", len > COLUMNS / 2 ? "..." : "", escaped);
}

void coverage_print_text(const struct coverage_report *report, FILE *out, bool colour)
{
	fputs("Policy: ", out);
	print_policy_name(report->policy, out);
	fprintf(out, ", mode %s\nLinux %s\n", report->mode == POLICY_AUDIT ? "audit" : "enforce",
		report->release);
	print_capabilities(&report->machine, true, out);
	print_capabilities(&report->machine, false, out);
	fprintf(out, "\n%s%-8s %-18s%s%s\n", colour ? "\x1b[1m" : "", "STATE", "ROW",
		"WAY, AND WHAT STOPS IT OR DOES NOT", colour ? "\x1b[0m" : "");
	for (size_t i = 0; i < report->row_count; i++)
		print_row(report, &report->rows[i], out, colour);
	fputc('\n', out);
	print_counts(report, out);
}

/* ---- JSON ---- */

static void put_member(struct audit_line *line, const char *key, const char *value)
{
	audit_line_text(line, ",\"");
	audit_line_text(line, key);
	audit_line_text(line, "\":");
	if (value)
		audit_line_string(line, value, strlen(value));
	else
		audit_line_text(line, "null");
}

/* Everything but the rows. */
static void put_head(struct audit_line *line, const struct coverage_report *report)
{
	audit_line_text(line, "{\"version\":1");
	put_member(line, "policy", report->policy);
	put_member(line, "mode", report->mode == POLICY_AUDIT ? "audit" : "enforce");
	put_member(line, "release", report->release);
	audit_line_text(line, ",\"machine\":{");
	for (size_t i = 0; i < ARRAY_SIZE(capabilities); i++) {
		audit_line_text(line, i > 0 ? ",\"" : "\"");
		audit_line_text(line, capabilities[i].name);
		audit_line_text(line, "\":");
		audit_line_text(line, capability_is_there(&report->machine, i) ? "true" : "false");
	}
	audit_line_text(line, "},\"rows\":[\n");
}

static void put_row(struct audit_line *line, const struct coverage_report *report, size_t index)
{
	const struct coverage_row *row = &report->rows[index];

	audit_line_text(line, "{\"id\":");
	audit_line_string(line, row->id, strlen(row->id));
	put_member(line, "path", row->path);
	put_member(line, "state", coverage_state_name(row->state));
	put_member(line, "by", row->by);
	if (row->state == COVERAGE_SAMPLED) {
		audit_line_text(line, ",\"sample_ms\":");
		audit_line_u64(line, report->sample_ms);
	}
	audit_line_text(line, index + 1 < report->row_count ? "},\n" : "}\n");
}

int coverage_print_json(const struct coverage_report *report, FILE *out)
{
	char buf[AUDIT_LINE_MAX];
	struct audit_line line = {.buf = buf};

	put_head(&line, report);
	for (size_t i = 0; i < report->row_count && !line.overflow; i++) {
		fwrite(buf, 1, line.len, out);
		line.len = 0;
		put_row(&line, report, i);
	}
	if (line.overflow)
		return -EMSGSIZE;
	fwrite(buf, 1, line.len, out);
	fputs("]}\n", out);
	return 0;
}
