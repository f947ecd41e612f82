/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A process that does with files what it is told to. After live.h and ledger.h. */

#include <linux/falloc.h>
#include <sys/random.h>

#define WORKER_SOCK      90
#define WORKER_LIFELINE  91
#define WORKER_SLOTS     6
#define WORKER_FIRST_FD  100 /* of slot 0 */
#define WORKER_MAPPINGS  3
#define WORKER_SOCKETS   4
#define WORKER_SOCKET_FD 200 /* of the first end of the first pair */
#define WORKER_MAP_BYTES (64 * KIB)
#define WORKER_DISK      "/tmp" /* where files on a disk are */

enum worker_order {
	WORKER_GIVE,    /* a descriptor comes with it */
	WORKER_SEND,    /* number: the socket */
	WORKER_RECEIVE, /* number: the socket */
	WORKER_FORK,    /* answers with the process, which only holds what it inherited */
	WORKER_FALLOCATE,
	/* What nobody is asked for. number: an offset or a size. */
	WORKER_CLOSE,
	WORKER_DUP,
	WORKER_WRITE,
	WORKER_TRUNCATE,
	WORKER_PUNCH,
	WORKER_MAP,
	WORKER_TOUCH,
	WORKER_UNMAP,
	WORKER_MAKE, /* a memfd that the ledger never heard of */
};
#define WORKER_FIRST_PLAIN WORKER_CLOSE
#define WORKER_PLAIN_COUNT (WORKER_MAKE - WORKER_CLOSE + 1)

struct worker {
	pid_t pid;
	int pidfd, sock;
};

struct worker_message {
	uint32_t order, slot, number;
};

static inline int worker_fd(uint32_t slot)
{
	return WORKER_FIRST_FD + (int)slot;
}

/* Has the kernel write to one page: beyond the file's end that is EFAULT, instead of SIGBUS. */
static inline int worker_touch(char *const *mapping, uint32_t number)
{
	if (!*mapping)
		return -1;
	return getrandom(*mapping + number % WORKER_MAP_BYTES, 1, 0) == 1 ? 0 : -1;
}

static inline int worker_map(char **mapping, const struct worker_message *message)
{
	char *bytes;

	if (*mapping)
		return -1;
	bytes = mmap(NULL, WORKER_MAP_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED,
		worker_fd(message->slot), 0);
	*mapping = bytes == MAP_FAILED ? NULL : bytes;
	return *mapping ? 0 : -1;
}

static inline int worker_unmap(char **mapping)
{
	if (*mapping)
		live_check(munmap(*mapping, WORKER_MAP_BYTES) == 0);
	*mapping = NULL;
	return 0;
}

static inline int worker_send(const struct worker_message *message)
{
	return message_send_fd(
		WORKER_SOCKET_FD + 2 * (int)message->number, 'F', worker_fd(message->slot));
}

static inline int worker_receive(const struct worker_message *message)
{
	char kind;
	int fd;

	live_check(message_receive_fd(
			   WORKER_SOCKET_FD + 2 * (int)message->number + 1, &kind, &fd) == 0);
	live_check(dup2(fd, worker_fd(message->slot)) >= 0);
	live_check(close(fd) == 0);
	return 0;
}

/* It outlives the worker, but not the test. */
static inline int worker_fork(void)
{
	pid_t pid = fork();
	char end;

	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, 0);
		_exit(read(WORKER_LIFELINE, &end, 1) == 0 ? 0 : 99);
	}
	return pid;
}

static inline int worker_make(uint32_t slot)
{
	int fd = memfd_create("own", MFD_CLOEXEC);

	live_check(fd >= 0 && dup2(fd, worker_fd(slot)) >= 0 && close(fd) == 0);
	return 0;
}

static inline int worker_obey(const struct worker_message *message, char **mapping)
{
	const int fd = worker_fd(message->slot);
	const off_t number = (off_t)message->number;

	switch ((enum worker_order)message->order) {
	case WORKER_GIVE:
		break;
	case WORKER_SEND:
		return worker_send(message);
	case WORKER_RECEIVE:
		return worker_receive(message);
	case WORKER_FORK:
		return worker_fork();
	case WORKER_FALLOCATE:
		return fallocate(fd, 0, 0, number);
	case WORKER_CLOSE:
		return close(fd);
	case WORKER_DUP:
		return dup2(fd, worker_fd(message->number % WORKER_SLOTS));
	case WORKER_WRITE:
		return pwrite(fd, "x", 1, number) == 1 ? 0 : -1;
	case WORKER_TRUNCATE:
		return ftruncate(fd, number);
	case WORKER_PUNCH:
		return fallocate(
			fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, number / 2, number + 1);
	case WORKER_MAP:
		return worker_map(mapping, message);
	case WORKER_TOUCH:
		return worker_touch(mapping, message->number);
	case WORKER_UNMAP:
		return worker_unmap(mapping);
	case WORKER_MAKE:
		return worker_make(message->slot);
	}
	return -1;
}

