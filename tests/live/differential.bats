# SPDX-License-Identifier: Apache-2.0
# All that memfd-probe sees natively and under supervision is the same, line by line. The native
# side is recorded in the same run.

# Scripts for an inner shell stand in single quotes; bats runs each test in a subshell.
# shellcheck disable=SC2016,SC2030,SC2031
load differential

# compare COMMAND...: the same natively and as the command of `run`.
compare() {
	"$@" >native
	supervise "$@" >supervised
	same native supervised
}

# compare_inside PREFIX... -- COMMAND...: `run` itself stands inside what PREFIX makes.
compare_inside() {
	local prefix=()
	while [ "$1" != -- ]; do
		prefix+=("$1")
		shift
	done
	shift
	"${prefix[@]}" "$@" >native
	"${prefix[@]}" "$SHARED/fdwarden" run --policy "$SHARED/emulate.yaml" -- "$@" >supervised
	same native supervised
}

@test "the caller's own ids" {
	compare "$SHARED/memfd-probe"
}

@test "a 32-bit caller" {
	if [ ! -e "$SHARED/memfd-probe-32" ]; then missing "no 32-bit programs here"; fi
	compare "$SHARED/memfd-probe-32"
}

@test "an ordinary user" {
	require_root
	as_nobody "$SHARED/memfd-probe" >native
	as_nobody "$SHARED/fdwarden" run --policy "$SHARED/emulate.yaml" -- "$SHARED/memfd-probe" \
		>supervised
	same native supervised
}

@test "an ordinary user with a 32-bit program" {
	require_root
	if [ ! -e "$SHARED/memfd-probe-32" ]; then missing "no 32-bit programs here"; fi
	as_nobody "$SHARED/memfd-probe-32" >native
	as_nobody "$SHARED/fdwarden" run --policy "$SHARED/emulate.yaml" -- "$SHARED/memfd-probe-32" \
		>supervised
	same native supervised
}

@test "a tenant that gave up root" {
	require_root
	compare setpriv --reuid=65534 --regid=65534 --clear-groups "$SHARED/memfd-probe"
}

@test "a tenant without capabilities but with uid 0" {
	require_root
	compare setpriv --bounding-set=-all --inh-caps=-all "$SHARED/memfd-probe"
}

@test "a tenant in a user namespace of its own" {
	require unshare --user --map-root-user true
	compare unshare --user --map-root-user "$SHARED/memfd-probe"
}

@test "a tenant in a user namespace that maps other ids" {
	require_root
	compare "$SHARED/tenant" mapped "$SHARED/memfd-probe"
}

@test "a tenant in a user namespace that maps nobody" {
	require unshare --user true
	compare unshare --user "$SHARED/memfd-probe"
}

@test "run and tenant in a user namespace" {
	require unshare --user --map-root-user true
	compare_inside unshare --user --map-root-user -- "$SHARED/memfd-probe"
}

@test "run and tenant in a user namespace that maps other ids" {
	require_root
	compare_inside "$SHARED/tenant" mapped -- "$SHARED/memfd-probe"
}

@test "an ordinary user in a user namespace" {
	require_root
	require as_nobody unshare --user --map-root-user true
	as_nobody unshare --user --map-root-user "$SHARED/memfd-probe" >native
	as_nobody "$SHARED/fdwarden" run --policy "$SHARED/emulate.yaml" -- \
		unshare --user --map-root-user "$SHARED/memfd-probe" >supervised
	same native supervised
}

@test "a tenant in a PID namespace of its own" {
	require unshare --pid --fork --mount-proc true
	compare unshare --pid --fork --mount-proc "$SHARED/memfd-probe"
}

@test "run as PID 1" {
	require unshare --pid --fork --mount-proc true
	compare_inside unshare --pid --fork --mount-proc -- "$SHARED/memfd-probe"
}

# noexec SCOPE: natively and supervised; the supervisor's own namespace has another value.
noexec() {
	require_noexec
	probe_in_noexec "$1" >native
	supervise bash -c "$(declare -f probe_in_noexec); probe_in_noexec $1" >supervised
	same native supervised
}

@test "vm.memfd_noexec 0 in the tenant's PID namespace" {
	noexec 0
}

@test "vm.memfd_noexec 1 in the tenant's PID namespace" {
	noexec 1
}

@test "vm.memfd_noexec 2 in the tenant's PID namespace" {
	noexec 2
	grep -q 'error: 13$' native
}

@test "vm.memfd_noexec 2 around the supervisor too" {
	require_noexec
	compare_inside unshare --pid --fork --mount-proc sh -c \
		'echo 2 >/proc/sys/vm/memfd_noexec && exec "$@"' sh -- "$SHARED/memfd-probe"
}

@test "vm.memfd_noexec of a namespace whose init came from a user namespace" {
	require_noexec
	require_root
	local inner='echo 1 >/proc/sys/vm/memfd_noexec; exec "$@"'
	compare unshare --user --map-root-user --pid --fork --mount-proc sh -c "$inner" sh \
		"$SHARED/memfd-probe"
}

@test "in a chroot" {
	require_root
	require unshare --mount true
	mkdir -p root/proc root/tmp root/dev
	cp "$SHARED/memfd-probe" root/
	touch root/dev/null
	# in a mount namespace, so that nothing stays mounted
	compare unshare --mount sh -c \
		'mount -t proc proc root/proc && mount --bind /dev/null root/dev/null && exec chroot root /memfd-probe'
}

@test "under a strict umask and with no memory to lock" {
	compare sh -c 'umask 077; ulimit -l 0; exec "$@"' sh "$SHARED/memfd-probe"
}

@test "allow leaves every call to the kernel" {
	"$SHARED/memfd-probe" >native
	"$SHARED/fdwarden" run --policy "$SHARED/allow.yaml" -- "$SHARED/memfd-probe" >supervised
	same native supervised
}
