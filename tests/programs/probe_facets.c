/* SPDX-License-Identifier: Apache-2.0 */

/* What a program can see of a memfd, each facet on a file of its own. */

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/macro.h"
#include "probe.h"

#define FILE_SIZE 8192

#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x0010
#endif
#ifndef F_SEAL_EXEC
#define F_SEAL_EXEC 0x0020
#endif

static void facet_descriptor(const struct probe_call *call, int fd)
{
	probe_report(call, "descriptor", "fd=%d fdflags=%ld flags=%#lx seals=%#lx position=%ld", fd,
		probe_result(fcntl(fd, F_GETFD)), probe_result(fcntl(fd, F_GETFL)),
		probe_result(fcntl(fd, F_GET_SEALS)), probe_result(lseek(fd, 0, SEEK_CUR)));
	/* a lease takes the file's owner, or privilege */
	probe_report(call, "lease", "%ld", probe_result(fcntl(fd, F_SETLEASE, F_RDLCK)));
}

static void facet_stat(const struct probe_call *call, int fd)
{
	struct stat st;
	struct statfs fs;

	if (fstat(fd, &st) < 0 || fstatfs(fd, &fs) < 0)
		abort();
	probe_report(call, "stat",
		"mode=%o uid=%u gid=%u nlink=%ju size=%jd blksize=%jd blocks=%jd dev=%u:%u "
		"rdev=%ju "
		"fstype=%jx fsbsize=%jd fsflags=%#jx",
		st.st_mode, st.st_uid, st.st_gid, (uintmax_t)st.st_nlink, (intmax_t)st.st_size,
		(intmax_t)st.st_blksize, (intmax_t)st.st_blocks, major(st.st_dev), minor(st.st_dev),
		(uintmax_t)st.st_rdev, (uintmax_t)(unsigned)fs.f_type, (intmax_t)fs.f_bsize,
		(uintmax_t)(unsigned)fs.f_flags);
}

/* The link's text in hex, since a name may hold anything. */
static void facet_link(const struct probe_call *call, int fd)
{
	char path[64];
	char text[512];
	char hex[2 * sizeof(text) + 1] = "";

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);

	ssize_t len = readlink(path, text, sizeof(text));

	for (ssize_t i = 0; i < len; i++)
		sprintf(hex + 2 * i, "%02x", (unsigned char)text[i]);
	probe_report(call, "link", "%ld %s", probe_result(len), hex);

	struct stat st;

	if (lstat(path, &st) == 0)
		probe_report(call, "link mode", "%o", st.st_mode);
}

/* Without the inode's number, which counts up. */
static void facet_fdinfo(const struct probe_call *call, int fd)
{
	char path[64];
	char line[256];

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);

	FILE *file = fopen(path, "re");

	while (file && fgets(line, sizeof(line), file)) {
		line[strcspn(line, "\n")] = '\0';
		if (strncmp(line, "ino:", 4) != 0)
			probe_report(call, "fdinfo", "%s", line);
	}
	if (file)
		fclose(file);
}

static void facet_map(const struct probe_call *call, int fd)
{
	static const struct {
		const char *what;
		int prot, flags;
	} kinds[] = {
		{"shared-r", PROT_READ, MAP_SHARED},
		{"shared-rw", PROT_READ | PROT_WRITE, MAP_SHARED},
		{"shared-rx", PROT_READ | PROT_EXEC, MAP_SHARED},
		{"shared-rwx", PROT_READ | PROT_WRITE | PROT_EXEC, MAP_SHARED},
		{"private-rw", PROT_READ | PROT_WRITE, MAP_PRIVATE},
		{"private-rx", PROT_READ | PROT_EXEC, MAP_PRIVATE},
	};

	probe_report(call, "ftruncate", "%ld", probe_result(ftruncate(fd, FILE_SIZE)));
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		char *map = mmap(NULL, FILE_SIZE, kinds[i].prot, kinds[i].flags, fd, 0);
		long result = map == MAP_FAILED ? -errno : 0;
		long protect = 0;

		if (map != MAP_FAILED) {
			protect = probe_result(mprotect(map, 4096, PROT_READ | PROT_EXEC));
			munmap(map, FILE_SIZE);
		}
		probe_report(call, "mmap", "%s %ld mprotect=%ld", kinds[i].what, result, protect);
	}
}

