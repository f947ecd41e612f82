/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/oom_score.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>

#include "base/fd.h"
#include "base/text.h"
#include "kernel/cgroup.h"
#include "kernel/cgroup_level.h"

int oom_score_read(int proc_fd, int *ret_adj)
{
	char text[16];
	ssize_t n = fd_read_file_at(proc_fd, "oom_score_adj", text, sizeof(text));

	if (n < 0)
		return n == -ENOENT ? -ESRCH : (int)n;
	return sscanf(text, "%d", ret_adj) == 1 ? 0 : -EBADMSG;
}

int oom_score_write(int proc_fd, int adj)
{
	_cleanup_close_ int fd = openat(proc_fd, "oom_score_adj", O_WRONLY | O_CLOEXEC);
	char text[16];

	if (fd < 0)
		return errno == ENOENT ? -ESRCH : -errno;
	return fd_write_all(fd, text, (size_t)snprintf(text, sizeof(text), "%d", adj));
}

struct oom_memory {
	struct cgroup_mount mount; /* of the memory controller; dir_fd -1: none */
	uint64_t total_bytes, swap_bytes, available_bytes;
};

/* libcap-ng keeps its state for a process; this is one thread's. */
int oom_score_drop_right(void)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];

	if (syscall(SYS_capget, &header, data) < 0)
		return -errno;
	data[CAP_TO_INDEX(CAP_SYS_RESOURCE)].effective &= ~CAP_TO_MASK(CAP_SYS_RESOURCE);
	return syscall(SYS_capset, &header, data) < 0 ? -errno : 0;
}

static uint64_t meminfo_bytes(const char *text, const char *key)
{
	const char *kib = text_after(text, key);

	return kib ? strtoull(kib, NULL, 10) * 1024 : 0;
}

int oom_memory_update(struct oom_memory *memory)
{
	char text[8192] = "\n";
	ssize_t n = fd_read_file_at(AT_FDCWD, "/proc/meminfo", text + 1, sizeof(text) - 1);

	if (n < 0)
		return (int)n;
	memory->total_bytes = meminfo_bytes(text, "\nMemTotal:");
	memory->swap_bytes = meminfo_bytes(text, "\nSwapTotal:");
	memory->available_bytes =
		meminfo_bytes(text, "\nMemAvailable:") + meminfo_bytes(text, "\nSwapFree:");
	return memory->total_bytes > 0 ? 0 : -EBADMSG;
}

struct oom_memory *oom_memory_free(struct oom_memory *memory)
{
	if (!memory)
		return NULL;
	cgroup_mount_done(&memory->mount);
	free(memory);
	return NULL;
}

int oom_memory_new(struct oom_memory **ret_memory)
{
	struct oom_memory *memory = calloc(1, sizeof(*memory));

	if (!memory)
		return -ENOMEM;
	memory->mount = CGROUP_MOUNT_NONE;

	int r = cgroup_mount_find(CGROUP_MEMORY, &memory->mount);

	if (r == 0 || r == -ENODEV)
		r = oom_memory_update(memory);
	if (r < 0)
		oom_memory_free(memory);
	else
		*ret_memory = memory;
	return r;
}

/* The tightest so far. */
struct tightest {
	const struct oom_memory *memory;
	uint64_t headroom_bytes;
	uint64_t total_bytes;
};

/* The swap that a group may use on top of its limit (mm/memcontrol.c, mem_cgroup_get_max()). */
static uint64_t level_swap(const struct oom_memory *memory, int dir_fd, uint64_t limit)
{
	uint64_t swap;

	if (memory->mount.v2) {
		if (cgroup_level_read(dir_fd, "memory.swap.max", &swap) < 0)
			return 0;
	} else {
		if (cgroup_level_read(dir_fd, "memory.memsw.limit_in_bytes", &swap) < 0 ||
			swap < limit)
			return 0;
		swap -= limit;
	}
	return swap < memory->swap_bytes ? swap : memory->swap_bytes;
}

static void level_tighten(int dir_fd, void *userdata)
{
	static const struct cgroup_level_files files[] = {
		[false] = {"memory.limit_in_bytes", "memory.usage_in_bytes"},
		[true] = {"memory.max", "memory.current"},
	};
	struct tightest *tightest = userdata;
	const struct oom_memory *memory = tightest->memory;
	uint64_t limit = 0;
	uint64_t headroom = cgroup_level_headroom(dir_fd, &files[memory->mount.v2], &limit);

	if (headroom >= tightest->headroom_bytes || limit == 0)
		return;
	tightest->headroom_bytes = headroom;
	tightest->total_bytes = limit + level_swap(memory, dir_fd, limit);
}

uint64_t oom_memory_for(const struct oom_memory *memory, int proc_fd)
{
	struct tightest tightest = {
		.memory = memory,
		.headroom_bytes = memory->available_bytes,
		.total_bytes = memory->total_bytes + memory->swap_bytes,
	};

	/* Where its groups are not to be seen, the machine's memory is what is known. */
	if (memory->mount.dir_fd >= 0)
		(void)cgroup_level_each(&memory->mount, proc_fd, level_tighten, &tightest);
	return tightest.total_bytes;
}

int oom_score_points(uint64_t bytes, uint64_t total_bytes)
{
	uint64_t point = total_bytes / OOM_SCORE_ADJ_MAX;

	if (point == 0 || bytes / point >= OOM_SCORE_ADJ_MAX)
		return OOM_SCORE_ADJ_MAX;
	/* To the nearest: on a large machine a point is much, and small files must not get one. */
	return (int)((bytes + point / 2) / point);
}
