/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the subcommands share. Each has its main function, which returns the exit status. */

#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>

#include "base/macro.h"

enum exit_status {
	EXIT_WRONG = 2,             /* wrong usage, or a policy with mistakes */
	EXIT_FDWARDEN_FAILED = 125, /* not the command; as env(1), timeout(1) and docker */
	EXIT_NOT_EXECUTABLE = 126,  /* as a shell does */
	EXIT_NOT_FOUND = 127,
	EXIT_SIGNALLED = 128, /* plus the signal's number */
};

int run_main(int argc, char **argv);
int check_main(int argc, char **argv);
int coverage_main(int argc, char **argv);

/* Prints "fdwarden: " and the message to stderr. */
void cli_error(const char *format, ...) printf_like(1, 2);

/* The same for wrong usage of a command, with a pointer to its --help. Returns EXIT_WRONG. */
int cli_usage_error(const char *command, const char *format, ...) printf_like(2, 3);

/*
 * Says what is wrong with the option that getopt_long() has just refused with '?' or ':' (call it
 * with opterr = 0 and a leading ':' in its short options), and which one was likely meant. Returns
 * EXIT_WRONG.
 */
int cli_option_error(const char *command, char **argv, const struct option *options, int refused);

/* Whether to use colour on this stream: a terminal, and no NO_COLOR (no-color.org). */
bool cli_colour(FILE *stream);
