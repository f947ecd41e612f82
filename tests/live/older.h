/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Pretends that the kernel is an older one: what it did not know yet fails as it failed there. So
 * the ways around it run on every machine. After live.h.
 */

#include <seccomp.h>
#include <sys/ioctl.h>

#include "kernel/compat.h"

enum older_kernel {
	OLDER_6_12, /* without PIDFD_GET_INFO (6.13) */
	OLDER_6_8,  /* without PIDFD_THREAD (6.9) and PIDFD_GET_PID_NAMESPACE (6.11) too */
	OLDER_5_18, /* without WAIT_KILLABLE_RECV (5.19) and synchronous wake-ups (6.6) too */
};

/* The call fails with error when its second argument, under mask, is value. */
static inline bool older_refuse(
	scmp_filter_ctx filter, int error, int call, uint64_t mask, uint64_t value)
{
	const struct scmp_arg_cmp second = {
		.arg = 1, .op = SCMP_CMP_MASKED_EQ, .datum_a = mask, .datum_b = value};

	return seccomp_rule_add_array(filter, SCMP_ACT_ERRNO((uint16_t)error), call, 1, &second) ==
	       0;
}

static inline bool older_refuse_ioctl(scmp_filter_ctx filter, int error, uint32_t request)
{
	return older_refuse(filter, error, SCMP_SYS(ioctl), UINT32_MAX, request);
}

static inline bool older_add_rules(scmp_filter_ctx filter, enum older_kernel kernel)
{
	/* Each number as that kernel chose it: 6.12 has other pidfd ioctls, 6.8 has none. */
	bool ok = older_refuse_ioctl(
		filter, kernel == OLDER_6_12 ? EINVAL : ENOTTY, COMPAT_PIDFD_GET_INFO);

	if (kernel >= OLDER_6_8) {
		ok = ok && older_refuse_ioctl(filter, ENOTTY, COMPAT_PIDFD_GET_PID_NS);
		ok = ok && older_refuse(filter, EINVAL, SCMP_SYS(pidfd_open), UINT32_MAX,
				   COMPAT_PIDFD_THREAD);
	}
	if (kernel >= OLDER_5_18) {
		const uint64_t flag = SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV;

		ok = ok && older_refuse_ioctl(filter, EINVAL, SECCOMP_IOCTL_NOTIF_SET_FLAGS);
		ok = ok && older_refuse(filter, EINVAL, SCMP_SYS(seccomp), flag, flag);
	}
	return ok;
}

/* For this process and its children, for good. Needs root, because no_new_privs stays off. */
static inline void older_pretend(enum older_kernel kernel)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);

	live_check(filter != NULL);
	live_check(seccomp_attr_set(filter, SCMP_FLTATR_CTL_NNP, 0) == 0);
	live_check(older_add_rules(filter, kernel));
	live_check(seccomp_load(filter) == 0);
	seccomp_release(filter);
}

/* Runs run() in a child with that kernel. Returns its status. */
static inline int older_run(enum older_kernel kernel, int (*run)(void))
{
	int status = 0;

	fflush(NULL);

	pid_t pid = fork();

	if (pid == 0) {
		older_pretend(kernel);
		exit(run());
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
		return EXIT_FAILURE;
	return WEXITSTATUS(status);
}
