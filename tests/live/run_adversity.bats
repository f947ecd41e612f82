#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# `fdwarden run` where it is started under bad conditions, or somebody interferes. No case may hang:
# each runs under timeout(1) with SIGKILL, whose 137 no case expects.
# Environment: BUILD_ROOT.

bats_require_minimum_version 1.5.0

setup() {
	FDWARDEN="$BUILD_ROOT/supervisor/cli/fdwarden"
	export FDWARDEN
}

bounded() {
	timeout -s KILL 60 "$@"
}

# Waits for a state of the process (the letter of /proc/PID/stat).
await_state() {
	for _ in $(seq 200); do
		[ "$(cut -d' ' -f3 "/proc/$1/stat")" = "$2" ] && return 0
		sleep 0.05
	done
	return 1
}

first_child() {
	for _ in $(seq 200); do
		# The file has no newline at its end, which read calls a failure.
		read -r child _ <"/proc/$1/task/$1/children" || true
		[ -n "$child" ] && break
		sleep 0.05
	done
	echo "$child"
}

@test "a command that is not there is 127, with stderr closed as well" {
	run -127 bounded sh -c 'exec "$FDWARDEN" run -- /nonexistent 2>&-'
}

@test "no file may be written at all: RLIMIT_FSIZE 0" {
	# ThreadSanitizer's own runtime gives a file its size.
	[ -z "${FDWARDEN_SANITIZED:-}" ] || return 0
	run -0 bounded sh -c 'ulimit -c 0; ulimit -f 0; exec "$FDWARDEN" run -- true'
}

@test "a stack limit larger than memory" {
	# AddressSanitizer maps the whole main stack.
	run -0 bounded sh -c 'ulimit -s 100000000 || exit 0; exec "$FDWARDEN" run -e stderr -- true'
	[[ "$output" != *"cannot supervise"* ]]
}

@test "too few descriptors: no start without a word, and no hang either" {
	for number in $(seq 4 12); do
		status=0
		output=$(bounded bash -c "ulimit -n $number"'; exec "$FDWARDEN" run -e stderr -- true' \
			2>&1 3>&- 4>&- 5>&- 6>&-) || status=$?
		[ "$status" != 137 ]
		[ "$status" = 0 ] || [ -n "$output" ]
	done
}

@test "an alarm from before the start reaches the command" {
	run -142 bounded perl -e 'alarm 1; exec @ARGV' "$FDWARDEN" run -- sleep 50
}

@test "events to where nothing can be written are refused" {
	run -2 bounded sh -c 'exec "$FDWARDEN" run -e - -- true >&-'
	run -2 bounded sh -c 'exec "$FDWARDEN" run -e fd:7 -- true 7</dev/null'
}

@test "children from before the start do not keep a front whose supervisor failed" {
	[ "$(id -u)" = 0 ] || {
		[ "${FDWARDEN_MUST_RUN-}" != 1 ]
		skip "needs root"
	}
	# Of this user one process, its child and a supervisor, but no command. Files come open, as
	# it need not have the right to the folders.
	run -125 bounded setpriv --reuid $((100000 + $$)) --clear-groups bash -c 'ulimit -u 3
		sleep 300 >/dev/null 2>&1 3>&- 4>&- 5>&- & echo $! >&4
		exec /proc/self/fd/5 run -- true' 4>"$BATS_TEST_TMPDIR/pid" 5<"$FDWARDEN"
	kill "$(cat "$BATS_TEST_TMPDIR/pid")"
}

@test "a command that is killed while it is stopped takes the front along" {
	# In a group of its own, and not in a session of its own: the kernel continues, with a SIGHUP,
	# a stopped group that nobody else in its session looks after.
	set -m
	"$FDWARDEN" run -- sleep 300 3>&- &
	front=$!
	set +m
	supervisor=$(first_child $front)
	command=$(first_child "$supervisor")
	await_state "$command" S
	kill -STOP "$command"
	await_state $front T
	kill -KILL "$command"
	run -0 bounded tail --pid=$front -f /dev/null
	wait $front && status=0 || status=$?
	[ "$status" = 137 ]
}
