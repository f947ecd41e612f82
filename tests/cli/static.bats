#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# The static program in a root directory that has nothing else but a static test program.
# Environment: FDWARDEN, PROBE. Needs root, for chroot.

bats_require_minimum_version 1.5.0

setup() {
	[ "$(id -u)" -eq 0 ] || {
		[ "${FDWARDEN_MUST_RUN-}" != 1 ]
		skip "needs root"
	}
	root=$BATS_TEST_TMPDIR/root
	mkdir -p "$root/proc"
	cp "$FDWARDEN" "$root/fdwarden"
	cp "$PROBE" "$root/probe"
}

# Runs a command in the empty root, as PID 1 of a PID namespace, with /proc as runtimes mount it.
in_container() {
	unshare --mount --pid --fork --kill-child --mount-proc="$root/proc" chroot "$root" "$@"
}

@test "it is static" {
	run -0 readelf --wide --program-headers "$FDWARDEN"
	[[ $output != *INTERP* ]]
}

@test "it supervises as PID 1 of an empty container" {
	run -0 in_container /fdwarden run --events - -- /probe
	[[ $output == *'"name":"probe"'*'"decision":"emulate"'* ]]
}

@test "without /proc it starts nothing and says why" {
	run -125 chroot "$root" /fdwarden run -- /probe
	[[ $output == *"cannot use /proc"* ]]
}

@test "it refuses" {
	run -1 in_container /fdwarden run -p - -- /probe <<<'{version: 1, default: deny}'
	[[ $output == *"Operation not permitted"* ]]
}

@test "users are looked up in /etc/passwd, without shared libraries" {
	policy='{version: 1, rules: [{name: u, match: {uid: tester, gid: testers}, action: emulate}]}'
	run -2 chroot "$root" /fdwarden check - <<<"$policy"
	mkdir "$root/etc"
	echo 'tester:x:4711:4711::/:/bin/sh' >"$root/etc/passwd"
	echo 'testers:x:4711:tester' >"$root/etc/group"
	run -0 chroot "$root" /fdwarden check - <<<"$policy"
}
