# SPDX-License-Identifier: Apache-2.0
# `fdwarden run` in the places where people put it, and what people put inside it.

# Scripts for an inner shell stand in single quotes; bats runs each test in a subshell.
# shellcheck disable=SC2016,SC2030,SC2031
load common

# zombies_of PID
zombies_of() {
	pgrep --parent "$1" --runstates Z --count || true
}

@test "as PID 1 of a PID namespace: status, orphans, signals" {
	require unshare --pid --fork --mount-proc true
	run unshare --pid --fork --mount-proc "$SHARED/fdwarden" run -- "$SHARED/tenant" calls 5
	[ "$output" = "ok 5" ]
	run unshare --pid --fork --mount-proc "$SHARED/fdwarden" run -- sh -c 'exit 9'
	[ "$status" -eq 9 ]
	cat >orphans.sh <<'END'
for i in $(seq 30); do
	(sh -c 'sleep 0.05' &)
done
sleep 0.2
for i in $(seq 100); do
	grep -sl '^State:.Z' /proc/[0-9]*/status || exit 0
	sleep 0.05
done
exit 1
END
	unshare --pid --fork --mount-proc "$SHARED/fdwarden" run -- sh orphans.sh
}

@test "as PID 1, a signal from outside reaches the command" {
	require unshare --pid --fork --mount-proc true
	unshare --pid --fork --mount-proc "$SHARED/fdwarden" run --tenant "$TENANT_NAME" -- \
		sh -c 'trap "exit 23" TERM; echo ready; while :; do sleep 0.05; done' >out &
	local outer=$!
	CHILDREN+=("$outer")
	wait_until grep -q ready out
	# the namespace's init is unshare's child
	kill -TERM "$(pgrep -P "$outer")"
	local status=0
	wait "$outer" || status=$?
	[ "$status" -eq 23 ]
}

@test "as PID 1, the end of the command is the end of all" {
	require unshare --pid --fork --mount-proc true
	timeout 20 unshare --pid --fork --mount-proc "$SHARED/fdwarden" run -- \
		sh -c 'setsid sleep 600 & exit 4' || status=$?
	[ "$status" -eq 4 ]
}

@test "orphans do not stay as zombies outside of a PID namespace either" {
	exec_supervise sh -c '(sleep 0.1 &); (sleep 0.1 &); sleep 0.5; echo ready; exec sleep 30' >out &
	local front=$!
	CHILDREN+=("$front")
	wait_until grep -q ready out
	[ "$(zombies_of "$front")" -eq 0 ]
	kill -TERM "$front"
}

@test "a daemon left behind is still served after run has returned" {
	supervise sh -c 'setsid sh -c "while [ ! -e go ]; do sleep 0.02; done; \"$1\" calls 50 >result.new; mv result.new result" \
		sh "$1" >/dev/null 2>&1 </dev/null &' sh "$SHARED/tenant"
	touch go
	wait_until test -e result
	[ "$(cat result)" = "ok 50" ]
	wait_until fdwarden_is_gone
}

@test "children that change their ids own their files" {
	require_root
	[ "$(supervise "$SHARED/tenant" become 65534)" = "65534:65534" ]
	[ "$(supervise "$SHARED/tenant" become 4711)" = "4711:4711" ]
	[ "$(supervise setpriv --reuid=7 --regid=8 --clear-groups "$SHARED/tenant" calls 5)" = "ok 5" ]
}

@test "no_new_privs is set for an ordinary user and only then" {
	require_root
	[ "$(supervise sed -n 's/^NoNewPrivs:\t//p' /proc/self/status)" = 0 ]
	[ "$(as_nobody "$SHARED/fdwarden" run -- sed -n 's/^NoNewPrivs:\t//p' /proc/self/status)" = 1 ]
}

@test "a set-user-id program does not gain privilege under an ordinary user's run" {
	require_root
	cp "$SHARED/tenant" "$SHARED/suid"
	chmod 4755 "$SHARED/suid"
	[ "$(as_nobody "$SHARED/fdwarden" run -- "$SHARED/suid" calls 3)" = "ok 3" ]
	run as_nobody "$SHARED/fdwarden" run -- "$SHARED/suid" become 0
	[ "$status" -ne 0 ]
}

