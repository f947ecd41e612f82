/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What a policy leaves open: every way in which a tenant's anonymous memory can grow or get past
 * the supervisor, on this kernel and with this privilege. */

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "policy/policy.h"

enum coverage_state {
	COVERAGE_CLOSED,  /* cannot happen */
	COVERAGE_BOUNDED, /* can, up to a limit that the kernel enforces */
	COVERAGE_SAMPLED, /* can, and is seen and answered within the sample interval */
	COVERAGE_OPEN,    /* can */
};
#define COVERAGE_STATES 4

/* "closed", "bounded", "sampled", "open". */
const char *coverage_state_name(enum coverage_state state);

struct coverage_row {
	const char *id;   /* for machines: "ftruncate", "page-fault", ...; never changes */
	const char *path; /* for people: the way */
	enum coverage_state state;
	const char *by; /* by what, or why not; a literal */
};

/* What this machine can do: probed, not guessed from versions. */
struct coverage_machine {
	bool handles;       /* open_by_handle_at(2) on a memfd */
	bool tmpfs;         /* a detached one can be made */
	bool noexec_seal;   /* MFD_NOEXEC_SEAL */
	bool memfd_secret;  /* exists */
	bool hugetlb;       /* memfds in huge pages can be made */
	bool io_uring;      /* exists and is not switched off */
	bool cgroup;        /* a memory controller is visible */
	bool cgroup_limit;  /* and the group that we are in, or one above, has a limit */
	bool freezer;       /* a cgroup can be frozen */
	bool root;          /* CAP_SYS_PTRACE: all callers can be inspected; a command has it too */
	bool raises_limits; /* CAP_SYS_RESOURCE: RLIMIT_FSIZE does not hold a command that has it */
	bool locks_memory;  /* CAP_IPC_LOCK: nor does RLIMIT_MEMLOCK */
};

/*
 * Probes the machine by trying each thing, and leaves nothing behind. Takes a few milliseconds,
 * with a child process where the caller is not privileged.
 */
void coverage_probe(struct coverage_machine *ret_machine);

/* Pure. Fills in rows (room for COVERAGE_ROWS). Returns how many: the same ones for every policy.
 */
#define COVERAGE_ROWS 40
size_t coverage_judge(const struct policy *policy, const struct coverage_machine *machine,
	struct coverage_row rows[static COVERAGE_ROWS]);

/* All that is printed. Strings are borrowed. */
struct coverage_report {
	const char *policy;  /* its file; NULL: the built-in one */
	const char *release; /* of the kernel */
	enum policy_mode mode;
	unsigned sample_ms;
	struct coverage_machine machine;
	struct coverage_row rows[COVERAGE_ROWS];
	size_t row_count;
};

/* A table for people, of at most 100 columns. */
void coverage_print_text(const struct coverage_report *report, FILE *out, bool colour);

/* One JSON document, fdwarden(1). Returns 0 or -EMSGSIZE when the policy's name is too long. */
int coverage_print_json(const struct coverage_report *report, FILE *out);
