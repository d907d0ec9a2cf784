#!/usr/bin/env python3
"""Kills an iSCSI target again and again (SIGKILL) under a writer that outlives it and compares: nothing
acknowledged may be lost, nothing foreign may appear, and the target must be back within 20 s.

The writer is ashlar_crash_writer. This program only kills, starts again and reports. The last line is the
verdict; the exit status is 0 when it is good.
"""
import argparse
import json
import pathlib
import random
import signal
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "support"))
from target_under_test import TargetFailed, Unit, open_target  # noqa: E402


def quantiles(values):
    if not values:
        return "none"
    ordered = sorted(values)
    return (f"p50 {ordered[len(ordered) // 2]:.2f} s, p90 {ordered[len(ordered) * 9 // 10]:.2f} s, "
            f"longest {ordered[-1]:.2f} s")


def damage_image(target, chance):
    """For the proof that damage is seen: sets a stretch of the image back to zeros, while tgt is down."""
    with open(target.image("unit"), "r+b") as image:
        image.seek(chance.randrange(64) * (64 << 10))
        image.write(bytes(256 << 10))


def run_kills(target, writer, options, chance, starts):
    for number in range(1, options.kills + 1):
        until = time.monotonic() + chance.uniform(options.shortest, options.longest)
        while time.monotonic() < until and writer.poll() is None:
            time.sleep(0.01)
        if writer.poll() is not None:
            return number - 1
        if not target.is_alive():
            raise TargetFailed(f"{target.kind} ended by itself\n{target.log_tail()}")
        target.kill()
        if options.damage and number == options.kills:
            damage_image(target, chance)
        starts.append(target.start())
        if number % 25 == 0:
            print(f"crash loop: {number} kills", flush=True)
    return options.kills


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--writer", required=True, help="ashlar_crash_writer")
    parser.add_argument("--target", default="ashlar", help="kind of target: ashlar or tgt")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--shortest", type=float, default=0.2, help="seconds between start and kill")
    parser.add_argument("--longest", type=float, default=2.0)
    parser.add_argument("--ack-policy", choices=("durable", "buffered"), default="durable")
    parser.add_argument("--block-size", type=int, choices=(512, 4096), default=512)
    parser.add_argument("--sessions", type=int, default=3)
    parser.add_argument("--depth", type=int, default=8, help="of each session")
    parser.add_argument("--seed", type=int, help="default: drawn, and printed")
    parser.add_argument("--work-dir", type=pathlib.Path, help="where the target keeps its files")
    parser.add_argument("--damage", action="store_true",
                        help="damage tgt's image before its last start and want it to be seen")
    options = parser.parse_args()
    seed = options.seed if options.seed is not None else random.SystemRandom().randrange(1 << 32)
    chance = random.Random(seed)
    print(f"crash loop: {options.target}, {options.ack_policy}, {options.block_size}-byte blocks, seed {seed}",
          flush=True)

    unit = Unit(size="64M", block_size=options.block_size, ack_policy=options.ack_policy)
    starts, kills, failure = [], 0, ""
    with tempfile.TemporaryDirectory(prefix="crash-loop-", dir=options.work_dir) as directory:
        with open_target(options.target, unit, directory) as target:
            writer = subprocess.Popen([options.writer, target.url(0), target.url(1), "--seed", str(seed),
                                       "--sessions", str(options.sessions), "--depth", str(options.depth)],
                                      stdout=subprocess.PIPE, text=True)
            try:
                kills = run_kills(target, writer, options, chance, starts)
                time.sleep(0.3)
            except TargetFailed as error:
                failure = str(error)
            writer.send_signal(signal.SIGTERM)
            try:
                output, _ = writer.communicate(timeout=60)
            except subprocess.TimeoutExpired:
                writer.kill()
                output, _ = writer.communicate()
                failure = failure or "the writer did not end within 60 s"
            log = target.log_tail()
    found = json.loads(output.splitlines()[-1]) if output.strip() else {"error": "the writer said nothing"}
    failure = failure or found["error"]
    acknowledged = found.get("acknowledged", {})
    writes = sum(count for what, count in acknowledged.items() if what not in ("read", "synchronize_cache"))
    print("crash loop: acknowledged: " + ", ".join(f"{count} {what}" for what, count in acknowledged.items()))
    print(f"crash loop: {found.get('in_doubt', 0)} in doubt, {found.get('reconnects', 0)} times reconnected, "
          f"{found.get('verified_blocks', 0)} blocks verified")
    print(f"crash loop: start: {quantiles(starts)}; without an answer: {quantiles(found.get('away_seconds', []))}")
    for problem in found.get("problems", []):
        print(f"crash loop: {problem}")
    wrong = found.get("lost", 0) + found.get("foreign", 0)
    if failure:
        print(f"crash loop: {failure}\n{log}")
    # A loop in which the writer hardly wrote, or never lost a session, has shown nothing.
    idle = not failure and (writes < 20 * options.kills or found["reconnects"] < options.kills // 2)
    if idle:
        print("crash loop: too little was written, or too few kills were felt, to mean anything")
    good = not failure and not idle and (wrong > 0 if options.damage else wrong == 0)
    print(f"crash loop: {'ok' if good else 'FAILED'}: {kills} kills, {writes} writes acknowledged, "
          f"{found.get('lost', '?')} lost, {found.get('foreign', '?')} foreign")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
