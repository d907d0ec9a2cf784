#!/usr/bin/env python3
"""Every *_test.cc under tests/ and src/ is compiled into a program that CTest runs.

Asks a configured build folder: what CMake really does decides, not what a CMake file seems to say.
"""

import argparse
import json
import re
import sys
from pathlib import Path

import cpp

OBJECT = re.compile(r"(?P<folder>.*)/CMakeFiles/(?P<target>[^/]+)\.dir/")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", type=Path, default=Path(__file__).parents[2])
    parser.add_argument("--build", type=Path, help="a configured build folder; build/release")
    args = parser.parse_args()
    root = args.root.resolve()
    build = (args.build or root / "build/release").resolve()
    report = cpp.Report(root)

    targets: dict[Path, list[re.Match]] = {}
    for entry in json.loads((build / "compile_commands.json").read_text()):
        output = entry.get("output") or re.search(r" -o (\S+)", entry["command"])[1]
        if match := OBJECT.match(output):
            targets.setdefault(Path(entry["file"]).resolve(), []).append(match)

    def is_run(match: re.Match) -> bool:
        listed = build / match["folder"] / "CTestTestfile.cmake"
        name = re.escape(match["target"])
        return listed.exists() and re.search(rf"\b{name}\b", listed.read_text()) is not None

    for path in cpp.files(root, "src", "tests"):
        if not path.name.endswith("_test.cc"):
            continue
        builders = targets.get(path, [])
        if not builders:
            report.add(path, 1, "tests-built",
                       "no target builds this test: add it to an ashlar_test")
        elif not any(is_run(match) for match in builders):
            names = ", ".join(match["target"] for match in builders)
            report.add(path, 1, "tests-built", f"CTest does not run {names}, which holds this test")
    return report.finish("tests-built")


if __name__ == "__main__":
    sys.exit(main())
