/* SPDX-License-Identifier: Apache-2.0 */

#include <errno.h>

#include "core/facts.h"

void facts_start(struct facts *facts, const struct facts_source *source, pid_t tid,
	const struct filter_call *call)
{
	tracee_cache_begin(source->cache);
	facts->call = (struct policy_call){.flags = call->flags};
	facts->source = source;
	facts->syscall = *call;
	facts->tid = tid;
	facts->name_error = 0;
	facts->ids = (struct tracee_ids){.uid = (uid_t)-1, .gid = (gid_t)-1};
	facts->comm[0] = '\0';
}

static int fetch_name(struct facts *facts)
{
	if (facts->name_error == 0)
		facts->name_error =
			tracee_read_name(facts->tid, facts->syscall.address, &facts->name);
	if (facts->name_error < 0)
		return facts->name_error;
	facts->call.name = facts->name.bytes;
	facts->call.name_len = facts->name.len;
	return 0;
}

static int fetch_ids(struct facts *facts)
{
	int r = tracee_ids(facts->source->cache, facts->tid, &facts->ids);

	if (r < 0)
		return r;
	facts->call.uid = facts->ids.uid;
	facts->call.gid = facts->ids.gid;
	return 0;
}

static int fetch_comm(struct facts *facts)
{
	int r = tracee_comm(facts->tid, facts->comm);

	if (r < 0)
		return r;
	facts->call.comm = facts->comm;
	return 0;
}

static int fetch_exe(struct facts *facts)
{
	int r = tracee_exe(facts->tid, facts->exe, sizeof(facts->exe));

	if (r < 0)
		return r;
	facts->call.exe = facts->exe;
	return 0;
}

static int fetch_cgroup(struct facts *facts)
{
	const char *path;
	ssize_t r;

	if (!facts->source->cgroup)
		return -ENODEV;
	r = tracee_cgroup_text(facts->tid, facts->cgroup_text, sizeof(facts->cgroup_text));
	if (r < 0)
		return (int)r;
	path = cgroup_view_path(facts->source->cgroup, facts->cgroup_text, &facts->cgroup_len);
	if (!path)
		return -ENODEV;
	facts->cgroup_text[path - facts->cgroup_text + (ptrdiff_t)facts->cgroup_len] = '\0';
	facts->call.cgroup = path;
	return 0;
}

static int fetch(struct facts *facts, enum fact fact)
{
	switch (fact) {
	case FACT_NAME:
		return fetch_name(facts);
	case FACT_IDS:
		return fetch_ids(facts);
	case FACT_COMM:
		return fetch_comm(facts);
	case FACT_EXE:
		return fetch_exe(facts);
	case FACT_CGROUP:
		return fetch_cgroup(facts);
	}
	return -EINVAL;
}

int facts_fetch(struct facts *facts, enum fact fact)
{
	int r;

	if (facts->call.known & fact)
		return 0;
	r = fetch(facts, fact);
	if (r == 0)
		facts->call.known |= fact;
	return r;
}
