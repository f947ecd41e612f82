/* SPDX-License-Identifier: Apache-2.0 */

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/fd.h"
#include "core/domain.h"
#include "core/owner.h"
#include "core/warden.h"
#include "kernel/memfile.h"
#include "kernel/tmpfs.h"

struct domain {
	pthread_mutex_t lock; /* of policy and spill_dir_fd */
	struct policy *policy;
	int spill_dir_fd;
	atomic_uint generation; /* counts policies */
	int forced_mode;
	unsigned calls; /* that the filters notify of */
	struct ledger *ledger;
	struct warden *warden;
	struct owner owner; /* of the warden's thread */
	pthread_mutex_t event_lock;
	domain_event_fn *on_event;
	void *userdata;
};

/* `noexec: true` is a promise: it is kept on this machine, or the policy is refused. */
static int check_noexec(const struct policy *policy, const char **ret_why)
{
	struct tmpfs *tmpfs = NULL;

	if (!policy_wants_noexec(policy) || memfile_has_noexec_seal())
		return 0;
	if (tmpfs_new(4096, &tmpfs) < 0) {
		*ret_why = "a rule says noexec, but this kernel has no MFD_NOEXEC_SEAL (Linux 6.3) "
			   "and no tmpfs can be made with this privilege";
		return -EOPNOTSUPP;
	}
	tmpfs_free(tmpfs);
	return 0;
}

/* Stores a descriptor, owned by the caller; -1 where the policy names none. Returns 0 or -errno. */
static int open_spill_directory(const struct policy *policy, int *ret_fd, const char **ret_why)
{
	const char *path = policy_quotas(policy)->spill_directory;
	_cleanup_close_ int fd = path ? open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;

	if (path && (fd < 0 || faccessat(fd, ".", W_OK | X_OK, AT_EACCESS) < 0)) {
		*ret_why = "budget.spill.directory cannot be written to";
		return -errno;
	}
	*ret_fd = take_fd(&fd);
	return 0;
}

/* Checks a policy against the machine and takes it. */
static int domain_take(struct domain *domain, struct policy *policy, const char **ret_why)
{
	int spill_dir_fd = -1;
	int r = check_noexec(policy, ret_why);

	if (r == 0)
		r = open_spill_directory(policy, &spill_dir_fd, ret_why);
	if (r < 0)
		return r;
	pthread_mutex_lock(&domain->lock);
	fd_close(domain->spill_dir_fd);
	policy_unref(domain->policy);
	domain->spill_dir_fd = spill_dir_fd;
	domain->policy = policy_ref(policy);
	atomic_fetch_add(&domain->generation, 1);
	pthread_mutex_unlock(&domain->lock);
	return 0;
}

void domain_event(struct domain *domain, const struct event *event)
{
	if (!domain->on_event)
		return;
	pthread_mutex_lock(&domain->event_lock);
	domain->on_event(event, domain->userdata);
	pthread_mutex_unlock(&domain->event_lock);
}

static void on_warden_event(const struct event *event, void *userdata)
{
	domain_event(userdata, event);
}

static bool owns(const char *tenant, pid_t pid, void *userdata)
{
	struct domain *domain = userdata;
	struct policy *policy;
	bool yes;

	pthread_mutex_lock(&domain->lock);
	policy = policy_ref(domain->policy);
	pthread_mutex_unlock(&domain->lock);
	yes = owner_has(&domain->owner, policy, tenant, pid);
	policy_unref(policy);
	return yes;
}

static void on_notice(const char *text, void *userdata)
{
	struct event event = {
		.kind = EVENT_NOTICE,
		.time_ns = clock_now_ns(CLOCK_REALTIME),
		.uid = (uid_t)-1,
		.fd = -1,
		.reason = text,
	};

	domain_event(userdata, &event);
}

static enum policy_mode mode_of(const struct domain *domain, const struct policy *policy)
{
	return domain->forced_mode >= 0 ? (enum policy_mode)domain->forced_mode
					: policy_mode(policy);
}

/* What the warden goes by: in audit mode it only says what it sees, and touches nobody. */
static struct policy_quotas warden_quotas(const struct domain *domain, const struct policy *policy)
{
	struct policy_quotas quotas = *policy_quotas(policy);

	if (mode_of(domain, policy) == POLICY_AUDIT) {
		quotas.on_overrun = OVERRUN_DENY;
		quotas.oom_attribute = false;
	}
	return quotas;
}

