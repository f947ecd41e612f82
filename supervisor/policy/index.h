/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Finds the rules that a fact may match, without looking at each of them. A set of rules is a bit
 * for each; for each fact that is known the set of those it does not rule out is intersected with
 * what is left, so that deciding looks at rules one by one only where they are likely to match.
 */

#include "policy/draft.h"
#include "policy/rule.h"

/*
 * Makes the index of a draft's rules. The results are appended to bits (uint64_t), members
 * (uint32_t), keys (struct key_entry), id_entries (struct id_entry) and condition_rules; the
 * draft's conditions become those that differ, and the policy's members that describe the index are
 * filled in. Returns 0 or -ENOMEM.
 */
struct index_buffers {
	struct buffer bits, members, keys, id_entries, condition_rules;
};
int index_build(struct draft *draft, struct index_buffers *buffers, struct policy *policy);

/* Adds the rules of a set to bits. */
void rule_set_add(const struct policy *policy, struct rule_set set, uint64_t *bits);

/* Adds the rules that have a key for this text: those that begin it, and those that equal it. */
void index_add_text(const struct policy *policy, enum field field, const char *text, size_t len,
	uint64_t *bits);

/* Adds the rules that name this id. */
void index_add_id(const struct policy *policy, enum id id, uint32_t value, uint64_t *bits);

/* Whether flags meet a condition. */
bool condition_holds(
	const struct policy *policy, const struct flag_condition *condition, uint32_t flags);
