/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the attempts of `escape` share. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The exit status; the larger value wins when several attempts make one. */
enum outcome {
	GOT_PAST = 0,
	STOPPED = 1,
	ANSWERED = 3, /* got past, and was refused everything afterwards */
	LACKING = 77, /* this machine or this policy has nothing to try it on */
};

#define MIB (UINT64_C(1) << 20)

/* Of the policy that this runs under; 0: none. From the environment: ESCAPE_MEMFDS ... */
struct limits {
	uint64_t memfds;
	uint64_t file, size, resident, hugetlb, spill; /* bytes */
	uint64_t wait_ms; /* how long to wait for an answer to what got past */
};
extern struct limits limits;

/* Names by which policies of the tests tell calls apart. */
#define NAME_DENIED "escape-denied"
#define NAME_OTHER  "escape-other"
#define NAME_DISK   "escape-disk"

/* memfd_create(2) by syscall(2). Returns a descriptor or -1. */
int make(const char *name, unsigned flags);

/* Whether the policy denies NAME_DENIED; where not, there is no rule to get past. */
bool denies_by_name(void);

/* What several attempts come to: past, if any got past; else answered, stopped, lacking. */
enum outcome worst(enum outcome a, enum outcome b);

/* Once something got past: GOT_PAST, or ANSWERED if calls are refused within limits.wait_ms. */
enum outcome await_answer(void);
/* The same for calls with this name. */
enum outcome await_answer_to(const char *name);

/* Kills the supervisor, which is our parent under `fdwarden run`, and waits for its end. */
bool kill_supervisor(void);

/* `escape outside`: with memfds that no supervisor has seen. Returns only on failure. */
int run_outside(char **command);

struct attempt {
	const char *id; /* of the row */
	enum outcome (*run)(void);
};

/* Each ends with an entry whose id is NULL. */
extern const struct attempt growth_attempts[], place_attempts[], escape_attempts[];
