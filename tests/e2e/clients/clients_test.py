#!/usr/bin/env python3
"""Other people's programs use a target as their users would: qemu-img copies, compares and measures;
the tools of libiscsi list, inquire, read, and see it grow busy.

usage: clients_test.py [--target ashlar|tgt]
"""
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "support"))
from target_under_test import Unit, open_target  # noqa: E402

KIND = "ashlar"
CHAP = ("host-one", "a plain secret")


def run(*command, code=0, timeout=60):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, errors="replace",
                          timeout=timeout, env={**os.environ, "PATH": os.environ["PATH"] + ":/usr/sbin:/sbin"})
    if code is not None and done.returncode != code:
        raise AssertionError(f"{command} ended with {done.returncode}\n{done.stdout}{done.stderr}")
    return done


class ClientsTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.scratch = tempfile.TemporaryDirectory(prefix="clients-")
        cls.dir = pathlib.Path(cls.scratch.name)
        cls.target = open_target(KIND, Unit(size="64M"), cls.dir / "target")
        cls.target.start()
        cls.url = cls.target.url()
        # A real file system with real files.
        cls.image = cls.dir / "source.img"
        with open(cls.image, "wb") as file:
            file.truncate(64 << 20)
        run("mke2fs", "-q", "-t", "ext4", "-d", "/usr/share/common-licenses", cls.image)

    @classmethod
    def tearDownClass(cls):
        cls.target.kill()
        cls.scratch.cleanup()

    def test_qemu_img_copies_a_file_system_there_and_back(self):
        run("qemu-img", "convert", "-n", "-f", "raw", "-O", "raw", self.image, self.url)
        run("qemu-img", "compare", "-f", "raw", "-F", "raw", self.image, self.url)
        back = self.dir / "back.img"
        run("qemu-img", "convert", "-f", "raw", "-O", "raw", self.target.url(1), back)
        self.assertEqual(back.read_bytes(), self.image.read_bytes())
        run("e2fsck", "-fn", back)
        run("qemu-img", "convert", "-f", "raw", "-O", "qcow2", self.url, self.dir / "back.qcow2")
        run("qemu-img", "compare", "-f", "raw", "-F", "qcow2", self.url, self.dir / "back.qcow2")

    def test_qemu_img_sees_one_changed_byte(self):
        run("qemu-img", "convert", "-n", "-f", "raw", "-O", "raw", self.image, self.url)
        changed = bytearray(self.image.read_bytes())
        changed[40 << 20] ^= 1
        other = self.dir / "other.img"
        other.write_bytes(changed)
        run("qemu-img", "compare", "-f", "raw", "-F", "raw", other, self.url, code=1)

    def test_qemu_img_writes_and_reads_under_load(self):
        for flags in (["-w", "--flush-interval", "64"], ["-w", "-s", "65536"], []):
            done = run("qemu-img", "bench", "-f", "raw", "-c", "2000", "-d", "32", *flags, self.url)
            self.assertRegex(done.stdout, r"Run completed in")

    def test_qemu_img_knows_the_size(self):
        done = run("qemu-img", "info", "-f", "raw", "--output", "json", self.url)
        self.assertRegex(done.stdout, rf'"virtual-size": {64 << 20}\b')

    def test_iscsi_ls_finds_the_target_and_its_unit(self):
        done = run("iscsi-ls", "-s", f"iscsi://{self.target.portals[0]}")
        self.assertIn(f"Target:{self.target.iqn}", done.stdout)
        self.assertIn(f"Portal:{self.target.portals[0]}", done.stdout)
        self.assertRegex(done.stdout, rf"(?m)^Lun:{self.target.lun}\b.*DIRECT_ACCESS")

    def test_iscsi_inq_reads_standard_data_and_pages(self):
        done = run("iscsi-inq", self.url)
        self.assertRegex(done.stdout, r"Peripheral Device Type:DIRECT_ACCESS")
        for page in ("0x00", "0x80", "0x83", "0xb0", "0xb1", "0xb2"):
            run("iscsi-inq", "-e", "1", "-c", page, self.url)

    def test_iscsi_inq_is_refused_without_the_secret(self):
        with open_target(KIND, Unit(size="64M", chap=CHAP), self.dir / "chap") as target:
            run("iscsi-inq", target.url())
            run("iscsi-inq", target.url(with_chap=False), code=10)
            wrong = target.url().replace(CHAP[1], "another secret")
            self.assertNotEqual(run("iscsi-inq", wrong, code=None).returncode, 0)

    def test_iscsi_readcapacity_agrees(self):
        done = run("iscsi-readcapacity16", self.url)
        self.assertRegex(done.stdout, rf"Total size:{64 << 20}\b")

    def test_iscsi_perf_reads_at_depth(self):
        for flags in (["-b", "8", "-m", "32"], ["-b", "256", "-m", "8"], ["-r", "-b", "8", "-m", "32"]):
            done = run("timeout", "-s", "INT", "2", "iscsi-perf", *flags, "-t", "1", self.url, code=None)
            rates = [int(rate) for rate in re.findall(r"iops(?: average| current)? *:? *(\d+)", done.stdout)]
            self.assertTrue(rates and max(rates) > 100, done.stdout + done.stderr)


if __name__ == "__main__":
    if "--target" in sys.argv:
        at = sys.argv.index("--target")
        KIND = sys.argv[at + 1]
        del sys.argv[at:at + 2]
    unittest.main()
