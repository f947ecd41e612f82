/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/tree.h"

#include <errno.h>
#include <string.h>
#include <yaml.h>

#include "base/hash.h"

/* Directives before a document are compared with each other by libyaml, all with all. */
#define DIRECTIVES_MAX 16

struct frame {
	uint32_t node;
	uint32_t last;          /* its last child so far, or 0 */
	uint32_t values_before; /* value count when it began */
};

struct anchor {
	uint64_t hash;
	uint32_t node;
	char *name; /* owned */
};

struct reader {
	struct tree *tree;
	struct diagnostics *diagnostics;
	struct frame frames[TREE_DEPTH_MAX];
	unsigned depth;
	uint32_t values;
	struct anchor anchors[TREE_ANCHOR_MAX];
	unsigned anchor_count;
	bool have_document;
};

static struct mark mark_from(yaml_mark_t mark)
{
	return (struct mark){(uint32_t)mark.line + 1, (uint32_t)mark.column + 1};
}

static struct node *node_at(const struct tree *tree, uint32_t index)
{
	return buffer_at(&tree->nodes, struct node, index);
}

const struct node *tree_node(const struct tree *tree, uint32_t index)
{
	const struct node *node = node_at(tree, index);

	return node->type == NODE_ALIAS ? node_at(tree, node->first) : node;
}

uint32_t tree_next(const struct tree *tree, uint32_t index)
{
	return node_at(tree, index)->next;
}

const char *tree_text(const struct tree *tree, const struct node *scalar)
{
	return (const char *)tree->text.data + scalar->first;
}

/* Reports a mistake after which the rest of the text is not looked at. */
static int reader_stop(struct reader *reader, struct mark mark, const char *message)
{
	diagnostic_add(reader->diagnostics, mark, "%s", message);
	return -EINVAL;
}

static int values_add(struct reader *reader, uint32_t count, struct mark mark)
{
	if (count > TREE_VALUES_MAX - reader->values)
		return reader_stop(reader, mark, "the text holds too many values");
	reader->values += count;
	return 0;
}

/* Hangs a new node below the open one. Stores its index; the pointer is valid until the next. */
static int node_add(
	struct reader *reader, struct node node, uint32_t *ret_index, struct node **ret_node)
{
	struct tree *tree = reader->tree;
	uint32_t index = (uint32_t)buffer_count(&tree->nodes, struct node);
	struct node *room;
	int r = values_add(reader, node.values, node.mark);

	if (r < 0)
		return r;
	room = buffer_grow(&tree->nodes, sizeof(*room));
	if (!room)
		return -ENOMEM;
	*room = node;
	if (reader->depth > 0) {
		struct frame *frame = &reader->frames[reader->depth - 1];
		struct node *parent = node_at(tree, frame->node);

		if (frame->last)
			node_at(tree, frame->last)->next = index;
		else
			parent->first = index;
		frame->last = index;
		parent->len++;
		if (parent->height <= node.height)
			parent->height = (uint8_t)(node.height + 1);
	} else {
		tree->root = index;
	}
	*ret_index = index;
	*ret_node = room;
	return 0;
}

static uint64_t anchor_hash(const char *name)
{
	uint64_t hash = HASH_INIT;

	for (; *name; name++)
		hash = hash_byte(hash, (unsigned char)*name);
	return hash;
}

/* The node of that name; the last one when the name was used again. 0: none. */
static uint32_t anchor_find(const struct reader *reader, const char *name)
{
	uint64_t hash = anchor_hash(name);

	for (unsigned i = reader->anchor_count; i-- > 0;) {
		const struct anchor *anchor = &reader->anchors[i];

		if (anchor->hash == hash && strcmp(anchor->name, name) == 0)
			return anchor->node;
	}
	return 0;
}

/* Keeps an anchor and reports a tag; either may be NULL. */
static int node_decorate(struct reader *reader, const yaml_char_t *anchor_name,
	const yaml_char_t *tag, struct mark mark, uint32_t node)
{
	struct anchor *anchor = &reader->anchors[reader->anchor_count];

	if (tag) {
		diagnostic_add(reader->diagnostics, mark, "tags have no meaning here");
		diagnostic_hint(reader->diagnostics, "put a text that begins with ! in quotes");
	}
	if (!anchor_name)
		return 0;
	if (reader->anchor_count == TREE_ANCHOR_MAX)
		return reader_stop(reader, mark, "the text holds too many anchors");
	anchor->name = strdup((const char *)anchor_name);
	if (!anchor->name)
		return -ENOMEM;
	anchor->hash = anchor_hash(anchor->name);
	anchor->node = node;
	reader->anchor_count++;
	return 0;
}

