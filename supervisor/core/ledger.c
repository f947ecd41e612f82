/* SPDX-License-Identifier: Apache-2.0 */

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/fd.h"
#include "base/macro.h"
#include "base/memfd.h"
#include "core/ledger_private.h"
#include "kernel/tmpfs.h"

/* ---- Sums ---- */

void sums_add(struct sums *sums, const struct amounts *amounts)
{
	for (int i = 0; i < USE_COUNT; i++)
		sums->high[i] +=
			__builtin_add_overflow(sums->low[i], amounts->of[i], &sums->low[i]);
}

void sums_subtract(struct sums *sums, const struct amounts *amounts)
{
	for (int i = 0; i < USE_COUNT; i++)
		sums->high[i] -=
			__builtin_sub_overflow(sums->low[i], amounts->of[i], &sums->low[i]);
}

uint64_t sums_get(const struct sums *sums, enum use use)
{
	return sums->high[use] ? UINT64_MAX : sums->low[use];
}

/* ---- The lock ---- */

void ledger_lock(struct ledger *ledger)
{
	pthread_mutex_lock(&ledger->gate);
	pthread_mutex_lock(&ledger->lock);
	pthread_mutex_unlock(&ledger->gate);
}

static const char *notice_text(enum notice notice)
{
	switch (notice) {
	case NOTICE_HANDLES:
		return "open_by_handle_at(2) is not permitted (it takes CAP_DAC_READ_SEARCH in the "
		       "initial user namespace): memory is counted by the sizes seen at resize";
	case NOTICE_WATCHES:
		return "no more files can be watched (fs.inotify.max_user_watches, "
		       "fs.fanotify.max_user_marks): ends of files are looked for instead";
	case NOTICE_TMPFS:
		return "no tmpfs can be mounted (it takes CAP_SYS_ADMIN or a user namespace): "
		       "files are memfds, whose memory is measured instead of limited";
	case NOTICE_SECRET:
		return "the end of files of memfd_secret(2) cannot be seen: they count until "
		       "their tenant ends";
	case NOTICE_SPILL:
		return "files in the spill directory cannot be measured: they count by the sizes "
		       "seen at resize";
	}
	return "";
}

void ledger_note(struct ledger *ledger, enum notice notice)
{
	ledger->to_say |= notice & ~ledger->said;
	ledger->said |= notice;
}

/* Nobody has a reference, an entry or anything in flight of it. */
static struct tenant *tenant_free(struct tenant *tenant)
{
	tmpfs_free(tenant->tmpfs);
	pthread_mutex_destroy(&tenant->tmpfs_lock);
	free(tenant);
	return NULL;
}

void ledger_unlock(struct ledger *ledger)
{
	struct tenant *dead = take_ptr(ledger->dead);
	unsigned say = ledger->to_say;

	ledger->to_say = 0;
	pthread_mutex_unlock(&ledger->lock);
	while (dead) {
		struct tenant *next = dead->next;

		tenant_free(dead);
		dead = next;
	}
	for (unsigned notice = 1; say; notice <<= 1) {
		if (say & notice && ledger->on_notice)
			ledger->on_notice(notice_text(notice), ledger->userdata);
		say &= ~notice;
	}
}

void ledger_breathe(struct ledger *ledger)
{
	ledger_unlock(ledger);
	ledger_lock(ledger);
}

/* ---- What this machine can do ---- */

/* A memfd of our own: what memfds are on, and a way into there for open_by_handle_at(2). */
static int memfd_probe(struct ledger *ledger)
{
	struct fileid id;
	struct stat st;
	int fd = memfd_create("fdwarden", MFD_CLOEXEC);
	int r;

	if (fd < 0)
		return -errno;
	ledger->mounts[MOUNT_MEMFD] = fd;
	if (fstat(fd, &st) < 0)
		return -errno;
	ledger->memfd_dev = st.st_dev;
	r = filewatch_fsid(fd, &ledger->memfd_fsid);
	if (r < 0)
		return r;
	ledger->can_measure = fileid_get(fd, &id) == 0 && fileid_stat(fd, &id, &st) == 0;
	return memdev_find(&ledger->devs);
}

struct filewatch *ledger_watch(struct ledger *ledger, enum filewatch_kind kind)
{
	struct filewatch *watch = &ledger->watches[kind];
	int r;

	if (watch->fd >= 0)
		return watch;
	if (ledger->unavailable & 1U << kind)
		return NULL;
	r = filewatch_init(watch, kind);
	/* These are the kernel's, or a container's, last word; a lack of descriptors is not. */
	if (r == -ENOSYS || r == -EPERM || r == -EINVAL)
		ledger->unavailable |= 1U << kind;
	return r == 0 ? watch : NULL;
}

/* ---- Quotas ---- */

