"""The folder of a mix while slices are written into it: its files, its tables, and the records of
slices that are written.

What is written or deleted is so by the descriptor of the folder that holds it, never through a
link.
"""

from __future__ import annotations

import os
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Generic, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from blake3 import blake3
from pydantic import PlainSerializer

from mixtures.errors import ManifestError
from mixtures.mix import indexed
from mixtures.mix.blocks import BLOCK_ROWS, REPEATED
from mixtures.mix.files import INDEX, TOKENS, part_path
from mixtures.mix.tables import TABLES, Columns, to_arrow
from mixtures.yaml.disk import write_at
from pipeline.executors.stage import Plan, Stage, Unit
from pipeline.store.owned import open_own, opened_folder, remove_inside, require_own
from pipeline.store.records import (
    Record,
    file_hash,
    named,
    read_record,
    write_record,
    write_whole,
)

NUMBERS = ("position", "first_token", "num_tokens", "row")
"""Columns that are smaller as differences, and read in half the time."""


@dataclass(frozen=True)
class Layout:
    """How a mix is laid out in bytes. chunk_tokens are hashed together, slice_chunks chunks are one
    task's unit and one part of the tables.
    """

    token_bytes: int
    chunk_tokens: int
    slice_chunks: int

    @property
    def dtype(self) -> str:
        """numpy's name of a token on disk: little-endian uint16, or int32, which is all that the
        .idx has for more.
        """
        return "<u2" if self.token_bytes == 2 else "<i4"

    @property
    def slice_tokens(self) -> int:
        """Tokens of a slice."""
        return self.chunk_tokens * self.slice_chunks


def prepare_folder(folder: Path, layout: Layout, total_tokens: int, total_documents: int) -> None:
    """Make an empty mix folder: files of their final size, the .idx header, folders of the tables
    and of the slices' records.

    What a stopped build left there stays, but for what belongs to no mix.
    """
    prepare_tables(folder, (TOKENS, INDEX))
    with file_inside(folder / TOKENS) as handle:
        os.ftruncate(handle, total_tokens * layout.token_bytes)
    with file_inside(folder / INDEX) as handle:
        os.ftruncate(handle, indexed.file_size(total_documents))
        header = indexed.header(total_documents, np.dtype(layout.dtype).name)
        write_at(handle, 0, memoryview(header))


def prepare_tables(folder: Path, kept: Sequence[str]) -> None:
    """Make the folders of the tables and of the slices' records in a mix folder, and delete what
    belongs to no mix. kept: names of files that stay.
    """
    tables = [f"{name}.parquet" for name in TABLES]
    with opened_folder(folder) as mix:
        require_own(folder, os.fstat(mix))
        for name in os.listdir(mix):
            if name not in (*kept, "slices", *tables):
                remove_inside(mix, name)
        for name in ("slices", *tables):
            with suppress(FileExistsError):
                os.mkdir(name, dir_fd=mix)
        for name in tables:
            with opened_folder(folder / name, mix) as table:
                for left in os.listdir(table):
                    if not left.startswith("part-"):
                        os.unlink(left, dir_fd=table)


@contextmanager
def folder_inside(path: Path) -> Iterator[int]:
    """A descriptor of a folder in the mix's; neither is a link."""
    with opened_folder(path.parent) as mix, opened_folder(path, mix) as folder:
        yield folder


@contextmanager
def file_inside(path: Path) -> Iterator[int]:
    """A descriptor of a file of the mix, made if it is missing; neither it nor its folder is a
    link.
    """
    with opened_folder(path.parent) as folder:
        handle = open_own(path, os.O_RDWR | os.O_CREAT, folder=folder)
    try:
        yield handle
    finally:
        os.close(handle)


def has_bytes(path: Path, stretches: Iterable[tuple[int, int, str]]) -> bool:
    """Whether a file holds stretches of bytes, [offset, bytes, BLAKE3] each; the last may be cut
    off by the end of the file.
    """
    with path.open("rb") as file:
        return all(
            blake3(os.pread(file.fileno(), count, offset)).hexdigest() == digest
            for offset, count, digest in stretches
        )


def parquet_form(columns: Sequence[str]) -> dict[str, object]:
    """How a table of these columns is written: of what it says, it decides nothing."""
    return {
        "compression": "zstd",
        "row_group_size": BLOCK_ROWS,
        # of other columns a dictionary is larger than they are
        "use_dictionary": [name for name in REPEATED if name in columns],
        "column_encoding": {name: "DELTA_BINARY_PACKED" for name in NUMBERS if name in columns},
    }


