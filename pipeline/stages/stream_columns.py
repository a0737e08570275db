"""Columns of the documents of a stream, from where a select stage and the ledgers hold them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mixtures.errors import ManifestError
from mixtures.mix.tables import Columns, Texts
from mixtures.stream.order import Int64s, Placed
from mixtures.stream.selection import Selection
from mixtures.yaml.disk import read_at
from pipeline.stages.eligible import Strand
from pipeline.store.columns import prefix, read_column
from pipeline.store.records import DONE, read_json

READ_BYTES = 1 << 20
"""That are read of a token file at once, and copied while the processor's cache holds them."""
GAP_BYTES = 1 << 16
"""Of what no run has: to read more of it takes longer than to read twice."""


class StreamColumns:
    """The strands of a mix. segments: (folder, segment) of the ledgers, as the column `segment`
    counts them.
    """

    def __init__(
        self,
        selections: Sequence[Selection],
        strands: Sequence[Strand],
        segments: Sequence[tuple[Path, int]],
    ) -> None:
        self.selections, self.strands, self.segments = selections, strands, segments
        self._paths = lru_cache(maxsize=None)(input_paths)

    def of(
        self, number: int, first: int, last: int, names: Sequence[str]
    ) -> dict[str, npt.NDArray[Any]]:
        """Columns of documents first .. last - 1 of a strand, each [num_docs]."""
        selection, strand = self.selections[number], self.strands[number]
        pieces: dict[str, list[npt.NDArray[Any]]] = {name: [] for name in names}
        for run in selection.runs_within(first, last):
            rows = run.rows(first, last)
            for name in names:
                count = rows.stop - rows.start
                pieces[name].append(
                    np.full(count, run.epoch)
                    if name == "epoch"
                    else strand.column(name, run.partition)[rows]
                )
        return {name: np.concatenate(values) for name, values in pieces.items()}

    def table(self, starting: Placed) -> Columns:
        """Columns of documents.parquet and provenance.parquet of some documents of the stream, each
        [num_docs] (digest: uint8 [num_docs, 16]).
        """
        documents = len(starting.source)
        files, paths = np.zeros(documents, np.int32), InputPaths(self._paths)
        columns: Columns = {
            "position": starting.first_position + np.arange(documents, dtype=np.uint64),
            "first_token": starting.first_token.astype(np.uint64),
            "num_tokens": starting.num_tokens.astype(np.uint32),
            "source": Texts(
                [selection.source for selection in self.selections],
                starting.source.astype(np.int32),
            ),
            "digest": np.empty((documents, 16), np.uint8),
            "epoch": np.zeros(documents, np.uint16),
            "copy": np.zeros(documents, np.uint16),
            "cut": np.zeros(documents, np.bool_),
            "row": np.zeros(documents, np.uint64),
        }
        for number, selection in enumerate(self.selections):
            mine = np.flatnonzero(starting.source == number)
            if not len(mine):
                continue
            indexes = starting.document[mine]
            found = self.of(
                number,
                int(indexes[0]),
                int(indexes[-1]) + 1,
                ("digest", "epoch", "segment", "ledger_row"),
            )
            columns["digest"][mine] = found["digest"].astype(">u8").view(np.uint8).reshape(-1, 16)
            columns["epoch"][mine], columns["copy"][mine] = found["epoch"], selection.copy
            if selection.cut:
                columns["cut"][mine] = indexes == selection.cut.document
            files[mine], columns["row"][mine] = origins(
                self.segments, found["segment"], found["ledger_row"], paths
            )
        return {**columns, "file": Texts(paths.names, files)}


def origins(
    segments: Sequence[tuple[Path, int]],
    segment: npt.NDArray[Any],
    ledger_row: npt.NDArray[Any],
    paths: InputPaths,
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.uint64]]:
    """File (its number among `paths`) and row of documents; all [num_docs].

    Args:
        segments: (folder, segment) of the ledgers. segment, ledger_row: integers [num_docs], of
            each document its segment among them, and its row there.
    """
    files, file_rows = np.empty(len(segment), np.int32), np.empty(len(segment), np.uint64)
    for group in _alike(segment):
        folder, number = segments[int(segment[group[0]])]
        first, rows = paths.first_of(folder), ledger_row[group]
        files[group] = first + read_column(folder, "file", prefix(number))[rows]
        file_rows[group] = read_column(folder, "row", prefix(number))[rows]
    return files, file_rows


