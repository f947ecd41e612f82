/* SPDX-License-Identifier: Apache-2.0 */

/* kernel/filter: what a notified call says, in every ABI, on whatever machine this runs. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <linux/audit.h>
#include <seccomp.h>
#include <string.h>

#include "base/macro.h"
#include "kernel/filter.h"

#define X32_BIT 0x40000000

/* Where an ABI has the halves of a 64-bit argument. */
enum halves { WHOLE, LOW_HIGH, HIGH_LOW, EVEN_LOW_HIGH, EVEN_HIGH_LOW };

#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
#define EVEN_OF_ARM EVEN_HIGH_LOW
#else
#define EVEN_OF_ARM EVEN_LOW_HIGH
#endif

static const struct abi {
	uint32_t arch, scmp_arch;
	enum halves halves;
} abis[] = {
	{AUDIT_ARCH_X86_64, SCMP_ARCH_X86_64, WHOLE},
	{AUDIT_ARCH_X86_64, SCMP_ARCH_X32, WHOLE},
	{AUDIT_ARCH_I386, SCMP_ARCH_X86, LOW_HIGH},
	{AUDIT_ARCH_AARCH64, SCMP_ARCH_AARCH64, WHOLE},
	{AUDIT_ARCH_ARM, SCMP_ARCH_ARM, EVEN_OF_ARM},
	{AUDIT_ARCH_S390X, SCMP_ARCH_S390X, WHOLE},
	{AUDIT_ARCH_S390, SCMP_ARCH_S390, HIGH_LOW},
	{AUDIT_ARCH_PARISC64, SCMP_ARCH_PARISC64, WHOLE},
	{AUDIT_ARCH_PARISC, SCMP_ARCH_PARISC, HIGH_LOW},
};

/* What a register may hold above its 32 bits, for all that the kernel cares. */
#define JUNK UINT64_C(0xdeadbeef00000000)

/* The registers of a call, filled one argument after the other. */
struct registers {
	const struct abi *abi;
	struct seccomp_data data;
	unsigned used;
};

static bool call_of(struct registers *registers, const struct abi *abi, const char *name)
{
	int nr = seccomp_syscall_resolve_name_arch(abi->scmp_arch, name);

	*registers = (struct registers){.abi = abi, .data = {.nr = nr, .arch = abi->arch}};
	return nr >= 0;
}

static void pass(struct registers *registers, uint64_t value)
{
	registers->data.args[registers->used++] = value;
}

/* An int, or a pointer of a 32-bit program. */
static void pass_32(struct registers *registers, uint32_t value)
{
	pass(registers, JUNK | value);
}

static void pass_pointer(struct registers *registers, uint64_t value)
{
	pass(registers, registers->abi->halves == WHOLE ? value : JUNK | (uint32_t)value);
}

static void pass_64(struct registers *registers, int64_t value)
{
	const uint64_t low = JUNK | (uint32_t)value;
	const uint64_t high = JUNK | (uint32_t)((uint64_t)value >> 32);
	const enum halves halves = registers->abi->halves;

	if (halves == WHOLE) {
		pass(registers, (uint64_t)value);
		return;
	}
	if (halves == EVEN_LOW_HIGH || halves == EVEN_HIGH_LOW)
		registers->used += registers->used % 2;
	pass(registers, halves == LOW_HIGH || halves == EVEN_LOW_HIGH ? low : high);
	pass(registers, halves == LOW_HIGH || halves == EVEN_LOW_HIGH ? high : low);
}

static struct filter_call decode(const struct registers *registers)
{
	struct filter_call call;

	/* So that what the call does not have is seen to be set to 0. */
	memset(&call, 0xff, sizeof(call));
	assert_true(filter_decode(&registers->data, &call));
	return call;
}

static const int64_t wide_values[] = {0, 1, 4096, INT32_MAX, INT64_C(1) << 31, INT64_C(1) << 32,
	INT64_C(0x123456789abcdef0), INT64_MAX, -1, INT64_MIN, INT64_C(-0x123456789abcdef0)};

