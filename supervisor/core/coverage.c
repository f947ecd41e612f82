/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The rows of `fdwarden coverage`. Each function judges one way, as if the policy were enforced;
 * what it calls closed is tried by tests/programs/escape.c, in a subcommand of the row's name.
 */

#include "core/coverage.h"

#include "base/macro.h"
#include "core/coverage_making.h"

/* What a row is judged by. */
struct view {
	const struct policy *policy;
	const struct policy_quotas *quotas;
	const struct coverage_machine *machine;
	struct making making;
	/* Limits that are set: of one file's size, of all sizes, of all memory. */
	bool file, sum, resident;
};

struct finding {
	enum coverage_state state;
	const char *by;
	bool always; /* the kernel's doing: in audit mode as well */
};

static struct finding closed(const char *by)
{
	return (struct finding){COVERAGE_CLOSED, by, false};
}

static struct finding closed_always(const char *by)
{
	return (struct finding){COVERAGE_CLOSED, by, true};
}

static struct finding bounded(const char *by)
{
	return (struct finding){COVERAGE_BOUNDED, by, false};
}

static struct finding sampled(const char *by)
{
	return (struct finding){COVERAGE_SAMPLED, by, false};
}

static struct finding open_(const char *by)
{
	return (struct finding){COVERAGE_OPEN, by, false};
}

/* ---- Making files ---- */

static bool makes_any(const struct view *view)
{
	return view->making.memfd || view->making.tmpfs || view->making.disk;
}

static const char none_made[] = "no rule makes such a file";
static const char no_size_limit[] =
	"no limit is set (budget.tenant.size, budget.memfd.size); a size takes no memory";
static const char no_limit[] =
	"no limit is set (budget.tenant.resident, budget.tenant.size, budget.memfd.size)";
static const char not_measured[] =
	"files cannot be measured: that takes CAP_DAC_READ_SEARCH on the host";

static struct finding judge_name(const struct view *view)
{
	if (view->making.allowed_by_name)
		return open_("a call is allowed after a look at its name (advisory), which can "
			     "change before the kernel reads it again");
	return closed("what is judged and what is made is the supervisor's own copy");
}

static struct finding judge_allow(const struct view *view)
{
	if (!view->making.allowed)
		return closed("no call is left to the kernel");
	return open_("the kernel runs the call: the file is not counted before it is resized; "
		     "action: emulate would count it");
}

static struct finding judge_limit(
	const struct view *view, enum quota quota, const char *by, const char *not_set)
{
	if (!makes_any(view) && !view->making.huge)
		return closed(none_made);
	if (view->quotas->limits[quota] == QUOTA_UNLIMITED)
		return open_(not_set);
	if (view->making.allowed)
		return open_("files of calls that are left to the kernel are not counted");
	return closed(by);
}

static struct finding judge_count(const struct view *view)
{
	return judge_limit(view, QUOTA_MEMFDS, "budget.tenant.memfds",
		"no limit is set (budget.tenant.memfds)");
}

static struct finding judge_rate(const struct view *view)
{
	return judge_limit(
		view, QUOTA_RATE, "budget.tenant.rate", "no limit is set (budget.tenant.rate)");
}

/* Asked when a file is made, and only then. */
static struct finding judge_cgroup(const struct view *view)
{
	const struct policy_budget *budget = policy_budget(view->policy);

	if (!makes_any(view) && !view->making.huge)
		return closed(none_made);
	if (budget->reserve_bytes == 0 && budget->max_usage_ppm == 0)
		return open_("no limit is set (budget.cgroup)");
	if (!view->machine->cgroup)
		return closed("no memory controller is visible: nothing is started, or each call "
			      "is refused");
	return closed("budget.cgroup");
}

/* ---- Growth ---- */

static struct finding judge_ftruncate(const struct view *view)
{
	if (!makes_any(view))
		return closed(none_made);
	if (!view->sum && !view->file)
		return open_(no_size_limit);
	return closed("checked and done by the supervisor, on its own copy of the descriptor");
}

