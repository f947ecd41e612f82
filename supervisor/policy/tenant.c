/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The name of a tenant: what a pattern captures of a cgroup's path.
 *
 * Who is inside a group may be free to make groups below it, with names of its own choice. So the
 * shortest beginning of the path that matches counts, and work is bounded whatever the names are:
 * all ways to match are followed at once, byte by byte, at most one for each operation.
 */

#include <string.h>

#include "policy/glob.h"
#include "policy/policy.h"
#include "policy/tenant.h"

struct capture {
	uint32_t begin, end; /* places in the path; end 0: still going on */
};

/* The ways to match what was read: in state n, the first n operations are behind. */
struct states {
	uint64_t active[TENANT_OPS_MAX / 64 + 1];
	struct capture captures[TENANT_OPS_MAX + 1]; /* of the states that are active */
};

struct walk {
	const struct policy *policy;
	const uint16_t *ops;
	uint32_t count;
	uint32_t words; /* of active, that hold a bit for each state */
	struct states states[2];
};

static bool state_is_active(const struct states *states, uint32_t state)
{
	return states->active[state / 64] >> (state % 64) & 1;
}

/* Of two ways to the same state, the one that captures earlier, then more. */
static bool capture_is_better(struct capture capture, struct capture other)
{
	if (capture.begin != other.begin)
		return capture.begin < other.begin;
	return capture.end > other.end;
}

/* Enters a state with `at` bytes read, and those behind it that need no byte. */
static void state_enter(const struct walk *walk, struct states *states, uint32_t state,
	struct capture capture, uint32_t at)
{
	for (;; state++) {
		uint16_t op;

		if (state_is_active(states, state) &&
			!capture_is_better(capture, states->captures[state]))
			return;
		states->active[state / 64] |= UINT64_C(1) << (state % 64);
		states->captures[state] = capture;
		if (state == walk->count)
			return;
		op = walk->ops[state];
		if (op == GLOB_NAME_REST)
			capture.end = at;
		else if (op != GLOB_STAR && op != GLOB_RUN)
			return;
	}
}

/* Goes on from one state over the byte at a place of the path. */
static void state_step(const struct walk *walk, uint32_t state, struct capture capture,
	unsigned char byte, uint32_t at, struct states *next)
{
	uint16_t op = walk->ops[state];

	if (op == GLOB_STAR || (byte != '/' && (op == GLOB_RUN || op == GLOB_NAME_REST))) {
		state_enter(walk, next, state, capture, at + 1);
		return;
	}
	if (op == GLOB_NAME)
		capture.begin = at;
	if (byte == '/' ? op == '/' : op == GLOB_NAME || op_has(op, walk->policy->sets, byte))
		state_enter(walk, next, state + 1, capture, at + 1);
}

/* Returns false when no way is left. */
static bool walk_step(const struct walk *walk, const struct states *states, unsigned char byte,
	uint32_t at, struct states *next)
{
	bool left = false;

	for (uint32_t word = 0; word < walk->words; word++)
		next->active[word] = 0;
	for (uint32_t word = 0; word < walk->words; word++) {
		for (uint64_t bits = states->active[word]; bits; bits &= bits - 1) {
			uint32_t state = word * 64 + (uint32_t)__builtin_ctzll(bits);

			left = true;
			if (state < walk->count)
				state_step(walk, state, states->captures[state], byte, at, next);
		}
	}
	return left;
}

/* Finds the shortest run of whole components that matches. */
static bool path_match(struct walk *walk, const char *path, struct capture *ret_capture)
{
	struct states *states = &walk->states[0], *next = &walk->states[1], *last;
	uint32_t at = 0;

	/* The bytes that a pattern begins with leave one way only. */
	for (; at < walk->count && walk->ops[at] < GLOB_ANY; at++)
		if ((unsigned char)path[at] != walk->ops[at])
			return false;
	memset(states->active, 0, sizeof(states->active));
	state_enter(walk, states, at, (struct capture){0, 0}, at);
	for (;; at++) {
		if ((path[at] == '/' || path[at] == '\0') && state_is_active(states, walk->count)) {
			*ret_capture = states->captures[walk->count];
			return true;
		}
		if (path[at] == '\0' || !walk_step(walk, states, (unsigned char)path[at], at, next))
			return false;
		last = states;
		states = next;
		next = last;
	}
}

bool policy_tenant_name(
	const struct policy *policy, const char *path, char ret_name[static POLICY_TENANT_MAX])
{
	struct walk walk;
	struct capture capture;
	uint32_t len;

	if (policy->quotas.tenant_by != TENANT_BY_CGROUP)
		return false;
	walk.policy = policy;
	walk.ops = policy->ops + policy->tenant_ops.first;
	walk.count = policy->tenant_ops.count;
	walk.words = walk.count / 64 + 1;
	if (!path_match(&walk, path, &capture))
		return false;
	path += capture.begin;
	len = capture.end - capture.begin;
	/* No cgroup is called so long, or "." or ".."; that is how a path leads out of a namespace.
	 */
	if (len >= POLICY_TENANT_MAX || strncmp(path, "..", len) == 0)
		return false;
	memcpy(ret_name, path, len);
	ret_name[len] = '\0';
	return true;
}
