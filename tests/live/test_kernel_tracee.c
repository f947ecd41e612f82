/* SPDX-License-Identifier: Apache-2.0 */

/* kernel/tracee: reading the caller. What the kernel itself says of the same name is the yardstick.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <linux/memfd.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include "kernel/notify.h"
#include "kernel/tracee.h"
#include "live.h"
#include "older.h"

/* Two pages, of which only the first is mapped. */
static char *page_before_a_hole(size_t *ret_page_size)
{
	const size_t page = (size_t)sysconf(_SC_PAGESIZE);
	char *p = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	assert_ptr_not_equal(p, MAP_FAILED);
	assert_return_code(munmap(p + page, page), errno);
	*ret_page_size = page;
	return p;
}

/* The errno of the kernel for this name, natively; 0 when it likes it. */
static int native_error(const char *name)
{
	long fd = syscall(SYS_memfd_create, name, MFD_CLOEXEC);

	if (fd < 0)
		return errno;
	close((int)fd);
	return 0;
}

/* What fdwarden reads, as the errno that it stands for. */
static int read_error(const char *name, struct tracee_name *ret_name)
{
	int r = tracee_read_name(getpid(), (uintptr_t)name, ret_name);

	if (r < 0)
		return -r;
	return ret_name->len > TRACEE_NAME_MAX ? EINVAL : 0;
}

static void assert_same(const char *name, int expected)
{
	struct tracee_name read;

	assert_int_equal(native_error(name), expected);
	assert_int_equal(read_error(name, &read), expected);
	if (expected)
		return;
	assert_int_equal(read.len, strlen(name));
	assert_memory_equal(read.bytes, name, read.len + 1);
}

/* Every length, ending at every distance from memory that is not there. */
static void test_name_lengths(void **state)
{
	size_t page;
	char *p = page_before_a_hole(&page);

	(void)state;
	for (size_t len = 0; len <= 260; len++)
		for (size_t gap = 0; gap < 3; gap++) {
			char *name = p + page - gap - len - 1;

			memset(p, 'z', page);
			memset(name, 'a' + (int)(len % 26), len);
			name[len] = '\0';
			assert_same(name, len > TRACEE_NAME_MAX ? EINVAL : 0);
		}
	munmap(p, page);
}

/* No NUL before the hole: EFAULT, unless enough bytes stand there to call it too long. */
static void test_name_without_end(void **state)
{
	size_t page;
	char *p = page_before_a_hole(&page);

	(void)state;
	memset(p, 'z', page);
	for (size_t len = 1; len <= 300; len++)
		assert_same(p + page - len, len > TRACEE_NAME_MAX ? EINVAL : EFAULT);
	munmap(p, page);
}

static void test_name_across_pages(void **state)
{
	const size_t page = (size_t)sysconf(_SC_PAGESIZE);
	char *p = mmap(NULL, 3 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	(void)state;
	assert_ptr_not_equal(p, MAP_FAILED);
	for (size_t start = page - 252; start <= page; start++) {
		memset(p, 'z', 3 * page);
		memcpy(p + start, "a name of no great length", 26);
		assert_same(p + start, 0);
		p[start + 25] = '!';
		p[start + TRACEE_NAME_MAX] = '\0';
		assert_same(p + start, 0);
	}
	munmap(p, 3 * page);
}

static void test_name_bytes(void **state)
{
	char name[256];

	(void)state;
	for (int i = 1; i < 256; i += 128) {
		for (int k = 0; k < 128 && i + k < 256; k++)
			name[k] = (char)(i + k);
		name[i + 128 > 256 ? 255 - i : 128] = '\0';
		assert_same(name, 0);
	}
	assert_same("", 0);
}

static void test_name_addresses(void **state)
{
	static const uint64_t bad[] = {0, 1, 4095, UINT64_C(0x7ffffffff000), UINT64_C(1) << 47,
		UINT64_C(1) << 56, UINT64_C(1) << 63, UINT64_C(0xffffffff80000000),
		UINT64_MAX - 4096, UINT64_MAX - 100, UINT64_MAX};
	struct tracee_name name;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		assert_int_equal(native_error((const char *)(uintptr_t)bad[i]), EFAULT);
		assert_int_equal(tracee_read_name(getpid(), bad[i], &name), -EFAULT);
	}

	char *hidden = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	assert_ptr_not_equal(hidden, MAP_FAILED);
	assert_same(hidden, EFAULT);
	munmap(hidden, 4096);
}

/* A failed read leaves the caller's struct alone. */
static void test_name_untouched(void **state)
{
	struct tracee_name name = {.len = 3, .bytes = "abc"};

	(void)state;
	assert_int_equal(tracee_read_name(getpid(), 1, &name), -EFAULT);
	assert_int_equal(name.len, 3);
	assert_string_equal(name.bytes, "abc");
}

