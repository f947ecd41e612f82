/* SPDX-License-Identifier: Apache-2.0 */

/* core/resize: callers that exchange descriptors, are killed, or serve their own file system. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <linux/falloc.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "live.h"
#include "live_fuse.h"
#include "live_resize.h"

#define MIB (1 << 20)

static bool fails(int r, int error)
{
	return r == -1 && errno == error;
}

static bool time_is_up(uint64_t start_ns, unsigned ms)
{
	return clock_now_ns(CLOCK_MONOTONIC) - start_ns > ms * NSEC_PER_MSEC;
}

/* ---- Descriptors that are exchanged ---- */

#define RACE_MS 2000

struct race {
	int memfd, file; /* behind number in turns */
	int number;
	uint64_t start_ns;
	atomic_ullong largest; /* that the memfd was seen to have */
	atomic_uint grown, refused, shrunk;
};

static void *thread_swaps(void *argument)
{
	struct race *race = argument;

	while (!time_is_up(race->start_ns, RACE_MS)) {
		live_check(dup2(race->file, race->number) == race->number);
		live_check(dup2(race->memfd, race->number) == race->number);
	}
	return NULL;
}

static void race_look(struct race *race)
{
	struct stat st;

	live_check(fstat(race->memfd, &st) == 0);
	if ((uint64_t)st.st_size > atomic_load(&race->largest))
		atomic_store(&race->largest, (uint64_t)st.st_size);
}

static void *thread_resizes(void *argument)
{
	struct race *race = argument;

	while (!time_is_up(race->start_ns, RACE_MS)) {
		int r = ftruncate(race->number, 64 * MIB);

		live_check(r == 0 || errno == EDQUOT);
		atomic_fetch_add(r == 0 ? &race->grown : &race->refused, 1);
		race_look(race);
		live_check(ftruncate(race->number, 100) == 0);
		atomic_fetch_add(&race->shrunk, 1);
		race_look(race);
	}
	return NULL;
}

static int child_races(void *argument)
{
	struct race *race = argument;
	void *(*const mains[])(void *) = {thread_swaps, thread_resizes, thread_resizes};
	pthread_t threads[ARRAY_SIZE(mains)];

	race->memfd = memfd_create("raced", MFD_CLOEXEC);
	race->file = open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	race->number = dup(race->memfd);
	live_check(race->memfd >= 0 && race->file >= 0 && race->number >= 0);
	race->start_ns = clock_now_ns(CLOCK_MONOTONIC);
	for (size_t i = 0; i < ARRAY_SIZE(mains); i++)
		live_check(pthread_create(&threads[i], NULL, mains[i], race) == 0);
	for (size_t i = 0; i < ARRAY_SIZE(mains); i++)
		live_check(pthread_join(threads[i], NULL) == 0);
	return 0;
}

static void test_exchanged_descriptors(void **state)
{
	struct race *race = shared_new(sizeof(*race));
	struct scene scene;

	(void)state;
	scene_init(&scene);
	scene.quotas.limits[QUOTA_MEMFD_SIZE] = MIB;
	scene_play(&scene, child_races, race);
	assert_int_equal(scene.status, 0);
	assert_true(race->largest <= MIB);
	/* Both files were met, each by calls for the other one too. */
	assert_true(race->grown > 0 && race->refused > 0 && race->shrunk > 0);
	assert_int_equal(scene.use.size, 0);
	munmap(race, sizeof(*race));
}

/* ---- Callers that are killed anywhere ---- */

#define KILLS 300

_Noreturn static void worker_main(void)
{
	for (;;) {
		int fd = memfd_create("short-lived", MFD_CLOEXEC);
		int r = ftruncate(fd, 3 * MIB);

		live_check(r == 0 || errno == ENOSPC);
		r = fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, 8192);
		live_check(r == 0 || errno == ENOSPC);
		live_check(ftruncate(fd, 5) == 0);
		close(fd);
	}
}

static int child_kills_workers(void *argument)
{
	pid_t workers[3] = {0};

	(void)argument;
	for (unsigned i = 0; i < KILLS; i++) {
		pid_t *worker = &workers[i % ARRAY_SIZE(workers)];

		if (*worker) {
			live_check(kill(*worker, SIGKILL) == 0);
			live_check(waitpid(*worker, NULL, 0) == *worker);
		}
		*worker = fork();
		live_check(*worker >= 0);
		if (*worker == 0)
			worker_main();
		usleep(i * 7919 % 3000);
	}
	for (size_t i = 0; i < ARRAY_SIZE(workers); i++) {
		live_check(kill(workers[i], SIGKILL) == 0);
		live_check(waitpid(workers[i], NULL, 0) == workers[i]);
	}
	return 0;
}

static void test_killed_anywhere(void **state)
{
	struct scene scene;

	(void)state;
	scene_init(&scene);
	scene.quotas.limits[QUOTA_SIZE] = 8 * MIB;
	scene_play(&scene, child_kills_workers, NULL);
	assert_int_equal(scene.status, 0);
	assert_int_equal(scene.use.memfds, 0);
	assert_int_equal(scene.use.size, 0);
	assert_int_equal(scene.use.resident, 0);
	assert_true(scene.use.peak_size > 0 && scene.use.peak_size <= 8 * MIB);
}

/* ---- A file system that the tenant serves itself ---- */

/* What its server does on each request to resize or to close. */
enum server {
	SERVER_SILENT,  /* never answers */
	SERVER_RESIZES, /* resizes a memfd of its own first */
};

