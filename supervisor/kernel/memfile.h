/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The file behind an emulated memfd. */

#include <stdint.h>
#include <sys/types.h>

/*
 * What memfd_create(2) in the caller would have made. name NULL stands for a name that the caller
 * cannot read itself, so that the kernel reports it in its own order of checks.
 */
struct memfile_request {
	const char *name; /* borrowed, NUL-ended */
	uint32_t flags;
	int noexec_scope; /* the caller's vm.memfd_noexec as tracee_memfd_noexec() gives it, -1: as
			     ours */
	uid_t owner; /* the caller's fsuid and fsgid, in the supervisor's user namespace; -1: */
	gid_t group; /* the same as ours. CAP_CHOWN is needed where they are not */
};

/*
 * Makes the file. Every errno that the kernel would give the caller for bad arguments comes out of
 * the kernel's own memfd_create(), called with the caller's arguments, so order and version always
 * agree. Returns a descriptor (close-on-exec, owned by the caller) or -errno.
 */
int memfile_create(const struct memfile_request *request);
