"""What the checkers share: finding our C++ files and reading them without comments and strings."""

import re
from pathlib import Path

# A comment, a raw string, a string or a character; a quote between digits (1'000) is neither.
_SKIPPED = re.compile(
    r"//[^\n]*"
    r"|/\*.*?\*/"
    r'|R"(?P<mark>[^()\\\s]{0,16})\(.*?\)(?P=mark)"'
    r'|"(?:\\.|[^"\\\n])*"'
    r"|(?<![0-9a-fA-F])'(?:\\.|[^'\\\n])+'",
    re.DOTALL,
)


def files(root: Path, *folders: str) -> list[Path]:
    """Our .h and .cc files below the folders of `root`, sorted."""
    return sorted(
        path
        for folder in folders
        for path in (root / folder).rglob("*")
        if path.suffix in (".h", ".cc") and path.is_file()
    )


def code_of(text: str) -> str:
    """`text` with comments, strings and characters blanked out; lines and columns stay."""
    return _SKIPPED.sub(lambda match: re.sub(r"[^\n]", " ", match[0]), text)


def line_of(text: str, offset: int) -> int:
    return text.count("\n", 0, offset) + 1


class Report:
    """Violations, each printed as file:line: [rule] message."""

    def __init__(self, root: Path):
        self.root = root
        self.count = 0

    def add(self, path: Path, line: int, rule: str, message: str) -> None:
        self.count += 1
        print(f"{path.relative_to(self.root)}:{line}: [{rule}] {message}")

    def finish(self, what: str) -> int:
        if self.count == 0:
            print(f"{what}: ok")
        return 1 if self.count else 0