static struct finding judge_fallocate(const struct view *view)
{
	if (!makes_any(view))
		return closed(none_made);
	if (!view->sum && !view->file && !view->resident)
		return open_(no_limit);
	return closed("checked by the supervisor, then run by the kernel");
}

/* What follows when measuring finds that sizes come to too much. */
static struct finding answered_size(void)
{
	return sampled("over budget.tenant.size there is no more");
}

/* The same for memory. */
static struct finding answered(const struct view *view)
{
	if (!view->resident)
		return answered_size();
	switch (view->quotas->on_overrun) {
	case OVERRUN_DENY:
		break;
	case OVERRUN_FREEZE:
		if (view->machine->freezer)
			return sampled("over budget.tenant.resident the cgroup of the largest "
				       "holder is frozen, if that is not ours too");
		return sampled("over budget.tenant.resident there is no more (no cgroup can be "
			       "frozen here)");
	case OVERRUN_KILL:
		return sampled("over budget.tenant.resident the largest holder is killed");
	}
	return sampled("over budget.tenant.resident there is no more");
}

static bool rlimit_holds(const struct view *view)
{
	return view->quotas->rlimit_fsize && !view->machine->raises_limits;
}

/* Growth that no call tells of, beyond the limit of one file's size. */
static struct finding judge_unseen_file(const struct view *view)
{
	if (rlimit_holds(view))
		return closed("RLIMIT_FSIZE, which is budget.memfd.size");
	if (view->quotas->rlimit_fsize)
		return open_("RLIMIT_FSIZE does not hold a command with CAP_SYS_RESOURCE");
	return open_("budget.memfd.size is not looked at (budget.memfd.rlimit_fsize and "
		     "budget.tenant.size would be)");
}

/* The same beyond a limit of all files together, which is held by measuring them. */
static struct finding judge_unseen_sum(const struct view *view, struct finding measured)
{
	if (view->machine->handles)
		return measured;
	if (rlimit_holds(view) && view->quotas->limits[QUOTA_MEMFDS] != QUOTA_UNLIMITED)
		return bounded("RLIMIT_FSIZE for each file, times budget.tenant.memfds; files "
			       "cannot be measured here");
	return open_(not_measured);
}

/* truncate(2): sizes only. */
static struct finding judge_truncate(const struct view *view)
{
	if (!makes_any(view))
		return closed(none_made);
	if (!view->sum && !view->file)
		return open_(no_size_limit);
	return view->sum ? judge_unseen_sum(view, answered_size()) : judge_unseen_file(view);
}

static struct finding judge_open_trunc(const struct view *view)
{
	(void)view;
	return closed_always("only makes a file smaller; it stays counted");
}

static struct finding judge_write(const struct view *view)
{
	if (!view->making.memfd && !view->making.tmpfs)
		return closed(none_made);
	if (!view->sum && !view->file && !view->resident)
		return open_(no_limit);
	if (view->sum || view->resident)
		return judge_unseen_sum(view, answered(view));
	return judge_unseen_file(view);
}

static struct finding judge_page_fault(const struct view *view)
{
	if (!view->making.memfd && !view->making.tmpfs)
		return closed(none_made);
	if (view->resident && view->machine->handles)
		return answered(view);
	if (view->sum)
		return bounded("budget.tenant.size, which limits the sizes");
	if (view->resident)
		return bounded("as files cannot be measured, their sizes count for "
			       "budget.tenant.resident");
	if (view->file)
		return bounded("budget.memfd.size, which limits the size of each file");
	return open_(no_limit);
}

/* Whether what can be on a tmpfs is on one that the kernel keeps to the limit. */
static bool on_limited_tmpfs(const struct view *view)
{
	return view->making.tmpfs && view->resident;
}

static struct finding judge_write_memfd(const struct view *view)
{
	return view->making.memfd ? judge_write(view) : closed(none_made);
}

