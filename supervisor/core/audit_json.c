/* SPDX-License-Identifier: Apache-2.0 */

/* fdwarden's own schema. Every key, its type and when it is null: fdwarden-events(5). */

#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "core/audit_line.h"

/* key comes with its comma, quotes and colon. */
static void put_u64_or_null(struct audit_line *line, const char *key, bool known, uint64_t value)
{
	audit_line_text(line, key);
	if (known)
		audit_line_u64(line, value);
	else
		audit_line_text(line, "null");
}

static void put_string(struct audit_line *line, const char *key, const char *text)
{
	audit_line_text(line, key);
	audit_line_string(line, text, strlen(text));
}

/* The bytes again in hexadecimal where the string could not hold them exactly. */
static void put_bytes_and_hex(struct audit_line *line, const char *key, const char *hex_key,
	const char *bytes, size_t len)
{
	audit_line_text(line, key);
	if (audit_line_string(line, bytes, len))
		return;
	audit_line_text(line, hex_key);
	audit_line_hex(line, bytes, len);
}

static void put_head(struct audit_line *line, uint64_t time_ns, const char *tenant)
{
	char time[TEXT_TIME_MAX];

	audit_line_text(line, "{\"time\":\"");
	audit_line_text(line, text_format_time(time_ns, time));
	put_string(line, "\",\"tenant\":", tenant);
}

static void put_flags(struct audit_line *line, uint32_t flags)
{
	const char *separator = "";

	audit_line_text(line, ",\"flags\":[");
	for (const struct memfd_flag *flag = memfd_flags; flag->name != NULL; flag++) {
		if ((flags & flag->mask) != flag->value)
			continue;
		audit_line_text(line, separator);
		audit_line_text(line, "\"MFD_");
		audit_line_text(line, flag->name);
		audit_line_text(line, "\"");
		separator = ",";
		flags &= ~flag->mask;
	}
	if (flags != 0) {
		char unknown[sizeof("\"0xffffffff\"")];

		snprintf(unknown, sizeof(unknown), "\"0x%x\"", flags);
		audit_line_text(line, separator);
		audit_line_text(line, unknown);
	}
	audit_line_text(line, "]");
}

static void put_errno(struct audit_line *line, int error)
{
	const char *name = strerrorname_np(error);

	audit_line_text(line, ",\"errno\":");
	if (error == 0) {
		audit_line_text(line, "null");
		return;
	}
	audit_line_text(line, "\"");
	if (name != NULL)
		audit_line_text(line, name);
	else
		audit_line_i64(line, error);
	audit_line_text(line, "\"");
}

static void put_caller(struct audit_line *line, const struct event *event)
{
	put_u64_or_null(line, ",\"pid\":", event->pid > 0, (uint64_t)event->pid);
	put_u64_or_null(line, ",\"tid\":", event->tid > 0, (uint64_t)event->tid);
	put_u64_or_null(line, ",\"uid\":", event->uid != (uid_t)-1, event->uid);
	put_bytes_and_hex(line, ",\"comm\":", ",\"comm_hex\":", event->comm,
		strnlen(event->comm, sizeof(event->comm)));
}

static void put_call(struct audit_line *line, const struct event *event)
{
	put_string(line, ",\"syscall\":", call_name(event->call));
	if (event->name_known)
		put_bytes_and_hex(
			line, ",\"name\":", ",\"name_hex\":", event->name.bytes, event->name.len);
	else
		audit_line_text(line, ",\"name\":null");
	put_flags(line, event->flags);
}

static void put_decision(struct audit_line *line, const struct event *event)
{
	put_string(line, ",\"decision\":", verdict_to_string(event->verdict));
	put_errno(line, event->error);
	put_string(line, ",\"rule\":", event->rule);
	put_string(line, ",\"reason\":", event->reason);
	put_u64_or_null(line, ",\"fd\":", event->fd >= 0, (uint64_t)event->fd);
	put_u64_or_null(line, ",\"latency_ns\":", true, event->latency_ns);
	put_string(line, ",\"mode\":", event->mode == POLICY_AUDIT ? "audit" : "enforce");
}

static void put_file(struct audit_line *line, const struct event *event)
{
	bool resize = event->call == CALL_FTRUNCATE || event->call == CALL_FALLOCATE;

	audit_line_text(line, ",\"backing\":");
	if (event->backing == BACKING_AUTO)
		audit_line_text(line, "null");
	else
		put_string(line, "", backing_name(event->backing));
	put_u64_or_null(line, ",\"size\":", resize, event->size);
}

/* What was found out between calls. */
static void put_finding(struct audit_line *line, const struct event *event)
{
	if (event->kind == EVENT_NOTICE) {
		put_string(line, ",\"event\":\"notice\",\"reason\":", event->reason);
		return;
	}
	put_u64_or_null(
		line, ",\"event\":\"overrun\",\"pid\":", event->pid > 0, (uint64_t)event->pid);
	put_u64_or_null(line, ",\"resident\":", true, event->size);
	put_u64_or_null(line, ",\"limit\":", true, event->limit);
	put_string(line, ",\"reason\":", event->reason);
}

size_t audit_format_json(const struct event *event, char *buf)
{
	struct audit_line line = {.buf = buf};

	put_head(&line, event->time_ns, event->tenant);
	if (event->kind == EVENT_CALL) {
		put_caller(&line, event);
		put_call(&line, event);
		put_decision(&line, event);
		put_file(&line, event);
	} else {
		put_finding(&line, event);
	}
	audit_line_text(&line, "}\n");
	return line.overflow ? 0 : line.len;
}

size_t audit_format_json_dropped(uint64_t time_ns, const char *tenant, uint64_t count, char *buf)
{
	struct audit_line line = {.buf = buf};

	put_head(&line, time_ns, tenant);
	put_u64_or_null(&line, ",\"event\":\"dropped\",\"count\":", true, count);
	audit_line_text(&line, "}\n");
	return line.overflow ? 0 : line.len;
}
