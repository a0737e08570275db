"""Rows of a parquet file: only the columns that the adapter and `where` need, in batches of bounded
size.

The row number is the index of the row in the file. Every file must hold every needed column
(`pipeline.inputs.readers.layouts.columns`), so that a schema that drifts between two files is an
error. Page checksums are verified where the writer stored them; where not, only the pinned hash can
see a flipped bit.

pyarrow unpacks a page whole, and makes arrays of as many of its values as a batch has rows. So the
headers of all pages are read before: a page that would take too much memory is an error, and a
batch has so few rows that its values do not, wherever in a row group large ones stand.

A column that is dictionary-encoded can unpack to far more than its pages hold. Such columns are
kept encoded while they are read, and decoded in slices whose size is known before they are made.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import IO, Any

from mixtures.errors import InputError
from mixtures.words import first_line
from pipeline.inputs.adapters.rows import NeededColumn
from pipeline.inputs.readers.compression import unpacks_too_far
from pipeline.inputs.readers.layouts.columns import BATCH_BYTES, batch_rows, check_columns
from pipeline.inputs.readers.layouts.parquet_footer import Chunk, read_chunks, read_pages
from pipeline.inputs.readers.raw import RawFile
from pipeline.inputs.readers.rows import MEBIBYTE, ReadLimits, Rows

_BATCH_ROWS = 4096
_BUFFER_BYTES = MEBIBYTE  # of a column chunk, read at a time
# of a dictionary beside its page: a table of its values, which grows by doubling, and an array for
# each of two batches
_DICTIONARY_COPIES = 4
_LARGE_PAGE = 64 * MEBIBYTE  # of a row group with a larger one a row is made at a time


def parquet_rows(raw: RawFile, columns: Sequence[NeededColumn], limits: ReadLimits) -> Rows:
    """Yield (row index, {column: value}) for every row.

    Raises: InputError if the file is damaged, lacks a column, or has one of another type.
    """
    import pyarrow as pa

    handle = raw.seekable()
    try:
        promised, batches = _batches(raw, handle, columns, limits)
        found = yield from batch_rows(raw, batches, limits)
    except (
        pa.ArrowException,
        OSError,
        EOFError,
        ValueError,
        KeyError,
        OverflowError,
        MemoryError,
    ) as error:
        raise _unreadable(raw, error) from None
    if found != promised:
        raise InputError(
            f"{raw.file.url}: the footer promises {promised:,} rows, {found:,} are there; fetch the"
            " file again"
        )


def _unreadable(raw: RawFile, error: BaseException) -> InputError:
    """What pyarrow cannot read is damaged, encrypted or of a kind that it does not know."""
    import pyarrow as pa

    first = first_line(error, "")
    where = f"{raw.file.url}: the parquet file"
    if "crypt" in first:
        return InputError(
            f"{where} is encrypted, or a needed column is ({first}); write it plainly"
        )
    if isinstance(error, pa.ArrowNotImplementedError):
        return InputError(
            f"{where} holds what pyarrow {pa.__version__} does not read ({first}); write it again"
            " more plainly, or take a newer pyarrow"
        )
    return InputError(f"{where} is truncated or damaged ({first}); fetch it again")


def _batches(
    raw: RawFile, handle: Any, columns: Sequence[NeededColumn], limits: ReadLimits
) -> tuple[int, Iterator[Any]]:
    """Rows that the footer promises, and record batches of the needed columns."""
    from pyarrow import parquet

    file = parquet.ParquetFile(handle)
    check_columns(raw.file.url, file.schema_arrow, columns)
    paths = [column.name for column in columns]  # pyarrow finds nested columns by their dotted path
    chunks = _of(paths, read_chunks(handle))
    packed_bytes = sum(chunk.uncompressed_bytes for chunk in chunks)
    allowed = limits.unpacked_bytes(raw.file.size)
    if packed_bytes > allowed:
        raise unpacks_too_far(raw, packed_bytes, allowed)
    sizes = _batch_rows(raw, handle, chunks, file.metadata, limits)
    flat = {column.name for column in columns if len(column.path) == 1}
    # nested ones are decoded as they are read
    encoded = sorted({chunk.path for chunk in chunks if chunk.is_dictionary} & flat)
    # Opened again, since only the footer says which columns to keep encoded.
    handle.seek(0)
    file = parquet.ParquetFile(
        handle,
        read_dictionary=encoded,
        buffer_size=_BUFFER_BYTES,
        pre_buffer=False,
        page_checksum_verification=True,
    )
    # neighbours together, and none of no row groups: some versions look for the first of them
    return file.metadata.num_rows, (
        batch
        for size, groups in groupby(range(file.num_row_groups), sizes.__getitem__)
        for batch in file.iter_batches(
            batch_size=size, row_groups=list(groups), columns=paths, use_threads=False
        )
    )


@dataclass
class _Measured:
    """What reading a column chunk may take."""

    chunk: Chunk
    largest: int = 0
    """Bytes of its largest page, unpacked."""
    pages: int = 0
    """Bytes of memory: of the page that takes most, packed and unpacked, and copies of the
    dictionary.
    """
    row: float = 0
    """Bytes of a row where rows are largest."""

    @classmethod
    def of(cls, handle: IO[bytes], chunk: Chunk, num_rows: int) -> _Measured:
        """Read the headers of its pages."""
        found, dictionary = cls(chunk, row=chunk.uncompressed_bytes / num_rows), 0
        for page in read_pages(handle, chunk):
            found.largest = max(found.largest, page.uncompressed_bytes)
            found.pages = max(found.pages, page.uncompressed_bytes + page.packed_bytes)
            if page.is_dictionary:
                dictionary = page.uncompressed_bytes
            else:
                found.row = max(found.row, page.uncompressed_bytes / max(1, page.values))
        found.pages += _DICTIONARY_COPIES * dictionary
        return found


def _batch_rows(
    raw: RawFile, handle: IO[bytes], chunks: Iterable[Chunk], metadata: Any, limits: ReadLimits
) -> list[int]:
    """Rows of a batch, for each row group.

    Raises:
        InputError: reading one may take more memory than is allowed; names it and the column.
    """
    by_group: dict[int, list[Chunk]] = {}
    for chunk in chunks:
        by_group.setdefault(chunk.row_group, []).append(chunk)
    found = []
    for number in range(metadata.num_row_groups):
        num_rows = max(1, metadata.row_group(number).num_rows)
        measured = [_Measured.of(handle, chunk, num_rows) for chunk in by_group.get(number, [])]
        worst = max(measured, key=lambda one: one.largest, default=None)
        if worst is None:
            found.append(_BATCH_ROWS)
            continue
        needed = sum(one.pages for one in measured) + worst.largest
        if needed > limits.max_page_bytes:
            raise InputError(
                f"{raw.file.url}: row group {number}, column {worst.chunk.path!r}: a page of"
                f" {worst.largest:,} bytes, unpacked; reading it may take {needed:,} of memory,"
                f" {limits.max_page_bytes:,} are allowed: write the file again with smaller pages,"
                " or without the rows that are so large"
            )
        a_row = sum(one.row for one in measured)
        fitting = 1 if worst.largest > _LARGE_PAGE else int(BATCH_BYTES / max(1, a_row))
        found.append(max(1, min(_BATCH_ROWS, fitting)))
    return found


def _of(columns: Sequence[str], chunks: Iterable[Chunk]) -> list[Chunk]:
    """The chunks of top-level columns and of what is nested in them."""
    return [
        chunk
        for chunk in chunks
        if any(f"{chunk.path}.".startswith(f"{column}.") for column in columns)
    ]
