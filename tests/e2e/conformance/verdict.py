"""What one run of iscsi-test-cu for one test means. Its exit code says little: a test that could not be
run counts as passed there. So a printed [SKIPPED], or no assertion at all, is no pass here."""
import dataclasses
import re

PASSED, FAILED, SKIPPED, EMPTY, TIMEOUT, CRASHED = "passed", "failed", "skipped", "empty", "timeout", "crashed"
TARGET_DIED = "target died"


@dataclasses.dataclass
class Verdict:
    outcome: str
    assertions: int = 0
    reason: str = ""
    seconds: float = 0.0


def _summary(output, row):
    """The numbers of a row of CUnit's summary: total, ran, passed, failed; None when it is not there."""
    match = re.search(rf"^ +{row} +(\d+) +(\d+) +(\d+|n/a) +(\d+)", output, re.MULTILINE)
    return match and [int(number) if number.isdigit() else 0 for number in match.groups()]


def _first_reason(output):
    """The line that tells most: the tool's own complaint, else CUnit's failed assertion."""
    for pattern in (r"\[FAILED\] *(.+)", r"\[FAIL\] *(.+)", r"^ +\d+\. (.+)"):
        match = re.search(pattern, output, re.MULTILINE)
        if match:
            return " ".join(match.group(1).split())[:240]
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    return lines[-1][:240] if lines else "no output"


def judge(output, exit_code):
    if exit_code is not None and exit_code < 0:
        return Verdict(CRASHED, reason=f"iscsi-test-cu: signal {-exit_code}: {_first_reason(output)}")
    tests, asserts = _summary(output, "tests"), _summary(output, "asserts")
    if tests is None or asserts is None:
        return Verdict(FAILED, reason=_first_reason(output))
    assertions = asserts[1]
    if tests[3] or asserts[3]:
        return Verdict(FAILED, assertions, _first_reason(output))
    skipped = re.search(r"\[SKIPPED\] *(.*)", output)
    if skipped:
        return Verdict(SKIPPED, assertions, " ".join(skipped.group(1).split()))
    if tests[1] == 0 or assertions == 0:
        return Verdict(EMPTY, assertions, "nothing was asserted")
    return Verdict(PASSED, assertions)
