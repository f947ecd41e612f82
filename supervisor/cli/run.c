/* SPDX-License-Identifier: Apache-2.0 */

#include "cli/run.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/text.h"
#include "cli/cli.h"
#include "cli/report.h"
#include "kernel/filter.h"

struct run_options {
	const char *policy_path; /* NULL: the built-in one */
	const char *events;
	const char *format;
	const char *mode;
	const char *memory;
};

static const char run_help[] =
	"Usage: fdwarden run [OPTION...] [--] COMMAND [ARG...]\n"
	"Runs the command, and answers every memfd_create(2) of it and of all that it\n"
	"starts, by a policy.\n"
	"\n"
	"  -p, --policy FILE    policy to enforce; \"-\" is stdin (default: the built-in\n"
	"                       one, which emulates every call)\n"
	"  -e, --events DEST    write one line for each decision to \"-\" (stdout),\n"
	"                       \"stderr\", \"fd:N\", or a file, which is appended to\n"
	"      --format FORMAT  of the events: json (default) or tracee\n"
	"  -s, --summary        print what was decided, and what tenants with quotas\n"
	"                       used, on stderr at the end\n"
	"  -m, --memory SIZE    run in a new memory cgroup with this limit, as 512MiB\n"
	"      --mode MODE      enforce or audit, whatever the policy says\n"
	"  -t, --tenant NAME    name in the events (default: run)\n"
	"  -h, --help           show this help\n"
	"\n"
	"Exit status: the command's own, 128+N when signal N ended it; 126 when it cannot\n"
	"be executed, 127 when there is none; 125 when fdwarden itself failed; 2 for\n"
	"wrong usage or a wrong policy.\n"
	"\n"
	"Examples:\n"
	"  fdwarden run -- python3 app.py\n"
	"  fdwarden run -p web.yaml -e /var/log/memfd.json -m 1GiB -- server\n";

enum {
	OPTION_FORMAT = 256,
	OPTION_MODE,
};

static const struct option run_long_options[] = {
	{"policy", required_argument, NULL, 'p'},
	{"events", required_argument, NULL, 'e'},
	{"format", required_argument, NULL, OPTION_FORMAT},
	{"summary", no_argument, NULL, 's'},
	{"memory", required_argument, NULL, 'm'},
	{"mode", required_argument, NULL, OPTION_MODE},
	{"tenant", required_argument, NULL, 't'},
	{"help", no_argument, NULL, 'h'},
	{NULL, 0, NULL, 0},
};

/* Returns -1 to go on, or the exit status to end with. */
static int parse_options(
	int argc, char **argv, struct run_options *options, struct run_config *config)
{
	int c;

	opterr = 0;
	/* "+": what follows the command is the command's. */
	while ((c = getopt_long(argc, argv, "+:p:e:sm:t:h", run_long_options, NULL)) != -1) {
		switch (c) {
		case 'p':
			options->policy_path = optarg;
			break;
		case 'e':
			options->events = optarg;
			break;
		case OPTION_FORMAT:
			options->format = optarg;
			break;
		case 's':
			config->summary = true;
			break;
		case 'm':
			options->memory = optarg;
			break;
		case OPTION_MODE:
			options->mode = optarg;
			break;
		case 't':
			config->tenant = optarg;
			break;
		case 'h':
			fputs(run_help, stdout);
			return 0;
		default:
			return cli_option_error("run", argv, run_long_options, c);
		}
	}
	if (optind == argc)
		return cli_usage_error("run", "which command?");
	config->command = argv + optind;
	return -1;
}

static int load_policy(const struct run_options *options, struct run_config *config)
{
	int r = options->policy_path ? report_load_policy(options->policy_path, &config->policy)
				     : policy_load_default(&config->policy);

	if (r < 0)
		return r == -ENOMEM ? EXIT_FDWARDEN_FAILED : EXIT_WRONG;
	config->mode = policy_mode(config->policy);
	if (!options->mode)
		return -1;
	if (strcmp(options->mode, "enforce") == 0)
		config->mode = POLICY_ENFORCE;
	else if (strcmp(options->mode, "audit") == 0)
		config->mode = POLICY_AUDIT;
	else
		return cli_usage_error(
			"run", "--mode is enforce or audit, not '%s'", options->mode);
	return -1;
}

/* A descriptor that somebody opened for us: a copy for us, and the command does not get it. */
static int open_events_fd(const char *number)
{
	char *end;
	long fd = strtol(number, &end, 10);

	if (*number == '\0' || *end != '\0' || fd < 0 || fd > INT32_MAX)
		return -EINVAL;
	int mode = fcntl((int)fd, F_GETFL);

	/* O_PATH: where we were started without this standard stream. */
	if (mode < 0 || mode & O_PATH || (mode & O_ACCMODE) == O_RDONLY)
		return -EBADF;

	int copy = fcntl((int)fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);

	if (copy < 0)
		return -errno;
	if (fd > STDERR_FILENO && fcntl((int)fd, F_SETFD, FD_CLOEXEC) < 0)
		return -errno;
	return copy;
}

static int open_events(const char *destination)
{
	int fd;

	if (strcmp(destination, "-") == 0)
		return open_events_fd("1");
	if (strcmp(destination, "stderr") == 0)
		return open_events_fd("2");
	if (strncmp(destination, "fd:", 3) == 0)
		return open_events_fd(destination + 3);
	fd = open(destination, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, 0600);
	return fd < 0 ? -errno : fd;
}

