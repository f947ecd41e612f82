/* SPDX-License-Identifier: Apache-2.0 */

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "base/clock.h"
#include "base/macro.h"
#include "base/memfd.h"
#include "base/text.h"

struct size_unit {
	const char *name;
	uint64_t bytes;
};

static const struct size_unit size_units[] = {
	{"", 1},
	{"B", 1},
	{"K", UINT64_C(1) << 10},
	{"KB", UINT64_C(1000)},
	{"KiB", UINT64_C(1) << 10},
	{"M", UINT64_C(1) << 20},
	{"MB", UINT64_C(1000000)},
	{"MiB", UINT64_C(1) << 20},
	{"G", UINT64_C(1) << 30},
	{"GB", UINT64_C(1000000000)},
	{"GiB", UINT64_C(1) << 30},
	{"T", UINT64_C(1) << 40},
	{"TB", UINT64_C(1000000000000)},
	{"TiB", UINT64_C(1) << 40},
};

/*
 * The digits that text begins with, and what follows them in *ret_end. Returns 0, -EINVAL when
 * there are none, or -ERANGE, which leaves *ret_end valid.
 */
static int read_digits(const char *text, const char **ret_end, uint64_t *ret_number)
{
	char *end;

	if (!isdigit((unsigned char)text[0])) /* strtoumax(3) would take blanks and a sign */
		return -EINVAL;
	errno = 0;
	*ret_number = strtoumax(text, &end, 10);
	*ret_end = end;
	return errno != 0 ? -ERANGE : 0;
}

int text_parse_number(const char *text, uint64_t *ret_number)
{
	uint64_t number;
	const char *end;
	int r = read_digits(text, &end, &number);

	if (r == -EINVAL || *end != '\0')
		return -EINVAL;
	if (r == 0)
		*ret_number = number;
	return r;
}

int text_parse_size(const char *text, uint64_t *ret_bytes)
{
	const struct size_unit *unit = NULL;
	uint64_t number, bytes;
	const char *end;
	int r = read_digits(text, &end, &number);

	if (r == -EINVAL)
		return r;
	for (size_t i = 0; i < ARRAY_SIZE(size_units) && unit == NULL; i++)
		if (strcasecmp(end, size_units[i].name) == 0)
			unit = &size_units[i];
	if (unit == NULL)
		return -EINVAL;
	if (r < 0 || __builtin_mul_overflow(number, unit->bytes, &bytes))
		return -ERANGE;
	*ret_bytes = bytes;
	return 0;
}

/* A unit of time, as SI and its users write it: case matters. */
struct time_unit {
	const char *name;
	unsigned value;
};

/* Digits and one of the units. Returns 0, -EINVAL, or -ERANGE when the number is too large. */
static int read_with_unit(const char *text, const struct time_unit *units, size_t count,
	uint64_t *ret_number, unsigned *ret_unit)
{
	const char *end;
	int r = read_digits(text, &end, ret_number);

	if (r == -EINVAL)
		return r;
	for (size_t i = 0; i < count; i++)
		if (strcmp(end, units[i].name) == 0) {
			*ret_unit = units[i].value;
			return r;
		}
	return -EINVAL;
}

int text_parse_duration(const char *text, uint64_t *ret_ms)
{
	static const struct time_unit units[] = {{"ms", 1}, {"s", 1000}, {"min", 60 * 1000}};
	uint64_t number, ms;
	unsigned unit;
	int r = read_with_unit(text, units, ARRAY_SIZE(units), &number, &unit);

	if (r < 0)
		return r;
	if (__builtin_mul_overflow(number, unit, &ms))
		return -ERANGE;
	*ret_ms = ms;
	return 0;
}

int text_parse_rate(const char *text, uint64_t *ret_count, unsigned *ret_period_s)
{
	static const struct time_unit units[] = {{"/s", 1}, {"/min", 60}, {"/h", 3600}};
	uint64_t number;
	unsigned unit;
	int r = read_with_unit(text, units, ARRAY_SIZE(units), &number, &unit);

	if (r < 0)
		return r;
	*ret_count = number;
	*ret_period_s = unit;
	return 0;
}

const char *text_format_size(uint64_t bytes, char buf[static TEXT_SIZE_MAX])
{
	static const char units[] = "KMGTPE";
	double value = (double)bytes;
	size_t unit = 0;

	if (bytes < 1024) {
		snprintf(buf, TEXT_SIZE_MAX, "%" PRIu64 "B", bytes);
		return buf;
	}
	for (value /= 1024; value >= 1024 && unit + 2 < sizeof(units); unit++)
		value /= 1024;
	snprintf(buf, TEXT_SIZE_MAX, "%.*f%ciB", value == (double)(uint64_t)value ? 0 : 1, value,
		units[unit]);
	return buf;
}

