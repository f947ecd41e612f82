/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A policy in the making: what parsing fills and compiling turns into a struct policy. */

#include "policy/buffer.h"
#include "policy/diagnostic.h"
#include "policy/rule.h"
#include "policy/tree.h"

/* What only diagnostics need of a rule. */
struct rule_source {
	struct mark mark;
	struct mark name_mark;
	struct mark action_mark;
	struct mark match_mark;
	bool broken; /* has a mistake, so what it matches is not known */
};

struct draft {
	enum policy_mode mode;
	struct policy_budget budget;
	struct policy_quotas quotas;
	struct span tenant_ops;   /* in ops */
	uint32_t spill_directory; /* in text, or NONE */
	enum verdict fallback;
	int fallback_error;
	struct buffer rules;      /* struct rule */
	struct buffer sources;    /* struct rule_source, one for each rule */
	struct buffer conditions; /* struct flag_condition, one for each rule */
	struct buffer patterns, sets, ranges, tests, ops, text;
	struct buffer regexes; /* pcre2_code *, owned */
	size_t regex_bytes;
};

/* Keeps a text with a NUL behind it. Returns 0 or -ENOMEM. */
int draft_text(struct draft *draft, const char *text, size_t len, struct span *ret_span);

void draft_done(struct draft *draft);

/* policies/default.yaml; made by the build. */
extern const char policy_default_text[];

/* What was said in the budget, for what is said elsewhere. */
struct budget_notes {
	unsigned given; /* set of 1 << enum quota: there is a limit, right or wrong */
	bool spill_used;
	struct mark spill_mark;      /* of the key "spill" */
	struct mark sample_mark;     /* of the key "sample"; line 0: none */
	struct mark memfd_size_mark; /* of the value of memfd.size */
};

/* What parsing carries around. */
struct parser {
	const struct tree *tree;
	struct diagnostics *diagnostics;
	struct draft *draft;
	struct buffer names; /* for looking up users and groups */
	unsigned lookups;
	struct budget_notes budget;
};

/*
 * The parsing functions return 0 also after a mistake, which they report, and -ENOMEM. Where it
 * matters to the caller whether there was one, the count of diagnostics tells.
 */

/* The whole of a policy. */
int policy_parse(struct parser *parser);

/* The budget key. */
int budget_parse(struct parser *parser, uint32_t node);

/* What of the budget can only be judged once all else is known. */
void budget_check(struct parser *parser);

/* The tenant key. */
int tenant_parse(struct parser *parser, uint32_t node);

/* Takes note that files may go to the spill directory; a mistake when there is none. */
void spill_use(struct parser *parser, struct mark mark);

/* The list of rules. */
int rules_parse(struct parser *parser, uint32_t list);

/* The match key of a rule. */
int match_parse(
	struct parser *parser, uint32_t node, struct rule *rule, struct flag_condition *condition);

/* One pattern of a field, appended to the draft's patterns. */
int pattern_parse(struct parser *parser, uint32_t node);

/* One uid or gid, range of them, or name, appended to the draft's ranges. */
int id_parse(struct parser *parser, uint32_t node, enum id id);

/* A flag's name or bits. Returns whether it is one; reports the mistake otherwise. */
bool flag_parse(struct parser *parser, uint32_t node, struct flag_test *ret_test);

/* An errno's name. As flag_parse(). */
bool errno_parse(struct parser *parser, uint32_t node, int *ret_error);

/* The value of a mapping's key. */
struct key {
	const char *name;
	uint32_t value;   /* node, or 0 when the key is not there */
	struct mark mark; /* of the key */
};

/*
 * Fills in the values of keys from a mapping. Reports unknown, duplicate and wrong keys, and
 * whether node is a mapping at all: false when not.
 */
bool mapping_parse(struct parser *parser, uint32_t node, struct key *keys, size_t count);

/* The text of a scalar, or NULL after a diagnostic that says it should be `expected`. */
const char *scalar_parse(struct parser *parser, uint32_t node, const char *expected);

/* One of count words. Returns its index, or -1 after a diagnostic. */
int word_parse(struct parser *parser, uint32_t node, const char *what, const char *const *words,
	size_t count);

/* true or false. Returns false after a diagnostic. */
bool bool_parse(struct parser *parser, uint32_t node);

/* The items of "one or a list": calls item for each. Reports an empty list. */
typedef int item_fn(struct parser *parser, uint32_t node, void *userdata);
#define LIST_MAX 1024
int list_parse(struct parser *parser, uint32_t node, item_fn *item, void *userdata);
