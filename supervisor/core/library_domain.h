/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The domains of one supervisor of libfdwarden: one for each policy that its listeners have. */

#include "core/domain.h"

struct domain_list {
	struct domain_node *first;
	domain_event_fn *on_event; /* NULL: none */
	void *userdata;
};

struct domain_node {
	struct domain *domain;
	struct policy *policy; /* owned */
	unsigned users;        /* sessions */
	struct domain_node *next;
};

/* The domain of this policy, made when there is none, with one more user. Returns 0 or -errno. */
int domain_list_get(struct domain_list *list, struct policy *policy, struct domain_node **ret_node);

/* One user less; the last one takes the domain with it. */
void domain_list_put(struct domain_list *list, struct domain_node *node);

/* Replaces a policy. Returns 0 or -errno, -ENOENT when no listener has it. */
int domain_list_replace(struct domain_list *list, struct policy *from, struct policy *to);
