#!/usr/bin/env python3
"""Runs the real ashlar-store on real directories: what it shows of a store is what the store's maker
did, damage planted anywhere is named with its place, and no byte of a store ever changes.

usage: store_tool_test.py PATH_OF_ASHLAR_STORE PATH_OF_ASHLAR_GOLDEN_STORE
"""
import hashlib
import json
import os
import pathlib
import shutil
import struct
import subprocess
import sys
import tempfile
import unittest

GOLDEN_STORE = sys.argv.pop()
TOOL = sys.argv.pop()

BLOCK = 4096


# The uuids and contents of tests/engine/golden/golden_store.cc.
def uuid(kind, number):
    return f"{kind}000000-0000-0000-0000-{number:012}"


REPLICA_1, REPLICA_2, REPLICA_3 = (uuid("a0", n) for n in (1, 2, 3))
VOLUME_1 = uuid("b0", 1)
SNAPSHOT_1 = uuid("c0", 1)
SERVER = uuid("d0", 1)
STORE = uuid("e0", 1)
LOWER = f"layers/{REPLICA_1}-0"
HEAD = f"layers/{REPLICA_1}-1"

fresh = None  # made once; each test has a copy


def setUpModule():
    global fresh
    fresh = tempfile.TemporaryDirectory()
    subprocess.run([GOLDEN_STORE, "make", f"{fresh.name}/store"], check=True, timeout=60)


def tearDownModule():
    fresh.cleanup()


def fingerprint(directory):
    """Of every name and every byte in it, and of the times of the last changes."""
    digest = hashlib.sha256()
    for path in sorted(pathlib.Path(directory).rglob("*")):
        status = path.stat()
        digest.update(f"{path} {status.st_size} {status.st_mtime_ns} {status.st_ctime_ns}\n".encode())
        if path.is_file():
            digest.update(path.read_bytes())
    return digest.hexdigest()


