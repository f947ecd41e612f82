/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Stops all processes of a cgroup where they are: freezer.state on v1, cgroup.freeze on v2. */

#include <stdbool.h>

/* A group that was frozen. */
struct freezer;

/*
 * Freezes the group that a process is in, with all that are below it; proc_fd is of the process's
 * folder in /proc. The kernel stops each process as soon as it can, which is not waited for. Of the
 * two trees of a hybrid machine, v1 is tried first. Returns 0, or -errno: -EBUSY when we, our
 * parent or process 1 are in that group, which are not to be stopped, -EALREADY when somebody else
 * has frozen it, -ENODEV when no such group is visible, -EACCES, -EPERM or -EROFS without the right
 * to.
 *
 * On v1, a process in a frozen group does not die of SIGKILL before it is thawed.
 */
int freezer_freeze(int proc_fd, struct freezer **ret_freezer);

/* Whether it is frozen still; false too once the group is gone. */
bool freezer_is_frozen(const struct freezer *freezer);

/* Thaws the group. Takes NULL, returns NULL. */
struct freezer *freezer_thaw(struct freezer *freezer);
