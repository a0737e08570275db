"""Lengths of documents that a probe drew, and of as many as there are: a sample of some thousand
stands for millions, whose lengths lie between those of the sample.

    A length of the sample stands for those half-way to its neighbours. Within these a part of the
    sample (the flagged documents) is spread as all of it is, so that few of them take the shape of
    all. Of how many there are each length has a drawn number (multinomial), as chance would have
    it: which lengths meet is what decides which slot finds a donor of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Int64s = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class SampledDocuments:
    """Documents of a source that a probe drew, and quality steps leave; arrays [num_docs]."""

    num_tokens: Int64s
    """EOD included."""
    weights: Floats
    """Documents that each stands for, up to a factor."""
    flags: Mapping[str, Bools]
    """By the label of a filter, whether it flags them at its level."""

    def __len__(self) -> int:
        return len(self.num_tokens)

    @cached_property
    def shares(self) -> Floats:
        """Of all documents, those that each stands for."""
        return np.asarray(self.weights / self.weights.sum(), np.float64)

    @property
    def effective(self) -> float:
        """Size of a sample with equal weights that would tell as much (Kish)."""
        return 1 / float((self.shares**2).sum())

    @cached_property
    def _cells(self) -> Cells:
        return Cells.between(*_distinct(self.num_tokens, self.shares))

    def drawn(self, chances: Floats, count: int, seed: int) -> Drawn:
        """Draw the lengths of `count` documents.

        Args:
            chances: that a document like each of the sample is one of them, [num_docs]; not all 0.
                seed: the same one draws the same.
        """
        mine = self.shares * chances
        lengths, masses = _distinct(self.num_tokens[mine > 0], mine[mine > 0])
        whole = self._cells
        cells = Cells.between(lengths, masses).within(whole)
        low, high = int(cells.bounds[0]), int(cells.bounds[-1])
        chance = cells.spread(whole.density(low, high))
        counts = np.random.default_rng(seed).multinomial(count, chance / chance.sum())
        found = np.flatnonzero(counts)
        length = found + low
        cell = np.searchsorted(cells.bounds, length, "right") - 1
        return Drawn(length, counts[found], lengths[cell])


@dataclass(frozen=True)
class Cells:
    """Stretches of lengths. bounds: int64 [num_cells + 1]; masses: of each, float64 [num_cells]."""

    bounds: Int64s
    masses: Floats

    @classmethod
    def between(cls, lengths: Int64s, masses: Floats) -> Cells:
        """Of each of some ascending lengths, what is nearer to it than to the others; beyond the
        first and the last as far as on their other side.
        """
        middle = (lengths[:-1] + lengths[1:] + 1) // 2
        first, last = int(lengths[0]), int(lengths[-1])
        low = max(2 * first - int(middle[0]) + 1, 1) if len(middle) else first
        high = 2 * last - int(middle[-1]) + 1 if len(middle) else last + 1
        return cls(np.array([low, *middle.tolist(), high], np.int64), masses)

    def within(self, whole: Cells) -> Cells:
        """The same without what lies beyond the cells of a sample that these are a part of; one
        alone takes up all of them.
        """
        ends = whole.bounds[[0, -1]]
        bounds = ends if len(self.masses) == 1 else np.clip(self.bounds, *ends)
        return Cells(bounds, self.masses)

    def density(self, low: int, high: int) -> Floats:
        """Mass of each length from `low` to below `high`, evenly within a cell: [high - low]."""
        length = np.arange(low, high)
        cell = np.clip(np.searchsorted(self.bounds, length, "right") - 1, 0, len(self.masses) - 1)
        return np.asarray((self.masses / np.diff(self.bounds))[cell], np.float64)

    def spread(self, density: Floats) -> Floats:
        """Mass of each length of all cells, within a cell as `density` has it: [num_lengths]."""
        starts = self.bounds[:-1] - self.bounds[0]
        inside = np.add.reduceat(density, starts)
        return density * np.repeat(self.masses / inside, np.diff(self.bounds))


@dataclass(frozen=True)
class Drawn:
    """How many documents there are of each length; int64 [num_lengths], ascending."""

    num_tokens: Int64s
    documents: Int64s
    sampled: Int64s
    """The length of the sample that each stands for."""

    @property
    def counts(self) -> dict[int, int]:
        """Documents by length."""
        return dict(zip(self.num_tokens.tolist(), self.documents.tolist(), strict=True))

    def share(self, lengths: Int64s, shares: Floats) -> tuple[int, int]:
        """Documents and tokens of a part of them. shares: that it has of those that stand for each
        of some ascending lengths of the sample; both [num_sampled].
        """
        part = self.documents * shares[np.searchsorted(lengths, self.sampled)]
        return round(float(part.sum())), round(float((part * self.num_tokens).sum()))


def _distinct(num_tokens: Int64s, masses: Floats) -> tuple[Int64s, Floats]:
    """Lengths that occur, ascending, and the mass of each."""
    lengths, at = np.unique(num_tokens, return_inverse=True)
    return lengths, np.bincount(at, masses, len(lengths)).astype(np.float64)
