/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The mistakes of policy_mistakes.h, of the keys that tell tenants, limits and backings. */

#include "policy_mistakes.h"

static const struct mistake quota_mistakes[] = {
	{"budget wrong types",
		"version: 1\n"
		"budget: {tenant: 4096, memfd: [1], spill: /var/tmp, sample: [], on_overrun: {}}\n",
		"2:18: expected a mapping, found a text\n"
		"2:31: expected a mapping, found a list\n"
		"2:43: expected a mapping, found a text\n"
		"2:61: expected a duration, found a list\n"
		"2:77: expected deny, freeze or kill, found a mapping\n"},
	{"tenant limits empty",
		"version: 1\n"
		"budget: {tenant: {}}\n",
		"2:18: budget.tenant limits nothing (memfds, size, resident, hugetlb or rate)\n"},
	{"tenant limits unknown",
		"version: 1\n"
		"budget: {tenant: {memfd: 1, sizes: 1G, zzzzzzzz: 1}}\n",
		"2:19: unknown key \"memfd\" (did you mean \"memfds\"?)\n"
		"2:29: unknown key \"sizes\" (did you mean \"size\"?)\n"
		"2:40: unknown key \"zzzzzzzz\" (the keys here are memfds, size, resident, "
		"hugetlb, rate, burst)\n"},
	{"limits of nothing",
		"version: 1\n"
		"budget:\n"
		"  tenant: {memfds: 0, size: 0, resident: 0KiB, hugetlb: 0, rate: 0/s, burst: 0}\n"
		"  memfd: {size: 0}\n",
		"3:20: \"0\" is not a limit but a ban (such as 4096, and at most 1000000000)\n"
		"3:29: \"0\" is not a limit but a ban (such as 64MiB or 1GiB)\n"
		"3:42: \"0KiB\" is not a limit but a ban (such as 64MiB or 1GiB)\n"
		"3:57: \"0\" is not a limit but a ban (such as 64MiB or 1GiB)\n"
		"3:66: \"0/s\" is not a limit but a ban (such as 5000/s, 100/min or 20/h)\n"
		"3:78: \"0\" is not a limit but a ban (such as 4096, and at most 1000000000)\n"
		"4:17: \"0\" is not a limit but a ban (such as 64MiB or 1GiB)\n"},
	{"limits with a wrong unit",
		"version: 1\n"
		"budget:\n"
		"  tenant: {memfds: 4K, size: 1 GiB, resident: 50%, hugetlb: -1, rate: 5k/s, "
		"burst: 10/s}\n"
		"  memfd: {size: 1.5G}\n",
		"3:20: \"4K\" is not a number of files (such as 4096, and at most 1000000000)\n"
		"3:30: \"1 GiB\" is not a size (such as 64MiB or 1GiB)\n"
		"3:47: \"50%\" is not a size (such as 64MiB or 1GiB)\n"
		"3:61: \"-1\" is not a size (such as 64MiB or 1GiB)\n"
		"3:71: \"5k/s\" is not a rate (such as 5000/s, 100/min or 20/h)\n"
		"3:84: \"10/s\" is not a number of files (such as 4096, and at most 1000000000)\n"
		"4:17: \"1.5G\" is not a size (such as 64MiB or 1GiB)\n"},
	{"limits that overflow",
		"version: 1\n"
		"budget:\n"
		"  tenant: {memfds: 1000000001, size: 8388608T, resident: 9223372036854775808,\n"
		"           hugetlb: 99999999999999999999, rate: 1000000001/h, burst: "
		"99999999999999999999}\n",
		"3:20: \"1000000001\" is too large (such as 4096, and at most 1000000000)\n"
		"3:38: \"8388608T\" is too large (such as 64MiB or 1GiB)\n"
		"3:58: \"9223372036854775808\" is too large (such as 64MiB or 1GiB)\n"
		"4:21: \"99999999999999999999\" is too large (such as 64MiB or 1GiB)\n"
		"4:49: \"1000000001/h\" is too large (such as 5000/s, 100/min or 20/h)\n"
		"4:70: \"99999999999999999999\" is too large (such as 4096, and at most "
		"1000000000)\n"},
	{"rate without a unit",
		"version: 1\n"
		"budget: {tenant: {rate: 5000}}\n",
		"2:25: \"5000\" is not a rate: it lacks /s, /min or /h (such as 5000/s, 100/min or "
		"20/h)\n"},
	{"rates with a wrong unit",
		"version: 1\n"
		"budget: {tenant: {rate: 5/m}}\n",
		"2:25: \"5/m\" is not a rate (such as 5000/s, 100/min or 20/h)\n"},
	{"rate that is too large",
		"version: 1\n"
		"budget: {tenant: {rate: 99999999999999999999/s}}\n",
		"2:25: \"99999999999999999999/s\" is too large (such as 5000/s, 100/min or "
		"20/h)\n"},
	{"rate that is too large, without a unit",
		"version: 1\n"
		"budget: {tenant: {rate: 99999999999999999999}}\n",
		"2:25: \"99999999999999999999\" is not a rate: it lacks /s, /min or /h (such as "
		"5000/s, 100/min or 20/h)\n"},
	{"rate type",
		"version: 1\n"
		"budget: {tenant: {rate: [1/s]}}\n",
		"2:25: expected a rate, found a list\n"},
	{"burst without rate",
		"version: 1\n"
		"budget: {tenant: {memfds: 5, burst: 10}}\n",
		"2:30: burst has no meaning without rate (memfds limits how many there are at a "
		"time)\n"},
	{"memfd empty",
		"version: 1\n"
		"budget: {memfd: {}}\n",
		"2:17: budget.memfd limits nothing (size: 2GiB, for example)\n"},
	{"rlimit_fsize without size",
		"version: 1\n"
		"budget: {memfd: {rlimit_fsize: true}}\n",
		"2:18: rlimit_fsize has no meaning without size (size: 2GiB, for example)\n"},
	{"rlimit_fsize",
		"version: 1\n"
		"budget: {memfd: {size: 1G, rlimit_fsize: yes}}\n",
		"2:42: \"yes\" is not true or false\n"},
	{"size of one above that of all",
		"version: 1\n"
		"budget:\n"
		"  memfd: {size: 2GiB}\n"
		"  tenant: {size: 1GiB, hugetlb: 1GiB}\n",
		"3:17: no file can get so large: it is more than budget.tenant.size (tenant.size "
		"is the limit of all files together)\n"},
	{"spill without directory",
		"version: 1\n"
		"budget:\n"
		"  tenant: {size: 1G}\n"
		"  spill: {size: 1G}\n"
		"  exceeded: spill\n",
		"4:10: budget.spill needs a directory and a size ({directory: /var/tmp, size: "
		"10GiB})\n"},
	{"spill without size",
		"version: 1\n"
		"budget:\n"
		"  tenant: {size: 1G}\n"
		"  spill: {directory: /var/tmp}\n"
		"  exceeded: spill\n",
		"4:10: budget.spill needs a directory and a size ({directory: /var/tmp, size: "
		"10GiB})\n"},
	{"spill empty",
		"version: 1\n"
		"budget:\n"
		"  tenant: {size: 1G}\n"
		"  spill: {}\n"
		"  exceeded: spill\n",
		"4:10: budget.spill needs a directory and a size ({directory: /var/tmp, size: "
		"10GiB})\n"},
	{"spill directory",
		"version: 1\n"
		"budget:\n"
		"  tenant: {size: 1G}\n"
		"  spill: {directory: var/tmp, size: 0}\n"
		"  exceeded: spill\n",
		"4:22: the directory needs an absolute path: this one depends on where the program "
		"is started (/var/tmp, for example)\n"
		"4:37: \"0\" is not a limit but a ban (such as 64MiB or 1GiB)\n"},
	{"spill directory is empty",
		"version: 1\n"
		"budget:\n"
		"  tenant: {size: 1G}\n"
		"  spill: {directory: \"\", size: 1G}\n"
		"  exceeded: spill\n",
		"4:22: the directory needs an absolute path: this one depends on where the program "
		"is started (/var/tmp, for example)\n"},
	{"spill that nothing uses",
		"version: 1\n"
		"budget:\n"
		"  tenant: {size: 1G}\n"
		"  spill: {directory: /var/tmp, size: 1G}\n",
		"4:3: nothing ever goes to this directory (exceeded: spill, or backing: disk in a "
		"rule, sends files there)\n"},
	{"spill to nowhere",
		"version: 1\n"
		"budget: {tenant: {size: 1G}, exceeded: spill}\n",
		"2:40: there is no directory for files to go to (budget: {spill: {directory: "
		"/var/tmp, size: 10GiB}})\n"},
	{"spill to nowhere, for one",
		"version: 1\n"
		"budget: {tenant: {size: 1G}, exceeded: {size: spill}}\n",
		"2:47: there is no directory for files to go to (budget: {spill: {directory: "
		"/var/tmp, size: 10GiB}})\n"},
	{"spill of limits that cannot",
		"version: 1\n"
		"budget:\n"
		"  tenant: {memfds: 1, rate: 1/s, hugetlb: 2M}\n"
		"  memfd: {size: 1G}\n"
		"  spill: {directory: /a, size: 1G}\n"
		"  exceeded: {memfds: spill, rate: spill, memfd_size: spill, hugetlb: spill, "
		"spill: spill}\n",
		"6:22: this limit cannot spill (size, resident and cgroup can)\n"
		"6:35: this limit cannot spill (size, resident and cgroup can)\n"
		"6:54: this limit cannot spill (size, resident and cgroup can)\n"
		"6:70: this limit cannot spill (size, resident and cgroup can)\n"
		"6:84: this limit cannot spill (size, resident and cgroup can)\n"},
	{"spill where no limit can",
		"version: 1\n"
		"budget:\n"
		"  tenant: {memfds: 1}\n"
		"  spill: {directory: /a, size: 1G}\n"
		"  exceeded: spill\n",
		"5:13: no limit here can spill (size, resident and cgroup can)\n"},
	{"answers",
		"version: 1\n"
		"budget:\n"
		"  tenant: {size: 1G}\n"
		"  exceeded: {size: ENOSPCE, sized: EPERM, rate: EAGAIN, spill: ENOSPC}\n",
		"4:20: \"ENOSPCE\" is not the name of an errno (did you mean ENOSPC?)\n"
		"4:29: unknown key \"sized\" (did you mean \"size\"?)\n"
		"4:43: there is no limit \"rate\" that could be exceeded\n"
		"4:57: there is no limit \"spill\" that could be exceeded\n"},
	{"answer type",
		"version: 1\n"
		"budget:\n"
		"  tenant: {size: 1G}\n"
		"  exceeded: [ENOSPC]\n",
		"4:13: expected the name of an errno, found a list\n"},
	{"answer near spill",
		"version: 1\n"
		"budget:\n"
		"  tenant: {size: 1G}\n"
		"  exceeded: spil\n",
		"4:13: \"spil\" is not the name of an errno (EPERM, for example)\n"},
	{"on_overrun",
		"version: 1\n"
		"budget: {tenant: {resident: 1G}, on_overrun: stop}\n",
		"2:46: \"stop\" is not deny, freeze or kill\n"},
	{"on_overrun without resident",
		"version: 1\n"
		"budget: {tenant: {size: 1G}, on_overrun: kill}\n",
		"2:30: on_overrun has no meaning without a limit on resident memory (tenant: "
		"{resident: 1GiB}, for example)\n"},
	{"a misspelt limit is not missed twice",
		"version: 1\n"
		"budget: {tenat: {resident: 1G}, memfd: {size: 1G}, on_overrun: kill}\n",
		"2:10: unknown key \"tenat\" (did you mean \"tenant\"?)\n"},
	{"sample",
		"version: 1\n"
		"budget: {tenant: {resident: 1G}, sample: 9ms}\n",
		"2:42: \"9ms\" is too short (from 10ms to 60min, such as 250ms or 2s)\n"},
	{"sample too long",
		"version: 1\n"
		"budget: {tenant: {resident: 1G}, sample: 61min}\n",
		"2:42: \"61min\" is too long (from 10ms to 60min, such as 250ms or 2s)\n"},
	{"sample unit",
		"version: 1\n"
		"budget: {tenant: {resident: 1G}, sample: 250}\n",
		"2:42: \"250\" is not a duration (from 10ms to 60min, such as 250ms or 2s)\n"},
	{"sample without anything to measure",
		"version: 1\n"
		"budget: {cgroup: {reserve: 1M}, sample: 1s}\n",
		"2:33: there is nothing to measure at this interval (it goes with limits of "
		"tenants, and oom: attribute)\n"},
	{"oom",
		"version: 1\n"
		"oom: atribute\n",
		"2:6: \"atribute\" is not attribute or leave (did you mean \"attribute\"?)\n"},
	{"syscalls",
		"version: 1\n"
		"syscalls: {memfd_secret: kill, io_uring: count, io_uring_setup: deny}\n",
		"2:26: \"kill\" is not allow, deny or count\n"
		"2:42: \"count\" is not allow or deny\n"
		"2:49: unknown key \"io_uring_setup\" (the keys here are memfd_secret, "
		"io_uring)\n"},
	{"syscalls type",
		"version: 1\n"
		"syscalls: deny\n",
		"2:11: expected a mapping, found a text\n"},
	{"tenant",
		"version: 1\n"
		"tenant: cgroup\n",
		"2:9: \"cgroup\" is not listener, uid or {cgroup: PATTERN}\n"},
	{"tenant near",
		"version: 1\n"
		"tenant: listner\n",
		"2:9: \"listner\" is not listener, uid or {cgroup: PATTERN} (did you mean "
		"\"listener\"?)\n"},
	{"tenant list",
		"version: 1\n"
		"tenant: [uid]\n",
		"2:9: expected listener, uid or {cgroup: PATTERN}, found a list\n"},
	{"tenant empty",
		"version: 1\n"
		"tenant: {}\n",
		"2:9: a tenant needs something to be told by ({cgroup: \"/docker/(*)\"})\n"},
	{"tenant unknown key",
		"version: 1\n"
		"tenant: {cgroups: \"/docker/(*)\"}\n",
		"2:10: unknown key \"cgroups\" (did you mean \"cgroup\"?)\n"},
	{"tenant pattern type",
		"version: 1\n"
		"tenant: {cgroup: [\"/docker/(*)\"]}\n",
		"2:18: expected a pattern, found a list\n"},
	{"no capture",
		"version: 1\n"
		"tenant: {cgroup: \"/docker/*\"}\n",
		"2:18: the pattern does not say what names the tenant (one (*), such as "
		"\"/docker/(*)\")\n"},
	{"two captures",
		"version: 1\n"
		"tenant: {cgroup: \"/(*)/(*)\"}\n",
		"2:18: only one part of the path names the tenant (one (*), such as "
		"\"/docker/(*)\")\n"},
	{"capture of more components",
		"version: 1\n"
		"tenant: {cgroup: \"/docker/(**)\"}\n",
		"2:18: bad pattern: a capture is (*), within one component (put the pattern around "
		"it, such as \"docker-(*).scope\"; write \\( for the character itself)\n"},
	{"capture with a slash",
		"version: 1\n"
		"tenant: {cgroup: \"/docker/(*/*)\"}\n",
		"2:18: bad pattern: a capture is (*), within one component (put the pattern around "
		"it, such as \"docker-(*).scope\"; write \\( for the character itself)\n"},
	{"capture with text",
		"version: 1\n"
		"tenant: {cgroup: \"/docker/(ab*)\"}\n",
		"2:18: bad pattern: a capture is (*), within one component (put the pattern around "
		"it, such as \"docker-(*).scope\"; write \\( for the character itself)\n"},
	{"capture not closed",
		"version: 1\n"
		"tenant: {cgroup: \"/docker/(*\"}\n",
		"2:18: bad pattern: a capture is (*), within one component (put the pattern around "
		"it, such as \"docker-(*).scope\"; write \\( for the character itself)\n"},
	{"capture not opened",
		"version: 1\n"
		"tenant: {cgroup: \"/docker/*)\"}\n",
		"2:18: bad pattern: ) without ( (write \\) for the character itself)\n"},
	{"relative pattern",
		"version: 1\n"
		"tenant: {cgroup: \"docker/(*)\"}\n",
		"2:18: the pattern is compared from the beginning of the path, which is a slash "
		"(such as \"/docker/(*)\")\n"},
	{"pattern that ends with a slash",
		"version: 1\n"
		"tenant: {cgroup: \"/docker/(*)/\"}\n",
		"2:18: no path of a cgroup has an empty component or a slash at the end (what lies "
		"below the pattern's last component belongs to it anyway)\n"},
	{"pattern with an empty component",
		"version: 1\n"
		"tenant: {cgroup: \"//docker/(*)\"}\n",
		"2:18: no path of a cgroup has an empty component or a slash at the end (what lies "
		"below the pattern's last component belongs to it anyway)\n"},
	{"pattern with a set",
		"version: 1\n"
		"tenant: {cgroup: \"/[a/(*)\"}\n",
		"2:18: bad pattern: [ without ] (write \\[ for the character itself)\n"},
	{"pattern too long",
		"version: 1\n"
		"tenant: {cgroup: "
		"\"/"
		"(*)"
		"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
		"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
		"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
		"aaaaaa\"}\n",
		"2:18: the pattern of a tenant has at most 255 bytes\n"},
	{"backing",
		"version: 1\n"
		"rules:\n"
		"- {name: a, action: emulate, backing: ramfs}\n",
		"3:39: \"ramfs\" is not memfd, tmpfs or disk\n"},
	{"backing auto",
		"version: 1\n"
		"rules:\n"
		"- {name: a, action: emulate, backing: auto}\n",
		"3:39: \"auto\" is not memfd, tmpfs or disk\n"},
	{"backing with other actions",
		"version: 1\n"
		"rules:\n"
		"- {name: a, match: {uid: 1}, action: deny, backing: tmpfs}\n"
		"- {name: b, match: {uid: 2}, action: allow, noexec: true}\n"
		"- {name: c, match: {uid: 3}, action: kill, noexec: false}\n",
		"3:44: the key \"backing\" does not go with action: deny (it goes with action: "
		"emulate)\n"
		"4:45: the key \"noexec\" does not go with action: allow (it goes with action: "
		"emulate)\n"
		"5:44: the key \"noexec\" does not go with action: kill (it goes with action: "
		"emulate)\n"},
	{"backing on no disk",
		"version: 1\n"
		"rules:\n"
		"- {name: a, action: emulate, backing: disk}\n",
		"3:39: there is no directory for files to go to (budget: {spill: {directory: "
		"/var/tmp, size: 10GiB}})\n"},
	{"noexec",
		"version: 1\n"
		"rules:\n"
		"- {name: a, action: emulate, noexec: 1}\n",
		"3:38: \"1\" is not true or false\n"},
	{"noexec and executable",
		"version: 1\n"
		"rules:\n"
		"- {name: a, action: emulate, noexec: true, add_flags: [EXEC]}\n",
		"3:30: noexec, and add_flags asks for EXEC (a file is the one or the other)\n"},
	{"sealed on a tmpfs",
		"version: 1\n"
		"rules:\n"
		"- {name: a, action: emulate, add_flags: ALLOW_SEALING, backing: tmpfs}\n",
		"3:56: a file with backing: tmpfs cannot be sealed, and add_flags asks for it "
		"(noexec: true keeps it from being executed without a seal)\n"},
	{"huge pages on a tmpfs",
		"version: 1\n"
		"rules:\n"
		"- {name: a, action: emulate, add_flags: [HUGETLB, NOEXEC_SEAL], backing: tmpfs}\n",
		"3:65: a file with backing: tmpfs cannot be sealed, and add_flags asks for it "
		"(noexec: true keeps it from being executed without a seal)\n"
		"3:65: a file with backing: tmpfs has no huge pages, and add_flags asks for "
		"them\n"},
};
