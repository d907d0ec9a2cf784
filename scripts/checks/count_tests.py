#!/usr/bin/env python3
"""Counts the tests in a JUnit report of ctest; the last line is "N passed, N failed".

Exits 0 only when at least one test passed and none failed. A test whose program was missing counts
as failed; one that skipped itself or is disabled counts as neither and is named.
"""

import argparse
import html
import re
import sys
from pathlib import Path

CASE = re.compile(
    r'<testcase name="(?P<name>[^"]*)".*? time="(?P<time>[^"]*)" status="(?P<status>[^"]*)"\s*/?>'
    r'(?:\s*<skipped message="(?P<skipped>[^"]*)")?'
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("report", type=Path)
    parser.add_argument("--ctest-status", type=int, default=0, help="what ctest exited with")
    args = parser.parse_args()

    passed, failed, skipped, times = [], [], [], []
    text = args.report.read_text(errors="replace") if args.report.exists() else ""
    for case in CASE.finditer(text):
        name = html.unescape(case["name"])
        times.append((float(case["time"]), name))
        if case["status"] == "run":
            passed.append(name)
        elif case["status"] == "disabled" or (case["skipped"] or "").startswith("SKIP_"):
            skipped.append(name)
        else:
            failed.append(name)

    for seconds, name in sorted(times, reverse=True)[:5]:
        if seconds >= 1:
            print(f"test: {seconds:5.1f} s  {name}")
    for name in skipped:
        print(f"test: skipped {name}")
    for name in failed:
        print(f"test: FAILED {name}")
    failures = len(failed)
    if args.ctest_status != 0 and failures == 0:
        print(f"test: FAILED ctest itself, it exited with {args.ctest_status}")
        failures = 1
    if not passed and not failures:
        print("test: no test ran")
    print(f"{len(passed)} passed, {failures} failed")
    return 0 if passed and not failures else 1


if __name__ == "__main__":
    sys.exit(main())
