"""Shared by the tests of our own rules: a scratch copy of the repository to plant mistakes in."""

import os
import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def run(*words, **options) -> subprocess.CompletedProcess:
    """Runs a command; its stdout and stderr come back as one text in .stdout."""
    return subprocess.run([str(word) for word in words], text=True, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, timeout=100, **options)


class ScratchTest(unittest.TestCase):
    """Each test has an empty folder of its own, self.scratch."""

    def setUp(self):
        self.scratch = Path(tempfile.mkdtemp(prefix="ashlar-house-"))
        self.addCleanup(shutil.rmtree, self.scratch)

    def copy(self, *names: str) -> None:
        """Copies files and folders of the repository to the same place in the scratch folder."""
        for name in names:
            target = self.scratch / name
            target.parent.mkdir(parents=True, exist_ok=True)
            if (ROOT / name).is_dir():
                shutil.copytree(ROOT / name, target,
                                ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy2(ROOT / name, target)

    def write(self, name: str, text: str) -> Path:
        path = self.scratch / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def assert_passes(self, done: subprocess.CompletedProcess) -> None:
        self.assertEqual(done.returncode, 0, done.stdout)

    def assert_fails_with(self, done: subprocess.CompletedProcess, *texts: str) -> None:
        self.assertNotEqual(done.returncode, 0, done.stdout)
        for text in texts:
            self.assertIn(text, done.stdout)


def with_path(folder: Path) -> dict:
    """The environment with `folder` searched first for programs."""
    return {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}"}
