/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The files of tenants that take memory, as holders_find() wants them. */

#include "core/ledger.h"
#include "kernel/holders.h"

/* Zeroed at first; for held_done(). */
struct held {
	struct holder_file *files; /* owned */
	size_t count;
};

/*
 * Adds the tenant's files in memfds and on its tmpfs, which is all that counts for QUOTA_RESIDENT.
 * Where the ledger cannot measure, nobody knows yet what they take. Returns 0 or -ENOMEM.
 */
int held_add(struct held *held, struct ledger *ledger, struct tenant *tenant);

void held_done(struct held *held);
