/* SPDX-License-Identifier: Apache-2.0 */
#include "core/owner.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/macro.h"
#include "core/facts.h"

void owner_done(struct owner *owner)
{
	owner->view = cgroup_view_free(owner->view);
}

/* The process's cgroup, in text (size bytes). Returns it, or NULL where it is not to be seen. */
static const char *cgroup_of(struct owner *owner, pid_t pid, char *text, size_t size)
{
	const char *path;
	size_t len;

	if (!owner->view && cgroup_view_new(&owner->view) < 0)
		return NULL;
	if (tracee_cgroup_text(pid, text, size) < 0)
		return NULL;
	path = cgroup_view_path(owner->view, text, &len);
	if (path)
		text[(size_t)(path - text) + len] = '\0';
	return path;
}

static bool is_in_cgroup(
	struct owner *owner, const struct policy *policy, const char *tenant, pid_t pid)
{
	char name[POLICY_TENANT_MAX];
	_cleanup_free_ char *text = malloc(FACTS_CGROUP_MAX);
	const char *path = text ? cgroup_of(owner, pid, text, FACTS_CGROUP_MAX) : NULL;

	if (!path)
		return false;
	if (policy_tenant_name(policy, path, name))
		return strcmp(name, tenant) == 0;
	return ledger_has_listener(owner->ledger, tenant);
}

static bool is_of_user(const char *tenant, pid_t pid)
{
	char name[POLICY_TENANT_MAX];
	struct tracee_ids ids;

	if (tracee_ids_from_proc(pid, &ids) < 0)
		return false;
	snprintf(name, sizeof(name), "uid-%u", ids.uid);
	return strcmp(name, tenant) == 0;
}

bool owner_has(struct owner *owner, const struct policy *policy, const char *tenant, pid_t pid)
{
	switch (policy_quotas(policy)->tenant_by) {
	case TENANT_BY_LISTENER:
		return true;
	case TENANT_BY_UID:
		return is_of_user(tenant, pid);
	case TENANT_BY_CGROUP:
		return is_in_cgroup(owner, policy, tenant, pid);
	}
	return false;
}
