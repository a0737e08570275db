"""What passes between the parts of reading: rows, quarantined rows and limits.

A layout's reader yields `(row, record)`. The record is what the row holds: a dict (column -> value)
if all is well, a `SurrogateRow` if some of its strings hold lone surrogates, an `UndecodedRow` if
some of its bytes are no UTF-8, a `BadRecord` if the row cannot be decoded, and any other JSON value
as it stands, which `DocumentReader` quarantines.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from json import JSONDecodeError
from json import loads as lenient_loads
from typing import Any, NamedTuple

from orjson import loads as strict_loads

from pipeline.inputs.adapters.rows import BadRecord

MEBIBYTE = 1 << 20
BYTE_ORDER_MARK = b"\xef\xbb\xbf"

_ESCAPED_SURROGATE = re.compile(rb"\\ud", re.IGNORECASE)
_UNDECODED = re.compile("[\udc80-\udcff]")

Rows = Iterator[tuple[int, Any]]
"""(row, record) of every row of a file, in its order."""


class Quarantined(NamedTuple):
    """A row that is not read as a document, and why; holds nothing of the document's text."""

    path: str
    """Of its file, below the source's folder."""
    row: int
    """From 0, over all rows of the file."""
    reason: str
    """One of `pipeline.inputs.adapters.rows.REASONS`."""
    detail: str
    """Names of columns, types and positions."""


class SurrogateRow(dict[str, object]):
    """A row some of whose strings hold lone surrogates (`"\\ud800"` in JSON): repaired once the row
    has become a text.
    """


class UndecodedRow(SurrogateRow):
    """A row with bytes that are no UTF-8, which stand in it as surrogate escapes: what is read of
    it must hold none.
    """

    def __init__(self, record: dict[str, object], fault: str) -> None:
        super().__init__(record)
        self.fault = fault

    def check(self, paths: Iterable[Sequence[str]]) -> None:
        """Raises: BadRecord (`utf8`) if a column with one of these paths holds one."""
        for path in paths:
            value: Any = self
            for name in path:
                value = value.get(name) if isinstance(value, Mapping) else None
            if _is_undecoded(value):
                raise BadRecord("utf8", self.fault)


def _is_undecoded(value: Any) -> bool:
    if isinstance(value, str):
        return _UNDECODED.search(value) is not None
    if isinstance(value, Mapping):
        return any(map(_is_undecoded, (*value, *value.values())))
    return isinstance(value, list) and any(map(_is_undecoded, value))


@dataclass(frozen=True)
class ReadLimits:
    """How much one file may ask for. The defaults are far above what published corpora hold."""

    max_text_bytes: int = 48 * MEBIBYTE
    """UTF-8 of one training text; a larger one is quarantined (`too-large`)."""
    max_row_bytes: int = 48 * MEBIBYTE
    """One line as it stands in the file; a longer one is quarantined (`too-large`) without being
    held in memory. With what is made of it (orjson asks for 18 times its size of address space), a
    row of this size fits the memory that plan states for a worker
    (`mixtures.plan.cost.WORKER_BYTES_OF_TEXT`).
    """
    max_page_bytes: int = 1_000_000_000
    """Memory that the pages of a row group of parquet, and the largest value in them, may take
    while they are read; a file that needs more is an error. What is left of a worker's memory is
    for its libraries and a segment.
    """
    max_member_bytes: int = 64 * MEBIBYTE
    """One member of a zip archive; a larger one is an error."""
    max_file_bytes: int = 1024 * MEBIBYTE
    """A file may unpack to so many bytes, or to `max_ratio` times its size if that is more; beyond
    is an error.
    """
    max_ratio: int = 200
    max_quarantined: int = 100_000
    """Rows of one file that are quarantined one by one; beyond, the file itself is taken as
    damaged.
    """

    def unpacked_bytes(self, packed_bytes: int) -> int:
        """How many bytes a file of `packed_bytes` may unpack to."""
        return max(self.max_file_bytes, self.max_ratio * packed_bytes)


def parse_json(data: bytes) -> Any:
    """The JSON value of a row that the fast parser may refuse; a BadRecord where the row is at
    fault.

    orjson refuses lone surrogates, numbers beyond a double and nesting deeper than 1,024, all of
    which RFC 8259 allows. Only such a row is parsed again, by the standard library. What it allows
    more (NaN, Infinity) are numbers, which no text may be, and of no consequence in a column that
    is not read; and so are bytes that are no UTF-8 (`UndecodedRow`).
    """
    try:
        return strict_loads(data)
    except JSONDecodeError as error:
        fault = error
    undecoded = ""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        undecoded = f"{error.reason} at byte {error.start} of the row"
        if _ESCAPED_SURROGATE.search(data):  # it could not be told from an undecoded byte
            return BadRecord("utf8", undecoded)
        text = data.decode("utf-8", "surrogateescape")
    try:
        record = lenient_loads(text, parse_int=_whole_number)
    except RecursionError:
        return BadRecord("json", "nested too deeply")
    except ValueError:
        if undecoded:
            return BadRecord("utf8", undecoded)
        return BadRecord("json", f"{fault.msg.split(':')[0]} at character {fault.pos} of the row")
    if isinstance(record, dict):
        return UndecodedRow(record, undecoded) if undecoded else SurrogateRow(record)
    return BadRecord("utf8", undecoded) if undecoded else record


def _whole_number(digits: str) -> int | float:
    """Python makes no int of more than 4,300 digits; RFC 8259 knows no limit."""
    return int(digits) if len(digits) <= 4_300 else float(digits)
