#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# What the ready policies claim of execution, done for real by a program under them.
# Environment: BUILD_ROOT, SOURCE_ROOT.

bats_require_minimum_version 1.5.0

setup() {
	cat >"$BATS_TEST_TMPDIR/memfd.py" <<'END'
import ctypes, errno, mmap, os, sys

libc = ctypes.CDLL(None, use_errno=True)

def attempt(name, flags):
    """What became of it: made and executed, or which call failed how."""
    fd = libc.memfd_create(name.encode(), ctypes.c_uint(flags))
    if fd < 0:
        return "memfd_create " + errno.errorcode[ctypes.get_errno()]
    os.write(fd, open(os.path.realpath("/bin/true"), "rb").read())
    mmap.mmap(fd, 4096, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_EXEC).close()
    child = os.fork()
    if child == 0:
        try:
            os.execve(fd, ["true"], {})
        except OSError as error:
            os._exit(error.errno)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return "execve " + errno.errorcode[code] if code else "executed"

print(attempt(sys.argv[1], int(sys.argv[2], 0)))
END
}

# attempt POLICY NAME FLAGS
attempt() {
	"$BUILD_ROOT/supervisor/cli/fdwarden" run --policy "$SOURCE_ROOT/policies/$1.yaml" -- \
		python3 "$BATS_TEST_TMPDIR/memfd.py" "$2" "$3"
}

# MFD_NOEXEC_SEAL: Linux 6.3
need_noexec_seal() {
	python3 -c 'import os; os.memfd_create("", 8)' 2>/dev/null || {
		[ "${FDWARDEN_MUST_RUN-}" != 1 ]
		skip "this kernel has no MFD_NOEXEC_SEAL"
	}
}

@test "default: a memfd is executed, as natively" {
	[ "$(attempt default payload 1)" = executed ]
	[ "$(attempt default '' 0xffffffff)" = "memfd_create EINVAL" ]
}

@test "audit-only: what would be denied passes" {
	need_noexec_seal
	[ "$(attempt audit-only payload 0x11)" = executed ]
	[ "$(attempt audit-only payload 1)" = executed ]
}

@test "no-fileless-exec: a memfd is made and mapped, but not executed" {
	need_noexec_seal
	[ "$(attempt no-fileless-exec payload 1)" = "execve EACCES" ]
	[ "$(attempt no-fileless-exec kworker/0:1 3)" = "execve EACCES" ]
	[ "$(attempt no-fileless-exec java_heap 1)" = "execve EACCES" ]
}

@test "no-fileless-exec: asking for execution fails, probing says what the kernel says" {
	need_noexec_seal
	[ "$(attempt no-fileless-exec payload 0x11)" = "memfd_create EACCES" ]
	[ "$(attempt no-fileless-exec payload 0x18)" = "memfd_create EINVAL" ]
	[ "$(attempt no-fileless-exec runc_cloned:/proc/self/exe 3)" = "memfd_create ENOSYS" ]
}

@test "container-runtime: a runtime executes its clone" {
	[ "$(attempt container-runtime runc_cloned:/proc/self/exe 3)" = executed ]
	[ "$(attempt container-runtime crun_cloned:/proc/self/exe 3)" = executed ]
}

@test "jvm, vm, browser: other names are refused" {
	[ "$(attempt jvm payload 1)" = "memfd_create EPERM" ]
	[ "$(attempt vm payload 1)" = "memfd_create EPERM" ]
	[ "$(attempt browser payload 1)" = "memfd_create EPERM" ]
}
