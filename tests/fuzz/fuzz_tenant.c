/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A random pattern of a tenant's cgroup and random paths: the engine's name is what a slow and
 * obvious search finds, which tries the shortest beginning first, and in it the earliest and then
 * the longest capture.
 */

#include <stdbool.h>
#include <string.h>

#include "base/macro.h"
#include "policy/policy.h"

#include "fuzz.h"

#define ATOMS_MAX 12
#define PATH_LEN  24
#define PATHS_MAX 6

enum atom {
	ATOM_BYTE,
	ATOM_ANY,  /* "?" */
	ATOM_SET,  /* "[!a]" */
	ATOM_RUN,  /* "*" */
	ATOM_STAR, /* two of them */
};

struct pattern {
	size_t count, capture; /* the capture stands ahead of this atom */
	enum atom atoms[ATOMS_MAX];
	char bytes[ATOMS_MAX];
};

struct input {
	const uint8_t *bytes;
	size_t left;
};

static unsigned take(struct input *input, unsigned bound)
{
	if (!input->left)
		return 0;
	input->left--;
	return *input->bytes++ % bound;
}

static char byte_make(struct input *input)
{
	static const char alphabet[] = "aab./-/(*";

	return alphabet[take(input, sizeof(alphabet) - 1)];
}

/* What the grammar refuses: an empty component, and runs that would be read as another one. */
static bool atom_fits(const struct pattern *pattern, enum atom atom, char byte)
{
	size_t last = pattern->count - 1;

	if (atom == ATOM_BYTE && byte == '/')
		return pattern->atoms[last] != ATOM_BYTE || pattern->bytes[last] != '/';
	return atom < ATOM_RUN || pattern->atoms[last] < ATOM_RUN;
}

static void pattern_make(struct pattern *pattern, struct input *input)
{
	size_t wanted = 1 + take(input, ATOMS_MAX);

	*pattern = (struct pattern){.count = 1, .bytes = "/"};
	for (size_t tries = 0; pattern->count < wanted && tries < 2 * ATOMS_MAX; tries++) {
		unsigned choice = take(input, 8);
		enum atom atom = choice < 4 ? ATOM_BYTE : (enum atom)(choice - 3);
		char byte = byte_make(input);

		if (!atom_fits(pattern, atom, byte))
			continue;
		pattern->atoms[pattern->count] = atom;
		pattern->bytes[pattern->count++] = byte;
	}
	/* Behind the slash that each begins with; between two slashes it is a component. */
	pattern->capture = 1 + take(input, (unsigned)pattern->count);
	if (pattern->capture < pattern->count && pattern->atoms[pattern->count - 1] == ATOM_BYTE &&
		pattern->bytes[pattern->count - 1] == '/')
		pattern->count--;
}

static void pattern_write(const struct pattern *pattern, FILE *out)
{
	static const char *const marks[] = {
		[ATOM_ANY] = "?", [ATOM_SET] = "[!a]", [ATOM_RUN] = "*", [ATOM_STAR] = "**"};

	for (size_t i = 0; i <= pattern->count; i++) {
		if (i == pattern->capture)
			fputs("(*)", out);
		if (i == pattern->count)
			break;
		if (pattern->atoms[i] != ATOM_BYTE)
			fputs(marks[pattern->atoms[i]], out);
		else
			fprintf(out, "%s%c", strchr("(*", pattern->bytes[i]) ? "\\" : "",
				pattern->bytes[i]);
	}
}

/* Whether the atoms from first to last match the text from begin to end. */
static bool atoms_match(const struct pattern *pattern, size_t first, size_t last, const char *begin,
	const char *end)
{
	if (first == last)
		return begin == end;
	if (pattern->atoms[first] == ATOM_RUN || pattern->atoms[first] == ATOM_STAR) {
		if (atoms_match(pattern, first + 1, last, begin, end))
			return true;
		return begin < end && (pattern->atoms[first] == ATOM_STAR || *begin != '/') &&
		       atoms_match(pattern, first, last, begin + 1, end);
	}
	if (begin == end || !atoms_match(pattern, first + 1, last, begin + 1, end))
		return false;
	if (pattern->atoms[first] == ATOM_BYTE)
		return *begin == pattern->bytes[first];
	return *begin != '/' && (pattern->atoms[first] == ATOM_ANY || *begin != 'a');
}

/* The capture in a beginning of the path, or false. */
static bool beginning_search(
	const struct pattern *pattern, const char *path, const char *end, char *ret_name)
{
	for (const char *from = path; from < end; from++) {
		if (!atoms_match(pattern, 0, pattern->capture, path, from))
			continue;
		for (size_t len = strcspn(from, "/"); len > 0; len--) {
			if (from + len > end || !atoms_match(pattern, pattern->capture,
							pattern->count, from + len, end))
				continue;
			memcpy(ret_name, from, len);
			ret_name[len] = '\0';
			return true;
		}
	}
	return false;
}

static bool path_search(const struct pattern *pattern, const char *path, char *ret_name)
{
	size_t len = strlen(path);

	for (size_t end = 1; end <= len; end++) {
		if (path[end] != '/' && path[end] != '\0')
			continue;
		if (beginning_search(pattern, path, path + end, ret_name))
			return strcmp(ret_name, ".") != 0 && strcmp(ret_name, "..") != 0;
	}
	return false;
}

static struct policy *load(const struct pattern *pattern)
{
	_cleanup_free_ char *text = NULL;
	struct policy *policy = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	fuzz_assert(out);
	fputs("version: 1\ntenant: {cgroup: '", out);
	pattern_write(pattern, out);
	fputs("'}\n", out);
	fclose(out);
	if (getenv("FUZZ_SHOW"))
		fputs(text, stderr);
	fuzz_assert(policy_load(text, size, "fuzz.yaml", NULL, NULL, &policy) == 0);
	return policy;
}

static void check_path(
	const struct policy *policy, const struct pattern *pattern, struct input *input)
{
	char path[PATH_LEN + 1] = "/", expected[PATH_LEN + 1] = "", got[POLICY_TENANT_MAX];
	size_t len = take(input, PATH_LEN);
	bool found;

	for (size_t i = 1; i < len; i++)
		path[i] = byte_make(input);
	found = policy_tenant_name(policy, path, got);
	if (getenv("FUZZ_SHOW"))
		fprintf(stderr, "%s -> %s\n", path, found ? got : "(none)");
	fuzz_assert(found == path_search(pattern, path, expected));
	fuzz_assert(!found || strcmp(got, expected) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = {.bytes = data, .left = size};
	struct pattern pattern;
	struct policy *policy;

	pattern_make(&pattern, &input);
	policy = load(&pattern);
	for (size_t i = 0; i < PATHS_MAX; i++)
		check_path(policy, &pattern, &input);
	policy_unref(policy);
	return 0;
}
