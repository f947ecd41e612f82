/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/diagnostic.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"

#define NO_TEXT SIZE_MAX

struct entry {
	struct mark mark;
	size_t order; /* mistakes at one place stay in the order they were found in */
	size_t message, hint;
};

/* Appends printf(3) text with its NUL. Returns its offset, or NO_TEXT without memory. */
static printf_like(2, 0) size_t
	text_append(struct diagnostics *diagnostics, const char *format, va_list args)
{
	size_t offset = diagnostics->text.size;
	va_list again;
	char *room;
	int len;

	va_copy(again, args);
	len = vsnprintf(NULL, 0, format, again);
	va_end(again);
	room = len < 0 ? NULL : buffer_grow(&diagnostics->text, (size_t)len + 1);
	if (!room) {
		diagnostics->no_memory = true;
		return NO_TEXT;
	}
	vsnprintf(room, (size_t)len + 1, format, args);
	return offset;
}

bool diagnostics_full(const struct diagnostics *diagnostics)
{
	return diagnostics->no_memory || diagnostics_count(diagnostics) >= DIAGNOSTICS_MAX;
}

size_t diagnostics_count(const struct diagnostics *diagnostics)
{
	return buffer_count(&diagnostics->entries, struct entry);
}

void diagnostic_add(struct diagnostics *diagnostics, struct mark mark, const char *format, ...)
{
	struct entry *entry;
	size_t message;
	va_list args;

	if (diagnostics_full(diagnostics))
		return;
	va_start(args, format);
	message = text_append(diagnostics, format, args);
	va_end(args);
	if (message == NO_TEXT)
		return;
	entry = buffer_grow(&diagnostics->entries, sizeof(*entry));
	if (!entry) {
		diagnostics->no_memory = true;
		return;
	}
	*entry = (struct entry){.mark = mark,
		.order = diagnostics_count(diagnostics),
		.message = message,
		.hint = NO_TEXT};
}

void diagnostic_hint(struct diagnostics *diagnostics, const char *format, ...)
{
	size_t count = diagnostics_count(diagnostics);
	va_list args;

	if (count == 0 || diagnostics_full(diagnostics))
		return;
	va_start(args, format);
	buffer_at(&diagnostics->entries, struct entry, count - 1)->hint =
		text_append(diagnostics, format, args);
	va_end(args);
}

static int entry_compare(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;

	if (x->mark.line != y->mark.line)
		return x->mark.line < y->mark.line ? -1 : 1;
	if (x->mark.column != y->mark.column)
		return x->mark.column < y->mark.column ? -1 : 1;
	return x->order < y->order ? -1 : x->order > y->order;
}

int diagnostics_report(struct diagnostics *diagnostics, const char *file,
	policy_diagnostic_fn *report, void *userdata)
{
	size_t count = diagnostics_count(diagnostics);
	const char *text = diagnostics->text.data;

	if (diagnostics->no_memory)
		return -ENOMEM;
	if (count == 0)
		return 0;
	qsort(diagnostics->entries.data, count, sizeof(struct entry), entry_compare);
	for (size_t i = 0; report && i < count; i++) {
		const struct entry *entry = buffer_at(&diagnostics->entries, struct entry, i);

		report(&(struct policy_diagnostic){.file = file,
			       .line = entry->mark.line,
			       .column = entry->mark.column,
			       .message = text + entry->message,
			       .hint = entry->hint == NO_TEXT ? NULL : text + entry->hint},
			userdata);
	}
	return -EINVAL;
}

void diagnostics_done(struct diagnostics *diagnostics)
{
	buffer_done(&diagnostics->entries);
	buffer_done(&diagnostics->text);
}

struct quote quote_text(const char *text, size_t len)
{
	struct quote quote = {.text = ""};
	size_t kept = len > QUOTE_MAX ? QUOTE_MAX : len;
	size_t written = text_escape_terminal(text, kept, quote.text);

	if (kept < len)
		memcpy(quote.text + written, "...", sizeof("..."));
	return quote;
}