static int read_alias(struct reader *reader, const yaml_event_t *event)
{
	const char *name = (const char *)event->data.alias.anchor;
	uint32_t target = anchor_find(reader, name), index;
	struct mark mark = mark_from(event->start_mark);
	struct node node = {.mark = mark, .type = NODE_NONE, .values = 1}, *added;

	if (target == 0) {
		struct quote quote = quote_text(name, strlen(name));

		diagnostic_add(reader->diagnostics, mark, "unknown alias *%s", quote.text);
		diagnostic_hint(reader->diagnostics, "put a text that begins with * in quotes");
	} else {
		const struct node *to = tree_node(reader->tree, target);

		if (to->open)
			return reader_stop(reader, mark, "this alias contains itself");
		if (reader->depth + to->height > TREE_DEPTH_MAX)
			return reader_stop(reader, mark, "nested too deeply");
		node.type = NODE_ALIAS;
		node.first = target;
		node.height = to->height;
		node.values = to->values;
	}
	return node_add(reader, node, &index, &added);
}

static int read_scalar(struct reader *reader, const yaml_event_t *event)
{
	struct tree *tree = reader->tree;
	size_t len = event->data.scalar.length;
	struct node node = {.type = NODE_SCALAR,
		.plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE,
		.mark = mark_from(event->start_mark),
		.values = 1,
		.first = (uint32_t)tree->text.size,
		.len = (uint32_t)len};
	struct node *added;
	uint32_t index;
	char *text = buffer_grow(&tree->text, len + 1);
	int r;

	if (!text)
		return -ENOMEM;
	memcpy(text, event->data.scalar.value, len);
	r = node_add(reader, node, &index, &added);
	if (r < 0)
		return r;
	return node_decorate(
		reader, event->data.scalar.anchor, event->data.scalar.tag, node.mark, index);
}

static int read_collection(struct reader *reader, const yaml_event_t *event, enum node_type type,
	const yaml_char_t *anchor, const yaml_char_t *tag)
{
	struct node node = {.type = type,
		.mark = mark_from(event->start_mark),
		.values = 1,
		.open = true,
		.height = 1};
	struct node *added;
	uint32_t index;
	int r;

	if (reader->depth == TREE_DEPTH_MAX)
		return reader_stop(reader, node.mark, "nested too deeply");
	r = node_add(reader, node, &index, &added);
	if (r < 0)
		return r;
	reader->frames[reader->depth++] =
		(struct frame){.node = index, .values_before = reader->values - 1};
	return node_decorate(reader, anchor, tag, node.mark, index);
}

static void read_end(struct reader *reader)
{
	const struct frame *frame = &reader->frames[--reader->depth];
	struct node *node = node_at(reader->tree, frame->node);

	node->open = false;
	node->values = reader->values - frame->values_before;
	if (reader->depth > 0) {
		struct node *parent = node_at(reader->tree, reader->frames[reader->depth - 1].node);

		if (parent->height <= node->height)
			parent->height = (uint8_t)(node->height + 1);
	}
}

static int read_event(struct reader *reader, const yaml_event_t *event)
{
	switch (event->type) {
	case YAML_DOCUMENT_START_EVENT:
		if (reader->have_document)
			return reader_stop(reader, mark_from(event->start_mark),
				"a policy is one YAML document");
		reader->have_document = true;
		return 0;
	case YAML_ALIAS_EVENT:
		return read_alias(reader, event);
	case YAML_SCALAR_EVENT:
		return read_scalar(reader, event);
	case YAML_SEQUENCE_START_EVENT:
		return read_collection(reader, event, NODE_SEQUENCE,
			event->data.sequence_start.anchor, event->data.sequence_start.tag);
	case YAML_MAPPING_START_EVENT:
		return read_collection(reader, event, NODE_MAPPING,
			event->data.mapping_start.anchor, event->data.mapping_start.tag);
	case YAML_SEQUENCE_END_EVENT:
	case YAML_MAPPING_END_EVENT:
		read_end(reader);
		return 0;
	case YAML_NO_EVENT:
	case YAML_STREAM_START_EVENT:
	case YAML_STREAM_END_EVENT:
	case YAML_DOCUMENT_END_EVENT:
		return 0;
	}
	return 0;
}

/*
 * Bytes of the line break that text begins with, or 0. YAML 1.1 has LF, CR, CR LF, NEL (U+0085), LS
 * and PS (U+2028, U+2029), and libyaml counts lines by them.
 */
