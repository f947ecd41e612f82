/* SPDX-License-Identifier: Apache-2.0 */

/* The calls that memfd-probe makes. */

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/macro.h"
#include "probe.h"

#define KNOWN_BITS  5 /* CLOEXEC ALLOW_SEALING HUGETLB NOEXEC_SEAL EXEC */
#define SIZE_SHIFT  26
#define SIZE_VALUES 64

static void probe_flags(unsigned long flags)
{
	probe_facets(&(struct probe_call){"plain", "probe", flags});
}

void probe_all_flags(void)
{
	for (unsigned long flags = 0; flags < 1UL << KNOWN_BITS; flags++)
		probe_flags(flags);
	for (unsigned long size = 1; size < SIZE_VALUES; size++) {
		probe_flags(MFD_HUGETLB | size << SIZE_SHIFT);
		probe_flags(size << SIZE_SHIFT);
		probe_flags(MFD_HUGETLB | MFD_ALLOW_SEALING | MFD_CLOEXEC | size << SIZE_SHIFT);
	}
	for (int bit = KNOWN_BITS; bit < SIZE_SHIFT; bit++) {
		probe_flags(1UL << bit);
		probe_flags(1UL << bit | MFD_HUGETLB | MFD_CLOEXEC);
	}
	probe_flags(UINT32_MAX);
	probe_flags(MFD_EXEC | MFD_NOEXEC_SEAL | 1UL << 20);
#if UINTPTR_MAX > UINT32_MAX
	for (int bit = 32; bit < 64; bit += 5)
		probe_flags(1UL << bit | MFD_CLOEXEC);
	probe_flags(UINT64_MAX << 32 | MFD_ALLOW_SEALING);
	probe_flags(UINT64_MAX << 32 | 1UL << 7);
#endif
}

/* Flags that go with each name: two that make a file, and one for each step of the kernel's checks
 * that could fail before the name's or after it. */
static void probe_name(const char *label, const void *name)
{
	static const unsigned long flags[] = {
		0,
		MFD_CLOEXEC | MFD_ALLOW_SEALING,
		MFD_NOEXEC_SEAL,
		MFD_EXEC | MFD_NOEXEC_SEAL,
		1UL << 12,
		MFD_HUGETLB,
		MFD_HUGETLB | 5UL << SIZE_SHIFT,
	};

	for (size_t i = 0; i < ARRAY_SIZE(flags); i++)
		probe_facets(&(struct probe_call){label, name, flags[i]});
}

static void probe_lengths(void)
{
	static const size_t lengths[] = {
		1, 2, 15, 16, 100, 247, 248, 249, 250, 251, 255, 256, 4000};
	char label[32];

	for (size_t i = 0; i < ARRAY_SIZE(lengths); i++) {
		char *name = calloc(1, lengths[i] + 1);

		if (!name)
			abort();
		memset(name, 'n', lengths[i]);
		snprintf(label, sizeof(label), "length-%zu", lengths[i]);
		probe_name(label, name);
		free(name);
	}
}

static void probe_texts(void)
{
	probe_name("empty", "");
	probe_name("slash", "/");
	probe_name("path", "../../etc/passwd");
	probe_name("newline", "two\nlines\n");
	probe_name("escape", "\033[2J\033]0;title\a");
	probe_name("percent", "%s%n%d");
	probe_name("latin1", "caf\xe9");
	probe_name("bad-utf8", "\xff\xfe\xc0\xaf\xed\xa0\x80");
	probe_name("utf8", "\xe2\x82\xac\xf0\x9f\x98\x80");
	probe_name("spaces", "  a\tb  ");
	probe_name("deleted", "x (deleted)");
	probe_name("backslash", "a\\b\\012");
	probe_name("memfd", "memfd:memfd:");
}

/* Names of that many bytes that end, NUL included or not, where the readable memory ends. */
static void probe_border(char *end, const char *kind)
{
	static const size_t lengths[] = {0, 1, 5, 248, 249, 250, 251, 300};
	char label[64];

	for (size_t i = 0; i < ARRAY_SIZE(lengths); i++) {
		size_t len = lengths[i];

		memset(end - 512, 'b', 512);
		end[-1] = '\0';
		snprintf(label, sizeof(label), "%s-ends-%zu", kind, len);
		probe_name(label, end - len - 1);
		end[-1] = 'b';
		snprintf(label, sizeof(label), "%s-runs-out-%zu", kind, len);
		probe_name(label, end - len);
	}
}

static void probe_memory(void)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	char *area =
		mmap(NULL, 4 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *rest;

	if (area == MAP_FAILED)
		abort();

	/* across a border between two readable pages, that the kernel crosses without noticing */
	memset(area + page - 20, 'c', 40);
	area[page + 20] = '\0';
	probe_name("across-pages", area + page - 20);
	memset(area + page - 249, 'c', 249);
	area[page] = '\0';
	probe_name("nul-on-next-page", area + page - 249);

	munmap(area + 2 * page, page);
	probe_border(area + 2 * page, "unmapped");
	rest = area + 3 * page;
	mprotect(area + page, page, PROT_NONE);
	probe_border(area + page, "prot-none");
	probe_name("in-prot-none", area + page);
	probe_name("in-unmapped", area + 2 * page);
	strcpy(rest, "write-only");
	mprotect(rest, page, PROT_WRITE);
	probe_name("write-only", rest);
	mprotect(rest, page, PROT_READ);
	probe_name("read-only", rest);
	mprotect(rest, page, PROT_EXEC);
	probe_name("exec-only", rest);
	munmap(area, 4 * page);
}

