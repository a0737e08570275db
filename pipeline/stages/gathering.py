"""What a select stage reads of the store: columns of documents of some sources in a stretch of
keys, joined over all segments. Memory: some 40 bytes a document, and what is asked for.

The columns `segment` and `token_file` count the plan's ledger segments and token files, as
`ledger_segments` and `token_files` list them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mixtures.errors import ManifestError
from mixtures.keys import KeyRange
from pipeline.inputs.build_source import SelectedSegment, SelectedSource
from pipeline.store.columns import DTYPES, PAIRS, prefix, read_column
from pipeline.store.store import ColumnRange

Places = npt.NDArray[np.intp]


def token_files(sources: Sequence[SelectedSource]) -> list[Path]:
    """All token files that a plan may read, in the order that the column `token_file` counts."""
    return [
        tokens.folder / f"{prefix(segment.segment)}tokens"
        for source in sources
        for segment in source.segments
        for tokens in segment.tokens
    ]


def ledger_segments(sources: Sequence[SelectedSource]) -> list[tuple[Path, int]]:
    """All ledger segments of a plan, (folder, segment), in the order that the column `segment`
    counts.
    """
    return [(segment.ledger, segment.segment) for source in sources for segment in source.segments]


class Gathered:
    """All documents of some sources in a key partition and in their source's key range, in the
    order of (order key, digest, source, file, row).

    Their keys alone are read and held. Another column is read when it is asked for, of those
    documents alone: of most of an excluded recipe's it never is.

    order_key: uint64 [num_docs], ascending. source: uint16 [num_docs], their numbers.
    """

    def __init__(
        self,
        sources: Sequence[SelectedSource],
        keys: KeyRange,
        domain: set[int],
        counts: Sequence[str],
    ) -> None:
        """domain: numbers of the sources. counts: columns that annotators wrote."""
        self._pieces: list[_Piece] = []
        held = [np.empty(0, np.uint64)]
        for piece, order_key in _pieces(sources, keys, domain, counts):
            self._pieces.append(piece)
            held.append(order_key)
        sizes = [len(order_key) for order_key in held[1:]]
        unsorted = np.concatenate(held)
        held.clear()
        # not stable, which is faster: all that share a key are put in order below
        order = np.argsort(unsorted)
        self.order_key = unsorted[order]
        del unsorted
        numbers = np.arange(len(sizes), dtype=np.min_scalar_type(len(sizes)))
        self._piece = np.repeat(numbers, sizes)[order]
        self._row = order
        self._row -= np.cumsum([0, *sizes])[self._piece]
        self._sources = np.array([piece.source for piece in self._pieces], np.uint16)
        self._order_ties()
        self.source = self._sources[self._piece]

    def __len__(self) -> int:
        return len(self.order_key)

    def _order_ties(self) -> None:
        same = self.order_key[1:] == self.order_key[:-1]
        if not same.any():
            return
        tied = np.flatnonzero(np.append(False, same) | np.append(same, False))
        taken, source = self.take(tied), self._sources[self._piece[tied]]
        digest, keys = taken.digests(), self.order_key[tied]
        ties = [taken.column("row"), taken.column("file_rank"), source, digest[:, 1], digest[:, 0]]
        order = tied[np.lexsort([*ties, keys])]
        self._piece[tied], self._row[tied] = self._piece[order], self._row[order]

    def take(self, documents: Places) -> Taken:
        """Some documents, by their places: [num_taken]."""
        return Taken(self._pieces, self._piece[documents], self._row[documents])


class Taken:
    """Some of what was gathered."""

    def __init__(
        self, pieces: Sequence[_Piece], piece: npt.NDArray[np.integer[Any]], row: Places
    ) -> None:
        """piece, row: integers [num_taken], of each document the piece, and its row in it."""
        self._pieces, self._piece, self._row = pieces, piece, row
        by_piece = np.argsort(piece, kind="stable")
        edges = np.searchsorted(piece[by_piece], np.arange(len(pieces) + 1))
        self._parts = [
            (pieces[number], by_piece[low:high])
            for number, (low, high) in enumerate(pairwise(edges.tolist()))
            if low < high
        ]

    def __len__(self) -> int:
        return len(self._row)

    def where(self, chosen: npt.NDArray[np.bool_]) -> Taken:
        """Some of these. chosen: bool [num_taken]."""
        return self if chosen.all() else Taken(self._pieces, self._piece[chosen], self._row[chosen])

    def column(self, name: str) -> npt.NDArray[Any]:
        """A column, [num_taken], dtype as `DTYPES`; or uint32 `file_rank`, the place of the
        document's file among its source's, or `count0`, .., what annotators wrote.
        """
        shape = (len(self), 2) if name in PAIRS else len(self)
        values: npt.NDArray[Any] = np.empty(shape, DTYPES.get(name, "<u4"))
        for piece, documents in self._parts:
            values[documents] = piece.column(name, self._row[documents])
        return values

    @cached_property
    def num_tokens(self) -> npt.NDArray[np.uint32]:
        """Their lengths, which are asked for again and again: uint32 [num_taken]."""
        return self.column("num_tokens")

    def digests(self) -> npt.NDArray[np.uint64]:
        """The digests as numbers: uint64 [num_taken, 2]."""
        return self.column("digest").astype(np.uint64)


@dataclass(frozen=True)
class _Beside:
    """A folder beside a ledger, for a piece of it: it has rows `first` .. `last` - 1 of the piece,
    the first of them as its row `there`.
    """

    folder: Path
    first: int
    last: int
    there: int

    @classmethod
    def of(cls, item: ColumnRange, ledger_keys: npt.NDArray[np.uint64], keys: KeyRange) -> _Beside:
        """ledger_keys: uint64 [num_docs], ascending; keys: of the piece."""
        here, there = common_rows(ledger_keys, keys, item.keys)
        return cls(item.folder, here.start, here.stop, there.start)


@dataclass(frozen=True)
class _Piece:
    """One segment's documents in a key range. first: row of the first in the ledger.

    number, token_file: of the segment, and of its first token file, among the plan's. tokens,
    counts: folders that have their columns, counts with the column's name.
    """

    source: int
    segment: SelectedSegment
    first: int
    number: int
    token_file: int
    tokens: list[_Beside]
    counts: list[tuple[str, list[_Beside]]]

    def column(self, name: str, rows: Places) -> npt.NDArray[Any] | int:
        """As `Taken.column`, of some rows of the piece, [num_taken]; one number if it is that of
        all.

        Nothing stays mapped: that would hold a descriptor, and there may be more segments than
        those.
        """
        head, ledger = prefix(self.segment.segment), self.segment.ledger
        if name == "segment":
            return self.number
        if name == "ledger_row":
            return rows + self.first
        if name == "file_rank":
            ranks: npt.NDArray[Any] = np.asarray(self.segment.file_ranks, np.uint32)
            ranks = ranks[read_column(ledger, "file", head)[rows + self.first]]
            return ranks
        if name in ("num_tokens", "offset", "token_file"):
            return self._beside(name, self.tokens, rows)
        if name.startswith("count"):
            return self._beside(*self.counts[int(name.removeprefix("count"))], rows)
        values: npt.NDArray[Any] = read_column(ledger, name, head)[rows + self.first]
        return values

    def _beside(self, name: str, folders: Sequence[_Beside], rows: Places) -> npt.NDArray[Any]:
        """A column of folders beside the ledger, [num_taken]; 0 where none has a row. rows:
        [num_taken].
        """
        values = np.zeros(len(rows), DTYPES[name])
        for index, item in enumerate(folders):
            inside = (rows >= item.first) & (rows < item.last)
            if name == "token_file":
                values[inside] = self.token_file + index
            elif inside.any():
                column = read_column(item.folder, name, prefix(self.segment.segment))
                values[inside] = column[rows[inside] - item.first + item.there]
        return values


def _pieces(
    sources: Sequence[SelectedSource],
    partition: KeyRange,
    domain: set[int],
    counts: Sequence[str],
) -> Iterator[tuple[_Piece, npt.NDArray[np.uint64]]]:
    """The pieces, source by source, and the order keys of each: uint64 [num_docs].

    Copies: what is mapped holds a descriptor, and there may be more segments than those.
    """
    segments = token_file = 0
    for number, source in enumerate(sources):
        keys = source.keys.common(partition)
        for segment in source.segments:
            if number in domain and keys.width > 0:
                ledger_keys = read_column(segment.ledger, "order_key", prefix(segment.segment))
                rows = keys.rows(ledger_keys)
                _refuse_uncounted(segment, keys.common(KeyRange(0, source.ceiling)), counts)
                beside = partial(_Beside.of, ledger_keys=ledger_keys, keys=keys)
                noted = zip(counts, segment.counts or [()] * len(counts), strict=True)
                yield (
                    _Piece(
                        source=number,
                        segment=segment,
                        first=rows.start,
                        number=segments,
                        token_file=token_file,
                        tokens=[*map(beside, segment.tokens)],
                        counts=[(name, [*map(beside, items)]) for name, items in noted],
                    ),
                    np.array(ledger_keys[rows]),
                )
            segments += 1
            token_file += len(segment.tokens)


def _refuse_uncounted(segment: SelectedSegment, judged: KeyRange, counts: Sequence[str]) -> None:
    """Where something judges a segment, all of `judged` must be counted.

    Raises:
        ManifestError: it is not.
    """
    for name, counted in zip(counts, segment.counts, strict=False):
        if judged.minus(item.keys for item in counted):
            raise ManifestError(
                f"{segment.ledger}: documents that are to be judged have no {name}; delete its"
                " group and build again"
            )


def common_rows(
    ledger_keys: npt.NDArray[np.uint64], keys: KeyRange, stored: KeyRange
) -> tuple[slice, slice]:
    """Rows that a folder of the key range `stored` gives to those of `keys`: counted from the first
    of `keys`, and of the folder. ledger_keys: uint64 [num_docs], ascending.
    """
    rows, there = keys.rows(ledger_keys), stored.rows(ledger_keys)
    begin = max(rows.start, there.start)
    end = max(min(rows.stop, there.stop), begin)
    return (
        slice(begin - rows.start, end - rows.start),
        slice(begin - there.start, end - there.start),
    )
