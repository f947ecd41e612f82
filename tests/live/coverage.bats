#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# What `fdwarden coverage` says, tried row by row by tests/programs/escape under `fdwarden run`: what
# is closed is stopped, what is sampled is answered, and what is open really is.
# Environment: FDWARDEN, PROGRAMS, BARE_LOOP.

bats_require_minimum_version 1.5.0
load common

setup_file() {
	shared_make
	cp "$PROGRAMS/escape" "$SHARED/"
	chmod a+rx "$SHARED/escape"
}

# The limits that policies of the tests choose from, and that `escape` must get past.
MIB=$((1024 * 1024))
LIMIT_MEMFDS=16 LIMIT_FILE=$((2 * MIB)) LIMIT_SIZE=$((8 * MIB)) LIMIT_RESIDENT=$((4 * MIB))
LIMIT_HUGETLB=$((4 * MIB)) LIMIT_SPILL=$((4 * MIB))

# In each policy, unless it has rules of its own: a name that is denied.
RULES='rules: [{name: no, match: {name: escape-denied}, action: deny, errno: EACCES}]'

# policy TEXT [RULES]: writes it to $POLICY, and sets the environment of `escape`.
policy() {
	POLICY=$SHARED/coverage-$BATS_TEST_NUMBER.yaml
	printf '%s\n' 'version: 1' "$1" "${2-$RULES}" >"$POLICY"
	chmod a+r "$POLICY"
	LIMITS=()
	[[ $1 != *memfds:* ]] || LIMITS+=("ESCAPE_MEMFDS=$LIMIT_MEMFDS")
	[[ $1 != *"memfd: {size:"* ]] || LIMITS+=("ESCAPE_FILE=$LIMIT_FILE")
	[[ $1 != *" size: 8MiB"* ]] || LIMITS+=("ESCAPE_SIZE=$LIMIT_SIZE")
	[[ $1 != *resident:* ]] || LIMITS+=("ESCAPE_RESIDENT=$LIMIT_RESIDENT")
	[[ $1 != *hugetlb:* ]] || LIMITS+=("ESCAPE_HUGETLB=$LIMIT_HUGETLB")
	[[ $1 != *spill:* ]] || LIMITS+=("ESCAPE_SPILL=$LIMIT_SPILL")
}

# Options of `run`.
OPTIONS=()

# Whom everything runs as: a command, or nothing for ourselves.
AS=()

# rows: "ROW STATE WHY" of each, as coverage says.
rows() {
	"${AS[@]}" "$SHARED/fdwarden" coverage --json "$POLICY" | python3 -c '
import json, sys
for row in json.load(sys.stdin)["rows"]:
    print(row["id"], row["state"], row["by"])'
}

# attempt ROW WAIT_MS [LIMIT...]: what became of it. By what `escape` prints: where it kills its
# supervisor, the status is not its own.
attempt() {
	local outside=()
	[[ $1 != fd-* ]] || outside=("$SHARED/escape" outside)
	env ESCAPE_WAIT_MS="$2" "${@:3}" "${AS[@]}" "${outside[@]}" \
		"$SHARED/fdwarden" run "${OPTIONS[@]}" --policy "$POLICY" -- "$SHARED/escape" "$1" 2>/dev/null || true
}

# bounding WHY: the looser limit only, which is the one that a bounded row can go up to.
bounding() {
	local limit sum=
	if [[ $1 == *"times budget.tenant.memfds"* ]]; then
		echo "ESCAPE_SIZE=$((LIMIT_FILE * LIMIT_MEMFDS))"
		return
	fi
	for limit in "${LIMITS[@]}"; do
		case $limit in
		ESCAPE_SIZE=*) sum=$limit ;;
		ESCAPE_RESIDENT=*) [ -n "$sum" ] || sum=$limit ;;
		esac
	done
	for limit in "${LIMITS[@]}"; do
		case $limit in
		ESCAPE_SIZE=* | ESCAPE_RESIDENT=*) [ "$limit" != "$sum" ] || echo "$limit" ;;
		ESCAPE_FILE=*) [ -n "$sum" ] || echo "$limit" ;;
		*) echo "$limit" ;;
		esac
	done
}

# Rows whose bound is the machine's, not the policy's: nothing small gets to it.
is_of_the_machine() {
	case $1 in
	xattr | o-tmpfile | dev-shm | sysv-shm | shared-mapping | memfd-secret) return 0 ;;
	*) return 1 ;;
	esac
}

# Rows of chance: that they are open cannot be shown at will.
is_a_race() {
	case $1 in
	name | *-swap) return 0 ;;
	*) return 1 ;;
	esac
}

# judge ROW STATE WHY: tries it. Prints what is wrong, or nothing. Adds rows that were stopped to
# $WORK/stopped.
judge() {
	local outcome limits=("${LIMITS[@]}")
	case $2 in
	closed)
		outcome=$(attempt "$1" 0 "${LIMITS[@]}")
		[ "$outcome" != stopped ] || echo "$1" >>"$WORK/stopped"
		[[ $outcome == stopped || $outcome == lacking ]] || echo "$1 is $2, but: $outcome"
		;;
	bounded)
		if is_of_the_machine "$1"; then return; fi
		mapfile -t limits < <(bounding "$3")
		outcome=$(attempt "$1" 0 "${limits[@]}")
		[[ $outcome == stopped || $outcome == lacking ]] || echo "$1 is $2, but: $outcome"
		;;
	sampled)
		if is_a_race "$1"; then return; fi
		outcome=$(attempt "$1" 20000 "${LIMITS[@]}")
		[[ $outcome == answered || $outcome == lacking ]] || echo "$1 is $2, but: $outcome"
		;;
	open)
		if is_a_race "$1"; then return; fi
		outcome=$(attempt "$1" 100 "${LIMITS[@]}")
		[[ $outcome == past || $outcome == lacking ]] || echo "$1 is $2, but: $outcome"
		;;
	esac
}