static struct finding judge_write_tmpfs(const struct view *view)
{
	if (!on_limited_tmpfs(view))
		return judge_write(view);
	if (view->file && !rlimit_holds(view))
		return bounded("ENOSPC: the tenant's own tmpfs is as large as "
			       "budget.tenant.resident; budget.memfd.size is not looked at");
	return closed("ENOSPC: the tenant's own tmpfs is as large as budget.tenant.resident");
}

static struct finding judge_page_fault_memfd(const struct view *view)
{
	return view->making.memfd ? judge_page_fault(view) : closed(none_made);
}

static struct finding judge_page_fault_tmpfs(const struct view *view)
{
	if (!on_limited_tmpfs(view))
		return judge_page_fault(view);
	return closed("SIGBUS: the tenant's own tmpfs is as large as budget.tenant.resident");
}

static struct finding worse(struct finding a, struct finding b)
{
	return b.state > a.state ? b : a;
}

static struct finding judge_write_any(const struct view *view)
{
	return worse(judge_write_memfd(view), judge_write_tmpfs(view));
}

static struct finding judge_page_fault_any(const struct view *view)
{
	return worse(judge_page_fault_memfd(view), judge_page_fault_tmpfs(view));
}

/* budget.spill.size goes with every policy that has such files. */
static struct finding judge_write_disk(const struct view *view)
{
	if (!view->making.disk && view->quotas->spills == 0)
		return closed_always(none_made);
	if (!view->machine->handles)
		return open_(not_measured);
	return sampled("over budget.spill.size there is no more");
}

/* Memory that no size shows, and that the limit of one file's size is for all the same. */
static struct finding judge_keep_size(const struct view *view)
{
	if (!makes_any(view))
		return closed(none_made);
	if (view->resident)
		return closed("checked by the supervisor, then run by the kernel");
	if (view->sum)
		return open_("takes memory that no size shows (budget.tenant.resident would see "
			     "it)");
	if (view->file)
		return closed("checked by the supervisor, then run by the kernel");
	return open_(no_limit);
}

static struct finding judge_io_uring(const struct view *view)
{
	if (!view->machine->io_uring)
		return closed_always("this kernel has none, or has it switched off");
	if (view->quotas->io_uring_denied)
		return closed("io_uring_setup(2) fails with EPERM");
	return judge_write_any(view);
}

static struct finding judge_memfd_secret(const struct view *view)
{
	if (!view->machine->memfd_secret)
		return closed_always("this kernel has none, or has it switched off");
	if (view->quotas->memfd_secret == SECRET_DENY)
		return closed("memfd_secret(2) fails with ENOSYS");
	if (view->machine->locks_memory)
		return open_("RLIMIT_MEMLOCK does not hold a command with CAP_IPC_LOCK "
			     "(syscalls.memfd_secret: deny)");
	return bounded("RLIMIT_MEMLOCK");
}

/* ---- Huge pages ---- */

/* True when there are none at all. */
static bool judge_no_huge(const struct view *view, struct finding *ret_finding)
{
	if (!view->machine->hugetlb)
		*ret_finding = closed_always("this kernel makes none");
	else if (!view->making.huge)
		*ret_finding = closed(none_made);
	else
		return false;
	return true;
}

static struct finding judge_hugetlb(const struct view *view)
{
	struct finding finding;

	if (judge_no_huge(view, &finding))
		return finding;
	if (view->quotas->limits[QUOTA_HUGETLB] == QUOTA_UNLIMITED && view->file)
		return bounded("budget.memfd.size for each file");
	if (view->quotas->limits[QUOTA_HUGETLB] == QUOTA_UNLIMITED)
		return open_("no limit is set (budget.tenant.hugetlb)");
	return closed("both are checked against budget.tenant.hugetlb");
}

/* hugetlbfs_file_mmap() in the kernel's fs/hugetlbfs/inode.c; and it has no file handles. */
static struct finding judge_hugetlb_mmap(const struct view *view)
{
	struct finding finding;

	if (judge_no_huge(view, &finding))
		return finding;
	return open_("a mapping makes such a file larger, and it cannot be measured (a rule may "
		     "deny HUGETLB; the hugetlb controller limits it)");
}

