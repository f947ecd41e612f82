/* SPDX-License-Identifier: Apache-2.0 */

/* What a policy and a call may cost at most: memory, work, references. */

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "policy_fixture.h"

#define HEAD "version: 1\nrules:\n"

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#elif defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#endif

static unsigned allocations;

#ifndef SANITIZED
/* In the program, these stand before those of the C library, for shared libraries as well. */
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *old, size_t size);

void *malloc(size_t size)
{
	allocations++;
	return __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
	allocations++;
	return __libc_calloc(count, size);
}

void *realloc(void *old, size_t size)
{
	allocations++;
	return __libc_realloc(old, size);
}
#endif

/* A text that grows; ended by free(). */
struct text {
	char *data;
	size_t len, room;
};

static printf_like(2, 3) void text_add(struct text *text, const char *format, ...)
{
	va_list args;
	int len;

	if (text->room - text->len < 4096) {
		text->room = text->room ? text->room * 2 : 65536;
		text->data = realloc(text->data, text->room);
		assert_non_null(text->data);
	}
	va_start(args, format);
	len = vsnprintf(text->data + text->len, text->room - text->len, format, args);
	va_end(args);
	assert_in_range(len, 0, 4095);
	text->len += (size_t)len;
}

/* The result of loading text, and what was said. */
static int load(const char *text, size_t len, struct findings *ret_findings)
{
	struct policy *policy = NULL;
	int r;

	*ret_findings = (struct findings){.size = 0};
	r = policy_load(text, len, "test.yaml", findings_add, ret_findings, &policy);
	policy_unref(policy);
	return r;
}

static void deciding_allocates_nothing(void **state)
{
	cleanup(policy_unref_ptr) struct policy *policy = load_good(HEAD
		"- {name: a, match: {name: {regex: \"(x+x+)+y\"}}, action: kill}\n"
		"- {name: b, match: {name: {regex: \"^((a|b)*?c|(a|b)+d)+$\"}}, action: kill}\n"
		"- {name: c, match: {exe: \"*p*y*3\", comm: j*, uid: 5-9}, action: kill}\n"
		"- {name: d, match: {name: {regex: \"^(?:(.)(?=.*\\\\1))*z\"}}, action: kill}\n");
	static const char *const names[] = {"", "xxxxxxxxxxxxxxxxxxxxxxxx",
		"abababababababababababd", "the quick brown fox jumps over the lazy dog",
		"ababababababababababababababababab"};
	struct policy_scratch *scratch;
	unsigned before;

	(void)state;
	assert_int_equal(policy_scratch_new(policy, &scratch), 0);
	before = allocations;
	for (unsigned i = 0; i < 100; i++) {
		struct policy_call call = call_make(names[i % ARRAY_SIZE(names)], i);
		struct decision decision;

		policy_scratch_reset(scratch);
		assert_int_equal(policy_decide(policy, scratch, &call, &decision), 0);
	}
	assert_int_equal(allocations, before);
	policy_scratch_free(scratch);
}

/* Patterns whose search takes exponential, cubic or quadratic time, or much memory. */
static void regexes_give_up(void **state)
{
	static const char *const patterns[] = {"^(a+)+$", "(a|aa)+$", "(a*)*[bc]",
		"(.*)*(.*)*(.*)*[bc]", ".*.*.*.*.*[bc]", "(a(?1)?)+[bc]", "(?:a?){99}a{99}[bc]"};
	char name[250];

	(void)state;
	memset(name, 'a', sizeof(name) - 1);
	name[sizeof(name) - 2] = '!';
	name[sizeof(name) - 1] = '\0';
	for (size_t i = 0; i < ARRAY_SIZE(patterns); i++) {
		cleanup(policy_unref_ptr) struct policy *policy = NULL;
		struct policy_call call = call_make(name, 0);
		struct decision decision;
		char text[256];

		snprintf(text, sizeof(text),
			HEAD "- {name: r, match: {name: {regex: '%s'}}, action: emulate}\n",
			patterns[i]);
		policy = load_good(text);
		decision = decide(policy, &call);
		print_message("%s: %s\n", patterns[i], decision.reason);
		assert_int_equal(decision.verdict, VERDICT_DENY);
		assert_int_equal(decision.error, EACCES);
		assert_string_equal(decision.rule, "r");
		assert_string_equal(decision.reason, "regex gave up");
		/* What is like them and harmless still gets its answer. */
		call = call_make("aaa!", 0);
		assert_string_equal(decide(policy, &call).reason, "no rule matched");
	}
}