#define HUGE_FIELD       ((uint32_t)MFD_HUGE_MASK << MFD_HUGE_SHIFT)
#define HUGE_SIZE(log_2) HUGE_FIELD, ((uint32_t)(log_2) << MFD_HUGE_SHIFT)

const struct memfd_flag memfd_flags[] = {
	{"CLOEXEC", MFD_CLOEXEC, MFD_CLOEXEC},
	{"ALLOW_SEALING", MFD_ALLOW_SEALING, MFD_ALLOW_SEALING},
	{"HUGETLB", MFD_HUGETLB, MFD_HUGETLB},
	{"NOEXEC_SEAL", MFD_NOEXEC_SEAL, MFD_NOEXEC_SEAL},
	{"EXEC", MFD_EXEC, MFD_EXEC},
	/* include/uapi/asm-generic/hugetlb_encode.h */
	{"HUGE_16KB", HUGE_SIZE(14)},
	{"HUGE_64KB", HUGE_SIZE(16)},
	{"HUGE_512KB", HUGE_SIZE(19)},
	{"HUGE_1MB", HUGE_SIZE(20)},
	{"HUGE_2MB", HUGE_SIZE(21)},
	{"HUGE_8MB", HUGE_SIZE(23)},
	{"HUGE_16MB", HUGE_SIZE(24)},
	{"HUGE_32MB", HUGE_SIZE(25)},
	{"HUGE_256MB", HUGE_SIZE(28)},
	{"HUGE_512MB", HUGE_SIZE(29)},
	{"HUGE_1GB", HUGE_SIZE(30)},
	{"HUGE_2GB", HUGE_SIZE(31)},
	{"HUGE_16GB", HUGE_SIZE(34)},
	{NULL, 0, 0},
};

const struct memfd_flag *memfd_flag_find(const char *name)
{
	if (strncasecmp(name, "MFD_", 4) == 0)
		name += 4;
	for (const struct memfd_flag *flag = memfd_flags; flag->name != NULL; flag++)
		if (strcasecmp(name, flag->name) == 0)
			return flag;
	return NULL;
}

/* MAX_ERRNO of include/linux/err.h: no system call returns more. */
#define ERRNO_MAX 4095

int text_parse_errno(const char *name)
{
	/* Second names of one number, of which strerrorname_np(3) knows only one. */
	static const struct {
		const char *name;
		int error;
	} aliases[] = {
		{"EWOULDBLOCK", EWOULDBLOCK},
		{"EDEADLOCK", EDEADLOCK},
		{"ENOTSUP", ENOTSUP},
		{"EOPNOTSUPP", EOPNOTSUPP},
	};

	for (int error = 1; error <= ERRNO_MAX; error++) {
		const char *known = strerrorname_np(error);

		if (known != NULL && strcasecmp(name, known) == 0)
			return error;
	}
	for (size_t i = 0; i < ARRAY_SIZE(aliases); i++)
		if (strcasecmp(name, aliases[i].name) == 0)
			return aliases[i].error;
	return 0;
}

/* Longer words are no misspelt keyword; it also bounds the distance's table. */
#define NEAREST_WORD_MAX 64

static unsigned min_of(unsigned a, unsigned b)
{
	return a < b ? a : b;
}

/*
 * Edits from a to b, without regard to case: insert, delete, replace, swap two neighbours (the
 * restricted Damerau-Levenshtein distance). Both are at most NEAREST_WORD_MAX bytes.
 */
static unsigned edit_distance(const char *a, size_t a_len, const char *b, size_t b_len)
{
	unsigned rows[3][NEAREST_WORD_MAX + 1];

	for (unsigned j = 0; j <= b_len; j++)
		rows[0][j] = j;
	for (unsigned i = 1; i <= a_len; i++) {
		unsigned *row = rows[i % 3], *last = rows[(i + 2) % 3], *older = rows[(i + 1) % 3];
		int ca = tolower((unsigned char)a[i - 1]);

		row[0] = i;
		for (unsigned j = 1; j <= b_len; j++) {
			int cb = tolower((unsigned char)b[j - 1]);

			row[j] = min_of(min_of(row[j - 1], last[j]) + 1, last[j - 1] + (ca != cb));
			if (i > 1 && j > 1 && ca == tolower((unsigned char)b[j - 2]) &&
				cb == tolower((unsigned char)a[i - 2]))
				row[j] = min_of(row[j], older[j - 2] + 1);
		}
	}
	return rows[a_len % 3][b_len];
}

