/* SPDX-License-Identifier: Apache-2.0 */

/* The way of events to a descriptor: order, readers that are slow, gone or dead, full disks. */

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <pty.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <termios.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/macro.h"
#include "core/audit.h"

#define LONG_MS 60000 /* for what comes, however slow the machine */

/* Events are told apart by their latency. */
static struct event event_of(uint64_t number)
{
	struct event event = {
		.call = CALL_MEMFD_CREATE,
		.time_ns = UINT64_C(1767323045123456789),
		.latency_ns = number,
		.pid = 100,
		.tid = 101,
		.uid = 1000,
		.verdict = VERDICT_EMULATE,
		.fd = 7,
		.reason = "test",
		.comm = "test",
		.name_known = true,
		.rule = "default",
		.tenant = "tenant",
	};

	event.name.len = (size_t)snprintf(
		event.name.bytes, sizeof(event.name.bytes), "name-%u", (unsigned)(number % 7));
	return event;
}

static void record_range(struct audit *audit, uint64_t from, uint64_t to)
{
	for (uint64_t i = from; i < to; i++) {
		struct event event = event_of(i);

		audit_record(audit, &event);
	}
}

/* What a stream said: events and dropped ones, each line parsed, numbers in rising order. */
struct seen {
	uint64_t events, dropped, next;
};

static void seen_line(struct seen *seen, const char *line)
{
	json_error_t error;
	json_t *root = json_loads(line, 0, &error), *count;

	if (root == NULL)
		fail_msg("%s in: %s", error.text, line);
	assert_string_equal(json_string_value(json_object_get(root, "tenant")), "tenant");
	count = json_object_get(root, "count");
	if (count != NULL) {
		assert_string_equal(json_string_value(json_object_get(root, "event")), "dropped");
		seen->dropped += (uint64_t)json_integer_value(count);
	} else {
		uint64_t number = (uint64_t)json_integer_value(json_object_get(root, "latency_ns"));

		assert_true(number >= seen->next);
		seen->next = number + 1;
		seen->events++;
	}
	json_decref(root);
}

/* Reads lines to the end of the file. */
static struct seen seen_all(FILE *in)
{
	struct seen seen = {0};
	char line[PIPE_BUF + 1];

	while (fgets(line, sizeof(line), in) != NULL) {
		assert_non_null(strchr(line, '\n'));
		seen_line(&seen, line);
	}
	return seen;
}

static struct audit *audit_of(int fd, bool summary, size_t ring_bytes)
{
	struct audit_config config = {.fd = fd, .summary = summary, .ring_bytes = ring_bytes};
	struct audit *audit = NULL;

	assert_int_equal(audit_new(&config, &audit), 0);
	return audit;
}

struct reader {
	int fd;
	struct seen seen;
};

static void *reader_main(void *userdata)
{
	struct reader *reader = userdata;
	FILE *in = fdopen(reader->fd, "r");

	assert_non_null(in);
	reader->seen = seen_all(in);
	fclose(in);
	return NULL;
}

/* A producer as fast as it can be, and a reader that keeps up as well as it can. */
static void lines_keep_their_order(void **state)
{
	const uint64_t count = 20000;
	struct audit *audit;
	uint64_t dropped;
	struct reader reader;
	pthread_t thread;
	int fds[2];

	(void)state;
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	reader.fd = fds[0];
	audit = audit_of(fds[1], true, 0);
	assert_int_equal(pthread_create(&thread, NULL, reader_main, &reader), 0);
	record_range(audit, 0, count);
	audit_finish(audit, LONG_MS);
	dropped = audit_dropped(audit);
	audit_free(audit);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(reader.seen.dropped, dropped);
	assert_int_equal(reader.seen.events, count - dropped);
}

static void nothing_is_lost_to_a_file(void **state)
{
	FILE *file = tmpfile();
	struct audit *audit;
	struct seen seen;

	(void)state;
	assert_non_null(file);
	audit = audit_of(dup(fileno(file)), false, 4 << 20);
	record_range(audit, 0, 5000);
	audit_finish(audit, LONG_MS);
	assert_int_equal(audit_dropped(audit), 0);
	audit_free(audit);
	rewind(file);
	seen = seen_all(file);
	assert_int_equal(seen.events, 5000);
	assert_int_equal(seen.dropped, 0);
	fclose(file);
}

/* Waits until the writer has dropped something. */
static void wait_for_drops(struct audit *audit, uint64_t *number)
{
	while (audit_dropped(audit) == 0) {
		record_range(audit, *number, *number + 100);
		*number += 100;
		usleep(1000);
	}
}

