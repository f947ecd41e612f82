# SPDX-License-Identifier: Apache-2.0
# fish completion for fdwarden(1)

# Succeeds while the command of `fdwarden run` is still to be named.
function __fdwarden_run_options
    set -l tokens (commandline -opc)
    test (count $tokens) -ge 2; and test "$tokens[2]" = run; or return 1
    set -l skip 0
    for token in $tokens[3..-1]
        if test $skip = 1
            set skip 0
            continue
        end
        switch $token
            case --
                return 1
            case -p --policy -e --events --format -m --memory --mode -t --tenant
                set skip 1
            case '-*'
                continue
            case '*'
                return 1
        end
    end
    return 0
end

function __fdwarden_run_command
    set -l tokens (commandline -opc)
    test (count $tokens) -ge 2; and test "$tokens[2]" = run; or return 1
    not __fdwarden_run_options; or not string match -q -- '-*' (commandline -ct)
end

# What follows the options of `run`, as if it stood alone.
function __fdwarden_complete_subcommand
    set -l tokens (commandline -opc) (commandline -ct)
    set -e tokens[1..2]
    while set -q tokens[2]
        switch $tokens[1]
            case --
                set -e tokens[1]
                break
            case -p --policy -e --events --format -m --memory --mode -t --tenant
                set -e tokens[1..2]
            case '-*'
                set -e tokens[1]
            case '*'
                break
        end
    end
    complete -C "$tokens"
end

# The names of the rows of `fdwarden coverage`, behind those that are there already.
function __fdwarden_coverage_rows
    set -l before (string match -r '.*,' -- (commandline -ct | string replace -r '^(--require=|-r)' ''))
    set -l program (commandline -opc)[1]
    for row in all ($program coverage 2>/dev/null | string match -r -g '^(?:closed|bounded|sampled|open) +(\S+)')
        echo $before$row
    end
end

complete -c fdwarden -f
complete -c fdwarden -n __fish_use_subcommand -a run -d 'Run a command under a policy'
complete -c fdwarden -n __fish_use_subcommand -a check -d 'Check policies for mistakes'
complete -c fdwarden -n __fish_use_subcommand -a coverage -d 'Show what a policy leaves open'
complete -c fdwarden -n __fish_use_subcommand -a help -d 'Show help'
complete -c fdwarden -n __fish_use_subcommand -l version -d 'Show the version'
complete -c fdwarden -l help -d 'Show help' -n 'not __fdwarden_run_command'

complete -c fdwarden -n __fdwarden_run_options -s p -l policy -r -F -d 'Policy to enforce'
complete -c fdwarden -n __fdwarden_run_options -s e -l events -r -F -a '- stderr fd:' \
    -d 'Write a line for each decision'
complete -c fdwarden -n __fdwarden_run_options -l format -x -a 'json tracee' -d 'Shape of events'
complete -c fdwarden -n __fdwarden_run_options -s s -l summary -d 'Print a table at the end'
complete -c fdwarden -n __fdwarden_run_options -s m -l memory -x -d 'Limit the memory of the command'
complete -c fdwarden -n __fdwarden_run_options -l mode -x -a 'enforce audit' \
    -d "Instead of the policy's own mode"
complete -c fdwarden -n __fdwarden_run_options -s t -l tenant -x -d 'Name in events'
complete -c fdwarden -n __fdwarden_run_command -xa '(__fdwarden_complete_subcommand)'

complete -c fdwarden -n '__fish_seen_subcommand_from check' -s j -l json -d 'Print JSON'
complete -c fdwarden -n '__fish_seen_subcommand_from check' -s q -l quiet -d 'Print mistakes only'
complete -c fdwarden -n '__fish_seen_subcommand_from check' -F
complete -c fdwarden -n '__fish_seen_subcommand_from coverage' -s j -l json -d 'Print JSON'
complete -c fdwarden -n '__fish_seen_subcommand_from coverage' -s r -l require -x \
    -a '(__fdwarden_coverage_rows)' -d 'Fail if any of these is open'
complete -c fdwarden -n '__fish_seen_subcommand_from coverage' -F
complete -c fdwarden -n '__fish_seen_subcommand_from help' -a 'run check coverage'