static int domain_start_ledger(struct domain *domain, pid_t root)
{
	const struct policy_quotas *quotas = policy_quotas(domain->policy);
	const struct policy_quotas warden_goes_by = warden_quotas(domain, domain->policy);
	struct ledger_config ledger = {
		.quotas = quotas,
		.on_notice = on_notice,
		.userdata = domain,
	};
	struct warden_config warden = {
		.quotas = &warden_goes_by,
		.root = root,
		.owns = owns,
		.on_event = on_warden_event,
		.userdata = domain,
	};
	int r;

	if (!quotas->ledger)
		return 0;
	r = ledger_new(&ledger, &domain->ledger);
	if (r < 0)
		return r;
	warden.ledger = domain->owner.ledger = domain->ledger;
	return warden_new(&warden, &domain->warden);
}

int domain_new(const struct domain_config *config, struct domain **ret_domain, const char **ret_why)
{
	struct domain *domain = calloc(1, sizeof(*domain));
	int r;

	*ret_why = NULL;
	if (!domain)
		return -ENOMEM;
	pthread_mutex_init(&domain->lock, NULL);
	pthread_mutex_init(&domain->event_lock, NULL);
	domain->spill_dir_fd = -1;
	domain->forced_mode = config->mode;
	domain->calls = policy_calls(config->policy);
	domain->on_event = config->on_event;
	domain->userdata = config->userdata;
	r = domain_take(domain, config->policy, ret_why);
	if (r == 0)
		r = domain_start_ledger(domain, config->root);
	if (r < 0) {
		domain_free(domain);
		return r;
	}
	*ret_domain = domain;
	return 0;
}

void domain_stop(struct domain *domain)
{
	domain->warden = warden_free(domain->warden);
	owner_done(&domain->owner);
}

struct domain *domain_free(struct domain *domain)
{
	if (!domain)
		return NULL;
	domain_stop(domain);
	ledger_free(domain->ledger);
	policy_unref(domain->policy);
	fd_close(domain->spill_dir_fd);
	pthread_mutex_destroy(&domain->event_lock);
	pthread_mutex_destroy(&domain->lock);
	free(domain);
	return NULL;
}

int domain_set_policy(struct domain *domain, struct policy *policy, const char **ret_why)
{
	const struct policy_quotas *quotas = policy_quotas(policy);
	struct policy_quotas warden_goes_by;
	int r;

	*ret_why = NULL;
	if (policy_calls(policy) & ~domain->calls)
		*ret_why = "the policy has to see system calls that the filter lets pass";
	else if (quotas->ledger && !domain->ledger)
		*ret_why =
			"the policy sets quotas, but files are there already that nobody counted";
	if (*ret_why)
		return -EOPNOTSUPP;
	r = domain_take(domain, policy, ret_why);
	if (r < 0 || !domain->warden)
		return r;
	ledger_set_quotas(domain->ledger, quotas);
	warden_goes_by = warden_quotas(domain, policy);
	warden_set_quotas(domain->warden, &warden_goes_by);
	return 0;
}

void domain_view_init(struct domain_view *view)
{
	*view = (struct domain_view){.spill_dir_fd = -1};
}

void domain_view_done(struct domain_view *view)
{
	policy_unref(view->policy);
	fd_close(view->spill_dir_fd);
	domain_view_init(view);
}

bool domain_view_update(struct domain *domain, struct domain_view *view)
{
	if (atomic_load_explicit(&domain->generation, memory_order_acquire) == view->generation)
		return false;
	domain_view_done(view);
	pthread_mutex_lock(&domain->lock);
	view->policy = policy_ref(domain->policy);
	view->mode = mode_of(domain, domain->policy);
	view->generation = atomic_load(&domain->generation);
	if (domain->spill_dir_fd >= 0) {
		view->spill_dir_fd = fcntl(domain->spill_dir_fd, F_DUPFD_CLOEXEC, 3);
		/* None is left: what would spill is refused, and the next call asks again. */
		if (view->spill_dir_fd < 0)
			view->generation = 0;
	}
	pthread_mutex_unlock(&domain->lock);
	return true;
}

struct ledger *domain_ledger(const struct domain *domain)
{
	return domain->ledger;
}

bool domain_has_events(const struct domain *domain)
{
	return domain->on_event != NULL;
}