/* What the seals that are now set forbid. */
static void report_sealed(const struct probe_call *call, int fd, const char *what)
{
	long grow = probe_result(ftruncate(fd, 2L * FILE_SIZE));
	long shrink = probe_result(ftruncate(fd, FILE_SIZE / 2));
	long written = probe_result(pwrite(fd, "x", 1, 0));
	long chmoded = probe_result(fchmod(fd, 0755));
	void *map = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	long mapped = map == MAP_FAILED ? -errno : 0;

	if (map != MAP_FAILED)
		munmap(map, 4096);
	probe_report(call, "sealed", "%s grow=%ld shrink=%ld write=%ld chmod=%ld mmap=%ld", what,
		grow, shrink, written, chmoded, mapped);
}

static void facet_seals(const struct probe_call *call, int unused)
{
	static const int seals[] = {F_SEAL_SEAL, F_SEAL_SHRINK, F_SEAL_GROW, F_SEAL_WRITE,
		F_SEAL_FUTURE_WRITE, F_SEAL_EXEC,
		F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE, 0, 0x40, -1};
	char what[64];

	(void)unused;
	for (size_t i = 0; i < ARRAY_SIZE(seals); i++) {
		int fd = probe_memfd(call);
		long sized = probe_result(ftruncate(fd, FILE_SIZE));
		long result = probe_result(fcntl(fd, F_ADD_SEALS, seals[i]));

		snprintf(what, sizeof(what), "%#x: size=%ld add=%ld now=%#lx", (unsigned)seals[i],
			sized, result, probe_result(fcntl(fd, F_GET_SEALS)));
		report_sealed(call, fd, what);
		close(fd);
	}
}

static void facet_owner(const struct probe_call *call, int fd)
{
	static const mode_t modes[] = {0600, 0644, 0755, 0777, 04755, 0};
	struct stat st;

	for (size_t i = 0; i < ARRAY_SIZE(modes); i++) {
		long result = probe_result(fchmod(fd, modes[i]));

		if (fstat(fd, &st) < 0)
			abort();
		probe_report(call, "fchmod", "%o %ld mode=%o", modes[i], result, st.st_mode);
	}
	probe_report(call, "fchown self", "%ld", probe_result(fchown(fd, geteuid(), getegid())));
	probe_report(call, "fchown other", "%ld", probe_result(fchown(fd, 12345, 54321)));
	if (fstat(fd, &st) < 0)
		abort();
	probe_report(call, "owner now", "%u:%u mode=%o", st.st_uid, st.st_gid, st.st_mode);
	probe_report(call, "futimens", "%ld",
		probe_result(futimens(fd, (struct timespec[2]){{1, 2}, {3, 4}})));
}

static void facet_attributes(const struct probe_call *call, int fd)
{
	char list[256];
	int flags = 0;
	long listed = probe_result(flistxattr(fd, list, sizeof(list)));
	long user = probe_result(fsetxattr(fd, "user.probe", "v", 1, 0));
	long trusted = probe_result(fsetxattr(fd, "trusted.probe", "v", 1, 0));
	long got = probe_result(ioctl(fd, FS_IOC_GETFLAGS, &flags));

	probe_report(call, "attributes", "list=%ld user=%ld trusted=%ld getflags=%ld %#x", listed,
		user, trusted, got, (unsigned)flags);
}

