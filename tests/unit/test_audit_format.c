/* SPDX-License-Identifier: Apache-2.0 */

/* The lines themselves: golden ones, and every one read back by a JSON parser that is not ours. */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>

#include <cmocka.h>
#include <jansson.h>

#include "base/macro.h"
#include "core/audit_line.h"

static struct event sample(void)
{
	struct event event = {
		.call = CALL_MEMFD_CREATE,
		.time_ns = UINT64_C(1767323045123456789),
		.latency_ns = 5123,
		.pid = 100,
		.tid = 101,
		.uid = 1000,
		.flags = 3,
		.verdict = VERDICT_EMULATE,
		.mode = POLICY_ENFORCE,
		.fd = 7,
		.reason = "the policy's default",
		.comm = "python3",
		.name_known = true,
		.rule = "default",
		.tenant = "run",
	};

	event.name.len = 6;
	memcpy(event.name.bytes, "wl_shm", 7);
	return event;
}

static void name_set(struct event *event, const char *bytes, size_t len)
{
	event->name.len = len;
	memcpy(event->name.bytes, bytes, len);
	event->name.bytes[len] = '\0';
}

/* The line as text, checked to be one line of printable ASCII. */
static const char *line_of(const struct event *event, char *buf)
{
	size_t len = audit_format_json(event, buf);

	assert_in_range(len, 2, AUDIT_LINE_MAX - 1);
	assert_int_equal(buf[len - 1], '\n');
	buf[len - 1] = '\0';
	for (size_t i = 0; i + 1 < len; i++)
		assert_in_range(buf[i], 0x20, 0x7e);
	return buf;
}

static json_t *parse(const char *line)
{
	json_error_t error;
	json_t *root = json_loads(line, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &error);

	if (root == NULL)
		fail_msg("%s in: %s", error.text, line);
	return root;
}

static void a_line_has_every_key_in_its_place(void **state)
{
	struct event event = sample();
	char buf[AUDIT_LINE_MAX];

	(void)state;
	assert_string_equal(line_of(&event, buf),
		"{\"time\":\"2026-01-02T03:04:05.123456789Z\",\"tenant\":\"run\",\"pid\":100,"
		"\"tid\":101,\"uid\":1000,\"comm\":\"python3\",\"syscall\":\"memfd_create\","
		"\"name\":\"wl_shm\",\"flags\":[\"MFD_CLOEXEC\",\"MFD_ALLOW_SEALING\"],"
		"\"decision\":\"emulate\",\"errno\":null,\"rule\":\"default\","
		"\"reason\":\"the policy's default\",\"fd\":7,\"latency_ns\":5123,"
		"\"mode\":\"enforce\",\"backing\":null,\"size\":null}");
}

static void what_is_unknown_is_null(void **state)
{
	struct event event = sample();
	char buf[AUDIT_LINE_MAX];

	(void)state;
	event.pid = event.tid = 0;
	event.uid = (uid_t)-1;
	event.name_known = false;
	event.flags = 0;
	event.fd = -1;
	event.error = EFAULT;
	event.verdict = VERDICT_DENY;
	event.mode = POLICY_AUDIT;
	assert_string_equal(line_of(&event, buf),
		"{\"time\":\"2026-01-02T03:04:05.123456789Z\",\"tenant\":\"run\",\"pid\":null,"
		"\"tid\":null,\"uid\":null,\"comm\":\"python3\",\"syscall\":\"memfd_create\","
		"\"name\":null,\"flags\":[],\"decision\":\"deny\",\"errno\":\"EFAULT\","
		"\"rule\":\"default\",\"reason\":\"the policy's default\",\"fd\":null,"
		"\"latency_ns\":5123,\"mode\":\"audit\",\"backing\":null,\"size\":null}");
}

static void flags_have_the_kernels_names(void **state)
{
	static const struct {
		uint32_t flags;
		const char *text;
	} cases[] = {
		{0, "\"flags\":[],"},
		{0x1f, "\"flags\":[\"MFD_CLOEXEC\",\"MFD_ALLOW_SEALING\",\"MFD_HUGETLB\","
		       "\"MFD_NOEXEC_SEAL\",\"MFD_EXEC\"],"},
		{4 | 21U << 26, "\"flags\":[\"MFD_HUGETLB\",\"MFD_HUGE_2MB\"],"},
		{4 | 22U << 26, "\"flags\":[\"MFD_HUGETLB\",\"0x58000000\"],"},
		{0x20, "\"flags\":[\"0x20\"],"},
		{UINT32_MAX, "\"MFD_EXEC\",\"0xffffffe0\"],"},
	};
	char buf[AUDIT_LINE_MAX];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct event event = sample();

		event.flags = cases[i].flags;
		assert_non_null(strstr(line_of(&event, buf), cases[i].text));
	}
}

