/* SPDX-License-Identifier: Apache-2.0 */

#include <string.h>

#include "base/text.h"
#include "cli/cli.h"

static const struct command {
	const char *name;
	int (*main)(int argc, char **argv);
	const char *summary;
} commands[] = {
	{"run", run_main, "run a command and supervise its memfd_create(2)"},
	{"check", check_main, "check policy files"},
	{"coverage", coverage_main, "show what a policy leaves open on this machine"},
};

static const struct command *command_find(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
		if (strcmp(commands[i].name, name) == 0)
			return &commands[i];
	return NULL;
}

static void print_help(FILE *out)
{
	fputs("Usage: fdwarden COMMAND [OPTION...]\n"
	      "Supervises memfd_create(2) of a command and all that it starts, by a policy.\n\n"
	      "Commands:\n",
		out);
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
		fprintf(out, "  %-9s %s\n", commands[i].name, commands[i].summary);
	fputs("  help      show the help of a command\n\n"
	      "Options:\n"
	      "  -h, --help     show this help\n"
	      "  -V, --version  show the version\n\n"
	      "Example: fdwarden run --events - -- python3 app.py\n"
	      "Manual: fdwarden(1), fdwarden-policy(5)\n",
		out);
}

static int unknown_command(const char *word)
{
	const char *names[ARRAY_SIZE(commands)];
	const char *nearest;

	for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
		names[i] = commands[i].name;
	nearest = text_nearest(word, names, ARRAY_SIZE(names));
	cli_error("there is no %s '%s'", word[0] == '-' ? "option" : "command", word);
	if (nearest)
		fprintf(stderr, "  hint: did you mean `fdwarden %s`?\n", nearest);
	else
		fprintf(stderr, "  hint: see `fdwarden --help`\n");
	return EXIT_WRONG;
}

static int help(int argc, char **argv)
{
	char option[] = "--help";
	const struct command *command;

	if (argc < 2) {
		print_help(stdout);
		return 0;
	}
	command = command_find(argv[1]);
	return command ? command->main(2, (char *[]){argv[1], option, NULL})
		       : unknown_command(argv[1]);
}

static bool is_one_of(const char *word, const char *a, const char *b)
{
	return strcmp(word, a) == 0 || strcmp(word, b) == 0;
}

int main(int argc, char **argv)
{
	const struct command *command;

	if (argc < 2) {
		print_help(stderr);
		return EXIT_WRONG;
	}
	if (is_one_of(argv[1], "--help", "-h")) {
		print_help(stdout);
		return 0;
	}
	if (is_one_of(argv[1], "--version", "-V")) {
		puts("fdwarden " FDWARDEN_VERSION);
		return fflush(stdout) == 0 ? 0 : EXIT_FDWARDEN_FAILED;
	}
	if (strcmp(argv[1], "help") == 0)
		return help(argc - 1, argv + 1);
	command = command_find(argv[1]);
	return command ? command->main(argc - 1, argv + 1) : unknown_command(argv[1]);
}
