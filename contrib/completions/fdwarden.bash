# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# bash completion for fdwarden(1)

# The index of the first word of COMMAND in `fdwarden run [OPTION...] [--] COMMAND`, or nothing.
_fdwarden_command_index()
{
	local i
	for ((i = 2; i < COMP_CWORD; i++)); do
		case ${COMP_WORDS[i]} in
		--)
			echo $((i + 1))
			return
			;;
		-p | --policy | -e | --events | --format | -m | --memory | --mode | -t | --tenant)
			((i++))
			# bash splits "--mode=audit" into three words.
			[[ ${COMP_WORDS[i]} == = ]] && ((i++))
			;;
		-*) ;;
		*)
			echo "$i"
			return
			;;
		esac
	done
}

_fdwarden_words()
{
	mapfile -t COMPREPLY < <(compgen -W "$1" -- "$2")
}

_fdwarden_files()
{
	compopt -o filenames 2>/dev/null
	mapfile -t COMPREPLY < <(compgen -f -- "$1")
}

_fdwarden_run()
{
	local cur=$1 prev=$2 index
	index=$(_fdwarden_command_index)
	if [[ -n $index ]]; then
		if declare -F _command_offset >/dev/null; then
			_command_offset "$index"
		elif ((COMP_CWORD == index)); then
			mapfile -t COMPREPLY < <(compgen -c -- "$cur")
		else
			_fdwarden_files "$cur"
		fi
		return
	fi
	case $prev in
	-p | --policy) _fdwarden_files "$cur" ;;
	-e | --events)
		_fdwarden_files "$cur"
		mapfile -t -O "${#COMPREPLY[@]}" COMPREPLY < <(compgen -W "- stderr fd:" -- "$cur")
		;;
	--format) _fdwarden_words "json tracee" "$cur" ;;
	--mode) _fdwarden_words "enforce audit" "$cur" ;;
	-m | --memory) _fdwarden_words "64MiB 256MiB 1GiB 4GiB" "$cur" ;;
	-t | --tenant) ;;
	*)
		if [[ $cur == -* ]]; then
			_fdwarden_words "--policy --events --format --summary --memory --mode
				--tenant --help --" "$cur"
		else
			mapfile -t COMPREPLY < <(compgen -c -- "$cur")
		fi
		;;
	esac
}

# The rows' names, behind those that are there already.
_fdwarden_coverage_rows()
{
	local cur=$1 before=
	[[ $cur == *,* ]] && before=${cur%,*},
	_fdwarden_words "all $("${COMP_WORDS[0]}" coverage 2>/dev/null |
		awk '/^(closed|bounded|sampled|open) / {print $2}')" "${cur##*,}"
	COMPREPLY=("${COMPREPLY[@]/#/$before}")
}

_fdwarden_coverage()
{
	local cur=$1 prev=$2
	case $prev in
	-r | --require) _fdwarden_coverage_rows "$cur" ;;
	*)
		if [[ $cur == -?* ]]; then
			_fdwarden_words "--json --require --help" "$cur"
		else
			_fdwarden_files "$cur"
		fi
		;;
	esac
}

_fdwarden()
{
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]}
	COMPREPLY=()
	if [[ $cur == = ]]; then
		cur=
	elif [[ $prev == = ]]; then
		prev=${COMP_WORDS[COMP_CWORD - 2]}
	fi
	if ((COMP_CWORD == 1)); then
		_fdwarden_words "run check coverage help --help --version" "$cur"
		return
	fi
	case ${COMP_WORDS[1]} in
	run) _fdwarden_run "$cur" "$prev" ;;
	check)
		if [[ $cur == -?* ]]; then
			_fdwarden_words "--json --quiet --help" "$cur"
		else
			_fdwarden_files "$cur"
		fi
		;;
	coverage) _fdwarden_coverage "$cur" "$prev" ;;
	help) _fdwarden_words "run check coverage" "$cur" ;;
	esac
}

complete -F _fdwarden fdwarden
