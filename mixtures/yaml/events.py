"""Strict YAML, first half: from text to a tree of plain text.

The tree is built from ruamel.yaml's event stream (pure Python, YAML 1.2), not by a constructor:
there are no types to resolve, so `1.10`, `017`, `no` and `12:30:45` are read as written, and no tag
can make an object. An empty plain scalar is None.

Refused, with file and line: anchors, aliases, tags, directives, merge keys, duplicate keys, keys
that are not one plain word or string, a second document, a top level that is no mapping, control
characters and invisible characters that can hide text, more than 256 KiB, more than 20 levels.
Control characters can be written as escapes in double quotes (`"\\x07"`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple, NoReturn

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
)

from mixtures.errors import RecipeError
from mixtures.yaml.fields import Location, describe

MAX_BYTES = 256 << 10
MAX_DEPTH = 20
TOO_LARGE = f"more than {MAX_BYTES:,} bytes; recipes and definitions are small files"
MAX_FAULTS = 100  # lines of one error message

# C0 without tab and line feed, a carriage return that ends no line, DEL and C1, line separators
# that only some readers obey, bidirectional overrides (text that reads otherwise than it is), a
# byte order mark inside, halves of surrogate pairs, non-characters.
_HIDDEN = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069"
    "\ufeff\ud800-\udfff\ufffe\uffff]|\r(?!\n)"
)
_DIRECTIVE = re.compile(r"^%", re.MULTILINE)


class Fault(NamedTuple):
    """One thing that is wrong with a file. path: dotted path of the value, or empty; line:
    1-based.
    """

    line: int
    path: str
    message: str


@dataclass(frozen=True)
class YamlTree:
    """A parsed file.

    value: nested dict, list, str and None.
    lines: path -> 1-based line of the key or list item; the path () is the whole file.
    where: the file's name for messages.
    faults: what the reader had to leave out; empty in a tree that `yaml_tree.parse_yaml` or
        `load_yaml` returns.
    """

    value: dict[str, Any]
    lines: dict[Location, int]
    where: str
    faults: tuple[Fault, ...] = ()


class _RefusedError(Exception):
    """Reading cannot go on: line, message."""


def refuse(where: str, faults: Iterable[Fault], more: Iterable[str] = ()) -> NoReturn:
    """Raise one RecipeError for all faults of a file, by line; `more` are finished lines about
    other files.
    """
    ordered = sorted(set(faults))
    lines = [
        f"{where}:{line}: {path + ': ' if path else ''}{message}" for line, path, message in ordered
    ] + list(dict.fromkeys(more))
    if len(lines) > MAX_FAULTS:
        lines[MAX_FAULTS:] = [f"{where}: and {len(lines) - MAX_FAULTS} more"]
    raise RecipeError("\n".join(lines))


def dotted(location: Location) -> str:
    """Write a path for people: `sources.dclm.keys[1]`."""
    text = ""
    for part in location:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            shown = part if re.fullmatch(r"[\w<./-]{1,64}", part) else describe(part)
            text += f".{shown}" if text else shown
    return text


def scan_yaml(text: str, where: str) -> YamlTree:
    """Read a whole file's text, and keep in `faults` what can be skipped over, so that it is
    reported with the faults of the contents.

    Raises:
        RecipeError: the text cannot be read to its end.
    """
    if len(text.encode("utf-8", "surrogatepass")) > MAX_BYTES:
        raise RecipeError(f"{where}:1: {TOO_LARGE}")
    text = text.removeprefix("\ufeff")
    hidden = [
        Fault(_line_at(text, hit.start()), "", f"character U+{ord(hit[0]):04X}; {_HIDDEN_ADVICE}")
        for hit in _HIDDEN.finditer(text)
    ]
    if hidden:
        refuse(where, hidden)
    if directive := _DIRECTIVE.search(text):
        raise RecipeError(
            f"{where}:{_line_at(text, directive.start())}: a YAML directive (%); files are YAML 1.2"
            " without directives"
        )
    builder = _Builder(text)
    try:
        value = builder.document()
    except _RefusedError as refusal:
        refuse(where, [*builder.faults, Fault(*refusal.args)])
    return YamlTree(value, builder.lines, where, tuple(builder.faults))


_HIDDEN_ADVICE = (
    "control and invisible characters are refused; remove it, or write it as an escape in double"
    " quotes"
)


def _line_at(text: str, position: int) -> int:
    return text.count("\n", 0, position) + 1


class _Builder:
    """Turns events into values. Text and position of each event come from ruamel.yaml; every
    decision is here.
    """

    def __init__(self, text: str) -> None:
        self.faults: list[Fault] = []
        self.lines: dict[Location, int] = {(): 1}
        self._line = 1
        self._events = self._read(text)

    def _read(self, text: str) -> Iterator[Any]:
        try:
            yield from YAML(typ="safe", pure=True).parse(text)
        except MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            reason = " ".join(part for part in (error.context, error.problem) if part)
            raise _RefusedError(
                mark.line + 1 if mark else self._line, "", f"{reason}; not valid YAML"
            ) from None
        # an escape beyond Unicode is a ValueError of chr()
        except (YAMLError, ValueError, IndexError, RecursionError) as error:
            raise _RefusedError(self._line, "", f"{error}; not valid YAML") from None

    def _next(self) -> Any:
        event = next(self._events)
        self._line = event.start_mark.line + 1
        return event

    def document(self) -> dict[str, Any]:
        self._next()  # start of the stream
        if not isinstance(self._next(), DocumentStartEvent):
            raise _RefusedError(1, "", "an empty file; write a mapping (key: value)")
        first = self._next()
        if not isinstance(first, MappingStartEvent):
            raise _RefusedError(self._line, "", "the top level is no mapping; write key: value")
        self.lines[()] = self._line
        value = self._mapping(first, ())
        self._next()  # end of the document
        if isinstance(self._next(), DocumentStartEvent):
            raise _RefusedError(self._line, "", "a second document; write one document in a file")
        return value

    def _fault(self, path: Location, message: str) -> None:
        self.faults.append(Fault(self._line, dotted(path), message))

    def _value(self, event: Any, path: Location) -> Any:
        if isinstance(event, AliasEvent):
            self._fault(path, f"an alias (*{event.anchor}); write the value out")
            return None
        if isinstance(event, ScalarEvent):
            return self._scalar(event, path)
        if isinstance(event, MappingStartEvent):
            return self._mapping(event, path)
        return self._sequence(event, path)

    def _plain(self, event: Any, path: Location) -> None:
        """Note what may stand before no value."""
        if event.anchor is not None:
            self._fault(path, f"an anchor (&{event.anchor}); remove it, values are written out")
        if event.tag is not None:
            self._fault(path, f"a tag ({event.tag}); remove it, the key decides the type")

    def _scalar(self, event: ScalarEvent, path: Location) -> str | None:
        self._plain(event, path)
        text: str = event.value
        if any("\ud800" <= character <= "\udfff" for character in text):
            self._fault(path, "half of a surrogate pair; it is no character")
            return None
        return None if text == "" and event.style is None else text

    def _deeper(self, path: Location) -> None:
        if len(path) >= MAX_DEPTH:
            raise _RefusedError(
                self._line, "", f"more than {MAX_DEPTH} levels; nothing here nests so deep"
            )

    def _mapping(self, start: Any, path: Location) -> dict[str, Any]:
        self._deeper(path)
        self._plain(start, path)
        value: dict[str, Any] = {}
        while not isinstance(event := self._next(), MappingEndEvent):
            key = self._key(event, path)
            place = (*path, key)
            if key not in value:
                self.lines[place] = self._line
                value[key] = self._value(self._next(), place)
                continue
            self._fault(
                place, f"a duplicate key, first on line {self.lines[place]}; keep one of them"
            )
            # what stands under the second one is read for its faults and dropped
            first, self.lines = self.lines, {}
            self._value(self._next(), place)
            self.lines = first
        return value

    def _key(self, event: Any, path: Location) -> str:
        if not isinstance(event, ScalarEvent):
            kind = "an alias" if isinstance(event, AliasEvent) else "a list or mapping"
            raise _RefusedError(
                self._line, dotted(path), f"{kind} as a key; a key is one word or a quoted string"
            )
        if event.value == "<<" and event.style is None:
            self._fault((*path, "<<"), "a merge key; write the keys out")
        key = self._scalar(event, path)
        if key is None:
            raise _RefusedError(
                self._line, dotted(path), "an empty key; a key is one word or a quoted string"
            )
        return key

    def _sequence(self, start: Any, path: Location) -> list[Any]:
        self._plain(start, path)
        self._deeper(path)
        items: list[Any] = []
        while not isinstance(event := self._next(), SequenceEndEvent):
            place = (*path, len(items))
            self.lines[place] = self._line
            items.append(self._value(event, place))
        return items
