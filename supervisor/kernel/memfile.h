/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The file behind an emulated memfd. */

#include <stdint.h>
#include <sys/types.h>

/* Values of vm.memfd_noexec (include/linux/pid_namespace.h). */
enum {
	MEMFD_NOEXEC_SCOPE_EXEC = 0,            /* files without either flag get MFD_EXEC */
	MEMFD_NOEXEC_SCOPE_NOEXEC_SEAL = 1,     /* they get MFD_NOEXEC_SEAL */
	MEMFD_NOEXEC_SCOPE_NOEXEC_ENFORCED = 2, /* and MFD_EXEC is refused */
};

/*
 * What memfd_create(2) in the caller would have made. name NULL stands for a name that the caller
 * cannot read itself, so that the kernel reports it in its own order of checks.
 */
struct memfile_request {
	const char *name; /* borrowed, NUL-ended */
	uint32_t flags;
	int noexec_scope; /* the caller's, from tracee_memfd_noexec(); -1: the same as ours */
	/* The caller's fsuid and fsgid in our user namespace (CAP_CHOWN); -1: the same as ours. */
	uid_t owner;
	gid_t group;
};

/*
 * Makes the file. Every errno that the kernel would give the caller for bad arguments comes out of
 * the kernel's own memfd_create(), called with the caller's arguments, so order and version always
 * agree. Returns a descriptor (close-on-exec, owned by the caller) or -errno.
 */
int memfile_create(const struct memfile_request *request);