static void regexes_are_bounded(void **state)
{
	struct findings findings;
	struct text text = {.data = NULL};

	(void)state;
	text_add(&text, HEAD "- {name: r, action: deny, match: {name: [");
	for (unsigned i = 0; i < 1000; i++)
		text_add(&text, "{regex: \"(?:abc[d-f]x){300}%u\"}, ", i);
	text_add(&text, "]}}\n");
	assert_int_equal(load(text.data, text.len, &findings), -EINVAL);
	assert_non_null(strstr(findings.text, "too many regular expressions"));

	text.len = 0;
	text_add(&text, HEAD "- {name: r, action: deny, match: {name: {regex: \"");
	for (unsigned i = 0; i < 1025; i++)
		text_add(&text, "a");
	text_add(&text, "\"}}}\n");
	assert_int_equal(load(text.data, text.len, &findings), -EINVAL);
	assert_non_null(strstr(findings.text, "longer than 1024 bytes"));
	free(text.data);
}

static void aliases_are_resolved(void **state)
{
	cleanup(policy_unref_ptr) struct policy *policy =
		load_good("version: 1\ndefault: deny\nrules:\n"
			  "- {name: a, match: {name: &names [x, &y \"y*\"]}, action: emulate}\n"
			  "- {name: b, match: {comm: *names, exe: *y}, action: kill}\n");
	struct policy_call call = call_make("z", 0);

	(void)state;
	call.comm = "x";
	call.exe = "yy";
	assert_string_equal(decide(policy, &call).rule, "b");
}

static void aliases_are_bounded(void **state)
{
	static const char loop[] = "version: 1\nmode: &a [*a]\n";
	struct text text = {.data = NULL};
	struct findings findings;

	(void)state;
	assert_int_equal(load(loop, strlen(loop), &findings), -EINVAL);
	assert_string_equal(findings.text, "2:11: this alias contains itself\n");

	/* Nine levels of nine: a billion values in a few hundred bytes. */
	text_add(&text, "version: 1\na0: &a0 [x, x, x, x, x, x, x, x, x]\n");
	for (unsigned i = 1; i < 10; i++) {
		text_add(&text, "a%u: &a%u [", i, i);
		for (unsigned j = 0; j < 9; j++)
			text_add(&text, "*a%u, ", i - 1);
		text_add(&text, "]\n");
	}
	assert_int_equal(load(text.data, text.len, &findings), -EINVAL);
	assert_non_null(strstr(findings.text, "the text holds too many values\n"));

	text.len = 0;
	text_add(&text, "version: 1\na0: &a0 [x]\n");
	for (unsigned i = 1; i < 20; i++)
		text_add(&text, "a%u: &a%u [*a%u]\n", i, i, i - 1);
	assert_int_equal(load(text.data, text.len, &findings), -EINVAL);
	assert_non_null(strstr(findings.text, ": nested too deeply\n"));

	text.len = 0;
	text_add(&text, "version: 1\nx: [");
	for (unsigned i = 0; i < 300; i++)
		text_add(&text, "&a%u x, ", i);
	text_add(&text, "]\n");
	assert_int_equal(load(text.data, text.len, &findings), -EINVAL);
	assert_non_null(strstr(findings.text, ": the text holds too many anchors\n"));
	free(text.data);
}

static void depth_is_bounded(void **state)
{
	static const char *const open[] = {"[", "{a: ", "- ", "? "};
	struct findings findings;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(open); i++) {
		struct text text = {.data = NULL};

		for (unsigned j = 0; j < 100000; j++)
			text_add(&text, "%s", open[i]);
		assert_int_equal(load(text.data, text.len, &findings), -EINVAL);
		print_message("%s", findings.text);
		assert_int_equal(findings.count, 1);
		free(text.data);
	}
}

static void sizes_are_bounded(void **state)
{
	_cleanup_free_ char *text = malloc(POLICY_TEXT_MAX + 1);
	struct findings findings;
	struct text rules = {.data = NULL};

	(void)state;
	assert_non_null(text);
	memset(text, '#', POLICY_TEXT_MAX + 1);
	assert_int_equal(load(text, POLICY_TEXT_MAX + 1, &findings), -EINVAL);
	assert_string_equal(findings.text, "1:1: more than 8 MiB of text\n");
	memcpy(text, "version: 1\n", strlen("version: 1\n"));
	assert_int_equal(load(text, POLICY_TEXT_MAX, &findings), 0);

	text_add(&rules, HEAD);
	for (unsigned i = 0; i < 65537; i++)
		text_add(&rules, "- {name: r%u, match: {uid: %u}, action: deny}\n", i, i);
	assert_int_equal(load(rules.data, rules.len, &findings), -EINVAL);
	assert_string_equal(findings.text, "3:1: more than 65536 rules\n");
	free(rules.data);
}

