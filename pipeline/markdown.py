"""Strings that nobody vouches for, as Markdown that shows them and does nothing else: no heading, link, image, HTML, cell or mention."""

from __future__ import annotations

import re
from collections.abc import Sequence

from pipeline.report import printable

_MARKS = re.compile(r"([!-+/:-@\[-`{-~])")  # all ASCII punctuation but , - and .
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/+=-]*", re.ASCII)


def plain(text: str) -> str:
    """A text within a line: a backslash before every character that could mean something (CommonMark 2.4)."""
    return _MARKS.sub(r"\\\1", " ".join(printable(text).split())).replace("www.", r"www\.")


def code(text: str) -> str:
    """A name or hash as code; what is no plain name is shown as `plain` shows it."""
    return f"`{text}`" if _NAME.fullmatch(text) else plain(text)


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of cells that are Markdown already; columns of figures are right-aligned."""
    marks = ["---:" if all(re.fullmatch(r"[0-9,.%]+", cell) for cell in cells) else "---" for cells in zip(*rows, strict=True)]
    lines = [columns, marks, *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