/* A mapping past the end of its file: reading it natively is EFAULT for the kernel. */
static void probe_past_end_of_file(void)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	FILE *file = tmpfile();
	char *map;

	if (!file || ftruncate(fileno(file), (off_t)page) < 0)
		return;
	map = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_SHARED, fileno(file), 0);
	fclose(file);
	if (map == MAP_FAILED)
		abort();
	probe_name("past-end-of-file", map + page);
	strcpy(map + page - 5, "file");
	probe_name("last-of-file", map + page - 5);
	memset(map + page - 5, 'f', 5);
	probe_name("runs-past-end-of-file", map + page - 5);
	munmap(map, 2 * page);
}

void probe_all_names(void)
{
	probe_texts();
	probe_lengths();
	probe_memory();
	probe_past_end_of_file();
	probe_name("null", NULL);
	probe_name("one", (void *)1);
	probe_name("top", (void *)UINTPTR_MAX);
	probe_name("top-page", (void *)(UINTPTR_MAX - 4095));
#if UINTPTR_MAX > UINT32_MAX
	probe_name("kernel", (void *)0xffffffff81000000UL);
	probe_name("kernel-direct-map", (void *)0xffff888000001000UL);
	probe_name("not-canonical", (void *)0x0000800000000000UL);
	probe_name("end-of-user-space", (void *)0x00007ffffffffff8UL);
#else
	probe_name("kernel", (void *)0xffffe000UL);
#endif
}

/* Each of the kernel's checks, in its order, and how it stands to the descriptor table's. */
static void probe_order(const char *label, const char *unreadable)
{
	static char too_long[300];
	const struct probe_call calls[] = {
		{label, "good", 0},
		{label, "good", MFD_CLOEXEC | MFD_ALLOW_SEALING},
		{label, "good", MFD_NOEXEC_SEAL},
		{label, "good", 1UL << 9},
		{label, "good", MFD_EXEC | MFD_NOEXEC_SEAL},
		{label, unreadable, 0},
		{label, unreadable, 1UL << 9},
		{label, unreadable, MFD_EXEC},
		{label, too_long, 0},
		{label, "good", MFD_HUGETLB},
		{label, "good", MFD_HUGETLB | 5UL << SIZE_SHIFT},
		{label, unreadable, MFD_HUGETLB | 5UL << SIZE_SHIFT},
		{label, "good", 5UL << SIZE_SHIFT},
	};

	memset(too_long, 'x', sizeof(too_long) - 1);
	for (size_t i = 0; i < ARRAY_SIZE(calls); i++) {
		int fd = probe_memfd(&calls[i]);

		probe_report(&calls[i], calls[i].name == unreadable ? "bad name" : calls[i].name,
			"%d", fd);
		if (fd >= 0)
			close(fd);
	}
}

/* Numbers are given from the lowest hole up. */
static void probe_holes(void)
{
	static const int holes[] = {5, 9, 10, 33, 63, 64, 65, 130};
	const struct probe_call call = {"holes", "probe", MFD_CLOEXEC};

	for (int fd = 3; fd < 140; fd++)
		dup2(0, fd);
	for (size_t i = 0; i < ARRAY_SIZE(holes); i++)
		close(holes[i]);
	for (size_t i = 0; i < ARRAY_SIZE(holes) + 3; i++)
		probe_report(&call, "number", "%d", probe_memfd(&call));
	for (int fd = 3; fd < 150; fd++)
		close(fd);
	close(0);
	probe_report(&call, "number", "%d", probe_memfd(&call));
}

/*
 * Full at the limit, full with open descriptors above it, a hole below, and a limit of nothing.
 * What else needs a descriptor comes first, as there is none afterwards.
 */
void probe_descriptors(void)
{
	const char *unreadable = NULL;
	struct rlimit limit;

	if (open("/dev/null", O_RDONLY) < 0 || getrlimit(RLIMIT_NOFILE, &limit) < 0)
		abort();
	for (int fd = 3; fd < 150; fd++)
		close(fd);
	probe_order("empty-table", unreadable);
	for (int fd = 3; fd < 20; fd++)
		dup2(0, fd);
	limit.rlim_cur = 20;
	setrlimit(RLIMIT_NOFILE, &limit);
	probe_order("full", unreadable);
	close(7);
	probe_order("one-hole", unreadable);
	dup2(0, 7);
	limit.rlim_cur = 10;
	setrlimit(RLIMIT_NOFILE, &limit);
	probe_order("over-full", unreadable);
	close(12);
	probe_order("hole-above-limit", unreadable);
	limit.rlim_cur = 0;
	setrlimit(RLIMIT_NOFILE, &limit);
	probe_order("limit-0", unreadable);
	limit.rlim_cur = 200;
	setrlimit(RLIMIT_NOFILE, &limit);
	probe_holes();
}

/* The file belongs to the caller's file system ids, whatever the real ones are. */
void probe_owners(void)
{
	static const struct {
		const char *label;
		uid_t uid;
		gid_t gid;
	} owners[] = {{"fs-4711", 4711, 0}, {"fs-4711-815", 4711, 815}, {"fs-0-815", 0, 815}};

	/* Without the privilege the ids stay, which is the same on both sides. */
	for (size_t i = 0; i < ARRAY_SIZE(owners); i++) {
		setfsgid(owners[i].gid);
		setfsuid(owners[i].uid);
		for (unsigned long flags = 0; flags < 1UL << KNOWN_BITS; flags += 3)
			probe_facets(&(struct probe_call){owners[i].label, "owned", flags});
		setfsuid(geteuid());
		setfsgid(getegid());
	}
}
