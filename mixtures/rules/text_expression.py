"""Text expressions: how a row becomes one training text, said in a recipe or definition.

```yaml
text: body                                  # a column
text: data.text                             # a column inside a column
text: [title?, "\\n\\n", body]               # parts in their order; `?`: may be null or missing
text: {column: messages, chat: roles}       # a list of chat messages, rendered
text: {path: [data.text]}                   # the column whose name holds a dot
text: [{literal: "Q"}, question]            # text that looks like a column
```

Which entries of a list are text is decided by their letters alone, never by a file's columns or by
YAML's quotes: an entry is text if it begins or ends with white space or holds no letter and no
digit (`"\\n\\n"`, `": "`, `"Answer: "`); else it names a column. `{literal: ...}`,
`{column: ...}` and `{path: [...]}` say it outright.

A text belongs to the column that follows it. It is left out when that column is empty, and, unless
it is the first part, when nothing stands before it; texts after the last column are left out when
nothing stands before them. So `[title, "\\n\\n", body]` is the body alone where the title is empty.

A row without a column, with null in it or with no text in it has no training text: it is
quarantined under its reason. A column marked `?` (or `optional: true`) may be null or missing; it
is then empty, and counted.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

from mixtures.yaml.fields import Checked, Flag, Line, Location, Text, describe

Rendering = Literal["plain", "roles", "chatml"]
"""plain: contents, joined by blank lines, without roles. roles: `User: `, `Assistant: ` or another
role before each, joined by blank lines. chatml: `<|im_start|>role`, newline, content, `<|im_end|>`,
newline."""

ENTRIES = "a column (body, data.text), text ({literal: ...}) or {column: ..., chat: ...}"


class TextPart(Checked):
    """One part of a text: exactly one of literal and path.

    path: names of columns from the row down. chat: how a list of messages is rendered; without it
    the column holds text. optional: null and missing are empty.
    """

    literal: Annotated[Text, Field(min_length=1)] | None = None
    path: Annotated[tuple[Line, ...], Field(max_length=16)] = ()
    chat: Rendering | None = None
    optional: Flag = False

    @classmethod
    def cross_faults(cls, given: Mapping[str, Any]) -> Iterable[tuple[Location, str]]:
        """Text is text, and a column has a name."""
        if bool(given.get("path")) == ("literal" in given):
            yield (), f"is not one part of a text; give {ENTRIES}"
        elif "literal" in given and ("chat" in given or given.get("optional") in (True, "true")):
            yield (), "is text, which has neither chat nor optional; name a column"

    @property
    def column(self) -> str:
        """The column in words."""
        return ".".join(self.path)

    def canonical(self) -> dict[str, object]:
        """What decides, as JSON."""
        if self.literal is not None:
            return {"literal": self.literal}
        chat = {"chat": self.chat} if self.chat else {}
        return {"path": list(self.path), **chat, **({"optional": "true"} if self.optional else {})}


def is_separator(entry: str) -> bool:
    """Whether an entry of a list is text, and no column."""
    return entry.strip() != entry or not any(char.isalnum() for char in entry)


def _part(entry: Any, *, listed: bool) -> Any:
    if isinstance(entry, TextPart):
        return entry
    if isinstance(entry, str):
        if not entry:
            raise ValueError(f"an empty text is no part; give {ENTRIES}")
        if listed and is_separator(entry):
            return {"literal": entry}
        return _column({"column": entry})
    if not isinstance(entry, Mapping):
        raise ValueError(f"found {describe(entry)}; allowed: {ENTRIES}")
    return _column(entry) if "column" in entry else entry


def _column(entry: Mapping[str, Any]) -> Mapping[str, Any]:
    """`column` taken apart at its dots, and its question mark."""
    name, rest = entry["column"], {key: item for key, item in entry.items() if key != "column"}
    if not isinstance(name, str):
        raise ValueError(f"column: found {describe(name)}; write a column's name")
    if "path" in rest:
        raise ValueError("gives both column and path; keep one of them")
    if name.endswith("?"):
        name, rest = name[:-1], {**rest, "optional": True}
    path = name.split(".")
    if not all(path):
        raise ValueError(
            f"{describe(name)} has an empty name before or after a dot; a column whose name holds"
            " a dot is written {path: [NAME]}"
        )
    return {**rest, "path": path}


def _expression(value: Any) -> Any:
    if isinstance(value, str | Mapping | TextPart):
        return (_part(value, listed=False),)
    if isinstance(value, Sequence):
        return tuple(_part(entry, listed=True) for entry in value)
    raise ValueError(f"found {describe(value)}; allowed: {ENTRIES}, or a list of them")


def _has_column(parts: tuple[TextPart, ...]) -> tuple[TextPart, ...]:
    if not any(part.path for part in parts):
        raise ValueError(f"names no column, so every text would be the same; give {ENTRIES}")
    return parts


_PART_SCHEMA = {
    "anyOf": [
        {"type": "string", "minLength": 1},
        {
            "type": "object",
            "additionalProperties": False,
            "properties": {
                "column": {"type": "string"},
                "path": {"type": "array", "items": {"type": "string"}, "minItems": 1},
                "literal": {"type": "string", "minLength": 1},
                "chat": {"enum": ["plain", "roles", "chatml"]},
                "optional": {"type": "boolean"},
            },
        },
    ]
}
Expression = Annotated[
    tuple[TextPart, ...],
    BeforeValidator(_expression),
    AfterValidator(_has_column),
    Field(max_length=64),
    WithJsonSchema({"anyOf": [*_PART_SCHEMA["anyOf"], {"type": "array", "items": _PART_SCHEMA}]}),
]
"""A text expression; read from any of its forms, and from its canonical one."""
