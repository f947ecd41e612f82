/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FDWARDEN_H
#define FDWARDEN_H

/**
 * libfdwarden: supervise memfd_create(2) of other processes from a program of your own.
 *
 * Load a policy, get a seccomp listener (by fdwarden_spawn(), from a container runtime, or with
 * fdwarden_install_filter()), add it to a supervisor, poll the supervisor's descriptor, and
 * dispatch. See contrib/examples/supervise.c for a whole program, and fdwarden-policy(5) for the
 * policy.
 *
 * Functions return 0 or a count on success and -errno on failure, unless they say otherwise.
 * Nothing here logs, exits or changes the process's signal handlers. One supervisor belongs to one
 * thread; policies can be shared between threads. Linux 5.14 or later. Since 0.1.0.
 */

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/** A policy: immutable, reference-counted, shared freely between threads. */
struct fdwarden_policy;

/** A supervisor: any number of listeners behind one descriptor. */
struct fdwarden;

/** One mistake in a policy's text. The strings are valid during the callback. */
struct fdwarden_diagnostic {
	const char *file;
	unsigned line, column; /**< from 1 */
	const char *message;
	const char *hint; /**< what to write instead, or NULL */
};

/** Called for each mistake, in the order of the text. */
typedef void fdwarden_diagnostic_fn(const struct fdwarden_diagnostic *diagnostic, void *userdata);

/**
 * Loads a policy from size bytes of YAML. name stands for the file in diagnostics. report may be
 * NULL. Stores a policy that the caller owns (fdwarden_policy_unref()). -EINVAL: the policy is
 * wrong, and report was told why. -ENOMEM.
 */
int fdwarden_policy_load(const char *text, size_t size, const char *name,
	fdwarden_diagnostic_fn *report, void *userdata, struct fdwarden_policy **ret_policy);

/** The same from a file; also any errno of open(2) and read(2). */
int fdwarden_policy_load_file(const char *path, fdwarden_diagnostic_fn *report, void *userdata,
	struct fdwarden_policy **ret_policy);

/** The policy that is built in: emulates every call. -ENOMEM. */
int fdwarden_policy_load_default(struct fdwarden_policy **ret_policy);

/** Takes and gives back a reference; thread-safe. unref takes NULL. */
struct fdwarden_policy *fdwarden_policy_ref(struct fdwarden_policy *policy);
void fdwarden_policy_unref(struct fdwarden_policy *policy);

/** What was decided on a call. */
enum fdwarden_verdict {
	FDWARDEN_ALLOW,  /**< the kernel ran the call as it was */
	FDWARDEN_DENY,   /**< it failed with the policy's errno */
	FDWARDEN_KILL,   /**< the process was killed */
	FDWARDEN_EMULATE /**< the file was made by the supervisor and injected */
};

/** One decision. Pointers are valid during the callback. Later versions only append members. */
struct fdwarden_event {
	const char
		*tenant; /**< as given to fdwarden_add_listener(), or what the policy makes of it */
	uint64_t time_ns;    /**< CLOCK_REALTIME when the call was received */
	uint64_t latency_ns; /**< from receiving the call to having answered it */
	pid_t pid, tid;      /**< in the supervisor's PID namespace; pid 0: unknown */
	uid_t uid;           /**< real uid in its user namespace; (uid_t)-1: unknown */
	uint32_t flags;      /**< as the caller gave them */
	enum fdwarden_verdict verdict;
	int audit;          /**< 1: only audited, verdict and error are what would have been */
	int error;          /**< positive errno that the caller got, or 0 */
	int fd;             /**< the caller's new descriptor, or -1 */
	const char *name;   /**< NUL-ended, any bytes; NULL when it could not be read */
	size_t name_len;    /**< 250: too long, which the kernel refuses */
	const char *comm;   /**< NUL-ended, any bytes */
	const char *rule;   /**< name of the deciding rule; "default", "budget", "syscalls" */
	const char *reason; /**< for people */
	/**
	 * "memfd_create", "ftruncate" ...: which call it was. NULL for what was found out between
	 * calls: a tenant above its quota of memory, or something that cannot be done on this
	 * machine. Of the rest only tenant, time_ns, pid (killed for it, or 0), size and reason
	 * have a meaning then.
	 */
	const char *syscall;
	uint64_t size; /**< bytes: that a resize asked for, or that a tenant holds */
};

/**
 * Called from fdwarden_dispatch() after each answered call that is worth it; and with syscall NULL
 * from a thread of the supervisor's own, where the policy sets quotas. Never twice at a time for
 * listeners that have the same policy.
 */
