/* SPDX-License-Identifier: Apache-2.0 */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/macro.h"
#include "base/text.h"

static void sizes_are_read(void **state)
{
	static const struct {
		const char *text;
		uint64_t bytes;
	} good[] = {
		{"0", 0},
		{"7", 7},
		{"007", 7},
		{"512B", 512},
		{"1K", 1024},
		{"1k", 1024},
		{"1KB", 1000},
		{"1KiB", 1024},
		{"64MiB", UINT64_C(64) << 20},
		{"3MB", 3000000},
		{"8G", UINT64_C(8) << 30},
		{"8gib", UINT64_C(8) << 30},
		{"2GB", UINT64_C(2000000000)},
		{"1T", UINT64_C(1) << 40},
		{"1TB", UINT64_C(1000000000000)},
		{"16777215TiB", UINT64_C(16777215) << 40},
		{"18446744073709551615", UINT64_MAX},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		uint64_t bytes = 1;

		assert_int_equal(text_parse_size(good[i].text, &bytes), 0);
		assert_true(bytes == good[i].bytes);
	}
}

static void bad_sizes_are_refused(void **state)
{
	static const char *const bad[] = {"", " ", "-1", "+1", " 1", "1 ", "1 K", "K", "1X", "1.5G",
		"0x10", "1KiBB", "1iB", "1e3", "\xff", "99999999999999999999999X"};
	static const char *const large[] = {
		"18446744073709551616", "16777216TiB", "99999999999999999999999K"};
	uint64_t bytes = 42;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(text_parse_size(bad[i], &bytes), -EINVAL);
	for (size_t i = 0; i < ARRAY_SIZE(large); i++)
		assert_int_equal(text_parse_size(large[i], &bytes), -ERANGE);
	assert_int_equal(bytes, 42);
}

static void numbers_are_read(void **state)
{
	static const char *const bad[] = {"", " 1", "1 ", "-1", "+1", "0x1", "1K", "1.0"};
	uint64_t number = 42;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(text_parse_number(bad[i], &number), -EINVAL);
	assert_int_equal(text_parse_number("18446744073709551616", &number), -ERANGE);
	assert_true(number == 42);
	assert_int_equal(text_parse_number("18446744073709551615", &number), 0);
	assert_true(number == UINT64_MAX);
	assert_int_equal(text_parse_number("0", &number), 0);
	assert_true(number == 0);
}

static void durations_are_read(void **state)
{
	static const struct {
		const char *text;
		int r;
		uint64_t ms;
	} cases[] = {
		{"0ms", 0, 0},
		{"250ms", 0, 250},
		{"2s", 0, 2000},
		{"10min", 0, 600000},
		{"18446744073709551615ms", 0, UINT64_MAX},
		{"18446744073709551616ms", -ERANGE, 0},
		{"18446744073709552s", -ERANGE, 0},
		{"", -EINVAL, 0},
		{"250", -EINVAL, 0},
		{"ms", -EINVAL, 0},
		{"1 s", -EINVAL, 0},
		{"1.5s", -EINVAL, 0},
		{"-1s", -EINVAL, 0},
		{"1S", -EINVAL, 0},
		{"1m", -EINVAL, 0},
		{"1h", -EINVAL, 0},
		{"1ss", -EINVAL, 0},
		{"99999999999999999999x", -EINVAL, 0},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		uint64_t ms = 0;

		assert_int_equal(text_parse_duration(cases[i].text, &ms), cases[i].r);
		assert_true(ms == cases[i].ms);
	}
}

