# SPDX-License-Identifier: Apache-2.0
# The differential test for files on a tmpfs: all that memfd-probe sees is the same but for the few
# things that are listed here.

# Scripts for an inner shell stand in single quotes; bats runs each test in a subshell.
# shellcheck disable=SC2016,SC2030,SC2031
load differential

# What a file on a tmpfs cannot hide:
# - the device, the mount's id and its flags. Not told by the probe: the limit in statfs(2), and that
#   the inodes count up from 2.
# - that it came from open(2). It is busy while somebody has it open for writing: nobody can execute
#   it then (ETXTBSY) or lease it for reading. It takes O_DIRECT (Linux 6.6). inotify(7) tells of
#   reads and writes; of those on its own memfds the kernel told on 6.12, and doesn't on 6.18.
tmpfs_mask() {
	sed -E -e '/fstype=1021994/s/dev=0:[0-9]+/dev=0:N/; s/fsflags=0x2[06]$/fsflags=N/' \
		-e 's/fdinfo: mnt_id:.*/fdinfo: mnt_id: N/' \
		-e 's/lease: (0|-11)$/lease: N/; s/direct: (0|-22)$/direct: N/' \
		-e 's/busy=0x(1a00|2a00)$/busy=N/' \
		-e 's/(watch: write=1) events=(0|0x2)$/\1 events=N/' \
		-e 's/(watch: read=1) events=(0|0x1)$/\1 events=N/' "$1"
}

# compare_on_tmpfs COMMAND...: under a policy that puts on a tmpfs what can be there.
compare_on_tmpfs() {
	"$@" >native
	"$SHARED/fdwarden" run --policy "$SHARED/tmpfs.yaml" --tenant "$TENANT_NAME" -- "$@" \
		>supervised
	tmpfs_mask native >native-masked
	tmpfs_mask supervised >supervised-masked
	same native-masked supervised-masked
	[ "$(grep -c 'fsflags=0x26$' supervised)" -ge 30 ]
}

@test "the caller's own ids" {
	compare_on_tmpfs "$SHARED/memfd-probe"
}

@test "a 32-bit caller" {
	if [ ! -e "$SHARED/memfd-probe-32" ]; then missing "no 32-bit programs here"; fi
	compare_on_tmpfs "$SHARED/memfd-probe-32"
}

@test "a tenant that gave up root" {
	require_root
	compare_on_tmpfs setpriv --reuid=65534 --regid=65534 --clear-groups "$SHARED/memfd-probe"
}

@test "a tenant in a user namespace that maps other ids" {
	require_root
	compare_on_tmpfs "$SHARED/tenant" mapped "$SHARED/memfd-probe"
}

@test "under a strict umask" {
	compare_on_tmpfs sh -c 'umask 077; exec "$@"' sh "$SHARED/memfd-probe"
}

@test "an ordinary user" {
	require_root
	require as_nobody unshare --user --mount true
	as_nobody "$SHARED/memfd-probe" | tmpfs_mask - >native
	as_nobody "$SHARED/fdwarden" run --policy "$SHARED/tmpfs.yaml" -- "$SHARED/memfd-probe" \
		>recorded
	tmpfs_mask recorded >supervised
	same native supervised
	grep -q 'fsflags=0x26$' recorded
}

@test "vm.memfd_noexec 1 keeps it in the kernel's memory" {
	require_noexec
	probe_in_noexec 1 >native
	"$SHARED/fdwarden" run --policy "$SHARED/tmpfs.yaml" -- \
		bash -c "$(declare -f probe_in_noexec); probe_in_noexec 1" >supervised
	same native supervised
}
