"""The donors of a source: the documents beyond its quota that no filter of the study removes, in
key order.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mixtures.keys import KeyRange, order_keys
from mixtures.stream.placebo import add_lengths
from pipeline.stages.eligible import Choice, last_key, read_kept

Int64s = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Donors:
    """Documents of a source by (tokens, order key); arrays [num_donors]."""

    num_tokens: Int64s
    digest: npt.NDArray[np.uint64]
    """[num_donors, 2]"""
    token_file: Int64s
    """As `pipeline.stages.gathering.token_files` counts them."""
    offset: Int64s
    """Tokens of that file before it."""
    segment: Int64s
    """As `pipeline.stages.gathering.ledger_segments` counts them."""
    ledger_row: Int64s

    def index(self, length: Int64s, rank: Int64s) -> Int64s:
        """Where those of some lengths and ranks stand; all int64 [num_pieces]."""
        return np.searchsorted(self.num_tokens, length) + rank


class Pool:
    """What a source could give.

    Args:
        choice: what the base takes of it. keys: of the source, as far as donors go.

    Attributes:
        keys: of its donors.
    """

    def __init__(self, choice: Choice, keys: KeyRange) -> None:
        self._choice, self._below = choice, keys.high
        last = last_key(choice)
        self.keys = KeyRange(max(keys.low, last + 1) if last else keys.low, keys.high)

    def lengths(self) -> dict[int, int]:
        """How many donors there are of each length."""
        counts: dict[int, int] = {}
        for partition, rows in self._stretches():
            add_lengths(counts, self._column("num_tokens", partition, rows))
        return counts

    def first(self, used: Mapping[int, int]) -> Donors:
        """The first donors of each length. used: how many of each, as far as there are."""
        lengths = np.array(sorted(used), np.int64)
        left = np.array([used[length] for length in lengths.tolist()], np.int64)
        found: list[list[npt.NDArray[np.integer]]] = []
        for partition, rows in self._stretches():
            num_tokens = self._column("num_tokens", partition, rows)
            at = np.minimum(np.searchsorted(lengths, num_tokens), max(len(lengths) - 1, 0))
            wanted = np.flatnonzero(lengths[at] == num_tokens) if len(lengths) else at[:0]
            by_length = wanted[np.argsort(at[wanted], kind="stable")]
            ordered = at[by_length]
            rank = np.arange(len(ordered)) - np.searchsorted(ordered, ordered)
            taken = by_length[rank < left[ordered]]
            np.subtract.at(left, at[taken], 1)
            names = ("digest", "token_file", "offset", "segment", "ledger_row")
            found.append(
                [num_tokens[taken], *(self._column(one, partition, rows)[taken] for one in names)]
            )
        columns = [np.concatenate(column) for column in zip(*found, strict=True)]
        order = np.argsort(columns[0], kind="stable")  # partitions follow each other in key order
        num_tokens, digest, *places = (column[order] for column in columns)
        return Donors(
            num_tokens.astype(np.int64),
            digest.astype(np.uint64),
            *(place.astype(np.int64) for place in places),
        )

    def _stretches(self) -> Iterator[tuple[int, slice]]:
        """Of each partition, the rows that may be donors."""
        partitions = len(self._choice.eligible.tables)
        taken = {run.partition: run.documents for run in self._choice.first_epoch}
        for partition, table in enumerate(self._choice.eligible.tables):
            keys = KeyRange.partition(partition, partitions)
            last = table.documents if keys.high <= self._below else 0
            if keys.holds(self._below):
                digest = read_kept(self._choice.eligible, "digest", partition)
                last = KeyRange(0, self._below).rows(order_keys(np.asarray(digest))).stop
            yield partition, slice(min(taken.get(partition, 0), last), last)

    def _column(self, name: str, partition: int, rows: slice) -> npt.NDArray[np.integer]:
        """Of the documents of a partition in `rows`, [num_docs]."""
        return np.asarray(read_kept(self._choice.eligible, name, partition)[rows])
