"""Rows of an Arrow file (Feather 2) or stream, as `datasets.save_to_disk` writes them: only the
needed columns, a record batch at a time.

The row number is the index of the row in the file. A stream that was cut between two batches reads
to its end without an error, so one must have its end mark. Offsets and UTF-8 of each batch are
checked before anything is read through them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import IO, Any

from mixtures.errors import InputError
from mixtures.words import first_line
from pipeline.inputs.adapters.rows import NeededColumn
from pipeline.inputs.readers.layouts.columns import batch_rows, bytes_type, check_columns
from pipeline.inputs.readers.raw import RawFile
from pipeline.inputs.readers.rows import ReadLimits, Rows

_FILE_MAGIC = b"ARROW1"
_END_OF_STREAM = b"\xff\xff\xff\xff\0\0\0\0"


def arrow_rows(raw: RawFile, columns: Sequence[NeededColumn], limits: ReadLimits) -> Rows:
    """Yield (row index, {column: value}) for every row.

    Raises: InputError if the file is damaged, lacks a column, or has one of another type.
    """
    import pyarrow as pa

    handle = raw.seekable()
    try:
        schema, batches = _open(handle)
        check_columns(raw.file.url, schema, columns)
        names = list(dict.fromkeys(column.path[0] for column in columns))
        yield from batch_rows(raw, (_checked(batch.select(names)) for batch in batches), limits)
    except (pa.ArrowException, OSError, EOFError, ValueError, KeyError, MemoryError) as error:
        first = first_line(error, "")
        raise InputError(
            f"{raw.file.url}: the Arrow file is truncated or damaged ({first}); fetch it again"
        ) from None


def _open(handle: IO[bytes]) -> tuple[Any, Iterator[Any]]:
    """Schema and record batches."""
    from pyarrow import ipc

    magic = handle.read(len(_FILE_MAGIC))
    if magic == _FILE_MAGIC:
        file = ipc.open_file(handle)
        return file.schema, (file.get_batch(number) for number in range(file.num_record_batches))
    handle.seek(-len(_END_OF_STREAM), 2)
    if handle.read() != _END_OF_STREAM:
        raise ValueError("the stream has no end mark")
    handle.seek(0)
    stream = ipc.open_stream(handle)
    return stream.schema, iter(stream)


def _checked(batch: Any) -> Any:
    """The batch, all of whose values may be read; text that is no UTF-8 becomes binary, of which
    each row is judged alone.
    """
    import pyarrow as pa

    arrays = []
    for array in batch.columns:
        array.validate()  # before anything is made of it
        bare = array.cast(bytes_type(array.type))
        bare.validate(full=True)  # the offsets
        try:
            array.validate(full=True)
        except pa.ArrowInvalid:
            array = bare
        arrays.append(array)
    return pa.RecordBatch.from_arrays(arrays, names=batch.schema.names)
