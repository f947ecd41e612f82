/* SPDX-License-Identifier: Apache-2.0 */

/* libfdwarden: starting a program under the filter. */

#include <errno.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/message.h"
#include "fdwarden/fdwarden.h"
#include "kernel/filter.h"
#include "policy/policy.h"

static unsigned listener_flags(const struct filter_features *features)
{
	return features->wait_killable ? FDWARDEN_WAIT_KILLABLE : 0;
}

/* The calls that a listener of this policy has to get; without one, memfd_create(2) alone. */
static unsigned calls_of(const struct fdwarden_policy *policy)
{
	/* The public policy is the internal one under another name. */
	return policy ? policy_calls((const struct policy *)policy) : CALL_MEMFD_CREATE;
}

EXPORT int fdwarden_install_filter(const struct fdwarden_policy *policy, unsigned *ret_flags)
{
	struct filter_features features;
	struct sock_fprog program;
	int r = filter_build(calls_of(policy), &program);

	if (r < 0)
		return r;
	r = filter_install(&program, &features);
	filter_free(&program);
	if (r >= 0)
		*ret_flags = listener_flags(&features);
	return r;
}

/* In the new process: hands the listener over with its flags, or the errno in their place. */
static _Noreturn void spawn_child(char *const argv[], const struct sock_fprog *program, int socket)
{
	struct filter_features features;
	int listener = filter_install(program, &features);
	/* Either fits in the one byte that a message carries. */
	int word = listener < 0 ? -listener : (int)listener_flags(&features);
	int r = message_send_fd(socket, (char)word, listener);

	if (listener < 0 || r < 0)
		_exit(127);
	fd_close(listener);
	fd_close(socket);
	execvp(argv[0], argv);
	_exit(errno == ENOENT ? 127 : 126);
}

/* Returns the listener, or -errno, after which there is no child left. */
static int spawn_receive(int socket, pid_t pid, unsigned *ret_flags)
{
	int listener = -1;
	char word;
	int r = message_receive_fd(socket, &word, &listener);

	if (r == 0 && listener >= 0) {
		*ret_flags = (unsigned char)word;
		return listener;
	}
	if (r == 0)
		r = word ? -(unsigned char)word : -ECONNRESET;
	/* It may be running the program by now, without the listener that it was to have. */
	kill(pid, SIGKILL);
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		continue;
	return r;
}

EXPORT int fdwarden_spawn(char *const argv[], const struct fdwarden_policy *policy, pid_t *ret_pid,
	unsigned *ret_flags)
{
	_cleanup_close_ int ours = -1;
	_cleanup_close_ int theirs = -1;
	struct sock_fprog program;
	int ends[2];
	pid_t pid;
	int r = filter_build(calls_of(policy), &program);

	if (r < 0)
		return r;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0) {
		r = -errno;
		filter_free(&program);
		return r;
	}
	ours = ends[0];
	theirs = ends[1];
	pid = fork();
	if (pid == 0)
		spawn_child(argv, &program, theirs);
	r = pid < 0 ? -errno : 0;
	filter_free(&program);
	theirs = fd_close(theirs);
	if (r == 0)
		r = spawn_receive(ours, pid, ret_flags);
	if (r >= 0)
		*ret_pid = pid;
	return r;
}