def _alike(numbers: npt.NDArray[Any]) -> list[npt.NDArray[np.intp]]:
    """The rows of each number, in their order. numbers: unsigned integers [num_rows]."""
    if not len(numbers):
        return []
    rows = _by_number(numbers)
    return np.split(rows, np.flatnonzero(np.diff(numbers[rows])) + 1)


def _by_number(numbers: npt.NDArray[Any]) -> npt.NDArray[np.intp]:
    """All rows, those of one number in their order. numbers: unsigned integers [num_rows]."""
    # one or two bytes are sorted by their digits, more by comparing them, which takes longer
    short = numbers.astype(np.min_scalar_type(numbers.max(initial=0)))
    return np.argsort(short, kind="stable")


class InputPaths:
    """Paths of the input files of some ledgers, one ledger after the other."""

    def __init__(self, paths_of: Callable[[Path], npt.NDArray[Any]]) -> None:
        self.names: list[str] = []
        self._paths_of = paths_of
        self._first: dict[Path, int] = {}

    def first_of(self, ledger: Path) -> int:
        """The number of a ledger's first file."""
        if ledger not in self._first:
            self._first[ledger] = len(self.names)
            self.names += self._paths_of(ledger).tolist()
        return self._first[ledger]


def input_paths(ledger: Path) -> npt.NDArray[Any]:
    """Paths of a ledger's input files, str [num_files], as its `file` column counts them."""
    return np.array([file["path"] for file in read_json(ledger / DONE)["inputs"]], object)


def copy_runs(
    tokens: npt.NDArray[Any],
    paths: Sequence[Path],
    files: npt.NDArray[Any],
    origin: Int64s,
    to: tuple[Int64s, Int64s],
) -> None:
    """Fill in runs of tokens from the store's files.

    Args:
        tokens: the stream's dtype [num_tokens], a stretch of the stream. paths: token files.
        files, origin: integer [num_docs], a run's file among them, and its first token there.
        to: int64 [num_docs] twice, where in `tokens` it goes, and ends.
    """
    begin, end = to
    size, into = tokens.itemsize, tokens.data.cast("B")
    rows = _by_number(files)
    file, first = files[rows], origin[rows] * size
    low, high = begin[rows] * size, end[rows] * size
    last = first + high - low
    # lists and views, since numbers and slices of arrays cost more than most documents
    file_of, first_of, last_of = file.tolist(), first.tolist(), last.tolist()
    places = list(zip(low.tolist(), high.tolist(), strict=True))
    together = _read_together(file, first, last)
    # a stretch may have few documents of many files: to make objects of these costs more than both
    for number, pieces in groupby(together, lambda piece: file_of[piece.start]):
        handle = os.open(paths[number], os.O_RDONLY | os.O_CLOEXEC)
        try:
            for piece in pieces:
                start = first_of[piece.start]
                held = memoryview(bytearray(last_of[piece.stop - 1] - start))
                if read_at(handle, start, held) < len(held):
                    raise ManifestError(f"{paths[number]}: ends before byte {start + len(held):,}")
                for at, (begun, ended) in zip(first_of[piece], places[piece], strict=True):
                    into[begun:ended] = held[at - start : at - start + ended - begun]
        finally:
            os.close(handle)


def _read_together(file: npt.NDArray[Any], first: Int64s, last: Int64s) -> Iterator[slice]:
    """Runs that lie together in one file, in their order, and are READ_BYTES at most unless it is
    one. file, first, last: integer [num_runs], each run's file, and where it begins and ends there,
    in bytes.
    """
    behind = last[:-1]
    apart = (np.diff(file) != 0) | (first[1:] < behind) | (first[1:] - behind > GAP_BYTES)
    for at, stop in pairwise([0, *(np.flatnonzero(apart) + 1).tolist(), len(first)]):
        while stop - at > 1 and last[stop - 1] - first[at] > READ_BYTES:
            full = int(np.searchsorted(last[at:stop], first[at] + READ_BYTES, "right"))
            yield slice(at, at + max(full, 1))
            at += max(full, 1)
        if at < stop:
            yield slice(at, stop)
