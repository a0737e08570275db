"""Rows of a parquet file: only the columns that the adapter and `where` need, in batches of bounded
size.

The row number is the index of the row in the file. Every file must hold every needed column as text
(string, large string, binary, their views, a dictionary of them; `where` may also name whole
numbers and booleans), so that a schema that drifts between two files is an error. Page checksums
are verified where the writer stored them; where not, only the pinned hash can see a flipped bit.

A column that is dictionary-encoded can unpack to far more than its pages hold. Such columns are
kept encoded while they are read, and decoded in slices whose size is known before they are made.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from mixtures.errors import InputError
from pipeline.inputs.adapters import BadRecord
from pipeline.inputs.readers.compression import unpacks_too_far
from pipeline.inputs.readers.raw import RawFile
from pipeline.inputs.readers.rows import MEBIBYTE, ReadLimits, Rows

_BATCH_BYTES = 16 * MEBIBYTE  # of values once decoded: what is held in memory beside the pages
_BATCH_ROWS = 4096
_BUFFER_BYTES = MEBIBYTE  # of a column chunk, read at a time


def parquet_rows(
    raw: RawFile,
    text_columns: tuple[str, ...],
    columns: tuple[str, ...],
    limits: ReadLimits,
    *,
    messages: bool = False,
) -> Rows:
    """Yield (row index, {column: value}) for every row.

    Args:
        text_columns: columns that must hold text; columns: all that are read, these among them.
        messages: text columns may also hold lists of structures (chat messages).
    Raises: InputError if the file is damaged, lacks a column, has one of another type, or is not
        what was listed or pinned.
    """
    import pyarrow as pa

    handle = raw.seekable()
    try:
        yield from _rows(raw, handle, text_columns, columns, limits, messages=messages)
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


def _rows(
    raw: RawFile,
    handle: Any,
    text_columns: tuple[str, ...],
    columns: tuple[str, ...],
    limits: ReadLimits,
    *,
    messages: bool,
) -> Rows:
    from pyarrow import parquet

    file = parquet.ParquetFile(handle)
    _check_columns(raw, file.schema_arrow, text_columns, columns, messages)
    packed_bytes = _column_bytes(file.metadata, columns)
    allowed = limits.unpacked_bytes(raw.file.size)
    if packed_bytes > allowed:
        raise unpacks_too_far(raw, packed_bytes, allowed)
    encoded = sorted(_dictionary_columns(file.metadata, columns))
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
    batch_rows = max(1, min(_BATCH_ROWS, _BATCH_BYTES * num_rows // max(1, packed_bytes)))
    row, total = 0, 0
    for batch in file.iter_batches(batch_size=batch_rows, columns=list(columns), use_threads=False):
        for part, num_bytes in _slices(batch):
            total += num_bytes
            if total > allowed:
                raise unpacks_too_far(raw, total, allowed)
            for record in _records(part, columns):
                yield row, record
                row += 1
    if row != file.metadata.num_rows:
        raise InputError(
            f"{raw.file.url}: the footer promises {file.metadata.num_rows:,} rows, {row:,} are"
            " there; fetch the file again"
        )


def _check_columns(
    raw: RawFile,
    schema: Any,
    text_columns: tuple[str, ...],
    columns: tuple[str, ...],
    messages: bool,
) -> None:
    names = ", ".join(schema.names[:40])
    for column in columns:
        if schema.names.count(column) != 1:
            raise InputError(
                f"{raw.file.url}: {schema.names.count(column) or 'no'} column {column!r}; columns"
                f" found: {names}; name the right adapter in the source definition, or remove the"
                " file"
            )
        kind = schema.field(column).type
        if messages and column in text_columns and _is_messages(kind):
            continue
        if not _is_text(kind) and (column in text_columns or not _is_plain(kind)):
            raise InputError(
                f"{raw.file.url}: column {column!r} is of type {kind}, text is allowed; columns"
                f" found: {names}; mend the file"
            )


def _is_text(kind: Any) -> bool:
    from pyarrow import types

    if types.is_dictionary(kind):
        kind = kind.value_type
    tests = (
        types.is_string,
        types.is_large_string,
        types.is_string_view,
        types.is_binary,
        types.is_large_binary,
        types.is_binary_view,
    )
    return types.is_null(kind) or any(test(kind) for test in tests)


def _is_messages(kind: Any) -> bool:
    from pyarrow import types

    return bool(
        (types.is_list(kind) or types.is_large_list(kind)) and types.is_struct(kind.value_type)
    )


def _is_plain(kind: Any) -> bool:
    from pyarrow import types

    return bool(types.is_integer(kind) or types.is_boolean(kind))


def _chunks(metadata: Any, columns: tuple[str, ...]) -> Iterator[Any]:
    """The column chunks of top-level columns and of what is nested in them, in all row groups."""
    for group in range(metadata.num_row_groups):
        row_group = metadata.row_group(group)
        for index in range(row_group.num_columns):
            chunk = row_group.column(index)
            if chunk.path_in_schema in columns or chunk.path_in_schema.split(".", 1)[0] in columns:
                yield chunk


def _column_bytes(metadata: Any, columns: tuple[str, ...]) -> int:
    """Bytes of the pages of these columns once decompressed, still encoded."""
    return sum(chunk.total_uncompressed_size for chunk in _chunks(metadata, columns))


def _dictionary_columns(metadata: Any, columns: tuple[str, ...]) -> set[str]:
    """Byte-array columns some of whose chunks are dictionary-encoded."""
    return {
        chunk.path_in_schema
        for chunk in _chunks(metadata, columns)
        if chunk.path_in_schema in columns  # nested ones are decoded as they are read
        and chunk.physical_type == "BYTE_ARRAY"
        and any("DICTIONARY" in encoding for encoding in chunk.encodings)
    }


def _slices(batch: Any) -> Iterator[tuple[Any, int]]:
    """Parts of a record batch that decode to about `_BATCH_BYTES` or to one row, and the bytes that
    each decodes to.
    """
    import numpy as np

    # int64 [num_rows]: bytes of the rows up to and with each
    ends = np.cumsum(sum(_value_bytes(column) for column in batch.columns))
    start, before = 0, 0  # row, bytes of the rows before it
    while start < len(ends):
        stop = max(start + 1, int(np.searchsorted(ends, before + _BATCH_BYTES, side="right")))
        yield batch.slice(start, stop - start), int(ends[stop - 1]) - before
        start, before = stop, int(ends[stop - 1])


def _value_bytes(column: Any) -> Any:
    """Bytes of each value of a column of num_rows once it is decoded: int64 [num_rows]; 8 for
    numbers, the mean for nested values, which are decoded already.
    """
    import numpy as np
    import pyarrow as pa
    from pyarrow import compute, types

    if types.is_nested(column.type):
        return np.full(len(column), column.nbytes // max(1, len(column)) + 1, np.int64)
    values = column.dictionary if types.is_dictionary(column.type) else column
    if not _is_text(values.type) or types.is_null(values.type):
        return np.full(len(column), 8, np.int64)
    if types.is_string_view(values.type) or types.is_binary_view(values.type):
        values = values.cast(pa.large_binary())
    # Of an encoded column these are the lengths of the dictionary's entries, which rows point at.
    lengths = compute.binary_length(values)
    if types.is_dictionary(column.type):
        lengths = lengths.take(column.indices)
    return compute.fill_null(lengths, 0).to_numpy(zero_copy_only=False).astype(np.int64)


def _records(part: Any, columns: tuple[str, ...]) -> Iterator[Any]:
    """The record of each row of a record batch: {column: value}, or a BadRecord."""
    values = [_python_values(part.column(column)) for column in columns]
    if len(columns) == 1:
        (name,) = columns
        return ({name: value} if type(value) is not BadRecord else value for value in values[0])
    return (_record(columns, row) for row in zip(*values, strict=True))


def _record(columns: tuple[str, ...], row: tuple[Any, ...]) -> Any:
    for value in row:
        if type(value) is BadRecord:
            return value
    return dict(zip(columns, row, strict=True))


def _python_values(column: Any) -> list[Any]:
    """Values of a column [num_rows] as Python objects; a BadRecord in the place of text that is not
    UTF-8, which parquet does not rule out.
    """
    import pyarrow as pa
    from pyarrow import types

    if types.is_dictionary(column.type):
        column = column.dictionary_decode()
    try:
        values = column.to_pylist()
    except UnicodeDecodeError:
        values = column.cast(pa.large_binary()).to_pylist()
    if values and any(type(value) is bytes for value in values):
        return [_decoded(value) for value in values]
    return list(values)


def _decoded(value: Any) -> Any:
    if type(value) is not bytes:
        return value
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError as error:
        return BadRecord("utf8", f"{error.reason} at byte {error.start} of the value")
