#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Real programs under policies/multi-tenant.yaml, or that policy with smaller figures: each works as
# it does natively, or gets the errno that fdwarden-policy(5) says. What is expected to work under
# supervision works natively in the same test, so that a broken program is not taken for our fault.
# Environment: POLICIES, the directory of the ready policies.

# bats runs each test in a subshell.
# shellcheck disable=SC2030,SC2031
bats_require_minimum_version 1.5.0
load common

# The tools of the packages first: a java of somebody else's may have no ZGC.
PATH=/usr/bin:$PATH

# need PROGRAM...
need() {
	local program
	for program in "$@"; do
		if ! command -v "$program" >/dev/null; then
			missing "no $program"
		fi
	done
}

# natively STATUS COMMAND...: what it prints is in native.
natively() {
	local status=$1
	shift
	run "-$status" "$@"
	echo "$output" >native
}

# under POLICY STATUS COMMAND...: what it prints is in supervised, the events are in events.
under() {
	local policy=$1 status=$2
	shift 2
	rm -f events
	run "-$status" "$SHARED/fdwarden" run --policy "$policy" --events events -- "$@"
	echo "$output" >supervised
}

# multi_tenant STATUS COMMAND...
multi_tenant() {
	under "$POLICIES/multi-tenant.yaml" "$@"
}

# limited SED STATUS COMMAND...: with other figures.
limited() {
	sed "$1" "$POLICIES/multi-tenant.yaml" >limited.yaml
	! cmp -s limited.yaml "$POLICIES/multi-tenant.yaml" || return 1
	shift
	under limited.yaml "$@"
}

# made NAME BACKING: it was given such files, and none was refused.
made() {
	grep -q "\"name\":\"$1\".*\"errno\":null.*\"backing\":\"$2\"" events
	! grep "\"name\":\"$1\".*\"errno\":\"" events
}

# refused CALL ERRNO REASON
refused() {
	grep -q "\"syscall\":\"$1\".*\"decision\":\"deny\",\"errno\":\"$2\",\"rule\":\"budget\",\"reason\":\"[^\"]*$3" \
		events
}

# ---- Java: the heap of ZGC is one file, sized at the start and filled by fallocate(2) ----

java_setup() {
	need java
	unset JAVA_TOOL_OPTIONS JDK_JAVA_OPTIONS
	zgc=(java -XX:+UseZGC -Xms16m)
	require java -XX:+UseZGC -Xmx32m -version
	cat >Fill.java <<'END'
public class Fill {
	public static void main(String[] args) {
		byte[][] held = new byte[Integer.parseInt(args[0])][];
		for (int i = 0; i < held.length; i++) {
			held[i] = new byte[1 << 20];
			java.util.Arrays.fill(held[i], (byte) 1);
		}
		System.out.println("filled " + held.length);
	}
}
END
}

@test "Java with ZGC, the heap below the quota" {
	java_setup
	natively 0 "${zgc[@]}" -Xmx256m Fill.java 100
	multi_tenant 0 "${zgc[@]}" -Xmx256m Fill.java 100
	diff native supervised
	made java_heap tmpfs
}

@test "Java with ZGC, all of the heap touched at the start" {
	java_setup
	natively 0 "${zgc[@]}" -Xmx64m -Xms64m -XX:+AlwaysPreTouch -version
	multi_tenant 0 "${zgc[@]}" -Xmx64m -Xms64m -XX:+AlwaysPreTouch -version
	diff native supervised
	made java_heap tmpfs
}

@test "Java with ZGC, the heap above resident: a warning, and OutOfMemoryError where it is used up" {
	java_setup
	natively 0 "${zgc[@]}" -Xmx1g Fill.java 400
	limited 's/resident: .*/resident: 200MiB/' 1 "${zgc[@]}" -Xmx1g Fill.java 400
	grep -q 'Not enough space available on the backing filesystem' supervised
	grep -q 'Failed to commit memory (No space left on device)' supervised
	grep -q 'OutOfMemoryError' supervised
	made java_heap tmpfs
	# As long as it does with what there is, nothing happens.
	limited 's/resident: .*/resident: 200MiB/' 0 "${zgc[@]}" -Xmx1g -version
}

