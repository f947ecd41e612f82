/* SPDX-License-Identifier: Apache-2.0 */

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/fd.h"
#include "base/hash.h"
#include "kernel/cgroup.h"
#include "kernel/cgroup_mount.h"

/*
 * Groups are kept in a small set-associative cache, so that a tenant that makes group after group
 * costs a bounded count of descriptors, and no list has to be searched. Ancestors have entries of
 * their own, which all groups below them share.
 */
#define VIEW_SETS 16
#define VIEW_WAYS 4

#define PPM UINT64_C(1000000)

/* One group: its path below the mount's folder, and its open files. */
struct view_group {
	char *path; /* owned, not NUL-ended; NULL in an unused entry */
	size_t len;
	uint64_t hash;
	uint64_t used; /* the view's clock when it was used last */
	int limit_fd;
	int usage_fd; /* -1 until there is a limit to compare it with */
};

struct cgroup_view {
	struct cgroup_mount mount;
	uint64_t clock;
	struct view_group groups[VIEW_SETS][VIEW_WAYS];
};

static void group_forget(struct view_group *group)
{
	group->limit_fd = fd_close(group->limit_fd);
	group->usage_fd = fd_close(group->usage_fd);
	free(take_ptr(group->path));
	group->len = 0;
	group->used = 0;
}

struct cgroup_view *cgroup_view_free(struct cgroup_view *view)
{
	if (!view)
		return NULL;
	for (size_t set = 0; set < VIEW_SETS; set++)
		for (size_t way = 0; way < VIEW_WAYS; way++)
			group_forget(&view->groups[set][way]);
	cgroup_mount_done(&view->mount);
	free(view);
	return NULL;
}

int cgroup_view_new(struct cgroup_view **ret_view)
{
	struct cgroup_view *view = calloc(1, sizeof(*view));

	if (!view)
		return -ENOMEM;
	view->mount = CGROUP_MOUNT_NONE;
	for (size_t set = 0; set < VIEW_SETS; set++)
		for (size_t way = 0; way < VIEW_WAYS; way++)
			view->groups[set][way] =
				(struct view_group){.limit_fd = -1, .usage_fd = -1};

	int r = cgroup_mount_find(CGROUP_MEMORY, &view->mount);

	if (r < 0) {
		cgroup_view_free(view);
		return r;
	}
	*ret_view = view;
	return 0;
}

const char *cgroup_view_path(const struct cgroup_view *view, const char *text, size_t *ret_len)
{
	return cgroup_mount_text_path(&view->mount, text, ret_len);
}

