"""Figures of what mixes take of their sources and of what filters remove there, for manifests and
whoever holds them against a store.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import chain

import numpy as np
import numpy.typing as npt
from blake3 import blake3

from mixtures.stream.placebo import add_lengths
from pipeline.stages.eligible import Choice, Eligible, score_column


@dataclass
class RemovalFigures:
    """What one reason did to one source, within the quota. removed: documents and tokens that it
    removes, other reasons aside.

    first: of those, what no earlier reason removes (the waterfall's figure). lengths: of those that
        it removes, documents by length.
    """

    removed: list[int] = field(default_factory=lambda: [0, 0])
    first: list[int] = field(default_factory=lambda: [0, 0])
    lengths: dict[int, int] = field(default_factory=dict)


def removal_figures(choice: Choice) -> list[RemovalFigures]:
    """Figures of each reason, in their order."""
    figures = [RemovalFigures() for _ in choice.eligible.reasons]
    for column in choice.removed_columns():
        verdicts, num_tokens = column("verdicts"), column("num_tokens").astype(np.int64)
        lowest = verdicts & -verdicts.astype(np.int64)
        for number, figure in enumerate(figures):
            for chosen, sums in (
                (verdicts & 1 << number, figure.removed),
                (lowest == 1 << number, figure.first),
            ):
                mine = chosen.astype(np.bool_)
                sums[0] += int(mine.sum())
                sums[1] += int(num_tokens[mine].sum())
            add_lengths(figure.lengths, num_tokens[(verdicts & 1 << number) != 0])
    return figures


def score_digest(choices: Iterable[Choice], number: int) -> tuple[int, str]:
    """How many documents a filter's decisions in a mix needed scores for, and BLAKE3 over (digest,
    score) of each.

    By source, those that are in the mix in key order, then those that were removed; digest as 16
    bytes, score as int32 little-endian.
    """
    state, documents = blake3(), 0
    for column in chain.from_iterable(choice.reached_columns() for choice in choices):
        scores = column("score", score_column(number))
        scored = np.flatnonzero(scores >= 0)
        rows = np.zeros((len(scored), 20), np.uint8)
        digests = np.ascontiguousarray(column("digest")[scored])
        rows[:, :16] = digests.astype(">u8").view(np.uint8).reshape(-1, 16)
        rows[:, 16:] = scores[scored].astype("<i4").view(np.uint8).reshape(-1, 4)
        state.update(rows.tobytes())
        documents += len(scored)
    return documents, state.hexdigest()


def flagged_above(choices: Iterable[Choice], number: int, thresholds: Sequence[int]) -> list[int]:
    """How many documents within the quotas have a score of a filter above each threshold,
    millionths, whatever became of them.
    """
    counts = [0] * len(thresholds)
    for column in chain.from_iterable(choice.reached_columns() for choice in choices):
        scores = column("score", score_column(number))
        for at, threshold in enumerate(thresholds):
            counts[at] += int((scores > threshold).sum())
    return counts


def known_scores(
    eligible: Eligible, number: int, digest: npt.NDArray[np.uint64]
) -> npt.NDArray[np.int64]:
    """Scores that a filter gave to those of some documents that can be in the mix or are removed:
    millionths, int64 [num_found], -1 of what its list did not escalate. digest: uint64 [num_docs,
    2], each once.
    """
    import polars as pl  # which builds without a classifier need not load

    def by_digest(some: npt.NDArray[np.uint64]) -> pl.DataFrame:
        halves = np.asarray(some).astype(np.uint64)
        return pl.DataFrame({"high": halves[:, 0], "low": halves[:, 1]})

    prefix, wanted, found = score_column(number), by_digest(digest), [np.empty(0, np.int64)]
    columns = [eligible.kept_column, *([eligible.removed_column] if eligible.reasons else [])]
    for partition in range(len(eligible.tables)):
        for column in columns:
            score = pl.Series(np.asarray(column("score", partition, prefix)).astype(np.int64))
            known = by_digest(column("digest", partition)).with_columns(score=score)
            found.append(wanted.join(known, on=["high", "low"])["score"].to_numpy())
    return np.concatenate(found)
