/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A 32-bit program without libraries, so that every x86-64 compiler can build it. With no argument
 * it makes one memfd and ends with 100 + its number, or the errno; the name stands in argv[0], near
 * the top of what 32 bits reach. With one it resizes files, where no file may be larger than 8 GiB,
 * and ends with 0, or the number of the step that went wrong.
 */

static long call6(long number, long a, long b, long c, long d, long e, long f)
{
	long r;

	/* The sixth argument goes into %ebp, which compilers do not give away. */
	__asm__ volatile("pushl %[f]\n"
			 "pushl %%ebp\n"
			 "movl 4(%%esp), %%ebp\n"
			 "int $0x80\n"
			 "popl %%ebp\n"
			 "addl $4, %%esp"
			 : "=a"(r)
			 : "a"(number), "b"(a), "c"(b), "d"(c), "S"(d), "D"(e), [f] "m"(f)
			 : "memory");
	return r;
}

static long call(long number, long a, long b)
{
	return call6(number, a, b, 0, 0, 0, 0);
}

/* ftruncate64(2) and fallocate(2), with each half of a 64-bit argument in a register. */
static long resize(long fd, long high, long low)
{
	return call6(194, fd, low, high, 0, 0, 0);
}

static long allocate(long fd, long mode, long offset_high, long offset_low, long length)
{
	return call6(324, fd, mode, offset_low, offset_high, length, 0);
}

/* _llseek(2) to the end. */
static int has_size(long fd, unsigned long high, unsigned long low)
{
	unsigned long end[2] = {0, 0};

	return call6(140, fd, 0, 0, (long)end, 2 /* SEEK_END */, 0) == 0 && end[1] == high &&
	       end[0] == low;
}

static int resize_main(void)
{
	static const char name[] = "resized";
	const long fd = call(356 /* memfd_create */, (long)name, 1);

	if (fd < 0)
		return 1;
	if (call(93 /* ftruncate */, fd, 5000) != 0 || !has_size(fd, 0, 5000))
		return 2;
	if (resize(fd, 1, 0x2000) != 0 || !has_size(fd, 1, 0x2000))
		return 3;
	if (allocate(fd, 0, 1, 0x3000, 0x1000) != 0 || !has_size(fd, 1, 0x4000))
		return 4;
	if (allocate(fd, 1 /* KEEP_SIZE */, 1, 0x8000, 0x1000) != 0 || !has_size(fd, 1, 0x4000))
		return 5;
	/* Negative. */
	if (call(93, fd, (long)0x80000000) != -22 || resize(fd, (long)0x80000000, 0) != -22)
		return 6;
	/* Above the limit: only the upper half tells. */
	if (resize(fd, 2, 1) != -27 || resize(fd, 0x1000, 0) != -27 ||
		allocate(fd, 0, 2, 0, 0x1000) != -27)
		return 7;
	if (resize(fd, 2, 0) != 0 || !has_size(fd, 2, 0))
		return 8;
	if (resize(fd, 0, 0) != 0 || !has_size(fd, 0, 0))
		return 9;
	if (resize(fd + 1, 0, 0) != -9 || allocate(fd + 1, 0, 0, 0, 1) != -9)
		return 10;
	return 0;
}

__attribute__((used)) static void caller_main(const long *stack)
{
	long fd;

	if (stack[0] > 1)
		call(1 /* exit */, resize_main(), 0);
	fd = call(356 /* memfd_create */, stack[1] /* argv[0] */, 1 /* MFD_CLOEXEC */);
	call(1 /* exit */, fd < 0 ? -fd : 100 + fd, 0);
}

__asm__(".globl _start\n"
	"_start:\n"
	"	movl %esp, %eax\n"
	"	andl $-16, %esp\n"
	"	subl $12, %esp\n"
	"	pushl %eax\n"
	"	call caller_main\n");
