"""With which copy the copies of a source begin, so that none stands beside its original.

Copies are spread over the stream as their originals are, by the same keys: in key order each would
stand about where its original does, now and then beside it. So their sequence is rotated: it begins
with copy r, goes through its end, and ends with the copies before r. A rotation leaves the bound of
the order as it is, since that holds for documents of any sequence.

    aim     half an epoch. Where the last epoch is a part f of one, half of 1 + f, or of f from one
            half on: both sides of the place where the sequence begins again are then at least a
            quarter of an epoch away from their originals
    beside  a copy whose place lies between those of the originals before and after an original of
            its text, in whichever epoch
    r       the one nearest to the aim of those with the fewest copies beside

With none beside, another document of the source stands between every copy and every original of its
text, whatever else the stream has. Some are left beside only where every rotation leaves as many: a
single copy, which no rotation moves, where the middle of the stream is its original's place; copies
of a source of two documents; now and then one of a few, most of all where the last epoch is a part.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from mixtures.stream.order import Int64s, SourceOrder, positions
from mixtures.stream.selection import Run

Float64s = npt.NDArray[np.float64]


def rotation(
    originals: SourceOrder, copies: SourceOrder, of: Callable[[int], npt.NDArray[np.uint32]]
) -> int:
    """Which copy, in the order of epochs and keys, is the first of the strand.

    Keeps 24 bytes a copy, and the columns of one key partition.

    Args:
        originals, copies: of one source, copies not rotated. of: `Copies.of` of a partition.
    """
    count = copies.selection.documents
    if count < 2:
        return 0
    beside = _beside(originals, copies, of)
    best = np.flatnonzero(beside == beside.min())
    return int(best[np.argmin(np.abs(best - _aim(copies)))])


def _aim(copies: SourceOrder) -> int:
    """The copy that is half an epoch on, as far as the last epoch lets it be."""
    runs = copies.selection.runs
    whole = sum(run.documents for run in runs if run.epoch == 0)
    part = copies.selection.documents % whole
    return (part if 2 * part >= whole else whole + part) // 2


def _beside(
    originals: SourceOrder, copies: SourceOrder, of: Callable[[int], npt.NDArray[np.uint32]]
) -> Int64s:
    """Copies beside an original under each rotation: int64 [num_copies].

    A copy that is moved by x tokens of its strand has one place, and it is beside an original for a
    stretch of x; so for a stretch of rotations, or two where the sequence begins again.
    """
    selection = copies.selection
    count, total = selection.documents, selection.tokens
    begins = copies.columns(0, count)[0]
    changes = np.zeros(count + 1, np.int64)
    by_partition: dict[int, list[Run]] = {}
    for run in originals.selection.runs:
        by_partition.setdefault(run.partition, []).append(run)
    for run in selection.runs:
        numbers = of(run.partition)[: run.documents].astype(np.int64)
        first = run.first_document
        starts, num_tokens = copies.columns(first, first + run.documents)
        for there in by_partition[run.partition]:
            # the last epoch may lack the later ones
            here = slice(0, int(np.searchsorted(numbers, there.documents)))
            low, high = _neighbours(originals, there, numbers[here])
            least = reach(low, num_tokens[here], total)
            beyond = reach(high, num_tokens[here], total)
            for start in (starts[here], starts[here] + total):
                # start - least down to start - beyond + 1 are the tokens that may stand before r
                opens = np.searchsorted(begins, start - beyond, "right")
                closes = np.maximum(np.searchsorted(begins, start - least, "right"), opens)
                np.add.at(changes, opens, 1)
                np.subtract.at(changes, closes, 1)
    return np.cumsum(changes, out=changes)[:count]


def _neighbours(originals: SourceOrder, run: Run, numbers: Int64s) -> tuple[Float64s, Float64s]:
    """Positions of the originals before and after some of a run, float64 [num_chosen] each; 0 and
    infinity where there is none. numbers: int64 [num_chosen], of the run's documents.
    """
    selection = originals.selection
    first, last = run.first_document, run.first_document + run.documents
    low, high = max(first - 1, 0), min(last + 1, selection.documents)
    where = positions(*originals.columns(low, high), selection.quota)
    where = np.concatenate([[0.0] if low == first else [], where, [np.inf] if high == last else []])
    return where[numbers], where[numbers + 2]


def reach(where: Float64s, num_tokens: Int64s, total: int) -> Int64s:
    """Least tokens before a document with which its position is at least `where`; at most `total`.

    where: float64, num_tokens: int64, both [num_docs]. Returns: int64 [num_docs].
    """
    # one below what real numbers give, and up by as many as float64's division, which decides the
    # order, may be off
    found = np.minimum(where, 2.0) * total - num_tokens / 2
    starts = np.clip(np.floor(found).astype(np.int64) - 1, 0, total)
    for _ in range(3):
        starts += (positions(starts, num_tokens, total) < where) & (starts < total)
    return starts
