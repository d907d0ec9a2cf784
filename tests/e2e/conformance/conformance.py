#!/usr/bin/env python3
"""Runs iscsi-test-cu (libiscsi-bin) against a target: every test in a process of its own, over two
portals of one unit, in several set-ups of the unit.

One process per test because a failing test leaves damage behind (reservations, odd mode pages) that
makes the next ones fail. After anything but a pass or a skip the unit is thrown away and made anew.

Exit status 0: every result is what the expectation list says and every test passed in some set-up that
was run (unless the list says that it passes nowhere). A pass that the list did not expect is reported
and does not fail the run.
"""
import argparse
import concurrent.futures
import dataclasses
import json
import os
import pathlib
import queue
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
import setups  # noqa: E402
import verdict  # noqa: E402
from target_under_test import SLOWNESS, TargetFailed, open_target  # noqa: E402

TOOL = "iscsi-test-cu"


def all_tests():
    listed = subprocess.run([TOOL, "--list"], capture_output=True, text=True, check=True).stdout
    return re.findall(r"^ALL\.([^.\s]+\.\S+)$", listed, re.MULTILINE)


class Worker:
    """One target of its own, on which it runs one test after the other."""

    def __init__(self, kind, setup, directory, timeout):
        self.kind, self.setup, self.directory = kind, setup, directory
        self.timeout = max(timeout, setup.timeout) * SLOWNESS
        self.target = None

    def run(self, test):
        began = time.monotonic()
        try:
            if self.target is None:
                self.target = open_target(self.kind, self.setup.unit, self.directory)
                self.target.start()
            result = self._run(test)
        except TargetFailed as failure:
            result = verdict.Verdict(verdict.TARGET_DIED, reason=str(failure)[:400])
        if self.target is not None and not self.target.is_alive():
            result = verdict.Verdict(verdict.TARGET_DIED, result.assertions, self.target.log_tail(3)[:400])
        if result.outcome not in (verdict.PASSED, verdict.SKIPPED, verdict.EMPTY):
            self.close()
        result.seconds = round(time.monotonic() - began, 3)
        return result

    def _run(self, test):
        digest = self.setup.digest
        command = [TOOL, "-t", f"ALL.{test}", "--dataloss", "--allow-sanitize",
                   self.target.url(0, header_digest=digest), self.target.url(1, header_digest=digest)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                   stdin=subprocess.DEVNULL, text=True, errors="replace")
        try:
            output, _ = process.communicate(timeout=self.timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            output, _ = process.communicate()
            return verdict.Verdict(verdict.TIMEOUT, reason=f"no end after {self.timeout:.0f} s: "
                                   f"{(output.strip().splitlines() or [''])[-1][:200]}")
        return verdict.judge(output, process.returncode)

    def close(self):
        if self.target is not None:
            self.target.kill()
            self.target = None
        shutil.rmtree(self.directory, ignore_errors=True)


def run_setup(kind, setup, tests, jobs, timeout, work_dir, show):
    waiting = queue.SimpleQueue()
    for test in tests:
        waiting.put(test)
    results, lock = {}, threading.Lock()

    def work(number):
        worker = Worker(kind, setup, work_dir / f"{setup.name}-{number}", timeout)
        try:
            while True:
                try:
                    test = waiting.get_nowait()
                except queue.Empty:
                    return
                result = worker.run(test)
                with lock:
                    results[test] = result
                    show(setup, test, result)
        finally:
            worker.close()

    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        for future in [pool.submit(work, number) for number in range(min(jobs, len(tests)))]:
            future.result()
    return {test: results[test] for test in tests}


def read_expectations(path):
    """Lines `SET-UP TEST OUTCOME reason…`; the first two are shell patterns without brackets (`*`).
    What no line names is expected to pass. `nowhere TEST - reason` is for a test that passes in none."""
    rules = []
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        parts = line.split(maxsplit=3)
        if len(parts) < 4:
            raise SystemExit(f"{path}:{number}: wants SET-UP TEST OUTCOME REASON")
        rules.append(parts)
    return rules


def matches(pattern, name):
    return re.fullmatch(".*".join(re.escape(part) for part in pattern.split("*")), name) is not None


def expected_of(rules, setup_name, test):
    for in_setup, of_test, outcome, _ in rules:
        if in_setup != "nowhere" and matches(in_setup, setup_name) and matches(of_test, test):
            return outcome
    return verdict.PASSED


def judge_run(results, rules, tests, check_everywhere):
    """(lines that fail the run, lines to tell)"""
    wrong, told = [], []
    for setup_name, of_setup in results.items():
        for test, result in of_setup.items():
            expected = expected_of(rules, setup_name, test)
            if result.outcome == expected:
                continue
            line = f"{setup_name} {test}: {result.outcome}, expected {expected}"
            if result.outcome == verdict.PASSED:
                told.append(f"unexpected pass: {line}")
            else:
                wrong.append(f"{line}: {result.reason}")
    if check_everywhere:
        excused = [of_test for in_setup, of_test, _, _ in rules if in_setup == "nowhere"]
        for test in tests:
            passed = any(of_setup.get(test) and of_setup[test].outcome == verdict.PASSED
                         for of_setup in results.values())
            if not passed and not any(matches(pattern, test) for pattern in excused):
                wrong.append(f"{test}: passed in no set-up")
    return wrong, told


SHORT = {verdict.PASSED: "pass", verdict.FAILED: "FAIL", verdict.SKIPPED: "skip", verdict.EMPTY: "none",
         verdict.TIMEOUT: "TIME", verdict.CRASHED: "CRASH", verdict.TARGET_DIED: "DIED"}


def print_summary(results, tests, out):
    outcomes = list(SHORT)
    print(f"\n{'set-up':20}" + "".join(f"{SHORT[outcome]:>7}" for outcome in outcomes) + "    run", file=out)
    for setup_name, of_setup in results.items():
        counts = [sum(r.outcome == outcome for r in of_setup.values()) for outcome in outcomes]
        print(f"{setup_name:20}" + "".join(f"{count:7}" for count in counts) + f"{len(of_setup):7}", file=out)
    somewhere = sum(any(s.get(t) and s[t].outcome == verdict.PASSED for s in results.values()) for t in tests)
    print(f"{somewhere} of {len(tests)} tests passed in at least one set-up", file=out)


def print_markdown(results, tests):
    names = list(results)
    print("| test | " + " | ".join(names) + " |")
    print("|---" * (len(names) + 1) + "|")
    for test in tests:
        cells = [SHORT[results[n][test].outcome] if test in results[n] else "" for n in names]
        if any(cells):
            print(f"| {test} | " + " | ".join(cells) + " |")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--target", default="ashlar", help="kind of target: ashlar or tgt")
    parser.add_argument("--setup", action="append", default=[], metavar="NAME", help="only this set-up; repeatable")
    parser.add_argument("--only", default="", metavar="REGEX", help="only tests whose name matches")
    parser.add_argument("--all-tests", action="store_true", help="every test in every set-up")
    parser.add_argument("--expect", type=pathlib.Path, metavar="FILE", help="the expectation list")
    parser.add_argument("--timeout", type=float, default=40, help="seconds for one test (%(default)s)")
    parser.add_argument("--jobs", type=int, default=2, help="targets at once (%(default)s)")
    parser.add_argument("--work-dir", type=pathlib.Path, help="where targets keep their files")
    parser.add_argument("--json", type=pathlib.Path, metavar="FILE", help="write all results there")
    parser.add_argument("--markdown", action="store_true", help="print the table of docs/conformance.md")
    parser.add_argument("--quiet", action="store_true", help="only what is not a pass")
    options = parser.parse_args()

    tests = [test for test in all_tests() if re.search(options.only, test)]
    if not tests:
        raise SystemExit("conformance: no test has such a name")
    say = sys.stderr if options.markdown else sys.stdout

    def show(setup, test, result):
        if not (options.quiet and result.outcome == verdict.PASSED):
            print(f"{setup.name:20} {SHORT[result.outcome]:6}{result.seconds:7.2f} s  {test}"
                  f"{'  ' + result.reason if result.reason else ''}", file=say, flush=True)

    results = {}
    with tempfile.TemporaryDirectory(prefix="conformance-", dir=options.work_dir) as work_dir:
        def run(setup):
            mine = setups.tests_of(setup, tests, options.all_tests)
            return run_setup(options.target, setup, mine, options.jobs, options.timeout, pathlib.Path(work_dir),
                             show) if mine else {}

        chosen = setups.chosen_setups(options.setup)
        # A set-up whose tests sleep for long runs beside the others.
        with concurrent.futures.ThreadPoolExecutor() as aside:
            sleeping = {setup.name: aside.submit(run, setup) for setup in chosen if setup.timeout}
            done = {setup.name: run(setup) for setup in chosen if not setup.timeout}
            for setup in chosen:
                of_setup = done[setup.name] if setup.name in done else sleeping[setup.name].result()
                if of_setup:
                    results[setup.name] = of_setup
    if options.json:
        options.json.write_text(json.dumps({name: {test: dataclasses.asdict(result) for test, result in s.items()}
                                            for name, s in results.items()}, indent=1))
    if options.markdown:
        print_markdown(results, tests)
    print_summary(results, tests, say)
    rules = read_expectations(options.expect) if options.expect else []
    whole = not options.setup and not options.only
    wrong, told = judge_run(results, rules, tests, check_everywhere=whole)
    for line in told + wrong:
        print(line, file=say)
    print(f"conformance: {'FAILED, ' + str(len(wrong)) + ' not as expected' if wrong else 'ok'}", file=say)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
