"""Adapters: how one published row becomes one training text.

    adapter         columns                  training text
    text            text                     as it is
    flan            inputs, targets          inputs + joint + targets; the joint is nothing after
                                             white space, one space after punctuation, else a
                                             newline
    title-text      title, text              title, blank line, body
    title-abstract  title, abstract          title, blank line, abstract
    question-answer title, question, answer  the three, joined by blank lines, without markers
    camel           message_1, message_2     the two, joined by a blank line, without role markers

A part that is empty brings no joint with it, so that a page without a title does not begin with a
blank line. Nothing else is stripped, normalised or searched: a literal `<|endoftext|>` stays text
here, and tokenizing decides about it.

Punctuation is what Unicode calls so (categories P*) and the ASCII signs of `string.punctuation`
(`$+<=>^`|~` are symbols in Unicode, and end Flan's inputs all the same).

A row that cannot become a text raises `BadRecord` with one of these reasons (the readers add json
to too-large, quality steps the last):

    reason         the row
    missing-field  has no such column
    null-field     has null in the column
    number         has a number in the column
    not-text       has another type (list, object, true or false) in the column
    json           is not JSON as RFC 8259 has it (NaN and Infinity are not)
    utf8           is not UTF-8
    not-an-object  is JSON, but no object
    too-large      is larger than `ReadLimits` allows
    quality        has a text that a quality step of the recipe cannot judge
                   (`pipeline.inputs.quality.quality`)

Sources: the layouts and joints that facts of the published mixes state (arXiv 2508.06601 and its
scripts; the cards of the corpora).
"""

from __future__ import annotations

import re
import string
import unicodedata
from collections.abc import Callable, Mapping
from typing import Any

from mixtures.errors import RecipeError
from mixtures.recipe.source_definition import SourceDefinition

AdaptRow = Callable[[Mapping[str, Any]], str]
SelectRow = Callable[[Mapping[str, Any]], bool]

REASONS = (
    "missing-field",
    "null-field",
    "number",
    "not-text",
    "json",
    "utf8",
    "not-an-object",
    "too-large",
    "quality",
)

_COLUMNS: dict[str, tuple[str, ...]] = {
    "text": ("text",),
    "flan": ("inputs", "targets"),
    "title-text": ("title", "text"),
    "title-abstract": ("title", "abstract"),
    "question-answer": ("title", "question", "answer"),
    "camel": ("message_1", "message_2"),
}
_SURROGATES = re.compile("[\ud800-\udfff]")
_ASCII_PUNCTUATION = frozenset(string.punctuation)


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


def adapter_columns(definition: SourceDefinition) -> tuple[str, ...]:
    """Columns that the definition's adapter joins, in the order of the text."""
    try:
        return _COLUMNS[definition.adapter]
    except KeyError:
        raise RecipeError(
            f"source {definition.name}: there is no adapter {definition.adapter!r}; allowed are"
            f" {', '.join(_COLUMNS)}"
        ) from None


def needed_columns(
    definition: SourceDefinition, columns: tuple[str, ...] | None = None
) -> tuple[str, ...]:
    """Columns that are read from the files: the adapter's (or those given in their place), then
    those of `where`, each once.
    """
    return tuple(
        dict.fromkeys(
            (*(adapter_columns(definition) if columns is None else columns), *definition.where)
        )
    )


def make_adapter(definition: SourceDefinition) -> AdaptRow:
    """The function that turns a row (column name -> value) of this source into its training text.

    Raises: (the function) BadRecord with the reasons missing-field, null-field, number, not-text.
    """
    columns = adapter_columns(definition)
    if len(columns) == 1:
        return _one_column(columns[0])
    if definition.adapter == "flan":
        return _flan
    return _joined_by_blank_lines(columns)


def make_selector(definition: SourceDefinition) -> SelectRow | None:
    """The function that says if `where` keeps a row; None if the definition keeps all.

    A whole number is compared as its decimal digits, true and false as those words. A row without
    the column, or with null or another type in it, raises BadRecord: a row that cannot be judged is
    neither kept nor counted as judged.
    """
    if not definition.where:
        return None
    allowed = tuple((column, frozenset(values)) for column, values in definition.where.items())

    def select(row: Mapping[str, Any]) -> bool:
        return all(_comparable(row, column) in values for column, values in allowed)

    return select


def repair_surrogates(text: str) -> tuple[str, int]:
    """Replace each lone surrogate, which no UTF-8 can hold, by U+FFFD; returns the text and the
    number of replacements.
    """
    return _SURROGATES.subn("\ufffd", text)


def _one_column(column: str) -> AdaptRow:
    def adapt(row: Mapping[str, Any]) -> str:
        text = row.get(column)
        if type(text) is str:
            return text
        raise _bad_field(row, column)

    return adapt


def _joined_by_blank_lines(columns: tuple[str, ...]) -> AdaptRow:
    def adapt(row: Mapping[str, Any]) -> str:
        return "\n\n".join([part for part in [_text(row, column) for column in columns] if part])

    return adapt


def _flan(row: Mapping[str, Any]) -> str:
    inputs, targets = _text(row, "inputs"), _text(row, "targets")
    if not inputs or not targets:
        return inputs + targets
    return inputs + _joint_after(inputs[-1]) + targets


def _joint_after(last: str) -> str:
    if last.isspace():
        return ""
    if last in _ASCII_PUNCTUATION or unicodedata.category(last).startswith("P"):
        return " "
    return "\n"


def _text(row: Mapping[str, Any], column: str) -> str:
    value = row.get(column)
    if isinstance(value, str):
        return value
    raise _bad_field(row, column)


def _comparable(row: Mapping[str, Any], column: str) -> str:
    value = row.get(column)
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    raise _bad_field(row, column)


def _bad_field(row: Mapping[str, Any], column: str) -> BadRecord:
    if column not in row:
        return BadRecord("missing-field", f"no column {column!r}")
    value = row[column]
    if value is None:
        return BadRecord("null-field", f"null in column {column!r}")
    # to Python true and false are numbers, to JSON they are not
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    detail = f"{type(value).__name__} in column {column!r}"
    return BadRecord("number" if is_number else "not-text", detail)
