/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Watches for the end of files that have no name: the moment when the last reference, be it a
 * descriptor, a mapping or a message in a socket, is gone. A watch keeps no file alive and no page.
 *
 * The kernel says that an inode with link count zero is gone by FAN_DELETE_SELF (fanotify(7)) and
 * IN_DELETE_SELF (inotify(7)). A mark of fanotify is made by descriptor and costs 2 us where a
 * watch of inotify, which must walk through /proc, costs 7.
 *
 * Not for files of memfd_secret(2): their link count is one, so their end is never reported, and a
 * watch holds their inode for good. A mark that goes with the inode (FAN_MARK_EVICTABLE) would show
 * in fdinfo whether they are there, but to read that while the last reference goes locks reader and
 * owner up for ever: fanotify_fdinfo() in fs/notify/fdinfo.c puts the inode with the group locked
 * (seen on Linux 6.18).
 */

#include <stdbool.h>
#include <stdint.h>

#include "kernel/fileid.h"

enum filewatch_kind {
	/*
	 * Linux 5.13, no privilege; with CAP_SYS_ADMIN in the initial user namespace without a
	 * limit. For tmpfs and memfds: the report must name the file as fileid_get() does.
	 */
	FILEWATCH_FANOTIFY,
	FILEWATCH_INOTIFY, /* any file; at most fs.inotify.max_user_watches */
};

struct filewatch {
	enum filewatch_kind kind;
	int fd; /* owned; -1: none */
};

/* How the kernel names a watched file. */
struct filewatch_name {
	uint32_t wd; /* of inotify, unique for ever; 0: by the rest */
	/* In reports of FILEWATCH_FANOTIFY: f_fsid of statfs(2), and the fileid. */
	uint64_t fsid;
	struct fileid id;
	/* In lists of FILEWATCH_FANOTIFY. */
	uint64_t dev, ino;
};

typedef void filewatch_fn(const struct filewatch_name *name, void *userdata);

/* Returns 0 or -errno. On failure the watch is closed, and filewatch_done() is not needed. */
int filewatch_init(struct filewatch *watch, enum filewatch_kind kind);
void filewatch_done(struct filewatch *watch);

/*
 * Watches the file behind fd (borrowed), which is alive. Stores what inotify calls it, 0 with
 * fanotify. To watch a file twice is to watch it once. Returns 0 or -errno; -ENOSPC at the limit.
 */
int filewatch_add(struct filewatch *watch, int fd, uint32_t *ret_wd);

/* Forgets the file behind fd, which was added under that wd. */
void filewatch_remove(struct filewatch *watch, int fd, uint32_t wd);

/*
 * Reads some of the reports that wait, and calls fn for each file that is gone; it may be one that
 * the caller has forgotten, or was told of. Returns 1 when there may be more, 0 when there were
 * none, -EOVERFLOW when the kernel has lost some, or another -errno. No allocation.
 */
int filewatch_read(struct filewatch *watch, filewatch_fn *fn, void *userdata);

/*
 * Calls fn for each file that is watched and not gone, as of one moment in this call: the way back
 * after -EOVERFLOW. Reads /proc/thread-self/fdinfo. Returns 0 or -errno.
 */
int filewatch_list(struct filewatch *watch, filewatch_fn *fn, void *userdata);

/* f_fsid of the file system of fd, as in reports. Returns 0 or -errno. */
int filewatch_fsid(int fd, uint64_t *ret_fsid);
