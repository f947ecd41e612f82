/* SPDX-License-Identifier: Apache-2.0 */

/*
 * bare-loop MODE -- COMMAND...: the least that answers memfd_create(2), or ftruncate(2) by a file's
 * kind, correctly for an honest caller, in the same three processes as `fdwarden run`. It is what
 * the benchmark and the live tests measure fdwarden against, so it is as fast as this simple shape
 * can be and does nothing else: no policy, no events, no owner, no care for a hostile caller.
 */

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/macro.h"
#include "base/message.h"
#include "kernel/compat.h"

#define NAME_ROOM 250 /* memfd_create(2): 249 bytes and the NUL */

enum mode {
	MODE_IDLE,      /* a filter that never notifies: what it costs to have one */
	MODE_CONTINUE,  /* SECCOMP_USER_NOTIF_FLAG_CONTINUE */
	MODE_DENY,      /* EPERM */
	MODE_EMULATE,   /* read the name, make the file, inject it */
	MODE_EMULATE2,  /* the same, in the two steps that survive a kill: kernel/notify.h */
	MODE_FTRUNCATE, /* of ftruncate(2): do it on a copy of a memfd, let any other file pass */
};

static const char *const mode_names[] = {
	"idle", "continue", "deny", "emulate", "emulate2", "ftruncate"};

static _Noreturn void die(const char *what)
{
	perror(what);
	exit(125);
}

#if defined(__x86_64__)
#define NATIVE_ARCH      AUDIT_ARCH_X86_64
#define COMPAT_ARCH      AUDIT_ARCH_I386
#define COMPAT_CALL      356
#define COMPAT_FTRUNCATE 194
#elif defined(__aarch64__)
#define NATIVE_ARCH      AUDIT_ARCH_AARCH64
#define COMPAT_ARCH      AUDIT_ARCH_ARM
#define COMPAT_CALL      385
#define COMPAT_FTRUNCATE 194
#endif

/* MODE_IDLE notifies of a number that no system call has. */
static int listener_install(enum mode mode)
{
	const bool resizes = mode == MODE_FTRUNCATE;
	uint32_t native = mode == MODE_IDLE ? 0xffff : resizes ? __NR_ftruncate : __NR_memfd_create;
	uint32_t compat = mode == MODE_IDLE ? 0xffff : resizes ? COMPAT_FTRUNCATE : COMPAT_CALL;
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, NATIVE_ARCH, 2, 0),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, compat, 3, 2),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, native, 1, 0),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
	};
	struct sock_fprog program = {.len = ARRAY_SIZE(code), .filter = code};
	unsigned long flags =
		SECCOMP_FILTER_FLAG_NEW_LISTENER | SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV;

	/* A privileged caller keeps its right to gain privilege, as under fdwarden. */
	int fd = (int)syscall(__NR_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program);

	if (fd < 0 && errno == EACCES && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0)
		fd = (int)syscall(__NR_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program);
	if (fd < 0)
		die("bare-loop: seccomp");
	return fd;
}

/*
 * The two iovecs end at the page's border, so that a name in the last bytes of a mapping reads
 * short instead of not at all.
 */
static bool name_read(pid_t tid, uint64_t address, char name[static NAME_ROOM + 1])
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	size_t first = page - (size_t)(address & (page - 1));
	struct iovec local = {name, NAME_ROOM};
	struct iovec remote[2];

	if (first > NAME_ROOM)
		first = NAME_ROOM;
	remote[0] = (struct iovec){(void *)(uintptr_t)address, first};
	remote[1] = (struct iovec){(void *)(uintptr_t)(address + first), NAME_ROOM - first};

	ssize_t got = process_vm_readv(tid, &local, 1, remote, 2, 0);

	if (got <= 0)
		return false;
	name[got] = '\0';
	return got == NAME_ROOM || memchr(name, '\0', (size_t)got) != NULL;
}

static void answer(int listener, struct seccomp_notif_resp response)
{
	if (ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &response) < 0 && errno != ENOENT)
		die("bare-loop: NOTIF_SEND");
}

static int inject(int listener, const struct seccomp_notif *call, int fd, bool one_step)
{
	struct seccomp_notif_addfd addfd = {
		.id = call->id,
		.flags = one_step ? SECCOMP_ADDFD_FLAG_SEND : 0,
		.srcfd = (uint32_t)fd,
		.newfd_flags = (call->data.args[1] & MFD_CLOEXEC) ? O_CLOEXEC : 0,
	};
	int number = ioctl(listener, SECCOMP_IOCTL_NOTIF_ADDFD, &addfd);

	if (number < 0 && errno != ENOENT)
		return errno;
	if (number >= 0 && !one_step)
		answer(listener, (struct seccomp_notif_resp){.id = call->id, .val = number});
	return 0;
}

