"""Named adapters: how one published row becomes one training text.

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

Sources: the layouts and joints that facts of the published mixes state (arXiv 2508.06601 and its
scripts; the cards of the corpora).
"""

from __future__ import annotations

import string
import unicodedata
from collections.abc import Mapping
from typing import Any

from mixtures.recipe.source_definition import Adapter
from pipeline.inputs.adapters.rows import AdaptRow, NeededColumn, bad_field

_COLUMNS: dict[Adapter, tuple[str, ...]] = {
    "text": ("text",),
    "flan": ("inputs", "targets"),
    "title-text": ("title", "text"),
    "title-abstract": ("title", "abstract"),
    "question-answer": ("title", "question", "answer"),
    "camel": ("message_1", "message_2"),
}
_ASCII_PUNCTUATION = frozenset(string.punctuation)


def named_columns(adapter: Adapter) -> tuple[NeededColumn, ...]:
    """Columns that an adapter joins, in the order of the text."""
    return tuple(NeededColumn((name,)) for name in _COLUMNS[adapter])


def named_adapter(adapter: Adapter) -> AdaptRow:
    """The function that turns a row into its training text.

    Raises: (the function) BadRecord with the reasons missing-field, null-field, number, not-text.
    """
    columns = _COLUMNS[adapter]
    if len(columns) == 1:
        return _one_column(columns[0])
    if adapter == "flan":
        return _flan
    return _joined_by_blank_lines(columns)


def _one_column(column: str) -> AdaptRow:
    def adapt(row: Mapping[str, Any]) -> str:
        text = row.get(column)
        if type(text) is str:
            return text
        raise bad_field(row, column)

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
    raise bad_field(row, column)
