"""What a parquet footer says of column chunks, and how large their pages are, read without pyarrow:
its `row_group(i).column(j)` ends the process (std::terminate) where a chunk is encrypted or its
statistics do not fit its schema, whether or not the column is of any interest. Reading columns does
raise. Of pages it says nothing, and unpacks one whole, whatever it takes.

    last 8 bytes of a file: length of the footer, uint32 little-endian; b"PAR1"
    footer: the struct FileMetaData of parquet.thrift, in thrift's compact protocol
    a column chunk: pages, each the struct PageHeader and then its bytes

Structs are read as {number of a field: value}, row groups one by one. Sources: parquet.thrift of
apache/parquet-format, thrift-compact-protocol.md of apache/thrift.

Cost: about 0.1 ms a chunk (`tests/benchmarks/bench_footer.py`; 2-core x86-64, 2026-11-28, shared):
beside the pages that are read it is not seen.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import repeat
from typing import IO, Any

_TAIL_BYTES = 8
_BOOLEANS, _LIST, _STRUCT = (1, 2), 9, 12  # types of thrift
_DEEPEST = 32  # structures in structures; parquet.thrift has 6
_ROW_GROUPS = 4  # field of the footer
_ENCRYPTED = 8  # field of a ColumnChunk that says by which key
_BYTE_ARRAY = 6
_DICTIONARIES = {2, 8}  # PLAIN_DICTIONARY, RLE_DICTIONARY
_DICTIONARY_PAGE = 2
_HEADER_BYTES = 1 << 10, 16 << 20  # of a page header that are read at first, and at most: pyarrow's
_MALFORMED = (AttributeError, KeyError, TypeError)  # a field is missing, or of another type


@dataclass(frozen=True)
class Chunk:
    """A column of a row group."""

    row_group: int
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

    @classmethod
    def of(cls, row_group: int, column: dict[int, Any]) -> Chunk:
        """Of a ColumnMetaData."""
        data, dictionary = column[9], column.get(11, 0)
        return cls(
            row_group,
            ".".join(name.decode("utf-8", "replace") for name in column[3]),
            column[6],
            column[1] == _BYTE_ARRAY and not _DICTIONARIES.isdisjoint(column[2]),
            column[5],
            dictionary if 0 < dictionary < data else data,  # 0 is written where there is none, too
            column[7],
        )


@dataclass(frozen=True)
class Page:
    """What the header of a page says."""

    is_dictionary: bool
    uncompressed_bytes: int
    packed_bytes: int
    values: int
    """0 for a dictionary."""

    @classmethod
    def of(cls, header: dict[int, Any]) -> Page:
        """Of a PageHeader, whose fields 5 and 8 are those of data pages, versions 1 and 2."""
        data = header.get(5) or header.get(8)
        kind, unpacked, packed = (header.get(number, -1) for number in (1, 2, 3))
        return cls(kind == _DICTIONARY_PAGE, unpacked, packed, data[1] if data else 0)


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
            found = Page.of(header.struct())
            negative = min(found.uncompressed_bytes, found.packed_bytes, found.values) < 0
        except IndexError:
            if length == most:
                raise ValueError("the header of a page is truncated") from None
            length = min(16 * length, most)
            continue
        except _MALFORMED:
            raise ValueError("the header of a page is none") from None
        if negative:
            raise ValueError("the header of a page has negative sizes")
        return found, header.at


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
    except _MALFORMED:
        raise ValueError("its footer is none") from None


def _chunks(footer: _Compact) -> Iterator[Chunk]:
    for number, kind in footer.fields():
        if (number, kind) != (_ROW_GROUPS, _LIST):
            footer.value(kind)
            continue
        for row_group, inner in enumerate(footer.items()):
            for column in footer.value(inner)[1]:
                if 3 in column and _ENCRYPTED not in column:
                    yield Chunk.of(row_group, column[3])


class _Compact:
    """A reader of thrift's compact protocol, of a footer or the header of a page. at: bytes that
    were read.

    Raises: IndexError at the end of the data; ValueError: it is no such protocol.
    """

    def __init__(self, data: bytes) -> None:
        self._data, self.at = data, 0

    def struct(self, depth: int = 0) -> dict[int, Any]:
        """{number of a field: value}."""
        return {number: self.value(kind, depth) for number, kind in self.fields()}

    def fields(self) -> Iterator[tuple[int, int]]:
        """(number, type) of each field of a struct, whose value the caller takes."""
        number = 0
        while head := self._byte():
            number = number + (head >> 4) if head >> 4 else self._integer()
            yield number, head & 15

    def items(self) -> Iterator[int]:
        """The type of each item of a list, which the caller takes."""
        head = self._byte()
        return self._kinds(head & 15, head >> 4 if head >> 4 != 15 else self._unsigned())

    def value(self, kind: int, depth: int = 0) -> Any:
        """The value of a field, in a list where it is a list or a map."""
        if depth > _DEEPEST:
            raise ValueError("thrift structures are nested too deeply")
        if kind in (4, 5, 6):
            return self._integer()
        if kind == 8:
            return self._bytes(self._unsigned())
        if kind in (_LIST, 10):
            return [self.value(inner, depth + 1) for inner in self.items()]
        if kind == _STRUCT:
            return self.struct(depth + 1)
        if kind in _BOOLEANS:
            return kind
        if kind in (3, 7):
            return self._bytes(1 if kind == 3 else 8)
        if kind == 11:
            size = self._unsigned()
            kinds = self._byte() if size else 0
            pairs = zip(self._kinds(kinds >> 4, size), self._kinds(kinds & 15, size), strict=True)
            return [self.value(inner, depth + 1) for pair in pairs for inner in pair]
        raise ValueError(f"thrift has no type {kind}")

    def _kinds(self, kind: int, size: int) -> Iterator[int]:
        return repeat(3 if kind in _BOOLEANS else kind, size)  # in a list a boolean is a byte

    def _integer(self) -> int:
        value = self._unsigned()
        return (value >> 1) ^ -(value & 1)

    def _bytes(self, count: int) -> bytes:
        self.at += count
        if self.at > len(self._data):
            raise IndexError
        return self._data[self.at - count : self.at]

    def _byte(self) -> int:
        self.at += 1
        return self._data[self.at - 1]

    def _unsigned(self) -> int:
        value, shift = self._data[self.at], 7
        self.at += 1
        if value < 128:
            return value
        value &= 127
        while (byte := self._byte()) >= 128:
            value |= (byte & 127) << shift
            shift += 7
            if shift > 63:
                raise ValueError("a number of thrift has no end")
        return value | byte << shift
