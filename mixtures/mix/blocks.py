"""The tables of a mix a block at a time: consecutive rows of a part, held against tokens.idx.

Texts are not spelled out (`mixtures.mix.tables.Texts`), so that a block takes some 37 bytes a
document and a column costs no object a row.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from mixtures.errors import ManifestError
from mixtures.mix.files import part_path
from mixtures.mix.tables import TABLES, Columns, Texts, from_arrow
from mixtures.words import first_line

BLOCK_ROWS = 1 << 16
"""Documents of a block: a row group, as the tables are written, of which one document is found in
milliseconds.
"""
REPEATED = ("source", "file")
"""Columns whose texts repeat: written with a dictionary, and read as codes of it."""

_UNREADABLE = (OSError, ValueError, KeyError, pa.ArrowException)


@dataclass(frozen=True)
class Block:
    """What the tables alone say of consecutive documents, [num_docs] each; digest: bytes
    [num_docs * 16].
    """

    source: Texts
    digest: bytes
    epoch: npt.NDArray[np.uint16]
    copy: npt.NDArray[np.uint16]
    cut: npt.NDArray[np.bool_]
    file: Texts
    row: npt.NDArray[np.uint64]

    def values(self, at: int) -> tuple[str, str, int, int, bool, str, int]:
        """Source, digest in hex, epoch, copy, cut, file and row of one document."""
        return (
            self.source.names[self.source.codes.item(at)],
            self.digest[16 * at : 16 * at + 16].hex(),
            self.epoch.item(at),
            self.copy.item(at),
            self.cut.item(at),
            self.file.names[self.file.codes.item(at)],
            self.row.item(at),
        )


def read_block(folder: Path, part: int, row: int, expected: Columns) -> Block:
    """Consecutive documents of a part, from a row of it on.

    Args:
        expected: what tokens.idx says of them: position, first_token and num_tokens, [num_docs]
            each.

    Raises:
        ManifestError: a table cannot be read, lacks some of them, or says otherwise.
    """
    count, found, totals = len(expected["position"]), Columns(), list[int]()
    other = f"`annealmix audit {folder}` says what else is off"
    for table, schema in TABLES.items():
        path = part_path(folder, table, part)
        columns, rows = _read_rows(path, schema, row, count)
        for name in [name for name in expected if name in columns]:
            values = columns.pop(name)
            if len(wrong := np.flatnonzero(values != expected[name][: len(values)])):
                at = int(wrong[0])
                raise ManifestError(
                    f"{path}: row {row + at} says {name} {values[at]}, tokens.idx"
                    f" {expected[name][at]}; {other}"
                )
        if rows < row + count:
            raise _too_short(path, rows)
        found |= columns
        totals.append(rows)
    if totals[0] != totals[1]:
        raise ManifestError(
            f"{path}: {totals[1]:,} rows, the documents of that part are {totals[0]:,}; it is of"
            f" another mix, or damaged: {other}"
        )
    return Block(**{**found, "digest": found["digest"].tobytes()})


def _read_rows(path: Path, schema: pa.Schema, first: int, count: int) -> tuple[Columns, int]:
    """Those of the rows first .. first + count - 1 that a part has, and how many it has in all.

    Only the row groups that hold them are read.

    Raises:
        ManifestError: it is damaged, has other columns, or none of the rows.

    Columns are [num_rows] each, digests [num_rows, 16].
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
            raise _too_short(path, total)
        table = file.read_row_groups(groups, use_threads=False).slice(first - begin, count)
        # a chunk of texts has a dictionary of its own
        return from_arrow(schema, table.unify_dictionaries(), spelled=False), total
    except _UNREADABLE as error:
        raise _damaged(path, error) from None


def batches(path: Path, table: str, columns: list[str]) -> Iterator[Columns]:
    """Some columns of a part of a table, [num_rows] each, at most BLOCK_ROWS at a time.

    Raises:
        ManifestError: it cannot be read.
    """
    schema = pa.schema([TABLES[table].field(name) for name in columns])
    try:
        file = pq.ParquetFile(path, memory_map=True, read_dictionary=_repeated(schema))
        for batch in file.iter_batches(batch_size=BLOCK_ROWS, columns=columns, use_threads=False):
            yield from_arrow(schema, pa.Table.from_batches([batch]), spelled=False)
    except _UNREADABLE as error:
        raise _damaged(path, error) from None


def _too_short(path: Path, num_rows: int) -> ManifestError:
    """The error of a part with fewer rows than documents start in its slice."""
    return ManifestError(
        f"{path}: ends before row {num_rows}, where tokens.idx has another document; build the mix"
        " again"
    )


def _damaged(path: Path, error: Exception) -> ManifestError:
    """The error of a part that cannot be read."""
    return ManifestError(f"{path}: cannot be read ({first_line(error, '')}); build the mix again")


def num_rows(path: Path, schema: pa.Schema) -> int:
    """How many rows a part has, from its footer.

    Raises:
        ManifestError: it cannot be read, or has other columns.

    schema: the columns that it must have, [num_rows] each.
    """
    try:
        return int(_open(path, schema).metadata.num_rows)
    except _UNREADABLE as error:
        raise _damaged(path, error) from None


def _repeated(schema: pa.Schema) -> list[str]:
    """Columns that are read as codes of a dictionary."""
    return [name for name in REPEATED if name in schema.names]


def _open(path: Path, schema: pa.Schema) -> pq.ParquetFile:
    """A part whose texts are read as codes of a dictionary.

    schema: the columns that it must have, [num_rows] each.
    """
    repeated = _repeated(schema)
    file = pq.ParquetFile(path, memory_map=True, read_dictionary=repeated)
    codes = pa.dictionary(pa.int32(), pa.string())
    expected = [(one.name, codes if one.name in repeated else one.type) for one in schema]
    if file.schema_arrow != pa.schema(expected):
        raise pa.ArrowInvalid(f"its columns are not {', '.join(schema.names)} of their types")
    return file
