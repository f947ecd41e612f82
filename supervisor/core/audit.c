/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The thread that answers calls puts events into a ring; one writer thread takes them out, counts
 * them for the summary, makes lines and writes them.
 *
 * The writer is woken at most once in NAP_MS: woken, it writes what there is, naps without anybody
 * being able to wake it, and only when a nap ends with nothing to do it sleeps until the next
 * event. So a busy tenant pays for a wake a hundred times a second and not for each event. A ring
 * that is half full ends a nap early.
 *
 * A reader that stands still blocks the stream, not the writer: it goes on counting for the
 * summary, and once half of the ring is used it discards the oldest events, down to a quarter, so
 * that the first line after the gap is the one that says how large the gap was.
 */

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include "base/clock.h"
#include "base/fd.h"
#include "core/audit.h"
#include "core/audit_line.h"
#include "core/ring.h"
#include "core/summary.h"

#define NAP_MS 10

/* How long to wait before writing again after an error that may pass, such as ENOSPC. */
#define RETRY_MS 100

/* How the writer rests; a wake is an exchange to AWAKE, and who finds it resting does the wake. */
enum rest {
	REST_AWAKE,
	REST_NAP,   /* woken by a half full ring and by audit_finish() */
	REST_SLEEP, /* woken by any event too */
};

/*
 * Who owns what the writer works with. write(2) can block for ever: the thread that wants to finish
 * may take everything away meanwhile. The two compare-and-exchanges on this are the only contact
 * then, and the lines being written stay valid as the memory goes with the last reference.
 */
enum phase {
	PHASE_WORKING,
	PHASE_IN_WRITE,
	PHASE_ABANDONED,
};

enum flow {
	FLOW_DONE,    /* all was written */
	FLOW_BLOCKED, /* the reader must read first */
	FLOW_RETRY,   /* an error that may pass */
	FLOW_TAKEN,   /* abandoned in the middle of a write: touch nothing any more */
};

/* Whole lines on their way; only the first of them may have been written in part. */
struct outbox {
	char buf[AUDIT_LINE_MAX];
	size_t len, written;
	uint64_t lines;
};

struct audit {
	int fd;   /* -1: no stream */
	int wake; /* an eventfd */
	enum audit_format format;
	char hostname[HOST_NAME_MAX + 1];
	pthread_t thread;
	/* pthread_clockjoin_np(3) would do, but no sanitizer knows it. */
	pthread_mutex_t end_lock;
	pthread_cond_t end;
	bool ended;
	atomic_int refs; /* the owner's and the writer's */
	struct ring ring;
	_Atomic uint64_t lost; /* the ring was full: neither written nor counted in the summary */
	_Atomic uint64_t unwritten; /* counted, but not written */
	atomic_int rest;            /* of enum rest */
	atomic_int phase;           /* of enum phase */
	atomic_bool stop;           /* write what is there, then end */
	atomic_bool hurry;          /* end now */

	/* The writer's own. */
	uint64_t counted; /* position in the ring: the summary has all before it */
	uint64_t taken;   /* position in the ring: lines were made of all before it */
	uint64_t said;    /* dropped events that the stream has told of */
	bool closed;      /* nobody reads any more */
	bool nowait;      /* the descriptor takes RWF_NOWAIT */
	char tenant[EVENT_TENANT_MAX];
	struct outbox outbox;
	struct summary *summary; /* NULL: none wanted */
};

static void audit_unref(struct audit *audit)
{
	if (atomic_fetch_sub(&audit->refs, 1) > 1)
		return;
	fd_close(audit->fd);
	fd_close(audit->wake);
	ring_done(&audit->ring);
	summary_free(audit->summary);
	pthread_cond_destroy(&audit->end);
	pthread_mutex_destroy(&audit->end_lock);
	free(audit);
}

/* Rings the bell if the writer rests that deeply. */
static void wake_from(struct audit *audit, enum rest rest)
{
	if (atomic_load(&audit->rest) != (int)rest ||
		atomic_exchange(&audit->rest, REST_AWAKE) == REST_AWAKE)
		return;
	/* Cannot fail: the counter is far from its end, and the descriptor is our own. */
	(void)eventfd_write(audit->wake, 1);
}

void audit_record(struct audit *audit, const struct event *event)
{
	if (audit->fd < 0 && audit->summary == NULL)
		return;
	if (!ring_put(&audit->ring, event)) {
		atomic_fetch_add_explicit(&audit->lost, 1, memory_order_relaxed);
		return;
	}
	/*
	 * The writer says that it sleeps, then looks at the ring once more; we fill the ring, then
	 * look whether it sleeps. All four are seq_cst, so at least one of us sees the other.
	 */
	wake_from(audit, REST_SLEEP);
	if (ring_is_half_full(&audit->ring))
		wake_from(audit, REST_NAP);
}

