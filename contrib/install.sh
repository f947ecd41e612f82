# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=sh
# Sourced by quickstart.sh and test.sh: installs what a list of Debian packages names.

say() {
	printf '%s\n' "$*" >&2
}

die() {
	say "$0: $*"
	exit 1
}

# Prints the names in the lists, one per line: "#" starts a comment, "name [arch]" is for that
# architecture only.
packages_listed() {
	arch=$(dpkg --print-architecture)
	sed 's/#.*//' "$@" | while read -r name only; do
		case $only in
		"" | "[$arch]") [ -z "$name" ] || printf '%s\n' "$name" ;;
		esac
	done
}

# Prints those names whose package is not installed. One dpkg-query for all: this runs each time.
packages_missing() {
	wanted=$(packages_listed "$@")
	# shellcheck disable=SC2086 # a list of words
	have=$(dpkg-query -W -f '${Package} ${db:Status-Status}\n' $wanted 2>/dev/null |
		sed -n 's/ installed$//p')
	for name in $wanted; do
		case "
$have
" in
		*"
$name
"*) ;;
		*) printf '%s\n' "$name" ;;
		esac
	done
}

# Installs what is missing from the lists; needs root, or sudo.
packages_install() {
	command -v dpkg-query >/dev/null 2>&1 || {
		say "This is not Debian: please install what these lists name yourself: $*"
		return 0
	}
	missing=$(packages_missing "$@" | tr '\n' ' ')
	[ -n "$missing" ] || return 0
	as_root=
	if [ "$(id -u)" -ne 0 ]; then
		command -v sudo >/dev/null 2>&1 ||
			die "packages are missing, and there is no sudo here. As root: apt-get install $missing"
		as_root=sudo
	fi
	say "Installing: $missing"
	log=$(mktemp)
	for command in "update -q" "install -q -y --no-install-recommends $missing"; do
		# shellcheck disable=SC2086 # options and lists of words
		$as_root env DEBIAN_FRONTEND=noninteractive \
			apt-get -o DPkg::Lock::Timeout=300 $command >"$log" 2>&1 </dev/null || {
			cat "$log" >&2
			rm -f "$log"
			die "apt-get ${command%% *} failed, see above"
		}
	done
	rm -f "$log"
}
