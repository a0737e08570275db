"""Columns of Arrow data, as parquet and Arrow files hold them: which must be there, of which type,
and their values as Python objects.

Text is string, large string, binary, their views, or a dictionary of one; it may stand in a
structure. Chat messages are a list of structures. `where` may also name whole numbers and booleans.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Sequence
from typing import Any

from mixtures.errors import InputError
from mixtures.yaml.tree import suggest
from pipeline.inputs.adapters.rows import BadRecord, NeededColumn
from pipeline.inputs.readers.compression import unpacks_too_far
from pipeline.inputs.readers.raw import RawFile
from pipeline.inputs.readers.rows import MEBIBYTE, ReadLimits

BATCH_BYTES = 16 * MEBIBYTE
"""Of values once decoded: what is held in memory beside the pages."""
_SHOWN = 40  # columns in a message


def check_columns(where: str, schema: Any, columns: Sequence[NeededColumn]) -> None:
    """Hold the columns that are needed against a pyarrow schema.

    Args:
        where: path or URL of the file.

    Raises:
        InputError: one is missing, is there twice, or is of another type; says which there are.
    """
    known = schema_columns(schema)
    for column in columns:
        kinds = _kinds(schema, column.path)
        if len(kinds) != 1:
            raise InputError(missing_column(where, column.name, known, len(kinds)))
        (kind,) = kinds
        if not _fits(kind, column):
            raise InputError(
                f"{where}: column {column.name!r} is of type {kind}, {_allowed(column)} is allowed;"
                f" columns found: {', '.join(known[:_SHOWN])}; name another column, or mend the"
                " file"
            )


def missing_column(where: str, column: str, known: Sequence[str], found: int = 0) -> str:
    """Says that a column is not there (or not once), which are, and which is the closest."""
    names = [name[:_SHOWN] for name in known[:_SHOWN]]
    if separator := other_separator(known):
        return (
            f"{where}: no column {column!r}; the delimiter looks like {separator!r} (the one column"
            f" found is {names[0]!r}), and csv is read with ',', tsv with tabs: write the file"
            " again"
        )
    return (
        f"{where}: {found or 'no'} column {column!r}; {suggest(column, names, 'columns found')};"
        " name the right one in the source (text, adapter or where), or remove the file"
    )


def other_separator(header: Sequence[str]) -> str | None:
    """What parts the fields of a table that was read as one column."""
    alone = header[0] if len(header) == 1 else ""
    return next((separator for separator in ";\t|," if separator in alone), None)


def schema_columns(schema: Any) -> list[str]:
    """Names of all columns, those inside structures by their dotted paths."""
    return [name for field in schema for name in _below(field, "")]


def _below(field: Any, prefix: str) -> Iterator[str]:
    from pyarrow import types

    name = f"{prefix}{field.name}"
    if types.is_struct(field.type) and field.type.num_fields:
        for inner in field.type:
            yield from _below(inner, f"{name}.")
    else:
        yield name


def _kinds(schema: Any, path: Sequence[str]) -> list[Any]:
    """Types of the columns with this path, of which there should be one."""
    from pyarrow import types

    fields = list(schema)
    for depth, name in enumerate(path, start=1):
        named = [field.type for field in fields if field.name == name]
        if depth == len(path):
            return named
        fields = [field for kind in named if types.is_struct(kind) for field in kind]
    return []


def _fits(kind: Any, column: NeededColumn) -> bool:
    kind = storage_type(kind)
    chat = "chat" in column.holds and is_messages(kind)
    plain = column.holds == "plain" and _is_plain(kind)
    return chat or plain or (column.holds != "chat" and is_text(kind))


def _allowed(column: NeededColumn) -> str:
    if column.holds == "chat":
        return "a list of {role, content} or {from, value}"
    return "text, a whole number or a boolean" if column.holds == "plain" else "text"


def storage_type(kind: Any) -> Any:
    """What an extension type is stored as: JSON text is text, whatever pyarrow makes of it."""
    import pyarrow as pa

    while isinstance(kind, pa.BaseExtensionType):
        kind = kind.storage_type
    return kind


def _stored(column: Any) -> Any:
    """An array as it is stored."""
    import pyarrow as pa

    while isinstance(column.type, pa.BaseExtensionType):
        column = column.storage
    return column


def is_text(kind: Any) -> bool:
    """Whether a pyarrow type holds text."""
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


def is_messages(kind: Any) -> bool:
    """Whether a pyarrow type holds lists of structures."""
    from pyarrow import types

    return types.is_null(kind) or bool(
        (types.is_list(kind) or types.is_large_list(kind)) and types.is_struct(kind.value_type)
    )


def _is_plain(kind: Any) -> bool:
    from pyarrow import types

    return bool(types.is_integer(kind) or types.is_boolean(kind))


def _slices(batch: Any) -> Iterator[tuple[Any, int]]:
    """Parts of a record batch that decode to about `BATCH_BYTES` or to one row, and the bytes that
    each decodes to.
    """
    import numpy as np

    # int64 [num_rows]: bytes of the rows up to and with each
    ends = np.cumsum(sum(_value_bytes(_stored(column)) for column in batch.columns))
    start, before = 0, 0  # row, bytes of the rows before it
    while start < len(ends):
        stop = max(start + 1, int(np.searchsorted(ends, before + BATCH_BYTES, side="right")))
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
    if not is_text(values.type) or types.is_null(values.type):
        return np.full(len(column), 8, np.int64)
    if types.is_string_view(values.type) or types.is_binary_view(values.type):
        values = values.cast(pa.large_binary())
    # Of an encoded column these are the lengths of the dictionary's entries, which rows point at.
    lengths = compute.binary_length(values)
    if types.is_dictionary(column.type):
        lengths = lengths.take(column.indices)
    # pyarrow would import pandas (0.3 s) to make a scalar of 0 or an array of numpy
    zero = compute.count(pa.nulls(0))
    return np.from_dlpack(compute.coalesce(lengths, zero))


def batch_rows(
    raw: RawFile, batches: Iterable[Any], limits: ReadLimits
) -> Generator[tuple[int, Any], None, int]:
    """Yield (row index, {column: value}) for every row of some record batches, the index counted
    over all of them. Returns how many there are.

    Raises: InputError if they unpack to more than the limits allow.
    """
    row, total, allowed = 0, 0, limits.unpacked_bytes(raw.file.size)
    for batch in batches:
        for part, num_bytes in _slices(batch):
            total += num_bytes
            if total > allowed:
                raise unpacks_too_far(raw, total, allowed)
            for record in _records(part, num_bytes, limits):
                yield row, record
                row += 1
    return row


def _records(part: Any, num_bytes: int, limits: ReadLimits) -> Iterator[Any]:
    """The record of each row of a part of a batch, of so many bytes: {column: value}, or a
    BadRecord, also in the place of a row that is too large to be made.
    """
    if len(part) == 1 and num_bytes > limits.max_row_bytes:
        detail = f"{num_bytes:,} bytes in a row, {limits.max_row_bytes:,} are allowed"
        return iter([BadRecord("too-large", detail)])
    names = part.schema.names
    values = [_python_values(_stored(column)) for column in part.columns]
    if len(names) == 1:
        (name,) = names
        return ({name: value} if type(value) is not BadRecord else value for value in values[0])
    return (_record(names, row) for row in zip(*values, strict=True))


def _record(names: Sequence[str], row: tuple[Any, ...]) -> Any:
    for value in row:
        if type(value) is BadRecord:
            return value
    return dict(zip(names, row, strict=True))


def _python_values(column: Any) -> list[Any]:
    """Values of a column [num_rows] as Python objects; a BadRecord in the place of text that is not
    UTF-8, which parquet does not rule out.
    """
    from pyarrow import types

    if types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if not _holds_bytes(column.type):
        try:
            return list(column.to_pylist())
        except UnicodeDecodeError:
            column = column.cast(bytes_type(column.type))
    return [_decoded(value) for value in column.to_pylist()]


def _holds_bytes(kind: Any) -> bool:
    from pyarrow import types

    if types.is_nested(kind):
        return any(_holds_bytes(kind.field(number).type) for number in range(kind.num_fields))
    tests = (types.is_binary, types.is_large_binary, types.is_binary_view)
    return any(test(kind) for test in tests)


def bytes_type(kind: Any) -> Any:
    """A pyarrow type with bytes in the place of text, which may also be nested."""
    import pyarrow as pa
    from pyarrow import types

    if types.is_struct(kind):
        return pa.struct([field.with_type(bytes_type(field.type)) for field in kind])
    if types.is_list(kind) or types.is_large_list(kind):
        make = pa.list_ if types.is_list(kind) else pa.large_list
        return make(kind.value_field.with_type(bytes_type(kind.value_type)))
    if types.is_string(kind):
        return pa.binary()
    is_large = types.is_large_string(kind) or types.is_string_view(kind)
    return pa.large_binary() if is_large else kind


def _decoded(value: Any) -> Any:
    """A value with text in the place of bytes; a BadRecord where some are no UTF-8."""
    if type(value) is dict:
        inner = [_decoded(one) for one in value.values()]
        return next(
            (one for one in inner if type(one) is BadRecord), dict(zip(value, inner, strict=True))
        )
    if type(value) is list:
        inner = [_decoded(one) for one in value]
        return next((one for one in inner if type(one) is BadRecord), inner)
    if type(value) is not bytes:
        return value
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError as error:
        return BadRecord("utf8", f"{error.reason} at byte {error.start} of the value")
