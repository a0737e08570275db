"""Rows of a parquet file: only the columns that the adapter and `where` need, in batches of bounded
size.

The row number is the index of the row in the file. Every file must hold every needed column
(`pipeline.inputs.readers.layouts.columns`), so that a schema that drifts between two files is an
error. Page checksums are verified where the writer stored them; where not, only the pinned hash can
see a flipped bit.

A column that is dictionary-encoded can unpack to far more than its pages hold. Such columns are
kept encoded while they are read, and decoded in slices whose size is known before they are made.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from mixtures.errors import InputError
from pipeline.inputs.adapters.rows import NeededColumn
from pipeline.inputs.readers.compression import unpacks_too_far
from pipeline.inputs.readers.layouts.columns import BATCH_BYTES, check_columns, records, slices
from pipeline.inputs.readers.raw import RawFile
from pipeline.inputs.readers.rows import MEBIBYTE, ReadLimits, Rows

_BATCH_ROWS = 4096
_BUFFER_BYTES = MEBIBYTE  # of a column chunk, read at a time


def parquet_rows(raw: RawFile, columns: Sequence[NeededColumn], limits: ReadLimits) -> Rows:
    """Yield (row index, {column: value}) for every row.

    Raises: InputError if the file is damaged, lacks a column, has one of another type, or is not
        what was listed or pinned.
    """
    import pyarrow as pa

    handle = raw.seekable()
    try:
        yield from _rows(raw, handle, columns, limits)
    except (
        pa.ArrowException,
        OSError,
        EOFError,
        ValueError,
        KeyError,
        OverflowError,
        MemoryError,
    ) as error:
        first = (str(error).strip().splitlines() or [""])[0]
        raise InputError(
            f"{raw.file.url}: the parquet file is truncated or damaged ({first}); fetch it again"
        ) from None
    raw.finish()


def _rows(raw: RawFile, handle: Any, columns: Sequence[NeededColumn], limits: ReadLimits) -> Rows:
    from pyarrow import parquet

    file = parquet.ParquetFile(handle)
    check_columns(raw.file.url, file.schema_arrow, columns)
    paths = [column.name for column in columns]  # pyarrow finds nested columns by their dotted path
    packed_bytes = _column_bytes(file.metadata, paths)
    allowed = limits.unpacked_bytes(raw.file.size)
    if packed_bytes > allowed:
        raise unpacks_too_far(raw, packed_bytes, allowed)
    flat = [column.name for column in columns if len(column.path) == 1]
    encoded = sorted(_dictionary_columns(file.metadata, flat))
    # Opened again, since only the footer says which columns to keep encoded.
    handle.seek(0)
    file = parquet.ParquetFile(
        handle,
        read_dictionary=encoded,
        buffer_size=_BUFFER_BYTES,
        pre_buffer=False,
        page_checksum_verification=True,
    )
    num_rows = max(1, file.metadata.num_rows)
    batch_rows = max(1, min(_BATCH_ROWS, BATCH_BYTES * num_rows // max(1, packed_bytes)))
    row, total = 0, 0
    for batch in file.iter_batches(batch_size=batch_rows, columns=paths, use_threads=False):
        for part, num_bytes in slices(batch):
            total += num_bytes
            if total > allowed:
                raise unpacks_too_far(raw, total, allowed)
            for record in records(part):
                yield row, record
                row += 1
    if row != file.metadata.num_rows:
        raise InputError(
            f"{raw.file.url}: the footer promises {file.metadata.num_rows:,} rows, {row:,} are"
            " there; fetch the file again"
        )


def _chunks(metadata: Any, columns: Sequence[str]) -> Iterator[Any]:
    """The column chunks of top-level columns and of what is nested in them, in all row groups."""
    for group in range(metadata.num_row_groups):
        row_group = metadata.row_group(group)
        for index in range(row_group.num_columns):
            chunk = row_group.column(index)
            if any(f"{chunk.path_in_schema}.".startswith(f"{column}.") for column in columns):
                yield chunk


def _column_bytes(metadata: Any, columns: Sequence[str]) -> int:
    """Bytes of the pages of these columns once decompressed, still encoded."""
    return sum(chunk.total_uncompressed_size for chunk in _chunks(metadata, columns))


def _dictionary_columns(metadata: Any, columns: Sequence[str]) -> set[str]:
    """Byte-array columns some of whose chunks are dictionary-encoded."""
    return {
        chunk.path_in_schema
        for chunk in _chunks(metadata, columns)
        if chunk.path_in_schema in columns  # nested ones are decoded as they are read
        and chunk.physical_type == "BYTE_ARRAY"
        and any("DICTIONARY" in encoding for encoding in chunk.encodings)
    }