# Neither its memory nor its descriptors can be looked at by an ordinary user's supervisor. What no
# rule has to judge by name is the kernel's to do; what one has to is denied.
@test "a program that is not dumpable, under an ordinary user's run" {
	require_root
	local not_dumpable='import ctypes, os
ctypes.CDLL(None).prctl(4, 0, 0, 0, 0)
fd = os.memfd_create("hidden")
ctypes.CDLL(None).prctl(4, 1, 0, 0, 0)
print(os.readlink(f"/proc/self/fd/{fd}"))'

	as_nobody "$SHARED/fdwarden" run --events fd:9 -- /usr/bin/python3 -c "$not_dumpable" \
		>out 9>events
	[ "$(cat out)" = "/memfd:hidden (deleted)" ]
	grep -q '"name":null.*"decision":"allow".*left to the kernel' events
	printf '%s\n' 'version: 1' 'rules:' '- {name: secret, match: {name: secret}, action: deny}' \
		>by-name.yaml
	run as_nobody "$SHARED/fdwarden" run -p - -- /usr/bin/python3 -c "$not_dumpable" <by-name.yaml
	[ "$status" -eq 1 ]
	[[ "$output" == *"Operation not permitted"* ]]
	printf '%s\n' 'version: 1' 'rules:' \
		'- {name: sealed, action: emulate, add_flags: [ALLOW_SEALING]}' >changed.yaml
	run as_nobody "$SHARED/fdwarden" run -p - -- /usr/bin/python3 -c "$not_dumpable" <changed.yaml
	[ "$status" -eq 1 ]
}

@test "a set-user-id program works under root's run" {
	require_root
	cp "$SHARED/tenant" "$SHARED/suid"
	chown 65534 "$SHARED/suid"
	chmod 4755 "$SHARED/suid"
	[ "$(supervise "$SHARED/suid" calls 3)" = "ok 3" ]
}

@test "in a chroot with nothing but a static program" {
	require_root
	mkdir root
	cp "$SHARED/tenant" root/
	[ "$(supervise chroot root /tenant calls 20)" = "ok 20" ]
	[ "$(supervise chroot --userspec=65534:65534 root /tenant calls 20)" = "ok 20" ]
}

@test "without /proc it says so, and nothing is left waiting" {
	# A sanitizer's runtime needs /proc for itself.
	[ -z "${FDWARDEN_SANITIZED:-}" ] || return 0
	require_root
	require unshare --mount true
	run timeout 20 unshare --mount sh -c 'umount -l /proc && exec "$@"' sh "$SHARED/fdwarden" run \
		-- "$SHARED/tenant" calls 5
	[ "$status" -eq 125 ]
	[[ $output == *proc* ]]
}

@test "a tenant inside namespaces of all kinds" {
	require unshare --user --map-root-user --pid --fork --mount-proc --net --ipc --uts --cgroup true
	[ "$(supervise unshare --user --map-root-user --pid --fork --mount-proc --net --ipc --uts \
		--cgroup "$SHARED/tenant" threads 4 50)" = "ok 200" ]
}

@test "bubblewrap inside run, and run inside bubblewrap" {
	if ! command -v bwrap >/dev/null; then missing "no bwrap"; fi
	require bwrap --dev-bind / / true
	[ "$(supervise bwrap --dev-bind / / --unshare-pid --unshare-user "$SHARED/tenant" calls 5)" = "ok 5" ]
	[ "$(bwrap --dev-bind / / --unshare-pid --proc /proc "$SHARED/fdwarden" run -- "$SHARED/tenant" \
		calls 5)" = "ok 5" ]
}

@test "strace inside" {
	if ! command -v strace >/dev/null; then missing "no strace"; fi
	supervise strace -f -o trace -e trace=memfd_create "$SHARED/tenant" threads 4 25 >out
	[ "$(cat out)" = "ok 100" ]
	[ "$(grep -cE 'memfd_create(\("tenant", MFD_CLOEXEC\)| resumed>\)) *= [0-9]' trace)" -eq 100 ]
}

@test "strace outside" {
	if ! command -v strace >/dev/null; then missing "no strace"; fi
	# LeakSanitizer is a tracer itself.
	ASAN_OPTIONS=detect_leaks=0 strace -f -o trace "$SHARED/fdwarden" run -- "$SHARED/tenant" calls 100 >out
	[ "$(cat out)" = "ok 100" ]
}

@test "gdb inside" {
	if ! command -v gdb >/dev/null; then missing "no gdb"; fi
	supervise gdb -q -batch -ex 'catch syscall memfd_create' -ex run -ex 'p $rip != 0' -ex 'delete' \
		-ex continue --args "$SHARED/tenant" calls 10 >out 2>&1 </dev/null
	cat out
	grep -q 'ok 10' out
	grep -q 'exited normally' out
}

@test "python, and a shell's pipelines" {
	supervise python3 -c '
import os, threading

def work():
    for i in range(200):
        fd = os.memfd_create(f"python-{i}", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        os.write(fd, b"x" * 100)
        assert os.fstat(fd).st_size == 100
        os.close(fd)

threads = [threading.Thread(target=work) for _ in range(8)]
[t.start() for t in threads]
[t.join() for t in threads]
'
	[ "$(supervise sh -c 'seq 1000 | sort -rn | head -n 1')" = 1000 ]
}