# walk: tries every row. Fails if any is not what coverage says.
walk() {
	local row state why
	: >"$WORK/stopped"
	rows >"$WORK/rows"
	[ "$(wc -l <"$WORK/rows")" -gt 30 ]
	while read -r row state why; do
		judge "$row" "$state" "$why" </dev/null
	done <"$WORK/rows" | tee "$WORK/wrong"
	[ ! -s "$WORK/wrong" ]
}

# stopped ROW...: each was closed, tried for real, and stopped.
stopped() {
	local row
	for row in "$@"; do
		grep -qx "$row" "$WORK/stopped" || {
			echo "$row was not stopped"
			return 1
		}
	done
}

@test "no limits" {
	policy ''
	walk
	stopped name second-listener kill open-trunc not-inspectable
}

@test "a limit of their number" {
	policy 'budget: {tenant: {memfds: 16}}'
	walk
	stopped count allow
}

@test "a limit of their rate" {
	policy 'budget: {tenant: {rate: 10/s, burst: 10}}'
	walk
	stopped rate
}

@test "a limit of the memory cgroup" {
	require_root
	require "$SHARED/fdwarden" run --memory 32MiB -- true
	OPTIONS=(--memory 32MiB)
	policy 'budget: {cgroup: {reserve: 16MiB}}'
	walk
	stopped cgroup
}

@test "a limit of sizes" {
	policy 'budget: {sample: 20ms, tenant: {memfds: 16, size: 8MiB}}'
	walk
	stopped ftruncate ftruncate-swap fallocate
}

@test "a limit of one file's size" {
	policy 'budget: {memfd: {size: 2MiB}}'
	walk
	stopped ftruncate ftruncate-swap fallocate keep-size
}

@test "a limit of one file's size, and RLIMIT_FSIZE" {
	policy 'budget: {memfd: {size: 2MiB, rlimit_fsize: true}}'
	walk
	stopped ftruncate fallocate
}

@test "a limit of memory" {
	policy 'budget: {sample: 20ms, tenant: {resident: 4MiB}}'
	walk
	stopped fallocate keep-size
	if [ "$(id -u)" -eq 0 ]; then
		stopped write-tmpfs page-fault-tmpfs
	fi
}

@test "all limits" {
	policy 'budget: {sample: 20ms, tenant: {memfds: 16, size: 8MiB, resident: 4MiB, hugetlb: 4MiB}, memfd: {size: 2MiB, rlimit_fsize: true}}'
	walk
	stopped count ftruncate ftruncate-swap fallocate keep-size
}

@test "all limits, in audit mode" {
	policy 'mode: audit
budget: {sample: 20ms, tenant: {memfds: 16, size: 8MiB, resident: 4MiB}}'
	walk
	stopped second-listener kill
}

@test "io_uring is allowed" {
	policy 'budget: {sample: 20ms, tenant: {memfds: 16, resident: 4MiB}}
syscalls: {io_uring: allow}'
	walk
}

@test "calls are left to the kernel" {
	policy 'budget: {tenant: {memfds: 16}}
default: allow' ''
	walk
}

@test "nothing is made" {
	policy 'default: deny' ''
	walk
	stopped ftruncate write page-fault exec exec-map
}

@test "nothing is executed" {
	policy 'default: deny' 'rules:
- {name: no, match: {name: escape-denied}, action: deny, errno: EACCES}
- {name: huge, match: {flags: {any: [HUGETLB, ALLOW_SEALING, NOEXEC_SEAL]}}, action: deny}
- {name: data, action: emulate, backing: tmpfs, noexec: true}'
	walk
	stopped exec exec-map hugetlb hugetlb-mmap
}

@test "files on a disk" {
	policy "budget: {sample: 20ms, spill: {directory: $WORK, size: 4MiB}}" 'rules:
- {name: no, match: {name: escape-denied}, action: deny, errno: EACCES}
- {name: disk, match: {name: escape-disk}, action: emulate, backing: disk}'
	walk
}

@test "an ordinary user, and a limit of memory" {
	require_root
	AS=(setpriv --reuid=65534 --regid=65534 --clear-groups)
	policy 'budget: {sample: 20ms, tenant: {memfds: 16, resident: 4MiB}}'
	walk
	stopped count ptrace not-inspectable
}

@test "an ordinary user, and all limits" {
	require_root
	AS=(setpriv --reuid=65534 --regid=65534 --clear-groups)
	policy 'budget: {sample: 20ms, tenant: {memfds: 16, size: 8MiB, resident: 4MiB, hugetlb: 4MiB}, memfd: {size: 2MiB, rlimit_fsize: true}}'
	walk
	stopped ftruncate ftruncate-swap fallocate ptrace
}
