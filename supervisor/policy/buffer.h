/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* An array that grows while a policy is loaded; addressed by index, as growing moves it. */

#include <stddef.h>

struct buffer {
	void *data;
	size_t size, capacity; /* bytes */
};

/* Appends so many zeroed bytes. Returns their place, valid until the next growth, or NULL. */
void *buffer_grow(struct buffer *buffer, size_t bytes);

/* Frees the content and leaves an empty buffer. */
void buffer_done(struct buffer *buffer);

/* Count of elements, and the element at an index, of a buffer that holds only that type. */
#define buffer_count(buffer, type)     ((buffer)->size / sizeof(type))
#define buffer_at(buffer, type, index) ((type *)buffer_offset(buffer, (index) * sizeof(type)))

/* A buffer that nothing was added to has no data, and C knows no offset into that, not even 0. */
static inline void *buffer_offset(const struct buffer *buffer, size_t offset)
{
	return buffer->data ? (char *)buffer->data + offset : NULL;
}
