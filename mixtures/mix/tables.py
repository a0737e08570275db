"""The tables of a mix, and the hash of what they say.

`documents.parquet` holds the identity columns in stream order, `provenance.parquet` where each
document came from. Both are folders of parts, one part for each slice of the stream
(`manifest.layout`), so that tasks write them side by side; readers open the folder as one table.
Parquet's bytes change with the library's version, so a table is hashed by what it says: BLAKE3 of
each column's little-endian values, part by part.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from blake3 import blake3

Columns = Mapping[str, npt.NDArray[Any]]

DOCUMENTS = pa.schema(
    [
        ("position", pa.uint64()),  # index of the document in the stream
        ("first_token", pa.uint64()),  # tokens of the stream before it
        ("num_tokens", pa.uint32()),  # EOD included, after the cut
        ("source", pa.string()),
        ("digest", pa.binary(16)),  # blake2b-128 of its training text
        ("epoch", pa.uint16()),  # 0 the first time that the source is gone through
        ("copy", pa.uint16()),  # 1 of an approved document's second copy, else 0
        ("cut", pa.bool_()),  # shortened to end its source's quota
    ]
)
PROVENANCE = pa.schema(
    [
        ("position", pa.uint64()),
        ("file", pa.string()),  # path below the source's folder or repository
        ("row", pa.uint64()),  # 0-based row, line or archive member of that file
    ]
)
TABLES = {"documents": DOCUMENTS, "provenance": PROVENANCE}


def to_arrow(schema: pa.Schema, columns: Columns) -> pa.Table:
    """Build a table of a part. digest is given as uint8 [n, 16], text columns as object arrays, the
    others as plain ones.
    """
    return pa.Table.from_arrays(
        [_array(field, columns[field.name]) for field in schema], schema=schema
    )


def _array(field: pa.Field, values: npt.NDArray[Any]) -> pa.Array:
    """Build an array from buffers: pyarrow's own conversion would import pandas, which costs more
    than a whole part.

    values: [num_rows], or uint8 [num_rows, 16] of digests.
    """
    count = len(values)
    if pa.types.is_string(field.type):
        texts = values.tolist()
        raw = "".join(texts).encode()
        if len(raw) >= 1 << 31:
            raise ValueError(
                f"column {field.name} of one part holds {len(raw):,} bytes, a part can hold"
                f" {1 << 31:,}; make smaller slices"
            )
        # in ASCII a character is a byte, so that nothing need be encoded one by one
        lengths = map(len, texts) if raw.isascii() else (len(text.encode()) for text in texts)
        offsets = np.zeros(count + 1, np.int32)
        np.cumsum(np.fromiter(lengths, np.int32, count), out=offsets[1:])
        buffers = [None, pa.py_buffer(offsets), pa.py_buffer(raw)]
    elif pa.types.is_boolean(field.type):
        buffers = [None, pa.py_buffer(np.packbits(values, bitorder="little"))]
    else:
        dtype = _LITTLE_ENDIAN[field.name]
        buffers = [None, pa.py_buffer(np.ascontiguousarray(values).astype(dtype))]
    return pa.Array.from_buffers(field.type, count, buffers)


def from_arrow(schema: pa.Schema, table: pa.Table) -> dict[str, npt.NDArray[Any]]:
    """The columns of a part as `to_arrow` takes them.

    Raises:
        ValueError: the table has other columns or types, or a null.

    Returns: by name, [num_rows] each; digest uint8 [num_rows, 16].
    """
    if table.schema.names != schema.names or table.schema.types != schema.types:
        raise ValueError(
            f"columns {dict(zip(table.schema.names, map(str, table.schema.types), strict=True))},"
            f" expected {schema.names}"
        )
    columns: dict[str, npt.NDArray[Any]] = {}
    for field in schema:
        array = table.column(field.name).combine_chunks()
        if array.null_count:
            raise ValueError(f"column {field.name} has {array.null_count} nulls")
        if field.name == "digest":
            raw = (
                np.frombuffer(array.buffers()[1], np.uint8) if len(array) else np.empty(0, np.uint8)
            )
            columns[field.name] = raw[16 * array.offset : 16 * (array.offset + len(array))].reshape(
                -1, 16
            )
        else:
            columns[field.name] = _values(array)
    return columns


def _values(array: pa.Array) -> npt.NDArray[Any]:
    """Values without a null [num_rows], texts as objects. pyarrow's own conversion would import
    pandas.
    """
    values: npt.NDArray[Any]
    if pa.types.is_string(array.type):
        coded = array.dictionary_encode()
        values = np.array(coded.dictionary.to_pylist(), object)[np.from_dlpack(coded.indices)]
    elif pa.types.is_boolean(array.type):
        values = np.from_dlpack(array.cast(pa.uint8())).view(np.bool_)
    else:
        values = np.from_dlpack(array)
    return values


_LITTLE_ENDIAN = {
    "position": "<u8",
    "first_token": "<u8",
    "num_tokens": "<u4",
    "digest": "u1",
    "epoch": "<u2",
    "copy": "<u2",
    "cut": "u1",
    "row": "<u8",
}


def part_hash(schema: pa.Schema, columns: Columns) -> str:
    """BLAKE3 of a part, in hex: each column's hash in schema order, and the hash over those.

    A column of numbers is hashed as its little-endian values, one of text as its UTF-8 values, each
    followed by a NUL byte.

    columns: by name, [num_rows] each, digest [num_rows, 16].
    """
    whole = blake3()
    for field in schema:
        values = columns[field.name]
        if pa.types.is_string(field.type):
            raw = "\0".join([*values.tolist(), ""]).encode()
        else:
            raw = np.ascontiguousarray(values).astype(_LITTLE_ENDIAN[field.name]).tobytes()
        whole.update(blake3(raw).digest())
    return whole.hexdigest()


def root_hash(parts: list[str]) -> str:
    """BLAKE3 over the hashes of parts or chunks in order. Hex in, hex out."""
    return blake3(bytes.fromhex("".join(parts))).hexdigest()
