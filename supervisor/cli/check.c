/* SPDX-License-Identifier: Apache-2.0 */

/* `fdwarden check`: reads policies and says what is wrong with them. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "cli/cli.h"
#include "cli/report.h"

struct check {
	bool json, quiet;
	bool failed;     /* some file is no valid policy */
	bool want_comma; /* JSON: something stands before, in the array that is open */
	bool no_memory;  /* JSON: a string could not be escaped */
};

static void print_help(void)
{
	puts("Usage: fdwarden check [OPTION...] FILE...\n"
	     "Reads policies (\"-\" is stdin) and prints every mistake in them, with its place.\n\n"
	     "Options:\n"
	     "  -j, --json   print one JSON object on stdout instead\n"
	     "  -q, --quiet  print mistakes only\n"
	     "  -h, --help   show this help\n\n"
	     "Exit status: 0 when all files are valid policies, else 2; 125 when the result\n"
	     "cannot be written.\n"
	     "Example: fdwarden check policies/*.yaml");
}

static void print_json_string(struct check *check, const char *text)
{
	size_t len = strlen(text);
	char *escaped = malloc(TEXT_ESCAPED_MAX(len));

	if (!escaped) {
		check->no_memory = true;
		return;
	}
	text_escape_json(text, len, escaped, NULL);
	printf("\"%s\"", escaped);
	free(escaped);
}

static void print_json_diagnostic(const struct policy_diagnostic *diagnostic, void *userdata)
{
	struct check *check = userdata;

	printf("%s{\"line\":%u,\"column\":%u,\"message\":", check->want_comma ? "," : "",
		diagnostic->line, diagnostic->column);
	print_json_string(check, diagnostic->message);
	if (diagnostic->hint) {
		fputs(",\"hint\":", stdout);
		print_json_string(check, diagnostic->hint);
	}
	putchar('}');
	check->want_comma = true;
}

/* One object for each file; diagnostics come first, as they are printed while they are found. */
static int check_json(struct check *check, const char *path, struct policy **ret_policy)
{
	int r;

	fputs("{\"file\":", stdout);
	print_json_string(check, path);
	fputs(",\"diagnostics\":[", stdout);
	check->want_comma = false;
	r = report_load(path, print_json_diagnostic, check, ret_policy);
	putchar(']');
	if (r < 0 && r != -EINVAL) {
		fputs(",\"error\":", stdout);
		print_json_string(check, strerror(-r));
	}
	if (r == 0)
		printf(",\"rules\":%zu", policy_rule_count(*ret_policy));
	printf(",\"ok\":%s}", r == 0 ? "true" : "false");
	return r;
}

static int check_text(const struct check *check, const char *path, struct policy **ret_policy)
{
	int r = report_load_policy(path, ret_policy);
	size_t rules;

	if (r < 0 || check->quiet)
		return r;
	rules = policy_rule_count(*ret_policy);
	printf("%s: ok, %zu rule%s\n", path, rules, rules == 1 ? "" : "s");
	return 0;
}

static void check_file(struct check *check, const char *path)
{
	cleanup(policy_unref_ptr) struct policy *policy = NULL;
	int r = check->json ? check_json(check, path, &policy) : check_text(check, path, &policy);

	if (r < 0)
		check->failed = true;
}

static int check_files(struct check *check, char **paths)
{
	if (check->json)
		fputs("{\"files\":[", stdout);
	for (char **path = paths; *path; path++) {
		if (check->json && path != paths)
			putchar(',');
		check_file(check, *path);
	}
	if (check->json)
		puts("]}");
	if (fflush(stdout) != 0 || check->no_memory) {
		cli_error(
			"cannot write the result: %s", strerror(check->no_memory ? ENOMEM : errno));
		return EXIT_FDWARDEN_FAILED;
	}
	return check->failed ? EXIT_WRONG : 0;
}

int check_main(int argc, char **argv)
{
	static const struct option options[] = {{"json", no_argument, NULL, 'j'},
		{"quiet", no_argument, NULL, 'q'}, {"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0}};
	struct check check = {.failed = false};
	int option;

	opterr = 0;
	while ((option = getopt_long(argc, argv, ":jqh", options, NULL)) != -1) {
		switch (option) {
		case 'j':
			check.json = true;
			break;
		case 'q':
			check.quiet = true;
			break;
		case 'h':
			print_help();
			return 0;
		default:
			return cli_option_error("check", argv, options, option);
		}
	}
	if (optind == argc)
		return cli_usage_error("check", "no policy file given");
	return check_files(&check, argv + optind);
}
