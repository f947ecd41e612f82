/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Watches for the end of files that have no name: the moment when the last reference, be it a
 * descriptor, a mapping or a message in a socket, is gone. A watch keeps no file alive and no page.
 *
 * The kernel says that an inode with link count zero is gone by FAN_DELETE_SELF (fanotify(7)) and
 * IN_DELETE_SELF (inotify(7)). A mark of fanotify is made by descriptor and costs 2 us where a
 * watch of inotify, which must walk through /proc, costs 7.
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
	/*
	 * Files of memfd_secret(2), on Linux 6.8 and later. Their link count is one, so their end
	 * is never reported, and a usual watch would hold their inode for good. This one goes with
	 * the inode (FAN_MARK_EVICTABLE): filewatch_list() says which are still there.
	 */
	FILEWATCH_EVICTABLE,
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
	/* In lists of FILEWATCH_FANOTIFY and FILEWATCH_EVICTABLE. */
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
