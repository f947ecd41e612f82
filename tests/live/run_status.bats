# SPDX-License-Identifier: Apache-2.0
# `fdwarden run` seen by whoever starts it: status, signals, pipes, descriptors, events.

# Scripts for an inner shell stand in single quotes; bats runs each test in a subshell.
# shellcheck disable=SC2016,SC2030,SC2031
load common

# status_is WANTED COMMAND...
status_is() {
	local wanted=$1
	shift
	run "$@"
	echo "$status instead of $wanted: $output"
	[ "$status" -eq "$wanted" ]
}

fdwarden() {
	"$SHARED/fdwarden" "$@"
}

@test "the command's own exit status" {
	for wanted in 0 1 2 42 125 126 127 255; do
		status_is "$wanted" supervise sh -c "exit $wanted"
		[ -z "$output" ]
	done
}

@test "128 and the signal that ended the command" {
	for signal in HUP INT QUIT KILL TERM SEGV USR1 ABRT; do
		status_is $((128 + $(kill -l "$signal"))) supervise sh -c "ulimit -c 0; kill -$signal \$\$"
	done
}

@test "126 for what cannot be executed, 127 for what is not there" {
	touch plain
	status_is 126 supervise ./plain
	[ -n "$output" ]
	status_is 126 supervise /
	status_is 127 supervise ./absent
	status_is 127 supervise no-such-command-anywhere
	[ -n "$output" ]
}

@test "a script without an interpreter line runs as from a shell or is refused as not executable" {
	printf 'exit 3\n' >script
	chmod +x script
	run supervise ./script
	[ "$status" -eq 126 ] || [ "$status" -eq 3 ]
}

@test "2 for wrong usage and a wrong policy" {
	status_is 2 fdwarden run
	status_is 2 fdwarden run --no-such-option -- true
	status_is 2 fdwarden run --policy ./absent.yaml -- true
	printf 'version: 1\nrules: [{name: x, acton: deny}]\n' >wrong.yaml
	status_is 2 fdwarden run --policy wrong.yaml -- true
	[[ $output == *wrong.yaml:2:* ]]
}

@test "125 under a filter that has a listener already, and says why" {
	status_is 125 supervise "$SHARED/fdwarden" run -- true
	[[ $output == *listener* ]]
}

@test "the command keeps its arguments, environment and directory" {
	mkdir -p "a b"
	cd "a b"
	A_VARIABLE="x  y" supervise sh -c 'printf "%s|" "$PWD" "$A_VARIABLE" "$@"' sh "" "two words" -- -p \
		>got
	printf '%s|' "$PWD" "x  y" "" "two words" -- -p >wanted
	cmp got wanted
}

@test "nothing is printed that was not asked for" {
	run supervise "$SHARED/tenant" calls 3
	[ "$output" = "ok 3" ]
	"$SHARED/fdwarden" run -- "$SHARED/tenant" calls 3 >out 2>err
	[ "$(cat out)" = "ok 3" ]
	[ ! -s err ]
}

@test "a signal reaches the command once" {
	cat >trap.sh <<'END'
for s in HUP INT TERM USR1 USR2 WINCH; do
	trap "echo $s" "$s"
done
trap 'echo QUIT; exit 5' QUIT
echo ready
while :; do sleep 0.02; done
END
	exec_supervise bash trap.sh >out &
	local front=$!
	CHILDREN+=("$front")
	wait_until grep -q ready out
	for signal in HUP TERM USR1 USR2 WINCH; do
		kill -s "$signal" "$front"
		wait_until grep -qx "$signal" out
	done
	kill -QUIT "$front"
	local status=0
	wait "$front" || status=$?
	[ "$status" -eq 5 ]
	printf '%s\n' HUP QUIT TERM USR1 USR2 WINCH ready >wanted
	sort out | cmp - wanted
	wait_until fdwarden_is_gone
}

@test "a pipe ends when the command closes it, not when run ends" {
	# cat sees the end of the pipe although the command, and so run, goes on
	{ exec_supervise sh -c 'echo text; exec >&- 2>&-; exec sleep 30' & echo $! >front; } | timeout 10 cat >out
	[ "$(cat out)" = text ]
	kill -TERM "$(cat front)"
}

