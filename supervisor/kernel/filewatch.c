/* SPDX-License-Identifier: Apache-2.0 */

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/fanotify.h>
#include <sys/inotify.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>

#include "base/file.h"
#include "base/fd.h"
#include "kernel/compat.h"
#include "kernel/filewatch.h"

/* Without CAP_SYS_ADMIN the two flags for no limits are refused (EPERM). */
static int fanotify_open(void)
{
	const unsigned flags = FAN_CLASS_NOTIF | FAN_REPORT_FID | FAN_CLOEXEC | FAN_NONBLOCK;
	const unsigned event_flags = O_RDONLY | O_CLOEXEC;
	int fd = fanotify_init(flags | FAN_UNLIMITED_QUEUE | FAN_UNLIMITED_MARKS, event_flags);

	if (fd < 0 && errno == EPERM)
		fd = fanotify_init(flags, event_flags);
	return fd;
}

int filewatch_init(struct filewatch *watch, enum filewatch_kind kind)
{
	*watch = (struct filewatch){
		.kind = kind,
		.fd = kind == FILEWATCH_INOTIFY ? inotify_init1(IN_CLOEXEC | IN_NONBLOCK)
						: fanotify_open(),
	};
	return watch->fd < 0 ? -errno : 0;
}

void filewatch_done(struct filewatch *watch)
{
	watch->fd = fd_close(watch->fd);
}

/* Of the calling thread: it may have left the descriptors of the first one (CLONE_FILES). */
static void proc_fd_path(char *buf, size_t size, const char *folder, int fd)
{
	snprintf(buf, size, "/proc/thread-self/%s/%d", folder, fd);
}

static int inotify_add(int inotify_fd, int fd, uint32_t *ret_wd)
{
	char path[48];
	int wd;

	proc_fd_path(path, sizeof(path), "fd", fd);
	wd = inotify_add_watch(inotify_fd, path, IN_DELETE_SELF);
	if (wd < 0)
		return -errno;
	*ret_wd = (uint32_t)wd;
	return 0;
}

int filewatch_add(struct filewatch *watch, int fd, uint32_t *ret_wd)
{
	if (watch->fd < 0)
		return -EBADF;
	if (watch->kind == FILEWATCH_INOTIFY)
		return inotify_add(watch->fd, fd, ret_wd);
	if (fanotify_mark(watch->fd, FAN_MARK_ADD | FAN_MARK_INODE, FAN_DELETE_SELF, fd, NULL) < 0)
		return -errno;
	*ret_wd = 0;
	return 0;
}

void filewatch_remove(struct filewatch *watch, int fd, uint32_t wd)
{
	/* What can fail here is that there is no such watch any more, which is as good. */
	if (watch->kind == FILEWATCH_INOTIFY)
		inotify_rm_watch(watch->fd, (int)wd);
	else
		fanotify_mark(
			watch->fd, FAN_MARK_REMOVE | FAN_MARK_INODE, FAN_DELETE_SELF, fd, NULL);
}

/* Takes the file's name from the record that follows an event: false when there is none. */
static bool event_name(const struct fanotify_event_metadata *event, struct filewatch_name *ret_name)
{
	const char *record = (const char *)event + event->metadata_len;
	struct fanotify_event_info_fid fid;
	struct file_handle handle;
	const size_t fixed = sizeof(fid) + sizeof(handle);

	if (event->event_len < event->metadata_len + fixed)
		return false;
	memcpy(&fid, record, sizeof(fid));
	memcpy(&handle, record + sizeof(fid), sizeof(handle));
	if (fid.hdr.info_type != FAN_EVENT_INFO_TYPE_FID || handle.handle_bytes > FILEID_MAX ||
		handle.handle_bytes > event->event_len - event->metadata_len - fixed)
		return false;
	*ret_name = (struct filewatch_name){
		.id = {.len = (uint8_t)handle.handle_bytes, .type = (uint8_t)handle.handle_type},
	};
	memcpy(&ret_name->fsid, &fid.fsid, sizeof(ret_name->fsid));
	memcpy(ret_name->id.bytes, record + fixed, handle.handle_bytes);
	return true;
}

