/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Collects the mistakes in a policy's text, to report them in the order of the text. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/macro.h"
#include "policy/buffer.h"
#include "policy/policy.h"

/* A place in the text; both count from 1, columns in characters. */
struct mark {
	uint32_t line, column;
};

/* More mistakes than this are not collected: the rest would help nobody. */
#define DIAGNOSTICS_MAX 10000

struct diagnostics {
	struct buffer entries;
	struct buffer text;
	bool no_memory;
};

/* Adds a mistake; the text is printf(3)'s. */
void diagnostic_add(struct diagnostics *diagnostics, struct mark mark, const char *format, ...)
	printf_like(3, 4);

/* Says what to write instead, for the mistake added last. */
void diagnostic_hint(struct diagnostics *diagnostics, const char *format, ...) printf_like(2, 3);

/* True once so many mistakes were found that looking for more is of no use. */
bool diagnostics_full(const struct diagnostics *diagnostics);

/* Count of mistakes so far. */
size_t diagnostics_count(const struct diagnostics *diagnostics);

/*
 * Reports all of them, sorted by place. Returns 0 when there is none, -EINVAL, or -ENOMEM when one
 * could not be kept.
 */
int diagnostics_report(struct diagnostics *diagnostics, const char *file,
	policy_diagnostic_fn *report, void *userdata);

void diagnostics_done(struct diagnostics *diagnostics);

/* A piece of the policy's text, shortened and made safe for a terminal, for use in a message. */
#define QUOTE_MAX 40
struct quote {
	char text[QUOTE_MAX * 4 + sizeof("...")];
};
struct quote quote_text(const char *text, size_t len);
