/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The file behind an emulated memfd. */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "kernel/tmpfs.h"

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
	/*
	 * Where to make it, at most one of them; neither: in the kernel's own memory, as
	 * memfd_create(2) does. Files there cannot be sealed, like any that are made without
	 * MFD_ALLOW_SEALING. Files of huge pages are always the kernel's.
	 */
	struct tmpfs *tmpfs; /* NULL: no */
	int spill_dir_fd;    /* of a directory on a disk; -1: no */
	/*
	 * The file must never be executable, on any kernel: on a tmpfs not even mapped with
	 * PROT_EXEC; on a disk only where that is mounted noexec; elsewhere MFD_NOEXEC_SEAL is
	 * added, and F_SEAL_SEAL for a file that was not to be sealable. Its mode is 0666. With
	 * MFD_EXEC it is EACCES, as under vm.memfd_noexec=2.
	 */
	bool noexec;
};

/*
 * Whether what a caller asks for can be a file on a tmpfs and not be told from a memfd: nothing
 * that makes it sealable (MFD_ALLOW_SEALING, MFD_NOEXEC_SEAL, the caller's vm.memfd_noexec), no
 * huge pages, no flags that the kernel would refuse, and a name that a path can have. Nor MFD_EXEC:
 * who says that means to execute the file, perhaps by the descriptor that wrote it, and only the
 * kernel's own files are not "busy" then (execve(2), ETXTBSY).
 */
bool memfile_fits_tmpfs(const struct memfile_request *request);

/* Whether this kernel has MFD_NOEXEC_SEAL (Linux 6.3). */
bool memfile_has_noexec_seal(void);

/*
 * Makes the file. Every errno that the kernel would give the caller for bad arguments comes out of
 * the kernel's own memfd_create(), called with the caller's arguments, so order and version always
 * agree. Returns a descriptor (close-on-exec, owned by the caller) or -errno: -EOPNOTSUPP for
 * noexec where this kernel has no way to it.
 */
int memfile_create(const struct memfile_request *request);
