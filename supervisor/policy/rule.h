/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What a policy is made of once its text has been read. Everything refers to everything else by
 * index, so the arrays can grow while they are made and be copied into one allocation at the end.
 */

#include <stdatomic.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "policy/policy.h"

#define NONE UINT32_MAX

struct span {
	uint32_t first, count;
};

/* The facts that are text. */
enum field {
	FIELD_NAME,
	FIELD_COMM,
	FIELD_EXE,
	FIELD_CGROUP,
};
#define FIELD_COUNT 4

/* The facts that are numbers. */
enum id {
	ID_UID,
	ID_GID,
};
#define ID_COUNT 2

enum pattern_kind {
	PATTERN_EXACT,  /* equals the key */
	PATTERN_PREFIX, /* begins with the key */
	PATTERN_GLOB,   /* begins with the key, and the operations match */
	PATTERN_REGEX,  /* begins with the key, and the regular expression matches */
};

struct pattern {
	enum pattern_kind kind;
	struct span key;   /* in text */
	struct span ops;   /* PATTERN_GLOB: in ops, the key's bytes included */
	struct span regex; /* PATTERN_REGEX: its source, in text */
	uint32_t code;     /* PATTERN_REGEX: in regexes */
};

/* Operations of a glob: 0 to 255 are bytes that must be there, and: */
enum {
	GLOB_ANY = 256, /* one byte */
	GLOB_STAR,      /* any run of bytes */
	/* In globs of paths, where GLOB_ANY and GLOB_SET take no "/" either: */
	GLOB_RUN,       /* any run of bytes without "/" */
	GLOB_NAME,      /* the first byte, no "/", of what is captured */
	GLOB_NAME_REST, /* the other bytes of it: a run without "/" */
	GLOB_SET,       /* one byte of sets[op - GLOB_SET] */
};

struct byte_set {
	uint64_t bits[4];
};

struct id_range {
	uint32_t low, high; /* both included */
};

struct flag_test {
	uint32_t mask, value; /* (flags & mask) == value */
};

/* Adds a test that must hold as well. Returns false when no flags can meet both. */
static inline bool flag_test_join(struct flag_test *all, struct flag_test test)
{
	if ((all->value ^ test.value) & all->mask & test.mask)
		return false;
	all->mask |= test.mask;
	all->value |= test.value;
	return true;
}

/* Holds when (flags & mask) == value, and one of any (unless empty), and none of none hold. */
struct flag_condition {
	struct flag_test all;
	struct span any, none; /* in tests */
};

struct rule {
	struct span patterns[FIELD_COUNT]; /* empty: the rule does not look at it */
	struct span ids[ID_COUNT];         /* in ranges, sorted and apart; the same */
	uint32_t facts;                    /* of enum fact: what it looks at */
	uint32_t condition;                /* of flags, in conditions */
	uint32_t name;                     /* in text */
	uint32_t rename;                   /* in text, or NONE */
	uint32_t flags_add, flags_clear;
	enum verdict verdict;
	int error;
	bool advisory;
	enum backing backing;
	bool noexec;
};

/*
 * Some of the rules: their indices in members, or, when there are more than words of them, a bit
 * for each rule in bits.
 */
struct rule_set {
	uint32_t first, count;
};

/* A key that rules look for; sorted by bytes. */
struct key_entry {
	struct span key;        /* in text */
	uint32_t parent;        /* the longest other key that this one begins with, or NONE */
	struct rule_set exact;  /* rules with a pattern that equals it */
	struct rule_set prefix; /* rules with a pattern that begins with it */
};

/* The ids from low up to the next entry's; sorted. */
struct id_entry {
	uint32_t low;
	struct rule_set rules;
};

/* An index over one fact. Rules in base must be looked at whatever the fact is. */
struct dimension {
	struct span entries; /* in keys or id_entries */
	uint32_t base;       /* in bits */
};

struct policy {
	atomic_uint references;
	enum policy_mode mode;
	struct policy_budget budget;
	struct policy_quotas quotas;
	struct span tenant_ops; /* TENANT_BY_CGROUP: the pattern, in ops */
	enum verdict fallback;
	int fallback_error;
	uint32_t rule_count;
	uint32_t words; /* of 64 bits, that hold a bit for each rule */
	uint32_t facts; /* all that its rules look at */
	bool noexec;    /* one of them says so */
	uint32_t condition_count;
	uint32_t condition_base; /* in bits: rules that look at no flags */
	struct dimension fields[FIELD_COUNT];
	struct dimension ids[ID_COUNT];
	uint32_t regex_count;

	/* All of these lie behind this struct, in the same allocation. */
	const uint64_t *bits;
	const struct rule *rules;
	const struct pattern *patterns;
	const struct byte_set *sets;
	const struct id_range *ranges;
	const struct flag_test *tests;
	const struct flag_condition *conditions;
	const struct rule_set *condition_rules;
	const struct key_entry *keys;
	const struct id_entry *id_entries;
	pcre2_code *const *regexes; /* what they point to is owned */
	const uint32_t *members;
	const uint16_t *ops;
	const char *text;
};

static inline enum fact field_fact(enum field field)
{
	static const uint8_t facts[FIELD_COUNT] = {FACT_NAME, FACT_COMM, FACT_EXE, FACT_CGROUP};

	return (enum fact)facts[field];
}
