/* SPDX-License-Identifier: Apache-2.0 */

/* `fdwarden coverage`: what a policy closes, and what it leaves open, on this machine. */

#include <errno.h>
#include <string.h>
#include <sys/utsname.h>

#include "base/text.h"
#include "cli/cli.h"
#include "cli/report.h"
#include "core/coverage.h"

struct coverage_options {
	bool json;
	const char *require; /* ids of rows with commas between, or "all"; NULL: none */
	const char *policy_path;
};

static void print_help(void)
{
	puts("Usage: fdwarden coverage [OPTION...] [POLICY]\n"
	     "Prints each way in which the anonymous memory of a command can grow or get past\n"
	     "the supervisor, and whether POLICY (\"-\" is stdin; default: the built-in one)\n"
	     "leaves it open, on this kernel and with the caller's privilege.\n\n"
	     "  closed   it cannot happen\n"
	     "  bounded  it can, up to a limit that the kernel enforces\n"
	     "  sampled  it can, and is seen and answered at the next measurement\n"
	     "  open     it can\n\n"
	     "Options:\n"
	     "  -j, --json               print one JSON object instead\n"
	     "  -r, --require ROW[,...]  fail if any of these rows is open; \"all\" is every row\n"
	     "  -h, --help               show this help\n\n"
	     "Exit status: 0; 1 when a row of --require is open; 2 for wrong usage or a wrong\n"
	     "policy; 125 when the result cannot be written.\n"
	     "Example: fdwarden coverage --require ftruncate,write,page-fault web.yaml");
}

static int load_policy(const char *path, struct policy **ret_policy)
{
	int r = path ? report_load_policy(path, ret_policy) : policy_load_default(ret_policy);

	if (r == 0)
		return 0;
	return r == -ENOMEM ? EXIT_FDWARDEN_FAILED : EXIT_WRONG;
}

static const struct coverage_row *row_find(
	const struct coverage_report *report, const char *id, size_t len)
{
	for (size_t i = 0; i < report->row_count; i++)
		if (strlen(report->rows[i].id) == len && memcmp(report->rows[i].id, id, len) == 0)
			return &report->rows[i];
	return NULL;
}

static int unknown_row(const struct coverage_report *report, const char *id, size_t len)
{
	const char *ids[COVERAGE_ROWS];
	const char *nearest;
	char word[64];

	snprintf(word, sizeof(word), "%.*s", (int)len, id);
	for (size_t i = 0; i < report->row_count; i++)
		ids[i] = report->rows[i].id;
	nearest = text_nearest(word, ids, report->row_count);
	if (!nearest)
		return cli_usage_error("coverage", "there is no row '%s'", word);
	return cli_usage_error("coverage", "there is no row '%s'; did you mean %s?", word, nearest);
}

static bool row_is_open(const struct coverage_row *row)
{
	return row->state == COVERAGE_OPEN;
}

/* Returns the exit status that the rows asked for make. */
static int check_required(const struct coverage_report *report, const char *require)
{
	int status = 0;

	if (strcmp(require, "all") == 0) {
		for (size_t i = 0; i < report->row_count; i++)
			if (row_is_open(&report->rows[i]))
				status = EXIT_FAILURE;
		return status;
	}
	for (const char *id = require;; id++) {
		size_t len = strcspn(id, ",");
		const struct coverage_row *row = row_find(report, id, len);

		if (!row)
			return unknown_row(report, id, len);
		if (row_is_open(row))
			status = EXIT_FAILURE;
		id += len;
		if (*id == '\0')
			return status;
	}
}

static int print_report(const struct coverage_report *report, bool json)
{
	int r = 0;

	if (json)
		r = coverage_print_json(report, stdout);
	else
		coverage_print_text(report, stdout, cli_colour(stdout));
	if (r == 0 && fflush(stdout) != 0)
		r = -errno;
	if (r == 0)
		return 0;
	cli_error("cannot write the result: %s", strerror(-r));
	return EXIT_FDWARDEN_FAILED;
}

static int report_make(const struct coverage_options *options)
{
	cleanup(policy_unref_ptr) struct policy *policy = NULL;
	struct coverage_report report = {.policy = options->policy_path};
	struct utsname names;
	int status = load_policy(options->policy_path, &policy);
	int required;

	if (status != 0)
		return status;
	report.release = uname(&names) == 0 ? names.release : "?";
	report.mode = policy_mode(policy);
	report.sample_ms = policy_quotas(policy)->sample_ms;
	coverage_probe(&report.machine);
	report.row_count = coverage_judge(policy, &report.machine, report.rows);
	required = options->require ? check_required(&report, options->require) : 0;
	if (required == EXIT_WRONG)
		return required;
	status = print_report(&report, options->json);
	return status != 0 ? status : required;
}

int coverage_main(int argc, char **argv)
{
	static const struct option long_options[] = {{"json", no_argument, NULL, 'j'},
		{"require", required_argument, NULL, 'r'}, {"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0}};
	struct coverage_options options = {.json = false};
	int option;

	opterr = 0;
	while ((option = getopt_long(argc, argv, ":jr:h", long_options, NULL)) != -1) {
		switch (option) {
		case 'j':
			options.json = true;
			break;
		case 'r':
			options.require = optarg;
			break;
		case 'h':
			print_help();
			return 0;
		default:
			return cli_option_error("coverage", argv, long_options, option);
		}
	}
	if (argc - optind > 1)
		return cli_usage_error("coverage", "more than one policy given");
	options.policy_path = argv[optind];
	return report_make(&options);
}