static size_t break_length(const char *text, size_t size)
{
	static const char *const breaks[] = {
		"\r\n", "\n", "\r", "\xc2\x85", "\xe2\x80\xa8", "\xe2\x80\xa9"};

	if ((unsigned char)*text >= ' ' && (unsigned char)*text < 0x80) /* most of a text */
		return 0;
	for (unsigned i = 0; i < ARRAY_SIZE(breaks); i++) {
		size_t len = strlen(breaks[i]);

		if (size >= len && memcmp(text, breaks[i], len) == 0)
			return len;
	}
	return 0;
}

/* The place of a byte offset, for mistakes that libyaml finds before it counts lines. */
static struct mark mark_at(const char *text, size_t offset)
{
	struct mark mark = {1, 1};

	for (size_t i = 0; i < offset;) {
		size_t len = break_length(text + i, offset - i);

		if (len > 0)
			mark = (struct mark){mark.line + 1, 1};
		else if (((unsigned char)text[i] & 0xc0) != 0x80)
			mark.column++;
		i += len > 0 ? len : 1;
	}
	return mark;
}

static int report_syntax(
	struct diagnostics *diagnostics, const yaml_parser_t *parser, const char *text, size_t size)
{
	const char *problem = parser->problem ? parser->problem : "cannot be read as YAML";
	struct mark mark = mark_from(parser->problem_mark), end = mark_at(text, size);

	/* libyaml ends the last line itself, and then speaks of the one below it. */
	if (mark.line > end.line)
		mark = end;
	if (parser->error == YAML_MEMORY_ERROR)
		return -ENOMEM;
	if (parser->error == YAML_READER_ERROR)
		mark = mark_at(text, parser->problem_offset < size ? parser->problem_offset : size);
	if (parser->context && parser->context_mark.line + 1 < mark.line)
		diagnostic_add(diagnostics, mark, "%s %s that begins on line %zu", problem,
			parser->context, parser->context_mark.line + 1);
	else
		diagnostic_add(diagnostics, mark, "%s%s%s", problem, parser->context ? " " : "",
			parser->context ? parser->context : "");
	if (parser->context && strstr(parser->context, "alias"))
		diagnostic_hint(diagnostics, "put a text that begins with * in quotes");
	else if (strstr(problem, "cannot start any token"))
		diagnostic_hint(diagnostics,
			"indent with spaces, and put a text that begins with a special "
			"character in quotes");
	return -EINVAL;
}

/* Counts the directives ahead of the document. */
static int directives_check(struct diagnostics *diagnostics, const char *text, size_t size)
{
	unsigned count = 0;
	uint32_t line = 1;

	for (const char *at = text, *end = text + size; at < end; line++) {
		const char *newline = memchr(at, '\n', (size_t)(end - at));

		if (*at == '%' && ++count > DIRECTIVES_MAX) {
			diagnostic_add(diagnostics, (struct mark){line, 1}, "too many directives");
			return -EINVAL;
		}
		at = newline ? newline + 1 : end;
	}
	return 0;
}

static int read_all(struct reader *reader, yaml_parser_t *parser, const char *text, size_t size)
{
	bool end = false;
	int r = 0;

	while (r == 0 && !end && !diagnostics_full(reader->diagnostics)) {
		yaml_event_t event;

		if (!yaml_parser_parse(parser, &event))
			return report_syntax(reader->diagnostics, parser, text, size);
		end = event.type == YAML_STREAM_END_EVENT;
		r = read_event(reader, &event);
		yaml_event_delete(&event);
	}
	return r;
}

int tree_load(struct tree *tree, const char *text, size_t size, struct diagnostics *diagnostics)
{
	struct reader reader = {.tree = tree, .diagnostics = diagnostics};
	yaml_parser_t parser;
	int r = directives_check(diagnostics, text, size);

	if (r < 0)
		return r;
	if (!buffer_grow(&tree->nodes, sizeof(struct node)) || !yaml_parser_initialize(&parser))
		return -ENOMEM;
	/* Without this, a byte order mark would select UTF-16, where lines mean something else. */
	yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&parser, (const unsigned char *)text, size);
	r = read_all(&reader, &parser, text, size);
	yaml_parser_delete(&parser);
	for (unsigned i = 0; i < reader.anchor_count; i++)
		free(reader.anchors[i].name);
	return r;
}

void tree_done(struct tree *tree)
{
	buffer_done(&tree->nodes);
	buffer_done(&tree->text);
}
