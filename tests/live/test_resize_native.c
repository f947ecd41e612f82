/* SPDX-License-Identifier: Apache-2.0 */

/*
 * core/resize against the kernel itself: the same calls on the same files, natively and supervised,
 * must come to the same, and where a limit is in the way, the kernel's own errors come first.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <linux/falloc.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "live.h"
#include "live_resize.h"

/* ---- Files ---- */

enum kind {
	KIND_PLAIN,
	KIND_SEALED_GROW,
	KIND_SEALED_SHRINK,
	KIND_SEALED_SIZE,
	KIND_SEALED_WRITE,
	KIND_READ_ONLY,
	KIND_WRITE_ONLY,
	KIND_PATH,
	KIND_APPEND,
	KIND_NEITHER, /* access mode 3 of open(2) */
	KIND_HUGETLB,
	KIND_SECRET,
	/* From here on not of memory. */
	KIND_DIRECTORY,
	KIND_PIPE_END,
	KIND_SOCKET,
	KIND_DEVICE,
	KIND_FILE,
	KIND_FILE_READ_ONLY,
	KIND_FILE_APPEND,
	KIND_EVENTFD,
	KIND_CLOSED,
	KIND_NEGATIVE,
	KIND_COUNT
};
#define KIND_FIRST_OTHER KIND_DIRECTORY

#define FILE_SIZE 8192

static int reopen(int fd, int flags)
{
	char path[32];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);

	int again = open(path, flags | O_CLOEXEC);

	close(fd);
	return again;
}

static int file_new(int fd)
{
	static const char data[FILE_SIZE] = {1};

	live_check(fd >= 0 && write(fd, data, sizeof(data)) == sizeof(data));
	return fd;
}

static int memfd_new(int seals)
{
	int fd = file_new(memfd_create("resized", MFD_CLOEXEC | MFD_ALLOW_SEALING));

	live_check(seals == 0 || fcntl(fd, F_ADD_SEALS, seals) == 0);
	return fd;
}

static int disk_file_new(void)
{
	return file_new(open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
}

static int pipe_end_new(void)
{
	int fds[2];

	live_check(pipe2(fds, O_CLOEXEC) == 0);
	close(fds[0]);
	return fds[1];
}

/* Below zero for a kind that this machine does not have, too: so it is natively and supervised. */
static int kind_open(enum kind kind)
{
	switch (kind) {
	case KIND_PLAIN:
		return memfd_new(0);
	case KIND_SEALED_GROW:
		return memfd_new(F_SEAL_GROW);
	case KIND_SEALED_SHRINK:
		return memfd_new(F_SEAL_SHRINK);
	case KIND_SEALED_SIZE:
		return memfd_new(F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL);
	case KIND_SEALED_WRITE:
		return memfd_new(F_SEAL_WRITE);
	case KIND_READ_ONLY:
		return reopen(memfd_new(0), O_RDONLY);
	case KIND_WRITE_ONLY:
		return reopen(memfd_new(0), O_WRONLY);
	case KIND_PATH:
		return reopen(memfd_new(0), O_PATH);
	case KIND_APPEND:
		return reopen(memfd_new(0), O_RDWR | O_APPEND);
	case KIND_NEITHER:
		return reopen(memfd_new(0), O_ACCMODE);
	case KIND_HUGETLB:
		return memfd_create("huge", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_HUGETLB);
	case KIND_SECRET:
		return (int)syscall(447 /* memfd_secret */, O_CLOEXEC);
	case KIND_DIRECTORY:
		return open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	case KIND_PIPE_END:
		return pipe_end_new();
	case KIND_SOCKET:
		return socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	case KIND_DEVICE:
		return open("/dev/null", O_RDWR | O_CLOEXEC);
	case KIND_FILE:
		return disk_file_new();
	case KIND_FILE_READ_ONLY:
		return reopen(disk_file_new(), O_RDONLY);
	case KIND_FILE_APPEND:
		return reopen(disk_file_new(), O_RDWR | O_APPEND);
	case KIND_EVENTFD:
		return eventfd(0, EFD_CLOEXEC);
	case KIND_CLOSED:
		return 300;
	case KIND_NEGATIVE:
	case KIND_COUNT:
		break;
	}
	return -1;
}

/* ---- Calls ---- */

struct request {
	bool allocate;
	int mode;
	int64_t offset, length;
};

static const int64_t lengths[] = {0, 1, 4095, 4096, 6001, FILE_SIZE, FILE_SIZE + 1, 1 << 21,
	INT64_C(1) << 31, INT64_C(1) << 40, INT64_MAX, -1, INT64_MIN};

static const int modes[] = {0, FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE,
	FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, FALLOC_FL_COLLAPSE_RANGE, FALLOC_FL_ZERO_RANGE,
	FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, FALLOC_FL_INSERT_RANGE, FALLOC_FL_UNSHARE_RANGE,
	0x80, 0x4000, -1};

static const struct {
	int64_t offset, length;
} ranges[] = {{0, 0}, {0, 1}, {0, 4096}, {4096, 4096}, {0, FILE_SIZE}, {4096, FILE_SIZE},
	{FILE_SIZE, 1}, {1 << 20, 1 << 16}, {-1, 4096}, {0, -1}, {INT64_MAX, 1}, {1, INT64_MAX},
	{INT64_MIN, INT64_MIN}, {INT64_MAX, INT64_MAX}};

#define REQUESTS (ARRAY_SIZE(lengths) + ARRAY_SIZE(modes) * ARRAY_SIZE(ranges))

static struct request request_at(size_t i)
{
	if (i < ARRAY_SIZE(lengths))
		return (struct request){.length = lengths[i]};
	i -= ARRAY_SIZE(lengths);
	return (struct request){
		.allocate = true,
		.mode = modes[i / ARRAY_SIZE(ranges)],
		.offset = ranges[i % ARRAY_SIZE(ranges)].offset,
		.length = ranges[i % ARRAY_SIZE(ranges)].length,
	};
}

/* ---- What they come to ---- */

static const rlim_t size_limits[] = {RLIM_INFINITY, 6000};

struct result {
	int error;
	bool signal; /* SIGXFSZ */
	int64_t size, blocks, offset;
};

struct results {
	enum kind first, last; /* which kinds to go through */
	struct result of[ARRAY_SIZE(size_limits)][KIND_COUNT][REQUESTS];
};

static bool took_signal(void)
{
	const struct timespec now = {0};
	sigset_t xfsz;

	sigemptyset(&xfsz);
	sigaddset(&xfsz, SIGXFSZ);
	return sigtimedwait(&xfsz, NULL, &now) == SIGXFSZ;
}

static void request_make(int fd, const struct request *request, struct result *result)
{
	struct stat st = {0};
	int r = request->allocate ? fallocate(fd, request->mode, request->offset, request->length)
				  : ftruncate(fd, request->length);

	result->error = r < 0 ? errno : 0;
	result->signal = took_signal();
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode)) {
		result->size = st.st_size;
		result->blocks = st.st_blocks;
		/* Shared with our copies. */
		result->offset = lseek(fd, 0, SEEK_CUR);
	}
}

