#!/usr/bin/env python3
"""Boots a real Linux kernel (User-mode Linux, open-iscsi, dm-multipath) beside an iSCSI target and runs
one job of jobs/ in it. The exit status is 0 when the job passed, 77 when this machine cannot do it.

Guest and target share a network namespace that nobody else sees: 10.9.1.0/24 and 10.9.2.0/24, one tap
each. This program starts itself again in that namespace and in a process namespace of its own, so that
whatever it started is gone when it ends, however it ends.
"""
import argparse
import os
import pathlib
import shlex
import shutil
import subprocess
import sys
import tempfile
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent.parent / "support"))
from target_under_test import Unit, open_target  # noqa: E402

SKIPPED = 77
PORTALS = ["10.9.1.1:3260", "10.9.2.1:3260"]
CHAP, MUTUAL = ("host-one", "a plain secret"), ("unit-one", "another secret")
UNITS = {"chap": Unit(size="320M", chap=CHAP, mutual=MUTUAL)}
INSIDE = "ASHLAR_KERNEL_TEST_INSIDE"


def run(*command, **options):
    return subprocess.run(command, check=True, **options)


def reason_to_skip():
    if os.geteuid() != 0:
        return "it wants root, for a network namespace and two taps"
    if not os.access("/dev/net/tun", os.R_OK | os.W_OK):
        return "/dev/net/tun is missing"
    done = subprocess.run(["unshare", "--net", "--pid", "--fork", "--mount-proc", "true"], capture_output=True,
                          text=True)
    return f"no namespaces here: {done.stderr.strip()}" if done.returncode else None


def taps_up():
    run("ip", "link", "set", "lo", "up")
    for number in (1, 2):
        run("ip", "tuntap", "add", "dev", f"tap{number}", "mode", "tap")
        run("ip", "addr", "add", f"10.9.{number}.1/24", "dev", f"tap{number}")
        run("ip", "link", "set", f"tap{number}", "up")


def path_cut(number):
    """Drops every packet, as a pulled cable would."""
    run("nft", "-f", "-", text=True, input=f"""
table inet cut{number} {{
  chain in {{ type filter hook input priority 0; iifname "tap{number}" drop; }}
  chain out {{ type filter hook output priority 0; oifname "tap{number}" drop; }}
}}
""")


def path_restore(number):
    run("nft", "delete", "table", "inet", f"cut{number}")


# What happens from outside once the guest says that it is ready. The times are those of the job: it
# writes for longer than the fault lasts, and fails when it did not feel it.

def restart_fault(target):
    time.sleep(2)
    target.kill()
    time.sleep(2)
    target.start()


def paths_fault(_):
    time.sleep(1.5)
    path_cut(1)
    time.sleep(9)  # longer than the 3 s until it is noticed and the 5 s until I/O fails
    path_restore(1)


def reservations_fault(target):
    target.kill()
    target.start()


FAULTS = {"restart": restart_fault, "paths": paths_fault, "reservations": reservations_fault}


class Hook(threading.Thread):
    def __init__(self, act, target):
        super().__init__(daemon=True)
        self.act, self.target, self.error = act, target, None

    def run(self):
        try:
            self.act(self.target)
        except Exception as error:  # whatever it is fails the job, with its words
            self.error = error


def archive_of(job, variables, initramfs, scratch):
    """The initramfs with the job behind it as a second archive: the kernel unpacks both."""
    folder = scratch / "job"
    folder.mkdir()
    shutil.copy(HERE / "jobs" / f"{job}.sh", folder / "job.sh")
    shutil.copy(HERE / "guest" / "lib.sh", folder / "lib.sh")
    (folder / "env").write_text("".join(f"export {n}={shlex.quote(str(v))}\n" for n, v in variables.items()))
    second = run("cpio", "-o", "-H", "newc", "--quiet", cwd=folder, input=b"job.sh\nlib.sh\nenv\n",
                 stdout=subprocess.PIPE).stdout
    archive = scratch / "initrd"
    with open(archive, "wb") as out:
        with open(initramfs, "rb") as first:
            shutil.copyfileobj(first, out)
        out.write(second)
    return archive