/* ---- Execution ---- */

static struct finding judge_exec(const struct view *view)
{
	if (view->making.executable)
		return open_("noexec: true in every rule that emulates would close it");
	return closed("noexec or MFD_NOEXEC_SEAL in every file that is made");
}

static struct finding judge_exec_map(const struct view *view)
{
	if (view->making.mappable)
		return open_("MFD_NOEXEC_SEAL does not stop it; noexec: true with backing: "
			     "tmpfs does");
	return closed("every file that is made is on a tmpfs that is mounted noexec");
}

static struct finding judge_memfd_noexec(const struct view *view)
{
	(void)view;
	return closed_always("the caller's own value is applied; the strictest, where it cannot be "
			     "read");
}

/* ---- Other memory ---- */

static struct finding judge_unsupervised(const struct view *view)
{
	if (view->machine->cgroup_limit)
		return bounded("the limit of the memory cgroup that this runs in; not supervised");
	return open_("not supervised; a memory cgroup would limit it (fdwarden run --memory)");
}

static struct finding judge_foreign(const struct view *view)
{
	(void)view;
	return open_("not counted before it is resized");
}

/* ---- The supervisor itself ---- */

static struct finding judge_second_listener(const struct view *view)
{
	(void)view;
	return closed_always("EBUSY: the kernel takes one listener in a tree of filters, and no "
			     "later filter overrules a notification with a yes");
}

static struct finding judge_abi(const struct view *view)
{
	(void)view;
	return closed("the filter knows every ABI of the machine; any other gets ENOSYS");
}

static struct finding judge_not_inspectable(const struct view *view)
{
	if (view->machine->root)
		return closed("CAP_SYS_PTRACE: there are none");
	if (view->quotas->ledger)
		return closed("memfd_create(2) fails with EPERM");
	return closed("EPERM where a rule looks at the name or changes the file; there is no limit "
		      "to get past");
}

static struct finding judge_ptrace(const struct view *view)
{
	if (view->machine->root)
		return open_("a command with CAP_SYS_PTRACE may trace its supervisor");
	return closed_always("EPERM: the supervisor is not dumpable");
}

static struct finding judge_kill(const struct view *view)
{
	(void)view;
	return closed_always("every call that the filter reports then fails with ENOSYS");
}

/* The calls that resize fail by then; what needs no call goes on, and nobody measures. */
static struct finding judge_kill_growth(const struct view *view)
{
	struct finding (*const judges[])(const struct view *) = {
		judge_truncate, judge_write_any, judge_write_disk, judge_page_fault_any};
	struct finding result = closed("the limits that the kernel keeps are all there are");

	for (size_t i = 0; i < ARRAY_SIZE(judges); i++) {
		struct finding finding = judges[i](view);

		if (finding.state == COVERAGE_SAMPLED)
			return open_("what is sampled is measured no more; a command may signal a "
				     "supervisor of its own user");
		result = worse(result, finding);
	}
	return result;
}

