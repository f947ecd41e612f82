/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What the ledger costs: time for each file, next to the same without it, and, with many live
 * files, memory for each and time to measure all.
 *
 *	ledger-cost [FILES]
 */

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "core/ledger.h"

#define CHECK(condition) \
	do { \
		if (!(condition)) { \
			fprintf(stderr, "%s:%d: not so: %s (errno %d)\n", __FILE__, __LINE__, \
				#condition, errno); \
			exit(EXIT_FAILURE); \
		} \
	} while (0)

#define ROUNDS 20000
/* The best of these: what a busy machine adds is not what is asked for. */
#define REPEATS 5

static int file_new(struct tenant *tenant)
{
	const struct ledger_maker maker = {.pid = getpid(), .name = "bench", .name_len = 5};
	struct charge charge;
	int fd;

	CHECK(charge_begin(&charge, tenant, STORE_MEMFD, false) == QUOTA_NONE);
	fd = memfd_create("bench", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	CHECK(fd >= 0);
	CHECK(charge_commit(&charge, fd, &maker) == 0);
	return fd;
}

static uint64_t run_native(void)
{
	uint64_t start_ns = clock_now_ns(CLOCK_MONOTONIC);

	for (int i = 0; i < ROUNDS; i++) {
		int fd = memfd_create("bench", MFD_CLOEXEC | MFD_ALLOW_SEALING);

		CHECK(fd >= 0);
		close(fd);
	}
	return (clock_now_ns(CLOCK_MONOTONIC) - start_ns) / ROUNDS;
}

static uint64_t run_counted(struct ledger *ledger, struct tenant *tenant)
{
	uint64_t start_ns = clock_now_ns(CLOCK_MONOTONIC);

	for (int i = 0; i < ROUNDS; i++)
		close(file_new(tenant));
	CHECK(ledger_is_empty(ledger));
	return (clock_now_ns(CLOCK_MONOTONIC) - start_ns) / ROUNDS;
}

static void show_each(struct ledger *ledger, struct tenant *tenant)
{
	uint64_t native = UINT64_MAX, counted = UINT64_MAX;

	for (int i = 0; i < REPEATS; i++) {
		uint64_t n = run_native(), c = run_counted(ledger, tenant);

		native = n < native ? n : native;
		counted = c < counted ? c : counted;
	}
	printf("create+close: native %.2f us, in the ledger %.2f us, more by %.2f us (%.2f "
	       "times)\n",
		(double)native / 1e3, (double)counted / 1e3, (double)(counted - native) / 1e3,
		(double)counted / (double)native);
}

static uint64_t run_resize(struct tenant *tenant, int fd)
{
	uint64_t start_ns = clock_now_ns(CLOCK_MONOTONIC);

	for (int i = 0; i < ROUNDS; i++) {
		struct growth growth = {0};
		struct stat st;

		CHECK(fstat(fd, &st) == 0);
		if (tenant)
			CHECK(growth_begin(&growth, tenant, fd, &st, (uint64_t)i, 0, false) ==
				QUOTA_NONE);
		CHECK(ftruncate(fd, i) == 0);
		if (tenant) {
			CHECK(fstat(fd, &st) == 0);
			growth_commit(&growth, &st);
		}
	}
	return (clock_now_ns(CLOCK_MONOTONIC) - start_ns) / ROUNDS;
}

static void show_resize(struct tenant *tenant)
{
	int fd = file_new(tenant);
	uint64_t native = UINT64_MAX, counted = UINT64_MAX;

	for (int i = 0; i < REPEATS; i++) {
		uint64_t n = run_resize(NULL, fd), c = run_resize(tenant, fd);

		native = n < native ? n : native;
		counted = c < counted ? c : counted;
	}
	printf("fstat+ftruncate: native %.2f us, in the ledger %.2f us\n", (double)native / 1e3,
		(double)counted / 1e3);
	close(fd);
}

/* Of this process, in bytes. */
static uint64_t resident_now(void)
{
	FILE *file = fopen("/proc/self/statm", "re");
	uint64_t pages;

	CHECK(file && fscanf(file, "%*u %" SCNu64, &pages) == 1);
	fclose(file);
	return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

/*
 * Makes files and leaves them to a child, as this process may not have so many. The child lives
 * until the pipe's other end is closed.
 */
static pid_t hold_files(struct tenant *tenant, const int *pipe_fds, unsigned count)
{
	int *fds = calloc(count, sizeof(*fds));
	char end;
	pid_t pid;

	CHECK(fds != NULL);
	for (unsigned i = 0; i < count; i++)
		fds[i] = file_new(tenant);
	pid = fork();
	CHECK(pid >= 0);
	if (pid == 0) {
		close(pipe_fds[1]);
		_exit(read(pipe_fds[0], &end, 1) == 0 ? EXIT_SUCCESS : EXIT_FAILURE);
	}
	for (unsigned i = 0; i < count; i++)
		close(fds[i]);
	free(fds);
	return pid;
}

#define HOLDERS_MAX 1024

static unsigned start_holders(
	struct tenant *tenant, const int *pipe_fds, unsigned count, pid_t *pids)
{
	struct rlimit limit;
	unsigned holders = 0;

	CHECK(getrlimit(RLIMIT_NOFILE, &limit) == 0);
	for (unsigned left = count; left > 0;) {
		unsigned some = limit.rlim_cur < left + 100 ? (unsigned)limit.rlim_cur - 100 : left;

		CHECK(holders < HOLDERS_MAX);
		pids[holders++] = hold_files(tenant, pipe_fds, some);
		left -= some;
	}
	return holders;
}

static uint64_t time_sample(struct ledger *ledger)
{
	uint64_t best_ns = UINT64_MAX;

	for (int i = 0; i < REPEATS; i++) {
		uint64_t ns = clock_now_ns(CLOCK_MONOTONIC);

		ledger_sample(ledger, NULL);
		ns = clock_now_ns(CLOCK_MONOTONIC) - ns;
		best_ns = ns < best_ns ? ns : best_ns;
	}
	return best_ns;
}

static void show_many(struct ledger *ledger, struct tenant *tenant, unsigned count)
{
	uint64_t before = resident_now(), ns;
	pid_t pids[HOLDERS_MAX];
	unsigned holders;
	int fds[2];

	CHECK(pipe2(fds, O_CLOEXEC) == 0);
	holders = start_holders(tenant, fds, count, pids);
	printf("%u live files: %.0f bytes each", count, (double)(resident_now() - before) / count);
	ns = time_sample(ledger);
	printf(", all measured in %.1f ms", (double)ns / 1e6);
	close(fds[1]);
	for (unsigned i = 0; i < holders; i++)
		CHECK(waitpid(pids[i], NULL, 0) == pids[i]);
	ns = clock_now_ns(CLOCK_MONOTONIC);
	CHECK(ledger_is_empty(ledger));
	printf(", all taken out in %.1f ms\n", (double)(clock_now_ns(CLOCK_MONOTONIC) - ns) / 1e6);
	close(fds[0]);
}

int main(int argc, char **argv)
{
	unsigned count = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 100000;
	struct policy_quotas quotas = quotas_none;
	const struct ledger_config config = {.quotas = &quotas};
	struct ledger *ledger;
	struct tenant *tenant;

	quotas.limits[QUOTA_MEMFDS] = UINT64_C(1) << 32;
	quotas.limits[QUOTA_SIZE] = UINT64_C(1) << 40;
	CHECK(ledger_new(&config, &ledger) == 0);
	CHECK(tenant_get(ledger, "bench", &tenant) == 0);
	show_each(ledger, tenant);
	show_resize(tenant);
	fflush(stdout);
	show_many(ledger, tenant, count);
	tenant_unref(tenant);
	ledger_free(ledger);
	return EXIT_SUCCESS;
}
