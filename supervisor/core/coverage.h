/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What a policy leaves open: every way in which a tenant's anonymous memory can grow or get past the
 * supervisor, on this kernel and with this privilege. */

#include <stdbool.h>
#include <stddef.h>

#include "policy/policy.h"

enum coverage_state {
	COVERAGE_CLOSED,  /* cannot happen */
	COVERAGE_BOUNDED, /* can, up to a limit that the kernel enforces */
	COVERAGE_SAMPLED, /* can, and is seen and answered within the sample interval */
	COVERAGE_OPEN,    /* can */
};

struct coverage_row {
	const char *id;   /* for machines: "ftruncate", "page-fault", ...; never changes */
	const char *path; /* for people: the way */
	enum coverage_state state;
	const char *by; /* by what, or why not; a literal */
};

/* What this machine can do: probed, not guessed from versions. */
struct coverage_machine {
	bool handles;      /* open_by_handle_at(2) on a memfd */
	bool tmpfs;        /* a detached one can be made */
	bool noexec_seal;  /* MFD_NOEXEC_SEAL */
	bool memfd_secret; /* exists */
	bool hugetlb;      /* memfds in huge pages can be made */
	bool io_uring;     /* exists and is not switched off */
	bool cgroup;       /* a memory controller is visible */
	bool freezer;      /* a cgroup can be frozen */
	bool root;         /* CAP_SYS_PTRACE: all callers can be inspected */
};

void coverage_probe(struct coverage_machine *ret_machine);

/* Pure. Fills in rows (room for COVERAGE_ROWS). Returns how many. */
#define COVERAGE_ROWS 32
size_t coverage_judge(const struct policy *policy, const struct coverage_machine *machine,
	struct coverage_row rows[static COVERAGE_ROWS]);
