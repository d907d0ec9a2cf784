#!/usr/bin/env python3
"""Starts the real echo processes: bytes come back, signals end them, mistakes are explained, and a
server with nothing to do does not run at all.

usage: echo_process_test.py PATH_OF_ASHLAR_ECHO
"""
import os
import re
import signal
import subprocess
import sys
import time
import unittest

BINARY = sys.argv.pop()


class Server:
    def __init__(self, *flags):
        self.process = subprocess.Popen(
            [BINARY, "serve", "--listen", "127.0.0.1:0", *flags], stderr=subprocess.PIPE, text=True
        )
        lines = ""
        match = None
        while match is None:
            line = self.process.stderr.readline()
            assert line, f"no address in {lines!r}"
            lines += line
            match = re.search(r"listening on (127\.0\.0\.1:\d+)", line)
        self.endpoint = match.group(1)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.communicate()

    def context_switches(self):
        """Voluntary and involuntary switches of all its threads: any of them having run adds one."""
        total = 0
        text = subprocess.run(
            ["grep", "-h", "ctxt_switches", "-r", f"/proc/{self.process.pid}/task",
             "--include=status"], capture_output=True, text=True, check=True).stdout
        for line in text.splitlines():
            total += int(line.split()[1])
        return total


def load(endpoint, *flags):
    return subprocess.run([BINARY, "load", "--server", endpoint, *flags],
                          capture_output=True, text=True, timeout=60)


class EchoProcessTest(unittest.TestCase):
    def test_bytes_come_back_unchanged(self):
        with Server() as server:
            for flags in (["--count", "1", "--payload", "0"],
                          ["--count", "20000", "--depth", "32"],
                          ["--count", "500", "--payload", "64Ki", "--depth", "8"]):
                done = load(server.endpoint, *flags)
                self.assertEqual(done.returncode, 0, done.stderr)
                self.assertIn("came back unchanged", done.stdout)

    def test_many_clients_at_once(self):
        with Server() as server:
            clients = [subprocess.Popen([BINARY, "load", "--server", server.endpoint, "--count", "2000"],
                                        stdout=subprocess.DEVNULL) for _ in range(8)]
            for client in clients:
                self.assertEqual(client.wait(timeout=60), 0)

    def test_sigterm_ends_it_cleanly_with_a_client_connected(self):
        with Server() as server:
            client = subprocess.Popen([BINARY, "load", "--server", server.endpoint,
                                       "--count", "1000000000"], stderr=subprocess.PIPE, text=True)
            try:
                time.sleep(0.2)
                server.process.send_signal(signal.SIGTERM)
                self.assertEqual(server.process.wait(timeout=5), 0)
                self.assertEqual(client.wait(timeout=5), 1)
                self.assertRegex(client.stderr.read(), "closed|reset|Broken pipe")
            finally:
                client.kill()
                client.communicate()

    def test_a_killed_client_leaves_the_server_serving(self):
        with Server() as server:
            client = subprocess.Popen([BINARY, "load", "--server", server.endpoint,
                                       "--count", "1000000000"])
            time.sleep(0.2)
            client.kill()
            client.wait()
            self.assertEqual(load(server.endpoint, "--count", "100").returncode, 0)

    @unittest.skipIf(os.environ.get("ASHLAR_SANITIZE") == "thread",
                     "ThreadSanitizer has a thread of its own that wakes up ten times a second")
    def test_an_idle_server_does_not_run(self):
        with Server() as server:
            self.assertEqual(load(server.endpoint, "--count", "10").returncode, 0)
            time.sleep(0.3)
            before = server.context_switches()
            time.sleep(1.5)
            self.assertEqual(server.context_switches(), before)

    def test_a_port_in_use_is_named(self):
        with Server() as server:
            second = subprocess.run([BINARY, "serve", "--listen", server.endpoint],
                                    capture_output=True, text=True, timeout=10)
            self.assertEqual(second.returncode, 1)
            self.assertIn(f"listening at {server.endpoint}: Address already in use", second.stderr)

    def test_nobody_listening_is_named(self):
        with Server() as server:
            endpoint = server.endpoint
            server.process.terminate()
            self.assertEqual(server.process.wait(timeout=5), 0)
        done = load(endpoint)
        self.assertEqual(done.returncode, 1)
        self.assertIn(f"connecting to {endpoint}: Connection refused", done.stderr)

    def test_the_port_of_a_killed_server_is_free_within_seconds(self):
        # The kernel takes an io_uring down after the process is gone; until then its sockets live.
        with Server() as server:
            endpoint = server.endpoint
            server.process.kill()
            server.process.wait()
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            second = subprocess.Popen([BINARY, "serve", "--listen", endpoint],
                                      stderr=subprocess.PIPE, text=True)
            try:
                if any("listening on" in line for line in second.stderr):
                    return
            finally:
                second.kill()
                second.communicate()
            time.sleep(0.1)
        self.fail("the port was still taken after 10 s")

    def test_wrong_usage_exits_with_2(self):
        for arguments in ([], ["serve", "--lisen", "x"], ["load", "--depth", "0"]):
            done = subprocess.run([BINARY, *arguments], capture_output=True, text=True, timeout=10)
            self.assertEqual(done.returncode, 2, arguments)
            self.assertTrue(done.stderr)


if __name__ == "__main__":
    unittest.main()
