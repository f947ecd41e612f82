# SPDX-License-Identifier: Apache-2.0
# What the live tests of `fdwarden run` share. meson gives FDWARDEN, PROGRAMS (the directory of
# tests/programs) and BARE_LOOP.

: "${FDWARDEN:?}" "${PROGRAMS:?}" "${BARE_LOOP:?}"

# A directory that every user can enter, with the programs in it, as a build may stand in a home
# directory that others cannot read.
shared_make() {
	SHARED=$(mktemp -d "${TMPDIR:-/tmp}/fdwarden-live.XXXXXX")
	chmod 755 "$SHARED"
	cp "$FDWARDEN" "$SHARED/fdwarden"
	cp "$BARE_LOOP" "$SHARED/bare-loop"
	for program in memfd-probe memfd-probe-32 tenant; do
		[ ! -e "$PROGRAMS/$program" ] || cp "$PROGRAMS/$program" "$SHARED/"
	done
	printf 'version: 1\ndefault: emulate\n' >"$SHARED/emulate.yaml"
	printf 'version: 1\ndefault: {action: deny, errno: EPERM}\n' >"$SHARED/deny.yaml"
	printf 'version: 1\ndefault: allow\n' >"$SHARED/allow.yaml"
	printf 'version: 1\ndefault: emulate\nbudget: {tenant: {resident: 64MiB}}\n' \
		>"$SHARED/tmpfs.yaml"
	chmod -R a+rX "$SHARED"
	export SHARED
}

shared_remove() {
	[ -z "${SHARED:-}" ] || rm -rf "$SHARED"
}

setup_file() {
	shared_make
}

teardown_file() {
	shared_remove
}

setup() {
	WORK=$BATS_TEST_TMPDIR
	TENANT_NAME="live-$$-$BATS_TEST_NUMBER"
	CHILDREN=()
	cd "$WORK" || return
	# Nobody else may have set what the tests are about.
	unset NO_COLOR
}

teardown() {
	local pid
	for pid in "${CHILDREN[@]}"; do
		kill -KILL "$pid" 2>/dev/null || true
	done
}

# missing WHY: this machine cannot run the test.
missing() {
	if [ "${FDWARDEN_MUST_RUN:-}" = 1 ]; then
		echo "cannot run: $1"
		return 1
	fi
	skip "$1"
}

# An `if`, so that the function ends well where nothing is missing.
require_root() {
	if [ "$(id -u)" -ne 0 ]; then missing "needs root"; fi
}

# require COMMAND...: it works here.
require() {
	if ! "$@" >/dev/null 2>&1; then missing "cannot: $*"; fi
}

as_nobody() {
	setpriv --reuid=65534 --regid=65534 --clear-groups "$@"
}

# supervise COMMAND...: under a policy that emulates every call.
supervise() {
	"$SHARED/fdwarden" run --policy "$SHARED/emulate.yaml" --tenant "$TENANT_NAME" -- "$@"
}

# The same for the background: the pid in $! is that of `run` itself.
exec_supervise() {
	exec "$SHARED/fdwarden" run --policy "$SHARED/emulate.yaml" --tenant "$TENANT_NAME" -- "$@"
}

# wait_until COMMAND...: at most 20 s.
wait_until() {
	local end=$((SECONDS + 20))
	while [ "$SECONDS" -lt "$end" ]; do
		"$@" && return
		sleep 0.05
	done
	echo "waited in vain: $*"
	return 1
}

# Pids of the front and the supervisor of the `run` that was started with this tenant's name, and
# of what they forked and has not executed anything yet.
fdwarden_pids() {
	# from a file, or grep would find itself
	echo "$TENANT_NAME" >"$WORK/tenant-name"
	grep -lsxzF -f "$WORK/tenant-name" /proc/[0-9]*/cmdline | cut -d / -f 3
}

# supervisor_of FRONT: the fdwarden process that is not the front.
supervisor_of() {
	fdwarden_pids | grep -vxF -e "$1"
}

fdwarden_is_gone() {
	[ -z "$(fdwarden_pids)" ]
}

# count_of RESULT FILE: how often the tenant saw that result.
count_of() {
	awk -v result="$1" '$1 == result {sum += $2} END {print sum + 0}' "$2"
}
