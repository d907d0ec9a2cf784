#!/usr/bin/env python3
"""The coroutine rules that can be seen in the text of one file; docs/development.md has them all.

  conditional-await      no co_await inside an operand of ?:
  statement-expression   no co_await inside a GNU statement expression ({ …; })
  thread-local           no thread_local in a file with coroutines, outside src/common/runtime
  aligned-local          no alignas above 16 on a local of a coroutine: its frame is not so aligned

Captures of lambda coroutines and locks held over a wait are clang-tidy's to find.
"""

import argparse
import re
import sys
from pathlib import Path

import cpp

COROUTINE_WORD = re.compile(r"\bco_(?:await|return|yield)\b")
AWAIT = re.compile(r"\bco_await\b")
OPEN, CLOSE = "([{", ")]}"


def enclosing(code: str, offset: int) -> tuple[int, int]:
    """The part of the expression around `offset`: out to a bracket, a comma or a semicolon."""
    start, depth = offset, 0
    while start > 0:
        c = code[start - 1]
        if c in CLOSE:
            depth += 1
        elif c in OPEN:
            if depth == 0:
                break
            depth -= 1
        elif c in ",;" and depth == 0:
            break
        # Out of the end of an earlier block, as in `if (x) { … } y ? a : b`.
        if c == "}" and depth == 1:
            break
        start -= 1
    end, depth = offset, 0
    while end < len(code):
        c = code[end]
        if c in OPEN:
            depth += 1
        elif c in CLOSE:
            if depth == 0:
                break
            depth -= 1
        elif c in ",;" and depth == 0:
            break
        end += 1
    return start, end


def closing(code: str, opening: int) -> int:
    """The offset of the brace that closes the one at `opening`."""
    depth = 0
    for offset in range(opening, len(code)):
        if code[offset] == "{":
            depth += 1
        elif code[offset] == "}":
            depth -= 1
            if depth == 0:
                return offset
    return len(code)


def innermost_block(code: str, offset: int) -> tuple[str, int]:
    """What stands before the innermost { around `offset`, and where that { is (-1: none)."""
    depth = 0
    for start in range(offset - 1, -1, -1):
        if code[start] == "}":
            depth += 1
        elif code[start] == "{":
            if depth == 0:
                head = re.split(r"[;{}]", code[:start])[-1]
                return head, start
            depth -= 1
    return "", -1


def check(report: cpp.Report, path: Path) -> None:
    code = cpp.code_of(path.read_text())
    if not COROUTINE_WORD.search(code):
        return

    def add(offset: int, rule: str, message: str) -> None:
        report.add(path, cpp.line_of(code, offset), rule, message)

    for match in re.finditer(r"\?", code):
        start, end = enclosing(code, match.start())
        if AWAIT.search(code, start, end):
            add(match.start(), "conditional-await",
                "co_await in an operand of ?: — await into a named result, or write an if")

    for match in re.finditer(r"\(\s*\{", code):
        body = code[match.end():closing(code, match.end() - 1)]
        if AWAIT.search(body) and ";" in re.sub(r"\{[^{}]*\}", "", body):
            add(match.start(), "statement-expression", "co_await in a statement expression")

    if not path.relative_to(report.root).as_posix().startswith("src/common/runtime/"):
        for match in re.finditer(r"\bthread_local\b", code):
            add(match.start(), "thread-local",
                "thread_local in a file with coroutines: a coroutine may resume on another thread")

    for match in re.finditer(r"\balignas\s*\(\s*([^()]*)\)", code):
        alignment = match[1].strip().rstrip("uUlL")
        if alignment.isdigit() and int(alignment) <= 16:
            continue
        head, opening = innermost_block(code, match.start())
        in_type = re.search(r"\b(?:class|struct|union|enum)\b(?![^<>]*>)", head)
        if opening < 0 or in_type or re.search(r"\bnamespace\b", head):
            continue
        if re.search(r"\bstatic\b", code[code.rfind("\n", 0, match.start()) + 1:match.start()]):
            continue
        if COROUTINE_WORD.search(code, opening, closing(code, opening)):
            add(match.start(), "aligned-local",
                f"alignas({match[1].strip()}) on a local of a coroutine; take an aligned buffer")


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, default=Path(__file__).parents[2])
    root = parser.parse_args().root.resolve()
    report = cpp.Report(root)
    for path in cpp.files(root, "src", "tests", "bench"):
        check(report, path)
    return report.finish("coroutines")


if __name__ == "__main__":
    sys.exit(main())
