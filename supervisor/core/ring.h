/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * A ring of events: one thread puts, another takes, neither waits for the other. Records have the
 * size of what they hold, so a usual event takes about 130 bytes of the 500 of struct event.
 *
 * Positions count bytes since the beginning and never wrap (2^64 bytes take centuries).
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/event.h"

#define RING_CACHE_LINE 64

struct ring {
	char *bytes;
	size_t size; /* a power of two */
	/* The putting thread's line: where it puts, and the tail it saw last. */
	_Alignas(RING_CACHE_LINE) _Atomic uint64_t head;
	uint64_t seen_tail;
	/* The taking thread's line: all before it may be overwritten. */
	_Alignas(RING_CACHE_LINE) _Atomic uint64_t tail;
};

/* Room for at least size bytes and for a few of the largest events. Returns 0 or -ENOMEM. */
int ring_init(struct ring *ring, size_t size);
void ring_done(struct ring *ring);

/*
 * Copies the event in. Returns false when there is no room. What it publishes is ordered (seq_cst)
 * before anything atomic that the caller looks at next.
 */
bool ring_put(struct ring *ring, const struct event *event);

/* True when more than half is in use; for the putting thread. */
bool ring_is_half_full(struct ring *ring);

/* Where records end now; for the taking thread. What lies before it can be read. */
uint64_t ring_head(const struct ring *ring);

/*
 * Reads the record at the position, which is below the head, into *ret_event. Returns the position
 * of the next one.
 */
uint64_t ring_read(const struct ring *ring, uint64_t position, struct event *ret_event);

/* Gives back the room of all records below the position. */
void ring_release(struct ring *ring, uint64_t position);
