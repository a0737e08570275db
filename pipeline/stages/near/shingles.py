"""The second reading of a search that verifies: shingle sets of the documents that some edge leads
to.

    candidates     of each segment, its documents at the end of an edge (SSSS.document,
                   SSSS.ledger_row)
    shingles       of each group that holds some: document (ascending), first_shingle, num_shingles,
                   shingle

Each distinct shingle of a candidate takes 8 bytes of disk. The texts must be those that were
ingested: a file whose content has changed since fails the build.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from mixtures.errors import InputError, ManifestError
from mixtures.keys import text_digest
from mixtures.recipe.source_definition import SourceDefinition
from mixtures.rules.near import NearRule
from pipeline.inputs.file import InputFile
from pipeline.inputs.quality.quality import QualitySteps
from pipeline.inputs.readers import DocumentReader
from pipeline.judges.annotators.bands import shingle_sets
from pipeline.stages.near.competing import U64
from pipeline.stages.near.edges import Edges
from pipeline.stages.near.spill import DocumentsRecord, read_published
from pipeline.store.columns import DTYPES, prefix, read_column, write_column
from pipeline.store.records import FolderWriter, read_done
from pipeline.store.store import LedgerRecord

BATCH_CHARS = 4 << 20


class CandidatesRecord(DocumentsRecord):
    """The done-record of the candidates."""

    segments: list[int]
    """Numbers in the plan of the segments that hold some."""


def write_candidates(folder: Path, edges: Iterable[Edges], documents: Sequence[Path]) -> None:
    """Publish the documents at the ends of edges by the segment that holds them. Memory: a byte a
    document, 32 a candidate.

    Args:
        documents: folders of the competing documents, in their order.
    """
    counts = [DocumentsRecord.read(path).documents for path in documents]
    marks = np.zeros(sum(counts), np.bool_)
    for ends in edges:
        for column in ends:
            marks[column.astype(np.int64)] = True
    first, segments, rows, numbers = 0, [], [], []
    for path, count in zip(documents, counts, strict=True):
        chosen = np.flatnonzero(marks[first : first + count])
        segment, row = read_published(path, ("segment", "ledger_row"))
        segments.append(segment[chosen])
        rows.append(row[chosen])
        numbers.append(chosen.astype(np.uint64) + np.uint64(first))
        first += count
    segment, row, number = (
        np.concatenate(parts) if parts else np.empty(0, np.uint64)
        for parts in (segments, rows, numbers)
    )
    order = np.argsort(segment, kind="stable")
    found, starts = np.unique(segment[order], return_index=True)
    bounds = [*starts.tolist(), len(order)]
    with FolderWriter(folder) as writer:
        for index, at, end in zip(found.tolist(), bounds[:-1], bounds[1:], strict=True):
            write_column(writer.path, "document", number[order[at:end]], prefix(index))
            write_column(writer.path, "ledger_row", row[order[at:end]], prefix(index))
        record = CandidatesRecord(segments=found.tolist(), documents=len(order))
        writer.publish(record.as_json())


class ShingleWriter:
    """One group's candidates, found again in its files.

    Args:
        segments: [(number of the segment in the plan, in the group)]. ledger: of the group.
    """

    def __init__(
        self, candidates: Path, ledger: Path, segments: Sequence[Sequence[int]], rule: NearRule
    ) -> None:
        self._ledger, self._rule = ledger, rule
        self._wanted: dict[
            tuple[int, int], tuple[int, bytes]
        ] = {}  # (file, row): (document, digest)
        for number, segment in segments:
            document, ledger_row = read_published(
                candidates, ("document", "ledger_row"), prefix(number)
            )
            columns = [
                read_column(ledger, name, prefix(segment))[ledger_row]
                for name in ("file", "row", "digest")
            ]
            digests = np.ascontiguousarray(columns[2]).astype(">u8").tobytes()
            for at, (file, row, one) in enumerate(
                zip(columns[0].tolist(), columns[1].tolist(), document.tolist(), strict=True)
            ):
                self._wanted[file, row] = one, digests[16 * at : 16 * at + 16]
        self._documents: list[int] = []
        self._sizes: list[int] = []
        self._texts: list[str] = []

    def write(
        self,
        folder: Path,
        files: Sequence[InputFile],
        definition: SourceDefinition,
        quality: QualitySteps | None,
    ) -> None:
        """Read the files again and publish the shingle sets.

        Raises:
            InputError: a document is not what was ingested.
        """
        inputs = LedgerRecord.read(self._ledger).inputs
        wanted_files = {file for file, _ in self._wanted}
        with FolderWriter(folder) as writer:
            with (writer.path / "shingle").open("wb") as stream:
                for index, file in enumerate(files):
                    if index in wanted_files:
                        self._read(stream, index, file, definition, quality)
            if len(self._documents) != len(self._wanted):
                raise InputError(
                    f"{self._ledger}: documents of {inputs[0]['url']} and others are no longer"
                    f" there; {_RESTORE}"
                )
            document, sizes = np.array(self._documents, np.uint64), np.array(self._sizes, np.uint64)
            order = np.argsort(document)
            for name, values in (
                ("document", document),
                ("first_shingle", np.cumsum(sizes) - sizes),
                ("num_shingles", sizes),
            ):
                write_column(writer.path, name, values[order])
            writer.publish(DocumentsRecord(documents=len(document)).as_json())

    def _read(
        self,
        stream: BinaryIO,
        index: int,
        file: InputFile,
        definition: SourceDefinition,
        quality: QualitySteps | None,
    ) -> None:
        pending = 0
        for row, text in DocumentReader(file, definition, quality=quality):
            known = self._wanted.get((index, row))
            if known is None:
                continue
            if text_digest(text) != known[1]:
                raise InputError(
                    f"{file.url}: row {row:,} is not the document that was ingested; {_RESTORE}"
                )
            self._documents.append(known[0])
            self._texts.append(text)
            pending += len(text)
            if pending >= BATCH_CHARS:
                self._flush(stream)
                pending = 0
        self._flush(stream)

    def _flush(self, stream: BinaryIO) -> None:
        for shingles in shingle_sets(self._texts, self._rule):
            stream.write(shingles.astype(DTYPES["shingle"]).tobytes())
            self._sizes.append(len(shingles))
        self._texts = []


_RESTORE = "restore the files, or delete the group of the store"


def read_shingles(folders: Sequence[Path], found: Edges) -> dict[int, U64]:
    """The shingle sets of the documents at the ends of edges, memory-mapped.

    Raises:
        ManifestError: a folder is missing or truncated, or a document's set is in none.
    """
    wanted: npt.NDArray[Any] = np.unique(np.concatenate(found))
    sets: dict[int, U64] = {}
    for folder in folders:
        read_done(folder)
        document, first, count, shingle = (
            read_column(folder, name)
            for name in ("document", "first_shingle", "num_shingles", "shingle")
        )
        here = np.flatnonzero(np.isin(document, wanted, assume_unique=True))
        for at in here.tolist():
            begin = int(first[at])
            sets[int(document[at])] = shingle[begin : begin + int(count[at])]
    if len(sets) != len(wanted):
        raise ManifestError(
            f"{folders}: {len(wanted) - len(sets):,} documents have no shingles; delete these"
            " folders and build again"
        )
    return sets
