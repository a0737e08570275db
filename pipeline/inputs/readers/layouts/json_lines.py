"""Rows of JSON lines: one JSON value a line, lines end in a newline byte and nothing else.

- The row number is the line's index from 0, so that `sed -n "$((row + 1))p"` prints it. A line of
  white space only is no row, but counts as a line.
- A carriage return before the newline is JSON white space, a missing newline at the end changes
  nothing, U+2028 ends no line.
- A byte order mark at the file's start is skipped and counted.
- A line that is not UTF-8 or not JSON is quarantined alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from json import JSONDecodeError

from orjson import loads

from pipeline.inputs.adapters.rows import BadRecord
from pipeline.inputs.readers.rows import ReadLimits, Rows, parse_json


class _Oversized(bytes):
    """Stands for a line that is longer than the limit, and was not kept."""


_OVERSIZED = _Oversized()


def json_line_rows(blocks: Iterator[bytes], limits: ReadLimits) -> Rows:
    """Yield (line index, record) for every line that is not white space."""
    first = 0
    for lines in split_lines(blocks, limits.max_row_bytes):
        for row, line in enumerate(lines, start=first):
            try:
                record = loads(line)
            except JSONDecodeError:
                if type(line) is _Oversized:
                    detail = f"the line is longer than {limits.max_row_bytes:,} bytes"
                    record = BadRecord("too-large", detail)
                elif not line or line.isspace():
                    continue
                else:
                    record = parse_json(line)
            yield row, record
        first += len(lines)


def split_lines(blocks: Iterator[bytes], max_line_bytes: int) -> Iterator[list[bytes]]:
    """The lines of a stream in lists, without their newlines; the result does not depend on where
    the blocks end.

    A line of more than `max_line_bytes` is replaced by a mark as soon as it is known to be, and its
    bytes are let go.
    """
    waiting: list[bytes] = []
    num_waiting = 0
    for block in blocks:
        lines = block.split(b"\n")
        waiting.append(lines[0])
        num_waiting += len(lines[0])
        if num_waiting > max_line_bytes:
            waiting = [_OVERSIZED]
        if len(lines) > 1:
            rest = lines.pop()
            lines[0] = _joined(waiting)
            yield (
                lines
                if len(block) <= max_line_bytes
                else [_OVERSIZED if len(line) > max_line_bytes else line for line in lines]
            )
            waiting, num_waiting = [rest], len(rest)
            if num_waiting > max_line_bytes:
                waiting = [_OVERSIZED]
    if num_waiting:
        yield [_joined(waiting)]


def _joined(pieces: list[bytes]) -> bytes:
    return pieces[0] if len(pieces) == 1 or type(pieces[0]) is _Oversized else b"".join(pieces)
