/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * A FUSE file system with one file, served by whoever calls fuse_serve(), who decides what becomes
 * of each request. After live.h. As root, in a mount namespace of its own.
 */

#include <linux/fuse.h>
#include <stdint.h>
#include <sys/mount.h>
#include <sys/stat.h>

#define FUSE_FILE "file"

enum fuse_manner {
	FUSE_ANSWER,     /* do what was asked */
	FUSE_SAY_NOTHING /* never answer this one */
};

/* Asked before each request is answered. */
typedef enum fuse_manner fuse_decide_fn(uint32_t opcode, void *userdata);

/* Mounts it on directory. Returns the server's descriptor. */
static inline int fuse_mount(const char *directory)
{
	char options[96];
	int fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	snprintf(options, sizeof(options), "fd=%d,rootmode=40000,user_id=%u,group_id=%u", fd,
		geteuid(), getegid());
	if (mount("test", directory, "fuse", MS_NOSUID | MS_NODEV, options) < 0) {
		int r = -errno;

		close(fd);
		return r;
	}
	return fd;
}

static inline void fuse_reply(
	int fd, uint64_t unique, int error, const void *payload, size_t payload_size)
{
	char reply[512] = {0};
	struct fuse_out_header header = {.len = (uint32_t)(sizeof(header) + payload_size),
		.error = -error,
		.unique = unique};

	memcpy(reply, &header, sizeof(header));
	if (payload_size)
		memcpy(reply + sizeof(header), payload, payload_size);
	/* A request that was given up meanwhile is no longer known. */
	live_check(write(fd, reply, header.len) == (ssize_t)header.len || errno == ENOENT);
}

static inline struct fuse_attr fuse_attr_of(uint64_t node, uint64_t size)
{
	return (struct fuse_attr){
		.ino = node, .size = size, .nlink = 1, .mode = node == 1 ? 0040755 : 0100600};
}

/* The size is all that the file has. */
static inline void fuse_answer(int fd, const struct fuse_in_header *in, uint64_t *size)
{
	/* No attribute is remembered: each look at one is a request. */
	struct fuse_attr_out attr = {.attr = fuse_attr_of(in->nodeid, *size)};
	struct fuse_entry_out entry = {.nodeid = 2, .attr = fuse_attr_of(2, *size)};
	struct fuse_init_out init = {.major = FUSE_KERNEL_VERSION, .minor = 31, .max_write = 4096};
	struct fuse_open_out open_out = {.fh = 1};

	switch (in->opcode) {
	case FUSE_INIT:
		fuse_reply(fd, in->unique, 0, &init, sizeof(init));
		return;
	case FUSE_LOOKUP:
		fuse_reply(fd, in->unique, 0, &entry, sizeof(entry));
		return;
	case FUSE_SETATTR:
		*size = ((const struct fuse_setattr_in *)(in + 1))->size;
		attr.attr.size = *size;
		fuse_reply(fd, in->unique, 0, &attr, sizeof(attr));
		return;
	case FUSE_GETATTR:
		fuse_reply(fd, in->unique, 0, &attr, sizeof(attr));
		return;
	case FUSE_OPEN:
		fuse_reply(fd, in->unique, 0, &open_out, sizeof(open_out));
		return;
	case FUSE_FLUSH:
	case FUSE_RELEASE:
	case FUSE_ACCESS:
		fuse_reply(fd, in->unique, 0, NULL, 0);
		return;
	case FUSE_FORGET:
	case FUSE_BATCH_FORGET:
	case FUSE_INTERRUPT:
	case FUSE_DESTROY:
		return;
	default:
		fuse_reply(fd, in->unique, ENOSYS, NULL, 0);
	}
}

/* Serves until the file system is gone. */
static inline void fuse_serve(int fd, fuse_decide_fn *decide, void *userdata)
{
	static char request[FUSE_MIN_READ_BUFFER + 4096];
	uint64_t size = 0;
	ssize_t n;

	while ((n = read(fd, request, sizeof(request))) > 0 || errno == EINTR || errno == ENOENT) {
		const struct fuse_in_header *in = (const void *)request;

		if (n > 0 && decide(in->opcode, userdata) == FUSE_ANSWER)
			fuse_answer(fd, in, &size);
	}
}
