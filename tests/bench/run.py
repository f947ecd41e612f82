#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What supervised calls cost, against the bare loop that does the least.

Everything is measured in one run, in turns: a round goes once through all configurations, so
that what else the machine does falls on all of them. A ratio is the median over the rounds of the
ratio within a round. Prints a table; --json FILE writes all figures."""

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

FIGURES = ("mean_ns", "p50_ns", "p99_ns")
RULE_COUNTS = (1, 100, 1000, 10000)
KINDS = ("continue", "deny", "emulate")

POLICIES = {
    "continue": """\
rules:
- {name: plain, match: {flags: {none: [HUGETLB]}}, action: allow}
""",
    "deny": """\
rules:
- {name: plain, match: {flags: {none: [HUGETLB]}}, action: deny, errno: EPERM}
""",
    "emulate": """\
default: {action: deny, errno: EPERM}
rules:
- {name: buffers, match: {name: "bench-*"}, action: emulate}
""",
}


TRUNCATES = ("truncate-memfd", "truncate-new", "truncate-file")

# Where the files of a tenant with quotas are; all of them are in the ledger but those of "none".
BACKINGS = ("none", "memfd", "tmpfs", "disk")


def policy_of_backing(backing, directory):
    """No limit that the benchmark reaches."""
    if backing == "none":
        return 'rules:\n- {name: buffers, match: {name: "bench-*"}, action: emulate}\n'
    rule = f'- {{name: buffers, match: {{name: "bench-*"}}, action: emulate, backing: {backing}}}'
    spill = f"  spill: {{directory: {directory}, size: 1GiB}}\n" if backing == "disk" else ""
    return (
        "budget:\n  tenant: {memfds: 100000, size: 8GiB, resident: 1GiB}\n"
        f"{spill}rules:\n{rule}\n"
    )


def policy_of_rules(count):
    """Exact names and globs in turns; only the last rule matches what the caller asks for."""
    lines = ["version: 1", "default: {action: deny, errno: EPERM}", "rules:"]
    for number in range(count - 1):
        name = f"{{exact: buffer-{number}}}" if number % 2 else f'"pool-{number}-*"'
        lines.append(f"- {{name: r{number}, match: {{name: {name}}}, action: emulate}}")
    lines.append('- {name: last, match: {name: "bench-*"}, action: emulate}')
    return "\n".join(lines) + "\n"


class Bench:
    def __init__(self, options, directory):
        self.options = options
        self.caller = os.path.join(options.programs, "caller")
        self.bare_loop = os.path.join(options.programs, "bare-loop")
        self.directory = directory
        for kind, text in POLICIES.items():
            self.write_policy(kind, "version: 1\n" + text)
        for count in RULE_COUNTS:
            self.write_policy(f"rules-{count}", policy_of_rules(count))
        for backing in BACKINGS:
            text = policy_of_backing(backing, directory)
            self.write_policy(f"backing-{backing}", "version: 1\n" + text)

    def write_policy(self, name, text):
        with open(self.policy(name), "w", encoding="ascii") as file:
            file.write(text)

    def policy(self, name):
        return os.path.join(self.directory, name + ".yaml")

    def fdwarden(self, policy):
        return [self.options.fdwarden, "run", "--policy", self.policy(policy), "--"]

    def configurations(self):
        """Name, prefix of the command, what the caller calls."""
        yield "native", [], "memfd"
        yield "idle filter", [self.bare_loop, "idle", "--"], "memfd"
        for kind in KINDS:
            yield f"{kind}: bare loop", [self.bare_loop, kind, "--"], "memfd"
            yield f"{kind}: fdwarden", self.fdwarden(kind), "memfd"
        yield "emulate2: bare loop", [self.bare_loop, "emulate2", "--"], "memfd"
        for count in RULE_COUNTS:
            yield f"rules: {count}", self.fdwarden(f"rules-{count}"), "memfd"
        yield "create+close: native", [], "memfd-close"
        yield "create+close: bare loop", [self.bare_loop, "emulate2", "--"], "memfd-close"
        for backing in BACKINGS:
            yield f"create+close: {backing}", self.fdwarden(f"backing-{backing}"), "memfd-close"
        for call in TRUNCATES:
            yield f"{call}: native", [], call
            yield f"{call}: bare loop", [self.bare_loop, "ftruncate", "--"], call
            yield f"{call}: fdwarden", self.fdwarden("backing-memfd"), call
        yield "getppid: native", [], "getppid"
        yield "getppid: idle filter", [self.bare_loop, "idle", "--"], "getppid"
        yield "getppid: fdwarden", self.fdwarden("emulate"), "getppid"

    def measure(self, prefix, call):
        count = max(self.options.calls // 10, 1) if call == "getppid" else self.options.calls
        run = subprocess.run(
            [*prefix, self.caller, call, str(count)],
            stdout=subprocess.PIPE,
            check=True,
            timeout=300,
        )
        return json.loads(run.stdout)

    def rounds(self):
        """For each configuration, the figures of each round."""
        figures = {name: [] for name, _, _ in self.configurations()}
        for _ in range(self.options.rounds):
            for name, prefix, call in self.configurations():
                figures[name].append(self.measure(prefix, call))
        return figures

    def start_up(self):
        """Median time from posix_spawn to having waited, in microseconds."""
        true = shutil.which("true")
        commands = {"true": [true], "fdwarden": [self.options.fdwarden, "run", "--", true]}
        bwrap = shutil.which("bwrap")
        bwrap_true = [bwrap, "--dev-bind", "/", "/", true]
        # Not where it may not mount, as in a chroot.
        if bwrap and subprocess.run(bwrap_true, check=False, stderr=subprocess.DEVNULL).returncode == 0:
            commands["bwrap"] = bwrap_true
        times = {name: [] for name in commands}
        for _ in range(self.options.starts):
            for name, argv in commands.items():
                start = time.perf_counter_ns()
                pid = os.posix_spawn(argv[0], argv, os.environ)
                _, status = os.waitpid(pid, 0)
                times[name].append((time.perf_counter_ns() - start) / 1000)
                if status:
                    raise SystemExit(f"{argv}: status {status:#x}")
        return {name: statistics.median(values) for name, values in times.items()}


def medians(rounds):
    return {
        name: {figure: statistics.median(r[figure] for r in values) for figure in FIGURES}
        for name, values in rounds.items()
    }


def ratio(rounds, name, reference, figure):
    pairs = zip(rounds[name], rounds[reference])
    return statistics.median(a[figure] / b[figure] for a, b in pairs)


def difference(rounds, name, reference):
    """Of the p50, in microseconds."""
    pairs = zip(rounds[name], rounds[reference])
    return statistics.median((a["p50_ns"] - b["p50_ns"]) / 1000 for a, b in pairs)


def compare(rounds):
    """The figures that the bars are about."""
    result = {}
    for kind in KINDS:
        for figure in FIGURES:
            result[f"{kind} {figure[:-3]}"] = ratio(
                rounds, f"{kind}: fdwarden", f"{kind}: bare loop", figure
            )
    # What a file's way through two steps costs, and what fdwarden adds to that.
    for figure in FIGURES:
        result[f"emulate to 2 steps {figure[:-3]}"] = ratio(
            rounds, "emulate: fdwarden", "emulate2: bare loop", figure
        )
    for call in TRUNCATES:
        for figure in FIGURES:
            result[f"{call} {figure[:-3]}"] = ratio(
                rounds, f"{call}: fdwarden", f"{call}: bare loop", figure
            )
    for backing in BACKINGS[1:]:
        result[f"{backing} - no ledger, us"] = difference(
            rounds, f"create+close: {backing}", "create+close: none"
        )
    result["getppid to native"] = ratio(rounds, "getppid: fdwarden", "getppid: native", "p50_ns")
    result["getppid to idle"] = ratio(
        rounds, "getppid: fdwarden", "getppid: idle filter", "p50_ns"
    )
    result["1000 rules - 1, us"] = difference(rounds, "rules: 1000", "rules: 1")
    return result


def pin(cpus):
    os.sched_setaffinity(0, cpus)


def print_table(report):
    for placement, part in report["placements"].items():
        print(f"\n{placement:<26}{'mean':>10}{'p50':>10}{'p99':>10}   us a call")
        for name, figures in part["figures"].items():
            print(f"  {name:<24}" + "".join(f"{figures[f] / 1000:10.3f}" for f in FIGURES))
        print("  to the bare loop, the median of the rounds' ratios:")
        for name, value in part["compared"].items():
            print(f"    {name:<22}{value:10.3f}")
    print("\nstart-up, us")
    for name, value in report["start_up_us"].items():
        print(f"  {name:<24}{value:10.0f}")


def check(report):
    """The smoke test: that all is there and was measured, never how long it took."""
    for placement in report["placements"].values():
        for name, figures in placement["figures"].items():
            for figure in FIGURES:
                if figures[figure] <= 0:
                    raise SystemExit(f"{name}: {figure} is not positive")
    if min(report["start_up_us"].values()) <= 0:
        raise SystemExit("start-up took no time")


def parse_options():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--fdwarden", required=True, help="the program")
    parser.add_argument("--programs", required=True, help="directory of caller and bare-loop")
    parser.add_argument("--json", metavar="FILE", help="write all figures there")
    parser.add_argument("--rounds", type=int, default=25)
    parser.add_argument("--calls", type=int, default=2000, help="calls in each round")
    parser.add_argument("--starts", type=int, default=200)
    parser.add_argument("--quick", action="store_true", help="only show that it works")
    options = parser.parse_args()
    if options.quick:
        options.rounds, options.calls, options.starts = 1, 100, 3
    return options


def main():
    options = parse_options()
    cpus = os.sched_getaffinity(0)
    placements = {"free": cpus, "pinned to one CPU": {max(cpus)}}
    report = {
        "kernel": platform.release(),
        "machine": platform.machine(),
        "cpus": len(cpus),
        "rounds": options.rounds,
        "calls": options.calls,
        "placements": {},
    }
    with tempfile.TemporaryDirectory(prefix="fdwarden-bench.") as directory:
        bench = Bench(options, directory)
        for name, where in placements.items():
            pin(where)
            rounds = bench.rounds()
            report["placements"][name] = {
                "figures": medians(rounds),
                "compared": compare(rounds),
                "rounds": rounds,
            }
        pin(cpus)
        report["start_up_us"] = bench.start_up()
    print_table(report)
    if options.json:
        with open(options.json, "w", encoding="ascii") as file:
            json.dump(report, file, indent=1)
            file.write("\n")
    check(report)
    return 0


if __name__ == "__main__":
    sys.exit(main())