static void rates_are_read(void **state)
{
	static const struct {
		const char *text;
		int r;
		uint64_t count;
		unsigned period_s;
	} cases[] = {
		{"5000/s", 0, 5000, 1},
		{"100/min", 0, 100, 60},
		{"0/h", 0, 0, 3600},
		{"18446744073709551615/h", 0, UINT64_MAX, 3600},
		{"18446744073709551616/s", -ERANGE, 0, 0},
		{"", -EINVAL, 0, 0},
		{"5000", -EINVAL, 0, 0},
		{"/s", -EINVAL, 0, 0},
		{"5/", -EINVAL, 0, 0},
		{"5/S", -EINVAL, 0, 0},
		{"5 /s", -EINVAL, 0, 0},
		{"5/ s", -EINVAL, 0, 0},
		{"5K/s", -EINVAL, 0, 0},
		{"5/d", -EINVAL, 0, 0},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		uint64_t count = 0;
		unsigned period_s = 0;

		assert_int_equal(text_parse_rate(cases[i].text, &count, &period_s), cases[i].r);
		assert_true(count == cases[i].count);
		assert_int_equal(period_s, cases[i].period_s);
	}
}

static void flags_are_found(void **state)
{
	(void)state;
	assert_int_equal(memfd_flag_find("CLOEXEC")->value, 1);
	assert_int_equal(memfd_flag_find("MFD_ALLOW_SEALING")->value, 2);
	assert_int_equal(memfd_flag_find("mfd_hugetlb")->value, 4);
	assert_int_equal(memfd_flag_find("noexec_seal")->value, 8);
	assert_int_equal(memfd_flag_find("EXEC")->mask, 16);
	assert_int_equal(memfd_flag_find("HUGE_2MB")->value, 21U << 26);
	assert_int_equal(memfd_flag_find("HUGE_16GB")->mask, 0x3fU << 26);
	assert_null(memfd_flag_find("CLOEXE"));
	assert_null(memfd_flag_find("MFD_"));
	assert_null(memfd_flag_find(""));
	assert_null(memfd_flag_find("MFD_MFD_EXEC"));
}

static void flags_are_told_apart(void **state)
{
	(void)state;
	for (const struct memfd_flag *a = memfd_flags; a->name != NULL; a++) {
		assert_int_equal(a->value & ~a->mask, 0);
		assert_ptr_equal(memfd_flag_find(a->name), a);
		for (const struct memfd_flag *b = a + 1; b->name != NULL; b++)
			assert_true(a->mask != b->mask || a->value != b->value);
	}
}

static void errnos_are_read(void **state)
{
	(void)state;
	assert_int_equal(text_parse_errno("EPERM"), EPERM);
	assert_int_equal(text_parse_errno("enospc"), ENOSPC);
	assert_int_equal(text_parse_errno("EHWPOISON"), EHWPOISON);
	assert_int_equal(text_parse_errno("EAGAIN"), EAGAIN);
	assert_int_equal(text_parse_errno("EWOULDBLOCK"), EAGAIN);
	assert_int_equal(text_parse_errno("ENOTSUP"), ENOTSUP);
	assert_int_equal(text_parse_errno("EOPNOTSUPP"), EOPNOTSUPP);
	assert_int_equal(text_parse_errno("EDEADLOCK"), EDEADLOCK);
	assert_int_equal(text_parse_errno("EPERMS"), 0);
	assert_int_equal(text_parse_errno("0"), 0);
	assert_int_equal(text_parse_errno("1"), 0);
	assert_int_equal(text_parse_errno(""), 0);
}

static void likely_misspellings_are_mended(void **state)
{
	static const char *const keys[] = {
		"name", "match", "action", "errno", "add_flags", "clear_flags", "rename", "any"};
	static const struct {
		const char *word, *nearest;
	} cases[] = {
		{"nmae", "name"},
		{"Name", "name"},
		{"macth", "match"},
		{"addflags", "add_flags"},
		{"clear-flags", "clear_flags"},
		{"errn", "errno"},
		{"an", "any"},
		{"budget", NULL},
		{"", NULL},
		{"x", NULL},
		{"0123456789012345678901234567890123456789012345678901234567890123456789", NULL},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const char *nearest = text_nearest(cases[i].word, keys, ARRAY_SIZE(keys));

		if (cases[i].nearest == NULL)
			assert_null(nearest);
		else
			assert_string_equal(nearest, cases[i].nearest);
	}
	assert_null(text_nearest("name", NULL, 0));
}