uint64_t audit_dropped(const struct audit *audit)
{
	return atomic_load(&audit->lost) + atomic_load(&audit->unwritten);
}

/* Counts what came into the ring since the last time. Returns where the ring ends now. */
static uint64_t count_new(struct audit *audit)
{
	uint64_t head = ring_head(&audit->ring);

	while (audit->summary != NULL && audit->counted < head) {
		struct event event;

		audit->counted = ring_read(&audit->ring, audit->counted, &event);
		if (event.kind == EVENT_CALL)
			summary_add(audit->summary, &event);
	}
	audit->counted = head;
	return head;
}

/* Gives up events, oldest first, until at most so many bytes of the ring are used. */
static void discard(struct audit *audit, uint64_t head, uint64_t keep_bytes)
{
	uint64_t count = 0;

	while (head - audit->taken > keep_bytes) {
		struct event event;

		audit->taken = ring_read(&audit->ring, audit->taken, &event);
		memcpy(audit->tenant, event.tenant, sizeof(audit->tenant));
		count++;
	}
	if (count > 0 && audit->fd >= 0)
		atomic_fetch_add(&audit->unwritten, count);
	ring_release(&audit->ring, audit->taken);
}

/*
 * Writes without waiting. Pipes and sockets can be told not to block (RWF_NOWAIT, Linux 5.16 for
 * sockets, 6.4 for pipes), whatever else fills them at the same moment. For the others poll(2) asks
 * first: a pipe that is ready takes PIPE_BUF bytes at once, and only a second writer that is
 * quicker can make this one wait.
 */
static ssize_t write_now(struct audit *audit, const void *buf, size_t size)
{
	struct iovec part = {.iov_base = (void *)(uintptr_t)buf, .iov_len = size};
	struct pollfd ready = {.fd = audit->fd, .events = POLLOUT};
	ssize_t n = -1;

	errno = EOPNOTSUPP;
	if (audit->nowait)
		n = pwritev2(audit->fd, &part, 1, -1, RWF_NOWAIT);
	/* Old kernels, and containers whose seccomp profile does not know it, have none of this. */
	if (n >= 0 || (errno != EOPNOTSUPP && errno != ENOSYS && errno != EPERM))
		return n;
	audit->nowait = false;
	if (poll(&ready, 1, 0) == 0) {
		errno = EAGAIN;
		return -1;
	}
	return write(audit->fd, buf, size);
}

static enum flow flow_of_error(struct audit *audit, int error)
{
	switch (error) {
	case EAGAIN:
		return FLOW_BLOCKED;
	case EPIPE:
	case ECONNRESET:
	case EBADF:
	case EINVAL:
		/* For good. What comes now is counted as dropped. */
		audit->closed = true;
		return FLOW_DONE;
	default:
		return FLOW_RETRY;
	}
}

/* Writes what is in the outbox, and never anything else before all of it is written. */
static enum flow flush(struct audit *audit)
{
	struct outbox *outbox = &audit->outbox;

	while (outbox->written < outbox->len && !audit->closed) {
		int phase = PHASE_IN_WRITE;
		ssize_t n;
		int error;

		atomic_store(&audit->phase, PHASE_IN_WRITE);
		n = write_now(audit, outbox->buf + outbox->written, outbox->len - outbox->written);
		error = errno;
		if (!atomic_compare_exchange_strong(&audit->phase, &phase, PHASE_WORKING))
			return FLOW_TAKEN;
		if (n >= 0) {
			outbox->written += (size_t)n;
		} else if (error != EINTR) {
			enum flow flow = flow_of_error(audit, error);

			if (flow != FLOW_DONE)
				return flow;
		}
	}
	if (audit->closed)
		atomic_fetch_add(&audit->unwritten, outbox->lines);
	outbox->len = outbox->written = outbox->lines = 0;
	return FLOW_DONE;
}

static size_t format_dropped(const struct audit *audit, uint64_t count, char *buf)
{
	uint64_t now = clock_now_ns(CLOCK_REALTIME);

	switch (audit->format) {
	case AUDIT_JSON:
		return audit_format_json_dropped(now, audit->tenant, count, buf);
	case AUDIT_TRACEE:
		return audit_format_tracee_dropped(now, audit->tenant, audit->hostname, count, buf);
	}
	return 0;
}

static size_t format_event(const struct audit *audit, const struct event *event, char *buf)
{
	switch (audit->format) {
	case AUDIT_JSON:
		return audit_format_json(event, buf);
	case AUDIT_TRACEE:
		return audit_format_tracee(event, audit->hostname, buf);
	}
	return 0;
}

