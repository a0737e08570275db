"""Write: the stream, slice by slice, into one .bin.

A slice is a fixed stretch of the stream (8 chunks of 64 MiB unless the plan says otherwise). Each
finds its documents from the selection alone, gathers their tokens from the store, writes its bytes
of tokens.bin and tokens.idx in place and its own part of the tables, and hashes what it reads back.
Slices share nothing, so their number at a time is free.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, astuple
from functools import lru_cache, partial
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
import numpy.typing as npt
from blake3 import blake3
from pydantic import PlainSerializer, PlainValidator

from mixtures.errors import AnnealmixError
from mixtures.mix import indexed
from mixtures.mix.files import INDEX, TOKENS, part_path
from mixtures.mix.tables import TABLES, part_hash
from mixtures.stream.order import Int64s, Placed, SourceOrder, deviation, place
from mixtures.stream.selection import Cut, Run, Selection
from mixtures.yaml.disk import read_at, write_at
from pipeline.stages.eligible import Strand, read_eligible
from pipeline.stages.gathering import ledger_segments, token_files
from pipeline.stages.mix_folder import (
    SliceRecord,
    SlicesPlan,
    SlicesStage,
    SliceUnit,
    file_inside,
    folder_inside,
    write_table,
)
from pipeline.stages.select import Select
from pipeline.stages.select_plan import SelectPlan, inputs_of
from pipeline.stages.stream_columns import StreamColumns, copy_runs
from pipeline.store.records import file_hash

WRITE_FORMAT = 4
CHUNK_BYTES = 64 << 20
SLICE_CHUNKS = 8
BLOCK_BYTES = 1 << 18
"""That a processor's own cache holds."""
MAPPED_PARTITIONS = 32
"""Key partitions of strands that are mapped at a time, up to 3 descriptors each: a process may have
some 256 on small systems, and merges strand after strand.
"""


def _selection_json(selection: Selection) -> dict[str, object]:
    """A selection as a plan holds it."""
    return {
        **asdict(selection),
        "cut": astuple(selection.cut) if selection.cut else None,
        "runs": [list(astuple(run)) for run in selection.runs],
    }


def _selection(value: Selection | Mapping[str, Any]) -> Selection:
    if isinstance(value, Selection):
        return value
    cut = Cut(*value["cut"]) if value["cut"] else None
    return Selection(**{**value, "cut": cut, "runs": tuple(Run(*run) for run in value["runs"])})


class WritePlan(SlicesPlan[SliceUnit]):
    """What writing a mix must know."""

    folder: Path = Path()
    """That the mix is written in; set when all else is known."""
    select: SelectPlan
    """Of the stage that is written from."""
    selections: tuple[
        Annotated[Selection, PlainValidator(_selection), PlainSerializer(_selection_json)], ...
    ]
    """Of each strand."""
    format: int

    def decisive(self) -> dict[str, object]:
        """What of it decides the bytes (`ColumnRange.decisive`)."""
        return {**self.as_json("folder", "units", "select"), "select": self.select.decisive()}


class Write(SlicesStage[WritePlan, SliceUnit]):
    """Writes slices of the stream."""

    name = "write"
    plan_type = WritePlan

    def prepare(self, plan: WritePlan) -> None:
        """Open the selection."""
        self._mix = _Mix(plan)

    def upstream(self, plan: WritePlan) -> dict[Path, str]:
        """What was selected, and what that was selected from."""
        selected = [
            folder for unit in plan.select.all_units for folder in Select.outputs(plan.select, unit)
        ]
        return {**inputs_of(plan.select), **dict.fromkeys(selected, "")}

    @staticmethod
    def mix(plan: WritePlan, unit: SliceUnit) -> Path:
        """That of all units."""
        return plan.folder

    def write_slice(self, plan: WritePlan, unit: SliceUnit) -> SliceRecord:
        """Write the bytes, index entries and table parts of a slice. Returns its record."""
        return self._mix.write_slice(unit.slice)

    @staticmethod
    def describe(unit: SliceUnit) -> str:
        """The slice."""
        return f"slice {unit.slice}"


