/* SPDX-License-Identifier: Apache-2.0 */

/* memfd-probe [GROUP...]: flags, names, descriptors, owners; all of them without an argument. */

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/macro.h"
#include "probe.h"

static const struct {
	const char *name;
	void (*run)(void);
} groups[] = {
	{"flags", probe_all_flags},
	{"names", probe_all_names},
	{"descriptors", probe_descriptors},
	{"owners", probe_owners},
};

/* syscall(2), because the library's wrapper takes 32 bits of flags. */
int probe_memfd(const struct probe_call *call)
{
	return (int)probe_result(syscall(__NR_memfd_create, call->name, call->flags));
}

long probe_result(long result)
{
	return result < 0 ? -errno : result;
}

void probe_report(const struct probe_call *call, const char *facet, const char *format, ...)
{
	va_list args;

	printf("%s flags=%#lx %s: ", call->label, call->flags, facet);
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	putchar('\n');
}

int main(int argc, char **argv)
{
	if (argc == 2 && strcmp(argv[1], "--executed") == 0)
		return PROBE_EXECUTED;
	for (size_t i = 0; i < ARRAY_SIZE(groups); i++) {
		bool wanted = argc == 1;

		for (int arg = 1; arg < argc; arg++)
			wanted |= strcmp(argv[arg], groups[i].name) == 0;
		if (!wanted)
			continue;
		printf("# %s\n", groups[i].name);
		groups[i].run();
	}
	return fflush(stdout) == 0 ? 0 : 1;
}
