#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# `fdwarden coverage`: what it prints, and what it returns. What it claims is tried by
# tests/live/coverage.bats.
# Environment: FDWARDEN, SOURCE_ROOT.

# shellcheck disable=SC2154 # stderr is set by run --separate-stderr
bats_require_minimum_version 1.5.0

setup() {
	cd "$BATS_TEST_TMPDIR" || return
}

# state ROW [POLICY]: of that row, in the JSON document.
state() {
	"$FDWARDEN" coverage --json "${@:2}" | python3 -c '
import json, sys
print(*[row["state"] for row in json.load(sys.stdin)["rows"] if row["id"] == sys.argv[1]])' "$1"
}

@test "every ready policy is printed, in at most 100 columns, without colour" {
	for policy in "$SOURCE_ROOT"/policies/*.yaml; do
		run --separate-stderr -0 "$FDWARDEN" coverage "$policy"
		[ -z "$stderr" ]
		[[ $output != *$'\033'* ]]
		[ -z "$(awk 'length > 100' <<<"$output")" ]
		[[ $output == *second-listener* ]]
	done
}

@test "without a policy it is about the built-in one" {
	run -0 "$FDWARDEN" coverage
	[[ $output == "Policy: the built-in one, mode enforce"* ]]
	[ "$(state page-fault)" = open ]
}

@test "--json is one document, with the same rows as the table" {
	policy=$SOURCE_ROOT/policies/default.yaml
	"$FDWARDEN" coverage --json "$policy" >document
	"$FDWARDEN" coverage "$policy" >table
	python3 - "$policy" <<'END'
import json, re, sys

document = json.load(open("document"))
assert document["version"] == 1 and document["policy"] == sys.argv[1], document
assert document["mode"] == "enforce" and document["release"]
assert all(type(value) is bool for value in document["machine"].values())
assert set(document["machine"]) >= {"handles", "tmpfs", "io_uring", "root"}
rows = [(row["state"], row["id"]) for row in document["rows"]]
assert len(rows) > 30 and len(dict(rows)) <= 4
assert all(row["path"] and row["by"] for row in document["rows"])
table = re.findall(r"^(closed|bounded|sampled|open) +(\S+)", open("table").read(), re.M)
assert rows == table, (rows, table)
END
}

@test "for every row there is an attempt" {
	for row in $("$FDWARDEN" coverage | awk '/^(closed|bounded|sampled|open) / {print $2}'); do
		grep -qF "{\"$row\", " "$SOURCE_ROOT"/tests/programs/escape_*.c
	done
}

@test "a policy from stdin; limits close rows" {
	run -0 "$FDWARDEN" coverage - <<<'{version: 1, budget: {tenant: {memfds: 4}}}'
	[[ $output == "Policy: -,"* ]]
	[ "$(state count - <<<'{version: 1, budget: {tenant: {memfds: 4}}}')" = closed ]
	[ "$(state ftruncate - <<<'{version: 1, budget: {tenant: {memfds: 4}}}')" = open ]
	[ "$(state ftruncate - <<<'{version: 1, budget: {tenant: {size: 4MiB}}}')" = closed ]
}

@test "a wrong policy, and one that is not there" {
	run --separate-stderr -2 "$FDWARDEN" coverage - <<<'version: one'
	[ -z "$output" ]
	[[ $stderr == *'-:1:10: error: '* ]]
	run --separate-stderr -2 "$FDWARDEN" coverage missing.yaml
	[[ $stderr == *missing.yaml* ]]
}

@test "--require: the status tells whether one of the rows is open" {
	echo '{version: 1, budget: {tenant: {memfds: 4}}}' >policy.yaml
	run -0 "$FDWARDEN" coverage --require count,second-listener policy.yaml
	[[ $output == *second-listener* ]]
	run -1 "$FDWARDEN" coverage --require count,ftruncate policy.yaml
	[[ $output == *second-listener* ]]
	run -1 "$FDWARDEN" coverage -r ftruncate --json policy.yaml
	run -1 "$FDWARDEN" coverage --require all policy.yaml
	run --separate-stderr -2 "$FDWARDEN" coverage --require count,ftruncat policy.yaml
	[ -z "$output" ]
	[[ $stderr == *"'ftruncat'"*ftruncate* ]]
	run -2 "$FDWARDEN" coverage --require count, policy.yaml
}

@test "what cannot be written is a failure" {
	run -125 bash -c '"$FDWARDEN" coverage >/dev/full'
	run -125 bash -c '"$FDWARDEN" coverage --json >/dev/full'
}

@test "control bytes in the name of a policy do not reach the terminal" {
	name=$'\e[31mred.yaml'
	echo 'version: 1' >"$name"
	run -0 "$FDWARDEN" coverage "$name"
	[[ $output != *$'\033'* ]]
	run -0 "$FDWARDEN" coverage --json "$name"
	[[ $output != *$'\033'* ]]
}

# as_user COMMAND...: by an ordinary user.
as_user() {
	setpriv --reuid=65534 --regid=65534 --clear-groups --no-new-privs "$@"
}

@test "the privilege that it is asked with counts" {
	if [ "$(id -u)" -ne 0 ]; then
		[ "${FDWARDEN_MUST_RUN-}" != 1 ]
		skip "needs root"
	fi
	cp "$FDWARDEN" fdwarden
	chmod 755 . fdwarden
	[ "$(state ptrace)" = open ]
	run -0 as_user ./fdwarden coverage
	[[ $output =~ closed\ +ptrace ]]
	[[ $output == *Without:*CAP_SYS_PTRACE* ]]
}
