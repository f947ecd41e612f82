/* SPDX-License-Identifier: Apache-2.0 */

/*
 * caller CALL COUNT: times single system calls and prints one line of JSON. CALL is memfd
 * (memfd_create(2); the close(2) after it is not timed) or getppid (timed in batches, as one call
 * is no longer than the clock is wide).
 */

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"

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

int main(int argc, char **argv)
{
	if (argc < 3 || atol(argv[2]) < 1) {
		fprintf(stderr, "usage: caller memfd|getppid COUNT [NAME]\n");
		return 2;
	}
	if (argc > 3)
		name = argv[3];

	bool memfd = strcmp(argv[1], "memfd") == 0;
	uint64_t (*timed)(void) = memfd ? memfd_time : getppid_time;
	size_t count = (size_t)atol(argv[2]);
	uint64_t *samples = calloc(count, sizeof(*samples));

	if (!samples)
		return 1;
	for (int i = 0; i < WARM_UP; i++)
		timed();
	for (size_t i = 0; i < count; i++)
		samples[i] = timed();
	print_figures(samples, count, memfd ? 1 : BATCH);
	free(samples);
	return 0;
}