@test "Java with ZGC, the heap above the size of a file or of all: it says so and ends" {
	java_setup
	natively 0 "${zgc[@]}" -Xmx5g -version
	multi_tenant 1 "${zgc[@]}" -Xmx5g -version
	grep -q 'Failed to truncate backing file (File too large)' supervised
	refused ftruncate EFBIG budget.memfd.size
	limited '/memfd:/d; s/ size: 8GiB/ size: 1GiB/; s/resident: 2GiB/resident: 1GiB/' 1 \
		"${zgc[@]}" -Xmx2g -version
	grep -q 'Failed to truncate backing file (No space left on device)' supervised
	refused ftruncate ENOSPC budget.tenant.size
}

# ---- QEMU: the guest's memory is one file ----

# guest SIZE OPTIONS: the firmware looks for a disk, finds none, and gives up.
guest() {
	timeout 60 qemu-system-x86_64 -accel tcg -nodefaults -no-user-config -display none \
		-no-reboot -boot reboot-timeout=1 -m "$1" -machine q35,memory-backend=ram \
		-object "memory-backend-memfd,id=ram,size=$1,$2" \
		-chardev file,id=firmware,path=firmware.log \
		-device isa-debugcon,iobase=0x402,chardev=firmware
}
export -f guest

qemu_setup() {
	need qemu-system-x86_64
}

# boots OPTIONS BACKING
boots() {
	rm -f firmware.log
	natively 0 bash -c "guest 256M $1"
	grep -q 'No bootable device' firmware.log
	rm firmware.log
	multi_tenant 0 bash -c "guest 256M $1"
	grep -q 'len 0x0000000010000000 \[RAM\]' firmware.log
	grep -q 'No bootable device' firmware.log
	made memory-backend-memfd "$2"
}

@test "QEMU, memory that can be sealed" {
	qemu_setup
	boots seal=on memfd
	boots seal=on,share=off,prealloc=on memfd
}

@test "QEMU, memory that cannot be sealed" {
	qemu_setup
	boots seal=off tmpfs
	boots seal=off,share=on,prealloc=on tmpfs
}

@test "QEMU, memory above the size of a file or of all: it says so and ends" {
	qemu_setup
	for seal in on off; do
		natively 0 bash -c "guest 5G seal=$seal"
		multi_tenant 1 bash -c "guest 5G seal=$seal"
		grep -q 'failed to resize memfd to 5368709120: File too large' supervised
		refused ftruncate EFBIG budget.memfd.size
	done
}

@test "QEMU, memory above resident: with prealloc it says so and ends" {
	qemu_setup
	natively 0 bash -c "guest 256M seal=off,prealloc=on"
	limited 's/resident: .*/resident: 64MiB/' 1 bash -c "guest 256M seal=off,prealloc=on"
	grep -q 'preallocating memory failed' supervised
	made memory-backend-memfd tmpfs
}

# ---- Wayland: clients share their buffers with the compositor ----

wayland_setup() {
	need weston weston-simple-shm weston-flower
	cat >session.sh <<'END'
# A compositor without a screen, and clients that run until it has shown a buffer of theirs.
set -u
show() {
	local log=$1 pid end=$((SECONDS + 20))
	shift
	: >"$log"
	WAYLAND_DEBUG=1 "$@" >"$log" 2>&1 &
	pid=$!
	until grep -q 'wl_buffer@[0-9]*\.release' "$log"; do
		[ $SECONDS -lt $end ] || break
		kill -0 $pid || break
		sleep 0.05
	done
	grep -q 'create_pool' "$log" && [ $SECONDS -lt $end ] && echo "$1 is shown"
	kill $pid
	wait $pid
}
XDG_RUNTIME_DIR=$(mktemp -d)
export XDG_RUNTIME_DIR WAYLAND_DISPLAY=fdwarden
weston --backend=headless-backend.so --no-config --idle-time=0 --socket=$WAYLAND_DISPLAY \
	>weston.log 2>&1 &
compositor=$!
for _ in {1..200}; do
	[ ! -S "$XDG_RUNTIME_DIR/$WAYLAND_DISPLAY" ] || break
	sleep 0.05
done
show shm.log weston-simple-shm
show flower.log weston-flower
kill $compositor
wait $compositor
echo "compositor: $?"
rm -rf "$XDG_RUNTIME_DIR"
END
	printf '%s\n' "weston-simple-shm is shown" "weston-flower is shown" "compositor: 0" >wanted
}

