#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# What fdwarden prints and returns for each way to call it.
# Environment: FDWARDEN, the program; VERSION, what it should say of itself.

# shellcheck disable=SC2154 # stderr is set by run --separate-stderr
bats_require_minimum_version 1.5.0

setup() {
	cd "$BATS_TEST_TMPDIR" || return
}

# Wrong usage: status 2, one message on stderr that names the mistake, nothing on stdout.
refuses() {
	mistake=$1
	shift
	run --separate-stderr -2 "$FDWARDEN" "$@"
	[ -z "$output" ]
	[[ $stderr == *"$mistake"* ]]
}

@test "--version" {
	run -0 "$FDWARDEN" --version
	[ "$output" = "fdwarden $VERSION" ]
}

@test "help is the same by each name, fits 80 columns and goes to stdout" {
	run --separate-stderr -0 "$FDWARDEN" --help
	[[ $output == *run* && $output == *check* ]]
	[ -z "$stderr" ]
	general=$output
	run -0 "$FDWARDEN" help
	[ "$output" = "$general" ]
	for command in run check coverage; do
		run --separate-stderr -0 "$FDWARDEN" "$command" --help
		[ -z "$stderr" ]
		text=$output
		run -0 "$FDWARDEN" help "$command"
		[ "$output" = "$text" ]
		[ "$(awk 'length > 80' <<<"$text")" = "" ]
	done
}

@test "help run names each option" {
	run -0 "$FDWARDEN" help run
	for option in policy events format summary memory mode tenant; do
		[[ $output == *--$option* ]]
	done
}

@test "no argument, no command, no file" {
	run -2 "$FDWARDEN"
	run -2 "$FDWARDEN" run
	run -2 "$FDWARDEN" run --
	run -2 "$FDWARDEN" check
	run -2 "$FDWARDEN" coverage one.yaml two.yaml
}

@test "an unknown sub-command or option is named, and the nearest one suggested" {
	refuses chekc chekc policy.yaml
	[[ $stderr == *check* ]]
	refuses --polcy run --polcy x true
	[[ $stderr == *--policy* ]]
	refuses --jsn check --jsn x
	[[ $stderr == *--json* ]]
	refuses --rqeuire coverage --rqeuire write
	[[ $stderr == *--require* ]]
	refuses -z run -z true
}

@test "bad values of options" {
	refuses yaml run --format yaml true
	refuses lenient run --mode lenient true
	refuses 12parsecs run --memory 12parsecs true
	refuses fd:x run --events fd:x true
	refuses --policy run --policy
}

@test "options of the command are the command's" {
	run -0 "$FDWARDEN" run sh -c 'echo "$0 $1"' --help --version
	[ "$output" = "--help --version" ]
	run -0 "$FDWARDEN" run -- echo --policy
	[ "$output" = --policy ]
}

@test "exit status is the command's, as a shell gives it" {
	run -0 "$FDWARDEN" run true
	run -1 "$FDWARDEN" run false
	run -42 "$FDWARDEN" run sh -c 'exit 42'
	run -143 "$FDWARDEN" run sh -c 'kill -TERM $$'
	run -137 "$FDWARDEN" run sh -c 'kill -KILL $$'
	run -127 "$FDWARDEN" run ./missing
	# A folder of PATH that a user may not read would make it 126, as it does for env(1).
	run -127 env PATH=/usr/bin:/bin "$FDWARDEN" run no-such-command-anywhere
	: >plain
	run -126 "$FDWARDEN" run ./plain
}

@test "a missing or wrong policy starts nothing" {
	run --separate-stderr "$FDWARDEN" run -p missing.yaml touch started
	[ "$status" -eq 2 ]
	[[ $stderr == *missing.yaml* ]]
	echo 'version: 2' >wrong.yaml
	run --separate-stderr -2 "$FDWARDEN" run -p wrong.yaml touch started
	[[ $stderr == *wrong.yaml:1:* ]]
	[ ! -e started ]
}

@test "nothing is printed without --events and --summary" {
	run --separate-stderr -0 "$FDWARDEN" run python3 -c 'import os; os.memfd_create("x")'
	[ -z "$output$stderr" ]
}

@test "standard streams are the command's" {
	run --separate-stderr -0 "$FDWARDEN" run sh -c 'cat; echo error >&2' <<<"input"
	[ "$output" = input ]
	[ "$stderr" = error ]
}

@test "a policy from stdin" {
	run -0 "$FDWARDEN" run -p - python3 -c '
import errno, os
try:
    os.memfd_create("x")
except OSError as error:
    print(errno.errorcode[error.errno])' <<<'{version: 1, default: {action: deny, errno: EXDEV}}'
	[ "$output" = EXDEV ]
}

@test "--mode audit refuses nothing" {
	echo '{version: 1, default: deny}' >deny.yaml
	run -0 "$FDWARDEN" run -p deny.yaml --mode audit -e events \
		python3 -c 'import os; os.memfd_create("x")'
	grep -q '"decision":"deny"' events
	grep -q '"mode":"audit"' events
}

@test "events: stdout, stderr, a descriptor, a file that is appended and private" {
	script='import os; os.memfd_create("x")'
	run --separate-stderr -0 "$FDWARDEN" run -e - python3 -c "$script"
	[[ $output == '{'*'"name":"x"'*'}' ]]
	[ -z "$stderr" ]
	run --separate-stderr -0 "$FDWARDEN" run -e stderr python3 -c "$script"
	[[ $stderr == '{'*'"name":"x"'*'}' ]]
	[ -z "$output" ]
	"$FDWARDEN" run -e fd:5 python3 -c "$script" 5>five
	[ "$(wc -l <five)" -eq 1 ]
	(umask 0 && "$FDWARDEN" run -e file python3 -c "$script")
	"$FDWARDEN" run -e file -t other python3 -c "$script"
	[ "$(wc -l <file)" -eq 2 ]
	[ "$(stat -c %a file)" = 600 ]
	grep -q '"tenant":"run"' file
	grep -q '"tenant":"other"' file
}

@test "the summary goes to stderr, without colour off a terminal" {
	run --separate-stderr -0 "$FDWARDEN" run -s python3 -c 'import os; os.memfd_create("x")'
	[ -z "$output" ]
	[[ $stderr == *x* && $stderr != *$'\033'* ]]
}
