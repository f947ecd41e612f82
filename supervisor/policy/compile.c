/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/compile.h"

#include <errno.h>
#include <string.h>

#include "policy/index.h"

int draft_text(struct draft *draft, const char *text, size_t len, struct span *ret_span)
{
	uint32_t first = (uint32_t)draft->text.size;
	char *room = buffer_grow(&draft->text, len + 1);

	if (!room)
		return -ENOMEM;
	memcpy(room, text, len);
	*ret_span = (struct span){first, (uint32_t)len};
	return 0;
}

void draft_done(struct draft *draft)
{
	for (size_t i = 0; i < buffer_count(&draft->regexes, pcre2_code *); i++)
		pcre2_code_free(*buffer_at(&draft->regexes, pcre2_code *, i));
	buffer_done(&draft->rules);
	buffer_done(&draft->sources);
	buffer_done(&draft->conditions);
	buffer_done(&draft->patterns);
	buffer_done(&draft->sets);
	buffer_done(&draft->ranges);
	buffer_done(&draft->tests);
	buffer_done(&draft->ops);
	buffer_done(&draft->text);
	buffer_done(&draft->regexes);
}

static void index_buffers_done(struct index_buffers *buffers)
{
	buffer_done(&buffers->bits);
	buffer_done(&buffers->members);
	buffer_done(&buffers->keys);
	buffer_done(&buffers->id_entries);
	buffer_done(&buffers->condition_rules);
}

#define SECTION_ALIGN 8

static size_t section_size(const struct buffer *buffer)
{
	return (buffer->size + SECTION_ALIGN - 1) & ~(size_t)(SECTION_ALIGN - 1);
}

/* Copies a buffer to *at, which moves behind it. */
static const void *section_copy(const struct buffer *buffer, char **at)
{
	char *section = *at;

	if (buffer->size > 0)
		memcpy(section, buffer->data, buffer->size);
	*at += section_size(buffer);
	return section;
}

static struct policy *policy_assemble(
	const struct policy *header, struct draft *draft, const struct index_buffers *index)
{
	const struct buffer *const sections[] = {&index->bits, &draft->rules, &draft->patterns,
		&draft->sets, &draft->ranges, &draft->tests, &draft->conditions,
		&index->condition_rules, &index->keys, &index->id_entries, &draft->regexes,
		&index->members, &draft->ops, &draft->text};
	const void *copies[ARRAY_SIZE(sections)];
	size_t size = sizeof(*header);
	struct policy *policy;
	char *at;

	for (unsigned i = 0; i < ARRAY_SIZE(sections); i++)
		size += section_size(sections[i]);
	policy = malloc(size);
	if (!policy)
		return NULL;
	*policy = *header;
	at = (char *)(policy + 1);
	for (unsigned i = 0; i < ARRAY_SIZE(sections); i++)
		copies[i] = section_copy(sections[i], &at);
	policy->bits = copies[0];
	policy->rules = copies[1];
	policy->patterns = copies[2];
	policy->sets = copies[3];
	policy->ranges = copies[4];
	policy->tests = copies[5];
	policy->conditions = copies[6];
	policy->condition_rules = copies[7];
	policy->keys = copies[8];
	policy->id_entries = copies[9];
	policy->regexes = copies[10];
	policy->members = copies[11];
	policy->ops = copies[12];
	policy->text = copies[13];
	if (draft->spill_directory != NONE)
		policy->quotas.spill_directory = policy->text + draft->spill_directory;
	return policy;
}

int policy_compile(struct draft *draft, struct policy **ret_policy)
{
	uint32_t count = (uint32_t)buffer_count(&draft->rules, struct rule);
	struct policy header = {.references = 1,
		.mode = draft->mode,
		.budget = draft->budget,
		.quotas = draft->quotas,
		.tenant_ops = draft->tenant_ops,
		.fallback = draft->fallback,
		.fallback_error = draft->fallback_error,
		.rule_count = count,
		.words = (count + 63) / 64,
		.regex_count = (uint32_t)buffer_count(&draft->regexes, pcre2_code *)};
	struct index_buffers index = {0};
	struct policy *policy = NULL;
	int r;

	for (uint32_t i = 0; i < count; i++) {
		const struct rule *rule = buffer_at(&draft->rules, struct rule, i);

		header.facts |= rule->facts;
		header.noexec |= rule->noexec;
		/* A tenant's tmpfs and its share of the disk are the ledger's to know. */
		header.quotas.ledger |= rule->noexec || rule->backing == BACKING_TMPFS ||
					rule->backing == BACKING_DISK;
	}
	r = index_build(draft, &index, &header);
	if (r == 0) {
		policy = policy_assemble(&header, draft, &index);
		r = policy ? 0 : -ENOMEM;
	}
	index_buffers_done(&index);
	if (r < 0)
		return r;
	draft->regexes.size = 0;
	*ret_policy = policy;
	return 0;
}
