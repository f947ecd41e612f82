/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A 32-bit program that makes one memfd and ends with 100 + its number, or the errno. It has no
 * libraries, so that every x86-64 compiler can build it. The name stands in argv[0], near the top
 * of what 32 bits reach.
 */

static long call(long number, long a, long b)
{
	long r;

	__asm__ volatile("int $0x80" : "=a"(r) : "a"(number), "b"(a), "c"(b) : "memory");
	return r;
}

__attribute__((used)) static void caller_main(const long *stack)
{
	const long fd = call(356 /* memfd_create */, stack[1] /* argv[0] */, 1 /* MFD_CLOEXEC */);

	call(1 /* exit */, fd < 0 ? -fd : 100 + fd, 0);
}

__asm__(".globl _start\n"
	"_start:\n"
	"	movl %esp, %eax\n"
	"	andl $-16, %esp\n"
	"	subl $12, %esp\n"
	"	pushl %eax\n"
	"	call caller_main\n");