/* The id of a process that is gone and reaped. */
static pid_t dead_pid(void)
{
	pid_t pid = fork();

	assert_return_code(pid, errno);
	if (pid == 0)
		_exit(0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	return pid;
}

static void assert_gone(pid_t pid)
{
	char text[4096], comm[TRACEE_COMM_MAX];
	struct tracee_name name;
	struct tracee_ids ids;

	assert_int_equal(tracee_read_name(pid, (uintptr_t)text, &name), -ESRCH);
	assert_int_equal(tracee_comm(pid, comm), -ESRCH);
	assert_int_equal(tracee_exe(pid, text, sizeof(text)), -ESRCH);
	assert_int_equal(tracee_cgroup_text(pid, text, sizeof(text)), -ESRCH);
	assert_int_equal(tracee_fd_table_is_full(pid), -ESRCH);
	assert_int_equal(tracee_ids_from_proc(pid, &ids), -ESRCH);
	assert_int_equal(tracee_kill(pid, -1, 1), -ESRCH);
}

/* Gone and reaped, or (0) never visible to us. */
static void test_gone(void **state)
{
	(void)state;
	assert_gone(dead_pid());
	assert_gone(0);
}

/* A page that the tenant serves itself holds up who reads it, and nobody else. */
struct slow_reader {
	const char *address;
	struct tracee_name name;
	int result;
	atomic_bool done;
};

static void *slow_reader_main(void *argument)
{
	struct slow_reader *reader = argument;

	reader->result = tracee_read_name(getpid(), (uintptr_t)reader->address, &reader->name);
	atomic_store(&reader->done, true);
	return NULL;
}

static int userfault_open(char *page, size_t size)
{
	struct uffdio_api api = {.api = UFFD_API};
	struct uffdio_register area = {
		.range = {.start = (uintptr_t)page, .len = size},
		.mode = UFFDIO_REGISTER_MODE_MISSING,
	};
	int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC);

	if (fd < 0)
		return -errno;
	assert_return_code(ioctl(fd, UFFDIO_API, &api), errno);
	assert_return_code(ioctl(fd, UFFDIO_REGISTER, &area), errno);
	return fd;
}

static void test_name_served_slowly(void **state)
{
	const size_t size = (size_t)sysconf(_SC_PAGESIZE);
	char *page = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *content = calloc(1, size);
	struct slow_reader reader = {.address = page + size - 8};
	struct uffd_msg message;
	pthread_t thread;

	(void)state;
	assert_ptr_not_equal(page, MAP_FAILED);
	assert_non_null(content);

	int fd = userfault_open(page, size);

	if (fd < 0) {
		munmap(page, size);
		free(content);
		live_skip("no userfaultfd");
	}
	strcpy(content + size - 8, "served");
	assert_int_equal(pthread_create(&thread, NULL, slow_reader_main, &reader), 0);
	/* Blocks until the reader has run into the page. */
	assert_int_equal(read(fd, &message, sizeof(message)), sizeof(message));
	assert_int_equal(message.event, UFFD_EVENT_PAGEFAULT);
	assert_same("somebody else's name", 0);
	assert_false(atomic_load(&reader.done));

	struct uffdio_copy copy = {.dst = (uintptr_t)page, .src = (uintptr_t)content, .len = size};

	assert_return_code(ioctl(fd, UFFDIO_COPY, &copy), errno);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(reader.result, 0);
	assert_string_equal(reader.name.bytes, "served");
	close(fd);
	munmap(page, size);
	free(content);
}

static void test_comm(void **state)
{
	static const char *const comms[] = {
		"plain", "", "15 bytes, exact", "new\nline\n", "\x1b[2J\xff", "a) R 1 (b"};
	char saved[TRACEE_COMM_MAX], comm[TRACEE_COMM_MAX];

	(void)state;
	assert_return_code(prctl(PR_GET_NAME, saved), errno);
	for (size_t i = 0; i < ARRAY_SIZE(comms); i++) {
		assert_return_code(prctl(PR_SET_NAME, comms[i]), errno);
		assert_int_equal(tracee_comm(gettid(), comm), 0);
		assert_string_equal(comm, comms[i]);
	}
	assert_return_code(prctl(PR_SET_NAME, saved), errno);
}

static void test_exe(void **state)
{
	char exe[4096], expected[4096];
	ssize_t n = readlink("/proc/self/exe", expected, sizeof(expected) - 1);

	(void)state;
	assert_true(n > 0);
	expected[n] = '\0';
	assert_int_equal(tracee_exe(getpid(), exe, sizeof(exe)), 0);
	assert_string_equal(exe, expected);
	assert_int_equal(tracee_exe(getpid(), exe, (size_t)n), -ENAMETOOLONG);
	assert_int_equal(tracee_exe(getpid(), exe, (size_t)n + 1), 0);
}