static int child_makes_requests(void *argument)
{
	struct results *results = argument;
	const struct rlimit free_limit = {.rlim_cur = RLIM_INFINITY, .rlim_max = RLIM_INFINITY};
	sigset_t xfsz;

	sigemptyset(&xfsz);
	sigaddset(&xfsz, SIGXFSZ);
	live_check(sigprocmask(SIG_BLOCK, &xfsz, NULL) == 0);
	for (size_t l = 0; l < ARRAY_SIZE(size_limits); l++)
		for (enum kind kind = results->first; kind <= results->last; kind++)
			for (size_t i = 0; i < REQUESTS; i++) {
				const struct rlimit limit = {
					.rlim_cur = size_limits[l], .rlim_max = RLIM_INFINITY};
				const struct request request = request_at(i);
				int fd = kind_open(kind);

				live_check(setrlimit(RLIMIT_FSIZE, &limit) == 0);
				request_make(fd, &request, &results->of[l][kind][i]);
				live_check(setrlimit(RLIMIT_FSIZE, &free_limit) == 0);
				if (kind != KIND_CLOSED)
					fd_close(fd);
			}
	return 0;
}

static void say_difference(rlim_t limit, enum kind kind, const struct request *request,
	const struct result *native, const struct result *supervised)
{
	print_error("kind %d, RLIMIT_FSIZE %lld, %s mode %#x offset %lld length %lld: natively "
		    "errno %d signal %d size %lld blocks %lld, here %d %d %lld %lld\n",
		kind, (long long)limit, request->allocate ? "fallocate" : "ftruncate",
		(unsigned)request->mode, (long long)request->offset, (long long)request->length,
		native->error, native->signal, (long long)native->size, (long long)native->blocks,
		supervised->error, supervised->signal, (long long)supervised->size,
		(long long)supervised->blocks);
}

static bool is_same(const struct result *a, const struct result *b)
{
	return a->error == b->error && a->signal == b->signal && a->size == b->size &&
	       a->blocks == b->blocks && a->offset == b->offset;
}