static void mistakes_are_bounded(void **state)
{
	struct findings findings;
	struct text text = {.data = NULL};

	(void)state;
	text_add(&text, "version: 1\n");
	for (unsigned i = 0; i < 20000; i++)
		text_add(&text, "k%u: 1\n", i);
	assert_int_equal(load(text.data, text.len, &findings), -EINVAL);
	assert_int_equal(findings.count, 10000);
	free(text.data);
}

/* Looking for races is bounded too, and none is let through for that. */
static void races_are_found_among_many_rules(void **state)
{
	struct findings findings;
	struct text text = {.data = NULL};

	(void)state;
	text_add(&text, "version: 1\ndefault: allow\nrules:\n");
	for (unsigned i = 0; i < 12000; i++)
		text_add(&text,
			"- {name: r%u, action: %s, match: {%s flags: {any: [0x%x, 0x%x]}}}\n", i,
			i % 2 ? "allow" : "deny", i % 2 ? "" : "name: n,", 0x10001 + 2 * i,
			0x20001 + 2 * i);
	assert_int_equal(load(text.data, text.len, &findings), -EINVAL);
	/* Some of them are unreachable as well. */
	assert_in_range(findings.count, 6000, 10000);
	free(text.data);
}

/* Bytes of every kind, cut off anywhere: an answer, and no crash. */
static void any_bytes_are_answered(void **state)
{
	static const char good[] =
		"version: 1\ndefault: {action: deny}\nbudget: {cgroup: {reserve: 1M}}\nrules:\n"
		"- {name: a, match: {name: [\"[a]*\", {regex: x}], uid: 1-2}, action: deny}\n";
	struct findings findings;
	char text[sizeof(good)];

	(void)state;
	for (size_t len = 0; len < sizeof(good); len++)
		load(good, len, &findings);
	for (size_t i = 0; i < sizeof(good) - 1; i++) {
		for (unsigned byte = 0; byte < 256; byte += 3) {
			memcpy(text, good, sizeof(good));
			text[i] = (char)byte;
			load(text, sizeof(good) - 1, &findings);
		}
	}
}

static void *ref_and_unref(void *userdata)
{
	struct policy *policy = userdata;

	for (unsigned i = 0; i < 10000; i++) {
		struct policy *mine = policy_ref(policy);

		if (mine != policy || policy_rule_count(mine) != 1)
			return policy;
		policy_unref(mine);
	}
	return policy_unref(policy);
}

static void references_are_counted(void **state)
{
	struct policy *policy =
		load_good(HEAD "- {name: r, match: {name: {regex: a}}, action: kill}\n");
	pthread_t threads[4];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(threads); i++)
		assert_int_equal(
			pthread_create(&threads[i], NULL, ref_and_unref, policy_ref(policy)), 0);
	assert_null(policy_unref(policy));
	for (size_t i = 0; i < ARRAY_SIZE(threads); i++) {
		void *result;

		assert_int_equal(pthread_join(threads[i], &result), 0);
		assert_null(result);
	}
	assert_null(policy_unref(NULL));
}

static void files_are_read(void **state)
{
	struct policy *policy = NULL;
	int pipe_fds[2];

	(void)state;
	assert_int_equal(policy_load_file("/none", NULL, NULL, &policy), -ENOENT);
	assert_int_equal(policy_load_file("/", NULL, NULL, &policy), -EISDIR);
	assert_int_equal(policy_load_file("/dev/zero", NULL, NULL, &policy), -EFBIG);
	assert_int_equal(policy_load_file("/dev/null", NULL, NULL, &policy), -EINVAL);
	assert_null(policy);

	assert_int_equal(pipe2(pipe_fds, O_CLOEXEC), 0);
	assert_int_equal(write(pipe_fds[1], "version: 1\n", 11), 11);
	close(pipe_fds[1]);
	assert_int_equal(policy_load_fd(pipe_fds[0], "test.yaml", NULL, NULL, &policy), 0);
	close(pipe_fds[0]);
	policy_unref(policy);

	assert_int_equal(policy_load_default(&policy), 0);
	policy_unref(policy);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(deciding_allocates_nothing),
		cmocka_unit_test(regexes_give_up),
		cmocka_unit_test(regexes_are_bounded),
		cmocka_unit_test(aliases_are_resolved),
		cmocka_unit_test(aliases_are_bounded),
		cmocka_unit_test(depth_is_bounded),
		cmocka_unit_test(sizes_are_bounded),
		cmocka_unit_test(mistakes_are_bounded),
		cmocka_unit_test(races_are_found_among_many_rules),
		cmocka_unit_test(any_bytes_are_answered),
		cmocka_unit_test(references_are_counted),
		cmocka_unit_test(files_are_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
