/* SPDX-License-Identifier: Apache-2.0 */

/* The part of kernel/filter.h that reads a notified call. */

#include <linux/audit.h>
#include <stddef.h>
#include <sys/syscall.h>

#include "base/macro.h"
#include "kernel/filter.h"

/* __X32_SYSCALL_BIT, also on machines that do not have it. */
#define X32_BIT 0x40000000

/* How a 64-bit argument comes in registers. */
enum split {
	SPLIT_NONE,          /* as it is: a register holds it */
	SPLIT_LOW_HIGH,      /* in two, the lower half first */
	SPLIT_HIGH_LOW,      /* in two, the upper half first */
	SPLIT_EVEN_LOW_HIGH, /* the same, from a register with an even number on */
	SPLIT_EVEN_HIGH_LOW,
};

/* AUDIT_ARCH_ARM says nothing of the byte order (arch/arm64/include/asm/syscall.h). */
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
#define SPLIT_OF_ARM SPLIT_EVEN_HIGH_LOW
#else
#define SPLIT_OF_ARM SPLIT_EVEN_LOW_HIGH
#endif

/* The calls of one ABI; a number that no call has is -1. */
struct abi {
	uint32_t arch;
	int bit; /* that is set in each of its numbers besides */
	enum split split;
	int memfd_create, ftruncate, ftruncate64, fallocate;
};

/* Calls newer than Linux 5.0 have one number in all these ABIs. */
#define NR_IO_URING_SETUP 425
#define NR_MEMFD_SECRET   447

/*
 * Every ABI that filter_build() adds. Where a register holds 32 bits, the kernel's own entry of
 * each call tells how it joins them:
 *
 * i386: arch/x86/kernel/sys_ia32.c, ia32_ftruncate64() and ia32_fallocate()
 * arm: arch/arm64/kernel/sys32.c, aarch32_ftruncate64() (with __pad) and aarch32_fallocate()
 * s390: arch/s390/kernel/compat_linux.c, s390_ftruncate64() and s390_fallocate()
 * parisc: arch/parisc/kernel/sys_parisc.c, parisc_ftruncate64() and parisc_fallocate()
 */
static const struct abi abis[] = {
	{AUDIT_ARCH_X86_64, 0, SPLIT_NONE, 319, 77, -1, 285},
	{AUDIT_ARCH_X86_64, X32_BIT, SPLIT_NONE, 319, 77, -1, 285},
	{AUDIT_ARCH_I386, 0, SPLIT_LOW_HIGH, 356, 93, 194, 324},
	{AUDIT_ARCH_AARCH64, 0, SPLIT_NONE, 279, 46, -1, 47},
	{AUDIT_ARCH_ARM, 0, SPLIT_OF_ARM, 385, 93, 194, 352},
	{AUDIT_ARCH_S390X, 0, SPLIT_NONE, 350, 93, -1, 314},
	{AUDIT_ARCH_S390, 0, SPLIT_HIGH_LOW, 350, 93, 194, 314},
	{AUDIT_ARCH_PARISC64, 0, SPLIT_NONE, 340, 93, 200, 305},
	{AUDIT_ARCH_PARISC, 0, SPLIT_HIGH_LOW, 340, 93, 200, 305},
};

#if __SIZEOF_LONG__ == 8
/* What a machine that is not in the table has: its native ABI alone. */
static const struct abi native_abi = {
	.split = SPLIT_NONE,
	.memfd_create = SYS_memfd_create,
	.ftruncate = SYS_ftruncate,
	.ftruncate64 = -1,
	.fallocate = SYS_fallocate,
};
#define NATIVE_ABI (&native_abi)
#else
#define NATIVE_ABI NULL
#endif

static const struct abi *abi_find(const struct seccomp_data *data)
{
	const int bit = data->arch == AUDIT_ARCH_X86_64 ? data->nr & X32_BIT : 0;

	for (size_t i = 0; i < ARRAY_SIZE(abis); i++)
		if (abis[i].arch == data->arch && abis[i].bit == bit)
			return &abis[i];
	return NATIVE_ABI;
}

/*
 * Arguments number `at` and up as one value of 64 bits. Registers are cut to what the kernel takes
 * of them: a 64-bit program that makes a 32-bit call can leave anything in their upper halves.
 */
static int64_t wide(const struct abi *abi, const struct seccomp_data *data, unsigned at)
{
	uint32_t first, second;

	if (abi->split == SPLIT_NONE)
		return (int64_t)data->args[at];
	if (abi->split == SPLIT_EVEN_LOW_HIGH || abi->split == SPLIT_EVEN_HIGH_LOW)
		at += at % 2;
	first = (uint32_t)data->args[at];
	second = (uint32_t)data->args[at + 1];
	if (abi->split == SPLIT_HIGH_LOW || abi->split == SPLIT_EVEN_HIGH_LOW)
		return (int64_t)((uint64_t)first << 32 | second);
	return (int64_t)((uint64_t)second << 32 | first);
}

/* off_t: as wide as a register, signed (fs/open.c, compat_off_t; Linux 6.10 and its stable kin). */
static int64_t off(const struct abi *abi, const struct seccomp_data *data, unsigned at)
{
	return abi->split == SPLIT_NONE ? (int64_t)data->args[at] : (int32_t)data->args[at];
}

static uint64_t pointer(const struct abi *abi, uint64_t argument)
{
	return abi->split == SPLIT_NONE ? argument : (uint32_t)argument;
}

/* Descriptors, flags and modes have 32 bits in every ABI. */
bool filter_decode(const struct seccomp_data *data, struct filter_call *ret_call)
{
	const struct abi *abi = abi_find(data);
	const uint64_t *args = (const uint64_t *)data->args;

	if (!abi)
		return false;

	const int nr = data->nr & ~abi->bit;

	if (nr == abi->memfd_create)
		*ret_call = (struct filter_call){.call = CALL_MEMFD_CREATE,
			.address = pointer(abi, args[0]),
			.flags = (uint32_t)args[1]};
	else if (nr == abi->ftruncate)
		*ret_call = (struct filter_call){
			.call = CALL_FTRUNCATE, .fd = (int)args[0], .length = off(abi, data, 1)};
	else if (nr == abi->ftruncate64)
		*ret_call = (struct filter_call){
			.call = CALL_FTRUNCATE, .fd = (int)args[0], .length = wide(abi, data, 1)};
	else if (nr == abi->fallocate)
		*ret_call = (struct filter_call){.call = CALL_FALLOCATE,
			.fd = (int)args[0],
			.mode = (int)args[1],
			.offset = wide(abi, data, 2),
			.length = wide(abi, data, abi->split == SPLIT_NONE ? 3 : 4)};
	else if (nr == NR_MEMFD_SECRET)
		*ret_call =
			(struct filter_call){.call = CALL_MEMFD_SECRET, .flags = (uint32_t)args[0]};
	else if (nr == NR_IO_URING_SETUP)
		*ret_call = (struct filter_call){.call = CALL_IO_URING_SETUP};
	else
		return false;
	return true;
}
