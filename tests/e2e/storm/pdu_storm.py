#!/usr/bin/env python3
"""A storm of right, wrong and broken PDUs (ashlar_pdu_storm) on one target of a server, while a
bystander (ashlar_crash_writer) writes to another target of the same server and verifies all of it.

What must hold: the server is alive at the end and lets a new initiator in; its memory stayed below the bound; the
bystander never lost its session and found nothing lost and nothing foreign; logins that were right were
answered in time; when the storm is over its connections are gone.
"""
import argparse
import json
import pathlib
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "support"))
from target_under_test import SLOWNESS, Unit, open_target  # noqa: E402


class Watch(threading.Thread):
    """Looks at the server's memory until told to stop."""

    def __init__(self, target):
        super().__init__(daemon=True)
        self.target, self.most, self.over = target, 0, threading.Event()

    def run(self):
        while not self.over.wait(0.1):
            try:
                self.most = max(self.most, self.target.resident_bytes())
            except (OSError, AttributeError):  # it is dead: told elsewhere
                return


def open_files(target):
    return len(list(pathlib.Path(f"/proc/{target.pid}/fd").iterdir()))


def wait_until(condition, seconds):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.1)
    return condition()


def last_json(process, seconds):
    output, _ = process.communicate(timeout=seconds)
    return json.loads(output.splitlines()[-1])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--storm", required=True, help="ashlar_pdu_storm")
    parser.add_argument("--writer", required=True, help="ashlar_crash_writer")
    parser.add_argument("--target", default="ashlar", help="kind of target: ashlar or tgt")
    parser.add_argument("--pdus", type=int, default=100_000)
    parser.add_argument("--threads", type=int, default=8, help="conversations at once")
    parser.add_argument("--seed", type=int, help="default: drawn, and printed")
    parser.add_argument("--limit", type=float, default=500, help="seconds for the storm (%(default)s)")
    parser.add_argument("--memory-mb", type=int, default=512, help="more than this is too much growth (%(default)s)")
    parser.add_argument("--work-dir", type=pathlib.Path)
    options = parser.parse_args()
    seed = options.seed if options.seed is not None else random.SystemRandom().randrange(1 << 32)
    print(f"pdu storm: {options.target}, {options.pdus} PDUs, seed {seed}", flush=True)

    wrong = []

    def expect(good, what):
        if not good:
            wrong.append(what)

    with tempfile.TemporaryDirectory(prefix="pdu-storm-", dir=options.work_dir) as directory:
        unit = Unit(size="64M", ack_policy="buffered")
        with open_target(options.target, unit, directory, targets=2) as target:
            bystander = subprocess.Popen([options.writer, target.url(1, name="unit-2"), "--seed", str(seed),
                                          "--sessions", "1", "--depth", "4"], stdout=subprocess.PIPE, text=True)
            time.sleep(1)
            files, memory = open_files(target), target.resident_bytes()
            watch = Watch(target)
            watch.start()
            began = time.monotonic()
            port = target.portals[0].rsplit(":", 1)[1]
            storm = subprocess.Popen([options.storm, "--port", port, "--iqn", target.iqn, "--lun", str(target.lun),
                                      "--pdus", str(options.pdus), "--seed", str(seed),
                                      "--threads", str(options.threads)], stdout=subprocess.PIPE, text=True)
            told = {}
            try:
                told = last_json(storm, options.limit)
            except subprocess.TimeoutExpired:
                storm.kill()
                storm.communicate()
                wrong.append(f"the storm did not end within {options.limit:.0f} s: somebody hangs")
            seconds = time.monotonic() - began
            alive = target.is_alive()
            expect(alive, f"the server died\n{target.log_tail(30)}")
            if alive:
                expect(wait_until(lambda: open_files(target) <= files, 30),
                       f"{open_files(target)} files are open after the storm, {files} before: connections leak")
                fresh = subprocess.run(["iscsi-inq", target.url()], capture_output=True, text=True, timeout=30)
                expect(fresh.returncode == 0, f"a new initiator is not let in: {fresh.stderr.strip()}")
            watch.over.set()
            watch.join()
            bystander.send_signal(signal.SIGTERM)
            try:
                verified = last_json(bystander, 60)
            except subprocess.TimeoutExpired:
                bystander.kill()
                bystander.communicate()
                verified = {"error": "it did not end", "reconnects": 0, "lost": 0, "foreign": 0, "acknowledged": {}}

    growth = watch.most - memory
    expect(growth < options.memory_mb * SLOWNESS << 20, f"memory grew by {growth >> 20} MB")
    expect(not verified["error"], f"the bystander: {verified['error']}")
    expect(verified["reconnects"] == 0, f"the bystander lost its session {verified['reconnects']} times")
    expect(verified["lost"] == 0 and verified["foreign"] == 0, f"the bystander: {verified.get('problems')}")
    expect(sum(verified["acknowledged"].values()) > 100, "the bystander hardly got anything done")
    if told:
        expect(told["sent"] >= options.pdus, f"only {told['sent']} PDUs were sent")
        expect(told["silences"] == 0, f"{told['silences']} right logins got no answer in 3 s")
        # Deep enough to mean something: logins that came through, commands that were answered.
        answered = told.get("answers", {}).get("21", 0)
        expect(told["logins"] > told["conversations"] // 10, f"only {told['logins']} logins came through")
        expect(answered > told["sent"] // 20, f"only {answered} commands were answered")
        print(f"pdu storm: {told}")
    print(f"pdu storm: bystander: {verified['acknowledged']}")
    for line in wrong:
        print(f"pdu storm: {line}")
    print(f"pdu storm: {'FAILED' if wrong else 'ok'}: {told.get('sent', '?')} PDUs in {seconds:.1f} s, "
          f"memory {memory >> 20} MB before, {watch.most >> 20} MB at most")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
