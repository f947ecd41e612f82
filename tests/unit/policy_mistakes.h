/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* One policy for each kind of mistake, and what must be said about it, as policy_fixture.h writes
 * it. */

static const struct mistake {
	const char *what, *text, *findings;
} mistakes[] = {
	{"empty", "", "1:1: the policy is empty (the shortest one is \"version: 1\")\n"},
	{"only a comment", "# nothing\n",
		"1:1: the policy is empty (the shortest one is \"version: 1\")\n"},
	{"a list", "- 1\n", "1:1: expected a mapping, found a list\n"},
	{"nothing", "~\n", "1:1: expected a mapping, found nothing\n"},
	{"missing version", "mode: audit\n", "1:1: the key \"version\" is missing (version: 1)\n"},
	{"wrong version", "version: 2\n",
		"1:10: this program reads version 1 of the grammar (version: 1)\n"},
	{"version is a list", "version: [1]\n", "1:10: expected the number 1, found a list\n"},
	{"syntax",
		"version: 1\n"
		"rules: [\n",
		"3:1: did not find expected node content while parsing a flow node\n"},
	{"tab",
		"version: 1\n"
		"rules:\n"
		"\t- name: a\n",
		"3:1: found character that cannot start any token while scanning for the next "
		"token (indent with spaces, and put a text that begins with a special character in "
		"quotes)\n"},
	{"unbalanced",
		"version: 1\n"
		"mode: 'audit\n",
		"3:1: found unexpected end of stream while scanning a quoted scalar that begins on "
		"line 2\n"},
	{"alias syntax",
		"version: 1\n"
		"mode: *\n",
		"2:8: did not find expected alphabetic or numeric character while scanning an "
		"alias (put a text that begins with * in quotes)\n"},
	{"not UTF-8",
		"version: 1\n"
		"mode: \xff\n",
		"2:7: invalid leading UTF-8 octet\n"},
	{"two documents",
		"version: 1\n"
		"---\n"
		"version: 1\n",
		"2:1: a policy is one YAML document\n"},
	{"unknown alias",
		"version: 1\n"
		"mode: *foo\n",
		"2:7: unknown alias *foo (put a text that begins with * in quotes)\n"},
	{"tag", "version: !!int 1\n",
		"1:10: tags have no meaning here (put a text that begins with ! in quotes)\n"},
	{"unknown key",
		"version: 1\n"
		"moed: audit\n"
		"zzzzzzzz: 1\n",
		"2:1: unknown key \"moed\" (did you mean \"mode\"?)\n"
		"3:1: unknown key \"zzzzzzzz\" (the keys here are version, mode, default, tenant, "
		"budget, oom, syscalls, rules)\n"},
	{"key is no text",
		"version: 1\n"
		"[a]: 1\n"
		"~: 2\n",
		"2:1: expected a key, found a list\n"
		"3:1: expected a key, found nothing\n"},
	{"duplicate key",
		"version: 1\n"
		"mode: audit\n"
		"mode: enforce\n",
		"3:1: the key \"mode\" is already on line 2\n"},
	{"escapes in keys",
		"version: 1\n"
		"\"a\\x1b[2J\": 1\n",
		"2:1: unknown key \"a\\x1b[2J\" (the keys here are version, mode, default, tenant, "
		"budget, oom, syscalls, rules)\n"},
	{"mode",
		"version: 1\n"
		"mode: adit\n",
		"2:7: \"adit\" is not enforce or audit (did you mean \"audit\"?)\n"},
	{"mode type",
		"version: 1\n"
		"mode: {}\n",
		"2:7: expected enforce or audit, found a mapping\n"},
	{"default",
		"version: 1\n"
		"default: kill\n",
		"2:10: \"kill\" is not allow, deny or emulate\n"},
	{"default errno",
		"version: 1\n"
		"default: {action: emulate, errno: EPERM}\n",
		"2:28: the key \"errno\" does not go with action: emulate (it goes with action: "
		"deny)\n"},
	{"default action",
		"version: 1\n"
		"default: {errno: EPREM}\n",
		"2:10: the default has no action\n"
		"2:18: \"EPREM\" is not the name of an errno (did you mean EPERM?)\n"},
	{"default key",
		"version: 1\n"
		"default: {action: deny, erno: EPERM}\n",
		"2:25: unknown key \"erno\" (did you mean \"errno\"?)\n"},
	{"budget type",
		"version: 1\n"
		"budget: 64MiB\n",
		"2:9: expected a mapping, found a text\n"},
	{"budget empty",
		"version: 1\n"
		"budget: {}\n",
		"2:9: this budget has no limit (tenant: {size: 1GiB}, for example)\n"},
	{"budget only errno",
		"version: 1\n"
		"budget: {exceeded: ENOSPC}\n",
		"2:9: this budget has no limit (tenant: {size: 1GiB}, for example)\n"},
	{"budget cgroup empty",
		"version: 1\n"
		"budget: {cgroup: {}}\n",
		"2:18: budget.cgroup needs reserve, max_usage or both\n"},
	{"budget unknown key",
		"version: 1\n"
		"budget: {cgroup: {reserve: 1M}, container: {}}\n",
		"2:33: unknown key \"container\" (the keys here are cgroup, tenant, memfd, "
		"exceeded, "
		"spill, on_overrun, sample)\n"},
	{"sizes",
		"version: 1\n"
		"budget: {cgroup: {reserve: 64XB, max_usage: 90}, exceeded: 12}\n",
		"2:28: \"64XB\" is not a size (such as 64MiB or 1GiB)\n"
		"2:45: \"90\" is not a percentage above 0% and up to 100% (such as 90% or 99.5%)\n"
		"2:60: \"12\" is not the name of an errno (EPERM, for example)\n"},
	{"sizes 2",
		"version: 1\n"
		"budget: {cgroup: {reserve: 99999999999T, max_usage: 100.1%}}\n",
		"2:28: \"99999999999T\" is too large (such as 64MiB or 1GiB)\n"
		"2:53: \"100.1%\" is not a percentage above 0% and up to 100% (such as 90% or "
		"99.5%)\n"},
	{"sizes 3",
		"version: 1\n"
		"budget: {cgroup: {reserve: 0, max_usage: 0%}}\n",
		"2:28: \"0\" is no reserve at all (such as 64MiB or 1GiB)\n"
		"2:42: \"0%\" is not a percentage above 0% and up to 100% (such as 90% or "
		"99.5%)\n"},
	{"rules type",
		"version: 1\n"
		"rules: {}\n",
		"2:8: expected a list of rules (begin each rule with \"- name: ...\")\n"},
	{"rules nothing",
		"version: 1\n"
		"rules:\n",
		"2:7: expected a list of rules (begin each rule with \"- name: ...\")\n"},
	{"rule type",
		"version: 1\n"
		"rules:\n"
		"- a\n",
		"3:3: expected a mapping, found a text\n"},
	{"rule keys missing",
		"version: 1\n"
		"rules:\n"
		"- match: {name: a}\n",
		"3:3: this rule has no name\n"
		"3:3: this rule has no action (action: allow, deny, kill or emulate)\n"},
	{"rule name",
		"version: 1\n"
		"rules:\n"
		"- name: a b\n"
		"  action: deny\n"
		"- name: default\n"
		"  action: kill\n"
		"- name: \"\"\n"
		"  action: kill\n",
		"3:9: the name of a rule has 1 to 63 of the characters A-Z a-z 0-9 . _ -\n"
		"5:9: the name \"default\" is reserved: events use it for what no rule decides\n"
		"7:9: the name of a rule has 1 to 63 of the characters A-Z a-z 0-9 . _ -\n"},
	{"long rule name",
		"version: 1\n"
		"rules:\n"
		"- name: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\n"
		"  action: deny\n",
		"3:9: the name of a rule has 1 to 63 of the characters A-Z a-z 0-9 . _ -\n"},
	{"duplicate names",
		"version: 1\n"
		"rules:\n"
		"- name: a\n"
		"  match: {uid: 1}\n"
		"  action: deny\n"
		"- name: a\n"
		"  match: {uid: 2}\n"
		"  action: kill\n",
		"6:9: the rule on line 3 is already named \"a\"\n"},
	{"action",
		"version: 1\n"
		"rules:\n"
		"- name: a\n"
		"  action: alow\n",
		"4:11: \"alow\" is not allow, deny, kill or emulate (did you mean \"allow\"?)\n"},
	{"keys that do not go with the action",
		"version: 1\n"
		"rules:\n"
		"- name: a\n"
		"  action: kill\n"
		"  errno: EPERM\n"
		"  add_flags: [EXEC]\n"
		"  clear_flags: EXEC\n"
		"  rename: x\n",
		"5:3: the key \"errno\" does not go with action: kill (it goes with action: deny)\n"
		"6:3: the key \"add_flags\" does not go with action: kill (it goes with action: "
		"emulate)\n"
		"7:3: the key \"clear_flags\" does not go with action: kill (it goes with action: "
		"emulate)\n"
		"7:16: this flag is also added\n"
		"8:3: the key \"rename\" does not go with action: kill (it goes with action: "
		"emulate)\n"},
	{"errno",
		"version: 1\n"
		"rules:\n"
		"- name: a\n"
		"  action: deny\n"
		"  errno: EACCESS\n",
		"5:10: \"EACCESS\" is not the name of an errno (did you mean EACCES?)\n"},
	{"flags of emulate",
		"version: 1\n"
		"rules:\n"
		"- name: a\n"
		"  action: emulate\n"
		"  add_flags: [CLOEXECC, HUGE_2MB, HUGE_1GB]\n"
		"  clear_flags: [HUGE_2MB, 0x0]\n",
		"5:15: \"CLOEXECC\" is not a flag of memfd_create(2) (did you mean CLOEXEC?)\n"
		"5:35: this flag excludes another of the list: they are values of one field\n"
		"6:17: this flag is also added\n"
		"6:27: \"0x0\" is not a flag of memfd_create(2) (bits without a name are written "
		"as 0x...)\n"},
	{"rename",
		"version: 1\n"
		"rules:\n"
		"- name: a\n"
		"  action: emulate\n"
		"  rename: "
		"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
		"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
		"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
		"xxxx\n",
		"5:11: a name has at most 249 bytes (memfd_create(2)), this one has 250\n"},
	{"rename NUL",
		"version: 1\n"
		"rules:\n"
		"- name: a\n"
		"  action: emulate\n"
		"  rename: \"a\\0b\"\n",
		"5:11: a NUL byte can stand in no text here\n"},
	{"advisory",
		"version: 1\n"
		"rules:\n"
		"- name: a\n"
		"  match: {name: x}\n"
		"  action: allow\n"
		"  advisory: yes\n",
		"6:13: \"yes\" is not true or false\n"},
	{"advisory without name",
		"version: 1\n"
		"rules:\n"
		"- name: a\n"
		"  match: {uid: 0}\n"
		"  action: allow\n"
		"  advisory: true\n",
		"6:3: advisory has no meaning on a rule that does not look at the name\n"},
	{"match type",
		"version: 1\n"
		"rules:\n"
		"- name: a\n"
		"  match: x\n"
		"  action: deny\n",
		"4:10: expected a mapping, found a text\n"},
	{"match keys",
		"version: 1\n"
		"rules:\n"
		"- name: a\n"
		"  match: {nam: x, flag: {}}\n"
		"  action: deny\n",
		"4:11: unknown key \"nam\" (did you mean \"name\"?)\n"
		"4:19: unknown key \"flag\" (did you mean \"flags\"?)\n"},
	{"pattern types",
		"version: 1\n"
		"rules:\n"
		"- name: a\n"
		"  match: {name: [[a], ~, {}, {glob: a, exact: b}, {prefix: a}, {regex: []}]}\n"
		"  action: deny\n",
		"4:18: expected a pattern, found a list\n"
		"4:23: expected a pattern, found nothing\n"
		"4:26: a pattern has one of the keys exact, glob and regex (write several patterns "
		"as a list)\n"
		"4:30: a pattern has one of the keys exact, glob and regex (write several patterns "
		"as a list)\n"
		"4:52: unknown key \"prefix\" (the keys here are exact, glob, regex)\n"
		"4:72: expected a pattern, found a list\n"},
	{"empty list",
		"version: 1\n"
		"rules:\n"
		"- name: a\n"
		"  match: {name: [], uid: []}\n"
		"  action: deny\n",
		"4:17: an empty list matches nothing\n"
		"4:26: an empty list matches nothing\n"},
	{"globs",
		"version: 1\n"
		"rules:\n"
		"- name: a\n"
		"  match: {name: [\"[a\", \"[z-a]\", \"a\\\\\", \"[[:alfa:]]\"]}\n"
		"  action: deny\n",
		"4:18: bad glob: [ without ] (write \\[ for the character itself)\n"
		"4:24: bad glob: a range in [...] ends before it begins (swap its ends, or write "
		"\\- for the character itself)\n"
		"4:33: bad glob: a backslash at the end quotes nothing (write \\\\ for the "
		"character itself)\n"
		"4:40: bad glob: unknown class in [...] (alpha, digit, alnum, upper, lower, space, "
		"punct, xdigit, print, graph, cntrl, blank)\n"},
	{"regexes",
		"version: 1\n"
		"rules:\n"
		"- name: a\n"
		"  match: {name: [{regex: \"(a\"}, {regex: \"\\\\C\"}, {regex: \"(*UTF)a\"}, "
		"{regex: \"a{2,1}\"}]}\n"
		"  action: deny\n",
		"4:26: bad regex: missing closing parenthesis (at offset 2)\n"
		"4:41: bad regex: using \\C is disabled by the application (at offset 2)\n"
		"4:57: bad regex: using UTF is disabled by the application (at offset 6)\n"
		"4:77: bad regex: numbers out of order in {} quantifier (at offset 5)\n"},
	{"flags type",
		"version: 1\n"
		"rules:\n"
		"- name: a\n"
		"  match: {flags: [EXEC]}\n"
		"  action: deny\n",
		"4:18: flags need to say which: any, all or none of them (flags: {any: [...]})\n"},
	{"flags empty",
		"version: 1\n"
		"rules:\n"
		"- name: a\n"
		"  match: {flags: {}}\n"
		"  action: deny\n",
		"4:18: flags without any, all or none\n"},
	{"flags key",
		"version: 1\n"
		"rules:\n"
		"- name: a\n"
		"  match: {flags: {some: [EXEC]}}\n"
		"  action: deny\n",
		"4:19: unknown key \"some\" (did you mean \"none\"?)\n"},
	{"flag names",
		"version: 1\n"
		"rules:\n"
		"- name: a\n"
		"  match: {flags: {any: [HUGETBL, MFD_CLOEXE, 0xzz, 0x100000000, qqqqqq]}}\n"
		"  action: deny\n",
		"4:25: \"HUGETBL\" is not a flag of memfd_create(2) (did you mean HUGETLB?)\n"
		"4:34: \"MFD_CLOEXE\" is not a flag of memfd_create(2) (did you mean CLOEXEC?)\n"
		"4:46: \"0xzz\" is not a flag of memfd_create(2) (bits without a name are written "
		"as 0x...)\n"
		"4:52: \"0x100000000\" is not a flag of memfd_create(2) (bits without a name are "
		"written as 0x...)\n"
		"4:65: \"qqqqqq\" is not a flag of memfd_create(2) (bits without a name are "
		"written as 0x...)\n"},
	{"contradicting fields",
		"version: 1\n"
		"rules:\n"
		"- name: a\n"
		"  match: {flags: {all: [HUGE_2MB, HUGE_1GB]}}\n"
		"  action: deny\n",
		"4:19: no call has all of these flags: they are values of one field\n"},
	{"can never match",
		"version: 1\n"
		"rules:\n"
		"- name: a\n"
		"  match: {flags: {all: [EXEC], none: [EXEC]}}\n"
		"  action: deny\n",
		"4:3: this rule can never match: its flags contradict each other\n"},
	{"can never match, any",
		"version: 1\n"
		"rules:\n"
		"- name: a\n"
		"  match: {flags: {any: [EXEC, CLOEXEC], none: [EXEC, CLOEXEC]}}\n"
		"  action: deny\n",
		"4:3: this rule can never match: its flags contradict each other\n"},
	{"can never match, field",
		"version: 1\n"
		"rules:\n"
		"- name: a\n"
		"  match: {flags: {any: [HUGE_2MB], none: [HUGE_2MB]}}\n"
		"  action: deny\n",
		"4:3: this rule can never match: its flags contradict each other\n"},
	{"ids",
		"version: 1\n"
		"rules:\n"
		"- name: a\n"
		"  match: {uid: [10-1, no-such-user, 4294967295, -1, \"\", 1-2-3], gid: "
		"no-such-group}\n"
		"  action: deny\n",
		"4:17: this range ends before it begins (1-10)\n"
		"4:23: there is no user \"no-such-user\" (a number always works)\n"
		"4:37: \"4294967295\" is no user id or range of them (from 0 to 4294967294, such "
		"as 1000-60000)\n"
		"4:49: \"-1\" is no user id or range of them (from 0 to 4294967294, such as "
		"1000-60000)\n"
		"4:53: \"\" is no user id or range of them (from 0 to 4294967294, such as "
		"1000-60000)\n"
		"4:57: \"1-2-3\" is no user id or range of them (from 0 to 4294967294, such as "
		"1000-60000)\n"
		"4:70: there is no group \"no-such-group\" (a number always works)\n"},
	{"allow and name",
		"version: 1\n"
		"rules:\n"
		"- name: a\n"
		"  match: {name: x}\n"
		"  action: allow\n",
		"5:11: allow on a rule that looks at the name: the kernel reads the name again, so "
		"a caller can show one name and use another (action: emulate has no such race; or "
		"accept it with advisory: true)\n"},
	{"race with the default",
		"version: 1\n"
		"default: allow\n"
		"rules:\n"
		"- name: a\n"
		"  match: {name: x}\n"
		"  action: deny\n"
		"- name: b\n"
		"  match: {name: y}\n"
		"  action: emulate\n"
		"  advisory: true\n",
		"4:3: this rule looks at the name, but \"default: allow\" lets the kernel read it "
		"again: a caller can show one name and use another (default: emulate has no such "
		"race; or accept it with advisory: true)\n"},
	{"race with a rule",
		"version: 1\n"
		"rules:\n"
		"- name: a\n"
		"  match: {name: x}\n"
		"  action: kill\n"
		"- name: b\n"
		"  match: {uid: 0}\n"
		"  action: allow\n",
		"3:3: this rule looks at the name, but the later rule \"b\" allows, and the kernel "
		"reads it again: a caller can show one name and use another (action: emulate in "
		"that rule has no such race; or accept it with advisory: true)\n"},
	{"race with an advisory rule",
		"version: 1\n"
		"rules:\n"
		"- name: a\n"
		"  match: {name: x}\n"
		"  action: emulate\n"
		"- name: b\n"
		"  match: {name: y}\n"
		"  action: allow\n"
		"  advisory: true\n",
		"3:3: this rule looks at the name, but the later rule \"b\" allows, and the kernel "
		"reads it again: a caller can show one name and use another (action: emulate in "
		"that rule has no such race; or accept it with advisory: true)\n"},
	{"unreachable, everything",
		"version: 1\n"
		"rules:\n"
		"- name: all\n"
		"  action: deny\n"
		"- name: b\n"
		"  match: {name: x}\n"
		"  action: kill\n",
		"5:3: this rule is never reached: rule \"all\" on line 3 matches all that it would "
		"(move it ahead of that rule, or remove it)\n"},
	{"unreachable, name",
		"version: 1\n"
		"rules:\n"
		"- name: g\n"
		"  match: {name: [\"q\", \"wl_*\"]}\n"
		"  action: deny\n"
		"- name: e\n"
		"  match: {name: [\"wl_shm\", {exact: \"wl_*\"}]}\n"
		"  action: kill\n"
		"- name: p\n"
		"  match: {name: \"wl_s*m?\"}\n"
		"  action: kill\n"
		"- name: r\n"
		"  match: {name: {regex: ^wl_x}}\n"
		"  action: kill\n",
		"6:3: this rule is never reached: rule \"g\" on line 3 matches all that it would "
		"(move it ahead of that rule, or remove it)\n"
		"9:3: this rule is never reached: rule \"g\" on line 3 matches all that it would "
		"(move it ahead of that rule, or remove it)\n"
		"12:3: this rule is never reached: rule \"g\" on line 3 matches all that it would "
		"(move it ahead of that rule, or remove it)\n"},
	{"unreachable, regex",
		"version: 1\n"
		"rules:\n"
		"- name: g\n"
		"  match: {name: {regex: \"^a+$\"}}\n"
		"  action: deny\n"
		"- name: e\n"
		"  match: {name: aaa}\n"
		"  action: kill\n"
		"- name: s\n"
		"  match: {name: {regex: \"^a+$\"}, uid: 1}\n"
		"  action: kill\n",
		"6:3: this rule is never reached: rule \"g\" on line 3 matches all that it would "
		"(move it ahead of that rule, or remove it)\n"
		"9:3: this rule is never reached: rule \"g\" on line 3 matches all that it would "
		"(move it ahead of that rule, or remove it)\n"},
	{"unreachable, ids",
		"version: 1\n"
		"rules:\n"
		"- name: u\n"
		"  match: {uid: [1-5, 6-10, 20]}\n"
		"  action: deny\n"
		"- name: v\n"
		"  match: {uid: [2-9, 20], gid: 1}\n"
		"  action: kill\n",
		"6:3: this rule is never reached: rule \"u\" on line 3 matches all that it would "
		"(move it ahead of that rule, or remove it)\n"},
	{"unreachable, flags",
		"version: 1\n"
		"rules:\n"
		"- name: u\n"
		"  match: {flags: {any: [EXEC, HUGETLB]}}\n"
		"  action: deny\n"
		"- name: v\n"
		"  match: {flags: {all: [EXEC, CLOEXEC], none: [ALLOW_SEALING]}}\n"
		"  action: kill\n"
		"- name: w\n"
		"  match: {flags: {any: [HUGETLB], none: [HUGE_2MB]}}\n"
		"  action: kill\n",
		"6:3: this rule is never reached: rule \"u\" on line 3 matches all that it would "
		"(move it ahead of that rule, or remove it)\n"
		"9:3: this rule is never reached: rule \"u\" on line 3 matches all that it would "
		"(move it ahead of that rule, or remove it)\n"},
	{"unreachable, none",
		"version: 1\n"
		"rules:\n"
		"- name: u\n"
		"  match: {flags: {none: [HUGE_2MB]}}\n"
		"  action: deny\n"
		"- name: v\n"
		"  match: {flags: {all: [HUGE_1GB]}}\n"
		"  action: kill\n",
		"6:3: this rule is never reached: rule \"u\" on line 3 matches all that it would "
		"(move it ahead of that rule, or remove it)\n"},
	{"unreachable, text of others",
		"version: 1\n"
		"rules:\n"
		"- name: u\n"
		"  match: {exe: \"/usr/*\", comm: [\"a*\", \"b\"], cgroup: \"/x\"}\n"
		"  action: deny\n"
		"- name: v\n"
		"  match: {exe: [/usr/a, \"/usr/*/b\"], comm: [b, \"ab?\"], cgroup: /x, uid: 3}\n"
		"  action: kill\n",
		"6:3: this rule is never reached: rule \"u\" on line 3 matches all that it would "
		"(move it ahead of that rule, or remove it)\n"},
};
