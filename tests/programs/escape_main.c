/* SPDX-License-Identifier: Apache-2.0 */

/*
 * escape ROW: tries the way of that row of `fdwarden coverage`, and prints what became of it:
 * "past", "stopped", "answered", "lacking". Exit status 0 if it got past the limit, 1 if it was
 * stopped, 3 if it got past and was refused everything afterwards, 77 if there is nothing to try it
 * on. Environment: the limits of the policy, ESCAPE_MEMFDS, ESCAPE_FILE, ESCAPE_SIZE,
 * ESCAPE_RESIDENT, ESCAPE_HUGETLB, ESCAPE_SPILL, and ESCAPE_WAIT_MS.
 *
 * escape outside COMMAND...: runs the command with a memfd as descriptor OUTSIDE_FD, and another
 * one waiting in the socket OUTSIDE_SOCKET: made by nobody that the command's supervisor knows of.
 */

#include "escape.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/memfd.h"

struct limits limits;

int make(const char *name, unsigned flags)
{
	return (int)syscall(SYS_memfd_create, name, flags);
}

bool denies_by_name(void)
{
	int fd = make(NAME_DENIED, MFD_CLOEXEC);

	if (fd >= 0)
		close(fd);
	return fd < 0;
}

static int rank(enum outcome outcome)
{
	switch (outcome) {
	case GOT_PAST:
		return 3;
	case ANSWERED:
		return 2;
	case STOPPED:
		return 1;
	case LACKING:
		return 0;
	}
	return 0;
}

enum outcome worst(enum outcome a, enum outcome b)
{
	return rank(a) > rank(b) ? a : b;
}

static void sleep_ms(long ms)
{
	const struct timespec time = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};

	nanosleep(&time, NULL);
}

/* Calls with NAME_OTHER succeed as long as nothing got past; else no answer can be told. */
static bool calls_succeed;

enum outcome await_answer_to(const char *name)
{
	if (!calls_succeed)
		return GOT_PAST;
	for (uint64_t waited = 0; waited < limits.wait_ms; waited += 10) {
		int fd = make(name, MFD_CLOEXEC);

		/* EAGAIN: the limit of their rate, which these calls themselves may meet. */
		if (fd < 0 && errno != EAGAIN)
			return ANSWERED;
		if (fd >= 0)
			close(fd);
		sleep_ms(10);
	}
	return GOT_PAST;
}

enum outcome await_answer(void)
{
	return await_answer_to(NAME_OTHER);
}

bool kill_supervisor(void)
{
	pid_t supervisor = getppid();

	if (kill(supervisor, SIGKILL) < 0)
		return false;
	while (getppid() == supervisor)
		sleep_ms(1);
	return true;
}

static bool try_call(void)
{
	int fd = make(NAME_OTHER, MFD_CLOEXEC);

	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

static uint64_t limit(const char *name)
{
	const char *value = getenv(name);

	return value ? strtoull(value, NULL, 10) : 0;
}

static const struct attempt *find(const struct attempt *attempts, const char *id)
{
	for (; attempts->id; attempts++)
		if (strcmp(attempts->id, id) == 0)
			return attempts;
	return NULL;
}

static const char *outcome_name(enum outcome outcome)
{
	switch (outcome) {
	case GOT_PAST:
		return "past";
	case STOPPED:
		return "stopped";
	case ANSWERED:
		return "answered";
	case LACKING:
		return "lacking";
	}
	return "?";
}

int main(int argc, char **argv)
{
	const struct attempt *attempt = NULL;
	enum outcome outcome;

	if (argc > 2 && strcmp(argv[1], "outside") == 0)
		return run_outside(argv + 2);
	if (argc == 2)
		attempt = find(growth_attempts, argv[1]);
	if (argc == 2 && !attempt)
		attempt = find(place_attempts, argv[1]);
	if (argc == 2 && !attempt)
		attempt = find(escape_attempts, argv[1]);
	if (!attempt) {
		fputs("usage: escape ROW | escape outside COMMAND...\n", stderr);
		return 2;
	}
	limits = (struct limits){
		.memfds = limit("ESCAPE_MEMFDS"),
		.file = limit("ESCAPE_FILE"),
		.size = limit("ESCAPE_SIZE"),
		.resident = limit("ESCAPE_RESIDENT"),
		.hugetlb = limit("ESCAPE_HUGETLB"),
		.spill = limit("ESCAPE_SPILL"),
		.wait_ms = limit("ESCAPE_WAIT_MS"),
	};
	/* RLIMIT_FSIZE: an errno says as much. */
	signal(SIGXFSZ, SIG_IGN);
	calls_succeed = try_call();
	outcome = attempt->run();
	puts(outcome_name(outcome));
	return (int)outcome;
}