static void facet_content(const struct probe_call *call, int fd)
{
	char buf[8] = "";
	struct stat st;
	long written = probe_result(write(fd, "abcdef", 6));
	long got = probe_result(pread(fd, buf, 6, 0));

	probe_report(call, "content", "write=%ld read=%ld %.6s at=%ld", written, got, buf,
		probe_result(lseek(fd, 0, SEEK_CUR)));

	long hole = probe_result(lseek(fd, 0, SEEK_HOLE));
	long grown = probe_result(fallocate(fd, 0, 0, 3L * 4096));
	long punched =
		probe_result(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 4096, 4096));

	if (fstat(fd, &st) < 0)
		abort();
	probe_report(call, "space", "hole=%ld fallocate=%ld punch=%ld size=%jd blocks=%jd sync=%ld",
		hole, grown, punched, (intmax_t)st.st_size, (intmax_t)st.st_blocks,
		probe_result(fsync(fd)));
}

static void facet_reopen(const struct probe_call *call, int fd)
{
	static const struct {
		const char *what;
		int flags;
	} kinds[] = {
		{"read", O_RDONLY},
		{"write", O_WRONLY},
		{"read-write", O_RDWR},
		{"truncate", O_RDWR | O_TRUNC},
		{"append", O_WRONLY | O_APPEND},
		{"noatime", O_RDONLY | O_NOATIME},
		{"path", O_PATH},
		{"directory", O_RDONLY | O_DIRECTORY},
		{"nofollow", O_RDONLY | O_NOFOLLOW},
		{"exclusive", O_RDWR | O_CREAT | O_EXCL},
	};
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		long again = probe_result(open(path, kinds[i].flags | O_CLOEXEC, 0600));

		probe_report(call, "reopen", "%s %ld flags=%#lx seals=%#lx", kinds[i].what, again,
			probe_result(fcntl((int)again, F_GETFL)),
			probe_result(fcntl((int)again, F_GET_SEALS)));
		if (again >= 0)
			close((int)again);
	}
	probe_report(call, "access", "r=%ld w=%ld x=%ld truncate=%ld",
		probe_result(access(path, R_OK)), probe_result(access(path, W_OK)),
		probe_result(access(path, X_OK)), probe_result(truncate(path, 100)));
}

/* Runs a copy of this program from the file; a status, or the errno of the exec. */
static long execute(int fd)
{
	char *const argv[] = {(char *)"copy", (char *)"--executed", NULL};
	pid_t child = fork();
	int status = 0;

	if (child == 0) {
		syscall(__NR_execveat, fd, "", argv, (char *[]){NULL}, AT_EMPTY_PATH);
		_exit(errno);
	}
	if (child < 0 || waitpid(child, &status, 0) < 0)
		abort();
	return status;
}

static void facet_execute(const struct probe_call *call, int fd)
{
	int self = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	char path[64];
	long sent;

	if (self < 0)
		abort();
	do {
		sent = probe_result(sendfile(fd, self, NULL, 1 << 20));
	} while (sent > 0);
	close(self);

	/* a file that is open for writing is busy, so only a read-only descriptor can be run */
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);

	int readable = open(path, O_RDONLY | O_CLOEXEC);

	probe_report(call, "execute", "copied=%ld busy=%#lx", sent, (unsigned long)execute(fd));
	close(fd);
	probe_report(call, "execute", "%#lx", (unsigned long)execute(readable));
	close(readable);
}

typedef void facet_fn(const struct probe_call *call, int fd);

static facet_fn *const facets[] = {facet_descriptor, facet_stat, facet_link, facet_fdinfo,
	facet_map, facet_seals, facet_owner, facet_attributes, facet_content, facet_reopen,
	facet_execute, probe_facet_maps, probe_facet_statx, probe_facet_times, probe_facet_ranges,
	probe_facet_transfers, probe_facet_direct, probe_facet_watch};

void probe_facets(const struct probe_call *call)
{
	for (size_t i = 0; i < ARRAY_SIZE(facets); i++) {
		int fd = probe_memfd(call);

		if (fd < 0) {
			probe_report(call, "error", "%d", -fd);
			return;
		}
		fflush(stdout); /* or a forked child would print it once more */
		facets[i](call, fd);
		close(fd);
	}
}