/* On a disk blocks come and go later than the calls that ask for them: nothing is written there. */
static inline bool worker_may(const struct worker_message *message)
{
	struct stat st, disk;

	if (message->order < WORKER_FIRST_PLAIN && message->order != WORKER_FALLOCATE)
		return true;
	if (message->order == WORKER_CLOSE || message->order == WORKER_DUP ||
		fstat(worker_fd(message->slot), &st) < 0)
		return true;
	live_check(stat(WORKER_DISK, &disk) == 0);
	return st.st_dev != disk.st_dev || message->order == WORKER_TRUNCATE;
}

_Noreturn static inline void worker_main(int sock, int lifeline, int (*sockets)[2])
{
	char *mappings[WORKER_MAPPINGS] = {0};
	struct worker_message message;

	live_check(prctl(PR_SET_PDEATHSIG, SIGKILL) == 0);
	live_check(dup2(sock, WORKER_SOCK) >= 0);
	for (int i = 0; i < WORKER_SOCKETS; i++) {
		live_check(dup2(sockets[i][0], WORKER_SOCKET_FD + 2 * i) >= 0);
		live_check(dup2(sockets[i][1], WORKER_SOCKET_FD + 2 * i + 1) >= 0);
	}
	/* Descriptors of the ledger, and of files that the parent has just in its hands. */
	live_check(dup2(lifeline, WORKER_LIFELINE) >= 0);
	live_check(close_range(3, WORKER_SOCK - 1, 0) == 0);
	live_check(close_range(WORKER_LIFELINE + 1, WORKER_SOCKET_FD - 1, 0) == 0);
	live_check(close_range(WORKER_SOCKET_FD + 2 * WORKER_SOCKETS, ~0U, 0) == 0);
	while (read(WORKER_SOCK, &message, sizeof(message)) == (ssize_t)sizeof(message)) {
		int32_t answer = 0;

		if (message.order == WORKER_GIVE) {
			char kind;
			int fd;

			live_check(message_receive_fd(WORKER_SOCK, &kind, &fd) == 0);
			live_check(dup2(fd, worker_fd(message.slot)) >= 0);
			close(fd);
		} else if (worker_may(&message)) {
			answer = worker_obey(&message, &mappings[message.number % WORKER_MAPPINGS]);
		} else {
			answer = -1;
		}
		live_check(write(WORKER_SOCK, &answer, sizeof(answer)) == (ssize_t)sizeof(answer));
	}
	_exit(0);
}

/* lifeline: of a pipe whose other end only the test has. */
static inline void worker_start(struct worker *worker, int lifeline, int (*sockets)[2])
{
	int sock[2];

	assert_return_code(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sock), errno);
	fflush(NULL);
	worker->pid = fork();
	assert_return_code(worker->pid, errno);
	if (worker->pid == 0)
		worker_main(sock[1], lifeline, sockets);
	close(sock[1]);
	worker->sock = sock[0];
	worker->pidfd = (int)syscall(SYS_pidfd_open, worker->pid, 0);
	assert_return_code(worker->pidfd, errno);
}

/* By force: it has no time to close anything. */
static inline void worker_stop(struct worker *worker)
{
	assert_return_code(kill(worker->pid, SIGKILL), errno);
	assert_int_equal(waitpid(worker->pid, NULL, 0), worker->pid);
	worker->sock = fd_close(worker->sock);
	worker->pidfd = fd_close(worker->pidfd);
}

static inline int worker_answer(struct worker *worker)
{
	int32_t answer = -1;

	assert_int_equal(read(worker->sock, &answer, sizeof(answer)), sizeof(answer));
	return answer;
}

/* Returns what the call returned. */
static inline int worker_do(
	struct worker *worker, enum worker_order order, uint32_t slot, uint32_t number)
{
	const struct worker_message message = {order, slot, number};

	assert_int_equal(write(worker->sock, &message, sizeof(message)), sizeof(message));
	return worker_answer(worker);
}

static inline void worker_give(struct worker *worker, int fd, uint32_t slot)
{
	const struct worker_message message = {WORKER_GIVE, slot, 0};

	assert_int_equal(write(worker->sock, &message, sizeof(message)), sizeof(message));
	assert_int_equal(message_send_fd(worker->sock, 'F', fd), 0);
	assert_int_equal(worker_answer(worker), 0);
}

/* What the supervisor has of a caller's descriptor; -1 where there is none. */
static inline int worker_copy(const struct worker *worker, uint32_t slot)
{
	return (int)syscall(SYS_pidfd_getfd, worker->pidfd, worker_fd(slot), 0);
}