/*
 * The place of a directory (taken) among the mounts. Another one on the same file system does for
 * its files as well. Files in an earlier one go on being measured through that.
 */
static uint8_t mount_place(struct ledger *ledger, int directory)
{
	_cleanup_close_ int fd = directory;
	struct stat st, other;

	if (fd < 0 || fstat(fd, &st) < 0)
		return MOUNT_NONE;
	for (uint8_t i = MOUNT_SPILL; i < MOUNT_MAX; i++) {
		if (ledger->mounts[i] < 0) {
			ledger->mounts[i] = take_fd(&fd);
			return i;
		}
		if (fstat(ledger->mounts[i], &other) == 0 && other.st_dev == st.st_dev)
			return i;
	}
	return MOUNT_NONE;
}

/* Without the lock: a disk may take its time. -1 where there is nothing to measure. */
static int spill_open(const struct ledger *ledger, const struct policy_quotas *quotas)
{
	if (!quotas->spill_directory || !ledger->can_measure)
		return -1;
	return open(quotas->spill_directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static void quotas_set(
	struct ledger *ledger, const struct policy_quotas *quotas, int spill_directory)
{
	ledger->quotas = *quotas;
	ledger->spill_mount = mount_place(ledger, spill_directory);
	/* The policy may be gone before us. */
	ledger->quotas.spill_directory = NULL;
}

static void fit_tmpfs(struct tenant *tenant, void *userdata)
{
	(void)userdata;
	tenant_fit_tmpfs(tenant);
}

void ledger_set_quotas(struct ledger *ledger, const struct policy_quotas *quotas)
{
	int spill_directory = spill_open(ledger, quotas);

	ledger_lock(ledger);
	/* What came in so far came in by the old rate. */
	for (uint32_t i = 0; i < ledger->tenant_max; i++)
		if (ledger->tenants[i])
			tenant_change_rate(ledger->tenants[i], quotas);
	quotas_set(ledger, quotas, spill_directory);
	ledger_unlock(ledger);
	ledger_each_tenant(ledger, fit_tmpfs, NULL);
}

/* ---- Life ---- */

static void ledger_start(struct ledger *ledger, const struct ledger_config *config)
{
	pthread_mutex_init(&ledger->gate, NULL);
	pthread_mutex_init(&ledger->lock, NULL);
	ledger->on_notice = config->on_notice;
	ledger->userdata = config->userdata;
	for (int i = 0; i < MOUNT_MAX; i++)
		ledger->mounts[i] = -1;
	for (unsigned i = 0; i < ARRAY_SIZE(ledger->watches); i++)
		ledger->watches[i].fd = -1;
}

int ledger_new(const struct ledger_config *config, struct ledger **ret_ledger)
{
	struct ledger *ledger = calloc(1, sizeof(*ledger));
	int r;

	if (!ledger)
		return -ENOMEM;
	ledger_start(ledger, config);
	r = table_init(&ledger->table);
	if (r == 0)
		r = memfd_probe(ledger);
	if (r < 0) {
		ledger_free(ledger);
		return r;
	}
	quotas_set(ledger, config->quotas, spill_open(ledger, config->quotas));
	*ret_ledger = ledger;
	return 0;
}

struct ledger *ledger_free(struct ledger *ledger)
{
	if (!ledger)
		return NULL;
	for (uint32_t i = 0; i < ledger->tenant_max; i++)
		if (ledger->tenants[i])
			tenant_free(ledger->tenants[i]);
	free(ledger->tenants);
	table_done(&ledger->table);
	for (unsigned i = 0; i < ARRAY_SIZE(ledger->watches); i++)
		filewatch_done(&ledger->watches[i]);
	for (int i = 0; i < MOUNT_MAX; i++)
		fd_close(ledger->mounts[i]);
	pthread_mutex_destroy(&ledger->gate);
	pthread_mutex_destroy(&ledger->lock);
	free(ledger);
	return NULL;
}

/* ---- Questions ---- */

bool ledger_can_measure(const struct ledger *ledger)
{
	return ledger->can_measure;
}

bool ledger_is_empty(struct ledger *ledger)
{
	bool empty;

	ledger_lock(ledger);
	if (ledger->table.count > 0)
		deaths_read(ledger);
	empty = ledger->table.count == 0;
	ledger_unlock(ledger);
	return empty;
}

bool ledger_is_memfile(struct ledger *ledger, const struct stat *st)
{
	bool known;

	if (!S_ISREG(st->st_mode))
		return false;
	if (memdev_kind(&ledger->devs, st->st_dev) != MEMDEV_OTHER)
		return true;
	ledger_lock(ledger);
	known = entry_find(ledger, st->st_dev, st->st_ino) != 0;
	ledger_unlock(ledger);
	return known;
}