static int prepare_events(const struct run_options *options, struct run_config *config)
{
	if (options->format) {
		if (strcmp(options->format, "tracee") == 0)
			config->format = AUDIT_TRACEE;
		else if (strcmp(options->format, "json") != 0)
			return cli_usage_error(
				"run", "--format is json or tracee, not '%s'", options->format);
	}
	if (!options->events)
		return -1;
	config->events_fd = open_events(options->events);
	if (config->events_fd < 0)
		return cli_usage_error("run", "cannot write events to '%s': %s", options->events,
			strerror(-config->events_fd));
	return -1;
}

static int prepare_memory(const struct run_options *options, struct run_config *config)
{
	const char *hint = NULL;
	uint64_t limit_bytes;
	int r;

	if (!options->memory)
		return -1;
	r = text_parse_size(options->memory, &limit_bytes);
	if (r < 0 || limit_bytes == 0)
		return cli_usage_error(
			"run", "--memory is a size such as 512MiB, not '%s'", options->memory);
	r = cgroup_group_new(limit_bytes, &config->group, &hint);
	if (r == 0)
		return -1;
	cli_error("cannot make a memory cgroup: %s", strerror(-r));
	if (hint)
		fprintf(stderr, "  hint: %s\n", hint);
	return EXIT_FDWARDEN_FAILED;
}

/* What could never be measured would refuse every call: better not to start. */
static int check_cgroup(const struct run_config *config)
{
	struct cgroup_view *view = NULL;
	int r = policy_wants_cgroup(config->policy) ? cgroup_view_new(&view) : 0;

	cgroup_view_free(view);
	if (r == 0)
		return -1;
	cli_error("the policy looks at cgroups, but no memory cgroup is visible here: %s",
		strerror(-r));
	fputs("  hint: mount the cgroup file system, or take budget.cgroup and match.cgroup out of "
	      "the policy\n",
		stderr);
	return EXIT_FDWARDEN_FAILED;
}

/*
 * All signals are blocked from here on, in each process but the command: the front and the
 * supervisor read theirs from a signalfd, and the thread that answers calls may not be interrupted.
 * A SIGCHLD that is ignored would let the kernel reap children before we see how they ended.
 */
static void take_signals(struct run_config *config)
{
	struct sigaction previous;
	sigset_t all;

	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &config->original_mask);
	sigaction(SIGCHLD, &(struct sigaction){.sa_handler = SIG_DFL}, &previous);
	config->sigchld_ignored = previous.sa_handler == SIG_IGN;
}

/* Splits into front and supervisor. Returns the exit status, in each of them. */
static int run_start(struct run_config *config)
{
	_cleanup_close_ int front_end = -1;
	_cleanup_close_ int supervisor_end = -1;
	int ends[2];
	pid_t supervisor;

	/*
	 * Nobody with our uid may trace us or open our memory. The command gets its own back when
	 * it executes.
	 */
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 ||
		prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) < 0 ||
		socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0) {
		cli_error("cannot start: %s", strerror(errno));
		return EXIT_FDWARDEN_FAILED;
	}
	front_end = ends[0];
	supervisor_end = ends[1];
	take_signals(config);
	config->front = getpid();
	supervisor = fork();
	if (supervisor < 0) {
		cli_error("cannot start a process: %s", strerror(errno));
		return EXIT_FDWARDEN_FAILED;
	}
	if (supervisor == 0) {
		front_end = fd_close(front_end);
		return run_supervise(config, supervisor_end);
	}
	supervisor_end = fd_close(supervisor_end);
	config->events_fd = fd_close(config->events_fd);
	return run_front(supervisor, front_end, config->group);
}

/* Descriptors are found and callers are known by it (tracee.h); runtimes mount it in containers. */
static int check_proc(void)
{
	if (access("/proc/self/fd", F_OK) == 0)
		return -1;
	cli_error("cannot use /proc: %s", strerror(errno));
	fputs("  hint: mount it: mount -t proc proc /proc\n", stderr);
	return EXIT_FDWARDEN_FAILED;
}

static int prepare(const struct run_options *options, struct run_config *config)
{
	int status = load_policy(options, config);

	if (status < 0)
		status = check_proc();
	if (status < 0)
		status = check_cgroup(config);
	if (status < 0)
		status = prepare_events(options, config);
	if (status < 0 && filter_build(policy_calls(config->policy), &config->program) < 0) {
		cli_error("cannot build the seccomp filter");
		status = EXIT_FDWARDEN_FAILED;
	}
	/* Last, because it is the one thing that has to be undone. */
	return status < 0 ? prepare_memory(options, config) : status;
}

/* Keeps numbers 0 to 2 from becoming ours where we were started without them. */
static int reserve_standard_descriptors(void)
{
	int fd;

	do
		fd = open("/", O_PATH | O_CLOEXEC);
	while (fd >= 0 && fd <= STDERR_FILENO);
	fd_close(fd);
	return fd < 0 ? -errno : 0;
}

int run_main(int argc, char **argv)
{
	struct run_options options = {0};
	struct run_config config = {.tenant = "run", .events_fd = -1, .init = getpid() == 1};
	int status = parse_options(argc, argv, &options, &config);

	if (status < 0 && reserve_standard_descriptors() < 0)
		status = EXIT_FDWARDEN_FAILED;
	if (status < 0)
		status = prepare(&options, &config);
	if (status < 0)
		status = run_start(&config);
	filter_free(&config.program);
	policy_unref(config.policy);
	return status;
}