def write_table(path: Path, schema: pa.Schema, columns: Columns, folder: int | None = None) -> None:
    """Write a table, or a part of one, that either is there whole or is not there. columns: by
    name, [num_rows] each, digest [num_rows, 16]. folder: as of `write_whole`.
    """
    content = pa.BufferOutputStream()
    pq.write_table(to_arrow(schema, columns), content, **parquet_form(schema.names))
    write_whole(path, memoryview(content.getvalue()), 0o666, folder)


class WrittenSlice(Record):
    """The done-record of a slice: what its bytes hold, as they were read back."""

    slice: int
    index: tuple[tuple[int, int, str], ...] = ()
    """[offset, bytes, BLAKE3] of each stretch of the .idx that it wrote."""
    chunks: tuple[str, ...]
    """BLAKE3 of each chunk of the .bin."""
    eod_tokens: int
    bos_tokens: int
    documents: str
    provenance: str
    """`part_hash` of the tables' parts."""
    files: dict[str, str]
    """BLAKE3 of the files of those parts, by table."""


class SliceRecord(WrittenSlice):
    """That of a slice in which strands were merged."""

    source_tokens: tuple[int, ...]
    """Of each strand."""
    source_documents: tuple[int, ...]
    """Of each strand: documents whose last token lies in the slice, and is EOD."""
    deviation: tuple[Annotated[int, PlainSerializer(str)], ...]
    """`mixtures.stream.order.deviation` of each strand; may be beyond 2^64, so a string in JSON."""


S = TypeVar("S", bound=WrittenSlice)


def slice_record(folder: Path, number: int) -> Path:
    """Done-record of a slice."""
    return folder / "slices" / f"{number:05d}.json"


def read_slices(folder: Path, count: int, kind: type[S]) -> list[S]:
    """Read the records of all slices.

    Raises:
        ManifestError: one is missing or damaged.
    """
    return [
        kind.model_validate(read_record(slice_record(folder, number))) for number in range(count)
    ]


def holds_slice(folder: Path, number: int, layout: Layout) -> bool:
    """Whether a slice is recorded, and its bytes, index entries and table parts are those of the
    record.
    """
    try:
        record = WrittenSlice.model_validate(read_record(slice_record(folder, number)))
        parts = {name: file_hash(part_path(folder, name, number)) for name in TABLES}
    except (ManifestError, OSError):
        return False
    chunk_bytes = layout.chunk_tokens * layout.token_bytes
    begin = number * layout.slice_chunks * chunk_bytes
    chunks = [
        (begin + index * chunk_bytes, chunk_bytes, digest)
        for index, digest in enumerate(record.chunks)
    ]
    return (
        record.slice == number
        and record.files == parts
        and has_bytes(folder / TOKENS, chunks)
        and has_bytes(folder / INDEX, record.index)
    )


class SliceUnit(Unit):
    """A slice of the stream."""

    slice: int


U = TypeVar("U", bound=SliceUnit)


class SlicesPlan(Plan[U], Generic[U]):
    """What writing slices must know."""

    layout: Layout
    total_documents: int
    total_tokens: int
    eod_id: int
    bos_id: int | None


P = TypeVar("P", bound=SlicesPlan[Any])


class SlicesStage(Stage[P, U], Generic[P, U]):
    """Base of the stages whose units write slices of mixes, as parts of files that all slices of a
    mix share.
    """

    in_place = True

    @staticmethod
    @abstractmethod
    def mix(plan: P, unit: U) -> Path:
        """The folder that a unit writes in."""

    @abstractmethod
    def write_slice(self, plan: P, unit: U) -> WrittenSlice:
        """Write the bytes and table parts of a slice. Returns its record."""

    def do(self, plan: P, unit: U) -> None:
        """Write one slice, unless a build that was stopped has, and what it wrote is still
        there.
        """
        mix = self.mix(plan, unit)
        if not holds_slice(mix, unit.slice, plan.layout):
            record = slice_record(mix, unit.slice)
            with named(mix):
                found = self.write_slice(plan, unit).as_json()
                with folder_inside(record.parent) as folder:
                    write_record(record, found, folder)

    @classmethod
    def outputs(cls, plan: P, unit: U) -> list[Path]:
        """The slice's record."""
        return [slice_record(cls.mix(plan, unit), unit.slice)]

    @classmethod
    def is_done(cls, plan: P, unit: U) -> bool:
        """Whether the slice is recorded."""
        return all(record.is_file() for record in cls.outputs(plan, unit))
