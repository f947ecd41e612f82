/* SPDX-License-Identifier: Apache-2.0 */
#include "core/held.h"

#include <errno.h>
#include <stdlib.h>

#include "base/macro.h"

/* Files that may be made while we count. Those beyond are seen the next time. */
#define SPARE 64

void held_done(struct held *held)
{
	free(take_ptr(held->files));
	held->count = 0;
}

static bool is_resident(enum store store)
{
	switch (store) {
	case STORE_MEMFD:
	case STORE_TMPFS:
		return true;
	case STORE_DISK:
	case STORE_HUGETLB: /* a pool of its own, that the OOM killer does not look at either */
	case STORE_SECRET:
		break;
	}
	return false;
}

int held_add(struct held *held, struct ledger *ledger, struct tenant *tenant)
{
	const bool measured = ledger_can_measure(ledger);
	size_t max = tenant_files(tenant, NULL, 0) + SPARE;
	_cleanup_free_ struct ledger_file *files = calloc(max, sizeof(*files));

	if (!files)
		return -ENOMEM;

	size_t n = tenant_files(tenant, files, max);
	struct holder_file *all =
		reallocarray(held->files, held->count + max, sizeof(*held->files));

	if (!all)
		return -ENOMEM;
	held->files = all;
	for (size_t i = 0; i < n && i < max; i++) {
		if (!is_resident(files[i].store) || (measured && files[i].resident == 0))
			continue;
		all[held->count++] = (struct holder_file){
			.dev = files[i].dev,
			.ino = files[i].ino,
			.bytes = measured ? files[i].resident : HOLDER_UNKNOWN,
		};
	}
	return 0;
}
