/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Carries events from the thread that answers calls to a descriptor, through a ring of fixed size
 * and a writer thread, so that a slow or full reader never holds up a tenant. What does not fit in
 * the ring is counted, and a line in the stream says how many were dropped.
 */

#include <stdint.h>
#include <stdio.h>

#include "core/event.h"

enum audit_format {
	AUDIT_JSON,   /* fdwarden's own schema, fdwarden(1) */
	AUDIT_TRACEE, /* the shape of Tracee's memfd_create event */
};

struct audit_config {
	int fd; /* where lines go: owned by the audit from audit_new() on; -1: no stream */
	enum audit_format format;
	bool summary; /* keep counts for audit_print_summary() */
};

struct audit;

/* Starts the writer thread. Returns 0 or -errno. */
int audit_new(const struct audit_config *config, struct audit **ret_audit);

/* Hands over a copy of the event. One thread at a time; never blocks, never allocates. */
void audit_record(struct audit *audit, const struct event *event);

/*
 * Waits until the writer has written what it was given, at most timeout_ms, and stops it; events
 * that are left are counted as dropped. Call it once, after the last audit_record().
 */
void audit_finish(struct audit *audit, unsigned timeout_ms);

/*
 * Prints the table of names and decisions: count, denied, p50 and p99 of the latency; and what was
 * dropped. After audit_finish(). Names are escaped for terminals; colour only when asked.
 */
void audit_print_summary(const struct audit *audit, FILE *out, bool colour);

/* Events that were not written, so far. */
uint64_t audit_dropped(const struct audit *audit);

/* Takes NULL, returns NULL. After audit_finish(). */
struct audit *audit_free(struct audit *audit);