static int fanotify_report(const char *buf, size_t len, filewatch_fn *fn, void *userdata)
{
	const struct fanotify_event_metadata *event = (const void *)buf;
	struct filewatch_name name;
	int r = 1;

	for (; FAN_EVENT_OK(event, (long)len); event = FAN_EVENT_NEXT(event, len)) {
		if (event->mask & FAN_Q_OVERFLOW)
			r = -EOVERFLOW;
		else if (event->mask & FAN_DELETE_SELF && event_name(event, &name))
			fn(&name, userdata);
	}
	return r;
}

/* A watch's end comes twice, as IN_DELETE_SELF and as IN_IGNORED: either may be the lost one. */
static int inotify_report(const char *buf, size_t len, filewatch_fn *fn, void *userdata)
{
	const struct inotify_event *event;
	int r = 1;

	for (size_t at = 0; at < len; at += sizeof(*event) + event->len) {
		event = (const void *)(buf + at);
		if (event->mask & IN_Q_OVERFLOW) {
			r = -EOVERFLOW;
		} else {
			struct filewatch_name name = {.wd = (uint32_t)event->wd};

			fn(&name, userdata);
		}
	}
	return r;
}

int filewatch_read(struct filewatch *watch, filewatch_fn *fn, void *userdata)
{
	_Alignas(struct fanotify_event_metadata) char buf[4096];
	ssize_t len;

	if (watch->fd < 0)
		return 0;
	len = read(watch->fd, buf, sizeof(buf));
	if (len < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	if (len == 0)
		return 0;
	return watch->kind == FILEWATCH_INOTIFY ? inotify_report(buf, (size_t)len, fn, userdata)
						: fanotify_report(buf, (size_t)len, fn, userdata);
}

/*
 * One line of fdinfo (fs/notify/fdinfo.c). A device stands there as the kernel has it inside, with
 * 20 bits for the minor number, which is not what stat(2) gives.
 */
static bool line_name(enum filewatch_kind kind, const char *line, struct filewatch_name *ret_name)
{
	uint64_t ino;
	uint32_t wd = 0, sdev;

	if (kind == FILEWATCH_INOTIFY) {
		if (sscanf(line, "inotify wd:%" SCNx32 " ino:%" SCNx64, &wd, &ino) != 2)
			return false;
		*ret_name = (struct filewatch_name){.wd = wd};
		return true;
	}
	if (sscanf(line, "fanotify ino:%" SCNx64 " sdev:%" SCNx32, &ino, &sdev) != 2)
		return false;
	*ret_name = (struct filewatch_name){
		.dev = makedev(sdev >> 20, sdev & 0xfffffU),
		.ino = ino,
	};
	return true;
}

int filewatch_list(struct filewatch *watch, filewatch_fn *fn, void *userdata)
{
	_cleanup_fclose_ FILE *file = NULL;
	_cleanup_free_ char *line = NULL;
	struct filewatch_name name;
	size_t size = 0;
	char path[48];

	proc_fd_path(path, sizeof(path), "fdinfo", watch->fd);
	file = fopen(path, "re");
	if (!file)
		return -errno;
	/* All lines come from one pass of the kernel under one lock, however often we read. */
	errno = 0;
	while (getline(&line, &size, file) >= 0)
		if (line_name(watch->kind, line, &name))
			fn(&name, userdata);
	/* A list that breaks off would make the rest look dead. */
	return feof(file) ? 0 : errno ? -errno : -EIO;
}

int filewatch_fsid(int fd, uint64_t *ret_fsid)
{
	struct statfs st;

	_Static_assert(sizeof(st.f_fsid) == sizeof(*ret_fsid), "an fsid has 64 bits");
	if (fstatfs(fd, &st) < 0)
		return -errno;
	memcpy(ret_fsid, &st.f_fsid, sizeof(*ret_fsid));
	return 0;
}
