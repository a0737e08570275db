"""The tables of a mix, and the hash of what they say.

`documents.parquet` holds the identity columns in stream order, `provenance.parquet` where each
document came from. Both are folders of parts, one part for each slice of the stream
(`manifest.layout`), so that tasks write them side by side; readers open the folder as one table.
Parquet's bytes change with the library's version, so a table is hashed by what it says: BLAKE3 of
each column's little-endian values, part by part.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from blake3 import blake3


@dataclass(frozen=True)
class Texts:
    """A column of texts without an object a row: names, which may repeat, and of each row the
    number of its name, codes: int32 [num_rows].
    """

    names: Sequence[str]
    codes: npt.NDArray[np.int32]

    @classmethod
    def of(cls, values: Texts | npt.NDArray[Any]) -> Texts:
        """A column of either form. values: [num_rows]."""
        if isinstance(values, Texts):
            return values
        texts = values.tolist()
        numbers = {text: number for number, text in enumerate(dict.fromkeys(texts))}
        codes = np.fromiter(map(numbers.__getitem__, texts), np.int32, len(texts))
        return cls(list(numbers), codes)

    def __len__(self) -> int:
        return len(self.codes)

    def objects(self) -> npt.NDArray[Any]:
        """The text of every row: objects [num_rows]."""
        names: npt.NDArray[Any] = np.array(self.names, object)
        return names[self.codes]

    def spelled(self, ending: bytes = b"") -> pa.Array:
        """The text of every row, as UTF-8, each with an ending: strings [num_rows].

        Raises:
            ValueError: they are 2 GiB or more.
        """
        names = [name.encode() + ending for name in self.names]
        offsets = np.zeros(len(names) + 1, np.int64)
        np.cumsum(np.fromiter(map(len, names), np.int64, len(names)), out=offsets[1:])
        num_bytes = int(np.diff(offsets)[self.codes].sum())
        if max(num_bytes, int(offsets[-1])) >= 1 << 31:
            raise ValueError(
                f"a text column of one part holds {num_bytes:,} bytes, a part can hold"
                f" {(1 << 31) - 1:,}; make smaller slices"
            )
        # `take` without pyarrow.compute, which makes functions of hundreds of others when imported
        from pyarrow._compute import call_function

        # from buffers: pyarrow's own conversion would import pandas, which costs more than a part
        held = [None, pa.py_buffer(offsets.astype(np.int32)), pa.py_buffer(b"".join(names))]
        codes = pa.py_buffer(np.ascontiguousarray(self.codes, np.int32))
        taken = [
            pa.Array.from_buffers(pa.string(), len(names), held),
            pa.Array.from_buffers(pa.int32(), len(self), [None, codes]),
        ]
        return call_function("take", taken)


Columns = dict[str, Any]
"""Of a part, by name, [num_rows] each: texts as `Texts` or an array of objects, digest as uint8
[num_rows, 16], the others as plain arrays.
"""

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
    """Build a table of a part."""
    return pa.Table.from_arrays(
        [_array(field, columns[field.name]) for field in schema], schema=schema
    )


def _array(field: pa.Field, values: Any) -> pa.Array:
    """Build an array of a column of `Columns`, [num_rows]."""
    if pa.types.is_string(field.type):
        return Texts.of(values).spelled()
    if pa.types.is_boolean(field.type):
        buffers = [None, pa.py_buffer(np.packbits(values, bitorder="little"))]
    else:
        buffers = [None, pa.py_buffer(np.ascontiguousarray(values).astype(_dtype(field)))]
    return pa.Array.from_buffers(field.type, len(values), buffers)


def from_arrow(schema: pa.Schema, table: pa.Table, *, spelled: bool = True) -> Columns:
    """The columns of a part as `to_arrow` takes them.

    Args:
        table: a text column may be a dictionary. spelled: texts as objects, else as `Texts`.

    Raises:
        ValueError: the table has other columns or types, or a null.

    Returns: by name, [num_rows] each; digest uint8 [num_rows, 16].
    """
    types = [
        kind.value_type if pa.types.is_dictionary(kind) else kind for kind in table.schema.types
    ]
    if table.schema.names != schema.names or types != schema.types:
        raise ValueError(
            f"columns {dict(zip(table.schema.names, map(str, table.schema.types), strict=True))},"
            f" expected {schema.names}"
        )
    columns: Columns = {}
    for field in schema:
        array = table.column(field.name).combine_chunks()
        if array.null_count:
            raise ValueError(f"column {field.name} has {array.null_count} nulls")
        if field.name == "digest":
            raw = np.frombuffer(array.buffers()[1] or b"", np.uint8)[16 * array.offset :]
            columns[field.name] = raw[: 16 * len(array)].reshape(-1, 16)
        elif pa.types.is_string(field.type):
            texts = _texts(field.name, array)
            columns[field.name] = texts.objects() if spelled else texts
        else:
            columns[field.name] = _values(array)
    return columns


def _texts(name: str, array: pa.Array) -> Texts:
    """A column [num_rows] of strings, or of a dictionary of them, without a null. name: its own."""
    coded = array if pa.types.is_dictionary(array.type) else array.dictionary_encode()
    codes = np.asarray(np.from_dlpack(coded.indices), np.int32)
    names: list[str] = coded.dictionary.to_pylist()
    if None in names or (len(codes) and not 0 <= codes.min() <= codes.max() < len(names)):
        raise ValueError(f"column {name} has rows without a text")
    return Texts(names, codes)


def _values(array: pa.Array) -> npt.NDArray[Any]:
    """Values without a null [num_rows]. pyarrow's own conversion would import pandas."""
    values: npt.NDArray[Any]
    if pa.types.is_boolean(array.type):
        values = np.from_dlpack(array.cast(pa.uint8())).view(np.bool_)
    else:
        values = np.from_dlpack(array)
    return values


def _dtype(field: pa.Field) -> np.dtype[Any]:
    """Of the values of a column of numbers, bits or digests, little-endian."""
    number = field.type.to_pandas_dtype() if pa.types.is_integer(field.type) else np.uint8
    dtype: np.dtype[Any] = np.dtype(number).newbyteorder("<")
    return dtype


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
            raw = Texts.of(values).spelled(b"\0").buffers()[2] or b""
        else:
            raw = np.ascontiguousarray(values).astype(_dtype(field)).tobytes()
        whole.update(blake3(raw).digest())
    return whole.hexdigest()


def root_hash(parts: list[str]) -> str:
    """BLAKE3 over the hashes of parts or chunks in order. Hex in, hex out."""
    return blake3(bytes.fromhex("".join(parts))).hexdigest()
