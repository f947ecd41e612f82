/* SPDX-License-Identifier: Apache-2.0 */

/* Attempts to have memory, or code, where no limit of the policy is. */

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/macro.h"
#include "base/memfd.h"
#include "base/message.h"
#include "escape.h"

/* What programs ask for. */
static const unsigned kinds[] = {0, MFD_ALLOW_SEALING, MFD_EXEC, MFD_EXEC | MFD_ALLOW_SEALING};

/* ---- Huge pages ---- */

/* In the pool of the machine; of the default size. */
static bool has_huge_pages(void)
{
	FILE *file = fopen("/proc/meminfo", "re");
	char line[128];
	unsigned long pages = 0;

	while (file && fgets(line, sizeof(line), file))
		if (sscanf(line, "HugePages_Free: %lu", &pages) == 1)
			break;
	if (file)
		fclose(file);
	return pages > 0;
}

static enum outcome try_huge(bool by_mmap)
{
	uint64_t bytes = limits.hugetlb + 4 * MIB;
	int fd = make(NAME_OTHER, MFD_CLOEXEC | MFD_HUGETLB);
	struct stat st;

	if (fd < 0)
		return errno == ENODEV || (by_mmap && errno == ENOMEM && !has_huge_pages())
			       ? LACKING
			       : STOPPED;
	/* Without a reservation no huge page has to be there. */
	if (by_mmap)
		(void)mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0);
	else
		(void)!ftruncate(fd, (off_t)bytes);
	return fstat(fd, &st) == 0 && (uint64_t)st.st_size > limits.hugetlb ? GOT_PAST : STOPPED;
}

static enum outcome try_hugetlb(void)
{
	return try_huge(false);
}

static enum outcome try_hugetlb_mmap(void)
{
	return try_huge(true);
}

/* ---- Execution ---- */

static bool executes(int fd)
{
	static const char script[] = "#!/bin/true\n";
	char *const nothing[] = {NULL};
	char *const arguments[] = {(char[]){"escape"}, NULL};
	int status;
	pid_t child;

	if (write(fd, script, strlen(script)) != (ssize_t)strlen(script))
		return false;
	child = fork();
	if (child == 0) {
		syscall(SYS_execveat, fd, "", arguments, nothing, AT_EMPTY_PATH);
		_exit(1);
	}
	return waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static bool maps_executable(int fd)
{
	return ftruncate(fd, 4096) == 0 &&
	       mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_SHARED, fd, 0) != MAP_FAILED;
}

static enum outcome try_code(bool (*runs)(int fd))
{
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		/* Not close-on-exec: the interpreter of a script opens it by its number. */
		int fd = make(NAME_OTHER, kinds[i]);

		if (fd < 0)
			continue;
		(void)fchmod(fd, 0777);
		if (runs(fd))
			return GOT_PAST;
		close(fd);
	}
	return STOPPED;
}

static enum outcome try_exec(void)
{
	return try_code(executes);
}

static enum outcome try_exec_map(void)
{
	return try_code(maps_executable);
}

/* In a PID namespace of its own, which has the strictest setting. */
static enum outcome make_forbidden(void)
{
	int fd = open("/proc/sys/vm/memfd_noexec", O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, "2", 1) != 1)
		return LACKING;
	close(fd);
	return make(NAME_OTHER, MFD_CLOEXEC | MFD_EXEC) >= 0 ? GOT_PAST : STOPPED;
}

static enum outcome try_memfd_noexec(void)
{
	int status;
	pid_t child;

	if (unshare(CLONE_NEWPID) < 0)
		return LACKING;
	child = fork();
	if (child == 0)
		_exit((int)make_forbidden());
	if (child < 0 || waitpid(child, &status, 0) != child || !WIFEXITED(status))
		return LACKING;
	return (enum outcome)WEXITSTATUS(status);
}

/* ---- Other memory ---- */

/* So much that the limit of the tests' policies would not have had it. */
static uint64_t beyond(void)
{
	uint64_t bytes = limits.size > limits.resident ? limits.size : limits.resident;

	return (bytes > limits.file ? bytes : limits.file) + MIB;
}