static void test_ftruncate(void **state)
{
	struct registers r;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(abis); i++)
		for (size_t v = 0; v < ARRAY_SIZE(wide_values); v++) {
			const bool narrow = abis[i].halves != WHOLE;
			struct filter_call call;

			assert_true(call_of(&r, &abis[i], "ftruncate"));
			pass_32(&r, 7);
			pass_pointer(&r, (uint64_t)wide_values[v]);
			call = decode(&r);
			assert_int_equal(call.call, CALL_FTRUNCATE);
			assert_int_equal(call.fd, 7);
			/* An off_t of 32 bits has a sign. */
			assert_int_equal(
				call.length, narrow ? (int32_t)wide_values[v] : wide_values[v]);
		}
}

static void test_ftruncate64(void **state)
{
	size_t have = 0;
	struct registers r;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(abis); i++)
		for (size_t v = 0; v < ARRAY_SIZE(wide_values); v++) {
			struct filter_call call;

			if (!call_of(&r, &abis[i], "ftruncate64"))
				continue;
			have++;
			pass_32(&r, (uint32_t)-1);
			pass_64(&r, wide_values[v]);
			call = decode(&r);
			assert_int_equal(call.call, CALL_FTRUNCATE);
			assert_int_equal(call.fd, -1);
			assert_int_equal(call.length, wide_values[v]);
		}
	assert_int_equal(have, 5 * ARRAY_SIZE(wide_values));
}

static void test_fallocate(void **state)
{
	struct registers r;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(abis); i++)
		for (size_t v = 0; v < ARRAY_SIZE(wide_values); v++) {
			const int64_t other = wide_values[ARRAY_SIZE(wide_values) - 1 - v];
			struct filter_call call;

			assert_true(call_of(&r, &abis[i], "fallocate"));
			pass_32(&r, 1023);
			pass_32(&r, 3);
			pass_64(&r, wide_values[v]);
			pass_64(&r, other);
			assert_true(r.used <= ARRAY_SIZE(r.data.args));
			call = decode(&r);
			assert_int_equal(call.call, CALL_FALLOCATE);
			assert_int_equal(call.fd, 1023);
			assert_int_equal(call.mode, 3);
			assert_int_equal(call.offset, wide_values[v]);
			assert_int_equal(call.length, other);
		}
}

static void test_memfd_create(void **state)
{
	const uint64_t address = UINT64_C(0x7ffd12345678);
	struct registers r;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(abis); i++) {
		struct filter_call call;

		assert_true(call_of(&r, &abis[i], "memfd_create"));
		pass_pointer(&r, address);
		pass_32(&r, 0x80000003);
		call = decode(&r);
		assert_int_equal(call.call, CALL_MEMFD_CREATE);
		assert_int_equal(
			call.address, abis[i].halves == WHOLE ? address : (uint32_t)address);
		assert_int_equal(call.flags, 0x80000003);
		assert_int_equal(call.length, 0);
	}
}

static void test_newer_calls(void **state)
{
	struct registers r;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(abis); i++) {
		struct filter_call call;

		/* libseccomp 2.5 does not know of it on every machine. */
		if (call_of(&r, &abis[i], "memfd_secret")) {
			pass_32(&r, 0x80001);
			call = decode(&r);
			assert_int_equal(call.call, CALL_MEMFD_SECRET);
			assert_int_equal(call.flags, 0x80001);
		}
		assert_true(call_of(&r, &abis[i], "io_uring_setup"));
		assert_int_equal(decode(&r).call, CALL_IO_URING_SETUP);
	}
}

/* Numbers of another ABI, and of none. */
static void test_what_is_no_call_of_ours(void **state)
{
	static const struct seccomp_data calls[] = {
		{.arch = AUDIT_ARCH_X86_64, .nr = 356},
		{.arch = AUDIT_ARCH_X86_64, .nr = -1},
		{.arch = AUDIT_ARCH_X86_64, .nr = X32_BIT | 356},
		{.arch = AUDIT_ARCH_I386, .nr = 319},
		{.arch = AUDIT_ARCH_I386, .nr = X32_BIT | 356},
		{.arch = AUDIT_ARCH_I386, .nr = 76},
		{.arch = AUDIT_ARCH_AARCH64, .nr = 319},
	};
	struct filter_call call;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(calls); i++)
		assert_false(filter_decode(&calls[i], &call));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ftruncate),
		cmocka_unit_test(test_ftruncate64),
		cmocka_unit_test(test_fallocate),
		cmocka_unit_test(test_memfd_create),
		cmocka_unit_test(test_newer_calls),
		cmocka_unit_test(test_what_is_no_call_of_ours),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