static int group_open(
	const struct cgroup_view *view, const char *path, size_t len, const char *file)
{
	char name[PATH_MAX + 32];

	/* "" is the mount's folder itself. */
	snprintf(name, sizeof(name), "%.*s%s%s", (int)len, path, len > 0 ? "/" : "", file);

	int fd = openat(view->mount.dir_fd, name, O_RDONLY | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

/* Reads a number of bytes; "max" is CGROUP_UNLIMITED. */
static int value_read(int fd, uint64_t *ret_bytes)
{
	char text[32], *end;
	ssize_t n = pread(fd, text, sizeof(text) - 1, 0);

	if (n < 0)
		return -errno;
	text[n] = '\0';
	if (strcmp(text, "max\n") == 0) {
		*ret_bytes = CGROUP_UNLIMITED;
		return 0;
	}
	errno = 0;
	*ret_bytes = strtoumax(text, &end, 10);
	return errno == 0 && end != text && *end == '\n' ? 0 : -EBADMSG;
}

/* Lowers the headroom and raises the usage to this group's, if these are the tighter ones. */
static void memory_tighten(struct cgroup_memory *memory, uint64_t limit, uint64_t usage)
{
	uint64_t headroom = usage < limit ? limit - usage : 0;

	if (headroom < memory->headroom_bytes)
		memory->headroom_bytes = headroom;
	/* Keep the product below within 64 bits. */
	while (usage > UINT64_MAX / PPM) {
		usage >>= 1;
		limit >>= 1;
	}

	uint64_t ppm = limit > 0 ? usage * PPM / limit : UINT_MAX;

	if (ppm > UINT_MAX)
		ppm = UINT_MAX; /* a limit set far below what was in use already */
	if (ppm > memory->max_usage_ppm)
		memory->max_usage_ppm = (unsigned)ppm;
}

/* Both files are read anew each time: limits may change while a group lives, usage always does. */
static int group_measure(
	const struct cgroup_view *view, struct view_group *group, struct cgroup_memory *memory)
{
	bool v2 = view->mount.v2;
	uint64_t limit, usage;
	int r = value_read(group->limit_fd, &limit);

	if (r < 0)
		return r;
	if (limit >= (v2 ? CGROUP_UNLIMITED : CGROUP_LIMIT_NONE_V1))
		return 0;
	if (group->usage_fd < 0) {
		r = group_open(view, group->path, group->len,
			v2 ? "memory.current" : "memory.usage_in_bytes");
		if (r < 0)
			return r;
		group->usage_fd = r;
	}
	r = value_read(group->usage_fd, &usage);
	if (r < 0)
		return r;
	memory_tighten(memory, limit, usage);
	return 0;
}

/* The entry for a group, which may be one to be filled: then its path is NULL. */
static struct view_group *view_lookup(
	struct cgroup_view *view, const char *path, size_t len, uint64_t hash)
{
	struct view_group *set = view->groups[(hash ^ hash >> 32) % VIEW_SETS];
	struct view_group *oldest = &set[0];

	for (size_t way = 0; way < VIEW_WAYS; way++) {
		struct view_group *group = &set[way];

		if (group->path && group->hash == hash && group->len == len &&
			memcmp(group->path, path, len) == 0)
			return group;
		if (group->used < oldest->used)
			oldest = group;
	}
	group_forget(oldest);
	return oldest;
}

static int group_fill(const struct cgroup_view *view, struct view_group *group, const char *path,
	size_t len, uint64_t hash)
{
	int fd = group_open(
		view, path, len, view->mount.v2 ? "memory.max" : "memory.limit_in_bytes");

	if (fd < 0)
		return fd;
	group->path = malloc(len + 1);
	if (!group->path) {
		fd_close(fd);
		return -ENOMEM;
	}
	memcpy(group->path, path, len);
	group->len = len;
	group->hash = hash;
	group->limit_fd = fd;
	return 0;
}

/*
 * Measures one group; one that is not there, or shows no limit (on v2, where the controller is not
 * enabled so far down), changes nothing.
 */
static int view_measure_group(struct cgroup_view *view, const char *path, size_t len, uint64_t hash,
	struct cgroup_memory *memory)
{
	/*
	 * The files of a removed group say ENODEV for ever (fs/kernfs). There may be a new one at
	 * the path by now: so look again, once, as the tenant can go on like that for ever.
	 */
	for (int attempt = 0; attempt < 2; attempt++) {
		struct view_group *group = view_lookup(view, path, len, hash);
		int r = group->path ? 0 : group_fill(view, group, path, len, hash);

		if (r == 0) {
			group->used = ++view->clock;
			r = group_measure(view, group, memory);
			if (r == 0)
				return 0;
			group_forget(group);
		}
		if (r != -ENODEV && r != -ENOENT && r != -EACCES)
			return r;
	}
	return 0;
}

int cgroup_view_measure(
	struct cgroup_view *view, const char *path, size_t len, struct cgroup_memory *ret_memory)
{
	struct cgroup_memory memory = {.headroom_bytes = CGROUP_UNLIMITED};
	char below[PATH_MAX];
	int below_len = cgroup_mount_relative(&view->mount, path, len, below);

	if (below_len < 0)
		return below_len;

	uint64_t hash = HASH_INIT; /* of each prefix, in one pass */

	for (size_t i = 0;; i++) {
		bool end = i == (size_t)below_len;

		if ((end || i == 0 || below[i] == '/') && !(i == 0 && view->mount.is_root)) {
			int r = view_measure_group(view, below, i, hash, &memory);

			if (r < 0)
				return r;
		}
		if (end)
			break;
		hash = hash_byte(hash, (unsigned char)below[i]);
	}
	*ret_memory = memory;
	return 0;
}
