/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What people read and write: sizes, memfd flags, errno names, times, strings from strangers. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Parses a size in bytes: digits and an optional unit (B, K, KB, KiB, M, MB, MiB, G, GB, GiB, T,
 * TB, TiB; any case). K, M, G, T and the forms with "iB" are powers of 1024, those with "B" powers
 * of 1000. No blanks, no sign, no fraction. Returns 0, -EINVAL when the text is no size, or -ERANGE
 * when it does not fit in 64 bits.
 */
int text_parse_size(const char *text, uint64_t *ret_bytes);

/* Parses a number: digits and nothing else. Returns as text_parse_size(). */
int text_parse_number(const char *text, uint64_t *ret_number);

/*
 * Parses a duration: digits and a unit, ms, s or min. Returns 0, -EINVAL when the text is no
 * duration, or -ERANGE when its milliseconds do not fit in 64 bits.
 */
int text_parse_duration(const char *text, uint64_t *ret_ms);

/*
 * Parses a rate: digits and "/s", "/min" or "/h"; so many in *ret_period_s seconds (1, 60 or 3600).
 * Returns 0, -EINVAL when the text is no rate, or -ERANGE when the number does not fit in 64 bits.
 */
int text_parse_rate(const char *text, uint64_t *ret_count, unsigned *ret_period_s);

/* Room for text_format_size(), NUL included. */
#define TEXT_SIZE_MAX 24

/* Writes a size with the largest binary unit that leaves up to four digits: "512B", "1.5GiB". */
const char *text_format_size(uint64_t bytes, char buf[static TEXT_SIZE_MAX]);

/* One flag of memfd_create(2), or one huge-page size: set when (flags & mask) == value. */
struct memfd_flag {
	const char *name; /* without the MFD_ prefix */
	uint32_t mask;
	uint32_t value;
};

/*
 * The flags known to this program, each once, single bits first; ended by an entry whose name is
 * NULL. Huge-page sizes (HUGE_2MB ...) are values of a six-bit field (linux/memfd.h), so their mask
 * is the field.
 */
extern const struct memfd_flag memfd_flags[];

/* The flag of that name, with or without "MFD_", in any case; NULL when there is none. */
const struct memfd_flag *memfd_flag_find(const char *name);

/* The errno of that symbolic name ("EPERM"), or 0 when there is none. Any case. */
int text_parse_errno(const char *name);

/*
 * Of the count candidates, the one that is most like word (fewest edits), or NULL when none is near
 * enough to be a likely misspelling. The suggestions in diagnostics come from here.
 */
const char *text_nearest(const char *word, const char *const *candidates, size_t count);

/*
 * What stands behind the first key in a text, up to its end; NULL when it is not there. For files
 * in /proc with one value in a line, whose keys begin with the end of the line before.
 */
const char *text_after(const char *text, const char *key);

/* Room for RFC 3339 with nanoseconds, "2026-01-02T03:04:05.123456789Z", NUL included. */
#define TEXT_TIME_MAX 31

/* Writes a CLOCK_REALTIME time as RFC 3339 in UTC into buf of TEXT_TIME_MAX bytes. Returns buf. */
const char *text_format_time(uint64_t realtime_ns, char *buf);

/* Bytes that text_escape_json() needs at most for len bytes of input, NUL included. */
#define TEXT_ESCAPED_MAX(len) ((len)*6 + 1)

/*
 * Writes len bytes as the inside of a JSON string (no quotes) into out, which has room for
 * TEXT_ESCAPED_MAX(len) bytes, ended by a NUL. The result is pure ASCII from 0x20 to 0x7e, so it is
 * valid JSON for the strictest reader and can move no terminal's cursor: UTF-8 beyond ASCII becomes
 * \uXXXX (surrogate pairs where needed), each byte that is not valid UTF-8 becomes \ufffd, and
 * *ret_exact (may be NULL) says whether the bytes can be recovered. Returns the length without the
 * NUL.
 */
size_t text_escape_json(const void *bytes, size_t len, char *out, bool *ret_exact);

/*
 * The same for people: printable ASCII as it is, a backslash doubled, everything else as \xXX.
 * out has room for len * 4 + 1 bytes. Returns the length without the NUL.
 */
size_t text_escape_terminal(const void *bytes, size_t len, char *out);
