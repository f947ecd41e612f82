/* SPDX-License-Identifier: Apache-2.0 */

#include <errno.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/message.h"
#include "cli/cli.h"
#include "cli/run.h"
#include "kernel/filter.h"

static _Noreturn void fail_to_install(int error)
{
	cli_error("cannot install the seccomp filter: %s", strerror(-error));
	if (error == -EBUSY)
		fputs("  hint: a filter around this process already has a listener, and the kernel "
		      "allows one; is this inside another fdwarden, or a container with "
		      "seccomp notifications?\n",
			stderr);
	else
		fputs("  hint: the kernel needs CONFIG_SECCOMP_FILTER, and the seccomp profile "
		      "around this process has to allow seccomp(2)\n",
			stderr);
	_exit(EXIT_FDWARDEN_FAILED);
}

/* Everything as it was for whoever started fdwarden: the command must not see that we were here. */
static void restore_signals(const struct run_config *config)
{
	if (config->sigchld_ignored)
		signal(SIGCHLD, SIG_IGN);
	sigprocmask(SIG_SETMASK, &config->original_mask, NULL);
}

/*
 * The kernel's own backstop against files that grow by write(2), which notifies nobody. The hard
 * limit too, or it would be no limit; never above what there was.
 */
static void limit_file_size(const struct run_config *config)
{
	const struct policy_quotas *quotas = policy_quotas(config->policy);
	struct rlimit limit;

	if (!quotas->rlimit_fsize || config->mode == POLICY_AUDIT)
		return;
	if (getrlimit(RLIMIT_FSIZE, &limit) < 0 ||
		limit.rlim_max > quotas->limits[QUOTA_MEMFD_SIZE])
		limit.rlim_max = quotas->limits[QUOTA_MEMFD_SIZE];
	if (limit.rlim_cur > limit.rlim_max)
		limit.rlim_cur = limit.rlim_max;
	if (setrlimit(RLIMIT_FSIZE, &limit) == 0)
		return;
	cli_error("cannot set RLIMIT_FSIZE: %s", strerror(errno));
	_exit(EXIT_FDWARDEN_FAILED);
}

void run_command(const struct run_config *config, int handshake)
{
	struct filter_features features;
	_cleanup_close_ int listener = -1;
	int unused = -1;
	char word = 0;
	int r;

	r = config->group ? cgroup_group_enter(config->group) : 0;
	if (r < 0) {
		cli_error("cannot move the command into its memory cgroup: %s", strerror(-r));
		_exit(EXIT_FDWARDEN_FAILED);
	}
	listener = filter_install(&config->program, &features);
	if (listener < 0)
		fail_to_install(listener);

	/* Without a supervisor there is nothing to say: it has said why, or was killed. */
	r = message_send_fd(
		handshake, features.wait_killable ? RUN_LISTENER_KILLABLE : RUN_LISTENER, listener);
	listener = fd_close(listener);
	if (r < 0 || message_receive_fd(handshake, &word, &unused) < 0 || word != RUN_READY)
		_exit(EXIT_FDWARDEN_FAILED);

	limit_file_size(config);
	restore_signals(config);
	execvp(config->command[0], config->command);
	r = errno; /* writing to a stderr that is closed sets another */
	cli_error("%s: %s", config->command[0], strerror(r));
	_exit(r == ENOENT ? EXIT_NOT_FOUND : EXIT_NOT_EXECUTABLE);
}
