/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Makes processes answer to the OOM killer for the memory that they hold and have not mapped, which
 * the kernel counts for nobody: their oom_score_adj is raised by the share of memory that it is,
 * and lowered again when it is gone.
 */

#include <stddef.h>
#include <sys/types.h>

#include "kernel/holders.h"

/* Whose score was raised, and from what. Belongs to one thread. */
struct oom;

/* For processes below root; 0: any. Returns 0 or -errno. */
int oom_new(pid_t root, struct oom **ret_oom);

/*
 * Looks for the holders of the files (borrowed), and brings all scores up to date: those of holders
 * to what they had of themselves plus what they hold, those of others back to what they had. What
 * somebody else writes meanwhile is from then on what the process has of itself. A child born with
 * a raised score gets what its parent had of itself. A process with OOM_SCORE_ADJ_MIN, which is
 * never killed, is left alone, and no score is ever made lower than it was.
 *
 * As slow as holders_find(). To be called without CAP_SYS_RESOURCE in effect (kernel/oom_score.h).
 * Returns 0, 1 when a holder's score must not be changed by us, or -errno.
 */
int oom_attribute(struct oom *oom, const struct holder_file *files, size_t count);

/* Gives all processes back the scores that they had. Takes NULL, returns NULL. */
struct oom *oom_free(struct oom *oom);
