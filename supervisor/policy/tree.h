/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* YAML text as a bounded tree: the shape of a policy before its meaning. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "policy/buffer.h"
#include "policy/diagnostic.h"

#define TREE_DEPTH_MAX  16
#define TREE_VALUES_MAX (2 * 1024 * 1024) /* with aliases expanded */
#define TREE_ANCHOR_MAX 256

enum node_type {
	NODE_NONE, /* stands where something was wrong and has been reported */
	NODE_SCALAR,
	NODE_SEQUENCE,
	NODE_MAPPING, /* children are keys and values in turn */
	NODE_ALIAS,
};

struct node {
	enum node_type type;
	bool plain; /* a scalar without quotes */
	bool open;  /* its end has not been read: an alias to it would contain itself */
	uint8_t height;
	uint32_t values; /* with aliases expanded */
	struct mark mark;
	uint32_t next;  /* sibling, or 0 */
	uint32_t first; /* first child or 0; scalar: offset of the text; alias: its node */
	uint32_t len;   /* of a scalar's text; count of children */
};

struct tree {
	struct buffer nodes; /* node 0 is unused */
	struct buffer text;
	uint32_t root; /* 0: the text holds no document */
};

/*
 * Reads text. Mistakes go to diagnostics, and -EINVAL is returned when the tree is of no use (a
 * syntax error, a bound exceeded); 0 otherwise; -ENOMEM.
 */
int tree_load(struct tree *tree, const char *text, size_t size, struct diagnostics *diagnostics);

void tree_done(struct tree *tree);

/* The node of an index, aliases resolved. */
const struct node *tree_node(const struct tree *tree, uint32_t index);

/* The index that follows among its siblings, or 0. */
uint32_t tree_next(const struct tree *tree, uint32_t index);

/* The text of a scalar, ended by a NUL that is not part of its length. */
const char *tree_text(const struct tree *tree, const struct node *scalar);
