/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* One decision, as it is reported: plain data that can be copied into a ring and read later. */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "kernel/tracee.h"
#include "policy/policy.h"

/* Longer names of tenants are cut: room for what engines call containers, and a line holds it. */
#define EVENT_TENANT_MAX 128

enum event_kind {
	EVENT_CALL,    /* a call was decided */
	EVENT_OVERRUN, /* a tenant was found above budget.tenant.resident: size, limit, reason, pid
			* (of the process that was killed, or 0) */
	EVENT_NOTICE,  /* something about the supervisor itself, said once: reason */
};

struct event {
	enum event_kind kind;
	enum call call;      /* EVENT_CALL: which one */
	uint64_t time_ns;    /* CLOCK_REALTIME when the call was received */
	uint64_t latency_ns; /* from receiving the call to having answered it */
	pid_t pid, tid;      /* process and thread, in our PID namespace; pid 0: unknown */
	uid_t uid;           /* real uid in the supervisor's user namespace; (uid_t)-1: unknown */
	uint32_t flags;      /* as the caller gave them */
	enum verdict verdict;
	enum policy_mode mode; /* POLICY_AUDIT: verdict and error are what would have happened */
	int error; /* the errno the caller got, positive; 0: success, or left to the kernel */
	int fd;    /* the caller's new descriptor, or -1 */
	enum backing
		backing;    /* of the file that was made; BACKING_AUTO: none, or the kernel's own */
	uint64_t size;      /* bytes: the size that ftruncate(2) or fallocate(2) would have made;
			     * EVENT_OVERRUN: what the tenant holds */
	uint64_t limit;     /* EVENT_OVERRUN: bytes */
	const char *reason; /* a string literal */
	char comm[TRACEE_COMM_MAX];
	/* All above is copied as it stands; of what follows only the bytes in use (core/ring.c). */
	bool name_known; /* false: the caller's memory could not be read */
	struct tracee_name name;
	char rule[POLICY_RULE_NAME_MAX];
	char tenant[EVENT_TENANT_MAX];
};