static void errnos_have_names(void **state)
{
	struct event event = sample();
	char buf[AUDIT_LINE_MAX];

	(void)state;
	event.error = ENOSPC;
	assert_non_null(strstr(line_of(&event, buf), "\"errno\":\"ENOSPC\","));
	event.error = 4000;
	assert_non_null(strstr(line_of(&event, buf), "\"errno\":\"4000\","));
}

/* Both keys of a string, read back: the text, and the hex form only where the text lost bytes. */
static void assert_name(const struct event *event, const char *text, const char *hex)
{
	char buf[AUDIT_LINE_MAX];
	json_t *root = parse(line_of(event, buf));
	json_t *name = json_object_get(root, "name");

	assert_int_equal(json_string_length(name), strlen(text));
	assert_memory_equal(json_string_value(name), text, strlen(text));
	if (hex == NULL)
		assert_null(json_object_get(root, "name_hex"));
	else
		assert_string_equal(json_string_value(json_object_get(root, "name_hex")), hex);
	json_decref(root);
}

static void hostile_names_stay_strings(void **state)
{
	static const char *const exact[] = {"", "\"}\n{\"decision\":\"allow\"", "\\\\\"",
		"\x1b[2J\r\n", "\x7f\x01\x1f", "\xc2\x9b[31m", "\xe2\x80\xa8\xe2\x80\xa9",
		"\xf0\x9f\x98\x80", "/../../etc/passwd", "</script>", "\xef\xbf\xbd"};
	struct event event = sample();

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(exact); i++) {
		name_set(&event, exact[i], strlen(exact[i]));
		assert_name(&event, exact[i], NULL);
	}
	name_set(&event, "a\xff\"", 3);
	assert_name(&event, "a\xef\xbf\xbd\"", "61ff22");
	name_set(&event, "\xc0\xaf", 2);
	assert_name(&event, "\xef\xbf\xbd\xef\xbf\xbd", "c0af");
}

static void a_hostile_comm_stays_a_string(void **state)
{
	struct event event = sample();
	char buf[AUDIT_LINE_MAX];
	json_t *root;

	(void)state;
	memcpy(event.comm, "\x1b]0;\xfe\"\\", 8);
	root = parse(line_of(&event, buf));
	assert_string_equal(
		json_string_value(json_object_get(root, "comm")), "\x1b]0;\xef\xbf\xbd\"\\");
	assert_string_equal(json_string_value(json_object_get(root, "comm_hex")), "1b5d303bfe225c");
	json_decref(root);
}

/* The longest line there can be goes into one atomic write, in either format. */
static void the_longest_line_fits(void **state)
{
	static const unsigned char worst[] = {0x01, 0x80, 0xff, 'x'};
	char buf[AUDIT_LINE_MAX], host[65];

	(void)state;
	memset(host, 'h', 64);
	host[64] = '\0';
	for (size_t i = 0; i < ARRAY_SIZE(worst); i++) {
		struct event event = sample();

		memset(event.name.bytes, worst[i], TRACEE_NAME_MAX + 1);
		event.name.len = TRACEE_NAME_MAX + 1;
		memset(event.comm, worst[i], sizeof(event.comm) - 1);
		memset(event.rule, 'r', sizeof(event.rule) - 1);
		memset(event.tenant, worst[i], sizeof(event.tenant) - 1);
		event.flags = UINT32_MAX & ~(0x3fU << 26);
		event.flags |= 29U << 26;
		event.time_ns = event.latency_ns = INT64_MAX; /* as far as the parser counts */
		event.pid = event.tid = event.fd = INT32_MAX;
		event.uid = (uid_t)-2;
		event.error = EPROTONOSUPPORT;
		event.reason = "a reason that is about as long as any that a person would still "
			       "care to read to its end, which is why it ends here";
		json_decref(parse(line_of(&event, buf)));
		assert_in_range(audit_format_tracee(&event, host, buf), 1, AUDIT_LINE_MAX);
	}
}