@test "Wayland: a compositor and its clients" {
	wayland_setup
	natively 0 bash session.sh
	diff wanted native
	multi_tenant 0 bash session.sh
	diff wanted supervised
	made weston-shared memfd
	made wayland-cursor memfd
}

@test "Wayland above the number of files: buffers are files on a disk" {
	wayland_setup
	natively 0 bash session.sh
	diff wanted native
	limited 's/memfds: .*/memfds: 1/' 0 bash session.sh
	diff wanted supervised
	refused memfd_create ENFILE budget.tenant.memfds
}

# ---- Python ----

@test "Python: memory shared with other processes" {
	cat >share.py <<'END'
import mmap, multiprocessing, os, socket
from fcntl import fcntl

F_ADD_SEALS, F_GET_SEALS = 1033, 1034
F_SEAL_SHRINK, F_SEAL_GROW, F_SEAL_WRITE = 2, 4, 8

def child(sock, size):
    fd = socket.recv_fds(sock, 1, 1)[1][0]
    with mmap.mmap(fd, size) as memory:
        memory[:5] = memory[:5].upper()
    sock.send(b".")

for name, flags in ("plain", os.MFD_CLOEXEC), ("sealed", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING):
    fd = os.memfd_create(name, flags)
    os.ftruncate(fd, 1 << 20)
    os.posix_fallocate(fd, 0, 2 << 20)
    os.pwrite(fd, b"hello", 0)
    ours, theirs = socket.socketpair()
    process = multiprocessing.get_context("fork").Process(target=child, args=(theirs, 2 << 20))
    process.start()
    socket.send_fds(ours, [b"."], [fd])
    ours.recv(1)
    process.join()
    print(name, process.exitcode, os.pread(fd, 5, 0), os.fstat(fd).st_size, os.fstat(fd).st_blocks)
    try:
        fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)
        os.pwrite(fd, b"x", 0)
    except OSError as error:
        print(name, error.strerror, fcntl(fd, F_GET_SEALS))
    print(os.readlink(f"/proc/self/fd/{fd}"))
END
	natively 0 python3 share.py
	multi_tenant 0 python3 share.py
	diff native supervised
	made plain tmpfs
	made sealed memfd
}

@test "Python above each limit" {
	cat >limits.py <<'END'
import errno, os, resource

GIB = 1 << 30
resource.setrlimit(resource.RLIMIT_NOFILE, (100, 100))

def attempt(what, function):
    try:
        function()
        print(what, "works")
    except OSError as error:
        print(what, errno.errorcode[error.errno])

def sized(flags, *sizes):
    files = [os.memfd_create("sized", flags) for _ in sizes]
    try:
        for fd, size in zip(files, sizes):
            os.ftruncate(fd, size)
    finally:
        for fd in files:
            os.close(fd)

def filled(flags, fill):
    fd = os.memfd_create("filled", flags)
    try:
        os.ftruncate(fd, 32 << 20)
        fill(fd)
    finally:
        os.close(fd)

def write(fd):
    for _ in range(32):
        if os.write(fd, bytes(1 << 20)) < 1 << 20:
            os.write(fd, b"x")

def many():
    files = []
    try:
        for _ in range(20):
            files.append(os.memfd_create("many"))
    finally:
        for fd in files:
            os.close(fd)

for kind, flags in ("plain", os.MFD_CLOEXEC), ("sealable", os.MFD_ALLOW_SEALING):
    attempt(kind + " one large", lambda: sized(flags, 5 * GIB))
    attempt(kind + " three", lambda: sized(flags, 3 * GIB, 3 * GIB, 3 * GIB))
    attempt(kind + " fallocate", lambda: filled(flags, lambda fd: os.posix_fallocate(fd, 0, 32 << 20)))
attempt("plain write", lambda: filled(os.MFD_CLOEXEC, write))
attempt("many", many)
attempt("after all that", lambda: sized(0, 1))
END
	natively 0 python3 limits.py
	[ "$(grep -c works native)" -eq 9 ]
	limited 's/memfds: .*/memfds: 10/; s/resident: .*/resident: 16MiB/' 0 python3 limits.py
	diff - supervised <<'END'
plain one large EFBIG
plain three ENOSPC
plain fallocate ENOSPC
sealable one large EFBIG
sealable three ENOSPC
sealable fallocate ENOSPC
plain write ENOSPC
many ENFILE
after all that works
END
	refused ftruncate EFBIG budget.memfd.size
	refused ftruncate ENOSPC budget.tenant.size
	# fallocate; ftruncate where what a file holds cannot be measured (CAP_DAC_READ_SEARCH).
	refused 'f[a-z]*' ENOSPC budget.tenant.resident
	refused memfd_create ENFILE budget.tenant.memfds
}

