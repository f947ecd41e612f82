/* SPDX-License-Identifier: Apache-2.0 */

#include <errno.h>
#include <stdlib.h>

#include "base/macro.h"
#include "core/library_domain.h"

static struct domain_node *domain_find(const struct domain_list *list, const struct policy *policy)
{
	struct domain_node *node = list->first;

	while (node && node->policy != policy)
		node = node->next;
	return node;
}

int domain_list_get(struct domain_list *list, struct policy *policy, struct domain_node **ret_node)
{
	struct domain_node *node = domain_find(list, policy);
	const struct domain_config config = {
		.policy = policy,
		.mode = -1,
		.on_event = list->on_event,
		.userdata = list->userdata,
	};
	const char *why;
	int r;

	if (!node) {
		node = calloc(1, sizeof(*node));
		if (!node)
			return -ENOMEM;
		r = domain_new(&config, &node->domain, &why);
		if (r < 0) {
			free(node);
			return r;
		}
		node->policy = policy_ref(policy);
		node->next = list->first;
		list->first = node;
	}
	node->users++;
	*ret_node = node;
	return 0;
}

void domain_list_put(struct domain_list *list, struct domain_node *node)
{
	struct domain_node **link = &list->first;

	if (--node->users > 0)
		return;
	while (*link != node)
		link = &(*link)->next;
	*link = node->next;
	domain_free(node->domain);
	policy_unref(node->policy);
	free(node);
}

int domain_list_replace(struct domain_list *list, struct policy *from, struct policy *to)
{
	struct domain_node *node = domain_find(list, from);
	const char *why;
	int r;

	if (!node)
		return -ENOENT;
	r = domain_set_policy(node->domain, to, &why);
	if (r < 0)
		return r;
	policy_ref(to);
	policy_unref(node->policy);
	node->policy = to;
	return 0;
}
