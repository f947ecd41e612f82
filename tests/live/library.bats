# SPDX-License-Identifier: Apache-2.0
# libfdwarden as programs embed it: contrib/examples, linked with the shared and the static library.

setup() {
	POLICY=$BATS_TEST_TMPDIR/policy.yaml
	cat >"$POLICY" <<-END
		version: 1
		rules:
		- name: no-secrets
		  match: {name: "secret*"}
		  action: deny
		  errno: EACCES
	END
}

supervises() {
	run "$1" "$POLICY" python3 -c '
import os, sys
assert os.memfd_create("plain") > 2
try:
    os.memfd_create("secret-1")
except PermissionError:
    sys.exit(42)'
	echo "$output"
	[ "$status" -eq 42 ]
	[[ "${lines[0]}" == "emulate: rule default, flags 0x1, fd "*", Success" ]]
	[[ "${lines[1]}" == "deny: rule no-secrets, flags 0x1, fd -1, Permission denied" ]]
	[ "${#lines[@]}" -eq 2 ]
}

@test "the example with the shared library" {
	supervises "$BUILD_ROOT/contrib/examples/supervise"
}

@test "the example with the static library" {
	supervises "$BUILD_ROOT/contrib/examples/supervise-static"
}

@test "a wrong policy is told with its place" {
	printf 'version: 1\nmdoe: audit\n' >"$POLICY"
	run "$BUILD_ROOT/contrib/examples/supervise" "$POLICY" true
	[ "$status" -eq 2 ]
	[[ "$output" == "$POLICY:2:1: "*mdoe* ]]
}

@test "the libraries show nothing but their public names" {
	for library in "$BUILD_ROOT"/supervisor/libfdwarden.so "$BUILD_ROOT"/supervisor/libfdwarden.a; do
		run sh -c "nm -g --defined-only '$library' | awk 'NF == 3 && \$2 == \"T\" { print \$3 }
			NF == 3 && \$2 ~ /[BDRVW]/ { print \"not a function: \" \$3 }' |
			sed 's/@.*//' | grep -v -e '^fdwarden_' -e __odr_asan"
		echo "$output"
		[ -z "$output" ]
	done
}

@test "the example is short" {
	[ "$(wc -l <"$SOURCE_ROOT/contrib/examples/supervise.c")" -le 60 ]
}
