/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the kernel has and the headers of the oldest distribution we build on (Linux 6.1) lack. */

#include <fcntl.h>
#include <linux/seccomp.h>
#include <stdint.h>
#include <sys/ioctl.h>

#include "base/memfd.h"

/* include/uapi/linux/seccomp.h: Linux 5.19, 6.6, 6.6 */
#ifndef SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
#define SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV (1UL << 5)
#endif
#ifndef SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP
#define SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP (1UL << 0)
#endif
#ifndef SECCOMP_IOCTL_NOTIF_SET_FLAGS
#define SECCOMP_IOCTL_NOTIF_SET_FLAGS SECCOMP_IOW(4, __u64)
#endif

/*
 * include/uapi/linux/pidfd.h; the header came with Linux 6.9 and the ioctl with 6.13. The struct
 * is the first published version: every later kernel takes it and fills in that much.
 */
#define COMPAT_PIDFD_THREAD O_EXCL /* Linux 6.9: a pidfd of one thread */

struct compat_pidfd_info {
	__u64 mask;
	__u64 cgroupid;
	__u32 pid;
	__u32 tgid;
	__u32 ppid;
	__u32 ruid, rgid;
	__u32 euid, egid;
	__u32 suid, sgid;
	__u32 fsuid, fsgid;
	__s32 exit_code;
};
#define COMPAT_PIDFD_GET_INFO    _IOWR(0xff, 11, struct compat_pidfd_info)
#define COMPAT_PIDFD_INFO_PID    (UINT64_C(1) << 0)
#define COMPAT_PIDFD_INFO_CREDS  (UINT64_C(1) << 1)
#define COMPAT_PIDFD_GET_PID_NS  _IO(0xff, 5) /* Linux 6.11 */
#define COMPAT_PIDFD_GET_USER_NS _IO(0xff, 9)
