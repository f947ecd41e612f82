/* SPDX-License-Identifier: Apache-2.0 */

/* The name of a tenant, out of the path of a cgroup. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "policy_fixture.h"

static struct policy *load_tenant(const char *pattern)
{
	char text[1024];

	snprintf(text, sizeof(text), "version: 1\ntenant: {cgroup: '%s'}\n", pattern);
	return load_good(text);
}

static const struct {
	const char *pattern, *path, *name; /* NULL: does not match */
} captures[] = {
	{"/docker/(*)", "/docker/abc", "abc"},
	{"/docker/(*)", "/docker/abc/", "abc"},
	{"/docker/(*)", "/docker", NULL},
	{"/docker/(*)", "/docker/", NULL},
	{"/docker/(*)", "/docker//", NULL},
	{"/docker/(*)", "/docker//abc", NULL},
	{"/docker/(*)", "//docker/abc", NULL},
	{"/docker/(*)", "/dockers/abc", NULL},
	{"/docker/(*)", "/a/docker/abc", NULL},
	{"/docker/(*)", "/", NULL},
	{"/docker/(*)", "", NULL},
	{"/docker/(*)", "docker/abc", NULL},
	/* What lies below, whatever it is called. */
	{"/docker/(*)", "/docker/abc/init.scope", "abc"},
	{"/docker/(*)", "/docker/abc/docker/def", "abc"},
	{"/docker/(*)", "/docker/abc/../def", "abc"},
	/* Out of the namespace, and what no kernel says. */
	{"/(*)", "/../a", NULL},
	{"/(*)", "/..", NULL},
	{"/(*)", "/.", NULL},
	{"/(*)", "/..a", "..a"},
	{"/(*)", "/...", "..."},
	{"/(*)", "/.a", ".a"},
	{"/../(*)", "/../a", "a"},
	{"/**/(*)", "/../../a", NULL},
	{"/docker/(*)", "/../docker/abc", NULL},
	/* A part of a component. */
	{"/system.slice/docker-(*).scope", "/system.slice/docker-0a1b.scope", "0a1b"},
	{"/system.slice/docker-(*).scope", "/system.slice/docker-0a1b.scope/x", "0a1b"},
	{"/system.slice/docker-(*).scope", "/system.slice/docker-.scope", NULL},
	{"/system.slice/docker-(*).scope", "/system.slice/docker-a.scope.scope", "a.scope"},
	{"/system.slice/docker-(*).scope", "/system.slice/docker-a.scop", NULL},
	{"/system.slice/docker-(*).scope", "/system.slice/docker-a/b.scope", NULL},
	{"/user.slice/user-(*).slice", "/user.slice/user-1000.slice/user@1000.service/a", "1000"},
	/* Wildcards within a component, and beyond. */
	{"/a*/(*)", "/a/b", "b"},
	{"/a*/(*)", "/abc/b", "b"},
	{"/a*/(*)", "/ab/c/d", "c"},
	{"/*/(*)", "/a/b/c", "b"},
	{"/*/(*)/c", "/a/b/c/d", "b"},
	{"/*/(*)/c", "/a/b/d/c", NULL},
	{"/*/(*)/*", "/a/b", NULL},
	{"/*/(*)/*", "/a/b/c", "b"},
	{"/a?/(*)", "/ab/c", "c"},
	{"/a?b/(*)", "/a/b/c", NULL},
	{"/a[!x]b/(*)", "/a/b/c", NULL},
	{"/a[!x]b/(*)", "/a.b/c", "c"},
	{"/[[:alpha:]]/(*)", "/x/1", "1"},
	{"/[[:alpha:]]/(*)", "/1/x", NULL},
	{"/\\(*\\)/(*)", "/(x)/y", "y"},
	{"/a\\*/(*)", "/ab/c", NULL},
	{"/a\\*/(*)", "/a*/c", "c"},
	/* Any depth ahead of the capture: the outermost match, whatever is made inside. */
	{"/kubepods/**/pod(*)", "/kubepods/burstable/pod1/ctr", "1"},
	{"/kubepods/**/pod(*)", "/kubepods/pod1", NULL},
	{"/kubepods/**pod(*)", "/kubepods/pod1", "1"},
	{"/kubepods/**pod(*)", "/kubepods/burstable/pod1/pod2", "1"},
	{"/kubepods/**pod(*)", "/kubepods/pod1/burstable/pod2", "1"},
	{"/kubepods/**pod(*)", "/kubepods/podpod/pod2", "pod"},
	{"/kubepods/**pod(*)", "/kubepods/pod/pod2", "2"},
	{"/kubepods.slice/**/cri-containerd-(*).scope",
		"/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-podX.slice/"
		"cri-containerd-0a.scope/cri-containerd-evil.scope",
		"0a"},
	{"/**/(*)", "/a/b/c", "b"},
	{"/**(*)", "/a/b/c", "a"},
	{"/**/x/(*)", "/x/x/x/a", "x"},
	{"/**/x/(*)/end", "/x/x/x/a/end", "a"},
	{"/**a/b*/(*)", "/a/a/bb/c", "c"},
	{"/**a/**b/(*)", "/xa/a/b/b/c", "b"},
	/* Runs beside the capture leave it all that it can have. */
	{"/(*)*", "/abc", "abc"},
	{"/(*)**", "/abc/d", "abc"},
	{"/*(*)", "/abc", "abc"},
	{"/(*)-*", "/a-b-c", "a-b"},
	{"/*-(*)", "/a-b-c", "b-c"},
	{"/**-(*)", "/a-b-c/d-e", "b-c"},
	/* Bytes are bytes. */
	{"/(*)", "/\xff \x01\"\\", "\xff \x01\"\\"},
	{"/\xc3\xa9/(*)", "/\xc3\xa9/x", "x"},
	{"/?/(*)", "/\xc3\xa9/x", NULL},
};

