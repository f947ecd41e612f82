#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# From nothing to a supervised program: installs what the build needs, builds fdwarden, runs a
# command under the default policy. See usage() below.
set -eu
here=$(cd "$(dirname "$0")/.." && pwd)
# shellcheck source=contrib/install.sh
. "$here/contrib/install.sh"
build=$here/build-quickstart
fdwarden=$build/supervisor/cli/fdwarden

usage() {
	cat <<'END'
Usage: sh contrib/quickstart.sh                   builds, then shows a program and what was decided
       sh contrib/quickstart.sh -- COMMAND...     builds, then runs COMMAND under the default policy

Works on Debian 12 and later. Installs the packages of contrib/packages-build.txt if they are missing
(this needs root or sudo); builds into build-quickstart/. Says nothing when all is built already.
END
}

build_fdwarden() {
	packages_install "$here/contrib/packages-build.txt"
	mkdir -p "$build"
	log=$build/quickstart.log
	if [ ! -f "$build/build.ninja" ]; then
		say "Configuring ..."
		meson setup "$build" "$here" --buildtype=release -Dtests=disabled >"$log" 2>&1 || {
			cat "$log" >&2
			die "meson setup failed, see above"
		}
	fi
	[ -x "$fdwarden" ] || say "Building ..."
	ninja -C "$build" >"$log" 2>&1 </dev/null || {
		cat "$log" >&2
		die "the build failed, see above"
	}
}

demo() {
	events=$(mktemp)
	trap 'rm -f "$events"' EXIT
	cat <<'END'
A Python program makes some memfds. fdwarden receives each memfd_create(2), judges it by the default
policy (policies/default.yaml, which refuses nothing) and answers. The program notices nothing.

--- the program ---------------------------------------------------------------------------------
END
	"$fdwarden" run --events "$events" --summary -- python3 -c '
import errno, os, subprocess, sys

def attempt(what, name, flags):
    try:
        fd = os.memfd_create(name, flags)
    except OSError as error:
        print(f"{what}: {errno.errorcode[error.errno]} ({error.strerror})")
        return -1
    link = os.readlink(f"/proc/self/fd/{fd}")
    print(f"{what}: descriptor {fd}, {link!a}")
    return fd

MFD_NOEXEC_SEAL, MFD_EXEC = 0x8, 0x10
attempt("a plain buffer", "buffer", os.MFD_CLOEXEC)
attempt("one that can be sealed", "sealed", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
attempt("a name with an escape sequence", "\033[31mred", os.MFD_CLOEXEC)
attempt("one in huge pages", "huge", os.MFD_CLOEXEC | os.MFD_HUGETLB)
attempt("never to be executed", "data", os.MFD_CLOEXEC | MFD_NOEXEC_SEAL)
program = attempt("asked to be executable", "program", MFD_EXEC)
if program >= 0:
    with open("/bin/true", "rb") as source:
        os.write(program, source.read())
    try:
        subprocess.run([f"/proc/self/fd/{program}"], pass_fds=[program], check=True)
        print("a program that was never on a disk: ran")
    except OSError as error:
        print(f"a program that was never on a disk: {error.strerror}")
sys.stdout.flush()
' && status=0 || status=$?
	cat <<'END'

--- what fdwarden decided -----------------------------------------------------------------------
END
	explain "$events"
	cat <<END

Each decision is one line of JSON, fdwarden-events(5). The first one was:
$(head -n 1 "$events")

Next:
  sh contrib/quickstart.sh -- COMMAND...       run any program this way
  $fdwarden run --policy $here/policies/no-fileless-exec.yaml --events - -- COMMAND...
  $fdwarden help run
END
	return "$status"
}

# Says in words what the lines of JSON in a file say.
explain() {
	python3 - "$1" <<'END'
import json, sys

WORDS = {
    "emulate": "fdwarden made the file itself and gave the program a descriptor of it",
    "allow": "the kernel was told to go on with the call",
    "deny": "refused",
    "kill": "the program was killed",
}
with open(sys.argv[1]) as events:
    for line in events:
        event = json.loads(line)
        if "decision" not in event:
            continue
        name = ascii(event.get("name"))[1:-1] if event.get("name") is not None else "(unreadable)"
        words = WORDS.get(event["decision"], event["decision"])
        if event.get("errno"):
            words += f", the call failed with {event['errno']}"
        flags = ", ".join(event.get("flags") or ["no flags"])
        print(f"\"{name}\" ({flags}): {words}.")
        print(f"    rule {event['rule']}: {event['reason']}; {event['latency_ns'] / 1000:.0f} µs")
END
}

case ${1-} in
"") ;;
--)
	shift
	[ $# -gt 0 ] || {
		usage >&2
		exit 2
	}
	;;
-h | --help)
	usage
	exit 0
	;;
*)
	usage >&2
	exit 2
	;;
esac

build_fdwarden
[ $# -eq 0 ] || exec "$fdwarden" run -- "$@"
demo
