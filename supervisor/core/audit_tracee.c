/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The shape of Tracee's events: struct Event of types/trace/trace.go, and the memfd_create event of
 * pkg/events/core.go, both of Tracee v0.24.1. What fdwarden does not know is zero or empty, as in
 * Tracee; what only fdwarden knows stands in metadata.Properties, a free map there.
 */

#include <string.h>
#include <sys/syscall.h>

#include "core/audit_line.h"

/* What stands around the parts that differ between an event and a report of dropped ones. */
struct tracee_head {
	uint64_t time_ns;
	pid_t pid, tid;
	int64_t uid;
	const char *comm, *hostname;
	size_t comm_len;
	int event_id;
	const char *event_name, *syscall;
	int args, result;
};

static void put_i64(struct audit_line *line, const char *key, int64_t value)
{
	audit_line_text(line, key);
	audit_line_i64(line, value);
}

static void put_string(struct audit_line *line, const char *key, const char *text)
{
	audit_line_text(line, key);
	audit_line_string(line, text, strlen(text));
}

static void put_ids(struct audit_line *line, const struct tracee_head *head)
{
	audit_line_text(line, "{\"timestamp\":");
	audit_line_u64(line, head->time_ns);
	put_i64(line, ",\"threadStartTime\":0,\"processorId\":0,\"processId\":", head->pid);
	put_i64(line, ",\"cgroupId\":0,\"threadId\":", head->tid);
	put_i64(line, ",\"parentProcessId\":0,\"hostProcessId\":", head->pid);
	put_i64(line, ",\"hostThreadId\":", head->tid);
	put_i64(line, ",\"hostParentProcessId\":0,\"userId\":", head->uid);
}

static void put_head(struct audit_line *line, const struct tracee_head *head)
{
	put_ids(line, head);
	audit_line_text(line, ",\"mountNamespace\":0,\"pidNamespace\":0,\"processName\":");
	audit_line_string(line, head->comm, head->comm_len);
	put_string(line, ",\"executable\":{\"path\":\"\"},\"hostName\":", head->hostname);
	put_i64(line, ",\"containerId\":\"\",\"container\":{},\"kubernetes\":{},\"eventId\":\"",
		head->event_id);
	put_string(line, "\",\"eventName\":", head->event_name);
	put_i64(line, ",\"argsNum\":", head->args);
	put_i64(line, ",\"returnValue\":", head->result);
	put_string(line, ",\"syscall\":", head->syscall);
	audit_line_text(line,
		",\"stackAddresses\":null,"
		"\"contextFlags\":{\"containerStarted\":false,\"isCompat\":false},"
		"\"threadEntityId\":0,\"processEntityId\":0,\"parentEntityId\":0,\"args\":[");
}

static void put_metadata(struct audit_line *line, const char *tenant)
{
	put_string(line,
		"],\"metadata\":{\"Version\":\"1\",\"Description\":\"fdwarden\",\"Tags\":null,"
		"\"Properties\":{\"tenant\":",
		tenant);
}

/* Each system call of ours is an event of Tracee's of the same name and number. */
static int event_id(enum call call)
{
	switch (call) {
	case CALL_MEMFD_CREATE:
		return SYS_memfd_create;
	case CALL_MEMFD_SECRET:
		return 447; /* the same on every machine; older headers lack it */
	case CALL_FTRUNCATE:
		return SYS_ftruncate;
	case CALL_FALLOCATE:
		return SYS_fallocate;
	case CALL_IO_URING_SETUP:
		return 425;
	}
	return -1;
}

/* How many arguments put_args() shows: those that the supervisor has looked at. */
static int arg_count(enum call call)
{
	switch (call) {
	case CALL_MEMFD_CREATE:
		return 2;
	case CALL_MEMFD_SECRET:
	case CALL_FTRUNCATE:
		return 1;
	case CALL_FALLOCATE:
	case CALL_IO_URING_SETUP:
		return 0;
	}
	return 0;
}

static void put_flags(struct audit_line *line, const struct event *event)
{
	audit_line_text(line, "{\"name\":\"flags\",\"type\":\"uint32\",\"value\":");
	audit_line_u64(line, event->flags);
	audit_line_text(line, "}");
}

