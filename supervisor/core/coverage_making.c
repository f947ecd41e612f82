/* SPDX-License-Identifier: Apache-2.0 */

#include "core/coverage_making.h"

#include "base/memfd.h"
#include "base/text.h"

struct making_walk {
	bool tmpfs;
	struct making *making;
	uint32_t flags;
};

/* As memfile_fits_tmpfs() and core/session.c choose. */
static enum backing backing_used(bool tmpfs, const struct decision *decision, uint32_t flags)
{
	const uint32_t needs_memfd = MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL | MFD_EXEC;

	if (flags & MFD_HUGETLB)
		return BACKING_MEMFD;
	if (decision->backing != BACKING_AUTO)
		return decision->backing;
	if (!tmpfs || (flags & needs_memfd))
		return BACKING_MEMFD;
	return BACKING_TMPFS;
}

static void add_emulated(const struct making_walk *walk, const struct decision *decision)
{
	uint32_t flags = (walk->flags & ~decision->flags_clear) | decision->flags_add;
	enum backing backing = backing_used(walk->tmpfs, decision, flags);
	struct making *making = walk->making;
	bool on_memfd = backing == BACKING_MEMFD;

	/* Of both of these the kernel refuses the call; of the second with noexec, fdwarden. */
	if ((flags & MFD_EXEC) && ((flags & MFD_NOEXEC_SEAL) || decision->noexec))
		return;
	making->huge |= (flags & MFD_HUGETLB) != 0;
	making->memfd |= on_memfd && !(flags & MFD_HUGETLB);
	making->tmpfs |= backing == BACKING_TMPFS;
	making->disk |= backing == BACKING_DISK;
	/* A seal is a memfd's; a noexec mount stops mappings as well. */
	making->executable |= !decision->noexec && !(on_memfd && (flags & MFD_NOEXEC_SEAL));
	making->mappable |= !decision->noexec || on_memfd;
}

static void add_decision(const struct decision *decision, uint32_t facts, void *userdata)
{
	const struct making_walk *walk = userdata;
	struct making *making = walk->making;

	switch (decision->verdict) {
	case VERDICT_ALLOW:
		making->allowed = true;
		making->allowed_by_name |= (facts & FACT_NAME) != 0;
		making->memfd = true;
		making->huge |= (walk->flags & MFD_HUGETLB) != 0;
		making->executable |= !(walk->flags & MFD_NOEXEC_SEAL);
		making->mappable = true;
		break;
	case VERDICT_EMULATE:
		add_emulated(walk, decision);
		break;
	case VERDICT_DENY:
	case VERDICT_KILL:
		break;
	}
}

void making_find(const struct policy *policy, bool tmpfs, struct making *ret_making)
{
	const uint32_t bits =
		MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_HUGETLB | MFD_NOEXEC_SEAL | MFD_EXEC;
	struct making_walk walk = {.tmpfs = tmpfs, .making = ret_making};

	*ret_making = (struct making){0};
	/* Every set of flags; and, with MFD_HUGETLB, each size of pages. */
	for (uint32_t flags = 0; flags <= bits; flags++) {
		if ((flags & MFD_EXEC) && (flags & MFD_NOEXEC_SEAL))
			continue;
		walk.flags = flags;
		policy_each_decision(policy, flags, add_decision, &walk);
		for (const struct memfd_flag *size = memfd_flags;
			(flags & MFD_HUGETLB) && size->name; size++) {
			if (!(size->mask & ~bits))
				continue;
			walk.flags = flags | size->value;
			policy_each_decision(policy, walk.flags, add_decision, &walk);
		}
	}
}
