#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# `fdwarden check`: what it prints, and what it returns.
# Environment: FDWARDEN, SOURCE_ROOT.

# shellcheck disable=SC2154 # stderr is set by run --separate-stderr
bats_require_minimum_version 1.5.0

setup() {
	cd "$SOURCE_ROOT/tests/cli" || return
}

@test "the ready policies are correct" {
	run -0 "$FDWARDEN" check "$SOURCE_ROOT"/policies/*.yaml
}

@test "mistakes are printed as recorded, all of them in one run" {
	run --separate-stderr -2 "$FDWARDEN" check check-mistakes.yaml
	diff -u check-mistakes.golden <(printf '%s\n' "$output" "$stderr" | sed '/^$/d')
}

@test "--json prints one document with all of them" {
	run --separate-stderr -2 "$FDWARDEN" check --json check-mistakes.yaml
	python3 -c '
import json, sys
[checked] = json.load(sys.stdin)["files"]
found = checked["diagnostics"]
assert checked["file"] == "check-mistakes.yaml" and not checked["ok"]
assert len(found) == int(sys.argv[1]), found
for mistake in found:
    assert mistake["line"] > 0 and mistake["column"] > 0 and mistake["message"]
' "$(grep -c ': error: ' check-mistakes.golden)" <<<"$output"
}

@test "--quiet prints mistakes only" {
	run -0 "$FDWARDEN" check "$SOURCE_ROOT/policies/default.yaml"
	[ "$output" = "$SOURCE_ROOT/policies/default.yaml: ok, 0 rules" ]
	run -0 "$FDWARDEN" check --quiet "$SOURCE_ROOT/policies/default.yaml"
	[ -z "$output" ]
	run -2 "$FDWARDEN" check --quiet check-mistakes.yaml
	[ -n "$output" ]
}

@test "stdin is a file, and one bad file among good ones is a failure" {
	run -0 "$FDWARDEN" check - <<<'version: 1'
	run -2 "$FDWARDEN" check - <<<'version: one'
	run -2 "$FDWARDEN" check "$SOURCE_ROOT/policies/default.yaml" check-mistakes.yaml
	run -2 "$FDWARDEN" check "$SOURCE_ROOT/policies/default.yaml" missing.yaml
}

@test "control bytes in a policy do not reach the terminal" {
	run -2 "$FDWARDEN" check - <<<$'version: 1\n"\\e[31mred": 1'
	[[ $output != *$'\033'* ]]
}