static void names_are_captured(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(captures); i++) {
		cleanup(policy_unref_ptr) struct policy *policy = load_tenant(captures[i].pattern);
		char name[POLICY_TENANT_MAX] = "untouched";
		bool found = policy_tenant_name(policy, captures[i].path, name);

		assert_int_equal(found, captures[i].name != NULL);
		assert_string_equal(name, found ? captures[i].name : "untouched");
		assert_true(policy_wants_cgroup(policy));
	}
}

/* A name of the kernel's limit fits, and no two are made one. */
static void long_names_are_kept(void **state)
{
	cleanup(policy_unref_ptr) struct policy *policy = load_tenant("/(*)");
	char path[1 + 256 + 1] = "/", name[POLICY_TENANT_MAX] = "";

	(void)state;
	memset(path + 1, 'a', 255);
	assert_true(policy_tenant_name(policy, path, name));
	assert_string_equal(name, path + 1);
	memset(path + 1, 'a', 256);
	assert_false(policy_tenant_name(policy, path, name));
}

static void other_tenants_have_no_name(void **state)
{
	static const char *const texts[] = {"version: 1\n", "version: 1\ntenant: uid\n"};
	char name[POLICY_TENANT_MAX];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		cleanup(policy_unref_ptr) struct policy *policy = load_good(texts[i]);

		assert_false(policy_tenant_name(policy, "/docker/a", name));
		assert_false(policy_wants_cgroup(policy));
	}
}

/* What makes a search that goes back take exponential or cubic time: ends, or the test never. */
static void hostile_paths_end(void **state)
{
	char pattern[256] = "/", path[4096];
	char name[POLICY_TENANT_MAX];

	(void)state;
	for (size_t at = 1; at + 8 < 250; at += 4)
		memcpy(pattern + at, "**a*", 5);
	memcpy(pattern + strlen(pattern), "b(*)", 5);
	memset(path, 'a', sizeof(path));
	for (size_t i = 0; i < sizeof(path); i += 100)
		path[i] = '/';
	path[sizeof(path) - 1] = '\0';
	for (unsigned i = 0; i < 20; i++) {
		cleanup(policy_unref_ptr) struct policy *policy = load_tenant(pattern);

		assert_false(policy_tenant_name(policy, path, name));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_are_captured),
		cmocka_unit_test(long_names_are_kept),
		cmocka_unit_test(other_tenants_have_no_name),
		cmocka_unit_test(hostile_paths_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
