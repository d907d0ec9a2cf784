"""The target under test: one iSCSI target process with one unit, seen from outside.

    with open_target("tgt", Unit(size="64M"), work_dir) as target:   # or "ashlar"
        target.url()            # iscsi://127.0.0.1:PORT/IQN/LUN of its first portal
        target.kill()           # SIGKILL; the data stays
        target.start()          # the same portals, the same identity, the same data
        target.pid

Everything of a target lies in the directory it is given; its portals are ports of 127.0.0.1 that were
free a moment ago, unless they are named. A process is ended by the id that we got when we started it.
"""
import dataclasses
import os
import pathlib
import re
import signal
import socket
import subprocess
import time
import urllib.request

CLIENT_PORTS = range(20000, 32000)  # below those that the kernel gives to clients
# A server that was built with a sanitizer takes several times as long and as much memory.
SLOWNESS = 4 if os.environ.get("ASHLAR_SANITIZE") else 1
START_LIMIT = 20.0 * SLOWNESS


@dataclasses.dataclass(frozen=True)
class Unit:
    """What a unit is asked to be."""
    size: str = "64M"
    block_size: int = 512
    ack_policy: str = "durable"  # or "buffered"
    removable: bool = False
    read_only: bool = False
    chap: tuple = ()    # (name, secret) that the initiator must prove
    mutual: tuple = ()  # (name, secret) that the target must prove

    def size_in_bytes(self):
        return int(self.size[:-1]) << {"K": 10, "M": 20, "G": 30}[self.size[-1]]


class TargetFailed(Exception):
    pass


