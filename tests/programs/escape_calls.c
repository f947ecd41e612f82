/* SPDX-License-Identifier: Apache-2.0 */

/* Attempts to make files against the policy, and against the supervisor itself. */

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/macro.h"
#include "base/memfd.h"
#include "escape.h"

/* ---- The name ---- */

struct race {
	char name[sizeof(NAME_DENIED) > sizeof(NAME_OTHER) ? sizeof(NAME_DENIED)
							   : sizeof(NAME_OTHER)];
	atomic_bool stop;
};

static void *race_thread(void *argument)
{
	struct race *race = argument;

	while (!atomic_load(&race->stop)) {
		memcpy(race->name, NAME_OTHER, sizeof(NAME_OTHER));
		memcpy(race->name, NAME_DENIED, sizeof(NAME_DENIED));
	}
	return NULL;
}

static bool has_denied_name(int fd)
{
	char path[64], link[128];
	ssize_t len;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	len = readlink(path, link, sizeof(link) - 1);
	link[len < 0 ? 0 : len] = '\0';
	return strcmp(link, "/memfd:" NAME_DENIED " (deleted)") == 0;
}

#define NAME_TRIES 5000

static enum outcome try_name(void)
{
	struct race race = {.name = NAME_OTHER};
	enum outcome outcome = STOPPED;
	pthread_t thread;

	if (!denies_by_name())
		return LACKING;
	if (pthread_create(&thread, NULL, race_thread, &race) != 0)
		return LACKING;
	for (int i = 0; i < NAME_TRIES && outcome == STOPPED; i++) {
		int fd = make(race.name, MFD_CLOEXEC);

		if (fd < 0)
			continue;
		if (has_denied_name(fd))
			outcome = GOT_PAST;
		close(fd);
	}
	atomic_store(&race.stop, true);
	pthread_join(thread, NULL);
	return outcome;
}

/* ---- Their number ---- */

static bool make_many(unsigned flags, uint64_t count)
{
	int first = -1, fd = -1;
	uint64_t made = 0;

	while (made < count && (fd = make(NAME_OTHER, MFD_CLOEXEC | flags)) >= 0) {
		if (made++ == 0)
			first = fd;
	}
	if (first >= 0)
		syscall(SYS_close_range, (unsigned)first, ~0U, 0);
	return made == count;
}

static enum outcome try_count(void)
{
	return make_many(0, limits.memfds + 8) ? GOT_PAST : STOPPED;
}

/* Any kind of call that is not counted. */
static enum outcome try_allow(void)
{
	static const unsigned kinds[] = {0, MFD_ALLOW_SEALING, MFD_EXEC};

	if (limits.memfds == 0)
		return LACKING;
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		if (make_many(kinds[i], limits.memfds + 8))
			return GOT_PAST;
	return STOPPED;
}

/* Far more than a second's worth of the tests' rate, in far less than the time for it. */
#define RATE_TRIES 500

static enum outcome try_rate(void)
{
	for (int i = 0; i < RATE_TRIES; i++) {
		int fd = make(NAME_OTHER, MFD_CLOEXEC);

		if (fd < 0)
			return STOPPED;
		close(fd);
	}
	return GOT_PAST;
}

/* ---- The memory cgroup ---- */

/* More than half of the group that the tests run this in when the policy looks at groups. */
#define FULL_BYTES (24 * MIB)

static enum outcome try_cgroup(void)
{
	char *memory = malloc(FULL_BYTES);

	if (!memory)
		return LACKING;
	memset(memory, 'x', FULL_BYTES);
	/* So that no compiler finds that nobody reads it. */
	__asm__ volatile("" : : "r"(memory) : "memory");
	return make(NAME_OTHER, MFD_CLOEXEC) >= 0 ? GOT_PAST : STOPPED;
}

/* ---- The filter ---- */

static bool add_filter(unsigned long flags)
{
	struct sock_filter yes = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	struct sock_fprog program = {.len = 1, .filter = &yes};

	return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program) >= 0;
}

static enum outcome try_second_listener(void)
{
	bool denied = denies_by_name();

	if (prctl(PR_SET_NO_NEW_PRIVS, 1L, 0L, 0L, 0L) < 0)
		return LACKING;
	if (add_filter(SECCOMP_FILTER_FLAG_NEW_LISTENER))
		return GOT_PAST;
	if (!add_filter(0))
		return LACKING;
	return denied && !denies_by_name() ? GOT_PAST : STOPPED;
}

#ifdef __x86_64__
/* i386's memfd_create(2): this program is linked below 4 GiB, so the name can be given. */
static long make_i386(const char *name, unsigned flags)
{
	long result;

	__asm__ volatile("int $0x80"
			 : "=a"(result)
			 : "a"(356L), "b"((uintptr_t)name), "c"((unsigned long)flags)
			 : "memory", "r8", "r9", "r10", "r11");
	return (int)result;
}

/* Kernels without the ABI answer with ENOSYS, or with a signal. */
static bool has_i386(void)
{
	static const char other[] = NAME_OTHER;
	int status;
	pid_t child = fork();

	if (child == 0)
		_exit(make_i386(other, 0) == -ENOSYS);
	return waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static enum outcome try_abi(void)
{
	static const char denied[] = NAME_DENIED;

	if (!has_i386() || !denies_by_name())
		return LACKING;
	return make_i386(denied, 0) >= 0 ? GOT_PAST : STOPPED;
}
#else
static enum outcome try_abi(void)
{
	return LACKING;
}
#endif

/* ---- The supervisor ---- */

static enum outcome try_not_inspectable(void)
{
	if (!denies_by_name())
		return LACKING;
	if (prctl(PR_SET_DUMPABLE, 0L, 0L, 0L, 0L) < 0)
		return LACKING;
	if (!denies_by_name())
		return GOT_PAST;
	if (limits.memfds && make_many(0, limits.memfds + 8))
		return GOT_PAST;
	return STOPPED;
}

static bool yama_forbids_all(void)
{
	FILE *file = fopen("/proc/sys/kernel/yama/ptrace_scope", "re");
	int scope = file ? fgetc(file) : EOF;

	if (file)
		fclose(file);
	return scope == '3';
}

/* It goes on running, and is let go when we exit. */
static enum outcome try_ptrace(void)
{
	if (yama_forbids_all())
		return LACKING;
	return ptrace(PTRACE_SEIZE, getppid(), NULL, NULL) == 0 ? GOT_PAST : STOPPED;
}

static enum outcome try_kill(void)
{
	if (!kill_supervisor())
		return LACKING;
	return make(NAME_OTHER, MFD_CLOEXEC) >= 0 ? GOT_PAST : STOPPED;
}

const struct attempt escape_attempts[] = {
	{"name", try_name},
	{"count", try_count},
	{"allow", try_allow},
	{"rate", try_rate},
	{"cgroup", try_cgroup},
	{"second-listener", try_second_listener},
	{"abi", try_abi},
	{"not-inspectable", try_not_inspectable},
	{"ptrace", try_ptrace},
	{"kill", try_kill},
	{NULL, NULL},
};
