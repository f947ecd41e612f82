/* SPDX-License-Identifier: Apache-2.0 */

#include "verdict_table.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/macro.h"
#include "base/text.h"

/* --- Reading a line: each function moves *at behind what it read and returns whether it could ---
 */

static void skip_blank(const char **at)
{
	*at += strspn(*at, " \t");
}

static bool read_escape(const char **at, char *ret_byte)
{
	static const char plain[] = "nt\\\"", meaning[] = "\n\t\\\"";
	const char *found;
	unsigned value;
	int used;

	if (**at == 'x') {
		if (sscanf(*at + 1, "%2x%n", &value, &used) != 1 || used != 2 || !value)
			return false;
		*at += 3;
		*ret_byte = (char)value;
		return true;
	}
	found = **at ? strchr(plain, **at) : NULL;
	if (!found)
		return false;
	*at += 1;
	*ret_byte = meaning[found - plain];
	return true;
}

/* "TEXT" or "TEXT"*COUNT */
static bool read_string(const char **at, char out[static VERDICT_STRING_MAX])
{
	size_t len = 0, unit;
	unsigned count;
	int used;

	if (*(*at)++ != '"')
		return false;
	while (**at != '"') {
		char byte = *(*at)++;

		if (!byte || len == VERDICT_STRING_MAX - 1 ||
			(byte == '\\' && !read_escape(at, &byte)))
			return false;
		out[len++] = byte;
	}
	*at += 1;
	unit = len;
	if (sscanf(*at, "*%u%n", &count, &used) == 1) {
		*at += used;
		if (!count || unit * count >= VERDICT_STRING_MAX)
			return false;
		for (; len < unit * count; len += unit)
			memcpy(out + len, out, unit);
	}
	out[len] = '\0';
	return true;
}

static bool read_word(const char **at, char *out, size_t size)
{
	size_t len;

	skip_blank(at);
	len = strcspn(*at, " \t");
	if (!len || len >= size)
		return false;
	memcpy(out, *at, len);
	out[len] = '\0';
	*at += len;
	return true;
}

static bool read_flags(const char **at, uint32_t *ret_flags)
{
	char word[VERDICT_STRING_MAX], *rest = word, *item, *end;

	if (!read_word(at, word, sizeof(word)))
		return false;
	*ret_flags = (uint32_t)strtoul(word, &end, 0);
	if (!*end)
		return true;
	for (*ret_flags = 0; (item = strsep(&rest, "|"));) {
		const struct memfd_flag *flag = memfd_flag_find(item);

		if (!flag)
			return false;
		*ret_flags |= flag->value;
	}
	return true;
}

static bool starts_with(const char **at, const char *prefix)
{
	size_t len = strlen(prefix);

	if (strncmp(*at, prefix, len) != 0)
		return false;
	*at += len;
	return true;
}

static bool read_number(const char **at, uint32_t *ret_number)
{
	int used;

	if (sscanf(*at, "%" SCNu32 "%n", ret_number, &used) != 1)
		return false;
	*at += used;
	return true;
}

/* One FACT */
static bool read_fact(const char **at, struct verdict_line *line)
{
	struct policy_call *call = &line->call;

	if (starts_with(at, "uid=")) {
		call->known |= FACT_IDS;
		return read_number(at, &call->uid);
	}
	if (starts_with(at, "gid=")) {
		call->known |= FACT_IDS;
		return read_number(at, &call->gid);
	}
	if (starts_with(at, "comm=")) {
		call->known |= FACT_COMM;
		return read_string(at, line->comm);
	}
	if (starts_with(at, "exe=")) {
		call->known |= FACT_EXE;
		return read_string(at, line->exe);
	}
	if (starts_with(at, "cgroup=")) {
		call->known |= FACT_CGROUP;
		return read_string(at, line->cgroup);
	}
	return false;
}

static bool read_call(const char **at, struct verdict_line *line)
{
	struct policy_call *call = &line->call;

	if (!read_flags(at, &call->flags))
		return false;
	skip_blank(at);
	if (!read_string(at, line->name))
		return false;
	call->known = FACT_NAME;
	call->name = line->name;
	call->name_len = strlen(line->name);
	call->comm = line->comm;
	call->exe = line->exe;
	call->cgroup = line->cgroup;
	for (skip_blank(at); !starts_with(at, "->"); skip_blank(at)) {
		if (!read_fact(at, line))
			return false;
	}
	return true;
}

