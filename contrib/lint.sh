#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Checks what a reviewer would otherwise have to: prints one "ok" or "not ok" line for each check,
# with the findings above it.
#
#	sh contrib/lint.sh [BUILD_DIR]
#
# BUILD_DIR, a configured build, adds clang-tidy, which needs the compiler's command lines.
set -u
cd "$(dirname "$0")/.." || exit 1
build=${1:-}
failed=0
FUNCTION_LINES=100
FILE_LINES=600

found=$(mktemp)
trap 'rm -f "$found"' EXIT

# Files under version control, and new ones that git does not ignore.
files() {
	git -c safe.directory='*' ls-files --cached --others --exclude-standard --deduplicate -- "$@" |
		while IFS= read -r file; do
			[ ! -f "$file" ] || printf '%s\n' "$file"
		done
}

# report NAME STATUS: the check passed when STATUS is 0 and it found nothing to say.
report() {
	if [ "$2" -eq 0 ] && [ ! -s "$found" ]; then
		printf 'ok - %s\n' "$1"
	else
		sed 's/^/    /' "$found"
		printf 'not ok - %s\n' "$1"
		failed=1
	fi
}

format() {
	files '*.c' '*.h' | xargs -r clang-format --dry-run -Werror
}

# Prints the layers that a layer may include, itself among them.
layers_below() {
	case $1 in
	base) echo "base" ;;
	kernel) echo "base kernel" ;;
	policy) echo "base policy" ;;
	core) echo "base kernel policy core" ;;
	cli) echo "base kernel policy core cli" ;;
	*) return 1 ;;
	esac
}

include_direction() {
	files 'supervisor/*.c' 'supervisor/*.h' | while IFS= read -r file; do
		layer=${file#supervisor/}
		layer=${layer%%/*}
		below=$(layers_below "$layer") || {
			echo "$file: the layer $layer is not known to contrib/lint.sh"
			continue
		}
		sed -n 's/^[[:space:]]*#[[:space:]]*include[[:space:]]*"\([^"]*\)".*/\1/p' "$file" |
			while IFS= read -r header; do
				case $header in
				*../*) echo "$file: \"$header\": name headers from supervisor/ on" ;;
				fdwarden/*) ;;
				*/*) case " $below " in
					*" ${header%%/*} "*) ;;
					*) echo "$file: $layer must not include \"$header\"" ;;
					esac ;;
				*) echo "$file: \"$header\": write \"$layer/$header\"" ;;
				esac
			done
	done
}

function_length() {
	files '*.c' '*.h' | xargs -r ctags -f - --languages=C --kinds-C=f --fields=+ne --excmd=number |
		awk -F '\t' -v limit="$FUNCTION_LINES" '
			{
				start = end = 0
				for (i = 4; i <= NF; i++) {
					if ($i ~ /^line:/) start = substr($i, 6)
					if ($i ~ /^end:/) end = substr($i, 5)
				}
				if (end && end - start + 1 > limit)
					printf "%s:%d: %s has %d lines, more than %d\n", \
						$2, start, $1, end - start + 1, limit
			}'
}

file_length() {
	files '*.c' '*.h' '*.sh' '*.bats' | xargs -r awk -v limit="$FILE_LINES" '
		FNR == limit + 1 { printf "%s: more than %d lines\n", FILENAME, limit }'
}

spdx() {
	files '*.c' '*.h' '*.sh' '*.bats' '*.py' '*.S' '*meson.build' .ci/run \
		'contrib/completions/*' 'policies/*.yaml' |
		while IFS= read -r file; do
			[ ! -s "$file" ] || head -n 3 "$file" | grep -q 'SPDX-License-Identifier: Apache-2.0' ||
				echo "$file: no SPDX line among the first three"
		done
}

unfinished() {
	! files ':!LICENSE' ':!tests/fuzz/*corp*' |
		xargs -r grep -InE '\b(TO''DO|FIX''ME|X''XX)\b'
}

shell_scripts() {
	files '*.sh' '*.bash' '*.bats' .ci/run | xargs -r shellcheck -x
}

cppcheck_sources() {
	# missingIncludeSystem speaks of cppcheck, not of the code: it brings no libc headers.
	files 'supervisor/*.c' 'contrib/*.c' | xargs -r cppcheck --quiet --error-exitcode=1 \
		--std=c11 --inline-suppr -D_GNU_SOURCE -D__x86_64__ '-DFDWARDEN_VERSION="0"' \
		--enable=warning,performance,portability \
		--suppress=missingIncludeSystem -I supervisor -I include
}

clang_tidy() {
	files 'supervisor/*.c' | xargs -r -n 4 -P "$(nproc)" clang-tidy -p "$build" --quiet \
		--extra-arg=-Wno-unknown-warning-option --extra-arg=-Wno-ignored-optimization-argument \
		2>/dev/null
}

git -c safe.directory='*' rev-parse HEAD >/dev/null || exit 1 # no list of files, no check

format >"$found" 2>&1
report "clang-format" $?
include_direction >"$found" 2>&1
report "include direction: base <- {kernel, policy} <- core <- cli" $?
function_length >"$found" 2>&1
report "functions of at most $FUNCTION_LINES lines" $?
file_length >"$found" 2>&1
report "files of at most $FILE_LINES lines" $?
spdx >"$found" 2>&1
report "an SPDX line in each source" $?
unfinished >"$found" 2>&1
report "nothing left unfinished" $?
shell_scripts >"$found" 2>&1
report "shellcheck" $?
cppcheck_sources >"$found" 2>&1
report "cppcheck" $?
if [ -n "$build" ]; then
	clang_tidy >"$found" 2>&1
	report "clang-tidy" $?
fi
exit "$failed"
