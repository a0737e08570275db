"""The donors of a source, in key order: the documents beyond its quota that no filter of the study
removes, or those that were approved, of which some stand in the base.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt

from mixtures.keys import KeyRange, order_keys
from mixtures.stream.arms.study import Approval
from mixtures.stream.placebo import add_lengths
from pipeline.stages.eligible import Choice, ReadColumn, last_key, score_column

Int64s = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


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
        choice: what the base takes of it. keys: of the source, as far as donors go. approval: of
            approved ones; None: of those that no filter removes. used: whether they are those that
            stand in the base.

    Attributes:
        keys: of the donors that do not.
    """

    def __init__(
        self, choice: Choice, keys: KeyRange, approval: Approval | None, *, used: bool = False
    ) -> None:
        self._choice, self._below, self._approval, self._used = choice, keys.high, approval, used
        last = last_key(choice)
        self.keys = KeyRange(max(keys.low, last + 1) if last else keys.low, keys.high)

    def lengths(self) -> dict[int, int]:
        """How many donors there are of each length."""
        counts: dict[int, int] = {}
        for part in self._parts():
            add_lengths(counts, part("num_tokens"))
        return counts

    def first(self, used: Mapping[int, int]) -> Donors:
        """The first donors of each length. used: how many of each, as far as there are."""
        lengths = np.array(sorted(used), np.int64)
        left = np.array([used[length] for length in lengths.tolist()], np.int64)
        found: list[list[npt.NDArray[np.integer]]] = []
        for part in self._parts():
            num_tokens = part("num_tokens")
            at = np.minimum(np.searchsorted(lengths, num_tokens), max(len(lengths) - 1, 0))
            wanted = np.flatnonzero(lengths[at] == num_tokens) if len(lengths) else at[:0]
            by_length = wanted[np.argsort(at[wanted], kind="stable")]
            ordered = at[by_length]
            rank = np.arange(len(ordered)) - np.searchsorted(ordered, ordered)
            taken = by_length[rank < left[ordered]]
            np.subtract.at(left, at[taken], 1)
            names = ("digest", "token_file", "offset", "segment", "ledger_row")
            found.append([num_tokens[taken], *(part(one)[taken] for one in names)])
        columns = [np.concatenate(column) for column in zip(*found, strict=True)]
        order = np.argsort(columns[0], kind="stable")  # partitions follow each other in key order
        num_tokens, digest, *places = (column[order] for column in columns)
        return Donors(
            num_tokens.astype(np.int64),
            digest.astype(np.uint64),
            *(place.astype(np.int64) for place in places),
        )

    def _parts(self) -> Iterator[ReadColumn]:
        """Of each partition, what gives the columns of its donors, [num_docs] in key order."""
        for partition in range(len(self._choice.eligible.tables)):
            yield self._approved(partition) if self._approval else self._kept(partition)

    def _kept(self, partition: int) -> ReadColumn:
        column = partial(self._choice.eligible.kept_column, partition=partition)
        rows = self._rows(column, partition, self._choice.taken[partition])
        return lambda name: np.asarray(column(name)[rows])

    def _approved(self, partition: int) -> ReadColumn:
        """Those that nothing of the study removes, and those that the list alone does."""
        eligible, approval = self._choice.eligible, self._approval
        assert approval is not None
        kept = partial(eligible.kept_column, partition=partition)
        gone = partial(eligible.removed_column, partition=partition)
        bit = len(eligible.reasons) - eligible.filters
        lists = np.uint32(sum(1 << (number + bit) for number in approval.lists))
        pieces = []
        for column, counts in ((kept, self._choice.taken), (gone, self._choice.removed)):
            rows = self._rows(column, partition, counts[partition])
            score = column("score", prefix=score_column(approval.scores))[rows]
            chosen = score >= 0
            if column is gone:
                chosen &= column("verdicts")[rows] & ~lists == 0
            pieces.append((column, rows.start + np.flatnonzero(chosen)))
        digest = np.concatenate([column("digest")[rows] for column, rows in pieces])
        digest = digest.astype(np.uint64)
        order = np.lexsort((digest[:, 1], digest[:, 0], order_keys(digest)))
        return lambda name: np.concatenate([column(name)[rows] for column, rows in pieces])[order]

    def _rows(self, column: ReadColumn, partition: int, before: int) -> slice:
        """Of a table of a partition, the rows that may be donors. before: how many of them the
        quota reaches.
        """
        if self._used:
            return slice(0, before)
        keys = KeyRange.partition(partition, len(self._choice.eligible.tables))
        if keys.high <= self._below:
            return slice(before, len(column("num_tokens")))
        digest = column("digest") if keys.holds(self._below) else column("digest")[:0]
        last = KeyRange(0, self._below).rows(order_keys(np.asarray(digest))).stop
        return slice(min(before, last), last)