@test "input comes through, its end too, and SIGPIPE kills the command as ever" {
	[ "$(printf 'a\nb\n' | supervise wc -l)" -eq 2 ]
	supervise cat </dev/null
	{ supervise yes || echo $? >status; } | head -n 1 >/dev/null
	[ "$(cat status)" -eq 141 ]
	# what the command did not read is left for the next reader
	printf 'one\ntwo\n' >input
	{
		supervise sh -c 'read -r line && echo "$line"'
		cat
	} <input >out
	[ "$(cat out)" = "$(cat input)" ]
}

@test "the command has the descriptors it would have without run" {
	"$SHARED/tenant" descriptors 7</dev/null >native
	supervise "$SHARED/tenant" descriptors 7</dev/null >supervised
	diff -u native supervised
	"$SHARED/tenant" descriptors <&- >native
	supervise "$SHARED/tenant" descriptors <&- >supervised
	diff -u native supervised
	"$SHARED/fdwarden" run --events "$WORK/events" --summary -- "$SHARED/tenant" descriptors 2>/dev/null \
		>supervised
	"$SHARED/tenant" descriptors 2>/dev/null >native
	diff -u native supervised
}

@test "the command has the signals it would have without run" {
	native=$(grep -E '^(SigBlk|SigIgn|SigCgt):' /proc/self/status)
	[ "$(supervise grep -E '^(SigBlk|SigIgn|SigCgt):' /proc/self/status)" = "$native" ]
	native=$(env --ignore-signal=HUP --block-signal=USR1 grep -E '^(SigBlk|SigIgn):' /proc/self/status)
	[ "$(env --ignore-signal=HUP --block-signal=USR1 "$SHARED/fdwarden" run -- \
		grep -E '^(SigBlk|SigIgn):' /proc/self/status)" = "$native" ]
}

@test "limits, niceness, groups and oom score are the caller's" {
	look() {
		cat /proc/self/limits /proc/self/oom_score_adj
		id
		nice
		umask
	}
	look >native
	supervise bash -c "$(declare -f look); look" >supervised
	diff -u native supervised
}

# event_lines FILE: every line is a JSON object, as many as $2 says.
event_lines() {
	python3 -c '
import json, sys
events = [json.loads(line) for line in open(sys.argv[1])]
assert len(events) == int(sys.argv[2]), len(events)
for event in events:
    assert event["name"] == "event", event
    assert event["decision"] == "emulate", event
' "$1" "$2"
}

@test "events go to stdout, stderr, a descriptor or a file" {
	run_events() {
		fdwarden run --events "$1" -- sh -c '"$@" >/dev/null' sh "$SHARED/tenant" calls 5 event
	}
	run_events - >out 2>err
	event_lines out 5
	[ ! -s err ]
	run_events stderr 2>err >out
	event_lines err 5
	[ ! -s out ]
	run_events fd:9 9>nine
	event_lines nine 5
	run_events "$WORK/file"
	run_events "$WORK/file"
	event_lines file 10
	[ "$(stat -c %a file)" = 600 ]
}

@test "a summary counts by name and decision" {
	fdwarden run --summary -- "$SHARED/tenant" calls 5 counted 2>err
	grep -E 'counted.*5' err
	grep -E 'emulate' err
}

@test "a policy from stdin leaves the command its own end of file" {
	printf 'version: 1\ndefault: {action: deny, errno: EACCES}\n' |
		fdwarden run --policy - -- "$SHARED/tenant" calls 2 >out
	[ "$(cat out)" = "EACCES 2" ]
}

@test "audit mode lets pass and reports" {
	fdwarden run --policy "$SHARED/deny.yaml" --mode audit --events "$WORK/events" -- \
		"$SHARED/tenant" calls 4 >out
	[ "$(cat out)" = "ok 4" ]
	[ "$(grep -c '"decision": *"deny"' events)" -eq 4 ]
}

@test "--memory puts the command into a group of its own and removes it" {
	require_root
	run fdwarden run --memory 64M -- cat /proc/self/cgroup
	if [ "$status" -eq 125 ]; then missing "no memory cgroup: $output"; fi
	[ "$status" -eq 0 ]
	cat /proc/self/cgroup >native
	[ "$(cat native)" != "$output" ]
	local group
	group=$(diff native - <<<"$output" | sed -n 's/^> [0-9]*:[^:]*:\(.*\)$/\1/p' | head -n 1)
	[ -n "$group" ]
	[ -z "$(find /sys/fs/cgroup -maxdepth 8 -type d -path "*$group" 2>/dev/null)" ]
}
