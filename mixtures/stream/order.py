"""The order of the stream: every source spread evenly, whole documents only.

Document i of a source covers the tokens [a, a + n) of its quota Q; its position is the midpoint of
that stretch as a share of the quota, (2a + n) / (2Q). The stream is all documents by (position,
source in recipe order). 2a + n stays below 2^53, so the one float64 division is monotone and the
same on every machine. Where removed documents left gaps in a quota, the midpoints stay those of the
unfiltered quota: so a shrunk stream is the unfiltered one without them, in its order.

At every token prefix T of the stream, source s has placed within ½·[(1-w)·L_own + w·sum(L_others)]
tokens of its share w·T, where w = Q_s / Q_total and L is the longest document of a source. A
document whose midpoint comes later than another's may start at most half its own length before its
midpoint, and likewise for the others; summing both sides gives the bound. `deviation` measures what
a stream does. A shrunk stream has no such bound, since what is removed need not be spread evenly.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mixtures.stream.selection import Lengths, Run, Selection

Int64s = npt.NDArray[np.int64]


class SourceOrder:
    """One strand as the merge sees it: where each document starts in its quota, and its length.

    lengths: returns the documents of a key partition (memory-mapped where they are large).
    """

    def __init__(self, selection: Selection, lengths: Callable[[int], Lengths]) -> None:
        self.selection = selection
        self._lengths = lengths

    def first_at(self, position: float) -> int:
        """Index of the first document whose position is at least `position`; the number of
        documents if there is none.
        """
        return bisect_left(range(self.selection.documents), position, key=self._position)

    def start_of(self, document: int) -> int:
        """Tokens of the strand before a document; all for the index one past the last."""
        if document == self.selection.documents:
            return self.selection.tokens
        run = self.selection.run_of(document)
        starts = self._lengths(run.partition).starts
        row = run.first_row + document - run.first_document
        return run.first_token + int(starts[row]) - int(starts[run.first_row])

    def _position(self, document: int) -> float:
        starts, num_tokens = self.columns(document, document + 1)
        return float(positions(starts, num_tokens, self.selection.quota)[0])

    def columns(self, first: int, last: int) -> tuple[Int64s, Int64s]:
        """Start in the quota and num_tokens (after the cut) of documents first .. last - 1, int64
        each.
        """
        if first >= last:
            return np.empty(0, np.int64), np.empty(0, np.int64)
        pieces = [self._piece(run, first, last) for run in self.selection.runs_within(first, last)]
        starts = np.concatenate([starts for starts, _ in pieces])
        num_tokens = np.concatenate([num_tokens for _, num_tokens in pieces])
        cut = self.selection.cut
        if cut is not None and first <= cut.document < last:
            num_tokens[cut.document - first] = cut.kept_tokens
        return starts, num_tokens

    def _piece(self, run: Run, first: int, last: int) -> tuple[Int64s, Int64s]:
        rows = run.rows(first, last)
        lengths, gaps = self._lengths(run.partition), self.selection.quota != self.selection.tokens
        starts, before = (
            (lengths.places, run.first_place)
            if gaps
            else (lengths.starts, run.first_token - int(lengths.starts[run.first_row]))
        )
        return starts[rows].astype(np.int64) + before, lengths.num_tokens[rows].astype(np.int64)


def positions(starts: Int64s, num_tokens: Int64s, quota: int) -> npt.NDArray[np.float64]:
    """Midpoint positions in (0, 1]: float64 [num_docs]."""
    return (2 * starts + num_tokens) / np.float64(2 * quota)


@dataclass(frozen=True)
class Placed:
    """Documents in stream order that touch a range of tokens.

    first_position: index of the first of them in the stream. source: index into the list of
        sources; document: index in its
    source's sequence; first_token: in the stream; num_tokens: after the cut. All int64 [num_docs].
    before: int64 [num_sources], tokens of each source in the stream before the first of them.
    """

    first_position: int
    source: Int64s
    document: Int64s
    first_token: Int64s
    num_tokens: Int64s
    before: Int64s


def place(orders: Sequence[SourceOrder], low: int, high: int) -> Placed:
    """Find the documents of the stream that touch tokens [low, high), 0 <= low < high <= total,
    without placing those before.

    The stretch of positions that is looked at is widened until it is seen to cover the range: its
    first document starts at or before `low` and its last ends at or after `high`.
    """
    total = sum(order.selection.tokens for order in orders)
    margin = sum(order.selection.longest for order in orders)
    while True:
        placed = _place_between(orders, (low - margin) / total, (high + margin) / total)
        begin, end = int(placed.before.sum()), int(placed.before.sum() + placed.num_tokens.sum())
        if begin <= low and end >= high:
            break
        margin *= 2
    first, last = np.searchsorted(placed.first_token, [low, high])
    if first == len(placed.first_token) or placed.first_token[first] > low:
        first -= 1
    before = placed.before.copy()
    np.add.at(before, placed.source[:first], placed.num_tokens[:first])
    keep = slice(int(first), int(last))
    return Placed(
        placed.first_position + int(first),
        placed.source[keep],
        placed.document[keep],
        placed.first_token[keep],
        placed.num_tokens[keep],
        before,
    )


def _place_between(orders: Sequence[SourceOrder], low: float, high: float) -> Placed:
    """Place the documents whose position lies in [low, high)."""
    first_position, before, strands = 0, np.zeros(len(orders), np.int64), []
    for number, order in enumerate(orders):
        first, last = order.first_at(low), order.first_at(high)
        first_position += first
        before[number] = order.start_of(first)
        starts, lengths = order.columns(first, last)
        where = positions(starts, lengths, order.selection.quota)
        strands.append((where, np.full(len(where), number), np.arange(first, last), lengths))
    columns = [np.concatenate(pieces) for pieces in zip(*strands, strict=True)]
    by_position = np.argsort(columns[0], kind="stable")  # equal positions stay in recipe order
    source, document, num_tokens = (column[by_position] for column in columns[1:])
    first_token = before.sum() + np.cumsum(num_tokens) - num_tokens
    return Placed(first_position, source, document, first_token, num_tokens, before)


def deviation_bound(quotas: Sequence[int], longest: Sequence[int]) -> list[int]:
    """The proven bound of each source's deviation, doubled and multiplied by the total so that it
    is an integer.

    (total - Q_s)·L_s + Q_s·sum of the others' L; divide by 2·total for tokens.
    """
    total, all_longest = sum(quotas), sum(longest)
    return [
        (total - quota) * own + quota * (all_longest - own)
        for quota, own in zip(quotas, longest, strict=True)
    ]


def deviation(
    before: Int64s, source: Int64s, num_tokens: Int64s, quotas: Sequence[int]
) -> list[int]:
    """Largest |placed_s - w_s·T| of each source at the ends of the given documents, times the
    total: exact integers.

    Args:
        before: int64 [num_sources], tokens of each source before the first document.
        source, num_tokens: int64 [num_docs], documents in stream order.
    """
    total = sum(quotas)
    begin = int(before.sum())
    ends = begin + np.cumsum(num_tokens)
    largest = []
    for index, quota in enumerate(quotas):
        if quota in (0, total) or len(source) == 0:
            largest.append(0)
            continue
        placed = int(before[index]) + np.cumsum(np.where(source == index, num_tokens, 0))
        off = np.abs(placed - ends * (quota / total))
        # float64 finds the candidates, Python's integers decide among them. The slack is above the
        # rounding of ends * share, so the maximum is exact at any scale.
        near = np.flatnonzero(off >= off.max() - 0.01 - int(ends[-1]) * 2.0**-50)
        largest.append(max(abs(int(placed[i]) * total - quota * int(ends[i])) for i in near))
    return largest