/* The pipe is full and nobody reads: the producer goes on, and when reading starts the gap is said.
 */
static void a_reader_that_stands_still_holds_up_nobody(void **state)
{
	uint64_t number = 0, dropped;
	struct audit *audit;
	struct reader reader;
	pthread_t thread;
	int fds[2];

	(void)state;
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	reader.fd = fds[0];
	audit = audit_of(fds[1], true, 8192);
	wait_for_drops(audit, &number);
	assert_int_equal(fcntl(fds[1], F_GETFL) & O_NONBLOCK, 0);
	assert_int_equal(pthread_create(&thread, NULL, reader_main, &reader), 0);
	audit_finish(audit, LONG_MS);
	dropped = audit_dropped(audit);
	audit_free(audit);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_true(dropped > 0);
	assert_int_equal(reader.seen.dropped, dropped);
	assert_int_equal(reader.seen.events + dropped, number);
}

/* The total row of the table, and what is said below it. */
static void summary_numbers(struct audit *audit, uint64_t *ret_count, uint64_t *ret_missing)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);
	char *total, *missing;

	assert_non_null(out);
	audit_print_summary(audit, out, false);
	assert_int_equal(fclose(out), 0);
	total = strstr(text, "\ntotal ");
	assert_non_null(total);
	*ret_count = strtoull(total + strlen("\ntotal "), NULL, 10);
	missing = strstr(total, " calls are not in this table");
	*ret_missing = 0;
	if (missing != NULL) {
		while (missing > total && missing[-1] != '\n')
			missing--;
		*ret_missing = strtoull(missing, NULL, 10);
	}
	free(text);
}

static void the_table_counts_what_the_stream_dropped(void **state)
{
	uint64_t number = 0, count, missing, start;
	struct audit *audit;
	int fds[2];

	(void)state;
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	audit = audit_of(fds[1], true, 8192);
	wait_for_drops(audit, &number);
	start = clock_now_ns(CLOCK_MONOTONIC);
	audit_finish(audit, 20);
	assert_true(clock_now_ns(CLOCK_MONOTONIC) - start < LONG_MS * NSEC_PER_MSEC);
	summary_numbers(audit, &count, &missing);
	assert_int_equal(count + missing, number);
	audit_free(audit);
	close(fds[0]);
}

static void a_table_needs_no_stream(void **state)
{
	uint64_t count, missing;
	struct audit *audit = audit_of(-1, true, 1 << 20);

	(void)state;
	record_range(audit, 0, 1000);
	audit_finish(audit, LONG_MS);
	summary_numbers(audit, &count, &missing);
	assert_int_equal(count, 1000);
	assert_int_equal(missing, 0);
	assert_int_equal(audit_dropped(audit), 0);
	audit_free(audit);
}

static void a_closed_reader_only_costs_lines(void **state)
{
	struct audit *audit;
	int fds[2];

	(void)state;
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	audit = audit_of(fds[1], false, 1 << 20);
	close(fds[0]);
	record_range(audit, 0, 500);
	audit_finish(audit, LONG_MS);
	assert_int_equal(audit_dropped(audit), 500);
	audit_free(audit);
}

/* A socket takes lines in pieces; none is torn. */
static void short_writes_leave_lines_whole(void **state)
{
	const uint64_t count = 3000;
	struct audit *audit;
	struct reader reader;
	pthread_t thread;
	int fds[2], size = 1;

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	assert_int_equal(setsockopt(fds[1], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)), 0);
	reader.fd = fds[0];
	audit = audit_of(fds[1], false, 1 << 20);
	assert_int_equal(pthread_create(&thread, NULL, reader_main, &reader), 0);
	record_range(audit, 0, count);
	audit_finish(audit, LONG_MS);
	assert_int_equal(audit_dropped(audit), 0);
	audit_free(audit);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(reader.seen.events, count);
}

/*
 * A disk that is full in the middle of a line, and later is not: RLIMIT_FSIZE gives the same short
 * write, and then an errno for each try.
 */
static void a_full_disk_tears_no_line(void **state)
{
	struct rlimit before, small;
	FILE *file = tmpfile();
	struct audit *audit;
	struct seen seen;
	off_t size;

	(void)state;
	assert_non_null(file);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
	small = (struct rlimit){.rlim_cur = 10000, .rlim_max = before.rlim_max};
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	audit = audit_of(dup(fileno(file)), false, 1 << 20);
	record_range(audit, 0, 200);
	do {
		usleep(1000);
		size = lseek(fileno(file), 0, SEEK_END);
	} while (size < 10000);
	assert_int_equal(size, 10000);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
	audit_finish(audit, LONG_MS);
	assert_int_equal(audit_dropped(audit), 0);
	audit_free(audit);
	rewind(file);
	seen = seen_all(file);
	assert_int_equal(seen.events, 200);
	fclose(file);
}

