#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Installs what is needed, builds in every way that matters, runs every test. See usage() below.
set -u
cd "$(dirname "$0")/.." || exit 1
# shellcheck source=contrib/install.sh
. contrib/install.sh
# The tools of the packages first, which every user can run: no pyenv, no conda.
PATH=/usr/sbin:/usr/bin:/sbin:/bin:$PATH

usage() {
	cat <<'END'
Usage: sh contrib/test.sh [--fast] [--suite NAME]

  --fast         only the gcc build and its tests
  --suite NAME   only the tests of this suite (unit, live, cli, ...), in each build
  --help         this text

Builds below build-test/. The last line is "N passed, M failed", summed over all builds; the exit
status is 0 when nothing failed. With FDWARDEN_MUST_RUN=1 a test that this machine cannot run (no
root, no cgroup, an old kernel) counts as failed; else it is skipped, and the skips are listed.
END
}

fast=false
suite=
while [ $# -gt 0 ]; do
	case $1 in
	--fast) fast=true ;;
	--suite)
		[ $# -ge 2 ] || die "--suite needs a name"
		suite=$2
		shift
		;;
	--suite=*) suite=${1#*=} ;;
	-h | --help)
		usage
		exit 0
		;;
	*)
		usage >&2
		exit 2
		;;
	esac
	shift
done

passed=0
failed=0
begun=$(date +%s)

step() {
	say "== $* ($(($(date +%s) - begun)) s)"
}

# Adds "PASSED FAILED" to the sums.
count() {
	passed=$((passed + $1))
	failed=$((failed + $2))
}

# build NAME [MESON OPTION...]: configures and builds build-test/NAME, all of it or only what the
# variable targets names. A failure counts as one.
targets=
build() {
	name=$1
	shift
	step "build $name"
	dir=build-test/$name
	again=
	[ ! -f "$dir/build.ninja" ] || again=--reconfigure
	mkdir -p build-test
	# shellcheck disable=SC2086 # a list of words
	if ! meson setup $again "$dir" "$@" >"build-test/$name.log" 2>&1 ||
		! ninja -C "$dir" $targets >>"build-test/$name.log" 2>&1; then
		cat "build-test/$name.log" >&2
		say "The $name build failed."
		count 0 1
		return 1
	fi
}

# Prints "PASSED FAILED" from JUnit files of meson, and names what failed or was skipped.
# A test that ends badly after its last sub-test passed is in $1 only, the status of `meson test`.
junit_count() {
	python3 - "$@" <<'END'
import os, sys, xml.etree.ElementTree as tree

passed = failed = 0
must_run = os.environ.get("FDWARDEN_MUST_RUN") == "1"
suites = []
for path in filter(os.path.exists, sys.argv[2:]):
    suites += tree.parse(path).getroot().iter("testsuite")
for suite in suites:
    for case in suite.iter("testcase"):
        bad = case.find("failure") is not None or case.find("error") is not None
        skipped = case.find("skipped") is not None
        if skipped:
            print(f"skipped: {suite.get('name')}: {case.get('name')}", file=sys.stderr)
        if bad or (skipped and must_run):
            print(f"FAILED: {suite.get('name')}: {case.get('name')}", file=sys.stderr)
            failed += 1
        elif not skipped:
            passed += 1
if failed == 0 and sys.argv[1] != "0":
    failed = 1
print(passed, failed)
END
}

# run NAME LOG [OPTION of meson test...]: runs the tests of build-test/NAME and adds up.
run() {
	name=$1
	log=$2
	shift 2
	step "test $name: $log"
	[ -z "$suite" ] || set -- --suite "$suite" "$@"
	logs=build-test/$name/meson-logs
	rm -f "$logs/$log".junit.xml "$logs/$log"-*.junit.xml
	meson test -C "build-test/$name" --logbase "$log" --print-errorlogs "$@" \
		>"build-test/$name-$log.log" 2>&1 </dev/null
	status=$?
	[ $status -eq 0 ] || cat "build-test/$name-$log.log" >&2
	# With --wrap, meson adds the wrapper's name to the log's.
	# shellcheck disable=SC2046 # two numbers
	count $(junit_count $status "$logs/$log".junit.xml "$logs/$log"-*.junit.xml)
}

finish() {
	step "done"
	printf '%d passed, %d failed\n' "$passed" "$failed"
	[ "$failed" -eq 0 ]
	exit
}

packages_install contrib/packages-build.txt contrib/packages-test.txt

# gcc, as a distribution would build it: every test there is.
build gcc -Dwerror=true && run gcc all
! $fast || finish

# The same as an ordinary user: most supervised commands are not root's, and have no_new_privs. What
# needs root is skipped here, it was run above. The guest is a machine of its own, with its own root.
user="setpriv --reuid=65534 --regid=65534 --clear-groups --"
user_path=/usr/local/bin:/usr/bin:/bin # root's may lead into folders that the user cannot read
if [ "$(id -u)" -eq 0 ] && $user test -r build-test/gcc/build.ninja; then
	FDWARDEN_MUST_RUN=0 run gcc user --no-rebuild --no-suite guest \
		--wrap="$user env PATH=$user_path"
fi

# clang: its warnings, and the command lines for clang-tidy.
export CC=clang
build clang -Dwerror=true
unset CC

# Memory errors, leaks, undefined behaviour. No werror from here on: what the sanitizers add to the
# code makes gcc warn of what is not there.
build asan -Db_sanitize=address,undefined -Dc_args=-fno-sanitize-recover=undefined &&
	UBSAN_OPTIONS=print_stacktrace=1 run asan all -t 3

# Data races.
build tsan -Db_sanitize=thread && run tsan all -t 5

# The fuzzers, for a moment: they still build, run, and trip over nothing near. CONTRIBUTING.md says
# how to run them for longer.
fuzz() {
	step "fuzz $1"
	mkdir -p "build-test/fuzz/new-$1"
	if "build-test/fuzz/tests/fuzz/fuzz-$1" -max_total_time=20 -timeout=5 -print_final_stats=1 \
		-artifact_prefix="build-test/fuzz/" "build-test/fuzz/new-$1" \
		"tests/fuzz/corpus/$1" >"build-test/fuzz-$1.log" 2>&1; then
		count 1 0
	else
		cat "build-test/fuzz-$1.log" >&2
		count 0 1
	fi
}
if [ -z "$suite" ]; then
	export CC=clang
	targets="tests/fuzz/fuzz-policy tests/fuzz/fuzz-decide tests/fuzz/fuzz-tenant"
	if build fuzz -Dfuzz=true -Db_sanitize=address,undefined -Db_lundef=false; then
		fuzz policy
		fuzz decide
		fuzz tenant
	fi
	targets=
	unset CC
fi

# Values that were never set, which the sanitizers above do not see.
[ -n "$suite" ] || run gcc valgrind --suite unit -t 10 \
	--wrap='valgrind --quiet --error-exitcode=99 --exit-on-first-error=yes'

# One file, in a root directory that has nothing else.
build static -Dstatic=true -Dbuildtype=release -Dwerror=true && run static static --suite static

if [ -z "$suite" ]; then
	step "lint"
	sh contrib/lint.sh build-test/clang >build-test/lint.log
	grep -v '^ok' build-test/lint.log >&2
	count "$(grep -c '^ok' build-test/lint.log)" "$(grep -c '^not ok' build-test/lint.log)"
fi
finish