static bool verdict_parse(const char *word, enum verdict *ret_verdict)
{
	static const enum verdict all[] = {
		VERDICT_ALLOW, VERDICT_DENY, VERDICT_KILL, VERDICT_EMULATE};

	for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
		if (strcmp(word, verdict_to_string(all[i])) == 0) {
			*ret_verdict = all[i];
			return true;
		}
	}
	return false;
}

/* "+FLAG" or "-FLAG" */
static bool read_change(const char *word, struct decision *expected)
{
	const struct memfd_flag *flag = memfd_flag_find(word + 1);

	if (!flag)
		return false;
	if (*word == '+')
		expected->flags_add |= flag->value;
	else
		expected->flags_clear |= flag->value;
	return true;
}

static bool read_backing(const char **at, enum backing *ret_backing)
{
	static const enum backing all[] = {BACKING_MEMFD, BACKING_TMPFS, BACKING_DISK};
	char word[VERDICT_STRING_MAX];

	if (!read_word(at, word, sizeof(word)))
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
		if (strcmp(word, backing_name(all[i])) == 0) {
			*ret_backing = all[i];
			return true;
		}
	}
	return false;
}

static bool read_decision(const char **at, struct verdict_line *line)
{
	struct decision *expected = &line->expected;
	char word[VERDICT_STRING_MAX];

	if (!read_word(at, word, sizeof(word)) || !verdict_parse(word, &expected->verdict))
		return false;
	if (expected->verdict == VERDICT_DENY) {
		if (!read_word(at, word, sizeof(word)))
			return false;
		expected->error = text_parse_errno(word);
		if (!expected->error)
			return false;
	}
	for (skip_blank(at); **at == '+' || **at == '-'; skip_blank(at)) {
		if (!read_word(at, word, sizeof(word)) || !read_change(word, expected))
			return false;
	}
	if (starts_with(at, "backing=") && !read_backing(at, &expected->backing))
		return false;
	skip_blank(at);
	expected->noexec = starts_with(at, "noexec=true ");
	skip_blank(at);
	if (starts_with(at, "rename=")) {
		if (!read_string(at, line->rename))
			return false;
		expected->rename = line->rename;
	}
	expected->rule = line->rule;
	if (!read_word(at, line->rule, sizeof(line->rule)))
		return false;
	skip_blank(at);
	return !**at;
}

/* --- Tables --- */

static bool table_read_mode(struct verdict_table *table, const char *text)
{
	if (strcmp(text, "mode enforce") == 0)
		table->mode = POLICY_ENFORCE;
	else if (strcmp(text, "mode audit") == 0)
		table->mode = POLICY_AUDIT;
	else
		return false;
	return true;
}

static bool read_tenant(const char **at, struct verdict_line *line)
{
	line->tenant = true;
	skip_blank(at);
	if (!read_string(at, line->cgroup))
		return false;
	skip_blank(at);
	if (!starts_with(at, "->"))
		return false;
	skip_blank(at);
	return strcmp(*at, "-") == 0 || read_string(at, line->name);
}

/* The array never moves: the call of a line points into the line itself. */
static bool table_add(struct verdict_table *table, const char *text, unsigned number)
{
	struct verdict_line *line = &table->lines[table->line_count++];

	line->table = table;
	line->number = number;
	snprintf(line->label, sizeof(line->label), "%s:%u", strrchr(table->path, '/') + 1, number);
	if (starts_with(&text, "tenant "))
		return read_tenant(&text, line);
	return read_call(&text, line) && read_decision(&text, line);
}

static size_t count_lines(FILE *file)
{
	size_t count = 1;

	for (int c; (c = getc(file)) != EOF;)
		count += c == '\n';
	rewind(file);
	return count;
}

