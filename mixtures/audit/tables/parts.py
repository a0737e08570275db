"""The tables of a mix, part by part: read as they say they are, or not at all.

A part may claim any number of rows and any length of text in a few compressed bytes. No more rows
are read than the .bin has tokens, and text columns are read as dictionaries, whose entries are
measured before they are repeated.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mixtures.audit.files import max_rows, tables_of
from mixtures.audit.report import Check, judge, unread
from mixtures.errors import AuditFailed
from mixtures.mix.claims import Claims
from mixtures.mix.files import part_path
from mixtures.mix.tables import TABLES, Columns, from_arrow, part_hash, root_hash
from mixtures.words import first_line, plural

MAX_TEXT_BYTES = 4096  # of a source's name or a path

UNREADABLE = (
    OSError,
    ValueError,
    KeyError,
    IndexError,
    MemoryError,
    OverflowError,
    pa.ArrowException,
)
"""What pyarrow raises on damaged files, as found by changing single bytes of them."""


def read_part(
    path: Path,
    schema: pa.Schema,
    max_rows: int,
    only: list[str] | None = None,
    *,
    spelled: bool = True,
) -> Columns:
    """Columns of a part, as `mixtures.mix.tables` has them. only: names of the columns to read;
    spelled: texts as objects, else as `Texts`.

    Raises:
        Any of UNREADABLE: it is not a part of this table, or claims more than `max_rows` rows.

    Returns: [num_rows] each; digest uint8 [num_rows, 16].
    """
    texts = [column.name for column in schema if pa.types.is_string(column.type)]
    if not path.is_file():  # a pipe would be waited for
        raise FileNotFoundError("no such file")
    with pq.ParquetFile(path, read_dictionary=texts, memory_map=False) as file:
        written = file.schema.to_arrow_schema()
        if written.names != schema.names or file.metadata.num_rows > max_rows:
            columns = (
                f"{', '.join(written.names)}; allowed are {max_rows:,} of {', '.join(schema.names)}"
            )
            raise ValueError(f"{file.metadata.num_rows:,} rows of {columns}")
        wanted = schema if only is None else pa.schema([schema.field(name) for name in only])
        table = file.read(columns=wanted.names)
    for name in set(texts) & set(wanted.names):
        _refuse_long(table.column(name))
    return from_arrow(wanted, table, spelled=spelled)


def _refuse_long(column: pa.ChunkedArray) -> None:
    """Raise ValueError for a text that is too long to be spelled out for each row. column: of
    texts, [num_rows].
    """
    if not pa.types.is_dictionary(column.type):
        raise ValueError(f"a text column is {column.type}, expected string")
    for chunk in column.chunks:
        longest = pc.max(pc.binary_length(chunk.dictionary)).as_py() or 0
        if longest > MAX_TEXT_BYTES:
            raise ValueError(f"a text of {longest:,} bytes; allowed are {MAX_TEXT_BYTES:,}")


def reading_fault(path: Path, error: Exception) -> str:
    """Why a part could not be read, in a line. error: one of UNREADABLE."""
    return f"{path}: {type(error).__name__}: {first_line(error, '')}"


def proven_part(
    folder: Path,
    claims: Claims,
    number: int,
    table: Literal["documents", "provenance"] = "documents",
) -> Columns:
    """The columns of a part of a table, which are those that the manifest's hash stands for.

    Raises:
        AuditFailed: they are not, or cannot be read.

    Returns: [num_rows] each.
    """
    path, schema = part_path(folder, table, number), TABLES[table]
    expected = getattr(claims.hashes, f"{table}_parts")[number]
    try:
        columns = read_part(path, schema, max_rows(folder, claims.layout.dtype.itemsize))
    except UNREADABLE as error:
        raise AuditFailed(reading_fault(path, error)) from None
    if (actual := part_hash(schema, columns)) != expected:
        raise AuditFailed(
            f"{path}: says {actual}, the manifest lists {expected}; `annealmix audit {folder}` says"
            " what else is off"
        )
    return columns


@dataclass(frozen=True)
class Part:
    """One slice's documents and where they came from. documents, provenance: columns; None if that
    part cannot be read.
    """

    number: int
    documents: Columns | None
    provenance: Columns | None


@dataclass
class PartReader:
    """Reads all parts in order and keeps what was wrong with them, and the hash of each."""

    folder: Path
    claims: Claims
    max_rows: int
    hashes: dict[str, list[str | None]] = field(
        default_factory=lambda: {table: [] for table in TABLES}
    )
    faults: list[str] = field(default_factory=list)
    rows: dict[str, int] = field(default_factory=lambda: dict.fromkeys(TABLES, 0))

    def __iter__(self) -> Iterator[Part]:
        listed = self.claims.hashes
        for number in range(max(len(listed.documents_parts), len(listed.provenance_parts))):
            yield Part(number, self._read("documents", number), self._read("provenance", number))

    def _read(self, table: str, number: int) -> Columns | None:
        """[num_rows] each; None where the part cannot be read, and then the fault is noted."""
        if table not in tables_of(self.claims):
            return None
        path, schema = part_path(self.folder, table, number), TABLES[table]
        try:
            allowed = self.max_rows - self.rows[table]
            columns = read_part(path, schema, allowed, spelled=False)
            self.hashes[table].append(part_hash(schema, columns))
        except UNREADABLE as error:
            self.hashes[table].append(None)
            self.faults.append(reading_fault(path, error))
            return None
        self.rows[table] += len(columns["position"])
        return columns

    def check_tables(self) -> Check:
        """Every part is there and holds the table's columns."""
        counts = {table: plural(self.rows[table], "row") for table in tables_of(self.claims)}
        figure = " and ".join(
            f"{plural(len(self.hashes[table]), 'part')} of {table} with {rows}"
            for table, rows in counts.items()
        )
        faults = list(self.faults)
        if (
            not faults
            and not self.claims.public
            and self.rows["documents"] != self.rows["provenance"]
        ):
            faults.append(
                f"{self.rows['documents']:,} documents, but {self.rows['provenance']:,} rows of"
                " provenance"
            )
        return judge("table parts", figure, faults)

    def check_hashes(self, table: str) -> Check:
        """What a table says has the hashes, part by part and over all, that the manifest says."""
        name, hashes = f"{table} hash", self.hashes[table]
        listed: list[str] = getattr(self.claims.hashes, f"{table}_parts")
        root: str = getattr(self.claims.hashes, table)
        if None in hashes:
            return unread(name, f"part {hashes.index(None):,} of {table} cannot be read")
        faults = [
            f"{part_path(self.folder, table, number)}: says {here}, the manifest lists {there}"
            for number, (here, there) in enumerate(zip(hashes, listed, strict=False))
            if here != there
        ]
        counted = root_hash([part for part in hashes if part is not None])
        if counted != root:
            faults.append(f"root {counted}, the manifest says {root}")
        return judge(name, f"{plural(len(hashes), 'part')}, root {counted[:16]}", faults)
