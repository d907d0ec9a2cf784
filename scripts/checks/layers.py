#!/usr/bin/env python3
"""The layer rule of cmake/layers.txt, applied to every file under src/.

  layer    an #include "…" names a header of the file's own folder or of one it may include
  rooted   an include of ours is written as a path from src/, or for what proto/ generates from
           there, in quotes
  pure     in a pure folder: no operating system, threads, clocks, chance or RPC library
  config   cmake/layers.txt itself makes sense
"""

import argparse
import re
import sys
from pathlib import Path

import cpp

INCLUDE = re.compile(
    r'^[ \t]*#[ \t]*include[ \t]*(?:"(?P<ours>[^"\n]+)"|<(?P<system>[^>\n]+)>)', re.MULTILINE)

# What protoc makes of proto/ashlar/v1/volumes.proto; belongs to the layer `proto`.
GENERATED = re.compile(r"(?P<stem>ashlar/v\d+/\w+)(\.grpc)?\.pb\.h")

IMPURE_HEADERS = re.compile(
    r"(sys|linux|netinet|net|grpc|grpcpp|google/protobuf|spdlog)/.*"
    r"|(unistd|fcntl|pthread|signal|poll|netdb|dlfcn|liburing|time|sys)\.h"
    r"|(thread|mutex|shared_mutex|condition_variable|future|semaphore|latch|barrier|stop_token)"
    r"|iostream|fstream|filesystem|random"
    r"|absl/container/(flat|node)_hash_.*"
)

# What a pure file may not call: (what it looks like, why not).
IMPURE_CALLS = [
    (re.compile(r"\b\w+_clock\s*::\s*now\b"), "reads a clock; ask the runtime's Clock"),
    (re.compile(r"(?<![\w.>:])(?:std::|::)?time\s*\(\s*(?:nullptr|NULL|0|&)"),
     "reads a clock; ask the runtime's Clock"),
    (re.compile(r"\b(?:clock_gettime|gettimeofday)\s*\("),
     "reads a clock; ask the runtime's Clock"),
    (re.compile(r"\bstd\s*::\s*random_device\b"), "is not repeatable; ask the runtime's Random"),
    (re.compile(r"(?<![\w.>:])(?:std::|::)?s?rand\s*\("),
     "is not repeatable; ask the runtime's Random"),
    (re.compile(r"(?<!Random )\bRandom\s*::\s*from_os\s*\("),
     "is not repeatable; ask the runtime's Random"),
    (re.compile(r"\b(?:secure_)?getenv\s*\("), "reads the environment; take it as a parameter"),
    (re.compile(r"\babsl\s*::\s*(?:flat|node)_hash_(?:map|set)\b"),
     "iterates in another order every run; use a container with a fixed order"),
]


class Layers:
    def __init__(self, root: Path, report: cpp.Report):
        self.allowed: dict[str, list[str]] = {}
        self.pure: set[str] = set()
        # (file, header) -> line of the exception, taken out once it was needed
        self.exceptions: dict[tuple[str, str], int] = {}
        self.path = root / "cmake/layers.txt"
        named: list[tuple[int, str]] = []
        for number, line in enumerate(self.path.read_text().splitlines(), 1):
            words = line.split()
            if not words or words[0].startswith("#"):
                continue
            if words[0] == "pure":
                self.pure.update(words[1:])
                named += [(number, folder) for folder in words[1:]]
            elif words[0] == "allow" and ":" not in words[1:2]:
                if len(words) < 4:
                    report.add(self.path, number, "config", "expected: allow FILE HEADER reason")
                    continue
                self.exceptions[words[1], words[2].strip('<>"')] = number
            elif re.fullmatch(r"[a-z/]+ *:( *[a-z/]+)* *", line):
                folder, _, rest = line.partition(":")
                self.allowed[folder.strip()] = rest.split()
                named += [(number, other) for other in rest.split()]
            else:
                report.add(self.path, number, "config", f"cannot read '{line}'")
        for number, folder in named:
            if folder not in self.allowed:
                report.add(self.path, number, "config", f"{folder} has no line of its own")
        for folder in self.allowed:
            if folder in self._reached_from(folder):
                report.add(self.path, 1, "config", f"{folder} may include itself through others")

    def _reached_from(self, folder: str) -> set[str]:
        reached: set[str] = set()
        waiting = list(self.allowed[folder])
        while waiting:
            other = waiting.pop()
            if other not in reached:
                reached.add(other)
                waiting += self.allowed.get(other, [])
        return reached

    def owner(self, path: str) -> str | None:
        """The longest folder that holds `path` (relative to src/)."""
        holders = [folder for folder in self.allowed if path.startswith(folder + "/")]
        return max(holders, key=len, default=None)


def check_include(report, layers, src, path, line, match) -> None:
    relative = path.relative_to(src).as_posix()
    owner = layers.owner(relative)
    header = match["ours"] or match["system"]
    if match["ours"] is None:
        if (src / header).exists() or GENERATED.fullmatch(header):
            report.add(path, line, "rooted", f'<{header}> is ours: write "{header}"')
        elif owner in layers.pure and IMPURE_HEADERS.fullmatch(header):
            if layers.exceptions.pop((f"src/{relative}", header), None) is None:
                report.add(path, line, "pure",
                           f"src/{owner} is pure: it may not include <{header}>")
        return
    generated = GENERATED.fullmatch(header)
    if generated is not None:
        if not (src.parent / "proto" / f"{generated['stem']}.proto").is_file():
            report.add(path, line, "rooted", f'no file of proto/ makes "{header}"')
            return
        target = "proto"
    elif ".." in header.split("/") or not (src / header).is_file():
        report.add(path, line, "rooted", f'"{header}" is not a path from src/ to a header')
        return
    else:
        target = layers.owner(header)
    if target != owner and target not in layers.allowed[owner]:
        allowed = " ".join(layers.allowed[owner]) or "nothing"
        report.add(path, line, "layer", f'src/{owner} may not include "{header}" of '
                   f"{'proto' if generated else f'src/{target}'} "
                   f"(allowed: {allowed}; see cmake/layers.txt)")


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, default=Path(__file__).parents[2])
    root = parser.parse_args().root.resolve()
    src = root / "src"
    report = cpp.Report(root)
    layers = Layers(root, report)

    for path in cpp.files(root, "src"):
        text = path.read_text()
        code = cpp.code_of(text)
        owner = layers.owner(path.relative_to(src).as_posix())
        if owner is None:
            report.add(path, 1, "layer", "no folder of cmake/layers.txt holds this file")
            continue
        for match in INCLUDE.finditer(text):
            if "#" in code[match.start():match.end()]:  # else it stands in a comment or a string
                line = cpp.line_of(text, match.end())
                check_include(report, layers, src, path, line, match)
        if owner in layers.pure:
            for pattern, why in IMPURE_CALLS:
                for match in pattern.finditer(code):
                    call = " ".join(match[0].split()).partition("(")[0]
                    report.add(path, cpp.line_of(code, match.end()), "pure", f"{call} {why}")
    for (file, header), number in layers.exceptions.items():
        report.add(layers.path, number, "config", f"{file} needs no exception for <{header}>")
    return report.finish("layers")


if __name__ == "__main__":
    sys.exit(main())