static const struct {
	const char *id, *path;
	struct finding (*judge)(const struct view *view);
} ways[] = {
	{"name", "another name or other flags for memfd_create(2) than were judged", judge_name},
	{"allow", "memfds that an allow rule leaves to the kernel", judge_allow},
	{"count", "more live memfds than the limit", judge_count},
	{"rate", "memfds made faster than the limit", judge_rate},
	{"cgroup", "a new memfd while the memory cgroup of the caller is full", judge_cgroup},
	{"ftruncate", "ftruncate(2)", judge_ftruncate},
	{"ftruncate-swap", "ftruncate(2) while a second thread swaps the descriptor",
		judge_ftruncate},
	{"fallocate", "fallocate(2)", judge_fallocate},
	{"fallocate-swap", "fallocate(2) while a second thread swaps the descriptor",
		judge_write_any},
	{"keep-size", "fallocate(2) past the end with KEEP_SIZE", judge_keep_size},
	{"punch-hole", "holes punched, and filled again by page faults", judge_page_fault_any},
	{"truncate", "truncate(2) through /proc/self/fd", judge_truncate},
	{"open-trunc", "O_TRUNC through /proc/self/fd", judge_open_trunc},
	{"write", "writing past the end, memfd backing", judge_write_memfd},
	{"write-tmpfs", "writing past the end, tmpfs backing", judge_write_tmpfs},
	{"write-disk", "writing past the end, disk backing", judge_write_disk},
	{"page-fault", "page faults inside the size, memfd backing", judge_page_fault_memfd},
	{"page-fault-tmpfs", "page faults inside the size, tmpfs backing", judge_page_fault_tmpfs},
	{"io-uring", "resizing and writing by io_uring", judge_io_uring},
	{"memfd-secret", "memfd_secret(2)", judge_memfd_secret},
	{"hugetlb", "memfds in huge pages, by ftruncate(2) and fallocate(2)", judge_hugetlb},
	{"hugetlb-mmap", "memfds in huge pages, by mmap(2)", judge_hugetlb_mmap},
	{"exec", "execve(2) of a memfd", judge_exec},
	{"exec-map", "mmap(PROT_EXEC), dlopen(3), ld.so on a memfd", judge_exec_map},
	{"memfd-noexec", "a file that vm.memfd_noexec of the caller forbids", judge_memfd_noexec},
	{"xattr", "user.* attributes of a memfd, which are memory too", judge_unsupervised},
	{"o-tmpfile", "O_TMPFILE and other files on a tmpfs", judge_unsupervised},
	{"dev-shm", "files in /dev/shm, shm_open(3)", judge_unsupervised},
	{"sysv-shm", "System V shared memory", judge_unsupervised},
	{"shared-mapping", "shared anonymous mappings", judge_unsupervised},
	{"fd-received", "a memfd received from outside", judge_foreign},
	{"fd-before", "a memfd made before the supervisor started", judge_foreign},
	{"second-listener", "a listener or filter of the command's own", judge_second_listener},
	{"abi", "system calls through another ABI", judge_abi},
	{"not-inspectable", "callers that cannot be inspected (not dumpable)",
		judge_not_inspectable},
	{"ptrace", "tracing the supervisor", judge_ptrace},
	{"kill", "calls after the supervisor was killed", judge_kill},
	{"kill-growth", "growth of files after the supervisor was killed or stopped",
		judge_kill_growth},
};
_Static_assert(ARRAY_SIZE(ways) <= COVERAGE_ROWS, "room for each row");

const char *coverage_state_name(enum coverage_state state)
{
	switch (state) {
	case COVERAGE_CLOSED:
		return "closed";
	case COVERAGE_BOUNDED:
		return "bounded";
	case COVERAGE_SAMPLED:
		return "sampled";
	case COVERAGE_OPEN:
		return "open";
	}
	return "?";
}

static bool is_set(const struct policy_quotas *quotas, enum quota quota)
{
	return quotas->limits[quota] != QUOTA_UNLIMITED;
}

size_t coverage_judge(const struct policy *policy, const struct coverage_machine *machine,
	struct coverage_row rows[static COVERAGE_ROWS])
{
	const struct policy_quotas *quotas = policy_quotas(policy);
	struct view view = {
		.policy = policy,
		.quotas = quotas,
		.machine = machine,
		.file = is_set(quotas, QUOTA_MEMFD_SIZE),
		.sum = is_set(quotas, QUOTA_SIZE),
		.resident = is_set(quotas, QUOTA_RESIDENT),
	};
	bool audit = policy_mode(policy) == POLICY_AUDIT;

	making_find(policy, view.resident && machine->tmpfs, &view.making);
	for (size_t i = 0; i < ARRAY_SIZE(ways); i++) {
		struct finding finding = ways[i].judge(&view);

		if (audit && finding.state != COVERAGE_OPEN && !finding.always)
			finding = open_("mode: audit refuses nothing");
		rows[i] =
			(struct coverage_row){ways[i].id, ways[i].path, finding.state, finding.by};
	}
	return ARRAY_SIZE(ways);
}