const char *text_nearest(const char *word, const char *const *candidates, size_t count)
{
	size_t len = strlen(word);
	/* One edit in three letters is a slip; more is another word. */
	unsigned best = (unsigned)(len + 2) / 3 + 1;
	const char *nearest = NULL;

	if (len > NEAREST_WORD_MAX)
		return NULL;
	for (size_t i = 0; i < count; i++) {
		size_t candidate_len = strlen(candidates[i]);
		unsigned distance;

		if (candidate_len > NEAREST_WORD_MAX)
			continue;
		distance = edit_distance(word, len, candidates[i], candidate_len);
		/* As many edits as letters would turn anything into anything. */
		if (distance < best && distance < candidate_len && distance < len) {
			best = distance;
			nearest = candidates[i];
		}
	}
	return nearest;
}

const char *text_format_time(uint64_t realtime_ns, char *buf)
{
	time_t seconds = (time_t)(realtime_ns / NSEC_PER_SEC);
	struct tm tm;
	size_t len;

	/* 64 bits of nanoseconds end in the year 2554, so neither of the two can fail. */
	gmtime_r(&seconds, &tm);
	len = strftime(buf, TEXT_TIME_MAX, "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(buf + len, TEXT_TIME_MAX - len, ".%09uZ", (unsigned)(realtime_ns % NSEC_PER_SEC));
	return buf;
}

static const char hex_digits[] = "0123456789abcdef";

/* Writes \uXXXX. Returns the end. */
static char *put_utf16_unit(char *out, uint32_t unit)
{
	*out++ = '\\';
	*out++ = 'u';
	for (int shift = 12; shift >= 0; shift -= 4)
		*out++ = hex_digits[(unit >> shift) & 0xf];
	return out;
}

static char *put_code_point(char *out, uint32_t code)
{
	if (code < 0x10000)
		return put_utf16_unit(out, code);
	code -= 0x10000;
	out = put_utf16_unit(out, 0xd800 | (code >> 10));
	return put_utf16_unit(out, 0xdc00 | (code & 0x3ff));
}

/*
 * Decodes one UTF-8 sequence beyond ASCII as RFC 3629 has it: no overlong form, no surrogate,
 * nothing above U+10FFFF. Returns its length, or 0 when the bytes are none.
 */
static size_t utf8_decode(const unsigned char *in, size_t len, uint32_t *ret_code)
{
	static const uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
	size_t need = in[0] >= 0xf0 ? 4 : in[0] >= 0xe0 ? 3 : 2;
	uint32_t code = in[0] & (0xffU >> (need + 1));

	if (in[0] < 0xc2 || in[0] > 0xf4 || len < need)
		return 0;
	for (size_t i = 1; i < need; i++) {
		if ((in[i] & 0xc0) != 0x80)
			return 0;
		code = code << 6 | (in[i] & 0x3f);
	}
	if (code < smallest[need] || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff))
		return 0;
	*ret_code = code;
	return need;
}

/* Writes one ASCII character. Returns the end. */
static char *put_ascii(char *out, unsigned char c)
{
	static const char controls[] = "\b\f\n\r\t", letters[] = "bfnrt";
	const char *control;

	if (c == '"' || c == '\\') {
		*out++ = '\\';
		*out++ = (char)c;
		return out;
	}
	if (c >= 0x20 && c <= 0x7e) {
		*out++ = (char)c;
		return out;
	}
	control = c == 0 ? NULL : strchr(controls, c);
	if (control == NULL)
		return put_utf16_unit(out, c);
	*out++ = '\\';
	*out++ = letters[control - controls];
	return out;
}

size_t text_escape_json(const void *bytes, size_t len, char *out, bool *ret_exact)
{
	const unsigned char *in = bytes;
	bool exact = true;
	char *p = out;

	for (size_t i = 0; i < len;) {
		uint32_t code = 0xfffd;
		size_t n;

		if (in[i] < 0x80) {
			p = put_ascii(p, in[i++]);
			continue;
		}
		n = utf8_decode(in + i, len - i, &code);
		exact &= n > 0;
		p = put_code_point(p, code);
		i += n > 0 ? n : 1;
	}
	*p = '\0';
	if (ret_exact != NULL)
		*ret_exact = exact;
	return (size_t)(p - out);
}

size_t text_escape_terminal(const void *bytes, size_t len, char *out)
{
	const unsigned char *in = bytes;
	char *p = out;

	for (size_t i = 0; i < len; i++) {
		if (in[i] == '\\')
			*p++ = '\\';
		if (in[i] >= 0x20 && in[i] <= 0x7e) {
			*p++ = (char)in[i];
			continue;
		}
		*p++ = '\\';
		*p++ = 'x';
		*p++ = hex_digits[in[i] >> 4];
		*p++ = hex_digits[in[i] & 0xf];
	}
	*p = '\0';
	return (size_t)(p - out);
}

const char *text_after(const char *text, const char *key)
{
	const char *found = strstr(text, key);

	return found ? found + strlen(key) : NULL;
}