/* Appends a line of len bytes. Returns false when there is no room. */
static bool outbox_add(struct outbox *outbox, const char *line, size_t len, uint64_t events)
{
	if (len > sizeof(outbox->buf) - outbox->len)
		return false;
	memcpy(outbox->buf + outbox->len, line, len);
	outbox->len += len;
	outbox->lines += events;
	return true;
}

/* A line about dropped events is of the tenant whose events surround it. */
static void remember_tenant(struct audit *audit, uint64_t head)
{
	struct event event;

	if (audit->taken == head)
		return;
	(void)ring_read(&audit->ring, audit->taken, &event);
	memcpy(audit->tenant, event.tenant, sizeof(audit->tenant));
}

/* Makes lines of what is in the ring, as many as one write(2) takes; first of what was dropped. */
static void fill(struct audit *audit, uint64_t head)
{
	uint64_t dropped = audit_dropped(audit);
	char line[AUDIT_LINE_MAX];

	if (dropped > audit->said) {
		remember_tenant(audit, head);
		size_t len = format_dropped(audit, dropped - audit->said, line);

		if (!outbox_add(&audit->outbox, line, len, 0))
			return;
		audit->said = dropped;
	}
	while (audit->taken < head) {
		struct event event;
		uint64_t next = ring_read(&audit->ring, audit->taken, &event);
		size_t len = format_event(audit, &event, line);

		if (!outbox_add(&audit->outbox, line, len, 1))
			break;
		if (len == 0)
			atomic_fetch_add(&audit->unwritten, 1);
		memcpy(audit->tenant, event.tenant, sizeof(audit->tenant));
		audit->taken = next;
	}
	ring_release(&audit->ring, audit->taken);
}

/* Takes in and writes all that can be without waiting. */
static enum flow pump(struct audit *audit)
{
	for (;;) {
		uint64_t head = count_new(audit);
		enum flow flow = flush(audit);

		if (flow == FLOW_TAKEN || atomic_load(&audit->hurry))
			return flow;
		if (flow != FLOW_DONE) {
			if (head - audit->taken > audit->ring.size / 2)
				discard(audit, head, audit->ring.size / 4);
			return flow;
		}
		if (audit->fd < 0 || audit->closed)
			discard(audit, head, 0);
		else
			fill(audit, head);
		if (audit->outbox.len == 0 && ring_head(&audit->ring) == head)
			return FLOW_DONE;
	}
}

/* Rests until an event, a wake or, where the flow calls for one, a chance to write. */
static void take_rest(struct audit *audit, enum rest rest, enum flow flow)
{
	struct pollfd fds[] = {
		{.fd = audit->wake, .events = POLLIN},
		{.fd = flow == FLOW_BLOCKED ? audit->fd : -1, .events = POLLOUT},
	};
	int timeout = flow == FLOW_RETRY ? RETRY_MS : -1;
	eventfd_t rings;

	atomic_store(&audit->rest, (int)rest);
	/* See audit_record(), and audit_finish() for the two flags. */
	if (ring_head(&audit->ring) != audit->counted && rest == REST_SLEEP)
		timeout = 0;
	if (atomic_load(&audit->hurry) || (atomic_load(&audit->stop) && flow == FLOW_DONE))
		timeout = 0;
	if (rest == REST_NAP && timeout != 0)
		timeout = NAP_MS;
	/* What poll(2) says does not matter: the next round looks at everything anyway. */
	(void)poll(fds, rest == REST_NAP ? 1 : 2, timeout);
	atomic_store(&audit->rest, REST_AWAKE);
	/* Also a late ring of an earlier rest: left there, it would keep the writer spinning. */
	if ((fds[0].revents & POLLIN) != 0)
		(void)eventfd_read(audit->wake, &rings);
}

static void *writer_main(void *userdata)
{
	struct audit *audit = userdata;
	const struct sched_param param = {.sched_priority = 0};

	/* A batch thread does not push aside the tenant or the supervisor when it is woken. */
	(void)sched_setscheduler(0, SCHED_BATCH, &param);
	for (;;) {
		bool stop = atomic_load(&audit->stop);
		uint64_t before = audit->counted;
		enum flow flow = pump(audit);

		if (flow == FLOW_TAKEN || atomic_load(&audit->hurry) || (stop && flow == FLOW_DONE))
			break;
		take_rest(audit, audit->counted != before ? REST_NAP : REST_SLEEP, flow);
	}
	pthread_mutex_lock(&audit->end_lock);
	audit->ended = true;
	pthread_cond_signal(&audit->end);
	pthread_mutex_unlock(&audit->end_lock);
	audit_unref(audit);
	return NULL;
}