static void put_args(struct audit_line *line, const struct event *event)
{
	if (event->call == CALL_FTRUNCATE) {
		put_i64(line,
			"{\"name\":\"length\",\"type\":\"off_t\",\"value\":", (int64_t)event->size);
		audit_line_text(line, "}");
	}
	if (event->call == CALL_MEMFD_SECRET)
		put_flags(line, event);
	if (event->call != CALL_MEMFD_CREATE)
		return;
	audit_line_text(line, "{\"name\":\"name\",\"type\":\"string\",\"value\":");
	if (event->name_known)
		audit_line_string(line, event->name.bytes, event->name.len);
	else
		audit_line_text(line, "null");
	audit_line_text(line, "},");
	put_flags(line, event);
}

static void put_decision(struct audit_line *line, const struct event *event)
{
	put_metadata(line, event->tenant);
	put_string(line, ",\"decision\":", verdict_to_string(event->verdict));
	put_string(line, ",\"rule\":", event->rule);
	put_string(line, ",\"reason\":", event->reason);
	audit_line_text(line, ",\"latencyNs\":");
	audit_line_u64(line, event->latency_ns);
	put_string(line, ",\"mode\":", event->mode == POLICY_AUDIT ? "audit" : "enforce");
	audit_line_text(line, "}}}\n");
}

static int return_value(const struct event *event)
{
	if (event->error != 0)
		return -event->error;
	/* Left to the kernel: not known, and Tracee has no null here. */
	return event->fd >= 0 ? event->fd : 0;
}

/* What was found out between calls: no event of Tracee's, so with a number that none of them has.
 */
static size_t format_finding(const struct event *event, const char *hostname, char *buf)
{
	struct audit_line line = {.buf = buf};
	const bool overrun = event->kind == EVENT_OVERRUN;
	const struct tracee_head head = {
		.time_ns = event->time_ns,
		.pid = event->pid,
		.uid = -1,
		.comm = "",
		.hostname = hostname,
		.event_id = -1,
		.event_name = overrun ? "fdwarden_overrun" : "fdwarden_notice",
		.syscall = "",
		.args = overrun ? 2 : 0,
	};

	put_head(&line, &head);
	if (overrun) {
		audit_line_text(&line, "{\"name\":\"resident\",\"type\":\"uint64\",\"value\":");
		audit_line_u64(&line, event->size);
		audit_line_text(&line, "},{\"name\":\"limit\",\"type\":\"uint64\",\"value\":");
		audit_line_u64(&line, event->limit);
		audit_line_text(&line, "}");
	}
	put_metadata(&line, event->tenant);
	put_string(&line, ",\"reason\":", event->reason);
	audit_line_text(&line, "}}}\n");
	return line.overflow ? 0 : line.len;
}

size_t audit_format_tracee(const struct event *event, const char *hostname, char *buf)
{
	if (event->kind != EVENT_CALL)
		return format_finding(event, hostname, buf);

	struct audit_line line = {.buf = buf};
	const struct tracee_head head = {
		.time_ns = event->time_ns,
		.pid = event->pid,
		.tid = event->tid,
		.uid = event->uid == (uid_t)-1 ? -1 : (int64_t)event->uid,
		.comm = event->comm,
		.comm_len = strnlen(event->comm, sizeof(event->comm)),
		.hostname = hostname,
		.event_id = event_id(event->call),
		.event_name = call_name(event->call),
		.syscall = call_name(event->call),
		.args = arg_count(event->call),
		.result = return_value(event),
	};

	put_head(&line, &head);
	put_args(&line, event);
	put_decision(&line, event);
	return line.overflow ? 0 : line.len;
}

size_t audit_format_tracee_dropped(
	uint64_t time_ns, const char *tenant, const char *hostname, uint64_t count, char *buf)
{
	struct audit_line line = {.buf = buf};
	/* No event of Tracee's own says this, so it gets a number that none of them has. */
	const struct tracee_head head = {
		.time_ns = time_ns,
		.uid = -1,
		.comm = "",
		.hostname = hostname,
		.event_id = -1,
		.event_name = "fdwarden_dropped",
		.syscall = "",
		.args = 1,
	};

	put_head(&line, &head);
	audit_line_text(&line, "{\"name\":\"count\",\"type\":\"uint64\",\"value\":");
	audit_line_u64(&line, count);
	audit_line_text(&line, "}");
	put_metadata(&line, tenant);
	audit_line_text(&line, "}}}\n");
	return line.overflow ? 0 : line.len;
}
