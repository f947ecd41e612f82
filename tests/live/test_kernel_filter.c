/* SPDX-License-Identifier: Apache-2.0 */

/* kernel/filter: what the program says of every call, and what the kernel grants. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <linux/audit.h>
#include <linux/memfd.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "kernel/notify.h"
#include "kernel/tracee.h"
#include "live.h"
#include "older.h"

/* notify_inject() of a copy. */
static int inject_copy(int listener, uint64_t id, int fd, bool close_on_exec, int *ret_caller_fd)
{
	_cleanup_close_ int copy = dup(fd);

	return notify_inject(listener, id, &copy, close_on_exec, false, ret_caller_fd);
}

/*
 * The classic BPF that the kernel follows when it looks for numbers that are always allowed
 * (kernel/seccomp.c, seccomp_is_const_allow()). Anything else ends the test, because it would end
 * the kernel's proof as well.
 */
static uint32_t program_run(const struct sock_fprog *program, uint32_t arch, uint32_t nr)
{
	uint32_t accumulator = 0;

	for (size_t pc = 0; pc < program->len; pc++) {
		const struct sock_filter *f = &program->filter[pc];

		switch (f->code) {
		case BPF_LD | BPF_W | BPF_ABS:
			if (f->k == offsetof(struct seccomp_data, nr))
				accumulator = nr;
			else if (f->k == offsetof(struct seccomp_data, arch))
				accumulator = arch;
			else
				fail_msg("the program reads an argument");
			break;
		case BPF_JMP | BPF_JA:
			pc += f->k;
			break;
		case BPF_JMP | BPF_JEQ | BPF_K:
			pc += accumulator == f->k ? f->jt : f->jf;
			break;
		case BPF_JMP | BPF_JGE | BPF_K:
			pc += accumulator >= f->k ? f->jt : f->jf;
			break;
		case BPF_JMP | BPF_JGT | BPF_K:
			pc += accumulator > f->k ? f->jt : f->jf;
			break;
		case BPF_RET | BPF_K:
			return f->k;
		default:
			fail_msg("instruction %#x at %zu", f->code, pc);
		}
	}
	fail_msg("the program does not end");
	return 0;
}

/* The ABIs of the machine, with numbers by libseccomp's own tables; x32's have a bit besides. */
static const struct abi {
	uint32_t arch, scmp_arch, base;
} abis[] = {
#if defined(__x86_64__)
	{AUDIT_ARCH_X86_64, SCMP_ARCH_X86_64, 0},
	{AUDIT_ARCH_X86_64, SCMP_ARCH_X32, __X32_SYSCALL_BIT},
	{AUDIT_ARCH_I386, SCMP_ARCH_X86, 0},
#elif defined(__aarch64__)
	{AUDIT_ARCH_AARCH64, SCMP_ARCH_AARCH64, 0},
	{AUDIT_ARCH_ARM, SCMP_ARCH_ARM, 0},
#endif
};

static const struct {
	enum call call;
	const char *name;
} names[] = {
	{CALL_MEMFD_CREATE, "memfd_create"},
	{CALL_MEMFD_SECRET, "memfd_secret"},
	{CALL_FTRUNCATE, "ftruncate"},
	{CALL_FTRUNCATE, "ftruncate64"},
	{CALL_FALLOCATE, "fallocate"},
	{CALL_IO_URING_SETUP, "io_uring_setup"},
};

static bool is_notified(const struct abi *abi, unsigned calls, uint32_t nr)
{
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		const int known = seccomp_syscall_resolve_name_arch(abi->scmp_arch, names[i].name);

		if (calls & names[i].call && known >= 0 && (uint32_t)known == nr)
			return true;
	}
	return false;
}

static void assert_verdicts(unsigned calls)
{
	struct sock_fprog program = {0};

	assert_int_equal(filter_build(calls, &program), 0);
	for (size_t i = 0; i < ARRAY_SIZE(abis); i++) {
		for (uint32_t nr = abis[i].base; nr < abis[i].base + 1024; nr++)
			assert_int_equal(program_run(&program, abis[i].arch, nr),
				is_notified(&abis[i], calls, nr) ? SECCOMP_RET_USER_NOTIF
								 : SECCOMP_RET_ALLOW);
		/* What a tracer leaves behind when it has skipped a call. */
		assert_int_equal(program_run(&program, abis[i].arch, ~0U), SECCOMP_RET_ALLOW);
	}
	filter_free(&program);
	assert_null(program.filter);
	filter_free(&program);
}

/* Of every set of calls exactly those are notified. */
static void test_verdicts(void **state)
{
	(void)state;
	for (unsigned calls = 1; calls <= CALL_ALL; calls++)
		assert_verdicts(calls);
}