class StoreToolTest(unittest.TestCase):
    def setUp(self):
        self.scratch = tempfile.TemporaryDirectory()
        self.addCleanup(self.scratch.cleanup)
        self.store = pathlib.Path(self.scratch.name) / "store"
        shutil.copytree(f"{fresh.name}/store", self.store)

    # --- helpers ---------------------------------------------------------------------------------

    def run_tool(self, *arguments, code=0):
        """Every run is also a test that nothing changes."""
        before = fingerprint(self.store)
        done = subprocess.run([TOOL, *(str(word) for word in arguments)], capture_output=True,
                              text=True, timeout=60)
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        self.assertEqual(fingerprint(self.store), before, "the store has changed")
        return done

    def table(self, command, *flags, code=0):
        return self.run_tool(*command.split(), self.store, *flags, code=code).stdout

    def json(self, command, *flags, code=0):
        return json.loads(self.table(command, *flags, "--output", "json", code=code))

    def flip(self, file, offset):
        with open(self.store / file, "r+b") as stream:
            stream.seek(offset)
            byte = stream.read(1)[0]
            stream.seek(offset)
            stream.write(bytes([byte ^ 0x10]))

    def read(self, file, offset, length):
        with open(self.store / file, "rb") as stream:
            stream.seek(offset)
            return stream.read(length)

    def write(self, file, offset, content):
        with open(self.store / file, "r+b") as stream:
            stream.seek(offset)
            stream.write(content)

    def assert_damage(self, found, file, offset, what):
        places = [(one["file"], one["offset"]) for one in found["damages"]]
        self.assertIn((file, offset), places, found["damages"])
        text = found["damages"][places.index((file, offset))]["what"]
        self.assertRegex(text, what)

    def assert_only_damage(self, file, offset, what):
        """Verify finds this, and nothing else; in both forms."""
        found = self.json("verify", code=1)
        self.assert_damage(found, file, offset, what)
        self.assertEqual(found["damage_count"], 1, found["damages"])
        self.assertEqual(found["outcome"], "damaged")
        self.assertRegex(self.table("verify", code=1), f"(?m)^{file} at {offset}: .*{what}")

    def replica(self, uuid_of_it, code=0):
        found = self.json("info", code=code)
        return next(one for one in found["replicas"] if one["replica"] == uuid_of_it)

    def logged(self, code=0, **fields):
        """The first record in the log that has these fields."""
        for batch in self.json("log dump", code=code)["batches"]:
            for record in batch["records"]:
                if all(record[key] == value for key, value in fields.items()):
                    return record
        self.fail(f"no record with {fields}")

    # --- info ------------------------------------------------------------------------------------

    def test_info_says_what_the_store_is(self):
        found = self.json("info")
        self.assertEqual(found["store"], STORE)
        self.assertEqual(found["server"], SERVER)
        self.assertEqual(found["owner"], {"server": SERVER, "incarnation": 1})
        self.assertEqual(found["format_versions"],
                         {"superblock": 1, "owner": 1, "replica": 1, "log": 1})
        self.assertFalse(found["in_use"])
        for empty in ("unreadable_replicas", "unnamed_files", "quarantined_files", "broken_slots",
                      "damages"):
            self.assertEqual(found[empty], [], empty)

    def test_info_says_where_the_log_stands(self):
        log = self.json("info")["log"]
        self.assertEqual(log["capacity_bytes"], 1 << 20)
        self.assertEqual(log["verdict"], "clean")
        self.assertEqual(log["checkpoint"]["generation"], 1)
        self.assertEqual(log["end"]["next_generation"], 2)
        self.assertEqual(log["used_bytes"],
                         log["end"]["position"] - log["checkpoint"]["position"])
        self.assertGreater(log["records"], 10)

    def test_info_counts_the_log_into_a_replica(self):
        one = self.replica(REPLICA_1)
        self.assertEqual(one["volume"], VOLUME_1)
        self.assertEqual((one["flushed_lsn"], one["flushed_epoch"]), (8, 3))
        self.assertEqual((one["last_lsn"], one["last_epoch"], one["promised_epoch"]), (16, 4, 4))
        self.assertEqual(one["size_blocks"], 2048, "resized by a record in the log")
        self.assertEqual(one["epochs"], [{"epoch": 3, "first_lsn": 1}, {"epoch": 4, "first_lsn": 9}])
        self.assertEqual(one["unflushed_records"]["write"], 2)
        self.assertEqual(one["unflushed_records"]["snapshot"], 1)
        self.assertTrue(one["candidate"])
        self.assertFalse(one["repair_needed"])
        self.assertEqual(one["attachment_bytes"], len("config of volume 1"))

    def test_info_leaves_out_what_a_truncation_has_dropped(self):
        two = self.replica(REPLICA_2)
        self.assertEqual((two["flushed_lsn"], two["last_lsn"], two["last_epoch"]), (1, 4, 6))
        self.assertEqual(two["epochs"], [{"epoch": 5, "first_lsn": 1}, {"epoch": 6, "first_lsn": 3}])
        self.assertEqual(two["unflushed_records"], {"write": 2, "epoch start": 1})

    def test_info_shows_snapshots_and_layers(self):
        one = self.replica(REPLICA_1)
        self.assertEqual([(s["snapshot"], s["lsn"], s["layer"]) for s in one["snapshots"]],
                         [(SNAPSHOT_1, 5, 0)])
        lower, head = one["layers"]
        self.assertEqual((lower["parent"], lower["head"], lower["present_blocks"]), (None, False, 24))
        self.assertEqual((head["parent"], head["head"], head["present_blocks"]), (0, True, 3))
        self.assertEqual(head["discarded_blocks"], 3)
        self.assertEqual(lower["data_allocated_bytes"],
                         os.stat(self.store / f"{LOWER}.data").st_blocks * 512)

    def test_info_shows_that_a_clone_has_its_parents_layer(self):
        three = self.replica(REPLICA_3)
        self.assertEqual([layer["name"] for layer in three["layers"]],
                         [f"{REPLICA_3}-0", f"{REPLICA_1}-0"])

    def test_the_table_has_the_same_in_words(self):
        text = self.table("info")
        self.assertRegex(text, rf"(?m)^store +{STORE}$")
        self.assertRegex(text, r"(?m)^  verdict +clean$")
        self.assertRegex(text, r"(?m)^  capacity +1 MiB$")
        self.assertRegex(text, rf"(?m)^  replica +{REPLICA_2}$")
        self.assertRegex(text, rf"(?m)^    {SNAPSHOT_1} +5 +2023-11-14T22:13:20Z +0 +no$")

    def test_info_lists_files_that_nobody_names(self):
        names = ["notes.txt", f"layers/{uuid('f0', 9)}-4.data", f"replicas/{uuid('a0', 9)}.new"]
        for name in names:
            (self.store / name).write_text("")
        (self.store / "quarantine/old").write_text("")
        found = self.json("info")
        self.assertEqual(sorted(found["unnamed_files"]), sorted(names))
        self.assertEqual(found["quarantined_files"], ["quarantine/old"])

    def test_a_replica_that_is_being_deleted_may_lack_its_layers(self):
        os.rename(self.store / f"replicas/{REPLICA_2}", self.store / f"replicas/{REPLICA_2}.deleting")
        os.remove(self.store / f"layers/{REPLICA_2}-0.map")
        two = self.replica(REPLICA_2)
        self.assertTrue(two["being_deleted"])
        self.assertEqual(self.json("verify")["outcome"], "fine")

    # --- log dump --------------------------------------------------------------------------------

    def test_log_dump_shows_records_in_order(self):
        found = self.json("log dump")
        self.assertEqual(found["store"], STORE)
        positions = [batch["position"] for batch in found["batches"]]
        self.assertEqual(positions, sorted(positions))
        self.assertEqual(positions[0], found["log"]["checkpoint"]["position"])
        records = [record for batch in found["batches"] for record in batch["records"]]
        of_one = [(r["type"], r["lsn"], r["epoch"], r["first_block"], r["blocks"])
                  for r in records if r["replica"] == REPLICA_1]
        self.assertEqual(of_one, [("epoch start", 9, 4, 0, 0), ("write", 10, 4, 40, 3),
                                  ("discard", 11, 4, 101, 1), ("snapshot", 12, 4, 0, 0),
                                  ("resize", 13, 4, 0, 2048), ("write", 14, 4, 2000, 1),
                                  ("write zeroes", 15, 4, 22, 1),
                                  ("reservation state", 16, 4, 0, 0)])
        truncations = [r for r in records if r["type"] == "truncate"]
        self.assertEqual([(r["lsn"], r["epoch"]) for r in truncations], [(2, 6)])

    def test_log_dump_can_show_one_replica_and_a_few_records(self):
        found = self.json("log dump", "--replica", REPLICA_2, "--limit", "3")
        records = [record for batch in found["batches"] for record in batch["records"]]
        self.assertEqual([(r["replica"], r["lsn"]) for r in records],
                         [(REPLICA_2, 2), (REPLICA_2, 3), (REPLICA_2, 4)])
        self.assertTrue(found["stopped_at_limit"])
        self.assertGreater(found["log"]["records"], 3, "the rest was scanned all the same")

    def test_log_dump_in_words(self):
        text = self.table("log dump")
        self.assertRegex(text, rf"(?m)^  write +replica {REPLICA_1}  epoch 4  lsn 10  blocks 40\+3")
        self.assertRegex(text, r"(?m)^  seal$")
        self.assertRegex(text, r"(?m)^    why +no whole batch that names its predecessor follows")

    def test_a_torn_tail_is_no_damage(self):
        log = self.json("log dump")
        seal = self.read("log", log["batches"][-1]["file_offset"], BLOCK)
        end = log["log"]["end"]
        attempt = seal[:56] + struct.pack("<Q", end["position"]) + seal[64:]
        self.write("log", end["file_offset"], attempt)
        found = self.json("verify")
        self.assertEqual((found["outcome"], found["log_verdict"]), ("fine", "torn tail"))
        self.assertIn("unfinished batch", self.json("log dump")["log"]["end"]["why"])

    # --- chunks ----------------------------------------------------------------------------------

    def test_chunks_shows_the_head_unless_told_otherwise(self):
        head = self.json("chunks", "--replica", REPLICA_1)
        self.assertEqual((head["layer"], head["name"]), (1, f"{REPLICA_1}-1"))
        self.assertEqual([(c["chunk"], c["blocks"]) for c in head["chunks"]],
                         [(0, "............DDD."), (1, "....PP.........."), (62, "........P.......")])
        lower = self.json("chunks", "--replica", REPLICA_1, "--layer", "0")
        self.assertEqual([(c["chunk"], c["blocks"]) for c in lower["chunks"]],
                         [(0, "..........PPPPPP"), (1, "PPPPPPPPPPPPPP.."), (6, "....PPPP........")])
        self.assertEqual([c["last_lsn"] for c in lower["chunks"]], [2, 2, 3])

    def test_chunks_shows_a_range(self):
        found = self.json("chunks", "--replica", REPLICA_1, "--layer", "0", "--from", "30",
                          "--count", "66")
        self.assertEqual([c["chunk"] for c in found["chunks"]], [1])
        found = self.json("chunks", "--replica", REPLICA_1, "--layer", "0", "--from", "32",
                          "--count", "65")
        self.assertEqual([c["chunk"] for c in found["chunks"]], [6])

    def test_chunks_in_words(self):
        text = self.table("chunks", "--replica", REPLICA_1)
        self.assertRegex(text, r"(?m)^ +1 +16 +\d+ +7  \.\.\.\.PP\.{10}$")

    # --- verify ----------------------------------------------------------------------------------

    def test_a_sound_store_is_fine_and_all_of_it_was_looked_at(self):
        found = self.json("verify")
        self.assertEqual((found["outcome"], found["damages"]), ("fine", []))
        checked = found["checked"]
        self.assertEqual((checked["slots"], checked["layers"], checked["blocks"]), (10, 4, 31))
        self.assertEqual(checked["log_records"], self.json("info")["log"]["records"])
        self.assertEqual(self.run_tool("verify", self.store).stderr, "")

    def test_a_bit_in_a_payload_of_the_log(self):
        record = self.logged(type="write", replica=REPLICA_1, lsn=10)
        place = record["payload_file_offset"] + BLOCK  # its second block
        self.flip("log", place + 77)
        self.assert_only_damage("log", place, "payload at file offset .* does not match")
        log = self.json("info", code=1)["log"]
        self.assertEqual(log["verdict"], "damage")
        self.assertEqual(self.json("log dump", code=1)["log"]["end"]["position"],
                         log["end"]["position"])

    def test_a_bit_in_a_header_of_the_log(self):
        batch = self.json("log dump")["batches"][5]
        self.flip("log", batch["file_offset"] + 100)
        self.assert_only_damage("log", batch["file_offset"], "the log was durable up to")

    def test_a_log_that_was_cut(self):
        os.truncate(self.store / "log", 512 << 10)
        self.assert_only_damage("log", 512 << 10, "has 524288 bytes, the superblock says 1048576")

    def test_a_log_that_is_missing(self):
        os.remove(self.store / "log")
        self.assert_only_damage("log", 0, "missing")
        self.assertIsNone(self.json("info", code=1)["log"])

    def test_a_bit_in_a_block_of_a_snapshots_layer(self):
        self.flip(f"{LOWER}.data", 21 * BLOCK + 4095)
        self.assert_only_damage(f"{LOWER}.data", 21 * BLOCK, "block 21 does not match")

    def test_a_block_that_stands_in_the_place_of_another(self):
        self.write(f"{LOWER}.data", 12 * BLOCK, self.read(f"{LOWER}.data", 13 * BLOCK, BLOCK))
        self.assert_only_damage(f"{LOWER}.data", 12 * BLOCK, "block 12 does not match")

    def test_every_one_of_several_damaged_blocks(self):
        for block in (10, 17, 29, 101):
            self.flip(f"{LOWER}.data", block * BLOCK)
        found = self.json("verify", code=1)
        self.assertEqual([one["offset"] // BLOCK for one in found["damages"]], [10, 17, 29, 101])

    def test_data_behind_the_end_of_a_file(self):
        os.truncate(self.store / f"{LOWER}.data", 102 * BLOCK)
        found = self.json("verify", code=1)
        self.assertEqual([(one["offset"] // BLOCK, one["what"]) for one in found["damages"]],
                         [(102, "block 102 lies behind the end of the file"),
                          (103, "block 103 lies behind the end of the file")])

    def test_a_bit_in_an_entry_of_a_map(self):
        entry = self.json("chunks", "--replica", REPLICA_1)["chunks"][1]
        self.flip(f"{HEAD}.map", entry["map_offset"] + 20)
        self.assert_only_damage(f"{HEAD}.map", entry["map_offset"],
                                r"the entry of chunk 1 \(blocks 16 to 31\)")
        self.assertEqual(self.replica(REPLICA_1, code=1)["layers"][1]["damaged_blocks"], 16)
        shown = self.json("chunks", "--replica", REPLICA_1, code=1)["chunks"]
        self.assertEqual([c["damaged"] for c in shown], [False, True, False])
        self.assertIn("the entry is damaged", self.table("chunks", "--replica", REPLICA_1, code=1))

    def test_a_bit_in_the_summary_of_a_map(self):
        self.flip(f"{HEAD}.map", 0)
        self.assert_only_damage(f"{HEAD}.map", 0, "summary")

    def test_a_page_of_a_map_that_is_lost(self):
        entry = self.json("chunks", "--replica", REPLICA_1)["chunks"][1]
        page = entry["map_offset"] // BLOCK * BLOCK
        self.write(f"{HEAD}.map", page, bytes(BLOCK))
        self.assert_only_damage(f"{HEAD}.map", page, "map page of chunks 0 to 47 is lost")

    def test_a_map_that_was_cut(self):
        os.truncate(self.store / f"{LOWER}.map", BLOCK)
        self.assert_only_damage(f"{LOWER}.map", BLOCK, "is lost")
        os.truncate(self.store / f"{LOWER}.map", BLOCK + 100)
        self.assertEqual(self.json("verify", code=1)["damage_count"], 2)

    def test_files_of_a_layer_that_are_missing(self):
        for suffix in ("data", "map"):
            with self.subTest(suffix):
                os.rename(self.store / f"{LOWER}.{suffix}", self.store / "away")
                self.assert_only_damage(f"{LOWER}.{suffix}", 0, "missing")
                os.rename(self.store / "away", self.store / f"{LOWER}.{suffix}")

    def test_a_bit_in_either_slot_of_a_state(self):
        for file, size in (("superblock", 4096), ("owner", 4096), (f"replicas/{REPLICA_1}", 128 << 10)):
            for slot in (0, 1):
                with self.subTest(file=file, slot=slot):
                    place = slot * size
                    self.flip(file, place + 40)
                    found = self.json("verify", code=1)
                    self.assert_damage(found, file, place, f"slot {slot} does not match its CRC")
                    broken = self.json("info", code=1)["broken_slots"]
                    self.assertEqual([(b["file"], b["slot"], b["offset"]) for b in broken],
                                     [(file, slot, place)])
                    self.flip(file, place + 40)

    def test_a_state_that_was_cut(self):
        os.truncate(self.store / f"replicas/{REPLICA_2}", 128 << 10)
        found = self.json("verify", code=1)
        self.assert_damage(found, f"replicas/{REPLICA_2}", 128 << 10, "has 131072 bytes|cannot be read")

    def test_a_replica_without_a_readable_state_is_listed_and_the_rest_is_checked(self):
        self.flip(f"replicas/{REPLICA_1}", 40)
        self.flip(f"replicas/{REPLICA_1}", (128 << 10) + 40)
        found = self.json("info", code=1)
        self.assertEqual([one["file"] for one in found["unreadable_replicas"]],
                         [f"replicas/{REPLICA_1}"])
        self.assertIn("its first slot does not match", found["unreadable_replicas"][0]["why"])
        self.assertEqual(len(found["replicas"]), 2)
        self.assertEqual(found["unnamed_files"], [f"{HEAD}.data", f"{HEAD}.map"])
        checked = self.json("verify", code=1)["checked"]
        self.assertEqual(checked["layers"], 3)
        self.assertGreater(checked["log_records_unchecked"], 0)

    def test_a_state_under_the_name_of_another(self):
        other = f"replicas/{uuid('a0', 7)}"
        os.rename(self.store / f"replicas/{REPLICA_2}", self.store / other)
        found = self.json("verify", code=1)
        self.assert_damage(found, other, 0, f"it holds the state of replica {REPLICA_2}")

    def test_without_a_superblock_that_can_be_read_the_layers_are_checked(self):
        self.flip("superblock", 40)
        self.flip("superblock", 4096 + 40)
        found = self.json("verify", code=1)
        self.assertEqual([one["offset"] for one in found["damages"]], [0, 4096])
        self.assertEqual((found["checked"]["blocks"], found["log_verdict"]), (31, None))
        done = self.run_tool("log", "dump", self.store, code=3)
        self.assertIn("the superblock of", done.stderr)

    # --- a store in use, and what is no store ----------------------------------------------------

    def test_a_store_in_use_is_shown_with_a_warning_and_stays_in_use(self):
        holder = subprocess.Popen([GOLDEN_STORE, "hold", self.store], stdout=subprocess.PIPE, text=True)
        try:
            self.assertEqual(holder.stdout.readline(), "open\n")
            done = self.run_tool("info", self.store, "--output", "json")
            self.assertTrue(json.loads(done.stdout)["in_use"])
            self.assertRegex(done.stderr, "warning: .* is open in another process")
            self.assertIn("warning", self.run_tool("verify", self.store).stderr)
            second = subprocess.run([GOLDEN_STORE, "describe", self.store], capture_output=True,
                                    text=True, timeout=60)
            self.assertIn("is open in another process", second.stderr)
        finally:
            holder.kill()
            holder.communicate()

    def test_what_is_no_store_cannot_be_opened(self):
        empty = pathlib.Path(self.scratch.name) / "empty"
        empty.mkdir()
        for path, why in ((empty, "is not a store"), (empty / "nothing", "No such file"),
                          (self.store / "log", "Not a directory")):
            for command in (["info"], ["log", "dump"], ["verify"], ["chunks", "--replica", REPLICA_1]):
                with self.subTest(path=path, command=command):
                    done = self.run_tool(*command, path, code=3)
                    self.assertRegex(done.stderr, f"^ashlar-store: .*{why}")
                    self.assertEqual(done.stdout, "")

    def test_a_store_of_a_later_version_is_not_guessed_at(self):
        for slot in (0, 1):
            self.write("superblock", slot * 4096 + 8, b"\2")
        self.assertIn("later version", self.run_tool("info", self.store, code=3).stderr)

    def test_a_file_that_is_no_superblock_is_named(self):
        (self.store / "superblock").write_bytes(b"something" * 1024)
        self.assertIn("is not the superblock", self.run_tool("info", self.store, code=3).stderr)

    def test_a_replica_or_layer_that_is_not_there(self):
        self.run_tool("chunks", self.store, "--replica", uuid("a0", 9), code=3)
        done = self.run_tool("chunks", self.store, "--replica", REPLICA_1, "--layer", "2", code=3)
        self.assertIn("has layers 0 to 1, not 2", done.stderr)

    # --- usage -----------------------------------------------------------------------------------

    def test_wrong_usage_exits_with_2(self):
        for arguments in ([], ["info"], ["infos", self.store], ["info", self.store, "more"],
                          ["info", self.store, "--output", "xml"], ["log", self.store],
                          ["chunks", self.store], ["chunks", self.store, "--replica", "seven"],
                          ["log", "dump", self.store, "--limit", "-1"]):
            with self.subTest(arguments):
                self.assertTrue(self.run_tool(*arguments, code=2).stderr)

    def test_help_says_what_there_is_and_what_the_exit_codes_mean(self):
        top = self.run_tool("--help").stdout
        for word in ("info", "log", "verify", "chunks", "Exit codes"):
            self.assertIn(word, top)
        dump = self.run_tool("log", "dump", "--help").stdout
        for word in ("--replica UUID", "--limit N", "--output table|json", "Exit codes"):
            self.assertIn(word, dump)


if __name__ == "__main__":
    unittest.main()