static void a_line_that_cannot_fit_is_none(void **state)
{
	static char reason[AUDIT_LINE_MAX];
	struct event event = sample();
	char buf[AUDIT_LINE_MAX];

	(void)state;
	memset(reason, 'r', sizeof(reason) - 1);
	event.reason = reason;
	assert_int_equal(audit_format_json(&event, buf), 0);
	assert_int_equal(audit_format_tracee(&event, "h", buf), 0);
}

static void dropped_events_have_a_line(void **state)
{
	char buf[AUDIT_LINE_MAX];
	size_t len = audit_format_json_dropped(0, "a\"b", 42, buf);

	(void)state;
	buf[len] = '\0';
	assert_string_equal(buf,
		"{\"time\":\"1970-01-01T00:00:00.000000000Z\",\"tenant\":\"a\\\"b\","
		"\"event\":\"dropped\",\"count\":42}\n");
	len = audit_format_tracee_dropped(5, "run", "host", 42, buf);
	buf[len - 1] = '\0';
	json_decref(parse(buf));
}

/* Numbers and objects of Tracee's types/trace/trace.go, strings among the rest. */
static void tracee_events_have_tracees_shape(void **state)
{
	static const char *const integers[] = {"timestamp", "threadStartTime", "processorId",
		"processId", "cgroupId", "threadId", "parentProcessId", "hostProcessId",
		"hostThreadId", "hostParentProcessId", "userId", "mountNamespace", "pidNamespace",
		"argsNum", "returnValue", "threadEntityId", "processEntityId", "parentEntityId"};
	static const char *const strings[] = {
		"processName", "hostName", "containerId", "eventId", "eventName", "syscall"};
	struct event event = sample();
	char buf[AUDIT_LINE_MAX], id[16];
	size_t len = audit_format_tracee(&event, "host", buf);
	json_t *root;

	(void)state;
	buf[len - 1] = '\0';
	root = parse(buf);
	for (size_t i = 0; i < ARRAY_SIZE(integers); i++)
		assert_true(json_is_integer(json_object_get(root, integers[i])));
	for (size_t i = 0; i < ARRAY_SIZE(strings); i++)
		assert_true(json_is_string(json_object_get(root, strings[i])));
	snprintf(id, sizeof(id), "%ld", (long)SYS_memfd_create);
	assert_string_equal(json_string_value(json_object_get(root, "eventId")), id);
	assert_int_equal(json_integer_value(json_object_get(root, "returnValue")), 7);
	assert_int_equal(json_array_size(json_object_get(root, "args")), 2);
	json_decref(root);
}

static void tracee_events_are_golden(void **state)
{
	struct event event = sample();
	char buf[AUDIT_LINE_MAX];
	const char *args;
	size_t len;

	(void)state;
	event.error = EPERM;
	event.fd = -1;
	event.verdict = VERDICT_DENY;
	len = audit_format_tracee(&event, "host", buf);
	buf[len - 1] = '\0';
	assert_non_null(strstr(buf, "\"returnValue\":-1,\"syscall\":\"memfd_create\","));
	args = strstr(buf, "\"args\":");
	assert_non_null(args);
	assert_string_equal(args,
		"\"args\":[{\"name\":\"name\",\"type\":\"string\",\"value\":\"wl_shm\"},"
		"{\"name\":\"flags\",\"type\":\"uint32\",\"value\":3}],"
		"\"metadata\":{\"Version\":\"1\",\"Description\":\"fdwarden\",\"Tags\":null,"
		"\"Properties\":{\"tenant\":\"run\",\"decision\":\"deny\",\"rule\":\"default\","
		"\"reason\":\"the policy's default\",\"latencyNs\":5123,\"mode\":\"enforce\"}}}");
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_line_has_every_key_in_its_place),
		cmocka_unit_test(what_is_unknown_is_null),
		cmocka_unit_test(flags_have_the_kernels_names),
		cmocka_unit_test(errnos_have_names),
		cmocka_unit_test(hostile_names_stay_strings),
		cmocka_unit_test(a_hostile_comm_stays_a_string),
		cmocka_unit_test(the_longest_line_fits),
		cmocka_unit_test(a_line_that_cannot_fit_is_none),
		cmocka_unit_test(dropped_events_have_a_line),
		cmocka_unit_test(tracee_events_have_tracees_shape),
		cmocka_unit_test(tracee_events_are_golden),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
