/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * memfd-probe: writes down all that a program can see of memfd_create(2), one line for each
 * observation, with nothing in it that differs from run to run. The differential test compares what
 * it prints natively with what it prints under supervision.
 */

#include <stdbool.h>
#include <stddef.h>

#include "kernel/compat.h"

/* One call: a name, given by its address so that it may be a bad one, and flags. */
struct probe_call {
	const char *label; /* what stands in the report for the name */
	const void *name;
	unsigned long flags; /* the whole register */
};

/* Makes the call. Returns the descriptor or -errno. */
int probe_memfd(const struct probe_call *call);

/* Prints "LABEL flags=.. FACET: TEXT" as one line. */
void probe_report(const struct probe_call *call, const char *facet, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* The result of a system call as the report has it: -errno for -1. */
long probe_result(long result);

/* Makes the file once for each facet that a program can see, and reports that facet. */
void probe_facets(const struct probe_call *call);

/* Facets of the file and its mount that take longer to tell, probe_file.c. */
void probe_facet_maps(const struct probe_call *call, int fd);
void probe_facet_statx(const struct probe_call *call, int fd);
void probe_facet_times(const struct probe_call *call, int fd);
void probe_facet_ranges(const struct probe_call *call, int fd);
void probe_facet_transfers(const struct probe_call *call, int fd);
void probe_facet_direct(const struct probe_call *call, int fd);
void probe_facet_watch(const struct probe_call *call, int fd);

/* A copy of this program that is run from a memfd exits with this. */
#define PROBE_EXECUTED 42

/* The groups of calls, probe_calls.c: every flag with a plain name; every name with a few flags;
 * what the state of the descriptor table does. */
void probe_all_flags(void);
void probe_all_names(void);
void probe_descriptors(void);
void probe_owners(void);
