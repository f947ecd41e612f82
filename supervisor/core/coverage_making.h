/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Which kinds of file can come into being under a policy. */

#include <stdbool.h>

#include "policy/policy.h"

struct making {
	bool allowed;         /* by the kernel itself */
	bool allowed_by_name; /* after a look at the name */
	bool memfd;           /* in the kernel's own memory, as what can be sealed has to be */
	bool tmpfs;           /* on the tenant's own tmpfs */
	bool disk;            /* in the spill directory */
	bool huge;
	bool executable; /* execve(2) takes it */
	bool mappable;   /* mmap(PROT_EXEC) does */
};

/*
 * Looks at every set of flags that a call can have, and at all decisions that the policy has for
 * it. tmpfs: files of `backing: auto` go to a tmpfs where they can.
 */
void making_find(const struct policy *policy, bool tmpfs, struct making *ret_making);