/* What is notified can be read, and nothing else: the program and filter_decode() agree. */
static void test_decodes_what_it_notifies(void **state)
{
	struct sock_fprog program = {0};
	struct filter_call call;

	(void)state;
	assert_int_equal(filter_build(CALL_ALL, &program), 0);
	for (size_t i = 0; i < ARRAY_SIZE(abis); i++)
		for (uint32_t nr = abis[i].base; nr < abis[i].base + 1024; nr++) {
			const struct seccomp_data data = {.nr = (int)nr, .arch = abis[i].arch};
			const bool notified =
				program_run(&program, abis[i].arch, nr) == SECCOMP_RET_USER_NOTIF;

			/* libseccomp 2.5 does not know of memfd_secret(2) on every machine. */
			if (notified || nr != 447)
				assert_int_equal(filter_decode(&data, &call), notified);
		}
	filter_free(&program);
}

static void test_unknown_abi(void **state)
{
	struct sock_fprog program = {0};

	(void)state;
	assert_int_equal(filter_build(CALL_MEMFD_CREATE, &program), 0);
	for (uint32_t nr = 0; nr < 1024; nr++)
		assert_int_equal(
			program_run(&program, AUDIT_ARCH_PPC64LE, nr), SECCOMP_RET_ERRNO | ENOSYS);
	filter_free(&program);
}

/* Small enough that the start of a command does not feel it. */
static void test_size(void **state)
{
	struct sock_fprog program = {0};

	(void)state;
	assert_int_equal(filter_build(CALL_MEMFD_CREATE, &program), 0);
	assert_in_range(program.len, 4, 16);
	filter_free(&program);
	assert_int_equal(filter_build(CALL_ALL, &program), 0);
	assert_in_range(program.len, 4, 40);
	filter_free(&program);
}

/* Where the kernel refuses what is newer than it, the filter is there all the same. */
static int older_install(void)
{
	struct filter_features features = {.wait_killable = true};
	struct sock_fprog program = {0};
	bool sync = true;

	live_check(filter_build(CALL_MEMFD_CREATE, &program) == 0);

	int listener = filter_install(&program, &features);

	live_check(listener >= 0);
	live_check(!features.wait_killable);
	live_check(!features.no_new_privs);
	live_check(notify_prepare(listener, &sync) == 0);
	live_check(!sync);
	return 0;
}

static void test_older_kernel(void **state)
{
	(void)state;
	live_require_root();
	assert_int_equal(older_run(OLDER_5_18, older_install), 0);
}

/* A sandbox that forbids seccomp(2) is named by its own errno. */
static int sandboxed_build(void)
{
	scmp_filter_ctx sandbox = seccomp_init(SCMP_ACT_ALLOW);
	struct sock_fprog program = {0};

	live_check(sandbox != NULL);
	live_check(older_refuse(sandbox, EPERM, SCMP_SYS(seccomp), 0, 0));
	live_check(seccomp_load(sandbox) == 0);
	seccomp_release(sandbox);
	live_check(filter_build(CALL_MEMFD_CREATE, &program) == -EPERM);
	live_check(!program.filter);
	return 0;
}

static void test_sandboxed(void **state)
{
	(void)state;
	assert_int_equal(live_run_in(0, sandboxed_build), 0);
}

static int child_no_new_privs(void *argument)
{
	(void)argument;
	return prctl(PR_GET_NO_NEW_PRIVS, 0L, 0L, 0L, 0L);
}

static void test_privileged(void **state)
{
	struct live_child child;

	(void)state;
	live_require_root();
	live_spawn(&child, child_no_new_privs, NULL);
	assert_false(child.features.no_new_privs);
	assert_int_equal(live_wait(&child), 0);
}

/* An ordinary user, in a process of its own because it does not come back from that. */
static int user_install(void)
{
	struct filter_features features = {0};
	struct sock_fprog program = {0};

	if (geteuid() == 0)
		live_check(setresuid(65534, 65534, 65534) == 0);
	live_check(prctl(PR_GET_NO_NEW_PRIVS, 0L, 0L, 0L, 0L) == 0);
	live_check(filter_build(CALL_MEMFD_CREATE, &program) == 0);

	int listener = filter_install(&program, &features);

	live_check(listener >= 0);
	live_check(features.no_new_privs);
	live_check(prctl(PR_GET_NO_NEW_PRIVS, 0L, 0L, 0L, 0L) == 1);
	live_check(fcntl(listener, F_GETFD) == FD_CLOEXEC);

	/* One listener in a tree: the second is refused, and says so. */
	live_check(filter_install(&program, &features) == -EBUSY);
	return 0;
}

static void test_unprivileged(void **state)
{
	struct live_child child = {.listener = -1};

	(void)state;
	child.pid = fork();
	assert_return_code(child.pid, errno);
	if (child.pid == 0)
		_exit(user_install());
	assert_int_equal(live_wait(&child), 0);
}

