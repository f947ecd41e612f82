/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The seccomp filter: notifies the supervisor of memfd_create(2), and of what else a policy needs
 * to see, in every ABI of the machine; lets all else pass. Built with libseccomp, exported as BPF,
 * loaded with seccomp(2), because libseccomp 2.5 knows neither WAIT_KILLABLE_RECV nor where a
 * listener should go.
 */

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/call.h"

/* What the kernel granted. */
struct filter_features {
	bool no_new_privs;  /* had to be set: no CAP_SYS_ADMIN in the user namespace */
	bool wait_killable; /* WAIT_KILLABLE_RECV, Linux 5.19: see notify_inject() */
};

/*
 * Builds the program for a set of enum call. A system call made through an ABI that the filter does
 * not know gets ENOSYS. Stores it in *ret_program (owned by the caller, filter_free()). Returns 0
 * or -errno: -ENOSYS without seccomp, -EOPNOTSUPP without user notification (before Linux 5.0), or
 * what a sandbox around us answers to seccomp(2).
 */
int filter_build(unsigned calls, struct sock_fprog *ret_program);

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

/* One notified call, with its arguments as the kernel takes them, whatever the ABI. */
struct filter_call {
	enum call call;
	uint64_t address; /* memfd_create(2): of the name */
	uint32_t flags;   /* memfd_create(2), memfd_secret(2) */
	int fd;           /* ftruncate(2), fallocate(2) */
	int mode;         /* fallocate(2) */
	int64_t offset;   /* fallocate(2) */
	int64_t length;   /* ftruncate(2): the new size; fallocate(2) */
};

/*
 * Decodes a call, 32-bit forms included: ftruncate64(2) and fallocate(2) with their 64-bit
 * arguments in two registers each, in the order and with the padding of the ABI. Returns false for
 * one that no filter of ours notifies of.
 */
bool filter_decode(const struct seccomp_data *data, struct filter_call *ret_call);
