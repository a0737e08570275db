"""Parts of the project's pages, and the demo, for the tests that hold them to the code."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

CHECKOUT = Path(__file__).resolve().parent.parent
PAGES = {
    str(path.relative_to(CHECKOUT)): path.read_text(encoding="utf-8")
    for folder in (".", "docs", "examples", "examples/*")
    for path in sorted(CHECKOUT.glob(f"{folder}/*.md"))
}
"""README.md, CONTRIBUTING.md, docs/recipes.md, ...: the text of each page."""


class Demo(NamedTuple):
    """What the commands of `make demo` leave and print."""

    mix: Path
    """Folder of the sample mix."""
    printed: list[str]
    """Lines of its audit."""


def section(page: str, title: str) -> str:
    """The text below a heading of any level, up to the next one of its level or above."""
    level, fence, lines = 0, False, []
    for line in PAGES[page].splitlines(keepends=True):
        fence ^= line.startswith("```")
        heading = None if fence else re.match(r"(#+) (.*)$", line)
        if level and heading and len(heading[1]) <= level:
            break
        if level:
            lines.append(line)
        elif heading and heading[2] == title:
            level = len(heading[1])
    assert level, f"{page} has no section {title!r}"
    return "".join(lines)


def tables(text: str) -> list[list[list[str]]]:
    """Rows of each table of a text, with its head; a `\\|` is no border."""
    return [
        [
            [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
            for line in block.splitlines()
            if not re.fullmatch(r"[|: -]+", line)
        ]
        for block in re.findall(r"(?:^\|.*\n?)+", text, re.MULTILINE)
    ]


def fenced(text: str, language: str | None = None) -> list[str]:
    """The blocks between fences: all, or those of a language (`""`: of none)."""
    blocks = re.findall(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return [block for name, block in blocks if language in (None, name)]


def quoted(text: str) -> list[str]:
    """What stands in back quotes outside of fences, with `\\|` as `|`."""
    text = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    return [word.replace("\\|", "|") for word in re.findall(r"`([^`]+)`", text)]


def assert_shown(block: str, printed: list[str], where: str) -> list[str]:
    """Hold shown lines to printed ones: whole lines, in their order; `...` stands for any that are
    left out. Returns the shown lines.
    """
    shown = [line.rstrip() for line in block.splitlines()]
    shown = [line for line in shown if line and line.strip() != "..."]
    rest: Iterator[str] = iter(line.rstrip() for line in printed)
    for line in shown:
        assert line in rest, f"{where}: this line is not printed, or not at this place: {line!r}"
    return shown