#ifdef __x86_64__
/* memfd_create by way of int 0x80, which any 64-bit program can use: the i386 ABI. */
static long call_i386(const char *name, unsigned flags)
{
	long r;

	__asm__ volatile("int $0x80"
			 : "=a"(r)
			 : "a"(356L), "b"((uint32_t)(uintptr_t)name), "c"(flags)
			 : "memory", "r8", "r9", "r10", "r11");
	return (int)r;
}

static int child_i386(void *argument)
{
	/* Where 32 bits reach it. */
	char *name = mmap(
		NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);

	(void)argument;
	live_check(name != MAP_FAILED);
	strcpy(name, "from i386");
	return (int)-call_i386(name, MFD_CLOEXEC);
}

static void test_i386(void **state)
{
	struct live_child child;
	union notification slot;

	(void)state;
	live_spawn(&child, child_i386, NULL);
	/* A kernel without IA32 emulation kills the caller instead. */
	while (notify_poll(child.listener) == NOTIFY_AGAIN)
		if (waitpid(child.pid, NULL, WNOHANG) > 0) {
			close(child.listener);
			live_skip("no 32-bit calls on this kernel");
		}
	assert_int_equal(notify_receive(child.listener, &slot), NOTIFY_OK);
	assert_int_equal(slot.notif.data.arch, AUDIT_ARCH_I386);
	assert_int_equal(slot.notif.data.nr, 356);
	assert_int_equal(slot.notif.data.args[0] >> 32, 0);
	assert_int_equal(slot.notif.data.args[1], MFD_CLOEXEC);
	assert_false(filter_abi_is_absent(&slot.notif.data));
	assert_int_equal(notify_fail(child.listener, slot.notif.id, EXDEV), NOTIFY_OK);
	assert_int_equal(live_wait(&child), EXDEV);
}

static int child_exec_i386(void *argument)
{
	char *const argv[] = {argument, NULL};

	execv(CALLER_I386, argv);
	return 1;
}

/* A 32-bit program: its descriptor, its errno, and its name high on its stack. */
static void test_i386_program(void **state)
{
	char text[] = "a name of a 32-bit program";
	struct tracee_name name;
	struct live_child child;
	union notification slot;
	int caller_fd;

	(void)state;
	for (int inject = 0; inject < 2; inject++) {
		live_spawn(&child, child_exec_i386, text);
		assert_int_equal(notify_receive(child.listener, &slot), NOTIFY_OK);
		assert_int_equal(slot.notif.data.arch, AUDIT_ARCH_I386);
		assert_int_equal(tracee_read_name(child.pid, slot.notif.data.args[0], &name), 0);
		assert_string_equal(name.bytes, text);
		assert_true(slot.notif.data.args[0] > 0xf0000000);
		if (inject) {
			assert_int_equal(
				inject_copy(child.listener, slot.notif.id, 0, true, &caller_fd),
				NOTIFY_OK);
			assert_int_equal(live_wait(&child), 100 + caller_fd);
		} else {
			assert_int_equal(
				notify_fail(child.listener, slot.notif.id, EXDEV), NOTIFY_OK);
			assert_int_equal(live_wait(&child), EXDEV);
		}
	}
}

static int child_x32(void *argument)
{
	long fd = syscall(__X32_SYSCALL_BIT | SYS_memfd_create, "from x32", MFD_CLOEXEC);

	(void)argument;
	return fd < 0 ? errno : 0;
}

/* The supervised call ends as the native one does, whether the kernel has the ABI or not. */
static void test_x32(void **state)
{
	struct live_child native = {.listener = -1}, child;
	union notification slot;

	(void)state;
	native.pid = fork();
	assert_return_code(native.pid, errno);
	if (native.pid == 0)
		_exit(child_x32(NULL));

	const int expected = live_wait(&native);

	live_spawn(&child, child_x32, NULL);
	assert_int_equal(notify_receive(child.listener, &slot), NOTIFY_OK);
	assert_int_equal(slot.notif.data.nr, __X32_SYSCALL_BIT | SYS_memfd_create);
	assert_int_equal(filter_abi_is_absent(&slot.notif.data), expected == ENOSYS);
	assert_int_equal(notify_continue(child.listener, slot.notif.id), NOTIFY_OK);
	assert_int_equal(live_wait(&child), expected);
}
#endif

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_verdicts),
		cmocka_unit_test(test_decodes_what_it_notifies),
		cmocka_unit_test(test_unknown_abi),
		cmocka_unit_test(test_size),
		cmocka_unit_test(test_older_kernel),
		cmocka_unit_test(test_sandboxed),
		cmocka_unit_test(test_privileged),
		cmocka_unit_test(test_unprivileged),
#ifdef __x86_64__
		cmocka_unit_test(test_i386),
		cmocka_unit_test(test_i386_program),
		cmocka_unit_test(test_x32),
#endif
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
