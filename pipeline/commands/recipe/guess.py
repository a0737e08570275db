"""Which columns make the text: a guess from the first rows, by names that corpora use and by what
is in the columns.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

TEXTS = (
    "text",
    "content",
    "body",
    "raw_content",
    "document",
    "article",
    "full_text",
    "passage",
    "markdown",
    "story",
    "code",
    "abstract",
)
"""Names of the column that holds the text, the likeliest first."""
PAIRS = (
    ("inputs", "targets"),
    ("instruction", "output"),
    ("instruction", "response"),
    ("prompt", "completion"),
    ("prompt", "response"),
    ("question", "answer"),
)
CHATS = ("messages", "conversations", "conversation")


@dataclass(frozen=True)
class ColumnSeen:
    """A column of the sample."""

    path: tuple[str, ...]
    kinds: frozenset[str]
    """Of its values: text, chat, number, boolean, list, object, null."""
    present: int
    """Rows that have it, null or not."""
    nulls: int
    chars: int
    """Of its texts, in all."""

    @property
    def name(self) -> str:
        return ".".join(self.path)

    @property
    def is_text(self) -> bool:
        """Whether it holds text and nothing else."""
        return "text" in self.kinds and self.kinds <= {"text", "null"}

    @property
    def is_chat(self) -> bool:
        return "chat" in self.kinds and self.kinds <= {"chat", "null"}


@dataclass(frozen=True)
class Guess:
    """A text expression, and why."""

    expression: object
    """As a recipe has it: a text, or a list or mapping of texts."""
    why: str


def columns_of(rows: Sequence[Mapping[str, Any]]) -> list[ColumnSeen]:
    """Columns in the order in which they come, those inside objects by their paths."""
    seen: dict[tuple[str, ...], list[Any]] = {}
    for row in rows:
        for path, value in _leaves(row, ()):
            seen.setdefault(path, []).append(value)
    return [
        ColumnSeen(
            path,
            frozenset(map(_kind, values)),
            len(values),
            sum(value is None for value in values),
            sum(len(value) for value in values if isinstance(value, str)),
        )
        for path, values in seen.items()
    ]


def _leaves(
    row: Mapping[str, Any], prefix: tuple[str, ...]
) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name, value in row.items():
        if isinstance(value, Mapping) and value:
            yield from _leaves(value, (*prefix, str(name)))
        else:
            yield (*prefix, str(name)), value


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, str | bytes):
        return "text"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "number"
    if isinstance(value, list):
        return "chat" if value and all(_is_message(item) for item in value) else "list"
    return "object" if isinstance(value, Mapping) else type(value).__name__


def _is_message(item: Any) -> bool:
    return isinstance(item, Mapping) and (
        {"role", "content"} <= item.keys() or {"from", "value"} <= item.keys()
    )


def guess_text(columns: Sequence[ColumnSeen], num_rows: int) -> Guess | None:
    """The text expression that is meant, most likely; None where no column holds text.

    Args:
        num_rows: of the sample; a column that some lack may be missing.
    """
    texts = {column.name: column for column in columns if column.is_text}
    by_last = {column.path[-1]: column for column in reversed(list(texts.values()))}
    if TEXTS[0] in by_last:
        return Guess(_entry(by_last[TEXTS[0]], num_rows), "named so")
    chats = [column for column in columns if column.is_chat]
    if chats:
        chat = min(chats, key=lambda column: (column.path[-1] not in CHATS, column.name))
        return Guess({"column": _entry(chat, num_rows), "chat": "roles"}, "a list of chat messages")
    for first, second in PAIRS:
        if first in texts and second in texts:
            parts = [_entry(texts[name], num_rows) for name in (first, second)]
            return Guess([parts[0], "\n\n", parts[1]], "a pair, joined by a blank line")
    named = next((by_last[name] for name in TEXTS if name in by_last), None)
    longest = max(texts.values(), key=lambda column: column.chars, default=None)
    found, why = (named, "named so") if named else (longest, "the longest texts")
    if found is None or not found.chars:
        return None
    title = texts.get("title")
    if title and title is not found and len(found.path) == 1:
        parts = [_entry(title, num_rows), "\n\n", _entry(found, num_rows)]
        return Guess(parts, f"{why}, and the title")
    return Guess(_entry(found, num_rows), why)


def _entry(column: ColumnSeen, num_rows: int) -> object:
    absent = "?" if column.nulls or column.present < num_rows else ""
    if any("." in name or name.endswith("?") for name in column.path) or (
        column.name.strip() != column.name or not any(char.isalnum() for char in column.name)
    ):
        return {"path": list(column.path), **({"optional": "true"} if absent else {})}
    return column.name + absent
