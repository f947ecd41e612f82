/* SPDX-License-Identifier: Apache-2.0 */

#include <fcntl.h>
#include <string.h>

#include "base/fd.h"
#include "kernel/fileid.h"

/* struct file_handle (open_by_handle_at(2)) with room for its flexible array. */
union handle {
	struct file_handle header;
	char room[sizeof(struct file_handle) + FILEID_MAX];
};

int fileid_get(int fd, struct fileid *ret_id)
{
	union handle handle = {.header.handle_bytes = FILEID_MAX};
	struct fileid id = {.len = 0};
	int mount_id;

	if (name_to_handle_at(fd, "", &handle.header, &mount_id, AT_EMPTY_PATH) < 0)
		return -errno;
	/* Types have one byte (include/linux/exportfs.h); a kernel with wider ones is not ours. */
	if (handle.header.handle_type < 0 || handle.header.handle_type > UINT8_MAX)
		return -EOVERFLOW;
	id.len = (uint8_t)handle.header.handle_bytes;
	id.type = (uint8_t)handle.header.handle_type;
	memcpy(id.bytes, handle.header.f_handle, id.len);
	*ret_id = id;
	return 0;
}

int fileid_stat(int mount_fd, const struct fileid *id, struct stat *ret_st)
{
	union handle handle = {
		.header = {.handle_bytes = id->len, .handle_type = id->type},
	};

	memcpy(handle.header.f_handle, id->bytes, id->len);

	/* O_PATH: nothing is asked of the file itself, no permission, no lease, no event. */
	_cleanup_close_ int fd = open_by_handle_at(mount_fd, &handle.header, O_PATH | O_CLOEXEC);

	if (fd < 0 || fstat(fd, ret_st) < 0)
		return -errno;
	return 0;
}
