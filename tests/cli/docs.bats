#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Manual pages and completions: well-formed, and about the same options.
# Environment: FDWARDEN, SOURCE_ROOT, MAN_DIR (built pages; empty when they are not built).

bats_require_minimum_version 1.5.0

setup() {
	completions=$SOURCE_ROOT/contrib/completions
}

# Skips without the program; FDWARDEN_MUST_RUN=1 turns that into a failure.
need() {
	command -v "$1" >/dev/null || {
		[ "${FDWARDEN_MUST_RUN-}" != 1 ]
		skip "no $1 here"
	}
}

# What bash offers for the last of the words given.
bash_offers() {
	bash -c '. "$1/fdwarden.bash"; shift
		COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
		_fdwarden 2>/dev/null
		printf "%s\n" "${COMPREPLY[@]}"' bash "$completions" "$@"
}

# What fish offers for a line.
fish_offers() {
	fish --no-config -c 'source $argv[1]; complete -C $argv[2]' "$completions/fdwarden.fish" "$1" |
		cut -f1
}

# All long options of `run`, as the manual has them.
manual_run_options() {
	sed -n '/^# OPTIONS OF RUN/,/^# OPTIONS OF CHECK/s/^\*.*\*\(--[a-z]*\)\*.*/\1/p
		/^# OPTIONS OF RUN/,/^# OPTIONS OF CHECK/s/^\*\(--[a-z]*\)\*.*/\1/p' \
		"$SOURCE_ROOT/contrib/man/fdwarden.1.scd" | sort -u
}

@test "completions are valid bash, zsh and fish" {
	bash -n "$completions/fdwarden.bash"
	need zsh
	zsh -n "$completions/_fdwarden"
	need fish
	fish -n "$completions/fdwarden.fish"
}

@test "each option of run in the manual is completed by each shell" {
	need fish
	options=$(manual_run_options)
	[ "$(wc -l <<<"$options")" -ge 8 ]
	in_bash=$(bash_offers fdwarden run --)
	in_fish=$(fish_offers "fdwarden run --")
	for option in $options; do
		grep -qx -e "$option" <<<"$in_bash"
		grep -qx -e "$option" <<<"$in_fish"
		grep -q -e "$option\>" "$completions/_fdwarden"
	done
}

@test "bash completes sub-commands, values, files and the command" {
	cd "$SOURCE_ROOT"
	[ "$(bash_offers fdwarden ch)" = check ]
	[ "$(bash_offers fdwarden run --mode au)" = audit ]
	[ "$(bash_offers fdwarden run --mode = en)" = enforce ]
	[ "$(bash_offers fdwarden run -p polici)" = policies ]
	[ "$(bash_offers fdwarden check meson.b)" = meson.build ]
	[ "$(bash_offers fdwarden coverage meson.b)" = meson.build ]
	bash_offers fdwarden run -p x -- unam | grep -qx uname
	[ "$(bash_offers fdwarden run -- uname meson.b)" = meson.build ]
}

# All long options of `coverage`, as its help has them.
coverage_options() {
	"$FDWARDEN" coverage --help | grep -o -e '--[a-z]*' | sort -u
}

@test "each option of coverage is in the manual and is completed by each shell" {
	need fish
	options=$(coverage_options)
	[ "$(wc -l <<<"$options")" -ge 3 ]
	manual=$(sed -n '/^# OPTIONS OF COVERAGE/,/^# EXIT STATUS/p' \
		"$SOURCE_ROOT/contrib/man/fdwarden.1.scd")
	in_bash=$(bash_offers fdwarden coverage --)
	in_fish=$(fish_offers "fdwarden coverage --")
	in_zsh=$(sed -n '/^_fdwarden_coverage()/,/^}/p' "$completions/_fdwarden")
	for option in $options; do
		grep -q -e "\*$option\*" <<<"$manual"
		grep -qx -e "$option" <<<"$in_bash"
		grep -qx -e "$option" <<<"$in_fish"
		grep -q -e "$option\>" <<<"$in_zsh"
	done
}

@test "rows of coverage are completed, one behind the other" {
	need fish
	[ "$(bash_offers "$FDWARDEN" coverage --require ftr | head -n 1)" = ftruncate ]
	[ "$(bash_offers "$FDWARDEN" coverage -r write,exec-)" = write,exec-map ]
	[ "$(fish_offers "$FDWARDEN coverage -r write,exec-")" = write,exec-map ]
}

@test "fish completes sub-commands, values, files and the command" {
	need fish
	cd "$SOURCE_ROOT"
	[ "$(fish_offers "fdwarden ch")" = check ]
	[ "$(fish_offers "fdwarden run --mode au")" = audit ]
	[ "$(fish_offers "fdwarden run -p polici")" = policies/ ]
	[ "$(fish_offers "fdwarden check meson.b")" = meson.build ]
	[ "$(fish_offers "fdwarden coverage meson.b")" = meson.build ]
	fish_offers "fdwarden run -p x -- unam" | grep -qx uname
	[ "$(fish_offers "fdwarden run uname meson.b")" = meson.build ]
}

@test "manual pages are well-formed" {
	need mandoc
	[ -n "$MAN_DIR" ] || {
		[ "${FDWARDEN_MUST_RUN-}" != 1 ]
		skip "built without scdoc"
	}
	for page in "$MAN_DIR"/*.[1-8]; do
		# scdoc writes a .PP after each heading, which mandoc calls superfluous: above that
		# level only.
		mandoc -T lint -W error "$page"
	done
}
@test "manual pages name only pages that exist" {
	for page in "$SOURCE_ROOT"/contrib/man/*.scd; do
		for name in $(grep -o '\*fdwarden[a-z-]*\*([1-8])' "$page" | tr -d '*' | sort -u); do
			file=${name%(*}.${name##*(}
			[ -f "$SOURCE_ROOT/contrib/man/${file%)}.scd" ]
		done
	done
}