static bool fill(int fd)
{
	void *map = MAP_FAILED;

	if (ftruncate(fd, (off_t)beyond()) == 0)
		map = mmap(NULL, beyond(), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (map == MAP_FAILED)
		return false;
	memset(map, 'x', beyond());
	return true;
}

/* RLIMIT_FSIZE bounds the file there, not their number. */
static enum outcome fill_or_write(int fd)
{
	return fill(fd) || write(fd, "x", 1) == 1 ? GOT_PAST : STOPPED;
}

/* Linux 6.6; a value has at most 64 KiB. */
static enum outcome try_xattr(void)
{
	static char value[64 * 1024];
	const uint64_t count = beyond() / sizeof(value) + 1;
	int fd = make("attributes", MFD_ALLOW_SEALING);
	char name[32];

	if (fd < 0)
		return LACKING;
	for (uint64_t i = 0; i < count; i++) {
		snprintf(name, sizeof(name), "user.%u", (unsigned)i);
		if (fsetxattr(fd, name, value, sizeof(value), 0) < 0)
			return errno == EOPNOTSUPP ? LACKING : STOPPED;
	}
	return GOT_PAST;
}

static enum outcome try_o_tmpfile(void)
{
	int fd = open("/dev/shm", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

	return fd < 0 ? LACKING : fill_or_write(fd);
}

static enum outcome try_dev_shm(void)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/dev/shm/fdwarden-escape-%d", (int)getpid());
	fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return LACKING;
	unlink(path);
	return fill_or_write(fd);
}

static enum outcome try_sysv_shm(void)
{
	int id = shmget(IPC_PRIVATE, beyond(), IPC_CREAT | 0600);
	void *memory;

	if (id < 0)
		return LACKING;
	memory = shmat(id, NULL, 0);
	shmctl(id, IPC_RMID, NULL);
	if (memory == (void *)-1)
		return STOPPED;
	memset(memory, 'x', beyond());
	return GOT_PAST;
}

static enum outcome try_shared_mapping(void)
{
	void *map = mmap(NULL, beyond(), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (map == MAP_FAILED)
		return STOPPED;
	memset(map, 'x', beyond());
	return GOT_PAST;
}

static enum outcome try_memfd_secret(void)
{
	int fd = (int)syscall(SYS_memfd_secret, O_CLOEXEC);

	if (fd < 0)
		return STOPPED;
	return GOT_PAST;
}

/* ---- Files from outside ---- */

#define OUTSIDE_FD     8
#define OUTSIDE_SOCKET 9
#define OUTSIDE_BYTES  (32 * MIB)

int run_outside(char **command)
{
	int fd = make("outside", 0), ends[2];

	if (fd < 0 || ftruncate(fd, OUTSIDE_BYTES) < 0 ||
		socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends) < 0 ||
		message_send_fd(ends[0], 'x', fd) < 0)
		return 99;
	close(ends[0]);
	if (dup2(ends[1], OUTSIDE_SOCKET) < 0 || dup2(fd, OUTSIDE_FD) < 0)
		return 99;
	execvp(command[0], command);
	return 99;
}

/* Has its size already, so that no call tells of what happens in it. */
static enum outcome fill_foreign(int fd)
{
	uint64_t bytes = beyond();
	struct stat st;
	void *map;

	if (fstat(fd, &st) < 0 || (uint64_t)st.st_size < bytes)
		return LACKING;
	map = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (map == MAP_FAILED)
		return STOPPED;
	memset(map, 'x', bytes);
	return await_answer();
}

static enum outcome try_fd_before(void)
{
	return fill_foreign(OUTSIDE_FD);
}

static enum outcome try_fd_received(void)
{
	char word;
	int fd = -1;

	if (message_receive_fd(OUTSIDE_SOCKET, &word, &fd) < 0 || fd < 0)
		return LACKING;
	return fill_foreign(fd);
}

const struct attempt place_attempts[] = {
	{"hugetlb", try_hugetlb},
	{"hugetlb-mmap", try_hugetlb_mmap},
	{"exec", try_exec},
	{"exec-map", try_exec_map},
	{"memfd-noexec", try_memfd_noexec},
	{"xattr", try_xattr},
	{"o-tmpfile", try_o_tmpfile},
	{"dev-shm", try_dev_shm},
	{"sysv-shm", try_sysv_shm},
	{"shared-mapping", try_shared_mapping},
	{"memfd-secret", try_memfd_secret},
	{"fd-before", try_fd_before},
	{"fd-received", try_fd_received},
	{NULL, NULL},
};