static void emulate(int listener, const struct seccomp_notif *call, bool one_step)
{
	char name[NAME_ROOM + 1];
	bool readable = name_read((pid_t)call->pid, call->data.args[0], name);
	int fd = (int)syscall(
		__NR_memfd_create, readable ? name : NULL, (unsigned)call->data.args[1]);
	int error = fd < 0 ? errno : inject(listener, call, fd, one_step);

	if (fd >= 0)
		close(fd);
	if (error != 0)
		answer(listener, (struct seccomp_notif_resp){.id = call->id, .error = -error});
}

static int caller_pidfd(pid_t tid)
{
	static pid_t last;
	static int pidfd = -1;

	if (tid != last) {
		close(pidfd);
		pidfd = (int)syscall(__NR_pidfd_open, tid, COMPAT_PIDFD_THREAD);
		last = tid;
	}
	return pidfd;
}

/* The device that all memfds are on. */
static dev_t memfd_device(void)
{
	static dev_t device;
	struct stat st;

	if (!device) {
		int fd = (int)syscall(__NR_memfd_create, "", 1U);

		if (fd < 0 || fstat(fd, &st) < 0)
			die("bare-loop: memfd");
		close(fd);
		device = st.st_dev;
	}
	return device;
}

/* The copy is closed before the answer: as long as it is open the caller can tell. */
static void resize(int listener, const struct seccomp_notif *call)
{
	struct seccomp_notif_resp response = {
		.id = call->id, .flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE};
	int copy = (int)syscall(
		__NR_pidfd_getfd, caller_pidfd((pid_t)call->pid), (int)call->data.args[0], 0);
	struct stat st;

	if (copy >= 0 && fstat(copy, &st) == 0 && st.st_dev == memfd_device()) {
		response.flags = 0;
		response.error = ftruncate(copy, (off_t)call->data.args[1]) < 0 ? -errno : 0;
	}
	close(copy);
	answer(listener, response);
}

static bool is_at_end(int listener)
{
	struct pollfd poller = {.fd = listener, .events = POLLIN};

	return poll(&poller, 1, 0) == 1 && (poller.revents & POLLHUP);
}

static _Noreturn void serve(int listener, enum mode mode)
{
	ioctl(listener, SECCOMP_IOCTL_NOTIF_SET_FLAGS, SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP);
	for (;;) {
		struct seccomp_notif call;

		memset(&call, 0, sizeof(call)); /* the kernel insists */
		if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &call) < 0) {
			/* ENOENT: a call that was interrupted first, or the end (Linux 6.11) */
			if (errno == ENOENT && is_at_end(listener))
				_exit(0);
			if (errno == ENOENT || errno == EINTR)
				continue;
			die("bare-loop: NOTIF_RECV");
		}
		if (mode == MODE_EMULATE || mode == MODE_EMULATE2)
			emulate(listener, &call, mode == MODE_EMULATE);
		else if (mode == MODE_FTRUNCATE)
			resize(listener, &call);
		else if (mode == MODE_DENY)
			answer(listener,
				(struct seccomp_notif_resp){.id = call.id, .error = -EPERM});
		else
			answer(listener, (struct seccomp_notif_resp){.id = call.id,
						 .flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE});
	}
}

static _Noreturn void command(int sock, enum mode mode, char *const argv[])
{
	int listener = listener_install(mode);

	if (message_send_fd(sock, 'l', listener) < 0)
		die("bare-loop: send");
	close(listener);
	close(sock);
	execvp(argv[0], argv);
	die(argv[0]);
}

static _Noreturn void supervisor(int sock, enum mode mode)
{
	char kind;
	int listener = -1;

	/* A listener that never comes means that the command's side said why already. */
	if (message_receive_fd(sock, &kind, &listener) < 0)
		_exit(125);
	close(sock);
	if (mode == MODE_IDLE) {
		pause();
		_exit(0);
	}
	serve(listener, mode);
}

static int mode_parse(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(mode_names); i++)
		if (strcmp(name, mode_names[i]) == 0)
			return (int)i;
	return -1;
}

int main(int argc, char **argv)
{
	int mode = argc >= 4 && strcmp(argv[2], "--") == 0 ? mode_parse(argv[1]) : -1;

	if (mode < 0) {
		fprintf(stderr, "usage: bare-loop idle|continue|deny|emulate|emulate2|ftruncate "
				"-- COMMAND [ARG...]\n");
		return 2;
	}

	int sock[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sock) < 0)
		die("bare-loop: socketpair");

	pid_t tenant = fork();

	if (tenant == 0)
		command(sock[1], (enum mode)mode, argv + 3);

	pid_t loop = fork();

	if (loop == 0) {
		close(sock[1]);
		supervisor(sock[0], (enum mode)mode);
	}
	if (tenant < 0 || loop < 0)
		die("bare-loop: fork");
	close(sock[0]);
	close(sock[1]);

	int status;

	while (waitpid(tenant, &status, 0) < 0)
		if (errno != EINTR)
			die("bare-loop: waitpid");
	kill(loop, SIGKILL);
	waitpid(loop, NULL, 0);
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}
