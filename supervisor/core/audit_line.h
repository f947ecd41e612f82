/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* One line of an event stream: how it is put together, and the formats there are. */

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/event.h"

/* No line is longer, its newline included, so that one write(2) to a pipe is atomic. */
#define AUDIT_LINE_MAX PIPE_BUF

/* A line in the making. What does not fit sets overflow, and the line is not to be used. */
struct audit_line {
	char *buf; /* of AUDIT_LINE_MAX bytes; not ended by a NUL */
	size_t len;
	bool overflow;
};

/* Appends text as it stands. */
void audit_line_text(struct audit_line *line, const char *text);
void audit_line_u64(struct audit_line *line, uint64_t value);
void audit_line_i64(struct audit_line *line, int64_t value);
/* Appends a JSON string, quotes included. Returns whether the bytes can be recovered from it. */
bool audit_line_string(struct audit_line *line, const char *bytes, size_t len);
/* Appends the bytes as a JSON string of hexadecimal digits. */
void audit_line_hex(struct audit_line *line, const char *bytes, size_t len);

/*
 * Each writes one line, newline included, into buf of AUDIT_LINE_MAX bytes. Returns its length, or
 * 0 when it would not fit, which no event as the session makes it can bring about.
 */

/* fdwarden-events(5) */
size_t audit_format_json(const struct event *event, char *buf);
size_t audit_format_json_dropped(uint64_t time_ns, const char *tenant, uint64_t count, char *buf);

/* hostname as gethostname(2) gives it. */
size_t audit_format_tracee(const struct event *event, const char *hostname, char *buf);
size_t audit_format_tracee_dropped(
	uint64_t time_ns, const char *tenant, const char *hostname, uint64_t count, char *buf);
