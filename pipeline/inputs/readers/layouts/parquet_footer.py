"""What a parquet footer says of column chunks, and how large their pages are, read without pyarrow:
its `row_group(i).column(j)` ends the process (std::terminate) where a chunk is encrypted or its
statistics do not fit its schema, whether or not the column is of any interest. Reading columns does
raise. Of pages it says nothing, and unpacks one whole, whatever it takes.

    last 8 bytes of a file: length of the footer, uint32 little-endian; b"PAR1"
    footer: the struct FileMetaData of parquet.thrift, in thrift's compact protocol
    a column chunk: pages, each the struct PageHeader and then its bytes

Only the fields that are needed are kept; all others are stepped over. Sources: parquet.thrift of
apache/parquet-format, thrift-compact-protocol.md of apache/thrift.

Cost: about 0.1 ms a chunk (`tests/benchmarks/bench_footer.py`; 2-core x86-64, 2026-11-28, shared):
beside the pages that are read it is not seen.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import IO, Any

_TAIL_BYTES = 8
_BOOLEANS, _NUMBERS, _DOUBLE = (1, 2), (4, 5, 6), 7
_BINARY, _LIST, _SET, _MAP, _STRUCT = 8, 9, 10, 11, 12
_DEEPEST = 32  # structures in structures; parquet.thrift has 6
_BYTE_ARRAY = 6
_ENCRYPTED = 8  # field of a ColumnChunk that says by which key
_COLUMN_NUMBERS = (1, 5, 6, 7, 9, 11)  # of ColumnMetaData: type, values, sizes, offsets
_DICTIONARIES = (2, 8)  # PLAIN_DICTIONARY, RLE_DICTIONARY
_DICTIONARY_PAGE = 2
_PAGE_VALUES = (5, 8)  # fields of a PageHeader whose first field is the number of a page's values
_HEADER_BYTES = 1 << 10, 16 << 20  # of a page header that are read at first, and at most: pyarrow's


@dataclass(frozen=True)
class Chunk:
    """A column of a row group."""

    path: str
    """Dotted."""
    uncompressed_bytes: int
    """Of its pages, still encoded."""
    is_dictionary: bool
    """Whether it is of byte arrays, and some of them stand in a dictionary."""
    values: int
    """Of all pages, nulls included."""
    start: int
    """Where its pages begin in the file."""
    packed_bytes: int
    """Of its pages, with their headers, as they stand in the file."""
    row_group: int = 0


@dataclass(frozen=True)
class Page:
    """What the header of a page says."""

    is_dictionary: bool
    uncompressed_bytes: int
    packed_bytes: int
    values: int
    """0 for a dictionary."""


def read_pages(handle: IO[bytes], chunk: Chunk) -> Iterator[Page]:
    """The pages of a chunk, as far as its values go; of each the header alone is read.

    Raises:
        ValueError: there is no such page.
    """
    at, end, values = chunk.start, chunk.start + chunk.packed_bytes, 0
    while at < end and values < chunk.values:
        page, header_bytes = _page(handle, at, min(end - at, _HEADER_BYTES[1]))
        yield page
        values += page.values
        at += header_bytes + page.packed_bytes


def _page(handle: IO[bytes], at: int, most: int) -> tuple[Page, int]:
    """A page, and the bytes of its header, which are at most so many."""
    length = min(_HEADER_BYTES[0], most)
    while True:
        handle.seek(at)
        header = _Compact(handle.read(length))
        try:
            found = _page_header(header)
        except IndexError:
            if length == most:
                raise ValueError("the header of a page is truncated") from None
            length = min(16 * length, most)
            continue
        if min(found.uncompressed_bytes, found.packed_bytes, found.values) < 0:
            raise ValueError("the header of a page has negative sizes")
        return found, header.at


def _page_header(header: _Compact) -> Page:
    sizes, values = {1: -1, 2: -1, 3: -1}, 0
    for number, kind in header.fields():
        if number in sizes and kind == 5:
            sizes[number] = header.integer()
        elif number in _PAGE_VALUES and kind == _STRUCT:
            for inner, inner_kind in header.fields():
                if (inner, inner_kind) == (1, 5):
                    values = header.integer()
                else:
                    header.skip(inner_kind)
        else:
            header.skip(kind)
    return Page(sizes[1] == _DICTIONARY_PAGE, sizes[2], sizes[3], values)


def read_chunks(handle: IO[bytes]) -> list[Chunk]:
    """The chunks of all row groups; of those that are encrypted nothing is known.

    Raises:
        ValueError: there is no such footer.
    """
    size = handle.seek(0, 2)
    handle.seek(max(0, size - _TAIL_BYTES))
    tail = handle.read(_TAIL_BYTES)
    length = int.from_bytes(tail[:4], "little")
    if tail[4:] != b"PAR1" or length > size - _TAIL_BYTES:
        raise ValueError("it does not end in a footer")
    handle.seek(size - _TAIL_BYTES - length)
    try:
        return list(_chunks(_Compact(handle.read(length))))
    except IndexError:
        raise ValueError("its footer is truncated") from None


def _chunks(footer: _Compact) -> Iterator[Chunk]:
    for field in footer.fields():
        if field != (4, _LIST):
            footer.skip(field[1])
            continue
        for row_group in footer.items(_STRUCT):
            for inner in footer.fields():
                if inner != (1, _LIST):
                    footer.skip(inner[1])
                    continue
                for _ in footer.items(_STRUCT):
                    chunk = _chunk(footer)
                    if chunk is not None:
                        yield replace(chunk, row_group=row_group)


def _chunk(footer: _Compact) -> Chunk | None:
    found, is_encrypted = None, False
    for number, kind in footer.fields():
        if (number, kind) == (3, _STRUCT):
            found = _column(footer)
        else:
            is_encrypted |= number == _ENCRYPTED
            footer.skip(kind)
    return None if is_encrypted else found


def _column(footer: _Compact) -> Chunk:
    values: dict[int, Any] = {}
    for number, kind in footer.fields():
        if number in _COLUMN_NUMBERS and kind in (5, 6):
            values[number] = footer.integer()
        elif number == 2 and kind == _LIST:
            values[number] = [footer.integer() for _ in footer.items(5)]
        elif number == 3 and kind == _LIST:
            values[number] = [footer.binary() for _ in footer.items(_BINARY)]
        else:
            footer.skip(kind)
    encodings, data, dictionary = values.get(2, []), values.get(9, 0), values.get(11, 0)
    return Chunk(
        ".".join(name.decode("utf-8", "replace") for name in values.get(3, [])),
        values.get(6, 0),
        values.get(1) == _BYTE_ARRAY and any(item in _DICTIONARIES for item in encodings),
        values.get(5, 0),
        dictionary if 0 < dictionary < data else data,  # 0 is written where there is none, too
        values.get(7, 0),
    )


class _Compact:
    """A reader of thrift's compact protocol, of a footer or the header of a page.

    Raises: IndexError at the end of the data; ValueError: it is no such protocol.
    """

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    @property
    def at(self) -> int:
        """Bytes that were read."""
        return self._at

    def fields(self) -> Iterator[tuple[int, int]]:
        """(number, type) of each field of a struct; the caller takes or skips its value."""
        number = 0
        while head := self._byte():
            number = number + (head >> 4) if head >> 4 else self.integer()
            yield number, head & 15

    def items(self, kind: int) -> range:
        """A list of values of a type, which the caller takes one by one."""
        size, found = self._list()
        if found != kind and size:
            raise ValueError(f"a list of thrift type {found}, {kind} is allowed")
        return range(size)

    def integer(self) -> int:
        value = self._unsigned()
        return (value >> 1) ^ -(value & 1)

    def binary(self) -> bytes:
        length = self._unsigned()
        self._forward(length)
        return self._data[self._at - length : self._at]

    def skip(self, kind: int, depth: int = 0) -> None:
        """Step over a value."""
        if depth > _DEEPEST:
            raise ValueError("thrift structures are nested too deeply")
        if kind in _NUMBERS:
            self._unsigned()
        elif kind in _BOOLEANS:
            return
        elif kind in (3, _DOUBLE):
            self._forward(1 if kind == 3 else 8)
        elif kind == _BINARY:
            self._forward(self._unsigned())
        elif kind in (_LIST, _SET):
            size, inner = self._list()
            self._skip_all(size, (inner,), depth)
        elif kind == _MAP:
            size = self._unsigned()
            kinds = self._byte() if size else 0
            self._skip_all(size, (kinds >> 4, kinds & 15), depth)
        elif kind == _STRUCT:
            for _, inner in self.fields():
                self.skip(inner, depth + 1)
        else:
            raise ValueError(f"thrift has no type {kind}")

    def _skip_all(self, size: int, kinds: tuple[int, ...], depth: int) -> None:
        for _ in range(size):
            for kind in kinds:
                # in a list a boolean is a byte
                self.skip(3 if kind in _BOOLEANS else kind, depth + 1)

    def _list(self) -> tuple[int, int]:
        head = self._byte()
        size = head >> 4 if head >> 4 != 15 else self._unsigned()
        return size, head & 15

    def _byte(self) -> int:
        self._at += 1
        return self._data[self._at - 1]

    def _forward(self, num_bytes: int) -> None:
        self._at += num_bytes
        if self._at > len(self._data):
            raise IndexError

    def _unsigned(self) -> int:
        value = self._data[self._at]
        self._at += 1
        if value < 128:
            return value
        value, shift = value & 127, 7
        while True:
            byte = self._byte()
            value |= (byte & 127) << shift
            if byte < 128:
                return value
            shift += 7
            if shift > 63:
                raise ValueError("a number of thrift has no end")
