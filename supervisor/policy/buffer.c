/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/buffer.h"

#include <stdlib.h>
#include <string.h>

void *buffer_grow(struct buffer *buffer, size_t bytes)
{
	size_t capacity = buffer->capacity ? buffer->capacity : 256;
	void *room;

	while (capacity - buffer->size < bytes)
		capacity *= 2;
	if (capacity != buffer->capacity) {
		void *data = realloc(buffer->data, capacity);

		if (!data)
			return NULL;
		buffer->data = data;
		buffer->capacity = capacity;
	}
	room = (char *)buffer->data + buffer->size;
	buffer->size += bytes;
	return memset(room, 0, bytes);
}

void buffer_done(struct buffer *buffer)
{
	free(buffer->data);
	*buffer = (struct buffer){0};
}