static void test_cgroup_text(void **state)
{
	char text[4096], expected[4096];
	ssize_t n = fd_read_file_at(AT_FDCWD, "/proc/self/cgroup", expected, sizeof(expected));

	(void)state;
	assert_true(n > 0);
	assert_int_equal(tracee_cgroup_text(getpid(), text, sizeof(text)), n);
	assert_string_equal(text, expected);
}

/* In a process of its own, because it changes its limits. */
static int fd_table_main(void)
{
	struct rlimit limit = {.rlim_cur = 20, .rlim_max = 20};

	live_check(setrlimit(RLIMIT_NOFILE, &limit) == 0);
	live_check(tracee_fd_table_is_full(getppid()) == 0);
	/* To look at a table takes a descriptor of its own: another process does it. */
	while (dup(0) >= 0)
		;
	live_check(errno == EMFILE);
	return 0;
}

static void test_fd_table(void **state)
{
	int to_child[2], from_child[2];
	char byte = 0;

	(void)state;
	assert_return_code(pipe2(to_child, O_CLOEXEC), errno);
	assert_return_code(pipe2(from_child, O_CLOEXEC), errno);

	struct live_child child = {.pid = fork(), .listener = -1};

	assert_return_code(child.pid, errno);
	if (child.pid == 0) {
		live_check(dup2(to_child[0], 0) == 0);
		live_check(fd_table_main() == 0);
		live_check(write(from_child[1], "f", 1) == 1);
		live_check(read(to_child[0], &byte, 1) == 1);
		close(7);
		live_check(write(from_child[1], "g", 1) == 1);
		live_check(read(to_child[0], &byte, 1) == 1);
		_exit(0);
	}
	assert_int_equal(read(from_child[0], &byte, 1), 1);
	assert_int_equal(tracee_fd_table_is_full(child.pid), 1);
	assert_int_equal(write(to_child[1], "x", 1), 1);
	assert_int_equal(read(from_child[0], &byte, 1), 1);
	assert_int_equal(tracee_fd_table_is_full(child.pid), 0);

	/* A limit below what is open already counts like a full table. */
	const struct rlimit lower = {.rlim_cur = 5, .rlim_max = 20};

	assert_return_code(prlimit(child.pid, RLIMIT_NOFILE, &lower, NULL), errno);
	assert_int_equal(tracee_fd_table_is_full(child.pid), 1);
	assert_int_equal(write(to_child[1], "x", 1), 1);
	assert_int_equal(live_wait(&child), 0);
	close(to_child[0]);
	close(to_child[1]);
	close(from_child[0]);
	close(from_child[1]);
}

static void *thread_create_file(void *argument)
{
	(void)argument;
	return (void *)(intptr_t)memfd_create("x", MFD_CLOEXEC);
}

static int child_thread_creates(void *argument)
{
	pthread_t thread;

	(void)argument;
	live_check(pthread_create(&thread, NULL, thread_create_file, NULL) == 0);
	pthread_join(thread, NULL);
	return 0;
}

/* The call of a thread that is not the leader ends its whole process. */
static void test_kill(void **state)
{
	struct live_child child;
	union notification slot;

	(void)state;
	live_spawn(&child, child_thread_creates, NULL);
	assert_int_equal(notify_receive(child.listener, &slot), NOTIFY_OK);
	assert_int_not_equal(slot.notif.pid, child.pid);

	const pid_t tid = (pid_t)slot.notif.pid;

	/* Another call's id names nobody. */
	assert_int_equal(tracee_kill(tid, child.listener, slot.notif.id + 1), -ESRCH);
	assert_int_equal(notify_valid(child.listener, slot.notif.id), NOTIFY_OK);
	assert_int_equal(tracee_kill(tid, child.listener, slot.notif.id), 0);

	const int listener = dup(child.listener);

	assert_int_equal(live_wait(&child), 128 + SIGKILL);
	assert_int_equal(tracee_kill(tid, listener, slot.notif.id), -ESRCH);
	close(listener);
}

static int kill_tests(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_kill)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

static void test_kill_older_kernel(void **state)
{
	(void)state;
	live_require_root();
	assert_int_equal(older_run(OLDER_6_8, kill_tests), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_name_lengths),
		cmocka_unit_test(test_name_without_end),
		cmocka_unit_test(test_name_across_pages),
		cmocka_unit_test(test_name_bytes),
		cmocka_unit_test(test_name_addresses),
		cmocka_unit_test(test_name_untouched),
		cmocka_unit_test(test_name_served_slowly),
		cmocka_unit_test(test_gone),
		cmocka_unit_test(test_comm),
		cmocka_unit_test(test_exe),
		cmocka_unit_test(test_cgroup_text),
		cmocka_unit_test(test_fd_table),
		cmocka_unit_test(test_kill),
		cmocka_unit_test(test_kill_older_kernel),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