class _Written(NamedTuple):
    """What a chunk holds, as it was read back. hash: BLAKE3, hex."""

    hash: str
    eod_tokens: int
    bos_tokens: int


class _Mix:
    """What a slice needs to know of the whole mix."""

    def __init__(self, plan: WritePlan) -> None:
        self.folder, self.layout = plan.folder, plan.layout
        self.eod_id, self.bos_id = plan.eod_id, plan.bos_id
        self.total_documents, self.total_tokens = plan.total_documents, plan.total_tokens
        # one for all chunks: to get fresh memory costs more than to fill it
        self._chunk = np.empty(min(self.layout.chunk_tokens, self.total_tokens), self.layout.dtype)
        self.selections = plan.selections
        self.names = [selection.source for selection in self.selections]
        eligible = read_eligible(plan.select, self.names)
        self.strands: list[Strand] = [
            eligible[selection.source].strand(selection.copy) for selection in self.selections
        ]
        # a merge asks for the same mapping document by document; a mapping holds a descriptor
        lengths = lru_cache(MAPPED_PARTITIONS)(
            lambda number, partition: self.strands[number].lengths(partition)
        )
        self.orders = [
            SourceOrder(selection, partial(lengths, number))
            for number, selection in enumerate(self.selections)
        ]
        self.shares = [selection.tokens for selection in self.selections]
        self.token_files = token_files(plan.select.sources)
        self.columns = StreamColumns(
            self.selections, self.strands, ledger_segments(plan.select.sources)
        )

    def write_slice(self, number: int) -> SliceRecord:
        """Write the bytes, index entries and table parts of a slice. Returns its record."""
        begin = number * self.layout.slice_tokens
        end = min(begin + self.layout.slice_tokens, self.total_tokens)
        placed = place(self.orders, begin, end)
        source_tokens, source_documents = np.zeros((2, len(self.names)), np.int64)
        chunks, num_eod, num_bos = [], 0, 0
        with file_inside(self.folder / TOKENS) as handle:
            for low in range(begin, end, self.layout.chunk_tokens):
                high = min(low + self.layout.chunk_tokens, end)
                tokens = self._gather(placed, low, high, source_tokens)
                chunk = self._write_chunk(handle, low, tokens)
                chunks.append(chunk.hash)
                num_eod, num_bos = num_eod + chunk.eod_tokens, num_bos + chunk.bos_tokens
                source_documents += self._documents_ending(placed, tokens, low)
            os.fsync(handle)
        starting = _starting_in(placed, begin)
        index = self._write_index(starting)
        hashes, files = self._write_tables(number, starting)
        strays = deviation(starting.before, starting.source, starting.num_tokens, self.shares)
        return SliceRecord(
            slice=number,
            index=tuple(index),
            chunks=tuple(chunks),
            eod_tokens=num_eod,
            bos_tokens=num_bos,
            source_tokens=tuple(source_tokens.tolist()),
            source_documents=tuple(source_documents.tolist()),
            deviation=tuple(strays),
            files=files,
            **hashes,
        )

    def _write_chunk(self, handle: int, low: int, tokens: npt.NDArray[Any]) -> _Written:
        """Write a chunk at its place, token `low` of the stream. tokens: the stream's dtype
        [num_tokens].

        A block is written, hashed, read back, compared and counted while the processor's cache
        holds it. What comes back is what readers of this file system now see at that place; what
        the disk keeps only `audit` can say, which hashes it again.
        """
        hasher, num_eod, num_bos = blake3(), 0, 0
        for at in range(0, len(tokens), BLOCK_BYTES // self.layout.token_bytes):
            block = tokens[at : at + BLOCK_BYTES // self.layout.token_bytes]
            content, offset = block.data.cast("B"), (low + at) * self.layout.token_bytes
            write_at(handle, offset, content)
            hasher.update(content)
            back = bytearray(len(content))
            # of bytes, which are compared ten times as fast as views
            if read_at(handle, offset, memoryview(back)) < len(back) or back != bytes(content):
                raise AnnealmixError(
                    f"{self.folder / TOKENS}: tokens {low + at:,} to {low + at + len(block):,} read"
                    " back are not those that were written"
                )
            num_eod += int(np.count_nonzero(block == self.eod_id))
            if self.bos_id is not None:
                num_bos += int(np.count_nonzero(block == self.bos_id))
        return _Written(hasher.hexdigest(), num_eod, num_bos)

    def _documents_ending(self, placed: Placed, tokens: npt.NDArray[Any], low: int) -> Int64s:
        """Documents of each source whose last token is EOD, and in a stretch of the stream: int64
        [num_sources]. tokens: of the stretch, from token `low` on, the stream's dtype [num_tokens].
        """
        last = placed.first_token + placed.num_tokens - 1 - low
        here = np.flatnonzero((last >= 0) & (last < len(tokens)))
        whole = here[tokens[last[here]] == self.eod_id]
        return np.bincount(placed.source[whole], minlength=len(self.names))

    def _gather(
        self, placed: Placed, low: int, high: int, source_tokens: Int64s
    ) -> npt.NDArray[Any]:
        """Tokens low .. high - 1 of the stream, its dtype [num_tokens], valid until the next call.
        Adds to source_tokens (int64 [num_sources]) what each source gave.
        """
        tokens = self._chunk[: high - low]
        first = np.searchsorted(placed.first_token, low, "right") - 1
        last = np.searchsorted(placed.first_token, high)
        for number, selection in enumerate(self.selections):
            mine = np.flatnonzero(placed.source[first:last] == number) + first
            if not len(mine):
                continue
            starts, counts = placed.first_token[mine], placed.num_tokens[mine]
            begin, end = np.maximum(starts, low), np.minimum(starts + counts, high)
            columns = self.columns.of(
                number,
                int(placed.document[mine[0]]),
                int(placed.document[mine[-1]]) + 1,
                ("token_file", "offset"),
            )
            origin = columns["offset"].astype(np.int64) + (begin - starts)
            copy_runs(
                tokens,
                self.token_files,
                columns["token_file"],
                origin,
                (begin - low, end - low),
            )
            if selection.cut:
                cut = placed.document[mine] == selection.cut.document
                ends = end[cut & (end == starts + counts)]
                tokens[ends - low - 1] = self.eod_id
            source_tokens[number] += int((end - begin).sum())
        return tokens

    def _write_index(self, starting: Placed) -> list[tuple[int, int, str]]:
        """Write a slice's entries of the .idx. Returns [offset, bytes, BLAKE3] of each stretch."""
        if not len(starting.source):
            return []
        pieces = indexed.pieces(
            self.total_documents,
            starting.first_position,
            int(starting.first_token[0]),
            starting.num_tokens,
            self.layout.token_bytes,
        )
        with file_inside(self.folder / INDEX) as handle:
            for offset, content in pieces:
                write_at(handle, offset, memoryview(content))
            os.fsync(handle)
        return [(offset, len(content), blake3(content).hexdigest()) for offset, content in pieces]

    def _write_tables(self, number: int, starting: Placed) -> tuple[dict[str, str], dict[str, str]]:
        """Write a slice's parts of documents.parquet and provenance.parquet. Returns the hashes of
        what they say, and of the files, by table.
        """
        columns = self.columns.table(starting)
        hashes, files = {}, {}
        for name, schema in TABLES.items():
            path = part_path(self.folder, name, number)
            with folder_inside(path.parent) as folder:
                write_table(path, schema, columns, folder)
            hashes[name] = part_hash(schema, columns)
            files[name] = file_hash(path)
        return hashes, files


def _starting_in(placed: Placed, begin: int) -> Placed:
    """The documents of a slice: all that touch it but one that began before."""
    if not len(placed.source) or placed.first_token[0] >= begin:
        return placed
    before = placed.before.copy()
    before[placed.source[0]] += placed.num_tokens[0]
    return Placed(
        placed.first_position + 1,
        placed.source[1:],
        placed.document[1:],
        placed.first_token[1:],
        placed.num_tokens[1:],
        before,
    )