/* How many results are not what they must be. */
static size_t compare(const struct results *native, const struct results *supervised,
	bool (*is_right)(enum kind kind, const struct request *request, const struct result *native,
		const struct result *supervised))
{
	size_t wrong = 0;

	for (size_t l = 0; l < ARRAY_SIZE(size_limits); l++)
		for (enum kind kind = native->first; kind <= native->last; kind++)
			for (size_t i = 0; i < REQUESTS; i++) {
				const struct request request = request_at(i);
				const struct result *a = &native->of[l][kind][i];
				const struct result *b = &supervised->of[l][kind][i];

				if (is_same(a, b) || (is_right && is_right(kind, &request, a, b)))
					continue;
				wrong++;
				say_difference(size_limits[l], kind, &request, a, b);
			}
	return wrong;
}

static struct results *results_new(enum kind first, enum kind last)
{
	struct results *results = shared_new(sizeof(*results));

	results->first = first;
	results->last = last;
	return results;
}

static struct results *results_native(enum kind first, enum kind last)
{
	struct results *results = results_new(first, last);
	struct live_child native = {.listener = -1};

	fflush(NULL);
	native.pid = fork();
	assert_return_code(native.pid, errno);
	if (native.pid == 0)
		_exit(child_makes_requests(results));
	assert_int_equal(live_wait(&native), 0);
	return results;
}

static void results_free(struct results *results)
{
	munmap(results, sizeof(*results));
}

static void play_and_compare(struct scene *scene, enum kind first, enum kind last,
	bool (*is_right)(enum kind kind, const struct request *request, const struct result *native,
		const struct result *supervised))
{
	struct results *native = results_native(first, last);
	struct results *supervised = results_new(first, last);

	scene_play(scene, child_makes_requests, supervised);
	assert_int_equal(scene->status, 0);
	assert_int_equal(compare(native, supervised, is_right), 0);
	assert_int_equal(scene->use.memfds, 0);
	assert_int_equal(scene->use.size, 0);
	results_free(native);
	results_free(supervised);
}

static void test_without_limits(void **state)
{
	struct scene scene;

	(void)state;
	scene_init(&scene);
	play_and_compare(&scene, 0, KIND_COUNT - 1, NULL);
	assert_int_equal(scene.count, 0);
	/* The same, when nothing is as expected. */
	scene.guess = true;
	play_and_compare(&scene, 0, KIND_COUNT - 1, NULL);
	assert_int_equal(scene.count, 0);
}

/* Resizes of other files that are too large for a memory file are made by errands. */
static void test_errands(void **state)
{
	struct scene scene;

	(void)state;
	scene_init(&scene);
	scene.quotas.limits[QUOTA_MEMFD_SIZE] = 1;
	play_and_compare(&scene, KIND_FIRST_OTHER, KIND_COUNT - 1, NULL);
	assert_int_equal(scene.count, 0);
}

#define LIMIT (1 << 20)

/* What the kernel would have done, and the limit does not let it. */
static bool is_refused_by_limit(enum kind kind, const struct request *request,
	const struct result *native, const struct result *supervised)
{
	/* What the kernel finds only while it allocates. */
	const bool nobody_knows = kind == KIND_HUGETLB && request->allocate;
	const int64_t end = request->allocate ? request->offset + request->length : request->length;

	if (supervised->error != EDQUOT || supervised->signal || supervised->size > FILE_SIZE)
		return false;
	return nobody_knows ? native->error != EINVAL : native->error == 0 && end > LIMIT;
}

static void test_errors_before_limits(void **state)
{
	struct scene scene;

	(void)state;
	scene_init(&scene);
	scene.quotas.limits[QUOTA_MEMFD_SIZE] = LIMIT;
	play_and_compare(&scene, 0, KIND_COUNT - 1, is_refused_by_limit);
	assert_true(scene.count > 0);
	for (size_t i = 0; i < scene.count && i < SCENE_OUTCOMES; i++) {
		assert_int_equal(scene.outcomes[i].quota, QUOTA_MEMFD_SIZE);
		assert_int_equal(scene.outcomes[i].error, EDQUOT);
	}
	/* The ledger counts those as well that the kernel then had another reason for. */
	assert_true(scene.use.refused[QUOTA_MEMFD_SIZE] >= scene.count);
}

/* Refuses nothing, and says what it would have. */
static void test_audit(void **state)
{
	struct scene scene;

	(void)state;
	scene_init(&scene);
	scene.audit = true;
	scene.quotas.limits[QUOTA_MEMFD_SIZE] = LIMIT;
	play_and_compare(&scene, 0, KIND_COUNT - 1, NULL);
	assert_true(scene.count > 0);
	for (size_t i = 0; i < scene.count && i < SCENE_OUTCOMES; i++)
		assert_int_equal(scene.outcomes[i].quota, QUOTA_MEMFD_SIZE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_without_limits),
		cmocka_unit_test(test_errands),
		cmocka_unit_test(test_errors_before_limits),
		cmocka_unit_test(test_audit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