static void times_are_written(void **state)
{
	char buf[TEXT_TIME_MAX];

	(void)state;
	assert_string_equal(text_format_time(0, buf), "1970-01-01T00:00:00.000000000Z");
	assert_string_equal(text_format_time(UINT64_C(1767323045123456789), buf),
		"2026-01-02T03:04:05.123456789Z");
	assert_string_equal(text_format_time(UINT64_MAX, buf), "2554-07-21T23:34:33.709551615Z");
}

static void json_is_escaped(void **state)
{
	static const struct {
		const char *in;
		size_t len;
		const char *out;
		bool exact;
	} cases[] = {
		{"", 0, "", true},
		{"plain ~", 7, "plain ~", true},
		{"a\"b\\c/d", 7, "a\\\"b\\\\c/d", true},
		{"\b\f\n\r\t", 5, "\\b\\f\\n\\r\\t", true},
		{"\0\x01\x1b[2J\x7f", 7, "\\u0000\\u0001\\u001b[2J\\u007f", true},
		{"\xc2\x9b", 2, "\\u009b", true},
		{"\xc3\xa4", 2, "\\u00e4", true},
		{"\xe2\x80\xa8", 3, "\\u2028", true},
		{"\xef\xbf\xbd", 3, "\\ufffd", true},
		{"\xf0\x9f\x98\x80", 4, "\\ud83d\\ude00", true},
		{"\xf4\x8f\xbf\xbf", 4, "\\udbff\\udfff", true},
		{"\x9b", 1, "\\ufffd", false},
		{"a\xff\xfe", 3, "a\\ufffd\\ufffd", false},
		{"\xc0\x80", 2, "\\ufffd\\ufffd", false},
		{"\xe0\x80\xaf", 3, "\\ufffd\\ufffd\\ufffd", false},
		{"\xed\xa0\x80", 3, "\\ufffd\\ufffd\\ufffd", false},
		{"\xf4\x90\x80\x80", 4, "\\ufffd\\ufffd\\ufffd\\ufffd", false},
		{"\xf5", 1, "\\ufffd", false},
		{"\xc3", 1, "\\ufffd", false},
		{"\xe2\x80\"", 3, "\\ufffd\\ufffd\\\"", false},
		{"\xf0\x9f\x98", 3, "\\ufffd\\ufffd\\ufffd", false},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char out[64];
		bool exact = !cases[i].exact;
		size_t len = text_escape_json(cases[i].in, cases[i].len, out, &exact);

		assert_string_equal(out, cases[i].out);
		assert_int_equal(len, strlen(cases[i].out));
		assert_int_equal(exact, cases[i].exact);
	}
}

static void escapes_fit_their_room(void **state)
{
	char in[256], out[TEXT_ESCAPED_MAX(sizeof(in))];

	(void)state;
	for (int c = 0; c < 256; c++) {
		memset(in, c, sizeof(in));
		assert_in_range(text_escape_json(in, sizeof(in), out, NULL), 1, sizeof(out) - 1);
		for (const char *p = out; *p != '\0'; p++)
			assert_in_range(*p, 0x20, 0x7e);
		assert_in_range(text_escape_terminal(in, sizeof(in), out), 1, sizeof(in) * 4);
	}
}

static void terminal_is_escaped(void **state)
{
	char out[64];

	(void)state;
	assert_int_equal(text_escape_terminal("a\\b\x1b[m\xff\0", 8, out), 18);
	assert_string_equal(out, "a\\\\b\\x1b[m\\xff\\x00");
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(sizes_are_read),
		cmocka_unit_test(bad_sizes_are_refused),
		cmocka_unit_test(numbers_are_read),
		cmocka_unit_test(durations_are_read),
		cmocka_unit_test(rates_are_read),
		cmocka_unit_test(flags_are_found),
		cmocka_unit_test(flags_are_told_apart),
		cmocka_unit_test(errnos_are_read),
		cmocka_unit_test(likely_misspellings_are_mended),
		cmocka_unit_test(times_are_written),
		cmocka_unit_test(json_is_escaped),
		cmocka_unit_test(escapes_fit_their_room),
		cmocka_unit_test(terminal_is_escaped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