static enum fuse_manner decide(uint32_t opcode, void *userdata)
{
	const enum server server = *(const enum server *)userdata;
	int memfd;

	if (opcode != FUSE_SETATTR && opcode != FUSE_FLUSH)
		return FUSE_ANSWER;
	if (server == SERVER_SILENT)
		return FUSE_SAY_NOTHING;
	memfd = memfd_create("of the server", MFD_CLOEXEC);
	live_check(ftruncate(memfd, 5000) == 0);
	close(memfd);
	return FUSE_ANSWER;
}

struct fuse_scene {
	enum server server;
	off_t length;     /* that clients ask for */
	unsigned clients; /* processes that resize the file at the same time */
	char directory[32];
	atomic_uint refused; /* clients that got EAGAIN */
	atomic_uint done;
};

static pid_t server_start(struct fuse_scene *fuse)
{
	int fd;
	pid_t pid;

	live_check(unshare(CLONE_NEWNS) == 0);
	live_check(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0);
	fd = fuse_mount(fuse->directory);
	live_check(fd >= 0);
	pid = fork();
	live_check(pid >= 0);
	if (pid == 0) {
		fuse_serve(fd, decide, &fuse->server);
		_exit(0);
	}
	/* From here on the end of the server ends the file system. */
	close(fd);
	return pid;
}

_Noreturn static void client_main(struct fuse_scene *fuse)
{
	char path[64];
	int fd, r;

	snprintf(path, sizeof(path), "%s/" FUSE_FILE, fuse->directory);
	fd = open(path, O_RDWR | O_CLOEXEC);
	live_check(fd >= 0);
	r = ftruncate(fd, fuse->length);
	if (fails(r, EAGAIN))
		atomic_fetch_add(&fuse->refused, 1);
	else if (r == 0)
		atomic_fetch_add(&fuse->done, 1);
	_exit(0);
}

/* The tenant's other calls go on, whatever becomes of those on the file system. */
static void use_memfds(void)
{
	int fd = memfd_create("meanwhile", MFD_CLOEXEC);

	for (int i = 0; i < 200; i++) {
		live_check(ftruncate(fd, i) == 0);
		live_check(fallocate(fd, 0, 0, 4096) == 0);
		usleep(500);
	}
	live_check(fails(ftruncate(fd, 64 * MIB), EDQUOT));
	close(fd);
}

static int child_has_a_file_system(void *argument)
{
	struct fuse_scene *fuse = argument;
	pid_t server = server_start(fuse), clients[RESIZE_ERRANDS + 1];

	for (unsigned i = 0; i < fuse->clients; i++) {
		clients[i] = fork();
		live_check(clients[i] >= 0);
		if (clients[i] == 0)
			client_main(fuse);
	}
	use_memfds();
	if (fuse->server == SERVER_SILENT)
		live_check(kill(server, SIGKILL) == 0);
	for (unsigned i = 0; i < fuse->clients; i++)
		live_check(waitpid(clients[i], NULL, 0) == clients[i]);
	if (fuse->server != SERVER_SILENT)
		live_check(kill(server, SIGKILL) == 0);
	live_check(waitpid(server, NULL, 0) == server);
	return 0;
}

/* Returns what became of it; free with munmap(). */
static struct fuse_scene *fuse_play(enum server server, off_t length, unsigned clients, bool guess)
{
	struct fuse_scene *fuse = shared_new(sizeof(*fuse));
	struct scene scene;

	fuse->server = server;
	fuse->length = length;
	fuse->clients = clients;
	strcpy(fuse->directory, "/tmp/fdwarden-fuse.XXXXXX");
	assert_non_null(mkdtemp(fuse->directory));
	scene_init(&scene);
	scene.guess = guess;
	scene.quotas.limits[QUOTA_MEMFD_SIZE] = MIB;
	scene_play(&scene, child_has_a_file_system, fuse);
	rmdir(fuse->directory);
	assert_int_equal(scene.status, 0);
	return fuse;
}

#define require_fuse() \
	do { \
		live_require_root(); \
		if (access("/dev/fuse", R_OK | W_OK) < 0) \
			live_skip("no /dev/fuse"); \
	} while (0)

/* Left to the kernel, or given to an errand: to make it, or only to close what was copied. */
static void test_file_system_of_the_tenant(void **state)
{
	(void)state;
	require_fuse();
	for (int i = 0; i < 8; i++) {
		const enum server server = i % 2 ? SERVER_SILENT : SERVER_RESIZES;
		const off_t length = i / 2 % 2 ? 64 * MIB : 100;
		struct fuse_scene *fuse = fuse_play(server, length, 4, i / 4);

		assert_int_equal(fuse->refused, 0);
		assert_int_equal(fuse->done, server == SERVER_SILENT ? 0 : 4);
		munmap(fuse, sizeof(*fuse));
	}
}

static void test_too_many_errands(void **state)
{
	struct fuse_scene *fuse;

	(void)state;
	require_fuse();
	fuse = fuse_play(SERVER_SILENT, 64 * MIB, RESIZE_ERRANDS + 1, false);
	assert_int_equal(fuse->refused, 1);
	assert_int_equal(fuse->done, 0);
	munmap(fuse, sizeof(*fuse));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_exchanged_descriptors),
		cmocka_unit_test(test_killed_anywhere),
		cmocka_unit_test(test_file_system_of_the_tenant),
		cmocka_unit_test(test_too_many_errands),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
