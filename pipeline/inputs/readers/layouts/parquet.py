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

from collections.abc import Iterable, Sequence
from typing import Any

from mixtures.errors import InputError
from pipeline.inputs.adapters.rows import NeededColumn
from pipeline.inputs.readers.compression import unpacks_too_far
from pipeline.inputs.readers.layouts.columns import BATCH_BYTES, check_columns, records, slices
from pipeline.inputs.readers.layouts.parquet_footer import Chunk, read_chunks
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
        raise _unreadable(raw, error) from None
    raw.finish()


def _unreadable(raw: RawFile, error: BaseException) -> InputError:
    """What pyarrow cannot read is damaged, encrypted or of a kind that it does not know."""
    import pyarrow as pa

    first = (str(error).strip().splitlines() or [""])[0]
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


def _rows(raw: RawFile, handle: Any, columns: Sequence[NeededColumn], limits: ReadLimits) -> Rows:
    from pyarrow import parquet

    file = parquet.ParquetFile(handle)
    check_columns(raw.file.url, file.schema_arrow, columns)
    paths = [column.name for column in columns]  # pyarrow finds nested columns by their dotted path
    chunks = _of(paths, read_chunks(handle))
    packed_bytes = sum(chunk.uncompressed_bytes for chunk in chunks)
    allowed = limits.unpacked_bytes(raw.file.size)
    if packed_bytes > allowed:
        raise unpacks_too_far(raw, packed_bytes, allowed)
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
    num_rows = max(1, file.metadata.num_rows)
    batch_rows = max(1, min(_BATCH_ROWS, BATCH_BYTES * num_rows // max(1, packed_bytes)))
    row, total = 0, 0
    # some versions of pyarrow look for the first of no row groups
    batches = (
        file.iter_batches(batch_size=batch_rows, columns=paths, use_threads=False)
        if file.num_row_groups
        else ()
    )
    for batch in batches:
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


def _of(columns: Sequence[str], chunks: Iterable[Chunk]) -> list[Chunk]:
    """The chunks of top-level columns and of what is nested in them."""
    return [
        chunk
        for chunk in chunks
        if any(f"{chunk.path}.".startswith(f"{column}.") for column in columns)
    ]