static bool table_read(struct verdict_table *table, FILE *file)
{
	_cleanup_free_ char *text = NULL;
	size_t size = 0;
	bool have_mode = false;

	table->lines = calloc(count_lines(file), sizeof(*table->lines));
	if (!table->lines)
		return false;
	for (unsigned number = 1; getline(&text, &size, file) >= 0; number++) {
		text[strcspn(text, "\n")] = '\0';
		if (!*text || *text == '#')
			continue;
		if (strncmp(text, "quotas ", strlen("quotas ")) == 0) {
			snprintf(table->quotas, sizeof(table->quotas), "%s", text);
			continue;
		}
		if (have_mode ? !table_add(table, text, number) : !table_read_mode(table, text)) {
			fprintf(stderr, "%s:%u: not a line of a verdict table\n", table->path,
				number);
			return false;
		}
		have_mode = true;
	}
	return have_mode;
}

static void print_diagnostic(const struct policy_diagnostic *diagnostic, void *userdata)
{
	(void)userdata;
	fprintf(stderr, "%s:%u:%u: error: %s\n", diagnostic->file, diagnostic->line,
		diagnostic->column, diagnostic->message);
}

static int table_load_policy(struct verdict_table *table, bool built_in)
{
	int r;

	if (built_in)
		r = policy_load_default(&table->policy);
	else
		r = policy_load_file(table->policy_path, print_diagnostic, NULL, &table->policy);
	if (r < 0)
		return r;
	return policy_scratch_new(table->policy, &table->scratch);
}

static bool table_read_file(struct verdict_table *table)
{
	FILE *file = fopen(table->path, "re");
	bool good;

	if (!file) {
		fprintf(stderr, "%s: %s: every policy needs a table\n", table->path,
			strerror(errno));
		return false;
	}
	good = table_read(table, file);
	fclose(file);
	return good;
}

void verdict_table_load(struct verdict_table *table, const char *policy_path, bool built_in)
{
	int r;

	snprintf(table->policy_path, sizeof(table->policy_path), "%s", policy_path);
	snprintf(table->path, sizeof(table->path), "%.*s.verdicts",
		(int)(strlen(policy_path) - strlen(".yaml")), policy_path);
	r = table_load_policy(table, built_in);
	if (r < 0)
		fprintf(stderr, "%s: does not load: %s\n", policy_path, strerror(-r));
	else
		table->good = table_read_file(table);
}

static void limits_format(const struct policy_quotas *quotas, FILE *out)
{
	for (unsigned i = QUOTA_MEMFDS; i < QUOTA_COUNT; i++) {
		if (quotas->limits[i] == QUOTA_UNLIMITED)
			continue;
		fprintf(out, " %s=%" PRIu64, quota_name((enum quota)i), quotas->limits[i]);
		if (i == QUOTA_RATE)
			fprintf(out, "/%us burst=%" PRIu64, quotas->rate_period_s, quotas->burst);
		fprintf(out, ",%s%s", strerrorname_np(quotas->errors[i]),
			quotas->spills & 1U << i ? ",spill" : "");
	}
}

void quotas_format(const struct policy *policy, char out[static VERDICT_STRING_MAX])
{
	static const char *const tenants[] = {"", " tenant=uid", " tenant=cgroup"};
	static const char *const overruns[] = {"", " on_overrun=freeze", " on_overrun=kill"};
	static const char *const secrets[] = {"", " memfd_secret=deny", " memfd_secret=count"};
	const struct policy_quotas *quotas = policy_quotas(policy);
	FILE *stream = fmemopen(out, VERDICT_STRING_MAX, "w");

	out[0] = '\0';
	if (!stream)
		return;
	fputs(tenants[quotas->tenant_by], stream);
	limits_format(quotas, stream);
	fputs(quotas->rlimit_fsize ? " rlimit_fsize" : "", stream);
	fputs(overruns[quotas->on_overrun], stream);
	fputs(quotas->oom_attribute ? " oom=attribute" : "", stream);
	fputs(secrets[quotas->memfd_secret], stream);
	fputs(quotas->io_uring_denied ? " io_uring=deny" : "", stream);
	fclose(stream);
}

void verdict_table_done(struct verdict_table *table)
{
	table->scratch = policy_scratch_free(table->scratch);
	table->policy = policy_unref(table->policy);
	free(table->lines);
}