/* Waits until a write to the terminal got stuck: what can be read there grows no more. */
static void wait_for_standstill(int fd, struct audit *audit, uint64_t *number)
{
	struct pollfd ready = {.fd = fd, .events = POLLIN};

	for (int i = 0; i < 50; i++) {
		record_range(audit, *number, *number + 100);
		*number += 100;
		usleep(5000);
	}
	assert_int_equal(poll(&ready, 1, LONG_MS), 1);
}

/* A terminal that nobody reads blocks write(2) itself: finishing stays bounded, memory valid. */
static void a_write_that_never_returns_is_left_behind(void **state)
{
	uint64_t number = 0, count, missing;
	struct termios raw;
	struct audit *audit;
	int master, slave;

	(void)state;
	assert_int_equal(openpty(&master, &slave, NULL, NULL, NULL), 0);
	assert_int_equal(tcgetattr(slave, &raw), 0);
	cfmakeraw(&raw);
	assert_int_equal(tcsetattr(slave, TCSANOW, &raw), 0);
	audit = audit_of(slave, true, 8192);
	wait_for_standstill(master, audit, &number);
	audit_finish(audit, 20);
	assert_true(audit_dropped(audit) > 0);
	summary_numbers(audit, &count, &missing);
	assert_int_equal(count + missing, number);
	assert_null(audit_free(audit));
	/* The write fails now, and the thread that was left behind ends. */
	close(master);
	usleep(20000);
}

/* The command's own idea of the pipe's flags is none of ours, and ours must cope with it. */
static void a_descriptor_that_does_not_block_is_fine(void **state)
{
	uint64_t number = 0, dropped;
	struct audit *audit;
	struct reader reader;
	pthread_t thread;
	int fds[2];

	(void)state;
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	assert_int_equal(fcntl(fds[1], F_SETFL, O_NONBLOCK), 0);
	reader.fd = fds[0];
	audit = audit_of(fds[1], false, 8192);
	wait_for_drops(audit, &number);
	assert_int_equal(pthread_create(&thread, NULL, reader_main, &reader), 0);
	audit_finish(audit, LONG_MS);
	dropped = audit_dropped(audit);
	audit_free(audit);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(reader.seen.events + dropped, number);
	assert_int_equal(reader.seen.dropped, dropped);
}

/* An event is written when it comes, not only at the end, also after the writer has slept. */
static void a_single_event_comes_at_once(void **state)
{
	struct audit *audit;
	int fds[2];

	(void)state;
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	audit = audit_of(fds[1], false, 0);
	for (uint64_t i = 0; i < 5; i++) {
		struct pollfd ready = {.fd = fds[0], .events = POLLIN};
		char line[PIPE_BUF];

		record_range(audit, i, i + 1);
		assert_int_equal(poll(&ready, 1, LONG_MS), 1);
		assert_true(read(fds[0], line, sizeof(line)) > 0);
		usleep(15000);
	}
	audit_finish(audit, LONG_MS);
	audit_free(audit);
	close(fds[0]);
}

static void a_failed_start_leaves_the_descriptor(void **state)
{
	struct audit_config config = {.ring_bytes = SIZE_MAX};
	struct audit *audit = NULL;
	int fd = open("/dev/null", O_WRONLY | O_CLOEXEC);

	(void)state;
	config.fd = fd;
	assert_int_equal(audit_new(&config, &audit), -ENOMEM);
	assert_null(audit);
	assert_true(fcntl(fd, F_GETFD) >= 0);
	close(fd);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines_keep_their_order),
		cmocka_unit_test(nothing_is_lost_to_a_file),
		cmocka_unit_test(a_reader_that_stands_still_holds_up_nobody),
		cmocka_unit_test(the_table_counts_what_the_stream_dropped),
		cmocka_unit_test(a_table_needs_no_stream),
		cmocka_unit_test(a_closed_reader_only_costs_lines),
		cmocka_unit_test(short_writes_leave_lines_whole),
		cmocka_unit_test(a_full_disk_tears_no_line),
		cmocka_unit_test(a_write_that_never_returns_is_left_behind),
		cmocka_unit_test(a_descriptor_that_does_not_block_is_fine),
		cmocka_unit_test(a_single_event_comes_at_once),
		cmocka_unit_test(a_failed_start_leaves_the_descriptor),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
