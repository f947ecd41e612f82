/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Errands: resizes of files of which nobody knows how long they take, each in a thread of its own
 * that answers the call itself and may outlive its session. Part of core/resize.
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* Counts the errands of one session. */
struct errands;

/* Returns 0 or -ENOMEM. */
int errands_new(struct errands **ret_errands);
/* Takes NULL, returns NULL. Errands under way go on. */
struct errands *errands_free(struct errands *errands);

/*
 * Errands above RESIZE_ERRANDS, for copies that turn out to be of another file than was looked at
 * before: whoever exchanges descriptors must not make us close what a tenant serves.
 */
#define ERRANDS_SPARE 16

/* How many can be started now, the spare ones included. Only the session's thread starts any. */
unsigned errands_room(const struct errands *errands);

/* One ftruncate(2). */
struct errand {
	int listener; /* borrowed, duplicated */
	bool wait_killable;
	bool leave; /* only close the file, and leave the call to the kernel */
	uint64_t id;
	pid_t tid;
	int64_t length;
	uid_t fsuid; /* whom the file system is to take for the caller */
	gid_t fsgid;
};

/*
 * Starts one. Takes *file, which the thread closes before it answers, and leaves -1. Returns 0, or
 * -EAGAIN when there are too many, or -errno: then nothing has begun and the file is the caller's.
 */
int errand_start(struct errands *errands, const struct errand *errand, int *file);
