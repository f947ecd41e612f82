/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Questions about processes that the kernel may answer as late as those like, or never. Most of
 * what /proc says of one, and kcmp(2), waits while it executes a program (exec_update_lock): its
 * descriptors are closed meanwhile, and a file system that the tenant serves itself (FUSE) need not
 * answer to that. Before Linux 6.17 "maps" waits for the lock of its mappings as well.
 *
 * A thread with a lookout has them asked by another one, which is left behind when it does not come
 * back: that ends when the kernel lets it go, or with us. Until then nothing more is asked of the
 * same process.
 */

#include <sys/types.h>

/* Gives the calling thread a lookout, and takes it away again. Returns 0 or -ENOMEM. */
int lookout_start(void);
void lookout_end(void);

/* Most answers take microseconds. */
#define LOOKOUT_SOON_MS 100

/*
 * Runs ask(question) in another thread, or in this one when it has no lookout. Returns 0, or -EBUSY
 * when there is no answer from this process in so many milliseconds; then the question is the other
 * thread's, which gives it to drop() some time, and else it is the caller's still.
 */
typedef void lookout_fn(void *question);
int lookout_ask(pid_t pid, unsigned patience_ms, lookout_fn *ask, lookout_fn *drop, void *question);
