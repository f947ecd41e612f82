/* SPDX-License-Identifier: Apache-2.0 */

/*
 * caller CALL COUNT [NAME]: times single system calls and prints one line of JSON. CALL is one of
 * memfd (memfd_create(2); the close(2) after it is not timed), memfd-close (both are),
 * truncate-memfd and truncate-file (ftruncate(2) that makes a file larger and smaller in turns),
 * truncate-new (the first ftruncate(2) of each of many memfds; the other calls are not timed), or
 * getppid (timed in batches, as one call is no longer than the clock is wide).
 */

#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/macro.h"

#define WARM_UP 200
#define BATCH   1000

static const char *name = "bench-buffer";

/* Denied calls are timed too; which errno they get is for the live tests to check. */
static uint64_t memfd_time(void)
{
	uint64_t start = clock_now_ns(CLOCK_MONOTONIC);
	long fd = syscall(__NR_memfd_create, name, 3UL); /* CLOEXEC | ALLOW_SEALING */
	uint64_t end = clock_now_ns(CLOCK_MONOTONIC);

	if (fd >= 0)
		close((int)fd);
	return end - start;
}

static uint64_t memfd_close_time(void)
{
	uint64_t start = clock_now_ns(CLOCK_MONOTONIC);
	long fd = syscall(__NR_memfd_create, name, 3UL);

	if (fd >= 0)
		close((int)fd);
	return clock_now_ns(CLOCK_MONOTONIC) - start;
}

static int resized = -1;

static uint64_t truncate_time(void)
{
	static off_t size;

	size = size == 8192 ? 4096 : 8192;

	uint64_t start = clock_now_ns(CLOCK_MONOTONIC);

	if (ftruncate(resized, size) < 0) {
		perror("caller: ftruncate");
		exit(1);
	}
	return clock_now_ns(CLOCK_MONOTONIC) - start;
}

static uint64_t truncate_new_time(void)
{
	int fd = (int)syscall(__NR_memfd_create, name, 3UL);
	uint64_t start = clock_now_ns(CLOCK_MONOTONIC);
	int r = ftruncate(fd, 8192);
	uint64_t end = clock_now_ns(CLOCK_MONOTONIC);

	if (r < 0) {
		perror("caller: ftruncate");
		exit(1);
	}
	close(fd);
	return end - start;
}

static void resized_open(bool memfd)
{
	const char *directory = getenv("TMPDIR");

	resized =
		memfd ? (int)syscall(__NR_memfd_create, name, 3UL)
		      : open(directory ? directory : "/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (resized < 0) {
		perror("caller: file");
		exit(1);
	}
}

static uint64_t getppid_time(void)
{
	uint64_t start = clock_now_ns(CLOCK_MONOTONIC);

	for (int i = 0; i < BATCH; i++)
		syscall(__NR_getppid);
	return clock_now_ns(CLOCK_MONOTONIC) - start;
}

static int by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a;
	uint64_t y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static void print_figures(uint64_t *samples, size_t count, double scale)
{
	double sum = 0;

	for (size_t i = 0; i < count; i++)
		sum += (double)samples[i];
	qsort(samples, count, sizeof(*samples), by_value);
	printf("{\"count\": %zu, \"mean_ns\": %.3f, \"min_ns\": %.3f, \"p50_ns\": %.3f, "
	       "\"p99_ns\": %.3f}\n",
		count, sum / (double)count / scale, (double)samples[0] / scale,
		(double)samples[count / 2] / scale, (double)samples[count * 99 / 100] / scale);
}

static const struct {
	const char *name;
	uint64_t (*time)(void);
	double scale; /* system calls in one sample */
} calls[] = {
	{"memfd", memfd_time, 1},
	{"memfd-close", memfd_close_time, 1},
	{"truncate-memfd", truncate_time, 1},
	{"truncate-file", truncate_time, 1},
	{"truncate-new", truncate_new_time, 1},
	{"getppid", getppid_time, BATCH},
};

static size_t call_parse(const char *text)
{
	size_t i = 0;

	while (i < ARRAY_SIZE(calls) && strcmp(calls[i].name, text) != 0)
		i++;
	return i;
}

int main(int argc, char **argv)
{
	size_t call = argc < 3 ? ARRAY_SIZE(calls) : call_parse(argv[1]);

	if (call == ARRAY_SIZE(calls) || atol(argv[2]) < 1) {
		fprintf(stderr, "usage: caller CALL COUNT [NAME]\n");
		return 2;
	}
	if (argc > 3)
		name = argv[3];
	if (calls[call].time == truncate_time)
		resized_open(strcmp(argv[1], "truncate-memfd") == 0);

	size_t count = (size_t)atol(argv[2]);
	uint64_t *samples = calloc(count, sizeof(*samples));

	if (!samples)
		return 1;
	for (int i = 0; i < WARM_UP; i++)
		calls[call].time();
	for (size_t i = 0; i < count; i++)
		samples[i] = calls[call].time();
	print_figures(samples, count, calls[call].scale);
	free(samples);
	return 0;
}
