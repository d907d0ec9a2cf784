"""The set-ups of the unit that the suite runs over, and which tests say something new in each."""
import dataclasses
import pathlib
import re
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
from target_under_test import Unit  # noqa: E402

# Secrets have 12 to 16 bytes, the length that every initiator takes.
PLAIN = ("host-one", "a plain secret")
MUTUAL = ("unit-one", "another secret")


@dataclasses.dataclass(frozen=True)
class Setup:
    name: str
    what: str
    unit: Unit
    digest: bool = False
    tests: str = ""  # a regular expression; empty: all. --all-tests runs all of them everywhere.
    timeout: float = 0.0  # seconds for one test, where they need more than --timeout


# Data in both directions, several connections, resets: what a login that went subtly wrong would break.
AFTER_LOGIN = (r"^(TestUnitReady|Inquiry|Read10|Write10|MultipathIO|iSCSIcmdsn|iSCSIdatasn|iSCSITMF)\.|"
               r"Reserve6\.(Logout|2Initiators)")
NOT_LONG = r"^(?!Sanitize\.Reset$)"
REMOVABLE = r"^(NoMedia|PreventAllow|StartStopUnit|TestUnitReady|ModeSense6|Inquiry)\.|^Sanitize\.(?!Reset$)"
READ_ONLY = (r"^(ReadOnly|Read\d+|ReadCapacity\d+|Inquiry|ModeSense6|Prefetch\d+|TestUnitReady|"
             r"GetLBAStatus|ReportSupportedOpcodes)\.|Sanitize\.Readonly|Mandatory")

SETUPS = [
    Setup("thin", "thin, writable, 512-byte blocks on 4096", Unit(), tests=NOT_LONG),
    Setup("thin-digest", "the same with header digests", Unit(), digest=True,
          tests=AFTER_LOGIN + r"|^(iSCSIResiduals|CompareAndWrite|ExtendedCopy|Unmap|WriteSame10)\."),
    # Sanitize.Reset wants to see the operation for five seconds, and then sleeps for a minute.
    Setup("sanitize", "so large that to overwrite it takes its time", Unit(size="1G"), tests=r"^Sanitize\.", timeout=120),
    Setup("removable", "a removable medium", Unit(removable=True), tests=REMOVABLE),
    Setup("removable-digest", "the same with header digests", Unit(removable=True), digest=True, tests=REMOVABLE),
    Setup("read-only", "write protected", Unit(read_only=True), tests=READ_ONLY),
    Setup("read-only-digest", "the same with header digests", Unit(read_only=True), digest=True,
          tests=r"^(ReadOnly|Read10)\."),
    Setup("chap", "mutual CHAP, plain names", Unit(chap=PLAIN, mutual=MUTUAL), tests=AFTER_LOGIN),
    Setup("chap-0x", "mutual CHAP, names that begin like hexadecimal",
          Unit(chap=("0xbeef", "0x123456789abc"), mutual=("0xcafe-unit", "0xabcdefabcdef")), tests=AFTER_LOGIN),
    Setup("chap-0b", "mutual CHAP, names that begin like base64",
          Unit(chap=("0bQUJD", "0b123456789abc"), mutual=("0bunit", "0bABCDEFGHIJKL")), digest=True,
          tests=AFTER_LOGIN),
    Setup("blocks-4096", "4096-byte blocks", Unit(block_size=4096), tests=NOT_LONG),
    Setup("blocks-4096-digest", "the same with header digests", Unit(block_size=4096), digest=True,
          tests=r"^(iSCSIResiduals|Read16|Write16|CompareAndWrite|MultipathIO)\."),
    Setup("buffered", "acknowledged from the log's file, write cache on", Unit(ack_policy="buffered"),
          tests=r"^(Write|Unmap|CompareAndWrite|OrWrite|ModeSense6|Verify|MultipathIO|ExtendedCopy)|^Sanitize\.(?!Reset$)"),
]


def chosen_setups(names):
    known = {setup.name: setup for setup in SETUPS}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise SystemExit(f"conformance: no set-up {', '.join(unknown)}; there are: {', '.join(known)}")
    return [known[name] for name in names] if names else list(SETUPS)


def tests_of(setup, all_tests, everywhere):
    if everywhere or not setup.tests:
        return all_tests
    return [test for test in all_tests if re.search(setup.tests, test)]
