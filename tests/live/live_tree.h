/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Children that do something, say that it is done, and stay until they are ended. After live.h. */

#include <stdint.h>
#include <sys/mman.h>
#include <sys/stat.h>

struct tree_child {
	pid_t pid;
	int ready; /* owned: what it says of itself is read here */
};

/* What a child runs; it ends by tree_stay(). */
typedef void tree_main_fn(int ready, void *argument);

/* Says so many bytes (at least one: it is ready) and waits for its end. */
_Noreturn static inline void tree_stay(int ready, const void *bytes, size_t size)
{
	live_check(write(ready, bytes, size) == (ssize_t)size);
	close(ready);
	for (;;)
		pause();
}

static inline struct tree_child tree_start(tree_main_fn *run, void *argument)
{
	struct tree_child child;
	int pipe_fds[2];

	assert_return_code(pipe2(pipe_fds, O_CLOEXEC), errno);
	fflush(NULL);
	child.pid = fork();
	assert_return_code(child.pid, errno);
	if (child.pid == 0) {
		close(pipe_fds[0]);
		live_check(prctl(PR_SET_PDEATHSIG, SIGKILL) == 0);
		run(pipe_fds[1], argument);
		_exit(0);
	}
	close(pipe_fds[1]);
	child.ready = pipe_fds[0];
	return child;
}

/* Waits for what the child says. */
static inline void tree_hear(const struct tree_child *child, void *bytes, size_t size)
{
	assert_int_equal(read(child->ready, bytes, size), size);
}

/* Its exit status, or 128 + signal. */
static inline int tree_wait(struct tree_child *child)
{
	int status;

	while (waitpid(child->pid, &status, 0) < 0)
		assert_int_equal(errno, EINTR);
	child->ready = fd_close(child->ready);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static inline void tree_end(struct tree_child *child)
{
	assert_return_code(kill(child->pid, SIGKILL), errno);
	assert_int_equal(tree_wait(child), 128 + SIGKILL);
}

/* In a child: a memfd with so many bytes in it, none of them mapped. */
static inline int tree_memfd(size_t bytes)
{
	static char chunk[65536];
	int fd = memfd_create("held", MFD_CLOEXEC);

	live_check(fd >= 0);
	memset(chunk, 'x', sizeof(chunk));
	for (size_t done = 0; done < bytes; done += sizeof(chunk))
		live_check(write(fd, chunk, sizeof(chunk)) == (ssize_t)sizeof(chunk));
	return fd;
}
