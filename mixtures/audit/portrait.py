"""What a finished mix looks like along its stream: lengths of its documents, epochs, and how each
strand strays from its share.

    documents.parquet, part by part -> Portrait

Everything is counted from the tables and held against the manifest. Memory: four columns of one
part, and one count for each different length that occurs, of which there are fewer than the square
root of twice the tokens.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mixtures.audit.files import max_rows
from mixtures.audit.stream import Progress
from mixtures.audit.tables.parts import UNREADABLE, read_part, reading_fault
from mixtures.errors import ManifestError
from mixtures.mix.claims import Claims
from mixtures.mix.files import part_path
from mixtures.mix.tables import DOCUMENTS, Columns
from mixtures.stream.order import deviation

POINTS = 400  # stretches of equal length into which the stream is cut for the strays

Int64s = npt.NDArray[np.int64]
Float64s = npt.NDArray[np.float64]


@dataclass
class Lengths:
    """How often each length occurs. values: int64, tokens of a document, ascending; counts: int64,
    of the same shape.
    """

    values: Int64s = field(default_factory=lambda: np.empty(0, np.int64))
    counts: Int64s = field(default_factory=lambda: np.empty(0, np.int64))

    def add(self, num_tokens: Int64s) -> None:
        """Count the lengths of some documents: int64 [num_docs]."""
        values, counts = np.unique(num_tokens, return_counts=True)
        joined, where = np.unique(np.concatenate([self.values, values]), return_inverse=True)
        sums = np.zeros(len(joined), np.int64)
        np.add.at(sums, where, np.concatenate([self.counts, counts]))
        self.values, self.counts = joined, sums

    @property
    def documents(self) -> int:
        """How many there are."""
        return int(self.counts.sum())

    @property
    def tokens(self) -> int:
        """Tokens of all of them."""
        return int((self.values * self.counts).sum())

    @property
    def longest(self) -> int:
        """Tokens of the longest; 0 without documents."""
        return int(self.values[-1]) if len(self.values) else 0

    @property
    def median(self) -> int:
        """The length that half of the documents do not exceed, the lower of two; 0 without
        documents.
        """
        return self.percentile(50)

    def percentile(self, percent: int) -> int:
        """The least length that this many per cent of the documents do not exceed; 0 without
        documents.
        """
        if not len(self.values):
            return 0
        wanted = max(1, -(-self.documents * percent // 100))
        return int(self.values[np.searchsorted(np.cumsum(self.counts), wanted)])

    def histogram(self, edges: Int64s) -> tuple[Int64s, Int64s]:
        """Documents, and their tokens, of lengths edges[i] <= length < edges[i + 1]: int64
        [len(edges) - 1] each.
        """
        at = np.searchsorted(self.values, edges)
        before = (
            np.append(0, np.cumsum(column)) for column in (self.counts, self.counts * self.values)
        )
        documents, tokens = (np.diff(sums[at]) for sums in before)
        return documents, tokens


@dataclass(frozen=True)
class Portrait:
    """Figures of each strand, in the manifest's order.

    first_documents: those of the first epoch. samples: positions of the first documents, which have
        the lowest order keys.
    edges: int64 [POINTS + 1], tokens before each stretch of the stream, and all.
    placed: int64 [num_strands, POINTS + 1], tokens of the strand before each edge.
    lowest, highest: float64 [num_strands, POINTS], how far the strand is below and above its share
        at any prefix that ends in a stretch.
    measured: the largest distance from its share at the end of a document, in tokens, rounded up.
    """

    lengths: list[Lengths]
    first_documents: list[int]
    samples: list[list[int]]
    edges: Int64s
    placed: Int64s
    lowest: Float64s
    highest: Float64s
    measured: list[int]


def portray(
    folder: Path, claims: Claims, samples: int = 0, progress: Progress | None = None
) -> Portrait:
    """Read the documents of a mix once.

    Args:
        samples: how many positions of documents to note of each strand. progress: called with
            (parts of the table read, of how many).

    Raises:
        ManifestError: the table cannot be read, or is not what the manifest says.
    """
    pass_over = _Pass(claims, samples)
    limit = max_rows(folder, claims.layout.dtype.itemsize)
    parts = len(claims.hashes.documents_parts)
    for number in range(parts):
        path = part_path(folder, "documents", number)
        try:
            names = ["num_tokens", "source", "epoch", "copy"]
            pass_over.add(read_part(path, DOCUMENTS, limit, names, spelled=False))
        except UNREADABLE as error:
            raise ManifestError(
                f"{reading_fault(path, error)}; `annealmix audit {folder}` says what else is off"
            ) from None
        if progress is not None:
            progress(number + 1, parts)
    portrait = pass_over.portrait()
    for claim, lengths, measured in zip(
        claims.sources, portrait.lengths, portrait.measured, strict=True
    ):
        claimed = (claim.documents, claim.realised_tokens, claim.deviation.measured_tokens)
        if claimed != (lengths.documents, lengths.tokens, measured):
            raise ManifestError(
                f"{folder}: its tables hold {lengths.documents:,} documents and {lengths.tokens:,}"
                f" tokens of {claim.label}, at most {measured:,} tokens from its share; the"
                f" manifest says {claimed[0]:,}, {claimed[1]:,} and {claimed[2]:,}; `annealmix"
                f" audit {folder}` says what is off"
            )
    return portrait


class _Pass:
    """What has been counted so far. `_before`: int64 [num_strands], tokens of each strand."""

    def __init__(self, claims: Claims, samples: int) -> None:
        self._claims = claims
        self._shares, self._samples = claims.shares, samples
        self._total = sum(self._shares)
        count = len(claims.sources)
        self._edges = np.array([at * self._total // POINTS for at in range(POINTS + 1)], np.int64)
        self._documents, self._before = 0, np.zeros(count, np.int64)
        self._lengths, self._first = [Lengths() for _ in range(count)], [0] * count
        self._positions: list[list[int]] = [[] for _ in range(count)]
        self._placed = np.zeros((count, POINTS + 1), np.int64)
        self._lowest = np.full((count, POINTS), np.inf)
        self._highest = -self._lowest
        self._measured = [0] * count

    def add(self, columns: Columns) -> None:
        """Count the next documents of the stream.

        Args:
            columns: of a part, [num_docs] each.

        Raises:
            ValueError: a strand that the manifest does not list.
        """
        source = self._claims.strands_of(columns)
        num_tokens = columns["num_tokens"].astype(np.int64)
        if (source < 0).any():
            raise ValueError("documents of a source that the manifest does not list")
        here = deviation(self._before, source, num_tokens, self._shares)
        self._measured = [max(pair) for pair in zip(self._measured, here, strict=True)]
        ends = int(self._before.sum()) + np.cumsum(num_tokens)
        edges = np.flatnonzero(
            (self._edges > self._before.sum()) & (self._edges <= (ends[-1] if len(ends) else 0))
        )
        # the document that each edge lies in, or ends
        reached = np.searchsorted(ends, self._edges[edges])
        stretch = np.minimum(np.searchsorted(self._edges, ends) - 1, POINTS - 1)
        for number in range(len(self._claims.sources)):
            of_strand = source == number
            placed = self._before[number] + np.cumsum(np.where(of_strand, num_tokens, 0))
            missing = np.where(of_strand[reached], ends[reached] - self._edges[edges], 0)
            self._placed[number, edges] = placed[reached] - missing
            off = placed - ends * self._share(number)
            np.minimum.at(self._lowest[number], stretch, off)
            np.maximum.at(self._highest[number], stretch, off)
            self._add_lengths(number, np.flatnonzero(of_strand), num_tokens, columns)
            self._before[number] += int(num_tokens[of_strand].sum())
        self._documents += len(source)

    def _add_lengths(
        self, number: int, of_strand: npt.NDArray[np.intp], num_tokens: Int64s, columns: Columns
    ) -> None:
        """of_strand: rows of strand `number`, [num_of_strand]. num_tokens and columns: of the
        part, [num_docs].
        """
        self._lengths[number].add(num_tokens[of_strand])
        self._first[number] += int((columns["epoch"][of_strand] == 0).sum())
        wanted = self._samples - len(self._positions[number])
        self._positions[number] += (self._documents + of_strand[:wanted]).tolist()

    def _share(self, number: int) -> float:
        return self._shares[number] / max(self._total, 1)

    def portrait(self) -> Portrait:
        """What all documents came to. Between two ends of documents a stray is a straight line, so
        its edges and ends bound it.
        """
        shares = np.array([self._share(number) for number in range(len(self._claims.sources))])
        off = self._placed - shares[:, None] * self._edges
        lowest, highest = (
            choose(found, choose(off[:, :-1], off[:, 1:]))
            for choose, found in ((np.minimum, self._lowest), (np.maximum, self._highest))
        )
        measured = [-(-value // max(self._total, 1)) for value in self._measured]
        return Portrait(
            self._lengths,
            self._first,
            self._positions,
            self._edges,
            self._placed,
            lowest,
            highest,
            measured,
        )
