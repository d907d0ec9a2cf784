#!/usr/bin/env python3
"""clang-tidy on what changed since --base and what is not committed, or on --all files.

A changed header is checked through the .cc beside it, or else through one file that includes it.
Works on a copy of the compile commands without precompiled headers: those are read as plain text,
so nothing has to be built first.
"""

import argparse
import concurrent.futures
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import cpp

FOLDERS = ("src", "tests", "bench")


def changed_files(root: Path, base: str | None) -> set[Path] | None:
    """Paths that differ from the merge base with `base`; None when everything counts as changed."""

    def git(*words: str) -> list[str] | None:
        done = subprocess.run(["git", "-c", f"safe.directory={root}", "-C", root, *words],
                              capture_output=True, text=True)
        if done.returncode != 0:
            return None
        return [line for line in done.stdout.split("\0" if "-z" in words else "\n") if line]

    merge_base = git("merge-base", base or "HEAD~1", "HEAD")
    if not merge_base:
        if base:
            sys.exit(f"tidy: no commit in common with '{base}'")
        return None  # the first commit, or a clone of depth 1
    names = git("diff", "-z", "--name-only", merge_base[0]) or []
    names += git("ls-files", "-z", "--others", "--exclude-standard") or []
    return {root / name for name in names}


def sources_for(changed: set[Path], everything: list[Path]) -> set[Path]:
    """The .cc files through which clang-tidy sees every changed file."""
    chosen = {path for path in changed if path.suffix == ".cc"}
    headers = {path for path in changed if path.suffix == ".h" and path.exists()}
    included = {}  # file -> what it includes
    for path in everything if headers else []:
        included[path] = set(re.findall(r'#include "([^"]+)"', path.read_text()))

    def reached(source: Path, header: Path) -> bool:
        seen, waiting = set(), [source]
        while waiting:
            path = waiting.pop()
            if path == header:
                return True
            if path in seen:
                continue
            seen.add(path)
            waiting += [other for other in everything if other.suffix == ".h"
                        and any(other.as_posix().endswith("/" + name)
                                for name in included.get(path, ()))]
        return False

    for header in headers:
        mates = [path for path in everything if path == header.with_suffix(".cc")]
        mates += [path for path in everything if path.suffix == ".cc"]
        if not any(reached(source, header) for source in chosen):
            chosen |= set([path for path in mates if reached(path, header)][:1])
    return chosen


def without_pch(command: str) -> str:
    """Drops the compiled header and its making; its text form is still included."""
    command = re.sub(r"-Xclang -include-pch -Xclang \S+ ", "", command)
    return re.sub(r"-Xclang -emit-pch |-Xclang -fno-pch-timestamp |-fpch-instantiate-templates ",
                  "", command)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", type=Path, default=Path(__file__).parents[2])
    parser.add_argument("--build", type=Path, help="a configured build folder; build/release")
    parser.add_argument("--base", help="a commit; HEAD~1 if there is one, else all files count")
    parser.add_argument("--all", action="store_true")
    args = parser.parse_args()
    root = args.root.resolve()
    build = (args.build or root / "build/release").resolve()

    everything = cpp.files(root, *FOLDERS)
    commands = [entry for entry in json.loads((build / "compile_commands.json").read_text())
                if Path(entry["file"]).resolve() in everything]
    known = {Path(entry["file"]).resolve() for entry in commands}
    changed = None if args.all else changed_files(root, args.base)
    # A new rule is a change of every file.
    chosen = known if changed is None or root / ".clang-tidy" in changed else (
        sources_for(changed, everything) & known)
    for entry in commands:
        entry["command"] = without_pch(entry["command"])

    def run(path: Path) -> subprocess.CompletedProcess:
        return subprocess.run(["clang-tidy-19", "--quiet", "-p", database, path],
                              capture_output=True, text=True, cwd=root)

    failed = []
    with tempfile.TemporaryDirectory() as database, \
            concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        Path(database, "compile_commands.json").write_text(json.dumps(commands))
        # The biggest first, so that no long one is left alone at the end.
        order = sorted(chosen, key=lambda path: (-path.stat().st_size, path))
        for path, done in zip(order, pool.map(run, order)):
            if done.returncode != 0:
                failed.append(path)
                print(done.stdout.replace(f"{root}/", "").strip() or done.stderr.strip())
    print(f"tidy: {len(chosen)} files read, {len(failed)} with findings")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