@test "Python: what the kernel refuses of huge pages it refuses before a quota does" {
	cat >huge.py <<'END'
import ctypes, errno

libc = ctypes.CDLL(None, use_errno=True)
HUGETLB, HUGE_SHIFT = 4, 26
for name, flags in (b"", 0x40), (bytes([97] * 250), 0), (b"", 0x18), (b"", 13 << HUGE_SHIFT), (None, 0):
    fd = libc.memfd_create(name, ctypes.c_uint(HUGETLB | flags))
    print(hex(flags), "works" if fd >= 0 else errno.errorcode[ctypes.get_errno()])
END
	natively 0 python3 huge.py
	multi_tenant 0 python3 huge.py
	diff native supervised
}

@test "Python: a memfd is executed" {
	cat >execute.py <<'END'
import errno, os

SEALABLE, EXEC = 2, 0x10

def attempt(what, flags, reopen=False):
    try:
        fd = os.memfd_create(what, flags)
    except OSError as error:
        if error.errno == errno.EINVAL and flags & EXEC: # before Linux 6.3
            return "executed"
        raise
    with open(os.path.realpath("/bin/true"), "rb") as program:
        os.write(fd, program.read())
    if reopen: # nobody has it open for writing any more, not even for a moment
        reader = os.open("/proc/self/fd/%d" % fd, os.O_RDONLY)
        os.close(fd)
        fd = reader
    child = os.fork()
    if child == 0:
        try:
            os.execve(fd, ["true"], {})
        except OSError as error:
            os._exit(error.errno)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return "execve " + errno.errorcode[code] if code else "executed"

for what, flags in ("plain", 0), ("exec", EXEC), ("sealable", SEALABLE):
    print(what, attempt(what, flags))
print("reopened", *{attempt("reopened", 0, True) for _ in range(50)})
END
	if [ "$(cat /proc/sys/vm/memfd_noexec 2>/dev/null || echo 0)" != 0 ]; then
		missing "vm.memfd_noexec is set"
	fi
	natively 0 python3 execute.py
	[ "$(grep -c executed native)" -eq 4 ]
	# Who does not say that it is to be executed has a file like those on any file system.
	multi_tenant 0 python3 execute.py
	diff - supervised <<'END'
plain execve ETXTBSY
exec executed
sealable executed
reopened executed
END
	made plain tmpfs
	# The rule that fdwarden-policy(5) gives.
	cp "$POLICIES/multi-tenant.yaml" rule.yaml
	cat >>rule.yaml <<'END'
rules:
- name: runs-what-it-wrote
  match: {comm: python3, name: plain}
  action: emulate
  backing: memfd
END
	under rule.yaml 0 python3 execute.py
	diff native supervised
	made plain memfd
}

# ---- What tries everything ----

@test "stress-ng --memfd" {
	need stress-ng
	stress=(stress-ng --memfd 2 --memfd-ops 6 --memfd-bytes 8M --memfd-fds 32 --verify --timeout 60)
	natively 0 "${stress[@]}"
	multi_tenant 0 "${stress[@]}"
	grep -q 'successful run' supervised
	made 'memfd-[0-9]*-0' tmpfs
}
