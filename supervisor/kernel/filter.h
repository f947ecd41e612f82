/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The seccomp filter: notifies the supervisor of memfd_create(2) in every ABI of the machine, lets
 * all else pass. Built with libseccomp, exported as BPF, loaded with seccomp(2), because
 * libseccomp 2.5 knows neither WAIT_KILLABLE_RECV nor where a listener should go.
 */

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdbool.h>

/* What the kernel granted. */
struct filter_features {
	bool no_new_privs;  /* had to be set: no CAP_SYS_ADMIN in the user namespace */
	bool wait_killable; /* WAIT_KILLABLE_RECV, Linux 5.19: see notify_inject() */
};

/*
 * Builds the program. A system call made through an ABI that the filter does not know gets ENOSYS.
 * Stores it in *ret_program (owned by the caller, filter_free()). Returns 0 or -errno: -ENOSYS
 * without seccomp, -EOPNOTSUPP without user notification (before Linux 5.0), or what a sandbox
 * around us answers to seccomp(2).
 */
int filter_build(struct sock_fprog *ret_program);

/* Frees what filter_build() stored; a zeroed program is allowed. */
void filter_free(struct sock_fprog *program);

/*
 * Loads the program (borrowed) into the calling thread, and so into all that it starts from then
 * on, with a new listener. Sets no_new_privs only when the kernel refuses without it (seccomp(2),
 * EACCES). Async-signal-safe, so that it may stand between fork and exec. Stores what was granted
 * in *ret_features. Returns the listener (close-on-exec, owned by the caller), or -errno: -EBUSY
 * when a filter above already has a listener, -ENOSYS without seccomp, -EINVAL without
 * SECCOMP_FILTER_FLAG_NEW_LISTENER.
 */
int filter_install(const struct sock_fprog *program, struct filter_features *ret_features);

/*
 * Whether the call came through an ABI that the kernel was built without, so that it must end with
 * the kernel's own ENOSYS (let it continue) and not be emulated: x32 without CONFIG_X86_X32_ABI,
 * where seccomp still sees the call. Asks the kernel each time, which costs nothing for the other
 * ABIs.
 */
bool filter_abi_is_absent(const struct seccomp_data *data);
