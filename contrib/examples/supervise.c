/* SPDX-License-Identifier: Apache-2.0 */

/* Supervises a command with libfdwarden and tells what was decided: supervise POLICY COMMAND... */

#include <fdwarden/fdwarden.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

static void on_mistake(const struct fdwarden_diagnostic *d, void *userdata)
{
	(void)userdata;
	fprintf(stderr, "%s:%u:%u: %s\n", d->file, d->line, d->column, d->message);
}

static void on_event(const struct fdwarden_event *event, void *userdata)
{
	static const char *const verdicts[] = {"allow", "deny", "kill", "emulate"};

	(void)userdata;
	fprintf(stderr, "%s: rule %s, flags %#x, fd %d, %s\n", verdicts[event->verdict],
		event->rule, event->flags, event->fd, strerror(event->error));
}

int main(int argc, char **argv)
{
	struct fdwarden_policy *policy = NULL;
	struct fdwarden *fdwarden = NULL;
	struct pollfd ready = {.events = POLLIN};
	int listener, status = 0;
	unsigned flags;
	pid_t pid;

	if (argc < 3 || fdwarden_policy_load_file(argv[1], on_mistake, NULL, &policy) < 0)
		return 2;
	listener = fdwarden_spawn(argv + 2, policy, &pid, &flags);
	if (listener < 0 || fdwarden_new(on_event, NULL, &fdwarden) < 0 ||
		fdwarden_add_listener(fdwarden, listener, policy, "example", flags) < 0) {
		fprintf(stderr, "cannot supervise %s\n", argv[2]);
		return 1;
	}
	ready.fd = fdwarden_get_fd(fdwarden);
	/* 100 ms, not for ever: before Linux 6.11 a listener lasts until the zombie is reaped. */
	do
		poll(&ready, 1, 100);
	while (fdwarden_dispatch(fdwarden) > 0 && waitpid(pid, &status, WNOHANG) == 0);
	waitpid(pid, &status, 0);
	fdwarden_free(fdwarden);
	fdwarden_policy_unref(policy);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}
