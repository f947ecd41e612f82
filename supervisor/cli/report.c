/* SPDX-License-Identifier: Apache-2.0 */

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/report.h"

static void print_diagnostic(const struct policy_diagnostic *diagnostic, void *userdata)
{
	bool colour = cli_colour(stderr);

	(void)userdata;
	fprintf(stderr, "%s:%u:%u: %serror:%s %s\n", diagnostic->file, diagnostic->line,
		diagnostic->column, colour ? "\033[1;31m" : "", colour ? "\033[0m" : "",
		diagnostic->message);
	if (diagnostic->hint)
		fprintf(stderr, "  hint: %s\n", diagnostic->hint);
}

int report_load(
	const char *path, policy_diagnostic_fn *report, void *userdata, struct policy **ret_policy)
{
	if (strcmp(path, "-") == 0)
		return policy_load_fd(STDIN_FILENO, path, report, userdata, ret_policy);
	return policy_load_file(path, report, userdata, ret_policy);
}

int report_load_policy(const char *path, struct policy **ret_policy)
{
	int r = report_load(path, print_diagnostic, NULL, ret_policy);

	if (r < 0 && r != -EINVAL)
		cli_error("cannot load the policy %s: %s", path, strerror(-r));
	return r;
}
