#!/usr/bin/env python3
"""Runs the real ashlar-volume and ashlar: volumes and snapshots come and go, what is refused says why,
nothing is lost by a restart or a kill, and the end is orderly.

usage: server_test.py
"""
import hashlib
import json
import os
import pathlib
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.error
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "support"))
from target_under_test import free_ports  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parents[3]
BUILD = pathlib.Path(os.environ.get("ASHLAR_BUILD", ROOT / "build" / "release"))
VOLUME = str(BUILD / "src" / "volume" / "server" / "ashlar-volume")
ASHLAR = str(BUILD / "src" / "cli" / "ashlar")
PREFIX = "iqn.2026-01.io.ashlar:"
MIB = 1 << 20
START_LIMIT = 30


def run(*command, **options):
    return subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=60,
                          errors="replace", **options)


class Server:
    """One ashlar-volume in a directory of its own; its ports stay over restarts."""

    def __init__(self, directory, stores=("store",), portals=1, log_size="64Mi", flags=(), wrapper=()):
        self.dir = pathlib.Path(directory)
        self.dir.mkdir(exist_ok=True)
        self.stores = [str(self.dir / store) for store in stores]
        self.admin, self.http, *self.iscsi = (f"127.0.0.1:{port}" for port in free_ports(2 + portals))
        self.log_size = log_size
        self.flags = list(flags)
        self.wrapper = list(wrapper)
        self.log = self.dir / "log"
        self.process = None

    def command(self, *flags):
        return [*self.wrapper, VOLUME, "--standalone", "--data-dir", str(self.dir / "data"),
                "--stores", ",".join(self.stores), "--store-log-size", self.log_size,
                "--iscsi-listen", ",".join(self.iscsi), "--admin-listen", self.admin,
                "--http-listen", self.http, *self.flags, *flags]

    def start(self):
        begin = self.log.stat().st_size if self.log.exists() else 0
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(self.command(), stderr=log, stdin=subprocess.DEVNULL)
        deadline = time.monotonic() + START_LIMIT
        while True:
            text = self.log.read_bytes()[begin:].decode()
            if re.search(r"INFO  ready$", text, re.M):
                break
            assert self.process.poll() is None, text
            assert time.monotonic() < deadline, text
            time.sleep(0.01)
        return self

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.kill()

    def kill(self):
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def stop(self, limit=5.0):
        """SIGTERM; the exit code and the seconds it took."""
        began = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(timeout=limit + 5)
        self.process = None
        return code, time.monotonic() - began

    def ashlar(self, *words, **options):
        return run(ASHLAR, "--server", self.admin, *words, **options)

    def ask(self, *words):
        """As JSON, and it must succeed."""
        done = self.ashlar("--output", "json", *words)
        assert done.returncode == 0, (words, done.stderr)
        return json.loads(done.stdout) if done.stdout else None

    def names(self):
        return [volume["name"] for volume in self.ask("volume", "list")]

    def get(self, path):
        try:
            with urllib.request.urlopen(f"http://{self.http}{path}", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def url(self, name, portal=0, user=""):
        return f"iscsi://{user}{self.iscsi[portal]}/{PREFIX}{name}/0"

    def write(self, name, image):
        done = run("qemu-img", "convert", "-n", "-f", "raw", "-O", "raw", image, self.url(name))
        assert done.returncode == 0, done.stderr

    def sum(self, name, url=None):
        back = self.dir / "back"
        done = run("qemu-img", "convert", "-f", "raw", "-O", "raw", url or self.url(name), back)
        assert done.returncode == 0, done.stderr
        return hashlib.sha256(back.read_bytes()).hexdigest()


class Load:
    """iscsi-perf, reading until it is ended."""

    def __init__(self, url):
        self.process = subprocess.Popen(["iscsi-perf", "-m", "8", "-b", "8", url], stdout=subprocess.DEVNULL,
                                        stderr=subprocess.DEVNULL)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()


def wait_for(condition, what, limit=10):
    deadline = time.monotonic() + limit
    while not condition():
        assert time.monotonic() < deadline, f"not within {limit} s: {what}"
        time.sleep(0.02)


class ServerCase(unittest.TestCase):
    def setUp(self):
        self.scratch = tempfile.TemporaryDirectory(prefix="ashlar-server-", dir=os.environ.get("TMPDIR", "/var/tmp"))
        self.addCleanup(self.scratch.cleanup)
        self.dir = pathlib.Path(self.scratch.name)

    def server(self, **options):
        server = Server(self.dir / "server", **options)
        self.addCleanup(server.kill)
        return server

    def image(self, mib=16, name="image"):
        path = self.dir / name
        path.write_bytes(os.urandom(mib * MIB))
        return path, hashlib.sha256(path.read_bytes()).hexdigest()

    def refused(self, done, code, *words):
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        for word in words:
            self.assertIn(word, done.stderr)
        self.assertEqual(done.stdout, "")


class LifecycleTest(ServerCase):
    def test_volume_from_its_making_to_its_end(self):
        with self.server() as server:
            made = server.ask("volume", "create", "a", "--size", "16Mi")
            self.assertEqual((made["size_bytes"], made["logical_block_size"], made["ack_policy"], made["state"]),
                             (16 * MIB, 512, "durable", "ready"))
            self.assertEqual(made["portals"], server.iscsi)
            again = server.ashlar("volume", "create", "a", "--size", "16Mi")
            self.assertEqual(again.returncode, 0)
            self.assertIn("was there already", again.stderr)
            image, digest = self.image()
            server.write("a", image)
            self.assertEqual(server.sum("a"), digest)
            self.assertEqual(server.ask("volume", "resize", "a", "--size", "32Mi")["size_bytes"], 32 * MIB)
            self.assertEqual(server.ask("volume", "resize", "a", "--size", "32Mi")["size_bytes"], 32 * MIB)
            self.assertEqual(server.ask("volume", "get", "a")["uuid"], made["uuid"])
            self.refused(server.ashlar("volume", "get", "a", "--uuid", "00000000-0000-0000-0000-000000000001"), 3)
            self.assertEqual(server.ashlar("volume", "delete", "a").returncode, 0)
            self.refused(server.ashlar("volume", "get", "a"), 3, "no volume")
            self.refused(server.ashlar("volume", "delete", "a"), 3)
            self.assertEqual(server.ashlar("volume", "delete", "a", "--if-exists").returncode, 0)
            self.assertEqual(server.names(), [])
            # A later volume of the same name has nothing of the first one.
            server.ask("volume", "create", "a", "--size", "16Mi")
            self.assertEqual(server.sum("a"), hashlib.sha256(bytes(16 * MIB)).hexdigest())

    def test_snapshots_clones_and_reverts_hold_what_they_should(self):
        with self.server() as server:
            server.ask("volume", "create", "a", "--size", "16Mi")
            first, first_sum = self.image(name="first")
            second, second_sum = self.image(name="second")
            server.write("a", first)
            snapshot = server.ask("snapshot", "create", "a", "one")
            self.assertIn("was there", server.ashlar("snapshot", "create", "a", "one").stderr)
            server.write("a", second)
            server.ask("volume", "clone", "a", "old", "--snapshot", "one")
            server.ask("volume", "clone", "a", "new", "--size", "24Mi")
            self.assertEqual(server.sum("old"), first_sum)
            grown = self.dir / "grown"
            grown.write_bytes(second.read_bytes() + bytes(8 * MIB))
            self.assertEqual(server.sum("new"), hashlib.sha256(grown.read_bytes()).hexdigest())
            self.assertEqual(server.ask("volume", "get", "old")["origin_snapshot_uuid"], snapshot["uuid"])
            self.assertEqual(server.sum("a"), second_sum)
            self.assertEqual(server.ashlar("snapshot", "revert", "a", "one").returncode, 0)
            self.assertEqual(server.sum("a"), first_sum)
            self.assertEqual([one["name"] for one in server.ask("snapshot", "list", "a")], ["one"])
            self.assertEqual(server.ask("snapshot", "list", "new"), [])
            self.refused(server.ashlar("snapshot", "revert", "a", "two"), 3, "two")
            self.assertEqual(server.ashlar("snapshot", "delete", "a", "one").returncode, 0)
            self.assertEqual(server.ashlar("volume", "delete", "a").returncode, 0)
            self.assertEqual(server.sum("old"), first_sum)

    def test_list_of_many_comes_in_pages_and_in_order(self):
        with self.server() as server:
            names = [f"v-{number:02}" for number in range(25)]
            for name in reversed(names):
                server.ask("volume", "create", name, "--size", "1Mi")
            self.assertEqual(server.names(), names)
            self.assertEqual([v["name"] for v in server.ask("volume", "list", "--prefix", "v-1")], names[10:20])

    def test_settings_change_while_it_is_served(self):
        with self.server() as server:
            server.ask("volume", "create", "a", "--size", "16Mi")
            image, _ = self.image()
            self.assertTrue(server.ask("volume", "set", "a", "--read-only", "true")["read_only"])
            done = run("qemu-img", "convert", "-n", "-f", "raw", "-O", "raw", image, server.url("a"))
            self.assertNotEqual(done.returncode, 0)
            self.assertFalse(server.ask("volume", "set", "a", "--read-only", "false")["read_only"])
            server.write("a", image)
            only = server.ask("volume", "set", "a", "--initiator", "iqn.2026-01.org.example:other")
            self.assertEqual(only["access"]["initiators"], ["iqn.2026-01.org.example:other"])
            self.assertNotEqual(run("iscsi-inq", server.url("a")).returncode, 0)
            self.assertEqual(run("iscsi-inq", "-i", "iqn.2026-01.org.example:other", server.url("a")).returncode, 0)
            server.ask("volume", "set", "a", "--any-initiator")
            self.assertEqual(run("iscsi-inq", server.url("a")).returncode, 0)

    def test_chap_secret_comes_from_file_environment_or_input_and_is_never_shown(self):
        secret = "a secret of 20 chars"
        file = self.dir / "secret"
        file.write_text(secret + "\n")
        with self.server() as server:
            done = server.ashlar("volume", "create", "a", "--size", "1Mi", "--chap", "user", "--chap-secret-file",
                                 file)
            self.assertEqual(done.returncode, 0, done.stderr)
            from_input = server.ashlar("volume", "create", "b", "--size", "1Mi", "--chap", "user",
                                       "--chap-secret-file", "-", input=secret)
            self.assertEqual(from_input.returncode, 0, from_input.stderr)
            environment = {**os.environ, "ASHLAR_CHAP_SECRET": secret}
            from_environment = server.ashlar("volume", "create", "c", "--size", "1Mi", "--chap", "user",
                                             env=environment)
            self.assertEqual(from_environment.returncode, 0, from_environment.stderr)
            shown = done.stdout + json.dumps(server.ask("volume", "list")) + server.log.read_text()
            self.assertNotIn(secret, shown)
            for name in "abc":
                good = server.url(name, user="user%" + secret.replace(" ", "%20") + "@")
                del good  # libiscsi takes its secret from the environment as well
                right = {**os.environ, "LIBISCSI_CHAP_USERNAME": "user", "LIBISCSI_CHAP_PASSWORD": secret}
                wrong = {**right, "LIBISCSI_CHAP_PASSWORD": "another of 20 chars!"}
                self.assertEqual(run("iscsi-inq", server.url(name), env=right).returncode, 0)
                self.assertNotEqual(run("iscsi-inq", server.url(name), env=wrong).returncode, 0)
                self.assertNotEqual(run("iscsi-inq", server.url(name)).returncode, 0)
            # A name without a secret keeps the secret.
            server.ask("volume", "set", "a", "--chap", "user", "--initiator", "iqn.2007-10.com.github:sahlberg:libiscsi:iscsi-inq")
            self.assertEqual(server.ashlar("volume", "set", "a", "--no-chap", "--any-initiator").returncode, 0)
            self.assertEqual(run("iscsi-inq", server.url("a")).returncode, 0)
            self.refused(server.ashlar("volume", "create", "d", "--size", "1Mi", "--chap", "user"), 2, "secret")


class RefusalTest(ServerCase):
    def test_what_is_asked_for_wrongly_is_refused_with_what_is_allowed(self):
        with self.server() as server:
            server.ask("volume", "create", "a", "--size", "16Mi")
            create = ("volume", "create")
            for words, code, word in (
                    ((*create, "A", "--size", "16Mi"), 2, "a-z"),
                    ((*create, "-", "--size", "16Mi"), 2, ""),
                    ((*create, "x" * 64, "--size", "16Mi"), 2, "63"),
                    ((*create, "b/c", "--size", "16Mi"), 2, "a-z"),
                    ((*create, "b"), 2, "--size"),
                    ((*create, "b", "--size", "0"), 2, "1Mi"),
                    ((*create, "b", "--size", "1000000"), 2, "4Ki"),
                    ((*create, "b", "--size", "2048Ti"), 2, "1Pi"),
                    ((*create, "b", "--size", "ten"), 2, "ten"),
                    ((*create, "b", "--size", "16Mi", "--block-size", "1024"), 2, "512"),
                    ((*create, "b", "--size", "16Mi", "--ack", "never"), 2, "durable"),
                    ((*create, "b", "--size", "16Mi", "--initiator", "me"), 2, "iSCSI name"),
                    ((*create, "b", "--size", "16Mi", "--store", "/nowhere"), 3, server.stores[0]),
                    ((*create, "b", "--size", "16Mi", "--uuid", "1"), 2, "uuid"),
                    ((*create, "b", "--size", "16Mi", "--chap-secret", "x"), 2, "--chap-secret"),
                    ((*create, "a", "--size", "32Mi"), 4, "size of 16Mi"),
                    ((*create, "a", "--size", "16Mi", "--ack", "buffered"), 4, "durable"),
                    (("volume", "clone", "b", "c"), 3, "b"),
                    (("volume", "clone", "a", "c", "--snapshot", "s"), 3, "s"),
                    (("volume", "clone", "a", "c", "--size", "8Mi"), 2, "16Mi"),
                    (("volume", "clone", "a", "a"), 4, "a"),
                    (("volume", "resize", "a", "--size", "8Mi"), 2, "never shrinks"),
                    (("volume", "resize", "b", "--size", "8Mi"), 3, "b"),
                    (("volume", "set", "b", "--read-only", "true"), 3, "b"),
                    (("volume", "set", "a", "--read-only", "perhaps"), 2, ""),
                    (("volume", "delete", "b"), 3, "b"),
                    (("snapshot", "create", "b", "s"), 3, "b"),
                    (("snapshot", "create", "a", "S"), 2, "a-z"),
                    (("snapshot", "delete", "a", "s"), 3, "s"),
                    (("session", "list", "b"), 3, "b"),
                    (("volume",), 2, ""), (("volume", "destroy", "a"), 2, ""), ((), 2, ""),
                    (("--output", "xml", "volume", "list"), 2, "xml"),
                    (("--request-id", "a b", "volume", "list"), 2, "request_id")):
                with self.subTest(" ".join(words)):
                    self.refused(server.ashlar(*words), code, word)
            self.assertEqual(server.names(), ["a"])

    def test_server_that_is_not_there_is_named(self):
        self.refused(run(ASHLAR, "--server", "127.0.0.1:1", "volume", "list"), 6, "127.0.0.1:1")
        self.refused(run(ASHLAR, "--server", "nonsense", "volume", "list"), 2, "HOST:PORT")
        self.refused(run(ASHLAR, "volume", "list", env={**os.environ, "ASHLAR_SERVER": "127.0.0.1:1"}), 6,
                     "127.0.0.1:1")

    def test_volume_in_use_is_not_deleted_or_reverted_unless_forced(self):
        with self.server() as server:
            server.ask("volume", "create", "a", "--size", "16Mi")
            server.ask("snapshot", "create", "a", "s")
            with Load(server.url("a")):
                wait_for(lambda: server.ask("session", "list", "a"), "a session")
                self.refused(server.ashlar("volume", "delete", "a"), 5, "in use by", "iqn.")
                self.refused(server.ashlar("snapshot", "revert", "a", "s"), 5, "in use by")
                self.assertEqual(server.ashlar("snapshot", "revert", "a", "s", "--force").returncode, 0)
                done = server.ashlar("volume", "delete", "a", "--force")
                self.assertEqual(done.returncode, 0, done.stderr)
                self.assertEqual(server.ask("session", "list"), [])
            self.assertEqual(server.names(), [])

    def test_configuration_errors_name_their_place(self):
        config = self.dir / "volume.yaml"

        def start(text, *flags):
            config.write_text(text)
            return run(VOLUME, "--config", config, *flags)

        good = f"data_dir: {self.dir}/data\nstores: [{self.dir}/store]\nstandalone: true\n"
        for text, word in ((good + "iscsi:\n  listen: [0.0.0.0:3260]\n", "iscsi.advertise"),
                           (good + "iscsi:\n  listen: [nonsense]\n", f"{config}:5"),
                           (good + "colour: blue\n", f"{config}:4: colour"),
                           (good + "iscsi:\n  iqn_prefix: x\n", "iqn."),
                           (good.replace("standalone: true\n", ""), "--standalone"),
                           (good.replace("stores", "store_s"), "stores"),
                           ("", "data_dir")):
            with self.subTest(text):
                done = start(text)
                self.assertEqual(done.returncode, 2, done.stderr)
                self.assertIn(word, done.stderr)
        self.assertFalse((self.dir / "data").exists())
        self.assertFalse((self.dir / "store").exists())

    def test_two_servers_do_not_share_a_store_a_directory_or_a_port(self):
        with self.server() as first:
            first.ask("volume", "create", "a", "--size", "1Mi")
            same = run(*first.command())
            self.assertEqual(same.returncode, 1)
            self.assertIn("a server that is running", same.stderr)
            second = Server(self.dir / "second")
            second.stores = first.stores
            done = run(*second.command())
            self.assertEqual(done.returncode, 1)
            self.assertIn(f"{first.stores[0]} is open in another process", done.stderr)
            second.stores = [str(second.dir / "store")]
            for attribute, setting in (("iscsi", "iscsi.listen"), ("admin", "admin.listen"),
                                       ("http", "http.listen")):
                before = getattr(second, attribute)
                setattr(second, attribute, getattr(first, attribute))
                done = run(*second.command())
                setattr(second, attribute, before)
                self.assertEqual(done.returncode, 1, attribute)
                self.assertIn(setting, done.stderr)
            self.assertEqual(first.names(), ["a"])

    def test_store_of_another_server_is_opened_only_by_an_explicit_word(self):
        with self.server() as first:
            first.ask("volume", "create", "a", "--size", "1Mi")
            self.assertEqual(first.stop()[0], 0)
        second = Server(self.dir / "second")
        second.stores = first.stores
        done = run(*second.command())
        self.assertEqual(done.returncode, 1)
        self.assertIn("takeover", done.stderr)
        second.flags = ["--take-over"]
        self.addCleanup(second.kill)
        second.start()
        self.assertEqual(second.names(), ["a"])

    def test_directory_with_something_else_in_it_is_left_alone(self):
        server = self.server()
        store = pathlib.Path(server.stores[0])
        store.mkdir()
        (store / "thesis.txt").write_text("years of work")
        done = run(*server.command())
        self.assertEqual(done.returncode, 1)
        self.assertIn("thesis.txt", done.stderr)
        self.assertEqual(os.listdir(store), ["thesis.txt"])


class RestartTest(ServerCase):
    def test_restarts_and_kills_keep_volumes_settings_and_data(self):
        image, digest = self.image()
        server = self.server().start()
        server.ask("volume", "create", "a", "--size", "16Mi")
        server.ask("volume", "create", "b", "--size", "32Mi", "--block-size", "4096", "--ack", "buffered",
                   "--read-only", "--removable", "--initiator", "iqn.2026-01.org.example:x")
        server.write("a", image)
        server.ask("snapshot", "create", "a", "s")
        before = [server.ask("volume", "list"), server.ask("snapshot", "list")]
        for end in (server.kill, server.stop, server.kill):
            end()
            server.start()
            self.assertEqual([server.ask("volume", "list"), server.ask("snapshot", "list")], before)
            self.assertEqual(server.sum("a"), digest)

    def test_kill_right_after_an_answer_loses_nothing(self):
        server = self.server().start()
        names = []
        for number in range(6):
            name = f"v{number}"
            server.ask("volume", "create", name, "--size", "1Mi")
            server.ask("snapshot", "create", name, "s")
            names.append(name)
            server.kill()
            server.start()
            self.assertEqual(server.names(), names)
            self.assertEqual(len(server.ask("snapshot", "list")), len(names))
        self.assertEqual(server.ask("server", "status")["stores"][0]["unreadable"], [])

    def test_volume_that_cannot_be_read_is_left_and_reported(self):
        server = self.server().start()
        server.ask("volume", "create", "a", "--size", "1Mi")
        server.ask("volume", "create", "b", "--size", "1Mi")
        replica = server.ask("volume", "get", "b")["replicas"][0]["replica_uuid"]
        self.assertEqual(server.stop()[0], 0)
        state = pathlib.Path(server.stores[0]) / "replicas" / replica
        damaged = bytes(len(state.read_bytes()))
        state.write_bytes(damaged)
        server.start()
        self.assertEqual(server.names(), ["a"])
        unreadable = server.ask("server", "status")["stores"][0]["unreadable"]
        self.assertIn(replica, unreadable[0]["name"])
        self.assertIn("ashlar_server_unreadable 1", server.get("/metrics")[1])
        self.assertEqual(state.read_bytes(), damaged)


    def test_kills_in_the_midst_of_changes_leave_each_done_or_not_done(self):
        seed = int.from_bytes(os.urandom(4), "little")
        print(f"seed {seed}", flush=True)
        chance = random.Random(seed)
        server = self.server().start()
        image, digest = self.image(mib=1)
        server.ask("volume", "create", "base", "--size", "1Mi")
        server.write("base", image)
        server.ask("snapshot", "create", "base", "s")
        settled = {}  # of a name: whether it must be there, or None when a call was cut off
        for _ in range(8):
            calls = []
            for number in range(6):
                name = f"v{number}"
                kind = chance.choice(("create", "clone", "delete"))
                words = {"create": ("create", name, "--size", "1Mi"), "delete": ("delete", name, "--if-exists"),
                         "clone": ("clone", "base", name, "--snapshot", "s")}[kind]
                calls.append((name, kind, subprocess.Popen(
                    [ASHLAR, "--server", server.admin, "volume", *words], stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL)))
            time.sleep(chance.uniform(0, 0.25))
            server.kill()
            for name, kind, call in calls:
                code = call.wait(timeout=60)
                if code == 0:
                    settled[name] = kind != "delete"
                elif code != 4:  # there already, of another kind: nothing was changed
                    settled[name] = None
            server.start()
            names = server.names()
            for name, is_there in settled.items():
                if is_there is None:
                    settled[name] = name in names
                self.assertEqual(name in names, settled[name], f"{name} after seed {seed}")
            self.assertEqual(server.ask("server", "status")["stores"][0]["unreadable"], [])
            for volume in server.ask("volume", "list"):
                if volume["origin_volume_uuid"]:
                    self.assertEqual(server.sum(volume["name"]), digest, f"{volume['name']} after seed {seed}")
        # What was not finished keeps no place: with everything deleted no layer is left.
        for name in server.names():
            server.ashlar("volume", "delete", name)
        self.assertEqual(server.stop()[0], 0)
        self.assertEqual(os.listdir(pathlib.Path(server.stores[0]) / "layers"), [])

    def test_changes_by_many_at_once_come_one_after_the_other(self):
        with self.server(stores=("one", "two")) as server:
            def at_once(*calls):
                running = [subprocess.Popen([ASHLAR, "--server", server.admin, *call], stdout=subprocess.DEVNULL,
                                            stderr=subprocess.DEVNULL) for call in calls]
                return [one.wait(timeout=60) for one in running]

            same = ("volume", "create", "a", "--size", "1Mi")
            other = ("volume", "create", "a", "--size", "2Mi")
            codes = at_once(*[same, other] * 8)
            self.assertEqual(sorted(codes), [0] * 8 + [4] * 8)
            self.assertEqual(at_once(*[("snapshot", "create", "a", "s")] * 8), [0] * 8)
            self.assertEqual(len(server.ask("snapshot", "list", "a")), 1)
            clones = at_once(*[("volume", "clone", "a", f"c{n}") for n in range(8)],
                             *[("volume", "resize", "a", "--size", "4Mi")] * 4)
            self.assertEqual(clones, [0] * 12)
            deletes = at_once(*[("volume", "delete", "a")] * 8)
            self.assertEqual(sorted(deletes), [0] + [3] * 7)
            self.assertEqual(server.names(), [f"c{n}" for n in range(8)])


class StopTest(ServerCase):
    def test_sigterm_without_load(self):
        with self.server() as server:
            server.ask("volume", "create", "a", "--size", "16Mi")
            code, seconds = server.stop()
            self.assertEqual(code, 0)
            self.assertLess(seconds, 5)

    def test_sigterm_under_load(self):
        image, digest = self.image(mib=64)
        server = self.server().start()
        server.ask("volume", "create", "a", "--size", "64Mi")
        server.write("a", image)
        with Load(server.url("a")):
            wait_for(lambda: server.ask("session", "list", "a"), "a session")
            code, seconds = server.stop()
        self.assertEqual(code, 0)
        self.assertLess(seconds, 5)
        server.start()
        self.assertEqual(server.sum("a"), digest)

    def test_sigterm_under_writes_with_much_to_flush(self):
        server = self.server(log_size="512Mi").start()
        server.ask("volume", "create", "a", "--size", "256Mi")
        writer = subprocess.Popen(["qemu-img", "bench", "-w", "-f", "raw", "-t", "none", "-c", "1000000", "-d", "16",
                                   "-s", "64k", server.url("a")], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            time.sleep(2)
            self.assertIsNone(writer.poll())
            code, seconds = server.stop()
        finally:
            writer.kill()
            writer.wait()
        self.assertEqual(code, 0)
        self.assertLess(seconds, 5)

    def test_sigterm_with_a_call_and_a_half_open_connection(self):
        server = self.server().start()
        address, port = server.iscsi[0].rsplit(":", 1)
        http, http_port = server.http.rsplit(":", 1)
        with socket.create_connection((address, int(port))), socket.create_connection((http, int(http_port))):
            code, seconds = server.stop()
        self.assertEqual(code, 0)
        self.assertLess(seconds, 5)


class MonitoringTest(ServerCase):
    def test_health_readiness_and_metrics_over_http(self):
        with self.server() as server:
            server.ask("volume", "create", "a", "--size", "16Mi")
            self.assertEqual(server.get("/healthz"), (200, "ok\n"))
            self.assertEqual(server.get("/readyz"), (200, "ok\n"))
            self.assertEqual(server.get("/nothing")[0], 404)
            image, _ = self.image()
            server.write("a", image)
            with Load(server.url("a")):
                wait_for(lambda: server.ask("session", "list", "a"), "a session")
                status, text = server.get("/metrics")
            self.assertEqual(status, 200)
            values = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
            self.assertEqual(values["ashlar_server_volumes"], "1")
            self.assertEqual(values["ashlar_server_ready"], "1")
            self.assertEqual(values["ashlar_server_sessions"], "1")
            self.assertTrue(any(key.startswith("ashlar_server_store_available_bytes{") for key in values))
            self.assertTrue(any(key.startswith("ashlar_engine_") for key in values))
            self.assertTrue(any(key.startswith("ashlar_iscsi_") for key in values))
            self.assertIn('ashlar_build_info{', text)

    def test_health_is_lost_with_the_process_and_nothing_else_listens_there(self):
        server = self.server().start()
        server.process.send_signal(signal.SIGSTOP)
        with self.assertRaises(OSError):
            server.get("/healthz")
        server.process.send_signal(signal.SIGCONT)
        self.assertEqual(server.get("/healthz")[0], 200)

    def test_idle_server_does_not_run(self):
        with self.server() as server:
            server.ask("volume", "create", "a", "--size", "16Mi")
            time.sleep(5)  # what the last call left behind

            def cpu():
                fields = pathlib.Path(f"/proc/{server.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
                return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

            before = cpu()
            time.sleep(5)
            self.assertLessEqual(cpu() - before, 0.05)

    def test_request_id_stands_in_the_log(self):
        with self.server() as server:
            server.ask("--request-id", "ticket-4711", "volume", "create", "a", "--size", "16Mi")
            self.assertRegex(server.log.read_text(), r"CreateVolume .*request_id=ticket-4711")


class PlacesTest(ServerCase):
    def test_port_0_is_a_free_one_that_the_log_and_the_volume_tell(self):
        server = self.server()
        server.iscsi, server.admin, server.http = ["127.0.0.1:0"], "127.0.0.1:0", "127.0.0.1:0"
        server.start()
        text = server.log.read_text()
        server.iscsi = re.findall(r"iscsi: listening on (\S+),", text)
        server.admin = re.search(r"admin: listening on (\S+)", text)[1]
        server.http = re.search(r"http: listening on (\S+)", text)[1]
        self.assertEqual(server.ask("volume", "create", "a", "--size", "1Mi")["portals"], server.iscsi)
        self.assertEqual(run("iscsi-inq", server.url("a")).returncode, 0)
        self.assertEqual(server.get("/readyz")[0], 200)

    def test_two_stores_on_two_reactors_behind_one_portal(self):
        with self.server(stores=("one", "two")) as server:
            images = {}
            for number, store in enumerate(server.stores):
                name = f"v{number}"
                server.ask("volume", "create", name, "--size", "16Mi", "--store", store)
                images[name] = self.image(name=name)
            for name, (image, digest) in images.items():
                server.write(name, image)
                self.assertEqual(server.sum(name), digest)
            status = server.ask("server", "status")
            self.assertEqual([store["volumes"] for store in status["stores"]], [1, 1])
            self.assertEqual([reactor["targets"] for reactor in status["reactors"]], [1, 1])
            with Load(server.url("v0")), Load(server.url("v1")):
                wait_for(lambda: len(server.ask("session", "list")) == 2, "two sessions")
                sessions = [reactor["sessions"] for reactor in server.ask("server", "status")["reactors"]]
                self.assertEqual(sessions, [1, 1])
            self.assertEqual(server.stop()[0], 0)
            server.start()
            for name, (_, digest) in images.items():
                self.assertEqual(server.sum(name), digest)

    def test_two_stores_on_one_reactor(self):
        with self.server(stores=("one", "two"), flags=("--reactors", "1")) as server:
            for number, store in enumerate(server.stores):
                server.ask("volume", "create", f"v{number}", "--size", "1Mi", "--store", store)
            self.assertEqual(len(server.ask("server", "status")["reactors"]), 1)
            self.assertEqual(server.stop()[0], 0)

    def test_new_volumes_are_spread_over_stores_that_are_alike(self):
        with self.server(stores=("one", "two")) as server:
            for number in range(4):
                server.ask("volume", "create", f"v{number}", "--size", "1Gi")
            self.assertGreater(min(s["volumes"] for s in server.ask("server", "status")["stores"]), 0)

    def test_two_volumes_of_one_name_are_not_both_served(self):
        first = self.server().start()
        first.ask("volume", "create", "a", "--size", "1Mi")
        self.assertEqual(first.stop()[0], 0)
        copy = str(self.dir / "server" / "copy")
        shutil.copytree(first.stores[0], copy)
        first.stores.append(copy)
        first.start()
        self.assertEqual(first.ask("volume", "get", "a")["replicas"][0]["store_directory"], first.stores[0])
        aside = [store["unreadable"] for store in first.ask("server", "status")["stores"]]
        self.assertEqual(aside[0], [])
        self.assertIn("another store", aside[1][0]["reason"])

    def test_two_portals_show_one_volume(self):
        with self.server(portals=2) as server:
            server.ask("volume", "create", "a", "--size", "16Mi")
            image, digest = self.image()
            server.write("a", image)
            self.assertEqual(server.sum("a", server.url("a", portal=1)), digest)
            listed = run("iscsi-ls", f"iscsi://{server.iscsi[1]}").stdout
            for portal in server.iscsi:
                self.assertIn(portal, listed)

    def test_advertised_address_is_what_initiators_are_told(self):
        with self.server(flags=("--iscsi-advertise", "192.0.2.7:3260")) as server:
            server.ask("volume", "create", "a", "--size", "1Mi")
            self.assertEqual(server.ask("volume", "get", "a")["portals"], ["192.0.2.7:3260"])
            self.assertIn("192.0.2.7:3260", run("iscsi-ls", f"iscsi://{server.iscsi[0]}").stdout)

    @unittest.skipUnless(os.geteuid() == 0, "only root may become somebody else")
    def test_runs_without_privileges(self):
        os.chmod(self.dir, 0o777)
        (self.dir / "server").mkdir()
        os.chmod(self.dir / "server", 0o777)
        as_nobody = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "--no-new-privs",
                     "--bounding-set=-all", "--inh-caps=-all"]
        with self.server(wrapper=as_nobody) as server:
            self.assertIn("65534", pathlib.Path(f"/proc/{server.process.pid}/status").read_text())
            server.ask("volume", "create", "a", "--size", "16Mi")
            image, digest = self.image()
            server.write("a", image)
            self.assertEqual(server.sum("a"), digest)
            self.assertEqual(server.stop()[0], 0)


if __name__ == "__main__":
    unittest.main()
