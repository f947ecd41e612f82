/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Counts of calls by name (other calls than memfd_create(2) by theirs) and decision, with the
 * latency's distribution, in a table of fixed size: a tenant that invents names cannot make it
 * grow. Names beyond the table's room are counted together, one row for each decision.
 */

#include <stdbool.h>
#include <stdio.h>

#include "core/event.h"

/* Rows with a name of their own. */
#define SUMMARY_ROWS 252

struct summary;

/* Returns 0 or -ENOMEM. */
int summary_new(struct summary **ret_summary);
/* Takes NULL, returns NULL. */
struct summary *summary_free(struct summary *summary);

/* Counts the event. No allocation. */
void summary_add(struct summary *summary, const struct event *event);

/* Most frequent first, then a line with the totals. Colour only when asked. */
void summary_print(const struct summary *summary, FILE *out, bool colour);
