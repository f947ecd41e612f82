/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/notify.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/fd.h"

/* The answer, with room for what a newer kernel may read behind it. */
union response {
	struct seccomp_notif_resp resp;
	char room[64];
};

int notify_prepare(int listener, bool *ret_sync_wake_up)
{
	struct seccomp_notif_sizes sizes;

	if (syscall(SYS_seccomp, SECCOMP_GET_NOTIF_SIZES, 0, &sizes) < 0)
		return -errno;
	if (sizes.seccomp_notif > sizeof(union notification) ||
		sizes.seccomp_notif_resp > sizeof(union response))
		return -EOPNOTSUPP;

	/* The argument is the value itself, not a pointer to it. */
	*ret_sync_wake_up = ioctl(listener, SECCOMP_IOCTL_NOTIF_SET_FLAGS,
				    SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP) == 0;
	return 0;
}

static int notify_poll_for(int listener, int timeout_ms)
{
	struct pollfd p = {.fd = listener, .events = POLLIN};

	if (poll(&p, 1, timeout_ms) < 0)
		return errno == EINTR ? NOTIFY_AGAIN : -errno;
	if (p.revents & POLLNVAL)
		return -EBADF;
	if (p.revents & POLLIN)
		return NOTIFY_OK;
	/* POLLERR only means that a signal came while the kernel waited for its own lock. */
	return p.revents & POLLHUP ? NOTIFY_END : NOTIFY_AGAIN;
}

int notify_poll(int listener)
{
	return notify_poll_for(listener, 0);
}

int notify_wait(int listener)
{
	int r;

	do
		r = notify_poll_for(listener, -1);
	while (r == NOTIFY_AGAIN);
	return r;
}

bool notify_receive_sees_end(void)
{
	struct utsname name;
	unsigned major, minor;

	/* Nothing but the version tells: to try it is to hang where it does not work. */
	if (uname(&name) < 0 || sscanf(name.release, "%u.%u", &major, &minor) != 2)
		return false;
	return major > 6 || (major == 6 && minor >= 11);
}

int notify_receive(int listener, union notification *slot)
{
	memset(slot, 0, sizeof(*slot));
	if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, slot) == 0)
		return NOTIFY_OK;
	if (errno == EINTR)
		return NOTIFY_AGAIN;
	if (errno != ENOENT)
		return -errno;

	/*
	 * The caller died between waking us and being looked up, or (Linux 6.11) there is no task
	 * left. Only the listener itself can tell: a queue that is empty now may fill again.
	 */
	int r = notify_poll(listener);

	return r == NOTIFY_OK ? NOTIFY_AGAIN : r;
}

/*
 * The ioctls that name a call wait for the filter's lock interruptibly: after EINTR nothing has
 * happened, but for ADDFD (notify_inject()). ENOENT: the id is not known any more.
 */
static int notify_ioctl(int listener, unsigned long request, void *argument)
{
	int r;

	do
		r = ioctl(listener, request, argument);
	while (r < 0 && errno == EINTR);
	return r < 0 ? -errno : r;
}

static int notify_outcome(int r)
{
	return r == -ENOENT ? NOTIFY_GONE : r;
}

int notify_valid(int listener, uint64_t id)
{
	return notify_outcome(notify_ioctl(listener, SECCOMP_IOCTL_NOTIF_ID_VALID, &id));
}

static int notify_send(int listener, const struct seccomp_notif_resp *resp)
{
	union response response = {.room = {0}};

	response.resp = *resp;
	return notify_outcome(notify_ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &response));
}

int notify_continue(int listener, uint64_t id)
{
	return notify_send(listener,
		&(struct seccomp_notif_resp){.id = id, .flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE});
}

int notify_fail(int listener, uint64_t id, int error)
{
	return notify_send(listener, &(struct seccomp_notif_resp){.id = id, .error = -error});
}

int notify_return(int listener, uint64_t id, int64_t value)
{
	return notify_send(listener, &(struct seccomp_notif_resp){.id = id, .val = value});
}

int notify_inject(
	int listener, uint64_t id, int *fd, bool close_on_exec, bool two_steps, int *ret_caller_fd)
{
	struct seccomp_notif_addfd addfd = {
		.id = id,
		.flags = two_steps ? 0 : SECCOMP_ADDFD_FLAG_SEND,
		.srcfd = (uint32_t)*fd,
		.newfd_flags = close_on_exec ? O_CLOEXEC : 0,
	};
	int r = notify_ioctl(listener, SECCOMP_IOCTL_NOTIF_ADDFD, &addfd);

	/*
	 * ESRCH: a signal took the caller out of the call while the file waited for it (Linux up to
	 * 6.17). EINPROGRESS: the ioctl was interrupted and restarted, and finds its own first
	 * half.
	 */
	if (r == -ESRCH || r == -EINPROGRESS)
		return NOTIFY_GONE;
	if (r < 0)
		return notify_outcome(r);
	*ret_caller_fd = r;
	*fd = fd_close(*fd);
	return two_steps ? notify_send(listener, &(struct seccomp_notif_resp){.id = id, .val = r})
			 : NOTIFY_OK;
}
