/* SPDX-License-Identifier: Apache-2.0 */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/summary.h"

static void add(
	struct summary *summary, const char *name, enum verdict verdict, uint64_t latency_ns)
{
	struct event event = {
		.call = CALL_MEMFD_CREATE, .verdict = verdict, .latency_ns = latency_ns};

	event.error = verdict == VERDICT_DENY ? EPERM : 0;
	event.name_known = name != NULL;
	if (name != NULL) {
		event.name.len = strlen(name);
		memcpy(event.name.bytes, name, event.name.len);
	}
	summary_add(summary, &event);
}

/* Not inline: gcc 12 at -O3 takes the text for the address that the stream was given. */
__attribute__((noinline)) static char *printed(const struct summary *summary, bool colour)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	assert_non_null(out);
	summary_print(summary, out, colour);
	assert_int_equal(fclose(out), 0);
	return text;
}

static void the_table_is_golden(void **state)
{
	struct summary *summary;
	char *text;

	(void)state;
	assert_int_equal(summary_new(&summary), 0);
	add(summary, "(other names)", VERDICT_KILL, 7);
	add(summary, NULL, VERDICT_EMULATE, 1000);
	add(summary, "\x1b[2J", VERDICT_EMULATE, 2000000);
	for (int i = 0; i < 3; i++) {
		add(summary, "wl_shm", VERDICT_EMULATE, 5000);
		add(summary, "wl_shm", VERDICT_DENY, 5000);
	}
	add(summary, "wl_shm", VERDICT_DENY, 5000);
	text = printed(summary, false);
	assert_string_equal(text,
		"name             decision       count      denied       p50       p99\n"
		"\"wl_shm\"         deny               4           4    4.9 us    4.9 us\n"
		"\"wl_shm\"         emulate            3           0    4.9 us    4.9 us\n"
		"\"(other names)\"  kill               1           1      7 ns      7 ns\n"
		"(unreadable)     emulate            1           0    992 ns    992 ns\n"
		"\"\\x1b[2J\"        emulate            1           0    2.0 ms    2.0 ms\n"
		"total                              10           5    4.9 us    2.0 ms\n");
	free(text);
	text = printed(summary, true);
	assert_non_null(strstr(text, "\x1b[31m\"wl_shm\""));
	free(text);
	summary_free(summary);
}

/* However many names a tenant invents, the table stays as it is and no call goes uncounted. */
static void invented_names_are_counted_together(void **state)
{
	struct summary *summary;
	size_t lines = 0;
	char *text;

	(void)state;
	assert_int_equal(summary_new(&summary), 0);
	for (int i = 0; i < 10000; i++) {
		char name[32];

		snprintf(name, sizeof(name), "invented-%d", i);
		add(summary, name, i % 2 == 0 ? VERDICT_EMULATE : VERDICT_DENY, 1000);
	}
	text = printed(summary, false);
	for (const char *p = text; *p != '\0'; p++)
		lines += *p == '\n';
	assert_int_equal(lines, 1 + SUMMARY_ROWS + 2 + 1);
	assert_non_null(strstr(text, "\n(other names)"));
	assert_int_equal(strtoull(strstr(text, "\ntotal ") + strlen("\ntotal "), NULL, 10), 10000);
	free(text);
	summary_free(summary);
}

/* The number in front of a unit in the last row's p50. */
static double printed_p50_ns(const struct summary *summary)
{
	char *text = printed(summary, false);
	double value;
	char unit[3];

	assert_int_equal(sscanf(strstr(text, "\ntotal "), "%*s %*u %*u %lf %2s", &value, unit), 2);
	free(text);
	return value * (strcmp(unit, "ns") == 0          ? 1
			       : strcmp(unit, "us") == 0 ? 1e3
			       : strcmp(unit, "ms") == 0 ? 1e6
							 : 1e9);
}

/* The steps are exact to 6.25 %, and two printed digits add at most 5 %. */
static void latencies_are_near_enough(void **state)
{
	(void)state;
	for (uint64_t ns = 1; ns < UINT64_C(1) << 39; ns += ns / 5 + 1) {
		struct summary *summary;
		double p50;

		assert_int_equal(summary_new(&summary), 0);
		add(summary, "a", VERDICT_EMULATE, ns);
		p50 = printed_p50_ns(summary);
		assert_true(p50 >= (double)ns * 0.89 && p50 <= (double)ns * 1.11);
		summary_free(summary);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_table_is_golden),
		cmocka_unit_test(invented_names_are_counted_together),
		cmocka_unit_test(latencies_are_near_enough),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
