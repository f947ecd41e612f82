/* SPDX-License-Identifier: Apache-2.0 */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/ring.h"

/* The part of an event that is copied as it stands. */
#define EVENT_FIXED offsetof(struct event, name_known)

/* NAME_UNKNOWN stands for a length, and the largest real one is TRACEE_NAME_MAX + 1. */
#define NAME_UNKNOWN UINT16_MAX

struct record {
	uint32_t size; /* of all, a multiple of the alignment; PADDING: up to the ring's end */
	uint16_t name_len;
	uint8_t rule_len, tenant_len;
	char fixed[EVENT_FIXED];
	char text[]; /* name, rule, tenant */
};

#define RECORD_ALIGN   8
#define RECORD_PADDING UINT32_MAX
#define RECORD_MAX     (sizeof(struct record) + sizeof(struct event))

_Static_assert(TRACEE_NAME_MAX + 1 < NAME_UNKNOWN, "a name's length fits");
_Static_assert(POLICY_RULE_NAME_MAX <= 256 && EVENT_TENANT_MAX <= 256, "lengths fit in a byte");
_Static_assert(_Alignof(struct record) <= RECORD_ALIGN, "records are aligned");

int ring_init(struct ring *ring, size_t size)
{
	size_t rounded = 8 * RECORD_ALIGN;

	/* Padding wastes less than one record, so that an empty ring always has room for one. */
	while (rounded < size || rounded < 8 * RECORD_MAX)
		if (__builtin_mul_overflow(rounded, 2, &rounded))
			return -ENOMEM;
	*ring = (struct ring){.size = rounded};
	ring->bytes = malloc(rounded);
	return ring->bytes == NULL ? -ENOMEM : 0;
}

void ring_done(struct ring *ring)
{
	free(ring->bytes);
	ring->bytes = NULL;
}

static struct record *record_at(const struct ring *ring, uint64_t position)
{
	return (struct record *)(void *)(ring->bytes + (position & (ring->size - 1)));
}

/* True when size bytes are free from head on; asks for the shared tail only when it must. */
static bool has_room(struct ring *ring, uint64_t head, size_t size)
{
	if (head + size - ring->seen_tail <= ring->size)
		return true;
	ring->seen_tail = atomic_load_explicit(&ring->tail, memory_order_acquire);
	return head + size - ring->seen_tail <= ring->size;
}

/* Finds contiguous room: what is left before the ring's end is skipped when it does not do. */
static bool reserve(struct ring *ring, size_t size, uint64_t *ret_start)
{
	uint64_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);
	size_t to_end = ring->size - (size_t)(head & (ring->size - 1));

	if (to_end >= size) {
		*ret_start = head;
		return has_room(ring, head, size);
	}
	if (!has_room(ring, head, to_end + size))
		return false;
	record_at(ring, head)->size = RECORD_PADDING;
	*ret_start = head + to_end;
	return true;
}

bool ring_put(struct ring *ring, const struct event *event)
{
	size_t name = event->name_known ? event->name.len : 0;
	size_t rule = strnlen(event->rule, sizeof(event->rule) - 1);
	size_t tenant = strnlen(event->tenant, sizeof(event->tenant) - 1);
	size_t size = offsetof(struct record, text) + name + rule + tenant;
	struct record *record;
	uint64_t start;

	size = (size + RECORD_ALIGN - 1) & ~(size_t)(RECORD_ALIGN - 1);
	if (!reserve(ring, size, &start))
		return false;
	record = record_at(ring, start);
	record->size = (uint32_t)size;
	record->name_len = event->name_known ? (uint16_t)name : NAME_UNKNOWN;
	record->rule_len = (uint8_t)rule;
	record->tenant_len = (uint8_t)tenant;
	memcpy(record->fixed, event, EVENT_FIXED);
	memcpy(record->text, event->name.bytes, name);
	memcpy(record->text + name, event->rule, rule);
	memcpy(record->text + name + rule, event->tenant, tenant);
	/* seq_cst and not just release: see the sleep of the writer in core/audit.c. */
	atomic_store(&ring->head, start + size);
	return true;
}

bool ring_is_half_full(struct ring *ring)
{
	uint64_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);

	if (head - ring->seen_tail <= ring->size / 2)
		return false;
	ring->seen_tail = atomic_load_explicit(&ring->tail, memory_order_acquire);
	return head - ring->seen_tail > ring->size / 2;
}

uint64_t ring_head(const struct ring *ring)
{
	return atomic_load(&ring->head);
}

uint64_t ring_read(const struct ring *ring, uint64_t position, struct event *ret_event)
{
	const struct record *record = record_at(ring, position);
	size_t name;

	if (record->size == RECORD_PADDING) {
		position = (position | (ring->size - 1)) + 1;
		record = record_at(ring, position);
	}
	name = record->name_len == NAME_UNKNOWN ? 0 : record->name_len;
	memcpy(ret_event, record->fixed, EVENT_FIXED);
	ret_event->name_known = record->name_len != NAME_UNKNOWN;
	ret_event->name.len = name;
	memcpy(ret_event->name.bytes, record->text, name);
	ret_event->name.bytes[name] = '\0';
	memcpy(ret_event->rule, record->text + name, record->rule_len);
	ret_event->rule[record->rule_len] = '\0';
	memcpy(ret_event->tenant, record->text + name + record->rule_len, record->tenant_len);
	ret_event->tenant[record->tenant_len] = '\0';
	return position + record->size;
}

void ring_release(struct ring *ring, uint64_t position)
{
	atomic_store_explicit(&ring->tail, position, memory_order_release);
}
