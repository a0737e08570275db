"""Rows of one JSON array: an item a row, counted from 0.

The array is not held as a whole: items are taken from it as its bytes come, so a row is what costs
memory. A file whose first character is no `[` is read as JSON lines, which many publish as `.json`.
What is not JSON between two items ends the file: nobody could say where the next one begins.
"""

from __future__ import annotations

import json
from codecs import getincrementaldecoder
from collections.abc import Iterator
from typing import Any

from mixtures.errors import InputError
from pipeline.inputs.readers.rows import MEBIBYTE, ReadLimits, Rows, parse_json

_SPACE = " \t\r\n"


def json_array_rows(where: str, blocks: Iterator[bytes], limits: ReadLimits) -> Rows:
    """Yield (index, record) for every item. where: path or URL of the file.

    Raises: InputError if it is no JSON array.
    """
    for row, item in enumerate(_Items(where, blocks, limits.max_row_bytes)):
        yield row, parse_json(item)


class _Items:
    """The texts of an array's items, as bytes.

    Bytes that are no UTF-8 pass as surrogate escapes, so that they make one row unreadable and not
    the file.
    """

    def __init__(self, where: str, blocks: Iterator[bytes], max_bytes: int) -> None:
        self._where, self._blocks, self._max_bytes = where, blocks, max_bytes
        self._decode = getincrementaldecoder("utf-8")("surrogateescape").decode
        # only where an item ends is looked for: no number is made, however many digits it has
        self._scan = json.JSONDecoder(parse_int=len, parse_float=len).raw_decode
        self._text, self._at, self._taken, self._ended = "", 0, 0, False

    def __iter__(self) -> Iterator[bytes]:
        if self._next() != "[":
            raise self._error("is no JSON array")
        self._at += 1
        if self._next() == "]":
            self._at += 1
        else:
            yield from self._items()
        if self._next():
            raise self._error("goes on after the end of its JSON array")

    def _items(self) -> Iterator[bytes]:
        while True:
            yield self._item()
            separator = self._next()
            self._at += 1
            if separator == "]":
                return
            if separator != ",":
                raise self._error("has no comma between two items" if separator else _CUT)
            self._next()

    def _item(self) -> bytes:
        """The item at this place, once the character after it is there: a number may go on."""
        ask = MEBIBYTE
        while True:
            fault: Any = None
            try:
                _, end = self._scan(self._text, self._at)
            except (ValueError, RecursionError) as error:
                fault, end = error, len(self._text)
            if fault is None and (end < len(self._text) or self._ended):
                break
            if self._ended:
                if isinstance(fault, RecursionError):
                    raise self._error("has an item that is nested too deeply")
                raise self._error(f"has an item that is no JSON ({getattr(fault, 'msg', _CUT)})")
            if len(self._text) - self._at > self._max_bytes:
                raise self._error(f"has an item of more than {self._max_bytes:,} bytes, or none")
            self._more(ask)
            ask *= 2  # an item over many blocks is not read again with each
        item, self._at = self._text[self._at : end], end
        return item.encode("utf-8", "surrogateescape")

    def _next(self) -> str:
        """The next character that is no white space, not yet taken; empty at the end."""
        while True:
            while self._at < len(self._text):
                if self._text[self._at] not in _SPACE:
                    return self._text[self._at]
                self._at += 1
            if self._ended:
                return ""
            self._more(1)

    def _more(self, num_chars: int) -> None:
        """Let go of what was taken, and read on."""
        self._taken += self._at
        pieces, self._at = [self._text[self._at :]], 0
        while num_chars > 0 and not self._ended:
            block = next(self._blocks, None)
            self._ended = block is None
            pieces.append(self._decode(block or b"", final=self._ended))
            num_chars -= len(pieces[-1])
        self._text = "".join(pieces)

    def _error(self, what: str) -> InputError:
        return InputError(
            f"{self._where}: {what}, at character {self._taken + self._at:,}; fetch it again, or"
            " write a JSON object a line (.jsonl)"
        )


_CUT = "ends inside its JSON array"
