/* SPDX-License-Identifier: Apache-2.0 */

/*
 * tenant MODE [ARG...]: plays the supervised program in live tests. Counts of results go to
 * stdout, one "RESULT COUNT" line each: "ok" or the errno's name.
 *
 *   calls COUNT [NAME [FLAGS]]   so many calls, one after the other
 *   threads THREADS COUNT        the same in each of so many threads at once
 *   forks PROCESSES COUNT        the same in each of so many processes that fork each other
 *   timer HZ COUNT restart|once  the same under a timer signal, with SA_RESTART or without
 *   kills COUNT                  kills so many children that are busy calling
 *   until ERRNO                  says "ready", and calls until a call fails so
 *   become UID                   changes all ids to UID; prints the owner of the file it makes
 *   mapped COMMAND [ARG...]      runs it as root of a user namespace that maps 0 to 100000
 *   descriptors                  the open descriptors and what they are
 *   stuck                        says "stuck" and calls with a name that nobody ever serves
 */

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/macro.h"
#include "kernel/compat.h"

#define ERRNO_MAX 256

/* Results by errno; shared with forked children, so counted atomically. */
static unsigned long *results;

static _Noreturn void die(const char *what)
{
	fprintf(stderr, "tenant: %s: %s\n", what, strerror(errno));
	exit(99);
}

static int call(const char *name, unsigned long flags)
{
	int fd = (int)syscall(__NR_memfd_create, name, flags);
	int error = fd < 0 ? errno : 0;

	__atomic_add_fetch(&results[error < ERRNO_MAX ? error : 0], 1, __ATOMIC_RELAXED);
	if (fd >= 0)
		close(fd);
	return error;
}

static void calls(long count)
{
	for (long i = 0; i < count; i++)
		call("tenant", MFD_CLOEXEC);
}

static void print_results(void)
{
	for (int error = 0; error < ERRNO_MAX; error++)
		if (results[error] > 0)
			printf("%s %lu\n", error == 0 ? "ok" : strerrorname_np(error),
				results[error]);
}

static int mode_calls(int argc, char **argv)
{
	const char *name = argc > 1 ? argv[1] : "tenant";
	unsigned long flags = argc > 2 ? strtoul(argv[2], NULL, 0) : MFD_CLOEXEC;

	for (long i = atol(argv[0]); i > 0; i--)
		call(name, flags);
	print_results();
	return 0;
}

static void *thread_main(void *count)
{
	calls((long)(intptr_t)count);
	return NULL;
}

static int mode_threads(int argc, char **argv)
{
	int threads = atoi(argv[0]);
	pthread_t thread[256];

	if (argc < 2 || threads > (int)ARRAY_SIZE(thread))
		return 2;
	for (int i = 0; i < threads; i++)
		if (pthread_create(&thread[i], NULL, thread_main, (void *)(intptr_t)atol(argv[1])))
			die("pthread_create");
	for (int i = 0; i < threads; i++)
		pthread_join(thread[i], NULL);
	print_results();
	return 0;
}

/* A storm: a tree of processes that fork and call at the same time. */
static void fork_tree(int processes, long count)
{
	int half = processes / 2;
	pid_t child = half > 0 ? fork() : -1;

	if (half > 0 && child < 0)
		die("fork");
	if (child == 0) {
		fork_tree(half, count);
		_exit(0);
	}
	if (processes - half > 1)
		fork_tree(processes - half, count);
	else
		calls(count);
	if (child > 0)
		waitpid(child, NULL, 0);
}

static int mode_forks(int argc, char **argv)
{
	if (argc < 2)
		return 2;
	fork_tree(atoi(argv[0]), atol(argv[1]));
	print_results();
	return 0;
}

static volatile sig_atomic_t signals;

static void on_signal(int signal)
{
	(void)signal;
	signals++;
}

static int mode_timer(int argc, char **argv)
{
	if (argc < 3)
		return 2;

	struct sigaction action = {.sa_handler = on_signal,
		.sa_flags = strcmp(argv[2], "restart") == 0 ? SA_RESTART : 0};
	suseconds_t period = 1000000 / atoi(argv[0]);
	struct itimerval timer = {{0, period}, {0, period}};

	if (sigaction(SIGALRM, &action, NULL) < 0 || setitimer(ITIMER_REAL, &timer, NULL) < 0)
		die("timer");
	calls(atol(argv[1]));
	setitimer(ITIMER_REAL, &(struct itimerval){0}, NULL);
	print_results();
	printf("signals %d\n", (int)signals);
	return 0;
}

/* The moment of death moves through the whole life of a call. */
static int mode_kills(int argc, char **argv)
{
	unsigned seed = 1;

	(void)argc;
	for (long i = atol(argv[0]); i > 0; i--) {
		pid_t child = fork();
		int status;

		if (child < 0)
			die("fork");
		while (child == 0)
			call("doomed", MFD_CLOEXEC);
		usleep((useconds_t)(rand_r(&seed) % 300));
		if (kill(child, SIGKILL) < 0 || waitpid(child, &status, 0) != child)
			die("kill");
		if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL)
			die("a child ended by itself");
	}
	memset(results, 0, ERRNO_MAX * sizeof(*results));
	calls(100);
	print_results();
	return 0;
}