def free_ports(count):
    """Ports of 127.0.0.1 that nobody listens on. Not from the range of clients: a target that is down
    for a moment must find its port free when it comes back."""
    held, ports = [], []
    start = (os.getpid() * 37 + time.monotonic_ns() // 1000) % len(CLIENT_PORTS)
    for step in range(len(CLIENT_PORTS)):
        port = CLIENT_PORTS[(start + step) % len(CLIENT_PORTS)]
        candidate = socket.socket()
        try:
            candidate.bind(("127.0.0.1", port))
        except OSError:
            candidate.close()
            continue
        held.append(candidate)
        ports.append(port)
        if len(ports) == count:
            break
    for candidate in held:
        candidate.close()
    return ports


def answers(portal):
    address, port = portal.rsplit(":", 1)
    try:
        with socket.create_connection((address, int(port)), timeout=1):
            return True
    except OSError:
        return False


class Target:
    """What the kinds of target have in common."""
    kind = ""
    lun = 0

    def __init__(self, unit, work_dir, portals=None, targets=1):
        self.unit = unit
        self.dir = pathlib.Path(work_dir).absolute()
        self.dir.mkdir(parents=True, exist_ok=True)
        self.portals = portals or [f"127.0.0.1:{port}" for port in free_ports(2)]
        self.names = ["unit", *(f"unit-{number}" for number in range(2, targets + 1))]
        self.process = None
        self.log = self.dir / "target.log"

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.kill()

    @property
    def pid(self):
        return self.process.pid

    @property
    def iqn(self):
        return self.iqn_of(self.names[0])

    def iqn_of(self, name):
        return f"iqn.2026-01.example:{name}"

    def url(self, index=0, header_digest=False, with_chap=True, name=None):
        who = ""
        if self.unit.chap and with_chap:
            who = f"{self.unit.chap[0]}%{self.unit.chap[1]}@"
        arguments = []
        if self.unit.mutual and with_chap:
            arguments += [f"target_user={self.unit.mutual[0]}", f"target_password={self.unit.mutual[1]}"]
        if header_digest:
            arguments.append("header_digest=crc32c")
        tail = "?" + "&".join(arguments) if arguments else ""
        return f"iscsi://{who}{self.portals[index]}/{self.iqn_of(name or self.names[0])}/{self.lun}{tail}"

    def is_alive(self):
        return self.process is not None and self.process.poll() is None

    def start(self):
        """Starts the process; returns the seconds until it answers on all portals with its unit."""
        began = time.monotonic()
        self._spawn()
        deadline = began + START_LIMIT
        while not all(answers(portal) for portal in self.portals):
            self._check_start(deadline)
            time.sleep(0.01)
        self._configure(deadline)
        return time.monotonic() - began

    def kill(self):
        """SIGKILL, and waits until the process is gone."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def stop(self, limit=10.0):
        """SIGTERM; returns the exit code, or None when it did not end within the limit."""
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(timeout=limit)
        except subprocess.TimeoutExpired:
            return None

    def resident_bytes(self):
        text = pathlib.Path(f"/proc/{self.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+) kB", text).group(1)) << 10

    def cpu_seconds(self):
        """CPU time of all threads so far, to the nanosecond."""
        total = 0
        for thread in pathlib.Path(f"/proc/{self.pid}/task").iterdir():
            total += int((thread / "schedstat").read_text().split()[0])
        return total / 1e9

    def log_tail(self, lines=15):
        try:
            return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])
        except FileNotFoundError:
            return ""

    def _spawn(self):
        raise NotImplementedError

    def _configure(self, deadline):
        pass

    def _popen(self, command, env=None):
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(command, cwd=self.dir, env=env, stdin=subprocess.DEVNULL,
                                            stdout=log, stderr=log)

    def _check_start(self, deadline):
        if self.process.poll() is not None:
            raise TargetFailed(f"{self.kind} ended with {self.process.returncode}\n{self.log_tail()}")
        if time.monotonic() > deadline:
            raise TargetFailed(f"{self.kind} did not start in {START_LIMIT:.0f} s\n{self.log_tail()}")


class Tgt(Target):
    """Debian's tgt, a sparse file on the file system. `durable` opens it with O_SYNC and reports the
    write cache off, which is the like of our ack policy; `buffered` is its default."""
    kind = "tgt"
    lun = 1

    def _spawn(self):
        self.env = {**os.environ, "TGT_IPC_SOCKET": "tgt.sock"}  # relative: short, and not the machine's
        (self.dir / "tgt.sock").unlink(missing_ok=True)
        (self.dir / "tgt.sock.lock").unlink(missing_ok=True)
        self._popen(["tgtd", "-f", "--iscsi", f"portal={self.portals[0]}"], self.env)
        deadline = time.monotonic() + START_LIMIT
        while self._admin("--mode", "sys", "--op", "show", check=False) != 0:
            self._check_start(deadline)
            time.sleep(0.02)
        for direction, who in ((), self.unit.chap), (("--outgoing",), self.unit.mutual):
            if who:
                self._admin("--mode", "account", "--op", "new", "--user", who[0], "--password", who[1])
        for tid, name in enumerate(self.names, 1):
            self._add_target(str(tid), name)
        for portal in self.portals[1:]:
            self._admin("--mode", "portal", "--op", "new", "--param", f"portal={portal}")

    def image(self, name):
        return self.dir / f"{name}.img"

    def _add_target(self, tid, name):
        if not self.image(name).exists():
            with open(self.image(name), "wb") as file:
                file.truncate(self.unit.size_in_bytes())
        target = ["--mode", "target", "--tid", tid]
        self._admin(*target, "--op", "new", "--targetname", self.iqn_of(name))
        for digest in ("HeaderDigest", "DataDigest"):
            self._admin(*target, "--op", "update", "--name", digest, "--value", "CRC32C,None")
        unit = ["--mode", "logicalunit", "--tid", tid, "--lun", str(self.lun)]
        sync = ["--bsoflags", "sync"] if self.unit.ack_policy == "durable" else []
        self._admin(*unit, "--op", "new", "--backing-store", str(self.image(name)), "--bstype", "rdwr",
                    "--blocksize", str(self.unit.block_size), *sync)
        for parameter, wanted in (("thin_provisioning", True), ("removable", self.unit.removable),
                                  ("readonly", self.unit.read_only)):
            if wanted:
                self._admin(*unit, "--op", "update", "--params", f"{parameter}=1")
        for direction, who in ((), self.unit.chap), (("--outgoing",), self.unit.mutual):
            if who:
                self._admin("--mode", "account", "--op", "bind", "--tid", tid, "--user", who[0], *direction)
        self._admin(*target, "--op", "bind", "--initiator-address", "ALL")

    def _admin(self, *arguments, check=True):
        done = subprocess.run(["tgtadm", "--lld", "iscsi", *arguments], cwd=self.dir, env=self.env,
                              capture_output=True, text=True, timeout=30)
        if check and done.returncode != 0:
            raise TargetFailed(f"tgtadm {' '.join(arguments)}: {done.stderr.strip()}")
        return done.returncode


class Ashlar(Target):
    """ashlar-volume --standalone with one store; its volumes are made with `ashlar` at the first start."""
    kind = "ashlar"
    lun = 0

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        root = pathlib.Path(__file__).resolve().parents[3]
        build = pathlib.Path(os.environ.get("ASHLAR_BUILD", root / "build" / "release"))
        self.server_program = build / "src" / "volume" / "server" / "ashlar-volume"
        self.command_program = build / "src" / "cli" / "ashlar"
        self.is_made = False

    def _spawn(self):
        config = self.dir / "volume.yaml"
        if not config.exists():
            self.admin, self.http = (f"127.0.0.1:{port}" for port in free_ports(2))
            listen = "".join(f"\n    - {portal}" for portal in self.portals)
            config.write_text(f"""data_dir: {self.dir}/data
stores: [{self.dir}/store]
standalone: true
iscsi:
  listen:{listen}
  iqn_prefix: "iqn.2026-01.example:"
  ping_timeout: 90s  # a test of the suite sleeps for a minute, and answers nobody meanwhile
admin:
  listen: {self.admin}
http:
  listen: {self.http}
store:
  log_size: 256Mi
""")
        self._popen([str(self.server_program), "--config", str(config)])

    def _configure(self, deadline):
        while not self._is_ready():
            self._check_start(deadline)
            time.sleep(0.01)
        if not self.is_made:
            for name in self.names:
                self._create(name)
            self.is_made = True

    def _is_ready(self):
        try:
            with urllib.request.urlopen(f"http://{self.http}/readyz", timeout=2) as answer:
                return answer.status == 200
        except OSError:
            return False

    def _create(self, name):
        unit = self.unit
        command = ["--size", f"{unit.size}i", "--ack", unit.ack_policy, "--block-size", str(unit.block_size)]
        command += ["--removable"] if unit.removable else []
        command += ["--read-only"] if unit.read_only else []
        for who, option in ((unit.chap, "--chap"), (unit.mutual, "--mutual-chap")):
            if who:
                secret = self.dir / f"secret{option}"
                secret.touch(mode=0o600)
                secret.write_text(who[1])
                command += [option, who[0], f"{option}-secret-file", str(secret)]
        self.command("volume", "create", name, *command)

    def command(self, *words):
        """Runs `ashlar` against this server; its standard output."""
        done = subprocess.run([str(self.command_program), "--server", self.admin, *words], cwd=self.dir,
                              capture_output=True, text=True, timeout=60)
        if done.returncode != 0:
            raise TargetFailed(f"ashlar {' '.join(words)}: {done.stderr.strip() or done.stdout.strip()}")
        return done.stdout


KINDS = {"ashlar": Ashlar, "tgt": Tgt}


def open_target(kind, unit, work_dir, portals=None, targets=1):
    """`targets` more than one: as many targets with such a unit each, by their `names`."""
    return KINDS[kind](unit, work_dir, portals, targets)