typedef void fdwarden_event_fn(const struct fdwarden_event *event, void *userdata);

/**
 * Makes a supervisor with no listener. on_event (may be NULL) is called for each decision; without
 * it less is read of each caller. Stores a supervisor that the caller owns. -ENOMEM, -EMFILE,
 * -ENFILE.
 */
int fdwarden_new(fdwarden_event_fn *on_event, void *userdata, struct fdwarden **ret_fdwarden);

/** Gives up all listeners: calls that wait, and all later ones, fail with ENOSYS. Takes NULL. */
void fdwarden_free(struct fdwarden *fdwarden);

/** How a listener's filter was loaded: fdwarden_add_listener(). */
enum fdwarden_listener_flags {
	/**
	 * With SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV (Linux 5.19). A file is then injected in a
	 * way that leaves the caller with its file or ENOSYS even if this process is killed or
	 * stopped meanwhile.
	 */
	FDWARDEN_WAIT_KILLABLE = 1 << 0
};

/**
 * Adds a listener, which is the supervisor's from here on, even when this fails. Takes a reference
 * to the policy. tenant (127 bytes are kept) names the listener in events. flags: of enum
 * fdwarden_listener_flags, as fdwarden_spawn() gives them. The callers' memory is read, so this
 * process needs to be their ancestor with the same ids, or CAP_SYS_PTRACE. Listeners with the same
 * policy share their tenants. Quotas take a thread of their own, and files grow by this process's
 * hand: raise its soft RLIMIT_FSIZE to what they may have. Nobody says here which processes are a
 * listener's: with `tenant: listener`, on_overrun: freeze or kill takes any process but this one
 * and process 1 that holds the tenant's files, also one that they were sent to; with tenants by
 * cgroup or uid only the tenant's own. -EINVAL: unknown flags. -ENOMEM. -EOPNOTSUPP: the kernel's
 * notifications are not the ones known here. Other errno of the kernel.
 */
int fdwarden_add_listener(struct fdwarden *fdwarden, int listener, struct fdwarden_policy *policy,
	const char *tenant, unsigned flags);

/**
 * Replaces a policy of listeners, from their next call on. Limits change at once, also for files
 * that are there. -ENOENT: no listener has the policy `from`. -EOPNOTSUPP: the new one has to see
 * system calls that the filters let pass, or counts files where the old one did not.
 */
int fdwarden_replace_policy(
	struct fdwarden *fdwarden, struct fdwarden_policy *from, struct fdwarden_policy *to);

/** A descriptor to poll for POLLIN (poll(2), epoll(7)); borrowed, always the same one. */
int fdwarden_get_fd(const struct fdwarden *fdwarden);

/**
 * Answers the calls that are queued and lets go of listeners whose last process is gone. Does not
 * wait for more calls; but a caller whose memory blocks (FUSE, userfaultfd) blocks this too, so
 * give tenants that do not trust each other a supervisor and a thread each. All signals are blocked
 * while a call is answered. Returns how many listeners are left, or -errno.
 */
int fdwarden_dispatch(struct fdwarden *fdwarden);

/**
 * Installs the filter that this policy needs (NULL: memfd_create(2) alone) in the calling thread:
 * its calls, and those of all that it starts from then on, wait for the listener that this returns
 * (close-on-exec, owned by the caller), which another process has to serve. Stores the flags that
 * go with it (fdwarden_add_listener()). Sets no_new_privs when, and only when, the kernel requires
 * it. -EBUSY: a filter above has a listener already. -ENOMEM, -ENOSYS, -EINVAL: no such feature.
 */
int fdwarden_install_filter(const struct fdwarden_policy *policy, unsigned *ret_flags);

/**
 * Starts a program (argv NULL-ended, found by PATH) with that filter installed. Stores its pid, to
 * be waited for by the caller, and the flags of the listener. Returns the listener (close-on-exec,
 * owned by the caller). The program waits in its first memfd_create(2) until somebody dispatches;
 * when it cannot be executed its status is 126 or 127. Call it before there are other threads.
 * -EAGAIN, -EMFILE, or what fdwarden_install_filter() says.
 */
int fdwarden_spawn(char *const argv[], const struct fdwarden_policy *policy, pid_t *ret_pid,
	unsigned *ret_flags);

/** The version of the library, as "0.1.0". Static. */
const char *fdwarden_version(void);

#ifdef __cplusplus
}
#endif

#endif
