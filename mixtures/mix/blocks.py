"""The tables of a mix a block at a time: consecutive rows of a part, as numbers.

Strings stay codes of a dictionary, so that a block takes some 37 bytes a document and a column
costs no object a row.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from mixtures.errors import ManifestError

BLOCK_ROWS = 1 << 16
"""Documents of a block: a row group, as the tables are written, of which one document is found in
milliseconds.
"""
REPEATED = ("source", "file")
"""Columns whose texts repeat: written with a dictionary, and read as codes of it."""

Strings = tuple[npt.NDArray[np.int32], list[str]]
Column = npt.NDArray[Any] | Strings


@dataclass(frozen=True)
class Block:
    """What the tables alone say of consecutive documents; all arrays [num_docs].

    source, file: int32 codes of a dictionary, and the dictionary. digest: bytes [num_docs * 16].
    epoch, copy: uint16. cut: uint8, 0 or 1. row: uint64.
    """

    source: Strings
    digest: bytes
    epoch: npt.NDArray[np.uint16]
    copy: npt.NDArray[np.uint16]
    cut: npt.NDArray[np.uint8]
    file: Strings
    row: npt.NDArray[np.uint64]

    def values(self, at: int) -> tuple[str, str, int, int, bool, str, int]:
        """Source, digest in hex, epoch, copy, cut, file and row of one document."""
        (sources, source_names), (files, file_names) = self.source, self.file
        return (
            source_names[sources.item(at)],
            self.digest[16 * at : 16 * at + 16].hex(),
            self.epoch.item(at),
            self.copy.item(at),
            self.cut.item(at) == 1,
            file_names[files.item(at)],
            self.row.item(at),
        )


def read_rows(
    path: Path, schema: pa.Schema, first: int, count: int
) -> tuple[dict[str, Column], int]:
    """Those of the rows first .. first + count - 1 that a part has, and how many it has in all.

    Only the row groups that hold them are read.

    Raises:
        ManifestError: it is damaged, has other columns, or none of the rows.

    Columns are [num_rows] each, digests [num_rows, 16] flat.
    """
    try:
        file = _open(path, schema)
        groups: list[int] = []
        begin = total = 0
        for group in range(file.num_row_groups):
            end = total + file.metadata.row_group(group).num_rows
            if total < first + count and end > first:
                begin = begin if groups else total
                groups.append(group)
            total = end
        if not groups:
            raise too_short(path, total)
        table = file.read_row_groups(groups, use_threads=False).slice(first - begin, count)
        # a chunk of texts has a dictionary of its own
        table = table.unify_dictionaries().combine_chunks()
        return {name: _column(table.column(name).chunk(0)) for name in schema.names}, total
    except (OSError, pa.ArrowException, KeyError) as error:
        raise damaged(path, error) from None


def too_short(path: Path, num_rows: int) -> ManifestError:
    """The error of a part with fewer rows than documents start in its slice."""
    return ManifestError(
        f"{path}: ends before row {num_rows}, where tokens.idx has another document; build the mix"
        " again"
    )


def damaged(path: Path, error: Exception) -> ManifestError:
    """The error of a part that cannot be read."""
    return ManifestError(
        f"{path}: cannot be read ({(str(error).splitlines() or [''])[0]}); build the mix again"
    )


def numbers(array: pa.Array, dtype: npt.DTypeLike, width: int = 1) -> npt.NDArray[Any]:
    """The buffer of a column without nulls, `width` numbers a row: pyarrow's own conversion would
    import pandas. dtype [num_rows * width].
    """
    return np.frombuffer(array.buffers()[1], dtype)[
        width * array.offset : width * (array.offset + len(array))
    ]


def num_rows(path: Path, schema: pa.Schema) -> int:
    """How many rows a part has, from its footer.

    Raises:
        ManifestError: it cannot be read, or has other columns.

    schema: the columns that it must have, [num_rows] each.
    """
    try:
        return int(_open(path, schema).metadata.num_rows)
    except (OSError, pa.ArrowException, KeyError) as error:
        raise damaged(path, error) from None


def _open(path: Path, schema: pa.Schema) -> pq.ParquetFile:
    """A part whose texts are read as codes of a dictionary.

    schema: the columns that it must have, [num_rows] each.
    """
    repeated = [name for name in REPEATED if name in schema.names]
    file = pq.ParquetFile(path, memory_map=True, read_dictionary=repeated)
    codes = pa.dictionary(pa.int32(), pa.string())
    expected = [(one.name, codes if one.name in repeated else one.type) for one in schema]
    if file.schema_arrow != pa.schema(expected):
        raise pa.ArrowInvalid(f"its columns are not {', '.join(schema.names)} of their types")
    return file


def _column(array: pa.Array) -> Column:
    """A column without nulls: numbers, bits as uint8, codes and their texts; [num_rows]."""
    if array.null_count:
        raise pa.ArrowInvalid(f"a column has {array.null_count} nulls")
    if pa.types.is_dictionary(array.type):
        return numbers(array.indices, np.int32), array.dictionary.to_pylist()
    if pa.types.is_boolean(array.type):
        bits = np.unpackbits(np.frombuffer(array.buffers()[1], np.uint8), bitorder="little")
        return bits[array.offset : array.offset + len(array)]
    if pa.types.is_fixed_size_binary(array.type):
        return numbers(array, np.uint8, array.type.byte_width)
    return numbers(array, array.type.to_pandas_dtype())