/* The writer takes no signal: they are for the thread that acts on them. */
static int start_writer(struct audit *audit)
{
	sigset_t all, before;
	int r;

	sigfillset(&all);
	r = pthread_sigmask(SIG_SETMASK, &all, &before);
	if (r != 0)
		return -r;
	r = pthread_create(&audit->thread, NULL, writer_main, audit);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return -r;
}

static int audit_open(struct audit *audit, const struct audit_config *config)
{
	struct stat st;
	int r = ring_init(
		&audit->ring, config->ring_bytes != 0 ? config->ring_bytes : AUDIT_RING_BYTES);

	if (r < 0)
		return r;
	audit->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (audit->wake < 0)
		return -errno;
	if (config->summary) {
		r = summary_new(&audit->summary);
		if (r < 0)
			return r;
	}
	if (gethostname(audit->hostname, sizeof(audit->hostname)) < 0)
		return -errno;
	audit->nowait = config->fd >= 0 && fstat(config->fd, &st) == 0 &&
			(S_ISFIFO(st.st_mode) || S_ISSOCK(st.st_mode));
	audit->fd = config->fd;
	return start_writer(audit);
}

/* None of these can fail with the attributes given (glibc, musl). */
static void init_end(struct audit *audit)
{
	pthread_condattr_t attr;

	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&audit->end, &attr);
	pthread_condattr_destroy(&attr);
	pthread_mutex_init(&audit->end_lock, NULL);
}

int audit_new(const struct audit_config *config, struct audit **ret_audit)
{
	struct audit *audit = aligned_alloc(_Alignof(struct audit), sizeof(*audit));
	int r;

	if (audit == NULL)
		return -ENOMEM;
	memset(audit, 0, sizeof(*audit));
	audit->fd = audit->wake = -1;
	audit->format = config->format;
	init_end(audit);
	atomic_store(&audit->refs, 2);
	r = audit_open(audit, config);
	if (r < 0) {
		audit->fd = -1; /* still the caller's */
		atomic_store(&audit->refs, 1);
		audit_unref(audit);
		return r;
	}
	*ret_audit = audit;
	return 0;
}

/* Waits for the writer's end. Returns whether it came in time. */
static bool join_writer(struct audit *audit, unsigned timeout_ms)
{
	uint64_t end = clock_now_ns(CLOCK_MONOTONIC) + timeout_ms * NSEC_PER_MSEC;
	struct timespec deadline = {
		.tv_sec = (time_t)(end / NSEC_PER_SEC),
		.tv_nsec = (long)(end % NSEC_PER_SEC),
	};
	bool ended;
	int r = 0;

	pthread_mutex_lock(&audit->end_lock);
	while (r == 0 && !audit->ended)
		r = pthread_cond_timedwait(&audit->end, &audit->end_lock, &deadline);
	ended = audit->ended;
	pthread_mutex_unlock(&audit->end_lock);
	if (ended)
		pthread_join(audit->thread, NULL);
	return ended;
}

/*
 * Ends the writer now: either it is on its own way to the end, which takes no longer than one
 * round, or it is in write(2) and all but the outbox's text is taken away from it.
 */
static void stop_writer_now(struct audit *audit)
{
	int phase;

	atomic_store(&audit->hurry, true);
	wake_from(audit, REST_NAP);
	wake_from(audit, REST_SLEEP);
	do {
		if (join_writer(audit, NAP_MS))
			return;
		phase = PHASE_IN_WRITE;
	} while (!atomic_compare_exchange_strong(&audit->phase, &phase, PHASE_ABANDONED));
	pthread_detach(audit->thread);
}

void audit_finish(struct audit *audit, unsigned timeout_ms)
{
	uint64_t head;

	/* A wake is needed only once: who rests after this sees the flag before it does. */
	atomic_store(&audit->stop, true);
	wake_from(audit, REST_NAP);
	wake_from(audit, REST_SLEEP);
	if (!join_writer(audit, timeout_ms))
		stop_writer_now(audit);
	head = count_new(audit);
	discard(audit, head, 0);
	atomic_fetch_add(&audit->unwritten, audit->outbox.lines);
}

void audit_print_summary(const struct audit *audit, FILE *out, bool colour)
{
	uint64_t dropped = audit_dropped(audit), lost = atomic_load(&audit->lost);

	if (audit->summary == NULL)
		return;
	summary_print(audit->summary, out, colour);
	if (audit->fd >= 0 && dropped > 0)
		fprintf(out, "%" PRIu64 " events were dropped from the stream\n", dropped);
	if (lost > 0)
		fprintf(out, "%" PRIu64 " calls are not in this table\n", lost);
}

struct audit *audit_free(struct audit *audit)
{
	if (audit != NULL)
		audit_unref(audit);
	return NULL;
}
