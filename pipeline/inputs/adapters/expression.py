"""Text expressions, run: the parts of a row, put together
(`mixtures.rules.text_expression` has the rule).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from mixtures.rules.text_expression import Rendering, TextPart
from pipeline.inputs.adapters.rows import AdaptRow, BadRecord, NeededColumn, bad_field

_NAMES = {"human": "user", "gpt": "assistant"}
"""Roles of ShareGPT, by the names that everyone else gives them."""

_MOST, _SHOWN = 5, 60  # columns of a structure in a message, and characters of their names

Part = Callable[[Mapping[str, Any]], str]


def expression_columns(parts: Sequence[TextPart]) -> tuple[NeededColumn, ...]:
    """Columns that an expression reads, in its order, each once."""
    return tuple(
        dict.fromkeys(
            NeededColumn(part.path, "chat" if part.chat else "text") for part in parts if part.path
        )
    )


def expression_adapter(parts: Sequence[TextPart], counts: Counter[str]) -> AdaptRow:
    """The function that turns a row into its training text.

    Args:
        counts: where rows are counted whose optional columns are absent: `null COLUMN` and
            `missing COLUMN`.

    Raises: (the function) BadRecord with the reasons missing-field, null-field, number, not-text.
    """
    columns = [part for part in parts if part.path]
    if len(parts) == 1:
        return _part(columns[0], counts)
    before, ending = _literals(parts)
    steps = [(text, _part(part, counts)) for text, part in zip(before, columns, strict=True)]

    def adapt(row: Mapping[str, Any]) -> str:
        pieces: list[str] = []
        for number, (text, part) in enumerate(steps):
            if value := part(row):
                if pieces or not number:
                    pieces.append(text)
                pieces.append(value)
        if pieces:
            pieces.append(ending)
        return "".join(pieces)

    return adapt


def _literals(parts: Sequence[TextPart]) -> tuple[list[str], str]:
    """The text before each column, and that after the last one."""
    before, waiting = [], ""
    for part in parts:
        if part.literal is not None:
            waiting += part.literal
        else:
            before.append(waiting)
            waiting = ""
    return before, waiting


def _part(part: TextPart, counts: Counter[str]) -> Part:
    get = _getter(part, counts)
    if part.chat is None:
        return get
    rendering = part.chat

    def render(row: Mapping[str, Any]) -> str:
        return _render(get(row), rendering, part)

    return render


def _getter(part: TextPart, counts: Counter[str]) -> Callable[[Mapping[str, Any]], Any]:
    """The value of a column: text, or a list where it is rendered; absent ones that may be absent
    are empty.
    """
    *outer, name = part.path
    kind: type = list if part.chat else str
    empty = kind()

    def get(row: Mapping[str, Any]) -> Any:
        inner: Any = row
        for at, column in enumerate(outer):
            inner = inner.get(column)
            if not isinstance(inner, Mapping):
                return absent(row, at)
        value = inner.get(name)
        return value if isinstance(value, kind) else absent(row, len(outer))

    def absent(row: Mapping[str, Any], depth: int) -> Any:
        for column in part.path[:depth]:
            row = row[column]
        column = part.path[depth]
        if part.optional and row.get(column) is None:
            counts[f"{'null' if column in row else 'missing'} {part.column}"] += 1
            return empty
        raise _fault(row, column, part.path[: depth + 1], kind)

    return get


def _fault(row: Mapping[str, Any], column: str, path: Sequence[str], kind: type) -> BadRecord:
    fault = bad_field(row, column)
    shown = ".".join(path)
    detail = fault.detail.replace(repr(column), repr(shown)) if shown != column else fault.detail
    if fault.reason == "not-text" and kind is str and isinstance(row[column], list):
        detail += ", which only {column: " + shown + ", chat: ...} reads"
    elif fault.reason == "not-text" and isinstance(row[column], Mapping):
        inner = ", ".join(f"{shown}.{name}"[:_SHOWN] for name in list(row[column])[:_MOST])
        detail += f", which holds {inner}"
    return BadRecord(fault.reason, detail)


def _render(messages: Sequence[Any], rendering: Rendering, part: TextPart) -> str:
    """Messages as one text; those without content leave nothing."""
    rendered = []
    for number, message in enumerate(messages):
        role, content = _message(message, f"message {number} of {part.column!r}", part.optional)
        if not content:
            continue
        if rendering == "plain":
            rendered.append(content)
        elif role is None:
            raise BadRecord("not-text", f"no role in message {number} of {part.column!r}")
        elif rendering == "roles":
            rendered.append(f"{role[:1].upper()}{role[1:]}: {content}")
        else:
            rendered.append(f"<|im_start|>{role}\n{content}<|im_end|>\n")
    return ("" if rendering == "chatml" else "\n\n").join(rendered)


def _message(message: Any, where: str, optional: bool) -> tuple[str | None, str]:
    """Role, if it is text, and content of {role, content} or {from, value}."""
    if not isinstance(message, Mapping):
        raise BadRecord("not-text", f"{type(message).__name__} as {where}")
    names = ("role", "content") if message.get("content") is not None else ("from", "value")
    if names[1] not in message:
        names = ("role", "content")
    role, content = message.get(names[0]), message.get(names[1])
    if content is None and names[1] in message and optional:
        content = ""
    if not isinstance(content, str):
        fault = bad_field(message, names[1])
        raise BadRecord(fault.reason, f"{fault.detail} in {where}")
    return (_NAMES.get(role, role) if isinstance(role, str) else None), content
