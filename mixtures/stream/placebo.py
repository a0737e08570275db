"""What a placebo removes instead of what a filter flags: as many documents and tokens, of like
length, of the same stretch of the same source.

The mix that is imitated is that of the same recipe with the filter itself. Of each source it takes
a stretch of the key order, and the filter removes some documents of it: those are imitated. The
documents that it keeps, and that no imitated filter flags, are candidates.

    Imitated documents, from the longest to the shortest, each take the candidate whose length is
    nearest to their own plus what longer ones owe: the tokens by which their partners were too
    short (or too long), of which a document pays an eighth of its length at most. Of two lengths
    equally near, the shorter. No partner has less than half of its document's tokens, or more than
    twice.

The longest come first since they have the fewest candidates; the many shorter ones pay for them.
So lengths are like, and the sum of tokens is met. What finds no partner in its own source may look
in others that the recipe names, in their order; what finds none there is unmatched, and counted.

Which documents of a length are taken is decided by their ranks, the lower half of their digests:
the smallest. Nothing here looks at documents one by one, only at how many there are of each length.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping
from math import isqrt
from typing import Any

import numpy as np
import numpy.typing as npt

LIKE = 2
"""A partner has at least its document's tokens over this, and at most times this."""
PAYS = 8
"""A document pays at most its tokens over this of what longer ones owe."""

LengthCounts = Mapping[int, int]
"""{tokens of a document, EOD included: documents}."""
CLASSES_AN_OCTAVE = 4


class LengthPool:
    """Documents that are taken, and those that are left, by length."""

    def __init__(self, documents: LengthCounts) -> None:
        self._lengths = sorted(length for length, count in documents.items() if count)
        self._left = [documents[length] for length in self._lengths]
        # Where to look next from a length of which none is left: at itself while there are some.
        # `_down` is shifted by one, so that 0 is "nowhere".
        self._up = list(range(len(self._lengths) + 1))
        self._down = list(range(len(self._lengths) + 1))

    def _use(self, at: int, count: int) -> None:
        """Take some of the length of an index, of which there are enough."""
        self._left[at] -= count
        assert self._left[at] >= 0, "more documents of a length than there are"
        if not self._left[at]:
            self._up[at], self._down[at + 1] = at + 1, at

    def _above(self, at: int) -> int:
        """Index of the first length from an index on of which some are left; one past the last
        where there is none.
        """
        return _root(self._up, at)

    def _below(self, at: int) -> int:
        """Index of the last length before an index of which some are left; -1 where there is
        none.
        """
        return _root(self._down, at) - 1


class Candidates(LengthPool):
    """The candidates of one source."""

    def __init__(self, documents: LengthCounts) -> None:
        super().__init__(documents)
        self.taken: dict[int, int] = {}

    def match(self, documents: LengthCounts, owed: int = 0) -> tuple[dict[int, int], int]:
        """Take a partner for each of some documents.

        Args:
            owed: tokens by which partners so far were too short; negative if too long.

        Returns:
            The documents that found none, and what is owed after them.
        """
        unmatched: dict[int, int] = {}
        for length in sorted(documents, reverse=True):
            left = documents[length]
            while left:
                pays = max(-(length // PAYS), min(owed, length // PAYS))
                at = self._nearest(length + pays, -(-length // LIKE), LIKE * length)
                if at is None:
                    unmatched[length] = left
                    break
                off = length - self._lengths[at]
                count = left if off == 0 == owed else 1
                owed, left = owed + off, left - self._take(at, count)
        return unmatched, owed

    def _take(self, at: int, count: int) -> int:
        taken, length = min(count, self._left[at]), self._lengths[at]
        self._use(at, taken)
        self.taken[length] = self.taken.get(length, 0) + taken
        return taken

    def _nearest(self, target: int, low: int, high: int) -> int | None:
        """Index of the length nearest to `target` from `low` to `high` of which some are left."""
        at = bisect_left(self._lengths, target)
        found = [
            index
            for index in (self._below(at), self._above(at))
            if 0 <= index < len(self._lengths) and low <= self._lengths[index] <= high
        ]
        return min(found, key=lambda index: abs(self._lengths[index] - target), default=None)


def _root(parents: list[int], at: int) -> int:
    """Follow parents to one that is its own, and shorten the way for the next."""
    top = at
    while parents[top] != top:
        top = parents[top]
    while parents[at] != top:
        parents[at], at = top, parents[at]
    return top


def matched(
    imitated: Mapping[str, LengthCounts],
    candidates: Mapping[str, Candidates],
    elsewhere: Iterable[str],
) -> tuple[dict[str, dict[int, int]], dict[str, dict[str, int]]]:
    """Find partners for the imitated documents of every source, in it or elsewhere. What was taken
    stands in `candidates`.

    Args:
        elsewhere: sources in which those look, in their order, that find none in their own.

    Returns:
        By source, the documents that found none at all, by length; and how many found theirs
        elsewhere, by the source that gave it.
    """
    unmatched: dict[str, dict[int, int]] = {}
    given: dict[str, dict[str, int]] = {}
    owed: dict[str, int] = {}
    for source, documents in imitated.items():
        unmatched[source], owed[source] = candidates[source].match(documents)
    for source in imitated:
        given[source] = {}
        for other in elsewhere:
            if other == source or not unmatched[source]:
                continue
            before = sum(unmatched[source].values())
            unmatched[source], owed[source] = candidates[other].match(
                unmatched[source], owed[source]
            )
            if found := before - sum(unmatched[source].values()):
                given[source][other] = found
    return unmatched, given


def add_lengths(counts: dict[int, int], num_tokens: npt.NDArray[np.integer[Any]]) -> None:
    """Add documents of these lengths, [num_docs], to counts by length."""
    lengths, documents = np.unique(num_tokens, return_counts=True)
    for length, count in zip(lengths.tolist(), documents.tolist(), strict=True):
        counts[length] = counts.get(length, 0) + count


def length_class(num_tokens: int) -> int:
    """The least length of a document's class of length, of which an octave has four: for figures.

    Bounds are compared as integers (n^4 >= 2^c), so that no rounding of a logarithm can move a
    document.
    """
    return _least((num_tokens**CLASSES_AN_OCTAVE).bit_length() - 1)


def next_class(least: int) -> int:
    """The least length of the class after one."""
    return _least((least**CLASSES_AN_OCTAVE).bit_length())


def _least(number: int) -> int:
    """The smallest n with n^4 >= 2^number."""
    return isqrt(isqrt((1 << number) - 1)) + 1


def by_class(documents: LengthCounts) -> dict[int, int]:
    """Documents by class of length, ascending."""
    counts: dict[int, int] = {}
    for length in sorted(documents):
        least = length_class(length)
        counts[least] = counts.get(least, 0) + documents[length]
    return counts
