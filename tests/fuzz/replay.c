/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Runs a fuzz target without libFuzzer, for `meson test`: over the files that are named, over each
 * file of the folders that are named, and with --random=N over N inputs that are the same in every
 * run.
 */

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/macro.h"

#include "fuzz.h"

#define RANDOM_INPUT_MAX 512
#define FILE_INPUT_MAX   (1024 * 1024)

/* The input that runs, for whoever has to look into a failure. */
static char current[PATH_MAX];

static void print_current(int sig)
{
	(void)sig;
	if (write(STDERR_FILENO, current, strlen(current)) < 0)
		_exit(1);
}

static bool replay_file(const char *path)
{
	_cleanup_free_ uint8_t *bytes = malloc(FILE_INPUT_MAX);
	FILE *file = fopen(path, "re");
	size_t size;

	if (!bytes || !file) {
		fprintf(stderr, "%s: %m\n", path);
		return false;
	}
	snprintf(current, sizeof(current), "input: %s\n", path);
	size = fread(bytes, 1, FILE_INPUT_MAX, file);
	fclose(file);
	LLVMFuzzerTestOneInput(bytes, size);
	return true;
}

static bool replay(const char *path)
{
	DIR *dir = opendir(path);
	const struct dirent *entry;
	char below[PATH_MAX];
	bool good = true;

	if (!dir)
		return errno == ENOTDIR && replay_file(path);
	while ((entry = readdir(dir))) {
		if (entry->d_name[0] == '.')
			continue;
		snprintf(below, sizeof(below), "%s/%s", path, entry->d_name);
		good = replay_file(below) && good;
	}
	closedir(dir);
	return good;
}

/* The seed of an input is its number, so a failure names what to run again. */
static void replay_random(unsigned long count)
{
	uint8_t bytes[RANDOM_INPUT_MAX];

	for (unsigned long input = 0; input < count; input++) {
		unsigned short state[3] = {
			(unsigned short)input, (unsigned short)(input >> 16), 0xfd};
		size_t size = (size_t)nrand48(state) % sizeof(bytes);

		snprintf(current, sizeof(current), "input: random number %lu\n", input);
		for (size_t i = 0; i < size; i++)
			bytes[i] = (uint8_t)(nrand48(state) >> 7);
		LLVMFuzzerTestOneInput(bytes, size);
	}
}

int main(int argc, char *argv[])
{
	bool good = true;

	signal(SIGABRT, print_current);
	for (int i = 1; i < argc; i++) {
		if (strncmp(argv[i], "--random=", strlen("--random=")) == 0)
			replay_random(strtoul(argv[i] + strlen("--random="), NULL, 10));
		else if (!replay(argv[i])) {
			fprintf(stderr, "%s: can't be read\n", argv[i]);
			good = false;
		}
	}
	return !good;
}
