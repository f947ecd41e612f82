# SPDX-License-Identifier: Apache-2.0
# What the differential tests share.

load common

# same NATIVE SUPERVISED: the recordings are whole and equal.
same() {
	[ "$(wc -l <"$1")" -gt "${LINES_WANTED:-1000}" ]
	grep -q 'error: 22$' "$1"
	diff -u "$1" "$2" >difference || {
		grep -c '^[-+]' difference
		head -n 60 difference
		return 1
	}
}

# probe_in_noexec SCOPE: in a PID namespace of its own with that vm.memfd_noexec.
probe_in_noexec() {
	unshare --pid --fork --mount-proc sh -c "echo $1 >/proc/sys/vm/memfd_noexec && exec \"\$@\"" \
		sh "$SHARED/memfd-probe"
}

require_noexec() {
	if [ ! -e /proc/sys/vm/memfd_noexec ]; then missing "no vm.memfd_noexec (Linux 6.3)"; fi
	require unshare --pid --fork --mount-proc true
}
