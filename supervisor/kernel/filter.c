/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/filter.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <seccomp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "kernel/compat.h"

/* The ABIs that one kernel can offer side by side. A family ends with 0. */
static const uint32_t abi_families[][4] = {
	{SCMP_ARCH_X86_64, SCMP_ARCH_X86, SCMP_ARCH_X32},
	{SCMP_ARCH_AARCH64, SCMP_ARCH_ARM},
	{SCMP_ARCH_S390X, SCMP_ARCH_S390},
	{SCMP_ARCH_PARISC64, SCMP_ARCH_PARISC},
};

static void context_release(scmp_filter_ctx *context)
{
	if (*context)
		seccomp_release(*context);
}

static bool family_has(const uint32_t family[static 4], uint32_t arch)
{
	for (size_t i = 0; i < 4 && family[i]; i++)
		if (family[i] == arch)
			return true;
	return false;
}

/* Adds every ABI of the running machine; libseccomp starts with the native one alone. */
static int context_add_abis(scmp_filter_ctx context)
{
	const uint32_t native = seccomp_arch_native();

	for (size_t f = 0; f < ARRAY_SIZE(abi_families); f++) {
		if (!family_has(abi_families[f], native))
			continue;
		for (size_t i = 0; i < 4 && abi_families[f][i]; i++) {
			int r = seccomp_arch_add(context, abi_families[f][i]);

			if (r < 0 && r != -EEXIST)
				return r;
		}
	}
	return 0;
}

/*
 * Every rule is on the system call's number alone: only then can the kernel prove at load time that
 * the other numbers are allowed, and let them pass without running the program (kernel/seccomp.c,
 * seccomp_is_const_allow()). The flags and the name are the supervisor's to judge.
 */
static int context_add_rules(scmp_filter_ctx context, unsigned calls)
{
	static const struct {
		enum call call;
		int number;
	} rules[] = {
		{CALL_MEMFD_CREATE, SCMP_SYS(memfd_create)},
		{CALL_MEMFD_SECRET, SCMP_SYS(memfd_secret)},
		{CALL_FTRUNCATE, SCMP_SYS(ftruncate)},
		{CALL_FTRUNCATE, SCMP_SYS(ftruncate64)},
		{CALL_FALLOCATE, SCMP_SYS(fallocate)},
		{CALL_IO_URING_SETUP, SCMP_SYS(io_uring_setup)},
	};
	int r = seccomp_attr_set(context, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_ERRNO(ENOSYS));

	if (r < 0)
		return r;
	r = context_add_abis(context);
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(rules); i++)
		if (calls & rules[i].call)
			r = seccomp_rule_add(context, SCMP_ACT_NOTIFY, rules[i].number, 0);
	return r;
}

/*
 * libseccomp 2.5 exports to a descriptor only. A pipe: what is written to a file, and a memfd is
 * one, counts against RLIMIT_FSIZE. A program that does not fit in it is an error (EAGAIN).
 */
static int context_export(scmp_filter_ctx context, struct sock_fprog *ret_program)
{
	_cleanup_close_ int read_fd = -1;
	_cleanup_close_ int write_fd = -1;
	int fds[2];

	if (pipe2(fds, O_CLOEXEC | O_NONBLOCK) < 0)
		return -errno;
	read_fd = fds[0];
	write_fd = fds[1];

	int r = seccomp_export_bpf(context, write_fd);

	if (r < 0)
		return r;

	const size_t size_max = BPF_MAXINSNS * sizeof(struct sock_filter);
	_cleanup_free_ struct sock_filter *code = malloc(size_max);

	if (!code)
		return -ENOMEM;

	ssize_t n = read(read_fd, code, size_max);

	if (n < 0)
		return -errno;
	if (n == 0 || (size_t)n % sizeof(struct sock_filter))
		return -EBADMSG;
	ret_program->len = (unsigned short)((size_t)n / sizeof(struct sock_filter));
	ret_program->filter = take_ptr(code);
	return 0;
}

/* libseccomp asks the kernel as well, but says EINVAL whatever the answer. */
static int notification_check(void)
{
	const uint32_t action = SECCOMP_RET_USER_NOTIF;

	return syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action) < 0 ? -errno : 0;
}

int filter_build(unsigned calls, struct sock_fprog *ret_program)
{
	int r = notification_check();

	if (r < 0)
		return r;

	cleanup(context_release) scmp_filter_ctx context = seccomp_init(SCMP_ACT_ALLOW);

	if (!context)
		return -ENOMEM;
	r = context_add_rules(context, calls);

	return r < 0 ? r : context_export(context, ret_program);
}

void filter_free(struct sock_fprog *program)
{
	free(program->filter);
	*program = (struct sock_fprog){0};
}

/* seccomp(2) with as many of the wanted flags as this kernel knows. */
static int filter_load(const struct sock_fprog *program, bool *ret_wait_killable)
{
	const unsigned long flags = SECCOMP_FILTER_FLAG_NEW_LISTENER;
	long fd = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER,
		flags | SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV, program);

	*ret_wait_killable = fd >= 0;
	/* Unknown flags are refused ahead of all else: EINVAL says nothing of the rest yet. */
	if (fd < 0 && errno == EINVAL)
		fd = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, program);
	return fd < 0 ? -errno : (int)fd;
}

int filter_install(const struct sock_fprog *program, struct filter_features *ret_features)
{
	struct filter_features features = {0};
	int fd = filter_load(program, &features.wait_killable);

	if (fd == -EACCES) {
		if (prctl(PR_SET_NO_NEW_PRIVS, 1L, 0L, 0L, 0L) < 0)
			return -errno;
		features.no_new_privs = true;
		fd = filter_load(program, &features.wait_killable);
	}
	if (fd >= 0)
		*ret_features = features;
	return fd;
}

bool filter_abi_is_absent(const struct seccomp_data *data)
{
#ifdef __X32_SYSCALL_BIT
	if (data->arch != AUDIT_ARCH_X86_64 || !(data->nr & __X32_SYSCALL_BIT))
		return false;
	/*
	 * The very call that the tenant could make: whatever filters this process is under, the
	 * tenant is under as well, so none of them kills for it. Where the ABI exists, no flag
	 * fits.
	 */
	return syscall(__X32_SYSCALL_BIT | SYS_memfd_create, NULL, ~0U) < 0 && errno == ENOSYS;
#else
	(void)data;
	return false;
#endif
}