static int mode_until(int argc, char **argv)
{
	const char *seen = "";

	(void)argc;
	puts("ready");
	fflush(stdout);
	while (strcmp(seen, argv[0]) != 0) {
		int error = call("until", MFD_CLOEXEC);

		seen = error == 0 ? "ok" : strerrorname_np(error);
		usleep(1000);
	}
	printf("seen %s\n", seen);
	return 0;
}

static int mode_become(int argc, char **argv)
{
	uid_t id = (uid_t)atoi(argv[0]);
	struct stat st;

	(void)argc;
	if (setgroups(0, NULL) < 0 || setresgid(id, id, id) < 0 || setresuid(id, id, id) < 0)
		die("setresuid");

	int fd = (int)syscall(__NR_memfd_create, "become", MFD_CLOEXEC);

	if (fd < 0 || fstat(fd, &st) < 0)
		die("memfd_create");
	printf("%u:%u\n", st.st_uid, st.st_gid);
	return 0;
}

static void map_write(pid_t pid, const char *file)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/%s", pid, file);

	int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, "0 100000 65536", 14) != 14)
		die(path);
	close(fd);
}

/* The parent maps, since that takes privilege outside; the child waits for it. */
static int mode_mapped(int argc, char **argv)
{
	int up[2], down[2], status;
	char byte = 0;

	(void)argc;
	if (pipe2(up, O_CLOEXEC) < 0 || pipe2(down, O_CLOEXEC) < 0)
		die("pipe");

	pid_t child = fork();

	if (child == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (syscall(__NR_unshare, 0x10000000 /* CLONE_NEWUSER */) < 0 ||
			write(up[1], &byte, 1) != 1 || read(down[0], &byte, 1) != 1)
			die("unshare");
		if (setgroups(0, NULL) < 0 || setresgid(0, 0, 0) < 0 || setresuid(0, 0, 0) < 0)
			die("setresuid");
		execv(argv[0], argv);
		die(argv[0]);
	}
	if (child < 0 || read(up[0], &byte, 1) != 1)
		die("fork");
	map_write(child, "uid_map");
	map_write(child, "gid_map");
	if (write(down[1], &byte, 1) != 1 || waitpid(child, &status, 0) < 0)
		die("waitpid");
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* By fstat, so that looking opens no descriptor; of a kind, only its type is printed. */
static int mode_descriptors(int argc, char **argv)
{
	(void)argc;
	(void)argv;
	for (int fd = 0; fd < 4096; fd++) {
		struct stat st;

		if (fstat(fd, &st) == 0)
			printf("%d %o %d\n", fd, st.st_mode & S_IFMT, fcntl(fd, F_GETFD));
	}
	return 0;
}

/* A page whose faults go to a userfaultfd that this process never reads. */
static int mode_stuck(int argc, char **argv)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	char *area = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int uffd = (int)syscall(__NR_userfaultfd, O_CLOEXEC);
	struct uffdio_api api = {.api = UFFD_API};
	struct uffdio_register area_register = {
		.range = {(uintptr_t)area, page}, .mode = UFFDIO_REGISTER_MODE_MISSING};

	(void)argc;
	(void)argv;
	if (area == MAP_FAILED || uffd < 0 || ioctl(uffd, UFFDIO_API, &api) < 0 ||
		ioctl(uffd, UFFDIO_REGISTER, &area_register) < 0)
		die("userfaultfd");
	puts("stuck");
	fflush(stdout);
	call(area, MFD_CLOEXEC);
	return 1;
}

static const struct {
	const char *name;
	int args; /* at least */
	int (*main)(int argc, char **argv);
} modes[] = {
	{"calls", 1, mode_calls},
	{"threads", 2, mode_threads},
	{"forks", 2, mode_forks},
	{"timer", 3, mode_timer},
	{"kills", 1, mode_kills},
	{"until", 1, mode_until},
	{"become", 1, mode_become},
	{"mapped", 1, mode_mapped},
	{"descriptors", 0, mode_descriptors},
	{"stuck", 0, mode_stuck},
};

int main(int argc, char **argv)
{
	results = mmap(NULL, ERRNO_MAX * sizeof(*results), PROT_READ | PROT_WRITE,
		MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (results == MAP_FAILED)
		die("mmap");
	for (size_t i = 0; i < ARRAY_SIZE(modes); i++)
		if (argc >= 2 + modes[i].args && strcmp(argv[1], modes[i].name) == 0)
			return modes[i].main(argc - 2, argv + 2);
	fprintf(stderr, "usage: tenant MODE [ARG...], see tests/programs/tenant.c\n");
	return 2;
}
