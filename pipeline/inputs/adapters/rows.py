"""What adapters have in common: the row that cannot become a text, and why.

A row that cannot become a text raises `BadRecord` with one of these reasons (the readers add json
to too-large, quality steps the last):

    reason         the row
    missing-field  has no such column
    null-field     has null in the column
    number         has a number in the column
    not-text       has another type (list, object, true or false) in the column
    json           is not JSON as RFC 8259 has it (but NaN and Infinity are numbers)
    utf8           has bytes that are not UTF-8 in a column that is read
    not-an-object  is JSON, but no object
    fields         has more or fewer fields than the header (csv, tsv)
    too-large      is larger than `ReadLimits` allows
    quality        has a text that a quality step of the recipe cannot judge
                   (`pipeline.inputs.quality.quality`)
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

AdaptRow = Callable[[Mapping[str, Any]], str]
Holds = Literal["text", "chat", "text or chat", "plain"]
"""What a column must hold; plain: text, a whole number, true or false."""


class NeededColumn(NamedTuple):
    """A column that is read."""

    path: tuple[str, ...]
    """Names from the row down; most have one."""
    holds: Holds = "text"

    @property
    def name(self) -> str:
        """In words."""
        return ".".join(self.path)


REASONS = (
    "missing-field",
    "null-field",
    "number",
    "not-text",
    "json",
    "utf8",
    "not-an-object",
    "fields",
    "too-large",
    "quality",
)

_SURROGATES = re.compile("[\ud800-\udfff]")


class BadRecord(Exception):  # noqa: N818 - it is a record that is bad, not a program that failed
    """A row that cannot become a text.

    Args:
        reason: one of `REASONS`.
        detail: names of columns, types and positions; never a piece of the document.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail


def repair_surrogates(text: str) -> tuple[str, int]:
    """Replace each lone surrogate, which no UTF-8 can hold, by U+FFFD; returns the text and the
    number of replacements.
    """
    return _SURROGATES.subn("\ufffd", text)


def bad_field(row: Mapping[str, Any], column: str) -> BadRecord:
    """Why a column of a row is no text."""
    if column not in row:
        return BadRecord("missing-field", f"no column {column!r}")
    value = row[column]
    if value is None:
        return BadRecord("null-field", f"null in column {column!r}")
    # to Python true and false are numbers, to JSON they are not
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    detail = f"{type(value).__name__} in column {column!r}"
    return BadRecord("number" if is_number else "not-text", detail)
