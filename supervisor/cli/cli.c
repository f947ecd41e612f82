/* SPDX-License-Identifier: Apache-2.0 */

#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/text.h"
#include "cli/cli.h"

/* More long options than any command has. */
#define OPTIONS_MAX 32

static void printf_like(1, 0) print_error(const char *format, va_list arguments)
{
	fputs("fdwarden: ", stderr);
	vfprintf(stderr, format, arguments);
	fputc('\n', stderr);
}

void cli_error(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	print_error(format, arguments);
	va_end(arguments);
}

int cli_usage_error(const char *command, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	print_error(format, arguments);
	va_end(arguments);
	fprintf(stderr, "  hint: see `fdwarden %s --help`\n", command);
	return EXIT_WRONG;
}

static const char *option_nearest(const char *word, const struct option *options)
{
	const char *names[OPTIONS_MAX];
	size_t count = 0;

	while (count < OPTIONS_MAX && options[count].name) {
		names[count] = options[count].name;
		count++;
	}
	return text_nearest(word, names, count);
}

int cli_option_error(const char *command, char **argv, const struct option *options, int refused)
{
	const char *word = argv[optind - 1];
	const char *nearest;

	if (refused == ':')
		return cli_usage_error(command, "option %s needs a value", word);
	if (optopt != 0 && word[0] == '-' && word[1] == '-')
		return cli_usage_error(command, "option %s takes no value", word);
	if (optopt != 0)
		return cli_usage_error(command, "unknown option -%c", optopt);
	nearest = option_nearest(word + 2, options);
	if (!nearest)
		return cli_usage_error(command, "unknown option %s", word);
	return cli_usage_error(command, "unknown option %s; did you mean --%s?", word, nearest);
}

bool cli_colour(FILE *stream)
{
	const char *no_color = getenv("NO_COLOR");

	return (!no_color || no_color[0] == '\0') && isatty(fileno(stream));
}