def memory_folder(memory_mb, scratch):
    """Where the guest's memory lies: a file that is mapped executable."""
    options = subprocess.run(["findmnt", "-no", "OPTIONS", "-T", "/dev/shm"], capture_output=True, text=True).stdout
    room = shutil.disk_usage("/dev/shm").free if os.path.isdir("/dev/shm") else 0
    return "/dev/shm" if "noexec" not in options and room > (memory_mb + 64) << 20 else str(scratch)


def run_job(options, target, scratch):
    variables = {"PORTAL": PORTALS[0], "PORTAL2": PORTALS[1], "IQN": target.iqn, "LUN": target.lun,
                 **dict(pair.split("=", 1) for pair in options.env)}
    for who, prefix in ((target.unit.chap, "CHAP"), (target.unit.mutual, "MUTUAL")):
        if who:
            variables[f"{prefix}_NAME"], variables[f"{prefix}_SECRET"] = who
    archive = archive_of(options.job, variables, options.initramfs, scratch)
    memory_mb = 384
    command = ["linux.uml", f"mem={memory_mb}M", f"initrd={archive}", "con=null", "con0=null,fd:1", "quiet",
               "loglevel=4", "panic=-1", "umid=guest", "uml_dir=uml/",
               "vec0:transport=tap,ifname=tap1,depth=64,gro=1", "vec1:transport=tap,ifname=tap2,depth=64,gro=1"]
    guest = subprocess.Popen(command, cwd=scratch, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                             stderr=subprocess.STDOUT, text=True, errors="replace",
                             env={**os.environ, "TMPDIR": memory_folder(memory_mb, scratch)})
    watchdog = threading.Timer(options.limit, guest.kill)
    watchdog.start()
    passed, hook = False, None
    for line in guest.stdout:
        line = line.rstrip()
        print(line, flush=True)
        passed = passed or line == "JOB: PASS"
        if line == "GUEST: READY" and hook is None and options.job in FAULTS:
            hook = Hook(FAULTS[options.job], target)
            hook.start()
    guest.wait()
    watchdog.cancel()
    if hook is not None:
        hook.join(60)
        if hook.is_alive() or hook.error is not None:
            print(f"the fault from outside: {hook.error or 'it did not end'}")
            return False
    return passed


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("job", choices=sorted(path.stem for path in (HERE / "jobs").glob("*.sh")))
    parser.add_argument("--initramfs", type=pathlib.Path, required=True, help="what build_initramfs made")
    parser.add_argument("--target", default="ashlar", help="kind of target: ashlar or tgt")
    parser.add_argument("--env", action="append", default=[], metavar="NAME=VALUE", help="for the job; repeatable")
    parser.add_argument("--limit", type=float, default=150, help="seconds for the guest (%(default)s)")
    options = parser.parse_args()
    options.initramfs = options.initramfs.absolute()
    os.environ["PATH"] += ":/usr/local/sbin:/usr/sbin:/sbin"

    if not os.environ.get(INSIDE):
        reason = reason_to_skip()
        if reason:
            print(f"skipped: {reason}")
            return SKIPPED
        command = ["unshare", "--net", "--pid", "--fork", "--kill-child", "--mount-proc", sys.executable, *sys.argv]
        return subprocess.run(command, env={**os.environ, INSIDE: "1"}).returncode

    taps_up()
    with tempfile.TemporaryDirectory(prefix="kernel-iscsi-") as directory:
        scratch = pathlib.Path(directory)
        unit = UNITS.get(options.job, Unit(size="320M"))
        with open_target(options.target, unit, scratch / "target", PORTALS) as target:
            began = time.monotonic()
            passed = run_job(options, target, scratch)
            if not passed:
                print(f"--- the end of the target's log\n{target.log_tail(20)}")
    print(f"kernel {options.job}: {'pass' if passed else 'FAILED'}, {time.monotonic() - began:.1f} s")
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
