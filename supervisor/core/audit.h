/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Carries events from the thread that answers calls to a descriptor, through a ring of fixed size
 * and a writer thread, so that a slow or full reader never holds up a tenant. What is not written
 * is counted, and a line in the stream says how many were dropped.
 *
 * Each write(2) holds whole lines and at most PIPE_BUF bytes, so lines stay whole when others write
 * to the same pipe. The descriptor's flags are left alone: its open file may be shared.
 */

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "core/event.h"

enum audit_format {
	AUDIT_JSON,   /* fdwarden's own schema, fdwarden-events(5) */
	AUDIT_TRACEE, /* the shape of Tracee's memfd_create event */
};

/* About 2,000 events of usual size: what the busiest tenant does in 10 ms. */
#define AUDIT_RING_BYTES ((size_t)256 * 1024)

struct audit_config {
	int fd; /* where lines go: owned by the audit once audit_new() succeeds; -1: no stream */
	enum audit_format format;
	bool summary;      /* keep counts for audit_print_summary() */
	size_t ring_bytes; /* 0: AUDIT_RING_BYTES; rounded up to a power of two */
};

struct audit;

/*
 * Starts the writer thread, which keeps the privileges that the caller has now: drop them first.
 * Returns 0 or -errno; on failure config->fd is still the caller's.
 */
int audit_new(const struct audit_config *config, struct audit **ret_audit);

/* Hands over a copy of the event. One thread at a time; never blocks, never allocates. */
void audit_record(struct audit *audit, const struct event *event);

/*
 * Waits until the writer has written what it was given, at most timeout_ms, and stops it; events
 * that are left are counted as dropped. Returns in time even when a write(2) never returns: its
 * thread is then left behind, and touches nothing but what it still owns (core/audit.c). Call it
 * once, after the last audit_record().
 */
void audit_finish(struct audit *audit, unsigned timeout_ms);

/*
 * Prints the table of names and decisions: count, denied (refused with an errno, or killed), p50
 * and p99 of the latency; and what was dropped. After audit_finish(), which need not have had time
 * to write everything: what the stream dropped is still counted here. Only events that found the
 * ring full are missing, and then the table says how many. Names are escaped for terminals; colour
 * only when asked.
 */
void audit_print_summary(const struct audit *audit, FILE *out, bool colour);

/* Events that were not written, so far. Any thread. */
uint64_t audit_dropped(const struct audit *audit);

/* Takes NULL, returns NULL. After audit_finish(). */
struct audit *audit_free(struct audit *audit);
