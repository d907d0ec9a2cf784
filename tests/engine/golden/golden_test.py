#!/usr/bin/env python3
"""Stores that earlier versions wrote are opened by this one, and hold what they held. tests/README.md
says how one is added.

usage: golden_test.py PATH_OF_ASHLAR_GOLDEN_STORE PATH_OF_ASHLAR_STORE
"""
import pathlib
import subprocess
import sys
import tarfile
import tempfile
import unittest

STORE_TOOL = sys.argv.pop()
GOLDEN_STORE = sys.argv.pop()
HERE = pathlib.Path(__file__).parent
# By number.
PACKED = sorted(HERE.glob("store-*.tar.xz"), key=lambda path: int(path.name[6:-7]))


def run(*command):
    return subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=60)


class GoldenTest(unittest.TestCase):
    def setUp(self):
        self.scratch = tempfile.TemporaryDirectory()
        self.addCleanup(self.scratch.cleanup)
        self.store = pathlib.Path(self.scratch.name) / "store"

    def described(self):
        done = run(GOLDEN_STORE, "describe", self.store)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def assert_sound(self):
        done = run(STORE_TOOL, "verify", self.store)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_there_are_golden_stores_numbered_from_1(self):
        self.assertEqual([path.name for path in PACKED],
                         [f"store-{n + 1}.tar.xz" for n in range(len(PACKED))])
        self.assertTrue(PACKED)

    def test_what_was_written_then_is_read_now(self):
        for packed in PACKED:
            with self.subTest(packed.name), tempfile.TemporaryDirectory() as scratch:
                self.store = pathlib.Path(scratch) / "store"
                with tarfile.open(packed) as archive:
                    archive.extractall(scratch)
                expected = packed.with_name(packed.name.replace(".tar.xz", ".txt")).read_text()
                self.assert_sound()
                # From the log and the layers, and closed: all of it is in the layers then.
                self.assertEqual(self.described(), expected)
                self.assertEqual(self.described(), expected)
                self.assert_sound()

    def test_what_this_version_writes_is_described_by_the_newest(self):
        made = run(GOLDEN_STORE, "make", self.store)
        self.assertEqual(made.returncode, 0, made.stderr)
        self.assert_sound()
        copy = pathlib.Path(self.scratch.name) / "copy"  # nobody has a lock of it any more
        run("cp", "-r", self.store, copy)
        self.store = copy
        newest = PACKED[-1].with_name(PACKED[-1].name.replace(".tar.xz", ".txt"))
        self.assertEqual(self.described(), newest.read_text())


if __name__ == "__main__":
    unittest.main()
