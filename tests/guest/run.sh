#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Runs test programs as root on another kernel: Debian's 6.1 in a virtual machine without KVM, with
# nothing mounted but cgroup v2. See usage() below.
set -u

usage() {
	cat <<'END'
Usage: run.sh [--with FILE]... PROGRAM...

Boots the kernel, runs each PROGRAM, and ends with 0 when all passed, 1 when one failed, 77 when all
that did not pass were skipped, or when this machine lacks what a guest needs; FDWARDEN_MUST_RUN=1
turns the latter two into 1. (In the guest it is not set: a single case within a PROGRAM may well
want a newer kernel.) PROGRAMs and FILEs have the same paths in the guest as here, and bring the
shared libraries that they need.

Environment:
  FDWARDEN_GUEST_CACHE    folder for the kernel, which is downloaded once (default: $TMPDIR or /tmp)
  FDWARDEN_GUEST_TIMEOUT  seconds for the whole guest (default: 240, as a busy machine may
                          take ten times as long as an idle one)
END
}

say() {
	printf 'guest: %s\n' "$*" >&2
}

# Ends a run for which something is missing.
skip() {
	if [ "${FDWARDEN_MUST_RUN:-}" = 1 ]; then
		say "cannot run: $*"
		exit 1
	fi
	say "skipped: $*"
	exit 77
}

# Copies a file to the same path in the guest.
bring() {
	[ -e "$root$1" ] || {
		mkdir -p "$root${1%/*}" && cp -L "$1" "$root$1"
	} || exit 1
}

# Brings a program and what the dynamic linker will look for.
bring_program() {
	bring "$1"
	ldd "$1" 2>/dev/null | sed -n 's|.*[[:space:]]\(/[^ ]*\) (0x.*|\1|p' >"$work/libraries"
	while IFS= read -r library; do
		bring "$library"
	done <"$work/libraries"
}

# Downloads and unpacks the kernel, unless that was done before, and prints its path.
kernel() {
	cache=${FDWARDEN_GUEST_CACHE:-${TMPDIR:-/tmp}}
	package=$(apt-cache depends linux-image-cloud-amd64 2>/dev/null |
		sed -n 's/^  Depends: \(linux-image-6\.1\..*-cloud-amd64\)$/\1/p' | head -n 1)
	[ -n "$package" ] || return 1
	image=$cache/vmlinuz-${package#linux-image-}
	if [ ! -f "$image" ]; then
		mkdir -p "$cache" "$work/kernel" || return 1
		(
			cd "$work/kernel" &&
				timeout 300 apt-get -q -o APT::Sandbox::User=root download "$package" &&
				dpkg-deb --fsys-tarfile "$package"_*.deb |
				tar -x --wildcards './boot/vmlinuz-*'
		) >"$work/kernel.log" 2>&1 || {
			cat "$work/kernel.log" >&2
			return 1
		}
		# Renamed into place at once: another run may be doing the same.
		cp "$work"/kernel/boot/vmlinuz-* "$image.$$" && mv "$image.$$" "$image" || return 1
		rm -rf "$work/kernel"
	fi
	printf '%s\n' "$image"
}

# Writes the guest's first program, which runs the others. A line with the token is a result.
write_init() {
	cat >"$root/init" <<END
#!/bin/busybox sh
PATH=/bin:/sbin:/usr/bin:/usr/sbin
export PATH
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
mkdir -p /dev/shm /dev/pts /tmp
mount -t devpts devpts /dev/pts
mount -t tmpfs tmpfs /dev/shm
chmod 1777 /tmp
mount -t cgroup2 cgroup2 /sys/fs/cgroup
ip link set lo up
export FDWARDEN_MUST_RUN=0 # this kernel lacks what it lacks
while read -r program; do
	"\$program" </dev/null
	status=\$?
	read -r uptime _ </proc/uptime
	echo "$token \$status \$uptime \$program"
done </programs
echo "$token end"
poweroff -f
END
	chmod 755 "$root/init"
}

boot() {
	timeout -k 5 "${FDWARDEN_GUEST_TIMEOUT:-240}" qemu-system-x86_64 \
		-accel tcg -cpu max,-cx16 -M q35 -m 512 -smp 2 -nodefaults -display none \
		-serial stdio -no-reboot -kernel "$1" -initrd "$work/initrd" \
		-append 'console=ttyS0 panic=-1 quiet' </dev/null 2>&1 | tr -d '\r'
}

# Says what became of each program; the exit status is that of the script.
judge() {
	passed=0 failed=0 skipped=0
	grep -q "^$token end" "$work/log" || {
		say "the guest did not come to its end"
		failed=1
	}
	grep "^$token [0-9]" "$work/log" >"$work/results"
	while read -r _ status uptime program; do
		case $status in
		0) passed=$((passed + 1)) ;;
		77) skipped=$((skipped + 1)) ;;
		*) failed=$((failed + 1)) ;;
		esac
		say "${program##*/}: exit status $status, at $uptime s"
	done <"$work/results"
	say "$passed passed, $skipped skipped, $failed failed"
	[ "$failed" -eq 0 ] || return 1
	[ "$skipped" -eq 0 ] || skip "programs in the guest"
}

work=$(mktemp -d "${TMPDIR:-/tmp}/fdwarden-guest.XXXXXX") || exit 1
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM
root=$work/root
token=result-$(od -An -N8 -tx1 /dev/urandom | tr -d ' \n')
mkdir "$root" "$root/bin" "$root/dev" "$root/proc" "$root/sys" || exit 1

while [ $# -gt 0 ]; do
	case $1 in
	--with)
		[ $# -ge 2 ] || {
			usage >&2
			exit 2
		}
		bring_program "$(realpath -s "$2")"
		shift 2
		;;
	--help)
		usage
		exit 0
		;;
	-*)
		usage >&2
		exit 2
		;;
	*) break ;;
	esac
done
[ $# -gt 0 ] || {
	usage >&2
	exit 2
}

[ "$(uname -m)" = x86_64 ] || skip "the guest's kernel is for x86-64"
for tool in apt-cache apt-get busybox cpio dpkg-deb qemu-system-x86_64; do
	command -v "$tool" >/dev/null || skip "no $tool"
done
image=$(kernel) || skip "no kernel: apt-get cannot download Debian 12's linux-image-cloud-amd64"
cp -L "$(command -v busybox)" "$root/bin/busybox" || exit 1
for program; do
	program=$(realpath -s "$program") || exit 1
	bring_program "$program"
	printf '%s\n' "$program" >>"$root/programs"
done
write_init
(cd "$root" && find . | cpio --quiet -o -H newc --owner=0:0) >"$work/initrd" || exit 1
boot "$image" >"$work/log"
grep -v "^$token" "$work/log"
judge
